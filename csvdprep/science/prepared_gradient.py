"""Trains of spoiled gradient echoes after an inversion: signal, and T1 from it.

One equation serves IR-SPGR (MPRAGE with one readout), as HIFI takes it, and MP2RAGE, which has two
readouts in a cycle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from csvdprep.science.spoiled_gradient import LEAST_T1_S, MOST_T1_S, spgr_signal

#: Share of the magnetisation that the inversion pulse of MP2RAGE inverts (Marques 2010).
EFFICIENCY = 0.96
#: T1 (s) and true over nominal flip angle that a fit begins from.
STARTS_T1 = np.geomspace(0.08, 6.0, 28)
STARTS_B1 = np.linspace(0.5, 1.6, 12)
#: True over nominal flip angle that a fit may give.
B1_RANGE = (0.3, 2.0)
#: Steps of the nonlinear fit, and voxels at once.
STEPS, BLOCK = 30, 20_000
#: T1 of the lookup table of MP2RAGE, s, and its number of values.
TABLE_S, TABLE_N = (0.05, 5.0), 4000
#: Fewest inversion times of a fit without flip angles.
LEAST_TIMES = 4


@dataclass(frozen=True)
class Readout:
    """A train of excitations.

    Attributes
    ----------
    inversion_s : float
        From the inversion to the excitation in the middle of k-space, s.
    flip_deg : float
        Nominal flip angle, degrees.
    tr_s : float
        Between excitations, s.
    before, after : float
        Number of excitations before the one in the middle of k-space, and from it on.
    """

    inversion_s: float
    flip_deg: float
    tr_s: float
    before: float
    after: float

    @property
    def start_s(self) -> float:
        """First excitation, s after the inversion."""
        return self.inversion_s - self.before * self.tr_s

    @property
    def end_s(self) -> float:
        """End of the train, s after the inversion."""
        return self.inversion_s + self.after * self.tr_s


def prepared_signal(
    t1, readouts: Sequence[Readout], cycle_s: float | None = None, *, b1=1.0, efficiency=1.0
) -> np.ndarray:
    """Compute the signal of trains of excitations after an inversion, in their steady state.

    Excitations are counted one by one [1]_; transverse magnetisation is spoiled. Magnetisation
    before the inversion is that after which a cycle repeats itself.

    Parameters
    ----------
    t1 : float or ndarray, shape (...)
        s.
    readouts : sequence of Readout
        In the order of time, without overlap.
    cycle_s : float, optional
        From inversion to inversion, s; by default the last train is followed by the next
        inversion at once.
    b1 : float or ndarray, shape (...)
        True over nominal flip angle, of the excitations; the inversion is taken to be adiabatic.
    efficiency : float
        Share of the magnetisation that is inverted.

    Returns
    -------
    ndarray, shape (..., len(readouts))
        Signal with its sign, of fully relaxed protons that give 1.

    Raises
    ------
    ValueError
        If trains overlap, or do not fit into the cycle.

    References
    ----------
    .. [1] Marques J.P. et al. (2010) MP2RAGE, a self bias-field corrected sequence for improved
       segmentation and T1-mapping at high field. doi:10.1016/j.neuroimage.2009.10.002

    Examples
    --------
    >>> train = Readout(0.6, 5, 0.0054, 80, 80)
    >>> prepared_signal(np.array([0.5, 1.0, 2.0]), [train]).round(4).tolist()
    [[0.0396], [0.0187], [0.0082]]
    """
    t1, b1 = np.broadcast_arrays(np.asarray(t1, float), np.asarray(b1, float))
    ends = [0.0, *(read.end_s for read in readouts)]
    if cycle_s is None:
        cycle_s = ends[-1]
    if any(read.start_s < end - 1e-9 for read, end in zip(readouts, ends, strict=False)):
        raise ValueError('A train begins before the inversion, or before the last has ended.')
    if cycle_s < ends[-1] - 1e-9:
        raise ValueError('The trains do not fit into the cycle.')
    # Magnetisation is `slope` times that before the inversion, plus `rest`.
    slope, rest = np.full(t1.shape, -float(efficiency)), np.zeros(t1.shape)
    seen, now = [], 0.0
    for read in readouts:
        kept = np.exp(-(read.start_s - now) / t1)
        slope, rest = slope * kept, 1 + (rest - 1) * kept
        angle = np.deg2rad(read.flip_deg) * b1
        once = np.exp(-read.tr_s / t1)
        steady = (1 - once) / (1 - once * np.cos(angle))
        fall = once * np.cos(angle)
        middle, all_of = _power(fall, read.before), _power(fall, read.before + read.after)
        seen.append((slope * middle, steady + (rest - steady) * middle, np.sin(angle)))
        slope, rest = slope * all_of, steady + (rest - steady) * all_of
        now = read.end_s
    kept = np.exp(-max(cycle_s - now, 0.0) / t1)
    slope, rest = slope * kept, 1 + (rest - 1) * kept
    before = rest / (1 - slope)
    return np.stack([(a * before + b) * sin for a, b, sin in seen], axis=-1)


def _power(base, exponent):
    """Return a power whose base may be negative (flip angles over 90 degrees)."""
    return np.sign(base) ** np.rint(exponent) * np.abs(base) ** exponent


@dataclass(frozen=True)
class Steady:
    """A spoiled gradient echo without preparation: flip angle (degrees) and TR (s)."""

    flip_deg: float
    tr_s: float


@dataclass(frozen=True)
class Prepared:
    """A spoiled gradient echo after an inversion: its train, and the cycle, s (None: at once)."""

    readout: Readout
    cycle_s: float | None = None


def fit_prepared(
    signals: np.ndarray, acquired: Sequence[Steady | Prepared], *, b1=None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit T1, and the true flip angle, to images with and without inversion (HIFI).

    Images of several flip angles tell ``T1`` times the square of the flip angle, an image after an
    inversion tells T1: together they tell both [1]_. Squared differences of all magnitudes are
    minimised over log T1 and log of the flip angle (Levenberg-Marquardt from the best of a grid,
    all voxels at once); M0 follows from these.

    Parameters
    ----------
    signals : ndarray, shape (..., n)
        Magnitude of each image.
    acquired : sequence of Steady or Prepared, length n
        How each was acquired.
    b1 : ndarray, shape (...), optional
        True over nominal flip angle, if it is known; else it is fitted.

    Returns
    -------
    t1 : ndarray, shape (...)
        s; NaN where there is no solution.
    m0 : ndarray, shape (...)
        Signal of fully relaxed protons.
    b1 : ndarray, shape (...)
        True over nominal flip angle.

    Raises
    ------
    ValueError
        If there are fewer images than unknowns, or none with an inversion and no ``b1``.

    References
    ----------
    .. [1] Deoni S.C.L. (2007) High-resolution T1 mapping of the brain at 3T with driven
       equilibrium single pulse observation of T1 with high-speed incorporation of RF field
       inhomogeneities (DESPOT1-HIFI). doi:10.1002/jmri.21130

    Examples
    --------
    >>> train = Readout(0.6, 5, 0.0054, 80, 80)
    >>> acquired = [Prepared(train), Steady(2, 0.0054), Steady(12, 0.0054)]
    >>> truth = [abs(prepared_signal(1.1, [train], b1=1.2)[0])]
    >>> truth += [float(spgr_signal(1, 1 / 1.1, 0.0054, 1.2 * flip)) for flip in (2, 12)]
    >>> t1, m0, b1 = fit_prepared(1000 * np.array([truth]), acquired)
    >>> round(float(t1[0]), 4), round(float(m0[0]), 1), round(float(b1[0]), 4)
    (1.1, 1000.0, 1.2)
    """
    signals = np.asarray(signals, float)
    inverted = sum(isinstance(one, Prepared) for one in acquired)
    if len(acquired) < (3 if b1 is None else 2) or (b1 is None and not inverted):
        raise ValueError('T1 needs two images, with the flip angle three and one inversion.')
    flat = signals.reshape(-1, signals.shape[-1])
    known = None if b1 is None else np.broadcast_to(b1, signals.shape[:-1]).reshape(-1)
    out = np.full((3, len(flat)), np.nan)
    for first in range(0, len(flat), BLOCK):
        part = slice(first, first + BLOCK)
        out[:, part] = _fit_block(flat[part], acquired, None if known is None else known[part])
    return tuple(item.reshape(signals.shape[:-1]) for item in out)  # type: ignore[return-value]


