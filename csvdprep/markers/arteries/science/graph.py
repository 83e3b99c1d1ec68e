"""The middle lines of arteries as a graph: branches between forks and ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from csvdprep.markers.arteries.science.thinning import middle_lines
from csvdprep.science.morphology import bounding_box

#: Length of a ring, in those of a spur, up to which it comes of a rough wall.
RING = 2.0


@dataclass
class Branch:
    """A piece of middle line between two nodes.

    Attributes
    ----------
    start, end : int
        Nodes; equal for a loop.
    points : ndarray, shape (n, 3)
        Voxel coordinates from the start to the end, those of the nodes included.
    """

    start: int
    end: int
    points: np.ndarray


@dataclass
class Graph:
    """Middle lines.

    Attributes
    ----------
    nodes : ndarray, shape (n, 3)
        Places of forks and ends, voxels.
    branches : list of Branch
    """

    nodes: np.ndarray
    branches: list[Branch]

    def degrees(self) -> np.ndarray:
        """Return how many branches begin or end at each node."""
        ends = [node for branch in self.branches for node in (branch.start, branch.end)]
        return np.bincount(np.array(ends, int), minlength=len(self.nodes))


def trace(mask: np.ndarray) -> Graph:
    """Thin a mask to its middle lines, and follow them from node to node.

    Parameters
    ----------
    mask : ndarray of bool, shape (nx, ny, nz)
        Arteries, on a grid of about cubic voxels.

    Returns
    -------
    Graph
        Voxels of one fork that touch are one node, at their mean. A closed ring without a fork
        has a node of its own; single voxels are left out.

    Examples
    --------
    >>> mask = np.zeros((20, 20, 5), bool)
    >>> mask[2:18, 10, 2] = True; mask[10, 10:18, 2] = True
    >>> graph = trace(mask)
    >>> len(graph.branches), sorted(graph.degrees().tolist())
    (3, [1, 1, 1, 3])
    """
    if not mask.any():
        return Graph(np.empty((0, 3)), [])
    box = bounding_box(mask, 1)
    points = middle_lines(mask[box]) + [side.start for side in box]
    if not len(points):
        return Graph(np.empty((0, 3)), [])
    pairs = cKDTree(points).query_pairs(1.8, output_type='ndarray')
    near: list[list[int]] = [[] for _ in points]
    for a, b in pairs.tolist():
        near[a].append(b)
        near[b].append(a)
    degree = np.array([len(n) for n in near])
    forks = np.flatnonzero(degree > 2)
    # Forks that touch are one node.
    inside = np.isin(pairs, forks).all(axis=1) if len(pairs) else np.zeros(0, bool)
    joined = pairs[inside]
    links = coo_matrix(
        (np.ones(len(joined)), (joined[:, 0], joined[:, 1])), shape=(len(points),) * 2
    )
    group = connected_components(links, directed=False)[1]
    node_of = np.full(len(points), -1)
    nodes: list[np.ndarray] = []
    for label in np.unique(group[forks]):
        members = forks[group[forks] == label]
        node_of[members] = len(nodes)
        nodes.append(points[members].mean(axis=0))
    for tip in np.flatnonzero(degree == 1):
        node_of[tip] = len(nodes)
        nodes.append(points[tip].astype(float))
    branches = _follow(points, near, node_of, nodes)
    return Graph(np.array(nodes, float).reshape(-1, 3), branches)


def _follow(points, near, node_of, nodes) -> list[Branch]:
    """Follow lines from every node; then rings, which have none."""
    done: set[tuple[int, int]] = set()
    visited = node_of >= 0
    branches = []

    def walk(first: int, second: int) -> list[int]:
        way = [first, second]
        while node_of[way[-1]] < 0:
            visited[way[-1]] = True
            ahead = [
                n for n in near[way[-1]] if n != way[-2] and (n == first or n not in way[-3:])
            ]
            if not ahead:
                break
            # A node that is in reach ends the line.
            ahead.sort(key=lambda n: (node_of[n] < 0, n))
            way.append(ahead[0])
            if way[-1] == first and node_of[first] < 0:
                break
        return way

    for first in np.flatnonzero(node_of >= 0):
        for second in near[first]:
            if (first, second) in done or node_of[second] == node_of[first]:
                continue
            way = walk(int(first), int(second))
            if node_of[way[-1]] < 0:
                continue
            done |= {(way[0], way[1]), (way[-1], way[-2])}
            line = points[way].astype(float)
            start, end = int(node_of[way[0]]), int(node_of[way[-1]])
            line = np.concatenate([nodes[start][None], line[1:-1], nodes[end][None]])
            branches.append(Branch(start, end, line))
    for first in np.flatnonzero(~visited):
        if visited[first] or len(near[first]) != 2:
            continue
        way = walk(int(first), near[first][0])
        visited[way] = True
        if way[-1] == first:
            nodes.append(points[first].astype(float))
            branches.append(Branch(len(nodes) - 1, len(nodes) - 1, points[way].astype(float)))
    return branches


def length_mm(points: np.ndarray, voxel_mm: Sequence[float]) -> float:
    """Return the length of a line of voxel coordinates, mm.

    Examples
    --------
    >>> length_mm(np.array([[0, 0, 0], [3, 0, 0], [3, 0, 4]]), (1, 1, 0.5))
    5.0
    """
    return float(np.linalg.norm(np.diff(points, axis=0) * voxel_mm, axis=1).sum())


def prune(graph: Graph, voxel_mm: Sequence[float], *, spur_mm: float, radius: np.ndarray) -> Graph:
    """Take away spurs, the shortest first, and join what is left in one.

    Parameters
    ----------
    graph : Graph
        Middle lines.
    voxel_mm : sequence of 3 float
        Edges of a voxel, mm.
    spur_mm : float
        Length of a branch with a free end, beyond the wall of the artery that it leaves, up to
        which it is a spur.
    radius : ndarray, shape (nx, ny, nz)
        Distance from the wall, mm, of each voxel.

    Returns
    -------
    Graph
        Its nodes are forks and ends only.

    Examples
    --------
    >>> mask = np.zeros((30, 20, 5), bool)
    >>> mask[2:28, 10, 2] = True; mask[10, 10:13, 2] = True
    >>> left = prune(trace(mask), (1, 1, 1), spur_mm=3, radius=np.zeros(mask.shape))
    >>> len(left.branches)
    1
    """
    branches = _without_rings(graph.branches, voxel_mm, spur_mm)
    branches = _joined(branches, len(graph.nodes))
    while True:
        degrees = Graph(graph.nodes, branches).degrees()
        spurs = []
        for index, branch in enumerate(branches):
            tips = [degrees[branch.start] == 1, degrees[branch.end] == 1]
            if branch.start == branch.end or sum(tips) != 1:
                continue
            fork = branch.end if tips[0] else branch.start
            place = tuple(np.rint(graph.nodes[fork]).astype(int))
            wall = float(radius[place])
            length = length_mm(branch.points, voxel_mm)
            if length - wall < spur_mm:
                spurs.append((length - wall, index))
        if not spurs:
            return Graph(graph.nodes, branches)
        # One at a fork at a time: when it is gone, its fellow may be the end of a line.
        gone, touched = set(), set()
        for _, index in sorted(spurs):
            branch = branches[index]
            if touched.isdisjoint((branch.start, branch.end)):
                touched |= {branch.start, branch.end}
                gone.add(index)
        branches = _joined([b for i, b in enumerate(branches) if i not in gone], len(graph.nodes))


def _without_rings(branches: list[Branch], voxel_mm, least_mm: float) -> list[Branch]:
    """Leave out small rings, which come of a rough wall: of two ways the shorter is kept."""
    kept: dict[tuple[int, int], float] = {}
    out = []
    for branch in sorted(branches, key=lambda b: length_mm(b.points, voxel_mm)):
        length = length_mm(branch.points, voxel_mm)
        ends = (min(branch.start, branch.end), max(branch.start, branch.end))
        short = length < RING * least_mm
        if short and (branch.start == branch.end or ends in kept):
            continue
        kept.setdefault(ends, length)
        out.append(branch)
    return out


def _joined(branches: list[Branch], count: int) -> list[Branch]:
    """Join branches that meet at a node of two."""
    at: list[set[int]] = [set() for _ in range(count)]
    alive = dict(enumerate(branches))
    for index, branch in alive.items():
        at[branch.start].add(index)
        at[branch.end].add(index)
    for node in range(count):
        if len(at[node]) != 2:
            continue
        one, two = sorted(at[node])
        first, second = alive[one], alive[two]
        if first.start == first.end or second.start == second.end:
            continue
        head = first if first.end == node else Branch(first.end, first.start, first.points[::-1])
        tail = (
            second
            if second.start == node
            else Branch(second.end, second.start, second.points[::-1])
        )
        alive[one] = Branch(head.start, tail.end, np.concatenate([head.points, tail.points[1:]]))
        del alive[two]
        at[node] = set()
        at[tail.end].discard(two)
        at[tail.end].add(one)
    return [alive[index] for index in sorted(alive)]
