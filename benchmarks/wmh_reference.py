"""Score the WMH of the application, and those of other tools, against manual masks.

Lays the reference cases out as a BIDS dataset, runs ``csvdprep`` on it as a user would, and
compares every mask with the official evaluator of the WMH Challenge::

    python benchmarks/wmh_reference.py ../shared/data/wmh-reference WORK_DIR [--no-t1w]

Prints the table, and writes it as ``wmh_reference.tsv`` in the folder of the run.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from csvdprep.bids.tsv import write_tsv
from csvdprep.science.overlap import evaluate

RIVALS = ('LSTLGA', 'LSTLPA', 'BIANCA', 'BIANCAab', 'WMHSynthSeg', 'SimVentNet')


def cases(reference: Path) -> dict[str, dict[str, Path]]:
    """Return the files of each case by what they are."""
    found = {}
    for number in ('19', '26'):
        stem = reference / f'openms-mni/sub-{number}/anat/sub-{number}_space-MNI152_'
        found[f'openms{number}'] = {
            'flair': Path(f'{stem}desc-brain_FLAIR.nii.gz'),
            't1w': Path(f'{stem}desc-brain_T1w.nii.gz'),
            'truth': Path(f'{stem}label-lesion_desc-consensus_mask.nii.gz'),
        }
    folder = reference / 'simventwmh'
    for number in ('104252', '105074', '105911'):
        stem = folder / f'sub-{number}/anat/sub-{number}_'
        rivals = folder / f'rivals/sub-{number}'
        found[f'simvent{number}'] = {
            'flair': Path(f'{stem}FLAIR.nii.gz'),
            't1w': Path(f'{stem}space-FLAIR_T1w.nii.gz'),
            'truth': Path(f'{stem}label-abWMH_desc-manual_mask.nii.gz'),
            'rim': Path(f'{stem}label-nWMH_desc-manual_mask.nii.gz'),
            **{
                name: rivals / f'sub-{number}_label-WMH_desc-{name}_mask.nii.gz' for name in RIVALS
            },
        }
    return found


def lay_out(files: dict[str, dict[str, Path]], bids: Path, *, with_t1w: bool) -> None:
    """Write the cases as a BIDS dataset."""
    bids.mkdir(parents=True, exist_ok=True)
    (bids / 'dataset_description.json').write_text(
        '{"Name": "WMH reference cases", "BIDSVersion": "1.10.0", "DatasetType": "raw"}\n'
    )
    for name, case in files.items():
        folder = bids / f'sub-{name}' / 'anat'
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(case['flair'], folder / f'sub-{name}_FLAIR.nii.gz')
        if with_t1w:
            shutil.copyfile(case['t1w'], folder / f'sub-{name}_T1w.nii.gz')


def on_grid(path: Path, like) -> np.ndarray:
    """Read a mask in the storage order of another image; the grids must be the same."""
    image = nib.load(path)
    order = nib.orientations.ornt_transform(
        nib.io_orientation(image.affine), nib.io_orientation(like.affine)
    )
    image = image.as_reoriented(order)
    if image.shape[:3] != like.shape[:3] or not np.allclose(image.affine, like.affine, atol=0.05):
        raise SystemExit(f'{path} is not on the grid of the reference.')
    return np.asanyarray(image.dataobj, dtype=np.float32) > 0.5


def score(files: dict[str, dict[str, Path]], output: Path) -> pd.DataFrame:
    """Compare our masks and those of the other tools with the manual ones."""
    rows = []
    for name, case in files.items():
        truth_image = nib.load(case['truth'])
        truth = on_grid(case['truth'], truth_image)
        wide = truth | on_grid(case['rim'], truth_image) if 'rim' in case else None
        ours = next(
            (output / f'sub-{name}' / 'anat').glob('*_space-FLAIR_label-WMH_mask.nii.gz'), output
        )
        candidates = {'csvdprep': ours, **{r: case[r] for r in RIVALS if r in case}}
        ml = float(np.abs(np.linalg.det(truth_image.affine[:3, :3]))) / 1000
        for tool, path in candidates.items():
            if not path.is_file():
                print(f'missing: {path}', file=sys.stderr)
                continue
            mask = on_grid(path, truth_image)
            found = evaluate(truth.astype(np.uint8), mask.astype(np.uint8), truth_image.affine)
            broad = np.nan
            if wide is not None:
                broad = 2 * (wide & mask).sum() / max(1, wide.sum() + mask.sum())
            rows.append(
                {
                    'case': name,
                    'tool': tool,
                    'truth_ml': truth.sum() * ml,
                    'ml': mask.sum() * ml,
                    'dice': found.dice,
                    'hd95_mm': found.hd95,
                    'avd_pct': found.avd,
                    'recall': found.recall,
                    'f1': found.f1,
                    'dice_with_rim': broad,
                }
            )
    return pd.DataFrame(rows)


def main() -> None:
    """Run and score."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('reference', type=Path)
    parser.add_argument('work', type=Path)
    parser.add_argument('--no-t1w', action='store_true', help='give the application FLAIR alone')
    parser.add_argument('--score-only', action='store_true', help='score what is there')
    given = parser.parse_args()
    files = cases(given.reference)
    place = given.work / ('flair' if given.no_t1w else 'flair_t1w')
    if not given.score_only:
        lay_out(files, place / 'raw', with_t1w=not given.no_t1w)
        subprocess.run(
            [
                Path(sys.executable).with_name('csvdprep'),
                place / 'raw',
                place / 'derivatives',
                'participant',
                '-w',
                place / 'work',
                '--keep-workdir',
                '--nprocs',
                '1',
            ],
            check=False,
        )
    table = score(files, place / 'derivatives')
    rows = ([None if pd.isna(cell) else cell for cell in row] for row in table.values)
    write_tsv(place / 'wmh_reference.tsv', [table.columns, *rows], digits=4)
    print(table.to_string(index=False, float_format='%.3f'))
    with_rivals = table[table['dice_with_rim'].notna()]
    print('\nMean over the cases with rivals')
    print(
        with_rivals.groupby('tool')[
            ['dice', 'hd95_mm', 'avd_pct', 'recall', 'f1', 'dice_with_rim']
        ]
        .mean()
        .sort_values('dice', ascending=False)
        .to_string(float_format='%.3f')
    )


if __name__ == '__main__':
    main()
