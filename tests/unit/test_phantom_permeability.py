"""VFA and DCE of the phantom: plain least squares written here finds what was put in."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from csvdprep.phantom.disease.hyperintensities import lesion_growth
from csvdprep.phantom.geometry.features import Tube
from csvdprep.phantom.head.anatomy import make_anatomy
from csvdprep.phantom.permeability import cases as patlak_case
from csvdprep.phantom.permeability import contrast
from csvdprep.phantom.permeability.bolus import frame_means, parker, venous
from csvdprep.phantom.permeability.contrast import Protocol, spgr
from csvdprep.phantom.permeability.series import PRESETS, maps, record
from csvdprep.phantom.scanner import motion, rois
from csvdprep.phantom.scanner.recorder import Recorder
from csvdprep.phantom.scanner.scan import Scan
from csvdprep.phantom.scanner.scene import Scene

SEPAL = Path(__file__).parents[3] / 'shared' / 'data' / 'dce-reference' / 'sepal-roi'
STILL = Scan(voxel=(5, 5, 6), noise=0.0, bias=0.0, low=(-92, -122, -76), high=(92, 108, 90))


@pytest.fixture(scope='module')
def scene():
    anatomy = make_anatomy(3, spacing=4.0, ventricles_mm=2.0)
    angle = np.deg2rad(np.linspace(30, 200, 60))
    line = np.stack([0 * angle, -18 + 88 * np.cos(angle), 8 + 73 * np.sin(angle)], axis=1)
    sinus = Tube(kind='sinus', tissue='vein', points=anatomy.to_head(line), radii=np.full(60, 5.0))
    wmh = lesion_growth(anatomy, 1).fraction(25)
    return Scene(anatomy=anatomy, wmh=wmh, features=(sinus,), rotation=(4, 0, 2))


def fit_t1(signals, flips, tr_s, b1):
    """Linear VFA: the slope of S/sin against S/tan is E1."""
    angles = [np.deg2rad(flip * b1.astype(float)) for flip in flips]
    y = np.stack([s.astype(float) / np.sin(a) for s, a in zip(signals, angles, strict=True)])
    x = np.stack([s.astype(float) / np.tan(a) for s, a in zip(signals, angles, strict=True)])
    x0, y0 = x - x.mean(axis=0), y - y.mean(axis=0)
    return -tr_s / np.log((x0 * y0).sum(axis=0) / (x0**2).sum(axis=0))


def concentration(signal, t1, tr_s, angle, relaxivity, baseline):
    """Invert the signal of a spoiled gradient echo; time is the last axis."""
    signal = np.asarray(signal, float)
    e = np.exp(-tr_s / t1)
    m0 = signal[..., :baseline].mean(axis=-1) * (1 - e * np.cos(angle)) / (1 - e) / np.sin(angle)
    m = signal / np.asarray(m0 * np.sin(angle))[..., None]
    e = (1 - m) / (1 - m * np.asarray(np.cos(angle))[..., None])
    return (-np.log(e) / tr_s - np.asarray(1 / t1)[..., None]) / relaxivity


def patlak(time_s, cp, curves, first_s):
    """Fit v_p and PS (1/min) to curves whose last axis is time."""
    steps = np.diff(time_s) / 60 * (cp[1:] + cp[:-1]) / 2
    design = np.stack([cp, np.concatenate([[0], np.cumsum(steps)])], axis=1)
    late = time_s >= first_s
    fitted, *_ = np.linalg.lstsq(design[late], curves[..., late].reshape(-1, late.sum()).T)
    return fitted


def test_vfa_signals_are_those_of_the_specification():
    for flip, wanted in ((2, 311.05), (5, 494.65), (12, 386.76)):
        assert float(spgr(1e4, 1 / 1.084, 5.4, flip)) == pytest.approx(wanted, abs=0.005)


def test_single_precision_is_enough():
    r1 = np.float32(1) / np.linspace(0.3, 4.5, 200, dtype=np.float32)
    exact = spgr(1.0, r1.astype(float), 3.4, 15.0)
    single = spgr(np.float32(1), r1, 3.4, np.float32(15.0))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, exact, rtol=1e-6)


@pytest.mark.parametrize(
    'settings',
    [
        {},
        {'b1_spread': 0.08, 'flip': 15.0, 'tr': 3.4},
        {'frame_s': 73.0, 'frames': 16, 'curve': parker},
        {'frame_s': 30.0, 'frames': 40},
    ],
)
def test_least_squares_finds_the_truth_in_every_voxel(scene, settings):
    protocol = Protocol(scan=scene.place(STILL, np.random.default_rng(0), 0, 0), **settings)
    here = maps(scene, protocol, np.random.default_rng(2))
    within = protocol.scan.sample(scene.anatomy.intracranial, scene.affine)
    brain = (within > 0.99) & (here.ps > 1e-4)
    assert brain.sum() > 3000
    flips = [image[brain] for image in contrast.flip_images(here, protocol)]
    t1 = fit_t1(flips, protocol.flips, protocol.tr / 1000, here.b1[brain])
    np.testing.assert_allclose(t1 * here.r1[brain], 1, atol=1e-3)

    frames = np.stack([image[brain] for image in contrast.frame_images(here, protocol)], axis=-1)
    angle = np.deg2rad(protocol.flip * here.b1[brain].astype(float))
    curves = concentration(
        frames, t1, protocol.tr / 1000, angle, protocol.relaxivity, protocol.baseline
    )
    cp, _ = frame_means(protocol.plasma, protocol.frames, protocol.frame_s)
    vp, ps = patlak(protocol.middles, cp, curves, protocol.injection_s + 120)
    np.testing.assert_allclose(vp / here.vp[brain], 1, atol=5e-3)
    np.testing.assert_allclose(ps / here.ps[brain], 1, atol=5e-3)


@pytest.mark.parametrize('tissue', patlak_case.TISSUE_VALUES)
def test_drift_does_to_ps_what_the_specification_prints(tissue):
    def estimate(drift):
        case = patlak_case.p10(tissue, drift)
        curve = concentration(
            case.signal,
            case.t1,
            patlak_case.TR_MS / 1000,
            np.deg2rad(patlak_case.FLIP),
            patlak_case.RELAXIVITY,
            patlak_case.BASELINE,
        )
        vp, ps = patlak(case.time_s, case.cp, curve, patlak_case.FIT_FROM_S)
        return float(vp[0]), float(ps[0])

    vp, ps = estimate(0)
    truth = patlak_case.p10(tissue)
    assert (vp, ps) == (pytest.approx(truth.vp, rel=5e-3), pytest.approx(truth.ps, rel=5e-3))
    for drift, printed in patlak_case.PRINTED[tissue].items():
        assert estimate(drift)[1] * 1e4 == pytest.approx(printed, rel=0.02)


@pytest.mark.skipif(not SEPAL.is_dir(), reason='the reference curves are not here')
def test_a_patients_curves_follow_the_same_equations():
    time, tissue, sinus = np.loadtxt(SEPAL / 'roi_signal.tsv', skiprows=1).T
    known = json.loads((SEPAL / 'reference.json').read_text())
    of = known['parameters']
    grid = np.linspace(-0.1, 4, 100_001)

    def by_our_signal(signal, t1, b1):
        enhanced = spgr(
            1.0,
            1 / t1 + of['r1_per_mM_per_s'] * grid,
            1000 * of['repetition_time_s'],
            of['flip_angle_deg'] * b1,
        )
        enhanced *= np.exp(-of['echo_time_s'] * of['r2_per_mM_per_s'] * grid)
        here = np.searchsorted(grid, 0)
        return np.interp(signal / signal[:3].mean(), enhanced / enhanced[here], grid)

    ct = by_our_signal(tissue, of['t1_tissue_s'], of['k_tissue'])
    cb = by_our_signal(sinus, of['t1_vif_s'], of['k_vif'])
    vp, ps = patlak(time, cb / (1 - of['haematocrit']), ct, time[7])
    wanted, within = known['reference']['sepal_python_published'], known['tolerance']
    assert float(vp[0]) == pytest.approx(wanted['vp'], abs=within['vp_abs'])
    assert float(ps[0]) == pytest.approx(wanted['ps_per_min'], abs=within['ps_abs_per_min'])


@pytest.mark.parametrize('frame_s', [30, 39.6, 60, 75])
def test_the_bolus_is_that_of_patients(frame_s):
    protocol = Protocol(scan=STILL, frame_s=frame_s, frames=int(1200 / frame_s))
    cp, integral = frame_means(protocol.plasma, protocol.frames, frame_s)
    assert (cp[: protocol.baseline] == 0).all()
    assert 2 < cp.max() < 8
    tail = np.interp(protocol.injection_s + 600, protocol.middles, cp)
    assert 0.6 < tail < 1.2
    assert (np.diff(integral) >= 0).all()
    half = Protocol(scan=STILL, frame_s=frame_s, frames=protocol.frames, dose=0.05)
    np.testing.assert_allclose(frame_means(half.plasma, half.frames, frame_s)[0], cp / 2)


def test_the_sinus_is_near_the_published_patients_tail():
    assert [float(venous(np.array(60.0 * t))) for t in (5, 10, 17)] == pytest.approx(
        [1.24, 0.91, 0.70], rel=0.06
    )


@pytest.fixture(scope='module')
def written(scene, tmp_path_factory):
    def take(protocol, name):
        out = tmp_path_factory.mktemp(name)
        recorder = Recorder(out, '01', '1')
        record(scene, protocol, recorder, 5)
        return out, recorder.close()

    spoiled = replace(
        PRESETS['tiny'],
        scan=replace(STILL, noise=0.01, bias=0.2),
        frames=9,
        b1_spread=0.06,
        drift=1.0,
        motion=0.5,
    )
    return take(spoiled, 'one'), take(spoiled, 'two')


def _table(path):
    with path.open(encoding='utf-8') as lines:
        return list(csv.DictReader(lines, delimiter='\t'))


def test_same_seed_same_bytes(written):
    (one, _), (two, _) = written
    files = sorted(p.relative_to(one) for p in one.rglob('*') if p.is_file())
    assert len(files) > 20
    assert all((one / f).read_bytes() == (two / f).read_bytes() for f in files)


def test_sidecars_say_what_was_done(written):
    folder = written[0][0] / 'sub-01' / 'ses-1'
    dce = json.loads((folder / 'perf/sub-01_ses-1_ce-gadolinium_dce.json').read_text())
    assert dce['RepetitionTimeExcitation'] == 0.0054
    assert dce['InjectionStart'] == 3 * dce['AcquisitionDuration'] == dce['VolumeTiming'][3]
    assert len(dce['VolumeTiming']) == 9
    assert (dce['ContrastBolusDose'], dce['Hematocrit']) == (0.1, 0.42)
    flips = [
        json.loads((folder / f'anat/sub-01_ses-1_flip-{n}_VFA.json').read_text())
        for n in (1, 2, 3)
    ]
    assert [fields['FlipAngle'] for fields in flips] == [2, 5, 12]
    b1 = json.loads((folder / 'fmap/sub-01_ses-1_TB1map.json').read_text())
    assert b1['IntendedFor'][-1] == (
        'bids::sub-01/ses-1/perf/sub-01_ses-1_ce-gadolinium_dce.nii.gz'
    )


def test_measures_are_means_of_the_maps(written):
    out, row = written[0]
    truth = out / 'derivatives/truth/sub-01/ses-1/perf'
    ps = nib.load(truth / 'sub-01_ses-1_space-dce_desc-patlak_PSmap.nii.gz').get_fdata()
    t1 = nib.load(truth / 'sub-01_ses-1_space-dce_T1map.nii.gz').get_fdata()
    assert row['ps_drift'] == 1.0
    assert row['ps_nawm_1e4_permin'] < row['ps_dgm_1e4_permin'] < row['ps_cgm_1e4_permin']
    assert row['ps_nawm_1e4_permin'] < row['ps_wmh_1e4_permin']
    assert row['vp_nawm_ml100ml'] == pytest.approx(0.6, rel=0.15)
    assert 0.83 < row['t1_nawm_s'] < 0.93
    white = (t1 > 0.83) & (t1 < 0.93) & (ps < 5e-4)
    assert ps[white].mean() * 1e4 == pytest.approx(row['ps_nawm_1e4_permin'], rel=0.15)


def test_blood_enhances_as_its_plasma_says(written, scene):
    out, _ = written[0]
    vp = nib.load(
        out / 'derivatives/truth/sub-01/ses-1/perf/sub-01_ses-1_space-dce_desc-patlak_vpmap.nii.gz'
    ).get_fdata()
    assert vp.max() == pytest.approx(1 - 0.42, abs=0.02)
    image = nib.load(out / 'sub-01/ses-1/perf/sub-01_ses-1_ce-gadolinium_dce.nii.gz').get_fdata()
    blood = image[vp > 0.5].mean(axis=0)
    assert blood.argmax() == 3
    assert blood[3] > 3 * blood[:3].mean()


def test_motion_and_drift_are_told(written):
    tables = written[0][0] / 'derivatives/truth/sub-01/ses-1/perf'
    moved = _table(tables / 'sub-01_ses-1_ce-gadolinium_desc-motion_timeseries.tsv')
    assert [row['scan'] for row in moved[:4]] == ['flip-1_VFA', 'flip-2_VFA', 'flip-3_VFA', 'dce']
    assert float(moved[3]['trans_x_mm']) == 0
    assert any(abs(float(row['rot_z_deg'])) > 0.1 for row in moved)
    vif = _table(tables / 'sub-01_ses-1_ce-gadolinium_desc-vif_timeseries.tsv')
    assert float(vif[-1]['drift']) == pytest.approx(1 + 0.01 * 8.5 / 9, rel=1e-5)
    assert float(vif[4]['cb_mmol']) == pytest.approx(0.58 * float(vif[4]['cp_mmol']), rel=1e-4)


def test_a_moved_head_moves_back():
    points = np.stack(np.meshgrid(*[np.arange(-20.0, 21)] * 3, indexing='ij'))
    ball = np.exp(-((points[0] - 4) ** 2 + points[1] ** 2 + points[2] ** 2) / 50)
    affine = np.eye(4)
    affine[:3, 3] = -20
    there = motion.moved(ball, affine, np.array([1.0, 0, 0, 0, 0, 90.0]), np.ones_like(ball) > 0)
    peak = np.unravel_index(there.argmax(), there.shape)
    # Turned about z, x becomes y; then it moves along x.
    assert tuple(int(at) - 20 for at in peak) == (1, 4, 0)


def test_regions_do_not_overlap_and_spare_vessels(scene):
    scan = scene.place(STILL, np.random.default_rng(0), 0, 0)
    sinus = scan.draw(scene.features)[0]
    where = rois.regions(scene, scan, 1 - sinus)
    several = sum(where[name].astype(int) for name in ('nawm', 'wmh', 'dgm', 'cgm'))
    assert several.max() == 1
    assert all(where[name].sum() > 10 for name in ('nawm', 'wmh', 'dgm', 'cgm'))
    assert not (where['cgm'] & (sinus > 0.3)).any()
    assert rois.mean(sinus, np.zeros(sinus.shape, bool)) is None
