"""Phase images: their unit, and their way out of the interval of one turn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from csvdprep.core.errors import MeasureError

TURN = 2 * np.pi
#: Ranges of one turn as scanners and converters store it.
RANGES = {
    'radians': TURN,
    'thousandths of a radian (-3142 to 3142)': 1000 * TURN,
    'levels from -4096 to 4095': 8192.0,
    '4096 levels': 4096.0,
    'degrees': 360.0,
}
#: Share of a turn that the values must span to be known by their range, and by how much they may
#: exceed it.
SPANNED, EXCESS = 0.97, 1.003
#: Values are spread evenly to both ends if each outer hundredth of the range holds this share.
EVEN = 0.004
#: Slices have opposite signs if the cosine of the steps between them is below minus this, median
#: of those that have so much (of the most) in common with the next. Where a steep field is taken
#: for it, no harm is done: half a turn a slice is a field without curvature.
OPPOSITE, ENOUGH = 0.5, 0.05


@dataclass(frozen=True)
class PhaseUnit:
    """How stored values become radians: ``(value - middle) * factor``.

    Attributes
    ----------
    factor : float
        rad per stored unit.
    middle : float
        Stored value of no phase.
    evidence : str
        What tells the unit.
    doubtful : bool
        Whether it was told by less than the range of values.
    """

    factor: float
    middle: float
    evidence: str
    doubtful: bool = False


def phase_unit(values: np.ndarray, units: str = '') -> PhaseUnit:
    """Find out in which unit a phase image is stored.

    Parameters
    ----------
    values : ndarray
        Stored values, after the scaling of the header; NaN and exact zeros do not count.
    units : str, optional
        ``Units`` of the sidecar: 'rad', 'arbitrary' or empty.

    Returns
    -------
    PhaseUnit

    Raises
    ------
    MeasureError
        If the values cannot be the phase of one turn: all are equal, or their range is no known
        one and is not evenly filled (as after unwrapping or high-pass filtering).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> unit = phase_unit(rng.integers(-2048, 2048, 9999) * 2)
    >>> round(unit.factor * 4096, 3), unit.evidence
    (3.142, 'levels from -4096 to 4095')
    """
    values = np.asarray(values, float).ravel()
    values = values[np.isfinite(values) & (values != 0)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    span = high - low
    if span <= 0:
        raise MeasureError(
            'The phase image has one value only: it holds no phase.',
            remedy='Export the phase again, or leave it out.',
        )
    said = str(units).strip().lower() in ('rad', 'radian', 'radians')
    if said and span <= TURN * EXCESS:
        return PhaseUnit(1.0, 0.0, 'the sidecar says rad')
    # Integers of n levels span n - 1 steps.
    for name, turn in RANGES.items():
        if SPANNED * turn <= span <= EXCESS * turn:
            middle = (low + high) / 2 if low >= 0 else 0.0
            return PhaseUnit(TURN / turn, middle, name, said)
    if _even(values, low, span):
        middle = (low + high) / 2
        told = f'the range of values ({low:.5g} to {high:.5g}), filled evenly to both ends'
        return PhaseUnit(TURN / span, middle, told, said)
    if not units and max(-low, high) <= np.pi and span > 1:
        return PhaseUnit(1.0, 0.0, 'values lie within -pi to pi', True)
    raise MeasureError(
        f'The phase is stored in an unknown unit, or was unwrapped or filtered: values go from '
        f'{low:.5g} to {high:.5g} and become few towards the ends.',
        remedy='Give the phase as the scanner measured it, and its Units in the sidecar.',
    )


def _even(values: np.ndarray, low: float, span: float) -> bool:
    ends = (values <= low + 0.01 * span, values >= low + 0.99 * span)
    return min(float(end.mean()) for end in ends) > EVEN


def wrapped(phase: np.ndarray) -> np.ndarray:
    """Bring phase (rad) into the interval from -pi to pi.

    Examples
    --------
    >>> wrapped(np.array([0.5, 4.0])).round(3).tolist()
    [0.5, -2.283]
    """
    return phase - TURN * np.round(phase / TURN)


def alternating_axes(signal: np.ndarray, mask: np.ndarray) -> tuple[int, ...]:
    """Find axes along which the phase turns by half a turn from each slice to the next.

    Complex images whose slices (or lines) were not shifted before the Fourier transform have
    every other one with the opposite sign, as those of some scanners are exported.

    Parameters
    ----------
    signal : ndarray of complex, shape (nx, ny, nz)
        Of one echo.
    mask : ndarray of bool
        Brain.

    Returns
    -------
    tuple of int
        The axes; none in most images.

    Examples
    --------
    >>> signal = np.ones((8, 8, 8)) * (-1.0) ** np.arange(8)
    >>> alternating_axes(signal, np.ones(signal.shape, bool))
    (2,)
    """
    inside = np.where(mask, signal, 0)
    found = []
    for axis in range(signal.ndim):
        slices = np.moveaxis(inside, axis, 0)
        others = tuple(range(1, signal.ndim))
        steps = slices[1:] * np.conj(slices[:-1])
        power = np.abs(steps).sum(axis=others)
        enough = power > ENOUGH * power.max(initial=0)
        alike = steps.real.sum(axis=others)[enough] / power[enough]
        if len(alike) and np.median(alike) < -OPPOSITE:
            found.append(axis)
    return tuple(found)


def unwrap(
    phase: np.ndarray,
    mask: np.ndarray,
    magnitude: np.ndarray,
    *,
    other: np.ndarray | None = None,
    ratio: float = 1.0,
) -> np.ndarray:
    """Unwrap a phase image along the most reliable ways between neighbours.

    Neighbours are joined in a minimum spanning tree by the reliability of ROMEO: how small the
    step of phase is, how well it agrees with that of another echo, and how alike and strong the
    magnitudes are. Along the tree, each step is taken the short way round.

    Parameters
    ----------
    phase : ndarray, shape (nx, ny, nz)
        rad; its values may be wrapped at any place.
    mask : ndarray of bool
        Voxels to be unwrapped.
    magnitude : ndarray
        Magnitude.
    other : ndarray, optional
        Phase of another echo, rad.
    ratio : float
        Echo time of ``phase`` over that of ``other``.

    Returns
    -------
    ndarray of float32
        rad, with the median within half a turn around 0; 0 outside of the largest connected part
        of the mask.

    References
    ----------
    Dymerska et al. 2021, doi:10.1002/mrm.28563.

    Examples
    --------
    >>> ramp = np.linspace(0, 20, 40)[:, None, None] * np.ones((1, 4, 4))
    >>> out = unwrap(wrapped(ramp), np.ones(ramp.shape, bool), np.ones(ramp.shape))
    >>> float(np.ptp(out).round(3))
    20.0
    """
    where = np.flatnonzero(mask)
    number = np.full(mask.size, -1, np.int32)
    number[where] = np.arange(len(where), dtype=np.int32)
    number = number.reshape(mask.shape)
    flat = phase.reshape(-1)[where].astype(np.float32)
    rows, columns, costs = [], [], []
    for axis in range(phase.ndim):
        ahead = [slice(None)] * phase.ndim
        behind = [slice(None)] * phase.ndim
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        first, second = number[tuple(behind)].ravel(), number[tuple(ahead)].ravel()
        both = (first >= 0) & (second >= 0)
        first, second = first[both], second[both]
        step = wrapped(flat[second] - flat[first])
        good = 1 - np.abs(step) / np.pi
        if other is not None:
            own = other.reshape(-1)[where]
            expected = wrapped(own[second] - own[first]) * ratio
            good = good * np.maximum(1 - np.abs(wrapped(step - expected)) / np.pi, 0.05)
        size = magnitude.reshape(-1)[where]
        pair = (np.minimum(size[first], size[second]), np.maximum(size[first], size[second]))
        alike = pair[0] / np.maximum(pair[1], 1e-6)
        good = good * np.clip(alike, 0.05, 1) ** 2
        rows.append(first)
        columns.append(second)
        costs.append((1.0001 - good).astype(np.float32))
    count = len(where)
    graph = sparse.csr_matrix(
        (np.concatenate(costs), (np.concatenate(rows), np.concatenate(columns))),
        shape=(count, count),
    )
    tree = csgraph.minimum_spanning_tree(graph)
    _, label = csgraph.connected_components(tree, directed=False)
    root = int(np.flatnonzero(label == np.bincount(label).argmax())[0])
    order, before = csgraph.breadth_first_order(tree, root, directed=False)
    above = np.arange(count, dtype=np.int32)
    above[order[1:]] = before[order[1:]]
    turns = -np.round((flat - flat[above]) / TURN).astype(np.int32)
    # Sums along the ways to the root, their lengths doubling.
    while True:
        following = above[above]
        turns = turns + turns[above]
        if np.array_equal(following, above):
            break
        above = following
    out = flat + TURN * turns
    out -= TURN * np.round(np.median(out[order]) / TURN)
    alone = np.ones(count, bool)
    alone[order] = False
    out[alone] = 0
    result = np.zeros(mask.size, np.float32)
    result[where] = out
    return result.reshape(mask.shape)
