"""Bolus tracking: deconvolution, leakage, arteries, times to peak on curves of closed form."""

from __future__ import annotations

import json
import re
import tracemalloc
from math import gamma
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from builders import head, write_dataset, write_image
from scipy import ndimage as ndi
from scipy.special import gammainc

from csvdprep.bids.bidsignore import missing_rules
from csvdprep.bids.query import collect_visits
from csvdprep.core.errors import MeasureError
from csvdprep.core.settings import Settings
from csvdprep.graph.discover import declared
from csvdprep.imaging.inspect import inspect_image
from csvdprep.interfaces.contrast_regions import unsegmented
from csvdprep.markers.bolus.interfaces import _of_regions, _Region
from csvdprep.science.bolus import (
    combine_echoes,
    correct_leakage,
    deconvolve,
    describe_times,
    find_arteries,
    find_first_pass,
    reference_curve,
    time_to_peak,
    to_relaxation,
)
from csvdprep.science.bolus.arteries import find_drain
from csvdprep.science.bolus.relaxation import baseline_noise

#: Gamma variate of the artery: order and scale, s; arrival, s.
ORDER, SCALE, ARRIVAL = 4.0, 1.5, 15.0


def artery(time):
    """Return a gamma variate of unit area."""
    t = np.maximum(time - ARRIVAL, 0) / SCALE
    return t ** (ORDER - 1) * np.exp(-t) / (gamma(ORDER) * SCALE)


def exponential(time, mtt):
    """Convolve it with exp(-t/mtt), in closed form (mtt longer than the scale)."""
    t = np.maximum(time - ARRIVAL, 0)
    rate = 1 / SCALE - 1 / mtt
    return np.exp(-t / mtt) * gammainc(ORDER, rate * t) / (rate * SCALE) ** ORDER


def box(time, mtt):
    """Convolve it with a box of length mtt, in closed form."""

    def whole(t):
        return gammainc(ORDER, np.maximum(t - ARRIVAL, 0) / SCALE)

    return whole(time) - whole(time - mtt)


def times(step, length=90.0):
    return np.arange(int(length / step)) * step


# ---- deconvolution


@pytest.mark.parametrize('step', [1.0, 1.5, 2.0])
@pytest.mark.parametrize('mtt', [4.2, 5.4, 8.0])
@pytest.mark.parametrize(('tissue', 'flow'), [(exponential, (0.7, 1.0)), (box, (0.95, 1.35))])
def test_flow_volume_and_transit_of_closed_forms(step, mtt, tissue, flow):
    time = times(step)
    found = deconvolve(40 * artery(time), 40 * 0.01 * tissue(time, mtt), step)
    # The area is exact; flow is that of a truncated series.
    assert float(found.volume) == pytest.approx(0.01 * mtt, rel=0.01)
    assert flow[0] < float(found.flow) / 0.01 < flow[1]
    assert float(found.mtt_s) == pytest.approx(float(found.volume / found.flow))
    assert 0 < float(found.tmax_s) < mtt


@pytest.mark.parametrize('step', [1.0, 1.5, 2.0, 2.5])
def test_delay_changes_tmax_and_nothing_else(step):
    time = times(step)
    early = deconvolve(artery(time), exponential(time, 5.4), step)
    for delay in (-2 * step, 2 * step, 6 * step):
        late = deconvolve(artery(time), exponential(time - delay, 5.4), step)
        assert float(late.flow) == pytest.approx(float(early.flow), rel=0.02)
        assert float(late.volume) == pytest.approx(float(early.volume), rel=0.02)
        assert float(late.tmax_s - early.tmax_s) == pytest.approx(delay, abs=0.1)


def test_flow_is_proportional():
    time = times(1.5)
    curves = np.array([0.01, 0.02, 0.05])[:, None] * exponential(time, 5.0)
    found = deconvolve(artery(time), curves, 1.5)
    np.testing.assert_allclose(found.flow / found.flow[0], [1, 2, 5], rtol=1e-9)
    np.testing.assert_allclose(found.mtt_s, found.mtt_s[0], rtol=1e-9)


