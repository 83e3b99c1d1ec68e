"""The diffusion phantom: refits give its tensors back, distortion loses nothing, poses agree."""

from __future__ import annotations

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from csvdprep.phantom.diffusion import fibres, tensors
from csvdprep.phantom.diffusion import series as diffusion
from csvdprep.phantom.diffusion.alps import alps_region
from csvdprep.phantom.diffusion.gradients import TABLES, image_axes, shells
from csvdprep.phantom.diffusion.series import Head, Protocol, eddy_field, series_of
from csvdprep.phantom.diffusion.truth import apparent, penumbra
from csvdprep.phantom.diffusion.water import Water
from csvdprep.phantom.disease.hyperintensities import lesion_growth
from csvdprep.phantom.disease.small import recent_infarcts
from csvdprep.phantom.head.anatomy import make_anatomy
from csvdprep.phantom.scanner import epi
from csvdprep.phantom.scanner.magnet import field_map
from csvdprep.phantom.scanner.recorder import Recorder
from csvdprep.phantom.scanner.scan import Scan, turn
from csvdprep.phantom.scanner.scene import Scene

COARSE = Scan(voxel=(4, 4, 4), low=(-84, -112, -68), high=(84, 88, 80))
CLEAN = Protocol(gradients=shells([(1000, 12)], b0=1), scan=COARSE, snr=np.inf, distortion=False)


@pytest.fixture(scope='module')
def scene():
    anatomy = make_anatomy(3, spacing=4.0, ventricles_mm=1.0)
    return Scene(
        anatomy=anatomy,
        wmh=lesion_growth(anatomy, 1).fraction(12),
        rotation=(8, -5, 12),
        shift=(2, 1, 3),
        features=recent_infarcts(anatomy, 5, 1),
    )


def prepared(scene, protocol, cache={}):  # noqa: B006 - heads are kept on purpose
    """Prepare a head once: nothing in it depends on table and storage."""
    key = id(scene), protocol.free_water
    if key not in cache:
        scan = scene.place(COARSE, np.random.default_rng(0), 0, 0)
        cache[key] = scene, *Head.of(scene, protocol, scan, None)
    return cache[key][1:]


def seen_in(scene, protocol):
    """Give what a scan without spoilers shows: the brain's voxels in all volumes."""
    scan = scene.place(protocol.scan, np.random.default_rng(0), 0, 0)
    head, distance = prepared(scene, protocol)
    seen = head.seen(scan, distance)
    inside = scan.sample(scene.anatomy.intracranial, scene.affine) >= 0.9
    path = np.zeros((len(protocol.table.bvals), 6))
    series = np.stack([v[inside] for v in series_of(head, seen, protocol, scan, path)], axis=1)
    return scan, seen, inside, series.astype(float)


def dipy_table(table, affine):
    """Read what the phantom writes as DIPY does: vectors in the frame of the array."""
    gradients = pytest.importorskip('dipy.core.gradients')
    texts = table.files(affine)
    vectors = np.array([row.split() for row in texts['.bvec'].splitlines()], float).T
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return gradients.gradient_table(
        np.array(texts['.bval'].split(), float),
        bvecs=vectors / np.where(length > 0.5, length, 1),
        b0_threshold=50,
    )


def dipy_fit(series, table, affine, method):
    """Fit tensors with DIPY; return FA, MD, and tensors in the axes of the scanner."""
    dti = pytest.importorskip('dipy.reconst.dti')
    fit = dti.TensorModel(dipy_table(table, affine), fit_method=method).fit(series)
    axes = image_axes(affine)
    return fit.fa, fit.md, axes @ fit.quadratic_form @ axes.T


