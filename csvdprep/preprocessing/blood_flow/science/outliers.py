"""Pairs of control and label that spoil the mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Pairs this many robust standard deviations from the median are left out.
OUTLYING = 3.0
#: Fewest pairs of one delay of which further ones are left out, and share that is kept at least.
LEAST_PAIRS, KEPT_SHARE = 10, 0.5


def kept_pairs(
    pairs: np.ndarray, tissue: np.ndarray, group: Sequence[int] | None = None
) -> np.ndarray:
    """Tell which differences to average.

    First those are left out whose mean over grey matter (tissue 1) is far from that of the rest
    (as labelling that failed, or a head that moved, leaves it). Then, one after the other, that
    without which the variance within the tissues is least, as long as it falls: a mean of fewer
    good pairs varies more.

    Parameters
    ----------
    pairs : ndarray, shape (n, v)
        Control minus label of each pair, of voxels of the brain.
    tissue : ndarray of int, shape (v,)
        1 grey matter, 2 white matter, 3 fluid; 0 does not count. One number for all where no
        tissue is known.
    group : sequence of int, optional
        Delay of each pair: only those of one delay are alike.

    Returns
    -------
    ndarray of bool, shape (n,)

    References
    ----------
    .. [1] Dolui S. et al. (2017) Structural correlation-based outlier rejection (SCORE) algorithm
       for arterial spin labeling time series, whose criterion is the same variance.
       doi:10.1002/jmri.25436

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> tissue = np.repeat([1, 2], 200)
    >>> pairs = np.where(tissue == 1, 10, 4) + rng.normal(0, 3, (20, 400))
    >>> pairs[7] += 60
    >>> np.flatnonzero(~kept_pairs(pairs, tissue)).tolist()
    [7]
    """
    pairs = np.asarray(pairs, float)
    group = np.zeros(len(pairs), int) if group is None else np.asarray(group)
    first = tissue == 1 if (tissue == 1).any() else tissue > 0
    level = pairs[:, first].mean(axis=1)
    middle = np.array([np.median(level[group == g]) for g in group])
    keep = np.ones(len(pairs), bool)
    # Two of a delay are equally far from their median: they tell nothing of the scatter.
    counted = np.array([(group == g).sum() > 2 for g in group])
    if counted.sum() > 3:
        spread = 1.4826 * np.median(np.abs(level - middle)[counted])
        keep = ~counted | (np.abs(level - middle) <= OUTLYING * max(spread, 1e-12))
    for one in np.unique(group):
        own = np.flatnonzero(keep & (group == one))
        # Without tissues every likeness is that of the whole brain: nothing is told by it.
        if len(own) >= LEAST_PAIRS and len(np.unique(tissue[tissue > 0])) > 1:
            keep[own] = _steady(pairs[own], tissue)
    return keep


def _steady(pairs: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    keep = np.ones(len(pairs), bool)
    least = max(3, int(np.ceil(KEPT_SHARE * len(pairs))))
    total = pairs.sum(axis=0)
    before = _within(total / len(pairs), tissue)
    while keep.sum() > least:
        left = int(keep.sum()) - 1
        tried = np.array(
            [
                _within((total - pair) / left, tissue) if use else np.inf
                for pair, use in zip(pairs, keep, strict=True)
            ]
        )
        worst = int(tried.argmin())
        if tried[worst] >= before:
            break
        keep[worst], before = False, tried[worst]
        total = total - pairs[worst]
    return keep


def _within(values: np.ndarray, tissue: np.ndarray) -> float:
    """Return the variance within tissues, pooled."""
    total, count = 0.0, 0
    for one in np.unique(tissue[tissue > 0]):
        own = values[tissue == one]
        if len(own) > 1:
            total += (len(own) - 1) * float(own.var(ddof=1))
            count += len(own) - 1
    return total / max(count, 1)