def test_the_circulant_is_that_of_a_decomposition():
    """Threshold in the frequency domain against numpy's singular value decomposition."""
    step, count = 1.5, 40
    time = times(step, count * step)
    aif, curve = artery(time), exponential(time, 5.0)
    before, after = np.r_[0.0, aif[:-1]], np.r_[aif[1:], aif[-1]]
    column = np.r_[(before + 4 * aif + after) / 6, np.zeros(count)]
    matrix = step * np.stack([np.roll(column, k) for k in range(2 * count)], axis=1)
    u, values, vt = np.linalg.svd(matrix)
    kept = values >= 0.1 * values[0]
    residue = vt[kept].T @ ((u[:, kept].T @ np.r_[curve, np.zeros(count)]) / values[kept])
    found = deconvolve(aif, curve, step, oscillation=None, threshold=0.1)
    assert float(found.flow) == pytest.approx(residue.max(), rel=1e-9)


def test_noise_calls_for_a_higher_threshold_and_bounds_oscillation():
    rng = np.random.default_rng(0)
    time = times(1.5)
    curves = 3500 * 0.004 * exponential(time, 5.4) + rng.normal(0, 0.4, (300, len(time)))
    clean = deconvolve(40 * artery(time), 40 * 0.004 * exponential(time, 5.4), 1.5)
    noisy = deconvolve(3500 * artery(time), curves, 1.5)
    assert np.median(noisy.threshold) > float(clean.threshold)
    assert np.median(noisy.flow) == pytest.approx(float(clean.flow), rel=0.25)
    assert noisy.flow.std() < 0.2 * noisy.flow.mean()


def test_an_artery_without_area_is_refused():
    with pytest.raises(ValueError, match='no area'):
        deconvolve(np.zeros(30), np.ones((2, 30)), 1.5)


def test_tissue_without_flow_has_no_transit_time():
    found = deconvolve(artery(times(1.5)), np.zeros(60), 1.5)
    assert float(found.flow) <= 0 or np.isnan(found.mtt_s)
    assert np.isnan(found.mtt_s)


# ---- leakage


@pytest.mark.parametrize('k2', [-0.004, 0.0, 0.004, 0.01])
def test_leakage_is_taken_off(k2):
    time = times(1.5)
    plain = 12 * exponential(time, 5.0)
    whole = np.concatenate([[0], np.cumsum((plain[1:] + plain[:-1]) / 2 * 1.5)])
    leaking = 1.6 * plain - k2 * whole
    rng = np.random.default_rng(1)
    curves = leaking + rng.normal(0, 0.1, (200, len(time)))
    corrected, found = correct_leakage(curves, plain, 1.5)
    assert found.mean() == pytest.approx(k2, abs=2e-4)
    right = np.trapezoid(1.6 * plain)
    assert np.trapezoid(corrected, axis=1).mean() == pytest.approx(right, rel=0.02)
    if abs(k2) > 0.003:
        assert abs(np.trapezoid(curves, axis=1).mean() / right - 1) > 0.05


def test_delay_is_not_taken_for_leakage():
    time = times(1.5)
    plain = exponential(time, 5.0)
    late = exponential(time - 0.7, 5.0)
    corrected, k2 = correct_leakage(late[None], plain, 1.5)
    assert abs(k2[0]) < 2e-3
    assert np.trapezoid(corrected[0]) == pytest.approx(np.trapezoid(late), rel=0.05)


def test_the_reference_leaves_out_what_leaks():
    rng = np.random.default_rng(2)
    time = times(1.5)
    plain = 10 * exponential(time, 5.0)
    curves = plain + rng.normal(0, 0.2, (400, len(time)))
    curves[:60] -= 0.06 * np.maximum(time - 20, 0)
    found = reference_curve(curves, slice(0, 8))
    assert np.abs(found - plain).max() < 0.15


# ---- first pass


