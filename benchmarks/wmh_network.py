"""Compare weights of the network on what none of them was trained on, and judge their probability.

Lesions are inserted into visits of people that were kept out (``inserted.py``), as they are and
with slices averaged to twice their thickness, and heads of patients are drawn (``sweep.py``).
Every model sees the same, beside the classical engine and the vote of both::

    python benchmarks/wmh_network.py OUT_DIR --derivatives DER [DER ...] --only sub-01 sub-20 \\
        --models OLD.onnx NEW.onnx [--each 6] [--phantoms 60] [--seed 21] [--jobs 2]
        [--calibration CALIBRATION.json] [--fit CALIBRATION.json] [--search]

Prints and writes: Dice and volume by load, thickness, T1w (``heads.tsv``), recall by size of a
lesion (``lesions.tsv``), what is found in heads without lesions, the expected calibration error of
each map and its reliability curve (``reliability.tsv``, ``reliability.png``), and how well the
lining of the ventricles is told. With ``--fit`` the curves are written as the calibration of the
*last* model; to be tested on another seed with ``--calibration``. With ``--search`` the weight of
the network in the vote, and the level of the cut, are varied (``search.tsv``). What is done is
kept in OUT_DIR/parts; a run that was stopped goes on from there.
"""

from __future__ import annotations

import os

os.environ.setdefault('OMP_NUM_THREADS', '1')

import argparse
import json
import pickle
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage as ndi
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit

sys.path.insert(0, str(Path(__file__).parent))
import inserted
import sweep

from csvdprep.markers.wmh.inputs import visits_of
from csvdprep.markers.wmh.learned import learned_probability
from csvdprep.markers.wmh.science import WmhOptions, segment_wmh
from csvdprep.markers.wmh.science.calibration import calibrated
from csvdprep.markers.wmh.science.cut import LEAST_MM3, LEAST_MM3_THICK, THICK
from csvdprep.markers.wmh.science.network import VOTE
from csvdprep.markers.wmh.science.parts import thin_lining
from csvdprep.markers.wmh.science.threshold import grow_from_seeds

LOADS = (1.0, 3.0, 8.0, 20.0, 45.0, 90.0)
#: Borders of the sizes of lesions, mL.
SIZES_ML = (0, 0.03, 0.1, 0.3, 1, 5, np.inf)
#: Bins of probability; calibration errors are of 20 bins, curves are fitted on all.
BINS, COARSE = 100, 20
#: Voxels of less than this are not judged: most of the brain is surely no lesion.
LEAST = 0.01
#: Weights of the network in the vote, and levels of the cut, that ``--search`` compares.
WEIGHTS, LEVELS = (0.3, 0.5, 0.7, 0.85, 1.0), (0.3, 0.4, 0.5, 0.6)
#: Seeds of insertions of calibration and test never meet those of ``inserted.py``.
FIRST = 500_000


