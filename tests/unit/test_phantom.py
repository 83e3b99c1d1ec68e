"""The anatomical phantom: its volumes are exact, its contrast ordered, its bytes repeatable."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from csvdprep.core.errors import MeasureError
from csvdprep.phantom.anatomy import make_anatomy
from csvdprep.phantom.demo import FLAIR_2D, FLAIR_3D, MPRAGE, THICK, THIN, make_tiny
from csvdprep.phantom.images import TISSUES, Scan
from csvdprep.phantom.lesions import lesion_growth
from csvdprep.phantom.score import score_demo


@pytest.fixture(scope='module')
def person():
    return make_anatomy(3, spacing=3.0, ventricles_mm=2.0)


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    return make_tiny(tmp_path_factory.mktemp('tiny'), seed=7, visits=2)


def _digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob('*'))
        if path.is_file()
    }


def _read(path):
    return np.asanyarray(nib.load(path).dataobj)


def test_same_seed_same_bytes_other_seed_other_bytes(tiny, tmp_path):
    again = make_tiny(tmp_path / 'again', seed=7, visits=2)
    assert _digests(again) == _digests(tiny)
    other = _digests(make_tiny(tmp_path / 'other', seed=8))
    image = 'sub-01/ses-1/anat/sub-01_ses-1_FLAIR.nii.gz'
    assert other[image] != _digests(tiny)[image]


def test_a_voxel_is_filled_at_most_once(person):
    total = sum(person.fractions.values())
    assert total.max() <= 1 + 1e-5
    assert min(part.min() for part in person.fractions.values()) >= 0


def test_ventricles_grow_as_asked():
    volumes = [
        make_anatomy(3, spacing=4.0, ventricles_mm=mm).volume_ml('ventricles') for mm in (0, 2, 4)
    ]
    assert volumes[0] < volumes[1] < volumes[2]
    assert volumes[2] > 1.4 * volumes[0]


@pytest.mark.parametrize('wanted', [0, 0.5, 2, 8, 25])
def test_lesions_have_the_volume_asked_for(person, wanted):
    growth = lesion_growth(person, seed=1)
    share = growth.fraction(wanted)
    assert share.sum(dtype=float) * growth.voxel_ml == pytest.approx(wanted, abs=1e-3)
    assert (share <= person.fractions['wm'] + 1e-6).all()
    assert (share <= person.regions['lesion_site'] + 1e-6).all()


def test_more_lesion_than_white_matter_is_refused(person):
    with pytest.raises(ValueError, match='no room'):
        lesion_growth(person, seed=1).fraction(2000)


@pytest.mark.parametrize('scan', [
    replace(THICK, gap=0), THIN, replace(THICK, gap=0, stored='SRP', rotation=(5, -4, 9)),
])  # fmt: skip
def test_sampling_keeps_volume(person, scan):
    wmh = lesion_growth(person, seed=1).fraction(12)
    seen = scan.sample(wmh, person.affine)
    shape, affine = scan.grid()
    assert seen.shape == shape
    volume = seen.sum(dtype=float) * abs(np.linalg.det(affine[:3, :3])) / 1000
    assert volume == pytest.approx(12, rel=0.01)


def test_sampling_puts_a_point_where_pose_and_affine_say():
    scan = Scan(sequence=MPRAGE, voxel=(2, 1, 1.5), stored='PSR', rotation=(0, 0, 90),
                shift=(3, -2, 5), low=(-40, -40, -40), high=(40, 40, 40))  # fmt: skip
    volume = np.zeros((61, 61, 61), np.float32)
    volume[40, 20, 33] = 1  # at (10, -10, 3) mm; a quarter turn about z: (10, 10, 3), then shifted
    affine = np.eye(4)
    affine[:3, 3] = -30
    seen = scan.sample(volume, affine)
    _, matrix = scan.grid()
    index = np.stack(np.nonzero(seen)), seen[seen > 0]
    centre = matrix[:3, :3] @ (index[0] * index[1]).sum(axis=1) / seen.sum() + matrix[:3, 3]
    assert nib.aff2axcodes(matrix) == ('P', 'S', 'R')
    assert np.abs(centre - [13, 8, 8]).max() < 1.0


def test_contrast_is_ordered():
    for pulses in (FLAIR_2D, FLAIR_3D):
        signals = [pulses.signal(TISSUES[name]) for name in ('csf', 'wm', 'gm', 'wmh')]
        assert signals == sorted(signals)
        assert signals[0] < 0.3 * signals[1]
        assert signals[3] > 1.3 * signals[1]
    csf, gm, wmh, wm = (MPRAGE.signal(TISSUES[name]) for name in ('csf', 'gm', 'wmh', 'wm'))
    assert csf < 0.5 * gm
    assert gm < 0.8 * wm
    assert csf < wmh < 0.9 * wm


def test_images_show_that_contrast(tiny):
    anat = tiny / 'sub-01/ses-1/anat'
    truth = tiny / 'derivatives/truth/sub-01/ses-1/anat'
    t1w = _read(anat / 'sub-01_ses-1_T1w.nii.gz')
    labels = _read(truth / 'sub-01_ses-1_space-T1w_dseg.nii.gz')
    csf, gm, wm = (np.median(t1w[labels == label]) for label in (1, 2, 3))
    assert csf < gm < wm
    flair = _read(anat / 'sub-01_ses-1_FLAIR.nii.gz')
    lesion = _read(truth / 'sub-01_ses-1_space-FLAIR_label-WMH_mask.nii.gz') > 0
    brain = _read(truth / 'sub-01_ses-1_space-FLAIR_desc-brain_mask.nii.gz') > 0
    assert np.median(flair[lesion]) > np.quantile(flair[brain], 0.9)


def test_header_and_sidecar_are_complete(tiny):
    path = tiny / 'sub-01/ses-1/anat/sub-01_ses-1_FLAIR.nii.gz'
    image = nib.load(path)
    assert image.header['qform_code'] == image.header['sform_code'] == 1
    assert np.allclose(image.get_qform(), image.get_sform(), atol=1e-4)
    assert image.get_data_dtype() == np.int16
    assert image.header.get_xyzt_units()[0] == 'mm'
    fields = json.loads(path.with_name('sub-01_ses-1_FLAIR.json').read_text())
    assert fields['InversionTime'] == 2.65
    assert fields['MagneticFieldStrength'] == 3.0


def test_truth_table_agrees_with_the_masks_and_lesions_grow(tiny):
    truth = tiny / 'derivatives/truth'
    with (truth / 'volumes.tsv').open() as file:
        first, second = csv.DictReader(file, delimiter='\t')
    image = nib.load(truth / 'sub-01/ses-2/anat/sub-01_ses-2_space-FLAIR_label-WMH_mask.nii.gz')
    volume = np.asanyarray(image.dataobj).sum() * np.prod(image.header.get_zooms()) / 1000
    assert float(second['wmh_mask_ml']) == pytest.approx(volume, abs=1e-3)
    assert (float(first['wmh_ml']), float(second['wmh_ml'])) == (10, 14)
    parts = sum(float(first[f'{name}_ml']) for name in ('gm', 'wm', 'csf'))
    assert float(first['icv_ml']) == pytest.approx(parts, abs=1e-3)


def test_truth_scores_perfectly_against_itself_and_a_missing_mask_is_told(tiny, tmp_path):
    truth = tiny / 'derivatives/truth'
    score = score_demo(truth, truth)
    assert [row['dice'] for row in score.rows] == [1, 1]
    assert score.slope == pytest.approx(1)
    assert 'sub-01_ses-2' in str(score)
    with pytest.raises(MeasureError, match='has 0 files'):
        score_demo(tmp_path, truth)
