"""The image: small, pinned, and content with a read-only root, any user and no network."""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from container.engine import REPO, hosts_of_this_machine

from csvdprep import __version__
from csvdprep.phantom.dataset.demo import make_tiny

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3000)]

RUN = ('participant', '--sloppy', '--random-seed', '42')
#: Not even a temporary file system: only what is mounted can be written.
NO_TMP = '--read-only-tmpfs=false'
#: What differs from run to run: reports and logs tell when, the description tells where.
TELLS_THE_RUN = ('.html', 'dataset_description.json')


@pytest.fixture(scope='module')
def raw(tmp_path_factory):
    return make_tiny(tmp_path_factory.mktemp('tiny') / 'raw')


class Folders:
    """An output and a working folder that the user of the container owns."""

    def __init__(self, folder, raw):
        self.raw, self.out, self.work = raw, folder / 'out', folder / 'work'
        for path in (self.out, self.work):
            path.mkdir()
            shutil.chown(path, 12345, 12345)

    @property
    def mounts(self):
        return {'/data:ro': self.raw, '/out': self.out, '/work': self.work}


@pytest.fixture
def folders(tmp_path, raw):
    return Folders(tmp_path, raw)


def finish(process, within=1200):
    """Return the exit status and what was said; no traceback may be in it."""
    try:
        printed, said = process.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert 'Traceback' not in printed + said
    return process.returncode, said


