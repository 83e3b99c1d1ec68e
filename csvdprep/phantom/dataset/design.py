"""Who takes part: participants drawn with a known association of disease and covariates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from csvdprep.phantom.dataset.sites import Site
from csvdprep.phantom.disease.person import Disease, Person, State

#: Effects on the natural logarithm of the first visit's WMH volume in mL, and its spread.
LOG_WMH = {'mean': np.log(7.0), 'per_decade': 0.55, 'hypertension': 0.45, 'sd': 0.7}
#: Effects on atrophy (log odds of fluid in the cortex) and on the ventricles' walls, mm.
ATROPHY = {'mean': 0.6, 'per_decade': 0.15, 'sd': 0.12}
VENTRICLES_MM = {'mean': 2.5, 'per_decade': 0.8, 'sd': 0.8}
#: Effects on the logarithm of the expected number of lesions.
LOG_COUNTS = {'lacunes': np.log(0.9), 'microbleeds': np.log(1.5), 'per_sd_of_wmh': 0.5}
#: Change over a year: relative growth and regression of WMH, mm of the walls, log odds.
YEARLY = {'growth': 0.14, 'shrink': 0.04, 'ventricles_mm': 0.12, 'atrophy': 0.02}
#: Expected number of new lesions in a year.
INCIDENT = {'lacunes': 0.08, 'microbleeds': 0.15}
#: Blood flow falls and leakage rises with age, relative, and diffusivity with WMH.
FACTORS = {'cbf_per_decade': -0.06, 'ps_per_decade': 0.08, 'md_per_log_wmh': 0.02}


def draw_persons(
    participants: int,
    *,
    visits: int = 1,
    seed: int = 42,
    sites: Sequence[Site] = (),
    travelling: int = 0,
    years: float = 2.0,
    prefix: str = '',
) -> list[Person]:
    """Draw participants with covariates, disease and its course.

    Age, sex, hypertension and education are drawn independently; the volume of hyperintensities
    follows :data:`LOG_WMH`, and atrophy, counts, blood flow and leakage follow the other tables
    of this module: these are the true associations.

    Parameters
    ----------
    participants : int
        How many.
    visits : int
        Visits of each.
    seed : int
        Decides everything.
    sites : sequence of Site
        Where they are scanned, in turn.
    travelling : int
        How many of them visit every site instead, within days.
    years : float
        Time between visits.
    prefix : str
        Start of their labels.

    Returns
    -------
    list of Person

    Examples
    --------
    >>> persons = draw_persons(3, visits=2, seed=1)
    >>> [len(person.states) for person in persons]
    [2, 2, 2]
    >>> persons[0] == draw_persons(1, visits=2, seed=1)[0]
    True
    """
    return [
        _draw(number, visits, seed, sites, number < travelling, years, prefix)
        for number in range(participants)
    ]


def _draw(number, visits, seed, sites, travels, years, prefix) -> Person:
    rng = np.random.default_rng([seed, number, 7])
    age = float(np.round(np.clip(rng.normal(70, 8), 45, 90), 1))
    hypertension = int(rng.random() < 0.55)
    decades = (age - 70) / 10
    spread = rng.standard_normal(3)
    log_wmh = (
        LOG_WMH['mean']
        + LOG_WMH['per_decade'] * decades
        + LOG_WMH['hypertension'] * (hypertension - 0.55)
        + LOG_WMH['sd'] * spread[0]
    )
    wmh = float(np.clip(np.exp(log_wmh), 0.1, 110))
    disease = _disease(wmh, (log_wmh - LOG_WMH['mean']) / LOG_WMH['sd'], rng)
    first = State(
        ventricles_mm=_linear(VENTRICLES_MM, decades, spread[1], 0, 6),
        atrophy=_linear(ATROPHY, decades, spread[2], 0.2, 1.4),
        disease=disease,
        factors=_factors(decades, log_wmh),
    )
    own = sites[number % len(sites)].name if sites else ''
    if travels and sites:
        states = [_at(first, site.name) for site in sites]
    else:
        states = [_at(first, own)]
        for visit in range(1, visits):
            states.append(_later(first, states[-1].disease, visit * years, years, own, rng))
    covariates = {
        'age': age,
        'sex': 'F' if rng.random() < 0.5 else 'M',
        'hypertension': hypertension,
        'education': int(np.clip(rng.normal(12, 3), 6, 20)),
    }
    if sites:
        covariates['site'] = states[0].site
    scale = (0.90 if covariates['sex'] == 'F' else 0.935) + 0.012 * rng.standard_normal(3)
    return Person(
        label=f'{prefix}{number + 1:02d}',
        seed=int(rng.integers(2**31)),
        covariates=covariates,
        size=tuple(float(s) for s in scale),
        states=tuple(states),
    )


def _disease(wmh_ml: float, load: float, rng) -> Disease:
    """Draw numbers of lesions that rise with the load of hyperintensities."""
    more = np.exp(LOG_COUNTS['per_sd_of_wmh'] * np.clip(load, -2, 2))
    bleeds = rng.poisson(np.exp(LOG_COUNTS['microbleeds']) * more)
    parts = rng.multinomial(min(int(bleeds), 30), [0.5, 0.35, 0.15])
    return Disease(
        wmh_ml=wmh_ml,
        lacunes=int(min(rng.poisson(np.exp(LOG_COUNTS['lacunes']) * more), 8)),
        microbleeds=tuple(int(n) for n in parts),
        calcifications=int(rng.integers(0, 3)),
        pvs=(int(rng.poisson(14 * np.sqrt(more))) + 2, int(rng.poisson(22)) + 4),
        recent_infarcts=int(rng.random() < 0.12),
        old_infarct=bool(rng.random() < 0.05),
    )


def _linear(effects, decades, deviation, low, high) -> float:
    value = effects['mean'] + effects['per_decade'] * decades + effects['sd'] * deviation
    return float(np.clip(value, low, high))


def _factors(decades: float, log_wmh: float) -> dict[str, float]:
    return {
        'cbf': float(np.exp(FACTORS['cbf_per_decade'] * decades)),
        'ps': float(np.exp(FACTORS['ps_per_decade'] * decades)),
        'md': float(1 + FACTORS['md_per_log_wmh'] * (log_wmh - LOG_WMH['mean'])),
    }


def _at(state: State, site: str) -> State:
    return replace(state, site=site)


def _later(first: State, before: Disease, years: float, step: float, site: str, rng) -> State:
    """Return a person's state some years after the first visit, ``step`` after the last."""
    disease = first.disease
    gained = disease.wmh_ml * ((1 + YEARLY['growth']) ** years - 1)
    lost = disease.wmh_ml * min(YEARLY['shrink'] * years, 0.2)
    more = rng.poisson([INCIDENT['lacunes'] * step, INCIDENT['microbleeds'] * step])
    bleeds = before.new_microbleeds
    disease = replace(
        disease,
        wmh_growth_ml=gained,
        wmh_shrink_ml=lost,
        recent_infarcts=0,
        new_lacunes=before.new_lacunes + int(more[0]),
        new_microbleeds=(bleeds[0] + int(more[1]), *bleeds[1:]),
    )
    return replace(
        first,
        years=years,
        site=site,
        disease=disease,
        ventricles_mm=first.ventricles_mm + YEARLY['ventricles_mm'] * years,
        atrophy=first.atrophy + YEARLY['atrophy'] * years,
    )


