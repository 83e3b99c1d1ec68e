"""Run the nodes of a graph, each in a process of its own.

Nipype's MultiProc shares a pool: when the system kills one of its workers, the pool breaks and
the run waits for ever. Here every node is a forked process, so that a killed node is noticed
at once, is told in a plain sentence, and takes nothing else with it.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import pickle
import resource
import signal
import sys
import time
import uuid
from dataclasses import replace

from nipype.pipeline.plugins.base import DistributedPluginBase
from nipype.pipeline.plugins.multiproc import MultiProcPlugin

from csvdprep.core.failure import Failure
from csvdprep.graph.telling import conceal, harmless, keep, traceback_lines
from csvdprep.graph.visit import room_of
from csvdprep.graph.witness import noted, watch

_PR_SET_PDEATHSIG = 1


class ForkPlugin(MultiProcPlugin):
    """Schedule by processors and memory as MultiProc does; run every node in a fresh fork.

    Parameters
    ----------
    plugin_args : dict
        ``n_procs``: nodes at once; ``memory_gb``: memory they may claim together;
        ``on_graph``: called with the expanded graph before it runs; ``on_failure``: called
        with the node and its `Failure`; ``on_usage``: called with the node and
        its wall seconds, CPU seconds and peak memory (MB); ``on_turn``: called at every turn
        of the scheduler, and may raise to end the run; ``rank``: gives a node's place in
        the queue, so that one visit is finished before many are begun. Of all these, and of
        ``status_callback``, only ``on_turn`` can end the run.
    """

    def __init__(self, plugin_args=None):
        # MultiProc's own initializer starts the pool that this class does without.
        DistributedPluginBase.__init__(self, plugin_args=plugin_args)
        if self._status_callback:
            self._status_callback = harmless(self._status_callback)
        self._tell = {
            name: harmless(self.plugin_args.get(name) or _nothing)
            for name in ('on_graph', 'on_failure', 'on_usage')
        }
        self.processors = self.plugin_args['n_procs']
        self.memory_gb = self.plugin_args['memory_gb']
        self.raise_insufficient = False
        self.n_gpus_visible = self.n_gpu_procs = 0
        self._stats = None
        self._taskid = 0
        self._running = {}
        self._context = multiprocessing.get_context('fork')

    def run(self, graph, config, updatehash=False):
        """Run the graph, after telling what it holds."""
        for node in graph.nodes():
            watch(node)
        self._tell['on_graph'](graph)
        # MultiProc collects garbage at every turn; what is there now need not be looked at
        # again, nor copied by the forks.
        gc.collect()
        gc.freeze()
        return super().run(graph, config, updatehash=updatehash)

    def _sort_jobs(self, jobids, scheduler='tsort'):
        rank = self.plugin_args.get('rank')
        return sorted(jobids, key=lambda i: (rank(self.procs[i]), i)) if rank else jobids

    def _clean_queue(self, jobid, graph, result=None):
        # Nodes that save run in this process, and their error is at hand.
        if not (result and 'failure' in result):
            error = sys.exc_info()[1]
            result = {
                'result': None,
                'traceback': traceback_lines(error),
                'failure': noted(self.procs[jobid], error),
            }
        return super()._clean_queue(jobid, graph, result=result)

    def _report_crash(self, node, result=None):
        file = self._write_crash(node, result)
        self._tell['on_failure'](node, replace(result['failure'], file=file or ''))
        return file

    def _write_crash(self, node, result):
        try:
            return conceal(super()._report_crash(node, result=result))
        except Exception:
            # Nipype writes in the encoding of the locale, and asks a node for much. Neither that
            # nor a full disk may end the run of the other visits.
            name = f'crash-{getattr(node, "name", "")}-{uuid.uuid4().hex[:8]}.txt'
            folder = node.config['execution'].get('crashdump_dir', '')
            lines = [f'Node: {node.fullname}\n', *result['traceback']]
            return keep(folder, name, lines) if folder else ''

    def _submit_job(self, node, updatehash=False):
        self._taskid += 1
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_run, args=(node, updatehash, sender, os.getpid()))
        process.start()
        sender.close()
        self._running[self._taskid] = (process, receiver, node)
        return self._taskid

    def _get_result(self, taskid):
        if told := self.plugin_args.get('on_turn'):
            told()
        process, receiver, node = self._running[taskid]
        alive = process.is_alive()
        if receiver.poll():
            try:
                result = pickle.loads(receiver.recv_bytes())
            except Exception:  # it was cut off, or holds what cannot be read
                process.join()
            else:
                self._tell['on_usage'](node, *result['usage'])
                return result
        elif alive:
            return None
        process.join()
        failure = obituary(node, process.exitcode)
        return {'result': None, 'traceback': [f'{failure}\n'], 'failure': failure}

    def _clear_task(self, taskid):
        process, receiver, _ = self._running.pop(taskid)
        process.join()
        process.close()
        receiver.close()

    def _postrun_check(self):
        self.stop()

    def stop(self):
        """End what still runs, and leave nothing behind."""
        for process, _, _ in self._running.values():
            if process.is_alive():
                process.terminate()
        for process, _, _ in self._running.values():
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()
        self._running.clear()


def _nothing(*_):
    """Tell nobody."""


def _run(node, updatehash, sender, parent):
    """Run a node in the child, and send its result to the parent."""
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    result = {'result': None, 'traceback': None, 'failure': None, 'taskid': 0}
    start = time.monotonic()
    try:
        result['result'] = node.run(updatehash=updatehash)
    except BaseException as error:  # what happened is for the parent to judge
        result['failure'] = noted(node, error)
        result['traceback'] = traceback_lines(error)
        result['result'] = getattr(node, '_result', None)
    used = resource.getrusage(resource.RUSAGE_SELF)
    result['usage'] = (
        time.monotonic() - start,
        used.ru_utime + used.ru_stime,
        used.ru_maxrss / 1024,
    )
    try:
        data = pickle.dumps(result)
    except Exception:
        data = pickle.dumps({**result, 'result': None})
    sender.send_bytes(data)
    os._exit(0)


def _die_with(parent):
    """Ask the kernel to end this process when its parent ends, however that happens."""
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def obituary(node, exitcode: int | None) -> Failure:
    """Tell of a node whose process ended without a result.

    Parameters
    ----------
    node : nipype Node
        The node.
    exitcode : int or None
        Exit status of its process; less than 0 for a signal.
    """
    if exitcode == -signal.SIGKILL:
        return Failure(
            room_of(node),
            node.name,
            'killed',
            f'The process of {node.name} was killed, most likely because memory ran out '
            f'(it requests {node.mem_gb:g} GB).',
            remedy='give the run more memory (--mem) or fewer processes (--nprocs).',
        )
    what = f'signal {-exitcode}' if exitcode and exitcode < 0 else f'exit status {exitcode}'
    return Failure(
        room_of(node),
        node.name,
        'died',
        f'The process of {node.name} ended without a result ({what}).',
    )
