"""Measures of both sides as pairs, their agreement, and that of their changes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from csvdprep.core.errors import InputError
from csvdprep.science import agreement
from csvdprep.scoring import tables
from csvdprep.scoring.find import File, Visit

__all__ = [
    'Values',
    'agreements',
    'app_values',
    'change_agreements',
    'changes',
    'is_ordinal',
    'pairs',
    'true_values',
]

#: Folders of a derivative that hold no results.
_APART = {'log', 'logs', 'work', 'sourcedata', 'code', 'figures'}
_KEYS = ('participant_id', 'session_id')
_ORDINAL = re.compile(
    r'fazekas_.*|.*_grade|svd_score.*'
    r'|(svd_staals|svd_lau|svd_amin_(simple|amended)|caa4?_score|ha_score)(_min|_max)?'
)
_WITH_UNIT = re.compile(r'.*_(ml|mm|mm2|mm3|pct|pct_icv)')


@dataclass(frozen=True)
class Values:
    """Measures of one side.

    Attributes
    ----------
    values : dict
        Number by (visit, measure); None where the table says n/a.
    about : dict
        ``Description`` and ``Units`` by measure, as far as they are told.
    notes : tuple of str
        What a reader has to know about the tables.
    """

    values: dict[tuple[Visit, str], float | None]
    about: dict[str, dict[str, str]]
    notes: tuple[str, ...] = ()

    @property
    def measures(self) -> list[str]:
        """Names of the measures, in the order of the tables."""
        return list(dict.fromkeys(name for _, name in self.values))


def is_ordinal(measure: str) -> bool:
    """Tell from its name whether a measure is a grade.

    Examples
    --------
    >>> [is_ordinal(name) for name in ('fazekas_pv', 'pvs_bg_grade', 'svd_score', 'gm_ml')]
    [True, True, True, False]
    >>> [is_ordinal(name) for name in ('fazekas_pv_ml', 'svd_staals_min', 'svd_staals_prob')]
    [False, True, False]
    """
    return bool(_ORDINAL.fullmatch(measure)) and not _WITH_UNIT.fullmatch(measure)


def true_values(visits: Mapping[Visit, Sequence[File]]) -> Values:
    """Read the truth's measures, with their meaning.

    Parameters
    ----------
    visits : mapping of Visit to sequence of File
        Files of the truth.

    Returns
    -------
    Values
        Columns that hold no number in any visit are left out.
    """
    values: dict[tuple[Visit, str], float | None] = {}
    about: dict[str, dict[str, str]] = {}
    for visit, files in visits.items():
        for file in files:
            if file.suffix != 'measures' or file.extension != '.tsv':
                continue
            columns, rows = tables.read(file.path)
            for name in columns:
                if name not in _KEYS and rows:
                    values[visit, name] = tables.number(rows[0].get(name))
            about |= _about(file.path.with_suffix('.json'))
    numeric = {name for (_, name), value in values.items() if value is not None}
    kept = {key: value for key, value in values.items() if key[1] in numeric}
    return Values(kept, about)


def app_values(root: Path, truth: Path, visits: Sequence[Visit], measures: set[str]) -> Values:
    """Read measures from all tables of an application that tell participant and session.

    The table in the folder of a visit goes before one of many visits.

    Parameters
    ----------
    root : Path
        The derivative.
    truth : Path
        Folder that is left out, should it lie within.
    visits : sequence of Visit
        Visits of the truth.
    measures : set of str
        Names of columns that matter.

    Returns
    -------
    Values
        With a note on each table that contradicts another or cannot be assigned.
    """
    values: dict[tuple[Visit, str], float | None] = {}
    notes = []
    for path in _tables(root, truth):
        columns, rows = tables.read(path)
        wanted = [name for name in columns if name in measures]
        if 'participant_id' not in columns or not wanted:
            continue
        where = path.relative_to(root).as_posix()
        for row in rows:
            visit = _visit(row, visits)
            if visit is None:
                notes.append(
                    f'{where}: a row is of no visit of the truth, or of which session is not told'
                )
                continue
            for name in wanted:
                value = tables.number(row.get(name))
                known = values.setdefault((visit, name), value)
                if known is None:
                    values[visit, name] = value
                elif value not in (None, known):
                    notes.append(
                        f'{where}: {name} of {visit.label} differs from that in a table '
                        'read before, which is used'
                    )
    return Values(values, {}, tuple(dict.fromkeys(notes)))


def pairs(truth: Values, found: Values) -> dict[str, list[tuple[Visit, float, float]]]:
    """Join true and found values; a measure that the application does not have is left out."""
    shared = set(found.measures)
    joined: dict[str, list] = {name: [] for name in truth.measures if name in shared}
    for (visit, name), true in truth.values.items():
        seen = found.values.get((visit, name))
        if name in joined and true is not None and seen is not None:
            joined[name].append((visit, true, seen))
    return joined


def agreements(
    joined: Mapping[str, Sequence[tuple[Visit, float, float]]], about: Mapping[str, Mapping]
) -> list[dict]:
    """Compute the statistics of each measure.

    Parameters
    ----------
    joined : mapping
        From `pairs`.
    about : mapping
        ``Description`` and ``Units`` by measure.

    Returns
    -------
    list of dict
        Rows of ``scalars.tsv``.
    """
    rows = []
    for name, triples in joined.items():
        compare = agreement.ordinal if is_ordinal(name) else agreement.continuous
        numbers = compare([true for _, true, _ in triples], [seen for _, _, seen in triples])
        rows.append(_head(name, about) | numbers)
    return rows


def changes(truth: Values, found: Values) -> list[dict]:
    """Compare the change of each measure from a visit to the next.

    Parameters
    ----------
    truth, found : Values
        Both sides.

    Returns
    -------
    list of dict
        Rows of ``changes.tsv``.
    """
    visits = dict.fromkeys(visit for visit, _ in truth.values)
    shared = set(found.measures)
    return [
        _change(first, second, name, truth, found)
        for name in truth.measures
        if name in shared
        for first, second in pairwise(visits)
        if first.subject == second.subject
        if None not in (truth.values.get((first, name)), truth.values.get((second, name)))
    ]


def change_agreements(rows: Iterable[Mapping], about: Mapping[str, Mapping]) -> list[dict]:
    """Compute the statistics of the changes of each measure, grades as numbers."""
    groups: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        group = groups.setdefault(row['measure'], [])
        if row['found_change'] is not None:
            group.append((row['true_change'], row['found_change']))
    return [
        _head(name, about)
        | agreement.continuous([true for true, _ in group], [seen for _, seen in group])
        for name, group in groups.items()
    ]


def _head(name: str, about: Mapping[str, Mapping]) -> dict:
    return {
        'measure': name,
        'units': about.get(name, {}).get('Units'),
        'scale': 'ordinal' if is_ordinal(name) else 'continuous',
    }


def _change(first: Visit, second: Visit, name: str, truth: Values, found: Values) -> dict:
    true = truth.values[second, name] - truth.values[first, name]
    before, after = (found.values.get((visit, name)) for visit in (first, second))
    missing = [
        visit.session for visit, value in ((first, before), (second, after)) if value is None
    ]
    seen = None if missing else after - before
    return {
        'participant_id': first.subject,
        'from_session': first.session,
        'to_session': second.session,
        'measure': name,
        'true_change': true,
        'found_change': seen,
        'error': None if missing else seen - true,
        'reason': f'no value of the app in {" and ".join(missing)}' if missing else None,
    }


def _about(file: Path) -> dict[str, dict[str, str]]:
    """Read what a sidecar tells of columns."""
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
    except ValueError as error:
        raise InputError('This is no JSON.', file=file) from error
    return {
        name: {key: str(said[key]) for key in ('Description', 'Units') if key in said}
        for name, said in content.items()
        if isinstance(said, dict)
    }


def _tables(root: Path, truth: Path) -> Iterator[Path]:
    """Yield tables, those in folders of visits first."""
    found = []
    for folder, inner, names in os.walk(root):
        here = Path(folder)
        inner[:] = sorted(
            name
            for name in inner
            if name not in _APART
            and not name.startswith('.')
            and (here / name).resolve() != truth.resolve()
        )
        found += [here / name for name in names if name.endswith('.tsv')]
    yield from sorted(found, key=lambda path: (-len(path.relative_to(root).parts), path))


def _visit(row: Mapping[str, str], visits: Sequence[Visit]) -> Visit | None:
    """Find the visit of a row; prefixes may lack, and the session where there is but one."""
    subject, session = (
        _prefixed(row.get(f'{name}_id', ''), prefix)
        for name, prefix in (('participant', 'sub-'), ('session', 'ses-'))
    )
    own = [visit for visit in visits if visit.subject == subject]
    if session and any(visit.session for visit in own):
        own = [visit for visit in own if visit.session == session]
    return own[0] if len(own) == 1 else None


def _prefixed(label: str, prefix: str) -> str:
    return '' if label in ('', 'n/a') else prefix + label.removeprefix(prefix)
