"""How stable the volumes of real scans are when the scan, not the brain, is changed.

Nobody knows the true volumes of a real scan, but whatever they are, they are the same when the
coil is less even, the head is tilted, or the file is written in another way. Each visit of
BIDS_DIR (T1w and FLAIR) becomes participants of their own, one for each change; the app runs on
them, and every volume is compared with that of the scan as it was::

    python benchmarks/perturbed.py BIDS_DIR OUT --markers wmh --participant-label 12
    python benchmarks/perturbed.py BIDS_DIR OUT --read        # the table once more

``changed.tsv`` has a row for each change and measure: value, ratio to the unchanged scan, quality
verdict. A ratio far from 1 whose verdict is ``ok`` is a wrong number without a word.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

SCANS = ('T1w', 'FLAIR')
MEASURES = ('wmh_total_ml', 'fazekas_total', 'icv_ml', 'lv_ml', 'gm_ml', 'wm_ml', 'bpf')


def _data(image: nib.Nifti1Image) -> np.ndarray:
    return np.asanyarray(image.dataobj, dtype=np.float32).squeeze()


def _like(data: np.ndarray, image: nib.Nifti1Image, affine=None) -> nib.Nifti1Image:
    # A header of its own: the scale of the source would make other numbers of these.
    return nib.Nifti1Image(data.astype(np.float32), image.affine if affine is None else affine)


def _world_axis(affine: np.ndarray, axis: int) -> int:
    """Voxel axis that runs along a world axis (0 left-right, 1, 2 feet-head)."""
    return int(np.argmax(np.abs(affine[axis, :3] / nib.affines.voxel_sizes(affine))))


def uneven(image, rng):
    """Receive field of 0.55 to 1.6 that is highest at one side of the back."""
    data = _data(image)
    where = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in data.shape), indexing='ij'))
    field = np.exp(0.35 * where[0] - 0.3 * where[1] + 0.25 * where[2] * where[1])
    return _like(data * field, image)


def noisy(image, rng):
    """Noise (Rician) of 6 % of the median inside of the head is added."""
    data = _data(image)
    sd = 0.06 * float(np.median(data[data > np.percentile(data, 60)]))
    real, imaginary = (rng.normal(0, sd, data.shape) for _ in range(2))
    noisy = np.hypot(np.maximum(data, 0) + real, imaginary)
    return _like(np.where(data != 0, noisy, 0), image)


def tilted(image, rng):
    """The head lies 20 degrees to the side and nods by 15: the header turns, no voxel changes."""
    x, y = np.radians((15, 20))
    nod = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    lean = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    turn = np.eye(4)
    turn[:3, :3] = lean @ nod
    return _like(_data(image), image, turn @ image.affine)


def far(image, rng):
    """The origin of the scanner is 120 mm away from where it was."""
    affine = image.affine.copy()
    affine[:3, 3] += (40, -60, 100)
    return _like(_data(image), image, affine)


def turned_axes(image, rng):
    """The same voxels are stored in another order (axes swapped and reversed)."""
    # Slices of a 2D scan stay the third axis, as scanners store them.
    plain = nib.Nifti1Image(_data(image), image.affine)
    wanted = nib.orientations.axcodes2ornt(tuple('PRS'))
    have = nib.orientations.io_orientation(plain.affine)
    return plain.as_reoriented(nib.orientations.ornt_transform(have, wanted))


def mirrored(image, rng):
    """Left and right of the head are exchanged."""
    return _like(np.flip(_data(image), _world_axis(image.affine, 0)), image)


def scaled(image, rng):
    """Values are 1/5000 of what they were, plus an offset as some converters leave it."""
    return _like(_data(image) / 5000 + 0.002, image)


def integers(image, rng):
    """Values are stored as 12 bits with a slope and an intercept."""
    data = _data(image)
    top = float(np.percentile(data, 99.95))
    whole = np.clip(np.round(data / top * 4095), 0, 4095).astype(np.int16)
    stored = nib.Nifti1Image(whole, image.affine)
    stored.header.set_slope_inter(0.37, 0)
    return stored


def brighter(image, rng):
    """A vendor's filter: values above the median are stretched (power 1.25)."""
    data = _data(image)
    level = float(np.median(data[data > np.percentile(data, 60)]))
    return _like(level * np.maximum(data / level, 0) ** 1.25, image)


def cut_top(image, rng):
    """The highest 12 mm of what is not air are not covered."""
    return _cut(image, 12, top=True)


def cut_bottom(image, rng):
    """The lowest 25 mm of what is not air are not covered."""
    return _cut(image, 25, top=False)


def _cut(image, mm: float, *, top: bool):
    data = _data(image)
    axis = _world_axis(image.affine, 2)
    up = image.affine[2, axis] > 0
    others = tuple(a for a in range(3) if a != axis)
    inside = np.flatnonzero((data > 0.25 * np.percentile(data, 95)).mean(others) > 0.02)
    n = max(1, round(mm / nib.affines.voxel_sizes(image.affine)[axis]))
    low, high = inside[0], inside[-1] + 1
    keep = slice(0, high - n) if top == up else slice(low + n, data.shape[axis])
    return nib.Nifti1Image(data, image.affine).slicer[
        tuple(keep if a == axis else slice(None) for a in range(3))
    ]


def gaps(image, rng):
    """Every second slice is left out; the others keep their thickness."""
    size = nib.affines.voxel_sizes(image.affine)
    axis = int(np.argmax(size))
    if size[axis] > 4.5 or size[axis] < 1.8 * size.min():
        return None
    return nib.Nifti1Image(_data(image), image.affine).slicer[
        tuple(slice(None, None, 2) if a == axis else slice(None) for a in range(3))
    ]