@pytest.mark.parametrize(
    ('name', 'method'),
    [('clinical-b1000', 'OLS'), ('philips-b1000', 'WLS'), ('siemens-b2500', 'WLS')],
)
def test_a_refit_gives_tensors_back(scene, method, name):
    protocol = replace(CLEAN, gradients=TABLES[name](), free_water=False)
    scan, seen, inside, series = seen_in(scene, protocol)
    fa, md, found = dipy_fit(series[::3], protocol.table, scan.grid()[1], method)
    own = seen.water.tensors(inside)[:, ::3]
    true = tensors.scalars(own)
    np.testing.assert_allclose(md, true['md'], rtol=1e-3)
    np.testing.assert_allclose(fa, true['fa'], rtol=1e-3, atol=2e-4)
    world = fibres.matrices(fibres.rotated(own, scan.pose[:3, :3]))
    assert np.abs(found - world).max() < 1e-3 * true['md'].max()
    anisotropic = true['fa'] > 0.3
    axes = [np.linalg.eigh(part[anisotropic])[1][:, :, 2] for part in (found, world)]
    assert np.abs((axes[0] * axes[1]).sum(axis=1)).min() > 0.9999


def test_apparent_maps_are_those_of_a_plain_fit(scene):
    scan, seen, inside, series = seen_in(scene, CLEAN)
    parts = apparent(seen.water, inside, CLEAN.table, scan)[:, ::3]
    true = tensors.scalars(parts)
    for method in ('OLS', 'WLS'):
        fa, md, _ = dipy_fit(series[::3], CLEAN.table, scan.grid()[1], method)
        assert np.median(np.abs(md / true['md'] - 1)) < 1e-3
        assert np.median(np.abs(fa - true['fa']) / np.maximum(true['fa'], 0.02)) < 1e-3
    assert np.abs(md / true['md'] - 1).max() < 1e-3


def test_free_water_comes_back_from_two_shells(scene):
    fwdti = pytest.importorskip('dipy.reconst.fwdti')
    protocol = replace(CLEAN, gradients=TABLES['multishell']())
    scan, seen, inside, series = seen_in(scene, protocol)
    share = (seen.water.free / (seen.water.free + seen.water.tissue + 1e-9))[inside]
    some = np.flatnonzero((share > 0.03) & (share < 0.6))[::400]
    model = fwdti.FreeWaterTensorModel(dipy_table(protocol.table, scan.grid()[1]))
    found = model.fit(series[some]).f
    assert len(some) > 20
    assert np.median(np.abs(found - share[some])) < 0.01


def test_storage_and_obliquity_leave_tensors_alone(scene):
    pytest.importorskip('dipy')
    means = []
    for change in ({}, {'stored': 'PSR'}, {'tilt': (12, -9, 20), 'stored': 'LPS'}):
        scan = replace(COARSE, low=(-40, -60, 0), high=(60, 40, 60), **change)
        protocol = replace(CLEAN, scan=scan, free_water=False)
        placed, _, inside, series = seen_in(scene, protocol)
        affine = placed.grid()[1]
        at = np.argwhere(inside) @ affine[:3, :3].T + affine[:3, 3]
        # The mean over a ball of white matter, as the voxels differ.
        near = np.linalg.norm(at - [24, -8, 36], axis=1) < 16
        _, _, world = dipy_fit(series[near], protocol.table, affine, 'OLS')
        means.append(world.mean(axis=0) / np.trace(world.mean(axis=0)))
    # It is so far from straight that a wrong frame would show.
    assert np.abs(np.triu(means[0], 1)).max() > 0.02
    np.testing.assert_allclose(means[0], means[1], rtol=1e-4, atol=1e-6)
    assert np.abs(means[0] - means[2]).max() < 0.01


def test_pose_turns_tensors(scene):
    straight = replace(scene, rotation=(0, 0, 0), shift=(0, 0, 0))
    found = []
    for one in (straight, scene):
        scan, seen, inside, _ = seen_in(one, CLEAN)
        parts = apparent(seen.water, inside, CLEAN.table, scan)
        at = np.argwhere(inside) @ scan.grid()[1][:3, :3].T + scan.grid()[1][:3, 3]
        head = (at - scan.pose[:3, 3]) @ scan.pose[:3, :3]
        near = np.linalg.norm(head - [24, -12, 30], axis=1) < 12
        found.append(fibres.matrices(parts[:, near].mean(axis=1, keepdims=True))[0])
    assert np.abs(found[0] - found[1]).max() < 0.04 * found[0].max()


