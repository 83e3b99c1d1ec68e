"""Small lesions of the disease and what is taken for them: lacunes, perivascular spaces,
microbleeds, calcifications, recent infarcts. Each is drawn from a random stream of its own, so
that a visit with more lesions has those of the visit before, at the same places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from csvdprep.phantom.geometry.features import Ellipsoid, Feature, Tube
from csvdprep.phantom.head.anatomy import Anatomy
from csvdprep.phantom.head.placement import sites

#: Where lesions occur, with the share of them.
LACUNES = {'basal ganglia': 0.45, 'thalamus': 0.15, 'centrum semiovale': 0.3, 'brainstem': 0.1}
LOBAR = {'frontal lobe': 0.3, 'parietal lobe': 0.25, 'temporal lobe': 0.25, 'occipital lobe': 0.2}
DEEP = {'basal ganglia': 0.5, 'thalamus': 0.5}
INFRATENTORIAL = {'cerebellum': 0.6, 'brainstem': 0.4}
#: Tries to find a place for a lesion.
TRIES = 400
#: Says whether a lesion may lie where it was drawn.
Accept = Callable[[Feature], bool]


def lacunes(
    anatomy: Anatomy,
    seed: int,
    count: int,
    taken: Sequence[Feature] = (),
    accept: Accept | None = None,
) -> list:
    """Place lacunes: cavities of 3 to 15 mm, round or ovoid, most with a gliotic rim.

    Parameters
    ----------
    anatomy : Anatomy
        The head.
    seed : int
        Decides where and how.
    count : int
        How many.
    taken : sequence of Feature
        What they must not touch.
    accept : callable, optional
        Says whether a lesion may lie where it was drawn; all may by default.

    Returns
    -------
    list of Ellipsoid
        Of kind 'lacune', and of kind 'rim' around some.

    References
    ----------
    .. [1] Duering M. et al. (2023) STRIVE-2. doi:10.1016/S1474-4422(23)00131-X

    Examples
    --------
    >>> from csvdprep.phantom.head.anatomy import make_anatomy
    >>> found = lacunes(make_anatomy(1, spacing=4), 5, 3)
    >>> [3 <= x.diameter_mm <= 15 for x in found if x.kind == 'lacune']
    [True, True, True]
    """

    def make(rng):
        region = _region(LACUNES, rng)
        diameter = float(np.clip(6 * np.exp(0.4 * rng.standard_normal()), 3, 15))
        diameter = min(diameter, 8) if region in ('thalamus', 'brainstem') else diameter
        radii = diameter / 2 * np.array([1, rng.uniform(0.6, 1), rng.uniform(0.6, 1)])
        place = _somewhere(region, rng, from_fluid=diameter / 2 + 2)
        thickness = rng.uniform(1, 2) if rng.random() < _RIM.get(region, 0.7) else 0.0
        return _ellipsoid(anatomy, 'lacune', 'csf', place, radii, rng, region, rim_mm=thickness)

    out: list[Feature] = []
    for lesion in _series(make, seed, 'lacune', count, taken, accept):
        if width := lesion.facts['rim_mm']:
            radii = lesion.radii + width
            out.append(
                Ellipsoid(
                    kind='rim',
                    tissue='gliosis',
                    centre=lesion.centre,
                    radii=radii,
                    axes=lesion.axes,
                )
            )
        out.append(lesion)
    return out


#: Share of lacunes with a rim, where it is not 0.7: in grey matter rims are rarely seen.
_RIM = {'basal ganglia': 0.4, 'thalamus': 0.4}


def microbleeds(
    anatomy: Anatomy,
    seed: int,
    lobar: int,
    deep: int,
    infratentorial: int,
    taken: Sequence[Feature] = (),
    accept: Accept | None = None,
) -> list[Ellipsoid]:
    """Place microbleeds: spheres of haemosiderin, radius 0.5 to 3 mm, 0.5 to 2 ppm.

    Parameters
    ----------
    anatomy, seed, taken, accept
        As in :func:`lacunes`.
    lobar, deep, infratentorial : int
        How many of each category of the Microbleed Anatomical Rating Scale.

    References
    ----------
    .. [1] Gregoire S.M. et al. (2009) The Microbleed Anatomical Rating Scale (MARS).
       doi:10.1212/WNL.0b013e3181c34a7d
    """
    out: list[Ellipsoid] = []
    for category, places, count in (
        ('lobar', LOBAR, lobar),
        ('deep', DEEP, deep),
        ('infratentorial', INFRATENTORIAL, infratentorial),
    ):

        def make(rng, category=category, places=places):
            radius = float(np.clip(1.2 * np.exp(0.4 * rng.standard_normal()), 0.5, 3))
            place = _somewhere(_region(places, rng), rng, from_fluid=radius + 1)
            chi = float(rng.uniform(0.5, 2.0))
            return _ellipsoid(
                anatomy, 'CMB', 'haemosiderin', place, np.full(3, radius), rng, category, chi=chi
            )

        out += _series(make, seed, f'CMB {category}', count, [*taken, *out], accept)
    return out


def calcifications(
    anatomy: Anatomy, seed: int, count: int, taken: Sequence[Feature] = ()
) -> list[Ellipsoid]:
    """Place calcifications of the pallidum: diamagnetic mimics of microbleeds."""

    def make(rng):
        side = rng.choice([-1, 1])
        place = np.array([side * rng.uniform(15, 20), rng.uniform(-8, 2), rng.uniform(-3, 3)])
        radius = float(rng.uniform(0.8, 2.0))
        return _ellipsoid(
            anatomy, 'calcification', 'calcium', place, np.full(3, radius), rng, 'deep', chi=-2.0
        )

    return _series(make, seed, 'calcification', count, taken)


def recent_infarcts(
    anatomy: Anatomy,
    seed: int,
    count: int,
    taken: Sequence[Feature] = (),
    accept: Accept | None = None,
) -> list[Ellipsoid]:
    """Place recent small subcortical infarcts: up to 20 mm in the territory of a perforator."""

    def make(rng):
        region = _region(LACUNES, rng)
        diameter = float(rng.uniform(5, 18)) if region != 'brainstem' else float(rng.uniform(4, 9))
        radii = diameter / 2 * np.array([1, rng.uniform(0.55, 0.9), rng.uniform(0.55, 0.9)])
        place = _somewhere(region, rng, from_fluid=min(diameter / 2 + 1, 8))
        return _ellipsoid(anatomy, 'RSSI', 'infarct', place, radii, rng, region)

    return _series(make, seed, 'RSSI', count, taken, accept)


def perivascular_spaces(
    anatomy: Anatomy,
    seed: int,
    basal_ganglia: int,
    centrum_semiovale: int,
    taken: Sequence[Feature] = (),
    accept: Accept | None = None,
) -> list[Tube]:
    """Place perivascular spaces: curved tubes that follow the perforating vessels.

    In the basal ganglia they rise from the anterior perforated substance, in the centrum
    semiovale they run from the cortex towards the ventricles; 0.5 to 3 mm wide, 3 to 30 mm long.

    Parameters
    ----------
    anatomy, seed, taken, accept
        As in :func:`lacunes`.
    basal_ganglia, centrum_semiovale : int
        How many, both hemispheres together; left and right alternate.

    References
    ----------
    .. [1] Potter G.M. et al. (2015) Cerebral perivascular spaces visible on MRI.
       doi:10.1159/000375153
    """
    out: list[Tube] = []
    for region, course, count in (
        ('BG', _rising, basal_ganglia),
        ('CSO', _radial, centrum_semiovale),
    ):

        def make(rng, region=region, course=course):
            width = float(np.clip(1.05 * np.exp(0.35 * rng.standard_normal()), 0.5, 3))
            side = -1 if rng.random() < 0.5 else 1
            line = course(side, rng)
            if sites().read('from_fluid', line).min() < 2:
                return None
            points = _even(anatomy.to_head(line), width / 3)
            return Tube(
                kind='PVS',
                tissue='csf',
                points=points,
                radii=np.full(len(points), width / 2),
                facts={'region': region, 'side': 'left' if side < 0 else 'right', 'mni': line},
            )

        out += _series(make, seed, f'PVS {region}', count, [*taken, *out], accept)
    return out


def _rising(side: int, rng) -> np.ndarray:
    """Return the course of a space of the basal ganglia, in the template."""
    start = np.array([side * rng.uniform(13, 26), rng.uniform(-6, 12), rng.uniform(-12, -6)])
    length = float(np.clip(12 * np.exp(0.4 * rng.standard_normal()), 4, 28))
    way = np.array([side * rng.normal(0.15, 0.15), rng.normal(-0.05, 0.2), 1.0])
    return _curve(start, way, length, rng)


def _radial(side: int, rng) -> np.ndarray:
    """Return the course of a space of the centrum semiovale, in the template."""
    places = sites().within('centrum semiovale', from_grey=3)
    places = places[np.sign(places[:, 0]) == side]
    middle = places[rng.integers(len(places))] + rng.uniform(-1, 1, 3)
    length = float(np.clip(10 * np.exp(0.5 * rng.standard_normal()), 3, 30))
    way = middle - np.array([side * 14, np.clip(middle[1], -40, 20), 14])
    way = way / np.linalg.norm(way) + rng.normal(0, 0.12, 3)
    return _curve(middle - way / np.linalg.norm(way) * length / 2, way, length, rng)


def _curve(start, way, length: float, rng) -> np.ndarray:
    """Return a bent line of a length from a point in a direction."""
    way = way / np.linalg.norm(way)
    bend = np.cross(way, rng.standard_normal(3))
    bend *= rng.uniform(0, 0.12) * length / np.linalg.norm(bend)
    t = np.linspace(0, 1, 24)[:, None]
    return start + t * length * way + np.sin(np.pi * t) * bend


def _even(line: np.ndarray, step: float) -> np.ndarray:
    """Return a line with its points at even distances of at most a step."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    at = np.linspace(0, along[-1], int(np.ceil(along[-1] / step)) + 2)
    return np.stack([np.interp(at, along, line[:, i]) for i in range(3)], axis=1)


