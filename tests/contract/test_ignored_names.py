"""Files of a participant, which have no session, have names that the validator leaves alone."""

from fnmatch import fnmatchcase

import pytest

from csvdprep.bids.dataset import IGNORED
from csvdprep.graph.discover import discover

MADE = [
    (room.name, item)
    for room in discover(level='participant')
    for item in room.makes.values()
    if item.saved
]


@pytest.mark.parametrize(('room', 'item'), MADE, ids=[f'{r}-{i.suffix}-{i.desc}' for r, i in MADE])
def test_names_that_bids_does_not_know_are_ignored(room, item):
    on_grid = item.frame.startswith('halfway') and item.suffix != 'poses'
    kind = item.frame.removeprefix('halfway_')
    space = f'space-halfway{kind}_' if on_grid else ''
    name = f'sub-01_{space}{item.suffix}.tsv'
    assert any(fnmatchcase(name, rule) for rule in IGNORED), (room, name)
