"""Visits half-way between one another, and change judged from both images."""

import json
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from builders import write_image
from scipy import ndimage as ndi
from two_visits import MM, SHAPE, affine, head, moved, points, run_rooms, write_visits

from csvdprep.bids.checkpoints import write_checkpoint
from csvdprep.core.plan import Visit, make_plan
from csvdprep.core.room import NoPlace
from csvdprep.core.settings import Settings
from csvdprep.graph.discover import discover
from csvdprep.graph.participants import participant_inputs
from csvdprep.graph.status import Status
from csvdprep.longitudinal.halfway import rooms_for
from csvdprep.longitudinal.halfway.decide import Chosen, resolve_flair
from csvdprep.longitudinal.halfway.science import find_halfway
from csvdprep.longitudinal.wmh_change.science import (
    GROWN,
    NEW,
    SHRUNK,
    STABLE,
    VANISHED,
    ChangeOptions,
    Tissue,
    detectable,
    equalise,
    judge,
    sampling_ml,
    volumes,
)

SWAPPED = np.array([0, STABLE, SHRUNK, GROWN, VANISHED, NEW], np.uint8)


def test_the_space_is_half_way_and_no_visit_is_the_first():
    truth = moved((6, -4, 3), (4, -5, 3))
    heads = [head(), head(truth, seed=1), head(moved((-3, 0, 5), (0, 4, 0)), seed=2)]
    images, brains = [h[0] for h in heads], [h[1] for h in heads]
    found = find_halfway(images[:2], [affine()] * 2, brains[:2])
    assert np.allclose(found.poses[0] @ found.poses[1], np.eye(4), atol=1e-5)
    again = find_halfway(images[1::-1], [affine()] * 2, brains[1::-1])
    assert np.array_equal(found.affine, again.affine)
    assert all(map(np.array_equal, found.poses, again.poses[::-1]))
    for poses in (found.poses, find_halfway(images, [affine()] * 3, brains).poses):
        off = poses[1] @ np.linalg.inv(poses[0]) - truth
        error = np.linalg.norm(points()[brains[0]] @ off[:3, :3].T + off[:3, 3], axis=1)
        assert error.mean() < 0.1 * MM


def pair(first, last):
    tissue = Tissue(
        first[1] & last[1],
        (first[1] & last[1]).astype(np.float32),
        np.zeros(SHAPE, np.float32),
        np.zeros(SHAPE, np.float32),
        np.full(3, MM),
    )
    lesions = [np.float32(first[2]), np.float32(last[2])]
    same, drift = equalise([first[0], last[0]], first[2] | last[2], tissue)
    return same, lesions, tissue, drift


def test_growth_and_shrinkage_are_found_and_change_places_when_time_does():
    first, last = head(lesion_mm=9, second_mm=12, seed=1), head(lesion_mm=13, second_mm=8, seed=2)
    same, lesions, tissue, _ = pair(first, last)
    found = judge(same, lesions, tissue)
    amounts = volumes(found.labels, MM**3 / 1000)
    for name, true in (('growth', last[2] & ~first[2]), ('shrink', first[2] & ~last[2])):
        assert amounts[name] == pytest.approx(true.sum() * MM**3 / 1000, rel=0.15)
    back = judge(same[::-1], lesions[::-1], tissue)
    assert np.array_equal(back.labels, SWAPPED[found.labels])
    assert np.array_equal(back.z, -found.z)


def test_a_new_and_a_vanished_lesion_are_told_from_growth():
    first, last = head(lesion_mm=12, second_mm=0, seed=1), head(lesion_mm=12, second_mm=9, seed=2)
    same, lesions, tissue, _ = pair(first, last)
    labels = judge(same, lesions, tissue).labels
    assert (labels == NEW).sum() > 0.8 * (last[2] & ~first[2]).sum()
    assert (labels == VANISHED).sum() == 0
    assert (judge(same[::-1], lesions[::-1], tissue).labels == VANISHED).sum() > 0


