"""Hyperintensities from the FLAIR alone: coarse, but enough to keep them out of the anatomy."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from csvdprep.science.normalise import brain_upper_edge

#: Smoothing against noise, mm.
CALM_MM = 1.2


def guess_lesions(
    flair: np.ndarray,
    mask: np.ndarray,
    voxel_mm,
    *,
    seed: float = 1.2,
    grow: float = 1.05,
    depth_mm: float = 8.0,
) -> np.ndarray:
    """Find voxels that are too bright for brain, away from its surface.

    Brightness is relative to the upper edge of the histogram's main peak, where grey matter ends,
    however bright it is; lesions are too few of one brightness to move it.

    Parameters
    ----------
    flair : ndarray, shape (nx, ny, nz)
        Bias-corrected FLAIR.
    mask : ndarray
        Brain.
    voxel_mm : sequence of 3 float
        Voxel size, mm.
    seed, grow : float
        Brightness of at least one voxel of a lesion, and of all of them, over that edge.
    depth_mm : float
        Least distance from the surface of the brain, where cortex is bright.

    Returns
    -------
    ndarray of bool
        Suspect voxels.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> flair = rng.normal(100, 5, (60, 60, 60))
    >>> flair[28:32, 28:32, 28:32] += 50
    >>> found = guess_lesions(flair, np.ones(flair.shape), (1, 1, 1))
    >>> bool(found[29:31, 29:31, 29:31].all()), int(found.sum()) < 100
    (True, True)

    """
    inside = np.asarray(mask) > 0
    flair = np.asarray(flair, dtype=np.float32)
    relative = ndi.gaussian_filter(flair, CALM_MM / np.asarray(voxel_mm, float), truncate=3)
    relative /= brain_upper_edge(flair[inside])
    depth = ndi.distance_transform_edt(np.pad(inside, 1), voxel_mm)[1:-1, 1:-1, 1:-1]
    bright = inside & (relative >= grow) & (depth >= depth_mm)
    labels, count = ndi.label(bright)
    if not count:
        return bright
    peak = ndi.maximum(relative, labels, np.arange(1, count + 1))
    keep = np.concatenate([[False], np.asarray(peak) >= seed])
    return keep[labels]
