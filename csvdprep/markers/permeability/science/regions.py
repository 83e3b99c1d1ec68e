"""What a region's curve tells: Patlak, other models beside it, drift, shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from csvdprep.science.kinetics import (
    Fit,
    Shape,
    describe_curve,
    drift_sensitivity,
    extended_tofts_fit,
    patlak_fit,
    plasma_volume_fit,
    two_compartment_fit,
)

#: Patlak's fit begins this long after the injection, s, and needs so many volumes and minutes.
AFTER_S, LEAST_POINTS, LEAST_MIN = 120.0, 8, 10.0
#: Names of the models, as tables have them.
MODELS = {
    'plasma': 'plasma alone, no leakage',
    'patlak': 'Patlak',
    'extended-tofts': 'extended Tofts',
    'two-compartment': 'two-compartment exchange',
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Estimate:
    """What was found of a region.

    Attributes
    ----------
    voxels : int
        Number behind it.
    t1_s, b1 : float
        Medians.
    signal : ndarray, shape (n,)
        Signal relative to that before the contrast agent, median or mean over voxels.
    tissue : ndarray, shape (n,)
        Concentration, mmol/L.
    fit : Fit
        Patlak.
    others : dict of str to Fit
        All models by name, Patlak among them, fitted to the same times.
    drift : float
        Change of PS (1/min) with 0.1 % of drift.
    shape : Shape
        Of the relative enhancement, %.
    """

    voxels: int
    t1_s: float
    b1: float
    signal: np.ndarray
    tissue: np.ndarray
    fit: Fit
    others: dict[str, Fit]
    drift: float
    shape: Shape

    @property
    def best(self) -> str:
        """Name of the model with the least AIC."""
        return min(self.others, key=lambda name: float(self.others[name].aic))


def fit_window(time_s, injection_s: float) -> tuple[np.ndarray, str]:
    """Choose the times of Patlak's fit.

    Parameters
    ----------
    time_s : array-like, shape (n,)
        Middle of each volume, s.
    injection_s : float
        Start of the injection, s.

    Returns
    -------
    use : ndarray of bool, shape (n,)
        From two minutes after the injection on.
    reason : str
        Why they are too few, if they are.

    Examples
    --------
    >>> use, reason = fit_window(np.arange(20) * 60.0, 240.0)
    >>> int(use.sum()), reason
    (14, '')
    >>> fit_window(np.arange(9) * 60.0, 240.0)[1]
    'the series ends 2 min into the fit: 10 min and 8 volumes are needed from 2 min after the \
injection on'
    """
    time = np.asarray(time_s, float)
    use = time >= injection_s + AFTER_S
    step = float(np.median(np.diff(time)))
    span = (time[-1] + step / 2 - injection_s - AFTER_S) / 60
    if use.sum() >= LEAST_POINTS and span >= LEAST_MIN - 0.01:
        return use, ''
    return use, (
        f'the series ends {max(span, 0):.0f} min into the fit: {LEAST_MIN:.0f} min and '
        f'{LEAST_POINTS} volumes are needed from 2 min after the injection on'
    )


def estimate(
    signal: np.ndarray,
    t1_s: np.ndarray,
    b1: np.ndarray,
    *,
    time_s,
    plasma,
    use: np.ndarray,
    baseline: slice,
    convert: Callable[[np.ndarray, float, float], np.ndarray],
    injection_s: float,
    delay_s: float = 0.0,
    curve: str = 'median',
) -> Estimate:
    """Measure a region from the curve of all its voxels.

    Each voxel is divided by its signal before the contrast agent, so that the coil does not
    weight them; the median (or mean) over voxels is converted to concentration once, with the
    median T1. Converting voxels one by one would turn noise into bias.

    Parameters
    ----------
    signal : ndarray, shape (m, n)
        Signal of its voxels.
    t1_s, b1 : ndarray, shape (m,)
        T1 (s; 0 where not known) and true over nominal flip angle.
    time_s, plasma : ndarray, shape (n,)
        Middle of each volume, s; concentration in plasma, mmol/L.
    use : ndarray of bool, shape (n,)
        Times that are fitted.
    baseline : slice
        Volumes before the contrast agent.
    convert : callable
        ``convert(signal, t1, b1)`` returns concentrations.
    injection_s : float
        s.
    delay_s : float
        Of the tissue against the vessel, s.
    curve : {'median', 'mean'}
        Over voxels.

    Returns
    -------
    Estimate
    """
    first = signal[:, baseline].mean(axis=1)
    there = (first > 0) & (t1_s > 0)
    relative = signal[there] / first[there, None]
    over = np.median if curve == 'median' else np.mean
    middle = over(relative, axis=0)
    t1, flip = float(np.median(t1_s[there])), float(np.median(b1[there]))
    tissue = convert(middle, t1, flip)
    given = {'use': use, 'delay_s': delay_s, 'curves': True}
    fits = {
        'plasma': plasma_volume_fit(time_s, plasma, tissue, **given),
        'patlak': patlak_fit(
            time_s, plasma, tissue, baseline=baseline.stop - baseline.start, **given
        ),
        'extended-tofts': extended_tofts_fit(time_s, plasma, tissue, **given),
        'two-compartment': two_compartment_fit(time_s, plasma, tissue, **given),
    }

    def of(changed):
        found = patlak_fit(time_s, plasma, convert(changed, t1, flip), use=use, delay_s=delay_s)
        return float(found.values['ps'])

    return Estimate(
        voxels=int(there.sum()),
        t1_s=t1,
        b1=flip,
        signal=middle,
        tissue=tissue,
        fit=fits['patlak'],
        others=fits,
        drift=drift_sensitivity(of, time_s, middle),
        shape=describe_curve(time_s, 100 * (middle - 1), baseline, arrival_s=injection_s),
    )
