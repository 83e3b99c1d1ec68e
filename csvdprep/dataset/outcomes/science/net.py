"""Elastic nets of outcomes: grades (two or more), and times to an event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from csvdprep.core.errors import MeasureError
from csvdprep.science.regressions import proportional_hazards, proportional_odds

#: Part of the penalty that is on magnitudes, the rest being on squares.
L1 = 0.5
#: Penalties that are tried, the largest first, and the ratio of the smallest to the largest.
STEPS, RATIO = 9, 1e-3


@dataclass(frozen=True)
class Outcome:
    """What is to be predicted.

    Parameters
    ----------
    kind : {'logistic', 'ordinal', 'cox'}
        Two grades, several, or times.
    grades : ndarray of int, shape (n,)
        0 or 1, or the grade; of times, whether the event took place.
    times : ndarray, shape (n,)
        To the event or the end; empty of grades.
    levels : tuple of str
        Names of the grades.
    """

    kind: str
    grades: np.ndarray
    times: np.ndarray
    levels: tuple[str, ...] = ('0', '1')

    def of(self, rows: np.ndarray) -> Outcome:
        """Return the outcome of some rows."""
        times = self.times[rows] if len(self.times) else self.times
        return Outcome(self.kind, self.grades[rows], times, self.levels)

    @property
    def base(self) -> int:
        """Number of thresholds."""
        return 0 if self.kind == 'cox' else len(self.levels) - 1

    def events(self) -> int:
        """Return how many there are of the rarer kind: what limits how much can be learned."""
        if self.kind == 'cox':
            return int(self.grades.sum())
        each = np.bincount(self.grades, minlength=len(self.levels))
        # Of several grades, those beside the most frequent.
        return int(each.min() if self.kind == 'logistic' else len(self.grades) - each.max())

    def likelihood(self, point: np.ndarray, design: np.ndarray):
        """Return log-likelihood, gradient, and negative second derivatives."""
        if self.kind == 'cox':
            return proportional_hazards(point, design, self.times, self.grades.astype(bool))
        return proportional_odds(point, design, self.grades, len(self.levels))

    def start(self, width: int) -> np.ndarray:
        """Return the estimate without predictors, of so many."""
        point = np.zeros(self.base + width)
        if self.base:
            each = np.bincount(self.grades, minlength=len(self.levels)) + 0.5
            point[: self.base] = special.logit(np.cumsum(each)[:-1] / each.sum())
        return point


def fit_net(
    outcome: Outcome, design: np.ndarray, penalty: float, start: np.ndarray | None = None
) -> np.ndarray:
    """Maximise the penalised log-likelihood.

    Parameters
    ----------
    outcome : Outcome
        What is to be predicted.
    design : ndarray, shape (n, k)
        Predictors, of mean 0 and standard deviation 1.
    penalty : float
        Times L1 ``|b|`` + (1 - L1) b² / 2, of the mean log-likelihood; thresholds have none.
    start : ndarray, shape (base + k,), optional
        Where to begin.

    Returns
    -------
    ndarray, shape (base + k,)
        Thresholds and coefficients.

    Notes
    -----
    Newton's steps, each by coordinate descent on the quadratic (Friedman 2010,
    doi:10.18637/jss.v033.i01).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(500, 3))
    >>> y = (rng.random(500) < 1 / (1 + np.exp(-2 * x[:, 0]))).astype(int)
    >>> fit_net(Outcome('logistic', y, np.zeros(0)), x, 0.05).round(1) + 0.0
    array([-0.1,  1.2,  0. ,  0. ])
    """
    count, base = len(outcome.grades), outcome.base
    point = outcome.start(design.shape[1]) if start is None else start.copy()
    hard = np.zeros(len(point))
    hard[base:] = penalty

    def cost(value, b):
        pen = (hard * (L1 * np.abs(b) + (1 - L1) / 2 * b**2)).sum()
        return -value / count + pen

    value, slope, curve = outcome.likelihood(point, design)
    now = cost(value, point)
    for _ in range(50):
        g, h = slope / count, curve / count + 1e-10 * np.eye(len(point))
        step = np.zeros(len(point))
        pull = g.copy()  # g - h @ step
        for _ in range(200):
            largest = 0.0
            for j in range(len(point)):
                old = point[j] + step[j]
                raw = h[j, j] * old + pull[j]
                cut = hard[j] * L1
                new = np.sign(raw) * max(abs(raw) - cut, 0.0) / (h[j, j] + hard[j] * (1 - L1))
                if new != old:
                    pull -= h[:, j] * (new - old)
                    step[j] += new - old
                    largest = max(largest, abs(new - old))
            if largest < 1e-7:
                break
        size = 1.0
        while size > 1e-6:
            tried = point + size * step
            got = outcome.likelihood(tried, design)
            then = cost(got[0], tried)
            if then <= now + 1e-10:
                break
            size /= 2
        else:
            break
        done = now - then < 1e-9
        point, (value, slope, curve), now = tried, got, then
        if done:
            break
    return point


def penalties(outcome: Outcome, design: np.ndarray) -> np.ndarray:
    """Return penalties to try: from that which leaves no predictor."""
    point = outcome.start(design.shape[1])
    slope = outcome.likelihood(point, design)[1][outcome.base :]
    largest = max(np.abs(slope).max() / len(outcome.grades) / L1, 1e-6) if len(slope) else 1.0
    return largest * np.logspace(0, np.log10(RATIO), STEPS)


def choose_penalty(
    outcome: Outcome, design: np.ndarray, folds: Sequence[np.ndarray]
) -> tuple[float, np.ndarray]:
    """Choose the penalty by rows that are left out.

    Parameters
    ----------
    outcome : Outcome
        What is to be predicted.
    design : ndarray, shape (n, k)
        Predictors, of mean 0 and standard deviation 1.
    folds : sequence of (ndarray of bool, shape (n,))
        Rows that are left out together: those of a site.

    Returns
    -------
    penalty : float
    scores : ndarray, shape (n,)
        x'b of each row by the fit that did not have it.

    Raises
    ------
    MeasureError
        If no fold leaves an outcome that varies.
    """
    tried = penalties(outcome, design)
    gain = np.zeros(len(tried))
    scores = np.zeros((len(tried), len(design)))
    used = 0
    for fold in folds:
        rest = outcome.of(~fold)
        if rest.events() < 2 or not fold.any():
            continue
        used += 1
        point = None
        for k, penalty in enumerate(tried):
            point = fit_net(rest, design[~fold], penalty, point)
            scores[k, fold] = design[fold] @ point[outcome.base :]
            if outcome.kind == 'cox':
                # What a fold adds to the likelihood of all: Verweij & Van Houwelingen 1993.
                gain[k] += (
                    outcome.likelihood(point, design)[0] - rest.likelihood(point, design[~fold])[0]
                )
            else:
                gain[k] += outcome.of(fold).likelihood(point, design[fold])[0]
    if not used:
        raise MeasureError('no fold leaves an outcome that varies')
    best = int(np.argmax(gain))
    return float(tried[best]), scores[best]


def probabilities(outcome: Outcome, cuts: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Return the probability of each grade, shape (n, levels)."""
    below = special.expit(cuts - eta[:, None])
    whole = np.concatenate([np.zeros((len(eta), 1)), below, np.ones((len(eta), 1))], axis=1)
    return np.diff(whole, axis=1)
