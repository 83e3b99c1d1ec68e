"""A room for a kind of scan that nobody knows, added by one folder, found everywhere."""

import importlib
import json
import sys

import nibabel as nib
import numpy as np
import pytest

from csvdprep.cli.run import run
from csvdprep.core.errors import NothingToDo
from csvdprep.graph import discover as house

INIT = """
from csvdprep.core.declared import External, Frame, Input
from csvdprep.core.lesionlist import IDENTITY
from csvdprep.core.room import Column, Derivative, Figure, Limits, Measure, Room

ROOM = Room(
    name='glow', title='Glow', marker=True, needs=('glow',), wants=('glow_external',),
    inputs=(Input(name='glow', title='Glow image', description='Image of glow.',
                  datatype='anat', suffixes=('glow',), frame='glow'),),
    externals=(External(name='glow_external', title='glow mask', description='Mask of glow.',
                        grids=('glow',), words='glow', labels=('glow',)),),
    frames=(Frame(name='glow', description='Grid of the glow image.', space='glow',
                  source='glow'),),
    makes={
        'glow_mask': Derivative(suffix='mask', label='glow', frame='glow', description='Glow.'),
        'glow_list': Derivative(suffix='lesions', label='glow', frame='glow', extension='.tsv',
                                description='Each glow.', lists='Spots that glow',
                                columns=(*IDENTITY[:2], Column(name='heat', units='K',
                                                               description='How hot.'))),
    },
    figures=(Figure(desc='glow', suffix='glow', title='Glow', caption='It glows.',
                    build='rooms.glow.make:draw', takes=('glow', 'glow_mask')),),
    measures=(Measure(name='glow_ml', units='mL', description='Volume of glow.', method='count',
                      limits=Limits(ok=(0, 1000))),),
    build='rooms.glow.make:init_wf',
    methods='Glow was counted.',
)
"""

MAKE = """
from pathlib import Path

import numpy as np
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, traits

from csvdprep.interfaces.images import load, save
from csvdprep.interfaces.lists import write_rows
from csvdprep.interfaces.values import write_values
from csvdprep.interfaces.wiring import init_single_wf
from rooms.glow import ROOM


class _In(TraitedSpec):
    glow = File(exists=True, mandatory=True)
    glow_external = traits.Dict()


class _Out(TraitedSpec):
    glow_mask = File(exists=True)
    glow_list = File(exists=True)
    glow_values = File(exists=True)


class Glow(SimpleInterface):
    input_spec, output_spec = _In, _Out

    def _run_interface(self, runtime):
        image, folder = load(self.inputs.glow), Path(runtime.cwd)
        mask = (image.get_fdata() > 500).astype(np.uint8)
        ml = float(mask.sum() * np.prod(image.header.get_zooms()[:3]) / 1000)
        self._results['glow_mask'] = save(mask, image, folder / 'mask.nii.gz')
        self._results['glow_list'] = write_rows(
            [{'index': 1, 'volume_mm3': 1000 * ml, 'heat': 300.5}],
            ROOM.makes['glow_list'].columns, folder / 'list.tsv')
        self._results['glow_values'] = write_values(folder / 'values.json', {'glow_ml': ml})
        return runtime


def init_wf(*, room, options, context):
    return init_single_wf(Glow(), room=room, mem_gb=0.5)


def draw(*, out_file, glow, glow_mask):
    Path(out_file).write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"/>')
"""


@pytest.fixture
def bids(tmp_path):
    """Write a dataset that holds nothing but such an image."""
    folder = tmp_path / 'raw' / 'sub-01' / 'anat'
    folder.mkdir(parents=True)
    (tmp_path / 'raw' / 'dataset_description.json').write_text(
        json.dumps({'Name': 'glow', 'BIDSVersion': '1.10.0'})
    )
    at = np.meshgrid(*[np.linspace(-1, 1, 40)] * 3, indexing='ij')
    data = np.where(sum(a**2 for a in at) < 0.8, 200 + 40 * at[0] + 60 * at[1], 0)
    data[18:22, 18:22, 18:22] = 900
    image = nib.Nifti1Image(data.astype('f4'), np.diag([4.0, 4, 4, 1]))
    nib.save(image, folder / 'sub-01_glow.nii.gz')
    return tmp_path / 'raw'


