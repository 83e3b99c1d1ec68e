"""Put FLAIR intensities on a scale that means the same from scan to scan."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy import ndimage as ndi
from scipy.signal import find_peaks

from csvdprep.core.errors import MeasureError

#: Posterior above which a voxel counts as pure tissue.
PURE = 0.9
#: Least number of pure voxels from which a class is described.
LEAST_VOXELS = 200
#: Least height of a peak of the brain, and the dip that parts it from the next, relative.
PEAK, DIP = 0.4, 0.05
#: 1 / Phi^-1(3/4): SD of a normal distribution per median absolute deviation.
MAD_TO_SD = 1.4826


@dataclass(frozen=True)
class FlairStats:
    """What a FLAIR looks like.

    Parameters
    ----------
    method : {'class', 'global'}
        Whether ``z`` stands on tissue classes or on the histogram of the brain.
    mu_csf, mu_gm, mu_wm, sd_csf, sd_gm, sd_wm : float
        Robust centre and spread of each class; NaN where there is no pure voxel.
    mode, width : float
        Main peak of the histogram of the brain and its FWHM / 2.355.
    noise_ratio : float
        ``width / mode`` (QC Q2, lower is better): wide where the bias field is not gone, or
        there is noise.

    """

    method: str
    mu_csf: float
    mu_gm: float
    mu_wm: float
    sd_csf: float
    sd_gm: float
    sd_wm: float
    mode: float
    width: float
    noise_ratio: float

    def as_dict(self) -> dict:
        """Return the fields as a dictionary for a sidecar."""
        return asdict(self)


def robust_centre(values: np.ndarray, clip: float = 2.5, rounds: int = 3) -> tuple[float, float]:
    """Median and scaled median absolute deviation after clipping outliers.

    Parameters
    ----------
    values : ndarray, shape (n,)
        At least one value.
    clip : float
        Values further than this many SD from the median are left out of the next round.
    rounds : int
        Rounds of clipping.

    Returns
    -------
    centre, spread : float
        In the unit of the values; the spread is never zero.

    Examples
    --------
    >>> values = np.concatenate([np.random.default_rng(0).normal(100, 10, 9000), [500] * 1000])
    >>> centre, spread = robust_centre(values)
    >>> bool(abs(centre - 100) < 1), bool(abs(spread - 10) < 1)
    (True, True)

    """
    values = np.asarray(values, dtype=np.float32).ravel()
    centre = np.median(values)
    spread = MAD_TO_SD * np.median(np.abs(values - centre))
    for _ in range(rounds):
        inside = values[np.abs(values - centre) <= clip * spread]
        if not inside.size:
            break
        centre = np.median(inside)
        spread = MAD_TO_SD * np.median(np.abs(inside - centre))
    return float(centre), float(max(spread, 1e-6 * max(1.0, abs(centre))))


def histogram_peak(values: np.ndarray, bins: int = 200) -> tuple[float, float]:
    """Find the main peak of a histogram between its percentiles 2 and 99.5.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Intensities of the brain.
    bins : int
        Bins; the counts are smoothed by a Gaussian of 3 bins.

    Returns
    -------
    mode, width : float
        Position of the peak, and its full width at half maximum / 2.355.

    Raises
    ------
    csvdprep.core.errors.MeasureError
        If all values are alike.

    Examples
    --------
    >>> mode, width = histogram_peak(np.random.default_rng(0).normal(100, 10, 200_000))
    >>> bool(abs(mode - 100) < 2), bool(abs(width - 10) < 1)
    (True, True)

    """
    low, high = np.percentile(values, [2, 99.5]) if np.size(values) else (0, 0)
    if not high > low:
        raise MeasureError('The FLAIR has no contrast inside the brain.')
    counts, edges = np.histogram(values, bins=bins, range=(low, high))
    smooth = ndi.gaussian_filter1d(counts.astype(float), 3, mode='constant')
    top = int(smooth.argmax())
    below = smooth < smooth[top] / 2
    left = np.flatnonzero(below[:top])
    right = np.flatnonzero(below[top:])
    first = left[-1] if left.size else 0
    last = top + right[0] if right.size else bins - 1
    step = edges[1] - edges[0]
    return float(edges[top] + step / 2), float(max(last - first, 1) * step / 2.355)


def brain_mode(values: np.ndarray) -> float:
    """Return the main peak of a brain's histogram, fluid left out.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Intensities of the brain; less than half of it is fluid.

    Returns
    -------
    float
        Position of the peak.

    Raises
    ------
    csvdprep.core.errors.MeasureError
        If all values are alike.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> brain = np.concatenate([rng.normal(100, 5, 7000), rng.normal(20, 0.5, 3000)])
    >>> bool(abs(brain_mode(brain) - 100) < 2)
    True
    """
    low, high = np.percentile(values, [2, 99.5]) if np.size(values) else (0, 0)
    if not high > low:
        raise MeasureError('The FLAIR has no contrast inside the brain.')
    middle = float(np.median(values))
    edges, counts = _around(values, middle, 3.0)
    # Lesions may make a peak of their own, and the higher one: the lowest that is one counts.
    peaks, _ = find_peaks(counts, height=PEAK * counts.max(), prominence=DIP * counts.max())
    top = int(peaks[0]) if peaks.size else int(counts.argmax())
    at = (edges[top] + edges[top + 1]) / 2
    return histogram_mode(values, 0.93 * at, 1.07 * at, 0.01 * middle, blur=2.0)


def brain_upper_edge(values: np.ndarray) -> float:
    """Return the upper edge, at half of its height, of the main peak of a brain's histogram.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Intensities of the brain; less than half of it is fluid.

    Returns
    -------
    float
        Grey and white matter are darker, most of them.

    Raises
    ------
    csvdprep.core.errors.MeasureError
        If all values are alike.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> brain = np.concatenate([rng.normal(100, 5, 4000), rng.normal(125, 6, 4000)])
    >>> 125 < brain_upper_edge(brain) < 140
    True
    """
    middle = float(np.median(values)) if np.size(values) else 0.0
    if not middle > 0 or np.ptp(values) == 0:
        raise MeasureError('The FLAIR has no contrast inside the brain.')
    edges, counts = _around(values, middle, 2.0)
    return float(edges[np.flatnonzero(counts >= counts.max() / 2)[-1] + 1])


def _around(values, middle, blur):
    """Return the edges of bins from half to double of a value, and the smoothed counts."""
    edges = np.linspace(0.5 * middle, 2.0 * middle, 151)
    return edges, ndi.gaussian_filter1d(np.histogram(values, edges)[0].astype(float), blur)


def histogram_mode(
    values: np.ndarray, low: float, high: float, step: float, blur: float = 3.0
) -> float:
    """Return the highest place of a smoothed histogram within a range.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Intensities.
    low, high : float
        Range.
    step, blur : float
        Width of the bins, and SD of the smoothing in bins.

    Returns
    -------
    float
        Position, finer than the bins; the nearest to the median if nothing is in the range.

    Examples
    --------
    >>> values = np.random.default_rng(0).normal(100, 5, 100_000)
    >>> bool(abs(histogram_mode(values, 70, 120, 1.0) - 100) < 1)
    True
    """
    edges = np.arange(low - 8 * step, high + 9 * step, step)
    counts = ndi.gaussian_filter1d(np.histogram(values, edges)[0].astype(float), blur)
    centres = edges[:-1] + step / 2
    counts[(centres < low) | (centres > high)] = 0
    top = int(counts.argmax())
    if not counts[top] or not 0 < top < counts.size - 1:
        return float(np.clip(np.median(values), low, high))
    before, here, after = counts[top - 1 : top + 2]
    bend = before - 2 * here + after
    return float(centres[top] + (step * 0.5 * (before - after) / bend if bend else 0))


def normalise_flair(
    flair: np.ndarray,
    mask: np.ndarray,
    csf: np.ndarray | None = None,
    gm: np.ndarray | None = None,
    wm: np.ndarray | None = None,
    lesion: np.ndarray | None = None,
) -> tuple[np.ndarray, FlairStats]:
    """Express a FLAIR in SD from what is normal for the tissue of each voxel.

    ``z = sum_k p_k (F - mu_k) / sd_k`` over the tissue classes; without them, or where a class
    has no pure voxel, ``z = (F - mode) / width`` of the histogram of the brain.

    Parameters
    ----------
    flair : ndarray, shape (I, J, K)
        Bias-corrected FLAIR, arbitrary unit.
    mask : ndarray, shape (I, J, K)
        Brain.
    csf, gm, wm : ndarray of float, shape (I, J, K), optional
        Tissue probabilities on the same grid.
    lesion : ndarray, shape (I, J, K), optional
        Voxels to be left out of the class statistics.

    Returns
    -------
    z : ndarray of float32, shape (I, J, K)
        Zero outside of the mask.
    stats : FlairStats
        Both estimates.

    Raises
    ------
    csvdprep.core.errors.MeasureError
        If the brain mask is empty or the FLAIR has no contrast in it.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> flair = rng.normal(100, 5, (30, 30, 30))
    >>> flair[:, :, 20:] = rng.normal(20, 5, (30, 30, 10))
    >>> flair[:, :10] *= 1.2
    >>> wm = np.ones(flair.shape); wm[:, :, 20:] = 0; wm[:, :10] = 0
    >>> csf = np.zeros(flair.shape); csf[:, :, 20:] = 1
    >>> z, stats = normalise_flair(flair, np.ones(flair.shape), csf, 1 - wm - csf, wm)
    >>> stats.method, bool(abs(z[:, :, :20].mean()) < 0.05)
    ('class', True)

    """
    brain = np.asarray(mask) > 0
    image = np.asarray(flair, dtype=np.float32)
    if not brain.any():
        raise MeasureError('The brain mask of the FLAIR is empty.')
    mode, width = histogram_peak(image[brain])
    free = brain if lesion is None else brain & (np.asarray(lesion) <= 0)
    found = {}
    for name, probability in (('csf', csf), ('gm', gm), ('wm', wm)):
        found[name] = (np.nan, np.nan)
        if probability is not None:
            pure = free & (np.asarray(probability) > PURE)
            if np.count_nonzero(pure) >= LEAST_VOXELS:
                found[name] = robust_centre(image[pure])
    z = np.zeros(image.shape, np.float32)
    by_class = all(np.isfinite(centre) for centre, _ in found.values())
    if by_class:
        for probability, (centre, spread) in zip((csf, gm, wm), found.values(), strict=True):
            z[brain] += np.asarray(probability)[brain] * (image[brain] - centre) / spread
    else:
        z[brain] = (image[brain] - mode) / width
    stats = FlairStats(
        method='class' if by_class else 'global',
        **{f'mu_{name}': value[0] for name, value in found.items()},
        **{f'sd_{name}': value[1] for name, value in found.items()},
        mode=mode,
        width=width,
        noise_ratio=width / mode if mode > 0 else np.nan,
    )
    return z, stats


def smooth(values: np.ndarray, voxel_mm, sigma_mm: float) -> np.ndarray:
    """Gaussian smoothing by a width in mm; an axis with voxels far larger is left alone.

    Parameters
    ----------
    values : ndarray, shape (I, J, K)
        Image.
    voxel_mm : sequence of 3 float
        Voxel size, mm.
    sigma_mm : float
        SD of the kernel, mm.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        Smoothed image.

    Examples
    --------
    >>> float(smooth(np.ones((5, 5, 5)), (1, 1, 6), 1.0).round(3).min())
    1.0

    """
    sigma = [sigma_mm / size if sigma_mm > 0.15 * size else 0.0 for size in voxel_mm]
    return ndi.gaussian_filter(np.asarray(values, dtype=np.float32), sigma, truncate=3)


def smooth_within(values: np.ndarray, weight: np.ndarray, voxel_mm, sigma_mm: float):
    """Gaussian smoothing that sees only weighted voxels (normalised convolution).

    Parameters
    ----------
    values, weight : ndarray, shape (I, J, K)
        Image, and how much each voxel counts (0 to 1).
    voxel_mm : sequence of 3 float
        Voxel size, mm.
    sigma_mm : float
        SD of the kernel, mm.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        Weighted local mean; 0 where no weight is near.

    Examples
    --------
    >>> values = np.zeros((9, 9, 9)); values[4:] = 7; weight = values > 0
    >>> float(smooth_within(values, weight, (1, 1, 1), 1.0)[3, 4, 4].round(3))
    7.0

    """
    weight = np.asarray(weight, dtype=np.float32)
    total = smooth(np.asarray(values, dtype=np.float32) * weight, voxel_mm, sigma_mm)
    support = smooth(weight, voxel_mm, sigma_mm)
    return np.where(support > 1e-4, total / np.maximum(support, 1e-4), 0).astype(np.float32)


def reference_field(
    values: np.ndarray, weight: np.ndarray, voxel_mm, sigma_mm: float, coarse_mm: float = 4.0
) -> np.ndarray:
    """Estimate a slowly varying reference level from some of the voxels.

    Parameters
    ----------
    values, weight : ndarray, shape (I, J, K)
        Image, and 1 where it shows the reference tissue. At least one weight must be positive.
    voxel_mm : sequence of 3 float
        Voxel size, mm.
    sigma_mm : float
        SD of the Gaussian over which the level is averaged, mm.
    coarse_mm : float
        Block size on which it is computed, mm.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        Level everywhere; far from any weighted voxel that of the whole image.

    Examples
    --------
    >>> ramp = np.linspace(90, 110, 40)[:, None, None] * np.ones((40, 40, 40))
    >>> field = reference_field(ramp, np.ones(ramp.shape), (2, 2, 2), 8.0)
    >>> bool(abs(field[20] - ramp[20]).max() < 1)
    True

    """
    voxel_mm = np.asarray(voxel_mm, dtype=float)
    factors = np.maximum(1, np.round(coarse_mm / voxel_mm)).astype(int)
    pad = [(0, -size % factor) for size, factor in zip(values.shape, factors, strict=True)]

    def blocks(image):
        padded = np.pad(np.asarray(image, dtype=np.float32), pad)
        shape = [n for size, k in zip(padded.shape, factors, strict=True) for n in (size // k, k)]
        return padded.reshape(shape).mean(axis=(1, 3, 5))

    weight = np.asarray(weight, dtype=np.float32)
    sigma = sigma_mm / (voxel_mm * factors)
    total = ndi.gaussian_filter(blocks(values * weight), sigma, truncate=3)
    support = ndi.gaussian_filter(blocks(weight), sigma, truncate=3)
    overall = float(np.sum(values * weight, dtype=float) / np.sum(weight, dtype=float))
    # A little of the overall level keeps the field finite where there is no reference tissue.
    prior = 0.02 * float(support.max()) + 1e-6
    level = (total + prior * overall) / (support + prior)
    return ndi.affine_transform(
        level,
        np.diag(1 / factors),
        -(factors - 1) / (2 * factors),
        output_shape=values.shape,
        order=1,
        mode='nearest',
        output=np.float32,
    )
