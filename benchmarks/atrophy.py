"""Lateral ventricles, tissue volumes and brain parenchymal fraction over atrophy, on phantoms.

Heads of known fractions, from 9 mL ventricles to 177 mL, symmetric and not, with shallow and deep
sulci, soft and crisp borders, are painted as MPRAGE (2 % noise, texture, and drift left),
registered to the template and segmented with their true brain masks, one after the other::

    python benchmarks/atrophy.py

Printed for each head: mL true and found, Dice of the ventricles, CPU seconds of the registration
and of tissues and ventricles; below, slopes and largest errors. ``--contrast FLAIR`` does the same
on slices of 6 mm with a bright rim around the ventricles, as a visit without T1w has it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from csvdprep.imaging import ants as engine  # before ants: it sets the number of threads

import nibabel as nib  # isort: skip
import numpy as np
from scipy import ndimage as ndi

from csvdprep.imaging.atlas import find_ventricles
from csvdprep.phantom.geometry.fields import smooth_noise
from csvdprep.phantom.head.anatomy import make_anatomy
from csvdprep.resources import resource, template_file
from csvdprep.science.tissues import segment_tissues

HEADS = (
    ('young', 1, {'ventricles_mm': -3.6}),
    ('healthy', 2, {}),
    ('atrophy 0.7', 3, {'ventricles_mm': 12, 'atrophy': 0.7}),
    ('atrophy 1.5', 3, {'ventricles_mm': 12, 'atrophy': 1.5}),
    ('atrophy 2.5', 3, {'ventricles_mm': 12, 'atrophy': 2.5}),
    ('large', 4, {'ventricles_mm': 20, 'atrophy': 0.7}),
    ('larger', 5, {'ventricles_mm': 30, 'atrophy': 1.0, 'sulci': 1}),
    ('huge', 6, {'ventricles_mm': 40, 'atrophy': 1.2, 'sulci': 2}),
    ('hydrocephalus', 7, {'ventricles_mm': 50, 'atrophy': 1.5, 'sulci': 3}),
    ('left, frontal', 8, {'ventricles_mm': (44, 14), 'atrophy': 0.7, 'lobar': {'frontal': 1.5}}),
    ('temporal', 10, {'ventricles_mm': 10, 'lobar': {'temporal': 3}}),
    ('crisp', 9, {'ventricles_mm': 6, 'sharpness': 6, 'sulci': 3, 'atrophy': 1}),
    ('crisp, atrophy', 9, {'ventricles_mm': 30, 'sharpness': 6, 'sulci': 6, 'atrophy': 3}),
)
#: Signal of CSF, GM, WM, white matter hyperintensity and the rest of the head.
LEVELS = {'T1w': (0.38, 0.86, 1.0, 1.0, 0.5), 'FLAIR': (0.25, 1.22, 1.0, 1.6, 0.3)}
#: Slices of a FLAIR in units of those of the head; width of the bright rim, mm.
SLICE, RIM_MM = 4, 3.0


def scan(seed: int, spacing: float, contrast: str, options: dict):
    """Return image, mask, fractions, ventricles and lesion of a head."""
    head = make_anatomy(seed, spacing=spacing, reach_mm=10, **options)
    share = np.stack([head.fractions[name] for name in ('csf', 'gm', 'wm')])
    ventricles = head.regions['ventricles']
    rim = np.zeros_like(ventricles)
    if contrast == 'FLAIR':
        near = ndi.distance_transform_edt(ventricles < 0.5) * spacing
        rim = share[2] * ((near > 0) & (near <= RIM_MM))
    rest = sum(part for name, part in head.fractions.items() if name not in ('csf', 'gm', 'wm'))
    rng = np.random.default_rng(seed)
    levels = LEVELS[contrast]
    image = sum(
        level * part
        for level, part in zip(
            levels, (share[0], share[1], share[2] - rim, rim, rest), strict=True
        )
    )
    image = image * np.exp(0.02 * smooth_noise(image.shape, 35 / spacing, rng))
    image = image * (1 + 0.02 * smooth_noise(image.shape, 1.0, rng))
    affine = head.affine
    if contrast == 'FLAIR':
        image, share, ventricles, rim = (thick(part) for part in (image, share, ventricles, rim))
        affine = affine @ np.diag([1, 1, SLICE, 1])
        affine[:3, 3] += (SLICE - 1) / 2 * head.affine[:3, 2]
    image = 250 * np.abs(image + 0.02 * rng.standard_normal(image.shape))
    return (
        nib.Nifti1Image(image.astype(np.float32), affine),
        share.sum(0) > 0.5,
        share,
        ventricles,
        rim > 0.5,
    )


def thick(part: np.ndarray) -> np.ndarray:
    """Average over the thickness of a slice."""
    last = part.shape[-1] // SLICE * SLICE
    return part[..., :last].reshape(*part.shape[:-1], -1, SLICE).mean(-1)


def registered(image, mask, lesion, contrast: str):
    """Return tissue and structures of the template, registered to an image."""
    maps = [nib.load(template_file('probseg', label=label)) for label in ('CSF', 'GM', 'WM')]
    with tempfile.TemporaryDirectory() as folder:
        way = Path(folder) / 'inverse.h5'
        engine.register_to_template(
            image,
            mask,
            nib.load(template_file(suffix='T1w', desc='brain')),
            nib.load(template_file(suffix='mask', desc='brain')),
            Path(folder) / 'forward.h5',
            way,
            tissues=maps if contrast == 'FLAIR' else None,
            exclude=lesion,
        )
        atlas = np.stack(
            [np.asanyarray(engine.apply_transform(part, image, way).dataobj) for part in maps]
        )
        labels = engine.apply_transform(
            nib.load(resource('template_structures')), image, way, interpolation='label'
        )
    return atlas, np.asanyarray(labels.dataobj)


def measure(image, mask, lesion, contrast: str):
    """Return fractions, ventricles and CPU seconds of both steps."""
    start = time.process_time()
    atlas, labels = registered(image, mask, lesion, contrast)
    middle = time.process_time()
    size = nib.affines.voxel_sizes(image.affine)
    found = segment_tissues(
        image.get_fdata(dtype=np.float32), mask, atlas, size, contrast=contrast, lesion=lesion
    ).probability
    ventricles = find_ventricles(found[0], mask, labels, atlas[0], size)
    return found, ventricles > 0, middle - start, time.process_time() - middle


def main() -> None:
    """Print one row per head, then slopes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--spacing', type=float, default=1.5, help='edge of the voxels, mm')
    parser.add_argument('--contrast', choices=list(LEVELS), default='T1w')
    given = parser.parse_args()
    print('| head | LV mL | Dice | GM mL | WM mL | BPF | CPU s |')
    print('|---|---|---|---|---|---|---|')
    rows = []
    for name, seed, options in HEADS:
        image, mask, share, inside, lesion = scan(seed, given.spacing, given.contrast, options)
        found, ventricles, registration, rest = measure(image, mask, lesion, given.contrast)
        ml = float(np.prod(nib.affines.voxel_sizes(image.affine))) / 1000
        brain = mask.sum() * ml
        (_, gm, wm), (_, own_gm, own_wm) = (
            part[:, mask].sum(1, dtype=float) * ml for part in (share, found)
        )
        row = (
            inside.sum(dtype=float) * ml,
            ventricles.sum() * ml,
            gm,
            own_gm,
            (gm + wm) / brain,
            (own_gm + own_wm) / brain,
        )
        rows.append(row)
        true = inside > 0.5
        dice = 2 * (true & ventricles).sum() / (true.sum() + ventricles.sum())
        print(
            f'| {name} | {row[0]:.1f} -> {row[1]:.1f} | {dice:.3f} | {gm:.0f} -> {own_gm:.0f} '
            f'| {wm:.0f} -> {own_wm:.0f} | {row[4]:.3f} -> {row[5]:.3f} '
            f'| {registration:.0f} + {rest:.0f} |',
            flush=True,
        )
    table = np.array(rows)
    worst = 100 * np.abs(table[:, 1] / table[:, 0] - 1).max()
    slopes = [np.polyfit(table[:, at], table[:, at + 1], 1)[0] for at in (0, 2, 4)]
    print(
        '\nSlopes: LV {:.2f}, GM {:.2f}, BPF {:.2f}.'.format(*slopes),
        f'Largest error of LV {worst:.1f} %.',
    )


if __name__ == '__main__':
    main()
