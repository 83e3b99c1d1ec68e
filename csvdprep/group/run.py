"""Carry out the group level: read what every visit left, write tables and a page.

Between the two, the rooms of the dataset take the tables; see :mod:`csvdprep.group.rooms`.
"""

from __future__ import annotations

import tempfile
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any

import numpy as np

from csvdprep.bids.covariates import GROUP, PERSON, Covariates, about_ages, age_of
from csvdprep.bids.files import content_missing, lock
from csvdprep.bids.spellings import about_sites
from csvdprep.bids.visit_times import visit_times
from csvdprep.core.errors import NothingToDo
from csvdprep.core.failure import said
from csvdprep.core.plan import Visit, VisitInput
from csvdprep.core.room import Figure, Measure
from csvdprep.core.settings import Settings
from csvdprep.graph.decide import describe
from csvdprep.graph.discover import declared, discover
from csvdprep.graph.judging import counts
from csvdprep.graph.status import status_path
from csvdprep.group.agreement import write_agreement
from csvdprep.group.change import write_changes
from csvdprep.group.page import Shown, write_page
from csvdprep.group.rooms import dataset_input, plan_dataset, run_dataset
from csvdprep.group.tables import GroupWriter, long_table, public
from csvdprep.group.triage import triage_row
from csvdprep.group.visits import STATES, computed_visits, look_up
from csvdprep.report.content import scan_titles, worded

#: Most measures in the list of visits.
COLUMNS = 8


@dataclass
class Gathered:
    """What the page shows of a group: an array a measure, a list entry a visit.

    Everything else stays in the tables, so that ten thousand visits fit into little memory.
    """

    measures: list[Measure]
    output_dir: Path = Path()
    pictures: list[Figure] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    sites: list[str] = field(default_factory=list)
    scanners: list[str] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)
    became: list[str] = field(default_factory=list)
    sexes: list[str] = field(default_factory=list)
    others: list[dict[str, str]] = field(default_factory=list)
    bounds: dict[str, dict[int, list[float]]] = field(default_factory=dict)
    values: dict[str, array[float]] = field(default_factory=dict)
    states: Counter = field(default_factory=Counter)
    flags: dict[str, Counter] = field(default_factory=dict)
    reasons: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    missing: Counter = field(default_factory=Counter)
    verdicts: Counter = field(default_factory=Counter)
    triage: list[dict[str, Any]] = field(default_factory=list)
    versions: Counter = field(default_factory=Counter)
    origins: dict[str, Counter] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, entry, facts, others, rows) -> None:
        """Take in one visit."""
        status = entry.status
        for name, bounds in rows['bounds'].items():
            self.bounds.setdefault(name, {})[len(self.visits)] = bounds
        self.others.append(others)
        self.visits.append(entry.visit)
        self.states[entry.state] += 1
        self.became.append(entry.state)
        self.sites.append(facts['site'])
        self.sexes.append(facts['sex'])
        age, _ = age_of(facts['age'])
        self.ages.append(np.nan if age is None else age)
        scanner = status.scanner if status else {}
        told = ' '.join(str(scanner[k]) for k in ('manufacturer', 'model') if scanner.get(k))
        told += f' {scanner["field_t"]} T' if scanner.get('field_t') else ''
        self.scanners.append(told.strip() or 'n/a')
        for name, column in self.values.items():
            column.append(rows['numbers'].get(name, np.nan))
        for name, flag in rows['qc'].items():
            if name in self.flags:
                self.flags[name][flag] += 1
        self.triage.append(
            triage_row(entry, rows, self.judged, self.first, self.pictures, self.output_dir)
        )
        if status is None:
            return
        self.versions[status.version] += 1
        self.verdicts[status.verdict] += 1
        label = entry.visit.label
        for failure in status.failures:
            key = ('failed', public(f'{failure.room}: {failure}'))
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

    @cached_property
    def judged(self) -> list[Measure]:
        """Measures whose flags count for the verdict on a visit."""
        return [m for m in self.measures if counts(m)]

    @cached_property
    def first(self) -> list[Measure]:
        """Measures that stand for their markers."""
        return [m for m in self.measures if m.primary]

    def columns(self) -> list[Measure]:
        """Return the first of these that some visit has: columns of the list of visits."""
        found = (m for m in self.first if np.isfinite(self.values[m.name]).any())
        return list(islice(found, COLUMNS))

    def covariates(self) -> list[dict[str, Any]]:
        """Return what is known of each visit beside its images, in the order of the tables."""
        return [
            {
                'participant_id': f'sub-{visit.subject}',
                'session_id': f'ses-{visit.session}' if visit.session else 'n/a',
                'site': site,
                'scanner': scanner,
                'age': None if np.isnan(age) else age,
                'sex': sex,
                'state': state,
                'group': _named(others, GROUP),
                'person': _named(others, PERSON),
                'others': {k: v for k, v in others.items() if k not in (*GROUP, *PERSON)},
            }
            for visit, site, scanner, age, sex, state, others in zip(
                self.visits,
                self.sites,
                self.scanners,
                self.ages,
                self.sexes,
                self.became,
                self.others,
                strict=True,
            )
        ]


