"""What may go wrong during a run, on the tiny phantom: minutes, so not by default."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from csvdprep.phantom.dataset.demo import make_tiny

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3000)]


@pytest.fixture(scope='module')
def raw(tmp_path_factory):
    return make_tiny(tmp_path_factory.mktemp('tiny') / 'raw')


def start(raw, out, work, *more):
    command = [
        sys.executable,
        '-m',
        'csvdprep',
        str(raw),
        str(out),
        'participant',
        '-w',
        str(work),
        '--sloppy',
        *more,
    ]
    # A shell starts background jobs deaf to SIGINT, and their children inherit it.
    return subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


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
    code, _ = finish(
        start(raw, tmp_path / 'out', tmp_path / 'work', '--nprocs', '3', '--omp-nthreads', '2')
    )
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
    mounted = subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', str(small)], check=False
    )
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


def test_too_little_memory_is_told_at_once(raw, tmp_path):
    command = [
        sys.executable,
        '-m',
        'csvdprep',
        str(raw),
        str(tmp_path / 'out'),
        'participant',
        '-w',
        str(tmp_path / 'work'),
        '--sloppy',
        '--nprocs',
        '1',
    ]
    begin = time.monotonic()
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (900 * 10**6, 900 * 10**6)),
    )
    assert done.returncode == 1
    assert time.monotonic() - begin < 60
    assert 'There was not enough memory. Remedy:' in done.stderr
    assert 'Traceback' not in done.stderr


def test_a_work_directory_full_of_rubbish_changes_nothing(raw, undisturbed, tmp_path):
    process = start(raw, tmp_path / 'out', tmp_path / 'work', '--keep-workdir')
    _wait_for(tmp_path / 'out', '*desc-brain_mask.nii.gz')
    process.kill()
    finish(process)
    spoilt = 0
    for path in sorted((tmp_path / 'work').rglob('*')):
        if path.is_file() and path.name != '.lock':
            path.write_bytes(os.urandom(100) if spoilt % 2 else b'')
            spoilt += 1
    assert spoilt > 10
    code, said = finish(start(raw, tmp_path / 'out', tmp_path / 'work'))
    assert code == 0, said
    assert contents(tmp_path / 'out') == undisturbed


def test_what_was_finished_is_believed_by_content_and_not_by_the_clock(raw, undisturbed, tmp_path):
    shutil.copytree(raw, tmp_path / 'raw')
    code, _ = finish(start(tmp_path / 'raw', tmp_path / 'out', tmp_path / 'work'))
    assert code == 0
    # The clock of the disk runs a year ahead for the inputs, and a year behind for the results.
    for root, years in (('raw', 1), ('out', -1)):
        for path in (tmp_path / root).rglob('*'):
            moment = time.time() + years * 365 * 86400
            os.utime(path, (moment, moment))
    code, said = finish(start(tmp_path / 'raw', tmp_path / 'out', tmp_path / 'work'))
    assert code == 0
    assert 'already complete' in said
    # A derivative that was harmed is made anew, whatever its time says.
    mask = next((tmp_path / 'out').rglob('*_space-FLAIR_label-WMH_mask.nii.gz'))
    facts = mask.stat()
    mask.write_bytes(mask.read_bytes()[:-20])
    os.utime(mask, (facts.st_atime, facts.st_mtime))
    code, said = finish(start(tmp_path / 'raw', tmp_path / 'out', tmp_path / 'work'))
    assert code == 0
    assert contents(tmp_path / 'out') == undisturbed


def test_a_changed_image_is_computed_again_and_the_rest_is_not(raw, tmp_path):
    import nibabel as nib

    shutil.copytree(raw, tmp_path / 'raw')
    code, _ = finish(start(tmp_path / 'raw', tmp_path / 'out', tmp_path / 'work'))
    assert code == 0
    flair = next((tmp_path / 'raw').rglob('sub-01*_FLAIR.nii.gz'))
    image = nib.load(flair)
    data = np.asanyarray(image.dataobj).copy()
    data[data.shape[0] // 2] = 0
    moment = flair.stat().st_mtime
    nib.save(nib.Nifti1Image(data, image.affine, image.header), flair)
    os.utime(flair, (moment, moment))
    before = contents(tmp_path / 'out')
    code, _ = finish(start(tmp_path / 'raw', tmp_path / 'out', tmp_path / 'work'))
    assert code == 0
    after = contents(tmp_path / 'out')
    changed = {name for name in before if before[name] != after.get(name)}
    assert any('label-WMH_mask' in name for name in changed)
    assert not any(
        'T1w_desc-brain' in name or name.endswith('_desc-brain_mask.nii.gz')
        for name in changed
        # In the template it follows the registration, which leaves out lesions of the FLAIR.
        if 'FLAIR' not in name and '/dwi/' not in name and 'space-MNI' not in name
    )
    status = json.loads(next((tmp_path / 'out').rglob('log/status.json')).read_text())
    assert status['rooms']['brain'] == 'cached'
    assert status['rooms']['wmh'] == 'done'


@pytest.mark.parametrize('utf8', [[], ['-X', 'utf8=0']], ids=['started again', 'as it is'])
def test_a_failure_is_told_under_an_ascii_locale_with_other_letters_in_all_paths(
    raw, tmp_path, utf8
):
    import nibabel as nib

    root = tmp_path / 'é' / 'raw'
    shutil.copytree(raw, root)
    for path in sorted((root / 'sub-01').rglob('*')):
        if path.is_file() and path.parent.name == 'anat':
            copy = root / path.relative_to(root).as_posix().replace('sub-01', 'sub-02')
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    noise = next(root.rglob('sub-02*_T1w.nii.gz'))
    image = nib.load(noise)
    data = np.random.default_rng(0).normal(500, 20, image.shape).astype('int16')
    nib.save(nib.Nifti1Image(data, image.affine, image.header), noise)
    out = tmp_path / 'é' / 'out'
    command = [
        sys.executable,
        *utf8,
        '-m',
        'csvdprep',
        str(root),
        str(out),
        'participant',
        '-w',
        str(tmp_path / 'é' / 'work'),
        '--sloppy',
        '--markers',
        'atrophy',
        '--ignore',
        'dwi',
        '--nprocs',
        '2',
        '--resource-monitor',
        '--write-graph',
    ]
    env = {
        'PATH': os.environ['PATH'],
        'PYTHONPATH': os.pathsep.join(filter(None, sys.path)),
        'LC_ALL': 'C',
        'PYTHONCOERCECLOCALE': '0',
        'PYTHONUTF8': '1' if utf8 else '0',
    }
    done = subprocess.run(command, env=env, capture_output=True, check=False)
    assert done.returncode == 1, done.stderr
    assert b'Traceback' not in done.stderr
    assert b'No brain was found' in done.stderr
    states = {}
    for path in out.glob('sub-*/ses-*/log/status.json'):
        status = json.loads(path.read_text(encoding='utf-8'))
        states[status['visit'].split('_')[0]] = status['state']
        assert len(list(path.parent.parent.glob('*desc-csvd_measures.tsv'))) == 1
        assert not {'tables', 'log', 'report'} & {f['room'] for f in status['failures']}
    # ANTs takes no names that are not text, which they are once the command is started again.
    assert states == {'sub-01': 'failed' if utf8 else 'ok', 'sub-02': 'failed'}
    assert len(list(out.glob('sub-*.html'))) == 2
    assert any(
        'No brain was found' in path.read_text(encoding='utf-8', errors='replace')
        for path in out.rglob('crash-*.txt')
    )
