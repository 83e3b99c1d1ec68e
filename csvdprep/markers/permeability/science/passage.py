"""Times to peak of the first pass in a fast dynamic series, after the peak of the arteries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from csvdprep.science.bolus import time_to_peak

#: Volumes may be so long, s, and so many have to lie before the bolus.
LONGEST_S, LEAST_BEFORE = 2.5, 5
#: The first pass is looked for until so long after the injection, s.
PASS_S = 90.0
#: Curves are smoothed over time by this SD, s: peaks are 15 s wide.
SMOOTH_S = 3.0
#: A peak has to be this many SD of the noise of the smoothed curve high.
LEAST_HEIGHT = 4.0
#: Share of voxels with such a peak that a region needs.
LEAST_SHARE = 0.5
#: Of the voxels that enhance most (this share), the earliest (that share) are arteries.
HIGHEST, EARLIEST = 0.01, 0.1
#: From the 10th to the 90th percentile of a normal distribution, SD; noise may make so much of a
#: width (its share) until no width is given.
PERCENTILES, MOST_NOISE = 2.563, 0.6
#: Voxels are taken together in blocks.
BLOCK = 50_000


@dataclass(frozen=True, eq=False)
class Passage:
    """Times to peak.

    Attributes
    ----------
    times_s : ndarray, shape of the series' grid
        After the peak of the arteries, s; NaN where there is no peak above the noise.
    noise_s : ndarray, shape of the series' grid
        SD of these times by noise, s.
    artery_s : float
        Peak of the arteries since the start of the series, s.
    sinus_s : float
        Peak of the sinus after that of the arteries, s; NaN without.
    """

    times_s: np.ndarray
    noise_s: np.ndarray
    artery_s: float
    sinus_s: float


def why_not(step_s: float, before: int) -> str:
    """Say why a series tells no times to peak; '' if it does.

    Examples
    --------
    >>> why_not(2.0, 12), why_not(40.0, 3)
    ('', 'volumes are 40 s apart: 2.5 s at most are needed for times to peak')
    """
    if step_s > LONGEST_S:
        return (
            f'volumes are {step_s:.3g} s apart: {LONGEST_S:g} s at most are needed for times to '
            'peak'
        )
    if before < LEAST_BEFORE:
        return f'{before} volumes before the bolus: {LEAST_BEFORE} are needed for times to peak'
    return ''


def find_passage(
    data: np.ndarray,
    time_s,
    baseline: slice,
    injection_s: float,
    brain: np.ndarray,
    near: np.ndarray,
    sinus: np.ndarray | None,
    convert: Callable[[np.ndarray, tuple], np.ndarray] | None = None,
) -> tuple[Passage | None, str]:
    """Find when each voxel enhances most during the first pass.

    Parameters
    ----------
    data : ndarray, shape (I, J, K, n)
        Signal.
    time_s : array-like, shape (n,)
        Middle of each volume, s.
    baseline : slice
        Volumes before the contrast agent.
    injection_s : float
        s.
    brain, near : ndarray of bool, shape (I, J, K)
        Voxels that are timed; where arteries are looked for.
    sinus : ndarray, shape (n,), optional
        Curve of the sagittal sinus.
    convert : callable, optional
        ``convert(signal, at)`` returns concentrations of voxels: enhancement of arteries is not
        proportional to it, and peaks later. Relative enhancement without.

    Returns
    -------
    Passage or None
    reason : str
        Why there is none.
    """
    time = np.asarray(time_s, float)
    step = float(np.median(np.diff(time)))
    last = int(np.searchsorted(time, injection_s + PASS_S))
    first = max(baseline.stop - 1, 0)
    if last - first < 6:
        return None, 'the series ends within the first pass'
    peaks = np.full((3, *brain.shape), np.nan)
    voxels = np.argwhere(brain | near)
    for start in range(0, len(voxels), BLOCK):
        at = tuple(voxels[start : start + BLOCK].T)
        curves = _relative(data[at], baseline)
        if convert is not None:
            found = convert(data[at], at)
            curves = np.where(np.isfinite(found).all(axis=1)[:, None], found, curves * np.nan)
        peaks[(slice(None), *at)] = _peaks(curves, step, baseline, first, last)
    times, heights, noise = peaks
    around = near & np.isfinite(times)
    if not around.any():
        return None, 'no voxel has a peak during the first pass'
    high = around & (heights >= np.quantile(heights[around], 1 - HIGHEST))
    artery = float(np.median(np.sort(times[high])[: max(1, int(EARLIEST * high.sum()))]))
    drained = np.nan
    if sinus is not None:
        drained = float(time_to_peak(sinus[None], step, first, last, SMOOTH_S)[0]) - artery
    return Passage(np.where(brain, times - artery, np.nan), noise, artery, drained), ''


def width_of(width_s: float, noise_s: np.ndarray) -> tuple[float | None, str]:
    """Take out of a width what noise makes of it.

    Parameters
    ----------
    width_s : float
        10th to 90th percentile of times, s.
    noise_s : ndarray
        SD of these times by noise, s.

    Returns
    -------
    width : float or None
        s; None where noise makes most of it.
    reason : str
        Why.

    Examples
    --------
    >>> width_of(1.3, np.full(20, 0.2))[0].__round__(2), width_of(1.3, np.full(20, 0.5))[0]
    (1.19, None)
    """
    made = PERCENTILES * float(np.nanmedian(noise_s))
    if not made <= MOST_NOISE * width_s:
        return None, (
            f'noise alone makes times to peak {made:.1f} s wide, where {width_s:.1f} s are seen'
        )
    return float(np.sqrt(width_s**2 - made**2)), ''


def _relative(signal, baseline) -> np.ndarray:
    before = signal[:, baseline].mean(axis=1)
    with np.errstate(all='ignore'):
        return np.where(before[:, None] > 0, signal / before[:, None] - 1, 0.0)


def _peaks(curves, step, baseline, first, last):
    """Return time, height and SD of the time of peaks; NaN where noise may have made them."""
    smooth = ndi.gaussian_filter1d(curves, SMOOTH_S / step, axis=1, mode='nearest')
    # Noise of single volumes, from differences, and what smoothing leaves of it.
    rough = np.diff(curves[:, baseline], axis=1)
    noise = np.sqrt((rough**2).mean(axis=1) / 2)
    left = noise * np.sqrt(step / (2 * np.sqrt(np.pi) * SMOOTH_S))
    times = time_to_peak(np.nan_to_num(curves), step, first, last, SMOOTH_S)
    height = np.nan_to_num(smooth[:, first:last]).max(axis=1)
    good = (height > LEAST_HEIGHT * left) & (height > 0) & np.isfinite(curves).all(axis=1)
    # A time is off by the slope of the noise over the curvature of the peak.
    slope = noise * np.sqrt(step / (4 * np.sqrt(np.pi) * SMOOTH_S**3))
    top = np.clip(np.nan_to_num(smooth[:, first:last]).argmax(axis=1) + first, 1, None)
    top = np.minimum(top, curves.shape[1] - 2)
    rows = np.arange(len(curves))
    bend = np.abs(smooth[rows, top - 1] - 2 * smooth[rows, top] + smooth[rows, top + 1]) / step**2
    with np.errstate(all='ignore'):
        off = slope / bend
    return tuple(np.where(good, item, np.nan) for item in (times, height, off))
