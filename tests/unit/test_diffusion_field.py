"""Runs of other gains, and fields that cannot be: told, and what stands in their place."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage as ndi
from storage import stored

from csvdprep.core.errors import MeasureError
from csvdprep.phantom.diffusion.gradients import spread
from csvdprep.preprocessing.dwi_denoise.assembly import assemble
from csvdprep.preprocessing.dwi_distortion.field import check_plausible, find_field
from csvdprep.science.gain import compare_gain

#: Too small for a head: the brain is found by a threshold.
SHAPE, EDGE = (32, 36, 20), 3.0
AFFINE = np.diag([EDGE, EDGE, EDGE, 1.0])


def brain(seed=0):
    """Return an ellipsoid with inner structure."""
    grid = np.indices(SHAPE) - (np.array(SHAPE)[:, None, None, None] - 1) / 2
    inside = (grid**2 / (np.array(SHAPE)[:, None, None, None] * 0.38) ** 2).sum(axis=0) < 1
    texture = ndi.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 1.6)
    return inside * (600 + 900 * texture / texture.std() * 0.25).clip(100)


def bump(most=3.0):
    """Return a smooth shift along the second axis, voxels."""
    i, j, k = np.indices(SHAPE)
    return most * np.exp(-(((i - 16) / 8) ** 2 + ((j - 23) / 8) ** 2 + ((k - 10) / 6) ** 2))


def distorted(image, shift, factor):
    """Draw signal along the second axis as a field does."""
    line = np.arange(SHAPE[1], dtype=float)
    out = np.empty_like(image)
    for i in range(SHAPE[0]):
        for k in range(SHAPE[2]):
            at = line + factor * shift[i, :, k]
            out[i, :, k] = np.interp(line, at, image[i, :, k] / np.gradient(at))
    return out


def noisy(image, seed):
    return np.abs(image + np.random.default_rng(seed).normal(0, 8, image.shape))


def write(path, *volumes, scale=1.0):
    data = (scale * np.stack(volumes, axis=-1)).astype(np.float32)
    nib.save(nib.Nifti1Image(data, AFFINE), path)
    return str(path)


def run(path, *, encoding='j-', directions=12):
    return {
        'path': path,
        'bvals': [0.0, *[1000.0] * directions],
        'volumes': None,
        'bvecs': [[0.0] * 3, *spread(directions).tolist()],
        'encoding': encoding,
        'axis': 'j',
        'readout': 0.05,
        'slices': 'k',
        'partial_fourier': None,
    }


def series(folder, *, name='a.nii', scale=1.0, head=None, fade=1.0):
    head = brain() if head is None else head
    volumes = [noisy(head * fade, 1), *(noisy(0.4 * head * fade, 2 + k) for k in range(12))]
    return write(folder / name, *volumes, scale=scale)


PLAIN = {'method': 'none', 'unring': 'none'}


def test_runs_of_another_gain_are_scaled_and_it_is_said(tmp_path):
    one, two = series(tmp_path), series(tmp_path, name='b.nii', scale=2.0)
    found = assemble({'runs': [run(one), run(two)], 'field': {'kind': 'none'}}, **PLAIN)
    alike = assemble({'runs': [run(one), run(one)], 'field': {'kind': 'none'}}, **PLAIN)
    assert found.gains[1] == pytest.approx(2, rel=1e-4)
    assert np.allclose(found.series.image.get_fdata(), alike.series.image.get_fdata(), rtol=1e-4)
    assert 'b.nii was 2 times as bright as the first run and is scaled' in found.notes
    assert alike.notes == ()


@pytest.mark.parametrize('order', ['LPS', 'SRP'])
def test_runs_stored_otherwise_are_put_together(tmp_path, order):
    one, two = series(tmp_path), series(tmp_path, name='b.nii.gz')
    wanted = assemble({'runs': [run(one), run(two)], 'field': {'kind': 'none'}}, **PLAIN)
    vectors = tmp_path / 'b.bvec'
    np.savetxt(vectors, np.array(run(two)['bvecs']).T)
    stored(tmp_path / 'b.nii.gz', order, dtype=np.float32)
    turned = run(two) | {'bvecs': np.loadtxt(vectors).T.tolist()}
    found = assemble({'runs': [run(one), turned], 'field': {'kind': 'none'}}, **PLAIN)
    assert np.array_equal(found.series.image.get_fdata(), wanted.series.image.get_fdata())
    assert np.allclose(
        found.series.volumes.directions, wanted.series.volumes.directions, atol=1e-7
    )


def test_a_run_that_no_gain_explains_is_left_out(tmp_path):
    fade = np.linspace(0.2, 2.5, SHAPE[0])[:, None, None]
    runs = [run(series(tmp_path)), run(series(tmp_path, name='b.nii', fade=fade))]
    found = assemble({'runs': runs, 'field': {'kind': 'none'}}, **PLAIN)
    assert found.series.image.shape[3] == 13
    assert 'b.nii is left out: its images of b = 0 differ' in found.notes[0]


def test_the_gain_of_a_run_without_b0_comes_from_its_shell(tmp_path):
    one = series(tmp_path)
    head = brain()
    two = write(tmp_path / 'b.nii', *(noisy(0.4 * head, 40 + k) for k in range(12)), scale=3.0)
    plain = run(two) | {'bvals': [990.0] * 12, 'bvecs': spread(12).tolist()}
    found = assemble({'runs': [run(one), plain], 'field': {'kind': 'none'}}, **PLAIN)
    assert found.gains[1] == pytest.approx(3, rel=0.02)
    assert 'b.nii was 3' in found.notes[0]
    plain['bvals'] = [3000.0] * 12
    found = assemble({'runs': [run(one), plain], 'field': {'kind': 'none'}}, **PLAIN)
    assert found.series.image.shape[3] == 25
    assert 'b.nii shares no b-value with the first run' in found.notes[0]


def test_volumes_that_are_no_part_of_the_series_are_not_read(tmp_path):
    head = brain()
    volumes = [noisy(head, 1), *(noisy(0.4 * head, 2 + k) for k in range(12)), 5000 * (head > 0)]
    path = write(tmp_path / 'a.nii', *volumes)
    content = {'runs': [run(path) | {'volumes': list(range(13))}], 'field': {'kind': 'none'}}
    found = assemble(content, **PLAIN)
    assert found.series.image.shape[3] == 13
    assert found.series.image.get_fdata().max() < 4000


def pair(folder, *, shift=None, same=False, partner=None, scale=1.0, gain=1.0, assumed=None):
    """Write a series and its partner of opposite polarity; return what find_field takes."""
    head, shift = brain(), bump() if shift is None else shift
    seen = distorted(head, shift, 1.0)
    first = run(series(folder, head=seen, scale=scale))
    other = distorted(head, shift, 1.0 if same else -1.0)
    volumes = [noisy(other, 50)] if partner is None else partner(other)
    path = write(folder / 'epi.nii', *volumes, scale=gain)
    field = {
        'kind': 'pepolar',
        'partners': [{'path': path, 'encoding': 'j', 'readout': 0.05, 'volumes': None}],
    }
    content = {'runs': [first], 'field': field | ({'assumed': assumed} if assumed else {})}
    return assemble(content, **PLAIN).series, content


def error_of(found, given):
    """Return the mean error of a shift in the brain, voxels."""
    return float(np.abs(found.shift - bump())[given.brain].mean())


@pytest.mark.parametrize('gain', [3.0, 0.01])
def test_the_gain_of_the_partner_is_of_no_account(tmp_path, gain):
    given, content = pair(tmp_path, gain=gain)
    found = find_field(given, content, given.brain)
    assert found.method == 'pepolar'
    assert found.reasons == ()
    assert error_of(found, given) < 0.25


def test_of_a_partner_only_images_without_gradient_count(tmp_path):
    def mixed(other):
        return [noisy(other, 50), *(noisy(0.3 * other, 60 + k) for k in range(6))]

    given, content = pair(tmp_path, partner=mixed)
    for volumes in ([0], None):  # as its table says, or by the brightness without one
        content['field']['partners'][0]['volumes'] = volumes
        found = find_field(given, content, given.brain)
        assert found.reasons == (), volumes
        assert error_of(found, given) < 0.25


def test_one_polarity_under_two_names_is_told_and_an_assumed_one_not_used(tmp_path):
    given, content = pair(tmp_path, same=True)
    found = find_field(given, content, given.brain)
    assert found.method == 'pepolar'
    assert 'as if they were of one polarity' in found.reasons[0]
    given, content = pair(tmp_path, same=True, assumed='the label dir-AP')
    found = find_field(given, content, given.brain)
    assert (found.method, found.shift) == ('none', None)
    assert 'their polarity was taken from the label dir-AP' in found.reasons[0]
    # Where images and label agree, it is used; one that is noisy and moved is not taken for one.
    given, content = pair(
        tmp_path,
        same=True,
        assumed='the label dir-AP',
        partner=lambda other: [ndi.shift(noisy(other, 5) + 40, (0.4, 0.3, -0.4), order=1)],
    )
    assert find_field(given, content, given.brain).method == 'none'
    given, content = pair(tmp_path, assumed='the label dir-AP')
    assert find_field(given, content, given.brain).reasons == ()


def test_a_partner_of_another_kind_is_told_and_not_used(tmp_path):
    given, content = pair(
        tmp_path,
        partner=lambda other: [
            noisy(1200 * (other > 300) * np.linspace(0.1, 2, SHAPE[0])[:, None, None], 3)
        ],
    )
    found = find_field(given, content, given.brain)
    assert found.method == 'none'
    assert 'The field from images of opposite polarity is not used' in found.reasons[0]


@pytest.mark.parametrize(
    ('shift', 'voxel_mm', 'words'),
    [
        (np.full((9, 9, 9), 5.5), 2.0, '5 voxels or more'),
        (np.where(np.arange(729).reshape(9, 9, 9) > 700, 14.0, 0), 2.0, 'by 28 mm'),
        (np.full((9, 9, 9), np.nan), 2.0, 'not finite'),
    ],
)
def test_fields_that_no_magnet_has(shift, voxel_mm, words):
    with pytest.raises(MeasureError, match=words):
        check_plausible(shift, np.ones((9, 9, 9), bool), voxel_mm)


def test_fields_as_they_are_pass():
    check_plausible(np.full((9, 9, 9), 4.0), np.ones((9, 9, 9), bool), 3.0)


def test_a_field_map_that_cannot_be_is_told_and_not_used(tmp_path):
    given, content = pair(tmp_path)
    write(tmp_path / 'magnitude.nii', brain())
    # rad/s under the name of Hz would still be plausible; a map of 9.4 T under it is not.
    write(tmp_path / 'map.nii', 4000 * (brain() > 0))
    content['field'] = {
        'kind': 'fieldmap',
        'map': str(tmp_path / 'map.nii'),
        'units': 'Hz',
        'magnitude': str(tmp_path / 'magnitude.nii'),
    }
    found = find_field(given, content, given.brain)
    assert (found.method, found.shift) == ('none', None)
    assert 'The field map is not used: it shifts' in found.reasons[0]


@pytest.mark.parametrize('assumed', [None, 'the label dir-AP'])
def test_a_field_map_the_wrong_way_round_is_seen_in_the_images(tmp_path, assumed):
    given, content = pair(tmp_path)
    write(tmp_path / 'magnitude.nii', brain())
    field = {
        'kind': 'fieldmap',
        'map': str(tmp_path / 'map.nii'),
        'units': 'Hz',
        'magnitude': str(tmp_path / 'magnitude.nii'),
    }
    content['field'] = field | ({'assumed': assumed} if assumed else {})
    # Encoding is towards the back: a positive field moves signal that way.
    write(tmp_path / 'map.nii', -bump() / 0.05)
    found = find_field(given, content, given.brain)
    assert (found.method, found.reasons) == ('fieldmap', ())
    assert error_of(found, given) < 0.4
    write(tmp_path / 'map.nii', bump() / 0.05)
    found = find_field(given, content, given.brain)
    assert found.method == ('none' if assumed else 'fieldmap')
    assert 'the other way round' in found.reasons[0]


@pytest.mark.parametrize('order', ['PSR'])
def test_the_field_does_not_depend_on_the_order_of_storage(tmp_path, order):
    given, content = pair(tmp_path)
    wanted = find_field(given, content, given.brain)
    stored(tmp_path / 'epi.nii', order, dtype=np.float32)
    assert np.array_equal(find_field(given, content, given.brain).shift, wanted.shift)


def test_contrast_is_no_gain():
    head = brain()
    assert compare_gain(head, 0.5 * head, head > 0, (EDGE,) * 3).ratio == pytest.approx(0.5)
    assert not compare_gain(head, 0 * head, head > 0, (EDGE,) * 3).explained