def signal(fall=0.3, *, count=60, step=1.5):
    curve = exponential(times(step, count * step), 5.0)
    return 100 * np.exp(np.log(1 - fall) * curve / curve.max())


def test_the_first_pass_is_found():
    found = find_first_pass(signal())
    assert found.reason == ''
    assert found.fall == pytest.approx(0.3, abs=0.03)
    assert 6 <= found.baseline.stop <= 11
    assert abs(found.peak * 1.5 - 22.2) < 2.5


def test_volumes_before_the_steady_state_are_left_out():
    curve = signal()
    curve[:2] *= (1.6, 1.1)
    found = find_first_pass(curve)
    assert found.baseline.start == 2
    assert 'first 2 volumes' in found.notes[0]


@pytest.mark.parametrize(
    ('curve', 'said'),
    [
        (np.full(50, 100.0), 'no bolus is seen'),
        (100 + np.random.default_rng(0).normal(0, 2, 50), 'no bolus is seen'),
        (np.where(np.arange(50) < 25, 100.0, 80.0), 'does not come back'),
        (signal()[: int(22 / 1.5)], 'does not come back'),
        (signal()[13:], 'no(ne)? |does not'),
    ],
)
def test_without_a_bolus_the_reason_is_told(curve, said):
    assert re.search(said, find_first_pass(curve).reason)


def test_signal_is_inverted_and_ends_at_the_floor():
    rates = np.array([0.0, 0, 0, 5, 40, 200])
    measured = 80 * np.exp(-0.03 * rates)
    np.testing.assert_allclose(to_relaxation(measured, slice(0, 3), 0.03), rates, atol=1e-9)
    cut = to_relaxation(measured, slice(0, 3), 0.03, 2.0)
    assert cut[-1] == pytest.approx(np.log(40) / 0.03)
    assert (to_relaxation(np.zeros((2, 6)), slice(0, 3), 0.03) == 0).all()


def test_noise_needs_three_volumes():
    assert np.isnan(baseline_noise(np.ones((4, 9)), slice(0, 2))).all()


# ---- arteries


def brain(*, arteries=12, saturated=False, seed=0, step=1.5):
    """Return curves of tissue with an artery in one place and a vein in another."""
    rng = np.random.default_rng(seed)
    time = times(step)
    places = rng.uniform(-60, 60, (3000, 3))
    mtt, delay = rng.uniform(4, 6, 3000), rng.uniform(0.5, 1.5, 3000)
    height = rng.uniform(4, 14, 3000)
    shape = np.stack([exponential(time - d, m) for d, m in zip(delay, mtt, strict=True)])
    curves = height[:, None] * shape / shape.max(axis=1, keepdims=True)
    places[:arteries] = np.array([20, 10, -15]) + rng.normal(0, 3, (arteries, 3))
    curves[:arteries] = 60 * artery(time) / artery(time).max()
    places[20:40] = np.array([0, -70, 30]) + rng.normal(0, 3, (20, 3))
    curves[20:40] = 70 * exponential(time - 2.5, 3.0) / exponential(time, 3.0).max()
    curves += rng.normal(0, 0.3, curves.shape)
    lowest = 80 * np.exp(-0.03 * curves.max(axis=1))
    if saturated:
        lowest[:arteries] = 1.0
    return curves, lowest, places


def test_the_artery_is_found_and_not_the_vein():
    curves, lowest, places = brain()
    found = find_arteries(curves, lowest, places, slice(0, 9), 1.5, 26)
    assert (found.where < 12).all()
    assert len(found.where) >= 3
    assert found.peak_s == pytest.approx(ARRIVAL + 4.5, abs=0.4)
    assert found.width_s == pytest.approx(6.2, abs=0.4)


def test_times_of_slices_count_for_what_is_early():
    curves, lowest, places = brain()
    given = (slice(0, 9), 1.5, 26)
    late = np.zeros(len(curves))
    late[:12] = -2.0
    early = np.full(len(curves), 1.0)
    # A slice that is read late shows its peak early, and is not to be taken for an artery.
    early[:12] = 9.0
    assert (find_arteries(curves, lowest, places, *given, late).where < 12).all()
    with pytest.raises(MeasureError, match='No cluster'):
        find_arteries(curves, lowest, places, *given, early)


