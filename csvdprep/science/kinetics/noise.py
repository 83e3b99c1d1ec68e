"""How many voxels of a region leak, noise taken off."""

from __future__ import annotations

import numpy as np


def leaking_volume(ps: np.ndarray) -> tuple[float, float]:
    """Estimate the share of a region's voxels that leak.

    Noise is symmetric about 0: as many voxels as it makes negative, it makes positive. What is
    left of the positive ones is the leaking volume [1]_.

    Parameters
    ----------
    ps : ndarray
        PS of the voxels of a region, negative values included.

    Returns
    -------
    fraction : float
        (positive - negative) / all; NaN without voxels. Negative if most are negative.
    error : float
        Standard error if voxels were independent.

    References
    ----------
    .. [1] van de Haar H.J. et al. (2016) Blood-brain barrier leakage in patients with early
       Alzheimer disease. doi:10.1148/radiol.2016152244

    Examples
    --------
    >>> leaking_volume(np.array([-1.0, 1, 2, 3]))[0]
    0.5
    """
    ps = np.asarray(ps, float)
    ps = ps[np.isfinite(ps)]
    if not len(ps):
        return float('nan'), float('nan')
    sign = np.sign(ps)
    share = float(sign.mean())
    return share, float(np.sqrt(max((sign**2).mean() - share**2, 0) / len(ps)))
