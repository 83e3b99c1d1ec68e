"""Permeability, blood flow, bolus and arteries of phantoms against their truth, with flags.

    csvdprep phantom P --preset demo --protocol clinical \\
        --modalities T1w FLAIR dce asl angio dsc --participants 1 --wmh-ml 20 --seed 7
    csvdprep P OUT participant --markers permeability perfusion arteries bolus
    python benchmarks/presets.py P OUT [P OUT ...]
"""

from __future__ import annotations

import sys
from pathlib import Path

from csvdprep.bids.tsv import read_tsv

#: Measures that are compared; those of the phantom have the same names.
STEMS = (
    'ps_',
    'vp_',
    't1_nawm_s',
    'cbf_',
    'att_',
    'dsc_cbv_',
    'dsc_cbf_',
    'tdc_',
    'dce_tdc_',
    'artery_',
    'cow_',
    'lsa_',
)


def truth_of(folder: Path) -> dict[str, float]:
    (file,) = sorted((folder / 'derivatives/truth').glob('sub-*/ses-*/*csvd_measures.tsv'))[:1]
    (row,) = read_tsv(file).rows
    out = {}
    for name, value in row.items():
        try:
            out[name] = float(value)
        except ValueError:
            continue
    return out


def main() -> None:
    paths = [Path(item) for item in sys.argv[1:]]
    for phantom, output in zip(paths[::2], paths[1::2], strict=True):
        truth = truth_of(phantom)
        (file,) = sorted(output.glob('sub-*/ses-*/*csvdlong_measures.tsv'))[:1]
        print(f'\n{phantom.name}\n')
        print('| measure | found | truth | off | flag | why |')
        print('|---|---|---|---|---|---|')
        for row in read_tsv(file).rows:
            name = row['measure']
            if not name.startswith(STEMS) or name not in truth:
                continue
            true, cell, off = truth[name], row['value'], ''
            try:
                off = f'{100 * (float(cell) / true - 1):+.1f} %' if true else ''
                cell = f'{float(cell):.3g}'
            except ValueError:
                pass
            reason = '' if row['reason'] == 'n/a' else row['reason'][:90]
            print(f'| `{name}` | {cell} | {true:.3g} | {off} | {row["qc"]} | {reason} |')


if __name__ == '__main__':
    main()
