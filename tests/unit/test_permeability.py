"""DCE-MRI: what is found of a dataset, motion, baseline, input function, regions."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from builders import head, write_dataset, write_image
from scipy import ndimage as ndi

from csvdprep.bids.bidsignore import missing_rules, write_rules
from csvdprep.bids.query import collect_visits
from csvdprep.bids.tsv import read_tsv
from csvdprep.core.errors import MeasureError, PreflightError
from csvdprep.core.settings import Settings
from csvdprep.graph.discover import declared
from csvdprep.imaging.inspect import inspect_image
from csvdprep.imaging.transforms import write_linear
from csvdprep.markers.permeability.science import (
    estimate,
    find_drift,
    find_passage,
    find_sinus,
    fit_window,
    in_sinus,
    why_not,
    width_of,
)
from csvdprep.phantom.permeability.bolus import frame_means, venous
from csvdprep.preprocessing.dce.mapping import map_t1
from csvdprep.preprocessing.dce.science import find_baseline, find_motions, pulled
from csvdprep.science.spoiled_gradient import spgr_signal, to_concentration

FRAMES, STEP = 28, 40.0
SIDE = {
    'RepetitionTimeExcitation': 0.0054,
    'FlipAngle': 12,
    'AcquisitionDuration': STEP,
    'InjectionStart': 120.0,
    'Relaxivity': 4.5,
    'Hematocrit': 0.42,
    'ContrastBolusDose': 0.1,
}
TIME = (np.arange(FRAMES) + 0.5) * STEP
PLASMA, INTEGRAL = frame_means(lambda t: venous(t - 132), FRAMES, STEP)


def series(shape=(40, 48, 40), frames=FRAMES):
    return np.stack([head(shape, seed=n) for n in range(frames)], axis=-1)


def write_dce(root, name='sub-01/perf/sub-01_ce-gadolinium_dce', *, frames=FRAMES, **side):
    path = write_image(root / f'{name}.nii.gz', series(frames=frames))
    path.with_name(path.name.replace('.nii.gz', '.json')).write_text(json.dumps(SIDE | side))
    return path


def write_flips(root, angles=(2, 5, 12), name='sub-01/anat/sub-01_flip-{}_VFA', **side):
    for number, angle in enumerate(angles, start=1):
        path = write_image(root / f'{name.format(number)}.nii.gz')
        fields = {'RepetitionTimeExcitation': 0.0054, 'FlipAngle': angle} | side
        path.with_name(path.name.replace('.nii.gz', '.json')).write_text(json.dumps(fields))


def only(root, **asked):
    (visit,) = collect_visits(
        Settings(bids_dir=Path(root), output_dir=Path('out'), **asked),
        declared(),
        inspect=inspect_image,
        warn=str,
    )
    return visit


@pytest.fixture
def bids(tmp_path):
    return write_dataset(tmp_path / 'raw', ('sub-01/anat/sub-01_T1w',))


# ---- what is found of a dataset


def test_series_flips_and_b1_are_found(bids):
    write_dce(bids)
    write_flips(bids)
    b1 = write_image(bids / 'sub-01/fmap/sub-01_TB1map.nii.gz')
    found = only(bids).scans['dce']
    assert [item['flip_deg'] for item in found.content['vfa']] == [2, 5, 12]
    assert found.content['b1map'] == str(b1)
    assert found.content['protocol']['times_s'][:2] == [20.0, 60.0]
    assert found.entities == {'ce': 'gadolinium'}
    assert sum(uri.endswith('.nii.gz') for uri in found.others) == 4
    before = found.digest
    write_image(b1, head(seed=9))
    assert only(bids).scans['dce'].digest != before


@pytest.mark.parametrize(
    'name',
    [
        'sub-01/perf/sub-01_dce',
        'sub-01/perf/sub-01_acq-fast_ce-gadovist_run-1_dce',
        'sub-01/perf/sub-01_DCE',
        'sub-01/perf/sub-01_ce-gad_perf',
        'sub-01/anat/sub-01_dce',
        'sub-01/dce/sub-01_dce',
        'sub-01/dce/sub-01_ce-gad_T1w',
    ],
)
def test_names_in_use_are_read(bids, name):
    write_dce(bids, name)
    given = only(bids)
    assert Path(given.scans['dce'].path).name.startswith(Path(name).name)
    assert any('without T1 there is no concentration' in note for note in given.notes)


@pytest.mark.parametrize('rules', ['*_dce.*', 'perf/*_dce*\n**/perf/*_dce*'])
def test_rules_of_bidsignore_for_the_name_leave_nothing_out(bids, rules):
    write_dce(bids)
    (bids / '.bidsignore').write_text(rules + '\n')
    assert 'dce' in only(bids).scans


@pytest.mark.parametrize('rules', ['sub-01', '**/perf', '*gadolinium*'])
def test_rules_for_the_file_do(bids, rules):
    write_dce(bids)
    write_image(bids / 'sub-02/anat/sub-02_T1w.nii.gz')
    (bids / '.bidsignore').write_text(rules + '\n')
    given = collect_visits(
        Settings(bids_dir=bids, output_dir=Path('out'), participant_label=('01',)),
        declared(),
        inspect=inspect_image,
        warn=str,
    )[0]
    assert 'dce' not in given.scans


def test_a_series_without_flip_angle_is_refused_and_others_go_on(bids):
    write_dce(bids, FlipAngle=None)
    given = only(bids)
    assert set(given.scans) == {'t1w'}
    ((shown, why),) = given.refused
    assert shown.endswith('_dce.nii.gz')
    assert 'field: FlipAngle' in why
    assert 'Remedy' in why


def test_the_longest_series_is_taken(bids):
    write_dce(bids, 'sub-01/perf/sub-01_run-1_dce', frames=10)
    write_dce(bids, 'sub-01/perf/sub-01_run-2_dce')
    given = only(bids)
    assert given.scans['dce'].entities == {'run': '2'}
    assert any('longest series' in note for note in given.notes)


def test_flips_of_two_repetition_times_do_not_belong_together(bids):
    write_dce(bids)
    write_flips(bids)
    write_flips(bids, (15,), 'sub-01/anat/sub-01_flip-4_VFA', RepetitionTimeExcitation=0.02)
    write_flips(bids, (2, 15), 'sub-01/anat/sub-01_ce-gad_flip-{}_VFA')
    given = only(bids)
    assert [item['flip_deg'] for item in given.scans['dce'].content['vfa']] == [2, 5, 12]
    said = '\n'.join(given.notes)
    assert 'one flip angle' in said
    assert 'acquired with contrast agent' in said


def test_a_t1_map_is_taken_where_there_are_no_flips(bids):
    write_dce(bids)
    given = write_image(bids / 'sub-01/anat/sub-01_T1map.nii.gz')
    assert only(bids).scans['dce'].content['t1map'] == str(given)
    write_flips(bids)
    assert only(bids).scans['dce'].content['t1map'] is None


def test_a_t1_map_after_contrast_agent_is_not_used(bids):
    write_dce(bids)
    write_image(bids / 'sub-01/anat/sub-01_ce-gadobutrol_T1map.nii.gz')
    given = only(bids)
    assert given.scans['dce'].content['t1map'] is None
    assert any('T1map' in note and 'with contrast agent' in note for note in given.notes)
    native = write_image(bids / 'sub-01/anat/sub-01_run-01_T1map.nii.gz')
    assert only(bids).scans['dce'].content['t1map'] == str(native)


def test_the_doctor_writes_rules_for_unsettled_names(bids):
    write_dce(bids)
    write_dce(bids, 'sub-01/dce/sub-01_dce')
    (bids / '.bidsignore').write_text('extra')
    assert missing_rules(bids) == {'*_dce.*': 2, 'dce': 2}
    write_rules(bids)
    assert (bids / '.bidsignore').read_text() == 'extra\n*_dce.*\ndce\n'
    assert write_rules(bids) == {}
    with pytest.raises(PreflightError, match='no BIDS dataset'):
        write_rules(bids / 'sub-01')


# ---- baseline and motion


def enhanced(noise=0.0, first=1.0, seed=0):
    """A block of tissue with a vessel in it."""
    rng = np.random.default_rng(seed)
    rate = np.full((12, 12, 12, FRAMES), 1.0) + 4.5 * 0.006 * PLASMA
    rate[5:7, 5:7, 3:9] = 1 / 1.6 + 4.5 * 0.58 * PLASMA
    data = 5000 * spgr_signal(1.0, rate, 0.0054, 12)
    data[..., 0] *= first
    return data * (1 + rng.normal(0, noise, data.shape)) if noise else data


def test_baseline_is_what_the_injection_says():
    everywhere = np.ones((12, 12, 12), bool)
    assert find_baseline(enhanced(0.02), everywhere, TIME, 120.0) == (slice(0, 3), [])
    # The bolus arrives 12 s into the fourth volume.
    assert find_baseline(enhanced(0.02), everywhere, TIME)[0] == slice(0, 3)


@pytest.mark.parametrize('said', [400.0, 5.0])
def test_an_injection_that_the_images_contradict_is_not_believed(said):
    data = enhanced(0.02)
    if said == 5.0:
        data = np.concatenate([np.repeat(data[..., :1], 10, axis=3), data], axis=3)
    times = (np.arange(data.shape[3]) + 0.5) * STEP
    baseline, notes = find_baseline(data, np.ones((12, 12, 12), bool), times, said)
    assert baseline.stop in (3, 13)
    assert 'the images are believed' in notes[0]


@pytest.mark.parametrize('injection', [120.0, None])
@pytest.mark.parametrize(('shift', 'since'), [(0.25, 20), (1.0, 20), (1.5, 5)])
def test_a_head_that_moves_is_no_bolus(injection, shift, since):
    rng = np.random.default_rng(0)
    grid = np.indices((36, 40, 16)) - np.array([18, 20, 8]).reshape(3, 1, 1, 1)
    radius = np.hypot(grid[0] / 17, grid[1] / 19)
    brain, scalp = radius < 0.75, (radius > 0.88) & (radius < 0.98)
    head = np.where(brain, 300.0, np.where(scalp, 500, np.where(radius < 0.9, 45, 0)))
    head += brain * 60 * ndi.gaussian_filter(rng.normal(0, 4, head.shape), 1)
    vessel = (np.abs(grid[0]) < 2) & (np.abs(grid[1] + 13) < 2)
    data = np.repeat(head[..., None], FRAMES, axis=3)
    data[vessel] *= 1 + 2.5 * (PLASMA / PLASMA.max())
    for number in range(since, FRAMES):
        moved = ndi.shift(data[..., number], (shift, shift / 2, 0), order=1)
        data[..., number] = moved
    data = np.abs(data + rng.normal(0, 5, data.shape))
    found, notes = find_baseline(data, data[..., 0] > 30, TIME, injection, (2.0, 2.0, 2.0))
    assert found == slice(0, 3)
    assert notes == []


def test_a_bolus_at_the_time_of_the_injection_is_believed_whatever_comes_later():
    data = enhanced(0.02)
    data[:3, :, :, 15:] *= 8
    baseline, notes = find_baseline(data, np.ones((12, 12, 12), bool), TIME, 120.0)
    assert (baseline, notes) == (slice(0, 3), [])


def test_first_volume_that_is_not_steady_is_left_out():
    baseline, notes = find_baseline(
        enhanced(0.01, first=1.15), np.ones((12, 12, 12), bool), TIME, 120.0
    )
    assert baseline == slice(1, 3)
    assert 'steady state' in notes[0]


def test_a_series_without_bolus_has_no_baseline():
    flat = 100 + np.random.default_rng(0).normal(0, 1, (12, 12, 12, FRAMES))
    baseline, notes = find_baseline(flat, np.ones((12, 12, 12), bool), TIME, 120.0)
    assert baseline.stop == 0
    assert notes == ['no bolus is seen in the series']


def test_motion_is_found_and_the_bolus_is_none():
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(28)] * 3, indexing='ij'), -1) - 13.5
    radius = np.linalg.norm(grid / [1, 0.85, 0.9], axis=-1)
    texture = 300 * ndi.gaussian_filter(rng.normal(0, 1, (28, 28, 28)), 1.6)
    still = np.where(radius < 11, 300 + texture, 0).astype(np.float32)
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = -54
    data = np.repeat(still[..., None], 12, axis=3)
    data[12:16, 4:7, 12:20, 3:] *= 4  # a vessel
    data[..., 3:] *= 1.04
    moved = np.eye(4)
    moved[:3, 3] = (1.5, -1.0, 0.8)
    data[..., 7] = pulled(data[..., 7:8], np.linalg.inv(moved)[None], affine)[..., 0]
    data += rng.normal(0, 4, data.shape).astype(np.float32) * (data > 0)
    found = find_motions(data, radius < 10, affine, slice(0, 3))
    shifts = found[:, :3, 3] + found[:, :3, :3] @ [0, 0, 0]
    assert np.abs(shifts[7] - moved[:3, 3]).max() < 0.25
    assert np.abs(np.delete(shifts, 7, axis=0)).max() < 0.15


@pytest.mark.parametrize('unit', [1.0, 1000.0])
def test_values_of_a_t1_map_that_are_none_do_not_ruin_its_registration(unit, tmp_path):
    rng = np.random.default_rng(0)
    grid = np.indices((32, 32, 28)) - np.array([16, 16, 14]).reshape(3, 1, 1, 1)
    brain = np.sqrt((grid[0] / 12) ** 2 + (grid[1] / 13) ** 2 + (grid[2] / 11) ** 2) < 1
    texture = ndi.gaussian_filter(rng.normal(0, 1, brain.shape), 1.5)
    t1 = np.where(brain, 1.2 + 0.3 * np.clip(texture / texture.std(), -2, 2), 0)
    affine = np.diag([4.0, 4, 4, 1])
    mean = np.where(brain, 400 / np.maximum(t1, 0.3), 0) + rng.normal(0, 5, t1.shape)
    mean = nib.Nifti1Image(mean.astype(np.float32), affine)
    moved = unit * ndi.shift(t1, (1.0, -1.0, 0.5), order=1)
    inside = np.argwhere(ndi.binary_erosion(brain, iterations=3))
    for number, at in enumerate(inside[rng.choice(len(inside), 40, replace=False)]):
        moved[tuple(at)] = (np.inf, np.nan, 5000 * unit, -3)[number % 4]
    path = tmp_path / 't1.nii.gz'
    nib.save(nib.Nifti1Image(moved.astype(np.float32), affine), path)
    mapped = map_t1({'t1': 't1map', 't1map': str(path)}, mean, brain, brain, None, 'nonlinear')
    found = mapped.t1
    assert (mapped.source, mapped.notes) == ('T1 map', [])
    assert found.max() < 10
    core = ndi.binary_erosion(brain, iterations=2)
    off = np.abs(found - t1)[core]
    assert np.median(off) < 0.05


# ---- input function


def convert(signal, t1, b1=1.0):
    return to_concentration(
        signal, t1, tr_s=0.0054, flip_deg=12, relaxivity=4.5, baseline=slice(0, 3), b1=b1
    )


def vessels(count=200, noise=0.02, shares=(0.2, 1.0), seed=0):
    """Voxels that hold blood by part, at T1 of 1.55 s, and tissue."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(*shares, count)
    blood = spgr_signal(1.0, 1 / 1.55 + 4.5 * 0.58 * PLASMA, 0.0054, 12)
    tissue = spgr_signal(1.0, 1 / 1.4 + 4.5 * 0.01 * PLASMA, 0.0054, 12)
    signal = share[:, None] * blood + (1 - share[:, None]) * tissue
    coil = rng.uniform(0.6, 1.4, (count, 1))
    noisy = 5000 * coil * (signal + rng.normal(0, noise * signal[:, :1].mean(), signal.shape))
    return noisy, share


