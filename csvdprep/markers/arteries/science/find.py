"""Arteries of an angiogram: their lumen, and their middle lines with length and radius."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage as ndi
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from csvdprep.markers.arteries.science.graph import prune, trace
from csvdprep.markers.arteries.science.lines import refine
from csvdprep.markers.arteries.science.lumen import background, fill_lumen, hysteresis
from csvdprep.markers.arteries.science.tubeness import find_tubes
from csvdprep.science.morphology import bounding_box
from csvdprep.science.still_tissue import tissue_level

#: Ratio of edges up to which voxels count as cubic.
CUBIC = 1.25
#: Most voxels of the grid on which arteries are sought: memory and time.
MOST_VOXELS = 36_000_000
#: Intensity, in units of tissue, from which a smoothed voxel can be part of an artery; up to which
#: a voxel is still tissue.
LEAST_BRIGHT, TISSUE = 1.15, 1.4
#: Radius (mm) from which what is not this many times as bright as tissue is fat or a vein.
WIDE_MM, WIDE_CONTRAST = 1.0, 1.9
#: Width, in voxels, from which the radius is told.
TOLD = 2.0


@dataclass(frozen=True, eq=False)
class Artery:
    """A piece of artery between forks and ends.

    Attributes
    ----------
    start, end : int
        Nodes that it runs between.
    points : ndarray, shape (n, 3)
        Middle line, scanner coordinates (RAS+), mm.
    radius : ndarray, shape (n,)
        Radius along it, mm; NaN where it cannot be told.
    contrast : ndarray, shape (n,)
        Intensity in its middle, in units of tissue.
    edge_mm : float
        Edge of the voxels that it was measured on.
    """

    start: int
    end: int
    points: np.ndarray
    radius: np.ndarray
    contrast: np.ndarray
    edge_mm: float

    @cached_property
    def length_mm(self) -> float:
        """Length along the middle line."""
        return float(np.linalg.norm(np.diff(self.points, axis=0), axis=1).sum())

    @cached_property
    def chord_mm(self) -> float:
        """Distance of its ends."""
        return float(np.linalg.norm(self.points[-1] - self.points[0]))

    @property
    def distance_factor(self) -> float | None:
        """Length over the distance of the ends; None of a closed loop."""
        return self.length_mm / self.chord_mm if self.chord_mm > 0.1 * self.length_mm else None

    @cached_property
    def width_mm(self) -> float:
        """Median radius, however small; 0 if there is none."""
        known = self.radius[np.isfinite(self.radius)]
        return float(np.median(known)) if known.size else 0.0

    @property
    def radius_mm(self) -> float | None:
        """Median radius; None where the artery is narrower than two voxels."""
        return self.width_mm if 2 * self.width_mm >= TOLD * self.edge_mm else None


@dataclass(frozen=True, eq=False)
class Arteries:
    """What was found.

    Attributes
    ----------
    mask : ndarray of bool, shape of the image
        Lumen.
    nodes : ndarray, shape (n, 3)
        Forks and ends, scanner coordinates, mm.
    pieces : list of Artery
        Between them.
    edge_mm : float
        Edge of the voxels of the grid that was worked on.
    affine : ndarray, shape (4, 4)
        Of the mask, voxel to world, mm.
    """

    mask: np.ndarray
    nodes: np.ndarray
    pieces: list[Artery]
    edge_mm: float
    affine: np.ndarray

    def degrees(self) -> np.ndarray:
        """Return how many pieces meet at each node."""
        ends = [node for piece in self.pieces for node in (piece.start, piece.end)]
        return np.bincount(np.array(ends, int), minlength=len(self.nodes))

    def trees(self) -> np.ndarray:
        """Return, for each piece, the number of the connected tree that it belongs to."""
        return _trees(len(self.nodes), [(p.start, p.end) for p in self.pieces])


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What counts as an artery.

    Attributes
    ----------
    strength, surprise : float
        Contrast of a seed, in units of tissue, and in standard deviations of noise.
    low : float
        Share of both from which an artery goes on.
    spur_mm : float
        Branches up to this length beyond the wall are left out.
    least_mm : float
        Length of all branches that hang together, from which they are arteries.
    """

    strength: float = 0.12
    surprise: float = 6.0
    low: float = 0.4
    spur_mm: float = 2.0
    least_mm: float = 10.0


