"""Distances in mm from a structure, independent of the grid on which they are asked for.

Distances that are computed on the grid of a 2D scan are wrong by up to a third where they
matter: the voxels are as large as the distances. The transform is therefore made on an
isotropic grid of at most 1 mm, and a quarter of a voxel is taken off, because the centre of the
nearest voxel of a structure lies behind the surface of that structure.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

__all__ = [
    'DELTA',
    'distance_at',
    'distance_map',
    'isotropic_grid',
    'isotropic_mask',
    'voxel_sizes',
]

#: Part of a voxel that is taken off, so that shells around a sphere have their true volume.
DELTA = 0.25


def voxel_sizes(affine: np.ndarray) -> np.ndarray:
    """Give the edge lengths of a voxel.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        From voxel indices to mm.

    Returns
    -------
    ndarray, shape (3,)
        Lengths in mm.

    Examples
    --------
    >>> import numpy as np
    >>> affine = np.array([[0, 0, 3, 9], [-0.5, 0, 0, 9], [0, 0.5, 0, 9], [0, 0, 0, 1]])
    >>> voxel_sizes(affine).tolist()
    [0.5, 0.5, 3.0]
    """
    return np.sqrt((np.asarray(affine, dtype=float)[:3, :3] ** 2).sum(axis=0))


def isotropic_grid(affine: np.ndarray, spacing: float = 1.0) -> np.ndarray:
    """Choose the axes of the isotropic grid on which distances from a mask are computed.

    A mask whose voxels are (nearly) cubes between 0.6 mm and ``spacing`` keeps its own grid;
    any other gets cubes of ``spacing`` along its own axes.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        Grid of the mask, from voxel indices to mm.
    spacing : float
        Edge of the cubes, mm.

    Returns
    -------
    ndarray, shape (4, 4)
        Affine of the isotropic grid. Its origin is the centre of the mask's first voxel.

    Examples
    --------
    >>> import numpy as np
    >>> isotropic_grid(np.diag([0.9, 0.9, 5.0, 1.0])).diagonal().tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    affine = np.asarray(affine, dtype=float)
    sizes = voxel_sizes(affine)
    axes = affine[:3, :3] / sizes
    # The nearest orthonormal axes: headers of tilted scans may hold a little shear.
    left, _, right = np.linalg.svd(axes)
    straight = left @ right
    nearly_cubes = sizes.max() <= 1.02 * sizes.min() and np.allclose(axes, straight, atol=1e-3)
    if nearly_cubes and 0.6 * spacing <= sizes.min() and sizes.max() <= 1.02 * spacing:
        return affine
    grid = affine.copy()
    grid[:3, :3] = straight * spacing
    return grid


