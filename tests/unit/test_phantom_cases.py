"""The named cases hold what they promise, and the application's science meets them."""

from __future__ import annotations

import math

import nibabel as nib
import numpy as np
import pytest

from csvdprep.phantom import cases
from csvdprep.phantom.geometry.spheres import make_grid, positions
from csvdprep.science.overlap import evaluate


@pytest.mark.parametrize('name', list(cases.p4_overlaps()))
def test_p4_the_evaluator_gives_what_was_counted_by_hand(name):
    reference, prediction, expected = cases.p4_overlaps()[name]
    found = evaluate(reference, prediction, (1, 1, 1))
    for measure, value in expected.items():
        got = getattr(found, measure)
        if value is None:
            assert math.isnan(got) or math.isinf(got), measure
        else:
            assert got == pytest.approx(value), measure


@pytest.mark.parametrize('phantom', cases.P2)
def test_p2_the_shells_have_the_volumes_of_the_formula(phantom):
    shape, affine = make_grid((1, 1, 1), 2 * phantom.cortex_mm + 8)
    d_v, d_j = phantom.distances(positions(shape, affine))
    white = (d_v > 0) & (d_j > 0)
    zones = {
        1: white & (d_v <= 3),
        2: white & (d_v > 3) & (d_v <= 13),
        4: white & (d_v > 13) & (d_j <= 4),
        3: white & (d_v > 13) & (d_j > 4),
    }
    for label, volume in phantom.zone_volumes().items():
        assert zones[label].sum() / 1000 == pytest.approx(volume, rel=0.035)


@pytest.mark.parametrize(('volume', 'thick'), [(0.5, False), (5, True), (60, False)])
def test_p1_the_mask_holds_the_load(volume, thick):
    case = cases.p1_head(volume, thick=thick, spacing=2.5)
    assert case.truth['wmh_ml'] == pytest.approx(volume, rel=1e-3)
    mask = case.masks['WMH']
    assert mask.shape == case.images['FLAIR'].shape
    assert np.allclose(mask.affine, case.images['FLAIR'].affine)
    if volume > 2 and not thick:
        seen = np.asanyarray(mask.dataobj).sum() * np.prod(mask.header.get_zooms()) / 1000
        assert seen == pytest.approx(volume, rel=0.25)


def test_p3_grades():
    case = cases.p3_grades(2, 3, spacing=2.5)
    assert case.truth == {'fazekas_pv': 2, 'fazekas_deep': 3}


def test_p5_each_lesion_lies_in_its_mask():
    case = cases.p5_mix(lacunes=4, spaces=10, spacing=1.0)
    for kind, rows in (('lacune', case.truth['lacunes']), ('PVS', case.truth['spaces'])):
        share = np.asanyarray(case.images['share'].dataobj)
        index = nib.affines.apply_affine(
            np.linalg.inv(case.images['share'].affine), np.array(rows)[:, :3]
        )
        at = np.rint(index).astype(int)
        assert (share[tuple(at.T)] > (0.9 if kind == 'lacune' else 0.03)).all()


def test_p9_rings_of_the_image_are_those_of_the_formula():
    case = cases.p9_penumbra(spacing=0.7)
    md = np.asarray(case.images['md'].dataobj)
    distance = case.truth['distance_mm']
    outside = np.asarray(case.masks['WMH'].dataobj) == 0
    for inner, mean in enumerate(case.truth['rings']):
        ring = outside & (distance > inner) & (distance <= inner + 1)
        assert md[ring].mean() == pytest.approx(mean, abs=0.004)


def test_p14_change_is_what_was_asked_for():
    case = cases.p14_pair(spacing=3)
    assert case.truth['pbvc'] == pytest.approx(-0.5, abs=0.03)
    net = case.truth['wmh_ml_2'] - case.truth['wmh_ml_1']
    assert net == pytest.approx(1, abs=0.01)
    turn = case.images['T1w_2'].affine[:3, :3] @ np.linalg.inv(case.images['T1w_1'].affine[:3, :3])
    assert np.allclose(turn, np.eye(3), atol=1e-6)  # the head turned, not the grid


def test_p15_least_squares_finds_the_parameters():
    table = cases.p15_sites(persons=20_000)
    design = np.column_stack([np.eye(4)[table['site']], table['x']])
    fitted, *_ = np.linalg.lstsq(design, table['y'], rcond=None)
    gamma = (fitted[:4] - fitted[:4][table['site']].mean(axis=0)) / table['sigma']
    assert np.abs(gamma - table['gamma']).max() < 0.08
    assert np.abs(fitted[4:] - table['beta']).max() < 0.1 * table['sigma'].max()
    left = table['y'] - design @ fitted
    for site in range(4):
        spread = left[table['site'] == site].std(axis=0) / table['sigma']
        assert spread == pytest.approx(table['delta'][site], rel=0.05)


def test_p16_the_turned_head_is_the_same_head():
    case = cases.p16_poses(spacing=2.5)
    straight, turned = case.images['T1w_straight'], case.images['T1w_turned']
    points = np.array([[0, -20, 10], [30, 10, 20], [-25, -40, 15]], float)
    there = nib.affines.apply_affine(case.truth['pose'], points)
    values = []
    for image, where in ((straight, points), (turned, there)):
        index = nib.affines.apply_affine(np.linalg.inv(image.affine), where)
        values.append(
            [float(np.asarray(image.dataobj)[tuple(np.rint(i).astype(int))]) for i in index]
        )
    assert values[0] == pytest.approx(values[1], rel=0.15)
    volumes = [
        int(np.asanyarray(case.masks[f'WMH_{name}'].dataobj).sum())
        for name in ('straight', 'turned')
    ]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.1)
    cosine = (np.trace(case.truth['pose'][:3, :3]) - 1) / 2
    assert np.degrees(np.arccos(cosine)) > 11
