"""PSMD: analytic sheets are found, widths are recovered, and the shipped skeleton is one."""

from __future__ import annotations

from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage as ndi
from scipy.spatial.transform import Rotation

from csvdprep.core.errors import MeasureError
from csvdprep.markers.psmd import science as psmd
from csvdprep.markers.psmd.science.noise import fit_md, noise_inflation, simulate_md
from csvdprep.phantom.diffusion.gradients import shells
from csvdprep.phantom.diffusion.tensors import fit, scalars, skeleton_case
from csvdprep.resources import resource

UNITS = psmd.DIRECTIONS / np.linalg.norm(psmd.DIRECTIONS, axis=1, keepdims=True)
CASES = (2.2e-4, 3.5e-4)
SHAPE = (61, 61, 49)


def label_of(*step):
    return 1 + int(np.flatnonzero(np.equal(psmd.DIRECTIONS, step).all(axis=1))[0])


@pytest.fixture(scope='module')
def shipped():
    directions, mask = (nib.load(resource(n)) for n in ('skeleton_directions', 'psmd_skeleton'))
    assert np.array_equal(directions.affine, mask.affine)
    whole, counts = np.asarray(directions.dataobj), np.asarray(mask.dataobj) > 0
    return SimpleNamespace(
        whole=whole,
        counts=counts,
        affine=mask.affine,
        fa=nib.load(resource('fa_template')),
        skeleton=psmd.prepare_skeleton(whole, counts, mask.affine),
    )


def bowl(x, y):
    """Height of a curved sheet, mm."""
    return (x**2 / 50 + y**2 / 80) - 6


def normals(x, y):
    across = np.stack([-x / 25, -y / 40, np.ones(x.shape)], axis=-1)
    return across / np.linalg.norm(across, axis=-1, keepdims=True)


def grid_affine():
    affine = np.eye(4)
    affine[:3, 3] = (-30, -30, -24)
    return affine


def bowl_skeleton():
    """Return the voxels next to the bowl, with the direction that is closest to its normal."""
    affine = grid_affine()
    x, y, z = np.indices(SHAPE) + affine[:3, 3].reshape(3, 1, 1, 1)
    # Steeper than a diagonal, the sheet would have holes.
    near = (np.rint(bowl(x, y)) == z) & (np.abs(x) <= 20) & (np.abs(y) <= 20)
    labels = 1 + np.abs(normals(x, y) @ UNITS.T).argmax(axis=-1)
    return psmd.prepare_skeleton(np.where(near, labels, 0), near, affine)


def tract(points, moved):
    """FA and MD of a person whose sheet lies `moved` mm above; MD tells where it was read."""
    x, y, z = points
    off = (z - bowl(x, y) - moved) * normals(x, y)[..., 2]  # to first order the distance
    return 0.7 * np.exp(-0.5 * (off / 1.5) ** 2), 0.6e-3 + 2e-6 * (x + 30) + 1e-4 * np.abs(off)


def error_mm(found, points, moved):
    """Distance between the places that were found and the person's sheet, mm."""
    x, y, z = points[found.covered].T
    return np.abs(z - bowl(x, y) - moved) * normals(x, y)[..., 2]


@pytest.mark.parametrize('moved', [0.0, 2.0, -3.0, 5.0])
def test_a_displaced_curved_sheet_is_found(moved):
    skeleton = bowl_skeleton()
    points = np.indices(SHAPE) + grid_affine()[:3, 3].reshape(3, 1, 1, 1)
    fa, md = tract(points, moved)
    found = psmd.project(fa, md, skeleton)
    off = error_mm(found, found.places + grid_affine()[:3, 3], moved)
    # Steps are 1 to 1.7 mm long: half of one, and half a voxel of the skeleton.
    assert np.percentile(off, 95) < 1.0
    assert off.mean() < 0.4
    assert found.covered.all()
    assert np.array_equal(found.md, md[tuple(found.places.T)])


