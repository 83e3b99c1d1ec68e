"""Whether a folder can be trusted: nobody else can have put there what a run would read.

Nipype keeps results as pickles, and to read a pickle is to run what it says. A run reads those
of its own folder only; but in a working directory in which others may replace what is not theirs,
they can put another folder in its place while it runs, and get the account of whoever runs it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Collection, Iterable
from pathlib import Path

from csvdprep.bids.own import make_own
from csvdprep.core.errors import PreflightError

#: What runs read again of the working directory: caches and settings of libraries (Matplotlib's,
#: and those below HOME where that cannot be written). Each user of a shared folder has their own.
PARTS = (f'cache-{os.geteuid()}',)
_REMEDY = (
    'Give a folder of your own with -w, or remove the write permission of other users '
    '(chmod o-w; chmod +t for a shared folder).'
)


def check_trusted(
    folder: Path, *, parts: Iterable[str] = PARTS, owners: Collection[int] = ()
) -> None:
    """Raise PreflightError if another user may have written to a folder, or could do so.

    The folder, and all that lies in ``parts`` of it, has to belong to this user or to root, and
    not everybody may have the right to write to it. A folder in which others may make files but
    not replace any (sticky, as /tmp) will do, since what they make does not belong to this user.

    Parameters
    ----------
    folder : Path
        Folder; nothing is wrong with one that does not exist yet.
    parts : iterable of str, optional
        What of it will be read again. Other things in it may belong to anybody.
    owners : collection of int, optional
        Further user ids that are trusted, e.g. of whoever mounted the folder into a container.

    Raises
    ------
    PreflightError
        If somebody else may write there; names the first file or folder at fault.

    Notes
    -----
    Where a file system maps all users to one (NFS that squashes, CIFS), this user is the one that
    a new file belongs to; where it keeps no permissions (a Windows drive), these tell nothing
    and are not asked for. The group of a folder is trusted: laboratories share scratch so.
    Folders above are not looked at: who may rename this one cannot give away a new one.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> check_trusted(folder)
    >>> folder.chmod(0o777)
    >>> check_trusted(folder)
    Traceback (most recent call last):
    csvdprep.core.errors.PreflightError: Every user can write to the working directory. ...

    """
    folder = Path(folder)
    try:
        facts = os.stat(folder)
    except FileNotFoundError:
        return
    me, keeps_modes = _probe(folder)
    trusted = {0, os.geteuid(), *me, *owners}
    writers = stat.S_IWOTH if keeps_modes else 0
    _check(folder, facts, trusted, writers)
    writers &= _reached(facts)
    for part in parts:
        top = folder / part
        with contextlib.suppress(FileNotFoundError):
            facts = os.lstat(top)
            _check(top, facts, trusted, writers)
            if stat.S_ISDIR(facts.st_mode):
                _check_below(top, trusted, writers & _reached(facts))


def make_trusted(
    folder: Path, *, parts: Iterable[str] = PARTS, owners: Collection[int] = ()
) -> None:
    """Make a folder and its parts, open to this user only, then check what was there before.

    A part that it makes is marked as the application's own; the folder is the user's.

    Parameters
    ----------
    folder, parts, owners
        As in :func:`check_trusted`.

    Raises
    ------
    PreflightError
        If somebody else may write to it.
    OSError
        If it cannot be made.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / 'a' / 'work'
    >>> make_trusted(folder)
    >>> oct(folder.stat().st_mode & 0o777), (folder / PARTS[0]).is_dir()
    ('0o700', True)

    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    parts = tuple(parts)
    # Made before they are looked at: nobody can make them in between.
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    for part in parts:
        make_own(folder / part)
    check_trusted(folder, parts=parts, owners=owners)


def _check(path: Path, facts: os.stat_result, trusted: Collection[int], writers: int) -> None:
    if facts.st_uid not in trusted:
        raise PreflightError(
            'The working directory, or a file in it, belongs to another user '
            f'(uid {facts.st_uid}), who could change what this run executes.',
            file=path,
            field='--work-dir',
            remedy=_REMEDY,
        )
    # A link has no permissions; a sticky folder lets nobody replace what is not theirs.
    sticky = stat.S_ISDIR(facts.st_mode) and facts.st_mode & stat.S_ISVTX
    if stat.S_ISLNK(facts.st_mode) or sticky:
        return
    if stat.S_ISDIR(facts.st_mode):
        writers &= _reached(facts)
    if facts.st_mode & writers:
        raise PreflightError(
            'Every user can write to the working directory.',
            file=path,
            field='--work-dir',
            remedy=_REMEDY,
        )


def _check_below(top: Path, trusted: Collection[int], writers: int) -> None:
    todo = [(top, writers)]
    while todo:
        folder, left = todo.pop()
        # What cannot be listed cannot be read by the run, either; what has gone is gone.
        with contextlib.suppress(PermissionError, FileNotFoundError), os.scandir(folder) as found:
            for entry in found:
                facts = entry.stat(follow_symlinks=False)
                path = Path(entry.path)
                _check(path, facts, trusted, left)
                if stat.S_ISDIR(facts.st_mode):
                    todo.append((path, left & _reached(facts)))


def _reached(facts: os.stat_result) -> int:
    """Return the right to write that counts below a folder: of those who may enter it."""
    return stat.S_IWOTH if facts.st_mode & stat.S_IXOTH else 0


def _probe(folder: Path) -> tuple[set[int], bool]:
    """Tell to whom a new file belongs, and whether the file system keeps permissions."""
    probe = folder / f'.csvdprep-{secrets.token_hex(6)}.probe'
    try:
        handle = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError:
        # Where this user cannot write, the run ends for that reason a moment later.
        return set(), True
    try:
        facts = os.fstat(handle)
    finally:
        os.close(handle)
        probe.unlink(missing_ok=True)
    return {facts.st_uid}, not facts.st_mode & 0o077
