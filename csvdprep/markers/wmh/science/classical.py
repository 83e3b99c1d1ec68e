"""White matter hyperintensities without trained weights: a scan is its own reference.

After the idea of the lesion growth algorithm (Schmidt et al. 2012,
doi:10.1016/j.neuroimage.2011.11.032): what the FLAIR shows is compared with what the tissue of
each voxel would show, and lesions are cut by hysteresis. Thresholds are contrasts, shares of the
level of normal white matter, so that a quiet scanner does not find more than a noisy one. Nothing
is trained; the few thresholds were chosen on phantoms and on scans without a reference
(docs/wmh.md).
"""

from __future__ import annotations

import numpy as np

from csvdprep.markers.wmh.science.cut import Cut, Head, WmhOptions
from csvdprep.markers.wmh.science.model import Excess
from csvdprep.markers.wmh.science.parts import filled_share
from csvdprep.markers.wmh.science.region import septum, surely_white, white_region
from csvdprep.markers.wmh.science.threshold import grow_from_seeds, lesion_height
from csvdprep.science.morphology import erode

#: Depth of the white matter of the atlas from which a bright voxel is no choroid plexus.
WALL_DEPTH = 0.5
#: How far into what was taken for ventricle a lesion of its wall may grow, mm.
OVER_WALL_MM = 2.5
#: Seeds and borders need no more than this contrast, however noisy the image.
SEED_MOST, BORDER_MOST = 0.30, 0.20
#: Contrast above that of grey matter that a seed needs in the depth of white matter, with a T1w
#: and without, where the depth may be cortex.
ABOVE_DEEP, ABOVE_DEEP_UNSURE = 0.0, 0.05


def classical_cut(head: Head, excess: Excess, options: WmhOptions) -> Cut:
    """Cut lesions by contrast.

    Parameters
    ----------
    head : Head
        The head.
    excess : Excess
        Its FLAIR, above normal.
    options : WmhOptions
        Thresholds.

    Returns
    -------
    Cut
    """
    voxel_mm = head.voxel_mm
    region, seeds, depth = _where(head, excess)
    seed, border = _thresholds(excess, head.has_t1w, options)
    grey_height = excess.normal.grey / excess.normal.white - 1
    deepest = ABOVE_DEEP if head.has_t1w else ABOVE_DEEP_UNSURE
    above = deepest + (options.above_grey - deepest) * (1 - depth)
    caution = np.where(seeds, np.maximum(0, grey_height + above - seed), np.inf)
    caution = caution.astype(np.float32)
    height = lesion_height(excess.contrast, region, seed + caution, border, voxel_mm)

    def cut(contrast, least_seed, least_border):
        return grow_from_seeds(
            contrast,
            region,
            least_seed + caution,
            least_border,
            voxel_mm,
            least_mm3=head.least_mm3,
            height=height,
            peak_share=options.peak_share,
        )

    found = cut(excess.contrast, seed, border)
    mean, runs = _jitter(excess, cut, seed, border, options)
    return Cut(
        mask=found,
        probability=mean,
        deep=region & (depth >= 1),
        share=filled_share(excess.contrast, height, found, region),
        runs=tuple(runs),
    )


def _where(head: Head, excess: Excess) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where lesions may be, where they may begin, and the depth of white matter."""
    voxel_mm, atlas, vents = head.voxel_mm, head.atlas, head.ventricles
    region, depth = white_region(head.wm, excess.white, head.brain, voxel_mm, atlas)
    region &= excess.tissue & head.counted
    seeds = region
    if vents is not None:
        # Lesions at the wall that are as dark as CSF on T1w are taken for ventricle. They start
        # where the atlas has white matter, and grow a little over the wall as it was found;
        # choroid plexus does neither.
        region &= ~septum(vents, voxel_mm)
        seeds = region & ((vents == 0) | (depth >= WALL_DEPTH))
        region = seeds | (region & ~erode(vents > 0, voxel_mm, OVER_WALL_MM))
    if atlas is not None and not head.has_t1w:
        sure = surely_white(atlas, voxel_mm)
        seeds, region = seeds & sure, region & sure
    return region, seeds, depth


def _thresholds(excess: Excess, has_t1w: bool, options: WmhOptions):
    """Return the least contrast of seeds and of borders."""
    seed = options.seed_contrast if has_t1w else options.seed_contrast_flair_only
    border = options.border_contrast
    # What noise and texture ask for is not followed to where lesions themselves are lost.
    return (
        max(seed, min(options.seed_noise * excess.noise, SEED_MOST)),
        max(border, min(options.border_noise * excess.noise, BORDER_MOST)),
    )


def _jitter(excess: Excess, cut, seed, border, options: WmhOptions):
    """Repeat the segmentation with other thresholds, level and tissue; give map and voxels."""
    rng = np.random.default_rng(options.random_seed)
    total = np.zeros(excess.contrast.shape, np.float32)
    runs = []
    for _ in range(options.runs):
        d_seed, d_border, d_level = rng.uniform(-1, 1, 3) * (0.04, 0.03, 0.02)
        certainty = rng.uniform(-0.5, 0.5)
        z = excess.contrast + excess.tissue * np.float32(d_level)
        z += np.float32(certainty) * excess.shift
        found = cut(z, seed + d_seed, border + d_border)
        runs.append(np.flatnonzero(found))
        reach = np.clip((z - border) / 0.04 + 0.5, -8, 8, where=found, out=np.zeros_like(z))
        total += np.where(found, 1 / (1 + np.exp(-reach)), 0).astype(np.float32)
    return total / max(1, options.runs), runs
