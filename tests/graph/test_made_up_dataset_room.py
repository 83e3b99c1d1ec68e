"""A room of the dataset that nobody knows, added by one folder, found everywhere."""

import importlib
import json
import sys

import pytest

from csvdprep.cli.run import run
from csvdprep.core.plan import Visit
from csvdprep.graph import discover as house
from tests.builders import leave_visit

INIT = """
from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.room import Column, Derivative, Figure, Measure, Room


@dataclass(frozen=True)
class Options:
    unit: str = option('auto', 'What is tallied, by site or not.', choices=('auto', 'site', 'all'))


ROOM = Room(
    name='tally', title='Tally of visits', level='dataset', options=Options,
    needs=('group_measures', 'group_covariates'), wants=('group_change', 'outliers_list'),
    resolve='rooms.tally.make:resolve',
    makes={
        'tally_list': Derivative(suffix='tally', extension='.tsv', lists='Visits by site',
                                 description='How many visits each site has.',
                                 columns=(Column(name='site', description='Site.'),
                                          Column(name='visits_n', description='Visits.'))),
        'tally_model': Derivative(suffix='model', desc='tally', extension='.json',
                                  description='The same for machines.'),
    },
    figures=(Figure(desc='tally', suffix='sites', title='Sites', caption='A bar a site.',
                    build='rooms.tally.make:draw', takes=('tally_list',)),),
    measures=(Measure(name='tally_sites_n', units='1', description='Number of sites.',
                      method='count'),),
    build='rooms.tally.make:init_wf',
    methods='Visits were counted by {o.unit} [@tally2026].',
    references=('tally2026',),
)
"""

MAKE = """
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, traits

from csvdprep.core.room import Decision, NoPlace
from csvdprep.interfaces.lists import write_rows
from csvdprep.interfaces.values import write_values
from csvdprep.interfaces.wiring import init_single_wf
from rooms.tally import ROOM


def resolve(scans, options):
    sites = {row['site'] for row in scans['group_covariates'].content['rows']}
    if sites == {'n/a'}:
        raise NoPlace('no visit has a site: a column site in participants.tsv tells it')
    unit = 'site' if options.unit == 'auto' else options.unit
    return replace(options, unit=unit), (Decision('counted by', unit, f'{len(sites)} sites'),)


class _In(TraitedSpec):
    group_measures = File(exists=True, mandatory=True)
    group_covariates = traits.Dict(mandatory=True)
    group_change = File(exists=True)
    outliers_list = File(exists=True)


class _Out(TraitedSpec):
    tally_list = File(exists=True)
    tally_model = File(exists=True)
    tally_values = File(exists=True)


class Tally(SimpleInterface):
    input_spec, output_spec = _In, _Out

    def _run_interface(self, runtime):
        folder = Path(runtime.cwd)
        visits = len(Path(self.inputs.group_measures).read_text().splitlines()) - 1
        sites = Counter(row['site'] for row in self.inputs.group_covariates['rows'])
        assert sum(sites.values()) == visits
        Path(self.inputs.outliers_list).read_text()
        rows = [{'site': k, 'visits_n': n} for k, n in sorted(sites.items())]
        self._results['tally_list'] = write_rows(
            rows, ROOM.makes['tally_list'].columns, folder / 'list.tsv')
        (folder / 'model.json').write_text(json.dumps(sites))
        self._results['tally_model'] = str(folder / 'model.json')
        self._results['tally_values'] = write_values(
            folder / 'values.json', {'tally_sites_n': len(sites)}, ROOM)
        return runtime


def init_wf(*, room, options, context):
    return init_single_wf(Tally(), room=room, mem_gb=0.1)


def draw(*, out_file, tally_list):
    Path(out_file).write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"/>')
"""

BIB = '@article{tally2026,\n author = {A B}, title = {Counting}, journal = {J}, year = {2026}\n}\n'


@pytest.fixture
def clean():
    """Forget what was discovered, before and after."""
    _forget()
    yield
    _forget()


