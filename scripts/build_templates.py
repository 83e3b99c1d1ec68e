"""Build ``data/templates`` from the ICBM152 files that the nilearn wheel ships.

    python scripts/build_templates.py             # build, and write checksums.json
    python scripts/build_templates.py --check     # rebuild elsewhere and compare checksums
    python scripts/build_templates.py --pictures  # also draw docs/img/templates_*.png

The checksums are of voxels, headers and texts, not of compressed bytes: zlib builds may compress
differently, the data may not differ.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi
from template_regions import DEEP, LOBES, lobes, pvs_regions, territories
from template_structures import MIDLINE, STRUCTURES, Half, draw
from template_texts import DESCRIPTION, IDENTITY, LICENCE, SIDECARS, colour

from csvdprep.bids.tsv import write_tsv

ROOT = Path(__file__).resolve().parent.parent
SPACE = 'MNI152NLin2009aSym'
NILEARN = '0.14.1'
SOURCES = {
    't1': (
        'mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz',
        '421a10e872fd6cadae7f61d358dffbcc1795a497d61ee76c5dda2503e1a1e9e6',
    ),
    'gm': (
        'mni_icbm152_gm_tal_nlin_sym_09a_converted.nii.gz',
        '97a5ca69bd24db37a9cb7b32525e1733a209af904129bf1cd36da06d24243bed',
    ),
    'wm': (
        'mni_icbm152_wm_tal_nlin_sym_09a_converted.nii.gz',
        '382d92812de4744f9c86c7a0e4f680dc317a0a50e4da1f0153618a6798c7b7db',
    ),
}


def read_sources() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the three volumes (uint8) and their affine, after checking what they are."""
    import nilearn

    folder = Path(nilearn.__file__).parent / 'datasets' / 'data'
    volumes = {}
    for key, (name, expected) in SOURCES.items():
        found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if found != expected:
            raise SystemExit(
                f'{name}: sha256 {found} is not {expected}. Installed is nilearn '
                f'{version("nilearn")}; the sources are those of nilearn {NILEARN}.'
            )
        image = nib.load(folder / name)
        volumes[key] = np.asarray(image.dataobj)
    return volumes, image.affine


def brain_mask(t1: np.ndarray) -> np.ndarray:
    """Return the mask that the bare-brain T1 was cut with: its non-zero voxels, holes filled."""
    filled = ndi.binary_fill_holes(t1 > 0)
    pieces, _ = ndi.label(filled)
    return pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()


def halve(volume: np.ndarray) -> np.ndarray:
    """Average 1 mm voxels to 2 mm so that one 2 mm voxel is centred on x = y = z = 0.

    Each 2 mm voxel covers one 1 mm voxel fully and both its neighbours by half: weights
    1/4, 1/2, 1/4 on each axis, at the voxels with even millimetre coordinates. The grid stays
    exactly left-right symmetric.
    """
    kernel = np.array([0.25, 0.5, 0.25])
    for axis in range(3):
        volume = ndi.convolve1d(volume, kernel, axis=axis, mode='constant')
    return volume[::2, ::2, ::2]


def save(path: Path, data: np.ndarray, affine: np.ndarray, slope: float | None = None) -> None:
    """Write a NIfTI whose bytes depend on the data alone."""
    image = nib.Nifti1Image(data, affine)
    image.header.set_data_dtype(np.uint8)
    image.header.set_xyzt_units('mm', 'sec')
    image.set_sform(affine, 4)
    image.set_qform(affine, 4)
    image.header.set_slope_inter(1.0 if slope is None else slope, 0.0)
    image.header['descrip'] = b'csvdprep template'
    raw = io.BytesIO()
    nib.Nifti1Image.to_file_map(image, {'image': nib.FileHolder(fileobj=raw)})
    path.write_bytes(gzip.compress(raw.getvalue(), 9, mtime=0))


def sided(half: np.ndarray, right: dict[int, int], left: dict[int, int]) -> np.ndarray:
    """Mirror the labels of the right half; x = 0 mm takes the labels of the right."""
    lut = {1: np.zeros(256, np.uint8), -1: np.zeros(256, np.uint8)}
    for side, table in ((1, right), (-1, left)):
        for old, new in table.items():
            lut[side][old] = new
    return np.concatenate([lut[-1][half[:0:-1]], lut[1][half]])


def label_maps(h: Half) -> dict[str, tuple[np.ndarray, list[tuple[int, str, str]]]]:
    """Return the four label volumes and their tables (index, name, abbreviation)."""
    parts = draw(h)
    short = dict(STRUCTURES)
    maps = {'structures': [(parts[name], name, name in MIDLINE) for name in STRUCTURES]}

    def pieces(labels, names, midline=()):
        return [(labels == i, name, name in midline) for i, name in enumerate(names, 1)]

    found = lobes(h, parts)
    maps['lobes'] = pieces(found, (*LOBES, DEEP))
    short |= dict(zip((*LOBES, DEEP), ('FRO', 'PAR', 'TEM', 'OCC', 'INS', 'DEEP'), strict=True))
    names = [f'{name} cerebral artery' for name in ('anterior', 'middle', 'posterior')]
    names.append('infratentorial')
    short |= dict(zip(names, ('ACA', 'MCA', 'PCA', 'INF'), strict=True))
    maps['territories'] = pieces(territories(h, parts), names, ('infratentorial',))
    names = ['basal ganglia', 'centrum semiovale', 'hippocampus', 'midbrain']
    short |= dict(zip(names, ('BG', 'CSO', 'HIP', 'MID'), strict=True))
    maps['pvsregions'] = pieces(pvs_regions(h, parts), names, ('midbrain',))

    result = {}
    for kind, regions in maps.items():
        half = np.zeros(h.t1.shape, np.uint8)
        right, left, table = {}, {}, []
        for code, (region, name, midline) in enumerate(regions, 1):
            half[region] = code
            sides = ('',) if midline else ('left ', 'right ')
            for side in sides:
                index = len(table) + 1
                mark = f'_{side[0].upper()}' if side else ''
                table.append((index, side + name, short[name] + mark))
                for wanted, lut in (('right ', right), ('left ', left)):
                    if side in ('', wanted):
                        lut[code] = index
        result[kind] = (sided(half, right, left), table)
    return result


