"""Draw the lesions of a case in a real head: where they are, how large, how strong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage as ndi
from scipy.spatial.transform import Rotation

from csvdprep.phantom.disease import small
from csvdprep.phantom.disease.hyperintensities import lesion_growth
from csvdprep.phantom.geometry.features import Ellipsoid, Feature, draw
from csvdprep.phantom.geometry.fields import smooth_noise
from csvdprep.phantom.head.anatomy import Anatomy
from csvdprep.phantom.into.head import SPACING_MM, Head
from csvdprep.phantom.patients.lesions import soften

#: Kinds that can be asked for.
KINDS = ('wmh', 'lacune', 'pvs', 'microbleed', 'infarct', 'atrophy')
#: Diameters of punctate hyperintensities, mm, drawn evenly in logarithms.
PUNCTATE_MM = (1.5, 9.0)
#: Punctate lesions keep so far from each other and from others, mm.
APART_MM = 3.0
#: Shortest of their axes over the longest; unevenness of their borders; slope of these, in parts
#: of the radius; contrast in parts of that of large lesions: logarithm, mean and spread.
LEAST_RATIO, RAGGED, SOFTNESS, STRENGTH = 0.35, 0.4, (0.05, 0.35), (-0.1, 0.35)
#: Share of them beside another, within how many mm, and share around the ventricles.
GROUPED, GROUP_MM, AROUND_VENTRICLES = 0.35, 9.0, 0.35
#: Share of a load that punctate lesions take at most, and their number.
PUNCTATE_SHARE, PUNCTATE = 0.5, (8, 18)
#: Rounds in which a volume is met, and how closely it has to be.
ROUNDS, CLOSE = 6, 0.03
#: Volume from which on lesions that grow have soft borders: thin ones would vanish, mL.
SOFTENED_ML = 1.5
#: Least load of which a part is given to lesions that grow and flow together, mL.
GROWING_ML = 0.4


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is to be inserted.

    Attributes
    ----------
    wmh_ml : float
        White matter hyperintensities, mL, 0 to 150.
    lacunes, infarcts : int
        Numbers.
    pvs : tuple of int
        Perivascular spaces of the basal ganglia and of the centrum semiovale.
    microbleeds : tuple of int
        Lobar, deep, infratentorial.
    atrophy_pct : float
        Growth of the lateral ventricles at a second visit, percent of their volume; 0 for none.
    """

    wmh_ml: float = 0.0
    lacunes: int = 0
    pvs: tuple[int, int] = (0, 0)
    microbleeds: tuple[int, int, int] = (0, 0, 0)
    infarcts: int = 0
    atrophy_pct: float = 0.0


@dataclass(frozen=True, eq=False)
class Drawn:
    """Lesions of a case in the frame of the head.

    Attributes
    ----------
    height : ndarray of float32, shape of the head's grid
        White matter hyperintensity, 0 to 1; where it reaches half is lesion.
    strength : ndarray of float32
        ``height`` times the unevenness of its contrast, dirty white matter around included.
    cavity : ndarray of float32
        Share of fluid in cavities within hyperintensities that are too small for a lacune.
    features : tuple of Feature
        Lesions that are shapes; ``facts['strength']`` is the part of their contrast that shows.
    deviate : float
        How much more contrast than usual the hyperintensities have, in standard deviations.
    looks : dict of str to float
        What was drawn for the case: softness of borders, dirty white matter, unevenness.
    notes : tuple of str
        What could not be drawn as asked.
    spots : tuple of Feature
        Punctate hyperintensities, which ``height`` holds, too.
    """

    height: np.ndarray
    strength: np.ndarray
    cavity: np.ndarray
    features: tuple[Feature, ...] = ()
    deviate: float = 0.0
    looks: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    spots: tuple[Feature, ...] = ()


