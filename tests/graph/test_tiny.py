"""The whole application on the tiny phantom: once, and then whatever must hold of it."""

import filecmp
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from builders import app
from secrets_of_people import told

from csvdprep.imaging.transforms import read_linear

EXPECTED = """
anat/sub-01_ses-1_desc-brain_mask.nii.gz
anat/sub-01_ses-1_desc-filled_T1w.nii.gz
anat/sub-01_ses-1_desc-preproc_FLAIR.nii.gz
anat/sub-01_ses-1_desc-preproc_T1w.nii.gz
anat/sub-01_ses-1_desc-ventricles_dseg.nii.gz
anat/sub-01_ses-1_desc-ventricles_dseg.tsv
anat/sub-01_ses-1_dseg.nii.gz
anat/sub-01_ses-1_dseg.tsv
anat/sub-01_ses-1_from-FLAIR_to-T1w_mode-image_xfm.txt
anat/sub-01_ses-1_from-MNI152NLin2009aSym_to-T1w_mode-image_xfm.h5
anat/sub-01_ses-1_from-T1w_to-MNI152NLin2009aSym_mode-image_xfm.h5
anat/sub-01_ses-1_label-CSF_probseg.nii.gz
anat/sub-01_ses-1_label-GM_probseg.nii.gz
anat/sub-01_ses-1_label-WM_probseg.nii.gz
anat/sub-01_ses-1_space-FLAIR_desc-brain_mask.nii.gz
anat/sub-01_ses-1_space-FLAIR_desc-wmhzone_dseg.nii.gz
anat/sub-01_ses-1_space-FLAIR_desc-wmhzone_dseg.tsv
anat/sub-01_ses-1_space-FLAIR_desc-wmhlesions_dseg.nii.gz
anat/sub-01_ses-1_space-FLAIR_desc-subcortical_dseg.nii.gz
anat/sub-01_ses-1_space-FLAIR_desc-subcortical_dseg.tsv
anat/sub-01_ses-1_label-WMH_bullseye.tsv
anat/sub-01_ses-1_label-WMH_lesions.tsv
anat/sub-01_ses-1_desc-cavities_dseg.nii.gz
anat/sub-01_ses-1_label-PVS_lesions.tsv
anat/sub-01_ses-1_label-PVS_mask.nii.gz
anat/sub-01_ses-1_label-lacune_lesions.tsv
anat/sub-01_ses-1_label-lacune_mask.nii.gz
anat/sub-01_ses-1_label-SVD_desc-points_scores.tsv
anat/sub-01_ses-1_label-SVD_desc-probability_scores.tsv
anat/sub-01_ses-1_desc-ratings_scores.tsv
anat/sub-01_ses-1_space-FLAIR_label-WMH_mask.nii.gz
anat/sub-01_ses-1_space-FLAIR_label-WMH_probseg.nii.gz
anat/sub-01_ses-1_atlas-csvdprep_desc-lobes_dseg.nii.gz
anat/sub-01_ses-1_atlas-csvdprep_desc-lobes_dseg.tsv
anat/sub-01_ses-1_atlas-csvdprep_desc-structures_dseg.nii.gz
anat/sub-01_ses-1_atlas-csvdprep_desc-structures_dseg.tsv
anat/sub-01_ses-1_atlas-csvdprep_desc-territories_dseg.nii.gz
anat/sub-01_ses-1_atlas-csvdprep_desc-territories_dseg.tsv
anat/sub-01_ses-1_space-MNI152NLin2009aSym_res-02_desc-brain_mask.nii.gz
anat/sub-01_ses-1_space-MNI152NLin2009aSym_res-02_desc-preproc_FLAIR.nii.gz
anat/sub-01_ses-1_space-MNI152NLin2009aSym_res-02_desc-preproc_T1w.nii.gz
anat/sub-01_ses-1_space-MNI152NLin2009aSym_res-02_desc-wmhzone_dseg.nii.gz
anat/sub-01_ses-1_space-MNI152NLin2009aSym_res-02_desc-wmhzone_dseg.tsv
anat/sub-01_ses-1_space-MNI152NLin2009aSym_res-02_label-PVS_mask.nii.gz
anat/sub-01_ses-1_space-MNI152NLin2009aSym_res-02_label-WMH_mask.nii.gz
anat/sub-01_ses-1_space-MNI152NLin2009aSym_res-02_label-lacune_mask.nii.gz
anat/sub-01_ses-1_space-MNI152NLin2009aSym_res-02_label-WMH_probseg.nii.gz
figures/sub-01_ses-1_desc-brain_T1w.svg
figures/sub-01_ses-1_desc-coreg_FLAIR.svg
figures/sub-01_ses-1_desc-lacunes_T1w.svg
figures/sub-01_ses-1_desc-lesionfilling_T1w.svg
figures/sub-01_ses-1_desc-pvs_T1w.svg
figures/sub-01_ses-1_desc-lesions_FLAIR.svg
figures/sub-01_ses-1_desc-registration_T1w.svg
figures/sub-01_ses-1_desc-tissues_T1w.svg
figures/sub-01_ses-1_desc-wmh_FLAIR.svg
figures/sub-01_ses-1_desc-wmhlevels_FLAIR.svg
figures/sub-01_ses-1_desc-zones_FLAIR.svg
sub-01_ses-1_desc-csvd_measures.tsv
sub-01_ses-1_desc-csvdlong_measures.tsv
""".split()


