"""The query finds what a visit has, says what it chose, and refuses nonsense in plain words."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from builders import head, write_dataset, write_image

from csvdprep.bids import query
from csvdprep.bids.filters import read_filters
from csvdprep.bids.query import collect_visits
from csvdprep.bids.raw import Ignored
from csvdprep.core.errors import PreflightError, UsageError
from csvdprep.core.settings import Settings
from csvdprep.graph.discover import declared
from csvdprep.imaging.inspect import inspect_image

CLINICAL = Path(__file__).parents[3] / 'shared' / 'data' / 'clinical'


def collect(root, *, warnings=None, **asked):
    settings = Settings(bids_dir=Path(root), **{'output_dir': Path('out')} | asked)
    said = [] if warnings is None else warnings
    return collect_visits(settings, declared(), inspect=inspect_image, warn=said.append)


def only(root, **asked):
    (visit,) = collect(root, **asked)
    return visit


def names(given):
    return {kind: Path(scan.path).name for kind, scan in given.scans.items()}


# ---- visits


def test_sessions_are_never_merged(tmp_path):
    root = write_dataset(
        tmp_path,
        [
            'sub-01/ses-1/anat/sub-01_ses-1_T1w',
            'sub-01/ses-2/anat/sub-01_ses-2_FLAIR',
            'sub-02/anat/sub-02_T1w',
            'sub-02/anat/sub-02_FLAIR',
            'sub-03/ses-1/dwi/sub-03_ses-1_dwi',
        ],
    )
    found = collect(root)
    assert [(given.visit.label, set(given.scans)) for given in found] == [
        ('sub-01_ses-1', {'t1w'}),
        ('sub-01_ses-2', {'flair'}),
        ('sub-02', {'t1w', 'flair'}),
        ('sub-03_ses-1', set()),
    ]
    assert found[-1].notes == (
        (
            'sub-03_ses-1 has no usable T1w, FLAIR, T2*w or SWI, T2w, TOF angiogram, DWI, trace '
            'with ADC, ASL, DCE-MRI or DSC-MRI.'
        ),
    )


def test_images_beside_sessions_are_a_visit_of_their_own(tmp_path):
    root = write_dataset(
        tmp_path, ['sub-01/ses-1/anat/sub-01_ses-1_T1w', 'sub-01/anat/sub-01_FLAIR']
    )
    assert [(v.visit.label, set(v.scans)) for v in collect(root)] == [
        ('sub-01', {'flair'}),
        ('sub-01_ses-1', {'t1w'}),
    ]


def test_scan(tmp_path):
    root = write_dataset(tmp_path / 'with space é', ['sub-01/anat/sub-01_acq-3D_run-1_T1w'])
    (root / 'T1w.json').write_text('{"EchoTime": 1, "MagneticFieldStrength": 3}')
    (root / 'acq-2D_T1w.json').write_text('{"FlipAngle": 5}')
    (root / 'sub-01' / 'sub-01_acq-3D_T1w.json').write_text('{"EchoTime": 2}')
    scan = only(root).scans['t1w']
    assert scan.path == str(root / 'sub-01/anat/sub-01_acq-3D_run-1_T1w.nii.gz')
    assert scan.uri == 'bids:raw:sub-01/anat/sub-01_acq-3D_run-1_T1w.nii.gz'
    assert scan.entities == {'acq': '3D', 'run': '1'}
    assert scan.metadata == {'EchoTime': 2, 'MagneticFieldStrength': 3}
    assert len(scan.digest) == 64


def test_damaged_sidecar_costs_metadata_only(tmp_path):
    root = write_dataset(tmp_path, ['sub-01/anat/sub-01_T1w'])
    (root / 'sub-01/anat/sub-01_T1w.json').write_text('{"EchoTime": ')
    given = only(root)
    assert given.scans['t1w'].metadata == {}
    assert 'sub-01_T1w.json' in given.notes[0]
    assert 'not valid JSON' in given.notes[0]


@pytest.mark.parametrize('given', [('02',), ('sub-02',), ('02', 'sub-02', '02')])
def test_participant_label(tmp_path, given):
    root = write_dataset(tmp_path, [f'sub-{n}/anat/sub-{n}_T1w' for n in ('01', '02', '021')])
    assert [v.visit.subject for v in collect(root, participant_label=given)] == ['02']


def test_session_label(tmp_path):
    root = write_dataset(tmp_path, [f'sub-01/ses-{n}/anat/sub-01_ses-{n}_T1w' for n in '12'])
    assert [v.visit.session for v in collect(root, session_label=('ses-2',))] == ['2']
    with pytest.raises(UsageError, match='no session 3') as caught:
        collect(root, session_label=('3',))
    assert 'Available: 1, 2' in caught.value.remedy


@pytest.mark.parametrize('label', ['1', '../01', 'é', ''])
def test_unknown_participant(tmp_path, label):
    root = write_dataset(tmp_path, ['sub-01/anat/sub-01_T1w', 'sub-02/anat/sub-02_T1w'])
    with pytest.raises(UsageError, match='no participant') as caught:
        collect(root, participant_label=('02', label))
    assert f'no participant {label}.' in str(caught.value)
    assert 'Available: 01, 02' in str(caught.value)
    assert caught.value.field == '--participant-label'


def test_only_the_asked_folders_are_read(tmp_path, monkeypatch):
    root = write_dataset(tmp_path, [f'sub-{n}/anat/sub-{n}_T1w' for n in ('01', '02', '03')])
    entered = []
    scandir = os.scandir
    monkeypatch.setattr(os, 'scandir', lambda p='.': entered.append(str(p)) or scandir(p))
    collect(root, participant_label=('02',))
    below = {path for path in entered if 'sub-' in path}
    assert any('sub-02' in path for path in below)
    assert not any('sub-01' in path or 'sub-03' in path for path in below)


# ---- choice


def test_highest_resolution_then_first(tmp_path):
    root = write_dataset(tmp_path, ['sub-01/anat/sub-01_run-10_FLAIR'])
    anat = root / 'sub-01' / 'anat'
    write_image(anat / 'sub-01_run-2_FLAIR.nii.gz')
    write_image(anat / 'sub-01_acq-coarse_FLAIR.nii.gz', head((40, 48, 32)), zooms=(4.5, 4.5, 5.6))
    given = only(root)
    assert names(given) == {'flair': 'sub-01_run-2_FLAIR.nii.gz'}
    assert len(given.notes) == 1
    assert 'sub-01_run-2_FLAIR.nii.gz (4.5 x 4.5 x 4.5 mm) is used instead of' in given.notes[0]
    assert 'sub-01_acq-coarse_FLAIR.nii.gz (4.5 x 4.5 x 5.6 mm)' in given.notes[0]
    assert 'first by name' in given.notes[0]
    write_image(anat / 'sub-01_run-99_FLAIR.nii.gz', head((50, 60, 50)), zooms=(4, 4, 4))
    given = only(root)
    assert names(given) == {'flair': 'sub-01_run-99_FLAIR.nii.gz'}
    assert given.scans['flair'].entities == {'run': '99'}


def test_isotropic_before_thick_slices(tmp_path):
    root = write_dataset(
        tmp_path, ['sub-01/anat/sub-01_acq-2D_FLAIR'], data=head((90, 110, 20)), zooms=(2, 2, 6)
    )
    write_image(
        root / 'sub-01/anat/sub-01_acq-3D_FLAIR.nii.gz', head((60, 70, 60)), zooms=(3, 3, 3)
    )
    given = only(root)
    assert names(given) == {'flair': 'sub-01_acq-3D_FLAIR.nii.gz'}
    assert 'thinnest slices' in given.notes[0]


def test_contrast_agent_only_without_alternative(tmp_path):
    root = write_dataset(
        tmp_path, ['sub-01/anat/sub-01_ce-gd_T1w'], data=head((50, 60, 50)), zooms=(3, 3, 3)
    )
    given = only(root)
    assert given.scans['t1w'].entities == {'ce': 'gd'}
    assert 'contrast agent' in given.notes[0]
    write_image(root / 'sub-01/anat/sub-01_T1w.nii.gz')
    given = only(root)
    assert names(given) == {'t1w': 'sub-01_T1w.nii.gz'}
    assert 'without contrast agent' in given.notes[0]


def test_refused_image_gives_way_to_the_next(tmp_path):
    root = write_dataset(
        tmp_path,
        [
            'sub-01/anat/sub-01_run-1_T1w',
            'sub-01/anat/sub-01_run-2_T1w',
            'sub-01/anat/sub-01_FLAIR',
        ],
    )
    write_image(root / 'sub-01/anat/sub-01_run-1_T1w.nii.gz', np.stack([head()] * 2, axis=-1))
    (root / 'sub-01/anat/sub-01_FLAIR.nii.gz').write_bytes(b'')
    given = only(root)
    assert names(given) == {'t1w': 'sub-01_run-2_T1w.nii.gz'}
    refused = dict(given.refused)
    assert '2 volumes' in refused['sub-01/anat/sub-01_run-1_T1w.nii.gz']
    assert '0 bytes' in refused['sub-01/anat/sub-01_FLAIR.nii.gz']


def test_oddities_are_left_out(tmp_path):
    root = write_dataset(
        tmp_path,
        [
            'sub-01/anat/sub-01_part-phase_T1w',
            'sub-01/anat/sub-01_acq-bad_T1w',
            'sub-01/anat/sub-01_part-mag_T1w',
            'derivatives/x/sub-01/anat/sub-01_FLAIR',
            'sourcedata/sub-01/anat/sub-01_FLAIR',
            'sub-01/anat/sub-01_T1w_defacemask',
        ],
    )
    (root / '.bidsignore').write_text('*_acq-bad*\n')
    given = only(root)
    assert names(given) == {'t1w': 'sub-01_part-mag_T1w.nii.gz'}
    assert any('not a magnitude' in note for note in given.notes)
    assert any('.bidsignore' in note for note in given.notes)


def test_file_in_the_wrong_folder(tmp_path):
    root = write_dataset(
        tmp_path, ['sub-01/ses-1/anat/sub-02_ses-1_T1w', 'sub-01/ses-1/anat/sub-01_ses-1_FLAIR']
    )
    given = only(root)
    assert set(given.scans) == {'flair'}
    assert 'another visit' in given.refused[0][1]


def test_bidsignore_grammar():
    rules = Ignored(['# no', '', 'logs/', '*.html', '/sub-1?', 'a/**/b', '!keep.html'])
    assert [
        p
        for p in (
            'logs',
            'x/logs/y',
            'a.html',
            'x/b.html',
            'keep.html',
            'sub-11/x',
            'x/sub-11',
            'a/b',
            'a/x/y/b',
            'a/bc',
        )
        if rules(p)
    ] == ['logs', 'x/logs/y', 'a.html', 'x/b.html', 'sub-11/x', 'a/b', 'a/x/y/b']


# ---- filters


def filtered(root, **filters):
    return names(only(root, bids_filters=filters))


def test_filters(tmp_path):
    root = write_dataset(
        tmp_path,
        [
            'sub-01/anat/sub-01_acq-a_T1w',
            'sub-01/anat/sub-01_T1w',
            'sub-01/anat/sub-01_acq-b_run-02_T1w',
        ],
    )
    plain, a, b = 'sub-01_T1w.nii.gz', 'sub-01_acq-a_T1w.nii.gz', 'sub-01_acq-b_run-02_T1w.nii.gz'
    for wanted, expected in (
        ({'acquisition': 'a'}, a),
        ({'acq': 'b'}, b),
        ({'run': 2}, b),
        ({'run': '02'}, b),
        ({'acq': None}, plain),
        ({'acq': '*'}, a),
        ({'acq': ['b', 'c']}, b),
        ({'run': '*'}, b),
    ):
        assert filtered(root, t1w=wanted) == {'t1w': expected}, wanted
    given = only(root, bids_filters={'t1w': {'acq': 'c'}})
    assert given.scans == {}
    assert given.notes[0] == 't1w: no file of sub-01 matches the filter {"acquisition": "c"}.'


def test_filter_cannot_bring_other_visits_in(tmp_path):
    root = write_dataset(tmp_path, [f'sub-01/ses-{n}/anat/sub-01_ses-{n}_T1w' for n in '12'])
    for wanted, expected in (('2', ['2']), (['2'], ['2']), ('*', ['1', '2']), (None, [])):
        found = collect(root, bids_filters={'t1w': {'session': wanted}})
        assert [v.visit.session for v in found if v.scans] == expected, wanted


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('{', 'not valid JSON'),
        ('[]', 'not contain a JSON object'),
        ('{"flar": {}}', 'no query "flar"'),
        ('{"t1w": []}', 'not contain a table'),
        ('{"t1w": {"acqu": "a"}}', 'no entity "acqu"'),
        ('{"t1w": {"acq": {"a": 1}}}', 'not text'),
    ],
)
def test_bad_filter_file(tmp_path, text, words):
    path = tmp_path / 'filter.json'
    path.write_text(text)
    with pytest.raises(UsageError, match=words) as caught:
        read_filters(path, declared())
    assert str(path) in str(caught.value)
    assert caught.value.remedy


def test_filter_file_shared_with_other_applications(tmp_path):
    path = tmp_path / 'filter.json'
    path.write_text('{"t1w": {"acq": "a"}, "bold": {"task": "rest"}}')
    read = read_filters(path, declared())
    assert read == {'t1w': {'acquisition': 'a'}, 'bold': {'task': 'rest'}}
    with pytest.raises(UsageError, match='does not exist'):
        read_filters(tmp_path / 'absent.json', declared())


# ---- datasets that are none


def test_missing_and_empty(tmp_path):
    (tmp_path / 'file').touch()
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'plain' / 'DICOM').mkdir(parents=True)
    kinds = {
        'absent': 'does not exist',
        'file': 'not a folder',
        'empty': 'is empty',
        'plain': 'no participant folder',
    }
    for name, words in kinds.items():
        with pytest.raises(PreflightError, match=words) as caught:
            collect(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert caught.value.remedy


@pytest.mark.parametrize('content', [None, '{', '[]'])
def test_description(tmp_path, content):
    root = write_dataset(tmp_path, ['sub-01/anat/sub-01_T1w'])
    file = root / 'dataset_description.json'
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(PreflightError, match=r'JSON|no dataset_description') as caught:
        collect(root)
    assert str(file) in str(caught.value)
    assert '--skip-bids-validation' in caught.value.remedy
    warnings = []
    assert only(root, warnings=warnings, skip_bids_validation=True).scans
    assert 'Continuing' in warnings[0]


def test_participants_table(tmp_path):
    root = write_dataset(tmp_path, ['sub-01/anat/sub-01_T1w'])
    table = 'participant_id\tage\nsub-01\t1\nsub-01\t2\nsub-09\t3\n'
    (root / 'participants.tsv').write_text(table)
    warnings = []
    assert only(root, warnings=warnings).scans
    assert len(warnings) == 2
    assert 'more than once: 01' in warnings[0]
    assert 'without a folder: 09' in warnings[1]


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        ('participant_id\tnote\nsub-01\t"x\nsub-01\ty\n', ['more than once: 01']),
        ('\ufeffParticipant ID\r\n Sub-01 \r\n', []),
        ('participant_id,age\nsub-01,71\n', ['separated by commas, not by tabs']),
        ('participant_id\tage\n1\t71\n', ['lists no participant of the dataset: it has']),
        ('id\tage\nsub-01\t71\n', ['has no column participant_id']),
        ('participant_id\tage\nsub-01\t7\t1\n', ['more cells than columns in line 2']),
        ('participant_id\tage\tage\nsub-01\t7\t1\n', ['several columns age']),
    ],
)
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-16', 'cp1252'])
def test_participants_as_spreadsheets_write_them(tmp_path, content, words, encoding):
    root = write_dataset(tmp_path, ['sub-01/anat/sub-01_T1w'])
    content = content.replace('\ufeff', '') if encoding == 'cp1252' else content
    content += '' if encoding == 'utf-8' else '\n# é'
    (root / 'participants.tsv').write_bytes(content.encode(encoding))
    warnings = []
    assert only(root, warnings=warnings).scans
    for word in words:
        assert any(word in warning for warning in warnings)
    told = any('in UTF-8.' in warning for warning in warnings)
    assert told or encoding == 'utf-8' or 'commas' in words[0]
    if encoding == 'utf-8':
        assert len(warnings) == len(words)


# ---- links whose content is not there

ANNEX = '.git/annex/objects/Q1/2x/MD5E-s10--a/MD5E-s10--a'
MISSING = [
    lambda path: path.symlink_to(ANNEX),
    lambda path: path.symlink_to('gone/elsewhere'),
    lambda path: path.write_text(f'/{ANNEX}\n'),
    lambda path: path.write_text('version https://git-lfs.github.com/spec/v1\noid sha256:0\n'),
]


@pytest.mark.parametrize('unfetched', MISSING)
def test_unfetched_sidecar_costs_its_own_metadata_only(tmp_path, unfetched):
    root = write_dataset(tmp_path, ['sub-01/anat/sub-01_T1w'])
    (root / 'T1w.json').write_text('{"MagneticFieldStrength": 3}')
    unfetched(root / 'sub-01' / 'sub-01_T1w.json')
    (root / 'sub-01/anat/sub-01_T1w.json').write_text('{"EchoTime": 2}')
    given = only(root)
    assert given.scans['t1w'].metadata == {'EchoTime': 2, 'MagneticFieldStrength': 3}
    (note,) = given.notes
    assert 'sub-01_T1w.json is not here: fetch it (datalad get, git annex get' in note
    assert str(root / 'sub-01' / 'sub-01_T1w.json') in note
    assert 'orrect it' not in note


def test_sidecars_that_are_no_files(tmp_path):
    root = write_dataset(tmp_path, ['sub-01/anat/sub-01_T1w'])
    (root / 'T1w.json').write_text('{"EchoTime": 2}')
    (root / 'sub-01' / 'sub-01_T1w.json').mkdir()
    os.mkfifo(root / 'sub-01/anat/sub-01_T1w.json')
    given = only(root)
    assert given.scans['t1w'].metadata == {'EchoTime': 2}
    assert [word in note for note, word in zip(given.notes, ('folder', 'pipe'), strict=True)]


@pytest.mark.parametrize('unfetched', MISSING)
def test_unfetched_files_of_the_dataset(tmp_path, unfetched):
    root = write_dataset(tmp_path, ['sub-01/anat/sub-01_T1w'])
    unfetched(root / 'participants.tsv')
    warnings = []
    assert only(root, warnings=warnings).scans
    assert 'content of participants.tsv is not here: fetch it' in warnings[0]
    (root / 'dataset_description.json').unlink()
    unfetched(root / 'dataset_description.json')
    with pytest.raises(
        PreflightError, match=r'content of dataset_description.json is not here: f'
    ) as caught:
        collect(root)
    assert 'Fetch its content' in caught.value.remedy
    assert 'Write one' not in caught.value.remedy
    assert only(root, skip_bids_validation=True).scans
    unfetched(root / '.bidsignore')
    with pytest.raises(PreflightError, match=r'content of .bidsignore is not here: fetch it'):
        collect(root, skip_bids_validation=True)
    unfetched(tmp_path / 'filter.json')
    with pytest.raises(UsageError, match=r'content of filter.json is not here: fetch it'):
        read_filters(tmp_path / 'filter.json', declared())


def test_folders_that_are_links_without_target(tmp_path):
    root = write_dataset(tmp_path, ['sub-01/anat/sub-01_T1w'])
    (root / 'sub-02').symlink_to('gone')
    warnings = []
    assert only(root, warnings=warnings).scans
    assert 'links to missing targets: sub-02.' in warnings[0]


@pytest.mark.parametrize('unfetched', MISSING)
def test_unfetched_names_of_labels(tmp_path, raw, unfetched):
    name = 'sub-01/ses-1/anat/sub-01_ses-1_desc-synthseg_dseg'
    write_image(tmp_path / 'seg' / f'{name}.nii.gz', (head() > 0).astype('u1') * 77)
    unfetched(tmp_path / 'seg' / f'{name}.tsv')
    given = only(raw, derivatives={'seg': tmp_path / 'seg'})
    assert 'wmh_external' not in given.scans
    ((file, why),) = given.refused
    assert file == f'seg:{name}.nii.gz'
    assert 'is not here: fetch it' in why


def test_folder_that_is_no_label(tmp_path):
    root = write_dataset(
        tmp_path, ['sub-01/anat/sub-01_T1w', 'sub-é/anat/sub-é_T1w', 'sub-01_old/anat/sub-01_T1w']
    )
    warnings = []
    given = only(root, warnings=warnings)
    assert given.scans['t1w'].path == str(root / 'sub-01/anat/sub-01_T1w.nii.gz')
    assert [w.split()[2] for w in warnings] == ['sub-01_old', 'sub-é']


@pytest.mark.parametrize(
    'name', ['a b', 'é ü', 'a#b', '100%', "it's", '[x]', 'x/anat/y', 'sub-09', 'a_ses-2', 'run-1']
)
def test_odd_paths(tmp_path, name):
    root = write_dataset(tmp_path / name, ['sub-01/ses-1/anat/sub-01_ses-1_T1w'])
    for asked in ({}, {'bids_database_dir': tmp_path / 'db'}):
        filters = {'t1w': {'session': '1', 'run': None}}
        given = only(root, bids_filters=filters, participant_label=('01',), **asked)
        assert given.scans['t1w'].path.startswith(str(root))


# ---- database


def test_database(tmp_path):
    root = write_dataset(tmp_path / 'raw', ['sub-01/anat/sub-01_T1w'])
    database = tmp_path / 'db'
    warnings = []
    asked = {'bids_database_dir': database, 'warnings': warnings}
    assert len(collect(root, **asked)) == 1
    stamp = (database / 'layout_index.sqlite').stat().st_mtime_ns
    assert len(collect(root, **asked)) == 1
    assert (database / 'layout_index.sqlite').stat().st_mtime_ns == stamp
    assert warnings == []

    write_dataset(root, ['sub-02/anat/sub-02_T1w'])
    assert names(only(root, participant_label=('02',), **asked)) == {'t1w': 'sub-02_T1w.nii.gz'}
    assert 'out of date' in warnings[0]
    moved = root.rename(tmp_path / 'moved')
    assert all(str(moved) in v.scans['t1w'].path for v in collect(moved, **asked))


def test_damaged_database(tmp_path):
    root = write_dataset(tmp_path / 'raw', ['sub-01/anat/sub-01_T1w'])
    (tmp_path / 'db').mkdir()
    (tmp_path / 'db' / 'layout_index.sqlite').write_text('no database')
    warnings = []
    assert only(root, bids_database_dir=tmp_path / 'db', warnings=warnings).scans
    assert 'cannot be used' in warnings[0]


def test_read_only_database(tmp_path, monkeypatch):
    root = write_dataset(tmp_path / 'raw', ['sub-01/anat/sub-01_T1w'])
    database = tmp_path / 'db'
    collect(root, bids_database_dir=database)
    monkeypatch.setattr(query.os, 'access', lambda *_: False)
    warnings = []
    assert only(root, bids_database_dir=database, warnings=warnings).scans
    assert warnings == []
    with sqlite3.connect(database / 'layout_index.sqlite') as connection:
        connection.execute('DELETE FROM tags')
        connection.execute('DELETE FROM files')
    assert only(root, bids_database_dir=database, warnings=warnings).scans
    assert 'out of date' in warnings[0]


# ---- masks of other tools

FILES = ['sub-01/ses-1/anat/sub-01_ses-1_T1w', 'sub-01/ses-1/anat/sub-01_ses-1_FLAIR']
THICK = {'data': (head((40, 48, 20)) > 0).astype('u1'), 'zooms': (4.5, 4.5, 9.0)}


@pytest.fixture
def raw(tmp_path):
    root = write_dataset(tmp_path / 'raw', FILES)
    write_image(root / f'{FILES[1]}.nii.gz', head((40, 48, 20)), zooms=(4.5, 4.5, 9.0))
    return root


@pytest.mark.parametrize(
    'name',
    [
        'sub-01/ses-1/anat/sub-01_ses-1_space-FLAIR_label-WMH_mask.nii.gz',
        'sub-01/ses-1/anat/sub-01_ses-1_label-lesion_mask.nii.gz',
        'sub-01/ses-1/anat/sub-01_ses-1_desc-autowmh_mask.nii.gz',
        'sub-01/ses-1/anat/sub-01_ses-1_desc-wmh_dseg.nii.gz',
        'sub-01_ses-1_space-flair_seg-lst.nii.gz',
        'segmentations/wmh_segmentation/sub-01/ses-1/labelled_wmh_mask.nii.gz',
        'sub-01_ses-1/seg_wmh.nii',
    ],
)
def test_wmh_of_other_tools(tmp_path, raw, name):
    write_image(tmp_path / 'tool' / name, **THICK)
    given = only(raw, derivatives={'tool': tmp_path / 'tool'})
    scan = given.scans['wmh_external']
    assert scan.path == str(tmp_path / 'tool' / name)
    assert scan.uri == f'bids:tool:{name}'
    assert scan.metadata == {'grid': 'flair', 'origin': 'tool'}
    assert given.notes == (f'WMH mask: tool:{name} is used (on the grid of the FLAIR).',)


def test_own_results_are_not_taken_for_those_of_others(tmp_path, raw):
    """The folder of all derivatives may hold the output, too."""
    name = 'sub-01/ses-1/anat/sub-01_ses-1_space-FLAIR_label-WMH_mask.nii.gz'
    write_image(tmp_path / 'all' / 'csvdprep' / name, **THICK)
    asked = {'derivatives': {'all': tmp_path / 'all'}, 'output_dir': tmp_path / 'all' / 'csvdprep'}
    assert 'wmh_external' not in only(raw, **asked).scans
    write_image(tmp_path / 'all' / 'lst' / name, **THICK)
    assert '/lst/' in only(raw, **asked).scans['wmh_external'].path
    # What others have put into the output is theirs, where it is named.
    write_image(tmp_path / 'all' / 'csvdprep' / 'lst' / name, **THICK)
    asked['derivatives'] = {'lst': tmp_path / 'all' / 'csvdprep' / 'lst'}
    assert 'wmh_external' in only(raw, **asked).scans


@pytest.mark.parametrize(
    'name',
    [
        'sub-01/ses-2/anat/sub-01_ses-2_label-WMH_mask.nii.gz',
        'sub-011/ses-1/anat/sub-011_ses-1_label-WMH_mask.nii.gz',
        'sub-01/ses-1/anat/sub-01_ses-1_label-WMH_probseg.nii.gz',
        'sub-01/ses-1/anat/sub-01_ses-1_desc-lesionchange_mask.nii.gz',
        'sub-01/ses-1/anat/sub-01_ses-1_label-vein_mask.nii.gz',
    ],
)
def test_what_is_no_wmh_of_this_visit(tmp_path, raw, name):
    write_image(tmp_path / 'tool' / name, **THICK)
    given = only(raw, derivatives={'tool': tmp_path / 'tool'})
    assert set(given.scans) == {'t1w', 'flair'}
    assert given.refused == ()
    assert given.notes == ('tool has no usable file for sub-01_ses-1.',)


@pytest.mark.parametrize(
    ('name', 'kind'),
    [
        ('sub-01/ses-1/anat/sub-01_ses-1_label-infarct_mask.nii.gz', 'infarct_external'),
        ('sub-01/ses-1/anat/sub-01_ses-1_space-FLAIR_label-RSSI_mask.nii.gz', 'infarct_external'),
        (
            'sub-01/ses-1/anat/sub-01_ses-1_desc-infarct_label-lesion_mask.nii.gz',
            'infarct_external',
        ),
        ('sub-01/ses-1/sub-01_ses-1_stroke_lesion.nii.gz', 'infarct_external'),
        ('sub-01/ses-1/anat/sub-01_ses-1_label-lacune_mask.nii.gz', 'lacune_external'),
        ('sub-01/ses-1/sub-01_ses-1_lacunes.nii', 'lacune_external'),
    ],
)
def test_infarcts_and_lacunes_are_no_hyperintensities(tmp_path, raw, name, kind):
    write_image(tmp_path / 'tool' / name, **THICK)
    given = only(raw, derivatives={'tool': tmp_path / 'tool'})
    assert set(given.scans) == {'t1w', 'flair', kind}
    assert given.scans[kind].content['on'] == 'flair'
    assert given.refused == ()


@pytest.mark.parametrize(
    'name',
    [
        'sub-01/ses-1/anat/sub-01_ses-1_label-WMH_desc-withoutstroke_mask.nii.gz',
        'sub-01/ses-1/anat/sub-01_ses-1_label-lacune_probseg.nii.gz',
        'sub-01/ses-1/dwi/sub-01_ses-1_desc-infarct_trace.nii.gz',
    ],
)
def test_what_is_no_mask_of_infarcts(tmp_path, raw, name):
    write_image(tmp_path / 'tool' / name, **THICK)
    given = only(raw, derivatives={'tool': tmp_path / 'tool'})
    assert not {'infarct_external', 'lacune_external'} & set(given.scans)


def test_one_segmentation_may_name_several_kinds(tmp_path, raw):
    name = 'sub-01/ses-1/anat/sub-01_ses-1_desc-marks_dseg'
    values = (head() > 0).astype('u1')
    values[::2] *= 3
    values[::3] *= 2
    write_image(tmp_path / 'seg' / f'{name}.nii.gz', values)
    (tmp_path / 'seg' / f'{name}.tsv').write_text(
        'index\tname\n1\tWMH\n2\tlacune\n3\tcortical infarct\n6\trecent infarct\n'
    )
    scans = only(raw, derivatives={'seg': tmp_path / 'seg'}).scans
    assert scans['wmh_external'].content['labels'] == [1]
    assert scans['lacune_external'].content['labels'] == [2]
    assert scans['infarct_external'].content['labels'] == [3, 6]
    assert scans['infarct_external'].content['on'] == 't1w'


def test_a_participant_may_be_called_stroke():
    from csvdprep.bids.external import _ranked

    kinds = {item.name: item for item in declared().externals}
    root = Path('/tools')

    def rank(file, kind):
        found = _ranked([root / file], root, kinds[kind], declared())
        return found[0][0] if found else None

    file = 'sub-stroke01_ses-1_label-lesion_mask.nii.gz'
    assert rank(file, 'wmh_external') == 0
    assert rank(file, 'infarct_external') is None
    loose = 'sub-stroke01_lesions.nii.gz'
    assert rank(loose, 'wmh_external') == 3
    assert rank(loose, 'infarct_external') is None


def test_mask_without_session(tmp_path, raw):
    write_image(tmp_path / 'tool/sub-01/anat/sub-01_label-WMH_mask.nii.gz', **THICK)
    given = only(raw, derivatives={'tool': tmp_path / 'tool'})
    assert 'wmh_external' not in given.scans
    assert 'whose names have no session' in given.notes[1]


def test_brain_mask_on_the_t1w(tmp_path, raw):
    name = 'sub-01/ses-1/anat/sub-01_ses-1_desc-brain_mask.nii.gz'
    write_image(tmp_path / 'fmriprep' / name, (head() > 0).astype('u1'))
    write_image(
        tmp_path / 'fmriprep' / name.replace('desc', 'space-MNI152_desc'),
        (head((30, 30, 30)) > 0).astype('u1'),
    )
    given = only(raw, derivatives={'fmriprep': tmp_path / 'fmriprep'})
    assert given.scans['brain_mask_external'].metadata['grid'] == 'anat'
    assert given.refused == ()
    assert given.notes == (f'brain mask: fmriprep:{name} is used (on the grid of the T1w).',)


def test_segmentation_with_names(tmp_path, raw):
    name = 'sub-01/ses-1/anat/sub-01_ses-1_desc-synthseg_dseg'
    write_image(tmp_path / 'seg' / f'{name}.nii.gz', (head() > 0).astype('u1') * 77)
    (tmp_path / 'seg' / f'{name}.tsv').write_text(
        'index\tname\n2\tLeft-Cerebral-White-Matter\n77\tWM-hypointensities\n'
    )
    scan = only(raw, derivatives={'seg': tmp_path / 'seg'}).scans['wmh_external']
    assert scan.metadata == {'grid': 'anat', 'origin': 'seg'}
    assert scan.content['labels'] == [77]


def test_a_segmentation_of_all_tissues(tmp_path, raw):
    folder = tmp_path / 'fs' / 'sub-01' / 'ses-1' / 'anat'
    labels = (head() > 0).astype('u1') * 2
    structures = (
        '2\tLeft-Cerebral-White-Matter\n4\tLeft-Lateral-Ventricle\n3\tLeft-Cerebral-Cortex\n'
        '5\tLeft-Inf-Lat-Vent\n28\tLeft-VentralDC\n77\tWM-hypointensities\n'
    )
    for values in (structures, '1\tGM\n2\tWM\n3\tCSF\n', '1\tGM\n2\tWM\n'):
        write_image(folder / 'sub-01_ses-1_dseg.nii.gz', labels)
        (folder / 'sub-01_ses-1_dseg.tsv').write_text(f'index\tname\n{values}')
        given = only(raw, derivatives={'fs': tmp_path / 'fs'})
        scan = given.scans.get('tissue_external')
        if 'CSF' in values:
            assert scan.content['classes'] == {'csf': [3], 'wm': [2], 'gm': [1]}
        elif 'Cortex' in values:
            assert scan.content['classes'] == {'csf': [4, 5], 'wm': [2, 77], 'gm': [3, 28]}
            assert scan.content['on'] == 't1w'
        else:
            # It does not say where fluid is.
            assert scan is None


@pytest.mark.parametrize(
    ('start', 'end', 'taken'),
    [
        ('T1w', 'MNI152NLin2009aSym', True),
        ('FLAIR', 'MNI152NLin2009aSym', False),
        ('T1w', 'MNI152NLin2009cAsym', False),
    ],
)
def test_transforms_to_our_template(tmp_path, raw, start, end, taken):
    folder = tmp_path / 'ants' / 'sub-01' / 'ses-1' / 'anat'
    folder.mkdir(parents=True)
    for way in (f'from-{start}_to-{end}', f'from-{end}_to-{start}'):
        (folder / f'sub-01_ses-1_{way}_mode-image_xfm.h5').write_bytes(b'x')
    scans = only(raw, derivatives={'ants': tmp_path / 'ants'}).scans
    both = {'anat_to_mni_external', 'mni_to_anat_external'}
    assert both & set(scans) == (both if taken else set())
    if taken:
        assert scans['anat_to_mni_external'].path.endswith(f'from-T1w_to-{end}_mode-image_xfm.h5')
        assert scans['mni_to_anat_external'].digest


@pytest.mark.parametrize(
    ('head_row', 'number'), [('index\tname', '77.0'), ('INDEX\tNAME', '77'), ('label\tname', '77')]
)
@pytest.mark.parametrize('where', ['own', 'inherited'])
def test_tables_of_labels_as_tools_write_them(tmp_path, raw, head_row, number, where):
    name = 'sub-01/ses-1/anat/sub-01_ses-1_desc-wmh_dseg'
    labels = (head() > 0).astype('u1') * 3
    labels[:20] *= 77 // 3
    write_image(tmp_path / 'seg' / f'{name}.nii.gz', labels)
    table = tmp_path / 'seg' / (f'{name}.tsv' if where == 'own' else 'dseg.tsv')
    table.write_text(f'{head_row}\n3\tcortex\nx\tnothing\n{number}\tWM-hypointensities\n')
    scan = only(raw, derivatives={'seg': tmp_path / 'seg'}).scans['wmh_external']
    assert scan.content['labels'] == [77]


def test_the_table_of_a_neighbour_is_not_taken(tmp_path, raw):
    folder = tmp_path / 'seg' / 'sub-01' / 'ses-1' / 'anat'
    write_image(folder / 'sub-01_ses-1_desc-wmh_dseg.nii.gz', (head() > 0).astype('u1'))
    (folder / 'sub-01_ses-1_desc-aseg_dseg.tsv').write_text('index\tname\n77\tWM-hypo\n')
    scan = only(raw, derivatives={'seg': tmp_path / 'seg'}).scans['wmh_external']
    assert 'labels' not in scan.content
    # Several values that nothing explains are not all lesions.
    many = (head() > 0).astype('u1')
    many[:20] *= 7
    write_image(folder / 'sub-01_ses-1_desc-wmh_dseg.nii.gz', many)
    given = only(raw, derivatives={'seg': tmp_path / 'seg'})
    assert 'wmh_external' not in given.scans
    assert 'no table defines which' in given.refused[0][1]


def test_a_mask_in_capitals(tmp_path, raw):
    path = write_image(tmp_path / 'tool' / 'sub-01_ses-1_label-WMH_mask.nii.gz', **THICK)
    path.rename(path.with_name('sub-01_ses-1_label-WMH_mask.NII.GZ'))
    given = only(raw, derivatives={'tool': tmp_path / 'tool'})
    assert 'Rename it with a lower-case ending' in given.refused[0][1]


def test_masks_that_hold_nothing(tmp_path, raw):
    name = 'sub-01/ses-1/anat/sub-01_ses-1_label-WMH_mask.nii.gz'
    write_image(tmp_path / 'tool' / name, 0.4 * THICK['data'].astype('f4'), zooms=(4.5, 4.5, 9))
    given = only(raw, derivatives={'tool': tmp_path / 'tool'})
    assert 'No voxel of the mask is above 0.5' in given.refused[0][1]
    write_image(tmp_path / 'tool' / name, 0 * THICK['data'], zooms=(4.5, 4.5, 9))
    given = only(raw, derivatives={'tool': tmp_path / 'tool'})
    assert 'is empty, so there is no lesion' in ' '.join(given.notes)
    write_image(
        tmp_path / 'brain' / 'sub-01_ses-1_desc-brain_mask.nii.gz',
        0 * THICK['data'],
        zooms=(4.5, 4.5, 9),
    )
    given = only(raw, derivatives={'brain': tmp_path / 'brain'})
    assert 'The brain mask is empty' in given.refused[0][1]


def test_mask_on_another_grid(tmp_path, raw):
    name = 'sub-01/ses-1/anat/sub-01_ses-1_label-WMH_mask.nii.gz'
    write_image(tmp_path / 'tool' / name, (head((40, 48, 20)) > 0).astype('u1'))
    given = only(raw, derivatives={'tool': tmp_path / 'tool'})
    assert 'wmh_external' not in given.scans
    ((file, why),) = given.refused
    assert file == f'tool:{name}'
    assert (
        'does not match the grid of any image of the visit (anat 40 x 48 x 40, flair 40 x 48 x 20)'
        in why
    )
    assert 'Resample' in why


@pytest.mark.parametrize('axes', ['LPS', 'SAL', 'PIR'])
def test_same_grid_in_another_storage_order(tmp_path, raw, axes):
    flair = nib.load(raw / f'{FILES[1]}.nii.gz')
    turn = nib.orientations.ornt_transform(
        nib.io_orientation(flair.affine), nib.orientations.axcodes2ornt(axes)
    )
    path = tmp_path / 'tool' / 'sub-01_ses-1_label-WMH_mask.nii.gz'
    path.parent.mkdir()
    nib.save(flair.as_reoriented(turn), path)
    given = only(raw, derivatives={'tool': path.parent})
    assert given.scans['wmh_external'].metadata['grid'] == 'flair'


def test_same_box_cut_otherwise_is_another_grid(tmp_path):
    root = write_dataset(
        tmp_path / 'raw',
        ['sub-01/anat/sub-01_FLAIR'],
        data=head((41, 21, 40)),
        zooms=(4.0, 8.0, 4.0),
    )
    other = np.zeros((21, 41, 40), 'u1')
    affine = np.diag([8.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = nib.load(root / 'sub-01/anat/sub-01_FLAIR.nii.gz').affine[:3, 3]
    write_image(tmp_path / 'tool' / 'sub-01_label-WMH_mask.nii.gz', other, affine=affine)
    assert only(root, derivatives={'tool': tmp_path / 'tool'}).refused


def test_first_derivative_is_preferred(tmp_path, raw):
    for tool in 'ab':
        write_image(tmp_path / tool / 'sub-01_ses-1_label-WMH_mask.nii.gz', **THICK)
    given = only(raw, derivatives={'b': tmp_path / 'b', 'a': tmp_path / 'a'})
    assert given.scans['wmh_external'].metadata['origin'] == 'b'


def test_other_masks_are_named_and_a_filter_chooses(tmp_path, raw):
    folder = tmp_path / 'tool' / 'sub-01' / 'ses-1' / 'anat'
    for acq in 'ab':
        for desc in ('space-FLAIR_label-WMH', 'desc-brain'):
            write_image(folder / f'sub-01_ses-1_acq-{acq}_{desc}_mask.nii.gz', **THICK)
    write_image(tmp_path / 'late' / 'sub-01_ses-1_label-WMH_mask.nii.gz', **THICK)
    tools = {'tool': tmp_path / 'tool', 'late': tmp_path / 'late'}
    given = only(raw, derivatives=tools)
    assert {Path(given.scans[k].path).name[13:18] for k in given.scans if 'ext' in k} == {'acq-a'}
    told = ' '.join(given.notes)
    name = 'space-FLAIR_label-WMH_mask.nii.gz'
    assert f'acq-a_{name} is used instead of tool:sub-01/ses-1/anat/' in told
    assert 'is used instead of late:sub-01_ses-1_label-WMH_mask.nii.gz: tool comes first' in told
    assert 'late has no mask' not in told
    wanted = {'wmh_external': {'acq': 'b'}, 'brain_mask_external': {'acq': 'b'}}
    (tmp_path / 'filter.json').write_text(json.dumps(wanted))
    filters = read_filters(tmp_path / 'filter.json', declared())
    given = only(raw, derivatives=tools, bids_filters=filters)
    assert {Path(given.scans[k].path).name[13:18] for k in given.scans if 'ext' in k} == {'acq-b'}
    assert 'acq-a_desc-brain_mask.nii.gz is not used, because of --bids-filter-file' in ' '.join(
        given.notes
    )


@pytest.mark.parametrize(('off', 'fits'), [(0.05, True), (0.5, True), (1.3, False)])
def test_a_hair_off_the_grid(tmp_path, raw, off, fits):
    flair = nib.load(raw / f'{FILES[1]}.nii.gz')
    affine = flair.affine.copy()
    affine[:3, 3] += off / 3**0.5
    write_image(
        tmp_path / 'tool' / 'sub-01_ses-1_label-WMH_mask.nii.gz', THICK['data'], affine=affine
    )
    given = only(raw, derivatives={'tool': tmp_path / 'tool'})
    assert ('wmh_external' in given.scans) == fits


def test_a_mask_on_an_image_that_is_ignored_is_refused(tmp_path, raw):
    name = 'sub-01_ses-1_label-WMH_mask.nii.gz'
    write_image(tmp_path / 'tool' / name, (head() > 0).astype('u1'))
    assert 'wmh_external' in only(raw, derivatives={'tool': tmp_path / 'tool'}).scans
    given = only(raw, derivatives={'tool': tmp_path / 'tool'}, ignore=('t1w',))
    assert 'wmh_external' not in given.scans
    assert given.refused[0][0] == f'tool:{name}'


def test_bad_derivatives(tmp_path, raw):
    with pytest.raises(UsageError, match='does not exist') as caught:
        collect(raw, derivatives={'x': tmp_path / 'absent'})
    assert str(tmp_path / 'absent') in str(caught.value)
    with pytest.raises(UsageError, match='not a valid name'):
        collect(raw, derivatives={'a/b': tmp_path})


# ---- names that are nearly right


@pytest.mark.parametrize(
    ('name', 'words'),
    [
        ('sub-01_T1w.NII.GZ', 'Remedy: rename it to sub-01_T1w.nii.gz'),
        ('sub-01_T1w.Nii', 'Remedy: rename it to sub-01_T1w.nii.'),
        ('sub-01_t1w.nii.gz', 'In BIDS, the suffix t1w is spelled T1w'),
        ('sub-01_T1w.mgz', 'Images must be NIfTI, not .mgz'),
        ('sub-01_acq-mp2rage_UNIT1.nii.gz', 'save the image as sub-01_acq-mp2rage_T1w.nii.gz'),
    ],
)
def test_a_file_that_is_nearly_a_t1w(tmp_path, name, words):
    root = write_dataset(tmp_path, ['sub-01/anat/sub-01_FLAIR'])
    (root / 'sub-01' / 'anat' / name).write_bytes(b'x')
    ((file, why),) = only(root).refused
    assert file == f'sub-01/anat/{name}'
    assert words in why
    # Beside a T1w it is no news.
    write_dataset(root, ['sub-01/anat/sub-01_T1w'])
    assert only(root).refused == ()


def test_an_image_in_the_wrong_folder(tmp_path):
    root = write_dataset(tmp_path, ['sub-01/sub-01_T1w', 'sub-01/anat/sub-01_dwi'])
    told = dict(only(root).refused)
    assert 'BIDS puts such images in anat/' in told['sub-01/sub-01_T1w.nii.gz']
    assert 'BIDS puts such images in dwi/' in told['sub-01/anat/sub-01_dwi.nii.gz']


def test_echoes_are_told_and_come_last(tmp_path):
    root = write_dataset(tmp_path, [f'sub-01/anat/sub-01_echo-{n}_T1w' for n in (1, 2)])
    given = only(root)
    assert names(given) == {'t1w': 'sub-01_echo-1_T1w.nii.gz'}
    assert 'is one of several echoes' in ' '.join(given.notes)
    assert 'Combine the echoes' in ' '.join(given.notes)
    write_dataset(root, ['sub-01/anat/sub-01_rec-rms_T1w'])
    given = only(root)
    assert names(given) == {'t1w': 'sub-01_rec-rms_T1w.nii.gz'}
    assert 'it is not a single echo' in ' '.join(given.notes)


# ---- real data


@pytest.mark.skipif(not CLINICAL.is_dir(), reason='needs ../shared/data/clinical')
def test_clinical():
    found = {v.visit.label: set(v.scans) - {'t2w'} for v in collect(CLINICAL)}
    alone = {'sub-03_ses-1', 'sub-19_ses-1'}
    assert {label for label, scans in found.items() if scans == {'flair'}} == alone
    assert all(scans == {'t1w', 'flair'} for label, scans in found.items() if label not in alone)
    assert len(found) == 10


def test_images_that_nothing_takes_are_told_with_the_reason(tmp_path):
    from csvdprep.graph.decide import decide, describe

    root = write_dataset(
        tmp_path,
        [
            'sub-01/anat/sub-01_T1w',
            'sub-01/anat/sub-01_run-1_FLAIR',
            'sub-01/anat/sub-01_run-2_FLAIR',
            'sub-01/anat/sub-01_PDw',
            'sub-01/ses-9/anat/sub-01_ses-9_PDw',
        ],
    )
    given = next(v for v in collect(root) if v.visit.session is None)
    assert given.unused == (
        ('sub-01/anat/sub-01_PDw.nii.gz', 'no step takes images of this kind'),
        ('sub-01/anat/sub-01_run-2_FLAIR.nii.gz', 'another FLAIR image was chosen'),
    )
    plan = decide(given, Settings(bids_dir=root, output_dir=tmp_path / 'out'))
    assert plan.unused == given.unused
    assert 'not used       sub-01/anat/sub-01_PDw.nii.gz: no step takes' in describe(plan)


def test_a_filter_that_leaves_nothing_says_so_by_query(tmp_path):
    root = write_dataset(tmp_path, ['sub-01/anat/sub-01_T1w', 'sub-01/anat/sub-01_FLAIR'])
    given = only(root, bids_filters={'flair': {'acq': 'none'}})
    assert given.unused == (
        ('sub-01/anat/sub-01_FLAIR.nii.gz', 'the filter of the query flair leaves it out'),
    )
    assert any(note.startswith('flair: no file of sub-01 matches') for note in given.notes)
