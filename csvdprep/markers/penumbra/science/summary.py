"""What the profile of a map around hyperintensities comes to: slope, height, width.

The ring from 0 to 1 mm holds parts of the lesion and is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from csvdprep.markers.penumbra.science import RING_VOXELS, RINGS, Profile, ring_profile

__all__ = ['Summary', 'adjusted_slope', 'summarise']

#: The slope is taken over these rings (from 1 to 8 mm); fewest of them that have a value.
SLOPE_RINGS, SLOPE_NEEDS = range(1, 8), 4
#: From this distance on white matter counts as remote, mm.
REMOTE_MM = 15

# A remote part whose own change is more than this share of the height is no plateau.
_FLAT = 0.25
# Lengths of the exponential, mm, that a profile of 20 rings can tell apart.
_LENGTHS = np.geomspace(0.5, 15, 120)


@dataclass(frozen=True)
class Summary:
    """What a profile comes to; None where it cannot be had, with the reason by its name.

    Attributes
    ----------
    slope : float or None
        Slope of the medians from 1 to 8 mm, unit of the map per mm.
    delta : float or None
        Median from 1 to 2 mm minus ``plateau``.
    plateau : float or None
        Median from 15 to 20 mm.
    width_mm : float or None
        Inner edge of the first ring whose mean is within one standard error of that from 15 to
        20 mm, or beyond. The more voxels, the smaller the error and the larger this width.
    decay_mm : float or None
        Length L of ``plateau + height exp(-d / L)``: a width that does not depend on the number
        of voxels.
    reasons : dict of str to str
        Why an attribute is None.
    """

    slope: float | None = None
    delta: float | None = None
    plateau: float | None = None
    width_mm: float | None = None
    decay_mm: float | None = None
    reasons: dict[str, str] = field(default_factory=dict)


def summarise(values: np.ndarray, distance: np.ndarray) -> Summary:
    """Compute slope, height and width of a profile.

    Parameters
    ----------
    values, distance : ndarray
        As in `ring_profile`.

    Returns
    -------
    Summary

    Examples
    --------
    >>> away = np.linspace(0, 20, 20001)
    >>> found = summarise(0.8 + 0.3 * np.exp(-away / 4), away)
    >>> round(found.slope, 4), round(found.delta, 3), found.width_mm, round(found.decay_mm, 2)
    (-0.0262, 0.202, 17.0, 4.0)
    >>> summarise(away[:10000], away[:10000]).reasons['width_mm']
    'Fewer than 50 voxels of white matter are 15 to 20 mm from these lesions.'
    """
    values, distance = np.ravel(values), np.ravel(distance)
    profile = ring_profile(values, distance)
    found: dict[str, float | None] = {}
    reasons: dict[str, str] = {}

    x, y = _rings(profile, SLOPE_RINGS)
    if len(x) >= SLOPE_NEEDS:
        found['slope'] = float(np.polyfit(x, y, 1)[0])
    else:
        reasons['slope'] = (
            f'Fewer than {SLOPE_NEEDS} rings between 1 and 8 mm have {RING_VOXELS} voxels.'
        )

    far = values[(distance >= REMOTE_MM) & (distance < RINGS) & np.isfinite(values)]
    if len(far) < RING_VOXELS:
        why = (
            f'Fewer than {RING_VOXELS} voxels of white matter are {REMOTE_MM} to {RINGS} '
            'mm from these lesions.'
        )
        reasons |= dict.fromkeys(('plateau', 'delta', 'width_mm', 'decay_mm'), why)
        return Summary(**found, reasons=reasons)
    found['plateau'] = float(np.median(far))
    if profile.median[1] is None:
        why = f'The ring from 1 to 2 mm has fewer than {RING_VOXELS} voxels.'
        reasons |= dict.fromkeys(('delta', 'width_mm', 'decay_mm'), why)
        return Summary(**found, reasons=reasons)
    found['delta'] = profile.median[1] - found['plateau']
    why = _no_plateau(profile, found['delta'])
    if why:
        reasons |= dict.fromkeys(('width_mm', 'decay_mm'), why)
        return Summary(**found, reasons=reasons)
    for name, (value, why) in (('width_mm', _width(profile, far)), ('decay_mm', _decay(profile))):
        found[name] = value
        if value is None:
            reasons[name] = why
    return Summary(**found, reasons=reasons)


def adjusted_slope(
    values: np.ndarray, distance: np.ndarray, covariates: Sequence[np.ndarray]
) -> tuple[float | None, str]:
    """Compute the slope of a map with the distance from lesions, other things being equal.

    Distance from lesions goes with distance from the ventricles and with the tract: the voxels
    from 1 to 8 mm are regressed on all of them at once.

    Parameters
    ----------
    values, distance : ndarray
        As in `ring_profile`.
    covariates : sequence of ndarray, same shape
        Distance from the ventricles, anisotropy of a template, ...

    Returns
    -------
    slope : float or None
        Unit of the map per mm.
    reason : str
        Why it is None, else empty.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> away, ventricles = rng.uniform(1, 8, 500), rng.uniform(0, 30, 500)
    >>> slope, _ = adjusted_slope(1 - 0.02 * away - 0.01 * ventricles, away, [ventricles])
    >>> round(slope, 6)
    -0.02
    """
    columns = [np.ravel(column).astype(float) for column in (distance, *covariates)]
    values = np.ravel(values).astype(float)
    use = (columns[0] >= SLOPE_RINGS.start) & (columns[0] < SLOPE_RINGS.stop) & np.isfinite(values)
    for column in columns:
        use &= np.isfinite(column)
    if use.sum() < SLOPE_NEEDS * RING_VOXELS:
        return None, (f'Fewer than {SLOPE_NEEDS * RING_VOXELS} voxels are 1 to 8 mm from lesions.')
    table = np.column_stack([column[use] - column[use].mean() for column in columns])
    scale = table.std(axis=0)
    if (scale <= 1e-9).any() or np.linalg.matrix_rank(table / scale, tol=1e-6 * use.sum()) < len(
        columns
    ):
        return None, (
            'The effect of distance cannot be separated from the other measures in these voxels.'
        )
    answer = np.linalg.lstsq(table / scale, values[use] - values[use].mean(), rcond=None)[0]
    return float(answer[0] / scale[0]), ''


def _rings(profile: Profile, rings: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Mean distance and median of the rings that have them."""
    there = [ring for ring in rings if profile.median[ring] is not None]
    return (
        np.array([profile.distance_mm[ring] for ring in there]),
        np.array([profile.median[ring] for ring in there]),
    )


