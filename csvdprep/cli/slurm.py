"""``csvdprep slurm BIDS OUT``: an array job, one visit a task, and a group job after it."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from csvdprep.cli.numbers import positive
from csvdprep.cli.paths import filled, path
from csvdprep.cli.streams import tell

DESCRIPTION = """\
Save the list of visits and the options, and write an array job that processes one visit per task,
followed by a job for the group tables. With --submit the jobs are submitted at once. Without it,
the scripts can be read and changed first. Options of the app (csvdprep --help) may follow and are
passed to every task. Memory and time limits are based on finished visits of the same output
folder if there are at least three.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.allow_abbrev = False
    parser.add_argument('bids_dir', type=path, help='root of the raw BIDS dataset')
    parser.add_argument('output_dir', type=path, help='output folder for the derivatives')
    parser.add_argument(
        '--participant-label',
        '--participant_label',
        nargs='+',
        default=[],
        metavar='LABEL',
        help='participant labels (default: all)',
    )
    parser.add_argument(
        '--session-label',
        '--session-id',
        nargs='+',
        default=[],
        metavar='LABEL',
        help='session labels (default: all)',
    )
    parser.add_argument(
        '--submit', action='store_true', help='submit the jobs with sbatch (default: off)'
    )
    parser.add_argument(
        '--resume',
        action='store_true',
        help='only visits that are not complete, not running and not in the queue; visits '
        'that ran out of memory get one and a half times as much (default: off)',
    )
    parser.add_argument(
        '--array-limit',
        type=positive,
        default=0,
        metavar='N',
        help='maximum number of tasks that run at the same time (default: no limit)',
    )
    parser.add_argument(
        '--no-group',
        action='store_true',
        help='do not add the job that writes the group tables (default: off)',
    )
    parser.add_argument(
        '--nprocs',
        '--nthreads',
        '--n-cpus',
        '--cpus',
        type=positive,
        default=2,
        metavar='N',
        help='processors per task (default: 2)',
    )
    parser.add_argument(
        '--mem',
        '--mem-mb',
        type=_memory,
        default=None,
        metavar='MB|nG',
        help='memory per task (default: 6G, or as finished visits of the output folder tell)',
    )
    parser.add_argument(
        '--time',
        type=positive,
        default=None,
        metavar='MINUTES',
        help='time limit per task (default: 120, or as finished visits tell)',
    )
    parser.add_argument(
        '-w',
        '--work-dir',
        type=path,
        default=None,
        help='working directory that all nodes can access (default: a folder on the node, '
        'removed afterwards)',
    )
    parser.add_argument(
        '--container',
        type=filled,
        default=None,
        metavar='IMAGE',
        help='run this image instead of this installation (default: none)',
    )
    parser.add_argument(
        '--engine',
        choices=('apptainer', 'singularity', 'podman', 'docker'),
        default='apptainer',
        help='container engine that runs the image (default: apptainer)',
    )
    parser.add_argument(
        '--engine-command',
        default='',
        metavar='TEXT',
        help='command that starts the engine, if it differs from its name (default: its name)',
    )
    parser.add_argument(
        '--bind',
        nargs='+',
        type=path,
        default=[],
        metavar='DIR',
        help='further folders to mount in the container (default: none)',
    )
    parser.add_argument(
        '--sbatch',
        nargs='+',
        default=[],
        metavar='OPTION',
        help='further options of sbatch without their dashes, e.g. partition=long account=abc '
        '(default: none)',
    )


def parse(parser: argparse.ArgumentParser, argv: list[str]) -> argparse.Namespace:
    """Take the options of this command; what is left is the app's."""
    args, args.app_options = parser.parse_known_args(argv)
    return args


