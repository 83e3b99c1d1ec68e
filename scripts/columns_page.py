"""Write ``docs/columns.md``, every column of the tables, from the declarations of the rooms."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from csvdprep.core.room import Measure, Room
from csvdprep.graph.discover import discover
from csvdprep.group.tables import COVARIATES, LONG, STATUS
from csvdprep.report.references import bibliography

PAGE = Path(__file__).parents[1] / 'docs' / 'columns.md'
_HEAD = """# Columns of the tables

This page is written by `python scripts/columns_page.py` from the declarations of the steps. The
JSON file beside each table says the same: `Description`, `Units`, `Levels`, `Format` (`number` or
`string`).

| Table | One row is | Columns |
|---|---|---|
| `sub-*_desc-csvd_measures.tsv` | a visit | all measures |
| `sub-*_desc-csvdlong_measures.tsv` | a measure of a visit | value, interval, flag, reason |
| `group_core.tsv` | a visit | covariates, verdict, the primary measures |
| `group_measures.tsv` | a visit | covariates, verdict, all measures |
| `group_long.tsv` | a measure of a visit, if its step ran | covariates, value, flag, reason |
| `group_qc.tsv` | a visit | covariates, verdict, the flag of each measure |
| `group_status.tsv` | a visit | covariates, what ran, failed and did not run |

Columns of numbers hold numbers or `n/a`; texts are not quoted. So that a site named `"B"`
keeps its name, read them in Python by
`pandas.read_csv(file, sep='\\t', na_values='n/a', keep_default_na=False, quoting=3)`, in R by
`read.delim(file, na.strings = 'n/a', quote = '')`.
The plausible range is the one beyond which a value is flagged; it is not a reference range of
healthy people. Measures marked with a star are the primary ones; those with `low, high` have the
columns `<name>_low` and `<name>_high` in the tables of the group.
"""


def page() -> str:
    """Return the text of the page."""
    rooms = sorted(discover(), key=lambda room: (not room.marker, room.order))
    parts = [_HEAD, '## The visit\n', _table(_described(COVARIATES))]
    parts += ['## `group_long.tsv`\n', _table(_described(LONG))]
    told = {name: {'Description': text} for name, text in STATUS.items()}
    parts += ['## `group_status.tsv`\n', _table(_described(told))]
    for room in rooms:
        if room.measures:
            title = room.title.replace('{hub}', 'reference')
            head = '| Name | Meaning | Unit | Plausible | Source |\n|---|---|---|---|---|\n'
            lines = '\n'.join(_line(measure, room) for measure in room.measures)
            parts += [f'## {title}\n', f'{head}{lines}\n']
    for room in rooms:
        for made in room.makes.values():
            if made.columns and made.saved:
                name = f'{made.label or made.desc}_{made.suffix}'.replace('{hub}', 'T1w')
                rows = {column.name: column.described() for column in made.columns}
                parts += [f'## `*{name}.tsv`\n', f'{_cell(made.description)}\n']
                parts.append(_table(_described(rows)))
    return '\n'.join(parts)


def _line(measure: Measure, room: Room) -> str:
    entry = bibliography(room).get(measure.reference or '')
    source = f'[{entry.key}]({entry.url})' if entry and entry.url else ''
    name = f'`{measure.name}`' + (' \N{BLACK STAR}' if measure.primary else '')
    levels = ', '.join(f'{key}: {word}' for key, word in (measure.levels or {}).items())
    meaning = measure.description + (f' ({levels})' if levels else '')
    units = measure.units + (' (low, high)' if measure.interval else '')
    cells = (name, meaning, units, str(measure.limits or ''), source)
    return f'| {" | ".join(map(_cell, cells))} |'


def _described(columns) -> Iterable[tuple[str, str, str]]:
    for name, facts in columns.items():
        levels = ', '.join(f'{key}: {word}' for key, word in (facts.get('Levels') or {}).items())
        yield (
            name,
            facts['Description'] + (f' ({levels})' if levels else ''),
            facts.get('Units', ''),
        )


def _table(rows: Iterable[tuple[str, str, str]]) -> str:
    head = '| Name | Meaning | Unit |\n|---|---|---|\n'
    return head + '\n'.join(f'| `{a}` | {_cell(b)} | {_cell(c)} |' for a, b, c in rows) + '\n'


def _cell(text: str) -> str:
    return ' '.join(text.replace('{hub}', 'reference').replace('|', '\\|').split())


if __name__ == '__main__':
    PAGE.write_text(page(), encoding='utf-8')
