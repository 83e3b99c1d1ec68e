"""``csvdprep harmonise``: ComBat on a table, and a saved model on other visits."""

from __future__ import annotations

import argparse
from pathlib import Path

from csvdprep.cli.paths import path
from csvdprep.cli.streams import tell
from csvdprep.core.errors import UsageError, plain

DESCRIPTION = """\
Bring measures of several sites onto one scale by ComBat.

  fit       fit a table of visits, write the harmonised table and the model
  apply     apply a model to other visits of its sites
  add-site  take a new site into a model by its controls

A table is TSV or CSV with participant_id (and session_id), the site and the measures; covariates
may stand in a second table. The group level of the app (csvdprep BIDS OUT group) does the same
with its own tables.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``csvdprep harmonise``.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Parser of the subcommand.
    """
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    kinds = parser.add_subparsers(dest='what', required=True, help='what is done')
    fit = kinds.add_parser('fit', help='fit a table')
    table(fit)
    fit.add_argument('--model', type=path, metavar='JSON', help='write the model to this file')
    how(fit)
    fit.add_argument(
        '--covbat', type=float, default=0.0, metavar='SHARE', help='harmonise components, too'
    )
    fit.add_argument(
        '--longitudinal',
        choices=('auto', 'no'),
        default='auto',
        help='random intercept of participants, where some have several rows (default: auto)',
    )
    fit.add_argument(
        '--log',
        default='auto',
        metavar='NAMES',
        help='measures taken by their logarithm: auto (where skewed), none, or names with commas',
    )
    fit.add_argument('--curve', default='', metavar='NAMES', help='covariates kept as a curve')
    apply = kinds.add_parser('apply', help='apply a model')
    apply.add_argument('model', type=path, metavar='MODEL', help='model that a fit has written')
    table(apply, keep=False)
    apply.add_argument(
        '--at-means',
        action='store_true',
        help='take covariates as they were on average in the fit (as neuroCombatFromTraining)',
    )
    add = kinds.add_parser('add-site', help='take in a site by its controls')
    add.add_argument('model', type=path, metavar='MODEL', help='model that a fit has written')
    add.add_argument('name', metavar='SITE', help='name of the new site')
    table(add, keep=False)
    add.add_argument('--least', type=int, default=20, metavar='N', help='fewest controls')
    add.add_argument(
        '--controls',
        default='',
        metavar='COLUMN=VALUE',
        help='rows that are controls, as group=HC (default: all)',
    )


def table(parser: argparse.ArgumentParser, *, keep: bool = True) -> None:
    """Declare the arguments that say what is read and written."""
    parser.add_argument('table', type=path, metavar='TABLE', help='measures of visits')
    parser.add_argument(
        '--participants', type=path, metavar='FILE', help='site, age and sex, by participant_id'
    )
    parser.add_argument('--site', default='', metavar='COLUMN', help='column that tells the site')
    parser.add_argument('-o', '--output', type=path, required=True, metavar='FILE')
    if keep:
        parser.add_argument(
            '--keep', default='age,sex', metavar='NAMES', help='covariates (default: age,sex)'
        )
        parser.add_argument('--measures', default='', metavar='NAMES', help='default: all numbers')


def how(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ComBat."""
    parser.add_argument('--reference', default='', metavar='SITE', help='site that stays as it is')
    parser.add_argument('--no-eb', action='store_true', help='no empirical Bayes')
    parser.add_argument(
        '--non-parametric', action='store_true', help='effects on other measures as the prior'
    )
    parser.add_argument('--mean-only', action='store_true', help='leave variances')
    parser.add_argument(
        '--tolerance',
        type=float,
        default=1e-4,
        metavar='X',
        help='relative change at which empirical Bayes ends (MATLAB: 1e-3; default: 1e-4)',
    )
    parser.add_argument('--least', type=int, default=20, metavar='N', help='participants a site')


def asked(args: argparse.Namespace) -> dict:
    """Return the options of ComBat by the names that the science has for them."""
    return {
        'reference': args.reference,
        'eb': not args.no_eb,
        'parametric': not args.non_parametric,
        'mean_only': args.mean_only,
        'tolerance': args.tolerance,
        'least': args.least,
    }


def names(text: str) -> list[str]:
    """Read names that commas separate; 'none' is none.

    Examples
    --------
    >>> names('age, sex'), names('none')
    (['age', 'sex'], [])
    """
    found = [part.strip() for part in text.split(',') if part.strip()]
    return [] if found == ['none'] else found


def run(args: argparse.Namespace) -> int:
    """Carry out ``csvdprep harmonise``.

    Parameters
    ----------
    args : argparse.Namespace
        From a parser that went through `configure`.

    Returns
    -------
    int
        0; what goes wrong is raised.
    """
    from csvdprep.group import sites
    from csvdprep.group.study import read_study

    inputs = (args.table, args.participants, getattr(args, 'model', None))
    if args.what == 'fit':
        study = read_study(
            args.table,
            more=args.participants,
            site=args.site,
            keep=names(args.keep),
            measures=names(args.measures),
        )
        options = asked(args) | {
            'covbat': args.covbat,
            'longitudinal': args.longitudinal,
            'splines': tuple(names(args.curve)),
        }
        if args.model and Path(args.model).resolve() == Path(args.output).resolve():
            raise UsageError('Table and model would be one file.', file=args.model)
        model, values, notes = sites.harmonise(
            study, options, log=args.log, asked=bool(args.measures)
        )
        if args.model:
            sites.write_model(args.model, model, inputs[:2])
        sites.write_harmonised(args.output, study, model, values, inputs[:2])
    elif args.what == 'apply':
        model = sites.read_model(args.model)
        study = sites.read_for(
            model, args.table, more=args.participants, site=args.site, at_means=args.at_means
        )
        values, notes = sites.apply_model(model, study, at_means=args.at_means)
        sites.write_harmonised(args.output, study, model, values, inputs)
    else:
        model = sites.read_model(args.model)
        study = sites.read_for(
            model, args.table, more=args.participants, name=args.name, only=args.controls
        )
        notes = list(study.notes)
        more = sites.take_in(model, study, args.name, least=args.least)
        sites.write_model(args.output, more, inputs[:2])
    for note in notes:
        tell(plain(f'csvdprep harmonise: {note}'))
    return 0
