"""Every bad image is refused in words that name the file and what to do; good ones are not."""

from __future__ import annotations

import gzip
import struct

import nibabel as nib
import numpy as np
import pytest
from builders import ZOOMS, head, write_image
from storage import ORDERS, turn

from csvdprep.core.errors import InputError
from csvdprep.core.grids import same_grid
from csvdprep.imaging.images import load, save
from csvdprep.imaging.inspect import LEVEL, inspect_image, load_clean, load_series


def on_level(data):
    """Bring the value that 2 % of the voxels above zero exceed to 1000."""
    data = np.asarray(data, np.float32)
    found = np.sort(data[data > 0])
    level = found[int(0.98 * (len(found) - 1))]
    return (data.astype(np.float64) * 1000 / level).astype(np.float32)


def refused(path, *words, mask=False):
    """Inspect a file that has to be refused; return the field at fault."""
    with pytest.raises(InputError) as caught:
        inspect_image(path, mask=mask)
    text = str(caught.value)
    assert str(path) in text
    assert caught.value.remedy
    for word in words:
        assert word in text
    return caught.value.field


def test_good_image(tmp_path):
    facts = inspect_image(write_image(tmp_path / 'sub-01_T1w.nii.gz'))
    assert facts.shape == (40, 48, 40)
    assert facts.zooms == ZOOMS
    assert facts.voxel_volume == pytest.approx(4.5**3)
    assert (facts.low, facts.high) == (0, 199)
    assert (facts.affine_source, facts.warnings) == ('sform', ())


@pytest.mark.parametrize('keep', [0.5, 0.98])
def test_truncated_gzip(tmp_path, keep):
    path = write_image(tmp_path / 'sub-01_T1w.nii.gz')
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    refused(path, 'truncated')


def test_gzip_that_lacks_its_check_sum(tmp_path):
    path = write_image(tmp_path / 'sub-01_T1w.nii.gz')
    path.write_bytes(path.read_bytes()[:-4])
    refused(path, 'truncated')


def test_truncated_within_header(tmp_path):
    path = tmp_path / 'sub-01_T1w.nii.gz'
    path.write_bytes(write_image(tmp_path / 'a.nii.gz').read_bytes()[:30])
    refused(path, 'truncated')


def test_truncated_nifti_that_is_whole_as_gzip(tmp_path):
    content = gzip.decompress(write_image(tmp_path / 'a.nii.gz').read_bytes())
    path = tmp_path / 'sub-01_T1w.nii.gz'
    path.write_bytes(gzip.compress(content[:-1000]))
    refused(path, 'truncated')


def test_damaged_gzip(tmp_path):
    path = write_image(tmp_path / 'sub-01_T1w.nii.gz')
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    path.write_bytes(bytes(content))
    refused(path, 'damaged')


def test_empty_file(tmp_path):
    path = tmp_path / 'sub-01_T1w.nii.gz'
    path.touch()
    refused(path, '0 bytes')


def test_missing_file_and_folder(tmp_path):
    refused(tmp_path / 'sub-01_T1w.nii.gz', 'does not exist')
    refused(tmp_path, 'folder')


def test_annex_link(tmp_path):
    path = tmp_path / 'sub-01_T1w.nii.gz'
    path.symlink_to('../.git/annex/objects/x.nii.gz')
    refused(path, 'git-annex', 'datalad get')


def test_broken_link(tmp_path):
    path = tmp_path / 'sub-01_T1w.nii.gz'
    path.symlink_to('elsewhere.nii.gz')
    refused(path, 'symbolic link', 'elsewhere.nii.gz')


@pytest.mark.parametrize(
    'text', ['/annex/objects/MD5E-s10--a.nii.gz\n', 'version https://git-lfs.github.com/spec/v1\n']
)
def test_pointer_file(tmp_path, text):
    path = tmp_path / 'sub-01_T1w.nii.gz'
    path.write_text(text)
    refused(path, 'pointer', 'git lfs pull')


def test_no_nifti(tmp_path):
    path = tmp_path / 'sub-01_T1w.nii'
    path.write_text('not an image ' * 100)
    assert refused(path, 'no NIfTI') == 'magic'


def test_uncompressed_under_a_compressed_name(tmp_path):
    path = tmp_path / 'sub-01_T1w.nii.gz'
    path.write_bytes(write_image(tmp_path / 'a.nii').read_bytes())
    refused(path, 'not compressed', 'Rename')


def test_analyze(tmp_path):
    path = write_image(tmp_path / 'sub-01_T1w.nii', header={'magic': b''})
    refused(path, 'ANALYZE')


