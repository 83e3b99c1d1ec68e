import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from csvdprep.cli.parser import get_parser, to_settings
from csvdprep.cli.run import run
from csvdprep.core.errors import NothingToDo, PreflightError, UsageError
from csvdprep.graph.finish import settings_text


def settings(*more):
    return to_settings(get_parser().parse_args(['bids', 'out', 'participant', *more]))


def test_labels_lose_their_prefix():
    asked = settings('--participant-label', 'sub-01', '02', '--session-id', 'ses-1')
    assert asked.participant_label == ('01', '02')
    assert asked.session_label == ('1',)


@pytest.mark.parametrize(
    ('text', 'gigabytes'), [('8000', 8.0), ('8G', 8.0), ('500M', 0.5), ('1T', 1000.0)]
)
def test_memory(text, gigabytes):
    assert settings('--mem', text).mem_gb == pytest.approx(gigabytes)


@pytest.mark.parametrize('spelling', ['--nprocs', '--nthreads', '--n-cpus'])
def test_spellings_of_processors(spelling):
    assert settings(spelling, '3').nprocs == 3
    assert settings(spelling, '3', '--low-mem').nprocs == 1


def test_command_line_wins_over_the_file(tmp_path):
    file = tmp_path / 'c.toml'
    file.write_text('nprocs = 5\nrandom_seed = 7\n[wmh]\nruns = 3\n')
    asked = settings('--config-file', str(file), '--nprocs', '2')
    assert (asked.nprocs, asked.random_seed, asked.options['wmh']['runs']) == (2, 7, 3)


def test_written_settings_are_read_back(tmp_path):
    asked = settings('--markers', 'wmh', '--nprocs', '2', '--mem', '4G', '-w', str(tmp_path))
    file = tmp_path / 'c.toml'
    file.write_text(settings_text(asked))
    assert settings('--config-file', str(file)) == asked


@pytest.mark.parametrize(
    'wrong',
    [['--markers', 'nonsense'], ['--ignore', 'nonsense'], ['--config-file', 'missing.toml']],
)
def test_wrong_usage_names_the_fault(wrong):
    with pytest.raises(UsageError, match=wrong[1]):
        settings(*wrong)


@pytest.mark.parametrize('option', ['--config-file', '--use-plugin', '--bids-filter-file'])
def test_unfetched_files_of_settings(tmp_path, option):
    file = tmp_path / 'asked'
    for text in ('/annex/objects/MD5E-s1--a\n', 'version https://git-lfs.github.com/spec/v1\n'):
        file.write_text(text)
        with pytest.raises(UsageError, match='content of asked is not here: fetch it') as caught:
            settings(option, str(file))
        assert caught.value.field == option
        assert 'etch' in caught.value.remedy


def test_wrong_options_are_refused(tmp_path):
    file = tmp_path / 'c.toml'
    file.write_text('[nonsense]\na = 1\n')
    with pytest.raises(UsageError, match='nonsense'):
        settings('--config-file', str(file))
    file.write_text('nonsense = 1\n')
    with pytest.raises(UsageError, match='nonsense'):
        settings('--config-file', str(file))


def test_help_is_quick_and_tells_the_exit_status():
    start = time.process_time()
    done = subprocess.run([sys.executable, '-m', 'csvdprep', '--help'], capture_output=True,
                          text=True, check=True)  # fmt: skip
    assert '130  interrupted' in done.stdout
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ('make', 'error'),
    [
        (lambda root: None, PreflightError),
        (lambda root: root.mkdir(), PreflightError),
        (lambda root: (root.mkdir(), (root / 'notes.txt').write_text('x')), PreflightError),
    ],
    ids=['missing', 'empty', 'no BIDS'],
)
def test_what_is_no_dataset_is_told_so(tmp_path, make, error):
    make(tmp_path / 'bids')
    with pytest.raises(error) as found:
        run([str(tmp_path / 'bids'), str(tmp_path / 'out'), 'participant'])
    assert found.value.remedy


def test_libraries_are_told_to_send_nothing_before_they_are_imported():
    text = ('import os, sys; from csvdprep.cli.environment import hold_threads; hold_threads(); '
            'print(os.environ["ORT_DISABLE_TELEMETRY"], os.environ["NO_ET"], os.environ["HOME"], '
            '"onnxruntime" in sys.modules)')  # fmt: skip
    done = subprocess.run([sys.executable, '-c', text], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ['1', '1', os.environ['HOME'], 'False']


def test_nothing_to_do(tmp_path):
    folder = tmp_path / 'bids' / 'sub-01' / 'anat'
    folder.mkdir(parents=True)
    (tmp_path / 'bids' / 'dataset_description.json').write_text(
        '{"Name": "x", "BIDSVersion": "1.10.0"}'
    )
    with pytest.raises(NothingToDo):
        run([str(tmp_path / 'bids'), str(tmp_path / 'out'), 'participant', '-w',
             str(tmp_path / 'work')])  # fmt: skip


def test_every_option_of_a_room_can_be_set(tmp_path):
    from dataclasses import asdict

    from csvdprep.core.plan import Scan, Visit, VisitInput
    from csvdprep.graph.decide import decide
    from csvdprep.graph.discover import discover

    scans = {n: Scan(name=n, path=f'/{n}.nii', uri=n, digest=n) for n in ('t1w', 'flair', 'dwi')}
    given = VisitInput(visit=Visit('01'), scans=scans)
    for room in discover():
        file = tmp_path / f'{room.name}.toml'
        asked = settings()
        file.write_text(settings_text(
            type(asked)(bids_dir=Path('b'), output_dir=tmp_path,
                        options={room.name: asdict(room.options())})))  # fmt: skip
        plan = decide(given, settings('--config-file', str(file)))
        step = next(s for s in plan.steps if s.room.name == room.name)
        assert step.options == room.options()
