"""How well persons agree with what is measured, and with each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from csvdprep.bids.checkpoints import json_text
from csvdprep.bids.files import atomic_write
from csvdprep.bids.names import derivative_path
from csvdprep.bids.spellings import sex_of
from csvdprep.bids.tsv import MISSING, read_tsv, write_tsv
from csvdprep.core.declared import Declared
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Visit
from csvdprep.core.ratings import CONSENSUS, LISTS, MARKERS
from csvdprep.graph.discover import discover
from csvdprep.group.tables import read_long
from csvdprep.science.agreement import continuous, ordinal
from csvdprep.science.small_groups import join_small
from csvdprep.science.subgroups import age_band, by_group

NAME = 'group_agreement.tsv'
#: What is compared with raters, and what stands for all of them together.
MEASURED, ALL = 'measured', 'all raters'
#: Columns of the table.
COLUMNS: Mapping[str, str] = {
    'marker': 'Marker.',
    'rater': 'Who rated; "all raters": every rating of everybody, a visit as often as it was '
    'rated.',
    'against': 'What it is compared with: "measured", or another rater.',
    'n': 'Number of pairs.',
    'exact_pct': 'Pairs of equal values.',
    'kappa': "Cohen's kappa with quadratic weights (doi:10.1037/h0026256).",
    'icc': 'Intraclass correlation, absolute agreement of single values: ICC(2,1) of Shrout and '
    'Fleiss (doi:10.1037/0033-2909.86.2.420), ICC(A,1) of McGraw and Wong.',
    'icc_low': 'Lower bound of its 95 % interval.',
    'icc_high': 'Upper bound of its 95 % interval.',
    'bias': 'Mean of what it is compared with less the rating (Bland and Altman, '
    'doi:10.1016/S0140-6736(86)90837-8).',
    'bias_low': 'Lower bound of its 95 % interval.',
    'bias_high': 'Upper bound of its 95 % interval.',
    'loa_low': 'Lower limit of agreement.',
    'loa_high': 'Upper limit of agreement.',
    'reason': 'Why a statistic is missing.',
}
#: Where errors against ratings are compared between groups.
GROUPS = 'group_agreement_groups.tsv'
#: Columns of that table.
GROUP_COLUMNS: Mapping[str, str] = {
    'marker': 'Marker.',
    'by': 'What groups differ in: site, scanner, sex, age. Sexes and decades of fewer than ten '
    'participants are joined.',
    'group': 'The group.',
    'visits': 'Visits that were rated and measured.',
    'participants': 'Their participants.',
    'mean': 'Measured less rated (the consensus; without one, the mean of the raters): mean of '
    'the participants.',
    'mean_low': 'Lower bound of its 95 % interval.',
    'mean_high': 'Upper bound of its 95 % interval.',
    'sd': 'Standard deviation of the visits.',
    'mean_abs': 'Mean magnitude of the visits.',
    'p': 'Probability of means so different if groups were alike (permutation, uncorrected).',
    'reason': 'Why a statistic is missing.',
}
_UNITS = {'exact_pct': '%', 'kappa': '1', 'icc': '1', 'icc_low': '1', 'icc_high': '1'}
_NUMBERS = ('icc', 'icc_low', 'icc_high', 'bias', 'bias_low', 'bias_high', 'loa_low', 'loa_high')


def write_agreement(
    output_dir: Path, visits: Iterable[Visit], facts: Iterable[Mapping[str, Any]] = ()
) -> Path | None:
    """Write ``group_agreement.tsv``: a row for each marker, rater, and what it is compared with.

    Beside it, ``group_agreement_groups.tsv`` compares the errors between groups of visits.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives.
    visits : iterable of Visit
        Visits with results.
    facts : iterable of mapping, optional
        ``participant_id, site, scanner, age, sex`` of these visits; without them errors are not
        compared between groups.

    Returns
    -------
    Path or None
        The table; None if nothing was rated.
    """
    found = list(_found(Path(output_dir), visits))
    rows = agreement_rows(found)
    if not rows:
        return None
    known = {visit.label: row for visit, row in zip(visits, facts, strict=False)}
    if known:
        _write(Path(output_dir) / GROUPS, GROUP_COLUMNS, group_rows(found, known))
    return _write(Path(output_dir) / NAME, COLUMNS, rows)


def _write(path: Path, columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write a table and its sidecar."""
    write_tsv(path, [[*columns], *([row.get(c) for c in columns] for row in rows)], digits=4)
    described = {
        name: {'Description': text, **({'Units': _UNITS[name]} if name in _UNITS else {})}
        for name, text in columns.items()
    }
    atomic_write(path.with_suffix('.json'), json_text(described))
    return path


