"""The rooms of the dataset: they take the tables of the group; the page shows what they make."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from csvdprep.bids.files import file_digest
from csvdprep.bids.names import derivative_path
from csvdprep.bids.tsv import read_tsv
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Plan, Scan, VisitInput
from csvdprep.core.room import Room
from csvdprep.core.settings import Settings
from csvdprep.graph.decide import decide
from csvdprep.graph.discover import discover
from csvdprep.graph.finish import room_files
from csvdprep.graph.run import run_participants
from csvdprep.graph.status import Status, read_status
from csvdprep.graph.visit import figure_path
from csvdprep.group.page import Section, Shown
from csvdprep.group.visits import WHOLE
from csvdprep.report.boilerplate import methods_text
from csvdprep.report.content import list_content


def dataset_input(
    folder: Path,
    covariates: Sequence[Mapping[str, Any]],
    rooms: Iterable[Room],
    *,
    changes: bool,
    bounds: Mapping[str, Mapping[int, Sequence[float]]] | None = None,
) -> VisitInput:
    """Offer the tables of the group to the rooms of the dataset.

    Parameters
    ----------
    folder : Path
        Where the tables lie.
    covariates : sequence of mapping
        ``participant_id, session_id, site, scanner, age, sex, state, group, person, others`` of
        each row of the tables, in their order. The tables have site, age and sex as well; only
        here are the group, the person and other columns of participants.tsv and sessions.tsv.
    rooms : iterable of Room
        Rooms of the visits, whose measures are the columns.
    changes : bool
        Whether differences between visits were written.
    bounds : mapping of str to (mapping of int to (low, high)), optional
        95 % intervals of measures, by row of the tables.

    Returns
    -------
    VisitInput
        Tables by the names of :data:`csvdprep.graph.discover.TABLES`.
    """
    names = ['group_measures', 'group_qc', *(['group_change'] if changes else [])]
    scans = {}
    for name in names:
        path = folder / f'{name}.tsv'
        scans[name] = Scan(
            name=name, path=str(path), uri=f'bids::{path.name}', digest=file_digest(path)
        )
    measures = {
        measure.name: {
            'description': measure.description,
            'units': measure.units,
            'levels': dict(measure.levels or {}),
            'method': measure.method,
            'result': bool(measure.table and measure.units),
            'primary': bool(measure.primary),
            'step': room.name,
        }
        for room in rooms
        for measure in room.measures
    }
    content = {
        'group_covariates': ({'rows': [dict(row) for row in covariates]}, 'raw:participants.tsv'),
        'group_dictionary': ({'measures': measures}, ':group_dictionary.json'),
        'group_intervals': (
            {
                'measures': {
                    name: {str(row): list(pair) for row, pair in found.items()}
                    for name, found in (bounds or {}).items()
                }
            },
            ':group_measures.tsv',
        ),
    }
    for name, (facts, uri) in content.items():
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        scans[name] = Scan(name=name, path='', uri=f'bids:{uri}', digest=digest, content=facts)
    return VisitInput(visit=WHOLE, scans=scans)


def plan_dataset(given: VisitInput, settings: Settings, *, failed: Iterable[str] = ()) -> Plan:
    """Plan the rooms of the dataset; see :func:`csvdprep.graph.decide.decide`."""
    return decide(given, _settings(settings), failed=failed)


def run_dataset(
    given: VisitInput, settings: Settings, *, say: Callable[[str], None], progress
) -> Shown:
    """Compute the rooms of the dataset, and gather what the page shows of them.

    Parameters
    ----------
    given : VisitInput
        From :func:`dataset_input`.
    settings : Settings
        What was asked; with ``reports_only`` nothing is computed.
    say : callable
        Takes one line for the user.
    progress : Progress
        Is told of each step.

    Returns
    -------
    Shown
        Files of rooms that were not carried out are removed: they are of other tables.
    """
    output_dir = Path(settings.output_dir)
    interrupted = False
    if not settings.reports_only:
        outcome = run_participants([given], _settings(settings), say=say, progress=progress)
        interrupted = outcome.interrupted
    status = read_status(output_dir, WHOLE) or Status(WHOLE.label, 'none', 'waiting')
    blamed = {failure.room for failure in status.failures if failure.of_room}
    # What this run has computed is taken, even where all was to be computed again.
    plan = plan_dataset(given, replace(settings, rerun='stale'), failed=blamed)
    files = {k: v for k, v in room_files(plan, output_dir).items() if k not in blamed}
    rooms = discover(settings.output_spaces, level='dataset')
    gone = (
        []
        if interrupted
        else [p for r in rooms if r.name not in files for p in _left(r, plan, output_dir)]
    )
    for path in gone:
        path.unlink()
    if gone:
        say(
            'csvdprep: of an earlier run, and not of these tables: '
            f'{", ".join(path.name for path in gone)} removed'
        )
    values = _values(output_dir)
    sections = tuple(
        _section(room, plan, files.get(room.name), status, values, output_dir) for room in rooms
    )
    return Shown(
        sections=sections,
        methods=methods_text(plan)[1] if files else '',
        interrupted=interrupted,
        failed=status.state != 'ok',
        notes=plan.notes,
    )


def _settings(settings: Settings) -> Settings:
    """Never take what was made of other tables."""
    return replace(settings, rerun='stale') if settings.rerun == 'missing' else settings


def _left(room: Room, plan: Plan, output_dir: Path) -> list[Path]:
    """Return the files of a room that are there, with their sidecars."""
    found = [path for made in room.makes.items() for path in _paths(*made, plan, output_dir)]
    found += [figure_path(plan, figure, output_dir) for figure in room.figures]
    return [path for path in dict.fromkeys(found) if path.is_file()]


def _paths(name, derivative, plan: Plan, output_dir: Path) -> tuple[Path, ...]:
    path = output_dir / derivative_path(
        name,
        derivative,
        visit=plan.visit,
        hub=plan.context.hub,
        scans=plan.scans,
        declared=plan.declared,
    )
    return path, path.with_suffix('.json')


def _values(output_dir: Path) -> dict[str, Mapping[str, str]]:
    try:
        rows = read_tsv(output_dir / 'group_values.tsv').rows
    except (OSError, InputError):
        return {}
    return {row['measure']: row for row in rows if 'measure' in row}


def _section(room: Room, plan: Plan, files, status: Status, values, output_dir: Path) -> Section:
    """Gather what the page shows of a room."""
    step = next((step for step in plan.steps if step.room.name == room.name), None)
    if room.name in plan.skipped:
        return Section(room.name, room.title, 'skipped', plan.skipped[room.name])
    decisions = tuple(map(str, step.decisions)) if step else ()
    if files is None:
        whys = [str(f) for f in status.failures if f.room == room.name]
        state = 'failed' if whys else 'not run'
        why = '; '.join(whys) or 'it was not computed, or what it needs failed'
        return Section(room.name, room.title, state, why, decisions)
    figures = []
    for figure in room.figures:
        path = figure_path(plan, figure, output_dir)
        if path.is_file():
            figures.append((figure.title, figure.caption, _picture(path)))
    made = [(item, Path(files[name])) for name, item in room.makes.items() if item.saved]
    read = [
        (item, list_content(path, output_dir, item, most=200)) for item, path in made if item.lists
    ]
    return Section(
        name=room.name,
        title=room.title,
        state=status.rooms.get(room.name, 'cached'),
        decisions=decisions,
        figures=tuple(figures),
        lists=tuple((item, _with_visits(found)) for item, found in read if found),
        files=tuple((path.name, item.description) for item, path in made),
        values=tuple(values[m.name] for m in room.measures if m.name in values),
    )


def _with_visits(found: dict[str, Any]) -> dict[str, Any]:
    """Put participant and session into one column, whose cells lead to the report."""
    who = ('participant_id', 'session_id')
    if who[0] not in found['names']:
        return found | {'visits': False}
    for row in found['rows']:
        row['visit'] = '_'.join(row[n] for n in who if row.get(n, 'n/a') != 'n/a')
    return found | {'names': [n for n in found['names'] if n not in who], 'visits': True}


def _picture(path: Path) -> str:
    """Put a picture into the page: that stays one file, and no picture can run anything."""
    kind = {'.svg': 'svg+xml', '.png': 'png'}[path.suffix]
    return f'data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}'
