"""Places that may be microbleeds, and what tells them from what is taken for one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from csvdprep.markers.microbleeds.science.evidence import Evidence
from csvdprep.science.normalise import smooth

#: Least roundness, in absolute terms and in SD of noise, and least darkness of a candidate.
LEAST_ROUND, LEAST_ROUND_SD, LEAST_DARK = 0.08, 1.2, 0.12
#: Distance between candidates, mm, and how many a scan may have, the roundest first.
APART_MM, MOST = 2.0, 500
#: Depth in the mask down to which candidates come last, mm.
RIM_MM = 1.6
#: Half the edge of the box in which a candidate grows, mm.
BOX_MM = 8.0
#: Share of its depth down to which a candidate reaches.
HALF = 0.5
#: Distances from the centre at which surroundings are read, mm, and number of directions.
STEPS, DIRECTIONS, PLANAR = np.arange(0, 8.01, 0.5), 72, 16
#: How far mineral of the pallidum counts as near, mm (SD).
MINERAL_MM = 2.0
#: Distance beyond which depth in the brain and distance from ventricles no longer matter, mm.
FAR_MM = 15.0

#: Anatomy that is asked for: share of each voxel, 0 to 1.
ANATOMY = ('fluid', 'cortex', 'pallidum', 'ventricle', 'deep', 'infratentorial')

#: Features by which candidates are judged.
FEATURES = (
    'depth',
    'depth_sd',
    'round',
    'around',
    'around_sd',
    'radius',
    'sharp',
    'link_near',
    'link_far',
    'tube_near',
    'tube_far',
    'one_side',
    'plane_tube',
    'plane_link',
    'through',
    'brightest',
    'long',
    'wide',
    'ln_volume',
    'extent',
    'fill',
    'slices',
    'leaks',
    'crowd',
    'fluid',
    'fluid_around',
    'cortex_around',
    'outside',
    'edge',
    'pallidum',
    'ventricle',
    'deep',
    'infratentorial',
    'thick',
    'plane',
    'noise',
    'sign',
)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Candidates of a scan.

    Attributes
    ----------
    centres : ndarray of int, shape (n, 3)
        Darkest voxel of each.
    parts : tuple of (tuple of slice, ndarray of bool)
        Box and voxels of each, down to half of its depth.
    features : ndarray, shape (n, len(FEATURES))
        A row each.
    """

    centres: np.ndarray
    parts: tuple[tuple[tuple[slice, ...], np.ndarray], ...]
    features: np.ndarray


def candidates(
    found: Evidence,
    brain: np.ndarray,
    affine: np.ndarray,
    anatomy: Mapping[str, np.ndarray],
    sign: np.ndarray | None = None,
) -> Candidates:
    """Gather round dark spots, and describe them.

    Parameters
    ----------
    found : Evidence
        Of every voxel.
    brain : ndarray of bool, shape (I, J, K)
        The brain.
    affine : ndarray, shape (4, 4)
        Voxel to world, mm.
    anatomy : mapping of str to ndarray
        Share of each voxel, for each of :data:`ANATOMY`.
    sign : ndarray of float32, optional
        Susceptibility in SD of its noise: above 0 what holds iron, below it calcium.

    Returns
    -------
    Candidates
    """
    voxel_mm = np.sqrt((np.asarray(affine, float)[:3, :3] ** 2).sum(axis=0))
    size = voxel_mm.copy()
    if found.flat >= 0:
        size[found.flat] = np.inf
    seen = smooth(found.dark, size, 0.35)
    edge = ndi.distance_transform_edt(np.pad(brain, 1), sampling=voxel_mm)[1:-1, 1:-1, 1:-1]
    centres = _centres(found, seen, brain, edge, voxel_mm)
    ventricle = anatomy['ventricle'] > 0.5
    away = (
        ndi.distance_transform_edt(~ventricle, sampling=voxel_mm)
        if ventricle.any()
        else np.full(brain.shape, FAR_MM)
    )
    near = smooth(anatomy['pallidum'], voxel_mm, MINERAL_MM)
    rays = _Rays(found, seen, brain, affine, voxel_mm)
    rows, parts = [], []
    crowd = _crowd(centres, affine)
    for number, centre in enumerate(centres):
        first = rays.describe(centre)
        box, grown, more = _grow(seen, brain, centre, first, voxel_mm, found.flat)
        place = tuple(centre)
        rows.append(
            [
                first['depth'],
                min(first['depth'] / max(found.noise, 1e-3), 40.0) / 10,
                float(found.round[place]),
                *(first[name] for name in FEATURES[3:16]),
                *more,
                crowd[number],
                float(anatomy['fluid'][box][grown].mean()),
                rays.mean(anatomy['fluid'], centre, first['radius']),
                rays.mean(anatomy['cortex'], centre, first['radius']),
                first['outside'],
                float(min(edge[place], FAR_MM)),
                float(near[place]),
                float(min(away[place], FAR_MM)),
                float(anatomy['deep'][place]),
                float(anatomy['infratentorial'][place]),
                float(voxel_mm.max()),
                float(np.delete(voxel_mm, voxel_mm.argmax()).mean()),
                found.noise,
                0.0 if sign is None else chi_sign(sign, box, grown),
            ]
        )
        parts.append((box, grown))
    features = np.array(rows, float).reshape(len(rows), len(FEATURES))
    return Candidates(centres, tuple(parts), features)


