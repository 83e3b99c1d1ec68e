"""When the visits of a participant took place: from tables and sidecars of the raw dataset."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from csvdprep.bids.tsv import MISSING, read_tsv
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Visit

#: Days of a year.
YEAR = 365.25


def _since(unit: str) -> re.Pattern:
    """Match columns such as days, days_since_first_session; a bare day is one of a calendar."""
    return re.compile(rf'{unit}s|{unit}s?_(since|from|after)_.*')


#: Columns of sessions.tsv that give a time since some beginning, and what a unit is in years.
SINCE = (
    (_since('day'), 1 / YEAR),
    (_since('week'), 7 / YEAR),
    (_since('month'), 1 / 12),
    (_since('year'), 1.0),
    (re.compile(r'age(_at_(scan|visit|session))?'), 1.0),
)
_DATES = ('acq_time', 'date', 'scan_date', 'acquisition_date')


@dataclass(frozen=True)
class VisitTime:
    """When a visit took place.

    Attributes
    ----------
    visit : Visit
        Participant and session.
    years : float or None
        Since the first of the participant's visits; None where nothing tells.
    source : str
        What tells it: a table and its column, or nothing.
    """

    visit: Visit
    years: float | None
    source: str = ''


def visit_times(
    root: Path, visits: Iterable[Visit], warn: Callable[[str], None] = lambda line: None
) -> list[VisitTime]:
    """Put the visits of a participant in the order of time.

    What tells the time of all of them, and tells them apart, is taken, in this order: a date in
    ``sessions.tsv`` (``acq_time``), the earliest ``acq_time`` of each visit's ``scans.tsv``, time
    since some beginning in ``sessions.tsv``, age there. Dates may be shifted: intervals count.

    Parameters
    ----------
    root : Path
        Raw dataset.
    visits : iterable of Visit
        Of one participant, with sessions.
    warn : callable, optional
        Takes sentences about tables that cannot be used.

    Returns
    -------
    list of VisitTime
        In the order of time; where nothing tells it, in that of the labels (2 before 10), with
        ``years`` None.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> (root / 'sub-01').mkdir()
    >>> table = 'session_id\\tdays_since_first_session\\nses-b\\t0\\nses-a\\t731\\n'
    >>> _ = (root / 'sub-01' / 'sub-01_sessions.tsv').write_text(table)
    >>> times = visit_times(root, [Visit('01', 'a'), Visit('01', 'b')])
    >>> [(item.visit.session, round(item.years, 2)) for item in times]
    [('b', 0.0), ('a', 2.0)]
    >>> times[0].source
    'sessions.tsv: days_since_first_session'
    """
    visits = sorted(visits, key=lambda visit: _natural(visit.session or ''))
    if not visits:
        return []
    for source, years in _ways(Path(root), visits, warn):
        # Ages in whole years, or dates that were taken out, may not tell visits apart.
        if all(visit in years for visit in visits) and len({*years.values()}) == len(visits):
            first = min(years.values())
            found = [VisitTime(v, round(years[v] - first, 4), source) for v in visits]
            return sorted(found, key=lambda item: item.years)
    return [VisitTime(visit, None) for visit in visits]


def acquired(root: Path, visit: Visit) -> str:
    """Return the date of a visit that a table of the dataset tells; empty if none does.

    Parameters
    ----------
    root : Path
        Raw dataset.
    visit : Visit
        Participant and session.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> (root / 'sub-01').mkdir()
    >>> table = 'session_id\\tacq_time\\nses-a\\t2020-05-17T09:30:00\\n'
    >>> _ = (root / 'sub-01' / 'sub-01_sessions.tsv').write_text(table)
    >>> acquired(root, Visit('01', 'a')), acquired(root, Visit('02'))
    ('2020-05-17', '')
    """
    subject = f'sub-{visit.subject}'
    tables = (root / subject / f'{subject}_sessions.tsv', root / visit.folder)
    own = {f'ses-{visit.session}', visit.session}
    rows = [r for r in _read(tables[0], lambda line: None) if r.get('session_id') in own]
    rows += _read(tables[1] / f'{visit.label}_scans.tsv', lambda line: None)
    cells = [row[name] for row in rows for name in row if name.casefold() in _DATES]
    return next((cell.strip()[:10] for cell in cells if _date(cell) is not None), '')


def _ways(root: Path, visits: list[Visit], warn):
    """Yield what may tell the times: its name, and years by visit."""
    subject = f'sub-{visits[0].subject}' if visits else ''
    sessions = _read(root / subject / f'{subject}_sessions.tsv', warn)
    by_label = {row.get('session_id', ''): row for row in sessions}
    rows = {v: by_label.get(f'ses-{v.session}', by_label.get(v.session or '', {})) for v in visits}
    columns = list(dict.fromkeys(name for row in sessions for name in row))
    for name in columns:
        if name.casefold() in _DATES:
            yield f'sessions.tsv: {name}', _known(rows, name, _date)
    first = {}
    for visit in visits:
        stem = f'{visit.label}_scans.tsv'
        found = [
            time
            for row in _read(root / visit.folder / stem, warn)
            if (time := _date(row.get('acq_time', ''))) is not None
        ]
        if found:
            first[visit] = min(found)
    yield 'scans.tsv: acq_time', first
    for pattern, unit in SINCE:
        for name in columns:
            if pattern.fullmatch(name.casefold()):
                yield f'sessions.tsv: {name}', _known(rows, name, lambda t, u=unit: _number(t, u))


def _known(rows: Mapping[Visit, Mapping[str, str]], name: str, read) -> dict[Visit, float]:
    found = {visit: read(row.get(name, '')) for visit, row in rows.items()}
    return {visit: value for visit, value in found.items() if value is not None}


def _read(path: Path, warn) -> list[dict[str, str]]:
    try:
        return [dict(row) for row in read_tsv(path).rows]
    except FileNotFoundError:
        return []
    except InputError as error:
        warn(f'{path.name} cannot be used: {error}')
        return []


def _date(text: str) -> float | None:
    """Read a date, in years."""
    text = text.strip()
    if not text or text.casefold() == MISSING:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment.replace(tzinfo=None) - datetime(1900, 1, 1)).total_seconds() / 86400 / YEAR


def _number(text: str, unit: float) -> float | None:
    try:
        value = float(text.replace(',', '.'))
    except ValueError:
        return None
    return value * unit if abs(value) < 1e6 else None


def _natural(label: str) -> list:
    return [
        (part.isdigit(), int(part) if part.isdigit() else part)
        for part in re.split(r'([0-9]+)', label)
        if part
    ]
