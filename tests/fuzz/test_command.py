"""Whatever is in the input, the user gets a plain sentence, and nothing is touched.

About 300 cases run with every test; all of them by ``pytest -m e2e tests/fuzz``. A failure names
its seed: ``make_case(seed, ...)`` writes the case again.
"""

from __future__ import annotations

import contextlib
import os
import shutil

import pytest
from fuzz.harness import faults_of
from fuzz.mutations import KINDS, make_case, seeds_of, write_template

from csvdprep.core.errors import PreflightError
from csvdprep.imaging.spaces import read_spaces

#: Cases of each kind in the sample, and in all.
SAMPLE, ALL = 15, 120


@pytest.fixture(scope='module')
def template(tmp_path_factory):
    return write_template(tmp_path_factory.mktemp('template') / 'box')


def run_all(seeds, template, folder):
    failed = []
    for seed in seeds:
        box = make_case(seed, template, folder / str(seed))
        failed += [f'seed {seed}: {fault}' for fault in faults_of(box)]
        # Bytes, as some of the names are no text.
        shutil.rmtree(os.fsencode(box.folder))
    return failed


def report(kind, failed):
    lines = '\n'.join(failed)
    return f'{kind}: {len(failed)} faults\n{lines}'


@pytest.mark.parametrize('kind', KINDS)
def test_sample(kind, template, tmp_path):
    failed = run_all(seeds_of(kind, SAMPLE), template, tmp_path)
    assert not failed, report(kind, failed)


@pytest.mark.e2e
@pytest.mark.timeout(1200)
@pytest.mark.parametrize('kind', KINDS)
def test_all(kind, template, tmp_path):
    with contextlib.suppress(PreflightError):
        read_spaces(['MNI152NLin6Asym'])  # imports niworkflows: seconds that are no hang
    failed = run_all(seeds_of(kind, ALL), template, tmp_path)
    assert not failed, report(kind, failed)


def test_there_are_cases_enough():
    assert len(KINDS) * ALL >= 2000
    assert len({seed for kind in KINDS for seed in seeds_of(kind, ALL)}) == len(KINDS) * ALL


def test_the_sound_dataset_is_used_whole(template, tmp_path, capsys):
    # Else the cases would spoil what nobody reads.
    from csvdprep.cli.run import run

    run(
        [
            str(template / 'raw'),
            str(tmp_path / 'out'),
            'participant',
            '--dry-run',
            '-w',
            str(tmp_path / 'work'),
            '-d',
            f'lst={template / "deriv"}',
        ]
    )
    said = capsys.readouterr()
    assert 'refused' not in said.out
    assert 'cannot be used' not in said.err
    for word in ('wmh_external', 'T1w.nii', 'FLAIR.nii', 'dwi.nii', 'dir-PA_epi.nii'):
        assert word in said.out


def test_a_seed_always_gives_the_same_case(template, tmp_path):
    for seed in (0, 4003, 13001):
        one, two = (make_case(seed, template, tmp_path / name / str(seed)) for name in 'ab')
        left, right = (
            {
                p.relative_to(box.folder): p.read_bytes().replace(b'/a/', b'/b/')
                for p in box.folder.rglob('*')
                if p.is_file()
            }
            for box in (one, two)
        )
        assert left == right
        assert [o.replace('/a/', '/b/') for o in one.options] == two.options
