"""Agreement of measured with true numbers: bias, limits of agreement, ICC, weighted kappa.

Arrays only; where a statistic does not exist for the data it is None, never NaN, and the reason
is told in words.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

__all__ = ['continuous', 'icc_a1', 'ordinal', 'weighted_kappa']

#: Pairs below which nothing is said about agreement.
FEWEST = 3
_Z = 1.96


def continuous(truth: np.ndarray, found: np.ndarray) -> dict:
    """Compare measured with true values on a scale with units.

    Bias and limits of agreement after Bland & Altman (1986), doi:10.1016/S0140-6736(86)90837-8;
    their confidence intervals after Bland & Altman (1999), doi:10.1177/096228029900800204,
    section 2.1: Student's t, and s * sqrt(1/n + 1.96^2 / (2(n - 1))) for the standard error of a
    limit. Differences are found less true.

    Parameters
    ----------
    truth, found : array-like, shape (n,)
        The pairs.

    Returns
    -------
    dict
        ``n``, ``mean_truth``, ``mean_found``, ``bias`` with ``bias_low`` and ``bias_high``
        (95 % CI), ``sd`` of the differences, ``loa_low``, ``loa_high`` and the CI of each,
        ``bias_pct`` of the mean truth, ``slope``, ``intercept`` (least squares of found on
        truth), ``r`` (Pearson), ``icc`` with its CI, and ``reason`` for what is None.

    Examples
    --------
    >>> row = continuous([10, 20, 30], [11, 22, 30])
    >>> row['bias'], row['sd'], round(row['slope'], 3), row['bias_pct']
    (1.0, 1.0, 0.95, 5.0)
    >>> continuous([1, 2], [1, 2])['reason']
    'only 2 pairs, needs 3'
    """
    truth, found, row, reasons = _start(truth, found)
    if reasons:
        return row | {'reason': reasons[0]}
    row |= _limits(found - truth)
    if truth.mean():
        row['bias_pct'] = float(100 * row['bias'] / abs(truth.mean()))
    else:
        reasons.append('no percentage as the mean truth is 0')
    if not np.ptp(truth):  # where the targets do not differ, an ICC is about 0 whatever the errors
        reasons.append('no slope, r and ICC as the truth is the same in all')
        return row | {'reason': '; '.join(reasons)}
    row['slope'] = float(np.cov(truth, found)[0, 1] / truth.var(ddof=1))
    row['intercept'] = float(found.mean() - row['slope'] * truth.mean())
    if np.ptp(found):
        row['r'] = float(np.clip(np.corrcoef(truth, found)[0, 1], -1, 1))
    else:
        reasons.append('no r as the app gives the same in all')
    row['icc'], row['icc_low'], row['icc_high'] = icc_a1(np.column_stack([truth, found]))
    if row['icc_low'] is None:
        reasons.append('the interval of a negative ICC does not exist here')
    return row | {'reason': '; '.join(reasons) or None}


def ordinal(truth: np.ndarray, found: np.ndarray) -> dict:
    """Compare measured with true grades.

    Parameters
    ----------
    truth, found : array-like, shape (n,)
        The pairs.

    Returns
    -------
    dict
        ``n``, ``mean_truth``, ``mean_found``, ``exact_pct`` (percent of equal grades),
        ``kappa`` (see `weighted_kappa`), and ``reason`` for what is None.

    Examples
    --------
    >>> row = ordinal([0, 1, 2, 3], [0, 1, 3, 3])
    >>> row['exact_pct'], round(row['kappa'], 3)
    (75.0, 0.917)
    """
    truth, found, row, reasons = _start(truth, found)
    if reasons:
        return row | {'reason': reasons[0]}
    row['exact_pct'] = float(100 * np.mean(truth == found))
    row['kappa'] = weighted_kappa(truth, found)
    reason = 'no kappa as all grades are the same' if row['kappa'] is None else None
    return row | {'reason': reason}


def weighted_kappa(truth: np.ndarray, found: np.ndarray) -> float | None:
    """Compute Cohen's kappa with quadratic weights.

    One less the mean squared difference of the pairs over that of all combinations of a true
    with a found grade (Cohen 1968, doi:10.1037/h0026256).

    Parameters
    ----------
    truth, found : array-like, shape (n,)
        Grades.

    Returns
    -------
    float or None
        1 is full agreement, 0 that of chance; None if only one grade occurs.

    Examples
    --------
    >>> weighted_kappa([0, 1, 2], [0, 1, 2]), weighted_kappa([0, 2], [2, 0])
    (1.0, -1.0)
    """
    truth, found = np.asarray(truth, dtype=float), np.asarray(found, dtype=float)
    by_chance = np.mean((truth[:, None] - found[None, :]) ** 2)
    return float(1 - np.mean((truth - found) ** 2) / by_chance) if by_chance else None


def icc_a1(
    table: np.ndarray, confidence: float = 0.95
) -> tuple[float, float | None, float | None] | None:
    """Compute the intraclass correlation of single values, absolute agreement.

    ICC(A,1) of McGraw & Wong (1996), doi:10.1037/1082-989X.1.1.30, with the confidence interval
    of their table 7; the same as ICC(2,1), two-way random, of Shrout & Fleiss (1979),
    doi:10.1037/0033-2909.86.2.420.

    Parameters
    ----------
    table : ndarray, shape (n, k)
        Targets in rows, methods in columns.
    confidence : float
        Of the interval.

    Returns
    -------
    tuple of float or None
        Estimate, low, high; the limits are None where they do not exist. None if all values
        are the same.

    Examples
    --------
    The example of Shrout & Fleiss:

    >>> table = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9],
    ...          [6, 2, 4, 7]]
    >>> [round(value, 3) for value in icc_a1(table)]
    [0.29, 0.019, 0.761]
    """
    table = np.asarray(table, dtype=float)
    n, k = table.shape
    if not np.ptp(table):
        return None
    if not np.ptp(table, axis=1).any():
        return 1.0, 1.0, 1.0
    rows, columns, error = _mean_squares(table)
    icc = (rows - error) / (rows + (k - 1) * error + k / n * (columns - error))
    a = k * icc / (n * (1 - icc))
    b = 1 + k * icc * (n - 1) / (n * (1 - icc))
    spread = (a * columns) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1))
    df = (a * columns + b * error) ** 2 / spread if spread else float(k - 1)
    q = (1 + confidence) / 2
    f_low, f_high = stats.f.ppf(q, n - 1, df), stats.f.ppf(q, df, n - 1)
    rest = k * columns + (k * n - k - n) * error
    # For a strongly negative estimate the degrees of freedom go to 0 and the formula breaks down.
    with np.errstate(invalid='ignore', divide='ignore'):
        low = max(n * (rows - f_low * error) / (f_low * rest + n * rows), -1.0)
        high = min(n * (f_high * rows - error) / (rest + n * f_high * rows), 1.0)
    if not low <= icc <= high:
        return float(icc), None, None
    return float(icc), float(low), float(high)


def _start(truth, found) -> tuple[np.ndarray, np.ndarray, dict, list[str]]:
    truth, found = np.asarray(truth, dtype=float), np.asarray(found, dtype=float)
    n = len(truth)
    row = {
        'n': n,
        'mean_truth': float(truth.mean()) if n else None,
        'mean_found': float(found.mean()) if n else None,
    }
    few = f'only {n} pair{"" if n == 1 else "s"}, needs {FEWEST}'
    return truth, found, row, [few] if n < FEWEST else []


def _limits(difference: np.ndarray) -> dict:
    n, bias, sd = len(difference), difference.mean(), difference.std(ddof=1)
    t = stats.t.ppf(0.975, n - 1)
    of_bias = t * sd / np.sqrt(n)
    of_limit = t * sd * np.sqrt(1 / n + _Z**2 / (2 * (n - 1)))
    low, high = bias - _Z * sd, bias + _Z * sd
    values = {
        'bias': bias,
        'bias_low': bias - of_bias,
        'bias_high': bias + of_bias,
        'sd': sd,
        'loa_low': low,
        'loa_low_low': low - of_limit,
        'loa_low_high': low + of_limit,
        'loa_high': high,
        'loa_high_low': high - of_limit,
        'loa_high_high': high + of_limit,
    }
    return {name: float(value) for name, value in values.items()}


def _mean_squares(table: np.ndarray) -> tuple[float, float, float]:
    """Give the mean squares of rows, columns and error of a two-way layout."""
    n, k = table.shape
    of_rows, of_columns = table.mean(axis=1), table.mean(axis=0)
    rest = table - of_rows[:, None] - of_columns[None, :] + table.mean()
    return (
        k * of_rows.var(ddof=1),
        n * of_columns.var(ddof=1),
        (rest**2).sum() / ((n - 1) * (k - 1)),
    )
