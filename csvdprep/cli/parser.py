"""Arguments become settings; nothing else happens here."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path

from csvdprep import __version__
from csvdprep.cli.numbers import b_value, positive
from csvdprep.cli.paths import named, path
from csvdprep.core.errors import UsageError
from csvdprep.core.options import read_assignment, read_options, with_options
from csvdprep.core.plan import Visit
from csvdprep.core.settings import Settings, read_config
from csvdprep.core.words import choices

#: Spaces into which masks and maps are resampled without being asked: the grid of the T1w, and the
#: shipped template (`csvdprep.resources.SPACE`) at 2 mm, which costs little time and room.
DEFAULT_SPACES = ('T1w', 'MNI152NLin2009aSym:res-2')

EPILOG = """\
other commands:
  csvdprep demo DIR               make a small phantom dataset and run the app on it
  csvdprep phantom OUT            make a synthetic BIDS dataset with the truth of every marker
  csvdprep score OUT TRUTH        compare an app's output with a phantom's truth
  csvdprep compare REF PRED ...   score lesion masks by the WMH Challenge measures
  csvdprep review OUT             look at results in a browser, and rate them
  csvdprep harmonise fit|apply|add-site   bring a table of several sites onto one scale
  csvdprep federate plan|export|fit|apply the same, where sites share sums and no values
  csvdprep norms NORMS TABLE      percentiles of visits by saved norms of controls
  csvdprep predict MODEL TABLE    apply a saved outcome model to other visits
  csvdprep slurm BIDS OUT         write an array job with one visit per task, and submit it
  csvdprep status OUT             show the state of each visit
  csvdprep options [STEP]         list the options of the steps
  csvdprep doctor                 check the installation

exit status:
    0  everything that was requested was done
    1  a step or a report failed; all other results were written
    2  wrong usage
    3  the run cannot start: invalid input, no space, no write access, missing template
   70  nothing to do
  130  interrupted; the next run continues from there
