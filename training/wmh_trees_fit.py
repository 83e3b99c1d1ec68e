"""Fit boosted trees on candidates for hyperintensities, and judge them on heads kept out.

Compares, on the same heads of ``training.wmh_trees``: the classical engine, the network, the vote
of both that is shipped, the candidates that trees keep, the vote without the components that trees
throw out, and a vote in which trees have a share::

    python -m training.wmh_trees_fit TRAIN KEPT [--out heads.tsv]

Cuts and share are chosen on TRAIN, each person (and each sixth of the phantoms) judged by trees of
the others; KEPT is looked at with what was chosen.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage as ndi
from sklearn.ensemble import HistGradientBoostingClassifier

from csvdprep.markers.wmh.science.threshold import grow_from_seeds
from training.wmh_trees import LEVEL

#: What is fitted: candidates of the classical engine, components of the vote.
SOURCES = ('proposed', 'voted')
#: Shares of lesion from which on a component is kept, and of trees in the vote, that are compared.
CUTS, SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), (0.1, 0.2, 0.3)
#: Groups of phantoms when cuts are chosen, and the least load whose Dice counts, mL.
FOLDS, LEAST_ML = 6, 1.0
#: Borders of the sizes of lesions, mL.
SIZES_ML = (0, 0.03, 0.1, 0.3, 1, np.inf)
#: The rule that was fixed before anything was measured: gain and loss of the mean Dice.
GAIN, LOSS, LOSS_EMPTY = 0.01, 0.005, 0.003
#: Inserted lesions and phantoms, with T1w and FLAIR alone.
GROUPS = 4


def read_heads(folder: Path) -> list[dict]:
    """Read all heads of a folder."""
    out = []
    for path in sorted(folder.glob('*.npz')):
        with np.load(path) as file:
            head = {name: file[name] for name in file.files}
        for name in ('kind', 'head', 'load', 't1w', 'contrast', 'least'):
            head[name] = head[name].item()
        out.append(head)
    return out


def fold_of(head: dict) -> str:
    """Name who must not judge a head: its person, or its share of the phantoms."""
    if head['kind'] == 'inserted':
        return head['head'].split('_')[0]
    return f'phantoms {int(head["head"]) % FOLDS}'


def fitted(heads: list[dict], source: str) -> HistGradientBoostingClassifier:
    """Fit what share of a component is lesion; kinds of heads count alike.

    Parameters
    ----------
    heads : list of dict
        Of `read_heads`.
    source : str
        Of `SOURCES`.
    """
    features, share, weight = [], [], []
    kinds = [head['kind'] for head in heads]
    for head in heads:
        known = head[f'{source}_judged'] > 0.5
        size = np.bincount(head[source].ravel())[1:]
        features.append(head[f'{source}_features'][known])
        share.append(head[f'{source}_true'][known])
        weight.append(np.sqrt(size[known]) / kinds.count(head['kind']))
    x, y, w = (np.concatenate(part) for part in (features, share, weight))
    w = w / w.mean()
    trees = HistGradientBoostingClassifier(
        max_iter=150,
        learning_rate=0.06,
        max_leaf_nodes=12,
        min_samples_leaf=15,
        l2_regularization=2.0,
        random_state=0,
    )
    both = np.concatenate([w * y, w * (1 - y)])
    keep = both > 0
    says = np.repeat([1, 0], len(y))[keep]
    return trees.fit(np.concatenate([x, x])[keep], says, sample_weight=both[keep])


def painted(head: dict, source: str, trees) -> np.ndarray:
    """Return, at each voxel, the share of lesion that trees expect of its component."""
    given = head[f'{source}_features']
    expected = trees.predict_proba(given)[:, 1] if len(given) else np.zeros(0)
    return np.concatenate([[0.0], expected]).astype(np.float32)[head[source]]


def masks_of(head: dict, paint: dict[str, np.ndarray], chosen: dict[str, float]) -> dict:
    """Return the masks that are compared."""
    vote = head['vote'].astype(np.float32)
    share = chosen['share']
    mixed = (1 - share) * vote + share * paint['proposed']
    voted = head['voted'] > 0
    return {
        'classical': head['classical'],
        'network': head['network'],
        'vote': voted,
        'trees': (head['proposed'] > 0) & (paint['proposed'] >= chosen['proposed']),
        'vote, judged': voted & (paint['voted'] >= chosen['voted']),
        'vote of three': grow_from_seeds(
            mixed, head['counted'], LEVEL, LEVEL, head['voxel_mm'], least_mm3=head['least']
        ),
    }


def dice(found: np.ndarray, head: dict) -> float:
    """Return the Dice of a mask where the truth is known."""
    found = found & head['judged']
    both = float(found.sum() + head['truth'].sum())
    return float(2 * (found & head['truth']).sum() / both) if both else 1.0


def choose(heads: list[dict]) -> dict[str, float]:
    """Choose cuts and the share of trees: the best mean of the groups, judged across folds."""
    rows = []
    for fold in sorted({fold_of(head) for head in heads}):
        rest = [head for head in heads if fold_of(head) != fold]
        trees = {source: fitted(rest, source) for source in SOURCES}
        for head in heads:
            if fold_of(head) != fold or true_ml(head) < LEAST_ML:
                continue
            paint = {source: painted(head, source, trees[source]) for source in SOURCES}
            for name, values in (*((source, CUTS) for source in SOURCES), ('share', SHARES)):
                for value in values:
                    chosen = {'proposed': 0.5, 'voted': 0.5, 'share': 0.2} | {name: value}
                    mask = masks_of(head, paint, chosen)[_MADE_BY[name]]
                    group = (head['kind'], head['t1w'])
                    rows.append((name, value, group, dice(mask, head)))
    table = pd.DataFrame(rows, columns=['what', 'value', 'group', 'dice'])
    mean = table.groupby(['what', 'value', 'group']).dice.mean().groupby(['what', 'value']).mean()
    print('mean Dice of the groups across folds of the training heads')
    print(mean.unstack('what').round(3).to_string(), '\n')
    return {name: float(mean[name].idxmax()) for name in (*SOURCES, 'share')}


_MADE_BY = {'proposed': 'trees', 'voted': 'vote, judged', 'share': 'vote of three'}


def true_ml(head: dict) -> float:
    """Return the volume of the lesions of a head."""
    return float(head['truth'].sum() * np.prod(head['voxel_mm'])) / 1000


def judged(heads: list[dict], trees: dict, chosen: dict) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score all masks of heads; and which of their lesions each marks."""
    rows, lesions = [], []
    for head in heads:
        ml = float(np.prod(head['voxel_mm'])) / 1000
        about = {name: head[name] for name in ('kind', 'head', 't1w', 'load')}
        paint = {source: painted(head, source, trees[source]) for source in SOURCES}
        labels, count = ndi.label(head['truth'], np.ones((3, 3, 3)))
        sizes = np.bincount(labels.ravel())[1:] * ml
        for name, mask in masks_of(head, paint, chosen).items():
            found = mask & head['judged']
            parts, pieces = ndi.label(found)
            true = np.bincount(parts.ravel(), head['truth'].ravel(), pieces + 1)[1:] > 0
            rows.append(
                about
                | {
                    'map': name,
                    'true_ml': true_ml(head),
                    'ml': found.sum() * ml,
                    'dice': dice(mask, head),
                    'false_parts': int((~true).sum()),
                }
            )
            hit = np.bincount(labels.ravel(), found.ravel(), count + 1)[1:] > 0
            lesions += [
                about | {'map': name, 'ml': size, 'hit': bool(got)}
                for size, got in zip(sizes, hit, strict=True)
            ]
    return pd.DataFrame(rows), pd.DataFrame(lesions)