def distance_at(
    mask: np.ndarray,
    affine: np.ndarray,
    points: np.ndarray,
    *,
    spacing: float = 1.0,
    delta: float = DELTA,
) -> np.ndarray:
    """Compute the distance of points in space from a structure.

    ``d = max(EDT - delta * spacing, 0)`` with the exact Euclidean distance transform EDT (mm,
    to the centre of the structure's nearest voxel) on the grid of `isotropic_grid`, read out by
    linear interpolation.

    Parameters
    ----------
    mask : ndarray, shape (nx, ny, nz)
        The structure: a mask, or a probability that is cut at 0.5.
    affine : ndarray, shape (4, 4)
        Grid of the mask, from voxel indices to mm.
    points : ndarray, shape (n, 3)
        Positions in mm.
    spacing : float
        Largest edge of the isotropic grid's voxels, mm.
    delta : float
        Part of a voxel that is taken off.

    Returns
    -------
    ndarray of float32, shape (n,)
        Distances in mm, 0 inside the structure, infinite if the mask is empty.

    Raises
    ------
    ValueError
        If ``mask`` is not three-dimensional.

    Notes
    -----
    On shells around spheres of 12 to 20 mm radius the volumes within 3 and 13 mm are right to
    2 % when the sphere is given at 1 mm; the plain transform on a grid of 0.5 x 0.5 x 5 mm
    misses 38 % of the inner shell. Between thick slices of the mask the surface is put where
    the signed distances of the two slices' voxels interpolate to zero.

    Examples
    --------
    >>> import numpy as np
    >>> slab = np.zeros((20, 5, 5), np.uint8)
    >>> slab[:5] = 1
    >>> distance_at(slab, np.eye(4), np.array([[2.0, 2, 2], [7.0, 2, 2], [7.5, 2, 2]])).tolist()
    [0.0, 2.75, 3.25]
    """
    mask = np.asarray(mask)
    if mask.ndim != 3:
        raise ValueError(f'A mask needs three dimensions, this one has {mask.ndim}.')
    points = np.asarray(points, dtype=float).reshape(-1, 3)
    box = _box(mask >= 0.5)
    if box is None:
        return np.full(len(points), np.inf, dtype=np.float32)
    if not len(points):
        return np.empty(0, dtype=np.float32)

    grid = isotropic_grid(affine, spacing)
    edge = float(voxel_sizes(grid).mean())
    to_grid = np.linalg.inv(grid)
    corners = np.stack(np.meshgrid(*box, indexing='ij'), axis=-1).reshape(-1, 3)
    corners = _apply(to_grid @ affine, corners)
    wanted = _apply(to_grid, points)
    # One voxel more all round: points between the centres of the outermost voxels.
    first = np.floor(np.minimum(corners.min(axis=0), wanted.min(axis=0))).astype(int) - 1
    last = np.ceil(np.maximum(corners.max(axis=0), wanted.max(axis=0))).astype(int) + 1

    inside = _onto(mask, affine, grid, first, last - first + 1)
    distance = ndi.distance_transform_edt(~inside).astype(np.float32)
    distance = np.maximum(distance - delta, 0) * edge
    wanted -= first
    return ndi.map_coordinates(distance, wanted.T, order=1, mode='nearest').astype(np.float32)


