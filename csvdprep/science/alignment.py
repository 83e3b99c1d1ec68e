"""Coarse alignment of two heads, and the numbers that say how well two images agree."""

from __future__ import annotations

import itertools

import numpy as np
from scipy import ndimage

#: Rotations tried about the left-right, back-front and bottom-top axes, in degrees.
PITCHES, ROLLS, YAWS = (-40, -20, 0, 20, 40), (-20, 0, 20), (-20, 0, 20)


#: Size of the blocks (mm) in which an image is compared with the template.
COARSE_MM = 6.0
#: Fewest blocks that must overlap for a comparison.
LEAST_COMMON = 500


def block_mean(data: np.ndarray, factors) -> np.ndarray:
    """Average blocks of voxels; what does not fill a last block is averaged over what is there.

    Parameters
    ----------
    data : ndarray, shape (I, J, K)
        Any image.
    factors : sequence of 3 int
        Block size in voxels.

    Returns
    -------
    ndarray of float32
        Shape ``ceil(shape / factors)``.

    Examples
    --------
    >>> block_mean(np.arange(5.).reshape(5, 1, 1), (2, 1, 1)).ravel().tolist()
    [0.5, 2.5, 4.0]

    """
    data = np.asarray(data, np.float32)
    for axis, factor in enumerate(factors):
        if factor > 1:
            starts = np.arange(0, data.shape[axis], factor)
            sums = np.add.reduceat(data, starts, axis=axis)
            counts = np.diff(np.append(starts, data.shape[axis])).astype(np.float32)
            data = sums / counts.reshape([-1 if other == axis else 1 for other in range(3)])
    return np.ascontiguousarray(data)


def coarse_affine(affine: np.ndarray, factors) -> np.ndarray:
    """Affine of the block means of an image: the centre of a block is that of its voxels.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        Voxel to RAS+ mm.
    factors : sequence of 3 int
        Block size in voxels.

    Returns
    -------
    ndarray, shape (4, 4)
        Affine of the result of `block_mean`.

    Examples
    --------
    >>> coarse_affine(np.eye(4), (4, 1, 1))[0].tolist()
    [4.0, 0.0, 0.0, 1.5]

    """
    return moved_affine(affine, (np.asarray(factors) - 1) / 2) @ np.diag([*factors, 1])


def moved_affine(affine: np.ndarray, voxels) -> np.ndarray:
    """Affine of an array that starts at the given voxel of another.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        Voxel to RAS+ mm.
    voxels : sequence of 3 float
        Where the new array starts.

    Returns
    -------
    ndarray, shape (4, 4)
        Affine of the new array.

    Examples
    --------
    >>> moved_affine(np.diag([2., 2, 2, 1]), (0, 5, 0))[1].tolist()
    [0.0, 2.0, 0.0, 10.0]

    """
    shift = np.eye(4)
    shift[:3, 3] = voxels
    return affine @ shift


def mutual_information(first: np.ndarray, second: np.ndarray, bins: int = 32) -> float:
    """Mutual information of two sets of paired values, in nats.

    Parameters
    ----------
    first, second : ndarray, shape (N,)
        Values at the same places.
    bins : int
        Equal bins between the extremes of each.

    Returns
    -------
    float
        Zero for independent values.

    Examples
    --------
    >>> values = np.repeat([0., 1.], 50)
    >>> round(mutual_information(values, 5 - 2 * values), 4)
    0.6931

    """
    table, _, _ = np.histogram2d(first, second, bins=bins)
    joint = table / table.sum()
    product = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    filled = joint > 0
    return float((joint[filled] * np.log(joint[filled] / product[filled])).sum())


