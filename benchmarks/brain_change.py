"""Change of brain volume between visits: heads that lose a known volume, or none.

A head is scanned twice, in other poses, with other noise, receiver fields and contrast of noise,
and with errors along the borders of the brain masks. Between the scans it loses volume by a known
warp (``warp``: the brain shrinks from the skull, the ventricles grow, the texture moves along), by
wider sulci (``sulci``), by larger ventricles (``ventricles``), or nothing (``still``)::

    python benchmarks/brain_change.py --pairs 8 --kinds warp sulci ventricles still --voxel 1

Printed for each pair: truth and result (%), of ventricles (mL), mean log Jacobian, and the minimal
detectable change; at the end errors, and how many still pairs stay below the detectable change.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace

from csvdprep.imaging import ants as engine  # before ants: it sets the number of threads

import nibabel as nib  # isort: skip
import numpy as np
from scipy import ndimage as ndi

from csvdprep.longitudinal.brain_change.science import Shares, compare
from csvdprep.longitudinal.halfway.science import find_halfway
from csvdprep.phantom.dataset.presets import get_preset
from csvdprep.phantom.disease.person import Person, State
from csvdprep.phantom.geometry.fields import smooth_noise
from csvdprep.phantom.head.anatomy import Anatomy, make_anatomy
from csvdprep.phantom.scanner.scan import coil, rician
from csvdprep.phantom.scanner.scene import Scene
from csvdprep.phantom.structural.images import signal_map
from csvdprep.science.tissues import segment_tissues

#: Depth (mm) below the skull from which on the brain moves, and reach of both shifts.
SURFACE_MM, REACH_MM = 2.0, 20.0
#: Error of the brain masks: SD of the share at which they end.
JITTER = 0.15
KINDS = ('warp', 'sulci', 'ventricles', 'still')
#: Heads are made on a grid this much finer than the voxels of the scan, in steps of at least so
#: many mm. On a grid as coarse as the voxels, borders begin on its lines: they move by less than
#: a voxel, all voxels of a border in step, and no window sees what a scan of real borders shows.
FINER, FINEST_MM = 2.0, 0.75
#: Strengths of change, in turn.
LOSSES = (0.5, 1.0, 2.0, -0.7, 1.5)


@dataclass(frozen=True, eq=False)
class Seen:
    """A visit: image, brain, tissues on the grid of the scan, and where the head lies."""

    image: np.ndarray
    brain: np.ndarray
    tissue: np.ndarray
    ventricles: np.ndarray
    affine: np.ndarray
    pose: np.ndarray


def squeezed(anatomy: Anatomy, surface_mm: float, ventricles_mm: float) -> np.ndarray:
    """Return a velocity (mm): surface of the brain inwards, walls of the ventricles outwards."""
    step = float(anatomy.affine[0, 0])
    depth = ndi.distance_transform_edt(anatomy.intracranial > 0.5, sampling=step)
    ventricle = anatomy.regions['ventricles'] > 0.5
    away = ndi.distance_transform_edt(~ventricle, sampling=step)
    inner = ndi.distance_transform_edt(ventricle, sampling=step)
    field = np.zeros((3, *depth.shape), np.float32)
    # What lies against the skull stays: else bone and meninges would take the place of brain.
    share = np.clip((depth - SURFACE_MM) / 4, 0, 1) * np.exp(-depth / REACH_MM)
    for level, strength, amount in (
        (ndi.gaussian_filter(depth, 3 / step), share, surface_mm),
        (
            ndi.gaussian_filter((away - inner).astype(np.float32), 2 / step),
            np.exp(-np.clip(away, 0, None) / REACH_MM) * np.clip(depth / 8, 0, 1),
            ventricles_mm,
        ),
    ):
        slope = np.stack(np.gradient(level, step))
        slope /= np.linalg.norm(slope, axis=0) + 0.1
        field += np.float32(amount) * slope * strength
    return np.stack([ndi.gaussian_filter(part, 1.0 / step) for part in field])


def flow(velocity: np.ndarray, step: float) -> np.ndarray:
    """Return where each voxel comes from (voxels) after the flow along a velocity (mm)."""
    back, grid = -velocity / 4, np.indices(velocity.shape[1:], dtype=np.float32)
    for _ in range(2):
        at = grid + back / step
        back = back + np.stack(
            [ndi.map_coordinates(part, at, order=1, mode='nearest') for part in back]
        )
    return grid + back / step


def heads(kind: str, seed: int, spacing: float, loss: float):
    """Return signal map, fractions and ventricles of both visits."""
    protocol = get_preset('full', 'research').protocols['T1w']
    rng = np.random.default_rng([seed, 17])
    person = Person(label='x', seed=seed, size=(0.92, 0.92, 0.92))
    wide, deep = rng.uniform(0, 4), rng.uniform(0.3, 1.2)
    states = [State(ventricles_mm=wide, atrophy=deep)] * 2
    if kind == 'sulci':
        states[1] = replace(states[0], atrophy=deep + 0.3 * loss)
    if kind == 'ventricles':
        states[1] = replace(states[0], ventricles_mm=wide + 1.5 * loss, atrophy=deep + 0.15 * loss)
    out = []
    for number, state in enumerate(states):
        if not number or state != states[0]:
            anatomy = make_anatomy(
                person.seed,
                spacing=spacing,
                ventricles_mm=state.ventricles_mm,
                atrophy=state.atrophy,
                size=person.size,
            )
            maps = [anatomy.fractions[name] for name in ('csf', 'gm', 'wm')]
            scene = Scene(anatomy=anatomy, wmh=np.zeros_like(maps[0]), seed=seed)
            signal = signal_map(scene, protocol.sequence)
        parts = [signal, *maps, anatomy.regions['ventricles']]
        if kind == 'warp':
            if not number:
                velocity = squeezed(anatomy, 0.5 * loss, 0.7 * loss)
            at = flow((0.5 if number else -0.5) * velocity, spacing)
            parts = [ndi.map_coordinates(part, at, order=1, mode='nearest') for part in parts]
        out.append((parts, anatomy.affine))
    return out


def visit(parts, affine, seed: int, voxel, noise: float, rng) -> Seen:
    """Scan a head, correct the receiver field and tell its tissues apart."""
    protocol = get_preset('full', 'research').protocols['T1w']
    scan = replace(
        protocol.scan, voxel=voxel, noise=noise, slices=2 if len(set(voxel)) > 1 else 0
    ).after(tuple(rng.normal(0, (4, 2, 3))), tuple(rng.normal(0, 3, 3)))
    signal, *maps, ventricles = parts
    unit = np.median(signal[maps[2] > 0.99])
    clean = scan.sample(signal / unit, affine) * coil(scan.grid()[0], scan.bias, rng)
    data = (rng.uniform(200, 400) * rician(clean, scan.noise, rng)).astype(np.float32)
    seen = [scan.sample(part, affine) for part in (*maps, ventricles)]
    inside = sum(seen[:3])
    wobble = JITTER * smooth_noise(inside.shape, 3.0, rng)
    brain = ndi.gaussian_filter(inside, 1.0) + wobble > 0.5
    even = np.asanyarray(engine.n4(nib.Nifti1Image(data, scan.grid()[1]), brain).dataobj)
    size = nib.affines.voxel_sizes(scan.grid()[1])
    atlas = np.stack([ndi.gaussian_filter(part, 2.5 / size) for part in seen[:3]])
    atlas = np.maximum(atlas, 1e-3) / np.maximum(atlas.sum(axis=0), 3e-3)
    tissue = segment_tissues(even, brain, atlas, size).probability
    return Seen(even, brain, tissue, seen[3] >= 0.5, scan.grid()[1], scan.pose)


def pair(kind: str, seed: int, voxel, loss: float) -> dict:
    """Make two visits, and bring both to the half-way space."""
    rng = np.random.default_rng([seed, 99])
    two = heads(kind, seed, max(FINEST_MM, min(voxel) / FINER), loss)
    ml = [sum(float(p.sum(dtype=float)) for p in parts[2:4]) for parts, _ in two]
    wide = [float(parts[4].sum(dtype=float)) * abs(np.linalg.det(a)) / 1000 for parts, a in two]
    seen = [
        visit(*one, seed + k, voxel, rng.uniform(0.012, 0.03), rng) for k, one in enumerate(two)
    ]
    begun = time.process_time()
    space = find_halfway(
        [one.image for one in seen], [one.affine for one in seen], [one.brain for one in seen]
    )
    took = time.process_time() - begun

    def on(k, data, order=1):
        return space.resample(k, np.asarray(data, np.float32), seen[k].affine, order)

    return {
        'truth_pct': 100 * (ml[1] - ml[0]) / (0.5 * (ml[0] + ml[1])),
        'truth_lv_ml': wide[1] - wide[0],
        'images': [np.maximum(on(k, seen[k].image, 3), 0) for k in (0, 1)],
        'brains': [on(k, seen[k].brain) for k in (0, 1)],
        'tissues': [np.stack([on(k, part) for part in seen[k].tissue]) for k in (0, 1)],
        'ventricles': [on(k, seen[k].ventricles) for k in (0, 1)],
        'affine': space.affine,
        'registration_s': took,
    }


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('--pairs', type=int, default=8)
    parser.add_argument('--kinds', nargs='+', default=[*KINDS], choices=KINDS)
    parser.add_argument('--voxel', type=float, nargs='+', default=[1.0], help='one size or three')
    parser.add_argument('--first', type=int, default=0, help='number of the first pair')
    parser.add_argument('--retest', type=float, default=0.28, help='SD of repeated scans, percent')
    asked = parser.parse_args()
    voxel = tuple(asked.voxel * 3 if len(asked.voxel) == 1 else asked.voxel)
    errors, wide, within, own, still = [], [], 0, 0, 0
    for number in range(asked.first, asked.first + asked.pairs):
        kind = asked.kinds[number % len(asked.kinds)]
        loss = LOSSES[number // len(asked.kinds) % len(LOSSES)]
        made = pair(kind, 900 + number, voxel, loss)
        begun = time.process_time()
        found = compare(
            made['images'],
            [
                Shares(tissue[2], tissue[1], tissue[0], brain)
                for tissue, brain in zip(made['tissues'], made['brains'], strict=True)
            ],
            made['ventricles'],
            nib.affines.voxel_sizes(made['affine']),
        )
        off = found.change_pct - made['truth_pct']
        errors.append(off)
        wide.append(found.ventricles_change_ml - made['truth_lv_ml'])
        if kind == 'still':
            still += 1
            within += abs(off) <= 1.96 * max(found.error_pct, asked.retest)
            own += abs(off) <= 1.96 * found.error_pct
        print(
            f'{number} {kind} truth {made["truth_pct"]:+.3f} % found {found.change_pct:+.3f} '
            f'(SE {found.error_pct:.3f}) jacobian {found.jacobian_pct:+.3f} ventricles '
            f'{made["truth_lv_ml"]:+.2f} mL {found.ventricles_change_ml:+.2f} '
            f'{found.ventricles_jacobian_ml:+.2f} scale {found.scale_pct or 0:+.3f} % '
            f'{time.process_time() - begun:.0f} s',
            flush=True,
        )
    print(
        f'error of the brain: mean {np.mean(errors):+.3f}, largest {np.max(np.abs(errors)):.3f} '
        f'points; of the ventricles: largest {np.max(np.abs(wide)):.2f} mL'
    )
    if still:
        print(
            f'without change: {within} of {still} within the minimal detectable change, {own} '
            'within 1.96 standard errors of the scans alone'
        )


if __name__ == '__main__':
    main()
