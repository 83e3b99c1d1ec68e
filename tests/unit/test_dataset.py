"""The output folder is described as BIDS asks, and never somebody else's."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from builders import write_dataset, write_image

from csvdprep.bids import dataset
from csvdprep.bids.dataset import CODE_URL, check_space, check_writable, prepare_output
from csvdprep.core.errors import PreflightError, UsageError


@pytest.fixture
def raw(tmp_path):
    return write_dataset(tmp_path / 'raw é', files=['sub-01/anat/sub-01_T1w'])


def test_description(tmp_path, raw, monkeypatch):
    monkeypatch.setenv('APPTAINER_CONTAINER', '/secret/place/csvdprep.sif')
    description = json.loads((raw / 'dataset_description.json').read_text())
    (raw / 'dataset_description.json').write_text(
        json.dumps(description | {'DatasetDOI': 'doi:10.1/x'})
    )
    lst = tmp_path / 'lst'
    lst.mkdir()
    out = tmp_path / 'out'
    prepare_output(
        out, bids_dir=raw, derivatives={'lst': lst}, version='1.2', command=['csvdprep', 'a b']
    )
    found = json.loads((out / 'dataset_description.json').read_text())
    assert found['DatasetType'] == 'derivative'
    links = {'raw': '../raw%20%C3%A9', 'lst': '../lst'}
    assert found['DatasetLinks'] == {'csvdprep': CODE_URL, **links}
    assert found['SourceDatasets'][0] == {'URL': '../raw%20%C3%A9', 'DOI': 'doi:10.1/x'}
    maker = found['GeneratedBy'][0]
    assert (maker['Name'], maker['Version']) == ('csvdprep', '1.2')
    assert maker['Container'] == {'Type': 'apptainer', 'Tag': 'csvdprep.sif'}
    assert (out / 'logs' / 'command.txt').read_text() == "csvdprep 'a b'\n"
    assert str(tmp_path) not in (out / 'dataset_description.json').read_text()


def test_second_run_writes_nothing(tmp_path, raw):
    out = tmp_path / 'out'
    prepare_output(out, bids_dir=raw)
    (out / '.bidsignore').write_text('mine\n' + (out / '.bidsignore').read_text())
    before = {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in out.rglob('*')}
    prepare_output(out, bids_dir=raw)
    assert {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in out.rglob('*')} == before
    rules = (out / '.bidsignore').read_text().splitlines()
    assert rules[0] == 'mine'
    assert not any(rule.endswith('/') for rule in rules)


def test_unfetched_files_of_the_output_are_not_overwritten(tmp_path, raw):
    out = tmp_path / 'out'
    prepare_output(out, bids_dir=raw)
    for name in ('.bidsignore', 'dataset_description.json'):
        content = (out / name).read_bytes()
        (out / name).unlink()
        (out / name).symlink_to('.git/annex/objects/MD5E-s1--a')
        with pytest.raises(
            PreflightError if name[0] == '.' else UsageError,
            match=f'content of {name} is not here: fetch it',
        ):
            prepare_output(out, bids_dir=raw)
        assert (out / name).is_symlink()
        (out / name).unlink()
        (out / name).write_bytes(content)
    prepare_output(out, bids_dir=raw)


def test_places_that_are_refused(tmp_path, raw):
    own = tmp_path / 'own'
    own.mkdir()
    (tmp_path / 'link').symlink_to(raw)
    places = {
        raw: 'raw dataset itself',
        tmp_path / 'link': 'raw dataset itself',
        raw / 'sub-01' / 'out': 'inside the raw dataset',
        raw / 'out': 'inside the raw dataset',
        raw / 'derivatives': 'inside the raw dataset',
        own: 'also the input "own"',
        raw / 'dataset_description.json': 'inside the raw dataset',
    }
    for place, words in places.items():
        with pytest.raises(UsageError, match=words) as caught:
            prepare_output(place, bids_dir=raw, derivatives={'own': own})
        assert str(place) in str(caught.value)
        assert 'derivatives/csvdprep' in caught.value.remedy
    assert not (raw / 'out').exists()


def test_place_among_derivatives(raw):
    prepare_output(raw / 'derivatives' / 'csvdprep', bids_dir=raw)
    found = json.loads((raw / 'derivatives/csvdprep/dataset_description.json').read_text())
    assert found['DatasetLinks'] == {'csvdprep': CODE_URL, 'raw': '../..'}


def test_datasets_of_others(tmp_path, raw):
    other = write_dataset(tmp_path / 'other')
    with pytest.raises(UsageError, match='belongs to another dataset'):
        prepare_output(other, bids_dir=raw)
    plain = tmp_path / 'plain'
    write_image(plain / 'sub-01' / 'anat' / 'sub-01_desc-preproc_T1w.nii.gz')
    with pytest.raises(UsageError, match='contains images'):
        prepare_output(plain, bids_dir=raw)
    (tmp_path / 'file').touch()
    with pytest.raises(UsageError, match='is a file'):
        prepare_output(tmp_path / 'file', bids_dir=raw)


def test_damaged_description_is_mended(tmp_path, raw):
    out = tmp_path / 'out'
    prepare_output(out, bids_dir=raw)
    good = (out / 'dataset_description.json').read_text()
    (out / 'dataset_description.json').write_text('{')
    prepare_output(out, bids_dir=raw)
    assert (out / 'dataset_description.json').read_text() == good


def test_no_write_access(tmp_path, raw, monkeypatch):
    (tmp_path / 'file').touch()
    with pytest.raises(PreflightError, match='cannot be written') as caught:
        check_writable(tmp_path / 'file' / 'out')
    assert 'write permission' in caught.value.remedy

    def denied(*_):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(dataset, 'atomic_write', denied)
    with pytest.raises(PreflightError, match='Permission denied') as caught:
        prepare_output(tmp_path / 'out', bids_dir=raw)
    assert str(tmp_path / 'out') in str(caught.value)


def test_no_space(tmp_path, raw):
    with pytest.raises(PreflightError, match='MB are needed') as caught:
        prepare_output(tmp_path / 'out', bids_dir=raw, free_mb=1e12)
    assert str(tmp_path / 'out') in str(caught.value)
    assert 'Free some space' in caught.value.remedy
    assert not (tmp_path / 'out').exists()
    check_space(tmp_path / 'not' / 'yet' / 'there', 0)


def test_validator(tmp_path, raw):
    """The tree of the conventions passes the schema validator without an error."""
    program = shutil.which('bids-validator-deno', path=str(Path(sys.executable).parent))
    if not program:
        pytest.skip('bids-validator-deno is not installed')
    out = tmp_path / 'out'
    prepare_output(out, bids_dir=raw, command=['csvdprep'])
    visit = out / 'sub-01' / 'ses-1'
    images = {
        'desc-preproc_T1w': {'SkullStripped': False},
        'desc-brain_mask': {'Type': 'Brain'},
        'space-FLAIR_label-WMH_mask': {
            'Type': 'Lesion',
            'SpatialReference': 'bids:raw:sub-01/ses-1/anat/sub-01_ses-1_FLAIR.nii.gz',
        },
    }
    for name, facts in images.items():
        write_image(visit / 'anat' / f'sub-01_ses-1_{name}.nii.gz')
        text = json.dumps(facts | {'Description': 'x', 'Sources': ['bids:raw:sub-01/a.nii.gz']})
        (visit / 'anat' / f'sub-01_ses-1_{name}.json').write_text(text)
    for name in (
        'ses-1/anat/sub-01_ses-1_from-T1w_to-MNI152NLin2009aSym_mode-image_xfm.h5',
        'ses-1/anat/sub-01_ses-1_label-WMH_lesions.tsv',
        'figures/sub-01_desc-a_T1w.svg',
        'ses-1/sub-01_ses-1_desc-csvd_measures.tsv',
        'ses-1/log/lock',
        'ses-1/sub-01_ses-1_desc-csvd_measures.json',
        'ses-1/log/run/status.json',
        'ses-1/log/checkpoints/sub-01_ses-1_desc-lesionguess_mask.nii.gz',
        '../sub-01_ses-1.html',
        '../logs/CITATION.md',
    ):
        path = out / 'sub-01' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('x\n')
    run = subprocess.run(
        [program, '--format', 'json', str(out)], capture_output=True, text=True, timeout=120
    )
    issues = json.loads(run.stdout)['issues']['issues']
    assert [issue for issue in issues if issue.get('severity') == 'error'] == []


def test_a_description_that_nothing_shows_to_be_ours_is_left(tmp_path, raw):
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'dataset_description.json').write_text('{"Name": "mine",}')
    with pytest.raises(UsageError, match='unreadable'):
        prepare_output(out, bids_dir=raw)
    assert (out / 'dataset_description.json').read_text() == '{"Name": "mine",}'


def test_rules_of_the_user_stay_as_they_are(tmp_path, raw):
    out = tmp_path / 'out'
    out.mkdir()
    mine = 'pr\xe9cieux\r\nlogs'.encode('latin-1')
    (out / '.bidsignore').write_bytes(mine)
    for _ in range(2):
        prepare_output(out, bids_dir=raw)
        found = (out / '.bidsignore').read_bytes()
        assert found.startswith(mine + b'\n')
        assert found.split().count(b'logs') == 1
        assert b'group_*' in found.split()
