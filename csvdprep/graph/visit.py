"""Turn a plan into a graph. Nothing is decided here; everything is connected by name."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from csvdprep.bids import names
from csvdprep.bids.provenance import activity_id
from csvdprep.bids.sidecar import sidecar
from csvdprep.bids.tsv import tsv_text
from csvdprep.core.plan import Plan, Step, Visit
from csvdprep.interfaces.sink import Checkpoint, DrawFigure, SaveDerivative
from csvdprep.resources import resource

#: How the workflow of a room is called.
_ROOM = '{}_room_wf'


def room_of(node) -> str:
    """Return which room a node belongs to, by the workflows that it lies in.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> room_of(SimpleNamespace(fullname='csvdprep_wf.sub_01_wf.wmh_room_wf.wmh_wf.segment'))
    'wmh'

    """
    end = _ROOM.format('')
    *parts, name = node.fullname.split('.')
    rooms = (part.removesuffix(end) for part in parts if part.endswith(end))
    return next(rooms, name.removeprefix('draw_'))


def checkpoints(plan: Plan, output_dir: Path) -> Path:
    """Return the folder in which a visit's finished rooms are noted."""
    return checkpoint_folder(plan.visit, output_dir)


def checkpoint_folder(visit: Visit, output_dir: Path) -> Path:
    """Return the same by the visit alone."""
    return Path(output_dir) / visit.log / 'checkpoints'


def figure_path(plan: Plan, figure, output_dir: Path) -> Path:
    """Return where a figure of a visit belongs."""
    suffix = figure.suffix.format(hub=plan.context.hub)
    name = f'{plan.visit.label}_desc-{figure.desc}_{suffix}{figure.extension}'
    return Path(output_dir) / plan.visit.folder / 'figures' / name


def init_visit_wf(plan: Plan, *, output_dir: Path) -> pe.Workflow:
    """Connect the rooms of one visit.

    Every name is made once, by a scan or by a room, and may be needed many times.

    Parameters
    ----------
    plan : Plan
        What was decided.
    output_dir : Path
        Root of the derivatives.

    Returns
    -------
    nipype Workflow
        Named after the visit; its nodes are grouped by room.

    """
    workflow = pe.Workflow(name=plan.visit.label.replace('-', '_') + '_wf')
    fixed = {name: scan.content or scan.path for name, scan in plan.scans.items()}
    fixed |= {
        name: str(resource(target.removeprefix('resource:')))
        for name, target in plan.aliases.items()
        if target.startswith('resource:')
    }
    scans = pe.Node(niu.IdentityInterface(fields=[*fixed]), name='scans')
    scans.inputs.trait_set(**fixed)
    makers = {name: (scans, name) for name in fixed}

    for step in plan.steps:
        room_wf = init_room_wf(step, plan=plan, output_dir=output_dir)
        workflow.add_nodes([room_wf])
        for name in step.takes:
            node, field = makers[plan.aliases.get(name, name) if name not in fixed else name]
            workflow.connect(node, field, room_wf, f'inputnode.{name}')
        makers |= {name: (room_wf, f'outputnode.{name}') for name in step.room.outputs()}
        _draw(workflow, step, plan=plan, makers=makers, fixed=fixed, output_dir=output_dir)
    return workflow


def init_room_wf(step: Step, *, plan: Plan, output_dir: Path) -> pe.Workflow:
    """Wrap a room: compute, save, note that it is done, and hand on the saved files.

    A room whose derivatives are all at hand is replaced by them. What leaves a room
    is therefore a file of a dataset, never of the working directory, unless its declaration says
    that it is not kept; for the sake of that a room that is done runs again.

    Parameters
    ----------
    step : Step
        The room, its options and what earlier runs left of it.
    plan : Plan
        The visit's plan.
    output_dir : Path
        Root of the derivatives.

    Returns
    -------
    nipype Workflow
        With ``inputnode`` (what the room takes) and ``outputnode`` (what it makes).

    """
    room, outputs, kept = step.room, step.room.outputs(), step.room.keeps()
    workflow = pe.Workflow(name=_ROOM.format(room.name))
    inputnode = pe.Node(niu.IdentityInterface(fields=[*step.takes]), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface(fields=[*outputs]), name='outputnode')
    workflow.add_nodes([inputnode, outputnode])

    if room.name not in plan.running:
        outputnode.inputs.trait_set(**{name: step.cached[name] for name in kept})
        return workflow

    room_wf = room.builder()(room=room, options=step.options, context=plan.context)
    workflow.connect([(inputnode, room_wf, [(need, f'inputnode.{need}') for need in step.takes])])
    done = pe.Node(
        Checkpoint(
            kept,
            folder=str(checkpoints(plan, output_dir)),
            root=str(output_dir),
            name=room.name,
            key=step.key,
        ),
        name='checkpoint',
        run_without_submitting=True,
    )
    for name, derivative in outputs.items():
        if name not in kept:
            workflow.connect(room_wf, f'outputnode.{name}', outputnode, name)
            continue
        path = names.derivative_path(
            name,
            derivative,
            visit=plan.visit,
            hub=plan.context.hub,
            scans=plan.scans,
            declared=plan.declared,
        )
        sink = pe.Node(
            SaveDerivative(
                out_path=str(Path(output_dir) / path),
                sidecar=_sidecar(name, derivative, plan=plan, step=step),
                table=_table(derivative),
            ),
            name=f'ds_{name}',
            run_without_submitting=True,
        )
        workflow.connect(
            [
                (room_wf, sink, [(f'outputnode.{name}', 'in_file')]),
                (sink, outputnode, [('out_file', name)]),
                (sink, done, [('out_file', name)]),
            ]
        )
    return workflow


