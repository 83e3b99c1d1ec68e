"""Blocks of measures, each with a model of its own, and one that joins those that a visit has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from csvdprep.core.errors import MeasureError
from csvdprep.dataset.outcomes.science.net import Outcome, choose_penalty, fit_net, probabilities

#: Measures that are taken by the logarithm of the value and this.
LOGS = {'wmh_total_pct_icv': 0.01, 'lv_ml': 1.0, 'psmd_1e4': 0.01}
#: Events that each predictor takes (Peduzzi 1996).
EVENTS = 10
#: Fewest rows that a joint model of a combination of blocks takes.
ROWS = 30
#: Folds of sites by which penalties are chosen.
INNER = 5


def scaled(name: str, values: np.ndarray) -> np.ndarray:
    """Scale a measure as models take it, by a rule that is the same for all data.

    Parameters
    ----------
    name : str
        Of the measure.
    values : ndarray, shape (n,)
        NaN where there is none.

    Returns
    -------
    ndarray, shape (n,)

    Examples
    --------
    >>> scaled('lacune_n', np.array([0.0, 1.0])).round(2), scaled('bpf', np.array([0.8]))
    (array([0.  , 0.69]), array([0.8]))
    """
    values = np.asarray(values, float)
    with np.errstate(invalid='ignore'):
        if name in LOGS:
            return np.log(np.maximum(values, 0) + LOGS[name])
        return np.log1p(np.maximum(values, 0)) if name.endswith('_n') else values


@dataclass(frozen=True)
class Block:
    """The model of one block.

    Parameters
    ----------
    names : tuple of str
        Predictors.
    middle, spread : ndarray, shape (k,)
        Mean and standard deviation in the fit.
    weights : ndarray, shape (k,)
        Coefficients of the standardised predictors.
    penalty : float
        Chosen by sites that were left out.
    n : int
        Rows of the fit.
    """

    names: tuple[str, ...]
    middle: np.ndarray
    spread: np.ndarray
    weights: np.ndarray
    penalty: float
    n: int

    def parts(self, table: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return what each predictor adds, shape (n, k); NaN where one is missing."""
        x = np.stack([table[name] for name in self.names], axis=1)
        return (x - self.middle) / self.spread * self.weights


