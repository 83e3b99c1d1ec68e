"""Fit the models that tell lacunes, perivascular spaces and the rest apart.

    python -m training.cavity_fit draw CASES_DIR STEM [--t2w FOLDER] [--draws 4] [--seed 1]
    python -m training.cavity_fit fit CASES_DIR [--model model.json]
    python -m training.cavity_fit judge CASES_DIR --model model.json

``draw`` takes what csvdprep left of a visit (STEM: path of its files in ``anat`` up to
``sub-01_ses-1``), a scan of a person or a phantom without lacunes and perivascular spaces, draws
lacunes of 3 to 15 mm, perivascular spaces of .5 to 3 mm, lesions that are dark on the T1w but
bright on the FLAIR, and larger cavities into its images, and keeps the features of all candidates
with what each is. Whose name begins with 'phantom' has nothing of its own. What is found in a
person where nothing was drawn is no lacune; in basal ganglia, centrum semiovale and hippocampus
it may be a perivascular space. ``fit`` fits a multinomial logistic model to each set of images,
thin and thick slices apart, and prints recall and false positives with each person left out;
``judge`` those of models that were fitted before.
"""

from __future__ import annotations

import argparse
import json
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi
from scipy.optimize import minimize

from csvdprep.imaging.transforms import read_linear
from csvdprep.markers.cavities.inputs import make_head, read_images, read_place, visit_files
from csvdprep.markers.cavities.science.candidates import candidates, features_of
from csvdprep.markers.cavities.science.probability import CLASSES, FARTHEST, read_model
from csvdprep.phantom.patients.cavities import (
    TemplateHead,
    paint_cavities,
    place_cavities,
    true_labels,
)
from csvdprep.science.logistic import QuadraticModel, expanded, softmax

#: Ridge of the slopes, weight of scans of people where those of phantoms count 1, and steps.
RIDGE, PEOPLE, STEPS = 25.0, 1.5, 150
PHANTOM = 'phantom'
SETS = ('t1w', 't1w+flair', 't1w+t2w', 't1w+flair+t2w')
#: What a candidate is: a class, or what it may be.
OTHER, LACUNE, SPACE, UNCLEAR, NO_LACUNE = 0, 1, 2, -1, -2
#: Share of a candidate that a shape has to fill to make it one, and voxels that hold it.
LEAST_PART = 0.25
CUTS = (0.3, 0.5, 0.7, 0.85)


def draw_cases(name: str, stem: str, t2w: Path | None, folder: Path, draws: int, seed: int):
    """Draw into a visit and keep features."""
    files = visit_files(stem, t2w)
    place, images = read_place(files), read_images(files)
    template = TemplateHead(files['anat_to_mni'])
    for number in range(draws):
        key = [seed, number, zlib.crc32(name.encode())]
        rng = np.random.default_rng(key)
        shapes = place_cavities(
            template,
            int(rng.integers(2**31)),
            lacunes=int(rng.integers(6, 15)),
            basal=int(rng.integers(5, 40)),
            centrum=int(rng.integers(5, 60)),
            holes=int(rng.integers(2, 7)),
            infarcts=int(rng.integers(0, 2)),
        )
        drawn = {}
        noise = rng.uniform(0, 0.02) if rng.random() < 0.5 else 0.0
        for kind, (image, transform) in images.items():
            drawn[kind] = (_painted(kind, image, transform, place, shapes, noise, rng), transform)
        out = {'name': name, 'thick': place.voxel_mm.max() > 2.0}
        owners = [
            true_labels(part, place.image)[0][place.box]
            for part in (shapes.lacunes, shapes.spaces)
        ]
        own = true_labels((*shapes.holes, *shapes.infarcts), place.image)[0][place.box]
        for which in ({'t1w', 'flair'}, {'t1w', 'flair', 't2w'}):
            chosen = {k: v for k, v in drawn.items() if k in which}
            if 't2w' in which and 't2w' not in chosen:
                continue
            head, told = make_head(place, chosen)
            seen = candidates(head)
            kinds, numbers = answers(seen.labels, owners, own, name.startswith(PHANTOM))
            out[f'{head.images}|x'] = seen.features.astype(np.float32)
            out[f'{head.images}|kind'] = kinds
            out[f'{head.images}|number'] = numbers
            print(name, number, head.images, len(kinds), told, _met(kinds, numbers, shapes))
        out['lacune_mm'] = [f.diameter_mm for f in shapes.lacunes]
        out['space_mm'] = [f.diameter_mm for f in shapes.spaces]
        out['voxel_mm'] = place.voxel_mm
        np.savez_compressed(folder / f'{name}_{seed}_{number}.npz', **out)


def _met(kinds, numbers, shapes) -> str:
    found = [len({*numbers[kinds == kind]}) for kind in (LACUNE, SPACE)]
    return (
        f'lacunes {found[0]} of {len(shapes.lacunes)}, spaces {found[1]} of {len(shapes.spaces)}'
    )


