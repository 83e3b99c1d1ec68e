"""Shares with their intervals."""

from __future__ import annotations

import numpy as np
from scipy import stats

_Z = float(stats.norm.ppf(0.975))


def shares(count: int, total: int) -> tuple[float, float, float]:
    """Return a percentage with its 95 % interval (Wilson 1927).

    Parameters
    ----------
    count, total : int
        Events, and of how many.

    Returns
    -------
    percent, low, high : float

    Notes
    -----
    doi:10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> [round(v, 1) for v in shares(1, 20)]
    [5.0, 0.9, 23.6]
    """
    p, z2 = count / total, _Z**2
    middle = (p + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z * np.sqrt(p * (1 - p) / total + z2 / (4 * total**2)) / (1 + z2 / total)
    low = middle - half if count else 0.0
    high = middle + half if count < total else 1.0
    return 100 * p, float(100 * low), float(100 * high)
