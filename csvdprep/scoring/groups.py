"""Errors by site, scanner, sex and age of the participants, as the raw dataset tells them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from csvdprep.bids.covariates import Covariates, age_of
from csvdprep.bids.spellings import sex_of
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Visit as Session
from csvdprep.science.subgroups import age_band, by_group
from csvdprep.scoring.find import Visit

__all__ = ['error_rows', 'facts_of', 'raw_of']


def raw_of(truth: Path, given: Path | None) -> Path | None:
    """Find the dataset of the images, whose participants.tsv tells site, age and sex.

    Parameters
    ----------
    truth : Path
        The truth; that of a phantom lies in ``derivatives/truth`` of its dataset.
    given : Path or None
        The dataset, where it is named.

    Returns
    -------
    Path or None
        None if it is not named, and not around the truth.

    Raises
    ------
    InputError
        If the one that is named has no participants.tsv.
    """
    if given is not None:
        if not (given / 'participants.tsv').is_file():
            raise InputError(
                'There is no such table, which tells site, age and sex.',
                file=given / 'participants.tsv',
                remedy='Name the BIDS dataset of the images, or leave --bids-dir out.',
            )
        return given
    around = truth.resolve().parents
    near = around[1] if len(around) > 1 else None
    return near if near and (near / 'participants.tsv').is_file() else None


def facts_of(
    raw: Path | None, visits: Iterable[Visit]
) -> tuple[dict[str, dict[str, str]], tuple[str, ...]]:
    """Return site, scanner, sex and decade of age by label of the visit, and what is odd.

    Parameters
    ----------
    raw : Path or None
        Dataset of the images.
    visits : iterable of Visit
        Visits of the truth.
    """
    if raw is None:
        return {}, ()
    notes: list[str] = []
    covariates = Covariates(raw, warn=notes.append)
    out = {}
    for visit in visits:
        session = visit.session.removeprefix('ses-') or None
        known = covariates(Session(visit.subject.removeprefix('sub-'), session))
        years, _ = age_of(known['age'])
        out[visit.label] = {
            'site': known['site'],
            'scanner': _scanner(raw / visit.subject / visit.session),
            'sex': sex_of(known['sex']),
            'age': age_band(np.nan if years is None else years),
        }
    covariates.finish()
    return out, tuple(notes)


def error_rows(
    facts: Mapping[str, Mapping[str, str]],
    pairs: Iterable[Mapping[str, Any]],
    masks: Iterable[Mapping[str, Any]],
    about: Mapping[str, Mapping[str, str]],
) -> list[dict[str, Any]]:
    """Compare errors of measures, and Dice of masks, between groups.

    Parameters
    ----------
    facts : mapping
        From :func:`facts_of`.
    pairs, masks : iterable of mapping
        Rows of the tables of these names.
    about : mapping
        ``Units`` by measure.

    Returns
    -------
    list of dict
        Rows of ``groups.tsv``.
    """
    found: dict[tuple[str, str, str | None], list[tuple[str, str, float]]] = {}
    for row in pairs:
        units = about.get(row['measure'], {}).get('Units')
        key = ('error', row['measure'], units)
        found.setdefault(key, []).append((*_who(row), row['found'] - row['truth']))
    for row in masks:
        if row.get('dice') is not None:
            name = ' '.join(filter(None, (row['label'], row['space'])))
            found.setdefault(('Dice', name, '1'), []).append((*_who(row), row['dice']))
    return [
        {'what': what, 'measure': name, 'units': units} | row
        for (what, name, units), values in found.items()
        for row in _rows(values, facts)
    ]


def _rows(values, facts) -> Iterator[dict[str, Any]]:
    known = [(who, label, value) for who, label, value in values if label in facts]
    if not known:
        return
    people, labels, numbers = map(np.array, zip(*known, strict=True))
    groups = {
        by: np.array([facts[label][by] for label in labels])
        for by in ('site', 'scanner', 'sex', 'age')
    }
    yield from by_group(numbers, groups, people)


def _who(row: Mapping[str, Any]) -> tuple[str, str]:
    label = '_'.join(filter(None, (row['participant_id'], row['session_id'])))
    return row['participant_id'], label


def _scanner(folder: Path) -> str:
    """Return manufacturer, model and field strength, as the first sidecar that has one tells."""
    for path in sorted(folder.glob('*/*.json')):
        try:
            told = json.loads(path.read_text(encoding='utf-8'))
        except (OSError, ValueError):
            continue
        if isinstance(told, dict) and told.get('Manufacturer'):
            names = [told['Manufacturer'], told.get('ManufacturersModelName')]
            if field := told.get('MagneticFieldStrength'):
                names.append(f'{field} T')
            return ' '.join(' '.join(str(name) for name in names if name).split()) or 'n/a'
    return 'n/a'