def test_blood_is_measured_without_bias_of_choice():
    for noise, tolerance in ((0.0, 0.002), (0.02, 0.015), (0.05, 0.03)):
        signal, share = vessels(400, noise)
        signal[:60], share[:60] = vessels(60, noise, (1.0, 1.0), 1)
        found = find_sinus(signal, np.full(400, 1.55), 0.02, slice(0, 3), convert, share)
        assert share[found.where].min() > 0.99
        assert found.t1_s == 1.55
        plasma = found.blood / 0.58
        assert float(plasma[6:].mean() / PLASMA[6:].mean() - 1) == pytest.approx(0, abs=tolerance)


@pytest.mark.parametrize(('measured', 'taken'), [(0.0, 1.65), (0.9, 1.65), (1.7, 1.7)])
def test_t1_of_blood_has_to_be_believable(measured, taken):
    signal, share = vessels()
    found = find_sinus(signal, np.full(200, measured), 0.02, slice(0, 3), convert, share)
    assert found.t1_s == taken


@pytest.mark.parametrize(
    ('tesla', 'measured', 'taken'),
    [(1.5, 0, 1.35), (1.5, 1.28, 1.28), (3, 1.25, 1.65), (7, 2.2, 2.2), (7, 0, 2.087)],
)
def test_t1_of_blood_is_that_of_the_field(tesla, measured, taken):
    signal, share = vessels()
    given = (np.full(200, measured), 0.02, slice(0, 3), convert, share)
    found = find_sinus(signal, *given, tesla=tesla)
    assert found.t1_s == taken
    assert bool(found.doubt) == (taken != measured)


