"""Smoothing within a mask."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi


def smoothed(data: np.ndarray, where: np.ndarray, fwhm_mm: float, voxel_mm) -> np.ndarray:
    """Smooth within a mask: what is outside takes no part.

    Parameters
    ----------
    data : ndarray, shape (nx, ny, nz)
        Values.
    where : ndarray of bool
        Mask.
    fwhm_mm : float
        Width of the kernel, mm.
    voxel_mm : sequence of 3 float
        Voxel size, mm.

    Returns
    -------
    ndarray of float32
        0 outside the mask.

    Examples
    --------
    >>> image, inside = np.full((5, 5, 5), 7.0), np.ones((5, 5, 5), bool)
    >>> round(float(smoothed(image, inside, 5.0, (3, 3, 3))[0, 0, 0]), 4)
    7.0
    """
    sigma = fwhm_mm / 2.3548 / np.asarray(voxel_mm, float)
    inside = np.asarray(where, np.float32)
    total = ndi.gaussian_filter(np.asarray(data, np.float32) * inside, sigma, mode='constant')
    weight = ndi.gaussian_filter(inside, sigma, mode='constant')
    return np.where(where, total / np.maximum(weight, 1e-6), 0).astype(np.float32)
