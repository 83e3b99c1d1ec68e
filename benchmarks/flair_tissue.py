"""Tissue and lateral ventricles on a FLAIR alone: the network against the registered template.

On heads of patients of random disease and scanner (``sweep.py``, registration imitated), on the
heads of ``atrophy.py`` (slices of 6 mm, real registration), and on people whose T1w of the same
visit tells what is there (derivatives with T1w and of the FLAIR alone)::

    python benchmarks/flair_tissue.py OUT_DIR [--model network.onnx] [--heads 24] [--seed 71]
        [--with-t1w DERIVATIVES --alone DERIVATIVES --only sub-01 sub-20] [--wmh] [--atrophy]

Prints for each head the volume of the ventricles and their Dice, Dice of shares of CSF, grey and
white matter and their volumes: by the template alone, by the network alone, with its ventricles as
the start of the search and its division of grey and white matter (what the application does is
this division, with the ventricles of the template), with its tissue as the prior of the
segmentation, and with the mean of both fluids. With ``--wmh`` the Dice of hyperintensities of
phantoms by the first and the third. What needs no network is kept in OUT_DIR/parts.
"""

from __future__ import annotations

import os

os.environ.setdefault('OMP_NUM_THREADS', '1')

import argparse
import pickle
import sys
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from scipy import ndimage as ndi

sys.path.insert(0, str(Path(__file__).parent))
import atrophy
import sweep

from csvdprep.imaging.atlas import find_ventricles, labels_of, labels_on
from csvdprep.imaging.learned_tissue import FLUID, GREY, VENTRICLE, WHITE, learned_shares
from csvdprep.markers.wmh.inputs import read_derivatives
from csvdprep.markers.wmh.learned import learned_probability
from csvdprep.markers.wmh.science import WmhOptions, segment_wmh
from csvdprep.preprocessing.filling.science import guess_lesions
from csvdprep.science.divided import divided
from csvdprep.science.tissues import segment_tissues
from csvdprep.science.ventricles import lateral_ventricles

TISSUES = ('csf', 'gm', 'wm')
#: Least part of a ventricle that a network found, mL, and its greatest distance from the
#: template's, mm.
LEAST_PART_ML, NEAR_MM = 0.1, 10.0


def patient(number: int, heads: int, seed: int) -> dict:
    """Draw and scan a head, and segment it as is done now."""
    case = sweep.draw(number, heads, seed) | {'t1w': False}
    drawn = sweep.made(case)
    takes, sick, slices = drawn['takes'], drawn['sick'], drawn['slices']
    truth = np.stack([slices.see(sick.fractions[name]) for name in TISSUES])
    height = slices.see(drawn['wmh'].height)
    return {
        'name': f'{case["walls"]:g} mm, {case["load"]:g} mL, {takes["voxel_mm"][2]:g} mm',
        'affine': drawn['affine'],
        'takes': takes,
        'structures': drawn['out']['structures'],
        'truth': truth,
        'ventricle': slices.see(sick.regions['ventricles']),
        'wmh': (height >= 0.5) & ~takes['deep_grey'] & ~takes['infratentorial'],
        'guess': guess_lesions(takes['flair'], takes['mask'], takes['voxel_mm']),
    }


def enlarged(name: str, seed: int, options: dict) -> dict:
    """Draw, register and segment a head of ``atrophy.py``."""
    image, mask, share, inside, rim = atrophy.scan(seed, 1.5, 'FLAIR', options)
    atlas, structures = atrophy.registered(image, mask, rim, 'FLAIR')
    size = nib.affines.voxel_sizes(image.affine)
    flair = image.get_fdata(dtype=np.float32)
    found = segment_tissues(flair, mask, atlas, size, contrast='FLAIR', lesion=rim).probability
    ventricles = find_ventricles(found[0], mask, structures, atlas[0], size)
    takes = dict(zip(TISSUES, found, strict=True)) | {
        'flair': flair,
        'mask': mask,
        'voxel_mm': size,
        'atlas': atlas,
        'ventricles': ventricles,
    }
    return {
        'name': name,
        'affine': image.affine,
        'takes': takes,
        'structures': structures,
        'truth': share,
        'ventricle': inside,
        'guess': rim,
    }


