"""What is brought together, keeping what, and whether that can be done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from csvdprep.bids.spellings import look_alike, sex_of
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Scan
from csvdprep.core.room import Decision, NoPlace
from csvdprep.dataset.harmonisation.science.suited import COUNTED, unsuited
from csvdprep.interfaces.group_tables import read_numbers
from csvdprep.science.covariate_design import check_separable, make_columns, make_terms, overlap

#: What ``group_covariates`` has that can be kept.
KNOWN = ('age', 'sex')
#: Participants of several visits from whom on a random intercept is fitted.
SEVERAL = 5
#: Sites named in a sentence before the rest is counted.
NAMED = 5


@dataclass(frozen=True)
class Chosen:
    """Which visits are harmonised, and what is known of them.

    Parameters
    ----------
    used : ndarray of bool, shape (n,)
        Visits that are harmonised.
    sites : ndarray of str, shape (n,)
        Site or scanner of each visit.
    people : ndarray of str, shape (n,)
        Participant of each.
    covariates : dict of str to (ndarray, shape (n,))
        What is kept; what is missing is NaN, or 'n/a'.
    left : tuple of str
        Sentences about visits and sites that are left out.
    """

    used: np.ndarray
    sites: np.ndarray
    people: np.ndarray
    covariates: dict[str, np.ndarray]
    left: tuple[str, ...] = ()

    def kept(self) -> dict[str, np.ndarray]:
        """Return the covariates of the visits that are harmonised."""
        return {name: values[self.used] for name, values in self.covariates.items()}


def resolve(scans: Mapping[str, Scan], options: Any) -> tuple[Any, tuple[Decision, ...]]:
    """Settle method, sites and covariates by what the tables hold.

    Parameters
    ----------
    scans : mapping of str to Scan
        Tables of the group.
    options : Options
        As asked.

    Returns
    -------
    options : Options
        With nothing left to ``auto``.
    decisions : tuple of Decision

    Raises
    ------
    NoPlace
        If there is nothing to bring together, or that cannot be told from the covariates.
    """
    if options.method == 'none':
        raise NoPlace('harmonisation.method is none')
    rows = scans['group_covariates'].content['rows']
    numbers = {name: {row[name] for row in rows} - {'n/a'} for name in ('site', 'scanner')}
    by, decisions = options.by, []
    if by == 'auto':
        by = 'site' if len(numbers['site']) > 1 else 'scanner'
        counts = [f'{len(n)} {kind}{"s" * (len(n) != 1)}' for kind, n in numbers.items()]
        why = f'known are {" and ".join(counts)}'
        decisions.append(Decision('across', f'{by}s', why))
    if len(numbers[by]) < 2:
        raise NoPlace(
            f'fewer than two {by}s are known: nothing is to be brought together (a column site in '
            'participants.tsv tells sites apart)'
        )
    names = listed(options.covariates)
    try:
        chosen = choose(
            rows, scans['group_measures'].path, by, names, options.least_n, options.overlap
        )
        sites = chosen.sites[chosen.used]
        if len(set(sites)) < 2:
            raise InputError(
                f'Fewer than two {by}s have {options.least_n} participants whose '
                f'{" and ".join(names) or by} are known. {" ".join(chosen.left)}'.strip()
                + ''.join(f' {said.reason}.' for said in _alike(chosen.sites)),
                remedy='Set harmonisation.least_n or harmonisation.overlap lower, or pool more '
                'participants.',
            )
        if options.reference and options.reference not in set(sites):
            raise InputError(
                f'The reference {options.reference} is none of the {by}s that can be harmonised: '
                f'{", ".join(sorted(set(sites)))}.'
            )
        curve = ('age',) if options.age_curve else ()
        terms = make_terms(chosen.kept(), curve)
        check_separable(make_columns(terms, chosen.kept(), len(sites)), sites, names)
        described = scans['group_dictionary'].content['measures']
        reasons = measures_of(
            scans['group_measures'].path, described, chosen, names, options.least_n
        )[2]
        if all(reasons.values()):
            told = sorted(set(reasons.values()))[:3]
            raise InputError(f'No measure can be harmonised: {"; ".join(told)}.')
    except InputError as error:
        raise NoPlace(str(error)) from error
    for said in chosen.left:
        decisions.append(Decision('left out', 'not harmonised', said.rstrip('.')))
    people, counts = np.unique(chosen.people[chosen.used], return_counts=True)
    decisions += _alike(sites)
    several, longitudinal = int((counts > 1).sum()), options.longitudinal
    if longitudinal == 'auto':
        longitudinal = 'yes' if several >= SEVERAL else 'no'
        why = f'{several} of {len(people)} participants have several visits'
        decisions.append(Decision('random intercept of participants', longitudinal, why))
    method = 'combat' if options.method == 'auto' else options.method
    chosen_options = replace(
        options,
        method=method,
        by=by,
        longitudinal=longitudinal,
        covariates=','.join(names) or 'none',
    )
    return chosen_options, tuple(decisions)


def _alike(sites: np.ndarray) -> list[Decision]:
    """Tell of sites whose names differ in case, blanks or signs only."""
    return [
        Decision('names', 'look before use', f'{" and ".join(same)} may be one site')
        for same in look_alike(set(sites) - {'n/a'})
    ]


def listed(text: str) -> tuple[str, ...]:
    """Read names that commas separate; 'none' is none.

    Examples
    --------
    >>> listed('age, sex'), listed('none')
    (('age', 'sex'), ())
    """
    names = tuple(dict.fromkeys(part.strip() for part in text.split(',') if part.strip()))
    return () if names == ('none',) else names


def choose(
    rows: Sequence[Mapping[str, Any]],
    measures: str,
    by: str,
    names: Sequence[str],
    least: int,
    least_overlap: float = 0.0,
) -> Chosen:
    """Find the visits that can be harmonised.

    Parameters
    ----------
    rows : sequence of mapping
        Covariates of each visit.
    measures : path-like
        ``group_measures.tsv``.
    by : {'site', 'scanner'}
        What is brought together.
    names : sequence of str
        Covariates: 'age', 'sex', or measures.
    least : int
        Fewest participants of a site.
    least_overlap : float, optional
        Least overlap of the ages at a site with those of the others.

    Returns
    -------
    Chosen

    Raises
    ------
    InputError
        If a covariate does not exist, or no visit has it.
    """
    sites = np.array([row[by] for row in rows])
    # Who was scanned at several sites under several labels is one person.
    people = np.array(
        [
            row['participant_id'] if row.get('person', 'n/a') == 'n/a' else row['person']
            for row in rows
        ]
    )
    columns = read_numbers(measures, [n for n in names if n not in KNOWN])[1]
    covariates, left = {}, []
    used = sites != 'n/a'
    if lost := int((~used).sum()):
        left.append(f'The {by} of {lost} visits is not known.')
    for name in names:
        if name == 'age':
            values = np.array([np.nan if r['age'] is None else r['age'] for r in rows], float)
        elif name == 'sex':
            values = np.array([sex_of(r['sex']) for r in rows])
        elif name in columns:
            values = columns[name]
        else:
            raise InputError(
                f'There is no covariate {name}.',
                field='harmonisation.covariates',
                remedy='Name age, sex, measures of group_measures.tsv, or none.',
            )
        given = values != 'n/a' if values.dtype.kind == 'U' else np.isfinite(values)
        if not given.any():
            raise InputError(
                f'No visit has {name}.',
                field='harmonisation.covariates',
                remedy=f'Add a column {name} to participants.tsv, or leave it out.'
                if name in KNOWN
                else 'Leave it out.',
            )
        if lost := int((used & ~given).sum()):
            left.append(f'{name} of {lost} visits is not known.')
        used &= given
        covariates[name] = values
    left += too_few(sites, people, used, least)
    left += _without_overlap(covariates, sites, used, least_overlap)
    return Chosen(used, sites, people, covariates, tuple(left))


def too_few(sites: np.ndarray, people: np.ndarray, used: np.ndarray, least: int) -> list[str]:
    """Take out sites of few participants.

    Parameters
    ----------
    sites, people : ndarray of str, shape (n,)
        Site and participant of each visit.
    used : ndarray of bool, shape (n,)
        Visits that take part; those of the sites are taken out in place.
    least : int
        Fewest participants of a site.

    Returns
    -------
    list of str
        Sentences that name the first five sites.

    Examples
    --------
    >>> used, sites = np.ones(4, bool), np.array(['A', 'A', 'A', 'B'])
    >>> too_few(sites, np.array(['1', '2', '3', '4']), used, 2), used
    (['B has 1 participant; 2 are needed.'], array([ True,  True,  True, False]))
    """
    counts = {s: len(set(people[used & (sites == s)])) for s in sorted(set(sites[used]))}
    few = {site: count for site, count in counts.items() if count < least}
    used &= ~np.isin(sites, list(few))
    left = [
        f'{site} has {count} participant{"s" if count != 1 else ""}; {least} are needed.'
        for site, count in list(few.items())[:NAMED]
    ]
    if (more := len(few) - NAMED) > 0:
        left.append(f'{more} more have fewer than {least}.')
    return left


def _without_overlap(covariates, sites, used, least: float) -> list[str]:
    """Take out sites whose participants are unlike all others; the most unlike first."""
    left = []
    while least > 0 and len(there := sorted(set(sites[used]))) > 1:
        found = [
            (overlap(values[used], sites[used] == site), site, name)
            for name, values in covariates.items()
            if name == 'age'
            for site in there
        ]
        worst = min(found, default=None)
        if worst is None or not worst[0] < least:
            break
        share, site, name = worst
        left.append(
            f'{name} at {site} overlaps with that of the other sites by {share:.2f}; {least:g} is '
            f'needed to tell what is due to {site} from what is due to {name} '
            '(harmonisation.overlap=0 takes it in all the same).'
        )
        used &= sites != site
    return left


def measures_of(
    measures: str,
    described: Mapping[str, Mapping[str, Any]],
    chosen: Chosen,
    names: Sequence[str],
    least: int,
) -> tuple[list[tuple[str, str]], dict[str, np.ndarray], dict[str, str]]:
    """Read the results, and say which are not to be harmonised.

    Parameters
    ----------
    measures : path-like
        ``group_measures.tsv``.
    described : mapping
        What each measure is, by name.
    chosen : Chosen
        Visits that are harmonised.
    names : sequence of str
        Covariates.
    least : int
        Fewest participants of a site with a value.

    Returns
    -------
    who : list of (str, str)
        Participant and session of each row.
    numbers : dict of str to (ndarray, shape (n,))
        Values of all visits.
    reasons : dict of str to str
        Why a measure is not harmonised; empty where it is.
    """
    results = [name for name, facts in described.items() if facts['result']]
    who, numbers = read_numbers(measures, results)
    sites, people = chosen.sites[chosen.used], chosen.people[chosen.used]
    reasons = {}
    for name, values in numbers.items():
        some = values[chosen.used]
        if name in names:
            why = 'a covariate'
        elif name.startswith('qc_'):
            why = 'judges the quality of one scan'
        elif described[name]['levels']:
            why = f'a grade: {COUNTED} none'
        else:
            why = unsuited(some, described[name]['units'])
        found = np.isfinite(some)
        enough = [s for s in set(sites) if len(set(people[found & (sites == s)])) >= least]
        if not why and len(enough) < 2:
            why = f'fewer than two sites have values of {least} participants'
        reasons[name] = why
    return who, numbers, reasons
