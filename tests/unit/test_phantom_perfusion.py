"""ASL of the phantom: the closed formulas, written here, find what was put in."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage as ndi
from scipy.optimize import curve_fit

from csvdprep.phantom.disease.hyperintensities import lesion_growth
from csvdprep.phantom.geometry.features import Ellipsoid
from csvdprep.phantom.head.anatomy import make_anatomy
from csvdprep.phantom.perfusion.blood_flow import flow
from csvdprep.phantom.perfusion.labelling import Protocol, arrived, difference, static
from csvdprep.phantom.perfusion.series import PRESETS, clean_volume, maps, record
from csvdprep.phantom.scanner.recorder import Recorder
from csvdprep.phantom.scanner.scan import Scan
from csvdprep.phantom.scanner.scene import Scene

SCAN = Scan(voxel=(4, 4, 6), noise=0.0, bias=0.0, low=(-92, -122, -76), high=(92, 108, 90))
T1_BLOOD = 1.65


@pytest.fixture(scope='module')
def scene():
    anatomy = make_anatomy(3, spacing=4.0, ventricles_mm=2.0)
    hole = Ellipsoid(
        kind='lacune',
        tissue='csf',
        centre=anatomy.to_head([[-24, 0, 22]])[0],
        radii=np.full(3, 6.0),
    )
    return Scene(anatomy=anatomy, wmh=lesion_growth(anatomy, 1).fraction(25), features=(hole,))


def pcasl_cbf(ratio, delay, alpha=0.85, duration=1.8, t1=T1_BLOOD):
    rest = 2 * alpha * t1 * (1 - np.exp(-duration / t1))
    return 6000 * 0.9 * ratio * np.exp(delay / t1) / rest


def pasl_cbf(ratio, delay, alpha=0.98, duration=0.8, t1=T1_BLOOD):
    return 6000 * 0.9 * ratio * np.exp(delay / t1) / (2 * alpha * duration)


@pytest.mark.parametrize(
    ('labelling', 'duration', 'delay', 'cbf'),
    [('PCASL', 1.8, 1.8, 86.30), ('PCASL', 1.8, 2.3, 116.85), ('PASL', 0.8, 1.8, 102.52)],
)
def test_the_vectors_of_the_specification(labelling, duration, delay, cbf):
    protocol = Protocol(scan=SCAN, labelling=labelling, duration=duration)
    ratio = float(difference(cbf, 0.8, 1.0, delay, protocol))
    assert ratio == pytest.approx(0.010, rel=1e-4)
    inverse = pcasl_cbf if labelling == 'PCASL' else pasl_cbf
    assert inverse(ratio, delay) == pytest.approx(cbf, rel=1e-6)
    assert inverse(0.010, delay) == pytest.approx(cbf, abs=0.005)


@pytest.mark.parametrize(('labelling', 'duration'), [('PCASL', 1.8), ('PASL', 0.8)])
def test_label_that_comes_late_is_the_integral_of_its_arrival(labelling, duration):
    """Add up what leaves the label in small steps, each decaying on its way."""
    protocol = Protocol(scan=SCAN, labelling=labelling, duration=duration)
    delay = 1.0
    for att in (0.0, 0.4, 0.9, 1.7, 2.5, 3.0):
        step = duration / 4000
        left = (np.arange(4000) + 0.5) * step
        since = duration + delay if labelling == 'PCASL' else delay
        decays = since - left if labelling == 'PCASL' else np.full(4000, since)
        label = np.exp(-decays / T1_BLOOD) * (left + att <= since)
        wanted = 2 * protocol.alpha * 50 / 5400 * label.sum() * step
        assert float(difference(50, att, 1, delay, protocol)) == pytest.approx(wanted, abs=2e-6)


@pytest.mark.parametrize(
    'settings',
    [
        {},
        {'slice_s': 0.04},
        {'slice_s': 0.04, 'label_first': True, 'tr': 3.0},
        {'labelling': 'PASL', 'duration': 0.7, 'delays': (2.0,), 'slice_s': 0.03},
        {'suppression': 0.1, 'pulses': 2},
        {'efficiency': 0.7, 'slice_s': 0.02, 'suppression': 0.2},
    ],
)
def test_the_closed_formula_finds_the_flow_of_every_voxel(scene, settings):
    protocol = Protocol(scan=scene.place(SCAN, np.random.default_rng(0), 0, 0), **settings)
    here = maps(scene, protocol)
    delay = protocol.delays[0]
    pair = {
        kind: clean_volume(here, protocol, kind, delay, 3.0).astype(float)
        for kind in ('control', 'label')
    }
    late = delay + protocol.slice_times().reshape(1, 1, -1)
    done = (here.cbf > 5) & arrived(here.att, late, protocol)
    assert done.sum() > 0.5 * (here.cbf > 5).sum() > 5000
    m0 = np.where(here.m0 > 0, here.m0, 1)
    alpha = protocol.efficiency or {'PCASL': 0.85, 'PASL': 0.98}[protocol.labelling] * (
        0.95**protocol.pulses
    )
    inverse = pcasl_cbf if protocol.labelling == 'PCASL' else pasl_cbf
    cbf = inverse((pair['control'] - pair['label']) / m0, late, alpha, protocol.duration)
    np.testing.assert_allclose(cbf[done] / here.cbf[done], 1, atol=1e-3)
    # Where label is still on its way the formula must find too little.
    waiting = (here.cbf > 5) & ~arrived(here.att, late, protocol)
    assert not waiting.any() or (cbf[waiting] < here.cbf[waiting]).all()


def test_several_delays_tell_the_arrival_time(scene):
    protocol = replace(PRESETS['multidelay'], scan=SCAN)
    here = maps(scene, protocol)
    delays = np.array(protocol.delays)
    alpha = 0.85 * 0.95**2

    def model(delay, cbf, att):
        since = np.clip(protocol.duration + delay - att, 0, protocol.duration)
        return (
            2
            * alpha
            * cbf
            / 5400
            * T1_BLOOD
            * (np.exp(since / T1_BLOOD) - 1)
            * np.exp(-(protocol.duration + delay) / T1_BLOOD)
        )

    def volume(kind, delay):
        return clean_volume(here, protocol, kind, delay, 3.0).astype(float)

    curves = np.stack([volume('control', d) - volume('label', d) for d in delays], axis=-1)
    some = np.argwhere((here.cbf > 10) & (here.att > 0.6))[::400]
    assert len(some) > 15
    for at in map(tuple, some):
        (cbf, att), _ = curve_fit(model, delays, curves[at] / here.m0[at], p0=(40, 1.2))
        assert cbf == pytest.approx(here.cbf[at], rel=0.01)
        assert att == pytest.approx(here.att[at], rel=0.01)


def test_background_recovers_after_suppression():
    protocol = Protocol(scan=SCAN, suppression=0.1, pulses=2)
    recovering = static(1.0, 1 / 1.3, np.array([0.0, 0.5, 20.0]), protocol)
    np.testing.assert_allclose(recovering[[0, 2]], [0.1, 1.0], atol=1e-5)
    assert 0.1 < recovering[1] < 1
    full = Protocol(scan=SCAN, tr=1.3)
    assert float(static(1.0, 1 / 1.3, 0.0, full)) == pytest.approx(1 - np.exp(-1))


def test_flow_is_lower_in_and_around_lesions(scene):
    cbf, _ = flow(scene)
    box = scene.anatomy.brain_box()
    white = (scene.anatomy.fractions['wm'][box] > 0.95) & (scene.wmh[box] < 0.01)
    away = ndi.distance_transform_edt(scene.wmh[box] <= 0.5, sampling=4.0)
    near, far = cbf[white & (away <= 5.7)].mean(), cbf[white & (away > 12)].mean()
    assert cbf[scene.wmh[box] > 0.9].mean() < 0.8 * near < 0.8 * far
    even, _ = flow(replace(scene, factors={'cbf_penumbra': 0.0}))
    assert even[white & (away <= 5.7)].mean() / near > 1.05


def test_the_person_decides_flow_and_its_sides(scene):
    box = scene.anatomy.brain_box()
    base, product = flow(scene)
    less, later = flow(replace(scene, factors={'cbf': 0.8, 'att': 1.1}))
    np.testing.assert_allclose(less, 0.8 * base, rtol=1e-5)
    assert later.sum() / less.sum() > product.sum() / base.sum() + 0.08
    leaning, _ = flow(replace(scene, factors={'cbf_asymmetry': 0.2}))
    x = (np.arange(base.shape[0]) + box[0].start) * 4.0 + scene.affine[0, 3]
    left, right = (leaning[side].sum() / base[side].sum() for side in (x < -30, x > 30))
    assert (left - right) / (left + right) * 2 == pytest.approx(0.2, abs=0.005)


@pytest.fixture(scope='module')
def written(scene, tmp_path_factory):
    spoiled = replace(SCAN, noise=0.003, bias=0.2)

    def take(name):
        out = tmp_path_factory.mktemp(name)
        recorder = Recorder(out, '01', '1')
        record(
            scene,
            replace(
                PRESETS['tiny'],
                scan=spoiled,
                pairs=4,
                motion=0.5,
                fluctuation=0.002,
                entities={'acq': 'pcasl'},
            ),
            recorder,
            5,
        )
        multi = replace(PRESETS['multidelay'], scan=spoiled, pairs=1, entities={'acq': 'multi'})
        record(scene, multi, recorder, 6, measures=False)
        pasl = replace(
            PRESETS['pasl'],
            scan=spoiled,
            pairs=6,
            motion=0.0,
            fluctuation=0.0,
            entities={'acq': 'pasl'},
        )
        record(scene, pasl, recorder, 7, measures=False)
        return out, recorder.close()

    return take('one'), take('two')


def test_same_seed_same_bytes(written):
    (one, _), (two, _) = written
    files = sorted(p.relative_to(one) for p in one.rglob('*') if p.is_file())
    assert len(files) > 30
    assert all((one / f).read_bytes() == (two / f).read_bytes() for f in files)


def _fields(written, name):
    return json.loads(
        (written[0][0] / 'sub-01/ses-1/perf' / f'sub-01_ses-1_{name}.json').read_text()
    )


def _context(written, name):
    path = written[0][0] / 'sub-01/ses-1/perf' / f'sub-01_ses-1_acq-{name}_aslcontext.tsv'
    return path.read_text().split()[1:]


def test_sidecars_and_context_agree_with_the_images(written):
    single, multi = _fields(written, 'acq-pcasl_asl'), _fields(written, 'acq-multi_asl')
    assert _context(written, 'pcasl') == ['control', 'label'] * 4
    assert _context(written, 'pasl') == ['label', 'control'] * 6
    assert single['TotalAcquiredPairs'] == 4
    assert len(single['SliceTiming']) == 28
    assert single['SliceTiming'][1] == 0.03
    m0 = _fields(written, 'acq-pcasl_m0scan')
    assert m0['IntendedFor'] == ['bids::sub-01/ses-1/perf/sub-01_ses-1_acq-pcasl_asl.nii.gz']
    assert multi['PostLabelingDelay'] == [0, *np.repeat([0.5, 1.0, 1.5, 2.0, 2.5, 3.0], 2)]
    assert multi['LabelingDuration'][:2] == [0, 1.8]
    assert multi['RepetitionTimePreparation'][:2] == [10.0, 4.8]
    assert _context(written, 'multi')[:2] == ['m0scan', 'control']
    pasl = _fields(written, 'acq-pasl_asl')
    assert (pasl['BolusCutOffTechnique'], pasl['BolusCutOffDelayTime']) == ('QUIPSSII', 0.8)


def test_images_with_noise_give_the_truth_on_average(written):
    out, row = written[0]
    folder = out / 'sub-01/ses-1/perf'
    image = nib.load(folder / 'sub-01_ses-1_acq-pasl_asl.nii.gz').get_fdata()
    m0 = nib.load(folder / 'sub-01_ses-1_acq-pasl_m0scan.nii.gz').get_fdata()
    truth = out / 'derivatives/truth/sub-01/ses-1/perf/sub-01_ses-1_acq-pasl_space-asl_'
    cbf, att = (nib.load(f'{truth}{name}.nii.gz').get_fdata() for name in ('cbf', 'att'))
    ratio = (image[..., 1::2] - image[..., ::2]).mean(axis=-1) / np.maximum(m0, 1)
    late = 1.8 + 0.03 * np.arange(28).reshape(1, 1, -1)
    brain = (cbf > 20) & (att + 0.8 < late)
    assert pasl_cbf(ratio, late)[brain].mean() == pytest.approx(cbf[brain].mean(), rel=0.03)
    assert row['cbf_gm'] == pytest.approx(50, rel=0.15)
    assert row['cbf_wmh'] < row['cbf_nawm'] < row['cbf_gm'] / 1.5
    assert 1 < row['att_gm'] < 1.6
    assert {'cbf_aca', 'cbf_mca', 'cbf_pca', 'cbf_wm'} <= set(row)


def test_a_lacune_has_no_flow(written, scene):
    truth = written[0][0] / 'derivatives/truth/sub-01/ses-1/perf'
    image = nib.load(truth / 'sub-01_ses-1_acq-pcasl_space-asl_cbf.nii.gz')
    place = scene.features[0].centre
    at = np.rint(np.linalg.inv(image.affine) @ [*place, 1])[:3].astype(int)
    around = tuple(slice(i - 1, i + 2) for i in at)
    assert image.get_fdata()[around].min() < 3


def test_motion_is_told(written):
    path = (
        written[0][0]
        / 'derivatives/truth/sub-01/ses-1/perf'
        / 'sub-01_ses-1_acq-pcasl_desc-motion_timeseries.tsv'
    )
    with path.open(encoding='utf-8') as lines:
        rows = list(csv.DictReader(lines, delimiter='\t'))
    assert len(rows) == 8
    assert float(rows[0]['rot_x_deg']) == 0
    assert any(abs(float(row['trans_y_mm'])) > 0.05 for row in rows)