def test_saturated_arteries_are_told():
    curves, lowest, places = brain(saturated=True)
    with pytest.raises(MeasureError, match='saturated') as caught:
        find_arteries(
            np.concatenate([curves[:12], curves[20:40]]),
            np.concatenate([lowest[:12], np.full(20, 0.5)]),
            np.concatenate([places[:12], places[20:40]]),
            slice(0, 9),
            1.5,
            26,
        )
    assert caught.value.remedy


def test_no_bolus_no_artery():
    rng = np.random.default_rng(0)
    with pytest.raises(MeasureError, match='no arterial input function'):
        find_arteries(
            rng.normal(0, 1, (500, 60)),
            np.full(500, 50.0),
            rng.normal(0, 30, (500, 3)),
            slice(0, 9),
            1.5,
        )


def test_the_vein_is_averaged():
    curves, lowest, _ = brain()
    found = find_drain(curves[20:300], lowest[20:300], slice(0, 9), 1.5, 30, 0.06)
    assert (found.where < 20).all()
    with pytest.raises(MeasureError, match='arteriovenous'):
        find_drain(curves[:3], lowest[:3], slice(0, 9), 1.5, 30, 0.06)


# ---- times to peak


@pytest.mark.parametrize('step', [1.0, 1.5, 2.0, 2.5])
def test_times_to_peak_differ_as_the_curves_do(step):
    time = times(step)
    delays = np.linspace(0, 3, 31)
    curves = np.stack([exponential(time - delay, 5.0) for delay in delays])
    found = time_to_peak(curves, step, 3, len(time))
    np.testing.assert_allclose(found - found[0], delays, atol=0.12)


def test_noise_does_not_gather_times_at_volumes():
    rng = np.random.default_rng(3)
    time = times(1.5)
    delays = rng.uniform(0, 1.5, 3000)
    curves = np.stack([7 * exponential(time - d, 5.4) for d in delays])
    curves = curves / curves.max() * 6 + rng.normal(0, 0.3, curves.shape)
    found = time_to_peak(curves, 1.5, 8, 40)
    phase = np.histogram((found / 1.5) % 1, 10, (0, 1))[0] / len(found)
    assert phase.max() < 0.2
    wide = describe_times(found)
    assert wide.median_s - np.median(found) == 0
    assert wide.width_s == pytest.approx(1.2, abs=0.35)


def test_a_peak_at_the_edge_of_the_window_is_none():
    rising = np.linspace(0, 1, 40)[None]
    assert np.isnan(time_to_peak(rising, 1.5, 0, 40)[0])


def test_few_times_are_not_described():
    assert describe_times(np.r_[np.full(19, 1.0), np.full(50, np.nan)]) is None
    found = describe_times(np.r_[np.zeros(50), np.linspace(0, 4, 50)])
    assert found.skew > 0.5


# ---- what is found of a dataset


SIDE = {'EchoTime': 0.03, 'RepetitionTime': 1.5, 'MRAcquisitionType': '3D'}


def write_dsc(root, name='sub-01/perf/sub-01_ce-gadolinium_dsc', *, frames=24, **side):
    shape = (40, 48, 40)
    series = np.stack([head(shape, seed=n) for n in range(frames)], axis=-1)
    path = write_image(root / f'{name}.nii.gz', series)
    path.with_name(path.name.replace('.nii.gz', '.json')).write_text(json.dumps(SIDE | side))
    return path


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


@pytest.mark.parametrize(
    'name',
    [
        'sub-01/perf/sub-01_dsc',
        'sub-01/perf/sub-01_acq-epi_ce-gadovist_run-1_dsc',
        'sub-01/perf/sub-01_DSC',
        'sub-01/perf/sub-01_acq-dsc_ce-gad_perf',
        'sub-01/perf/sub-01_ce-gad_perf',
        'sub-01/anat/sub-01_dsc',
        'sub-01/dsc/sub-01_dsc',
    ],
)
def test_names_in_use_are_read(bids, name):
    write_dsc(bids, name)
    visit = only(bids)
    assert Path(visit.scans['dsc'].path).name.startswith(Path(name).name)
    assert 'dce' not in visit.scans
    assert visit.scans['dsc'].content['protocol']['step_s'] == 1.5