def test_a_sheet_out_of_reach_is_not_found():
    flat = np.zeros((9, 9, 60), np.uint8)
    flat[:, :, 20] = label_of(0, 0, 1)
    skeleton = psmd.prepare_skeleton(flat, flat > 0, np.eye(4))
    for moved in (10, 11):
        fa = np.full(flat.shape, 0.1)
        fa[:, :, 20 + moved] = 0.9
        found = psmd.project(fa, fa * 1e-3, skeleton)
        assert (found.places[:, 2] == (30 if moved == 10 else 20)).all()


@pytest.mark.parametrize('moved', [0.0, 3.0])
def test_native_images_are_read_as_they_are(moved):
    skeleton = bowl_skeleton()
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler('xyz', [12, -8, 17], degrees=True).as_matrix() * 2
    affine[:3, 3] = -affine[:3, :3] @ [24, 24, 20]
    shape = (48, 48, 40)
    points = np.einsum('ij,j...->i...', affine[:3, :3], np.indices(shape))
    fa, md = tract(points + affine[:3, 3].reshape(3, 1, 1, 1), moved)
    to_voxel = np.linalg.inv(affine)
    at = [skeleton.points(k) @ to_voxel[:3, :3].T + to_voxel[:3, 3] for k in (0, 1)]
    found = psmd.project_native(fa, md, *at, skeleton)
    inside = ((found.places > 2) & (found.places < np.array(shape) - 3)).all(axis=1)
    assert inside.mean() > 0.8
    off = error_mm(found, found.places @ affine[:3, :3].T + affine[:3, 3], moved)
    assert off[inside[found.covered]].mean() < 0.7  # voxels are 2 mm wide
    assert set(found.md[found.covered]) <= set(md.ravel())  # nothing interpolated


def test_native_and_template_agree_on_one_grid():
    skeleton = bowl_skeleton()
    fa, md = tract(np.indices(SHAPE) + grid_affine()[:3, 3].reshape(3, 1, 1, 1), 2.0)
    one = psmd.project(fa, md, skeleton)
    two = psmd.project_native(fa, md, skeleton.voxels, skeleton.voxels + skeleton.steps, skeleton)
    assert np.array_equal(one.places, two.places)
    assert np.allclose(skeleton.points(1) - skeleton.points(), skeleton.steps)
    for off in (0.4, -0.4):  # the nearest voxel
        near = skeleton.voxels + off
        two = psmd.project_native(fa, md, near, near + skeleton.steps, skeleton)
        assert np.array_equal(one.places, two.places)
    lost = skeleton.voxels.astype(float)
    lost[0] = np.nan
    found = psmd.project_native(fa, md, lost, lost + skeleton.steps, skeleton)
    assert not found.covered[0]
    assert found.md[0] == 0


