"""What persons rated (``--manual-ratings``): read the table, and say what is wrong with it."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from csvdprep.bids.files import FETCH, content_missing
from csvdprep.bids.raw import bare_label
from csvdprep.bids.tsv import MISSING, NAMED, Table, read_tsv, tsv_cell
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Scan, Visit
from csvdprep.core.ratings import (
    CONSENSUS,
    DECISION,
    DECISIONS,
    FAMILIES,
    LISTS,
    MARKERS,
    MASKS,
    read_verdict,
)

__all__ = [
    'COLUMNS',
    'DESK_TABLE',
    'LINK',
    'OPTION',
    'Row',
    'latest',
    'masks_of',
    'ratings_of',
    'read_ratings',
    'read_row',
    'read_rows',
    'rows_of',
]

OPTION = '--manual-ratings'
#: Where ``csvdprep review`` keeps it, in the output folder.
DESK_TABLE = 'ratings.tsv'
#: Name under which the folder of the table is linked (BIDS URI).
LINK = 'manual-ratings'
#: Columns of the table, those that it has to have first.
COLUMNS = {
    'participant_id': True,
    'rater': True,
    'marker': True,
    'value': True,
    'session_id': False,
    'candidate': False,
    'comment': False,
    'time': False,
    'version': False,
}
#: What may be rated.
_KNOWN = (*MARKERS, *LISTS, DECISION, *MASKS)
_RATER = re.compile(r'\w[\w .+-]{0,39}')
_POINT = re.compile(r'-?\d+(\.\d+)?([\s,;]+-?\d+(\.\d+)?){2}')


@dataclass(frozen=True)
class Row:
    """One rating.

    Attributes
    ----------
    subject, session : str
        Labels; session is empty where the row does not tell one.
    rater, marker : str
        Who, and of what (or of which list).
    value : int, str or None
        Value, or what is said of a candidate, a visit or a mask; None where a person takes back
        what was said.
    candidate : str
        Candidate of a list: its index, or its position in mm.
    time : str
        When, in ISO 8601; empty where the table does not tell.
    comment : str
        What the person notes.
    version : str
        Of what was looked at.
    """

    subject: str
    session: str
    rater: str
    marker: str
    value: int | str | None
    candidate: str = ''
    time: str = ''
    comment: str = ''
    version: str = ''


def read_ratings(path: Path, warn: Callable[[str], None]) -> tuple[Row, ...]:
    """Read a table of ratings, and refuse it if anything in it cannot be meant.

    Parameters
    ----------
    path : Path
        TSV with the columns of :data:`COLUMNS`. A value of n/a says nothing. Of rows of one
        rater about one thing that have a ``time``, the last in the table counts; n/a takes back
        what was said.
    warn : callable
        Takes sentences about what is odd.

    Returns
    -------
    tuple of Row
        In the order of the table, without what was taken back or said anew.

    Raises
    ------
    InputError
        If it cannot be read, lacks a column, names a marker that does not exist or a value that
        it cannot have, or has one rating of one rater twice: tells rows, columns and what to do.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / 'ratings.tsv'
    >>> head = 'participant_id\\trater\\tmarker\\tvalue\\n'
    >>> _ = file.write_text(head + 'sub-01\\tAB\\tcss\\tfocal\\n')
    >>> read_ratings(file, print)[0].value
    1
    >>> _ = file.write_text(head + 'sub-01\\tAB\\tcmb\\t1\\n')
    >>> read_ratings(file, print)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    csvdprep.core.errors.InputError: Row 1: there is no marker "cmb". [file: ..., field: marker]...
    """
    path = Path(path)
    rows, faults = read_rows(path, warn)
    rows = latest(rows)
    _refuse(faults or _twice(rows) or _contradictions(rows), path)
    rows = [row for row in rows if row.value is not None]
    if not rows:
        warn(f'{path.name} has no rating.')
    return tuple(rows)


def read_rows(
    path: Path, warn: Callable[[str], None]
) -> tuple[list[Row], list[tuple[str, str, str]]]:
    """Read every row of a table of ratings, whether or not a later one takes it back.

    Parameters
    ----------
    path, warn
        As for :func:`read_ratings`.

    Returns
    -------
    rows : list of Row
        Those that can be meant, in the order of the table.
    faults : list of (str, str, str)
        Of the others: what is wrong, in which column, and what helps.

    Raises
    ------
    InputError
        If the table cannot be read, or lacks a column.
    """
    if said := content_missing(path):
        raise InputError(said, file=path, field=OPTION, remedy=FETCH)
    try:
        table = read_tsv(path)
    except FileNotFoundError as error:
        raise InputError(
            'The table of ratings does not exist.',
            file=path,
            field=OPTION,
            remedy='Check the path.',
        ) from error
    return rows_of(table, path, warn)


def rows_of(
    table: Table, path: Path, warn: Callable[[str], None]
) -> tuple[list[Row], list[tuple[str, str, str]]]:
    """Read the rows of a table that was parsed; the rest is as for :func:`read_rows`."""
    for note in table.notes:
        warn(note)
    columns = _columns(table, path, warn)
    rows: list[Row] = []
    faults: list[tuple[str, str, str]] = []
    for number, cells in enumerate(table.rows, start=1):
        given = {name: cells.get(column, MISSING) for name, column in columns.items()}
        if all(text in ('', MISSING) for text in given.values()):
            continue
        try:
            row = _row(given)
        except _Fault as fault:
            faults.append((f'Row {number}: {fault.said}', fault.column, fault.remedy))
            continue
        if row is not None:
            rows.append(row)
    return rows, faults


def read_row(given: Mapping[str, str]) -> Row | None:
    """Read one row by the names of its columns; None if it says nothing.

    Raises
    ------
    InputError
        If it cannot be meant: tells the column, and what helps.

    Examples
    --------
    >>> cells = {'participant_id': 'sub-01', 'rater': 'AB', 'marker': 'css', 'value': 'focal'}
    >>> read_row(cells).value
    1
    """
    full = {name: tsv_cell(given.get(name)) for name in COLUMNS}
    try:
        return _row(full)
    except _Fault as fault:
        said = fault.said[:1].upper() + fault.said[1:]
        raise InputError(f'{said}.', field=fault.column, remedy=fault.remedy) from fault


def latest(rows: Iterable[Row]) -> list[Row]:
    """Keep the last of several rows of one rater about one thing.

    It has to have a time, and only one of the others may lack it: a person who adds to a table
    by hand, and says one thing twice, is to be asked which is meant.

    Examples
    --------
    >>> first = Row('01', '', 'AB', 'css', 1, time='2026-01-01T09:00:00+00:00')
    >>> last = Row('01', '', 'AB', 'css', 2, time='2026-01-01T09:05:00+00:00')
    >>> [row.value for row in latest([first, last])]
    [2]
    """
    rows = list(rows)
    by_key: dict[tuple, list[int]] = {}
    for at, row in enumerate(rows):
        by_key.setdefault(_key(row), []).append(at)
    dropped = {
        at
        for places in by_key.values()
        if rows[places[-1]].time and sum(not rows[at].time for at in places) <= 1
        for at in places[:-1]
    }
    return [row for at, row in enumerate(rows) if at not in dropped]


def _key(row: Row) -> tuple[str, ...]:
    return (row.subject, row.session, row.rater, row.marker, row.candidate)


def ratings_of(
    rows: Iterable[Row],
    sessions: Mapping[str, Sequence[str | None]],
    path: Path,
    warn: Callable[[str], None],
) -> dict[Visit, Scan]:
    """Give each visit its ratings.

    Parameters
    ----------
    rows : iterable of Row
        From :func:`read_ratings`.
    sessions : mapping of str to sequence of (str or None)
        Sessions of each participant of the dataset.
    path : Path
        The table.
    warn : callable
        Takes sentences about rows that are of no visit of the dataset.

    Returns
    -------
    dict of Visit to Scan
        ``content['ratings']`` has ``rater``, ``marker``, ``value`` and ``candidate`` of each, and
        ``content['decisions']`` ``rater``, ``value`` and ``reason`` of each decision on the visit.
        Corrected masks are left to :func:`masks_of`. The
        digest is of these alone: order, comments and ratings of other visits do not change it.
        A row without a session is of the only one that a participant has.
    """
    found, strangers = _by_visit(rows, sessions, path)
    for sentence in _strangers(strangers, sessions):
        warn(f'{path.name} has ratings {sentence}')
    said = {visit: [row for row in of if row.marker not in MASKS] for visit, of in found.items()}
    return {visit: _scan(of, path) for visit, of in said.items() if of}


def masks_of(
    rows: Iterable[Row],
    sessions: Mapping[str, Sequence[str | None]],
    path: Path,
    warn: Callable[[str], None],
) -> dict[Visit, dict[str, Path]]:
    """Give each visit the masks that persons corrected.

    Parameters
    ----------
    rows, sessions, path, warn
        As for :func:`ratings_of`.

    Returns
    -------
    dict of Visit to dict of str to Path
        Files by the name of the result from outside as which they are taken. Of several persons'
        masks, that of 'consensus' is used, or the one that was saved last, which is told.
    """
    found, _ = _by_visit(rows, sessions, path)
    masks: dict[Visit, dict[str, Path]] = {}
    for visit, said in found.items():
        for name, external in MASKS.items():
            given = [row for row in said if row.marker == name]
            given = [row for row in given if row.rater.lower() == CONSENSUS] or given
            if not given:
                continue
            used = max(given, key=lambda row: row.time)
            if len(given) > 1:
                raters = ', '.join(sorted(row.rater for row in given))
                warn(
                    f'{path.name}: {raters} corrected {name} of {visit.label}; that of '
                    f'{used.rater} is used, which was saved last.'
                )
            masks.setdefault(visit, {})[external] = path.parent / str(used.value)
    return masks


def _by_visit(
    rows: Iterable[Row], sessions: Mapping[str, Sequence[str | None]], path: Path
) -> tuple[dict[Visit, list[Row]], dict[tuple[str, str], None]]:
    """Sort rows by the visits of the dataset; those of none are strangers."""
    found: dict[Visit, list[Row]] = {}
    strangers: dict[tuple[str, str], None] = {}
    for row in rows:
        visit = _visit(row, sessions)
        if visit is None:
            strangers[row.subject, row.session] = None
        else:
            found.setdefault(visit, []).append(row)
    # One visit, told with and without its session, is one.
    for visit, said in found.items():
        bare = latest(replace(row, session='') for row in said)
        _refuse(_twice(bare) or _contradictions(bare), path)
        found[visit] = bare
    return found, strangers


class _Fault(Exception):  # noqa: N818
    """What is wrong with a row, in which column, and what helps."""

    def __init__(self, said: str, column: str, remedy: str):
        super().__init__(said)
        self.said, self.column, self.remedy = said, column, remedy


def _columns(table, path: Path, warn: Callable[[str], None]) -> dict[str, str]:
    """Find the columns, whatever their letters."""
    columns = {name: found[0] for name in COLUMNS if (found := table.named(name))}
    lacking = [name for name, needed in COLUMNS.items() if needed and name not in columns]
    if lacking:
        near = difflib.get_close_matches(lacking[0], table.columns, n=1, cutoff=0.5)
        hint = f' "{near[0]}" may be meant.' if near else ''
        raise InputError(
            f'The table of ratings has no column {", ".join(lacking)}.{hint}',
            file=path,
            field='first line',
            remedy=f'Columns are: {", ".join(COLUMNS)}, separated by tabs.',
        )
    if unknown := [name for name in table.columns if name and name not in columns.values()]:
        warn(f'{path.name}: columns that are not used: {", ".join(unknown[:NAMED])}.')
    return columns


def _row(given: Mapping[str, str]) -> Row | None:
    """Read one row; None if it says nothing."""
    value = given['value']
    time = _time(given.get('time', MISSING))
    silent = value.lower() in ('', MISSING)
    if silent and not time:
        return None
    subject = bare_label(given['participant_id'], 'sub')
    if not subject:
        raise _Fault('the participant is not told', 'participant_id', 'Write sub-01, for example.')
    rater = given['rater']
    if rater == MISSING or not _RATER.fullmatch(rater):
        raise _Fault(
            f'"{rater}" is no name of a rater',
            'rater',
            'Write initials or a number: letters, digits, blanks and .+- , at most 40.',
        )
    marker = given['marker']
    candidate = '' if given.get('candidate', MISSING) == MISSING else given['candidate']
    session = bare_label(given.get('session_id', MISSING), 'ses')
    row = Row(
        subject,
        session,
        rater,
        marker,
        None,
        time=time,
        comment='' if given.get('comment', MISSING) == MISSING else given['comment'],
        version='' if given.get('version', MISSING) == MISSING else given['version'],
    )
    if marker not in _KNOWN:
        near = difflib.get_close_matches(marker, _KNOWN, n=3, cutoff=0.5)
        hint = f'Did you mean {" or ".join(near)}? ' if near else ''
        raise _Fault(
            f'there is no marker "{marker}"', 'marker', f'{hint}Markers are: {", ".join(_KNOWN)}.'
        )
    if marker in LISTS:
        row = replace(row, candidate=_candidate(marker, candidate))
        return row if silent else replace(row, value=_verdict(row, value))
    if candidate:
        raise _Fault(
            f'a candidate is named, but {marker} is no list of candidates',
            'candidate',
            f'Lists are: {", ".join(LISTS)}.',
        )
    if silent:
        return row
    if marker == DECISION:
        return replace(row, value=_decision(value))
    if marker in MASKS:
        return replace(row, value=_file(value))
    try:
        return replace(row, value=MARKERS[marker].read(value))
    except ValueError as error:
        raise _Fault(
            f'"{value}" cannot be: {error}',
            'value',
            'Correct it, or write n/a where it was not rated.',
        ) from error


def _time(text: str) -> str:
    if text in ('', MISSING):
        return ''
    try:
        datetime.fromisoformat(text)
    except ValueError as error:
        raise _Fault(
            f'"{text}" is no time', 'time', 'Write 2026-01-31T14:05:00+00:00, for example.'
        ) from error
    return text


def _candidate(marker: str, candidate: str) -> str:
    if not (candidate.isdecimal() or _POINT.fullmatch(candidate)):
        raise _Fault(
            f'"{candidate}" names no candidate of {marker}',
            'candidate',
            'Write its index in the list, or its x, y and z in mm, separated by blanks.',
        )
    return candidate


def _verdict(row: Row, value: str) -> str:
    try:
        read = read_verdict(row.marker, value)
    except ValueError as error:
        raise _Fault(
            f'"{value}" is nothing that can be said of a candidate of {row.marker}',
            'value',
            str(error),
        ) from error
    if read.added and not _POINT.fullmatch(row.candidate):
        raise _Fault(
            f'a lesion is added to {row.marker}, but "{row.candidate}" is no position',
            'candidate',
            'Write its x, y and z in mm, separated by blanks.',
        )
    return ' '.join(value.lower().split())


def _decision(value: str) -> str:
    if value.lower() not in DECISIONS:
        raise _Fault(
            f'"{value}" is no decision on a visit', 'value', f'Write {", ".join(DECISIONS)}.'
        )
    return value.lower()


def _file(value: str) -> str:
    way = PurePosixPath(value)
    if way.is_absolute() or '..' in way.parts or not value.endswith(('.nii', '.nii.gz')):
        raise _Fault(
            f'"{value}" is no image beside the table',
            'value',
            'Write its path from the folder of the table, without "..".',
        )
    return value


def _twice(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    seen: set[tuple] = set()
    faults = []
    for row in rows:
        key = _key(row)
        if key in seen:
            where = f'sub-{row.subject}' + (f'_ses-{row.session}' if row.session else '')
            of = f'{row.marker} {row.candidate}'.strip()
            faults.append(
                (
                    f'{row.rater} rates {of} of {where} twice',
                    'marker',
                    'Keep one of the rows; give repeated ratings another name of the rater.',
                )
            )
        seen.add(key)
    return faults


def _contradictions(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """Find parts of a count that are more than the whole, by one rater."""
    said: dict[tuple[str, str, str], dict[str, int]] = {}
    for row in rows:
        if row.marker in MARKERS and row.value is not None:
            said.setdefault((row.subject, row.session, row.rater), {})[row.marker] = int(row.value)
    faults = []
    for (subject, session, rater), values in said.items():
        where = f'sub-{subject}' + (f'_ses-{session}' if session else '')
        for family in FAMILIES:
            parts = {name: values[name] for name in family.parts if name in values}
            total = values.get(family.total)
            complete = family.whole and len(parts) == len(family.parts)
            amount = sum(parts.values())
            if total is not None and (amount > total or (complete and amount != total)):
                said_so = f'{rater} counts {amount} in {", ".join(parts)} of {where}'
                said_so += f', and {total} in {family.total}'
                faults.append((said_so, 'value', 'Correct one of them.'))
    return faults


def _refuse(faults: Sequence[tuple[str, str, str]], path: Path) -> None:
    """Refuse a table, telling the first faults."""
    if not faults:
        return
    said = '. '.join(text for text, _, _ in faults[:NAMED])
    more = f' There are {len(faults) - NAMED} more faults.' if len(faults) > NAMED else ''
    raise InputError(
        f'{said}.{more}',
        file=path,
        field=', '.join(dict.fromkeys(column for _, column, _ in faults[:NAMED])),
        remedy=' '.join(dict.fromkeys(remedy for _, _, remedy in faults[:NAMED])),
    )


def _visit(row: Row, sessions: Mapping[str, Sequence[str | None]]) -> Visit | None:
    there = sessions.get(row.subject, ())
    if row.session:
        return Visit(row.subject, row.session) if row.session in there else None
    if None in there:
        return Visit(row.subject)
    return Visit(row.subject, there[0]) if len(there) == 1 else None


def _strangers(
    visits: Iterable[tuple[str, str]], sessions: Mapping[str, Sequence[str | None]]
) -> list[str]:
    """Tell of ratings that are of no visit of the dataset."""
    visits, said = list(visits), []
    nobody = list(dict.fromkeys(f'sub-{s}' for s, _ in visits if s not in sessions))
    if nobody:
        near = difflib.get_close_matches(nobody[0], [f'sub-{s}' for s in sessions], 1, 0.6)
        hint = f' Did you mean {near[0]}?' if near else ''
        said.append(
            f'of participants that the dataset does not have; they are left out: '
            f'{_named(nobody)}.{hint}'
        )
    wrong = [f'sub-{s}_ses-{n}' for s, n in visits if s in sessions and n]
    if wrong:
        said.append(
            f'of sessions that the dataset does not have; they are left out: {_named(wrong)}.'
        )
    if vague := [f'sub-{s}' for s, n in visits if s in sessions and not n]:
        said.append(
            'that do not tell which of several sessions they are of; they are left out: '
            f'{_named(vague)}. Fill in session_id.'
        )
    return said


def _named(labels: Sequence[str]) -> str:
    more = f' and {len(labels) - NAMED} more' if len(labels) > NAMED else ''
    return ', '.join(labels[:NAMED]) + more


def _scan(rows: Sequence[Row], path: Path) -> Scan:
    content = {
        'ratings': [
            {'rater': r.rater, 'marker': r.marker, 'value': r.value, 'candidate': r.candidate}
            for r in rows
            if r.marker != DECISION
        ]
    }
    decisions = [
        {'rater': r.rater, 'value': r.value, 'reason': r.comment}
        for r in rows
        if r.marker == DECISION
    ]
    content |= {'decisions': decisions} if decisions else {}
    for said in content.values():
        said.sort(key=lambda item: [str(value) for value in item.values()])
    # Tables without decisions keep the digest that they always had.
    known = content if decisions else content['ratings']
    return Scan(
        name='ratings',
        path=str(path),
        uri=f'bids:{LINK}:{quote(path.name, errors="surrogateescape")}',
        digest=hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest(),
        content=content,
    )
