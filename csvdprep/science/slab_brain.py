"""The brain in a slab, which a network that knows whole heads does not find."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi
from skimage.filters import threshold_otsu

#: Extent from which on an image holds the head, not a slab of it, mm.
HEAD_MM = 110.0
#: Share of Otsu's threshold from which a voxel may be brain: the border is not lost to noise.
LENIENT = 0.85
#: Width of bridges that are cut, and of gaps that are closed, mm.
BRIDGE_MM, GAP_MM = 4.0, 8.0


def is_slab(extent_mm) -> bool:
    """Tell whether an image holds a slab of the head: then no network finds the brain.

    Examples
    --------
    >>> is_slab((224, 224, 48)), is_slab((224, 224, 130))
    (True, False)
    """
    return min(extent_mm) < HEAD_MM


def brain_by_threshold(image: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Find the brain where it is bright and the skull is dark.

    Parameters
    ----------
    image : ndarray, shape (nx, ny, nz)
        Brain, fluid included, brighter than what is around it.
    size : ndarray, shape (3,)
        Edges of a voxel, mm.

    Returns
    -------
    ndarray of bool, shape (nx, ny, nz)
        Largest part above the threshold, without bridges, its holes and gaps filled; empty if
        there is none.

    Examples
    --------
    >>> image = np.zeros((40, 40, 20)); image[8:32, 8:32] = 100; image[18:22, 18:22] = 0
    >>> found = brain_by_threshold(image, np.full(3, 2.0))
    >>> bool(found[20, 20, 10]), bool(found[2, 2, 10])
    (True, False)
    """
    size = np.asarray(size, float)
    smooth = ndi.gaussian_filter(np.maximum(image, 0).astype(np.float32), 1.0 / size)
    smooth = np.minimum(smooth, np.quantile(smooth, 0.98))
    if not smooth.max() > smooth.min():
        return np.zeros(image.shape, bool)
    bright = smooth > LENIENT * threshold_otsu(smooth)
    parts = ndi.binary_opening(bright, iterations=max(1, round(BRIDGE_MM / size.mean())))
    labels, count = ndi.label(parts)
    if not count:
        return np.zeros(image.shape, bool)
    largest = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    gap = max(1, round(GAP_MM / size.mean()))
    mask = ndi.binary_closing(np.pad(largest, gap), iterations=gap)
    mask = mask[gap:-gap, gap:-gap, gap:-gap]
    for axis in range(3):
        for plane in np.moveaxis(mask, axis, 0):
            plane[:] = ndi.binary_fill_holes(plane)
    return mask