def test_a_measured_t1_that_gives_no_concentration_is_not_used():
    signal, share = vessels(shares=(1.0, 1.0), noise=0.005)

    def saturated(relative, t1, b1=1.0):
        found = convert(relative, t1, b1)
        return np.where(found > 2, np.nan, found) if t1 < 1.5 else found

    given = (0.02, slice(0, 3))
    found = find_sinus(signal, np.full(200, 1.4), *given, saturated, share)
    assert found.t1_s == 1.65
    assert np.isfinite(found.blood).all()
    assert 'no concentration' in found.doubt
    with pytest.raises(MeasureError, match='mean signal'):
        find_sinus(
            signal,
            np.full(200, 1.4),
            *given,
            lambda s, t, b: convert(s, t, b) if np.ndim(s) > 1 else np.full(s.shape, np.nan),
            share,
        )


def test_no_vessel_and_saturation_are_told():
    with pytest.raises(MeasureError, match='enhance as blood') as caught:
        find_sinus(*vessels(5)[:1], np.zeros(5), 0.02, slice(0, 3), convert)
    assert caught.value.remedy
    signal, _ = vessels()
    with pytest.raises(MeasureError, match='saturated'):
        find_sinus(
            signal, np.zeros(200), 0.02, slice(0, 3), lambda s, t, b: np.full(s.shape, np.nan)
        )


