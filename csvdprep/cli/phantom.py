"""``csvdprep phantom OUT``: write a synthetic BIDS dataset with the truth of every marker."""

from __future__ import annotations

import argparse

from csvdprep.cli.numbers import natural, positive
from csvdprep.cli.paths import path
from csvdprep.cli.streams import tell
from csvdprep.core.errors import PreflightError, UsageError

#: Scans that presets have.
MODALITIES = ('T1w', 'FLAIR', 'T2w', 'MEGRE', 'dwi', 'dce', 'asl', 'angio')


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'folder', type=path, help='dataset to create; the truth is written to derivatives/truth'
    )
    parser.add_argument(
        '--preset',
        choices=('tiny', 'demo', 'full'),
        default='full',
        help='tiny: 2 mm, for tests; demo: 1 mm heads, short scans; '
        'full: research resolution (default)',
    )
    parser.add_argument(
        '--protocol',
        choices=('research', 'clinical', '7t'),
        nargs='+',
        default=['research'],
        metavar='NAME',
        help='research: 3D at 3 T (default); clinical: thick slices at 3 T; 7t: 3D at 7 T; '
        'several protocols are assigned to the sites in turn',
    )
    parser.add_argument(
        '--modalities',
        nargs='+',
        metavar='NAME',
        default=None,
        help='simulate only these scans: ' + ' '.join(MODALITIES),
    )
    parser.add_argument('--participants', type=positive, default=2, metavar='N')
    parser.add_argument(
        '--visits',
        type=positive,
        default=1,
        metavar='N',
        help='visits per participant; lesions grow and shrink between visits',
    )
    parser.add_argument('--years', type=float, default=2.0, help='time between visits')
    parser.add_argument(
        '--sites',
        type=natural,
        default=0,
        metavar='N',
        help='number of sites; each scanner has a known effect, and the first is the reference',
    )
    parser.add_argument(
        '--travelling',
        type=natural,
        default=0,
        metavar='N',
        help='number of participants who are scanned at every site',
    )
    group = parser.add_argument_group(
        'disease to simulate, instead of drawing it from the covariates'
    )
    group.add_argument('--wmh-ml', type=float, metavar='ML', help='hyperintensities, 0 to 120 mL')
    group.add_argument(
        '--fazekas', type=int, nargs=2, metavar=('PV', 'DEEP'), help='Fazekas grades, each 0 to 3'
    )
    group.add_argument('--lacunes', type=natural, metavar='N')
    group.add_argument('--microbleeds', type=natural, nargs=3, metavar=('LOBAR', 'DEEP', 'INFRA'))
    group.add_argument(
        '--pvs',
        type=natural,
        nargs=2,
        metavar=('BG', 'CSO'),
        help='number of perivascular spaces, both sides together',
    )
    group.add_argument('--recent-infarcts', type=natural, metavar='N')
    group.add_argument(
        '--old-infarct',
        action='store_true',
        default=None,
        help='add an old cortical infarct, as a distractor',
    )
    parser.add_argument(
        '--seed', type=natural, default=42, help='random seed; the same seed gives the same bytes'
    )
    parser.add_argument(
        '--nprocs',
        type=positive,
        default=None,
        metavar='N',
        help='number of visits simulated in parallel (default: all processors)',
    )


def run(args: argparse.Namespace) -> int:
    """Make the dataset."""
    from csvdprep.phantom.dataset.design import design_notes, draw_persons, with_disease
    from csvdprep.phantom.dataset.make import make_phantom
    from csvdprep.phantom.dataset.presets import get_preset
    from csvdprep.phantom.dataset.sites import draw_sites

    _check(args)
    presets = {name: get_preset(args.preset, name) for name in args.protocol}
    sites = draw_sites(args.sites, args.seed, protocols=args.protocol)
    persons = draw_persons(
        args.participants,
        visits=args.visits,
        seed=args.seed,
        sites=sites,
        travelling=args.travelling,
        years=args.years,
    )
    asked = {
        'wmh_ml': args.wmh_ml,
        'lacunes': args.lacunes,
        'recent_infarcts': args.recent_infarcts,
        'fazekas': tuple(args.fazekas) if args.fazekas else None,
        'microbleeds': tuple(args.microbleeds) if args.microbleeds else None,
        'pvs': tuple(args.pvs) if args.pvs else None,
        'old_infarct': args.old_infarct,
    }
    persons = with_disease(persons, {k: v for k, v in asked.items() if v is not None})
    make_phantom(
        args.folder,
        persons,
        presets[args.protocol[0]],
        seed=args.seed,
        sites=sites,
        presets=presets,
        modalities=args.modalities,
        nprocs=args.nprocs,
        design=design_notes(args.years),
        progress=tell,
    )
    print(f'{args.folder}: {len(persons)} participants; truth in derivatives/truth')
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse what makes no sense, before anything is written."""
    if unknown := sorted(set(args.modalities or ()) - set(MODALITIES)):
        raise UsageError(
            f'There is no scan named {", ".join(unknown)}.',
            field='--modalities',
            remedy=f'Available scans: {", ".join(MODALITIES)}.',
        )
    if len(args.protocol) > max(args.sites, 1):
        raise UsageError(
            'There are more protocols than sites.',
            field='--protocol',
            remedy=f'Add --sites {len(args.protocol)}.',
        )
    if args.wmh_ml is not None and not 0 <= args.wmh_ml <= 120:
        raise UsageError('The volume must lie between 0 and 120 mL.', field='--wmh-ml')
    if args.fazekas and not all(0 <= grade <= 3 for grade in args.fazekas):
        raise UsageError('Grades are 0 to 3.', field='--fazekas')
    if args.years < 0:
        raise UsageError('Time between visits cannot be negative.', field='--years')
    if args.travelling and args.sites < 2:
        raise UsageError(
            'Travelling participants need two sites.',
            field='--travelling',
            remedy='Add --sites 2 or more.',
        )
    if args.folder.exists() and any(args.folder.iterdir()):
        raise PreflightError(
            'The folder is not empty.',
            file=args.folder,
            remedy='Give a new folder, so that no old images remain in it.',
        )
