"""From signal to the change of R2*, and which volumes hold the first pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

#: A first volume that differs from the baseline by more than this is not in the steady state.
UNSTEADY = 0.02
#: Most volumes at the start that may not be in the steady state.
MOST_UNSTEADY = 5
#: Least fall of the mean signal that may be a bolus, relative; and over its scatter before.
LEAST_FALL, ABOVE_NOISE = 0.04, 5.0
#: Share of the fall that has to be made up for afterwards: what only falls is no bolus.
RECOVERED = 0.3
#: Share of the fall that a volume beside the lowest has: a bolus lasts longer than a volume.
LASTS = 0.2
#: Share of the fall that the signal before the bolus may fall by and come back.
UNEVEN = 0.2
#: The bolus has arrived where the curve exceeds this share of its peak.
ARRIVED = 0.05


@dataclass(frozen=True, kw_only=True)
class FirstPass:
    """Where the bolus lies in a series; indices of volumes.

    Attributes
    ----------
    baseline : slice
        Volumes before the bolus, without those at the start that are not in the steady state.
    peak : int
        Volume of the lowest mean signal.
    fall : float
        Largest fall of the mean signal, relative to before.
    reason : str
        Why no bolus is believed in; empty where one is.
    notes : tuple of str
        What else was seen.
    doubt : str
        Why the volumes before the bolus may hold contrast agent; empty if they do not seem to.
    """

    baseline: slice
    peak: int
    fall: float
    reason: str = ''
    notes: tuple[str, ...] = ()
    doubt: str = ''


def find_first_pass(curve) -> FirstPass:
    """Find baseline and first pass in the mean signal of the brain.

    Parameters
    ----------
    curve : array-like, shape (n,)
        Mean (or median) signal of the brain in each volume.

    Returns
    -------
    FirstPass
        With a ``reason`` where there is no bolus: the signal does not fall, or does not come
        back.

    Examples
    --------
    >>> time = np.arange(40)
    >>> curve = 100 - 25 * np.exp(-0.5 * ((time - 18) / 2.5) ** 2)
    >>> found = find_first_pass(curve)
    >>> found.baseline, found.peak, found.reason
    (slice(0, 11, None), 18, '')
    >>> find_first_pass(np.full(40, 100.0) + 0.1 * np.sin(time)).reason
    'the mean signal of the brain falls by 0 % only: no bolus is seen'
    """
    curve = np.asarray(curve, float)
    count = len(curve)
    smooth = ndi.gaussian_filter1d(curve, 0.8, mode='nearest')
    start = 0
    steady = float(np.median(curve[: max(6, count // 6)]))
    while start < MOST_UNSTEADY and abs(curve[start] / steady - 1) > UNSTEADY:
        start += 1
    if start == MOST_UNSTEADY:
        start = 0
    peak = start + int(np.argmin(smooth[start:]))
    notes = (f'the first {start} volumes are not in the steady state, and are left out',)
    notes = notes if start else ()
    before = curve[start : max(peak, start + 1)]
    high = float(np.quantile(before, 0.8)) if len(before) > 2 else float(before.max())
    fall = 1 - smooth[peak] / high
    stop = _arrival(smooth, start, peak, high)
    first = curve[start:stop]
    level = float(first.mean()) if len(first) else high
    fall = 1 - float(smooth[peak]) / level
    found = {'baseline': slice(start, stop), 'peak': peak, 'fall': fall, 'notes': notes}
    scatter = float(first.std(ddof=1)) / level if len(first) > 2 else 0.0
    if fall < max(LEAST_FALL, ABOVE_NOISE * scatter):
        reason = f'the mean signal of the brain falls by {max(100 * fall, 0):.0f} % only: '
        return FirstPass(**found, reason=reason + 'no bolus is seen')
    if (lone := _lone(curve, start, level)) is not None:
        reason = (
            f'the signal falls by {100 * (1 - curve[lone] / level):.0f} % in volume {lone} '
            '(counted from 0) alone, and a bolus lasts for several'
        )
        return FirstPass(**found, reason=reason)
    if stop <= start:
        reason = 'the first volume shows the bolus already: there is none before it'
        return FirstPass(**found, reason=reason)
    back = (float(smooth[peak:].max()) - float(smooth[peak])) / (level * fall)
    if back < RECOVERED:
        reason = (
            f'the signal falls by {100 * fall:.0f} % and does not come back: the series ends '
            'within the bolus, or the head moved'
        )
        return FirstPass(**found, reason=reason)
    return FirstPass(**found, doubt=_doubt(smooth[start:stop], start, fall))


def _doubt(smooth: np.ndarray, start: int, fall: float) -> str:
    """Say where the signal before the bolus falls and comes back; '' if it does not."""
    lowest = int(np.argmin(smooth))
    sides = smooth[: lowest + 1].max(), smooth[lowest:].max()
    dip = 1 - float(smooth[lowest]) / float(min(sides))
    if dip <= UNEVEN * fall:
        return ''
    return (
        f'the signal falls by {100 * dip:.0f} % before the bolus already (volume '
        f'{start + lowest}, counted from 0): an earlier bolus, or motion'
    )


def _lone(curve, start: int, level: float) -> int | None:
    """Return the lowest volume if those beside it have not fallen; None otherwise."""
    lowest = start + int(np.argmin(curve[start:]))
    beside = [curve[k] for k in (lowest - 1, lowest + 1) if start <= k < len(curve)]
    fall = level - curve[lowest]
    return lowest if level - min(beside, default=level) < LASTS * fall else None


def _arrival(smooth, start: int, peak: int, high: float) -> int:
    """Walk back from the peak to where the curve leaves the baseline; one volume is spared."""
    floor = high - ARRIVED * (high - smooth[peak])
    index = peak
    while index > start and smooth[index] < floor:
        index -= 1
    return max(index, start) if index > start or smooth[start] >= floor else start


def to_relaxation(signal, baseline: slice, te_s: float, floor=0.0) -> np.ndarray:
    """Convert signal to the change of R2*: ``-ln(S / S0) / TE``.

    Parameters
    ----------
    signal : ndarray, shape (..., n)
        Signal over time.
    baseline : slice
        Volumes before the bolus; S0 is their mean.
    te_s : float
        Echo time, s.
    floor : float or ndarray, shape (...)
        Signal that cannot be told from noise: lower values are taken for it.

    Returns
    -------
    ndarray, shape (..., n)
        1/s; 0 where there is no signal before the bolus.

    Examples
    --------
    >>> to_relaxation(np.array([100.0, 100, 100 * np.exp(-0.3)]), slice(0, 2), 0.03).round(6)
    array([-0., -0., 10.])
    """
    signal = np.asarray(signal)
    dtype = np.result_type(signal.dtype, np.float32)
    first = signal[..., baseline].mean(axis=-1, dtype=np.float64)[..., None]
    least = np.maximum(np.asarray(floor, float)[..., None], 1e-3 * np.maximum(first, 1e-30))
    with np.errstate(divide='ignore', invalid='ignore'):
        ratio = np.maximum(signal, least) / first
        out = -np.log(ratio) / te_s
    return np.where((first > 0) & np.isfinite(out), out, 0).astype(dtype)


def baseline_noise(signal: np.ndarray, baseline: slice) -> np.ndarray:
    """Estimate the noise of each voxel from second differences of the volumes before the bolus.

    Parameters
    ----------
    signal : ndarray, shape (m, n)
        Signal over time.
    baseline : slice
        Volumes before the bolus.

    Returns
    -------
    ndarray, shape (m,)
        Standard deviation, unit of the signal; NaN with fewer than three volumes.

    Examples
    --------
    >>> signal = 100 + np.random.default_rng(0).normal(0, 2, (500, 20))
    >>> bool(abs(np.median(baseline_noise(signal, slice(0, 12))) - 2) < 0.2)
    True
    """
    first = np.asarray(signal[:, baseline], np.float64)
    if first.shape[1] < 3:
        return np.full(len(first), np.nan)
    second = first[:, 2:] - 2 * first[:, 1:-1] + first[:, :-2]
    return np.sqrt((second**2).mean(axis=1) / 6)
