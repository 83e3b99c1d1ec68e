"""What persons rated (``--manual-ratings``): read the table, and say what is wrong with it."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from csvdprep.bids.files import FETCH, content_missing
from csvdprep.bids.raw import bare_label
from csvdprep.bids.tsv import MISSING, NAMED, read_tsv
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Scan, Visit
from csvdprep.core.ratings import FAMILIES, LISTS, MARKERS, VERDICTS

__all__ = ['COLUMNS', 'LINK', 'OPTION', 'Row', 'ratings_of', 'read_ratings']

OPTION = '--manual-ratings'
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
}
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
    value : int or str
        Value, or 'accept' and 'reject'.
    candidate : str
        Candidate of a list: its index, or its position in mm.
    """

    subject: str
    session: str
    rater: str
    marker: str
    value: int | str
    candidate: str = ''


def read_ratings(path: Path, warn: Callable[[str], None]) -> tuple[Row, ...]:
    """Read a table of ratings, and refuse it if anything in it cannot be meant.

    Parameters
    ----------
    path : Path
        TSV with the columns of :data:`COLUMNS`. A value of n/a says nothing.
    warn : callable
        Takes sentences about what is odd.

    Returns
    -------
    tuple of Row
        In the order of the table.

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
    _refuse(faults or _twice(rows) or _contradictions(rows), path)
    if not rows:
        warn(f'{path.name} has no rating.')
    return tuple(rows)


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
        ``content['ratings']`` has ``rater``, ``marker``, ``value`` and ``candidate`` of each. The
        digest is of these alone: order, comments and ratings of other visits do not change it.
        A row without a session is of the only one that a participant has.
    """
    found: dict[Visit, list[Row]] = {}
    strangers: dict[tuple[str, str], None] = {}
    for row in rows:
        visit = _visit(row, sessions)
        if visit is None:
            strangers[row.subject, row.session] = None
        else:
            found.setdefault(visit, []).append(row)
    for sentence in _strangers(strangers, sessions):
        warn(f'{path.name} has ratings {sentence}')
    # One visit, told with and without its session, is one.
    for said in found.values():
        bare = [_bare(row) for row in said]
        _refuse(_twice(bare) or _contradictions(bare), path)
    return {visit: _scan(said, path) for visit, said in found.items()}


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
    if value.lower() in ('', MISSING):
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
    if marker in LISTS:
        return Row(subject, session, rater, marker, *_verdict(marker, value, candidate))
    if marker not in MARKERS:
        near = difflib.get_close_matches(marker, [*MARKERS, *LISTS], n=3, cutoff=0.5)
        hint = f'Did you mean {" or ".join(near)}? ' if near else ''
        raise _Fault(
            f'there is no marker "{marker}"',
            'marker',
            f'{hint}Markers are: {", ".join([*MARKERS, *LISTS])}.',
        )
    if candidate:
        raise _Fault(
            f'a candidate is named, but {marker} is no list of candidates',
            'candidate',
            f'Lists are: {", ".join(LISTS)}.',
        )
    try:
        return Row(subject, session, rater, marker, MARKERS[marker].read(value))
    except ValueError as error:
        raise _Fault(
            f'"{value}" cannot be: {error}',
            'value',
            'Correct it, or write n/a where it was not rated.',
        ) from error


def _verdict(marker: str, value: str, candidate: str) -> tuple[str, str]:
    if value.lower() not in VERDICTS:
        raise _Fault(
            f'"{value}" is nothing that can be said of a candidate of {marker}',
            'value',
            'Write accept or reject.',
        )
    if not (candidate.isdecimal() or _POINT.fullmatch(candidate)):
        raise _Fault(
            f'"{candidate}" names no candidate of {marker}',
            'candidate',
            'Write its index in the list, or its x, y and z in mm, separated by blanks.',
        )
    return value.lower(), candidate


def _bare(row: Row) -> Row:
    return Row(row.subject, '', row.rater, row.marker, row.value, row.candidate)


def _twice(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    seen: set[tuple] = set()
    faults = []
    for row in rows:
        key = (row.subject, row.session, row.rater, row.marker, row.candidate)
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
        if not row.candidate:
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
    said = sorted(
        (
            {'rater': r.rater, 'marker': r.marker, 'value': r.value, 'candidate': r.candidate}
            for r in rows
        ),
        key=lambda item: [str(value) for value in item.values()],
    )
    return Scan(
        name='ratings',
        path=str(path),
        uri=f'bids:{LINK}:{quote(path.name, errors="surrogateescape")}',
        digest=hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest(),
        content={'ratings': said},
    )
