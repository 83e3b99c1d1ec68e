"""Gather scans into which recent infarcts can be drawn.

    python -m training.infarct_heads HEADS_DIR --derivatives NAME=DERIVATIVES ... [--truth TRUTH]
    python -m training.infarct_heads HEADS_DIR --series NAME=SERIES.nii.gz ...

Of derivatives of csvdprep (``--markers infarcts``) the trace image, the ADC, and the anatomy on
their grid are taken, one head a visit; infarcts of a phantom that ``--truth`` has are noted.
A bare series, with its ``.bval`` beside it, is registered to the template by its brightness at
b = 0. Writes HEADS_DIR/NAME*.npz for ``training.infarct_fit``. Names of phantoms begin with
'phantom'; scans of one person have one name up to an underscore.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np

from csvdprep.imaging.ants import apply_transform, n4, register_to_template
from csvdprep.imaging.brain import extract_brain
from csvdprep.imaging.images import load
from csvdprep.imaging.transforms import write_linear
from csvdprep.interfaces.values import read_values
from csvdprep.markers.infarcts.inputs import TraceScan, shares
from csvdprep.preprocessing.trace_adc.science import B0_BELOW, isotropic
from csvdprep.resources import resource


def from_derivatives(visit: Path, truth: Path | None) -> dict | None:
    """Read what a visit has; None without a trace image."""

    def one(pattern: str) -> str:
        return str(sorted(visit.glob(pattern))[0])

    if not list(visit.glob('dwi/*_desc-preproc_trace.nii.gz')):
        return None
    space = TraceScan.read(
        one('dwi/*_desc-preproc_trace.nii.gz'),
        one('dwi/*_space-trace*_desc-brain_mask.nii.gz'),
        one('dwi/*_from-trace_*_xfm.txt'),
        one('anat/*_from-MNI*_xfm.h5'),
        one('anat/*_to-MNI*_xfm.h5'),
    )
    parts = shares(
        space.frame,
        one('anat/*_label-GM_probseg.nii.gz'),
        one('anat/*_label-CSF_probseg.nii.gz'),
        one('anat/*_desc-structures_dseg.nii.gz'),
    )
    values = read_values(Path(one('log/checkpoints/*_desc-traceadc_values.json')))
    head = _head(space, load(one('dwi/*_desc-preproc_ADC.nii.gz')), parts, values['trace_b'].value)
    if truth:
        masks = sorted(truth.glob('dwi/*_label-RSSI_mask.nii.gz'))
        if masks:
            head['own'] = (np.asanyarray(load(masks[0]).dataobj) > 0).astype(np.uint8)
    return head


def from_series(path: Path) -> dict:
    """Compute trace image and ADC, and register to the template."""
    series = load(path)
    bvals = np.loadtxt(str(path).replace('.nii.gz', '.bval')).ravel()
    data = np.asanyarray(series.dataobj, dtype=np.float32)
    plain = data[..., bvals < B0_BELOW].mean(axis=3)
    mixed = np.sqrt(np.maximum(plain * data[..., bvals >= B0_BELOW].mean(axis=3), 0))
    brain = np.asarray(extract_brain(nib.Nifti1Image(mixed, series.affine))[0]) > 0
    trace, adc, b = isotropic(data, bvals)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        forward, inverse = folder / 'forward.h5', folder / 'inverse.h5'
        register_to_template(
            n4(nib.Nifti1Image(plain, series.affine), brain),
            brain,
            load(resource('template')),
            load(resource('template_mask')),
            forward,
            inverse,
        )
        files = {'trace': trace, 'mask': brain.astype(np.uint8)}
        for key, values in files.items():
            nib.save(nib.Nifti1Image(values, series.affine), folder / f'{key}.nii.gz')
        space = TraceScan.read(
            *(str(folder / f'{key}.nii.gz') for key in files),
            str(write_linear(np.eye(4), folder / 'identity.txt')),
            str(inverse),
            str(forward),
        )
        for key in ('gm', 'csf', 'structures'):
            kind = 'nearest' if key == 'structures' else 'linear'
            moved = apply_transform(
                load(resource(f'template_{key}')),
                space.frame.image,
                str(inverse),
                interpolation=kind,
            )
            values = np.asanyarray(moved.dataobj).astype(np.float32)
            nib.save(nib.Nifti1Image(values, space.frame.image.affine), folder / f'{key}.nii.gz')
        parts = shares(
            space.frame, *(str(folder / f'{k}.nii.gz') for k in ('gm', 'csf', 'structures'))
        )
    return _head(space, nib.Nifti1Image(adc, series.affine), parts, b)


def _head(space: TraceScan, adc, parts: dict, b: float) -> dict:
    return {
        'trace': np.asanyarray(space.frame.image.dataobj, dtype=np.float32),
        'adc': np.asanyarray(adc.dataobj, dtype=np.float32),
        'brain': space.brain,
        'affine': space.frame.image.affine,
        'mirror': space.mirror.astype(np.float32),
        'air': space.near_air(),
        'b': float(b),
        **parts,
    }


def main() -> None:
    """Gather heads."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('heads', type=Path)
    parser.add_argument('--derivatives', nargs='*', default=[], metavar='NAME=FOLDER')
    parser.add_argument('--series', nargs='*', default=[], metavar='NAME=FILE')
    parser.add_argument('--truth', type=Path)
    asked = parser.parse_args()
    asked.heads.mkdir(parents=True, exist_ok=True)
    for item in asked.derivatives:
        name, _, folder = item.partition('=')
        for dwi in sorted(Path(folder).glob('sub-*/**/dwi')):
            visit = dwi.parent
            place = visit.relative_to(folder)
            head = from_derivatives(visit, asked.truth / place if asked.truth else None)
            if head:
                tag = str(place).replace('/', '').replace('-', '')
                np.savez_compressed(asked.heads / f'{name}{tag}.npz', **head)
    for item in asked.series:
        name, _, path = item.partition('=')
        np.savez_compressed(asked.heads / f'{name}.npz', **from_series(Path(path)))


if __name__ == '__main__':
    main()
