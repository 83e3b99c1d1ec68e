"""How much a task of one visit asks of a scheduler, from what earlier visits needed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from csvdprep.graph.status import Status

#: Finished visits that have to be there before their needs are believed, and how many are read.
FEWEST, MOST = 3, 200
#: What is asked beyond the most that was measured: other machines are slower, other heads larger.
MEMORY_MARGIN, TIME_MARGIN = 1.4, 4.0
LEAST_GB, LEAST_MINUTES = 3.0, 20


@dataclass(frozen=True)
class Size:
    """Processors, memory and time of one task, and where the figures come from."""

    cpus: int = 2
    mem_gb: float = 6.0
    minutes: int = 120
    source: str = (
        'as the largest visit that was measured (1 mm, 64 directions: 2.8 GB) needs, with a margin'
    )


def measured(statuses: Iterable[Status], *, cpus: int = 2) -> Size:
    """Size a task by what finished visits of the same output folder needed.

    Parameters
    ----------
    statuses : iterable of Status
        Of finished visits.
    cpus : int, optional
        Processors of a task.

    Returns
    -------
    Size
        1.4 times the highest memory, 4 times the longest time; the default if fewer than three
        visits were computed alone.

    Examples
    --------
    >>> done = Status('sub-01', 'r', state='ok', started='2026-01-01T00:00:00+00:00',
    ...               finished='2026-01-01T00:20:00+00:00', peak_mb=3000.0, nodes=90)
    >>> size = measured([done] * 3)
    >>> size.mem_gb, size.minutes
    (4.5, 80)

    """
    peaks, minutes = [], []
    for status in statuses:
        if status.state != 'ok' or status.peak_mb is None or not status.nodes:
            continue
        try:
            begun, ended = map(datetime.fromisoformat, (status.started, status.finished))
        except ValueError:
            continue
        peaks.append(status.peak_mb / 1000)
        minutes.append((ended - begun).total_seconds() / 60)
        if len(peaks) >= MOST:
            break
    if len(peaks) < FEWEST:
        return Size(cpus=cpus)
    memory = max(LEAST_GB, math.ceil(2 * MEMORY_MARGIN * max(peaks)) / 2)
    time = max(LEAST_MINUTES, math.ceil(TIME_MARGIN * max(minutes)))
    return Size(
        cpus,
        memory,
        time,
        f'{len(peaks)} finished visits needed up to {max(peaks):.1f} GB and '
        f'{max(minutes):.0f} minutes',
    )
