"""Compare susceptibility maps with the truth of phantoms, step by step.

    csvdprep phantom P --preset full --modalities T1w FLAIR MEGRE --participants 1 --seed 31
    csvdprep P OUT participant --markers qsm
    python benchmarks/susceptibility.py OUT P/derivatives/truth

For each visit: how far the local field and the susceptibility are off (percent of the spread of
the truth, in voxels more than 8 mm from the edge of the brain), the slope of susceptibility on
its truth (without veins and bleeds), and the same of the inversion of the true field with the
noise of the scan.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nibabel as nib
import numpy as np

from csvdprep.imaging.images import load
from csvdprep.markers.qsm.science import invert
from csvdprep.science.dipole import Space, forward, main_field_axes
from csvdprep.science.local_field import depths, resharp, v_sharp

GIVEN = {'strength': 0.12, 'rounds': 40}


def off_pct(found: np.ndarray, truth: np.ndarray, where: np.ndarray) -> float:
    """Return the error of a map in percent of the spread of the truth."""
    found, truth = found[where] - found[where].mean(), truth[where] - truth[where].mean()
    return float(100 * np.linalg.norm(found - truth) / np.linalg.norm(truth))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('output', type=Path)
    parser.add_argument('truth', type=Path)
    args = parser.parse_args()
    print(
        'visit\tbackground\tlocal_pct\tchi_pct\tslope\tchi_of_true_field_pct\ttkd_of_true_field_pct'
    )
    for path in sorted(args.output.rglob('*_desc-total_fieldmap.nii.gz')):
        visit = path.name.split('_desc')[0].split('_space')[0]
        chi_path = next(args.truth.rglob(f'{visit}_*Chimap.nii.gz'), None)
        if chi_path is None:
            continue
        image = load(str(path))
        total = np.asanyarray(image.dataobj, dtype=np.float32)
        noise = load(str(path).replace('desc-total', 'desc-noise'))
        sd = np.asanyarray(noise.dataobj, dtype=np.float32)
        chi = np.asanyarray(load(str(chi_path)).dataobj, dtype=np.float32)
        mask = total != 0
        box = tuple(slice(i.min(), i.max() + 1) for i in np.nonzero(mask))
        total, sd, chi, mask = (a[box] for a in (total, sd, chi, mask))
        voxel_mm = nib.affines.voxel_sizes(image.affine)
        space = Space(total.shape, voxel_mm, main_field_axes(image.affine))
        field = forward(np.where(mask, chi, 0), space)
        core = depths(mask, voxel_mm) > 8
        sd = np.where(sd > 0, sd, np.median(sd[sd > 0]))
        noisy = field + sd * np.random.default_rng(0).standard_normal(field.shape).astype('f4')
        best = [
            off_pct(invert(noisy, sd, mask, space, method=m, **GIVEN), chi, core)
            for m in ('tv', 'tkd')
        ]
        for name, remove in (('resharp', resharp), ('vsharp', v_sharp)):
            local, kept = remove(total, mask, space)
            found = invert(local, sd, kept, space, method='tv', **GIVEN)
            plain = core & kept & (np.abs(chi) < 0.2)
            row = (
                off_pct(local, field, core & kept),
                off_pct(found, chi, core & kept),
                np.polyfit(chi[plain], found[plain], 1)[0],
                *best,
            )
            print(visit, name, *(f'{value:.3g}' for value in row), sep='\t', flush=True)


if __name__ == '__main__':
    main()
