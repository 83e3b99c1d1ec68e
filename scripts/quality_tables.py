"""Write the tables of gates and checks into ``docs/quality.md`` from their declarations."""

from __future__ import annotations

import re
from pathlib import Path

from csvdprep.core.gates import gates_table, groups_table
from csvdprep.core.plausibility import checks_table

PAGE = Path(__file__).parents[1] / 'docs' / 'quality.md'


def main() -> None:
    """Replace what stands between the markers of each table."""
    text = PAGE.read_text(encoding='utf-8')
    for name, table in (
        ('gates', gates_table()),
        ('groups', groups_table()),
        ('checks', checks_table()),
    ):
        pattern = rf'(<!-- {name} -->\n).*?(\n<!-- end of {name} -->)'
        text, count = re.subn(pattern, lambda m, t=table: m[1] + t + m[2], text, flags=re.S)
        if count != 1:
            raise SystemExit(f'{PAGE} has no place for the table of {name}.')
    PAGE.write_text(text, encoding='utf-8')


if __name__ == '__main__':
    main()
