"""Lacunes and perivascular spaces on thick slices: what is found, what is false, what is graded.

    csvdprep phantom P --preset demo --modalities T1w FLAIR --participants 1 --pvs 0 0 --lacunes 0
    csvdprep P OUT participant --markers cavities
    python benchmarks/cavities_thick.py OUT P/derivatives/truth [--mm 1 3 5] [--draws 2] [--seed 1]

Lacunes and perivascular spaces of known place and size are drawn into the T1w and FLAIR of each
visit, then slices are averaged to each thickness, and the step that users have runs on them. The
true number of the worst slice is that of drawn spaces that reach into a slice of that thickness.
Visits with spaces of their own get lacunes only; what lies on a lacune of their own is not judged.
Tissue, ventricles and registration are those of the thin images, averaged: what thick slices do
to these is not in the figures.
"""

from __future__ import annotations

import os

os.environ.setdefault('OMP_NUM_THREADS', '1')

import argparse
import tempfile
from dataclasses import asdict
from pathlib import Path

import nibabel as nib
import numpy as np

from csvdprep.bids.tsv import read_tsv
from csvdprep.imaging.images import load
from csvdprep.imaging.transforms import read_linear
from csvdprep.interfaces.values import read_values
from csvdprep.markers.cavities import Options
from csvdprep.markers.cavities.inputs import read_images, read_place, visit_files
from csvdprep.markers.cavities.interfaces import Cavities
from csvdprep.markers.cavities.science.counts import BASAL_Z, CENTRUM_ABOVE
from csvdprep.phantom.patients.cavities import TemplateHead, paint_cavities, place_cavities
from csvdprep.science.shapes import axial_axis

#: Lacunes and mimics of a draw.
LACUNES, HOLES = 10, 3
#: A finding this far from the border of a lacune, and half a slice, is that lacune, mm.
REACH_MM = 1.5
PVS = {'bg': 'BG', 'cso': 'CSO'}
#: Counts from which the grade is 1, 2, 3, 4 (Potter 2015).
GRADE_FROM = (1, 11, 21, 41)


