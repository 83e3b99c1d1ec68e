"""Units of maps that come from elsewhere, told by their values."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

#: Longest T1 that is believed, s: water has less than half.
LONGEST_T1_S = 10.0
#: Share of the values that a map is registered by; higher ones are cut.
REGISTERED = 0.995
#: Flip angles that a fit finds are smoothed over so much (FWHM), mm, where T1 is below this, s.
B1_MM, TISSUE_T1_S = 20.0, 2.5
#: Fewest voxels of which flip angles are known.
LEAST_KNOWN = 100


def b1_factor(level: float) -> float | None:
    """Return what a map of B1 has to be multiplied by to be true over nominal flip angle.

    Parameters
    ----------
    level : float
        Its median in the brain.

    Returns
    -------
    float or None
        1 for ratios, 0.01 for percent, 0.001 for per mille; None if it is none of these.

    Examples
    --------
    >>> b1_factor(0.97), b1_factor(104.0), b1_factor(950.0), b1_factor(12.0)
    (1.0, 0.01, 0.001, None)
    """
    for factor in (1.0, 1e-2, 1e-3):
        if 0.5 <= level * factor <= 1.6:
            return factor
    return None


def t1_in_seconds(level: float) -> float | None:
    """Return what a map of T1 has to be multiplied by to be in seconds.

    Parameters
    ----------
    level : float
        Its median in the brain.

    Returns
    -------
    float or None
        1 for s, 0.001 for ms; None if it is neither.

    Examples
    --------
    >>> t1_in_seconds(1.2), t1_in_seconds(1180.0), t1_in_seconds(80.0)
    (1.0, 0.001, None)
    """
    for factor in (1.0, 1e-3):
        if 0.4 <= level * factor <= 3.5:
            return factor
    return None


def believable_t1(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take out of a map of T1 what is none.

    Parameters
    ----------
    data : ndarray
        T1, in s or ms.

    Returns
    -------
    t1 : ndarray, float32
        0 where a value is not finite, below 0 or above 10 s.
    shown : ndarray, float32
        For registration: the highest values are cut.

    Examples
    --------
    >>> t1, shown = believable_t1(np.array([1.0, 1.2, np.inf, np.nan, -1, 5000]))
    >>> t1.tolist() == [1.0, np.float32(1.2), 0, 0, 0, 0]
    True
    """
    t1 = np.asarray(data, np.float32)
    t1 = np.where(np.isfinite(t1) & (t1 > 0), t1, 0).astype(np.float32)
    there = t1[t1 > 0]
    if not len(there):
        return t1, t1
    factor = t1_in_seconds(float(np.median(there)))
    if factor is not None:
        t1[t1 * factor > LONGEST_T1_S] = 0
    return t1, np.minimum(t1, np.quantile(t1[t1 > 0], REGISTERED)).astype(np.float32)


def smooth_b1(share: np.ndarray, t1: np.ndarray, mask: np.ndarray, voxel_mm) -> np.ndarray:
    """Smooth flip angles that a fit found in each voxel: they vary over centimetres.

    Parameters
    ----------
    share : ndarray, shape (I, J, K)
        True over nominal flip angle; 0 where it is not known.
    t1 : ndarray, shape (I, J, K)
        T1 of the same fit, s: fluid tells the flip angle badly, and is left out.
    mask : ndarray of bool
        Brain.
    voxel_mm : sequence of float, length 3
        Size of voxels, mm.

    Returns
    -------
    ndarray of float32
        Continued beyond the brain; 1 if too little is known.

    Examples
    --------
    >>> noisy = 1.1 + 0.1 * np.random.default_rng(0).standard_normal((20, 20, 20))
    >>> smooth = smooth_b1(noisy, np.ones(noisy.shape), np.ones(noisy.shape, bool), (2, 2, 2))
    >>> round(float(np.abs(smooth - 1.1).max()), 1)
    0.0
    """
    known = mask & (share > 0) & (t1 > 0) & (t1 < TISSUE_T1_S)
    if known.sum() < LEAST_KNOWN:
        return np.ones(share.shape, np.float32)
    middle = float(np.median(share[known]))
    spread = 1.4826 * float(np.median(np.abs(share[known] - middle)))
    known &= np.abs(share - middle) < 4 * max(spread, 0.01)
    sigma = B1_MM / 2.355 / np.asarray(voxel_mm, float)
    weight = ndi.gaussian_filter(known.astype(np.float64), sigma)
    value = ndi.gaussian_filter(np.where(known, share, 0.0), sigma)
    found = np.divide(value, weight, out=np.zeros(share.shape), where=weight > 1e-3)
    nearest = ndi.distance_transform_edt(
        weight <= 1e-3, return_distances=False, return_indices=True
    )
    return found[tuple(nearest)].astype(np.float32)
