"""Compare contrast, noise and shading of the phantom with those of real scans.

One estimator measures both: three intensity classes of the T1w inside the brain (lesions left
out), their cores carried to the FLAIR by world coordinates. Run as
``python benchmarks/phantom_contrast.py SHARED_DATA PHANTOM [PICTURE]`` after, for instance,
``csvdprep phantom PHANTOM --preset demo --protocol clinical research --sites 2 --participants 4``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.processing import resample_from_to
from scipy import ndimage as ndi

from csvdprep.imaging.brain import extract_brain
from csvdprep.science.normalise import histogram_peak

COLUMNS = (
    'T1 gm/wm',
    'T1 csf/wm',
    'T1 wmh/wm',
    'FL gm/wm',
    'FL csf/wm',
    'FL wmh/wm',
    'T1 noise',
    'FL noise',
    'T1 shade',
    'FL shade',
    'T1 CNR',
    'FL CNR',
    'T1 peak',
    'T1 width',
    'FL peak',
    'FL width',
    'WMH mL',
)


def measure(t1w, flair, brain, lesion) -> tuple[dict[str, float], list]:
    """Return ratios of class medians, noise and shading relative to white matter.

    CNR is that of grey and white matter; peak and width are those of the histogram of the brain,
    relative to white matter. The histograms are returned too.
    """
    steps = np.array(t1w.header.get_zooms()[:3])
    values = t1w.get_fdata(dtype=np.float32)
    dark = resample_from_to(flair, t1w, order=1).get_fdata(dtype=np.float32)
    wmh = np.zeros(brain.shape, bool)
    if lesion is not None:
        wmh = resample_from_to(lesion, t1w, order=0).get_fdata() > 0.5
    inner = ndi.distance_transform_edt(brain, sampling=steps) > 4
    near = ndi.binary_dilation(wmh, iterations=2)
    flat = values / (_smooth(values, brain, steps, 25) + 1e-6)
    use = inner & ~near & (dark > 0)
    centres = np.quantile(flat[use], [0.05, 0.4, 0.8])
    for _ in range(30):
        edges = (centres[1:] + centres[:-1]) / 2
        label = np.digitize(flat, edges)
        centres = np.array([np.median(flat[use & (label == k)]) for k in range(3)])
    plane = np.ones((3, 3, 1), bool) if steps[2] > 2 * steps[0] else np.ones((3, 3, 3), bool)
    core = [use & ndi.binary_erosion(label == k, plane) for k in range(3)]
    out, histograms = {'WMH mL': float(wmh.sum() * np.prod(steps) / 1000)}, []
    for name, image in (('T1', values), ('FL', dark)):
        csf, gm, wm = (float(np.median(image[part])) for part in core)
        out |= {f'{name} gm/wm': gm / wm, f'{name} csf/wm': csf / wm}
        deep = ndi.binary_erosion(wmh) if ndi.binary_erosion(wmh).sum() > 50 else wmh
        out[f'{name} wmh/wm'] = float(np.median(image[deep])) / wm if deep.any() else np.nan
        grid, where = image, core[2]
        if name == 'FL':
            grid = flair.get_fdata(dtype=np.float32)
            where = (
                resample_from_to(
                    nib.Nifti1Image(core[2].astype(np.uint8), t1w.affine), flair, order=0
                ).get_fdata()
                > 0
            )
        axis = int(np.argmin(nib.affines.voxel_sizes((t1w if name == 'T1' else flair).affine)))
        step = np.diff(grid, n=2, axis=axis)
        middle = np.take(where, range(1, where.shape[axis] - 1), axis)
        out[f'{name} noise'] = float(
            1.4826 * np.median(np.abs(step[middle])) / np.sqrt(6) / np.median(grid[where])
        )
        out[f'{name} CNR'] = abs(1 - gm / wm) / out[f'{name} noise']
        peak, width = histogram_peak(image[use])
        out |= {f'{name} peak': peak / wm, f'{name} width': width / wm}
        bins = np.linspace(0, 1.8, 61)
        histograms.append(np.histogram(image[use] / wm, bins, density=True)[0])
        shade = _smooth(image, core[2], steps, 15)[core[2]] / wm
        out[f'{name} shade'] = float(shade.std())
    return out, histograms


def draw(histograms: dict[str, list], path: Path) -> None:
    """Draw the histograms of all cases over each other."""
    from matplotlib.figure import Figure

    figure = Figure((11, 4), layout='constrained')
    centres = np.linspace(0.015, 1.785, 60)
    for panel, modality in zip(figure.subplots(1, 2), ('T1w', 'FLAIR'), strict=True):
        for name, both in histograms.items():
            ours = 'phantom' in name
            panel.plot(
                centres,
                both[modality == 'FLAIR'],
                lw=1.8 if ours else 1,
                color='tab:red' if ours else '0.5',
            )
        panel.set(title=modality, xlabel='intensity / white matter', ylabel='density')
    panel.plot([], [], color='tab:red', label='phantom')
    panel.plot([], [], color='0.5', label='real')
    panel.legend(frameon=False)
    figure.savefig(path, dpi=80)


def _smooth(image, mask, steps, fwhm):
    sigma = fwhm / 2.355 / steps
    weight = ndi.gaussian_filter(mask.astype(np.float32), sigma)
    return ndi.gaussian_filter(image * mask, sigma) / np.maximum(weight, 1e-3)


def cases(data: Path, demo: Path):
    """Yield name, T1w, FLAIR and lesion mask of each case."""
    for sub in ('19', '26'):
        stem = data / 'wmh-reference/openms-mni' / f'sub-{sub}/anat/sub-{sub}_space-MNI152'
        yield (
            f'openms {sub}',
            *(
                f'{stem}_{end}.nii.gz'
                for end in (
                    'desc-brain_T1w',
                    'desc-brain_FLAIR',
                    'label-lesion_desc-consensus_mask',
                )
            ),
        )
    for sub in ('104252', '105074', '105911'):
        stem = data / 'wmh-reference/simventwmh' / f'sub-{sub}/anat/sub-{sub}'
        yield (
            f'simvent {sub}',
            *(
                f'{stem}_{end}.nii.gz'
                for end in ('space-FLAIR_T1w', 'FLAIR', 'label-abWMH_desc-manual_mask')
            ),
        )
    for sub, ses in (('01', '2'), ('04', '1'), ('12', '1'), ('20', '2')):
        stem = data / 'clinical' / f'sub-{sub}/ses-{ses}/anat/sub-{sub}_ses-{ses}'
        yield f'clinical {sub}', f'{stem}_T1w.nii.gz', f'{stem}_FLAIR.nii.gz', None
    for flair in sorted(demo.glob('sub-*/ses-*/anat/*_FLAIR.nii.gz')):
        name = flair.relative_to(demo).as_posix().removesuffix('_FLAIR.nii.gz')
        yield (
            f'phantom {name.split("_")[-2][-2:]} {name[-1]}',
            *(
                str(demo / part)
                for part in (
                    f'{name}_T1w.nii.gz',
                    f'{name}_FLAIR.nii.gz',
                    f'derivatives/truth/{name}_space-FLAIR_label-WMH_mask.nii.gz',
                )
            ),
        )


def main(data: Path, demo: Path, picture: Path | None = None) -> None:
    """Print the table, draw the histograms."""
    histograms = {}
    print(f'{"":16}' + ''.join(f'{name:>10}' for name in COLUMNS))
    for name, *paths in cases(data, demo):
        t1w, flair, lesion = paths
        t1w, flair = nib.load(t1w), nib.load(flair)
        lesion = nib.load(lesion) if lesion else None
        brain = t1w.get_fdata() > 0 if 'openms' in name else extract_brain(t1w)[0] > 0
        if 'phantom' in name:
            # The head moved between the scans; real ones of one visit agree by their headers.
            import ants

            fixed, moving = (
                ants.resample_image(ants.image_read(path), (3, 3, 3)) for path in paths[:2]
            )
            moved = ants.registration(fixed, moving, 'Rigid')['fwdtransforms'][0]
            matrix = _ras(ants.read_transform(moved))
            for image in (flair, lesion):
                image.set_sform(matrix @ image.affine)
        row, histograms[name] = measure(t1w, flair, brain, lesion)
        print(f'{name:16}' + ''.join(f'{row[key]:10.3f}' for key in COLUMNS), flush=True)
    if picture:
        draw(histograms, picture)


def _ras(transform) -> np.ndarray:
    """Return the RAS matrix from moving to fixed of an ITK affine transform (fixed to moving)."""
    parameters, centre = transform.parameters, np.array(transform.fixed_parameters)
    linear = np.array(parameters[:9]).reshape(3, 3)
    lps = np.eye(4)
    lps[:3, :3] = linear
    lps[:3, 3] = np.array(parameters[9:]) + centre - linear @ centre
    flip = np.diag([-1.0, -1, 1, 1])
    return np.linalg.inv(flip @ lps @ flip)


if __name__ == '__main__':
    main(*map(Path, sys.argv[1:]))
