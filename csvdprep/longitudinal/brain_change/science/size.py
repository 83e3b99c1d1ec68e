"""Whether the head has one size at two visits: its skull does not shrink."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage as ndi

from csvdprep.science.alignment import block_mean

#: The skull and what is around it lie between these distances outside of the brain, mm.
NEAR_MM, FAR_MM = 2.0, 16.0
#: Blocks in which the images are compared, mm, and steps of the search.
BLOCK_MM, STEPS = 3.0, 12
#: Residuals beyond so many robust SD count nothing.
TUKEY = 4.685
#: Blocks that are needed.
LEAST = 1000


def head_scale(
    images: Sequence[np.ndarray], heads: Sequence[np.ndarray], voxel_mm: np.ndarray
) -> float | None:
    """Find by how much the skull of the later visit is larger than that of the earlier.

    Parameters
    ----------
    images : two ndarray, shape (I, J, K)
        T1w with skull, on one grid, any scale of intensities.
    heads : two ndarray
        Share of the brain mask.
    voxel_mm : ndarray, shape (3,)
        Voxel size.

    Returns
    -------
    float or None
        Percent of length; a volume differs by three times that. None if there is no skull in the
        images. With the visits in reverse order the opposite.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> texture = ndi.gaussian_filter(rng.normal(size=(100, 100, 100)), 2.5) * 20 + 5
    >>> at = np.indices((100, 100, 100)) - 49.5
    >>> brain = (np.sqrt((at ** 2).sum(axis=0)) < 30).astype(float)
    >>> two = [ndi.map_coordinates(texture, 49.5 + at * s, order=1) for s in (1.002, 0.998)]
    >>> bool(0.3 < head_scale(two, [brain, brain], np.ones(3)) < 0.5)
    True
    """
    blocks = np.maximum(1, np.round(BLOCK_MM / voxel_mm)).astype(int)
    inside = np.maximum(*heads) >= 0.5
    away = ndi.distance_transform_edt(~inside, sampling=voxel_mm)
    seen = np.logical_and.reduce([image > 0 for image in images])
    band = block_mean((seen & (away >= NEAR_MM) & (away <= FAR_MM)).astype(np.float32), blocks)
    use = ndi.binary_erosion(band > 0.8, border_value=0)
    if use.sum() < LEAST:
        return None
    two = [block_mean(image, blocks) for image in images]
    # Bone is as dark as the noise: the brain gives the level of brightness.
    level = [max(float(np.median(image[inside])), 1e-6) for image in images]
    two = [ndi.gaussian_filter(one / n, 0.7) for one, n in zip(two, level, strict=True)]
    size = voxel_mm * blocks
    grid = np.indices(use.shape, dtype=np.float32)
    middle = np.array(ndi.center_of_mass(use)).reshape(3, 1, 1, 1).astype(np.float32)
    places = (grid - middle) * size.reshape(3, 1, 1, 1).astype(np.float32)
    pose = np.zeros(7)
    for _ in range(STEPS):
        shift = _shift(pose, places) / size.reshape(3, 1, 1, 1)
        one, other = (
            ndi.map_coordinates(image, grid + sign * shift, order=1, mode='nearest')
            for image, sign in zip(two, (-0.5, 0.5), strict=True)
        )
        rest = (other - one)[use].astype(float)
        slopes = [g[use].astype(float) for g in np.gradient((one + other) / 2, *size)]
        x, y, z = (place[use].astype(float) for place in places)
        gx, gy, gz = slopes
        design = np.stack(
            [*slopes, gz * y - gy * z, gx * z - gz * x, gy * x - gx * y, gx * x + gy * y + gz * z],
            axis=1,
        )
        spread = 1.4826 * np.median(np.abs(rest)) + 1e-9
        weight = np.clip(1 - (rest / (TUKEY * spread)) ** 2, 0, None) ** 2
        normal = design.T @ (design * weight[:, None])
        normal += 1e-9 * np.trace(normal) * np.eye(7) / 7
        step = -np.linalg.solve(normal, design.T @ (weight * rest))
        pose += step
        if abs(step[6]) < 1e-6:
            break
    return 100 * float(pose[6])


def _shift(pose, places) -> np.ndarray:
    """Return where a shift (mm), a small turn and a scale take places, mm."""
    x, y, z = places
    (a, b, c), (p, q, r), s = pose[:3], pose[3:6], pose[6]
    return np.stack(
        [a + q * z - r * y + s * x, b + r * x - p * z + s * y, c + p * y - q * x + s * z]
    ).astype(np.float32)
