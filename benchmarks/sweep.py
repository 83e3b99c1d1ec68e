"""Hyperintensities, ventricles and atrophy over some 200 heads of patients, in memory.

Every head is drawn anew: load x noise x slices x ventricles x with or without T1w x whose cortex,
each level as often as every other; softness, contrast, bright cortex, flow, misregistration and
the rest at random.
What is measured are the functions that the application calls, on arrays; registration is
imitated by the known deformation, beside the truth by some mm and short of the ventricles::

    python benchmarks/sweep.py OUT_DIR [--heads 200] [--seed 1] [--jobs 2]

Prints the worst, the median and the share within limits by factor, and the noise series (the
same head at four levels of noise); writes ``heads.tsv`` and ``noise.tsv``.
"""

from __future__ import annotations

import os

os.environ.setdefault('OMP_NUM_THREADS', '1')

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from csvdprep.imaging.atlas import DEEP_GREY, INFRATENTORIAL, find_ventricles, labels_of, sides
from csvdprep.markers.wmh.learned import learned_probability
from csvdprep.markers.wmh.science import WmhOptions, segment_wmh
from csvdprep.phantom.head.anatomy import make_anatomy
from csvdprep.phantom.patients import lesions as disease
from csvdprep.phantom.patients.atlas import warped
from csvdprep.phantom.patients.heads import brain_only
from csvdprep.phantom.patients.look import Look, flair, t1w
from csvdprep.phantom.patients.scanner import Slices, brain_mask, record
from csvdprep.preprocessing.filling.science import guess_lesions
from csvdprep.science.normalise import histogram_peak
from csvdprep.science.tissues import fill_lesions, segment_tissues

STEP = 2.0
LOADS = (0, 0.5, 3, 12, 45, 110)
NOISE = (0.01, 0.03, 0.05, 0.08)
SLICES = ((1, 0), (2, 0), (3, 0), (3, 1))
#: Displacement of the walls, mm: ventricles of about 8, 15, 28, 75 and 165 mL.
VENTRICLES = (-3.6, 0, 6, 20, 45)


@lru_cache(maxsize=2)
def head(seed: int, walls: float, atrophy: float, sulci: float, sharp: float, gyri: int):
    """Return a patient's brain, and the same without ventricles enlarged."""
    common = {'spacing': STEP, 'reach_mm': 10.0, 'sharpness': sharp, 'gyri': gyri}
    sick = make_anatomy(seed, ventricles_mm=walls, atrophy=atrophy, sulci=sulci, **common)
    plain = make_anatomy(seed, **common)
    whole = brain_only(sick)
    return whole, replace(whole, flow=_cut(plain, whole))


def _cut(plain, whole):
    """Return the flow of another head on the grid of a brain."""
    from csvdprep.phantom.geometry.fields import pull

    lines = [
        whole.flow_affine[i, 3] + whole.flow_affine[i, i] * np.arange(n)
        for i, n in enumerate(whole.flow.shape[1:])
    ]
    at = np.stack(np.meshgrid(*lines, indexing='ij'))
    return np.stack([pull(part, plain.flow_affine, at) for part in plain.flow])


def draw(number: int, heads: int, seed: int) -> dict:
    """Return the settings of one head: levels of the factors in turn, in random order."""
    order = np.random.default_rng([seed, 1])

    def level(levels):
        return levels[order.permutation(heads)[number] % len(levels)]

    case = {
        'load': level(LOADS),
        'noise': level(NOISE),
        'slices': level(SLICES),
        'walls': level(VENTRICLES),
        't1w': level((True, False)),
    }
    rng = np.random.default_rng([seed, 2, number])
    return case | {
        'seed': int(rng.integers(2**31)),
        'atrophy': rng.uniform(0, 2.5),
        'sulci': rng.uniform(0, 3),
        'sharp': rng.uniform(3, 8),
        'soft': rng.choice([0, 1, 2, 4, 8, 12]),
        'lining': rng.choice([0, 1.2]),
        'error': rng.uniform(0.5, 3),
        'bias': rng.uniform(0, 0.06),
        'residue': bool(rng.random() < 0.3),
        'gyri': 7 * number // heads,
    }