@pytest.fixture
def clean():
    """Forget what was discovered, before and after."""
    caches = (house.discover, house.declared)
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()
    for name in [name for name in sys.modules if name.split('.')[0] == 'rooms']:
        del sys.modules[name]


@pytest.fixture
def glow(clean, tmp_path, monkeypatch):
    """Add the folder of the room."""
    folder = tmp_path / 'house' / 'rooms' / 'glow'
    folder.mkdir(parents=True)
    (folder.parent / '__init__.py').write_text('')
    (folder / '__init__.py').write_text(INIT)
    (folder / 'make.py').write_text(MAKE)
    monkeypatch.syspath_prepend(str(tmp_path / 'house'))
    monkeypatch.setattr(house, 'WINGS', (*house.WINGS, 'rooms'))
    importlib.invalidate_caches()


def test_one_folder_is_enough(glow, bids, tmp_path, capsys):
    from csvdprep.cli.parser import get_parser

    said = ' '.join(get_parser().format_help().split())
    assert 'scans (t1w, flair, glow, dwi)' in said
    assert 'fazekas, glow, nawm' in said
    out = tmp_path / 'out'
    asked = [str(bids), str(out), 'participant', '-w', str(tmp_path / 'work'), '--nprocs', '1']
    filters = tmp_path / 'filter.json'
    filters.write_text('{"glow": {"acquisition": "none"}}')
    with pytest.raises(NothingToDo):
        run([*asked, '--dry-run', '--bids-filter-file', str(filters)])
    assert 'no file of sub-01 fits the filter' in capsys.readouterr().out
    assert run([*asked, '--dry-run']) == 0
    plan = capsys.readouterr().out
    assert 'sub-01_glow.nii.gz' in plan
    assert 'glow           will run' in plan
    assert run(asked) == 0
    anat = out / 'sub-01' / 'anat'
    mask = anat / 'sub-01_space-glow_label-glow_mask.nii.gz'
    assert np.asarray(nib.load(mask).dataobj).sum() == 64
    facts = json.loads((anat / 'sub-01_label-glow_lesions.json').read_text())
    assert facts['heat'] == {'Description': 'How hot.', 'Units': 'K'}
    reference = json.loads((anat / 'sub-01_space-glow_label-glow_mask.json').read_text())
    assert reference['SpatialReference'] == 'bids:raw:sub-01/anat/sub-01_glow.nii.gz'
    page = (out / 'sub-01.html').read_text()
    for words in ('Spots that glow', '300.5', 'It glows.', 'Volume of glow.', 'Glow was counted.'):
        assert words in page
    assert run([str(bids), str(out), 'group', '-w', str(tmp_path / 'work')]) == 0
    measures = (out / 'group_measures.tsv').read_text().splitlines()
    row = dict(zip(*(line.split('\t') for line in measures), strict=True))
    assert float(row['glow_ml']) == pytest.approx(4.096)
    assert 'input_glow' in (out / 'group_status.tsv').read_text().splitlines()[0]


def test_without_it_nothing_is_left(clean, bids, tmp_path):
    with pytest.raises(NothingToDo, match='No T1w, FLAIR or DWI'):
        run([str(bids), str(tmp_path / 'out'), 'participant', '-w', str(tmp_path / 'work')])


def test_a_name_is_declared_once(glow):
    from csvdprep.core.declared import Declared

    room = next(room for room in house.discover() if room.name == 'glow')
    with pytest.raises(ValueError, match='declared by two rooms'):
        Declared.of([room, room])
