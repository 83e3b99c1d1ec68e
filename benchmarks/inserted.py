"""Lesions of known volume in the scans of real people: volume, Dice and the interval.

Reads what ``csvdprep`` left of visits with few lesions, adds hyperintensities to the FLAIR on its
own grid, and segments again on arrays; tissue, registration and ventricles stay as they were, but
for white matter in lesions, a random share of which is labelled grey as a dark T1w does::

    python benchmarks/inserted.py DERIVATIVES OUT.tsv [--each 6] [--seed 1] [--jobs 2]

The truth is what was inserted together with what is found without it, so that errors in the scan's
own lesions do not count; visits with more than 10 mL of their own are left out.
"""

from __future__ import annotations

import os

os.environ.setdefault('OMP_NUM_THREADS', '1')

import argparse
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage as ndi

from csvdprep.markers.wmh.inputs import read_derivatives, read_t1w, visits_of
from csvdprep.markers.wmh.learned import learned_probability
from csvdprep.markers.wmh.science import WmhOptions, segment_wmh
from csvdprep.science.normalise import brain_mode

LOADS = (1.0, 3.0, 8.0, 20.0, 45.0, 90.0)
MOST_OF_ITS_OWN = 10.0


@lru_cache(maxsize=8)
def visit(stem: str) -> dict:
    """Return the arguments of `segment_wmh` for a visit, its affine and its T1w."""
    with tempfile.TemporaryDirectory() as folder:
        space, takes, _ = read_derivatives(stem, Path(folder))
        return takes | {'affine': space.image.affine, 't1w': read_t1w(stem, space)}


def draw(case: dict, load_ml: float, rng: np.random.Generator) -> np.ndarray:
    """Return lesions, 0 to 1: bands at the ventricles and foci, with soft borders.

    A random field that is smooth over some millimetres, higher near the ventricles, is cut where
    the volume is reached.
    """
    voxel_mm = case['voxel_mm']
    white = (case['wm'] > 0.6) & (case['atlas'][2] > 0.3) & ~case['deep_grey']
    white &= ~case['infratentorial'] & (case['mask'] > 0)
    scale_mm = rng.uniform(1.5, 6)
    noise = ndi.gaussian_filter(rng.standard_normal(white.shape), scale_mm / voxel_mm)
    away = ndi.distance_transform_edt(case['ventricles'] == 0, voxel_mm)
    score = rng.uniform(0.2, 1) * noise / noise.std()
    score += rng.uniform(0, 4) * np.exp(-away / rng.uniform(3, 15))
    count = min(int(load_ml * 1000 / np.prod(voxel_mm)), int(0.6 * white.sum()))
    chosen = white & (score >= np.partition(score[white], -count)[-count])
    # Borders are softer where structures are larger: what is blurred beyond its size is no lesion.
    soft = scale_mm * rng.uniform(0.15, 0.5) / voxel_mm
    soft[np.argmax(voxel_mm)] = min(soft.max(), 0.5)
    height = ndi.gaussian_filter(chosen.astype(np.float32), soft)
    full = np.percentile(height[chosen], 90)
    return np.clip(height / full, 0, 1) * (case['mask'] > 0)


def segment(case: dict, options: WmhOptions):
    """Do what the room does."""
    takes = {name: value for name, value in case.items() if name not in ('affine', 't1w')}
    learned = None
    if options.engine != 'classical':
        learned = learned_probability(takes, case['affine'], t1w=case['t1w'])
    return segment_wmh(**takes, learned=learned, options=options)


def insert(case: dict, load_ml: float, number: int) -> tuple[dict, np.ndarray, float]:
    """Add lesions to a visit.

    Parameters
    ----------
    case : dict
        Of `visit`.
    load_ml : float
        Volume of what is added, mL.
    number : int
        Seed.

    Returns
    -------
    changed : dict
        The visit with lesions in its FLAIR, its T1w and its tissue.
    height : ndarray
        Lesions, 0 to 1.
    contrast : float
        How much brighter than white matter they are, as a share.
    """
    rng = np.random.default_rng([number, round(10 * load_ml)])
    height = draw(case, load_ml, rng)
    contrast, mixed = rng.uniform(0.3, 0.9), rng.uniform(0, 0.8)
    level = brain_mode(case['flair'][case['mask'] > 0])
    uneven = 1 + 0.15 * ndi.gaussian_filter(rng.standard_normal(height.shape), 2) * 4
    changed = dict(case)
    changed['flair'] = case['flair'] + (height * contrast * level * uneven).astype(np.float32)
    if case['has_t1w']:
        moved = case['wm'] * np.clip(height, 0, 1) * mixed
        changed['wm'], changed['gm'] = case['wm'] - moved, case['gm'] + moved
        # As dark as grey matter is, as far as tissue was called so.
        changed['t1w'] = case['t1w'] * (1 - 0.35 * mixed * np.clip(height, 0, 1))
    return changed, height, contrast