def test_the_limit_is_in_millimetres_also_along_diagonals():
    for step, reach in (((0, 1, 0), 10), ((0, 1, -1), 7), ((1, -1, 1), 5)):
        alone = np.zeros((41, 41, 41), np.uint8)
        alone[20, 20, 20] = label_of(*step)
        for size, steps in ((1, reach), (2, reach // 2)):
            affine = np.diag([size, size, size, 1.0])
            found = psmd.prepare_skeleton(alone, alone > 0, affine).reach
            assert found.tolist() == [[steps, steps]]


def plain_search(fa, whole, counts, far=10):
    """Search voxel by voxel, as a loop says it."""
    where = np.argwhere(whole)
    places = []
    for voxel in np.argwhere(counts):
        step = psmd.DIRECTIONS[whole[tuple(voxel)] - 1]
        best, place = fa[tuple(voxel)], voxel
        for sign in (-1, 1):
            last, k = 0.0, 0
            while (k := k + 1) * np.linalg.norm(step) <= far:
                at = voxel + sign * k * step
                if (at < 0).any() or (at >= fa.shape).any():
                    break
                distance = np.sqrt(((where - at) ** 2).sum(axis=1).min())
                if distance <= last:
                    break
                last, d = distance, k * np.linalg.norm(step)
                value = fa[tuple(at)] * 2 ** (-((d / 10) ** 2))  # half at half of 20 mm
                if value > best:
                    best, place = value, at
        places.append(place)
    return np.array(places)


def test_search_equals_a_plain_loop():
    random = np.random.default_rng(3)
    whole = np.where(random.random((24, 22, 20)) < 0.004, random.integers(1, 14, (24, 22, 20)), 0)
    counts = (whole > 0) & (random.random(whole.shape) < 0.8)
    fa = random.random(whole.shape)
    skeleton = psmd.prepare_skeleton(whole, counts, np.eye(4))
    found = psmd.project(fa, np.ones(fa.shape), skeleton)
    assert len(found.places) > 20
    assert np.array_equal(found.places, plain_search(fa, whole, counts))


def test_a_neighbouring_tract_is_left_alone():
    sheets = np.zeros((5, 5, 40), np.uint8)
    sheets[:, :, [10, 18]] = label_of(0, 0, 1)
    counts = sheets > 0
    counts[:, :, 18] = False  # not measured, but a tract all the same
    fa = np.full(sheets.shape, 0.2)
    fa[:, :, 15] = 0.9
    fa[:, :, 8] = 0.3
    found = psmd.project(fa, fa * 1e-3, psmd.prepare_skeleton(sheets, counts, np.eye(4)))
    assert (found.places[:, 2] == 8).all()


def sheet(shape=(3, 60, 80)):
    whole = np.zeros(shape, np.uint8)
    whole[1] = label_of(1, 0, 0)
    affine = np.eye(4)
    affine[:3, 3] = -1, -30, -40
    return whole, psmd.prepare_skeleton(whole, whole > 0, affine)


@pytest.mark.parametrize('width', CASES)
def test_p8_the_width_is_recovered_from_the_shipped_skeleton(shipped, width):
    whole, counts, skeleton = shipped.whole, shipped.counts, shipped.skeleton
    md = np.full(counts.shape, 1.4e-3)
    md[counts] = np.random.default_rng(1).permutation(skeleton_case(width, int(counts.sum())))
    fa = np.where(whole, 0.5, 0.15)
    values, reasons = psmd.measure_psmd(psmd.project(fa, md, skeleton), skeleton)
    for name in ('psmd', 'psmd_left', 'psmd_right'):
        assert values[name] == pytest.approx(width, rel=0.02)
    assert values['psmd'] == pytest.approx(width, rel=1e-6)
    assert values['msmd'] == pytest.approx(0.75e-3, rel=1e-3)
    assert values['coverage_pct'] == 100
    assert set(reasons) == {'lesion_pct', 'psmd_nonlesion', 'msmd_nonlesion'}


def measured(md, *, fa=None, lesion=None, brain=None):
    whole, skeleton = sheet()
    volume = np.full(whole.shape, 1e-3)
    volume[1] = md
    fa = np.where(whole, 0.5, 0.1) if fa is None else fa
    found = psmd.project(fa, volume, skeleton, brain=brain)
    return psmd.measure_psmd(found, skeleton, lesion=lesion)


def normal(width=2.2e-4):
    return np.random.default_rng(2).permutation(skeleton_case(width, 4800)).reshape(60, 80)


def test_fluid_and_nothing_do_not_count():
    md = normal()
    expected = measured(md)[0]
    spoilt = md.copy()
    spoilt[:2], spoilt[2], spoilt[3], spoilt[4] = 3.001e-3, -1e-5, 0, np.nan
    values, _ = measured(spoilt)
    assert values['psmd'] == pytest.approx(psmd.peak_width(md[5:]), rel=1e-9)
    assert values['n_voxels'] == 55 * 80
    assert values['coverage_pct'] == pytest.approx(100 * 58 / 60)
    assert values['fluid_pct'] == pytest.approx(100 * 3 / 58)
    assert expected['fluid_pct'] == 0
    low, high = np.quantile(md, [0.05, 0.95])
    assert expected['psmd'] == pytest.approx(high - low, rel=1e-9)
    assert expected['msmd'] == pytest.approx(md.mean(), rel=1e-9)


def test_lesions_are_left_out_where_the_values_come_from():
    md, fa = normal(), np.full((3, 60, 80), 0.1)
    fa[2] = 0.5  # the tract lies one voxel aside
    volume = np.full(fa.shape, 1.5e-3)
    volume[2] = md
    volume[2, :12] = 1.2e-3
    lesion = np.zeros(fa.shape)
    lesion[2, :12] = 0.051
    lesion[2, 12:20] = 0.049
    lesion[1, 40:] = 1  # on the skeleton, but not where it was projected to
    _, skeleton = sheet()
    found = psmd.project(fa, volume, skeleton)
    values, reasons = psmd.measure_psmd(found, skeleton, lesion=lesion)
    assert values['lesion_pct'] == pytest.approx(20)
    assert values['psmd_nonlesion'] == pytest.approx(psmd.peak_width(md[12:]), rel=1e-9)
    assert values['msmd_nonlesion'] == pytest.approx(md[12:].mean(), rel=1e-9)
    assert values['psmd'] > 1.5 * values['psmd_nonlesion']
    lesion[2, :30] = 1
    values, reasons = psmd.measure_psmd(found, skeleton, lesion=lesion)
    assert values['psmd_nonlesion'] is None
    assert '50 %' in reasons['psmd_nonlesion']


def test_sides_follow_the_world_and_not_the_array():
    whole = np.zeros((60, 20, 3), np.uint8)
    whole[:, :, 1] = label_of(0, 0, 1)
    md = np.where(np.arange(60) < 30, 0.7e-3, 0.9e-3)[:, None, None] * np.ones(whole.shape)
    for sign in (1, -1):
        affine = np.diag([sign, 1.0, 1, 1])
        affine[0, 3] = -29.5 * sign
        skeleton = psmd.prepare_skeleton(whole, whole > 0, affine)
        values, _ = psmd.measure_psmd(psmd.project(whole > 0, md, skeleton), skeleton)
        left, right = (0.7e-3, 0.9e-3) if sign == 1 else (0.9e-3, 0.7e-3)
        assert values['msmd_left'] == pytest.approx(left)
        assert values['msmd_right'] == pytest.approx(right)


def test_poor_coverage_is_refused_and_one_missing_side_is_said():
    brain = np.zeros((3, 60, 80), bool)
    brain[:, :37] = True  # 61.7 %
    values, _ = measured(normal(), brain=brain)
    assert values['coverage_pct'] == pytest.approx(100 * 37 / 60)
    brain[:, 35:37] = False  # 58.3 %
    with pytest.raises(MeasureError, match='58 %') as caught:
        measured(normal(), brain=brain)
    assert caught.value.remedy
    whole = np.zeros((60, 20, 3), np.uint8)
    whole[:, :, 1] = label_of(0, 0, 1)
    affine = np.eye(4)
    affine[0, 3] = -29.5
    skeleton = psmd.prepare_skeleton(whole, whole > 0, affine)
    md = np.where(np.arange(60) < 45, 0.7e-3, np.nan)[:, None, None] * np.ones(whole.shape)
    values, reasons = psmd.measure_psmd(psmd.project(whole > 0, md, skeleton), skeleton)
    assert values['psmd_right'] is None
    assert values['psmd_left'] == 0
    assert 'on the right' in reasons['psmd_right']


def test_nothing_reported_is_nan():
    md = normal()
    md[::7] = np.nan
    fa = np.where(sheet()[0], 0.5, 0.1)
    fa[0] = np.nan
    fa[1, 0] = np.nan
    values, reasons = measured(md, fa=fa)
    assert values['coverage_pct'] == pytest.approx(100 * np.isfinite(md[1:]).sum() / md.size)
    assert all(v is None or np.isfinite(v) for v in values.values())
    assert {k for k, v in values.items() if v is None} == set(reasons)


def test_wrong_grids_are_refused():
    whole, skeleton = sheet()
    with pytest.raises(ValueError, match='grid'):
        psmd.project(np.zeros((2, 2, 2)), np.zeros((2, 2, 2)), skeleton)
    with pytest.raises(ValueError, match='part of the skeleton'):
        psmd.prepare_skeleton(whole, np.ones(whole.shape, bool), np.eye(4))
    with pytest.raises(ValueError, match='one position'):
        psmd.project_native(whole, whole, np.zeros((2, 3)), np.zeros((2, 3)), skeleton)


def scheme(directions, b0):
    table = shells([(1000, directions)], b0=b0)
    return table.bvals, np.where(table.b0[:, None], 0, table.directions)


# Noise curves of the specification, percent, by directions and b = 0 volumes, true width and SNR.
# They hold for weights from the noisy signals.
YARDSTICK = [
    (30, 3, 2.2e-4, {10: 33, 15: 13, 20: 9, 30: 4, 50: 2}),
    (30, 3, 3.5e-4, {10: 7, 15: 2, 20: 0, 30: 0}),
    (64, 8, 2.2e-4, {10: 6, 15: 2, 20: 0}),
    (64, 8, 3.5e-4, {10: -6, 15: -4, 20: -4, 30: -1}),
]


@pytest.mark.parametrize(('directions', 'b0', 'width', 'curve'), YARDSTICK)
def test_p8_noise_curve(directions, b0, width, curve):
    for snr, percent in curve.items():
        found = noise_inflation(
            skeleton_case(width), snr, *scheme(directions, b0), measured=False, weights='measured'
        )
        assert 100 * found == pytest.approx(percent, abs=3), snr


def test_noise_with_weights_from_the_noisy_signals_lowers_md():
    md = skeleton_case(2.2e-4)
    for snr, bias in {10: -0.067e-3, 15: -0.030e-3, 20: -0.018e-3, 30: -0.008e-3}.items():
        found = simulate_md(md, snr, *scheme(30, 3), weights='measured') - md
        assert found.mean() == pytest.approx(bias, abs=0.008e-3)
        assert abs(simulate_md(md, snr, *scheme(30, 3)).mean() - md.mean()) < 0.006e-3


@pytest.mark.parametrize('snr', [10, 20])
def test_noise_agrees_with_another_simulation_and_another_fit(snr):
    md = skeleton_case(2.2e-4, 10_000)
    table = shells([(1000, 30)], b0=3)
    along = md * (1 + 2 * 0.5 / np.sqrt(2.5))  # FA 0.5, all fibres along one oblique axis
    rest = (3 * md - along) / 2
    axis = np.array([0.48, 0.6, 0.64])
    g2 = ((table.directions @ axis) ** 2)[:, None]
    clean = np.exp(-table.bvals[:, None] * (rest + (along - rest) * g2))
    random = np.random.default_rng(99)
    noise = random.standard_normal((2, *clean.shape)) / snr
    noisy = np.sqrt((clean + noise[0]) ** 2 + noise[1] ** 2)
    parts = fit(lambda i: noisy[i], table, table.at_most(1500), np.eye(3))
    assert np.allclose(
        scalars(fit(lambda i: clean[i], table, table.at_most(1500), np.eye(3)))['fa'],
        0.5,
        atol=1e-6,
    )
    expected = parts[:3].mean(axis=0)
    assert np.allclose(fit_md(noisy.T, *scheme(30, 3)), expected, rtol=1e-9)
    expected = psmd.peak_width(expected) / 2.2e-4 - 1
    found = noise_inflation(md, snr, *scheme(30, 3), measured=False)
    # One orientation against all of them: at SNR 10 it makes up to 5 points.
    assert 100 * found == pytest.approx(100 * expected, abs=5 if snr == 10 else 3)


@pytest.mark.parametrize('width', CASES)
def test_noise_is_taken_out_of_a_measured_width(width):
    noisy = simulate_md(skeleton_case(width, 20_000), 15, *scheme(30, 3), seed=5)
    found = noise_inflation(noisy, 15, *scheme(30, 3))
    assert psmd.peak_width(noisy) / (1 + found) == pytest.approx(width, rel=0.04)


def test_noise_is_the_same_each_time():
    md = skeleton_case(2.2e-4)
    one, two = (noise_inflation(md, 20, *scheme(12, 1), measured=False) for _ in range(2))
    assert one == two
    spoilt = np.append(md, [0.0, -1.0, np.nan, 9e-3])
    assert noise_inflation(spoilt, 20, *scheme(12, 1), measured=False) == one


def test_width_that_noise_alone_explains_is_refused():
    noisy = simulate_md(np.full(5000, 0.75e-3), 8, *scheme(12, 1), seed=5)
    with pytest.raises(MeasureError, match='noise alone'):
        noise_inflation(0.75e-3 + 0.9 * (noisy - 0.75e-3), 8, *scheme(12, 1))
    for snr in (0, np.nan):
        with pytest.raises(MeasureError, match='SNR'):
            noise_inflation(noisy, snr, *scheme(12, 1))
    with pytest.raises(ValueError, match='tensor'):
        simulate_md(noisy, 10, *(part[:6] for part in scheme(12, 1)))


def test_shipped_fa_is_plain(shipped):
    assert nib.aff2axcodes(shipped.fa.affine) == ('R', 'A', 'S')
    assert np.allclose(shipped.fa.header.get_zooms(), 1.25)
    fa = shipped.fa.get_fdata()
    assert fa.min() == 0
    assert 0.85 < fa.max() < 0.95


def test_shipped_skeleton_is_thin_whole_and_balanced(shipped):
    counts = shipped.counts
    assert 80_000 < counts.sum() < 90_000
    assert (shipped.whole[counts] > 0).all()
    assert shipped.whole.max() == len(psmd.DIRECTIONS)
    x = np.argwhere(counts)[:, 0] + shipped.affine[0, 3]
    assert abs((x < 0).sum() / (x > 0).sum() - 1) < 0.05
    pieces, _ = ndi.label(counts, np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel())[1:]
    assert sizes.min() >= 100
    assert sizes.max() > 0.99 * counts.sum()
    blocks = ndi.minimum_filter(counts.astype(np.uint8), 2).sum()
    assert blocks < 0.01 * counts.sum()  # hardly a block of 2 x 2 x 2


def test_shipped_skeleton_runs_along_the_middle_of_tracts(shipped):
    voxels = np.argwhere(shipped.counts)
    steps = psmd.DIRECTIONS[shipped.whole[shipped.counts].astype(int) - 1]
    units = steps / np.linalg.norm(steps, axis=1, keepdims=True)
    spline = ndi.spline_filter(shipped.fa.get_fdata())
    to_fa = np.linalg.inv(shipped.fa.affine) @ shipped.affine

    def at(mm):
        index = (voxels + mm * units) @ to_fa[:3, :3].T + to_fa[:3, 3]
        return ndi.map_coordinates(spline, index.T, prefilter=False)

    here = at(0)
    assert here.min() > 0.29
    assert (here > np.maximum(at(2.5), at(-2.5))).mean() > 0.85
    assert (2 * here > at(2) + at(-2)).mean() > 0.98


@pytest.mark.parametrize(
    ('point', 'there'),
    [
        ((0, -38, 12), True),  # splenium
        ((0, 26, 8), True),  # genu
        ((-20, -8, 14), True),  # internal capsule
        ((20, -8, 14), True),
        ((-26, -60, 18), True),  # optic radiation
        ((0, -4, 14), False),  # fornix
        ((0, -28, -30), False),  # brainstem
        ((-20, -60, -32), False),  # cerebellum
        ((-8, 8, 12), False),  # lateral ventricle
        ((0, -18, 2), False),  # third ventricle
    ],
)
def test_shipped_skeleton_is_where_it_should_be(shipped, point, there):
    voxels = np.argwhere(shipped.counts) + shipped.affine[:3, 3]
    nearest = np.linalg.norm(voxels - point, axis=1).min()
    assert nearest <= 4 if there else nearest >= 3