def thicken(image, mm: float, *, labels: bool = False):
    """Average slices of an image to a thickness; of labels the middle slice is kept."""
    axis = axial_axis(image.affine)
    data = np.asanyarray(image.dataobj)
    step = max(1, round(mm / nib.affines.voxel_sizes(image.affine)[axis]))
    count = data.shape[axis] // step
    data = np.moveaxis(data, axis, -1)[..., : count * step]
    data = data.reshape(*data.shape[:2], count, step)
    kept = data[..., step // 2] if labels else data.mean(axis=-1, dtype=np.float32)
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, axis] * (step // 2 if labels else (step - 1) / 2)
    if labels:
        # On the grid of the averages.
        affine[:3, 3] += affine[:3, axis] * ((step - 1) / 2 - step // 2)
    affine[:3, axis] *= step
    return nib.Nifti1Image(np.moveaxis(kept, -1, axis), affine)


def painted(kind: str, image, world, place, shapes, rng):
    """Draw lacunes, and what is none, into one image."""
    data = np.asanyarray(image.dataobj, dtype=np.float32)

    def level(where) -> float:
        points = np.argwhere(where) @ place.affine[:3, :3].T + place.affine[:3, 3]
        points = points @ world[:3, :3].T + world[:3, 3]
        back = np.linalg.inv(image.affine)
        at = np.rint(points @ back[:3, :3].T + back[:3, 3]).astype(int)
        at = at[((at >= 0) & (at < data.shape)).all(axis=1)]
        values = data[tuple(at.T)]
        return float(np.median(values[values > 0]))

    white, fluid = level(place.white), level(place.fluid)
    apart = white - fluid
    levels = {
        't1w': {'fluid': fluid, 'rim': white - 0.25 * apart, 'hole': white - 0.65 * apart},
        'flair': {'fluid': fluid, 'rim': white + 0.5 * apart, 'hole': white + 0.4 * apart},
    }[kind]
    return nib.Nifti1Image(
        paint_cavities(shapes, data, image.affine, world, levels, rng, blur=0.3), image.affine
    )


def run(files: dict[str, str], changed: dict, mm: float):
    """Run the step on slices of a thickness: rows of both lists, and the values."""
    with tempfile.TemporaryDirectory() as name:
        folder, given = Path(name), {}
        for key, path in files.items():
            if key == 'anat_to_mni' or key.startswith('t2w'):
                continue
            if not path.endswith('.nii.gz'):
                given[key] = path
                continue
            labels = key.endswith('_dseg') or key in ('brain_mask', 'wmh_mask', 'ventricles')
            thick = thicken(changed.get(key) or load(path), mm, labels=labels)
            given[key] = str(folder / f'{key}.nii.gz')
            nib.save(thick, given[key])
        here = Path.cwd()
        os.chdir(folder)
        try:
            made = Cavities(**given, options=asdict(Options())).run().outputs
            return read_tsv(made.lacune_lesions).rows, read_values(Path(made.cavities_values))
        finally:
            os.chdir(here)


def centre(row) -> np.ndarray:
    """Return the place of a row, mm."""
    return np.array([float(row[axis]) for axis in 'xyz'])


def own_lesions(truth: Path, visit: str) -> tuple[list, dict]:
    """Read lacunes and the like of a visit (place, mm; radius), and its true measures."""
    path = next(truth.rglob(f'{visit}_*T1w_label-lacune_lesions.tsv'), None)
    rows = read_tsv(path).rows if path else []
    (table,) = truth.rglob(f'{visit}_desc-csvd_measures.tsv')
    return [(centre(r), float(r['diameter_mm']) / 2) for r in rows], read_tsv(table).rows[0]


def true_worst(shapes, name: str, heights, mm: float, start: float) -> int:
    """Count the drawn spaces that reach into a slice, in the fuller hemisphere."""
    most = 0
    middles = start + mm * np.arange(int(400 / mm))
    graded = [z for z in middles if heights[0] <= z <= heights[1]]
    for side in ('left', 'right'):
        reach = [
            (f.points[:, 2].min(), f.points[:, 2].max())
            for f in shapes.spaces
            if f.facts['region'] == name and f.facts['side'] == side
        ]
        for z in graded or [sum(heights) / 2]:
            most = max(most, sum(a < z + mm / 2 and b > z - mm / 2 for a, b in reach))
    return most


def graded_heights(head: TemplateHead, files) -> dict[str, tuple[float, float]]:
    """Return between which heights spaces are graded, mm of the visit."""
    planes = [head.to_head(np.array([[x, 0.0, z] for x in (-20, 20)])) for z in BASAL_Z]
    image = load(files['ventricles'])
    at = np.argwhere(np.asanyarray(image.dataobj) > 0)
    roof = float(np.percentile(nib.affines.apply_affine(image.affine, at)[:, 2], 99))
    return {
        'bg': tuple(float(p[:, 2].mean()) for p in planes),
        'cso': tuple(roof + above for above in CENTRUM_ABOVE),
    }


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('output', type=Path)
    parser.add_argument('truth', type=Path)
    parser.add_argument('--mm', type=float, nargs='+', default=[1, 3, 5])
    parser.add_argument('--draws', type=int, default=2)
    parser.add_argument('--seed', type=int, default=1)
    asked = parser.parse_args()
    total: dict[float, dict[str, list]] = {
        mm: {'met': [], 'false': [], 'listed': [], 'bg': [], 'cso': []} for mm in asked.mm
    }
    for path in sorted(asked.output.rglob('*_desc-ventricles_dseg.nii.gz')):
        stem = str(path).removesuffix('_desc-ventricles_dseg.nii.gz')
        visit = Path(stem).name
        files = visit_files(stem)
        place, images = read_place(files), read_images(files)
        own, true = own_lesions(asked.truth, visit)
        bare = not any(int(true.get(f'pvs_{name}_n', 0)) for name in PVS)
        head = TemplateHead(files['anat_to_mni'])
        heights = graded_heights(head, files)
        start = float(images['t1w'][0].affine[2, 3])
        for draw in range(asked.draws + 1):
            rng = np.random.default_rng([asked.seed, draw, int(visit.split('_')[0][4:])])
            changed, shapes = {}, None
            if draw:
                basal, centrum = (int(rng.integers(5, n)) if bare else 0 for n in (41, 61))
                shapes = place_cavities(
                    head,
                    int(rng.integers(2**31)),
                    lacunes=LACUNES,
                    basal=basal,
                    centrum=centrum,
                    holes=HOLES,
                )
                for kind, key in (('t1w', 'anat_preproc'), ('flair', 'flair_preproc')):
                    image, way = images[kind]
                    world = read_linear(way) if way else np.eye(4)
                    changed[key] = painted(kind, image, world, place, shapes, rng)
            for mm in asked.mm:
                rows, values = run(files, changed, mm)
                real = None
                if bare:
                    first = start + (mm - 1) / 2
                    real = {
                        name: true_worst(shapes, PVS[name], heights[name], mm, first)
                        if shapes
                        else 0
                        for name in PVS
                    }
                judge(total[mm], rows, values, shapes, own, real, mm, f'{visit} draw {draw}')
    for mm, found in total.items():
        summarise(mm, found)


def judge(found, rows, values, shapes, own, real, mm: float, label: str) -> None:
    """Hold a list against what was drawn."""
    drawn = [] if shapes is None else [(f.centre, f.diameter_mm / 2) for f in shapes.lacunes]
    slack = REACH_MM + mm / 2

    def on(row, things) -> list[int]:
        at = centre(row)
        away = [np.linalg.norm(at - c) - r for c, r in things]
        return [k for k, gap in enumerate(away) if gap < slack]

    judged = [row for row in rows if on(row, drawn) or not on(row, own)]
    sure = [row for row in judged if row['status'] == 'definite']
    met = {k for row in sure for k in on(row, drawn)}
    seen = {k for row in judged for k in on(row, drawn)}
    false = sum(not on(row, drawn) for row in sure)
    for k, (at, radius) in enumerate(drawn):
        # What was drawn onto a lacune of the visit is not judged.
        if not any(np.linalg.norm(at - c) < r + radius + slack for c, r in own):
            found['met'].append((2 * radius, k in met))
            found['listed'].append(k in seen)
    found['false'].append(false)
    spaces = ''
    for name in PVS if real else ():
        value, grade = (values[f'pvs_{name}_{end}'].value for end in ('worst_n', 'grade'))
        right = int(np.searchsorted(GRADE_FROM, real[name], side='right'))
        found[name].append((value, grade, real[name], right))
        spaces += f'; {name} {value} in the worst slice (true {real[name]})'
    print(
        f'{label}, {mm:g} mm: {len(met)} of {len(drawn)} lacunes, {len(seen)} listed, '
        f'{false} false{spaces}; lacune_n {values["lacune_n"].value} {values["lacune_n"].qc}',
        flush=True,
    )


def summarise(mm: float, found) -> None:
    """Print recall by size, false ones, and grades of one thickness."""
    text = f'== {mm:g} mm'
    if found['met']:
        size, met = (np.array(part, float) for part in zip(*found['met'], strict=True))
        groups = {
            'all': size > 0,
            '<5': size < 5,
            '5-8': (size >= 5) & (size < 8),
            '>8': size >= 8,
        }
        recall = ', '.join(
            f'{k} mm {met[v].mean():.2f} (n {v.sum()})' for k, v in groups.items() if v.any()
        )
        text += f': definite {recall}; listed {np.mean(found["listed"]):.2f}'
    text += f'; false definite a scan {np.mean(found["false"]):.2f} (n {len(found["false"])})'
    for name in PVS:
        rows = [row for row in found[name] if row[0] is not None]
        if rows:
            count, grade, real, right = (np.array(part, float) for part in zip(*rows, strict=True))
            text += (
                f'; {name}: found over true {count.sum() / max(real.sum(), 1):.2f}, '
                f'grade exact {int((grade == right).sum())} of {len(rows)}'
            )
    print(text)


if __name__ == '__main__':
    main()
