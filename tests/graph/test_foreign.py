"""Failures come back from Nipype's own plugins, too."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from nipype.interfaces.utility import Function
from nipype.pipeline import engine as pe
from nipype.pipeline import plugins
from nipype.pipeline.plugins.base import SGELikeBatchManagerBase

from csvdprep.graph.foreign import run_foreign
from csvdprep.graph.witness import LEFT, forget, watch, witnessed


def _double(x):
    return 2 * x


def _need(x):
    from csvdprep.core.errors import InputError

    raise InputError('It is empty.', file='a.nii', remedy='convert it again.')


def _die(x):
    import os

    os.kill(os.getpid(), 9)


def _fill(x):
    raise OSError(28, 'No space left on device')


def node(function, name, **inputs):
    made = pe.Node(Function(function=function, output_names=['y']), name=name)
    made.inputs.trait_set(**inputs)
    return made


@pytest.fixture
def workflow(tmp_path):
    room = pe.Workflow(name='glow_room_wf')
    first, second = node(_double, 'first', x=2), node(_need, 'second')
    room.connect([(first, second, [('y', 'x')])])
    wf = pe.Workflow(name='wf', base_dir=str(tmp_path))
    wf.add_nodes([room])
    asked = {
        'poll_sleep_duration': 0.05,
        'stop_on_first_crash': False,
        'job_finished_timeout': 0.1,
        'crashfile_format': 'txt',
    }
    wf.config = {'execution': asked}
    for each in wf._get_all_nodes():
        each.config = {'execution': {'crashdump_dir': str(tmp_path / 'log')}}
    return wf


def run(wf, tmp_path, plugin, **arguments):
    file, failures, ended = tmp_path / 'plugin.json', [], []
    file.write_text(json.dumps({'plugin': plugin, 'plugin_args': arguments}))
    told = {
        'on_failure': lambda n, failure: failures.append(failure),
        'status_callback': lambda n, event: ended.append(n.name) if event == 'end' else None,
    }
    with pytest.raises(Exception) as caught:  # noqa: PT011 whatever the plugin makes of it
        run_foreign(wf, file, told)
    return failures, ended, caught.value


@pytest.mark.parametrize('plugin', ['Linear', 'MultiProc'])
def test_the_failure_itself_comes_back(workflow, tmp_path, plugin):
    arguments = {'n_procs': 1, 'memory_gb': 1} if plugin == 'MultiProc' else {}
    failures, ended, _ = run(workflow, tmp_path, plugin, **arguments)
    (failure,) = failures
    assert (failure.room, failure.node, failure.kind) == ('glow', 'second', 'input')
    assert failure.message == 'It is empty. [file: a.nii]'
    assert failure.remedy == 'convert it again.'
    assert 'It is empty' in Path(failure.file).read_text(encoding='utf-8')
    assert ended == ['first']
    # Who started the node elsewhere finds it beside the results of the node.
    (left,) = tmp_path.glob(f'wf/**/second/{LEFT}')
    assert json.loads(left.read_text())['kind'] == 'input'


class DeafPlugin(SGELikeBatchManagerBase):
    """A cluster on which every job is killed before it can tell anything."""

    def __init__(self, plugin_args=None):
        super().__init__('', plugin_args=plugin_args)

    def _is_pending(self, taskid):
        return False

    def _submit_batchtask(self, scriptfile, node):
        self._pending[1] = node.output_dir()
        return 1


class BatchPlugin(DeafPlugin):
    """A cluster that runs each job as a script of its own, as SLURM and PBS do."""

    def _submit_batchtask(self, scriptfile, node):
        path = os.pathsep.join(filter(None, sys.path))
        subprocess.run(['bash', scriptfile], check=False, env=os.environ | {'PYTHONPATH': path})
        return super()._submit_batchtask(scriptfile, node)


@pytest.mark.parametrize(
    ('function', 'kind', 'said'),
    [(_need, 'input', 'It is empty. [file: a.nii] Remedy: convert it again.'), (_die, 'lost', '')],
)
def test_a_job_of_its_own_leaves_the_failure(
    tmp_path, workflow, monkeypatch, function, kind, said
):
    monkeypatch.setattr(plugins, 'BatchPlugin', BatchPlugin, raising=False)
    second = next(each for each in workflow._get_all_nodes() if each.name == 'second')
    second.interface.inputs.function_str = Function(function=function).inputs.function_str
    failures, ended, _ = run(workflow, tmp_path, 'Batch')
    assert [(f.room, f.node, f.kind) for f in failures] == [('glow', 'second', kind)]
    assert said in str(failures[0])
    assert ended == ['first']


def test_a_worker_that_left_no_word_is_lost(workflow, tmp_path, monkeypatch):
    monkeypatch.setattr(plugins, 'DeafPlugin', DeafPlugin, raising=False)
    failures, ended, _ = run(workflow, tmp_path, 'Deaf')
    assert [(f.room, f.node, f.kind) for f in failures] == [('glow', 'first', 'lost')]
    assert 'ended without an error message' in failures[0].message
    assert not failures[0].short_of_memory
    assert not ended


def test_what_an_earlier_run_left_is_not_taken_for_this_one(workflow, tmp_path, monkeypatch):
    run(workflow, tmp_path, 'Linear')
    (left,) = tmp_path.glob(f'wf/**/second/{LEFT}')
    for result in left.parent.glob('result_*'):
        result.unlink()
    monkeypatch.setattr(plugins, 'DeafPlugin', DeafPlugin, raising=False)
    failures, _, _ = run(workflow, tmp_path, 'Deaf')
    assert [(f.node, f.kind) for f in failures] == [('second', 'lost')]


def test_a_watched_node_survives_the_way_to_a_worker(tmp_path):
    made = node(_fill, 'second', x=1)
    made.base_dir = str(tmp_path)
    watch(made)
    watch(made)
    there = pickle.loads(pickle.dumps(made))
    with pytest.raises(RuntimeError):
        there.run()
    assert there.failure.kind == 'disk'
    assert made.failure is None
    assert witnessed(made).kind == 'disk'
    forget(made)
    assert witnessed(made) is None


def test_a_folder_that_takes_no_word_changes_nothing(tmp_path, monkeypatch):
    from csvdprep.graph import witness

    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(witness, 'atomic_write', full)
    made = node(_need, 'second', x=1)
    made.base_dir = str(tmp_path)
    watch(made)
    with pytest.raises(RuntimeError):
        made.run()
    assert witnessed(made).kind == 'input'
