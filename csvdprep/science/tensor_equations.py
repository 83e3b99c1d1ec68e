"""The equations of the diffusion tensor: ``ln S = ln S0 - b g' D g`` for many voxels at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from csvdprep.core.errors import MeasureError

__all__ = [
    'FULL',
    'MIN_SIGNAL',
    'PARTS',
    'UPPER',
    'can_be_solved',
    'design_matrix',
    'in_chunks',
    'product',
    'tensor_rows',
    'weighted_fit',
]

#: Signals below this are taken for it, so that they have a logarithm (as DIPY does).
MIN_SIGNAL = 1e-4
#: Below this b-value (s/mm²) a volume needs no direction.
B0_LIMIT = 50.0
#: Rows and columns of the parts of a tensor.
PARTS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
#: Elements of the upper triangle of a 7 x 7 matrix, and where each element is found in them.
UPPER = np.triu_indices(7)
FULL = np.zeros((7, 7), int)
FULL[UPPER] = FULL[UPPER[::-1]] = np.arange(28)


# Multiplications of a product of matrices that no BLAS shares among threads; voxels that fit into
# a processor's cache.
_UNSHARED, _CHUNK = 2**17, 4096
# Where predicted signals differ by more than this the normal equations lose digits.
_RANGE = 1e-3
# Largest logarithm of a predicted signal that is believed.
_FARTHEST = 50.0


def tensor_rows(bvals: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Return the rows of the linear model: ``-b g g'`` in ms/µm² and 1 for ln S0.

    In this unit all of them are near 1.

    Parameters
    ----------
    bvals, directions : ndarray, shapes (n,) and (n, 3)
        s/mm² and unit vectors; at b < 50 these may be no numbers.

    Returns
    -------
    ndarray, shape (n, 7)

    Raises
    ------
    MeasureError
        If the table is not complete.

    Examples
    --------
    >>> tensor_rows([1000], [[0, 0.6, 0.8]]).round(2).tolist()
    [[-0.0, -0.0, -0.0, -0.36, -0.96, -0.64, 1.0]]
    """
    bvals = np.asarray(bvals, dtype=float)
    g = np.asarray(directions, dtype=float)
    if g.shape != (len(bvals), 3):
        raise MeasureError(
            f'The gradient table has {len(bvals)} b-values and directions of shape {g.shape}.',
            remedy='Convert the scan again, so that .bval and .bvec belong together.',
        )
    g = np.where((bvals < B0_LIMIT)[:, None] & ~np.isfinite(g), 0, g)
    if not (np.isfinite(g).all() and np.isfinite(bvals).all()):
        raise MeasureError(
            'The gradient table holds values that are not numbers.',
            remedy='Convert the scan again, or leave these volumes out.',
        )
    pairs = [g[:, i] * g[:, j] * (1 if i == j else 2) for i, j in PARTS]
    return np.column_stack([*(-bvals / 1e3 * pair for pair in pairs), np.ones(len(bvals))])


def design_matrix(bvals: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Return the matrix of the linear model that can be solved.

    Parameters
    ----------
    bvals, directions : ndarray, shapes (n,) and (n, 3)
        As in `tensor_rows`.

    Returns
    -------
    ndarray, shape (n, 7)
        Its parameters are the parts of the tensor in µm²/ms, and ln S0.

    Raises
    ------
    MeasureError
        If the table cannot determine a tensor.

    Examples
    --------
    >>> axes = np.array([[0, 0, 0], [1, 1, 0], [1, -1, 0], [1, 0, 1], [1, 0, -1], [0, 1, 1],
    ...                  [0, 1, -1]]) / 2**0.5
    >>> design_matrix([0] + [1000] * 6, axes).shape
    (7, 7)
    """
    design = tensor_rows(bvals, directions)
    if not can_be_solved(design):
        raise MeasureError(
            'The gradient table cannot determine a tensor: that takes six directions that do not '
            'lie on a cone or plane, and two b-values.',
            remedy='Check the .bval and .bvec files; a trace-weighted scan has no tensor.',
        )
    return design


def can_be_solved(design: np.ndarray) -> np.ndarray:
    """Say whether matrices (..., n, 7) of the linear model determine its parameters.

    Examples
    --------
    >>> bool(can_be_solved(np.eye(7))), bool(can_be_solved(np.ones((9, 7))))
    (True, False)
    """
    return np.linalg.matrix_rank(design, tol=1e-3 * np.abs(design).max()) == 7


def weighted_fit(signal: np.ndarray, design: np.ndarray, reweightings: int = 1) -> np.ndarray:
    """Fit the logarithm of positive signals by weighted least squares.

    Parameters
    ----------
    signal : ndarray, shape (n, volumes)
        Signals.
    design : ndarray, shape (volumes, 7)
        From `design_matrix`.
    reweightings : int
        See `fit_tensor`.

    Returns
    -------
    ndarray, shape (n, 7)
        Parts of the tensors in µm²/ms, and ln S0.

    Examples
    --------
    >>> axes = np.array([[0, 0, 0], [1, 1, 0], [1, -1, 0], [1, 0, 1], [1, 0, -1], [0, 1, 1],
    ...                  [0, 1, -1]]) / 2**0.5
    >>> design = design_matrix([0] + [1000] * 6, axes)
    >>> signal = np.exp(design @ [2, 0, 0, 1, 0, 1, 3.0])
    >>> (weighted_fit(signal[None], design).round(6) + 0.0).tolist()
    [[2.0, 0.0, 0.0, 1.0, 0.0, 1.0, 3.0]]
    """
    log = np.log(signal)
    squares = design[:, UPPER[0]] * design[:, UPPER[1]]
    found = product(log, np.linalg.pinv(design).T)
    for _ in range(reweightings):
        # A fit of near-zero signals may predict what no number can hold.
        weight = np.exp(np.clip(product(found, design.T), -_FARTHEST, _FARTHEST))
        hard = weight.min(axis=1) < _RANGE * weight.max(axis=1)
        slow = np.linalg.pinv(design * weight[hard][..., None])
        slow = np.einsum('nij,nj->ni', slow, weight[hard] * log[hard])
        weight *= weight
        weight[hard] = 1
        left = product(weight, squares)[:, FULL]
        weight *= log
        found = np.linalg.solve(left, product(weight, design)[..., None])[..., 0]
        found[hard] = slow
    return found


def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Multiply a tall matrix by a small one; the result does not depend on the BLAS's threads.

    Parameters
    ----------
    left, right : ndarray, shapes (n, k) and (k, m)

    Returns
    -------
    ndarray, shape (n, m)

    Examples
    --------
    >>> product(np.ones((5, 2)), np.array([[1.0], [2.0]])).ravel().tolist()
    [3.0, 3.0, 3.0, 3.0, 3.0]
    """
    block = max(1, _UNSHARED // right.size)
    whole = len(left) // block * block
    out = np.empty((len(left), right.shape[1]))
    blocks = left[:whole].reshape(-1, block, left.shape[1])
    np.matmul(blocks, right, out=out[:whole].reshape(-1, block, right.shape[1]))
    np.matmul(left[whole:], right, out=out[whole:])
    return out


def in_chunks(work: Callable[[slice], None], count: int, threads: int = 1) -> None:
    """Call ``work`` for slices that together hold ``count`` voxels, some at a time.

    Examples
    --------
    >>> in_chunks(print, 5000)
    slice(0, 4096, None)
    slice(4096, 5000, None)
    """
    parts = [slice(i, min(i + _CHUNK, count)) for i in range(0, count, _CHUNK)]
    with ThreadPoolExecutor(max(1, threads)) as pool:
        list(pool.map(work, parts))
