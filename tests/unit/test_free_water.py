"""Free water against DIPY, against mixtures that are known, and against the kit's own search."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from csvdprep.core.errors import MeasureError
from csvdprep.phantom.diffusion.gradients import shells
from csvdprep.science.free_water import fit_free_water, free_water_single_shell
from csvdprep.science.tensor_equations import PARTS
from csvdprep.science.tensors import fit_tensor, measures, predict

TWO = shells([(800, 20), (2000, 30)], b0=4)
ONE = shells([(1000, 30)], b0=3)


def random_tensors(count, values, rng):
    axes = np.linalg.qr(rng.normal(size=(count, 3, 3)))[0]
    whole = np.einsum('nij,nj,nkj->nik', axes, np.broadcast_to(values, (count, 3)), axes)
    return np.stack([whole[:, i, j] for i, j in PARTS], axis=-1)


def mixture(table, f, tensor, s0):
    tissue = predict(tensor, 1.0 + 0 * f, table.bvals, table.directions)
    water = np.exp(-3e-3 * table.bvals)
    return s0[:, None] * ((1 - f)[:, None] * tissue + f[:, None] * water)


def noisy(signal, sigma, rng):
    return np.hypot(
        signal + sigma * rng.normal(size=signal.shape), sigma * rng.normal(size=signal.shape)
    )


@pytest.fixture(scope='module')
def voxels():
    rng = np.random.default_rng(1)
    values = rng.uniform([0.8, 0.3, 0.2], [1.7, 0.8, 0.6], (700, 3)) * 1e-3
    tensor = random_tensors(700, values, rng)
    return rng.uniform(0, 0.9, 700), tensor, rng.uniform(500, 1500, 700)


def test_two_shells_are_solved_exactly(voxels):
    f, tensor, s0 = voxels
    found = fit_free_water(mixture(TWO, f, tensor, s0), TWO.bvals, TWO.directions)
    assert np.abs(found.f - f).max() < 1e-6
    assert np.abs(found.tensor - tensor).max() < 1e-8
    assert np.allclose(found.s0, s0, rtol=1e-6)
    assert found.tissue.all()


@pytest.mark.parametrize('snr', [40, 20])
def test_equal_to_dipy(voxels, snr):
    from dipy.core.gradients import gradient_table
    from dipy.reconst.fwdti import FreeWaterTensorModel

    f, tensor, s0 = (part[:250] for part in voxels)
    signal = noisy(mixture(TWO, f, tensor, s0), (s0 / snr)[:, None], np.random.default_rng(2))
    found = fit_free_water(signal, TWO.bvals, TWO.directions)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        table = gradient_table(TWO.bvals, bvecs=TWO.directions)
        dipy = FreeWaterTensorModel(table, fit_method='NLS').fit(signal)
    assert np.abs(found.f - dipy.f).max() < 1e-3
    seen = found.tissue & (dipy.evals[:, 2] > 1e-6)
    ours = measures(found.tensor, floor=0)
    assert np.abs(ours.fa - dipy.fa)[seen].max() < 5e-3
    assert np.abs(ours.md - dipy.md)[seen].max() < 2e-5


def test_water_alone_has_no_tissue():
    still = np.zeros((40, 6))
    still[:, [0, 3, 5]] = 3e-3
    signal = predict(still, 2000.0, TWO.bvals, TWO.directions)
    found = fit_free_water(signal, TWO.bvals, TWO.directions)
    assert (found.f == 1).all()
    assert not found.tissue.any()
    assert not found.tensor.any()
    rng = np.random.default_rng(0)
    found = fit_free_water(noisy(signal, 60, rng), TWO.bvals, TWO.directions)
    assert (found.f > 0.8).all()
    assert measures(found.tensor[found.tissue]).md.max(initial=0) < 3e-3


def test_what_is_no_signal_stays_finite():
    rng = np.random.default_rng(0)
    signal = np.concatenate(
        [np.zeros((5, 54)), noisy(np.zeros((50, 54)), 2, rng), np.full((5, 54), 7.0)]
    )
    for found in (
        fit_free_water(signal, TWO.bvals, TWO.directions),
        free_water_single_shell(signal[:, None, None], TWO.bvals, TWO.directions),
    ):
        assert np.isfinite(found.tensor).all()
        assert np.isfinite(found.s0).all()
        assert (found.f >= 0).all()
        assert (found.f <= 1).all()


def test_one_shell_where_its_assumption_holds():
    # Tissue of 0.6e-3 mm²/s (a little more: from there on the rule has a step): f is what was
    # put in.
    rng = np.random.default_rng(4)
    tensor = random_tensors(600, np.array([1.102, 0.4, 0.3]) * 1e-3, rng)
    f, s0 = np.repeat([0.0, 0.1, 0.3, 0.5, 0.7], 120), rng.uniform(500, 1500, 600)
    signal = mixture(ONE, f, tensor, s0).reshape(5, 12, 10, -1)
    found = free_water_single_shell(signal, ONE.bvals, ONE.directions, smooth=False)
    assert np.abs(found.f.ravel() - f).max() < 0.012
    tissue = measures(found.tensor)
    assert np.abs(tissue.md - 0.6e-3).max() < 5e-6
    assert np.abs(tissue.fa - measures(tensor[0]).fa).max() < 0.03


def test_one_shell_against_the_search_of_the_kit():
    """Grid of 21 values, the nearest, and 21 around it, per voxel and with DIPY's weights."""
    rng = np.random.default_rng(6)
    values = rng.uniform([0.5, 0.2, 0.1], [1.4, 0.9, 0.7], (60, 3)) * 1e-3
    f, s0 = rng.uniform(0, 0.93, 60) * (np.arange(60) % 2), rng.uniform(500, 1500, 60)
    signal = mixture(ONE, f, random_tensors(60, values, rng), s0)
    signal = noisy(signal, (s0 / 40)[:, None], rng)
    found = free_water_single_shell(
        signal.reshape(60, 1, 1, -1), ONE.bvals, ONE.directions, smooth=False
    ).f.ravel()
    water = np.exp(-3e-3 * ONE.bvals)
    s0 = signal[:, ONE.bvals < 50].mean(axis=1)

    def tissue(share):
        left = signal - np.outer(s0, water) * share[:, None]
        left = np.maximum(left, 1e-3 * s0[:, None]) / (1 - share)[:, None]
        return measures(fit_tensor(left, ONE.bvals, ONE.directions).tensor, floor=-1)

    plain = tissue(np.zeros(60))
    low = plain.md <= 0.6e-3
    goal = np.where(low, 0.42e-3 * plain.md / 0.6e-3, 0.6e-3)
    best, away = np.zeros(60), np.abs(plain.md - goal)
    for steps in (np.linspace(0, 0.98, 21), np.linspace(-0.1, 0.1, 21)):
        middle = best * (steps[0] < 0)
        for step in steps:
            trial = np.clip(middle + step, 0, 0.98)
            here = tissue(trial)
            better = (np.abs(here.md - goal) < away) & (here.fa <= 3 * plain.fa)
            best, away = (
                np.where(better, new, old)
                for new, old in ((trial, best), (np.abs(here.md - goal), away))
            )
    assert low.any()
    assert not low.all()
    assert np.abs(found - best).max() < 0.012


