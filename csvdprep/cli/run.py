"""The command: the only place that ends the process."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import tempfile
from pathlib import Path

from csvdprep.cli.environment import hold_threads
from csvdprep.cli.streams import speak_utf8, steady_streams, tell
from csvdprep.core.errors import CsvdprepError, NothingToDo, plain


def main(argv: list[str] | None = None) -> None:
    """Run the command and exit with its status."""
    steady_streams()
    if argv is None:
        speak_utf8()
    # The first process of a container is deaf to SIGTERM unless it asks for it.
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except KeyboardInterrupt:
        tell('csvdprep: interrupted; the next run goes on from here')
        code = 130
    except CsvdprepError as error:
        tell(f'csvdprep: {error}')
        code = error.exit_code
    except MemoryError:
        tell(
            'csvdprep: There was not enough memory. Remedy: give the process more; '
            'csvdprep doctor shows how much is available.'
        )
        code = 3
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:
        where = f' [file: {error.filename}]' if error.filename else ''
        tell(plain(f'csvdprep: {error.strerror or error}.{where}'))
        code = 3
    sys.exit(code)


def run(argv: list[str]) -> int:
    """Carry out one command.

    Parameters
    ----------
    argv : list of str
        Arguments without the name of the program.

    Returns
    -------
    int
        Exit status, see ``csvdprep --help``.

    """
    from csvdprep.cli import subcommands

    if argv and argv[0] in subcommands.NAMES:
        return subcommands.run(argv[0], argv[1:], app=run)
    from csvdprep.cli.parser import get_parser, to_settings

    parser = get_parser()
    if not argv:
        parser.print_help()
        return 2
    return run_app(to_settings(parser.parse_args(argv)), argv)


def run_app(settings, argv: list[str]) -> int:
    """Carry out a level of the BIDS App."""
    from csvdprep.bids.dataset import check_work_dir

    if settings.analysis_level != 'group':
        check_work_dir(
            settings.work_dir,
            bids_dir=settings.bids_dir,
            output_dir=settings.output_dir,
            derivatives=settings.derivatives,
            clean=settings.clean_workdir,
        )
    settings = prepare(settings)
    if settings.analysis_level == 'group':
        return _group(settings)
    if settings.analysis_level == 'longitudinal':
        return _longitudinal_alone(settings, argv)
    from csvdprep.bids.query import collect_visits
    from csvdprep.graph.discover import declared
    from csvdprep.imaging.inspect import inspect_image

    visits = collect_visits(
        settings, declared(), inspect=inspect_image, warn=lambda line: tell(plain(line))
    )
    return _participants(visits, settings, argv)


def prepare(settings):
    """Prepare the environment of a run, and bring the output spaces into one spelling."""
    _prepare_environment(settings)
    return _read_spaces(settings)


def _group(settings) -> int:
    from csvdprep.bids.dataset import check_work_dir, check_writable
    from csvdprep.cli.progress import Progress
    from csvdprep.core.errors import PreflightError
    from csvdprep.group.run import run_group

    if not settings.output_dir.is_dir():
        raise PreflightError(
            'The output folder does not exist.',
            file=settings.output_dir,
            field='output_dir',
            remedy='Run the participant level first.',
        )
    check_writable(settings.output_dir)
    _prepare_temporary(settings)

    def prepare_work():
        check_work_dir(
            settings.work_dir,
            bids_dir=settings.bids_dir,
            output_dir=settings.output_dir,
            derivatives=settings.derivatives,
            clean=settings.clean_workdir,
        )
        _prepare_work(settings)

    progress = Progress()
    return run_group(settings, say=progress.say, progress=progress, prepare=prepare_work)


def _participants(visits, settings, argv) -> int:
    from csvdprep.bids.dataset import prepare_output
    from csvdprep.cli.progress import Progress
    from csvdprep.graph.decide import decide, describe
    from csvdprep.graph.discover import declared

    kinds = {item.name for item in declared().inputs}
    usable = [v for v in visits if kinds & v.scans.keys()]
    refused = [(v.visit.label, *item) for v in visits for item in v.refused]
    for label, file, why in refused:
        tell(plain(f'{label}: {file} cannot be used: {why}'))
    _check_derivatives(settings, usable)
    check_run(settings)
    if settings.dry_run:
        for item in visits:
            print(describe(decide(item, settings)))
        return 0 if usable else _nothing(refused)
    if not usable:
        return _nothing(refused)
    prepare_output(
        settings.output_dir,
        bids_dir=settings.bids_dir,
        derivatives=settings.derivatives,
        ratings=settings.manual_ratings,
        command=['csvdprep', *argv],
    )
    if settings.boilerplate_only or settings.reports_only:
        from csvdprep.graph.again import rewrite

        _prepare_temporary(settings)
        return rewrite(usable, settings, say=tell)
    _prepare_work(settings)
    from csvdprep.graph.run import run_participants

    progress = Progress()
    outcome = run_participants(usable, settings, say=progress.say, progress=progress)
    code = _verdict(outcome, visits, refused, progress)
    # Tasks of a cluster compute one visit each: participants come when all are done.
    if settings.visit or outcome.interrupted:
        return code
    subjects = {item.visit.subject for item in visits}
    return max(code, _longitudinal(settings, subjects, progress), key=_SEVERITY.index)


def check_run(settings, *, work: bool = True) -> None:
    """Raise what a run would raise before its first step; nothing is written.

    Parameters
    ----------
    settings : Settings
        What was asked.
    work : bool, optional
        Whether the working directory is one of this computer.

    Raises
    ------
    CsvdprepError
        If the output folder or the working directory is no place for it or cannot be written, an
        output space does not exist, or the plugin is unknown.
    """
    from csvdprep.bids.dataset import check_output, check_permission
    from csvdprep.bids.trust import check_trusted

    check_output(settings.output_dir, bids_dir=settings.bids_dir, derivatives=settings.derivatives)
    _check_spaces(settings)
    if settings.use_plugin:
        from csvdprep.graph.foreign import read_plugin

        read_plugin(settings.use_plugin)
    if settings.reports_only or settings.boilerplate_only or not work:
        return
    folder = Path(settings.work_dir)
    check_permission(folder, '--work-dir')
    if folder.is_dir():
        check_trusted(folder, owners=_owners(folder))


def _check_derivatives(settings, visits) -> None:
    """Raise UsageError if a dataset of --derivatives has nothing for any visit."""
    if settings.derivatives_optional or not visits:
        return
    from csvdprep.core.errors import UsageError

    used = {name for item in visits for name in item.derivatives}
    for name, folder in settings.derivatives.items():
        if name not in used:
            raise UsageError(
                f'The dataset "{name}" of --derivatives has no usable file for any selected '
                'visit.',
                file=folder,
                field='--derivatives',
                remedy='Check the path, the names of its files (docs/inputs.md) and the messages '
                'above; with --derivatives-optional the run goes on without it.',
            )


#: Exit statuses of a run, the better first.
_SEVERITY = (0, 1, 130)


def _longitudinal(settings, subjects, progress) -> int:
    """Compute what the visits of participants tell together."""
    from csvdprep.graph.participants import participant_inputs, with_several_visits
    from csvdprep.graph.run import run_participants
    from csvdprep.graph.side_by_side import show_side_by_side

    several = with_several_visits(settings.output_dir, subjects)
    given = participant_inputs(settings, several, say=progress.say)
    if not given:
        return 0
    outcome = run_participants(given, settings, say=progress.say, progress=progress)
    show_side_by_side(given, settings, say=progress.say)
    if outcome.interrupted:
        progress.say('csvdprep: interrupted; the next run goes on from here')
        return 130
    failed = sorted(k for k, status in outcome.statuses.items() if status.state != 'ok')
    done = len(outcome.statuses) - len(failed)
    progress.say(
        f'csvdprep: the visits of {done} of {len(given)} participants were compared'
        + (f'; with failures: {", ".join(failed)}' if failed else '')
    )
    return 1 if failed else 0


def _longitudinal_alone(settings, argv) -> int:
    from csvdprep.bids.dataset import prepare_output
    from csvdprep.cli.progress import Progress
    from csvdprep.graph.decide import decide, describe
    from csvdprep.graph.participants import participant_inputs, with_several_visits

    subjects = with_several_visits(settings.output_dir, settings.participant_label or None)
    if not subjects:
        raise NothingToDo(
            'No selected participant has two or more processed visits.',
            file=settings.output_dir,
            remedy='Run the participant level first.',
        )
    if settings.dry_run:
        for item in participant_inputs(settings, subjects, say=tell):
            print(describe(decide(item, settings)))
        return 0
    prepare_output(
        settings.output_dir,
        bids_dir=settings.bids_dir,
        derivatives=settings.derivatives,
        ratings=settings.manual_ratings,
        command=['csvdprep', *argv],
    )
    _prepare_work(settings)
    return _longitudinal(settings, subjects, Progress())


def _verdict(outcome, visits, refused, progress) -> int:
    failed = sorted(k for k, status in outcome.statuses.items() if status.state != 'ok')
    left_out = sorted(v.visit.label for v in visits if v.visit.label not in outcome.statuses)
    if outcome.interrupted:
        progress.say('csvdprep: interrupted; the next run goes on from here')
        return 130
    done = len(outcome.statuses) - len(failed)
    progress.say(
        f'csvdprep: {done} of {len(visits)} visits are complete, {outcome.nodes} steps computed'
        + (f'; with failures: {", ".join(failed)}' if failed else '')
        + (f'; visits without usable images: {", ".join(left_out)}' if left_out else '')
    )
    return 1 if failed or refused else 0


def _nothing(refused) -> int:
    if refused:
        tell('csvdprep: no visit has a usable image; see the messages above')
        return 3
    from csvdprep.bids.query import either
    from csvdprep.graph.discover import declared

    places: dict[str, list[str]] = {}
    for item in declared().inputs:
        places.setdefault(item.datatype, []).append(f'*_{item.suffixes[0]}.nii.gz')
    where = ', or in '.join(
        f'{folder}/ as {" or ".join(names)}' for folder, names in places.items()
    )
    raise NothingToDo(
        f'No {either(declared())} image was found for the selected participants and sessions.',
        remedy='Check --participant-label, --session-label and the filters, and that the '
        f'images are in {where}.',
    )


def _read_spaces(settings):
    """Bring the output spaces into one spelling; what reads them is imported only for that."""
    if not settings.output_spaces:
        return settings
    from dataclasses import replace

    from csvdprep.imaging.spaces import read_spaces

    return replace(settings, output_spaces=read_spaces(settings.output_spaces))


def _check_spaces(settings) -> None:
    from csvdprep.imaging.spaces import find_space, scan_space

    for space in settings.output_spaces:
        if not scan_space(space):
            find_space(space, fetch=not settings.dry_run)


def _prepare_templateflow(settings, cache: Path) -> None:
    """Keep templates that are not shipped in the user's own folder of them, if there is one.

    Else in the working directory: nothing is made in the home folder.
    """
    from csvdprep.imaging.spaces import scan_space, templateflow_home
    from csvdprep.resources import SPACE

    own = (
        scan_space(spec) or spec.split(':')[0].endswith(SPACE) for spec in settings.output_spaces
    )
    if os.environ.get('TEMPLATEFLOW_HOME') or templateflow_home().is_dir() or all(own):
        return
    home = cache / 'templateflow'
    if settings.dry_run and not home.is_dir():
        stub = tempfile.TemporaryDirectory()
        atexit.register(stub.cleanup)
        home = Path(stub.name)
    os.environ['TEMPLATEFLOW_HOME'] = str(home)


def _prepare_environment(settings) -> None:
    """Hold every library to one thread and to the working directory, before any is imported."""
    hold_threads()
    os.environ.setdefault('ANTS_RANDOM_SEED', str(settings.random_seed))
    from csvdprep.bids.trust import PARTS

    cache = Path(settings.work_dir).absolute() / PARTS[0]
    home = os.environ.get('HOME') or '/nonexistent'
    if not os.access(home, os.W_OK):
        os.environ['HOME'] = str(cache)
    if not os.environ.get('MPLCONFIGDIR'):
        os.environ['MPLCONFIGDIR'] = str(cache / 'matplotlib')
    _prepare_templateflow(settings, cache)


def _prepare_work(settings) -> None:
    from csvdprep.bids.trust import PARTS, make_trusted
    from csvdprep.core.errors import PreflightError
    from csvdprep.graph.workspace import clean

    work = Path(settings.work_dir)
    try:
        if settings.clean_workdir and work.is_dir() and (left := clean(work)):
            tell(
                f'csvdprep: {left} other files remain in the working directory (not made '
                'by csvdprep, or in use)'
            )
        make_trusted(work, owners=_owners(work))
        (work / PARTS[0] / 'matplotlib').mkdir(exist_ok=True)
    except OSError as error:
        raise PreflightError(
            f'The working directory cannot be written: {error.strerror}.',
            file=work,
            field='--work-dir',
            remedy='Give a writable folder with -w.',
        ) from error
    _prepare_temporary(settings)


def _owners(work: Path) -> set[int]:
    """Return who is trusted with a working directory besides this user and root."""
    # As root in a container, whoever mounted the folder is trusted.
    mounted = os.geteuid() == 0 and os.environ.get('CSVDPREP_CONTAINER_TYPE')
    return {work.stat().st_uid} if mounted and work.exists() else set()


def _prepare_temporary(settings) -> None:
    """Keep temporary files in the working directory: /tmp of a container is memory, or none."""
    from csvdprep.bids.own import hold, make_own
    from csvdprep.bids.trust import PARTS

    work = Path(settings.work_dir).absolute()
    with contextlib.suppress(OSError):
        work.mkdir(parents=True, exist_ok=True)
        make_own(work / PARTS[0])
        hold(work / PARTS[0])
        folder = work / PARTS[0] / 'tmp'
        folder.mkdir(exist_ok=True)
        if not os.environ.get('TMPDIR'):
            os.environ['TMPDIR'] = str(folder)
        tempfile.tempdir = None  # what was found before is forgotten
