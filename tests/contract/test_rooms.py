"""What every room promises; a new folder is tested by being there."""

import re
from importlib.resources import files

import pytest

from csvdprep.core.declared import Declared
from csvdprep.core.plan import Scan, Visit
from csvdprep.core.room import Context, load
from csvdprep.graph.discover import TABLES, declared, discover

ROOMS = discover(level='')
each_room = pytest.mark.parametrize('room', ROOMS, ids=lambda room: room.name)


@each_room
@pytest.mark.parametrize('hub', ['T1w', 'FLAIR'])
def test_the_graph_keeps_the_declaration(room, hub):
    workflow = room.builder()(room=room, options=room.options(), context=Context(hub=hub))
    inputs = set(workflow.get_node('inputnode').inputs.copyable_trait_names())
    outputs = set(workflow.get_node('outputnode').inputs.copyable_trait_names())
    assert inputs == {*room.asks}
    assert outputs == set(room.outputs())


@each_room
def test_the_key_holds_what_the_builder_reads(room):
    read = set()

    class Spy(Context):
        def __getattribute__(self, name):
            if not name.startswith('_'):
                read.add(name)
            return super().__getattribute__(name)

    room.builder()(room=room, options=room.options(), context=Spy())
    assert read == {*room.context}


@each_room
def test_what_is_not_kept_is_not_saved_and_something_is_kept(room):
    assert room.keeps()
    assert not [name for name, made in room.outputs().items() if made.saved and not made.kept]


@each_room
def test_methods_and_references_agree(room):
    text = room.describe(room.options())
    assert '{' not in text
    cited = set(re.findall(r'@(\w+)', text)) | {m.reference for m in room.measures if m.reference}
    assert cited == set(room.references)
    package = room.build.split(':')[0].rsplit('.', 1)[0]
    bib = files(package) / 'references.bib'
    written = set(re.findall(r'@\w+\{(\w+),', bib.read_text())) if bib.is_file() else set()
    assert set(room.references) <= written


@each_room
def test_figures_take_what_exists(room):
    names = {n for r in ROOMS for n in r.outputs()} | {'anat', *TABLES}
    names |= {item.name for r in ROOMS for item in r.inputs}
    for figure in room.figures:
        assert {*figure.takes, *figure.wants} <= names
        assert callable(load(figure.build))


def test_figures_have_names_of_their_own():
    names = [figure.desc for room in ROOMS for figure in room.figures]
    assert sorted(names) == sorted(set(names))


@each_room
def test_measures_are_described(room):
    for measure in room.measures:
        assert measure.description.endswith('.')
        assert measure.method
        assert re.fullmatch(r'[a-z][a-z0-9_]*', measure.name)
        # Sides are 'left' and 'right', in small letters; the unit is last.
        for unit in ('ml', 'mm', 'mm3', 'pct', 'deg'):
            inside = f'_{unit}_' in measure.name and not measure.name.endswith(
                ('_pct_icv', '_per_year')
            )
            assert not inside, measure.name


def test_every_product_is_named_in_a_way_of_its_own():
    from csvdprep.bids.names import derivative_path

    for hub in ('T1w', 'FLAIR'):
        scans = {
            'anat': Scan(name='anat', path='', uri=''),
            'flair': Scan(name='flair', path='', uri=''),
        }
        rooms = [r for r in ROOMS if not (hub == 'FLAIR' and 't1w' in r.needs)]
        paths = [
            derivative_path(
                name,
                item,
                visit=Visit('' if r.level == 'dataset' else '01', level=r.level),
                hub=hub,
                scans=scans,
                declared=Declared.of(ROOMS),
            )
            for r in rooms
            for name, item in r.outputs().items()
        ]
        assert len(paths) == len(set(paths))


@each_room
def test_measures_of_other_rooms_exist(room):
    rooms = {other.name: other for other in ROOMS}
    for place in room.reads:
        name, _, measure = place.partition('.')
        assert measure in {m.name for m in rooms[name].measures}
        assert f'{name}_values' in room.asks
    taken = {n.removesuffix('_values') for n in room.asks if '_values' in n}
    assert taken == {place.partition('.')[0] for place in room.reads}


def test_what_comes_from_outside_is_taken_by_somebody():
    taken = {name for room in ROOMS for name in room.asks}
    assert {*declared().names} <= taken | {'t1w'}
    frames = {frame.name for frame in declared().frames}
    assert {item.frame for item in declared().inputs} <= frames
    for item in declared().inputs:
        assert callable(load(item.reader))
    for item in declared().externals:
        assert {*item.grids} <= {image.name for image in declared().inputs}


def test_output_spaces_are_rooms_too():
    rooms = discover(('MNI152NLin2009aSym:res-2', 'MNI152NLin6Asym', 'T1w', 'dwi'))
    made = [room for room in rooms if room.name.startswith('space_')]
    assert {room.follows for room in made} >= {'', 'brain', 'wmh', 'zones', 'tensors'}
    for room in made:
        workflow = room.builder()(room=room, options=room.options(), context=Context())
        outputs = set(workflow.get_node('outputnode').inputs.copyable_trait_names())
        assert outputs == set(room.outputs())


def test_the_options_of_wmh_are_those_of_its_science():
    from dataclasses import asdict

    from csvdprep.markers.wmh import Options
    from csvdprep.markers.wmh.science import WmhOptions

    science = asdict(WmhOptions())
    assert {name: science[name] for name in asdict(Options())} == asdict(Options())
