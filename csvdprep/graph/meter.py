"""How much memory a run takes, as a scheduler sees it: resident, all processes together."""

from __future__ import annotations

import time

import psutil

#: Seconds between two looks.
PERIOD_S = 1.0


class Meter:
    """Keep the highest sum of resident memory of this process and its children.

    Pages that a fork shares with its parent count for both, as they do for Slurm.

    Examples
    --------
    >>> meter = Meter()
    >>> meter.sample()
    >>> meter.peak_mb > 5
    True

    """

    def __init__(self):
        self.peak_mb: float | None = None
        self._next = 0.0
        self._own = psutil.Process()

    def sample(self) -> None:
        """Look, if the last look was long enough ago."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + PERIOD_S
        total = 0
        for process in (self._own, *self._own.children(recursive=True)):
            try:
                total += process.memory_info().rss
            except psutil.Error:  # it has ended meanwhile
                continue
        self.peak_mb = max(self.peak_mb or 0.0, round(total / 1e6, 1))
