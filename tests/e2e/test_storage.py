"""Whole visits, stored in several ways: all values have to be equal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from storage import copy_visit, differing, misplaced, stored, unlike, values

from csvdprep.cli.run import run
from csvdprep.imaging.images import load
from csvdprep.preprocessing.brain.interfaces import Brain

CLINICAL = Path(__file__).parents[3] / 'shared' / 'data' / 'clinical'
#: For each copy the order of the axes of each image, and what else of its storage.
PHANTOM = {
    '02': (
        {'T1w': 'LPI', 'FLAIR': 'PSR', 'dwi': 'SLA', 'epi': 'IPR'},
        {'scale': 275.0, 'dtype': np.float64, 'big_endian': True},
    ),
    '03': ({'T1w': 'PSR', 'FLAIR': 'ARI', 'dwi': 'PSR', 'epi': 'PSR'}, {'scale': 1e-5}),
}
REAL = {
    '02': ({'T1w': 'RAS', 'FLAIR': 'PSR'}, {'dtype': np.int32, 'big_endian': True}),
    '03': ({'T1w': 'SLA', 'FLAIR': 'IPR'}, {'scale': 1e-5}),
    '04': ({'T1w': 'ARI', 'FLAIR': 'RAI'}, {'scale': 275.0, 'dtype': np.float64}),
}

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(5000)]


def processed(folder: Path, copies, *options: str) -> Path:
    """Copy participant 01 in several ways, and run the app on all."""
    for label, (orders, how) in copies.items():
        copy_visit(folder / 'raw', label, orders, how)
    assert (
        run(
            [
                str(folder / 'raw'),
                str(folder / 'out'),
                'participant',
                '-w',
                str(folder / 'work'),
                '--nprocs',
                '2',
                *options,
            ]
        )
        == 0
    )
    return folder


@pytest.fixture(scope='module')
def phantom(tmp_path_factory):
    folder = tmp_path_factory.mktemp('phantom')
    assert (
        run(
            [
                'phantom',
                str(folder / 'raw'),
                '--preset',
                'tiny',
                '--participants',
                '1',
                '--wmh-ml',
                '15',
                '--modalities',
                'T1w',
                'FLAIR',
                'dwi',
            ]
        )
        == 0
    )
    return processed(folder, PHANTOM, '--sloppy')


@pytest.fixture(scope='module')
def clinical(tmp_path_factory):
    folder = tmp_path_factory.mktemp('clinical')
    shutil.copytree(CLINICAL / 'sub-01' / 'ses-1', folder / 'raw' / 'sub-01' / 'ses-1')
    (folder / 'raw' / 'dataset_description.json').write_text(
        json.dumps({'Name': 'storage', 'BIDSVersion': '1.10.0'})
    )
    return processed(folder, REAL)


@pytest.mark.parametrize('label', PHANTOM)
def test_no_measure_of_the_phantom_depends_on_how_it_is_stored(phantom, label):
    first, other = (phantom / 'out' / f'sub-{name}' for name in ('01', label))
    assert values(first)['pen_slope_md'][0] != 'n/a'
    assert differing(first, other) == {}
    assert unlike(first, other) == []
    assert misplaced(other, phantom / 'raw' / f'sub-{label}') == []


@pytest.mark.skipif(not CLINICAL.is_dir(), reason='needs ../shared/data/clinical')
@pytest.mark.parametrize('label', REAL)
def test_no_measure_of_a_real_visit_depends_on_how_it_is_stored(clinical, label):
    first, other = (clinical / 'out' / f'sub-{name}' for name in ('01', label))
    assert float(values(first)['wmh_total_ml'][0]) > 0
    assert differing(first, other) == {}
    assert unlike(first, other) == []
    assert misplaced(other, clinical / 'raw' / f'sub-{label}') == []


def test_a_brain_mask_of_the_flair_of_the_phantom_goes_by_its_transform(phantom, tmp_path):
    truth = phantom / 'raw' / 'derivatives' / 'truth' / 'sub-01' / 'ses-1' / 'anat'
    anat = phantom / 'raw' / 'sub-01' / 'ses-1' / 'anat'
    given = tmp_path / 'mask.nii.gz'
    given.write_bytes((truth / 'sub-01_ses-1_space-FLAIR_desc-brain_mask.nii.gz').read_bytes())
    stored(given, 'PIR', dtype=np.uint8)
    external = {
        'mask': str(given),
        'image': str(anat / 'sub-01_ses-1_FLAIR.nii.gz'),
        'on': 'flair',
        'title': 'FLAIR',
    }
    found = Brain(
        anat=str(anat / 'sub-01_ses-1_T1w.nii.gz'),
        brain_mask_external=external,
        hub='T1w',
        spline_mm=200.0,
    ).run(cwd=str(tmp_path))
    mask = load(found.outputs.brain_mask).get_fdata() > 0
    known = load(truth / 'sub-01_ses-1_space-T1w_desc-brain_mask.nii.gz').get_fdata() > 0
    assert 2 * (mask & known).sum() / (mask.sum() + known.sum()) > 0.97
    assert mask.sum() == pytest.approx(known.sum(), rel=0.03)
