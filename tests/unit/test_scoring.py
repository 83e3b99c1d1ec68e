"""``csvdprep score``: the scores of made-up output whose errors are known beforehand."""

from __future__ import annotations

import argparse
import csv
import json
import re
import shutil
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from storage import turn

from csvdprep.cli import score as command
from csvdprep.cli import subcommands
from csvdprep.core.errors import InputError
from csvdprep.science import agreement
from csvdprep.science.subgroups import by_group
from csvdprep.scoring import Scores, score, write
from csvdprep.scoring.detection import froc, operating_points
from csvdprep.scoring.lesions import Candidate, Scan

AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])
SHAPE = (24, 24, 12)
TABLES = tuple(
    f'{name}.tsv' for name in 'masks detection limits lesions froc scalars changes groups'.split()
)


def describe(root, kind='derivative', **more):
    root.mkdir(parents=True, exist_ok=True)
    text = {'Name': root.name, 'BIDSVersion': '1.10.0', 'DatasetType': kind, **more}
    (root / 'dataset_description.json').write_text(json.dumps(text))
    return root


def save(root, visit, name, data, affine=AFFINE, datatype='anat'):
    folder = root.joinpath(*visit.split('_'), datatype)
    folder.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(np.asarray(data), affine)
    nib.save(image, folder / f'{visit}_{name}.nii.gz')


