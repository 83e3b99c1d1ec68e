"""Draw each modality of the phantom beside a real scan of its kind.

    csvdprep phantom PHANTOM --preset full --participants 1
    csvdprep phantom CLINICAL --preset full --protocol clinical --participants 1
    python scripts/phantom_pictures.py SHARED_DATA PHANTOM CLINICAL docs/img

Needs dipy, for the colour maps of diffusion.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib as mpl

mpl.use('Agg')

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np

from csvdprep.bids.tsv import read_tsv

#: Heights of the slices in the part of the image that holds signal, 0 to 1.
LEVELS = (0.35, 0.5, 0.62, 0.75)


def straight(path: Path, volume: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Read an image in the order right, anterior, superior, with its voxel sizes."""
    image = nib.as_closest_canonical(nib.load(path))
    data = image.get_fdata(dtype=np.float32)
    if data.ndim == 4:
        data = data.mean(axis=3) if volume is None else data[..., volume]
    return np.nan_to_num(data), np.array(image.header.get_zooms()[:3])


def difference(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read an ASL series as mean control minus mean label."""
    image = nib.as_closest_canonical(nib.load(path))
    data = image.get_fdata(dtype=np.float32)
    table = read_tsv(path.with_name(path.name.replace('_asl.nii.gz', '_aslcontext.tsv')))
    control, label = (
        data[..., [row['volume_type'] == name for row in table.rows]].mean(axis=3)
        for name in ('control', 'label')
    )
    return control - label, np.array(image.header.get_zooms()[:3])


def colour(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Fit tensors and paint the main direction, weighted by FA."""
    from dipy.core.gradients import gradient_table
    from dipy.reconst.dti import TensorModel

    image = nib.load(path)
    stem = str(path).removesuffix('.nii.gz')
    bvals, bvecs = np.loadtxt(stem + '.bval'), np.loadtxt(stem + '.bvec')
    data = image.get_fdata(dtype=np.float32)
    table = gradient_table(np.where(bvals < 50, 0, bvals), bvecs=bvecs.T, b0_threshold=50)
    first = data[..., bvals < 50].mean(axis=3)
    fit = TensorModel(table).fit(data, mask=first > 0.25 * np.percentile(first, 95))
    turn = image.affine[:3, :3] / np.linalg.norm(image.affine[:3, :3], axis=0)
    turn = turn @ np.diag([-1 if np.linalg.det(turn) > 0 else 1, 1, 1])
    painted = np.abs(fit.evecs[..., 0] @ turn.T) * np.clip(np.nan_to_num(fit.fa), 0, 1)[..., None]
    painted = nib.as_closest_canonical(nib.Nifti1Image(painted.astype(np.float32), image.affine))
    return np.asarray(painted.dataobj) * 1.4, np.array(painted.header.get_zooms()[:3])


def swi(folder: Path, stem: str) -> tuple[np.ndarray, np.ndarray]:
    """Read the last echo's phase after a homodyne high-pass, radians."""
    phases = sorted(folder.glob(f'{stem}part-phase_*.nii.gz'))
    image = nib.as_closest_canonical(nib.load(phases[-1]))
    data = image.get_fdata(dtype=np.float32)
    data = data[..., -1] if data.ndim == 4 else data
    turns = np.exp(1j * data * np.pi / np.abs(data).max())
    spectrum = np.fft.fftshift(np.fft.fft2(turns, axes=(0, 1)), axes=(0, 1))
    window = np.ones(spectrum.shape[:2])
    for axis, size in enumerate(window.shape):
        k = np.abs(np.arange(size) - size // 2) / size
        window = window * (k < 0.06).reshape([-1 if a == axis else 1 for a in (0, 1)])
    low = np.fft.ifft2(np.fft.ifftshift(spectrum * window[..., None], axes=(0, 1)), axes=(0, 1))
    return np.angle(turns * np.conj(low)), np.array(image.header.get_zooms()[:3])


def draw(rows, path: Path) -> None:
    """Draw axial slices and a sagittal one, a row for each image."""
    fig, axes = plt.subplots(len(rows), 5, figsize=(12, 2.75 * len(rows)), squeeze=False)
    for line, (title, (data, zooms), limits) in zip(axes, rows, strict=True):
        grey = np.abs(data) if data.ndim == 3 else data.max(axis=3)
        inside = np.argwhere(grey > 0.2 * np.percentile(grey, 98))
        low, high = np.percentile(inside, [1, 99], axis=0).astype(int)
        bounds = limits or np.percentile(data, [1, 99.6])
        for place, ax in zip((*LEVELS, None), line, strict=True):
            axis = 0 if place is None else 2
            index = int(low[axis] + (high - low)[axis] * (place or 0.52))
            cut = np.take(data, index, axis)
            edges = [z for i, z in enumerate(zooms) if i != axis]
            shown = cut.transpose(1, 0, *range(2, cut.ndim))
            shown = np.clip(shown, 0, 1) if data.ndim == 4 else shown
            ax.imshow(
                shown,
                origin='lower',
                cmap='gray',
                vmin=bounds[0],
                vmax=bounds[1],
                aspect=edges[1] / edges[0],
            )
            ax.axis('off')
        line[0].set_title(title, loc='left', fontsize=9)
    fig.tight_layout(pad=0.3)
    fig.savefig(path, dpi=70, pil_kwargs={'quality': 80})
    plt.close(fig)


def find(folder: Path, pattern: str) -> Path:
    """Return the first file of a dataset that matches."""
    return sorted(folder.glob(f'sub-*/ses-*/{pattern}'))[0]


def main() -> None:
    """Draw all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ('shared', 'phantom', 'clinical', 'out'):
        parser.add_argument(name, type=Path)
    args = parser.parse_args()
    real, made, thick, out = args.shared, args.phantom, args.clinical, args.out
    msc = real / 'clinical/sub-04/ses-1/anat/sub-04_ses-1'
    mni = real / 'wmh-reference/openms-mni/sub-19/anat/sub-19_space-MNI152_desc-brain'
    draw(
        [
            ('T1w, real, thick slices', straight(f'{msc}_T1w.nii.gz'), None),
            ('T1w, real, 1 mm, brain only', straight(f'{mni}_T1w.nii.gz'), None),
            ('T1w, phantom', straight(find(made, 'anat/*_T1w.nii.gz')), None),
            ('FLAIR, real, thick slices', straight(f'{msc}_FLAIR.nii.gz'), None),
            ('FLAIR, phantom, clinical', straight(find(thick, 'anat/*_FLAIR.nii.gz')), None),
            ('FLAIR, real, 1 mm, brain only', straight(f'{mni}_FLAIR.nii.gz'), None),
            ('FLAIR, phantom, research', straight(find(made, 'anat/*_FLAIR.nii.gz')), None),
            ('T2w, real, thick slices', straight(f'{msc}_T2w.nii.gz'), None),
            ('T2w, phantom, clinical', straight(find(thick, 'anat/*_T2w.nii.gz')), None),
        ],
        out / 'phantom_structural.jpg',
    )
    dwi = real / 'diffusion/sub-siemens/dwi/sub-siemens_dir-PA_dwi.nii.gz'
    slab = real / 'diffusion/sub-philips/dwi/sub-philips_dwi.nii.gz'
    own = find(made, 'dwi/*_dwi.nii.gz')
    draw(
        [
            ('b = 0, real (Siemens, 3 mm)', straight(dwi, 0), None),
            ('b = 0, phantom', straight(own, 0), None),
            ('b = 1000, real (Philips slab)', straight(slab, 6), None),
            ('b = 1000, phantom', straight(own, 4), None),
            ('direction, real (Siemens)', colour(dwi), None),
            ('direction, phantom', colour(own), None),
        ],
        out / 'phantom_diffusion.jpg',
    )
    asl = real / 'perfusion/sub-01/perf/sub-01_asl.nii.gz'
    draw(
        [
            ('pCASL mean, real', straight(asl), None),
            ('pCASL mean, phantom', straight(find(made, 'perf/*_asl.nii.gz')), None),
            (
                'control - label, real (delay 0.2 s: label still in arteries)',
                difference(asl),
                None,
            ),
            (
                'control - label, phantom (delay 2 s)',
                difference(find(made, 'perf/*_asl.nii.gz')),
                None,
            ),
            ('DCE, phantom: before contrast', straight(find(made, 'perf/*_dce.nii.gz'), 1), None),
            ('DCE, phantom: first pass', straight(find(made, 'perf/*_dce.nii.gz'), 4), None),
        ],
        out / 'phantom_perfusion.jpg',
    )
    crop = real / 'swi-reference'
    anat = find(made, 'anat/*echo-1_part-mag_MEGRE.nii.gz').parent
    last = sorted(anat.glob('*part-mag_MEGRE.nii.gz'))[-1]
    draw(
        [
            (
                'magnitude of the last echo, real (crop)',
                straight(crop / 'crop3echo_part-mag_MEGRE.nii.gz', 2),
                None,
            ),
            ('magnitude of the last echo, phantom', straight(last), None),
            ('phase after high-pass, real (crop)', swi(crop, 'crop3echo_'), (-1, 1)),
            ('phase after high-pass, phantom', swi(anat, '*'), (-1, 1)),
            ('TOF, phantom', straight(find(made, 'anat/*_angio.nii.gz')), None),
        ],
        out / 'phantom_gradient_echo.jpg',
    )
    print(json.dumps(sorted(p.name for p in out.glob('phantom_*.jpg'))))


if __name__ == '__main__':
    main()