@pytest.fixture(scope='module')
def visit(tiny):
    return tiny / 'out' / 'sub-01' / 'ses-1'


def measures(visit):
    columns, values = (visit / 'sub-01_ses-1_desc-csvd_measures.tsv').read_text().splitlines()
    return dict(zip(columns.split('\t'), values.split('\t'), strict=True))


def long_value(visit, measure):
    lines = (visit / 'sub-01_ses-1_desc-csvdlong_measures.tsv').read_text().splitlines()
    rows = [line.split('\t') for line in lines]
    name, value = rows[0].index('measure'), rows[0].index('value')
    return next(float(row[value]) for row in rows if row[name] == measure)


def test_all_outputs_are_there_and_no_others(visit):
    made = {p.relative_to(visit).as_posix() for p in visit.rglob('*') if p.is_file()}
    plain = {name for name in made if not name.startswith('log/') and not name.endswith('.json')}
    assert plain == set(EXPECTED)


def test_every_derivative_has_a_sidecar(visit):
    for path in (visit / 'anat').glob('*.nii.gz'):
        sidecar = json.loads(path.with_name(path.name.split('.')[0] + '.json').read_text())
        assert sidecar['Description']
        shipped = [uri for uri in sidecar['Sources'] if uri.startswith('bids:csvdprep:data/')]
        raw = {*sidecar['Sources']} - {*shipped}
        assert raw
        assert all(uri.startswith('bids:raw:sub-01/') for uri in raw)
        assert sorted(sidecar['SourceChecksums']) == shipped


def test_nothing_tells_who_was_scanned_where_and_when(tiny):
    # The images, sidecars and tables that came are full of it.
    assert len(told(tiny / 'raw')) > 40
    assert told(tiny / 'out') == []


def test_measures_agree_with_the_truth(tiny, visit):
    found = measures(visit)
    truth = tiny / 'raw' / 'derivatives' / 'truth'
    columns, values = (truth / 'measures.tsv').read_text().splitlines()
    known = dict(zip(columns.split('\t'), values.split('\t'), strict=True))
    for name, share in (
        ('icv_ml', 0.04),
        ('gm_ml', 0.08),
        ('wm_ml', 0.1),
        ('csf_ml', 0.15),
        ('lv_ml', 0.1),
    ):
        assert float(found[name]) == pytest.approx(float(known[name]), rel=share), name
    assert float(found['bpf']) == pytest.approx(float(known['bpf']), abs=0.02)
    assert found['qc_reference'] == 'T1w'
    # The phantom's lesions spare the 3 mm below the cortex.
    assert long_value(visit, 'qc_wmh_cortex_pct') < 8


