"""``csvdprep federate``: ComBat where values stay at the sites, which share sums."""

from __future__ import annotations

import argparse
from pathlib import Path

from csvdprep.cli.harmonise import asked, how, names, table
from csvdprep.cli.paths import path
from csvdprep.cli.streams import tell
from csvdprep.core.errors import UsageError, plain

DESCRIPTION = """\
Harmonise sites that share sums, and no values.

  plan    centre: agree on measures, covariates and options, in a file for all sites
  export  site: write the sums that the plan asks for, and a list of what leaves
  fit     centre: fit the sums of all sites, write the model
  apply   site: apply the model to the values, which have not left

The result is that of the pooled values, to rounding. Nothing is sent: files are carried by you.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``csvdprep federate``.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Parser of the subcommand.
    """
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    kinds = parser.add_subparsers(dest='what', required=True, help='what is done')
    plan = kinds.add_parser('plan', help='agree on what is computed')
    plan.add_argument('-o', '--output', type=path, required=True, metavar='FILE')
    plan.add_argument('--measures', required=True, metavar='NAMES', help='with commas')
    plan.add_argument(
        '--numbers',
        nargs='*',
        default=['age'],
        metavar='NAME[=K,K,K,K]',
        help='covariates that are numbers, with the knots of a curve (default: age, as a line)',
    )
    plan.add_argument(
        '--groups',
        nargs='*',
        default=['sex=F,M'],
        metavar='NAME=A,B',
        help='covariates that are groups (default: sex=F,M)',
    )
    plan.add_argument('--log', default='none', metavar='NAMES', help='taken by their logarithm')
    plan.add_argument(
        '--cell', type=int, default=10, metavar='N', help='fewest participants of a sum (10)'
    )
    how(plan)
    export = kinds.add_parser('export', help='write the sums of a site')
    export.add_argument('plan', type=path, metavar='PLAN', help='plan that all sites agreed on')
    table(export, keep=False)
    export.add_argument('--name', required=True, metavar='SITE', help='name of this site')
    fit = kinds.add_parser('fit', help='fit the sums of all sites')
    fit.add_argument('plan', type=path, metavar='PLAN', help='plan that all sites agreed on')
    fit.add_argument('sums', type=path, nargs='+', metavar='SUMS', help='sums of the sites')
    fit.add_argument('-o', '--output', type=path, required=True, metavar='FILE')
    apply = kinds.add_parser('apply', help='apply the model to the values of a site')
    apply.add_argument('model', type=path, metavar='MODEL', help='model that a fit has written')
    table(apply, keep=False)
    apply.add_argument('--name', required=True, metavar='SITE', help='name of this site')


def run(args: argparse.Namespace) -> int:
    """Carry out ``csvdprep federate``.

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

    if args.what == 'plan':
        sites.write_protocol(args.output, _protocol(args))
    elif args.what == 'export':
        written = sites.export(
            sites.read_protocol(args.plan),
            args.table,
            more=args.participants,
            name=args.name,
            folder=args.output,
        )
        tell(plain(f'csvdprep federate: {written[0]} leaves the site; {written[1]} lists what.'))
        tell(Path(written[1]).read_text(encoding='utf-8'))
    elif args.what == 'fit':
        model = sites.fit_federated(sites.read_protocol(args.plan), args.sums)
        sites.write_model(args.output, model, (args.plan, *args.sums))
        for name, why in model.left_out.items():
            tell(plain(f'csvdprep federate: {name} is not harmonised: {why}.'))
    else:
        model = sites.read_model(args.model)
        study = sites.read_for(model, args.table, more=args.participants, name=args.name)
        values, notes = sites.apply_model(model, study)
        sites.write_harmonised(
            args.output, study, model, values, (args.table, args.participants, args.model)
        )
        for note in notes:
            tell(plain(f'csvdprep federate: {note}'))
    return 0


def _protocol(args: argparse.Namespace):
    from csvdprep.dataset.harmonisation.science.federated import CELL, Protocol
    from csvdprep.science.covariate_design import Term

    if args.cell < CELL:
        raise UsageError(
            f'Sums of fewer than {CELL} participants may tell of somebody.', field='--cell'
        )
    terms = []
    for text in args.numbers:
        name, _, knots = text.partition('=')
        try:
            places = tuple(sorted(float(k) for k in names(knots)))
        except ValueError as error:
            raise UsageError('Knots are numbers.', field='--numbers', file=text) from error
        if knots and len(set(places)) < 3:
            raise UsageError('A curve has three knots or more.', field='--numbers', file=text)
        # Any middle and spread will do: they only scale the sums.
        middle, spread = (65.0, 10.0) if name == 'age' else (0.0, 1.0)
        terms.append(Term(name, middle=middle, spread=spread, knots=places))
    for text in args.groups:
        name, _, levels = text.partition('=')
        if len(set(names(levels))) < 2:
            raise UsageError('A covariate has two groups or more.', field='--groups', file=text)
        terms.append(Term(name, levels=tuple(sorted(set(names(levels))))))
    features = tuple(dict.fromkeys(names(args.measures)))
    logged = tuple(names(args.log))
    if strange := sorted({*logged} - {*features}):
        raise UsageError(f'{", ".join(strange)} is no measure of the plan.', field='--log')
    options = asked(args)
    return Protocol(features, tuple(terms), logged, cell=args.cell, **options)
