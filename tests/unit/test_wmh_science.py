"""WMH engine on a phantom of the template's tissues, with lesions of known place and volume."""

from __future__ import annotations

from functools import cache

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage as ndi

from csvdprep.core.errors import MeasureError
from csvdprep.markers.wmh.interfaces import _interval
from csvdprep.markers.wmh.science import WmhOptions, segment_wmh
from csvdprep.markers.wmh.science.interval import calibrated_interval
from csvdprep.markers.wmh.science.level import find_normal
from csvdprep.markers.wmh.science.model import lesion_proof_tissue
from csvdprep.markers.wmh.science.region import apex, septum, stroke_lesions
from csvdprep.markers.wmh.science.threshold import grow_from_seeds, lesion_height
from csvdprep.resources import template_file
from csvdprep.science.normalise import histogram_peak, normalise_flair, robust_centre

CUBIC, THICK = (1.0, 1.0, 1.0), (0.9, 0.9, 5.0)
FEW = WmhOptions(runs=2)


@cache
def tissues():
    """CSF, GM and WM of the template above the tentorium, 1 mm."""
    maps = np.stack(
        [
            nib.load(template_file('probseg', label=name, desc=None)).get_fdata(dtype=np.float32)
            for name in ('CSF', 'GM', 'WM')
        ]
    )
    maps = maps / max(1.0, maps.max())
    inside = maps.sum(0) > 0.5
    box = ndi.find_objects(inside.astype(int))[0]
    maps = maps[:, *box][:, :, :, 60:130]
    maps[:, maps.sum(0) < 0.5] = 0
    return maps / np.maximum(maps.sum(0), 1e-6)


@cache
def lesions(volume_ml: float, seed: int):
    """Fraction of lesion per 1 mm voxel: the peaks of a smooth field in white matter."""
    if not volume_ml:
        return np.zeros(tissues().shape[1:], np.float32)
    rng = np.random.default_rng(seed)
    white = ndi.gaussian_filter(tissues()[2], 2)
    field = ndi.gaussian_filter(rng.normal(size=white.shape).astype(np.float32), 3.5)
    field = field / field.std() + 4 * white
    level = np.sort(field[white > 0.6])[-int(volume_ml * 1000)]
    return ndi.gaussian_filter(((field >= level) & (white > 0.6)).astype(np.float32), 0.5)


