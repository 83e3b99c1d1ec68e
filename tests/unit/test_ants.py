"""Bias correction, registration and transform files."""

import h5py
import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from csvdprep.core.errors import InputError, MeasureError
from csvdprep.imaging import ants
from csvdprep.imaging.transforms import read_linear, write_composite, write_linear
from csvdprep.resources import template_file
from csvdprep.science.alignment import best_start

MM = 4.0


@pytest.fixture(scope='module')
def template():
    """Return image, mask and tissues of the template at 4 mm."""
    names = [('T1w', None), ('mask', None), *(('probseg', t) for t in ('CSF', 'GM', 'WM'))]
    images = []
    for suffix, label in names:
        image = nib.load(template_file(suffix, label=label, resolution=2))
        data = np.asanyarray(image.dataobj, dtype=np.float32)[::2, ::2, ::2]
        images.append(nib.Nifti1Image(data, image.affine @ np.diag([2, 2, 2, 1])))
    return images


def turned(degrees, shift):
    """Return a rigid transform about the middle of the brain, RAS+ mm."""
    matrix = np.eye(4)
    x, _, z = np.radians(degrees)
    pitch = [[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]]
    yaw = [[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]]
    matrix[:3, :3] = np.array(pitch) @ np.array(yaw)
    centre = np.array([0, -20, 10])
    matrix[:3, 3] = centre + shift - matrix[:3, :3] @ centre
    return matrix


def moved(image, matrix, shape=None):
    """Return the image as if the head had been moved by the matrix."""
    voxels = np.linalg.inv(image.affine) @ np.linalg.inv(matrix) @ image.affine
    data = ndimage.affine_transform(
        np.asanyarray(image.dataobj, dtype=np.float32),
        voxels[:3, :3],
        voxels[:3, 3],
        order=1,
        output_shape=shape or image.shape,
    )
    return nib.Nifti1Image(data, image.affine)


def error_mm(found, truth, image):
    points = nib.affines.apply_affine(image.affine, np.argwhere(image.get_fdata() > 50)[::20])
    difference = nib.affines.apply_affine(found, points) - nib.affines.apply_affine(truth, points)
    return float(np.linalg.norm(difference, axis=1).max())


def test_n4_recovers_a_known_field_up_to_scale():
    i, j, k = np.indices((30, 36, 30)) / 30 - 0.5
    tissue = np.where((np.sin(12 * i) + np.cos(11 * j + 9 * k)) > 0, 100.0, 60.0)
    drift = np.exp(0.3 * i - 0.2 * j * j + 0.2 * k)
    mask = i**2 + j**2 + k**2 < 0.3
    noise = np.random.default_rng(0).normal(0, 2, tissue.shape)
    image = nib.Nifti1Image((tissue * drift + noise).astype(np.float32), np.diag([6, 6, 6, 1]))
    corrected = ants.n4(image, mask).get_fdata()
    field = image.get_fdata()[mask] / corrected[mask]
    assert np.log(field / drift[mask]).std() < 0.25 * np.log(drift[mask]).std()


def test_n4_keeps_mean_and_grid_and_is_the_same_twice(template):
    image, mask = template[0], template[1].get_fdata() > 0
    ramp = np.exp(np.linspace(-0.4, 0.4, image.shape[1]))[None, :, None]
    tilted = nib.Nifti1Image((image.get_fdata() * ramp).astype(np.float32), image.affine)
    first, second = ants.n4(tilted, mask), ants.n4(tilted, mask)
    data = first.get_fdata()
    assert np.array_equal(data, second.get_fdata())
    assert np.allclose(first.affine, image.affine)
    assert data[mask].mean() == pytest.approx(tilted.get_fdata()[mask].mean(), rel=1e-4)
    mask &= image.get_fdata() > 50
    left = np.log(np.maximum(data, 1) / image.get_fdata().clip(1))[mask]
    given = np.log(np.broadcast_to(ramp, data.shape))[mask]
    assert abs(np.polyfit(given, left, 1)[0]) < 0.3


def test_n4_refuses_an_empty_mask(template):
    with pytest.raises(MeasureError, match='too small'):
        ants.n4(template[0], np.zeros(template[0].shape))


