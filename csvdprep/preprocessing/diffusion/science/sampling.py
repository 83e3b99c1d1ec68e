"""One interpolation for motion, eddy currents and distortion together."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

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


def rotation_of(motion: np.ndarray) -> np.ndarray:
    """Return the rotation that is nearest to a matrix (polar decomposition).

    Parameters
    ----------
    motion : ndarray, shape (4, 4) or (3, 3)
        Affine transform.

    Returns
    -------
    ndarray, shape (3, 3)

    Examples
    --------
    >>> turned = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    >>> np.allclose(rotation_of(turned @ np.diag([1.1, 0.9, 1.2])), turned)
    True
    """
    left, _, right = np.linalg.svd(motion[:3, :3])
    sign = np.sign(np.linalg.det(left @ right))
    return left @ np.diag([1, 1, sign]) @ right


def rotate_gradients(directions: np.ndarray, motions: np.ndarray) -> np.ndarray:
    """Turn gradients into the frame of the head at rest.

    A head that is turned by R sees a gradient g as R⁻¹ g; stretching and shearing by eddy
    currents turn nothing (Leemans and Jones 2009, doi:10.1002/mrm.21890).

    Parameters
    ----------
    directions : ndarray, shape (n, 3)
        In the world.
    motions : ndarray, shape (n, 4, 4)
        Takes points of the head at rest to where they were.

    Returns
    -------
    ndarray, shape (n, 3)
    """
    return np.stack([rotation_of(m).T @ g for g, m in zip(directions, motions, strict=True)])


def displacement(motions: np.ndarray, radius_mm: float = 50.0, centre=(0, 0, 0)) -> np.ndarray:
    """Compute the framewise displacement: sum of the movements from volume to volume.

    Rotations count as way on a sphere (Power 2012, doi:10.1016/j.neuroimage.2011.10.018).

    Parameters
    ----------
    motions : ndarray, shape (n, 4, 4)
        One a volume.
    radius_mm : float
        Of the sphere.
    centre : sequence of float
        Middle of the brain, mm: translations are counted there.

    Returns
    -------
    ndarray, shape (n - 1,)
        mm.

    Examples
    --------
    >>> moved = np.stack([np.eye(4), np.eye(4)]); moved[1, 0, 3] = 2
    >>> displacement(moved).tolist()
    [2.0]
    """
    centre = np.append(np.asarray(centre, float), 1)
    found = []
    for before, after in pairwise(motions):
        angles = np.radians(rotation_angles(rotation_of(after) @ rotation_of(before).T))
        step = ((after - before) @ centre)[:3]
        found.append(np.abs(step).sum() + radius_mm * np.abs(angles).sum())
    return np.array(found)


def rotation_angles(motion: np.ndarray) -> tuple[float, float, float]:
    """Return the rotations about x, y and z of the world, in degrees.

    Examples
    --------
    >>> rotation_angles(np.eye(4))
    (0.0, 0.0, 0.0)
    """
    turned = rotation_of(motion)
    x = np.arctan2(turned[2, 1], turned[2, 2])
    y = -np.arcsin(np.clip(turned[2, 0], -1, 1))
    z = np.arctan2(turned[1, 0], turned[0, 0])
    return tuple(float(np.degrees(angle) + 0.0) for angle in (x, y, z))
