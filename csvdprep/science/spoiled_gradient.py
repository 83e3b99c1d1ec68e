"""Spoiled gradient echoes: signal, T1 by variable flip angles, concentration of contrast agent."""

from __future__ import annotations

import numpy as np

#: Steps of the nonlinear fit of T1.
STEPS = 25
#: T1 that a fit may give, s.
LEAST_T1_S, MOST_T1_S = 0.02, 20.0


def spgr_signal(m0, r1, tr_s: float, flip_deg) -> np.ndarray:
    """Compute the signal of a spoiled gradient echo in its steady state.

    ``M0 sin(a) (1 - E1) / (1 - E1 cos(a))`` with ``E1 = exp(-TR R1)``.

    Parameters
    ----------
    m0 : float or ndarray
        Signal of fully relaxed protons at the echo.
    r1 : float or ndarray
        Rate of longitudinal relaxation, 1/s.
    tr_s : float
        Repetition time, s.
    flip_deg : float or ndarray
        True flip angle, degrees.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> [round(float(spgr_signal(1e4, 1 / 1.084, 0.0054, flip)), 2) for flip in (2, 5, 12)]
    [311.05, 494.65, 386.76]
    """
    angle = np.deg2rad(flip_deg)
    e1 = np.exp(-np.asarray(tr_s) * r1)
    return m0 * np.sin(angle) * (1 - e1) / (1 - e1 * np.cos(angle))


def fit_t1(
    signals: np.ndarray, flips_deg, tr_s, *, b1=1.0, method: str = 'nonlinear'
) -> tuple[np.ndarray, np.ndarray]:
    """Fit T1 to images of several flip angles.

    The linear fit, ``S/sin = E1 S/tan + M0 (1 - E1)`` [1]_, is weighted by what noise does to
    each of its points [2]_ in two rounds; the nonlinear one starts there and minimises squared
    differences of the signals (Gauss-Newton, all voxels at once).

    Parameters
    ----------
    signals : ndarray, shape (..., n)
        Signal at each flip angle.
    flips_deg : sequence of float, length n
        Nominal flip angles, degrees.
    tr_s : float or sequence of float
        Repetition time, s; the linear start takes their mean if they differ.
    b1 : float or ndarray, shape (...)
        True flip angle relative to the nominal one.
    method : {'nonlinear', 'linear', 'unweighted'}
        How; 'unweighted' is the linear fit without weights.

    Returns
    -------
    t1 : ndarray, shape (...)
        s; NaN where there is no solution.
    m0 : ndarray, shape (...)
        Signal of fully relaxed protons.

    Raises
    ------
    ValueError
        If there are fewer than two flip angles that differ.

    References
    ----------
    .. [1] Gupta R.K. (1977) A new look at the method of variable nutation angle for the
       measurement of spin-lattice relaxation times using Fourier transform NMR.
       doi:10.1016/0022-2364(77)90138-X
    .. [2] Chang L.-C., Koay C.G., Basser P.J., Pierpaoli C. (2008) Linear least-squares method
       for unbiased estimation of T1 from SPGR signals. doi:10.1002/mrm.21669

    Examples
    --------
    >>> t1, m0 = fit_t1(np.array([[311.05, 494.65, 386.76]]), (2, 5, 12), 0.0054)
    >>> round(float(t1[0]), 3), round(float(m0[0]))
    (1.084, 10000)
    """
    signals = np.asarray(signals, float)
    flips = np.asarray(flips_deg, float)
    tr = np.broadcast_to(np.asarray(tr_s, float), flips.shape)
    if len(set(flips.tolist())) < 2:
        raise ValueError('T1 needs at least two flip angles that differ.')
    angle = np.deg2rad(flips * np.asarray(b1, float)[..., None])
    sin, cos = np.sin(angle), np.cos(angle)
    with np.errstate(all='ignore'):
        y, x = signals / sin, signals * cos / sin
        weight = np.ones_like(y)
        for _ in range(1 if method == 'unweighted' else 3):
            e1, m0 = _line(x, y, weight)
            # The variance of a point of the line is that of the signal times the square of this.
            weight = (sin / (1 - e1[..., None] * cos)) ** 2
        r1 = -np.log(e1) / tr.mean()
        good = (e1 > 0) & (e1 < 1) & (m0 > 0)
        if method == 'nonlinear':
            start = np.where(good, r1, 1.0)
            r1, m0, good = _refined(signals, sin, cos, tr, start)
        t1 = 1 / r1
        good &= (t1 >= LEAST_T1_S) & (t1 <= MOST_T1_S)
    return np.where(good, t1, np.nan), np.where(good, m0, np.nan)


def _line(x, y, weight):
    """Fit the weighted line y = e1 x + m0 (1 - e1)."""
    total = weight.sum(axis=-1)
    mx, my = (weight * x).sum(axis=-1) / total, (weight * y).sum(axis=-1) / total
    dx, dy = x - mx[..., None], y - my[..., None]
    e1 = (weight * dx * dy).sum(axis=-1) / (weight * dx**2).sum(axis=-1)
    return e1, (my - e1 * mx) / (1 - e1)


