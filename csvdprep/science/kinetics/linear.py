"""Models that are linear in what is looked for: Patlak, and plasma alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from csvdprep.science.kinetics.input_function import integrate, shifted

#: Sums of squares below this share of that of the data are rounding.
ROUNDING = 1e-20
#: Curves that are fitted at once.
BLOCK = 10_000


@dataclass(frozen=True, eq=False, kw_only=True)
class Fit:
    """What a model found; arrays have the shape of the curves without their times.

    Attributes
    ----------
    model : str
        Its name.
    values, errors : mapping of str to ndarray
        Each parameter and its standard error: ``ps`` (1/min; K^trans of models with return),
        ``vp``, ``ve``, ``kep`` (1/min), ``fp`` (1/min). NaN where there is none.
    fitted : ndarray, shape (..., n)
        The curve at all times, mmol/L; None unless asked for.
    rss : ndarray
        Sum of squared (weighted) differences in the window.
    aic : ndarray
        Akaike's criterion, corrected for small samples: less is better.
    points, parameters : int
        Times in the window; parameters that are fitted.
    delay_s : ndarray
        Delay of the input function that was taken, s.
    autocorrelation : ndarray
        Of the differences, from each time to the next.
    """

    model: str
    values: Mapping[str, np.ndarray]
    errors: Mapping[str, np.ndarray] = field(default_factory=dict)
    fitted: np.ndarray | None = None
    rss: np.ndarray
    aic: np.ndarray
    points: int
    parameters: int
    delay_s: np.ndarray
    autocorrelation: np.ndarray

    def interval(self, name: str, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Return the bounds of the confidence interval of a parameter (Student's t)."""
        free = max(self.points - self.parameters, 1)
        reach = stats.t.ppf(0.5 + level / 2, free) * self.errors[name]
        return self.values[name] - reach, self.values[name] + reach


def patlak_fit(
    time_s,
    plasma,
    tissue,
    *,
    use=None,
    weights=None,
    delay_s: float | tuple[float, float] = 0.0,
    rule: str = 'trapezoid',
    bounds: Mapping[str, tuple[float, float]] | None = None,
    baseline: int = 0,
    curves: bool = False,
) -> Fit:
    """Fit Patlak's model: what leaks into the tissue does not come back [1]_.

    ``C(t) = v_p C_p(t) + PS int C_p``, by linear regression on both terms, all curves at once;
    there is no division by C_p, as there is in Patlak's graph.

    Parameters
    ----------
    time_s : array-like, shape (n,)
        Middle of each frame, s, rising; steps may differ.
    plasma : array-like, shape (n,)
        Concentration in plasma, that is in blood over 1 - haematocrit, mmol/L. The whole curve,
        also where ``use`` leaves times out: the integral begins with it.
    tissue : array-like, shape (..., n)
        Concentration in tissue, mmol/L. Curves with values that are not finite give NaN.
    use : array-like of bool, shape (n,), optional
        Times that are fitted, all if omitted. The first pass is left out in practice: there
        flow matters, and frames are too long.
    weights : array-like, shape (n,) or (..., n), optional
        1/variance of each value, in any unit.
    delay_s : float or (float, float)
        How much later than the vessel the tissue is reached, s; with two numbers, the best
        between them is looked for, for each curve.
    rule : {'trapezoid', 'rectangle'}
        How the input function is integrated, see :func:`integrate`.
    bounds : mapping of str to (float, float), optional
        Least and highest value of ``ps`` or ``vp``, as other software has them; infinite where
        there is none. The mean of values that cannot be negative is too high: leave bounds off
        for statistics.
    baseline : int
        Number of times that the signal before the contrast agent is the mean of. Its noise
        shifts the whole curve, which differences from the fit do not show: with it, standard
        errors count it.
    curves : bool
        Whether the fitted curves are returned.

    Returns
    -------
    Fit
        ``ps`` (1/min) and ``vp`` (fraction).

    Raises
    ------
    ValueError
        If shapes do not fit, times do not rise, or fewer than four times are left.

    References
    ----------
    .. [1] Patlak C.S., Blasberg R.G., Fenstermacher J.D. (1983) Graphical evaluation of
       blood-to-brain transfer constants from multiple-time uptake data.
       doi:10.1038/jcbfm.1983.1

    Examples
    --------
    >>> time = np.arange(30) * 40.0
    >>> plasma = np.where(time > 100, np.exp(-time / 900), 0)
    >>> tissue = 0.01 * plasma + 4e-4 * integrate(time, plasma)
    >>> found = patlak_fit(time, plasma, tissue, use=time > 240)
    >>> f'{found.values["ps"]:.6f} {found.values["vp"]:.6f}'
    '0.000400 0.010000'
    """

    def design(curve):
        return np.stack([integrate(time, curve, rule), curve], axis=-1)

    time = np.asarray(time_s, float)
    return _fit_linear(
        'patlak',
        ('ps', 'vp'),
        design,
        time,
        plasma,
        tissue,
        use,
        weights,
        delay_s,
        bounds,
        baseline,
        curves,
    )


