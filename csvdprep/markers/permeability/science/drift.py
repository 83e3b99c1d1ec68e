"""Drift of the receiver over a dynamic series: found before the bolus or in fluid, and removed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: A slope before the bolus needs so many seconds and volumes.
BASELINE_S, BASELINE_N = 240.0, 4
#: Fluid needs so many voxels.
LEAST_VOXELS = 50
#: A change of the signal by more than this is no drift, relative.
MOST = 0.2


@dataclass(frozen=True, eq=False)
class Drift:
    """Linear change of the signal.

    Attributes
    ----------
    change, error : float
        From the start of the series to its end, relative to the baseline, and standard error.
    factors : ndarray, shape (n,)
        What the signal of each volume is divided by; 1 in the middle of the baseline.
    """

    change: float
    error: float
    factors: np.ndarray


def find_drift(
    signal: np.ndarray, time_s, baseline: slice, use: np.ndarray, *, how: str
) -> tuple[Drift | None, str]:
    """Fit a line to the signal of tissue before the bolus, or of fluid over the series.

    Parameters
    ----------
    signal : ndarray, shape (m, n)
        Signal of voxels of the brain ('baseline'), or of fluid ('reference').
    time_s : array-like, shape (n,)
        Middle of each volume, s.
    baseline : slice
        Volumes before the contrast agent.
    use : ndarray of bool, shape (n,)
        Volumes that Patlak is fitted to; those in between, with the first pass, are left out.
    how : {'baseline', 'reference'}
        Which volumes tell it.

    Returns
    -------
    Drift or None
    reason : str
        Why there is none.

    Examples
    --------
    >>> time = np.arange(20) * 40.0
    >>> fluid = np.full((60, 1), 100.0) * (1 + 0.01 * time / 800)
    >>> found, _ = find_drift(fluid, time, slice(0, 3), time > 240, how='reference')
    >>> round(100 * float(found.change), 2)
    1.0
    """
    time = np.asarray(time_s, float)
    step = float(np.median(np.diff(time)))
    before = np.zeros(len(time), bool)
    before[baseline] = True
    span = before.sum() * step
    if how == 'baseline' and (span < BASELINE_S or before.sum() < BASELINE_N):
        return None, (
            f'the volumes before the contrast agent take {span / 60:.1f} min: '
            f'{BASELINE_S / 60:.0f} min and {BASELINE_N} volumes are needed for a slope'
        )
    first = signal[:, baseline].mean(axis=1) if len(signal) else np.zeros(0)
    good = first > 0
    if good.sum() < LEAST_VOXELS:
        return None, f'{int(good.sum())} voxels of fluid are too few, {LEAST_VOXELS} are needed'
    curve = np.median(signal[good] / first[good, None], axis=0)
    where = before if how == 'baseline' else before | np.asarray(use, bool)
    middle = float(time[before].mean())
    design = np.stack([np.ones(where.sum()), time[where] - middle], axis=1)
    beta, *_ = np.linalg.lstsq(design, curve[where], rcond=None)
    rest = curve[where] - design @ beta
    free = max(int(where.sum()) - 2, 1)
    spread = np.linalg.inv(design.T @ design)[1, 1]
    length = float(time[-1] - time[0]) + step
    rate = float(beta[1] / beta[0])
    change, error = rate * length, float(np.sqrt(rest @ rest / free * spread)) * length
    if abs(change) > MOST:
        return None, f'the signal changes by {100 * change:.0f} %, which is no drift'
    return Drift(change, error, 1 + rate * (time - middle)), ''
