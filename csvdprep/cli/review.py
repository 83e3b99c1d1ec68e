"""``csvdprep review OUT``: look at results in a browser, and keep what persons say of them."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from csvdprep.bids.own import check_replaceable
from csvdprep.cli.paths import path
from csvdprep.cli.streams import tell
from csvdprep.core.errors import InputError, PreflightError, UsageError, plain

DESCRIPTION = """\
Look at the results of an output folder in a browser: images with masks, candidates of lesions,
grades. What is said is saved at once to a table of ratings, which the participant level takes
with --manual-ratings. The page is served to this machine alone (127.0.0.1), with a secret in its
address. From another machine: ssh -L 8750:127.0.0.1:8750 HOST, and open the address there.
"""
_PORT = 8750


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument('output_dir', type=path, help='output folder of csvdprep; only read')
    parser.add_argument(
        '--port',
        type=_port,
        default=_PORT,
        metavar='N',
        help=f'port on 127.0.0.1; 0 takes a free one (default: {_PORT})',
    )
    parser.add_argument(
        '--at',
        default='',
        metavar='VISIT[/LESION]',
        help='where the page opens, as reports name it: sub-01_ses-1/CMB-3 (default: the visit '
        'that needs a look most)',
    )
    parser.add_argument(
        '--rater',
        default='',
        metavar='NAME',
        help='who rates, initials or a number; else the page asks. The rater "consensus" sees '
        'what the others said, and settles it',
    )
    parser.add_argument(
        '--blind',
        action='store_true',
        help="hide the machine's masks of lesions, probabilities, values and flags. What other "
        'raters said is hidden from everybody but "consensus"',
    )
    parser.add_argument(
        '--ratings',
        type=path,
        default=None,
        metavar='FILE',
        help='table of ratings (default: OUTPUT_DIR/ratings.tsv); edited masks go beside it',
    )
    parser.add_argument(
        '--export',
        type=path,
        default=None,
        metavar='FOLDER',
        help='write a copy to look at without a server, with small images, and end',
    )


def run(args: argparse.Namespace) -> int:
    """Serve the desk until it is interrupted, or write the folder."""
    from csvdprep.bids.ratings import DESK_TABLE, read_row
    from csvdprep.group.visits import computed_visits
    from csvdprep.review.desk import Desk
    from csvdprep.review.store import Store

    out = args.output_dir.absolute()
    if not out.is_dir():
        raise PreflightError('The output folder does not exist.', file=out, field='output_dir')
    if next(computed_visits(out), None) is None:
        raise PreflightError(
            'The folder has no results of csvdprep.',
            file=out,
            field='output_dir',
            remedy='Give the output folder of csvdprep BIDS_DIR OUTPUT_DIR participant.',
        )
    table = (args.ratings or out / DESK_TABLE).absolute()
    if table.suffix != '.tsv':
        raise UsageError('The table of ratings has to end in .tsv.', file=table, field='--ratings')
    check_replaceable(table, 'participant_id', field='--ratings')
    if args.rater:
        try:
            read_row(
                {'participant_id': 'sub-x', 'rater': args.rater, 'marker': 'css', 'value': 'none'}
            )
        except InputError as error:
            raise UsageError(error.message, field='--rater', remedy=error.remedy) from error
    desk = Desk(out, Store(table), rater=args.rater.strip(), blind=args.blind)
    place = _place(desk, args.at)
    if args.export is not None:
        from csvdprep.review.export import export

        page = export(desk, args.export.absolute(), say=lambda line: tell(plain(line)))
        tell(plain(f'Written: {page}{place}'))
        return 0
    return _serve(desk, args.port, table, out, place)


def _place(desk, asked: str) -> str:
    """Return the fragment of the address that opens the page at a visit or a lesion."""
    from csvdprep.review.desk import NotFound

    if not asked:
        return ''
    try:
        return desk.fragment(asked)
    except NotFound as error:
        raise UsageError(
            f'{asked}: {error}',
            field='--at',
            remedy='Write it as the report does: sub-01_ses-1, or sub-01_ses-1/CMB-3 for row 3 '
            'of the list of microbleeds.',
        ) from error


def _serve(desk, port: int, table: Path, out: Path, place: str) -> int:
    from csvdprep.review.server import ADDRESS, make_server

    try:
        server = make_server(port, desk)
    except OSError as error:
        raise PreflightError(
            f'The port {port} of {ADDRESS} cannot be opened ({error.strerror}).',
            field='--port',
            remedy='Give another port, or 0 for a free one.',
        ) from error
    tell('Open in a browser on this machine:')
    tell(f'  {server.url}{place}')
    tell(plain(f'Ratings are saved to {table}. Take them up with'))
    tell(
        plain(
            f'  csvdprep BIDS_DIR {shlex.quote(str(out))} participant --manual-ratings '
            f'{shlex.quote(str(table))}'
        )
    )
    tell('End with Ctrl-C.')
    try:
        server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        tell('Ended; all ratings are saved.')
    finally:
        server.server_close()
    return 0


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number < 65536:
        raise argparse.ArgumentTypeError('must be 0 to 65535')
    return number
