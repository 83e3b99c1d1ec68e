"""Tracer kinetics and spoiled gradient echoes on arrays of known truth."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import least_squares, lsq_linear

from csvdprep.phantom.permeability import cases
from csvdprep.phantom.permeability.bolus import frame_means, parker, venous
from csvdprep.science.kinetics import (
    arrival,
    convolve,
    describe_curve,
    drift_sensitivity,
    extended_tofts_fit,
    integrate,
    leaking_volume,
    patlak_fit,
    plasma_volume_fit,
    two_compartment_fit,
)
from csvdprep.science.kinetics.linear import solve
from csvdprep.science.spoiled_gradient import fit_t1, spgr_signal, to_concentration

SHARED = Path(__file__).parents[3] / 'shared' / 'data' / 'dce-reference'
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason='needs ../shared/data/dce-reference')
TIME = np.arange(40) * 30.0 + 15
PLASMA = venous(TIME - 120)


def numbers(text):
    return np.array([float(part) for part in text.split()])


def reference(name):
    with open(SHARED / 'osipi' / name, encoding='utf-8-sig') as stream:
        return list(csv.DictReader(stream))


def estimate_p10(tissue, drift=0.0):
    case = cases.p10(tissue, drift)

    def fit(signal):
        tissue_mmol = to_concentration(
            signal,
            case.t1,
            tr_s=cases.TR_MS / 1000,
            flip_deg=cases.FLIP,
            relaxivity=cases.RELAXIVITY,
            baseline=slice(0, cases.BASELINE),
        )
        return patlak_fit(
            case.time_s,
            case.cp,
            tissue_mmol,
            use=case.time_s >= cases.FIT_FROM_S,
            baseline=cases.BASELINE,
        )

    return case, fit


# ---- the named case of the specification, P10


@pytest.mark.parametrize('tissue', cases.TISSUE_VALUES)
def test_p10_is_found_without_noise(tissue):
    case, fit = estimate_p10(tissue)
    found = fit(case.signal)
    assert float(found.values['ps']) == pytest.approx(case.ps, rel=1e-3)
    assert float(found.values['vp']) == pytest.approx(case.vp, rel=1e-3)


@pytest.mark.parametrize('tissue', cases.TISSUE_VALUES)
def test_drift_does_what_the_specification_prints(tissue):
    for drift, printed in cases.PRINTED[tissue].items():
        case, fit = estimate_p10(tissue, drift)
        assert float(fit(case.signal).values['ps']) * 1e4 == pytest.approx(printed, abs=0.1)
    case, fit = estimate_p10(tissue)
    slope = drift_sensitivity(
        lambda signal: fit(signal).values['ps'] * 1e4, case.time_s, case.signal
    )
    half = (cases.PRINTED[tissue][0.5] - case.ps * 1e4) / 5
    assert slope == pytest.approx(half, abs=0.03)


def test_region_with_noise_is_found_and_its_interval_is_honest():
    case, fit = estimate_p10('wmh')
    rng = np.random.default_rng(1)
    # The noise of the mean of a region of 200 voxels of 2 %.
    noisy = case.signal * (1 + rng.normal(0, 0.02 / np.sqrt(200), (400, len(case.signal))))
    found = fit(noisy)
    assert np.mean(found.values['ps']) == pytest.approx(case.ps, rel=0.02)
    low, high = found.interval('ps')
    assert 0.92 < ((low <= case.ps) & (case.ps <= high)).mean() < 0.99
    assert float(np.median(np.abs(found.values['ps'] / case.ps - 1))) < 0.1


# ---- published values


@needs_shared
def test_patient_of_sepal():
    told = json.loads((SHARED / 'sepal-roi' / 'reference.json').read_text())
    use = told['parameters']
    with open(SHARED / 'sepal-roi' / 'roi_signal.tsv') as stream:
        rows = list(csv.DictReader(stream, delimiter='\t'))
    time, tissue, blood = (
        np.array([float(row[name]) for row in rows])
        for name in ('time_s', 'signal_tissue', 'signal_vif')
    )
    sequence = {
        'tr_s': use['repetition_time_s'],
        'flip_deg': use['flip_angle_deg'],
        'relaxivity': use['r1_per_mM_per_s'],
        'baseline': use['baseline_volumes'],
        'te_s': use['echo_time_s'],
        'relaxivity_r2': use['r2_per_mM_per_s'],
    }
    in_tissue = to_concentration(tissue, use['t1_tissue_s'], b1=use['k_tissue'], **sequence)
    in_blood = to_concentration(blood, use['t1_vif_s'], b1=use['k_vif'], **sequence)
    plasma = in_blood / (1 - use['haematocrit'])
    late = np.arange(len(time)) > use['volumes_excluded_from_fit'][-1]
    found = patlak_fit(time, plasma, in_tissue, use=late).values
    assert abs(found['vp'] - 0.0139) < 2e-4
    assert abs(found['ps'] - 1.87e-4) < 2e-6


@needs_shared
def test_worked_example_of_sepal():
    signals = np.array([413.0, 604, 445])
    for method, t1_s, m0 in (('unweighted', 1.326, 13531.9), ('nonlinear', 1.323, 13482.2)):
        found, level = fit_t1(signals, (2, 5, 12), 0.0054, method=method)
        assert abs(found - t1_s) < 0.002
        assert level == pytest.approx(m0, rel=1e-3)
    assert abs(fit_t1(signals[[0, 2]], (2, 12), 0.0054)[0] - 1.326) < 0.002


@needs_shared
@pytest.mark.parametrize(('name', 'unit'), [('t1_brain_data.csv', 1), ('t1_quiba_data.csv', 1000)])
def test_t1_of_osipi(name, unit):
    for row in reference(name):
        t1, _ = fit_t1(numbers(row['s']), numbers(row['FA']), numbers(row['TR']))
        wanted = float(row['R1']) * unit
        assert abs(1 / t1 - wanted) < 0.05 + 0.05 * wanted


@needs_shared
def test_concentration_of_osipi():
    for row in reference('SI2Conc_data.csv'):
        found = to_concentration(
            numbers(row['s']),
            float(row['T1base']),
            tr_s=float(row['TR']),
            flip_deg=float(row['FA']),
            relaxivity=float(row['r1']),
            baseline=slice(1, int(row['numbaselinepts'])),
        )
        np.testing.assert_allclose(found[1:], numbers(row['conc'])[1:], rtol=1e-9, atol=1e-9)


@needs_shared
@pytest.mark.parametrize('delay', [0, 5])
def test_patlak_of_osipi(delay):
    for row in reference(f'patlak_sd_0.02_delay_{delay}.csv'):
        found = patlak_fit(
            numbers(row['t']),
            numbers(row['cp_aif']),
            numbers(row['C_t']),
            delay_s=(0.0, 10.0) if delay else 0.0,
        )
        assert abs(found.values['vp'] - float(row['vp'])) < 0.0025
        assert abs(found.values['ps'] - float(row['ps'])) < 0.0005 + 0.01 * float(row['ps'])
        assert abs(found.delay_s - delay) < 0.1


def test_objects_of_osipi_made_again_here():
    """Parker's function from 10 s on, every 0.5 s, noise of 0.02: a tenth of the tolerances."""
    rng = np.random.default_rng(2)
    plasma, integral = frame_means(lambda t: parker(t - 10), 600, 0.5)
    time = (np.arange(600) + 0.5) * 0.5
    for vp in (0.1, 0.2, 0.5):
        for ps in (0.0, 0.05, 0.15):
            noisy = vp * plasma + ps * integral + rng.normal(0, 0.02, (20, 600))
            found = patlak_fit(time, plasma, noisy).values
            assert abs(found['vp'].mean() - vp) < 0.0025
            assert abs(found['ps'].mean() - ps) < 0.0005 + 0.01 * ps


