"""What each source of breadth brings: the network is trained with each of them off once.

One command and a seed; done work is kept in OUT_DIR, a run that was stopped goes on from there::

    python -m training.ablate OUT_DIR --cases CASES --kept KEPT [--without sub-01 sub-20]
        [--sources real phantoms contrast appearance geometry] [--steps 1200] [--batch 8]
        [--seeds 1 2] [--pairs] [--marks 300 600] [--every 2] [--coarse 2] [--models SHIPPED.onnx]

CASES and KEPT are folders of ``training.cases``, and of ``training.labelled``. All cases of KEPT,
and those of CASES that are named ``--without``, are judged and not learned: whole heads, as they
are, with the T1w and as if there were none. The first seed learns with all sources, and with each
of them off; each further seed, with all sources once more: how much these differ is what chance
brings; with ``--pairs``, with each of them off, too. All go to the first of ``--marks`` and are
judged, then all to the next, as far as there is time; the rate of learning falls as it would for
``--steps``. ``--coarse 2`` learns and judges on pixels of 2.5 mm, at a quarter of the cost;
``--models`` see planes as they were made for. ``heads.tsv`` has heads, ``planes.tsv``
loss and Dice on kept-out planes with the breadth of training and plain; printed are means.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from csvdprep.markers.wmh.science.planes import CHANNELS, stack_channels
from csvdprep.science.planes import PIXEL_MM
from training import fit
from training.breadth import BREADTH, FLUID, GREY, LESION, Draw, rendered_t1w
from training.cases import T1W_STEPS
from training.judge import losses
from training.lesions import UNKNOWN
from training.network import UNet

#: Dice is of heads with so much, mL, and in these classes of load.
LEAST_ML, LOADS_ML = 1.0, (1.0, 5.0, 20.0, np.inf)
LOADS = ('1 to 5 mL', '5 to 20 mL', '20 mL and more')
#: Planes at once; batches of 16 planes on which weights are judged.
AT_ONCE, BATCHES = 8, 20


@dataclass(frozen=True)
class Source:
    """What is left out: cases with such names, elements of `BREADTH`."""

    skip: tuple[str, ...] = ()
    off: tuple[str, ...] = ()


SOURCES = {
    'real': Source(skip=('real_',)),
    'phantoms': Source(skip=('phantom_',)),
    'contrast': Source(skip=('labelled_',), off=('rendered',)),
    'appearance': Source(
        off=(
            't1w_contrast',
            'lesion_contrast',
            'contrast',
            'level',
            'ghosts',
            'field',
            'noise',
            'blur',
        )
    ),
    'geometry': Source(
        off=('turned', 'mirrored', 'moved', 'bent', 'thick', 'gaps', 'cut', 'residue')
    ),
}


def t1w_of(item: dict) -> np.ndarray:
    """Return the T1w of a case; phantoms have none, theirs is drawn from the maps as in training.

    Parameters
    ----------
    item : dict
        Arrays of a case.

    Returns
    -------
    ndarray of float32, shape (planes, right, anterior)
    """
    if 't1w' in item:
        return item['t1w'].astype(np.float32) / T1W_STEPS
    layers = np.zeros((len(item['flair']), LESION.stop, *item['flair'].shape[1:]), np.float32)
    layers[:, GREY], layers[:, FLUID] = (item['maps'][k][:, None] / 255 for k in (3, 4))
    layers[:, LESION] = np.where(item['share'] == UNKNOWN, 0, item['share'])[:, None] / 250
    # One contrast for all planes of a head.
    one = Draw(np.random.default_rng(len(item['flair'])), 1)
    drawn = rendered_t1w(torch.from_numpy(layers), one)[:, 0].numpy()
    return np.clip(drawn, 0, 2) * item['brain']


def seen(item: dict, *, t1w: bool) -> np.ndarray:
    """Return what the network takes of all planes of a case, as it is.

    Parameters
    ----------
    item : dict
        Arrays of a case.
    t1w : bool
        Whether its T1w is shown.

    Returns
    -------
    ndarray of float32, shape (planes, 11, right, anterior)
    """
    maps = item['maps'].astype(np.float32) / 255
    if not t1w:
        maps[3:] = 0
    shown = t1w_of(item) if t1w else None
    flair = item['flair'].astype(np.float32) * item['brain']
    return stack_channels(flair, maps, t1w, float(item['thickness']), shown)


def judged(predict: Callable, paths: list[Path], every: int = 1, coarse: int = 1) -> pd.DataFrame:
    """Judge whole heads.

    Parameters
    ----------
    predict : callable
        From planes, (n, 11, right, anterior), to the probability of lesion, (n, right, anterior).
    paths : list of Path
        Cases.
    every : int
        Only each so-many-th plane is judged.
    coarse : int
        So many pixels along each edge are averaged (`training.fit.read_case`).

    Returns
    -------
    DataFrame
        One row for each head, with and without the T1w: true and found volume, mL, and Dice, n/a
        where nothing is true.
    """
    rows = []
    for path in paths:
        item = fit.read_case(path, coarse)
        ml = (PIXEL_MM * coarse) ** 2 * float(item['thickness']) * every / 1000
        share = item['share'][::every]
        known = item['brain'][::every] & (share != UNKNOWN)
        truth = known & (share >= 125)
        for t1w in (True, False) if item['has_t1w'] else (False,):
            planes = seen(item, t1w=t1w)[::every]
            found = [
                predict(planes[k : k + AT_ONCE]) > 0.5 for k in range(0, len(planes), AT_ONCE)
            ]
            found = np.concatenate(found) & known
            both = found.sum() + truth.sum()
            rows.append(
                {
                    'kind': 'phantom' if path.name.startswith('phantom_') else 'inserted',
                    'case': path.stem,
                    't1w': t1w,
                    'true_ml': truth.sum() * ml,
                    'ml': found.sum() * ml,
                    'dice': 2 * (found & truth).sum() / both if truth.any() else np.nan,
                }
            )
    return pd.DataFrame(rows)


def by_torch(state: dict, base: int) -> Callable:
    """Return what weights say, for `judged`."""
    net = UNet(base)
    net.load_state_dict(state)
    net.eval()

    @torch.no_grad()
    def predict(planes):
        return torch.sigmoid(net(torch.from_numpy(planes))[:, 0]).numpy()

    return predict


def by_onnx(path: Path) -> Callable:
    """Return what an ONNX file says; it takes the first so many channels as it was made for."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    count = session.get_inputs()[0].shape[1]
    count = count if isinstance(count, int) else len(CHANNELS)

    def predict(planes):
        return session.run(None, {'planes': np.ascontiguousarray(planes[:, :count])})[0][:, 0]

    return predict


