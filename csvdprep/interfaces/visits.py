"""Visits of a participant, for rooms that compare them: poses, pairs, intervals."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np

from csvdprep.bids.tsv import read_tsv


def read_poses(path: str | Path) -> dict[str, np.ndarray]:
    """Read where the visits lie in the space half-way between them.

    Parameters
    ----------
    path : path-like
        Table of poses.

    Returns
    -------
    dict of str to ndarray, shape (4, 4)
        By session, half-way world to world of the visit, RAS+ mm; in the order of the table.
    """
    found = {}
    for row in read_tsv(Path(path)).rows:
        matrix = np.eye(4)
        for r in range(3):
            for c in range(4):
                matrix[r, c] = float(row[f'm{r + 1}{c + 1}'])
        found[row['session']] = matrix
    return found


def visit_pairs(count: int) -> list[tuple[int, int]]:
    """Return consecutive visits; of more than two, the first and the last come last.

    Examples
    --------
    >>> visit_pairs(2), visit_pairs(4)
    ([(0, 1)], [(0, 1), (1, 2), (2, 3), (0, 3)])
    """
    return [*pairwise(range(count)), *([(0, count - 1)] if count > 2 else [])]


def years_between(years: Mapping[str, float | None], one: str, two: str) -> float | None:
    """Return the years from one session to another; None if they are not known, or not above 0.

    Examples
    --------
    >>> years_between({'ses-1': 0.0, 'ses-2': 1.5}, 'ses-1', 'ses-2')
    1.5
    """
    if years.get(one) is None or years.get(two) is None or years[two] <= years[one]:
        return None
    return years[two] - years[one]