# ---- T1 and concentration


def test_t1_with_b1_in_every_voxel():
    rng = np.random.default_rng(0)
    t1, b1 = rng.uniform(0.3, 3.0, 500), rng.uniform(0.8, 1.2, 500)
    signals = np.stack([spgr_signal(900, 1 / t1, 0.0054, flip * b1) for flip in (2, 5, 12)], -1)
    for method in ('linear', 'nonlinear'):
        found, m0 = fit_t1(signals, (2, 5, 12), 0.0054, b1=b1, method=method)
        np.testing.assert_allclose(found, t1, rtol=1e-5)
        np.testing.assert_allclose(m0, 900, rtol=1e-5)
    without, _ = fit_t1(signals, (2, 5, 12), 0.0054)
    np.testing.assert_allclose(without / t1, b1**2, rtol=0.03)


def test_nonlinear_t1_is_the_least_squares_one():
    rng = np.random.default_rng(5)
    signals = spgr_signal(900, 1 / 1.3, 0.0054, np.array([2, 5, 12])) + rng.normal(0, 1.5, (40, 3))
    found, m0 = fit_t1(signals, (2, 5, 12), 0.0054)
    for signal, t1, level in zip(signals, found, m0, strict=True):
        other = least_squares(
            lambda p, s=signal: (
                p[0] * spgr_signal(900, 1 / p[1], 0.0054, np.array([2, 5, 12])) - s
            ),
            [1, 1],
            xtol=1e-14,
            ftol=1e-14,
        )
        assert t1 == pytest.approx(other.x[1], rel=1e-4)
        assert level == pytest.approx(900 * other.x[0], rel=1e-4)


