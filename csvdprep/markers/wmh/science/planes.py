"""Slices as the network sees them: RAS+, 1.25 mm in plane, neighbours about 3 mm away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from csvdprep.markers.wmh.science.axes import axes_of, has_planes
from csvdprep.science.morphology import bounding_box

#: Pixel, mm, and what the edges of a plane are multiples of.
PIXEL_MM, MULTIPLE = 1.25, 16
#: Least distance of the neighbouring slices that are shown beside a slice, mm.
NEIGHBOUR_MM = 2.5
#: What each channel is.
CHANNELS = (
    'below',
    'flair',
    'above',
    'atlas_white',
    'atlas_grey',
    'other_region',
    'grey',
    'fluid',
    'has_t1w',
    'thickness',
    't1w',
)
#: The T1w is shown relative to its own white matter, up to this.
T1W_MOST = 2.0


@dataclass(frozen=True)
class PlaneGrid:
    """How voxels of a volume become planes, and back.

    Parameters
    ----------
    axes : tuple of int
        Voxel axis of each of right, anterior, superior.
    flips : tuple of bool
        Whether it points the other way.
    voxel_mm : ndarray, shape (3,)
        Voxel size along right, anterior, superior.
    start : ndarray, shape (2,)
        Voxel, along right and anterior, of the centre of the first pixel.
    edges : tuple of int
        Pixels of a plane.
    shape : tuple of int
        Of the volume along right, anterior, superior.
    """

    axes: tuple[int, ...]
    flips: tuple[bool, ...]
    voxel_mm: np.ndarray
    start: np.ndarray
    edges: tuple[int, int]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, mask: np.ndarray, affine: np.ndarray, edges=None) -> PlaneGrid | None:
        """Lay planes over a brain.

        Parameters
        ----------
        mask : ndarray, shape (I, J, K)
            Brain.
        affine : ndarray, shape (4, 4)
            From voxels to mm, RAS+.
        edges : tuple of int, optional
            Pixels of a plane; as many as the brain needs, if not given.

        Returns
        -------
        PlaneGrid or None
            None if slices are thick and not axial.

        Examples
        --------
        >>> mask = np.zeros((40, 50, 6)); mask[5:35, 5:45] = 1
        >>> grid = PlaneGrid.of(mask, np.diag([-2.0, 2.0, 5.0, 1.0]))
        >>> grid.axes, grid.flips, grid.edges
        ((0, 1, 2), (True, False, False), (64, 80))
        """
        if not has_planes(affine):
            return None
        size, towards, axes = axes_of(affine)
        flips = tuple(bool(towards[world, axis] < 0) for world, axis in enumerate(axes))
        ordered = _ordered(np.asarray(mask) > 0, axes, flips)
        voxel_mm = size[list(axes)]
        box = bounding_box(ordered, 0)[:2]
        middle = np.array([(edge.start + edge.stop - 1) / 2 for edge in box])
        if edges is None:
            extent = [
                (edge.stop - edge.start) * mm / PIXEL_MM + 4
                for edge, mm in zip(box, voxel_mm, strict=False)
            ]
            edges = tuple(int(np.ceil(e / MULTIPLE)) * MULTIPLE for e in extent)
        start = middle - (np.array(edges) - 1) / 2 * PIXEL_MM / voxel_mm[:2]
        return cls(axes, flips, voxel_mm, start, tuple(edges), ordered.shape)

    @property
    def thickness_mm(self) -> float:
        """Distance of slices, mm."""
        return float(self.voxel_mm[2])

    def take(self, volume: np.ndarray) -> np.ndarray:
        """Return the planes of a volume.

        Parameters
        ----------
        volume : ndarray, shape (I, J, K)
            On the grid of the mask.

        Returns
        -------
        ndarray of float32, shape (planes, right, anterior)
            Averaged as far as pixels are larger than voxels; 0 outside.
        """
        ordered = _ordered(volume, self.axes, self.flips).astype(np.float32)
        ratio = PIXEL_MM / self.voxel_mm[:2]
        blur = np.sqrt(np.maximum(ratio**2 - 1, 0)) / 2.355
        if blur.any():
            ordered = ndi.gaussian_filter(ordered, (*blur, 0), truncate=2.5)
        out = np.empty((self.shape[2], *self.edges), np.float32)
        for k, plane in enumerate(out):
            ndi.affine_transform(
                ordered[..., k], np.diag(ratio), self.start, self.edges, plane, order=1
            )
        return out

    def give_back(self, planes: np.ndarray) -> np.ndarray:
        """Return the volume of planes: what `take` took, as far as planes show it.

        Parameters
        ----------
        planes : ndarray, shape (planes, right, anterior)
            Values at pixels.

        Returns
        -------
        ndarray of float32, shape (I, J, K)

        Examples
        --------
        >>> mask = np.zeros((40, 50, 6)); mask[5:35, 5:45] = 1
        >>> grid = PlaneGrid.of(mask, np.diag([-2.0, 2.0, 5.0, 1.0]))
        >>> bool(abs(grid.give_back(grid.take(mask)) - mask).max() < 0.5)
        True
        """
        ratio = self.voxel_mm[:2] / PIXEL_MM
        out = np.empty(self.shape, np.float32)
        for k in range(self.shape[2]):
            out[..., k] = ndi.affine_transform(
                np.asarray(planes[k], np.float32),
                np.diag(ratio),
                -self.start * ratio,
                self.shape[:2],
                order=1,
            )
        for axis, flip in enumerate(self.flips):
            if flip:
                out = np.flip(out, axis)
        return np.ascontiguousarray(np.transpose(out, np.argsort(self.axes)))


def neighbours(count: int, thickness_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Return which plane is shown below and above each plane.

    Examples
    --------
    >>> [part.tolist() for part in neighbours(5, 1.0)]
    [[0, 0, 0, 0, 1], [3, 4, 4, 4, 4]]
    """
    step = max(1, int(np.ceil(NEIGHBOUR_MM / thickness_mm)))
    here = np.arange(count)
    return np.maximum(here - step, 0), np.minimum(here + step, count - 1)


