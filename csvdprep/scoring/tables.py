"""Read and write tables: TSV as BIDS has it, 'n/a' for what is missing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from csvdprep.bids.tsv import read_tsv, tsv_text
from csvdprep.core.errors import InputError

__all__ = ['number', 'read', 'rounded', 'to_tsv']


def read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Read a table.

    Parameters
    ----------
    path : Path
        TSV; one that cannot be read counts as empty, as other tools' tables need not be clean.

    Returns
    -------
    columns : list of str
        Head of the table.
    rows : list of dict
        Texts by column. Cells that a short row lacks are missing.
    """
    try:
        table = read_tsv(path)
    except InputError:
        return [], []
    return list(table.columns), list(table.rows)


def number(text: str | None) -> float | None:
    """Take a cell for a number; None if it is none, or not finite.

    Examples
    --------
    >>> number('1.5'), number('n/a'), number('nan'), number(None)
    (1.5, None, None, None)
    """
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def rounded(value: Any) -> Any:
    """Cut a number to six significant digits; what is not finite is None.

    Examples
    --------
    >>> rounded(0.12345678), rounded(float('-inf')), rounded('text'), rounded(3)
    (0.123457, None, 'text', 3)
    """
    if not isinstance(value, float):
        return value
    return float(f'{value:.6g}') if math.isfinite(value) else None


def to_tsv(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    r"""Write a table.

    Examples
    --------
    >>> to_tsv(['a', 'b'], [{'a': 1.0, 'b': None}])
    'a\tb\n1\tn/a\n'
    """
    columns = list(columns)
    return tsv_text(
        [columns, *([rounded(row.get(name)) for name in columns] for row in rows)], digits=6
    )
