"""Differences of measures between visits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import hypot

_ORDER = ('ok', 'warn', 'fail', 'na')
#: Difference of the intracranial volume between visits of an adult that is an error, %.
ICV_APART_PCT = 2.0


@dataclass(frozen=True)
class VisitRows:
    """What was measured at a visit.

    Attributes
    ----------
    session : str
        Its label.
    years : float or None
        Since the first visit.
    rows : mapping of str to mapping
        By measure: ``value``, ``low``, ``high``, ``units``, ``qc``, ``method``, ``reason``; texts
        of the table.
    """

    session: str
    years: float | None
    rows: Mapping[str, Mapping[str, str]]


def pairs(visits: Sequence[VisitRows]) -> Iterator[tuple[VisitRows, VisitRows]]:
    """Yield consecutive visits, then the first and the last where there are more than two.

    Examples
    --------
    >>> a, b, c = (VisitRows(name, None, {}) for name in 'abc')
    >>> [(x.session, y.session) for x, y in pairs([a, b, c])]
    [('a', 'b'), ('b', 'c'), ('a', 'c')]
    """
    yield from pairwise(visits)
    if len(visits) > 2:
        yield visits[0], visits[-1]


def icv_change_pct(earlier: VisitRows, later: VisitRows) -> float | None:
    """Return by how much the intracranial volume seems to have grown.

    Parameters
    ----------
    earlier, later : VisitRows
        The visits.

    Returns
    -------
    float or None
        % of the mean of both; None without two values. In adults it does not change, so that this
        is an error of the masks, or of the scanner's scale.

    Examples
    --------
    >>> one, two = (VisitRows('', None, {'icv_ml': {'value': ml}}) for ml in ('980', '1020'))
    >>> icv_change_pct(one, two)
    4.0
    """
    two = [_number(visit.rows.get('icv_ml', {}).get('value', '')) for visit in (earlier, later)]
    if None in two or min(two) <= 0:
        return None
    return 200 * (two[1] - two[0]) / (two[0] + two[1])


def _stands_on_icv(name: str) -> bool:
    return name in ('icv_ml', 'csf_ml', 'bpf') or name.endswith('_pct_icv')


def differences(earlier: VisitRows, later: VisitRows) -> list[dict]:
    """Compare all measures of two visits.

    Parameters
    ----------
    earlier, later : VisitRows
        The visits.

    Returns
    -------
    list of dict
        A row for each measure that is a number at one of the visits at least; what judges the
        quality of a visit (``qc_...``) has none. Bounds of the difference come from the intervals
        of the two values, taken for independent.

    Examples
    --------
    >>> row = {'units': 'mL', 'qc': 'ok', 'method': 'm', 'reason': 'n/a'}
    >>> one = VisitRows('1', 0.0, {'lv_ml': {**row, 'value': '20'}})
    >>> two = VisitRows('2', 2.0, {'lv_ml': {**row, 'value': '23'}})
    >>> found, = differences(one, two)
    >>> found['difference'], found['per_year'], found['qc']
    (3.0, 1.5, 'ok')
    """
    years = None
    if earlier.years is not None and later.years is not None:
        years = later.years - earlier.years
    grown = icv_change_pct(earlier, later) or 0.0
    rows = []
    for name in dict.fromkeys((*earlier.rows, *later.rows)):
        two = [visit.rows.get(name, {}) for visit in (earlier, later)]
        values = [_number(row.get('value', '')) for row in two]
        if values == [None, None] or name.startswith('qc_'):
            continue
        difference, qc, reason = _compared(two, values, earlier, later)
        low, high = _bounds(two, values)
        if low is not None and low <= 0 <= high:
            qc = max(qc, 'warn', key=_ORDER.index)
            reason = '; '.join(
                filter(None, ('the difference is within the intervals of the two values', reason))
            )
        if difference is not None and abs(grown) > ICV_APART_PCT and _stands_on_icv(name):
            qc = max(qc, 'warn', key=_ORDER.index)
            said = f'the intracranial volumes differ by {abs(grown):.1f} %, which is an error'
            reason = '; '.join(filter(None, (said, reason)))
        known = difference is not None and years is not None and years > 0
        rows.append(
            {
                'from_session': earlier.session,
                'to_session': later.session,
                'years': years,
                'measure': name,
                'units': next((row['units'] for row in two if row.get('units')), None),
                'from_value': values[0],
                'to_value': values[1],
                'difference': difference,
                'low': low,
                'high': high,
                'per_year': difference / years if known else None,
                'qc': qc,
                'reason': reason or None,
            }
        )
    return rows


def _compared(two, values, earlier, later) -> tuple[float | None, str, str]:
    """Subtract, and say what to mind."""
    if None in values:
        lacking = (earlier, later)[values.index(None)]
        why = two[values.index(None)].get('reason', 'n/a')
        said = '' if why in ('', 'n/a') else f': {why}'
        return None, 'na', f'there is no value at {lacking.session}{said}'
    units = [row.get('units', '') for row in two]
    if units[0] != units[1]:
        return None, 'na', f'the units differ: {units[0]}, {units[1]}'
    qc = max((row.get('qc', 'ok') for row in two), key=_ORDER.index)
    reasons = [
        f'{visit.session}: {row["reason"]}'
        for visit, row in zip((earlier, later), two, strict=True)
        if row.get('qc') in ('warn', 'fail') and row.get('reason', 'n/a') not in ('', 'n/a')
    ]
    methods = [row.get('method', '') for row in two]
    if methods[0] != methods[1]:
        qc = max(qc, 'warn', key=_ORDER.index)
        reasons.insert(0, f'the methods differ: {methods[0]}, {methods[1]}')
    return values[1] - values[0], qc, '; '.join(reasons)


def _bounds(two, values) -> tuple[float | None, float | None]:
    """Combine the intervals of both values."""
    ends = [[_number(row.get(side, '')) for side in ('low', 'high')] for row in two]
    if None in values or None in ends[0] or None in ends[1]:
        return None, None
    before, after = values
    down = hypot(after - ends[1][0], ends[0][1] - before)
    up = hypot(ends[1][1] - after, before - ends[0][0])
    return after - before - down, after - before + up


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if abs(value) < float('inf') else None
