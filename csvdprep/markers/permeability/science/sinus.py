"""The input function, from the superior sagittal sinus."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from csvdprep.core.errors import MeasureError
from csvdprep.science.spin_labelling import blood_t1

#: Volume of the sinus that is averaged, mL, and the fewest and most voxels of it.
VOLUME_ML, LEAST, MOST = 0.5, 8, 50
#: T1 of blood that was measured may differ so much from what is expected; and the field strength,
#: T, where none is given.
BELIEVED, TESLA = 0.2, 3.0
#: Spread of the baseline of a voxel, relative to its mean, above which it is left out.
STEADY = 0.1
#: Concentration in blood that can be told from a signal, mmol/L.
TOLD = (0.3, 12.0)


@dataclass(frozen=True, eq=False)
class Sinus:
    """The input function.

    Attributes
    ----------
    where : ndarray of bool
        Which of the candidates it is the mean of.
    blood : ndarray, shape (n,)
        Concentration in whole blood, mmol/L.
    t1_s : float
        T1 of blood that was taken.
    measured_t1_s : float
        T1 measured in these voxels; NaN if it was not.
    doubt : str
        Why T1 was not that measured; empty if it was.
    """

    where: np.ndarray
    blood: np.ndarray
    t1_s: float
    measured_t1_s: float
    doubt: str = ''


def find_sinus(
    signal: np.ndarray,
    t1_s: np.ndarray,
    voxel_ml: float,
    baseline: slice,
    convert: Callable[[np.ndarray, float, np.ndarray | float], np.ndarray],
    depth: np.ndarray | None = None,
    b1: np.ndarray | None = None,
    tesla: float | None = None,
) -> Sinus:
    """Choose the voxels of blood among candidates, and average their concentration.

    Voxels have to be steady before the bolus, to peak within a volume of the others, and not to
    be saturated. Of these, those of the largest area after the first pass are taken: they hold
    most blood.

    Parameters
    ----------
    signal : ndarray, shape (m, n)
        Signal of candidates, which lie where the sinus may be.
    t1_s : ndarray, shape (m,)
        T1 measured there, 0 where not.
    voxel_ml : float
        Volume of a voxel, mL.
    baseline : slice
        Volumes before the contrast agent.
    convert : callable
        ``convert(signal, t1, b1)`` returns concentrations, mmol/L.
    depth : ndarray, shape (m,), optional
        Late enhancement averaged over each voxel and its neighbours; by default the mean
        concentration of the voxel itself after the first pass.
    b1 : ndarray, shape (m,), optional
        True over nominal flip angle.
    tesla : float, optional
        Field strength: T1 of blood is expected by it. 3 T if it is not given.

    Returns
    -------
    Sinus

    Raises
    ------
    MeasureError
        If there are too few voxels, or all are saturated.
    """
    signal = np.asarray(signal, float)
    b1 = np.ones(len(signal)) if b1 is None else np.asarray(b1, float)
    expected = blood_t1(tesla or TESLA)
    wanted = int(np.clip(round(VOLUME_ML / voxel_ml), LEAST, MOST))
    first = signal[:, baseline]
    level = first.mean(axis=1)
    steady = level > 0
    if first.shape[1] > 1:
        steady &= first.std(axis=1, ddof=1) < STEADY * np.maximum(level, 1e-9)
    rise = np.where(steady, signal.max(axis=1) / np.maximum(level, 1e-9) - 1, 0)
    # Vessels stand out: what rises less than half as much as the best holds more tissue.
    bright = rise > 0.5 * np.quantile(rise[steady], 0.98) if steady.any() else steady
    use = np.flatnonzero(steady & bright & (rise > 0.3))
    if len(use) < LEAST:
        raise MeasureError(
            f'Only {len(use)} voxels where the superior sagittal sinus may lie enhance as blood '
            'does: there is no input function.',
            remedy='Check that the series covers the back of the head, and the registration.',
        )
    peak = signal[use].argmax(axis=1)
    use = use[np.abs(peak - np.median(peak)) <= 1]
    blood = convert(signal[use], expected, b1[use])
    with np.errstate(invalid='ignore'):
        top = np.nanmax(np.where(np.isfinite(blood), blood, -np.inf), axis=1)
        told = np.isfinite(blood).all(axis=1) & (top >= TOLD[0]) & (top <= TOLD[1])
    if told.sum() < LEAST:
        raise MeasureError(
            f'The signal of the superior sagittal sinus is saturated or too weak (only '
            f'{int(told.sum())} of {len(use)} voxels can be converted): there is no input '
            'function.',
            remedy='Check flip angle and repetition time; a higher flip angle saturates later.',
        )
    use, blood = use[told], blood[told]
    if depth is None:
        after = min(int(np.median(signal[use].argmax(axis=1))) + 1, blood.shape[1] - 2)
        rank = blood[:, after:].mean(axis=1)
    else:
        rank = np.asarray(depth, float)[use]
    best = np.argsort(-rank, kind='stable')[:wanted]
    chosen = use[best]
    measured = np.asarray(t1_s, float)[chosen]
    measured = measured[(measured > 0) & np.isfinite(measured)]
    own = float(np.median(measured)) if len(measured) >= LEAST // 2 else float('nan')
    # Converted as one curve: the mean of signals relative to the baseline has least noise.
    curve = (signal[chosen] / level[chosen, None]).mean(axis=0)
    flip = float(np.median(b1[chosen]))
    where = np.zeros(len(signal), bool)
    where[chosen] = True
    doubt = ''
    if not np.isfinite(own):
        doubt = f'T1 of blood was not measured; {expected:g} s is taken'
    elif abs(own / expected - 1) > BELIEVED:
        doubt = (
            f'T1 measured in blood is {own:.2f} s, which is not believed; {expected:g} s is taken'
        )
    else:
        blood = convert(curve, own, flip)
        if _is_told(blood):
            return Sinus(where, blood, own, own)
        doubt = (
            f'with T1 measured in blood ({own:.2f} s) its signal has no concentration; '
            f'{expected:g} s is taken'
        )
    blood = convert(curve, expected, flip)
    if not _is_told(blood):
        raise MeasureError(
            'The mean signal of the superior sagittal sinus cannot be converted to concentration: '
            'there is no input function.',
            remedy='Check flip angle and repetition time; a higher flip angle saturates later.',
        )
    return Sinus(where, blood, expected, own, doubt)


def _is_told(blood: np.ndarray) -> bool:
    """Tell whether all of a curve has a concentration that can be."""
    return bool(np.isfinite(blood).all() and TOLD[0] <= blood.max() <= TOLD[1])