def _shape(t1, b1, acquired) -> np.ndarray:
    """Return the magnitude of each image, of protons that give 1; shape (..., n)."""
    columns = []
    for one in acquired:
        if isinstance(one, Steady):
            columns.append(spgr_signal(1.0, 1 / t1, one.tr_s, one.flip_deg * b1))
        else:
            columns.append(np.abs(prepared_signal(t1, [one.readout], one.cycle_s, b1=b1)[..., 0]))
    return np.stack(columns, axis=-1)


def _start(signals, acquired, b1):
    """Choose the best point of a grid for each voxel."""
    if b1 is None:
        t1, k = (item.ravel() for item in np.meshgrid(STARTS_T1, STARTS_B1))
        shapes = _shape(t1, k, acquired)
        shapes = shapes / np.linalg.norm(shapes, axis=1, keepdims=True)
        best = np.argmax(signals @ shapes.T, axis=1)
        return t1[best], k[best]
    best, height = np.full(len(signals), STARTS_T1[0]), np.full(len(signals), -np.inf)
    for t1 in STARTS_T1:
        shape = _shape(np.full(len(signals), t1), b1, acquired)
        score = (signals * shape).sum(axis=1) / np.linalg.norm(shape, axis=1)
        best = np.where(score > height, t1, best)
        height = np.maximum(score, height)
    return best, b1


