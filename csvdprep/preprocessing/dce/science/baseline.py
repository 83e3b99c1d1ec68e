"""Which volumes were acquired before the contrast agent, and how noisy they are."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from csvdprep.science.kinetics import arrival

#: Share of the voxels that shows the bolus: vessels.
VESSELS = 0.005
#: A voxel that moves takes on the signal of its neighbours, up to so far away, mm.
REACH_MM = 3.0
#: Least step of the curve of vessels that may be a bolus, relative to the signal before.
STEP = 0.1
#: A first volume that differs from the others by more than this is not in the steady state.
UNSTEADY = 0.02


def find_baseline(
    series: np.ndarray, mask: np.ndarray, times_s, injection_s: float | None = None, voxel_mm=None
) -> tuple[slice, list[str]]:
    """Find the volumes before the contrast agent.

    Only what gets brighter than all that lay near it before can be the bolus: a head that moves
    brings no more than the signal of a neighbour. A given injection is believed where a bolus is
    seen from one volume before it to three volumes or 60 s after it, whatever else is seen.

    Parameters
    ----------
    series : ndarray, shape (nx, ny, nz, n)
        Signal.
    mask : ndarray of bool, shape (nx, ny, nz)
        Voxels with signal: brain, and vessels around it.
    times_s : sequence of float, length n
        Middle of each volume, s.
    injection_s : float, optional
        Start of the injection, s, if it is known.
    voxel_mm : sequence of float, length 3, optional
        Size of a voxel, mm; without it, neighbours are the next voxels.

    Returns
    -------
    baseline : slice
        Volumes; empty if the first one has contrast agent already, or none has.
    notes : list of str
        What was found where it is not what was said.

    Examples
    --------
    >>> series = np.full((4, 4, 4, 12), 100.0)
    >>> series[0, 0, 0, 4:] = 300
    >>> find_baseline(series, np.ones((4, 4, 4), bool), np.arange(12) * 40.0 + 20)[0]
    slice(0, 4, None)
    """
    times = np.asarray(times_s, float)
    curves = series[mask].astype(np.float32)
    reach = [1] * 3 if voxel_mm is None else [max(1, round(REACH_MM / mm)) for mm in voxel_mm]
    half = float(np.median(np.diff(times))) / 2
    size = [2 * steps + 1 for steps in reach]
    notes = []
    count = None
    if injection_s is not None:
        said = int((times + half <= injection_s + 0.05 * half).sum())
        after = max(3, int(np.ceil(60 / (2 * half))))
        low, high = max(said - 1, 1), min(said + after + 1, len(times))
        # Seen from the volumes before, and not from later ones: something may have moved since.
        around = slice(max(0, low - 3), high)
        vessels = _vessels(curves[:, around], series[..., around], mask, low - around.start, size)
        seen = _first_step(vessels, low - around.start)
        if seen is not None:
            seen += around.start
            count = min(seen, said)
            if seen < said:
                notes.append(_believed(seen, 'before', injection_s))
    if count is None:
        vessels = _vessels(curves, series, mask, min(2, len(times) - 1), size)
        seen = _first_step(vessels, 1)
        if seen is None:
            return slice(0, 0), ['no bolus is seen in the series']
        count = seen
        if injection_s is not None:
            notes.append(_believed(seen, 'before' if said > seen else 'long after', injection_s))
    start = 0
    if count >= 3:
        level = np.median(curves[:: max(1, len(curves) // 20000), :count], axis=0)
        if abs(level[0] / level[1:].mean() - 1) > UNSTEADY:
            start = 1
            notes.append('the first volume is not in the steady state, and is left out')
    return slice(start, count), notes


def _vessels(curves, series, mask, before: int, size) -> np.ndarray:
    """Return the curve of what rises most over its surroundings, relative to these."""
    level = ndi.maximum_filter(series[..., :before].mean(axis=-1), size)[mask]
    level = np.maximum(level, max(1e-6, 0.02 * float(np.median(level))))
    top = np.sort(curves[:, before:], axis=1)[:, -3:].mean(axis=1) / level
    count = max(1, round(VESSELS * len(curves)))
    chosen = np.argpartition(top, -count)[-count:]
    return (curves[chosen] / level[chosen, None]).mean(axis=0)


def _first_step(vessels: np.ndarray, least: int) -> int | None:
    """Return the volume in which the curve rises first; None if it does not."""
    jump = np.diff(vessels)
    jump[: least - 1] = 0
    if jump.max(initial=0) < STEP:
        return None
    seen = int(np.argmax(jump)) + 1
    last = max(seen - 1, 1)
    # The first volume may not be in the steady state.
    fine = arrival(vessels, slice(1 if last >= 4 else 0, last))
    return seen if fine is None or fine < least else min(seen, fine)


def _believed(seen: int, when: str, injection_s: float) -> str:
    return (
        f'the bolus is seen in volume {seen + 1}, {when} the injection that the sidecar '
        f'gives ({injection_s:g} s); the images are believed'
    )


def temporal_noise(series: np.ndarray, mask: np.ndarray) -> float:
    """Estimate the noise of a volume relative to its signal, median over a mask.

    From second differences of the last volumes, where concentrations change least.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> series = 100 + rng.normal(0, 2, (12, 12, 12, 20))
    >>> bool(abs(temporal_noise(series, np.ones((12, 12, 12), bool)) - 0.02) < 0.002)
    True
    """
    last = series[mask][:, -min(8, series.shape[3]) :].astype(np.float64)
    if last.shape[1] < 3 or not len(last):
        return float('nan')
    second = last[:, 2:] - 2 * last[:, 1:-1] + last[:, :-2]
    level = np.maximum(last.mean(axis=1), 1e-9)
    return float(np.sqrt(np.median((second**2).mean(axis=1) / level**2) / 6))