def test_masks_that_differ_where_the_images_do_not_are_no_change():
    first, last = head(lesion_mm=12, seed=1), head(lesion_mm=12, seed=2)
    same, lesions, tissue, drift = pair(first, last)
    lesions[1] = ndi.binary_dilation(lesions[1] > 0).astype(np.float32)
    found = judge(same, lesions, tissue)
    amounts = volumes(found.labels, MM**3 / 1000)
    subtracted = ((lesions[1] > 0) & ~(lesions[0] > 0)).sum() * MM**3 / 1000
    assert subtracted > 3
    assert amounts['growth'] < 0.1 * subtracted
    assert amounts['shrink'] < 0.1 * subtracted
    options = ChangeOptions()
    limits = detectable(same, lesions, found, drift, tissue, options, seeds=[1, 2], repeats=1)
    assert limits.pairs == 2
    assert sampling_ml(found, tissue) <= limits.growth_ml < 0.5 * subtracted
    assert limits.net_ml >= sampling_ml(found, tissue) > 0


def test_without_lesions_nothing_changed():
    first, last = head(lesion_mm=0, seed=1), head(lesion_mm=0, seed=2)
    same, lesions, tissue, _ = pair(first, last)
    assert not judge(same, lesions, tissue).labels.any()


def test_from_files_to_a_table_and_back_in_time(tmp_path, monkeypatch):
    matrix = moved((3, -2, 2), (2, -3, 1))
    heads = [head(lesion_mm=9, second_mm=12, seed=1), head(matrix, 14, 8, seed=2)]
    files = write_visits(tmp_path / 'visits', heads, matrix)
    forth = run_rooms(files, tmp_path / 'a', [('ses-1', 0.0), ('ses-2', 2.0)], monkeypatch)
    back = run_rooms(files, tmp_path / 'b', [('ses-2', 0.0), ('ses-1', 2.0)], monkeypatch)
    assert np.array_equal(back[0], SWAPPED[forth[0]])
    for name, other in (('growth', 'shrink'), ('shrink', 'growth'), ('change_mdc', 'change_mdc')):
        assert back[1][f'wmh_{name}_ml'] == forth[1][f'wmh_{other}_ml']
    grown = 4 / 3 * np.pi * (14**3 - 9**3) / 1000
    assert forth[1]['wmh_growth_ml'] == pytest.approx(grown, rel=0.15)
    assert forth[1]['wmh_growth_ml_per_year'] == pytest.approx(forth[1]['wmh_growth_ml'] / 2)
    assert forth[1]['wmh_change_beyond_mdc'] == 'both'
    whole = next(row for row in forth[2] if row['region'] == 'whole')
    lobe = next(row for row in forth[2] if row['region'] == 'left frontal lobe')
    assert float(lobe['growth_ml']) == pytest.approx(float(whole['growth_ml']), rel=1e-3)
    error = nib.load(forth[3].halfway_flair_error).get_fdata()
    assert np.quantile(error[error > 0], 0.95) < 0.5 * MM


def scan(**content):
    return SimpleNamespace(content=content)


def test_a_single_flair_is_told():
    scans = {
        'measures': scan(visits=[{'session': 'ses-1'}, {'session': 'ses-2'}]),
        'each_flair_preproc': scan(visits={'ses-2': '/x/sub-01_ses-2_desc-preproc_FLAIR.nii.gz'}),
    }
    with pytest.raises(NoPlace, match='needs two visits with FLAIR; only ses-2 has one'):
        resolve_flair(scans, None)