def find_arteries(
    image: np.ndarray, affine: np.ndarray, where: np.ndarray, limits: Limits | None = None
) -> Arteries:
    """Find arteries.

    Parameters
    ----------
    image : ndarray, shape (nx, ny, nz)
        Angiogram without bias; any unit.
    affine : ndarray, shape (4, 4)
        Voxel to world, mm.
    where : ndarray of bool, shape (nx, ny, nz)
        Where arteries are sought; most of it is tissue.
    limits : Limits, optional
        What counts.

    Returns
    -------
    Arteries

    Examples
    --------
    >>> x, y, _ = np.mgrid[:31, :31, :40]
    >>> tube = np.exp(-((x - 15) ** 2 + (y - 14) ** 2) / 6)
    >>> noise = np.random.default_rng(0).normal(0, 3, tube.shape)
    >>> found = find_arteries(100 + 150 * tube + noise, np.diag([0.5, 0.5, 0.5, 1]),
    ...                       np.ones(tube.shape, bool))
    >>> len(found.pieces), round(found.pieces[0].length_mm)
    (1, 20)
    """
    limits = limits or Limits()
    size = np.linalg.norm(affine[:3, :3], axis=0)
    tissue = tissue_level(image[where])
    nothing = np.zeros(image.shape, bool)
    empty = Arteries(nothing, np.empty((0, 3)), [], float(size.min()), affine)
    if not tissue > 0:
        return empty
    box = bounding_box(where, 2)
    counts = work_grid(where[box].shape, size)
    work = _zoomed(image[box].astype(np.float32) / np.float32(tissue), counts, 3)
    inside = _zoomed(where[box].astype(np.uint8), counts, 0) > 0
    shape = np.array(where[box].shape)
    steps = (shape - 1) / np.maximum(np.array(counts) - 1, 1)
    edges = size * steps
    found = find_tubes(work, edges, inside, inside & (work < TISSUE), least=LEAST_BRIGHT)
    core = hysteresis(found, sure=(limits.strength, limits.surprise), low=limits.low)
    if not core.any():
        return empty
    around = background(work, core, edges)
    lumen = fill_lumen(work, core, found, around, edges)
    del found, core, around
    lumen = _large(lumen, edges, limits.least_mm)
    part = bounding_box(lumen, 2) if lumen.any() else ()
    if not part:
        return empty
    radius = np.zeros(lumen.shape, np.float32)
    radius[part] = ndi.distance_transform_edt(lumen[part], sampling=edges)
    graph = prune(trace(lumen), edges, spur_mm=limits.spur_mm, radius=radius)
    degrees = graph.degrees()
    edge = float(np.cbrt(np.prod(edges)))
    to_world = affine @ _shift([side.start for side in box]) @ np.diag([*steps, 1.0])
    pieces = []
    for branch in graph.branches:
        at = np.rint(branch.points).astype(int)
        wide = float(np.median(radius[tuple(at.T)]))
        free = [e for e, node in ((0, branch.start), (-1, branch.end)) if degrees[node] == 1]
        line = refine(work, branch.points, edge, max(wide, edge), free=free)
        points = line.points @ to_world[:3, :3].T + to_world[:3, 3]
        pieces.append(
            Artery(branch.start, branch.end, points, line.radius_mm, line.contrast, edge)
        )
    nodes = graph.nodes @ to_world[:3, :3].T + to_world[:3, 3]
    pieces = _kept_trees(nodes, pieces, limits.least_mm)
    mask = np.zeros(image.shape, bool)
    index = [
        np.minimum(np.rint(np.arange(n) / s).astype(int), c - 1)
        for n, s, c in zip(shape, steps, counts, strict=True)
    ]
    mask[box] = lumen[np.ix_(*index)]
    return Arteries(_near(mask, pieces, affine), nodes, pieces, edge, affine)


