"""Tensor and free water fits against DIPY: time, memory and agreement.

    python benchmarks/tensor.py [--voxels 250000] [--runs 3] [--series DWI.nii.gz]

Each run is a process of its own, and the methods take turns. All are given the same signals in
double precision: of random tensors (60 directions at b = 1000, 5 volumes at b = 0, Rician noise),
or of the voxels of a series whose mean at b = 0 is above a third of its 95th percentile. The time
is that of the fit and of FA, MD and eigenvectors; the memory is what the process has grown by at
its peak (Linux).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

from csvdprep.phantom.diffusion.gradients import shells
from csvdprep.science.free_water import fit_free_water, free_water_single_shell
from csvdprep.science.gradient_table import world_directions
from csvdprep.science.tensors import PARTS, fit_tensor, measures, predict

TWO_SHELLS = shells([(1000, 30), (2000, 30)], b0=5)
#: Methods by the name of their row, in the order in which they take turns.
TENSORS = ('DIPY WLS', 'csvdprep, 1 thread', 'csvdprep, 2 threads', 'csvdprep, robust')
WATER = ('DIPY NLS', 'csvdprep', 'csvdprep, one shell')
#: Methods whose results are meant to differ.
OTHERS = {'csvdprep, robust': 'leaves outliers out', 'csvdprep, one shell': 'another model'}


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--voxels', type=int, default=250_000)
    parser.add_argument('--water-voxels', type=int, default=3000)
    parser.add_argument('--runs', type=int, default=3)
    parser.add_argument('--series', type=Path, help='a real series with .bval and .bvec')
    parser.add_argument('--one', nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_one(*options.one)
        return
    with tempfile.TemporaryDirectory() as folder:
        table = shells([(1000, 60)], b0=5)
        signal, directions = synthetic(options.voxels, table), table.directions
        bvals = table.bvals
        if options.series:
            signal, bvals, directions = real(options.series)
        np.savez(f'{folder}/tensor.npz', signal=signal, bvals=bvals, directions=directions)
        print(f'{len(signal)} voxels, {len(bvals)} volumes')
        compare(TENSORS, f'{folder}/tensor.npz', folder, options.runs)
        water = synthetic(options.water_voxels, TWO_SHELLS, free=True)
        np.savez(
            f'{folder}/water.npz',
            signal=water,
            bvals=TWO_SHELLS.bvals,
            directions=TWO_SHELLS.directions,
        )
        print(f'\n{len(water)} voxels, {len(TWO_SHELLS.bvals)} volumes, free water')
        compare(WATER, f'{folder}/water.npz', folder, options.runs)


def synthetic(count: int, table, free: bool = False) -> np.ndarray:
    """Return signals (voxels, volumes) of random tensors, with Rician noise of SNR 30."""
    rng = np.random.default_rng(0)
    values = rng.uniform([0.8, 0.3, 0.2], [1.7, 0.8, 0.6], (count, 3)) * 1e-3
    axes = np.linalg.qr(rng.normal(size=(count, 3, 3)))[0]
    whole = np.einsum('nij,nj,nkj->nik', axes, values, axes)
    tensor = np.stack([whole[:, i, j] for i, j in PARTS], axis=-1)
    signal = predict(tensor, 1000.0 + np.zeros(count), table.bvals, table.directions)
    if free:
        f = rng.uniform(0, 0.9, count)[:, None]
        signal = (1 - f) * signal + f * 1000 * np.exp(-3e-3 * table.bvals)
    noise = rng.normal(0, 1000 / 30, (2, *signal.shape))
    return np.hypot(signal + noise[0], noise[1])


def real(series: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return signals (voxels, volumes), b-values and directions of a real brain."""
    import nibabel as nib

    image = nib.load(series)
    stem = str(series).removesuffix('.nii.gz')
    bvals, bvecs = np.loadtxt(f'{stem}.bval'), np.loadtxt(f'{stem}.bvec').T
    data = image.get_fdata()
    b0 = data[..., bvals < 50].mean(axis=-1)
    return (data[b0 > np.percentile(b0, 95) / 3], bvals, world_directions(bvecs, image.affine))


