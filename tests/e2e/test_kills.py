"""A run that is killed at fifty random moments loses nothing: many minutes, so not by default."""

import os
import random
import shutil
import signal
import subprocess
import time

import psutil
import pytest
from e2e.test_faults import contents, finish, start

from csvdprep.phantom.dataset.demo import make_tiny

KILLS = 50
#: Seeds are kept: a failure can be repeated as far as a machine's timing allows.
SEED = 20261128
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(7200)]


@pytest.fixture(scope='module')
def raw(tmp_path_factory):
    return make_tiny(tmp_path_factory.mktemp('tiny') / 'raw')


@pytest.fixture(scope='module')
def undisturbed(raw, tmp_path_factory):
    """Bytes of a run that nobody disturbs, and the seconds that it takes."""
    folder = tmp_path_factory.mktemp('undisturbed')
    begin = time.monotonic()
    code, _ = finish(start(raw, folder / 'out', folder / 'work'))
    assert code == 0
    return contents(folder / 'out'), time.monotonic() - begin


def test_killed_at_fifty_random_moments(raw, undisturbed, tmp_path):
    expected, seconds = undisturbed
    moments = random.Random(SEED)
    out, work = tmp_path / 'out', tmp_path / 'work'
    kills = finished = 0
    while kills < KILLS:
        process = start(raw, out, work)
        children = []
        try:
            # What was done is kept, so later runs are shorter: some are left to end.
            process.wait(moments.uniform(0.5, 0.6 * seconds))
        except subprocess.TimeoutExpired:
            children = psutil.Process(process.pid).children(recursive=True)
            # Every third kill takes a worker too, as the kernel does for want of memory.
            if children and kills % 3 == 0:
                os.kill(moments.choice(children).pid, signal.SIGKILL)
            process.kill()
            kills += 1
        code, said = finish(process)
        _, alive = psutil.wait_procs(children, timeout=20)
        assert not alive
        if code == 0:
            finished += 1
            assert contents(out) == expected, f'after {kills} kills'
            shutil.rmtree(out)
        else:
            assert code == -signal.SIGKILL, said
    code, said = finish(start(raw, out, work))
    assert code == 0, said
    assert contents(out) == expected
    # Intermediates of the killed runs are gone, too.
    assert not [p for p in work.iterdir() if p.name.startswith('csvdprep_wf')]
    print(f'{kills} kills, {finished + 1} complete results, all equal')
