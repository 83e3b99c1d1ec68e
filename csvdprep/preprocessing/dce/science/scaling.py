"""Units of maps that come from elsewhere, told by their values."""

from __future__ import annotations


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