def table(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ['\t'.join(rows[0]), *('\t'.join(map(str, row.values())) for row in rows)]
    path.write_text('\n'.join(lines) + '\n')


def measures(root, visit, **values):
    subject, _, session = visit.partition('_')
    keys = {'participant_id': subject} | ({'session_id': session} if session else {})
    path = root.joinpath(*visit.split('_'), f'{visit}_desc-csvd_measures.tsv')
    table(path, [keys | values])


def boxes(*corners, size=3, dtype=np.uint8):
    data = np.zeros(SHAPE, dtype)
    for x, y, z in corners:
        data[x : x + size, y : y + size, z : z + size] = 1
    return data


def lesion(x, y, z, kind='lacune', diameter=6.0, **more):
    return {'x': x, 'y': y, 'z': z, 'kind': kind, 'diameter_mm': diameter, **more}


def lesion_list(root, visit, label, rows, space='_space-T1w'):
    path = root.joinpath(*visit.split('_'), 'anat')
    rows = [{'index': number, **row} for number, row in enumerate(rows, start=1)]
    table(path / f'{visit}{space}_label-{label}_lesions.tsv', rows)


def rows_of(rows, **wanted):
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def one(rows, **wanted):
    (row,) = rows_of(rows, **wanted)
    return row


@pytest.fixture
def truth(tmp_path):
    return describe(tmp_path / 'truth')


@pytest.fixture
def app(tmp_path):
    return describe(tmp_path / 'app', GeneratedBy=[{'Name': 'an app', 'Version': '2'}])


VISITS = ('sub-01_ses-1', 'sub-01_ses-2', 'sub-02_ses-1', 'sub-02_ses-2')


def fill(root, space='_space-FLAIR'):
    """Write four visits with lesions, tissues and measures."""
    for number, visit in enumerate(VISITS):
        mask = boxes((2, 2, 2), (10, 10, 5), *([(17, 17, 8)] if number % 2 else []))
        save(root, visit, f'{space.strip("_") + "_" if space else ""}label-WMH_mask', mask)
        tissue = np.zeros(SHAPE, np.uint8)
        tissue[:8], tissue[8:16], tissue[16:] = 1, 2, 3
        save(root, visit, 'space-T1w_dseg', tissue)
        folder = root.joinpath(*visit.split('_'), 'anat')
        table(
            folder / f'{visit}_space-T1w_dseg.tsv',
            [
                {'index': i, 'abbreviation': name}
                for i, name in enumerate(('CSF', 'GM', 'WM'), start=1)
            ],
        )
        save(root, visit, 'space-T1w_desc-brain_mask', boxes((4, 4, 3), size=6))
        lesion_list(root, visit, 'lacune', [lesion(1, 2, 3), lesion(9, 9, 9, 'infarct')][:1])
        measures(root, visit, gm_ml=600 + 10 * number, fazekas_pv=number % 3, wmh_total_ml=number)


# --- the whole


def test_perfect_output(truth, app):
    fill(truth)
    fill(app)
    scores = score(app, truth)
    assert scores.visits == VISITS
    assert scores.missing == ()
    wmh = rows_of(scores.masks, label='WMH')
    assert len(wmh) == 4
    assert all(row['dice'] == row['f1'] == 1 and row['hd95'] == row['avd'] == 0 for row in wmh)
    assert [row['truth_ml'] for row in wmh] == pytest.approx([0.108, 0.162] * 2)
    assert {row['dice'] for row in scores.masks} == {1.0}
    assert {row['label'] for row in scores.masks} == {'WMH', 'brain', 'CSF', 'GM', 'WM'}
    gm = one(scores.scalars, measure='gm_ml')
    assert (gm['n'], gm['bias'], gm['sd'], gm['icc'], gm['icc_low']) == (4, 0, 0, 1, 1)
    assert (gm['slope'], gm['r']) == (pytest.approx(1), pytest.approx(1))
    assert gm['scale'] == 'continuous'
    grade = one(scores.scalars, measure='fazekas_pv')
    assert (grade['scale'], grade['exact_pct'], grade['kappa']) == ('ordinal', 100, 1)
    assert 'icc' not in grade
    for label in ('WMH', 'lacune'):
        found = one(scores.detection, label=label, size='all')
        assert (found['sensitivity'], found['fp_per_scan'], found['f1']) == (1, 0, 1)
        assert found['sensitivity_at_1_fp'] == found['sensitivity_at_10_fp'] == 1
    assert one(scores.detection, label='WMH', size='all')['n_true'] == 10
    changed = rows_of(scores.changes, measure='gm_ml')
    assert [row['true_change'] for row in changed] == [10, 10]
    assert [row['error'] for row in changed] == [0, 0]
    text = str(scores)
    assert 'an app 2 against truth: 4 visits' in text
    assert re.search(r'sub-02_ses-2 +1\.000', text)
    assert 'volume slope 1.000' in text


def test_summary_over_visits(truth, app):
    for visit, found in (('sub-01', (2, 2, 2)), ('sub-02', (3, 2, 2)), ('sub-03', (4, 2, 2))):
        save(truth, visit, 'space-FLAIR_label-WMH_mask', boxes((2, 2, 2)))
        save(app, visit, 'label-WMH_mask', boxes(found))
    summary = {row['measure']: row for row in score(app, truth).mask_summary}
    # Shifts of 0, 1 and 2 of 3 voxels share all, 2/3 and 1/3.
    dice = summary['dice']
    assert (dice['n'], dice['high'], dice['low']) == (3, 1, pytest.approx(1 / 3))
    assert (dice['mean'], dice['median']) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert summary['volume_slope']['mean'] == 1
    assert 'median Dice' not in str(score(app, truth))


def test_slices_lie_across_the_thickest_axis(truth, app):
    affine = np.diag([3.0, 1.0, 1.0, 1.0])
    plate, holed = np.zeros((2, *SHAPE), np.uint8)
    plate[5, 2:11, 1:10] = holed[5, 2:11, 1:10] = 1
    holed[5, 4:9, 3:8] = 0
    save(truth, 'sub-01', 'space-FLAIR_label-WMH_mask', plate, affine)
    save(app, 'sub-01', 'label-WMH_mask', holed, affine)
    # In the slice, the border of the plate is its rim, and the hole's rim is 1 mm from it. Across
    # another axis all of the plate were border, and its middle 3 mm from what is left.
    assert one(score(app, truth).masks, label='WMH')['hd95'] == 1


def test_known_errors(truth, app):
    true = [10.0, 20.0, 30.0, 40.0]
    found = [12.0, 21.0, 33.0, 42.0]
    for number, (a, b) in enumerate(zip(true, found, strict=True)):
        measures(truth, f'sub-0{number}', lv_ml=a, svd_score=number)
        measures(app, f'sub-0{number}', lv_ml=b, svd_score=max(number - 1, 0))
    rows = score(app, truth).scalars
    lv = one(rows, measure='lv_ml')
    assert (lv['mean_truth'], lv['mean_found']) == (25, 27)
    assert lv['bias'] == 2
    assert lv['sd'] == pytest.approx(np.sqrt(2 / 3))
    assert lv['bias_pct'] == 8
    assert lv['loa_low'] == pytest.approx(2 - 1.96 * np.sqrt(2 / 3))
    assert lv['loa_high'] == pytest.approx(2 + 1.96 * np.sqrt(2 / 3))
    t = 3.182446  # Student, 3 degrees of freedom
    assert lv['bias_low'] == pytest.approx(2 - t * np.sqrt(2 / 3) / 2, rel=1e-6)
    assert lv['bias_high'] == pytest.approx(2 + t * np.sqrt(2 / 3) / 2, rel=1e-6)
    half = t * np.sqrt(2 / 3) * np.sqrt(1 / 4 + 1.96**2 / 6)
    assert lv['loa_high_high'] - lv['loa_high'] == pytest.approx(half, rel=1e-6)
    assert lv['loa_low'] - lv['loa_low_low'] == pytest.approx(half, rel=1e-6)
    assert lv['slope'] == pytest.approx(1.02)
    assert lv['intercept'] == pytest.approx(1.5)
    assert lv['r'] == pytest.approx(510 / np.sqrt(500 * 522))
    grade = one(rows, measure='svd_score')
    assert grade['exact_pct'] == 25
    # Mean squared difference 3/4; over all combinations of 0..3 with 0, 0, 1, 2: 40/16.
    assert grade['kappa'] == pytest.approx(1 - 0.75 / (40 / 16))


# --- statistics


def test_icc_of_shrout_and_fleiss():
    judged = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    estimate, low, high = agreement.icc_a1(np.array(judged))
    assert estimate == pytest.approx(0.29, abs=0.005)
    assert (round(low, 3), round(high, 3)) == (0.019, 0.761)


def test_icc_counts_a_constant_offset():
    # Two columns one apart: MSR = 2, MSC = 1.5, MSE = 0, so that ICC = 2 / (2 + 2/3 * 1.5).
    estimate, low, high = agreement.icc_a1(np.array([[1, 2], [2, 3], [3, 4]]))
    assert estimate == pytest.approx(2 / 3)
    assert low < estimate < high


def test_what_is_not_defined_has_a_reason():
    same = agreement.continuous([2, 2, 2], [2, 2, 2])
    assert 'icc' not in same
    assert 'slope' not in same
    assert same['reason'] == 'no slope, r and ICC as the truth is the same in all'
    assert same['bias'] == 0
    flat = agreement.continuous([1, 2, 3], [2, 2, 2])
    assert (flat['slope'], 'r' in flat, flat['reason']) == (
        0,
        False,
        'no r as the app gives the same in all',
    )
    assert agreement.icc_a1(np.ones((3, 2))) is None
    assert 'percentage' in agreement.continuous([-1, 0, 1], [1, 2, 3])['reason']
    assert agreement.ordinal([1, 1, 1], [1, 1, 1])['kappa'] is None
    few = agreement.continuous([1, 2], [1, 2])
    assert few['reason'] == 'only 2 pairs, needs 3'
    assert 'bias' not in few
    assert agreement.continuous([], [])['n'] == 0
    negative = agreement.continuous([1, 3, 2], [3, 1, 2])
    assert negative['icc_low'] is None
    assert 'interval' in negative['reason']


def test_statistics_are_finite_or_missing():
    random = np.random.default_rng(1)
    for _ in range(300):
        pairs = np.round(random.normal(size=(random.integers(3, 8), 2)), random.integers(0, 3))
        for value in agreement.continuous(*pairs.T).values():
            assert value is None or isinstance(value, str) or np.isfinite(value)


# --- masks


def test_empty_masks(truth, app):
    empty, some = boxes(), boxes((2, 2, 2))
    for visit, (a, b) in {
        'sub-01': (empty, empty),
        'sub-02': (empty, some),
        'sub-03': (some, empty),
    }.items():
        save(truth, visit, 'space-FLAIR_label-WMH_mask', a)
        save(app, visit, 'label-WMH_mask', b)
    first, second, third = score(app, truth).masks
    assert first['dice'] is None
    assert first['recall'] == 1  # as the evaluator of the challenge has it
    assert "truth's mask is empty and the app's mask is empty" in first['reason']
    assert (second['dice'], second['avd'], second['hd95']) == (0, None, None)
    assert second['reason'] == "hd95, avd: the truth's mask is empty"
    assert (third['dice'], third['avd'], third['hd95']) == (0, 100, None)
    text = score(app, truth).tsv('masks')
    assert 'nan' not in text.lower()


def test_mask_on_another_grid_is_not_resampled(truth, app):
    save(truth, 'sub-01', 'space-FLAIR_label-WMH_mask', boxes((2, 2, 2)))
    moved = AFFINE.copy()
    moved[0, 3] = 0.01
    save(app, 'sub-01', 'label-WMH_mask', boxes((2, 2, 2)), moved)
    scores = score(app, truth)
    row = one(scores.masks, label='WMH')
    assert row['dice'] is None
    assert row['reason'] == 'no mask on the grid of FLAIR'
    assert any('WMH is not in the detection' in note for note in scores.notes)
    moved[0, 3] = 0.0005
    save(app, 'sub-01', 'label-WMH_mask', boxes((2, 2, 2)), moved)
    assert one(score(app, truth).masks, label='WMH')['dice'] == 1


def test_mask_of_another_image_is_not_taken(truth, app):
    save(truth, 'sub-01', 'space-FLAIR_label-WMH_mask', boxes((2, 2, 2)))
    save(app, 'sub-01', 'space-T1w_label-WMH_mask', boxes((2, 2, 2)))
    assert one(score(app, truth).masks, label='WMH')['dice'] is None


def test_which_file_is_compared(truth, app):
    right, wrong = boxes((2, 2, 2)), boxes((9, 9, 5))
    save(truth, 'sub-01', 'space-FLAIR_label-WMH_mask', right)
    save(app, 'sub-01', 'label-WMH_desc-preliminary_mask', wrong)
    save(app, 'sub-01', 'label-WMH_probseg', wrong.astype(np.float32))
    save(app, 'sub-01', 'label-lacune_mask', wrong)
    save(app, 'sub-01', 'label-wmh_mask', right)
    assert one(score(app, truth).masks, label='WMH')['file'] == 'sub-01_label-wmh_mask.nii.gz'
    save(app, 'sub-01', 'space-FLAIR_label-WMH_mask', right, datatype='flair')
    row = one(score(app, truth).masks, label='WMH')
    assert row['file'] == 'sub-01_space-FLAIR_label-WMH_mask.nii.gz'
    assert row['dice'] == 1


def test_probabilities_are_cut_at_a_half(truth, app):
    save(truth, 'sub-01', 'space-FLAIR_label-WMH_mask', boxes((2, 2, 2)))
    probable = boxes((2, 2, 2), dtype=np.float32) * 0.5 + boxes((12, 12, 6)) * 0.49
    save(app, 'sub-01', 'label-WMH_probseg', probable.astype(np.float32))
    assert one(score(app, truth).masks, label='WMH')['dice'] == 1


def test_tissues_go_by_the_table(truth, app):
    tissue = np.zeros(SHAPE, np.uint8)
    tissue[:8], tissue[8:16], tissue[16:] = 1, 2, 3
    save(truth, 'sub-01', 'space-T1w_dseg', tissue)
    # Zones of lesions are no tissues, be there a table or not.
    save(truth, 'sub-01', 'space-T1w_desc-zone_dseg', tissue)
    save(truth, 'sub-01', 'space-T1w_res-2_dseg', tissue)
    table(
        truth / 'sub-01' / 'anat' / 'sub-01_space-T1w_res-2_dseg.tsv',
        [{'index': 1, 'abbreviation': 'PV'}],
    )
    swapped = np.array([0, 30, 10, 20], np.uint8)[tissue]
    swapped[16:18] = 10  # two of the eight slices of WM are taken for GM
    save(app, 'sub-01', 'dseg', swapped)
    assert 'CSF, GM and WM in its table' in one(score(app, truth).masks, label='tissues')['reason']
    names = {10: 'GM', 20: 'WM', 30: 'CSF'}
    table(
        app / 'sub-01' / 'anat' / 'sub-01_dseg.tsv',
        [{'index': index, 'abbreviation': name} for index, name in names.items()],
    )
    rows = score(app, truth).masks
    assert len(rows) == 3
    dice = {row['label']: row['dice'] for row in rows}
    assert dice == {'CSF': 1, 'GM': pytest.approx(16 / 18), 'WM': pytest.approx(12 / 14)}


# --- detection


def scan(candidates, sizes=(4.0, 8.0), visit='sub-01', distractors=None):
    return Scan(visit, tuple(sizes), tuple(candidates), distractors, 'distance')


def test_froc_by_hand():
    first = scan([Candidate(0.9, (0,)), Candidate(0.8), Candidate(0.3, (1,))])
    second = scan([Candidate(0.85), Candidate(0.5, (0,)), Candidate(0.2)], (2.0,), 'sub-02')
    curve = froc([first, second])
    assert [(p['threshold'], p['fp_per_scan'], p['tp']) for p in curve] == [
        (0.9, 0, 1),
        (0.85, 0.5, 1),
        (0.8, 1, 1),
        (0.5, 1, 2),
        (0.3, 1, 3),
        (0.2, 1.5, 3),
    ]
    assert curve[3]['sensitivity'] == pytest.approx(2 / 3)
    row, *classes = operating_points('lacune', [first, second])
    assert (row['tp'], row['fn'], row['fp'], row['n_found']) == (3, 0, 3, 6)
    assert row['sensitivity_at_1_fp'] == 1
    assert row['f1'] == pytest.approx(6 / 9)
    assert [(c['size'], c['n_true'], c['tp']) for c in classes] == [
        ('< 3 mm', 1, 1),
        ('3 to 5 mm', 1, 1),
        ('5 to 10 mm', 1, 1),
    ]


def test_one_candidate_hits_one_lesion_and_repeats_do_not_count():
    row, *_ = operating_points('x', [scan([Candidate(0.9, (0, 1))])])
    assert (row['tp'], row['fn'], row['fp']) == (1, 1, 0)
    repeated = [Candidate(0.9, (0,)), Candidate(0.8, (0,)), Candidate(0.7, (0, 1))]
    row, *_ = operating_points('x', [scan(repeated)])
    assert (row['tp'], row['fp'], row['n_repeats'], row['f1']) == (2, 0, 1, 1)
    # Of two equally sure, the nearer one chooses first.
    near = [Candidate(1.0, (0, 1), 1.5), Candidate(1.0, (0,), 0.5)]
    assert operating_points('x', [scan(near)])[0]['tp'] == 2


def test_the_curve_is_not_extended():
    false = [Candidate(0.5) for _ in range(3)]
    row, *_ = operating_points('x', [scan([Candidate(0.9, (0,)), *false])])
    assert (row['sensitivity_at_1_fp'], row['sensitivity_at_2_fp']) == (0.5, 0.5)
    assert row['sensitivity_at_5_fp'] is None
    assert 'the curve ends at 3' in row['reason']
    row, *_ = operating_points('x', [scan([Candidate(0.5, (0,)), *false])])
    assert row['sensitivity_at_1_fp'] is None
    assert 'no threshold gives fewer than 3' in row['reason']
    row, *_ = operating_points('x', [scan([], sizes=())])
    assert (row['sensitivity'], row['f1'], row['fp_per_scan']) == (None, None, 0)
    assert 'no true lesion' in row['reason']


def test_lists_with_distractors(truth, app):
    rows = [
        lesion(0, 0, 0),
        lesion(40, 0, 0, diameter=2.0),
        lesion(80, 0, 0),
        lesion(0, 50, 0, 'infarct', 10.0),
        lesion(0, -50, 0, 'vein'),
    ]
    lesion_list(truth, 'sub-01', 'lacune', rows)
    found = [
        {'x': 3, 'y': 0, 'z': 0, 'probability': 0.9},  # within 6 / 2
        {'x': 42.1, 'y': 0, 'z': 0, 'probability': 0.8},  # beyond 2 mm of a small one
        {'x': 80, 'y': 3.1, 'z': 0, 'probability': 0.7},  # beyond 6 / 2
        {'x': 0, 'y': 55, 'z': 0, 'probability': 0.6},  # on the infarct
        {'x': 'n/a', 'y': 0, 'z': 0, 'probability': 'n/a'},  # nowhere
    ]
    lesion_list(app, 'sub-01', 'lacune', found, space='')
    scores = score(app, truth)
    row = one(scores.detection, size='all')
    assert (row['n_true'], row['tp'], row['fp']) == (3, 1, 4)
    assert (row['n_distractors'], row['fp_on_distractors']) == (2, 1)
    assert scores.froc[-1]['fp'] == 4
    assert row['matched_by'] == 'distance'
    assert [point['threshold'] for point in scores.froc] == [0.9, 0.8, 0.7, 0.6, -np.inf]
    assert scores.tsv('froc').splitlines()[-1].split('\t')[1] == 'n/a'
    found[1]['x'] = 42
    lesion_list(app, 'sub-01', 'lacune', found, space='')
    assert one(score(app, truth).detection, size='all')['tp'] == 2


def test_what_is_only_possible_is_found_but_not_counted(truth, app):
    lesion_list(truth, 'sub-01', 'lacune', [lesion(0, 0, 0), lesion(80, 0, 0)])
    found = [
        {'x': 0, 'y': 0, 'z': 0, 'probability': 0.9, 'status': 'definite'},
        {'x': 80, 'y': 0, 'z': 0, 'probability': 0.6, 'status': 'possible'},
        {'x': 40, 'y': 0, 'z': 0, 'probability': 0.5, 'status': 'possible'},
        {'x': 0, 'y': 40, 'z': 0, 'probability': 0.8, 'status': 'definite'},
    ]
    lesion_list(app, 'sub-01', 'lacune', found, space='')
    row = one(score(app, truth).detection, size='all')
    assert (row['tp'], row['fp'], row['n_found']) == (2, 2, 4)
    assert (row['tp_counted'], row['fp_counted'], row['n_counted']) == (1, 1, 2)
    for item in found:
        del item['status']
    lesion_list(app, 'sub-01', 'lacune', found, space='')
    row = one(score(app, truth).detection, size='all')
    assert (row['tp_counted'], row['fp_counted'], row['n_counted']) == (2, 2, 4)


def test_list_in_another_frame_is_not_compared(truth, app):
    lesion_list(truth, 'sub-01', 'CMB', [lesion(0, 0, 0, 'CMB')])
    lesion_list(app, 'sub-01', 'CMB', [{'x': 0, 'y': 0, 'z': 0}], space='_space-MEGRE')
    scores = score(app, truth)
    assert scores.detection == []
    assert scores.notes[0].startswith('sub-01: CMB is not in the detection, no list in the frame')


def test_components_of_masks_with_their_probability(truth, app):
    save(
        truth,
        'sub-01',
        'space-MEGRE_label-CMB_mask',
        boxes((2, 2, 2), (10, 10, 5)),
        datatype='swi',
    )
    distractor = lesion(18, 18, 16, 'calcification', 4.0)
    lesion_list(truth, 'sub-01', 'CMB', [lesion(3, 3, 6, 'CMB'), distractor], '_space-MEGRE')
    found = boxes((3, 2, 2), (16, 16, 7), (2, 16, 2))
    save(app, 'sub-01', 'space-MEGRE_label-CMB_mask', found, datatype='swi')
    probability = np.zeros(SHAPE, np.float32)
    probability[:8, :8], probability[12:, 12:], probability[:8, 12:] = 0.75, 0.5, 0.25
    save(app, 'sub-01', 'space-MEGRE_label-CMB_probseg', probability, datatype='swi')
    scores = score(app, truth)
    row = one(scores.detection, size='all')
    assert row['matched_by'] == 'overlap'
    assert (row['tp'], row['fn'], row['fp'], row['fp_on_distractors']) == (1, 1, 2, 1)
    assert [p['threshold'] for p in scores.froc] == [0.75, 0.5, 0.25]
    # 27 voxels of 2 mm3 are a sphere of 4.7 mm.
    assert one(scores.detection, size='3 to 5 mm')['n_true'] == 2
    assert one(scores.detection, size='3 to 5 mm')['tp'] == 1


def test_probabilities_of_another_image_or_without_a_number(truth, app):
    save(truth, 'sub-01', 'space-MEGRE_label-CMB_mask', boxes((2, 2, 2)))
    save(app, 'sub-01', 'space-MEGRE_label-CMB_mask', boxes((2, 2, 2)))
    probability = boxes((2, 2, 2), dtype=np.float32) * np.float32(0.75)
    save(app, 'sub-01', 'space-FLAIR_label-CMB_probseg', probability)
    assert score(app, truth).froc[0]['threshold'] == 1
    probability[2, 2, 2] = np.nan
    save(app, 'sub-01', 'space-MEGRE_label-CMB_probseg', probability)
    assert score(app, truth).froc[0]['threshold'] == pytest.approx(0.75 * 26 / 27)


def test_the_larger_overlap_is_hit(truth, app):
    mask = boxes((2, 2, 2))
    mask[2:8, 12:20, 2:8] = 1
    save(truth, 'sub-01', 'space-T1w_label-RSSI_mask', mask)
    found = np.zeros(SHAPE, np.uint8)
    found[3:5, 3:16, 3:5] = 1
    save(app, 'sub-01', 'label-RSSI_mask', found)
    rows = score(app, truth).detection
    assert one(rows, size='all')['tp'] == 1
    assert one(rows, size='>= 10 mm')['tp'] == 1  # the smaller comes first in the image


def test_lesions_that_flow_together_are_matched_by_overlap(truth, app):
    save(truth, 'sub-01', 'space-FLAIR_label-WMH_mask', boxes((2, 2, 2)))
    save(app, 'sub-01', 'label-WMH_mask', boxes((2, 2, 2)))
    lesion_list(truth, 'sub-01', 'WMH', [lesion(90, 0, 0, 'WMH')])
    lesion_list(app, 'sub-01', 'WMH', [{'x': 3, 'y': 3, 'z': 6}], '')
    row = one(score(app, truth).detection, size='all')
    assert (row['tp'], row['fp'], row['matched_by']) == (1, 0, 'overlap')


def test_classes_of_size_begin_at_their_lower_limit():
    rows = operating_points('x', [scan([], sizes=(3.0, 5.0, 10.0))])
    assert [row['size'] for row in rows[1:]] == ['3 to 5 mm', '5 to 10 mm', '>= 10 mm']


def test_components_against_a_list_without_masks(truth, app):
    lesion_list(truth, 'sub-01', 'lacune', [lesion(3, 3, 6), lesion(15, 15, 15)])
    save(app, 'sub-01', 'label-lacune_mask', boxes((2, 2, 2)))
    row = one(score(app, truth).detection, size='all')
    assert (row['tp'], row['fn'], row['fp'], row['matched_by']) == (1, 1, 0, 'distance')
    # The truth's T1w has another grid: the mask is of another image, in another head pose.
    save(truth, 'sub-01', 'space-T1w_desc-brain_mask', boxes()[1:])
    assert score(app, truth).detection == []
    save(app, 'sub-01', 'space-T1w_label-lacune_mask', boxes((2, 2, 2)))
    assert one(score(app, truth).detection, size='all')['tp'] == 1


def test_list_against_a_mask(truth, app):
    save(truth, 'sub-01', 'space-FLAIR_label-WMH_mask', boxes((2, 2, 2), (10, 10, 5)))
    lesion_list(app, 'sub-01', 'WMH', [{'x': 3, 'y': 3, 'z': 6}, {'x': 20, 'y': 3, 'z': 6}], '')
    row = one(score(app, truth).detection, size='all')
    assert (row['tp'], row['fn'], row['fp'], row['matched_by']) == (1, 1, 1, 'distance')


def test_truth_without_a_number_is_named(truth, app):
    lesion_list(truth, 'sub-01', 'lacune', [lesion(3, 'n/a', 6)])
    lesion_list(app, 'sub-01', 'lacune', [{'x': 3, 'y': 3, 'z': 6}], '')
    with pytest.raises(InputError, match=r'no number for y.*field: y'):
        score(app, truth)


# --- tables


def test_group_table_of_another_tool(truth, app):
    for number, visit in enumerate(VISITS):
        measures(truth, visit, gm_ml=600 + number, wm_ml=500, icv_ml='n/a')
    group = [
        {'participant_id': visit[4:6], 'age': 70, 'session_id': visit[-1], 'gm_ml': 590 + number}
        for number, visit in enumerate(VISITS)
    ]
    group.append({'participant_id': '09', 'age': 70, 'session_id': '1', 'gm_ml': 1})
    table(app / 'volumes.tsv', group)
    scores = score(app, truth)
    assert [row['measure'] for row in scores.scalars] == ['gm_ml']
    row = scores.scalars[0]
    assert (row['n'], row['bias']) == (4, -10)
    assert 'The app has no column for: wm_ml.' in scores.notes
    assert any(note.startswith('volumes.tsv: a row is of no visit') for note in scores.notes)


def test_table_of_a_visit_goes_before_one_of_many(truth, app):
    for number in (1, 2, 3):
        measures(truth, f'sub-0{number}', gm_ml=600)
        measures(app, f'sub-0{number}', gm_ml=600 if number > 1 else 'n/a')
    table(
        app / 'all.tsv',
        [{'participant_id': f'sub-0{number}', 'gm_ml': 610 + number} for number in (1, 2)],
    )
    table(app / 'logs' / 'old.tsv', [{'participant_id': 'sub-03', 'gm_ml': 1}])
    scores = score(app, truth)
    assert [pair['found'] for pair in scores.pairs] == [611, 600, 600]
    (note,) = scores.notes
    assert note.startswith('all.tsv: gm_ml of sub-02 differs')


def test_missing_values_are_no_pairs(truth, app):
    for number, (a, b) in enumerate([(1, 2), ('n/a', 3), (4, 'nan'), (5, 6), (7, 8)]):
        measures(truth, f'sub-0{number}', gm_ml=a)
        measures(app, f'sub-0{number}', gm_ml=b)
    row = one(score(app, truth).scalars, measure='gm_ml')
    assert (row['n'], row['bias']) == (3, 1)


def test_changes(truth, app):
    for subject, true, found in (
        ('sub-01', (10, 14, 20), (11, 14, 'n/a')),
        ('sub-02', (5, 5, 6), (5, 6, 7)),
    ):
        for session, a, b in zip((1, 2, 10), true, found, strict=True):
            measures(truth, f'{subject}_ses-{session}', wmh_total_ml=a)
            measures(app, f'{subject}_ses-{session}', wmh_total_ml=b)
    scores = score(app, truth)
    assert [
        (row['from_session'], row['to_session'], row['true_change'], row['found_change'])
        for row in scores.changes
    ] == [
        ('ses-1', 'ses-2', 4, 3),
        ('ses-2', 'ses-10', 6, None),
        ('ses-1', 'ses-2', 0, 1),
        ('ses-2', 'ses-10', 1, 1),
    ]
    assert scores.changes[1]['reason'] == 'no value of the app in ses-10'
    assert [row['error'] for row in scores.changes] == [-1, None, 1, 0]
    (summary,) = scores.change_summary
    assert (summary['n'], summary['bias']) == (3, 0)


# --- datasets


def test_missing_visit_is_listed(truth, app, tmp_path, capsys):
    fill(truth)
    fill(app)
    for path in sorted((app / 'sub-02' / 'ses-2').rglob('*'), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    scores = score(app, truth)
    assert scores.missing == ('sub-02_ses-2',)
    assert len(scores.visits) == 3
    row = one(scores.masks, label='WMH', participant_id='sub-02', session_id='ses-2')
    assert row['reason'] == 'no mask on the grid of FLAIR'
    assert one(scores.detection, label='WMH', size='all')['n_scans'] == 3
    assert scores.notes == ()
    write(scores, tmp_path / 'out')
    assert 'No output for sub-02_ses-2' in (tmp_path / 'out' / 'score.html').read_text()
    assert run(app, truth, tmp_path / 'out') == 1
    assert 'no output for sub-02_ses-2' in capsys.readouterr().out


def test_truth_with_nothing_but_one_mask(truth, app):
    save(truth, 'sub-01', 'space-FLAIR_label-WMH_mask', boxes((2, 2, 2)))
    save(app, 'sub-01', 'label-WMH_mask', boxes((2, 2, 2)))
    scores = score(app, truth)
    assert scores.scalars == scores.changes == []
    assert scores.masks[0]['session_id'] is None


def test_errors_name_file_and_remedy(truth, app, tmp_path):
    fill(truth)
    with pytest.raises(InputError, match=r'No visit of the truth.*Remedy'):
        score(app, truth)
    save(app, 'sub-07', 'label-WMH_mask', boxes())
    with pytest.raises(InputError, match='No visit of the truth'):
        score(app, truth)
    for folder in (tmp_path / 'nowhere', tmp_path, describe(tmp_path / 'raw', 'raw')):
        said = rf'(no BIDS derivative|no such folder).*{re.escape(str(folder))}'
        with pytest.raises(InputError, match=said):
            score(folder, truth)
        with pytest.raises(InputError, match=said):
            score(app, folder)
    with pytest.raises(InputError, match='has no visit'):
        score(truth, describe(tmp_path / 'empty'))


def test_damaged_mask_is_named(truth, app):
    save(truth, 'sub-01', 'space-FLAIR_label-WMH_mask', boxes((2, 2, 2)))
    save(app, 'sub-01', 'label-WMH_mask', boxes((2, 2, 2)))
    file = app / 'sub-01' / 'anat' / 'sub-01_label-WMH_mask.nii.gz'
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(InputError, match='sub-01_label-WMH_mask'):
        score(app, truth)
    file.write_bytes(b'no image')
    with pytest.raises(InputError, match='sub-01_label-WMH_mask'):
        score(app, truth)


# --- what is written


def run(*arguments):
    parser = argparse.ArgumentParser()
    command.configure(parser)
    app, truth, out = map(str, arguments)
    return command.run(parser.parse_args([app, truth, '-o', out]))


def test_files_and_bytes(truth, app, tmp_path, capsys):
    fill(truth)
    fill(app, space='')
    assert run(app, truth, tmp_path / 'a') == 0
    assert 'score.html' in capsys.readouterr().out
    assert run(app, truth, tmp_path / 'b') == 0
    names = sorted(path.name for path in (tmp_path / 'a').iterdir())
    assert names == sorted([*TABLES, 'score.json', 'score.html'])
    for name in names:
        assert (tmp_path / 'a' / name).read_bytes() == (tmp_path / 'b' / name).read_bytes()
    document = json.loads((tmp_path / 'a' / 'score.json').read_text())
    for name in TABLES:
        with (tmp_path / 'a' / name).open() as file:
            rows = list(csv.DictReader(file, delimiter='\t'))
        told = document[name.removesuffix('.tsv')]
        head = (tmp_path / 'a' / name).read_text().split('\n', 1)[0]
        assert list(told['columns']) == head.split('\t')
        assert rows or name == 'groups.tsv'  # there is no dataset around this truth
        assert len(told['rows']) == len(rows)
        assert all(said['Description'] for said in told['columns'].values())
    assert document['masks']['columns']['hd95']['Units'] == 'mm'
    # Nothing that was computed is kept from the tables.
    scores = score(app, truth)
    tables = 'masks mask_summary detection limits lesions froc scalars changes groups pairs'
    for name in tables.split():
        assert set().union(*getattr(scores, name)) <= set(document[name]['columns'])


def test_errors_by_site_sex_and_age(truth, app, tmp_path):
    rng = np.random.default_rng(0)
    raw = tmp_path / 'raw'
    raw.mkdir()
    lines = ['participant_id\tage\tsex\tsite']
    for number in range(24):
        visit, site = f'sub-{number:02d}', 'AB'[number % 2]
        lines.append(f'{visit}\t{55 + 2 * (number // 2)}\t{"MF"[number // 2 % 2]}\t{site}')
        true = float(rng.uniform(5, 20))
        off = float(rng.normal(0, 0.5)) + 2 * (site == 'B')
        measures(truth, visit, wmh_total_ml=true)
        measures(app, visit, wmh_total_ml=true + off)
    (raw / 'participants.tsv').write_text('\n'.join(lines) + '\n')
    (raw / 'sub-00' / 'anat').mkdir(parents=True)
    told = {'Manufacturer': 'X', 'ManufacturersModelName': 'Y', 'MagneticFieldStrength': 3}
    (raw / 'sub-00' / 'anat' / 'sub-00_T1w.json').write_text(json.dumps(told))
    scores = score(app, truth, raw)
    found = {(r['by'], r['group']): r for r in scores.groups}
    assert {by for by, _ in found} == {'site', 'sex', 'age'}  # of one scanner nothing is compared
    assert found['site', 'B']['mean'] == pytest.approx(2, abs=0.5)
    assert found['site', 'B']['mean_low'] < found['site', 'B']['mean'] < 3
    assert found['site', 'A']['p'] < 0.01 < found['sex', 'F']['p']
    assert sum(r['visits'] for (by, _), r in found.items() if by == 'age') == 24
    page = write(scores, tmp_path / 'out').read_text()
    assert 'Sites and groups' in page
    # The dataset around the truth of a phantom is found; none is invented.
    assert score(app, truth).groups == []
    shutil.copytree(truth, raw / 'derivatives' / 'truth')
    assert score(app, raw / 'derivatives' / 'truth').groups == scores.groups
    with pytest.raises(InputError, match='no such table'):
        score(app, truth, tmp_path)


def test_groups_of_few_are_told():
    values, sites = np.array([1.0, 2, 3, 9, 5]), np.array(['A', 'A', 'A', 'B', 'n/a'])
    rows = list(by_group(values, {'site': sites}, np.array(list('abcde'))))
    assert [(r['group'], r['mean'], r['p']) for r in rows] == [
        ('A', 2.0, None),
        ('B', None, None),
        ('not known', None, None),
    ]
    assert rows[1]['reason'] == 'only 1 visit, needs 3'
    # Visits of a participant are no participants.
    rows = list(by_group(values, {'site': sites}, np.array(list('aaade'))))
    assert rows[0]['reason'] == 'no interval of one participant'


def test_page_stands_alone(truth, app, tmp_path):
    fill(truth)
    fill(app)
    page = write(score(app, truth), tmp_path / 'out').read_text()
    assert page.count('<script') == 1
    assert page.count('<svg') == 1 + 2 + 2  # one kind of mask, two curves, two measures
    assert not re.search(r'(src|href)="(?!#)', page)
    assert not re.search(r'<dc:date>|\b20[0-9]{2}-[01][0-9]-[0-3][0-9]', page)
    identifiers = re.findall(r'\bid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))
    for target in re.findall(r'(?:url\(|href=")#([^")]+)', page):
        assert target in identifiers


def test_hostile_text_is_escaped(truth, app, tmp_path):
    bad = '<img src=x onerror=alert(1)>$x_'
    for number in range(3):
        visit = f'sub-0{number}'
        for root in (truth, app):
            measures(root, visit, **{bad: number, f'fazekas_{bad}': number})
        (truth / visit / f'{visit}_desc-csvd_measures.json').write_text(
            json.dumps({bad: {'Description': '<script>alert(2)</script>', 'Units': '<b>"'}})
        )
    describe(app, GeneratedBy=[{'Name': '</title><script>alert(3)</script>'}])
    page = write(score(app, truth), tmp_path / 'out').read_text()
    assert page.count('<script') == 1
    assert '<img' not in page
    assert '<b>"' not in page
    assert '&lt;img src=x onerror=alert(1)&gt;' in page
    assert '\x1b' not in str(
        Scores('a', 'b', (), (), scalars=[{'measure': '\x1b[2J', 'n': 0, 'mean_truth': None}])
    )


def test_no_nan_anywhere(truth, app, tmp_path):
    for visit in VISITS:
        save(truth, visit, 'space-FLAIR_label-WMH_mask', boxes())
        save(app, visit, 'label-WMH_mask', boxes())
        measures(truth, visit, gm_ml=0, fazekas_pv=1)
        measures(app, visit, gm_ml=0, fazekas_pv=1)
    write(score(app, truth), tmp_path / 'out')
    for path in (tmp_path / 'out').iterdir():
        assert not re.search(r'\bnan\b|\binf\b', path.read_text(), re.IGNORECASE), path


def test_it_is_a_subcommand_and_help_is_light():
    assert 'score' in subcommands.NAMES
    code = (
        'import argparse, sys; from csvdprep.cli import score; '
        'score.configure(argparse.ArgumentParser()); '
        'print({"numpy", "nibabel", "scipy", "matplotlib"} & set(sys.modules))'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == 'set()'


def test_scoring_takes_matplotlib_only_for_the_page():
    code = (
        'import sys; import csvdprep.scoring; print({"matplotlib", "jinja2"} & set(sys.modules))'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == 'set()'


def test_files_of_the_user_are_not_written_over(truth, tmp_path):
    from csvdprep.cli.run import run
    from csvdprep.core.errors import UsageError

    out = tmp_path / 'mine'
    out.mkdir()
    (out / 'masks.tsv').write_text('participant_id\tpath\n')
    with pytest.raises(UsageError, match='another kind'):
        run(['score', str(tmp_path / 'app'), str(truth), '-o', str(out)])
    assert (out / 'masks.tsv').read_text() == 'participant_id\tpath\n'
    assert len(list(out.iterdir())) == 1


@pytest.mark.parametrize('order', ['LPS', 'SRP'])
def test_masks_stored_in_another_order_are_compared(truth, app, order):
    save(truth, 'sub-01', 'space-FLAIR_label-WMH_mask', boxes((2, 2, 2)))
    save(app, 'sub-01', 'label-WMH_mask', boxes((2, 2, 3)))
    wanted = one(score(app, truth).masks, label='WMH')
    path = next(app.rglob('*label-WMH_mask.nii.gz'))
    nib.save(turn(nib.load(path, mmap=False), order)[0], path)
    assert one(score(app, truth).masks, label='WMH') == wanted
