"""The wall of a cavity, and how thick something lies on it, place by place.

A layer around the ventricles is judged by how much of the wall carries it. Percentiles over the
voxels of a lesion do not tell that: a long tongue and a halo can have the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from csvdprep.core.errors import MeasureError
from csvdprep.science.distances import DELTA, isotropic_mask, voxel_sizes
from csvdprep.science.shapes import voxel_volume

__all__ = ['Wall', 'check_ventricles', 'find_wall', 'horn_ends', 'thickness_on']

#: Lateral ventricles smaller than this (mL) are a failed segmentation, not a small brain's.
LEAST_VENTRICLES_ML = 3.0
#: Width (mm) over which the direction of the wall is averaged.
SMOOTH_MM = 1.5
#: Steps along the way outwards, mm.
STEP_MM = 0.5
#: A place of the wall is left behind where another is this much nearer (share of the distance).
OWN = 0.75
#: How far the wall of voxels lies off the true one, mm.
SLACK_MM = 0.5


@dataclass(frozen=True, slots=True)
class Wall:
    """Places of a wall, one a voxel of an isotropic grid.

    Attributes
    ----------
    points : ndarray, shape (n, 3)
        Positions on the wall, mm.
    outwards : ndarray, shape (n, 3)
        Unit vectors away from the cavity.
    reach : ndarray, shape (n,)
        How far (mm) one can go outwards before another place of the wall is nearer.
    """

    points: np.ndarray
    outwards: np.ndarray
    reach: np.ndarray


def check_ventricles(mask: np.ndarray, affine: np.ndarray) -> None:
    """Refuse lateral ventricles that cannot be those of a patient.

    Parameters
    ----------
    mask : ndarray of bool, shape (nx, ny, nz)
        Lateral ventricles.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm.

    Raises
    ------
    csvdprep.core.errors.MeasureError
        If there are less than 3 mL of them: all distances would be wrong.

    Examples
    --------
    >>> check_ventricles(np.ones((20, 20, 20), bool), np.eye(4))
    """
    ml = np.count_nonzero(mask) * voxel_volume(affine) / 1000
    if ml < LEAST_VENTRICLES_ML:
        raise MeasureError(
            f'Only {ml:.1f} mL of lateral ventricles were found: there is no distance from them.'
        )


def horn_ends(wall: Wall, length_mm: float) -> np.ndarray:
    """Find the ends of the horns: the front and back ends of the wall, on either side.

    Parameters
    ----------
    wall : Wall
        Of the lateral ventricles, mm in RAS+.
    length_mm : float
        What counts as an end, mm along the anterior-posterior axis.

    Returns
    -------
    ndarray of bool, shape (n,)

    Examples
    --------
    >>> points = np.array([[x, y, 0.0] for x in (-9, 9) for y in range(-30, 31, 10)])
    >>> wall = Wall(points, 0 * points, 0 * points[:, 0])
    >>> points[horn_ends(wall, 12)][:4, 1].tolist()
    [-30.0, -20.0, 20.0, 30.0]
    """
    x, y = wall.points[:, 0], wall.points[:, 1]
    ends = np.zeros(len(y), dtype=bool)
    right = x > (x.min(initial=0) + x.max(initial=0)) / 2
    for side in (right, ~right):
        if side.any():
            ends[side] = (y[side] > y[side].max() - length_mm) | (
                y[side] < y[side].min() + length_mm
            )
    return ends


def find_wall(mask: np.ndarray, affine: np.ndarray, *, reach_mm: float = 15.0) -> Wall:
    """Find the outer wall of a cavity.

    Parameters
    ----------
    mask : ndarray, shape (nx, ny, nz)
        The cavity; what it encloses belongs to it.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm (RAS+).
    reach_mm : float
        Greatest distance, mm, that will be looked at.

    Returns
    -------
    Wall
        On an isotropic grid of at most 1 mm.

    Raises
    ------
    csvdprep.core.errors.MeasureError
        If the mask is empty.

    Examples
    --------
    >>> index = np.indices((40, 40, 40)) - 20
    >>> ball = (index**2).sum(0) <= 100
    >>> wall = find_wall(ball, np.eye(4))
    >>> radius = np.linalg.norm(wall.points - 20, axis=1)
    >>> bool(abs(radius - 10).max() < 1), bool(wall.reach.min() > 14)
    (True, True)
    """
    if not np.any(mask):
        raise MeasureError('There is no wall of the ventricles: the mask is empty.')
    inside, grid = isotropic_mask(mask, affine, margin_mm=reach_mm + 2)
    inside = ndi.binary_fill_holes(inside)
    edge = float(voxel_sizes(grid).mean())
    voxels = np.argwhere(inside & ~ndi.binary_erosion(inside))
    smooth = ndi.gaussian_filter(inside.astype(np.float32), SMOOTH_MM / edge)
    slope = np.stack([-part[tuple(voxels.T)] for part in np.gradient(smooth)], axis=1)
    length = np.linalg.norm(slope, axis=1)
    known = length > 1e-6
    voxels, outwards = voxels[known], slope[known] / length[known, None]
    distance = ndi.distance_transform_edt(~inside).astype(np.float32)
    reach = np.full(len(voxels), reach_mm)
    for depth in np.arange(reach_mm, 0, -1.0):
        at = voxels + outwards * (depth / edge + DELTA)
        found = ndi.map_coordinates(distance, at.T, order=1, mode='nearest') - DELTA
        reach[found * edge < OWN * depth - SLACK_MM] = depth - 1
    axes = grid[:3, :3] / edge
    surface = voxels + DELTA * outwards
    return Wall(surface @ grid[:3, :3].T + grid[:3, 3], outwards @ axes.T, reach)


def thickness_on(
    wall: Wall, mask: np.ndarray, affine: np.ndarray, *, gap_mm: float = 3.0
) -> np.ndarray:
    """Measure how far a layer reaches outwards from each place of a wall.

    Parameters
    ----------
    wall : Wall
        From `find_wall`.
    mask : ndarray of bool, shape (nx, ny, nz)
        The layer, on a grid of its own.
    affine : ndarray, shape (4, 4)
        From voxel indices of ``mask`` to mm.
    gap_mm : float
        A gap up to this width does not end the layer, neither at the wall nor further out. It is
        never less than a voxel's extent in that direction.

    Returns
    -------
    ndarray, shape (n,)
        Distance, mm, from the wall to the outer border of the layer; 0 where there is none. In
        the direction of voxels longer than ``gap_mm`` the border is known to half their length
        only: half of what they exceed it by is taken off.

    Examples
    --------
    >>> index = np.indices((60, 60, 60)) - 30
    >>> radius = np.sqrt((index**2).sum(0))
    >>> wall = find_wall(radius <= 10, np.eye(4))
    >>> band = (radius > 12) & (radius <= 18)
    >>> bool(abs(np.median(thickness_on(wall, band, np.eye(4))) - 8) < 0.6)
    True
    """
    mask = np.asarray(mask, dtype=bool)
    affine = np.asarray(affine, dtype=float)
    sizes = voxel_sizes(affine)
    axes = affine[:3, :3] / sizes
    extent = (np.abs(wall.outwards @ axes) * sizes).max(axis=1)
    gap = np.maximum(gap_mm, extent)
    to_voxel = np.linalg.inv(affine)
    start = wall.points @ to_voxel[:3, :3].T + to_voxel[:3, 3]
    step = wall.outwards @ to_voxel[:3, :3].T
    end = np.zeros(len(start))
    for outer in np.arange(STEP_MM, wall.reach.max(initial=0) + 1e-6, STEP_MM):
        inner = outer - STEP_MM
        at = np.rint(start + step * (outer - STEP_MM / 2)).astype(int)
        seen = ((at >= 0) & (at < mask.shape)).all(axis=1) & (outer <= wall.reach + 1e-6)
        hit = seen.copy()
        hit[seen] = mask[tuple(at[seen].T)]
        end = np.where(hit & (inner - end <= gap + 1e-6), outer, end)
    unsure = np.maximum(0, extent - gap_mm) / 2
    return np.where(end > 0, np.maximum(end - unsure, STEP_MM), 0)