def _refined(signals, sin, cos, tr, r1):
    """Minimise squared differences over log R1; M0 follows from it."""
    step = np.full(r1.shape, np.inf)
    worst = None
    for _ in range(STEPS):
        e1 = np.exp(-tr * r1[..., None])
        lower = 1 - e1 * cos
        shape = sin * (1 - e1) / lower
        # d shape / d log R1
        slope = sin * tr * r1[..., None] * e1 * (1 - cos) / lower**2
        norm = (shape**2).sum(axis=-1)
        m0 = (signals * shape).sum(axis=-1) / norm
        rest = signals - m0[..., None] * shape
        error = (rest**2).sum(axis=-1)
        if worst is not None:
            # A step that made it worse is halved, and taken back.
            back = error > worst * (1 + 1e-12)
            step = np.where(back, step / 2, step)
            r1 = np.where(back, r1 * np.exp(-step), r1)
            if back.any():
                e1 = np.exp(-tr * r1[..., None])
                lower = 1 - e1 * cos
                shape = sin * (1 - e1) / lower
                slope = sin * tr * r1[..., None] * e1 * (1 - cos) / lower**2
                norm = (shape**2).sum(axis=-1)
                m0 = (signals * shape).sum(axis=-1) / norm
                rest = signals - m0[..., None] * shape
                error = (rest**2).sum(axis=-1)
        worst = error
        # Variable projection (Kaufman): the slope without what M0 explains.
        free = m0[..., None] * (slope - shape * ((slope * shape).sum(axis=-1) / norm)[..., None])
        step = (free * rest).sum(axis=-1) / np.maximum((free**2).sum(axis=-1), 1e-300)
        step = np.clip(np.nan_to_num(step), -0.7, 0.7)
        if np.abs(step).max(initial=0) < 1e-9:
            break
        r1 = np.clip(r1 * np.exp(step), 1 / (2 * MOST_T1_S), 2 / LEAST_T1_S)
    return r1, m0, m0 > 0


def to_concentration(
    signal: np.ndarray,
    t1_s,
    *,
    tr_s: float,
    flip_deg: float,
    relaxivity: float,
    baseline,
    b1=1.0,
    te_s: float = 0.0,
    relaxivity_r2: float = 0.0,
) -> np.ndarray:
    """Convert the signal of a dynamic series to the concentration of contrast agent, exactly.

    The equation of the spoiled gradient echo is solved for R1 at each time; nothing is
    linearised. With ``relaxivity_r2`` the loss of signal by R2 is solved for, too.

    Parameters
    ----------
    signal : ndarray, shape (..., n)
        Signal over time, any unit.
    t1_s : float or ndarray, shape (...)
        T1 before the contrast agent, s.
    tr_s : float
        Repetition time, s.
    flip_deg : float
        Nominal flip angle, degrees.
    relaxivity : float
        r1, L/mmol/s.
    baseline : slice or sequence
        Times before the contrast agent; their mean is the signal without it.
    b1 : float or ndarray, shape (...)
        True flip angle relative to the nominal one.
    te_s : float
        Echo time, s; only used with ``relaxivity_r2``.
    relaxivity_r2 : float
        r2, L/mmol/s; 0 neglects it.

    Returns
    -------
    ndarray, shape (..., n)
        mmol/L; NaN where no concentration can give the signal (saturation), or without baseline.

    Examples
    --------
    >>> r1 = 1 / 1.4 + 4.5 * np.array([0, 0, 0.2, 1.0])
    >>> signal = spgr_signal(700.0, r1, 0.005, 12)
    >>> to_concentration(
    ...     signal, 1.4, tr_s=0.005, flip_deg=12, relaxivity=4.5, baseline=slice(0, 2)
    ... ).round(6).tolist()
    [0.0, 0.0, 0.2, 1.0]
    """
    signal = np.asarray(signal, float)
    rate = 1 / np.asarray(t1_s, float)[..., None]
    angle = np.deg2rad(flip_deg * np.asarray(b1, float))[..., None]
    cos = np.cos(angle)
    with np.errstate(all='ignore'):
        first = signal[..., baseline].mean(axis=-1, keepdims=True)
        e1 = np.exp(-tr_s * rate)
        # Signal relative to that of fully relaxed protons.
        share = signal / first * (1 - e1) / (1 - e1 * cos)

        def solved(of):
            # Not even fully relaxed protons give more than 1.
            of = np.where(of < 1, of, np.nan)
            left = (1 - of) / (1 - of * cos)
            return (-np.log(left) / tr_s - rate) / relaxivity

        found = solved(share)
        if relaxivity_r2 and te_s:
            for _ in range(60):
                # Below no concentration there is no loss: noise shall not run away.
                lost = np.exp(te_s * relaxivity_r2 * np.maximum(found, 0))
                again = solved(share * lost)
                moved = np.nanmax(np.abs(again - found), initial=0.0)
                found = again
                if moved < 1e-10:
                    break
    return np.where(np.isfinite(found) & (first > 0), found, np.nan)
