"""The kinetic model of the consensus: blood flow from one delay, flow and arrival from several.

One compartment, which labelled blood reaches at a time (ATT) and does not leave; the label decays
with T1 of blood (Buxton 1998, doi:10.1002/mrm.1910400308; Alsop 2015, doi:10.1002/mrm.25197).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from csvdprep.science.spin_labelling import PARTITION

#: mL/g/s to mL/100 g/min.
PER_MINUTE = 6000.0
#: Arrival times that are looked for, s, and the steps of the search: each goes through the two
#: steps of the one before it.
EARLIEST, LATEST, STEP, FINER = 0.0, 3.5, 0.02, 10
#: Arrival time before any measurement, and its standard deviation, s.
EXPECTED = (1.3, 0.5)
#: Share of the bolus that the last delay has to see: what arrives later has a flow that is divided
#: by next to nothing.
LEAST_SEEN = 0.25
#: Voxels that are fitted at once.
AT_ONCE = 20_000


@dataclass(frozen=True)
class Labelling:
    """How blood was labelled.

    Parameters
    ----------
    kind : {'PCASL', 'CASL', 'PASL'}
        PASL with its bolus cut off (QUIPSS II, Q2TIPS).
    efficiency : float
        In all.
    blood_t1 : float
        s.
    """

    kind: str
    efficiency: float
    blood_t1: float

    @property
    def unit(self) -> float:
        """Labelled magnetisation per flow of 1 mL/100 g/min and second, relative to M0."""
        return 2 * self.efficiency / (PER_MINUTE * PARTITION)


def flow_single(ratio, delay, duration, labelling: Labelling) -> np.ndarray:
    """Compute blood flow from one delay, after which all of the label has arrived.

    Parameters
    ----------
    ratio : ndarray
        Control minus label over fully relaxed M0.
    delay : float or ndarray
        PLD (PCASL) or TI (PASL) with the time of the slice, s.
    duration : float
        Labelling duration, or TI1, s.
    labelling : Labelling
        How blood was labelled.

    Returns
    -------
    ndarray
        mL/100 g/min.

    References
    ----------
    .. [1] Alsop D.C. et al. (2015) Recommended implementation of arterial spin-labeled perfusion
       MRI for clinical applications. doi:10.1002/mrm.25197

    Examples
    --------
    >>> pcasl, pasl = Labelling('PCASL', 0.85, 1.65), Labelling('PASL', 0.98, 1.65)
    >>> [round(float(value), 2) for value in (flow_single(0.01, 1.8, 1.8, pcasl),
    ...  flow_single(0.01, 2.3, 1.8, pcasl), flow_single(0.01, 1.8, 0.8, pasl))]
    [86.3, 116.85, 102.52]
    """
    t1 = labelling.blood_t1
    if labelling.kind == 'PASL':
        return np.asarray(ratio) * np.exp(np.asarray(delay) / t1) / (labelling.unit * duration)
    bolus = t1 * -np.expm1(-np.asarray(duration) / t1)
    return np.asarray(ratio) * np.exp(np.asarray(delay) / t1) / (labelling.unit * bolus)


def difference(att, delay, duration, labelling: Labelling) -> np.ndarray:
    """Return control minus label over M0 for a flow of 1 mL/100 g/min.

    Parameters
    ----------
    att : float or ndarray
        Arrival time, s.
    delay, duration : float or ndarray
        PLD and labelling duration, or TI and TI1, s.
    labelling : Labelling
        How blood was labelled.

    Returns
    -------
    ndarray
        The arguments broadcast.

    Examples
    --------
    >>> pcasl = Labelling('PCASL', 0.85, 1.65)
    >>> round(float(86.30 * difference(0.9, 1.8, 1.8, pcasl)), 5)
    0.01
    >>> float(difference(4.0, 1.8, 1.8, pcasl))
    0.0
    """
    t1 = labelling.blood_t1
    if labelling.kind == 'PASL':
        arrived = np.clip(delay - att, 0, duration)
        return labelling.unit * np.exp(-delay / t1) * arrived
    since = np.asarray(duration) + delay
    arrived = np.clip(since - att, 0, duration)
    return labelling.unit * t1 * np.exp(-since / t1) * np.expm1(arrived / t1)


@dataclass(frozen=True, eq=False)
class Fit:
    """Flow and arrival of voxels.

    Attributes
    ----------
    cbf : ndarray, shape (n,)
        mL/100 g/min.
    att : ndarray, shape (n,)
        s; NaN where the differences do not tell it.
    """

    cbf: np.ndarray
    att: np.ndarray


def fit_delays(ratios, delays, durations, labelling: Labelling, weights=None, noise=None) -> Fit:
    """Fit flow and arrival time to several delays (least squares).

    Flow is linear in the model, so that it follows from the arrival time, over which alone is
    searched: on a grid, then ever finer around its best point. Where noise is large, differences
    of many arrival times fit about as well, and the best of them has too much flow; with the
    noise given, the most probable arrival is taken, which before the measurement is that of
    :data:`EXPECTED`.

    Parameters
    ----------
    ratios : ndarray, shape (n, d)
        Control minus label over M0, mean of each delay.
    delays : ndarray, shape (n, d) or (d,)
        PLD or TI with the time of the slice, s.
    durations : ndarray, shape (d,)
        Labelling duration or TI1, s.
    labelling : Labelling
        How blood was labelled.
    weights : ndarray, shape (d,), optional
        Number of pairs of each delay.
    noise : ndarray, shape (n,), optional
        Standard deviation of the ratio of a single pair.

    Returns
    -------
    Fit
        Arrival is NaN where it is at the end of the range (3.5 s, or when a quarter of the bolus
        would be seen), or flow is not positive; flow then is that of the nearest arrival. Where
        label was all there before the first delay (PASL: before the bolus was cut off, as seen
        from it), that time stands for the arrival.

    References
    ----------
    .. [1] Buxton R.B. et al. (1998) A general kinetic model for quantitative perfusion imaging
       with arterial spin labeling. doi:10.1002/mrm.1910400308

    Examples
    --------
    >>> pcasl, delays = Labelling('PCASL', 0.85, 1.65), np.array([0.5, 1, 1.5, 2, 2.5])
    >>> seen = 60 * difference(1.23, delays, 1.8, pcasl)
    >>> fit = fit_delays(seen[None], delays, np.full(5, 1.8), pcasl)
    >>> fit.cbf.round(2).tolist(), fit.att.round(3).tolist()
    ([60.0], [1.23])
    """
    ratios = np.atleast_2d(np.asarray(ratios, float))
    delays = np.broadcast_to(np.asarray(delays, float), ratios.shape)
    root = np.sqrt(np.ones(ratios.shape[1]) if weights is None else np.asarray(weights, float))
    cbf, att = np.zeros(len(ratios)), np.full(len(ratios), np.nan)
    noise = np.zeros(len(ratios)) if noise is None else np.asarray(noise, float)
    for start in range(0, len(ratios), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        cbf[part], att[part] = _fit(
            ratios[part] * root,
            delays[part],
            np.asarray(durations, float),
            root,
            labelling,
            noise[part],
        )
    return Fit(cbf, att)


def _fit(seen, delays, durations, root, labelling, noise):
    best, latest = np.zeros(len(seen)), np.zeros(len(seen))
    unique, group = np.unique(delays, axis=0, return_inverse=True)
    group = np.ravel(group)
    for number, times in enumerate(unique):
        own = group == number
        latest[own] = last = latest_arrival(times, durations, labelling)
        # The latest first: before the first delay all arrival times are the same.
        grid = np.arange(EARLIEST, last + STEP / 2, STEP)[::-1]
        model = difference(grid[:, None], times, durations, labelling) * root
        size = np.sqrt((model**2).sum(axis=1))
        score = seen[own] @ (model / np.maximum(size, 1e-12)[:, None]).T
        score = _likely(score, grid, noise[own, None])
        best[own] = grid[score.argmax(axis=1)]
    step = STEP
    while step > 1e-4:
        offsets = np.linspace(step, -step, 2 * FINER + 1)
        tried = np.clip(best[:, None] + offsets, EARLIEST, latest[:, None])
        model = difference(tried[..., None], delays[:, None], durations, labelling) * root
        size = np.sqrt((model**2).sum(axis=2))
        score = np.einsum('nd,ntd->nt', seen, model) / np.maximum(size, 1e-12)
        score = _likely(score, tried, noise[:, None])
        best = np.take_along_axis(tried, score.argmax(axis=1)[:, None], axis=1)[:, 0]
        step /= FINER
    model = difference(best[:, None], delays, durations, labelling) * root
    flow = (seen * model).sum(axis=1) / np.maximum((model**2).sum(axis=1), 1e-24)
    known = (best < latest - STEP) & (flow > 0)
    return flow, np.where(known, best, np.nan)


def latest_arrival(delays, durations, labelling: Labelling) -> float:
    """Return the latest arrival time that the delays can tell, s.

    Parameters
    ----------
    delays, durations : ndarray, shape (d,)
        PLD and labelling duration, or TI and TI1, s.
    labelling : Labelling
        How blood was labelled.

    Returns
    -------
    float
        When a quarter of the bolus is seen at one of the delays, 3.5 s at most.

    Examples
    --------
    >>> latest_arrival(np.array([0.5, 1.0]), np.array([1.8, 1.8]), Labelling('PCASL', 0.85, 1.65))
    2.35
    """
    tail = 1 - LEAST_SEEN if labelling.kind != 'PASL' else -LEAST_SEEN
    return min(LATEST, max(STEP, float(np.max(delays + tail * np.asarray(durations)))))


def residual_noise(ratios, delays, durations, labelling: Labelling, scale) -> float:
    """Estimate the noise of differences of which each delay has one, from what the model leaves.

    Parameters
    ----------
    ratios : ndarray, shape (n, d)
        Control minus label over M0.
    delays : ndarray, shape (n, d)
        PLD or TI with the time of the slice, s; three or more.
    durations : ndarray, shape (d,)
        Labelling duration or TI1, s.
    labelling : Labelling
        How blood was labelled.
    scale : ndarray, shape (n,)
        M0: noise is that of the differences, and the same in all voxels.

    Returns
    -------
    float
        Standard deviation of a difference; 0 where no voxel shows label.

    Examples
    --------
    >>> pcasl, delays = Labelling('PCASL', 0.85, 1.65), np.array([0.5, 1, 1.5, 2, 2.5])
    >>> seen = 60 * difference(1.2, delays, 1.8, pcasl)
    >>> seen = seen + np.random.default_rng(0).normal(0, 1e-3, (2000, 5))
    >>> round(residual_noise(seen, np.tile(delays, (2000, 1)), np.full(5, 1.8), pcasl, 1.0), 4)
    0.001
    """
    fit = fit_delays(ratios, delays, durations, labelling)
    known = np.isfinite(fit.att)
    if not known.any():
        return 0.0
    model = difference(fit.att[known, None], np.asarray(delays)[known], durations, labelling)
    left = np.asarray(ratios)[known] - fit.cbf[known, None] * model
    left = left * np.broadcast_to(scale, known.shape)[known, None]
    free = np.shape(ratios)[1] - 2
    return float(np.sqrt(np.median((left**2).sum(axis=1)) / stats.chi2.median(free)))


def _likely(score, att, noise):
    """Return twice the logarithm of the posterior, times the variance: a projection squared."""
    middle, spread = EXPECTED
    return score * np.abs(score) - (noise * (att - middle) / spread) ** 2


def weighted_delay(ratios, delays, durations, labelling: Labelling) -> np.ndarray:
    """Compute the arrival time from the delay weighted by the differences.

    Parameters
    ----------
    ratios : ndarray, shape (n, d)
        Control minus label (over M0, or any other scale).
    delays, durations : ndarray, shape (d,)
        PLD and labelling duration, or TI and TI1, s, of one slice.
    labelling : Labelling
        How blood was labelled.

    Returns
    -------
    ndarray, shape (n,)
        s; NaN where the sum of the differences is not positive, or its weighted delay is none
        that the model has.

    References
    ----------
    .. [1] Dai W. et al. (2012) Reduced resolution transit delay prescan for quantitative
       continuous arterial spin labeling perfusion imaging. doi:10.1002/mrm.23103

    Examples
    --------
    >>> pcasl, delays = Labelling('PCASL', 0.85, 1.65), np.array([0.5, 1, 1.5, 2, 2.5])
    >>> seen = 60 * difference(1.23, delays, 1.8, pcasl)
    >>> weighted_delay(seen[None], delays, np.full(5, 1.8), pcasl).round(3).tolist()
    [1.23]
    """
    ratios, delays = np.atleast_2d(np.asarray(ratios, float)), np.asarray(delays, float)
    durations = np.asarray(durations, float)
    last = latest_arrival(delays, durations, labelling)
    grid = np.arange(EARLIEST, last, STEP / 4)
    model = difference(grid[:, None], delays, durations, labelling)
    known = (model @ delays) / np.maximum(model.sum(axis=1), 1e-12)
    # Before the first delay all label has arrived: nothing changes there.
    rising = np.concatenate([[True], known[1:] > np.maximum.accumulate(known)[:-1] + 1e-9])
    total = ratios.sum(axis=1)
    weighted = np.divide(ratios @ delays, total, out=np.full(len(total), np.nan), where=total > 0)
    return np.interp(weighted, known[rising], grid[rising], left=np.nan, right=np.nan)
