"""How much of each voxel is fluid, by the brightness of each image, and which fluid is outside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from csvdprep.core.errors import MeasureError
from csvdprep.science.morphology import FACES

#: Width (SD) of the neighbourhood whose tissue is normal, mm.
LEVEL_MM = 6.0
#: Voxels further from their neighbourhood (share of the way to fluid) do not enter its level.
OUTLYING = 0.3
#: Least number of voxels of pure fluid from which its brightness is learned.
LEAST_FLUID = 30
#: Share from which a voxel is fluid, and from which it may be the rest of a narrow sulcus.
FLUID, MIXED = 0.5, 0.35
#: How far mixed voxels belong to the fluid outside, mm.
MIXED_MM = 2.0


@dataclass(frozen=True, eq=False)
class Share:
    """Fluid as one image shows it.

    Attributes
    ----------
    share : ndarray of float32, shape (I, J, K)
        0 where a voxel is as bright as the tissue around it, 1 where it is as bright as fluid;
        less than 0 on the other side (hyperintensity on the FLAIR).
    noise : float
        Robust SD of the share in white matter from voxel to voxel.
    """

    share: np.ndarray
    noise: float


def fluid_share(
    image: np.ndarray,
    tissue: np.ndarray,
    fluid: np.ndarray,
    white: np.ndarray,
    voxel_mm: np.ndarray,
) -> Share:
    """Hold an image against its tissue and its fluid.

    ``share = (level - image) / (level - fluid)``: contrast in parts of the way from the tissue
    of the place to fluid, so that neither the unit of the image nor how much of the brain is
    hyperintense enters.

    Parameters
    ----------
    image : ndarray, shape (I, J, K)
        Any contrast, any unit.
    tissue : ndarray of bool
        Where its level is learned: without fluid and without hyperintensities.
    fluid : ndarray of bool
        Voxels that hold nothing but fluid.
    white : ndarray of bool
        Normal-appearing white matter, in which noise is measured.
    voxel_mm : ndarray, shape (3,)
        Edges of a voxel, mm.

    Returns
    -------
    Share

    Raises
    ------
    MeasureError
        If there is too little fluid, or it is as bright as tissue.

    Examples
    --------
    >>> image = np.full((30, 30, 30), 100.0)
    >>> image[:6] = 20; image[20, 15, 15] = 60
    >>> fluid = np.zeros(image.shape, bool); fluid[:5] = True
    >>> found = fluid_share(image, ~fluid, fluid, ~fluid, np.ones(3))
    >>> round(float(found.share[20, 15, 15]), 2)
    0.5
    """
    if fluid.sum() < LEAST_FLUID:
        raise MeasureError('There is too little fluid to learn its brightness from.')
    values = np.asarray(image, np.float32)
    bright = float(np.median(values[fluid]))
    middle = float(np.median(values[tissue]))
    if abs(middle - bright) < 0.15 * max(abs(middle), 1e-9):
        raise MeasureError('Fluid is as bright as tissue in this image.')
    inside = np.asarray(tissue, bool)
    weight = inside.astype(np.float32)
    sigma = LEVEL_MM / np.asarray(voxel_mm, float)
    share = np.zeros(values.shape, np.float32)
    for _ in range(2):
        mass = ndi.gaussian_filter(weight, sigma, truncate=3)
        total = ndi.gaussian_filter(weight * (values - middle), sigma, truncate=3)
        # Where there is little tissue the level of the whole brain counts.
        level = middle + total / (mass + 0.02)
        share = (level - values) / (level - bright)
        weight = (inside & (np.abs(share) < OUTLYING)).astype(np.float32)
    return Share(share, max(_noise(share, white), 1e-3))


def _noise(share: np.ndarray, white: np.ndarray) -> float:
    """Return the robust SD from voxel to voxel: half the spread of differences of neighbours."""
    apart = []
    for axis in range(share.ndim):
        first = [slice(None)] * share.ndim
        second = list(first)
        first[axis], second[axis] = slice(1, None), slice(None, -1)
        both = white[tuple(first)] & white[tuple(second)]
        apart.append((share[tuple(first)] - share[tuple(second)])[both])
    values = np.concatenate(apart)
    return float(1.4826 * np.median(np.abs(values)) / np.sqrt(2)) if len(values) else 0.0


def together(shares: list[Share]) -> Share:
    """Average what several images say, the less noisy ones counting more.

    Examples
    --------
    >>> one, two = Share(np.ones(3, np.float32), 0.1), Share(np.zeros(3, np.float32), 0.1)
    >>> together([one, two]).share.tolist()
    [0.5, 0.5, 0.5]
    """
    weights = np.array([1 / item.noise**2 for item in shares])
    weights /= weights.sum()
    mean = sum(np.float32(w) * item.share for w, item in zip(weights, shares, strict=True))
    noise = float(np.sqrt(sum((w * s.noise) ** 2 for w, s in zip(weights, shares, strict=True))))
    return Share(mean, noise)


def outside_fluid(
    share: np.ndarray, brain: np.ndarray, ventricles: np.ndarray, voxel_mm: np.ndarray
) -> np.ndarray:
    """Find the fluid around the brain, in its sulci and in its ventricles, by its connections.

    Fluid that is connected by faces with the ventricles, or with what lies outside of the brain;
    and, close to it, voxels that are partly fluid and hang together with it. A cavity within
    tissue is not connected.

    Parameters
    ----------
    share : ndarray, shape (I, J, K)
        Share of fluid.
    brain, ventricles : ndarray of bool
        Brain; ventricles and cisterns.
    voxel_mm : ndarray, shape (3,)
        Edges of a voxel, mm.

    Returns
    -------
    ndarray of bool
        Fluid, and what is not brain.

    Examples
    --------
    >>> brain = np.zeros((20, 20, 20), bool); brain[2:-2, 2:-2, 2:-2] = True
    >>> share = np.zeros(brain.shape); share[10, 2:8, 10] = 1; share[10, 12, 10] = 1
    >>> found = outside_fluid(share, brain, np.zeros(brain.shape, bool), np.ones(3))
    >>> bool(found[10, 7, 10]), bool(found[10, 12, 10])
    (True, False)
    """
    brain = np.asarray(brain, bool)
    start = ~brain | np.asarray(ventricles, bool)
    fluid = (share > FLUID) & brain
    found = ndi.binary_propagation(start, FACES, mask=start | fluid)
    reach = max(1, round(MIXED_MM / float(np.min(voxel_mm))))
    mixed = (share > MIXED) & brain
    core = ndi.binary_propagation(found, FACES, mask=found | mixed)
    return found | (ndi.binary_dilation(found, FACES, iterations=reach, mask=core) & brain)