def chi_sign(sign: np.ndarray, box: tuple[slice, ...], grown: np.ndarray) -> float:
    """Tell whether a candidate is paramagnetic (1) or diamagnetic (-1); 0 if neither is clear.

    Parameters
    ----------
    sign : ndarray, shape (I, J, K)
        Susceptibility in SD of its noise.
    box, grown
        Where the candidate lies.

    Examples
    --------
    >>> sign = np.zeros((5, 5, 5)); sign[2, 2, 2] = 9
    >>> chi_sign(sign, (slice(1, 4),) * 3, np.ones((3, 3, 3), bool))
    1.0
    """
    values = np.sort(np.asarray(sign[box])[grown])
    count = max(1, min(len(values) // 8, 4))
    high, low = float(values[-count:].mean()), float(-values[:count].mean())
    if max(high, low) < SIGN_SD:
        return 0.0
    return 1.0 if high > 1.2 * low else -1.0 if low > 1.2 * high else 0.0


#: SD of the noise from which a susceptibility has a sign.
SIGN_SD = 3.0


def _centres(found: Evidence, seen, brain, edge, voxel_mm) -> np.ndarray:
    """Find maxima of roundness, each moved to the darkest voxel near it."""
    size = np.maximum(2 * np.round(APART_MM / voxel_mm).astype(int) + 1, 3)
    if found.flat >= 0:
        size[found.flat] = 1
    top = ndi.maximum_filter(found.round, size=tuple(size))
    least = max(LEAST_ROUND, LEAST_ROUND_SD * found.noise)
    at = np.argwhere(brain & (found.round >= top) & (found.round > least))
    # The dark rim of the brain is full of maxima: what lies deeper comes first.
    rank = found.round[tuple(at.T)] * np.where(edge[tuple(at.T)] < RIM_MM, 0.5, 1)
    order = np.argsort(-rank, kind='stable')
    taken: list[np.ndarray] = []
    reach = np.maximum(np.round(1.2 / voxel_mm).astype(int), 1)
    if found.flat >= 0:
        reach[found.flat] = 0
    for place in at[order]:
        low = np.maximum(place - reach, 0)
        box = tuple(slice(a, p + r + 1) for a, p, r in zip(low, place, reach, strict=True))
        part = np.where(brain[box], seen[box], -np.inf)
        darkest = low + np.array(np.unravel_index(int(part.argmax()), part.shape))
        if seen[tuple(darkest)] < LEAST_DARK:
            continue
        apart = (np.array(taken) - darkest) * voxel_mm if taken else np.empty((0, 3))
        if found.flat >= 0 and len(apart):
            # A spot that spans two thick slices is one.
            apart[:, found.flat] *= np.abs(apart[:, found.flat]) > 1.5 * voxel_mm[found.flat]
        if len(apart) and np.linalg.norm(apart, axis=1).min() < APART_MM:
            continue
        taken.append(darkest)
        if len(taken) == MOST:
            break
    return np.array(taken, int).reshape(-1, 3)


def _crowd(centres: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Count other candidates within 10 mm of each."""
    world = centres @ affine[:3, :3].T
    if not len(world):
        return np.zeros(0)
    away = np.linalg.norm(world[:, None] - world, axis=-1)
    return np.minimum((away < 10).sum(axis=1) - 1, 8).astype(float)


class _Rays:
    """Reads what surrounds a place along rays, in mm."""

    def __init__(self, found: Evidence, seen, brain, affine, voxel_mm):
        self.flat, self.seen, self.brain = found.flat, seen, brain
        axes = np.asarray(affine, float)[:3, :3]
        thick = int(voxel_mm.argmax())
        normal = np.linalg.inv(axes)[thick]
        normal /= np.linalg.norm(normal)
        self.across = np.linalg.inv(axes) @ normal * voxel_mm[thick]
        self.solid = _sphere(DIRECTIONS) @ np.linalg.inv(axes).T
        angle = np.arange(PLANAR) * 2 * np.pi / PLANAR
        first = np.cross(normal, np.eye(3)[int(np.abs(normal).argmin())])
        first /= np.linalg.norm(first)
        second = np.cross(normal, first)
        plane = np.cos(angle)[:, None] * first + np.sin(angle)[:, None] * second
        self.plane = plane @ np.linalg.inv(axes).T

    def read(self, image, centre, directions, steps, order=1, outside=0.0):
        """Read an image along rays: (directions, steps)."""
        at = centre + steps[None, :, None] * directions[:, None]
        return ndi.map_coordinates(
            image, at.reshape(-1, 3).T, order=order, cval=outside, output=np.float32
        ).reshape(at.shape[:2])

    def describe(self, centre) -> dict[str, float]:
        """Describe depth, size, and what is connected to a spot."""
        flat = self.flat >= 0
        plane = self.read(self.seen, centre, self.plane, STEPS)
        rays = plane if flat else self.read(self.seen, centre, self.solid, STEPS)
        profile = rays.mean(axis=0)
        depth = float(profile[0])
        # The level that the spot stands in: what is beyond its border, mostly.
        rough = _crossing(profile, depth / 2)
        ring = (1.6 * rough + 0.7 < STEPS) & (1.6 * rough + 3.8 >= STEPS)
        ring = ring if ring.any() else STEPS[-4] <= STEPS
        around = float(np.median(rays[:, ring]))
        drop = max(depth - around, 1e-3)
        radius = _crossing(profile, around + drop / 2)
        steep = -np.diff(profile) / np.diff(STEPS)
        ringed = rays[:, ring].mean(axis=1)
        near, far = (1.5 * radius + 0.7, 2.2 * radius + 1.6)
        shells = [_at(rays, reach) for reach in (near, far)]
        dark = [(shell - around) / drop for shell in shells]
        pairs = [_opposite(part, flat) for part in dark]
        in_plane = (_at(plane, near) - around) / drop
        ends = [float(self.seen[_clipped(centre + s * self.across, self.seen)]) for s in (-1, 1)]
        out = 1 - self.read(
            self.brain.astype(np.uint8),
            centre,
            self.plane if flat else self.solid,
            np.array([near]),
            order=0,
        )
        return {
            'depth': depth,
            'around': around,
            'around_sd': float(ringed.std()),
            'radius': radius,
            'sharp': float(steep.max() * radius / drop),
            'link_near': float((dark[0] > 0.4).mean()),
            'link_far': float((dark[1] > 0.4).mean()),
            'tube_near': pairs[0],
            'tube_far': pairs[1],
            'one_side': float(np.clip(dark[1].max(), -1, 2)),
            'plane_tube': _opposite(in_plane, True),
            'plane_link': float((in_plane > 0.4).mean()),
            'through': float(np.clip((max(ends) - around) / drop, -1, 2)),
            'brightest': float(rays[:, ring].min()),
            'outside': float(out.mean()),
        }

    def mean(self, image, centre, radius: float) -> float:
        """Return the mean of an image on the shell around a spot."""
        steps = np.array([1.5 * radius + 0.7])
        rays = self.plane if self.flat >= 0 else self.solid
        return float(self.read(image, centre, rays, steps).mean())


def _clipped(at: np.ndarray, image: np.ndarray) -> tuple[int, ...]:
    return tuple(np.clip(np.rint(at).astype(int), 0, np.array(image.shape) - 1))


def _sphere(count: int) -> np.ndarray:
    """Return even directions, the second half opposite to the first."""
    half = count // 2
    k = np.arange(half) + 0.5
    z = k / half
    turn = np.pi * (1 + np.sqrt(5)) * k
    flat = np.sqrt(1 - z**2)
    some = np.stack([np.cos(turn) * flat, np.sin(turn) * flat, z], axis=1)
    return np.concatenate([some, -some])


def _crossing(profile: np.ndarray, level: float) -> float:
    """Return where a profile first falls below a level, mm."""
    below = np.flatnonzero(profile < level)
    if not len(below) or below[0] == 0:
        return float(STEPS[-1]) / 2 if not len(below) else 0.25
    b = int(below[0])
    part = (profile[b - 1] - level) / max(profile[b - 1] - profile[b], 1e-6)
    return float(STEPS[b - 1] + part * (STEPS[b] - STEPS[b - 1]))


def _at(rays: np.ndarray, reach: float) -> np.ndarray:
    """Read rays at a distance."""
    step = min(reach / STEPS[1], len(STEPS) - 1.001)
    low = int(step)
    return rays[:, low] * (low + 1 - step) + rays[:, low + 1] * (step - low)


def _opposite(dark: np.ndarray, planar: bool) -> float:
    """Return how dark the darkest pair of opposite directions is, the lighter of both."""
    half = len(dark) // 2
    if planar:
        # A vein may bend: neighbours of the opposite direction count too.
        other = np.maximum(dark, np.maximum(np.roll(dark, 1), np.roll(dark, -1)))
        pair = np.minimum(dark, np.roll(other, half))
    else:
        pair = np.minimum(dark[:half], dark[half:])
    return float(np.clip(pair.max(), -1, 2))


def _grow(seen, brain, centre, first, voxel_mm, flat: int):
    """Gather the voxels of a spot, and describe their shape, in the order of FEATURES."""
    reach = np.ceil(BOX_MM / voxel_mm).astype(int)
    low = np.maximum(centre - reach, 0)
    box = tuple(slice(a, c + r + 1) for a, c, r in zip(low, centre, reach, strict=True))
    level = first['around'] + HALF * (first['depth'] - first['around'])
    over = (seen[box] > level) & brain[box]
    own = tuple(centre - low)
    over[own] = True
    labels, _ = ndi.label(over)
    grown = labels == labels[own]
    at = np.argwhere(grown)
    world = at * voxel_mm
    spread = np.cov(world.T) if len(at) > 1 else np.zeros((3, 3))
    spread = spread + np.diag(voxel_mm**2 / 12)
    axes = [axis for axis in range(3) if axis != flat]
    values = np.sqrt(np.linalg.eigvalsh(spread[np.ix_(axes, axes)]))
    long, wide = values[-1] / values[0], values[-1] / values[-2]
    spans = ((np.ptp(at, axis=0) + 1) * voxel_mm)[axes]
    extent = float(np.linalg.norm(spans) / np.sqrt(len(axes)))
    volume = len(at) * float(np.prod(voxel_mm))
    thick = int(voxel_mm.argmax())
    through = float(np.ptp(at[:, thick]) + 1)
    equal = (6 * volume / np.pi) ** (1 / 3)
    edge = np.array(over.shape) - 1
    leaks = bool(((at == 0) & (low > 0)).any() or (at == edge).any())
    return (
        box,
        grown,
        [
            float(min(long, 6)),
            float(min(wide, 6)),
            float(np.log(volume)),
            extent,
            float(min(equal / max(extent, 1e-3), 2)),
            float(min(through, 12)),
            float(leaks),
        ],
    )
