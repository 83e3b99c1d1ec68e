"""Tissue segmentation against Atropos of ANTs, on the T1w of the demonstration.

Run the demonstration first; both see the same filled T1w, mask and warped template, in one
process and on one thread, one after the other::

    csvdprep demo DIR
    python benchmarks/tissues.py DIR

Printed for each first visit: CPU seconds, volumes and Dice with the truth of CSF, GM and WM.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from csvdprep.imaging import ants as engine  # before ants: it sets the number of threads

import ants  # isort: skip
import nibabel as nib
import numpy as np

from csvdprep.resources import resource
from csvdprep.science.tissues import segment_tissues


def main() -> None:
    """Print two rows per participant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path, help='folder of the demonstration')
    folder = parser.parse_args().folder
    print('| visit | method | CPU s | CSF, GM, WM mL | true mL | Dice |')
    print('|---|---|---|---|---|---|')
    for truth_file in sorted(folder.glob('raw/derivatives/truth/*/ses-1/anat/*T1w_dseg.nii.gz')):
        name = truth_file.name.split('_space')[0]
        stem = folder / 'derivatives' / name.replace('_', '/') / 'anat' / f'{name}_'
        kept = stem.parents[1] / 'log' / 'checkpoints' / f'{name}_desc-prefilled_T1w.nii.gz'
        image, mask = nib.load(kept), nib.load(f'{stem}desc-brain_mask.nii.gz')
        way = f'{stem}from-MNI152NLin2009aSym_to-T1w_mode-image_xfm.h5'
        priors = [
            engine.apply_transform(nib.load(resource(f'template_{tissue}')), image, way)
            for tissue in ('csf', 'gm', 'wm')
        ]
        truth, inside = np.asarray(nib.load(truth_file).dataobj), np.asarray(mask.dataobj) > 0
        ml = float(np.prod(nib.affines.voxel_sizes(image.affine))) / 1000
        for method, run in (('csvdprep', ours), ('Atropos', atropos)):
            start = time.process_time()
            labels = np.where(inside, run(image, mask, priors).argmax(0) + 1, 0)
            seconds = time.process_time() - start
            pairs = [(labels == k, truth == k) for k in (1, 2, 3)]
            found, true = (', '.join(f'{p[i].sum() * ml:.0f}' for p in pairs) for i in (0, 1))
            dice = ', '.join(f'{2 * (a & b).sum() / (a.sum() + b.sum()):.3f}' for a, b in pairs)
            print(f'| {name} | {method} | {seconds:.0f} | {found} | {true} | {dice} |', flush=True)


def ours(image, mask, priors) -> np.ndarray:
    """Return CSF, GM and WM of csvdprep."""
    atlas = np.stack([np.asanyarray(prior.dataobj) for prior in priors])
    return segment_tissues(
        image.get_fdata(dtype=np.float32),
        np.asarray(mask.dataobj),
        atlas,
        nib.affines.voxel_sizes(image.affine),
    ).probability


def atropos(image, mask, priors) -> np.ndarray:
    """Return CSF, GM and WM of Atropos: weight of the priors 0.25, MRF 0.1, 5 iterations."""
    found = ants.atropos(
        engine.to_ants(image),
        engine.to_ants(mask),
        i=[engine.to_ants(prior) for prior in priors],
        priorweight=0.25,
        m='[0.1,1x1x1]',
        c='[5,0]',
    )
    return np.stack([part.numpy() for part in found['probabilityimages']])


if __name__ == '__main__':
    main()
