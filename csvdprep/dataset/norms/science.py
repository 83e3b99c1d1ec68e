"""Curves of location and scale over age, and where somebody lies between them.

A small member of the family of GAMLSS (Rigby & Stasinopoulos 2005,
doi:10.1111/j.1467-9876.2005.00510.x): a power of the measure is normal, its mean a curve of age
and a step of sex, the logarithm of its standard deviation a line of age (the LMS method of
Cole & Green 1992, doi:10.1002/sim.4780111005, with one power at all ages); a share of zeros apart.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy import stats

from csvdprep.core.errors import InputError, MeasureError
from csvdprep.science.covariate_design import Term
from csvdprep.science.small_groups import FEW

#: Powers that are tried; 0 is the logarithm.
POWERS = (1.0, 0.5, 1 / 3, 0.0, -0.5, -1.0)
#: Fewest controls of a curve over age, rather than a line.
CURVE = 100
#: Ages beyond those of the controls at which curves are still read, years.
MARGIN = 2.5


@dataclass(frozen=True)
class Norm:
    """Norm of one measure.

    Parameters
    ----------
    name : str
        Of the measure.
    n : int
        Controls.
    power : float
        Of the measure that is normal; 0 is the logarithm.
    zeros : float
        Share of controls with 0, which stand apart; 0 where none has.
    age : Term
        Age as it was in the controls.
    low, high : float
        Ages between which the norm is read, years: quantiles 2.5 and 97.5 % of the controls, and
        :data:`MARGIN` more.
    location : ndarray, shape (k,)
        Intercept, age (columns of ``age``), male sex.
    scale : ndarray, shape (2,)
        Logarithm of the standard deviation: intercept and age.
    cover_location : ndarray, shape (k, k)
        Covariance of ``location``.
    cover_scale : ndarray, shape (2, 2)
        Covariance of ``scale``.
    within_90 : float
        Share of the controls between the curves of 5 and 95 %: a check of the form.
    """

    name: str
    n: int
    power: float
    zeros: float
    age: Term
    low: float
    high: float
    location: np.ndarray
    scale: np.ndarray
    cover_location: np.ndarray
    cover_scale: np.ndarray
    within_90: float
    sexes: str = 'FM'

    def facts(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        out: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            out[item.name] = value.tolist() if isinstance(value, np.ndarray) else value
        return out | {'age': vars(self.age)}

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Norm:
        """Read what :meth:`facts` gave."""
        facts = dict(facts)
        for name in ('location', 'scale', 'cover_location', 'cover_scale'):
            facts[name] = np.array(facts[name], float)
        age = {k: tuple(v) if isinstance(v, list) else v for k, v in facts['age'].items()}
        return cls(**{**facts, 'age': Term(**age)})


def fit_norm(name: str, values: np.ndarray, ages: np.ndarray, male: np.ndarray) -> Norm:
    """Fit the norm of one measure to controls.

    Parameters
    ----------
    name : str
        Of the measure.
    values : ndarray, shape (n,)
        Its values; no NaN.
    ages : ndarray, shape (n,)
        Years.
    male : ndarray of bool, shape (n,)
        Sex.

    Returns
    -------
    Norm

    Raises
    ------
    MeasureError
        If values, or those that are not 0, do not vary, or fewer than ten controls are of either
        sex. A sex with fewer than ten is left out, and has no norm.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ages = rng.uniform(50, 80, 400)
    >>> volume = np.exp(0.05 * (ages - 65) + rng.normal(0, 0.5, 400))
    >>> norm = fit_norm('wmh', volume, ages, rng.random(400) < 0.5)
    >>> z = scores(norm, np.array([1.0, np.exp(0.5)]), np.array([65.0, 65]), np.zeros(2, bool))[0]
    >>> norm.power, z.round(1) + 0.0
    (0.0, array([0.1, 1.1]))
    """
    values, ages = np.asarray(values, float), np.asarray(ages, float)
    zeros, fitted = 0.0, (values > 0) if (values >= 0).all() else np.ones(len(values), bool)
    rare = [sex for sex in (False, True) if (fitted & (male == sex)).sum() < FEW]
    kept = ~np.isin(male, rare)
    values, ages, male = values[kept], ages[kept], male[kept]
    if not len(values):
        raise MeasureError(f'fewer than {FEW} controls of either sex')
    low, high = np.quantile(ages, (0.025, 0.975))
    if (values >= 0).all() and (values == 0).any():
        zeros = float((values == 0).mean())
        some = values > 0
        values, ages, male = values[some], ages[some], male[some]
    if len(values) < 10 or np.ptp(values) == 0 or np.ptp(ages) == 0:
        raise MeasureError('the values of the controls do not vary, or most are 0')
    curve = len(values) >= CURVE and len(np.unique(ages)) >= 10
    term = Term.of('age', ages, spline=curve)
    x = np.concatenate(
        [np.ones((len(ages), 1)), term.columns(ages), male[:, None].astype(float)], axis=1
    )
    if male.all() or not male.any():
        x[:, -1] = 0.0
    age = np.stack([np.ones(len(ages)), (ages - term.middle) / term.spread], axis=1)
    powers = POWERS if (values > 0).all() else POWERS[:1]
    found = [(*_location_scale(_powered(values, p), x, age), p) for p in powers]
    # The change of the measure has a Jacobian, by which powers are compared.
    logs = np.log(values).sum() if len(powers) > 1 else 0.0
    best = max(found, key=lambda f: f[4] + (f[5] - 1) * logs)
    location, scale, cover, cover_scale, _, power = best
    # A logarithm, or none, is preferred where another power is hardly better.
    for plain in (1.0, 0.0):
        one = next((f for f in found if f[5] == plain), None)
        if one is not None:
            gain = (best[4] + (best[5] - 1) * logs) - (one[4] + (plain - 1) * logs)
            if gain < 2:
                location, scale, cover, cover_scale, _, power = one
                break
    z = (_powered(values, power) - x @ location) / np.exp(age @ scale)
    return Norm(
        name=name,
        n=len(values) if not zeros else round(len(values) / (1 - zeros)),
        power=power,
        zeros=zeros,
        age=term,
        low=float(low - MARGIN),
        high=float(high + MARGIN),
        location=location,
        scale=scale,
        cover_location=cover,
        cover_scale=cover_scale,
        within_90=float((np.abs(z) < stats.norm.ppf(0.95)).mean()),
        sexes=''.join(sex for sex, at in (('F', False), ('M', True)) if at not in rare),
    )


def scores(
    norm: Norm, values: np.ndarray, ages: np.ndarray, male: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tell where values lie.

    Parameters
    ----------
    norm : Norm
        From :func:`fit_norm`.
    values : ndarray, shape (n,)
        NaN where there is none.
    ages : ndarray, shape (n,)
        Years; NaN where unknown.
    male : ndarray of bool, shape (n,)
        Sex.

    Returns
    -------
    z : ndarray, shape (n,)
        Normal deviate; NaN where there is no value, or the age is beyond that of the controls.
    percentile : ndarray, shape (n,)
        Percent of controls of the same age and sex with lower values; of a 0, half of those with
        0 (mid-rank).
    error : ndarray, shape (n,)
        Standard error of z that is due to the number of controls.
    """
    values, ages = np.asarray(values, float), np.asarray(ages, float)
    known = np.isfinite(values) & np.isfinite(ages) & (ages >= norm.low) & (ages <= norm.high)
    inside = np.where(known, ages, norm.age.middle)
    x = np.concatenate(
        [np.ones((len(ages), 1)), norm.age.columns(inside), male[:, None].astype(float)], axis=1
    )
    age = np.stack([np.ones(len(ages)), (inside - norm.age.middle) / norm.age.spread], axis=1)
    positive = known & ((values > 0) | (norm.power == 1))
    raised = _powered(np.where(positive, values, 1.0), norm.power)
    spread = np.exp(age @ norm.scale)
    z = (raised - x @ norm.location) / spread
    below = stats.norm.cdf(z)
    if norm.zeros:
        none = known & (values == 0)
        below = np.where(none, norm.zeros / 2, norm.zeros + (1 - norm.zeros) * below)
        z = np.where(norm.zeros > 0, stats.norm.ppf(np.clip(below, 1e-12, 1 - 1e-12)), z)
        positive |= none
    error = np.sqrt(
        np.einsum('ij,jk,ik->i', x, norm.cover_location, x) / spread**2
        + z**2 * np.einsum('ij,jk,ik->i', age, norm.cover_scale, age)
    )
    gone = ~positive | ~np.where(male, 'M' in norm.sexes, 'F' in norm.sexes)
    return tuple(np.where(gone, np.nan, v) for v in (z, 100 * below, error))


