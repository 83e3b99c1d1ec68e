"""Whom the processing fails, and how far sites agree on persons whom they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from csvdprep.core.errors import MeasureError
from csvdprep.science.agreement import icc_a1

#: Fewest persons that two sites share, for anything to be said.
FEWEST = 3


def differ(counts: Sequence[int], totals: Sequence[int], *, seed: int = 0) -> float | None:
    """Return the probability of such different shares if all groups were alike.

    Parameters
    ----------
    counts, totals : sequence of int
        Events, and of how many, by group.
    seed : int, optional
        Of the random numbers.

    Returns
    -------
    float or None
        Of chi squared, by 2000 random tables with the same sums (Hope 1968); None where there is
        one group, no event, or nothing else.

    Examples
    --------
    >>> differ([0, 10], [50, 50]) < 0.01 < differ([5, 6], [50, 50])
    True
    """
    counts, totals = np.asarray(counts), np.asarray(totals)
    events, every = int(counts.sum()), int(totals.sum())
    if len(counts) < 2 or events in (0, every):
        return None
    expected = totals * events / every

    def chi(found):
        rest = totals - expected
        return ((found - expected) ** 2 * (1 / expected + 1 / rest)).sum(axis=-1)

    drawn = np.random.default_rng(seed).multivariate_hypergeometric(totals, events, size=2000)
    return float(((chi(drawn) >= chi(counts) - 1e-9).sum() + 1) / 2001)


def travelling(
    values: np.ndarray, persons: np.ndarray, sites: np.ndarray
) -> tuple[Mapping[str, Any], list[dict[str, Any]]]:
    """Compare sites by persons who were measured at several of them.

    Parameters
    ----------
    values : ndarray, shape (n,)
        One measure; no NaN.
    persons, sites : ndarray of str, shape (n,)
        Who, and where.

    Returns
    -------
    agreement : mapping
        ``persons``, ``sites``, ``icc`` with ``icc_low`` and ``icc_high`` (ICC(2,1), absolute
        agreement), ``wscv_pct`` (root mean square of the standard deviation within a person over
        the person's mean; None unless all values are positive), ``complete`` (persons measured at
        all of ``of_sites``, whose table the ICC is of).
    effects : list of dict
        For each site: ``site``, ``persons``, ``effect`` (from the mean of the sites), ``error``,
        ``low`` and ``high`` (95 %, Student).

    Raises
    ------
    MeasureError
        If no two sites share three persons.

    Notes
    -----
    Effects are those of y = person + site + e by least squares, which takes incomplete tables,
    too; the errors are of these effects. ICC: Shrout & Fleiss 1979,
    doi:10.1037/0033-2909.86.2.420.

    Examples
    --------
    >>> persons, sites = np.repeat(['a', 'b', 'c', 'd'], 2), np.tile(['X', 'Y'], 4)
    >>> agreement, effects = travelling(np.array([1, 2, 3, 4.1, 5, 6, 7, 7.9]), persons, sites)
    >>> round(agreement['icc'], 2), [round(e['effect'], 1) for e in effects]
    (0.93, [-0.5, 0.5])
    """
    values = np.asarray(values, float)
    cells: dict[tuple[str, str], list[float]] = {}
    for value, person, site in zip(values, persons, sites, strict=True):
        cells.setdefault((str(person), str(site)), []).append(value)
    places = sorted({site for _, site in cells})
    table = np.full((len({p for p, _ in cells}), len(places)), np.nan)
    names = sorted({p for p, _ in cells})
    for (person, site), found in cells.items():
        table[names.index(person), places.index(site)] = np.mean(found)
    several = np.isfinite(table).sum(axis=1) > 1
    table = table[several]
    kept = np.isfinite(table).sum(axis=0) >= FEWEST
    table, places = table[:, kept], [s for s, k in zip(places, kept, strict=True) if k]
    table = table[np.isfinite(table).sum(axis=1) > 1]
    seen = np.isfinite(table)
    if len(places) < 2 or len(table) < FEWEST:
        raise MeasureError(f'no two sites share {FEWEST} persons')
    columns = _most_complete(seen)
    whole = table[np.ix_(seen[:, columns].all(axis=1), columns)]
    if len(whole) < FEWEST:
        raise MeasureError(f'no two sites share {FEWEST} persons')
    icc = icc_a1(whole) or (None, None, None)
    spread = np.nanvar(table, axis=1, ddof=1)
    middle = np.nanmean(table, axis=1)
    wscv = 100 * float(np.sqrt((spread / middle**2).mean())) if (table[seen] > 0).all() else None
    who, where = np.nonzero(seen)
    design = np.zeros((len(who), len(table) + len(places) - 1))
    design[np.arange(len(who)), who] = 1
    for k, site in enumerate(where):
        if site < len(places) - 1:
            design[k, len(table) + site] = 1
        else:  # effects add up to 0
            design[k, len(table) :] = -1
    y = table[seen]
    inverse = np.linalg.pinv(design.T @ design)
    beta = inverse @ design.T @ y
    freedom = max(1, len(y) - np.linalg.matrix_rank(design))
    variance = ((y - design @ beta) ** 2).sum() / freedom
    k = len(places) - 1
    part = np.concatenate([np.eye(k), -np.ones((1, k))])
    effect = part @ beta[len(table) :]
    error = np.sqrt(
        variance * np.diag(part @ inverse[len(table) :, len(table) :] @ part.T).clip(0)
    )
    agreement = {
        'persons': len(table),
        'sites': len(places),
        'icc': icc[0],
        'icc_low': icc[1],
        'icc_high': icc[2],
        'wscv_pct': wscv,
        'complete': len(whole),
        'of_sites': len(columns),
    }
    half = float(stats.t.ppf(0.975, freedom)) * error
    effects = [
        {
            'site': site,
            'persons': int(seen[:, at].sum()),
            'effect': float(effect[at]),
            'error': float(error[at]),
            'low': float(effect[at] - half[at]),
            'high': float(effect[at] + half[at]),
        }
        for at, site in enumerate(places)
    ]
    return agreement, effects


def _most_complete(seen: np.ndarray) -> list[int]:
    """Choose the sites whose table has the most cells; the largest site is among them."""
    order = np.argsort(-seen.sum(axis=0), kind='stable')
    best, chosen = 0, list(order[:2])
    for first in order:
        columns = [int(first)]
        rest = [int(c) for c in order if c != first]
        while rest:
            many = [(seen[:, [*columns, c]].all(axis=1).sum(), -c) for c in rest]
            at = int(np.argmax([m for m, _ in many]))
            columns.append(rest.pop(at))
            rows = int(seen[:, columns].all(axis=1).sum())
            if rows >= FEWEST and rows * len(columns) > best:
                best, chosen = rows * len(columns), sorted(columns)
    return chosen