def test_volumes(tmp_path):
    path = write_image(tmp_path / 'sub-01_FLAIR.nii.gz', np.stack([head()] * 3, axis=-1))
    assert refused(path, '3 volumes', 'Keep one volume') == 'dim[4]'


def test_one_volume_is_squeezed(tmp_path):
    path = write_image(tmp_path / 'sub-01_FLAIR.nii.gz', head()[..., None, None])
    facts = inspect_image(path)
    assert facts.shape == (40, 48, 40)
    assert 'dimensions' in facts.warnings[0]
    assert load_clean(path).shape == (40, 48, 40)


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_few_nonfinite_voxels_become_background(tmp_path, value):
    data = head(dtype='float32')
    data[20, 20, 20] = value
    path = write_image(tmp_path / 'sub-01_T1w.nii.gz', data)
    facts = inspect_image(path)
    assert facts.warnings[0].startswith('1 voxels are NaN')
    assert (facts.low, facts.high) == (0, 199)
    clean = np.asanyarray(load_clean(path).dataobj)
    data[20, 20, 20] = 0
    assert np.array_equal(clean, on_level(data))


def test_many_nonfinite_voxels(tmp_path):
    data = head(dtype='float32')
    data[:2] = np.nan
    refused(write_image(tmp_path / 'sub-01_T1w.nii.gz', data), '5.0%', 'NaN')


def test_zeros_and_constant(tmp_path):
    data = head()
    refused(write_image(tmp_path / 'sub-01_T1w.nii.gz', data * 0), 'zeros')
    refused(write_image(tmp_path / 'sub-02_T1w.nii.gz', data * 0 + 7), 'same')


def test_mask_under_the_name_of_an_image(tmp_path):
    refused(write_image(tmp_path / 'sub-01_FLAIR.nii.gz', (head() > 0).astype('u1')), 'mask')


def test_masks_may_be_empty_and_thin(tmp_path):
    path = write_image(tmp_path / 'sub-01_label-WMH_mask.nii.gz', np.zeros((40, 48, 5), 'u1'))
    assert inspect_image(path, mask=True).shape == (40, 48, 5)


def test_no_brain(tmp_path):
    data = np.zeros((40, 48, 40), dtype='int16')
    data[10:20, 10:20, 10:20] = head()[10:20, 10:20, 10:20]
    refused(write_image(tmp_path / 'sub-01_T1w.nii.gz', data), 'No brain', '91 mL')


@pytest.mark.parametrize(
    ('shape', 'zooms', 'words'),
    [
        ((40, 48, 2), (4.5, 4.5, 5.0), 'slab'),
        ((40, 48, 9), (4.5, 4.5, 10.0), 'slab'),
        ((40, 48, 40), (1.4, 4.5, 4.5), 'slab'),
        ((40, 48, 40), (1.9, 4.5, 4.5), 'cannot hold a brain'),
    ],
)
def test_slabs(tmp_path, shape, zooms, words):
    path = write_image(tmp_path / 'sub-01_T1w.nii.gz', head(shape), zooms=zooms)
    assert refused(path, words, 'whole head').startswith('dim[')


def test_two_dimensions(tmp_path):
    refused(write_image(tmp_path / 'sub-01_T1w.nii', header={'dim': {0: 2}}), 'slab')


@pytest.mark.parametrize('dtype', ['complex64', [('R', 'u1'), ('G', 'u1'), ('B', 'u1')]])
def test_no_intensities(tmp_path, dtype):
    path = tmp_path / 'sub-01_T1w.nii'
    nib.save(nib.Nifti1Image(np.zeros((40, 48, 40), dtype=dtype), np.diag([*ZOOMS, 1])), path)
    assert refused(path) == 'datatype'


def test_missing_orientation(tmp_path):
    path = write_image(tmp_path / 'sub-01_T1w.nii.gz', codes=(0, 0))
    assert refused(path, 'orientation is missing', 'left and right') == 'sform_code'


def test_qform_alone_is_enough(tmp_path):
    facts = inspect_image(write_image(tmp_path / 'sub-01_T1w.nii.gz', codes=(0, 1)))
    assert (facts.affine_source, facts.warnings) == ('qform', ())


@pytest.mark.parametrize(
    ('fields', 'word'),
    [
        ({'srow_x': [0, 0, 0, 0]}, 'singular'),
        ({'srow_x': [np.nan, 0, 0, 0]}, 'not finite'),
        ({'srow_x': [4.5, 2.0, 0, 0]}, 'not the'),
        ({'srow_x': [9.0, 0, 0, 0]}, 'not the'),
        ({'srow_x': [4.5, 0, 0, 1e6]}, 'away from the origin'),
    ],
)
def test_bad_sform(tmp_path, fields, word):
    alone = write_image(tmp_path / 'sub-01_T1w.nii', codes=(1, 0), header=fields)
    assert refused(alone, 'unusable', word) == 'sform'
    backed = write_image(tmp_path / 'sub-02_T1w.nii', codes=(1, 1), header=fields)
    facts = inspect_image(backed)
    assert facts.affine_source == 'qform'
    assert word in facts.warnings[0]


