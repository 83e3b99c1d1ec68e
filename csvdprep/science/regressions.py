"""Log-likelihoods of outcomes, with their derivatives: proportional odds, proportional hazards."""

from __future__ import annotations

import numpy as np
from scipy import special


def proportional_odds(
    point: np.ndarray, design: np.ndarray, grades: np.ndarray, levels: int
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the log-likelihood of grades, and its derivatives.

    Parameters
    ----------
    point : ndarray, shape (levels - 1 + k,)
        Thresholds, and coefficients: P(grade <= g) = expit(threshold_g - x'b).
    design : ndarray, shape (n, k)
        Predictors, without a constant.
    grades : ndarray of int, shape (n,)
        From 0 to levels - 1. With two levels this is logistic regression.
    levels : int
        Number of grades.

    Returns
    -------
    value : float
        -inf where thresholds are not in order.
    slope : ndarray, shape (levels - 1 + k,)
    curve : ndarray, shape (levels - 1 + k, levels - 1 + k)
        Negative second derivatives.

    Notes
    -----
    McCullagh 1980, doi:10.1111/j.2517-6161.1980.tb01109.x. The function is concave.

    Examples
    --------
    >>> grades = np.array([0, 1, 1, 1])
    >>> value, slope, _ = proportional_odds(np.zeros(1), np.zeros((4, 0)), grades, 2)
    >>> round(value, 3), slope
    (-2.773, array([-1.]))
    """
    base = levels - 1
    cuts, eta = point[:base], design @ point[base:]
    if (np.diff(cuts) <= 0).any():
        return -np.inf, np.zeros_like(point), np.eye(len(point))
    y, count = grades, len(grades)
    high, low = np.flatnonzero(y < base), np.flatnonzero(y > 0)
    upper, lower = np.full(count, np.inf), np.full(count, -np.inf)
    upper[high], lower[low] = cuts[y[high]], cuts[y[low] - 1]
    b, a = special.expit(upper - eta), special.expit(lower - eta)
    p = np.maximum(b - a, 1e-300)
    fb, fa = b * (1 - b), a * (1 - a)
    gb, ga = fb * (1 - 2 * b), fa * (1 - 2 * a)
    up, down = fb / p, -fa / p  # by the upper and the lower threshold
    uu, dd, ud = gb / p - up**2, -ga / p - down**2, -up * down
    slope = np.zeros(len(point))
    slope[:base] = np.bincount(y[high], up[high], minlength=base)
    slope[:base] += np.bincount(y[low] - 1, down[low], minlength=base)
    slope[base:] = -design.T @ (up + down)
    curve = np.zeros((len(point), len(point)))
    inner = np.bincount(y[high], uu[high], minlength=base)
    inner += np.bincount(y[low] - 1, dd[low], minlength=base)
    curve[:base, :base] = np.diag(inner)
    middle = high[y[high] > 0]
    beside = np.bincount(y[middle], ud[middle], minlength=base)[1:]
    curve[:base, :base] += np.diag(beside, 1) + np.diag(beside, -1)
    for k in range(base):
        at, under = y == k, y - 1 == k
        part = (uu + ud)[at] @ design[at] + (dd + ud)[under] @ design[under]
        curve[k, base:] = curve[base:, k] = -part
    curve[base:, base:] = (design * (uu + dd + 2 * ud)[:, None]).T @ design
    return float(np.log(p).sum()), slope, -curve


def proportional_hazards(
    point: np.ndarray, design: np.ndarray, times: np.ndarray, events: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the partial log-likelihood of times to an event, and its derivatives.

    Parameters
    ----------
    point : ndarray, shape (k,)
        Logarithms of hazard ratios.
    design : ndarray, shape (n, k)
        Predictors.
    times : ndarray, shape (n,)
        To the event, or to the end of the observation.
    events : ndarray of bool, shape (n,)
        Whether the event took place.

    Returns
    -------
    value : float
    slope : ndarray, shape (k,)
    curve : ndarray, shape (k, k)
        Negative second derivatives.

    Notes
    -----
    Cox 1972, doi:10.1111/j.2517-6161.1972.tb00899.x; ties after Breslow 1974,
    doi:10.2307/2529620.

    Examples
    --------
    >>> value, slope, _ = proportional_hazards(
    ...     np.zeros(1), np.array([[1.0], [0], [0]]), np.array([1.0, 2, 3]), np.ones(3, bool))
    >>> round(value, 3), slope.round(3)
    (-1.792, array([0.667]))
    """
    order = np.argsort(-times, kind='stable')
    x, event, time = design[order], events[order], times[order]
    eta = x @ point
    risk = np.exp(eta - eta.max())
    # Who has the same time is at risk together.
    last = (np.searchsorted(-time, -time, side='right') - 1)[event]
    total = np.cumsum(risk)[last]
    mean = np.cumsum(risk[:, None] * x, axis=0)[last] / total[:, None]
    value = float((eta[event] - eta.max() - np.log(total)).sum())
    slope = x[event].sum(axis=0) - mean.sum(axis=0)
    # Each row counts at all events at whose time it is at risk.
    each = np.bincount(last, 1 / total, minlength=len(x))[::-1].cumsum()[::-1]
    curve = (x * (risk * each)[:, None]).T @ x - mean.T @ mean
    return value, slope, curve
