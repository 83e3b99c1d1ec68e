"""Brain extraction: what is a brain, what is not, and that storage does not matter."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from csvdprep.core.errors import MeasureError
from csvdprep.imaging.brain import USUAL_LIKENESS, extract_brain
from csvdprep.resources import template_file

HEAD = (
    Path(__file__).parents[3]
    / 'shared'
    / 'data'
    / 'diffusion'
    / 'sub-siemens'
    / 'anat'
    / 'sub-siemens_T1w.nii.gz'
)
needs_head = pytest.mark.skipif(not HEAD.is_file(), reason='../shared/data is not here')


def dice(first, second):
    return 2 * (first & second).sum() / (first.sum() + second.sum())


@pytest.fixture(scope='module')
def head():
    image = nib.load(HEAD)
    return nib.Nifti1Image(image.get_fdata(dtype=np.float32), image.affine)


@pytest.fixture(scope='module')
def found(head):
    return extract_brain(head)


@needs_head
def test_a_whole_head_gives_a_brain(found):
    mask, info = found
    assert mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 1}
    assert not info['stripped']
    assert info['flags'] == []
    assert 1450 < info['volume_ml'] < 1700
    assert info['undecided'] < 0.1
    assert info['likeness'] > USUAL_LIKENESS


@needs_head
def test_storage_order_obliquity_and_missing_voxels_do_not_matter(head, found):
    # A turn of the head by 30 degrees about the axis through the ears, stored as PIL.
    angle = np.radians(30)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    orientation = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt('RAS'), nib.orientations.axcodes2ornt('PIL')
    )
    data = head.get_fdata(dtype=np.float32).copy()
    data[:2] = np.nan
    stored = nib.Nifti1Image(data, turn @ head.affine).as_reoriented(orientation)
    mask, info = extract_brain(stored)
    assert mask.shape == stored.shape != head.shape
    back = nib.Nifti1Image(mask, stored.affine).as_reoriented(
        nib.orientations.ornt_transform(
            nib.orientations.axcodes2ornt('PIL'), nib.orientations.axcodes2ornt('RAS')
        )
    )
    assert dice(np.asarray(back.dataobj) > 0, found[0] > 0) > 0.96
    assert not info['stripped']


@needs_head
def test_thick_slices_cost_little(head, found):
    thick = nib.Nifti1Image(
        head.get_fdata(dtype=np.float32)[:, :, ::4], head.affine @ np.diag([1, 1, 4, 1])
    )
    mask, _ = extract_brain(thick)
    assert dice(mask > 0, found[0][:, :, ::4] > 0) > 0.96


@needs_head
def test_a_brain_cut_at_the_top_is_flagged(head, found):
    top = np.flatnonzero(found[0].any(axis=(0, 1))).max()
    cut = head.slicer[:, :, : top - 15]
    assert 'cut_by_field_of_view' in extract_brain(cut)[1]['flags']


def test_a_stripped_brain_stays_as_it_is():
    image = nib.load(template_file('T1w', resolution=2))
    data = np.asanyarray(image.dataobj, dtype=np.float32)
    # Background need not be zero, only constant.
    mask, info = extract_brain(nib.Nifti1Image(np.where(data > 0, data, -5), image.affine))
    assert info['stripped']
    assert dice(mask > 0, data > 0) > 0.97


@pytest.mark.parametrize('what', ['noise', 'ball'])
def test_what_is_no_brain_is_refused(what):
    grid = np.indices((64, 64, 64)) - 31.5
    if what == 'noise':
        data = np.random.default_rng(0).gamma(2, 20, grid.shape[1:])
    else:
        data = 100.0 * ((grid**2).sum(axis=0) < 25**2)
        data += np.random.default_rng(0).normal(0, 3, data.shape)
    affine = np.diag([3, 3, 3, 1])
    affine[:3, 3] = -95
    with pytest.raises(MeasureError, match='No brain was found'):
        extract_brain(nib.Nifti1Image(data.astype(np.float32), affine))


@pytest.mark.parametrize(
    ('shape', 'zooms', 'message'),
    [
        ((96, 96, 2), (2, 2, 5), 'slab of 96 x 96 x 2 voxels'),
        ((96, 96, 6), (2, 2, 5), 'too thin'),
        ((20, 20, 20, 4), (5, 5, 5), 'A 3D image is needed'),
    ],
)
def test_what_cannot_be_a_head_is_refused_in_words(shape, zooms, message):
    data = np.random.default_rng(0).random(shape, dtype=np.float32)
    with pytest.raises(MeasureError, match=message):
        extract_brain(nib.Nifti1Image(data, np.diag([*zooms, 1.0])))


@pytest.mark.parametrize('value', [0, 7, np.nan])
def test_one_value_is_no_image(value):
    with pytest.raises(MeasureError, match='one value only'):
        extract_brain(nib.Nifti1Image(np.full((40, 40, 40), value, np.float32), np.eye(4) * 4))
