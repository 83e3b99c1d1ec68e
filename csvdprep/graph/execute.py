"""Run graphs with Nipype, and translate what it tells into plain words."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import re
import shutil
from logging import getLogger
from pathlib import Path

from csvdprep.bids.files import read_text
from csvdprep.bids.own import check_replaceable
from csvdprep.bids.tsv import tsv_text
from csvdprep.core.errors import CsvdprepError, plain
from csvdprep.core.plan import Plan
from csvdprep.core.settings import Settings
from csvdprep.graph.telling import harmless, said
from csvdprep.graph.workspace import DRAWINGS, GRAPH

_MEMORY = (
    'The memory did not suffice. Remedy: give the run more (--mem) or use fewer processes '
    '(--nprocs).'
)
#: What the user can do about failures that come from outside the application.
ADVICE = {
    'MemoryError': _MEMORY,
    'bad_alloc': _MEMORY,
    'Cannot allocate memory': _MEMORY,
    'Failed to allocate memory': _MEMORY,
    'failed to map segment': _MEMORY,
    'No space left on device': 'The disk is full. Remedy: free some space, or name another '
    'working directory (-w), and start again; what is finished stays.',
    'Read-only file system': 'The disk cannot be written. Remedy: name another output or '
    'working directory.',
    'Disk quota exceeded': 'The disk quota is used up. Remedy: free some space and start again.',
}


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
    failures : mapping of str to list
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
            failures[label].append({'room': '', 'node': '', 'file': '', 'message': said(error)})
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

    def failed(node, lines):
        label = whose(node)
        if label is not None:
            try:
                failure = explain(node, lines)
            except Exception as error:
                failure = {'room': '', 'node': node.name, 'message': said(error), 'file': ''}
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
            _run_foreign(whole, settings, arguments)
        else:
            plugin = ForkPlugin(plugin_args=arguments)
            try:
                whole.run(plugin=plugin)
            finally:
                plugin.stop()
    except RuntimeError:
        if not any(failures.values()):
            raise
    if settings.use_plugin:
        for label, plan in plans.items():
            folder = run_folder(plan, settings, statuses[label].run_id)
            read = [harmless(_read_crash)(f) for f in sorted(folder.glob('crash-*.txt'))]
            told = {failure['file'] for failure in failures[label]}
            failures[label] += [item for item in read if item and item['file'] not in told]


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


def explain(node, lines) -> dict[str, str]:
    """Say in a plain sentence why a node failed.

    Parameters
    ----------
    node : nipype Node
        The node.
    lines : list of str
        Its traceback.

    Returns
    -------
    dict
        ``room``, ``node``, ``message`` and ``file``.

    """
    found = re.search(r'\.(\w+)_room_wf\.', f'.{node.fullname}.')
    room = found.group(1) if found else node.name.removeprefix('draw_')
    return {'room': room, 'node': node.name, 'message': last_words(lines), 'file': ''}


def last_words(lines) -> str:
    """Find the sentence that matters in a traceback.

    Examples
    --------
    >>> last_words(['csvdprep.core.errors.MeasureError: The image is constant.'])
    'The image is constant.'
    >>> last_words(['OSError: [Errno 28] No space left on device'])[:18]
    'The disk is full. '

    """
    text = ''.join(lines) if isinstance(lines, (list, tuple)) else str(lines)
    for sign, advice in ADVICE.items():
        if sign in text:
            return advice
    for line in reversed(text.strip().splitlines()):
        found = re.match(r'^\s*(?:[\w.]*\.)?(\w*(?:Error|Exception|Killed|Warning)): (.*)$', line)
        if found and found.group(1) != 'NodeExecutionError':
            kind, said = found.groups()
            ours = kind in ('MeasureError', 'InputError', 'PreflightError', 'WorkerKilled')
            return said if ours else f'{kind}: {said}'
    return text.strip().splitlines()[-1].strip() if text.strip() else 'unknown failure'


def read_plugin(path: Path) -> tuple[str, dict]:
    """Read which plugin of Nipype's a user wants, and with which arguments.

    Parameters
    ----------
    path : Path
        YAML or JSON with ``plugin`` and perhaps ``plugin_args``.

    Raises
    ------
    UsageError
        If the file says nothing of the kind, or names a plugin that does not wait for its jobs.
    """
    from csvdprep.core.errors import UsageError

    try:
        text = read_text(path)
        asked = json.loads(text) if text.lstrip().startswith('{') else _yaml(text)
        name, arguments = asked['plugin'], asked.get('plugin_args') or {}
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            'The plugin file cannot be used.',
            file=path,
            remedy="Write 'plugin: NAME' and 'plugin_args: {...}' as YAML or JSON.",
        ) from error
    if name.endswith('Graph'):
        raise UsageError(
            f'The plugin {name} submits jobs and does not wait for them: nobody would collect '
            'what they compute.',
            file=path,
            field='plugin',
            remedy='Use csvdprep slurm, or a plugin that waits (SLURM, SGE, PBS, MultiProc).',
        )
    return name, arguments


def _run_foreign(workflow, settings, arguments):
    """Run with the Nipype plugin that the user names."""
    name, more = read_plugin(settings.use_plugin)
    given = {'status_callback': harmless(arguments['status_callback']), **more}
    # Nipype's SLURM asks for it; in containers and services it is often not set.
    with contextlib.suppress(KeyError, OSError):
        os.environ.setdefault('LOGNAME', getpass.getuser())
    workflow.run(plugin=name, plugin_args=given)


def _yaml(text):
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _read_crash(path: Path) -> dict[str, str]:
    text = path.read_text(encoding='utf-8', errors='replace')
    node = re.search(r'^Node: (\S+)', text, re.MULTILINE)
    name = node.group(1) if node else path.stem
    room = re.search(r'(\w+)_room_wf', name)
    return {
        'room': room.group(1) if room else '',
        'node': name.rsplit('.', 1)[-1],
        'message': last_words(text),
        'file': str(path),
    }


def _clean(label: str, workspace: Path, settings: Settings):
    """Remove the intermediates of a visit: all that matters of them is saved."""
    if not settings.keep_workdir:
        folder = workspace / GRAPH / f'{label.replace("-", "_")}_wf'
        shutil.rmtree(folder, ignore_errors=True)