def compare(methods: tuple[str, ...], data: str, folder: str, runs: int) -> None:
    """Run methods in turns and print their medians and their distance from the first."""
    found: dict[str, list[dict]] = {method: [] for method in methods}
    for _ in range(runs):
        for method in methods:
            out = f'{folder}/{methods.index(method)}.npz'
            answer = subprocess.run(
                [sys.executable, __file__, '--one', method, data, out],
                check=True,
                capture_output=True,
                text=True,
            )
            found[method].append(json.loads(answer.stdout))
    first = np.load(f'{folder}/0.npz')
    print('| method | s (median) | s (range) | extra MB | largest difference from DIPY |')
    print('|---|---|---|---|---|')
    for number, method in enumerate(methods):
        seconds = [run['s'] for run in found[method]]
        memory = max(run['mb'] for run in found[method])
        maps = np.load(f'{folder}/{number}.npz')
        # What has no tissue, or no tensor, has no measure to compare.
        seen = (first['md'] > 1e-6) & (maps['md'] > 1e-6)
        apart = [
            f'MD {np.abs(maps["md"][seen] / first["md"][seen] - 1).max():.1e} (relative)',
            f'FA {np.abs(maps["fa"] - first["fa"])[seen].max():.1e}',
        ]
        if method in OTHERS or not number:
            apart = [OTHERS.get(method, '')]
        elif 'f' in maps:
            apart = [f'f {np.abs(maps["f"] - first["f"]).max():.1e}', *apart]
        print(
            f'| {method} | {np.median(seconds):.2f} | {min(seconds):.2f}-{max(seconds):.2f} '
            f'| {memory:.0f} | {", ".join(apart)} |',
            flush=True,
        )


def run_one(method: str, data: str, out: str) -> None:
    """Fit in this process; print time and memory, write the maps."""
    loaded = np.load(data)
    signal, bvals, axes = (loaded[key] for key in ('signal', 'bvals', 'directions'))
    from dipy.core.gradients import gradient_table
    from dipy.reconst.dti import TensorModel, design_matrix
    from dipy.reconst.fwdti import FreeWaterTensorModel

    warnings.simplefilter('ignore')
    table = gradient_table(bvals, bvecs=axes)
    floor = 1e-6 / -design_matrix(table).min()
    Path('/proc/self/clear_refs').write_text('5')
    before = peak_mb()
    start = time.perf_counter()
    maps = {}
    if method.startswith('DIPY'):
        model = (
            TensorModel(table, fit_method='WLS')
            if 'WLS' in method
            else FreeWaterTensorModel(table, fit_method='NLS')
        )
        fit = model.fit(signal)
        maps = {'fa': fit.fa, 'md': fit.md, 'v1': fit.evecs[..., 0]}
        if 'NLS' in method:
            maps['f'] = fit.f
    elif method in TENSORS:
        fit = fit_tensor(
            signal,
            bvals,
            axes,
            threads=2 if '2 threads' in method else 1,
            method='robust' if 'robust' in method else 'wls',
        )
        seen = measures(fit.tensor, floor=floor)
        maps = {'fa': seen.fa, 'md': seen.md}
    else:
        fit = (
            free_water_single_shell(signal, bvals, axes, smooth=False)
            if 'shell' in method
            else fit_free_water(signal, bvals, axes)
        )
        seen = measures(fit.tensor, floor=0.0)
        maps = {'fa': seen.fa, 'md': seen.md, 'f': fit.f}
    seconds = time.perf_counter() - start
    grown = peak_mb() - before
    np.savez(out, **maps)
    print(json.dumps({'s': seconds, 'mb': grown}))


def peak_mb() -> float:
    """Return the largest resident memory of this process since it was last reset, MB."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return float(next(line for line in lines if line.startswith('VmHWM')).split()[1]) / 1024


if __name__ == '__main__':
    main()
