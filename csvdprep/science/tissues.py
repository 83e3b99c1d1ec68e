"""Tissue fractions by expectation maximisation with partial volume, an atlas and neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from csvdprep.core.errors import MeasureError
from csvdprep.science.partial_volume import BINS, CLASSES, Model, expected, refit, tables

CSF, GM, WM = range(3)

#: How much the atlas says about fluid and, in a T1w, about grey and white matter; the rest is
#: the neighbours'. In a FLAIR grey and white matter overlap, and the atlas alone has to decide.
ATLAS_WEIGHT = 0.4
#: Power of what atlas and neighbours say, against the intensity.
POWER = 4
#: How common mixtures of CSF and WM are where both are near, relative to the other mixtures.
WALLS = 0.5
#: No class is impossible anywhere by this probability.
FLOOR = 0.01
ITERATIONS = 6
TINY = np.float32(1e-6)
#: Share of the voxels where the atlas is sure of fluid that are taken to be nothing else.
DARKEST = 0.1
#: Voxels and iterations from which the intensities are learned.
LEARN_FROM = 100_000
LEARN_ITERATIONS = 25


@dataclass(frozen=True)
class Tissues:
    """Result of `segment_tissues`.

    Attributes
    ----------
    probability : ndarray of float32, shape (3, nx, ny, nz)
        Expected share of CSF, GM, WM in each voxel; they add up to 1 inside the mask, 0 outside.
    mean, sd : ndarray, shape (3,)
        Intensity of pure tissue.
    cnr : float
        Contrast of GM to WM in units of their noise: ``|m_W - m_G| / sqrt((s_W^2 + s_G^2) / 2)``,
        with moments of all voxels that are mostly one of them.
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
    r"""Estimate how much of each voxel of a brain is CSF, grey and white matter.

    A voxel is pure or a mixture of two tissues (Van Leemput et al. 2003), with a probability of
    each class

    .. math:: P_c(x) \propto \alpha_c\, \sqrt{\pi_a(x)\, \pi_b(x)}\; L_c(y(x)),

    :math:`a = b` in a pure voxel, :math:`L_c` the Gaussian of a tissue or, in a mixture, its
    integral over all shares (:mod:`csvdprep.science.partial_volume`). Place :math:`\pi` is mostly
    what the neighbours hold, the six weighted by their distance, so that thick slices bind
    little. The overall shares :math:`\alpha_c` are learned from the image: the template has no
    say in how much there is of a tissue.

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
        Decides whether grey and white matter are told apart by intensity or by the atlas.
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
    Van Leemput et al. 2003, doi:10.1109/TMI.2002.806587

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
    scale = _Scale.of(y)
    model, share = _learn(y[normal], prior[:, normal], scale, contrast)
    p = _classify(
        y, prior, normal, scale, model, share, inside_box, _neighbour_weights(voxel_mm), contrast
    )
    p[:, ~normal] = np.array([0, 0, 1], np.float32)[:, None]
    mean, sd = model.mean, model.sd
    if not (np.isfinite(mean).all() and mean[CSF] < min(mean[GM], mean[WM])):
        raise MeasureError('The tissues cannot be told apart by their intensities.')
    probability = np.zeros((3, *inside.shape), np.float32)
    for k in range(3):
        probability[k][box][inside_box] = p[k]
    return Tissues(probability, mean, sd, _contrast_to_noise(y, p, normal))


@dataclass(frozen=True)
class _Scale:
    """Intensities sorted into steps."""

    centres: np.ndarray
    step: np.ndarray
    spread: float

    @classmethod
    def of(cls, y):
        low, high = np.quantile(y, [0.0005, 0.9995])
        width = max(float(high - low) / BINS, 1e-6)
        step = np.clip((y - low) / width, 0, BINS - 1).astype(np.int16)
        return cls(low + width * (np.arange(BINS) + 0.5), step, float(np.std(y)))


def _learn(y, prior, scale_of_all, contrast):
    """Estimate the intensities under the atlas alone, from a part of the voxels."""
    every = max(1, y.size // LEARN_FROM)
    y, prior = y[::every], prior[:, ::every]
    scale = _Scale(
        scale_of_all.centres,
        np.searchsorted(scale_of_all.centres, y).clip(0, BINS - 1).astype(np.int16),
        scale_of_all.spread,
    )
    model = Model(*_start(y, prior))
    share = np.full(len(CLASSES), 1 / len(CLASSES))
    for _ in range(LEARN_ITERATIONS):
        classes, _, inner, share = _posterior(scale.step, prior, model, share, scale.centres)
        counts = _counts(classes, scale.step)
        model = refit(model, inner, counts, scale.centres, scale.spread)
    return model, share


def _posterior(step, place, model, share, centres):
    """Return probability of each class, expected fractions, inner table and overall shares."""
    likelihood, inner = tables(model, centres)
    fractions = expected(inner)
    weight = np.stack(
        [
            share[k] * (place[t[0]] if len(t) == 1 else np.sqrt(place[t[0]] * place[t[1]]))
            for k, t in enumerate(CLASSES)
        ]
    )
    before = (weight / weight.sum(0)).mean(1, dtype=float)
    for k in range(len(CLASSES)):
        weight[k] *= likelihood[k].astype(np.float32)[step]
    weight /= np.maximum(weight.sum(0), 1e-30)
    after = weight.mean(1, dtype=float)
    share = share * (after + 1e-6) / (before + 1e-6)
    # Fluid next to white matter is too rare to be learned: ventricles have walls, of any size.
    share[-1] = WALLS * share[3:5].mean()
    p = np.zeros_like(place)
    for k, tissues in enumerate(CLASSES):
        for t in tissues:
            p[t] += weight[k] * fractions[k, t].astype(np.float32)[step]
    return weight, p, inner, share / share.sum()


def _counts(classes, step):
    return np.stack([np.bincount(step, weights=row, minlength=BINS) for row in classes])


def _classify(y, prior, normal, scale, model, share, inside, weights, contrast):
    """Let neighbours speak as well, and return the expected fractions.

    Intensities and overall shares stay as they were learned: refined under the neighbours they
    drift, the more common tissue growing from turn to turn.
    """
    p = prior.copy()
    known = np.maximum(_agreement(np.ones((1, y.size), np.float32), inside, weights), 1e-3)
    for turn in range(ITERATIONS):
        near = _agreement(p, inside, weights) / known if turn else prior
        place = _place(prior, near, contrast)
        p = _posterior(scale.step, place, model, share, scale.centres)[1]
        p[:, ~normal] = np.array([0, 0, 1], np.float32)[:, None]
    return p


def _place(prior, near, contrast):
    """Return what atlas and neighbours say, before the intensity is looked at."""
    place = (ATLAS_WEIGHT * prior + (1 - ATLAS_WEIGHT) * near + FLOOR) ** POWER
    place /= place.sum(0)
    if contrast == 'FLAIR':
        tissue = (1 - place[CSF]) / (prior[GM] + prior[WM])
        place[GM], place[WM] = prior[GM] * tissue, prior[WM] * tissue
    return np.maximum(place, TINY)


def _start(y, prior):
    """Take the median and spread of voxels of which the atlas is sure."""
    sure = [part >= np.quantile(part, 0.9) for part in prior]
    # In thick slices hardly a voxel is all fluid: the darkest are it most.
    fluid = np.quantile(y[sure[CSF]], DARKEST)
    # Ventricles may lie where the atlas is sure of white matter.
    tissue = y > fluid + (np.quantile(y, 0.9) - fluid) / 3
    mean, sd = np.zeros(3), np.zeros(3)
    for k in range(3):
        values = y[sure[k] & tissue] if k != CSF and (sure[k] & tissue).any() else y[sure[k]]
        mean[k] = np.median(values)
        sd[k] = 1.4826 * np.median(np.abs(values - mean[k]))
    mean[CSF] = fluid
    return mean, np.maximum(sd, 0.02 * y.std() + 1e-6)


def _contrast_to_noise(y, p, normal):
    """Return the distance of grey and white matter over the spread of what is mostly either."""
    grey, white = (y[normal & (p[k] > 0.5)].astype(np.float64) for k in (GM, WM))
    if not (grey.size and white.size):
        return 0.0
    noise = np.sqrt((grey.var() + white.var()) / 2) + 1e-12
    return float(abs(white.mean() - grey.mean()) / noise)


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


def fill_lesions(
    image: np.ndarray,
    lesion: np.ndarray,
    wm: np.ndarray,
    voxel_mm,
    *,
    seed: int = 42,
    rim_mm: float = 6.0,
) -> np.ndarray:
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
    local = ndi.gaussian_filter(
        np.where(normal, filled - centre, 0).astype(np.float32), sigma, truncate=3
    )
    level = centre + np.where(weight > 1e-3, local / np.maximum(weight, 1e-3), 0)
    rng = np.random.default_rng(seed)
    filled[lesion] = level[lesion] + 0.5 * noise * rng.standard_normal(int(lesion.sum()))
    return filled
