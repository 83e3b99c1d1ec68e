"""Echo-planar images: one interpolation for motion, eddy currents and distortion together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi


@dataclass(frozen=True, eq=False)
class Geometry:
    """What is the same for all volumes of a run.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        Voxel to world (RAS+, mm), of the volumes and of what they are sampled on.
    axis : int or None
        Array axis along which phase is encoded; None if that is not known.
    shift : ndarray, shape (nx, ny, nz), or None
        Distortion at each voxel of the undistorted head for a volume of factor 1, voxels along
        ``axis``: what belongs at index ``y`` is found at ``y + shift``.
    """

    affine: np.ndarray
    axis: int | None = None
    shift: np.ndarray | None = None

    def pull(
        self, volume: np.ndarray, motion: np.ndarray, factor: float = 0.0, *, order: int = 3
    ) -> np.ndarray:
        """Sample a volume where the undistorted head at rest has its voxels.

        Parameters
        ----------
        volume : ndarray, shape (nx, ny, nz)
            As measured.
        motion : ndarray, shape (4, 4)
            Takes world points of the head at rest to where they were in this volume.
        factor : float
            Of the distortion: sign of the polarity times readout time over that of factor 1.
        order : {1, 3}
            Of the spline.

        Returns
        -------
        ndarray of float32
            0 outside of the volume, which ends a voxel beyond the centres of the outermost.
            Signal that was drawn together or apart along the axis of encoding is scaled back.
        """
        matrix = np.linalg.inv(self.affine) @ motion @ self.affine
        # Without a margin the outermost slices are lost to the least movement.
        source = np.pad(volume.astype(np.float32), 1, mode='edge')
        offset = matrix[:3, 3] + 1
        if order > 1:
            source = ndi.spline_filter(source, order, output=np.float32, mode='mirror')
        scale = self._stretch(matrix)
        if self.shift is None or factor == 0:
            out = ndi.affine_transform(
                source,
                matrix[:3, :3],
                offset,
                volume.shape,
                order=order,
                prefilter=False,
                mode='constant',
                output=np.float32,
            )
            return out * np.float32(scale)
        grid = np.indices(volume.shape, dtype=np.float32)
        points = np.tensordot(matrix[:3, :3].astype(np.float32), grid, axes=1)
        points += offset.astype(np.float32)[:, None, None, None]
        points[self.axis] += np.float32(factor) * self.shift
        out = ndi.map_coordinates(
            source, points, order=order, prefilter=False, mode='constant', output=np.float32
        )
        # Signal is kept, so its density follows the stretching; folded voxels have none left.
        drawn = 1 + np.float32(factor) * np.gradient(self.shift, axis=self.axis)
        return out * np.maximum(drawn, 0) * np.float32(scale)

    def _stretch(self, matrix: np.ndarray) -> float:
        """Return how eddy currents draw signal apart along the axis of encoding."""
        if self.axis is None:
            return 1.0
        return float(abs(np.linalg.det(matrix[:3, :3])))
