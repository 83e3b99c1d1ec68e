"""A room for a kind of scan that nobody knows, added by one folder, found everywhere."""

import importlib
import json
import re
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

from csvdprep.imaging.images import load, save
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
        self._results['glow_values'] = write_values(folder / 'values.json', {'glow_ml': ml}, ROOM)
        return runtime


def init_wf(*, room, options, context):
    return init_single_wf(Glow(), room=room, mem_gb=0.5)


def draw(*, out_file, glow, glow_mask):
    Path(out_file).write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"/>')
"""


DUSK = """
from csvdprep.core.room import Measure, Room

ROOM = Room(
    name='dusk', title='Dusk', marker=True, needs=('glow',), wants=('glow_mask',), makes={},
    measures=(Measure(name='dusk_masked', units='', description='Whether glow was left out.',
                      method='look'),),
    build='rooms.dusk.make:init_wf',
)
"""

DUSK_MAKE = """
from pathlib import Path

from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, isdefined

from csvdprep.interfaces.values import write_values
from csvdprep.interfaces.wiring import init_single_wf
from rooms.dusk import ROOM


class _In(TraitedSpec):
    glow = File(exists=True, mandatory=True)
    glow_mask = File(exists=True)


class _Out(TraitedSpec):
    dusk_values = File(exists=True)


class Dusk(SimpleInterface):
    input_spec, output_spec = _In, _Out

    def _run_interface(self, runtime):
        masked = 'yes' if isdefined(self.inputs.glow_mask) else 'no'
        self._results['dusk_values'] = write_values(
            Path(runtime.cwd) / 'values.json', {'dusk_masked': masked}, ROOM)
        return runtime


def init_wf(*, room, options, context):
    return init_single_wf(Dusk(), room=room, mem_gb=0.1)
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
    _write_room(folder, INIT, MAKE)
    monkeypatch.syspath_prepend(str(tmp_path / 'house'))
    monkeypatch.setattr(house, 'WINGS', (*house.WINGS, 'rooms'))
    importlib.invalidate_caches()


def _write_room(folder, declaration, code):
    folder.mkdir(exist_ok=True)
    (folder / '__init__.py').write_text(declaration)
    (folder / 'make.py').write_text(code)


def _forget():
    """Let modules be read again."""
    for name in [name for name in sys.modules if name.startswith('rooms')]:
        del sys.modules[name]
    house.discover.cache_clear()
    house.declared.cache_clear()
    importlib.invalidate_caches()


def _measures(out):
    lines = (out / 'sub-01' / 'sub-01_desc-csvd_measures.tsv').read_text().splitlines()
    return dict(zip(*(line.split('\t') for line in lines), strict=True))


def test_who_only_wants_what_failed_goes_without(glow, bids, tmp_path, capsys):
    house_dir = tmp_path / 'house' / 'rooms'
    _write_room(house_dir / 'dusk', DUSK, DUSK_MAKE)
    broken = MAKE.replace(
        'image, folder = load', "raise ValueError('no film'); image, folder = load"
    )
    _write_room(house_dir / 'glow', INIT, broken)
    out = tmp_path / 'out'
    asked = [str(bids), str(out), 'participant', '-w', str(tmp_path / 'work'), '--nprocs', '1']
    assert run(asked) == 1
    found = _measures(out)
    assert found['glow_ml'] == 'n/a'
    assert found['dusk_masked'] == 'no'
    page = (out / 'sub-01.html').read_text()
    assert 'Dusk runs without glow_mask: Glow failed, or a step that it needs.' in page
    state = json.loads((out / 'sub-01' / 'log' / 'status.json').read_text())
    assert state['rooms']['dusk'] == 'done'
    assert state['rooms']['glow'] == 'failed'
    assert len(state['failures']) == 1
    # The same once more: what was computed stays, and is told in the same way.
    for more in ([], ['--rerun', 'all'], ['--reports-only']):
        assert run([*asked, *more]) == 1
        assert _measures(out)['dusk_masked'] == 'no'
        assert 'Dusk runs without glow_mask' in (out / 'sub-01.html').read_text()
    # What failed works now: who wanted it is computed again, with it.
    _write_room(house_dir / 'glow', INIT, MAKE)
    _forget()
    assert run(asked) == 0
    assert _measures(out)['dusk_masked'] == 'yes'
    # Where all is computed again and fails, what an earlier run left is not given out.
    _write_room(house_dir / 'glow', INIT, broken)
    _forget()
    assert run([*asked, '--rerun', 'all']) == 1
    found = _measures(out)
    assert (found['glow_ml'], found['dusk_masked']) == ('n/a', 'no')
    state = json.loads((out / 'sub-01' / 'log' / 'status.json').read_text())
    assert state['rooms']['glow'] == 'failed'


