"""Where in the template arteries lie: segments of the circle of Willis, and perforators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from csvdprep.markers.arteries.science.find import Arteries


@dataclass(frozen=True)
class Segment:
    """Where a segment of the circle of Willis runs in the template.

    Attributes
    ----------
    x, y, z : (float, float)
        Bounds, mm (MNI); of a paired segment those of the right side.
    axis : str
        Axes along which it may run, e.g. 'x' or 'yz'; '' for any.
    least_mm : float
        Length within the bounds from which it is seen.
    least_radius : float
        Radius (mm) that its points have at least: perforators in the bounds do not count.
    paired : bool
    """

    x: tuple[float, float]
    y: tuple[float, float]
    z: tuple[float, float]
    axis: str
    least_mm: float
    least_radius: float = 0.0
    paired: bool = True


#: Bounds by anatomy, generous, because arteries vary and registration errs by some mm.
SEGMENTS: Mapping[str, Segment] = {
    'ica': Segment((5, 26), (-20, 14), (-48, -17), '', 6, 0.8),
    'm1': Segment((13, 34), (-8, 14), (-24, -6), 'x', 6, 0.6),
    'a1': Segment((2.5, 10.5), (-2, 16), (-22, -6), 'xy', 4, 0.4),
    'acom': Segment((-3, 3), (0, 16), (-22, -6), 'x', 2, 0.0, False),
    'pcom': Segment((5, 13), (-15, 1), (-22, -8), 'y', 6),
    'p1': Segment((1, 10), (-24, -8), (-22, -6), 'xy', 4, 0.4),
    'basilar': Segment((-6, 6), (-40, -8), (-48, -17), 'z', 6, 0.6, False),
}


#: Distance of the points by which coverage is told, mm.
GRID_MM = 3.0
#: Bounds of the M1 (right side) and of its perforators in the template, mm.
TRUNK = Segment((6, 38), (-12, 18), (-28, -4), '', 0)
ROOM = Segment((4, 38), (-20, 28), (-24, 28), '', 0)
#: How far around both perforators are looked for once more, mm.
AROUND_MM = 6.0
#: Radius from which an artery is the trunk, and up to which it is a perforator, mm.
TRUNK_MM, THIN_MM = 0.7, 0.62
#: How far from the middle of the trunk a perforator begins at most, mm.
ORIGIN_MM = 2.6
#: Distance from the middle of the trunk from which on a radius is that of a perforator, mm.
CLEAR_MM = 1.8
#: Least length, and least rise above the origin, of a way, mm; and its least rise as a share of
#: the distance of its ends: the anterior choroidal artery runs backwards.
LEAST_MM, RISE_MM, UPRIGHT = 5.0, 4.0, 0.5
#: Core of the room of perforators that has to be covered: above the M1 into the putamen.
LSA_CORE = Segment((12, 28), (-6, 14), (-16, 10), '', 0)
#: Base of the skull in front of the brainstem (half widths symmetric): the carotid siphons lie
#: outside of the brain.
_BASE = ((-32, 32), (-40, 26), (-75, -8))
#: Where the venous sinuses run: superior sagittal, straight, transverse and sigmoid (both sides).
_SINUSES = (
    ((-6, 6), (-114, -90), (-14, 40)),
    ((-6, 6), (-114, -60), (40, 100)),
    ((-6, 6), (-60, 60), (70, 100)),
    ((-5, 5), (-80, -44), (-6, 16)),
    ((14, 62), (-105, -60), (-40, -14)),
    ((48, 72), (-66, -36), (-62, -20)),
)


@dataclass(frozen=True)
class Seen:
    """A segment that was found.

    Attributes
    ----------
    length_mm : float
        Within its bounds.
    radius_mm : float or None
        Median; None if it is narrower than two voxels.
    """

    length_mm: float
    radius_mm: float | None


def willis(
    arteries: Arteries, template: Sequence[np.ndarray]
) -> tuple[dict[str, Seen], list[np.ndarray]]:
    """Find the segments of the circle of Willis.

    Parameters
    ----------
    arteries : Arteries
        What was found.
    template : sequence of ndarray, shape (n, 3)
        The points of each piece in the template, mm.

    Returns
    -------
    found : dict of str to Seen
        By name, paired ones as 'm1_left'; those that are not seen are missing.
    names : list of ndarray of str, shape (n,)
        For each piece, the segment of each point; '' for none.
    """
    names = [np.full(len(points), '', 'U12') for points in template]
    found = {}
    for name, segment in SEGMENTS.items():
        for side, sign in (('_left', -1), ('_right', 1)) if segment.paired else (('', 1),):
            length, radii = 0.0, []
            for piece, points, own in zip(arteries.pieces, template, names, strict=True):
                inside = _within(points * (sign, 1, 1), segment)
                inside &= own == ''
                wide = np.where(np.isfinite(piece.radius), piece.radius, 0) >= segment.least_radius
                inside &= wide & _runs(points, segment.axis)
                if not inside.any():
                    continue
                own[inside] = name + side
                steps = np.gradient(piece.points, axis=0)
                length += float(np.linalg.norm(steps, axis=1)[inside].sum())
                radii.append(piece.radius[inside])
            if length >= segment.least_mm:
                known = np.concatenate(radii)
                known = known[np.isfinite(known)]
                middle = float(np.median(known)) if known.size else 0.0
                told = middle if middle >= arteries.edge_mm else None
                found[name + side] = Seen(length, told)
    return found, names


def covered(bounds: Segment, side: int, grid: np.ndarray) -> float:
    """Return which share of a segment's bounds an image covers.

    Parameters
    ----------
    bounds : Segment
        Where it runs.
    side : {-1, 1}
        Left or right.
    grid : ndarray, shape (n, 3)
        Points of the image in the template, one for each cubic GRID_MM.

    Examples
    --------
    >>> points = np.stack(np.meshgrid(*[np.arange(-60, 61, 3)] * 3), -1).reshape(-1, 3)
    >>> covered(SEGMENTS['m1'], 1, points) > 0.7
    True
    """
    inside = _within(grid * (side, 1, 1), bounds).sum()
    sides = [high - low for low, high in (bounds.x, bounds.y, bounds.z)]
    return float(min(inside * GRID_MM**3 / np.prod(sides), 1.0))


def _within(points: np.ndarray, segment: Segment) -> np.ndarray:
    low, high = np.array([segment.x, segment.y, segment.z]).T
    return ((points >= low) & (points <= high)).all(axis=1)


def _runs(points: np.ndarray, axis: str) -> np.ndarray:
    """Tell where a line runs along some axes: no other component is larger."""
    if not axis or len(points) < 3:
        return np.ones(len(points), bool)
    span = max(3, min(len(points) // 2, 6))
    ahead = points[np.minimum(np.arange(len(points)) + span, len(points) - 1)]
    behind = points[np.maximum(np.arange(len(points)) - span, 0)]
    way = np.abs(ahead - behind)
    chosen = ['xyz'.index(letter) for letter in axis]
    return np.isin(np.argmax(way, axis=1), chosen)


@dataclass(frozen=True)
class Perforators:
    """Lenticulostriate arteries of a side.

    Attributes
    ----------
    stems : int
        That leave the M1.
    branches : int
        Ends.
    lengths_mm : tuple of float
        From the M1 to the farthest end of each stem.
    factors : tuple of float
        Distance factor of these ways.
    pieces : frozenset of int
        Which pieces belong to them.
    """

    stems: int
    branches: int
    lengths_mm: tuple[float, ...]
    factors: tuple[float, ...]
    pieces: frozenset[int]


def perforators(
    arteries: Arteries, template: Sequence[np.ndarray], side: int
) -> Perforators | None:
    """Find the lenticulostriate arteries of a side.

    They are thin arteries that leave the M1, or its beginning, and rise.

    Parameters
    ----------
    arteries : Arteries
        What was found.
    template : sequence of ndarray, shape (n, 3)
        The points of each piece in the template, mm.
    side : {-1, 1}
        Left or right.

    Returns
    -------
    Perforators or None
        None where there is no M1.
    """
    flip = np.array([side, 1, 1])
    trunk = [
        piece.points[(np.nan_to_num(piece.radius) >= TRUNK_MM) & _within(points * flip, TRUNK)]
        for piece, points in zip(arteries.pieces, template, strict=True)
    ]
    trunk = np.concatenate(trunk) if trunk else np.empty((0, 3))
    if len(trunk) < 5:
        return None
    tree = cKDTree(trunk)
    thin = []
    for index, (piece, points) in enumerate(zip(arteries.pieces, template, strict=True)):
        # Within the trunk, the radius is that of the trunk.
        outside = tree.query(piece.points)[0] > CLEAR_MM
        known = piece.radius[outside & np.isfinite(piece.radius)]
        inside = _within(points[outside] * flip, ROOM)
        if known.size and np.median(known) < THIN_MM and inside.mean() >= 0.7:
            thin.append(index)
    height: dict[int, float] = {}
    for index in thin:
        piece, points = arteries.pieces[index], template[index]
        height[piece.start], height[piece.end] = points[0, 2], points[-1, 2]
    roots = {n for n in height if tree.query(arteries.nodes[n])[0] <= ORIGIN_MM}
    thin = [
        index
        for index in thin
        if not {arteries.pieces[index].start, arteries.pieces[index].end} <= roots
    ]
    if not thin or not roots:
        return Perforators(0, 0, (), (), frozenset())
    distance, before, first = _ways(arteries, thin, roots)
    ends = np.bincount(
        [n for i in thin for n in (arteries.pieces[i].start, arteries.pieces[i].end)],
        minlength=len(arteries.nodes),
    )
    tips: dict[int, list[int]] = {}
    for node in np.flatnonzero((ends == 1) & np.isfinite(distance)):
        if node in roots or distance[node] < LEAST_MM:
            continue
        root, stem = first(node)
        rise = height[node] - height[root]
        chord = np.linalg.norm(arteries.nodes[node] - arteries.nodes[root])
        if rise >= max(RISE_MM, UPRIGHT * chord):
            tips.setdefault(stem, []).append(int(node))
    lengths, factors, used = [], [], set()
    for _, ways in sorted(tips.items()):
        far = max(ways, key=lambda n: distance[n])
        root = first(far)[0]
        chord = float(np.linalg.norm(arteries.nodes[far] - arteries.nodes[root]))
        lengths.append(float(distance[far]))
        factors.append(float(distance[far] / max(chord, 1e-6)))
        for node in ways:
            used |= before(node)
    return Perforators(
        len(tips), sum(map(len, tips.values())), tuple(lengths), tuple(factors), frozenset(used)
    )


def _ways(arteries: Arteries, thin: list[int], roots: set[int]):
    """Return the distance of each node from the nearest root, and what leads back."""
    count = len(arteries.nodes)
    shortest: dict[tuple[int, int], int] = {}
    for index in thin:
        piece = arteries.pieces[index]
        ends = (min(piece.start, piece.end), max(piece.start, piece.end))
        known = shortest.get(ends)
        if known is None or arteries.pieces[known].length_mm > piece.length_mm:
            shortest[ends] = index
    pairs = np.array([*shortest]).reshape(-1, 2)
    lengths = [max(arteries.pieces[i].length_mm, 1e-3) for i in shortest.values()]
    links = coo_matrix((lengths, (pairs[:, 0], pairs[:, 1])), shape=(count, count)).tocsr()
    distance, previous, _ = dijkstra(
        links, directed=False, indices=sorted(roots), min_only=True, return_predecessors=True
    )

    def before(node: int) -> set[int]:
        used = set()
        while previous[node] >= 0:
            ends = (min(node, previous[node]), max(node, previous[node]))
            used.add(shortest[ends])
            node = int(previous[node])
        return used

    def first(node: int) -> tuple[int, int]:
        """Return the root, and the piece that leaves it, of the way to a node."""
        stem = -1
        while previous[node] >= 0:
            stem = shortest[(min(node, previous[node]), max(node, previous[node]))]
            node = int(previous[node])
        return int(node), stem

    return distance, before, first


def in_skull_base(points: np.ndarray) -> np.ndarray:
    """Tell which points (n, 3) of the template lie where the carotid arteries enter the skull."""
    low, high = np.array(_BASE).T
    return ((points >= low) & (points <= high)).all(axis=1)


def in_room(points: np.ndarray) -> np.ndarray:
    """Tell which points (n, 3) of the template lie around an M1 and its perforators.

    Examples
    --------
    >>> in_room(np.array([[20.0, 4, -15], [-20, 4, 10], [20, 4, 60]])).tolist()
    [True, True, False]
    """
    sides = np.column_stack([np.abs(points[:, 0]), points[:, 1:]])
    out = np.zeros(len(points), bool)
    for bounds in (TRUNK, ROOM):
        low, high = np.array([bounds.x, bounds.y, bounds.z]).T
        out |= ((sides >= low - AROUND_MM) & (sides <= high + AROUND_MM)).all(axis=1)
    return out


def in_sinuses(points: np.ndarray) -> np.ndarray:
    """Tell which points (n, 3) of the template lie where the venous sinuses run.

    Examples
    --------
    >>> in_sinuses(np.array([[2.0, -98, 20], [25, 0, -14], [-40, -80, -25]])).tolist()
    [True, False, True]
    """
    out = np.zeros(len(points), bool)
    for x, y, z in _SINUSES:
        low, high = np.array([x, y, z]).T
        for sign in (1, -1):
            out |= ((points * (sign, 1, 1) >= low) & (points * (sign, 1, 1) <= high)).all(axis=1)
    return out
