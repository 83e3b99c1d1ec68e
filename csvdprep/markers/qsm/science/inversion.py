"""Inverting a local field with the weight that its noise asks for."""

from __future__ import annotations

import numpy as np

from csvdprep.markers.qsm.science.admm import total_variation
from csvdprep.science.dipole import Space, threshold_division

#: Noise (ppm) below which errors of the background rule, and which is taken instead.
LEAST_NOISE_PPM = 0.001
#: Largest weight of a voxel over the root mean square of all.
LARGEST_WEIGHT = 2.0


def noise_weight(sd_ppm: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Turn the standard error of the field into weights.

    Parameters
    ----------
    sd_ppm : ndarray
        ppm.
    mask : ndarray of bool
        Where the field is known.

    Returns
    -------
    ndarray of float32
        Root mean square 1 over the mask, but for weights above 2, which are cut; 0 outside.

    Examples
    --------
    >>> noise_weight(np.full((2, 2, 2), 0.003), np.ones((2, 2, 2), bool)).ravel()[:2].tolist()
    [1.0, 1.0]
    """
    inside = sd_ppm[mask]
    least = max(float(np.median(inside)) / 3, 1e-9) if inside.size else 1.0
    weight = np.where(mask, 1 / np.maximum(sd_ppm, least), 0)
    weight /= max(float(np.sqrt(np.mean(weight[mask] ** 2))), 1e-12) if inside.size else 1.0
    return np.minimum(weight, LARGEST_WEIGHT).astype(np.float32)


def invert(
    local: np.ndarray,
    sd_ppm: np.ndarray,
    mask: np.ndarray,
    space: Space,
    *,
    method: str,
    strength: float,
    rounds: int,
) -> np.ndarray:
    """Compute susceptibility from the local field.

    Parameters
    ----------
    local, sd_ppm : ndarray
        Local field and its standard error, ppm.
    mask : ndarray of bool
        Where it is known.
    space : Space
        Grid.
    method : {'tv', 'tkd'}
        As in the options.
    strength : float
        Weight of the total variation in units of the noise.
    rounds : int
        Iterations.

    Returns
    -------
    ndarray of float32
        ppm, mean 0 over the mask, 0 outside.
    """
    if method == 'tkd':
        chi = threshold_division(local, mask, space)
    else:
        noise = max(float(np.median(sd_ppm[mask])), LEAST_NOISE_PPM)
        weight = noise_weight(sd_ppm, mask)
        chi = total_variation(local, weight, space, strength=strength * noise, rounds=rounds)
    return np.where(mask, chi - chi[mask].mean(), 0).astype(np.float32)
