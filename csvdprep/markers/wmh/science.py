"""White matter hyperintensities without trained weights: a scan is its own reference.

After the idea of the lesion growth algorithm (Schmidt et al. 2012,
doi:10.1016/j.neuroimage.2011.11.032): what the FLAIR shows is compared with what the tissue of
each voxel would show, and lesions are cut by hysteresis. Thresholds are contrasts, shares of the
level of normal white matter, so that a quiet scanner does not find more than a noisy one. Nothing
is trained; the few thresholds were chosen on phantoms and on scans without a reference
(docs/wmh.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from csvdprep.core.errors import MeasureError
from csvdprep.markers.wmh.science_interval import calibrated_interval
from csvdprep.markers.wmh.science_model import Excess, excess_over_normal
from csvdprep.markers.wmh.science_parts import faint_parts, filled_share, thin_lining
from csvdprep.markers.wmh.science_qc import quality
from csvdprep.markers.wmh.science_region import septum, stroke_lesions, surely_white, white_region
from csvdprep.markers.wmh.science_threshold import grow_from_seeds, lesion_height
from csvdprep.science.morphology import bounding_box, dilate, erode
from csvdprep.science.normalise import robust_centre

#: Smallest lesion, mm3, in images of near-cubic voxels and of thick slices.
LEAST_MM3, LEAST_MM3_THICK = 5.0, 10.0
#: Ratio of slice thickness to in-plane voxel size above which slices are thick.
THICK = 2.0
#: Depth of the white matter of the atlas from which a bright voxel is no choroid plexus.
WALL_DEPTH = 0.5
#: How far into what was taken for ventricle a lesion of its wall may grow, mm.
OVER_WALL_MM = 2.5
#: Seeds and borders need no more than this contrast, however noisy the image.
SEED_MOST, BORDER_MOST = 0.30, 0.20
#: Contrast above that of grey matter that a seed needs in the depth of white matter, with a T1w
#: and without, where the depth may be cortex.
ABOVE_DEEP, ABOVE_DEEP_UNSURE = 0.0, 0.05
#: Fluid this near to the ventricles, mm, is part of them.
BESIDE_VENTRICLE_MM = 5.0
#: Volumes from this size on, mL, whose coefficient of variation over jittered runs is higher are
#: not believed.
UNSURE_ML, UNSURE_CV = 3.0, 0.25
#: Deep grey matter and brainstem nearer than this to CSF, mm, are not looked at.
CLEAR_OF_CSF_MM = 2.0
#: Distance from the edge of a warped structure within which it may be another tissue, mm.
WITHIN_MM = 3.0


@dataclass(frozen=True)
class WmhOptions:
    """Thresholds; contrast is excess as a share of the level of normal white matter.

    Parameters
    ----------
    seed_contrast : float
        Least contrast of the brightest part of a lesion with a T1w.
    seed_contrast_flair_only : float
        The same without a T1w, where tissue is less well known.
    border_contrast : float
        Least contrast at the border of a lesion.
    seed_noise, border_noise : float
        Neither is below this many SD of what noise leaves after denoising.
    above_grey : float
        Contrast above that of grey matter that a seed needs where grey matter is in reach.
    peak_share : float
        Least contrast at the border of a lesion, as a share of the height of the lesion nearby.
    runs : int
        Jittered runs for the range of the volume.
    random_seed : int
        Of the jitter.

    """

    seed_contrast: float = 0.20
    seed_contrast_flair_only: float = 0.25
    border_contrast: float = 0.12
    seed_noise: float = 5.0
    border_noise: float = 4.0
    above_grey: float = 0.20
    peak_share: float = 0.5
    runs: int = 20
    random_seed: int = 42


@dataclass(frozen=True)
class WmhResult:
    """Result of `segment_wmh`, on the grid of the FLAIR.

    Parameters
    ----------
    mask : ndarray of uint8
        White matter hyperintensities.
    probability : ndarray of float32
        Soft membership, 0 to 1: mean of the jittered runs, with a slope at the border.
    z : ndarray of float32
        Excess over normal, SD of normal-appearing white matter.
    subcortical : ndarray of uint8
        Hyperintensities of 1 deep grey matter, 2 brainstem and cerebellum; not in ``mask``.
    stroke : ndarray of uint8
        Hyperintensities around old infarcts; not in ``mask``.
    lining : ndarray of uint8
        The part of ``mask`` that is a thin lining of the ventricles.
    volume_ml : float
        Of ``mask``.
    partial_ml : float
        Sum of the shares of voxels that lesions fill.
    range_ml : tuple of float
        Central 95 % of the jittered runs: how sensitive the volume is to the settings.
    interval_ml : tuple of float
        Calibrated 95 % interval of the volume, of `calibrated_interval`.
    cv : float
        SD of the jittered volumes / their mean; 0 without lesions.
    seed_contrast, border_contrast : float
        Thresholds that were used.
    flags : list of str
        Plain words; empty if nothing is remarkable.
    qc : dict
        Values of `quality`.

    """

    mask: np.ndarray
    probability: np.ndarray
    z: np.ndarray
    subcortical: np.ndarray
    stroke: np.ndarray
    lining: np.ndarray
    volume_ml: float
    partial_ml: float
    range_ml: tuple[float, float]
    interval_ml: tuple[float, float]
    cv: float
    seed_contrast: float
    border_contrast: float
    flags: list[str] = field(default_factory=list)
    qc: dict = field(default_factory=dict)


def segment_wmh(
    flair: np.ndarray,
    mask: np.ndarray,
    csf: np.ndarray,
    gm: np.ndarray,
    wm: np.ndarray,
    voxel_mm,
    *,
    atlas: np.ndarray | None = None,
    healthy: np.ndarray | None = None,
    ventricles: np.ndarray | None = None,
    deep_grey: np.ndarray | None = None,
    infratentorial: np.ndarray | None = None,
    side: np.ndarray | None = None,
    exclude: np.ndarray | None = None,
    has_t1w: bool = True,
    options: WmhOptions | None = None,
) -> WmhResult:
    """Segment white matter hyperintensities.

    Parameters
    ----------
    flair : ndarray, shape (I, J, K)
        Bias-corrected FLAIR on its own grid.
    mask : ndarray, shape (I, J, K)
        Brain.
    csf, gm, wm : ndarray of float, shape (I, J, K)
        Tissue probabilities on that grid.
    voxel_mm : sequence of 3 float
        Voxel size, mm.
    atlas : ndarray of float, shape (3, I, J, K), optional
        CSF, GM and WM of the warped template: where tissue labels are believed.
    healthy : ndarray of float, shape (I, J, K), optional
        How much brighter than its level white matter is in healthy people in this place, as a
        share: around the posterior horns and in the pyramidal tract some 10 %.
    ventricles : ndarray of int, optional
        Lateral ventricles, 1 left and 2 right.
    deep_grey, infratentorial : ndarray of bool, optional
        Deep grey nuclei; brainstem and cerebellum. Reported separately.
    side : ndarray, optional
        Negative left, positive right of the midline (mm in the template's frame will do).
    exclude : ndarray, optional
        Lesions of another kind (acute infarct, lacune) that are not WMH.
    has_t1w : bool
        Whether the tissue probabilities stand on a T1w.
    options : WmhOptions, optional
        Thresholds.

    Returns
    -------
    WmhResult
        Without lesions an empty mask and 0 mL: a normal result.

    Raises
    ------
    csvdprep.core.errors.MeasureError
        If the shapes differ, the mask is empty, or the FLAIR has no contrast in it.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> wm = np.zeros((40, 40, 40)); wm[5:35, 5:35, 5:35] = 1
    >>> flair = 100 * wm + rng.normal(0, 4, wm.shape); flair[18:23, 18:23, 18:23] += 40
    >>> found = segment_wmh(flair, wm > 0, 0 * wm, 0 * wm, wm, (1, 1, 1))
    >>> bool(abs(found.volume_ml - 0.125) < 0.02)
    True

    """
    options = options or WmhOptions()
    voxel_mm = np.asarray(voxel_mm, dtype=float)
    brain = np.asarray(mask) > 0
    for image in (flair, csf, gm, wm, healthy, ventricles, deep_grey, infratentorial, side,
                  exclude):
        if image is not None and image.shape != brain.shape:
            raise MeasureError('The images for the WMH do not have one and the same grid.')
    if not brain.any():
        raise MeasureError('The brain mask of the FLAIR is empty.')
    box = bounding_box(brain, 2)

    def crop(image, kind=np.float32):
        return None if image is None else np.asarray(image, dtype=kind)[..., *box]

    small = brain[box]
    csf, gm, wm, atlas = crop(csf), crop(gm), crop(wm), crop(atlas)
    vents, deep = crop(ventricles, np.uint8), crop(deep_grey, bool)
    low = crop(infratentorial, bool)
    excess = excess_over_normal(crop(flair), small, csf, gm, wm, voxel_mm, atlas=atlas,
                                healthy=crop(healthy))  # fmt: skip
    region, depth = white_region(wm, excess.white, small, voxel_mm, atlas)
    region &= excess.tissue
    for other in (deep, low, crop(exclude, np.uint8)):
        if other is not None:
            region &= other == 0
    seeds = region
    if vents is not None:
        # Lesions at the wall that are as dark as CSF on T1w are taken for ventricle. They start
        # where the atlas has white matter, and grow a little over the wall as it was found;
        # choroid plexus does neither.
        region &= ~septum(vents, voxel_mm)
        seeds = region & ((vents == 0) | (depth >= WALL_DEPTH))
        region = seeds | (region & ~erode(vents > 0, voxel_mm, OVER_WALL_MM))
    least = LEAST_MM3_THICK if voxel_mm.max() > THICK * voxel_mm.min() else LEAST_MM3
    seed, border = _thresholds(excess, has_t1w, options)
    if atlas is not None and not has_t1w:
        sure = surely_white(atlas, voxel_mm)
        seeds, region = seeds & sure, region & sure
    grey_height = excess.normal.grey / excess.normal.white - 1
    deepest = ABOVE_DEEP if has_t1w else ABOVE_DEEP_UNSURE
    above = deepest + (options.above_grey - deepest) * (1 - depth)
    caution = np.where(seeds, np.maximum(0, grey_height + above - seed), np.inf)
    caution = caution.astype(np.float32)

    height = lesion_height(excess.contrast, region, seed + caution, border, voxel_mm)

    def cut(contrast, least_seed, least_border):
        return grow_from_seeds(contrast, region, least_seed + caution, least_border, voxel_mm,
                               least_mm3=least, height=height,
                               peak_share=options.peak_share)  # fmt: skip

    found = cut(excess.contrast, seed, border)
    stroke = np.zeros(found.shape, bool)
    if atlas is not None:
        inner = (atlas[0] < 0.1) & small
        if vents is not None:
            # The template's ventricles lag behind large ones: those are no cavities.
            inner &= ~dilate(vents > 0, voxel_mm, BESIDE_VENTRICLE_MM)
        stroke = stroke_lesions(found, small & ~excess.tissue, inner, excess.grey, voxel_mm)
        found &= ~stroke
    share = filled_share(excess.contrast, height, found, region & ~stroke)
    lining = found & False
    if vents is not None:
        lining = thin_lining(found, vents, voxel_mm)
    ml = float(np.prod(voxel_mm)) / 1000
    mean, volumes = _jitter(excess, cut, ~stroke, seed, border, ml, options)
    subcortical = _subcortical(crop(flair), excess, deep, low, voxel_mm, least)
    qc = quality(found, excess, gm_edge=excess.grey, mask=small, voxel_mm=voxel_mm,
                 side=crop(side), stroke=stroke, has_t1w=has_t1w,
                 faint=faint_parts(excess.contrast, found, region & (depth >= 1) & ~stroke,
                                   voxel_mm), whole_shape=brain.shape, box=box)  # fmt: skip
    volume = float(found.sum() * ml)
    cv = float(np.std(volumes) / np.mean(volumes)) if np.mean(volumes) > 0 else 0.0
    if volume >= UNSURE_ML and cv > UNSURE_CV:
        qc['flags'].append('volume_hangs_on_thresholds')
    low, high = (float(v) for v in np.percentile(volumes, [2.5, 97.5]))
    range_ml = min(low, volume), max(high, volume)

    def whole(image, kind):
        full = np.zeros(brain.shape, kind)
        full[box] = image
        return full

    return WmhResult(
        mask=whole(found, np.uint8), probability=whole(mean, np.float32),
        z=whole(excess.z, np.float32), subcortical=whole(subcortical, np.uint8),
        stroke=whole(stroke, np.uint8), lining=whole(lining, np.uint8), volume_ml=volume,
        partial_ml=float(share.sum(dtype=float) * ml),
        range_ml=range_ml,
        interval_ml=calibrated_interval(volume, range_ml, has_t1w=has_t1w),
        cv=cv, seed_contrast=seed, border_contrast=border, flags=qc.pop('flags'),
        qc=qc,
    )  # fmt: skip


def _thresholds(excess: Excess, has_t1w: bool, options: WmhOptions):
    """Return the least contrast of seeds and of borders."""
    seed = options.seed_contrast if has_t1w else options.seed_contrast_flair_only
    border = options.border_contrast
    # What noise and texture ask for is not followed to where lesions themselves are lost.
    return (max(seed, min(options.seed_noise * excess.noise, SEED_MOST)),
            max(border, min(options.border_noise * excess.noise, BORDER_MOST)))  # fmt: skip


def _jitter(excess: Excess, cut, allowed, seed, border, ml, options: WmhOptions):
    """Repeat the segmentation with other thresholds, level and tissue; give map and volumes."""
    rng = np.random.default_rng(options.random_seed)
    total = np.zeros(excess.contrast.shape, np.float32)
    volumes = []
    for _ in range(options.runs):
        d_seed, d_border, d_level = rng.uniform(-1, 1, 3) * (0.04, 0.03, 0.02)
        certainty = rng.uniform(-0.5, 0.5)
        z = excess.contrast + excess.tissue * np.float32(d_level)
        z += np.float32(certainty) * excess.shift
        found = cut(z, seed + d_seed, border + d_border) & allowed
        volumes.append(found.sum() * ml)
        reach = np.clip((z - border) / 0.04 + 0.5, -8, 8, where=found, out=np.zeros_like(z))
        total += np.where(found, 1 / (1 + np.exp(-reach)), 0).astype(np.float32)
    return total / max(1, options.runs), np.asarray(volumes or [0.0])


def _subcortical(flair, excess: Excess, deep, low, voxel_mm, least):
    """Find outliers within deep grey matter (1) and below the tentorium (2)."""
    result = np.zeros(excess.contrast.shape, np.uint8)
    for label, region in ((1, deep), (2, low)):
        if region is None:
            continue
        inner = erode(region, voxel_mm, WITHIN_MM)
        inner &= erode(excess.tissue, voxel_mm, CLEAR_OF_CSF_MM)
        if np.count_nonzero(inner) < 100:
            continue
        centre, spread = robust_centre(excess.contrast[inner])
        above = excess.contrast - centre
        above_grey = excess.normal.grey / excess.normal.white - 1 + 0.12
        seed, border = max(0.25, above_grey, 5 * spread), max(0.15, above_grey / 2, 3 * spread)
        result[grow_from_seeds(above, inner, seed, border, voxel_mm, least_mm3=least)] = label
    return result