def _fit_block(signals, acquired, known):
    with np.errstate(all='ignore'):
        t1, b1 = _start(signals, acquired, known)
        at = np.stack([np.log(t1), np.log(b1)], axis=1)
        free = 1 if known is not None else 2
        damping = np.full(len(signals), 1e-2)
        m0, rest, error = _misfit(signals, at, acquired)
        for _ in range(STEPS):
            jacobian = np.empty((*signals.shape, free))
            for column in range(free):
                moved = at.copy()
                moved[:, column] += 1e-5
                jacobian[..., column] = (_misfit(signals, moved, acquired)[1] - rest) / 1e-5
            square = np.einsum('vnk,vnl->vkl', jacobian, jacobian)
            right = np.einsum('vnk,vn->vk', jacobian, rest)
            diagonal = np.einsum('vkk->vk', square)
            lifted = square + damping[:, None, None] * np.eye(free) * (diagonal[:, None] + 1e-12)
            step = -np.linalg.solve(lifted, right[..., None])[..., 0]
            step = np.clip(np.nan_to_num(step), -0.5, 0.5)
            tried = at.copy()
            tried[:, :free] += step
            tried[:, 0] = np.clip(tried[:, 0], np.log(LEAST_T1_S / 2), np.log(2 * MOST_T1_S))
            if free == 2:
                tried[:, 1] = np.clip(tried[:, 1], *np.log(B1_RANGE))
            new_m0, new_rest, new_error = _misfit(signals, tried, acquired)
            better = new_error <= error
            at = np.where(better[:, None], tried, at)
            m0, error = np.where(better, new_m0, m0), np.where(better, new_error, error)
            rest = np.where(better[:, None], new_rest, rest)
            damping = np.clip(np.where(better, damping / 5, damping * 8), 1e-9, 1e6)
            if np.abs(np.where(better[:, None], step, 0)).max(initial=0) < 1e-8:
                break
        t1, b1 = np.exp(at).T
        good = (m0 > 0) & (t1 >= LEAST_T1_S) & (t1 <= MOST_T1_S)
        if known is None:
            good &= (b1 > B1_RANGE[0] * 1.001) & (b1 < B1_RANGE[1] * 0.999)
    return np.where(good, (t1, m0, b1), np.nan)


