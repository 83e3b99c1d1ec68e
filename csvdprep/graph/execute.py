"""Run graphs with Nipype, and tell what becomes of their nodes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from logging import getLogger
from pathlib import Path

from csvdprep.bids.own import check_replaceable
from csvdprep.bids.tsv import tsv_text
from csvdprep.core.errors import CsvdprepError, plain
from csvdprep.core.failure import Failure
from csvdprep.core.plan import Plan
from csvdprep.core.settings import Settings
from csvdprep.graph.places import relative_file
from csvdprep.graph.workspace import DRAWINGS, GRAPH


def execute(
    plans: dict[str, Plan],
    settings: Settings,
    *,
    workspace: Path,
    failures,
    statuses,
    progress,
    on_visit_done,
    check,
):
    """Build one graph of all visits and run it.

    Parameters
    ----------
    plans : mapping of str to Plan
        By label of the visit.
    settings : Settings
        What was asked.
    workspace : Path
        Folder for the intermediates.
    failures : mapping of str to list of Failure
        Receives what failed, by visit.
    statuses : mapping of str to Status
        Their count of nodes is kept up to date.
    progress : Progress
        Is told of nodes.
    on_visit_done : callable
        Called with the label, as soon as all nodes of a visit have succeeded.
    check : callable
        Called at every turn of the scheduler; raises KeyboardInterrupt to end the run.

    """
    from nipype.pipeline import engine as pe

    _configure(settings)
    hearing = _Hearing(plans, settings, workspace, failures, statuses, progress, on_visit_done)
    whole = pe.Workflow(name=GRAPH, base_dir=str(workspace))
    hearing.add_to(whole)
    if not hearing.owner or all(
        step.done and not step.to_draw for plan in plans.values() for step in plan.steps
    ):
        # Something can no longer be done, and all else is there: a graph without nodes fails.
        return
    if settings.write_graph:
        _draw(whole, Path(settings.work_dir).absolute(), progress)
    try:
        _run(whole, settings, hearing.arguments(check))
    except Exception as error:
        # Who failed is known; a plugin of Nipype's raises that error again, whatever it was.
        ours = bool(settings.use_plugin) or isinstance(error, RuntimeError)
        if not (ours and any(failures.values())):
            raise


def _configure(settings: Settings) -> None:
    """Set up Nipype: everything is told by the program, crash files are text."""
    from nipype import config, logging

    config.update_config(
        {
            'execution': {
                'crashfile_format': 'txt',
                'stop_on_first_crash': settings.stop_on_first_crash,
                'remove_node_directories': False,
                'poll_sleep_duration': 0.2,
                'hash_method': 'content',
                'check_version': False,
                'local_hash_check': False,
                'keep_inputs': False,
                'remove_unnecessary_outputs': False,
                'parameterize_dirs': True,
                'create_report': False,
                # Plugins that run elsewhere wait for files that a network disk shows late.
                'job_finished_timeout': 65,
            },
            'logging': {
                'workflow_level': 'ERROR',
                'interface_level': 'ERROR',
                'utils_level': 'ERROR',
            },
        }
    )
    logging.update_logging(config)
    for name in ('nipype', 'nipype.workflow', 'nipype.interface', 'nipype.utils'):
        getLogger(name).setLevel('DEBUG' if settings.verbose > 1 else 'CRITICAL')


def _run(whole, settings: Settings, arguments: dict) -> None:
    """Run a graph with the plugin that was asked for, or with our own."""
    from csvdprep.graph.foreign import run_foreign
    from csvdprep.graph.plugin import ForkPlugin

    if settings.use_plugin:
        run_foreign(whole, settings.use_plugin, arguments)
        return
    plugin = ForkPlugin(plugin_args=arguments)
    try:
        whole.run(plugin=plugin)
    finally:
        plugin.stop()


class _Hearing:
    """Knows which visit a node belongs to, and what has become of its nodes."""

    def __init__(self, plans, settings, workspace, failures, statuses, progress, on_visit_done):
        self.plans, self.settings, self.workspace = plans, settings, workspace
        self.failures, self.statuses, self.progress = failures, statuses, progress
        self.on_visit_done = on_visit_done
        self.owner: dict[str, str] = {}
        self.left: dict[str, set[str] | None] = dict.fromkeys(plans)
        self.order = {label: place for place, label in enumerate(plans)}

    def add_to(self, whole) -> None:
        """Add the graph of each visit to the whole one."""
        from csvdprep.graph.visit import init_visit_wf

        for label, plan in self.plans.items():
            try:
                visit_wf = init_visit_wf(plan, output_dir=Path(self.settings.output_dir))
            except (CsvdprepError, OSError, MemoryError):
                raise  # it is the same for all visits
            except Exception as error:
                self.failures[label].append(Failure.of(error, room='plan'))
                continue
            whole.add_nodes([visit_wf])
            for node in visit_wf._get_all_nodes():
                node.config = {'execution': {'crashdump_dir': str(self.folder(label))}}
            self.owner[visit_wf.name] = label
            self.progress.open(label)

    def arguments(self, check) -> dict:
        """Return what the plugin is given."""
        arguments = {
            'n_procs': self.settings.nprocs,
            'memory_gb': self.settings.mem_gb,
            'status_callback': self.heard,
            'on_failure': self.failed,
            'on_graph': self.counted,
            'on_turn': check,
            'rank': lambda node: self.order.get(self.whose(node), 0),
        }
        if self.settings.resource_monitor:
            arguments['on_usage'] = self.used
        return arguments

    def folder(self, label: str) -> Path:
        """Return the folder of this run's log for a visit."""
        return run_folder(self.plans[label], self.settings, self.statuses[label].run_id)

    def whose(self, node) -> str | None:
        """Return the label of the visit that a node belongs to."""
        parts = node.fullname.split('.')
        return next((self.owner[part] for part in parts if part in self.owner), None)

    def heard(self, node, event: str) -> None:
        """Count a node that starts or ends; close a visit all of whose nodes have succeeded."""
        label = self.whose(node)
        if label is None:
            return
        if event == 'start':
            self.progress.start(label, node.name)
        elif event == 'end':
            self.statuses[label].nodes += 1
            self.progress.end(label, node.name)
            left = self.left[label]
            if left is not None:
                left.discard(node.fullname)
                if not left and not self.failures[label]:
                    _clean(label, self.workspace, self.settings)
                    self.on_visit_done(label)

    def counted(self, graph) -> None:
        """Take note of the nodes that each visit has."""
        for label in self.left:
            self.left[label] = {n.fullname for n in graph.nodes() if self.whose(n) == label}

    def failed(self, node, failure: Failure) -> None:
        """Take note of what failed."""
        label = self.whose(node)
        if label is not None:
            relative_file(failure.file, self.settings)
            failure = replace(failure, file=shown(failure.file, self.settings))
            self.failures[label].append(failure)
            self.progress.fail(label, failure)

    def used(self, node, wall: float, cpu: float, memory: float) -> None:
        """Add a node to the table of resources of its visit."""
        folder = self.folder(self.whose(node))
        folder.mkdir(parents=True, exist_ok=True)
        table = folder / 'resources.tsv'
        rows = [] if table.exists() else [('node', 'wall_s', 'cpu_s', 'peak_mb')]
        rows.append((node.fullname, f'{wall:.2f}', f'{cpu:.2f}', f'{memory:.0f}'))
        with table.open('a', encoding='utf-8') as file:
            file.write(tsv_text(rows))


