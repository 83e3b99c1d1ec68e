"""The status file of a visit: the one truth behind the log, the badge and the exit code."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path

from csvdprep.bids.checkpoints import json_text
from csvdprep.bids.files import atomic_write, read_text
from csvdprep.core.failure import Failure
from csvdprep.core.plan import Plan, Visit

#: Where sidecars tell on which scanner an image was made; serial numbers are nobody's business.
SCANNER = {
    'manufacturer': 'Manufacturer',
    'model': 'ManufacturersModelName',
    'field_t': 'MagneticFieldStrength',
}


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
    failures : list of Failure
        What failed, and why.
    warnings : list of str
        What a reader should mind.
    verdict : {'ok', 'check', 'failed', 'n/a'}
        Of the results: whether they may be used, see :mod:`csvdprep.graph.judging`.
    remarks : list of (str, str)
        Flag and words of contradictions between measures and of foundations that are not sound,
        failures first.
    nodes : int
        Nodes executed by this run.
    inputs : mapping of str to str
        BIDS URI of each scan.
    origins : mapping of str to sequence of str
        Scans that each room's results come from.
    scanner : mapping of str to str
        ``manufacturer``, ``model`` and ``field_t``, as far as the sidecars tell.
    refused : list of (str, str)
        Files that could not be used, and why.
    unused : list of (str, str)
        Images that no step takes, and why.
    peak_mb : float, optional
        Most memory (10^6 bytes, resident, all processes) while this visit was computed alone.
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
    failures: list[Failure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    verdict: str = 'n/a'
    remarks: Sequence[Sequence[str]] = ()
    nodes: int = 0
    inputs: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, Sequence[str]] = field(default_factory=dict)
    scanner: Mapping[str, str] = field(default_factory=dict)
    refused: Sequence[Sequence[str]] = ()
    unused: Sequence[Sequence[str]] = ()
    peak_mb: float | None = None

    @classmethod
    def begun(cls, plan: Plan, *, run_id: str, version: str) -> Status:
        """Describe a visit whose run begins."""
        return cls(
            visit=plan.visit.label,
            run_id=run_id,
            version=version,
            key=plan.key,
            started=now(),
            skipped=dict(plan.skipped),
            origins=plan.origins,
            refused=plan.refused,
            unused=plan.unused,
            inputs={name: scan.uri for name, scan in plan.scans.items() if name != 'anat'},
            scanner=_scanner(plan),
        )

    def write(self, output_dir: Path, visit: Visit) -> None:
        """Write the file, replacing the last one at once."""
        atomic_write(status_path(output_dir, visit), json_text(asdict(self)))


def status_path(output_dir: Path, visit: Visit) -> Path:
    """Return where the status of a visit is kept."""
    return Path(output_dir) / visit.log / 'status.json'


def read_status(output_dir: Path, visit: Visit) -> Status | None:
    """Return the last status of a visit, None if there is none that can be read."""
    try:
        found = json.loads(read_text(status_path(output_dir, visit)))
        json_text(found)  # what cannot be written again (NaN) would fail much later
        known = {item.name for item in fields(Status)}
        told = {key: value for key, value in found.items() if key in known}
        told['failures'] = [Failure.read(item) for item in told.get('failures', [])]
        status = Status(**told)
        return status if _is_sound(status) else None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None


def _is_sound(status: Status) -> bool:
    """Tell whether a status can be gone on with; others may write where it lies.

    Above all the name of the run: a folder is called so.
    """
    return (
        isinstance(status.run_id, str)
        and re.fullmatch(r'[A-Za-z0-9][\w-]{0,99}', status.run_id, re.ASCII) is not None
        and all(
            isinstance(part, str)
            for part in (
                status.visit,
                status.state,
                status.version,
                status.key,
                status.started,
                status.finished,
                status.verdict,
            )
        )
        and all(
            isinstance(part, Mapping) and all(isinstance(v, str) for v in part.values())
            for part in (status.rooms, status.skipped, status.inputs, status.scanner)
        )
        and isinstance(status.origins, Mapping)
        and all(_are_texts(names) for names in status.origins.values())
        and isinstance(status.refused, list | tuple)
        and all(map(_are_texts, status.refused))
        and isinstance(status.unused, list | tuple)
        and all(map(_are_texts, status.unused))
        and _are_texts(status.warnings)
        and _are_pairs(status.remarks)
        and isinstance(status.nodes, int)
        and (status.peak_mb is None or isinstance(status.peak_mb, int | float))
    )


def _are_texts(values: object) -> bool:
    return isinstance(values, list | tuple) and all(isinstance(item, str) for item in values)


def _are_pairs(values: object) -> bool:
    return isinstance(values, list | tuple) and all(
        _are_texts(item) and len(item) == 2 for item in values
    )


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec='seconds')


def _scanner(plan: Plan) -> dict[str, str]:
    for item in plan.declared.inputs:
        facts = plan.scans[item.name].metadata if item.name in plan.scans else {}
        found = {key: _single(facts.get(field)) for key, field in SCANNER.items()}
        told = {
            key: ' '.join(str(value).split())[:60]
            for key, value in found.items()
            if isinstance(value, str | int | float)
        }
        if told:
            return told
    return {}


def _single(value):
    """Return what a list of one holds; anything else as it is."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value