def _misfit(signals, at, acquired):
    """Return M0, differences and their squares, M0 chosen best."""
    shape = _shape(np.exp(at[:, 0]), np.exp(at[:, 1]), acquired)
    m0 = (signals * shape).sum(axis=1) / np.maximum((shape**2).sum(axis=1), 1e-300)
    rest = m0[:, None] * shape - signals
    return m0, rest, (rest**2).sum(axis=1)


def fit_recovery(signals: np.ndarray, times_s) -> tuple[np.ndarray, np.ndarray]:
    """Fit T1 to magnitudes at several times after an inversion, whatever the readout.

    ``|a + b exp(-TI / T1)|``: neither the efficiency of the inversion nor the flip angle is
    assumed. For each T1 of a fine grid, and for each number of times before the null, a and b
    are linear [1]_.

    Parameters
    ----------
    signals : ndarray, shape (..., n)
        Magnitude at each time.
    times_s : sequence of float, length n
        Inversion times, s.

    Returns
    -------
    t1 : ndarray, shape (...)
        s; NaN where there is no solution.
    level : ndarray, shape (...)
        Signal long after the inversion.

    Raises
    ------
    ValueError
        With fewer than four inversion times.

    References
    ----------
    .. [1] Barral J.K. et al. (2010) A robust methodology for in vivo T1 mapping.
       doi:10.1002/mrm.22497

    Examples
    --------
    >>> times = np.array([0.1, 0.4, 0.9, 2.0, 4.0])
    >>> t1, level = fit_recovery(np.abs(100 - 190 * np.exp(-times / 1.2))[None], times)
    >>> round(float(t1[0]), 3), round(float(level[0]), 1)
    (1.2, 100.0)
    """
    times = np.asarray(times_s, float)
    if len(set(times.tolist())) < LEAST_TIMES:
        raise ValueError(f'T1 needs {LEAST_TIMES} inversion times that differ.')
    order = np.argsort(times)
    signals, times = np.asarray(signals, float)[..., order], times[order]
    flat = signals.reshape(-1, len(times))
    grid = np.geomspace(LEAST_T1_S, MOST_T1_S, 500)
    out = np.full((2, len(flat)), np.nan)
    for first in range(0, len(flat), BLOCK):
        part = slice(first, first + BLOCK)
        out[:, part] = _recovery_block(flat[part], times, grid)
    t1, level = out
    return t1.reshape(signals.shape[:-1]), level.reshape(signals.shape[:-1])


def _recovery_block(signals, times, grid):
    decay = np.exp(-times / grid[:, None])
    # One orthonormal column for a curve beside a constant one.
    column = decay - decay.mean(axis=1, keepdims=True)
    column /= np.linalg.norm(column, axis=1, keepdims=True)
    rows = np.arange(len(signals))
    best = np.full(len(signals), np.inf)
    t1, level = np.full(len(signals), np.nan), np.full(len(signals), np.nan)
    for negative in range(len(times)):
        signed = np.where(np.arange(len(times)) < negative, -signals, signals)
        centred = signed - signed.mean(axis=1, keepdims=True)
        along = centred @ column.T
        error = (centred**2).sum(axis=1)[:, None] - along**2
        # Recovery: the signal rises.
        error = np.where(along < 0, error, np.inf)
        at = error.argmin(axis=1)
        inner = np.clip(at, 1, len(grid) - 2)
        low, mid, high = (error[rows, inner + d] for d in (-1, 0, 1))
        with np.errstate(all='ignore'):
            shift = 0.5 * (low - high) / (low - 2 * mid + high)
        shift = np.clip(np.where(np.isfinite(shift), shift, 0), -1, 1)
        found = grid[inner] * (grid[1] / grid[0]) ** shift
        value = error[rows, at]
        own = np.exp(-times / found[:, None])
        own -= own.mean(axis=1, keepdims=True)
        slope = (centred * own).sum(axis=1) / (own**2).sum(axis=1)
        end = signed.mean(axis=1) - slope * np.exp(-times / found[:, None]).mean(axis=1)
        good = (value < best) & (at > 0) & (at < len(grid) - 1)
        t1, level = np.where(good, found, t1), np.where(good, end, level)
        best = np.where(value < best, value, best)
    return t1, level


