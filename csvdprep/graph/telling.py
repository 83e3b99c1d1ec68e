"""Telling what happened must not change what happens."""

from __future__ import annotations

import contextlib
import functools
import logging
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

from csvdprep.bids.files import atomic_write, read_text
from csvdprep.core.failure import said

_LOG = logging.getLogger(__name__)
#: Inputs of nodes that tell age and sex.
PRIVATE = ('group_covariates',)


def harmless(function: Callable) -> Callable:
    """Let no error of a function that only tells something reach who computes.

    Examples
    --------
    >>> harmless(lambda text: 1 / 0)('a') is None
    True

    """

    @functools.wraps(function)
    def told(*args, **named):
        try:
            return function(*args, **named)
        except Exception as error:
            with contextlib.suppress(Exception):  # the log may be what is broken
                _LOG.info('%s', said(error), exc_info=True)
            return None

    return told


def traceback_lines(error: BaseException) -> list[str]:
    """Return the lines of a traceback, or at least what kind of error it is.

    Examples
    --------
    >>> traceback_lines(ValueError('odd'))
    ['ValueError: odd\\n']

    """
    try:
        return traceback.format_exception(error)
    except Exception:
        return [f'{said(error)}\n']


def keep(folder: Path, name: str, lines: Iterable[str]) -> str:
    """Write the lines of a traceback into a file, as UTF-8 whatever they hold.

    Returns
    -------
    str
        Path of the file, empty if it cannot be written.
    """
    path = Path(folder) / name
    try:
        atomic_write(path, ''.join(map(str, lines)))
    except Exception:
        return ''
    return str(path)


def conceal(file: str) -> str:
    """Take age and sex of participants out of what Nipype writes about a failure.

    It writes all inputs of the node that failed; the output may be passed on, also by people who
    may not pass on ``participants.tsv``.

    Parameters
    ----------
    file : str
        As Nipype wrote it; may be empty.

    Returns
    -------
    str
        The same file; empty if there is none, or if it had to be removed.
    """
    path = Path(file)
    if not file or not path.is_file():
        return file
    starts = tuple(f'{name} = ' for name in PRIVATE)
    try:
        lines = read_text(path, errors='replace').splitlines()
        if any(line.startswith(starts) for line in lines):
            kept = (
                f'{line.partition(" = ")[0]} = (not written)' if line.startswith(starts) else line
                for line in lines
            )
            atomic_write(path, '\n'.join(kept) + '\n')
    except Exception:
        path.unlink(missing_ok=True)
        return ''
    return file
