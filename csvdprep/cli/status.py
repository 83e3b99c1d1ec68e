"""``csvdprep status OUT``: the state of each visit, as text and, if asked, as a page."""

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


#: Page that is written if no other is named, relative to the output folder.
PAGE = Path('logs', 'status.html')


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = DESCRIPTION
    parser.add_argument('output_dir', type=path, help='output folder of the app')
    parser.add_argument(
        '--bids-dir',
        type=path,
        default=None,
        help='raw dataset whose visits are expected (default: the one that the output links to)',
    )
    parser.add_argument(
        '--html',
        type=path,
        nargs='?',
        default=None,
        const=PAGE,
        metavar='FILE',
        help='also write a page; without a name OUT/logs/status.html (default: no page)',
    )
    parser.add_argument(
        '--watch',
        type=positive,
        default=0,
        metavar='SECONDS',
        help='repeat every so many seconds, until no visit is left to process (default: once)',
    )


def run(args: argparse.Namespace) -> int:
    """Print the states, and write the page if asked."""
    from csvdprep.group.overview import overview, write_overview

    out = args.output_dir.absolute()
    if not out.is_dir():
        raise PreflightError('The output folder does not exist.', file=out, field='output_dir')
    page, reports = None, '../'
    if args.html == PAGE:
        page = out / PAGE
    elif args.html is not None:
        page, reports = args.html.absolute(), f'{out.as_uri()}/'
    if page:
        check_replaceable(page, '<title>csvdprep: state of ', field='--html')
    while True:
        expected, said, open_tasks = _expected(out, args.bids_dir)
        found = overview(out, expected, said)
        print(found, flush=True)
        try:
            if page:
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
