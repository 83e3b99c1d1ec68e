"""Paths of the command line."""

from __future__ import annotations

import argparse
from pathlib import Path


def path(text: str) -> Path:
    """Read a path. An empty one is a variable that was not set: it never means this folder.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is empty.

    Examples
    --------
    >>> path('a/b')
    PosixPath('a/b')

    """
    return Path(filled(text))


def filled(text: str) -> str:
    """Read a path that may be something else, such as ``-`` or the name of an image.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is empty.

    Examples
    --------
    >>> filled('-')
    '-'

    """
    if not text:
        raise argparse.ArgumentTypeError('the path is empty; perhaps a shell variable is not set')
    return text


def named(text: str) -> tuple[str, Path]:
    """Read ``NAME=PATH``, or a path whose last part is the name.

    Raises
    ------
    argparse.ArgumentTypeError
        If either is empty.

    Examples
    --------
    >>> named('qsi=/data/qsiprep'), named('/data/qsiprep')
    (('qsi', PosixPath('/data/qsiprep')), ('qsiprep', PosixPath('/data/qsiprep')))

    """
    name, found, place = text.partition('=')
    if not found:
        return path(text).name, Path(text)
    if not name:
        raise argparse.ArgumentTypeError('the name before = is missing')
    return name, path(place)
