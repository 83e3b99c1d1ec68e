"""Detection limits: the size of which half of the lesions are found, by place and contrast.

Whether a lesion is found is a logistic function of the logarithm of its diameter, fitted with
Firth's correction (1993, doi:10.1093/biomet/80.1.27), which stays finite where all large lesions
are found and all small ones missed. Intervals are percentiles of a bootstrap over visits: lesions
of one scan are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from csvdprep.scoring.lesions import Lesion, Scan

__all__ = ['fit_detection', 'lesion_outcomes', 'limits']

#: Lesions that a group needs for a fit, and for a division by contrast.
LEAST, LEAST_BY_CONTRAST = 10, 30
#: Repeats of the bootstrap, and visits that it needs.
REPEATS, LEAST_VISITS = 200, 3
#: Steps of the fit, and the largest of them.
STEPS, LARGEST = 50, 4.0
_THIRDS = ('low', 'middle', 'high')


def limits(label: str, scans: Sequence[Scan]) -> list[dict]:
    """Tell the detection limit of a kind of lesion, over all, by place and by contrast.

    Parameters
    ----------
    label : str
        Kind of lesion.
    scans : sequence of Scan
        Visits, at least one.

    Returns
    -------
    list of dict
        Rows of ``limits.tsv``; none where there is no true lesion.
    """
    groups = [('all', 'all', None), *_places(scans), *_contrasts(scans)]
    return [
        row
        for group, level, member in groups
        if (row := _row(label, group, level, member, scans)) is not None
    ]


def lesion_outcomes(label: str, scans: Sequence[Scan]) -> list[dict]:
    """Tell of each true lesion whether it was found.

    Parameters
    ----------
    label : str
        Kind of lesion.
    scans : sequence of Scan
        Visits.

    Returns
    -------
    list of dict
        Rows of ``lesions.tsv``.

    Examples
    --------
    >>> one = Lesion(4.0, True, region='thalamus')
    >>> rows = lesion_outcomes('lacune', [Scan('sub-01', (4.0,), (), None, 'distance', (one,))])
    >>> rows[0]['found'], rows[0]['region']
    (1, 'thalamus')
    """
    return [
        {
            'label': label,
            'visit': scan.visit,
            'diameter_mm': one.diameter_mm,
            'region': one.region,
            'contrast': one.contrast,
            'found': int(one.found),
            'true_mm3': one.true_mm3,
            'found_mm3': one.found_mm3,
        }
        for scan in scans
        for one in scan.lesions
    ]


def fit_detection(sizes: Sequence[float], found: Sequence[bool]) -> tuple[float, float]:
    """Fit the probability of being found, a logistic function of the logarithm of the size.

    Parameters
    ----------
    sizes : sequence of float
        Diameters, mm, above 0.
    found : sequence of bool
        Whether each was found.

    Returns
    -------
    intercept, slope : float
        Of the logit over the natural logarithm of the diameter.

    Examples
    --------
    >>> sizes = [1, 2, 3, 4, 5, 6, 7, 8] * 5
    >>> intercept, slope = fit_detection(sizes, [size > 4 for size in sizes])
    >>> round(math.exp(-intercept / slope), 1)
    4.5
    """
    x = np.log(np.asarray(sizes, float))
    middle = float(x.mean())
    design = np.column_stack([np.ones(len(x)), x - middle])
    y = np.asarray(found, float)
    beta = np.zeros(2)
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))
        weight = np.maximum(p * (1 - p), 1e-10)
        information = design.T @ (weight[:, None] * design)
        information += 1e-9 * np.eye(2)
        inverse = np.linalg.inv(information)
        hat = weight * np.einsum('ij,jk,ik->i', design, inverse, design)
        step = inverse @ (design.T @ (y - p + hat * (0.5 - p)))
        step *= min(1.0, LARGEST / max(float(np.abs(step).max()), 1e-12))
        beta = beta + step
        if np.abs(step).max() < 1e-8:
            break
    return float(beta[0] - beta[1] * middle), float(beta[1])


def _places(scans: Sequence[Scan]) -> Iterator[tuple]:
    """Yield a group for each region that the truth names."""
    names = sorted({one.region for scan in scans for one in scan.lesions if one.region})
    if len(names) > 1:
        for name in names:
            yield 'place', name, lambda one, name=name: one.region == name


def _contrasts(scans: Sequence[Scan]) -> Iterator[tuple]:
    """Yield thirds of the size of the contrast, where the truth tells it of enough lesions."""
    known = [abs(one.contrast) for s in scans for one in s.lesions if one.contrast is not None]
    if len(known) < LEAST_BY_CONTRAST or max(known) - min(known) < 1e-3:
        return
    low, high = (float(cut) for cut in np.quantile(known, [1 / 3, 2 / 3]))
    bounds = ((-math.inf, low), (low, high), (high, math.inf))
    for name, (least, most) in zip(_THIRDS, bounds, strict=True):
        said = f'{name} ({max(least, min(known)):.2f} to {min(most, max(known)):.2f})'

        def within(one, least=least, most=most):
            return one.contrast is not None and least <= abs(one.contrast) < most

        yield 'contrast', said, within


def _row(label: str, group: str, level: str, member, scans: Sequence[Scan]) -> dict | None:
    chosen = [[one for one in s.lesions if member is None or member(one)] for s in scans]
    lesions = list(chain.from_iterable(chosen))
    if not lesions:
        return None
    found = sum(one.found for one in lesions)
    sizes = [one.diameter_mm for one in lesions]
    row = {
        'label': label,
        'group': group,
        'level': level,
        'n_scans': sum(bool(some) for some in chosen),
        'n_true': len(lesions),
        'n_found': found,
        'sensitivity': found / len(lesions),
        'smallest_mm': min(sizes),
        'largest_mm': max(sizes),
        'fp_per_scan': _false(scans) if member is None else None,
    }
    slope, no_slope = _volume_slope(lesions)
    limit, no_limit = _limit(chosen)
    reasons = [reason for reason in (no_limit, no_slope) if reason]
    return row | limit | {'volume_slope': slope, 'reason': '; '.join(reasons) or None}


def _false(scans: Sequence[Scan]) -> float:
    """Count candidates on no true lesion, per visit."""
    return sum(not c.lesions for scan in scans for c in scan.candidates) / len(scans)


def _volume_slope(lesions: Sequence[Lesion]) -> tuple[float | None, str | None]:
    """Give the slope of found on true volumes of single lesions, through the origin."""
    pairs = [(one.true_mm3, one.found_mm3) for one in lesions if one.found_mm3 is not None]
    if not pairs:
        return None, 'no volumes of single lesions: no masks on one grid'
    true, seen = np.array(pairs).T
    return float(true @ seen / (true @ true)), None


def _limit(chosen: Sequence[Sequence[Lesion]]) -> tuple[dict, str | None]:
    """Give the diameter of which half, and nine in ten, are found, with an interval."""
    empty = dict.fromkeys(('d50_mm', 'd50_low', 'd50_high', 'd90_mm', 'logit', 'steepness'))
    lesions = list(chain.from_iterable(chosen))
    sizes = np.array([one.diameter_mm for one in lesions])
    found = np.array([one.found for one in lesions])
    if len(lesions) < LEAST:
        return empty, f'fewer than {LEAST} lesions'
    if (sizes <= 0).any() or np.ptp(sizes) < 1e-6:
        return empty, 'all lesions have one size'
    if not found.any():
        return empty, f'none is found, up to the largest ({sizes.max():.1f} mm)'
    if found.all():
        return empty, f'all are found, from the smallest on ({sizes.min():.1f} mm)'
    intercept, slope = fit_detection(sizes, found)
    if slope <= 0:
        return empty, 'larger lesions are not found more often'
    out = empty | {'logit': intercept, 'steepness': slope}
    half = math.exp(min(-intercept / slope, 30))
    if half < sizes.min():
        return out, f'more than half are found from the smallest on ({sizes.min():.1f} mm)'
    if half > sizes.max():
        return out, f'fewer than half are found up to the largest ({sizes.max():.1f} mm)'
    out['d50_mm'] = half
    ninety = math.exp(min((math.log(9) - intercept) / slope, 30))
    out['d90_mm'] = ninety if ninety <= sizes.max() else None
    out['d50_low'], out['d50_high'] = _interval(chosen)
    return out, None


def _interval(chosen: Sequence[Sequence[Lesion]]) -> tuple[float | None, float | None]:
    """Give the 95 % interval of the size of which half are found; None with few visits."""
    visits = [some for some in chosen if some]
    if len(visits) < LEAST_VISITS:
        return None, None
    rng = np.random.default_rng(0)
    halves = []
    for _ in range(REPEATS):
        drawn = rng.integers(len(visits), size=len(visits))
        lesions = [one for index in drawn for one in visits[index]]
        sizes = np.array([one.diameter_mm for one in lesions])
        if len(lesions) < LEAST or np.ptp(sizes) < 1e-6:
            continue
        intercept, slope = fit_detection(sizes, [one.found for one in lesions])
        if slope > 0:
            halves.append(math.exp(np.clip(-intercept / slope, -30, 30)))
    if len(halves) < REPEATS / 2:
        return None, None
    low, high = np.quantile(halves, [0.025, 0.975])
    return float(low), float(high)
