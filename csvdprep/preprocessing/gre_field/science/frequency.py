"""The frequency that the phases of several echoes tell together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from csvdprep.core.errors import MeasureError
from csvdprep.science.phase import TURN, unwrap, wrapped

#: Width (mm) over which the phase of the receiver is smooth, and rounds of smoothing.
RECEIVER_MM, RECEIVER_ROUNDS = 2.0, 4
#: Rounds of the fit of the frequency.
ROUNDS = 3


@dataclass(frozen=True)
class Frequency:
    """The frequency of each voxel.

    Attributes
    ----------
    hertz : ndarray of float32
        Shift against the scanner's frequency; 0 outside of the mask.
    sd_hertz : ndarray of float32
        Standard error of it by the noise of the magnitude; infinite outside of the mask.
    misfit : ndarray of float32
        Weighted root mean square of what phases of single echoes are off, rad (one echo: 0).
    mask : ndarray of bool
        Where it is known.
    """

    hertz: np.ndarray
    sd_hertz: np.ndarray
    misfit: np.ndarray
    mask: np.ndarray


def fit_frequency(
    magnitude: np.ndarray,
    phase: np.ndarray,
    times: Sequence[float],
    mask: np.ndarray,
    voxel_mm: Sequence[float],
    noise: float,
) -> Frequency:
    """Fit the frequency of each voxel to the phase of all echoes.

    The differences of neighbouring echoes give a first frequency, which is unwrapped in space
    (its interval is that of the shortest step). What the first echo has beside it, smoothed, is
    the receiver's, and taken off. Then all echoes, each within half a turn of what is expected,
    give the frequency by weighted least squares. A single echo is unwrapped in space.

    Parameters
    ----------
    magnitude, phase : ndarray, shape (nx, ny, nz, n)
        Magnitude, and phase in rad.
    times : sequence of float
        Echo times, s.
    mask : ndarray of bool
        Brain; of several parts that do not touch, the largest is taken.
    voxel_mm : sequence of float
        Voxel size.
    noise : float
        Standard deviation of real and imaginary part.

    Returns
    -------
    Frequency

    Raises
    ------
    MeasureError
        If the mask is empty.

    References
    ----------
    Eckstein et al. 2018 (offsets), doi:10.1002/mrm.26963; Dymerska et al. 2021 (unwrapping),
    doi:10.1002/mrm.28563.
    """
    times = np.asarray(times, float)
    mask = _connected(mask)
    weight = np.square(magnitude, dtype=np.float32)
    if len(times) == 1:
        whole = unwrap(phase[..., 0], mask, magnitude[..., 0])
        hertz = whole / np.float32(TURN * times[0])
        misfit = np.zeros_like(hertz)
    else:
        hertz = _first_frequency(magnitude, phase, times, mask)
        receiver = _receiver(weight, phase, times, hertz, mask, voxel_mm)
        hertz, misfit = _refined(weight, phase, times, hertz, receiver, mask)
    power = (weight * np.square(times, dtype=np.float32)).sum(axis=-1)
    known = mask & (power > 0) & np.isfinite(hertz)
    with np.errstate(divide='ignore', invalid='ignore'):
        sd = np.where(known, noise / (TURN * np.sqrt(power)), np.inf).astype(np.float32)
    return Frequency(np.where(known, hertz, 0).astype(np.float32), sd, misfit, known)


def _connected(mask: np.ndarray) -> np.ndarray:
    """Keep the largest connected part: turns between parts cannot be told."""
    label, count = ndi.label(mask)
    if not count:
        raise MeasureError(
            'The phase is known nowhere in the brain.',
            remedy='Look at the phase images: export them without a mask.',
        )
    return mask if count == 1 else label == 1 + np.argmax(np.bincount(label.ravel())[1:])


def _first_frequency(magnitude, phase, times, mask) -> np.ndarray:
    """Take the frequency from the differences of echoes that lie closest in time."""
    steps = np.diff(times)
    shortest = float(steps.min())
    near = np.flatnonzero(steps < 1.05 * shortest)
    turned = sum(
        magnitude[..., n]
        * magnitude[..., n + 1]
        * np.exp(1j * (phase[..., n + 1] - phase[..., n]))
        for n in near
    ).astype(np.complex64)
    step = unwrap(np.angle(turned), mask, np.sqrt(np.abs(turned)))
    return step / np.float32(TURN * shortest)


def _receiver(weight, phase, times, hertz, mask, voxel_mm) -> np.ndarray:
    """Return the phase that all echoes share, smooth.

    What a smoothing leaves is smoothed again, so that the edge of the mask does not bend it.
    """
    first = np.sqrt(weight[..., 0]) * mask
    left = first * np.exp(1j * (phase[..., 0] - np.float32(TURN * times[0]) * hertz))
    sigma = RECEIVER_MM / np.asarray(voxel_mm)
    total = np.zeros(mask.shape, np.float32)
    for _ in range(RECEIVER_ROUNDS):
        real = ndi.gaussian_filter(left.real.astype(np.float32), sigma)
        imaginary = ndi.gaussian_filter(left.imag.astype(np.float32), sigma)
        part = np.arctan2(imaginary, real)
        total += part
        left = left * np.exp(-1j * part)
    return total


def _refined(weight, phase, times, hertz, receiver, mask):
    """Bring all echoes into the fit, each within half a turn of what is expected."""
    scale = np.maximum((weight * np.square(times, dtype=np.float32)).sum(-1), 1e-12)
    # The step of the phase must not be ambiguous when a later echo is added.
    for _ in range(ROUNDS):
        change = np.zeros_like(hertz)
        for n, time in enumerate(times):
            off = wrapped(phase[..., n] - receiver - np.float32(TURN * time) * hertz)
            change += weight[..., n] * np.float32(time) * off
        hertz = hertz + change / scale / np.float32(TURN)
    square = np.zeros_like(hertz)
    for n, time in enumerate(times):
        off = wrapped(phase[..., n] - receiver - np.float32(TURN * time) * hertz)
        square += weight[..., n] * off**2
    misfit = np.sqrt(square / np.maximum(weight.sum(-1), 1e-12))
    return hertz, (misfit * mask).astype(np.float32)
