"""Draw microbleeds, and what is taken for them, into complex gradient echoes.

Small things dephase the signal of the water around them and hold little of their own. Voxels near
them are divided; each part turns with the field at its centre, and the mean multiplies the
signal that was there. That works for phantoms and for real scans with magnitude and phase.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi
from scipy.spatial import cKDTree

from csvdprep.phantom.scanner.magnet import GAMMA, tube_field

#: Parts along an edge of a voxel: their size, mm, and how many there are at least and at most.
PART_MM, FEWEST, MOST = 0.25, 3, 12
#: Phase below which a field is not looked at, rad.
LEAST_PHASE = 0.06
#: Share of microbleeds in white matter, cortex, deep grey matter, cerebellum, brainstem: more
#: in the latter than patients have, since those are the places where mimics are.
SHARES = (0.30, 0.28, 0.27, 0.08, 0.07)
#: Share of microbleeds that are large, and their radius, mm: patients have few, and each counts.
LARGE, LARGE_MM = 0.25, (1.5, 3.5)
#: Distance from a tube beyond which its field is not looked at, mm.
TUBE_MM = 4.0


@dataclass(frozen=True, eq=False)
class Thing:
    """A sphere or a tube.

    Attributes
    ----------
    kind : str
        'CMB', 'calcification', 'mineral', 'vein' or 'flow void'.
    points : ndarray, shape (n, 3)
        Centre (n = 1), or points along the middle line, mm of the scanner.
    radius : float
        mm.
    chi : float
        Susceptibility relative to what is around, ppm.
    inside : float
        Signal of it over that of what is around.
    """

    kind: str
    points: np.ndarray
    radius: float
    chi: float
    inside: float


def factors(shape, affine: np.ndarray, edges: np.ndarray, things, times, tesla: float):
    """Compute by what the signal of voxels is multiplied, for each echo.

    Parameters
    ----------
    shape : tuple of int
        Of the scan.
    affine : ndarray, shape (4, 4)
        Voxel to mm of the scanner; the main field runs along its z.
    edges : ndarray, shape (3,)
        Edges of a voxel along the array's axes without gaps, mm.
    things : sequence of Thing
        What lies there.
    times : sequence of float
        Echo times, ms.
    tesla : float
        Field strength.

    Returns
    -------
    list of ndarray of complex64, shape ``shape``
    """
    out = [np.ones(shape, np.complex64) for _ in times]
    size = np.linalg.norm(affine[:3, :3], axis=0)
    counts = np.clip(np.ceil(edges / PART_MM), FEWEST, MOST).astype(int)
    lines = [((np.arange(n) + 0.5) / n - 0.5) for n in counts]
    parts = np.stack(np.meshgrid(*lines, indexing='ij'), axis=-1).reshape(-1, 3) * (edges / size)
    parts = (parts @ affine[:3, :3].T).astype(np.float32)
    turns = [2 * np.pi * GAMMA * tesla * te / 1000 for te in times]
    for thing in things:
        voxels = _near(thing, shape, affine, max(turns))
        for some in np.array_split(voxels, max(1, len(voxels) * len(parts) // 2**20)):
            place = (some @ affine[:3, :3].T + affine[:3, 3]).astype(np.float32)
            field, within = _field(thing, place, parts)
            inside = np.where(within, np.float32(thing.inside), np.float32(1))
            for image, turn in zip(out, turns, strict=True):
                angle = np.float32(turn) * field
                image[tuple(some.T)] *= (inside * np.cos(angle)).mean(axis=1) + 1j * (
                    inside * np.sin(angle)
                ).mean(axis=1)
    return out


def _field(thing: Thing, place: np.ndarray, parts: np.ndarray):
    """Return the field of a thing in the parts of voxels, ppm, and which lie within it: (n, m)."""
    if len(thing.points) == 1:
        away = (place - thing.points[0].astype(np.float32))[:, None] + parts
        square = (away**2).sum(axis=-1)
        within = square < thing.radius**2
        safe = np.maximum(square, np.float32(thing.radius**2))
        field = (3 * away[..., 2] ** 2 / safe - 1) / (safe * np.sqrt(safe))
        field *= np.float32(thing.chi / 3 * thing.radius**3)
        return np.where(within, np.float32(0), field), within
    line = thing.points.astype(np.float32)
    axis = np.gradient(line, axis=0)
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    nearest = cKDTree(line).query(place)[1]
    axis = axis[nearest].astype(np.float32)
    away = (place - line[nearest])[:, None] + parts
    along = np.einsum('nmi,ni->nm', away, axis)
    square = np.maximum((away**2).sum(axis=-1) - along**2, np.float32(1e-4))
    across = away[..., 2] - along * axis[:, 2:]
    field = tube_field(square, across, axis[:, 2:], thing.radius, thing.chi)
    # A tube ends: its field fades within its width.
    ends = np.zeros(along.shape, np.float32)
    for end, sign in ((0, -1), (len(line) - 1, 1)):
        at = nearest == end
        ends[at] = np.maximum(sign * along[at], 0)
    field = field * np.exp(-((ends / np.float32(2 * thing.radius)) ** 2))
    return field.astype(np.float32), (square < thing.radius**2) & (ends < thing.radius)


def _near(thing: Thing, shape, affine: np.ndarray, turns: float) -> np.ndarray:
    """Return the voxels (n, 3) that a thing may change."""
    if len(thing.points) == 1:
        far = (turns * abs(thing.chi) * 2 / 3 / LEAST_PHASE) ** (1 / 3) * thing.radius
        far = max(min(far, 12.0), 2 * thing.radius)
    else:
        far = (turns * abs(thing.chi) / 2 / LEAST_PHASE) ** (1 / 2) * thing.radius
        far = max(min(far, TUBE_MM), 2 * thing.radius)
    inverse = np.linalg.inv(affine)
    at = thing.points @ inverse[:3, :3].T + inverse[:3, 3]
    extent = far * np.linalg.norm(inverse[:3, :3], axis=1) + 1
    low = np.maximum(np.floor(at.min(axis=0) - extent).astype(int), 0)
    high = np.minimum(np.ceil(at.max(axis=0) + extent).astype(int) + 1, shape)
    if (high <= low).any():
        return np.zeros((0, 3), int)
    grid = np.stack(
        np.meshgrid(*[np.arange(a, b) for a, b in zip(low, high, strict=True)], indexing='ij'),
        axis=-1,
    ).reshape(-1, 3)
    if len(thing.points) == 1:
        return grid
    place = grid @ affine[:3, :3].T + affine[:3, 3]
    reach = far + 0.5 * float(np.linalg.norm(affine[:3, :3]))
    return grid[cKDTree(thing.points).query(place, distance_upper_bound=reach)[0] < reach]


def random_things(head: dict, rng: np.random.Generator, mean: float) -> list[Thing]:
    """Draw microbleeds and mimics for a head of ``training.cmb_heads``.

    Parameters
    ----------
    head : dict
        ``affine``, ``brain``, ``fluid``, ``cortex`` (0 to 255), ``parts``.
    rng : numpy random Generator
        Decides.
    mean : float
        Mean number of microbleeds, where there are any: in four of five draws.

    Returns
    -------
    list of Thing
        Microbleeds never touch each other or a calcification.
    """
    brain, parts = head['brain'], head['parts']
    fluid, cortex = head['fluid'] / 255.0, head['cortex'] / 255.0
    solid = brain & (fluid < 0.15)
    affine = head['affine']
    size = np.linalg.norm(affine[:3, :3], axis=0)
    surface = brain & (fluid > 0.4) & (parts == 0)
    beside = (
        ndi.uniform_filter(cortex.astype(np.float32), np.maximum(np.round(5 / size), 1)) > 0.15
    )

    def place(where: np.ndarray) -> np.ndarray | None:
        at = np.flatnonzero(where)
        if not len(at):
            return None
        voxel = np.array(np.unravel_index(at[rng.integers(len(at))], where.shape))
        return affine[:3, :3] @ (voxel + rng.uniform(-0.5, 0.5, 3)) + affine[:3, 3]

    regions = {
        'white': solid & (parts == 0) & (cortex < 0.3),
        'cortex': solid & (parts == 0) & (cortex >= 0.3),
        'deep': solid & ((parts == 2) | (parts == 5)),
        'cerebellum': solid & (parts == 3),
        'brainstem': solid & (parts == 4),
    }
    out: list[Thing] = []

    def sphere(kind, where, radius, chi, inside, apart=8.0) -> None:
        for _ in range(20):
            centre = place(where)
            if centre is None:
                return
            others = [t for t in out if t.kind in ('CMB', 'calcification')]
            if all(np.linalg.norm(t.points[0] - centre) > apart for t in others):
                out.append(Thing(kind, centre[None], float(radius), float(chi), inside))
                return

    count = 0 if rng.random() < 0.2 else int(np.ceil(rng.exponential(mean))) * (mean > 0)
    names = rng.choice(list(regions), p=SHARES, size=min(count, int(3 * mean)))
    for name in names:
        radius = np.clip(1.1 * np.exp(0.42 * rng.standard_normal()), 0.45, 3)
        if rng.random() < LARGE:
            radius = rng.uniform(*LARGE_MM)
        sphere('CMB', regions[name], radius, rng.uniform(0.5, 2), 0.1)
        if out and rng.random() < 0.3:
            # Not all are round: a second sphere that overlaps.
            last = out[-1]
            shift = rng.standard_normal(3)
            shift *= rng.uniform(0.4, 1.0) * last.radius / np.linalg.norm(shift)
            out.append(Thing('CMB part', last.points + shift, 0.8 * last.radius, last.chi, 0.1))
    pallidum = solid & (parts == 2)
    for _ in range(int(rng.integers(0, 3))):
        where = pallidum if rng.random() < 0.6 else (parts == 1) | (surface & ~beside)
        sphere('calcification', where, rng.uniform(0.7, 2), rng.uniform(-3, -1), 0.2)
    if rng.random() < 0.4:
        out += _mineral(pallidum, place, affine, rng)
    for _ in range(int(rng.integers(5, 70))):
        chosen = rng.random()
        where = surface & beside if chosen < 0.6 else surface if chosen < 0.75 else solid
        vein = _tube(place(where), rng, (4, 28), (0.2, 0.6) if chosen < 0.75 else (0.15, 0.35))
        if vein is not None:
            out.append(Thing('vein', *vein, float(rng.uniform(0.25, 0.4)), 0.6))
    for _ in range(int(rng.integers(0, 8))):
        void = _tube(place(surface), rng, (5, 25), (0.4, 1.2))
        if void is not None:
            out.append(Thing('flow void', *void, 0.0, 0.1))
    return out


def _mineral(where, place, affine, rng) -> list[Thing]:
    """Draw patches of mineral into both pallida."""
    out = []
    at = np.argwhere(where) @ affine[:3, :3].T + affine[:3, 3]
    if not len(at):
        return out
    middle = float(np.median(at[:, 0]))
    for side in (-1, 1):
        own = at[np.sign(at[:, 0] - middle) == side]
        if not len(own):
            continue
        centre = own[rng.integers(len(own))]
        spread = rng.uniform(0.8, 2.5, 3)
        for _ in range(int(rng.integers(6, 30))):
            points = centre + spread * rng.standard_normal(3)
            out.append(
                Thing(
                    'mineral',
                    points[None],
                    float(rng.uniform(0.25, 0.7)),
                    float(rng.uniform(0.5, 1.5)),
                    0.6,
                )
            )
    return out


def _tube(start, rng, length, width):
    """Draw a bent line and a radius; None without a place."""
    if start is None:
        return None
    way = rng.standard_normal(3) * (1, 1, 1.3)
    way /= np.linalg.norm(way)
    bend = np.cross(way, rng.standard_normal(3))
    bend /= np.linalg.norm(bend)
    far = rng.uniform(*length)
    t = np.linspace(-0.5, 0.5, int(np.ceil(far / 0.5)) + 2)[:, None]
    line = start + far * t * way + far * rng.uniform(0, 0.25) * (t**2) * bend
    return line, float(rng.uniform(*width))
