"""Diffusion tensors: a fit of one's own, scalars, the ALPS ratio, and named cases of the truth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import ndtri

from csvdprep.phantom.diffusion.fibres import PARTS, matrices
from csvdprep.phantom.diffusion.gradients import GradientTable

#: Tensors of projection and association fibres (diagonals, mm²/s) whose ALPS index is 1.4186.
ALPS_PAIR = np.array([[0.60, 0.42, 1.10], [0.62, 1.10, 0.44]]) * 1e-3
#: What the logarithm of a signal is at least taken of, relative to the largest.
FLOOR = 1e-9


def fit(
    volume: Callable[[int], np.ndarray], table: GradientTable, use: np.ndarray, turn: np.ndarray
) -> np.ndarray:
    """Fit one tensor per voxel by weighted linear least squares.

    The logarithm of the signal is fitted by ordinary least squares, then once more with the
    squares of that fit's signals as weights, as is usual (Basser 1994,
    doi:10.1006/jmrb.1994.1037; Salvador 2005, doi:10.1002/hbm.20076).

    Parameters
    ----------
    volume : callable
        Gives the signal of n voxels in one volume, by its number; called twice for each.
    table : GradientTable
        Weighting.
    use : ndarray of bool, shape (volumes,)
        Which volumes count.
    turn : ndarray, shape (3, 3)
        Rotation from the scanner's axes to those in which tensors are wanted.

    Returns
    -------
    ndarray, shape (6, n)
        Parts in the order of :data:`csvdprep.phantom.diffusion.fibres.PARTS`, mm²/s.

    Examples
    --------
    >>> from csvdprep.phantom.diffusion.gradients import shells
    >>> table = shells([(1000, 12)], b0=1)
    >>> tensor = np.diag([1.5e-3, 4e-4, 3e-4])
    >>> decay = np.exp(-table.bvals * np.einsum('ni,ij,nj->n', *[table.directions, tensor,
    ...                                                          table.directions]))
    >>> parts = fit(lambda i: decay[i:i + 1], table, table.at_most(1500), np.eye(3))
    >>> bool(np.allclose(parts[:3, 0], [1.5e-3, 4e-4, 3e-4], atol=1e-9))
    True
    """
    numbers = np.flatnonzero(use)
    rows = _design(table, turn)
    inverse = np.linalg.pinv(rows[numbers])
    first = sum(inverse[:, k, None] * _log(volume(i)) for k, i in enumerate(numbers))
    count = first.shape[1]
    sides, squares = np.zeros((7, count)), np.zeros((7, 7, count))
    for i in numbers:
        row = rows[i]
        weight = np.exp(2 * (row @ first))
        value = weight * _log(volume(i))
        for a in range(7):
            sides[a] += row[a] * value
            for b in range(a, 7):
                squares[a, b] += row[a] * row[b] * weight
    for a in range(7):
        squares[a:, a] = squares[a, a:]
    found = np.linalg.solve(squares.transpose(2, 0, 1), sides.T[..., None])[..., 0]
    return found[:, :6].T * 1e-3


def _design(table: GradientTable, turn: np.ndarray) -> np.ndarray:
    """Return the rows of the linear model: -b g g' in ms/µm², and 1 for the logarithm of S0."""
    g = table.directions @ turn.T
    pairs = [g[:, i] * g[:, j] * (1 if i == j else 2) for i, j in PARTS]
    return np.column_stack([-table.bvals / 1000 * pair for pair in pairs] + [np.ones(len(g))])


def _log(signal: np.ndarray) -> np.ndarray:
    signal = signal.astype(np.float64)
    return np.log(np.maximum(signal, FLOOR * max(signal.max(), 1e-300)))


def scalars(parts: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the scalars of tensors.

    Parameters
    ----------
    parts : ndarray, shape (6, n)
        mm²/s.

    Returns
    -------
    dict of str to ndarray, shape (n,)
        ``fa``, and ``md``, ``ad``, ``rd`` in mm²/s; eigenvalues below 1e-6 count as that.

    Examples
    --------
    >>> found = scalars(np.array([[1.5e-3, 3e-4, 3e-4, 0, 0, 0]]).T)
    >>> [round(float(found[name][0]), 6) for name in ('fa', 'md', 'ad', 'rd')]
    [0.7698, 0.0007, 0.0015, 0.0003]
    """
    values = np.maximum(np.linalg.eigvalsh(matrices(parts)), 1e-6)
    mean = values.mean(axis=1)
    apart = np.linalg.norm(values - mean[:, None], axis=1)
    return {
        'fa': np.sqrt(1.5) * apart / np.linalg.norm(values, axis=1),
        'md': mean,
        'ad': values[:, 2],
        'rd': values[:, :2].mean(axis=1),
    }


def alps(projection: np.ndarray, association: np.ndarray) -> float:
    """Compute the ALPS index (a ratio of diffusivities) of two tensors.

    Parameters
    ----------
    projection, association : ndarray, shape (3, 3)
        Mean tensors of the two regions; x right-left, y posterior-anterior, z inferior-superior.

    Returns
    -------
    float
        ``(Dxx_proj + Dxx_assoc) / (Dyy_proj + Dzz_assoc)`` (Taoka 2017,
        doi:10.1007/s11604-017-0617-z).

    Examples
    --------
    >>> round(alps(*map(np.diag, ALPS_PAIR)), 4)
    1.4186
    """
    across = projection[1, 1] + association[2, 2]
    return float((projection[0, 0] + association[0, 0]) / across)


def alps_along_fibres(projection: np.ndarray, association: np.ndarray) -> float:
    """Compute the ALPS index in the frame of the fibres themselves.

    x runs across both bundles; y and z across it and each of them. No rotation changes it.

    Examples
    --------
    >>> round(alps_along_fibres(*map(np.diag, ALPS_PAIR)), 4)
    1.4186
    """
    p, a = (np.linalg.eigh(tensor)[1][:, 2] for tensor in (projection, association))
    x = np.cross(p, a)
    x /= np.linalg.norm(x)
    y, z = np.cross(p, x), np.cross(a, x)
    across = y @ projection @ y + z @ association @ z
    return float((x @ projection @ x + x @ association @ x) / across)


def penumbra_case(distance: np.ndarray) -> np.ndarray:
    """Return the mean diffusivity of case P9 at distances from a lesion (mm), mm²/s.

    Examples
    --------
    >>> (penumbra_case(np.array([0.0, 4.0, 100.0])) * 1e3).round(4).tolist()
    [1.1, 0.9104, 0.8]
    """
    return 0.8e-3 + 0.3e-3 * np.exp(-np.asarray(distance, float) / 4)


def skeleton_case(psmd: float, count: int = 4000, mean: float = 0.75e-3) -> np.ndarray:
    """Return mean diffusivities of case P8: normal, 5th to 95th percentile exactly ``psmd`` apart.

    Parameters
    ----------
    psmd, mean : float
        Peak width and mean, mm²/s.
    count : int
        Number of voxels.

    Returns
    -------
    ndarray, shape (count,)
        mm²/s, ascending.

    Examples
    --------
    >>> low, high = np.percentile(skeleton_case(2.2e-4), [5, 95])
    >>> round(float(high - low) * 1e4, 4)
    2.2
    """
    values = ndtri((np.arange(count) + 0.5) / count)
    low, high = np.percentile(values, [5, 95])
    return mean + values * psmd / (high - low)
