"""Tables of measures of several sites, as people have them: read, cleaned, and told about."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from csvdprep.bids.covariates import AGE, SEX, SITE, about_ages, age_of
from csvdprep.bids.spellings import (
    DATE,
    UNKNOWN,
    about_sites,
    look_alike,
    sex_levels,
    sex_of,
    sexes_of,
)
from csvdprep.bids.tsv import MISSING, Table, read_table
from csvdprep.core.errors import InputError, plain

#: Labels named in a message.
NAMED = 5
#: Name of the site where it does not matter.
ANY = 'any'
_COMMA = re.compile(r'[-+]?\d+,\d+')
#: Names that columns may have in place of the usual one; case and signs make no difference.
_USUAL = {
    'participant_id': ('participant_id', 'participant', 'subject', 'subject_id'),
    'session_id': ('session_id', 'session'),
    'age': AGE,
    'sex': SEX,
    **{name: (name,) for name in SITE},
}
#: Columns that are never measures.
_NOT = frozenset({'participant_id', 'session_id', 'site', 'scanner', 'qc', 'age', 'sex'})


@dataclass(frozen=True)
class Study:
    """Visits of several sites, and what is known of them.

    Parameters
    ----------
    who : list of (str, str)
        Participant and session of each row; 'n/a' where there is none.
    sites : ndarray of str, shape (n,)
        Site, 'n/a' where it is not known.
    covariates : dict of str to (ndarray, shape (n,))
        Numbers, NaN where there is none; or names of groups, 'n/a' where there is none.
    features : tuple of str
        Measures.
    values : ndarray, shape (n, p)
        NaN where there is none.
    notes : tuple of str
        What was odd, in sentences.
    """

    who: list[tuple[str, str]]
    sites: np.ndarray
    covariates: dict[str, np.ndarray]
    features: tuple[str, ...]
    values: np.ndarray
    notes: tuple[str, ...]

    @property
    def people(self) -> np.ndarray:
        """Participant of each row; a row without a label is somebody of its own."""
        return np.array([p if p != MISSING else f'row {k}' for k, (p, _) in enumerate(self.who)])

    def known(self) -> np.ndarray:
        """Tell of which rows site and covariates are known."""
        known = self.sites != MISSING
        for values in self.covariates.values():
            known &= np.isfinite(values) if values.dtype.kind == 'f' else values != MISSING
        return known


def read_study(
    path: Path,
    *,
    more: Path | None = None,
    site: str = '',
    name: str = '',
    keep: Sequence[str] = (),
    measures: Sequence[str] = (),
    only: str = '',
) -> Study:
    """Read measures of visits, with site and covariates.

    Parameters
    ----------
    path : Path
        Table of visits: TSV, or CSV with commas or semicolons.
    more : Path, optional
        Table of participants (or of visits), joined by ``participant_id`` (and ``session_id``).
    site : str, optional
        Column with the site; by default ``site``, ``site_id``, ``centre`` ...
    name : str, optional
        Site of all rows, in place of a column.
    keep : sequence of str, optional
        Covariates.
    measures : sequence of str, optional
        Columns to be taken; by default all that hold numbers, and are no covariates.
    only : str, optional
        ``COLUMN=VALUE``: rows that are taken, such as ``group=HC``; case makes no difference.

    Returns
    -------
    Study
        Rows in the order of the table; none is left out, unless ``only`` asks for it. What is no
        number is missing, and told.

    Raises
    ------
    InputError
        If a table cannot be read, a column is missing, or a visit has several rows.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / 'a.csv'
    >>> _ = file.write_text('participant_id,site,age,bpf\\n01,A ,71 y,0.8\\n02,A,66,none\\n')
    >>> study = read_study(file, keep=['age'])
    >>> study.sites, study.covariates['age'], study.values.T, study.notes
    (array(['A', 'A'], dtype='<U1'), array([71., 66.]), array([[0.8, nan]]), ())
    """
    table, notes = _read(path)
    rows = _joined(table, more, notes) if more else [dict(row) for row in table.rows]
    columns = list(dict.fromkeys(c for row in rows for c in row))
    if only:
        column, sign, value = only.partition('=')
        if not sign or column not in columns:
            raise InputError(
                f'"{only}" names no rows: write a column of the table, =, and a value.', file=path
            )
        rows = [row for row in rows if _cell(row, column).casefold() == value.casefold()]
    if not rows:
        raise InputError(
            f'The table has no rows{" with " + only if only else ""}.',
            file=path,
            remedy='' if only else 'Give a table with a head and one row of each visit.',
        )
    who = [(_label(row, 'participant_id'), _label(row, 'session_id')) for row in rows]
    twice = [w for w, count in Counter(who).items() if count > 1 and w[0] != MISSING]
    if twice:
        raise InputError(
            f'{_listed("_".join(p for p in w if p != MISSING) for w in twice)} '
            f'{"have" if len(twice) > 1 else "has"} several rows: nobody knows which is right.',
            file=path,
            field='participant_id',
            remedy='Keep one row of each visit; session_id tells visits of a participant apart.',
        )
    sites = _sites(rows, columns, site, name, path)
    notes += about_sites(sites) if not name else _others_here(rows, columns, name)
    covariates = {}
    for kept in keep:
        cells = [_cell(row, kept) for row in rows]
        if kept in SEX:
            cells, said = _sexes(kept, cells, path, more)
            notes += said
        covariates[kept] = _covariate(kept, cells, columns, path)
        if kept == 'age':
            notes += about_ages(cells)
    asked = list(measures) or [
        c for c in columns if c not in _NOT and c not in keep and c not in SITE and c != site
    ]
    if lost := [c for c in asked if c not in columns]:
        raise InputError(
            f'The table has no column {_listed(lost)}.',
            file=path,
            remedy=f'It has {_listed(columns)}.',
        )
    features, parts = [], []
    for column in asked:
        cells = [_cell(row, column) for row in rows]
        numbers = np.array([_number(cell) for cell in cells])
        odd = [c for c, v in zip(cells, numbers, strict=True) if np.isnan(v) and not _none(c)]
        if not measures and (not np.isfinite(numbers).any() or len(odd) > len(rows) / 2):
            if odd and all(_COMMA.fullmatch(cell) for cell in odd):
                notes.append(
                    f'{column} is not taken: {len(odd)} of {len(rows)} entries have a decimal '
                    f'comma ("{odd[0]}"). Write numbers with a decimal point.'
                )
            continue
        if odd and all(DATE.fullmatch(cell) for cell in odd):
            notes.append(f'{column} holds dates, which are not taken for numbers.')
        elif odd:
            told = _listed(f'"{plain(cell)}"' for cell in dict.fromkeys(odd))
            notes.append(
                f'{column}: {len(odd)} of {len(rows)} entries are no numbers and are not used '
                f'({told}). Write numbers with a decimal point, or n/a.'
            )
        features.append(column)
        parts.append(numbers)
    if not features:
        raise InputError(
            ' '.join(['The table has no column with numbers.', *notes]),
            file=path,
            remedy='Write numbers with a decimal point.',
        )
    return Study(who, sites, covariates, tuple(features), np.stack(parts, 1), tuple(notes))


def table_columns(path: Path) -> tuple[str, ...]:
    """Return the columns of a table of visits, under the names that :func:`read_study` uses."""
    return _read(path)[0].columns


def _read(path: Path) -> tuple[Table, list[str]]:
    """Read TSV, or CSV as spreadsheets write it; columns that are known have their usual name."""
    try:
        table = read_table(path)
    except FileNotFoundError as error:
        raise InputError('The file does not exist.', file=path) from error
    names = {}
    for usual, written in _USUAL.items():
        found = table.named(*written)
        if usual not in table.columns and found:
            names[found[0]] = usual
    notes = list(table.notes)
    if not names:
        return table, notes
    told = ', '.join(f'{plain(old)} for {new}' for old, new in names.items())
    notes.append(f'{Path(path).name}: columns are taken by their names: {told}.')
    rows = tuple({names.get(c, c): cell for c, cell in row.items()} for row in table.rows)
    return Table(tuple(names.get(c, c) for c in table.columns), rows), notes


def _joined(table: Table, more: Path, notes: list[str]) -> list[dict[str, str]]:
    """Add what another table says of the participant, or of the visit."""
    other, said = _read(more)
    notes += said
    if 'participant_id' not in table.columns or 'participant_id' not in other.columns:
        raise InputError(
            'Tables are joined by the column participant_id, which one of them has not.', file=more
        )
    by_visit = 'session_id' in table.columns and 'session_id' in other.columns
    keys = ('participant_id', 'session_id') if by_visit else ('participant_id',)
    found: dict[tuple[str, ...], Mapping[str, str]] = {}
    for row in other.rows:
        key = tuple(_label(row, k) for k in keys)
        if key in found and found[key] != row:
            raise InputError(
                f'{key[0]} has several rows that differ.', file=more, remedy='Keep one of them.'
            )
        found[key] = row
    out, lost = [], []
    for row in table.rows:
        key = tuple(_label(row, k) for k in keys)
        if key not in found:
            lost.append(key[0])
        out.append({**found.get(key, dict.fromkeys(other.columns, MISSING)), **row})
    if lost:
        notes.append(f'{Path(more).name} has no row for {_listed(dict.fromkeys(lost))}.')
    return out


def _label(row: Mapping[str, str], column: str) -> str:
    text = _cell(row, column)
    prefix = {'participant_id': 'sub-', 'session_id': 'ses-'}[column]
    return text if text == MISSING or text.startswith(prefix) else prefix + text


def _cell(row: Mapping[str, str], column: str) -> str:
    text = ' '.join(row.get(column, MISSING).split())
    return text or MISSING


def _none(text: str) -> bool:
    return text.casefold() in UNKNOWN


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return np.nan
    return value if abs(value) < np.inf else np.nan


def _sites(rows, columns, site: str, name: str, path: Path) -> np.ndarray:
    if name:
        return np.array([name] * len(rows))
    column = site or next((c for c in SITE if c in columns), '')
    if column not in columns:
        raise InputError(
            f'There is no column {column or "site"}.',
            file=path,
            field='site',
            remedy='Name the column that tells sites apart, or give the participants table.',
        )
    cells = [_cell(row, column) for row in rows]
    return np.array([MISSING if _none(cell) else cell for cell in cells])


def _others_here(rows, columns, name: str) -> list[str]:
    """Tell of a column that says that rows are of other sites than the one that was named."""
    column = next((c for c in SITE if c in columns), '')
    others = Counter(_cell(row, column) for row in rows) if column else Counter()
    others = {c: n for c, n in others.items() if not _none(c) and not look_alike((c, name))}
    others.pop(name, None)
    if name == ANY or not others:
        return []
    many, told = sum(others.values()), _listed(map(plain, others))
    said = f'{many} rows are of {told} by the column {column}; all are taken for rows of {name}.'
    return [said]


def _sexes(name: str, cells: list[str], path: Path, more: Path | None):
    """Put F and M in the place of codes that a sidecar describes; tell of the others."""
    levels: dict[str, str] = {}
    for table in filter(None, (path, more)):
        levels |= sex_levels(Path(table).with_suffix('.json'), [name])
    known = [cell for cell in cells if not _none(cell)]
    meaning, note = sexes_of(known, levels, Path(more or path).name)
    return [meaning.get(cell, cell) for cell in cells], [note] if note else []


def _covariate(name: str, cells: list[str], columns, path: Path) -> np.ndarray:
    if name not in columns:
        raise InputError(
            f'There is no column {name}.', file=path, field=name, remedy='Leave it out, or add it.'
        )
    if name == 'age':
        return np.array([np.nan if (v := age_of(c)[0]) is None else v for c in cells])
    if name in SEX:
        return np.array([MISSING if _none(c) else sex_of(c) for c in cells])
    numbers = np.array([_number(cell) for cell in cells])
    if all(np.isfinite(v) or _none(c) for v, c in zip(numbers, cells, strict=True)):
        return numbers
    return np.array([MISSING if _none(cell) else cell for cell in cells])


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    rest = f' and {len(names) - NAMED} more' if len(names) > NAMED else ''
    return ', '.join(names[:NAMED]) + rest
