"""Empirical Bayes: what a site does to all measures tells what it does to each."""

from __future__ import annotations

import numpy as np

#: Fewest measures from which the distribution of effects can be learned.
FEWEST = 3


def shrink(
    scaled: np.ndarray,
    shift: np.ndarray,
    scale: np.ndarray,
    *,
    mean_only: bool = False,
    parametric: bool = True,
    tolerance: float = 1e-4,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the effects of one site towards those that it has on all measures.

    Parameters
    ----------
    scaled : ndarray, shape (n, p)
        Standardised values of the site; NaN where there is none.
    shift, scale : ndarray, shape (p,)
        Mean and variance of each measure at the site, as estimated.
    mean_only : bool, optional
        Leave variances as they are: they are taken as 1.
    parametric : bool, optional
        Normal and inverse gamma priors (Johnson 2007, equations of section 3.2), else the
        distribution of the effects on the other measures itself (section 3.3 there).
    tolerance : float, optional
        Relative change at which the iteration ends: 1e-4 in the reference programs in R and
        Python, 1e-3 in that in MATLAB.

    Returns
    -------
    shift, scale : ndarray, shape (p,)
        Drawn effects; the variance is 1 where ``mean_only``.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> values = rng.normal(0.5, 1, (20, 9))
    >>> shift, _ = shrink(values, values.mean(0), values.var(0, ddof=1))
    >>> bool(np.ptp(shift) < np.ptp(values.mean(0)))
    True
    """
    count = np.isfinite(scaled).sum(axis=0)
    middle = np.nansum(scaled, axis=0) / count
    squares = np.nansum((scaled - middle) ** 2, axis=0)
    return shrink_sums(
        count,
        middle,
        squares,
        shift,
        scale,
        mean_only=mean_only,
        parametric=parametric,
        tolerance=tolerance,
    )


def shrink_sums(
    count: np.ndarray,
    middle: np.ndarray,
    squares: np.ndarray,
    shift: np.ndarray,
    scale: np.ndarray,
    *,
    mean_only: bool = False,
    parametric: bool = True,
    tolerance: float = 1e-4,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the effects of one site by sums alone: no value of anybody is needed.

    Parameters
    ----------
    count, middle, squares : ndarray, shape (p,)
        Number, mean, and sum of squares about the mean, of the standardised values of the site.
    shift, scale : ndarray, shape (p,)
        Mean and variance of each measure at the site, as estimated.
    mean_only, parametric, tolerance
        As in :func:`shrink`.

    Returns
    -------
    shift, scale : ndarray, shape (p,)

    Examples
    --------
    >>> z = np.random.default_rng(0).normal(0.5, 1, (20, 9))
    >>> about = z.mean(0), ((z - z.mean(0)) ** 2).sum(0)
    >>> ours = shrink_sums(np.full(9, 20), *about, z.mean(0), z.var(0, ddof=1))
    >>> theirs = shrink(z, z.mean(0), z.var(0, ddof=1))
    >>> bool(np.allclose(ours, theirs, rtol=1e-12))
    True
    """
    if not parametric:
        variances = np.ones_like(scale) if mean_only else scale
        return _by_others(count, middle, squares, shift, variances)
    centre, spread = shift.mean(), shift.var(ddof=1)
    if mean_only:
        return (spread * shift + centre) / (spread + 1), np.ones_like(scale)
    mean, width = scale.mean(), scale.var(ddof=1)
    shape = (2 * width + mean**2) / width
    rate = (mean * width + mean**3) / width
    old_shift, old_scale = shift, scale
    for _ in range(10_000):
        new_shift = (spread * count * shift + old_scale * centre) / (spread * count + old_scale)
        about = squares + count * (middle - new_shift) ** 2
        new_scale = (about / 2 + rate) / (count / 2 + shape - 1)
        with np.errstate(divide='ignore', invalid='ignore'):
            # As in the reference programs, which do not take the magnitude of the divisor.
            change = max(
                np.nanmax(np.abs(new_shift - old_shift) / old_shift),
                np.nanmax(np.abs(new_scale - old_scale) / old_scale),
            )
        old_shift, old_scale = new_shift, new_scale
        if change <= tolerance:
            break
    return new_shift, new_scale


def _by_others(count, middle, squares, shift, scale) -> tuple[np.ndarray, np.ndarray]:
    """Weigh the effects on the other measures by how well they explain each measure."""
    new_shift, new_scale = np.empty_like(shift), np.empty_like(scale)
    for at in range(len(shift)):
        others = np.arange(len(shift)) != at
        g, d = shift[others], scale[others]
        about = squares[at] + count[at] * (middle[at] - g) ** 2
        weight = -count[at] / 2 * np.log(2 * np.pi * d) - about / (2 * d)
        weight = np.exp(weight - weight.max())
        new_shift[at] = (weight * g).sum() / weight.sum()
        new_scale[at] = (weight * d).sum() / weight.sum()
    return new_shift, new_scale