def test_rules_of_bidsignore_for_the_name_leave_nothing_out(bids):
    write_dsc(bids)
    assert missing_rules(bids) == {'*_dsc.*': 2}
    (bids / '.bidsignore').write_text('*_dsc.*\n')
    assert missing_rules(bids) == {}
    assert 'dsc' in only(bids).scans


def test_of_several_echoes_that_near_30_ms_is_taken(bids):
    write_dsc(bids, 'sub-01/perf/sub-01_echo-1_dsc', EchoTime=0.012)
    write_dsc(bids, 'sub-01/perf/sub-01_echo-2_dsc', EchoTime=0.034)
    visit = only(bids)
    found = visit.scans['dsc']
    assert found.path.endswith('echo-2_dsc.nii.gz')
    assert [one['te_s'] for one in found.content['echoes']] == [0.012, 0.034]
    assert any('one of 2 echoes (34, 12 ms)' in note for note in visit.notes)
    assert sum(uri.endswith('echo-1_dsc.nii.gz') for uri in found.others) == 1


@pytest.mark.parametrize(
    'changes', [{'RepetitionTime': 2.0}, {'EchoTime': None}, {'EchoTime': 0.033}]
)
def test_what_is_no_other_echo_is_not_put_together(bids, changes):
    fields = {'EchoTime': 0.012} | changes
    write_dsc(bids, 'sub-01/perf/sub-01_echo-1_dsc', **fields)
    write_dsc(bids, 'sub-01/perf/sub-01_echo-2_dsc', EchoTime=0.034)
    assert only(bids).scans['dsc'].content['echoes'] == []


def test_another_run_is_no_other_echo(bids):
    write_dsc(bids, 'sub-01/perf/sub-01_run-1_dsc', EchoTime=0.012)
    write_dsc(bids, 'sub-01/perf/sub-01_run-2_dsc', EchoTime=0.034)
    visit = only(bids)
    assert visit.scans['dsc'].content['echoes'] == []
    assert any('nearest to 30 ms' in note for note in visit.notes)


# ---- several echoes


def echoes_of(noise=0.0, leak=5e-4, count=3000, seed=0, te=(0.012, 0.035)):
    """Signal of tissue in two echoes, with what contrast agent does to its T1."""
    time = np.arange(80) * 1.5
    blood = artery(time)
    blood = 6 * blood / blood.max()
    vascular = 0.03 * 0.3 * blood
    tissue = leak / 60 * np.cumsum(blood) * 1.5
    change = 87 * vascular
    fall = np.exp(-1.5 * (1 / 1.2 + 4.5 * (vascular + tissue)))
    signal = (1 - fall) / (1 - 0.5 * fall)
    rng = np.random.default_rng(seed)
    level = signal[0]
    return change, [
        signal * np.exp(-t * change) + noise * level * rng.normal(0, 1, (count, len(time)))
        for t in te
    ]


@pytest.mark.parametrize('leak', [0.0, 5e-4, 5e-3])
def test_echoes_together_have_no_part_of_t1(leak):
    change, (first, second) = echoes_of(leak=leak, count=1)
    made = combine_echoes([first, second], (0.012, 0.035), slice(0, 8), 0.035)
    found = -np.log(made / made[:, :8].mean(axis=1, keepdims=True)) / 0.035
    single = -np.log(second / second[:, :8].mean(axis=1, keepdims=True)) / 0.035
    assert np.abs(found - change).max() < 1e-3 * change.max()
    assert abs(single.sum() / change.sum() - 1) > 0.05


