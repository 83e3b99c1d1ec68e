"""Noise and ringing: as the library does it, faster; and as the truth is."""

import numpy as np
import pytest
from dipy.denoise.gibbs import gibbs_removal
from dipy.denoise.localpca import mppca

from csvdprep.preprocessing.dwi_denoise.science.denoise import denoise, without_floor
from csvdprep.preprocessing.dwi_denoise.science.ringing import remove_ringing


@pytest.fixture(scope='module')
def series():
    """A smooth series of low rank, and the same with noise of 10."""
    rng = np.random.default_rng(4)
    place = np.stack(np.meshgrid(*[np.linspace(0, 3, 15)] * 3, indexing='ij'))
    maps = np.stack([np.sin(place[k % 3] + k) for k in range(4)], axis=-1)
    truth = 600 + 60 * maps @ rng.standard_normal((4, 36))
    return truth, (truth + 10 * rng.standard_normal(truth.shape)).astype(np.float32)


def test_noise_goes_as_in_dipy(series):
    truth, noisy = series
    mask = np.ones(truth.shape[:3], bool)
    ours, sigma = denoise(noisy, mask, stride=1)
    theirs = mppca(noisy, mask=mask, patch_radius=2, out_dtype=np.float32)
    inner = (slice(2, -2),) * 3
    assert np.abs(ours - theirs)[inner].max() < 1e-3 * np.abs(theirs).max()
    assert np.median(sigma) == pytest.approx(10, rel=0.02)


def test_fewer_patches_leave_hardly_more_noise(series):
    truth, noisy = series
    mask = np.ones(truth.shape[:3], bool)
    left = [np.std(denoise(noisy, mask, stride=stride)[0] - truth) for stride in (1, 2)]
    assert left[0] < left[1] < 1.2 * left[0]
    assert left[1] < 4.5  # of 10


def test_nothing_changes_outside_of_the_mask(series):
    noisy = series[1]
    mask = np.zeros(noisy.shape[:3], bool)
    mask[5:9, 4:12, 6:10] = True
    clean, sigma = denoise(noisy, mask)
    assert np.array_equal(clean[~mask], noisy[~mask])
    assert (sigma[mask] > 0).all()
    assert not (sigma[~mask]).any()
    whole = denoise(noisy, np.ones_like(mask))[0]
    assert np.abs(clean - whole)[mask].mean() < 1


@pytest.mark.parametrize(
    ('shape', 'stride', 'words'),
    [((4, 9, 9, 7), 2, 'smaller than a patch'), ((9, 9, 9, 7), 6, 'leaves gaps')],
)
def test_what_cannot_be_is_refused(shape, stride, words):
    with pytest.raises(ValueError, match=words):
        denoise(np.ones(shape), np.ones(shape[:3], bool), stride=stride)


@pytest.mark.parametrize('stride', [2, 3, 5])
def test_every_voxel_is_covered_whatever_the_stride(series, stride):
    noisy = series[1][:13, :14, :11]  # no multiple of any
    clean, sigma = denoise(noisy, np.ones(noisy.shape[:3], bool), stride=stride)
    assert (sigma > 0).all()
    assert (clean != noisy).any(axis=3).all()


def test_more_volumes_than_voxels_are_no_trouble():
    rng = np.random.default_rng(0)
    noisy = 100 + 5 * rng.standard_normal((8, 8, 8, 150))
    clean, sigma = denoise(noisy, np.ones((8, 8, 8), bool))
    assert np.isfinite(clean).all()
    assert np.median(sigma) == pytest.approx(5, rel=0.1)
    assert clean.std() < 2


@pytest.fixture(scope='module')
def ringing():
    """Three slices of ellipses: high resolution, and as a scanner with few samples sees them."""
    x, y = np.meshgrid(*[np.linspace(-1, 1, 256, endpoint=False)] * 2, indexing='ij')
    fine = np.stack(
        [
            100.0 * (x**2 / a + y**2 / b < 1) + 60 * ((x - 0.2) ** 2 + y**2 < c)
            for a, b, c in ((0.5, 0.6, 0.05), (0.4, 0.7, 0.02), (0.6, 0.3, 0.1))
        ],
        axis=2,
    )
    spectrum = np.fft.fftshift(np.fft.fft2(fine, axes=(0, 1)), axes=(0, 1))
    few = np.fft.ifftshift(spectrum[96:160, 98:158], axes=(0, 1))
    seen = np.abs(np.fft.ifft2(few, axes=(0, 1))) * (64 * 60) / 256**2
    return seen.astype(np.float32)


@pytest.mark.parametrize('axis', [0, 1, 2])
def test_ringing_goes_as_in_dipy(ringing, axis):
    seen = np.moveaxis(ringing, 2, axis)
    ours = remove_ringing(seen, axis)
    theirs = gibbs_removal(seen.copy(), slice_axis=axis, num_processes=1)
    changed = np.sqrt(np.mean((theirs - seen) ** 2))
    assert changed > 1
    # Their weights are half a sample off the middle of k-space.
    assert np.sqrt(np.mean((ours - theirs) ** 2)) < 0.05 * changed


def test_plateaus_are_flat_again(ringing):
    flat = np.zeros(ringing.shape, bool)
    flat[12:20, 26:34, 0] = True
    images = (ringing, remove_ringing(ringing))
    before, after = (np.abs(image[flat] - 100).max() for image in images)
    assert before > 2
    assert after < 0.35 * before


def test_only_lines_through_a_mask_are_worked_on(ringing):
    where = np.zeros(ringing.shape, bool)
    where[20:40, 20:40, 1] = True
    some, whole = remove_ringing(ringing, where=where), remove_ringing(ringing)
    assert np.allclose(some[..., 0], ringing[..., 0], atol=1e-3)
    assert np.abs(some - whole)[where].mean() < 0.2 * np.abs(whole - ringing)[where].mean()


def test_air_and_odd_sizes_are_no_trouble():
    assert not remove_ringing(np.zeros((9, 7, 2))).any()
    ramp = np.linspace(0, 1, 63).reshape(9, 7, 1)
    assert np.isfinite(remove_ringing(ramp)).all()


def test_the_floor_of_low_signals_is_taken_off():
    rng = np.random.default_rng(2)
    truth = np.full((9, 9, 9, 40), 30.0)
    noise = 10 * rng.standard_normal((2, *truth.shape))
    clean, sigma = denoise(np.hypot(truth + noise[0], noise[1]), np.ones((9, 9, 9), bool))
    assert clean.mean() == pytest.approx(31.7, abs=0.3)
    assert without_floor(clean, sigma).mean() == pytest.approx(30, abs=0.4)
