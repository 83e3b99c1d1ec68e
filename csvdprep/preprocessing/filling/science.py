"""Hyperintensities from the FLAIR alone: coarse, but enough to keep them out of the anatomy."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from csvdprep.science.normalise import histogram_peak


def guess_lesions(
    flair: np.ndarray, mask: np.ndarray, voxel_mm, *, seed_z: float = 4.0, grow_z: float = 2.5,
    depth_mm: float = 8.0,
) -> np.ndarray:  # fmt: skip
    """Find voxels that are too bright for brain, away from its surface.

    Parameters
    ----------
    flair : ndarray, shape (nx, ny, nz)
        Bias-corrected FLAIR.
    mask : ndarray
        Brain.
    voxel_mm : sequence of 3 float
        Voxel size, mm.
    seed_z, grow_z : float
        Brightness of at least one voxel of a lesion, and of all of them, in widths of the peak.
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
    >>> bool(found[28:32, 28:32, 28:32].all()), int(found.sum()) < 100
    (True, True)

    """
    inside = np.asarray(mask) > 0
    mode, width = histogram_peak(np.asarray(flair)[inside])
    z = (np.asarray(flair, dtype=np.float32) - mode) / width
    depth = ndi.distance_transform_edt(np.pad(inside, 1), voxel_mm)[1:-1, 1:-1, 1:-1]
    bright = inside & (z >= grow_z) & (depth >= depth_mm)
    labels, count = ndi.label(bright)
    if not count:
        return bright
    peak = ndi.maximum(z, labels, np.arange(1, count + 1))
    keep = np.concatenate([[False], np.asarray(peak) >= seed_z])
    return keep[labels]