def build(folder: Path) -> dict[str, str]:
    """Write all files below `folder`; return their checksums."""
    volumes, affine = read_sources()
    t1 = volumes['t1'].astype(float)
    mask = brain_mask(volumes['t1'])
    tissue = {'GM': volumes['gm'] * mask, 'WM': volumes['wm'] * mask}
    tissue['CSF'] = np.where(mask, 255 - tissue['GM'].astype(int) - tissue['WM'], 0)
    middle = int(np.rint(-affine[0, 3]))
    cut = slice(middle, None)
    h = Half(
        t1=t1[cut],
        gm=tissue['GM'][cut] / 255,
        wm=tissue['WM'][cut] / 255,
        mask=mask[cut],
        gradient=ndi.gaussian_gradient_magnitude(t1, 0.7)[cut],
        origin=(0.0, affine[1, 3], affine[2, 3]),
    )
    target = folder / f'tpl-{SPACE}'
    target.mkdir(parents=True, exist_ok=True)
    coarse = affine @ np.diag([2.0, 2, 2, 1])
    images = {'desc-brain_T1w': (t1 * mask, None), 'desc-brain_mask': (mask, None)}
    images |= {f'label-{k}_probseg': (v, 1 / 255) for k, v in tissue.items()}
    for name, (data, slope) in images.items():
        stem = target / f'tpl-{SPACE}_res-01_{name}.nii.gz'
        save(stem, data.astype(np.uint8), affine, slope)
        small = halve(data.astype(float))
        small = small >= 0.5 if data.dtype == bool else np.floor(small + 0.5)
        stem = target / f'tpl-{SPACE}_res-02_{name}.nii.gz'
        save(stem, small.astype(np.uint8), coarse, slope)
    for kind, (labels, table) in label_maps(h).items():
        stem = f'tpl-{SPACE}_res-01_atlas-csvdprep_desc-{kind}_dseg'
        save(target / f'{stem}.nii.gz', labels, affine)
        rows = [('index', 'name', 'abbreviation', 'color')]
        rows += [(i, name, short, colour(name)) for i, name, short in table]
        write_tsv(target / f'{stem}.tsv', rows)
        sources = [f'nilearn {NILEARN}: {source}' for source, _ in SOURCES.values()]
        sidecar = SIDECARS[kind] | {'Sources': sources}
        (target / f'{stem}.json').write_text(json.dumps(sidecar, indent=2) + '\n', 'utf-8')
    described = json.dumps(DESCRIPTION, indent=2, ensure_ascii=False) + '\n'
    (target / 'template_description.json').write_text(described, 'utf-8')
    (target / 'LICENSE').write_text(LICENCE, 'utf-8')
    (folder / 'identity.txt').write_text(IDENTITY, 'utf-8')
    files = [folder / 'identity.txt', *sorted(target.iterdir())]
    return {str(p.relative_to(folder)): digest(p) for p in files}


def digest(path: Path) -> str:
    """Return the sha256 of a file's content, decompressed if it is a NIfTI."""
    data = path.read_bytes()
    if path.suffix == '.gz':
        data = gzip.decompress(data)
    return hashlib.sha256(data).hexdigest()


def main(argv: list[str] | None = None) -> int:
    """Build or check; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--output', type=Path, default=ROOT / 'data' / 'templates')
    parser.add_argument('--check', action='store_true', help='rebuild elsewhere and compare')
    parser.add_argument('--pictures', action='store_true', help='draw docs/img/templates_*.png')
    args = parser.parse_args(argv)
    committed = args.output / 'checksums.json'
    expected = json.loads(committed.read_text('utf-8')) if committed.is_file() else {}
    # Other templates have scripts and entries of their own.
    others = {
        n: s
        for n, s in expected.items()
        if '/' in n and (f'tpl-{SPACE}/' not in n or '_FLAIR.' in n)
    }
    if args.check:
        with tempfile.TemporaryDirectory() as scratch:
            found = build(Path(scratch))
        expected = {n: s for n, s in expected.items() if n not in others}
        shipped = {name: digest(args.output / name) for name in expected}
        names = sorted({*found, *expected})
        wrong = [n for n in names if not found.get(n) == expected.get(n) == shipped.get(n)]
        print('\n'.join(f'differs: {name}' for name in wrong) or f'{len(names)} files are equal')
        return 1 if wrong else 0
    sums = build(args.output)
    committed.write_text(json.dumps(sums | others, indent=2) + '\n', 'utf-8')
    size = sum(p.stat().st_size for p in args.output.rglob('*') if p.is_file())
    print(f'{len(sums)} files, {size / 1e6:.1f} MB')
    if args.pictures:
        from template_pictures import draw_all

        draw_all(args.output / f'tpl-{SPACE}', ROOT / 'docs' / 'img')
    return 0


if __name__ == '__main__':
    sys.exit(main())