def test_a_large_turn_is_found_before_the_optimiser_starts(template):
    truth = turned((40, 0, 20), (5, 10, -8))
    image = template[0]
    other = moved(image, truth)
    start = best_start(image.get_fdata(), image.affine, other.get_fdata(), other.affine)
    assert error_mm(start, truth, image) < 12


@pytest.mark.parametrize('invert', [False, True], ids=['same contrast', 'other contrast'])
def test_rigid_recovers_a_known_turn(template, tmp_path, invert):
    image = template[0]
    truth = turned((9, 0, -6), (4, -7, 6))
    other = moved(image, truth)
    if invert:
        data = other.get_fdata(dtype=np.float32)
        other = nib.Nifti1Image(np.where(data > 20, 300 - data, 0), other.affine)
    path = ants.rigid(image, other, tmp_path / 'xfm.txt', resolution_mm=MM)
    matrix = read_linear(path)
    assert np.allclose(matrix[:3, :3].T @ matrix[:3, :3], np.eye(3), atol=1e-4)
    assert error_mm(matrix, truth, image) < 0.3 * MM


@pytest.fixture(scope='module')
def patient(template):
    """Return the template's brain, bent and turned, and its mask, on a thick-slice grid."""
    i, j, k = np.indices(template[0].shape) / 8
    waves = np.stack([np.sin(j / 1.3), np.cos(k / 1.5), np.sin(i / 1.4)])
    data = []
    for image in template[:2]:
        bent = ndimage.map_coordinates(
            image.get_fdata(dtype=np.float32), np.indices(image.shape) + waves, order=1
        )
        data.append(moved(nib.Nifti1Image(bent, image.affine), turned((8, 0, 5), (3, 5, -4))))
    thin = [image.get_fdata(dtype=np.float32)[:, :, ::2] for image in data]
    affine = template[0].affine @ np.diag([1, 1, 2, 1])
    return nib.Nifti1Image(thin[0], affine), thin[1] > 0.5


@pytest.fixture(scope='module')
def registered(template, patient, tmp_path_factory):
    folder = tmp_path_factory.mktemp('registered')
    paths = folder / 'forward.h5', folder / 'inverse.h5'
    info = ants.register_to_template(*patient, *template[:2], *paths, resolution_mm=MM)
    return *paths, info


def correlation(first, second, mask):
    return np.corrcoef(first.get_fdata()[mask], second.get_fdata()[mask])[0, 1]


def test_the_template_is_reached_both_ways(template, patient, registered):
    forward, inverse, info = registered
    image, mask = template[0], template[1].get_fdata() > 0
    there = ants.apply_transform(patient[0], image, forward)
    assert correlation(there, image, mask) > 0.85
    untouched = ants.apply_transform(patient[0], image, [])
    assert correlation(untouched, image, mask) < 0.7
    assert there.get_data_dtype() == np.float32
    back = ants.apply_transform(image, patient[0], inverse)
    assert correlation(back, patient[0], patient[1]) > 0.85
    assert info['scale'] == pytest.approx(1, abs=0.15)


def test_labels_stay_labels(template, patient, registered):
    labels = nib.Nifti1Image(
        (template[0].get_fdata() > 120).astype(np.uint8) * 7, template[0].affine
    )
    for interpolation in ('nearest', 'label'):
        found = ants.apply_transform(
            labels, patient[0], registered[1], interpolation=interpolation
        )
        assert found.get_data_dtype() == np.uint8
        assert set(np.unique(found.dataobj)) == {0, 7}


@pytest.mark.filterwarnings('ignore:Reference space not set')
@pytest.mark.parametrize('direction', [0, 1], ids=['forward', 'inverse'])
def test_nitransforms_reads_the_files_as_ants_does(template, patient, registered, direction):
    from nitransforms.manip import TransformChain
    from nitransforms.resampling import apply

    moving, fixed = (patient[0], template[0])[:: 1 - 2 * direction]
    chain = TransformChain.from_filename(registered[direction], fmt='itk')
    theirs = apply(chain, moving, reference=fixed, order=1).get_fdata()
    ours = ants.apply_transform(moving, fixed, registered[direction]).get_fdata()
    inside = ndimage.binary_erosion(ours > 10, iterations=2)
    assert inside.sum() > 1000
    assert np.abs(theirs - ours)[inside].mean() < 0.01 * ours[inside].mean()


