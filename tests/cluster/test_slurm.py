"""The array job against a real scheduler: minutes, so not by default."""

import csv
import json
import os
import re
import subprocess
import sys
import time

import pytest

from csvdprep.phantom.dataset.demo import make_tiny

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3000)]
MARKERS = ('--sloppy', '--markers', 'atrophy', '--ignore', 'dwi')


@pytest.fixture(scope='module')
def raw(tmp_path_factory):
    """Three visits of the tiny phantom: one session, two times over by other names."""
    import shutil

    root = make_tiny(tmp_path_factory.mktemp('tiny') / 'raw')
    for label in ('02', '03'):
        for path in sorted((root / 'sub-01').rglob('*')):
            if path.is_file() and path.parent.name == 'anat':
                copy = root / path.relative_to(root).as_posix().replace('sub-01', f'sub-{label}')
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
    return root


def csvdprep(*argv, **more):
    return subprocess.run(
        [sys.executable, '-m', 'csvdprep', *map(str, argv)],
        capture_output=True,
        text=True,
        check=False,
        **more,
    )


def states(out):
    with (out / 'group_status.tsv').open() as file:
        rows = csv.DictReader(file, delimiter='\t')
        return {row['participant_id']: row['state'] for row in rows}


def folder_of(out):
    return max((out / 'logs' / 'slurm').iterdir())


def wait_until(done, *, limit_s=900):
    limit = time.monotonic() + limit_s
    while not done():
        assert time.monotonic() < limit, subprocess.run(
            ['scontrol', 'show', 'job'], capture_output=True, text=True, check=False
        ).stdout
        time.sleep(1)


def queue():
    return subprocess.run(
        ['squeue', '-h', '-o', '%i %T'], capture_output=True, text=True, check=True
    ).stdout.split('\n')[:-1]


def logs(out):
    return '\n'.join(p.read_text() for p in sorted(folder_of(out).glob('log/*')))


def test_array_and_group(slurm, raw, tmp_path):
    out = tmp_path / 'out'
    done = csvdprep(
        'slurm', raw, out, '--submit', '--mem', '3G', '--time', 20, '--array-limit', 1, *MARKERS
    )
    assert done.returncode == 0, done.stderr
    # The cluster allows arrays of two tasks: three visits make two arrays, and the group job.
    jobs = [line.split() for line in done.stdout.splitlines()]
    assert [job[1:] for job in jobs] == [['0', '2'], ['2', '1'], ['group']]
    early = csvdprep('status', out)
    assert early.returncode == 1
    assert '3 visits' in early.stdout
    wait_until(lambda: not queue())
    assert states(out) == dict.fromkeys(('sub-01', 'sub-02', 'sub-03'), 'ok'), logs(out)
    late = csvdprep('status', out, '--html')
    assert late.returncode == 0, late.stdout
    assert '3 ok' in late.stdout
    assert '3 ok' in (out / 'logs' / 'status.html').read_text()
    # Nothing is left of the working directories.
    assert not re.search(r'Traceback', logs(out))
    again = csvdprep('slurm', raw, out, '--resume', *MARKERS)
    assert again.returncode == 70, again.stderr
    # What was measured decides what the next array asks for.
    plan = csvdprep('slurm', raw, out, *MARKERS)
    assert '3 finished visits needed up to' in plan.stderr


def test_killed_for_memory_is_told_and_finished(slurm, raw, tmp_path):
    out = tmp_path / 'out'
    done = csvdprep(
        'slurm',
        raw,
        out,
        '--participant-label',
        '01',
        '--submit',
        '--no-group',
        '--mem',
        '300M',
        '--time',
        20,
        *MARKERS,
    )
    assert done.returncode == 0, done.stderr
    wait_until(lambda: not queue())
    told = csvdprep('status', out)
    assert told.returncode == 1
    assert 'sub-01' in told.stdout
    assert '1 lost' in told.stdout or 'memory' in told.stdout or 'killed' in told.stdout
    assert 'Slurm: ' in told.stdout
    resumed = csvdprep(
        'slurm',
        raw,
        out,
        '--participant-label',
        '01',
        '--resume',
        '--submit',
        '--no-group',
        '--time',
        20,
        *MARKERS,
    )
    assert resumed.returncode == 0, resumed.stderr
    assert 'ran out of memory' in resumed.stderr
    wait_until(lambda: not queue())
    assert csvdprep('status', out).returncode == 0, logs(out)


def test_out_of_time_goes_back_into_the_queue(slurm, raw, tmp_path):
    out = tmp_path / 'out'
    done = csvdprep(
        'slurm',
        raw,
        out,
        '--participant-label',
        '01',
        '--submit',
        '--no-group',
        '--mem',
        '4G',
        '--time',
        20,
        *MARKERS,
    )
    assert done.returncode == 0, done.stderr
    job = done.stdout.split()[0]
    wait_until(lambda: list(out.rglob('*desc-brain_mask.nii.gz')))
    # The signal that Slurm sends before the time limit, sent now.
    subprocess.run(['scancel', '--batch', '--signal=USR1', f'{job}_1'], check=True)
    wait_until(lambda: 'goes back into the queue' in logs(out) or not queue())
    assert 'goes back into the queue' in logs(out), logs(out)
    wait_until(lambda: not queue())
    assert csvdprep('status', out).returncode == 0, logs(out)
    assert 'restart 1' in logs(out)


def test_two_arrays_on_one_output(slurm, raw, tmp_path):
    out = tmp_path / 'out'
    for _ in range(2):
        done = csvdprep(
            'slurm',
            raw,
            out,
            '--participant-label',
            '01',
            '--submit',
            '--no-group',
            '--mem',
            '3G',
            '--nprocs',
            1,
            '--time',
            20,
            *MARKERS,
        )
        assert done.returncode == 0, done.stderr
    wait_until(lambda: not queue())
    assert csvdprep('status', out).returncode == 0
    text = '\n'.join(p.read_text() for p in (out / 'logs' / 'slurm').glob('*/log/*'))
    assert text.count('ended with status 0') == 2, text


@pytest.mark.parametrize('plugin', ['MultiProc', 'SLURM'])
def test_plugins_of_nipype(slurm, raw, tmp_path, plugin):
    file = tmp_path / 'plugin.json'
    arguments = (
        {'n_procs': 2} if plugin == 'MultiProc' else {'sbatch_args': '--mem=2500 ', 'max_jobs': 2}
    )
    file.write_text(json.dumps({'plugin': plugin, 'plugin_args': arguments}))
    done = csvdprep(
        raw,
        tmp_path / 'out',
        'participant',
        '--participant-label',
        '01',
        '-w',
        tmp_path / 'work',
        '--use-plugin',
        file,
        *MARKERS,
        env={k: v for k, v in os.environ.items() if k != 'LOGNAME'},
    )
    assert done.returncode == 0, done.stderr