def draw_case(head: Head, case: Case, seed: Sequence[int]) -> Drawn:
    """Draw lesions.

    Parameters
    ----------
    head : Head
        Where.
    case : Case
        Which.
    seed : sequence of int
        Decides all.

    Returns
    -------
    Drawn
    """
    rng = np.random.default_rng([*seed, 31])
    number = int(rng.integers(2**31))
    notes: list[str] = []
    spots = _spots(head, case.wmh_ml, rng)
    height, owner, looks = _height(head, case.wmh_ml, spots, number, rng, notes)
    features = _shapes(head, case, number, rng, notes)
    strength, cavity = _appearance(head, height, spots, owner, looks, rng)
    return Drawn(
        height=height,
        strength=strength,
        cavity=cavity,
        features=tuple(features),
        deviate=float(np.clip(rng.standard_normal(), -2, 2)),
        looks=looks,
        notes=tuple(notes),
        spots=tuple(spots),
    )


def _spots(head: Head, load_ml: float, rng) -> list[Ellipsoid]:
    """Draw punctate hyperintensities, some in groups, up to a share of the load."""
    if load_ml <= 0:
        return []
    anatomy = head.anatomy
    site = anatomy.regions['lesion_site']
    away = ndi.distance_transform_edt(anatomy.regions['ventricles'] < 0.5, sampling=SPACING_MM)
    places = np.argwhere((site > 0.8) & (away > 2.5) & (head.own < 0.1))
    near = places[away[tuple(places.T)] < 13] if len(places) else places
    room = load_ml if load_ml < GROWING_ML else PUNCTATE_SHARE * load_ml
    wanted = int(rng.integers(PUNCTATE[0], PUNCTATE[1] + 1))
    out: list[Ellipsoid] = []
    for _ in range(40 * wanted):
        if len(out) == wanted or not len(places):
            break
        # Many lie around the ventricles, and some beside another.
        grouped = bool(out) and rng.random() < GROUPED
        some = near if len(near) and rng.random() < AROUND_VENTRICLES else places
        if grouped:
            other = (out[rng.integers(len(out))].centre - anatomy.affine[:3, 3]) / SPACING_MM
            some = places[np.abs(places - other).max(axis=1) < GROUP_MM / SPACING_MM]
        if not len(some):
            continue
        diameter = float(np.exp(rng.uniform(*np.log(PUNCTATE_MM))))
        radii = diameter / 2 * np.array([1, *rng.uniform(LEAST_RATIO, 1, 2)])
        centre = some[rng.integers(len(some))] + rng.uniform(-0.5, 0.5, 3)
        spot = Ellipsoid(
            kind='WMH',
            tissue='wmh',
            centre=centre * SPACING_MM + anatomy.affine[:3, 3],
            radii=radii,
            axes=Rotation.from_quat(rng.standard_normal(4)).as_matrix(),
            facts={
                'strength': float(np.clip(np.exp(rng.normal(*STRENGTH)), 0.3, 1.5)),
                'softness': float(rng.uniform(*SOFTNESS)),
            },
        )
        gap = 1.0 if grouped else APART_MM
        close = any(
            np.linalg.norm(spot.centre - other.centre) < spot.radii[0] + other.radii[0] + gap
            for other in out
        )
        if close or spot.volume_mm3 / 1000 > room:
            continue
        out.append(spot)
        room -= spot.volume_mm3 / 1000
    return out


def _spot_heights(spots, anatomy: Anatomy, rng) -> tuple[np.ndarray, np.ndarray]:
    """Draw punctate lesions with ragged borders and slopes; also tell which is the highest."""
    shape = anatomy.fractions['wm'].shape
    height, owner = np.zeros(shape, np.float32), np.zeros(shape, np.int32)
    for number, spot in enumerate(spots, start=1):
        radius = float(np.prod(spot.radii) ** (1 / 3))
        low, high = ((corner - anatomy.affine[:3, 3]) / SPACING_MM for corner in spot.box())
        low = np.maximum(np.floor(low - 4 - radius).astype(int), 0)
        high = np.minimum(np.ceil(high + 5 + radius).astype(int), shape)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        affine = anatomy.affine.copy()
        affine[:3, 3] += low * SPACING_MM
        share, _ = draw([spot], tuple(high - low), affine)
        ragged = 1 + RAGGED * smooth_noise(share.shape, 1.2, rng)
        softer = ndi.gaussian_filter(
            share * np.clip(ragged, 0, 1.5), spot.facts['softness'] * radius
        )
        # Blurred, it is as high in its middle as it was before.
        own = softer * (share.max() / max(float(softer.max()), 1e-6))
        own *= anatomy.fractions['wm'][box] > 0.3
        more = own > height[box]
        height[box][more], owner[box][more] = own[more], number
    return height, owner


