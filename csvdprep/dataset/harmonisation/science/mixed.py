"""Random intercept of participants, by restricted maximum likelihood."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar


def random_intercept(
    values: np.ndarray, design: np.ndarray, people: np.ndarray
) -> tuple[np.ndarray, float, float]:
    """Fit fixed effects and a random intercept of participants.

    Parameters
    ----------
    values : ndarray, shape (n,)
        One measure.
    design : ndarray, shape (n, k)
        Fixed effects, of full rank.
    people : ndarray, shape (n,)
        Participant of each row.

    Returns
    -------
    effects : ndarray, shape (k,)
        Fixed effects.
    sigma : float
        Standard deviation within participants.
    ratio : float
        Variance between participants over that within them.

    Notes
    -----
    Restricted likelihood of y ~ N(Xb, s²(I + r ZZ')), profiled over b and s² (Laird & Ware 1982,
    doi:10.2307/2529876); r is found on a logarithmic scale between 1e-6 and 1e6, and is 0 where
    that is likelier.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> people = np.repeat(np.arange(200), 3)
    >>> y = 5 + rng.normal(0, 2, 200)[people] + rng.normal(0, 1, 600)
    >>> b, sigma, ratio = random_intercept(y, np.ones((600, 1)), people)
    >>> [round(float(v), 1) for v in (b[0], sigma, ratio)]
    [4.8, 1.0, 3.2]
    """
    _, index = np.unique(people, return_inverse=True)
    sizes = np.bincount(index)
    both = np.concatenate([design, values[:, None]], axis=1)
    sums = np.stack([np.bincount(index, column) for column in both.T], axis=1)
    plain = both.T @ both
    rank, spare = design.shape[1], len(values) - design.shape[1]

    def solve(ratio: float) -> tuple[np.ndarray, float, float]:
        weights = ratio / (1 + ratio * sizes)
        cross = plain - (sums * weights[:, None]).T @ sums
        effects = np.linalg.solve(cross[:rank, :rank], cross[:rank, rank])
        squares = cross[rank, rank] - effects @ cross[:rank, rank]
        variance = max(squares, 0.0) / spare
        logdet = np.log1p(ratio * sizes).sum() + np.linalg.slogdet(cross[:rank, :rank])[1]
        return effects, variance, spare * np.log(max(variance, 1e-300)) + logdet

    found = minimize_scalar(
        lambda log: solve(np.exp(log))[2],
        bounds=(np.log(1e-6), np.log(1e6)),
        method='bounded',
        options={'xatol': 1e-8},
    )
    ratio = float(np.exp(found.x))
    if solve(0.0)[2] <= found.fun:
        ratio = 0.0
    effects, variance, _ = solve(ratio)
    return effects, float(np.sqrt(variance)), ratio


def intercepts(residuals: np.ndarray, people: np.ndarray, ratio: float) -> np.ndarray:
    """Predict the intercept of each row's participant.

    Parameters
    ----------
    residuals : ndarray, shape (n,)
        Values less fixed effects.
    people : ndarray, shape (n,)
        Participant of each row.
    ratio : float
        Variance between participants over that within them.

    Returns
    -------
    ndarray, shape (n,)
        Best linear unbiased prediction: sum of residuals r / (1 + r n).

    Examples
    --------
    >>> intercepts(np.array([1.0, 3.0, 0.0]), np.array(['a', 'a', 'b']), 1.0)
    array([1.33333333, 1.33333333, 0.        ])
    """
    _, index = np.unique(people, return_inverse=True)
    weights = ratio / (1 + ratio * np.bincount(index))
    return (np.bincount(index, residuals) * weights)[index]


def unpredicted(people: np.ndarray, ratio: float) -> np.ndarray:
    """Return which share of the variance within participants is left in residuals.

    Parameters
    ----------
    people : ndarray, shape (n,)
        Participant of each row.
    ratio : float
        Variance between participants over that within them.

    Returns
    -------
    ndarray, shape (n,)
        1 - r / (1 + r n): the covariance of y - Xb - Zu is s²(I - r / (1 + r n) 11').

    Examples
    --------
    >>> unpredicted(np.array(['a', 'a', 'b']), 1.0)
    array([0.66666667, 0.66666667, 0.5       ])
    """
    _, index = np.unique(people, return_inverse=True)
    return 1 - (ratio / (1 + ratio * np.bincount(index)))[index]
