"""Whether there are controls, and what the terms weigh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from csvdprep.core.errors import MeasureError, UsageError
from csvdprep.core.plan import Scan
from csvdprep.core.room import Decision, NoPlace
from csvdprep.dataset.burden.science import TERMS, fit_reference, raw_term
from csvdprep.interfaces.group_tables import ages_and_sexes, controls_of, rare_sexes, read_numbers
from csvdprep.science.small_groups import FEW


def resolve(scans: Mapping[str, Scan], options: Any) -> tuple[Any, tuple[Decision, ...]]:
    """Count the controls.

    Parameters
    ----------
    scans : mapping of str to Scan
        Tables of the group.
    options : Options
        As asked.

    Returns
    -------
    options : Options
    decisions : tuple of Decision

    Raises
    ------
    NoPlace
        If there are too few: no reference is invented.
    """
    rows = scans['group_covariates'].content['rows']
    mine = controls_of(rows, options.controls)
    ages, sexes = ages_and_sexes(rows)
    controls = mine & np.isfinite(ages) & np.isin(sexes, ['F', 'M'])
    known = int(controls.sum())
    if known < options.least_n:
        raise NoPlace(
            f'{known} controls of known age and sex (column group in participants.tsv); '
            f'{options.least_n} are needed for an index. The scores of each visit (Staals, Lau) '
            'need none'
        )
    weights = read_weights(options.weights)
    terms = [term for term in TERMS if weights.get(term[0], 0) > 0]
    numbers = read_numbers(scans['group_measures'].path, [measure for _, measure, *_ in terms])[1]
    try:
        fit_reference(
            raw_terms(terms, numbers, len(rows)),
            ages,
            sexes == 'M',
            controls,
            least=options.least_n,
            weights=weights,
        )
    except MeasureError as error:
        raise NoPlace(str(error)) from error
    told = ', '.join(f'{name} {weight:g}' for name, weight in weights.items() if weight)
    return options, (
        Decision('controls', str(known), 'first visits of known age and sex'),
        *rare_sexes(sexes[controls], FEW),
        Decision('weights', told, 'as asked'),
    )


def raw_terms(
    terms: Sequence[tuple], numbers: Mapping[str, np.ndarray], count: int
) -> dict[str, np.ndarray]:
    """Return the terms of each visit on their scales, by name; NaN where there is no value.

    Parameters
    ----------
    terms : sequence of tuple
        Rows of :data:`csvdprep.dataset.burden.science.TERMS`.
    numbers : mapping of str to (ndarray, shape (count,))
        Measures by name; those that are missing have no value.
    count : int
        Number of visits.

    Returns
    -------
    dict of str to (ndarray, shape (count,))
    """
    missing = np.full(count, np.nan)
    return {t: raw_term(numbers.get(m, missing), how, sign) for t, m, how, sign, _ in terms}


def read_weights(text: str) -> dict[str, float]:
    """Read weights.

    Raises
    ------
    UsageError
        If a term is unknown, or a weight is no number that is 0 or more.

    Examples
    --------
    >>> read_weights('wmh=1, volume=0.5')
    {'wmh': 1.0, 'volume': 0.5}
    """
    names = [term[0] for term in TERMS]
    out = {}
    for part in filter(None, map(str.strip, text.split(','))):
        name, _, weight = part.partition('=')
        try:
            out[name.strip()] = float(weight)
        except ValueError:
            out[name.strip()] = -1.0
        if name.strip() not in names or not 0 <= out[name.strip()] < np.inf:
            raise UsageError(
                f'"{part}" is no weight of a term.',
                field='burden.weights',
                remedy=f'Terms are {", ".join(names)}; write wmh=1,volume=0.5.',
            )
    return out
