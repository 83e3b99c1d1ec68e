"""The distortion of echo planar images from two of opposite polarity.

No library without FSL, AFNI or a deep-learning framework estimates it, so it is done here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi
from scipy.sparse.linalg import LinearOperator, cg

#: Weight of smoothness, for images with a brain of about 1.
SMOOTHNESS = 0.15
#: Shrinking of the grid at each level, and Gauss-Newton steps there.
LEVELS = ((4, 12), (2, 10), (1, 6))
#: A level ends when a step lowers the cost by less than this share.
LITTLE = 0.005
#: Largest stretching: beyond it signal folds and nothing can be told.
MOST_STRETCH = 0.9


def shift_between(
    plus: np.ndarray,
    minus: np.ndarray,
    axis: int,
    *,
    factors: tuple[float, float] = (1.0, -1.0),
    smoothness: float = SMOOTHNESS,
) -> np.ndarray:
    """Estimate the distortion from two images of opposite polarity.

    The undistorted image follows from either: ``I(y + f b) (1 + f b')`` with the shift b, its
    slope b' along the axis of encoding, and the factor f of the polarity. Both have to agree:
    their squared difference and the roughness of b are made least by Gauss-Newton steps, from
    coarse to fine, as in HySCO (Ruthotto 2012, doi:10.1088/0031-9155/57/18/5715).

    Parameters
    ----------
    plus, minus : ndarray, shape (nx, ny, nz)
        Images without diffusion weighting, head in the same place, on one scale.
    axis : int
        Array axis along which phase is encoded.
    factors : (float, float)
        Sign of the polarity times readout time, over that of factor 1, of each.
    smoothness : float
        Weight of the roughness.

    Returns
    -------
    ndarray of float32, shape of ``plus``
        Shift at each voxel of the undistorted head, voxels, for factor 1.

    Examples
    --------
    >>> line = np.arange(64.0)
    >>> bump = 3 * np.exp(-((line - 30) / 10) ** 2)
    >>> truth = 1 + np.sin(line / 3) * (abs(line - 32) < 20)
    >>> def seen(f):
    ...     at = line + f * bump
    ...     return np.interp(line, at, truth / np.gradient(at))
    >>> images = [np.tile(seen(f)[None, :, None], (8, 1, 8)) for f in (1, -1)]
    >>> found = shift_between(*images, axis=1)
    >>> bool(abs(found[4, 20:41, 4] - bump[20:41]).max() < 0.5)
    True
    """
    first, second = (
        np.moveaxis(np.asarray(image, np.float32), axis, -1) for image in (plus, minus)
    )
    level_of = np.quantile(first[first > 0], 0.8) if (first > 0).any() else 1.0
    images = [np.maximum(image, 0) / np.float32(level_of) for image in (first, second)]
    shift, scale = None, 1
    for shrink, steps in LEVELS:
        # Along the axis of encoding detail is what is aligned, but large shifts need far sight.
        size = [min(shrink, max(1, n // 8)) for n in first.shape]
        small = [_shrink(image, size) for image in images]
        start = (
            np.zeros(small[0].shape, np.float32)
            if shift is None
            else (_fit(shift, small[0].shape) * np.float32(scale / size[-1]))
        )
        pair = _Pair(*small, factors, smoothness)
        shift, scale = pair.solve(start, steps), size[-1]
    return np.moveaxis(_fit(shift, first.shape) * np.float32(scale), -1, axis)


@dataclass(eq=False)
class _Pair:
    """Two images with the axis of encoding last, at one level."""

    first: np.ndarray
    second: np.ndarray
    factors: tuple[float, float]
    smoothness: float

    def solve(self, shift: np.ndarray, steps: int) -> np.ndarray:
        """Take Gauss-Newton steps, each no further than it helps."""
        cost, residual, parts = self._look(shift)
        for _ in range(steps):
            change = self._step(shift, residual, parts)
            length = 1.0
            while length > 0.05:
                tried = self._bounded(shift + np.float32(length) * change)
                new = self._look(tried)
                if new[0] < cost:
                    break
                length /= 2
            else:
                return shift
            gained = 1 - new[0] / cost
            shift, (cost, residual, parts) = tried, new
            if gained < LITTLE:
                break
        return shift

    def _look(self, shift):
        """Return the cost, the difference of the two, and how it depends on shift and slope."""
        slope = _slope(shift)
        seen = []
        for image, factor in zip((self.first, self.second), self.factors, strict=True):
            value, rise = _sample(image, np.float32(factor) * shift)
            seen.append((value, rise, np.float32(factor), 1 + np.float32(factor) * slope))
        (v1, r1, f1, j1), (v2, r2, f2, j2) = seen
        residual = v1 * j1 - v2 * j2
        parts = (f1 * r1 * j1 - f2 * r2 * j2, f1 * v1 - f2 * v2)
        cost = 0.5 * float(np.square(residual, dtype=np.float64).sum())
        cost += 0.5 * self.smoothness * float((shift * _rough(shift)).sum(dtype=np.float64))
        return cost, residual, parts

    def _step(self, shift, residual, parts):
        """Solve the normal equations by conjugate gradients."""
        on_shift, on_slope = parts

        def normal(flat):
            step = flat.reshape(shift.shape).astype(np.float32)
            change = on_shift * step + on_slope * _slope(step)
            out = on_shift * change + _slope_back(on_slope * change)
            return (out + np.float32(self.smoothness) * _rough(step)).ravel()

        down = on_shift * residual + _slope_back(on_slope * residual)
        down += np.float32(self.smoothness) * _rough(shift)
        diagonal = on_shift**2 + 0.5 * on_slope**2 + np.float32(6 * self.smoothness + 1e-6)
        size = shift.size
        kind = {'dtype': np.float32}
        found, _ = cg(
            LinearOperator((size, size), matvec=normal, **kind),
            -down.ravel(),
            rtol=1e-2,
            maxiter=60,
            M=LinearOperator((size, size), matvec=lambda r: r / diagonal.ravel(), **kind),
        )
        return found.reshape(shift.shape).astype(np.float32)

    def _bounded(self, shift):
        """Soften a shift where it would fold."""
        most = max(map(abs, self.factors))
        for _ in range(20):
            steep = float(np.abs(_slope(shift)).max()) * most
            if steep <= MOST_STRETCH:
                break
            soft = ndi.gaussian_filter(shift, 1.0)
            near = np.abs(_slope(shift)) * most > 0.8 * MOST_STRETCH
            weight = ndi.gaussian_filter(near.astype(np.float32), 1.5)
            weight = np.clip(4 * weight, 0, 1)
            shift = shift + weight * (soft - shift)
        return shift


def _sample(image: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sample lines at their indices plus a shift (linear); return values and slopes there."""
    count = image.shape[-1]
    at = np.arange(count, dtype=np.float32) + shift
    low = np.clip(np.floor(at), 0, count - 2).astype(np.intp)
    part = np.clip(at - low, 0, 1)
    left = np.take_along_axis(image, low, -1)
    right = np.take_along_axis(image, low + 1, -1)
    inside = (at >= 0) & (at <= count - 1)
    return (left + part * (right - left)) * inside, (right - left) * inside


def _slope(shift: np.ndarray) -> np.ndarray:
    """Differentiate along the last axis: central differences, mirrored ends."""
    out = np.zeros_like(shift)
    out[..., 1:-1] = 0.5 * (shift[..., 2:] - shift[..., :-2])
    out[..., 0] = 0.5 * (shift[..., 1] - shift[..., 0])
    out[..., -1] = 0.5 * (shift[..., -1] - shift[..., -2])
    return out


def _slope_back(value: np.ndarray) -> np.ndarray:
    """Apply the transpose of :func:`_slope`."""
    out = np.zeros_like(value)
    out[..., 2:] += 0.5 * value[..., 1:-1]
    out[..., :-2] -= 0.5 * value[..., 1:-1]
    out[..., 1] += 0.5 * value[..., 0]
    out[..., 0] -= 0.5 * value[..., 0]
    out[..., -1] += 0.5 * value[..., -1]
    out[..., -2] -= 0.5 * value[..., -1]
    return out


def _rough(shift: np.ndarray) -> np.ndarray:
    """Apply the negative Laplacian with free borders."""
    out = np.zeros_like(shift)
    for axis in range(shift.ndim):
        step = np.diff(shift, axis=axis)
        low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(shift.ndim))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(shift.ndim))
        out[low] -= step
        out[high] += step
    return out


def _shrink(image: np.ndarray, size) -> np.ndarray:
    """Average blocks; what is left over at the ends is repeated."""
    padded = np.pad(image, [(0, -n % s) for n, s in zip(image.shape, size, strict=True)], 'edge')
    shape = [part for n, s in zip(padded.shape, size, strict=True) for part in (n // s, s)]
    return padded.reshape(shape).mean(axis=(1, 3, 5)).astype(np.float32)


def _fit(shift: np.ndarray, shape) -> np.ndarray:
    """Interpolate a shift of blocks to another grid of the same extent."""
    if shift.shape == tuple(shape):
        return shift
    size = [max(1, int(np.ceil(n / m))) for n, m in zip(shape, shift.shape, strict=True)]
    at = [((np.arange(n) + 0.5) / s - 0.5) for n, s in zip(shape, size, strict=True)]
    grid = np.meshgrid(*at, indexing='ij')
    return ndi.map_coordinates(shift, grid, order=1, mode='nearest', output=np.float32)