def test_a_second_run_writes_the_same_bytes(template, patient, registered, tmp_path):
    again = tmp_path / 'forward.h5', tmp_path / 'inverse.h5'
    ants.register_to_template(*patient, *template[:2], *again, resolution_mm=MM)
    for first, second in zip(registered[:2], again, strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_a_flair_meets_the_template_in_its_own_contrast(template, patient, tmp_path):
    image, mask = patient
    data = image.get_fdata(dtype=np.float32)
    # Dark fluid, and white matter a little darker than grey matter.
    flair = np.interp(data, [0, 40, 90, 150, 200, 255], [0, 20, 120, 130, 105, 100])
    flair = nib.Nifti1Image(np.where(mask, flair, 0).astype(np.float32), image.affine)
    forward, inverse = tmp_path / 'forward.h5', tmp_path / 'inverse.h5'
    ants.register_to_template(
        flair, mask, *template[:2], forward, inverse, tissues=template[2:], resolution_mm=MM
    )
    there = ants.apply_transform(image, template[0], forward)
    assert correlation(there, template[0], template[1].get_fdata() > 0) > 0.75


def test_lesions_do_not_drive_the_registration(template, patient, tmp_path):
    image, mask = patient
    data = image.get_fdata(dtype=np.float32).copy()
    lesion = np.zeros(data.shape, bool)
    lesion[28:33, 26:36, 10:14] = True
    assert patient[1][lesion].all()
    data[lesion] = 1
    ants.register_to_template(
        nib.Nifti1Image(data, image.affine),
        mask,
        *template[:2],
        tmp_path / 'f.h5',
        tmp_path / 'i.h5',
        exclude=lesion,
        resolution_mm=MM,
    )
    there = ants.apply_transform(image, template[0], tmp_path / 'f.h5')
    assert correlation(there, template[0], template[1].get_fdata() > 0) > 0.8


def test_a_matrix_survives_text_and_composite(tmp_path):
    matrix = turned((12, 0, 7), (1.5, -2, 3))
    assert np.allclose(read_linear(write_linear(matrix, tmp_path / 'x.txt')), matrix)
    grid = nib.Nifti1Image(
        np.random.default_rng(0).random((30, 30, 30)).astype(np.float32), np.diag([3, 3, 3, 1])
    )
    composite = write_composite([matrix], tmp_path / 'x.h5')
    one = ants.apply_transform(grid, grid, tmp_path / 'x.txt').get_fdata()
    assert np.allclose(ants.apply_transform(grid, grid, composite).get_fdata(), one, atol=1e-4)
    assert np.abs(one - grid.get_fdata()).max() > 0.1


def test_the_composite_has_no_time_stamp(tmp_path):
    with h5py.File(write_composite([np.eye(4)], tmp_path / 'x.h5')) as file:
        assert list(file['TransformGroup']) == ['0', '1']
        assert file['TransformGroup/1/TransformType'][0] == b'AffineTransform_float_3_3'
        for name in ('TransformType', 'TransformParameters'):
            info = h5py.h5o.get_info(file[f'TransformGroup/1/{name}'].id)
            assert info.mtime == 0


def test_a_file_that_is_no_matrix_is_refused(tmp_path):
    path = tmp_path / 'x.txt'
    path.write_text('#Insight Transform File V1.0\nTransform: Euler3D\nParameters: 0 0 0 1 2 3\n')
    with pytest.raises(InputError, match='12 parameters'):
        read_linear(path)


@pytest.mark.parametrize('axes', ['LPS', 'PIR', 'SAL'])
def test_the_storage_order_does_not_matter(template, axes):
    image = template[0]
    other = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt('RAS'), nib.orientations.axcodes2ornt(axes)
    )
    stored = image.as_reoriented(other)
    assert stored.shape != image.shape or axes == 'LPS'
    again = ants.apply_transform(stored, image, [])
    assert np.allclose(again.get_fdata(), image.get_fdata(), atol=1e-3)
