"""Axial planes of a volume, RAS+, as networks see them, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from csvdprep.science.axes import axes_of, has_planes
from csvdprep.science.morphology import bounding_box

#: Pixel, mm, if no other is asked for, and what the edges of a plane are multiples of.
PIXEL_MM, MULTIPLE = 1.25, 16
#: Least distance of the neighbouring slices that are shown beside a slice, mm.
NEIGHBOUR_MM = 2.5


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
    pixel_mm : float
        Edge of a pixel, mm.
    """

    axes: tuple[int, ...]
    flips: tuple[bool, ...]
    voxel_mm: np.ndarray
    start: np.ndarray
    edges: tuple[int, int]
    shape: tuple[int, ...]
    pixel_mm: float = PIXEL_MM

    @classmethod
    def of(
        cls, mask: np.ndarray, affine: np.ndarray, edges=None, *, pixel_mm: float = PIXEL_MM
    ) -> PlaneGrid | None:
        """Lay planes over a brain.

        Parameters
        ----------
        mask : ndarray, shape (I, J, K)
            Brain.
        affine : ndarray, shape (4, 4)
            From voxels to mm, RAS+.
        edges : tuple of int, optional
            Pixels of a plane; as many as the brain needs, if not given.
        pixel_mm : float
            Edge of a pixel, mm.

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
                (edge.stop - edge.start) * mm / pixel_mm + 4
                for edge, mm in zip(box, voxel_mm, strict=False)
            ]
            edges = tuple(int(np.ceil(e / MULTIPLE)) * MULTIPLE for e in extent)
        start = middle - (np.array(edges) - 1) / 2 * pixel_mm / voxel_mm[:2]
        return cls(axes, flips, voxel_mm, start, tuple(edges), ordered.shape, pixel_mm)

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
        ratio = self.pixel_mm / self.voxel_mm[:2]
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
        ratio = self.voxel_mm[:2] / self.pixel_mm
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


def _ordered(volume: np.ndarray, axes, flips) -> np.ndarray:
    out = np.transpose(volume, axes)
    for axis, flip in enumerate(flips):
        if flip:
            out = np.flip(out, axis)
    return out
