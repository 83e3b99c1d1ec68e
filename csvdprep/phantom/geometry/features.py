"""Small things of exact shape: tubes and ellipsoids, drawn into any grid by supersampling.

Lacunes, perivascular spaces, microbleeds and vessels are smaller than the voxels of a head's grid.
They are kept as shapes in mm of the head's own frame and drawn into the voxels of each scan, so
that partial volume is right whatever the resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

#: Points along each edge of a voxel that are tested at the border of a shape.
OVERSAMPLE = 4
#: Radius, in edges of a voxel, below which a tube is thin: hardly a voxel lies within it.
THIN = 0.6
#: Voxels in the box around a tube from which on it pays to look along its line only.
_MANY = 2000
#: Voxels in the box around a thin tube, for each of its points, up to which it is counted in full.
_SPARSE = 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Ellipsoid:
    """An ellipsoid, or the shell between two.

    Attributes
    ----------
    kind : str
        What it is, e.g. 'lacune'.
    tissue : str
        What fills it, a key of :data:`csvdprep.phantom.head.tissues.TISSUES`.
    centre : ndarray, shape (3,)
        mm.
    radii : ndarray, shape (3,)
        Half-axes, mm.
    axes : ndarray, shape (3, 3)
        Directions of the half-axes, in columns.
    hollow : float
        Scale of the part left out of its middle, 0 to 1.
    facts : mapping
        More columns of the table of lesions: region, position in the template.
    """

    kind: str
    tissue: str
    centre: np.ndarray
    radii: np.ndarray
    axes: np.ndarray = field(default_factory=lambda: np.eye(3))
    hollow: float = 0.0
    facts: dict = field(default_factory=dict)

    @property
    def volume_mm3(self) -> float:
        """Volume, mm³."""
        return float(4 / 3 * np.pi * np.prod(self.radii) * (1 - self.hollow**3))

    @property
    def diameter_mm(self) -> float:
        """Longest diameter, mm."""
        return float(2 * np.max(self.radii))

    def moved(self, matrix: np.ndarray) -> Ellipsoid:
        """Return it after a rigid transform (4 x 4), as seen in another frame."""
        rotation = matrix[:3, :3]
        return replace(
            self, centre=rotation @ self.centre + matrix[:3, 3], axes=rotation @ self.axes
        )

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the corners of a box around it, mm."""
        reach = np.sqrt(((self.axes * self.radii) ** 2).sum(axis=1))
        return self.centre - reach, self.centre + reach

    def depth(self, points: np.ndarray, reach: float = np.inf) -> np.ndarray:
        """Return how deep points (n, 3) lie inside, mm; negative outside; near the surface exact.

        Further away it is only sure to be no less than half the true distance for the shapes
        used here; ``reach`` has no effect.
        """
        local = (points - self.centre) @ self.axes
        radius = np.sqrt(((local / self.radii) ** 2).sum(axis=1))
        steep = np.sqrt(((local / self.radii**2) ** 2).sum(axis=1)) + 1e-9
        outer = np.where(radius > 1e-6, (1 - radius) * radius / steep, self.radii.min())
        if not self.hollow:
            return outer
        inner = (radius - self.hollow) * radius / steep
        return np.minimum(outer, np.where(radius > 1e-6, inner, -self.radii.min()))


