"""Run the command as a user would, and tell what must never happen."""

from __future__ import annotations

import contextlib
import io
import os
import re
import resource
import signal
import stat
import sys
import time
import traceback
from pathlib import Path

from fuzz.mutations import Box

from csvdprep.cli.run import main

#: Seconds after which a case counts as hung.
LIMIT = 10.0
#: Bytes that a case may claim: whoever believes a header of terabytes runs into this.
MEMORY = 3 << 30
#: Statuses that the help of the command names.
CODES = frozenset({0, 1, 2, 3, 70})
_NO_TEXT = re.compile(r'[\x00-\x08\x0b-\x1f\x7f]')


class Hung(BaseException):
    """A case took too long; no handler of the application may swallow this."""


@contextlib.contextmanager
def alarm(seconds: float):
    """Raise Hung after some seconds, and leave the alarm of pytest-timeout as it was."""

    def ring(signum, frame):
        # Again and again: an exception within a callback of C may be lost.
        signal.setitimer(signal.ITIMER_REAL, 1.0)
        raise Hung(f'no end after {seconds:g} s')

    start = time.monotonic()
    handler = signal.signal(signal.SIGALRM, ring)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - start), 0.01))


@contextlib.contextmanager
def little_memory(amount: int = MEMORY):
    """Let no case claim much more memory than there is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + amount, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextlib.contextmanager
def surroundings(box: Box):
    """Give a case a working directory, a home and streams of its own."""
    before, here = dict(os.environ), os.getcwd()
    os.environ.update(HOME=str(box.home), XDG_CACHE_HOME=str(box.home / 'cache'), COLUMNS='100')
    out, err = io.BytesIO(), io.BytesIO()
    streams = sys.stdout, sys.stderr
    # As Python opens them: what is no UTF-8 cannot be printed, but can be complained of.
    sys.stdout = io.TextIOWrapper(out, encoding='utf-8', errors='strict')
    sys.stderr = io.TextIOWrapper(err, encoding='utf-8', errors='backslashreplace')
    os.chdir(box.cwd)
    try:
        yield out, err
    finally:
        for wrapper in (sys.stdout, sys.stderr):
            wrapper.flush()
            wrapper.detach()
        sys.stdout, sys.stderr = streams
        os.chdir(here)
        os.environ.clear()
        os.environ.update(before)


def snapshot(box: Box) -> dict[bytes, tuple]:
    """List all that lies outside of the output and the working directory."""
    found = {}
    mine = {os.fsencode(box.out), os.fsencode(box.work)}
    for folder, folders, files in os.walk(os.fsencode(box.folder)):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in mine]
        for name in [*folders, *files]:
            path = os.path.join(folder, name)
            facts = os.lstat(path)
            # Reading changes a pipe's and a folder's times in some file systems; not those of
            # these.
            size = facts.st_size if stat.S_ISREG(facts.st_mode) else 0
            found[path] = (facts.st_mode, facts.st_ino, size, facts.st_mtime_ns)
    return found


def faults_of(box: Box) -> list[str]:
    """Run a case, and return what went wrong: nothing, as it should be.

    Parameters
    ----------
    box : Box
        The case.

    Returns
    -------
    list of str
        A traceback, a hang, a file written elsewhere, a message that is none.
    """
    before = snapshot(box)
    faults, code = [], None
    with surroundings(box) as (out, err):
        try:
            with alarm(LIMIT), little_memory():
                main(box.argv)
        except SystemExit as end:
            code = end.code
        except Hung as hung:
            faults.append(f'hang: {hung} ' + _where(hung))
        except BaseException as error:
            faults.append(f'traceback: {type(error).__name__}: {str(error)[:200]} {_where(error)}')
    said = err.getvalue().decode()
    shown = out.getvalue().decode('utf-8', 'replace')
    if faults:
        return faults
    if code not in CODES:
        faults.append(f'status {code!r}')
    faults += [f'{name}: {line[:200]!r}' for name, line in _odd_lines(said, shown)]
    if code and not (re.search(r'^csvdprep: ', said, re.MULTILINE) or (code == 1 and said)):
        faults.append(f'status {code} without a word')
    if changed := before.items() ^ snapshot(box).items():
        faults.append(f'written outside: {sorted({path for path, _ in changed})}')
    return faults


def _odd_lines(said: str, shown: str):
    for text in (said, shown):
        for line in text.split('\n'):
            if 'Traceback' in line or re.search(r'\bFile "[^"]+\.py", line', line):
                yield 'traceback told', line
            if _NO_TEXT.search(line):
                yield 'control characters', line
            if re.search(r'\.py:\d+: \w*Warning', line):
                yield 'warning of Python', line
            if 'SECRET' in line:
                yield 'secret', line


def _where(error: BaseException) -> str:
    ours = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if '/csvdprep/' in frame.filename
    ]
    last = [f'{Path(frame.filename).name}:{frame.lineno}' for frame in ours[-3:]]
    return f'at {" < ".join(reversed(last))}'
