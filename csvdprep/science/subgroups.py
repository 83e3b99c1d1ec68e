"""Whether errors differ between sites, scanners, sexes and ages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from scipy import stats

#: Fewest visits of a group of whose mean anything is said.
FEWEST = 3
_DRAWS = 2000


def age_band(age: float) -> str:
    """Return the decade of an age.

    Examples
    --------
    >>> age_band(71.2), age_band(float('nan'))
    ('70 to 79', 'n/a')
    """
    if not np.isfinite(age):
        return 'n/a'
    return f'{10 * int(age // 10)} to {10 * int(age // 10) + 9}'


def by_group(
    values: np.ndarray, groups: Mapping[str, np.ndarray], people: np.ndarray
) -> Iterator[dict[str, Any]]:
    """Compare the mean of values between groups.

    Parameters
    ----------
    values : ndarray, shape (n,)
        One a visit: the error of a measure, or an overlap. No NaN.
    groups : mapping of str to (ndarray of str, shape (n,))
        Group of each visit, by what groups differ in; 'n/a' where it is not known.
    people : ndarray of str, shape (n,)
        Participant of each visit. Visits of a participant in one group count together.

    Yields
    ------
    dict
        ``by``, ``group``, ``visits``, ``participants``, ``mean`` with ``mean_low`` and
        ``mean_high`` (95 %, Student, of the means of participants), ``sd`` (of visits),
        ``mean_abs``, ``p`` (of the differences between the means of known groups of three visits
        or more, by 2000 permutations of the means of participants; None where there is one
        group), ``reason`` for what is None. What all visits have in common is left out.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> site = np.repeat(['A', 'B'], 20)
    >>> error = rng.normal(0, 1, 40) + 2 * (site == 'B')
    >>> for row in by_group(error, {'site': site}, np.arange(40).astype(str)):
    ...     print(row['group'], row['visits'], round(row['mean'], 1), row['p'] < 0.01)
    A 20 -0.2 True
    B 20 2.1 True
    """
    values = np.asarray(values, float)
    for by, names in groups.items():
        order = [name for name in sorted({str(n) for n in names}) if name != 'n/a']
        if len(order) < 2:
            continue
        means = {name: _means(values[names == name], people[names == name]) for name in order}
        told = [m for name, m in means.items() if (names == name).sum() >= FEWEST]
        p = _differ(told)
        if (names == 'n/a').any():
            order.append('n/a')
        for name in order:
            here = names == name
            row: dict[str, Any] = {
                'by': by,
                'group': 'not known' if name == 'n/a' else name,
                'visits': int(here.sum()),
                'participants': len(set(people[here])),
                'p': p,
                'reason': None,
            }
            row |= _spread(values[here], _means(values[here], people[here]))
            yield row


def _means(values: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Return the mean of each participant."""
    return np.array([values[people == who].mean() for who in dict.fromkeys(people)])


def _spread(values: np.ndarray, means: np.ndarray) -> dict[str, Any]:
    keys = ('mean', 'mean_low', 'mean_high', 'sd', 'mean_abs')
    if len(values) < FEWEST:
        few = f'only {len(values)} visit{"" if len(values) == 1 else "s"}, needs {FEWEST}'
        return dict.fromkeys(keys) | {'reason': few}
    mean = float(means.mean())
    found = (mean, None, None, float(values.std(ddof=1)), float(np.abs(values).mean()))
    row = dict(zip(keys, found, strict=True))
    if len(means) < 2:
        return row | {'reason': 'no interval of one participant'}
    half = float(stats.t.ppf(0.975, len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means)))
    return row | {'mean_low': mean - half, 'mean_high': mean + half}


def _differ(parts: list[np.ndarray]) -> float | None:
    """Return the probability of such different means if all groups were alike."""
    if len(parts) < 2:
        return None
    sizes = np.array([len(part) for part in parts])
    pooled = np.concatenate(parts)
    if not np.ptp(pooled):
        return None
    ends = np.cumsum(sizes)[:-1]

    def apart(rows: np.ndarray) -> np.ndarray:
        sums = np.stack([part.sum(axis=1) for part in np.split(rows, ends, axis=1)])
        return (sums**2 / sizes[:, None]).sum(axis=0)

    drawn = np.random.default_rng(0).permuted(np.tile(pooled, (_DRAWS, 1)), axis=1)
    seen = apart(pooled[None])[0]
    return float(((apart(drawn) >= seen - 1e-9 * abs(seen)).sum() + 1) / (_DRAWS + 1))
