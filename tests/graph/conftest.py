"""The tiny phantom and what the whole application makes of it, once for all tests here."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from builders import APP_OPTIONS, app
from secrets_of_people import put_secrets
from storage import copy_visit

from csvdprep.phantom.dataset.demo import make_tiny


@pytest.fixture(scope='session')
def runs(tmp_path_factory):
    """The tiny phantom, and its visit in other orders of storage and another unit, as doubles.

    Two runs at once, each in a folder with ``raw``, ``out`` and ``work``.
    """
    one = tmp_path_factory.mktemp('tiny été')  # blanks and letters beyond ASCII
    two = tmp_path_factory.mktemp('turned')
    make_tiny(one / 'raw')
    put_secrets(one / 'raw')
    shutil.copytree(one / 'raw', two / 'raw')
    copy_visit(
        two / 'raw',
        '02',
        {'T1w': 'LPI', 'FLAIR': 'PSR'},
        {'scale': 275.0, 'dtype': np.float64, 'big_endian': True},
    )
    shutil.rmtree(two / 'raw' / 'sub-01')
    command = [
        sys.executable,
        '-m',
        'csvdprep',
        two / 'raw',
        two / 'out',
        'participant',
        '-w',
        two / 'work',
        *APP_OPTIONS,
        '--nprocs',
        '1',
    ]
    beside = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert app(one / 'raw', one / 'out', one / 'work', '--nprocs', '2') == 0
    _, said = beside.communicate()
    assert beside.returncode == 0, said
    return one, two


@pytest.fixture(scope='session')
def tiny(runs):
    return runs[0]


@pytest.fixture(scope='session')
def turned(runs):
    return runs[1]
