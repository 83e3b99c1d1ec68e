"""From settings to plans: what each visit holds, what will run, what is done already."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from csvdprep.bids.checkpoints import read_checkpoint
from csvdprep.core.errors import UsageError, plain
from csvdprep.core.plan import Plan, VisitInput, make_plan
from csvdprep.core.room import Context
from csvdprep.core.settings import Settings
from csvdprep.graph.discover import discover
from csvdprep.graph.visit import checkpoints


def decide(given: VisitInput, settings: Settings, *, failed: Iterable[str] = ()) -> Plan:
    """Plan one visit and look up what earlier runs left of it.

    Parameters
    ----------
    given : VisitInput
        Scans of the visit.
    settings : Settings
        What was asked.
    failed : iterable of str, optional
        Rooms whose results cannot be had in this run.

    Returns
    -------
    Plan
        With cached results in place, as ``settings.rerun`` allows: 'stale' takes what has the
        same inputs, options and version; 'missing' takes whatever is there; 'all' takes nothing.

    Raises
    ------
    UsageError
        If an option does not exist or has an impossible value.

    """
    level = given.visit.level
    rooms = discover(settings.output_spaces, level=level)
    # What is chosen by name are rooms of visits.
    markers = set(settings.markers) if level == 'visit' else set()
    try:
        plan = make_plan(
            given,
            rooms,
            options=settings.options,
            markers=markers,
            ignore=settings.ignore,
            context=Context(random_seed=settings.random_seed, sloppy=settings.sloppy),
            failed=failed,
        )
    except (TypeError, ValueError) as error:
        raise UsageError(
            f'An option of a step is invalid: {error}.', field='--config-file'
        ) from error
    if settings.rerun == 'all':
        return plan
    folder = checkpoints(plan, settings.output_dir)
    anything = settings.rerun == 'missing'
    cached, drawn, stale = {}, [], []
    for step in plan.steps:
        key = None if anything else step.key
        root = Path(settings.output_dir)
        cached[step.room.name] = read_checkpoint(folder, step.room.name, root=root, key=key) or {}
        if cached[step.room.name] and anything:
            fresh = read_checkpoint(folder, step.room.name, root=root, key=step.key)
            stale += [] if fresh else [step.room.name]
        drawn += [
            figure.desc
            for figure in step.room.figures
            if read_checkpoint(folder, f'figure-{figure.desc}', root=root, key=key)
        ]
    return plan.with_cached(cached, drawn, stale)


def describe(plan: Plan) -> str:
    """Write a plan as plain text: what will run, on which files, why the rest will not.

    Parameters
    ----------
    plan : Plan
        The plan.

    Returns
    -------
    str
        Several lines.

    """
    lines = [f'{plan.visit.label}']
    for name, scan in sorted(plan.scans.items()):
        if name != 'anat':
            lines.append(f'  {name:<14} {scan.path}')
    if 'anat' in plan.scans:
        lines.append(f'  reference      {plan.context.hub}')
    lines += [f'  note           {note}' for note in plan.notes]
    lines += [f'  refused        {file}: {why}' for file, why in plan.refused]
    lines += [f'  not used       {file}: {why}' for file, why in plan.unused]
    running = plan.running
    for step in plan.steps:
        state = 'will run' if step.room.name in running else 'complete'
        lines.append(f'  {step.room.name:<14} {state:<13} takes {", ".join(step.takes)}')
        if again := running.get(step.room.name):
            lines.append(f'  {"":<14} again, for    {", ".join(again)}, which is not kept')
        lines += [f'  {"":<14} decides       {item}' for item in step.decisions]
    for product, other in plan.aliases.items():
        lines.append(f'  {product:<14} is {other}')
    lines += [f'  {room:<14} will not run: {why}' for room, why in plan.skipped.items()]
    return '\n'.join(map(plain, lines))