def resample(image, voxel_mm):
    """Average over thick slices, interpolate within."""
    if voxel_mm == CUBIC:
        return image
    thick = int(voxel_mm[2])
    image = image[:, :, : image.shape[2] // thick * thick]
    image = image.reshape(*image.shape[:2], -1, thick).mean(3)
    return ndi.zoom(image, (1 / voxel_mm[0], 1 / voxel_mm[1], 1), order=1)


@cache
def scan(volume_ml: float, voxel_mm=CUBIC, seed: int = 0, noise: float = 0.04, bias: float = 0.04):
    """FLAIR, tissue probabilities and truth; contrast of a 1.5 to 3 T FLAIR."""
    rng = np.random.default_rng(100 + seed)
    part = lesions(volume_ml, seed)
    csf, gm, wm = tissues()
    image = (0.25 * csf + 1.18 * gm + wm) * (1 - part) + 1.5 * part
    drift = ndi.zoom(rng.uniform(-1, 1, (4, 4, 3)), np.array(image.shape) / (4, 4, 3), order=3)
    image = ndi.gaussian_filter(image * (1 + bias * drift), 0.4)
    image = resample(image, voxel_mm)
    maps = np.stack([np.clip(resample(m, voxel_mm), 0, 1) for m in (csf, gm, wm)])
    truth = resample(part, voxel_mm) >= 0.5
    image = 300 * (image + noise * rng.normal(size=image.shape))
    return image.astype(np.float32), maps.sum(0) > 0.5, maps.astype(np.float32), truth


def dice(a, b):
    return 2 * (a & b).sum() / max(1, a.sum() + b.sum())


def run(volume_ml, voxel_mm=CUBIC, *, atlas=True, options=FEW, **more):
    flair, mask, maps, truth = scan(volume_ml, voxel_mm)
    found = segment_wmh(
        flair, mask, *maps, voxel_mm, atlas=maps if atlas else None, options=options, **more
    )
    return found, truth


@pytest.mark.parametrize('voxel_mm', [CUBIC, THICK])
def test_overlap_and_volume_follow_the_truth(voxel_mm):
    true_ml, found_ml = [], []
    for volume in (5.0, 40.0):
        found, truth = run(volume, voxel_mm)
        assert dice(found.mask > 0, truth) >= 0.80, volume
        assert found.interval_ml[0] <= found.volume_ml <= found.interval_ml[1]
        true_ml.append(volume)
        found_ml.append(found.volume_ml)
    slope = np.diff(found_ml)[0] / np.diff(true_ml)[0]
    assert 0.9 <= slope <= 1.1


@pytest.mark.parametrize('voxel_mm', [CUBIC, THICK])
def test_no_lesion_is_a_normal_result(voxel_mm):
    found, _ = run(0.0, voxel_mm)
    assert found.volume_ml < 0.1
    assert found.cv >= 0
    assert found.qc['asymmetry'] is None


def test_lesions_labelled_grey_matter_are_found():
    flair, mask, maps, truth = scan(20.0, THICK)
    labelled = maps.copy()
    labelled[2][truth] = 0
    labelled[1][truth] = 1
    found = segment_wmh(flair, mask, *labelled, THICK, atlas=maps, options=FEW)
    assert dice(found.mask > 0, truth) >= 0.75


def test_scale_of_the_image_does_not_matter():
    flair, mask, maps, _ = scan(5.0, THICK)
    one, other = (
        segment_wmh(k * flair, mask, *maps, THICK, atlas=maps, options=FEW) for k in (1, 0.01)
    )
    assert dice(one.mask > 0, other.mask > 0) > 0.999


def test_same_input_gives_the_same_bytes():
    first, second = (run(5.0, THICK)[0] for _ in range(2))
    assert first.probability.tobytes() == second.probability.tobytes()
    assert first.interval_ml == second.interval_ml


def test_flair_only_is_more_cautious():
    with_t1w, without = (run(5.0, THICK, has_t1w=flag)[0] for flag in (True, False))
    assert 0 < without.volume_ml <= with_t1w.volume_ml
    assert WmhOptions().seed_contrast_flair_only > WmhOptions().seed_contrast


def test_excluded_voxels_and_structures_stay_out():
    _, _, _, truth = scan(20.0, THICK)
    deep = np.zeros(truth.shape, bool)
    deep[: truth.shape[0] // 2] = True
    found, _ = run(20.0, THICK, deep_grey=deep)
    assert not found.mask[deep].any()
    assert found.mask[~deep].any()
    everywhere = np.ones(truth.shape, np.uint8)
    assert run(20.0, THICK, exclude=everywhere)[0].volume_ml == 0


def test_one_sided_lesions_are_flagged():
    _, _, _, truth = scan(20.0, THICK)
    side = np.ones(truth.shape)
    found, _ = run(20.0, THICK, side=side)
    assert 'one_sided' in found.flags


def test_grids_must_agree():
    flair, mask, maps, _ = scan(5.0, THICK)
    with pytest.raises(MeasureError, match='grid'):
        segment_wmh(flair[1:], mask, *maps, THICK)
    with pytest.raises(MeasureError, match='empty'):
        segment_wmh(flair, np.zeros(mask.shape), *maps, THICK)


def test_works_without_pure_tissue_classes():
    flair, mask, _, _ = scan(5.0, THICK)
    z, stats = normalise_flair(flair, mask)
    assert stats.method == 'global'
    assert abs(np.median(z[mask])) < 1
    assert 0.02 < stats.noise_ratio < 0.3
    with pytest.raises(MeasureError, match='contrast'):
        histogram_peak(np.full(100, 3.0))


def test_class_z_ignores_lesions():
    flair, mask, maps, truth = scan(60.0, THICK)
    _, stats = normalise_flair(flair, mask, *maps, lesion=truth)
    assert stats.method == 'class'
    assert abs(stats.mu_wm - 300) < 15
    assert stats.mu_gm > stats.mu_wm > stats.mu_csf


def test_robust_centre_of_a_constant_has_a_spread():
    centre, spread = robust_centre(np.full(50, 7.0))
    assert centre == 7.0
    assert spread > 0


def test_a_bright_lesion_is_cut_half_way_up_not_at_its_halo():
    distance = np.abs(np.arange(41) - 20)
    z = np.clip(10 - 2 * np.maximum(distance - 3, 0), 0, 10)[:, None, None] * np.ones((41, 9, 9))
    plain = grow_from_seeds(z, z >= 0, 3.5, 1.75, CUBIC, least_mm3=5)
    height = lesion_height(z, z >= 0, 3.5, 1.75, CUBIC)
    cut = grow_from_seeds(z, z >= 0, 3.5, 1.75, CUBIC, least_mm3=5, height=height)
    assert plain[:, 4, 4].sum() == 15
    assert cut[:, 4, 4].sum() == 11


def test_septum_is_between_the_ventricles_only():
    sides = np.zeros((15, 11, 11), int)
    sides[3:7, 2:9, 2:9] = 1
    sides[8:12, 2:9, 2:9] = 2
    found = septum(sides, CUBIC)
    assert found[7, 5, 5]
    assert not found[7, 5, 10]
    assert not found[12:].any()
    assert not septum(np.where(sides == 1, 1, 0), CUBIC).any()


def test_grey_matter_is_believed_where_the_atlas_has_some():
    gm, atlas = np.ones((12, 12, 12)), np.zeros((12, 12, 12))
    atlas[:6] = 1
    atlas = np.stack([0 * atlas, atlas, 1 - atlas])
    none = np.zeros(gm.shape, bool)
    grey, white = lesion_proof_tissue(0 * gm, gm, none, ~none, CUBIC, atlas=atlas)
    assert grey[0].min() > 0.99
    assert white[-1].min() > 0.95


def test_gliosis_at_a_cavity_is_no_wmh():
    shape = (60, 60, 30)
    x, y, z = np.indices(shape)
    r = np.sqrt((x - 20) ** 2 + (y - 30) ** 2 + (z - 15) ** 2)
    dark, bright = r < 9, (r >= 9) & (r < 13)
    far = (x > 45) & (x < 50) & (y > 25) & (y < 35) & (z > 10) & (z < 20)
    grey = (x < 8).astype(float)
    found = stroke_lesions(bright | far, dark, np.ones(shape, bool), grey, CUBIC)
    assert found[bright].mean() > 0.9
    assert not found[far].any()
    assert not stroke_lesions(far, dark, np.ones(shape, bool), grey, CUBIC).any()


def test_a_lesion_grows_over_the_wall_but_does_not_start_in_the_ventricle():
    flair, mask, maps, _ = scan(0.0, CUBIC)
    # A ventricle that reaches 2 mm into white matter, as where a lesion is dark on T1w.
    white = ndi.binary_erosion(maps[2] > 0.9, iterations=4)
    x, y, z = np.argwhere(white)[len(np.argwhere(white)) // 2]
    ventricle = np.zeros(mask.shape, np.uint8)
    ventricle[x - 3 : x, y - 3 : y + 4, z - 3 : z + 4] = 1
    atlas = maps.copy()
    atlas[2][ventricle > 0], atlas[0][ventricle > 0] = 0, 1
    flair = flair.copy()
    flair[x - 2 : x + 3, y - 2 : y + 3, z - 2 : z + 3] += 150
    found = segment_wmh(flair, mask, *maps, CUBIC, atlas=atlas, ventricles=ventricle, options=FEW)
    assert found.mask[x + 1, y, z]
    assert found.mask[x - 1, y, z]
    inside = flair.copy()
    inside[x:] = scan(0.0, CUBIC)[0][x:]
    alone = segment_wmh(inside, mask, *maps, CUBIC, atlas=atlas, ventricles=ventricle, options=FEW)
    assert not alone.mask[x - 2 : x, y, z].any()


@pytest.mark.parametrize('share', [1.0, 0.8, 0.6])
def test_grey_matter_has_a_level_without_pure_voxels(share):
    rng = np.random.default_rng(0)
    grey = np.zeros((60, 60, 20))
    grey[:20] = share
    image = np.where(grey > 0, 125, 100) + rng.normal(0, 3, grey.shape)
    found = find_normal(image, grey >= 0, grey, 1 - grey, 0 * grey, (1, 1, 1))
    assert found.white == pytest.approx(100, rel=0.02)
    assert found.grey == pytest.approx(125, rel=0.02)


def test_interval_is_wider_where_the_volume_hangs_on_settings():
    narrow, wide = (calibrated_interval(10, bounds) for bounds in ((9.5, 10.5), (6, 16)))
    assert wide[0] < narrow[0] < 10 < narrow[1] < wide[1]
    assert calibrated_interval(0, (0, 0)) == (0, pytest.approx(1.4, abs=0.6))


def test_level_where_what_is_surely_white_is_mostly_lesion():
    rng = np.random.default_rng(0)
    white = np.zeros((60, 60, 20))
    white[20:26], white[26:] = 1.0, 0.75
    image = np.select([white == 1, white == 0.75], [140.0, 100.0], 105.0)
    image += rng.normal(0, 4, white.shape)
    found = find_normal(image, white >= 0, 1 - white, white, 0 * white, (1, 1, 1))
    assert found.white == pytest.approx(100, rel=0.03)


def test_other_options_have_no_calibrated_interval():
    flair, mask, maps, _ = scan(1.0)
    found = segment_wmh(flair, mask, *maps, CUBIC, atlas=maps, options=FEW)
    assert _interval(found, WmhOptions()) == found.interval_ml
    assert _interval(found, WmhOptions(seed_contrast=0.3)) == ()
    assert _interval(found, FEW) == ()


@pytest.mark.parametrize('upwards', [True, False])
def test_tips_of_gyri_at_the_top_are_no_lesions_but_a_scan_that_ends_lower_keeps_its_own(upwards):
    """Two spots: in white matter of a full slice, and in the tip that the last slice holds."""
    rng = np.random.default_rng(5)
    white = np.zeros((40, 50, 10), np.float32)
    white[4:36, 4:46, :8] = 1
    white[14:26, 20:32, 8:] = 1
    spot = np.zeros(white.shape, bool)
    spot[10:14, 12:16, 7] = spot[18:22, 24:28, 9] = True
    flair = 100 * white + rng.normal(0, 2, white.shape) + 50 * spot
    learned = np.where(spot, 0.9, 0.0).astype(np.float32), np.zeros(white.shape, np.float32)
    affine = np.diag([1.0, 1.0, 4.0 if upwards else -4.0, 1.0])
    order = slice(None, None, 1 if upwards else -1)

    def found(count, engine):
        white_, flair_, *maps = (a[..., :count][..., order] for a in (white, flair, *learned))
        nothing = np.zeros(white_.shape, np.float32)
        result = segment_wmh(
            flair_,
            white_ > 0,
            nothing,
            nothing,
            white_,
            (1, 1, 4),
            apex=apex(white_ > 0, affine),
            learned=tuple(maps),
            options=WmhOptions(runs=2, engine=engine),
        )
        return np.flatnonzero(result.mask[..., order].any((0, 1))).tolist()

    for engine in ('classical', 'network', 'both'):
        assert found(10, engine) == [7]
        assert found(8, engine) == [7]