def test_echoes_together_of_many_voxels_are_right_with_noise():
    change, both = echoes_of(noise=0.01)
    made = combine_echoes(both, (0.012, 0.035), slice(0, 8), 0.035)
    found = -np.log(made / made[:, :8].mean(axis=1, keepdims=True)) / 0.035
    assert found.mean(axis=0).sum() / change.sum() == pytest.approx(1, abs=0.05)


def test_a_late_echo_that_is_noise_counts_as_the_first():
    change = np.zeros(40)
    change[15:20] = 200.0
    rng = np.random.default_rng(0)
    first, second = (
        100 * np.exp(-te * change) + rng.normal(0, 1, (200, 40)) for te in (0.012, 0.035)
    )
    made = combine_echoes([first, np.abs(second)], (0.012, 0.035), slice(0, 12), 0.035)
    found = -np.log(made / made[:, :12].mean(axis=1, keepdims=True)) / 0.035
    assert np.median(found[:, 15:20]) == pytest.approx(200, rel=0.05)


def test_echoes_are_joined_as_the_head_moved(tmp_path):
    from csvdprep.preprocessing.dsc.interfaces import join_echoes

    rng = np.random.default_rng(0)
    change = np.zeros(24)
    change[10:16] = (5, 15, 20, 14, 8, 3)
    level = 500 + 100 * ndi.gaussian_filter(rng.normal(0, 1, (12, 12, 10)), 2)
    items = []
    for number, te in enumerate((0.012, 0.034)):
        data = level[..., None] * np.exp(-te * change) * (1 + 0.2 * (change > 0))
        path = tmp_path / f'{number}.nii.gz'
        nib.save(nib.Nifti1Image(data.astype(np.float32), np.diag([3.0, 3, 3, 1])), path)
        items.append({'path': str(path), 'te_s': te})
    dsc = {'echoes': items, 'protocol': {'te_s': 0.034}}
    found = SimpleNamespace(baseline=slice(0, 9))
    image = SimpleNamespace(shape=(12, 12, 10, 24))
    still = np.tile(np.eye(4), (24, 1, 1))
    for motions in (None, still):
        made = join_echoes(dsc, image, motions, found)
        inside = made[4:8, 4:8, 4:6]
        rate = -np.log(inside / inside[..., :9].mean(axis=-1, keepdims=True)) / 0.034
        np.testing.assert_allclose(rate.mean(axis=(0, 1, 2)), change, atol=0.05)
    with pytest.raises(MeasureError, match='not on one grid'):
        join_echoes(dsc, SimpleNamespace(shape=(12, 12, 11, 24)), None, found)


def test_a_series_that_cannot_be_used_is_told(bids):
    write_dsc(bids, frames=8)
    visit = only(bids)
    assert 'dsc' not in visit.scans
    ((shown, why),) = visit.refused
    assert shown.endswith('_dsc.nii.gz')
    assert '8 volumes' in why
    assert 'dim[4]' in why


@pytest.mark.parametrize('number', [5, 25, 40])
def test_a_lost_volume_is_no_bolus(number):
    time = np.arange(50)
    curve = 100 - 25 * np.exp(-0.5 * ((time - 18) / 2.5) ** 2)
    assert find_first_pass(curve).reason == ''
    curve[number] = 0
    assert f'in volume {number} (counted from 0) alone' in find_first_pass(curve).reason


def test_a_single_dark_volume_is_no_bolus():
    curve = np.where(np.arange(50) == 25, 80.0, 100.0)
    assert 'a bolus lasts for several' in find_first_pass(curve).reason


@pytest.mark.parametrize('start', np.linspace(0, 1, 5))
def test_a_short_bolus_in_long_volumes_is_one(start):
    time = (np.arange(30) + start) * 2.5
    curve = 100 * np.exp(-6 * artery(time - 10))
    assert find_first_pass(curve).reason == ''


def test_an_artery_whose_curve_ends_below_zero_is_refused():
    curve = 30 * np.exp(-0.5 * ((np.arange(50) - 18) / 2.5) ** 2)
    curve[36:] = -40
    curves = np.tile(curve, (100, 1))
    with pytest.raises(MeasureError, match='no area'):
        find_arteries(curves, np.full(100, 10.0), np.zeros((100, 3)), slice(0, 10), 1.0, 35)