def test_rooms_of_participants_get_what_rooms_of_visits_left(tmp_path):
    """A FLAIR that is the reference stands for the FLAIR beside a T1w."""
    out, raw = tmp_path / 'out', tmp_path / 'raw'
    for session, room, names in (
        ('1', 'flair', {'flair_preproc': 'FLAIR', 'flair_mask': 'mask'}),
        ('2', 'brain', {'anat_preproc': 'FLAIR', 'brain_mask': 'mask'}),
        ('3', 'flair', {'flair_preproc': 'FLAIR', 'flair_mask': 'mask'}),
    ):
        visit = Visit('01', session)
        files = {}
        for name, suffix in names.items():
            path = out / visit.folder / 'anat' / f'{visit.label}_desc-{name[:4]}_{suffix}.nii.gz'
            files[name] = str(write_image(path, np.zeros((2, 2, 2), 'uint8')))
        checkpoints = out / visit.log / 'checkpoints'
        checkpoints.mkdir(parents=True)
        write_checkpoint(checkpoints, room, key='k', root=out, files=files)
        uri = f'bids:raw:{visit.folder}/anat/{visit.label}_FLAIR.nii.gz'
        done = 'failed' if session == '3' else 'done'
        Status(visit.label, 'r', 'ok', rooms={room: done}, inputs={'flair': uri}).write(out, visit)
        (out / visit.folder / f'{visit.label}_desc-csvdlong_measures.tsv').write_text('measure\n')
        sidecar = raw / visit.folder / 'anat' / f'{visit.label}_FLAIR.json'
        sidecar.parent.mkdir(parents=True)
        sidecar.write_text(json.dumps({'MagneticFieldStrength': 3, 'EchoTime': [1, 2]}))
    settings = Settings(bids_dir=raw, output_dir=out, work_dir=tmp_path / 'work')
    (found,) = participant_inputs(settings, ['01'], say=print)
    images = found.scans['each_flair_preproc'].content['visits']
    assert [name.rsplit('/', 1)[1] for name in images.values()] == [
        'sub-01_ses-1_desc-flai_FLAIR.nii.gz',
        'sub-01_ses-2_desc-anat_FLAIR.nii.gz',
    ]
    # What a room left that failed since is no result.
    assert [*images] == ['ses-1', 'ses-2']
    ways = found.scans['each_flair_to_anat'].content['visits']
    assert ways['ses-2'].endswith('identity.txt')
    told = found.scans['protocols'].content['visits']
    assert told['ses-1'] == {'flair': {'MagneticFieldStrength': 3}}
    plan = make_plan(found, discover(level='participant'))
    assert {'change', 'halfway_flair'} <= {step.room.name for step in plan.steps}
    assert plan.skipped['halfway_t1w'] == 'needs two visits with T1w; no visit has one'
    assert 'no visit has them' in plan.skipped['wmh_change']


def test_memory_of_the_registration_goes_with_the_visits():
    for room in rooms_for():
        workflows = [
            room.builder()(room=room, options=Chosen(count), context=None) for count in (2, 5, 20)
        ]
        asked = [wf.get_node(room.name).mem_gb for wf in workflows]
        assert asked == pytest.approx([3.0, 3.0, 8.2])


def test_the_thicker_slices_of_two_visits_count(tmp_path, monkeypatch):
    heads = [head(lesion_mm=9, seed=1), head(lesion_mm=11, seed=2)]
    files = write_visits(tmp_path, heads, None)
    for name in ('flair_preproc', 'flair_mask', 'wmh_mask'):
        path = files[name]['ses-2']
        image = nib.load(path)
        data = np.asanyarray(image.dataobj).astype(np.float32)
        pairs = data.reshape(*data.shape[:2], -1, 2).mean(axis=-1)
        thick = image.affine @ np.diag([1, 1, 2, 1.0])
        thick[:3, 3] += image.affine[:3, 2] / 2
        pairs = pairs if name == 'flair_preproc' else (pairs >= 0.5).astype(np.uint8)
        write_image(path, pairs, affine=thick)
    asked = []

    def seen(*args, slice_mm, **more):
        asked.append((slice_mm, args[4].voxel_mm.max()))
        return detectable(*args, slice_mm=slice_mm, **more)

    monkeypatch.setattr('csvdprep.longitudinal.wmh_change.interfaces.detectable', seen)
    visits = (('ses-1', 0.0), ('ses-2', 2.0))
    run_rooms(files, tmp_path / 'run', visits, monkeypatch)
    assert asked == [(pytest.approx(2 * MM), pytest.approx(MM))]
