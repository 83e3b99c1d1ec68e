"""Thinning of a mask to middle lines, voxel by voxel, without a change of its topology."""

from __future__ import annotations

from functools import cache

import numpy as np

_STEPS = [
    (x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if (x, y, z) != (0, 0, 0)
]
_FACES = [k for k, step in enumerate(_STEPS) if sum(map(abs, step)) == 1]
_IN_18 = [sum(map(abs, step)) <= 2 for step in _STEPS]
#: Neighbours of each neighbour: all that touch, and those that share a face.
_TOUCH = [
    [j for j, b in enumerate(_STEPS) if a != b and max(abs(p - q) for p, q in zip(a, b)) == 1]  # noqa: B905
    for a in _STEPS
]
_SHARE = [
    [j for j, b in enumerate(_STEPS) if sum(abs(p - q) for p, q in zip(a, b)) == 1]  # noqa: B905
    for a in _STEPS
]


@cache
def is_simple(around: int) -> bool:
    """Tell whether a voxel can be taken away without a change of topology.

    Parameters
    ----------
    around : int
        Its 26 neighbours as bits, 1 for the mask.

    Returns
    -------
    bool
        Whether the neighbours in the mask hang together (26), and those outside that share a face
        with the voxel do (6, within the 18 nearest).

    Examples
    --------
    >>> is_simple(1), is_simple(0), is_simple((1 << 26) - 1)
    (True, False, False)
    """
    inside = [bool(around >> k & 1) for k in range(26)]
    if _parts(range(26), inside, _TOUCH) != 1:
        return False
    outside = [not full and near for full, near in zip(inside, _IN_18, strict=True)]
    return _parts(_FACES, outside, _SHARE) == 1


def _parts(seeds, member, links) -> int:
    """Count the connected parts of members that hold a seed."""
    left = set()
    count = 0
    for seed in seeds:
        if not member[seed] or seed in left:
            continue
        count += 1
        todo = [seed]
        left.add(seed)
        while todo:
            for other in links[todo.pop()]:
                if member[other] and other not in left:
                    left.add(other)
                    todo.append(other)
    return count


def middle_lines(mask: np.ndarray) -> np.ndarray:
    """Thin a mask to lines one voxel wide.

    From six sides in turn, voxels at the border are taken away as long as the topology stays;
    ends of lines stay.

    Parameters
    ----------
    mask : ndarray of bool, shape (nx, ny, nz)

    Returns
    -------
    ndarray of int, shape (n, 3)
        Voxels of the lines.

    Notes
    -----
    After Lee et al. (1994, doi:10.1006/cgip.1994.1042), of whose implementation in scikit-image
    straight bars of an even width leave nothing.

    Examples
    --------
    >>> bar = np.zeros((4, 4, 12), bool); bar[1:3, 1:3, 1:11] = True
    >>> 6 <= len(middle_lines(bar)) <= 10
    True
    """
    padded = np.pad(np.asarray(mask, bool), 1).astype(np.uint8)
    strides = np.array(padded.strides)
    offsets = np.array([int(np.dot(step, strides)) for step in _STEPS])
    flat = padded.ravel()
    left = np.flatnonzero(flat)
    bits = (1 << np.arange(26)).astype(np.int64)
    pairs = list(zip(offsets.tolist(), bits.tolist(), strict=True))
    changed = True
    while changed:
        changed = False
        for face in _FACES:
            # What is one voxel thick seen from here is left to the other sides: else a band two
            # voxels wide would be eaten from its end.
            border = left[(flat[left + offsets[face]] == 0) & (flat[left - offsets[face]] > 0)]
            around = np.zeros(len(border), np.int64)
            for offset, bit in zip(offsets, bits, strict=True):
                around += bit * flat[border + offset]
            known, which = np.unique(around, return_inverse=True)
            free = np.array([k & (k - 1) != 0 and is_simple(k) for k in known.tolist()], bool)
            todo = border[free[which]] if len(known) else border
            gone = False
            for place in todo.tolist():
                # What was taken away beside it may have changed what it holds together.
                now = 0
                for offset, bit in pairs:
                    if flat[place + offset]:
                        now |= bit
                thick = flat[place - offsets[face]]
                if thick and now & (now - 1) and is_simple(now):
                    flat[place] = 0
                    gone = True
            if gone:
                changed = True
                left = left[flat[left] > 0]
    # Steps and corners are left: no two that touch are taken away in one round, so that lines
    # thin along their whole length before they lose more than a voxel or two at their ends.
    while True:
        gone_now: set[int] = set()
        for place in left.tolist():
            now, free = 0, True
            for offset, bit in pairs:
                if flat[place + offset]:
                    now |= bit
                elif place + offset in gone_now:
                    free = False
                    break
            if free and now & (now - 1) and is_simple(now):
                flat[place] = 0
                gone_now.add(place)
        if not gone_now:
            return np.argwhere(padded) - 1
        left = left[flat[left] > 0]
