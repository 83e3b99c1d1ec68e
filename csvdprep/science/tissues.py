"""Tissue probabilities by expectation maximisation under an atlas and a Markov random field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from csvdprep.core.errors import MeasureError

CSF, GM, WM = range(3)

#: How much the atlas says against the overall share of a class. In a T1w intensity separates
#: the tissues; in a FLAIR grey and white matter overlap, and place has to decide.
ATLAS_WEIGHT = {'T1w': 0.6, 'FLAIR': 0.97}
#: Strength of the Markov random field: log odds gained if all neighbours agree.
NEIGHBOURS = 1.0
#: No class is impossible anywhere by this probability.
FLOOR = 0.01
ITERATIONS = 15


@dataclass(frozen=True)
class Tissues:
    """Result of `segment_tissues`.

    Attributes
    ----------
    probability : ndarray of float32, shape (3, nx, ny, nz)
        CSF, GM, WM; they add up to 1 inside the mask, 0 outside.
    mean, sd : ndarray, shape (3,)
        Intensity of each class.
    cnr : float
        Contrast of GM to WM in units of their noise: ``|m_W - m_G| / sqrt((s_W^2 + s_G^2) / 2)``.
    """

    probability: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    cnr: float


def segment_tissues(
    image: np.ndarray,
    mask: np.ndarray,
    atlas: np.ndarray,
    voxel_mm,
    *,
    contrast: str = 'T1w',
    lesion: np.ndarray | None = None,
) -> Tissues:
    r"""Classify the voxels of a brain.

    .. math:: p_k(x) \propto \pi_k(x)\, N(y(x); \mu_k, \sigma_k)\,
              \exp\Big(\beta \sum_{x'} w_{xx'} p_k(x')\Big),

    with :math:`\pi_k` the atlas mixed with the overall share of each class, and weights of the
    six neighbours falling with their distance, so that thick slices bind little.

    Parameters
    ----------
    image : ndarray, shape (nx, ny, nz)
        Bias-corrected intensities, any unit.
    mask : ndarray, shape (nx, ny, nz)
        Brain.
    atlas : ndarray, shape (3, nx, ny, nz)
        Probability of CSF, GM and WM from the template.
    voxel_mm : sequence of 3 float
        Voxel size, mm.
    contrast : {'T1w', 'FLAIR'}
        Decides how much the atlas counts.
    lesion : ndarray, optional
        White matter lesions: white matter by definition, and left out of the intensities.

    Returns
    -------
    Tissues

    Raises
    ------
    MeasureError
        If the mask is empty or the classes cannot be told apart.

    References
    ----------
    Avants et al. 2011, doi:10.1007/s12021-011-9109-y

    Examples
    --------
    >>> truth = np.repeat([0, 1, 2], 8)[:, None, None] * np.ones((24, 24, 24), int)
    >>> noise = np.random.default_rng(0).normal(0, 5, truth.shape)
    >>> atlas = np.full((3, *truth.shape), 1 / 3)
    >>> for k in range(3):
    ...     atlas[k][truth == k] = 0.6
    >>> found = segment_tissues(100 + 50 * truth + noise, truth >= 0, atlas, (1, 1, 1))
    >>> bool((found.probability.argmax(0) == truth).mean() > 0.99)
    True

    """
    inside = np.asarray(mask) > 0
    if inside.sum() < 1000:
        raise MeasureError('The brain mask is too small for a segmentation of tissues.')
    box = ndi.find_objects(inside.astype(np.uint8))[0]
    inside_box = inside[box]
    y = np.asarray(image[box], dtype=np.float32)[inside_box]
    prior = np.stack([np.asarray(a[box], dtype=np.float32)[inside_box] for a in atlas])
    prior = np.maximum(prior, 0) + FLOOR
    prior /= prior.sum(0)
    normal = np.ones(y.size, bool)
    if lesion is not None:
        normal = ~(np.asarray(lesion[box])[inside_box] > 0)
    weights = _neighbour_weights(voxel_mm)

    p = prior.copy()
    mean, sd = _start(y, prior, normal)
    balance = ATLAS_WEIGHT[contrast]
    for _ in range(ITERATIONS):
        share = p[:, normal].mean(1)
        place = np.log(balance * prior + (1 - balance) * share[:, None])
        fit = -0.5 * ((y - mean[:, None]) / sd[:, None]) ** 2 - np.log(sd)[:, None]
        p = _softmax(place + fit + NEIGHBOURS * _agreement(p, inside_box, weights))
        mean, sd = _moments(y, p, normal, spread=float(y.std()))
    p[:, ~normal] = np.array([0, 0, 1], np.float32)[:, None]
    if not (np.isfinite(mean).all() and mean[CSF] < min(mean[GM], mean[WM])):
        raise MeasureError('The tissues cannot be told apart by their intensities.')
    probability = np.zeros((3, *inside.shape), np.float32)
    for k in range(3):
        probability[k][box][inside_box] = p[k]
    noise = np.sqrt((sd[GM] ** 2 + sd[WM] ** 2) / 2)
    return Tissues(probability, mean, sd, float(abs(mean[WM] - mean[GM]) / noise))


def _start(y, prior, normal):
    """Take the median and spread of voxels of which the atlas is sure."""
    mean, sd = np.zeros(3), np.zeros(3)
    for k in range(3):
        sure = normal & (prior[k] >= np.quantile(prior[k], 0.9))
        mean[k] = np.median(y[sure])
        sd[k] = 1.4826 * np.median(np.abs(y[sure] - mean[k]))
    return mean, np.maximum(sd, 0.02 * y.std() + 1e-6)


def _moments(y, p, normal, spread):
    weight = p[:, normal].astype(np.float64)
    total = weight.sum(1) + 1e-6
    mean = weight @ y[normal] / total
    sd = np.sqrt((weight * (y[normal] - mean[:, None]) ** 2).sum(1) / total)
    return mean, np.maximum(sd, 0.02 * spread)


def _neighbour_weights(voxel_mm):
    """Return the weight of a neighbour along each axis; all six add up to 1."""
    near = 1 / np.asarray(voxel_mm, float) ** 2
    return near / (2 * near.sum())


def _agreement(p, inside, weights):
    """Return the weighted mean probability of the neighbours of each voxel."""
    result = np.empty_like(p)
    full = np.zeros(inside.shape, np.float32)
    for k in range(len(p)):
        full[inside] = p[k]
        total = np.zeros_like(full)
        for axis, weight in enumerate(weights):
            ahead = [slice(None)] * 3
            behind = [slice(None)] * 3
            ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
            total[tuple(behind)] += weight * full[tuple(ahead)]
            total[tuple(ahead)] += weight * full[tuple(behind)]
        result[k] = total[inside]
    return result


def _softmax(score):
    score = score - score.max(0)
    np.exp(score, out=score)
    return (score / score.sum(0)).astype(np.float32)


def fill_lesions(
    image: np.ndarray, lesion: np.ndarray, wm: np.ndarray, voxel_mm, *, seed: int = 42,
    rim_mm: float = 6.0,
) -> np.ndarray:  # fmt: skip
    """Replace lesions by what normal white matter around them looks like.

    Parameters
    ----------
    image : ndarray, shape (nx, ny, nz)
        Intensities.
    lesion : ndarray
        Voxels to be replaced.
    wm : ndarray
        Probability of white matter; normal voxels above 0.8 around the lesions are the model.
    voxel_mm : sequence of 3 float
        Voxel size, mm.
    seed : int
        Of the noise.
    rim_mm : float
        How far around a lesion the model may lie, mm.

    Returns
    -------
    ndarray of float32
        Samples of N(local median, robust spread) in the lesions, the image elsewhere.

    Examples
    --------
    >>> image = np.full((20, 20, 20), 100.0)
    >>> lesion = np.zeros(image.shape, bool); lesion[8:12, 8:12, 8:12] = True
    >>> image[lesion] = 50
    >>> filled = fill_lesions(image, lesion, np.ones(image.shape), (1, 1, 1))
    >>> float(filled[lesion].mean())
    100.0

    """
    filled = np.array(image, dtype=np.float32)
    lesion = np.asarray(lesion) > 0
    if not lesion.any():
        return filled
    normal = (np.asarray(wm) > 0.8) & ~lesion
    if normal.sum() < 100:
        return filled
    values = filled[normal]
    centre = float(np.median(values))
    noise = 1.4826 * float(np.median(np.abs(values - centre)))
    # White matter further out stands in where a lesion has none within the rim.
    sigma = rim_mm / 2 / np.asarray(voxel_mm, float)
    weight = ndi.gaussian_filter(normal.astype(np.float32), sigma, truncate=3)
    local = ndi.gaussian_filter(np.where(normal, filled - centre, 0).astype(np.float32), sigma,
                                truncate=3)  # fmt: skip
    level = centre + np.where(weight > 1e-3, local / np.maximum(weight, 1e-3), 0)
    rng = np.random.default_rng(seed)
    filled[lesion] = level[lesion] + 0.5 * noise * rng.standard_normal(int(lesion.sum()))
    return filled
