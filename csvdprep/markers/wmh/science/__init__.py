"""White matter hyperintensities: two engines, what both are told, and what is said of the result.

The classical engine (`science.classical`) compares a scan with itself; the network
(`science.network`) learned from lesions inserted into real scans. Regions that do not count,
infarcts, lining and quality are the same for both, and each judges the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from csvdprep.core.errors import MeasureError
from csvdprep.markers.wmh.science.classical import classical_cut
from csvdprep.markers.wmh.science.cut import Cut, Head, WmhOptions
from csvdprep.markers.wmh.science.interval import calibrated_interval
from csvdprep.markers.wmh.science.model import Excess, excess_over_normal
from csvdprep.markers.wmh.science.network import combined_cut, network_cut
from csvdprep.markers.wmh.science.parts import faint_parts, thin_lining
from csvdprep.markers.wmh.science.qc import quality
from csvdprep.markers.wmh.science.region import stroke_lesions
from csvdprep.markers.wmh.science.threshold import grow_from_seeds
from csvdprep.science.morphology import bounding_box, dilate, erode
from csvdprep.science.normalise import robust_centre

#: Fluid this near to the ventricles, mm, is part of them.
BESIDE_VENTRICLE_MM = 5.0
#: Volumes from this size on, mL, whose coefficient of variation over jittered runs is higher are
#: not believed.
UNSURE_ML, UNSURE_CV = 3.0, 0.25
#: Deep grey matter and brainstem nearer than this to CSF, mm, are not looked at.
CLEAR_OF_CSF_MM = 2.0
#: Distance from the edge of a warped structure within which it may be another tissue, mm.
WITHIN_MM = 3.0
#: Engines disagree where their volumes, with so many mL added, differ by more than this factor.
DIFFER_ML, DIFFER = 3.0, 2.0
#: Probability from which the network calls a voxel lining of the ventricles.
LINING = 0.5
#: Faint lesions are believed where the engines agree to this factor.
AGREE = 1.4


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
        The part of ``mask`` that is a thin lining of the ventricles: where the network was asked
        what it calls so, else what is thin and at the wall.
    volume_ml : float
        Of ``mask``.
    partial_ml : float
        Sum of the shares of voxels that lesions fill.
    range_ml : tuple of float
        Central 95 % of the jittered runs: how sensitive the volume is to the settings.
    interval_ml : tuple of float
        Calibrated 95 % interval of the volume, of `calibrated_interval`; may be empty.
    cv : float
        SD of the jittered volumes / their mean; 0 without lesions.
    engine : {'classical', 'network', 'both'}
        What made the mask.
    classical_ml, network_ml : float or None
        Volume that each engine found; None where it was not asked.
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
    interval_ml: tuple[float, ...]
    cv: float
    engine: str
    classical_ml: float | None
    network_ml: float | None
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
    apex: np.ndarray | None = None,
    has_t1w: bool = True,
    learned: tuple[np.ndarray, np.ndarray] | None = None,
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
    apex : ndarray of bool, optional
        Top of the head, where no slice above tells tips of gyri from lesions (`region.apex`).
    has_t1w : bool
        Whether the tissue probabilities stand on a T1w.
    learned : (ndarray, ndarray) of float, shape (I, J, K), optional
        The network's probabilities of lesion and of lining of the ventricles; without them the
        classical engine alone is asked.
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
    for image in (
        flair,
        csf,
        gm,
        wm,
        healthy,
        ventricles,
        deep_grey,
        infratentorial,
        side,
        exclude,
        apex,
        *(learned or ()),
    ):
        if image is not None and image.shape != brain.shape:
            raise MeasureError('The images for the WMH segmentation are not on the same grid.')
    if not brain.any():
        raise MeasureError('The brain mask of the FLAIR is empty.')
    box = bounding_box(brain, 2)

    def crop(image, kind=np.float32):
        return None if image is None else np.asarray(image, dtype=kind)[..., *box]

    head = Head(
        brain=brain[box],
        wm=crop(wm),
        atlas=crop(atlas),
        ventricles=crop(ventricles, np.uint8),
        deep=crop(deep_grey, bool),
        low=crop(infratentorial, bool),
        exclude=crop(exclude, bool),
        apex=crop(apex, bool),
        voxel_mm=voxel_mm,
        has_t1w=has_t1w,
    )
    excess = excess_over_normal(
        crop(flair),
        head.brain,
        crop(csf),
        crop(gm),
        head.wm,
        voxel_mm,
        atlas=head.atlas,
        healthy=crop(healthy),
    )
    cuts = _cuts(head, excess, None if learned is None else tuple(map(crop, learned)), options)
    engine = options.chosen(learned is not None)
    chosen = cuts[engine]
    stroke = _stroke(chosen.mask, excess, head)
    found = chosen.mask & ~stroke
    share = np.where(stroke, 0, chosen.share)
    lining = _lining(found, head, None if engine == 'classical' else crop(learned[1]))
    subcortical = _subcortical(excess, head)
    qc = quality(
        found,
        excess,
        gm_edge=excess.grey,
        mask=head.brain,
        voxel_mm=voxel_mm,
        side=crop(side),
        stroke=stroke,
        has_t1w=has_t1w,
        faint=faint_parts(excess.contrast, found, chosen.deep & ~stroke, voxel_mm),
        whole_shape=brain.shape,
        box=box,
    )
    ml = float(np.prod(voxel_mm)) / 1000
    volume, volumes = float(found.sum() * ml), chosen.volumes(~stroke) * ml
    cv = float(np.std(volumes) / np.mean(volumes)) if np.mean(volumes) > 0 else 0.0
    each = {name: float((cut.mask & ~stroke).sum() * ml) for name, cut in cuts.items()}
    if volume >= UNSURE_ML and cv > UNSURE_CV:
        qc['flags'].append('volume_hangs_on_thresholds')
    if engines_differ(each):
        qc['flags'].append('engines_differ')
    if len(each) > 1 and 'faint' in qc['flags'] and not engines_differ(each, AGREE):
        qc['flags'].remove('faint')
    low, high = (float(v) for v in np.percentile(volumes, [2.5, 97.5]))
    range_ml = min(low, volume), max(high, volume)

    def whole(image, kind):
        full = np.zeros(brain.shape, kind)
        full[box] = image
        return full

    return WmhResult(
        mask=whole(found, np.uint8),
        probability=whole(np.where(stroke, 0, chosen.probability), np.float32),
        z=whole(excess.z, np.float32),
        subcortical=whole(subcortical, np.uint8),
        stroke=whole(stroke, np.uint8),
        lining=whole(lining, np.uint8),
        volume_ml=volume,
        partial_ml=float(share.sum(dtype=float) * ml),
        range_ml=range_ml,
        interval_ml=calibrated_interval(volume, range_ml, has_t1w=has_t1w, engine=engine),
        cv=cv,
        engine=engine,
        classical_ml=each.get('classical'),
        network_ml=each.get('network'),
        flags=qc.pop('flags'),
        qc=qc,
    )


def engines_differ(volumes_ml: dict[str, float], factor: float = DIFFER) -> bool:
    """Tell whether the volumes of two engines differ by more than a factor, 3 mL added to both.

    Examples
    --------
    >>> engines_differ({'classical': 4.0, 'network': 5.0})
    False
    >>> engines_differ({'classical': 0.0, 'network': 60.0})
    True
    """
    if not {'classical', 'network'} <= set(volumes_ml):
        return False
    ratio = (volumes_ml['network'] + DIFFER_ML) / (volumes_ml['classical'] + DIFFER_ML)
    return not 1 / factor < ratio < factor


def _cuts(head: Head, excess: Excess, learned, options: WmhOptions) -> dict[str, Cut]:
    """Ask each engine."""
    cuts = {'classical': classical_cut(head, excess, options)}
    if learned is not None:
        cuts['network'] = network_cut(head, excess, learned, options)
        cuts['both'] = combined_cut(head, cuts['network'], cuts['classical'], options)
    return cuts


def _lining(found: np.ndarray, head: Head, told: np.ndarray | None) -> np.ndarray:
    """Return the lining of the ventricles: what the network calls so, else what is thin."""
    if told is not None:
        return found & (told > LINING)
    if head.ventricles is None:
        return np.zeros(found.shape, bool)
    return thin_lining(found, head.ventricles, head.voxel_mm)


def _stroke(found: np.ndarray, excess: Excess, head: Head) -> np.ndarray:
    """Return hyperintensities around old infarcts."""
    if head.atlas is None:
        return np.zeros(found.shape, bool)
    inner = (head.atlas[0] < 0.1) & head.brain
    if head.ventricles is not None:
        # The template's ventricles lag behind large ones: those are no cavities.
        inner &= ~dilate(head.ventricles > 0, head.voxel_mm, BESIDE_VENTRICLE_MM)
    return stroke_lesions(found, head.brain & ~excess.tissue, inner, excess.grey, head.voxel_mm)


def _subcortical(excess: Excess, head: Head) -> np.ndarray:
    """Find outliers within deep grey matter (1) and below the tentorium (2)."""
    result = np.zeros(excess.contrast.shape, np.uint8)
    for label, region in ((1, head.deep), (2, head.low)):
        if region is None:
            continue
        inner = erode(region, head.voxel_mm, WITHIN_MM)
        inner &= erode(excess.tissue, head.voxel_mm, CLEAR_OF_CSF_MM)
        if np.count_nonzero(inner) < 100:
            continue
        centre, spread = robust_centre(excess.contrast[inner])
        above = excess.contrast - centre
        above_grey = excess.normal.grey / excess.normal.white - 1 + 0.12
        seed, border = max(0.25, above_grey, 5 * spread), max(0.15, above_grey / 2, 3 * spread)
        result[
            grow_from_seeds(above, inner, seed, border, head.voxel_mm, least_mm3=head.least_mm3)
        ] = label
    return result
