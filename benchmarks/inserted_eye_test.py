"""Can inserted lesions be told from real ones? A small classifier and a mosaic for the eye.

Real lesions are those of the masks in DERIVATIVES on the FLAIR of BIDS_DIR, inserted ones those of
the truth of a dataset that ``csvdprep phantom OUT --into BIDS_DIR --with DERIVATIVES`` made::

    python benchmarks/inserted_eye_test.py OUT BIDS_DIR DERIVATIVES [--mosaic FILE.png]

Patches of 24 mm around the largest section of a lesion are compared by what a reader sees: rings
of brightness around the middle, their spread, sharpness of the border, texture, and the same on
the T1w. Pairs are matched by size and by the white matter around within a person, faint lesions
left out on both sides by one rule, and the folds of the cross-validation keep a person together.
Needs scikit-learn.
"""

from __future__ import annotations

import os

os.environ.setdefault('OMP_NUM_THREADS', '1')

import argparse
from itertools import pairwise
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from scipy import ndimage as ndi
from sklearn.ensemble import RandomForestClassifier
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from csvdprep.imaging.images import canonical
from csvdprep.imaging.transforms import read_linear

#: Half of the edge of a patch and its step, mm; rings around the border of the lesion, mm.
REACH, STEP = 12.0, 0.75
RINGS = (-99, -2, -1, 0, 1, 2, 3.5, 6)
#: Sizes of lesions, equivalent diameter of the section, mm; classes in which pairs are matched.
SIZES = (1.5, 3, 4.5, 6.5, 9, 13)
#: Share of white matter around a lesion: classes in which pairs are matched, too.
WHITE = (-0.01, 0.5, 0.75, 0.9, 1.01)
#: Brightness of a section over what surrounds it, from which on a lesion counts on both sides.
VISIBLE = 0.15


def volume(path: Path):
    """Read an image in canonical order."""
    image = canonical(nib.load(path))
    return np.asanyarray(image.dataobj).astype(np.float32).squeeze(), image.affine