def thicker(case: dict, by: int) -> dict:
    """Average neighbouring slices of a visit, the last axis being across them."""
    count = case['flair'].shape[2] // by * by

    def mean(volume):
        kept = np.asarray(volume, np.float32)[..., :count]
        return kept.reshape(*kept.shape[:-1], -1, by).mean(-1)

    out = dict(case)
    for name, value in case.items():
        if not isinstance(value, np.ndarray) or value.ndim < 3:
            continue
        if value.dtype == bool or name == 'mask':
            out[name] = mean(value > 0) >= 0.5
        elif np.issubdtype(value.dtype, np.integer):
            out[name] = value[..., by // 2 : count : by][..., : count // by]
        else:
            out[name] = mean(value)
    affine = np.array(case['affine'], float)
    affine[:3, 3] += affine[:3, 2] * (by - 1) / 2
    affine[:3, 2] *= by
    scale = np.array([1, 1, by])
    return out | {'affine': affine, 'voxel_mm': np.asarray(case['voxel_mm']) * scale}


def maps_of(head: dict, models: list[Path]) -> dict[str, np.ndarray]:
    """Return each map of a head: of the classical engine, of each model, and of their vote."""
    takes = {k: v for k, v in head.items() if k not in ('affine', 't1w')}
    classical = segment_wmh(**takes, options=WmhOptions(runs=10, engine='classical'))
    counted = _counted(takes)
    out = {'classical': classical.probability * counted, 'mask': classical.mask > 0}
    for name, model in models:
        lesion, lining = learned_probability(takes, head['affine'], model, t1w=head['t1w'])
        out[name] = lesion * counted
        out[f'{name}+vote'] = VOTE * out[name] + (1 - VOTE) * out['classical']
        out[f'{name}+lining'] = lining
    return out


def _counted(takes: dict) -> np.ndarray:
    return (takes['mask'] > 0) & ~takes['deep_grey'] & ~takes['infratentorial']


def cut_at(takes: dict, probability: np.ndarray, level: float) -> np.ndarray:
    """Cut a map as the engines do."""
    voxel_mm = np.asarray(takes['voxel_mm'], float)
    least = LEAST_MM3_THICK if voxel_mm.max() > THICK * voxel_mm.min() else LEAST_MM3
    counted = _counted(takes)
    return grow_from_seeds(probability, counted, level, level, voxel_mm, least_mm3=least)


def scored(takes: dict, maps: dict, truth, judged, about: dict, options, calibration) -> dict:
    """Compare each map of a head with the truth where that is known."""
    ml = float(np.prod(takes['voxel_mm'])) / 1000
    number, count = ndi.label(truth, np.ones((3, 3, 3)))
    sizes = np.bincount(number.ravel())[1:] * ml
    rows, lesions, curves = [], [], []
    for name, map_ in maps.items():
        if name == 'mask' or name.endswith('+lining'):
            continue
        level = options.both_cut if name.endswith('+vote') else options.network_cut
        found = maps['mask'] if name == 'classical' else cut_at(takes, map_, level)
        found = found & judged
        both = float(found.sum() + truth.sum())
        rows.append(
            about
            | {
                'map': name,
                'true_ml': truth.sum() * ml,
                'ml': found.sum() * ml,
                'dice': 2 * (found & truth).sum() / both if both else 1.0,
                'unseen': (truth & (map_ < LEAST)).sum() / max(1, truth.sum()),
            }
        )
        hit = np.bincount(number.ravel(), found.ravel(), minlength=count + 1)[1:] > 0
        lesions += [
            about | {'map': name, 'ml': s, 'hit': h} for s, h in zip(sizes, hit, strict=True)
        ]
        shown = map_
        engine = 'both' if name.endswith('+vote') else 'network'
        engine = 'classical' if name == 'classical' else engine
        if calibration:
            shown = calibrated(map_, engine, takes['has_t1w'], calibration)
        play = judged & (map_ >= LEAST)
        place = np.minimum((shown[play] * BINS).astype(int), BINS - 1)
        curves.append(
            pd.DataFrame(
                {
                    'bin': np.arange(BINS),
                    'n': np.bincount(place, minlength=BINS),
                    'true': np.bincount(place, truth[play], minlength=BINS),
                    'said': np.bincount(place, shown[play], minlength=BINS),
                }
            ).assign(map=name, engine=engine, t1w=about['t1w'], kind=about['kind'])
        )
    return {'rows': rows, 'lesions': lesions, 'curves': curves}


@lru_cache(maxsize=16)
def near_own(stem: str, by: int, models: tuple) -> np.ndarray:
    """Return where a visit has lesions of its own, as any of those that are compared says."""
    case = inserted.visit(stem)
    own = maps_of(thicker(case, by) if by > 1 else case, models)
    near = ndi.binary_dilation(own['mask'], iterations=2)
    for name, _ in models:
        near |= own[name] > 0.3
    return near


def insertion(job) -> dict:
    """Insert lesions into a visit and score all maps."""
    stem, load, number, by, models, calibration, search = job
    case = inserted.visit(stem)
    changed, height, contrast = inserted.insert(case, load, number)
    case, changed = (thicker(one, by) if by > 1 else one for one in (case, changed))
    if by > 1:
        height = thicker(
            {'height': height, 'flair': height, 'affine': np.eye(4), 'voxel_mm': 1}, by
        )['height']
    near = near_own(stem, by, tuple(models))
    truth = (height >= 0.5) & _counted(changed)
    judged = (~near | truth) & (changed['mask'] > 0)
    about = {
        'kind': 'inserted',
        'head': Path(stem).name,
        't1w': case['has_t1w'],
        'load': load,
        'slices_mm': round(float(np.max(changed['voxel_mm']))),
        'noise': np.nan,
        'contrast': contrast,
    }
    maps = maps_of(changed, models)
    out = scored(changed, maps, truth, judged, about, WmhOptions(), calibration)
    out['search'] = varied(changed, maps, truth, judged, about, models) if search else []
    return out


def drawn(job) -> dict:
    """Draw the head of a patient and score all maps."""
    number, heads, seed, models, calibration, search = job
    setting = sweep.draw(number, heads, seed)
    head = sweep.made(setting)
    takes, slices = head['takes'], head['slices']
    maps = maps_of(takes | {'affine': head['affine'], 't1w': head['t1w']}, models)
    truth = (slices.see(head['wmh'].height) >= 0.5) & _counted(takes)
    about = {
        'kind': 'phantom',
        'head': str(setting['seed']),
        't1w': setting['t1w'],
        'load': setting['load'],
        'slices_mm': round(float(np.max(takes['voxel_mm']))),
        'noise': setting['noise'],
        'contrast': head['look'].lesion,
    }
    out = scored(takes, maps, truth, takes['mask'] > 0, about, WmhOptions(), calibration)
    play = takes['mask'] > 0
    out['search'] = varied(takes, maps, truth, play, about, models) if search else []
    lining = (slices.see(head['wmh'].lining) >= 0.3) & ~truth & (takes['mask'] > 0)
    ml = float(np.prod(takes['voxel_mm'])) / 1000
    out['lining'] = []
    for name, _ in models:
        mask = cut_at(takes, maps[f'{name}+vote'], WmhOptions().both_cut)
        thin = thin_lining(mask, takes['ventricles'], takes['voxel_mm'])
        told = mask & (maps[f'{name}+lining'] > 0.5)
        less = mask & ~told
        out['lining'].append(
            about
            | {
                'map': name,
                'true_ml': (mask & lining).sum() * ml,
                'thin_ml': thin.sum() * ml,
                'told_ml': told.sum() * ml,
                'dice_thin': _dice(thin, mask & lining),
                'dice_told': _dice(told, mask & lining),
                'dice_all': _dice(mask, truth),
                'dice_less': _dice(less, truth),
            }
        )
    return out


def varied(takes: dict, maps: dict, truth, judged, about: dict, models) -> list[dict]:
    """Score votes of all weights, cut at all levels."""
    ml = float(np.prod(takes['voxel_mm'])) / 1000
    rows = []
    for name, _ in models:
        for weight in WEIGHTS:
            map_ = weight * maps[name] + (1 - weight) * maps['classical']
            for level in LEVELS:
                found = cut_at(takes, map_, level) & judged
                rows.append(
                    about
                    | {
                        'map': name,
                        'weight': weight,
                        'level': level,
                        'true_ml': truth.sum() * ml,
                        'ml': found.sum() * ml,
                        'dice': _dice(found, truth),
                    }
                )
    return rows


def report_search(search: pd.DataFrame) -> None:
    """Print what each weight and level gives: means, the worst tenth, lesion-free heads."""
    full = search[search.true_ml >= 1]
    by = ['map', 'kind', 't1w', 'weight', 'level']
    table = full.groupby(by).agg(
        dice=('dice', 'mean'), worst=('dice', lambda v: v.quantile(0.1)), n=('dice', 'size')
    )
    ratio = full[full.true_ml >= 5].assign(ratio=lambda t: t.ml / t.true_ml)
    table['ratio'] = ratio.groupby(by).ratio.median()
    table['empty_ml'] = search[search.load == 0].groupby(by).ml.max()
    print('weight of the network and level of the cut')
    print(table.round(3).to_string(), '\n')


def _dice(one, other) -> float:
    both = float(one.sum() + other.sum())
    return float(2 * (one & other).sum() / both) if both else 1.0


def calibration_error(curve: pd.DataFrame) -> float:
    """Return the expected calibration error over `COARSE` bins of equal width."""
    coarse = curve.groupby(curve.bin // (BINS // COARSE))[['n', 'true', 'said']].sum()
    return float((coarse.true - coarse.said).abs().sum() / max(1, coarse.n.sum()))


def _curve(at, share, weight, knots, *, smooth: bool) -> np.ndarray:
    """Fit a monotone curve: a line in log odds (two numbers), or isotonic."""
    if not smooth:
        return np.interp(knots, at, isotonic_regression(share, weights=weight).x)

    def odds(values):
        return np.log(values / (1 - values))

    def loss(line):
        said = np.clip(expit(line[0] + abs(line[1]) * odds(at)), 1e-6, 1 - 1e-6)
        return -(weight * (share * np.log(said) + (1 - share) * np.log(1 - said))).sum()

    line = minimize(loss, [0.0, 1.0], method='Nelder-Mead').x
    return expit(line[0] + abs(line[1]) * odds(knots))


def fitted(curves: pd.DataFrame, name: str, *, smooth: bool = False) -> dict:
    """Fit what a map's probability means, kinds of heads counting alike; monotone."""
    out = {}
    wanted = {'classical': 'classical', 'network': name, 'both': f'{name}+vote'}
    for engine, map_ in wanted.items():
        for t1w, group in curves[curves['map'] == map_].groupby('t1w'):
            share = group.n / group.groupby('kind').n.transform('sum')
            group = group.assign(w=share, hit=share * group.true / group.n.clip(lower=1))
            summed = group.groupby('bin')[['w', 'hit']].sum()
            summed = summed[summed.w > 0]
            at = (summed.index.to_numpy() + 0.5) / BINS
            share, weight = (summed.hit / summed.w).to_numpy(), summed.w.to_numpy()
            knots = np.linspace(0.025, 0.975, COARSE)
            curve = _curve(at, share, weight, knots, smooth=smooth)
            out.setdefault(engine, {})['t1w' if t1w else 'flair'] = [
                [0.0, *knots.round(4).tolist(), 1.0],
                [
                    0.0,
                    *np.maximum.accumulate(curve).round(4).tolist(),
                    max(float(curve[-1]), 0.999),
                ],
            ]
    return out


def report(heads, lesions, curves, lining, out: Path) -> None:
    """Print what came out, worst cells beside means."""
    full = heads[heads.load > 0]
    cells = ['kind', 't1w', 'slices_mm']
    for by in (cells, ['kind', 't1w', 'load'], ['kind', 't1w', 'noise']):
        table = full[(full.true_ml >= 1)].pivot_table(
            index=by, columns='map', values='dice', aggfunc=['mean', 'min'], dropna=True
        )
        print(table.round(3).to_string(), '\n')
    ratio = full[full.true_ml >= 5].assign(ratio=lambda t: t.ml / t.true_ml)
    print(
        ratio.groupby(['kind', 't1w', 'map'])
        .ratio.describe()[['count', 'min', '50%', 'max']]
        .round(2)
        .to_string(),
        '\n',
    )
    empty = heads[(heads.load == 0)]
    if len(empty):
        print('found in heads without lesions, mL')
        print(
            empty.groupby(['t1w', 'map'])
            .ml.agg(['size', 'median', 'max', lambda v: (v <= 0.3).mean()])
            .round(2)
            .to_string(),
            '\n',
        )
    size = pd.cut(lesions.ml, SIZES_ML, right=False)
    print('recall by size, mL; number of lesions')
    table = lesions.assign(hit=lesions.hit.astype(float)).groupby(
        ['kind', 't1w', size, 'map'], observed=True
    )
    print(table.hit.agg(['mean']).unstack('map').round(2).to_string())
    print(table.hit.size().unstack('map').iloc[:, 0].to_string(), '\n')
    errors = {
        key: calibration_error(group) for key, group in curves.groupby(['kind', 't1w', 'map'])
    }
    print('share of lesions that no map shows')
    print(full.groupby(['kind', 't1w', 'map']).unseen.mean().unstack().round(3).to_string(), '\n')
    print('expected calibration error')
    print(pd.Series(errors).unstack().round(3).to_string(), '\n')
    if len(lining):
        some = lining[lining.load > 0].copy()
        for way in ('thin', 'told'):
            some[f'{way}_error'] = (some[f'{way}_ml'] - some.true_ml).abs()
        columns = [c for c in some if c.endswith('_error') or c.startswith('dice_')]
        error = some.groupby('map')[columns].mean().assign(n=len(some))
        print('lining of the ventricles within the mask of the vote')
        print(error.round(3).to_string())
    draw_curves(curves, out / 'reliability.png')


def draw_curves(curves: pd.DataFrame, path: Path) -> None:
    """Draw reliability curves."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    kinds = list(curves.groupby(['kind', 't1w']))
    figure, axes = pyplot.subplots(1, len(kinds), figsize=(4 * len(kinds), 4), squeeze=False)
    for axis, ((kind, t1w), part) in zip(axes[0], kinds, strict=True):
        axis.plot([0, 1], [0, 1], color='0.7')
        for name, curve in part.groupby('map'):
            coarse = curve.groupby(curve.bin // (BINS // COARSE))[['n', 'true', 'said']].sum()
            coarse = coarse[coarse.n > 50]
            axis.plot(
                coarse.said / coarse.n,
                coarse.true / coarse.n,
                label=f'{name} {calibration_error(curve):.3f}',
            )
        axis.set(title=f'{kind}, {"T1w" if t1w else "FLAIR alone"}', xlabel='probability')
        axis.legend(fontsize=7, title='expected calibration error')
    axes[0][0].set_ylabel('share that is lesion')
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def summed(curves: pd.DataFrame) -> pd.DataFrame:
    """Add up the curves of heads."""
    by = ['kind', 't1w', 'map', 'engine', 'bin']
    return curves.groupby(by, as_index=False)[['n', 'true', 'said']].sum()


def crossed(curves: pd.DataFrame, name: str, *, smooth: bool) -> pd.DataFrame:
    """Return the calibration error of each half with curves that were fitted on the other."""
    heads = {kind: sorted(set(part['head'])) for kind, part in curves.groupby('kind')}
    person = curves['head'].str.split('_').str[0]
    odd = person.map(
        {h.split('_')[0]: n % 2 for kind in heads for n, h in enumerate(_people(heads[kind]))}
    )
    out = []
    for half in (0, 1):
        curve = fitted(summed(curves[odd != half]), name, smooth=smooth)
        part = summed(curves[odd == half])
        part = part[part['map'].isin(['classical', name, f'{name}+vote'])]
        for (engine, t1w), rows in part.groupby(['engine', 't1w']):
            mean = (rows.said / rows.n.clip(lower=1)).to_numpy()
            now = calibrated(mean, engine, t1w, curve)
            place = np.minimum((now * BINS).astype(int), BINS - 1)
            out.append(rows.assign(said=now * rows.n, bin=place))
    each = pd.concat(out).groupby(['kind', 't1w', 'map'])
    return pd.Series({key: calibration_error(group) for key, group in each}).unstack()


def _people(heads: list[str]) -> list[str]:
    return sorted({head.split('_')[0] for head in heads})


def _one(job) -> dict:
    path, job = job
    if not path.exists():
        part = insertion(job[1:]) if job[0] == 'inserted' else drawn(job[1:])
        for curve in part['curves']:
            curve['head'] = part['rows'][0]['head']
        path.with_suffix('.new').write_bytes(pickle.dumps(part))
        path.with_suffix('.new').rename(path)
    return pickle.loads(path.read_bytes())


def _jobs(given, models, calibration) -> list[tuple]:
    """Return what is to be done, of each kind in turn."""
    jobs = []
    for root in given.derivatives:
        for stem in visits_of(root):
            if given.only and Path(stem).name.split('_')[0] not in given.only:
                continue
            for k in range(given.each):
                number = FIRST + 1000 * given.seed + len(jobs)
                by = given.thicker[(k // len(LOADS) + k) % len(given.thicker)]
                load = LOADS[k % len(LOADS)]
                jobs.append(
                    ('inserted', stem, load, number, by, models, calibration, given.search)
                )
    jobs += [
        ('phantom', n, given.phantoms, given.seed, models, calibration, given.search)
        for n in range(given.phantoms)
    ]
    order = np.random.default_rng(given.seed).permutation(len(jobs))
    (given.out / 'parts').mkdir(exist_ok=True)
    return [(given.out / 'parts' / f'{n:04d}.pkl', jobs[n]) for n in order]


def _run(jobs: list[tuple], given):
    if given.done:
        jobs = [job for job in jobs if job[0].exists()]
        print(f'{len(jobs)} heads that are done')
    with ProcessPoolExecutor(given.jobs) as pool:
        yield from pool.map(_one, jobs)


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=Path)
    parser.add_argument('--derivatives', type=Path, nargs='*', default=[])
    parser.add_argument('--only', nargs='*', default=[], help='participants')
    parser.add_argument('--models', type=Path, nargs='+', required=True)
    parser.add_argument('--each', type=int, default=6, help='insertions into each visit')
    parser.add_argument('--thicker', type=int, nargs='*', default=[1, 2], help='slices as one')
    parser.add_argument('--phantoms', type=int, default=60)
    parser.add_argument('--seed', type=int, default=21)
    parser.add_argument('--jobs', type=int, default=2)
    parser.add_argument('--calibration', type=Path, help='apply this one')
    parser.add_argument('--fit', type=Path, help='write one of the last model')
    parser.add_argument('--search', action='store_true', help='vary weight and level of the vote')
    parser.add_argument('--done', action='store_true', help='report on what is done so far')
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    models = [(path.stem, path) for path in given.models]
    calibration = json.loads(given.calibration.read_text()) if given.calibration else None
    parts = list(_run(_jobs(given, models, calibration), given))
    tables = {
        name: pd.DataFrame([row for part in parts for row in part.get(key, [])])
        for name, key in (
            ('heads', 'rows'),
            ('lesions', 'lesions'),
            ('lining', 'lining'),
            ('search', 'search'),
        )
    }
    by_head = pd.concat([curve for part in parts for curve in part['curves']])
    tables['reliability'] = summed(by_head)
    for name, table in tables.items():
        table.to_csv(given.out / f'{name}.tsv', sep='\t', index=False)
    report(*(tables[k] for k in ('heads', 'lesions', 'reliability', 'lining')), given.out)
    if given.search:
        report_search(tables['search'])
    if given.fit:
        print('calibration error with curves of the other half of people and phantoms')
        for smooth in (True, False):
            print('line in log odds' if smooth else 'isotonic')
            print(crossed(by_head, models[-1][0], smooth=smooth).round(3).to_string())
        found = fitted(tables['reliability'], models[-1][0])
        given.fit.write_text(json.dumps(found, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
