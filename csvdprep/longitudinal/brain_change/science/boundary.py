"""How far the borders between brain and fluid moved between two visits, as a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi
from scipy.special import ndtr

#: Share of a tissue from which a voxel counts as that tissue.
PURE = 0.9
#: The same for the level of fluid, if there are enough such voxels. Where a voxel is nearly fluid
#: only, brain that gives way to fluid makes it darker: its level would hide part of the loss.
PURE_FLUID = 0.99
#: Slow differences of intensity between visits are taken away below this scale (SD), mm.
DRIFT_MM = 20.0
#: Scale of even tissue in which noise is looked for (SD), mm.
GRAIN_MM = 3.0
#: Voxels of pure tissue that the level of a tissue needs.
LEAST_VOXELS = 200
#: Window of the integral: shares of the way from fluid to grey matter.
WINDOW = (0.25, 0.75)
#: The border has voxels whose share of brain, smoothed, is between this and 1 minus this; it
#: reaches so far (mm) to either side.
PARTLY, REACH_MM = 0.02, 1.3


@dataclass(frozen=True, eq=False)
class Shares:
    """What the voxels of the half-way space hold at a visit.

    Attributes
    ----------
    white, grey, fluid : ndarray of float32, shape (I, J, K)
        Share of each voxel, 0 to 1.
    head : ndarray of float32
        Share of the brain mask (with its fluid).
    """

    white: np.ndarray
    grey: np.ndarray
    fluid: np.ndarray
    head: np.ndarray

    @property
    def brain(self) -> np.ndarray:
        """Share that is grey or white matter."""
        return self.white + self.grey


@dataclass(frozen=True, eq=False)
class Scaled:
    """Images of two visits on one scale.

    Attributes
    ----------
    images : list of ndarray of float32
        Fluid is 0, grey matter 1.
    noise : list of float
        Noise that each lacks to be as noisy as the other (SD on that scale; one of them is 0).
    drift : float
        How much the two differed slowly, SD of the logarithm.
    contrast : list of float
        White over grey matter on that scale.
    spread : float
        SD of the difference in even white matter, on that scale.
    """

    images: list[np.ndarray]
    noise: list[float]
    drift: float
    contrast: list[float]
    spread: float


def one_scale(
    images: Sequence[np.ndarray], shares: Sequence[Shares], voxel_mm: np.ndarray
) -> Scaled:
    """Bring the images of two visits to one scale.

    Parameters
    ----------
    images : two ndarray, shape (I, J, K)
        T1w on one grid.
    shares : two Shares
        Tissues of each.
    voxel_mm : ndarray, shape (3,)
        Voxel size.

    Returns
    -------
    Scaled
        With the visits in reverse order, the same in reverse order.

    Raises
    ------
    ValueError
        If a tissue has too few voxels, or fluid is not darker than grey matter.

    Notes
    -----
    What is left of the receiver fields differs between visits: their ratio, smooth, from voxels
    that are one tissue at both visits and far from fluid, is taken away in equal parts from both
    (differential bias correction [1]_). Then levels are medians of voxels of one tissue; that of
    fluid is taken where hardly any brain is left to give way to it.

    References
    ----------
    .. [1] Lewis E.B., Fox N.C. (2004) Correction of differential intensity inhomogeneity in
       longitudinal MR images. doi:10.1016/j.neuroimage.2004.04.030
    """
    known = np.logical_and.reduce([image > 0 for image in images])
    pure = {
        name: known & np.logical_and.reduce([getattr(one, name) >= PURE for one in shares])
        for name in ('white', 'grey', 'fluid')
    }
    clear = known & np.logical_and.reduce([one.fluid >= PURE_FLUID for one in shares])
    if clear.sum() >= LEAST_VOXELS:
        pure['fluid'] = clear
    for name, where in pure.items():
        if where.sum() < LEAST_VOXELS:
            raise ValueError(f'hardly a voxel is pure {name} matter at both visits')
    logs = [np.log(np.maximum(image, 1e-3 * image.max()), dtype=np.float32) for image in images]
    ratio = logs[1] - logs[0]
    weight, even = np.zeros(ratio.shape, np.float32), np.zeros(ratio.shape, np.float32)
    for name in ('white', 'grey'):
        where = pure[name]
        weight[where] = 1
        part = ratio[where] - np.median(ratio[where])
        spread = 1.4826 * np.median(np.abs(part)) + 1e-6
        even[where] = np.clip(part, -3 * spread, 3 * spread)
    scale = DRIFT_MM / voxel_mm
    slow = ndi.gaussian_filter(even, scale) / np.maximum(ndi.gaussian_filter(weight, scale), 1e-4)
    halves = [images[0] * np.exp(slow / 2), images[1] * np.exp(-slow / 2)]
    out, contrast, grains = [], [], []
    for image in halves:
        fluid, grey, white = (
            float(np.median(image[pure[name]])) for name in ('fluid', 'grey', 'white')
        )
        if not fluid < grey < white:
            raise ValueError('grey matter is not between fluid and white matter in brightness')
        scaled = ((image - fluid) / (grey - fluid)).astype(np.float32)
        out.append(scaled)
        contrast.append((white - fluid) / (grey - fluid))
        grains.append(_grain(scaled, pure['white'], voxel_mm))
    both = _grain(out[1] - out[0], pure['white'], voxel_mm)
    more = grains[1] ** 2 - grains[0] ** 2
    noise = [float(np.sqrt(max(more, 0))), float(np.sqrt(max(-more, 0)))]
    return Scaled(out, noise, float(slow[pure['white']].std()), contrast, both)


def _grain(image, where, voxel_mm) -> float:
    """Return the SD of an image in even tissue, slow changes left out."""
    scale, weight = GRAIN_MM / voxel_mm, where.astype(np.float32)
    slow = ndi.gaussian_filter(image * weight, scale)
    slow /= np.maximum(ndi.gaussian_filter(weight, scale), 1e-3)
    inner = (image - slow)[where]
    return float(1.4826 * np.median(np.abs(inner - np.median(inner))))


def windowed(image: np.ndarray, low: float, high: float, noise: float = 0.0) -> np.ndarray:
    """Clip an image to a window, as the mean of many images with more noise would be.

    Parameters
    ----------
    image : ndarray
        On the scale of `Scaled`.
    low, high : float
        Window; it is mapped to 0 and 1.
    noise : float
        SD of the noise that is added in the mean.

    Returns
    -------
    ndarray of float32

    Notes
    -----
    Clipping is not linear, so that an image with more noise has, in pure tissue, another mean
    than one with less. Both have the same if the better image is clipped as if it had the noise
    of the other.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth = np.full(200_000, 0.85)
    >>> noisy = windowed(truth + 0.2 * rng.normal(size=truth.shape), 0, 1)
    >>> bool(abs(noisy.mean() - windowed(truth[:1], 0, 1, 0.2)[0]) < 0.002)
    True
    """
    image = np.asarray(image, np.float32)
    if noise < 1e-4:
        return np.clip((image - np.float32(low)) / np.float32(high - low), 0, 1)
    ends = []
    for end in (low, high):
        z = (image - np.float32(end)) / np.float32(noise)
        ends.append(z * ndtr(z) + np.exp(-(z**2) / 2) / np.float32(np.sqrt(2 * np.pi)))
    return (np.float32(noise / (high - low)) * (ends[0] - ends[1])).astype(np.float32)


def border(
    shares: Sequence[Shares], voxel_mm: np.ndarray, reach_mm: float = REACH_MM
) -> np.ndarray:
    """Return where brain ends at either visit.

    Parameters
    ----------
    shares : sequence of Shares
        Tissues of the visits.
    voxel_mm : ndarray, shape (3,)
        Voxel size.
    reach_mm : float
        How far to either side.

    Returns
    -------
    ndarray of bool
    """
    brain = sum(one.brain for one in shares) / len(shares)
    partly = (brain > PARTLY) & (brain < 1 - PARTLY)
    solid = brain >= 0.5
    partly |= solid ^ ndi.binary_erosion(solid)
    away = ndi.distance_transform_edt(~partly, sampling=voxel_mm)
    inside = np.maximum.reduce([one.head for one in shares]) >= 0.5
    near = ndi.distance_transform_edt(~inside, sampling=voxel_mm) <= reach_mm
    return (away <= reach_mm) & near


def shift(scaled: Scaled, where: np.ndarray, window: tuple[float, float] = WINDOW) -> np.ndarray:
    """Return how much more of each voxel is brain at the later visit, -1 to 1.

    Parameters
    ----------
    scaled : Scaled
        Images of two visits.
    where : ndarray of bool
        Border.
    window : (float, float)
        As shares of the way from fluid to grey matter.

    Returns
    -------
    ndarray of float32
        Zero away from the border. Its sum times the volume of a voxel is the change of volume
        (boundary shift integral [1]_); with the visits in reverse order it is the opposite.

    References
    ----------
    .. [1] Freeborough P.A., Fox N.C. (1997) The boundary shift integral: an accurate and robust
       measure of cerebral volume changes from registered repeat MRI. doi:10.1109/42.640753
    """
    before, after = (
        windowed(image, *window, noise)
        for image, noise in zip(scaled.images, scaled.noise, strict=True)
    )
    return np.where(where, after - before, 0).astype(np.float32)