def _named(others: dict[str, str], names: tuple[str, ...]) -> str:
    return next((others[name] for name in names if name in others), 'n/a')


def run_group(
    settings: Settings,
    *,
    say: Callable[[str], None],
    progress,
    prepare: Callable[[], None] = lambda: None,
    show: Callable[[str], None] = print,
) -> int:
    """Write the tables ``group_*.tsv`` with their sidecars, and ``group.html``.

    Parameters
    ----------
    settings : Settings
        Output folder, and the raw dataset for site, age and sex. With ``dry_run`` nothing is
        written there, and the plan of the rooms of the dataset is shown.
    say : callable
        Takes one line for the user.
    progress : Progress
        Is told of each step of the rooms of the dataset.
    prepare : callable, optional
        Makes the working directory; called when the tables are written.
    show : callable, optional
        Takes the plan.

    Returns
    -------
    int
        0: the tables tell of visits that failed; making them did not. 1 (or the status of the
        error) if a room of the dataset failed; tables and page are there.

    Raises
    ------
    NothingToDo
        If no visit has been computed.
    """
    output_dir = Path(settings.output_dir)
    if settings.dry_run:
        with tempfile.TemporaryDirectory() as folder:
            gathered, changes = _write_tables(settings, Path(folder), say)
            plan = plan_dataset(_offer(gathered, settings, Path(folder), changes), settings)
            show(describe(plan).replace(folder, str(output_dir)))
        return 0
    with lock(output_dir / 'logs' / 'group.lock'):
        gathered, changes = _write_tables(settings, output_dir, say)
        agreement = write_agreement(output_dir, gathered.visits, gathered.covariates())
        shown, code = _rooms(gathered, settings, changes, say, progress, prepare)
    write_page(gathered, output_dir, shown)
    _tell(gathered, settings, changes, agreement is not None, say)
    return code