def _sidecar(name, derivative, *, plan, step):
    """Describe a product with the parameters that made it."""
    if derivative.extension in ('.json', '.bval', '.bvec'):
        return {}
    facts = sidecar(name, derivative, plan)
    if plan.visit.level != 'dataset':
        facts['GeneratedBy'] = activity_id(step, plan.visit)
    if parameters := asdict(step.options) | _behind(step, plan):
        facts['Parameters'] = parameters
    if derivative.xfm:
        facts['Method'] = uncited(step.room.describe(step.options))
    return facts


def uncited(text: str) -> str:
    """Take the keys of citations out of a paragraph of Methods.

    Examples
    --------
    >>> uncited('Registered by SyN [@avants2008; @x] (ANTs).')
    'Registered by SyN (ANTs).'

    """
    return re.sub(r'\s*\[@[^\]]*\]', '', text)


def _behind(step, plan) -> dict:
    """Return the options, as ``--set`` names them, of steps whose results only this one shows."""
    makers = {
        name: other
        for other in plan.steps
        for name, made in other.room.makes.items()
        if not made.saved
    }
    found, todo = set(), [*step.takes]
    while todo:
        name = todo.pop()
        other = makers.get(plan.aliases.get(name, name))
        if other and other.room.name not in found:
            found.add(other.room.name)
            todo += other.takes
    return {
        f'{other.room.name}.{name}': value
        for other in plan.steps
        if other.room.name in found
        for name, value in asdict(other.options).items()
    }


def _table(derivative) -> str:
    """Write the look-up table of a label image."""
    if not derivative.table:
        return ''
    if isinstance(derivative.table, str):
        path = resource(derivative.table)
        return path.with_name(path.name.split('.', 1)[0] + '.tsv').read_text(encoding='utf-8')
    columns = list(derivative.table[0])
    return tsv_text([columns, *([row[c] for c in columns] for row in derivative.table)])


def _draw(workflow, step, *, plan, makers, fixed, output_dir):
    """Add the figures that a room declares and that are not there yet."""
    for figure in step.to_draw:
        asked = [*figure.takes, *figure.wants]
        takes = {
            name: plan.aliases.get(name, name) if name not in fixed else name for name in asked
        }
        if any(takes[name] not in makers for name in figure.takes):
            continue
        tag = figure.desc.replace('-', '')
        draw = pe.Node(
            DrawFigure(asked, function=figure.build, extension=figure.extension),
            name=f'draw_{tag}',
            mem_gb=0.8,
        )
        path = str(figure_path(plan, figure, output_dir))
        sink = pe.Node(
            SaveDerivative(out_path=path), name=f'ds_fig_{tag}', run_without_submitting=True
        )
        done = pe.Node(
            Checkpoint(
                ['figure'],
                folder=str(checkpoints(plan, output_dir)),
                root=str(output_dir),
                name=f'figure-{figure.desc}',
                key=step.key,
            ),
            name=f'checkpoint_{tag}',
            run_without_submitting=True,
        )
        for name in asked:
            if takes[name] in makers:
                node, field = makers[takes[name]]
                workflow.connect(node, field, draw, name)
        workflow.connect(
            [(draw, sink, [('out_file', 'in_file')]), (sink, done, [('out_file', 'figure')])]
        )
