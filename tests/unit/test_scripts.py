"""The scripts of an array job, run with a stub in place of the app."""

import os
import shlex
import signal
import subprocess
import time

import pytest

from csvdprep.cluster import script
from csvdprep.cluster.size import Size


@pytest.fixture
def job(tmp_path):
    """Write both scripts; the stub notes its arguments and does what `stub` says."""
    folder = tmp_path / 'job'
    (folder / 'log').mkdir(parents=True)
    (folder / 'visits.txt').write_text('sub-01\n')
    here = tmp_path / 'here'
    here.mkdir()
    (here / 'precious').touch()

    class Job:
        def write(self, stub='exit 0', work_dir=''):
            app = tmp_path / 'app.sh'
            app.write_text(
                f'echo "$@" > {tmp_path}/called\nwhile [ "$1" != -w ]; do shift; done\n'
                f'touch "$2/intermediate"; echo "$2" > {tmp_path}/work\n{stub}\n'
            )
            given = {
                'start': shlex.join(['bash', str(app)]),
                'bids_dir': '/raw',
                'output_dir': '/out',
                'folder': folder,
            }
            (folder / 'task.sh').write_text(
                script.task_script(options=(), size=Size(1, 1.0, 60), work_dir=work_dir, **given)
            )
            (folder / 'group.sh').write_text(
                script.group_script(**given).replace(f'sleep {script.LATE_S}\n', '')
            )

        def start(self, name, path='', **variables):
            env = {'PATH': f'{path}{os.environ["PATH"]}', 'SLURM_ARRAY_TASK_ID': '1', **variables}
            return subprocess.Popen(
                ['bash', str(folder / name)],
                cwd=here,
                env=env,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )

        def run(self, name, **more):
            process = self.start(name, **more)
            _, said = process.communicate(timeout=30)
            return process.returncode, said

        @property
        def called(self):
            return (tmp_path / 'called').exists()

        @property
        def work(self):
            return (tmp_path / 'work').read_text().strip()

        def untouched(self):
            return [item.name for item in here.iterdir()] == ['precious']

    return Job()


@pytest.mark.parametrize('name', ['task.sh', 'group.sh'])
@pytest.mark.parametrize('variable', ['TMPDIR', 'SLURM_TMPDIR'])
def test_without_scratch_nothing_is_run_and_nothing_removed(job, name, variable):
    job.write()
    code, said = job.run(name, **{variable: '/gone'})
    assert code == 3
    assert "'/gone'" in said
    assert 'SLURM_TMPDIR or TMPDIR' in said
    assert not job.called
    assert job.untouched()


@pytest.mark.parametrize('name', ['task.sh', 'group.sh'])
@pytest.mark.parametrize('answer', ['exit 0', 'echo; exit 0', 'echo /gone', 'pwd; exit 1'])
def test_what_mktemp_did_not_make_is_neither_used_nor_removed(job, tmp_path, name, answer):
    job.write()
    (tmp_path / 'bin').mkdir()
    fake = tmp_path / 'bin' / 'mktemp'
    fake.write_text(f'#!/bin/sh\n{answer}\n')
    fake.chmod(0o755)
    code, _ = job.run(name, path=f'{tmp_path}/bin:')
    assert code == 3
    assert not job.called
    assert job.untouched()


@pytest.mark.parametrize('name', ['task.sh', 'group.sh'])
@pytest.mark.parametrize('code', [0, 1, 130])
def test_scratch_is_removed_and_the_status_is_the_apps(job, tmp_path, name, code):
    scratch = tmp_path / 'scratch with blank'
    scratch.mkdir()
    (scratch / 'precious').touch()
    job.write(f'exit {code}')
    found, _ = job.run(name, TMPDIR=str(scratch))
    assert found == code
    assert job.called
    assert [item.name for item in scratch.iterdir()] == ['precious']


def test_a_working_directory_that_was_given_is_made_and_left(job, tmp_path):
    job.write(work_dir=str(tmp_path / 'a' / 'work'))
    assert job.run('task.sh', TMPDIR='/gone')[0] == 0
    assert [item.name for item in (tmp_path / 'a' / 'work').iterdir()] == ['intermediate']
    (tmp_path / 'file').touch()
    job.write(work_dir=str(tmp_path / 'file' / 'work'))
    (tmp_path / 'called').unlink()
    code, said = job.run('task.sh')
    assert code == 3
    assert 'cannot be made' in said
    assert not job.called


def test_no_visit_for_a_task(job):
    job.write()
    code, said = job.run('task.sh', SLURM_ARRAY_TASK_ID='7')
    assert (code, job.called) == (2, False)
    assert 'no visit' in said


@pytest.mark.parametrize(('number', 'requeued'), [(signal.SIGUSR1, True), (signal.SIGTERM, False)])
def test_a_notice_ends_the_app_in_good_order(job, tmp_path, number, requeued):
    (tmp_path / 'bin').mkdir()
    fake = tmp_path / 'bin' / 'scontrol'
    fake.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/requeued; exit 1\n')
    fake.chmod(0o755)
    (tmp_path / 'scratch').mkdir()
    # It needs a while to close its visit.
    job.write(
        f"trap 'sleep 0.3; touch {tmp_path}/closed; exit 130' TERM\n"
        f'touch {tmp_path}/ready; while :; do sleep 0.05; done'
    )
    process = job.start(
        'task.sh', path=f'{tmp_path}/bin:', SLURM_JOB_ID='42', TMPDIR=str(tmp_path / 'scratch')
    )
    while not (tmp_path / 'ready').exists():
        time.sleep(0.02)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert (tmp_path / 'closed').exists()
    assert (tmp_path / 'requeued').exists() == requeued
    assert list((tmp_path / 'scratch').iterdir()) == []


@pytest.mark.parametrize('page', ['apptainer.md', 'slurm.md'])
def test_scripts_of_the_documentation_are_careful(page):
    from pathlib import Path

    text = (Path(__file__).parents[2] / 'docs' / page).read_text(encoding='utf-8')
    scripts = [part for part in text.split('```')[1::2] if '#!/bin/bash' in part]
    assert scripts
    for part in scripts:
        assert 'set -euo pipefail' in part
        assert 'mktemp' not in part or ('|| exit' in part and 'rm -rf -- "${work:?}"' in part)