def _height(head: Head, load_ml: float, spots, number: int, rng, notes: list[str]):
    """Put what grows and flows together beside the spots."""
    anatomy = head.anatomy
    looks = {
        'softness_mm': float(rng.choice([0.0, rng.uniform(0.5, 2), rng.uniform(1, 4)])),
        'dirty': float(rng.uniform(0, 0.5)) if rng.random() < 0.7 else 0.0,
        'mottle': float(rng.uniform(0.1, 0.3)),
        'grain': float(rng.uniform(0.15, 0.4)),
        'irregularity': float(rng.uniform(0.35, 0.8)),
    }
    nothing = np.zeros(anatomy.fractions['wm'].shape, np.float32)
    if load_ml <= 0:
        return nothing, nothing.astype(np.int32), looks
    rest = load_ml - sum(spot.volume_mm3 for spot in spots) / 1000
    height = nothing
    if rest > 0.5 * GROWING_ML:
        growth = lesion_growth(anatomy, number, irregularity=looks['irregularity'])
        height = _grown(growth, anatomy, rest, _apart(spots, anatomy), looks, notes)
    drawn, owner = _spot_heights(spots, anatomy, rng)
    owner[height > drawn] = 0
    return np.clip(np.maximum(height, drawn), 0, 1).astype(np.float32), owner, looks


def _apart(spots, anatomy: Anatomy) -> np.ndarray:
    """Tell where lesions that grow may be: punctate ones stay what they are."""
    out = np.ones(anatomy.fractions['wm'].shape, np.float32)
    for spot in spots:
        around = Ellipsoid(
            kind='', tissue='', centre=spot.centre, radii=spot.radii + APART_MM, axes=spot.axes
        )
        out[draw([around], out.shape, anatomy.affine)[0] > 0] = 0
    return out


def _grown(growth, anatomy: Anatomy, wanted_ml: float, apart, looks, notes) -> np.ndarray:
    """Let lesions grow until their heights, borders softened, add up to a volume."""
    ask, said, low, high = wanted_ml, len(notes), 0.0, 0.0
    softness = looks['softness_mm'] if wanted_ml >= SOFTENED_ML else 0.0
    height = np.zeros(apart.shape, np.float32)
    for _ in range(ROUNDS):
        del notes[said:]
        share = _less(growth.fraction, ask, 'hyperintensities, mL', notes)
        if share is None:
            return height
        share = share * apart
        box = _around(share)
        part = replace(anatomy, fractions={'wm': anatomy.fractions['wm'][box]})
        height = np.zeros(apart.shape, np.float32)
        height[box] = soften(share[box], part, softness)
        got = float(height.sum(dtype=float)) * anatomy.voxel_ml
        if abs(got / wanted_ml - 1) < CLOSE or len(notes) > said:
            break
        low, high = (ask, high) if got < wanted_ml else (low, ask)
        step = min(max(wanted_ml / max(got, 1e-6), 0.5), 2.0) * ask
        ask = step if not high or low < step < high else (low + high) / 2
    return height


def _around(share: np.ndarray) -> tuple[slice, ...]:
    found = ndi.find_objects((share > 0).astype(np.uint8))
    if not found:
        return (slice(0, 2),) * 3
    return tuple(slice(max(0, e.start - 12), e.stop + 12) for e in found[0])


