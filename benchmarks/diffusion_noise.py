"""Bias and spread of the diffusion markers against the signal-to-noise ratio.

    python benchmarks/diffusion_noise.py FOLDER --repeats 6 --nprocs 2

Makes a phantom whose diffusion series (32 directions, 2 mm) has no noise, motion or distortion,
and runs the application on it once. Noise of several sizes (Rician; signal-to-noise ratio of white
matter at b = 0) is then added to the series as acquired, it is cleaned as the application does,
and tensors and markers are computed anew by the application's own nodes. The transforms stay those
of the series without noise, so that the table shows what noise does to the measures themselves.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi

from csvdprep.markers.alps.interfaces import MeasureAlps
from csvdprep.markers.nawm.interfaces import WhiteMatterDiffusion
from csvdprep.markers.penumbra.interfaces import Penumbra
from csvdprep.markers.psmd.interfaces import Psmd
from csvdprep.phantom.dataset.design import draw_persons, with_disease
from csvdprep.phantom.dataset.make import make_phantom
from csvdprep.phantom.dataset.presets import get_preset
from csvdprep.phantom.scanner.scan import rician
from csvdprep.preprocessing.dwi_denoise.science.denoise import denoise, without_floor
from csvdprep.preprocessing.tensors.interfaces import FitTensors

SNRS = (10, 15, 20, 30, 50)
COLUMNS = (
    'alps_reo_r2p5',
    'alps_reo_r5',
    'alps_pas_r2p5',
    'psmd_1e4',
    'psmd_native_1e4',
    'md_nawm',
    'fa_nawm',
    'fw_nawm',
    'pen_slope_md',
    'pen_slope_md_pv',
    'pen_slope_md_deep',
    'pen_slope_fw',
    'pen_delta_md',
)
#: What the nodes take: the end of the name of the file.
FILES = {
    'dwi_mask': 'space-dwi_desc-brain_mask.nii.gz',
    'dwi_bval': 'desc-preproc_dwi.bval',
    'dwi_bvec': 'desc-preproc_dwi.bvec',
    'dwi_to_anat': 'from-dwi_to-T1w_mode-image_xfm.txt',
    'flair_to_anat': 'from-FLAIR_to-T1w_mode-image_xfm.txt',
    'dwi_to_fa': 'from-dwi_to-TractSegFA_mode-image_xfm.h5',
    'fa_to_dwi': 'from-TractSegFA_to-dwi_mode-image_xfm.h5',
    'wm_probseg': 'label-WM_probseg.nii.gz',
    'gm_probseg': 'label-GM_probseg.nii.gz',
    'csf_probseg': 'label-CSF_probseg.nii.gz',
    'ventricles': 'desc-ventricles_dseg.nii.gz',
    'structures_dseg': 'atlas-csvdprep_desc-structures_dseg.nii.gz',
    'wmh_mask': 'space-FLAIR_label-WMH_mask.nii.gz',
    'zones_dseg': 'space-FLAIR_desc-wmhzone_dseg.nii.gz',
    'flair_preproc': 'desc-preproc_FLAIR.nii.gz',
}


def prepare(folder: Path) -> None:
    """Make the phantom, and run the application on it."""
    preset = get_preset('demo')
    still = replace(
        preset.protocols['dwi'],
        snr=float('inf'),
        motion=0,
        eddy_hz=0,
        distortion=False,
        reverse=False,
        gre=None,
    )
    preset = replace(preset, protocols=dict(preset.protocols) | {'dwi': still})
    if not (folder / 'raw/dataset_description.json').exists():
        make_phantom(
            folder / 'raw',
            with_disease(draw_persons(1), {'wmh_ml': 15.0}),
            preset,
            modalities=('T1w', 'FLAIR', 'dwi'),
        )
    command = [sys.executable, '-m', 'csvdprep', folder / 'raw', folder / 'out', 'participant']
    subprocess.run([*command, '-w', folder / 'work', '--nprocs', '2'], check=True)


def measure(job: tuple[Path, float, int, bool]) -> dict[str, float]:
    """Add noise, and compute the markers."""
    folder, snr, seed, clean = job
    out = next((folder / 'out').glob('sub-*/ses-*'))
    files = {name: _one(out, end) for name, end in FILES.items()}
    image = nib.load(next((folder / 'raw').glob('sub-*/ses-*/dwi/*_dwi.nii.gz')))
    data = np.asanyarray(image.dataobj, dtype=np.float32)
    bvals = np.loadtxt(files['dwi_bval']).ravel()
    mask = np.asanyarray(nib.load(files['dwi_mask']).dataobj) > 0
    truth = nib.load(_one(out, 'param-md_dwimap.nii.gz'))
    white = mask & (np.asanyarray(truth.dataobj) < 0.9e-3)
    level = float(np.median(data[..., bvals == 0].mean(axis=3)[white]))
    rng = np.random.default_rng([seed, int(10 * min(snr, 1e6))])
    if np.isfinite(snr):
        data = np.stack(
            [rician(data[..., v], level / snr, rng) for v in range(len(bvals))], axis=3
        )
    if clean:
        data = without_floor(*denoise(data, ndi.binary_dilation(mask, iterations=3)))
    with TemporaryDirectory() as place:
        series = Path(place) / 'dwi.nii'
        nib.Nifti1Image(data.astype(np.float32), image.affine).to_filename(series)
        quality = Path(place) / 'quality.json'
        quality.write_text(json.dumps({'qc_dwi_snr_b0': {'value': min(snr, 1000)}}))
        files |= {'dwi_preproc': series, 'dwi_denoise_values': quality}
        found = {}
        for number, node in enumerate(
            (FitTensors, WhiteMatterDiffusion, Penumbra, Psmd, MeasureAlps)
        ):
            where = Path(place) / str(number)
            where.mkdir()
            takes = {
                name: str(path)
                for name, path in files.items()
                if name in node.input_spec.class_editable_traits()
            }
            made = node(**takes).run(cwd=str(where)).outputs.trait_get()
            files |= {
                name: path
                for name, path in made.items()
                if name.startswith('dwi_') or name == 'tensors_values'
            }
            for name, path in made.items():
                if name.endswith('_values'):
                    found |= json.loads(Path(path).read_text())
        return {name: found[name]['value'] for name in COLUMNS}


def _one(folder: Path, end: str) -> Path:
    return next(path for path in sorted(folder.rglob(f'*{end}')) if '/log/' not in str(path))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path)
    parser.add_argument('--repeats', type=int, default=6)
    parser.add_argument('--nprocs', type=int, default=2)
    parser.add_argument('--clean-only', action='store_true', help='leave out raw series')
    given = parser.parse_args()
    prepare(given.folder)
    ways = (True,) if given.clean_only else (True, False)
    jobs = [(given.folder, float('inf'), 0, False)]
    jobs += [
        (given.folder, snr, seed, clean)
        for clean in ways
        for snr in SNRS
        for seed in range(given.repeats)
    ]
    with ProcessPoolExecutor(given.nprocs) as pool:
        rows = list(pool.map(measure, jobs))
    true = rows[0]
    print('| | no noise | ' + ' | '.join(f'SNR {snr}' for snr in SNRS) + ' |')
    print('|---' * (len(SNRS) + 2) + '|')
    for clean in ways:
        print(f'| **{"MP-PCA" if clean else "as acquired"}** |' + ' |' * (len(SNRS) + 1))
        for name in COLUMNS:
            if not true[name]:
                continue
            cells = []
            for snr in SNRS:
                values = [
                    row[name]
                    for row, job in zip(rows, jobs, strict=True)
                    if job[1] == snr and job[3] is clean
                ]
                if any(value is None for value in values):
                    cells.append('n/a')
                    continue
                relative = 100 * (np.array(values) / true[name] - 1)
                cells.append(f'{relative.mean():+.1f} ± {relative.std(ddof=1):.1f} %')
            print(f'| `{name}` | {true[name]:.4g} | ' + ' | '.join(cells) + ' |')


if __name__ == '__main__':
    main()