def summary(heads: pd.DataFrame) -> pd.DataFrame:
    """Return the mean Dice of each network, by kind of head and by load, and what is false.

    Parameters
    ----------
    heads : DataFrame
        Of `judged`, with columns ``net`` and ``step``.

    Returns
    -------
    DataFrame
        One row for each step and network: the four groups, their mean, classes of true volume, and
        mL found in heads without lesions (mean, most).
    """
    by, full = ['step', 'net'], heads[heads.true_ml >= LEAST_ML]
    shown = np.where(full.t1w, 'T1w', 'FLAIR')
    groups = full.assign(group=full.kind + ', ' + shown).pivot_table('dice', by, 'group')
    load = pd.cut(full.true_ml, LOADS_ML, right=False, labels=LOADS).astype(str)
    loads = full.assign(load=load).pivot_table('dice', by, 'load')
    loads = loads[[name for name in LOADS if name in loads]]
    empty = heads[heads.true_ml == 0].groupby(by).ml.agg(['mean', 'max'])
    empty.columns = ['empty, mean mL', 'empty, most mL']
    return groups.assign(mean=groups.mean(axis=1)).join(loads).join(empty)


def runs(given) -> list[tuple[str, int, Source]]:
    """Return name, seed and what is left out of each training, in the order in which they run."""
    out = [(f'all, seed {seed}', seed, Source()) for seed in given.seeds]
    return out + [
        (f'without {name}, seed {seed}', seed, SOURCES[name])
        for seed in (given.seeds if given.pairs else given.seeds[:1])
        for name in given.sources
    ]


def differences(heads: pd.DataFrame) -> pd.DataFrame:
    """Return what changes where a source is left out: the mean of trainings without and with it.

    Parameters
    ----------
    heads : DataFrame
        Of `judged`, with columns ``net`` and ``step``; `runs` has the names.

    Returns
    -------
    DataFrame
        One row for each step and source, and one, ``seeds``, of how far trainings with all sources
        are apart at most; columns of `summary`.
    """
    out = []
    for step, table in summary(heads).groupby(level='step'):
        table = table.droplevel('step')
        kind = table.index.str.split(',').str[0]
        means = table.groupby(kind).mean()
        if 'all' not in means.index:
            continue
        change = means.drop(index='all') - means.loc['all']
        every = table[kind == 'all']
        change.loc['seeds'] = every.max() - every.min()
        change.index.name = 'left out'
        out.append(pd.concat({step: change}, names=['step']))
    return pd.concat(out) if out else pd.DataFrame()