def made(case: dict) -> dict:
    """Draw a head and scan it.

    Returns
    -------
    dict
        ``takes``, arguments of `segment_wmh`; ``t1w`` where the FLAIR's voxels are, or None;
        ``affine``; and what is true: ``out``, ``sick``, ``wmh``, ``look``, ``slices``.
    """
    sick, plain = head(
        case['seed'], case['walls'], case['atrophy'], case['sulci'], case['sharp'], case['gyri']
    )
    rng = np.random.default_rng([case['seed'], 3])
    if case['load']:
        wmh = disease.grown(
            sick, case['seed'], case['load'], softness_mm=case['soft'], lining_mm=case['lining']
        )
    else:
        wmh = disease.no_lesions(sick)
    look = Look.draw(rng)
    slices = Slices(thick=case['slices'][0], gap=case['slices'][1])
    images = flair(sick, wmh, look, rng), t1w(sick, wmh, look, rng)
    atlas = warped(sick, rng, error_mm=case['error'], plain=plain)
    mask = brain_mask(sick.intracranial, STEP, rng, rough_mm=0.7)
    if case['residue']:
        rim = mask & (sick.intracranial < 0.6)
        images[0][rim] = rng.uniform(0.5, 1.8)
    own = np.random.default_rng([case['seed'], 4])
    scan = record(
        images[0],
        slices,
        STEP,
        own,
        noise=case['noise'],
        bias=case['bias'],
        slice_gain=0.01 if slices.thick > 1 else 0,
    )
    voxel_mm = slices.voxel_mm(STEP)
    out = _tissue(case, scan, images[1], mask, atlas, slices, own)
    takes = dict(zip(('csf', 'gm', 'wm'), out['tissue'], strict=True)) | {
        'flair': scan,
        'mask': out['mask'],
        'voxel_mm': voxel_mm,
        'atlas': slices.see(atlas.tissue),
        'healthy': slices.see(atlas.healthy),
        'ventricles': out['ventricles'],
        'deep_grey': out['deep'],
        'infratentorial': out['low'],
        'side': out['side'],
        'has_t1w': case['t1w'],
    }
    return {
        'takes': takes,
        't1w': out.get('t1w'),
        'affine': np.diag([*voxel_mm, 1.0]),
        'out': out,
        'sick': sick,
        'wmh': wmh,
        'look': look,
        'slices': slices,
    }


def measure(case: dict) -> dict:
    """Draw a head, scan it, measure it, and compare."""
    started = time.process_time()
    drawn = made(case)
    options = WmhOptions(runs=case.get('runs', 1), engine=case.get('engine', 'auto'))
    learned = None
    if options.engine != 'classical':
        learned = learned_probability(drawn['takes'], drawn['affine'], t1w=drawn['t1w'])
    found = segment_wmh(**drawn['takes'], learned=learned, options=options)
    true = (drawn[name] for name in ('out', 'sick', 'wmh', 'look', 'slices'))
    return case | _compare(case, found, *true) | {'cpu_s': time.process_time() - started}