def coarse(image, rng):
    """Pixels in plane are twice as wide."""
    size = nib.affines.voxel_sizes(image.affine)
    axis = int(np.argmax(size))
    plane = [a for a in range(3) if a != axis]
    data = _data(image)
    for a in plane:
        n = data.shape[a] // 2 * 2
        data = np.take(data, range(n), a)
        data = (np.take(data, range(0, n, 2), a) + np.take(data, range(1, n, 2), a)) / 2
    affine = image.affine.copy()
    for a in plane:
        affine[:3, 3] += affine[:3, a] / 2
        affine[:3, a] *= 2
    return _like(data, image, affine)


def moved(image, rng):
    """A quarter of the lines of k-space were acquired after the head moved by 1.5 mm."""
    data = _data(image)
    axis = _world_axis(image.affine, 1)
    shift = np.zeros(3)
    shift[axis] = 1.5 / nib.affines.voxel_sizes(image.affine)[axis]
    other = ndimage.shift(data, shift, order=1)
    lines = np.moveaxis(np.fft.fft(data, axis=axis), axis, 0)
    late = np.moveaxis(np.fft.fft(other, axis=axis), axis, 0)
    take = np.arange(len(lines)) % 4 == 3
    lines[take] = late[take]
    mixed = np.abs(np.fft.ifft(np.moveaxis(lines, 0, axis), axis=axis))
    return _like(np.where(data != 0, mixed, 0), image)


CHANGES: dict[str, Callable] = {
    change.__name__.replace('_', ''): change
    for change in (
        uneven,
        noisy,
        tilted,
        far,
        turned_axes,
        mirrored,
        scaled,
        integers,
        brighter,
        cut_top,
        cut_bottom,
        gaps,
        coarse,
        moved,
    )
}


def make(source: Path, raw: Path, labels: list[str], changes: list[str]) -> None:
    """Write the changed visits, each change to all scans of a visit alike."""
    raw.mkdir(parents=True)
    about = {'Name': 'Changed scans', 'BIDSVersion': '1.10.0', 'DatasetType': 'raw'}
    (raw / 'dataset_description.json').write_text(json.dumps(about))
    for scan in sorted(source.glob('sub-*/**/anat/*.nii.gz')):
        suffix = scan.name.split('_')[-1].split('.')[0]
        person = scan.relative_to(source).parts[0]
        if suffix not in SCANS or (labels and person.removeprefix('sub-') not in labels):
            continue
        image = nib.load(scan)
        for number, (name, change) in enumerate({'none': None, **CHANGES}.items()):
            if changes and name not in (*changes, 'none'):
                continue
            rng = np.random.default_rng([number, len(scan.name)])
            new = image if change is None else change(image, rng)
            if new is None:
                continue
            relative = Path(str(scan.relative_to(source)).replace(person, f'{person}x{name}'))
            target = raw / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            nib.save(new, target)
            sidecar = Path(str(scan).replace('.nii.gz', '.json'))
            if sidecar.exists():
                shutil.copy(sidecar, str(target).replace('.nii.gz', '.json'))


def read(found: Path, table: Path) -> None:
    """Compare each visit with its unchanged one."""
    values = {}
    for file in sorted(found.glob('sub-*/**/*desc-csvd_measures.tsv')):
        with file.open(newline='') as stream:
            row = next(csv.DictReader(stream, delimiter='\t'))
        verdicts = {}
        long = file.with_name(file.name.replace('desc-csvd_', 'desc-csvdlong_'))
        with long.open(newline='') as stream:
            for line in csv.DictReader(stream, delimiter='\t'):
                verdicts[line['measure']] = line['qc']
        person, _, change = row['participant_id'].partition('x')
        values[person, row.get('session_id', ''), change] = (row, verdicts)
    lines = []
    for (person, session, change), (row, verdicts) in values.items():
        base = values.get((person, session, 'none'))
        if change == 'none' or base is None:
            continue
        for name in MEASURES:
            old, new = base[0].get(name, 'n/a'), row.get(name, 'n/a')
            if old == 'n/a':
                continue
            ratio = 'n/a'
            if new != 'n/a' and float(old) > 0:
                ratio = f'{float(new) / float(old):.3f}'
            lines.append((person, session, change, name, old, new, ratio, verdicts.get(name, '')))
    lines.sort(key=lambda line: (line[3], line[2], line[0]))
    with table.open('w', newline='') as stream:
        writer = csv.writer(stream, delimiter='\t', lineterminator='\n')
        writer.writerow(
            ('participant', 'session', 'change', 'measure', 'before', 'after', 'ratio', 'flag')
        )
        writer.writerows(lines)
    print(table.read_text())


def main() -> None:
    """Make, run and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('bids_dir', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--participant-label', nargs='*', default=[])
    parser.add_argument('--changes', nargs='*', default=[], choices=list(CHANGES))
    parser.add_argument('--markers', nargs='*', default=['wmh'])
    parser.add_argument('--read', action='store_true', help='only read what was found')
    args = parser.parse_args()
    raw, found = args.out / 'raw', args.out / 'found'
    if not args.read:
        make(args.bids_dir, raw, args.participant_label, args.changes)
        command = [sys.executable, '-m', 'csvdprep', str(raw), str(found), 'participant']
        subprocess.run(
            [*command, '-w', str(args.out / 'work'), '--markers', *args.markers], check=False
        )
    read(found, args.out / 'changed.tsv')


if __name__ == '__main__':
    main()
