"""What the user sees while visits are computed."""

from __future__ import annotations

import sys
import time

from csvdprep.cli.streams import write
from csvdprep.core.failure import Failure


class Progress:
    """Tell what is going on: one live line on a terminal, plain lines elsewhere.

    Parameters
    ----------
    stream : file object, optional
        Where to write; standard error by default.
    """

    def __init__(self, stream=None):
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self.done: dict[str, int] = {}
        self.running: dict[str, set[str]] = {}
        self.since: dict[str, float] = {}

    def open(self, label: str) -> None:
        """Note that a visit begins."""
        self.done[label], self.running[label] = 0, set()
        self.since[label] = time.monotonic()
        self.say(f'{label}: started')

    def start(self, label: str, node: str) -> None:
        """Note that a node begins."""
        self.running[label].add(node)
        self._show()

    def end(self, label: str, node: str) -> None:
        """Note that a node has succeeded."""
        self.running[label].discard(node)
        self.done[label] += 1
        if not self.live and node.startswith('checkpoint') and node == 'checkpoint':
            self.say(f'{label}: {self.done[label]} steps done')
        self._show()

    def fail(self, label: str, failure: Failure) -> None:
        """Tell of a failure at once."""
        self.running[label].discard(failure.node)
        self.say(f'{label}: {failure.room} FAILED: {failure}')

    def close(self, label: str, status) -> None:
        """Tell how a visit ended."""
        seconds = time.monotonic() - self.since.pop(label, time.monotonic())
        self.running.pop(label, None)
        self.say(
            f'{label}: {status.state} after {seconds:.0f} s, '
            f'{len(status.warnings)} warnings, results: {status.verdict}'
        )

    def say(self, line: str) -> None:
        """Write a line, above the live one if there is one."""
        self._write(f'\r\x1b[2K{line}\n' if self.live else f'{line}\n')
        self._show()

    def _show(self) -> None:
        if not self.live:
            return
        parts = [
            f'{label} {self.done[label]} done: {", ".join(sorted(nodes)) or "waiting"}'
            for label, nodes in self.running.items()
        ]
        self._write('\r\x1b[2K' + ' | '.join(parts)[:150])

    def _write(self, text: str) -> None:
        """Write; a terminal that has gone is not asked again for the live line."""
        self.live = write(text, self.stream) and self.live
