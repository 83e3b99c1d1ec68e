"""Recent infarcts of known size and place, drawn into trace image and ADC map of any scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi
from scipy.spatial.transform import Rotation

from csvdprep.phantom.geometry.fields import smooth_noise

#: ADC of a recent infarct over that of the tissue, and how much its signal without weighting
#: rises: ranges.
ADC_FACTOR, RISE = (0.50, 0.75), (0.05, 0.6)
#: ADC of tissue without fluid, mm²/s: infarcts do not hold less than a share of it.
TISSUE_ADC = 0.8e-3


@dataclass(frozen=True, eq=False)
class Drawn:
    """A scan with infarcts.

    Attributes
    ----------
    trace, adc : ndarray of float32, shape (I, J, K)
        Trace image and ADC (mm²/s).
    labels : ndarray of int32, shape (I, J, K)
        Number of the infarct where it fills half of the voxel or more, or most of all voxels.
    diameters : tuple of float
        Longest diameter of each, mm.
    """

    trace: np.ndarray
    adc: np.ndarray
    labels: np.ndarray
    diameters: tuple[float, ...]


def draw_infarcts(
    trace: np.ndarray,
    adc: np.ndarray,
    b: float,
    where: np.ndarray,
    affine: np.ndarray,
    rng: np.random.Generator,
    diameters: tuple[float, ...],
    *,
    factor: tuple[float, float] = ADC_FACTOR,
    rise: tuple[float, float] = RISE,
) -> Drawn:
    """Draw infarcts with ragged borders into a scan.

    Parameters
    ----------
    trace, adc : ndarray, shape (I, J, K)
        Trace image (any unit) and ADC (mm²/s).
    b : float
        b-value of the trace image, s/mm².
    where : ndarray of bool, shape (I, J, K)
        Where centres may lie.
    affine : ndarray, shape (4, 4)
        Voxel to world, mm.
    rng : numpy random Generator
        Decides places and shapes.
    diameters : tuple of float
        Longest diameter of each infarct, mm.
    factor, rise : tuple of float
        Ranges of ADC over that of the tissue, and of how much the signal without weighting
        rises; a factor of 1 or more makes an old lesion that shines through.

    Returns
    -------
    Drawn
        Infarcts that found no place apart from the others are left out.

    Examples
    --------
    >>> shape = (40, 40, 30)
    >>> made = draw_infarcts(np.full(shape, 100.0), np.full(shape, 0.8e-3), 1000.0,
    ...                      np.ones(shape, bool), np.diag([2.0, 2, 2, 1]),
    ...                      np.random.default_rng(1), (12.0,))
    >>> inside = made.labels == 1
    >>> bool(made.trace[inside].mean() > 120), bool(made.adc[inside].mean() < 0.7e-3)
    (True, True)
    """
    affine = np.asarray(affine, float)
    size = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    trace, adc = (np.asarray(item, np.float64).copy() for item in (trace, adc))
    labels = np.zeros(trace.shape, np.int32)
    found: list[float] = []
    places = np.argwhere(where)
    for diameter in diameters:
        for _ in range(50):
            if not len(places):
                break
            centre = places[rng.integers(len(places))] + rng.uniform(-0.5, 0.5, 3)
            box, share = _ragged(trace.shape, size, centre, diameter, rng)
            if share.max() < 0.3 or ndi.binary_dilation(share > 0.05)[labels[box] > 0].any():
                continue
            mix(trace[box], adc[box], share, b, rng.uniform(*rise), rng.uniform(*factor))
            inside = share >= min(0.5, 0.7 * float(share.max()))
            found.append(diameter)
            labels[box][inside] = len(found)
            break
    return Drawn(trace.astype(np.float32), adc.astype(np.float32), labels, tuple(found))


def _ragged(shape, size, centre, diameter, rng):
    """Return a box around an ellipsoid with a ragged border, and its share of each voxel."""
    radii = diameter / 2 * np.array([1, rng.uniform(0.55, 1), rng.uniform(0.55, 1)])
    turn = Rotation.random(random_state=rng).as_matrix()
    reach = np.ceil((diameter / 2 + 2) / size).astype(int) + 1
    low = np.maximum(np.round(centre).astype(int) - reach, 0)
    high = np.minimum(np.round(centre).astype(int) + reach + 1, shape)
    box = tuple(slice(a, z) for a, z in zip(low, high, strict=True))
    fine = np.maximum(1, np.round(size / 0.7).astype(int))
    axes = [
        (np.arange((z - a) * n) + 0.5) / n - 0.5 + a
        for a, z, n in zip(low, high, fine, strict=True)
    ]
    at = np.stack(np.meshgrid(*axes, indexing='ij'), axis=-1)
    away = ((at - centre) * size) @ turn / radii
    border = np.sqrt((away**2).sum(axis=-1))
    rough = smooth_noise(border.shape, 3.0 / float((size / fine).mean()), rng)
    inside = (border + 0.18 * rough < 1).astype(np.float32)
    inside = ndi.gaussian_filter(inside, rng.uniform(0.3, 0.9) / (size / fine))
    share = inside
    for axis, n in enumerate(fine):
        parts = (*share.shape[:axis], share.shape[axis] // n, n, *share.shape[axis + 1 :])
        share = share.reshape(parts).mean(axis=axis + 1)
    return box, share


def mix(
    trace: np.ndarray, adc: np.ndarray, share: np.ndarray, b: float, rise: float, factor: float
) -> None:
    """Put an infarct into voxels, in place.

    Parameters
    ----------
    trace, adc : ndarray
        Trace image and ADC (mm²/s); changed.
    share : ndarray, same shape
        Share of each voxel that is infarct, 0 to 1.
    b : float
        b-value, s/mm².
    rise, factor : float
        How much the signal without weighting rises, and ADC over that of the tissue.

    Examples
    --------
    >>> trace, adc = np.array([100.0]), np.array([0.8e-3])
    >>> mix(trace, adc, np.ones(1), 1000, 0.2, 0.6)
    >>> round(float(trace[0])), round(float(adc[0]) * 1e3, 2)
    (165, 0.48)
    """
    before = np.minimum(adc, TISSUE_ADC)
    plain = trace * np.exp(b * adc)
    # Fluid within a voxel keeps its own diffusion: the tissue's part of the signal changes.
    gain = (1 + rise) * np.exp(b * before * (1 - factor))
    weighted = trace * (1 + share * (gain - 1))
    plain = plain * (1 + share * rise)
    trace[...] = weighted
    adc[...] = np.maximum(np.log(np.maximum(plain, 1e-9) / np.maximum(weighted, 1e-9)) / b, 1e-5)


def add_noise(
    trace: np.ndarray, adc: np.ndarray, b: float, brain: np.ndarray, level: float, rng
) -> tuple[np.ndarray, np.ndarray]:
    """Add noise to a trace image and to the image without weighting behind its ADC map.

    Parameters
    ----------
    trace, adc : ndarray, shape (I, J, K)
        Trace image and ADC (mm²/s).
    b : float
        b-value, s/mm².
    brain : ndarray of bool
        The brain.
    level : float
        SD of the noise, of the median of the trace image.
    rng : numpy random Generator
        Decides the noise.

    Returns
    -------
    trace, adc : ndarray of float32
    """
    plain = trace * np.exp(b * adc)
    sd = level * float(np.median(trace[brain]))
    noisy = np.maximum(trace + sd * rng.standard_normal(trace.shape), 1e-3 * sd + 1e-9)
    other = np.maximum(plain + sd * rng.standard_normal(trace.shape), 1e-3 * sd + 1e-9)
    adc = np.clip(np.log(other / noisy) / b, 1e-5, 5e-3)
    return noisy.astype(np.float32), adc.astype(np.float32)