def plasma_volume_fit(
    time_s, plasma, tissue, *, use=None, weights=None, delay_s=0.0, curves: bool = False
) -> Fit:
    """Fit plasma alone: ``C(t) = v_p C_p(t)``, nothing leaks. See :func:`patlak_fit`."""
    time = np.asarray(time_s, float)
    return _fit_linear(
        'plasma',
        ('vp',),
        lambda curve: curve[:, None],
        time,
        plasma,
        tissue,
        use,
        weights,
        delay_s,
        None,
        0,
        curves,
    )


def checked(time, plasma, tissue, use, weights, parameters: int):
    """Check and shape what a fit is given.

    Returns plasma, curves (m, n), window, weights (m or 1, n) or None, and which curves are not
    finite; these are 0.
    """
    plasma, tissue = np.asarray(plasma, float), np.asarray(tissue, float)
    if time.ndim != 1 or plasma.shape != time.shape or tissue.shape[-1:] != time.shape:
        raise ValueError(
            f'Times {time.shape}, plasma {plasma.shape} and tissue {tissue.shape} do not fit: '
            'the last axis of tissue is time.'
        )
    if not (np.isfinite(time).all() and (np.diff(time) > 0).all()):
        raise ValueError('Times have to rise.')
    if not np.isfinite(plasma).all():
        raise ValueError('The concentration in plasma is not finite.')
    window = np.ones(len(time), bool) if use is None else np.asarray(use, bool)
    if window.shape != time.shape:
        raise ValueError('use has to have one value a time.')
    if window.sum() < parameters + 2:
        raise ValueError(f'{window.sum()} times are too few to fit {parameters} parameters.')
    if weights is not None:
        weights = np.asarray(weights, float)
        weights = np.broadcast_to(weights, (*weights.shape[:-1], len(time)))
        weights = weights.reshape(-1, len(time)) if weights.ndim > 1 else weights[None]
    curves = tissue.reshape(-1, len(time))
    broken = ~np.isfinite(curves).all(axis=1)
    if broken.any():
        curves = np.where(broken[:, None], 0.0, curves)
    return plasma, curves, window, weights, broken


def _fit_linear(
    model,
    names,
    design: Callable,
    time,
    plasma,
    tissue,
    use,
    weights,
    delay_s,
    bounds,
    baseline,
    curves,
) -> Fit:
    shape = np.shape(tissue)[:-1]
    plasma, flat, window, weights, broken = checked(time, plasma, tissue, use, weights, len(names))
    box = box_of(names, bounds)
    delays = _delays(time, *delay_s) if isinstance(delay_s, tuple | list) else np.array([delay_s])
    bases = [design(shifted(time, plasma, float(delay))) for delay in delays]
    parts = []
    for start in range(0, max(len(flat), 1), BLOCK):
        some = flat[start : start + BLOCK]
        weight = weights
        if weights is not None and len(weights) > 1:
            weight = weights[start : start + BLOCK]
        parts.append(_best(bases, delays, some, window, weight, box, baseline, curves))
    joined = [
        np.concatenate(items) if items[0] is not None else None
        for items in zip(*parts, strict=True)
    ]
    beta, error, rss, delay, lag, aic, fitted = joined
    for item in (beta, error, rss, aic, lag):
        item[broken] = np.nan
    return Fit(
        model=model,
        values={name: beta[:, k].reshape(shape) for k, name in enumerate(names)},
        errors={name: error[:, k].reshape(shape) for k, name in enumerate(names)},
        fitted=None if fitted is None else fitted.reshape(*shape, len(time)),
        rss=rss.reshape(shape),
        aic=aic.reshape(shape),
        points=int(window.sum()),
        parameters=len(names),
        delay_s=delay.reshape(shape),
        autocorrelation=lag.reshape(shape),
    )


def box_of(names, bounds):
    """Return lower and upper bounds of parameters in their order; None without any."""
    if not bounds:
        return None
    if strange := sorted(set(bounds) - set(names)):
        raise ValueError(f'There is no parameter {strange[0]}: {", ".join(names)}.')
    both = [bounds.get(name, (-np.inf, np.inf)) for name in names]
    if any(low > high for low, high in both):
        raise ValueError('A lower bound is above the upper one.')
    return np.array([low for low, _ in both], float), np.array([high for _, high in both], float)


