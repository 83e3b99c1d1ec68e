"""Align a volume with its prediction: both have one contrast, so squared differences do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi
from scipy.spatial.transform import Rotation

#: Smoothing (FWHM, mm) of each level, and steps taken there.
LEVELS = ((8.0, 12), (3.0, 15))
#: A level ends when no point of the head moves further by a step, mm.
STILL = 0.003
#: Voxels of the brain that take part.
MOST_VOXELS = 60_000
#: Residuals beyond so many robust SD count less (Huber).
OUTLYING = 2.5


@dataclass(frozen=True, eq=False)
class Target:
    """An image to align volumes with.

    Parameters
    ----------
    image : ndarray of float32, shape (nx, ny, nz)
        The prediction.
    brain : ndarray of bool, shape (nx, ny, nz)
        Where to compare.
    affine : ndarray, shape (4, 4)
        Voxel to world, mm.
    along : ndarray, shape (3,), or None
        Unit vector of the axis of encoding; with it shifts along it that are linear in the
        place (eddy currents) are found beside the motion.
    """

    image: np.ndarray
    brain: np.ndarray
    affine: np.ndarray
    along: np.ndarray | None = None

    def find(self, moving: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Find the transform that aligns a volume.

        The target is moved against the volume (inverse compositional, Baker and Matthews 2004,
        doi:10.1023/B:VISI.0000011205.11775.fd), so that its slopes are computed once a level.

        Parameters
        ----------
        moving : ndarray, shape (nx, ny, nz)
            The volume, on the same grid.
        start : ndarray, shape (4, 4)
            From where to search: takes world points of the target to the volume.

        Returns
        -------
        ndarray, shape (4, 4)
            As ``start``.
        """
        matrix = np.array(start, float)
        for fwhm_mm, steps in LEVELS:
            matrix = self._level(moving, matrix, fwhm_mm, steps)
        return matrix

    def _level(self, moving, matrix, fwhm_mm, steps):
        size = np.linalg.norm(self.affine[:3, :3], axis=0)
        sigma = fwhm_mm / 2.355 / size
        fixed = ndi.gaussian_filter(self.image, sigma, output=np.float32)
        seen = ndi.gaussian_filter(moving.astype(np.float32, copy=False), sigma)
        voxels = np.argwhere(self.brain)
        voxels = voxels[:: max(1, len(voxels) // MOST_VOXELS)]
        at = tuple(voxels.T)
        world = voxels @ self.affine[:3, :3].T + self.affine[:3, 3]
        centre = world.mean(axis=0)
        local = world - centre
        # Slopes in the world from those along the array's axes.
        rise = np.stack([_slope(fixed, at, axis) for axis in range(3)], axis=1)
        rise = rise @ np.linalg.inv(self.affine[:3, :3])
        columns = [rise, np.cross(local, rise)]
        if self.along is not None:
            columns.append((rise @ self.along)[:, None] * local)
        design = np.concatenate(columns, axis=1)
        value = fixed[at].astype(float)
        inverse = np.linalg.inv(self.affine)
        for _ in range(steps):
            index = inverse @ matrix @ self.affine
            points = index[:3, :3] @ voxels.T + index[:3, 3:]
            found = ndi.map_coordinates(seen, points, order=1, cval=np.nan).astype(float)
            use = np.isfinite(found) & (value > 0)
            if use.sum() < 50 * design.shape[1]:
                return matrix
            # A volume's scale is its own: receivers drift.
            scale = np.median(found[use]) / np.median(value[use])
            rest = (found / scale - value) * use
            rest[~use] = 0
            spread = 1.4826 * np.median(np.abs(rest[use])) + 1e-9
            weight = use / np.maximum(1, np.abs(rest) / (OUTLYING * spread))
            normal = design.T @ (design * weight[:, None])
            normal += 1e-9 * np.trace(normal) * np.eye(len(normal)) / len(normal)
            step = np.linalg.solve(normal, design.T @ (weight * rest))
            change = _transform(step, centre, self.along)
            matrix = matrix @ np.linalg.inv(change)
            moved = np.abs(local @ (change[:3, :3] - np.eye(3)).T + step[:3]).max()
            if moved < STILL:
                break
        return matrix


def _slope(image: np.ndarray, at, axis: int) -> np.ndarray:
    """Return central differences at some voxels, per voxel."""
    count = image.shape[axis]
    up, down = list(at), list(at)
    up[axis] = np.minimum(at[axis] + 1, count - 1)
    down[axis] = np.maximum(at[axis] - 1, 0)
    return (image[tuple(up)] - image[tuple(down)]).astype(float) / (up[axis] - down[axis])


def _transform(step: np.ndarray, centre: np.ndarray, along: np.ndarray | None) -> np.ndarray:
    """Write shift, small rotation and, along an axis, linear shift as a matrix."""
    out = np.eye(4)
    out[:3, :3] = Rotation.from_rotvec(step[3:6]).as_matrix()
    if along is not None:
        out[:3, :3] += np.outer(along, step[6:9])
    out[:3, 3] = centre + step[:3] - out[:3, :3] @ centre
    return out
