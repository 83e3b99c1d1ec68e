"""Whether two images have the same voxels, however they are stored."""

from __future__ import annotations

from typing import Any

#: Share of the shortest edge of a voxel by which grids may differ and still count as one: the
#: nearest voxel is the one that is meant, with room to spare.
SAME_GRID = 0.25
#: Digits of direction cosines beyond which two axes are equally near to a world axis.
TIE = 5


def same_grid(one: Any, other: Any, tolerance_mm: float | None = None) -> bool:
    """Tell whether two images have the same voxels in the world, however they are stored.

    Every file that is given for an image of a visit (a mask, a series, another run) is judged by
    this function and no other.

    Parameters
    ----------
    one, other : object
        Each with ``shape`` (more than three axes are not looked at) and ``affine`` (voxel to
        world, 4 x 4).
    tolerance_mm : float, optional
        Largest distance between the same corner of both, mm; a quarter of the shortest edge of a
        voxel if omitted.

    Returns
    -------
    bool
        True if all corners coincide and the voxels are as many along each world direction; axes
        may be swapped or reversed.

    Examples
    --------
    >>> from types import SimpleNamespace as Image
    >>> ras = Image(shape=(4, 5, 6), affine=[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    >>> psl = Image(shape=(5, 6, 4), affine=[[0, 0, -1, 3], [-1, 0, 0, 4], [0, 1, 0, 0]])
    >>> same_grid(ras, psl), same_grid(ras, Image(shape=(4, 6, 5), affine=ras.affine))
    (True, False)
    """
    first, second = tuple(one.shape)[:3], tuple(other.shape)[:3]
    if len(first) < 3 or sorted(first) != sorted(second):
        return False
    if tolerance_mm is None:
        tolerance_mm = SAME_GRID * min(*_edges(one.affine), *_edges(other.affine))
    corners, others = _corners(first, one.affine), _corners(second, other.affine)
    matched = [min(range(8), key=lambda j, c=c: _distance(c, others[j])) for c in corners]
    if len(set(matched)) < 8:
        return False
    if any(_distance(c, others[j]) > tolerance_mm for c, j in zip(corners, matched, strict=True)):
        return False
    # Equal corners leave one trap: the same box cut into other numbers of voxels.
    for axis in range(3):
        moved = [(matched[0] ^ matched[1 << axis]) == 1 << k for k in range(3)]
        if not any(moved) or first[axis] != second[moved.index(True)]:
            return False
    return True


def array_axis(direction: str, axes: Any) -> str:
    """Name an axis of a stored array, e.g. 'j-', as it is called in canonical (RAS+) order.

    Parameters
    ----------
    direction : str
        'i', 'j' or 'k', with '-' if it is meant from the end.
    axes : sequence of (int, int)
        For each axis of the stored array its place in canonical order, and 1 or -1 for its
        direction, as `nibabel.io_orientation` gives them.

    Returns
    -------
    str

    Examples
    --------
    >>> array_axis('j-', [(0, -1), (1, -1), (2, 1)])  # stored LPS
    'j'
    >>> array_axis('i', [(1, -1), (2, 1), (0, 1)])  # stored PSR
    'j-'
    """
    place, sign = axes['ijk'.index(direction[0])]
    return 'ijk'[int(place)] + ('-' if direction.endswith('-') != (sign < 0) else '')


def axes_of(affine: Any) -> list[tuple[int, int]]:
    """Tell for each axis of an array the world axis that it runs along, most nearly.

    Parameters
    ----------
    affine : sequence of sequence of float
        Voxel to world (RAS+), 4 x 4.

    Returns
    -------
    list of (int, int)
        World axis (0 right, 1 anterior, 2 superior), and 1 or -1 for the direction. Of oblique
        axes the assignment is taken in which all three together lie nearest.

    Examples
    --------
    >>> axes_of([[0, 0, 2, 0], [-2, 0, 0, 0], [0, 2, 0, 0]])
    [(1, -1), (2, 1), (0, 1)]
    """
    edges = _edges(affine)
    cosines = [
        [float(affine[row][axis]) / edges[axis] if edges[axis] else 0.0 for row in range(3)]
        for axis in range(3)
    ]
    orders = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))

    def rank(order: tuple[int, ...]) -> tuple:
        # Halfway between two world axes only the directions themselves may decide, not the order
        # or the sense in which they are stored.
        turned: list[list[float]] = [[], [], []]
        for axis, place in enumerate(order):
            sign = 1 if cosines[axis][place] >= 0 else -1
            turned[place] = [round(sign * part, TIE) + 0.0 for part in cosines[axis]]
        return round(sum(abs(cosines[axis][order[axis]]) for axis in range(3)), TIE), turned

    best = max(orders, key=rank)
    return [(best[axis], 1 if cosines[axis][best[axis]] >= 0 else -1) for axis in range(3)]


def _edges(affine: Any) -> list[float]:
    return [sum(float(affine[row][axis]) ** 2 for row in range(3)) ** 0.5 for axis in range(3)]


def _corners(shape: tuple[int, ...], affine: Any) -> list[tuple[float, ...]]:
    """Return the centres of the eight corner voxels; bit k of the index is the end of axis k."""
    corners = []
    for code in range(8):
        index = [(n - 1) * (code >> k & 1) for k, n in enumerate(shape)]
        corners.append(
            tuple(
                float(affine[row][3]) + sum(float(affine[row][k]) * index[k] for k in range(3))
                for row in range(3)
            )
        )
    return corners


def _distance(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5
