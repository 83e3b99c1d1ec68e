"""Build the FA template and the skeleton for PSMD from the file that the TractSeg wheel ships.

    python scripts/build_diffusion_template.py                  # fetches the wheel with pip
    python scripts/build_diffusion_template.py --wheel PATH     # uses one that is there
    python scripts/build_diffusion_template.py --check          # rebuild elsewhere and compare
    python scripts/build_diffusion_template.py --pictures       # also docs/img/templates_psmd.png

The skeleton follows tract-based spatial statistics (Smith 2006,
doi:10.1016/j.neuroimage.2006.02.024); what of it counts for PSMD follows Baykara 2016
(doi:10.1002/ana.24758). No file of FSL or of the PSMD tool is used.

The FA template is that of a brain of average size: its callosum spans 70 mm along y where that of
the ICBM 152 templates spans 76, and its top lies 6 mm lower. It is in no MNI space, though its
file's name says so. The structural template is therefore registered to it as the application
registers a patient (affine, then SyN, white matter in place of FA); structures, and the centres
that DTI-ALPS is defined by in MNI space, are carried over.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
from build_templates import ROOT, digest
from scipy import ndimage as ndi

from csvdprep.bids.tsv import read_tsv
from csvdprep.cli.environment import hold_threads
from csvdprep.imaging.ants import apply_transform, register_fa
from csvdprep.imaging.points import map_points
from csvdprep.markers.psmd.science import DIRECTIONS
from csvdprep.resources import template_file

SPACE = 'TractSegFA'
TRACTSEG = '2.10'
WHEEL_SHA256 = 'c959f71627e815934196adbba141f9b28e466c64bd0c989c679d25a5ca209b58'
FA_MEMBER = 'tractseg/resources/MNI_FA_template.nii.gz'
LICENCE_MEMBER = f'tractseg-{TRACTSEG}.dist-info/licenses/LICENSE'
#: Steps of the stored FA: rounding adds at most half of it.
FA_STEP = 1e-3
#: Grid of the skeleton: 1 mm, x = y = z = 0 is the centre of a voxel, x = 0 the middle plane.
SHAPE, FIRST_MM = (181, 217, 181), (-90.0, -126.0, -72.0)

#: Width (standard deviation, mm) over which FA is smoothed before ridges are sought: resampling
#: from 1.25 mm leaves a pattern that breaks the callosum into dashes.
SMOOTH_MM = 1.0
#: Offset of the centre of gravity, in voxels, above which a voxel lies beside its tract.
BESIDE = 0.1
#: FA above which ridges are sought, and above which they count for PSMD.
SEEK, KEEP = 0.2, 0.3
#: Least volume of a piece (mm³), of what counts and of the whole.
PIECE_MM3 = 100
#: The edge of the averaged brains has an FA of its own; ridges keep this distance from it, mm.
RIM_MM = 6.0
#: Fluid of the template: below this FA, and fluid in the structural template, whose ventricles
#: lie up to 1 mm aside of those of the FA template.
FLUID_FA, ASIDE_MM = 0.15, 1.0
#: Least distances from fluid and from structures, mm, and lowest slice.
FROM_FLUID_MM = 3.0
FROM_MM = {
    'cerebellum': 2.0,
    'septum pellucidum and fornix': 2.0,
    'brainstem': 1.0,
    'hippocampus': 1.0,
    'thalamus': 0.0,
}
LOWEST_Z = -35.0
#: Hypothalamus, basal forebrain, anterior commissure, chiasm: a box (mm) around the third
#: ventricle, |x| up to the first number.
MIDLINE_X, MIDLINE_Y, MIDLINE_Z = 12.0, (-35.0, 10.0), (-35.0, 10.0)
#: Centres of the regions of DTI-ALPS in MNI space, mm.
ALPS_MNI = {
    'left projection': (-26, -16, 27),
    'left association': (-38, -16, 27),
    'right projection': (26, -16, 27),
    'right association': (38, -16, 27),
}
#: 26 neighbours.
FULL = np.ones((3, 3, 3), bool)

NOTICE = f"""\
The FA template is the file {FA_MEMBER} of the Python package
TractSeg {TRACTSEG} (https://github.com/MIC-DKFZ/TractSeg), which is distributed under the Apache
License, Version 2.0, printed below. The package names no other origin of the file. Changes made
here: voxels were reordered to RAS+, values rounded to {FA_STEP:g} and stored as integers.
The skeleton is derived from it by scripts/build_diffusion_template.py of csvdprep and
distributed under the same licence.

"""

DESCRIPTION = {
    'Authors': ['Wasserthal J', 'Neher P', 'Maier-Hein KH'],
    'BIDSVersion': '1.1.0',
    'Curators': ['csvdprep developers'],
    'Identifier': SPACE,
    'License': 'See LICENSE file',
    'Name': 'FA template of TractSeg, the size of an average brain',
    'ReferencesAndLinks': [
        'https://doi.org/10.1016/j.neuroimage.2018.07.070',
        'https://github.com/MIC-DKFZ/TractSeg',
    ],
    'Species': 'Homo sapiens',
    'TemplateFlowVersion': '1.0.0',
}

_SOURCE = {
    'Sources': [f'TractSeg {TRACTSEG}: {FA_MEMBER}'],
    'License': 'Apache-2.0; see LICENSE',
    'Curators': ['csvdprep developers'],
}
SIDECARS = {
    'param-fa_dwimap': {
        'Description': 'Fractional anisotropy, mean of healthy adults. Origin and axes near those'
        ' of MNI templates, but smaller, the size of an average brain. Not symmetric.',
        'Units': 'arbitrary',
    },
    'desc-psmd_mask': {
        'Description': 'Part of the skeleton on which the peak width of skeletonised mean'
        f' diffusivity is measured: FA above {KEEP:g}, at least {FROM_FLUID_MM:g} mm from fluid of'
        ' the template, without fornix, hippocampus, thalamus, the walls of the third ventricle,'
        ' brainstem and cerebellum.',
        'ReferencesAndLinks': ['https://doi.org/10.1002/ana.24758'],
    },
    'desc-skeletondirection_dseg': {
        'Description': 'Skeleton of the white matter (middle sheets of tracts, FA above'
        f' {SEEK:g}). The label is the direction across the tract: see Directions.',
        'Directions': {str(k): step.tolist() for k, step in enumerate(DIRECTIONS, 1)},
        'ReferencesAndLinks': ['https://doi.org/10.1016/j.neuroimage.2006.02.024'],
    },
}


def read_wheel(wheel: Path | None) -> tuple[np.ndarray, np.ndarray, str]:
    """Return FA, affine (RAS+) and licence of the wheel, after checking that it is the one."""
    with tempfile.TemporaryDirectory() as scratch:
        if wheel is None:
            subprocess.run(
                [
                    sys.executable,
                    '-m',
                    'pip',
                    'download',
                    '--quiet',
                    '--no-deps',
                    '--dest',
                    scratch,
                    f'tractseg=={TRACTSEG}',
                ],
                check=True,
            )
            wheel = next(Path(scratch).glob('*.whl'))
        data = wheel.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != WHEEL_SHA256:
        raise SystemExit(f'{wheel}: sha256 {found} is not {WHEEL_SHA256} (TractSeg {TRACTSEG}).')
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        image = nib.Nifti1Image.from_bytes(gzip.decompress(archive.read(FA_MEMBER)))
        licence = archive.read(LICENCE_MEMBER).decode('utf-8')
    image = nib.as_closest_canonical(image)
    return np.asarray(image.dataobj, dtype=np.float64), image.affine, licence


def resample(fa: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Bring FA onto the grid of the skeleton (cubic splines)."""
    step = np.diag(affine)[:3]
    offset = (np.array(FIRST_MM) - affine[:3, 3]) / step
    fine = ndi.affine_transform(fa, np.diag(1 / step), offset, output_shape=SHAPE, order=3)
    return np.maximum(fine, 0)


def shifted(volume: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return for each voxel the value one step further; the borders are empty anyway."""
    return np.roll(volume, tuple(-step), (0, 1, 2))


def across(fa: np.ndarray) -> np.ndarray:
    """Return for each voxel the number of the direction that runs across its tract.

    Towards the centre of gravity of the 3 x 3 x 3 neighbourhood where that lies aside, else where
    FA falls most to both sides (second difference over squared length); then the most frequent
    direction of the neighbourhood.
    """
    units = DIRECTIONS / np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
    one, slope = np.ones(3), np.array([-1.0, 0, 1])
    total = _separable(fa, (one, one, one)) + 1e-9
    aside = np.stack(
        [
            _separable(fa, [slope if a == axis else one for a in range(3)]) / total
            for axis in range(3)
        ]
    )
    towards = np.abs(np.tensordot(units, aside, 1)).argmax(axis=0)
    fall = np.stack(
        [(2 * fa - shifted(fa, s) - shifted(fa, -s)) / (s @ s) for s in DIRECTIONS]
    ).argmax(axis=0)
    first = np.where(np.linalg.norm(aside, axis=0) > BESIDE, towards, fall)
    first[fa <= SEEK] = -1
    votes = [ndi.uniform_filter((first == k).astype(np.float32), 3) for k in range(13)]
    return np.argmax(votes, axis=0)


def _separable(volume: np.ndarray, kernels) -> np.ndarray:
    for axis, kernel in enumerate(kernels):
        volume = ndi.correlate1d(volume, kernel, axis=axis)
    return volume


def ridges(fa: np.ndarray) -> np.ndarray:
    """Return the whole skeleton: 1 to 13, the direction across it (`DIRECTIONS`); 0 elsewhere."""
    smooth = ndi.gaussian_filter(fa, SMOOTH_MM)
    direction = across(smooth)
    ridge = np.zeros(fa.shape, bool)
    for number, step in enumerate(DIRECTIONS):
        ridge |= (
            (direction == number)
            & (smooth >= shifted(smooth, step))
            & (smooth >= shifted(smooth, -step))
        )
    ridge &= (fa > SEEK) & (ndi.distance_transform_edt(brain_of(fa)) > RIM_MM)
    return np.where(large(ridge), direction + 1, 0).astype(np.uint8)


def brain_of(fa: np.ndarray) -> np.ndarray:
    """Return the brain of the FA template."""
    filled = ndi.binary_fill_holes(ndi.binary_opening(fa > 0.03, iterations=2))
    pieces, _ = ndi.label(filled)
    return pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()


def large(mask: np.ndarray) -> np.ndarray:
    """Drop the small pieces."""
    pieces, _ = ndi.label(mask, FULL)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return (sizes >= PIECE_MM3)[pieces]


class Structural:
    """The structural template, carried into the FA template.

    Parameters
    ----------
    fa : ndarray
        FA on the grid of the skeleton.
    folder : Path
        Where the transforms may be put.
    """

    def __init__(self, fa: np.ndarray, folder: Path) -> None:
        grid = np.eye(4)
        grid[:3, 3] = FIRST_MM
        self._like = nib.Nifti1Image(fa.astype(np.float32), grid)
        self._into, self._back = folder / 'into.h5', folder / 'back.h5'
        brain = np.asarray(nib.load(template_file('mask')).dataobj) > 0
        white = nib.load(template_file('probseg', label='WM'))
        register_fa(white, brain, self._like, self._into, self._back)

    def volume(self, path: Path, kind: str) -> np.ndarray:
        """Return a volume on the grid of the skeleton."""
        found = apply_transform(nib.load(path), self._like, [self._into], interpolation=kind)
        return np.asarray(found.dataobj)

    def points(self, points) -> np.ndarray:
        """Return where points of the structural template (mm, RAS+) lie in the FA template."""
        return map_points(np.asarray(points, float), str(self._back))


def for_psmd(fa: np.ndarray, skeleton: np.ndarray, structural: Structural) -> np.ndarray:
    """Return the part of the skeleton that counts: away from fluid, fornix, brainstem, ..."""
    labels = structural.volume(
        template_file('dseg', atlas='csvdprep', desc='structures'), 'nearest'
    ).astype(int)
    table = template_file('dseg', atlas='csvdprep', desc='structures', extension='.tsv')
    rows = read_tsv(table).rows

    def distance(*names: str) -> np.ndarray:
        wanted = [int(row['index']) for row in rows if row['name'].endswith(names)]
        return ndi.distance_transform_edt(~np.isin(labels, wanted))

    csf = structural.volume(template_file('probseg', label='CSF'), 'linear')
    fluid = (csf > 0.5) | (distance('lateral ventricle', 'third ventricle') <= ASIDE_MM)
    fluid &= (fa < FLUID_FA) & brain_of(fa)
    keep = (skeleton > 0) & (fa > KEEP)
    keep &= ndi.distance_transform_edt(~fluid) >= FROM_FLUID_MM
    for name, least in FROM_MM.items():
        keep &= distance(name) > least
    x, y, z = (np.arange(n) + a for n, a in zip(SHAPE, FIRST_MM, strict=True))
    box = [np.abs(x) <= MIDLINE_X]
    box += [(v >= a) & (v <= b) for v, (a, b) in ((y, MIDLINE_Y), (z, MIDLINE_Z))]
    keep[np.ix_(*box)] = False
    keep[:, :, z < LOWEST_Z] = False
    return large(keep)


def save(path: Path, data: np.ndarray, affine: np.ndarray, slope: float = 1.0) -> None:
    """Write a NIfTI whose bytes depend on the data alone."""
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units('mm', 'sec')
    image.set_sform(affine, 4)
    image.set_qform(affine, 4)
    image.header.set_slope_inter(slope, 0.0)
    image.header['descrip'] = b'csvdprep template'
    raw = io.BytesIO()
    nib.Nifti1Image.to_file_map(image, {'image': nib.FileHolder(fileobj=raw)})
    path.write_bytes(gzip.compress(raw.getvalue(), 9, mtime=0))


def build(folder: Path, wheel: Path | None) -> dict[str, str]:
    """Write all files below `folder`; return their checksums."""
    fa, affine, licence = read_wheel(wheel)
    stored = np.rint(fa / FA_STEP).astype(np.int16)
    fine = resample(stored * FA_STEP, affine)
    skeleton = ridges(fine)
    with tempfile.TemporaryDirectory() as scratch:
        structural = Structural(fine, Path(scratch))
        counts = for_psmd(fine, skeleton, structural)
        centres = structural.points(list(ALPS_MNI.values())).round(1)

    target = folder / f'tpl-{SPACE}'
    target.mkdir(parents=True, exist_ok=True)
    grid = np.eye(4)
    grid[:3, 3] = FIRST_MM
    stem = f'tpl-{SPACE}_res'
    images = {
        f'{stem}-125_param-fa_dwimap': (stored, affine, FA_STEP),
        f'{stem}-01_desc-psmd_mask': (counts.astype(np.uint8), grid, 1.0),
        f'{stem}-01_desc-skeletondirection_dseg': (skeleton, grid, 1.0),
    }
    for name, parts in images.items():
        save(target / f'{name}.nii.gz', *parts)
        sidecar = SIDECARS[name.split('_', 2)[2]] | _SOURCE
        if name.endswith('param-fa_dwimap'):
            sidecar['AlpsCentres'] = dict(zip(ALPS_MNI, centres.tolist(), strict=True))
        (target / f'{name}.json').write_text(json.dumps(sidecar, indent=2) + '\n', 'utf-8')
    grids = {'01': (grid, SHAPE), '125': (affine, fa.shape)}
    resolutions = {
        name: {
            'origin': where[:3, 3].tolist(),
            'shape': list(shape),
            'zooms': np.diag(where)[:3].tolist(),
        }
        for name, (where, shape) in grids.items()
    }
    described = json.dumps(DESCRIPTION | {'res': resolutions}, indent=2) + '\n'
    (target / 'template_description.json').write_text(described, 'utf-8')
    (target / 'LICENSE').write_text(NOTICE + licence, 'utf-8')
    return {str(p.relative_to(folder)): digest(p) for p in sorted(target.iterdir())}


def picture(folder: Path, path: Path) -> None:
    """Draw what counts for PSMD (green) and the rest of the skeleton (red) on FA."""
    from PIL import Image
    from template_pictures import mosaic

    stem = folder / f'tpl-{SPACE}_res'
    image = nib.load(f'{stem}-125_param-fa_dwimap.nii.gz')
    fa = resample(image.get_fdata(), image.affine)
    whole, counts = (
        np.asarray(nib.load(f'{stem}-01_desc-{name}.nii.gz').dataobj) > 0
        for name in ('skeletondirection_dseg', 'psmd_mask')
    )
    colours = np.array([[0, 0, 0], [1, 0.25, 0], [0, 1, 0.3]])
    planes = ((2, (-10, 4, 16, 28, 42)), (1, (-70, -44, -20, 6, 34)), (0, (-40, -26, -14, 0)))
    drawn = mosaic(np.minimum(fa, 0.8), whole.astype(int) + counts, colours, FIRST_MM, planes)
    drawn = drawn.repeat(2, axis=0).repeat(2, axis=1)
    rgb = Image.fromarray((255 * drawn).astype(np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb.quantize(64).save(path, optimize=True)


def main(argv: list[str] | None = None) -> int:
    """Build or check; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--wheel', type=Path, help='tractseg wheel; fetched with pip if not given')
    parser.add_argument('--output', type=Path, default=ROOT / 'data' / 'templates')
    parser.add_argument('--check', action='store_true', help='rebuild elsewhere and compare')
    parser.add_argument('--pictures', action='store_true', help='draw docs/img/templates_psmd.png')
    args = parser.parse_args(argv)
    hold_threads()
    committed = args.output / 'checksums.json'
    expected = json.loads(committed.read_text('utf-8')) if committed.is_file() else {}
    ours = {n: s for n, s in expected.items() if n.startswith(f'tpl-{SPACE}/')}
    if args.check:
        with tempfile.TemporaryDirectory() as scratch:
            found = build(Path(scratch), args.wheel)
        shipped = {name: digest(args.output / name) for name in ours}
        names = sorted({*found, *ours})
        wrong = [n for n in names if not found.get(n) == ours.get(n) == shipped.get(n)]
        print('\n'.join(f'differs: {name}' for name in wrong) or f'{len(names)} files are equal')
        return 1 if wrong else 0
    sums = build(args.output, args.wheel)
    others = {name: value for name, value in expected.items() if name not in ours}
    committed.write_text(json.dumps(others | sums, indent=2) + '\n', 'utf-8')
    folder = args.output / f'tpl-{SPACE}'
    size = sum(p.stat().st_size for p in folder.iterdir())
    print(f'{len(sums)} files, {size / 1e6:.2f} MB')
    if args.pictures:
        picture(folder, ROOT / 'docs' / 'img' / 'templates_psmd.png')
    return 0


if __name__ == '__main__':
    sys.exit(main())
