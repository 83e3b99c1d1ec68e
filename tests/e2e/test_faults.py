"""What may go wrong during a run, on the tiny phantom: minutes, so not by default."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from csvdprep.phantom.dataset.demo import make_tiny

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3000)]


@pytest.fixture(scope='module')
def raw(tmp_path_factory):
    return make_tiny(tmp_path_factory.mktemp('tiny') / 'raw')


def start(raw, out, work, *more):
    command = [sys.executable, '-m', 'csvdprep', str(raw), str(out), 'participant', '-w',
               str(work), '--sloppy', *more]  # fmt: skip
    # A shell starts background jobs deaf to SIGINT, and their children inherit it.
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True,
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def finish(process):
    _, said = process.communicate(timeout=2400)
    assert 'Traceback' not in said
    return process.returncode, said


def contents(out):
    """Return the bytes of all images, transforms and tables."""
    kinds = ('.nii.gz', '.h5', '.txt', '.tsv')
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in Path(out).rglob('*')
        if path.name.endswith(kinds) and not {'log', 'logs'} & set(path.parts)
    }


@pytest.fixture(scope='module')
def undisturbed(raw, tmp_path_factory):
    folder = tmp_path_factory.mktemp('undisturbed')
    code, _ = finish(start(raw, folder / 'out', folder / 'work', '--nprocs', '1'))
    assert code == 0
    return contents(folder / 'out')


def test_same_bytes_whatever_the_processes(raw, undisturbed, tmp_path):
    code, _ = finish(start(raw, tmp_path / 'out', tmp_path / 'work', '--nprocs', '3',
                           '--omp-nthreads', '2'))  # fmt: skip
    assert code == 0
    assert contents(tmp_path / 'out') == undisturbed


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_and_restarted(raw, undisturbed, tmp_path, number):
    process = start(raw, tmp_path / 'out', tmp_path / 'work')
    _wait_for(tmp_path / 'out', '*desc-brain_mask.nii.gz')
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    code, _ = finish(process)
    assert code == (130 if number != signal.SIGKILL else -9)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
    code, _ = finish(start(raw, tmp_path / 'out', tmp_path / 'work'))
    assert code == 0
    assert contents(tmp_path / 'out') == undisturbed


def test_a_killed_worker_is_told_and_mended(raw, undisturbed, tmp_path):
    process = start(raw, tmp_path / 'out', tmp_path / 'work')
    _wait_for(tmp_path / 'out', '*desc-brain_mask.nii.gz')
    parent = psutil.Process(process.pid)
    for _ in range(200):
        if children := parent.children():
            children[0].kill()
            break
        time.sleep(0.05)
    code, said = finish(process)
    assert code == 1
    assert 'was killed' in said
    assert '--mem' in said
    code, _ = finish(start(raw, tmp_path / 'out', tmp_path / 'work'))
    assert code == 0
    assert contents(tmp_path / 'out') == undisturbed


def test_two_runs_on_one_folder(raw, undisturbed, tmp_path):
    runs = [start(raw, tmp_path / 'out', tmp_path / f'work{i}') for i in range(2)]
    said = [finish(process) for process in runs]
    assert [code for code, _ in said] == [0, 0]
    assert any('Another run' in text for _, text in said)
    assert contents(tmp_path / 'out') == undisturbed


@pytest.mark.skipif(os.geteuid() != 0, reason='a small tmpfs can be mounted by root only')
def test_full_disk(raw, tmp_path):
    small = tmp_path / 'small'
    small.mkdir()
    mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', str(small)],
                             check=False)  # fmt: skip
    if mounted.returncode:
        pytest.skip('a tmpfs cannot be mounted here')
    try:
        code, said = finish(start(raw, tmp_path / 'out', small / 'work'))
        assert code in (1, 3)
        assert 'full' in said or 'No space' in said or 'free' in said
    finally:
        subprocess.run(['umount', str(small)], check=True)
    code, _ = finish(start(raw, tmp_path / 'out', tmp_path / 'work'))
    assert code == 0


def test_a_bad_flair_leaves_the_anatomy(raw, tmp_path):
    shutil.copytree(raw, tmp_path / 'raw')
    flair = next((tmp_path / 'raw').rglob('sub-01*_FLAIR.nii.gz'))
    flair.write_bytes(flair.read_bytes()[:5000])
    code, said = finish(start(tmp_path / 'raw', tmp_path / 'out', tmp_path / 'work'))
    assert code == 1
    assert flair.name in said
    table = next((tmp_path / 'out').rglob('*desc-csvd_measures.tsv')).read_text().splitlines()
    found = dict(zip(*(line.split('\t') for line in table), strict=True))
    assert found['bpf'] != 'n/a'
    assert found['wmh_total_ml'] == 'n/a'


def test_flair_alone(raw, tmp_path):
    shutil.copytree(raw, tmp_path / 'raw')
    for path in (tmp_path / 'raw').rglob('sub-01*_T1w.*'):
        path.unlink()
    code, _ = finish(start(tmp_path / 'raw', tmp_path / 'out', tmp_path / 'work'))
    assert code == 0
    table = next((tmp_path / 'out').rglob('*desc-csvd_measures.tsv')).read_text().splitlines()
    found = dict(zip(*(line.split('\t') for line in table), strict=True))
    assert found['qc_reference'] == 'FLAIR'
    assert found['bpf'] == 'n/a'
    assert float(found['wmh_total_ml']) > 1


def _wait_for(out, pattern):
    for _ in range(3000):
        if any(Path(out).rglob(pattern)):
            return
        time.sleep(0.2)
    raise AssertionError(f'{pattern} did not appear')
