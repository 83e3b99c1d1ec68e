"""How a contrast agent runs through the blood, and what frames of a series see of it."""

from __future__ import annotations

from collections.abc import Callable
from math import gamma

import numpy as np

#: Step on which curves are integrated, s.
STEP_S = 0.05
#: Volume fraction of cells in the blood that :func:`parker` is divided by.
HAEMATOCRIT = 0.42


def venous(time_s: np.ndarray, dose: float = 0.1) -> np.ndarray:
    """Concentration in the plasma of the superior sagittal sinus.

    A gamma variate each for the first pass and for recirculation, and two exponentials for the
    distribution into the body and the kidneys' clearance, which rise as recirculation goes on.
    Areas follow from a cardiac output near 5 L/min; the tail is that of the mild-stroke patient
    whose curve is published with SEPAL (1.2 mmol/L five minutes after injection, 0.9 after ten).

    Parameters
    ----------
    time_s : ndarray
        Time since arrival, s.
    dose : float
        mmol per kg of body weight; the curve is proportional to it.

    Returns
    -------
    ndarray
        mmol/L of plasma; 0 before arrival.

    Examples
    --------
    >>> [round(float(venous(np.array(t))), 2) for t in (12.0, 300.0, 600.0, 1200.0)]
    [8.56, 1.21, 0.94, 0.68]
    """
    t = np.asarray(time_s, float)
    minutes = np.maximum(t, 0) / 60
    passes = 120 * _gamma_variate(t, 5.0, 2.8) + 22 * _gamma_variate(t, 12.0, 3.2)
    tail = 0.75 * np.exp(-0.2 * minutes) + 1.05 * np.exp(-0.023 * minutes)
    return dose / 0.1 * (passes + tail * -np.expm1(-((minutes / 0.5) ** 2)))


def _gamma_variate(time_s: np.ndarray, order: float, scale: float) -> np.ndarray:
    """Return ``t^(order-1) exp(-t/scale)`` of unit area, 0 before time 0."""
    at = np.maximum(time_s, 0) / scale
    return at ** (order - 1) * np.exp(-at) / (gamma(order) * scale)


def parker(time_s: np.ndarray, dose: float = 0.1) -> np.ndarray:
    """Population mean of the concentration in arterial plasma of Parker et al. [1]_.

    Its tail falls faster than that of patients with small vessel disease, but it is what test
    objects are made with: the digital ones of OSIPI, and
    :mod:`csvdprep.phantom.permeability.cases`.

    Parameters
    ----------
    time_s : ndarray
        Time since injection, s.
    dose : float
        mmol per kg of body weight; the curve is proportional to it.

    Returns
    -------
    ndarray
        mmol/L of plasma at a haematocrit of 0.42; 0 before arrival.

    References
    ----------
    .. [1] Parker G.J.M. et al. (2006) Experimentally-derived functional form for a
       population-averaged high-temporal-resolution arterial input function for dynamic
       contrast-enhanced MRI. doi:10.1002/mrm.21066

    Examples
    --------
    >>> [round(float(parker(np.array(t))) * 0.58, 2) for t in (10.2, 60.0, 300.0)]
    [6.07, 0.89, 0.45]
    """
    t = np.asarray(time_s, float) / 60
    blood = 1.050 * np.exp(-0.1685 * t) / (1 + np.exp(-38.078 * (t - 0.483)))
    for area, centre, width in ((0.809, 0.17046, 0.0563), (0.330, 0.365, 0.132)):
        blood = blood + (
            area / (width * np.sqrt(2 * np.pi)) * np.exp(-((t - centre) ** 2) / (2 * width**2))
        )
    return dose / 0.1 * np.where(t > 0, blood, 0) / (1 - HAEMATOCRIT)


def frame_means(
    curve: Callable[[np.ndarray], np.ndarray], frames: int, frame_s: float
) -> tuple[np.ndarray, np.ndarray]:
    """Average a curve and its integral over the frames of a series.

    With frames that follow each other without gaps the mean over a frame is what makes plain
    integration right: the trapezoids between the middles of the frames add up to the exact
    integral at the middle of the first pass and beyond, however short it is. Curves are
    integrated by trapezoids of :data:`STEP_S`, which is exact to 1e-5 of their value.

    Parameters
    ----------
    curve : callable
        Concentration (mmol/L) at times in s since the start of the series.
    frames : int
        Number of frames.
    frame_s : float
        Duration of each, s.

    Returns
    -------
    mean : ndarray, shape (frames,)
        mmol/L.
    integral : ndarray, shape (frames,)
        Mean over the frame of the integral since the start of the series, mmol/L min.

    Examples
    --------
    >>> mean, integral = frame_means(lambda t: np.ones_like(t), 2, 60.0)
    >>> mean.round(6).tolist(), integral.round(6).tolist()
    ([1.0, 1.0], [0.5, 1.5])
    """
    steps = int(np.ceil(frame_s / STEP_S))
    times = np.linspace(0, frames * frame_s, frames * steps + 1)
    width = times[1] / 60
    values = curve(times)
    between = (values[1:] + values[:-1]) / 2
    integral = np.concatenate([[0], np.cumsum(between) * width])
    middle = (integral[1:] + integral[:-1]) / 2
    return (
        between.reshape(frames, steps).mean(axis=1),
        middle.reshape(frames, steps).mean(axis=1),
    )
