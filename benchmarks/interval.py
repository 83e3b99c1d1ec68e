"""Calibrate the interval of the volume of hyperintensities, and test it on other heads.

    python benchmarks/interval.py --fit HEADS.tsv INSERTED.tsv --test HEADS.tsv INSERTED.tsv

Reads tables of ``sweep.py`` and ``inserted.py`` (``--runs 20``). Prints the factors of
`csvdprep.markers.wmh.science.interval` that the first tables ask for, and what share of the truths
the interval holds in the others, with the factors of the code.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from csvdprep.markers.wmh.science.interval import FACTORS, calibrated_interval, score

#: A little wider than 95 %, as the calibration scans are few.
PERCENTILES = (0.02, 0.98)


def read(paths: list[Path]) -> pd.DataFrame:
    """Read tables, each with its name."""
    tables = [pd.read_csv(path, sep='\t').assign(source=str(path)) for path in paths]
    table = pd.concat(tables, ignore_index=True)
    columns = zip(table.ml, table.low, table.high, table.true_ml, strict=True)
    table['score'] = [score(v, (low, high), true) for v, low, high, true in columns]
    return table


def main() -> None:
    """Fit and test."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--fit', type=Path, nargs='*', default=[])
    parser.add_argument('--test', type=Path, nargs='*', default=[])
    given = parser.parse_args()
    if given.fit:
        for has_t1w, group in read(given.fit).groupby('t1w'):
            # Each table counts as much as every other.
            weight = 1 / group.groupby('source').score.transform('size')
            ordered = group.score.to_numpy()[np.argsort(group.score.to_numpy())]
            share = np.cumsum(weight.to_numpy()[np.argsort(group.score.to_numpy())])
            bounds = ordered[np.searchsorted(share / share[-1], PERCENTILES)]
            print(f'factors, T1w {has_t1w}: {bounds.round(2).tolist()}, {len(group)} scans')
    if not given.test:
        return
    table = read(given.test)
    for k, name in enumerate(('least', 'most')):
        table[name] = [
            calibrated_interval(v, (low, high), has_t1w=t1w, engine='both')[k]
            for v, low, high, t1w in zip(table.ml, table.low, table.high, table.t1w, strict=True)
        ]
    table['holds'] = (table.least <= table.true_ml) & (table.true_ml <= table.most)
    table['size'] = pd.cut(table.true_ml, [-1, 1, 5, 20, 60, 500]).astype(str)
    table['width'] = (table.most + 0.5) / (table.least + 0.5)
    print(f'factors in the code {FACTORS}; held {table.holds.mean():.1%}')
    for name in ('source', 't1w', 'size'):
        print(
            table.groupby(name)
            .agg(n=('holds', 'size'), held=('holds', 'mean'), width=('width', 'median'))
            .round(3)
            .to_string()
        )


if __name__ == '__main__':
    main()