def isotropic_mask(
    mask: np.ndarray, affine: np.ndarray, *, margin_mm: float = 0.0, spacing: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Bring a mask onto the isotropic grid of `isotropic_grid`, cut to its surroundings.

    Parameters
    ----------
    mask : ndarray, shape (nx, ny, nz)
        The structure: a mask, or a probability that is cut at 0.5.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm.
    margin_mm : float
        What is kept around the structure, mm.
    spacing : float
        Largest edge of the isotropic grid's voxels, mm.

    Returns
    -------
    inside : ndarray of bool
    grid : ndarray, shape (4, 4)
        Affine of ``inside``.

    Raises
    ------
    ValueError
        If the mask is empty.

    Examples
    --------
    >>> import numpy as np
    >>> mask = np.zeros((9, 9, 9), bool)
    >>> mask[4, 4, 4] = True
    >>> inside, grid = isotropic_mask(mask, np.eye(4), margin_mm=1)
    >>> inside.shape, grid[:3, 3].tolist(), np.argwhere(inside).tolist()
    ((7, 7, 7), [1.0, 1.0, 1.0], [[3, 3, 3]])
    """
    mask = np.asarray(mask)
    box = _box(mask >= 0.5)
    if box is None:
        raise ValueError('The mask is empty.')
    grid = isotropic_grid(affine, spacing)
    margin = margin_mm / float(voxel_sizes(grid).mean())
    corners = np.stack(np.meshgrid(*box, indexing='ij'), axis=-1).reshape(-1, 3)
    corners = _apply(np.linalg.inv(grid) @ affine, corners)
    first = np.floor(corners.min(axis=0) - margin).astype(int) - 1
    last = np.ceil(corners.max(axis=0) + margin).astype(int) + 1
    inside = _onto(mask, affine, grid, first, last - first + 1)
    grid = grid.copy()
    grid[:3, 3] += grid[:3, :3] @ first
    return inside, grid


def distance_map(
    mask: np.ndarray,
    affine: np.ndarray,
    shape: tuple[int, int, int],
    target_affine: np.ndarray,
    *,
    where: np.ndarray | None = None,
    spacing: float = 1.0,
    delta: float = DELTA,
) -> np.ndarray:
    """Compute the distance from a structure for the voxels of another grid.

    Parameters
    ----------
    mask : ndarray, shape (nx, ny, nz)
        The structure: a mask, or a probability that is cut at 0.5.
    affine : ndarray, shape (4, 4)
        Grid of the mask, from voxel indices to mm.
    shape, target_affine : tuple of int, ndarray of shape (4, 4)
        The grid on which distances are wanted. It may have any orientation and voxel size.
    where : ndarray of bool, optional
        Voxels of that grid for which distances are wanted; all by default.
    spacing, delta : float
        As in `distance_at`.

    Returns
    -------
    ndarray of float32, shape ``shape``
        Distances in mm, NaN outside of ``where``, infinite if the mask is empty.

    Raises
    ------
    ValueError
        If ``where`` has another shape than ``shape``.

    Examples
    --------
    >>> import numpy as np
    >>> ball = np.zeros((9, 9, 9), bool)
    >>> ball[4, 4, 4] = True
    >>> thick = np.diag([1.0, 1.0, 4.0, 1.0])
    >>> distance_map(ball, np.eye(4), (9, 9, 3), thick)[4, 4].tolist()
    [3.75, 0.0, 3.75]
    """
    target_affine = np.asarray(target_affine, dtype=float)
    where = np.ones(shape, dtype=bool) if where is None else np.asarray(where, dtype=bool)
    if where.shape != tuple(shape):
        raise ValueError(f'`where` has shape {where.shape}, the grid has {tuple(shape)}.')
    chosen = np.argwhere(where)
    result = np.full(shape, np.nan, dtype=np.float32)
    result[where] = distance_at(
        mask, affine, _apply(target_affine, chosen), spacing=spacing, delta=delta
    )
    return result


def _apply(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ affine[:3, :3].T + affine[:3, 3]


def _box(mask: np.ndarray) -> list[np.ndarray] | None:
    """First and last index of a mask along each axis, with the outer halves of the voxels."""
    edges = []
    for axis in range(3):
        found = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if not len(found):
            return None
        edges.append(np.array([found[0] - 0.5, found[-1] + 0.5]))
    return edges


def _onto(
    mask: np.ndarray, affine: np.ndarray, grid: np.ndarray, first: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """Bring a mask onto a box of the isotropic grid, from index ``first``, of ``size`` voxels."""
    to_mask = np.linalg.inv(affine) @ grid
    if np.allclose(to_mask, np.eye(4), atol=1e-4):
        inside = np.zeros(size, dtype=bool)
        start = np.maximum(first, 0)
        stop = np.minimum(first + size, mask.shape)
        source = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        target = tuple(slice(a, b) for a, b in zip(start - first, stop - first, strict=True))
        inside[target] = mask[source] >= 0.5
        return inside
    # Signed distances change smoothly between the slices where the mask itself would make steps.
    box = tuple(slice(int(edge[0] + 0.5), int(edge[1] + 0.5) + 1) for edge in _box(mask >= 0.5))
    part = np.pad(mask[box] >= 0.5, 1)
    sizes = voxel_sizes(affine)
    signed = ndi.distance_transform_edt(part, sizes) - ndi.distance_transform_edt(~part, sizes)
    start = np.array([edge.start - 1 for edge in box])
    offset = to_mask[:3, :3] @ first + to_mask[:3, 3] - start
    inside = (
        ndi.affine_transform(
            signed.astype(np.float32),
            to_mask[:3, :3],
            offset,
            output_shape=tuple(size),
            order=1,
            mode='nearest',
        )
        >= 0
    )
    # What is thinner than the grid may fall between its points: such voxels count as one point.
    centres = _apply(np.linalg.inv(to_mask), np.argwhere(part) + start) - first
    centres = np.round(centres).astype(int)
    near = ndi.binary_dilation(inside, np.ones((3, 3, 3), dtype=bool))
    lost = centres[~near[tuple(centres.T)]]
    inside[tuple(lost.T)] = True
    return inside
