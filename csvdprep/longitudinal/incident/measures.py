"""Measures of what became of lesions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from csvdprep.interfaces.values import Value
from csvdprep.interfaces.visits import years_between
from csvdprep.longitudinal.incident import Kind
from csvdprep.longitudinal.incident.decide import too_few

#: Vanished lesions of a kind that does not fade from which, and share of what was there beyond
#: which, the lists are not believed.
LEAST_VANISHED, MOST_VANISHED = 2, 0.2
_NAMES = ('new_n', 'new_n_per_year', 'vanished_n', 'persisting_n', 'untold_n')


def none_of(kind: Kind, visits, registered: bool) -> dict[str, Value]:
    """Say of all measures of a kind why there are none."""
    if len(visits.listed) < 2:
        reason = too_few(kind, visits.listed)
    elif not registered:
        reason = 'the visits could not be registered to one another'
    else:
        reason = (
            f'fewer than two of the visits that were searched for {kind.words} '
            f'({", ".join(visits.listed)}) have their images and are registered to one another'
        )
    return {f'{kind.prefix}_{name}': Value(None, reason=reason) for name in _NAMES}


def kind_values(
    kind: Kind, visits, found: Mapping, years: Mapping[str, float | None], protocols: str
) -> dict[str, Value]:
    """Count what became of the lesions of a kind.

    Parameters
    ----------
    kind : Kind
        Kind of lesion.
    visits : Visits
        Which were compared.
    found : mapping
        Tracks and origins of the lists, by pair of visits (numbers).
    years : mapping of str to float or None
        Times of the visits.
    protocols : str
        In what the scans differ; empty if in nothing.

    Returns
    -------
    dict of str to Value
    """
    names, ends = visits.sessions, (0, len(visits.sessions) - 1)
    chosen = [ends]
    if kind.fades:
        chosen = [(k, k + 1) for k in range(ends[1])]
    count = Counter(track.change for pair in chosen for track in found[pair][0])
    reasons, qc = _doubts(kind, count, {o for pair in chosen for o in found[pair][1]}, protocols)
    left_out = [name for name in visits.listed if name not in names]
    if left_out:
        reasons.append(f'{", ".join(left_out)} could not be brought together with the others')
    untold = count['cannot be told']
    more = [f'of {untold} more it cannot be told: see the list'] if untold else []
    span = years_between(years, names[ends[0]], names[ends[1]])

    def value(number, extra=()) -> Value:
        return Value(number, reason='; '.join([*reasons, *extra]), qc=qc)

    per_year = Value(None, reason=f'the time between {names[0]} and {names[-1]} is unknown')
    if span is not None:
        per_year = value(count['new'] / span, more)
    out = {
        'new_n': value(count['new'], more),
        'new_n_per_year': per_year,
        'vanished_n': value(count['vanished'], more),
        'persisting_n': value(count['persisting']),
        'untold_n': value(untold),
    }
    return {f'{kind.prefix}_{name}': item for name, item in out.items()}


def _doubts(kind: Kind, count: Counter, origins: set, protocols: str) -> tuple[list[str], str]:
    """Say what speaks against the numbers, and how much."""
    reasons, qc = [], ''
    if protocols:
        reasons.append(f'the protocols differ, and with them what can be seen: {protocols}')
        qc = 'warn'
    if len(origins) > 1:
        reasons.append('some lists are of this application, others of masks that were given')
        qc = 'warn'
    gone, stayed = count['vanished'], count['persisting']
    if not kind.fades and gone >= LEAST_VANISHED and gone > MOST_VANISHED * (gone + stayed):
        reasons.append(
            f'{gone} of {gone + stayed} {kind.words} vanished, which these hardly ever do: look '
            'at the lists and at the registration'
        )
        qc = 'fail' if gone > stayed else 'warn'
    return reasons, qc
