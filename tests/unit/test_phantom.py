"""The anatomical phantom: its volumes are exact, its contrast ordered, its bytes repeatable."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from csvdprep.phantom.dataset.demo import make_tiny
from csvdprep.phantom.dataset.presets import (
    FLAIR_2D,
    FLAIR_3D,
    MPRAGE,
    MPRAGE_7T,
    T2_2D,
    THICK,
    THIN,
)
from csvdprep.phantom.disease.hyperintensities import lesion_growth
from csvdprep.phantom.disease.person import with_infarct
from csvdprep.phantom.head.anatomy import make_anatomy, structure_names
from csvdprep.phantom.head.tissues import TISSUES
from csvdprep.phantom.scanner.scan import Scan, ghosts
from csvdprep.phantom.structural.images import before_middle_pulse
from csvdprep.scoring import score


@pytest.fixture(scope='module')
def person():
    return make_anatomy(3, spacing=3.0, ventricles_mm=2.0)


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    return make_tiny(
        tmp_path_factory.mktemp('tiny'), seed=7, visits=2, modalities=('T1w', 'FLAIR', 'T2w')
    )


def _digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob('*'))
        if path.is_file()
    }


def _read(path):
    return np.asanyarray(nib.load(path).dataobj)


def test_same_seed_same_bytes_other_seed_other_bytes(tiny, tmp_path):
    again = make_tiny(tmp_path / 'again', seed=7, visits=2, modalities=('T1w', 'FLAIR', 'T2w'))
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


def test_a_patient_has_lost_brain_where_told():
    def volumes(part, anatomy):
        left = (
            anatomy.to_template(nib.affines.apply_affine(anatomy.affine, np.argwhere(part > 0)))[
                :, 0
            ]
            < 0
        )
        share = part[part > 0]
        return np.array([share[left].sum(), share[~left].sum()]) * anatomy.voxel_ml

    healthy = make_anatomy(3, spacing=5.0)
    large = make_anatomy(3, spacing=5.0, ventricles_mm=(44, 20), reach_mm=10)
    sides = volumes(large.regions['ventricles'], large)
    assert sides[0] > 1.5 * sides[1] > 3 * volumes(healthy.regions['ventricles'], healthy)[1]
    assert large.volume_ml('wm') < healthy.volume_ml('wm')
    lobe = make_anatomy(3, spacing=5.0, lobar={'left temporal': 3})
    lost = volumes(healthy.fractions['gm'], healthy) - volumes(lobe.fractions['gm'], lobe)
    assert lost[0] > 8 * abs(lost[1])
    wide = make_anatomy(3, spacing=5.0, sulci=3)
    assert wide.volume_ml('csf') > 1.15 * healthy.volume_ml('csf')
    assert wide.volume_ml('ventricles') == pytest.approx(healthy.volume_ml('ventricles'), rel=0.1)
    points = np.array([[20, -10, 5], [-25, -40, 20.0]])
    assert np.abs(large.to_template(large.to_head(points)) - points).max() < 0.02


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


@pytest.mark.parametrize(
    'scan', [replace(THICK, gap=0), THIN, replace(THICK, gap=0, stored='SRP', rotation=(5, -4, 9))]
)
def test_sampling_keeps_volume(person, scan):
    wmh = lesion_growth(person, seed=1).fraction(12)
    seen = scan.sample(wmh, person.affine)
    shape, affine = scan.grid()
    assert seen.shape == shape
    volume = seen.sum(dtype=float) * abs(np.linalg.det(affine[:3, :3])) / 1000
    assert volume == pytest.approx(12, rel=0.01)


def test_sampling_puts_a_point_where_pose_and_affine_say():
    scan = Scan(
        voxel=(2, 1, 1.5),
        stored='PSR',
        rotation=(0, 0, 90),
        shift=(3, -2, 5),
        low=(-40, -40, -40),
        high=(40, 40, 40),
    )
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
    assert 0.75 * wm < gm < 0.86 * wm
    assert csf < wmh < 0.9 * wm


@pytest.mark.parametrize('t1', [400.0, 870.0, 1330.0, 4300.0])
def test_mprage_is_the_steady_state_of_its_pulses(t1):
    for pulses in (MPRAGE, MPRAGE_7T):
        wait = pulses.ti - pulses.pulses / 2 * pulses.spacing
        rest = pulses.tr - pulses.ti - pulses.pulses / 2 * pulses.spacing
        size, seen = 1.0, []

        def relax(size, time):
            return 1 - (1 - size) * np.exp(-time / t1)

        for _ in range(60):
            size = relax(-size, wait)
            for number in range(pulses.pulses):
                if number == pulses.pulses // 2:
                    seen.append(size)
                size = relax(size * np.cos(np.deg2rad(pulses.flip)), pulses.spacing)
            size = relax(size, rest)
        assert seen[-1] == pytest.approx(before_middle_pulse(pulses, t1), rel=1e-6)
    with pytest.raises(ValueError, match='do not fit'):
        before_middle_pulse(replace(MPRAGE, tr=1500), t1)


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
    with (truth / 'measures.tsv').open() as file:
        first, second = csv.DictReader(file, delimiter='\t')
    image = nib.load(truth / 'sub-01/ses-2/anat/sub-01_ses-2_space-FLAIR_label-WMH_mask.nii.gz')
    volume = np.asanyarray(image.dataobj).sum() * np.prod(image.header.get_zooms()) / 1000
    assert float(second['wmh_mask_ml']) == pytest.approx(volume, rel=1e-4)
    found = [float(row['wmh_total_ml']) for row in (first, second)]
    assert found == pytest.approx([10, 14], rel=1e-4)
    for row in (first, second):
        parts = sum(float(row[f'{name}_ml']) for name in ('gm', 'wm', 'csf'))
        assert float(row['icv_ml']) == pytest.approx(parts, rel=1e-4)
        zones = sum(float(row[f'wmh_{zone}_ml']) for zone in ('jv', 'pv', 'dw', 'jc'))
        assert zones == pytest.approx(float(row['wmh_total_ml']), rel=1e-4)
        sides = float(row['lv_left_ml']) + float(row['lv_right_ml'])
        assert sides == pytest.approx(float(row['lv_ml']), rel=1e-4)
    one = truth / 'sub-01/ses-2/sub-01_ses-2_desc-csvd_measures.tsv'
    assert next(iter(csv.DictReader(one.open(), delimiter='\t'))) == second


def test_lists_agree_with_the_masks(tiny):
    anat = tiny / 'derivatives/truth/sub-01/ses-1/anat'
    for stem, kind in (
        ('space-T1w_label-lacune', 'lacune'),
        ('space-T2w_label-PVS', 'PVS'),
        ('space-FLAIR_label-WMH', 'WMH'),
    ):
        mask = nib.load(anat / f'sub-01_ses-1_{stem}_mask.nii.gz')
        data = np.asanyarray(mask.dataobj)
        table = (anat / f'sub-01_ses-1_{stem}_lesions.tsv').open()
        rows = [row for row in csv.DictReader(table, delimiter='\t') if row['kind'] == kind]
        assert len(rows) >= 2
        marked = nib.affines.apply_affine(mask.affine, np.argwhere(data > 0))
        for row in rows:
            centre = [float(row[axis]) for axis in 'xyz']
            size = float(row['length_mm' if kind == 'PVS' else 'diameter_mm'])
            reach = size / 2 + np.linalg.norm(mask.header.get_zooms())
            if kind != 'WMH':
                assert np.linalg.norm(marked - centre, axis=1).min() < reach
        if kind == 'WMH':
            volume = sum(float(row['volume_mm3']) for row in rows)
            assert volume == pytest.approx(data.sum() * np.prod(mask.header.get_zooms()), rel=1e-3)


def test_zones_of_the_mask_lie_in_it(tiny):
    anat = tiny / 'derivatives/truth/sub-01/ses-1/anat'
    mask, zones = (
        _read(anat / f'sub-01_ses-1_space-FLAIR_{name}.nii.gz')
        for name in ('label-WMH_mask', 'desc-wmhzone_dseg')
    )
    assert (zones[mask == 0] == 0).all()
    assert (zones[mask > 0] > 0).mean() > 0.98


def test_truth_scores_perfectly_against_itself(tiny):
    truth = tiny / 'derivatives/truth'
    found = score(truth, truth)
    assert 'sub-01' in str(found)
    dice = [row['dice'] for row in found.masks if row['label'] == 'WMH']
    assert dice == [1, 1]


def test_points_go_to_the_head_and_back(person):
    points = np.random.default_rng(0).uniform((-60, -90, -40), (60, 60, 60), (50, 3))
    assert np.abs(person.to_template(person.to_head(points)) - points).max() < 0.02


def test_structures_lie_where_their_names_say(person):
    names = structure_names()
    for label in np.unique(person.structures)[1:]:
        centre = np.argwhere(person.structures == label).mean(axis=0)
        world = person.affine[:3, :3] @ centre + person.affine[:3, 3]
        x = person.to_template(world[None])[0, 0]
        side = names[int(label)].split()[0]
        assert side not in ('left', 'right') or (x < 0) == (side == 'left')


def test_an_old_infarct_is_fluid_and_gliosis_in_place_of_tissue(person):
    hurt = with_infarct(person, 3)
    lost = sum(person.volume_ml(t) - hurt.volume_ml(t) for t in ('gm', 'wm'))
    made = hurt.volume_ml('csf') - person.volume_ml('csf') + hurt.volume_ml('gliosis')
    assert lost == pytest.approx(made, rel=1e-3)
    assert lost > 2
    total = sum(hurt.fractions.values())
    assert total.max() < 1 + 1e-4


def test_t2w_shows_fluid_bright_and_lesions_between():
    csf, wm, gm, wmh = (T2_2D.signal(TISSUES[name]) for name in ('csf', 'wm', 'gm', 'wmh'))
    assert csf > 1.5 * wmh > 1.5 * gm > 1.5 * wm


@pytest.mark.parametrize('tesla', [1.5, 3, 7])
def test_t1_rises_and_t2s_falls_with_the_field_but_not_in_fluid(tesla):
    t1, _, t2s = TISSUES['wm'].relaxation(tesla)
    assert (t1 > 870) == (tesla == 7)
    assert (t2s < 53) == (tesla == 7)
    assert TISSUES['csf'].relaxation(tesla) == TISSUES['csf'].relaxation(3)


def test_other_fields_are_refused():
    with pytest.raises(ValueError, match='No relaxation times'):
        TISSUES['wm'].relaxation(4.7)


def test_a_ghost_is_a_shifted_copy_for_one_jerk_less_motion():
    rng = np.random.default_rng(1)
    image = np.zeros((4, 64, 4), np.float32)
    image[:, 20:44] = 1
    moved = ghosts(image, 1, 2.0, 1.0, rng)
    assert moved.sum(axis=1).std() < 1e-3  # nothing moves between lines across
    assert moved[:, 50:60].max() > 0.02
    assert np.abs(ghosts(image, 1, 0.0, 1.0, rng) - image).max() < 1e-4
