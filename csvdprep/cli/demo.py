"""``csvdprep demo DIR``: make the small phantom, run the app on it, and compare with its truth."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('folder', type=Path, help='folder to make: raw/, derivatives/, work/')
    parser.add_argument('--tiny', action='store_true',
                        help='one participant on coarse voxels, for tests')  # fmt: skip
    parser.add_argument('--nprocs', type=int, default=None, help='steps run at once')
    parser.add_argument('--seed', type=int, default=42, help='seed of the phantom')


def run(args: argparse.Namespace) -> int:
    """Make the phantom, run the app and print how its masks agree with the truth."""
    from csvdprep.phantom.demo import make_demo, make_tiny

    raw, out = args.folder / 'raw', args.folder / 'derivatives'
    print(f'Making the phantom in {raw}', file=sys.stderr)
    (make_tiny if args.tiny else make_demo)(raw, seed=args.seed)
    asked = [str(raw), str(out), 'participant', '-w', str(args.folder / 'work')]
    if args.nprocs:
        asked += ['--nprocs', str(args.nprocs)]
    if args.tiny:
        asked += ['--sloppy']
    code = args.app(asked)
    if code in (0, 1):
        from csvdprep.phantom.score import score_demo

        print(score_demo(out, raw / 'derivatives' / 'truth'))
        print(f'Reports: {out}/*.html')
    return code
