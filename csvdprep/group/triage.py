"""Which visits need a look, and why: one row a visit of the group's page."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from csvdprep.bids import covariates
from csvdprep.bids.tsv import MISSING
from csvdprep.core.plan import Visit
from csvdprep.core.ratings import DECIDED
from csvdprep.core.room import Figure, Measure
from csvdprep.group.tables import public
from csvdprep.group.visits import STATES, Entry
from csvdprep.report.causes import Flagged, by_cause
from csvdprep.report.content import number, standing, unit_text


def triage_row(
    entry: Entry,
    rows: Mapping[str, Mapping[str, str]],
    judged: Iterable[Measure],
    first: Iterable[Measure],
    pictures: Sequence[Figure],
    output_dir: Path,
) -> dict[str, Any]:
    """Gather what the list of visits says of one.

    Parameters
    ----------
    entry : Entry
        The visit and its status.
    rows : mapping
        Its rows of the tables, by table: ``measures`` and ``qc``.
    judged : iterable of Measure
        Measures whose flags count.
    first : iterable of Measure
        Measures whose values may be shown.
    pictures : sequence of Figure
        Figures that show the disease; the first that is there is the thumbnail.
    output_dir : Path
        Root of the derivatives.

    Returns
    -------
    dict
        ``visit, href, badge, flags, why, values, thumb``: with the same words as the report.
    """
    status = entry.status
    verdict = status.verdict if status else 'n/a'
    badge = standing(entry.state, verdict, refused=bool(status and status.refused))
    flagged = [m for m in judged if rows['qc'].get(m.name) in ('warn', 'fail')]
    why = [f'{f.room}: {f}' for f in status.failures] if status else []
    why += [words for _, words in status.remarks] if status else []
    told = ' '.join(why)
    reasons = _reasons(status.warnings) if status else {}
    found, resting = [], []
    for measure in flagged:
        unit = unit_text(measure.units, before=' ')
        value = f'{measure.heading} {shown(rows["measures"].get(measure.name))}{unit}'
        if reason := reasons.get(measure.name, ''):
            found.append(Flagged(measure.name, value, reason))
        else:
            resting.append(value)
    why += [f'{"; ".join(values)}: {cause}' for cause, values in by_cause(found, told)]
    # Why is said by the remarks, or by the value that they rest on.
    why += [f'flagged with what they rest on: {"; ".join(resting)}'] if resting else []
    why += [f'{item[0]} could not be used' for item in status.refused] if status else []
    if (decided := rows['measures'].get(DECIDED) or MISSING) != MISSING:
        why.insert(0, f'decided by a reader: {decided}')
    if not why and entry.state not in ('ok', 'waiting'):
        why.append(STATES[entry.state])
    return {
        'visit': entry.visit.label,
        'href': f'{entry.visit.label}.html',
        'badge': badge,
        'flags': len(flagged),
        'why': [public(words) for words in why],
        'values': {m.name: shown(rows['measures'].get(m.name)) for m in first},
        'thumb': _thumb(entry.visit, pictures, output_dir),
    }


def shown(cell: str | None) -> str:
    """Write a cell of a table as a person reads it.

    Examples
    --------
    >>> shown('18.41942'), shown('3'), shown('mixed'), shown(None)
    ('18.42', '3', 'mixed', 'n/a')
    """
    value = covariates.number(cell or '')
    if value is None:
        return cell or 'n/a'
    return number(int(value) if value.is_integer() and abs(value) < 1e6 else value)


def _reasons(warnings: Iterable[str]) -> dict[str, str]:
    """Return the reason of each measure that a status warns of.

    Examples
    --------
    >>> _reasons(['lv_ml is 0.1 mL: too small', 'odd'])
    {'lv_ml': 'too small'}
    """
    parts = (line.partition(': ') for line in warnings)
    return {told.split(' ')[0]: reason for told, _, reason in parts if reason}


def _thumb(visit: Visit, pictures: Sequence[Figure], output_dir: Path) -> str:
    """Return the way from the output folder to the first picture that is there."""
    folder = f'{visit.folder}/figures'
    try:
        names = sorted(os.listdir(Path(output_dir) / folder))
    except OSError:
        return ''
    for figure in pictures:
        start = f'{visit.label}_desc-{figure.desc}_'
        for name in names:
            if name.startswith(start) and name.endswith(figure.extension):
                return quote(f'{folder}/{name}', errors='surrogatepass')
    return ''
