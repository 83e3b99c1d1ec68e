"""Numbers of the command line."""

from __future__ import annotations

import argparse


def positive(text: str) -> int:
    """Read a whole number from 1 on.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is less.

    Examples
    --------
    >>> positive('3')
    3
    """
    return _at_least(1, text)


def natural(text: str) -> int:
    """Read a whole number from 0 on.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is less.

    Examples
    --------
    >>> natural('0')
    0
    """
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is no whole number') from None
    if number < least:
        raise argparse.ArgumentTypeError(f'must be {least} or more')
    return number