def group_rows(
    found: Iterable[tuple[str, Mapping[str, Mapping[str, int]], Mapping[str, float]]],
    facts: Mapping[str, Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Compare the errors against ratings between sites, scanners, sexes and decades of age.

    Parameters
    ----------
    found : iterable of (str, mapping, mapping)
        As for :func:`agreement_rows`.
    facts : mapping of str to mapping
        ``participant_id, site, scanner, age, sex`` by label of the visit.

    Returns
    -------
    list of dict
        Rows with the columns of :data:`GROUP_COLUMNS`.

    Examples
    --------
    >>> visits = [(f'{n}', {'cmb_n': {'AB': n, 'CD': n + 2}}, {'cmb_n': n}) for n in range(40)]
    >>> facts = {
    ...     f'{n}': {'participant_id': f'{n}', 'site': 'AB'[n % 2], 'scanner': 'X', 'age': 70.0,
    ...              'sex': 'F'}
    ...     for n in range(40)
    ... }
    >>> [(row['group'], row['visits'], row['mean']) for row in group_rows(visits, facts)]
    [('A', 20, -1.0), ('B', 20, -1.0)]
    """
    errors: dict[str, list[tuple[str, float]]] = {}
    for label, ratings, measured in found:
        for marker, by_rater in ratings.items():
            if marker in measured and label in facts:
                agreed = [v for rater, v in by_rater.items() if rater.lower() == CONSENSUS]
                rated = agreed or [*by_rater.values()]
                off = measured[marker] - sum(rated) / len(rated)
                errors.setdefault(marker, []).append((label, off))
    out = []
    for marker, pairs in errors.items():
        rows = [facts[label] for label, _ in pairs]
        people = np.array([row['participant_id'] for row in rows])
        ages = [np.nan if row['age'] is None else row['age'] for row in rows]
        groups = {
            'site': np.array([row['site'] for row in rows]),
            'scanner': np.array([row['scanner'] for row in rows]),
            'sex': join_small(np.array([sex_of(row['sex']) for row in rows]), people),
            'age': join_small(np.array([age_band(age) for age in ages]), people),
        }
        values = np.array([off for _, off in pairs])
        out += [{'marker': marker} | row for row in by_group(values, groups, people)]
    return out


def agreement_rows(
    found: Iterable[tuple[str, Mapping[str, Mapping[str, int]], Mapping[str, float]]],
) -> list[dict[str, Any]]:
    """Compare raters with what is measured, and with each other.

    Parameters
    ----------
    found : iterable of (str, mapping, mapping)
        Of each visit: label, ratings by marker and rater, measured values by marker.

    Returns
    -------
    list of dict
        Rows with the columns of :data:`COLUMNS`; what does not exist is None, with its reason.
        The rater 'consensus' is no rater of his own: it is compared with what is measured alone.

    Examples
    --------
    >>> visits = [(f'sub-{n}', {'fazekas_pv': {'AB': n}}, {'fazekas_pv': n}) for n in range(4)]
    >>> row = agreement_rows(visits)[0]
    >>> row['rater'], row['against'], row['n'], row['kappa'], row['bias']
    ('AB', 'measured', 4, 1.0, 0.0)
    """
    pairs: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for _, ratings, measured in found:
        for marker, by_rater in ratings.items():
            if marker in measured:
                for rater, value in by_rater.items():
                    pair = (value, measured[marker])
                    pairs.setdefault((marker, rater, MEASURED), []).append(pair)
                    if rater.lower() != CONSENSUS:
                        pairs.setdefault((marker, ALL, MEASURED), []).append(pair)
            humans = sorted(rater for rater in by_rater if rater.lower() != CONSENSUS)
            for one, other in combinations(humans, 2):
                pair = (by_rater[one], by_rater[other])
                pairs.setdefault((marker, one, other), []).append(pair)
    raters: dict[str, set[str]] = {}
    for marker, rater, against in pairs:
        if against == MEASURED and rater != ALL and rater.lower() != CONSENSUS:
            raters.setdefault(marker, set()).add(rater)
    order = {name: at for at, name in enumerate(MARKERS)}
    keys = sorted(
        (key for key in pairs if key[1] != ALL or len(raters.get(key[0], ())) > 1),
        key=lambda key: (order.get(key[0], len(order)), key[2] != MEASURED, key[1:]),
    )
    return [
        {'marker': marker, 'rater': rater, 'against': against}
        | _compare(pairs[marker, rater, against])
        for marker, rater, against in keys
    ]


def _compare(pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Compute the statistics of pairs of a rating and what it is compared with."""
    rated, other = np.array(pairs, float).T
    grades, numbers = ordinal(rated, other), continuous(rated, other)
    reasons = [r for r in (grades['reason'], numbers['reason']) if r]
    row = {'n': len(pairs)} | {name: grades.get(name) for name in ('exact_pct', 'kappa')}
    row |= {name: numbers.get(name) for name in _NUMBERS}
    return row | {'reason': '; '.join(dict.fromkeys(reasons))}


def _found(output_dir: Path, visits: Iterable[Visit]) -> Iterator[tuple[str, dict, dict]]:
    """Read what each visit left: its ratings, and what is given out of what was measured."""
    rooms = discover()
    room = next(room for room in rooms if 'svd_ratings' in room.makes)
    declared = Declared.of(rooms)
    for visit in visits:
        path = output_dir / derivative_path(
            'svd_ratings',
            room.makes['svd_ratings'],
            visit=visit,
            hub='',
            scans={},
            declared=declared,
        )
        try:
            table = read_tsv(path)
        except (OSError, InputError):
            continue
        ratings: dict[str, dict[str, int]] = {}
        for row in table.rows:
            marker = MARKERS.get(row.get('marker', ''))
            if marker is None or row.get('marker') in LISTS:
                continue
            try:
                value = marker.read(row.get('value', MISSING))
            except ValueError:
                continue
            ratings.setdefault(marker.name, {})[row.get('rater', MISSING)] = value
        if not ratings:
            continue
        measured = {}
        for row in read_long(output_dir, visit):
            # What only persons tell is no measurement.
            if row['measure'] in ratings and row.get('method') != 'rated':
                try:
                    measured[row['measure']] = float(row.get('value', MISSING))
                except ValueError:
                    continue
        yield visit.label, ratings, measured