def test_lesions_agree_with_the_truth(tiny, visit):
    from csvdprep.scoring import score

    found = score(tiny / 'out', tiny / 'raw' / 'derivatives' / 'truth')
    assert [row['dice'] > 0.66 for row in found.masks if row['label'] == 'WMH'] == [True]
    zones = measures(visit)
    parts = [float(zones[f'wmh_{zone}_ml']) for zone in ('jv', 'pv', 'dw', 'jc')]
    mask = nib.load(visit / 'anat' / 'sub-01_ses-1_space-FLAIR_label-WMH_mask.nii.gz')
    volume = np.asanyarray(mask.dataobj).sum() * np.prod(mask.header.get_zooms()) / 1000
    assert sum(parts) == pytest.approx(volume, rel=1e-4)
    assert float(zones['wmh_total_ml']) == pytest.approx(volume, rel=1e-4)


@pytest.mark.filterwarnings('ignore:Reference space not set')  # points need none
def test_output_spaces_hold_the_brain_where_the_template_has_it(visit):
    from csvdprep.resources import template_file

    place = 'sub-01_ses-1_space-MNI152NLin2009aSym_res-02'
    brain = nib.load(visit / 'anat' / f'{place}_desc-brain_mask.nii.gz')
    template = nib.load(template_file('mask', resolution=2))
    assert np.allclose(brain.affine, template.affine)
    here, there = (np.asanyarray(image.dataobj) > 0 for image in (brain, template))
    assert 2 * (here & there).sum() / (here.sum() + there.sum()) > 0.93
    lesions = np.asanyarray(nib.load(visit / 'anat' / f'{place}_label-WMH_mask.nii.gz').dataobj)
    assert lesions.any()
    assert (here | (lesions == 0)).mean() > 0.9999
    # Where nitransforms takes the middle of the lesions, the middle of those resampled must be.
    from nitransforms.manip import TransformChain

    native = nib.load(visit / 'anat' / 'sub-01_ses-1_space-FLAIR_label-WMH_mask.nii.gz')
    stem = visit / 'anat' / 'sub-01_ses-1_from-'
    points = nib.affines.apply_affine(native.affine, np.argwhere(np.asarray(native.dataobj)))
    to_flair = read_linear(f'{stem}FLAIR_to-T1w_mode-image_xfm.txt')
    chain = TransformChain.from_filename(
        f'{stem}MNI152NLin2009aSym_to-T1w_mode-image_xfm.h5', fmt='itk'
    )
    expected = chain.map(nib.affines.apply_affine(np.linalg.inv(to_flair), points)).mean(axis=0)
    middle = nib.affines.apply_affine(brain.affine, np.argwhere(lesions)).mean(axis=0)
    assert np.linalg.norm(middle - expected) < 3


def test_transforms_are_read_by_other_tools(visit):
    from nitransforms.manip import TransformChain

    chain = TransformChain.from_filename(
        str(visit / 'anat' / 'sub-01_ses-1_from-T1w_to-MNI152NLin2009aSym_mode-image_xfm.h5'),
        fmt='itk',
    )
    moved = chain.map(np.array([[0.0, -20.0, 10.0]]))
    assert np.isfinite(moved).all()


def test_a_second_run_computes_nothing_also_elsewhere(tiny, tmp_path, capsys):
    before = {p: p.stat().st_mtime_ns for p in (tiny / 'out').rglob('*') if p.is_file()}
    assert app(tiny / 'raw', tiny / 'out', tiny / 'work') == 0
    assert '0 steps computed' in capsys.readouterr().err
    after = {p: p.stat().st_mtime_ns for p in (tiny / 'out').rglob('*') if p.is_file()}
    changed = {p.name for p in before if before[p] != after[p]}
    assert changed <= {'command.txt', 'lock'}
    for name in ('raw', 'out'):
        shutil.copytree(tiny / name, tmp_path / 'moved' / name)
    moved = tmp_path / 'moved'
    assert app(moved / 'raw', moved / 'out', moved / 'work') == 0
    assert '0 steps computed' in capsys.readouterr().err


def test_a_damaged_result_is_computed_again(tiny, tmp_path, capsys):
    out = tmp_path / 'out'
    shutil.copytree(tiny / 'out', out)
    lesions = next(out.rglob('*label-WMH_lesions.tsv'))
    lesions.write_text('damaged')
    assert app(tiny / 'raw', out, tmp_path / 'work') == 0
    assert filecmp.cmp(lesions, next((tiny / 'out').rglob('*WMH_lesions.tsv')), shallow=False)
    assert ' 0 steps' not in capsys.readouterr().err


