"""Values that are missing, as the others of the same visit make them likely."""

from __future__ import annotations

import numpy as np

#: Share of the mean variance that keeps covariances of few visits invertible.
_RIDGE = 1e-6


def moments(values: np.ndarray, *, rounds: int = 200, tolerance: float = 1e-6):
    """Estimate mean and covariance of values of which some are missing.

    Parameters
    ----------
    values : ndarray, shape (n, p)
        NaN where there is none; each row and each column has one.
    rounds : int, optional
        Most iterations.
    tolerance : float, optional
        Largest change, in units of the largest variance, at which it ends.

    Returns
    -------
    mean : ndarray, shape (p,)
    covariance : ndarray, shape (p, p)

    Notes
    -----
    Maximum likelihood of normal values by expectation and maximisation (Dempster 1977,
    doi:10.1111/j.2517-6161.1977.tb01600.x).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> full = rng.normal(size=(4000, 1)) + 0.3 * rng.normal(size=(4000, 2))
    >>> gaps = np.where(rng.random(full.shape) < 0.2, np.nan, full)
    >>> gaps = gaps[np.isfinite(gaps).any(axis=1)]
    >>> bool(np.abs(moments(gaps)[1] - np.cov(full.T)).max() < 0.05)
    True
    """
    count, width = values.shape
    mean = np.nanmean(values, axis=0)
    cover = np.diag(np.nanvar(values, axis=0))
    patterns = _patterns(values)
    for _ in range(rounds):
        ridge = _RIDGE * np.trace(cover) / width
        total, squares = np.zeros(width), np.zeros((width, width))
        for seen, rows in patterns:
            gone = ~seen
            part = np.tile(mean, (len(rows), 1))
            part[:, seen] = values[np.ix_(rows, seen)]
            if gone.any():
                slope = _slope(cover, seen, ridge)
                part[:, gone] += (part[:, seen] - mean[seen]) @ slope
                rest = cover[np.ix_(gone, gone)] - slope.T @ cover[np.ix_(seen, gone)]
                squares[np.ix_(gone, gone)] += len(rows) * rest
            total += part.sum(axis=0)
            squares += part.T @ part
        mean = total / count
        new = squares / count - np.outer(mean, mean)
        change = np.abs(new - cover).max()
        cover = (new + new.T) / 2
        if change <= tolerance * np.diag(cover).max():
            break
    return mean, cover


def likely(values: np.ndarray, mean: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Fill what is missing with its expectation, given the others of the row.

    Parameters
    ----------
    values : ndarray, shape (n, p)
        NaN where there is none.
    mean : ndarray, shape (p,)
        Mean.
    cover : ndarray, shape (p, p)
        Covariance.

    Returns
    -------
    ndarray, shape (n, p)

    Examples
    --------
    >>> likely(np.array([[2.0, np.nan]]), np.zeros(2), np.array([[1, 0.5], [0.5, 1]])).round(3)
    array([[2., 1.]])
    """
    out = np.array(values, float)
    ridge = _RIDGE * np.trace(cover) / len(cover)
    for seen, rows in _patterns(out):
        if not seen.all():
            expected = mean[~seen] + (out[np.ix_(rows, seen)] - mean[seen]) @ _slope(
                cover, seen, ridge
            )
            out[np.ix_(rows, ~seen)] = expected
    return out


def _slope(cover: np.ndarray, seen: np.ndarray, ridge: float) -> np.ndarray:
    inner = cover[np.ix_(seen, seen)] + ridge * np.eye(int(seen.sum()))
    return np.linalg.solve(inner, cover[np.ix_(seen, ~seen)])


def _patterns(values: np.ndarray):
    seen, which = np.unique(np.isfinite(values), axis=0, return_inverse=True)
    which = which.ravel()
    return [(seen[k], np.flatnonzero(which == k)) for k in range(len(seen))]
