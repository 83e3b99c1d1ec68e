"""Where a run keeps its intermediates: a folder of its own, which nobody else writes or reads.

What is finished lies in the output folder, so nothing in the working directory is needed by a
later run. A later run never takes it up: it may be from another version, half written, from a
dataset that has the same labels, or (as pickles) from somebody else.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil

from csvdprep.bids.files import LockError, lock
from csvdprep.core.errors import PreflightError

PREFIX = 'csvdprep_wf-'
_LOCK, _KEEP = '.lock', '.keep'


@contextlib.contextmanager
def workspace(work_dir: Path, run_id: str, *, keep: bool = False) -> Iterator[Path]:
    """Make the folder of a run, and remove it afterwards.

    Parameters
    ----------
    work_dir : Path
        Working directory; several runs may share it.
    run_id : str
        Name of the run.
    keep : bool, optional
        Leave the folder, also when later runs tidy up.

    Yields
    ------
    Path
        The folder, which only its owner can enter. What killed runs of the same user left
        beside it is removed.

    Raises
    ------
    PreflightError
        If it cannot be made.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> with workspace(root, 'a') as folder:
    ...     _ = (folder / 'file').write_text('x')
    >>> list(root.iterdir())
    []

    """
    work_dir = Path(work_dir).absolute()
    folder = work_dir / f'{PREFIX}{run_id}'
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
        _tidy(work_dir)
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise PreflightError(f'The working directory cannot be written: {error.strerror}.',
                             file=work_dir, field='--work-dir',
                             remedy='Name a folder you may write with -w.') from error  # fmt: skip
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: None if keep else shutil.rmtree(folder, ignore_errors=True))
        stack.enter_context(lock(folder / _LOCK))
        if keep:
            (folder / _KEEP).write_text('')
        yield folder


def _tidy(work_dir: Path) -> None:
    """Remove what runs left that were killed."""
    for folder in work_dir.glob(f'{PREFIX}*'):
        with contextlib.suppress(OSError):
            if (folder.is_symlink() or folder.stat().st_uid != os.geteuid()
                    or (folder / _KEEP).exists()):  # fmt: skip
                continue
            if not _abandoned(folder / _LOCK):
                continue
            with contextlib.suppress(LockError), lock(folder / _LOCK, blocking=False):
                shutil.rmtree(folder, ignore_errors=True)


def _abandoned(path: Path) -> bool:
    """Tell whether the process that a lock names has ended; others' machines are not judged.

    The lock alone would not do: some file systems grant it to everybody.
    """
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
        return found['host'] == socket.gethostname() and not psutil.pid_exists(int(found['pid']))
    except (OSError, ValueError, KeyError, TypeError):
        return False
