"""How much each voxel looks like a part of a bright tube, at several widths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

#: Widths (sigma) at which tubes are sought, mm: from thin perforators to the carotids.
SCALES_MM = (0.3, 0.45, 0.7, 1.1, 1.7, 2.5)
#: Least sigma, in edges of a voxel: below it a Gaussian has no slopes.
LEAST_SIGMA = 0.6
#: Where a Gaussian ends, in sigmas.
TRUNCATE = 3.0
#: Voxels of tissue of which the noise of a scale is estimated.
SEEN = 60_000
#: Candidates done at a time.
PIECE = 2_000_000


@dataclass(frozen=True)
class Tubes:
    """Response of the filter.

    Attributes
    ----------
    strength : ndarray of float32, shape (nx, ny, nz)
        Contrast of a tube, in units of the tissue around: the largest of all scales.
    surprise : ndarray of float32, shape (nx, ny, nz)
        The same in standard deviations of what noise and tissue give at its scale.
    scale : ndarray of uint8, shape (nx, ny, nz)
        Which of the scales gave the strength, counted from 1; 0 where there is none.
    sigmas_mm : tuple of float
        The scales.
    """

    strength: np.ndarray
    surprise: np.ndarray
    scale: np.ndarray
    sigmas_mm: tuple[float, ...]


def find_tubes(
    image: np.ndarray,
    voxel_mm: Sequence[float],
    where: np.ndarray,
    tissue: np.ndarray,
    *,
    least: float = 1.0,
    scales_mm: Sequence[float] = SCALES_MM,
) -> Tubes:
    """Filter an image for bright tubes.

    At each scale the response is ``sigma² sqrt(l2 l3)``, with the two most negative eigenvalues
    of the Hessian, where both are negative: it is large in tubes, small in plates (whose second
    eigenvalue is near 0) and reduced in blobs, by ``1 - |l1| / |l2|``.

    Parameters
    ----------
    image : ndarray of float32, shape (nx, ny, nz)
        In units of tissue: 1 in brain.
    voxel_mm : sequence of 3 float
        Edges of a voxel, mm.
    where : ndarray of bool, shape (nx, ny, nz)
        Where tubes are sought.
    tissue : ndarray of bool, shape (nx, ny, nz)
        Of which the noise is estimated.
    least : float
        Smoothed intensity from which a voxel can be part of a tube: no gyrus between sulci is.
    scales_mm : sequence of float
        Sigmas, mm; those under 0.6 of a voxel are left out, except that one is always kept.

    Returns
    -------
    Tubes

    References
    ----------
    .. [1] Sato Y. et al. (1998) Three-dimensional multi-scale line filter for segmentation and
       visualization of curvilinear structures. doi:10.1016/S1361-8415(98)80009-1
    .. [2] Frangi A.F. et al. (1998) Multiscale vessel enhancement filtering.
       doi:10.1007/BFb0056195

    Examples
    --------
    >>> x, y, _ = np.mgrid[:21, :21, :21]
    >>> tube = 1 + 2 * np.exp(-((x - 10) ** 2 + (y - 10) ** 2) / 4)
    >>> noise = np.random.default_rng(0).normal(0, 0.02, tube.shape)
    >>> inside = np.ones(tube.shape, bool)
    >>> found = find_tubes(np.float32(tube + noise), (1, 1, 1), inside, inside)
    >>> bool(found.strength[10, 10, 10] > 0.4), bool(found.strength[10, 16, 10] < 0.1)
    (True, True)
    """
    size = np.asarray(voxel_mm, float)
    strength = np.zeros(image.shape, np.float32)
    surprise = np.zeros(image.shape, np.float32)
    scale = np.zeros(image.shape, np.uint8)
    inner = tuple(slice(1, n - 1) for n in image.shape)
    seen = _sample(tissue, inner)
    usable = [s for s in scales_mm if s >= LEAST_SIGMA * size.min()]
    usable = usable or [LEAST_SIGMA * float(size.min())]
    for number, sigma in enumerate(usable, start=1):
        smooth = ndi.gaussian_filter(
            image, np.maximum(sigma / size, LEAST_SIGMA * 0.5), truncate=TRUNCATE
        )
        spread = _spread(smooth, seen, size, sigma)
        bright = np.zeros(image.shape, bool)
        bright[inner] = where[inner] & (smooth[inner] > least)
        candidates = np.flatnonzero(bright)
        del bright
        for start in range(0, candidates.size, PIECE):
            at = candidates[start : start + PIECE]
            found = _response(smooth, at, size) * np.float32(sigma**2)
            better = found > strength.ravel()[at]
            scale.ravel()[at[better]] = number
            strength.ravel()[at[better]] = found[better]
            surprise.ravel()[at] = np.maximum(surprise.ravel()[at], found / spread)
    return Tubes(strength, surprise, scale, tuple(usable))


def _sample(tissue: np.ndarray, inner) -> np.ndarray:
    """Choose voxels of tissue, evenly over the image: flat indices."""
    inside = np.zeros(tissue.shape, bool)
    inside[inner] = tissue[inner]
    at = np.flatnonzero(inside)
    return at[:: max(1, at.size // SEEN)]


def _spread(smooth: np.ndarray, seen: np.ndarray, size: np.ndarray, sigma: float) -> np.float32:
    """Return the robust standard deviation of the second derivatives in tissue."""
    if not seen.size:
        return np.float32(np.inf)
    second = np.stack(_hessian(smooth, seen, size)[:3]) * sigma**2
    middle = np.median(second, axis=1, keepdims=True)
    return np.float32(max(1.4826 * np.median(np.abs(second - middle)), 1e-6))


def _hessian(smooth: np.ndarray, at: np.ndarray, size: np.ndarray) -> list[np.ndarray]:
    """Return xx, yy, zz, xy, xz, yz of the Hessian at flat indices, by differences."""
    flat = smooth.ravel()
    steps = [int(s) for s in np.array(smooth.strides) // smooth.itemsize]
    centre = flat[at]
    out = [
        (flat[at + step] - 2 * centre + flat[at - step]) / np.float32(size[axis] ** 2)
        for axis, step in enumerate(steps)
    ]
    for one, two in ((0, 1), (0, 2), (1, 2)):
        a, b = steps[one], steps[two]
        mixed = flat[at + a + b] - flat[at + a - b] - flat[at - a + b] + flat[at - a - b]
        out.append(mixed / np.float32(4 * size[one] * size[two]))
    return out


def _response(smooth: np.ndarray, at: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return the response of one scale, without the factor sigma²."""
    low, middle, high = symmetric_eigenvalues(*_hessian(smooth, at, size))
    # Along a tube the curvature is near 0; in a blob it is as negative as across.
    across = np.sqrt(np.maximum(low * middle, 0), where=middle < 0, out=np.zeros_like(low))
    along = np.clip(1 - np.abs(high) / np.maximum(np.abs(middle), 1e-12), 0, 1)
    return across * np.sqrt(along)


