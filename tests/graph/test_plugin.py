import os
import signal
import time
from pathlib import Path

import pytest
from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, traits
from nipype.interfaces.utility import Function
from nipype.pipeline import engine as pe

from csvdprep.graph.plugin import ForkPlugin
from csvdprep.graph.run import Interrupt


def _double(x):
    return 2 * x


def _fail(x):
    raise ValueError('seven is no number of mine')


def _suicide(x):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def _quit(x):
    import os

    os._exit(3)


def _stop(x):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGTERM)


def _sleep(x):
    import time
    from pathlib import Path

    Path('started').write_text('yes')
    time.sleep(60)


def node(function, name, **inputs):
    made = pe.Node(Function(function=function, output_names=['y']), name=name)
    made.inputs.trait_set(**inputs)
    return made


@pytest.fixture
def workflow(tmp_path):
    wf = pe.Workflow(name='wf', base_dir=str(tmp_path))
    asked = {'poll_sleep_duration': 0.05, 'stop_on_first_crash': False}
    wf.config = {'execution': {'crashdump_dir': str(tmp_path), 'crashfile_format': 'txt', **asked}}
    return wf


def run(wf, **more):
    failures, ended = [], []
    plugin = ForkPlugin(
        plugin_args={
            'n_procs': 2,
            'memory_gb': 4,
            'on_failure': lambda n, failure: failures.append((n.name, failure)),
            'status_callback': lambda n, event: ended.append(n.name) if event == 'end' else None,
            **more,
        }
    )
    try:
        wf.run(plugin=plugin)
    except RuntimeError:
        assert failures
    finally:
        plugin.stop()
    return failures, ended


def chain(wf, middle):
    first, second, third = node(_double, 'first', x=2), middle, node(_double, 'third')
    other = node(_double, 'other', x=5)
    wf.connect([(first, second, [('y', 'x')]), (second, third, [('y', 'x')])])
    wf.add_nodes([other])


def test_all_nodes_run(workflow):
    chain(workflow, node(_double, 'second'))
    failures, ended = run(workflow)
    assert not failures
    assert sorted(ended) == ['first', 'other', 'second', 'third']


@pytest.mark.parametrize(
    ('function', 'kind', 'said'),
    [
        (_fail, 'bug', 'ValueError: seven is no number of mine'),
        (
            _suicide,
            'killed',
            'was killed, most likely because memory ran out (it requests 0.2 GB).',
        ),
        (_quit, 'died', 'ended without a result (exit status 3).'),
        (_stop, 'died', f'ended without a result (signal {signal.SIGTERM:d}).'),
    ],
)
def test_a_failed_node_takes_only_its_dependents(workflow, tmp_path, function, kind, said):
    chain(workflow, node(function, 'second'))
    start = time.monotonic()
    failures, ended = run(workflow)
    assert [name for name, _ in failures] == ['second']
    failure = failures[0][1]
    assert (failure.kind, failure.node) == (kind, 'second')
    assert failure.message.endswith(said)
    assert Path(failure.file) in tmp_path.glob('crash-*second*.txt')
    assert sorted(ended) == ['first', 'other']
    assert time.monotonic() - start < 30


def _need(x):
    from csvdprep.core.errors import InputError

    raise InputError('It is empty.', file='a.nii', field='EchoTime', remedy='convert it again.')


def _measure(x):
    from csvdprep.core.errors import MeasureError

    raise MeasureError('It is constant.')


def _hunger(x):
    import numpy as np

    np.zeros(1 << 56)


def _fill(x):
    import errno
    import os

    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'a.nii')


def _leave(x):
    raise SystemExit(3)


@pytest.mark.parametrize(
    ('function', 'kind', 'said'),
    [
        (_need, 'input', 'It is empty. [file: a.nii, field: EchoTime] Remedy: convert it again.'),
        (_measure, 'measure', 'It is constant.'),
        (_hunger, 'memory', 'There was not enough memory. Remedy: give the run more'),
        (_fill, 'disk', 'The disk is full. Remedy: free some space'),
        (_leave, 'bug', 'SystemExit: 3'),
    ],
)
@pytest.mark.parametrize('here', [False, True], ids=['forked', 'in this process'])
def test_the_error_itself_is_judged_where_it_is_raised(workflow, function, kind, said, here):
    second = node(function, 'second')
    second.run_without_submitting = here
    chain(workflow, second)
    failures, ended = run(workflow)
    assert {'first', 'other'} <= {*ended}
    assert 'third' not in ended
    ((name, failure),) = failures
    assert (name, failure.kind) == ('second', kind)
    assert str(failure).startswith(said)


class _NothingSpec(TraitedSpec):
    y = File(exists=True)


class Nothing(SimpleInterface):
    input_spec = TraitedSpec
    output_spec = _NothingSpec

    def _run_interface(self, runtime):
        self._results['y'] = 'gone.nii'
        return runtime


