"""Scan phantoms by gradient echoes, for microbleeds to be drawn into.

    python -m training.cmb_heads HEADS_DIR --seeds 5000 5040 [--bleeds]

Each seed is a head and a protocol of its own: 1.5, 3 or 7 T, single or several echoes, 3D or
thick slices with gaps, oblique, cut. Without ``--bleeds`` there are neither microbleeds nor
calcifications in it; with it, those of the phantom, listed beside the signal. Writes
HEADS_DIR/SEED.npz for ``training.cmb_fit``: complex echoes without noise, and the anatomy.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from csvdprep.phantom.disease.person import Disease, Person, State, make_scene
from csvdprep.phantom.head.anatomy import structure_names
from csvdprep.phantom.head.veins import veins
from csvdprep.phantom.scanner.scan import Scan
from csvdprep.phantom.scanner.scene import Scene
from csvdprep.phantom.susceptibility.gre import Protocol, acquire

#: Structures by their number here, as far as detection asks.
PARTS = {'ventricle': 1, 'pallidum': 2, 'cerebellum': 3, 'brainstem': 4, 'deep': 5}
#: Margin around the brain that is kept, voxels.
MARGIN = 4


def random_protocol(rng: np.random.Generator) -> tuple[Protocol, float]:
    """Draw a protocol and a field strength."""
    tesla = float(rng.choice([1.5, 3.0, 3.0, 3.0, 7.0]))
    kind = str(rng.choice(['swi', 'swi', 'multi', 'multi', '2d', '2d']))
    plane = float(rng.uniform(0.5, 0.8) if tesla == 7 else rng.uniform(0.55, 1.0))
    thick = float(rng.uniform(3.0, 5.0) if kind == '2d' else rng.uniform(0.8, 2.2))
    if kind == '2d':
        plane = float(rng.uniform(0.6, 1.0))
    low, high = [-84, -110, -66], [84, 90, 86]
    if plane * plane * thick < 0.55 or rng.random() < 0.15:
        # A slab: what is fine takes long, and slabs are cut in practice.
        middle, half = rng.uniform(-15, 35), rng.uniform(28, 42)
        low[2], high[2] = middle - half, middle + half
    late = {1.5: (25, 40), 3.0: (15, 28), 7.0: (10, 18)}[tesla]
    te = float(rng.uniform(*late))
    if kind == 'multi':
        count = int(rng.integers(2, 6))
        times = tuple(np.linspace(rng.uniform(3, 6), te * 1.15, count).round(2).tolist())
    else:
        times = (round(te, 2),)
    scan = Scan(
        voxel=(plane, plane, thick),
        gap=float(rng.choice([0, 0.1, 0.25])) * thick if kind == '2d' else 0.0,
        tilt=(float(rng.uniform(-5, 25)) if rng.random() < 0.5 else 0.0, 0, 0),
        low=tuple(low),
        high=tuple(high),
        noise=0.0,
        bias=0.0,
    )
    tr, flip = (float(rng.uniform(500, 800)), 20.0) if kind == '2d' else (times[-1] + 12, 14.0)
    return Protocol(scan=scan, te=times, tr=tr, flip=flip), tesla


def random_scene(seed: int, tesla: float, rng: np.random.Generator, bleeds: bool) -> Scene:
    """Draw a head."""
    size = float(rng.uniform(0.88, 0.98))
    numbers = (0, 0, 0)
    if bleeds:
        numbers = tuple(
            int(n) for n in (rng.integers(2, 9), rng.integers(1, 5), rng.integers(0, 4))
        )
    disease = Disease(
        wmh_ml=float(np.exp(rng.uniform(0, 4))),
        lacunes=int(rng.integers(0, 6)),
        microbleeds=numbers,
        calcifications=int(rng.integers(0, 3)) if bleeds else 0,
        pvs=(int(rng.integers(6, 24)), int(rng.integers(6, 30))),
    )
    state = State(
        ventricles_mm=float(rng.uniform(1, 5)),
        atrophy=float(rng.uniform(0.3, 1.0)),
        disease=disease,
    )
    person = Person(label='x', seed=seed, size=(size,) * 3)
    scene = make_scene(
        person,
        state,
        spacing=1.25,
        tesla=tesla,
        rotation=tuple(rng.normal(0, 6, 3).tolist()),
        shift=tuple(rng.normal(0, 2, 3).tolist()),
    )
    # Real heads differ in how many veins a scan shows.
    more = veins(
        scene.anatomy,
        seed + 1,
        cortical=int(rng.integers(2, 30)),
        medullary=int(rng.integers(2, 50)),
    )
    more = [tube for tube in more if tube.kind in ('cortical vein', 'medullary vein')]
    return Scene(
        anatomy=scene.anatomy,
        wmh=scene.wmh,
        features=[*scene.features, *more],
        seed=seed,
        tesla=tesla,
        rotation=scene.rotation,
        shift=scene.shift,
    )


def structure_parts(structures: np.ndarray) -> np.ndarray:
    """Number structures as PARTS does."""
    table = np.zeros(max(structure_names()) + 1, np.uint8)
    for label, name in structure_names().items():
        for part, number in PARTS.items():
            deep = ('putamen', 'caudate', 'thalamus')
            words = deep if part == 'deep' else (part,)
            if any(word in name for word in words):
                table[label] = number
    return table[structures]


def scan_head(seed: int, bleeds: bool) -> dict:
    """Scan a head: what HEADS_DIR/SEED.npz holds."""
    rng = np.random.default_rng([seed, 77])
    protocol, tesla = random_protocol(rng)
    scene = random_scene(seed, tesla, rng, bleeds)
    protocol = scene.lay(protocol, rng)
    signal, magnet = acquire(scene, protocol, seed)
    scan = magnet.scan
    share = {
        name: scan.sample(scene.anatomy.fractions[name], scene.affine)
        for name in ('gm', 'wm', 'csf')
    }
    brain = sum(share.values()) >= 0.5
    parts = scan.labels(structure_parts(scene.anatomy.structures), scene.affine)
    cortex = share['gm'] * (parts == 0)
    inside = np.nonzero(brain)
    box = tuple(slice(max(int(i.min()) - MARGIN, 0), int(i.max()) + MARGIN + 1) for i in inside)
    affine = scan.grid()[1].copy()
    affine[:3, 3] += affine[:3, :3] @ [part.start for part in box]
    own = [
        (*f.moved(scan.pose).centre, float(np.prod(f.radii) ** (1 / 3)), f.facts['chi'])
        for f in scene.features
        if f.kind in ('CMB', 'calcification')
    ]
    regions = [f.facts['region'] for f in scene.features if f.kind in ('CMB', 'calcification')]
    return {
        'signal': signal[box],
        'affine': affine,
        'edges': scan.edges(),
        'te': np.array(protocol.te),
        'tesla': tesla,
        'brain': brain[box],
        'fluid': (255 * share['csf'][box].clip(0, 1)).astype(np.uint8),
        'cortex': (255 * cortex[box].clip(0, 1)).astype(np.uint8),
        'parts': parts[box].astype(np.uint8),
        'own': np.array(own, float).reshape(-1, 5),
        'regions': np.array(regions, 'U16'),
    }


def main() -> None:
    """Scan heads."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('heads', type=Path)
    parser.add_argument('--seeds', type=int, nargs=2, metavar=('FROM', 'TO'))
    parser.add_argument('--bleeds', action='store_true')
    asked = parser.parse_args()
    asked.heads.mkdir(parents=True, exist_ok=True)
    for seed in range(*asked.seeds):
        path = asked.heads / f'{seed}.npz'
        if not path.exists():
            head = scan_head(seed, asked.bleeds)
            np.savez(path, **head)
            print(seed, head['signal'].shape, head['te'].tolist(), head['tesla'], flush=True)


if __name__ == '__main__':
    main()