def _appearance(head: Head, height, spots, owner, looks, rng) -> tuple[np.ndarray, np.ndarray]:
    """Make contrast uneven, white matter around dirty, and the middle of some lesions hollow."""
    cavity = np.zeros_like(height)
    if not height.any():
        return height.copy(), cavity
    anatomy = head.anatomy
    uneven = 1 + looks['mottle'] * smooth_noise(height.shape, 2.0, rng)
    uneven += looks['grain'] * smooth_noise(height.shape, 0.9, rng)
    uneven += 0.15 * smooth_noise(height.shape, 12.0, rng)
    if spots:
        factors = np.array([1.0, *(spot.facts['strength'] for spot in spots)], np.float32)
        uneven *= factors[owner]
    strength = height * np.clip(uneven, 0.2, 2.0)
    if looks['dirty']:
        around = ndi.gaussian_filter(height, rng.uniform(2, 5)) * anatomy.fractions['wm']
        patchy = np.clip(1 + 0.6 * smooth_noise(height.shape, 2.5, rng), 0, 2.2)
        strength = np.maximum(strength, looks['dirty'] * around * patchy)
    depth = np.zeros(height.shape)
    box = _around(height > 0.5)
    depth[box] = ndi.distance_transform_edt(height[box] > 0.5, sampling=SPACING_MM)
    middles = np.argwhere((depth >= 2.5) & (anatomy.regions['ventricles'] < 0.1))
    volume = float((height > 0.5).sum()) / 1000
    holes = []
    for _ in range(int(rng.poisson(min(0.12 * volume, 4)))):
        if len(middles):
            centre = middles[rng.integers(len(middles))] + anatomy.affine[:3, 3]
            radii = rng.uniform(0.6, 1.4) * np.array([1, rng.uniform(0.6, 1), 1])
            holes.append(Ellipsoid(kind='cavity', tissue='csf', centre=centre, radii=radii))
    if holes:
        cavity = draw(holes, height.shape, anatomy.affine)[0]
    return strength.astype(np.float32), cavity.astype(np.float32)


def _shapes(head: Head, case: Case, number: int, rng, notes: list[str]) -> list[Feature]:
    """Draw lacunes with rims, perivascular spaces, microbleeds and recent infarcts."""
    anatomy, fits = head.anatomy, head.fits
    out: list[Feature] = []

    def add(what: str, make: Callable[[int], list], count: int) -> None:
        found = _less(make, count, what, notes) if count else []
        out.extend(found or [])

    add('lacunes', lambda n: small.lacunes(anatomy, number, int(n), out, fits), case.lacunes)
    add(
        'recent infarcts',
        lambda n: small.recent_infarcts(anatomy, number, int(n), out, fits),
        case.infarcts,
    )
    for place in range(2):

        def spaces(n, place=place):
            counts = [0, 0]
            counts[place] = int(n)
            return small.perivascular_spaces(anatomy, number, *counts, out, fits)

        add('perivascular spaces', spaces, case.pvs[place])
    for place in range(3):

        def bleeds(n, place=place):
            counts = [0, 0, 0]
            counts[place] = int(n)
            return small.microbleeds(anatomy, number, *counts, out, fits)

        add('microbleeds', bleeds, case.microbleeds[place])
    for feature in out:
        feature.facts['strength'] = float(rng.uniform(0.8, 1.0))
    return out


def _less(make: Callable, wanted: float, what: str, notes: list[str]):
    """Make as much as there is room for, and say so where that is less."""
    asked = wanted
    while wanted > 0.05:
        try:
            found = make(wanted)
        except ValueError:
            wanted = int(wanted) - 1 if isinstance(wanted, int) else 0.8 * wanted
            continue
        if wanted != asked:
            notes.append(f'{what}: {asked:g} asked for, room for {wanted:g}')
        return found
    notes.append(f'{what}: {asked:g} asked for, no room')
    return None
