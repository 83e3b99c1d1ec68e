"""Carry out the participant level: plans become graphs, graphs become derivatives."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from csvdprep import __version__
from csvdprep.bids.files import LockError, lock
from csvdprep.core.errors import CsvdprepError
from csvdprep.core.failure import Failure
from csvdprep.core.plan import Plan, VisitInput
from csvdprep.core.settings import Settings
from csvdprep.graph.decide import decide
from csvdprep.graph.finish import finish
from csvdprep.graph.meter import Meter
from csvdprep.graph.places import relative_failures, relative_plan
from csvdprep.graph.status import Status, now, read_status
from csvdprep.graph.telling import harmless, keep, traceback_lines
from csvdprep.graph.workspace import workspace


@dataclass
class Outcome:
    """What a run did: the status of each visit, and whether it was interrupted."""

    statuses: dict[str, Status] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def nodes(self) -> int:
        """Nodes executed."""
        return sum(status.nodes for status in self.statuses.values())


class Interrupt:
    """Ends a run in good order on Ctrl-C and SIGTERM.

    An exception that a signal raises within a destructor or a callback of the interpreter is
    printed and lost. So the scheduler is not disturbed: while it runs, the wish is kept, and
    `check`, called at every turn of it, raises KeyboardInterrupt. A second signal raises at once.
    """

    def __init__(self):
        self.asked = self.deferred = False

    def __enter__(self):
        self._previous = {}
        for number in (signal.SIGINT, signal.SIGTERM):
            # A shell makes its background jobs deaf to SIGINT; that is respected.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *error):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _hear(self, signum, frame):
        again, self.asked = self.asked, True
        if again or not self.deferred:
            raise KeyboardInterrupt

    @contextmanager
    def defer(self):
        """Leave it to `check` to raise."""
        self.deferred = True
        try:
            yield
        finally:
            self.deferred = False

    def check(self):
        """Raise KeyboardInterrupt if the run was asked to end."""
        if self.asked:
            raise KeyboardInterrupt


def run_participants(
    given: list[VisitInput], settings: Settings, *, say: Callable[[str], None], progress
) -> Outcome:
    """Compute all visits.

    Parameters
    ----------
    given : list of VisitInput
        Scans of each visit.
    settings : Settings
        What was asked.
    say : callable
        Takes one line for the user.
    progress : Progress
        Is told of each node that starts or ends.

    Returns
    -------
    Outcome
        A visit that fails takes no other with it.

    """
    outcome = Outcome()
    run_id = f'{now().replace(":", "").replace("-", "")[:15]}_{uuid.uuid4().hex[:8]}'
    batch_size = max(4 * settings.nprocs, 8)
    waiting = list(given)
    room = workspace(settings.work_dir, run_id, keep=settings.keep_workdir)
    with Interrupt() as interrupt, room as folder:
        try:
            later: list[VisitInput] = []
            while waiting or later:
                # Visits that another run holds come last; then this run waits for them.
                patient = not waiting
                pool, waiting = (later, []) if patient else (waiting, waiting)
                batch, rest = pool[:batch_size], pool[batch_size:]
                later, waiting = (rest, []) if patient else (later, rest)
                held = _run_batch(
                    batch,
                    settings,
                    outcome=outcome,
                    run_id=run_id,
                    say=say,
                    progress=progress,
                    patient=patient,
                    folder=folder,
                    interrupt=interrupt,
                )
                later += held
                interrupt.check()
        except KeyboardInterrupt:
            outcome.interrupted = True
    return outcome


def _run_batch(batch, settings, *, outcome, run_id, say, progress, patient, folder, interrupt):
    """Run the visits of a batch that are free; return those that another run holds."""
    held, plans, given = [], {}, {}
    with ExitStack() as locks:
        for item in batch:
            label = item.visit.label
            path = Path(settings.output_dir) / item.visit.log / 'lock'
            try:
                locks.enter_context(lock(path, blocking=patient))
                plan = relative_plan(decide(item, settings), settings)
                last = read_status(settings.output_dir, item.visit)
                same = last and last.state == 'ok' and last.key == plan.key
                # What the tables tell rooms of the dataset may be another reason to be left out.
                told = item.visit.level != 'dataset' or (last and last.skipped == plan.skipped)
                if plan.complete and same and told:
                    say(f'{label}: already complete, nothing to compute')
                    last.nodes = 0
                    outcome.statuses[label] = last
                    continue
                status = Status.begun(plan, run_id=run_id, version=__version__)
                status.write(settings.output_dir, item.visit)
            except LockError as error:
                say(f'{label}: {error.message} This visit is processed last.')
                held.append(item)
                continue
            except OSError as error:  # a folder of this visit that cannot be written to
                status = Status(label, run_id, state='failed', version=__version__)
                _blame(status, 'start', error)
                say(f'{label}: cannot be started: {status.failures[-1]}')
            else:
                plans[label], given[label] = plan, item
            outcome.statuses[label] = status
        if plans:
            _compute(
                plans,
                settings,
                given=given,
                outcome=outcome,
                progress=progress,
                folder=folder,
                interrupt=interrupt,
            )
    return held


def _compute(plans, settings: Settings, *, outcome, progress, folder, interrupt, given=None):
    """Run the graphs of these visits as one, and close each visit."""
    from csvdprep.graph.execute import execute, run_folder, shown

    before = {
        label: {step.room.name for step in plan.steps if step.done}
        for label, plan in plans.items()
    }
    open_visits = dict(plans)

    def close(label: str, failures=(), *, interrupted=False):
        plan = open_visits.pop(label)
        status = outcome.statuses[label]
        status.failures = list(failures)
        status.peak_mb = meter.peak_mb if meter else None
        try:
            finish(plan, status, settings, before=before[label], interrupted=interrupted)
        except Exception as error:  # nor may one visit lose another
            status.state = 'failed'
            file = keep(
                run_folder(plan, settings, status.run_id),
                'crash-finish.txt',
                traceback_lines(error),
            )
            _blame(status, 'tables and report', error, shown(file, settings))
            status.failures = relative_failures(status.failures, settings)
            harmless(status.write)(settings.output_dir, plan.visit)
        except KeyboardInterrupt:
            status.state = 'interrupted'
            harmless(status.write)(settings.output_dir, plan.visit)
            raise
        finally:
            harmless(progress.close)(label, status)

    failures: dict[str, list[Failure]] = {label: [] for label in plans}
    # What several visits need together says nothing of one.
    meter = Meter() if len(plans) == 1 else None

    def turn():
        interrupt.check()
        if meter:
            harmless(meter.sample)()

    def close_all(**how):
        for label in list(open_visits):
            close(label, failures[label], **how)

    try:
        # A plugin of Nipype's knows no turns: it has to be interrupted where it is.
        with nullcontext() if settings.use_plugin else interrupt.defer():
            todo = dict(plans)
            while todo:
                execute(
                    todo,
                    settings,
                    workspace=folder,
                    failures=failures,
                    statuses=outcome.statuses,
                    progress=progress,
                    on_visit_done=close,
                    check=turn,
                )
                todo = {}
                for label in [name for name in open_visits if name in (given or {})]:
                    whole, rest = _go_without(
                        open_visits[label], given[label], failures[label], settings
                    )
                    open_visits[label] = whole
                    if rest.steps:
                        todo[label] = rest
        interrupt.check()
        close_all()
    except KeyboardInterrupt:
        while open_visits:
            # Who asks again wants the visit at hand to be left as it is; its status is written.
            with suppress(KeyboardInterrupt):
                close_all(interrupted=True)
        raise
    except Exception as error:
        for label in open_visits:
            file = keep(
                run_folder(plans[label], settings, outcome.statuses[label].run_id),
                'crash-run.txt',
                traceback_lines(error),
            )
            failure = Failure.of(error, room='run', file=shown(file, settings))
            failures[label].append(failure)
            harmless(progress.fail)(label, failure)
        close_all()
        if isinstance(error, CsvdprepError | OSError | MemoryError):
            raise  # whatever it is, it is so for the visits to come


def _go_without(plan: Plan, given: VisitInput, failures, settings: Settings) -> tuple[Plan, Plan]:
    """Plan anew what only wanted the results of rooms that failed.

    Returns
    -------
    whole, rest : Plan
        The whole plan, and the part of it that is left to be computed, with what it takes.
    """
    nothing = replace(plan, steps=())
    stuck = {failure.room for failure in failures if failure.of_room}
    if settings.stop_on_first_crash or not stuck & {step.room.name for step in plan.steps}:
        return plan, nothing
    # What this run has computed is taken, even where all was to be computed again.
    if settings.rerun == 'all':
        settings = replace(settings, rerun='stale')
    whole = decide(given, settings, failed=stuck)
    before = {step.room.name: step.key for step in plan.steps}
    steps, lost = [], set()
    for step in whole.steps:
        taken = {whole.aliases.get(name, name) for name in step.takes}
        if step.room.name in stuck or (not step.done and taken & lost):
            lost |= {*step.room.outputs()}
        else:
            steps.append(step)
    if all(step.done or before.get(step.room.name) == step.key for step in steps):
        return whole, nothing
    return whole, replace(whole, steps=tuple(steps))


def _blame(status: Status, room: str, error: BaseException, file: str = '') -> None:
    status.failures = [*status.failures, Failure.of(error, room=room, file=file)]
