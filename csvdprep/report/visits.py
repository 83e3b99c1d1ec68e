"""The visits of a participant side by side, in the report of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from csvdprep.bids.covariates import number
from csvdprep.bids.files import atomic_write
from csvdprep.bids.tsv import read_tsv
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Visit
from csvdprep.core.room import Measure, Room
from csvdprep.report import content
from csvdprep.report.pages import environment

#: Where a page takes the visits in; see ``page.html``.
_PLACE = re.compile('<!-- visits -->.*?<!-- /visits -->', re.DOTALL)


def insert_visits(
    output_dir: Path, subject: str, visits: Sequence[Mapping[str, Any]], rooms: Iterable[Room]
) -> list[Path]:
    """Put the visits side by side into the reports of a participant and of each visit.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives.
    subject : str
        Label of the participant, without ``sub-``.
    visits : sequence of mapping
        ``session, years, table`` of each, in the order of time.
    rooms : iterable of Room
        Rooms of visits; their primary measures are the rows.

    Returns
    -------
    list of Path
        Pages that were written. What an earlier run put there is replaced.
    """
    rooms = sorted(rooms, key=lambda room: room.order)
    measures = [m for room in rooms for m in room.measures if m.primary]
    values = [_values(Path(visit['table'])) for visit in visits]
    written = []
    for own in (None, *range(len(visits))):
        session = None if own is None else str(visits[own]['session']).removeprefix('ses-')
        page = output_dir / f'{Visit(subject, session).label}.html'
        try:
            text = page.read_text(encoding='utf-8')
        except (OSError, UnicodeDecodeError):
            continue
        part = _PLACE.sub(
            lambda found, own=own: _section(subject, visits, values, measures, own), text, count=1
        )
        if part != text:
            atomic_write(page, part)
        written.append(page)
    return written


def _section(
    subject: str,
    visits: Sequence[Mapping[str, Any]],
    values: Sequence[Mapping[str, Mapping[str, str]]],
    measures: Iterable[Measure],
    own: int | None,
) -> str:
    last = len(visits) - 1 if own is None else own
    rows = [
        row
        for measure in measures
        if (row := _row(measure, [table.get(measure.name, {}) for table in values], last))
    ]
    heads = [
        {
            'name': visit['session'],
            'years': '' if visit['years'] is None else f'at {visit["years"]:.3g} years',
            'href': f'{Visit(subject, str(visit["session"]).removeprefix("ses-")).label}.html',
            'own': index == own,
        }
        for index, visit in enumerate(visits)
    ]
    text = (
        environment()
        .get_template('visits.html')
        .render(
            heads=heads,
            rows=rows,
            since=visits[last - 1]['session'] if last else '',
            until=visits[last]['session'],
            whole='' if own is None else f'{Visit(subject).label}.html',
        )
    )
    return f'<!-- visits -->{text}<!-- /visits -->'


def _row(measure: Measure, cells: Sequence[Mapping[str, str]], last: int) -> dict[str, Any] | None:
    """Return a measure's values, and its change up to a visit; None where all are missing."""
    numbers = [number(cell.get('value', '')) for cell in cells]
    if sum(value is not None for value in numbers) < 2:
        return None
    shown = [
        {
            'value': 'n/a' if value is None else content.number(_whole(value)),
            'qc': cell.get('qc', 'na') if cell.get('qc') in content.FLAGS else 'na',
        }
        for value, cell in zip(numbers, cells, strict=True)
    ]
    change = ''
    if last and numbers[last] is not None and numbers[last - 1] is not None:
        told = content.number(_whole(round(numbers[last] - numbers[last - 1], 6)))
        change = told if told == '0' or told.startswith('\N{MINUS SIGN}') else f'+{told}'
    return {
        'label': measure.heading,
        'units': content.unit_text(measure.units),
        'cells': shown,
        'change': change,
    }


def _whole(value: float) -> float | int:
    return int(value) if value.is_integer() and abs(value) < 1e6 else value


def _values(table: Path) -> dict[str, Mapping[str, str]]:
    try:
        rows = read_tsv(table).rows
    except (OSError, InputError):
        return {}
    return {row['measure']: row for row in rows if row.get('measure')}
