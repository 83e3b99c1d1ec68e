"""A real scan as the phantom's code sees a scan: its grid, where the head lies, its voxels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage as ndi

from csvdprep.phantom.geometry.features import Feature, draw

#: Cosine of the angle between slices and grid from which on they count as parallel.
ALIGNED = 0.985


@dataclass(frozen=True, eq=False)
class RealScan:
    """Grid of a real scan. It answers as :class:`csvdprep.phantom.scanner.scan.Scan` does.

    Attributes
    ----------
    shape : tuple of int
        Of the stored array.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm of the scanner.
    pose : ndarray, shape (4, 4)
        From mm of the head's frame (that of the anatomical reference) to mm of the scanner.
    thickness_mm : float or None
        Thickness of a slice, where it is less than the distance of slices.
    blur_mm : float
        Standard deviation of the scan's in-plane resolution beyond its voxels, mm.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    pose: np.ndarray
    thickness_mm: float | None = None
    blur_mm: float = 0.0

    def grid(self) -> tuple[tuple[int, int, int], np.ndarray]:
        """Return shape and affine."""
        return self.shape, self.affine

    @cached_property
    def voxel_mm(self) -> np.ndarray:
        """Distances of voxels along the axes of the array, mm."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def array_axis(self) -> int:
        """Axis of the array with the longest voxel edge: across the slices."""
        return int(np.argmax(np.round(self.voxel_mm, 3)))

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel, gaps included, mL."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000

    def edges(self) -> np.ndarray:
        """Return the edges of a voxel along the axes of the array, mm, without gaps."""
        edges = self.voxel_mm.copy()
        if self.thickness_mm:
            axis = self.array_axis
            edges[axis] = min(self.thickness_mm, edges[axis])
        return edges

    def sample(self, volume: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """See a volume of the head through the voxels: averaged over them, and blurred in plane.

        Parameters
        ----------
        volume : ndarray, shape (nx, ny, nz)
            Values in the head's frame.
        affine : ndarray, shape (4, 4)
            From indices of ``volume`` to mm of that frame.

        Returns
        -------
        ndarray of float32, shape of the scan

        Examples
        --------
        >>> scan = RealScan((4, 4, 2), np.diag([1.0, 1, 4, 1]), np.eye(4))
        >>> ramp = np.broadcast_to(np.arange(8.0), (4, 4, 8))
        >>> scan.sample(ramp, np.eye(4))[1, 1].round(2).tolist()
        [0.5, 4.0]
        """
        steps = np.linalg.norm(affine[:3, :3], axis=0)
        edges, size = self.edges(), self.voxel_mm
        volume, affine = _support(np.asarray(volume, np.float32), affine)
        matrix = np.linalg.inv(self.pose @ affine) @ self.affine
        thick = self.array_axis
        along = matrix[:3, thick] * steps / np.linalg.norm(matrix[:3, thick] * steps)
        axis = int(np.argmax(np.abs(along)))
        averaged = edges[thick] > 1.5 * steps[axis] and abs(along[axis]) > ALIGNED
        if averaged:  # slices lie along the grid: one sum along its axis does
            weights = _box(edges[thick] / steps[axis])
            volume = ndi.correlate1d(volume, weights, axis=axis, mode='nearest')
        box = self._covered(volume.shape, matrix)
        first = np.array([edge.start for edge in box], float)
        counts = [max(1, int(np.ceil(edge / steps.min() - 0.25))) for edge in edges]
        if averaged:
            counts[thick] = 1
        out = np.zeros(self.shape, np.float32)
        part = np.zeros([edge.stop - edge.start for edge in box], np.float32)
        for offset in np.ndindex(*counts):
            shift = ((np.array(offset) + 0.5) / counts - 0.5) * edges / size
            part += ndi.affine_transform(
                volume,
                matrix[:3, :3],
                matrix[:3, 3] + matrix[:3, :3] @ (first + shift),
                output_shape=part.shape,
                order=1,
                mode='nearest',
                output=np.float32,
            )
        out[box] = part / np.prod(counts)
        return self.soften(out)

    def labels(self, volume: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """See labels of the head at the centres of the voxels."""
        matrix = np.linalg.inv(self.pose @ affine) @ self.affine
        return ndi.affine_transform(
            volume, matrix[:3, :3], matrix[:3, 3], output_shape=self.shape, order=0
        )

    def draw(self, features: Iterable[Feature]) -> tuple[np.ndarray, np.ndarray]:
        """See shapes of the head's frame: share of each voxel, and which shape holds most."""
        moved = [feature.moved(self.pose) for feature in features]
        return draw(moved, self.shape, self.affine, thickness=self.edges())

    def soften(self, values: np.ndarray) -> np.ndarray:
        """Blur in plane as the scan's own resolution does."""
        sigma = self.blur_mm / self.voxel_mm
        sigma[self.array_axis] = 0
        if sigma.max() < 0.2:
            return values
        return ndi.gaussian_filter(values, sigma, truncate=3).astype(np.float32)

    def back(self, values: np.ndarray, shape, affine: np.ndarray) -> np.ndarray:
        """Read an image of this scan at the voxels of a grid of the head; 0 beyond it."""
        matrix = np.linalg.inv(self.affine) @ self.pose @ affine
        return ndi.affine_transform(
            np.asarray(values, np.float32),
            matrix[:3, :3],
            matrix[:3, 3],
            output_shape=tuple(shape),
            order=1,
            output=np.float32,
        )

    def _covered(self, shape, matrix: np.ndarray) -> tuple[slice, ...]:
        """Return the part of the scan's array that the volume reaches."""
        corners = np.array(np.meshgrid(*[(-1, n) for n in shape])).reshape(3, -1)
        inverse = np.linalg.inv(matrix)
        at = inverse[:3, :3] @ corners + inverse[:3, 3:]
        low = np.clip(np.floor(at.min(axis=1)).astype(int) - 1, 0, np.array(self.shape) - 1)
        high = np.clip(np.ceil(at.max(axis=1)).astype(int) + 2, low + 1, self.shape)
        return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def _box(width: float) -> np.ndarray:
    """Return the weights of an average over a width in voxels, the outer ones in part.

    Examples
    --------
    >>> _box(4.0).tolist()
    [0.125, 0.25, 0.25, 0.25, 0.125]
    """
    reach = int(np.ceil((width - 1) / 2 - 1e-6))
    at = np.abs(np.arange(-reach, reach + 1))
    return np.clip((width + 1) / 2 - at, 0, 1) / width


def _support(volume: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut off what is empty around the values of a volume: that need not be sampled."""
    box = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        there = np.flatnonzero((volume != 0).any(axis=others))
        if not len(there):
            return volume[:2, :2, :2], affine
        box.append(slice(max(0, there[0] - 1), there[-1] + 2))
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ [edge.start for edge in box]
    return volume[tuple(box)], moved
