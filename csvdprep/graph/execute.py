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
    from nipype import config, logging
    from nipype.pipeline import engine as pe

    from csvdprep.graph.foreign import run_foreign
    from csvdprep.graph.plugin import ForkPlugin
    from csvdprep.graph.visit import init_visit_wf

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

    whole = pe.Workflow(name=GRAPH, base_dir=str(workspace))
    owner, left = {}, dict.fromkeys(plans)
    for label, plan in plans.items():
        try:
            visit_wf = init_visit_wf(plan, output_dir=Path(settings.output_dir))
        except (CsvdprepError, OSError, MemoryError):
            raise  # it is the same for all visits
        except Exception as error:
            failures[label].append(Failure.of(error, room='plan'))
            continue
        crash_dir = run_folder(plan, settings, statuses[label].run_id)
        whole.add_nodes([visit_wf])
        for node in visit_wf._get_all_nodes():
            node.config = {'execution': {'crashdump_dir': str(crash_dir)}}
        owner[visit_wf.name] = label
        progress.open(label)
    if not owner or all(
        step.done and not step.to_draw for plan in plans.values() for step in plan.steps
    ):
        # Something can no longer be done, and all else is there: a graph without nodes fails.
        return
    if settings.write_graph:
        _draw(whole, Path(settings.work_dir).absolute(), progress)

    def whose(node):
        return next((owner[part] for part in node.fullname.split('.') if part in owner), None)

    def heard(node, event):
        label = whose(node)
        if label is None:
            return
        if event == 'start':
            progress.start(label, node.name)
        elif event == 'end':
            statuses[label].nodes += 1
            progress.end(label, node.name)
            if left[label] is not None:
                left[label].discard(node.fullname)
                if not left[label] and not failures[label]:
                    _clean(label, workspace, settings)
                    on_visit_done(label)

    def counted(graph):
        for label in left:
            left[label] = {n.fullname for n in graph.nodes() if whose(n) == label}

    def failed(node, failure):
        label = whose(node)
        if label is not None:
            failure = replace(failure, file=shown(failure.file, settings))
            failures[label].append(failure)
            progress.fail(label, failure)

    def used(node, wall, cpu, memory):
        label = whose(node)
        folder = run_folder(plans[label], settings, statuses[label].run_id)
        folder.mkdir(parents=True, exist_ok=True)
        table = folder / 'resources.tsv'
        rows = [] if table.exists() else [('node', 'wall_s', 'cpu_s', 'peak_mb')]
        rows.append((node.fullname, f'{wall:.2f}', f'{cpu:.2f}', f'{memory:.0f}'))
        with table.open('a', encoding='utf-8') as file:
            file.write(tsv_text(rows))

    order = {label: place for place, label in enumerate(plans)}
    arguments = {
        'n_procs': settings.nprocs,
        'memory_gb': settings.mem_gb,
        'status_callback': heard,
        'on_failure': failed,
        'on_graph': counted,
        'on_turn': check,
        'rank': lambda node: order.get(whose(node), 0),
    }
    if settings.resource_monitor:
        arguments['on_usage'] = used
    try:
        if settings.use_plugin:
            run_foreign(whole, settings.use_plugin, arguments)
        else:
            plugin = ForkPlugin(plugin_args=arguments)
            try:
                whole.run(plugin=plugin)
            finally:
                plugin.stop()
    except Exception as error:
        # Who failed is known; a plugin of Nipype's raises that error again, whatever it was.
        ours = bool(settings.use_plugin) or isinstance(error, RuntimeError)
        if not (ours and any(failures.values())):
            raise


def _draw(whole, folder: Path, progress) -> None:
    """Draw the graph into the working directory: the run's own folder is removed when it ends."""
    drawn = folder / DRAWINGS[0]
    try:
        for name in DRAWINGS:
            check_replaceable(folder / name, GRAPH, field='--write-graph')
        whole.write_graph(str(drawn), graph2use='colored', format='svg')
    except Exception as error:  # it takes Graphviz to draw it, and it is only a picture
        progress.say(plain(f'{drawn} is not drawn: {error}'))


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
