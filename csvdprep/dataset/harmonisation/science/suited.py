"""Which measures ComBat is made for, and on what scale."""

from __future__ import annotations

import numpy as np
from scipy import stats

#: Skewness above which a measure without negative values is taken by its logarithm.
SKEWED = 1.0
#: Share of zeros above which a measure has no distribution that could be shifted.
ZEROS = 0.25
#: Begin of the reason why counts and grades are left as they are.
COUNTED = 'shifted and scaled it would be'


def unsuited(values: np.ndarray, units: str) -> str:
    """Say why a measure is not to be harmonised by ComBat; nothing if it may be.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Its values; NaN where there is none.
    units : str
        Its unit; '1' of counts, grades and ratios.

    Returns
    -------
    str
        The reason.

    Examples
    --------
    >>> unsuited(np.array([0.0, 1, 3, 2]), '1')
    'a count or a grade: shifted and scaled it would be neither'
    >>> unsuited(np.array([0.71, 0.8, 0.76]), '1')
    ''
    """
    some = values[np.isfinite(values)]
    if not len(some):
        return 'no visit has a value'
    if units == '1' and np.array_equal(some, np.round(some)):
        return f'a count or a grade: {COUNTED} neither'
    if np.ptp(some) == 0:
        return 'all values are the same'
    if (share := (some == 0).mean()) > ZEROS:
        return f'{100 * share:.0f} % of the values are 0: there is no one distribution to shift'
    return ''


def log_offset(values: np.ndarray) -> float:
    """Return what is to be added before the logarithm of a skewed measure is taken.

    Parameters
    ----------
    values : ndarray, shape (n,)
        One measure; NaN where there is none.

    Returns
    -------
    float
        0 where the logarithm is to be taken; values of 0 (no lesion) have none, and are left as
        they are. NaN where the measure is not skewed, has negative values, or is more skewed as a
        logarithm.

    Examples
    --------
    >>> log_offset(np.exp(np.linspace(-2, 2, 30))), log_offset(np.linspace(1, 2, 30))
    (0.0, nan)
    """
    some = values[np.isfinite(values)]
    if len(some) < 3 or some.min() < 0 or np.ptp(some) == 0:
        return np.nan
    skew = stats.skew(some)
    if skew <= SKEWED:
        return np.nan
    logs = np.log(some[some > 0])
    return 0.0 if np.ptp(logs) > 0 and abs(stats.skew(logs)) < skew else np.nan
