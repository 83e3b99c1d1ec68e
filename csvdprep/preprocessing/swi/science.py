"""Weighting a magnitude by phase."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage as ndi

#: Protons, turns per s and ppm at 1 T.
GAMMA = 42.577


def effective_time(times: Sequence[float], power: Sequence[float]) -> float:
    """Return the echo time (s) at which the phase of all echoes counts most.

    Parameters
    ----------
    times : sequence of float
        Echo times, s.
    power : sequence of float
        Mean signal of each echo.

    Examples
    --------
    >>> round(effective_time([0.01, 0.02], [1, 1]), 4)
    0.0167
    """
    times, power = np.asarray(times, float), np.asarray(power, float)
    return float((power * times**2).sum() / (power * times).sum())


def phase_mask(
    total_ppm: np.ndarray,
    mask: np.ndarray,
    voxel_mm: np.ndarray,
    *,
    tesla: float,
    time: float,
    highpass_mm: float,
    power: int,
) -> np.ndarray:
    """Compute by how much the phase darkens each voxel.

    Parameters
    ----------
    total_ppm : ndarray
        Unwrapped field, paramagnetic matter positive, ppm.
    mask : ndarray of bool
        Where it is known.
    voxel_mm : ndarray, shape (3,)
        Voxel size.
    tesla, time : float
        Field, T, and echo time, s.
    highpass_mm : float
        Standard deviation of the filter.
    power : int
        Exponent.

    Returns
    -------
    ndarray of float32
        1 where the phase is not positive, down to 0 at half a turn; 1 outside.

    Examples
    --------
    >>> field = np.zeros((9, 9, 9), np.float32)
    >>> field[4, 4, 4] = 0.5
    >>> made = phase_mask(field, np.ones(field.shape, bool), np.ones(3), tesla=3.0, time=0.005,
    ...                   highpass_mm=2.0, power=4)
    >>> bool(made[4, 4, 4] < 0.1), float(made[0, 0, 0])
    (True, 1.0)
    """
    sigma = highpass_mm / np.asarray(voxel_mm)
    inside = mask.astype(np.float32)
    share = np.maximum(ndi.gaussian_filter(inside, sigma), 1e-3)
    smooth = ndi.gaussian_filter(np.where(mask, total_ppm, 0).astype(np.float32), sigma) / share
    turns = np.where(mask, total_ppm - smooth, 0) * np.float32(GAMMA * tesla * time)
    # Half a turn is black.
    return np.clip(1 - 2 * np.maximum(turns, 0), 0, 1).astype(np.float32) ** power


def minimum_projection(data: np.ndarray, thickness: int, axis: int) -> np.ndarray:
    """Return the least value over neighbouring slices.

    Examples
    --------
    >>> minimum_projection(np.array([[[3, 1, 2, 5]]]), 3, 2).tolist()
    [[[1, 1, 1, 2]]]
    """
    return ndi.minimum_filter1d(data, max(1, thickness), axis=axis, mode='nearest')
