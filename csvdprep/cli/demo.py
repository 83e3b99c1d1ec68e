"""``csvdprep demo DIR``: make a phantom, run the app on it, and compare with its truth."""

from __future__ import annotations

import argparse

from csvdprep.cli.numbers import natural, positive
from csvdprep.cli.paths import path
from csvdprep.cli.streams import tell
from csvdprep.core.errors import PreflightError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'folder', type=path, help='folder to create; it will hold raw/, derivatives/ and score/'
    )
    parser.add_argument(
        '--preset',
        choices=('tiny', 'demo', 'full'),
        default='tiny',
        help='resolution of the phantom: tiny (default): 2 mm; demo, full: 1 mm',
    )
    parser.add_argument(
        '--nprocs', type=positive, default=None, help='number of steps that run in parallel'
    )
    parser.add_argument('--seed', type=natural, default=42, help='random seed of the phantom')
    parser.add_argument(
        '--sloppy', action='store_true', help='lower precision for a faster run; for tests only'
    )


def run(args: argparse.Namespace) -> int:
    """Make the phantom, run the app and print how what it finds agrees with the truth."""
    from csvdprep.phantom.dataset.demo import make_demo

    raw, out = args.folder / 'raw', args.folder / 'derivatives'
    if args.folder.exists() and any(args.folder.iterdir()):
        raise PreflightError(
            'The folder is not empty.',
            file=args.folder,
            remedy='Give a new folder, so that no old results remain in it.',
        )
    tell(f'Making the phantom in {raw}')
    make_demo(raw, size=args.preset, seed=args.seed, progress=tell)
    asked = [str(raw), str(out), 'participant', '-w', str(args.folder / 'work')]
    if args.nprocs:
        asked += ['--nprocs', str(args.nprocs)]
    if args.sloppy:
        asked += ['--sloppy']
    code = args.app(asked)
    if code in (0, 1):
        from csvdprep.scoring import score, write

        scores = score(out, raw / 'derivatives' / 'truth')
        page = write(scores, args.folder / 'score')
        print(scores)
        print(f'\nReports: {out}/*.html\nAgreement with the truth: {page}')
    return code
