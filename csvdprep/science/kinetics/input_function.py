"""What an input function does: its integral, its convolution with a decay, its delay."""

from __future__ import annotations

import numpy as np


def integrate(time_s: np.ndarray, plasma: np.ndarray, rule: str = 'trapezoid') -> np.ndarray:
    """Integrate a concentration over time.

    Parameters
    ----------
    time_s : ndarray, shape (n,)
        Middle of each frame, s, rising.
    plasma : ndarray, shape (..., n)
        mmol/L.
    rule : {'trapezoid', 'rectangle'}
        Straight lines between the times, which is exact in the long run if values are means of
        frames that follow each other; or each value for the time since the one before.

    Returns
    -------
    ndarray, shape (..., n)
        mmol/L min; 0 at the first time.

    Examples
    --------
    >>> integrate(np.array([0.0, 60, 120]), np.array([0.0, 1, 1])).tolist()
    [0.0, 0.5, 1.5]
    """
    plasma = np.asarray(plasma, float)
    if rule == 'trapezoid':
        steps = (plasma[..., 1:] + plasma[..., :-1]) / 2
    elif rule == 'rectangle':
        steps = plasma[..., 1:]
    else:
        raise ValueError(f'There is no rule {rule}: trapezoid or rectangle.')
    steps = steps * np.diff(time_s) / 60
    start = np.zeros((*plasma.shape[:-1], 1))
    return np.concatenate([start, np.cumsum(steps, axis=-1)], axis=-1)


def convolve(time_s: np.ndarray, plasma: np.ndarray, rate) -> np.ndarray:
    """Convolve a concentration, straight between its times, with decays: exact in each interval.

    ``int_0^t C(s) exp(-k (t - s)) ds``; with k = 0 it is the integral by trapezoids.

    Parameters
    ----------
    time_s : ndarray, shape (n,)
        s, rising, in any steps.
    plasma : ndarray, shape (n,)
        mmol/L; 0 before the first time.
    rate : float or ndarray, shape (...)
        k, 1/min.

    Returns
    -------
    ndarray, shape (..., n)
        mmol/L min.

    Examples
    --------
    >>> time = np.arange(0, 601, 20.0)
    >>> found = convolve(time, np.ones_like(time), 0.5)
    >>> bool(np.allclose(found, (1 - np.exp(-0.5 * time / 60)) / 0.5))
    True
    """
    rate = np.asarray(rate, float)
    plasma = np.asarray(plasma, float)
    steps = np.diff(time_s) / 60
    # Times first: each is one piece of memory.
    out = np.zeros((len(time_s), *rate.shape))
    known: dict[float, tuple] = {}
    for i, step in enumerate(steps):
        key = round(float(step), 12)
        if key not in known:
            known[key] = _interval(rate * step)
        left, of_both, of_end = known[key]
        gain = step * (plasma[i] * (of_both - of_end) + plasma[i + 1] * of_end)
        out[i + 1] = out[i] * left + gain
    return np.moveaxis(out, 0, -1)


def _interval(x: np.ndarray):
    """Return exp(-x), the mean of the decay over an interval, and that weighted by time."""
    small = np.abs(x) < 1e-3
    safe = np.where(small, 1.0, x)
    left = np.exp(-x)
    both = np.where(small, 1 - x / 2 + x**2 / 6 - x**3 / 24, -np.expm1(-safe) / safe)
    end = np.where(small, 0.5 - x / 6 + x**2 / 24, (safe + np.expm1(-safe)) / safe**2)
    return left, both, end


def shifted(time_s: np.ndarray, plasma: np.ndarray, delay_s: float) -> np.ndarray:
    """Delay an input function: what reached the vessel at t reaches the tissue at t + delay.

    Parameters
    ----------
    time_s, plasma : ndarray, shape (n,)
        s; mmol/L.
    delay_s : float
        s; negative if the tissue is reached first.

    Returns
    -------
    ndarray, shape (n,)
        Straight between the times, the first and the last value beyond them.

    Examples
    --------
    >>> shifted(np.array([0.0, 10, 20]), np.array([0.0, 2, 4]), 5.0).tolist()
    [0.0, 1.0, 3.0]
    """
    if not delay_s:
        return np.asarray(plasma, float)
    return np.interp(np.asarray(time_s) - delay_s, time_s, plasma)