def test_named_cases():
    assert tensors.alps(*map(np.diag, tensors.ALPS_PAIR)) == pytest.approx(1.4186, abs=5e-5)
    pitched = [turn((15, 0, 0)) @ np.diag(d) @ turn((15, 0, 0)).T for d in tensors.ALPS_PAIR]
    assert tensors.alps(*pitched) / 1.4186 - 1 == pytest.approx(-0.095, abs=0.002)
    for psmd in (2.2e-4, 3.5e-4):
        low, high = np.percentile(tensors.skeleton_case(psmd), [5, 95])
        assert high - low == pytest.approx(psmd, rel=1e-6)
    away = np.random.default_rng(0).uniform(0, 22, 40_000)
    slope, delta = penumbra(tensors.penumbra_case(away), away)
    assert slope == pytest.approx(-0.0262, rel=0.02)
    assert delta == pytest.approx(0.202, rel=0.05)


@pytest.fixture(scope='module')
def template_like():
    return make_anatomy(1, spacing=6.0, deformation_mm=0.01, size=(1, 1, 1))


@pytest.mark.parametrize('rotation', [(0, 0, 0), (15, 0, 0), (-30, 0, 0), (10, 20, 25)])
def test_alps_ignores_the_pose(template_like, rotation):
    scan = Scan(voxel=(2, 2, 2), low=(-60, -50, 0), high=(60, 20, 50), rotation=rotation)
    scene = Scene(anatomy=template_like, wmh=np.zeros_like(template_like.fractions['wm']))
    inside = np.ones(scan.grid()[0], bool)
    means = []
    for centre, axis, diagonal in (
        ((26, -16, 27), 2, tensors.ALPS_PAIR[0]),
        ((38, -16, 27), 1, tensors.ALPS_PAIR[1]),
    ):
        # The tensors are measured in the scanner and turned back by the pose, as apparent does.
        pose = scan.pose[:3, :3]
        world = np.tile((pose @ np.diag(diagonal) @ pose.T)[None], (1, 1, 1))
        parts = np.stack([world[0, i, j] for i, j in fibres.PARTS])[:, None]
        parts = np.repeat(fibres.rotated(parts, pose.T), inside.sum(), axis=1)
        nothing = np.zeros(inside.sum())
        means.append(alps_region(scene, scan, parts, inside, nothing, centre, 2.5, axis)[0])
    assert tensors.alps(*means) == pytest.approx(1.4186, rel=5e-3)
    assert tensors.alps_along_fibres(*means) == pytest.approx(1.4186, rel=5e-3)


def test_fibres_run_as_the_alps_index_wants():
    field, affine = fibres.template_shape()
    whole = field + fibres.vein_shape()[0]
    for side in (-1, 1):
        for x, axis in ((26, 2), (38, 1)):
            at = np.rint(np.linalg.solve(affine, [side * x, -16, 27, 1])[:3]).astype(int)
            values, vectors = np.linalg.eigh(fibres.matrices(whole[(slice(None), *at)][:, None]))
            assert abs(vectors[0, axis, 2]) > 0.95
            assert abs(vectors[0, 0, 1]) > 0.95
            assert values[0, 2] < 2


def test_anisotropy_is_that_of_a_brain():
    fa = fibres.anisotropy(fibres.template_shape()[0])
    affine = fibres.template_shape()[1]

    def at(x, y, z):
        return float(fa[tuple(np.rint(np.linalg.solve(affine, [x, y, z, 1])[:3]).astype(int))])

    for place in ((0, -8, 25.5), (0, 29, 6), (0, -38, 12), (14, -18, -13), (-22, -16, 4)):
        assert 0.7 < at(*place) < 0.88
    for place in ((26, -16, 37), (24, 22, 17)):
        assert 0.4 < at(*place) < 0.65
    assert 0.3 < at(28, -20, 46) < 0.5


def test_factors_do_what_they_say(scene):
    plain = seen_in(scene, CLEAN)
    changed = seen_in(replace(scene, factors={'md': 1.2, 'fa': 0.8, 'penumbra': 0}), CLEAN)
    before, after = (tensors.scalars(part[1].water.tensors(part[2])) for part in (plain, changed))
    white = plain[1].distance[plain[2]] > 20
    assert np.median(after['md'][white] / before['md'][white]) == pytest.approx(1.2, abs=0.01)
    assert np.median(after['fa'][white] / before['fa'][white]) == pytest.approx(0.8, abs=0.05)
    near = (plain[1].distance[plain[2]] > 1) & (plain[1].distance[plain[2]] < 4)
    assert np.median(before['md'][near]) > 1.05 * np.median(after['md'][near] / 1.2)