def test_a_figure_that_is_missing_is_drawn_again(tiny, tmp_path):
    out = tmp_path / 'out'
    shutil.copytree(tiny / 'out', out)
    figure = next(out.rglob('*desc-tissues_T1w.svg'))
    figure.unlink()
    assert app(tiny / 'raw', out, tmp_path / 'work') == 0
    assert filecmp.cmp(figure, next((tiny / 'out').rglob(figure.name)), shallow=False)


def test_the_validator_finds_no_error(tiny):
    import bids_validator_deno  # noqa: F401

    command = Path(sys.executable).with_name('bids-validator-deno')
    for folder in (tiny / 'raw', tiny / 'out'):
        done = subprocess.run(
            [command, str(folder), '--format', 'json'], capture_output=True, text=True, check=False
        )
        issues = json.loads(done.stdout)['issues']['issues']
        assert [i for i in issues if i['severity'] == 'error'] == []


def test_external_masks_take_the_place_of_ours(tiny, tmp_path):
    mask = next((tiny / 'raw' / 'derivatives' / 'truth').rglob('*label-WMH_mask.nii.gz'))
    other = tmp_path / 'other' / 'sub-01' / 'ses-1' / 'anat'
    other.mkdir(parents=True)
    shutil.copy(mask, other)
    ours = tiny / 'out' / 'sub-01' / 'ses-1' / 'anat'
    given = [*ours.glob('*_ses-1_dseg.*'), *ours.glob('*MNI152NLin2009aSym*_xfm.h5')]
    assert len(given) == 5
    for path in given:
        shutil.copy(path, other)
    (tmp_path / 'other' / 'dataset_description.json').write_text(
        json.dumps(
            {
                'Name': 'other',
                'BIDSVersion': '1.10.0',
                'DatasetType': 'derivative',
                'GeneratedBy': [{'Name': 'hand'}],
            }
        )
    )
    out = tmp_path / 'out'
    shutil.copytree(tiny / 'out', out)
    assert app(tiny / 'raw', out, tmp_path / 'work', '-d', f'hand={tmp_path / "other"}') == 0
    found = measures(out / 'sub-01' / 'ses-1')
    for path in given:
        if path.suffix == '.h5':
            assert filecmp.cmp(path, out / 'sub-01' / 'ses-1' / 'anat' / path.name, shallow=False)
    assert found['qc_cnr'] == 'n/a'
    grey = next((out / 'sub-01' / 'ses-1' / 'anat').glob('*_ses-1_label-GM_probseg.nii.gz'))
    classes = np.asanyarray(nib.load(next(ours.glob('*_ses-1_dseg.nii.gz'))).dataobj)
    share = np.asanyarray(nib.load(grey).dataobj)
    assert set(np.unique(share)) == {0, 1}
    # But for preliminary hyperintensities, which count as white matter.
    assert ((share > 0) & (classes != 2)).sum() == 0
    assert (share > 0).sum() > 0.97 * (classes == 2).sum()
    assert found['wmh_origin'] == 'external'
    image = nib.load(mask)
    volume = np.asanyarray(image.dataobj).sum() * np.prod(image.header.get_zooms()) / 1000
    # The total is that of white matter; deep grey and what is below the tentorium are apart.
    parts = [
        long_value(out / 'sub-01' / 'ses-1', f'wmh_{part}_ml')
        for part in ('total', 'deepgrey', 'infratentorial')
    ]
    assert sum(parts) == pytest.approx(volume, rel=1e-4)
    assert parts[0] > 0.9 * volume
    assert found['wmh_volume_cv'] == 'n/a'


def test_no_traceback_without_write_access(tiny, tmp_path):
    if os.geteuid() == 0:
        blocked = tmp_path / 'file'
        blocked.write_text('in the way')
        with pytest.raises(Exception, match=r'(?i)writ|folder|exist|director'):
            app(tiny / 'raw', blocked / 'out', tmp_path / 'work')
        return
    blocked = tmp_path / 'blocked'
    blocked.mkdir(mode=0o500)
    with pytest.raises(Exception, match=r'(?i)writ'):
        app(tiny / 'raw', blocked / 'out', tmp_path / 'work')
