"""Compare ComBat with reference outputs, and measure it on simulated sites with known truth.

    python benchmarks/harmonisation.py [REFERENCE]

REFERENCE is a folder with ``input.csv`` and outputs of the programs of Fortin in R, Python and
MATLAB (github.com/Jfortin1/ComBatHarmonization, ``Testing/``), named
``parametric_[un]adjusted[_noeb|_meanonly|_batchref]_<program>.csv``: 200 features of ten subjects.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from itertools import product
from pathlib import Path

import numpy as np

from csvdprep.dataset.harmonisation.science import Model, add_site, apply, fit

HOW = {
    '': {},
    'noeb': {'eb': False},
    'meanonly': {'mean_only': True},
    'batchref': {'reference': '1'},
}
RUNS, FEATURES, SITES = 40, 12, 4


def main(argv: list[str]) -> None:
    """Print tables in Markdown."""
    if argv:
        print('| output | program | largest difference |\n|---|---|---|')
        for name, program, gap in references(Path(argv[0])):
            print(f'| {name} | {program} | {gap:.1e} |')
        print()
        combinations(Path(argv[0]))
    for title, rows in (
        ('one visit each', cross_sectional()),
        ('new site by 20 controls', controls()),
        ('two visits each, half of them on another scanner', longitudinal()),
    ):
        print(f'{title}\n')
        print(
            '| participants a site | method | sites apart, SD | effect kept |\n|---|---|---|---|'
        )
        for row in rows:
            print('| {} | {} | {:.2f} | {} |'.format(*row))
        print()


def references(folder: Path) -> list[tuple[str, str, float]]:
    """Return name, program and largest absolute difference of each output."""
    given = np.loadtxt(folder / 'input.csv', delimiter=',', skiprows=1).T
    batch, group = ['1'] * 5 + ['2'] * 5, {'group': np.array([1.0, 0] * 5)}
    found = []
    for path in sorted(folder.glob('*parametric_*.csv')):
        name = path.stem
        prior = {'parametric': not name.startswith('non')}
        name = name.removeprefix('non')
        parts = re.fullmatch(r'parametric_(un)?adjusted_?(\w*?)_?(r|python|matlab)', name)
        # The program in MATLAB ends its iteration at another change than the others.
        more = {'tolerance': 1e-3 if parts[3] == 'matlab' else 1e-4}
        ours = fit(given, batch, None if parts[1] else group, **HOW[parts[2]], **prior, **more)[1]
        theirs = np.loadtxt(path, delimiter=',', skiprows=int(parts[3] == 'r')).T
        found.append((path.stem, parts[3], float(np.abs(ours - theirs).max())))
    return found


def combinations(folder: Path) -> None:
    """Compare all combinations of options with neuroCombat (Python), if it is installed."""
    try:
        import pandas as pd
        from neuroCombat import neuroCombat, neuroCombatFromTraining
    except ImportError:
        print('neuroCombat is not installed: combinations of options are not compared\n')
        return
    vars(np)['int'] = int  # neuroCombat 0.2.12 is older than numpy 1.24
    given = np.loadtxt(folder / 'input.csv', delimiter=',', skiprows=1)
    batch, group = np.array([1] * 5 + [2] * 5), np.array([1.0, 0] * 5)
    table = pd.DataFrame({'batch': batch, 'group': group.astype(int)})
    largest = {'fit': [0.0, 0], 'new subjects': [0.0, 0]}
    for eb, parametric, mean_only, home, kept in product(
        (1, 0), (1, 0), (0, 1), (None, 1, 2), (0, 1)
    ):
        with contextlib.redirect_stdout(io.StringIO()):
            theirs = neuroCombat(
                dat=given,
                covars=table,
                batch_col='batch',
                continuous_cols=['group'] if kept else None,
                eb=bool(eb),
                parametric=bool(parametric),
                mean_only=bool(mean_only),
                ref_batch=home,
            )
        model, ours = fit(
            given.T,
            batch.astype(str),
            {'group': group} if kept else None,
            eb=bool(eb),
            parametric=bool(parametric),
            mean_only=bool(mean_only),
            reference=str(home or ''),
        )
        gaps = {'fit': np.abs(ours.T - theirs['data']).max()}
        if not home:  # with a reference, neuroCombatFromTraining does not know the batches
            with contextlib.redirect_stdout(io.StringIO()):
                new = neuroCombatFromTraining(
                    dat=given + 0.3, batch=batch, estimates=theirs['estimates']
                )['data']
            again = apply(model, given.T + 0.3, batch.astype(str), at_means=True)
            gaps['new subjects'] = np.abs(again.T - new).max()
        for name, gap in gaps.items():
            largest[name] = [max(largest[name][0], gap), largest[name][1] + 1]
    for name, (gap, count) in largest.items():
        print(f'neuroCombat, {name}: {count} combinations of options, {gap:.1e} at most')
    print()


class Study:
    """Sites whose participants differ in age, and what each of them does to measures."""

    def __init__(self, seed: int, count: int, curve: bool = False):
        rng = np.random.default_rng(seed)
        self.at = np.repeat(np.arange(SITES), count)
        self.site = np.array([f'S{k}' for k in self.at])
        self.age = rng.uniform(50, 70, len(self.at)) + 4 * self.at
        self.slope = 0.05 * rng.choice([-1, 1], FEATURES)
        x = self.age - 66
        fixed = (x + (0.15 * np.clip(x, 0, None) ** 2 if curve else 0))[:, None] * self.slope
        common = rng.normal(size=(len(self.at), 1))
        noise = 0.6 * common + 0.8 * rng.normal(size=fixed.shape)
        self.truth = fixed + noise
        site = rng.normal(0.3, 0.3, (SITES, 1)) + rng.normal(0, 0.5, (SITES, FEATURES))
        scale = rng.uniform(0.7, 1.4, (SITES, FEATURES))
        self.seen = fixed + site[self.at] + scale[self.at] * noise

    def apart(self, values: np.ndarray, truth=None, at=None) -> float:
        """Return the spread (SD) of what is left of the sites' effects, mean of measures."""
        off = values - (self.truth if truth is None else truth)
        at = self.at if at is None else at
        return float(np.std([off[at == k].mean(0) for k in np.unique(at)], axis=0, ddof=1).mean())

    def kept(self, values: np.ndarray) -> float:
        """Return the effect of age, as a share of the true values' own."""
        design = np.stack([np.ones_like(self.age), self.age], axis=1)
        ours, true = (np.linalg.lstsq(design, v, rcond=None)[0][1] for v in (values, self.truth))
        return float((ours @ true) / (true @ true))