@dataclass(frozen=True, kw_only=True, eq=False)
class Tube:
    """A tube around a curve.

    Attributes
    ----------
    kind, tissue, facts
        As in :class:`Ellipsoid`.
    points : ndarray, shape (n, 3)
        Its middle line, mm; neighbours no further apart than a radius.
    radii : ndarray, shape (n,)
        Radius at each point, mm.
    """

    kind: str
    tissue: str
    points: np.ndarray
    radii: np.ndarray
    facts: dict = field(default_factory=dict)

    @property
    def length_mm(self) -> float:
        """Length along the middle line, mm."""
        return float(np.linalg.norm(np.diff(self.points, axis=0), axis=1).sum())

    @property
    def distance_factor(self) -> float:
        """Tortuosity: length over the distance between the ends (Bullitt 2003)."""
        return self.length_mm / float(np.linalg.norm(self.points[-1] - self.points[0]))

    @property
    def volume_mm3(self) -> float:
        """Volume of the cylinder along the middle line, mm³."""
        steps = np.linalg.norm(np.diff(self.points, axis=0), axis=1)
        squares = self.radii**2
        return float(np.pi * (steps * (squares[1:] + squares[:-1]) / 2).sum())

    @property
    def diameter_mm(self) -> float:
        """Mean diameter, mm."""
        return float(2 * self.radii.mean())

    @property
    def centre(self) -> np.ndarray:
        """Point half-way along, mm."""
        return self.points[len(self.points) // 2]

    def moved(self, matrix: np.ndarray) -> Tube:
        """Return it after a rigid transform (4 x 4), as seen in another frame."""
        return replace(self, points=self.points @ matrix[:3, :3].T + matrix[:3, 3])

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the corners of a box around it, mm."""
        reach = self.radii.max()
        return self.points.min(axis=0) - reach, self.points.max(axis=0) + reach

    def depth(self, points: np.ndarray, reach: float = np.inf) -> np.ndarray:
        """Return how deep points (n, 3) lie inside, mm; negative outside. Ends are flat.

        Points further outside than ``reach`` may get -inf.
        """
        tree, line, radii = self._fine
        within = self.radii.max() + reach
        distance, nearest = tree.query(points, distance_upper_bound=within)
        depth = np.append(radii, 0)[nearest] - distance
        for end, beside in ((0, 1), (-1, -2)):
            outward = self.points[end] - self.points[beside]
            beyond = (points - self.points[end]) @ (outward / np.linalg.norm(outward))
            at_end = nearest == (0 if end == 0 else len(line) - 1)
            depth = np.where(at_end, np.minimum(depth, -beyond), depth)
        return depth

    @cached_property
    def _fine(self) -> tuple[cKDTree, np.ndarray, np.ndarray]:
        """The middle line in steps of a fifth of the smallest radius, and the radius there."""
        steps = np.linalg.norm(np.diff(self.points, axis=0), axis=1)
        along = np.concatenate([[0], np.cumsum(steps)])
        count = int(np.ceil(along[-1] / (0.2 * self.radii.min()))) + 2
        at = np.linspace(0, along[-1], count)
        line = np.stack([np.interp(at, along, self.points[:, i]) for i in range(3)], axis=1)
        return cKDTree(line), line, np.interp(at, along, self.radii)

    def particles(self, step: float) -> tuple[np.ndarray, np.ndarray]:
        """Fill it evenly with points no further apart than a step.

        Parameters
        ----------
        step : float
            mm.

        Returns
        -------
        points : ndarray, shape (n, 3)
            mm.
        volumes : ndarray, shape (n,)
            Volume that each stands for, mm³; together that of the tube.
        """
        steps = np.linalg.norm(np.diff(self.points, axis=0), axis=1)
        way = np.concatenate([[0], np.cumsum(steps)])
        count = int(np.ceil(way[-1] / step))
        at = (np.arange(count) + 0.5) * way[-1] / count
        line = np.stack([np.interp(at, way, self.points[:, i]) for i in range(3)], axis=1)
        radii = np.interp(at, way, self.radii)
        tangent = np.gradient(line, axis=0) if count > 1 else self.points[-1:] - self.points[:1]
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
        across = np.cross(tangent, np.eye(3)[np.argmin(np.abs(tangent), axis=1)])
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        other = np.cross(tangent, across)
        many = int(np.ceil(np.pi * (self.radii.max() / step) ** 2))
        # A sunflower fills a disc evenly.
        turn = (np.arange(many) * np.pi * (3 - np.sqrt(5)))[:, None, None]
        out = np.sqrt((np.arange(many) + 0.5) / many) if many > 1 else np.zeros(1)
        disc = np.cos(turn) * across + np.sin(turn) * other
        points = line + out[:, None, None] * disc * radii[:, None]
        volumes = radii**2 * (self.volume_mm3 / (radii**2).sum() / many)
        return points.reshape(-1, 3), np.tile(volumes, many)

    def candidates(self, shape, inverse: np.ndarray, reach: float) -> np.ndarray:
        """Find the voxels of a grid whose centres may lie within a distance of the surface.

        Parameters
        ----------
        shape : tuple of int
            The grid.
        inverse : ndarray, shape (4, 4)
            From mm to its indices.
        reach : float
            Distance, mm.

        Returns
        -------
        ndarray of int, shape (n, 3)
            In the order of the grid.
        """
        _, line, _ = self._fine
        widest = float(self.radii.max())
        # Around points no further apart than the largest radius, each rounded to a voxel.
        every = max(1, int(5 * widest / self.radii.min()))
        step = np.linalg.inv(inverse[:3, :3])
        within = 2 * widest + reach + 0.5 * float(np.linalg.norm(step, axis=0).sum())
        extent = np.ceil(within * np.linalg.norm(inverse[:3, :3], axis=1)).astype(int)
        ball = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in extent], indexing='ij'))
        ball = ball.reshape(3, -1).T
        ball = ball[np.linalg.norm(ball @ step.T, axis=1) <= within]
        centres = line[::every] @ inverse[:3, :3].T + inverse[:3, 3]
        centres = np.unique(np.rint(centres).astype(int), axis=0)
        near = (centres[:, None] + ball).reshape(-1, 3)
        near = near[((near >= 0) & (near < shape)).all(axis=1)]
        flat = np.unique(np.ravel_multi_index(tuple(near.T), shape))
        return np.stack(np.unravel_index(flat, shape), axis=1)


Feature = Ellipsoid | Tube


def draw(
    features: Sequence[Feature],
    shape: tuple[int, int, int],
    affine: np.ndarray,
    *,
    thickness: Sequence[float] | None = None,
    oversample: int = OVERSAMPLE,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the share of each voxel that lies in some shapes.

    Parameters
    ----------
    features : sequence of Ellipsoid or Tube
        Shapes in mm of the frame of ``affine``.
    shape, affine
        The grid; the affine may be oblique.
    thickness : sequence of float, optional
        Edges of the voxels along the array's axes, mm, where slices have gaps between them.
    oversample : int
        Points tested along each edge of a voxel at least; more where voxels are large.

    Returns
    -------
    share : ndarray of float32, shape ``shape``
        0 to 1. Shapes that overlap count once at most.
    owner : ndarray of int32, shape ``shape``
        1 + index of the shape with the largest share of the voxel, 0 where there is none.

    Examples
    --------
    >>> ball = Ellipsoid(kind='lacune', tissue='csf', centre=np.full(3, 9.3),
    ...                  radii=np.full(3, 4.0))
    >>> share, owner = draw([ball], (20, 20, 20), np.eye(4))
    >>> bool(abs(share.sum() / ball.volume_mm3 - 1) < 0.005)
    True
    """
    share = np.zeros(shape, np.float32)
    best = np.zeros(shape, np.float32)
    owner = np.zeros(shape, np.int32)
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    window = np.ones(3) if thickness is None else np.asarray(thickness) / edges
    numbered = list(enumerate(features, start=1))
    thin = [(number, f) for number, f in numbered if _is_thin(f, edges * window)]
    parts = _shares_of_thin(thin, shape, affine, edges * window, window) if thin else []
    parts += [
        (number, *_share_of(f, shape, affine, window, oversample))
        for number, f in numbered
        if not _is_thin(f, edges * window)
    ]
    for number, at, part in parts:
        share[at] = np.minimum(share[at] + part, 1)
        more = part > best[at]
        owner[tuple(axis[more] for axis in at)] = number
        best[at] = np.maximum(best[at], part)
    return share, owner


def _is_thin(feature: Feature, edges: np.ndarray) -> bool:
    return isinstance(feature, Tube) and feature.radii.max() < THIN * edges.max()


def _share_of(feature, shape, affine, window, oversample):
    """Return the voxels that a shape touches and its share of each."""
    nothing = (np.empty(0, int),) * 3, np.empty(0, np.float32)
    edges = np.linalg.norm(affine[:3, :3], axis=0) * window
    reach = 0.5 * float(np.linalg.norm(edges))
    voxels = _box_voxels(feature, shape, affine)
    if isinstance(feature, Tube) and len(voxels) > _MANY:
        voxels = feature.candidates(shape, np.linalg.inv(affine), reach)
    if not len(voxels):
        return nothing
    depth = _depths(feature, voxels, affine, 2 * reach)
    near = depth > -2 * reach if isinstance(feature, Ellipsoid) else depth > -reach
    voxels, depth = voxels[near], depth[near]
    if not len(voxels):
        return nothing
    part = np.ones(len(voxels), np.float32)
    counts = np.clip(np.ceil(edges / _finest(feature)), 1, 3) * oversample
    cube = float(np.prod(edges / counts) ** (1 / 3))
    border = np.flatnonzero(depth < 2 * reach)
    offsets = np.stack(
        np.meshgrid(
            *[((np.arange(n) + 0.5) / n - 0.5) * w for n, w in zip(counts, window, strict=True)],
            indexing='ij',
        ),
        axis=-1,
    ).reshape(-1, 3)
    for some in np.array_split(border, max(1, len(border) * len(offsets) // 2**21)):
        points = (voxels[some][:, None] + offsets).reshape(-1, 3)
        # A point stands for a small cube around it: let it be partly inside at the surface.
        inside = np.clip(_depths(feature, points, affine, cube) / cube + 0.5, 0, 1)
        part[some] = inside.reshape(len(some), -1).mean(axis=1)
    touched = part > 0
    return tuple(voxels[touched].T), part[touched]


def _shares_of_thin(tubes, shape, affine: np.ndarray, edges: np.ndarray, window: np.ndarray):
    """Do the same for tubes thinner than voxels: count points in them instead of in voxels.

    Returns
    -------
    list of tuple
        Number of each tube, its voxels, its share of them.
    """
    inverse, volume = np.linalg.inv(affine), float(np.prod(edges))
    whole = bool((window == 1).all())
    return [
        (
            number,
            *_share_of_thin(tube, shape, inverse, edges, None if whole else window / 2, volume),
        )
        for number, tube in tubes
    ]


def _share_of_thin(tube: Tube, shape, inverse, edges, half, volume: float):
    """Return the voxels in which a thin tube's points lie and its share of each."""
    points, volumes = tube.particles(max(float(edges.min()) / 12, float(tube.radii.max()) / 6))
    at = inverse[:3, :3] @ points.T + inverse[:3, 3:]
    nearest = np.rint(at)
    if half is not None:  # what lies in the gap between two slices is not seen
        seen = (np.abs(at - nearest) <= half[:, None] + 1e-9).all(axis=0)
        nearest, volumes = nearest[:, seen], volumes[seen]
    if not volumes.size:
        return (np.empty(0, int),) * 3, np.empty(0, np.float32)
    voxels = nearest.astype(np.int32)
    low = voxels.min(axis=1)
    box = voxels.max(axis=1) - low + 1
    inside = np.ravel_multi_index(tuple(voxels - low[:, None]), box)
    size = int(np.prod(box))
    if size <= _SPARSE * len(voxels):
        sums = np.bincount(inside, volumes, minlength=size)
        found = np.flatnonzero(sums)
        sums = sums[found]
    else:
        found, place = np.unique(inside, return_inverse=True)
        sums = np.bincount(place, volumes)
    index = np.stack(np.unravel_index(found, box)) + low[:, None]
    within = ((index >= 0) & (index < np.array(shape)[:, None])).all(axis=0)
    part = np.minimum(sums[within] / volume, 1).astype(np.float32)
    return tuple(index[:, within]), part


def _box_voxels(feature: Feature, shape, affine: np.ndarray) -> np.ndarray:
    """Return the voxels (n, 3) of a box around a shape."""
    inverse = np.linalg.inv(affine)
    corners = np.array(np.meshgrid(*zip(*feature.box(), strict=True))).reshape(3, -1)
    index = inverse[:3, :3] @ corners + inverse[:3, 3:]
    low = np.maximum(np.floor(index.min(axis=1) - 0.5).astype(int), 0)
    high = np.minimum(np.ceil(index.max(axis=1) + 0.5).astype(int) + 1, shape)
    if (high <= low).any():
        return np.empty((0, 3), int)
    voxels = np.stack(np.meshgrid(*map(np.arange, low, high), indexing='ij'), axis=-1)
    return voxels.reshape(-1, 3)


def _depths(feature: Feature, index: np.ndarray, affine: np.ndarray, reach: float) -> np.ndarray:
    return feature.depth(index @ affine[:3, :3].T + affine[:3, 3], reach)


def _finest(feature: Feature) -> float:
    """Return the size that a voxel must not exceed for the least number of points to do, mm."""
    return 2 * float(np.min(feature.radii))
