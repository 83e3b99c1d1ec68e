"""Whether there are controls, and what the terms weigh."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from csvdprep.core.errors import UsageError
from csvdprep.core.plan import Scan
from csvdprep.core.room import Decision, NoPlace
from csvdprep.dataset.burden.science import TERMS
from csvdprep.interfaces.group_tables import ages_and_sexes, controls_of


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
    known = int((mine & np.isfinite(ages) & np.isin(sexes, ['F', 'M'])).sum())
    if known < options.least_n:
        raise NoPlace(
            f'{known} controls of known age and sex (column group in participants.tsv); '
            f'{options.least_n} are needed for an index. The scores of each visit (Staals, Lau) '
            'need none'
        )
    weights = read_weights(options.weights)
    told = ', '.join(f'{name} {weight:g}' for name, weight in weights.items() if weight)
    return options, (
        Decision('controls', str(known), 'first visits of known age and sex'),
        Decision('weights', told, 'as asked'),
    )


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
