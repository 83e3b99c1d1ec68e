"""An index of the burden of small vessel disease: a sum of z, each term of which can be seen.

Terms are deviates from the controls of a dataset at the same age and sex, signed so that more is
worse; the index is their weighted sum over its standard deviation in the controls. Nothing is
learned from an outcome.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import factorial

import numpy as np
from scipy import stats

from csvdprep.core.errors import MeasureError
from csvdprep.science.small_groups import FEW

#: Terms: name, measure, how it is scaled, sign, what it is.
TERMS = (
    ('wmh', 'wmh_total_pct_icv', 'log', 1, 'white matter hyperintensities, ln(% of ICV + 0.01)'),
    ('lacunes', 'lacune_n', 'count', 1, 'lacunes, ln(1 + n)'),
    ('microbleeds', 'cmb_n', 'count', 1, 'microbleeds, ln(1 + n)'),
    ('spaces', 'pvs_bg_grade', 'plain', 1, 'perivascular spaces of the basal ganglia, grade'),
    ('volume', 'bpf', 'plain', -1, 'brain volume: brain parenchymal fraction, negative'),
    ('psmd', 'psmd_1e4', 'log0', 1, 'diffusion: ln PSMD'),
)
#: Added to a percentage before its logarithm is taken.
FLOOR = 0.01
#: Random draws of the interval.
DRAWS = 1000
#: Probability of a distance from all others beyond which no index is given.
FAR = 0.01


@dataclass(frozen=True)
class Reference:
    """What terms are like in controls.

    Parameters
    ----------
    terms : tuple of str
        The k terms that can be had.
    slopes : ndarray, shape (k, 3)
        Intercept, age (per year from ``middle``), male sex.
    middle : float
        Age at the intercept, years.
    spread : ndarray, shape (k,)
        Standard deviation of the residuals.
    correlation : ndarray, shape (k, k)
        Of the residuals.
    n : ndarray, shape (k,)
        Controls with a value.
    weights : ndarray, shape (k,)
        Weights of the terms.
    left : mapping of str to str
        Terms that cannot be had, with the reason.
    sexes : str
        Sexes of which there are ten controls or more: others have no deviates.
    """

    terms: tuple[str, ...]
    slopes: np.ndarray
    middle: float
    spread: np.ndarray
    correlation: np.ndarray
    n: np.ndarray
    weights: np.ndarray
    left: Mapping[str, str]
    sexes: str = 'FM'


def raw_term(values: np.ndarray, how: str, sign: int) -> np.ndarray:
    """Scale a measure as its term is; shape as given.

    Examples
    --------
    >>> raw_term(np.array([0.0, 1.0]), 'count', 1).round(2)
    array([0.  , 0.69])
    """
    values = np.asarray(values, float)
    with np.errstate(divide='ignore', invalid='ignore'):
        scaled = {
            'log': lambda v: np.log(np.maximum(v, 0) + FLOOR),
            'log0': lambda v: np.where(v > 0, np.log(np.where(v > 0, v, 1)), np.nan),
            'count': lambda v: np.log1p(np.maximum(v, 0)),
            'plain': lambda v: v,
        }[how](values)
    return np.where(np.isfinite(values), sign * scaled, np.nan)


def fit_reference(
    raw: Mapping[str, np.ndarray],
    ages: np.ndarray,
    male: np.ndarray,
    controls: np.ndarray,
    *,
    least: int = 20,
    weights: Mapping[str, float] | None = None,
) -> Reference:
    """Learn from controls what is usual.

    Parameters
    ----------
    raw : mapping of str to (ndarray, shape (n,))
        Terms before they are adjusted; see :func:`raw_term`.
    ages : ndarray, shape (n,)
        Years.
    male : ndarray of bool, shape (n,)
        Sex.
    controls : ndarray of bool, shape (n,)
        Who is a control, of known age and sex.
    least : int, optional
        Fewest controls with a value.
    weights : mapping of str to float, optional
        Weights of terms; 1 where not given.

    Returns
    -------
    Reference

    Raises
    ------
    MeasureError
        If fewer than two terms can be had.
    """
    kept, slopes, spreads, rests, counts, left = [], [], [], [], [], {}
    rare = [sex for sex in (False, True) if (controls & (male == sex)).sum() < FEW]
    controls = controls & ~np.isin(male, rare)
    middle = float(np.mean(ages[controls])) if controls.any() else 0.0
    design = np.stack([np.ones(len(ages)), ages - middle, male.astype(float)], axis=1)
    for name, values in raw.items():
        used = controls & np.isfinite(values)
        if used.sum() < least:
            left[name] = f'{int(used.sum())} controls have it; {least} are needed'
            continue
        # Of counts that hardly any control has, a spread says nothing.
        kinds, each = np.unique(values[used], return_counts=True)
        if len(kinds) < 2 or each.max() > 0.95 * used.sum():
            left[name] = 'more than 95 % of the controls have the same value'
            continue
        beta = np.linalg.lstsq(design[used], values[used], rcond=None)[0]
        rest = np.where(controls, values - design @ beta, np.nan)
        freedom = max(1, used.sum() - np.linalg.matrix_rank(design[used]))
        kept.append(name)
        slopes.append(beta)
        spreads.append(np.sqrt(np.nansum(rest**2) / freedom))
        rests.append(rest)
        counts.append(int(used.sum()))
    if len(kept) < 2:
        raise MeasureError(
            'Fewer than two terms of the index can be had from the controls: '
            + '; '.join(f'{k}: {v}' for k, v in left.items())
        )
    return Reference(
        tuple(kept),
        np.array(slopes),
        middle,
        np.array(spreads),
        _correlation(np.array(rests)),
        np.array(counts),
        np.array([(weights or {}).get(name, 1.0) for name in kept]),
        left,
        ''.join(sex for sex, at in (('F', False), ('M', True)) if at not in rare),
    )


def deviates(
    reference: Reference, raw: Mapping[str, np.ndarray], ages: np.ndarray, male: np.ndarray
) -> np.ndarray:
    """Return z of each visit and term, shape (n, k); NaN where there is none."""
    design = np.stack([np.ones(len(ages)), ages - reference.middle, male.astype(float)], axis=1)
    values = np.stack([raw[name] for name in reference.terms], axis=1)
    z = (values - design @ reference.slopes.T) / reference.spread
    z[~np.where(male, 'M' in reference.sexes, 'F' in reference.sexes)] = np.nan
    return z


def index(reference: Reference, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Add the terms up.

    Parameters
    ----------
    reference : Reference
        From :func:`fit_reference`.
    z : ndarray, shape (n, k)
        From :func:`deviates`; terms that are NaN are left out of sum and scale.

    Returns
    -------
    total : ndarray, shape (n,)
        w'z / sqrt(w'Rw): standard normal in the controls. NaN without any term.
    marginal : ndarray, shape (n, k)
        Contributions w_k z_k / sqrt(w'Rw), whose sum is the index exactly: Shapley values where
        terms are independent. 0 where a term is missing.
    conditional : ndarray, shape (n, k)
        Shapley values where what is not known is expected from what is, with the correlations of
        the controls; the same sum.

    Examples
    --------
    >>> reference = Reference(('a', 'b'), np.zeros((2, 3)), 0, np.ones(2),
    ...                       np.array([[1, 0.5], [0.5, 1]]), np.array([50, 50]), np.ones(2), {})
    >>> total, marginal, conditional = index(reference, np.array([[2.0, 0.0], [1.0, np.nan]]))
    >>> total.round(3)
    array([1.155, 1.   ])
    >>> marginal[0].round(3), conditional[0].round(3)
    (array([1.155, 0.   ]), array([ 1.443, -0.289]))
    """
    w, corr = reference.weights, reference.correlation
    total = np.full(len(z), np.nan)
    marginal, conditional = np.zeros_like(z), np.zeros_like(z)
    seen = np.isfinite(z)
    for pattern in np.unique(seen, axis=0):
        if not pattern.any() or not w[pattern].any():
            continue
        rows = np.flatnonzero((seen == pattern).all(axis=1))
        inner = corr[np.ix_(pattern, pattern)]
        size = np.sqrt(w[pattern] @ inner @ w[pattern])
        part = z[np.ix_(rows, pattern)]
        marginal[np.ix_(rows, pattern)] = part * w[pattern] / size
        total[rows] = part @ w[pattern] / size
        matrix = _shapley(tuple(map(tuple, inner)), tuple(w[pattern] / size))
        conditional[np.ix_(rows, pattern)] = part @ np.array(matrix).T
    return total, marginal, conditional


