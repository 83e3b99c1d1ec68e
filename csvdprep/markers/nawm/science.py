"""Means and histograms of diffusion measures in regions."""

from __future__ import annotations

import numpy as np

#: Fewest voxels of a region.
LEAST_VOXELS = 20
#: Width of the bins of the histogram, mm²/s.
BIN = 1e-5


def region_mean(values: np.ndarray, region: np.ndarray) -> tuple[float | None, int]:
    """Average a map over a region.

    Parameters
    ----------
    values : ndarray
        Map; voxels without a number do not count.
    region : ndarray of bool
        On the same grid.

    Returns
    -------
    mean : float or None
        None with fewer than 20 voxels.
    count : int
        Voxels.

    Examples
    --------
    >>> region_mean(np.arange(30.0), np.ones(30, bool))
    (14.5, 30)
    >>> region_mean(np.arange(30.0), np.zeros(30, bool))
    (None, 0)
    """
    some = values[region & np.isfinite(values)]
    if len(some) < LEAST_VOXELS:
        return None, len(some)
    return float(some.mean(dtype=float)), len(some)


def histogram_top(md: np.ndarray) -> tuple[float, float] | None:
    """Find the peak of the histogram of mean diffusivity.

    Parameters
    ----------
    md : ndarray, shape (n,)
        mm²/s.

    Returns
    -------
    place, height : float
        mm²/s, and share of the voxels in a bin of 1e-5 mm²/s, of the histogram smoothed over
        five bins; None with fewer than 500 voxels.

    Examples
    --------
    >>> place, height = histogram_top(np.random.default_rng(0).normal(8e-4, 5e-5, 100_000))
    >>> round(place * 1e4), round(height, 2)
    (8, 0.08)
    """
    if len(md) < 500:
        return None
    edges = np.arange(0, 3e-3 + BIN, BIN)
    counts = np.histogram(md, edges)[0] / len(md)
    smooth = np.convolve(counts, np.array([1, 2, 3, 2, 1]) / 9, 'same')
    top = int(smooth.argmax())
    return float(edges[top] + BIN / 2), float(smooth[top])
