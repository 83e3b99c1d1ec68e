"""Recent infarcts: candidates, their probability, and their kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from csvdprep.markers.infarcts.science.candidates import FEATURES, Candidates, candidates
from csvdprep.markers.infarcts.science.evidence import Evidence, evidence
from csvdprep.science.logistic import QuadraticModel
from csvdprep.science.morphology import bounding_box
from csvdprep.science.shapes import axial_diameter

__all__ = ['Found', 'Infarct', 'classify', 'find_infarcts']

#: Share of cortex in a lesion and close to it, or of cerebellum in it, from which it is called so.
CORTICAL, CEREBELLAR = 0.25, 0.5
#: What is close to a lesion, mm.
CLOSE_MM = 2.5


@dataclass(frozen=True)
class Infarct:
    """A candidate, as the list has it.

    Attributes
    ----------
    number : int
        Value in the image of candidates.
    probability : float
        That it is an infarct.
    kind : str
        'rssi', 'cortical', 'large' or 'cerebellar'.
    adc : float
        Mean ADC, mm²/s, bright voxels counting more.
    adc_ratio, trace_ratio : float
        Over the surroundings and the mirror image.
    reasons : str
        What speaks for and against it.
    """

    number: int
    probability: float
    kind: str
    adc: float
    adc_ratio: float
    trace_ratio: float
    reasons: str


@dataclass(frozen=True, eq=False)
class Found:
    """Candidates of a scan, the most probable first.

    Attributes
    ----------
    labels : ndarray of int32, shape (I, J, K)
        Number of the candidate.
    infarcts : tuple of Infarct
        In the order of their numbers.
    """

    labels: np.ndarray
    infarcts: tuple[Infarct, ...]


def find_infarcts(
    trace: np.ndarray,
    adc: np.ndarray,
    brain: np.ndarray,
    affine: np.ndarray,
    *,
    model: QuadraticModel,
    mirror: np.ndarray,
    fluid: np.ndarray,
    air: np.ndarray,
    cortex: np.ndarray,
    cerebellum: np.ndarray,
    least: float = 0.2,
    rssi_mm: float = 20.0,
) -> Found:
    """Find recent infarcts.

    Parameters
    ----------
    trace, adc : ndarray, shape (I, J, K)
        Trace image (any unit) and ADC (mm²/s).
    brain : ndarray of bool
        The brain.
    affine : ndarray, shape (4, 4)
        Voxel to world, RAS+ mm.
    model : QuadraticModel
        What judges candidates.
    mirror : ndarray, shape (3, n)
        Voxel coordinates of the mirror image of each voxel of the brain.
    fluid, cortex, cerebellum : ndarray of float32
        Share of each voxel, 0 to 1.
    air : ndarray of float32
        Nearness to air-filled bone, 0 to 1.
    least : float
        Candidates that are less probable are left out.
    rssi_mm : float
        Largest axial diameter of a small infarct.

    Returns
    -------
    Found

    References
    ----------
    .. [1] Duering M. et al. (2023) STRIVE-2. doi:10.1016/S1474-4422(23)00131-X

    Examples
    --------
    >>> from csvdprep.markers.infarcts.learned import load_model
    >>> rng = np.random.default_rng(0)
    >>> brain = np.ones((40, 40, 30), bool)
    >>> trace = 100 + 4 * rng.standard_normal(brain.shape)
    >>> adc = 0.8e-3 + 0.03e-3 * rng.standard_normal(brain.shape)
    >>> trace[8:13, 18:23, 14:18] *= 1.8; adc[8:13, 18:23, 14:18] *= 0.6
    >>> mirror = np.array(np.nonzero(brain), float); mirror[0] = 39 - mirror[0]
    >>> none = np.zeros(brain.shape, np.float32)
    >>> found = find_infarcts(trace, adc, brain, np.diag([2.0, 2, 2, 1]), model=load_model(),
    ...                       mirror=mirror, fluid=none, air=none, cortex=none, cerebellum=none)
    >>> [item.kind for item in found.infarcts if item.probability > 0.5]
    ['rssi']
    """
    voxel_mm = np.sqrt((np.asarray(affine, float)[:3, :3] ** 2).sum(axis=0))
    signs = evidence(trace, adc, brain, voxel_mm, mirror)
    seen = candidates(signs, adc, brain, affine, fluid=fluid, air=air)
    sure = model.probability(seen.features)
    order = [i for i in np.argsort(-sure, kind='stable') if sure[i] >= least]
    renumbered = np.zeros(len(sure) + 1, np.int32)
    renumbered[[i + 1 for i in order]] = np.arange(1, len(order) + 1)
    labels = renumbered[seen.labels]
    infarcts = []
    for number, i in enumerate(order, start=1):
        kind = classify(labels == number, affine, cortex, cerebellum, rssi_mm)
        infarcts.append(_described(number, float(sure[i]), seen, i, signs) | {'kind': kind})
    return Found(labels, tuple(Infarct(**item) for item in infarcts))


def classify(
    lesion: np.ndarray,
    affine: np.ndarray,
    cortex: np.ndarray,
    cerebellum: np.ndarray,
    rssi_mm: float = 20.0,
) -> str:
    """Tell small subcortical infarcts from others.

    Parameters
    ----------
    lesion : ndarray of bool, shape (I, J, K)
        One lesion.
    affine : ndarray, shape (4, 4)
        Voxel to world, mm.
    cortex, cerebellum : ndarray of float, shape (I, J, K)
        Share of each voxel.
    rssi_mm : float
        Largest axial diameter of a small one.

    Returns
    -------
    {'rssi', 'cortical', 'large', 'cerebellar'}

    Examples
    --------
    >>> lesion = np.ones((4, 4, 3), bool)
    >>> classify(lesion, np.diag([2.0, 2, 2, 1]), np.zeros((4, 4, 3)), np.zeros((4, 4, 3)))
    'rssi'
    >>> classify(lesion, np.diag([2.0, 2, 2, 1]), np.ones((4, 4, 3)), np.zeros((4, 4, 3)))
    'cortical'
    """
    voxel_mm = np.sqrt((np.asarray(affine, float)[:3, :3] ** 2).sum(axis=0))
    reach = int(np.ceil(CLOSE_MM / voxel_mm.min())) + 1
    box = bounding_box(lesion, reach)
    lesion = lesion[box]
    if cerebellum[box][lesion].mean() >= CEREBELLAR:
        return 'cerebellar'
    close = ndi.distance_transform_edt(~lesion, sampling=voxel_mm) <= CLOSE_MM
    parts = (lesion, close & ~lesion)
    if any(part.any() and cortex[box][part].mean() >= CORTICAL for part in parts):
        return 'cortical'
    return 'rssi' if axial_diameter(lesion, affine) <= rssi_mm else 'large'


def _described(number: int, sure: float, seen: Candidates, i: int, signs: Evidence) -> dict:
    """Put what is known of a candidate into numbers and words."""
    facts = dict(zip(FEATURES, seen.features[i], strict=True))
    bright, low = float(np.exp(facts['bright_mean'])), float(np.exp(-facts['low_mean']))
    words = [f'trace {bright:.2f} times, ADC {low:.2f} times the surroundings']
    if low > 0.9:
        words.append('ADC hardly reduced: possibly T2 shine-through of an older lesion')
    if facts['symmetric'] > 0.12:
        words.append('the other side is also bright')
    if facts['air'] > 0.6:
        words.append('near air-filled bone')
    if np.exp(facts['ln_volume']) < 40:
        words.append('very small')
    if facts['bright_peak'] < 5 * signs.noise[0]:
        words.append('only slightly above the noise')
    return {
        'number': number,
        'probability': sure,
        'adc': facts['adc'] * 1e-3,
        'adc_ratio': low,
        'trace_ratio': bright,
        'reasons': '; '.join(words),
    }