def test_shear(tmp_path):
    angle = np.deg2rad(10)
    affine = np.diag([*ZOOMS, 1.0])
    affine[:3, 1] = [4.5 * np.sin(angle), 4.5 * np.cos(angle), 0]
    path = write_image(tmp_path / 'sub-01_T1w.nii', affine=affine, codes=(1, 0))
    refused(path, 'right angles')


def test_impossible_quaternion(tmp_path):
    path = write_image(
        tmp_path / 'sub-01_T1w.nii', codes=(0, 1), header={'quatern_b': 0.9, 'quatern_c': 0.9}
    )
    assert refused(path, 'quaternion') == 'qform'


def test_forms_that_mirror_each_other(tmp_path):
    path = write_image(tmp_path / 'sub-01_T1w.nii', header={'srow_x': [-4.5, 0, 0, 80]})
    refused(path, 'mirror', 'left and right')


def test_forms_that_differ(tmp_path):
    path = write_image(tmp_path / 'sub-01_T1w.nii')
    image = nib.load(path)
    shift = np.eye(4)
    shift[:3, 3] = (0, 3, 4)
    image.set_sform(shift @ image.affine, code=1)
    nib.save(image, tmp_path / 'sub-02_T1w.nii')
    facts = inspect_image(tmp_path / 'sub-02_T1w.nii')
    assert 'up to 5 mm' in facts.warnings[0]
    assert facts.affine_source == 'sform'


@pytest.mark.parametrize('zoom', [0.0, np.nan, 0.001, 4500.0])
def test_absurd_voxels(tmp_path, zoom):
    path = write_image(tmp_path / 'sub-01_T1w.nii', header={'pixdim': {2: zoom}})
    assert refused(path, 'implausible') == 'pixdim[2]'


@pytest.mark.parametrize(('unit', 'name'), [(1, 'metres'), (3, 'micrometres')])
def test_units(tmp_path, unit, name):
    path = write_image(tmp_path / 'sub-01_T1w.nii', header={'xyzt_units': unit})
    assert refused(path, name, 'millimetres') == 'xyzt_units'


@pytest.mark.parametrize(('slope', 'inter'), [(0.0, 5.0), (np.nan, np.nan), (1.0, 0.0)])
def test_no_scaling(tmp_path, slope, inter):
    path = write_image(
        tmp_path / 'sub-01_T1w.nii', header={'scl_slope': slope, 'scl_inter': inter}
    )
    assert inspect_image(path).high == 199
    assert np.array_equal(load_clean(path).get_fdata(), on_level(nib.load(path).get_fdata()))


def test_scaling(tmp_path):
    path = write_image(tmp_path / 'sub-01_T1w.nii', header={'scl_slope': 2.0, 'scl_inter': 1.0})
    assert (inspect_image(path).low, inspect_image(path).high) == (1, 399)
    assert np.array_equal(load_clean(path).get_fdata(), on_level(nib.load(path).get_fdata()))


@pytest.mark.parametrize(
    ('slope', 'inter', 'field'), [(np.inf, 0.0, 'scl_slope'), (2.0, np.nan, 'scl_inter')]
)
def test_impossible_scaling(tmp_path, slope, inter, field):
    path = write_image(
        tmp_path / 'sub-01_T1w.nii', header={'scl_slope': slope, 'scl_inter': inter}
    )
    assert refused(path) == field


def test_header_that_promises_too_much(tmp_path):
    """A damaged size must not cost its memory."""
    path = write_image(tmp_path / 'sub-01_T1w.nii', header={'dim': {1: 32767, 2: 32767, 3: 32767}})
    refused(path, 'origin')
    path = write_image(tmp_path / 'sub-02_T1w.nii', header={'dim': {1: 400, 2: 400, 3: 400}})
    refused(path, 'truncated')


def test_negative_values(tmp_path):
    ringing = head(dtype='float32')
    ringing[0, :, :] = -1
    path = write_image(tmp_path / 'sub-01_T1w.nii.gz', ringing)
    assert inspect_image(path).warnings == ()
    assert np.array_equal(load_clean(path).get_fdata(), on_level(np.maximum(ringing, 0)))

    scores = head(dtype='float32') - 60
    path = write_image(tmp_path / 'sub-02_T1w.nii.gz', scores)
    assert 'raised by 60' in inspect_image(path).warnings[0]
    assert np.array_equal(load_clean(path).get_fdata(), on_level(scores + 60))


