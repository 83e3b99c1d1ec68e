"""Telling what happened must not change what happens."""

from __future__ import annotations

import contextlib
import functools
import logging
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

from csvdprep.bids.files import atomic_write
from csvdprep.core.failure import said

_LOG = logging.getLogger(__name__)


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