def test_what_is_not_kept_is_made_again_for_who_takes_it(glow, bids, tmp_path, capsys):
    house_dir, out, ran = tmp_path / 'house' / 'rooms', tmp_path / 'out', tmp_path / 'ran'
    film = "'glow_film': Derivative(suffix='film', frame='glow', description='Film.', "
    declared = INIT.replace("'glow_list':", film + "saved=False, kept=False),\n 'glow_list':")
    code = MAKE.replace('glow_list = File', 'glow_film = glow_list = File').replace(
        '        ml = ',
        f"        open({str(ran)!r}, 'a').write('x')\n"
        "        self._results['glow_film'] = save(mask * 2, image, folder / 'film.nii.gz')\n"
        '        ml = ',
    )
    _write_room(house_dir / 'glow', declared, code)
    dusk = DUSK_MAKE.replace('glow_mask', 'glow_film').replace(
        "'yes' if isdefined(self.inputs.glow_film) else 'no'",
        'str(__import__("nibabel").load(self.inputs.glow_film).get_fdata().sum())',
    )
    _write_room(house_dir / 'dusk', DUSK.replace('glow_mask', 'glow_film'), dusk)
    asked = [str(bids), str(out), 'participant', '-w', str(tmp_path / 'work'), '--nprocs', '1']
    assert run(asked) == 0
    assert _measures(out)['dusk_masked'] == '128.0'
    assert not [*out.rglob('*film*')]
    assert run(asked) == 0
    assert ran.read_text() == 'x'
    # Who took it has to run again: it is made once more, and nothing else changes.
    (checkpoint,) = out.rglob('dusk.json')
    before = {p: p.stat().st_mtime_ns for p in out.rglob('*glow_*') if p.is_file()}
    checkpoint.unlink()
    capsys.readouterr()
    assert run([*asked, '--dry-run']) == 0
    assert 'again, for    glow_film, which is not kept' in capsys.readouterr().out
    assert run(asked) == 0
    assert ran.read_text() == 'xx'
    assert _measures(out)['dusk_masked'] == '128.0'
    assert before == {p: p.stat().st_mtime_ns for p in before}
    state = json.loads((out / 'sub-01' / 'log' / 'status.json').read_text())
    assert state['state'] == 'ok'


@pytest.mark.parametrize('plugin', ['', 'Linear', 'MultiProc'])
def test_what_a_room_raises_is_told_whoever_runs_it(glow, bids, tmp_path, capsys, plugin):
    raised = "raise MeasureError('No film.', field='EchoTime', remedy='load one.')"
    broken = MAKE.replace('image, folder = load', f'{raised}; image, folder = load')
    broken = 'from csvdprep.core.errors import MeasureError\n' + broken
    _write_room(tmp_path / 'house' / 'rooms' / 'glow', INIT, broken)
    out = tmp_path / 'out'
    asked = [str(bids), str(out), 'participant', '-w', str(tmp_path / 'work'), '--nprocs', '1']
    if plugin:
        file = tmp_path / 'plugin.json'
        arguments = {'n_procs': 1, 'memory_gb': 4} if plugin == 'MultiProc' else {}
        file.write_text(json.dumps({'plugin': plugin, 'plugin_args': arguments}))
        asked += ['--use-plugin', str(file)]
    assert run(asked) == 1
    said = 'glow FAILED: No film. [field: EchoTime] Remedy: load one.'
    assert capsys.readouterr().err.count(said) == 1
    state = json.loads((out / 'sub-01' / 'log' / 'status.json').read_text())
    assert state['rooms']['glow'] == 'failed'
    (failure,) = state['failures']
    assert 'No film.' in (out / failure.pop('file')).read_text(encoding='utf-8')
    assert failure.pop('node')
    assert failure == {
        'room': 'glow',
        'kind': 'measure',
        'message': 'No film. [field: EchoTime]',
        'remedy': 'load one.',
    }
    page = (out / 'sub-01.html').read_text()
    assert 'No film. [field: EchoTime] Remedy: load one.' in page
    assert 'href="./sub-01/log/' in page