def _painted(kind, image, transform, place, shapes, noise, rng):
    """Draw into one image, as its contrast shows things."""
    data = np.asanyarray(image.dataobj, dtype=np.float32)
    world = read_linear(transform) if transform else np.eye(4)
    fluid = _level(image, world, place, place.fluid)
    white = _level(image, world, place, place.white)
    apart = white - fluid
    fluid += rng.uniform(-0.05, 0.12) * apart
    levels = {
        't1w': {'fluid': fluid, 'rim': white - rng.uniform(0.1, 0.4) * apart},
        'flair': {'fluid': fluid, 'rim': white + rng.uniform(0.2, 0.9) * abs(apart)},
        't2w': {'fluid': fluid, 'rim': white - rng.uniform(0.1, 0.35) * apart},
    }[kind]
    levels['hole'] = {
        't1w': white - rng.uniform(0.4, 0.9) * apart,
        'flair': white + rng.uniform(0.1, 0.8) * abs(apart),
        't2w': white - rng.uniform(0.3, 0.7) * apart,
    }[kind]
    out = paint_cavities(shapes, data, image.affine, world, levels, rng, blur=rng.uniform(0, 0.5))
    if noise:
        out += (noise * white * rng.standard_normal(out.shape)).astype(np.float32) * (data > 0)
    return nib.Nifti1Image(np.maximum(out, data.clip(max=0)), image.affine)


def _level(image, world, place, where) -> float:
    """Return the median of an image over voxels of the reference."""
    index = np.argwhere(where)
    points = index @ place.affine[:3, :3].T + place.affine[:3, 3]
    points = points @ world[:3, :3].T + world[:3, 3]
    back = np.linalg.inv(image.affine)
    at = np.rint(points @ back[:3, :3].T + back[:3, 3]).astype(int)
    data = np.asanyarray(image.dataobj)
    at = at[((at >= 0) & (at < data.shape[:3])).all(axis=1)]
    values = data[tuple(at.T)]
    return float(np.median(values[values > 0]))


def answers(labels, owners, own, bare: bool):
    """Say what each candidate is, and of which drawn shape."""
    kinds, numbers = [], []
    near = ndi.grey_dilation(np.maximum(owners[0], owners[1]), size=3)
    for number, box in enumerate(ndi.find_objects(labels), start=1):
        inside = labels[box] == number
        size = int(inside.sum())
        found = []
        for owner in owners:
            hit = owner[box][inside]
            hit = hit[hit > 0]
            found.append((len(hit), int(np.bincount(hit).argmax()) if len(hit) else 0))
        best = int(np.argmax([item[0] for item in found]))
        count, which = found[best]
        if count and count >= LEAST_PART * size:
            kinds.append((LACUNE, SPACE)[best])
        elif count or (near[box][inside] > 0).any():
            kinds.append(UNCLEAR)
        elif (own[box][inside] > 0).any() or bare:
            kinds.append(OTHER)
        else:
            kinds.append(NO_LACUNE)
        numbers.append(which)
    return np.array(kinds, int), np.array(numbers, int)


def fit(x, kinds, weight) -> QuadraticModel:
    """Fit the multinomial model with a ridge on the slopes."""
    mean, sd = x.mean(axis=0), x.std(axis=0) + 1e-6
    terms = expanded((x - mean) / sd, FARTHEST).astype(np.float32)
    allowed = np.zeros((len(kinds), len(CLASSES)))
    for row, kind in enumerate(kinds):
        allowed[row, [OTHER, SPACE] if kind == NO_LACUNE else [kind]] = 1
    shape = (terms.shape[1], len(CLASSES) - 1)

    def loss(flat):
        w = flat.reshape(shape)
        p = softmax(terms @ w.astype(np.float32))
        mine = np.maximum((p * allowed).sum(axis=1), 1e-12)
        value = -(weight * np.log(mine)).sum() + 0.5 * RIDGE * (w[1:] ** 2).sum()
        apart = weight[:, None] * (p - p * allowed / mine[:, None])
        slope = (terms.T @ apart[:, 1:].astype(np.float32)).astype(float)
        slope[1:] += RIDGE * w[1:]
        return value, slope.ravel()

    start = np.zeros(shape)
    start[0] = -1
    found = minimize(loss, start.ravel(), jac=True, method='L-BFGS-B', options={'maxiter': STEPS})
    return QuadraticModel(mean, sd, found.x.reshape(shape), FARTHEST)


def load_cases(folder: Path) -> list[dict]:
    """Read all draws."""
    return [dict(np.load(path, allow_pickle=False)) for path in sorted(folder.glob('*.npz'))]


def rows_of(cases, images: str, thick: bool):
    """Give the draws that show a set of images: name, features, kinds, numbers, sizes."""
    source = images if 'flair' in images else images.replace('t1w', 't1w+flair')
    for case in cases:
        if bool(case['thick']) != thick:
            continue
        for key in (source, images):
            if f'{key}|x' in case:
                names = features_of(key)
                chosen = [names.index(n) for n in features_of(images)]
                yield (
                    str(case['name']),
                    case[f'{key}|x'][:, chosen],
                    case[f'{key}|kind'],
                    case[f'{key}|number'],
                    case,
                )
                break