@dataclass(frozen=True)
class Fused:
    """A model of blocks.

    Parameters
    ----------
    blocks : dict of str to Block
        By name, in their order.
    joins : dict of (tuple of str) to (ndarray, shape (m,))
        For each combination of blocks, thresholds and the weight of each block's score.
    kind : str
        Of the outcome.
    levels : tuple of str
        Of the outcome.
    """

    blocks: dict[str, Block]
    joins: dict[tuple[str, ...], np.ndarray]
    kind: str
    levels: tuple[str, ...]

    def facts(self) -> dict:
        """Return it as plain values, for JSON."""
        return {
            'kind': self.kind,
            'levels': list(self.levels),
            'blocks': {
                name: {
                    'predictors': list(block.names),
                    'mean': block.middle.tolist(),
                    'standard_deviation': block.spread.tolist(),
                    'weights': block.weights.tolist(),
                    'penalty': block.penalty,
                    'n': block.n,
                }
                for name, block in self.blocks.items()
            },
            'joins': [
                {'blocks': list(names), 'thresholds_and_weights': point.tolist()}
                for names, point in self.joins.items()
            ],
        }

    @classmethod
    def of(cls, facts: Mapping) -> Fused:
        """Read what :meth:`facts` gave."""
        blocks = {
            name: Block(
                tuple(b['predictors']),
                np.array(b['mean'], float),
                np.array(b['standard_deviation'], float),
                np.array(b['weights'], float),
                b['penalty'],
                b['n'],
            )
            for name, b in facts['blocks'].items()
        }
        joins = {
            tuple(j['blocks']): np.array(j['thresholds_and_weights'], float)
            for j in facts['joins']
        }
        return cls(blocks, joins, facts['kind'], tuple(facts['levels']))

    def predict(self, table: Mapping[str, np.ndarray]):
        """Predict rows with the blocks that they have.

        Parameters
        ----------
        table : mapping of str to (ndarray, shape (n,))
            Predictors; NaN where there is none.

        Returns
        -------
        eta : ndarray, shape (n,)
            Linear predictor; NaN where a row has no combination that was fitted.
        chances : ndarray, shape (n, levels)
            Probability of each grade; no columns for times.
        used : list of tuple of str
            Blocks of each row.
        parts : dict of str to (ndarray, shape (n,))
            What each block contributes: they add up to the linear predictor.
        """
        scores = {name: block.parts(table).sum(axis=1) for name, block in self.blocks.items()}
        count = len(next(iter(scores.values())))
        base = 0 if self.kind == 'cox' else len(self.levels) - 1
        eta = np.full(count, np.nan)
        chances = np.full((count, len(self.levels) if base else 0), np.nan)
        used: list[tuple[str, ...]] = [()] * count
        parts = {name: np.full(count, np.nan) for name in self.blocks}
        known = np.stack([np.isfinite(s) for s in scores.values()], axis=1)
        names = list(self.blocks)
        for pattern in np.unique(known, axis=0):
            rows = np.flatnonzero((known == pattern).all(axis=1))
            there = tuple(n for n, k in zip(names, pattern, strict=True) if k)
            # The largest combination of these that was fitted.
            join = max((c for c in self.joins if set(c) <= set(there)), key=len, default=None)
            if join is None:
                continue
            point = self.joins[join]
            x = np.stack([scores[name][rows] for name in join], axis=1)
            eta[rows] = x @ point[base:]
            for k, name in enumerate(join):
                parts[name][rows] = x[:, k] * point[base + k]
            if base:
                like = Outcome(self.kind, np.zeros(0, int), np.zeros(0), self.levels)
                chances[rows] = probabilities(like, point[:base], eta[rows])
            for row in rows:
                used[row] = join
        return eta, chances, used, parts


