"""Tables as BIDS has them: tab-separated, literal, 'n/a' for what is missing.

This is the one reader and the one writer of them. A quotation mark has no meaning in TSV: readers
of CSV take one at the beginning of a cell for the begin of a text that may hold tabs and line
ends, and lose all rows up to the next one.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from numbers import Integral, Real
from operator import itemgetter
from pathlib import Path
from typing import Any

from csvdprep.bids.files import atomic_write, read_any_text, unreadable
from csvdprep.core.errors import InputError

MISSING = 'n/a'
#: Rows and columns named in a message before the rest is counted.
NAMED = 5
#: What would end a cell or a row: for TSV, for `str.splitlines`, or for a spreadsheet.
_ENDS = re.compile('\\s*[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\\s*')
#: Cells that begin or end with blanks, or are empty.
_BLANKS = ('\t ', ' \t', '\n ', ' \n', '\t\t', '\t\n', '\n\t')
_SAVE = 'save the table as tab-separated text in UTF-8'


@dataclass(frozen=True)
class Table:
    """A table that was read.

    Parameters
    ----------
    columns : tuple of str
        Head of the table, without blanks around names.
    rows : tuple of dict
        Texts by column, without blanks around them.
    notes : tuple of str
        What is odd about the file, in sentences that name it and what helps.
    """

    columns: tuple[str, ...] = ()
    rows: tuple[dict[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def named(self, *names: str) -> list[str]:
        """Return the columns that have one of some names, in the order of these.

        Upper case, and whatever stands for an underscore, make no difference.

        Examples
        --------
        >>> Table(('Site ID', 'age', 'AGE')).named('age', 'site_id')
        ['age', 'AGE', 'Site ID']

        """
        return [
            column
            for name in names
            for column in self.columns
            if re.sub(r'[^a-z0-9]+', '_', column.lower()).strip('_') == name
        ]


def read_tsv(path: str | Path) -> Table:
    """Read a table.

    Parameters
    ----------
    path : path-like
        TSV in UTF-8, as BIDS asks, or in UTF-16 or Windows-1252, as spreadsheets may write it.

    Returns
    -------
    Table
        Rows by the rules of `parse_tsv`.

    Raises
    ------
    FileNotFoundError
        If there is no such file; a link whose content is missing is one.
    InputError
        If it cannot be read, or its columns are not separated by tabs.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / 'participants.tsv'
    >>> _ = file.write_bytes('participant_id\\tsite\\r\\nsub-01\\tBesançon'.encode('cp1252'))
    >>> table = read_tsv(file)
    >>> table.rows
    ({'participant_id': 'sub-01', 'site': 'Besançon'},)
    >>> print(*table.notes)  # doctest: +NORMALIZE_WHITESPACE
    participants.tsv is not UTF-8 and was read as Windows-1252; accented letters may be wrong:
    save the table as tab-separated text in UTF-8.

    """
    path = Path(path)
    try:
        text, encoding = read_any_text(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error
    return _told(path, encoding, text)


def _told(path: Path, encoding: str, text: str) -> Table:
    """Take a table apart; what is odd about its file is told, or refused."""
    if '\0' in text:
        raise InputError(
            'This is no table of text.',
            file=path,
            remedy=f'{_SAVE[0].upper()}{_SAVE[1:]}; of a spreadsheet, export it.',
        )
    try:
        table = parse_tsv(text, path.name)
    except InputError as error:
        raise InputError(
            error.message, file=path, field=error.field, remedy=error.remedy
        ) from error
    told = {
        'UTF-8': '',
        'UTF-16': f'{path.name} is in UTF-16, not in UTF-8: {_SAVE}.',
        'Windows-1252': f'{path.name} is not UTF-8 and was read as Windows-1252; accented '
        f'letters may be wrong: {_SAVE}.',
    }[encoding]
    return Table(table.columns, table.rows, (*([told] if told else ()), *table.notes))


def parse_tsv(text: str, name: str = 'The table') -> Table:
    r"""Take a table apart, literally.

    Parameters
    ----------
    text : str
        Lines that end in ``\n``.
    name : str, optional
        What notes call the table.

    Returns
    -------
    Table
        Blank lines, and empty cells at the end of a line, are nothing. Cells that a short row
        lacks are 'n/a'. A row with too many cells is left out, since nobody knows which of them
        belongs to which column; of two columns with one name the first counts. Quotation marks
        are taken off only where the whole head is in them.

    Raises
    ------
    InputError
        If there is no tab in the head, but another separator.

    Examples
    --------
    >>> table = parse_tsv('a\tb\n"1\t2\n\n3\n4\t5\t6\n')
    >>> table.rows
    ({'a': '"1', 'b': '2'}, {'a': '3', 'b': 'n/a'})
    >>> table.notes
    ('The table has more cells than columns in line 5; the extra cells are ignored.',)

    """
    # The mark of UTF-8 may stand amid a text, too, where files were joined.
    lines = [
        (number, _cells(line))
        for number, line in enumerate(text.replace('\ufeff', '').split('\n'), start=1)
        if line.strip()
    ]
    if not lines:
        return Table()
    # Where all names of columns are quoted, an exporter quoted the cells; else a mark is a mark.
    if quoted := all(map(_is_quoted, filter(None, lines[0][1]))):
        lines = [
            (number, [cell[1:-1] if _is_quoted(cell) else cell for cell in cells])
            for number, cells in lines
        ]
    head = lines[0][1]
    _check_separator([cells for _, cells in lines[:2]])
    columns: dict[str, int] = {}
    for at, column in enumerate(head):
        columns.setdefault(column, at)
    rows, long = [], []
    for number, cells in lines[1:]:
        if len(cells) > len(head):
            long.append(number)
            continue
        cells += [MISSING] * (len(head) - len(cells))
        rows.append({column: cells[at] for column, at in columns.items()})
    notes = []
    if twice := sorted({column for column in head if column and head.count(column) > 1}):
        notes.append(
            f'{name} has several columns {_listed(twice)}; the first is used. Remove or '
            'rename the others.'
        )
    if long:
        notes.append(
            f'{name} has more cells than columns in line {_listed(map(str, long))}; the '
            'extra cells are ignored.'
        )
    if quoted:
        notes.append(
            f'{name} has column names in quotation marks, which TSV does not use; they '
            'were removed. Save the table without them.'
        )
    return Table(tuple(columns), tuple(rows), tuple(notes))


def tsv_text(rows: Iterable[Iterable[Any]], *, digits: int | None = None) -> str:
    r"""Write a table as text.

    Parameters
    ----------
    rows : iterable of iterables
        Cells, the head first.
    digits : int, optional
        Significant digits of numbers with a fraction; without, as many as they have.

    Returns
    -------
    str
        Lines that end in ``\n``.

    Examples
    --------
    >>> tsv_text([('a', 'b'), (1 / 3, None), (float('nan'), 'x\ty')], digits=3)
    'a\tb\n0.333\tn/a\nnan\tx y\n'

    """
    return ''.join('\t'.join(tsv_cell(cell, digits=digits) for cell in row) + '\n' for row in rows)


def write_tsv(
    path: str | Path, rows: Iterable[Iterable[Any]], *, digits: int | None = None
) -> None:
    """Write a table to a file, in UTF-8 and whole; cells as for `tsv_text`."""
    atomic_write(path, tsv_text(rows, digits=digits))


def tsv_cell(value: Any, *, digits: int | None = None) -> str:
    r"""Write a value so that it stays one cell; 'n/a' if there is none.

    Examples
    --------
    >>> [tsv_cell(value) for value in (None, '', ' two\r\nlines ', 3, True)]
    ['n/a', 'n/a', 'two lines', '3', 'True']

    """
    if value is None:
        return MISSING
    if digits is not None and isinstance(value, Real) and not isinstance(value, Integral):
        return f'{value:.{digits}g}'
    text = str(value)
    # Nothing that ends a cell is printable: most cells need no further look.
    return (text if text.isprintable() else _ENDS.sub(' ', text)).strip() or MISSING


def read_table(path: str | Path) -> Table:
    r"""Read TSV, or CSV as spreadsheets write it (the ending of the file decides).

    Parameters
    ----------
    path : path-like
        The file. Of CSV, the separator is the commonest of comma, semicolon and tab in the head.

    Returns
    -------
    Table

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / 'a.csv'
    >>> _ = file.write_text('who;what\n1;"two\nlines"\n')
    >>> read_table(file).rows
    ({'who': '1', 'what': 'two lines'},)
    """
    path = Path(path)
    if path.suffix.lower() != '.csv':
        return read_tsv(path)
    try:
        text, encoding = read_any_text(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error
    text = text.replace('\ufeff', '')
    head = text.split('\n', 1)[0]
    rows = csv.reader(io.StringIO(text), delimiter=max(',;\t', key=head.count))
    try:
        text = text if '\0' in text else tsv_text(row for row in rows if any(row))
    except csv.Error as error:
        raise InputError(
            f'The table cannot be taken apart: {error}.',
            file=path,
            remedy=f'{_SAVE[0].upper()}{_SAVE[1:]}.',
        ) from error
    return _told(path, encoding, text)


def join_line(cells: Iterable[str]) -> str:
    r"""Return a line, without its end, of cells that `tsv_cell` made.

    Examples
    --------
    >>> join_line(['a', 'b'])
    'a\tb'
    """
    return '\t'.join(cells)


def split_line(line: str) -> list[str]:
    r"""Return the cells of a line that csvdprep wrote.

    Examples
    --------
    >>> split_line('a\tb')
    ['a', 'b']
    """
    return line.split('\t')


def plain_columns(path: str | Path, names: Iterable[str]) -> Iterator[tuple[str, ...]] | None:
    r"""Take columns out of a table as csvdprep writes it, without a further look at its cells.

    Parameters
    ----------
    path : path-like
        The file.
    names : iterable of str
        Two columns or more.

    Returns
    -------
    iterator of tuple of str, or None
        The cells of these columns, row by row; None where the file is missing or not as csvdprep
        writes it, so that :func:`read_tsv` has to look at it.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / 'a.tsv'
    >>> write_tsv(file, [('a', 'b', 'c'), (1, 2, None)])
    >>> list(plain_columns(file, ['c', 'a']))
    [('n/a', '1')]
    """
    try:
        text = Path(path).read_text(encoding='utf-8')
    except (OSError, ValueError):
        return None
    head, _, rest = text.partition('\n')
    found, names = split_line(head), list(names)
    plain = text.replace('\t', '').replace('\n', '').isprintable()
    if not (plain and rest.endswith('\n') and set(names) <= set(found) and '"' not in head):
        return None
    if any(pair in text for pair in _BLANKS):
        return None
    rows = [split_line(line) for line in rest[:-1].split('\n')]
    if any(len(row) != len(found) for row in rows):
        return None
    return map(itemgetter(*map(found.index, names)), rows)


def stream_tsv(path: str | Path) -> Iterator[list[str]]:
    """Yield the cells of each line of a table that csvdprep wrote, the header first.

    Only one line is held in memory. Tables from elsewhere are read by :func:`read_tsv`.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / 'a.tsv'
    >>> _ = file.write_text('a\\tb\\n1\\tn/a\\n')
    >>> list(stream_tsv(file))
    [['a', 'b'], ['1', 'n/a']]
    """
    with Path(path).open(encoding='utf-8', newline='\n') as lines:
        for line in lines:
            yield line.rstrip('\n').split('\t')


def _cells(line: str) -> list[str]:
    """Take a line apart; empty cells at its end are none."""
    cells = [cell.strip() for cell in line.split('\t')]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _is_quoted(cell: str) -> bool:
    return len(cell) > 2 and cell[0] == cell[-1] == '"'


def _check_separator(lines: list[list[str]]) -> None:
    """Refuse a table whose first lines are one cell, but would be several by another separator."""
    if max(map(len, lines)) > 1:
        return
    for separator, called in (
        (',', 'commas'),
        (';', 'semicolons'),
        ('|', 'bars'),
        (' ', 'blanks'),
    ):
        if all(separator in cell for (cell,) in lines):
            raise InputError(
                f'The columns are separated by {called}, not by tabs.',
                field='first line',
                remedy=f'{_SAVE[0].upper()}{_SAVE[1:]}.',
            )


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    rest = f' and {len(names) - NAMED} more' if len(names) > NAMED else ''
    return ', '.join(names[:NAMED]) + rest
