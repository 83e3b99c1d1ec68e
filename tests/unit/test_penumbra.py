"""Rings around hyperintensities: the phantom P9, and what may not come out as a number."""

from __future__ import annotations

import numpy as np
import pytest

from csvdprep.markers.penumbra.science import (
    broad_rings,
    lesion_distances,
    ring_profile,
    split_lesions,
    surroundings,
)
from csvdprep.markers.penumbra.science.summary import adjusted_slope, summarise
from csvdprep.phantom.cases import p9_penumbra
from csvdprep.phantom.diffusion.tensors import penumbra_case
from csvdprep.phantom.geometry.spheres import make_grid, positions

RADIUS = 10.0
RINGS = np.array(p9_penumbra(spacing=4).truth['rings'])


def true_slope():
    return np.polyfit(np.arange(1, 8) + 0.5, RINGS[1:8], 1)[0]


def true_width():
    """Where the analytic rings first reach the mean from 15 to 20 mm."""
    middle = np.arange(20) + 0.5
    shell = (RADIUS + middle) ** 2
    remote = np.average(RINGS[15:], weights=shell[15:])
    return float(np.flatnonzero(remote >= RINGS)[0])


def p9(map_mm, mask_mm=1.0, tilt=(0, 0, 0), noise=0.0):
    """Lesion on its own grid, map of diffusivity on another: profile of P9."""
    case = p9_penumbra(spacing=mask_mm, radius_mm=RADIUS)
    lesion = np.asarray(case.masks['WMH'].dataobj) > 0
    shape, affine = make_grid((map_mm,) * 3, 2 * (RADIUS + 24), tilt_deg=tilt, centre=(0.3, 0, 0))
    radius = np.linalg.norm(positions(shape, affine), axis=-1)
    md = 1e3 * penumbra_case(np.maximum(radius - RADIUS, 0))
    md += np.random.default_rng(5).normal(0, noise, md.shape)
    where = surroundings(radius <= RADIUS + 22, 0 * md, 0 * md, [radius <= RADIUS])
    away = lesion_distances({'pv': lesion}, case.masks['WMH'].affine, where, affine)['pv']
    return md, away


@pytest.mark.parametrize(
    'grid',
    [
        {'map_mm': 1.0},
        {'map_mm': 2.0},
        {'map_mm': 1.7, 'tilt': (20, 10, 5)},
        {'map_mm': 2.0, 'mask_mm': 0.8},
    ],
)
def test_p9(grid):
    md, away = p9(**grid)
    profile = ring_profile(md, away)
    assert np.abs(np.array(profile.median[1:]) - RINGS[1:]).max() < 0.012
    found = summarise(md, away)
    assert found.slope == pytest.approx(true_slope(), rel=0.1)
    assert found.width_mm == pytest.approx(true_width(), rel=0.1)
    assert found.decay_mm == pytest.approx(4, rel=0.1)
    assert found.delta == pytest.approx(RINGS[1] - RINGS[15:].mean(), rel=0.1)
    assert found.reasons == {}


def test_p9_with_noise_and_on_other_scales():
    md, away = p9(2.0, noise=0.06)
    found = summarise(md, away)
    assert found.slope == pytest.approx(true_slope(), rel=0.1)
    assert found.decay_mm == pytest.approx(4, rel=0.2)
    # Anisotropy grows with the distance instead, in other units: the same widths.
    mirrored = summarise(0.5 - 0.3 * md, away)
    assert mirrored.slope == pytest.approx(-0.3 * found.slope)
    assert mirrored.width_mm == found.width_mm
    assert mirrored.decay_mm == pytest.approx(found.decay_mm, rel=1e-3)


def test_width_and_height_of_a_penumbra_that_ends():
    away = np.repeat(np.arange(20) + 0.5, 200)
    rng = np.random.default_rng(1)
    values = np.clip(1 + 0.1 * (9 - away), 1, None) + rng.normal(0, 0.005, away.size)
    found = summarise(values, away)
    # One standard error: by chance a level ring may be missed, one in six.
    assert found.width_mm in (9, 10)
    assert found.delta == pytest.approx(0.75, abs=0.01)
    assert found.plateau == pytest.approx(1, abs=0.002)
    assert found.slope == pytest.approx(-0.1, abs=0.002)
    # The lesion's own edge does not count.
    values[away < 1] = 50
    assert summarise(values, away).slope == found.slope
    assert summarise(values, away).width_mm == found.width_mm


def test_none_where_there_is_no_plateau():
    away = np.repeat(np.arange(20) + 0.5, 200)
    falling = summarise(3 - 0.1 * away, away)
    assert falling.slope == pytest.approx(-0.1)
    assert falling.width_mm is None
    assert falling.decay_mm is None
    assert 'does not level off' in falling.reasons['width_mm']
    near = away < 14
    close = summarise(3 - 0.1 * away[near], away[near])
    assert close.delta is None
    assert close.plateau is None
    assert set(close.reasons) == {'plateau', 'delta', 'width_mm', 'decay_mm'}
    gap = (away < 5) | (away > 6)
    values = 1 + np.exp(-away / 4) + np.random.default_rng(0).normal(0, 1e-3, away.size)
    missing = summarise(values[gap], away[gap])
    assert missing.width_mm is None
    assert 'from 5 to 6 mm' in missing.reasons['width_mm']
    assert missing.decay_mm == pytest.approx(4, rel=0.05)