def fit_fused(
    outcome: Outcome,
    table: Mapping[str, np.ndarray],
    blocks: Mapping[str, Sequence[str]],
    sites: np.ndarray,
    *,
    always: Sequence[str] = (),
) -> Fused:
    """Fit a model of each block, and join them.

    Parameters
    ----------
    outcome : Outcome
        What is to be predicted.
    table : mapping of str to (ndarray, shape (n,))
        Predictors; NaN where there is none.
    blocks : mapping of str to sequence of str
        Predictors of each block, most important first.
    sites : ndarray of str, shape (n,)
        Sites, which are left out one by one to choose penalties; with fewer than three, five
        parts by chance.
    always : sequence of str, optional
        Predictors that each block has, too: age and sex.

    Returns
    -------
    Fused

    Raises
    ------
    MeasureError
        If no block can be fitted.

    Notes
    -----
    Late fusion: scores of the blocks, of rows that the fit did not have, are the predictors of a
    joint model for each combination of blocks that enough rows have; so a visit that lacks a kind
    of scan lacks a block, and nothing is imputed. A block takes a predictor for each ten events.
    """
    fitted, scores = {}, {}
    for name, predictors in blocks.items():
        there = [p for p in predictors if p in table and p not in always]
        # With few events the measure comes before age and sex, which have a block of their own.
        wanted = [*there[:1], *always, *there[1:]]
        known = np.ones(len(sites), bool)
        for p in wanted:
            known &= np.isfinite(table[p])
        some = outcome.of(known)
        most = max(1, some.events() // EVENTS) if known.any() else 0
        wanted = [p for p in wanted[:most] if np.std(table[p][known]) > 0] if most else []
        # The block itself has to take part, not age and sex alone.
        if not wanted or (predictors and not set(wanted) - set(always)):
            continue
        if known.sum() < ROWS or some.events() < EVENTS:
            continue
        x = np.stack([table[p][known] for p in wanted], axis=1)
        middle, spread = x.mean(axis=0), x.std(axis=0)
        x = (x - middle) / spread
        try:
            penalty, left_out = choose_penalty(some, x, folds_of(sites[known], most=INNER))
        except MeasureError:
            continue
        point = fit_net(some, x, penalty)
        fitted[name] = Block(
            tuple(wanted), middle, spread, point[outcome.base :], penalty, int(known.sum())
        )
        scores[name] = np.full(len(sites), np.nan)
        scores[name][known] = left_out
    if not fitted:
        raise MeasureError(f'no block has {ROWS} visits and {EVENTS} events')
    known = np.stack([np.isfinite(scores[name]) for name in fitted], axis=1)
    names, joins = list(fitted), {}
    patterns = {tuple(p) for p in np.unique(known, axis=0)}
    patterns |= {tuple(i == k for i in range(len(names))) for k in range(len(names))}
    for pattern in patterns:
        there = tuple(n for n, k in zip(names, pattern, strict=True) if k)
        rows = known[:, list(pattern)].all(axis=1) if there else np.zeros(len(known), bool)
        some = outcome.of(rows)
        if not there or rows.sum() < ROWS or some.events() < EVENTS:
            continue
        x = np.stack([scores[name][rows] for name in there], axis=1)
        spread = np.maximum(x.std(axis=0), 1e-9)
        point = fit_net(some, x / spread, 0.01)
        # A block that would count against itself is no evidence: it is left out of the join.
        point[outcome.base :] /= spread
        joins[there] = point
    if not joins:
        raise MeasureError(f'no combination of blocks has {ROWS} visits and {EVENTS} events')
    return Fused(fitted, joins, outcome.kind, outcome.levels)


def folds_of(sites: np.ndarray, *, most: int = 0) -> list[np.ndarray]:
    """Return the rows that are left out together: sites, or five parts where there are few.

    With ``most``, sites are joined to so many folds, the largest sites apart.
    """
    names, each = np.unique(sites, return_counts=True)
    if len(names) >= 3:
        folds = [sites == name for name in names[np.argsort(-each, kind='stable')]]
        if most and len(folds) > most:
            joined = [np.zeros(len(sites), bool) for _ in range(most)]
            for fold in folds:
                smallest = min(joined, key=np.count_nonzero)
                smallest |= fold
            return joined
        return folds
    parts = np.random.default_rng(0).permutation(len(sites)) % 5
    return [parts == k for k in range(5)]


def leave_site_out(outcome, table, blocks, sites, *, always=()):
    """Predict each site by the others.

    Parameters
    ----------
    outcome, table, blocks, sites, always
        As in :func:`fit_fused`.

    Returns
    -------
    eta : ndarray, shape (n,)
        NaN where the others give no model for the blocks of a row.
    chances : ndarray, shape (n, levels)
        Probabilities of grades.
    folds : ndarray of str, shape (n,)
        Site, or part, by the others of which a row is predicted.
    used : list of tuple of str
        Blocks of each row.
    parts : dict of str to (ndarray, shape (n,))
        What each block contributes; NaN where it takes no part.
    """
    count = len(sites)
    eta = np.full(count, np.nan)
    chances = np.full((count, 0 if outcome.kind == 'cox' else len(outcome.levels)), np.nan)
    folds, used = np.full(count, '', dtype=object), [()] * count
    parts = {name: np.full(count, np.nan) for name in blocks}
    for k, fold in enumerate(folds_of(sites)):
        few = len(set(map(str, sites))) < 3
        folds[fold] = f'part {k + 1}' if few else str(sites[fold][0])
        try:
            model = fit_fused(
                outcome.of(~fold),
                {n: v[~fold] for n, v in table.items()},
                blocks,
                sites[~fold],
                always=always,
            )
        except MeasureError:
            continue
        found = model.predict({n: v[fold] for n, v in table.items()})
        eta[fold], chances[fold], there, each = found
        for name, values in each.items():
            parts[name][fold] = values
        for row, names in zip(np.flatnonzero(fold), there, strict=True):
            used[row] = names
    return eta, chances, folds.astype(str), used, parts