def person(with_t1w: str, alone: str) -> dict:
    """Read a visit that was segmented with its T1w and by its FLAIR alone."""
    with tempfile.TemporaryDirectory() as folder:
        _, true, _ = read_derivatives(with_t1w, Path(folder))
        space, takes, _ = read_derivatives(alone, Path(folder))
    own = nib.load(f'{with_t1w}_space-FLAIR_label-WMH_mask.nii.gz')
    lesion = np.asanyarray(own.dataobj) > 0
    truth = np.stack([true[name] for name in TISSUES])
    truth[0][lesion], truth[1][lesion], truth[2][lesion] = 0, 0, 1
    structures = f'{alone}_space-FLAIR_atlas-csvdprep_desc-structures_dseg.nii.gz'
    return {
        'name': Path(alone).name,
        'affine': space.image.affine,
        'takes': takes,
        'structures': labels_on(structures, space.image),
        'truth': truth,
        'ventricle': (true['ventricles'] > 0).astype(np.float32),
        'guess': guess_lesions(takes['flair'], takes['mask'], space.voxel_mm),
    }


def tissue_of(shares: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """Return shares of CSF, grey and white matter: preliminary lesions are white matter."""
    found = np.stack([shares[FLUID] + shares[VENTRICLE], shares[GREY], shares[WHITE]])
    lesion = guess & (found.sum(0) > 0)
    found[:, lesion] = np.array([0, 0, 1], np.float32)[:, None]
    return found


def template_ventricles(structures: np.ndarray) -> np.ndarray:
    """Return the lateral ventricles of the template: 1 left, 2 right."""
    left, right = labels_of('structures', 'lateral ventricle')
    return np.where(structures == left, 1, np.where(structures == right, 2, 0))


def ventricles_of_shares(share: np.ndarray, template: np.ndarray, voxel_mm) -> np.ndarray:
    """Return the ventricles of the network: 1 left, 2 right, by the nearest of the template."""
    away, nearest = ndi.distance_transform_edt(template == 0, voxel_mm, return_indices=True)
    parts, count = ndi.label(share >= 0.5, np.ones((3, 3, 3)))
    size = np.bincount(parts.ravel(), minlength=count + 1) * float(np.prod(voxel_mm)) / 1000
    keep = (size >= LEAST_PART_ML) & (ndi.minimum(away, parts, np.arange(count + 1)) <= NEAR_MM)
    keep[0] = False
    return np.where(keep[parts], template[tuple(nearest)], 0).astype(np.uint8)


def compared(part: dict, model: Path | None, wmh: bool) -> list[dict]:
    """Compare each way with the truth."""
    takes, affine = part['takes'], part['affine']
    mask = np.asarray(takes['mask']) > 0
    ml = float(np.prod(takes['voxel_mm'])) / 1000
    shares = learned_shares(takes['flair'], mask, takes['atlas'], affine, model)
    tissue = tissue_of(shares, part['guess'])
    em = np.stack([takes[name] for name in TISSUES])
    split = divided(em, shares[GREY], shares[WHITE], part['guess'])
    prior = segment_tissues(
        np.asarray(takes['flair'], np.float32),
        mask,
        tissue,
        takes['voxel_mm'],
        contrast='FLAIR',
        lesion=part['guess'],
    ).probability
    args = (part['structures'], takes['atlas'][0], takes['voxel_mm'])
    own = ventricles_of_shares(
        shares[VENTRICLE], template_ventricles(part['structures']), takes['voxel_mm']
    )
    others = (shares[FLUID] > 0.5) | ~ndi.binary_erosion(mask)
    start = lateral_ventricles(em[0], own, others & (own == 0), takes['voxel_mm'])
    fluid = (em[0] + tissue[0]) / 2
    ways = {
        'template': (takes['ventricles'], em),
        'network': (own, tissue),
        'network start, divided': (start, split),
        'network as prior': (find_ventricles(prior[0], mask, *args), prior),
        'mean fluid': (find_ventricles(fluid, mask, *args), split),
    }
    rows, true = [], part['ventricle'] > 0.5
    for name, (ventricles, found) in ways.items():
        inner = np.asarray(ventricles) > 0
        row = {
            'head': part['name'],
            'way': name,
            'lv_true': part['ventricle'].sum(dtype=float) * ml,
            'lv': inner.sum() * ml,
            'lv_dice': 2 * (inner & true).sum() / max(1, inner.sum() + true.sum()),
        }
        row['lv_error'] = 100 * (row['lv'] / row['lv_true'] - 1)
        for k, tissue_name in enumerate(TISSUES):
            a, b = found[k] * mask, part['truth'][k] * mask
            row[f'{tissue_name}_dice'] = 2 * np.minimum(a, b).sum() / (a.sum() + b.sum())
            row[f'{tissue_name}_error'] = 100 * (a.sum(dtype=float) / b.sum(dtype=float) - 1)
        if wmh and 'wmh' in part and name in ('template', 'network start, divided'):
            row |= _hyperintensities(part, takes['ventricles'], found, ml)
        rows.append(row)
    return rows


def _hyperintensities(part: dict, ventricles, found, ml: float) -> dict:
    """Return Dice and volumes of hyperintensities with a tissue."""
    takes = part['takes'] | dict(zip(TISSUES, found, strict=True)) | {'ventricles': ventricles}
    learned = learned_probability(takes, part['affine'])
    mask = segment_wmh(**takes, learned=learned, options=WmhOptions(runs=1)).mask > 0
    both = mask.sum() + part['wmh'].sum()
    return {
        'wmh_true': part['wmh'].sum() * ml,
        'wmh': mask.sum() * ml,
        'wmh_dice': 2 * (mask & part['wmh']).sum() / both if both else 1.0,
    }


def kept(path: Path, make, *arguments) -> dict:
    """Make a part, or read it if it was made before."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = make(*arguments)
        with open(path, 'wb') as stream:
            pickle.dump(part, stream)
    with open(path, 'rb') as stream:
        return pickle.load(stream)


def wanted(given):
    """Yield kind, file and how to make it, of each head."""
    parts = given.out / 'parts'
    for number in range(given.heads):
        path = parts / f'patient_{given.seed}_{given.heads}_{number:02d}.pkl'
        yield 'patient', path, (patient, number, given.heads, given.seed)
    for name, seed, options in atrophy.HEADS if given.atrophy else ():
        yield (
            'atrophy',
            parts / f'atrophy_{name.replace(" ", "_")}.pkl',
            (enlarged, name, seed, options),
        )
    if given.alone:
        for path in sorted(given.alone.rglob('sub-*_desc-preproc_FLAIR.nii.gz')):
            who = path.name.split('_')[0]
            if '_space-' in path.name or (given.only and who not in given.only):
                continue
            stem = str(path.relative_to(given.alone)).removesuffix('_desc-preproc_FLAIR.nii.gz')
            made = (person, str(given.with_t1w / stem), str(given.alone / stem))
            yield 'person', parts / f'person_{Path(stem).name}.pkl', made


def report(table: pd.DataFrame) -> None:
    """Print mean and worst of each way and kind of head."""
    numbers = [name for name in table.columns if table[name].dtype.kind == 'f']
    for kind, group in table.groupby('kind', sort=False):
        print(f'\n{kind}, {group["head"].nunique()} heads')
        for name in numbers:
            if group[name].isna().all() or name.endswith('true'):
                continue
            values = group.groupby('way', sort=False)[name]
            if name.endswith('error'):
                shown = values.agg([('mean |x|', lambda x: x.abs().mean()), 'min', 'max'])
            else:
                shown = values.agg(['mean', 'min', 'max'])
            print(name, shown.round(3).to_string(), sep='\n')


def main() -> None:
    """Compare all heads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=Path)
    parser.add_argument('--model', type=Path, help='ONNX; the shipped one if not given')
    parser.add_argument('--heads', type=int, default=24)
    parser.add_argument('--seed', type=int, default=71)
    parser.add_argument('--with-t1w', type=Path)
    parser.add_argument('--alone', type=Path)
    parser.add_argument('--only', nargs='*', default=[])
    parser.add_argument('--atrophy', action='store_true', help='heads of atrophy.py as well')
    parser.add_argument('--wmh', action='store_true', help='hyperintensities as well')
    parser.add_argument('--parts', action='store_true', help='make what needs no network, end')
    given = parser.parse_args()
    rows = []
    for kind, path, made in wanted(given):
        part = kept(path, *made)
        if given.parts:
            print(path.name, flush=True)
            continue
        some = compared(part, given.model, given.wmh)
        rows += [{'kind': kind} | row for row in some]
        print(
            pd.DataFrame(some).round(3).to_string(index=False, header=len(rows) == 5), flush=True
        )
    if rows:
        table = pd.DataFrame(rows)
        table.to_csv(given.out / f'{given.model.stem if given.model else "shipped"}.tsv', sep='\t')
        report(table)


if __name__ == '__main__':
    main()
