"""Whatever earlier runs left of a visit, the graph of the rest is whole: expansion only."""

import pytest

from csvdprep.core.plan import Scan, Visit, VisitInput, make_plan
from csvdprep.graph.decide import describe
from csvdprep.graph.discover import discover
from csvdprep.graph.visit import init_visit_wf

KINDS = {
    'everything': ('t1w', 'flair', 'dwi'),
    'maps of the scanner': ('flair', 'trace'),
    'FLAIR alone': ('flair',),
    'T1w alone': ('t1w',),
}


def plan_of(names):
    content = {
        'trace': {'trace': '/t.nii', 'adc': '/a.nii'},
        'dwi': {'runs': [], 'field': {'kind': 'none'}},
    }
    scans = {
        name: Scan(name=name, path=f'/{name}.nii', uri=name, content=content.get(name))
        for name in names
    }
    return make_plan(VisitInput(visit=Visit('01'), scans=scans), discover())


PLANS = {kind: plan_of(names) for kind, names in KINDS.items()}
each_room = pytest.mark.parametrize(
    ('kind', 'room'),
    [(kind, step.room.name) for kind, plan in PLANS.items() for step in plan.steps],
)


def made(step, folder):
    """Return files that stand for what a room leaves."""
    files = {}
    for name in step.room.keeps():
        files[name] = str(folder / name)
        (folder / name).touch()
    return files


def expanded(plan, folder):
    """Build the graph and expand it; return it, and its nodes by room."""
    graph = init_visit_wf(plan, output_dir=folder)._create_flat_graph()
    found = {}
    for node in graph.nodes():
        room = next((p for p in node.fullname.split('.') if p.endswith('_room_wf')), '')
        found.setdefault(room.removesuffix('_room_wf'), []).append(node)
    return graph, found


def computes(nodes):
    return [node for node in nodes if node.name.startswith('ds_')]


def lacks(graph, nodes, step):
    """Return what a room takes that comes neither from a room, nor a scan, nor a file."""
    (entry,) = [
        node
        for node in nodes[step.room.name]
        if node.name == 'inputnode' and node.fullname.endswith('_room_wf.inputnode')
    ]
    given = {
        target for _, _, data in graph.in_edges(entry, data=True) for _, target in data['connect']
    }
    values = entry.inputs.get()
    return [name for name in step.takes if name not in given and not values.get(name)]


@pytest.mark.parametrize('kind', KINDS)
def test_nothing_and_everything_cached(kind, tmp_path):
    plan = PLANS[kind]
    _, nodes = expanded(plan, tmp_path)
    assert {step.room.name for step in plan.steps} <= nodes.keys()
    assert all(computes(nodes[step.room.name]) for step in plan.steps)
    cached = {step.room.name: made(step, tmp_path) for step in plan.steps}
    drawn = [figure.desc for step in plan.steps for figure in step.room.figures]
    full = plan.with_cached(cached, drawn)
    assert full.complete
    _, nodes = expanded(full, tmp_path)
    assert not any(computes(nodes.get(step.room.name, [])) for step in full.steps)


@each_room
def test_each_room_cached_alone(kind, room, tmp_path):
    step = next(step for step in PLANS[kind].steps if step.room.name == room)
    plan = PLANS[kind].with_cached({room: made(step, tmp_path)})
    graph, nodes = expanded(plan, tmp_path)
    # What others take of it and is not kept has to be made again.
    again = any(not made.kept for made in step.room.outputs().values())
    assert bool(computes(nodes.get(room, []))) == again
    for other in plan.steps:
        if other.room.name != room:
            assert computes(nodes[other.room.name])
            assert not lacks(graph, nodes, other)


@pytest.mark.parametrize(
    ('missing', 'running'),
    [
        ('dwi_denoise', {'dwi_denoise': ()}),
        ('dwi_distortion', {'dwi_denoise': ('dwi_denoised',), 'dwi_distortion': ()}),
        ('dwi_motion', {'dwi_denoise': ('dwi_denoised',), 'dwi_motion': ()}),
        (
            'dwi_mask',
            {'dwi_denoise': ('dwi_denoised',), 'dwi_motion': ('dwi_realigned',), 'dwi_mask': ()},
        ),
        ('dwi_confounds', {'dwi_confounds': ()}),
        ('tensors', {'tensors': ()}),
    ],
)
def test_what_is_not_kept_is_made_again_where_it_is_taken(missing, running, tmp_path):
    plan = PLANS['everything']
    cached = {step.room.name: made(step, tmp_path) for step in plan.steps}
    drawn = [figure.desc for step in plan.steps for figure in step.room.figures]
    part = plan.with_cached({**cached, missing: {}}, drawn)
    assert part.running == running
    graph, nodes = expanded(part, tmp_path)
    for step in part.steps:
        name = step.room.name
        assert bool(computes(nodes.get(name, []))) == (name in running), name
        assert name not in running or not lacks(graph, nodes, step)
    lines = [line.split() for line in describe(part).splitlines()]
    assert [line[0] for line in lines if line[1:3] == ['will', 'run']] == [*running]
    assert sum(line[0] == 'again,' for line in lines) == sum(map(bool, running.values()))


def test_a_figure_alone_is_drawn_from_what_is_kept(tmp_path):
    plan = PLANS['everything']
    cached = {step.room.name: made(step, tmp_path) for step in plan.steps}
    drawn = {figure.desc for step in plan.steps for figure in step.room.figures}
    part = plan.with_cached(cached, drawn - {'dwi'})
    assert not part.complete
    assert part.running == {}


@each_room
def test_a_single_product_is_not_enough(kind, room, tmp_path):
    step = next(step for step in PLANS[kind].steps if step.room.name == room)
    files = made(step, tmp_path)
    if len(files) < 2:
        pytest.skip('it makes one product')
    name = next(iter(files))
    plan = PLANS[kind].with_cached({room: {name: files[name]}})
    assert not next(s for s in plan.steps if s.room.name == room).done
    _, nodes = expanded(plan, tmp_path)
    assert len(computes(nodes[room])) >= len(files)
