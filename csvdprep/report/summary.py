"""The first screen of a visit's report, as plain data: who, the profile, what needs a look."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from csvdprep.bids.metadata import Facts
from csvdprep.bids.names import fill
from csvdprep.bids.tsv import read_tsv
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Plan, Scan
from csvdprep.core.room import Derivative, Measure, Room
from csvdprep.graph.judging import counts
from csvdprep.report.causes import Flagged, by_cause
from csvdprep.report.content import distinct, measure_rows, named, number, scan_titles, unit_text


def who(plan: Plan, person: Mapping[str, str]) -> list[tuple[str, str]]:
    """Say whom and what the visit shows: age, sex, site, scanner, scans.

    Parameters
    ----------
    plan : Plan
        What was decided.
    person : mapping of str to str
        ``age, sex, site``, and ``acquired`` (a date), as far as the tables of the dataset tell.
    """
    scanners = {
        ' '.join(
            str(scan.metadata[key])
            for key in ('Manufacturer', 'ManufacturersModelName')
            if isinstance(scan.metadata.get(key), str)
        )
        + _field(scan)
        for scan in plan.scans.values()
    }
    titles = scan_titles(plan.declared)
    # Products of the visits, which rooms of the participant take, are none.
    known = {name: scan for name, scan in plan.scans.items() if name in titles}
    scans = (title for names, _ in distinct(known) for title in named(names, titles))
    facts = {name.capitalize(): person.get(name, '') for name in ('age', 'sex', 'site')}
    facts |= {
        'Acquired': person.get('acquired', ''),
        'Scanner': ', '.join(sorted(name.strip() for name in scanners if name.strip())),
        'Scans': ', '.join(dict.fromkeys(scans)),
    }
    return [(name, value) for name, value in facts.items() if value and value != 'n/a']


def _field(scan: Scan) -> str:
    strength = Facts(scan.metadata).number('MagneticFieldStrength')
    return f' {strength:g} T' if strength else ''


def profile(
    rooms: Iterable[Room],
    ran: Collection[str],
    values: Mapping[str, Mapping[str, Any]],
    hub: str,
    percentiles: Mapping[str, float] | None = None,
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Gather the line of each marker for the first screen.

    Parameters
    ----------
    rooms : iterable of Room
        All rooms; those that are markers have lines, one for each primary measure.
    ran : collection of str
        Rooms that have a place in the visit.
    values : mapping of str to mapping
        What was found, by measure.
    hub : str
        Suffix of the anatomical reference.
    percentiles : mapping of str to float, optional
        Percentile of a measure for the person's covariates, from a table of norms.

    Returns
    -------
    rows : list of dict
        As :func:`measure_rows`, with ``strip``: where the value lies.
    absent : list of (str, str)
        Title and reason of markers that have no place in the visit.
    """
    rows, absent = [], []
    for room in rooms:
        chosen = [m for m in room.measures if m.primary]
        if not room.marker or not chosen:
            continue
        if room.name not in ran:
            why = (values.get(chosen[0].name) or {}).get('reason') or 'not computed'
            absent.append((fill(room.title, hub), why))
            continue
        for measure, row in zip(chosen, measure_rows(chosen, values, hub), strict=True):
            found = values.get(measure.name, {})
            rows.append(row | {'strip': _strip(found, measure, percentiles or {})})
    return rows, absent


def _strip(
    found: Mapping[str, Any], measure: Measure, percentiles: Mapping[str, float]
) -> dict[str, Any] | None:
    """Say where a value lies: among the norms, else in its plausible range."""
    value = found.get('value')
    if not _is_figure(value):
        return None
    place = percentiles.get(measure.name)
    if place is not None:
        return {
            'kind': 'percentile',
            'at': _share(place, 0, 100),
            'low': None,
            'wide': 0,
            'words': f'percentile {place:.0f} of controls of the same age and sex',
        }
    low, high = measure.limits.ok if measure.limits else (None, None)
    if low is None or high is None:
        return None
    ends = [found.get(key) for key in ('low', 'high')]
    known = all(_is_figure(end) for end in ends)
    left, right = (_share(end, low, high) for end in ends) if known else (None, 0)
    return {
        'kind': 'plausible',
        'at': _share(value, low, high),
        'low': left,
        'wide': round(right - left, 1) if known else 0,
        'words': f'{number(value)} in the plausible range of {measure.limits}',
    }


