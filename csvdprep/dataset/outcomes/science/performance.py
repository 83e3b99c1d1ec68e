"""How good predictions are: discrimination, calibration, decision, sets that hold the truth."""

from __future__ import annotations

import numpy as np
from scipy import stats

from csvdprep.core.errors import MeasureError
from csvdprep.dataset.outcomes.science.net import Outcome, fit_net

_Z = float(stats.norm.ppf(0.975))


def concordance(outcome: Outcome, eta: np.ndarray) -> tuple[float, float, float]:
    """Return how often the one with the worse outcome has the higher score, with its interval.

    Parameters
    ----------
    outcome : Outcome
        What took place.
    eta : ndarray, shape (n,)
        Scores; no NaN.

    Returns
    -------
    c, low, high : float
        Area under the curve for two grades, with the interval of Hanley & McNeil 1982
        (doi:10.1148/radiology.143.1.7063747); share of concordant pairs for more; C of Harrell
        1982 (doi:10.1001/jama.1982.03320430047030) for times; the intervals by bootstrap.

    Raises
    ------
    MeasureError
        If there is one kind of outcome only.

    Examples
    --------
    >>> y = Outcome('logistic', np.array([0, 0, 1, 1]), np.zeros(0))
    >>> concordance(y, np.array([0.1, 0.6, 0.5, 0.9]))[0]
    0.75
    """
    if outcome.kind == 'logistic':
        a, b = eta[outcome.grades == 1], eta[outcome.grades == 0]
        if not len(a) or not len(b):
            raise MeasureError('there is one kind of outcome only')
        ranks = stats.rankdata(np.concatenate([a, b]))
        c = (ranks[: len(a)].sum() - len(a) * (len(a) + 1) / 2) / (len(a) * len(b))
        q1, q2 = c / (2 - c), 2 * c * c / (1 + c)
        variance = (c * (1 - c) + (len(a) - 1) * (q1 - c * c) + (len(b) - 1) * (q2 - c * c)) / (
            len(a) * len(b)
        )
        half = _Z * np.sqrt(max(variance, 0))
        return float(c), float(max(0, c - half)), float(min(1, c + half))
    c = _pairs(outcome, eta)
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(100):
        rows = rng.integers(0, len(eta), min(len(eta), 1000))
        try:
            drawn.append(_pairs(outcome.of(rows), eta[rows]))
        except MeasureError:
            continue
    # Of a smaller sample than there is, the interval is wider by the root of the ratio.
    narrow = np.sqrt(min(1.0, 1000 / len(eta)))
    half = _Z * np.std(drawn) * narrow if drawn else np.nan
    return c, float(max(0, c - half)), float(min(1, c + half))


def _pairs(outcome: Outcome, eta: np.ndarray) -> float:
    if len(eta) > 3000:  # all pairs of ten thousand are a hundred million
        rows = np.random.default_rng(1).permutation(len(eta))[:3000]
        outcome, eta = outcome.of(rows), eta[rows]
    if outcome.kind == 'cox':
        worse = (outcome.times[:, None] < outcome.times) & (outcome.grades[:, None] == 1)
    else:
        worse = outcome.grades[:, None] > outcome.grades
    total = worse.sum()
    if not total:
        raise MeasureError('there is one kind of outcome only')
    higher = (eta[:, None] > eta) + 0.5 * (eta[:, None] == eta)
    return float((worse * higher).sum() / total)


def calibration(outcome: Outcome, eta: np.ndarray) -> float:
    """Return the slope of the outcome on the linear predictor: 1 where it is right.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> eta = rng.normal(0, 2, 4000)
    >>> y = (rng.random(4000) < 1 / (1 + np.exp(-0.5 * eta))).astype(int)
    >>> round(calibration(Outcome('logistic', y, np.zeros(0)), eta), 1)
    0.5
    """
    spread = eta.std()
    if not spread > 0 or outcome.events() < 2:
        raise MeasureError('predictions, or outcomes, do not vary')
    return float(fit_net(outcome, eta[:, None] / spread, 0.0)[-1] / spread)


def brier(grades: np.ndarray, chances: np.ndarray) -> float:
    """Return the mean squared difference of cumulative probabilities and outcomes.

    Of two grades this is the score of Brier 1950, of more that of Epstein 1969 (ranked).

    Examples
    --------
    >>> brier(np.array([0, 1]), np.array([[0.8, 0.2], [0.4, 0.6]])).round(3)
    np.float64(0.1)
    """
    below = np.cumsum(chances, axis=1)[:, :-1]
    truth = grades[:, None] <= np.arange(chances.shape[1] - 1)
    return ((below - truth) ** 2).sum(axis=1).mean()


def net_benefit(grades: np.ndarray, chance: np.ndarray, threshold: float) -> tuple[float, float]:
    """Return the net benefit of acting by the model, and of acting in all.

    Parameters
    ----------
    grades : ndarray of int, shape (n,)
        0 or 1.
    chance : ndarray, shape (n,)
        Probability of 1.
    threshold : float
        Probability from which on one would act.

    Returns
    -------
    model, all : float
        True positives less false positives at the odds of the threshold, by participant (Vickers &
        Elkin 2006, doi:10.1177/0272989X06295361); acting in none has 0.

    Examples
    --------
    >>> net_benefit(np.array([0, 1]), np.array([0.1, 0.9]), 0.5)
    (0.5, 0.0)
    """
    odds = threshold / (1 - threshold)
    act = chance >= threshold
    hit, false = ((grades == k) & act for k in (1, 0))
    everyone = grades.mean() - (1 - grades.mean()) * odds
    return float(hit.mean() - false.mean() * odds), float(everyone)


def conformal_sets(
    grades: np.ndarray, chances: np.ndarray, folds: np.ndarray, *, cover: float = 0.9
) -> np.ndarray:
    """Return the grades that cannot be ruled out.

    Parameters
    ----------
    grades : ndarray of int, shape (n,)
        What took place.
    chances : ndarray, shape (n, levels)
        Probability of each grade, by sites that the model did not have; NaN where there is none.
    folds : ndarray of str, shape (n,)
        Sites.
    cover : float, optional
        Share of sets that are to hold the truth.

    Returns
    -------
    ndarray of bool, shape (n, levels)
        Split conformal prediction (Vovk 2005; Lei 2018, doi:10.1080/01621459.2017.1307116): the
        limit for each site is learned from the predictions of the others, so that its coverage
        tells whether that carries over.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> p = rng.random(2000)
    >>> y = (rng.random(2000) < p).astype(int)
    >>> sets = conformal_sets(y, np.stack([1 - p, p], 1), np.repeat(['A', 'B'], 1000))
    >>> bool(abs(sets[np.arange(2000), y].mean() - 0.9) < 0.03)
    True
    """
    known = np.isfinite(chances).all(axis=1)
    score = np.where(known, 1 - chances[np.arange(len(grades)), grades], np.nan)
    sets = np.zeros(chances.shape, bool)
    for fold in np.unique(folds):
        here = folds == fold
        others = np.sort(score[known & ~here])
        if not len(others):
            continue
        rank = int(np.ceil((len(others) + 1) * cover))
        limit = others[rank - 1] if rank <= len(others) else np.inf
        sets[here] = 1 - chances[here] <= limit
    return sets & known[:, None]
