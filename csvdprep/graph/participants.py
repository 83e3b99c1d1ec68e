"""The participant level: what the visits of a participant left is the input of further rooms."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from csvdprep.bids.checkpoints import read_checkpoint
from csvdprep.bids.files import file_digest, is_held
from csvdprep.bids.names import is_label
from csvdprep.bids.raw import metadata_of
from csvdprep.bids.visit_times import VisitTime, visit_times
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Scan, Visit, VisitInput
from csvdprep.core.settings import Settings
from csvdprep.graph.discover import EACH, LEFT, PROTOCOLS, discover
from csvdprep.graph.status import Status, read_status
from csvdprep.graph.tables import long_table
from csvdprep.graph.visit import checkpoint_folder
from csvdprep.resources import resource

#: Visits from which on there is something to compare.
LEAST = 2
#: Fields of sidecars that tell one protocol from another.
PROTOCOL = (
    'Manufacturer',
    'ManufacturersModelName',
    'MagneticFieldStrength',
    'ReceiveCoilName',
    'MRAcquisitionType',
    'RepetitionTime',
    'EchoTime',
    'InversionTime',
    'FlipAngle',
)
#: How sidecars name images of the raw dataset.
_RAW = 'bids:raw:'


def with_several_visits(output_dir: Path, subjects: Iterable[str] | None = None) -> list[str]:
    """Return the participants of whom several visits have been begun, by label.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives.
    subjects : iterable of str, optional
        Labels without ``sub-``; all of the output folder if omitted.
    """
    if subjects is None:
        subjects = _labels(output_dir, 'sub-')
    return [s for s in sorted(set(subjects)) if len(_begun(output_dir, s)) >= LEAST]


def participant_inputs(
    settings: Settings, subjects: Iterable[str], *, say: Callable[[str], None]
) -> list[VisitInput]:
    """Gather what the visits of participants left.

    Parameters
    ----------
    settings : Settings
        Raw dataset and output folder.
    subjects : iterable of str
        Labels without ``sub-``.
    say : callable
        Takes one line for the user.

    Returns
    -------
    list of VisitInput
        One a participant of whom two visits or more have a table of measures, and none is being
        computed: ``scans['measures']`` has them in ``content['visits']``, in the order of time:
        ``session``, ``years`` since the first (None where nothing tells), ``table`` (path).
        ``scans['each_<product>']``, for products that rooms of the participant take, has the
        files of the visits that have one in ``content['visits']``, by session, and
        ``scans['protocols']`` what sidecars tell of the scans, by session and scan.
    """
    found = []
    for subject in subjects:
        whole = Visit(subject, level='participant')
        if (Path(settings.output_dir) / Visit(subject).log / 'status.json').exists():
            say(
                f'{whole.label}: the output folder also has a visit without a session, '
                'whose files have the same names, so no visits are compared. Remedy: use '
                'a separate output folder.'
            )
            continue
        notes: list[str] = []
        usable = []
        begun = _begun(settings.output_dir, subject)
        excluded = [v for v in begun if settings.leaves_out(v.subject, v.session)]
        notes += [f'{visit.label} is excluded.' for visit in excluded]
        states = {v: read_status(settings.output_dir, v) for v in begun if v not in excluded}
        if any(
            status and status.state == 'running' and is_held(settings.output_dir / v.log / 'lock')
            for v, status in states.items()
        ):
            say(
                f'{whole.label}: a visit is still being processed; the visits are compared '
                'when it is complete'
            )
            continue
        for visit, status in states.items():
            if status is None or not long_table(settings.output_dir, visit).is_file():
                notes.append(f'{visit.label} has no table of measures and is skipped.')
                continue
            usable.append(visit)
            if status.state != 'ok':
                state = 'was killed' if status.state == 'running' else status.state
                notes.append(f'{visit.label} is not complete ({state}).')
        if len(usable) < LEAST:
            say(f'{whole.label}: fewer than two visits have results. {" ".join(notes)}')
            continue
        times = visit_times(settings.bids_dir, usable, notes.append)
        notes.append(_told(times))
        found.append(
            VisitInput(
                visit=whole,
                scans={
                    LEFT: _measures(times, settings),
                    PROTOCOLS: _protocols(times, states, settings),
                    **_products(times, states, settings),
                },
                notes=tuple(notes),
            )
        )
    return found


def _measures(times: list[VisitTime], settings: Settings) -> Scan:
    """Put the tables of visits into one input."""
    root = Path(settings.output_dir)
    visits = [
        {
            'session': f'ses-{item.visit.session}',
            'years': item.years,
            'table': str(long_table(root, item.visit)),
        }
        for item in times
    ]
    content = [[v['session'], v['years'], file_digest(Path(v['table']))] for v in visits]
    uris = [f'bids::{Path(v["table"]).relative_to(root).as_posix()}' for v in visits]
    return Scan(
        name=LEFT,
        path='',
        uri=uris[0],
        others=tuple(uris[1:]),
        digest=_digest(content),
        content={'visits': visits},
    )


def _products(
    times: list[VisitTime], states: Mapping[Visit, Status], settings: Settings
) -> dict[str, Scan]:
    """Gather the files of each product that a room of the participant takes."""
    wanted = {
        name.removeprefix(EACH)
        for room in discover(level='participant')
        for name in room.asks
        if name.startswith(EACH)
    }
    found: dict[str, dict[str, str]] = {}
    for item in times:
        for name, path in _files(item.visit, states[item.visit], wanted, settings).items():
            found.setdefault(name, {})[f'ses-{item.visit.session}'] = path
    root = Path(settings.output_dir)
    scans = {}
    for name, files in sorted(found.items()):
        own = [Path(path) for path in files.values()]
        uris = [
            f'bids::{path.relative_to(root).as_posix()}'
            for path in own
            if path.is_relative_to(root)
        ]
        scans[EACH + name] = Scan(
            name=EACH + name,
            path='',
            uri=(uris or [''])[0],
            others=tuple(uris[1:]),
            digest=_digest([[key, file_digest(Path(path))] for key, path in files.items()]),
            content={'visits': files},
        )
    return scans


def _files(visit: Visit, status: Status, wanted: set[str], settings: Settings) -> dict[str, str]:
    """Return the products of a visit that rooms finished, by name."""
    root = Path(settings.output_dir)
    finished = {name for name, state in status.rooms.items() if state in ('done', 'cached')}
    rooms = [room for room in discover(settings.output_spaces) if room.outputs()]
    found: dict[str, str] = {}
    for room in rooms:
        if room.name in finished and wanted & room.outputs().keys():
            files = read_checkpoint(checkpoint_folder(visit, root), room.name, root=root) or {}
            found |= {name: path for name, path in files.items() if name in wanted}
    # Where a room had no place, other products stand for its own, as in the plan of the visit.
    for room in rooms:
        other = room.otherwise
        if room.name in finished or not other or not status.inputs.keys() >= {*other.given}:
            continue
        for name, target in other.names.items():
            if name not in wanted or name in found:
                continue
            if target.startswith('resource:'):
                found[name] = str(resource(target.removeprefix('resource:')))
            elif path := _files(visit, status, {target}, settings).get(target):
                found[name] = path
    return found


def _protocols(times: list[VisitTime], states: Mapping[Visit, Status], settings: Settings) -> Scan:
    """Gather what the sidecars of the scans tell of how they were made."""
    root = Path(settings.bids_dir)
    content: dict[str, dict[str, dict]] = {}
    uris = []
    for item in times:
        scans = content.setdefault(f'ses-{item.visit.session}', {})
        for name, uri in sorted(states[item.visit].inputs.items()):
            if not uri.startswith(_RAW):
                continue
            facts: Mapping = {}
            with suppress(OSError, ValueError, InputError):  # the raw dataset may have moved
                facts = metadata_of(root, root / uri.removeprefix(_RAW))[0]
            uris.append(uri)
            scans[name] = {
                field: facts[field]
                for field in PROTOCOL
                if isinstance(facts.get(field), str | int | float)
            }
    return Scan(
        name=PROTOCOLS,
        path='',
        uri=(uris or [''])[0],
        others=tuple(uris[1:]),
        digest=_digest(content),
        content={'visits': content},
    )


def _digest(content) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _told(times: list[VisitTime]) -> str:
    order = ', '.join(f'ses-{item.visit.session}' for item in times)
    if times[0].years is None:
        return (
            'No table of the dataset gives the times of the visits, so they are ordered '
            f'by their labels: {order}. Remedy: add a column acq_time, days or age to '
            'sessions.tsv.'
        )
    whole = times[0].source.endswith(': age') and all(t.years.is_integer() for t in times)
    more = (
        ' Ages are given in whole years, so intervals are uncertain by up to a year.'
        if whole
        else ''
    )
    return f'Order and intervals of the visits ({order}) are from {times[0].source}.{more}'


def _begun(output_dir: Path, subject: str) -> list[Visit]:
    """Return the sessions of a participant that have a status."""
    sessions = _labels(Path(output_dir) / f'sub-{subject}', 'ses-')
    visits = [Visit(subject, session) for session in sessions]
    return [v for v in visits if (Path(output_dir) / v.log / 'status.json').is_file()]


def _labels(folder: Path, prefix: str) -> list[str]:
    try:
        with os.scandir(folder) as found:
            names = [item.name for item in found if item.name.startswith(prefix) and item.is_dir()]
    except OSError:
        return []
    return sorted(label for name in names if is_label(label := name.removeprefix(prefix)))