def test_place_of_the_sinus():
    points = np.array([[0, -95, 10], [0, -70, 55], [30, -70, 40], [0, 40, 30], [0, -60, -30]])
    assert in_sinus(points).tolist() == [True, True, False, False, False]


# ---- regions


@pytest.mark.parametrize(
    ('name', 'truth'), [('nawm', (3e-4, 0.006, 0.95)), ('cgm', (9e-4, 0.012, 1.4))]
)
@pytest.mark.parametrize('curve', ['median', 'mean'])
def test_a_region_with_the_noise_of_the_phantom(name, truth, curve):
    ps, vp, t1 = truth
    rng = np.random.default_rng(6)
    voxels = 3000
    b1 = rng.normal(1, 0.02, voxels)
    spread = rng.normal(1, 0.12, (voxels, 1))
    rate = 1 / t1 + 4.5 * spread * (vp * PLASMA + ps * INTEGRAL)
    clean = spgr_signal(1.0, rate, 0.0054, 12 * b1[:, None])
    coil = rng.uniform(0.6, 1.4, (voxels, 1))
    noisy = coil * (clean + rng.normal(0, 0.02 * clean.mean(), clean.shape))
    use, short = fit_window(TIME, 120.0)
    assert short == ''
    found = estimate(
        noisy,
        t1 * rng.normal(1, 0.04, voxels),
        b1,
        time_s=TIME,
        plasma=PLASMA,
        use=use,
        baseline=slice(0, 3),
        convert=convert,
        injection_s=120.0,
        curve=curve,
    )
    assert float(found.fit.values['ps']) == pytest.approx(ps, rel=0.05)
    assert float(found.fit.values['vp']) == pytest.approx(vp, rel=0.05)
    low, high = found.fit.interval('ps')
    assert low < found.fit.values['ps'] < high
    assert found.drift > 0
    assert set(found.others) == {'plasma', 'patlak', 'extended-tofts', 'two-compartment'}
    assert found.others['plasma'].aic > found.others['patlak'].aic + 10
    assert found.shape.late_slope is not None


