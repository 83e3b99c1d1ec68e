"""How far the visits of an output folder are: as text and as a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from csvdprep.bids.files import atomic_write
from csvdprep.core.plan import Visit
from csvdprep.graph.status import now
from csvdprep.group.page import environment, href
from csvdprep.group.visits import STATES, WHOLE, computed_participants, computed_visits, look_up

#: Lines shown of visits that need attention.
LINES = 40


@dataclass(frozen=True)
class Line:
    """One visit of the overview."""

    visit: str
    state: str
    why: str
    finished: str


@dataclass(frozen=True)
class Overview:
    """States of all visits, and a line for each that is not complete."""

    counts: Mapping[str, int]
    lines: tuple[Line, ...]
    moment: str
    participants: Mapping[str, int] = field(default_factory=dict)
    dataset: str = ''
    """State of the steps on the group tables; empty where there was no group level."""

    @property
    def total(self) -> int:
        """Number of visits."""
        return sum(self.counts.values())

    @property
    def complete(self) -> bool:
        """Whether nothing is left to be done."""
        rest = sum(n for state, n in self.participants.items() if state != 'ok')
        whole = self.dataset in ('', 'ok')
        return self.counts.get('ok', 0) == self.total and not rest and whole

    def __str__(self) -> str:
        parts = ', '.join(f'{self.counts[s]} {s}' for s in STATES if self.counts.get(s))
        out = [f'{self.total} visits at {self.moment}: {parts or "none"}']
        if self.participants:
            told = ', '.join(f'{n} {s}' for s, n in sorted(self.participants.items()))
            out.append(f'{sum(self.participants.values())} participants compared: {told}')
        if self.dataset:
            out.append(f'steps on the group tables: {self.dataset}')
        # Who waits has nothing to tell.
        shown = [line for line in self.lines if line.why or line.state != 'waiting']
        width = max((len(line.visit) for line in shown[:LINES]), default=0)
        out += [
            f'  {line.visit:<{width}}  {line.state:<11} {line.why}'.rstrip()
            for line in shown[:LINES]
        ]
        if len(shown) > LINES:
            out.append(f'  and {len(shown) - LINES} more')
        return '\n'.join(out)


def overview(
    output_dir: Path, expected: Iterable[Visit] = (), said: Mapping[Visit, str] | None = None
) -> Overview:
    """Look up all visits.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives.
    expected : iterable of Visit, optional
        Visits that ought to be computed; those that were are counted in any case.
    said : mapping of Visit to str, optional
        What the scheduler says of a visit.

    Returns
    -------
    Overview
        Counts by state; lines in the order of urgency.
    """
    said = said or {}
    counts: Counter = Counter()
    lines = []
    for visit in sorted({*computed_visits(Path(output_dir)), *expected}, key=_order):
        entry = look_up(visit, output_dir)
        counts[entry.state] += 1
        if entry.state == 'ok':
            continue
        status = entry.status
        whys = [f'{f.room}: {f}' for f in status.failures] if status else []
        if entry.state == 'lost':
            whys.append('the run was killed, or ran out of memory or time; start it again')
        if entry.by:
            whys.append(entry.by)
        if told := said.get(visit):
            whys.append(told)
        lines.append(
            Line(visit.label, entry.state, '; '.join(whys), status.finished if status else '')
        )
    participants: Counter = Counter()
    together = look_up(WHOLE, output_dir)
    for whole in (*computed_participants(Path(output_dir)), *([WHOLE] if together.status else [])):
        entry = look_up(whole, output_dir)
        if whole != WHOLE:
            participants[entry.state] += 1
        if entry.state != 'ok':
            whys = [f'{f.room}: {f}' for f in entry.status.failures] if entry.status else []
            finished = entry.status.finished if entry.status else ''
            lines.append(Line(whole.label, entry.state, '; '.join(whys), finished))
    rank = {state: place for place, state in enumerate(STATES)}
    lines.sort(key=lambda line: rank[line.state])
    dataset = together.state if together.status else ''
    return Overview(dict(counts), tuple(lines), now(), dict(participants), dataset)


def write_overview(found: Overview, path: Path, *, reports: str, refresh: int = 0) -> Path:
    """Write the overview as one page without script.

    Parameters
    ----------
    found : Overview
        From :func:`overview`.
    path : Path
        The page.
    reports : str
        Way from the page to the reports of the visits.
    refresh : int, optional
        Seconds after which a browser reads the page again; 0 means never.
    """
    most = 2000
    text = (
        environment()
        .get_template('status.html')
        .render(
            total=found.total,
            moment=found.moment,
            refresh=refresh,
            states=[
                (s, found.counts[s], about, 100 * found.counts[s] / max(found.total, 1))
                for s, about in STATES.items()
                if found.counts.get(s)
            ],
            lines=[
                {
                    'visit': line.visit,
                    'state': line.state,
                    'why': line.why,
                    'href': f'{reports}{href(line.visit)}' if line.finished else '',
                }
                for line in found.lines[:most]
            ],
            more=max(0, len(found.lines) - most),
        )
    )
    atomic_write(path, text)
    return path


def _order(visit: Visit) -> tuple[str, str]:
    return visit.subject, visit.session or ''
