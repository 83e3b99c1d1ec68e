"""The evaluator gives what can be counted by hand."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from csvdprep.science.overlap import binarise, boundary_points, evaluate, hausdorff95

SHARED = Path(__file__).parents[3] / 'shared' / 'data' / 'wmh-reference'
ZOOMS = (1.0, 2.0, 3.0)


def blank(dtype=np.uint8):
    return np.zeros((12, 12, 6), dtype=dtype)


def test_all_measures_by_hand():
    truth, found = blank(), blank()
    truth[1:3, 1:3, 1] = 1  # 4 voxels, of which 2 are found
    truth[8, 8, 4] = 1  # missed
    truth[5, 5, 5] = 1  # found exactly
    found[2:4, 1:3, 1] = 1  # 4 voxels, 2 right
    found[5, 5, 5] = 1
    found[10, 1, 0] = 1  # false
    result = evaluate(truth, found, ZOOMS)
    assert result.dice == pytest.approx(2 * 3 / (6 + 6))
    assert (result.n_reference, result.n_detected) == (3, 2)
    assert (result.n_prediction, result.n_hits) == (3, 2)
    assert result.recall == result.precision == result.f1 == pytest.approx(2 / 3)
    assert result.avd == 0
    assert result.voxel_precision == result.voxel_recall == 0.5
    assert result.reference_ml == pytest.approx(6 * 6 / 1000)
    # All voxels are on borders. From the prediction: 0 0 0 1 1 and, for (10, 1, 0), 8.54 mm
    # to (2, 1, 1); from the reference: 0 0 0 1 1 and, for (8, 8, 4), 7.35 mm to (5, 5, 5).
    far = [math.hypot(8, 0, 3), math.hypot(3, 6, 3)]
    assert result.hd95 == pytest.approx(max(1 + 0.75 * (d - 1) for d in far))


def test_hausdorff_uses_the_maximum_of_both_directions():
    truth, found = blank(), blank()
    truth[1, 1, 1] = found[1, 1, 1] = 1
    found[1, 11, 1] = 1
    # Directed: 0 from the reference, P95 of (0, 20) = 19 from the prediction.
    for pair in ((truth, found), (found, truth)):
        assert evaluate(*pair, ZOOMS).hd95 == pytest.approx(19)


def test_percentile_interpolates():
    truth, found = blank(), blank()
    truth[0, 0, 0] = 1
    found[:11, 0, 0] = 1
    assert evaluate(truth, found, ZOOMS).hd95 == pytest.approx(9.5)


def test_border_is_taken_in_the_slice_with_corners():
    mask = blank(bool)
    mask[2:7, 2:7, 1:5] = True
    assert len(boundary_points(mask, np.eye(4))) == 4 * 16
    mask[2, 2, 1] = False  # the inner voxel next to that corner comes to the border
    assert len(boundary_points(mask, np.eye(4))) == 3 * 16 + 16


def test_border_across_another_axis():
    mask = blank(bool)
    mask[2:7, 3, 1:5] = True
    assert len(boundary_points(mask, np.eye(4), slice_axis=1)) == 5 * 4 - 3 * 2
    assert len(boundary_points(mask, np.eye(4), slice_axis=2)) == 5 * 4


def test_edge_of_the_image_is_no_border():
    mask = np.ones((5, 5, 1), bool)
    assert len(boundary_points(mask, np.eye(4))) == 0
    assert math.isnan(hausdorff95(mask, mask, np.eye(4)))
    mask[4] = False
    assert sorted(boundary_points(mask, np.eye(4))[:, 0].tolist()) == [3.0] * 5


def test_distances_follow_the_affine():
    truth, found = blank(), blank()
    truth[1, 1, 1] = found[4, 5, 3] = 1
    turn = np.array([[0, -2.0, 0], [1.0, 0, 0], [0, 0, 3.0]])
    affine = np.eye(4)
    affine[:3, :3] = turn
    affine[:3, 3] = 7, -80, 12
    expected = math.hypot(3, 8, 6)
    assert evaluate(truth, found, affine).hd95 == pytest.approx(expected)
    assert evaluate(truth, found, ZOOMS).hd95 == pytest.approx(expected)


def test_lesions_touch_over_corners():
    truth, found = blank(), blank()
    truth[1, 1, 1] = truth[2, 2, 2] = 1
    found[1, 1, 1] = 1
    result = evaluate(truth, found, ZOOMS)
    assert (result.n_reference, result.recall) == (1, 1)


def test_other_pathology_is_ignored():
    truth, found = blank(), blank()
    truth[1:3, 1, 1] = 1
    truth[6:9, 6, 3] = 2
    found[1:3, 1, 1] = 1
    found[6:9, 6, 3] = 1
    result = evaluate(truth, found, ZOOMS)
    assert (result.dice, result.hd95, result.avd, result.recall, result.f1) == (1, 0, 0, 1, 1)
    assert result.n_prediction == 1


def test_thresholds():
    # 1.5 lies within both of the challenge's ranges: a lesion that no prediction can find.
    truth = np.array([0.49, 0.5, 1.5, 1.51, 2.5, 2.6, 0]).reshape(-1, 1, 1)
    found = np.ones_like(truth)
    lesion, kept = binarise(truth, found)
    assert lesion.ravel().tolist() == [0, 1, 1, 0, 0, 0, 0]
    assert kept.ravel().tolist() == [1, 1, 0, 0, 0, 1, 1]
    probability = np.array([0.49, 0.5, 1.0, 1000, 1000.5, np.nan, -1]).reshape(-1, 1, 1)
    nothing = np.zeros(probability.shape)
    assert binarise(nothing, probability)[1].ravel().tolist() == [0, 1, 1, 1, 0, 0, 0]
    assert binarise(nothing, probability, 0.4)[1].ravel().tolist() == [1, 1, 1, 1, 0, 0, 0]
    labels = np.array([0, 1, 77, 1000, 1001, 2, -1]).reshape(-1, 1, 1)
    assert binarise(nothing, labels, 0.4)[1].ravel().tolist() == [0, 1, 1, 1, 0, 1, 0]
    assert binarise(nothing, labels == 1)[1].sum() == 1


def test_empty_prediction():
    truth = blank()
    truth[1, 1, 1] = 1
    result = evaluate(truth, blank(), ZOOMS)
    assert (result.dice, result.avd, result.recall, result.precision, result.f1) == (
        0,
        100,
        0,
        1,
        0,
    )
    assert math.isnan(result.hd95)
    assert result.as_dict()['hd95'] is None


def test_empty_reference():
    found = blank()
    found[1, 1, 1] = 1
    result = evaluate(blank(), found, ZOOMS)
    assert (result.dice, result.recall, result.precision, result.f1) == (0, 1, 0, 0)
    assert math.isnan(result.hd95)
    assert math.isnan(result.avd)


def test_both_empty():
    result = evaluate(blank(), blank(), ZOOMS)
    assert (result.recall, result.precision, result.f1) == (1, 1, 1)
    assert math.isnan(result.dice)
    assert math.isnan(result.hd95)


def test_bad_arguments():
    with pytest.raises(ValueError, match='differ in shape'):
        evaluate(blank(), blank()[1:], ZOOMS)
    with pytest.raises(ValueError, match='three dimensions'):
        evaluate(blank()[0], blank()[0], ZOOMS)
    with pytest.raises(ValueError, match='affine'):
        evaluate(blank(), blank(), (1, 1))


def test_rivals_have_their_published_dice():
    if not SHARED.is_dir():
        pytest.skip('the reference masks are not here')
    import nibabel as nib

    with (SHARED / 'rivals.tsv').open() as file:
        rivals = list(csv.DictReader(file, delimiter='\t'))
    assert rivals
    for rival in rivals:
        name = rival['case'].replace('simvent-', 'sub-')
        truth = nib.load(
            SHARED / 'simventwmh' / name / 'anat' / f'{name}_label-abWMH_desc-manual_mask.nii.gz'
        )
        found = nib.load(SHARED / rival['mask'])
        result = evaluate(np.asanyarray(truth.dataobj), np.asanyarray(found.dataobj), truth.affine)
        assert result.dice == pytest.approx(float(rival['dice']), abs=5e-4), rival
        assert result.voxel_precision == pytest.approx(float(rival['precision']), abs=5e-4)
        assert result.voxel_recall == pytest.approx(float(rival['recall']), abs=5e-4)
