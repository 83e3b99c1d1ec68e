"""Measure how long csvdprep takes to know what one of many participants has.

    python benchmarks/startup.py [--participants 1000] [--repeats 5]

A skeleton dataset (real names and headers, two visits of five files each) is written to a
temporary folder. Each repeat is a new interpreter that imports what it needs, lists the images of
one participant, inspects them, and ends: the time is wall time from process start to end.
A loop of known cost is timed beside it, since machines differ, and a shared one with its load.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

CODE = """
import sys
from pathlib import Path
from csvdprep.bids.query import collect_visits
from csvdprep.graph.discover import declared
from csvdprep.core.settings import Settings
from csvdprep.imaging.inspect import inspect_image
asked = Settings(bids_dir=Path(sys.argv[1]), output_dir=Path('out'),
                 participant_label=tuple(sys.argv[3:]),
                 bids_database_dir=Path(sys.argv[2]) if sys.argv[2] else None)
visits = collect_visits(asked, declared(), inspect=inspect_image)
assert all(set(visit.scans) == {'t1w', 'flair'} for visit in visits), visits
print(len(visits))
"""


def write_skeleton(root: Path, participants: int) -> None:
    """Write the dataset: every image is a hard link to one small image."""
    rng = np.random.default_rng(0)
    data = np.zeros((40, 48, 40), dtype=np.int16)
    data[6:-6, 6:-6, 6:-6] = rng.integers(50, 200, (28, 36, 28))
    image = root / 'image.nii.gz'
    nib.save(nib.Nifti1Image(data, np.diag([4.5, 4.5, 4.5, 1])), image)
    description = {'Name': 'skeleton', 'BIDSVersion': '1.10.0'}
    (root / 'dataset_description.json').write_text(json.dumps(description))
    for number in range(1, participants + 1):
        for session in '12':
            stem = f'sub-{number:04d}_ses-{session}'
            folder = root / f'sub-{number:04d}' / f'ses-{session}'
            for kind, suffix in (('anat', 'T1w'), ('anat', 'FLAIR'), ('dwi', 'dwi')):
                (folder / kind).mkdir(parents=True, exist_ok=True)
                os.link(image, folder / kind / f'{stem}_{suffix}.nii.gz')
                if kind == 'anat':
                    (folder / kind / f'{stem}_{suffix}.json').write_text('{}')
    image.unlink()


def measure(root: Path, labels: list[str], repeats: int, database: str = '') -> str:
    """Run new interpreters; return median wall and CPU seconds in words."""
    walls, cpus = [], []
    for _ in range(repeats):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(
            [sys.executable, '-c', CODE, str(root), database, *labels],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        walls.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return (
        f'wall {statistics.median(walls):.2f} s (from {min(walls):.2f} to {max(walls):.2f}), '
        f'CPU {statistics.median(cpus):.2f} s'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--participants', type=int, default=1000)
    parser.add_argument('--repeats', type=int, default=5)
    asked = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix='csvdprep-startup-'))
    try:
        raw = root / 'raw'
        raw.mkdir()
        write_skeleton(raw, asked.participants)
        label = f'{(asked.participants + 1) // 2:04d}'
        print(f'{asked.participants} participants, 2 visits of 5 files each')
        start = time.process_time()
        sum(i * i for i in range(10**6))
        print(f'a loop of 1e6 squares     CPU {time.process_time() - start:.3f} s')
        print('one participant          ', measure(raw, [label], asked.repeats))
        kept = str(root / 'database')
        print('database, made           ', measure(raw, [label], 1, kept))
        print('database, opened         ', measure(raw, [label], asked.repeats, kept))
    finally:
        shutil.rmtree(root)


if __name__ == '__main__':
    main()
