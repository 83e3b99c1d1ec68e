"""Which lesions of two visits are one lesion, by their place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

#: Lesions whose voxels lie as close as this (mm) overlap, however far apart their centres are.
TOUCH_MM = 1.0


def distances(
    first: Sequence[np.ndarray], last: Sequence[np.ndarray], tolerance_mm: float
) -> np.ndarray:
    """Return how far the lesions of two visits lie from one another.

    Parameters
    ----------
    first, last : sequence of ndarray, shape (n, 3)
        Voxels of each lesion in a space that both visits share, mm.
    tolerance_mm : float
        Largest distance of the centres of one lesion at two visits, unless it overlaps itself.

    Returns
    -------
    ndarray, shape (len(first), len(last))
        Distance of the centres, mm; infinite where two cannot be one lesion.

    Examples
    --------
    >>> dot = np.zeros((1, 3))
    >>> distances([dot], [dot + [3, 0, 0], dot + [0, 5, 0]], 4.0).tolist()
    [[3.0, inf]]
    """
    out = np.full((len(first), len(last)), np.inf)
    trees = [cKDTree(points) for points in last]
    for i, one in enumerate(first):
        for j, two in enumerate(last):
            away = float(np.linalg.norm(one.mean(axis=0) - two.mean(axis=0)))
            reach = np.linalg.norm(np.ptp(one, axis=0)) + np.linalg.norm(np.ptp(two, axis=0))
            if away > tolerance_mm + reach:
                continue
            if away <= tolerance_mm or trees[j].query(one)[0].min() <= TOUCH_MM:
                out[i, j] = away
    return out


def match(away: np.ndarray) -> list[tuple[int, int]]:
    """Assign the lesions of two visits to one another, each to one at most.

    Parameters
    ----------
    away : ndarray, shape (n, m)
        Distances; infinite where two cannot be one lesion.

    Returns
    -------
    list of (int, int)
        As many pairs as possible, and of these assignments the one with the smallest sum of
        distances; in the order of the first visit.

    Notes
    -----
    Linear sum assignment ([1]_). The other order of the visits gives the same pairs.

    References
    ----------
    .. [1] Crouse D.F. (2016) On implementing 2D rectangular assignment algorithms.
       doi:10.1109/TAES.2016.140952

    Examples
    --------
    >>> match(np.array([[1.0, 2.0], [0.5, np.inf]]))
    [(0, 1), (1, 0)]
    >>> match(np.full((2, 0), np.inf))
    []
    """
    away = np.asarray(away, float)
    fits = np.isfinite(away)
    if not fits.any():
        return []
    # A pair that cannot be costs more than all that can: as few as possible are taken.
    never = 1.0 + 2 * float(away[fits].sum())
    cost = np.where(fits, away, never)
    turned = cost.shape[0] > cost.shape[1]
    rows, columns = linear_sum_assignment(cost.T if turned else cost)
    if turned:
        rows, columns = columns, rows
    return sorted((int(i), int(j)) for i, j in zip(rows, columns, strict=True) if fits[i, j])