def design_notes(years: float) -> dict[str, Any]:
    """Return the associations that are true of drawn participants, for ``design.json``."""
    return {
        'LogWMH': {k: float(v) for k, v in LOG_WMH.items()},
        'Atrophy': ATROPHY,
        'VentriclesMm': VENTRICLES_MM,
        'LogCounts': {k: float(v) for k, v in LOG_COUNTS.items()},
        'Yearly': YEARLY,
        'IncidentPerYear': INCIDENT,
        'Factors': FACTORS,
        'YearsBetweenVisits': years,
    }


def with_disease(persons: Sequence[Person], asked: Mapping[str, Any]) -> list[Person]:
    """Give persons the disease that is asked for instead of what was drawn.

    Parameters
    ----------
    persons : sequence of Person
        As drawn.
    asked : mapping
        Attributes of :class:`csvdprep.phantom.disease.person.Disease`. A volume of
        hyperintensities is that of the first visit; growth and regression stay the same share
        of it. New lesions are those of each later visit: lacunes and microbleeds add up, recent
        infarcts fade.

    Returns
    -------
    list of Person

    Examples
    --------
    >>> person = with_disease(draw_persons(1, visits=2), {'wmh_ml': 5.0, 'lacunes': 0})[0]
    >>> [state.disease.wmh_ml for state in person.states]
    [5.0, 5.0]
    >>> person = with_disease(draw_persons(1, visits=3), {'new_microbleeds': (2, 1, 0)})[0]
    >>> [state.disease.new_microbleeds for state in person.states]
    [(0, 0, 0), (2, 1, 0), (4, 2, 0)]
    """
    return [
        replace(
            person,
            states=tuple(
                replace(state, disease=_asked(state.disease, asked, _later_visits(person, at)))
                for at, state in enumerate(person.states)
            ),
        )
        for person in persons
    ]


def _later_visits(person: Person, at: int) -> int:
    """Count the visits up to one that are later than the first, not on the same days."""
    return sum(state.years > 0 for state in person.states[: at + 1])


def _asked(disease: Disease, asked: Mapping[str, Any], later: int) -> Disease:
    more = dict(asked)
    if 'new_infarcts' in asked:
        more['past_infarcts'] = asked['new_infarcts'] * max(0, later - 1)
        more['new_infarcts'] = asked['new_infarcts'] if later else 0
    if 'new_lacunes' in asked:
        more['new_lacunes'] = asked['new_lacunes'] * later
    if 'new_microbleeds' in asked:
        more['new_microbleeds'] = tuple(n * later for n in asked['new_microbleeds'])
    if 'wmh_ml' in asked:
        scale = asked['wmh_ml'] / disease.wmh_ml
        more |= {
            name: getattr(disease, name) * scale for name in ('wmh_growth_ml', 'wmh_shrink_ml')
        }
    if 'fazekas' in asked:
        more |= {'wmh_growth_ml': 0.0, 'wmh_shrink_ml': 0.0}
    return replace(disease, **more)
