"""``csvdprep status OUT``: what has become of each visit, as text and as a page."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from urllib.parse import unquote

from csvdprep.bids.own import check_replaceable
from csvdprep.cli.numbers import positive
from csvdprep.cli.paths import path
from csvdprep.cli.streams import tell
from csvdprep.core.errors import PreflightError, plain

DESCRIPTION = """\
Show the state of each visit. The expected visits are those of the array jobs
of this output folder, or those of the raw dataset that it links to. Exit status: 0 if all visits
are complete, 1 if not.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = DESCRIPTION
    parser.add_argument('output_dir', type=path)
    parser.add_argument(
        '--bids-dir', type=path, default=None, help='raw dataset whose visits are expected'
    )
    parser.add_argument(
        '--html',
        type=path,
        default=None,
        metavar='FILE',
        help='page to write (default: OUT/logs/status.html)',
    )
    parser.add_argument(
        '--watch',
        type=positive,
        default=0,
        metavar='SECONDS',
        help='repeat every so many seconds, until no visit is left to process',
    )


def run(args: argparse.Namespace) -> int:
    """Print the states and write the page."""
    from csvdprep.group.overview import overview, write_overview

    out = args.output_dir.absolute()
    if not out.is_dir():
        raise PreflightError('The output folder does not exist.', file=out, field='output_dir')
    page = (args.html or out / 'logs' / 'status.html').absolute()
    if args.html is not None:
        check_replaceable(page, '<title>csvdprep: state of ', field='--html')
    reports = '../' if args.html is None else f'{out.as_uri()}/'
    while True:
        expected, said, open_tasks = _expected(out, args.bids_dir)
        found = overview(out, expected, said)
        print(found, flush=True)
        try:
            write_overview(found, page, reports=reports, refresh=args.watch)
        except OSError as error:
            tell(plain(f'csvdprep: {page} cannot be written ({error.strerror})'))
        at_work = open_tasks or found.counts.get('running', 0) or found.counts.get('waiting', 0)
        if not args.watch or not at_work:
            return 0 if found.complete else 1
        time.sleep(args.watch)


def _expected(out: Path, bids_dir: Path | None):
    """Return the visits that ought to be there, what the scheduler says, and its open tasks."""
    from csvdprep.cluster import queue
    from csvdprep.cluster.manifest import manifests
    from csvdprep.group.visits import raw_visits

    jobs = manifests(out)
    told = queue.by_visit(jobs)
    expected = {visit for job in jobs for visit in job.visits()}
    said = {visit: queue.said(entry) for visit, entry in told.items()}
    at_work = sum(state in queue.OPEN for state, _ in told.values())
    if bids_dir is not None:
        if not bids_dir.is_dir():
            raise PreflightError('The dataset does not exist.', file=bids_dir, field='--bids-dir')
        expected.update(raw_visits(bids_dir.absolute()))
    elif not expected and (linked := _linked(out)):
        expected.update(raw_visits(linked))
    return expected, said, at_work


def _linked(out: Path) -> Path | None:
    """Return the raw dataset that an output folder names, if it is there."""
    try:
        facts = json.loads((out / 'dataset_description.json').read_text(encoding='utf-8'))
        folder = out / unquote(facts['DatasetLinks']['raw'])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return folder if folder.is_dir() else None
