"""Trace image and apparent diffusion coefficient, on arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from csvdprep.core.errors import MeasureError

#: Below this a volume counts as b = 0, s/mm².
B0_BELOW = 50.0
#: b-value that is wanted, and how far volumes of one shell lie apart, s/mm².
WANTED_B, WIDTH = 1000.0, 100.0
#: Least b-value and number of directions of an isotropic image.
LEAST_B, LEAST_DIRECTIONS = 450.0, 3
#: Median ADC of a brain that decides about the unit lies here, mm²/s: a decade.
DECADE = (3.2e-4, 3.2e-3)
#: ADC of fluid over that of tissue, at least: less is no map of ADC.
FLUID_OVER_TISSUE = 1.5


def isotropic(data: np.ndarray, bvals: Sequence[float]) -> tuple[np.ndarray, np.ndarray, float]:
    """Compute the trace image and the apparent diffusion coefficient of a series.

    Parameters
    ----------
    data : ndarray, shape (I, J, K, N)
        The series.
    bvals : sequence of float, length N
        s/mm².

    Returns
    -------
    trace : ndarray of float32, shape (I, J, K)
        Geometric mean over the directions of the shell nearest to 1000 s/mm².
    adc : ndarray of float32, shape (I, J, K)
        ln(S0 / trace) / b, mm²/s; 0 where there is no signal.
    b : float
        Mean b-value of the shell.

    Raises
    ------
    MeasureError
        Without a volume at b = 0, or without three directions at b of 450 s/mm² or more.

    Examples
    --------
    >>> data = np.array([[[[1000.0, 400, 500, 320]]]])
    >>> trace, adc, b = isotropic(data, [0, 1000, 1000, 1000])
    >>> float(trace[0, 0, 0].round(1)), round(float(adc[0, 0, 0]), 6), b
    (400.0, 0.000916, 1000.0)
    """
    bvals = np.asarray(bvals, float)
    plain, high = bvals < B0_BELOW, bvals[bvals >= LEAST_B]
    if not plain.any() or len(high) < LEAST_DIRECTIONS:
        raise MeasureError(
            'No trace image can be computed from the diffusion series: it needs a volume '
            f'at b = 0 and three directions at b = {LEAST_B:g} s/mm² or more.'
        )
    shells = [b for b in np.unique(high) if (np.abs(high - b) <= WIDTH).sum() >= LEAST_DIRECTIONS]
    if not shells:
        raise MeasureError(
            'No trace image can be computed from the diffusion series: no b-value has '
            'three directions.'
        )
    nearest = min(shells, key=lambda b: abs(b - WANTED_B))
    shell = np.abs(bvals - nearest) <= WIDTH
    shell &= bvals >= LEAST_B
    least = max(float(data[..., plain].max()) * 1e-5, 1e-12)
    without = np.asarray(data[..., plain], np.float32).mean(axis=3)
    log = np.log(np.maximum(np.asarray(data[..., shell], np.float32), least)).mean(axis=3)
    there = without > least
    b = float(bvals[shell].mean())
    trace = np.where(there, np.exp(log), 0).astype(np.float32)
    adc = np.where(there, (np.log(np.maximum(without, least)) - log) / b, 0)
    return trace, np.clip(adc, 0, 5e-3).astype(np.float32), b


def adc_unit(values: np.ndarray) -> float:
    """Find the unit of a map of ADC from the values of the brain.

    Parameters
    ----------
    values : ndarray
        Values of the brain, as stored.

    Returns
    -------
    float
        Power of ten by which they are to be multiplied to be mm²/s.

    Raises
    ------
    MeasureError
        If the map is empty.

    Examples
    --------
    >>> import numpy as np
    >>> [adc_unit(np.full(9, v)) for v in (0.8, 800.0, 8e-4)]
    [0.001, 1e-06, 1.0]
    """
    values = np.asarray(values, float)
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values):
        raise MeasureError('The ADC map is empty within the brain.')
    power = np.floor(np.log10(np.median(values) / DECADE[0]))
    return float(f'1e{-int(power)}')


def coverage_pct(
    here: np.ndarray, affine: np.ndarray, brain: np.ndarray, brain_affine: np.ndarray
) -> float:
    """Return how much of a brain an image covers.

    Parameters
    ----------
    here : ndarray of bool, shape (I, J, K)
        Brain of the anatomical reference where the image holds signal, on the image's grid.
    affine : ndarray, shape (4, 4)
        Voxel to world of the image, mm.
    brain : ndarray, shape (L, M, N)
        Brain of the reference; what is above 0 counts.
    brain_affine : ndarray, shape (4, 4)
        Voxel to world of the reference, mm.

    Returns
    -------
    float
        Percent, 100 at most.

    Examples
    --------
    >>> whole, slab = np.ones((10, 10, 10)), np.ones((10, 10, 4), bool)
    >>> round(coverage_pct(slab, np.eye(4), whole, np.eye(4)), 3)
    40.0
    """
    volumes = [
        np.count_nonzero(np.asanyarray(mask) > 0) * abs(np.linalg.det(np.asarray(m)[:3, :3]))
        for mask, m in ((here, affine), (brain, brain_affine))
    ]
    return float(min(100.0, 100 * volumes[0] / volumes[1]))


def check_adc(adc: np.ndarray, fluid: np.ndarray, tissue: np.ndarray) -> None:
    """Refuse what is no map of ADC: fluid diffuses faster than tissue.

    Parameters
    ----------
    adc : ndarray, shape (I, J, K)
        Map.
    fluid, tissue : ndarray of bool
        Ventricles or other fluid, and brain tissue.

    Raises
    ------
    MeasureError
        If fluid is not at least 1.5 times as high as tissue.

    Examples
    --------
    >>> adc = np.array([[[0.8e-3] * 60 + [2.9e-3] * 60]])
    >>> check_adc(adc, adc > 2e-3, adc < 2e-3)
    >>> check_adc(3e-3 - adc, adc > 2e-3, adc < 2e-3)
    Traceback (most recent call last):
    ...
    csvdprep.core.errors.MeasureError: The image is not a valid ADC map: fluid is only 0.0 times...
    """
    if fluid.sum() < 50 or tissue.sum() < 50:
        return
    ratio = float(np.median(adc[fluid]) / max(np.median(adc[tissue]), 1e-9))
    if ratio < FLUID_OVER_TISSUE:
        raise MeasureError(
            f'The image is not a valid ADC map: fluid is only {ratio:.1f} times as high as '
            'tissue. It may be an exponential ADC map, or belong to another scan.',
            remedy='Give the map of apparent diffusion coefficients, or exclude the maps with '
            '--ignore trace.',
        )
