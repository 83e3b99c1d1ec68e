"""Close a visit: tables, report, methods text, status."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import tomli_w

from csvdprep.bids.checkpoints import read_checkpoint
from csvdprep.bids.covariates import Covariates
from csvdprep.bids.files import atomic_write
from csvdprep.bids.metadata import Facts
from csvdprep.bids.provenance import provenance, write_provenance
from csvdprep.bids.visit_times import acquired
from csvdprep.core.failure import Failure
from csvdprep.core.plan import Plan, Visit
from csvdprep.core.settings import Settings
from csvdprep.graph.decide import describe
from csvdprep.graph.discover import discover
from csvdprep.graph.judging import judge_together
from csvdprep.graph.percentiles import percentiles_of
from csvdprep.graph.places import relative_failures
from csvdprep.graph.status import Status, now, status_path
from csvdprep.graph.tables import collect, text, write_tables
from csvdprep.graph.visit import checkpoints


def finish(
    plan: Plan, status: Status, settings: Settings, *, before: set[str], interrupted: bool = False
) -> None:
    """Write what belongs to the visit as a whole, from what is finished of it.

    Parameters
    ----------
    plan : Plan
        What was decided.
    status : Status
        Its ``failures`` are filled in; the rest is completed here and written.
    settings : Settings
        What was asked.
    before : set of str
        Rooms that were finished before this run.
    interrupted : bool
        Whether the run ended early.

    """
    from csvdprep.report.boilerplate import write_citation
    from csvdprep.report.content import scan_titles, worded
    from csvdprep.report.visit import write_visit_report

    output_dir = Path(settings.output_dir)
    status.failures = relative_failures(status.failures, settings)
    files = room_files(plan, output_dir)
    blamed = {failure.room for failure in status.failures if failure.of_room}
    # What an earlier run left of a room that failed now is not this run's result.
    files = {room: made for room, made in files.items() if room not in blamed}
    status.rooms = {
        step.room.name: _state(step.room.name, files, before, blamed) for step in plan.steps
    }
    scans = scan_titles(plan.declared)
    missing = {room: worded(why, scans) for room, why in plan.skipped.items()}
    for room, state in status.rooms.items():
        if state == 'failed':
            why = [str(failure) for failure in status.failures if failure.room == room]
            missing[room] = f'failed: {why[0]}'
        elif state == 'not run':
            missing[room] = (
                'the run was interrupted' if interrupted else 'a step that it depends on failed'
            )
    found = {
        room: made[f'{room}_values'] for room, made in files.items() if f'{room}_values' in made
    }
    rooms = discover(settings.output_spaces, level=plan.visit.level)
    alone = collect(rooms, found, missing, field_strengths(plan))
    judged = judge_together(alone, rooms)
    status.verdict, status.remarks = judged.verdict, judged.remarks
    # What a measure has from its foundation is told once, by the remarks.
    status.warnings = [_warning(row) for row in alone if row['qc'] in ('warn', 'fail')]
    complete = all(state in ('done', 'cached') for state in status.rooms.values())
    status.state = 'interrupted' if interrupted else ('ok' if complete else 'failed')
    if status.failures and status.state == 'ok':
        status.state = 'failed'
    status.finished = now()

    log_dir = output_dir / plan.visit.log / status.run_id
    # What cannot be written, or drawn, must not lose the rest.
    parts = {
        'tables': lambda: write_tables(plan.visit, judged, rooms, output_dir),
        'log': lambda: _write_log(log_dir, plan, settings),
    }
    # The page of the group is written by its level, with what the rooms of the dataset left.
    if plan.visit.level != 'dataset':
        done = [room for room, state in status.rooms.items() if state in ('done', 'cached')]
        parts['provenance'] = lambda: write_provenance(
            output_dir, plan.visit, provenance(plan, done, versions())
        )
        parts['report'] = lambda: write_visit_report(
            output_dir=output_dir,
            plan=plan,
            values=judged.rows,
            status=vars(status),
            versions=versions(),
            lists=_lists(rooms, files),
            titles={room.name: room.title for room in rooms},
            rooms=rooms,
            person=person_of(plan.visit, settings.bids_dir),
            percentiles=percentiles_of(plan.visit, output_dir),
        )
    if folder := {'visit': 'logs', 'dataset': plan.visit.log}.get(plan.visit.level):
        parts['methods text'] = lambda: write_citation(plan, output_dir / folder)
    for part, write in parts.items():
        try:
            write()
        except Exception as error:
            failed = relative_failures([Failure.of(error, room=part)], settings)
            status.failures += failed
            status.state = 'failed' if status.state == 'ok' else status.state
    status.write(output_dir, plan.visit)
    shutil.copyfile(status_path(output_dir, plan.visit), log_dir / 'status.json')


def _warning(row: Mapping) -> str:
    """Say what is odd about a value, and the value.

    Examples
    --------
    >>> _warning({'name': 'lv_ml', 'value': 0.1, 'units': 'mL', 'reason': 'too small'})
    'lv_ml is 0.1 mL: too small'
    """
    unit = '' if row['units'] in ('', '1') else f' {row["units"]}'
    return f'{row["name"]} is {text(row["value"])}{unit}: {row["reason"]}'


def person_of(visit: Visit, bids_dir: Path) -> dict[str, str]:
    """Return age, sex and site of a visit, and when it was, as the raw dataset tells.

    Parameters
    ----------
    visit : Visit
        Participant and session.
    bids_dir : Path
        Root of the raw dataset; what it does not tell is left out.
    """
    if visit.level != 'visit':
        return {}
    facts = dict(Covariates(Path(bids_dir))(visit))
    if date := acquired(Path(bids_dir), visit):
        facts['acquired'] = date
    return facts


def _lists(rooms, files) -> list:
    """Return the lists of lesions that the report shows, each with its declaration."""
    return [
        (made, files[room.name][name])
        for room in rooms
        for name, made in room.makes.items()
        if made.lists and files.get(room.name, {}).get(name)
    ]


def _write_log(log_dir: Path, plan: Plan, settings: Settings) -> None:
    atomic_write(log_dir / 'plan.txt', describe(plan) + '\n')
    atomic_write(log_dir / 'csvdprep.toml', settings_text(settings))


def room_files(plan: Plan, output_dir: Path) -> dict[str, dict[str, str]]:
    """Return the files of every room of a plan that is finished now."""
    folder = checkpoints(plan, output_dir)
    found = {
        step.room.name: dict(step.cached)
        if step.done
        else read_checkpoint(folder, step.room.name, root=output_dir, key=step.key)
        for step in plan.steps
    }
    return {room: files for room, files in found.items() if files}


def field_strengths(plan: Plan) -> dict[str, list[float]]:
    """Return the field strengths (T) that the sidecars behind each room's results tell."""
    known = {
        name: Facts(scan.metadata).number('MagneticFieldStrength')
        for name, scan in plan.scans.items()
    }
    return {
        room: [known[name] for name in scans if known.get(name)]
        for room, scans in plan.origins.items()
    }


