"""Deconvolution by the block-circulant singular value decomposition, with or without oscillation.

The singular values of a circulant matrix are the moduli of the Fourier transform of its first
column, so that truncating them is a multiplication in the frequency domain: the same numbers as by
a decomposition, for all voxels at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Thresholds that are tried, relative to the largest singular value. Below the first, flow of fast
#: tissue is nearer to the truth, but differs with the moments at which the bolus is sampled.
THRESHOLDS = (0.05, 0.06, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
#: Oscillation that is let be: the sum of the moduli of second differences over the height. That is
#: the index of Wu et al. times the number of points: the length of a series does not matter.
OSCILLATION = 8.0
#: Voxels that are deconvolved at once.
BLOCK = 20_000


@dataclass(frozen=True, eq=False)
class Perfusion:
    """What a deconvolution gives.

    Attributes
    ----------
    flow : ndarray, shape (...)
        Height of the residue function, (unit of tissue / unit of artery) / s.
    volume : ndarray, shape (...)
        Area of tissue over that of the artery.
    mtt_s : ndarray, shape (...)
        ``volume / flow``, s; NaN where there is no flow.
    tmax_s : ndarray, shape (...)
        Time of the height of the residue function, s; negative where tissue is before the artery.
    threshold : ndarray, shape (...)
        Singular values below this share of the largest were left out.
    """

    flow: np.ndarray
    volume: np.ndarray
    mtt_s: np.ndarray
    tmax_s: np.ndarray
    threshold: np.ndarray


def deconvolve(
    artery,
    tissue,
    step_s: float,
    *,
    oscillation: float | None = OSCILLATION,
    threshold: float = 0.1,
    volume=None,
) -> Perfusion:
    """Deconvolve curves of tissue with an arterial curve.

    Both are padded with zeros to twice their length, so that tissue that is reached before the
    artery, or late, has the same flow (block-circulant deconvolution). With ``oscillation`` the
    least threshold is taken for each curve at which the residue function oscillates no more than
    that (oSVD) [1]_; without it, ``threshold`` is that of all (cSVD) [1]_, [2]_.

    Parameters
    ----------
    artery : array-like, shape (n,)
        Arterial curve, 0 before the bolus.
    tissue : array-like, shape (..., n)
        Curves of tissue at the same times.
    step_s : float
        Time from volume to volume, s.
    oscillation : float or None
        Largest sum of the moduli of second differences of the residue function, over its height;
        8 with 60 volumes (120 points) is an oscillation index [1]_ of 0.067.
    threshold : float
        Threshold without oscillation index.
    volume : ndarray, shape (...), optional
        Area of each curve (unit of tissue times s), where another is better than that of
        ``tissue``, as after correction of leakage.

    Returns
    -------
    Perfusion

    Raises
    ------
    ValueError
        If the arterial curve has no area.

    References
    ----------
    .. [1] Wu O. et al. (2003) Tracer arrival timing-insensitive technique for estimating flow in
       MR perfusion-weighted imaging using singular value decomposition with a block-circulant
       deconvolution matrix. doi:10.1002/mrm.10522
    .. [2] Østergaard L. et al. (1996) High resolution measurement of cerebral blood flow using
       intravascular tracer bolus passages. Part I. doi:10.1002/mrm.1910360510

    Examples
    --------
    >>> time = np.arange(60) * 1.0
    >>> artery = np.maximum(time - 10, 0) ** 3 * np.exp(-np.maximum(time - 10, 0) / 1.5)
    >>> tissue = 0.01 * np.convolve(artery, np.exp(-time / 5.0))[:60]
    >>> found = deconvolve(artery, np.roll(tissue, 2), 1.0)
    >>> late = deconvolve(artery, np.roll(tissue, 7), 1.0)
    >>> round(float(late.tmax_s - found.tmax_s), 1), round(float(late.flow / found.flow), 2)
    (5.0, 1.0)
    """
    artery = np.asarray(artery, float)
    curves = np.asarray(tissue, float)
    shape, count = curves.shape[:-1], len(artery)
    curves = curves.reshape(-1, count)
    area = float(np.trapezoid(artery) * step_s)
    if not area > 0:
        raise ValueError('The arterial curve has no area.')
    length = 2 * count
    values = np.fft.rfft(_weighted(artery), length) * step_s
    strength = np.abs(values) / np.abs(values).max()
    flow, tmax, used = (np.zeros(len(curves)) for _ in range(3))
    for start in range(0, len(curves), BLOCK):
        part = slice(start, start + BLOCK)
        seen = np.fft.rfft(curves[part], length, axis=1)
        residue, used[part] = _residue(seen, values, strength, length, oscillation, threshold)
        flow[part], tmax[part] = _height(residue, step_s)
    areas = np.trapezoid(curves, axis=1) * step_s
    areas = areas if volume is None else np.asarray(volume, float).reshape(-1)
    with np.errstate(divide='ignore', invalid='ignore'):
        mtt = np.where(flow > 0, areas / area / flow, np.nan)
    out = (flow, areas / area, mtt, tmax, used)
    return Perfusion(*(values.reshape(shape) for values in out))


def _weighted(artery: np.ndarray) -> np.ndarray:
    """Weight neighbours, as for curves that are straight from one time to the next."""
    before, after = np.r_[0.0, artery[:-1]], np.r_[artery[1:], artery[-1]]
    return (before + 4 * artery + after) / 6


def _residue(seen, values, strength, length, oscillation, threshold):
    """Return residue functions times flow, and the threshold of each."""
    if oscillation is None:
        kept = strength >= threshold
        inverse = np.where(kept, 1 / np.where(kept, values, 1), 0)
        return np.fft.irfft(seen * inverse, length, axis=1), np.full(len(seen), threshold)
    residue = np.empty((len(seen), length))
    used = np.full(len(seen), THRESHOLDS[-1])
    left = np.arange(len(seen))
    for level in THRESHOLDS:
        kept = strength >= level
        inverse = np.where(kept, 1 / np.where(kept, values, 1), 0)
        tried = np.fft.irfft(seen[left] * inverse, length, axis=1)
        residue[left] = tried
        calm = _oscillation(tried) < oscillation
        used[left[calm]] = level
        left = left[~calm]
        if not len(left):
            break
    return residue, used


def _oscillation(residue: np.ndarray) -> np.ndarray:
    """Return how much each residue function bends, over its height."""
    top = residue.max(axis=1)
    bends = np.abs(np.diff(residue, 2, axis=1)).sum(axis=1)
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.where(top > 0, bends / top, 0)


def _height(residue: np.ndarray, step_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Return height and time of the highest point; the second half of the times is negative."""
    length = residue.shape[1]
    rows = np.arange(len(residue))
    top = residue.argmax(axis=1)
    height = residue[rows, top]
    low, high = residue[rows, top - 1], residue[rows, (top + 1) % length]
    bend = low - 2 * height + high
    with np.errstate(divide='ignore', invalid='ignore'):
        shift = np.where(bend < 0, 0.5 * (low - high) / bend, 0.0)
    time = np.where(top >= length // 2, top - length, top) + np.clip(shift, -0.5, 0.5)
    return height, time * step_s