def report(rows: pd.DataFrame, lesions: pd.DataFrame) -> None:
    """Print what came out, and what the rule says."""
    full = rows[rows.true_ml >= LEAST_ML]
    groups = full.pivot_table(index=['kind', 't1w'], columns='map', values='dice')
    count = full[full['map'] == 'vote'].groupby(['kind', 't1w']).size()
    print('mean Dice\n', groups.assign(n=count).round(3).to_string(), '\n')
    loads = full.pivot_table(index=['kind', 'load'], columns='map', values='dice')
    print(loads.round(3).to_string(), '\n')
    empty = rows[rows.load == 0]
    told = empty.groupby(['t1w', 'map']).agg(
        heads=('ml', 'size'), ml=('ml', 'mean'), most=('ml', 'max'), parts=('false_parts', 'mean')
    )
    print('heads without lesions\n', told.round(3).to_string(), '\n')
    parts = full.pivot_table(index=['kind', 't1w'], columns='map', values='false_parts')
    print('components without any lesion\n', parts.round(1).to_string(), '\n')
    if len(lesions):
        size = pd.cut(lesions.ml, SIZES_ML, right=False)
        hit = lesions.assign(hit=lesions.hit.astype(float), size=size)
        print(
            'lesions marked, by volume (mL)\n',
            hit.pivot_table(index=['kind', 'size'], columns='map', values='hit', observed=True)
            .round(2)
            .to_string(),
            '\n',
        )
    if len(groups) < GROUPS or empty.empty:
        print('no verdict: the rule needs heads of all four groups, and heads without lesions')
        return
    for name in _MADE_BY.values():
        more = groups[name] - groups['vote']
        before, after = (empty[empty['map'] == m].ml.sum() for m in ('vote', name))
        better = more.mean() >= GAIN and more.min() >= -LOSS
        cleaner = before > 0 and after <= before / 2 and more.min() >= -LOSS_EMPTY
        print(
            f'{name}: Dice {more.mean():+.4f} on average, {more.min():+.4f} in the worst group; '
            f'heads without lesions {before:.2f} -> {after:.2f} mL: '
            f'{"goes" if better or cleaner else "does not go"} into the app'
        )


def main() -> None:
    """Fit, choose and judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('train', type=Path)
    parser.add_argument('kept', type=Path)
    parser.add_argument('--out', type=Path, help='table of all heads')
    given = parser.parse_args()
    train, kept = read_heads(given.train), read_heads(given.kept)
    print(f'{len(train)} heads to train on, {len(kept)} kept out')
    chosen = choose(train)
    print('chosen:', chosen)
    trees = {source: fitted(train, source) for source in SOURCES}
    rows, lesions = judged(kept, trees, chosen)
    report(rows, lesions)
    if given.out:
        rows.to_csv(given.out, sep='\t', index=False)


if __name__ == '__main__':
    main()