def uniform_image(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Combine the two complex images of MP2RAGE: ``Re(S1* S2) / (|S1|² + |S2|²)``.

    Parameters
    ----------
    first, second : ndarray of complex
        Images at the two inversion times.

    Returns
    -------
    ndarray
        -0.5 to 0.5; 0 where there is no signal.

    Examples
    --------
    >>> uniform_image(np.array([-1 + 0j, 1j]), np.array([1 + 0j, 1j])).tolist()
    [-0.5, 0.5]
    """
    power = np.abs(first) ** 2 + np.abs(second) ** 2
    product = (np.conj(first) * second).real
    return np.divide(product, power, out=np.zeros(power.shape), where=power > 0)


def mp2rage_t1(
    uniform: np.ndarray,
    readouts: Sequence[Readout],
    cycle_s: float,
    *,
    b1=1.0,
    efficiency: float = EFFICIENCY,
) -> np.ndarray:
    """Look T1 up in the uniform image of MP2RAGE.

    The uniform image falls with T1 between its highest and its lowest value; outside of these T1
    is not unique, and not given [1]_. With a map of the flip angle a table is made for each
    percent of it [2]_.

    Parameters
    ----------
    uniform : ndarray, shape (...)
        -0.5 to 0.5.
    readouts : two Readout
        Of the sequence.
    cycle_s : float
        From inversion to inversion, s.
    b1 : float or ndarray, shape (...)
        True over nominal flip angle.
    efficiency : float
        Share of the magnetisation that is inverted.

    Returns
    -------
    ndarray, shape (...)
        s; NaN where the image has a value that no T1 gives.

    References
    ----------
    .. [1] Marques J.P. et al. (2010) doi:10.1016/j.neuroimage.2009.10.002
    .. [2] Marques J.P., Gruetter R. (2013) New developments and applications of the MP2RAGE
       sequence. doi:10.1371/journal.pone.0069294

    Examples
    --------
    >>> reads = [Readout(0.7, 4, 0.007, 80, 80), Readout(2.5, 5, 0.007, 80, 80)]
    >>> one, two = np.moveaxis(prepared_signal(1.3, reads, 5.0, efficiency=0.96), -1, 0)
    >>> round(float(mp2rage_t1(uniform_image(one, two), reads, 5.0)), 3)
    1.3
    """
    uniform = np.asarray(uniform, float)
    share = np.broadcast_to(np.asarray(b1, float), uniform.shape)
    rounded = np.round(np.clip(share, *B1_RANGE), 2)
    out = np.full(uniform.shape, np.nan)
    t1 = np.geomspace(*TABLE_S, TABLE_N)
    for k in np.unique(rounded):
        both = prepared_signal(t1, readouts, cycle_s, b1=k, efficiency=efficiency)
        curve = uniform_image(both[..., 0], both[..., 1])
        fall = _falling(curve)
        here = rounded == k
        values = uniform[here]
        found = np.interp(values, curve[fall][::-1], t1[fall][::-1])
        low, high = curve[fall][-1], curve[fall][0]
        # Noise around the extremes belongs to them.
        found = np.where((values >= low - 0.01) & (values <= high + 0.01), found, np.nan)
        out[here] = found
    return out


def _falling(curve: np.ndarray) -> slice:
    """Return the longest stretch on which a curve falls."""
    turns = [0, *(np.flatnonzero(np.diff(np.sign(np.diff(curve)))) + 1), len(curve) - 1]
    parts = [(a, b) for a, b in pairwise(turns) if b > a and curve[b] < curve[a]]
    if not parts:
        raise ValueError('The uniform image does not depend on T1 with these times.')
    first, last = max(parts, key=lambda part: curve[part[0]] - curve[part[1]])
    return slice(first, last + 1)
