"""What the application made itself: nothing else is ever removed, or replaced by another thing.

A folder says so in a file that lies in it, a file in its first lines. The file of a folder also
tells backups to leave it out (https://bford.info/cachedir/).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
from pathlib import Path

from csvdprep.core.errors import UsageError

#: File that says that the application made the folder in which it lies.
MARKER = 'CACHEDIR.TAG'
_SIGN = b'csvdprep made this folder'
_TEXT = (
    b'Signature: 8a477f597d28d172789f06886806bc55\n'
    b'# ' + _SIGN + b' and may remove it, with all that lies in it.\n'
)
#: Bytes of a file in which it is looked for signs.
_HEAD = 4096


def make_own(folder: Path) -> bool:
    """Make a folder that only this user may enter, marked as the application's.

    Returns
    -------
    bool
        False if there was something of that name, which is then left as it is.

    Raises
    ------
    OSError
        If it cannot be made.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> make_own(root / 'a'), make_own(root / 'a'), is_own(root / 'a'), is_own(root)
    (True, False, True, False)

    """
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        return False
    mark(folder)
    return True


def mark(folder: Path) -> None:
    """Write into a folder that was just made who made it."""
    (Path(folder) / MARKER).write_bytes(_TEXT)


def is_own(folder: Path) -> bool:
    """Tell whether a folder is this user's and says that the application made it; links do not."""
    try:
        facts = os.lstat(folder)
    except OSError:
        return False
    return (
        stat.S_ISDIR(facts.st_mode)
        and facts.st_uid == os.geteuid()
        and has_sign(Path(folder) / MARKER, _SIGN)
    )


def has_sign(path: Path, *signs: bytes) -> bool:
    """Tell whether an ordinary file, no link, has one of some texts near its beginning."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    with os.fdopen(handle, 'rb') as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return False
        head = stream.read(_HEAD)
    return any(sign in head for sign in signs)


def remove_own(folder: Path) -> bool:
    """Remove a folder if the application made it.

    Parameters
    ----------
    folder : Path
        Folder. Its mark goes last: what could not be removed is known the next time.

    Returns
    -------
    bool
        Whether it has gone.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> remove_own(folder), folder.exists()
    (False, True)
    >>> mark(folder)
    >>> remove_own(folder), folder.exists()
    (True, False)

    """
    if not is_own(folder):
        return False
    with contextlib.suppress(OSError):
        for item in os.scandir(folder):
            if item.name == MARKER:
                continue
            if item.is_dir(follow_symlinks=False):
                shutil.rmtree(item.path, ignore_errors=True)
            else:
                os.unlink(item.path)
        if os.listdir(folder) == [MARKER]:
            shutil.rmtree(folder)
    return not os.path.lexists(folder)


def hold(folder: Path) -> int | None:
    """Keep others from removing an own folder, until this process has ended.

    Returns
    -------
    int or None
        Descriptor of the mark; None if there is no mark to be held.
    """
    return _locked(folder, fcntl.LOCK_SH)


def remove_unheld(folder: Path) -> bool:
    """Remove a folder as :func:`remove_own` does, unless a process holds it."""
    if not is_own(folder):
        return False
    handle = _locked(folder, fcntl.LOCK_EX)
    if handle is None:
        return False
    try:
        return remove_own(folder)
    finally:
        os.close(handle)


def _locked(folder: Path, kind: int) -> int | None:
    try:
        # Network disks lock only what is open for writing.
        handle = os.open(Path(folder) / MARKER, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:  # the file system knows no locks
        pass
    return handle


def check_replaceable(path: Path, *signs: str, field: str) -> None:
    """Raise UsageError if writing to a file would replace something of another kind.

    Parameters
    ----------
    path : Path
        File that will be written. There may be none, an empty one, a pipe or a device.
    *signs : str
        How files of the kind begin.
    field : str
        Option that names it.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / 'notes.txt'
    >>> check_replaceable(file, 'prediction', field='--tsv')
    >>> _ = file.write_text('mine')
    >>> check_replaceable(file, 'prediction', field='--tsv')
    Traceback (most recent call last):
    csvdprep.core.errors.UsageError: A file of another kind exists and is not replaced. ...

    """
    real = Path(os.path.realpath(path))
    try:
        facts = os.stat(real)
    except OSError:
        return  # whether it can be made is told when it is written
    if stat.S_ISDIR(facts.st_mode):
        raise UsageError('This is a folder.', file=path, field=field, remedy='Name a file.')
    if not stat.S_ISREG(facts.st_mode) or not facts.st_size:
        return
    if not has_sign(real, *(sign.encode() for sign in signs)):
        raise UsageError(
            'A file of another kind exists and is not replaced.',
            file=path,
            field=field,
            remedy='Name another file, or remove this one.',
        )
