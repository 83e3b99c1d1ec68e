"""Tensor fits against DIPY and against tensors that are known; gradient tables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dipy.core.gradients import gradient_table
from dipy.reconst.dti import TensorModel, design_matrix

from csvdprep.core.errors import MeasureError
from csvdprep.phantom.diffusion import tensors as phantom
from csvdprep.phantom.diffusion.gradients import shells
from csvdprep.science.gradient_table import VARIANTS, flipped_table, fsl_vectors, world_directions
from csvdprep.science.tensor_equations import PARTS, product
from csvdprep.science.tensors import fit_tensor, matrices, measures, predict, residuals

TABLE = shells([(1000, 30)], b0=3)
BVALS, AXES = TABLE.bvals, TABLE.directions
#: What DIPY takes eigenvalues below it for.
DIPY_FLOOR = 1e-6 / -design_matrix(gradient_table(BVALS, bvecs=AXES)).min()


def random_tensors(count, rng, low=(0.8, 0.2, 0.1), high=(1.9, 1.0, 0.8)):
    values = rng.uniform(low, high, (count, 3)) * 1e-3
    axes = np.linalg.qr(rng.normal(size=(count, 3, 3)))[0]
    whole = np.einsum('nij,nj,nkj->nik', axes, values, axes)
    return np.stack([whole[:, i, j] for i, j in PARTS], axis=-1)


def noisy(signal, sigma, rng):
    return np.hypot(
        signal + rng.normal(0, sigma, signal.shape), rng.normal(0, sigma, signal.shape)
    )


@pytest.fixture(scope='module')
def series():
    rng = np.random.default_rng(3)
    truth = random_tensors(6000, rng)
    clean = predict(truth, rng.uniform(200, 1500, len(truth)), BVALS, AXES)
    signal = noisy(clean, 40, rng)
    # What real data hold besides: background, no signal at all, dead volumes, bright water.
    signal[:50] = noisy(np.zeros((50, len(BVALS))), 3, rng)
    signal[50:60] = 0
    signal[60:70, 5] = 0
    signal[70:80] = 3000 * np.exp(-BVALS * 3e-3)
    signal[80:85, BVALS > 0] = 0
    return signal.reshape(60, 10, 10, -1)


def theirs(signal, bvals=BVALS, axes=AXES, **kw):
    table = gradient_table(bvals, bvecs=axes)
    return TensorModel(table, return_S0_hat=True, **kw).fit(signal)


def test_equal_to_dipy(series):
    fit = fit_tensor(series, BVALS, AXES)
    ours = measures(fit.tensor, floor=DIPY_FLOOR)
    dipy = theirs(series, fit_method='WLS')
    assert np.abs(ours.fa - dipy.fa).max() < 1e-6
    assert np.abs(ours.md / dipy.md - 1).max() < 1e-6
    assert np.abs(ours.ad / dipy.ad - 1).max() < 1e-6
    assert np.abs(ours.rd - dipy.rd).max() < 1e-9
    assert np.abs(fit.s0 / dipy.S0_hat.reshape(fit.s0.shape) - 1).max() < 1e-6
    clear = (ours.fa > 0.1) & (dipy.evals[..., 0] > 1.01 * dipy.evals[..., 1])
    assert np.abs(ours.mode - dipy.mode)[clear].max() < 1e-4
    assert (np.abs((ours.v1 * dipy.evecs[..., 0]).sum(axis=-1))[clear] > 1 - 1e-6).all()


def test_floor_of_the_eigenvalues():
    # Noise makes eigenvalues of 0; anisotropy stays below 1, diffusivities above 0.
    found = measures(np.array([1e-3, 0, 0, -2e-4, 0, 3e-4]))
    assert found.rd == pytest.approx((1e-6 + 3e-4) / 2)
    assert found.fa < 1
    nothing = measures(np.zeros((2, 6)))
    assert (nothing.fa == 0).all()
    assert (nothing.mode == 0).all()


def test_exact_without_noise_and_independent_of_the_phantoms_fit():
    truth = random_tensors(500, np.random.default_rng(0))
    signal = predict(truth, 700.0, BVALS, AXES)
    fit = fit_tensor(signal, BVALS, AXES)
    assert np.abs(fit.tensor - truth).max() < 1e-12
    assert np.abs(residuals(signal, fit, BVALS, AXES)).max() < 1e-9
    parts = phantom.fit(lambda i: signal[:, i], TABLE, TABLE.at_most(1500), np.eye(3))
    assert np.allclose(fit.tensor, parts[[0, 3, 4, 1, 5, 2]].T, atol=1e-12)
    scalars = phantom.scalars(parts)
    found = measures(fit.tensor)
    for name in ('fa', 'md', 'ad', 'rd'):
        assert np.allclose(getattr(found, name), scalars[name], rtol=1e-7), name


@pytest.mark.parametrize(('values', 'mode'), [((2, 1, 1), 1), ((2, 2, 1), -1), ((3, 2, 1), 0)])
def test_mode(values, mode):
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    whole = turn @ np.diag(values) @ turn.T * 1e-3
    found = measures(np.array([whole[i, j] for i, j in PARTS]))
    assert found.mode == pytest.approx(mode, abs=1e-6)
    assert np.allclose(matrices(np.array([whole[i, j] for i, j in PARTS])), whole)


def test_more_reweightings_follow_their_equations():
    rng = np.random.default_rng(5)
    signal = noisy(predict(random_tensors(20, rng), 500.0, BVALS, AXES), 40, rng)
    design = np.column_stack(
        [
            *(-BVALS * AXES[:, i] * AXES[:, j] * (1 + (i != j)) for i, j in PARTS),
            np.ones(len(BVALS)),
        ]
    )
    twice = fit_tensor(signal, BVALS, AXES, reweightings=2)
    for number, some in enumerate(signal):
        found = np.linalg.lstsq(design, np.log(some), rcond=None)[0]
        for _ in range(2):
            weight = np.exp(design @ found)
            found = np.linalg.lstsq(design * weight[:, None], np.log(some) * weight, rcond=None)[0]
        assert np.allclose(twice.tensor[number], found[:6], atol=1e-10)
    once = fit_tensor(signal, BVALS, AXES)
    assert np.abs(once.tensor - twice.tensor).max() > 1e-7


def test_robust_fit_leaves_outliers_out():
    rng = np.random.default_rng(7)
    truth = random_tensors(800, rng)
    signal = noisy(predict(truth, 1000.0, BVALS, AXES), 20, rng)
    signal[:400, 10:12] *= 0.3
    plain, robust = (fit_tensor(signal, BVALS, AXES, method=way) for way in ('wls', 'robust'))
    fa = measures(truth).fa
    error = {
        way: np.abs(measures(fit.tensor).fa - fa)
        for way, fit in (('plain', plain), ('robust', robust))
    }
    assert robust.refitted[:400].mean() > 0.99
    assert robust.refitted[400:].mean() < 0.35
    assert np.median(error['robust'][:400]) < 0.3 * np.median(error['plain'][:400])
    assert np.median(error['robust'][400:]) < 1.1 * np.median(error['plain'][400:])
    rest = ~robust.refitted
    assert np.array_equal(robust.tensor[rest], plain.tensor[rest])
    dipy = theirs(signal[robust.refitted], fit_method='RWLS')
    assert np.allclose(measures(robust.tensor[robust.refitted]).md, dipy.md, rtol=2e-3)


def test_robust_fit_keeps_a_tensor_that_can_be_had():
    # Nine directions and no sense in the signal: leaving out too much would leave no tensor.
    table = shells([(1000, 9)], b0=1)
    signal = np.exp(np.random.default_rng(0).normal(5, 1, (800, 10)))
    fit = fit_tensor(signal, table.bvals, table.directions, method='robust')
    assert fit.refitted.any()
    assert np.abs(fit.tensor).max() < 0.02
    assert np.isfinite(fit.s0).all()
    few = signal[:, :9], table.bvals[:9], table.directions[:9]
    assert not fit_tensor(*few, method='robust').refitted.any()


def test_mask_and_shapes(series):
    mask = np.zeros(series.shape[:3], bool)
    mask[20:30, 3:8, ::2] = True
    whole = fit_tensor(series, BVALS, AXES)
    part = fit_tensor(series, BVALS, AXES, mask)
    assert np.allclose(part.tensor[mask], whole.tensor[mask], rtol=1e-9)
    assert not part.tensor[~mask].any()
    assert not part.s0[~mask].any()
    stored = fit_tensor(np.asfortranarray(series), BVALS, AXES, mask)
    assert np.array_equal(stored.tensor, part.tensor)
    one = fit_tensor(series[30, 0, 0], BVALS, AXES)
    assert np.allclose(one.tensor, whole.tensor[30, 0, 0], rtol=1e-9)
    assert fit_tensor(series, BVALS, AXES, mask & False).tensor.max() == 0


def test_bitwise_equal_for_any_number_of_threads(tmp_path, series):
    np.save(tmp_path / 'series.npy', series.repeat(2, axis=0))
    script = (
        'import sys, numpy as np\n'
        'from csvdprep.phantom.diffusion.gradients import shells\n'
        'from csvdprep.science.tensors import fit_tensor\n'
        'table = shells([(1000, 30)], b0=3)\n'
        'fit = fit_tensor(np.load(sys.argv[1]), table.bvals, table.directions,\n'
        '                 threads=int(sys.argv[2]))\n'
        'np.save(sys.argv[3], fit.tensor)\n'
    )
    found = []
    for blas, ours in ((1, 1), (2, 3), (4, 2)):
        out = tmp_path / f'{blas}.npy'
        subprocess.run(
            [sys.executable, '-c', script, tmp_path / 'series.npy', str(ours), out],
            check=True,
            cwd=Path(__file__).parents[2],
            env=os.environ | {'OMP_NUM_THREADS': str(blas), 'OPENBLAS_NUM_THREADS': str(blas)},
        )
        found.append(np.load(out))
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_product():
    rng = np.random.default_rng(0)
    for n, k, m in ((1, 7, 7), (5000, 33, 28), (300, 300, 600)):
        left, right = rng.normal(size=(n, k)), rng.normal(size=(k, m))
        assert np.allclose(product(left, right), left @ right)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda s, b, g: (s[:, :-1], b, g), '32 volumes'),
        (lambda s, b, g: (s, b, g[:-1]), '33 b-values'),
        (lambda s, b, g: (s[:, 3:], b[3:], g[3:]), 'cannot determine'),
        (lambda s, b, g: (s, b, np.tile([1.0, 0, 0], (len(b), 1))), 'cannot determine'),
        (lambda s, b, g: (s, b, g * [1, 1, 0]), 'cannot determine'),
        (lambda s, b, g: (s, b, np.where(np.arange(33)[:, None] == 20, np.nan, g)), 'numbers'),
        (lambda s, b, g: (np.where(np.arange(33) == 9, np.nan, s), b, g), 'not numbers'),
    ],
)
def test_bad_input_is_told(change, words):
    signal = np.full((4, 33), 100.0)
    with pytest.raises(MeasureError, match=words):
        fit_tensor(*change(signal, BVALS, AXES))


def test_directions_of_b0_do_not_matter():
    signal = predict(random_tensors(3, np.random.default_rng(0)), 100.0, BVALS, AXES)
    odd = np.where((BVALS == 0)[:, None], np.nan, AXES)
    assert np.allclose(
        fit_tensor(signal, BVALS, odd).tensor, fit_tensor(signal, BVALS, AXES).tensor
    )


TILT = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) @ np.array(
    [[1, 0, 0], [0, 0.96, -0.28], [0, 0.28, 0.96]]
)
GRIDS = {
    'ras': np.diag([2.0, 2, 3, 1]),
    'las': np.diag([-2.0, 2, 3, 1]),
    'tilted': np.block([[TILT * [2, 2, 2.5], np.zeros((3, 1))], [0, 0, 0, 1]]),
    'sagittal': np.array([[0, 0, -3.0, 9], [-2, 0, 0, 9], [0, 2, 0, 9], [0, 0, 0, 1]]),
}


@pytest.mark.parametrize('name', GRIDS)
def test_oblique_scans_give_the_same_tensor(name):
    # The phantom's files are written by its own rule; the tensor in the world must be the truth.
    affine = GRIDS[name]
    text = TABLE.files(affine)['.bvec']
    bvecs = np.array([row.split() for row in text.splitlines()], float).T
    directions = world_directions(bvecs, affine)
    truth = random_tensors(5, np.random.default_rng(2))
    signal = predict(truth, 100.0, BVALS, AXES)
    assert np.abs(fit_tensor(signal, BVALS, directions).tensor - truth).max() < 1e-7
    assert np.allclose(fsl_vectors(directions, affine)[BVALS > 0], bvecs[BVALS > 0], atol=1e-4)


def bundles(affine):
    """Thin straight bundles in many directions: anisotropy and main directions in the world."""
    shape = (40, 40, 30)
    at = np.stack(np.indices(shape), axis=-1) @ affine[:3, :3].T
    at -= at.reshape(-1, 3).mean(axis=0)
    fa, v = np.full(shape, 0.05), np.zeros((*shape, 3))
    rng = np.random.default_rng(11)
    for centre in rng.uniform(-25, 25, (20, 3)):
        along = rng.normal(size=3)
        along /= np.linalg.norm(along)
        inside = np.linalg.norm(np.cross(at - centre, along), axis=-1) < 2
        fa[inside], v[inside] = 0.6, along
    return fa, v


@pytest.mark.parametrize('name', GRIDS)
def test_wrong_tables_are_found(name):
    affine = GRIDS[name]
    fa, truth = bundles(affine)
    bvecs = fsl_vectors(AXES, affine)
    signal = predict(random_tensors(1, np.random.default_rng(4)), 100.0, BVALS, AXES)
    right = measures(fit_tensor(signal, BVALS, world_directions(bvecs, affine)).tensor).v1[0]
    for number, wrong in enumerate(VARIANTS):
        # What the fit does with a wrong table ...
        turned = world_directions(bvecs @ wrong.T, affine)
        seen = measures(fit_tensor(signal, BVALS, turned).tensor).v1[0]
        back = (
            fsl_vectors(np.eye(3), affine)
            @ wrong.T
            @ np.linalg.inv(fsl_vectors(np.eye(3), affine))
        )
        assert abs(right @ back @ seen) == pytest.approx(1, abs=1e-9)
        # ... is done to all fibres.
        check = flipped_table(fa, truth @ back, affine)
        undone = check.transform @ wrong
        assert np.allclose(undone, np.eye(3)) or np.allclose(undone, -np.eye(3)), number
        assert check.margin > 0.02
        assert check.z > 3
        if number == 0:
            assert check.verdict == 'ok'
            assert check.meaning == 'ok'
        else:
            assert check.verdict == ('flipped' if number < 4 else 'permuted')


def test_noise_gives_no_verdict():
    rng = np.random.default_rng(0)
    v = rng.normal(size=(30, 30, 20, 3))
    v /= np.linalg.norm(v, axis=-1, keepdims=True)
    check = flipped_table(np.full(v.shape[:3], 0.5), v, GRIDS['ras'])
    assert check.verdict == 'undecided'
    with pytest.raises(MeasureError, match='Too few fibres'):
        flipped_table(np.zeros(v.shape[:3]), v, GRIDS['ras'])
