"""``csvdprep phantom OUT``: write a synthetic BIDS dataset with the truth of every marker.

``csvdprep phantom OUT --into BIDS_DIR`` inserts lesions of known truth into real scans instead.
"""

from __future__ import annotations

import argparse

from csvdprep.cli.numbers import natural, positive
from csvdprep.cli.paths import path
from csvdprep.cli.streams import tell
from csvdprep.core.errors import PreflightError, UsageError

DESCRIPTION = """\
Make a synthetic BIDS dataset with the truth of every marker or, with --into, insert lesions of
known truth into the scans of a dataset, to measure the detection limit of its protocol:

  csvdprep BIDS_DIR DERIVATIVES participant --markers wmh
  csvdprep phantom OUT --into BIDS_DIR --with DERIVATIVES --load 0 1 3 8 20 45
  (any tool on OUT)
  csvdprep score ITS_OUTPUT OUT/derivatives/truth
"""
#: Scans that presets have; those of OPTIONAL are simulated only where they are named.
MODALITIES = ('T1w', 'FLAIR', 'T2w', 'MEGRE', 'dwi', 'dce', 'asl', 'angio', 'dsc')
OPTIONAL = ('dsc',)
#: What can be inserted into real scans.
KINDS = ('wmh', 'lacune', 'pvs', 'microbleed', 'infarct', 'atrophy')


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
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
        help='simulate only these scans: '
        + ' '.join(MODALITIES)
        + f' (default: all but {" ".join(OPTIONAL)})',
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
    group.add_argument('--lacunes', type=natural, metavar='N', help='number of lacunes')
    group.add_argument(
        '--microbleeds',
        type=natural,
        nargs=3,
        metavar=('LOBAR', 'DEEP', 'INFRA'),
        help='number of microbleeds by region',
    )
    group.add_argument(
        '--pvs',
        type=natural,
        nargs=2,
        metavar=('BG', 'CSO'),
        help='number of perivascular spaces, both sides together',
    )
    group.add_argument(
        '--recent-infarcts',
        type=natural,
        metavar='N',
        help='number of recent small subcortical infarcts',
    )
    group.add_argument(
        '--new-lacunes',
        type=natural,
        metavar='N',
        help='number of new lacunes at each visit after the first',
    )
    group.add_argument(
        '--new-microbleeds',
        type=natural,
        nargs=3,
        metavar=('LOBAR', 'DEEP', 'INFRA'),
        help='number of new microbleeds at each visit after the first',
    )
    group.add_argument(
        '--new-infarcts',
        type=natural,
        metavar='N',
        help='number of new recent infarcts at each visit after the first; they fade until the '
        'next',
    )
    group.add_argument(
        '--old-infarct',
        action='store_true',
        default=None,
        help='add an old cortical infarct, as a distractor',
    )
    parser.add_argument(
        '--seed', type=natural, default=42, help='random seed; the same seed gives the same bytes'
    )
    _configure_into(parser)
    parser.add_argument(
        '--nprocs',
        type=positive,
        default=None,
        metavar='N',
        help='number of visits simulated in parallel (default: all processors)',
    )


