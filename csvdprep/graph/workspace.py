"""Where a run keeps its intermediates: a folder of its own, which nobody else writes or reads.

What is finished lies in the output folder, so nothing in the working directory is needed by a
later run. A later run never takes it up: it may be from another version, half written, from a
dataset that has the same labels, or (as pickles) from somebody else.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil

from csvdprep.bids.files import LockError, lock
from csvdprep.bids.own import has_sign, is_own, mark, remove_own, remove_unheld
from csvdprep.bids.trust import PARTS
from csvdprep.core.errors import PreflightError

PREFIX = 'csvdprep_wf-'
_LOCK, _KEEP = '.lock', '.keep'
#: Name of the graph, by which its drawings are known, and what they may be called.
GRAPH = 'csvdprep_wf'
DRAWINGS = ('graph.dot', 'graph.dot.svg', 'graph.svg')


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
        raise PreflightError(
            f'The working directory cannot be written: {error.strerror}.',
            file=work_dir,
            field='--work-dir',
            remedy='Give a writable folder with -w.',
        ) from error
    with contextlib.ExitStack() as stack:
        if not keep:
            # It was made a moment ago, so it is removed even if it could not be marked.
            stack.callback(lambda: remove_own(folder) or shutil.rmtree(folder, ignore_errors=True))
        stack.enter_context(lock(folder / _LOCK))
        # Marked when it is locked: a marked folder without a holder is nobody's.
        mark(folder)
        if keep:
            (folder / _KEEP).touch()
        yield folder


def clean(work_dir: Path) -> int:
    """Remove from a working directory what runs of this user made there and no run uses.

    Parameters
    ----------
    work_dir : Path
        Working directory. Links in it are not followed.

    Returns
    -------
    int
        Files and folders that are left, because they are of others or in use.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> with workspace(root, 'a', keep=True):
    ...     _ = (root / 'precious').write_text('x')
    >>> clean(root), [item.name for item in root.iterdir()]
    (1, ['precious'])

    """
    work_dir = Path(work_dir)
    runs = [folder for folder in work_dir.glob(f'{PREFIX}*') if is_own(folder)]
    for folder in runs:
        _remove(folder, _unused)
    # Every run keeps temporary files in the caches.
    if not any(folder.exists() for folder in runs):
        for part in PARTS:
            remove_unheld(work_dir / part)
    for name in DRAWINGS:
        if has_sign(work_dir / name, GRAPH.encode()):
            (work_dir / name).unlink()
    return sum(1 for _ in work_dir.iterdir())


def _tidy(work_dir: Path) -> None:
    """Remove what runs left that were killed."""
    for folder in work_dir.glob(f'{PREFIX}*'):
        if is_own(folder) and not (folder / _KEEP).exists():
            _remove(folder, _abandoned)


def _remove(folder: Path, free) -> None:
    """Remove the folder of a run if its lock says that it is free, and can be had."""
    with contextlib.suppress(OSError, LockError):
        if free(folder / _LOCK):
            with lock(folder / _LOCK, blocking=False):
                remove_own(folder)


def _unused(path: Path) -> bool:
    """Tell whether a lock names nobody (its run has ended in good order), or was abandoned."""
    return not path.exists() or not path.stat().st_size or _abandoned(path)


def _abandoned(path: Path) -> bool:
    """Tell whether the process that a lock names has ended; others' machines are not judged.

    The lock alone would not do: some file systems grant it to everybody.
    """
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
        return found['host'] == socket.gethostname() and not psutil.pid_exists(int(found['pid']))
    except (OSError, ValueError, KeyError, TypeError):
        return False
