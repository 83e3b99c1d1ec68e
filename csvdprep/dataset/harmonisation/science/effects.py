"""How far sites are apart, before and after."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import stats


def site_effects(
    values: np.ndarray, expected: np.ndarray, here: np.ndarray
) -> Mapping[str, float]:
    """Compare one site with the others, after what covariates explain is taken away.

    Parameters
    ----------
    values : ndarray, shape (n,)
        One measure of all visits, NaN where there is none.
    expected : ndarray, shape (n,)
        What covariates explain of it.
    here : ndarray of bool, shape (n,)
        Visits of the site.

    Returns
    -------
    mapping
        ``d`` (difference of means in pooled standard deviations, site less others),
        ``variance_ratio`` (site over others), ``ks`` (largest distance of the cumulative
        distributions, Kolmogorov-Smirnov); NaN where there are fewer than two values.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> values, here = rng.normal(size=400), np.arange(400) < 200
    >>> found = site_effects(values + here, np.zeros(400), here)
    >>> round(found['d'], 1)
    1.1
    """
    rest = values - expected
    ours, others = (rest[side & np.isfinite(rest)] for side in (here, ~here))
    if min(len(ours), len(others)) < 2:
        return dict.fromkeys(('d', 'variance_ratio', 'ks'), np.nan)
    first, second = ours.var(ddof=1), others.var(ddof=1)
    pooled = ((len(ours) - 1) * first + (len(others) - 1) * second) / (len(ours) + len(others) - 2)
    return {
        'd': float((ours.mean() - others.mean()) / np.sqrt(pooled)) if pooled > 0 else np.nan,
        'variance_ratio': float(first / second) if second > 0 else np.nan,
        'ks': float(stats.ks_2samp(ours, others).statistic),
    }