def test_a_short_series_gives_no_ps():
    use, short = fit_window(TIME[:15], 120.0)
    assert use.sum() == 9
    assert 'are needed' in short


def test_declared_regions_are_those_of_the_phantom():
    from csvdprep.markers.permeability import MAIN, ROOM

    names = {measure.name for measure in ROOM.measures}
    for region in MAIN:
        assert {f'ps_{region}_1e4_permin', f'vp_{region}_ml100ml'} <= names
    assert 't1_nawm_s' in names


# ---- the marker on files


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A head of blocks: white matter, lesions, nuclei, cortex, and a sinus behind them."""
    folder = tmp_path_factory.mktemp('blocks')
    shape, affine = (40, 52, 36), np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = (-78, -112, -40)
    kinds = {'wm': (0.9, 3e-4, 0.006), 'wmh': (1.25, 5e-4, 0.006), 'gm': (1.4, 9e-4, 0.012)}
    rng = np.random.default_rng(0)
    where = {name: np.zeros(shape, bool) for name in (*kinds, 'deep', 'sinus')}
    where['wm'][8:32, 14:40, 8:28] = True
    where['wmh'][12:18, 18:24, 12:18] = True
    where['deep'][22:28, 24:32, 12:20] = True
    where['gm'][8:32, 14:40, 2:8] = True
    where['sinus'][18:21, 6:9, 14:26] = True
    where['wm'] &= ~(where['wmh'] | where['deep'])
    brain = where['wm'] | where['wmh'] | where['deep'] | where['gm']
    t1, rate = np.zeros(shape), np.zeros((*shape, FRAMES))
    for name in ('wm', 'wmh', 'gm', 'deep'):
        own, ps, vp = kinds['gm' if name == 'deep' else name]
        t1[where[name]] = own
        rate[where[name]] = 1 / own + 4.5 * (vp * PLASMA + ps * INTEGRAL)
    t1[where['sinus']] = 1.55
    rate[where['sinus']] = 1 / 1.55 + 4.5 * 0.58 * PLASMA
    head = rate[..., 0] > 0
    data = 5000 * spgr_signal(1.0, np.maximum(rate, 0.1), 0.0054, 12) * head[..., None]
    data += rng.normal(0, 2, data.shape) * head[..., None]

    def put(name, array):
        path = folder / f'{name}.nii.gz'
        nib.save(nib.Nifti1Image(np.asarray(array, np.float32), affine), path)
        return str(path)

    protocol = {
        'times_s': TIME.tolist(),
        'tr_s': 0.0054,
        'flip_deg': 12,
        'relaxivity': 4.5,
        'haematocrit': 0.42,
        'dose': 0.1,
        'baseline': [0, 3],
        'injection_s': 120.0,
    }
    (folder / 'protocol.json').write_text(json.dumps(protocol))
    way = str(write_linear(np.eye(4), folder / 'way.txt'))
    deep = 5 * where['deep']
    return {
        'dce_preproc': put('series', data),
        'dce_baseline': put('baseline', data[..., :3].mean(axis=-1)),
        'dce_mask': put('mask', brain),
        'dce_t1': put('t1', t1),
        'dce_b1': put('b1', np.ones(shape)),
        'dce_protocol': str(folder / 'protocol.json'),
        'gm_probseg': put('gm', where['gm'] | where['deep']),
        'wm_probseg': put('wm', where['wm'] | where['wmh']),
        'csf_probseg': put('csf', ~head),
        'structures_dseg': put('structures', deep),
        'wmh_mask': put('wmh', where['wmh']),
        'dce_to_anat': way,
        'flair_to_anat': way,
        'mni_to_anat': way,
    }


def measured(files, folder, drift='none', **changes):
    from csvdprep.interfaces.values import read_values
    from csvdprep.markers.permeability.interfaces import MapPermeability

    given = {**files, **changes}
    interface = MapPermeability(curve='median', delay=False, margin_mm=2.0, drift=drift, **given)
    interface._run_interface(SimpleNamespace(cwd=str(folder)))
    found = interface._results
    rows = read_tsv(found['dce_estimates']).rows
    return read_values(Path(found['permeability_values'])), {row['region']: row for row in rows}


def test_marker_measures_blocks(files, tmp_path):
    values, rows = measured(files, tmp_path)
    for name, ps, vp in (('nawm', 3, 0.6), ('wmh', 5, 0.6), ('cgm', 9, 1.2), ('dgm', 9, 1.2)):
        found = values[f'ps_{name}_1e4_permin']
        assert found.value == pytest.approx(ps, rel=0.03)
        assert found.low < found.value < found.high
        assert values[f'vp_{name}_ml100ml'].value == pytest.approx(vp, rel=0.03)
        assert values[f'ps_drift_sensitivity_{name}_1e4_permin'].value > 0.02
        assert values[f'vl_{name}_pct'].value > 60
        assert float(rows[name]['ps_1e4_permin']) == pytest.approx(found.value, rel=1e-4)
    assert values['qc_vif_peak_mmol'].value == pytest.approx(PLASMA.max(), rel=0.02)
    assert values['t1_blood_s'].value == pytest.approx(1.55, abs=0.01)
    assert 'hyperintens' in values['ps_wmh_dw_1e4_permin'].reason
    assert {'pen_2to4', 'pen_4to6'} <= rows.keys()


def test_without_t1_only_shapes_are_measured(files, tmp_path):
    nothing = nib.Nifti1Image(np.zeros((40, 52, 36), np.float32), nib.load(files['dce_t1']).affine)
    nib.save(nothing, tmp_path / 't1.nii.gz')
    values, rows = measured(files, tmp_path, dce_t1=str(tmp_path / 't1.nii.gz'))
    found = values['ps_nawm_1e4_permin']
    assert found.value is None
    assert 'T1 is not known' in found.reason
    assert rows['nawm']['ps_1e4_permin'] == 'n/a'
    assert float(rows['nawm']['ttp_s']) > 0
    assert values['qc_vif_peak_mmol'].value is None


def test_a_t1_map_that_covers_half_changes_no_share(files, tmp_path):
    image = nib.load(files['dce_t1'])
    t1 = np.asarray(image.dataobj).copy()
    t1[8:20] = 0
    nib.save(nib.Nifti1Image(t1, image.affine), tmp_path / 't1.nii.gz')
    whole, _ = measured(files, tmp_path)
    half, _ = measured(files, tmp_path, dce_t1=str(tmp_path / 't1.nii.gz'))
    for name in ('vl_cgm_pct', 'vl_nawm_pct'):
        assert half[name].value == pytest.approx(whole[name].value, abs=6)


def test_without_hyperintensities_the_others_are_measured(files, tmp_path):
    given = {k: v for k, v in files.items() if k not in ('wmh_mask', 'flair_to_anat')}
    values, _ = measured(given, tmp_path)
    assert values['ps_nawm_1e4_permin'].value is not None
    assert values['ps_nawm_1e4_permin'].qc == 'warn'
    assert 'in the white matter called normal' in values['ps_nawm_1e4_permin'].reason
    assert values['ps_cgm_1e4_permin'].qc != 'warn'
    assert values['ps_wmh_1e4_permin'].reason == 'hyperintensities were not segmented'
    assert values['ps_pen_2to4_1e4_permin'].value is None


def test_a_short_series_and_one_without_vessels_say_so(files, tmp_path):
    known = json.loads(Path(files['dce_protocol']).read_text())
    late = tmp_path / 'late.json'
    late.write_text(json.dumps(known | {'injection_s': 600.0}))
    values, _ = measured(files, tmp_path, dce_protocol=str(late))
    assert 'min into the fit' in values['ps_nawm_1e4_permin'].reason
    image = nib.load(files['dce_preproc'])
    flat = np.repeat(np.asarray(image.dataobj)[..., :1], FRAMES, axis=3)
    nib.save(nib.Nifti1Image(flat, image.affine), tmp_path / 'flat.nii.gz')
    values, _ = measured(files, tmp_path, dce_preproc=str(tmp_path / 'flat.nii.gz'))
    assert 'no input function' in values['ps_nawm_1e4_permin'].reason
    assert values['vif_voxels_n'].value is None


# ---- drift


def drifting(files, folder, percent):
    """The blocks with fluid in their middle, and a receiver that drifts."""
    image = nib.load(files['dce_preproc'])
    data = np.asarray(image.dataobj).copy()
    fluid = np.zeros(data.shape[:3], bool)
    fluid[16:24, 20:34, 20:27] = True
    rng = np.random.default_rng(1)
    data[fluid] = 5000 * spgr_signal(1.0, 1 / 4.0, 0.0054, 12) + rng.normal(
        0, 2, (int(fluid.sum()), FRAMES)
    )
    data *= 1 + percent / 100 * TIME / (FRAMES * STEP)
    head = np.asarray(nib.load(files['csf_probseg']).dataobj) == 0

    def put(name, array):
        nib.save(nib.Nifti1Image(array.astype(np.float32), image.affine), folder / name)
        return str(folder / name)

    deep = np.asarray(nib.load(files['structures_dseg']).dataobj)
    white = np.asarray(nib.load(files['wm_probseg']).dataobj)
    return {
        'dce_preproc': put('drift.nii.gz', data),
        'csf_probseg': put('fluid.nii.gz', ~head | fluid),
        'wm_probseg': put('white.nii.gz', white * ~fluid),
        'structures_dseg': put('deep.nii.gz', deep * ~fluid),
    }


@pytest.mark.parametrize('percent', [-1.0, 0.5])
def test_drift_is_found_in_fluid_and_taken_out(files, tmp_path, percent):
    changed = drifting(files, tmp_path, percent)
    before, _ = measured(files, tmp_path, **changed)
    after, _ = measured(files, tmp_path, drift='reference', **changed)
    assert before['dce_drift_pct'].value is None
    found = after['dce_drift_pct']
    assert found.low < percent < found.high
    assert found.value == pytest.approx(percent, abs=0.15)
    off = before['ps_nawm_1e4_permin'].value - 3
    assert abs(off) > 0.5
    assert abs(after['ps_nawm_1e4_permin'].value - 3) < 0.3
    # What the sensitivity says is what drift does.
    said = before['ps_drift_sensitivity_nawm_1e4_permin'].value * percent / 0.1
    assert off == pytest.approx(said, rel=0.25)


def test_a_short_baseline_tells_no_drift(files, tmp_path):
    values, _ = measured(files, tmp_path, drift='baseline')
    assert values['dce_drift_pct'].value is None
    assert 'before the contrast agent take 2.0 min' in values['dce_drift_pct'].reason
    assert values['dce_drift_pct'].qc == 'warn'
    assert values['ps_nawm_1e4_permin'].value == pytest.approx(3, rel=0.03)
    values, _ = measured(files, tmp_path, drift='reference')
    assert 'too few' in values['dce_drift_pct'].reason


def test_a_slope_before_the_bolus_is_a_line():
    time = np.arange(30) * 30.0
    rng = np.random.default_rng(0)
    signal = 100 * (1 + 0.01 * time / 900) + rng.normal(0, 2, (4000, 30))
    signal[:, 10:] *= 1.3
    found, why = find_drift(signal, time, slice(0, 10), time > 420, how='baseline')
    assert why == ''
    assert found.change == pytest.approx(0.01, abs=3 * found.error)
    assert found.error < 0.003
    assert np.ptp(signal[:, :10].mean(axis=0) / found.factors[:10]) < 0.3
    assert find_drift(signal, time, slice(0, 10), time > 420, how='reference')[0] is None


# ---- times to peak of fast series


FAST = np.arange(90) * 2.0 + 1


def passing(late, noise=0.0, frames=FAST, seed=0):
    """Signal of voxels whose bolus comes later by so many seconds."""
    plasma = np.stack([venous(frames - 52 - by) for by in late])
    rate = 1 / 0.95 + 4.5 * 0.006 * plasma
    data = spgr_signal(1.0, rate, 0.0054, 12)
    return data * (1 + noise * np.random.default_rng(seed).normal(0, 1, data.shape))


def blocks_in_time(noise):
    rng = np.random.default_rng(1)
    late = rng.normal(2.0, 0.6, 1500)
    data = np.zeros((1500 + 60, 1, 1, len(FAST)))
    data[:1500, 0, 0] = passing(late, noise)
    blood = spgr_signal(1.0, 1 / 1.65 + 4.5 * 0.58 * venous(FAST - 52), 0.0054, 12)
    data[1500:, 0, 0] = blood
    brain = np.zeros(data.shape[:3], bool)
    brain[:1500] = True
    return late, data, brain


def in_mmol(signal, at):
    t1 = np.where(at[0] < 1500, 0.95, 1.65)
    return to_concentration(
        signal, t1, tr_s=0.0054, flip_deg=12, relaxivity=4.5, baseline=slice(0, 20)
    )


def test_times_to_peak_are_those_that_were_put_in():
    late, data, brain = blocks_in_time(0.0)
    everywhere = np.ones_like(brain)
    sinus = venous(FAST - 52 - 4.5)
    found, why = find_passage(data, FAST, slice(0, 20), 40.0, brain, everywhere, sinus, in_mmol)
    assert why == ''
    assert np.abs(found.times_s[brain] - late).max() < 0.1
    assert found.sinus_s == pytest.approx(4.5, abs=0.1)
    assert np.isnan(found.times_s[~brain]).all()


@pytest.mark.parametrize(('noise', 'given'), [(0.002, True), (0.03, False)])
def test_what_noise_makes_of_the_width_is_taken_out_or_told(noise, given):
    late, data, brain = blocks_in_time(noise)
    found, _ = find_passage(
        data, FAST, slice(0, 20), 40.0, brain, np.ones_like(brain), None, in_mmol
    )
    times = found.times_s[brain]
    low, high = np.nanpercentile(times, (10, 90))
    true = np.diff(np.percentile(late, (10, 90)))[0]
    width, why = width_of(high - low, found.noise_s[brain])
    assert abs(np.nanmedian(times) - 2.0) < 0.2
    # What noise does to a time is what is said of it.
    off = np.nanstd(times - late)
    assert np.nanmedian(found.noise_s[brain]) == pytest.approx(off, rel=0.3)
    if given:
        assert width == pytest.approx(true, rel=0.05)
    else:
        assert width is None
        assert 'noise alone makes times to peak' in why


def test_slow_series_and_short_ones_tell_no_times_to_peak():
    assert 'volumes are 40 s apart' in why_not(40.0, 3)
    assert '2 volumes before the bolus' in why_not(2.0, 2)
    _, data, brain = blocks_in_time(0.0)
    found, why = find_passage(
        data[..., :24], FAST[:24], slice(0, 20), 40.0, brain, brain, None, in_mmol
    )
    assert (found, why) == (None, 'the series ends within the first pass')
    nothing = np.ones_like(data)
    assert find_passage(nothing, FAST, slice(0, 20), 40.0, brain, brain, None)[0] is None


def test_a_slow_series_says_why_it_has_no_times_to_peak(files, tmp_path):
    values, _ = measured(files, tmp_path)
    for name in ('dce_tdc_nawm_median_s', 'dce_tdc_wmh_width_s', 'dce_tdc_avtt_s'):
        assert values[name].value is None
        assert 'volumes are 40 s apart' in values[name].reason