def curve(norm: Norm, percent: float, ages: np.ndarray, male: bool) -> np.ndarray:
    """Return the value below which a percentage of controls lies.

    Parameters
    ----------
    norm : Norm
        From :func:`fit_norm`.
    percent : float
        Between 0 and 100.
    ages : ndarray, shape (n,)
        Years.
    male : bool
        Sex.

    Returns
    -------
    ndarray, shape (n,)

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ages = rng.uniform(50, 80, 400)
    >>> norm = fit_norm('bpf', rng.normal(0.8, 0.02, 400), ages, rng.random(400) < 0.5)
    >>> curve(norm, 50, np.array([65.0]), True).round(2)
    array([0.8])
    """
    share = percent / 100
    if norm.zeros:
        if share <= norm.zeros:
            return np.zeros(len(ages))
        share = (share - norm.zeros) / (1 - norm.zeros)
    z = stats.norm.ppf(share)
    x = np.concatenate(
        [np.ones((len(ages), 1)), norm.age.columns(ages), np.full((len(ages), 1), float(male))], 1
    )
    age = np.stack([np.ones(len(ages)), (ages - norm.age.middle) / norm.age.spread], axis=1)
    raised = x @ norm.location + z * np.exp(age @ norm.scale)
    if norm.power == 0:
        return np.exp(raised)
    if norm.power == 1:
        return raised
    return np.maximum(1 + norm.power * raised, 1e-12) ** (1 / norm.power)


