"""Candidates of a list: which of them count, after a person looked at them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from csvdprep.core.ratings import CONSENSUS, Family, Verdict, read_verdict

__all__ = ['Candidate', 'Review', 'counted', 'find_candidate', 'part_of', 'review']

#: What lists call a lesion that does not count unless a person accepts it.
POSSIBLE = 'possible'
#: Farthest that a position given by a person may be from a candidate, mm.
NEAR_MM = 3.0


@dataclass(frozen=True)
class Candidate:
    """A row of a list.

    Attributes
    ----------
    index : int
        Its number.
    probability : float
        That it is a lesion.
    counts : bool
        Whether it counts.
    region : str
        Where it lies, as the list says.
    position : tuple of float
        Native x, y, z, mm; empty if the list does not tell.
    added : bool
        Whether a person added it to the list.
    kind : str
        What it is, where a person says that it is no lesion of the list.
    excluded : bool
        Whether the list says that it is no lesion, and cannot be one; a person may know better.
    """

    index: int
    probability: float
    counts: bool
    region: str = ''
    position: tuple[float, ...] = ()
    added: bool = False
    kind: str = ''
    excluded: bool = False


@dataclass(frozen=True)
class Review:
    """A list after its review.

    Attributes
    ----------
    candidates : tuple of Candidate
        Those accepted have probability 1 and count, those rejected 0 and do not. Those that the
        list excludes are left out, unless a person looked at them.
    raters : tuple of str
        Who said something that was used.
    notes : tuple of str
        What could not be used.
    by : mapping of int to tuple of str
        Who said what was used, by the number of the candidate.
    """

    candidates: tuple[Candidate, ...]
    raters: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    by: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


def review(
    candidates: Sequence[Candidate], said: Iterable[tuple[str, str, str]], name: str
) -> Review:
    """Apply what persons said of candidates.

    Parameters
    ----------
    candidates : sequence of Candidate
        The list.
    said : iterable of (str, str, str)
        Rater, candidate (its index, or its position 'x y z' in mm) and what
        :func:`csvdprep.core.ratings.read_verdict` reads: 'accept', 'vein', 'add lobar'.
    name : str
        Name of the list: messages have it, and it tells which words may be said.

    Returns
    -------
    Review
        Where raters disagree, the rater 'consensus' settles it; without, the candidate stays as
        the detector has it. A lesion that is added near a candidate is that candidate, accepted.

    Examples
    --------
    >>> row = Candidate(1, 0.4, counts=False)
    >>> found = review([row], [('AB', '1', 'accept')], 'cmb_lesions')
    >>> found.candidates[0].counts, found.raters
    (True, ('AB',))
    >>> review([row], [('AB', '1', 'accept'), ('CD', '1', 'reject')], 'cmb_lesions').notes
    ('cmb_lesions 1: raters disagree (AB accept, CD reject), and it is left as it was',)
    >>> review([row], [('AB', '7', 'accept')], 'cmb_lesions').notes
    ('cmb_lesions has no candidate 7, which AB would accept',)
    >>> found = review([row], [('AB', '10 -4 31', 'add lobar')], 'cmb_lesions')
    >>> found.candidates[1].index, found.candidates[1].region, found.candidates[1].added
    (2, 'lobar', True)
    """
    rows = list(candidates)
    verdicts: dict[int, dict[str, str]] = {}
    notes = []
    for rater, which, verdict in said:
        index = find_candidate(which, rows)
        if index is None and read_verdict(name, verdict).added:
            index = max((row.index for row in rows), default=0) + 1
            place = tuple(_numbers(which))
            rows.append(Candidate(index, 0.0, False, position=place, added=True))
        if index is None:
            notes.append(f'{name} has no candidate {which}, which {rater} would {verdict}')
        else:
            verdicts.setdefault(index, {})[rater] = verdict
    by_index = {item.index: item for item in rows}
    by: dict[int, tuple[str, ...]] = {}
    for index, by_rater in sorted(verdicts.items()):
        final = {r: v for r, v in by_rater.items() if r.lower() == CONSENSUS} or by_rater
        read = [read_verdict(name, verdict) for verdict in final.values()]
        told = ', '.join(f'{r} {v}' for r, v in sorted(final.items()))
        if len({verdict.counts for verdict in read}) > 1:
            notes.append(f'{name} {index}: raters disagree ({told}), and it is left as it was')
            continue
        by_index[index] = _settled(by_index[index], read)
        if len(_places(read)) > 1:
            notes.append(f'{name} {index}: raters disagree where it lies ({told})')
        by[index] = tuple(sorted(final))
    raters = dict.fromkeys(rater for names in by.values() for rater in names)
    left = (item for item in by_index.values() if not item.excluded or item.index in by)
    return Review(tuple(left), tuple(raters), tuple(notes), by)


def _places(read: Iterable[Verdict]) -> list[str]:
    return list(dict.fromkeys(verdict.place for verdict in read if verdict.place))


def _settled(item: Candidate, read: Sequence[Verdict]) -> Candidate:
    """Return a candidate as all who looked at it have it."""
    counts = read[0].counts
    places = _places(read)
    kinds = {verdict.kind for verdict in read if verdict.kind}
    return replace(
        item,
        counts=counts,
        probability=1.0 if counts else 0.0,
        region=places[0] if len(places) == 1 else item.region,
        kind=kinds.pop() if len(kinds) == 1 else '',
    )


def part_of(region: str, family: Family) -> str:
    """Tell which part of a count a lesion belongs to, by its region.

    Examples
    --------
    >>> from csvdprep.core.ratings import FAMILIES
    >>> part_of('lobar', FAMILIES[0]), part_of('pons', FAMILIES[0]), part_of('pons', FAMILIES[1])
    ('cmb_lobar_n', 'cmb_infratentorial_n', '')
    """
    return next(
        (name for name, words in family.parts.items() if re.search(words, region.lower())), ''
    )


def counted(candidates: Iterable[Candidate], family: Family) -> dict[str, list[int]]:
    """Return the indices of the lesions that count, for a family's total and each part.

    Examples
    --------
    >>> from csvdprep.core.ratings import FAMILIES
    >>> rows = [Candidate(1, 1.0, True, 'lobar'), Candidate(2, 0.3, False, 'deep')]
    >>> counted(rows, FAMILIES[0])['cmb_n'], counted(rows, FAMILIES[0])['cmb_deep_n']
    ([1], [])
    """
    found: dict[str, list[int]] = {name: [] for name in (family.total, *family.parts)}
    for item in candidates:
        if item.counts:
            found[family.total].append(item.index)
            if part := part_of(item.region, family):
                found[part].append(item.index)
    return found


def find_candidate(which: str, candidates: Iterable[Candidate]) -> int | None:
    """Find a candidate by its index, or by a position; None if there is none.

    Examples
    --------
    >>> rows = [Candidate(4, 0.5, False, position=(1.0, 2.0, 3.0))]
    >>> find_candidate('4', rows), find_candidate('1, 2, 5', rows), find_candidate('9 9 9', rows)
    (4, 4, None)
    """
    candidates, numbers = list(candidates), _numbers(which)
    if len(numbers) == 1:
        return next((c.index for c in candidates if c.index == numbers[0]), None)
    near = [
        (sum((a - b) ** 2 for a, b in zip(numbers, c.position, strict=True)) ** 0.5, c.index)
        for c in candidates
        if len(c.position) == len(numbers)
    ]
    away, index = min(near, default=(NEAR_MM + 1, None))
    return index if away <= NEAR_MM else None


def _numbers(which: str) -> list[float]:
    return [float(text) for text in re.split(r'[\s,;]+', which.strip()) if text]