def _series(
    make: Callable,
    seed: int,
    what: str,
    count: int,
    taken: Sequence[Feature],
    accept: Accept | None = None,
) -> list:
    """Make a number of lesions, each at a free place.

    Raises
    ------
    ValueError
        If the brain has no room for so many.
    """
    key = [ord(letter) for letter in what]
    out: list = []
    for number in range(count):
        rng = np.random.default_rng([seed, number, *key])
        for _ in range(TRIES):
            lesion = make(rng)
            if lesion is None or (accept and not accept(lesion)):
                continue
            if not any(_touch(lesion, other) for other in [*taken, *out]):
                out.append(lesion)
                break
        else:
            raise ValueError(f'There is no room for {count} lesions of kind {what}.')
    return out


def _touch(one: Feature, other: Feature, gap: float = 1.0) -> bool:
    """Tell whether two shapes come closer than a gap, mm."""
    low, high = one.box()
    other_low, other_high = other.box()
    if (low - gap > other_high).any() or (high + gap < other_low).any():
        return False
    radii = float(np.max(one.radii) + np.max(other.radii))
    return bool(cdist(_spine(one), _spine(other)).min() < radii + gap)


def _spine(feature: Feature) -> np.ndarray:
    """Return points along the middle of a shape."""
    if isinstance(feature, Ellipsoid):
        return feature.centre[None]
    step = max(1, len(feature.points) // 24)
    return feature.points[::step]


def _region(shares: dict[str, float], rng) -> str:
    return str(rng.choice(list(shares), p=list(shares.values())))


def _somewhere(region: str, rng, *, from_fluid: float) -> np.ndarray:
    """Draw a position in a region, as far from fluid as asked or, if need be, as possible."""
    points = sites().within(region, from_fluid=from_fluid)
    while not len(points):
        from_fluid *= 0.8
        points = sites().within(region, from_fluid=from_fluid)
    return points[rng.integers(len(points))] + rng.uniform(-1, 1, 3)


def _ellipsoid(anatomy, kind, tissue, place, radii, rng, region, **facts) -> Ellipsoid:
    axes = Rotation.from_quat(rng.standard_normal(4)).as_matrix()
    return Ellipsoid(
        kind=kind,
        tissue=tissue,
        centre=anatomy.to_head(place[None])[0],
        radii=radii,
        axes=axes,
        facts={
            'region': region,
            'side': 'left' if place[0] < 0 else 'right',
            'mni': place[None],
            **facts,
        },
    )
