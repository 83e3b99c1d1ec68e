"""How believable a WMH mask is, in numbers."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from csvdprep.science.morphology import dilate

#: Beyond these values a mask is remarked on.
LARGE_ML, ASYMMETRY, NEAR_CORTEX, LEAST_MEAN_Z, WIDE_PEAK = 150.0, 5.0, 0.25, 2.5, 0.20
#: Share of the brain in which the image is more uneven than its correction may be.
BOUNDED = 0.05
#: Volume of faint parts, mL with a T1w and without, and as a share of the volume of lesions, from
#: which the volume is not believed: without a T1w cortex in the depth looks like them.
MUCH_FAINT_ML, MUCH_FAINT_UNSURE_ML, MUCH_FAINT = 0.7, 6.0, 0.25
#: Least volume (mL) of which shares are judged.
LEAST_ML = 0.5


def quality(
    found: np.ndarray,
    excess,
    *,
    gm_edge: np.ndarray,
    mask: np.ndarray,
    voxel_mm,
    side: np.ndarray | None = None,
    stroke: np.ndarray | None = None,
    faint: np.ndarray | None = None,
    has_t1w: bool = True,
    whole_shape: tuple[int, ...] | None = None,
    box: tuple[slice, ...] | None = None,
) -> dict:
    """Describe a WMH mask for quality control.

    Parameters
    ----------
    found : ndarray of bool, shape (I, J, K)
        WMH.
    excess : Excess
        Of `excess_over_normal`, on the same grid.
    gm_edge : ndarray of float
        Probability of grey matter.
    mask : ndarray of bool
        Brain.
    voxel_mm : sequence of 3 float
        Voxel size, mm.
    side : ndarray, optional
        Negative left, positive right.
    stroke : ndarray of bool, optional
        Hyperintensities left out as gliosis of an infarct.
    faint : ndarray of bool, optional
        Brighter than normal but without a bright part.
    has_t1w : bool
        Whether tissue is known from a T1w.
    whole_shape, box : optional
        Shape of the image of which the arrays are a part, and where they lie in it.

    Returns
    -------
    dict
        ``noise_ratio`` (Q2, lower is better), ``cortex_fraction`` (Q13: share of the mask within
        2 mm of the cortex or of the edge of the brain, lower is better), ``mean_z`` (higher is
        better), ``asymmetry`` (larger side / smaller side, at least 1), ``touches_border`` (the
        mask reaches the edge of the image), ``faint_ml`` and ``flags``. What cannot be computed
        is None.

    """
    volume = float(found.sum() * np.prod(voxel_mm) / 1000)
    noise_ratio = excess.normal.spread / excess.normal.white
    qc = {
        'noise_ratio': noise_ratio,
        'cortex_fraction': None,
        'mean_z': None,
        'asymmetry': None,
        'touches_border': False,
        'faint_ml': 0.0,
    }
    flags = []
    if noise_ratio > WIDE_PEAK:
        flags.append('wide_intensity_peak')
    if excess.normal.bounded > BOUNDED:
        flags.append('uneven_image')
    if stroke is not None and stroke.any():
        flags.append('infarct_excluded')
    if faint is not None:
        qc['faint_ml'] = float(faint.sum() * np.prod(voxel_mm) / 1000)
        much = MUCH_FAINT_ML if has_t1w else MUCH_FAINT_UNSURE_ML
        if qc['faint_ml'] > max(much, MUCH_FAINT * volume):
            flags.append('faint_parts_left_out')
    if found.any():
        outer = _outer_grey(gm_edge, mask, voxel_mm)
        near = dilate(outer, voxel_mm, 2.0)
        qc['cortex_fraction'] = float(near[found].mean())
        qc['mean_z'] = float(excess.z[found].mean())
        qc['touches_border'] = _touches(found, whole_shape, box)
        if side is not None:
            left, right = ((found & (np.sign(side) == s)).sum() for s in (-1, 1))
            qc['asymmetry'] = float(max(left, right) / max(1, min(left, right)))
        flags += [
            name
            for name, odd in (
                ('volume_large', volume > LARGE_ML),
                ('mostly_at_cortex', volume > LEAST_ML and qc['cortex_fraction'] > NEAR_CORTEX),
                ('faint', volume > LEAST_ML and qc['mean_z'] < LEAST_MEAN_Z),
                ('one_sided', volume > LEAST_ML and (qc['asymmetry'] or 1) > ASYMMETRY),
                ('touches_image_border', qc['touches_border']),
            )
            if odd
        ]
    return {**qc, 'flags': flags}


def _outer_grey(grey, mask, voxel_mm):
    """Return grey matter near the surface of the brain, and the surface itself."""
    depth = ndi.distance_transform_edt(np.pad(mask, 1), voxel_mm)[1:-1, 1:-1, 1:-1]
    return mask & (((grey > 0.5) & (depth <= 20)) | (depth <= 1.01 * np.min(voxel_mm)))


def _touches(found, whole_shape, box):
    whole_shape = whole_shape or found.shape
    box = box or tuple(slice(0, size) for size in found.shape)
    for axis, (part, size) in enumerate(zip(box, whole_shape, strict=True)):
        for edge, at_edge in ((0, part.start in (0, None)), (-1, part.stop in (size, None))):
            if at_edge and np.take(found, edge, axis).any():
                return True
    return False
