"""What bias correction leaves of a field that is known, by distance of the knots and levels.

Phantoms with little and much lesion load, weak and strong coils::

    python benchmarks/bias_field.py

Printed: standard deviation over the brain of the log of the true field, and of what is left of it
after correction; lower is better, and above the true field correction does harm.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import replace

import nibabel as nib
import numpy as np

from csvdprep.imaging.ants import n4
from csvdprep.phantom.dataset.presets import FLAIR_2D, FLAIR_3D, MPRAGE, T1W_3D, THICK, THIN
from csvdprep.phantom.disease.hyperintensities import lesion_growth
from csvdprep.phantom.head.anatomy import make_anatomy
from csvdprep.phantom.scanner.recorder import nifti
from csvdprep.phantom.scanner.scene import Scene
from csvdprep.phantom.structural.images import Protocol, acquire

SCANS = {
    'T1w': (MPRAGE, replace(T1W_3D, voxel=(2, 2, 2))),
    'FLAIR 2D': (FLAIR_2D, replace(THICK, voxel=(2, 2, 5))),
    'FLAIR 3D': (FLAIR_3D, replace(THIN, voxel=(2, 2, 2))),
}
LOADS = ((5, 1.0), (40, 1.0), (20, 2.5))
KNOTS = ((100, 4), (200, 4), (200, 3), (200, 2))


def main() -> None:
    """Print one row per scan."""
    anatomy = make_anatomy(5, spacing=2.0, ventricles_mm=3, atrophy=0.7)
    growth = lesion_growth(anatomy, 5)
    print('| scan | WMH mL | field |', ' | '.join(f'{mm} mm, {n} levels' for mm, n in KNOTS), '|')
    print('|---|' + '---|' * (2 + len(KNOTS)))
    seconds = {}
    for (volume, strength), (name, (pulses, scan)) in itertools.product(LOADS, SCANS.items()):
        scan = replace(scan, bias=scan.bias * strength)
        # The same head and noise without a coil: the ratio of the two images is the field.
        scene = Scene(anatomy=anatomy, wmh=growth.fraction(volume), seed=5)
        data, truth = (
            acquire(scene, Protocol(suffix=name[:5], sequence=pulses, scan=s), 7)[0]
            for s in (scan, replace(scan, bias=0.0))
        )
        inside = scan.sample(anatomy.intracranial, anatomy.affine) >= 0.5
        data, truth = data.astype(np.float32), truth.astype(np.float32)
        bright = inside & (data > 100) & (truth > 100)
        field = np.log(data[bright] / truth[bright])
        image = nifti(data, scan.grid()[1])
        row = []
        for spline_mm, levels in KNOTS:
            start = time.process_time()
            corrected = np.asarray(n4(image, inside, spline_mm=spline_mm, levels=levels).dataobj)
            seconds.setdefault((spline_mm, levels), []).append(time.process_time() - start)
            row.append(spread(np.log(corrected[bright] / truth[bright]), bright, image.affine))
        print(
            f'| {name} | {volume} | {spread(field, bright, image.affine):.3f} | '
            + ' | '.join(f'{value:.3f}' for value in row)
            + ' |',
            flush=True,
        )
    print(
        '| CPU s, median | | | '
        + ' | '.join(f'{np.median(seconds[knot]):.1f}' for knot in KNOTS)
        + ' |'
    )


def spread(values, where, affine) -> float:
    """Return the standard deviation over blocks of about 12 mm, where noise averages out."""
    steps = np.maximum(1, np.round(12 / nib.affines.voxel_sizes(affine))).astype(int)
    block = np.ravel_multi_index((np.argwhere(where) // steps).T, where.shape)
    count = np.bincount(block)
    mean = np.bincount(block, values) / np.maximum(count, 1)
    full = count >= 20
    centre = np.average(mean[full], weights=count[full])
    return float(np.sqrt(np.average((mean[full] - centre) ** 2, weights=count[full])))


if __name__ == '__main__':
    main()
