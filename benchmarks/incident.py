"""New lacunes of phantoms: which are told as new, and with which contrast.

Heads are scanned twice (T1w, 1 mm), in other poses and with other noise; between the scans lacunes
appear. Masks are those of the true lacunes, so that what is measured is the rule and not a
detector::

    python benchmarks/incident.py --heads 4

Printed for each head: verdicts by what is true, and the contrast-to-noise ratio that each new
lacune would have had at the first visit. Reversed, the same pairs have vanished lacunes.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import replace

import numpy as np
from scipy import ndimage as ndi

from csvdprep.longitudinal.halfway.science import sampled
from csvdprep.longitudinal.incident.science import Lesion, Scan, compare
from csvdprep.longitudinal.incident.science.contrast import points_of
from csvdprep.phantom.dataset.presets import get_preset
from csvdprep.phantom.disease.person import Disease, Person, State, make_scene
from csvdprep.phantom.geometry.features import draw
from csvdprep.phantom.structural.images import acquire

NAMES = ('first', 'last')


def scanned(person, lacunes: int, seed: int, spacing: float):
    """Return the scan of a visit and its lacunes, each with its place in the head."""
    rng = np.random.default_rng([seed, 5])
    state = State(disease=Disease(wmh_ml=8.0, lacunes=lacunes, pvs=(6, 8)))
    pose = {'rotation': tuple(rng.normal(0, (4, 2, 3))), 'shift': tuple(rng.normal(0, 3, 3))}
    scene = make_scene(person, state, spacing=spacing, vessels=False, **pose)
    protocol = get_preset('full', 'research').protocols['T1w']
    scan = replace(protocol.scan, noise=protocol.scan.noise * rng.uniform(0.8, 1.5))
    protocol = scene.lay(replace(protocol, scan=scan), np.random.default_rng([seed, 3]))
    data, scan = acquire(scene, protocol, seed)
    affine = scan.grid()[1]
    inside = sampled(
        scene.anatomy.intracranial,
        scene.anatomy.affine,
        np.linalg.inv(scan.pose),
        affine,
        data.shape,
    )
    labels = np.zeros(data.shape, np.int32)
    found = [one for one in scene.features if one.kind == 'lacune']
    for number, one in enumerate(found, 1):
        labels[draw([one.moved(scan.pose)], data.shape, affine)[0] >= 0.5] = number
    places = {number: np.asarray(one.centre) for number, one in enumerate(found, 1)}
    seen = Scan(data.astype(np.float32), affine, inside >= 0.5, labels, scan.pose)
    back, boxes, lesions = np.linalg.inv(scan.pose), ndi.find_objects(labels), []
    for number, box in enumerate(boxes, 1):
        if box is not None:
            points, mm3 = points_of(labels, number, box, affine)
            lesions.append(Lesion(number, True, points @ back[:3, :3].T + back[:3, 3], mm3))
    return seen, lesions, places


def main() -> None:
    """Scan heads, and print what was told of their lacunes."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('--heads', type=int, default=4)
    parser.add_argument('--spacing', type=float, default=1.5, help='of the head, mm')
    args = parser.parse_args()
    told, expected = Counter(), []
    for number in range(args.heads):
        person = Person(label='x', seed=5200 + number)
        visits = [
            scanned(person, lacunes, 800 + 10 * number + k, args.spacing)
            for k, lacunes in enumerate((3, 7))
        ]
        before = np.array([*visits[0][2].values()])
        tracks = compare(tuple(v[1] for v in visits), tuple(v[0] for v in visits), NAMES)
        for track in tracks:
            one = track.last or track.first
            place = visits[1 if track.last else 0][2][one.index]
            was = np.linalg.norm(before - place, axis=1).min() < 0.5
            kind = 'gone' if track.last is None else 'there before' if was else 'new'
            told[kind, track.change] += 1
            if kind == 'new':
                expected.append(abs(track.expected_cnr or 0))
            print(number, kind, track.change, track.cnr, track.expected_cnr, track.reason)
    for (kind, change), count in sorted(told.items()):
        print(f'{kind}: {count} {change}')
    if expected:
        print(f'expected contrast-to-noise of new ones: {np.round(np.sort(expected), 1)}')


if __name__ == '__main__':
    main()
