"""Which volumes were acquired before the contrast agent, and how noisy they are."""

from __future__ import annotations

import numpy as np

from csvdprep.science.kinetics import arrival

#: Share of the voxels of the head that shows the bolus: vessels.
VESSELS = 0.005
#: A first volume that differs from the others by more than this is not in the steady state.
UNSTEADY = 0.02


def find_baseline(
    series: np.ndarray, mask: np.ndarray, times_s, injection_s: float | None = None
) -> tuple[slice, list[str]]:
    """Find the volumes before the contrast agent.

    Parameters
    ----------
    series : ndarray, shape (nx, ny, nz, n)
        Signal.
    mask : ndarray of bool, shape (nx, ny, nz)
        Voxels with signal.
    times_s : sequence of float, length n
        Middle of each volume, s.
    injection_s : float, optional
        Start of the injection, s, if it is known.

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
    # Twice the same: the rise over the first volume tells vessels, and their mean the arrival.
    first = np.maximum(curves[:, :2].mean(axis=1), 1e-6)
    rise = (np.sort(curves, axis=1)[:, -3:].mean(axis=1) - first) / first
    count = max(1, round(VESSELS * len(curves)))
    top = np.argpartition(rise, -count)[-count:]
    vessels = (curves[top] / first[top, None]).mean(axis=0) - 1
    notes = []
    jump = np.diff(vessels)
    seen = int(np.argmax(jump)) + 1
    fine = arrival(vessels, min(max(seen - 1, 1), len(vessels) - 1))
    if fine is not None:
        seen = min(seen, fine)
    if jump.max(initial=0) < 0.1:
        return slice(0, 0), ['no bolus is seen in the series']
    half = float(np.median(np.diff(times))) / 2
    count = seen
    if injection_s is not None:
        said = int((times + half <= injection_s + 0.05 * half).sum())
        if said > seen:
            notes.append(
                f'the bolus is seen in volume {seen + 1}, before the injection that the sidecar '
                f'gives ({injection_s:g} s); the images are believed'
            )
        elif seen - said > max(3, 60 / (2 * half)):
            notes.append(
                f'the bolus is seen in volume {seen + 1}, long after the injection that the '
                f'sidecar gives ({injection_s:g} s); the images are believed'
            )
        else:
            count = said
    start = 0
    if count >= 3:
        level = np.median(curves[:: max(1, len(curves) // 20000), :count], axis=0)
        if abs(level[0] / level[1:].mean() - 1) > UNSTEADY:
            start = 1
            notes.append('the first volume is not in the steady state, and is left out')
    return slice(start, count), notes


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
