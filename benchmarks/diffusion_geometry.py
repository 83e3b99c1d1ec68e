"""Measure one person in several geometries and tell how far diffusion measures agree.

Run as ``python benchmarks/diffusion_geometry.py DATA/diffusion FOLDER``: it runs the app once a
geometry of the participant ``canon`` and prints the values, their mean and their coefficient of
variation. NAWM needs a T1w, which this participant has not: MD is that of the skeleton. The last
rows are indices without reorientation, in the axes of the world and of the voxels, whatever the
angles of the head. Then it prints by how much the index varies when nothing changes but how the
twelve directions lie to the fibres: where bundles cross, one tensor is not what was measured, and
what it says depends on the directions.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi
from scipy.spatial.transform import Rotation

from csvdprep.bids.tsv import read_tsv
from csvdprep.cli.run import run
from csvdprep.imaging.points import map_points
from csvdprep.markers.alps.interfaces import template_centres
from csvdprep.markers.alps.science import alps_index, measure_alps
from csvdprep.science.tensors import fit_tensor

#: Acquisition and phase encoding.
GEOMETRIES = {
    'ortho': ('ortho', 'PA'),
    'ortho AP': ('ortho', 'AP'),
    'tiltax': ('tiltax', 'PA'),
    'tiltall': ('tiltall', 'PA'),
    'sagtiltall': ('sagtiltall', 'PA'),
    'headturn': ('headturn', 'PA'),
}
MEASURES = (
    'alps_reo_r2p5',
    'alps_reo_r5',
    'alps_pas_r2p5',
    'alps_lab_r2p5',
    'msmd_1e3',
    'psmd_1e4',
    'psmd_native_1e4',
    'alps_md_proj',
    'alps_fa_proj',
    'alps_fa_assoc',
    'alps_pitch_deg',
    'alps_roll_deg',
    'alps_yaw_deg',
    'alps_shift_mm',
    'qc_alps_aligned_pct',
)
UNREORIENTED = {'both': 'lab, any angle', 'grid': 'axes of voxels'}


def measure(data: Path, folder: Path, geometry: str) -> dict[str, float]:
    """Run the app on one geometry, unless that was done, and read its table."""
    out = folder / geometry.replace(' ', '')
    acquisition, direction = GEOMETRIES[geometry]
    table = out / 'sub-canon' / 'sub-canon_desc-csvdlong_measures.tsv'
    if not table.exists():
        folder.mkdir(parents=True, exist_ok=True)
        chosen = folder / f'{geometry}.json'
        which = {'acquisition': acquisition, 'direction': direction}
        chosen.write_text(json.dumps({'dwi': which}))
        run(
            [
                str(data),
                str(out),
                'participant',
                '--participant-label',
                'canon',
                '-w',
                str(folder / 'work' / geometry),
                '--bids-filter-file',
                str(chosen),
            ]
        )
    found = {
        row['measure']: float(row['value']) if row['value'] != 'n/a' else np.nan
        for row in read_tsv(table).rows
        if row['measure'] in MEASURES
    }
    return found | unreoriented(out / 'sub-canon' / 'dwi')


def unreoriented(folder: Path) -> dict[str, float]:
    """Compute the index as programs find it that do not turn tensors."""
    tensor, mask = (
        nib.load(next(folder.glob(f'*{end}.nii.gz')))
        for end in ('param-diffusivity_dwimap', 'space-dwi_desc-brain_mask')
    )
    inside = np.asanyarray(mask.dataobj) > 0
    near = ndi.binary_dilation(inside, iterations=2)
    positions = np.full((*inside.shape, 3), np.nan)
    positions[near] = map_points(
        nib.affines.apply_affine(tensor.affine, np.argwhere(near)),
        str(next(folder.glob('*_from-TractSegFA_to-dwi_mode-image_xfm.h5'))),
    )
    found = measure_alps(
        np.asanyarray(tensor.dataobj),
        tensor.affine,
        positions,
        mask=inside,
        centres=template_centres(),
    )
    return {text: found.unreoriented.get(name, np.nan) for name, text in UNREORIENTED.items()}


def schemes(data: Path) -> None:
    """Print by how much the index varies with the directions alone.

    Two regions of crossing bundles without noise: 60 % of projection fibres with 20 % of each
    other kind, 65 % of association fibres with 25 and 10 %; sticks of 1.7 and 0.3e-3 mm²/s.
    """
    rng = np.random.default_rng(0)
    table = data / 'sub-canon/dwi/sub-canon_acq-ortho_dir-PA_dwi'
    bvals = np.loadtxt(f'{table}.bval').ravel()
    axes = np.loadtxt(f'{table}.bvec').T
    sticks = [0.3e-3 * np.eye(3) + 1.4e-3 * np.outer(e, e) for e in np.eye(3)]
    mixtures = ((0.2, 0.2, 0.6), (0.1, 0.65, 0.25))
    for degrees in (10, 20, 35):
        found = []
        for _ in range(500):
            by = np.radians(degrees) * rng.normal(0, 3**-0.5, 3)
            turned = Rotation.from_rotvec(by).apply(axes)
            signals = np.array(
                [
                    sum(
                        f * np.exp(-bvals * np.einsum('ni,ij,nj->n', turned, d, turned))
                        for f, d in zip(mixture, sticks, strict=True)
                    )
                    for mixture in mixtures
                ]
            )
            fit = fit_tensor(signals[:, None, None], bvals, turned, np.ones((2, 1, 1), bool))
            found.append(alps_index(*fit.tensor[:, 0, 0]))
        spread = 100 * np.std(found) / np.mean(found)
        print(f'directions turned by {degrees} degrees: CV of one side {spread:.1f} %')


def table(data: Path, folder: Path) -> None:
    """Print the table."""
    found = {geometry: measure(data, folder, geometry) for geometry in GEOMETRIES}
    print(f'{"":16}' + ''.join(f'{name:>12}' for name in GEOMETRIES) + f'{"mean":>12}{"CV %":>8}')
    for name in (*MEASURES, *UNREORIENTED.values()):
        values = np.array([found[geometry][name] for geometry in GEOMETRIES])
        mean = np.nanmean(values)
        spread = 100 * np.nanstd(values, ddof=1) / abs(mean)
        cells = ''.join(f'{value:12.4g}' for value in values)
        print(f'{name:16}{cells}{mean:12.4g}{spread:8.1f}')


if __name__ == '__main__':
    table(Path(sys.argv[1]), Path(sys.argv[2]))
    schemes(Path(sys.argv[1]))