def read_norms(text: str) -> tuple[dict[str, Norm], dict[str, Any]]:
    """Read norms that were saved.

    Parameters
    ----------
    text : str
        JSON, as the group level leaves it.

    Returns
    -------
    norms : dict of str to Norm
    provenance : dict

    Raises
    ------
    InputError
        If it is no such thing.
    """
    try:
        facts = json.loads(text)
        if facts['norms'] != 1:
            raise ValueError('another format')
        return {f['name']: Norm.of(f) for f in facts['measures']}, dict(facts['provenance'])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            'These are no norms that can be read.',
            remedy='Take group_norms_model.json of a group level.',
        ) from error


def norms_text(norms: Mapping[str, Norm], provenance: Mapping[str, Any]) -> str:
    """Write norms as JSON."""
    facts = {
        'norms': 1,
        'provenance': dict(provenance),
        'measures': [norm.facts() for norm in norms.values()],
    }
    return json.dumps(facts, indent=1, allow_nan=False) + '\n'


def _powered(values: np.ndarray, power: float) -> np.ndarray:
    if power == 1:
        return values
    # Box & Cox 1964: all powers increase, and have one Jacobian.
    return np.log(values) if power == 0 else (values**power - 1) / power


def _location_scale(y, x, age):
    """Fit mean and logarithm of the spread by maximum likelihood (Fisher's scoring)."""
    used = np.ptp(x, axis=0) > 0
    used[0] = True
    x = x[:, used]
    gamma = np.zeros(2)
    weight = np.ones(len(y))
    beta = np.zeros(x.shape[1])
    for _ in range(100):
        cross = x.T * weight
        beta = np.linalg.lstsq(cross @ x, cross @ y, rcond=None)[0]
        squares = (y - x @ beta) ** 2
        if gamma[0] == 0 and gamma[1] == 0:
            gamma = np.array([0.5 * np.log(max(squares.mean(), 1e-300)), 0.0])
        step = np.linalg.solve(2 * age.T @ age, age.T @ (squares / np.exp(2 * age @ gamma) - 1))
        step = np.clip(step, -1, 1)
        gamma = gamma + step
        weight = np.exp(-2 * age @ gamma)
        if np.abs(step).max() < 1e-8:
            break
    # Of the spread that is left, the parameters of the mean took their share.
    gamma = gamma + np.array([0.5 * np.log(len(y) / max(1, len(y) - x.shape[1])), 0.0])
    spread = np.exp(age @ gamma)
    value = float(stats.norm.logpdf(y, x @ beta, spread).sum())
    location = np.zeros(len(used))
    location[used] = beta
    cover = np.zeros((len(used), len(used)))
    cover[np.ix_(used, used)] = np.linalg.pinv((x.T / spread**2) @ x)
    return location, gamma, cover, np.linalg.pinv(2 * age.T @ age), value
