"""Bright tubes: the second curvature of an image, at several widths."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

#: Widths (SD) at which tubes are sought, mm.
SCALES_MM = (0.55, 0.8, 1.2)


def tubeness(
    image: np.ndarray,
    where: np.ndarray,
    voxel_mm: np.ndarray,
    noise_where: np.ndarray,
    *,
    flat: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Measure how much each voxel is the middle of a bright tube.

    Across a tube the image is curved in two directions: the response is the second most negative
    eigenvalue of the Hessian, scale-normalised, after [1]_; a sheet, such as a sulcus, has only
    one. On thick slices, in which a tube that crosses is a dot, it is the most negative one of
    the Hessian in the slice. It is not divided by the strongest structure of the image, as
    vesselness often is: it would then depend on what else is there.

    Parameters
    ----------
    image : ndarray, shape (I, J, K)
        Bright tubes; share of fluid.
    where : ndarray of bool
        Where it is wanted.
    voxel_mm : ndarray, shape (3,)
        Edges of a voxel, mm.
    noise_where : ndarray of bool
        Tissue in which the noise of the response is measured, with few tubes.
    flat : int, optional
        Axis across thick slices.

    Returns
    -------
    response : ndarray of float32, shape (I, J, K)
        Greatest over the widths, as a share of a full contrast; 0 outside of ``where``.
    ratio : ndarray of float32
        Greatest response over the noise at its width.

    References
    ----------
    .. [1] Frangi A.F. et al. (1998) Multiscale vessel enhancement filtering.
       doi:10.1007/BFb0056195

    Examples
    --------
    >>> image = np.zeros((24, 24, 24), np.float32); image[12, 12, 4:20] = 1; image[4] = 1
    >>> everywhere = np.ones(image.shape, bool)
    >>> response, _ = tubeness(image, everywhere, np.ones(3), everywhere)
    >>> bool(response[12, 12, 12] > 5 * response[4, 12, 12])
    True
    """
    voxel_mm = np.asarray(voxel_mm, float)
    response = np.zeros(image.shape, np.float32)
    ratio = np.zeros(image.shape, np.float32)
    axes = [axis for axis in range(3) if axis != flat]
    finest = float(voxel_mm[axes].min())
    scales = sorted({max(scale, 0.55 * finest) for scale in SCALES_MM})
    noisy = noise_where[where]
    for scale in scales:
        sigma = [0.0 if axis == flat else scale / voxel_mm[axis] for axis in range(3)]
        second = {}
        for i, a in enumerate(axes):
            for b in axes[i:]:
                order = [0, 0, 0]
                order[a] += 1
                order[b] += 1
                curved = ndi.gaussian_filter(image, sigma, order=order, truncate=3.5)
                # Derivatives are by voxels: in mm, and scale-normalised.
                unit = scale**2 / (voxel_mm[a] * voxel_mm[b])
                second[a, b] = curved[where] * np.float32(unit)
        values = -_curvature(second, axes)
        # Tubes are few: they hardly enter a median.
        spread = 2e-3
        if noisy.any():
            around = values[noisy] - np.median(values[noisy])
            spread = max(1.4826 * float(np.median(np.abs(around))), spread)
        response[where] = np.maximum(response[where], values)
        ratio[where] = np.maximum(ratio[where], values / spread)
    return np.maximum(response, 0), np.maximum(ratio, 0)


def _curvature(second: dict, axes: list[int]) -> np.ndarray:
    """Return the middle eigenvalue of symmetric 3 x 3 matrices, or the least of 2 x 2 ones."""
    if len(axes) == 2:
        a, b = axes
        half = (second[a, a] + second[b, b]) / 2
        root = np.sqrt(((second[a, a] - second[b, b]) / 2) ** 2 + second[a, b] ** 2)
        # A line has one, a dot two: the mean of both favours neither.
        return half - 0.5 * root
    xx, yy, zz = (second[a, a] for a in axes)
    xy, xz, yz = second[0, 1], second[0, 2], second[1, 2]
    middle = (xx + yy + zz) / 3
    p = (xx - middle) ** 2 + (yy - middle) ** 2 + (zz - middle) ** 2
    p = np.sqrt((p + 2 * (xy**2 + xz**2 + yz**2)) / 6) + np.float32(1e-12)
    a, b, c = ((d - middle) / p for d in (xx, yy, zz))
    u, v, w = xy / p, xz / p, yz / p
    half = (a * (b * c - w * w) - u * (u * c - w * v) + v * (u * w - b * v)) / 2
    angle = np.arccos(np.clip(half, -1, 1)) / 3
    greatest = middle + 2 * p * np.cos(angle)
    least = middle + 2 * p * np.cos(angle + 2 * np.pi / 3)
    return 3 * middle - greatest - least
