"""Numbers that judge images and registrations."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

#: Scale of the gradient, mm; share of the brain's voxels that count as edges.
SCALE_MM, EDGES = 1.5, 0.15


def edge_overlap(fixed: np.ndarray, moving: np.ndarray, mask: np.ndarray, voxel_mm) -> float:
    """Compare where two images have their edges, whatever their contrast.

    The strongest ``EDGES`` of the gradients inside the mask are taken of each image; an edge
    is met if the other image has one within a voxel (and no less than 1.5 mm).

    Parameters
    ----------
    fixed, moving : ndarray, shape (nx, ny, nz)
        Images on one grid.
    mask : ndarray
        Where they are compared.
    voxel_mm : sequence of 3 float
        Voxel size, mm.

    Returns
    -------
    float
        Share of the edges of ``moving`` that are met by ``fixed``, corrected for chance: 0 as
        for unrelated images, 1 at best. Negative values are set to 0.

    Examples
    --------
    >>> image = np.zeros((30, 30, 30)); image[8:20, 8:20, 8:20] = 1
    >>> everywhere = np.ones(image.shape, bool)
    >>> edge_overlap(image, 5 - image, everywhere, (1, 1, 1))
    1.0
    >>> edge_overlap(image, np.roll(image, 6, 0), everywhere, (1, 1, 1)) < 0.8
    True

    """
    mask = np.asarray(mask) > 0
    voxel_mm = np.asarray(voxel_mm, float)
    if mask.sum() < 100:
        return 0.0
    edges = [_edges(image, mask, voxel_mm) for image in (fixed, moving)]
    reach = max(1.5, float(voxel_mm.max()))
    near = ndi.distance_transform_edt(~edges[0], voxel_mm) <= reach
    met = (near & edges[1]).sum() / max(edges[1].sum(), 1)
    chance = (near & mask).sum() / mask.sum()
    return float(np.clip((met - chance) / max(1 - chance, 1e-6), 0, 1))


def _edges(image, mask, voxel_mm):
    image = np.asarray(image, dtype=np.float32)
    # The border of the mask is an edge of no tissue: fill the outside with the mean inside.
    level = float(image[mask].mean())
    inside = np.where(mask, image, level)
    smooth = ndi.gaussian_filter(inside, np.minimum(SCALE_MM / voxel_mm, 3))
    gradient = np.sqrt(sum((np.gradient(smooth, axis=a) / voxel_mm[a]) ** 2 for a in range(3)))
    return mask & (gradient >= np.quantile(gradient[mask], 1 - EDGES))


def noise_by_differences(data: np.ndarray, mask: np.ndarray) -> float:
    """Estimate the noise of an image from differences of neighbours.

    Parameters
    ----------
    data : ndarray, shape (nx, ny, nz)
        Image.
    mask : ndarray of bool
        Brain.

    Returns
    -------
    float
        Standard deviation: the least of those along the axes, by the median of absolute second
        differences; edges do not count.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> noisy = 100 + rng.normal(0, 2, (30, 30, 30))
    >>> round(float(noise_by_differences(noisy, np.ones(noisy.shape, bool))), 1)
    2.0
    """
    found = []
    for axis in range(3):
        whole = np.moveaxis(data, axis, 0)
        inside = np.moveaxis(mask, axis, 0)
        if len(whole) < 3:
            continue
        second = whole[2:] - 2 * whole[1:-1] + whole[:-2]
        both = inside[2:] & inside[1:-1] & inside[:-2]
        if both.any():
            found.append(float(np.median(np.abs(second[both]))) / 0.6745 / np.sqrt(6))
    return float(max(min(found, default=0.0), 1e-9))