def _forget():
    for cached in (house.discover, house.declared):
        cached.cache_clear()
    for name in [name for name in sys.modules if name.split('.')[0] == 'rooms']:
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def tally(clean, tmp_path, monkeypatch):
    """Add the folder of the room."""
    folder = tmp_path / 'house' / 'rooms' / 'tally'
    folder.mkdir(parents=True)
    (folder.parent / '__init__.py').write_text('')
    for name, text in (('__init__.py', INIT), ('make.py', MAKE), ('references.bib', BIB)):
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path / 'house'))
    monkeypatch.setattr(house, 'WINGS', (*house.WINGS, 'rooms'))
    importlib.invalidate_caches()
    return folder


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Twelve visits at two sites, one of them far from the others; the command for them."""
    monkeypatch.setattr('csvdprep.group.page.draw', lambda *given: '<svg></svg>')
    raw, out = tmp_path / 'raw', tmp_path / 'out'
    raw.mkdir()
    lines = ['participant_id\tage\tsite']
    for number in range(1, 13):
        lines.append(f'sub-{number:02d}\t{60 + number}\t{"AB"[number % 2]}')
        value = {'bpf': 0.2 if number == 5 else 0.8 + number / 1000}
        leave_visit(out, Visit(f'{number:02d}'), value=value)
    (raw / 'participants.tsv').write_text('\n'.join(lines) + '\n')
    return raw, out, [str(raw), str(out), 'group', '-w', str(tmp_path / 'work'), '--nprocs', '1']


def test_one_folder_is_enough(tally, study, capsys):
    from csvdprep.cli.parser import get_parser

    _, out, asked = study
    assert 'outliers, site_audit, tally)' in ' '.join(get_parser().format_help().split())
    assert run(['options', 'tally']) == 0
    assert 'tally.unit = auto  [auto, site, all]' in capsys.readouterr().out

    # The plan, with what was decided from the tables; nothing is written.
    before = sorted(path for path in out.rglob('*') if path.is_file())
    assert run([*asked, '--dry-run']) == 0
    plan = capsys.readouterr().out
    assert 'tally          will run' in plan
    assert 'counted by: site (2 sites)' in plan
    assert f'group_measures {out}/group_measures.tsv' in plan
    assert sorted(path for path in out.rglob('*') if path.is_file()) == before

    assert run(asked) == 0
    assert (out / 'group_tally.tsv').read_text() == 'site\tvisits_n\nA\t6\nB\t6\n'
    assert json.loads((out / 'group_tally_model.json').read_text()) == {'A': 6, 'B': 6}
    facts = json.loads((out / 'group_tally.json').read_text())
    assert facts['site'] == {'Description': 'Site.'}
    assert facts['Parameters'] == {'unit': 'site'}
    assert 'bids::group_measures.tsv' in facts['Sources']
    assert (out / 'figures' / 'group_desc-tally_sites.svg').is_file()
    page = (out / 'group.html').read_text()
    for words in (
        'Tally of visits',
        'counted by: site (2 sites)',
        'How many visits each site has.',
        'A bar a site.',
        'src="data:image/svg+xml;base64,',
        '<td>A</td><td class="number">6</td>',
        '<code>tally_sites_n</code>',
        'Visits were counted by site [',
        'Counting',
    ):
        assert words in page
    values = [line.split('\t')[:2] for line in (out / 'group_values.tsv').read_text().splitlines()]
    assert values[0] == ['measure', 'value']
    assert ['outliers_n', '1'] in values
    assert ['tally_sites_n', '2'] in values
    assert 'Counting' in (out / 'logs' / 'group' / 'CITATION.md').read_text()
    state = json.loads((out / 'logs' / 'group' / 'status.json').read_text())
    assert (state['state'], state['rooms']) == (
        'ok',
        {'outliers': 'done', 'site_audit': 'done', 'tally': 'done'},
    )
    capsys.readouterr()
    assert run(['status', str(out)]) == 0
    assert 'steps on the group tables: ok' in capsys.readouterr().out


def test_it_follows_its_tables(tally, study, capsys):
    raw, out, asked = study
    run(asked)
    first = {path.name: path.read_bytes() for path in out.glob('group*')}
    capsys.readouterr()
    assert run(asked) == 0
    assert 'group: already complete' in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.glob('group*')} == first
    # What it decides from changes: it is computed again, also where only failures were asked for.
    table = raw / 'participants.tsv'
    table.write_text(table.read_text().replace('\tA\n', '\tC\n', 1))
    assert run([*asked, '--rerun', 'missing']) == 0
    assert (out / 'group_tally.tsv').read_text() == 'site\tvisits_n\nA\t5\nB\t6\nC\t1\n'
    # A value changes: the measures of all visits are another table.
    leave_visit(out, Visit('05'), value={'bpf': 0.805})
    assert run(asked) == 0
    assert 'outliers_n\t0' in (out / 'group_values.tsv').read_text()
    assert run([*asked, '--set', 'tally.unit=all']) == 0
    assert json.loads((out / 'group_tally.json').read_text())['Parameters'] == {'unit': 'all'}


def test_what_fails_loses_no_table(tally, study, capsys):
    _, out, asked = study
    run(asked)
    broken = MAKE.replace('folder = Path', "raise ValueError('no ink'); folder = Path")
    (tally / 'make.py').write_text(broken)
    _forget()
    leave_visit(out, Visit('05'), value={'bpf': 0.3})
    assert run(asked) == 1
    said = capsys.readouterr().err
    assert 'tally FAILED' in said
    # Ages are in no file that may be passed on, nor in what tells of the failure.
    (crash,) = out.rglob('crash-*.txt')
    told = crash.read_text()
    assert 'no ink' in told
    assert "'age'" not in told
    assert 'group_tally.tsv' in said
    assert len((out / 'group_measures.tsv').read_text().splitlines()) == 13
    assert '\tbpf\t0.3\t' in (out / 'group_outliers.tsv').read_text()
    # What was made of other tables is not left beside these.
    left = {path.name for path in (*out.glob('group_tally*'), *out.glob('figures/*'))}
    assert left == set()
    page = (out / 'group.html').read_text()
    assert 'no ink' in page
    assert '<span class="state failed">failed</span>' in page
    values = (out / 'group_values.tsv').read_text()
    assert 'tally_sites_n\tn/a' in values
    assert run(['status', str(out)]) == 1
    assert 'no ink' in capsys.readouterr().out


def test_what_has_no_place_is_told(tally, study, capsys):
    raw, out, asked = study
    (raw / 'participants.tsv').write_text('participant_id\tage\nsub-01\t70\n')
    assert run([*asked, '--dry-run']) == 0
    why = 'no visit has a site: a column site in participants.tsv tells it'
    assert f'tally          will not run: {why}' in capsys.readouterr().out
    assert run(asked) == 0
    assert f'tally is not run: {why}' in capsys.readouterr().err
    assert not list(out.glob('group_tally*'))
    page = (out / 'group.html').read_text()
    assert why in page
    assert '<span class="state skipped">skipped</span>' in page
    assert (
        f'tally_sites_n\tn/a\t1\tn/a\tn/a\tn/a\tna\tcount\t{why}'
        in (out / 'group_values.tsv').read_text()
    )
    # Another reason is told, though nothing is computed.
    assert run([*asked, '--ignore', 'tally']) == 0
    assert (
        'tally_sites_n\tn/a\t1\tn/a\tn/a\tn/a\tna\tcount\tskipped because of --ignore'
        in (out / 'group_values.tsv').read_text()
    )
    assert run([*asked, '--ignore', 'outliers']) == 0
    assert not (out / 'group_outliers.tsv').exists()


def test_a_resolve_that_breaks_loses_no_table(tally, study, capsys):
    _, out, asked = study
    (tally / 'make.py').write_text(
        MAKE.replace("row['site'] for row in scans", "row['x'] for row in scans")
    )
    assert run(asked) == 1
    assert 'steps on the group tables FAILED' in capsys.readouterr().err
    assert (out / 'group_measures.tsv').is_file()
    assert 'Steps on the group tables failed' in (out / 'group.html').read_text()


def test_no_working_directory_loses_no_table(tally, study, capsys):
    _, out, asked = study
    asked[asked.index('-w') + 1] = str(out / 'sub-01' / 'work')
    assert run(asked) == 2
    assert 'inside a participant folder' in capsys.readouterr().err
    assert (out / 'group_measures.tsv').is_file()
    assert (out / 'group.html').is_file()


def test_names_of_the_group_level_are_taken(tally):
    text = INIT.replace("suffix='tally', extension", "suffix='measures', extension")
    (tally / '__init__.py').write_text(text)
    with pytest.raises(ValueError, match='which the group level writes itself'):
        house.discover(level='dataset')


def test_without_it_nothing_is_left(clean, study):
    _, out, asked = study
    assert run(asked) == 0
    assert 'tally' not in (out / 'group.html').read_text().lower()
    assert 'tally' not in (out / 'group_values.tsv').read_text()
    state = json.loads((out / 'logs' / 'group' / 'status.json').read_text())
    assert state['rooms'].keys() == {'outliers', 'site_audit'}
