"""How dark each voxel of a gradient echo is for its place, and where darkness is round."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from csvdprep.science.alignment import block_mean
from csvdprep.science.normalise import smooth, smooth_within

#: SD of the neighbourhood whose level is normal, and size of the blocks it is averaged from, mm.
LEVEL_MM, BLOCK_MM = 6.0, 2.0
#: What deviates from the level by more does not enter it.
OUTLYING = 0.3
#: Darkness is cut off here: fluid may be far brighter than tissue.
BRIGHTEST = -0.5
#: Slices thicker than this, and than so many pixels, are looked at one by one, mm.
THICK_MM, THICK_PIXELS = 2.2, 2.0
#: SD of the smoothing before slopes are taken, mm.
SMOOTH_MM = 0.45
#: Radii at which slopes vote for a centre, mm.
RADII = (0.8, 1.3, 2.0, 3.0, 4.2)
#: Steepest slope that counts, 1/mm, and the least in SD of the noise of slopes.
STEEPEST, LEAST_SD = 0.4, 2.5
#: Scales (SD) whose difference shows spots as small as a voxel, mm, and how much it counts.
SPOT_MM, SPOT_SHARE = (0.4, 1.6), 0.4
#: Strips of the image that vote at a time, to spare memory.
STRIPS = 8


@dataclass(frozen=True, eq=False)
class Evidence:
    """What speaks for a microbleed, voxel by voxel.

    Attributes
    ----------
    dark : ndarray of float32, shape (I, J, K)
        1 - signal over the level of the surroundings; 0 outside of the brain.
    round : ndarray of float32
        How dark and round its surroundings are: slopes that point away from it, summed over a
        circle or sphere, which is about the depth of a round dark spot in its centre; and a share
        of how much darker the smallest scale is than what is around.
    noise : float
        Robust SD of ``dark`` between neighbours in tissue.
    flat : int
        Axis across thick slices, which are looked at one by one; -1 if they are thin.
    """

    dark: np.ndarray
    round: np.ndarray
    noise: float
    flat: int


def evidence(image: np.ndarray, brain: np.ndarray, voxel_mm: np.ndarray) -> Evidence:
    """Hold a gradient echo against its surroundings, and look for round dark spots.

    Parameters
    ----------
    image : ndarray, shape (I, J, K)
        Magnitude or susceptibility-weighted image, any unit.
    brain : ndarray of bool, shape (I, J, K)
        The brain.
    voxel_mm : ndarray, shape (3,)
        Edges of a voxel, mm.

    Returns
    -------
    Evidence

    Notes
    -----
    Round spots are found as by the fast radial symmetry transform [1]_, in mm and with slopes in
    units of the level: each steep place votes, at each radius, for the centre down its slope;
    the votes at a radius over the size of the shell are the spot's depth if all of it votes.

    References
    ----------
    .. [1] Loy G., Zelinsky A. (2003) Fast radial symmetry for detecting points of interest.
       doi:10.1109/TPAMI.2003.1217601

    Examples
    --------
    >>> x, y, z = np.mgrid[:30, :30, :20] - np.array([14, 15, 9])[:, None, None, None]
    >>> image = 100 - 60 * np.exp(-(x**2 + y**2 + z**2) / 4)
    >>> found = evidence(image, np.ones(image.shape, bool), np.ones(3))
    >>> np.unravel_index(found.round.argmax(), image.shape)
    (np.int64(14), np.int64(15), np.int64(9))
    >>> bool(found.round.max() > 0.2), bool(np.median(found.round) < 0.01)
    (True, True)
    """
    voxel_mm = np.asarray(voxel_mm, float)
    image = np.asarray(image, np.float32)
    level = local_level(image, brain, voxel_mm)
    dark = np.where(brain & (level > 0), 1 - image / np.maximum(level, 1e-6), 0)
    dark = np.clip(dark, BRIGHTEST, 1).astype(np.float32)
    thick = int(np.argmax(voxel_mm))
    others = [size for axis, size in enumerate(voxel_mm) if axis != thick]
    flat = thick if voxel_mm[thick] > max(THICK_MM, THICK_PIXELS * float(np.mean(others))) else -1
    steps = dark[:-1] - dark[1:]
    both = brain[:-1] & brain[1:]
    noise = 1.4826 / np.sqrt(2) * float(np.median(np.abs(steps[both]))) if both.any() else 0.0
    spots = roundness(dark, brain, voxel_mm, noise, flat)
    size = voxel_mm.copy()
    if flat >= 0:
        size[flat] = np.inf
    # What is as small as a voxel has hardly a slope: there the difference of two scales tells.
    small = smooth(dark, size, SPOT_MM[0]) - smooth(dark, size, SPOT_MM[1])
    spots += np.float32(SPOT_SHARE) * np.maximum(small, 0) * brain
    return Evidence(dark, spots, noise, flat)


def local_level(image: np.ndarray, brain: np.ndarray, voxel_mm: np.ndarray) -> np.ndarray:
    """Return the level of each voxel's surroundings: a local mean of what does not stand out.

    Parameters
    ----------
    image, brain, voxel_mm
        As in :func:`evidence`.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        0 far from the brain.
    """
    factors = np.maximum(np.round(BLOCK_MM / voxel_mm).astype(int), 1)
    size = voxel_mm * factors
    weight = np.asarray(brain, np.float32)
    level = None
    for _ in range(3):
        part = block_mean(weight, factors)
        mean = block_mean(image * weight, factors) / np.maximum(part, 1e-6)
        coarse = smooth_within(mean, part, size, LEVEL_MM)
        level = _enlarged(coarse, factors, image.shape)
        near = np.abs(image - level) < OUTLYING * level
        weight = (brain & near).astype(np.float32)
    return level


def _enlarged(coarse: np.ndarray, factors: np.ndarray, shape) -> np.ndarray:
    """Read a coarse map at the voxels, linearly."""
    shift = (1 / factors - 1) / 2
    return ndi.affine_transform(
        coarse,
        np.diag(1 / factors),
        shift,
        output_shape=shape,
        order=1,
        mode='nearest',
        output=np.float32,
    )


def roundness(
    dark: np.ndarray, brain: np.ndarray, voxel_mm: np.ndarray, noise: float, flat: int
) -> np.ndarray:
    """Let slopes vote for the centres of dark spots.

    Parameters
    ----------
    dark : ndarray of float32, shape (I, J, K)
        Darkness.
    brain, voxel_mm
        As in :func:`evidence`.
    noise : float
        SD of the noise of ``dark``.
    flat : int
        Axis across slices that are looked at one by one, or -1.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
    """
    axes = [axis for axis in range(3) if axis != flat]
    size = voxel_mm.copy()
    if flat >= 0:
        size[flat] = np.inf
    seen = smooth(dark, size, SMOOTH_MM)
    kept = [SMOOTH_MM / voxel_mm[axis] for axis in axes if 0.15 * voxel_mm[axis] < SMOOTH_MM]
    least = LEAST_SD * noise / float(voxel_mm[axes].mean()) / np.sqrt(2)
    least /= np.prod([np.sqrt(1 + 2 * np.sqrt(np.pi) * k) for k in kept])
    best = np.zeros(dark.shape, np.float32)
    found = [[] for _ in RADII]
    bounds = np.linspace(0, dark.shape[0], STRIPS + 1).astype(int)
    for start, stop in itertools.pairwise(bounds):
        for number, part in enumerate(_votes(seen, brain, voxel_mm, axes, start, stop, least)):
            found[number].append(part)
    spread = float(np.mean(voxel_mm[axes]))
    for radius, parts in zip(RADII, found, strict=True):
        if radius < 0.8 * spread:
            continue
        at = np.concatenate([part[0] for part in parts])
        weight = np.concatenate([part[1] for part in parts])
        votes = np.bincount(at, weight, minlength=dark.size).reshape(dark.shape)
        sigma = max(0.35 * radius, 0.5 * spread)
        votes = smooth(votes.astype(np.float32), size, sigma)
        # Slopes of a step of depth 1 at this radius, all at the centre, then smoothed: 1.
        scale = sigma**2 / radius
        if len(axes) == 3:
            scale = (2 * np.pi) ** 1.5 * sigma**3 / (4 * np.pi * radius**2)
        best = np.maximum(best, votes * np.float32(scale))
    return best


def _votes(seen, brain, voxel_mm, axes, start: int, stop: int, least: float):
    """Give the voxels that slopes of a strip vote for, and their weight, for each radius."""
    low, high = max(start - 1, 0), min(stop + 1, len(seen))
    part = seen[low:high]
    slopes = [
        np.gradient(part, voxel_mm[axis], axis=axis)[start - low : stop - low] for axis in axes
    ]
    steep = np.sqrt(sum(slope**2 for slope in slopes))
    at = np.nonzero(brain[start:stop] & (steep > least))
    steep = steep[at]
    weight = np.minimum(steep, STEEPEST)
    place = [axis.astype(np.float32) for axis in at]
    place[0] += start
    unit = [slope[at] / steep for slope in slopes]
    for radius in RADII:
        target = [p.copy() for p in place]
        for axis, along in zip(axes, unit, strict=True):
            target[axis] += np.float32(radius / voxel_mm[axis]) * along
        target = [np.rint(t).astype(np.int32) for t in target]
        inside = np.ones(len(steep), bool)
        for t, extent in zip(target, seen.shape, strict=True):
            inside &= (t >= 0) & (t < extent)
        flat = np.ravel_multi_index([t[inside] for t in target], seen.shape)
        yield flat.astype(np.int32), weight[inside]
