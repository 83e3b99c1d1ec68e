"""Which values lie far from the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Skewness above which a measure without negative values is judged by its logarithm.
SKEWED = 1.0


def robust_z(values: np.ndarray, groups: Sequence[str], *, fewest: int = 10) -> np.ndarray:
    """Tell how far values lie from the median of their group, in robust standard deviations.

    Parameters
    ----------
    values : ndarray, shape (n,)
        One measure of all visits; NaN where there is none.
    groups : sequence of str, length n
        Site or scanner of each visit.
    fewest : int, optional
        Groups of fewer values are compared with all.

    Returns
    -------
    ndarray, shape (n,)
        0.6745 (x - median) / MAD (Iglewicz & Hoaglin 1993); NaN where there is no value, or where
        fewer than ``fewest`` say what is usual. Right-skewed measures (volumes of lesions) are
        taken as log(x + median), so that zero is a value like others.

    Examples
    --------
    >>> z = robust_z(np.array([*np.arange(20.0), 200.0]), ['A'] * 21)
    >>> np.flatnonzero(np.abs(z) > 4)
    array([20])

    """
    values = np.asarray(values, float)
    found = np.isfinite(values)
    out = np.full(values.shape, np.nan)
    if found.sum() < fewest:
        return out
    scaled = _unskewed(values, found)
    groups = np.asarray(groups, dtype=object)
    names, sizes = np.unique(groups[found].astype(str), return_counts=True)
    big = {name for name, size in zip(names, sizes, strict=True) if size >= fewest}
    for name in names:
        here = found & (groups == name)
        of = scaled[here] if name in big else scaled[found]
        middle = np.median(of)
        spread = np.median(np.abs(of - middle))
        if spread > 0:
            out[here] = 0.6745 * (scaled[here] - middle) / spread
        else:  # most values are the same: those that are not have no scale to be judged by
            out[here] = np.where(scaled[here] == middle, 0.0, np.nan)
    return out


def _unskewed(values: np.ndarray, found: np.ndarray) -> np.ndarray:
    some = values[found]
    spread = some.std()
    if some.min() < 0 or spread == 0 or np.median(some) <= 0:
        return values
    skew = np.mean(((some - some.mean()) / spread) ** 3)
    return np.log(values + np.median(some)) if skew > SKEWED else values
