"""Remove noise from a map but keep the borders of lesions."""

from __future__ import annotations

import numpy as np


def total_variation(
    image: np.ndarray, voxel_mm, strength: float, iterations: int = 15
) -> np.ndarray:
    r"""Denoise by total variation.

    .. math:: \min_u \tfrac12 \|u - f\|^2
              + \lambda \sum_x \Big(\sum_a w_a^2 (\Delta_a u)^2\Big)^{1/2}

    with weights :math:`w_a` that fall with the voxel size, so that thick slices bind little. A
    plateau keeps its edge, which a Gaussian of the same effect on the noise would smear.

    Parameters
    ----------
    image : ndarray, shape (I, J, K)
        Map.
    voxel_mm : sequence of 3 float
        Voxel size, mm.
    strength : float
        :math:`\lambda`, in the unit of the image; about 0.7 of the SD of the noise.
    iterations : int
        Of the accelerated projected gradient on the dual [1]_.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        Denoised map.

    References
    ----------
    .. [1] Beck A., Teboulle M. (2009) Fast gradient-based algorithms for constrained total
       variation image denoising and deblurring problems. doi:10.1109/TIP.2009.2028250

    Examples
    --------
    >>> truth = np.zeros((20, 20, 20)); truth[5:15, 5:15, 5:15] = 4
    >>> noisy = truth + np.random.default_rng(0).normal(0, 1, truth.shape)
    >>> left = total_variation(noisy, (1, 1, 1), 0.7) - truth
    >>> bool(left.std() < 0.45)
    True

    """
    image = np.asarray(image, dtype=np.float32)
    voxel_mm = np.asarray(voxel_mm, dtype=float)
    weights = (voxel_mm.min() / voxel_mm).astype(np.float32)
    step = np.float32(1 / (4 * float((weights**2).sum()) * strength))
    strength = np.float32(strength)
    dual = [np.zeros_like(image) for _ in weights]
    ahead = [part.copy() for part in dual]
    momentum = 1.0
    for _ in range(iterations):
        guess = image - strength * _transposed(ahead, weights)
        new = [
            part + step * _gradient(guess, axis, weight)
            for axis, (part, weight) in enumerate(zip(ahead, weights, strict=True))
        ]
        length = np.maximum(np.sqrt(sum(part * part for part in new)), 1)
        for part in new:
            part /= length
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        share = np.float32((momentum - 1) / following)
        ahead = [part + share * (part - before) for part, before in zip(new, dual, strict=True)]
        dual, momentum = new, following
    return image - strength * _transposed(dual, weights)


def _gradient(image, axis, weight):
    """Weighted forward difference; zero at the far border."""
    out = np.zeros_like(image)
    out[_part(axis, slice(0, -1))] = weight * np.diff(image, axis=axis)
    return out


def _transposed(field, weights):
    """Transpose of the gradient: minus the divergence."""
    out = np.zeros_like(field[0])
    for axis, (part, weight) in enumerate(zip(field, weights, strict=True)):
        here, there = _part(axis, slice(0, -1)), _part(axis, slice(1, None))
        out[here] -= weight * part[here]
        out[there] += weight * part[here]
    return out


def _part(axis, piece):
    return tuple(piece if a == axis else slice(None) for a in range(3))
