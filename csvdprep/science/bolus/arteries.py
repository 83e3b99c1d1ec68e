"""The arterial input function: a cluster of voxels that are early, high, narrow, not saturated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from csvdprep.core.errors import MeasureError

#: Candidates have the highest areas: this share of the voxels, and at least so many.
SHARE, LEAST_CANDIDATES = 0.05, 30
#: Voxels that are averaged, and within what distance of the middle of the cluster, mm.
VOXELS, LEAST_VOXELS, REACH_MM = 8, 3, 12.0
#: Voxels of the cluster lower than this share of its highest hold more tissue than artery.
HIGH = 0.6
#: Signal at the peak that can be told from noise: multiples of its SD.
TOLD = 3.0
#: Volume of a vein that is averaged, mL, and its fewest and most voxels.
DRAIN_ML, DRAIN_VOXELS = 0.6, (5, 40)
#: Spread of the baseline relative to the peak above which a voxel is left out.
STEADY = 0.15


@dataclass(frozen=True, eq=False)
class Arteries:
    """The arterial input function.

    Attributes
    ----------
    where : ndarray of int, shape (m,)
        Indices of the voxels that it is the mean of.
    curve : ndarray, shape (n,)
        Change of R2*, 1/s.
    peak_s : float
        Time of its peak, s.
    width_s : float
        Full width at half of its height, s.
    floor : float
        Lowest signal of the voxels at the peak, in SD of the noise; the median.
    saturated : int
        Number of early, high voxels that were left out because their signal ends in noise.
    """

    where: np.ndarray
    curve: np.ndarray
    peak_s: float
    width_s: float
    floor: float
    saturated: int

    def of(self, rows: np.ndarray) -> Arteries:
        """Return it with indices into the rows that it was chosen from."""
        return replace(self, where=np.asarray(rows)[self.where])


def find_arteries(
    curves: np.ndarray,
    lowest: np.ndarray,
    positions_mm: np.ndarray,
    baseline: slice,
    step_s: float,
    last: int | None = None,
    late_s: np.ndarray | None = None,
) -> Arteries:
    """Find the arterial input function among the voxels of the brain.

    Of the voxels with the largest area, each is ranked by height, by time to peak and by width;
    the sum of the ranks is averaged over the neighbourhood, and the best voxels around the best
    place are averaged: one artery rather than voxels of several, or noise.

    Parameters
    ----------
    curves : ndarray, shape (m, n)
        Change of R2*, 1/s.
    lowest : ndarray, shape (m,)
        Lowest signal of each voxel, in SD of the noise.
    positions_mm : ndarray, shape (m, 3)
        Where they lie.
    baseline : slice
        Volumes before the bolus.
    step_s : float
        Time from volume to volume, s.
    last : int, optional
        Volume after the first pass; heights and times are looked for before it.
    late_s : ndarray, shape (m,), optional
        When each voxel is read after the start of a volume, s.

    Returns
    -------
    Arteries

    Raises
    ------
    MeasureError
        If no voxels are arterial, or all of those are saturated.
    """
    window = np.asarray(curves, float)[:, : last or curves.shape[1]]
    height = window.max(axis=1)
    noise = window[:, baseline].std(axis=1)
    area = np.clip(window, 0, None).sum(axis=1)
    good = (height > 0) & (noise < STEADY * np.maximum(height, 1e-9))
    if good.sum() < LEAST_CANDIDATES:
        raise MeasureError(
            f'Only {int(good.sum())} voxels show a bolus: there is no arterial input function.',
            remedy='Check that the series shows the bolus, and its brain mask.',
        )
    wanted = max(LEAST_CANDIDATES, round(SHARE * int(good.sum())))
    order = np.flatnonzero(good)[np.argsort(-area[good], kind='stable')]
    chosen = order[:wanted]
    late = np.zeros(len(window)) if late_s is None else np.asarray(late_s, float)
    peak, width = _peaks(window[chosen], step_s)
    peak = peak + late[chosen]
    usable = np.isfinite(peak) & np.isfinite(width)
    # Arteries peak before the bulk of the brain does.
    bulk = order[:: max(1, len(order) // 5000)]
    early = peak <= np.nanquantile(_peaks(window[bulk], step_s)[0] + late[bulk], 0.5)
    told = lowest[chosen] >= TOLD
    saturated = int((usable & early & ~told).sum())
    use = usable & early & told
    if use.sum() < LEAST_VOXELS:
        raise MeasureError(
            f'Only {int(use.sum())} voxels are early, high and narrow as an artery is'
            + (f'; {saturated} more end in noise (saturated)' if saturated else '')
            + ': there is no arterial input function.',
            remedy='A shorter echo time or less contrast agent saturates less; check the series.',
        )
    chosen, peak, width = chosen[use], peak[use], width[use]
    score = _ranks(height[chosen]) + _ranks(-peak) + _ranks(-width)
    at = positions_mm[chosen]
    near = cKDTree(at).query_ball_point(at, REACH_MM, return_sorted=True)
    best = np.array([np.sort(score[row])[-VOXELS:].sum() for row in near])
    around = np.array(near[int(np.argmax(best))])
    ordered = around[np.argsort(-score[around], kind='stable')[:VOXELS]]
    tall = height[chosen[ordered]]
    full = tall >= HIGH * tall.max()
    picked = chosen[ordered[full] if full.sum() >= LEAST_VOXELS else ordered[:LEAST_VOXELS]]
    if len(picked) < LEAST_VOXELS:
        raise MeasureError(
            'No cluster of arterial voxels was found: there is no arterial input function.',
            remedy='Check that the series covers the base of the brain.',
        )
    curve = np.asarray(curves, float)[picked].mean(axis=0)
    if not np.trapezoid(curve) > 0:
        raise MeasureError(
            'The signal of the artery ends far above that before the bolus, so that its curve has '
            'no area: there is no arterial input function.',
            remedy='Look at the series: coils, scaling or T1 may have changed within it.',
        )
    top, wide = _peaks(curve[None, : window.shape[1]], step_s)
    return Arteries(
        picked, curve, float(top[0]), float(wide[0]), float(np.median(lowest[picked])), saturated
    )


def find_drain(
    curves: np.ndarray,
    lowest: np.ndarray,
    baseline: slice,
    step_s: float,
    last: int,
    voxel_ml: float,
) -> Arteries:
    """Average the curve of a large vein, of which the place is known.

    Voxels of the largest area are blood; those whose peak lies farther than a volume and a half
    from the median of these are left out.

    Parameters
    ----------
    curves : ndarray, shape (m, n)
        Change of R2* where the vein may be, 1/s.
    lowest : ndarray, shape (m,)
        Lowest signal of each voxel, in SD of the noise.
    baseline : slice
        Volumes before the bolus.
    step_s : float
        Time from volume to volume, s.
    last : int
        Volume after the first pass.
    voxel_ml : float
        Volume of a voxel, mL.

    Returns
    -------
    Arteries

    Raises
    ------
    MeasureError
        If there are too few voxels.
    """
    window = np.asarray(curves, float)[:, :last]
    words = 'Check that the series covers the back of the head, and the registration.'
    wanted = int(np.clip(round(DRAIN_ML / voxel_ml), *DRAIN_VOXELS))
    if len(window) >= wanted:
        height = window.max(axis=1)
        noise = window[:, baseline].std(axis=1)
        peak, width = _peaks(window, step_s)
        good = np.isfinite(peak) & np.isfinite(width) & (noise < STEADY * np.maximum(height, 1e-9))
        good &= lowest >= TOLD
        rows = np.flatnonzero(good)
        area = np.clip(window[rows], 0, None).sum(axis=1)
        best = rows[np.argsort(-area, kind='stable')[:wanted]]
        if len(best):
            best = best[np.abs(peak[best] - np.median(peak[best])) <= 1.5 * step_s]
        if len(best) >= DRAIN_VOXELS[0]:
            curve = np.asarray(curves, float)[best].mean(axis=0)
            top, wide = _peaks(curve[None, :last], step_s)
            if np.isfinite(top[0]):
                floor = float(np.median(lowest[best]))
                return Arteries(best, curve, float(top[0]), float(wide[0]), floor, 0)
    raise MeasureError(
        'Too few voxels show the bolus where the superior sagittal sinus may lie, or it is '
        'saturated: there is no arteriovenous transit time.',
        remedy=words,
    )


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks from 0 to 1; ties in the order given."""
    ranks = np.empty(len(values))
    ranks[np.argsort(values, kind='stable')] = np.linspace(0, 1, len(values))
    return ranks