def _no_plateau(profile: Profile, delta: float) -> str:
    """Say why what is remote is no plateau; empty if it is one."""
    x, y = _rings(profile, range(REMOTE_MM, RINGS))
    if len(x) < 3:
        return (
            f'Fewer than three rings between {REMOTE_MM} and {RINGS} mm have {RING_VOXELS} voxels.'
        )
    change = abs(np.polyfit(x, y, 1)[0]) * (RINGS - REMOTE_MM)
    if change > _FLAT * abs(delta) + 1e-12 * np.abs(y).max():
        return (
            f'The profile does not level off: from {REMOTE_MM} to {RINGS} mm it changes by '
            f'more than {_FLAT:.0%} of its height.'
        )
    return ''


def _width(profile: Profile, far: np.ndarray) -> tuple[float | None, str]:
    """Find the first ring that is within one standard error of the remote mean, or beyond."""
    remote, error = far.mean(), far.std(ddof=1) / len(far) ** 0.5
    sign = np.sign(profile.mean[1] - remote)
    for ring in range(1, RINGS):
        if profile.mean[ring] is None:
            return None, f'The ring from {ring} to {ring + 1} mm has too few voxels.'
        if sign * (profile.mean[ring] - remote) <= np.hypot(profile.se[ring], error):
            return float(ring), ''
    return None, 'The profile does not reach its remote value.'


def _decay(profile: Profile) -> tuple[float | None, str]:
    """Fit ``c + h exp(-d / L)`` to the medians: for each L a weighted line in exp(-d / L)."""
    x, y = _rings(profile, range(1, RINGS))
    if len(x) < 8:
        return None, 'Fewer than eight rings have enough voxels.'
    weight = np.array(
        [
            n
            for n, median in zip(profile.voxels[1:], profile.median[1:], strict=True)
            if median is not None
        ],
        dtype=float,
    )
    weight /= weight.sum()
    y = y - weight @ y

    def lines(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean squared error, height and its standard error for each length."""
        fall = np.exp(-x / lengths[:, None])
        fall -= (fall @ weight)[:, None]
        square = (fall**2) @ weight
        height = (fall * y) @ weight / square
        error = ((y - height[:, None] * fall) ** 2) @ weight
        return error, height, np.sqrt(error / square / (len(x) - 3))

    lengths = _LENGTHS
    for _ in range(3):
        error, height, spread = lines(lengths)
        best = int(error.argmin())
        if lengths is _LENGTHS and best in (0, len(lengths) - 1):
            return None, 'The profile does not fit an exponential decay.'
        found = float(lengths[best]), abs(height[best]) > 2 * spread[best]
        lengths = np.linspace(
            lengths[max(best - 1, 0)], lengths[min(best + 1, len(lengths) - 1)], 21
        )
    if not found[1]:
        return None, 'The profile does not differ from a flat profile.'
    return found[0], ''