def run(args: argparse.Namespace) -> int:
    """Write the array job, and submit it if asked."""
    from csvdprep import __version__
    from csvdprep.bids.dataset import check_work_dir, prepare_output
    from csvdprep.bids.files import atomic_write
    from csvdprep.bids.ratings import read_ratings
    from csvdprep.bids.raw import check_dataset, choose_labels
    from csvdprep.cli.parser import get_parser, to_settings
    from csvdprep.cluster import manifest, queue, script, size
    from csvdprep.core.errors import NothingToDo, PreflightError
    from csvdprep.group.visits import computed_visits, look_up, raw_visits

    bids_dir, output_dir = args.bids_dir.absolute(), args.output_dir.absolute()
    # What the app would refuse is refused now, and not by every task.
    settings = to_settings(
        get_parser().parse_args([str(bids_dir), str(output_dir), 'participant', *args.app_options])
    )
    if settings.manual_ratings:
        read_ratings(settings.manual_ratings, _say)
    if args.work_dir:
        check_work_dir(
            args.work_dir,
            bids_dir=bids_dir,
            output_dir=output_dir,
            derivatives=settings.derivatives,
            clean=settings.clean_workdir,
        )
    available = check_dataset(bids_dir, strict=not settings.skip_bids_validation, warn=_say)
    subjects = choose_labels(args.participant_label, available, 'sub')
    visits = list(raw_visits(bids_dir, subjects))
    if args.session_label:
        known = {v.session for v in visits if v.session}
        wanted = choose_labels(args.session_label, known, 'ses')
        visits = [v for v in visits if v.session in wanted]
    if settings.visit:
        visits = [v for v in visits if v.label in settings.visit]
    visits = [v for v in visits if not settings.leaves_out(v.subject, v.session)]
    _check(settings, args, visits)
    if not settings.dry_run:
        prepare_output(output_dir, bids_dir=bids_dir, derivatives=settings.derivatives)

    done = (e.status for v in computed_visits(output_dir) if (e := look_up(v, output_dir)).status)
    asked = size.measured(done, cpus=args.nprocs)
    if args.resume:
        visits, short = _unfinished(visits, output_dir)
        earlier = [m.mem_gb for m in manifest.manifests(output_dir)]
        if short and earlier and args.mem is None:
            asked = replace(
                asked,
                mem_gb=max(asked.mem_gb, 1.5 * earlier[-1]),
                source=f'one and a half times as much memory as before: {len(short)} visits '
                'ran out of memory, or were killed for an unknown reason',
            )
    if not visits:
        raise NothingToDo('No visit is left to process.', file=output_dir)
    if args.mem is not None or args.time is not None:
        asked = replace(asked, mem_gb=args.mem or asked.mem_gb, minutes=args.time or asked.minutes)

    size_told = (
        f'{len(visits)} visits; a task asks for {asked.cpus} processors, {asked.mem_gb:g} GB and '
        f'{asked.minutes} minutes ({asked.source})'
    )
    if settings.dry_run:
        _say(f'{size_told}; nothing is written, because of --dry-run')
        return 0
    created = datetime.now(UTC)
    folder = output_dir / manifest.FOLDER / created.strftime('%Y%m%dT%H%M%S%f')[:-3]
    (folder / 'log').mkdir(parents=True)
    options = manifest.freeze_files(args.app_options, folder)
    options = _absolute(options, settings.derivatives)
    if settings.derivatives and not settings.derivatives_optional:
        # A task knows one visit only: that each dataset has files was checked above.
        options = (*options, '--derivatives-optional')
    frozen = manifest.Manifest(
        folder=folder,
        version=__version__,
        created=created.isoformat(timespec='seconds'),
        bids_dir=str(bids_dir),
        output_dir=str(output_dir),
        options=options,
        mem_gb=asked.mem_gb,
    )
    count = frozen.write(visits)
    derivatives = [str(path) for path in settings.derivatives.values()]
    start = script.program(
        [sys.executable, '-m', 'csvdprep'],
        args.container or '',
        args.engine,
        folders=[
            str(bids_dir),
            str(output_dir),
            *derivatives,
            *([str(settings.manual_ratings.parent)] if settings.manual_ratings else []),
            *(str(p.absolute()) for p in args.bind),
        ],
        container_command=shlex.split(args.engine_command),
    )
    given = {
        'start': start,
        'bids_dir': str(bids_dir),
        'output_dir': str(output_dir),
        'folder': folder,
        'chdir': str(Path.cwd()),
        'directives': [f'--{text.lstrip("-")}' for text in args.sbatch],
    }
    work_dir = str(args.work_dir.absolute()) if args.work_dir else ''
    scripts = {
        'task.sh': script.task_script(options=options, size=asked, work_dir=work_dir, **given),
        'group.sh': script.group_script(options=_excluded(settings), **given),
        'submit.sh': script.submit_script(
            folder=folder,
            count=count,
            array_limit=args.array_limit,
            most=queue.limit_of_arrays(),
            group=not args.no_group,
        ),
    }
    for name, text in scripts.items():
        # A shell takes names of files as bytes, whether these are text or not.
        atomic_write(folder / name, text.encode('utf-8', 'surrogateescape'))
    _say(size_told)
    if not args.submit:
        print(f'bash {shlex.quote(str(folder / "submit.sh"))}')
        return 0
    try:
        done = subprocess.run(
            ['bash', str(folder / 'submit.sh')],
            check=False,
            capture_output=True,
            encoding='utf-8',
            errors='replace',
        )
    except OSError as error:
        raise PreflightError(f'The job cannot be submitted: {error}.') from error
    if done.returncode:
        raise PreflightError(
            f'The job was not submitted: {done.stderr.strip() or "sbatch failed"}.',
            file=folder / 'submit.sh',
            remedy='Correct the error, or submit on a login node of the cluster. Arrays '
            'listed in jobs.txt in the same folder are already in the queue.',
        )
    print(done.stdout, end='')
    _say(f'submitted; csvdprep status {shlex.quote(str(output_dir))} shows the progress')
    return 0