def test_t1_that_cannot_be_is_nan():
    found, m0 = fit_t1(np.array([[0.0, 0, 0], [500, 400, 10], [1, 900, 2]]), (2, 5, 12), 0.0054)
    assert np.isnan(found[0])
    assert np.isnan(m0[0])
    with pytest.raises(ValueError, match='two flip angles'):
        fit_t1(np.ones((3, 2)), (5, 5), 0.0054)


def test_concentration_is_exact_with_b1_and_r2():
    wanted = np.array([0, 0, 0.01, 0.5, 4.0])
    t1 = np.array([0.9, 1.6])
    b1 = np.array([0.85, 1.15])
    rate = 1 / t1[:, None] + 4.5 * wanted
    signal = spgr_signal(300, rate, 0.0034, 15 * b1[:, None]) * np.exp(-0.0017 * 7.1 * wanted)
    found = to_concentration(
        signal,
        t1,
        tr_s=0.0034,
        flip_deg=15,
        relaxivity=4.5,
        baseline=slice(0, 2),
        b1=b1,
        te_s=0.0017,
        relaxivity_r2=7.1,
    )
    np.testing.assert_allclose(found, np.broadcast_to(wanted, found.shape), atol=1e-8)


def test_saturated_signal_has_no_concentration():
    found = to_concentration(
        np.array([1.0, 1, 1e4]), 1.0, tr_s=0.005, flip_deg=12, relaxivity=4.5, baseline=slice(0, 2)
    )
    assert found[:2].tolist() == pytest.approx([0, 0], abs=1e-9)
    assert np.isnan(found[2])


# ---- fits


def test_patlak_is_exact_in_uneven_steps_and_shapes():
    rng = np.random.default_rng(0)
    time = np.cumsum(rng.uniform(5, 60, 50))
    plasma = venous(time - 100)
    ps, vp = rng.normal(0, 1e-3, (3, 4)), rng.normal(0.01, 0.02, (3, 4))
    tissue = vp[..., None] * plasma + ps[..., None] * integrate(time, plasma)
    found = patlak_fit(time, plasma, tissue, use=time > 250, curves=True)
    # Negative values are kept.
    assert (ps < 0).any()
    np.testing.assert_allclose(found.values['ps'], ps, rtol=1e-8)
    np.testing.assert_allclose(found.values['vp'], vp, rtol=1e-8)
    np.testing.assert_allclose(found.fitted, tissue, atol=1e-12)
    assert found.points == (time > 250).sum()


def test_errors_are_those_of_textbooks():
    rng = np.random.default_rng(1)
    tissue = 0.01 * PLASMA + 5e-4 * integrate(TIME, PLASMA) + rng.normal(0, 1e-3, len(TIME))
    found = patlak_fit(TIME, PLASMA, tissue)
    design = np.stack([integrate(TIME, PLASMA), PLASMA], -1)
    beta, rss, *_ = np.linalg.lstsq(design, tissue)
    spread = np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * rss[0] / (len(TIME) - 2))
    assert float(found.values['ps']) == pytest.approx(beta[0], rel=1e-9)
    assert float(found.errors['ps']) == pytest.approx(spread[0], rel=1e-6)
    assert float(found.errors['vp']) == pytest.approx(spread[1], rel=1e-6)


def test_weights_count():
    rng = np.random.default_rng(2)
    sd = np.where(TIME < 300, 0.05, 0.001)
    clean = 0.01 * PLASMA + 5e-4 * integrate(TIME, PLASMA)
    noisy = clean + rng.normal(0, 1, (300, len(TIME))) * sd
    plain = patlak_fit(TIME, PLASMA, noisy).values['ps']
    weighted = patlak_fit(TIME, PLASMA, noisy, weights=1 / sd**2).values['ps']
    each = patlak_fit(TIME, PLASMA, noisy, weights=np.broadcast_to(1 / sd**2, noisy.shape)).values[
        'ps'
    ]
    assert weighted.std() < 0.3 * plain.std()
    np.testing.assert_allclose(each, weighted, rtol=1e-9)


def test_bounds_are_those_of_bounded_least_squares():
    rng = np.random.default_rng(0)
    design, data = rng.random((20, 2)), rng.normal(size=(60, 20))
    low, high = np.array([0.0, -0.1]), np.array([0.2, 0.3])
    found = solve(design, data, None, (low, high))[0]
    other = np.array([lsq_linear(design, row, (low, high)).x for row in data])
    np.testing.assert_allclose(found, other, atol=1e-6)
    with pytest.raises(ValueError, match='no parameter ve'):
        patlak_fit(TIME, PLASMA, PLASMA, bounds={'ve': (0, 1)})
    held = patlak_fit(TIME, PLASMA, -PLASMA, bounds={'ps': (0, 9), 'vp': (0, 9)}).values
    assert float(held['ps']) == float(held['vp']) == 0


