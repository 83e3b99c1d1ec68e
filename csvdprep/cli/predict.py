"""``csvdprep predict``: apply a saved outcome model to other visits."""

from __future__ import annotations

import argparse

from csvdprep.cli.paths import path
from csvdprep.cli.streams import tell
from csvdprep.core.errors import InputError, plain

DESCRIPTION = """\
Apply a saved outcome model to other visits.

MODEL is group_outcomes_model.json of a group level; TABLE holds participant_id (and session_id),
age, sex and measures, or a second table holds age and sex. A visit that lacks a measure lacks the
block of it. For research; no diagnosis.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``csvdprep predict``.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Parser of the subcommand.
    """
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument('model', type=path, metavar='MODEL', help='model that was fitted')
    parser.add_argument('table', type=path, metavar='TABLE', help='measures of visits')
    parser.add_argument('--participants', type=path, metavar='FILE', help='age and sex')
    parser.add_argument('-o', '--output', type=path, required=True, metavar='FILE')


def run(args: argparse.Namespace) -> int:
    """Carry out ``csvdprep predict``.

    Parameters
    ----------
    args : argparse.Namespace
        From a parser that went through `configure`.

    Returns
    -------
    int
        0; what goes wrong is raised.
    """
    import json

    import numpy as np

    from csvdprep.dataset.outcomes.science.fusion import Fused, scaled
    from csvdprep.group import sites
    from csvdprep.group.study import read_study, table_columns

    def read(text: str):
        try:
            facts = json.loads(text)
            return Fused.of(facts['parameters']), facts['outcome']
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                'This is no outcome model that can be read.',
                remedy='Take group_outcomes_model.json of a group level.',
            ) from error

    model, outcome = sites.read_named(args.model, read)
    asked = dict.fromkeys(n for block in model.blocks.values() for n in block.names)
    asked = [name for name in asked if name not in ('age', 'male')]
    columns = table_columns(args.table)
    there = [name for name in asked if name in columns]
    if asked and not there:
        raise InputError(
            'The table has none of the measures of the model.',
            file=args.table,
            remedy=f'The model takes {", ".join(asked)}.',
        )
    study = read_study(
        args.table, more=args.participants, name='any', keep=['age', 'sex'], measures=there
    )
    sexes = study.covariates['sex']
    male = np.where(np.isin(sexes, ['F', 'M']), sexes == 'M', np.nan).astype(float)
    table = {name: np.full(len(male), np.nan) for name in asked}
    table |= {name: scaled(name, study.values[:, at]) for at, name in enumerate(there)}
    eta, chances, _, parts = model.predict({**table, 'age': study.covariates['age'], 'male': male})
    names, found = ['linear'], [eta]
    if chances.shape[1]:
        names.append('probability')
        found.append(1 - chances[:, 0])
    names += [f'part_{name}' for name in parts]
    found += list(parts.values())
    sites.write_rows(args.output, study, names, np.stack(found, axis=1), (args.model, args.table))
    notes = list(study.notes)
    if lost := int(np.isnan(eta).sum()):
        notes.append(f'{lost} rows lack what any block takes; they are n/a.')
    what = f'{outcome["column"]}, {outcome["participants"]} participants'
    notes.append(f'Outcome: {what}. For research; no diagnosis.')
    for note in notes:
        tell(plain(f'csvdprep predict: {note}'))
    return 0