def _peaks(curves: np.ndarray, step_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Return time of the peak and full width at half height, s; NaN where there is none."""
    count = curves.shape[1]
    rows = np.arange(len(curves))
    top = curves.argmax(axis=1)
    half = curves[rows, top] / 2
    index = np.arange(count)
    below = curves < half[:, None]
    left = np.where(below & (index < top[:, None]), index, -1).max(axis=1)
    right = np.where(below & (index > top[:, None]), index, count).min(axis=1)
    inside = (left >= 0) & (right < count) & (top > 0) & (top < count - 1)
    low, high = np.clip(left, 0, count - 2), np.clip(right, 1, count - 1)

    def cross(first, second):
        one, two = curves[rows, first], curves[rows, second]
        with np.errstate(divide='ignore', invalid='ignore'):
            return first + np.where(two != one, (half - one) / (two - one), 0.5)

    width = cross(high - 1, high) - cross(low, low + 1)
    at = np.clip(top, 1, count - 2)
    before, middle, after = (curves[rows, at + step] for step in (-1, 0, 1))
    bend = before - 2 * middle + after
    with np.errstate(divide='ignore', invalid='ignore'):
        shift = np.clip(np.where(bend < 0, 0.5 * (before - after) / bend, 0), -0.5, 0.5)
    return (
        np.where(inside, (at + shift) * step_s, np.nan),
        np.where(inside, width * step_s, np.nan),
    )
