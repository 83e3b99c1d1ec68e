"""From the response of the filter to the lumen: the voxels that arteries fill."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage as ndi
from scipy.spatial import cKDTree

from csvdprep.markers.arteries.science.thinning import middle_lines
from csvdprep.markers.arteries.science.tubeness import Tubes
from csvdprep.science.alignment import block_mean
from csvdprep.science.morphology import bounding_box

#: Farthest that the lumen reaches from the middle line, mm: a wide carotid artery.
REACH_MM = 4.0
#: Width of the surroundings of which the background is taken, mm.
AROUND_MM = 3.0
#: Share of the contrast from which the middle of a thin artery is kept in spite of noise.
MIDDLE = 0.25
#: Scale from which on a tube is wide, mm.
WIDE_MM = 1.0
#: Scale, in edges of a voxel, up to which an artery is thin.
THIN = 2.0
#: Share of the contrast of a wide artery from which what lies in it may be a middle, too.
CLAIM = 0.6
#: Neighbours of a voxel of a ridge that may be stronger: those along it.
ALONG = 5
_ALL = np.ones((3, 3, 3), bool)


def hysteresis(tubes: Tubes, *, sure: tuple[float, float], low: float) -> np.ndarray:
    """Keep voxels above a low threshold that hang together with some above high ones.

    Parameters
    ----------
    tubes : Tubes
        As :func:`~csvdprep.markers.arteries.science.tubeness.find_tubes` gives them.
    sure : (float, float)
        Strength (in units of tissue) and surprise (standard deviations) of seeds. Wide tubes need
        twice the strength: a wide artery is bright, and fat is not as bright.
    low : float
        Share of both from which voxels that hang together with seeds are kept.

    Returns
    -------
    ndarray of bool

    Examples
    --------
    >>> line = np.array([0.0, 2, 6, 2, 0, 2, 2]).reshape(-1, 1, 1)
    >>> tubes = Tubes(line, line, np.ones(line.shape, np.uint8), (0.5,))
    >>> hysteresis(tubes, sure=(5, 5), low=0.3).ravel().tolist()
    [False, True, True, True, False, False, False]
    """
    need = [sure[0] * (2 if sigma >= WIDE_MM else 1) for sigma in (0.0, *tubes.sigmas_mm)]
    needed = np.array(need, np.float32)[tubes.scale]
    weak = (tubes.strength >= low * needed) & (tubes.surprise >= low * sure[1])
    labels, count = ndi.label(weak, _ALL)
    kept = np.zeros(count + 1, bool)
    kept[labels[weak & (tubes.strength >= needed) & (tubes.surprise >= sure[1])]] = True
    kept[0] = False
    return kept[labels]


def background(image: np.ndarray, core: np.ndarray, voxel_mm: Sequence[float]) -> np.ndarray:
    """Return what surrounds arteries: the local mean of what is none.

    Parameters
    ----------
    image : ndarray, shape (nx, ny, nz)
        In units of tissue.
    core : ndarray of bool
        What is surely an artery; a voxel around it does not count either.
    voxel_mm : sequence of 3 float
        Edges of a voxel, mm.

    Returns
    -------
    ndarray of float32, shape (nx, ny, nz)
    """
    size = np.asarray(voxel_mm, float)
    factors = np.maximum(1, np.round(1.0 / size)).astype(int)
    free = (~ndi.binary_dilation(core, _ALL, iterations=2)).astype(np.float32)
    sigma = AROUND_MM / 2 / (size * factors)
    mean = ndi.gaussian_filter(block_mean(image * free, factors), sigma)
    share = ndi.gaussian_filter(block_mean(free, factors), sigma)
    coarse = np.where(share > 0.02, mean / np.maximum(share, 0.02), 1.0)
    return ndi.affine_transform(
        coarse.astype(np.float32),
        np.diag(1 / factors),
        -(factors - 1) / 2 / factors,
        output_shape=image.shape,
        order=1,
        mode='nearest',
    )


def _ridges(strength: np.ndarray) -> np.ndarray:
    """Tell which voxels lie on a ridge: few neighbours are stronger."""
    higher = np.zeros(strength.shape, np.uint8)
    padded = np.pad(strength, 1)
    for shift in np.argwhere(_ALL):
        part = padded[tuple(slice(s, s + n) for s, n in zip(shift, strength.shape, strict=True))]
        higher += part > strength
    return higher <= ALONG


def _claimed(image, core, scale, sigmas_mm, size) -> np.ndarray:
    """Return how bright the widest artery around each voxel is."""
    out = np.zeros(image.shape, np.float32)
    for number, sigma in enumerate(sigmas_mm, start=1):
        own = core & (scale == number)
        if own.any():
            width = 2 * np.round(1.6 * sigma / size).astype(int) + 1
            np.maximum(out, ndi.maximum_filter(np.where(own, image, 0), tuple(width)), out=out)
    return out


def fill_lumen(
    image: np.ndarray,
    core: np.ndarray,
    tubes: Tubes,
    around: np.ndarray,
    voxel_mm: Sequence[float],
) -> np.ndarray:
    """Grow the core to where the intensity is half way between the middle and the background.

    Parameters
    ----------
    image : ndarray, shape (nx, ny, nz)
        In units of tissue.
    core : ndarray of bool
        What is surely an artery.
    tubes : Tubes
        Response of the filter: its ridges are the middle of arteries.
    around : ndarray of float
        Background, as :func:`background` gives it.
    voxel_mm : sequence of 3 float
        Edges of a voxel, mm.

    Returns
    -------
    ndarray of bool
        The core and what is bright around it; cavities are filled.

    Examples
    --------
    >>> x, y, _ = np.mgrid[:15, :15, :15]
    >>> disc = ((x - 7) ** 2 + (y - 7) ** 2 <= 4).astype(np.float32)
    >>> core = (x - 7) ** 2 + (y - 7) ** 2 <= 2
    >>> tubes = Tubes(disc, disc, disc.astype(np.uint8), (1.0,))
    >>> lumen = fill_lumen(1 + disc, core, tubes, np.ones(disc.shape), (1, 1, 1))
    >>> int(lumen[:, :, 7].sum()) == int((disc[:, :, 7] > 0).sum())
    True
    """
    out = np.zeros(core.shape, bool)
    if not core.any():
        return out
    size = np.asarray(voxel_mm, float)
    box = bounding_box(core, int(np.ceil(REACH_MM / size.min())))
    image, core, around = image[box], core[box], around[box]
    # A voxel beside the middle may be brighter, because the middle is no voxel.
    peak = np.minimum(ndi.maximum_filter(image, 3), 1.25 * image)
    claimed = _claimed(image, core, tubes.scale[box], tubes.sigmas_mm, size)
    ridge = core & _ridges(tubes.strength[box]) & (peak - around > CLAIM * (claimed - around))
    del claimed
    ridge = np.argwhere(ridge if ridge.any() else core)
    peaks = peak[tuple(ridge.T)]
    del peak
    bright = image > np.maximum(0.5 * (around + 1.0), around + 0.1)
    bright &= ndi.binary_dilation(core, _ALL, iterations=max(1, int(REACH_MM / 4 / size.min())))
    bright |= core
    at = np.argwhere(bright)
    away, nearest = cKDTree(ridge * size).query(at * size, distance_upper_bound=REACH_MM)
    found = np.isfinite(away)
    at, nearest = at[found], nearest[found]
    share = (image[tuple(at.T)] - around[tuple(at.T)]) / np.maximum(
        peaks[nearest] - around[tuple(at.T)], 1e-6
    )
    # The core of a wide artery reaches beyond its wall; of a thin one its middle is kept.
    thin = np.array([0, *(sigma <= THIN * size.min() for sigma in tubes.sigmas_mm)], bool)
    middle = np.zeros(core.shape, bool)
    middle[tuple(middle_lines(core).T)] = True
    middle = (middle & thin[tubes.scale[box]])[tuple(at.T)]
    grown = np.zeros(core.shape, bool)
    grown[tuple(at[(share > 0.5) | (middle & (share > MIDDLE))].T)] = True
    # What is bright but not joined is another structure.
    labels, _ = ndi.label(grown, _ALL)
    mine = np.zeros(labels.max() + 1, bool)
    mine[np.unique(labels[core])] = True
    mine[0] = False
    grown = mine[labels]
    holes, count = ndi.label(~grown)
    if count > 1:
        sizes = np.bincount(holes.ravel())
        sizes[0] = 0
        grown |= (holes > 0) & (holes != np.argmax(sizes)) & (sizes[holes] < 200)
    out[box] = grown
    return out