def _share(value: float, low: float, high: float) -> float:
    """Return a place as percent of the way, within it."""
    return round(100 * min(max((value - low) / (high - low), 0), 1), 1)


def _is_figure(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def needs_look(
    plan: Plan, values: Sequence[Mapping[str, Any]], status: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Gather what a reader has to look at, failures before the rest.

    Parameters
    ----------
    plan : Plan
        What was decided.
    values : sequence of mapping
        Measures with their flags.
    status : mapping
        The visit's status.

    Returns
    -------
    list of dict
        ``flag, words, values``: measures that are flagged for one cause stand together, each
        with its value; what rests on one of them stands there, too.
    """
    declared = {m.name: m for step in plan.steps for m in step.room.measures}
    look = [
        {'flag': 'fail', 'words': f'{_title(failure.room, plan)}: {failure}', 'values': []}
        for failure in status.get('failures') or ()
    ]
    look += [{'flag': f, 'words': words, 'values': []} for f, words in status.get('remarks') or ()]
    told = ' '.join(item['words'] for item in look)
    for flag in ('fail', 'warn'):
        flagged = []
        for found in values:
            measure = declared.get(found.get('name', ''))
            if measure is None or found.get('qc') != flag or not counts(measure):
                continue
            unit = unit_text(measure.units, before=' ')
            said = f'{fill(measure.heading, plan.context.hub)} {number(found.get("value"))}{unit}'
            flagged.append(Flagged(measure.name, said, found.get('reason') or ''))
        look += [
            {'flag': flag, 'words': f'{cause[:1].upper()}{cause[1:]}:', 'values': said}
            for cause, said in by_cause(flagged, told)
        ]
    look += [
        {'flag': 'warn', 'words': f'{file} could not be used: {reason}', 'values': []}
        for file, reason in plan.refused
    ]
    return sorted(look, key=lambda item: item['flag'] != 'fail')


def _title(name: str, plan: Plan) -> str:
    titles = {step.room.name: fill(step.room.title, plan.context.hub) for step in plan.steps}
    return titles.get(name, name) or 'Failure'


#: Columns by which a table of points is known.
_POINTS = ('score', 'item', 'points', 'max')


def burden(
    lists: Iterable[tuple[Derivative, str | Path]],
    rooms: Iterable[Room],
    values: Mapping[str, Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Gather the scores of the first screen with the points of their items.

    Parameters
    ----------
    lists : iterable of (Derivative, path-like)
        Tables of the visit; one with the columns ``score, item, points, max`` has points.
    rooms : iterable of Room
        Their primary measures are the scores that are shown.
    values : mapping of str to mapping
        What was found, by measure.
    """
    primary = {m.name: m for room in rooms for m in room.measures if m.primary}
    found: dict[str, dict[str, Any]] = {}
    for item, path in lists:
        if not {*_POINTS} <= {column.name for column in item.columns}:
            continue
        try:
            rows = read_tsv(Path(path)).rows
        except (OSError, InputError):
            continue
        for row in rows:
            name = row.get('score', '')
            if name not in primary:
                continue
            told = values.get(name, {})
            score = found.setdefault(
                name,
                {
                    'title': primary[name].heading,
                    'value': number(told.get('value')),
                    'reason': told.get('reason') or '',
                    'most': 0,
                    'items': [],
                },
            )
            score['items'].append(_points(row))
            score['most'] += int(row['max']) if row.get('max', '').isdigit() else 0
    return list(found.values())


def _points(row: Mapping[str, str]) -> dict[str, str]:
    given = {key: value for key, value in row.items() if value not in ('', 'n/a')}
    points, least, most = (given.get(key) for key in ('points', 'points_min', 'points_max'))
    kind = 'open' if points is None else 'has' if points.strip('0.') else ''
    span = f'{least} to {most}' if least and most else '?'
    about = (given.get('value'), given.get('source'), given.get('reason'))
    return {
        'name': row['item'],
        'points': f'{points or span} of {given.get("max", "?")}',
        'kind': kind,
        'about': '; '.join(part for part in about if part),
    }