def test_white_matter_without_a_penumbra():
    rng = np.random.default_rng(2)
    away = np.repeat(np.arange(20) + 0.5, 400)
    lengths = [summarise(rng.normal(1, 0.1, away.size), away).decay_mm for _ in range(20)]
    # By chance a few; five in a hundred on either side, and what no plateau rules out.
    assert sum(length is not None for length in lengths) <= 5
    flat = summarise(np.ones(away.size), away)
    assert flat.slope == pytest.approx(0, abs=1e-12)
    assert flat.delta == 0
    assert flat.width_mm == 1
    assert flat.decay_mm is None


def test_no_length_where_rings_only_scatter():
    rng = np.random.default_rng(4)
    away = np.repeat(np.arange(20) + 0.5, 60)
    found = []
    for _ in range(30):
        rings = np.where(np.arange(20) < 15, rng.normal(1, 0.1, 20), 1.0)
        found.append(summarise(np.repeat(rings, 60), away))
    assert sum(one.decay_mm is not None for one in found) <= 5
    assert any('does not differ' in one.reasons.get('decay_mm', '') for one in found)


def test_nothing_to_measure():
    empty = summarise(np.zeros(0), np.zeros(0))
    assert set(empty.reasons) == {'slope', 'plateau', 'delta', 'width_mm', 'decay_mm'}
    assert empty.slope is None
    profile = ring_profile(np.full(500, np.nan), np.full(500, 3.5))
    assert profile.voxels == (0,) * 20
    assert profile.median == (None,) * 20


def test_fifty_voxels_make_a_ring():
    values, away = np.arange(99.0), np.repeat([2.5, 3.0], [50, 49])
    profile = ring_profile(values, away)
    assert profile.voxels[2:4] == (50, 49)
    assert profile.median[2:4] == (24.5, None)
    assert profile.distance_mm[2] == 2.5
    assert profile.se[2] == pytest.approx(values[:50].std(ddof=1) / 50**0.5)
    assert broad_rings(values, away) == {'0-2': None, '2-4': 49.0, '4-': None}


def test_each_kind_keeps_its_own_surroundings():
    shape = (60, 21, 21)
    lesion = np.zeros(shape, bool)
    lesion[5:10], lesion[40:44] = True, True
    d_v = np.broadcast_to(np.arange(60)[:, None, None] * 1.0, shape)
    kinds = split_lesions(lesion, d_v)
    assert kinds['pv'].sum() == 5 * 441
    assert kinds['deep'].sum() == 4 * 441
    away = lesion_distances(kinds, np.eye(4), ~lesion, np.eye(4))
    line = {kind: part[:, 10, 10] for kind, part in away.items()}
    # Half way between 9 and 40 the kinds meet; nothing belongs to both, nothing to none.
    assert np.isfinite(line['pv'][10:25]).all()
    assert np.isnan(line['pv'][25:]).all()
    assert np.isfinite(line['deep'][25:40]).all()
    assert line['pv'][12] == pytest.approx(2.75)
    assert line['deep'][37] == pytest.approx(2.75)
    assert (np.isfinite(away['pv']) ^ np.isfinite(away['deep']))[~lesion].all()
    none = lesion_distances(
        {'pv': kinds['pv'], 'deep': lesion & False}, np.eye(4), ~lesion, np.eye(4)
    )
    assert np.isnan(none['deep']).all()
    assert np.isfinite(none['pv'][~lesion]).all()


def test_surroundings_hold_white_matter_only():
    brain, gm, csf = np.ones(6, bool), np.zeros(6), np.zeros(6)
    brain[0], gm[1], csf[2] = False, 0.21, 0.06
    lesions = [np.eye(6, dtype=bool)[3], np.eye(6)[4]]
    assert surroundings(brain, gm, csf, lesions).tolist() == [False] * 5 + [True]


def test_slope_apart_from_the_ventricles():
    rng = np.random.default_rng(3)
    away = rng.uniform(0, 20, 4000)
    ventricles = 3 + away + rng.normal(0, 2, 4000)
    values = 0.8 - 0.01 * ventricles + rng.normal(0, 0.01, 4000)
    plain, _ = adjusted_slope(values, away, [])
    apart, why = adjusted_slope(values, away, [ventricles, rng.uniform(0, 1, 4000)])
    assert plain == pytest.approx(-0.01, rel=0.1)
    assert abs(apart) < 0.001
    assert why == ''
    assert adjusted_slope(values, away, [2 * away])[0] is None
    assert adjusted_slope(values, away, [0 * away])[0] is None
    assert adjusted_slope(values[:100], away[:100], [ventricles[:100]])[0] is None