def contents(out):
    """Return the bytes of all files that do not tell of the run itself."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in Path(out).rglob('*')
        if path.is_file()
        and not {'log', 'logs'} & set(path.parts)
        and not path.name.endswith(TELLS_THE_RUN)
    }


@pytest.fixture(scope='module')
def by_venv(raw, tmp_path_factory):
    """Return the bytes that this interpreter makes of the phantom."""
    folder = tmp_path_factory.mktemp('venv')
    command = [
        sys.executable,
        '-m',
        'csvdprep',
        str(raw),
        str(folder / 'out'),
        *RUN,
        '-w',
        str(folder / 'work'),
    ]
    # From the checkout, which is what the image was built from, whatever is installed.
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return contents(folder / 'out')


@pytest.fixture(scope='module')
def by_image(engine, image, raw, tmp_path_factory):
    """Run the phantom through the image."""
    folders = Folders(tmp_path_factory.mktemp('image'), raw)
    start = time.monotonic()
    code, said = finish(
        engine.start(
            engine.command(
                image,
                '-u',
                'HOME',
                'csvdprep',
                '/data',
                '/out',
                *RUN,
                '-w',
                '/work',
                mounts=folders.mounts,
                options=(NO_TMP, '--entrypoint=env', '--env=TMPDIR=/work'),
            )
        )
    )
    print(f'\nthe tiny phantom took {time.monotonic() - start:.0f} s')
    assert code == 0, said
    return folders


def test_it_is_small(engine, image):
    assert engine.inspect(image)['Size'] < 1.5e9


def test_it_says_what_it_is(engine, image):
    labels = engine.inspect(image)['Config']['Labels']
    found = {name.rsplit('.', 1)[-1]: value for name, value in labels.items()}
    assert found['title'] == 'csvdprep'
    assert found['licenses'] == 'Apache-2.0'
    assert found['version'] == __version__


def test_all_packages_are_pinned(engine, image):
    code = (
        'from importlib.metadata import distributions as d\n'
        "for x in d(): print(x.metadata['Name'] + '==' + x.version)"
    )
    done = engine.call(*engine.command(image, '-c', code, options=['--entrypoint=python']))
    lock = {_normal(x) for x in (REPO / 'constraints.txt').read_text().splitlines()}
    found = {_normal(line) for line in done.stdout.splitlines()}
    assert len(found) > 50
    assert found - lock == {_normal(f'csvdprep=={__version__}')}


def test_nothing_of_this_machine_is_inside(engine, image):
    code = """if True:
        import pathlib, sys
        for top in '/etc', '/root', '/home', '/src', '/opt':
            for path in pathlib.Path(top).rglob('*'):
                if path.is_file() and path.suffix not in ('.so', '.pyc', '.gz', '.onnx'):
                    data = path.read_bytes()
                    for word in sys.argv[1:]:
                        if word.encode() in data:
                            print(path, word)
        print(*pathlib.Path('/root').rglob('pip*'), *pathlib.Path('/etc').glob('pip*'))
    """
    words = [*hosts_of_this_machine(), str(REPO)]
    done = engine.call(
        *engine.command(image, '-c', code, *words, options=['--entrypoint=python', '--user=0'])
    )
    assert done.stdout.strip() == ''
    told = json.dumps(engine.inspect(image))
    assert not [word for word in words if word in told]


@pytest.mark.parametrize('argument', ['--version', '--help', 'doctor'])
def test_it_answers_anybody(engine, image, argument):
    done = engine.call(*engine.command(image, argument), check=False)
    assert done.returncode == 0, done.stdout
    assert 'Traceback' not in done.stderr
    assert {'--version': __version__, '--help': 'exit status:', 'doctor': 'ok    templates'}[
        argument
    ] in done.stdout


def test_no_arguments_give_the_usage(engine, image):
    done = engine.call(*engine.command(image), check=False)
    assert done.returncode == 2
    assert 'bids_dir' in done.stdout


def test_same_bytes_as_without_a_container(by_image, by_venv):
    found = contents(by_image.out)
    assert len(found) > 50
    assert sorted(found) == sorted(by_venv)
    assert [name for name in found if found[name] != by_venv[name]] == []


def test_the_container_is_named_in_the_dataset(by_image, image):
    described = json.loads((by_image.out / 'dataset_description.json').read_text())
    assert described['GeneratedBy'][0]['Container'] == {'Type': 'docker', 'Tag': image}


def test_nobody_is_told_of_the_run(by_image):
    # onnxruntime makes an identifier of the machine, and sends it home, unless told not to.
    left = [p for p in by_image.work.rglob('*') if 'onnxruntime' in p.name or p.name == '.ses']
    assert left == []


@pytest.mark.parametrize(
    'ending', [('kill', '--signal', 'TERM'), ('stop', '--time', '30')], ids=['SIGTERM', 'stop']
)
def test_ended_and_started_again(engine, image, by_venv, folders, ending):
    name = f'csvdprep-{ending[0]}'
    command = engine.command(image, '/data', '/out', *RUN, '-w', '/work', mounts=folders.mounts)
    process = engine.start([*command[:2], f'--name={name}', *command[2:]])
    _wait_for(folders.out, '*desc-brain_mask.nii.gz')
    asked = time.monotonic()
    engine.call('podman', ending[0], *ending[1:], name)
    code, said = finish(process, within=30)
    assert time.monotonic() - asked < 30
    assert code in (130, 143)
    assert 'goes on from here' in said
    code, said = finish(engine.start(command))
    assert code == 0, said
    assert contents(folders.out) == by_venv


def test_too_little_memory_is_told(engine, image, folders):
    options = ['--memory=400m', '--memory-swap=400m']
    code, said = finish(
        engine.start(
            engine.command(
                image, '/data', '/out', *RUN, '-w', '/work', mounts=folders.mounts, options=options
            )
        ),
        within=300,
    )
    if code in (125, 126):
        pytest.skip(f'memory cannot be limited here: {said.strip()}')
    assert code in (1, 137)  # 137: the kernel chose the first process
    if code == 1:
        assert 'because memory ran out' in said


def test_no_place_to_write_is_told(engine, image, folders):
    code, said = finish(
        engine.start(
            engine.command(image, '/data', '/out', *RUN, mounts=folders.mounts, options=[NO_TMP])
        )
    )
    assert code == 3
    assert 'Give a writable folder with -w' in said


def test_what_is_not_mounted_is_told(engine, image, folders):
    mounts = {'/data:ro': folders.raw}
    code, said = finish(
        engine.start(engine.command(image, '/data', '/out', *RUN, '-w', '/tmp', mounts=mounts))
    )
    assert code == 3
    assert 'cannot be written' in said


def _normal(line):
    return re.sub('[-_.]+', '-', line.lower())


def _wait_for(out, pattern):
    for _ in range(3000):
        if any(Path(out).rglob(pattern)):
            return
        time.sleep(0.1)
    raise AssertionError(f'{pattern} did not appear')