def _write_tables(
    settings: Settings, folder: Path, say: Callable[[str], None]
) -> tuple[Gathered, bool]:
    """Write the tables into a folder; tell whether there are differences between visits, too."""
    output_dir = Path(settings.output_dir)
    wanted, sessions = set(settings.participant_label), set(settings.session_label)
    rooms = discover(settings.output_spaces)
    ordered = sorted(rooms, key=lambda room: room.order)
    measures = [m for room in ordered for m in room.measures if m.table and m.units]
    gathered = Gathered(
        measures,
        output_dir,
        [figure for room in ordered for figure in room.figures if figure.disease],
        values={m.name: array('d') for m in measures},
        flags={m.name: Counter() for room in rooms for m in room.measures},
    )
    notes: list[str] = []

    def tell(sentence: str) -> None:
        notes.append(sentence)
        say(f'csvdprep: {sentence}')

    covariates = Covariates(settings.bids_dir, warn=tell)
    known = declared(settings.output_spaces)
    titles = scan_titles(known)
    writer = GroupWriter(output_dir, rooms, known.names, folder)
    visits = (
        v
        for v in computed_visits(output_dir)
        if (not wanted or v.subject in wanted)
        and (not sessions or v.session in sessions)
        and not settings.leaves_out(v.subject, v.session)
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
    with writer.open() as write:
        for visit, years in _with_times(chain([first], visits), settings.bids_dir, tell):
            entry = look_up(visit, output_dir)
            if entry.status:
                skipped = entry.status.skipped
                entry.status.skipped = {k: worded(why, titles) for k, why in skipped.items()}
            left = (status_path(output_dir, visit), long_table(output_dir, visit))
            absent += [fault for path in left if (fault := content_missing(path))]
            facts = covariates(visit) | {'interval_years': years}
            given.append(facts['age'])
            gathered.add(entry, facts, covariates.others(visit), write(entry, facts))
    if absent:
        tell(
            f'{absent[0]} In total, the content of {len(absent)} tables or status files of '
            'visits is missing; their values are n/a.'
        )
    covariates.finish()
    for sentence in (*about_ages(given), *about_sites(gathered.sites)):
        tell(sentence)
    gathered.notes = [public(sentence) for sentence in notes]
    return gathered, write_changes(output_dir, wanted, folder, settings.leaves_out) is not None


def _with_times(
    visits: Iterable[Visit], bids_dir: Path, warn: Callable[[str], None]
) -> Iterator[tuple[Visit, str]]:
    """Yield visits, which come by participant, with the years since the participant's first."""
    for _, own in groupby(visits, key=lambda visit: visit.subject):
        own = list(own)
        times = {
            item.visit: '' if item.years is None else f'{item.years:g}'
            for item in visit_times(bids_dir, [v for v in own if v.session], warn)
        }
        yield from ((visit, times.get(visit, '')) for visit in own)


def _offer(gathered: Gathered, settings: Settings, folder: Path, changes: bool) -> VisitInput:
    rooms = discover(settings.output_spaces)
    return dataset_input(
        folder, gathered.covariates(), rooms, changes=changes, bounds=gathered.bounds
    )


def _rooms(gathered, settings: Settings, changes, say, progress, prepare) -> tuple[Shown, int]:
    """Carry out the rooms of the dataset; whatever goes wrong there loses no table."""
    try:
        given = _offer(gathered, settings, Path(settings.output_dir), changes)
        prepare()
        shown = run_dataset(given, settings, say=say, progress=progress)
    except Exception as error:
        say(f'csvdprep: steps on the group tables FAILED: {said(error)}')
        note = f'Steps on the group tables failed: {public(said(error))}'
        return Shown(notes=(note,), failed=True), getattr(error, 'exit_code', 1)
    if shown.interrupted:
        say('csvdprep: interrupted; the next run goes on from here')
        return shown, 130
    for section in shown.sections:
        if section.state == 'skipped':
            say(f'csvdprep: {section.name} is not run: {section.why}')
    return shown, 1 if shown.failed else 0


def _tell(gathered: Gathered, settings: Settings, changes: bool, agreement: bool, say) -> None:
    """Say what the tables hold, and where they are."""
    bad = {state: count for state, count in gathered.states.items() if state != 'ok'}
    total = len(gathered.visits)
    checks = ', '.join(
        f'{words} ({gathered.verdicts[verdict]})'
        for verdict, words in (('check', 'to be checked'), ('failed', 'that failed'))
        if gathered.verdicts[verdict]
    )
    if checks:
        say(f'csvdprep: visits with results {checks}: see the list of visits of the page')
    output_dir = settings.output_dir
    say(
        f'csvdprep: {gathered.states["ok"]} of {total} visits are complete'
        + ''.join(f', {count} {state}' for state, count in sorted(bad.items()))
        + f'; tables and page: {output_dir}/group_*.tsv, {output_dir}/group.html'
        + ('; differences between visits: group_change.tsv' if changes else '')
        + ('; raters and measures: group_agreement.tsv' if agreement else '')
    )
