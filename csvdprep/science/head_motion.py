"""Motion of the head: what of a linear transform it is, how far it is, and which way it turns."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.spatial.transform import Rotation

#: Fewest volumes from which shifts by eddy currents are told from those of the head.
LEAST_VOLUMES = 8
#: Rounds of the fit: it is linear for small rotations.
ROUNDS = 6


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


def physical(matrix: np.ndarray, points: np.ndarray, along: np.ndarray | None) -> np.ndarray:
    """Return the transform nearest to a matrix that a head in a scanner can have.

    Heads turn and move; eddy currents, whose field is linear at first order, shift along the axis
    of encoding by an amount that depends on the place linearly (Jezzard 1998,
    doi:10.1002/mrm.1910390518). The parts of the matrix across that axis show the motion; the
    part along it is kept as it is.

    Parameters
    ----------
    matrix : ndarray, shape (4, 4)
        Affine transform of world points, mm.
    points : ndarray, shape (n, 3)
        Points of the head at which the two shall agree, mm.
    along : ndarray, shape (3,), or None
        Unit vector of the axis of encoding in the world; None: motion alone.

    Returns
    -------
    ndarray, shape (4, 4)

    Examples
    --------
    >>> sheared = np.eye(4); sheared[1, 0] = 0.02; sheared[0, 0] = 1.01
    >>> points = np.random.default_rng(0).normal(0, 40, (100, 3))
    >>> found = physical(sheared, points, np.array([0, 1.0, 0]))
    >>> round(float(found[1, 0]), 3), bool(abs(found[0, 0] - 1) < 1e-3)
    (0.02, True)
    """
    centre = points.mean(axis=0)
    local = points - centre
    target = points @ matrix[:3, :3].T + matrix[:3, 3] - centre
    if along is None:
        across = np.eye(3)
    else:
        along = np.asarray(along, float)
        across = np.linalg.svd(along[None])[2][1:]
    turn = rotation_of(matrix)
    move = target.mean(axis=0)
    for _ in range(ROUNDS):
        turned = local @ turn.T
        # x = turned + w × turned + t, seen across the axis.
        spin = np.stack([np.cross(axis, turned) for axis in np.eye(3)], axis=2)
        shift = np.broadcast_to(across, (len(local), *across.shape))
        design = np.concatenate([across @ spin, shift], axis=2).reshape(-1, 6)
        rest = ((target - turned - move) @ across.T).ravel()
        step = np.linalg.lstsq(design, rest, rcond=None)[0]
        turn = Rotation.from_rotvec(step[:3]).as_matrix() @ turn
        move = move + step[3:]
    motion = np.eye(4)
    motion[:3, :3] = turn
    motion[:3, 3] = centre + move - turn @ centre
    if along is None:
        return motion
    # Whatever the matrix does along the axis is done after the motion.
    out = motion.copy()
    out[:3] += np.outer(along, along @ (matrix - motion)[:3])
    return out


def motion_of(matrix: np.ndarray, along: np.ndarray | None, centre: np.ndarray) -> np.ndarray:
    """Return the rigid motion within a transform that :func:`physical` gave.

    Parameters
    ----------
    matrix : ndarray, shape (4, 4)
        Motion and eddy currents.
    along : ndarray, shape (3,), or None
        Axis of encoding.
    centre : ndarray, shape (3,)
        Where the translation along that axis is counted, mm.

    Returns
    -------
    ndarray, shape (4, 4)
        Rigid.
    """
    points = centre + 50 * np.concatenate([np.eye(3), -np.eye(3)])
    if along is None:
        return physical(matrix, points, None)
    turn = _across_rotation(matrix, along)
    out = np.eye(4)
    out[:3, :3] = turn
    out[:3, 3] = matrix[:3, :3] @ centre + matrix[:3, 3] - turn @ centre
    return out


def head_motions(
    matrices: np.ndarray,
    along: np.ndarray | None,
    centre: np.ndarray,
    gradients: np.ndarray,
    groups: np.ndarray,
) -> np.ndarray:
    """Return the motion of the head within the transforms of a series.

    Eddy currents also shift a volume as a whole along the axis of encoding, by what depends on
    the gradient linearly; that part of the shifts is no motion (Andersson and Sotiropoulos 2016,
    doi:10.1016/j.neuroimage.2015.10.019).

    Parameters
    ----------
    matrices : ndarray, shape (n, 4, 4)
        From :func:`physical`.
    along : ndarray, shape (3,), or None
        Axis of encoding.
    centre : ndarray, shape (3,)
        Middle of the brain, mm.
    gradients : ndarray, shape (n, 3)
        Unit vectors; 0 without gradient.
    groups : ndarray of int, shape (n,)
        Volumes of one shell and polarity have one number; without gradient 0.

    Returns
    -------
    ndarray, shape (n, 4, 4)
        Rigid.
    """
    rigid = np.stack(
        [
            motion_of(matrix, along if group else None, centre)
            for matrix, group in zip(matrices, groups, strict=True)
        ]
    )
    if along is None:
        return rigid
    shift = (rigid[:, :3, :3] @ centre + rigid[:, :3, 3] - centre) @ along
    for group in np.unique(groups[groups != 0]):
        of = groups == group
        if of.sum() >= LEAST_VOLUMES:
            design = np.column_stack([np.ones(of.sum()), gradients[of]])
            fitted = np.linalg.lstsq(design, shift[of], rcond=None)[0]
            rigid[of, :3, 3] -= np.outer(gradients[of] @ fitted[1:], along)
    return rigid


def _across_rotation(matrix: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Find the rotation whose parts across an axis are those of a matrix."""
    across = np.linalg.svd(np.asarray(along, float)[None])[2][1:]
    rows = across @ matrix[:3, :3]
    # Two rows of a rotation give the third.
    left, _, right = np.linalg.svd(rows)
    rows = left @ np.eye(2, 3) @ right
    third = np.cross(rows[0], rows[1]) * np.sign(np.linalg.det(np.vstack([across, along])))
    return np.vstack([across, along]).T @ np.vstack([rows, third])