def _check(settings, args, visits) -> None:
    """Raise what each task would raise, before anything is written."""
    from csvdprep.cli.run import check_run, prepare
    from csvdprep.core.errors import PreflightError, UsageError

    work = Path(args.work_dir).absolute() if args.work_dir else settings.work_dir
    check_run(prepare(replace(settings, work_dir=work)), work=bool(args.work_dir))
    image = args.container or ''
    if (image.endswith('.sif') or image.startswith(('/', './', '../'))) and not Path(
        image
    ).exists():
        raise PreflightError(
            'The container image does not exist.',
            file=image,
            field='--container',
            remedy='Check the path; docs/apptainer.md tells how an image is made.',
        )
    subjects = {visit.subject for visit in visits}
    for name, folder in () if settings.derivatives_optional else settings.derivatives.items():
        if visits and not _names_any(Path(folder), subjects):
            raise UsageError(
                f'The dataset "{name}" of --derivatives has no file of any selected visit.',
                file=folder,
                field='--derivatives',
                remedy='Check the path; with --derivatives-optional the tasks go on without it.',
            )


def _names_any(folder: Path, subjects: set[str]) -> bool:
    """Tell whether the names of files or folders at the top, or one below, name a participant."""
    names = (path.name for depth in ('*', '*/*') for path in folder.glob(depth))
    return any(set(re.findall(r'sub-([A-Za-z0-9+]+)', name)) & subjects for name in names)


def _excluded(settings) -> list[str]:
    """Return the options that keep what is excluded out of the tables of the group."""
    found = []
    for name in ('exclude_participant_label', 'exclude_session_label'):
        if labels := getattr(settings, name):
            found += [f'--{name.replace("_", "-")}', *labels]
    return found


def _absolute(options, derivatives):
    """Name derivatives by paths that hold wherever a task starts, in a container as well."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument('-d', '--derivatives', nargs='+')
    named, rest = parser.parse_known_args(options)
    if not named.derivatives:
        return tuple(rest)
    return (*rest, '-d', *(f'{name}={path}' for name, path in derivatives.items()))


def _unfinished(visits, output_dir):
    """Return the visits that are neither complete nor at work, and those short of memory."""
    from csvdprep.cluster import queue
    from csvdprep.cluster.manifest import manifests
    from csvdprep.group.visits import look_up

    told = queue.by_visit(manifests(output_dir))
    left, short = [], []
    for visit in visits:
        entry, state = look_up(visit, output_dir), told.get(visit, ('', ''))[0]
        if entry.state in ('ok', 'running') or state in queue.OPEN:
            continue
        left.append(visit)
        failures = entry.status.failures if entry.status else []
        killed = entry.state == 'lost' and state not in queue.OTHER_CAUSES
        if killed or any(failure.short_of_memory for failure in failures):
            short.append(visit)
    return left, short


def _memory(text: str) -> float:
    from csvdprep.cli.parser import megabytes

    return megabytes(text)


def _say(line: str) -> None:
    tell(f'csvdprep: {line}')