def _delays(time, low: float, high: float) -> np.ndarray:
    """Return delays to be tried: a quarter of a frame apart, and no more than 200."""
    step = float(np.median(np.diff(time))) / 4
    count = int(np.clip(np.ceil((high - low) / step) + 1, 2, 200))
    return np.linspace(low, high, count)


def _best(bases, delays, curves, window, weight, box, baseline, wanted):
    """Fit a block of curves with each delay, and keep the best."""
    kept = None
    for basis, delay in zip(bases, delays, strict=True):
        beta, error, rss, rest = solve(
            basis[window], curves[:, window], weight_in(weight, window), box, baseline
        )
        if kept is None:
            kept = [beta, error, rss, np.full(len(curves), float(delay)), rest]
            continue
        better = rss < kept[2]
        for old, new in zip(kept, (beta, error, rss, delay, rest), strict=True):
            old[better] = new if np.ndim(new) == 0 else new[better]
    beta, error, rss, delay, rest = kept
    fitted = None
    if wanted:
        which = np.searchsorted(delays, delay)
        fitted = np.einsum('mnk,mk->mn', np.stack(bases)[which], beta)
    searched = int(len(delays) > 1)
    aic = akaike(rss, curves[:, window], beta.shape[1] + searched)
    return beta, error, rss, delay, lag_one(rest), aic, fitted


def weight_in(weight, window):
    """Return weights in the window, with a mean of 1 for each curve."""
    if weight is None:
        return None
    inside = weight[:, window]
    return inside / np.maximum(inside.mean(axis=1, keepdims=True), 1e-300)


def solve(design, curves, weight=None, bounds=None, baseline: int = 0):
    """Solve least squares of many curves on one design, or on one for each.

    Parameters
    ----------
    design : ndarray, shape (n, k) or (m, n, k)
        Columns.
    curves : ndarray, shape (m, n)
        Data.
    weight : ndarray, shape (1, n) or (m, n), optional
        1/variance.
    bounds : (lower, upper), optional
        Of one or two parameters, each broadcast to (m, k).
    baseline : int
        Number of values whose mean was taken off all curves; 0 if none was.

    Returns
    -------
    beta, error : ndarray, shape (m, k)
        Parameters and standard errors; NaN for curves that are not finite.
    rss : ndarray, shape (m,)
        Sum of squares.
    rest : ndarray, shape (m, n)
        Differences, weighted.

    Examples
    --------
    >>> beta, error, rss, rest = solve(np.array([[1.0], [1], [1]]), np.array([[1.0, 2, 3]]))
    >>> beta.tolist(), rss.tolist()
    ([[2.0]], [2.0])
    """
    one = np.ones((1, curves.shape[1]))
    if weight is not None:
        root = np.sqrt(weight)
        one = one * root
        curves = curves * root
        design = (design if design.ndim == 3 else design[None]) * root[..., None]
        if len(design) == 1:
            design = design[0]
    normal = np.swapaxes(design, -1, -2) @ design
    right = curves @ design if design.ndim == 2 else np.einsum('mnk,mn->mk', design, curves)
    inverse = inverted(normal)
    beta = amplitudes(normal, inverse, right, bounds)
    model = beta @ design.T if design.ndim == 2 else np.einsum('mnk,mk->mn', design, beta)
    rest = curves - model
    rss = (rest**2).sum(axis=1)
    free = max(curves.shape[1] - beta.shape[1], 1)
    spread = np.diagonal(inverse, axis1=-2, axis2=-1)
    if baseline:
        flat = design.ndim == 2
        side = one @ design if flat else np.einsum('mnk,mn->mk', design, one + 0 * curves)
        shift = side @ inverse if flat else np.einsum('mkl,ml->mk', inverse, side)
        spread = spread + shift**2 / baseline
    error = np.sqrt(np.maximum(spread * (rss / free)[:, None], 0))
    return beta, error, rss, rest


def amplitudes(normal, inverse, right, bounds=None) -> np.ndarray:
    """Solve normal equations, exactly also where one or two parameters are bounded.

    Parameters
    ----------
    normal, inverse : ndarray, shape (k, k) or (m, k, k)
        Matrix, and its (pseudo-)inverse.
    right : ndarray, shape (m, k)
        Right sides.
    bounds : (lower, upper), optional
        Broadcast to (m, k); k is 1 or 2.

    Returns
    -------
    ndarray, shape (m, k)

    Examples
    --------
    >>> both = np.array([[1.0, 0.5], [0.5, 1.0]])
    >>> amplitudes(both, np.linalg.inv(both), np.array([[-1.0, 1.0]]), (0, np.inf)).tolist()
    [[0.0, 1.0]]
    """
    one = normal.ndim == 2
    beta = right @ inverse if one else np.einsum('mkl,ml->mk', inverse, right)
    if bounds is None:
        return beta
    low, high = (np.broadcast_to(np.asarray(b, float), beta.shape) for b in bounds)
    if beta.shape[1] == 1:
        return np.clip(beta, low, high)
    out = ((beta < low) | (beta > high)).any(axis=1)
    if out.any():
        beta = beta.copy()
        some = normal if one else normal[out]
        beta[out] = _on_edges(some, right[out], low[out], high[out])
    return beta


