"""Read the tables that the group level leaves to the rooms of the dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from csvdprep.bids.spellings import sex_of
from csvdprep.bids.tsv import stream_tsv
from csvdprep.core.room import Decision


def read_numbers(
    path: str | Path, names: Sequence[str]
) -> tuple[list[tuple[str, str]], dict[str, np.ndarray]]:
    """Read columns of ``group_measures.tsv``, row by row, so that memory holds numbers only.

    Parameters
    ----------
    path : path-like
        The table.
    names : sequence of str
        Columns wanted; those that the table has not are left out.

    Returns
    -------
    who : list of (str, str)
        ``participant_id`` and ``session_id`` of each row.
    numbers : dict of str to (ndarray, shape (n,))
        Values by column, NaN where there is no number.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / 'group_measures.tsv'
    >>> text = 'participant_id\\tsession_id\\tbpf\\nsub-01\\tn/a\\t0.8\\nsub-02\\tn/a\\tn/a\\n'
    >>> _ = file.write_text(text)
    >>> read_numbers(file, ['bpf', 'lv_ml'])
    ([('sub-01', 'n/a'), ('sub-02', 'n/a')], {'bpf': array([0.8, nan])})
    """
    who: list[tuple[str, str]] = []
    lines = stream_tsv(path)
    head = next(lines)
    place = {name: head.index(name) for name in names if name in head}
    person, session = head.index('participant_id'), head.index('session_id')
    rows = []
    for cells in lines:
        who.append((cells[person], cells[session]))
        rows.append(np.array([_number(cells[at]) for at in place.values()]))
    table = np.array(rows).reshape(len(rows), len(place))
    return who, {name: table[:, at] for at, name in enumerate(place)}


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return np.nan
    return value if abs(value) < np.inf else np.nan


def controls_of(rows: Sequence[Mapping[str, Any]], words: str) -> np.ndarray:
    """Tell which visits are the first of a control.

    Parameters
    ----------
    rows : sequence of mapping
        ``group_covariates``.
    words : str
        What the column ``group`` says of controls, separated by commas.

    Returns
    -------
    ndarray of bool, shape (n,)

    Examples
    --------
    >>> rows = [{'participant_id': 'sub-1', 'group': 'HC', 'person': 'n/a'}] * 2
    >>> controls_of(rows, 'control, hc')
    array([ True, False])
    """
    known = {word.strip().casefold() for word in words.split(',') if word.strip()}
    seen: set[str] = set()
    out = np.zeros(len(rows), bool)
    for at, row in enumerate(rows):
        who = row['participant_id'] if row.get('person', 'n/a') == 'n/a' else row['person']
        if row.get('group', 'n/a').casefold() in known and who not in seen:
            seen.add(who)
            out[at] = True
    return out


def ages_and_sexes(rows: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Return age (NaN where unknown) and sex ('F', 'M', as written, or 'n/a') of each visit.

    Examples
    --------
    >>> ages_and_sexes([{'age': 70.0, 'sex': 'female'}, {'age': None, 'sex': 'n/a'}])
    (array([70., nan]), array(['F', 'n/a'], dtype='<U3'))
    """
    ages = np.array([np.nan if row['age'] is None else row['age'] for row in rows], float)
    return ages, np.array([sex_of(row['sex']) for row in rows])


def rare_sexes(sexes: np.ndarray, few: int) -> tuple[Decision, ...]:
    """Tell of a sex of which there are too few controls for anything to be said of it.

    Parameters
    ----------
    sexes : ndarray of str, shape (n,)
        Of the controls: 'F' or 'M'.
    few : int
        With fewer, a sex is left out.

    Returns
    -------
    tuple of Decision

    Examples
    --------
    >>> print(*rare_sexes(np.array(['F'] * 40 + ['M'] * 2), 10))
    left out: M (fewer than 10 controls are of this sex; visits of it have no values)
    """
    why = f'fewer than {few} controls are of this sex; visits of it have no values'
    return tuple(
        Decision('left out', sex, why) for sex in 'FM' if (np.asarray(sexes) == sex).sum() < few
    )
