"""Compare ways to find the brain on the clinical scans, against the source's own brain masks.

Candidates: the two networks of `extract_brain`, and the template's mask brought to the image by an
affine registration (mutual information), cut by an Otsu threshold. The reference masks lie
in the common space of each patient and are brought to each image by the source's transforms::

    python benchmarks/brain_masks.py ../shared/data/clinical [sub-01_ses-1_T1w ...]

Dice, volumes and 95th-percentile surface distances are printed as a Markdown table.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from csvdprep.imaging import ants
from csvdprep.imaging.brain import extract_brain
from csvdprep.imaging.images import resample
from csvdprep.imaging.transforms import read_linear
from csvdprep.resources import template_file
from csvdprep.science.morphology import fill_holes, largest_component, open_mm


def by_template(image) -> np.ndarray:
    """Return the template's mask, moved by an affine registration and cut by a threshold."""
    data = np.maximum(image.get_fdata(dtype=np.float32), 0)
    head = data > threshold_otsu(data[data > 0])
    voxel_mm = nib.affines.voxel_sizes(image.affine)
    template, mask = (nib.load(template_file(kind)) for kind in ('T1w', 'mask'))
    fixed = ants._brain_at(template, mask.get_fdata() > 0, 2.0, 8.0)
    moving = ants._brain_at(image, np.ones(image.shape, bool), 1.5)
    matrix = ants._register(fixed, moving, [ants._linear('Rigid'), ants._linear('Affine')])[0]
    warped = resample(mask, image, matrix=np.linalg.inv(matrix), order=0) > 0
    return fill_holes(largest_component(open_mm(warped & head, voxel_mm, 2.0)))


def by_network(image) -> np.ndarray:
    """Return the mask that csvdprep uses."""
    return extract_brain(image)[0] > 0


def reference(data: Path, subject: str, session: str, contrast: str, image) -> np.ndarray:
    """Return the source's brain mask on the grid of the image."""
    folder = data / 'derivatives' / 'reference' / subject
    stem = f'{subject}_{session}_from'
    xfm = folder / session / 'anat'
    # Point of FLAIR to point of the common space.
    matrix = np.linalg.inv(read_linear(xfm / f'{stem}-FLAIR_to-common_mode-image_xfm.txt'))
    if contrast != 'FLAIR':
        moved = read_linear(xfm / f'{stem}-{contrast}_to-FLAIR_mode-image_xfm.txt')
        matrix = matrix @ np.linalg.inv(moved)
    mask = nib.load(folder / 'anat' / f'{subject}_space-common_desc-brain_mask.nii.gz')
    return resample(mask, image, matrix=matrix, order=0) > 0


def surface_distance(first, second, voxel_mm) -> float:
    """Return the 95th percentile of the distances between two surfaces, in mm."""
    edges = [mask & ~ndimage.binary_erosion(mask) for mask in (first, second)]
    away = [ndimage.distance_transform_edt(~edge, voxel_mm) for edge in edges]
    return float(np.percentile(np.r_[away[0][edges[1]], away[1][edges[0]]], 95))


def main() -> None:
    """Print one row per image and candidate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path)
    parser.add_argument('only', nargs='*')
    given = parser.parse_args()
    print('| image | candidate | CPU s | mL | reference mL | Dice | HD95 mm |')
    print('|---|---|---|---|---|---|---|')
    for path in sorted(given.data.glob('sub-*/ses-*/anat/*.nii.gz')):
        name = path.name.removesuffix('.nii.gz')
        if given.only and name not in given.only:
            continue
        image = nib.load(path)
        truth = reference(given.data, *name.split('_'), image)
        voxel_mm = nib.affines.voxel_sizes(image.affine)
        scale = np.prod(voxel_mm) / 1000
        for label, engine in (('network', by_network), ('template', by_template)):
            start = time.process_time()
            mask = engine(image)
            seconds = time.process_time() - start
            dice = 2 * (mask & truth).sum() / (mask.sum() + truth.sum())
            print(
                f'| {name} | {label} | {seconds:.0f} | {mask.sum() * scale:.0f} '
                f'| {truth.sum() * scale:.0f} | {dice:.3f} '
                f'| {surface_distance(mask, truth, voxel_mm):.1f} |',
                flush=True,
            )


if __name__ == '__main__':
    main()