def test_big_endian_and_nifti2(tmp_path):
    affine = np.diag([*ZOOMS, 1.0])
    swapped = nib.Nifti1Image(head(dtype='>i2'), affine, nib.Nifti1Header(endianness='>'))
    nib.save(swapped, tmp_path / 'a.nii')
    assert struct.unpack('>i', (tmp_path / 'a.nii').read_bytes()[:4]) == (348,)
    nib.save(nib.Nifti2Image(head(), affine), tmp_path / 'b.nii.gz')
    for name in ('a.nii', 'b.nii.gz'):
        assert inspect_image(tmp_path / name).high == 199
        assert np.array_equal(load_clean(tmp_path / name).get_fdata(), on_level(head()))


def test_clean_image_has_one_orientation(tmp_path):
    affine = nib.affines.from_matvec(
        nib.eulerangles.euler2mat(0.2, 0.1, 0.3) @ np.diag([-4.5, 4.5, 4.5]), [10, -90, -70]
    )
    path = write_image(tmp_path / 'sub-01_T1w.nii.gz', affine=affine, codes=(2, 0))
    clean = load_clean(path)
    assert nib.aff2axcodes(clean.affine) == ('R', 'A', 'S')
    kept = nib.load(save(clean.dataobj, clean, tmp_path / 'kept.nii.gz'))
    assert np.allclose(kept.get_sform(), affine, atol=1e-4)
    assert np.allclose(kept.get_qform(), affine, atol=1e-3)
    assert kept.get_data_dtype() == np.float32
    assert np.array_equal(kept.get_fdata(), on_level(head()))


@pytest.mark.parametrize('order', ORDERS)
def test_every_order_of_storage_is_read_the_same_and_kept(tmp_path, order):
    affine = nib.affines.from_matvec(
        nib.eulerangles.euler2mat(0.2, 0.1, 0.3) @ np.diag([4.5, 3.5, 2.5]), [-90, -80, -70]
    )
    data = np.random.default_rng(0).integers(1, 900, (20, 24, 40)).astype('i2')
    first = write_image(tmp_path / 'sub-01_T1w.nii', data, affine=affine)
    other = tmp_path / 'sub-02_T1w.nii'
    turned, _ = turn(nib.load(first), order)
    nib.save(turned, other)
    one, two = load_clean(first), load_clean(other)
    assert np.array_equal(one.affine, two.affine)
    assert np.asanyarray(one.dataobj).tobytes('A') == np.asanyarray(two.dataobj).tobytes('A')
    kept = nib.load(save(two.dataobj, two, tmp_path / 'kept.nii'))
    assert np.array_equal(kept.affine, nib.load(other).affine)
    assert np.array_equal(kept.get_fdata(), on_level(turned.get_fdata()))
    assert np.array_equal(load(tmp_path / 'kept.nii').get_fdata(), one.get_fdata())
    both = [inspect_image(path) for path in (first, other)]
    assert same_grid(*both)


@pytest.mark.parametrize('scale', [1.0, 275.0, 1 / 1024, 1e-5])
@pytest.mark.parametrize('dtype', ['<f4', '>f4', '<f8', '>f8'])
def test_the_unit_of_intensities_is_of_no_account(tmp_path, scale, dtype):
    data = head(dtype='int16')
    path = tmp_path / 'sub-01_T1w.nii'
    header = nib.Nifti1Header(endianness=dtype[0])
    nib.save(nib.Nifti1Image((data * scale).astype(dtype), np.diag([*ZOOMS, 1.0]), header), path)
    found = load_clean(path).get_fdata(dtype=np.float32)
    wanted = on_level(data)
    assert np.array_equal(found, wanted)
    whole = nib.Nifti1Image(data, np.diag([*ZOOMS, 1.0]))
    whole.header.set_slope_inter(scale, 0)
    nib.save(whole, path)
    assert np.array_equal(load_clean(path).get_fdata(dtype=np.float32), wanted)
    series = tmp_path / 'sub-01_dwi.nii'
    four = np.stack([data, data // 3], axis=-1)
    nib.save(nib.Nifti1Image((four * scale).astype(dtype), np.diag([*ZOOMS, 1.0]), header), series)
    found = load_series(series).get_fdata(dtype=np.float32)
    assert np.allclose(found[..., 0], wanted, rtol=2e-7)
    assert np.allclose(
        load_series(series, volumes=[1], level=LEVEL).get_fdata()[..., 0],
        four[..., 1] * scale,
        rtol=2e-7,
    )