def test_distortion_keeps_the_signal_and_moves_it_by_the_field():
    rng = np.random.default_rng(1)
    shape = (6, 60, 5)
    image = np.zeros(shape)
    image[:, 20:40] = rng.random((6, 20, 5))
    smooth = 30 * np.sin(np.arange(60) / 9)[:, None] * np.ones((6, 1, 5))
    along = {name: epi.encoding(np.diag([2.0, 2, 2, 1]), name) for name in ('AP', 'PA')}
    assert (along['AP'].code, along['PA'].code) == ('j-', 'j')
    there, back = (epi.distort(image, along[name].shift(smooth, 0.05), 1) for name in ('PA', 'AP'))
    for moved in (there, back):
        np.testing.assert_allclose(moved.sum(axis=1), image.sum(axis=1), rtol=1e-5)
    at = np.arange(60)[:, None]
    centre = [(one * at).sum(axis=1) / one.sum(axis=1) for one in (image, there, back)]
    assert np.abs(centre[1] - centre[0]).max() > 0.3
    np.testing.assert_allclose((centre[1] + centre[2]) / 2, centre[0], atol=0.02)
    even = epi.distort(image, along['PA'].shift(np.full(shape, 87.0), 0.05), 1)
    moved = (even * at).sum(axis=1) / even.sum(axis=1) - centre[0]
    np.testing.assert_allclose(moved, 87 * 0.05, rtol=0.01)


def test_distortion_piles_up_and_folds():
    image = np.ones((1, 30, 1))
    squeeze = -0.5 * (np.arange(30.0) - 15)[None, :, None]
    out = epi.distort(image, squeeze, 1)
    assert out[0, 12:18, 0] == pytest.approx(np.full(6, 2.0), abs=0.01)
    folded = epi.distort(image, -1.5 * (np.arange(30.0) - 15)[None, :, None], 1)
    assert folded.sum() == pytest.approx(30, rel=1e-6)


def test_wrong_direction_is_refused():
    with pytest.raises(ValueError, match='none of AP, PA'):
        epi.encoding(np.eye(4), 'IS')


def test_eddy_currents_and_motion_spoil_what_they_should(scene):
    field = eddy_field((5, 5, 5), np.diag([50, 50, 50, 1]), np.array([0, 1, 0]), 1000, 8)
    assert np.allclose(np.ptp(field, axis=1), 16)
    assert np.ptp(field[:, 2], axis=0).max() == 0
    scan = scene.place(COARSE, np.random.default_rng(0), 0, 0)
    head, distance = prepared(scene, CLEAN)
    seen = head.seen(scan, distance)
    path = np.zeros((13, 6))
    path[5] = (4, 0, 0, 0, 0, 0)
    still, moved = (list(series_of(head, seen, CLEAN, scan, p)) for p in (0 * path, path))
    assert all(np.array_equal(still[k], moved[k]) for k in range(13) if k != 5)
    # A movement of one voxel along x moves the image by one voxel.
    inner = (slice(8, -8),) * 3
    after = np.roll(still[5], 1, axis=0)[inner]
    assert np.abs(moved[5][inner] - after).max() < 0.01 * after.max()


def test_gradients_are_seen_from_the_turned_head():
    one = np.ones((1, 1, 1), np.float32)
    water = Water(
        tissue=one,
        free=0 * one,
        mean=1e-3 * one,
        affine=np.eye(4),
        shape=(1e-3 * one, -5e-4 * one, 0 * one, 0 * one, 0 * one),
    )
    quarter = turn((0, 0, 90))
    along_y = water.along(quarter.T @ [0, 1, 0]).signal(1000)
    assert float(along_y[0, 0, 0]) == pytest.approx(np.exp(-2), rel=1e-5)


