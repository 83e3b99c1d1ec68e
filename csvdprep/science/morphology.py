"""Binary morphology in millimetres, on grids of any voxel size."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

#: Face neighbourhood in three dimensions.
FACES = ndimage.generate_binary_structure(3, 1)


def bounding_box(mask: np.ndarray, margin: int = 0) -> tuple[slice, ...]:
    """Return the slices that hold every true voxel, widened by a margin.

    Parameters
    ----------
    mask : ndarray of bool
        Any number of dimensions.
    margin : int
        Voxels added on each side, clipped at the border of the array.

    Returns
    -------
    tuple of slice
        One per axis; the whole array if nothing is true.

    Examples
    --------
    >>> mask = np.zeros((6, 6), bool); mask[2, 3] = True
    >>> bounding_box(mask, 1)
    (slice(1, 4, None), slice(2, 5, None))

    """
    found = []
    for axis, size in enumerate(mask.shape):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        where = np.flatnonzero(mask.any(axis=others))
        if where.size == 0:
            return tuple(slice(0, extent) for extent in mask.shape)
        found.append(slice(max(0, int(where[0]) - margin), min(size, int(where[-1]) + 1 + margin)))
    return tuple(found)


def largest_component(mask: np.ndarray, structure: np.ndarray | None = None) -> np.ndarray:
    """Keep the largest connected component; of equal ones the first in memory order.

    Parameters
    ----------
    mask : ndarray of bool
        Any number of dimensions.
    structure : ndarray of bool, optional
        Neighbourhood; faces by default.

    Returns
    -------
    ndarray of bool
        Same shape; empty where the input is.

    Examples
    --------
    >>> largest_component(np.array([True, False, True, True])).tolist()
    [False, False, True, True]

    """
    labels, count = ndimage.label(mask, structure)
    if count == 0:
        return np.zeros(mask.shape, bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == sizes.argmax()


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """Fill what the mask encloses, in three dimensions or within any plane of the stack.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        The mask.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        Mask without enclosed background.

    Examples
    --------
    >>> shell = np.ones((3, 3, 3), bool); shell[1, 1, 1] = False
    >>> bool(fill_holes(shell).all())
    True

    """
    filled = mask.astype(bool).copy()
    box = bounding_box(filled, 1)
    filled[box] = ndimage.binary_fill_holes(filled[box])
    return filled


def distance_outside(mask: np.ndarray, voxel_mm) -> np.ndarray:
    """Distance of each voxel to the nearest true voxel, zero inside.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        Must hold at least one true voxel.
    voxel_mm : sequence of 3 float
        Voxel size in mm.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        Centre-to-centre distance in mm.

    Examples
    --------
    >>> mask = np.zeros((1, 1, 3), bool); mask[..., 0] = True
    >>> distance_outside(mask, (1, 1, 4)).ravel().tolist()
    [0.0, 4.0, 8.0]

    """
    blank = ~mask.astype(bool)
    return ndimage.distance_transform_edt(blank, tuple(map(float, voxel_mm))).astype(np.float32)


def dilate(mask: np.ndarray, voxel_mm, radius_mm: float) -> np.ndarray:
    """Grow a mask by a ball of the given radius.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        The mask.
    voxel_mm : sequence of 3 float
        Voxel size in mm.
    radius_mm : float
        Radius in mm; voxels whose centre lies that far or nearer are added.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        The grown mask.

    Examples
    --------
    >>> mask = np.zeros((1, 1, 5), bool); mask[..., 2] = True
    >>> dilate(mask, (1, 1, 3), 3).ravel().astype(int).tolist()
    [0, 1, 1, 1, 0]

    """
    mask = mask.astype(bool)
    grown = mask.copy()
    if not mask.any():
        return grown
    margin = int(np.ceil(radius_mm / min(voxel_mm))) + 1
    box = bounding_box(mask, margin)
    grown[box] = distance_outside(mask[box], voxel_mm) <= radius_mm + 1e-4
    return grown


def erode(mask: np.ndarray, voxel_mm, radius_mm: float) -> np.ndarray:
    """Shrink a mask by a ball of the given radius; the border of the array does not erode.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        The mask.
    voxel_mm : sequence of 3 float
        Voxel size in mm.
    radius_mm : float
        Radius in mm.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        The shrunken mask.

    Examples
    --------
    >>> mask = np.zeros((1, 1, 7), bool); mask[..., 1:6] = True
    >>> erode(mask, (1, 1, 1), 1).ravel().astype(int).tolist()
    [0, 0, 1, 1, 1, 0, 0]

    """
    mask = mask.astype(bool)
    if mask.all() or not mask.any():
        return mask.copy()
    shrunk = np.zeros_like(mask)
    box = bounding_box(mask, 1)
    inside = mask[box]
    if inside.all():
        shrunk[box] = True
        return shrunk
    shrunk[box] = inside & (distance_outside(~inside, voxel_mm) > radius_mm + 1e-4)
    return shrunk


def open_mm(mask: np.ndarray, voxel_mm, radius_mm: float) -> np.ndarray:
    """Erode, then dilate by a ball of the given radius in mm.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        The mask.
    voxel_mm : sequence of 3 float
        Voxel size in mm.
    radius_mm : float
        Radius in mm.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        The mask without what is thinner than the ball.

    Examples
    --------
    >>> mask = np.zeros((9, 9, 9), bool); mask[2:7, 2:7, 2:7] = True; mask[8, 4, 4] = True
    >>> bool(open_mm(mask, (1, 1, 1), 1)[8, 4, 4])
    False

    """
    return dilate(erode(mask, voxel_mm, radius_mm), voxel_mm, radius_mm) & mask.astype(bool)


def close_mm(mask: np.ndarray, voxel_mm, radius_mm: float) -> np.ndarray:
    """Dilate, then erode by a ball of the given radius in mm.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        The mask.
    voxel_mm : sequence of 3 float
        Voxel size in mm.
    radius_mm : float
        Radius in mm.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        The mask with gaps narrower than the ball closed.

    Examples
    --------
    >>> mask = np.ones((3, 3, 7), bool); mask[:, :, 3] = False
    >>> bool(close_mm(mask, (1, 1, 1), 1)[1, 1, 3])
    True

    """
    padding = [(int(np.ceil(radius_mm / size)) + 1,) * 2 for size in voxel_mm]
    padded = np.pad(mask.astype(bool), padding)
    closed = erode(dilate(padded, voxel_mm, radius_mm), voxel_mm, radius_mm)
    inner = tuple(
        slice(before, before + size) for (before, _), size in zip(padding, mask.shape, strict=True)
    )
    return closed[inner] | mask.astype(bool)
