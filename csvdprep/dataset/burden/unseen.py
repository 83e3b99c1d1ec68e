"""The index by the controls of all sites but one, read at that one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from csvdprep.core.errors import MeasureError
from csvdprep.dataset.burden import ROOM
from csvdprep.dataset.burden.science import deviates, fit_reference, index
from csvdprep.science.small_groups import FEW
from csvdprep.science.unseen_sites import ALL, calibration, left_out


def without_each_site(
    kinds: Mapping[str, Mapping[str, np.ndarray]],
    people: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    whole: tuple[np.ndarray, np.ndarray],
    least: int,
    weights: Mapping[str, float] | None = None,
) -> tuple[list[dict[str, Any]], float | None]:
    """Leave out each site in turn.

    Parameters
    ----------
    kinds : mapping of str to mapping of str to (ndarray, shape (n,))
        Terms by name (see :func:`csvdprep.dataset.burden.science.raw_term`): 'as measured' and,
        if there are some, 'harmonised', which come last.
    people : tuple of ndarray, shape (n,)
        Ages (years), whether male, whether the first visit of a control of known age and sex, and
        sites ('n/a' where not known).
    whole : tuple of ndarray, shape (n,)
        The index by the controls of all sites, of the last of the kinds, and which visits have it.
    least : int
        Fewest controls of a term.
    weights : mapping of str to float, optional
        Weights of the terms.

    Returns
    -------
    rows : list of dict
        Rows of the table: those of all sites together first.
    within : float or None
        Percent of controls with an index between -1.64 and 1.64 by the controls of the other
        sites, of the last of the kinds; None if no site could be left out.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ages, male = rng.uniform(50, 80, 300), rng.random(300) < 0.5
    >>> sites = np.repeat(['A', 'B', 'C'], 100)
    >>> terms = {name: rng.normal(size=300) for name in ('wmh', 'volume')}
    >>> people = (ages, male, np.ones(300, bool), sites)
    >>> z = deviates(fit_reference(terms, *people[:3]), terms, ages, male)
    >>> whole = index(fit_reference(terms, *people[:3]), z)[0], np.ones(300, bool)
    >>> rows, within = without_each_site({'as measured': terms}, people, whole, 40)
    >>> [(row['site'], row['controls'], round(row['sd'])) for row in rows]
    [('all sites', 300, 1), ('A', 100, 1), ('B', 100, 1), ('C', 100, 1)]
    """
    ages, male, controls, sites = people
    together, apart, held = [], [], None
    for kind, raw in kinds.items():
        last, found, moves = kind == [*kinds][-1], [], []
        for site, here, others, why in left_out(sites, controls, least):
            row = dict.fromkeys(column.name for column in ROOM.makes['burden_unseen'].columns)
            row |= {'values': kind, 'site': site}
            if not why:
                try:
                    reference = fit_reference(
                        raw, ages, male, others, least=least, weights=weights
                    )
                except MeasureError as error:
                    why = str(error)
            if not why:
                total = index(reference, deviates(reference, raw, ages, male))[0]
                known = whole[1] & np.isfinite(total)
                row |= calibration(total[here & known])
                row['terms'] = ', '.join(reference.terms)
                if row['mean'] is None:
                    why = f'fewer than {FEW} controls with an index'
                    row |= {'controls': None, 'terms': None}
            if not why:
                found.append(total[here & known])
                if last:
                    away = np.abs(total - whole[0])[(sites == site) & known]
                    row |= _moved(away, row['controls'])
                    moves.append(away)
            row['reason'] = why or None
            apart.append(row)
        if found:
            row = dict.fromkeys(column.name for column in ROOM.makes['burden_unseen'].columns)
            row |= {'values': kind, 'site': ALL} | calibration(np.concatenate(found))
            if moves:
                row |= _moved(np.concatenate(moves), row['controls'])
            together.append(row)
            held = row['within_90_pct'] if last else held
    return [*together, *apart], held


def _moved(away: np.ndarray, controls: int) -> dict[str, float | int | None]:
    """Return how far indices moved; not where numbers would tell of few others."""
    few = 0 < len(away) - controls < FEW
    return {'visits': None if few else len(away), 'moved': float(away.mean())}
