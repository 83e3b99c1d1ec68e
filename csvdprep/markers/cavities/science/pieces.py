"""Pieces of one perivascular space: what lies in one line is one space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

#: Gap between the ends of two pieces, and how far one may lie beside the axis of the other, mm;
#: least cosine between the axis of the longer one and the line between their middles.
GAP_MM, BESIDE_MM, STRAIGHT = 4.0, 2.0, 0.8


def joined(facts: Sequence[dict[str, Any]], members: Sequence[int]) -> dict[int, int]:
    """Join pieces of tubes that lie in one line.

    Noise and narrow parts break a tube. Two pieces are of one space if the gap between them is
    short, and the line between their middles runs along the axis of the longer one, and not
    across the other; parallel neighbours stay apart.

    Parameters
    ----------
    facts : sequence of dict
        ``middle``, ``axis`` and ``length_mm`` of each candidate.
    members : sequence of int
        Indices of those that are perivascular spaces.

    Returns
    -------
    dict of int to int
        For each member the index of the member that stands for its space.

    Examples
    --------
    >>> def piece(x, y):
    ...     return {'middle': np.array([x, y, 0.0]), 'axis': np.array([1.0, 0, 0]), 'length_mm': 6}
    >>> joined([piece(0, 0), piece(8, 0.5), piece(0, 3)], [0, 1, 2])
    {0: 0, 1: 0, 2: 2}
    """
    first = {i: i for i in members}

    def root(i: int) -> int:
        while first[i] != i:
            i = first[i]
        return i

    order = sorted(members, key=lambda i: (-facts[i]['length_mm'], i))
    for rank, i in enumerate(order):
        for j in order[rank + 1 :]:
            if _in_line(facts[i], facts[j]):
                low, high = sorted((root(i), root(j)))
                first[high] = low
    return {i: root(i) for i in members}


def _in_line(longer: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tell whether two pieces are of one tube."""
    between = np.asarray(other['middle']) - np.asarray(longer['middle'])
    away = float(np.linalg.norm(between))
    half = (longer['length_mm'] + other['length_mm']) / 2
    if away < 1e-6 or away - half > GAP_MM:
        return False
    along = abs(float(between @ longer['axis'])) / away
    short = other['length_mm'] < 4
    same = short or abs(float(np.dot(longer['axis'], other['axis']))) > STRAIGHT - 0.1
    beside = away * float(np.sqrt(max(0.0, 1 - along**2)))
    return along > STRAIGHT and beside <= BESIDE_MM and same