class _AsksSpec(TraitedSpec):
    x = traits.Int(mandatory=True)


class Asks(SimpleInterface):
    input_spec = output_spec = _AsksSpec


def test_what_fails_before_the_interface_begins_is_told(workflow):
    workflow.add_nodes([pe.Node(Asks(), name='asks')])
    failures, _ = run(workflow)
    ((name, failure),) = failures
    assert (name, failure.kind) == ('asks', 'bug')
    assert failure.message.startswith('ValueError: Asks requires a value for input')


def test_a_node_that_makes_no_file_is_told(workflow):
    made = pe.Node(Nothing(), name='nothing')
    workflow.add_nodes([made])
    ((name, failure),), _ = run(workflow)
    assert name == 'nothing'
    assert failure.message.startswith('TraitError: ') or 'No such file' in failure.message
    assert 'gone.nii' in failure.message


def test_interruption_ends_the_children(workflow):
    chain(workflow, node(_sleep, 'second'))
    children = []

    def heard(n, event):
        if n.name == 'second' and event == 'start':
            signal.alarm(2)

    with Interrupt() as interrupt, interrupt.defer():
        previous = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        plugin = ForkPlugin(
            plugin_args={
                'n_procs': 2,
                'memory_gb': 4,
                'status_callback': heard,
                'on_turn': interrupt.check,
            }
        )
        try:
            with pytest.raises(KeyboardInterrupt):
                workflow.run(plugin=plugin)
            children = [process.pid for process, _, _ in plugin._running.values()]
            assert children
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, previous)
            plugin.stop()
    for pid in children:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_signal_is_kept_while_deferred_and_raised_the_second_time():
    with Interrupt() as interrupt:
        with interrupt.defer():
            os.kill(os.getpid(), signal.SIGTERM)
            assert interrupt.asked
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            interrupt.check()
    with Interrupt(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)


class MuteError(Exception):
    def __str__(self):
        raise ValueError('I say nothing')


def _mute(x):
    from graph.test_plugin import MuteError

    raise MuteError


def _surrogate(x):
    raise ValueError('no \udce9 \xe9 here')


def _raise(error):
    def told(*_):
        raise error

    return told


ODD = (
    ValueError('odd'),
    UnicodeEncodeError('ascii', 'é', 0, 1, 'not in range'),
    MuteError(),
    OSError(28, 'No space left on device'),
    BrokenPipeError(32, 'Broken pipe'),
)


@pytest.mark.parametrize('error', ODD, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize('callback', ['on_failure', 'on_usage', 'on_graph', 'status_callback'])
def test_who_is_told_cannot_end_the_run(workflow, tmp_path, callback, error):
    chain(workflow, node(_fail, 'second'))
    inner = node(_note, 'last', x=str(tmp_path / 'last'))
    workflow.add_nodes([inner])
    plugin = ForkPlugin(plugin_args={'n_procs': 2, 'memory_gb': 4, callback: _raise(error)})
    try:
        with pytest.raises(RuntimeError, match='seven'):
            workflow.run(plugin=plugin)
    finally:
        plugin.stop()
    done = list(tmp_path.glob('wf/*/result_*.pklz'))
    assert {path.parent.name for path in done} >= {'first', 'other', 'last'}
    assert (tmp_path / 'last').exists()


def _note(x):
    from pathlib import Path

    Path(x).touch()


@pytest.mark.parametrize('error', ODD, ids=lambda error: type(error).__name__)
def test_a_crash_that_cannot_be_written_ends_nothing(workflow, tmp_path, monkeypatch, error):
    from nipype.pipeline.plugins import base

    monkeypatch.setattr(base, 'report_crash', _raise(error))
    chain(workflow, node(_fail, 'second'))
    failures, ended = run(workflow)
    assert [name for name, _ in failures] == ['second']
    assert sorted(ended) == ['first', 'other']
    (crash,) = tmp_path.glob('crash-second-*.txt')
    assert 'seven is no number' in crash.read_text(encoding='utf-8')


def test_a_folder_for_crashes_that_cannot_be_made_ends_nothing(workflow, tmp_path):
    (tmp_path / 'file').touch()
    workflow.config['execution']['crashdump_dir'] = str(tmp_path / 'file' / 'log')
    chain(workflow, node(_fail, 'second'))
    failures, ended = run(workflow)
    assert [name for name, _ in failures] == ['second']
    assert sorted(ended) == ['first', 'other']


@pytest.mark.parametrize(('function', 'said'), [(_mute, 'Mute'), (_surrogate, 'here')])
def test_errors_that_cannot_be_put_in_words(workflow, tmp_path, function, said):
    chain(workflow, node(function, 'second'))
    failures, ended = run(workflow)
    assert [name for name, _ in failures] == ['second']
    assert said in failures[0][1].message
    assert sorted(ended) == ['first', 'other']
    assert list(tmp_path.glob('crash-*'))
