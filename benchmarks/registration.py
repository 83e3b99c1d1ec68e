"""Cost and quality of the registration to the template, against one bare ``ants.registration``.

Both see the same bias-corrected brain and run on one thread, one after the other::

    python benchmarks/registration.py T1W.nii.gz [T1W.nii.gz ...]

Printed for each image: CPU seconds of bias correction, of our registration and of the bare one;
for both registrations the correlation with the template in its mask, and the overlap (Dice) of the
template's lateral ventricles with those found in the patient.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from csvdprep.imaging import ants as engine  # before ants: it sets the number of threads

import ants  # isort: skip
import nibabel as nib
import numpy as np

from csvdprep.imaging.brain import extract_brain
from csvdprep.resources import template_file
from csvdprep.science.tissues import segment_tissues
from csvdprep.science.ventricles import lateral_ventricles


def timed(function, *arguments, **options):
    """Return the result of a call and its CPU seconds."""
    start = time.process_time()
    return function(*arguments, **options), time.process_time() - start


def ventricles_of(anat, mask, inverse) -> np.ndarray:
    """Return the lateral ventricles of the patient."""
    voxel_mm = nib.affines.voxel_sizes(anat.affine)
    priors = np.stack(
        [
            np.asanyarray(
                engine.apply_transform(
                    nib.load(template_file('probseg', label=label)), anat, inverse
                ).dataobj
            )
            for label in ('CSF', 'GM', 'WM')
        ]
    )
    structures = nib.load(template_file('dseg', atlas='csvdprep', desc='structures'))
    labels = np.asanyarray(
        engine.apply_transform(structures, anat, inverse, interpolation='nearest').dataobj
    )
    sides = np.where(labels <= 2, labels, 0)
    found = segment_tissues(anat.get_fdata(dtype=np.float32), mask, priors, voxel_mm)
    others = (priors[0] > 0.5) & (sides == 0)
    return lateral_ventricles(found.probability[0], sides, others, voxel_mm) > 0


def quality(brain, ventricles, transforms) -> tuple[float, float]:
    """Return correlation with the template and overlap of the ventricles there."""
    template, mask = (nib.load(template_file(kind)) for kind in ('T1w', 'mask'))
    structures = nib.load(template_file('dseg', atlas='csvdprep', desc='structures'))
    moved = engine.apply_transform(brain, template, transforms).get_fdata()
    inside = mask.get_fdata() > 0
    correlation = np.corrcoef(moved[inside], template.get_fdata()[inside])[0, 1]
    cavity = (
        engine.apply_transform(
            nib.Nifti1Image(ventricles.astype(np.float32), brain.affine), template, transforms
        ).get_fdata()
        > 0.5
    )
    labels = np.asanyarray(structures.dataobj)
    target = (labels == 1) | (labels == 2)
    return correlation, 2 * (cavity & target).sum() / (cavity.sum() + target.sum())


def main() -> None:
    """Print one row per image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('images', type=Path, nargs='+')
    print(
        '| image | N4 s | ours s | bare SyN s | ratio | r ours | r bare | LV ours | LV bare '
        '| peak MB |'
    )
    print('|---|---|---|---|---|---|---|---|---|---|')
    template, template_mask = (nib.load(template_file(kind)) for kind in ('T1w', 'mask'))
    for path in parser.parse_args().images:
        image = nib.load(path)
        mask = extract_brain(image)[0] > 0
        anat, n4_s = timed(engine.n4, image, mask)
        brain = nib.Nifti1Image(anat.get_fdata(dtype=np.float32) * mask, anat.affine)
        with tempfile.TemporaryDirectory() as folder:
            forward, inverse = Path(folder) / 'forward.h5', Path(folder) / 'inverse.h5'
            _, ours_s = timed(
                engine.register_to_template, anat, mask, template, template_mask, forward, inverse
            )
            ventricles = ventricles_of(anat, mask, inverse)
            ours = quality(brain, ventricles, forward)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            bare, bare_s = timed(
                ants.registration, engine.to_ants(template), engine.to_ants(brain), 'SyN'
            )
            theirs = quality(brain, ventricles, bare['fwdtransforms'])
        print(
            f'| {path.name} | {n4_s:.1f} | {ours_s:.1f} | {bare_s:.1f} | {ours_s / bare_s:.2f} '
            f'| {ours[0]:.3f} | {theirs[0]:.3f} | {ours[1]:.3f} | {theirs[1]:.3f} | {peak} |',
            flush=True,
        )


if __name__ == '__main__':
    main()
