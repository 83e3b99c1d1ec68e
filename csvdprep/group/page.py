"""The page of a group: how measures are distributed, what is odd, what failed and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from csvdprep.bids.files import atomic_write
from csvdprep.graph.discover import declared, discover
from csvdprep.group.plots import draw
from csvdprep.report import pages
from csvdprep.report.content import unit_text

#: Most rows of a list on the page, and of the list of visits; the tables have all of them.
ROWS, MOST = 200, 2000
#: Tables that the page links.
TABLES = ('core', 'measures', 'long', 'qc', 'status')
#: Flags, the worst first.
FLAGS = ('fail', 'warn', 'na', 'ok')


@dataclass(frozen=True)
class Section:
    """What the page shows of one room of the dataset.

    Parameters
    ----------
    name, title : str
        Of the room.
    state : str
        What became of it: 'done', 'cached', 'failed', 'not run', 'skipped'.
    why : str
        Reason of what was not done.
    decisions : tuple of str
        What was settled from the tables.
    figures : tuple of (str, str, str)
        Title, caption and picture (data URI) of each.
    lists : tuple of (Derivative, mapping)
        Tables whose rows are shown.
    files : tuple of (str, str)
        Name and description of each file.
    values : tuple of mapping
        Its rows of ``group_values.tsv``.
    """

    name: str
    title: str
    state: str
    why: str = ''
    decisions: tuple[str, ...] = ()
    figures: tuple[tuple[str, str, str], ...] = ()
    lists: tuple[tuple[Any, Mapping[str, Any]], ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    values: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True)
class Shown:
    """What the page shows of all rooms of the dataset."""

    sections: tuple[Section, ...] = ()
    methods: str = ''
    interrupted: bool = False
    failed: bool = False
    notes: tuple[str, ...] = ()


def write_page(gathered, output_dir: Path, shown: Shown) -> Path:
    """Write ``group.html``; it shows pictures of the visits from their folders.

    Parameters
    ----------
    gathered : csvdprep.group.run.Gathered
        Arrays and counts of all visits.
    output_dir : Path
        Root of the derivatives.
    shown : Shown
        What the rooms of the dataset left.

    Returns
    -------
    Path
        The page. All text of files is escaped.
    """
    groups = {'site': gathered.sites, 'scanner': gathered.scanners}
    groups = {
        kind: np.array(names, dtype=object)
        for kind, names in groups.items()
        if set(names) - {'n/a'}
    }
    groups = groups or {'all': np.array(['all'] * len(gathered.visits), dtype=object)}
    ages = np.array(gathered.ages, float)
    titles = {room.name: room.title for room in discover()}
    rooms = {m.name: room.name for room in discover() for m in room.measures}
    scans = {item.name: item.title for item in declared().inputs}
    panels = []
    # What judges quality comes after what was measured.
    for measure in sorted(gathered.measures, key=lambda m: m.name.startswith('qc_')):
        values = np.array(gathered.values[measure.name], float)
        if not np.isfinite(values).any():
            continue
        unit = '' if measure.units == '1' else f', {measure.units}'
        found = values[np.isfinite(values)]
        few = found.size < 20
        low, high = np.quantile(found, (0, 1) if few else (0.05, 0.95))
        panels.append(
            {
                'name': measure.name,
                'title': measure.heading,
                'primary': measure.primary,
                'about': measure.description,
                'n': found.size,
                'median': _short(np.median(found)),
                'low': _short(low),
                'high': _short(high),
                'range': 'range' if few else '5 to 95 %',
                'units': measure.units,
                'flags': gathered.flags[measure.name],
                'inputs': _inputs(gathered.origins.get(rooms[measure.name]), scans),
                'svg': Markup(draw(values, groups, ages, f'{measure.name}{unit}')),
            }
        )
    text = (
        environment()
        .get_template('group.html')
        .render(
            badges=[
                (flag, words, count)
                for (flag, words), count in sorted(
                    Counter(row['badge'] for row in gathered.triage).items(),
                    key=lambda item: (FLAGS.index(item[0][0]), item[0][1]),
                )
            ],
            columns=gathered.columns(),
            triage=sorted(gathered.triage, key=lambda row: FLAGS.index(row['badge'][0]))[:MOST],
            most=MOST,
            total=len(gathered.visits),
            files=tuple(f'group_{name}.tsv' for name in TABLES),
            panels=panels,
            versions=sorted(gathered.versions.items()),
            notes=[*gathered.notes, *shown.notes],
            sections=shown.sections,
            methods=Markup(shown.methods),
            href=href,
            unit_text=unit_text,
            reasons=[
                {
                    'kind': kind,
                    'why': why,
                    'count': len(set(labels)),
                    'visits': [(label, href(label)) for label in sorted(set(labels))[:20]],
                }
                for (kind, why), labels in sorted(
                    gathered.reasons.items(), key=lambda item: -len(item[1])
                )[:ROWS]
            ],
            missing=[
                {'title': titles.get(room, room), 'why': why, 'count': count}
                for (room, why), count in gathered.missing.most_common(ROWS)
            ],
            flags=[
                {'name': name, **{f: counts[f] for f in ('ok', 'warn', 'fail')}}
                for name, counts in gathered.flags.items()
                if counts['warn'] + counts['fail']
            ],
        )
    )
    page = Path(output_dir) / 'group.html'
    atomic_write(page, text)
    return page


def environment() -> jinja2.Environment:
    """Return the templates of this package; what they are given is escaped."""
    return pages.environment(Path(__file__).parent / 'templates')


def href(label: str) -> str:
    """Return the report of a visit, relative to the output folder."""
    return f'{label}.html'


def _inputs(counts, titles: Mapping[str, str]) -> str:
    if not counts:
        return 'n/a'
    parts = [
        f'{" + ".join(titles.get(name, name) for name in scans) or "none"} ({count})'
        for scans, count in counts.most_common(4)
    ]
    return ', '.join(parts)


def _short(value: float) -> str:
    return f'{value:.4g}'
