"""Growth, shrinkage and no change of hyperintensities: phantoms, and pairs of real scans.

Phantoms: a head with lesions is scanned twice, in other poses, with other noise and receiver
fields; between the scans lesions grow and shrink by known volumes, or not at all. Masks of both
scans are the true lesions with random errors along their borders::

    python benchmarks/change.py phantoms --pairs 6 --still 10

Coverage of the minimal detectable change: pairs without change, of other noise, receiver field,
pose and slice position at each visit; the aim is that 95 % stay below. Pairs 0 to 44 set the
constant of the sampling of slices, so that others are to be measured::

    python benchmarks/change.py mdc --first 45 --pairs 30

Real pairs: masks of change drawn by raters, in a space of their own, against the results of the
application and against plain subtraction of the two masks of each pair::

    csvdprep BIDS_DIR OUT participant --markers wmh zones
    python benchmarks/change.py real OUT BIDS_DIR/derivatives/reference

Printed for each pair: errors of pose (mm, largest in the brain), volumes (mL), and at the end
relative errors, and how many still pairs stay below the minimal detectable change.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

from csvdprep.imaging import ants as engine  # before ants: it sets the number of threads

import nibabel as nib  # isort: skip
import numpy as np
from scipy import ndimage as ndi

from csvdprep.bids.tsv import read_tsv
from csvdprep.imaging.images import resample
from csvdprep.imaging.transforms import read_linear
from csvdprep.longitudinal.halfway.science import find_halfway, sampled
from csvdprep.longitudinal.wmh_change.science import (
    ChangeOptions,
    Tissue,
    detectable,
    equalise,
    judge,
    sampling_ml,
    volumes,
)
from csvdprep.phantom.dataset.presets import get_preset
from csvdprep.phantom.disease.person import Disease, Person, State, make_scene
from csvdprep.phantom.geometry.fields import smooth_noise
from csvdprep.phantom.structural.images import acquire

#: Voxels of the FLAIR and spacing of the head's grid, mm.
KINDS = {
    'thin': ((1.5, 1.5, 1.5), 1.5),
    'middle': ((1.0, 1.0, 3.0), 1.5),
    'thick': ((1.0, 1.0, 4.0), 1.5),
}
#: Error of the masks along borders: SD of the share at which they end.
JITTER = 0.15


def scanned(person, state, kind, seed, *, vary=False):
    """Return image, affine, pose, and the maps of the head of a visit.

    Where the scans are to vary, noise, receiver field and slice position are drawn as the pose is.
    """
    voxel, spacing = KINDS[kind]
    rng = np.random.default_rng([seed, person.seed])
    scene = make_scene(
        person,
        state,
        spacing=spacing,
        rotation=tuple(rng.normal(0, (4, 2, 3))),
        shift=tuple(rng.normal(0, 3, 3)),
        vessels=False,
    )
    protocol = get_preset('full', 'research' if kind == 'thin' else 'clinical').protocols['FLAIR']
    scan = replace(protocol.scan, voxel=voxel)
    if vary:
        moved = rng.uniform(-0.5, 0.5, 3) * voxel
        scan = replace(
            scan,
            noise=scan.noise * rng.uniform(0.7, 1.5),
            bias=rng.uniform(0.1, 0.35),
            low=tuple(np.array(scan.low) + moved),
            high=tuple(np.array(scan.high) + moved),
        )
    protocol = replace(protocol, scan=scan)
    protocol = scene.lay(protocol, np.random.default_rng([seed, 3]))
    data, scan = acquire(scene, protocol, seed)
    return np.asarray(data, np.float32), scan.grid()[1], scan.pose, scene


def prepared(person, states, kind, seed, *, vary=False):
    """Scan a head twice, and bring the visits together.

    Returns equalised images, lesions, slow differences, tissue, error of the pose (mm) and time of
    the registration (s).
    """
    visits = [scanned(person, state, kind, seed + k, vary=vary) for k, state in enumerate(states)]
    images, brains, affines = [], [], []
    for data, affine, pose, scene in visits:
        inside = sampled(
            scene.anatomy.intracranial,
            scene.anatomy.affine,
            np.linalg.inv(pose),
            affine,
            data.shape,
        )
        brains.append(inside >= 0.5)
        even = engine.n4(nib.Nifti1Image(data, affine), inside >= 0.5)
        images.append(np.asanyarray(even.dataobj))
        affines.append(affine)
    begun = time.process_time()
    space = find_halfway(images, affines, brains)
    took = time.process_time() - begun
    truth = visits[1][2] @ np.linalg.inv(visits[0][2])
    off = space.poses[1] @ np.linalg.inv(space.poses[0]) - truth
    places = nib.affines.apply_affine(affines[0], np.argwhere(brains[0])[::50])
    error = float(np.linalg.norm(places @ off[:3, :3].T + off[:3, 3], axis=1).max())

    def brought(share, k):
        way = np.linalg.inv(visits[k][2]) @ space.poses[k]
        return sampled(share, visits[k][3].anatomy.affine, way, space.affine, space.shape)

    maps = []
    for name in ('wm', 'gm', 'csf'):
        shares = [brought(visits[k][3].anatomy.fractions[name], k) for k in (0, 1)]
        maps.append((shares[0] + shares[1]) / 2)
    brain = np.logical_and.reduce(
        [brought(visits[k][3].anatomy.intracranial, k) >= 0.5 for k in (0, 1)]
    )
    voxel_mm = nib.affines.voxel_sizes(space.affine)
    tissue = Tissue(brain, *maps, voxel_mm)
    rng = np.random.default_rng(seed)
    lesions = [
        np.clip(
            brought(visits[k][3].wmh, k)
            + JITTER * smooth_noise(space.shape, 1.5, rng) * (brought(visits[k][3].wmh, k) > 0),
            0,
            1,
        ).astype(np.float32)
        for k in (0, 1)
    ]
    seen = [
        np.maximum(space.resample(k, images[k], affines[k]), 0).astype(np.float32) for k in (0, 1)
    ]
    either = (lesions[0] >= 0.5) | (lesions[1] >= 0.5)
    same, drift = equalise(seen, either, tissue)
    return same, lesions, drift, tissue, error, took


def compared(person, states, kind, seed, repeats, *, vary=False):
    """Scan a head twice and judge; return what was found and what is true."""
    same, lesions, drift, tissue, error, took = prepared(person, states, kind, seed, vary=vary)
    options = ChangeOptions()
    found = judge(same, lesions, tissue, options)
    limits = detectable(
        same, lesions, found, drift, tissue, options, seeds=[seed, seed + 500], repeats=repeats
    )
    voxel_ml = float(np.prod(tissue.voxel_mm)) / 1000
    amounts = volumes(found.labels, voxel_ml)
    masks = [lesion >= 0.5 for lesion in lesions]
    return {
        'pose_mm': error,
        **{name: amounts[name] for name in ('growth', 'shrink', 'net')},
        'plain_growth': float((masks[1] & ~masks[0]).sum() * voxel_ml),
        'plain_shrink': float((masks[0] & ~masks[1]).sum() * voxel_ml),
        'mdc': limits.growth_ml,
        'net_mdc': limits.net_ml,
        'noise': found.noise,
        'blur_mm': found.blur_mm,
        'registration_s': took,
    }


def phantoms(pairs: int, still: int, repeats: int, kinds) -> None:
    """Measure pairs with change and pairs without."""
    below = total = 0
    errors = {'growth': [], 'shrink': [], 'plain_growth': [], 'plain_shrink': []}
    for number in range(pairs + still):
        kind = kinds[number % len(kinds)]
        changes = number < pairs
        rng = np.random.default_rng(number)
        ml = float(rng.uniform(10, 25))
        person = Person(label='x', seed=7000 + number, size=(0.92, 0.92, 0.92))
        first = Disease(wmh_ml=ml)
        later = replace(first, wmh_growth_ml=2.0, wmh_shrink_ml=1.0) if changes else first
        states = [
            State(ventricles_mm=3.0, disease=first),
            State(years=1.0, ventricles_mm=3.1 if changes else 3.0, disease=later),
        ]
        try:
            found = compared(person, states, kind, 100 + 10 * number, repeats)
        except ValueError as error:
            print(f'{number} {kind}: {error}', flush=True)
            continue
        words = ' '.join(f'{name} {value:.3f}' for name, value in found.items())
        print(
            f'{number} {kind} {"2.0 -1.0" if changes else "still"} of {ml:.0f}: {words}',
            flush=True,
        )
        if changes:
            for name, values in errors.items():
                values.append(found[name] / (2.0 if 'growth' in name else 1.0) - 1)
        else:
            total += 3
            below += sum(found[name] <= found['mdc'] for name in ('growth', 'shrink'))
            below += abs(found['net']) <= found['net_mdc']
    for name, values in errors.items():
        if values:
            print(
                f'{name}: mean error {np.mean(values):+.1%}, largest {np.max(np.abs(values)):.1%}'
            )
    if total:
        print(f'without change: {below} of {total} values within the minimal detectable change')


def still_pair(number: int):
    """Return a person, two equal states and a seed."""
    ml = float(np.random.default_rng(number).uniform(3, 35))
    person = Person(label='x', seed=9000 + number, size=(0.92, 0.92, 0.92))
    states = [State(years=y, ventricles_mm=3.0, disease=Disease(wmh_ml=ml)) for y in (0.0, 1.0)]
    return person, states, 40000 + 10 * number, ml


def still(same, lesions, drift, tissue, seed, repeats) -> list[tuple[float, float]]:
    """Return false growth, shrinkage and net change of a pair without change, each with its limit.

    The sampling of slices is part of the limit: where it suffices, no rescans are simulated.
    """
    options = ChangeOptions()
    pair = judge(same, lesions, tissue, options)
    amounts = volumes(pair.labels, float(np.prod(tissue.voxel_mm)) / 1000)
    false = [amounts['growth'], amounts['shrink'], abs(amounts['net'])]
    limits = [sampling_ml(pair, tissue)] * 3
    if any(one > limit for one, limit in zip(false, limits, strict=True)):
        seeds = [seed, seed + 500]
        found = detectable(
            same, lesions, pair, drift, tissue, options, seeds=seeds, repeats=repeats
        )
        limits = [found.growth_ml, found.shrink_ml, found.net_ml]
    return [(round(one, 4), round(limit, 4)) for one, limit in zip(false, limits, strict=True)]


def mdc(pairs: int, first: int, repeats: int, kinds) -> None:
    """Measure how often pairs without change stay below their minimal detectable change."""
    inside: dict[str, list] = {kind: [] for kind in kinds}
    for number in range(first, first + pairs):
        kind = kinds[number % len(kinds)]
        person, states, seed, ml = still_pair(number)
        same, lesions, drift, tissue, error, _ = prepared(person, states, kind, seed, vary=True)
        found = still(same, lesions, drift, tissue, seed, repeats)
        inside[kind].append(found)
        print(f'{number} {kind} of {ml:.0f}, pose {error:.2f} mm: {found}', flush=True)
    for kind, rows in inside.items():
        if rows:
            below = np.mean([[one <= limit for one, limit in row] for row in rows], axis=0)
            names = zip(('growth', 'shrinkage', 'net'), below, strict=True)
            shares = ', '.join(f'{name} {share:.0%}' for name, share in names)
            print(f'{kind}, {len(rows)} pairs within the minimal detectable change: {shares}')


def real(out: Path, reference: Path) -> None:
    """Compare with masks of change."""
    print(
        'participant reference_ml joint_ml plain_ml joint_dice plain_dice found_joint found_plain'
    )
    for folder in sorted(reference.glob('sub-*')):
        label = folder.name
        anat = out / label / 'anat'
        change = anat / f'{label}_space-halfwayFLAIR_desc-wmhchange_dseg.nii.gz'
        if not change.is_file():
            continue
        labels = nib.load(change)
        poses = read_tsv(anat / f'{label}_desc-halfwayflair_poses.tsv').rows
        grid = nib.Nifti1Image(np.zeros(labels.shape, np.uint8), labels.affine)
        pose = {row['session']: matrix(row) for row in poses}
        first, last = poses[0]['session'], poses[-1]['session']
        way = read_linear(
            folder / first / 'anat' / f'{label}_{first}_from-FLAIR_to-common_mode-image_xfm.txt'
        )
        mask = nib.load(folder / 'anat' / f'{label}_space-common_desc-lesionchange_mask.nii.gz')
        mask = nib.Nifti1Image((np.asanyarray(mask.dataobj) > 0).astype(np.float32), mask.affine)
        true = resample(mask, grid, matrix=np.linalg.inv(way) @ pose[first], order=1) >= 0.5
        joint = np.asanyarray(labels.dataobj) >= 2
        own = []
        for session in (first, last):
            name = f'{label}_{session}_space-FLAIR_label-WMH_mask.nii.gz'
            image = nib.load(out / label / session / 'anat' / name)
            image = nib.Nifti1Image(np.asanyarray(image.dataobj, dtype=np.float32), image.affine)
            own.append(resample(image, grid, matrix=pose[session], order=1) >= 0.5)
        plain = own[0] ^ own[1]
        ml = float(np.prod(nib.affines.voxel_sizes(labels.affine))) / 1000
        print(
            label,
            *(f'{part.sum() * ml:.2f}' for part in (true, joint, plain)),
            *(f'{dice(true, part):.3f}' for part in (joint, plain)),
            *(detected(true, part) for part in (joint, plain)),
            flush=True,
        )


def matrix(row) -> np.ndarray:
    """Read a pose."""
    found = np.eye(4)
    for r in range(3):
        for c in range(4):
            found[r, c] = float(row[f'm{r + 1}{c + 1}'])
    return found


def dice(one, other) -> float:
    """Return the overlap of two masks."""
    return float(2 * (one & other).sum() / max(one.sum() + other.sum(), 1))


def detected(true, found) -> str:
    """Count the true regions (of three voxels or more) that were hit, and the false regions."""
    regions, count = ndi.label(true, np.ones((3, 3, 3)))
    sizes = np.bincount(regions.ravel(), minlength=count + 1)
    large = [k for k in range(1, count + 1) if sizes[k] >= 3]
    hit = set(np.unique(regions[found])) & set(large)
    others, number = ndi.label(found, np.ones((3, 3, 3)))
    touching = np.unique(others[true])
    false = number - np.count_nonzero(touching)
    return f'{len(hit)}/{len(large)}+{false}'


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    sub = parser.add_subparsers(dest='what', required=True)
    one = sub.add_parser('phantoms')
    one.add_argument('--pairs', type=int, default=6)
    one.add_argument('--still', type=int, default=10)
    one.add_argument('--repeats', type=int, default=3)
    one.add_argument('--kinds', nargs='+', default=['thin', 'thick'], choices=[*KINDS])
    cover = sub.add_parser('mdc')
    cover.add_argument('--pairs', type=int, default=30)
    cover.add_argument('--first', type=int, default=45, help='number of the first pair')
    cover.add_argument('--repeats', type=int, default=3)
    cover.add_argument('--kinds', nargs='+', default=[*KINDS], choices=[*KINDS])
    other = sub.add_parser('real')
    other.add_argument('out', type=Path)
    other.add_argument('reference', type=Path)
    args = parser.parse_args()
    if args.what == 'phantoms':
        phantoms(args.pairs, args.still, args.repeats, args.kinds)
    elif args.what == 'mdc':
        mdc(args.pairs, args.first, args.repeats, args.kinds)
    else:
        real(args.out, args.reference)


if __name__ == '__main__':
    main()
