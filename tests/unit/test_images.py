"""Images in canonical order, results in the order that came, masks of other tools in any."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from storage import ORDERS, turn, turned_vectors

from csvdprep.core.grids import array_axis, axes_of, same_grid
from csvdprep.imaging.images import (
    canonical,
    canonical_vectors,
    load,
    load_mask_on,
    save,
    stored_vectors,
)
from csvdprep.science.gradient_table import world_directions

OBLIQUE = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(0.2, 0.1, 0.3) @ np.diag([2.0, 3.0, 4.0]), [-9.1234567, 8, 7]
)


def image(dtype='f4', more=()):
    data = np.random.default_rng(0).integers(0, 9, (5, 6, 7, *more))
    return nib.Nifti1Image(data.astype(dtype), OBLIQUE)


@pytest.mark.parametrize('order', ORDERS)
def test_all_orders_are_one_image(tmp_path, order):
    one = canonical(image(more=(3,)))
    turned, change = turn(image(more=(3,)), order)
    nib.save(turned, tmp_path / 'turned.nii')
    two = load(tmp_path / 'turned.nii')
    assert np.array_equal(one.affine, two.affine)
    assert np.array_equal(one.get_fdata(), two.get_fdata())
    assert same_grid(one, turned)
    kept = nib.load(save(two.get_fdata(), two, tmp_path / 'kept.nii'))
    assert np.allclose(kept.affine, turned.affine, atol=1e-5)
    assert np.array_equal(kept.get_fdata(), turned.get_fdata())
    # Gradients turn with the array, and point where they did.
    vectors = np.random.default_rng(1).normal(size=(4, 3))
    own = turned_vectors(vectors.T, OBLIQUE, turned.affine, change).T
    assert np.array_equal(canonical_vectors(own, two), canonical_vectors(vectors, one))
    assert np.array_equal(stored_vectors(canonical_vectors(own, two), two), own)
    assert np.allclose(
        world_directions(canonical_vectors(own, two), two.affine),
        world_directions(own, turned.affine),
        atol=1e-6,
    )
    assert array_axis('j-', axes_of(turned.affine))[0] == 'ijk'[axes_of(turned.affine)[1][0]]


@pytest.mark.parametrize('axis', range(3))
@pytest.mark.parametrize('degrees', [45, 44.9, 20, -45, 135])
@pytest.mark.parametrize('zooms', [(1, 1, 1), (1, 1, 5)])
def test_oblique_grids_have_one_canonical_order(axis, degrees, zooms):
    angles = np.zeros(3)
    angles[axis] = np.radians(degrees)
    turned = nib.eulerangles.euler2mat(*angles) @ np.diag(zooms)
    affine = nib.affines.from_matvec(turned, [1, 2, 3])
    data = np.arange(4 * 5 * 6, dtype='f4').reshape(4, 5, 6)
    first = nib.Nifti1Image(data, affine)
    wanted = canonical(first)
    for order in ORDERS:
        # By the array alone: halfway between two axes no code names them.
        change = np.array(
            [
                (
                    'RAS'.index(letter) if letter in 'RAS' else 'LPI'.index(letter),
                    1 if letter in 'RAS' else -1,
                )
                for letter in order
            ],
            float,
        )
        found = canonical(first.as_reoriented(change))
        assert np.array_equal(found.get_fdata(), wanted.get_fdata()), order
        assert np.allclose(found.affine, wanted.affine, atol=2e-3)


@pytest.mark.parametrize('dtype', ['i8', '>i2', '>f4', 'f8', 'u1'])
def test_types_of_other_tools(tmp_path, dtype):
    data = np.asanyarray(image().dataobj).astype(dtype)
    given = nib.Nifti1Image(data, OBLIQUE, dtype=np.dtype(dtype))
    nib.save(given, tmp_path / 'a.nii.gz')
    found = load(tmp_path / 'a.nii.gz')
    assert np.array_equal(found.get_fdata(), image().get_fdata())
    assert np.asanyarray(found.dataobj).dtype.isnative


@pytest.mark.parametrize('order', ['RAS', 'LPS', 'PSR', 'SLA'])
@pytest.mark.parametrize('off', [0.0, 0.05, 0.3])
def test_a_mask_of_another_tool_is_taken_as_it_is(tmp_path, order, off):
    flair = tmp_path / 'flair.nii.gz'
    nib.save(turn(image(), 'LPS')[0], flair)
    mask = (image().get_fdata() > 5).astype(np.uint8)
    moved = OBLIQUE.copy()
    moved[:3, 3] += off
    nib.save(turn(nib.Nifti1Image(mask, moved), order)[0], tmp_path / 'mask.nii.gz')
    assert np.array_equal(load_mask_on(str(tmp_path / 'mask.nii.gz'), load(flair)), mask)
