"""What is known of each marker: bounds, and where they come from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ['DISAGREE', 'GRADE_FROM', 'Finding', 'hull', 'missing', 'pvs_grade']

#: Counts in the worst slice and hemisphere from which perivascular spaces have grade 1, 2, 3, 4.
GRADE_FROM = (1, 11, 21, 41)
#: How the reason of a range begins that comes from several raters.
DISAGREE = 'raters disagree'


@dataclass(frozen=True)
class Finding:
    """Bounds of one marker; equal where it is known.

    Attributes
    ----------
    low, high : float
        Least and largest value that it can have; ``high`` may be infinite.
    source : str
        'machine', 'rater:AB', several of these joined by ' + ', or 'missing'.
    reason : str
        Why it is not known exactly, or what to mind about it.
    lesions : tuple of str
        Lesions that it counts: 'CMB 1'.
    measures : tuple of str
        Measures that it was taken from: their flags hold for it.
    """

    low: float
    high: float
    source: str = 'machine'
    reason: str = ''
    lesions: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether it has one value."""
        return self.low == self.high

    @classmethod
    def of(cls, value: float, source: str = 'machine', **more) -> Finding:
        """Make a finding that is known.

        Examples
        --------
        >>> Finding.of(3, 'rater:AB').known
        True
        """
        return cls(value, value, source, **more)

    def __str__(self) -> str:
        if self.known:
            return f'{self.low:g}'
        return (
            f'{self.low:g} or more' if math.isinf(self.high) else f'{self.low:g} to {self.high:g}'
        )


def missing(highest: float, reason: str) -> Finding:
    """Say that nothing is known but the largest value that there is.

    Examples
    --------
    >>> str(missing(3, 'no FLAIR'))
    '0 to 3'
    """
    return Finding(0, highest, 'missing', reason)


def hull(findings: Iterable[Finding]) -> Finding:
    """Bound a marker by what several say of it.

    Parameters
    ----------
    findings : iterable of Finding
        At least one.

    Returns
    -------
    Finding
        From the least to the largest bound; the reason tells who says what, if they disagree.

    Examples
    --------
    >>> found = hull([Finding.of(2, 'rater:AB'), Finding.of(3, 'rater:CD')])
    >>> str(found), found.reason
    ('2 to 3', 'raters disagree: AB 2, CD 3')
    """
    found = list(findings)
    low, high = min(item.low for item in found), max(item.high for item in found)
    same = all((item.low, item.high) == (low, high) for item in found)
    said = ', '.join(f'{item.source.removeprefix("rater:")} {item}' for item in found)
    reasons = dict.fromkeys(item.reason for item in found if item.reason)
    return Finding(
        low,
        high,
        ' + '.join(dict.fromkeys(item.source for item in found)),
        '; '.join(reasons) if same else f'{DISAGREE}: {said}',
        tuple(dict.fromkeys(lesion for item in found for lesion in item.lesions)),
        tuple(dict.fromkeys(name for item in found for name in item.measures)),
    )


def pvs_grade(count: float) -> int:
    """Grade perivascular spaces by their number in the worst slice and hemisphere.

    Parameters
    ----------
    count : float
        Number.

    Returns
    -------
    int
        0 for none, 1 to 10, 2 to 20, 3 to 40, 4 for more.

    References
    ----------
    Potter et al. 2015, doi:10.1159/000375153

    Examples
    --------
    >>> [pvs_grade(n) for n in (0, 1, 10, 11, 20, 21, 40, 41)]
    [0, 1, 1, 2, 2, 3, 3, 4]
    """
    return sum(count >= least for least in GRADE_FROM)