def distances(z: np.ndarray) -> np.ndarray:
    """Tell how unusual the combination of terms is, among all visits.

    Parameters
    ----------
    z : ndarray, shape (n, k)
        Terms; NaN where there is none.

    Returns
    -------
    ndarray, shape (n,)
        Probability of a Mahalanobis distance as large (chi squared) of the normal scores of the
        terms (of their ranks among all visits), less what lies in the direction of their sum:
        much of everything, as severe disease has it, is not far, and what does not fit together
        is. 1 where there are fewer than two terms, or too few visits to tell.
    """
    out = np.ones(len(z))
    if len(z) < 10 * z.shape[1]:
        return out
    unit = np.full(z.shape, np.nan)
    for k, column in enumerate(z.T):
        found = np.isfinite(column)
        if found.sum() > 1:
            ranks = stats.rankdata(column[found])
            unit[found, k] = stats.norm.ppf((ranks - 0.5) / found.sum())
    corr = _correlation(unit.T)
    seen = np.isfinite(unit)
    for pattern in np.unique(seen, axis=0):
        if pattern.sum() > 1:
            rows = np.flatnonzero((seen == pattern).all(axis=1))
            part, inner = unit[np.ix_(rows, pattern)], corr[np.ix_(pattern, pattern)]
            along = part.sum(axis=1) ** 2 / inner.sum()
            squares = (part * np.linalg.solve(inner, part.T).T).sum(axis=1) - along
            out[rows] = stats.chi2.sf(squares, int(pattern.sum()) - 1)
    return out