@pytest.mark.parametrize('plugin', ['', 'Linear'])
def test_no_folder_of_the_machine_is_told(glow, bids, tmp_path, capsys, plugin):
    raised = "raise MeasureError('No film.', file=self.inputs.glow)"
    broken = MAKE.replace('image, folder = load', f'{raised}; image, folder = load')
    broken = 'from csvdprep.core.errors import MeasureError\n' + broken
    _write_room(tmp_path / 'house' / 'rooms' / 'glow', INIT, broken)
    out = tmp_path / 'out'
    asked = [str(bids), str(out), 'participant', '-w', str(tmp_path / 'work'), '--nprocs', '1']
    if plugin:
        file = tmp_path / 'plugin.json'
        file.write_text(json.dumps({'plugin': plugin, 'plugin_args': {}}))
        asked += ['--use-plugin', str(file)]
    assert run(asked) == 1
    # Who sits at the machine is told where the file is.
    assert f'No film. [file: {bids}/sub-01/anat/sub-01_glow.nii.gz]' in capsys.readouterr().err
    said = 'No film. [file: sub-01/anat/sub-01_glow.nii.gz]'
    state = json.loads((out / 'sub-01' / 'log' / 'status.json').read_text())
    (failure,) = state['failures']
    assert failure['message'] == said
    assert said in (out / 'sub-01.html').read_text()
    crash = out / failure['file']
    assert said in crash.read_text(encoding='utf-8')
    for path in [crash, *out.rglob('status.json'), *out.rglob('*.html'), *out.rglob('*.tsv')]:
        text = path.read_text(encoding='utf-8')
        assert not [root for root in (bids, out, tmp_path / 'work') if f'{root}/' in text], path


def test_one_folder_is_enough(glow, bids, tmp_path, capsys):
    from csvdprep.cli.parser import get_parser

    said = ' '.join(get_parser().format_help().split())
    assert 'scans (t1w, flair, gre, t2w, tof, glow, dwi, trace, asl, dce, dsc)' in said
    assert 'fazekas, glow, infarcts, microbleeds, nawm' in said
    out = tmp_path / 'out'
    asked = [str(bids), str(out), 'participant', '-w', str(tmp_path / 'work'), '--nprocs', '1']
    filters = tmp_path / 'filter.json'
    filters.write_text('{"glow": {"acquisition": "none"}}')
    with pytest.raises(NothingToDo):
        run([*asked, '--dry-run', '--bids-filter-file', str(filters)])
    assert 'no file of sub-01 matches the filter' in capsys.readouterr().out
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
    for words in ('Spots that glow', '300.5', 'It glows.', 'Volume of glow', 'Glow was counted.'):
        assert words in page
    assert run([str(bids), str(out), 'group', '-w', str(tmp_path / 'work')]) == 0
    measures = (out / 'group_measures.tsv').read_text().splitlines()
    row = dict(zip(*(line.split('\t') for line in measures), strict=True))
    assert float(row['glow_ml']) == pytest.approx(4.096)
    assert 'input_glow' in (out / 'group_status.tsv').read_text().splitlines()[0]


