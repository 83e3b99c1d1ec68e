"""Find inserted hyperintensities with the app's own segmentation, for ``csvdprep score``.

A dataset that ``csvdprep phantom OUT --into BIDS_DIR --with DERIVATIVES`` made can be run like any
other: ``csvdprep OUT FOUND participant --markers wmh``. That registers each case anew. Here tissue
and registration are those of DERIVATIVES, and only the segmentation is made again on the new
FLAIR, which takes a minute a case::

    python benchmarks/inserted_found.py OUT BIDS_DIR DERIVATIVES FOUND [--jobs 2]
    csvdprep score FOUND OUT/derivatives/truth

So errors that new registrations and tissue maps would add are not in these figures.
"""

from __future__ import annotations

import os

os.environ.setdefault('OMP_NUM_THREADS', '1')

import argparse
import csv
import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from csvdprep.imaging.images import load, save
from csvdprep.markers.wmh.inputs import read_derivatives
from csvdprep.markers.wmh.learned import learned_probability
from csvdprep.markers.wmh.science import WmhOptions, segment_wmh


def place(row: dict[str, str], begin: str = '') -> tuple[Path, str]:
    """Return folder of a visit and begin of its file names."""
    parts = [row[f'{begin}participant_id'], row[f'{begin}session_id']]
    parts = [part for part in parts if part not in ('', 'n/a')]
    return Path(*parts), '_'.join(parts)


def find(job) -> str:
    """Segment a case and write mask, probability and volume."""
    row, given = job
    folder, stem = place(row)
    source, source_stem = place(row, 'source_')
    anat = given.derivatives / source / 'anat'
    with tempfile.TemporaryDirectory() as scratch:
        space, takes, _ = read_derivatives(str(anat / source_stem), Path(scratch))
    before = load(given.bids_dir / source / 'anat' / f'{source_stem}_FLAIR.nii.gz')
    after = load(given.out / folder / 'anat' / f'{stem}_FLAIR.nii.gz')
    raw, new = (np.asanyarray(i.dataobj, dtype=np.float32).squeeze() for i in (before, after))
    # What the correction of intensity did to the scan, it does to the case.
    field = np.where(raw > 0, takes['flair'] / np.maximum(raw, 1e-6), 1)
    takes['flair'] = (new * field).astype(np.float32)
    options = WmhOptions(runs=1)
    found = segment_wmh(
        **takes, learned=learned_probability(takes, space.image.affine), options=options
    )
    target = given.found / folder / 'anat'
    target.mkdir(parents=True, exist_ok=True)
    for suffix, data in (('mask', found.mask.astype(np.uint8)), ('probseg', found.probability)):
        name = f'{stem}_space-FLAIR_label-WMH_{suffix}.nii.gz'
        save(data, space.image, target / name)
    table = target.parent / f'{stem}_desc-csvd_measures.tsv'
    ids = (row['participant_id'], row['session_id'])
    table.write_text(
        'participant_id\tsession_id\twmh_total_ml\n'
        + '\t'.join((*ids, f'{found.volume_ml:.4f}'))
        + '\n'
    )
    return stem


def main() -> None:
    """Segment all cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=Path)
    parser.add_argument('bids_dir', type=Path)
    parser.add_argument('derivatives', type=Path)
    parser.add_argument('found', type=Path)
    parser.add_argument('--jobs', type=int, default=2)
    given = parser.parse_args()
    given.found.mkdir(parents=True, exist_ok=True)
    about = {
        'Name': 'csvdprep segmentation of inserted hyperintensities',
        'BIDSVersion': '1.10.0',
        'DatasetType': 'derivative',
        'GeneratedBy': [{'Name': 'csvdprep, geometry kept'}],
    }
    (given.found / 'dataset_description.json').write_text(json.dumps(about))
    with (given.out / 'derivatives' / 'truth' / 'cases.tsv').open() as file:
        rows = list(csv.DictReader(file, delimiter='\t'))
    with ProcessPoolExecutor(given.jobs) as pool:
        for stem in pool.map(find, [(row, given) for row in rows]):
            print(stem, flush=True)


if __name__ == '__main__':
    main()
