"""Put normal tissue in the place of a scan's own lesions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage as ndi

from csvdprep.phantom.geometry.fields import smooth_noise
from csvdprep.phantom.into.tissue import Tissue

#: Lesions are filled so far beyond their border, mm, and the fill fades out over the last part.
BEYOND_MM, FADE_MM = 1.5, 0.6
#: Brightness of white matter on a FLAIR, in standard deviations of its own, from which on it is
#: taken for a lesion that no mask holds, and the least size of such a lesion, mm³.
BRIGHT, LEAST_MM3 = 4.0, 8.0
#: Ways, in-plane voxels, on which tissue is fetched for a lesion: tried in this order.
WAYS = tuple(
    (a, b)
    for reach in (6, 9, 12, 16, 21, 27)
    for a, b in ((reach, 0), (-reach, 0), (0, reach), (0, -reach), (reach, reach), (-reach, reach))
)


def unmasked(flair: np.ndarray, tissue: Tissue, own: np.ndarray, voxel_mm) -> np.ndarray:
    """Find what is as bright as a lesion in white matter, and in no mask.

    Parameters
    ----------
    flair : ndarray, shape (I, J, K)
        The FLAIR.
    tissue : Tissue
        Its normal tissue.
    own : ndarray of bool
        Known lesions.
    voxel_mm : sequence of float
        Voxel size.

    Returns
    -------
    ndarray of bool
    """
    white = (tissue.shares['wm'] > 0.5) & tissue.brain & ~own
    ratio = np.where(white, flair / np.maximum(tissue.white, 1e-6), 1)
    pure = white & (tissue.shares['wm'] > 0.9)
    if pure.sum() < 100:
        return np.zeros(flair.shape, bool)
    middle = float(np.median(ratio[pure]))
    spread = 1.4826 * float(np.median(np.abs(ratio[pure] - middle)))
    seeds = white & (ratio > middle + BRIGHT * spread)
    grown = white & (ratio > middle + 0.6 * BRIGHT * spread)
    labels, count = ndi.label(grown)
    if not count:
        return seeds
    numbers = np.arange(1, count + 1)
    size = np.bincount(labels.ravel(), minlength=count + 1)[1:] * float(np.prod(voxel_mm))
    seeded = ndi.maximum(seeds, labels, numbers) > 0
    return np.isin(labels, numbers[seeded & (size >= LEAST_MM3)])


def fill(
    image: np.ndarray, tissue: Tissue, own: np.ndarray, voxel_mm, rng: np.random.Generator
) -> np.ndarray:
    """Replace lesions by the tissue that is to be expected there, with noise fetched near by.

    Parameters
    ----------
    image : ndarray, shape (I, J, K)
        The scan.
    tissue : Tissue
        Its normal tissue.
    own : ndarray of float32
        Share of each voxel that is lesion.
    voxel_mm : sequence of float
        Voxel size.
    rng : numpy.random.Generator
        Decides the noise where none can be fetched.

    Returns
    -------
    ndarray of float32
        The scan; unchanged away from the lesions.

    Examples
    --------
    >>> from csvdprep.phantom.into.tissue import learn
    >>> rng = np.random.default_rng(0)
    >>> white = np.ones((60, 60, 4)); none = np.zeros(white.shape)
    >>> scan = 100 + rng.normal(0, 3, white.shape); scan[20:26, 20:26] += 60
    >>> own = none.copy(); own[20:26, 20:26] = 1
    >>> found = learn(scan, {'wm': white, 'gm': none, 'csf': none}, own > 0, (1, 1, 3))
    >>> part = fill(scan, found, own, (1, 1, 3), rng)[20:26, 20:26]
    >>> bool(abs(part.mean() - 100) < 2), bool(2 < part.std() < 4)
    (True, True)
    """
    image = np.asarray(image, np.float32)
    if not (own > 0.05).any():
        return image
    voxel_mm = np.asarray(voxel_mm, float)
    core = own > 0.05
    box = tuple(
        slice(max(0, e.start - 40), e.stop + 40)
        for e in ndi.find_objects(core.astype(np.uint8))[0]
    )
    core = core[box]
    away = ndi.distance_transform_edt(~core, sampling=voxel_mm)
    weight = np.clip((BEYOND_MM - away) / FADE_MM, 0, 1)
    axis = int(np.argmax(np.round(voxel_mm, 3)))
    # Slices are thick: nothing is changed in the next one.
    in_plane = ndi.binary_dilation(core, _disc(axis), iterations=int(4 / voxel_mm.min()))
    weight = (weight * in_plane).astype(np.float32)
    part, expected = image[box], tissue.expected[box]
    residual = part - expected
    clean = (away > BEYOND_MM) & (tissue.shares['wm'][box] > 0.8)
    fetched, known = _fetched(residual, core | (weight > 0), clean, axis)
    made = tissue.noise * tissue.white[box] * _texture(part.shape, tissue, voxel_mm, rng)
    rest = np.where(known, fetched, made)
    out = image.copy()
    # Beyond its border a lesion fades: what is left of the residual there is kept in part.
    out[box] = part + weight * (expected + rest - part)
    return out


def _fetched(residual, wanted, clean, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Fetch the residual of normal white matter."""
    out = np.zeros(residual.shape, np.float32)
    known = np.zeros(residual.shape, bool)
    for at, source in fetch_from(wanted, clean, axis):
        out[at], known[at] = residual[source], True
    return out, known


def fetch_from(
    wanted: np.ndarray, clean: np.ndarray, axis: int
) -> Iterator[tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]]:
    """Tell from where normal tissue is fetched, piece by piece on the first way that holds.

    Parameters
    ----------
    wanted : ndarray of bool, shape (I, J, K)
        Voxels that need tissue.
    clean : ndarray of bool
        Voxels that have it.
    axis : int
        Across the slices: tissue is fetched within them.

    Yields
    ------
    at, source : tuple of ndarray of int
        Voxels of a piece, and those from which their tissue comes.
    """
    labels, _ = ndi.label(wanted)
    planes = [a for a in range(3) if a != axis]
    for number, box in enumerate(ndi.find_objects(labels), start=1):
        piece = np.argwhere(labels[box] == number) + [edge.start for edge in box]
        best, most = None, 0.5
        for way in WAYS:
            step = np.zeros(3, int)
            step[planes] = way
            there = piece + step
            inside = ((there >= 0) & (there < wanted.shape)).all(axis=1)
            good = np.zeros(len(piece), bool)
            good[inside] = clean[tuple(there[inside].T)]
            if good.mean() > most:
                best, most = (there, good), good.mean()
            if most > 0.97:
                break
        if best:
            there, good = best
            yield tuple(piece[good].T), tuple(there[good].T)


def _texture(shape, tissue: Tissue, voxel_mm, rng) -> np.ndarray:
    """Draw noise of unit variance that is correlated in plane as the scan's."""
    axis = int(np.argmax(np.round(voxel_mm, 3)))
    noise = rng.standard_normal(shape, dtype=np.float32)
    sigma = tissue.blur_mm / np.asarray(voxel_mm, float)
    sigma[axis] = 0
    noise = ndi.gaussian_filter(noise, sigma)
    coarse = smooth_noise(shape, 3.0 / float(min(voxel_mm)), rng)
    return noise / max(float(noise.std()), 1e-6) + 0.3 * coarse


def _disc(axis: int) -> np.ndarray:
    out = np.ones((3, 3, 3), bool)
    out[tuple(slice(None) if a != axis else [0, 2] for a in range(3))] = False
    return out
