"""Write tables, reports and methods text again from what is there, computing nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from csvdprep.core.errors import NothingToDo
from csvdprep.core.failure import said
from csvdprep.core.plan import VisitInput
from csvdprep.core.settings import Settings
from csvdprep.graph.decide import decide
from csvdprep.graph.finish import finish
from csvdprep.graph.participants import participant_inputs, with_several_visits
from csvdprep.graph.side_by_side import show_side_by_side
from csvdprep.graph.status import read_status


def rewrite(given: list[VisitInput], settings: Settings, *, say: Callable[[str], None]) -> int:
    """Carry out ``--reports-only`` or ``--boilerplate-only``.

    Parameters
    ----------
    given : list of VisitInput
        Scans of each visit.
    settings : Settings
        What was asked.
    say : callable
        Takes one line for the user.

    Returns
    -------
    int
        Exit status: 1 if a visit is not complete.

    Raises
    ------
    NothingToDo
        If no visit has been computed.

    """
    from csvdprep.report.boilerplate import write_citation

    if settings.boilerplate_only:
        plans = [decide(item, settings) for item in given]
        fullest = max(plans, key=lambda plan: len(plan.steps))
        write_citation(fullest, Path(settings.output_dir) / 'logs')
        say(f'csvdprep: {Path(settings.output_dir) / "logs" / "CITATION.md"} is written')
        return 0
    states = []
    for item in given:
        status = read_status(settings.output_dir, item.visit)
        if status is None:
            say(f'{item.visit.label}: not processed yet')
            continue
        failed = {failure.room for failure in status.failures if failure.of_room}
        plan = decide(item, settings, failed=failed)
        before = {step.room.name for step in plan.steps if step.done}
        try:
            finish(plan, status, settings, before=before)
        except Exception as error:  # one visit must not lose the others
            states.append('failed')
            say(f'{item.visit.label}: report and tables FAILED: {said(error)}')
            continue
        states.append(status.state)
        say(f'{item.visit.label}: report and tables are written ({status.state})')
    several = with_several_visits(settings.output_dir, sorted({v.visit.subject for v in given}))
    show_side_by_side(participant_inputs(settings, several, say=lambda _: None), settings, say=say)
    if not states:
        raise NothingToDo('No visit has been processed.', remedy='Run without --reports-only.')
    return 0 if all(state == 'ok' for state in states) else 1
