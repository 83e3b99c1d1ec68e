"""An interval that holds the true volume in 95 % of cases like those it was calibrated on."""

from __future__ import annotations

import numpy as np

#: Volume, mL, that is added before logarithms are taken: errors of small loads are absolute.
OFFSET_ML = 3.0
#: Least half width of the sensitivity range, in logarithms.
LEAST = 0.15
#: How many half widths of the sensitivity range the truth may lie below and above, by engine, with
#: a T1w and without: 2nd and 98th percentiles over phantoms and inserted lesions
#: (benchmarks/interval.py). The network alone was not calibrated.
FACTORS = {
    'classical': {True: (-2.1, 2.1), False: (-1.8, 3.0)},
    'both': {True: (-2.2, 1.3), False: (-1.6, 2.4)},
}


def calibrated_interval(
    volume_ml: float,
    range_ml: tuple[float, float],
    *,
    has_t1w: bool = True,
    engine: str = 'classical',
) -> tuple[float, ...]:
    """Give an interval for the true volume.

    Split conformal prediction: the half width of the sensitivity range says how difficult a scan
    is, and calibration scans of known truth say how many of these half widths the truth lies away
    [1]_.

    Parameters
    ----------
    volume_ml : float
        Volume found.
    range_ml : tuple of float
        Its sensitivity range.
    has_t1w : bool
        Whether tissue is known from a T1w.
    engine : str
        What found it.

    Returns
    -------
    low, high : float
        Bounds, mL, the volume between them; nothing for an engine that was not calibrated.

    References
    ----------
    .. [1] Lei J. et al. (2018) Distribution-free predictive inference for regression.
       doi:10.1080/01621459.2017.1307116

    Examples
    --------
    >>> low, high = calibrated_interval(10.0, (8.0, 12.0))
    >>> low < 8 < 12 < high
    True
    >>> calibrated_interval(0.0, (0.0, 0.0))[0]
    0.0
    """
    if engine not in FACTORS:
        return ()
    below, above = FACTORS[engine][has_t1w]
    half = half_width(range_ml)
    bounds = ((volume_ml + OFFSET_ML) * np.exp(part * half) - OFFSET_ML for part in (below, above))
    low, high = (float(max(0.0, bound)) for bound in bounds)
    return min(low, volume_ml), max(high, volume_ml)


def half_width(range_ml: tuple[float, float]) -> float:
    """Return half of the sensitivity range, in logarithms.

    Examples
    --------
    >>> half_width((5.0, 5.0))
    0.15
    """
    low, high = range_ml
    return max(LEAST, float(np.log((high + OFFSET_ML) / (low + OFFSET_ML))) / 2)


def score(volume_ml: float, range_ml: tuple[float, float], true_ml: float) -> float:
    """Return how many half widths of the sensitivity range the truth lies away.

    Examples
    --------
    >>> score(2.0, (2.0, 2.0), 2.0)
    0.0
    """
    away = np.log((true_ml + OFFSET_ML) / (volume_ml + OFFSET_ML))
    return float(away) / half_width(range_ml)