def test_visits_of_a_participant_are_compared(glow, bids, tmp_path, capsys):
    first = bids / 'sub-01' / 'anat' / 'sub-01_glow.nii.gz'
    image = nib.load(first)
    for session, edge in (('1', 22), ('2', 24)):
        folder = bids / 'sub-01' / f'ses-{session}' / 'anat'
        folder.mkdir(parents=True)
        data = image.get_fdata().astype('f4')
        data[18:edge, 18:22, 18:22] = 900
        nib.save(nib.Nifti1Image(data, image.affine), folder / f'sub-01_ses-{session}_glow.nii.gz')
    first.unlink()
    first.parent.rmdir()
    table = 'session_id\tdays_since_first_session\nses-1\t0\nses-2\t730.5\n'
    (bids / 'sub-01' / 'sub-01_sessions.tsv').write_text(table)
    out = tmp_path / 'out'
    asked = [str(bids), str(out), 'participant', '-w', str(tmp_path / 'work'), '--nprocs', '1']
    # One visit alone, as a task of a cluster: nothing is compared yet.
    assert run([*asked, '--visit', 'sub-01_ses-1']) == 0
    assert not (out / 'sub-01.html').exists()
    assert run(asked) == 0
    path = out / 'sub-01' / 'sub-01_desc-change_measures.tsv'
    lines = [line.split('\t') for line in path.read_text().splitlines()]
    (row,) = [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]
    assert (row['measure'], row['from_session'], row['to_session']) == (
        'glow_ml',
        'ses-1',
        'ses-2',
    )
    assert float(row['years']) == 2
    assert float(row['difference']) == pytest.approx(2 * 4 * 4 * 0.064)
    assert float(row['per_year']) == pytest.approx(4 * 4 * 0.064)
    facts = json.loads(path.with_suffix('.json').read_text())
    assert len(facts['Sources']) == 2
    assert facts['per_year']['Description']
    page = (out / 'sub-01.html').read_text()
    assert 'Differences of measures between visits' in page
    assert re.search(r'All \d+ differences\.', page)
    state = json.loads((out / 'sub-01' / 'log' / 'participant' / 'status.json').read_text())
    assert (state['state'], state['rooms']) == ('ok', {'change': 'done'})
    capsys.readouterr()
    assert run([*asked[:2], 'longitudinal', *asked[3:]]) == 0
    assert 'already complete' in capsys.readouterr().err
    # Another interval makes it stale; the visits stay.
    (bids / 'sub-01' / 'sub-01_sessions.tsv').write_text(table.replace('730.5', '365.25'))
    assert run(asked) == 0
    said = capsys.readouterr().err
    assert 'sub-01_ses-1: already complete' in said
    assert path.read_text() != '\n'.join('\t'.join(line) for line in lines) + '\n'
    assert run([str(bids), str(out), 'group', '-w', str(tmp_path / 'work')]) == 0
    together = (out / 'group_change.tsv').read_text().splitlines()
    assert together[1].startswith('sub-01\tses-1\tses-2\t1\tglow_ml\t')
    visits = (out / 'group_measures.tsv').read_text().splitlines()
    assert [line.split('\t')[:2] for line in visits[1:]] == [
        ['sub-01', 'ses-1'],
        ['sub-01', 'ses-2'],
    ]


def test_without_it_nothing_is_left(clean, bids, tmp_path):
    with pytest.raises(
        NothingToDo,
        match=r'No T1w, FLAIR, T2\*w or SWI, T2w, TOF angiogram, DWI, trace with ADC, ASL, '
        r'DCE-MRI or DSC',
    ):
        run([str(bids), str(tmp_path / 'out'), 'participant', '-w', str(tmp_path / 'work')])


def test_a_name_is_declared_once(glow):
    from csvdprep.core.declared import Declared

    room = next(room for room in house.discover() if room.name == 'glow')
    with pytest.raises(ValueError, match='declared by more than one room'):
        Declared.of([room, room])
