"""What a curve of enhancement looks like, without a model: CAPLEX' semi-quantitative set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Standard deviations of the baseline that the curve has to exceed.
ABOVE = 3.0


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Descriptive measures of a curve; None where it never rises.

    Attributes
    ----------
    arrival_s : float or None
        Bolus arrival time (CAPLEX Q.BA1.001), s.
    ttp_s : float or None
        Time from arrival to the peak (Q.CD1.010), s.
    wash_in : float or None
        Slope from baseline to peak (Q.CD1.011), unit of the curve per min.
    wash_out : float or None
        Slope from the peak to the end (Q.CD1.012), (peak - end) / (time of peak - time of end):
        negative where the curve falls.
    auc_early, auc_middle, auc_late : float or None
        Area (Q.CD1.013) in the first minute, in the next four, and after: unit times min.
    late_slope : float or None
        Slope of a line from five minutes after arrival to the end, unit per min.
    """

    arrival_s: float | None = None
    ttp_s: float | None = None
    wash_in: float | None = None
    wash_out: float | None = None
    auc_early: float | None = None
    auc_middle: float | None = None
    auc_late: float | None = None
    late_slope: float | None = None


def arrival(curve: np.ndarray, baseline: int | slice) -> int | None:
    """Find the first time at which a curve is above its baseline, and stays so.

    Parameters
    ----------
    curve : ndarray, shape (n,)
        Enhancement.
    baseline : int or slice
        Times before the contrast agent, or their number, at most: the curve may rise before.

    Returns
    -------
    int or None
        Index of the first of two that exceed the mean of the baseline by three SD (and 2 % of
        the peak); None if there is none.

    Examples
    --------
    >>> arrival(np.array([0.0, 0.01, -0.01, 0.4, 0.9, 0.8]), 3)
    3
    """
    before = baseline if isinstance(baseline, slice) else slice(0, max(baseline, 1))
    first = np.asarray(curve[before], float)
    spread = first.std(ddof=1) if len(first) > 1 else 0.0
    peak = float(np.max(curve))
    above = curve > first.mean() + max(ABOVE * spread, 0.02 * (peak - first.mean()))
    both = above[:-1] & above[1:]
    return int(np.argmax(both)) if both.any() else None


def describe_curve(time_s, curve, baseline: int | slice, arrival_s: float | None = None) -> Shape:
    """Describe a curve of enhancement.

    Parameters
    ----------
    time_s : array-like, shape (n,)
        s.
    curve : array-like, shape (n,)
        Relative enhancement (S / S0 - 1), or concentration.
    baseline : int or slice
        Times before the contrast agent, or their number.
    arrival_s : float, optional
        Arrival of the bolus, where another curve tells it better.

    Returns
    -------
    Shape

    Examples
    --------
    >>> time = np.arange(12) * 60.0
    >>> curve = np.array([0, 0, 0, 1, 0.8, 0.7, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6])
    >>> found = describe_curve(time, curve, 3, 150.0)
    >>> found.ttp_s, round(found.wash_in, 2), round(found.wash_out, 3)
    (30.0, 2.0, -0.05)
    """
    time, curve = np.asarray(time_s, float), np.asarray(curve, float)
    if not np.isfinite(curve).all():
        return Shape()
    if arrival_s is None:
        index = arrival(curve, baseline)
        if index is None:
            return Shape()
        # It came somewhere between this frame and the one before.
        arrival_s = float(time[max(index - 1, 0)] + time[index]) / 2
    after = time >= arrival_s
    if after.sum() < 3:
        return Shape()
    top = int(np.flatnonzero(after)[np.argmax(curve[after])])
    first = curve[baseline if isinstance(baseline, slice) else slice(0, baseline)]
    level = float(first.mean()) if len(first) else 0.0
    rise = float(time[top] - arrival_s) / 60
    fall = float(time[top] - time[-1]) / 60
    late = time >= arrival_s + 300
    slope = None
    if late.sum() >= 3:
        slope = float(np.polyfit(time[late] / 60, curve[late], 1)[0])
    return Shape(
        arrival_s=arrival_s,
        ttp_s=60 * rise,
        wash_in=(float(curve[top]) - level) / rise if rise > 0 else None,
        wash_out=float(curve[top] - curve[-1]) / fall if fall else None,
        auc_early=_area(time, curve, arrival_s, arrival_s + 60),
        auc_middle=_area(time, curve, arrival_s + 60, arrival_s + 300),
        auc_late=_area(time, curve, arrival_s + 300, float(time[-1])),
        late_slope=slope,
    )


def _area(time, curve, low: float, high: float) -> float | None:
    """Integrate straight lines between two times."""
    high = min(high, float(time[-1]))
    if high <= low:
        return None
    points = np.concatenate([[low], time[(time > low) & (time < high)], [high]])
    return float(np.trapezoid(np.interp(points, time, curve), points) / 60)