"""


def get_parser() -> argparse.ArgumentParser:
    """Build the command line of the BIDS App.

    Examples
    --------
    >>> get_parser().parse_args(['bids', 'out', 'participant']).analysis_level
    'participant'

    """
    parser = argparse.ArgumentParser(
        'csvdprep',
        description='Measure cerebral small vessel disease in a BIDS dataset.',
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('bids_dir', type=path, help='root of the raw BIDS dataset')
    parser.add_argument('output_dir', type=path, help='output folder for the derivatives')
    parser.add_argument(
        'analysis_level',
        choices=('participant', 'longitudinal', 'group'),
        help='participant: process every visit, then compare the visits of each participant; '
        'longitudinal: only compare visits that are already processed; group: write the tables '
        f'of all visits, then run the steps that use them ({", ".join(dataset_names())})',
    )
    parser.add_argument('--version', action='version', version=f'csvdprep {__version__}')
    _selection(parser.add_argument_group('selection'))
    _inputs(parser.add_argument_group('inputs'))
    _resources(parser.add_argument_group('resources'))
    _scope(parser.add_argument_group('scope'))
    _behaviour(parser.add_argument_group('behaviour'))
    return parser


def _selection(group):
    group.add_argument(
        '--participant-label',
        '--participant_label',
        nargs='+',
        default=None,
        metavar='LABEL',
        help='participant labels, with or without sub- (default: all)',
    )
    group.add_argument(
        '--exclude-participant-label',
        '--exclude_participant_label',
        nargs='+',
        default=None,
        metavar='LABEL',
        help='participants that are left out (default: none)',
    )
    group.add_argument(
        '--session-label',
        '--session-id',
        nargs='+',
        default=None,
        metavar='LABEL',
        help='session labels, with or without ses- (default: all)',
    )
    group.add_argument(
        '--exclude-session-label',
        '--exclude-session-id',
        nargs='+',
        default=None,
        metavar='LABEL',
        help='sessions that are left out, of all participants; one visit: sub-01_ses-2 '
        '(default: none)',
    )
    group.add_argument(
        '--visit',
        nargs='+',
        default=None,
        metavar='LABEL',
        help='only these visits: sub-01 (images without a session) or sub-01_ses-2 (default: all)',
    )
    group.add_argument(
        '--bids-filter-file',
        type=path,
        metavar='FILE',
        help='JSON: {"flair": {"acquisition": "3d"}, ...}; null selects images without the '
        'entity, "*" any value (default: of several images the one of highest resolution)',
    )
    group.add_argument(
        '--skip-bids-validation',
        action='store_true',
        default=None,
        help='accept a dataset without dataset_description.json (default: off)',
    )
    group.add_argument(
        '--bids-database-dir',
        type=path,
        metavar='DIR',
        help='folder of a pybids database to reuse or to create (default: none, folders are '
        'listed)',
    )


def _inputs(group):
    group.add_argument(
        '-d',
        '--derivatives',
        nargs='+',
        type=named,
        metavar='NAME=PATH',
        default=None,
        help="use files of this derivatives dataset in place of csvdprep's own, such as masks "
        'of WMH or brain, or corrected diffusion series (default: none)',
    )
    group.add_argument(
        '--derivatives-optional',
        action='store_true',
        default=None,
        help='go on if a dataset of --derivatives has no usable file for any selected visit '
        '(default: this is an error)',
    )
    group.add_argument(
        '--manual-ratings',
        type=path,
        metavar='FILE',
        help='TSV with ratings by persons, which go before what is measured: participant_id, '
        'session_id, rater, marker, value, candidate, comment (default: none)',
    )
    group.add_argument(
        '--b0-threshold',
        type=b_value,
        metavar='B',
        help='highest b-value (s/mm2) that counts as b = 0 if a diffusion series has no '
        'b-value below 50 (default: 100)',
    )


def _resources(group):
    group.add_argument(
        '--nprocs',
        '--nthreads',
        '--n-cpus',
        type=positive,
        metavar='N',
        help='number of steps that run in parallel (default: all available processors)',
    )
    group.add_argument(
        '--omp-nthreads',
        type=positive,
        metavar='N',
        help='maximum number of threads per step; at present every step uses one thread, so '
        'results do not depend on this option (default: 1)',
    )
    group.add_argument(
        '--mem',
        '--mem-mb',
        type=megabytes,
        dest='mem_gb',
        metavar='MB|nG',
        help='memory limit for all steps together, e.g. 8000 or 8G (default: 90 %% of what this '
        'process may use)',
    )
    group.add_argument(
        '--low-mem',
        action='store_true',
        default=None,
        help='run one step at a time (default: off)',
    )
    group.add_argument(
        '--use-plugin',
        type=path,
        metavar='FILE',
        help='YAML or JSON file with plugin and plugin_args of Nipype (default: processes of this '
        'computer)',
    )


def _scope(group):
    group.add_argument(
        '--markers',
        nargs='+',
        metavar='NAME',
        default=None,
        help='compute only these markers (default: all): ' + ', '.join(marker_names()),
    )
    group.add_argument(
        '--ignore',
        nargs='+',
        metavar='NAME',
        default=None,
        help='scans (' + ', '.join(scan_names()) + ') or steps to skip (default: none)',
    )
    group.add_argument(
        '--output-spaces',
        nargs='*',
        metavar='SPACE[:cohort-N][:res-N]',
        default=None,
        help='also resample masks and maps onto grids of scans (T1w, FLAIR, dwi) and into '
        'templates of TemplateFlow, with the syntax of fMRIPrep; without a value into none '
        f'(default: {" ".join(DEFAULT_SPACES)})',
    )
    group.add_argument(
        '--dry-run',
        action='store_true',
        default=None,
        help='only print which steps would run, and why the others would not (default: off)',
    )
    group.add_argument(
        '--sloppy',
        action='store_true',
        default=None,
        help='coarse and quick, for tests only (default: off)',
    )
    group.add_argument(
        '--reports-only',
        action='store_true',
        default=None,
        help='only write reports and tables, from the existing results (default: off)',
    )
    group.add_argument(
        '--boilerplate-only',
        action='store_true',
        default=None,
        help='only write the text that describes the methods (default: off)',
    )


def _behaviour(group):
    group.add_argument(
        '-w',
        '--work-dir',
        type=path,
        metavar='DIR',
        help='working directory for intermediate files and caches (default: ./work)',
    )
    group.add_argument(
        '--clean-workdir',
        action='store_true',
        default=None,
        help='first remove what earlier runs of csvdprep left in the working directory; other '
        'files are kept (default: off)',
    )
    group.add_argument(
        '--keep-workdir',
        action='store_true',
        default=None,
        help='keep the intermediate files of finished visits (default: off)',
    )
    group.add_argument(
        '--rerun',
        choices=('stale', 'missing', 'all'),
        help='what to compute: stale: results that are missing, and those whose images, options '
        'or methods have changed; missing: only results that are not there, e.g. of steps that '
        'failed; all: everything (default: stale)',
    )
    group.add_argument(
        '--stop-on-first-crash',
        action='store_true',
        default=None,
        help='end the run when a step fails (default: off)',
    )
    group.add_argument(
        '--random-seed', type=int, metavar='N', help='seed of random numbers (default: 42)'
    )
    group.add_argument(
        '--config-file',
        type=path,
        metavar='FILE',
        help='TOML file with these settings and one table of options per step; the command line '
        'has priority (default: none)',
    )
    group.add_argument(
        '--set',
        nargs='+',
        metavar='STEP.OPTION=VALUE',
        default=None,
        help='set options of steps, e.g. wmh.runs=40; csvdprep options lists them with their '
        'defaults (default: none)',
    )
    group.add_argument(
        '--write-graph',
        action='store_true',
        default=None,
        help='write a drawing of the workflow graph to the working directory (default: off)',
    )
    group.add_argument(
        '--resource-monitor',
        action='store_true',
        default=None,
        help='record the run time and memory use of every step (default: off)',
    )
    group.add_argument(
        '-v',
        '--verbose',
        action='count',
        default=None,
        help='-vv: also what the libraries say (default: off)',
    )


def marker_names() -> list[str]:
    """Return the names that ``--markers`` takes."""
    from csvdprep.graph.discover import discover

    return sorted(room.name for room in discover() if room.marker)


def dataset_names() -> list[str]:
    """Return the names of the steps that take the tables of the group."""
    from csvdprep.graph.discover import discover

    return sorted(room.name for room in discover(level='dataset'))


def scan_names() -> list[str]:
    """Return the names of the kinds of scans that are read."""
    from csvdprep.graph.discover import declared

    return [item.name for item in declared().inputs]


def to_settings(args: argparse.Namespace) -> Settings:
    """Check the arguments and complete them from the configuration file.

    Parameters
    ----------
    args : argparse.Namespace
        From :func:`get_parser`.

    Returns
    -------
    Settings
        What was asked on the command line wins over the file.

    Raises
    ------
    UsageError
        If an argument makes no sense.

    """
    from csvdprep.bids.files import FETCH, content_missing
    from csvdprep.bids.filters import read_filters
    from csvdprep.graph.discover import declared, discover

    asked = {k: v for k, v in vars(args).items() if v is not None}
    asked.pop('command', None)
    config, assigned = asked.pop('config_file', None), asked.pop('set', None)
    for given, option in ((config, '--config-file'), (asked.get('use_plugin'), '--use-plugin')):
        if given and (said := content_missing(given)):
            raise UsageError(said, file=given, field=option, remedy=FETCH)
    stored, options = read_config(config) if config else ({}, {})
    for name in ('work_dir', 'bids_database_dir', 'use_plugin', 'manual_ratings'):
        if name in stored:
            stored[name] = Path(stored[name])
    if filters := asked.pop('bids_filter_file', None):
        asked['bids_filters'] = read_filters(filters, declared())
    if pairs := asked.pop('derivatives', None):
        asked['derivatives'] = dict(pairs)
    elif 'derivatives' in stored:
        stored['derivatives'] = {k: Path(v) for k, v in stored['derivatives'].items()}
    merged = {**stored, **asked}
    for name, prefix in (
        ('participant_label', 'sub-'),
        ('session_label', 'ses-'),
        ('exclude_participant_label', 'sub-'),
        ('exclude_session_label', 'ses-'),
    ):
        labels = merged.get(name, ())
        merged[name] = tuple(dict.fromkeys(str(x).removeprefix(prefix) for x in labels))
    single = [x for x in merged['exclude_session_label'] if x.startswith('sub-')]
    for option, labels in (
        ('--visit', merged.get('visit', ())),
        ('--exclude-session-label', single),
    ):
        for label in labels:
            try:
                Visit.of(label)
            except ValueError as error:
                raise UsageError(
                    str(error), field=option, remedy='Write sub-01 or sub-01_ses-2.'
                ) from error
    merged.setdefault('output_spaces', DEFAULT_SPACES)
    for name in ('markers', 'ignore', 'output_spaces', 'visit'):
        merged[name] = tuple(merged.get(name, ()))
    merged.setdefault('nprocs', allowed_processors())
    merged.setdefault('mem_gb', allowed_memory_gb())
    if merged.get('low_mem'):
        merged['nprocs'] = 1
    if unknown := sorted(set(merged['markers']) - set(marker_names())):
        raise UsageError(
            f'There is no marker named {", ".join(unknown)}.',
            field='--markers',
            remedy=choices(unknown[0], marker_names(), 'The markers are'),
        )
    known = {room.name for room in discover(level='')} | {*declared().names}
    if unknown := sorted(set(merged['ignore']) - known):
        raise UsageError(
            f'There is nothing named {", ".join(unknown)} to ignore.',
            field='--ignore',
            remedy=choices(
                unknown[0], [*declared().names, *marker_names()], 'You may ignore', known
            )
            + ' All steps are listed by csvdprep BIDS_DIR OUTPUT_DIR participant --dry-run.',
        )
    for room, name, value in map(read_assignment, assigned or ()):
        options.setdefault(room, {})[name] = value
    _check_options(options, config)
    paths = ('bids_dir', 'output_dir', 'work_dir', 'bids_database_dir', 'use_plugin')
    for name in (*paths, 'manual_ratings'):
        if merged.get(name) is not None:
            merged[name] = merged[name].absolute()
    merged.setdefault('work_dir', Path('work').absolute())
    if 'derivatives' in merged:
        merged['derivatives'] = {k: v.absolute() for k, v in merged['derivatives'].items()}
    return Settings(**merged, options=options)


def _check_options(options: dict, config: Path | None) -> None:
    """Check the options of all steps, also of those that will not run."""
    from csvdprep.graph.discover import discover

    rooms = {room.name: room for room in discover(level='')}
    if unknown := sorted(set(options) - set(rooms)):
        raise UsageError(
            f'There is no step named {", ".join(unknown)}.',
            file=config,
            remedy=choices(
                unknown[0], with_options(rooms.values()), 'Steps with options are', rooms
            ),
        )
    for name, table in options.items():
        try:
            read_options(rooms[name], table)
        except ValueError as error:
            raise UsageError(
                f'An option of a step is invalid: {error}.',
                file=config,
                field='--config-file' if config else '--set',
                remedy=f'See csvdprep options {name}.',
            ) from error


def allowed_processors() -> int:
    """Return the processors that this process may use: affinity, cgroup and Slurm."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    limits = [count or 1]
    if slurm := os.environ.get('SLURM_CPUS_PER_TASK', ''):
        limits += [int(slurm)] if slurm.isdigit() else []
    try:
        quota, period = Path('/sys/fs/cgroup/cpu.max').read_text(encoding='utf-8').split()
        limits += [] if quota == 'max' else [max(1, int(quota) // int(period))]
    except (OSError, ValueError):
        pass
    return max(1, min(limits))


def allowed_memory_gb() -> float:
    """Return 90 % of the memory that this process may use, in GB."""
    limits = [os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')]
    for name in ('memory.max', 'memory/memory.limit_in_bytes'):
        try:
            limits.append(int(Path('/sys/fs/cgroup', name).read_text(encoding='utf-8')))
        except (OSError, ValueError):
            continue
    if (slurm := os.environ.get('SLURM_MEM_PER_NODE', '')).isdigit():
        limits.append(int(slurm) * 2**20)
    return round(0.9 * min(limits) / 1e9, 2)


def megabytes(text: str) -> float:
    """Read an amount of memory, in GB.

    Examples
    --------
    >>> megabytes('8000'), megabytes('8G')
    (8.0, 8.0)

    """
    units = {'M': 1e-3, 'G': 1.0, 'T': 1e3}
    scale = units.get(text[-1:].upper())
    number = float(text[:-1]) * scale if scale else float(text) * 1e-3
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError('must be positive')
    return number
