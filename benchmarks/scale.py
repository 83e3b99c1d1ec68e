"""Measure planning, status, manifest and group tables at the size of a consortium.

Run as ``python benchmarks/scale.py FOLDER [PARTICIPANTS]``: it makes a skeleton of a raw dataset
(10,000 participants by default: images are there by name, those of the first are real) and of an
output folder as the app leaves it, then runs each command as a user does and prints its wall time,
processor time and peak memory (resident, largest process).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from csvdprep.bids.checkpoints import json_text
from csvdprep.bids.tsv import write_tsv
from csvdprep.core.failure import Failure
from csvdprep.core.plan import Visit
from csvdprep.graph.discover import discover
from csvdprep.graph.judging import Judged
from csvdprep.graph.status import Status
from csvdprep.graph.tables import collect, write_tables
from csvdprep.phantom.dataset.demo import make_tiny

SCANNERS = (('Siemens', 'Prisma', 3), ('Philips', 'Ingenia', 3), ('GE', 'Discovery', 1.5))
SITES = 12


def main(argv: list[str]) -> None:
    """Make the skeleton, unless it is there, and measure."""
    folder, count = Path(argv[0]), int(argv[1]) if len(argv) > 1 else 10_000
    raw, out = folder / 'raw', folder / 'out'
    if not (folder / 'made').exists():
        start = time.monotonic()
        os.fsync = lambda handle: None  # nobody will miss the skeleton
        make_raw(raw, count)
        make_output(out, raw, count)
        (folder / 'made').write_text('')
        print(f'skeleton of {count} participants: {time.monotonic() - start:.0f} s')
    work = folder / 'work'
    one = ['--participant-label', '01', '-w', work]
    commands = {
        'plan of one participant': [raw, out, 'participant', *one, '--dry-run'],
        'status': ['status', out, '--bids-dir', raw],
        'slurm manifest': ['slurm', raw, out],
        'group tables and page': [raw, out, 'group', '-w', work],
    }
    print('| command | wall, s | user CPU, s | system CPU, s | peak memory, MB |')
    print('|---|---|---|---|---|')
    for name, command in commands.items():
        wall, user, system, peak, code, said = measure(command)
        print(f'| {name} | {wall:.1f} | {user:.1f} | {system:.1f} | {peak:.0f} |', flush=True)
        if code > 1:
            raise SystemExit(f'{name} failed with status {code}: {said}')
    size = sum(p.stat().st_size for p in out.glob('group*')) / 1e6
    print(f'\ngroup files: {size:.1f} MB, page {(out / "group.html").stat().st_size / 1e6:.1f} MB')


def measure(command) -> tuple[float, float, float, float, int, str]:
    """Run a command in a process that reports time and most memory of its children."""
    text = (
        'import resource, subprocess, sys; '
        'r = subprocess.run([sys.executable, "-m", "csvdprep", *sys.argv[1:]]); '
        'u = resource.getrusage(resource.RUSAGE_CHILDREN); '
        'print("USED", u.ru_utime, u.ru_stime, u.ru_maxrss, r.returncode)'
    )
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, '-c', text, *map(str, command)],
        capture_output=True,
        text=True,
        check=True,
    )
    wall = time.monotonic() - start
    _, user, system, peak, code = done.stdout.splitlines()[-1].split()
    return wall, float(user), float(system), int(peak) / 1000, int(code), done.stderr[-300:]


def make_raw(raw: Path, count: int) -> None:
    """Write a dataset of which only the first participant has images that can be read."""
    make_tiny(raw)
    rng = np.random.default_rng(1)
    rows = [('participant_id', 'age', 'sex', 'site', 'group')]
    for number in range(1, count + 1):
        label = f'{number:02d}'
        rows.append(
            (
                f'sub-{label}',
                f'{rng.normal(68, 9):.1f}',
                'MF'[number % 7 % 2],
                f'S{number % SITES}',
                'patient' if number % 3 else 'control',
            )
        )
        if number == 1:
            continue
        for kind, suffixes in (('anat', ('T1w', 'FLAIR')), ('dwi', ('dwi',))):
            place = raw / f'sub-{label}' / 'ses-1' / kind
            place.mkdir(parents=True)
            for suffix in suffixes:
                (place / f'sub-{label}_ses-1_{suffix}.nii.gz').touch()
                (place / f'sub-{label}_ses-1_{suffix}.json').write_text('{}')
    write_tsv(raw / 'participants.tsv', rows)


def make_output(out: Path, raw: Path, count: int) -> None:
    """Write status and tables of visits that were not computed: values are drawn by chance."""
    rng = np.random.default_rng(2)
    rooms = discover()
    measures = [m for room in rooms for m in room.measures]
    counts = np.array([m.name.endswith('_n') for m in measures])
    grades = np.array([bool(m.levels) for m in measures])
    moments = {'started': '2026-01-01T00:00:00+00:00', 'finished': '2026-01-01T00:12:00+00:00'}
    out.mkdir(parents=True)
    (out / 'dataset_description.json').write_text(
        json_text(
            {
                'Name': 'x',
                'BIDSVersion': '1.11.1',
                'DatasetType': 'derivative',
                'GeneratedBy': [{'Name': 'csvdprep'}],
                'DatasetLinks': {'raw': '../raw'},
            }
        )
    )
    for number in range(1, count + 1):
        visit = Visit(f'{number:02d}', '1')
        maker, model, field = SCANNERS[number % 3]
        state = 'failed' if number % 97 == 0 else 'ok'
        failures = (
            [Failure('wmh', 'segment', 'memory', 'There was not enough memory.')]
            if state == 'failed'
            else []
        )
        status = Status(
            visit.label,
            'x',
            state,
            '0.1.0',
            f'{number:064d}',
            **moments,
            failures=failures,
            rooms={room.name: 'done' for room in rooms},
            nodes=120,
            peak_mb=2500.0 + number % 300,
            inputs={
                n: f'bids:raw:{visit.folder}/anat/{visit.label}_{n}.nii.gz'
                for n in ('t1w', 'flair')
            },
            origins={room.name: ('flair', 't1w') for room in rooms},
            scanner={'manufacturer': maker, 'model': model, 'field_t': str(field)},
        )
        status.write(out, visit)
        rows = collect(rooms, {}, {})
        values = 10 * np.exp(rng.normal(0, 0.4, len(measures)))
        values[counts] = rng.poisson(rng.gamma(1, 2, counts.sum()))
        values[grades] = rng.integers(0, 4, grades.sum())
        for row, value in zip(rows, values, strict=True):
            row |= {'value': float(value), 'qc': 'ok', 'reason': None, 'ungated': None}
        write_tables(visit, Judged(rows), rooms, out)


if __name__ == '__main__':
    main(sys.argv[1:])
