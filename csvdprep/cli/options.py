"""``csvdprep options``: every option of every step, with type, default, unit and meaning."""

from __future__ import annotations

import argparse
import textwrap

from csvdprep.core.errors import UsageError
from csvdprep.core.options import Row, options_table, with_options
from csvdprep.core.words import choices

DESCRIPTION = """\
List the options of the steps. Set them in a file (--config-file, one TOML table per step) or on
the command line (--set wmh.runs=40).
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = DESCRIPTION
    parser.add_argument('step', nargs='*', help='steps whose options are listed (default: all)')
    parser.add_argument('--markdown', action='store_true', help='print a Markdown table')


def run(args: argparse.Namespace) -> int:
    """Print the options."""
    from csvdprep.graph.discover import discover

    rooms = {room.name: room for room in discover(level='')}
    if unknown := sorted(set(args.step) - set(rooms)):
        raise UsageError(
            f'There is no step named {", ".join(unknown)}.',
            remedy=choices(
                unknown[0], with_options(rooms.values()), 'Steps with options are', rooms
            ),
        )
    rows = options_table(rooms[name] for name in (args.step or rooms))
    print(markdown(rows) if args.markdown else plain_table(rows))
    return 0


def plain_table(rows: list[Row]) -> str:
    """Write a table that is read in a terminal."""
    lines = []
    for row in rows:
        unit = f' {row.unit}' if row.unit else ''
        lines.append(f'{row.option} = {row.default}{unit}  [{row.kind}]')
        lines += textwrap.wrap(row.meaning, 92, initial_indent='    ', subsequent_indent='    ')
    return '\n'.join(lines)


def markdown(rows: list[Row]) -> str:
    """Write a table in Markdown.

    Examples
    --------
    >>> print(markdown([Row('wmh.runs', 'whole number', '20', '', 'Jittered runs.')]))
    | option | values | default | unit | meaning |
    |---|---|---|---|---|
    | `wmh.runs` | whole number | 20 |  | Jittered runs. |
    """
    lines = ['| option | values | default | unit | meaning |', '|---|---|---|---|---|']
    lines += [f'| `{r.option}` | {r.kind} | {r.default} | {r.unit} | {r.meaning} |' for r in rows]
    return '\n'.join(lines)
