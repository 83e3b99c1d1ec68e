"""ASL: files are put together, motion and labels told apart, flow follows from the model."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from builders import head as box
from builders import write_dataset, write_image
from scipy import ndimage as ndi

from csvdprep.bids.query import collect_visits
from csvdprep.bids.tsv import read_tsv
from csvdprep.core.errors import MeasureError
from csvdprep.core.settings import Settings
from csvdprep.graph.discover import declared
from csvdprep.imaging.images import load, save
from csvdprep.imaging.inspect import inspect_image
from csvdprep.imaging.labelling import Plan
from csvdprep.imaging.transforms import write_linear
from csvdprep.interfaces.values import Value, read_values, write_values
from csvdprep.markers.perfusion.interfaces import (
    MeasureFlow,
    _Arrival,
    _doubted,
    _Noise,
    _too_early,
)
from csvdprep.markers.perfusion.science.partial_volume import tissue_flows
from csvdprep.markers.perfusion.science.quality import evaluation_index, judge_map
from csvdprep.preprocessing.asl import interfaces
from csvdprep.preprocessing.asl.motion import align, moved
from csvdprep.preprocessing.asl.science import difference_sign, pair_up
from csvdprep.preprocessing.blood_flow import ROOM as BLOOD_FLOW
from csvdprep.preprocessing.blood_flow.interfaces import MapFlow
from csvdprep.preprocessing.blood_flow.science.outliers import kept_pairs
from csvdprep.science.labelled_blood import (
    Labelling,
    difference,
    fit_delays,
    flow_single,
    residual_noise,
    weighted_delay,
)

PERF = 'sub-01/perf/sub-01'
SIDECAR = {
    'ArterialSpinLabelingType': 'PCASL',
    'PostLabelingDelay': 1.8,
    'LabelingDuration': 1.8,
    'BackgroundSuppression': False,
    'M0Type': 'Separate',
    'MRAcquisitionType': '3D',
    'RepetitionTimePreparation': 4.5,
    'MagneticFieldStrength': 3,
    'VascularCrushing': False,
}
PCASL, PASL = Labelling('PCASL', 0.85, 1.65), Labelling('PASL', 0.98, 1.65)
MM = (8.0, 8.0, 8.0)
#: A head of few voxels.
SHAPE = (22, 24, 22)


# ---- files


def head():
    return box(SHAPE)


def write_asl(root, name='asl', kinds=('control', 'label') * 2, data=None, **fields):
    if data is None:
        data = np.stack([head()] * len(kinds), axis=3)
    path = write_image(Path(root) / f'{PERF}_{name}.nii.gz', data, zooms=MM)
    stem = str(path).removesuffix('.nii.gz')
    Path(f'{stem}.json').write_text(json.dumps({**SIDECAR, **fields}))
    table = Path(f'{stem.removesuffix("asl")}aslcontext.tsv')
    table.write_text('\n'.join(['volume_type', *kinds]) + '\n')


def write_m0(root, name='m0scan', target='asl', data=None, **fields):
    data = head() if data is None else data
    path = write_image(Path(root) / f'{PERF}_{name}.nii.gz', data, zooms=MM)
    fields = {'RepetitionTimePreparation': 10.0, **fields}
    if target:
        fields['IntendedFor'] = [f'bids::{PERF}_{target}.nii.gz']
    Path(str(path).replace('.nii.gz', '.json')).write_text(json.dumps(fields))


def only(root, **asked):
    given = Settings(bids_dir=Path(root), output_dir=Path('out'), **asked)
    (visit,) = collect_visits(given, declared(), inspect=inspect_image, warn=lambda _: None)
    return visit


@pytest.fixture
def raw(tmp_path):
    return write_dataset(tmp_path / 'raw', [])


def test_series_and_m0_are_one_scan(raw):
    write_asl(raw)
    write_m0(raw)
    given = only(raw)
    scan = given.scans['asl']
    assert scan.content['m0_path'].endswith('_m0scan.nii.gz')
    assert scan.content['m0'] == {'type': 'separate', 'repetition': 10.0}
    assert f'bids:raw:{PERF}_m0scan.nii.gz' in scan.others
    assert not given.refused
    before = scan.digest
    write_m0(raw, RepetitionTimePreparation=8.0)
    assert only(raw).scans['asl'].digest != before


def test_the_m0_of_another_series_is_not_taken(raw):
    write_asl(raw, 'acq-a_asl')
    write_asl(raw, 'acq-b_asl', PostLabelingDelay=0.2)
    write_m0(raw, 'acq-a_m0scan', 'acq-b_asl')
    write_m0(raw, 'acq-b_m0scan', 'acq-a_asl')
    given = only(raw)
    # Of both series the one that waits for the label is used, with the M0 that names it.
    assert given.scans['asl'].path.endswith('acq-a_asl.nii.gz')
    assert given.scans['asl'].content['m0_path'].endswith('acq-b_m0scan.nii.gz')
    assert any('is used instead of' in note and 'delay 0.2 s' in note for note in given.notes)


def test_an_m0_that_names_nothing_is_taken_and_told(raw):
    write_asl(raw)
    write_m0(raw, target=None)
    notes = only(raw).notes
    assert any('taken as M0' in note and 'IntendedFor' in note for note in notes)


def test_a_series_that_cannot_be_measured_is_refused_with_its_field(raw):
    write_asl(raw, LabelingDuration=None)
    write_m0(raw)
    given = only(raw)
    assert not given.scans
    ((file, why),) = given.refused
    assert file.endswith('asl.nii.gz')
    assert 'LabelingDuration is missing' in why
    assert 'Remedy:' in why


def test_the_context_is_inherited(raw):
    write_asl(raw)
    write_m0(raw)
    beside = raw / f'{PERF}_aslcontext.tsv'
    (raw / 'aslcontext.tsv').write_text(beside.read_text())
    beside.unlink()
    assert only(raw).scans['asl'].content['kinds'] == ['control', 'label'] * 2
    (raw / 'aslcontext.tsv').write_text('type\ncontrol\n')
    assert 'no column volume_type' in only(raw).refused[0][1]


@pytest.mark.parametrize(('space', 'taken'), [('', True), ('space-T1w_', False)])
def test_maps_of_other_tools_are_taken_in_place(raw, tmp_path, space, taken):
    write_asl(raw)
    write_m0(raw)
    other = tmp_path / 'aslprep'
    data = head().astype('f4')
    write_image(other / f'{PERF}_{space}cbf.nii.gz', data, zooms=MM)
    # What ASLPrep writes beside it.
    for kind in ('pvGM', 'score', 'scrub', 'basil', 'basilGM', 'basilWM'):
        write_image(other / f'{PERF}_{space}desc-{kind}_cbf.nii.gz', data, zooms=MM)
    every = np.stack([data] * 4, axis=-1)
    write_image(other / f'{PERF}_{space}desc-timeseries_cbf.nii.gz', every, zooms=MM)
    write_image(other / f'{PERF}_space-MNI152NLin2009cAsym_cbf.nii.gz', data, zooms=MM)
    (other / f'{PERF}_desc-qualitycontrol_cbf.tsv').write_text('qei\n0.8\n')
    given = only(raw, derivatives={'aslprep': other})
    # The space of the T1w means nothing without one; its grid here is that of the series.
    assert given.scans['cbf_given'].content['on'] == 'asl'
    assert given.scans['cbf_given'].uri == f'bids:aslprep:{PERF}_{space}cbf.nii.gz'
    assert 'att_given' not in given.scans


# ---- pairs, motion


def test_pairs_are_neighbours_of_one_delay():
    kinds = ['label', 'control', 'control', 'label', 'norf', 'label', 'control']
    found = pair_up(kinds, [1, 1, 1, 1, 0, 2, 2], [1.8] * 7)
    assert [(p.control, p.label) for p in found] == [(1, 0), (2, 3), (6, 5)]
    made = pair_up(['m0scan', 'deltam', 'control', 'label'], [0, 1, 1, 1], [0, 1, 1, 1])
    assert [(p.control, p.label) for p in made] == [(1, 1)]


def test_volumes_in_blocks_are_counted_off():
    blocks = pair_up(['control'] * 5 + ['label'] * 5, [1.8] * 10, [1.8] * 10)
    assert [(p.control, p.label) for p in blocks] == [(n, n + 5) for n in range(5)]
    twice = pair_up((['label'] * 4 + ['control'] * 4) * 2, [1.0] * 8 + [2.0] * 8, [1.8] * 16)
    assert [(p.control, p.label) for p in twice] == [
        (first + 4, first) for first in (0, 1, 2, 3, 8, 9, 10, 11)
    ]
    # Neighbours stay together where nothing is gained by counting off.
    odd = pair_up(['control', 'control', 'label', 'control', 'label'], [1.0] * 5, [1.8] * 5)
    assert [(p.control, p.label) for p in odd] == [(1, 2), (3, 4)]


def test_delays_differ_and_that_is_no_noise():
    delays = np.array([1.0, 1.8, 2.6])
    clean = 45 * difference(1.2, delays, 1.8, PCASL)
    assert difference_sign(clean, list(delays))[1] is None
    assert difference_sign(np.array([0.9, 1.1]))[1] is None
    rng = np.random.default_rng(0)
    for repeats in (2, 10):
        seen = np.tile(clean, repeats) * (1 + rng.normal(0, 0.05, 3 * repeats))
        assert difference_sign(seen, list(delays) * repeats)[1] > 5
    nothing = rng.normal(0, 1, (300, 12))
    found = np.array([difference_sign(row, [1, 2, 3] * 4)[1] for row in nothing])
    assert (np.abs(found) > 5).mean() < 0.03


def test_differences_of_several_delays_are_judged_by_their_own():
    """One difference of each of three delays, without noise, is no failure of labelling."""
    brain = np.ones((4, 4, 4), bool)
    delays, kinds = [1.0, 1.8, 2.6], ['deltam'] * 3
    clean = 45 * difference(1.2, np.array(delays), 1.8, PCASL)
    pairs, doubts = pair_up(kinds, delays, [1.8] * 3), []
    data = np.ones((4, 4, 4, 1)) * clean
    same, told = interfaces._with_sign(pairs, data, brain, doubts, kinds)
    assert (same, told.value, doubts) == (pairs, None, [])
    assert 'no standard error' in told.reason
    interfaces._with_sign(pairs, data * [1, 1, -0.1], brain, doubts, kinds)
    assert 'negative' in doubts[0]
    with pytest.raises(MeasureError, match='too few repeats'):
        interfaces._with_sign(pairs, -data, brain, doubts, kinds)


def test_volumes_without_partner_are_told():
    kinds = ['control', 'control', 'label']
    pairs = pair_up(kinds, [1.8] * 3, [1.8] * 3)
    assert interfaces._without_partner(kinds, pairs).startswith('1 of 3 volumes')
    assert interfaces._without_partner(kinds[1:], pair_up(kinds[1:], [1.8] * 2, [1.8] * 2)) == ''


def textured(shape=(30, 34, 24), seed=0):
    rng = np.random.default_rng(seed)
    data = ndi.gaussian_filter(rng.normal(0, 1, shape), 2.0)
    place = np.indices(shape) - (np.array(shape)[:, None, None, None] - 1) / 2
    brain = (place**2).sum(axis=0) < (0.4 * min(shape)) ** 2
    return (1000 * brain * (1 + 2 * data)).clip(0), brain


def test_motion_is_found_and_labelling_is_no_motion():
    image, brain = textured()
    affine = np.diag([3.0, 3, 4, 1])
    affine[:3, 3] = -affine[:3, :3] @ (np.array(image.shape) - 1) / 2
    rng = np.random.default_rng(1)
    volumes, shifts = [], []
    kinds = ['control', 'label'] * 4
    # Labelling darkens one side, which drags an alignment along.
    dark = 1 - 0.03 * (np.linspace(0, 1, image.shape[0]) > 0.5)[:, None, None]
    for n, kind in enumerate(kinds):
        shift = np.eye(4)
        shift[:3, 3] = [0.15 * n, -0.1 * n, 0]
        seen = moved(image * (dark if kind == 'label' else 1), affine, np.linalg.inv(shift))
        volumes.append(seen + rng.normal(0, 2, image.shape))
        shifts.append(shift[:3, 3])
    series = np.stack(volumes, axis=3).astype(np.float32)
    found = align(series, affine, brain, kinds, np.zeros(3))[:, :3, 3]
    wanted = np.array(shifts) - np.median(shifts, axis=0)
    assert np.abs(found - np.median(found, axis=0) - wanted).max() < 0.2


# ---- the model


@pytest.mark.parametrize(
    ('how', 'delay', 'duration', 'cbf'),
    [(PCASL, 1.8, 1.8, 86.30), (PCASL, 2.3, 1.8, 116.85), (PASL, 1.8, 0.8, 102.52)],
)
def test_the_closed_form(how, delay, duration, cbf):
    assert float(flow_single(0.010, delay, duration, how)) == pytest.approx(cbf, rel=1e-4)
    back = cbf * float(difference(0.5, delay, duration, how))
    assert back == pytest.approx(0.010, rel=1e-3)


def test_flow_against_the_integral_of_what_arrives():
    """A numerical integral of the model, written here, not its closed form."""
    step = 1e-4
    for how, duration, delay in ((PCASL, 1.5, 1.2), (PASL, 0.8, 1.6)):
        for att in (0.2, 0.9, 1.4):
            left = np.arange(0, duration, step) + step / 2
            pulsed = how.kind == 'PASL'
            readout = delay if pulsed else duration + delay
            age = np.full(left.shape, readout) if pulsed else readout - left
            seen = np.exp(-age / 1.65) * (left + att <= readout)
            wanted = 2 * how.efficiency * 50 / 5400 * seen.sum() * step
            assert 50 * float(difference(att, delay, duration, how)) == pytest.approx(
                wanted, rel=1e-3, abs=1e-7
            )


@pytest.mark.parametrize('how', [PCASL, Labelling('PASL', 0.98, 1.65)])
def test_several_delays_give_flow_and_arrival(how):
    delays = np.array([0.5, 0.9, 1.3, 1.7, 2.1, 2.5]) + (0.3 if how.kind == 'PASL' else 0)
    durations = np.full(6, 1.8 if how.kind == 'PCASL' else 0.8)
    rng = np.random.default_rng(0)
    cbf, att = rng.uniform(20, 90, 300), rng.uniform(0.3, 2.0, 300)
    late = rng.choice([0.0, 0.12, 0.4], 300)[:, None]
    seen = cbf[:, None] * difference(att[:, None], delays + late, durations, how)
    fit = fit_delays(seen, delays + late, durations, how)
    # Label that is all there before the first delay does not tell when it came.
    first = delays[0] + late[:, 0] - (durations[0] if how.kind == 'PASL' else 0)
    assert np.abs(fit.att - np.maximum(att, first)).max() < 1e-3
    assert np.abs(fit.cbf / cbf - 1).max() < 1e-3
    seen = cbf[:, None] * difference(att[:, None], delays, durations, how)
    weighted = weighted_delay(seen, delays, durations, how)
    inner = att > delays[0]  # earlier, nothing changes
    assert np.abs(weighted - att)[inner].max() < 0.02


def test_noise_does_not_raise_flow():
    """The best of many arrival times that fit has too much flow; the most probable has not."""
    rng = np.random.default_rng(0)
    delays, durations = np.array([0.5, 1.0, 1.5, 2.0, 2.5, 3.0]), np.full(6, 1.8)
    clean = 20 * difference(1.5, delays, durations, PCASL)
    seen = clean + rng.normal(0, 0.002, (4000, 6))
    best = fit_delays(seen, delays, durations, PCASL).cbf.mean()
    probable = fit_delays(seen, delays, durations, PCASL, noise=np.full(4000, 0.002)).cbf.mean()
    assert best > 26
    assert probable == pytest.approx(20, abs=2)


@pytest.mark.parametrize(('sd', 'wanted'), [(1e-4, 0.1), (0.002, 2.0)])
def test_one_difference_of_each_delay_has_noise_too(sd, wanted):
    """As scanners give it out: without repeats, flow was half too high, in places 18 times."""
    rng = np.random.default_rng(1)
    delays, durations = np.array([0.5, 0.8, 1.1, 1.4, 1.7, 2.0, 2.3]), np.full(7, 1.8)
    seen = 20 * difference(1.6, delays, durations, PCASL) + rng.normal(0, sd, (2000, 7))
    times = np.tile(delays, (2000, 1))
    noise = residual_noise(seen, times, durations, PCASL, 1.0)
    assert noise == pytest.approx(sd, rel=0.1)
    flow = fit_delays(seen, delays, durations, PCASL, noise=np.full(2000, noise)).cbf
    assert flow.mean() == pytest.approx(20, abs=wanted)
    assert flow.max() < 150


@pytest.mark.parametrize(('delays', 'wanted'), [([1.0, 1.4, 1.8, 2.2, 2.6], 2), ([1.2, 2.2], 5)])
def test_a_map_of_single_differences(tmp_path, monkeypatch, delays, wanted):
    monkeypatch.chdir(tmp_path)
    rng, shape, grid = np.random.default_rng(0), (12, 12, 8), np.diag([4.0, 4, 4, 1])

    def write(name, data):
        return save(np.asarray(data, 'f4'), nib.Nifti1Image(np.zeros(shape), grid), Path(name))

    seen = 1000 * 40 * difference(1.5, np.array(delays), 1.8, PCASL)
    series = seen + rng.normal(0, 1.5, (*shape, len(delays)))
    flow = MapFlow(
        asl_preproc=write('asl.nii.gz', series),
        asl_ref=write('ref.nii.gz', np.ones(shape)),
        asl_m0=write('m0.nii.gz', np.full(shape, 1000)),
        asl_mask=write('mask.nii.gz', np.ones(shape)),
        asl_plan=Plan(
            labelling='PCASL', pairs=[(n, n, delay, 1.8) for n, delay in enumerate(delays)]
        ).write('plan.json'),
        outliers=True,
        m0_smooth_mm=0.0,
        att_method='least-squares',
    )
    value = read_values(flow.run().outputs.blood_flow_values)['cbf_brain']
    assert value.value == pytest.approx(40, abs=wanted)
    assert ('neighbours' in value.reason) == (len(delays) == 2)


@pytest.mark.parametrize(('att', 'sd', 'flagged'), [(2.2, 0.006, True), (1.3, 0.006, False),
                                                    (2.2, 5e-4, False)])  # fmt: skip
def test_late_arrival_that_noise_hides_is_flagged(att, sd, flagged):
    """40 mL/100 g/min that arrive after 2.2 s are 26 that arrive after 1.5 s, voxel by voxel."""
    rng, delays, repeats = np.random.default_rng(1), np.array([0.25, 0.75, 1.25, 1.75, 2.25]), 6
    durations, place = np.full(5, 1.5), np.ones((20, 20, 8), bool)
    every, clean = np.tile(delays, repeats), 40 * difference(att, delays, durations, PCASL)
    series = np.tile(clean, repeats) + rng.normal(0, sd, (*place.shape, every.size))
    means = series.reshape(-1, repeats, 5).mean(axis=1)
    noise = np.full(len(means), sd)
    fit = fit_delays(means, delays, durations, PCASL, np.full(5, repeats), noise)
    groups = {(delay, 1.5): [(n, n) for n in np.flatnonzero(every == delay)] for delay in delays}
    leaning = _Arrival(
        _Noise(series, groups), Plan(labelling='PCASL'), fit.att.reshape(place.shape)
    )
    found = _doubted(Value(float(fit.cbf.mean())), leaning, place)
    assert found.qc == ('warn' if flagged else '')
    assert ('mean differences (2.' in found.reason) == flagged


def test_what_shows_no_label_has_no_arrival():
    delays = np.array([0.5, 1.0, 1.5, 2.0])
    fit = fit_delays(-np.ones((3, 4)), delays, np.full(4, 1.8), PCASL)
    assert np.isnan(fit.att).all()
    assert (fit.cbf <= 0).all()


# ---- outliers, partial volume, quality


def test_a_pair_that_spoils_the_mean_is_left_out():
    rng = np.random.default_rng(3)
    tissue = np.repeat([1, 2, 3], 300)
    clean = np.choose(tissue - 1, [10.0, 4.0, 0.0]) + rng.normal(0, 3, (20, 900))
    assert kept_pairs(clean, tissue).mean() > 0.8
    pattern = rng.normal(0, 25, 900)
    spoilt = clean.copy()
    spoilt[4] += pattern - pattern[tissue == 1].mean()  # its mean is that of the others
    assert not kept_pairs(spoilt, tissue)[4]
    spoilt[9] += 30
    assert not kept_pairs(spoilt, np.ones(900, int))[9]


def test_pairs_of_delays_are_compared_with_their_own():
    rng = np.random.default_rng(0)
    group = np.tile([0, 1, 2], 5)
    pairs = np.array([5.0, 10.0, 15.0])[group][:, None] + rng.normal(0, 0.5, (15, 200))
    pairs[7] -= 12
    kept = kept_pairs(pairs, np.ones(200, int), group)
    assert not kept[7]
    assert kept.sum() >= 13


def test_partial_volume_is_taken_apart():
    rng = np.random.default_rng(0)
    grey = ndi.gaussian_filter(rng.uniform(-1, 2, (20, 20, 6)), (1, 1, 0)).clip(0, 1)
    white = (1 - grey) * rng.uniform(0.7, 1, grey.shape)
    cbf = 62 * grey + 21 * white
    where = np.ones(grey.shape, bool)
    found = tissue_flows(cbf, grey, white, where)
    inner = (slice(3, -3), slice(3, -3))
    assert np.nanmax(np.abs(found[0][inner] - 62)) < 1e-3
    assert np.nanmax(np.abs(found[1][inner] - 21)) < 1e-3


def test_the_vectors_of_the_quality_index():
    assert evaluation_index(0.8, 10, 0.01) == pytest.approx(0.739, abs=1e-3)
    assert evaluation_index(0.4, 60, 0.10) == pytest.approx(0.219, abs=1e-3)
    assert evaluation_index(0.0, 60, 0.10) == 0


def test_noise_lowers_the_quality_index():
    rng = np.random.default_rng(0)
    grey = np.zeros((20, 20, 10))
    grey[::2] = 1
    grey[1::4] = 0
    white, where = 1 - grey, np.ones(grey.shape, bool)
    flow = 60 * grey + 24 * white
    found = [
        judge_map(flow + rng.normal(0, sd, grey.shape), grey, white, 0 * grey, where, (9, 9, 9))
        for sd in (0, 40, 160)
    ]
    assert found[0].index > found[1].index > found[2].index


# ---- rooms


@pytest.fixture
def series(raw, tmp_path, monkeypatch):
    """Give a series of known flow to the rooms, without the network that finds the brain."""
    image, brain = textured(SHAPE)
    brain = ndi.binary_erosion(brain)
    monkeypatch.setattr(interfaces, '_brain', lambda *_: brain)

    def make(cbf=55.0, exchanged=False, scale=1.0, noise=0.5, m0=True, **fields):
        rng = np.random.default_rng(0)
        ratio = cbf * float(difference(0.5, 1.8, 1.8, PCASL))
        volumes, kinds = [], ['control', 'label'] * 6
        for kind in kinds:
            factor = 1 - ratio * brain if kind == ('control' if exchanged else 'label') else 1
            volumes.append(image * factor + rng.normal(0, noise, image.shape))
        kinds = kinds if m0 else ['deltam'] * 6
        data = np.stack(volumes, axis=3)
        data = data if m0 else data[..., ::2] - data[..., 1::2]
        write_asl(raw, kinds=kinds, data=data.astype('f4'), **fields)
        write_m0(raw, data=(image * scale).astype('f4'), RepetitionTimePreparation=30.0)
        content = only(raw).scans['asl'].content
        monkeypatch.chdir(tmp_path)
        return interfaces.PrepareSeries(asl=content, motion=False).run().outputs, brain

    return make


def flow_of(made):
    taken = {
        name: getattr(made, name) for name in ('asl_preproc', 'asl_ref', 'asl_m0', 'asl_mask')
    }
    flow = MapFlow(
        **taken,
        asl_plan=made.asl_plan,
        outliers=True,
        m0_smooth_mm=0.0,
        att_method='least-squares',
    )
    out = flow.run().outputs
    return np.asanyarray(load(out.cbf).dataobj), read_values(out.blood_flow_values), out


@pytest.mark.filterwarnings('ignore')
def test_known_flow_comes_out(series):
    made, brain = series()
    told = read_values(made.asl_values)
    cbf, values, out = flow_of(made)
    assert cbf[brain & (cbf != 0)].mean() == pytest.approx(55, rel=0.01)
    assert values['cbf_brain'].value == pytest.approx(55, rel=0.01)
    assert values['cbf_brain'].qc == ''
    assert not np.asanyarray(load(out.att).dataobj).any()
    assert told['asl_delay_s'].value == pytest.approx(1.8)
    assert told['qc_asl_label_t'].value > 5
    assert told['qc_asl_control_m0'].value == pytest.approx(1.06, abs=0.02)
    rows = read_tsv(made.asl_confounds).rows
    assert [row['volume_type'] for row in rows[:2]] == ['control', 'label']


def test_differences_of_the_scanner_need_no_control(series):
    made, _ = series(m0=False)
    _, values, _ = flow_of(made)
    assert values['cbf_brain'].value == pytest.approx(55, rel=0.01)


def test_an_exchanged_context_is_told_and_mended(series):
    made, _ = series(exchanged=True)
    told = read_values(made.asl_values)['qc_asl_label_t']
    assert told.qc == 'warn'
    _, values, _ = flow_of(made)
    assert values['cbf_brain'].value == pytest.approx(55, rel=0.01)
    assert values['cbf_brain'].qc == 'warn'
    assert 'exchanged' in values['cbf_brain'].reason


@pytest.mark.parametrize('scale', [1e-11, 0.05, 30.0])
def test_an_impossible_flow_does_not_come_out(series, scale):
    """1e13, 600 and next to 0 mL/100 g/min: M0 in another unit than the series."""
    made, _ = series(scale=scale)
    with pytest.raises(MeasureError, match='impossible') as caught:
        flow_of(made)
    assert 'one scale' in caught.value.remedy


def test_a_series_without_label_is_refused(series):
    with pytest.raises(MeasureError, match=r'do not differ|which is which') as caught:
        series(cbf=0.0, noise=3.0)
    assert 'aslcontext.tsv' in caught.value.remedy


def test_the_time_of_a_slice_is_part_of_its_delay():
    plan = Plan(labelling='PCASL', slice_axis=2, slice_times=[0.0, 0.5])
    late = plan.delay_map((1, 1, 2), 1.8)[0, 0]
    found = flow_single(np.array([0.01, 0.01]), late, 1.8, PCASL)
    assert found.round(2).tolist() == [86.3, 116.85]


def test_slices_that_are_stored_the_other_way_round(raw):
    """SliceTiming belongs to the stored array; the rooms see canonical order."""
    data = np.stack([head()] * 4, axis=3)
    affine = np.diag([8.0, 8, -8, 1])
    times = [round(0.03 * n, 3) for n in range(SHAPE[2])]
    write_asl(raw, data=data, MRAcquisitionType='2D', SliceTiming=times)
    write_m0(raw)
    up = only(raw).scans['asl'].content
    nib.save(nib.Nifti1Image(data, affine), raw / f'{PERF}_asl.nii.gz')
    down = only(raw).scans['asl'].content
    assert up['slice_times'] == pytest.approx(times)
    assert down['slice_times'] == pytest.approx(times[::-1])
    assert up['slice_axis'] == down['slice_axis'] == 2


def test_flow_of_another_tool_is_taken_and_judged(series, raw, tmp_path):
    made, brain = series()
    image = load(made.asl_mask)
    given = np.where(brain, 47.0, 0) + np.where(brain, np.indices(brain.shape)[0] % 2, 0)
    for values, right in ((given, True), (given / 6000, False)):
        file = save(values.astype('f4'), image, tmp_path / 'sub-01_cbf.nii.gz')
        taken = {
            name: getattr(made, name)
            for name in ('asl_preproc', 'asl_ref', 'asl_m0', 'asl_mask', 'asl_plan')
        }
        told = {'mask': file, 'on': 'asl'}
        flow = MapFlow(
            **taken, cbf_given=told, outliers=True, m0_smooth_mm=0.0, att_method='least-squares'
        )
        if right:
            found = read_values(flow.run().outputs.blood_flow_values)
            assert found['cbf_source'].value == 'given'
            assert found['cbf_brain'].value == pytest.approx(47.5, abs=0.5)
        else:
            with pytest.raises(MeasureError, match='not in mL/100 g/min'):
                flow.run()


def test_regions_are_averaged_where_they_are(tmp_path, monkeypatch):
    """Layers of tissue on one grid: each has the flow that was put in."""
    monkeypatch.chdir(tmp_path)
    shape = (24, 30, 24)
    affine = np.diag([3.0, 3, 4, 1])
    x, _, z = np.indices(shape)
    white, grey = (z > 6) & (z < 16), (z >= 2) & (z <= 6)
    lesion = white & (x > 8) & (x < 12) & (z > 9) & (z < 12)
    left = np.where(x < 12, 1, 2)
    far = np.abs(x - 10)
    cbf = np.where(grey, 60.0, 0) + np.where(white, 20 + 0.2 * far, 0)
    cbf[grey & (left == 1)] = 50
    cbf[lesion] = 11

    def write(name, data):
        image = nib.Nifti1Image(np.asarray(data).astype('f4'), affine)
        nib.save(image, tmp_path / f'{name}.nii.gz')
        return str(tmp_path / f'{name}.nii.gz')

    rng = np.random.default_rng(0)
    rest = (cbf > 0) * 1000.0
    volumes = [rest - k % 2 * cbf / 10 + rng.normal(0, 0.2, shape) for k in range(12)]
    plan = Plan(labelling='PCASL', pairs=[(k, k + 1, 1.8, 1.8) for k in range(0, 12, 2)])
    identity = str(write_linear(np.eye(4), tmp_path / 'identity.txt'))
    told = write_values(
        tmp_path / 'flow.json',
        {m.name: Value(30.0) for m in BLOOD_FLOW.measures} | {'cbf_source': 'computed'},
        BLOOD_FLOW,
    )
    kept = tmp_path / 'kept.json'
    kept.write_text(json.dumps({'kept': list(range(6)), 'doubts': [], 'source': 'computed'}))
    measured = MeasureFlow(
        cbf=write('cbf', cbf),
        att=write('att', 0 * cbf),
        flow_kept=str(kept),
        blood_flow_values=told,
        asl_preproc=write('asl', np.stack(volumes, axis=3)),
        asl_plan=plan.write(tmp_path / 'plan.json'),
        asl_mask=write('mask', cbf > 0),
        asl_to_anat=identity,
        gm_probseg=write('gm', grey),
        wm_probseg=write('wm', white),
        csf_probseg=write('csf', 0 * cbf),
        structures_dseg=write('structures', 0 * cbf),
        territories_dseg=write('territories', np.where(grey, left + 2, 0)),
        wmh_mask=write('wmh', lesion),
        flair_to_anat=identity,
        margin_mm=2.0,
    )
    out = measured.run().outputs
    values = read_values(out.perfusion_values)
    assert values['cbf_gm'].value == pytest.approx(55, abs=0.5)
    assert values['cbf_wmh'].value == pytest.approx(11)
    assert values['cbf_mca_left'].value == pytest.approx(50)
    assert values['cbf_mca_right'].value == pytest.approx(60)
    assert values['cbf_gm_asymmetry_pct'].value == pytest.approx(-18.2, abs=0.1)
    assert values['cbf_aca_left'].value is None
    assert values['cbf_aca_left'].reason
    assert values['cbf_dgm'].value is None
    assert values['att_gm_s'].reason == 'one delay does not tell the arrival time'
    assert values['cbf_snr_gm'].value > 100
    assert 0 < values['cbf_ring_slope'].value < 0.1
    assert values['cbf_ring_9_12'].value > values['cbf_ring_0_3'].value
    assert values['cbf_wmh_jv'].reason == 'the zones of hyperintensities are not known'
    labels = np.asanyarray(load(out.cbf_regions).dataobj)
    assert (labels[lesion] == 5).all()
    rings = read_tsv(out.perfusion_profile).rows
    assert [row['ring'] for row in rings] == ['0-3', '3-6', '6-9', '9-12', '12-15']
    assert values['cbf_nawm'].qc == ''
    # The same series as pulsed labelling: its bolus ends 0.7 s after the pulse.
    pulsed = Plan(labelling='PASL', pairs=[(k, k + 1, 1.8, 0.7) for k in range(0, 12, 2)])
    measured.inputs.asl_plan = pulsed.write(tmp_path / 'plan.json')
    values = read_values(measured.run().outputs.perfusion_values)
    for name in ('cbf_wm', 'cbf_nawm', 'cbf_wmh', 'cbf_wm_pvc', 'cbf_ring_slope'):
        assert values[name].qc == 'warn'
        assert 'the end of the bolus had 1.10 s to reach white matter' in values[name].reason
    assert values['cbf_gm'].qc == ''


@pytest.mark.parametrize(
    ('labelling', 'delays', 'duration', 'early'),
    [
        ('PCASL', [1.8], 1.8, False),
        ('PCASL', [1.5], 1.8, True),
        ('PASL', [1.8], 0.7, True),
        ('PASL', [2.6], 0.7, False),
        ('PCASL', [0.5, 1.0, 2.0], 1.8, False),
    ],
)
def test_white_matter_that_label_had_no_time_to_reach_is_told(labelling, delays, duration, early):
    pairs = [(2 * k, 2 * k + 1, delay, duration) for k, delay in enumerate(delays)]
    said = _too_early(Plan(labelling=labelling, pairs=pairs), np.ones((5, 5, 5), bool))
    assert bool(said) == early
    late = Plan(labelling=labelling, pairs=pairs, slice_times=[2.0] * 5)
    assert _too_early(late, np.ones((5, 5, 5), bool)) == ''
