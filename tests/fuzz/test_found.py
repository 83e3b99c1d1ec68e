"""What the fuzz has found, kept by name: by its seed, and by hand where that is clearer."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from builders import patch_header
from fuzz.harness import faults_of
from fuzz.mutations import DWI, FLAIR, T1W, Box, make_case, write_template

#: Seeds of cases that ended in a traceback, a hang or worse, by what was wrong.
SEEDS = {
    'a type of voxels that nibabel knows no word for': 20,
    'voxels that begin beyond the end of all numbers': 65,
    'so many voxels that their number turns to zero': 2006,
    'so many in a mask': 2062,
    'b-values without end': 3009,
    'an image that is a pipe': 3012,
    'a series that is a pipe': 3010,
    'a sidecar that is a pipe': 3067,
    'a sidecar without end': 3057,
    'b-vectors that are a pipe': 3082,
    'a .bidsignore without end': 3108,
    'a participants.tsv with a cell of 300,000 letters': 7004,
    'a description that is a number': 9009,
    'a description nested 100,000 times': 9063,
    'rules of .bidsignore that a backtracking matcher cannot end': 10009,
    'a name that is no text': 11011,
    'a name that clears the screen': 11027,
    'a filter file that is a pipe': 12018,
    'settings nested 50,000 times': 13000,
    'labels that are a truth value': 13008,
    'a folder that is a number': 13012,
    'a settings file that is a pipe': 13023,
    'filters that are a text': 13025,
    'derivatives that are a number': 13029,
    'a working directory with NUL in its name': 13043,
    'a settings file without end': 13061,
    'a table of labels with a cell without end': 14067,
    'a label that clears the screen': 15019,
    'a dataset whose folder is no text': 16071,
    'a checkpoint that names a pipe': 17005,
    'an output made by a number': 18020,
    'a status that is a pipe': 20014,
    'a status with NaN': 20114,
}


@pytest.fixture(scope='module')
def template(tmp_path_factory):
    return write_template(tmp_path_factory.mktemp('template') / 'box')


@pytest.fixture
def box(template, tmp_path):
    shutil.copytree(template, tmp_path / 'box')
    return Box(tmp_path / 'box')


@pytest.mark.parametrize('name', SEEDS)
def test_seed(name, template, tmp_path):
    assert not faults_of(make_case(SEEDS[name], template, tmp_path / 'case'))


@pytest.mark.parametrize('offset', [np.nan, np.inf, -np.inf, -352, -1, 0, 347, 1e30])
def test_voxels_cannot_begin_there(box, offset, capsys):
    patch_header(box.raw / f'{T1W}.nii', vox_offset=offset)
    assert not faults_of(box)


def test_voxels_that_begin_within_the_header_are_not_read(box):
    from csvdprep.core.errors import InputError
    from csvdprep.imaging.inspect import inspect_image

    patch_header(box.raw / f'{T1W}.nii', vox_offset=0)
    with pytest.raises(InputError, match='cannot begin at byte 0') as caught:
        inspect_image(box.raw / f'{T1W}.nii')
    assert caught.value.field == 'vox_offset'


def test_a_small_file_that_unpacks_to_much(box):
    from csvdprep.core.errors import InputError
    from csvdprep.imaging.inspect import inspect_image

    path = box.raw / f'{T1W}.nii'
    bomb = path.with_name(path.name + '.gz')
    bomb.write_bytes(gzip.compress(path.read_bytes()) + gzip.compress(bytes(8 << 20)) * 40)
    with pytest.raises(InputError, match='goes on for more than 64 MiB'):
        inspect_image(bomb)


@pytest.mark.parametrize('field', ['EchoTime', 'TotalReadoutTime', 'PartialFourier'])
def test_a_whole_number_too_large_for_a_float(box, field):
    path = box.raw / f'{DWI}.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: 10**400}))
    assert not faults_of(box)


@pytest.mark.parametrize('wanted', [1, '1', '²', '9' * 5000, True])
def test_a_filter_for_a_number_meets_runs_that_have_none(box, wanted):
    for run in ('A', '1', '01'):
        shutil.copy(box.raw / f'{T1W}.nii', box.raw / f'sub-01/anat/sub-01_run-{run}_T1w.nii')
    path = box.file('filter.json', json.dumps({'t1w': {'run': wanted}}))
    box.options = ['--bids-filter-file', str(path)]
    assert not faults_of(box)


def test_digits_that_are_no_number(box):
    shutil.copy(box.raw / f'{T1W}.nii', box.raw / 'sub-01/anat/sub-01_1²3-x_T1w.nii')
    assert not faults_of(box)


def test_half_a_letter_in_a_sidecar_costs_metadata_only(box, capsys):
    from csvdprep.cli.run import run

    (box.raw / f'{FLAIR}.json').write_text('{"Manufacturer": "\\ud800"}')
    assert run(box.argv) == 0
    said = capsys.readouterr().out
    assert 'FLAIR.nii were not used' in said
    assert 'surrogates not allowed' in said


def test_the_run_of_a_status_names_no_folder_elsewhere(box):
    box.mode = ['--reports-only', '--participant-label', '02']
    folder = box.out / 'sub-02' / 'ses-1' / 'log'
    folder.mkdir(parents=True)
    (folder / 'status.json').write_text(
        json.dumps({'visit': 'sub-02_ses-1', 'run_id': '../../../../elsewhere', 'state': 'ok'})
    )
    assert not faults_of(box)
    assert not (box.folder / 'elsewhere').exists()


@pytest.mark.parametrize('name', [b'\xff\xfe', b'a\nb', '²'.encode()])
def test_a_real_terminal_can_print_every_name(box, name):
    # In a process of its own, with streams as Python opens them.
    moved = os.path.join(os.fsencode(box.folder), name)
    os.rename(box.raw, moved)
    command = [
        sys.executable,
        '-m',
        'csvdprep',
        os.fsdecode(moved),
        str(box.out),
        'participant',
        '--dry-run',
        '-w',
        str(box.work),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        check=False,
        cwd=box.cwd,
        stdin=subprocess.DEVNULL,
        env={**os.environ, 'PYTHONUTF8': '1'},
    )
    assert done.returncode == 0, done.stderr
    assert b'Traceback' not in done.stderr
    assert b'will run' in done.stdout
