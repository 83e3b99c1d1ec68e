"""The field of what lies inside of a mask, without that of what lies outside."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from csvdprep.science.dipole import Space

#: Radii of the spheres of V-SHARP, largest first, mm, and the truncation of its deconvolution.
RADII_MM = (12.0, 10.0, 8.0, 6.0, 5.0, 4.0, 3.0, 2.0)
TRUNCATION = 0.05
#: Radii (mm), weight of the solution's size, and rounds of RESHARP.
RESHARP_MM, RESHARP_WEIGHT, RESHARP_ROUNDS = (10.0, 5.0, 3.0), 0.003, 30


def depths(mask: np.ndarray, voxel_mm: np.ndarray) -> np.ndarray:
    """Return how far (mm) voxels of a mask lie from what is outside of it."""
    padded = np.pad(np.asarray(mask, bool), 1)
    inside = ndi.distance_transform_edt(padded, sampling=voxel_mm)
    return inside[(slice(1, -1),) * mask.ndim].astype(np.float32)


def v_sharp(field: np.ndarray, mask: np.ndarray, space: Space) -> tuple[np.ndarray, np.ndarray]:
    """Take off the background by spherical means whose radius shrinks towards the edge.

    Parameters
    ----------
    field : ndarray
        Total field, ppm.
    mask : ndarray of bool
        Where it is known.
    space : Space
        Its grid.

    Returns
    -------
    local : ndarray of float32
        ppm, 0 outside of ``kept``.
    kept : ndarray of bool
        The mask without its outermost voxels.

    References
    ----------
    Wu et al. 2012, doi:10.1002/mrm.23000.
    """
    depth = depths(mask, space.voxel_mm)
    spectrum = space.forth(np.where(mask, field, 0))
    smallest = max(RADII_MM[-1], float(space.voxel_mm.max()))
    radii = [r for r in RADII_MM if r > smallest] + [smallest]
    kept = depth >= radii[-1]
    high = np.zeros(field.shape, np.float32)
    left = kept.copy()
    for radius in radii:
        own = left & (depth >= radius)
        if own.any():
            kernel = space.sphere(radius)
            high[own] = (field - space.back(spectrum * kernel))[own]
            left &= ~own
    largest = next((r for r in radii if (depth >= r).any()), radii[-1])
    kernel = 1 - space.sphere(largest)
    inverse = np.where(np.abs(kernel) > TRUNCATION, 1 / np.where(kernel == 0, 1, kernel), 0)
    local = space.back(space.forth(high) * inverse.astype(np.float32))
    return np.where(kept, local, 0).astype(np.float32), kept


def resharp(
    field: np.ndarray,
    mask: np.ndarray,
    space: Space,
    *,
    radii_mm: tuple[float, ...] = RESHARP_MM,
    weight: float = RESHARP_WEIGHT,
    rounds: int = RESHARP_ROUNDS,
) -> tuple[np.ndarray, np.ndarray]:
    """Take off the background by spherical means, with the smallest local field that fits.

    Parameters
    ----------
    field, mask, space
        As in :func:`v_sharp`.
    radii_mm : tuple of float
        Radii of the spheres, largest first; voxels take the largest that fits into the mask, and
        those nearer to the edge than the smallest get no value.
    weight : float
        Weight of the size of the solution.
    rounds : int
        Of conjugate gradients.

    Returns
    -------
    local, kept
        As in :func:`v_sharp`.

    References
    ----------
    Sun and Wilman 2014, doi:10.1002/mrm.24765.
    """
    depth = depths(mask, space.voxel_mm)
    radii = [max(r, float(space.voxel_mm.max())) for r in radii_mm]
    kernels, places = [], []
    left = depth >= radii[-1]
    kept = left.copy()
    for radius in radii:
        own = left & (depth >= radius)
        if own.any():
            kernels.append(1 - space.sphere(radius))
            places.append(own)
            left = left & ~own

    def seen(spectrum):
        """Mean over spheres taken off, each place with its radius; transformed once more."""
        total = 0
        for kernel, own in zip(kernels, places, strict=True):
            total = total + kernel * space.forth(space.back(spectrum * kernel) * own)
        return total

    target = space.back(seen(space.forth(np.where(mask, field, 0))))
    x = np.zeros(field.shape, np.float32)
    residual = target
    direction = residual.copy()
    size = start = float(np.vdot(residual, residual))
    for _ in range(rounds if size else 0):
        applied = space.back(seen(space.forth(direction))) + np.float32(weight) * direction
        step = size / max(float(np.vdot(direction, applied)), 1e-30)
        x += np.float32(step) * direction
        residual -= np.float32(step) * applied
        before, size = size, float(np.vdot(residual, residual))
        if size < 1e-8 * start:
            break
        direction = residual + np.float32(size / before) * direction
    return np.where(kept, x, 0).astype(np.float32), kept
