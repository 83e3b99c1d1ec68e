"""What is handed to Nipype, and what is not."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from csvdprep.core.errors import UsageError
from csvdprep.core.plan import Scan, Visit, VisitInput, make_plan
from csvdprep.core.settings import Settings
from csvdprep.graph.discover import discover
from csvdprep.graph.execute import execute
from csvdprep.graph.foreign import read_plugin


def test_a_visit_of_which_nothing_is_left_to_do_is_no_graph(tmp_path):
    # All is there but what needs a file that has been spoilt since.
    path = tmp_path / 'sub-01_T1w.nii.gz'
    path.touch()
    scan = Scan(name='t1w', path=str(path), uri='bids:raw:sub-01_T1w.nii.gz', digest='d')
    given = VisitInput(
        visit=Visit('01'), scans={'t1w': scan}, refused=(('sub-01_dwi.nii.gz', 'Broken.'),)
    )
    plan = make_plan(given, discover(()))
    done = [
        replace(
            step,
            cached=dict.fromkeys(step.room.outputs(), str(path)),
            drawn=frozenset(f.desc for f in step.room.figures),
        )
        for step in plan.steps
    ]
    assert len(done) > 3
    opened = []
    settings = Settings(bids_dir=tmp_path, output_dir=tmp_path / 'out', work_dir=tmp_path / 'work')
    execute(
        {'sub-01': replace(plan, steps=tuple(done))},
        settings,
        workspace=tmp_path / 'work',
        failures={'sub-01': []},
        statuses={'sub-01': SimpleNamespace(run_id='run', nodes=0)},
        progress=SimpleNamespace(open=opened.append),
        on_visit_done=opened.append,
        check=lambda: None,
    )
    assert opened == ['sub-01']


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('{"plugin": "SLURMGraph"}', 'does not wait'),
        ('', 'cannot be used'),
        ('[]', 'cannot be'),
        ('plugin: [1]', 'cannot be used'),
        ('plugin: x\nplugin_args: 3', 'cannot be used'),
        ('{', 'cannot be used'),
        ('a: : b', 'cannot be used'),
    ],
)
def test_a_plugin_that_cannot_serve_is_refused_before_anything_begins(tmp_path, text, said):
    file = tmp_path / 'plugin'
    file.write_text(text)
    with pytest.raises(UsageError, match=said):
        read_plugin(file)


def test_a_plugin_is_read(tmp_path):
    file = tmp_path / 'plugin'
    file.write_text('plugin: SLURM\nplugin_args: {sbatch_args: "--mem=4G "}')
    assert read_plugin(file) == ('SLURM', {'sbatch_args': '--mem=4G '})


def test_a_drawing_replaces_no_file_of_the_user(tmp_path):
    from csvdprep.graph.execute import _draw

    drawn, said = [], []
    whole = SimpleNamespace(write_graph=lambda path, **how: drawn.append(path))
    (tmp_path / 'graph.svg').write_text('mine')
    _draw(whole, tmp_path, SimpleNamespace(say=said.append))
    assert not drawn
    assert 'another kind' in said[0]
    (tmp_path / 'graph.svg').write_text('<!-- Title: csvdprep_wf -->')
    _draw(whole, tmp_path, SimpleNamespace(say=said.append))
    assert drawn == [str(tmp_path / 'graph.dot')]
