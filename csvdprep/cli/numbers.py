"""Numbers of the command line."""

from __future__ import annotations

import argparse
import math


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


def b_value(text: str) -> float:
    """Read a b-value, s/mm².

    Raises
    ------
    argparse.ArgumentTypeError
        If it is no number from 0 on.

    Examples
    --------
    >>> b_value('50')
    50.0
    """
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is not a number') from None
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError('must be 0 or more')
    return number


def _at_least(least: int, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number') from None
    if number < least:
        raise argparse.ArgumentTypeError(f'must be {least} or more')
    return number