def trained(given, name: str, seed: int, source: Source, until: int) -> dict:
    """Train up to a step, or go on; return what is stored."""
    out = given.out / f'{name.replace(", ", "_").replace(" ", "-")}.pt'
    words = [*map(str, given.cases), str(out), '--steps', str(given.steps), '--until', str(until)]
    words += ['--batch', str(given.batch), '--base', str(given.base), '--seed', str(seed)]
    words += ['--threads', str(given.threads), '--coarse', str(given.coarse)]
    # Those that are judged are not looked at while it learns, which would take its time.
    words += ['--skip', *given.without, *source.skip, '--off', *source.off]
    fit.train(fit.arguments().parse_args(words))
    return torch.load(out, weights_only=False)


def kept_out(given) -> list[Path]:
    """Return the cases that are judged."""
    some = [path for folder in given.cases for path in folder.glob('*.npz')]
    some = [path for path in some if any(name in path.name for name in given.without)]
    return sorted(some) + sorted(path for folder in given.kept for path in folder.glob('*.npz'))


def ablate(given) -> pd.DataFrame:
    """Train and judge all that is left; return all heads."""
    torch.set_num_threads(given.threads)
    given.out.mkdir(parents=True, exist_ok=True)
    paths, where = kept_out(given), given.out / 'heads.tsv'
    heads = pd.read_table(where) if where.exists() else pd.DataFrame({'net': [], 'step': []})

    def done(name, step):
        return ((heads.net == name) & (heads.step == step)).any()

    def add(name, step, predict, coarse):
        new = judged(predict, paths, given.every, coarse).assign(net=name, step=step)
        out = pd.concat([heads, new], ignore_index=True) if len(heads) else new
        out.to_csv(where, sep='\t', index=False)
        print(summary(out).round(3).to_string(), flush=True)
        return out

    for model in given.models:
        if not done(model.stem, 0):
            heads = add(model.stem, 0, by_onnx(model), 1)
    for mark in given.marks:
        for name, seed, source in runs(given):
            if done(name, mark):
                continue
            stored = trained(given, name, seed, source, mark)
            if stored['step'] != mark:
                raise SystemExit(f'{name}: stands at step {stored["step"]}, beyond {mark}')
            on_planes(given, name, mark, stored, paths)
            heads = add(name, mark, by_torch(stored['mean'], stored['base']), given.coarse)
    return heads


def on_planes(given, name: str, step: int, stored: dict, paths: list[Path]) -> pd.DataFrame:
    """Judge weights on planes that were kept out: broad as in training, and plain; write it."""
    where = given.out / 'planes.tsv'
    before = pd.read_table(where) if where.exists() else pd.DataFrame({'net': [], 'step': []})
    if ((before.net == name) & (before.step == step)).any():
        return before
    net = UNet(stored['base'])
    net.load_state_dict(stored['mean'])
    cases, row = fit.Cases(paths, given.coarse), {'net': name, 'step': step}
    for way, breadth in (('broad', BREADTH), ('plain', frozenset())):
        row[f'loss, {way}'], row[f'dice, {way}'] = losses(net, cases, breadth, BATCHES)
    out = pd.concat([before, pd.DataFrame([row])], ignore_index=True)
    out.to_csv(where, sep='\t', index=False)
    return out


def arguments() -> argparse.ArgumentParser:
    """Return what the command takes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=Path)
    parser.add_argument('--cases', type=Path, nargs='+', required=True, help='learned')
    parser.add_argument('--kept', type=Path, nargs='+', required=True, help='judged, not learned')
    parser.add_argument('--without', nargs='*', default=[], help='names that are judged, too')
    parser.add_argument('--sources', nargs='*', default=list(SOURCES), choices=list(SOURCES))
    parser.add_argument('--steps', type=int, default=1200)
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--base', type=int, default=12)
    parser.add_argument('--seeds', type=int, nargs='+', default=[1, 2])
    parser.add_argument('--pairs', action='store_true', help='sources are off with every seed')
    parser.add_argument('--marks', type=int, nargs='+', default=[300, 600], help='steps')
    parser.add_argument('--models', type=Path, nargs='*', default=[], help='ONNX, judged beside')
    parser.add_argument('--every', type=int, default=1, help='judge each so-many-th plane')
    parser.add_argument('--coarse', type=int, default=1, help='average pixels: cheaper')
    parser.add_argument('--threads', type=int, default=1)
    return parser


def main() -> None:
    """Run all, and print the table."""
    given = arguments().parse_args()
    heads = ablate(given)
    print(f'{heads["case"].nunique()} heads that nothing was learned from')
    print(summary(heads).round(3).to_string())
    print('what changes without a source, and between seeds')
    print(differences(heads[heads.net.str.contains(', seed ')]).round(3).to_string())
    planes = pd.read_table(given.out / 'planes.tsv').sort_values(['step', 'net'])
    print(planes.round(3).to_string(index=False))


if __name__ == '__main__':
    main()
