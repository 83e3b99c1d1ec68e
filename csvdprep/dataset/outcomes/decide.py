"""What the outcome is, who has it, and whether it can be modelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from csvdprep.core.plan import Scan
from csvdprep.core.room import Decision, NoPlace
from csvdprep.dataset.outcomes.science.net import Outcome

#: Most grades of an ordinal outcome.
GRADES = 10


def resolve(scans: Mapping[str, Scan], options: Any) -> tuple[Any, tuple[Decision, ...]]:
    """Look for the outcome.

    Parameters
    ----------
    scans : mapping of str to Scan
        Tables of the group.
    options : Options
        As asked.

    Returns
    -------
    options : Options
        With the kind settled.
    decisions : tuple of Decision

    Raises
    ------
    NoPlace
        If no outcome is named, or it cannot be modelled.
    """
    if not options.column:
        raise NoPlace('no outcome is named (outcomes.column names a column of participants.tsv)')
    rows = scans['group_covariates'].content['rows']
    outcome, used, event = read_outcome(rows, options)
    kinds = {row['site'] for row, k in zip(rows, used, strict=True) if k} - {'n/a'}
    told = {'logistic': 'two kinds', 'ordinal': 'grades', 'cox': 'times to an event'}
    decisions = [
        Decision(
            'outcome', options.column, f'{told[outcome.kind]}, {int(used.sum())} participants'
        )
    ]
    if outcome.kind != 'ordinal':
        decisions.append(Decision('event', event, f'{int(outcome.grades.sum())} participants'))
    how = f'each of {len(kinds)} sites' if len(kinds) > 2 else 'fifths of the participants'
    decisions.append(Decision('left out for the test', how, f'{len(kinds)} sites are known'))
    return replace(options, kind=outcome.kind, event=event), tuple(decisions)


def read_outcome(
    rows: Sequence[Mapping[str, Any]], options: Any
) -> tuple[Outcome, np.ndarray, str]:
    """Read the outcome of the first visit of each participant.

    Parameters
    ----------
    rows : sequence of mapping
        ``group_covariates``.
    options : Options
        Column, kind, time and event.

    Returns
    -------
    outcome : Outcome
        Of the visits that are used.
    used : ndarray of bool, shape (n,)
        Visits with an outcome, and age and sex.
    event : str
        Value that is the event.

    Raises
    ------
    NoPlace
        If it cannot be modelled, with the reason.
    """
    texts = [_cell(row, options.column) for row in rows]
    if not any(texts):
        raise NoPlace(f'no visit has the outcome {options.column} (a column of participants.tsv)')
    seen: set[str] = set()
    used = np.zeros(len(rows), bool)
    for at, (row, text) in enumerate(zip(rows, texts, strict=True)):
        person = row['participant_id']
        if row.get('person', 'n/a') != 'n/a':
            person = row['person']
        if person in seen:
            continue
        seen.add(person)
        used[at] = bool(text) and row['age'] is not None and row['sex'] != 'n/a'
    times = np.zeros(0)
    kind = options.kind
    if options.time or kind == 'cox':
        times = np.array([_number(_cell(row, options.time)) for row in rows])
        used &= np.isfinite(times) & (np.nan_to_num(times, nan=1.0) > 0)
        kind = 'cox'
        if not used.any():
            raise NoPlace(f'no visit has a time (column {options.time or "outcomes.time"})')
    values = sorted({text for text, u in zip(texts, used, strict=True) if u}, key=_order)
    numeric = all(np.isfinite(_number(v)) for v in values)
    if kind == 'auto':
        kind = 'logistic' if len(values) == 2 else 'ordinal'
    if (
        len(values) < 2
        or (kind != 'ordinal' and len(values) > 2)
        or (kind == 'ordinal' and (len(values) > GRADES or not numeric))
    ):
        shown = ', '.join(values[:5]) or 'none'
        raise NoPlace(
            f'the outcome {options.column} has {len(values)} values ({shown}); two kinds, or up '
            f'to {GRADES} grades that are numbers, can be modelled'
        )
    if kind != 'ordinal' and options.event:
        if options.event not in values:
            raise NoPlace(f'the event {options.event} is none of {", ".join(values)}')
        values = [v for v in values if v != options.event] + [options.event]
    place = {value: k for k, value in enumerate(values)}
    grades = np.array([place[t] for t, u in zip(texts, used, strict=True) if u], int)
    outcome = Outcome(kind, grades, times[used] if len(times) else times, tuple(values))
    if (events := outcome.events()) < options.least_events:
        raise NoPlace(
            f'{events} participants are of the rarer kind of {options.column}; '
            f'{options.least_events} are needed for a model'
        )
    return outcome, used, values[-1]


def _cell(row: Mapping[str, Any], column: str) -> str:
    name = ''.join(c if c.isalnum() else '_' for c in column.lower()).strip('_')
    if name in ('group', 'diagnosis', 'dx'):
        value = row.get('group', 'n/a')
    else:
        value = row.get('others', {}).get(name, 'n/a')
    return '' if value == 'n/a' else value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def _order(text: str) -> tuple[float, str]:
    value = _number(text)
    return (value if np.isfinite(value) else np.inf, text)
