"""Lacunes and perivascular spaces: candidates, what each is, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from csvdprep.markers.cavities.science.candidates import Head, candidates, features_of
from csvdprep.markers.cavities.science.pieces import joined
from csvdprep.science.logistic import QuadraticModel
from csvdprep.science.shapes import axial_diameter

__all__ = ['Cavity', 'Found', 'Head', 'Limits', 'find_cavities']


@dataclass(frozen=True)
class Limits:
    """Which candidates count.

    Attributes
    ----------
    definite, possible : float
        Probability from which a candidate is a lacune, and from which it is listed for review.
    pvs_definite, pvs_possible : float
        The same of perivascular spaces.
    largest_mm : float
        Largest axial diameter of a lacune, mm.
    smallest_mm : float
        Smallest of its largest axial diameter, mm.
    fluid, fluid_possible : float
        Least share of fluid in the middle of a lacune, and of one that is listed for review.
    cortex : float
        Share of cortex in the surroundings from which, on thick slices, it is no lacune.
    perforated_mm : float
        Axial diameter up to which what lies above the anterior perforated substance is more
        likely a perivascular space, mm.
    tube : float
        Response of a tube, as a share of full contrast, from which a perivascular space counts
        on thick slices: averaging takes the noise away, and borders of grey matter emerge.
    roof : float
        Share of it right above or below a ventricle from which, on thick slices, it is rather a
        part of that than a perivascular space.
    """

    definite: float = 0.7
    possible: float = 0.3
    pvs_definite: float = 0.5
    pvs_possible: float = 0.3
    largest_mm: float = 15.0
    smallest_mm: float = 3.0
    fluid: float = 0.5
    fluid_possible: float = 0.3
    cortex: float = 0.4
    perforated_mm: float = 8.0
    tube: float = 0.1
    roof: float = 0.5


@dataclass(frozen=True)
class Cavity:
    """A candidate, as the lists have it.

    Attributes
    ----------
    number : int
        Value in the image of candidates.
    kind : str
        What it most likely is: 'lacune', 'pvs', 'sulcal', 'ventricular', 'cavitation',
        'infarct' or 'other'.
    lacune, pvs : float
        Probability of either; with that of all else they sum to 1.
    lacune_status, pvs_status : str
        'definite', 'possible' or ''; of one of the two kinds at most 'definite'.
    length_mm, width_mm, diameter_mm : float
        Length and width of a tube of its form; largest axial diameter.
    fluid_mm3 : float
        Volume of fluid, voxels at the border counting by their share.
    facts : mapping of str to float
        Its features.
    reasons : str
        What speaks for and against it.
    """

    number: int
    kind: str
    lacune: float
    pvs: float
    lacune_status: str
    pvs_status: str
    length_mm: float
    width_mm: float
    diameter_mm: float
    fluid_mm3: float
    facts: Mapping[str, float]
    reasons: str


@dataclass(frozen=True, eq=False)
class Found:
    """Candidates of a head that are a lacune or a perivascular space, or may be one.

    Attributes
    ----------
    labels : ndarray of int32, shape (I, J, K)
        Number of each.
    cavities : tuple of Cavity
        In the order of their numbers.
    outside : ndarray of bool
        Fluid of sulci and ventricles, which was left out, and what is not brain.
    """

    labels: np.ndarray
    cavities: tuple[Cavity, ...]
    outside: np.ndarray


#: Middle of the anterior perforated substance, on the right, and how far it reaches, template, mm.
PERFORATED, PERFORATED_REACH = (18.0, 4.0, -8.0), 8.0


def find_cavities(
    head: Head,
    model: QuadraticModel,
    limits: Limits | None = None,
    *,
    to_template: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Found:
    """Find lacunes and perivascular spaces, each candidate one of the two or neither.

    Parameters
    ----------
    head : Head
        What is searched.
    model : QuadraticModel
        What judges candidates, for the images of the head.
    limits : Limits, optional
        Which candidates count.
    to_template : callable, optional
        Takes positions in mm, shape (n, 3), and returns them in the template: there, where
        perivascular spaces are large, a small cavity does not count as a lacune.

    Returns
    -------
    Found

    References
    ----------
    .. [1] Duering M. et al. (2023) STRIVE-2. doi:10.1016/S1474-4422(23)00131-X
    .. [2] Sudre C.H. et al. (2024) Where is VALDO? VAscular Lesions Detection and segmentatiOn
       challenge at MICCAI 2021. doi:10.1016/j.media.2023.103029
    """
    limits = limits or Limits()
    seen = candidates(head)
    sure = model.probability(seen.features)
    names = features_of(head.images)
    wet = seen.features[:, names.index('peak')] >= limits.fluid_possible
    maybe = (sure[:, 1] >= limits.possible) & wet
    keep = np.flatnonzero(maybe | (sure[:, 2] >= limits.pvs_possible))
    # Lacunes first, the most probable first; then spaces, the largest first.
    order = sorted(keep, key=lambda i: (0, -sure[i, 1], i) if maybe[i] else (1, -sure[i, 2], i))
    spaces = [i for i in order if sure[i].argmax() == 2 and sure[i, 2] >= limits.pvs_definite]
    # Across thick slices there are no lines to follow.
    one = {i: i for i in spaces} if head.thick else joined(seen.facts, sorted(spaces))
    order = [i for i in order if one.get(i, i) == i]
    renumbered = np.zeros(len(sure) + 1, np.int32)
    renumbered[[i + 1 for i in order]] = np.arange(1, len(order) + 1)
    for piece, whole in one.items():
        renumbered[piece + 1] = renumbered[whole + 1]
    facts = _whole(seen.facts, one)
    labels = renumbered[seen.labels]
    boxes = ndi.find_objects(labels)
    low = perforated(_middles(labels, head.affine, len(order)), to_template)
    cavities = tuple(
        _described(
            number,
            dict(zip(names, map(float, seen.features[i]), strict=True)),
            facts[i],
            sure[i],
            axial_diameter(labels[boxes[number - 1]] == number, head.affine),
            head,
            limits,
            low[number - 1],
        )
        for number, i in enumerate(order, start=1)
    )
    return Found(labels, cavities, seen.outside)


def perforated(
    points: np.ndarray, to_template: Callable[[np.ndarray], np.ndarray] | None
) -> np.ndarray:
    """Tell which positions lie just above the anterior perforated substance.

    Parameters
    ----------
    points : ndarray, shape (n, 3)
        Positions, mm.
    to_template : callable or None
        Takes them to the template.

    Returns
    -------
    ndarray of bool, shape (n,)

    Examples
    --------
    >>> perforated(np.array([[-18.0, 4, -8], [-18, 4, 20]]), lambda points: points).tolist()
    [True, False]
    """
    if to_template is None or not len(points):
        return np.zeros(len(points), bool)
    there = np.asarray(to_template(points), float)
    there[:, 0] = np.abs(there[:, 0])
    return np.linalg.norm(there - PERFORATED, axis=1) <= PERFORATED_REACH


def _middles(labels: np.ndarray, affine: np.ndarray, count: int) -> np.ndarray:
    """Return the middle of each candidate, mm."""
    if not count:
        return np.zeros((0, 3))
    middle = ndi.center_of_mass(labels > 0, labels, np.arange(1, count + 1))
    return np.array(middle).reshape(-1, 3) @ affine[:3, :3].T + affine[:3, 3]


def _whole(facts: Sequence[dict], one: Mapping[int, int]) -> list[dict]:
    """Add up the lengths and volumes of the pieces of each space."""
    out = [
        {name: float(fact[name]) for name in ('length_mm', 'width_mm', 'fluid_mm3', 'roof')}
        for fact in facts
    ]
    for piece, whole in one.items():
        if piece != whole:
            for name in ('length_mm', 'fluid_mm3'):
                out[whole][name] += out[piece][name]
    for whole in {w for p, w in one.items() if p != w}:
        length, volume = out[whole]['length_mm'], out[whole]['fluid_mm3']
        out[whole]['width_mm'] = float(2 * np.sqrt(volume / (np.pi * length)))
    return out


def _described(
    number: int,
    facts: dict[str, float],
    form: Mapping[str, float],
    sure: np.ndarray,
    diameter: float,
    head: Head,
    limits: Limits,
    low: bool,
) -> Cavity:
    """Put what is known of a candidate into numbers and words."""
    lacune, pvs = float(sure[1]), float(sure[2])
    kind = ('other', 'lacune', 'pvs')[int(np.argmax(sure))]
    if lacune >= limits.definite and diameter > limits.largest_mm + 1.5 * head.voxel_mm.min():
        kind = 'infarct'
    elif kind == 'other':
        kind = rest_of(facts)
    lacune_status = pvs_status = ''
    words = reasons(facts, diameter)
    form = dict(form)
    roof = form.pop('roof', 0.0)
    if roof > limits.roof:
        words += '; right above or below a ventricle'
    if low:
        words += '; above the anterior perforated substance, where perivascular spaces are large'
    if lacune >= limits.possible and facts['peak'] >= limits.fluid_possible:
        counts = kind == 'lacune' and lacune >= limits.definite
        counts = counts and diameter >= limits.smallest_mm and facts['peak'] >= limits.fluid
        # A sulcus that a thick slice cuts across looks like a cavity.
        counts = counts and not (head.thick and facts['ring_cortex'] >= limits.cortex)
        counts = counts and not (low and diameter < limits.perforated_mm)
        lacune_status = 'definite' if counts else 'possible'
    if kind != 'lacune' and pvs >= limits.pvs_possible:
        counts = kind == 'pvs' and pvs >= limits.pvs_definite
        counts = counts and not (head.thick and facts['tube'] < limits.tube)
        counts = counts and not roof > limits.roof
        pvs_status = 'definite' if counts else 'possible'
    return Cavity(
        number=number,
        kind=kind,
        lacune=lacune,
        pvs=pvs,
        lacune_status=lacune_status,
        pvs_status=pvs_status,
        diameter_mm=diameter,
        facts=facts,
        reasons=words,
        **form,
    )


def rest_of(facts: Mapping[str, float]) -> str:
    """Say what a candidate is that is neither a lacune nor a perivascular space.

    Parameters
    ----------
    facts : mapping of str to float
        Features.

    Returns
    -------
    {'ventricular', 'sulcal', 'cavitation', 'other'}

    Examples
    --------
    >>> rest_of({'contact': 0.3, 'from_ventricles': 0.0, 'ring_cortex': 0.1})
    'ventricular'
    """
    if facts['contact'] > 0.1 and facts['from_ventricles'] < 0.1:
        return 'ventricular'
    if facts['contact'] > 0.1 or facts['ring_cortex'] > 0.5:
        return 'sulcal'
    if facts.get('flair_core', 1.0) < -0.05:
        return 'cavitation'
    return 'other'


def reasons(facts: Mapping[str, float], diameter_mm: float) -> str:
    """Say what speaks for and against a lacune.

    Parameters
    ----------
    facts : mapping of str to float
        Features.
    diameter_mm : float
        Largest axial diameter.

    Returns
    -------
    str
    """
    words = [f'{100 * min(max(facts["peak"], 0), 1):.0f} % fluid on the T1w']
    if 't2w_core' in facts:
        words[0] += f', {100 * min(max(facts["t2w_core"], 0), 1):.0f} % on the T2w'
    if 'flair_core' in facts:
        dark = facts['flair_core']
        words.append(
            'dark on the FLAIR'
            if dark > 0.4
            else 'bright on the FLAIR'
            if dark < -0.1
            else 'not dark on the FLAIR'
        )
        if facts['flair_rim'] > 0.25:
            words.append('bright rim')
    if facts['elongation'] > 2.5:
        words.append('tubular')
    if diameter_mm < 3:
        words.append('narrower than 3 mm')
    if facts['contact'] > 0.1:
        words.append('touches fluid of sulci or ventricles')
    if facts['ring_cortex'] > 0.4:
        words.append('in or at cortex')
    return '; '.join(words)