def fit_rows(rows, images: str) -> QuadraticModel:
    """Fit to draws; in people what lies outside of the regions of PVS is taken for none."""
    x, y, w = [], [], []
    regions = [features_of(images).index(n) for n in ('centrum', 'basal', 'hippocampus')]
    for name, features, kinds, _, _ in rows:
        clear = kinds != UNCLEAR
        elsewhere = features[:, regions].sum(axis=1) < 0.5
        kinds = np.where((kinds == NO_LACUNE) & elsewhere, OTHER, kinds)
        x.append(features[clear])
        y.append(kinds[clear])
        w.append(np.full(int(clear.sum()), 1.0 if name.startswith(PHANTOM) else PEOPLE))
    return fit(*(np.concatenate(part) for part in (x, y, w)))


def person_of(name: str) -> str:
    """Return whose head it is."""
    return name.split('_')[0]


def report(scores, label: str) -> None:
    """Print recall by size and false positives."""
    for cut in CUTS:
        sizes = {'3-5': [], '5-8': [], '8-15': []}
        false, crossed = {}, []
        for name, p, kinds, numbers, case in scores:
            sure = p[:, 1] >= cut
            for index, mm in enumerate(case['lacune_mm'], start=1):
                key = '3-5' if mm < 5 else '5-8' if mm < 8 else '8-15'
                sizes[key].append(bool((sure & (kinds == LACUNE) & (numbers == index)).any()))
            wrong = sure & np.isin(kinds, [OTHER, NO_LACUNE])
            false.setdefault(person_of(name), []).append(int(wrong.sum()))
            crossed.append(int((sure & (kinds == SPACE)).sum()))
        recall = ', '.join(f'{k} mm {np.mean(v):.2f}' for k, v in sizes.items() if v)
        every = np.concatenate([v for v in sizes.values() if v])
        noise = ', '.join(f'{k} {np.mean(v):.1f}' for k, v in false.items())
        print(
            f'{label} cut {cut}: lacunes {every.mean():.2f} ({recall}); false {noise}; '
            f'spaces taken for lacunes {np.mean(crossed):.2f}'
        )
    spaces = {}
    for _, p, kinds, numbers, case in scores:
        sure = (p[:, 2] >= 0.5) & (kinds == SPACE)
        edge = float(np.min(case['voxel_mm']))
        for index, mm in enumerate(case['space_mm'], start=1):
            key = '<1' if mm < edge else '1-1.5' if mm < 1.5 * edge else '>1.5'
            spaces.setdefault(key, []).append(bool((sure & (numbers == index)).any()))
    wrong = np.mean([((p[:, 2] >= 0.5) & (k == OTHER)).sum() for _, p, k, _, _ in scores])
    found = ', '.join(f'{k} voxels {np.mean(v):.2f}' for k, v in sorted(spaces.items()))
    print(f'{label} spaces: {found}; false a draw {wrong:.1f}', flush=True)


def main() -> None:
    """Draw, fit or judge."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('what', choices=('draw', 'fit', 'judge'))
    parser.add_argument('cases', type=Path)
    parser.add_argument('stem', nargs='?')
    parser.add_argument('--name', help='of the head; phantoms begin with phantom')
    parser.add_argument('--t2w', type=Path)
    parser.add_argument('--draws', type=int, default=4)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--model', type=Path)
    parser.add_argument('--whole', action='store_true', help='fit only; leave nobody out')
    asked = parser.parse_args()
    asked.cases.mkdir(parents=True, exist_ok=True)
    if asked.what == 'draw':
        name = asked.name or Path(asked.stem).name
        draw_cases(name, asked.stem, asked.t2w, asked.cases, asked.draws, asked.seed)
        return
    cases = load_cases(asked.cases)
    content = json.loads(asked.model.read_text()) if asked.what == 'judge' else {}
    for images in SETS:
        for thick in (False, True):
            rows = list(rows_of(cases, images, thick))
            label = f'{images}{" thick" if thick else ""}'
            if not rows:
                continue
            scores = []
            if asked.what == 'judge':
                model = read_model(content[label], features_of(images))
                scores = [(n, model.probability(x), *rest) for n, x, *rest in rows]
            else:
                people = sorted({person_of(row[0]) for row in rows})
                for person in people if len(people) > 1 and not asked.whole else []:
                    others = [r for r in rows if person_of(r[0]) != person]
                    model = fit_rows(others, images)
                    scores += [
                        (n, model.probability(x), *rest)
                        for n, x, *rest in rows
                        if person_of(n) == person
                    ]
                model = fit_rows(rows, images)
                content[label] = {
                    'features': list(features_of(images)),
                    **{
                        key: np.vectorize(lambda v: float(f'{v:.4g}'))(
                            getattr(model, key)
                        ).tolist()
                        for key in ('mean', 'sd', 'weights')
                    },
                }
            if scores:
                report(scores, label)
    if asked.what == 'fit' and asked.model:
        asked.model.write_text(json.dumps(content) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
