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


APP = ['bids', 'out', 'participant']


@pytest.mark.parametrize(
    ('command', 'option'),
    [
        (['', 'out', 'participant'], 'bids_dir'),
        (['bids', '', 'participant'], 'output_dir'),
        *[
            ([*APP, *more], more[0])
            for more in (
                ['-w', ''],
                ['--work-dir='],
                ['-d', 'qsi='],
                ['-d', ''],
                ['-d', '=/data'],
                ['--bids-database-dir', ''],
                ['--bids-filter-file', ''],
                ['--config-file', ''],
                ['--use-plugin', ''],
            )
        ],
        (['slurm', '', 'out'], 'bids_dir'),
        (['slurm', 'bids', ''], 'output_dir'),
        *[
            (['slurm', 'bids', 'out', *more], more[0])
            for more in (['-w', ''], ['--bind', ''], ['--container', ''], ['--config-file', ''])
        ],
        (['phantom', ''], 'folder'),
        (['demo', ''], 'folder'),
        (['doctor', '-w', ''], '-w'),
        (['score', '', 'truth'], 'DERIVATIVES'),
        (['score', 'a', ''], 'TRUTH'),
        (['score', 'a', 'b', '-o', ''], '-o'),
        (['compare', '', 'b'], 'REFERENCE'),
        (['compare', 'a', 'b', ''], 'PREDICTION'),
        (['compare', 'a', 'b', '--json', ''], '--json'),
        (['compare', 'a', 'b', '--tsv', ''], '--tsv'),
        (['status', ''], 'output_dir'),
        (['status', 'a', '--html', ''], '--html'),
        (['status', 'a', '--bids-dir', ''], '--bids-dir'),
    ],
)
def test_an_empty_path_is_wrong_usage_and_never_this_folder(command, option, capsys):
    with pytest.raises(SystemExit) as ended:
        run(command)
    assert ended.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert option.rstrip('=') in said
    assert 'empty' in said or 'is missing' in said


@pytest.mark.parametrize(
    'text',
    ['work_dir = ""', 'bids_database_dir = ""', 'use_plugin = ""', 'derivatives = {a = ""}'],
)
def test_an_empty_path_of_the_file_is_wrong_usage(tmp_path, text):
    file = tmp_path / 'c.toml'
    file.write_text(text)
    with pytest.raises(UsageError) as found:
        settings('--config-file', str(file))
    assert found.value.field == text.split()[0]


def places(tmp_path):
    raw, out = tmp_path / 'all' / 'raw', tmp_path / 'all' / 'raw' / 'derivatives' / 'csvdprep'
    (raw / 'sub-01').mkdir(parents=True)
    out.mkdir(parents=True)
    (raw / 'dataset_description.json').write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    (tmp_path / 'link').symlink_to(raw)
    return raw, out


@pytest.mark.parametrize('dry', [[], ['--dry-run']])
@pytest.mark.parametrize(
    ('work', 'always'),
    [
        ('all/raw', True),
        ('link', True),
        ('all/raw/sub-01/..', True),
        ('all/raw/sub-01/work', True),
        ('all/raw/work', True),
        ('all/raw/derivatives/csvdprep', True),
        ('all/raw/derivatives/csvdprep/sub-01/work', True),
        ('all', False),
        ('.', False),
        ('all/raw/derivatives', False),
        ('/', False),
        ('~', False),
    ],
)
def test_no_place_for_a_working_directory(tmp_path, monkeypatch, work, always, dry):
    raw, out = places(tmp_path)
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    (tmp_path / 'home').mkdir()
    folder = Path(work).expanduser() if work == '~' else tmp_path / work
    argv = [str(raw), str(out), 'participant', '-w', str(folder), *dry]
    before = sorted(tmp_path.rglob('*'))
    for more in [['--clean-workdir'], *([[]] if always else [])]:
        with pytest.raises(UsageError) as found:
            run([*argv, *more])
        assert found.value.field == '--work-dir'
        assert found.value.remedy
        with pytest.raises(UsageError):
            run(['slurm', str(raw), str(out), '-w', str(folder), *more])
    assert sorted(tmp_path.rglob('*')) == before
    if not always:
        with pytest.raises(NothingToDo):  # the place is no matter
            run([*argv, '--dry-run'])


@pytest.mark.parametrize(
    'work',
    ['work', 'all/raw/derivatives/work', 'all/raw/code/work', 'all/raw/derivatives/csvdprep/work'],
)
def test_places_for_a_working_directory(tmp_path, work):
    raw, out = places(tmp_path)
    with pytest.raises(NothingToDo):
        run([str(raw), str(out), 'participant', '-w', str(tmp_path / work), '--clean-workdir'])


def test_cleaning_leaves_files_of_the_user_and_says_so(tmp_path, monkeypatch, capsys):
    from csvdprep.cli.run import _prepare_work

    monkeypatch.setenv('TMPDIR', str(tmp_path))
    work = tmp_path / 'work'
    work.mkdir()
    (work / 'precious').touch()
    (work / 'folder').mkdir()
    asked = settings('-w', str(work), '--clean-workdir')
    _prepare_work(asked)
    assert '2 other files remain in the working directory' in capsys.readouterr().err
    assert {'precious', 'folder'} <= {item.name for item in work.iterdir()}
    # A mark here would take the user's files out of their backups.
    assert not (work / 'CACHEDIR.TAG').exists()


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
    done = subprocess.run(
        [sys.executable, '-m', 'csvdprep', '--help'], capture_output=True, text=True, check=True
    )
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
    text = (
        'import os, sys; from csvdprep.cli.environment import hold_threads; hold_threads(); '
        'print(os.environ["ORT_DISABLE_TELEMETRY"], os.environ["NO_ET"], os.environ["HOME"], '
        '"onnxruntime" in sys.modules)'
    )
    done = subprocess.run([sys.executable, '-c', text], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ['1', '1', os.environ['HOME'], 'False']


def test_nothing_to_do(tmp_path):
    folder = tmp_path / 'bids' / 'sub-01' / 'anat'
    folder.mkdir(parents=True)
    (tmp_path / 'bids' / 'dataset_description.json').write_text(
        '{"Name": "x", "BIDSVersion": "1.10.0"}'
    )
    with pytest.raises(NothingToDo):
        run(
            [
                str(tmp_path / 'bids'),
                str(tmp_path / 'out'),
                'participant',
                '-w',
                str(tmp_path / 'work'),
            ]
        )


def test_every_option_of_a_room_can_be_set(tmp_path):
    from dataclasses import asdict

    from csvdprep.core.plan import Scan, Visit, VisitInput
    from csvdprep.graph.decide import decide
    from csvdprep.graph.discover import discover

    names = ('t1w', 'flair', 't2w', 'dwi', 'gre', 'gre_phase', 'dce', 'dsc', 'asl', 'tof')
    scans = {n: Scan(name=n, path=f'/{n}.nii', uri=n, digest=n) for n in names}
    scans['ratings'] = Scan(name='ratings', path='/r.tsv', uri='r', content={'ratings': []})
    given = VisitInput(visit=Visit('01'), scans=scans)
    for room in discover():
        file = tmp_path / f'{room.name}.toml'
        asked = settings()
        file.write_text(
            settings_text(
                type(asked)(
                    bids_dir=Path('b'),
                    output_dir=tmp_path,
                    options={room.name: asdict(room.options())},
                )
            )
        )
        plan = decide(given, settings('--config-file', str(file)))
        step = next(s for s in plan.steps if s.room.name == room.name)
        assert step.asked == room.options()
