"""Tissue probabilities, lateral ventricles, cortex and lesion filling, on arrays."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from csvdprep.science.morphology import bounding_box, dilate, distance_outside

CSF, GM, WM = 0, 1, 2
#: Classes from dark to bright.
ORDER = {'T1w': (CSF, GM, WM), 'FLAIR': (CSF, WM, GM)}
#: Least probability of each tissue before looking: templates are averages, patients are not.
PRIOR_FLOOR = 0.02
#: Likelihood that a voxel is explained by no tissue, relative to the peak of one.
OUTLIER = 1e-3
#: Range of the exponent of the template probabilities, and the contrast at which each end is met.
PRIOR_WEIGHTS, CONTRASTS = (0.25, 1.0), (4.0, 1.0)


def segment_tissues(image: np.ndarray, mask: np.ndarray, priors: np.ndarray, voxel_mm, *,
                    contrast: str = 'T1w', lesion: np.ndarray | None = None,
                    prior_weight: float | None = None, mrf: float = 0.2,
                    iterations: int = 12) -> tuple[np.ndarray, dict]:  # fmt: skip
    """Probability of CSF, grey and white matter.

    Three Gaussians fitted by expectation maximisation, with the template's probabilities as
    spatial prior and a Markov random field over face neighbours (mean-field), whose couplings fall
    with the distance of the voxels.

    Parameters
    ----------
    image : ndarray, shape (I, J, K)
        Bias-corrected intensities.
    mask : ndarray of bool, shape (I, J, K)
        Brain mask.
    priors : ndarray, shape (3, I, J, K)
        Template probability of CSF, GM and WM on this grid; need not sum to one.
    voxel_mm : sequence of 3 float
        Voxel size in mm.
    contrast : {'T1w', 'FLAIR'}
        Which order of intensities to expect. In FLAIR grey and white matter differ little.
    lesion : ndarray of bool, optional
        White matter lesions: white matter whatever they look like, and not learned from.
    prior_weight : float, optional
        Exponent of the priors; by default between 0.25 and 1, more where the image has less
        contrast of grey to white matter.
    mrf : float
        Coupling to all face neighbours together that lie 1 mm away.
    iterations : int
        Rounds of expectation maximisation.

    Returns
    -------
    probabilities : ndarray of float32, shape (3, I, J, K)
        CSF, GM, WM; they sum to 1 in the mask and are 0 outside.
    info : dict
        ``means``, ``sds`` (CSF, GM, WM), ``cnr`` (grey to white matter), ``prior_weight`` and
        ``flags``: ``weak_contrast`` (mostly the template speaks), ``class_order`` (the image
        does not have the expected contrast).

    Raises
    ------
    ValueError
        If the mask is empty or the contrast unknown.

    References
    ----------
    .. [1] Van Leemput K. et al. (1999) Automated model-based tissue classification of MR images
       of the brain. doi:10.1109/42.811270
    .. [2] Avants B.B. et al. (2011) An open source multivariate framework for n-tissue
       segmentation. doi:10.1007/s12021-011-9109-y

    Examples
    --------
    >>> truth = np.repeat([0, 1, 2], 8)[:, None, None] * np.ones((24, 6, 6), int)
    >>> noise = np.random.default_rng(0).normal(0, 5, truth.shape)
    >>> image = np.array([20., 60., 100.])[truth] + noise
    >>> flat = np.stack([0.2 + 0.6 * (truth == k) for k in range(3)])
    >>> found, info = segment_tissues(image, truth >= 0, flat, (1, 1, 1))
    >>> bool((found.argmax(0) == truth).mean() > 0.99)
    True

    """
    if contrast not in ORDER:
        raise ValueError(f'Unknown contrast {contrast!r}; known: {", ".join(ORDER)}.')
    if not np.any(mask):
        raise ValueError('The brain mask is empty.')
    box = bounding_box(mask, 1)
    inside = mask[box].astype(bool)
    values = image[box][inside].astype(np.float32)
    learn = np.ones(values.shape, bool) if lesion is None else ~lesion[box][inside]
    prior = np.maximum(priors[(slice(None), *box)][:, inside].astype(np.float32), 0)
    prior = prior / np.maximum(prior.sum(axis=0), 1e-3) + np.float32(PRIOR_FLOOR)
    prior /= prior.sum(axis=0)
    means, sds = _first_guess(values[learn], prior[:, learn], contrast)
    weight = _trust(means, sds) if prior_weight is None else prior_weight
    log_prior = np.float32(weight) * np.log(prior)
    couplings = _couplings(voxel_mm, mrf)
    guess = prior
    for _ in range(iterations):
        score = log_prior + _neighbours(guess, inside, couplings)
        guess = _posterior(score, values, means, sds, ORDER[contrast])
        if lesion is not None:
            guess[:, ~learn] = np.array([[0], [0], [1]], np.float32)
        means, sds = _moments(values[learn], guess[:, learn])
    flags = []
    order = ORDER[contrast]
    if not means[order[0]] < means[order[1]] < means[order[2]]:
        flags.append('class_order')
    cnr = _cnr(means, sds)
    if cnr < 1.5:
        flags.append('weak_contrast')
    probabilities = np.zeros((3, *mask.shape), np.float32)
    probabilities[(slice(None), *box)][:, inside] = guess
    info = {
        'means': means.tolist(), 'sds': sds.tolist(), 'cnr': cnr,
        'prior_weight': float(weight), 'flags': flags,
    }  # fmt: skip
    return probabilities, info


def _first_guess(values, prior, contrast) -> tuple[np.ndarray, np.ndarray]:
    """Return class medians and robust widths where the template is surest."""
    means, sds = np.empty(3), np.empty(3)
    for tissue in range(3):
        sure = prior[tissue] >= min(0.8, np.quantile(prior[tissue], 0.98))
        means[tissue] = np.median(values[sure])
        sds[tissue] = 1.4826 * np.median(np.abs(values[sure] - means[tissue]))
    # Where the template says CSF there is often brain: CSF is the dark part of it.
    sure = prior[CSF] >= min(0.8, np.quantile(prior[CSF], 0.98))
    means[CSF] = np.quantile(values[sure], 0.25)
    if means[CSF] >= 0.8 * min(means[GM], means[WM]):
        means[CSF] = np.quantile(values, 0.02)
    widest = max(sds[GM], sds[WM])
    return means, np.maximum(sds, 0.3 * widest + 1e-6)


def _cnr(means, sds) -> float:
    return float(abs(means[WM] - means[GM]) / np.sqrt((sds[GM] ** 2 + sds[WM] ** 2) / 2))


def _trust(means, sds) -> float:
    return float(np.interp(_cnr(means, sds), CONTRASTS[::-1], PRIOR_WEIGHTS[::-1]))


def _couplings(voxel_mm, mrf: float) -> list[float]:
    return [mrf / max(1.0, float(size)) for size in voxel_mm]


def _neighbours(guess, inside, couplings) -> np.ndarray:
    """Return the support of each class by the face neighbours within the mask."""
    support = np.empty_like(guess)
    for tissue in range(3):
        full = np.zeros(inside.shape, np.float32)
        full[inside] = guess[tissue]
        total = np.zeros_like(full)
        for axis, coupling in enumerate(couplings):
            low = [slice(None)] * 3
            high = [slice(None)] * 3
            low[axis], high[axis] = slice(None, -1), slice(1, None)
            total[tuple(low)] += np.float32(coupling) * full[tuple(high)]
            total[tuple(high)] += np.float32(coupling) * full[tuple(low)]
        support[tissue] = total[inside]
    return support


def _posterior(score, values, means, sds, order) -> np.ndarray:
    # Beyond the brightest tissue (vessels, lesions) and below the darkest the intensity says no
    # more than at its mean; otherwise the widest class would win there.
    clipped = np.clip(values, means[order[0]], means[order[2]])
    for tissue in range(3):
        distance = (clipped - means[tissue]) / sds[tissue]
        likelihood = np.exp(-0.5 * distance**2) / sds[tissue]
        score[tissue] += np.log(likelihood + OUTLIER / sds.max())
    score -= score.max(axis=0)
    np.exp(score, out=score)
    score /= score.sum(axis=0)
    return score


def _moments(values, guess) -> tuple[np.ndarray, np.ndarray]:
    total = np.maximum(guess.sum(axis=1, dtype=float), 1e-6)
    means = (guess * values).sum(axis=1, dtype=float) / total
    spread = (guess * (values - means[:, None].astype(np.float32)) ** 2).sum(axis=1, dtype=float)
    sds = np.sqrt(spread / total)
    return means, np.maximum(sds, 0.3 * max(sds[GM], sds[WM]) + 1e-6)


def lateral_ventricles(csf: np.ndarray, sides: np.ndarray, other: np.ndarray, voxel_mm, *,
                       reach_mm: float = 8.0) -> np.ndarray:  # fmt: skip
    """Lateral ventricles of a patient, found from those of the template.

    Parameters
    ----------
    csf : ndarray, shape (I, J, K)
        Probability of CSF.
    sides : ndarray of int, shape (I, J, K)
        Lateral ventricles of the template warped to the patient: 1 left, 2 right.
    other : ndarray of bool, shape (I, J, K)
        CSF of the template that is no lateral ventricle (third and fourth ventricle, sulci,
        cisterns): what lies nearer to it is not taken.
    voxel_mm : sequence of 3 float
        Voxel size in mm.
    reach_mm : float
        How far the ventricles of the patient may reach beyond those of the template.

    Returns
    -------
    ndarray of uint8, shape (I, J, K)
        1 left, 2 right; choroid plexus enclosed in a plane is included.

    Examples
    --------
    >>> csf = np.zeros((20, 20, 4)); csf[4:8, 5:15] = csf[12:16, 5:15] = 1; csf[5, 9] = 0
    >>> sides = np.zeros((20, 20, 4), int); sides[5:7, 6:14] = 1; sides[13:15, 6:14] = 2
    >>> found = lateral_ventricles(csf, sides, np.zeros(csf.shape, bool), (1, 1, 3))
    >>> [int((found == side).sum()) for side in (1, 2)]
    [160, 160]

    """
    labels = np.zeros(csf.shape, np.uint8)
    template = sides > 0
    if not template.any():
        return labels
    box = bounding_box(template, int(np.ceil(reach_mm / min(voxel_mm))) + 2)
    csf, sides, template = csf[box], sides[box], template[box]
    away = distance_outside(template, voxel_mm)
    near = away <= reach_mm
    rival = other[box] & ~template
    if rival.any():
        near &= away <= distance_outside(rival, voxel_mm)
    found = (csf > 0.5) & near
    parts, count = ndimage.label(found)
    if count:
        sizes = np.bincount(parts.ravel(), minlength=count + 1)
        common = np.bincount(parts.ravel(), weights=template.ravel(), minlength=count + 1)
        millilitres = common * float(np.prod(voxel_mm)) / 1000
        good = (common >= 0.3 * sizes) | (millilitres >= 0.2)
        good[0] = False
        found = good[parts]
    found = _without_islands(found, near, voxel_mm)
    # A voxel belongs to the side whose template ventricle is nearer.
    left, right = sides == 1, sides == 2
    if left.any() and right.any():
        nearer_left = distance_outside(left, voxel_mm) < distance_outside(right, voxel_mm)
    else:
        nearer_left = np.full(found.shape, bool(left.any()))
    labels[box] = np.where(found, np.where(nearer_left, 1, 2), 0)
    return labels


def _without_islands(found: np.ndarray, near: np.ndarray, voxel_mm) -> np.ndarray:
    """Fill what the ventricle encloses in space or within a slice: choroid plexus, flow."""
    filled = ndimage.binary_fill_holes(found)
    across = int(np.argmax(voxel_mm))
    for plane in range(found.shape[across]):
        index = [slice(None)] * 3
        index[across] = plane
        if found[tuple(index)].any():
            filled[tuple(index)] |= ndimage.binary_fill_holes(found[tuple(index)])
    return filled & near | found


def cortex(gm: np.ndarray, csf: np.ndarray, mask: np.ndarray, deep: np.ndarray, voxel_mm, *,
           depth_mm: float = 6.0) -> np.ndarray:  # fmt: skip
    """Cortical ribbon: grey matter near the outer surface of the brain or a sulcus.

    Parameters
    ----------
    gm, csf : ndarray, shape (I, J, K)
        Probabilities.
    mask : ndarray of bool, shape (I, J, K)
        Brain mask.
    deep : ndarray of bool, shape (I, J, K)
        Ventricles, deep grey matter, brainstem and cerebellum of the template: no cortex there,
        and no sulcus.
    voxel_mm : sequence of 3 float
        Voxel size in mm.
    depth_mm : float
        Greatest distance from the surface.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        The ribbon.

    Examples
    --------
    >>> mask = np.zeros((1, 1, 30), bool); mask[..., 2:28] = True
    >>> gm = np.zeros(mask.shape); gm[..., 2:5] = gm[..., 14:16] = 1
    >>> found = cortex(gm, 0 * gm, mask, np.zeros_like(mask), (1, 1, 1))
    >>> np.flatnonzero(found).tolist()
    [2, 3, 4]

    """
    box = bounding_box(mask, 2)
    surface = ~mask[box] | ((csf[box] > 0.5) & ~deep[box])
    ribbon = np.zeros(mask.shape, bool)
    if surface.any():
        near = distance_outside(surface, voxel_mm) <= depth_mm
        ribbon[box] = (gm[box] > 0.5) & mask[box] & near & ~deep[box]
    return ribbon


def fill_lesions(image: np.ndarray, lesion: np.ndarray, wm: np.ndarray, voxel_mm, *,
                 rim_mm: float = 4.0, seed: int = 20240229) -> np.ndarray:  # fmt: skip
    """Give lesions the look of the normal white matter around them.

    Parameters
    ----------
    image : ndarray, shape (I, J, K)
        Bias-corrected T1w.
    lesion : ndarray of bool, shape (I, J, K)
        White matter lesions.
    wm : ndarray of bool, shape (I, J, K)
        White matter, with or without the lesions.
    voxel_mm : sequence of 3 float
        Voxel size in mm.
    rim_mm : float
        Width of the rim that is sampled; 1 mm next to the lesion is left out.
    seed : int
        Seed of the normal deviates.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        The image with, in the lesions, deviates of the median and robust width of the rim of
        each lesion, or of all rims where one has fewer than 30 voxels.

    References
    ----------
    .. [1] Chard D.T. et al. (2010) Reducing the impact of white matter lesions on automated
       measures of brain gray and white matter volumes. doi:10.1002/jmri.22214

    Examples
    --------
    >>> image = np.full((20, 20, 20), 100.); lesion = np.zeros(image.shape, bool)
    >>> lesion[8:12, 8:12, 8:12] = True; image[lesion] = 40
    >>> float(fill_lesions(image, lesion, image > 0, (1, 1, 1)).min())
    100.0

    """
    filled = image.astype(np.float32)
    healthy = wm & ~dilate(lesion, voxel_mm, max(1.0, float(min(voxel_mm))))
    if not lesion.any() or not healthy.any():
        return filled
    parts, _ = ndimage.label(lesion)
    boxes = ndimage.find_objects(parts)
    ring = dilate(lesion, voxel_mm, rim_mm) & healthy
    everywhere = image[ring] if np.count_nonzero(ring) >= 30 else image[healthy]
    draw = np.random.default_rng(seed)
    margin = [int(np.ceil(rim_mm / size)) + 1 for size in voxel_mm]
    for number, box in enumerate(boxes, start=1):
        wide = tuple(slice(max(0, side.start - more), side.stop + more)
                     for side, more in zip(box, margin, strict=True))  # fmt: skip
        part = parts[wide] == number
        rim = dilate(part, voxel_mm, rim_mm) & healthy[wide]
        sample = image[wide][rim] if np.count_nonzero(rim) >= 30 else everywhere
        middle = np.median(sample)
        width = 1.4826 * np.median(np.abs(sample - middle))
        filled[wide][part] = draw.normal(middle, width, np.count_nonzero(part))
    return filled