def test_many_candidates_of_an_artery_need_little_memory():
    rng = np.random.default_rng(0)
    time = np.arange(40)
    heights = rng.uniform(20, 30, 60_000)
    curves = (heights[:, None] * np.exp(-0.5 * ((time - 18) / 2.5) ** 2)).astype(np.float32)
    places = rng.uniform(-70, 70, (len(curves), 3))
    tracemalloc.start()
    find_arteries(curves, np.full(len(curves), 10.0), places, slice(0, 10), 1.0, 35)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Distances of all 3,000 candidates from one another alone would be 216 MB.
    assert peak < 150e6


def region(**values):
    facts = {'voxels': 50, 'cbv': 0.02, 'uncorrected': 0.02, 'cbf': 0.004, 'mtt_s': 5.0}
    return _Region(**facts | {'tmax_s': 1.0, 'k2': 0.0, 'threshold': 0.1} | values)


def of_regions(**wmh):
    found = {'nawm': region(), 'wmh': region(**wmh)}
    masks = dict.fromkeys(found, np.ones((10, 10, 1), bool))
    return _of_regions(found, found['nawm'], masks, '', '')


def test_blood_volume_below_zero_is_no_value():
    values = of_regions(cbv=-0.01, uncorrected=-0.01, mtt_s=-2.5)
    assert values['dsc_cbv_wmh_to_nawm'].value is None
    assert values['dsc_cbv_wmh_to_nawm'].reason == 'blood volume of the region is not above 0'
    assert values['dsc_mtt_wmh_s'].value is None
    assert values['dsc_cbf_wmh_to_nawm'].value == pytest.approx(1)
    assert values['dsc_mtt_nawm_s'].value == pytest.approx(5)


def test_a_transit_time_below_zero_is_no_value_though_leakage_was_corrected():
    values = of_regions(cbv=0.01, uncorrected=-0.001, mtt_s=-0.25)
    assert values['dsc_cbv_wmh_to_nawm'].value == pytest.approx(0.5)
    assert values['dsc_mtt_wmh_s'].value is None
    assert values['dsc_tmax_wmh_s'].value is None


def test_without_blood_volume_of_white_matter_it_is_told():
    found = {'nawm': region(cbv=-0.01), 'wmh': region()}
    masks = dict.fromkeys(found, np.ones((10, 10, 1), bool))
    value = _of_regions(found, found['nawm'], masks, '', '')['dsc_cbv_wmh_to_nawm']
    assert (value.value, value.reason) == (None, 'blood volume of NAWM is not above 0')


def test_an_earlier_bolus_is_flagged():
    time = np.arange(60)
    late = 25 * np.exp(-0.5 * ((time - 36) / 2.5) ** 2)
    early = 8 * np.exp(-0.5 * ((time - 12) / 2.5) ** 2)
    noise = np.random.default_rng(0).normal(0, 0.3, 60)
    assert find_first_pass(100 - late + noise).doubt == ''
    found = find_first_pass(100 - late - early + noise)
    assert found.reason == ''
    assert 'before the bolus already (volume 12, counted from 0)' in found.doubt
    drifting = find_first_pass((100 - late + noise) * (1 - 0.0005 * time))
    assert drifting.doubt == ''


def test_white_matter_with_hyperintensities_in_it_is_flagged():
    values = {name: unsegmented(name, value) for name, value in of_regions().items()}
    for name in ('dsc_mtt_nawm_s', 'dsc_cbv_wmh_to_nawm'):
        assert values[name].qc == 'warn'
        assert 'hyperintensities were not segmented' in values[name].reason
    assert values['dsc_mtt_wmh_s'].qc != 'warn'
    assert values['dsc_cbv_dgm_to_nawm'].value is None
    assert 'called normal' not in values['dsc_cbv_dgm_to_nawm'].reason
