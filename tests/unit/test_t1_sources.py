"""T1 before the contrast agent: HIFI, MP2RAGE, inversion recovery; what is found, what is true."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from builders import head, write_dataset, write_image

from csvdprep.bids.query import collect_visits
from csvdprep.core.settings import Settings
from csvdprep.graph.discover import declared
from csvdprep.imaging.images import like, load
from csvdprep.imaging.inspect import inspect_image
from csvdprep.phantom.disease.hyperintensities import lesion_growth
from csvdprep.phantom.head.anatomy import make_anatomy
from csvdprep.phantom.permeability.contrast import Maps
from csvdprep.phantom.permeability.inversions import IR_SPGR, MP2RAGE, prepared_images, uniform
from csvdprep.phantom.permeability.series import PRESETS, record
from csvdprep.phantom.scanner.recorder import Recorder
from csvdprep.phantom.scanner.scene import Scene
from csvdprep.preprocessing.dce.mapping import map_t1
from csvdprep.science.prepared_gradient import (
    Prepared,
    Readout,
    Steady,
    fit_prepared,
    fit_recovery,
    mp2rage_t1,
    prepared_signal,
)
from csvdprep.science.spoiled_gradient import spgr_signal

SHARED = Path(__file__).parents[3] / 'shared' / 'data' / 'dce-reference' / 'sepal-vfa'
TR = 0.0054
T1 = np.array([0.3, 0.9, 1.3, 1.7, 4.0])
B1 = np.array([0.8, 1.0, 1.1, 1.25, 0.9])
INVERTED = {
    'RepetitionTimeExcitation': TR,
    'FlipAngle': 5,
    'NumberShots': 120,
    'InversionTime': 0.6,
    'RepetitionTimePreparation': 0.95,
}
TWO = {'RepetitionTimeExcitation': 0.0069, 'NumberShots': [80, 80], 'RepetitionTimePreparation': 5}


def readout(train):
    half = train.shots / 2
    return Readout(train.inversion_s, train.flip, train.tr / 1000, half, half)


def simulated(cycle):
    one = np.ones(T1.shape, np.float32)
    here = Maps(
        m0=1000 * one, r1=(1 / T1).astype(np.float32), ps=one, vp=one, b1=np.float32(B1), free=one
    )
    return np.stack(prepared_images(here, cycle), axis=-1)


# ---- equations


@pytest.mark.parametrize('cycle', [*IR_SPGR, MP2RAGE, replace(IR_SPGR[0], cycle_s=3.0)])
def test_the_closed_form_is_what_pulses_do(cycle):
    reads = [readout(train) for train in cycle.trains]
    found = prepared_signal(T1, reads, cycle.cycle_s, b1=B1, efficiency=cycle.efficiency)
    # Long T1 has not quite reached its steady state after a few cycles.
    np.testing.assert_allclose(1000 * found, simulated(cycle), atol=0.6, rtol=2e-3)


def test_trains_that_overlap_are_no_sequence():
    with pytest.raises(ValueError, match='begins before'):
        prepared_signal(1.0, [Readout(0.2, 5, TR, 80, 80)])
    with pytest.raises(ValueError, match='do not fit'):
        prepared_signal(1.0, [Readout(0.6, 5, TR, 80, 80)], 0.9)


def test_t1_and_flip_angles_are_found_in_images_made_pulse_by_pulse():
    signals = [np.abs(simulated(cycle)[..., 0]) for cycle in IR_SPGR]
    signals += [spgr_signal(1000, 1 / T1, TR, flip * B1) for flip in (2, 5, 12)]
    acquired = [Prepared(readout(cycle.trains[0]), cycle.cycle_s) for cycle in IR_SPGR]
    acquired += [Steady(flip, TR) for flip in (2, 5, 12)]
    t1, m0, b1 = fit_prepared(np.stack(signals, axis=-1), acquired)
    np.testing.assert_allclose(t1[:4], T1[:4], rtol=2e-3)
    np.testing.assert_allclose(b1[:4], B1[:4], rtol=2e-3)
    np.testing.assert_allclose(m0[:4], 1000, rtol=2e-3)
    held, *_ = fit_prepared(np.stack(signals, axis=-1), acquired, b1=B1)
    np.testing.assert_allclose(held[:4], T1[:4], rtol=2e-3)


def test_a_fit_without_enough_is_refused():
    with pytest.raises(ValueError, match='one inversion'):
        fit_prepared(np.ones((1, 3)), [Steady(flip, TR) for flip in (2, 5, 12)])
    with pytest.raises(ValueError, match='4 inversion times'):
        fit_recovery(np.ones((1, 3)), (0.1, 0.5, 1.0))
    nothing = fit_prepared(np.zeros((2, 3)), [Prepared(Readout(0.6, 5, TR, 60, 60)), *HIFI[1:3]])
    assert np.isnan(nothing).all()


HIFI = [Prepared(Readout(0.6, 5, TR, 80, 80)), Steady(2, TR), Steady(12, TR)]


def test_mp2rage_is_looked_up_whatever_the_flip_angle():
    first, second = np.moveaxis(simulated(MP2RAGE), -1, 0)
    stored = uniform([first + 0j, second + 0j]) / 4095 - 0.5
    reads = [readout(train) for train in MP2RAGE.trains]
    found = mp2rage_t1(stored, reads, MP2RAGE.cycle_s, b1=B1)
    np.testing.assert_allclose(found[:4], T1[:4], rtol=5e-3)
    blind = mp2rage_t1(stored, reads, MP2RAGE.cycle_s)
    assert np.abs(blind[1:4] / T1[1:4] - 1).max() < 0.12
    assert np.isnan(mp2rage_t1(np.array([-0.9, 0.9]), reads, MP2RAGE.cycle_s)).all()


def test_recovery_needs_neither_efficiency_nor_flip_angle():
    times = np.array([2.5, 0.05, 0.4, 1.1, 0.8])
    rng = np.random.default_rng(0)
    clean = np.abs(500 * (1 - 1.84 * np.exp(-times / T1[:, None])))
    t1, level = fit_recovery(clean, times)
    np.testing.assert_allclose(t1[:4], T1[:4], rtol=2e-3)
    np.testing.assert_allclose(level[:4], 500, rtol=2e-3)
    noisy = clean[2] + rng.normal(0, 5, (400, 5))
    assert abs(np.median(fit_recovery(noisy, times)[0]) - 1.3) < 0.02


@pytest.mark.skipif(not SHARED.is_dir(), reason='needs the reference data')
def test_worked_example_and_phantom_of_sepal():
    told = json.loads((SHARED / 'reference.json').read_text())
    acquired = []
    for one in told['acquisitions']:
        if one['type'] == 'SPGR':
            acquired.append(Steady(one['flip_angle_deg'], one['repetition_time_s']))
            continue
        tr, count = one['echo_spacing_s'], one['n_readout']
        time = one['ti_delay_s'] + one['centre'] * count * tr
        acquired.append(Prepared(Readout(time, one['flip_angle_deg'], tr, count / 2, count / 2)))
    worked, within = told['worked_example'], told['tolerance']
    t1, m0, b1 = fit_prepared(
        np.array(worked['signal_TI168_TI1068_FA2_FA5_FA12'], float), acquired
    )
    for name in ('hifi_all_five_python', 'hifi_all_five_matlab'):
        wanted = worked[name]
        assert abs(t1 - wanted['t1_s']) < within['t1_abs_s']
        assert abs(b1 - wanted['k_fa']) < within['k_fa_abs']
        assert m0 == pytest.approx(wanted['s0'], rel=within['s0_rel'])


# ---- what is found of a dataset


def write(path, **fields):
    write_image(path.with_suffix('.nii.gz'))
    path.with_suffix('.json').write_text(json.dumps(fields))
    return path.with_suffix('.nii.gz')


def write_dce(root):
    data = np.stack([head((40, 48, 40), seed=n) for n in range(12)], axis=-1)
    path = write_image(root / 'sub-01/perf/sub-01_ce-gad_dce.nii.gz', data)
    fields = {'RepetitionTimeExcitation': TR, 'FlipAngle': 12, 'AcquisitionDuration': 40}
    path.with_name(path.name.replace('.nii.gz', '.json')).write_text(json.dumps(fields))


def write_flips(root, angles=(2, 5, 12)):
    for number, angle in enumerate(angles, start=1):
        fields = {'RepetitionTimeExcitation': TR, 'FlipAngle': angle}
        write(root / f'sub-01/anat/sub-01_flip-{number}_VFA', **fields)


def only(root):
    settings = Settings(bids_dir=Path(root), output_dir=Path('out'))
    (visit,) = collect_visits(settings, declared(), inspect=inspect_image, warn=str)
    return visit


def write_inversions(root, times=(0.6, 1.5), **more):
    for number, time in enumerate(times, start=1):
        fields = INVERTED | {'InversionTime': time, 'RepetitionTimePreparation': time + 0.4}
        fields = {name: value for name, value in (fields | more).items() if value is not None}
        write(root / f'sub-01/anat/sub-01_inv-{number}_IRT1', **fields)


def write_mp2rage(root, *, unit=True, parts=('mag',), **more):
    for number, (time, flip) in enumerate(((0.7, 4), (2.5, 5)), start=1):
        for part in parts:
            fields = TWO | {'InversionTime': time, 'FlipAngle': flip} | more
            fields = {name: value for name, value in fields.items() if value is not None}
            write(root / f'sub-01/anat/sub-01_inv-{number}_part-{part}_MP2RAGE', **fields)
    if unit:
        write(root / 'sub-01/anat/sub-01_UNIT1')


@pytest.fixture
def bids(tmp_path):
    root = write_dataset(tmp_path / 'raw', ('sub-01/anat/sub-01_T1w',))
    write_dce(root)
    return root


def test_inversions_beside_flip_angles_are_hifi(bids):
    write_flips(bids)
    write_inversions(bids)
    found = only(bids).scans['dce']
    assert found.content['t1'] == 'hifi'
    assert [one['train']['inversion_s'] for one in found.content['trains']] == [0.6, 1.5]
    assert found.content['trains'][0]['train']['before'] == 60
    assert found.content['trains'][1]['cycle_s'] == pytest.approx(1.9)
    assert sum(uri.endswith('_IRT1.nii.gz') for uri in found.others) == 2


def test_the_order_of_sources_and_what_is_said_of_it(bids):
    write_image(bids / 'sub-01/anat/sub-01_T1map.nii.gz')
    assert only(bids).scans['dce'].content['t1'] == 't1map'
    write_flips(bids)
    assert only(bids).scans['dce'].content['t1'] == 'vfa'
    write_mp2rage(bids)
    given = only(bids)
    assert given.scans['dce'].content['t1'] == 'mp2rage'
    assert len(given.scans['dce'].content['vfa']) == 3  # what replaces it, if it cannot be read
    assert any(
        'T1 is mapped from MP2RAGE; 3 flip angles, sub-01_T1map.nii.gz are not used' in note
        for note in given.notes
    )
    write_image(bids / 'sub-01/fmap/sub-01_TB1map.nii.gz')
    assert only(bids).scans['dce'].content['t1'] == 'vfa'
    write_inversions(bids)
    assert only(bids).scans['dce'].content['t1'] == 'hifi'


def test_inversions_alone(bids):
    write_inversions(bids, (0.4, 0.6, 1.0, 1.5))
    assert only(bids).scans['dce'].content['t1'] == 'trains'
    write_inversions(bids, (0.05, 0.4, 1.0, 2.5), NumberShots=None)
    found = only(bids)
    assert found.scans['dce'].content['t1'] == 'recovery'
    assert len(found.scans['dce'].content['recovery']) == 4
    assert any('NumberShots is missing' in note for note in found.notes)


def test_mp2rage_may_have_lists_or_phases(bids):
    write_mp2rage(bids, unit=False, parts=('mag', 'phase'))
    found = only(bids).scans['dce'].content['mp2rage']
    assert found['uniform'] is None
    assert len(found['phases']) == 2
    for path in (bids / 'sub-01/anat').glob('*MP2RAGE*'):
        path.unlink()
    write(bids / 'sub-01/anat/sub-01_UNIT1', **TWO, InversionTime=[700, 2500], FlipAngle=[4, 5])
    found = only(bids).scans['dce'].content['mp2rage']
    assert [train['inversion_s'] for train in found['trains']] == pytest.approx([0.7, 2.5])
    assert found['magnitudes'] == []


#: What changes of MP2RAGE, and the field that is named.
MP2RAGE_WRONG = {
    'no TR of excitations': ({'RepetitionTimeExcitation': None}, 'RepetitionTimeExcitation'),
    'TR of the cycle for that of excitations': (
        {'RepetitionTimeExcitation': None, 'RepetitionTime': 5},
        'RepetitionTimeExcitation',
    ),
    'no number of shots': ({'NumberShots': None}, 'NumberShots'),
    'shots in words': ({'NumberShots': 'many'}, 'NumberShots'),
    'shots of three': ({'NumberShots': [1, 2, 3]}, 'NumberShots'),
    'shots negative': ({'NumberShots': [-80, 80]}, 'NumberShots'),
    'no shots at all': ({'NumberShots': 0}, 'NumberShots'),
    'more shots than time': ({'NumberShots': 400}, 'NumberShots'),
    'trains that overlap': ({'NumberShots': [80, 240]}, 'NumberShots'),
    'no inversion time': ({'InversionTime': None}, 'InversionTime'),
    'inversion time of nothing': ({'InversionTime': 0}, 'InversionTime'),
    'no flip angle': ({'FlipAngle': None}, 'FlipAngle'),
    'flip angle of 180': ({'FlipAngle': 180}, 'FlipAngle'),
    'no cycle': ({'RepetitionTimePreparation': None}, 'RepetitionTimePreparation'),
    'a cycle that is too short': ({'RepetitionTimePreparation': 2.8}, 'RepetitionTimePreparation'),
}


@pytest.mark.parametrize('case', MP2RAGE_WRONG)
def test_what_is_wrong_with_mp2rage_is_named_and_others_are_taken(bids, case):
    changes, field = MP2RAGE_WRONG[case]
    write_mp2rage(bids, **changes)
    write_flips(bids)
    given = only(bids)
    assert given.scans['dce'].content['t1'] == 'vfa'
    said = [note for note in given.notes if 'not taken from MP2RAGE' in note]
    assert len(said) == 1
    assert f'[field: {field}] Remedy: ' in said[0]


def test_inversions_with_equal_times_are_told(bids):
    write_mp2rage(bids, InversionTime=0.7)
    assert only(bids).scans['dce'].content['t1'] == ''


@pytest.mark.parametrize(
    ('changes', 'field'),
    [
        ({'RepetitionTimeExcitation': None}, 'RepetitionTimeExcitation'),
        ({'FlipAngle': None}, 'FlipAngle'),
        ({'NumberShots': None}, 'NumberShots'),
        ({'RepetitionTimePreparation': 0.7}, 'RepetitionTimePreparation'),
        ({'InversionTime': 0.2}, 'NumberShots'),
    ],
)
def test_what_hifi_lacks_is_named_and_flip_angles_are_taken(bids, changes, field):
    write_flips(bids)
    write_inversions(bids, **changes)
    given = only(bids)
    assert given.scans['dce'].content['t1'] == 'vfa'
    assert any(f'field: {field}' in note and 'Remedy' in note for note in given.notes)


def test_an_image_without_inversion_time_is_refused(bids):
    write_inversions(bids, InversionTime=None)
    refused = dict(only(bids).refused)
    assert all('field: InversionTime' in why for why in refused.values())
    assert len(refused) == 2


# ---- from images


@pytest.fixture(scope='module')
def scene():
    anatomy = make_anatomy(3, spacing=4.0, ventricles_mm=2.0)
    wmh = lesion_growth(anatomy, 1).fraction(25)
    return Scene(anatomy=anatomy, wmh=wmh, features=(), rotation=(4, 0, 2))


@pytest.mark.parametrize(
    ('mapping', 'source', 'within'),
    [
        ('hifi', 'flip angles and inversions', 0.04),
        ('mp2rage', 'MP2RAGE', 0.06),
        ('mp2rage-complex', 'MP2RAGE', 0.06),
    ],
)
def test_t1_of_the_phantom_without_a_map_of_b1(scene, tmp_path, mapping, source, within):
    preset = PRESETS['tiny']
    protocol = replace(
        preset,
        frames=9,
        b1_spread=0.08,
        mapping=mapping,
        b1_map=False,
        scan=replace(preset.scan, voxel=(5, 5, 5)),
    )
    recorder = Recorder(tmp_path, '01', '1')
    record(scene, protocol, recorder, 5)
    recorder.close()
    (tmp_path / 'dataset_description.json').write_text('{"Name": "a", "BIDSVersion": "1.9.0"}')
    content = only(tmp_path).scans['dce'].content
    series = load(content['series'])
    mean = like(np.asanyarray(series.dataobj, np.float32)[..., :3].mean(axis=-1), series)
    folder = tmp_path / 'derivatives/truth/sub-01/ses-1/perf'
    truth = load(next(folder.glob('*T1map.nii.gz')))
    t1, b1 = truth.get_fdata(), load(next(folder.glob('*TB1map.nii.gz'))).get_fdata()
    brain = (t1 > 0.5) & (t1 < 3)
    found = map_t1(content, mean, brain, brain, None, 'nonlinear')
    assert (found.source, found.notes) == (source, [])
    for tissue in (brain & (t1 < 1.05), brain & (t1 > 1.2) & (t1 < 1.8)):
        assert abs(np.median(found.t1[tissue] / t1[tissue]) - 1) < within
    if mapping == 'hifi':
        assert np.median(np.abs(found.b1 / b1 - 1)[brain]) < 0.02


def test_a_uniform_image_of_no_known_range_is_not_used(tmp_path):
    data = np.random.default_rng(0).uniform(-7, 9000, (8, 8, 8)).astype(np.float32)
    path = tmp_path / 'unit.nii.gz'
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    two = {'uniform': str(path), 'magnitudes': [], 'phases': [], 'trains': [], 'cycle_s': 5.0}
    mean = nib.Nifti1Image(data, np.eye(4))
    mask = np.ones(data.shape, bool)
    found = map_t1({'t1': 'mp2rage', 'mp2rage': two}, mean, mask, mask, None, 'nonlinear')
    assert found.source == 'none'
    assert 'none of the ranges in use' in found.notes[0]


def test_a_t1_map_replaces_a_uniform_image_of_no_known_range(tmp_path):
    data = np.random.default_rng(0).uniform(-7, 9000, (8, 8, 8)).astype(np.float32)
    paths = [str(tmp_path / name) for name in ('unit.nii.gz', 't1.nii.gz')]
    nib.save(nib.Nifti1Image(data, np.eye(4)), paths[0])
    nib.save(nib.Nifti1Image(0.8 + data / 30000, np.eye(4)), paths[1])
    two = {'uniform': paths[0], 'magnitudes': [], 'phases': [], 'trains': [], 'cycle_s': 5.0}
    mean = nib.Nifti1Image(data, np.eye(4))
    mask = np.ones(data.shape, bool)
    content = {'t1': 'mp2rage', 'mp2rage': two, 'vfa': [], 't1map': paths[1]}
    found = map_t1(content, mean, mask, mask, None, 'nonlinear')
    assert found.source == 'T1 map'
    assert 'none of the ranges in use' in found.notes[0]
    assert 0.8 < np.median(found.t1[mask]) < 1.1


def test_flip_angles_stay_at_hand_beside_mp2rage(bids):
    write_flips(bids)
    write_mp2rage(bids)
    content = only(bids).scans['dce'].content
    assert content['t1'] == 'mp2rage'
    assert len(content['vfa']) > 1
