from dataclasses import dataclass, replace

import pytest

from csvdprep.bids.checkpoints import write_checkpoint
from csvdprep.core.plan import Scan, Visit, VisitInput, make_plan
from csvdprep.core.room import Context, Derivative, Limits, Otherwise, Room
from csvdprep.core.settings import Settings
from csvdprep.graph.decide import decide
from csvdprep.graph.discover import declared
from csvdprep.graph.visit import checkpoints

MASK = Derivative(suffix='mask', description='')


@dataclass(frozen=True)
class Knob:
    """One option."""

    turn: float = 1.0


def room(name, needs, makes=(), **more):
    return Room(
        name=name, title='', needs=tuple(needs), makes=dict.fromkeys(makes, MASK), build='', **more
    )


INPUTS = declared().inputs
BRAIN = room('brain', ['anat'], ['anat_preproc', 'brain_mask'], inputs=INPUTS)
FLAIR = room(
    'flair',
    ['flair', 't1w', 'anat_preproc'],
    ['flair_preproc'],
    otherwise=Otherwise(given=('flair',), names={'flair_preproc': 'anat_preproc'}),
)
WMH = room(
    'wmh', ['flair_preproc'], ['wmh_mask'], marker=True, options=Knob, context=('random_seed',)
)
ATROPHY = room('atrophy', ['t1w', 'brain_mask'], marker=True)
ROOMS = [WMH, ATROPHY, FLAIR, BRAIN]


def visit(*names, digest='d'):
    scans = {n: Scan(name=n, path=f'/{n}.nii', uri=n, digest=f'{digest}-{n}') for n in names}
    return VisitInput(visit=Visit('01', '1'), scans=scans)


def order(plan):
    return [step.room.name for step in plan.steps]


def test_both_images():
    plan = make_plan(visit('t1w', 'flair'), ROOMS)
    assert plan.context.hub == 'T1w'
    assert order(plan).index('brain') < order(plan).index('flair') < order(plan).index('wmh')
    assert not plan.skipped
    assert not plan.aliases


def test_flair_alone_is_its_own_reference():
    plan = make_plan(visit('flair'), ROOMS)
    assert plan.context.hub == 'FLAIR'
    assert order(plan) == ['brain', 'wmh']
    assert plan.aliases == {'flair_preproc': 'anat_preproc'}
    assert plan.skipped['atrophy'] == 'needs t1w, which this visit does not have'


def test_t1w_alone_gives_anatomy_and_never_a_t1w_for_a_flair():
    plan = make_plan(visit('t1w'), ROOMS)
    assert set(order(plan)) == {'brain', 'atrophy'}
    assert not plan.aliases
    assert plan.skipped['wmh'] == 'needs flair, which this visit does not have'


def test_markers_bring_what_they_need_and_nothing_else():
    plan = make_plan(visit('t1w', 'flair'), ROOMS, markers=['atrophy'])
    assert order(plan) == ['brain', 'atrophy']
    assert plan.skipped['wmh'] == 'not selected by --markers'


def test_ignored_scan():
    plan = make_plan(visit('t1w', 'flair'), ROOMS, ignore=['t1w'])
    assert plan.context.hub == 'FLAIR'
    assert 'skipped because of --ignore' in plan.skipped['atrophy']


def keys(plan):
    return {step.room.name: step.key for step in plan.steps}


@pytest.mark.parametrize(
    ('change', 'touched'),
    [
        ({'options': {'wmh': {'turn': 2.0}}}, {'wmh'}),
        # A room's key holds what it reads of the context, and no more.
        ({'context': Context(random_seed=1)}, {'wmh'}),
    ],
)
def test_keys_change_with_what_they_depend_on(change, touched):
    before = keys(make_plan(visit('t1w', 'flair'), ROOMS))
    after = keys(make_plan(visit('t1w', 'flair'), ROOMS, **change))
    assert {name for name in before if before[name] != after[name]} == touched


def test_keys_follow_content_and_not_place():
    given = visit('t1w', 'flair')
    moved = replace(
        given, scans={k: replace(s, path='/moved' + s.path) for k, s in given.scans.items()}
    )
    assert keys(make_plan(given, ROOMS)) == keys(make_plan(moved, ROOMS))
    other = visit('t1w', 'flair', digest='other')
    assert not set(keys(make_plan(given, ROOMS)).values()) & set(
        keys(make_plan(other, ROOMS)).values()
    )