def symmetric_eigenvalues(xx, yy, zz, xy, xz, yz):
    """Return the eigenvalues of symmetric 3 x 3 matrices, from the least to the greatest.

    Parameters
    ----------
    xx, yy, zz, xy, xz, yz : ndarray, shape (n,)
        Entries.

    Returns
    -------
    tuple of ndarray, shape (n,)

    Notes
    -----
    Trigonometric solution of the characteristic polynomial (Smith 1961,
    doi:10.1145/355578.366316).

    Examples
    --------
    >>> low, middle, high = symmetric_eigenvalues(*np.array([[2.0, -1, 0.5, 0, 0, 0]]).T)
    >>> [round(float(v[0]), 6) for v in (low, middle, high)]
    [-1.0, 0.5, 2.0]
    """
    mean = (xx + yy + zz) / 3
    a, b, c = xx - mean, yy - mean, zz - mean
    size = np.sqrt((a * a + b * b + c * c + 2 * (xy * xy + xz * xz + yz * yz)) / 6)
    safe = np.maximum(size, 1e-20)
    half = (a * (b * c - yz * yz) - xy * (xy * c - yz * xz) + xz * (xy * yz - b * xz)) / (
        2 * safe**3
    )
    angle = np.arccos(np.clip(half, -1, 1)) / 3
    high = mean + 2 * size * np.cos(angle)
    low = mean + 2 * size * np.cos(angle + 2 * np.pi / 3)
    return low, 3 * mean - low - high, high
