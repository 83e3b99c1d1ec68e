"""Tables of measures of several sites, as people have them: read, cleaned, and told about."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from csvdprep.bids.covariates import SEX, SITE, UNKNOWN_AGE, about_ages, age_of
from csvdprep.bids.tsv import MISSING, Table, read_table
from csvdprep.core.errors import InputError, plain

#: Labels named in a message.
NAMED = 5
_SEXES = {'m': 'M', 'male': 'M', 'man': 'M', 'f': 'F', 'female': 'F', 'woman': 'F', 'w': 'F'}
_DATE = re.compile(
    r'\d{4}[-/.]\d{1,2}[-/.]\d{1,2}.*|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|\d{8}'
    r'|\d{1,2}[- ][A-Za-z]{3,9}[- ]\d{2,4}|[A-Za-z]{3,9} \d{1,2},? \d{4}'
)
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
        raise InputError(f'The table has no rows{" with " + only if only else ""}.', file=path)
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
    covariates = {}
    for kept in keep:
        covariates[kept] = _covariate(kept, [_cell(row, kept) for row in rows], columns, path)
        if kept == 'age':
            notes += about_ages([_cell(row, 'age') for row in rows])
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
            continue
        if odd and all(_DATE.fullmatch(cell) for cell in odd):
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
        raise InputError('The table has no column with numbers.', file=path)
    return Study(who, sites, covariates, tuple(features), np.stack(parts, 1), tuple(notes))


def _read(path: Path) -> tuple[Table, list[str]]:
    """Read TSV, or CSV as spreadsheets write it."""
    table = read_table(path)
    return table, list(table.notes)


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
    return text.casefold() in UNKNOWN_AGE


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


def _covariate(name: str, cells: list[str], columns, path: Path) -> np.ndarray:
    if name not in columns:
        raise InputError(
            f'There is no column {name}.', file=path, field=name, remedy='Leave it out, or add it.'
        )
    if name == 'age':
        return np.array([np.nan if (v := age_of(c)[0]) is None else v for c in cells])
    if name in SEX:
        return np.array([MISSING if _none(c) else _SEXES.get(c.casefold(), c) for c in cells])
    numbers = np.array([_number(cell) for cell in cells])
    if all(np.isfinite(v) or _none(c) for v, c in zip(numbers, cells, strict=True)):
        return numbers
    return np.array([MISSING if _none(cell) else cell for cell in cells])


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    rest = f' and {len(names) - NAMED} more' if len(names) > NAMED else ''
    return ', '.join(names[:NAMED]) + rest
