"""How probable each total is: by the probability of each candidate, and by what is missed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from csvdprep.core.ratings import FAMILIES, Family
from csvdprep.markers.scores.science.findings import Finding
from csvdprep.markers.scores.science.rules import Score
from csvdprep.science.lesion_review import Review, counted, part_of

__all__ = ['ALL', 'Chance', 'chances']

#: Where candidates of all lists are drawn.
ALL = 'all'
#: What the candidates of a family are.
VARIED = {'cmb_n': 'microbleeds', 'lacune_n': 'lacunes'}
#: Lesions that are not listed: weight of the prior, in lesions, of Jeffreys' prior of a Poisson
#: rate.
PRIOR = 0.5
#: Which lesions may be of the brainstem.
LOW = 'cmb_infratentorial_n'


@dataclass(frozen=True)
class Chance:
    """Probability of one total.

    Attributes
    ----------
    score : str
        Its measure.
    bound : str
        'total', or, where the score is a range, 'min' and 'max'.
    varied : str
        Which lesions were drawn: 'all', 'microbleeds' or 'lacunes'.
    total : int
        The total.
    probability : float
        Share of the draws that have it.
    """

    score: str
    bound: str
    varied: str
    total: int
    probability: float


def chances(
    findings: Mapping[str, Finding],
    reviews: Mapping[str, Review],
    rules: Mapping[str, Callable[[Mapping[str, Finding]], Score]],
    *,
    listed: Mapping[str, float] | None = None,
    draws: int = 4000,
    seed: int = 42,
) -> list[Chance]:
    """Draw which candidates are lesions, and which lesions are not listed; score each draw.

    Each candidate is a lesion with its own probability, independent of the others, whether it
    counts or is only possible; those that a person accepted or rejected are certain. Of lesions,
    a detector lists a share ``s``: if ``r`` listed ones are real, the number that it missed is
    negative binomial with size ``r + 1/2`` and probability ``s``, which is what follows from
    lesions at a rate of which nothing is known [1]_. The half is shared by the parts (lobar,
    deep, ...). Markers without a list of candidates stay as they are.

    Parameters
    ----------
    findings : mapping of str to Finding
        As scored.
    reviews : mapping of str to Review
        Lists by the name of the count that they give.
    rules : mapping of str to callable
        Scores by name.
    listed : mapping of str to float, optional
        Share of lesions that a list has, by the name of the count; 1 where it is not told.
    draws : int
        Number of draws.
    seed : int
        Of the random numbers.

    Returns
    -------
    list of Chance
        For each score all totals that were drawn, the lesser first: with all lists varied, and,
        where there are several, with each alone.

    References
    ----------
    .. [1] Jeffreys H. (1946) An invariant form for the prior probability in estimation problems.
       doi:10.1098/rspa.1946.0056

    Examples
    --------
    >>> from csvdprep.science.lesion_review import Candidate
    >>> from csvdprep.markers.scores.science.rules import amin_simple
    >>> rows = Review((Candidate(1, 0.5, True),))
    >>> known = {'cmb_n': Finding.of(1), 'lacune_n': Finding.of(0), 'fazekas_pv': Finding.of(0),
    ...          'fazekas_deep': Finding.of(0)}
    >>> found = chances(known, {'cmb_n': rows}, {'svd_amin_simple': amin_simple})
    >>> [(item.total, abs(item.probability - 0.5) < 0.03) for item in found]
    [(0, True), (1, True)]
    >>> found = chances(known | {'cmb_n': Finding.of(0)}, {'cmb_n': Review(())},
    ...                 {'svd_amin_simple': amin_simple}, listed={'cmb_n': 0.8})
    >>> bool(abs(found[1].probability - (1 - 0.8**0.5)) < 0.02)
    True
    """
    shares_listed = dict(listed or {})
    families = [family for family in FAMILIES if family.total in reviews]
    drawn = {
        family.total: _draw(
            family,
            reviews[family.total],
            draws,
            np.random.default_rng([seed, at]),
            shares_listed.get(family.total, 1.0),
        )
        for at, family in enumerate(FAMILIES)
        if family in families
    }
    open_ones = [
        f.total
        for f in families
        if _varies(reviews[f.total]) or shares_listed.get(f.total, 1.0) < 1
    ]
    sets = {ALL: open_ones}
    if len(open_ones) > 1:
        sets |= {VARIED[name]: [name] for name in open_ones}
    found = []
    for varied, names in sets.items():
        patterns, shares = _patterns([drawn[name] for name in names], draws)
        totals: dict[tuple[str, str], dict[int, float]] = {}
        for pattern, share in zip(patterns, shares, strict=True):
            trial = dict(findings)
            for name, counts in zip(names, pattern, strict=True):
                trial |= _put(findings, reviews[name], name, counts)
            for score, rule in rules.items():
                result = rule(trial)
                whole = rule(findings).known
                ends = {'total': result.low} if whole else {'min': result.low, 'max': result.high}
                for bound, total in ends.items():
                    table = totals.setdefault((score, bound), {})
                    table[total] = table.get(total, 0.0) + float(share)
        found += [
            Chance(score, bound, varied, int(total), share)
            for (score, bound), table in totals.items()
            for total, share in sorted(table.items())
        ]
    return found


def _varies(reviewed: Review) -> bool:
    return any(0 < row.probability < 1 for row in reviewed.candidates)


def _draw(
    family: Family, reviewed: Review, draws: int, rng: np.random.Generator, listed: float
) -> np.ndarray:
    """Count the lesions of each draw: in all, in each part, in the brainstem."""
    rows = sorted(reviewed.candidates, key=lambda row: row.index)
    real = rng.random((draws, len(rows))) < [row.probability for row in rows]
    member = np.array(
        [
            [
                True,
                *(part_of(row.region, family) == name for name in family.parts),
                bool(re.search(r'brain ?stem|pons|medulla|midbrain', row.region.lower())),
            ]
            for row in rows
        ]
    ).reshape(len(rows), len(family.parts) + 2)
    counts = real.astype(int) @ member.astype(int)
    return counts + _missed(counts, family, listed, rng) if listed < 1 else counts


def _missed(
    counts: np.ndarray, family: Family, listed: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw the lesions that are not listed, from those that are; columns as of ``counts``."""
    parts = counts[:, 1:-1]
    more = np.zeros_like(counts)
    more[:, 1:-1] = rng.negative_binomial(parts + PRIOR / parts.shape[1], listed)
    # Lesions in no part: more of them only where there are some.
    others = counts[:, 0] - parts.sum(axis=1)
    others = np.where(others > 0, rng.negative_binomial(np.maximum(others, 1), listed), 0)
    more[:, 0] = more[:, 1:-1].sum(axis=1) + others
    if LOW in family.parts:
        low = 1 + list(family.parts).index(LOW)
        share = np.clip((counts[:, -1] + PRIOR) / (counts[:, low] + 2 * PRIOR), 0, 1)
        more[:, -1] = rng.binomial(more[:, low], share)
    return more