def work_grid(shape, size) -> tuple[int, ...]:
    """Return the number of voxels along each axis of the grid on which arteries are sought.

    Voxels longer than 1.25 times the shortest edge are divided, as far as memory allows; a grid
    that is too large is made coarser.

    Examples
    --------
    >>> work_grid((320, 368, 100), (0.5, 0.5, 0.7)), work_grid((64, 64, 40), (0.5, 0.5, 0.6))
    ((320, 368, 140), (64, 64, 40))
    """
    shape, size = np.asarray(shape), np.asarray(size, float)
    edge = float(size.min())
    while True:
        wanted = np.where(size > CUBIC * edge, edge, size)
        wanted = np.maximum(wanted, edge)
        counts = np.where(
            wanted == size, shape, np.maximum(np.round((shape - 1) * size / wanted), 1) + 1
        ).astype(int)
        if np.prod(counts) <= MOST_VOXELS:
            return tuple(int(n) for n in counts)
        edge *= 1.1


def _zoomed(data: np.ndarray, counts, order: int) -> np.ndarray:
    """Sample an image at even distances between its first and last voxels."""
    if tuple(counts) == data.shape:
        return data
    if order == 0:
        index = [
            np.rint(np.linspace(0, n - 1, c)).astype(int)
            for n, c in zip(data.shape, counts, strict=True)
        ]
        return data[np.ix_(*index)]
    factors = [c / n for c, n in zip(counts, data.shape, strict=True)]
    return ndi.zoom(data, factors, order=order, mode='nearest', grid_mode=False)


def _shift(voxels) -> np.ndarray:
    out = np.eye(4)
    out[:3, 3] = voxels
    return out


def _large(lumen: np.ndarray, edges: np.ndarray, least_mm: float) -> np.ndarray:
    """Leave out parts that cannot be as long as an artery has to be."""
    labels, count = ndi.label(lumen, np.ones((3, 3, 3)))
    kept = np.zeros(count + 1, bool)
    for number, box in enumerate(ndi.find_objects(labels), start=1):
        extent = [(side.stop - side.start) * e for side, e in zip(box, edges, strict=True)]
        kept[number] = np.linalg.norm(extent) >= 0.5 * least_mm
    return kept[labels]


def _trees(count: int, ends: list[tuple[int, int]]) -> np.ndarray:
    """Return the connected part that each pair of nodes belongs to."""
    if not ends:
        return np.zeros(0, int)
    pairs = np.array(ends)
    links = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(links, directed=False)[1][pairs[:, 0]]


def _kept_trees(nodes: np.ndarray, pieces: list[Artery], least_mm: float) -> list[Artery]:
    """Keep pieces whose tree is long enough, and as bright as arteries of its width are."""
    tree = _trees(len(nodes), [(p.start, p.end) for p in pieces])
    kept = []
    for number in np.unique(tree):
        own = [p for p, t in zip(pieces, tree, strict=True) if t == number]
        contrast = np.concatenate([p.contrast for p in own])
        radius = np.concatenate([p.radius for p in own])
        wide = np.isfinite(radius).any() and np.nanmedian(radius) > WIDE_MM
        if sum(p.length_mm for p in own) < least_mm:
            continue
        if wide and np.quantile(contrast, 0.9) < WIDE_CONTRAST:
            continue
        kept += own
    return kept


def _near(mask: np.ndarray, pieces: list[Artery], affine: np.ndarray) -> np.ndarray:
    """Keep the parts of a mask that a middle line runs through."""
    if not pieces:
        return np.zeros(mask.shape, bool)
    inverse = np.linalg.inv(affine)
    points = np.concatenate([piece.points for piece in pieces])
    at = np.rint(points @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
    at = np.clip(at, 0, np.array(mask.shape) - 1)
    mask = mask.copy()
    mask[tuple(at.T)] = True
    labels, count = ndi.label(mask, np.ones((3, 3, 3)))
    kept = np.zeros(count + 1, bool)
    kept[labels[tuple(at.T)]] = True
    kept[0] = False
    return kept[labels]
