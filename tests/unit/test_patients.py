"""Hyperintensities of patients' heads on which the first engine failed, in small."""

from functools import cache

import numpy as np
import pytest

from csvdprep.imaging.atlas import DEEP_GREY, INFRATENTORIAL, labels_of
from csvdprep.markers.wmh.science import WmhOptions, segment_wmh
from csvdprep.phantom.head.anatomy import make_anatomy
from csvdprep.phantom.patients.atlas import warped
from csvdprep.phantom.patients.heads import brain_only
from csvdprep.phantom.patients.lesions import grown, hills, no_lesions
from csvdprep.phantom.patients.look import Look, flair
from csvdprep.phantom.patients.scanner import Slices, record

STEP = 2.5
LOOK = Look(gm=1.15, lesion=0.5, cortex=0.12)


@cache
def brain(walls=6.0):
    return brain_only(make_anatomy(3, spacing=STEP, ventricles_mm=walls, reach_mm=10.0))


def scan(
    lesions,
    *,
    noise=0.03,
    slices=None,
    t1w=True,
    look=LOOK,
    walls=6.0,
    seed=1,
    by_place=False,
    healthy=True,
):
    """Scan a head, and segment it with its true tissue and an atlas that lies 2 mm beside.

    ``by_place``: grey and white matter are those of the atlas, as in a FLAIR without a T1w.
    """
    head, slices, rng = brain(walls), slices or Slices(), np.random.default_rng(seed)
    image = record(flair(head, lesions, look, rng), slices, STEP, rng, noise=noise, bias=0.03)
    atlas = warped(head, rng, error_mm=2.0)
    shares = np.stack([slices.see(head.fractions[name]) for name in ('csf', 'gm', 'wm')])
    if by_place:
        tissue, place = shares[1] + shares[2], slices.see(atlas.tissue)
        grey = place[1] / np.maximum(place[1] + place[2], 1e-3)
        shares = np.stack([shares[0], tissue * grey, tissue * (1 - grey)])
    structures = (
        slices.see(atlas.structures)
        if slices.thick == 1
        else atlas.structures[..., np.arange(image.shape[2]) * slices.thick + slices.thick // 2]
    )
    deep, low = (
        np.isin(structures, labels_of('structures', *names))
        for names in (DEEP_GREY, INFRATENTORIAL)
    )
    found = segment_wmh(
        image,
        shares.sum(0) > 0.5,
        *shares,
        slices.voxel_mm(STEP),
        atlas=slices.see(atlas.tissue),
        deep_grey=deep,
        healthy=slices.see(atlas.healthy) if healthy else None,
        infratentorial=low,
        has_t1w=t1w,
        ventricles=slices.see(head.regions['ventricles']) > 0.5,
        options=WmhOptions(runs=1),
    )
    truth = (slices.see(lesions.height) >= 0.5) & ~deep & ~low
    both = truth.sum() + (found.mask > 0).sum()
    dice = 2 * (truth & (found.mask > 0)).sum() / both if both else 1.0
    return found, truth.sum() * np.prod(slices.voxel_mm(STEP)) / 1000, dice


@pytest.mark.parametrize('slices', [Slices(), Slices(thick=3)])
def test_half_of_white_matter_may_be_lesion(slices):
    found, true_ml, dice = scan(grown(brain(), 3, 110), slices=slices, t1w=False)
    assert dice > 0.8
    assert found.volume_ml == pytest.approx(true_ml, rel=0.25)


def test_lesions_without_a_border_are_not_taken_for_shading():
    found, true_ml, dice = scan(
        hills(brain(), (12.0, 16.0)), noise=0.04, look=Look(gm=1.1, lesion=0.3)
    )
    assert 0.6 < found.volume_ml / true_ml < 1.7
    assert dice > 0.6


@pytest.mark.parametrize('t1w', [True, False])
def test_a_quiet_scanner_finds_nothing_where_nothing_is(t1w):
    found, _, _ = scan(no_lesions(brain()), noise=0.01, slices=Slices(thick=2), t1w=t1w)
    assert found.volume_ml < 0.3
    assert (found.subcortical > 0).sum() == 0


def test_noise_does_not_change_the_volume():
    volumes = [scan(grown(brain(), 4, 12), noise=noise)[0].volume_ml for noise in (0.015, 0.045)]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.1)


def test_lesions_at_large_ventricles_are_no_infarct():
    found, true_ml, _ = scan(grown(brain(45.0), 3, 30), walls=45.0)
    assert not found.stroke.any()
    assert found.volume_ml == pytest.approx(true_ml, rel=0.3)


def test_partial_volume_and_lining_are_told_apart_from_the_total():
    found, true_ml, _ = scan(grown(brain(), 3, 20), slices=Slices(thick=2))
    assert found.partial_ml == pytest.approx(true_ml, rel=0.3)
    assert 0 <= found.lining.sum() < (found.mask > 0).sum()
    assert not (found.lining & (found.mask == 0)).any()


def test_grey_matter_mixed_with_fluid_is_no_reason_for_shading():
    lesions = grown(brain(20.0), 3, 60)
    found, true_ml, dice = scan(
        lesions,
        slices=Slices(thick=3),
        look=Look(gm=0.97, lesion=0.5),
        walls=20.0,
        t1w=False,
        by_place=True,
    )
    assert 'uneven_image' not in found.flags
    assert dice > 0.75
    assert found.volume_ml == pytest.approx(true_ml, rel=0.3)


def test_white_matter_that_is_bright_in_everybody_is_no_lesion():
    look = Look(gm=1.15, white=2.0)
    without, with_map = (
        scan(no_lesions(brain()), noise=0.01, slices=Slices(thick=2), look=look, healthy=known)[0]
        for known in (False, True)
    )
    assert without.volume_ml > 2
    assert with_map.volume_ml < 0.3


def test_faint_lesions_that_are_left_out_are_told():
    found, true_ml, _ = scan(
        hills(brain(), (12.0, 16.0)), noise=0.02, look=Look(gm=1.15, lesion=0.17)
    )
    assert found.volume_ml < true_ml / 2
    assert 'faint_parts_left_out' in found.flags
    clean, _, _ = scan(no_lesions(brain()), noise=0.02)
    assert 'faint_parts_left_out' not in clean.flags