def test_one_shell_does_not_look_at_other_shells():
    rng = np.random.default_rng(8)
    table = shells([(1000, 20), (3000, 20)], b0=3)
    tensor = random_tensors(300, np.array([1.5, 0.5, 0.4]) * 1e-3, rng)
    signal = mixture(table, rng.uniform(0, 0.6, 300), tensor, np.full(300, 900.0))
    signal = signal.reshape(10, 10, 3, -1)
    found = free_water_single_shell(signal, table.bvals, table.directions)
    other = np.where(table.bvals > 2000, 1.0, signal)
    again = free_water_single_shell(other, table.bvals, table.directions, threads=2)
    assert np.array_equal(found.f, again.f)


def test_smoothing_is_that_of_the_kit():
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(9)
    signal = mixture(
        ONE,
        rng.uniform(0, 0.6, 512),
        random_tensors(512, np.array([1.1, 0.4, 0.3]) * 1e-3, rng),
        np.full(512, 900.0),
    ).reshape(8, 8, 8, -1)
    blurred = np.stack(
        [gaussian_filter(volume, 1.25 / 2.3548) for volume in np.moveaxis(signal, -1, 0)], axis=-1
    )
    mask = np.zeros((8, 8, 8), bool)
    mask[2:6, 2:6, 2:6] = True
    found = free_water_single_shell(signal, ONE.bvals, ONE.directions, mask)
    expected = free_water_single_shell(blurred, ONE.bvals, ONE.directions, mask, smooth=False)
    assert np.abs(found.f - expected.f).max() < 2e-3
    assert not found.f[~mask].any()


def test_threads_do_not_matter(voxels):
    f, tensor, s0 = voxels
    signal = noisy(mixture(TWO, f, tensor, s0), 30, np.random.default_rng(3))
    signal = signal.repeat(7, axis=0)
    one, two = (fit_free_water(signal, TWO.bvals, TWO.directions, threads=n) for n in (1, 2))
    assert np.array_equal(one.f, two.f)
    assert np.array_equal(one.tensor, two.tensor)


def test_bad_input_is_told():
    signal = np.full((2, 2, 2, 33), 100.0)
    bvals, axes = ONE.bvals, ONE.directions
    with pytest.raises(MeasureError, match='one shell alone'):
        fit_free_water(signal, bvals, axes)
    for way in (fit_free_water, free_water_single_shell):
        with pytest.raises(MeasureError, match='without diffusion weighting'):
            way(signal[..., 3:], np.where(np.arange(30) < 15, 1000.0, 2000), axes[3:])
    with pytest.raises(MeasureError, match='no diffusion weighting'):
        free_water_single_shell(signal, 0 * bvals, axes)
    with pytest.raises(MeasureError, match='54'):
        fit_free_water(signal, TWO.bvals, TWO.directions)
    with pytest.raises(MeasureError, match='54'):
        free_water_single_shell(signal, TWO.bvals, TWO.directions)
    signal[0, 0, 0, 4] = np.nan
    with pytest.raises(MeasureError, match='not numbers'):
        free_water_single_shell(signal, bvals, axes, smooth=False)
