"""Harmonise tables of any origin, and share sums in place of values: what the commands do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from csvdprep.bids.files import atomic_write, read_any_text
from csvdprep.bids.own import check_replaceable
from csvdprep.bids.tsv import MISSING, write_tsv
from csvdprep.core.errors import InputError, UsageError
from csvdprep.dataset.harmonisation.decide import too_few
from csvdprep.dataset.harmonisation.science.combat import CONTROLS, add_site, apply, fit
from csvdprep.dataset.harmonisation.science.federated import Protocol, Sums, fit_sums, sums_of
from csvdprep.dataset.harmonisation.science.model import Model
from csvdprep.dataset.harmonisation.science.suited import log_offset, unsuited
from csvdprep.group.study import Study, read_study

_TABLE, _MODEL = 'participant_id\tsession_id\tsite', '"features":'
_ROWS = 'participant_id\tsession_id'


def harmonise(
    study: Study, options, *, log: str = 'auto', asked: bool = False
) -> tuple[Model, np.ndarray, list[str]]:
    """Fit ComBat to a table.

    Parameters
    ----------
    study : Study
        From :func:`csvdprep.group.study.read_study`.
    options : dict
        Keywords of :func:`csvdprep.dataset.harmonisation.science.fit`.
    log : str
        'auto' (where skewed), 'none', or names of measures that commas separate.
    asked : bool, optional
        Whether the measures were named: then whole numbers are not taken for counts.

    Returns
    -------
    model : Model
    harmonised : ndarray, shape (n, p)
        In the rows of the study; NaN where nothing could be done.
    notes : list of str
        What was left out, and why.
    """
    notes, used = list(study.notes), study.known()
    notes += _lost(study, used)
    people = study.people
    notes += too_few(study.sites, people, used, options['least'])
    if not used.any():
        raise InputError(
            'No row is left that can be harmonised. ' + ' '.join(notes),
            remedy='Give site and covariates, or ask for fewer participants a site.',
        )
    kept = []
    for at, name in enumerate(study.features):
        if why := unsuited(study.values[used, at], '' if asked else '1'):
            notes.append(f'{name} is not harmonised: {why}.')
        else:
            kept.append(at)
    if not kept:
        raise InputError('No measure can be harmonised. ' + ' '.join(notes))
    values = study.values[:, kept]
    features = tuple(study.features[at] for at in kept)
    offset = np.full(len(kept), np.nan)
    if log == 'auto':
        offset = np.array([log_offset(column) for column in values[used].T])
    elif log != 'none':
        wanted = [part.strip() for part in log.split(',')]
        if strange := sorted(set(wanted) - set(features)):
            raise InputError(f'There is no measure {", ".join(strange)} to take the logarithm of.')
        for name in wanted:
            at = features.index(name)
            if np.nanmin(values[used, at]) < 0:
                raise InputError(f'{name} has negative values, which have no logarithm.')
            offset[at] = 0.0
    several = len(set(people[used])) < used.sum()
    more = dict(options)
    longitudinal = more.pop('longitudinal')
    if several and longitudinal == 'no':
        notes.append('Several visits of a participant are taken for independent.')
    model, found = fit(
        values[used],
        study.sites[used],
        {name: v[used] for name, v in study.covariates.items()},
        features=features,
        people=people[used] if several and longitudinal != 'no' else None,
        offset=offset,
        **more,
    )
    notes += [f'{name} is not harmonised: {why}.' for name, why in model.left_out.items()]
    whole = np.full(values.shape, np.nan)
    whole[used] = found
    return model, whole, notes


def apply_model(
    model: Model, study: Study, *, at_means: bool = False
) -> tuple[np.ndarray, list[str]]:
    """Apply a model to a table.

    Parameters
    ----------
    model : Model
        From a fit.
    study : Study
        With the measures of the model, in its order.
    at_means : bool, optional
        Take covariates as they were on average in the fit.

    Returns
    -------
    harmonised : ndarray, shape (n, p)
        In the rows of the study; NaN where site or a covariate is not known.
    notes : list of str
        What was left out, and what lies beyond the fit.
    """
    notes = list(study.notes)
    used = study.sites != MISSING if at_means else study.known()
    notes += _lost(study, used)
    covariates = {} if at_means else {n: v[used] for n, v in study.covariates.items()}
    for term in model.terms:
        if term.name in covariates and not term.levels and term.high > term.low:
            reach = term.high - term.low
            values = covariates[term.name]
            far = (values < term.low - reach / 4) | (values > term.high + reach / 4)
            if far.any():
                notes.append(
                    f'{term.name} of {int(far.sum())} rows lies far beyond that of the fit.'
                )
    out = np.full((len(study.who), len(model.features)), np.nan)
    if used.any():
        people = study.people[used] if model.ratio.any() else None
        out[used] = apply(
            model,
            study.values[used],
            study.sites[used],
            covariates,
            people=people,
            at_means=at_means,
        )
    return out, notes


def take_in(model: Model, study: Study, site: str, *, least: int = CONTROLS) -> Model:
    """Take in a new site by the rows of a study, which are its controls."""
    used = study.known()
    people = study.people[used]
    if len(set(people)) < len(people):
        raise InputError(
            'Controls have several visits.', field='session_id', remedy='Give one visit of each.'
        )
    covariates = {name: values[used] for name, values in study.covariates.items()}
    return add_site(model, site, study.values[used], covariates, least=least)


def read_for(
    model: Model, path: Path, *, more=None, site='', name='', at_means=False, only=''
) -> Study:
    """Read a table for a model: its measures in its order, and its covariates."""
    keep = [] if at_means else [term.name for term in model.terms]
    return read_study(
        path, more=more, site=site, name=name, keep=keep, measures=list(model.features), only=only
    )


def read_model(path: Path) -> Model:
    """Read a model of a file."""
    return read_named(path, Model.read)


def read_protocol(path: Path) -> Protocol:
    """Read a protocol of a file."""
    return read_named(path, Protocol.read)


def export(
    protocol: Protocol, path: Path, *, more=None, name: str = '', folder: Path
) -> list[Path]:
    """Write what leaves a site: its sums, and a list of what they are.

    Parameters
    ----------
    protocol : Protocol
        What sites agreed on.
    path, more : Path
        Tables of the site.
    name : str
        Of the site.
    folder : Path
        Where to write.

    Returns
    -------
    list of Path
        ``site-<name>_sums.json`` and ``site-<name>_sums.txt``.
    """
    if not name.replace('-', '').replace('_', '').isalnum():
        raise UsageError(
            'The name of a site has letters, digits, - and _ only.', field='--name', file=name
        )
    study = read_study(
        path,
        more=more,
        name=name,
        keep=[term.name for term in protocol.terms],
        measures=list(protocol.features),
    )
    used = study.known()
    if len(set(study.people[used])) < used.sum():
        raise InputError(
            'Participants have several visits, which sums take for several participants.',
            file=path,
            field='session_id',
            remedy='Give one visit of each.',
        )
    covariates = {n: v[used] for n, v in study.covariates.items()}
    sums = sums_of(protocol, name, study.values[used], covariates)
    data, told = folder / f'site-{name}_sums.json', folder / f'site-{name}_sums.txt'
    _check(data, '"sums": 1', (path, more))
    _check(told, 'What leaves the site', (path, more))
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(data, sums.text())
    atomic_write(told, '\n'.join(leaving(sums, protocol, [*study.notes, *_lost(study, used)])))
    return [data, told]


def leaving(sums: Sums, protocol: Protocol, notes: Sequence[str] = ()) -> list[str]:
    """List what leaves a site, line by line.

    Parameters
    ----------
    sums : Sums
        Of the site.
    protocol : Protocol
        What sites agreed on.
    notes : sequence of str
        What was odd about the tables; for the site.

    Returns
    -------
    list of str
    """
    columns = ', '.join(term.name for term in protocol.terms) or 'none'
    k = sums.columns.shape[1]
    lines = [
        f'What leaves the site {sums.site}, in site-{sums.site}_sums.json, and nothing else:',
        '',
        '- the name of the site, and the names of the measures',
        (
            '- for each measure: number of participants, mean, sum of squares about the mean; '
            f'means of the covariates ({columns}; {k} columns), sums of products with each of '
            'them and of each with each, about the means'
        ),
        f'- which measures are held back, and why (fewer than {protocol.cell} participants)',
        '',
        (
            'No label, no value and no date of a participant. No sum is of fewer than '
            f'{protocol.cell} participants; nor is the difference of those of two measures, where '
            'the participants of one are among those of the other.'
        ),
        '',
        'measure\tparticipants\tnumbers that leave',
    ]
    for at, name in enumerate(sums.features):
        many = int(sums.count[at])
        numbers = 3 + 2 * k + k * k if many else 0
        lines.append(f'{name}\t{many}\t{numbers}' + (f'\t{sums.held[name]}' if not many else ''))
    if notes:
        lines += ['', 'For the site alone (this list does not leave it):', *notes]
    return [*lines, '']


def fit_federated(protocol: Protocol, paths: Sequence[Path]) -> Model:
    """Fit the sums of all sites."""
    return fit_sums(protocol, [read_named(path, Sums.read) for path in paths])


def write_harmonised(path: Path, study: Study, model: Model, values, inputs: Sequence) -> None:
    """Write the harmonised measures of a study: its rows in their order."""
    _check(path, _TABLE, inputs)
    done = [at for at, name in enumerate(model.features) if name not in model.left_out]
    table = [['participant_id', 'session_id', 'site', *(model.features[at] for at in done)]]
    for (person, session), site, row in zip(study.who, study.sites, values, strict=True):
        cells = [None if np.isnan(v) else float(v) for v in row[done]]
        table.append([person, session, site, *cells])
    write_tsv(path, table, digits=15)


def write_model(path: Path, model: Model, inputs: Sequence) -> None:
    """Write a model."""
    _check(path, _MODEL, inputs)
    atomic_write(path, model.text())


def write_protocol(path: Path, protocol: Protocol) -> None:
    """Write a protocol."""
    _check(path, '"protocol": 1', ())
    atomic_write(path, protocol.text())


def write_rows(path: Path, study: Study, names: Sequence[str], values, inputs: Sequence) -> None:
    """Write a table of what was found of each row of a study; NaN is n/a.

    Parameters
    ----------
    path : Path
        TSV to write.
    study : Study
        Whose rows they are.
    names : sequence of str
        Columns.
    values : ndarray, shape (n, len(names))
        What was found.
    inputs : sequence of Path
        Files that are not to be written over.
    """
    _check(path, _ROWS, inputs)
    table = [['participant_id', 'session_id', *names]]
    for (person, session), row in zip(study.who, values, strict=True):
        table.append([person, session, *(None if np.isnan(v) else float(v) for v in row)])
    write_tsv(path, table, digits=4)


def read_named(path: Path, read):
    """Read a file, whose name stands in the message if it cannot be read."""
    try:
        return read(read_any_text(path)[0])
    except FileNotFoundError as error:
        raise InputError('The file does not exist.', file=path) from error
    except InputError as error:
        raise InputError(error.message, file=path, remedy=error.remedy) from error


def _lost(study: Study, used: np.ndarray) -> list[str]:
    notes = []
    if many := int((study.sites == MISSING).sum()):
        notes.append(f'The site of {many} rows is not known; they are n/a.')
    for name, values in study.covariates.items():
        gone = ~np.isfinite(values) if values.dtype.kind == 'f' else values == MISSING
        if many := int((gone & ~used).sum()):
            notes.append(f'{name} of {many} rows is not known; they are n/a.')
    return notes


def _check(path: Path, sign: str, inputs: Sequence) -> None:
    """Never write over what is read, or over anything but an earlier file of this kind."""
    if any(p is not None and os.path.realpath(p) == os.path.realpath(path) for p in inputs):
        raise UsageError('The result would be written over what is read.', file=path, field='-o')
    check_replaceable(path, sign, field='-o')