def interval(
    reference: Reference,
    draws: Sequence[tuple[np.ndarray, np.ndarray]],
    z: np.ndarray,
    *,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds of the 95 % interval of the index that is due to measurement.

    Parameters
    ----------
    reference : Reference
        From :func:`fit_reference`.
    draws : sequence of (ndarray, shape (n,), ndarray, shape (n,))
        For each term, z at the lower and at the upper bound of the 95 % interval of its measure;
        NaN where that has none: then the value is taken as it is.
    z : ndarray, shape (n, k)
        Terms.
    seed : int, optional
        Of the random numbers.

    Returns
    -------
    low, high : ndarray, shape (n,)
        NaN where there is no index, or no term has an interval.

    Notes
    -----
    Each term is drawn :data:`DRAWS` times from two half normal distributions that meet at its
    value, and have its bounds as their 2.5 % and 97.5 %.
    """
    low, high = np.full(len(z), np.nan), np.full(len(z), np.nan)
    below = np.stack([a for a, _ in draws], axis=1)
    above = np.stack([b for _, b in draws], axis=1)
    known = np.isfinite(below) & np.isfinite(above) & np.isfinite(z)
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=(DRAWS, z.shape[1]))
    scale = 1 / stats.norm.ppf(0.975)
    for at in np.flatnonzero(known.any(axis=1)):
        down = np.where(known[at], np.maximum(z[at] - below[at], 0), 0) * scale
        up = np.where(known[at], np.maximum(above[at] - z[at], 0), 0) * scale
        drawn = z[at] + np.where(normal < 0, normal * down, normal * up)
        seen = np.isfinite(z[at])
        w = reference.weights[seen]
        size = np.sqrt(w @ reference.correlation[np.ix_(seen, seen)] @ w)
        total = drawn[:, seen] @ w / size
        low[at], high[at] = np.quantile(total, (0.025, 0.975))
    return low, high


def _correlation(rows: np.ndarray) -> np.ndarray:
    """Correlate rows where both have a value, and keep the matrix positive definite."""
    k = len(rows)
    corr = np.eye(k)
    for i, j in combinations(range(k), 2):
        both = np.isfinite(rows[i]) & np.isfinite(rows[j])
        if both.sum() > 10 and rows[i][both].std() > 0 and rows[j][both].std() > 0:
            corr[i, j] = corr[j, i] = np.corrcoef(rows[i][both], rows[j][both])[0, 1]
    values, axes = np.linalg.eigh(corr)
    corr = (axes * np.maximum(values, 0.05)) @ axes.T
    size = np.sqrt(np.diag(corr))
    return corr / np.outer(size, size)


@cache
def _shapley(corr: tuple, weights: tuple) -> tuple:
    """Return the matrix that turns z into Shapley values with conditional expectations."""
    corr, w = np.array(corr), np.array(weights)
    k = len(w)

    def value(known: tuple[int, ...]) -> np.ndarray:
        """Return the row that gives E[w'z | known] when multiplied with z."""
        row = np.zeros(k)
        if known:
            at = list(known)
            row[at] = np.linalg.solve(corr[np.ix_(at, at)], corr[at] @ w)
        return row

    values = {s: value(s) for r in range(k + 1) for s in combinations(range(k), r)}
    matrix = np.zeros((k, k))
    for i in range(k):
        others = [j for j in range(k) if j != i]
        for size in range(k):
            share = factorial(size) * factorial(k - size - 1) / factorial(k)
            for s in combinations(others, size):
                matrix[i] += share * (values[tuple(sorted((*s, i)))] - values[s])
    return tuple(map(tuple, matrix))
