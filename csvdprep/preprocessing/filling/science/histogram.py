"""Volumes that the histogram of a FLAIR alone suggests, to hold other measures against."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from csvdprep.science.normalise import histogram_peak

#: Brighter than this many times the main peak is no normal brain; darker than that is fluid.
BRIGHT, DARK = 1.25, 0.5
#: Depth (mm) beyond which neither cortex nor, for fluid, sulci are met.
BRIGHT_DEPTH_MM, DARK_DEPTH_MM = 8.0, 25.0
#: Standard deviation (mm) of the smoothing: against noise, and, for what is bright, against the
#: ribbons of insular and limbic cortex, which are bright but thin.
BRIGHT_SMOOTH_MM, DARK_SMOOTH_MM = 2.0, 1.0


def suggested_volumes(flair: np.ndarray, mask: np.ndarray, voxel_mm) -> tuple[float, float]:
    """Measure what is bright and what is dark deep in the brain, with fixed thresholds.

    They relate to the position of the histogram's main peak, never to its width, which grows with
    the very lesions that are looked for. Both volumes are coarse: they tell a measure that is
    right from one that is off by a multiple.

    Parameters
    ----------
    flair : ndarray, shape (nx, ny, nz)
        Bias-corrected FLAIR.
    mask : ndarray
        Brain.
    voxel_mm : sequence of 3 float
        Voxel size, mm.

    Returns
    -------
    bright_ml : float
        Volume (mL) brighter than 1.25 times the main peak, at least 8 mm inside the brain, of
        what is thicker than cortex.
    dark_ml : float
        Volume (mL) darker than half the main peak, at least 25 mm inside the brain.

    Raises
    ------
    csvdprep.core.errors.MeasureError
        If the brain has no contrast, or is empty.

    Examples
    --------
    >>> flair = np.random.default_rng(0).normal(100, 5, (80, 80, 80))
    >>> flair[28:38, 30:50, 30:50] = 200
    >>> flair[42:52, 30:50, 30:50] = 10
    >>> bright, dark = suggested_volumes(flair, np.ones(flair.shape), (1, 1, 1))
    >>> round(bright, 1), round(dark, 1)
    (5.2, 3.8)

    """
    inside = np.asarray(mask) > 0
    flair = np.asarray(flair, dtype=np.float32)
    mode, _ = histogram_peak(flair[inside])
    depth = ndi.distance_transform_edt(np.pad(inside, 1), voxel_mm)[1:-1, 1:-1, 1:-1]
    ml = float(np.prod(voxel_mm)) / 1000
    bright, dark = (
        ndi.gaussian_filter(flair, sd / np.asarray(voxel_mm, float))
        for sd in (BRIGHT_SMOOTH_MM, DARK_SMOOTH_MM)
    )
    bright = (depth >= BRIGHT_DEPTH_MM) & (bright > BRIGHT * mode)
    dark = (depth >= DARK_DEPTH_MM) & (dark < DARK * mode)
    return float(bright.sum() * ml), float(dark.sum() * ml)
