"""Time to peak of voxels, and how it is distributed over a region (Nasel's distribution curve)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

#: Voxels are described together from this number on.
LEAST = 20
#: Curves are smoothed over time by this SD, s: without, times gather at those of the volumes.
SMOOTH_S = 1.5


def time_to_peak(
    curves: np.ndarray, step_s: float, first: int, last: int, smooth_s: float = SMOOTH_S
) -> np.ndarray:
    """Find when each curve is highest, by a parabola through the highest time and its neighbours.

    Smoothing moves the peaks of curves that fall slower than they rise to later times, by about
    0.3 s. Differences between curves of about one width are not affected.

    Parameters
    ----------
    curves : ndarray, shape (m, n)
        Change of R2*, or enhancement.
    step_s : float
        Time from volume to volume, s.
    first, last : int
        Volumes in which the first pass is looked for, the last excluded.
    smooth_s : float
        SD of the Gaussian that smooths over time, s; 0 for none.

    Returns
    -------
    ndarray, shape (m,)
        s since the first volume; NaN where the highest value lies at an end of the window.

    Examples
    --------
    >>> time = np.arange(20) * 1.5
    >>> curve = np.exp(-0.5 * ((time - 13.0) / 4) ** 2)
    >>> bool(abs(time_to_peak(curve[None], 1.5, 0, 20)[0] - 13.0) < 0.02)
    True
    """
    curves = np.asarray(curves, float)
    if smooth_s:
        curves = ndi.gaussian_filter1d(curves, smooth_s / step_s, axis=1, mode='nearest')
    window = curves[:, first:last]
    rows = np.arange(len(window))
    top = window.argmax(axis=1)
    inside = (top > 0) & (top < window.shape[1] - 1)
    at = np.clip(top, 1, window.shape[1] - 2)
    low, middle, high = (window[rows, at + step] for step in (-1, 0, 1))
    bend = low - 2 * middle + high
    with np.errstate(divide='ignore', invalid='ignore'):
        shift = np.where(bend < 0, 0.5 * (low - high) / bend, 0.0)
    return np.where(inside, (first + at + np.clip(shift, -0.5, 0.5)) * step_s, np.nan)


@dataclass(frozen=True)
class Distribution:
    """How times are distributed over a region.

    Attributes
    ----------
    voxels : int
        Number of times.
    median_s : float
        s.
    width_s : float
        From the 10th to the 90th percentile, s.
    skew : float
        ``(p90 + p10 - 2 p50) / (p90 - p10)``: -1 to 1, positive where late times reach farther.
    """

    voxels: int
    median_s: float
    width_s: float
    skew: float


def describe_times(times_s: np.ndarray) -> Distribution | None:
    """Describe the distribution of times; None with fewer than 20 of them.

    Percentiles are taken instead of moments, which a few voxels with noise would rule.

    Parameters
    ----------
    times_s : ndarray, shape (m,)
        s; NaN is left out.

    Returns
    -------
    Distribution or None

    Examples
    --------
    >>> found = describe_times(np.linspace(1, 3, 101))
    >>> [round(value, 3) for value in (found.median_s, found.width_s, abs(found.skew))]
    [2.0, 1.6, 0.0]
    """
    times = np.asarray(times_s, float)
    times = times[np.isfinite(times)]
    if len(times) < LEAST:
        return None
    low, middle, high = np.quantile(times, (0.1, 0.5, 0.9))
    width = float(high - low)
    skew = float((high + low - 2 * middle) / width) if width > 0 else 0.0
    return Distribution(len(times), float(middle), width, skew)
