"""Carry out the group level: read what every visit left, write tables and a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from csvdprep.bids.files import content_missing, lock
from csvdprep.core.errors import NothingToDo
from csvdprep.core.plan import Visit
from csvdprep.core.room import Measure
from csvdprep.core.settings import Settings
from csvdprep.graph.discover import declared, discover
from csvdprep.graph.status import status_path
from csvdprep.group.change import write_changes
from csvdprep.group.covariates import Covariates, about_ages, age_of, number
from csvdprep.group.tables import GroupWriter, long_table, public
from csvdprep.group.visits import STATES, computed_visits, look_up


@dataclass
class Gathered:
    """What the page shows of a group: an array a measure, a list entry a visit.

    Everything else stays in the tables, so that ten thousand visits fit into little memory.
    """

    measures: list[Measure]
    visits: list[Visit] = field(default_factory=list)
    sites: list[str] = field(default_factory=list)
    scanners: list[str] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)
    states: Counter = field(default_factory=Counter)
    flags: dict[str, Counter] = field(default_factory=dict)
    reasons: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    missing: Counter = field(default_factory=Counter)
    verdicts: Counter = field(default_factory=Counter)
    remarks: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    versions: Counter = field(default_factory=Counter)
    origins: dict[str, Counter] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, entry, facts, rows) -> None:
        """Take in one visit."""
        status = entry.status
        self.visits.append(entry.visit)
        self.states[entry.state] += 1
        self.sites.append(facts['site'])
        age, _ = age_of(facts['age'])
        self.ages.append(np.nan if age is None else age)
        scanner = status.scanner if status else {}
        told = ' '.join(str(scanner[k]) for k in ('manufacturer', 'model') if scanner.get(k))
        told += f' {scanner["field_t"]} T' if scanner.get('field_t') else ''
        self.scanners.append(told.strip() or 'n/a')
        for measure in self.measures:
            value = number(rows['measures'].get(measure.name, 'n/a'))
            self.values[measure.name].append(np.nan if value is None else value)
        for name, flag in rows['qc'].items():
            if name in self.flags:
                self.flags[name][flag] += 1
        if status is None:
            return
        self.versions[status.version] += 1
        self.verdicts[status.verdict] += 1
        if status.remarks:
            told = [public(words) for _, words in status.remarks]
            self.remarks[entry.visit.label] = (status.verdict, told)
        label = entry.visit.label
        for failure in status.failures:
            said = public(f'{failure.room}: {failure}')
            key = ('failed', said)
            self.reasons.setdefault(key, []).append(label)
        if entry.state == 'lost':
            self.reasons.setdefault(('lost', STATES['lost']), []).append(label)
        for item in status.refused:
            why = public(str(item[-1]).split(' [file')[0])
            self.reasons.setdefault(('rejected file', why), []).append(label)
        for room, why in status.skipped.items():
            self.missing[(room, why)] += 1
        for room, scans in status.origins.items():
            self.origins.setdefault(room, Counter())[tuple(scans)] += 1


def run_group(settings: Settings, *, say: Callable[[str], None]) -> int:
    """Write ``group_measures.tsv``, ``group_qc.tsv``, ``group_status.tsv`` and ``group.html``.

    Parameters
    ----------
    settings : Settings
        Output folder, and the raw dataset for site, age and sex.
    say : callable
        Takes one line for the user.

    Returns
    -------
    int
        0: the tables tell of visits that failed; making them did not.

    Raises
    ------
    NothingToDo
        If no visit has been computed.
    """
    from csvdprep.group.page import write_page

    output_dir = Path(settings.output_dir)
    wanted, sessions = set(settings.participant_label), set(settings.session_label)
    rooms = discover(settings.output_spaces)
    measures = [m for room in rooms for m in room.measures if m.table and m.units]
    gathered = Gathered(
        measures,
        values={m.name: [] for m in measures},
        flags={m.name: Counter() for room in rooms for m in room.measures},
    )
    said: list[str] = []

    def tell(sentence: str) -> None:
        said.append(sentence)
        say(f'csvdprep: {sentence}')

    covariates = Covariates(settings.bids_dir, warn=tell)
    writer = GroupWriter(output_dir, rooms, declared(settings.output_spaces).names)
    visits = (
        v
        for v in computed_visits(output_dir)
        if (not wanted or v.subject in wanted) and (not sessions or v.session in sessions)
    )
    first = next(visits, None)
    if first is None:
        raise NothingToDo(
            'No selected visit has been processed.',
            file=output_dir,
            remedy='Run the participant level first.',
        )
    given: list[str] = []
    absent: list[str] = []
    with lock(output_dir / 'logs' / 'group.lock'), writer.open() as write:
        for visit in (first, *visits):
            entry = look_up(visit, output_dir)
            left = (status_path(output_dir, visit), long_table(output_dir, visit))
            absent += [fault for path in left if (fault := content_missing(path))]
            facts = covariates(visit)
            given.append(facts['age'])
            gathered.add(entry, facts, write(entry, facts))
    if absent:
        tell(
            f'{absent[0]} In total, the content of {len(absent)} tables or status files of '
            'visits is missing; their values are n/a.'
        )
    covariates.finish()
    for sentence in about_ages(given):
        tell(sentence)
    gathered.notes = [public(sentence) for sentence in said]
    changes = write_changes(output_dir, wanted)
    write_page(gathered, output_dir)
    bad = {state: count for state, count in gathered.states.items() if state != 'ok'}
    total = len(gathered.visits)
    checks = ', '.join(
        f'{words} ({gathered.verdicts[verdict]})'
        for verdict, words in (('check', 'to be checked'), ('failed', 'that failed'))
        if gathered.verdicts[verdict]
    )
    if checks:
        say(f'csvdprep: visits with results {checks}: see the section Contradictions of the page')
    say(
        f'csvdprep: {gathered.states["ok"]} of {total} visits are complete'
        + ''.join(f', {count} {state}' for state, count in sorted(bad.items()))
        + f'; tables and page: {output_dir}/group_*.tsv, {output_dir}/group.html'
        + ('; differences between visits: group_change.tsv' if changes else '')
    )
    return 0