def lesions(path_mask: Path, brain: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Return slice and mask of the largest section of each lesion."""
    mask = volume(path_mask)[0] > 0.5
    labels, _ = ndi.label(mask & brain, np.ones((3, 3, 3)))
    out = []
    for number, box in enumerate(ndi.find_objects(labels), start=1):
        own = labels[box] == number
        at = int(np.argmax(own.sum((0, 1))))
        section = np.zeros(mask.shape[:2], bool)
        section[box[:2]] = own[:, :, at]
        out.append((box[2].start + at, section))
    return out


def patch(plane: np.ndarray, centre, edges) -> np.ndarray:
    """Cut a patch out of a plane, resampled to one step for all scans."""
    steps = np.arange(-REACH, REACH + STEP / 2, STEP)
    at = np.stack(np.meshgrid(steps / edges[0], steps / edges[1], indexing='ij'))
    return ndi.map_coordinates(plane, at + np.array(centre)[:, None, None], order=1)


def white_matter(given: Path, stem: str, affine: np.ndarray, shape) -> np.ndarray:
    """Return the probability of white matter on the grid of the FLAIR."""
    path = given / f'{stem}_label-WM_probseg.nii.gz'
    if not path.exists():
        return volume(given / f'{stem}_space-FLAIR_label-WM_probseg.nii.gz')[0]
    data, own = volume(path)
    move = read_linear(given / f'{stem}_from-FLAIR_to-T1w_mode-image_xfm.txt')
    matrix = np.linalg.inv(own) @ np.linalg.inv(move) @ affine
    return ndi.affine_transform(data, matrix[:3, :3], matrix[:3, 3], output_shape=shape, order=1)


def half_height(cut: np.ndarray, marked: np.ndarray, valid: np.ndarray) -> np.ndarray | None:
    """Delineate a lesion by one rule for both kinds: brighter than half-way to its brightest.

    Masks of a tool and the truth of a phantom have their borders at different heights, which
    would tell them apart whatever the lesions look like.
    """
    around = valid & ~ndi.binary_dilation(marked, iterations=int(2 / STEP))
    if marked.sum() < 3 or around.sum() < 50:
        return None
    smooth = ndi.gaussian_filter(cut, 0.5 / STEP)
    level, top = float(np.median(cut[around])), float(np.quantile(smooth[marked], 0.95))
    parts, count = ndi.label(valid & (smooth > (level + top) / 2))
    if not count or top <= level:
        return None
    sizes = np.bincount(parts[marked], minlength=count + 1)
    sizes[0] = 0
    inside = parts == int(np.argmax(sizes))
    return inside if inside.sum() >= 3 and sizes.max() else None


def describe(image: np.ndarray, inside: np.ndarray, valid: np.ndarray, name: str) -> dict:
    """Describe a patch as a reader would; brightness relative to what surrounds the lesion."""
    signed = np.where(
        inside,
        -ndi.distance_transform_edt(inside, sampling=STEP),
        ndi.distance_transform_edt(~inside, sampling=STEP),
    )
    around = (signed > 2) & (signed < 8) & valid
    level = float(np.median(image[around])) if around.any() else 1.0
    image = image / max(level, 1e-6)
    out = {}
    for low, high in pairwise(RINGS):
        ring = (signed > low) & (signed <= high) & valid
        some = image[ring] if ring.sum() > 2 else np.array([np.nan])
        out[f'{name} mean {low}'], out[f'{name} sd {low}'] = float(some.mean()), float(some.std())
    fine = image - ndi.gaussian_filter(image, 1.0 / STEP)
    slope = ndi.gaussian_gradient_magnitude(image, 0.8 / STEP)
    border = (np.abs(signed) < 1) & valid
    out |= {
        f'{name} fine inside': float(fine[inside].std()),
        f'{name} fine around': float(fine[around].std()) if around.any() else np.nan,
        f'{name} slope at border': float(slope[border].mean()) if border.any() else np.nan,
        f'{name} steepest': float(slope[signed < 2].max()),
        f'{name} brightest': float(image[inside].max()),
        f'{name} darkest': float(image[inside].min()),
        f'{name} skew': float(pd.Series(image[inside].ravel()).skew()) if inside.sum() > 2 else 0,
    }
    return out


def of_visit(person: str, flair: Path, mask: Path, given: Path, stem: str, kind: int, t1w: Path):
    """Describe the lesions of a visit."""
    image, affine = volume(flair)
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    brain = volume(given / f'{stem}_space-FLAIR_desc-brain_mask.nii.gz')[0] > 0
    inner = ndi.binary_erosion(brain, np.ones((3, 3, 1)), iterations=3)
    other = None
    move = given / f'{stem}_from-FLAIR_to-T1w_mode-image_xfm.txt'
    if t1w.exists() and move.exists():
        data, own = volume(t1w)
        matrix = np.linalg.inv(own) @ np.linalg.inv(read_linear(move)) @ affine
        other = ndi.affine_transform(
            data, matrix[:3, :3], matrix[:3, 3], output_shape=image.shape, order=1
        )
    white = white_matter(given, stem, affine, image.shape)
    rows = []
    for at, section in lesions(mask, inner):
        diameter = 2 * np.sqrt(section.sum() * edges[0] * edges[1] / np.pi)
        if not SIZES[0] <= diameter < SIZES[-1]:
            continue
        centre = np.argwhere(section).mean(0)
        cut = patch(image[:, :, at], centre, edges)
        marked = patch(section.astype(np.float32), centre, edges) > 0.5
        valid = patch(brain[:, :, at].astype(np.float32), centre, edges) > 0.5
        inside = half_height(cut, marked, valid)
        if inside is None:
            continue
        diameter = 2 * np.sqrt(inside.sum() * STEP**2 / np.pi)
        row = describe(cut, inside, valid, 'FLAIR')
        shape = np.argwhere(inside) * STEP
        spread = (
            np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov(shape.T)), 0.01))
            if len(shape) > 2
            else np.ones(2)
        )
        row |= {
            'elongation': float(spread[1] / spread[0]),
            'filled': float(inside.sum() / max(_hull(inside), 1)),
        }
        seen = float(np.mean(cut[inside])) / float(np.median(cut[valid & ~inside])) - 1
        ring = ndi.binary_dilation(inside, iterations=int(6 / STEP))
        ring &= ~ndi.binary_dilation(inside, iterations=int(2 / STEP))
        around = patch(white[:, :, at], centre, edges)[ring]
        if other is not None:
            row |= describe(patch(other[:, :, at], centre, edges), inside, valid, 'T1w')
        rows.append(
            row
            | {
                '_person': person,
                '_inserted': kind,
                '_diameter': float(diameter),
                '_seen': seen,
                '_white': float(around.mean()) if around.size else 0.0,
                '_patch': cut / np.median(cut[valid]),
            }
        )
    return rows


def _hull(section: np.ndarray) -> int:
    box = ndi.find_objects(section.astype(np.uint8))[0]
    return int(ndi.binary_fill_holes(ndi.binary_closing(section[box], iterations=2)).sum())


def gather(out: Path, raw: Path, derivatives: Path) -> pd.DataFrame:
    """Describe all lesions, real and inserted."""
    cases = pd.read_csv(out / 'derivatives' / 'truth' / 'cases.tsv', sep='\t', dtype=str)
    rows, done = [], set()
    for case in cases.to_dict('records'):
        person, session = case['source_participant_id'], case['source_session_id']
        at = Path(person, *([session] if isinstance(session, str) else []))
        stem = '_'.join(at.parts)
        given = derivatives / at / 'anat'
        if stem not in done:
            done.add(stem)
            rows += of_visit(
                person,
                raw / at / 'anat' / f'{stem}_FLAIR.nii.gz',
                given / f'{stem}_space-FLAIR_label-WMH_mask.nii.gz',
                given,
                stem,
                0,
                raw / at / 'anat' / f'{stem}_T1w.nii.gz',
            )
        own = Path(
            case['participant_id'],
            *([case['session_id']] if isinstance(case['session_id'], str) else []),
        )
        name = '_'.join(own.parts)
        rows += of_visit(
            person,
            out / own / 'anat' / f'{name}_FLAIR.nii.gz',
            out
            / 'derivatives'
            / 'truth'
            / own
            / 'anat'
            / f'{name}_space-FLAIR_label-WMH_mask.nii.gz',
            given,
            stem,
            1,
            out / own / 'anat' / f'{name}_T1w.nii.gz',
        )
    return pd.DataFrame(rows)


def classes(table: pd.DataFrame):
    """Divide lesions by person, size, and how much white matter is around."""
    size = pd.cut(table['_diameter'], SIZES, right=False).astype(str)
    white = pd.cut(table['_white'], WHITE).astype(str)
    return table.groupby(['_person', size, white], sort=True)


def matched(table: pd.DataFrame, rng) -> pd.DataFrame:
    """Keep as many inserted as real lesions of each size and surrounding of each person."""
    kept = []
    for _, group in classes(table):
        parts = [group[group['_inserted'] == kind] for kind in (0, 1)]
        count = min(map(len, parts))
        for part in parts:
            kept.append(part.iloc[rng.permutation(len(part))[:count]])
    return pd.concat(kept)


def judge(table: pd.DataFrame, columns: list[str], name: str) -> None:
    """Cross-validate, keeping a person together, and tell what gives inserted lesions away."""
    x = table[columns].fillna(table[columns].median()).to_numpy()
    y, person = table['_inserted'].to_numpy(), table['_person'].to_numpy()
    folds = GroupKFold(min(5, len(set(person))))
    models = {
        'logistic': make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000)),
        'forest': RandomForestClassifier(400, min_samples_leaf=5, random_state=0),
    }
    print(f'{name}: {len(table)} lesions of {len(set(person))} persons, {len(columns)} features')
    for kind, model in models.items():
        p = cross_val_predict(model, x, y, groups=person, cv=folds, method='predict_proba')[:, 1]
        per = [roc_auc_score(y[person == who], p[person == who]) for who in sorted(set(person))]
        print(
            f'  {kind}: AUC {roc_auc_score(y, p):.3f} (persons '
            + ', '.join(f'{a:.2f}' for a in per)
            + ')'
        )
    forest = models['forest'].fit(x, y)
    weight = permutation_importance(forest, x, y, n_repeats=5, random_state=0).importances_mean
    means = table.groupby('_inserted')[columns].median()
    for index in np.argsort(-weight)[:6]:
        column = columns[index]
        print(
            f'    {column}: real {means.loc[0, column]:.3f}, inserted {means.loc[1, column]:.3f}'
        )


def mosaic(table: pd.DataFrame, path: Path, rng, count: int = 12) -> None:
    """Draw rows of real and of inserted lesions, matched by size and person."""
    import matplotlib as mpl

    mpl.use('Agg')
    import matplotlib.pyplot as plt

    pairs = []
    for _, group in classes(table):
        real, made = (group[group['_inserted'] == kind]['_patch'].tolist() for kind in (0, 1))
        pairs += list(zip(real, made, strict=False))
    some = rng.permutation(len(pairs))[: 2 * count]
    figure, axes = plt.subplots(4, count, figsize=(0.75 * count, 3.2))
    for place, index in enumerate(some):
        block, column = divmod(place, count)
        for kind in (0, 1):
            axes[2 * block + kind, column].imshow(
                pairs[index][kind].T, origin='lower', cmap='gray', vmin=0.2, vmax=1.8
            )
    for axis in axes.ravel():
        axis.set(xticks=[], yticks=[])
        for side in axis.spines.values():
            side.set_visible(False)
    for row in range(4):
        axes[row, 0].set_ylabel('inserted' if row % 2 else 'real', fontsize=8)
    figure.subplots_adjust(0.03, 0.005, 0.998, 0.995, wspace=0.04, hspace=0.04)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=Path)
    parser.add_argument('bids_dir', type=Path)
    parser.add_argument('derivatives', type=Path)
    parser.add_argument('--mosaic', type=Path)
    parser.add_argument('--seed', type=int, default=1)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    table = gather(given.out, given.bids_dir, given.derivatives)
    table = table[table['_seen'] >= VISIBLE]
    print(table.groupby('_inserted')[['_diameter', '_seen']].describe().round(2).T.to_string())
    table = matched(table, rng)
    flair = [name for name in table if name[0] != '_' and not name.startswith('T1w')]
    judge(table, flair, 'FLAIR')
    both = table[table['T1w mean -1'].notna()] if 'T1w mean -1' in table else table.iloc[:0]
    if len(both) > 40:
        judge(both, [name for name in both if name[0] != '_'], 'FLAIR and T1w')
    shape = ['elongation', 'filled']
    judge(table, [name for name in flair if name not in shape], 'FLAIR without shape')
    if given.mosaic:
        mosaic(table, given.mosaic, rng)


if __name__ == '__main__':
    main()
