"""Arterial spin labelling: what is known of blood and tissue at each field strength."""

from __future__ import annotations

from itertools import pairwise

#: Partition coefficient of water between brain and blood, mL/g.
PARTITION = 0.9
#: T1 of arterial blood and of grey matter at 1.5, 3 and 7 T, s.
BLOOD_T1 = {1.5: 1.35, 3.0: 1.65, 7.0: 2.087}
TISSUE_T1 = {1.5: 1.197, 3.0: 1.607, 7.0: 1.939}
#: Magnets differ from their nominal field by some percent.
NOMINAL = 0.1


def blood_t1(tesla: float) -> float:
    """Return T1 of arterial blood.

    Parameters
    ----------
    tesla : float
        Field strength.

    Returns
    -------
    float
        s: the values of the consensus (Alsop 2015, doi:10.1002/mrm.25197) at 1.5 and 3 T, that of
        Zhang 2013 (doi:10.1002/mrm.24550) at 7 T, and its line elsewhere.

    Examples
    --------
    >>> blood_t1(2.89), blood_t1(7), round(blood_t1(4.7), 3)
    (1.65, 2.087, 1.833)
    """
    for nominal, found in BLOOD_T1.items():
        if abs(tesla - nominal) <= NOMINAL * nominal:
            return found
    return (110 * tesla + 1316) / 1000


def tissue_t1(tesla: float) -> float:
    """Return T1 of grey matter, s, for the relaxation of M0; interpolated between 1.5, 3 and 7 T.

    Examples
    --------
    >>> tissue_t1(3.0), round(tissue_t1(5.0), 3)
    (1.607, 1.773)
    """
    for nominal, found in TISSUE_T1.items():
        if abs(tesla - nominal) <= NOMINAL * nominal:
            return found
    points = sorted(TISSUE_T1.items())
    if tesla <= points[0][0]:
        return points[0][1]
    for (low, first), (high, second) in pairwise(points):
        if tesla <= high:
            return first + (second - first) * (tesla - low) / (high - low)
    return points[-1][1]
