"""Groups of people that are told of together, because they are few."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

#: Fewest participants of a group of which anything is told.
FEW = 10
#: Name of the groups that are told of together.
OTHERS = 'other groups'


def joined(counts: Mapping[str, int], least: int) -> set[str]:
    """Return the groups that are joined, so that none is small, nor what is joined.

    Parameters
    ----------
    counts : mapping of str to int
        Participants of each group.
    least : int
        Fewest participants of a group.

    Returns
    -------
    set of str
        Groups of fewer than ``least``; where these are fewer together, the next larger, too: from
        the sum over all groups theirs would follow.

    Examples
    --------
    >>> sorted(joined({'50 to 59': 3, '60 to 69': 30, '70 to 79': 20}, 10))
    ['50 to 59', '70 to 79']
    >>> joined({'F': 30, 'M': 20}, 10), sorted(joined({'F': 30, 'M': 4, 'n/a': 7}, 10))
    (set(), ['M', 'n/a'])
    """
    order = sorted(counts, key=lambda name: (counts[name], name))
    out: set[str] = set()
    total = 0
    for name in order:
        if counts[name] >= least and (not out or total >= least):
            break
        out.add(name)
        total += counts[name]
    return out


def join_small(groups: np.ndarray, people: np.ndarray, least: int = FEW) -> np.ndarray:
    """Name the groups of few participants alike.

    Parameters
    ----------
    groups, people : ndarray of str, shape (n,)
        Group and participant of each row; the first row of a participant counts.
    least : int, optional
        Fewest participants of a group.

    Returns
    -------
    ndarray of object, shape (n,)

    Examples
    --------
    >>> groups = np.array(['F'] * 30 + ['M'] * 20 + ['X'] * 3)
    >>> named = join_small(groups, np.arange(53).astype(str))
    >>> sorted(set(named)), int((named == 'other groups').sum())
    (['F', 'other groups'], 23)
    """
    groups = np.asarray(groups).astype(object)
    each = Counter(groups[np.unique(people, return_index=True)[1]])
    groups[np.isin(groups, list(joined(each, least)))] = OTHERS
    return groups
