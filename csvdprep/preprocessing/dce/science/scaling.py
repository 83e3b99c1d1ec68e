"""Units of maps that come from elsewhere, told by their values."""

from __future__ import annotations

import numpy as np

#: Longest T1 that is believed, s: water has less than half.
LONGEST_T1_S = 10.0
#: Share of the values that a map is registered by; higher ones are cut.
REGISTERED = 0.995


def b1_factor(level: float) -> float | None:
    """Return what a map of B1 has to be multiplied by to be true over nominal flip angle.

    Parameters
    ----------
    level : float
        Its median in the brain.

    Returns
    -------
    float or None
        1 for ratios, 0.01 for percent, 0.001 for per mille; None if it is none of these.

    Examples
    --------
    >>> b1_factor(0.97), b1_factor(104.0), b1_factor(950.0), b1_factor(12.0)
    (1.0, 0.01, 0.001, None)
    """
    for factor in (1.0, 1e-2, 1e-3):
        if 0.5 <= level * factor <= 1.6:
            return factor
    return None


def t1_in_seconds(level: float) -> float | None:
    """Return what a map of T1 has to be multiplied by to be in seconds.

    Parameters
    ----------
    level : float
        Its median in the brain.

    Returns
    -------
    float or None
        1 for s, 0.001 for ms; None if it is neither.

    Examples
    --------
    >>> t1_in_seconds(1.2), t1_in_seconds(1180.0), t1_in_seconds(80.0)
    (1.0, 0.001, None)
    """
    for factor in (1.0, 1e-3):
        if 0.4 <= level * factor <= 3.5:
            return factor
    return None


def believable_t1(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take out of a map of T1 what is none.

    Parameters
    ----------
    data : ndarray
        T1, in s or ms.

    Returns
    -------
    t1 : ndarray, float32
        0 where a value is not finite, below 0 or above 10 s.
    shown : ndarray, float32
        For registration: the highest values are cut.

    Examples
    --------
    >>> t1, shown = believable_t1(np.array([1.0, 1.2, np.inf, np.nan, -1, 5000]))
    >>> t1.tolist() == [1.0, np.float32(1.2), 0, 0, 0, 0]
    True
    """
    t1 = np.asarray(data, np.float32)
    t1 = np.where(np.isfinite(t1) & (t1 > 0), t1, 0).astype(np.float32)
    there = t1[t1 > 0]
    if not len(there):
        return t1, t1
    factor = t1_in_seconds(float(np.median(there)))
    if factor is not None:
        t1[t1 * factor > LONGEST_T1_S] = 0
    return t1, np.minimum(t1, np.quantile(t1[t1 > 0], REGISTERED)).astype(np.float32)