def _configure_into(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('lesions in real scans, instead of synthetic heads')
    group.add_argument(
        '--into',
        type=path,
        metavar='BIDS_DIR',
        help='insert lesions into the scans of this dataset, which is only read; '
        'each visit becomes participants of their own, one for each case',
    )
    group.add_argument(
        '--with',
        dest='derivatives',
        type=path,
        metavar='DERIVATIVES',
        help='output of csvdprep for these scans (--markers wmh): tissues, ventricles, '
        'registration, and masks of lesions, which are filled first',
    )
    group.add_argument(
        '--lesions',
        type=path,
        metavar='DERIVATIVES',
        help='masks of the lesions to fill, *_label-WMH_mask and the like, instead of those '
        'of --with',
    )
    group.add_argument(
        '--kinds',
        nargs='+',
        choices=KINDS,
        metavar='NAME',
        help=f'what to insert: {" ".join(KINDS)} (default: all that the scans of a visit can '
        'show, but no atrophy)',
    )
    group.add_argument(
        '--cases',
        type=positive,
        metavar='N',
        help='cases made of each visit (default: 2, or as many as there are loads)',
    )
    group.add_argument(
        '--load',
        nargs='+',
        type=float,
        metavar='ML',
        help='volumes of hyperintensities, 0 to 150 mL, that cases have in turn '
        '(default: drawn, 0.3 to 60)',
    )
    group.add_argument(
        '--participant-label', nargs='+', metavar='LABEL', help='only these participants'
    )


def run(args: argparse.Namespace) -> int:
    """Make the dataset."""
    if args.into is not None:
        return _insert(args)
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
        'new_lacunes': args.new_lacunes,
        'new_microbleeds': tuple(args.new_microbleeds) if args.new_microbleeds else None,
        'new_infarcts': args.new_infarcts,
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


def _insert(args: argparse.Namespace) -> int:
    """Insert lesions into real scans."""
    _check_into(args)
    from csvdprep.phantom.into.make import make_inserted

    count = make_inserted(
        args.folder,
        args.into,
        args.derivatives,
        lesions=args.lesions,
        participants=args.participant_label or (),
        kinds=args.kinds,
        cases=args.cases or (len(args.load) if args.load else 2),
        loads=args.load or (),
        seed=args.seed,
        nprocs=args.nprocs,
        progress=tell,
    )
    print(f'{args.folder}: {count} cases; truth in derivatives/truth')
    return 0


def _check_into(args: argparse.Namespace) -> None:
    """Refuse what makes no sense with real scans, before anything is read."""
    if args.derivatives is None:
        raise UsageError(
            'Lesions can be inserted only where tissues, ventricles and registration are known.',
            field='--with',
            remedy='Run csvdprep BIDS_DIR DERIVATIVES participant --markers wmh first, and give '
            'its output by --with DERIVATIVES.',
        )
    for name, folder in (('--into', args.into), ('--with', args.derivatives)):
        if not folder.is_dir():
            raise PreflightError('There is no such folder.', file=folder, field=name)
    if args.load and not all(0 <= load <= 150 for load in args.load):
        raise UsageError('Volumes must lie between 0 and 150 mL.', field='--load')
    own = {
        '--modalities': args.modalities,
        '--wmh-ml': args.wmh_ml,
        '--fazekas': args.fazekas,
        '--lacunes': args.lacunes,
        '--microbleeds': args.microbleeds,
        '--pvs': args.pvs,
        '--recent-infarcts': args.recent_infarcts,
        '--old-infarct': args.old_infarct,
        '--new-lacunes': args.new_lacunes,
        '--new-microbleeds': args.new_microbleeds,
        '--new-infarcts': args.new_infarcts,
    }
    if used := [name for name, value in own.items() if value is not None]:
        raise UsageError(
            f'{", ".join(used)} cannot be combined with --into.',
            field=used[0],
            remedy='Choose what to insert by --kinds and --load.',
        )
    inner, outer = args.folder.resolve(), args.into.resolve()
    if inner == outer or outer in inner.parents:
        raise UsageError(
            'The new dataset would lie within the one that is read.',
            field='OUT',
            remedy='Name a folder elsewhere.',
        )
    _check_empty(args)


def _check_empty(args: argparse.Namespace) -> None:
    if args.folder.exists() and any(args.folder.iterdir()):
        raise PreflightError(
            'The folder is not empty.',
            file=args.folder,
            remedy='Give a new folder, so that no old images remain in it.',
        )


def _check(args: argparse.Namespace) -> None:
    """Refuse what makes no sense, before anything is written."""
    into = {
        '--with': args.derivatives,
        '--lesions': args.lesions,
        '--kinds': args.kinds,
        '--cases': args.cases,
        '--load': args.load,
        '--participant-label': args.participant_label,
    }
    if used := [name for name, value in into.items() if value is not None]:
        raise UsageError(
            f'{", ".join(used)} needs --into.', field=used[0], remedy='Add --into BIDS_DIR.'
        )
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
    new = {
        '--new-lacunes': args.new_lacunes,
        '--new-microbleeds': args.new_microbleeds,
        '--new-infarcts': args.new_infarcts,
    }
    if (used := [name for name, value in new.items() if value]) and (
        args.visits < 2 or not args.years
    ):
        raise UsageError(
            f'{", ".join(used)} needs a later visit.', field=used[0], remedy='Add --visits 2.'
        )
    if args.travelling and args.sites < 2:
        raise UsageError(
            'Travelling participants need two sites.',
            field='--travelling',
            remedy='Add --sites 2 or more.',
        )
    _check_empty(args)