def _state(room, files, before, blamed) -> str:
    if room in files:
        return 'cached' if room in before else 'done'
    return 'failed' if room in blamed else 'not run'


def versions() -> dict[str, str]:
    """Return the versions of the application and of what it computes with."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from csvdprep import __version__

    names = (
        'antspyx',
        'nipype',
        'nibabel',
        'numpy',
        'scipy',
        'scikit-image',
        'onnxruntime',
        'nireports',
        'niworkflows',
        'pybids',
        'templateflow',
    )
    found = {'csvdprep': __version__, 'python': platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def settings_text(settings: Settings) -> str:
    """Write the settings as a TOML file that ``--config-file`` takes back.

    Examples
    --------
    >>> from csvdprep.core.settings import Settings
    >>> text = settings_text(Settings(bids_dir=Path('a'), output_dir=Path('b'), nprocs=2,
    ...                               options={'wmh': {'method': 'lga-h'}}))
    >>> 'nprocs = 2' in text, '[wmh]' in text
    (True, True)

    """
    where = {name: str(getattr(settings, name)) for name in ('bids_dir', 'output_dir')}
    kept = {
        name: value
        for name, value in vars(settings).items()
        if name not in (*where, 'options') and value not in (None, (), '') and value != {}
    }
    # No output space is not the default.
    kept['output_spaces'] = settings.output_spaces
    tables = {room: dict(table) for room, table in settings.options.items()}
    noted = ''.join(f'# {line}\n' for line in tomli_w.dumps(where).splitlines())
    return noted + tomli_w.dumps(_plain(kept | tables))


def _plain(value):
    """Turn paths into texts and tuples into lists, which TOML has."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (bool, int, float)) else str(value)
