"""Compare FA and mean diffusivity with the maps of the scanner, before any correction.

    python benchmarks/diffusion_vendor.py SHARED_DATA/diffusion [OUTPUT [PICTURE]]

The tensors are fitted to the series as acquired (OUTPUT is not needed). Where OUTPUT holds two
folders AP and PA, in each of which the application was run on one of the two series alone
(``--bids-filter-file '{"dwi": {"direction": "AP"}}'``), it also tells how well their FA agrees
after correction, and draws both.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi

from csvdprep.imaging.dwi_series import find_brain
from csvdprep.science.gradient_table import world_directions
from csvdprep.science.tensors import fit_tensor, measures


def raw_maps(data: Path, direction: str):
    """Return the affine, the brain, and FA and MD of a series as acquired, by kind of fit."""
    stem = data / f'sub-siemens/dwi/sub-siemens_dir-{direction}_dwi'
    image = nib.load(f'{stem}.nii.gz')
    series = np.asanyarray(image.dataobj, dtype=np.float32)
    bvals = np.loadtxt(f'{stem}.bval').ravel()
    directions = world_directions(np.loadtxt(f'{stem}.bvec').T, image.affine)
    brain = ndi.binary_erosion(find_brain(series, bvals, image.affine), iterations=2)
    out = {}
    for name, again in (('WLS', 0), ('WLS, reweighted', 2)):
        fit = fit_tensor(np.maximum(series, 1), bvals, directions, brain, reweightings=again)
        maps = measures(fit.tensor)
        out[name] = {'FA': maps.fa, 'ADC': maps.md}
    return image.affine, brain, out


def main(data: Path, output: Path | None = None, picture: Path | None = None) -> None:
    """Print the tables."""
    before = {}
    print('| series | fit | map | voxels | r | median ratio |\n|---|---|---|---|---|---|')
    for direction in ('AP', 'PA'):
        affine, brain, maps = raw_maps(data, direction)
        before[direction] = (maps['WLS, reweighted']['FA'], brain, affine)
        for method, found in maps.items():
            for name, values in found.items():
                path = (
                    data
                    / 'derivatives/vendor/sub-siemens/dwi'
                    / f'sub-siemens_dir-{direction}_desc-vendor_{name}.nii.gz'
                )
                theirs = np.asanyarray(nib.load(path).dataobj, dtype=np.float64)
                ours = values.astype(np.float64)
                good = brain & np.isfinite(ours) & (theirs > 0) & (ours > 0)
                scale = 10.0 ** np.round(np.log10(np.median(theirs[good]) / np.median(ours[good])))
                r = np.corrcoef(ours[good], theirs[good])[0, 1]
                ratio = np.median(ours[good] * scale / theirs[good])
                print(
                    f'| {direction} | {method} | {name} | {good.sum()} | {r:.4f} | {ratio:.4f} |'
                )
    if output is None:
        return
    after = {}
    for direction in ('AP', 'PA'):
        folder = output / direction
        fa = nib.load(next(folder.rglob('*[0-9]_model-tensor_param-fa_dwimap.nii.gz')))
        mask = nib.load(next(folder.rglob('*space-dwi_desc-brain_mask.nii.gz')))
        after[direction] = (np.asanyarray(fa.dataobj), np.asanyarray(mask.dataobj) > 0, fa.affine)
    print('\n| FA of AP and PA | r in both brains | mean absolute difference |\n|---|---|---|')
    for name, both in (('as acquired', before), ('corrected', after)):
        brain = before['AP'][1] & before['PA'][1] & after['AP'][1] & after['PA'][1]
        one, other = (np.nan_to_num(both[d][0])[brain] for d in ('AP', 'PA'))
        r, apart = np.corrcoef(one, other)[0, 1], np.abs(one - other).mean()
        print(f'| {name} | {r:.3f} | {apart:.4f} |')
    if picture:
        draw(before, after, picture)


def draw(before, after, path: Path) -> None:
    """Draw FA of both polarities, before and after, and their difference."""
    from matplotlib.figure import Figure

    figure = Figure((10, 7), layout='constrained')
    panels = figure.subplots(2, 3)
    for row, name, both in ((0, 'as acquired', before), (1, 'corrected', after)):
        level = before['AP'][0].shape[2] // 2
        one, other = (np.nan_to_num(both[d][0])[..., level].T for d in ('AP', 'PA'))
        pictures = (
            (one, 'AP', 0, 0.9, 'gray'),
            (other, 'PA', 0, 0.9, 'gray'),
            (one - other, 'AP - PA', -0.5, 0.5, 'RdBu'),
        )
        for panel, (values, title, low, high, colours) in zip(panels[row], pictures, strict=True):
            panel.imshow(values, origin='lower', vmin=low, vmax=high, cmap=colours)
            panel.set(title=f'{title}, {name}', xticks=[], yticks=[])
    figure.savefig(path, dpi=90)


if __name__ == '__main__':
    main(*map(Path, sys.argv[1:]))
