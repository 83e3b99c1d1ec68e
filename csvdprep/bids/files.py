"""Write whole files or none, tell files apart by content, and keep two runs off one folder."""

from __future__ import annotations

import codecs
import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import secrets
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from csvdprep.core.errors import InputError, PreflightError

_LOG = logging.getLogger(__name__)
#: Largest text file (bytes) that is read; those of datasets have a few thousand.
MOST_TEXT = 64 << 20
#: Seconds for which a lock may be held by somebody who only looks.
GLANCE_S = 0.2
#: What file systems answer that do not know flock at all.
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}
#: What helps where content is missing.
FETCH = 'Fetch its content, then run again.'
#: Largest file (bytes) that may be a pointer of git-annex or git-lfs, and what it begins with.
MOST_POINTER = 32 << 10
_POINTER = re.compile(rb'version https://git-lfs|[^\s{}"\[\],*]*annex[/\\]objects[/\\]')


class LockError(PreflightError):
    """Another run holds the lock."""


class ContentMissing(OSError):  # noqa: N818
    """The file is a link or a pointer whose content was never fetched: present, but not here.

    No FileNotFoundError, since a file that the dataset lists is not absent.
    """

    def __str__(self) -> str:
        return self.strerror


def atomic_write(path: str | os.PathLike, content: str | bytes) -> bool:
    """Write a file so that readers see the old or the new content, never a part of it.

    Nothing is touched if the file already holds ``content``, so that time stamps mean something.

    Parameters
    ----------
    path : path-like
        File to write; its folder is made if need be.
    content : str or bytes
        What it shall hold; text is written as UTF-8.

    Returns
    -------
    bool
        Whether the file was written.

    Raises
    ------
    OSError
        If it cannot be written; no temporary file stays behind.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / 'a' / 'text.txt'
    >>> atomic_write(target, 'one'), atomic_write(target, 'one'), target.read_text()
    (True, False, 'one')

    """
    path = Path(path)
    # What is no text (names of files may be anything) is written as its code.
    data = content.encode('utf-8', 'backslashreplace') if isinstance(content, str) else content
    with contextlib.suppress(OSError):
        if path.stat().st_size == len(data) and path.read_bytes() == data:
            return False
    with replacing(path) as stream:
        stream.write(data)
    return True


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a file that takes the place of the one at ``path`` when the block ends well.

    Parameters
    ----------
    path : path-like
        File to write; its folder is made if need be.

    Yields
    ------
    file object
        To write bytes to. Readers see the old file until the block has ended.

    Raises
    ------
    OSError
        If it cannot be written; no temporary file stays behind.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / 'text.txt'
    >>> with replacing(target) as stream:
    ...     _ = stream.write(b'one')
    ...     target.exists()
    False
    >>> target.read_text()
    'one'

    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A short name of its own: as long as the target's, it could exceed what the disk allows.
    draft = path.parent / f'.{os.getpid()}-{secrets.token_hex(6)}.tmp'
    # Unlike tempfile, os.open honours the umask: others of the group can read the result.
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(handle, 'wb') as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def file_digest(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal, read piece by piece.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / 'empty'
    >>> _ = target.write_bytes(b'')
    >>> file_digest(target)[:8]
    'e3b0c442'

    """
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, 'sha256').hexdigest()


def open_regular(path: str | os.PathLike) -> BinaryIO:
    """Open a file to read its bytes, but no pipe or device, which may wait or go on for ever.

    Raises
    ------
    ContentMissing
        If it is a link that leads nowhere, or a pointer of git-annex or git-lfs.
    OSError
        If it cannot be opened for another reason, or is no ordinary file.

    Examples
    --------
    >>> open_regular('/dev/zero')
    Traceback (most recent call last):
    OSError: [Errno 22] This is not an ordinary file: '/dev/zero'

    """
    try:
        # Without waiting, opening a pipe does not wait for somebody who writes to it.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP) and os.path.islink(path):
            raise _content_missing(path, _link(os.readlink(path))) from error
        raise
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode):
        os.close(handle)
        folder = stat.S_ISDIR(facts.st_mode)
        code = errno.EISDIR if folder else errno.EINVAL
        what = 'This is a folder' if folder else 'This is not an ordinary file'
        raise OSError(code, what, os.fspath(path))
    if facts.st_size <= MOST_POINTER and _POINTER.match(os.pread(handle, 600, 0)):
        os.close(handle)
        raise _content_missing(path, 'a pointer of git-annex or git-lfs')
    return os.fdopen(handle, 'rb')


def content_missing(path: str | os.PathLike) -> str:
    """Say that a file is there only as a link or a pointer, and how to get its content.

    Parameters
    ----------
    path : path-like
        Any file.

    Returns
    -------
    str
        One sentence, or nothing if the content is there, or there is no such file at all.

    Examples
    --------
    >>> import tempfile
    >>> sidecar = Path(tempfile.mkdtemp()) / 'T1w.json'
    >>> content_missing(sidecar)
    ''
    >>> sidecar.symlink_to('.git/annex/objects/MD5E-s10--a.json')
    >>> print(content_missing(sidecar))  # doctest: +NORMALIZE_WHITESPACE
    The content of T1w.json is not here: fetch it (datalad get, git annex get, git lfs pull);
    the file is a git-annex link without content.

    """
    try:
        open_regular(path).close()
    except ContentMissing as error:
        return str(error)
    except OSError:
        return ''
    return ''


def unreadable(path: str | os.PathLike, error: OSError | UnicodeError) -> InputError:
    """Say in words why a file of a dataset cannot be read, and what helps.

    Parameters
    ----------
    path : path-like
        The file.
    error : OSError or UnicodeError
        What `open_regular` or `read_text` raised.

    Returns
    -------
    InputError
        To be raised, or told.

    Examples
    --------
    >>> print(unreadable('T1w.json', PermissionError(13, 'Permission denied')))
    The file is not readable. [file: T1w.json] Remedy: Ask for read permission (chmod a+r).

    """
    message, remedy = f'The file cannot be read ({error}).', 'Copy it again.'
    if isinstance(error, ContentMissing):
        message, remedy = str(error), FETCH
    elif isinstance(error, UnicodeError):
        message, remedy = 'The file is not UTF-8 text.', 'Save it as UTF-8.'
    elif isinstance(error, FileNotFoundError):
        message, remedy = 'The file does not exist.', 'Check the path.'
    elif isinstance(error, PermissionError):
        message, remedy = ('The file is not readable.', 'Ask for read permission (chmod a+r).')
    elif isinstance(error, IsADirectoryError):
        message, remedy = 'This is a folder, not a file.', 'Put the file itself in its place.'
    elif error.errno == errno.EINVAL:
        message = 'This is not an ordinary file but a pipe, a socket or a device.'
        remedy = 'Put the file itself in its place.'
    elif error.strerror:
        message = f'The file cannot be read ({error.strerror}).'
    return InputError(message, file=path, remedy=remedy)


def _content_missing(path: str | os.PathLike, what: str) -> ContentMissing:
    name = os.path.basename(os.fspath(path))
    return ContentMissing(
        errno.ENODATA,
        f'The content of {name} is not here: fetch it (datalad get, git annex get, git lfs pull); '
        f'the file is {what}.',
        os.fspath(path),
    )


def _link(target: str) -> str:
    if 'annex' in target:
        return 'a git-annex link without content'
    return (
        f'a symbolic link to {target}, which does not exist (restore the target, or '
        'replace the link by the file)'
    )


def read_text(path: str | os.PathLike, *, errors: str = 'strict') -> str:
    """Read a text file of a dataset as UTF-8, with or without a mark at its beginning.

    Parameters
    ----------
    path : path-like
        Ordinary file of no more than 64 MiB.
    errors : str, optional
        What to do about bytes that are no UTF-8, as for `bytes.decode`.

    Returns
    -------
    str
        Its content, line ends as ``\\n``.

    Raises
    ------
    OSError
        If it is no ordinary file, is too large, or cannot be read.
    UnicodeDecodeError
        If it is no UTF-8.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / 'text'
    >>> _ = target.write_bytes(b'a\\r\\nb')
    >>> read_text(target)
    'a\\nb'

    """
    return _lines(_few_bytes(path).decode('utf-8-sig', errors))


def read_any_text(path: str | os.PathLike) -> tuple[str, str]:
    """Read a text file that an office program may have written, whatever its encoding.

    Parameters
    ----------
    path : path-like
        Ordinary file of no more than 64 MiB.

    Returns
    -------
    text : str
        Its content, line ends as ``\\n``.
    encoding : {'UTF-8', 'UTF-16', 'Windows-1252'}
        What it was found to be; the last is a guess, for bytes that are no UTF-8.

    Raises
    ------
    OSError
        If it is no ordinary file, is too large, or cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / 'text'
    >>> for encoding in ('utf-8', 'utf-16', 'utf-16-le', 'cp1252'):
    ...     _ = target.write_bytes('Besançon'.encode(encoding))
    ...     print(*read_any_text(target))
    Besançon UTF-8
    Besançon UTF-16
    Besançon UTF-16
    Besançon Windows-1252

    """
    data = _few_bytes(path)
    wide = data[:4096]
    half = len(wide) // 2
    # Of two bytes a letter, one is zero in nearly all words that a table begins with.
    big, little = (2 * wide[start::2].count(0) > half > 0 for start in (0, 1))
    for encoding, name, fits in (
        ('utf-16', 'UTF-16', data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))),
        ('utf-16-le', 'UTF-16', little and not big),
        ('utf-16-be', 'UTF-16', big and not little),
        ('utf-8-sig', 'UTF-8', True),
    ):
        if fits:
            with contextlib.suppress(UnicodeDecodeError):
                return _lines(data.decode(encoding)), name
    # Five bytes have no letter in Windows-1252; none of them keeps the others from being read.
    return _lines(data.decode('cp1252', 'replace')), 'Windows-1252'


def _few_bytes(path: str | os.PathLike) -> bytes:
    with open_regular(path) as stream:
        data = stream.read(MOST_TEXT + 1)
    if len(data) > MOST_TEXT:
        raise OSError(
            errno.EFBIG, f'The file is larger than {MOST_TEXT >> 20} MiB', os.fspath(path)
        )
    return data


def _lines(text: str) -> str:
    return text.replace('\r\n', '\n').replace('\r', '\n')


@contextlib.contextmanager
def lock(
    path: str | os.PathLike, *, blocking: bool = True, timeout: float | None = None
) -> Iterator[None]:
    """Hold a lock for the length of a ``with`` block; the system frees it if the process dies.

    Parameters
    ----------
    path : path-like
        Lock file; it names its holder while held, and is left empty afterwards.
    blocking : bool, optional
        Wait until it is free (True), or refuse at once (False).
    timeout : float, optional
        Seconds to wait at most; None waits as long as it takes.

    Raises
    ------
    LockError
        If somebody else holds it; the message says who.

    Notes
    -----
    Where the file system knows no locks the block runs unlocked, with a warning: files are
    written by atomic rename, so that the worst case is work done twice.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        # Who only looks whether it is held (`csvdprep status`) holds it for a moment, too.
        limit = time.monotonic() + ((timeout or 0.0) if blocking else GLANCE_S)
        endless = blocking and timeout is None
        while not _acquired(handle, path):
            if not endless and time.monotonic() >= limit:
                raise LockError(
                    f'Another run is using this folder: {holder(path)}.',
                    file=path,
                    remedy='Wait until that run has ended, or stop it.',
                )
            time.sleep(0.05)
        text = {'pid': os.getpid(), 'host': socket.gethostname(), 'since': _now()}
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(text).encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def is_held(lock: Path) -> bool:
    """Tell whether somebody holds a lock; where locks are not known, a name in it is believed."""
    try:
        if not lock.stat().st_size:
            return False
        handle = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:  # who may not look cannot tell
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def holder(path: str | os.PathLike) -> str:
    """Say in words who holds a lock.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / 'lock'
    >>> with lock(file):
    ...     holder(file).startswith(f'process {os.getpid()} on ')
    True

    """
    try:
        text = json.loads(Path(path).read_text(encoding='utf-8'))
        return f'process {text["pid"]} on {text["host"]}, since {text["since"]}'
    except (OSError, ValueError, KeyError, TypeError):
        return 'an unknown process'


def _acquired(handle: int, path: Path) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        _LOG.warning(
            'The file system of %s does not support locks; continuing without a lock.', path
        )
    return True


def _now() -> str:
    return time.strftime('%Y-%m-%d %H:%M:%S')
