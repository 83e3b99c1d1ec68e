"""Cut lesions at thresholds, and at a share of their own height."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from csvdprep.science.normalise import smooth_within

#: Smoothing of the height of a lesion within it, mm, so that its highest value is its level and
#: not that of the noisiest voxels.
PEAK_BLUR_MM = 2.5


def grow_from_seeds(
    z: np.ndarray,
    region: np.ndarray,
    seed: np.ndarray | float,
    border: float,
    voxel_mm,
    *,
    least_mm3: float,
    height: np.ndarray | None = None,
    peak_share: float = 0.5,
) -> np.ndarray:
    """Cut lesions by hysteresis, and each at no less than a share of its own height.

    Parameters
    ----------
    z : ndarray, shape (I, J, K)
        Excess.
    region : ndarray of bool
        Where lesions may be.
    seed : float or ndarray
        Excess that at least one voxel of a lesion must reach.
    border : float
        Excess of the faintest voxel.
    voxel_mm : sequence of 3 float
        Voxel size, mm.
    least_mm3 : float
        Smallest lesion; never fewer than three voxels.
    height : ndarray, optional
        Height of the lesion nearby, of `lesion_height`.
    peak_share : float
        The border of a bright lesion is that share of its height: partial volume puts the true
        border half way up.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        Lesions.

    Examples
    --------
    >>> z = np.zeros((9, 9, 9)); z[2:5, 2:5, 2:5] = 3; z[6:8, 6:8, 6:8] = 2; z[3, 3, 3] = 5
    >>> found = grow_from_seeds(z, z >= 0, 4.0, 1.5, (1, 1, 1), least_mm3=5)
    >>> int(found.sum())
    27

    """
    bright = region & (z >= border)
    if not bright.any():
        return bright
    box = ndi.find_objects(bright.astype(np.uint8))[0]
    inside, bright = z[box], bright[box]
    seeds = inside >= (seed[box] if isinstance(seed, np.ndarray) else seed)
    if height is not None:
        bright = bright & (inside >= peak_share * height[box])
    least = max(3, int(np.ceil(least_mm3 / np.prod(voxel_mm) - 1e-6)))
    found = np.zeros(z.shape, bool)
    found[box] = _with_seed(bright, seeds, least)
    return found


def lesion_height(
    z: np.ndarray,
    region: np.ndarray,
    seed: np.ndarray | float,
    border: float,
    voxel_mm,
    peak_mm: float = 6.0,
) -> np.ndarray:
    """Tell how high the lesion is that a voxel belongs to or lies next to.

    Parameters
    ----------
    z, region, seed, border, voxel_mm
        As in `grow_from_seeds`.
    peak_mm : float
        How near "next to" is, mm: half the edge of the window.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        Highest smoothed excess of a lesion nearby; 0 where there is none.

    Examples
    --------
    >>> z = np.zeros((9, 9, 9)); z[2:5, 2:5, 2:5] = 3; z[3, 3, 3] = 5
    >>> height = lesion_height(z, z >= 0, 4.0, 1.5, (1, 1, 1), peak_mm=2)
    >>> bool(3 < height[3, 3, 3] < 5), float(height[8, 8, 8])
    (True, 0.0)

    """
    height = np.zeros(z.shape, np.float32)
    bright = region & (z >= border)
    if not bright.any():
        return height
    reach = [int(peak_mm / edge + 1e-6) for edge in voxel_mm]
    box = tuple(
        slice(max(0, part.start - n), part.stop + n)
        for part, n in zip(ndi.find_objects(bright.astype(np.uint8))[0], reach, strict=True)
    )
    inside = z[box]
    limit = seed[box] if isinstance(seed, np.ndarray) else seed
    seeded = _with_seed(bright[box], inside >= limit)
    smoothed = smooth_within(inside, seeded, voxel_mm, PEAK_BLUR_MM) * seeded
    # Separable windows instead of a ball: the peak of a neighbourhood, not its shape, counts.
    height[box] = ndi.maximum_filter(smoothed, size=[2 * n + 1 for n in reach])
    return height


def _with_seed(bright, seeds, least: int = 1):
    """Keep the face-connected components that hold a seed and enough voxels."""
    labels, _ = ndi.label(bright)
    size = np.bincount(labels.ravel())
    keep = np.zeros(size.size, bool)
    keep[np.unique(labels[seeds & bright])] = True
    keep &= size >= least
    keep[0] = False
    return keep[labels]
