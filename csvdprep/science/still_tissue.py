"""The level of still tissue in an angiogram, in which blood is bright and fluid dark."""

from __future__ import annotations

import numpy as np

#: Quantile that blood does not reach, and share of it between which tissue lies.
BELOW_BLOOD, TISSUE = 0.9, (0.5, 1.2)


def tissue_level(values: np.ndarray) -> float:
    """Return the median intensity of still tissue.

    Parameters
    ----------
    values : ndarray
        Intensities of a part of the head; up to a tenth may be blood or fat, and any part fluid,
        bone or air.

    Returns
    -------
    float
        0 where there is nothing above 0.

    Examples
    --------
    >>> tissue_level(np.r_[np.full(600, 30.0), np.full(350, 100.0), np.full(50, 400.0)])
    100.0
    """
    values = np.asarray(values)
    values = values[values > 0]
    if not values.size:
        return 0.0
    high = float(np.quantile(values, BELOW_BLOOD))
    inside = values[(values >= TISSUE[0] * high) & (values <= TISSUE[1] * high)]
    return float(np.median(inside))
