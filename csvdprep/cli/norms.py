"""``csvdprep norms``: percentiles of visits by norms that were saved."""

from __future__ import annotations

import argparse

from csvdprep.cli.paths import path
from csvdprep.cli.streams import tell
from csvdprep.core.errors import InputError, plain

DESCRIPTION = """\
Tell where visits lie among the controls of another dataset.

NORMS is group_norms_model.json of a group level; TABLE holds participant_id (and session_id), age,
sex and measures, or a second table holds age and sex. Scanners of the visits must be those of the
controls, or the measures harmonised with them.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``csvdprep norms``.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Parser of the subcommand.
    """
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument('norms', type=path, metavar='NORMS', help='file of norms')
    parser.add_argument('table', type=path, metavar='TABLE', help='measures of visits')
    parser.add_argument('--participants', type=path, metavar='FILE', help='age and sex')
    parser.add_argument('--z', action='store_true', help='normal deviates in place of percentiles')
    parser.add_argument('-o', '--output', type=path, required=True, metavar='FILE')


def run(args: argparse.Namespace) -> int:
    """Carry out ``csvdprep norms``.

    Parameters
    ----------
    args : argparse.Namespace
        From a parser that went through `configure`.

    Returns
    -------
    int
        0; what goes wrong is raised.
    """
    import numpy as np

    from csvdprep.dataset.norms.science import read_norms, scores
    from csvdprep.group import sites
    from csvdprep.group.study import read_study, table_columns

    norms, provenance = sites.read_named(args.norms, read_norms)
    columns = table_columns(args.table)
    measures = [name for name in norms if name in columns]
    if not measures:
        raise InputError(
            'The table has none of the measures that have norms.',
            file=args.table,
            remedy=f'Norms are of {", ".join(norms)}.',
        )
    study = read_study(
        args.table, more=args.participants, name='any', keep=['age', 'sex'], measures=measures
    )
    ages, sexes = study.covariates['age'], study.covariates['sex']
    known = np.isin(sexes, ['F', 'M']) & np.isfinite(ages)
    notes = list(study.notes)
    if many := int((~known).sum()):
        notes.append(f'Age or sex of {many} rows is not known; they are n/a.')
    columns, beyond = [], 0
    for at, name in enumerate(measures):
        values = np.where(known, study.values[:, at], np.nan)
        z, percentile, _ = scores(norms[name], values, ages, sexes == 'M')
        beyond = max(beyond, int((np.isfinite(values) & np.isnan(z)).sum()))
        columns.append(z if args.z else percentile)
    if beyond:
        notes.append(f'{beyond} rows have an age beyond that of the controls; they are n/a.')
    sites.write_rows(args.output, study, measures, np.stack(columns, 1), (args.norms, args.table))
    told = f'{provenance.get("controls")} controls, {provenance.get("software")}'
    notes.append(f'Norms: {told}.')
    for note in notes:
        tell(plain(f'csvdprep norms: {note}'))
    return 0
