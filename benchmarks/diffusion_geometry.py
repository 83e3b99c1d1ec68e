"""Measure one person in several geometries and tell how far diffusion measures agree.

Run as ``python benchmarks/diffusion_geometry.py DATA/diffusion FOLDER``: it runs the app once a
geometry of the participant ``canon`` (phase encoding from posterior to anterior) and prints the
values, their mean and their coefficient of variation. NAWM needs a T1w, which this participant has
not: MD is that of the skeleton.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np

from csvdprep.cli.run import run

GEOMETRIES = ('ortho', 'tiltax', 'tiltall', 'sagtiltall', 'headturn')
MEASURES = ('alps_reo_r2p5', 'alps_reo_r5', 'alps_pas_r2p5', 'alps_lab_r2p5', 'msmd_1e3',
            'psmd_1e4', 'psmd_native_1e4', 'alps_md_proj', 'alps_fa_proj', 'alps_fa_assoc',
            'alps_pitch_deg', 'alps_roll_deg', 'alps_yaw_deg', 'alps_shift_mm')  # fmt: skip


def measure(data: Path, folder: Path, geometry: str) -> dict[str, float]:
    """Run the app on one geometry, unless that was done, and read its table."""
    out = folder / geometry
    table = out / 'sub-canon' / 'sub-canon_desc-csvdlong_measures.tsv'
    if not table.exists():
        folder.mkdir(parents=True, exist_ok=True)
        chosen = folder / f'{geometry}.json'
        chosen.write_text(json.dumps({'dwi': {'acquisition': geometry, 'direction': 'PA'}}))
        run([str(data), str(out), 'participant', '--participant-label', 'canon', '-w',
             str(folder / 'work' / geometry), '--bids-filter-file', str(chosen)])  # fmt: skip
    with table.open(encoding='utf-8') as file:
        return {row['measure']: float(row['value']) if row['value'] != 'n/a' else np.nan
                for row in csv.DictReader(file, delimiter='\t')
                if row['measure'] in MEASURES}  # fmt: skip


def table(data: Path, folder: Path) -> None:
    """Print the table."""
    found = {geometry: measure(data, folder, geometry) for geometry in GEOMETRIES}
    print(f'{"":16}' + ''.join(f'{name:>12}' for name in GEOMETRIES) + f'{"mean":>12}{"CV %":>8}')
    for name in MEASURES:
        values = np.array([found[geometry][name] for geometry in GEOMETRIES])
        mean = np.nanmean(values)
        spread = 100 * np.nanstd(values, ddof=1) / abs(mean)
        cells = ''.join(f'{value:12.4g}' for value in values)
        print(f'{name:16}{cells}{mean:12.4g}{spread:8.1f}')


if __name__ == '__main__':
    table(Path(sys.argv[1]), Path(sys.argv[2]))
