"""What the magnitudes of several echoes tell together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def combined(magnitude: np.ndarray) -> np.ndarray:
    """Return the root of the mean square of all echoes.

    Parameters
    ----------
    magnitude : ndarray, shape (nx, ny, nz, n)
        Magnitudes.

    Examples
    --------
    >>> float(combined(np.array([1.0, 7.0]).reshape(1, 1, 1, 2)).ravel()[0])
    5.0
    """
    return np.sqrt(np.mean(np.square(magnitude, dtype=np.float32), axis=-1))


def decay_rate(magnitude: np.ndarray, times: Sequence[float], noise: float) -> np.ndarray:
    """Fit R2* to the magnitudes by weighted least squares of their logarithms.

    Parameters
    ----------
    magnitude : ndarray, shape (nx, ny, nz, n)
        Three echoes or more.
    times : sequence of float
        Echo times, s.
    noise : float
        Standard deviation of real and imaginary part; its mean effect on the magnitude is taken
        off, and echoes that are lost in it do not count.

    Returns
    -------
    ndarray of float32
        1/s, 0 to 500; 0 where fewer than two echoes are above the noise.

    Examples
    --------
    >>> times = [0.005, 0.01, 0.015, 0.02]
    >>> signal = 100 * np.exp(-30 * np.array(times)).reshape(1, 1, 1, 4)
    >>> float(decay_rate(signal, times, 0.0).round(3).ravel()[0])
    30.0
    """
    times = np.asarray(times, np.float32)
    clean = np.sqrt(np.maximum(np.square(magnitude, dtype=np.float32) - 2 * noise**2, 0))
    weight = np.where(clean > 3 * noise, clean**2, 0)
    log = np.log(np.maximum(clean, 1e-6))
    total = weight.sum(-1)
    enough = (weight > 0).sum(-1) >= 2
    safe = np.maximum(total, 1e-12)
    middle = (weight * times).sum(-1) / safe
    spread = (weight * times**2).sum(-1) / safe - middle**2
    mean = (weight * log).sum(-1) / safe
    joint = (weight * times * log).sum(-1) / safe - middle * mean
    with np.errstate(divide='ignore', invalid='ignore'):
        rate = np.where(enough & (spread > 0), -joint / spread, 0)
    return np.clip(np.nan_to_num(rate), 0, 500).astype(np.float32)


def covered_pct(brain: np.ndarray, to_voxels: np.ndarray, shape: tuple[int, int, int]) -> float:
    """Return how much (%) of a brain lies within the grid of an image.

    Parameters
    ----------
    brain : ndarray of bool
        Brain of the anatomical reference.
    to_voxels : ndarray, shape (4, 4)
        Its voxels to those of the image.
    shape : tuple of int
        Of the image.

    Examples
    --------
    >>> covered_pct(np.ones((4, 4, 4), bool), np.eye(4), (4, 4, 2))
    50.0
    """
    points = np.argwhere(brain)[:: max(1, int(brain.sum()) // 50000)]
    there = points @ to_voxels[:3, :3].T + to_voxels[:3, 3]
    inside = (there > -0.5).all(axis=1) & (there < np.array(shape) - 0.5).all(axis=1)
    return float(100 * inside.mean())
