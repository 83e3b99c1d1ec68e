"""Lists of lesions of a visit, as the desk shows them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csvdprep.bids.tsv import MISSING, read_tsv
from csvdprep.core.errors import CsvdprepError
from csvdprep.core.plan import Visit
from csvdprep.core.ratings import ADD, KINDS, LISTS

__all__ = ['LABELS', 'Listed', 'find_lists']

#: Lists by the value of ``label`` in the names of their files.
LABELS: Mapping[str, str] = {
    'cmb_lesions': 'CMB',
    'lacune_lesions': 'lacune',
    'infarct_lesions': 'infarct',
    'pvs_lesions': 'PVS',
    'wmh_lesions': 'WMH',
}
#: What their rows are.
TITLES: Mapping[str, str] = {
    'cmb_lesions': 'Microbleeds',
    'lacune_lesions': 'Lacunes',
    'infarct_lesions': 'Recent infarcts',
    'pvs_lesions': 'Perivascular spaces',
    'wmh_lesions': 'White matter hyperintensities',
}
#: Columns of which one tells how probable a lesion is, the first before the second.
_SURE = ('probability', 'mean_probability')
#: Columns that say where a lesion lies.
_WHERE = ('region', 'side', 'lobe', 'zone')
#: What a reader who is not to know the machine's opinion must not see.
_OPINION = re.compile(r'probab|status|kind|reasons|confidence|score')
#: Most rows of a list that are shown; a list of hyperintensities may have hundreds.
MOST = 1000


@dataclass(frozen=True)
class Listed:
    """A list of lesions.

    Attributes
    ----------
    name : str
        As in the column ``marker`` of the table of ratings.
    file : Path
        Table.
    version : str
        First digits of the SHA-256 of the table.
    rows : tuple of mapping
        ``index, where, position, mni, probability, status`` and the cells of the table.
    """

    name: str
    file: Path
    version: str
    rows: tuple[Mapping[str, Any], ...]

    def shown(self, *, blind: bool) -> dict[str, Any]:
        """Return what the page needs; without the machine's opinion where a reader is blinded."""
        rows = [dict(row) for row in self.rows]
        if blind:
            for row in rows:
                row['cells'] = {k: v for k, v in row['cells'].items() if not _OPINION.search(k)}
                row['probability'], row['status'] = None, ''
            # Their order would tell which are probable.
            rows.sort(key=lambda row: (row['position'] or [0, 0, 0])[::-1])
        else:
            rows.sort(key=lambda row: -(row['probability'] or 0))
        return {
            'name': self.name,
            'title': TITLES[self.name],
            'label': LABELS[self.name],
            'rows': rows[:MOST],
            'total': len(rows),
            'reviewed': self.name in LISTS,
            'kinds': [
                {'name': kind.name, 'title': kind.title, 'counts': kind.counts}
                for kind in KINDS.get(self.name, ())
            ],
            'add': ADD,
            'columns': _columns(self.file),
        }


def find_lists(output_dir: Path, visit: Visit) -> list[Listed]:
    """Find the lists of a visit, those that can be reviewed first."""
    found = []
    for name, label in LABELS.items():
        ends = f'_label-{label}_lesions.tsv'
        files = sorted((output_dir / visit.folder).glob(f'*/*{ends}'))
        if files:
            listed = _read(name, files[0])
            if listed is not None:
                found.append(listed)
    return found


def _read(name: str, file: Path) -> Listed | None:
    try:
        data = file.read_bytes()
        rows = read_tsv(file).rows
    except (OSError, CsvdprepError):
        return None
    return Listed(
        name,
        file,
        hashlib.sha256(data).hexdigest()[:12],
        tuple(_row(row) for row in rows if row.get('index', '').isdecimal()),
    )


def _row(cells: Mapping[str, str]) -> dict[str, Any]:
    where = [cells[c] for c in _WHERE if cells.get(c, MISSING) not in ('', MISSING)]
    # 'left' before 'left frontal lobe' says it twice.
    where = [text for at, text in enumerate(where) if not any(text in o for o in where[at + 1 :])]
    sure = next((_number(cells.get(name)) for name in _SURE if cells.get(name)), None)
    return {
        'index': int(cells['index']),
        'where': ', '.join(where),
        'position': _point(cells, '{}'),
        'place': ' '.join(cells.get(axis, '') for axis in 'xyz'),
        'mni': _point(cells, '{}_mni'),
        'probability': sure,
        'status': '' if cells.get('status', MISSING) == MISSING else cells['status'],
        'cells': {k: v for k, v in cells.items() if v not in ('', MISSING)},
    }


def _point(cells: Mapping[str, str], form: str) -> list[float] | None:
    found = [_number(cells.get(form.format(axis))) for axis in 'xyz']
    return None if None in found else found


def _number(text: str | None) -> float | None:
    try:
        value = float(text or '')
    except ValueError:
        return None
    return value if abs(value) < 1e9 else None


def _columns(file: Path) -> dict[str, str]:
    """Return what each column means, and its unit."""
    try:
        told = json.loads(file.with_suffix('.json').read_text('utf-8'))
    except (OSError, ValueError):
        return {}
    return {
        name: str(facts.get('Description', ''))
        + (f' ({facts["Units"]})' if facts.get('Units') else '')
        for name, facts in (told.items() if isinstance(told, dict) else ())
        if isinstance(facts, dict)
    }
