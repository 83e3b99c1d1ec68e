"""How well microbleeds are found: in the phantom P6, and drawn into a real crop.

    python benchmarks/microbleeds.py [--crop FOLDER] [--seeds 10] [--tesla 7]
    python -m training.cmb_heads HEADS --seeds 9700 9710
    python benchmarks/microbleeds.py --heads HEADS [--seeds 4]
    python benchmarks/microbleeds.py --heads HEADS --large

P6 has 14 microbleeds, 7 calcifications and 6 veins in a ball of white matter; its map of
susceptibility is the true one with noise. FOLDER holds ``crop3echo_part-{mag,phase}_MEGRE.nii.gz``
(CLEARSWI.jl, MIT): real echoes of a part of a brain, 19 x 19 x 20 mm around the midline, with
veins and arteries, without any microbleed. It is searched as it is, and with three microbleeds of
0.1 to 1.5 ppm drawn into its complex signal. HEADS are unseen heads, each with a protocol of its
own, into whose complex echoes microbleeds and mimics are drawn (``--seeds`` draws a head): what is
found by size, by contrast (share of the signal that is lost in the latest echo) and by thickness
of slices, and false positives a scan, at several probabilities. ``--large`` draws microbleeds of
1.2 to 3.2 mm radius into white matter, deep grey matter and pallidum, without any mimic, and
prints how many are definite in each.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np

from csvdprep.imaging.images import load
from csvdprep.markers.microbleeds import Options
from csvdprep.markers.microbleeds.interfaces import late_echoes
from csvdprep.markers.microbleeds.learned import load_model
from csvdprep.markers.microbleeds.science import ANATOMY, find_microbleeds
from csvdprep.phantom.scanner.scan import Scan
from csvdprep.phantom.susceptibility.cases import microbleed_scene
from csvdprep.phantom.susceptibility.gre import Protocol, acquire
from training.cmb_fit import JUDGED, NONE, draw_row, judge, load_head, make_draw
from training.cmb_heads import PARTS
from training.cmb_lesions import Thing, factors

#: Field (T), voxel (mm), echo times (ms), noise of P6.
PROTOCOLS = (
    (3.0, (0.8, 0.8, 1.5), (20.0,), 0.02),
    (7.0, (0.6, 0.6, 1.0), (14.0,), 0.02),
    (1.5, (0.9, 0.9, 4.0), (35.0,), 0.01),
    (3.0, (1.0, 1.0, 2.0), (6.0, 14.0, 22.0), 0.02),
    (1.5, (0.9, 0.9, 2.0), (8.0, 16.0, 24.0, 32.0, 40.0), 0.015),
)
#: Stored phase of the crop to radians, and its echo times, ms.
RADIANS, TIMES = 855.0, (4.0, 8.0, 12.0)
NOISE_PPM = 0.01
#: Classes: edges of radius (mm), of the share of signal that is lost, of the largest edge of a
#: voxel (mm).
SIZES, LOST, SLICES = (0, 0.7, 1, 1.5, 9), (0, 0.25, 0.5, 0.75, 1.01), (0, 1.2, 2.2, 3.5, 9)
#: Susceptibility of what is drawn into the crop, ppm.
CHI = (0.1, 1.5)


def find(image, brain, affine, chi=None):
    """Search an image without anatomy; returns positions (mm) and candidates."""
    nothing = dict.fromkeys(ANATOMY, np.zeros(image.shape, np.float32))
    found = find_microbleeds(
        image, brain, affine, model=load_model(), anatomy=nothing, chi=chi, least=0.05
    )
    return found.centres @ affine[:3, :3].T + affine[:3, 3], found.bleeds


def phantom(seed: int, tesla, voxel, te, noise) -> None:
    """Print what is found of P6; of several echoes, with the late ones, and with all."""
    scene = microbleed_scene(seed, tesla=tesla)
    scan = Scan(voxel=voxel, low=(-50,) * 3, high=(50,) * 3, noise=noise)
    signal, magnet = acquire(scene, Protocol(scan=scan, te=te), seed)
    affine = magnet.scan.grid()[1]
    brain = magnet.scan.sample(scene.anatomy.fractions['wm'], scene.affine) > 0.5
    rng = np.random.default_rng(seed)
    chi = magnet.chi + NOISE_PPM * rng.standard_normal(brain.shape)
    late = late_echoes({'echoes': [{'time': time / 1000} for time in te], 'tesla': tesla})
    for label, chosen in {'late echoes': late, 'all echoes': list(range(len(te)))}.items():
        if label == 'late echoes' or len(late) < len(te):
            image = np.sqrt((np.abs(signal[..., chosen]) ** 2).mean(axis=-1))
            places, bleeds = find(image, brain, affine, chi)
            what = f'P6 seed {seed}, {tesla:g} T, {voxel}, {label}'
            told = matched(scene.features, places, bleeds)
            print(f'{what}: {told}', flush=True)


def matched(features, places, bleeds) -> str:
    """Say which of the features were found, and what else."""
    options = Options()
    used, met, signs = set(), {'CMB': [], 'calcification': []}, []
    for feature in features:
        if feature.kind not in met:
            continue
        away = np.linalg.norm(places - feature.centre, axis=1)
        nearest = int(away.argmin())
        seen = away[nearest] < feature.radii[0] + 1.5
        if seen:
            used.add(nearest)
            signs.append(bleeds[nearest].sign == np.sign(feature.facts['chi']))
        sure = seen and bleeds[nearest].probability >= options.definite
        met[feature.kind].append(sure and bleeds[nearest].sign >= 0)
    false = sum(
        b.probability >= options.definite and b.sign >= 0 and k not in used
        for k, b in enumerate(bleeds)
    )
    bleeds_met, calcium = met['CMB'], met['calcification']
    return (
        f'definite {sum(bleeds_met)} of {len(bleeds_met)} microbleeds and {sum(calcium)} of '
        f'{len(calcium)} calcifications, sign right {sum(signs)} of {len(signs)}, false {false}'
    )


def crop(folder: Path, seeds: int, tesla: float) -> None:
    """Print what is found in the real crop, as it is and with microbleeds drawn into it."""
    magnitude, phase = (
        load(folder / f'crop3echo_part-{part}_MEGRE.nii.gz') for part in ('mag', 'phase')
    )
    affine = magnitude.affine
    size = np.linalg.norm(affine[:3, :3], axis=0)
    signal = np.asanyarray(magnitude.dataobj) * np.exp(
        1j * RADIANS * np.asanyarray(phase.dataobj, dtype=float)
    )
    brain = np.ones(signal.shape[:3], bool)
    options = Options()
    late = late_echoes({'echoes': [{'time': t / 1000} for t in TIMES], 'tesla': tesla})

    def image(changed):
        return np.sqrt(sum(np.abs(signal[..., e] * changed[e]) ** 2 for e in late) / len(late))

    _, bleeds = find(image([1, 1, 1]), brain, affine)
    sure = [b.probability for b in bleeds]
    print(
        f'crop as it is: {sum(p >= options.definite for p in sure)} definite, '
        f'{sum(p >= options.possible for p in sure)} definite or possible'
    )
    met, listed, false, shown = [], [], 0, []
    for seed in range(seeds):
        rng = np.random.default_rng([seed, 13])
        things = []
        while len(things) < 3:
            voxel = rng.uniform(0.2, 0.8, 3) * signal.shape[:3]
            place = affine[:3, :3] @ voxel + affine[:3, 3]
            if all(np.linalg.norm(place - t.points[0]) > 6 for t in things):
                radius = float(rng.uniform(0.4, 1.4))
                strength = float(np.exp(rng.uniform(*np.log(CHI))))
                things.append(Thing('CMB', place[None], radius, strength, 0.1))
        changed = factors(brain.shape, affine, size, things, TIMES, tesla)
        places, bleeds = find(image(changed), brain, affine)
        every = np.sqrt(sum(np.abs(changed[e]) ** 2 for e in late) / len(late))
        used = set()
        for thing in things:
            away = np.linalg.norm(places - thing.points[0], axis=1)
            near = np.flatnonzero(away < thing.radius + 1.2).tolist()
            best = max((bleeds[k].probability for k in near), default=0.0)
            used |= set(near)
            at = np.linalg.solve(affine, np.append(thing.points[0], 1))[:3]
            near = tuple(slice(max(v - 1, 0), v + 2) for v in np.rint(at).astype(int))
            lost = 1 - float(np.min(every[near]))
            met.append(best >= options.definite)
            listed.append(best >= options.possible)
            shown.append((thing.radius, lost, best))
        false += sum(
            b.probability >= options.definite for k, b in enumerate(bleeds) if k not in used
        )
    print(
        f'crop with three microbleeds, {seeds} draws at {tesla:g} T: definite {np.mean(met):.2f}, '
        f'listed {np.mean(listed):.2f}, false {false / seeds:.2f} a draw'
    )
    table = np.array(shown)
    for column, name, edges in ((0, 'radius, mm', SIZES), (1, 'signal lost', LOST)):
        for low, high in pairwise(edges):
            some = table[(table[:, column] >= low) & (table[:, column] < high), 2]
            if len(some):
                print(
                    f'  {name} {low:g} to {high:g}: definite '
                    f'{np.mean(some >= options.definite):.2f}, listed '
                    f'{np.mean(some >= options.possible):.2f} ({len(some)})'
                )


#: Probabilities at which heads are judged.
CUTS = (0.1, 0.2, 0.5, 0.7, 0.9)


def heads(folder: Path, draws: int) -> None:
    """Print sensitivity by size, contrast and slices, and false positives, in unseen heads."""
    model = load_model()
    rows = []
    for path in sorted(folder.glob('*.npz')):
        head = load_head(path)
        for draw in range(draws):
            rng = np.random.default_rng([41, int(path.stem), draw])
            row = draw_row(path.stem, head, rng, JUDGED)
            rows.append(row | {'score': model.probability(row['features'])})
    best = []
    for row in rows:
        for number, radius, _, lost in row['truth']:
            met = row['score'][row['answers'] == int(number)]
            best.append((radius, lost, row['thick'], float(met.max(initial=0.0))))
    table = np.array(best)
    print(f'{len(rows)} scans of {len({r["name"] for r in rows})} heads, {len(table)} microbleeds')
    for cut in CUTS:
        false = [int(((r['score'] >= cut) & (r['answers'] == NONE)).sum()) for r in rows]
        found = table[:, 3] >= cut
        print(f'probability {cut:g}: found {found.mean():.2f}, false a scan {np.mean(false):.2f}')
        for column, name, edges in (
            (0, 'radius, mm', SIZES),
            (1, 'signal lost', LOST),
            (2, 'slices, mm', SLICES),
        ):
            cells = [
                f'{low:g} to {high:g}: {found[some].mean():.2f} ({some.sum()})'
                for low, high in pairwise(edges)
                if (some := (table[:, column] >= low) & (table[:, column] < high)).any()
            ]
            print(f'  {name}: ' + ', '.join(cells))
        thin = table[:, 2] <= SLICES[2]
        for label, which in (('thin', thin), ('thick', ~thin)):
            cells = [
                f'{low:g} to {high:g}: {found[some].mean():.2f} ({some.sum()})'
                for low, high in pairwise(LOST)
                if (some := which & (table[:, 1] >= low) & (table[:, 1] < high)).any()
            ]
            own = [(r['thick'] <= SLICES[2]) == (label == 'thin') for r in rows]
            if any(own):
                wrong = np.mean(np.array(false)[own])
                print(
                    f'  {label} slices, signal lost: {", ".join(cells)}; false a scan {wrong:.2f}'
                )


#: Radius of large microbleeds, mm; how many of each place, and how far apart, mm.
LARGE_MM, LARGE_N, APART_MM = (1.2, 3.2), 4, 14


def large(folder: Path) -> None:
    """Print how many large microbleeds are definite, by place."""
    model, options = load_model(), Options()
    rows = []
    for path in sorted(folder.glob('*.npz')):
        head = load_head(path)
        rng = np.random.default_rng([5, int(path.stem)])
        places, things = large_things(head, rng)
        drawn = make_draw(head, rng, None, things)
        features, answers, _ = judge(drawn, head['affine'], rng)
        score = model.probability(features)
        for number, (place, thing) in enumerate(zip(places, things, strict=True), 1):
            best = float(score[answers == number].max(initial=0.0))
            rows.append((drawn['kind'], place, thing.radius, best))
    for kind, place in sorted({row[:2] for row in rows}):
        some = np.array([row[2:] for row in rows if row[:2] == (kind, place)])
        cells = [
            f'{low:g} to {high:g} mm: {int((found >= options.definite).sum())} of {len(found)}'
            for low, high in ((1.2, 1.8), (1.8, 2.5), (2.5, 3.3))
            if len(found := some[(some[:, 0] >= low) & (some[:, 0] < high), 1])
        ]
        print(f'{kind}, {place}: definite {", ".join(cells)}', flush=True)


def large_things(head, rng) -> tuple[list[str], list[Thing]]:
    """Place large microbleeds in three kinds of tissue."""
    affine, parts = head['affine'], head['parts']
    solid = head['brain'] & (head['fluid'] / 255.0 < 0.15)
    where = {
        'deep grey matter': solid & (parts == PARTS['deep']),
        'pallidum': solid & (parts == PARTS['pallidum']),
        'white matter': solid & (parts == 0) & (head['cortex'] / 255.0 < 0.3),
    }
    places, things = [], []
    for name, mask in where.items():
        at = np.argwhere(mask)
        for _ in range(LARGE_N if len(at) else 0):
            for _ in range(20):
                centre = at[rng.integers(len(at))] @ affine[:3, :3].T + affine[:3, 3]
                if all(np.linalg.norm(centre - t.points[0]) > APART_MM for t in things):
                    radius, chi = rng.uniform(*LARGE_MM), rng.uniform(0.5, 2)
                    things.append(Thing('CMB', centre[None], float(radius), float(chi), 0.1))
                    places.append(name)
                    break
    return places, things


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--crop', type=Path)
    parser.add_argument('--seeds', type=int, default=10)
    parser.add_argument('--tesla', type=float, default=7.0)
    parser.add_argument('--heads', type=Path)
    parser.add_argument('--large', action='store_true', help='large microbleeds, by place')
    asked = parser.parse_args()
    if asked.heads and asked.large:
        large(asked.heads)
        return
    if asked.heads:
        heads(asked.heads, asked.seeds)
        return
    if asked.crop:
        crop(asked.crop, asked.seeds, asked.tesla)
        return
    for seed in range(asked.seeds):
        for protocol in PROTOCOLS:
            phantom(seed, *protocol)


if __name__ == '__main__':
    main()
