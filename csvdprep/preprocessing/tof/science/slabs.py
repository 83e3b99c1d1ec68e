"""Steps and ramps of intensity along the slabs of an angiogram, and where the head is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage as ndi

from csvdprep.science.still_tissue import tissue_level

#: Voxels of a slice of which the gain is estimated; fewest of them.
SEEN, LEAST = 20_000, 200
#: Quantiles between which the sum of two neighbours counts.
TRIM = (0.2, 0.9)
#: Edge of the voxels on which air is sought, mm; share of still tissue under which a voxel may be
#: air (fluid is brighter), and thickness from which it is, mm.
COARSE_MM, AIR, THIN_MM = 1.5, 0.25, 4.5
#: Share of the image from which on it holds hardly any air: a crop within the head.
CROP = 0.97


def across_slabs(shape: Sequence[int], voxel_mm: Sequence[float]) -> int:
    """Find the axis across the slices of an angiogram.

    Parameters
    ----------
    shape : sequence of 3 int
        Voxels.
    voxel_mm : sequence of 3 float
        Edges of a voxel, mm.

    Returns
    -------
    int
        The axis along which voxels are longest; of equal ones, that of the least extent.

    Examples
    --------
    >>> across_slabs((320, 368, 100), (0.5, 0.5, 0.7)), across_slabs((80, 300, 300), (0.3,) * 3)
    (2, 0)
    """
    size = np.asarray(voxel_mm, float)
    longest = size > 1.1 * np.sort(size)[1]
    if longest.sum() == 1:
        return int(np.argmax(size))
    return int(np.argmin(np.asarray(shape[:3]) * size))


def head_of(image: np.ndarray, voxel_mm: Sequence[float]) -> np.ndarray:
    """Find what is not air, in a whole slab or a crop of it.

    Parameters
    ----------
    image : ndarray, shape (nx, ny, nz)
        Angiogram.
    voxel_mm : sequence of 3 float
        Edges of a voxel, mm.

    Returns
    -------
    ndarray of bool, shape (nx, ny, nz)
        All but the air that reaches the border within the slices; air and fluid within the head
        count with it.

    Examples
    --------
    >>> image = np.ones((60, 60, 8)); image[16:44, 16:44] = 100
    >>> head = head_of(image, (1, 1, 1))
    >>> bool(head[30, 30, 4]), bool(head[2, 2, 4])
    (True, False)
    """
    size = np.asarray(voxel_mm, float)
    factors = np.maximum(1, np.round(COARSE_MM / size)).astype(int)
    small = ndi.gaussian_filter(image.astype(np.float32), COARSE_MM / 2 / size)
    small = small[tuple(slice(f // 2, None, f) for f in factors)]
    dark = small < AIR * tissue_level(small)
    # Fluid between brain and skull is thin, and what does not reach the border is within the head.
    thin = max(1, round(THIN_MM / COARSE_MM))
    wide = ndi.binary_opening(np.pad(dark, thin, mode='edge'), iterations=thin)
    wide = wide[(slice(thin, -thin),) * 3]
    labels, count = ndi.label(ndi.binary_propagation(wide, mask=dark) if wide.any() else wide)
    axis = across_slabs(image.shape, size)
    edges = [
        np.take(labels, place, axis=other)
        for other in range(3)
        if other != axis
        for place in (0, -1)
    ]
    outer = np.unique(np.concatenate([edge.ravel() for edge in edges]))
    air = np.isin(labels, outer[outer > 0]) if count else np.zeros(small.shape, bool)
    if air.mean() < 1 - CROP:
        return np.ones(image.shape, bool)
    index = [
        np.minimum(np.arange(n) // f, m - 1)
        for n, f, m in zip(image.shape, factors, air.shape, strict=True)
    ]
    return ~air[np.ix_(*index)]


def slice_gains(image: np.ndarray, inside: np.ndarray, axis: int) -> np.ndarray:
    """Estimate the gain of each slice from still tissue.

    From slice to slice, the ratio of neighbouring voxels is the change of the gain, because
    anatomy hardly changes within a slice's thickness; blood, which fills a small part, is left
    out. Steps between slabs, loss of signal at their borders and ramps of the pulse are all seen
    so.

    Parameters
    ----------
    image : ndarray, shape (nx, ny, nz)
        Angiogram.
    inside : ndarray of bool, shape (nx, ny, nz)
        Where there is tissue.
    axis : int
        Across the slices.

    Returns
    -------
    ndarray of float, shape (n,)
        Gains, of geometric mean 1.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> tissue = rng.uniform(80, 120, (60, 60, 1)) * np.ones(12)
    >>> gain = np.r_[np.ones(6), np.full(6, 0.7)]
    >>> found = slice_gains(tissue * gain, np.ones(tissue.shape, bool), 2)
    >>> round(float(found[-1] / found[0]), 3)
    0.7
    """
    planes = np.moveaxis(image, axis, 0)
    masks = np.moveaxis(inside, axis, 0)
    steps = np.zeros(len(planes))
    for k in range(len(planes) - 1):
        both = np.flatnonzero(masks[k] & masks[k + 1])
        if both.size < LEAST:
            continue
        both = both[:: max(1, both.size // SEEN)]
        one = planes[k].ravel()[both].astype(float)
        two = planes[k + 1].ravel()[both].astype(float)
        # By what both are together: neither blood nor air, and no side is preferred.
        low, high = np.quantile(one + two, TRIM)
        middle = (one + two >= low) & (one + two <= high)
        first, second = one[middle].sum(), two[middle].sum()
        if first > 0 and second > 0:
            steps[k + 1] = np.log(second / first)
    gains = np.cumsum(steps)
    return np.exp(gains - gains.mean())


def equalise(image: np.ndarray, gains: np.ndarray, axis: int) -> np.ndarray:
    """Divide each slice by its gain.

    Examples
    --------
    >>> equalise(np.ones((1, 1, 2)), np.array([0.5, 2.0]), 2).ravel().tolist()
    [2.0, 0.5]
    """
    shape = [-1 if a == axis else 1 for a in range(3)]
    return (image / np.asarray(gains).reshape(shape)).astype(np.float32)


def unevenness_pct(gains: np.ndarray) -> float:
    """Return how much the gain varies beyond a straight line, % of it (5th to 95th percentile).

    Examples
    --------
    >>> unevenness_pct(np.ones(20)), round(unevenness_pct(np.r_[np.ones(20), np.full(20, 1.4)]))
    (0.0, 32)
    """
    log = np.log(gains)
    places = np.arange(len(log))
    rest = log - np.polyval(np.polyfit(places, log, 1), places)
    low, high = np.quantile(rest, (0.05, 0.95))
    return round(float(100 * np.expm1(high - low)), 6)
