"""The same voxels stored in another way: order of axes, scale of values, type, byte order."""

from __future__ import annotations

import json
import shutil
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel import orientations as orient

from csvdprep.bids.tsv import read_tsv

#: All 48 orders in which the axes of an array can run.
ORDERS = tuple(
    ''.join(letters[axis][end] for axis, end in zip(order, ends, strict=True))
    for letters in ('RL PA IS'.split(),)
    for order in permutations(range(3))
    for ends in product((0, 1), repeat=3)
)
#: Metadata that name an axis of the array, perhaps with a sign.
AXES = ('PhaseEncodingDirection', 'PhaseEncodingAxis', 'SliceEncodingDirection')


def turn(image, order: str):
    """Store an image in another order of its axes; nothing is resampled.

    Returns the image and, for each axis that it had, its new place and direction (3, 2).
    """
    change = orient.ornt_transform(
        orient.io_orientation(image.affine), orient.axcodes2ornt(tuple(order))
    )
    return image.as_reoriented(change), change


def turned_vectors(
    bvecs: np.ndarray, before: np.ndarray, after: np.ndarray, change: np.ndarray
) -> np.ndarray:
    """Give b-vectors (3, n) of FSL's format along the axes of the turned array."""
    along = bvecs * np.array([[-1.0 if np.linalg.det(before[:3, :3]) > 0 else 1.0], [1], [1]])
    found = np.empty_like(along)
    for axis, (place, direction) in enumerate(change):
        found[int(place)] = direction * along[axis]
    if np.linalg.det(after[:3, :3]) > 0:
        found[0] *= -1
    return found


def turned_axis(value: str, change: np.ndarray) -> str:
    """Name an axis of the array, e.g. 'j-', in the turned array."""
    place, direction = change['ijk'.index(value[0])]
    down = value.endswith('-') != (direction < 0)
    return 'ijk'[int(place)] + ('-' if down else '')


def stored(
    path: Path,
    order: str | None = None,
    *,
    scale: float = 1.0,
    dtype=None,
    big_endian: bool = False,
) -> None:
    """Store an image of a dataset, and what stands beside it, in another way."""
    image = nib.load(path, mmap=False)
    before, change = image.affine, None
    if order:
        image, change = turn(image, order)
    data = np.asanyarray(image.dataobj) * np.float64(scale)
    data = data.astype(dtype or (np.int16 if scale == 1 else np.float32))
    header = nib.Nifti1Header(endianness='>' if big_endian else '<')
    made = nib.Nifti1Image(data, image.affine, header)
    made.set_sform(image.affine, 1)
    made.set_qform(image.affine, 1)
    made.header.set_zooms(image.header.get_zooms())
    made.header.set_xyzt_units('mm', 'sec')
    made.to_filename(path)
    if change is None:
        return
    stem = path.name.removesuffix('.gz').removesuffix('.nii')
    beside = path.with_name(f'{stem}.bvec')
    if beside.exists():
        turned = turned_vectors(np.loadtxt(beside), before, image.affine, change)
        np.savetxt(beside, turned, fmt='%.8f')
    sidecar = path.with_name(f'{stem}.json')
    if sidecar.exists():
        facts = json.loads(sidecar.read_text())
        facts |= {key: turned_axis(facts[key], change) for key in AXES if key in facts}
        sidecar.write_text(json.dumps(facts, indent=1))


def stored_dataset(
    source: Path, target: Path, orders: dict[str, str] | str | None = None, **how
) -> Path:
    """Copy a dataset, its raw images stored in another way.

    ``orders`` gives the order for each suffix ('T1w', 'dwi', ...), or one for all.
    """
    shutil.copytree(source, target)
    for path in sorted(target.glob('sub-*/**/*.nii.gz')):
        suffix = path.name.removesuffix('.nii.gz').rsplit('_', 1)[1]
        order = orders.get(suffix) if isinstance(orders, dict) else orders
        stored(path, order, **how)
    return target


def copy_visit(root: Path, label: str, orders, how) -> None:
    """Copy participant 01 under another label, its images stored in another way."""
    for path in sorted((root / 'sub-01').rglob('*')):
        if path.is_dir() or path.name.endswith('_sessions.tsv'):
            continue
        target = root / path.relative_to(root).as_posix().replace('sub-01', f'sub-{label}')
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == '.json':
            target.write_text(path.read_text().replace('sub-01', f'sub-{label}'))
        else:
            shutil.copy(path, target)
    for path in sorted((root / f'sub-{label}').rglob('*.nii.gz')):
        suffix = path.name.removesuffix('.nii.gz').rsplit('_', 1)[1]
        stored(path, orders.get(suffix), **how)


def values(results: Path) -> dict[str, tuple[str, str, str]]:
    """Return value, interval and flag of each measure of the one visit of a participant."""
    (path,) = results.rglob('*desc-csvdlong_measures.tsv')
    return {row['measure']: (row['value'], row['low'], row['qc']) for row in read_tsv(path).rows}


def differing(first: Path, other: Path) -> dict[str, tuple]:
    """Return the measures in which two participants' folders of results differ."""
    one, two = values(first), values(other)
    return {name: (one[name], two[name]) for name in one if one[name] != two[name]}


def unlike(first: Path, other: Path) -> list[str]:
    """Return the images whose voxels differ between two participants' folders of results."""
    found = []
    for path in sorted(first.rglob('*.nii.gz')):
        copy = other / path.relative_to(first).as_posix().replace(first.name, other.name)
        one, two = (nib.as_closest_canonical(nib.load(file)) for file in (path, copy))
        if not np.array_equal(one.get_fdata(), two.get_fdata(), equal_nan=True):
            found.append(path.name)
    return found


def misplaced(results: Path, raw: Path) -> list[str]:
    """Return the images of a participant that are not stored as the raw image they belong to."""
    affines = {
        path.name.removesuffix('.nii.gz').rsplit('_', 1)[1]: nib.load(path).affine
        for path in raw.rglob('*.nii.gz')
    }
    found = []
    for path in sorted(results.rglob('*.nii.gz')):
        if 'space-MNI' in path.name:
            continue
        kind = 'T1w'
        if 'space-T1w' in path.name:
            pass
        elif path.parent.name == 'dwi' or 'desc-dwi' in path.name:
            kind = 'dwi'
        elif 'space-FLAIR' in path.name or path.name.endswith('_FLAIR.nii.gz'):
            kind = 'FLAIR'
        if not np.allclose(nib.load(path).affine, affines[kind], atol=1e-4):
            found.append(path.name)
    return found
