"""What a volume should look like, from all the others."""

from __future__ import annotations

import warnings

import numpy as np
from dipy.core.geometry import cart2sphere
from dipy.reconst.shm import real_sh_descoteaux

#: Regularisation by the Laplace-Beltrami operator (Descoteaux 2007, doi:10.1002/mrm.21277).
LAPLACE = 0.006
#: Directions of a shell from which on four orders are fitted, and two.
ORDERS = ((45, 6), (20, 4), (8, 2))


def left_out_weights(
    bvals: np.ndarray, directions: np.ndarray, shell_of: np.ndarray
) -> np.ndarray:
    """Give the weights with which all volumes predict each one of them, itself left out.

    Within a shell the signal is a function on the sphere, fitted by even spherical harmonics;
    the prediction at a direction without its own measurement follows in closed form from the
    projection: ``(H y - h y) / (1 - h)``. Volumes without gradients are predicted by the mean of
    the others (Andersson and Sotiropoulos 2016, doi:10.1016/j.neuroimage.2015.10.019, do so by a
    Gaussian process).

    Parameters
    ----------
    bvals : ndarray, shape (n,)
        s/mm².
    directions : ndarray, shape (n, 3)
        Unit vectors, in one frame.
    shell_of : ndarray of int, shape (n,)
        Shell of each volume, 0 without gradient.

    Returns
    -------
    ndarray, shape (n, n)
        Rows sum up to about 1; zero on the diagonal. A shell of one volume predicts itself:
        there is nothing else.

    Examples
    --------
    >>> weights = left_out_weights(np.zeros(3), np.zeros((3, 3)), np.zeros(3, int))
    >>> weights[0].round(6).tolist()
    [0.0, 0.5, 0.5]
    """
    count = len(bvals)
    weights = np.zeros((count, count))
    for shell in np.unique(shell_of):
        of = np.flatnonzero(shell_of == shell)
        if len(of) == 1:
            weights[of, of] = 1
            continue
        order = next((o for least, o in ORDERS if len(of) >= least), 0) if shell else 0
        part = np.ones((len(of), len(of))) / len(of) if not order else _hat(directions[of], order)
        own = np.clip(np.diag(part), None, 0.95)
        part = (part - np.diag(np.diag(part))) / (1 - own)[:, None]
        weights[np.ix_(of, of)] = part
    return weights


def _hat(directions: np.ndarray, order: int) -> np.ndarray:
    """Return the projection onto spherical harmonics."""
    _, theta, phi = cart2sphere(*directions.T)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        basis, _, degree = real_sh_descoteaux(order, theta, phi, legacy=False)
    smooth = np.diag(LAPLACE * (degree * (degree + 1.0)) ** 2)
    return basis @ np.linalg.solve(basis.T @ basis + smooth, basis.T)


def lost_slices(
    seen: np.ndarray, expected: np.ndarray, brain: np.ndarray, axis: int, drop: float = 0.2
) -> np.ndarray:
    """Find slices whose signal is lower than predicted, as movement during one makes them.

    Parameters
    ----------
    seen, expected : ndarray, shape (nx, ny, nz)
        A volume, and its prediction.
    brain : ndarray of bool, shape (nx, ny, nz)
        Where to compare.
    axis : int
        Array axis across the slices.
    drop : float
        Share of the signal that has to be missing.

    Returns
    -------
    ndarray of bool, shape (slices,)
    """
    others = tuple(a for a in range(3) if a != axis)
    size = brain.sum(axis=others)
    with np.errstate(invalid='ignore', divide='ignore'):
        ratio = (seen * brain).sum(axis=others) / (expected * brain).sum(axis=others)
    # The volume as a whole may be scaled: a slice is compared with the others.
    enough = size > max(50, 0.1 * size.max())
    if not enough.any():
        return np.zeros(len(size), bool)
    return enough & (ratio < (1 - drop) * np.median(ratio[enough]))
