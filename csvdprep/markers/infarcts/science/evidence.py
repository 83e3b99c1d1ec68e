"""How bright, and how low in ADC, each voxel is for its place and beside its mirror image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

#: Above this a voxel holds fluid, mm²/s.
FLUID_ADC = 1.2e-3
#: Width (SD) of the neighbourhood whose level is normal, mm.
LEVEL_MM = 8.0
#: What the mirror image explains at most: logarithm of a ratio.
MIRROR_MOST = 0.3
#: Edge of the neighbourhood that stands for the mirror image, mm.
MIRROR_MM = 6.0
#: Percentile of that neighbourhood: structures do not lie in quite the same place on both sides.
MIRROR_PERCENT = 70
#: Deviations beyond so many SD do not enter the level.
OUTLYING = 2.5


@dataclass(frozen=True, eq=False)
class Evidence:
    """What speaks for an infarct, voxel by voxel.

    Attributes
    ----------
    bright : ndarray of float32, shape (I, J, K)
        ln of the trace image over the level of its surroundings, less what the mirror image
        shows too. 0 outside of the brain.
    low : ndarray of float32
        ln of the level of ADC over ADC, less the same.
    symmetric : ndarray of float32
        What the mirror image shows of the brightness.
    noise : tuple of float
        Robust SD of ``bright`` and of ``low`` in tissue.
    """

    bright: np.ndarray
    low: np.ndarray
    symmetric: np.ndarray
    noise: tuple[float, float]


def evidence(
    trace: np.ndarray, adc: np.ndarray, brain: np.ndarray, voxel_mm: np.ndarray, mirror: np.ndarray
) -> Evidence:
    """Hold trace image and ADC against the surroundings and the other hemisphere.

    Parameters
    ----------
    trace, adc : ndarray, shape (I, J, K)
        Trace image (any unit) and ADC (mm²/s).
    brain : ndarray of bool, shape (I, J, K)
        The brain.
    voxel_mm : ndarray, shape (3,)
        Edges of a voxel, mm.
    mirror : ndarray, shape (3, n)
        Voxel coordinates of the mirror image of each voxel of the brain, in the order of
        ``np.nonzero(brain)``.

    Returns
    -------
    Evidence

    Examples
    --------
    >>> brain = np.ones((20, 20, 20), bool)
    >>> trace, adc = np.full(brain.shape, 100.0), np.full(brain.shape, 0.8e-3)
    >>> trace[4:7, 9:12, 9:12], adc[4:7, 9:12, 9:12] = 200, 0.4e-3
    >>> mirror = np.array(np.nonzero(brain), float); mirror[0] = 19 - mirror[0]
    >>> found = evidence(trace, adc, brain, np.full(3, 2.0), mirror)
    >>> bool(found.bright[5, 10, 10] > 0.6), bool(abs(found.bright[14, 10, 10]) < 0.05)
    (True, True)
    """
    whole = np.asarray(brain, bool)
    brain = whole & (trace > 0) & (adc > 0)
    tissue = brain & (adc < FLUID_ADC)
    inside = np.asarray(mirror, float)
    results, symmetric = [], None
    for image, sign in ((trace, 1.0), (adc, -1.0)):
        log = np.where(brain, np.log(np.maximum(image, 1e-9)), 0).astype(np.float32)
        apart = sign * (log - _level(log, tissue, voxel_mm))
        apart[~brain] = 0
        size = np.maximum(1, 2 * np.round(MIRROR_MM / 2 / np.asarray(voxel_mm)).astype(int) + 1)
        usual = ndi.percentile_filter(apart, MIRROR_PERCENT, size=tuple(size))
        there = np.zeros(brain.shape, np.float32)
        there[whole] = ndi.map_coordinates(usual, inside, order=1, mode='nearest')
        there[~brain] = 0
        if symmetric is None:
            symmetric = there
        results.append(np.where(brain, apart - np.clip(there, 0, MIRROR_MOST), 0))
    bright, low = (item.astype(np.float32) for item in results)
    noise = tuple(float(max(_spread(item[tissue]), 1e-3)) for item in (bright, low))
    return Evidence(bright, low, symmetric, noise)


def _level(log: np.ndarray, tissue: np.ndarray, voxel_mm) -> np.ndarray:
    """Estimate the slowly varying level of tissue, outliers left out."""
    middle = float(np.median(log[tissue]))
    level = np.full(log.shape, middle, np.float32)
    sigma = LEVEL_MM / np.asarray(voxel_mm, float)
    for _ in range(3):
        apart = log - level
        spread = max(_spread(apart[tissue]), 1e-6)
        weight = (tissue & (np.abs(apart) < OUTLYING * spread)).astype(np.float32)
        mass = ndi.gaussian_filter(weight, sigma)
        # Where there is little tissue the level of the whole brain counts.
        total = ndi.gaussian_filter(weight * (log - middle), sigma)
        level = middle + total / (mass + 0.02)
    return level


def _spread(values: np.ndarray) -> float:
    """Return a robust SD."""
    if not len(values):
        return 0.0
    return float(1.4826 * np.median(np.abs(values - np.median(values))))