def test_a_new_version_of_a_room_makes_stale_what_follows_it():
    rooms = [WMH, ATROPHY, FLAIR, replace(BRAIN, version=2)]
    before, after = (keys(make_plan(visit('t1w', 'flair'), r)) for r in (ROOMS, rooms))
    assert all(before[name] != after[name] for name in before)


def test_cached_rooms_are_done():
    plan = make_plan(visit('t1w'), ROOMS)
    full = plan.with_cached({'brain': {'anat_preproc': 'a', 'brain_mask': 'b'}, 'atrophy': {}})
    assert [s.done for s in full.steps] == [True, True]
    assert full.complete
    part = plan.with_cached({'brain': {'anat_preproc': 'a'}})
    assert not part.complete


def test_unknown_option_is_refused():
    with pytest.raises(ValueError, match='trun'):
        make_plan(visit('t1w', 'flair'), ROOMS, options={'wmh': {'trun': 2.0}})


def test_open_limits():
    assert [Limits(ok=(0, None)).judge(v) for v in (-1, 0, 1e9)] == ['warn', 'ok', 'ok']


def test_what_lacks_a_spoilt_file_says_so():
    given = replace(visit('flair'), refused=(('sub-01/anat/sub-01_T1w.nii.gz', 'It is empty.'),))
    plan = make_plan(given, ROOMS)
    assert plan.skipped['atrophy'] == 'needs t1w, but sub-01_T1w.nii.gz cannot be used'


def test_what_lacks_a_file_that_was_left_out_says_why():
    note = 'sub-01_T1w.nii.gz: it holds one slice; it is left out.'
    plan = make_plan(replace(visit('flair'), notes=(note,)), ROOMS)
    assert plan.skipped['atrophy'] == f'needs t1w; {note}'


def test_origins_are_followed_to_the_scans():
    scans = {n: Scan(name=n, path=f'{n}.nii', uri=n) for n in ('t1w', 'flair', 'dwi')}
    rooms = [
        room('a', ['anat'], ['brain_mask'], inputs=INPUTS),
        room('c', ['dwi'], ['dwi_fa']),
        room('b', ['brain_mask', 'flair'], ['wmh_mask']),
        room('d', ['dwi_fa', 'wmh_mask']),
    ]
    plan = make_plan(VisitInput(visit=Visit('01'), scans=scans), rooms)
    assert plan.origins == {
        'a': ('t1w',),
        'b': ('flair', 't1w'),
        'c': ('dwi',),
        'd': ('dwi', 'flair', 't1w'),
    }
    alone = make_plan(VisitInput(visit=Visit('01'), scans={'flair': scans['flair']}), rooms)
    assert alone.origins == {'a': ('flair',), 'b': ('flair',)}


def test_what_rests_on_earlier_results_is_not_taken_for_what_the_options_say(
    tmp_path, monkeypatch
):
    """With --rerun missing a new result can come from earlier ones of other options."""
    rooms = [room('old', ['anat'], ['x'], options=Knob, inputs=INPUTS), room('new', ['x'], ['y'])]
    monkeypatch.setattr('csvdprep.graph.decide.discover', lambda *_, **__: rooms)

    def planned(turn, rerun):
        settings = Settings(
            bids_dir=tmp_path, output_dir=tmp_path, options={'old': {'turn': turn}}, rerun=rerun
        )
        return decide(visit('t1w'), settings)

    def leave(plan, number):
        step = plan.steps[number]
        files = {}
        for name in step.room.keeps():
            files[name] = str(tmp_path / name)
            (tmp_path / name).write_text(step.key)
        folder = checkpoints(plan, tmp_path)
        write_checkpoint(folder, step.room.name, key=step.key, root=tmp_path, files=files)

    leave(planned(1.0, 'stale'), 0)
    plan = planned(2.0, 'missing')
    assert [step.done for step in plan.steps] == [True, False]
    leave(plan, 1)
    assert [step.done for step in planned(2.0, 'missing').steps] == [True, True]
    assert [step.done for step in planned(2.0, 'stale').steps] == [False, False]
    # Where nothing is stale, what was made is taken.
    leave(planned(2.0, 'stale'), 0)
    leave(planned(2.0, 'missing'), 1)
    assert [step.done for step in planned(2.0, 'stale').steps] == [True, True]