def cross_sectional():
    """Yield rows of the first table."""
    methods = {
        'as measured': None,
        'ComBat, age not kept': {'age': False},
        'ComBat': {},
        'ComBat without empirical Bayes': {'eb': False},
        'ComBat, means only': {'mean_only': True},
        'ComBat, means only, without empirical Bayes': {'mean_only': True, 'eb': False},
        'ComBat, reference S0': {'reference': 'S0'},
        'CovBat': {'covbat': 0.95},
    }
    for count in (20, 50, 200):
        for name, how in methods.items():
            yield _row(count, name, how, curve=False)
    for name, how in (
        ('effect of age is a curve: ComBat, age as a line', {}),
        ('effect of age is a curve: ComBat, age as a curve', {'splines': ('age',)}),
    ):
        yield _row(200, name, how, curve=True)


def _row(count, name, how, *, curve):
    apart, kept = [], []
    for seed in range(RUNS):
        study = Study(seed, count, curve)
        values = study.seen
        if how is not None:
            more = dict(how)
            covariates = {'age': study.age} if more.pop('age', True) else None
            values = fit(study.seen, study.site, covariates, **more)[1]
        apart.append(study.apart(values))
        kept.append(study.kept(values))
    return count, name, np.mean(apart), f'{np.mean(kept):.2f} (SD {np.std(kept):.2f})'


def controls():
    """Yield rows: a site that the fit did not have, taken in by controls."""
    for name, known in (('as measured', False), ('taken in by 20 controls', True)):
        apart = []
        for seed in range(RUNS):
            study = Study(seed, 200)
            new = study.at == SITES - 1
            model, done = fit(study.seen[~new], study.site[~new], {'age': study.age[~new]})
            model = Model.read(model.text())
            values = study.seen[new]
            if known:
                few = {'age': study.age[new][:20]}
                model = add_site(model, 'new', values[:20], few)
                values = apply(model, values, ['new'] * len(values), {'age': study.age[new]})
            off = (values - study.truth[new])[20:].mean(0) - (done - study.truth[~new]).mean(0)
            apart.append(np.abs(off).mean())
        yield 200, name, np.mean(apart), 'n/a'


def longitudinal():
    """Yield rows: the effect that is to be kept is the change between visits."""
    for name in ('as measured', 'ComBat, visits taken for independent', 'longitudinal ComBat'):
        apart, kept = [], []
        for seed in range(RUNS):
            rng = np.random.default_rng(seed)
            people = np.repeat(np.arange(100), 2)
            start = rng.integers(2, size=100)
            moved = np.arange(100) < 50
            at = np.stack([start, np.where(moved, 1 - start, start)], axis=1).ravel()
            time = np.tile([0.0, 1.0], 100)
            own = rng.normal(0, 1, (100, FEATURES)).repeat(2, axis=0)
            truth = own + 0.3 * time[:, None] + rng.normal(0, 0.3, (200, FEATURES))
            effect = rng.normal(0, 0.5, (2, FEATURES))
            seen = truth + effect[at]
            values = seen
            if name != 'as measured':
                who = people.astype(str) if name.startswith('long') else None
                values = fit(seen, at.astype(str), {'time': time}, people=who)[1]
            off = values - truth
            apart.append(np.abs(off[at == 0].mean(0) - off[at == 1].mean(0)).mean())
            change = values[1::2] - values[::2]
            kept.append((change.mean() / 0.3, change.std(axis=0).mean() / (0.3 * np.sqrt(2))))
        mean, spread = np.mean(kept, axis=0)
        yield (
            100,
            name,
            np.mean(apart),
            f'change {mean:.2f}, its spread {spread:.2f} times the true',
        )


if __name__ == '__main__':
    main(sys.argv[1:])
