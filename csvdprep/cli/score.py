"""``csvdprep score DERIVATIVES TRUTH``: compare an app's output with the truth of a phantom."""

from __future__ import annotations

import argparse
from pathlib import Path

from csvdprep.cli.paths import path

DESCRIPTION = """\
Compare the output of an application, this one or another, with the truth of a phantom.

DERIVATIVES holds masks (*_label-WMH_mask.nii.gz, ...), lists of lesions (*_lesions.tsv) and tables
with participant_id, session_id and measures, named as in BIDS; missing files are skipped.
Masks must be on the grid of the image that they were made from. TRUTH is the phantom's
derivatives/truth.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``csvdprep score``.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Parser of the subcommand.
    """
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument('derivatives', metavar='DERIVATIVES', type=path, help="an app's output")
    parser.add_argument('truth', metavar='TRUTH', type=path, help='truth of the phantom')
    parser.add_argument(
        '--bids-dir',
        metavar='DIR',
        type=path,
        help='dataset of the images: errors are compared between its sites, scanners, sexes and '
        'ages (default: the one in whose derivatives/truth the truth lies)',
    )
    parser.add_argument(
        '-o',
        '--out',
        metavar='DIR',
        type=path,
        default=Path('score'),
        help='folder for the tables and the HTML page (default: ./score)',
    )


def run(args: argparse.Namespace) -> int:
    """Compare, write tables and page, and print a summary.

    Parameters
    ----------
    args : argparse.Namespace
        From a parser that went through `configure`.

    Returns
    -------
    int
        0 if every visit of the truth has output, else 1.
    """
    from csvdprep.scoring import check_folder, score, write

    check_folder(args.out, field='--out')
    scores = score(args.derivatives, args.truth, args.bids_dir)
    page = write(scores, args.out)
    print(scores)
    print(f'\nPage: {page}')
    return 1 if scores.missing else 0