@lru_cache(maxsize=1)
def before(stem: str, engine: str):
    """Return what is found in a visit as it is."""
    return segment(visit(stem), WmhOptions(runs=1, engine=engine))


def measure(job: tuple[str, float, int, int, str]) -> dict | None:
    """Insert lesions into a visit and measure them; None where it has too many of its own."""
    stem, load_ml, number, runs, engine = job
    case, own = visit(stem), before(stem, engine)
    if own.volume_ml > MOST_OF_ITS_OWN:
        return None
    changed, height, contrast = insert(case, load_ml, number)
    ml = float(np.prod(case['voxel_mm'])) / 1000
    found = segment(changed, WmhOptions(runs=runs, engine=engine))
    out = case['deep_grey'] | case['infratentorial']
    truth = ((height >= 0.5) & ~out) | (own.mask > 0)
    mask = found.mask > 0
    return {
        'visit': Path(stem).name,
        't1w': case['has_t1w'],
        'load': load_ml,
        'thick_mm': float(case['voxel_mm'].max()),
        'contrast': contrast,
        'own_ml': own.volume_ml,
        'true_ml': truth.sum() * ml,
        'ml': found.volume_ml,
        'low': found.range_ml[0],
        'high': found.range_ml[1],
        'least': (found.interval_ml or (np.nan,) * 2)[0],
        'most': (found.interval_ml or (np.nan,) * 2)[1],
        'faint_ml': found.qc['faint_ml'],
        'dice': 2 * (truth & mask).sum() / max(1, truth.sum() + mask.sum()),
        'flags': ' '.join(found.flags),
        'classical_ml': found.classical_ml,
        'network_ml': found.network_ml,
    }


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('derivatives', type=Path, nargs='+')
    parser.add_argument('out', type=Path)
    parser.add_argument('--each', type=int, default=6, help='insertions into each visit')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--jobs', type=int, default=2)
    parser.add_argument('--runs', type=int, default=20)
    parser.add_argument('--engine', default='auto', help='auto, network or classical')
    parser.add_argument('--only', nargs='*', default=[], help='participants')
    given = parser.parse_args()
    stems = [
        stem
        for root in given.derivatives
        for stem in visits_of(root)
        if not given.only or Path(stem).name.split('_')[0] in given.only
    ]
    jobs = [
        (
            stem,
            LOADS[k % len(LOADS)],
            1000 * given.seed + 10 * n + k // len(LOADS),
            given.runs,
            given.engine,
        )
        for n, stem in enumerate(stems)
        for k in range(given.each)
    ]
    with ProcessPoolExecutor(given.jobs) as pool:
        rows = pool.map(measure, jobs, chunksize=given.each)
        table = pd.DataFrame([row for row in rows if row])
    table.to_csv(given.out, sep='\t', index=False)
    table['ratio'] = table.ml / table.true_ml
    large = table[table.true_ml >= 5]
    inside = (table.least <= table.true_ml) & (table.true_ml <= table.most)
    print(f'{len(table)} insertions into {table.visit.nunique()} visits')
    for name, group in large.groupby('t1w'):
        ratio, dice = ((c.min(), c.median(), c.max()) for c in (group.ratio, group.dice))
        print(
            f'T1w {name}, 5 mL and more, least, median, most: found over true '
            f'{ratio[0]:.2f}, {ratio[1]:.2f}, {ratio[2]:.2f}; '
            f'Dice {dice[0]:.3f}, {dice[1]:.3f}, {dice[2]:.3f}'
        )
    print(
        table.groupby(['load', 't1w'])
        .agg(
            n=('ml', 'size'),
            low=('ratio', 'min'),
            middle=('ratio', 'median'),
            high=('ratio', 'max'),
            dice=('dice', 'median'),
        )
        .round(2)
        .to_string()
    )
    print(f'interval holds the truth in {inside.mean():.0%}')


if __name__ == '__main__':
    main()
