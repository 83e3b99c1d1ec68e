"""The deformation between two visits, found from half-way so that neither is the first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage as ndi

from csvdprep.science.alignment import block_mean

#: Levels of the search: block size (mm), steps.
LEVELS = ((6.0, 20), (4.0, 20), (2.5, 20))
#: Smoothing of each update and of the velocity (SD), in voxels of the level.
FLUID, ELASTIC = 1.5, 0.7
#: Differences are compared in a window of this SD, voxels.
WINDOW = 1.0
#: Longest step, in voxels of the level.
LONGEST = 0.5
#: The search at a level ends when the mean difference falls by less than this share.
STILL = 2e-3
SQUARINGS = 3


def exponential(velocity: np.ndarray) -> np.ndarray:
    """Return the displacement of the flow along a stationary velocity, by scaling and squaring.

    Parameters
    ----------
    velocity : ndarray, shape (3, I, J, K)
        In voxels.

    Returns
    -------
    ndarray, shape (3, I, J, K)
        Displacement of each voxel, voxels.

    References
    ----------
    .. [1] Arsigny V. et al. (2006) A log-Euclidean framework for statistics on diffeomorphisms.
       doi:10.1007/11866565_113

    Examples
    --------
    >>> steady = np.zeros((3, 8, 8, 8)); steady[0] = 0.5
    >>> float(exponential(steady)[0, 4, 4, 4])
    0.5
    """
    field = np.asarray(velocity) / 2**SQUARINGS
    grid = np.indices(field.shape[1:], dtype=np.float32)
    for _ in range(SQUARINGS):
        at = grid + field
        field = field + np.stack(
            [ndi.map_coordinates(part, at, order=1, mode='nearest') for part in field]
        )
    return field


def half_velocity(images: Sequence[np.ndarray], where: np.ndarray, voxel_mm) -> tuple:
    """Find the velocity that takes the brain of one visit to that of the other.

    Parameters
    ----------
    images : two ndarray of float32, shape (I, J, K)
        On one grid and one scale.
    where : ndarray of bool
        What takes part.
    voxel_mm : ndarray, shape (3,)
        Voxel size.

    Returns
    -------
    velocity : ndarray of float32, shape (3, A, B, C)
        On coarse blocks, in their voxels. Half of its flow takes the earlier, half of the
        opposite the later visit to the middle between them. With the images in reverse order it
        is the opposite.
    blocks : ndarray of int, shape (3,)
        Size of a block in voxels.

    Notes
    -----
    Both images are warped towards each other, and both give the gradient, so that neither is the
    first (symmetric log-domain demons [1]_).

    References
    ----------
    .. [1] Vercauteren T. et al. (2008) Symmetric log-domain diffeomorphic registration: a
       demons-based approach. doi:10.1007/978-3-540-85988-8_90
    """
    voxel_mm, velocity, last = np.asarray(voxel_mm, float), None, None
    for size_mm, steps in LEVELS:
        blocks = np.maximum(1, np.round(size_mm / voxel_mm)).astype(int)
        if last is not None and (blocks == last).all():
            continue
        two = [block_mean(np.asarray(image, np.float32), blocks) for image in images]
        inside = block_mean(where.astype(np.float32), blocks)
        if velocity is None:
            velocity = np.zeros((3, *inside.shape), np.float32)
        else:
            velocity = _finer(velocity, last, blocks, inside.shape)
        velocity = _level(two, inside, velocity, steps)
        last = blocks
    return velocity, last


def _finer(velocity, old, new, shape) -> np.ndarray:
    """Bring a velocity from blocks of one size to those of another."""
    index = np.indices(shape, dtype=np.float32)
    at = [
        (index[a] * new[a] + (new[a] - 1) / 2 - (old[a] - 1) / 2) / np.float32(old[a])
        for a in range(3)
    ]
    return np.stack(
        [
            ndi.map_coordinates(part, at, order=1, mode='nearest') * np.float32(old[a] / new[a])
            for a, part in enumerate(velocity)
        ]
    )


def _level(two, inside, velocity, steps) -> np.ndarray:
    grid = np.indices(inside.shape, dtype=np.float32)
    use = inside > 0.5
    best = np.inf
    for _ in range(steps):
        # What the middle sees of each visit lies half a flow away in either direction.
        seen = [
            ndi.map_coordinates(
                image, grid + exponential(sign * velocity), order=1, mode='nearest'
            )
            for image, sign in zip(two, (-0.5, 0.5), strict=True)
        ]
        rest = seen[1] - seen[0]
        cost = float(np.mean(np.abs(rest[use]), dtype=float))
        if cost > best * (1 - STILL):
            break
        best = cost
        mean = np.gradient((seen[0] + seen[1]) / 2)
        square = sum(part * part for part in mean)
        noise = float(np.median(np.abs(rest[use]))) ** 2 + 1e-8
        weight = inside / (ndi.gaussian_filter(square * inside, WINDOW) + np.float32(noise))
        step = np.stack(
            [-ndi.gaussian_filter(part * rest * inside, WINDOW) * weight for part in mean]
        )
        length = np.sqrt((step**2).sum(axis=0))
        step *= np.minimum(1, LONGEST / np.maximum(length, 1e-6))
        step = np.stack([ndi.gaussian_filter(part, FLUID) for part in step])
        velocity = np.stack([ndi.gaussian_filter(p, ELASTIC) for p in velocity + step])
    return velocity


def log_jacobian(velocity: np.ndarray, blocks, shape) -> np.ndarray:
    """Return the logarithm of the ratio of volumes, later over earlier visit, seen from half-way.

    Parameters
    ----------
    velocity : ndarray, shape (3, A, B, C)
        Of `half_velocity`.
    blocks : ndarray of int, shape (3,)
        Size of a block in voxels.
    shape : tuple of int
        Shape of the fine grid.

    Returns
    -------
    ndarray of float32, shape ``shape``

    Examples
    --------
    >>> x = np.arange(20.0) - 9.5
    >>> grow = 0.02 * np.stack(np.meshgrid(x, x, x, indexing='ij'))
    >>> round(float(log_jacobian(grow, (1, 1, 1), (20, 20, 20))[10, 10, 10]), 3)
    0.06
    """
    later, earlier = (_log_determinant(exponential(s * velocity)) for s in (0.5, -0.5))
    ratio = (later - earlier).astype(np.float32)
    index = np.indices(shape, dtype=np.float32)
    at = [(index[a] - (blocks[a] - 1) / 2) / np.float32(blocks[a]) for a in range(3)]
    return ndi.map_coordinates(ratio, at, order=1, mode='nearest').astype(np.float32)


def _log_determinant(shift) -> np.ndarray:
    slopes = np.stack([np.stack(np.gradient(part)) for part in shift])
    matrix = np.moveaxis(slopes, (0, 1), (-2, -1)) + np.eye(3)
    return np.log(np.maximum(np.linalg.det(matrix), 1e-3))