def _spread(planes, slices: Slices, shape) -> np.ndarray:
    """Bring an image of slices to the grid of the head."""
    period = slices.thick + slices.gap
    index = np.minimum(np.arange(shape[2]) // period, planes.shape[2] - 1)
    return planes[..., index]


def _middle(volume, slices: Slices, count: int) -> np.ndarray:
    period = slices.thick + slices.gap
    return volume[..., np.arange(count) * period + slices.thick // 2]


def _tissue(case, scan, other, mask, atlas, slices, rng) -> dict:
    """Do what the rooms before that of the hyperintensities do."""
    voxel_mm, count = slices.voxel_mm(STEP), scan.shape[2]
    small = slices.see(mask.astype(np.float32)) >= 0.5
    structures, lobes = (_middle(a, slices, count) for a in (atlas.structures, atlas.lobes))
    side = sides(lobes)
    out = {
        'mask': small,
        'structures': structures,
        'deep': np.isin(structures, labels_of('structures', *DEEP_GREY)),
        'low': np.isin(structures, labels_of('structures', *INFRATENTORIAL)),
        'side': np.select([side == 1, side == 2], [-1, 1]).astype(np.int8),
    }
    guess = guess_lesions(scan, small, voxel_mm)
    mode, width = histogram_peak(scan[small])
    normal = small & (abs(scan - mode) < width)
    if not case['t1w']:
        filled = fill_lesions(scan, guess, normal, voxel_mm)
        seen = slices.see(atlas.tissue)
        found = segment_tissues(filled, small, seen, voxel_mm, contrast='FLAIR', lesion=guess)
        out['ventricles'] = find_ventricles(
            found.probability[0], small, structures, seen[0], voxel_mm
        )
        ml = np.prod(voxel_mm) / 1000
        return out | {'tissue': found.probability, 'lv_ml': (out['ventricles'] > 0).sum() * ml}
    cubic = (STEP,) * 3
    image = record(other, Slices(), STEP, rng, noise=0.03, bias=0.02)
    guess, normal = (_spread(a, slices, mask.shape) & mask for a in (guess, normal))
    filled = fill_lesions(image, guess, normal, cubic)
    found = segment_tissues(filled, mask, atlas.tissue, cubic, lesion=guess)
    ventricles = find_ventricles(
        found.probability[0], mask, atlas.structures, atlas.tissue[0], cubic
    )
    ml = STEP**3 / 1000
    csf, gm, wm = (float(p.sum()) * ml for p in found.probability)
    return out | {
        'ventricles': _middle(ventricles, slices, count),
        'tissue': slices.see(found.probability),
        't1w': slices.see(image),
        'lv_ml': (ventricles > 0).sum() * ml,
        'bpf': (gm + wm) / (csf + gm + wm),
        'gm_ml': gm,
    }


def _compare(case, found, out, sick, wmh, look, slices) -> dict:
    ml = float(np.prod(slices.voxel_mm(STEP))) / 1000
    white = ~out['deep'] & ~out['low']
    height = slices.see(wmh.height)
    truth, mask = (height >= 0.5) & white, found.mask > 0
    seen = np.stack([slices.see(sick.fractions[k]) for k in ('csf', 'gm', 'wm')])
    whole = {k: sick.volume_ml(k) for k in ('csf', 'gm', 'wm')}
    both = truth.sum() + mask.sum()
    nothing = float('nan')
    return {
        'true_ml': truth.sum() * ml,
        'ml': found.volume_ml,
        'partial_ml': found.partial_ml,
        'low': found.range_ml[0],
        'high': found.range_ml[1],
        'cv': found.cv,
        'least': (found.interval_ml or (np.nan,) * 2)[0],
        'most': (found.interval_ml or (np.nan,) * 2)[1],
        'faint_ml': found.qc['faint_ml'],
        'dice': 2 * (truth & mask).sum() / both if both else 1.0,
        'grey_ml': (mask & (seen[1] > 0.5) & (height < 0.2)).sum() * ml,
        'lining_ml': found.lining.sum() * ml,
        'deepgrey_ml': (found.subcortical == 1).sum() * ml,
        'infratentorial_ml': (found.subcortical == 2).sum() * ml,
        'infarct_ml': found.stroke.sum() * ml,
        'lv_true': sick.volume_ml('ventricles'),
        'lv_ml': out['lv_ml'],
        'bpf_true': (whole['gm'] + whole['wm']) / sum(whole.values()),
        'bpf': out.get('bpf', nothing),
        'gm_true': whole['gm'],
        'gm_ml': out.get('gm_ml', nothing),
        'grey': look.gm,
        'contrast': look.lesion,
        'flags': ' '.join(found.flags),
        'classical_ml': found.classical_ml,
        'network_ml': found.network_ml,
        'sd': found.qc['noise_ratio'],
    }


def noise_series(seed: int, heads: int = 6) -> list[dict]:
    """Return the settings of some heads, each at four levels of noise."""
    out = []
    for number in range(heads):
        case = draw(number, heads, seed + 100)
        case |= {
            'load': (3, 12, 45)[number % 3],
            'slices': SLICES[number % 3],
            't1w': number % 2 == 0,
            'series': number,
        }
        out += [case | {'noise': noise} for noise in (0.015, 0.025, 0.035, 0.045)]
    return out


def run(cases, jobs: int) -> pd.DataFrame:
    """Measure all heads."""
    if jobs == 1:
        return pd.DataFrame([measure(case) for case in cases])
    with ProcessPoolExecutor(jobs) as pool:
        return pd.DataFrame(list(pool.map(measure, cases)))


def report(table: pd.DataFrame, noise: pd.DataFrame) -> None:
    """Print what came out."""
    ratio = table['ml'] / table['true_ml'].clip(lower=0.01)
    empty, large = table['load'] == 0, table['true_ml'] >= 5
    table['ratio'], table['lv_error'] = ratio, table['lv_ml'] / table['lv_true'] - 1
    print(f'{len(table)} heads, {table["cpu_s"].mean():.1f} CPU s each')
    print(
        f'empty heads: median {table.ml[empty].median():.2f} mL, '
        f'{(table.ml[empty] <= 0.3).mean():.0%} <= 0.3 mL, {(table.ml[empty] <= 1).mean():.0%} '
        f'<= 1 mL, worst {table.ml[empty].max():.2f} mL'
    )
    bad = large & ((ratio < 0.5) | (ratio > 2))
    print(
        f'heads of 5 mL and more: found over true {ratio[large].min():.2f} to '
        f'{ratio[large].max():.2f}, median {ratio[large].median():.2f}; {bad.sum()} of '
        f'{large.sum()} below half or above double'
    )
    for name in ('load', 'noise', 'slices', 'walls', 't1w', 'soft'):
        groups = table[large].groupby(name)
        print(
            groups.agg(
                n=('ml', 'size'),
                ratio_low=('ratio', 'min'),
                ratio=('ratio', 'median'),
                ratio_high=('ratio', 'max'),
                dice_low=('dice', 'min'),
                dice=('dice', 'median'),
            )
            .round(3)
            .to_string()
        )
    error = table['lv_error']
    print(
        f'lateral ventricles: within 10 % in {(error.abs() <= 0.1).mean():.0%}, '
        f'{error.min():+.0%} to {error.max():+.0%}'
    )
    print(
        table.groupby(['t1w', 'walls'])
        .agg(
            true=('lv_true', 'mean'),
            found=('lv_ml', 'mean'),
            low=('lv_error', 'min'),
            high=('lv_error', 'max'),
        )
        .round(2)
        .to_string()
    )
    known = table[table['t1w']]
    for name, true in (('bpf', 'bpf_true'), ('gm_ml', 'gm_true')):
        slope, _ = np.polyfit(known[true], known[name], 1)
        print(f'{name}: slope {slope:.2f}, mean error {(known[name] - known[true]).mean():+.3f}')
    series = noise.groupby('series')['ml']
    print('CV over noise:', (series.std() / series.mean()).round(3).tolist())
    for what, low, high in (('sensitivity range', 'low', 'high'), ('interval', 'least', 'most')):
        inside = (table['true_ml'] >= table[low]) & (table['true_ml'] <= table[high])
        print(
            f'{what} holds the truth in {inside.mean():.0%}, '
            f'of 5 mL and more {inside[large].mean():.0%}'
        )
    off, told = (ratio < 2 / 3) | (ratio > 1.5), table['flags'].fillna('') != ''
    print(
        f'flags: of {(off & large).sum()} heads of 5 mL and more that are off by a third '
        f'{(told & off & large).sum()}, of {(~off & large).sum()} others '
        f'{(told & ~off & large).sum()}'
    )
    for name in ('deepgrey_ml', 'infratentorial_ml', 'infarct_ml', 'grey_ml'):
        print(f'{name}: 95 % {table[name].quantile(0.95):.2f}, worst {table[name].max():.2f}')


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=Path)
    parser.add_argument('--heads', type=int, default=200)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--jobs', type=int, default=2)
    parser.add_argument('--runs', type=int, default=1, help='jittered runs for the range')
    parser.add_argument('--engine', default='auto', help='auto, network or classical')
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    cases = [
        draw(n, given.heads, given.seed) | {'runs': given.runs, 'engine': given.engine}
        for n in range(given.heads)
    ]
    started = time.time()
    table = run(cases, given.jobs)
    noise = run([case | {'engine': given.engine} for case in noise_series(given.seed)], given.jobs)
    table.to_csv(given.out / 'heads.tsv', sep='\t', index=False)
    noise.to_csv(given.out / 'noise.tsv', sep='\t', index=False)
    report(table, noise)
    print(f'{time.time() - started:.0f} s')


if __name__ == '__main__':
    main()
