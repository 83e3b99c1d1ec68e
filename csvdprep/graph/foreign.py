"""Run a graph with a plugin of Nipype's, which computes elsewhere and hands back only text."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from csvdprep.bids.files import read_text
from csvdprep.core.errors import UsageError
from csvdprep.graph.telling import conceal, harmless
from csvdprep.graph.witness import forget, lost, watch, witnessed

#: How the first line of a crash file names its node.
_NODE = 'Node: '


def run_foreign(workflow, plugin: Path, arguments: Mapping) -> None:
    """Run a workflow with the plugin that the user names, and tell what failed.

    Parameters
    ----------
    workflow : nipype Workflow
        What to run.
    plugin : Path
        File that :func:`read_plugin` reads.
    arguments : mapping
        ``status_callback`` is told of nodes, ``on_failure`` of each node that failed, with its
        `Failure`, once the run has ended.
    """
    name, more = read_plugin(plugin)
    failed = {}

    def heard(node, event):
        if event == 'start':
            harmless(forget)(node)
        elif event == 'exception':
            failed[node.fullname] = node
        arguments['status_callback'](node, event)

    for node in workflow._get_all_nodes():
        watch(node)
    # Nipype's SLURM asks for it; in containers and services it is often not set.
    with contextlib.suppress(KeyError, OSError):
        os.environ.setdefault('LOGNAME', getpass.getuser())
    try:
        workflow.run(plugin=name, plugin_args={'status_callback': harmless(heard), **more})
    finally:
        for node in failed.values():
            file = conceal(crash_file(node))
            failure = witnessed(node) or lost(node, harmless(_lines)(file) or [])
            harmless(arguments['on_failure'])(node, replace(failure, file=file))


def crash_file(node) -> str:
    """Return the file in which Nipype described how a node failed, empty if there is none."""
    folder = Path(node.config['execution'].get('crashdump_dir') or '.')
    for path in sorted(folder.glob('crash-*.txt'), reverse=True):
        if (harmless(_lines)(path) or [''])[0] == _NODE + node.fullname:
            return str(path)
    return ''


def _lines(path: str | Path) -> list[str]:
    return read_text(path, errors='replace').splitlines()


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
    if not os.path.lexists(path):
        raise UsageError(
            'The plugin file does not exist.',
            file=path,
            field='--use-plugin',
            remedy='Check the path.',
        )
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
            f'The plugin {name} submits jobs and does not wait for them, so their results '
            'would not be collected.',
            file=path,
            field='plugin',
            remedy='Use csvdprep slurm, or a plugin that waits for its jobs (SLURM, SGE, PBS, '
            'MultiProc).',
        )
    return name, arguments


def _yaml(text):
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
