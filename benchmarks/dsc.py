"""Bolus tracking on curves of closed form: what deconvolution, leakage and noise do, and speed.

    python benchmarks/dsc.py [--repeats 100] [--voxels 20000]

The artery is a gamma variate; tissue is its convolution with an exponential or a box, written with
the incomplete gamma function. Values are those of a region of 200 voxels that are reached at
different times, with the noise of a voxel; sampling begins at a random moment.
"""

from __future__ import annotations

import argparse
import time
from math import gamma

import numpy as np
from scipy.special import gammainc

from csvdprep.science.bolus import correct_leakage, deconvolve, time_to_peak

#: Blood flow (1/s) and mean transit time (s) of tissues.
TISSUES = {'NAWM': (0.00367, 5.4), 'WMH': (0.0022, 7.0), 'cortex': (0.0092, 4.2)}
ORDER, SCALE, ARRIVAL, SCALE_UP = 4.0, 1.5, 15.0, 4000.0
NOISE, SPREAD = 0.4, 0.3


def artery(at):
    """Return the arterial curve of unit area."""
    t = np.maximum(at - ARRIVAL, 0) / SCALE
    return t ** (ORDER - 1) * np.exp(-t) / (gamma(ORDER) * SCALE)


def exponential(at, mtt):
    """Convolve it with an exponential."""
    t, rate = np.maximum(at - ARRIVAL, 0), 1 / SCALE - 1 / mtt
    return np.exp(-t / mtt) * gammainc(ORDER, rate * t) / (rate * SCALE) ** ORDER


def box(at, mtt):
    """Convolve it with a box."""

    def whole(t):
        return gammainc(ORDER, np.maximum(t - ARRIVAL, 0) / SCALE)

    return whole(at) - whole(at - mtt)


def main() -> None:
    """Print tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--repeats', type=int, default=100)
    parser.add_argument('--voxels', type=int, default=20_000)
    asked = parser.parse_args()
    _deconvolution(asked.repeats)
    _leakage(asked.repeats)
    _peaks()
    _speed(asked.voxels)


def _region(form, tissue, step, rng):
    flow, mtt = TISSUES[tissue]
    at = np.arange(int(75 / step)) * step
    shift = rng.uniform(0, step)
    delays = rng.normal(0.6, SPREAD, 200)
    curve = np.mean([form(at - shift - d, mtt) for d in delays], axis=0) * flow * SCALE_UP
    noise = rng.normal(0, NOISE / np.sqrt(200), len(at))
    aif = SCALE_UP / 10 * artery(at - shift) + rng.normal(0, 0.4, len(at))
    return aif, curve + noise


def _deconvolution(repeats: int) -> None:
    rng = np.random.default_rng(0)
    print('| residue | step | tissue | flow / truth | flow to NAWM / truth | MTT / truth | Tmax |')
    print('|---|---|---|---|---|---|---|')
    for form in (exponential, box):
        for step in (1.0, 1.5, 2.0, 2.5):
            found = {}
            for tissue, (flow, mtt) in TISSUES.items():
                values = []
                for _ in range(repeats):
                    one = deconvolve(*_region(form, tissue, step, rng), step)
                    values.append((one.flow / flow / 10, one.mtt_s / mtt, one.tmax_s))
                found[tissue] = np.array(values, float)
            base = found['NAWM'][:, 0].mean()
            for tissue, values in found.items():
                mean, spread = values.mean(axis=0), values.std(axis=0)
                print(
                    f'| {form.__name__} | {step:g} s | {tissue} | {mean[0]:.2f} '
                    f'± {spread[0]:.2f} | {mean[0] / base:.2f} | {mean[1]:.2f} '
                    f'± {spread[1]:.2f} | {mean[2]:.1f} s |'
                )


def _leakage(repeats: int) -> None:
    rng = np.random.default_rng(1)
    step = 1.5
    at = np.arange(60) * step
    plain = 12 * exponential(at, 5.0) / 2
    whole = np.concatenate([[0], np.cumsum((plain[1:] + plain[:-1]) / 2 * step)])
    print('\n| K2, 1/s | transit of tissue | blood volume as it is / truth | corrected / truth |')
    print('|---|---|---|---|')
    for k2 in (-0.004, 0.0, 0.004, 0.01):
        for mtt in (5.0, 7.0):
            right = 12 * exponential(at, mtt) / 2
            curves = right - k2 * whole + rng.normal(0, 0.1, (repeats, len(at)))
            corrected, _ = correct_leakage(curves, plain, step)
            area = np.trapezoid(right)
            print(
                f'| {k2:g} | {mtt:g} s | {np.trapezoid(curves, axis=1).mean() / area:.3f} | '
                f'{np.trapezoid(corrected, axis=1).mean() / area:.3f} |'
            )


def _peaks() -> None:
    rng = np.random.default_rng(2)
    print('\n| step | noise, 1/s | time to peak: SD of a voxel | bias of a difference of 2 s |')
    print('|---|---|---|---|')
    for step in (1.0, 1.5, 2.0, 2.5):
        at = np.arange(int(75 / step)) * step
        for noise in (0.1, 0.4):
            sets = []
            for delay in (0.0, 2.0):
                shifts = rng.uniform(0, step, 2000)
                curves = np.stack([exponential(at - delay - s, 5.4) for s in shifts])
                curves = 6 * curves / curves.max() + rng.normal(0, noise, curves.shape)
                sets.append(time_to_peak(curves, step, 3, int(45 / step)) - shifts)
            spread = np.nanstd(sets[0])
            bias = np.nanmedian(sets[1]) - np.nanmedian(sets[0]) - 2
            print(f'| {step:g} s | {noise:g} | {spread:.2f} s | {bias:+.2f} s |')


def _speed(voxels: int) -> None:
    rng = np.random.default_rng(3)
    at = np.arange(50) * 1.5
    curves = 14 * exponential(at, 5.4) + rng.normal(0, NOISE, (voxels, len(at)))
    start = time.perf_counter()
    deconvolve(400 * artery(at), curves, 1.5)
    circulant = time.perf_counter() - start
    few = curves[: max(voxels // 20, 1)]
    column = np.r_[400 * artery(at), np.zeros(len(at))]
    matrix = 1.5 * np.stack([np.roll(column, k) for k in range(len(column))], axis=1)
    start = time.perf_counter()
    u, values, vt = np.linalg.svd(matrix)
    for curve in few:
        seen = u.T @ np.r_[curve, np.zeros(len(at))]
        for level in np.arange(0.05, 0.95, 0.05):
            kept = values >= level * values[0]
            residue = vt.T @ np.where(kept, seen / values, 0)
            if np.abs(np.diff(residue, 2)).sum() < 8 * residue.max():
                break
    loop = (time.perf_counter() - start) * voxels / len(few)
    print(f'\n{voxels} voxels of 50 volumes: {circulant:.2f} s; loop over matrices {loop:.1f} s')


if __name__ == '__main__':
    main()
