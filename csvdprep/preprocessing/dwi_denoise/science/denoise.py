"""Take noise off a diffusion series by what random matrices tell of it, many patches at once."""

from __future__ import annotations

from itertools import product

import numpy as np

#: Patches that are worked on at once.
BATCH = 128


def denoise(
    data: np.ndarray, mask: np.ndarray, *, radius: int = 2, stride: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Reduce noise by principal components of patches (MP-PCA).

    In a patch the noise of all volumes has eigenvalues that follow the Marchenko-Pastur law. What
    does not exceed it is taken away [1]_; overlapping patches are averaged with weights that fall
    with the number of components kept [2]_. With a stride of one voxel the result is that of
    ``dipy.denoise.localpca.mppca``; with two, an eighth of the patches still covers each voxel
    about 16 times.

    Parameters
    ----------
    data : ndarray, shape (nx, ny, nz, n)
        Series as acquired: noise must not be correlated between voxels.
    mask : ndarray of bool, shape (nx, ny, nz)
        Where the result is wanted; elsewhere the data are returned.
    radius : int
        Of the patches, voxels.
    stride : int
        Steps between the patches' centres, voxels; at most their edge, ``2 radius + 1``.

    Returns
    -------
    clean : ndarray of float32, shape (nx, ny, nz, n)
        Not negative.
    sigma : ndarray of float32, shape (nx, ny, nz)
        Standard deviation of the noise; 0 where it was not estimated.

    Raises
    ------
    ValueError
        If the image is smaller than a patch, or the stride leaves gaps.

    References
    ----------
    .. [1] Veraart J. et al. (2016) Denoising of diffusion MRI using random matrix theory.
       doi:10.1016/j.neuroimage.2016.08.016
    .. [2] Manjon J.V. et al. (2013) Diffusion weighted image denoising using overcomplete local
       PCA. doi:10.1371/journal.pone.0073021

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth = np.full((12, 12, 12, 40), 100.0)
    >>> noisy = truth + 5 * rng.standard_normal(truth.shape)
    >>> clean, sigma = denoise(noisy, np.ones(truth.shape[:3], bool))
    >>> bool((clean - truth).std() < 1.5), bool(abs(np.median(sigma) - 5) < 0.2)
    (True, True)
    """
    data = np.asarray(data, np.float32)
    size = 2 * radius + 1
    if min(data.shape[:3]) < size:
        raise ValueError(f'An image of {data.shape[:3]} voxels is smaller than a patch.')
    if not 1 <= stride <= size:
        raise ValueError(f'A stride of {stride} leaves gaps between patches of radius {radius}.')
    weight = np.zeros(data.shape[:3], np.float32)
    variance = np.zeros(data.shape[:3], np.float32)
    total = np.zeros(data.shape, np.float32)
    corners = _corners(np.asarray(mask, bool), size, stride)
    for start in range(0, len(corners), BATCH):
        some = corners[start : start + BATCH]
        patches = np.stack(
            [
                data[x : x + size, y : y + size, z : z + size].reshape(size**3, -1)
                for x, y, z in some
            ]
        )
        clean, share, spread = _clean(patches)
        clean *= share[:, None, None]
        for (x, y, z), part, w, v in zip(some, clean, share, spread, strict=True):
            at = (slice(x, x + size), slice(y, y + size), slice(z, z + size))
            total[at] += part.reshape(size, size, size, -1)
            weight[at] += w
            variance[at] += w * v
    known = (weight > 0) & mask
    weight[~known] = 1
    out = np.maximum(total / weight[..., None], 0, out=total)
    out[~known] = data[~known]
    return out, np.where(known, np.sqrt(np.maximum(variance, 0) / weight), 0).astype(np.float32)


def without_floor(data: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Take off what noise adds to magnitudes: ``sqrt(S² - sigma²)`` (Gudbjartsson 1995 [1]_).

    The mean of a magnitude lies above its signal by about ``sigma² / 2S``. Noise that was averaged
    away leaves that behind, and diffusivities, that come from low signals, are too small.

    Parameters
    ----------
    data : ndarray, shape (nx, ny, nz, n)
        Magnitudes of which the noise was reduced.
    sigma : ndarray, shape (nx, ny, nz)
        Standard deviation of the noise before that.

    Returns
    -------
    ndarray of float32, shape (nx, ny, nz, n)
        0 where nothing is left.

    References
    ----------
    .. [1] Gudbjartsson H., Patz S. (1995) The Rician distribution of noisy MRI data.
       doi:10.1002/mrm.1910340618

    Examples
    --------
    >>> without_floor(np.full((1, 1, 1, 1), 5.0), np.full((1, 1, 1), 3.0)).item()
    4.0
    """
    return np.sqrt(np.maximum(data**2 - sigma[..., None] ** 2, 0)).astype(np.float32)


def _corners(mask: np.ndarray, size: int, stride: int) -> np.ndarray:
    """Return the first corners of patches that together cover a mask, shape (n, 3)."""
    axes = []
    for length in mask.shape:
        last = length - size
        axes.append(np.unique([*range(0, last + 1, stride), last]))
    # Whether a patch meets the mask, by sums over boxes.
    sums = np.pad(mask.astype(np.int64), ((1, 0),) * 3).cumsum(0).cumsum(1).cumsum(2)
    grid = np.stack(np.meshgrid(*axes, indexing='ij'), axis=-1).reshape(-1, 3)
    inside = np.zeros(len(grid), np.int64)
    for end in product((0, 1), repeat=3):
        at = grid + size * np.array(end)
        inside += (-1) ** (3 - sum(end)) * sums[tuple(at.T)]
    return grid[inside > 0]


def _clean(patches: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return patches without noise, their weights and the variance of the noise.

    Parameters
    ----------
    patches : ndarray of float32, shape (m, voxels, n)
        Series of the voxels of each patch.
    """
    voxels, count = patches.shape[1:]
    mean = patches.mean(axis=1, keepdims=True)
    centred = patches - mean
    values, vectors = np.linalg.eigh(centred.transpose(0, 2, 1) @ centred / voxels)
    variance = _noise_variance(values.astype(np.float64), voxels)
    limit = (1 + np.sqrt(count / voxels)) ** 2 * variance
    kept = values >= limit[:, None]
    vectors *= kept[:, None, :]
    clean = centred @ (vectors @ vectors.transpose(0, 2, 1)) + mean
    share = (1 / (1 + kept.sum(axis=1))).astype(np.float32)
    return clean, share, variance.astype(np.float32)


def _noise_variance(values: np.ndarray, voxels: int) -> np.ndarray:
    """Return the variance of what follows the Marchenko-Pastur law, shape (m,).

    The largest part of the spectrum, from its lower end, that is no wider than the law allows.

    Parameters
    ----------
    values : ndarray, shape (m, n)
        Eigenvalues in ascending order.
    voxels : int
        Number of samples.
    """
    # With fewer samples than volumes the lowest eigenvalues are 0.
    values = values[:, -(voxels - 1) :]
    number = np.arange(1, values.shape[1] + 1)
    means = values.cumsum(axis=1) / number
    wide = values - values[:, :1] > 4 * np.sqrt(number / voxels) * means
    # The first value alone is never too wide.
    last = values.shape[1] - 1 - np.argmin(wide[:, ::-1], axis=1)
    return means[np.arange(len(values)), last]