def best_start(
    fixed: np.ndarray,
    fixed_affine: np.ndarray,
    moving: np.ndarray,
    moving_affine: np.ndarray,
    *,
    step_mm: float = 6.0,
) -> np.ndarray:
    """Find where to start a registration: as the headers say, or by centres of mass and turned.

    Parameters
    ----------
    fixed, moving : ndarray, shape (I, J, K)
        Images with zero background.
    fixed_affine, moving_affine : ndarray, shape (4, 4)
        Voxel to RAS+ mm.
    step_mm : float
        Distance of the points at which the images are compared.

    Returns
    -------
    ndarray, shape (4, 4)
        Rigid transform that takes fixed to moving points, in RAS+ mm, of greatest mutual
        information among those tried.

    Examples
    --------
    >>> blob = np.zeros((20, 20, 20)); blob[5:15, 6:14, 8:12] = 1; blob[5:8, 6:9, 8:12] = 2
    >>> affine = np.diag([6., 6, 6, 1]); shifted = affine.copy(); shifted[0, 3] = 30
    >>> best_start(blob, affine, blob, shifted)[:3, 3].round(3).tolist()
    [30.0, 0.0, 0.0]

    """
    strides = np.maximum(1, np.round(step_mm / _voxel_mm(fixed_affine))).astype(int)
    grid = np.indices(-(-np.array(fixed.shape) // strides))
    voxels = grid.reshape(3, -1) * strides[:, None]
    values = block_mean(fixed, strides).ravel()
    points = fixed_affine[:3, :3] @ (voxels + (strides[:, None] - 1) / 2) + fixed_affine[:3, 3:]
    smooth = ndimage.gaussian_filter(moving.astype(np.float32), 2.0 / _voxel_mm(moving_affine))
    to_voxel = np.linalg.inv(moving_affine)
    centre, target = _centre(fixed, fixed_affine), _centre(moving, moving_affine)
    best, best_score = np.eye(4), -np.inf
    starts = [np.eye(4)]
    # Small turns first: of equal ones the first is kept.
    turns = sorted(itertools.product(PITCHES, ROLLS, YAWS), key=lambda t: np.abs(t).sum())
    starts += [_about(turn, centre, target) for turn in turns]
    for start in starts:
        matrix = to_voxel @ start
        seen = ndimage.map_coordinates(
            smooth, matrix[:3, :3] @ points + matrix[:3, 3:], order=1, mode='constant'
        )
        score = mutual_information(values, seen)
        if score > best_score + 1e-9:
            best, best_score = start, score
    return best


def find_place(
    fixed: np.ndarray,
    fixed_affine: np.ndarray,
    moving: np.ndarray,
    moving_affine: np.ndarray,
    *,
    step_mm: float = 6.0,
) -> np.ndarray:
    """Find where in a whole brain an image of one contrast lies that may be a slab of it.

    Parameters
    ----------
    fixed, moving : ndarray, shape (I, J, K)
        Images of one contrast with zero background; ``fixed`` may be part of a brain.
    fixed_affine, moving_affine : ndarray, shape (4, 4)
        Voxel to RAS+ mm.
    step_mm : float
        Distance of the points at which the images are compared.

    Returns
    -------
    ndarray, shape (4, 4)
        Rigid transform that takes fixed to moving points, in RAS+ mm, of greatest correlation
        among those tried: shifts on a grid around the centres of mass, turns to 24 degrees.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> whole = ndimage.gaussian_filter(rng.normal(size=(30, 30, 30)), 2) * 10 + 1
    >>> affine = np.diag([6.0, 6, 6, 1])
    >>> found = find_place(whole[:, :, 15:25], affine, whole, affine)
    >>> bool(np.abs(found[:3, 3] - [0, 0, 90]).max() < 9)
    True

    """
    strides = np.maximum(1, np.round(step_mm / _voxel_mm(fixed_affine))).astype(int)
    values = block_mean(fixed, strides)
    grid = np.indices(values.shape).reshape(3, -1)
    keep = values.ravel() > 0
    voxels = grid[:, keep] * strides[:, None] + (strides[:, None] - 1) / 2
    points = fixed_affine[:3, :3] @ voxels + fixed_affine[:3, 3:]
    wanted = values.ravel()[keep] - values.ravel()[keep].mean()
    smooth = ndimage.gaussian_filter(moving.astype(np.float32), 2.5 / _voxel_mm(moving_affine))
    to_voxel = np.linalg.inv(moving_affine)
    centre, target = _centre(fixed, fixed_affine), _centre(moving, moving_affine)

    def score(matrix):
        index = to_voxel @ matrix
        seen = ndimage.map_coordinates(smooth, index[:3, :3] @ points + index[:3, 3:], order=1)
        spread = seen.std()
        if spread < 1e-9:
            return -np.inf
        return float(np.mean(wanted * (seen - seen.mean())) / (spread * wanted.std() + 1e-9))

    def best(candidates):
        return max(candidates, key=lambda item: score(item[0]))

    shifts = itertools.product(
        (0.0, -12.0, 12.0), (0.0, -12.0, 12.0), sorted(np.arange(-72.0, 73, 8), key=abs)
    )
    level = [
        (_about((0, 0, 0), centre, target + shift), target + shift)
        for shift in map(np.array, shifts)
    ]
    ranked = sorted(level, key=lambda item: -score(item[0]))[:6]
    turns = list(
        itertools.product((0, -12, 12, -24, 24), (0, -12, 12, -24, 24), (0, -12, 12, -24, 24))
    )
    matrix, place = best(
        [(_about(turn, centre, place), place) for _, place in ranked for turn in turns]
    )
    here = matrix[:3, 3]
    near = []
    for step in itertools.product((0, -4, 4), repeat=3):
        moved = matrix.copy()
        moved[:3, 3] = here + step
        near.append((moved, place))
    return best(near)[0]


def likeness_to_template(
    data: np.ndarray,
    mask: np.ndarray,
    affine: np.ndarray,
    template: np.ndarray,
    template_mask: np.ndarray,
    template_affine: np.ndarray,
) -> float:
    """Say how much the inside of a mask has in common with a brain, whatever the contrast.

    The template is scaled to the volume of the mask, laid over it by `best_start`, and compared
    on a coarse grid: enough to tell a brain from noise or from a body of some shape.

    Parameters
    ----------
    data, mask : ndarray, shape (I, J, K)
        Image and what is taken for its brain.
    affine : ndarray, shape (4, 4)
        Voxel to RAS+ mm.
    template, template_mask : ndarray, shape (X, Y, Z)
        T1w of a brain and its mask.
    template_affine : ndarray, shape (4, 4)
        Voxel to RAS+ mm of the template.

    Returns
    -------
    float
        Mutual information in nats, higher is better; 0 if hardly anything overlaps.

    Examples
    --------
    >>> grid = np.indices((40, 40, 40)) - 19.5
    >>> ball = (grid ** 2).sum(0) < 18 ** 2
    >>> stripes, affine = np.sin(grid[0] / 3 + np.hypot(grid[1], grid[2]) / 2), np.eye(4) * 4
    >>> noise = np.random.default_rng(0).random(ball.shape)
    >>> found = [likeness_to_template(d, ball, affine, stripes + 2, ball, affine)
    ...          for d in (-stripes, noise)]
    >>> found[0] > 0.2, found[1] < 0.1
    (True, True)

    """
    image, there, coarse = _coarse(data, mask, affine)
    brain, inside, target = _coarse(template, template_mask, template_affine)
    ratio = there.sum() * abs(np.linalg.det(coarse)) / (inside.sum() * abs(np.linalg.det(target)))
    target = np.diag([*[np.cbrt(ratio)] * 3, 1]) @ target
    start = best_start(brain, target, image, coarse)
    matrix = np.linalg.inv(coarse) @ start @ target
    places = matrix[:3, :3] @ np.argwhere(inside).T + matrix[:3, 3:]
    seen = ndimage.map_coordinates(image, places, order=1)
    # The rims are left out: whatever is in a mask has a dark rim if the mask is a bit too large.
    deep = ndimage.map_coordinates(
        ndimage.binary_erosion(there).astype(np.float32), places, order=1
    )
    common = (deep > 0.5) & ndimage.binary_erosion(inside)[inside]
    if common.sum() < LEAST_COMMON:
        return 0.0
    return mutual_information(brain[inside][common], seen[common], bins=16)


def _coarse(data, mask, affine) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return block means, between 0.1 and 1.1 in the mask and 0 outside, mask and affine."""
    factors = np.maximum(1, np.floor(COARSE_MM / _voxel_mm(affine))).astype(int)
    share = block_mean(mask, factors)
    values = block_mean(data * (mask > 0), factors) / np.maximum(share, 1e-6)
    low, high = np.quantile(values[share > 0.5], [0.01, 0.99])
    values = np.clip((values - low) / max(high - low, 1e-9), 0, 1) + 0.1
    return np.where(share > 0.5, values, 0), share > 0.5, coarse_affine(affine, factors)


def _voxel_mm(affine: np.ndarray) -> np.ndarray:
    return np.sqrt((affine[:3, :3] ** 2).sum(axis=0))


def _centre(data: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Return the centre of what is not background, in RAS+ mm."""
    return affine[:3, :3] @ np.array(ndimage.center_of_mass(data > 0)) + affine[:3, 3]


def _about(degrees, centre: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the turn about ``centre`` that takes it to ``target``."""
    rotation = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        one, two = [other for other in range(3) if other != axis]
        turn = np.eye(3)
        turn[one, one] = turn[two, two] = np.cos(angle)
        turn[one, two], turn[two, one] = -np.sin(angle), np.sin(angle)
        rotation = rotation @ turn
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = target - rotation @ centre
    return matrix


def best_affine(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Fit the affine transform between two sets of points by least squares.

    Parameters
    ----------
    points, targets : ndarray, shape (n, 3)
        Corresponding positions, mm.

    Returns
    -------
    ndarray, shape (4, 4)
        Takes ``points`` to ``targets``.

    Examples
    --------
    >>> points = np.random.default_rng(0).normal(size=(50, 3))
    >>> np.allclose(best_affine(points, points + [1, 2, 3])[:3, 3], [1, 2, 3])
    True

    """
    design = np.column_stack([points, np.ones(len(points))])
    solution, *_ = np.linalg.lstsq(design, targets, rcond=None)
    matrix = np.eye(4)
    matrix[:3] = solution.T
    return matrix
