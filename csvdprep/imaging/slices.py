"""Images as viewers hang them: axes in R, A, S order, slices chosen and turned.

All views are radiological: the patient's right is on the left of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nb
import numpy as np
from scipy import ndimage


@dataclass(frozen=True)
class Volume:
    """An image whose axes were permuted and flipped, never resampled, to run to R, A and S.

    Parameters
    ----------
    data : numpy.ndarray
        Voxels, (x, y, z).
    affine : numpy.ndarray
        Voxel to world (mm), (4, 4).
    """

    data: np.ndarray
    affine: np.ndarray

    @property
    def zooms(self) -> np.ndarray:
        """Size of a voxel along each axis, mm."""
        return np.sqrt((self.affine[:3, :3] ** 2).sum(0))

    def position(self, axis: int, index: int) -> float:
        """World coordinate (mm) along ``axis`` of the middle of a slice."""
        voxel = (np.asarray(self.data.shape[:3]) - 1) / 2.0
        voxel[axis] = index
        return float((self.affine @ [*voxel, 1])[axis])


@dataclass(frozen=True)
class Cut:
    """One slice: the axis it is perpendicular to, and its index."""

    axis: int
    index: int


def load_volume(path: str | Path, like: Volume | None = None, *, order: int = 1) -> Volume:
    """Read an image in the nearest R, A, S order of axes.

    Parameters
    ----------
    path : path-like
        3D image; of more volumes the first is taken.
    like : Volume, optional
        Grid onto which the image is brought by the affines, if it has another.
    order : int
        0 for labels (nearest neighbour), 1 for intensities.

    Returns
    -------
    Volume
        Non-finite voxels are 0.

    """
    own = as_volume(nb.load(path))
    if like is None or (
        own.data.shape == like.data.shape and np.allclose(own.affine, like.affine, atol=1e-3)
    ):
        return own
    return brought(own, np.eye(4), like, order=order)


def as_volume(image: nb.Nifti1Image) -> Volume:
    """Turn an image into a Volume; of more than three dimensions the first volume is taken."""
    image = nb.as_closest_canonical(image)
    data = np.asanyarray(image.dataobj, dtype=np.float32)
    data = data[(..., *(0,) * (data.ndim - 3))]
    return Volume(np.nan_to_num(data, posinf=0.0, neginf=0.0), image.affine)


def brought(moving: Volume, matrix: np.ndarray, like: Volume, *, order: int = 1) -> Volume:
    """Resample an image onto the grid of another.

    Parameters
    ----------
    moving, like : Volume
        Image, and the one that gives the grid.
    matrix : numpy.ndarray
        Takes points of ``like`` to points of ``moving``, RAS+ mm, (4, 4).
    order : int
        0 nearest neighbour, 1 linear.

    """
    way = np.linalg.inv(moving.affine) @ matrix @ like.affine
    data = ndimage.affine_transform(
        moving.data, way[:3, :3], way[:3, 3], output_shape=like.data.shape, order=order
    )
    return Volume(data, like.affine)


def slice_axis(volume: Volume) -> int:
    """Return the axis along which the image was acquired in slices (2 if it is isotropic).

    Examples
    --------
    >>> thick = Volume(np.zeros((20, 256, 256)), np.diag([6.0, 0.9, 0.9, 1]))
    >>> slice_axis(thick)
    0

    """
    order = np.argsort(volume.zooms)
    thickest, next_ = order[-1], order[-2]
    return int(thickest) if volume.zooms[thickest] > 1.5 * volume.zooms[next_] else 2


def extent(mask: np.ndarray, zooms: Sequence[float], margin: float = 6.0) -> list[slice]:
    """Return the box around a mask, widened by ``margin`` mm; the whole grid if it is empty.

    Examples
    --------
    >>> mask = np.zeros((9, 9, 9)); mask[4, 4, 4] = 1
    >>> [(s.start, s.stop) for s in extent(mask, (1, 1, 1), margin=2)]
    [(2, 7), (2, 7), (2, 7)]

    """
    box = []
    for axis, zoom in enumerate(zooms):
        others = tuple(a for a in range(3) if a != axis)
        inside = np.flatnonzero(np.any(mask, axis=others))
        pad = int(np.ceil(margin / zoom))
        low, high = (inside[0], inside[-1]) if inside.size else (0, mask.shape[axis] - 1)
        box.append(slice(int(max(low - pad, 0)), int(min(high + pad + 1, mask.shape[axis]))))
    return box


def spread(mask: np.ndarray, axis: int, count: int) -> list[Cut]:
    """Choose up to ``count`` slices at equal distance over the bulk of a mask.

    Slices at either end in which there is under 5 % of the largest cross-section are left out.

    Examples
    --------
    >>> mask = np.zeros((5, 5, 30)); mask[..., 4:24] = 1
    >>> [cut.index for cut in spread(mask, 2, 4)]
    [6, 11, 16, 21]

    """
    others = tuple(a for a in range(3) if a != axis)
    area = np.count_nonzero(mask, axis=others)
    inside = np.flatnonzero(area > 0.05 * area.max())
    low, high = (inside[0], inside[-1]) if inside.size else (0, mask.shape[axis] - 1)
    span = high - low + 1
    count = min(count, span)
    return [Cut(axis, int(low + (k + 0.5) * span / count)) for k in range(count)]


def every(mask: np.ndarray, axis: int, most: int) -> tuple[list[Cut], int]:
    """Choose every n-th slice that the mask covers, with the least n that gives at most ``most``.

    Returns
    -------
    cuts : list of Cut
        From the lowest to the highest.
    step : int
        n.

    Examples
    --------
    >>> mask = np.zeros((5, 5, 30)); mask[..., 4:24] = 1
    >>> cuts, step = every(mask, 2, 8)
    >>> [cut.index for cut in cuts], step
    ([4, 7, 10, 13, 16, 19, 22], 3)

    """
    others = tuple(a for a in range(3) if a != axis)
    inside = np.flatnonzero(np.any(mask, axis=others))
    low, high = (inside[0], inside[-1]) if inside.size else (0, mask.shape[axis] - 1)
    step = int(np.ceil((high - low + 1) / most))
    return [Cut(axis, int(k)) for k in range(low, high + 1, step)], step


def head(volume: Volume) -> np.ndarray:
    """Return where the image is brighter than its background."""
    shown = volume.data[volume.data > 0]
    return volume.data > (0.12 * np.percentile(shown, 98) if shown.size else 0)


def plane(array: np.ndarray, cut: Cut, box: Sequence[slice]) -> np.ndarray:
    """Cut a slice out and turn it as a radiologist hangs it.

    Rows run down (anterior or superior on top), columns from the patient's right to the left,
    in sagittal views from anterior to posterior.
    """
    index = [*box]
    index[cut.axis] = cut.index
    return array[tuple(index)].T[::-1, ::-1]


def window(volume: Volume, mask: np.ndarray | None = None, *, high: float = 99.7):
    """Return the intensities to be black and white, from percentiles within the mask."""
    inside = volume.data[mask > 0] if mask is not None and np.any(mask) else volume.data
    inside = inside[inside != 0]
    if not inside.size:
        return 0.0, 1.0
    low, top = np.percentile(inside, (0.5, high))
    low = min(float(low), 0.35 * float(top)) if top > 0 else float(low)
    return low, max(float(top) * 1.02, low + 1e-6)
