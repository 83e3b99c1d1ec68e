"""What the scheduler knows of the tasks of an array job."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from csvdprep.cluster.manifest import Manifest
from csvdprep.core.plan import Visit

#: States of Slurm in which a task is still to come or at work.
OPEN = frozenset(
    {
        'PENDING',
        'CONFIGURING',
        'RUNNING',
        'REQUEUED',
        'REQUEUE_HOLD',
        'SUSPENDED',
        'COMPLETING',
        'RESIZING',
        'SPECIAL_EXIT',
        'REQUEUE_FED',
    }
)

#: States after which more memory would not help.
OTHER_CAUSES = frozenset(
    {'TIMEOUT', 'CANCELLED', 'NODE_FAIL', 'PREEMPTED', 'BOOT_FAIL', 'DEADLINE'}
)


def tasks(folder: Path) -> dict[int, tuple[str, str]]:
    """Ask Slurm for the tasks of an array job.

    Parameters
    ----------
    folder : Path
        Folder of the array job, with ``jobs.txt``.

    Returns
    -------
    dict of int to (str, str)
        State and reason by line of the list of visits (from 0), as far as the scheduler still
        knows; nothing where there is no Slurm.
    """
    jobs: dict[str, int] = {}
    try:
        for line in (folder / 'jobs.txt').read_text(encoding='utf-8').splitlines():
            number, first = line.split()[:2]
            if first != 'group':
                jobs[number] = int(first)
    except (OSError, ValueError):
        return {}
    if not jobs:
        return {}
    ids = ','.join(jobs)
    found: dict[int, tuple[str, str]] = {}
    for command in (
        ['sacct', '-n', '-X', '-P', '-j', ids, '-o', 'JobID,State,ExitCode'],
        ['squeue', '-h', '-r', '-t', 'all', '-j', ids, '-o', '%i|%T|%r'],
    ):
        for line in _ask(command):
            name, _, rest = line.partition('|')
            state, _, reason = rest.partition('|')
            job, _, task = name.partition('_')
            if job in jobs and task.isdigit():
                found[jobs[job] + int(task) - 1] = (state.split()[0] if state else '', reason)
    return found


def by_visit(jobs: Iterable[Manifest]) -> dict[Visit, tuple[str, str]]:
    """Ask Slurm for the visits of several array jobs; the later job has the last word.

    Parameters
    ----------
    jobs : iterable of Manifest
        Array jobs, oldest first.

    Returns
    -------
    dict of Visit to (str, str)
        State and reason, as far as the scheduler still knows.
    """
    found: dict[Visit, tuple[str, str]] = {}
    for job in jobs:
        visits = job.visits()
        found |= {
            visits[line]: told for line, told in tasks(job.folder).items() if line < len(visits)
        }
    return found


def limit_of_arrays(default: int = 1000) -> int:
    """Return how many tasks one array may have on this cluster."""
    for line in _ask(['scontrol', 'show', 'config']):
        name, _, value = line.partition('=')
        if name.strip() == 'MaxArraySize' and value.strip().isdigit():
            # The highest index has to be below this number.
            return max(1, int(value) - 1)
    return default


def said(entry: tuple[str, str] | None) -> str:
    """Say in words what the scheduler did to a task.

    Examples
    --------
    >>> said(('TIMEOUT', 'TimeLimit')), said(None)
    ('Slurm: TIMEOUT (TimeLimit)', '')

    """
    if not entry or not entry[0]:
        return ''
    reason = f' ({entry[1]})' if entry[1] and entry[1] not in ('None', '0:0') else ''
    return f'Slurm: {entry[0]}{reason}'


def _ask(command: list[str]) -> list[str]:
    if not shutil.which(command[0]):
        return []
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=60,
            check=False,
            encoding='utf-8',
            errors='replace',
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []
