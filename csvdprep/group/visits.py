"""Which visits an output folder holds, and what has become of each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from csvdprep.bids.files import holder, is_held
from csvdprep.bids.names import is_label
from csvdprep.bids.raw import sessions_of
from csvdprep.core.plan import Visit
from csvdprep.graph.status import Status, read_status

#: All visits together.
WHOLE = Visit('', level='dataset')
#: What may have become of a visit, in the order in which a person wants to see them.
STATES = {
    'failed': 'a step failed; all other results were written',
    'lost': 'the run ended without a message: it was killed, or ran out of memory or time',
    'interrupted': 'the run was asked to stop; the next run continues from there',
    'running': 'running',
    'waiting': 'not started',
    'ok': 'all results that these images allow are complete',
}


@dataclass(frozen=True)
class Entry:
    """One visit, its state, and its last status (None if it was not begun)."""

    visit: Visit
    state: str
    status: Status | None = None
    by: str = ''


def computed_visits(output_dir: Path) -> Iterator[Visit]:
    """Yield the visits that left a status in an output folder, sorted, reading no file.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> for folder in ('sub-01/ses-1/log', 'sub-02/log'):
    ...     (root / folder).mkdir(parents=True)
    ...     _ = (root / folder / 'status.json').write_text('{}')
    >>> [visit.label for visit in computed_visits(root)]
    ['sub-01_ses-1', 'sub-02']

    """
    for subject in _labels(output_dir, 'sub-'):
        folder = output_dir / f'sub-{subject}'
        # A link whose content was not fetched is a visit, too.
        if os.path.lexists(folder / 'log' / 'status.json'):
            yield Visit(subject)
        for session in _labels(folder, 'ses-'):
            if os.path.lexists(folder / f'ses-{session}' / 'log' / 'status.json'):
                yield Visit(subject, session)


def computed_participants(output_dir: Path) -> Iterator[Visit]:
    """Yield the participants whose visits were compared, sorted."""
    for subject in _labels(output_dir, 'sub-'):
        whole = Visit(subject, level='participant')
        if os.path.lexists(output_dir / whole.log / 'status.json'):
            yield whole


def raw_visits(bids_dir: Path, subjects: Iterable[str] | None = None) -> Iterator[Visit]:
    """Yield the visits of a raw dataset by its folders alone, sorted.

    Parameters
    ----------
    bids_dir : Path
        Root of the raw dataset.
    subjects : iterable of str, optional
        Labels without ``sub-``; all if omitted.
    """
    for subject in _labels(bids_dir, 'sub-') if subjects is None else subjects:
        for session in sessions_of(bids_dir, subject):
            yield Visit(subject, session)


def look_up(visit: Visit, output_dir: Path) -> Entry:
    """Tell what has become of a visit.

    A status that says *running* is believed only while somebody holds the visit's lock: a run
    that was killed cannot write that it has ended.
    """
    status = read_status(output_dir, visit)
    if status is None:
        return Entry(visit, 'waiting')
    if status.state != 'running':
        return Entry(visit, status.state if status.state in STATES else 'failed', status)
    lock = Path(output_dir) / visit.log / 'lock'
    if is_held(lock):
        return Entry(visit, 'running', status, holder(lock))
    return Entry(visit, 'lost', status)


def _labels(folder: Path, prefix: str) -> list[str]:
    try:
        with os.scandir(folder) as found:
            names = [item.name for item in found if item.name.startswith(prefix) and item.is_dir()]
    except OSError:
        return []
    return sorted(label for name in names if is_label(label := name.removeprefix(prefix)))