def _draw(whole, folder: Path, progress) -> None:
    """Draw the graph into the working directory: the run's own folder is removed when it ends."""
    drawn = folder / DRAWINGS[0]
    try:
        for name in DRAWINGS:
            check_replaceable(folder / name, GRAPH, field='--write-graph')
        whole.write_graph(str(drawn), graph2use='colored', format='svg')
    except Exception as error:  # it takes Graphviz to draw it, and it is only a picture
        progress.say(plain(f'{drawn} could not be drawn: {error}'))


def run_folder(plan: Plan, settings: Settings, run_id: str) -> Path:
    """Return the folder of one run's log for a visit."""
    return Path(settings.output_dir) / plan.visit.log / run_id


def shown(file: str, settings: Settings) -> str:
    """Write a path below the root of the derivatives relative to it: they may be moved, or shared.

    Examples
    --------
    >>> shown('/data/out/sub-01/log/run/crash.txt',
    ...       Settings(bids_dir=Path('/data/raw'), output_dir=Path('/data/out')))
    'sub-01/log/run/crash.txt'

    """
    root = Path(settings.output_dir)
    return str(Path(file).relative_to(root)) if Path(file).is_relative_to(root) else file


def _clean(label: str, workspace: Path, settings: Settings):
    """Remove the intermediates of a visit: all that matters of them is saved."""
    if not settings.keep_workdir:
        folder = workspace / GRAPH / f'{label.replace("-", "_")}_wf'
        shutil.rmtree(folder, ignore_errors=True)
