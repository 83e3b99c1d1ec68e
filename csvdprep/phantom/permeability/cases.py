"""The named case P10: permeability of three tissues, and what drift does to its estimate.

The case is that of the specification's table of drift (section 7.3): 16 min, TR 8.3 ms, flip
angle 12 degrees, relaxivity 4.5 L/mmol/s. The table does not tell its input function or frames.
Parker's function at a haematocrit of 0.42, in 20 frames of 48 s with the injection after five of
them, gives all its values to 1.4 % by a fit that begins two minutes after the injection. With the
tail of :func:`csvdprep.phantom.permeability.bolus.venous`, about three times as high, drift does
less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from csvdprep.phantom.permeability.bolus import frame_means, parker
from csvdprep.phantom.permeability.contrast import spgr

#: PS in 1/min, v_p and T1 in s of each tissue.
TISSUE_VALUES = {
    'nawm': (3e-4, 0.006, 0.95),
    'wmh': (5e-4, 0.006, 1.25),
    'gm': (9e-4, 0.012, 1.40),
}
#: Estimates of PS (1e-4/min) that the specification prints, by drift over the run in %.
PRINTED = {
    'nawm': {-1.0: 0.4, -0.5: 1.7, 0.5: 4.3, 1.0: 5.6},
    'wmh': {-1.0: 3.1, -0.5: 4.1, 0.5: 6.0, 1.0: 6.9},
    'gm': {-1.0: 7.3, -0.5: 8.1, 0.5: 9.9, 1.0: 10.7},
}
#: Frames and their duration in s, injection in s, TR in ms, flip angle in degrees, relaxivity in
#: L/mmol/s, frames before the contrast agent, first time of the fit in s.
FRAMES, FRAME_S, INJECTION_S = 20, 48.0, 240.0
TR_MS, FLIP, RELAXIVITY = 8.3, 12.0, 4.5
BASELINE, FIT_FROM_S = 5, 360.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A tissue's curve.

    Attributes
    ----------
    time_s : ndarray, shape (n,)
        Middle of each frame, s.
    signal : ndarray, shape (n,)
        Signal relative to fully relaxed protons.
    cp : ndarray, shape (n,)
        Mean concentration in plasma during each frame, mmol/L.
    ps, vp, t1 : float
        The truth: 1/min, fraction, s.
    """

    time_s: np.ndarray
    signal: np.ndarray
    cp: np.ndarray
    ps: float
    vp: float
    t1: float


def p10(tissue: str, drift: float = 0.0) -> Case:
    """Make the curve of a tissue.

    Parameters
    ----------
    tissue : {'nawm', 'wmh', 'gm'}
        A key of :data:`TISSUE_VALUES`.
    drift : float
        Linear change of the signal over the run, %.

    Returns
    -------
    Case

    Examples
    --------
    >>> case = p10('nawm', drift=0.5)
    >>> case.signal.shape, bool(case.signal[-1] > case.signal[0])
    ((20,), True)
    """
    ps, vp, t1 = TISSUE_VALUES[tissue]
    cp, integral = frame_means(lambda t: parker(t - INJECTION_S), FRAMES, FRAME_S)
    rate = 1 / t1 + RELAXIVITY * (vp * cp + ps * integral)
    time_s = (np.arange(FRAMES) + 0.5) * FRAME_S
    factors = 1 + drift / 100 * time_s / (FRAMES * FRAME_S)
    return Case(
        time_s=time_s, cp=cp, ps=ps, vp=vp, t1=t1, signal=factors * spgr(1.0, rate, TR_MS, FLIP)
    )
