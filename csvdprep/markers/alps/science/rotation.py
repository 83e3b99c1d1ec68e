"""From directions of the scanner to those of the template: Jacobians, rotations, head angles.

Tensors are arrays (..., 6): xx, xy, xz, yy, yz, zz.
"""

from __future__ import annotations

import numpy as np

from csvdprep.core.errors import MeasureError

__all__ = [
    'affine_part',
    'finite_strain',
    'head_angles',
    'jacobians',
    'matrices',
    'preserved_direction',
    'reorient',
    'steady',
]

#: Row and column of each of the six components.
COMPONENTS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
#: A local rotation farther than this from those around it is noise of the warp, degrees.
NOISY_DEG = 10.0
_MOST_POINTS = 50_000


def matrices(tensor: np.ndarray) -> np.ndarray:
    """Write tensors (..., 6) as symmetric matrices (..., 3, 3).

    Examples
    --------
    >>> matrices(np.arange(1, 7)).tolist()
    [[1, 2, 3], [2, 4, 5], [3, 5, 6]]
    """
    tensor = np.asarray(tensor)
    return tensor[..., [0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(*tensor.shape[:-1], 3, 3)


def reorient(tensor: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Turn tensors: ``D' = R D Rᵀ``.

    Parameters
    ----------
    tensor : ndarray, shape (..., 6)
        In the axes from which ``rotation`` leads away.
    rotation : ndarray, shape (..., 3, 3)
        Rotations.

    Returns
    -------
    ndarray, shape (..., 6)

    Examples
    --------
    >>> quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    >>> reorient(np.array([3.0, 0, 0, 2, 0, 1]), quarter).tolist()
    [2.0, 0.0, 0.0, 3.0, 0.0, 1.0]
    """
    turned = rotation @ matrices(tensor) @ np.swapaxes(rotation, -1, -2)
    return np.stack([turned[..., i, j] for i, j in COMPONENTS], axis=-1)


def jacobians(positions: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Differentiate the map from native mm to template mm.

    Central differences along the axes of the array; one-sided beside a voxel without position
    and at the border.

    Parameters
    ----------
    positions : ndarray, shape (nx, ny, nz, 3)
        Where in the template (mm) the centre of each voxel lies; NaN where that is not known.
    affine : ndarray, shape (4, 4)
        From voxel indices to native mm.

    Returns
    -------
    ndarray, shape (nx, ny, nz, 3, 3)
        Change of each template coordinate (rows) with each native one (columns); NaN where a
        voxel has no position or, along some axis, no neighbour with one.

    Examples
    --------
    >>> affine = np.diag([2.0, 2, 3, 1])
    >>> index = np.moveaxis(np.indices((3, 3, 3)), 0, -1)
    >>> native = index @ affine[:3, :3].T
    >>> jacobians(1.1 * native, affine)[1, 0, 2].round(3).tolist()
    [[1.1, 0.0, 0.0], [0.0, 1.1, 0.0], [0.0, 0.0, 1.1]]
    """
    positions = np.asarray(positions, float)
    steps = np.empty((*positions.shape, 3))
    for axis in range(3):
        difference = np.diff(positions, axis=axis)
        total, count = np.zeros(positions.shape), np.zeros(positions.shape)
        for part in (slice(None, -1), slice(1, None)):
            here = (slice(None),) * axis + (part,)
            known = np.isfinite(difference)
            total[here] += np.where(known, difference, 0)
            count[here] += known
        steps[..., axis] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return steps @ np.linalg.inv(affine[:3, :3])


def finite_strain(jacobian: np.ndarray) -> np.ndarray:
    """Return the rotation part of Jacobians: ``R = (J Jᵀ)^(-1/2) J`` (finite strain [1]_).

    Parameters
    ----------
    jacobian : ndarray, shape (..., 3, 3)
        Derivative of the map from native to template.

    Returns
    -------
    ndarray, shape (..., 3, 3)
        Rotations that take native directions to those of the template; NaN where the map is not
        known, folds over or mirrors (determinant not above 0).

    References
    ----------
    .. [1] Alexander et al. 2001, doi:10.1109/42.963816

    Examples
    --------
    >>> finite_strain(np.array([[0.0, -2, 0], [1.2, 0, 0], [0, 0, 0.9]])).round(6).tolist()
    [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    >>> bool(np.isnan(finite_strain(np.diag([-1.0, 1, 1]))).all())
    True
    """
    good = _proper(jacobian)
    left, _, right = np.linalg.svd(np.where(good[..., None, None], jacobian, np.eye(3)))
    return np.where(good[..., None, None], left @ right, np.nan)


def preserved_direction(jacobian: np.ndarray, tensor: np.ndarray) -> np.ndarray:
    """Return rotations by preservation of principal direction [1]_.

    The largest axis of the tensor is turned to where the Jacobian takes it, the second one into
    the plane to which the Jacobian takes both.

    Parameters
    ----------
    jacobian : ndarray, shape (..., 3, 3)
        Derivative of the map from native to template.
    tensor : ndarray, shape (..., 6)
        In native axes, finite.

    Returns
    -------
    ndarray, shape (..., 3, 3)
        As of :func:`finite_strain`; here they depend on the tensor.

    References
    ----------
    .. [1] Alexander et al. 2001, doi:10.1109/42.963816

    Examples
    --------
    >>> shear = np.array([[1, 0.1, 0], [0, 1, 0], [0, 0, 1]])
    >>> along_y = np.array([4.0, 0, 0, 9, 0, 1]) * 1e-4
    >>> turned = preserved_direction(shear, along_y) @ [0, 1, 0]
    >>> (turned / turned[1]).round(6).tolist()
    [0.1, 1.0, 0.0]
    """
    good = _proper(jacobian) & np.isfinite(tensor).all(axis=-1)
    safe = np.where(good[..., None, None], jacobian, np.eye(3))
    _, vectors = np.linalg.eigh(matrices(np.where(good[..., None], tensor, 0)))
    first, second = vectors[..., 2], vectors[..., 1]
    before = np.stack([first, second, np.cross(first, second)], axis=-1)
    one, two = ((safe @ v[..., None])[..., 0] for v in (first, second))
    one = one / np.linalg.norm(one, axis=-1, keepdims=True)
    two = two - (two * one).sum(axis=-1, keepdims=True) * one
    two = two / np.linalg.norm(two, axis=-1, keepdims=True)
    after = np.stack([one, two, np.cross(one, two)], axis=-1)
    turns = after @ np.swapaxes(before, -1, -2)
    return np.where(good[..., None, None], turns, np.nan)


def steady(
    rotation: np.ndarray, weight: np.ndarray, most_deg: float = NOISY_DEG
) -> tuple[np.ndarray, float]:
    """Replace rotations that stand out from their region by the mean of the others.

    The median of a region is the rotation of it that is closest to all (least weighted sum of
    angles). What is more than ``most_deg`` from it, or not known, is noise of the warp.

    Parameters
    ----------
    rotation : ndarray, shape (n, 3, 3)
        Rotations of the voxels of a region, NaN where not known.
    weight : ndarray, shape (n,)
        Weight of each.
    most_deg : float
        Degrees.

    Returns
    -------
    rotation : ndarray, shape (n, 3, 3)
        Without what stood out; all NaN if none is known.
    share : float
        Weight that was replaced, 0 to 1.

    Examples
    --------
    >>> turn = np.stack([np.eye(3)] * 3 + [np.diag([1.0, -1, -1])])
    >>> found, share = steady(turn, np.ones(4))
    >>> bool(np.allclose(found, np.eye(3))), share
    (True, 0.25)
    """
    known = np.isfinite(rotation).all(axis=(-1, -2)) & (weight > 0)
    if not known.any():
        return np.full_like(rotation, np.nan), 1.0
    some, w = rotation[known], weight[known]
    angle = _angle(np.einsum('aij,bij->ab', some, some))
    away = angle[np.argmin(angle @ w)]
    close = away <= most_deg
    left, _, right = np.linalg.svd(np.einsum('a,aij->ij', w * close, some))
    # A mean of rotations that are close to each other cannot become a reflection.
    out = np.broadcast_to(left @ right, rotation.shape).copy()
    kept = np.flatnonzero(known)[close]
    out[kept] = rotation[kept]
    return out, float(1 - weight[kept].sum() / weight.sum())


def affine_part(
    positions: np.ndarray, affine: np.ndarray, mask: np.ndarray | None = None
) -> np.ndarray:
    """Fit the best affine map (least squares) to the map from native to template.

    Parameters
    ----------
    positions : ndarray, shape (nx, ny, nz, 3)
        As in :func:`jacobians`.
    affine : ndarray, shape (4, 4)
        From voxel indices to native mm.
    mask : ndarray of bool, shape (nx, ny, nz), optional
        Brain: where the map has to fit.

    Returns
    -------
    ndarray, shape (4, 4)
        From native mm to template mm.

    Raises
    ------
    MeasureError
        If fewer than 100 voxels have a position, or if the map mirrors the head.
    """
    where = np.isfinite(positions).all(axis=-1)
    if mask is not None:
        where &= np.asarray(mask, bool)
    index = np.argwhere(where)
    if len(index) < 100:
        raise MeasureError(
            'The position in the template is known for hardly any voxel.',
            remedy='Check the registration of the diffusion images.',
        )
    index = index[:: -(-len(index) // _MOST_POINTS)]
    native = np.column_stack([index @ affine[:3, :3].T + affine[:3, 3], np.ones(len(index))])
    there = positions[tuple(index.T)]
    out = np.eye(4)
    out[:3] = np.linalg.lstsq(native, there, rcond=None)[0].T
    if np.linalg.det(out[:3, :3]) <= 0:
        raise MeasureError(
            'The map to the template mirrors the head: left and right are swapped.',
            remedy='Check the orientation in the header (sform, qform) of the diffusion images.',
        )
    return out


def head_angles(matrix: np.ndarray) -> tuple[float, float, float]:
    """Return how the head lies in the scanner.

    The head, first straight, is turned about the scanner's x axis (right), then y (front), then
    z (up), each by the right-hand rule.

    Parameters
    ----------
    matrix : ndarray, shape (4, 4) or (3, 3)
        From native mm to template mm; its rotation part is the inverse of the head's rotation.

    Returns
    -------
    pitch, roll, yaw : float
        Degrees. Pitch is positive with the chin raised, roll with the head tilted to the right
        shoulder, yaw with the face turned to the left.

    Examples
    --------
    >>> from scipy.spatial.transform import Rotation
    >>> head = Rotation.from_euler('xyz', [15, -3, 8], degrees=True).as_matrix()
    >>> [round(angle, 6) for angle in head_angles(1.1 * head.T)]
    [15.0, -3.0, 8.0]
    """
    head = finite_strain(np.asarray(matrix, float)[:3, :3]).T
    pitch = np.degrees(np.arctan2(head[2, 1], head[2, 2]))
    roll = np.degrees(np.arcsin(np.clip(-head[2, 0], -1, 1)))
    yaw = np.degrees(np.arctan2(head[1, 0], head[0, 0]))
    return float(pitch), float(roll), float(yaw)


def _proper(jacobian: np.ndarray) -> np.ndarray:
    """Return which maps are known and keep the handedness."""
    known = np.isfinite(jacobian).all(axis=(-1, -2))
    return known & (np.linalg.det(np.where(known[..., None, None], jacobian, 0)) > 1e-6)


def _angle(trace: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