def even_white(flair: np.ndarray, white: np.ndarray, healthy: np.ndarray) -> np.ndarray:
    """Take off how much brighter healthy white matter is in some places.

    Parameters
    ----------
    flair : ndarray
        FLAIR.
    white, healthy : ndarray of the same shape
        White matter of the warped template, and how much brighter it is there, as shares.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> even_white(np.array([110.0, 110.0]), np.array([1.0, 0.0]), np.array([0.1, 0.1])).round()
    array([100., 110.])
    """
    return flair / (1 + white * healthy)


def relative_t1w(t1w: np.ndarray, white: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return a T1w relative to its white matter, 0 outside the brain.

    Parameters
    ----------
    t1w : ndarray
        T1w where the FLAIR's voxels are.
    white : ndarray of the same shape
        White matter of the T1w, as a share.
    inside : ndarray of bool, of the same shape
        Brain.

    Returns
    -------
    ndarray of float32
        0 to `T1W_MOST`; 0 everywhere if there is no white matter or it is dark.

    Examples
    --------
    >>> relative_t1w(np.array([80.0, 40.0, 9.0]), np.array([1.0, 0, 0]), np.array([1, 1, 0]) > 0)
    array([1. , 0.5, 0. ], dtype=float32)
    """
    inside = np.asarray(inside, bool)
    pure = inside & (white > 0.9)
    level = float(np.median(t1w[pure])) if pure.any() else 0.0
    if level <= 0:
        return np.zeros(inside.shape, np.float32)
    return np.where(inside, np.clip(t1w / level, 0, T1W_MOST), 0).astype(np.float32)


def stack_channels(
    flair: np.ndarray,
    maps: np.ndarray,
    has_t1w: bool,
    thickness_mm: float,
    t1w: np.ndarray | None = None,
):
    """Return what the network takes of each plane.

    Parameters
    ----------
    flair : ndarray, shape (planes, right, anterior)
        Relative to normal white matter; 0 outside the brain.
    maps : ndarray, shape (5, planes, right, anterior)
        White and grey matter of the warped template, deep and infratentorial structures, grey
        matter and fluid of the T1w (0 without one).
    has_t1w : bool
        Whether there is a T1w.
    thickness_mm : float
        Distance of slices.
    t1w : ndarray, shape (planes, right, anterior), optional
        The T1w itself, of `relative_t1w`; 0 if not given.

    Returns
    -------
    ndarray of float32, shape (planes, 11, right, anterior)
    """
    below, above = neighbours(len(flair), thickness_mm)
    seen = np.clip(flair, 0, 3) - np.float32(1)
    out = np.empty((len(flair), len(CHANNELS), *flair.shape[1:]), np.float32)
    out[:, 0], out[:, 1], out[:, 2] = seen[below], seen, seen[above]
    out[:, 3:8] = np.moveaxis(maps, 0, 1)
    out[:, 8], out[:, 9] = float(has_t1w), min(thickness_mm, 10.0) / 10
    out[:, 10] = 0 if t1w is None else t1w
    return out


def _ordered(volume: np.ndarray, axes, flips) -> np.ndarray:
    out = np.transpose(volume, axes)
    for axis, flip in enumerate(flips):
        if flip:
            out = np.flip(out, axis)
    return out
