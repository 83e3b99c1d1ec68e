"""What is told of a step that failed: one record, from the process that failed to the last page.

What kind of failure it is, is decided once, by the type and the number of the error, where the
error is caught. Nobody who reads the record has to understand its sentences.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from csvdprep.core.errors import CsvdprepError, plain

#: What may have gone wrong.
KINDS = {
    'input': 'a file cannot be used',
    'measure': 'an image was read, but the quantity cannot be measured on it',
    'setup': 'something that the run needs is missing or cannot be used',
    'memory': 'there was not enough memory',
    'disk': 'the disk is full',
    'quota': 'the disk quota is used up',
    'readonly': 'the disk cannot be written to',
    'system': 'another error of the operating system',
    'killed': 'the process was killed, most likely because memory ran out',
    'died': 'the process ended without a result',
    'lost': 'the scheduler job ended without an error message',
    'bug': 'an unexpected error: probably a bug of the application',
    'unknown': 'the kind is not recorded, as an earlier version wrote the file',
}
_OF_ERRNO = {
    errno.ENOMEM: 'memory',
    errno.ENOSPC: 'disk',
    errno.EDQUOT: 'quota',
    errno.EROFS: 'readonly',
}
#: Libraries in C++ have one type of error for everything: only their words tell want of memory.
_OF_NATIVE = {
    'bad_alloc': 'memory',
    'Failed to allocate memory': 'memory',
    'Cannot allocate memory': 'memory',
    'failed to map segment': 'memory',
    'No space left on device': 'disk',
    'Disk quota exceeded': 'quota',
    'Read-only file system': 'readonly',
}
#: Sentence and remedy where neither the image nor the application is at fault.
_SAID = {
    'memory': (
        'There was not enough memory.',
        'give the run more (--mem) or use fewer processes (--nprocs).',
    ),
    'disk': (
        'The disk is full.',
        (
            'free some space, or give another working directory (-w), and start again; '
            'finished results are kept.'
        ),
    ),
    'quota': ('The disk quota is used up.', 'free some space and start again.'),
    'readonly': ('The disk cannot be written to.', 'give another output or working directory.'),
}
_LONGEST = 500


@dataclass(frozen=True)
class Failure:
    """A step that failed, and why.

    Parameters
    ----------
    room : str
        Room, or part of the run ('tables', 'report', 'run').
    node : str
        Node of the graph; empty where there is none.
    kind : str
        One of `KINDS`.
    message : str
        What is wrong, in one sentence; it names the file and the field that are at fault.
    file : str
        File with the details (the traceback), below the root of the derivatives if it lies there.
    remedy : str
        What the user can do about it.

    Examples
    --------
    >>> print(Failure('wmh', 'segment', 'disk', 'The disk is full.', remedy='free some space.'))
    The disk is full. Remedy: free some space.

    """

    room: str
    node: str
    kind: str
    message: str
    file: str = ''
    remedy: str = ''

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f'{self.kind!r} is no kind of failure')

    def __str__(self) -> str:
        return f'{self.message} Remedy: {self.remedy}' if self.remedy else self.message

    @property
    def of_room(self) -> bool:
        """Whether the room itself failed, and not a figure of it."""
        return not self.node.startswith(('draw_', 'ds_fig_', 'checkpoint_'))

    @property
    def short_of_memory(self) -> bool:
        """Whether more memory may help."""
        return self.kind in ('memory', 'killed')

    @classmethod
    def of(cls, error: BaseException, *, room: str, node: str = '', file: str = '') -> Failure:
        """Judge an error where it is caught.

        Parameters
        ----------
        error : BaseException
            The error itself; what it came from is looked at, too.
        room, node, file : str
            See the class.

        Examples
        --------
        >>> Failure.of(OSError(28, 'No space left on device'), room='wmh').kind
        'disk'
        >>> Failure.of(ValueError('odd'), room='wmh').message
        'ValueError: odd'

        """
        kind = next((found for cause in _causes(error) if (found := _outer(cause))), None)
        if kind:
            message, remedy = _SAID[kind]
        else:
            kind, message = _inner(error), said(error, remedy=False)
            remedy = plain(error.remedy) if isinstance(error, CsvdprepError) else ''
        return cls(room, node, kind, message, file, remedy)

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Failure:
        """Take a failure from a file; earlier versions noted neither kind nor remedy.

        Raises
        ------
        TypeError
            If it holds something else than texts.

        Examples
        --------
        >>> Failure.read({'room': 'wmh', 'message': 'No brain.'}).kind
        'unknown'

        """
        names = ('room', 'node', 'kind', 'message', 'file', 'remedy')
        told = {name: found.get(name, '') for name in names}
        told = {name: '' if text is None else text for name, text in told.items()}
        if not all(isinstance(text, str) for text in told.values()):
            raise TypeError('a failure is told in texts')
        if not {'room', 'message'} <= {*found}:
            raise TypeError('a failure has a room and a message')
        return cls(**told | {'kind': told['kind'] if told['kind'] in KINDS else 'unknown'})


def said(error: BaseException, *, remedy: bool = True) -> str:
    """Put an error in words on one line, also one that cannot say what it is.

    Parameters
    ----------
    error : BaseException
        The error.
    remedy : bool, optional
        Whether to say what the user can do about it.

    Examples
    --------
    >>> said(OSError(28, 'No space left on device', 'a.txt')), said(ValueError('odd'))
    ('No space left on device: a.txt', 'ValueError: odd')

    """
    kind = type(error).__name__
    try:
        if isinstance(error, CsvdprepError):
            return str(error) if remedy else error.sentence
        if isinstance(error, OSError) and error.strerror:
            where = f': {error.filename}' if error.filename else ''
            return plain(f'{error.strerror}{where}')
        text = ' '.join(f'{kind}: {error}'.split())
        return plain(text if len(text) <= _LONGEST else f'{text[:_LONGEST]} ...')
    except Exception:  # __str__ is anybody's code
        return kind


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it came from."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _outer(error: BaseException) -> str | None:
    """Return the kind of an error for which the machine is to blame."""
    if isinstance(error, MemoryError):
        return 'memory'
    if isinstance(error, OSError):
        return _OF_ERRNO.get(error.errno)
    if _is_native(error):
        try:
            text = str(error)
        except Exception:
            return None
        return next((kind for sign, kind in _OF_NATIVE.items() if sign in text), None)
    return None


def _is_native(error: BaseException) -> bool:
    """Tell whether an error may have been thrown in C++ (ITK, ONNX Runtime, the loader)."""
    home = type(error).__module__.partition('.')[0]
    return type(error) in (RuntimeError, ImportError) or home == 'onnxruntime'


def _inner(error: BaseException) -> str:
    if isinstance(error, CsvdprepError):
        return error.kind if error.kind in KINDS else 'setup'
    return 'system' if isinstance(error, OSError) else 'bug'
