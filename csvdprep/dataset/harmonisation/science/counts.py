"""Counts and grades of several sites: negative-binomial and ordinal models with sites at random.

Shifted and scaled, a count or a grade would be neither; what sites do to them is estimated in a
model of its kind, and told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

from csvdprep.core.errors import MeasureError
from csvdprep.science.regressions import proportional_odds

#: Most grades that a measure may have; a count of more kinds is a count.
GRADES = 12
_Z = float(stats.norm.ppf(0.975))
#: Bounds of the standard deviation between sites, and of the overdispersion, as logarithms.
_SPREAD = (np.log(1e-3), np.log(5.0))
_SHAPE = (np.log(1e-2), np.log(1e4))


@dataclass(frozen=True)
class Mixed:
    """A model of counts or grades with a random intercept of sites.

    Parameters
    ----------
    kind : {'negative binomial', 'ordinal'}
        Of counts, with a logarithmic link; of grades, as cumulative logits.
    sites : tuple of str
        The s sites.
    effects, errors : ndarray, shape (k,)
        Logarithms of rate or odds ratios of the covariates, and their standard errors.
    site_effects, site_errors : ndarray, shape (s,)
        The same of the sites, drawn towards 0 by what differs between sites.
    spread : float
        Standard deviation between sites, of these logarithms.
    p_sites : float
        Probability of as much between sites if there were no effect of sites: likelihood ratio,
        half of chi squared of one degree of freedom (Self & Liang 1987,
        doi:10.1080/01621459.1987.10478472).
    base : ndarray, shape (g,)
        Intercept of counts (g = 1), or the thresholds between grades.
    shape : float
        Variance of a count is mean + mean² / shape; NaN of grades.
    levels : tuple of float
        Grades; none of counts.
    """

    kind: str
    sites: tuple[str, ...]
    effects: np.ndarray
    errors: np.ndarray
    site_effects: np.ndarray
    site_errors: np.ndarray
    spread: float
    p_sites: float
    base: np.ndarray
    shape: float = np.nan
    levels: tuple[float, ...] = ()


def fit_mixed(
    values: np.ndarray, sites: Sequence[str], columns: np.ndarray, *, kind: str
) -> Mixed:
    """Estimate what sites and covariates do to a count or a grade.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Counts or grades of participants, one visit each; no NaN.
    sites : sequence of str, length n
        Site of each.
    columns : ndarray, shape (n, k)
        Covariates, without a constant.
    kind : {'negative binomial', 'ordinal'}
        Model.

    Returns
    -------
    Mixed

    Raises
    ------
    MeasureError
        If there is one value only, a value is no count, or the estimate does not settle.

    Notes
    -----
    Log-likelihoods are concave in what is estimated, so that Newton's steps find it; what is at
    random, and the fixed effects, are integrated out by Laplace's approximation (restricted
    likelihood), of which spread between sites and overdispersion are the maximum (Breslow &
    Clayton 1993, doi:10.1080/01621459.1993.10594284). The spread has a gamma prior of shape 2, as
    few sites would often give 0, and intervals that are too short (Chung 2013,
    doi:10.1007/s11336-013-9328-2). Grades have proportional odds (McCullagh 1980,
    doi:10.1111/j.2517-6161.1980.tb01109.x).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sites, x = np.repeat(list('ABCDEF'), 100), rng.normal(size=(600, 1))
    >>> effect = np.repeat([-0.6, -0.3, 0, 0, 0.3, 0.6], 100)
    >>> y = rng.poisson(rng.gamma(2, np.exp(0.5 + 0.4 * x[:, 0] + effect) / 2))
    >>> found = fit_mixed(y, sites, x, kind='negative binomial')
    >>> bool(abs(found.effects[0] - 0.4) < 0.1), bool(abs(found.spread - 0.42) < 0.25)
    (True, True)
    """
    values, sites = np.asarray(values, float), np.asarray(sites).astype(str)
    if len(values) < 2 or np.ptp(values) == 0:
        raise MeasureError('all values are the same')
    if kind == 'ordinal':
        levels, y = np.unique(values, return_inverse=True)
        if len(levels) > GRADES:
            raise MeasureError(
                f'it has {len(levels)} different values; grades have up to {GRADES}'
            )
    else:
        levels, y = np.zeros(0), values
        if (y < 0).any() or (y != np.round(y)).any():
            raise MeasureError('there are values that are no counts')
    names, at = np.unique(sites, return_inverse=True)
    problem = _Problem(kind, y, at, columns, len(names), len(levels))
    try:
        log_spread, log_shape = problem.best()
        worst = problem.objective(_SPREAD[0], problem.best(spread=_SPREAD[0])[1])
        best = problem.objective(log_spread, log_shape)
    except np.linalg.LinAlgError as error:
        raise MeasureError('covariates, sites and values leave no single estimate') from error
    point, cover, _ = problem.solve(log_spread, log_shape)
    base, k = problem.base, columns.shape[1]
    errors = np.sqrt(np.diag(cover))
    chi = max(0.0, 2 * (worst - best))
    return Mixed(
        kind=kind,
        sites=tuple(map(str, names)),
        effects=point[base : base + k],
        errors=errors[base : base + k],
        site_effects=point[base + k :],
        site_errors=errors[base + k :],
        spread=float(np.exp(log_spread)),
        p_sites=float(stats.chi2.sf(chi, 1) / 2) if chi > 0 else 1.0,
        base=point[:base],
        shape=float(np.exp(log_shape)) if kind != 'ordinal' else np.nan,
        levels=tuple(map(float, levels)),
    )


def ratio(effect: float, error: float) -> tuple[float, float, float]:
    """Return a rate or odds ratio with its 95 % interval.

    Examples
    --------
    >>> [round(v, 3) for v in ratio(0.0, 0.1)]
    [1.0, 0.822, 1.217]
    """
    ends = np.clip([effect, effect - _Z * error, effect + _Z * error], -50, 50)
    return tuple(float(v) for v in np.exp(ends))


class _Problem:
    """Joint log-likelihood of intercepts, fixed effects and sites, given the two spreads."""

    def __init__(self, kind, y, at, columns, sites: int, levels: int):
        self.kind, self.y, self.at, self.levels = kind, y, at, levels
        self.base = levels - 1 if kind == 'ordinal' else 1
        dummies = np.zeros((len(y), sites))
        dummies[np.arange(len(y)), at] = 1
        self.design = np.concatenate([columns, dummies], axis=1)
        self.sites = sites
        self._start = np.zeros(self.base + self.design.shape[1])
        if kind == 'ordinal':
            share = np.cumsum(np.bincount(y, minlength=levels))[:-1] / len(y)
            self._start[: self.base] = special.logit(share)
        else:
            self._start[0] = np.log(y.mean())
            self._kinds, self._each = np.unique(y, return_counts=True)

    def best(self, spread: float | None = None) -> tuple[float, float]:
        """Return the logarithms of spread between sites and of the shape."""
        if self.kind == 'ordinal':
            if spread is not None:
                return spread, 0.0
            found = optimize.minimize_scalar(
                lambda s: self.objective(s, 0.0) - s, bounds=_SPREAD, method='bounded'
            )
            return float(found.x), 0.0
        if spread is not None:
            found = optimize.minimize_scalar(
                lambda t: self.objective(spread, t), bounds=_SHAPE, method='bounded'
            )
            return spread, float(found.x)
        found = optimize.minimize(
            lambda p: self.objective(*p) - p[0],
            np.array([np.log(0.3), 0.5]),
            method='Nelder-Mead',
            bounds=(_SPREAD, _SHAPE),
            options={'xatol': 5e-3, 'fatol': 1e-3},
        )
        return float(found.x[0]), float(found.x[1])

    def objective(self, log_spread: float, log_shape: float) -> float:
        """Return the negative restricted log-likelihood."""
        return self.solve(log_spread, log_shape)[2]

    def solve(self, log_spread: float, log_shape: float):
        """Find the mode; return it, the inverse of its curvature, and the objective."""
        weight = np.exp(-2 * log_spread)
        prior = np.zeros(len(self._start))
        prior[-self.sites :] = weight
        point = self._start
        value, slope, curve = self._likelihood(point, log_shape)
        value -= 0.5 * prior @ point**2
        for _ in range(100):
            hessian = curve + np.diag(prior)
            step = np.linalg.solve(hessian, slope - prior * point)
            size = 1.0
            while True:
                tried = point + size * step
                new, new_slope, new_curve = self._likelihood(tried, log_shape)
                new -= 0.5 * prior @ tried**2
                if new >= value - 1e-9 or size < 1e-6:
                    break
                size /= 2
            gained = new - value
            point, value, slope, curve = tried, new, new_slope, new_curve
            if abs(gained) < 1e-9 * (1 + abs(value)):
                break
        self._start = point
        hessian = curve + np.diag(prior)
        sign, logdet = np.linalg.slogdet(hessian)
        if sign <= 0:
            raise np.linalg.LinAlgError('no maximum')
        objective = -value + 0.5 * logdet + self.sites * log_spread
        return point, np.linalg.inv(hessian), objective

    def _likelihood(self, point, log_shape):
        """Return log-likelihood, its gradient, and its negative second derivatives."""
        return (self._grades if self.kind == 'ordinal' else self._counts)(point, log_shape)

    def _counts(self, point, log_shape):
        y, shape = self.y, np.exp(log_shape)
        eta = np.clip(point[0] + self.design @ point[1:], -30, 30)
        mean = np.exp(eta)
        kinds = self._kinds
        fixed = special.gammaln(kinds + shape) - special.gammaln(kinds + 1)
        value = (y * eta - (y + shape) * np.log(shape + mean)).sum()
        value += self._each @ fixed
        value += len(y) * (shape * log_shape - special.gammaln(shape))
        first = shape * (y - mean) / (shape + mean)
        second = shape * mean * (y + shape) / (shape + mean) ** 2
        whole = np.concatenate([np.ones((len(y), 1)), self.design], axis=1)
        return value, whole.T @ first, (whole * second[:, None]).T @ whole

    def _grades(self, point, _):
        return proportional_odds(point, self.design, self.y, self.levels)
