"""A person with small vessel disease, and the scene that a visit finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from csvdprep.phantom.disease import small
from csvdprep.phantom.disease.grading import graded
from csvdprep.phantom.disease.hyperintensities import lesion_growth
from csvdprep.phantom.geometry.features import Ellipsoid, Feature, draw
from csvdprep.phantom.head.anatomy import Anatomy, make_anatomy
from csvdprep.phantom.head.arteries import arteries
from csvdprep.phantom.head.placement import sites
from csvdprep.phantom.head.veins import veins
from csvdprep.phantom.scanner.scene import Scene

#: Added to the seed of lesions that are not there at the first visit.
LATER = 1_000_003


@dataclass(frozen=True, kw_only=True)
class Disease:
    """What there is of the disease at a visit.

    Attributes
    ----------
    wmh_ml : float
        Volume of hyperintensities at the first visit, mL.
    wmh_growth_ml, wmh_shrink_ml : float
        What has been gained and lost since, mL.
    fazekas : tuple of int, optional
        Periventricular and deep grade that the hyperintensities are to have; volumes then follow.
    lacunes, recent_infarcts, calcifications : int
        Numbers.
    microbleeds : tuple of int
        Lobar, deep, infratentorial.
    pvs : tuple of int
        Perivascular spaces of the basal ganglia and the centrum semiovale, both sides.
    old_infarct : bool
        Whether an old cortical infarct is there: a distractor.
    new_lacunes, new_infarcts : int
        Incident ones: lacunes, and recent infarcts, that the first visit did not have.
    new_microbleeds : tuple of int
        Incident microbleeds: lobar, deep, infratentorial.
    past_infarcts : int
        Incident infarcts of visits between, which have faded: their places stay free.
    """

    wmh_ml: float = 10.0
    wmh_growth_ml: float = 0.0
    wmh_shrink_ml: float = 0.0
    fazekas: tuple[int, int] | None = None
    lacunes: int = 2
    microbleeds: tuple[int, int, int] = (2, 1, 1)
    calcifications: int = 1
    pvs: tuple[int, int] = (16, 24)
    recent_infarcts: int = 0
    old_infarct: bool = False
    new_lacunes: int = 0
    new_microbleeds: tuple[int, int, int] = (0, 0, 0)
    new_infarcts: int = 0
    past_infarcts: int = 0


@dataclass(frozen=True, kw_only=True)
class State:
    """A person at a visit.

    Attributes
    ----------
    years : float
        Time since the first visit.
    ventricles_mm, atrophy : float
        As in :func:`csvdprep.phantom.head.anatomy.make_anatomy`.
    disease : Disease
        Lesions.
    factors : mapping
        As in :class:`csvdprep.phantom.scanner.scene.Scene`.
    site : str
        Key of the site at which the visit takes place.
    modalities : tuple of str
        Scans that are made, of those that are made at all; all if empty.
    """

    years: float = 0.0
    ventricles_mm: float = 3.0
    atrophy: float = 0.7
    disease: Disease = field(default_factory=Disease)
    factors: Mapping[str, float] = field(default_factory=dict)
    site: str = ''
    modalities: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Person:
    """A participant.

    Attributes
    ----------
    label : str
        BIDS label.
    seed : int
        Decides anatomy and places of lesions.
    covariates : mapping
        Row of the table of participants: age, sex, ...
    size : tuple of float
        Scale of the head, as in :func:`csvdprep.phantom.head.anatomy.make_anatomy`.
    states : sequence of State
        One a visit.
    """

    label: str
    seed: int
    covariates: Mapping[str, Any] = field(default_factory=dict)
    size: tuple[float, float, float] = (0.93, 0.93, 0.93)
    states: Sequence[State] = (State(),)


def make_scene(
    person: Person,
    state: State,
    *,
    spacing: float = 1.0,
    tesla: float = 3.0,
    rotation=(0, 0, 0),
    shift=(0, 0, 0),
    vessels: bool = True,
) -> Scene:
    """Build what lies in the scanner at a visit.

    Parameters
    ----------
    person : Person
        Who.
    state : State
        When.
    spacing : float
        Spacing of the head's grid, mm.
    tesla : float
        Field strength.
    rotation, shift : tuple of float
        Pose: degrees, mm.
    vessels : bool
        Whether arteries and veins are drawn.

    Returns
    -------
    Scene

    Raises
    ------
    ValueError
        If the head has no room for the lesions.

    Examples
    --------
    >>> scene = make_scene(Person(label='01', seed=1), State(), spacing=4, vessels=False)
    >>> sorted({feature.kind for feature in scene.features})
    ['CMB', 'PVS', 'calcification', 'lacune', 'rim']
    """
    disease = state.disease
    anatomy = make_anatomy(
        person.seed,
        spacing=spacing,
        ventricles_mm=state.ventricles_mm,
        atrophy=state.atrophy,
        size=person.size,
    )
    if disease.old_infarct:
        anatomy = with_infarct(anatomy, person.seed)
    features = small_lesions(anatomy, person.seed, disease)
    if vessels:
        features = [*veins(anatomy, person.seed), *arteries(anatomy, person.seed), *features]
    return Scene(
        anatomy=anatomy,
        wmh=hyperintensities(anatomy, person.seed, disease),
        features=features,
        seed=person.seed,
        tesla=tesla,
        factors=state.factors,
        rotation=rotation,
        shift=shift,
    )


def hyperintensities(anatomy: Anatomy, seed: int, disease: Disease) -> np.ndarray:
    """Return the share of each voxel that is white matter hyperintensity."""
    if disease.fazekas:
        return graded(anatomy, seed, *disease.fazekas)
    growth = lesion_growth(anatomy, seed)
    if disease.wmh_growth_ml or disease.wmh_shrink_ml:
        return growth.changed(disease.wmh_ml, disease.wmh_growth_ml, disease.wmh_shrink_ml)
    return growth.fraction(disease.wmh_ml)


def small_lesions(anatomy: Anatomy, seed: int, disease: Disease) -> list[Feature]:
    """Place all small lesions, none on another.

    Those that are new come last, and into places that are left: where they are moves no other
    lesion. Their ``facts`` have ``new`` = 1.
    """
    out: list[Feature] = small.lacunes(anatomy, seed, disease.lacunes)
    out += small.recent_infarcts(anatomy, seed, disease.recent_infarcts, out)
    out += small.microbleeds(anatomy, seed, *disease.microbleeds, taken=out)
    out += small.calcifications(anatomy, seed, disease.calcifications, out)
    out += small.perivascular_spaces(anatomy, seed, *disease.pvs, taken=out)
    later = seed + LATER
    new: list[Feature] = small.lacunes(anatomy, later, disease.new_lacunes, out)
    many = disease.past_infarcts + disease.new_infarcts
    infarcts = small.recent_infarcts(anatomy, later, many, [*out, *new])
    taken = [*out, *new, *infarcts]
    new += infarcts[disease.past_infarcts :]
    new += small.microbleeds(anatomy, later, *disease.new_microbleeds, taken=taken)
    return out + [replace(lesion, facts=lesion.facts | {'new': 1}) for lesion in new]


def with_infarct(anatomy: Anatomy, seed: int, rim_mm: float = 4.0) -> Anatomy:
    """Put an old cortical infarct into a head: a cavity from the cortex inwards, gliosis around.

    Parameters
    ----------
    anatomy : Anatomy
        The head.
    seed : int
        Decides where and how large.
    rim_mm : float
        Thickness of the gliosis, mm.

    Returns
    -------
    Anatomy
        With a tissue ``gliosis``; its cavity is ``csf``. Region ``infarct`` has both.

    Examples
    --------
    >>> person = with_infarct(make_anatomy(1, spacing=4), 3)
    >>> 2 < person.volume_ml('infarct') < 60
    True
    """
    rng = np.random.default_rng([seed, 31])
    lobe = str(rng.choice(['frontal lobe', 'parietal lobe', 'temporal lobe']))
    places = sites().within(lobe)
    places = places[np.abs(places[:, 0]) > 45]
    centre = anatomy.to_head(places[rng.integers(len(places))][None])[0]
    radii = rng.uniform(9, 15, 3)
    shapes = [
        Ellipsoid(kind='infarct', tissue='csf', centre=centre, radii=radii + more)
        for more in (0.0, rim_mm)
    ]
    shape = anatomy.fractions['gm'].shape
    cavity, whole = (draw([part], shape, anatomy.affine)[0] for part in shapes)
    fractions = dict(anatomy.fractions)
    solid = fractions['gm'] + fractions['wm']
    fractions['csf'] = fractions['csf'] + solid * cavity
    rim = np.clip(whole - cavity, 0, 1)
    fractions['gliosis'] = fractions['wm'] * rim
    for name in ('gm', 'wm'):
        fractions[name] = fractions[name] * (1 - (whole if name == 'wm' else cavity))
    regions = dict(anatomy.regions)
    regions['infarct'] = solid * cavity + fractions['gliosis']
    regions['lesion_site'] = regions['lesion_site'] * (1 - whole)
    return replace(anatomy, fractions=fractions, regions=regions)
