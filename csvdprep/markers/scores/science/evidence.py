"""What detectors and persons say of each marker, put together."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from csvdprep.core.ratings import CONSENSUS, FAMILIES, MARKERS, Family
from csvdprep.markers.scores.science.findings import DISAGREE, Finding, hull, missing, pvs_grade
from csvdprep.science.lesion_review import Candidate, Review, counted, part_of, review

__all__ = ['Evidence', 'Machine', 'Rating', 'gather']

#: What one lesion of a family's list is called.
LESION = {'cmb_n': 'microbleed', 'lacune_n': 'lacune'}
#: Markers of which either tells the grade of perivascular spaces: the grade, and the count.
PVS = {
    'pvs_bg': ('pvs_bg_grade', 'pvs_bg_worst_n'),
    'pvs_cso': ('pvs_cso_grade', 'pvs_cso_worst_n'),
}
#: Markers that are what they are.
_PLAIN = (
    'fazekas_pv',
    'fazekas_deep',
    'wmh_multispot',
    'css',
    'ich_lobar_n',
    'ich_deep_n',
    'pvs_midbrain',
    'microinfarct_n',
)
_STEM = re.compile(r'brain ?stem|pons|medulla|midbrain')
_INFRATENTORIAL = re.compile(r'^\s*infratent')


@dataclass(frozen=True)
class Machine:
    """What detectors say.

    Attributes
    ----------
    values : mapping of str to int
        By marker, as far as a detector gave one.
    reasons : mapping of str to str
        By marker: why there is none, or what to mind about it.
    lists : mapping of str to sequence of Candidate
        Candidates by list.
    measures : mapping of str to tuple of str
        Measures behind a value, where these are not the one of its name.
    lesions : mapping of str to tuple of str
        Lesions behind a value, where they are not those of a list of candidates.
    """

    values: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, Sequence[Candidate]] = field(default_factory=dict)
    measures: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lesions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Rating:
    """What a person says: of a marker, or of a candidate of a list."""

    rater: str
    marker: str
    value: int | str
    candidate: str = ''


@dataclass(frozen=True)
class Evidence:
    """What is known of each marker.

    Attributes
    ----------
    findings : mapping of str to Finding
        By marker; grades of perivascular spaces as ``pvs_bg`` and ``pvs_cso``.
    reviews : mapping of str to Review
        Lists by the name of their family's total, where the machine's count is used.
    notes : tuple of str
        What could not be used.
    """

    findings: Mapping[str, Finding]
    reviews: Mapping[str, Review]
    notes: tuple[str, ...] = ()


def gather(machine: Machine, ratings: Iterable[Rating] = ()) -> Evidence:
    """Put together what detectors and persons say.

    Parameters
    ----------
    machine : Machine
        What detectors say.
    ratings : iterable of Rating
        What persons say: it goes before what the machine says.

    Returns
    -------
    Evidence
        Where persons disagree, and none of them is called 'consensus', a marker has the range of
        what they say. Who rates a count, and not its parts, leaves the parts to the machine only
        where it counts as many in all; who rates parts alone, leaves the others to the machine.

    Examples
    --------
    >>> found = gather(Machine({'fazekas_pv': 1}), [Rating('AB', 'fazekas_pv', 3)])
    >>> found.findings['fazekas_pv'].low, found.findings['fazekas_pv'].source
    (3, 'rater:AB')
    >>> found.findings['cmb_n'].source
    'missing'
    """
    given = list(ratings)
    rated: dict[str, dict[str, int]] = {}
    verdicts: dict[str, list[tuple[str, str, str]]] = {}
    for item in given:
        if item.candidate:
            verdicts.setdefault(item.marker, []).append(
                (item.rater, item.candidate, str(item.value))
            )
        else:
            rated.setdefault(item.rater, {})[item.marker] = int(item.value)
    findings = {name: _plain(name, machine, rated) for name in _PLAIN}
    findings |= {name: _pvs(name, machine, rated) for name in PVS}
    reviews: dict[str, Review] = {}
    notes: list[str] = []
    for family in FAMILIES:
        base, looked = _of_machine(family, machine, verdicts.get(family.list, []))
        notes += looked.notes
        here = _of_raters(family, base, rated)
        if not here and base[family.total].source != 'missing':
            reviews[family.total] = looked
        findings |= here or base
        if family.total == 'cmb_n':
            findings['cmb_brainstem_n'] = _stem(
                findings['cmb_infratentorial_n'], looked, rated, machine_counts=not here
            )
    return Evidence(findings, reviews, tuple(notes))


def _chosen(
    rated: Mapping[str, Mapping[str, int]], names: Iterable[str]
) -> dict[str, Mapping[str, int]]:
    """Return the raters who say something of some markers; consensus alone, where it does."""
    wanted = set(names)
    found = {rater: said for rater, said in sorted(rated.items()) if wanted & said.keys()}
    return {r: said for r, said in found.items() if r.lower() == CONSENSUS} or found


def _plain(name: str, machine: Machine, rated) -> Finding:
    if raters := _chosen(rated, [name]):
        return _said(name, (Finding.of(s[name], f'rater:{r}') for r, s in raters.items()))
    return _by_machine(name, machine, MARKERS[name].highest)


def _said(name: str, findings: Iterable[Finding]) -> Finding:
    """Bound a marker by what persons say; the reason names it."""
    found = hull(findings)
    if not found.known and found.reason.startswith(DISAGREE):
        return replace(found, reason=f'{MARKERS[name].title}: {found.reason}')
    return found


def _by_machine(name: str, machine: Machine, highest: float) -> Finding:
    reason = machine.reasons.get(name, '')
    if name not in machine.values:
        return missing(highest, reason or f'{MARKERS[name].title}: not measured and not rated')
    measures = machine.measures.get(name, (name,))
    lesions = machine.lesions.get(name, ())
    return Finding.of(machine.values[name], reason=reason, measures=measures, lesions=lesions)


def _pvs(name: str, machine: Machine, rated) -> Finding:
    grade, count = PVS[name]
    if raters := _chosen(rated, PVS[name]):
        return _said(
            grade,
            (
                Finding.of(s[grade] if grade in s else pvs_grade(s[count]), f'rater:{r}')
                for r, s in raters.items()
            ),
        )
    if grade not in machine.values and count in machine.values:
        found = _by_machine(count, machine, math.inf)
        return replace(found, low=pvs_grade(found.low), high=pvs_grade(found.high))
    return _by_machine(grade, machine, MARKERS[grade].highest)


def _of_machine(
    family: Family, machine: Machine, verdicts: Sequence[tuple[str, str, str]]
) -> tuple[dict[str, Finding], Review]:
    """Return the counts of a detector, after the review of its list."""
    names = (family.total, *family.parts)
    candidates = machine.lists.get(family.list)
    if family.total not in machine.values or candidates is None:
        notes = [
            f'{family.list}: there is no such list, of which {rater} would {verdict} {which}'
            for rater, which, verdict in verdicts
        ]
        found = {name: _by_machine(name, machine, math.inf) for name in names}
        return found, Review((), (), tuple(notes))
    looked = review(candidates, verdicts, family.list)
    indices = counted(looked.candidates, family)
    before = counted(candidates, family)
    source = ' + '.join(['machine', *(f'rater:{rater}' for rater in looked.raters)])
    found = {}
    for name in names:
        base = _by_machine(name, machine, math.inf)
        if base.source == 'missing':
            found[name] = base
            continue
        change = len(indices[name]) - len(before[name])
        lesions = tuple(f'{LESION[family.total]} {index}' for index in indices[name])
        value = max(0, base.low + change)
        found[name] = replace(base, low=value, high=value, source=source, lesions=lesions)
    return found, looked


def _of_raters(family: Family, base: Mapping[str, Finding], rated) -> dict[str, Finding]:
    """Return the counts of a family that persons gave; nothing if none did."""
    raters = _chosen(rated, (family.total, *family.parts))
    each = [
        _of_rater(
            family,
            {n: said[n] for n in (family.total, *family.parts) if n in said},
            f'rater:{rater}',
            base,
        )
        for rater, said in raters.items()
    ]
    if not each:
        return {}
    names = (family.total, *family.parts)
    return {name: _said(name, (found[name] for found in each)) for name in names}


def _of_rater(
    family: Family, said: Mapping[str, int], source: str, base: Mapping[str, Finding]
) -> dict[str, Finding]:
    """Complete what one person says of a family."""
    given = {name: Finding.of(value, source) for name, value in said.items()}
    parts = [name for name in family.parts if name not in said]
    told = sum(said[name] for name in family.parts if name in said)
    if family.total in said:
        rest = said[family.total] - told
        exact = len(parts) == 1 and family.whole
        for name in parts:
            if rest == 0 or exact:
                given[name] = Finding.of(rest, source)
            elif base[family.total].known and base[family.total].low == said[family.total]:
                given[name] = _within(base[name], rest)
            else:
                words = MARKERS[name].title
                given[name] = Finding(
                    0, rest, source, f'{words}: the rating tells only how many there are in all'
                )
        return given
    others = [base[name] for name in parts]
    left = _rest(family, base)
    found = [*given.values(), *others, left]
    given |= dict(zip(parts, others, strict=True))
    low, high = sum(f.low for f in found), sum(f.high for f in found)
    sources = dict.fromkeys(f.source for f in found if f.high or f.source != 'missing')
    reasons = dict.fromkeys(f.reason for f in (*others, left) if f.reason)
    given[family.total] = Finding(
        low,
        high,
        ' + '.join(sources),
        '; '.join(reasons),
        tuple(lesion for f in found for lesion in f.lesions),
        tuple(dict.fromkeys(name for f in found for name in f.measures)),
    )
    return given


def _rest(family: Family, base: Mapping[str, Finding]) -> Finding:
    """Return the lesions that are in none of the parts."""
    total, parts = base[family.total], [base[name] for name in family.parts]
    if family.whole:
        return Finding.of(0, source='')
    if total.known and all(item.known for item in parts):
        rest = max(0, total.low - sum(item.low for item in parts))
        return replace(total, low=rest, high=rest, lesions=())
    return missing(math.inf, f'{MARKERS[family.total].title} elsewhere: not measured')


def _within(found: Finding, most: int) -> Finding:
    return replace(found, low=min(found.low, most), high=min(found.high, most))


def _stem(infratentorial: Finding, looked: Review, rated, *, machine_counts: bool) -> Finding:
    """Tell how many of the infratentorial microbleeds are in the brainstem."""
    name = 'cmb_brainstem_n'
    if raters := _chosen(rated, [name]):
        return _said(name, (Finding.of(s[name], f'rater:{r}') for r, s in raters.items()))
    if infratentorial.high == 0:
        return replace(infratentorial, lesions=())
    rows = [
        row
        for row in looked.candidates
        if row.counts and part_of(row.region, FAMILIES[0]) == 'cmb_infratentorial_n'
    ]
    vague = any(_INFRATENTORIAL.match(row.region) and not _STEM.search(row.region) for row in rows)
    if machine_counts and infratentorial.known and len(rows) == infratentorial.low and not vague:
        here = [row.index for row in rows if _STEM.search(row.region.lower())]
        return replace(
            infratentorial,
            low=len(here),
            high=len(here),
            lesions=tuple(f'microbleed {index}' for index in here),
        )
    return replace(
        infratentorial,
        low=0,
        reason=infratentorial.reason or 'brainstem and cerebellum are not told apart',
    )
