"""Models in which contrast agent returns into the blood: extended Tofts, and two compartments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from csvdprep.science.kinetics.input_function import convolve, shifted
from csvdprep.science.kinetics.linear import (
    BLOCK,
    Fit,
    akaike,
    amplitudes,
    box_of,
    checked,
    inverted,
    lag_one,
    misfit,
    solve,
    weight_in,
)

#: Rates of return that are tried first, 1/min: 0 and steps of about 8 %.
RATES = np.concatenate([[0.0], np.geomspace(1e-3, 20.0, 128)])
#: Rates of the two exponentials of the exchange model, 1/min.
PAIRS = np.geomspace(2e-3, 200.0, 56)
#: What parameters can be.
PHYSICAL: Mapping[str, tuple[float, float]] = {
    'ps': (0.0, np.inf),
    'vp': (0.0, 1.0),
    've': (0.0, 1.0),
}
#: Steps of the search between the rates.
STEPS = 12


def extended_tofts_fit(
    time_s,
    plasma,
    tissue,
    *,
    use=None,
    weights=None,
    delay_s: float = 0.0,
    bounds: Mapping[str, tuple[float, float]] | None = PHYSICAL,
    most_kep: float = 5.0,
    curves: bool = False,
) -> Fit:
    """Fit the extended Tofts model: nonlinear least squares, all curves at once [1]_.

    ``C(t) = v_p C_p(t) + K int C_p(s) exp(-k_ep (t - s)) ds``. For a given k_ep the model is
    linear in the rest (variable projection): all of many k_ep are tried, and the best is refined
    for each curve. There are no starting values, and no local minima of the search.

    Parameters
    ----------
    time_s, plasma, tissue, use, weights, curves
        See :func:`csvdprep.science.kinetics.patlak_fit`.
    delay_s : float
        How much later than the vessel the tissue is reached, s.
    bounds : mapping of str to (float, float) or None
        Least and highest value of ``ps``, ``vp`` or ``ve``, held exactly; None for none. By
        default what can be: nothing is negative, and no volume above 1. Without bounds, noise
        makes large K^trans and negative v_p that cancel each other.
    most_kep : float
        Highest k_ep, 1/min. Where a curve cannot tell it, K^trans has no upper bound without.

    Returns
    -------
    Fit
        ``ps`` (K^trans, 1/min), ``vp``, ``kep`` (1/min), ``ve`` (K^trans / k_ep; NaN where
        nothing returns).

    References
    ----------
    .. [1] Tofts P.S. et al. (1999) Estimating kinetic parameters from dynamic
       contrast-enhanced T1-weighted MRI of a diffusable tracer.
       doi:10.1002/(SICI)1522-2586(199909)10:3<223::AID-JMRI2>3.0.CO;2-S

    Examples
    --------
    >>> time = np.arange(40) * 20.0
    >>> plasma = np.where(time > 50, np.exp(-time / 500), 0)
    >>> tissue = 0.02 * plasma + 0.05 * convolve(time, plasma, 0.2)
    >>> found = extended_tofts_fit(time, plasma, tissue).values
    >>> [round(float(found[name]), 5) for name in ('ps', 'vp', 'kep', 've')]
    [0.05, 0.02, 0.2, 0.25]
    """
    time = np.asarray(time_s, float)
    shape = np.shape(tissue)[:-1]
    plasma, flat, window, weights, broken = checked(time, plasma, tissue, use, weights, 3)
    curve = shifted(time, plasma, delay_s)
    rates = RATES[most_kep >= RATES]
    box = _Box.of(bounds)
    basis = np.stack(
        [convolve(time, curve, rates), np.broadcast_to(curve, (len(rates), len(time)))], -1
    )
    parts = []
    for start in range(0, max(len(flat), 1), BLOCK):
        some = flat[start : start + BLOCK][:, window]
        weight = weights
        if weights is not None and len(weights) > 1:
            weight = weights[start : start + BLOCK]
        parts.append(
            _tofts(
                time, curve, window, some, weight_in(weight, window), rates, basis, box, most_kep
            )
        )
    beta, error, rss, kep, kep_error, lag, aic = (
        np.concatenate(items) for items in zip(*parts, strict=True)
    )
    for item in (beta, error, rss, kep, kep_error, lag, aic):
        item[broken] = np.nan
    fitted = None
    if curves:
        fitted = beta[:, :1] * convolve(time, curve, kep) + beta[:, 1:] * curve
        fitted = fitted.reshape(*shape, len(time))
    with np.errstate(all='ignore'):
        ve = np.where(kep > 0, beta[:, 0] / kep, np.nan)
        ve_error = np.where(kep > 0, error[:, 0] / kep, np.nan)
    values = {'ps': beta[:, 0], 'vp': beta[:, 1], 'kep': kep, 've': ve}
    errors = {'ps': error[:, 0], 'vp': error[:, 1], 'kep': kep_error, 've': ve_error}
    return Fit(
        model='extended-tofts',
        values={name: item.reshape(shape) for name, item in values.items()},
        errors={name: item.reshape(shape) for name, item in errors.items()},
        fitted=fitted,
        rss=rss.reshape(shape),
        aic=aic.reshape(shape),
        points=int(window.sum()),
        parameters=3,
        delay_s=np.full(shape, float(delay_s)),
        autocorrelation=lag.reshape(shape),
    )


@dataclass(frozen=True)
class _Box:
    """Bounds of the extended Tofts model; those of v_e follow k_ep."""

    outer: tuple[np.ndarray, np.ndarray] | None
    ve: tuple[float, float] | None

    @classmethod
    def of(cls, bounds) -> _Box:
        box = box_of(('ps', 'vp', 've'), bounds)
        if box is None:
            return cls(None, None)
        return cls((box[0][:2], box[1][:2]), (float(box[0][2]), float(box[1][2])))

    def at(self, kep):
        """Return lower and upper bounds of K and v_p, shape (m, 2) or (2,), at k_ep."""
        if self.outer is None:
            return None
        low, high = self.outer
        kep = np.asarray(kep, float)[..., None] * np.array([1.0, 0.0])
        least, most = self.ve
        inner = kep * (least if np.isfinite(least) else 0)
        low = np.where(inner > 0, np.maximum(low, inner), low)
        if np.isfinite(most):
            high = np.minimum(high, np.where([True, False], kep * most, np.inf))
        return low, np.maximum(low, high)


def _tofts(time, curve, window, some, weight, rates, basis, box, most):
    """Fit a block of curves: the best of all rates, then Gauss-Newton between them."""
    least = np.full(len(some), np.inf)
    best = np.zeros(len(some), int)
    scaled = some if weight is None else some * weight
    for k, rate in enumerate(rates):
        design = basis[k][window]
        right = scaled @ design
        if weight is None or len(weight) == 1:
            normal = design.T @ (design if weight is None else design * weight[0][:, None])
        else:
            normal = np.einsum('nk,mn,nl->mkl', design, weight, design)
        inverse = inverted(normal)
        cost = misfit(normal, right, amplitudes(normal, inverse, right, box.at(rate)))
        lower = cost < least
        least[lower], best[lower] = cost[lower], k
    kep = rates[best]
    low = rates[np.maximum(best - 1, 0)]
    high = rates[np.minimum(best + 1, len(rates) - 1)]

    inside = curve[window]
    weighed = inside if weight is None else weight * inside
    of_plasma = scaled @ inside
    plasma_square = (weighed * inside).sum(axis=-1)

    def cost_at(rate):
        """Return the sum of squares less that of the data, without its differences."""
        leaked = convolve(time, curve, rate)[:, window]
        lifted = leaked if weight is None else leaked * weight
        normal = np.empty((len(some), 2, 2))
        normal[:, 0, 0] = np.einsum('mn,mn->m', lifted, leaked)
        normal[:, 0, 1] = normal[:, 1, 0] = lifted @ inside
        normal[:, 1, 1] = plasma_square
        right = np.stack([np.einsum('mn,mn->m', leaked, scaled), of_plasma], axis=-1)
        return misfit(normal, right, amplitudes(normal, inverted(normal), right, box.at(rate)))

    def at(rate):
        leaked = convolve(time, curve, rate)[:, window]
        plasma = np.broadcast_to(curve[window], leaked.shape)
        design = np.stack([leaked, plasma], axis=-1)
        return design, solve(design, some, weight, box.at(rate))

    # Golden section within the neighbours: the profile has one minimum there.
    share = (np.sqrt(5) - 1) / 2
    left, right = high - share * (high - low), low + share * (high - low)
    of_left, of_right = cost_at(left), cost_at(right)
    for _ in range(STEPS):
        down = of_left < of_right
        low, high = np.where(down, low, left), np.where(down, right, high)
        fresh_left = high - share * (high - low)
        fresh_right = low + share * (high - low)
        fresh = cost_at(np.where(down, fresh_left, fresh_right))
        of_left, of_right = np.where(down, fresh, of_right), np.where(down, of_left, fresh)
        left, right = fresh_left, fresh_right
    middle = (low + high) / 2
    kep = np.where(cost_at(middle) < least, middle, kep)
    # Gauss-Newton on all three ends what is left.
    design, (beta, error, rss, rest) = at(kep)
    errors = np.full(len(some), np.nan)
    for number in range(4):
        step = 1e-4 * np.maximum(kep, 1e-3)
        slope = (convolve(time, curve, kep + step) - convolve(time, curve, kep))[:, window]
        column = beta[:, :1] * slope / step[:, None]
        full = np.concatenate([design, column[..., None]], axis=-1)
        whole = design @ beta[..., None]
        delta, spread, _, _ = solve(full, some - whole[..., 0], weight)
        errors, error = spread[:, 2], spread[:, :2]
        if number == 3:
            break
        tried = np.clip(kep + np.nan_to_num(delta[:, 2]), 0, most)
        again, (beta2, _, rss2, rest2) = at(tried)
        better = rss2 < rss
        kep = np.where(better, tried, kep)
        design = np.where(better[:, None, None], again, design)
        beta = np.where(better[:, None], beta2, beta)
        rss = np.where(better, rss2, rss)
        rest = np.where(better[:, None], rest2, rest)
    return beta, error, rss, kep, errors, lag_one(rest), akaike(rss, some, 3)


def two_compartment_fit(
    time_s, plasma, tissue, *, use=None, delay_s: float = 0.0, curves: bool = False
) -> Fit:
    """Fit the two-compartment exchange model to curves, one after the other [1]_.

    The response to a short bolus is ``a exp(-alpha t) + b exp(-beta t)``; plasma flow is
    ``a + b``. All pairs of rates are tried, the best is refined. With frames of many seconds the
    flow is not told by the data; the model is there to be compared.

    Parameters
    ----------
    time_s, plasma, tissue, use, delay_s, curves
        See :func:`csvdprep.science.kinetics.patlak_fit`.

    Returns
    -------
    Fit
        ``ps`` (1/min), ``vp``, ``fp`` (plasma flow, 1/min), ``ve``; no standard errors.

    References
    ----------
    .. [1] Sourbron S.P., Buckley D.L. (2012) Tracer kinetic modelling in MRI: estimating
       perfusion and capillary permeability. doi:10.1088/0031-9155/57/2/R1

    Examples
    --------
    >>> time = np.arange(200) * 2.0
    >>> plasma = np.where(time > 20, 5 * np.exp(-time / 30) + np.exp(-time / 900), 0)
    >>> fp, ps, vp, ve = 0.5, 0.02, 0.05, 0.2
    >>> middle = ((fp + ps) / vp + ps / ve) / 2
    >>> root = np.sqrt(middle**2 - fp * ps / (vp * ve))
    >>> fast, slow = middle + root, middle - root
    >>> share = (fp / vp - slow) / (fast - slow)
    >>> tissue = fp * (share * convolve(time, plasma, fast)
    ...                + (1 - share) * convolve(time, plasma, slow))
    >>> found = two_compartment_fit(time, plasma, tissue).values
    >>> [round(float(found[name]), 4) for name in ('fp', 'ps', 'vp', 've')]
    [0.5, 0.02, 0.05, 0.2]
    """
    time = np.asarray(time_s, float)
    shape = np.shape(tissue)[:-1]
    plasma, flat, window, _, broken = checked(time, plasma, tissue, use, None, 4)
    curve = shifted(time, plasma, delay_s)
    single = convolve(time, curve, PAIRS)
    first, second = np.triu_indices(len(PAIRS), 1)
    design = np.stack([single[second], single[first]], axis=-1)
    rows = []
    for data in flat:
        rows.append(_exchange(time, curve, window, data, design, first, second))
    names = ('ps', 'vp', 'fp', 've')
    table = np.array([row[0] for row in rows]).reshape(-1, 4)
    rss = np.array([row[1] for row in rows])
    table[broken], rss[broken] = np.nan, np.nan
    rest = np.array([row[2] for row in rows]).reshape(-1, int(window.sum()))
    fitted = np.array([row[3] for row in rows]).reshape(*shape, len(time)) if curves else None
    return Fit(
        model='two-compartment',
        values={name: table[:, k].reshape(shape) for k, name in enumerate(names)},
        fitted=fitted,
        rss=rss.reshape(shape),
        aic=akaike(rss, flat[:, window], 4).reshape(shape),
        points=int(window.sum()),
        parameters=4,
        delay_s=np.full(shape, float(delay_s)),
        autocorrelation=lag_one(rest).reshape(shape),
    )


def _exchange(time, curve, window, data, design, first, second):
    """Fit one curve; return parameters, sum of squares, differences, fitted curve."""
    inside = data[window]
    # Amplitudes cannot be negative; each pair is a problem of two columns.
    every = np.broadcast_to(inside, (len(design), len(inside)))
    rss = solve(design[:, window], every, None, (0.0, np.inf))[2]
    best = int(np.argmin(rss))

    def at(logs):
        rates = np.exp(np.clip(logs, -9, 6.5))
        both = convolve(time, curve, rates)
        beta, _, found, rest = solve(both.T[window], inside[None], None, (0.0, np.inf))
        return rates, both, beta[0], float(found[0]), rest[0]

    start = np.log([PAIRS[second[best]], PAIRS[first[best]]])
    scale = max(float(rss[best]), 1e-300)
    found = minimize(
        lambda logs: at(logs)[3] / scale,
        start,
        method='Nelder-Mead',
        options={'xatol': 1e-7, 'fatol': 1e-13, 'maxiter': 600},
    )
    rates, both, beta, error, rest = at(found.x)
    fast, slow = (0, 1) if rates[0] >= rates[1] else (1, 0)
    a, b, alpha, decay = beta[fast], beta[slow], rates[fast], rates[slow]
    fp = a + b
    if not fp > 0:
        return np.full(4, np.nan), error, rest, beta @ both
    vp = fp**2 / (a * alpha + b * decay)
    ve = max(a / alpha + b / decay - vp, 0.0)
    ps = alpha * decay * vp * ve / fp
    return np.array([ps, vp, fp, ve]), error, rest, beta @ both