def test_extended_tofts_is_least_squares():
    rng = np.random.default_rng(3)
    ktrans, vp, kep = (
        10 ** rng.uniform(-4, -1.5, 60),
        rng.uniform(0, 0.06, 60),
        10 ** rng.uniform(-2, 0, 60),
    )
    clean = ktrans[:, None] * convolve(TIME, PLASMA, kep) + vp[:, None] * PLASMA
    found = extended_tofts_fit(TIME, PLASMA, clean, bounds=None).values
    np.testing.assert_allclose(found['ps'], ktrans, rtol=1e-6)
    np.testing.assert_allclose(found['kep'], kep, rtol=1e-6)
    noisy = clean + rng.normal(0, 0.01, clean.shape)
    fit = extended_tofts_fit(TIME, PLASMA, noisy, bounds=None)
    for number in range(0, 60, 6):
        best = min(
            2
            * least_squares(
                lambda p, y=noisy[number]: p[0] * convolve(TIME, PLASMA, p[2]) + p[1] * PLASMA - y,
                [0.01, 0.02, start],
                bounds=([-np.inf, -np.inf, 0], [np.inf, np.inf, 5]),
                x_scale=[0.01, 0.01, 0.1],
            ).cost
            for start in (0.01, 0.1, 1.0)
        )
        assert fit.rss[number] <= best * (1 + 1e-6)
    held = extended_tofts_fit(
        TIME, PLASMA, noisy, bounds={'ps': (1e-7, 2), 'vp': (1e-3, 1), 've': (0.02, 1)}
    ).values
    assert held['vp'].min() >= 1e-3
    assert held['ps'].min() >= 1e-7
    returned = held['ve'][np.isfinite(held['ve'])]
    assert (returned.min() >= 0.02 - 1e-9) & (returned.max() <= 1 + 1e-9)


def test_models_are_told_apart():
    rng = np.random.default_rng(4)
    noise = rng.normal(0, 2e-4, len(TIME))
    use = TIME > 240
    truths = {
        'plasma': 0.01 * PLASMA,
        'patlak': 0.01 * PLASMA + 1e-3 * integrate(TIME, PLASMA),
        'extended-tofts': 0.01 * PLASMA + 0.02 * convolve(TIME, PLASMA, 0.15),
    }
    for name, clean in truths.items():
        fits = [
            plasma_volume_fit(TIME, PLASMA, clean + noise, use=use),
            patlak_fit(TIME, PLASMA, clean + noise, use=use),
            extended_tofts_fit(TIME, PLASMA, clean + noise, use=use),
            two_compartment_fit(TIME, PLASMA, clean + noise, use=use),
        ]
        assert min(fits, key=lambda fit: float(fit.aic)).model == name


def test_curves_that_are_not_finite_are_nan():
    tissue = np.stack([PLASMA * 0.01, np.full(len(TIME), np.nan)])
    for fit in (patlak_fit, extended_tofts_fit):
        found = fit(TIME, PLASMA, tissue).values
        assert np.isfinite(found['ps'][0])
        assert np.isnan(found['ps'][1])


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'time_s': TIME[::-1]}, 'rise'),
        ({'plasma': PLASMA[:-1]}, 'do not fit'),
        ({'tissue': PLASMA[:-1]}, 'do not fit'),
        ({'plasma': PLASMA * np.nan}, 'not finite'),
        ({'use': TIME[-3] < TIME}, 'too few'),
        ({'use': np.ones(3, bool)}, 'one value a time'),
        ({'rule': 'simpson'}, 'no rule'),
    ],
)
def test_wrong_arrays_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        patlak_fit(**{'time_s': TIME, 'plasma': PLASMA, 'tissue': PLASMA, **changes})


def test_leaking_volume_takes_noise_off():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 2e-4, 20_000)
    share, error = leaking_volume(noise)
    assert abs(share) < 3 * error
    leaking = noise + np.where(np.arange(20_000) < 5000, 3e-3, 0)
    assert leaking_volume(leaking)[0] == pytest.approx(0.25, abs=0.03)
    assert np.isnan(leaking_volume(np.array([np.nan]))[0])


def test_shape_of_a_curve_that_never_rises():
    assert describe_curve(TIME, np.zeros(len(TIME)), 4).ttp_s is None
    assert describe_curve(TIME, np.full(len(TIME), np.nan), 4).arrival_s is None


def test_shape_leaves_out_what_the_baseline_does():
    time = np.arange(12) * 60.0
    curve = np.array([25, 0, 0, 0, 40, 36, 34, 33, 32, 31, 30, 30.0])
    clean = describe_curve(time, np.where(time == 0, 0, curve), 4, 200.0)
    assert describe_curve(time, curve, slice(1, 4), 200.0).wash_in == clean.wash_in
    assert arrival(curve, 4) is None
    assert arrival(np.r_[25.0, 0, 0, 0, 40, 36], slice(1, 4)) == 4
