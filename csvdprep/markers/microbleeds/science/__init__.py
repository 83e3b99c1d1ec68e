"""Microbleeds: candidates, their probability, size and sign."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from csvdprep.markers.microbleeds.science.candidates import (
    ANATOMY,
    FEATURES,
    Candidates,
    candidates,
)
from csvdprep.markers.microbleeds.science.evidence import Evidence, evidence
from csvdprep.markers.microbleeds.science.probability import Model
from csvdprep.markers.microbleeds.science.regions import Region, region_of

__all__ = ['ANATOMY', 'Bleed', 'Found', 'Region', 'find_microbleeds', 'region_of', 'sign_map']

#: A spot grown further than so many radii from its centre has leaked into something else.
LEAK_RADII = 2.5


@dataclass(frozen=True)
class Bleed:
    """A candidate, as the list has it.

    Attributes
    ----------
    number : int
        Value in the image of candidates.
    probability : float
        That it is a microbleed; of what is diamagnetic, that it would be one by its form.
    diameter_mm : float
        Width of the signal void at half of its depth, mm; blooming included.
    contrast : float
        Share of the signal of the surroundings that is lost in its middle.
    sign : int
        1 paramagnetic, as blood products; -1 diamagnetic, as calcium; 0 not known.
    chi_ppm : float or None
        Extreme susceptibility in it, ppm; None without a map.
    reasons : str
        What speaks for and against it.
    """

    number: int
    probability: float
    diameter_mm: float
    contrast: float
    sign: int
    chi_ppm: float | None
    reasons: str


@dataclass(frozen=True, eq=False)
class Found:
    """Candidates of a scan, the most probable first, what is diamagnetic last.

    Attributes
    ----------
    labels : ndarray of int32, shape (I, J, K)
        Number of the candidate.
    bleeds : tuple of Bleed
        In the order of their numbers.
    centres : ndarray of int, shape (n, 3)
        Voxel in the middle of each.
    """

    labels: np.ndarray
    bleeds: tuple[Bleed, ...]
    centres: np.ndarray


def find_microbleeds(
    image: np.ndarray,
    brain: np.ndarray,
    affine: np.ndarray,
    *,
    model: Model,
    anatomy: Mapping[str, np.ndarray],
    chi: np.ndarray | None = None,
    least: float = 0.2,
) -> Found:
    """Find microbleeds.

    Parameters
    ----------
    image : ndarray, shape (I, J, K)
        Magnitude or susceptibility-weighted image, any unit.
    brain : ndarray of bool, shape (I, J, K)
        The brain.
    affine : ndarray, shape (4, 4)
        Voxel to world, RAS+ mm.
    model : Model
        What judges candidates.
    anatomy : mapping of str to ndarray of float32
        Share of each voxel, 0 to 1, of each of :data:`ANATOMY`: fluid, cortex, pallidum,
        ventricle, all deep grey matter, brainstem and cerebellum.
    chi : ndarray, optional
        Susceptibility, ppm; 0 where there is none.
    least : float
        Candidates that are less probable are left out.

    Returns
    -------
    Found
        With what is diamagnetic, and looks like a microbleed.

    References
    ----------
    .. [1] Greenberg S.M. et al. (2009) Cerebral microbleeds: a guide to detection and
       interpretation. doi:10.1016/S1474-4422(09)70013-4
    .. [2] Kuijf H.J. et al. (2012) Efficient detection of cerebral microbleeds on 7.0 T MR images
       using the radial symmetry transform. doi:10.1016/j.neuroimage.2011.09.061

    Examples
    --------
    >>> from csvdprep.markers.microbleeds.learned import load_model
    >>> rng = np.random.default_rng(0)
    >>> x, y, z = np.mgrid[:48, :48, :48] - np.array([22, 25, 24])[:, None, None, None]
    >>> away = np.sqrt(x**2 + y**2 + z**2)
    >>> image = 100 + 2 * rng.standard_normal(away.shape) - 80 / (1 + np.exp(3 * (away - 2)))
    >>> none = np.zeros(away.shape, np.float32)
    >>> found = find_microbleeds(image, np.ones(away.shape, bool), np.eye(4), model=load_model(),
    ...                          anatomy=dict.fromkeys(ANATOMY, none))
    >>> [round(bleed.diameter_mm) for bleed in found.bleeds if bleed.probability > 0.5]
    [4]
    """
    affine = np.asarray(affine, float)
    voxel_mm = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    signs = evidence(image, brain, voxel_mm)
    sign = None if chi is None else sign_map(chi, brain)
    seen = candidates(signs, brain, affine, anatomy, sign)
    column = FEATURES.index('sign')
    sure = model.probability(seen.features)
    # What is diamagnetic is judged by its form, and comes last: it is calcium if it is anything.
    calcium = seen.features[:, column] < 0
    plain = seen.features[calcium].copy()
    plain[:, column] = 0
    if calcium.any():
        sure[calcium] = model.probability(plain)
    labels = np.zeros(brain.shape, np.int32)
    bleeds, centres = [], []
    for i in np.lexsort((-sure, calcium)):
        if sure[i] < least or labels[tuple(seen.centres[i])]:
            continue
        number = len(bleeds) + 1
        if not _mark(labels, seen, i, number, voxel_mm):
            continue
        bleeds.append(_described(number, float(sure[i]), seen, i, signs, chi))
        centres.append(seen.centres[i])
    return Found(labels, tuple(bleeds), np.array(centres, int).reshape(-1, 3))


def sign_map(chi: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Give susceptibility in SD of its own variation in the brain.

    Parameters
    ----------
    chi : ndarray, shape (I, J, K)
        ppm; 0 where there is none.
    brain : ndarray of bool
        The brain.

    Returns
    -------
    ndarray of float32

    Examples
    --------
    >>> chi = 0.01 * np.random.default_rng(0).standard_normal((20, 20, 20))
    >>> chi[5, 5, 5] = 0.5
    >>> bool(sign_map(chi, np.ones(chi.shape, bool))[5, 5, 5] > 20)
    True
    """
    chi = np.nan_to_num(np.asarray(chi, np.float32))
    known = brain & (chi != 0)
    if not known.any():
        return np.zeros(chi.shape, np.float32)
    middle = float(np.median(chi[known]))
    spread = 1.4826 * float(np.median(np.abs(chi[known] - middle)))
    return np.where(known, (chi - middle) / max(spread, 1e-4), 0).astype(np.float32)