def _patterns(drawn: Sequence[np.ndarray], draws: int):
    """Return the different results of draws, split by family, with their shares."""
    if not drawn:
        return [()], [1.0]
    widths = np.cumsum([item.shape[1] for item in drawn])[:-1]
    rows, counts = np.unique(np.hstack(drawn), axis=0, return_counts=True)
    return [tuple(np.split(row, widths)) for row in rows], counts / draws


def _put(
    findings: Mapping[str, Finding], reviewed: Review, total: str, counts: np.ndarray
) -> dict[str, Finding]:
    """Replace the counts of a family by those of a draw."""
    family = next(item for item in FAMILIES if item.total == total)
    listed = counted(reviewed.candidates, family)
    known = {}
    for name, count in zip(listed, counts, strict=False):
        found = findings.get(name)
        if found is not None and found.source != 'missing':
            # What counts, and is not on the list, or in no region of it, is always there.
            value = max(0, found.low + int(count) - len(listed[name]))
            known[name] = replace(found, low=value, high=value)
    stem = findings.get('cmb_brainstem_n')
    if total == 'cmb_n' and stem is not None and stem.known and not math.isinf(stem.high):
        known['cmb_brainstem_n'] = replace(stem, low=int(counts[-1]), high=int(counts[-1]))
    return known
