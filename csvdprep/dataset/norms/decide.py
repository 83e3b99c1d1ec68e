"""Whether there are controls from whom norms can be learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from csvdprep.core.plan import Scan
from csvdprep.core.room import Decision, NoPlace
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
        If there are too few: no norm is invented.
    """
    rows = scans['group_covariates'].content['rows']
    mine = controls_of(rows, options.controls)
    ages, sexes = ages_and_sexes(rows)
    controls = mine & np.isfinite(ages) & np.isin(sexes, ['F', 'M'])
    known = int(controls.sum())
    if not mine.any():
        raise NoPlace(
            'no visit is known to be that of a control (a column group in participants.tsv says '
            f'so by one of: {options.controls}); no norms are invented'
        )
    if known < options.least_n:
        raise NoPlace(
            f'{known} controls of known age and sex; {options.least_n} are needed for norms'
        )
    described = scans['group_dictionary'].content['measures']
    numbers = read_numbers(scans['group_measures'].path, suited(described))[1]
    if not any(np.isfinite(v[controls]).sum() >= options.least_n for v in numbers.values()):
        raise NoPlace(f'no measure has values of {options.least_n} controls')
    what = 'harmonised, where they are' if options.harmonised else 'as measured'
    return options, (
        Decision('controls', str(known), 'first visits of known age and sex'),
        *rare_sexes(sexes[controls], FEW),
        Decision('measures', what, 'norms of several sites need measures on one scale'),
    )


def suited(described: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the measures that may have norms: results that are no grades.

    Parameters
    ----------
    described : mapping
        What each measure is, by name.

    Returns
    -------
    list of str
    """
    return [
        name
        for name, facts in described.items()
        if facts['result'] and not facts['levels'] and not name.startswith('qc_')
    ]