def _mark(labels, seen: Candidates, i: int, number: int, voxel_mm) -> bool:
    """Number the voxels of a candidate; False if all of them are taken."""
    box, grown = seen.parts[i]
    radius = seen.features[i, FEATURES.index('radius')]
    reach = LEAK_RADII * radius + float(voxel_mm.max()) / 2
    lines = [
        (np.arange(edge.start, edge.start + n) - c) * size
        for edge, n, c, size in zip(box, grown.shape, seen.centres[i], voxel_mm, strict=True)
    ]
    away = sum(part**2 for part in np.meshgrid(*lines, indexing='ij', sparse=True))
    own = grown & (away <= reach**2) & (labels[box] == 0)
    labels[box][own] = number
    return bool(own.any())


def _described(number, sure, seen: Candidates, i: int, signs: Evidence, chi) -> Bleed:
    """Put what is known of a candidate into numbers and words."""
    facts = dict(zip(FEATURES, seen.features[i], strict=True))
    contrast = facts['depth'] - facts['around']
    sign = int(facts['sign'])
    value = None
    if chi is not None:
        box, grown = seen.parts[i]
        inside = np.asarray(chi[box])[grown]
        value = float(inside[np.abs(inside).argmax()])
    words = [f'{100 * contrast:.0f} % of the signal lost']
    words.append({1: 'paramagnetic', -1: 'diamagnetic: calcium', 0: 'sign not known'}[sign])
    if max(facts['tube_near'], facts['tube_far'], facts['plane_tube']) > 0.5:
        words.append('dark on two opposite sides: a vein?')
    elif facts['link_far'] > 0.2:
        words.append('connected to other dark places')
    if facts['through'] > 0.6 and facts['thick'] > 2.2:
        words.append('dark in the next slice too')
    if facts['outside'] > 0.1 or facts['edge'] < 2.5:
        words.append('at the edge of the brain')
    if facts['fluid'] > 0.5 or facts['fluid_around'] > 0.4:
        words.append('in fluid')
    if facts['pallidum'] > 0.3:
        words.append('in the pallidum: mineral?')
    if contrast < 5 * signs.noise:
        words.append('little above noise')
    if facts['long'] > 2.5:
        words.append('long')
    return Bleed(
        number, sure, float(2 * facts['radius']), float(contrast), sign, value, '; '.join(words)
    )