@pytest.fixture(scope='module')
def folder(scene, tmp_path_factory):
    root = tmp_path_factory.mktemp('dwi')
    protocol = replace(
        diffusion.DEMO,
        gradients=shells([(1000, 7)], b0=1),
        outliers=2,
        scan=replace(diffusion.DEMO.scan, voxel=(4, 4, 4)),
        gre=epi.FieldMap(scan=Scan(voxel=(5, 5, 5))),
    )
    field = field_map(scene)
    for name in ('one', 'two'):
        recorder = Recorder(root / name, '01', '1')
        diffusion.record(scene, protocol, recorder, 7, field_ppm=field)
        recorder.close()
    return root


def test_files_are_complete_and_the_same_again(folder):
    files = sorted(p.relative_to(folder / 'one') for p in (folder / 'one').rglob('*.*'))
    assert all(
        (folder / 'one' / p).read_bytes() == (folder / 'two' / p).read_bytes() for p in files
    )
    names = {p.name.removeprefix('sub-01_ses-1_') for p in files}
    assert {
        'dir-AP_dwi.nii.gz',
        'dir-AP_dwi.bval',
        'dir-AP_dwi.bvec',
        'dir-AP_dwi.json',
        'dir-PA_epi.json',
        'phasediff.json',
        'magnitude1.json',
        'magnitude2.nii.gz',
        'dir-AP_desc-motion_timeseries.tsv',
        'space-dwi_label-RSSI_mask.nii.gz',
        'space-dwi_desc-truth_fieldmap.nii.gz',
        'space-dwi_model-tensor_param-fw_dwimap.nii.gz',
    } <= names
    raw = folder / 'one' / 'sub-01' / 'ses-1'
    said = {
        p.stem.removeprefix('sub-01_ses-1_'): json.loads(p.read_text())
        for p in raw.rglob('*.json')
    }
    series = nib.load(raw / 'dwi' / 'sub-01_ses-1_dir-AP_dwi.nii.gz')
    assert said['dir-AP_dwi']['PhaseEncodingDirection'] == 'j-'
    assert said['dir-PA_epi']['PhaseEncodingDirection'] == 'j'
    assert len(said['dir-AP_dwi']['SliceTiming']) == series.shape[2]
    meant = 'bids::sub-01/ses-1/dwi/sub-01_ses-1_dir-AP_dwi.nii.gz'
    assert said['dir-PA_epi']['IntendedFor'] == said['phasediff']['IntendedFor'] == meant
    assert said['phasediff']['EchoTime2'] > said['phasediff']['EchoTime1']
    measures = (folder / 'one/derivatives/truth/sub-01/ses-1').glob('*measures.tsv')
    header, row = next(measures).read_text().splitlines()
    values = dict(zip(header.split('\t'), row.split('\t'), strict=True))
    assert values['rssi_n'] == '1'
    assert 1.1 < float(values['alps_reo_r5']) < 1.6
    assert 0.7 < float(values['md_nawm']) < 0.9


def test_field_map_and_truth_agree(folder):
    raw = folder / 'one' / 'sub-01' / 'ses-1'
    phase = nib.load(raw / 'fmap' / 'sub-01_ses-1_phasediff.nii.gz')
    truth = folder / 'one/derivatives/truth/sub-01/ses-1'
    field = nib.load(truth / 'fmap/sub-01_ses-1_space-dwi_desc-truth_fieldmap.nii.gz')
    mask = nib.load(truth / 'dwi/sub-01_ses-1_space-dwi_desc-brain_mask.nii.gz')
    said = json.loads((raw / 'fmap/sub-01_ses-1_phasediff.json').read_text())
    apart = said['EchoTime2'] - said['EchoTime1']
    at = np.argwhere(np.asanyarray(mask.dataobj) > 0)
    world = at @ field.affine[:3, :3].T + field.affine[:3, 3]
    back = np.linalg.inv(phase.affine)
    index = tuple(np.rint(world @ back[:3, :3].T + back[:3, 3]).astype(int).T)
    measured = np.asanyarray(phase.dataobj)[index] / 4096 * np.pi / (2 * np.pi * apart)
    assert np.median(np.abs(measured - field.get_fdata()[tuple(at.T)])) < 6
