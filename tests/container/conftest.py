"""The image, built once a session."""

import os
from pathlib import Path

import pytest
from container.engine import Engine, Unusable

from csvdprep import __version__

TAG = 'csvdprep:tested'


@pytest.fixture(scope='session')
def engine(tmp_path_factory):
    """Yield what builds and runs images.

    ``CSVDPREP_TEST_IMAGES`` may name a folder that keeps base and layers from one session to
    the next.
    """
    kept = os.environ.get('CSVDPREP_TEST_IMAGES')
    folder = Path(kept) if kept else tmp_path_factory.mktemp('images')
    try:
        made = Engine(folder, keep=bool(kept))
    except Unusable as why:
        pytest.skip(str(why))
    try:
        try:
            made.prepare()
        except Unusable as why:
            pytest.skip(f'there is no image to start from: {why}')
        yield made
    finally:
        made.close()


@pytest.fixture(scope='session')
def image(engine):
    """Build the image and return its name."""
    seconds = engine.build(TAG, version=__version__)
    print(f'\nbuilt in {seconds:.0f} s, {engine.inspect(TAG)["Size"] / 1e6:.0f} MB')
    return TAG
