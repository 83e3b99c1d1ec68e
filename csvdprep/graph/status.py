"""The status file of a visit: the one truth behind the log, the badge and the exit code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from csvdprep.bids.checkpoints import json_text
from csvdprep.bids.files import atomic_write
from csvdprep.core.plan import Visit


@dataclass
class Status:
    """State of one visit.

    Parameters
    ----------
    visit : str
        Label, e.g. 'sub-01_ses-1'.
    run_id : str
        Identifies the run that wrote this.
    state : {'running', 'ok', 'failed', 'interrupted'}
        Outcome.
    version : str
        Version of the application.
    key : str
        Key of the plan that was carried out.
    rooms : mapping of str to {'done', 'cached', 'failed', 'not run'}
        What became of each room.
    skipped : mapping of str to str
        Rooms that had no place in the visit, with the reason.
    failures : list of dict
        ``room``, ``node``, ``message`` and ``file`` (the crash file) of each failure.
    warnings : list of str
        What a reader should mind.
    nodes : int
        Nodes executed by this run.
    """

    visit: str
    run_id: str
    state: str = 'running'
    version: str = ''
    key: str = ''
    started: str = ''
    finished: str = ''
    rooms: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    failures: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    nodes: int = 0

    def write(self, output_dir: Path, visit: Visit) -> None:
        """Write the file, replacing the last one at once."""
        atomic_write(status_path(output_dir, visit), json_text(asdict(self)))


def status_path(output_dir: Path, visit: Visit) -> Path:
    """Return where the status of a visit is kept."""
    return Path(output_dir) / visit.folder / 'log' / 'status.json'


def read_status(output_dir: Path, visit: Visit) -> Status | None:
    """Return the last status of a visit, None if there is none that can be read."""
    try:
        found = json.loads(status_path(output_dir, visit).read_text(encoding='utf-8'))
        return Status(**found)
    except (OSError, ValueError, TypeError):
        return None


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec='seconds')
