"""Speed of the fits of DCE-MRI on many voxels, beside a loop over voxels and other software.

    python benchmarks/permeability.py [--voxels 250000] [--loop 1000] [--osipy PYTHON]

All get the same concentrations: Patlak curves of 32 volumes with noise. The loop is
``scipy.optimize.curve_fit`` with the input function integrated beforehand; it is run on some
voxels, and its time is scaled. ``--osipy`` names a Python that has osipy (3.12 or later), which
fits all volumes of 20,000 of the voxels.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time

import numpy as np
from scipy.optimize import curve_fit

from csvdprep.phantom.permeability.bolus import frame_means, venous
from csvdprep.science.kinetics import convolve, extended_tofts_fit, integrate, patlak_fit
from csvdprep.science.spoiled_gradient import fit_t1, spgr_signal, to_concentration


def main() -> None:
    """Print a line for each method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--voxels', type=int, default=250_000)
    parser.add_argument('--loop', type=int, default=1000, help='voxels of the loop')
    parser.add_argument('--osipy', default='', metavar='PYTHON')
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    count, frames, step = asked.voxels, 32, 40.0
    times = (np.arange(frames) + 0.5) * step
    plasma, integral = frame_means(lambda t: venous(t - 132), frames, step)
    ps, vp = rng.uniform(1e-4, 1e-3, count), rng.uniform(0.004, 0.03, count)
    tissue = vp[:, None] * plasma + ps[:, None] * integral
    tissue = tissue + rng.normal(0, 0.004, tissue.shape)

    def clock(name, work, of=count):
        start = time.perf_counter()
        found = work()
        took = (time.perf_counter() - start) * count / of
        print(f'{name:<46}{took:10.2f} s for {count} voxels', flush=True)
        return took, found

    late = times >= 240
    fast, found = clock('csvdprep, Patlak', lambda: patlak_fit(times, plasma, tissue, use=late))
    tofts, _ = clock(
        'csvdprep, extended Tofts', lambda: extended_tofts_fit(times, plasma, tissue, use=late)
    )
    signals = np.stack([spgr_signal(900, 1 / 1.1, 0.0054, flip) for flip in (2, 5, 12)])
    noisy = signals + rng.normal(0, 5, (count, 3))
    clock('csvdprep, T1 (nonlinear, three flip angles)', lambda: fit_t1(noisy, (2, 5, 12), 0.0054))
    curves = 900 * (1 + 0.05 * tissue)
    clock(
        'csvdprep, signal to concentration',
        lambda: to_concentration(
            curves, 1.1, tr_s=0.0054, flip_deg=12, relaxivity=4.5, baseline=slice(0, 3)
        ),
    )

    whole = integrate(times, plasma)[late]
    inside = plasma[late]

    def loop():
        return [
            curve_fit(lambda t, k, v: k * whole + v * inside, times[late], y[late], [1e-4, 0.01])[
                0
            ]
            for y in tissue[: asked.loop]
        ]

    slow, other = clock('scipy.optimize.curve_fit, Patlak, in a loop', loop, asked.loop)
    apart = np.abs(np.array(other)[:, 0] - found.values['ps'][: asked.loop]).max()
    print(f'  largest difference of PS: {apart:.1e} /min; {slow / fast:.0f} times as long')

    def loop_tofts():
        few = tissue[: max(asked.loop // 10, 1)]

        def model(t, k, v, kep):
            return k * convolve(times, plasma, kep)[late] + v * inside

        out = []
        for y in few:
            try:
                bounds = ([-1, -1, 0], [1, 1, 5])
                out.append(
                    curve_fit(model, times[late], y[late], [1e-3, 0.01, 0.1], bounds=bounds)
                )
            except RuntimeError:
                out.append(None)
        return out

    slow, _ = clock(
        'scipy.optimize.curve_fit, extended Tofts, loop', loop_tofts, max(asked.loop // 10, 1)
    )
    print(f'  {slow / tofts:.0f} times as long')
    if asked.osipy:
        _osipy(asked.osipy, times, plasma, tissue[:20_000], ps[:20_000], count)


OSIPY = """
import sys, time
import numpy as np
from osipy.dce import fit_model
given = np.load(sys.argv[1])
for name in ('patlak', 'extended_tofts'):
    start = time.perf_counter()
    tissue = given['tissue'].reshape(-1, 10, 10, len(given['times']))
    found = fit_model(name, tissue, given['plasma'], given['times'])
    took = time.perf_counter() - start
    maps = found.parameter_maps
    key = next(k for k in maps if k.lower() in ('ps', 'ktrans'))
    values = np.asarray(maps[key].values, float).ravel()
    print(name, took, maps[key].units, np.median(values / given['ps']))
"""


def _osipy(python, times, plasma, tissue, ps, count) -> None:
    """Fit some voxels by osipy, and scale its time."""
    with tempfile.TemporaryDirectory() as folder:
        file = f'{folder}/given.npz'
        np.savez(file, times=times, plasma=plasma, tissue=tissue, ps=ps)
        env = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
        done = subprocess.run(
            [python, '-c', OSIPY, file], capture_output=True, text=True, check=False, env=env
        )
    if done.returncode:
        print(done.stderr[-500:])
    for line in done.stdout.splitlines():
        if line.startswith(('patlak ', 'extended_tofts ')):
            name, took, units, ratio = line.split(maxsplit=3)[:4]
            scaled = float(took) * count / len(tissue)
            what = f'osipy, {name}, all volumes'
            print(f'{what:<46}{scaled:10.2f} s for {count} voxels; PS ({units}) / truth {ratio}')


if __name__ == '__main__':
    main()