def _on_edges(normal, right, low, high) -> np.ndarray:
    """Find the minimum on the edges of a box: there it is if it is not inside."""
    best, least = np.zeros_like(right), np.full(len(right), np.inf)
    for fixed in (0, 1):
        free = 1 - fixed
        for edge in (low, high):
            there = np.isfinite(edge[:, fixed])
            if not there.any():
                continue
            at = np.where(there, edge[:, fixed], 0.0)
            with np.errstate(invalid='ignore', divide='ignore'):
                other = (right[:, free] - normal[..., free, fixed] * at) / normal[..., free, free]
            other = np.clip(np.nan_to_num(other), low[:, free], high[:, free])
            tried = np.empty_like(right)
            tried[:, fixed], tried[:, free] = at, other
            cost = misfit(normal, right, tried)
            better = there & (cost < least)
            best = np.where(better[:, None], tried, best)
            least = np.where(better, cost, least)
    return best


def inverted(normal: np.ndarray) -> np.ndarray:
    """Invert symmetric matrices of up to three rows; pseudo-inverse where they are singular.

    Examples
    --------
    >>> inverted(np.array([[[2.0, 0], [0, 4]], [[1, 1], [1, 1]]])).round(3).tolist()
    [[[0.5, 0.0], [0.0, 0.25]], [[0.25, 0.25], [0.25, 0.25]]]
    """
    if normal.ndim == 2 or normal.shape[-1] != 2:
        return np.linalg.pinv(normal, hermitian=True)
    a, b, c = normal[:, 0, 0], normal[:, 0, 1], normal[:, 1, 1]
    size = a * c
    determinant = size - b * b
    sound = determinant > 1e-12 * size
    with np.errstate(divide='ignore', invalid='ignore'):
        out = np.stack([np.stack([c, -b], -1), np.stack([-b, a], -1)], -2)
        out = out / determinant[:, None, None] + 0.0
    if not sound.all():
        out[~sound] = np.linalg.pinv(normal[~sound], hermitian=True)
    return out


def misfit(normal, right, beta) -> np.ndarray:
    """Return the sum of squares less that of the data, of parameters of shape (m, k)."""
    if normal.ndim == 2:
        square = ((beta @ normal) * beta).sum(axis=1)
    else:
        square = np.einsum('mk,mkl,ml->m', beta, normal, beta)
    with np.errstate(invalid='ignore'):
        return square - 2 * (beta * right).sum(axis=1)


def akaike(rss, curves, parameters: int) -> np.ndarray:
    """Return Akaike's criterion of least squares, corrected for small samples."""
    n = curves.shape[1]
    k = parameters + 1
    floor = ROUNDING * (curves**2).sum(axis=1) + 1e-300
    return n * np.log(np.maximum(rss, floor) / n) + 2 * k + 2 * k * (k + 1) / max(n - k - 1, 1)


def lag_one(rest) -> np.ndarray:
    """Return the autocorrelation of differences, from each time to the next."""
    centred = rest - rest.mean(axis=1, keepdims=True)
    total = (centred**2).sum(axis=1)
    return (centred[:, 1:] * centred[:, :-1]).sum(axis=1) / np.maximum(total, 1e-300)


def drift_sensitivity(fit_ps: Callable[[np.ndarray], float], time_s, signal) -> float:
    """Compute how PS changes if the receiver drifts by 0.1 % over the run.

    Parameters
    ----------
    fit_ps : callable
        Takes a signal, shape (n,), returns PS in any unit.
    time_s : ndarray, shape (n,)
        s.
    signal : ndarray, shape (n,)
        Signal of the region.

    Returns
    -------
    float
        Change of PS, in its unit, with a linear rise of the signal of 0.1 % over the run.

    Examples
    --------
    >>> time = np.linspace(0, 10, 11)
    >>> round(drift_sensitivity(lambda s: s[-1] - s[0], time, np.full(11, 100.0)), 6)
    0.1
    """
    time = np.asarray(time_s, float)
    ramp = (time - time[0]) / (time[-1] - time[0]) * 5e-4
    return float(fit_ps(signal * (1 + ramp)) - fit_ps(signal * (1 - ramp)))
