"""Show the visits of a participant side by side in their reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from csvdprep.core.failure import said
from csvdprep.core.plan import VisitInput
from csvdprep.core.settings import Settings
from csvdprep.graph.discover import LEFT, discover


def show_side_by_side(
    given: Iterable[VisitInput], settings: Settings, *, say: Callable[[str], None]
) -> None:
    """Put the visits of participants into the reports that are there.

    Also where nothing was computed: a report may have been written anew. What goes wrong is
    told, and loses nothing.

    Parameters
    ----------
    given : iterable of VisitInput
        From :func:`csvdprep.graph.participants.participant_inputs`.
    settings : Settings
        Output folder, and output spaces.
    say : callable
        Takes one line for the user.
    """
    from csvdprep.report.visits import insert_visits

    rooms = discover(settings.output_spaces)
    for item in given:
        visits = (item.scans[LEFT].content or {}).get('visits', ()) if LEFT in item.scans else ()
        try:
            insert_visits(Path(settings.output_dir), item.visit.subject, visits, rooms)
        except Exception as error:
            say(f'{item.visit.label}: reports do not show the visits side by side: {said(error)}')
