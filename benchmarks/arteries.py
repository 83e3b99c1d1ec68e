"""Arteries measured against phantoms of known geometry, and the filter against scikit-image.

python benchmarks/arteries.py helices      length, tortuosity and radius of the helices P13
python benchmarks/arteries.py perforators  count of perforators by their width
python benchmarks/arteries.py nothing      noise and tissue without an artery
python benchmarks/arteries.py filter       beside scikit-image's Sato and Frangi filters
"""

from __future__ import annotations

import sys
import time

import numpy as np
from scipy import ndimage as ndi
from skimage.filters import frangi, sato
from skimage.morphology import skeletonize

from csvdprep.markers.arteries.science import find_arteries
from csvdprep.markers.arteries.science.find import LEAST_BRIGHT
from csvdprep.markers.arteries.science.regions import perforators
from csvdprep.markers.arteries.science.thinning import middle_lines
from csvdprep.markers.arteries.science.tubeness import SCALES_MM, find_tubes
from csvdprep.phantom.geometry.features import Tube
from csvdprep.phantom.head.vessels import helix, smooth
from csvdprep.phantom.scanner.scan import Scan

CONTRAST, NOISE = 1.8, 0.06


def drawn(tubes, low, high, voxel, seed=0, contrast=CONTRAST, noise=NOISE):
    """Draw tubes into tissue of 1 with noise."""
    scan = Scan(voxel=voxel, low=low, high=high, noise=0)
    share, _ = scan.draw(tubes)
    rng = np.random.default_rng(seed)
    image = 1 + contrast * share + noise * rng.standard_normal(share.shape)
    return image.astype(np.float32), share, scan.grid()[1]


def helices() -> None:
    """Print errors for helices of several widths, tortuosities, voxels and positions."""
    print(
        'voxel mm | width / voxel | length error % | distance factor error | radius error, voxels'
    )
    for voxel in ((0.3, 0.3, 0.3), (0.5, 0.5, 0.5), (0.5, 0.5, 0.7)):
        edge = min(voxel)
        for width in (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0):
            lengths, factors, radii, lost = [], [], [], 0
            for seed, factor in enumerate((1.0, 1.2, 1.4, 1.6)):
                height = 35 / factor
                radius = float(np.sqrt(35**2 - height**2)) / (2 * np.pi * 3)
                place = np.random.default_rng(seed).uniform(-0.5, 0.5, 3) * voxel
                tube = helix(35, 3, radius, centre=place, axis=seed % 3, width_mm=width * edge)
                half = np.full(3, radius + 4)
                half[seed % 3] = 21
                image, _, affine = drawn([tube], tuple(-half), tuple(half), voxel, seed)
                found = find_arteries(image, affine, np.ones(image.shape, bool))
                pieces = [p for p in found.pieces if p.length_mm > 20]
                if len(found.pieces) != 1 or not pieces:
                    lost += 1
                    continue
                piece = pieces[0]
                lengths.append(100 * (piece.length_mm / 35 - 1))
                factors.append(piece.distance_factor - tube.facts['distance_factor'])
                radii.append((piece.width_mm - width * edge / 2) / edge)
            if not lengths:
                print(f'{voxel} | {width} | none of 4 found in one piece')
                continue
            worst = [max(map(abs, values)) for values in (lengths, factors, radii)]
            print(
                f'{voxel} | {width} | {worst[0]:.1f} | {worst[1]:.3f} | {worst[2]:.2f} | '
                f'{lost} of 4 not in one piece'
            )


def perforator(x: float, side: int, rng, width: float) -> Tube:
    """Draw a perforator that winds upwards from an M1."""
    way = np.array([(x, 4, -15), (x - 1, 3.4, -11), (x + 1.5, 2, -4), (x, 3, 3), (x + 1, 2, 8)])
    way[1:] += rng.normal(0, 0.4, way[1:].shape)
    line = smooth(way * (side, 1, 1), 0.2)
    facts = {'name': 'p', 'side': '', 'parent': ''}
    return Tube(
        kind='LSA', tissue='artery', points=line, radii=np.full(len(line), width / 2), facts=facts
    )


def count_perforators() -> None:
    """Print how many perforators are counted, by width, number and distance of origins."""
    print('voxel mm | width / voxel | sides | count exact | mean difference')
    for edge in (0.3, 0.4):
        for width in (1.2, 1.6, 2.0, 2.5):
            differences = []
            for seed in range(6):
                rng = np.random.default_rng(seed)
                side = 1 if seed % 2 else -1
                count = 2 + seed % 4
                tubes = [
                    perforator(x, side, rng, width * edge)
                    for x in np.linspace(14, 14 + 2.8 * (count - 1), count)
                ]
                trunk = smooth(
                    np.array([(8, 4, -15), (20, 4, -15.5), (34, 4, -15)]) * (side, 1, 1)
                )
                facts = {'name': 'M1', 'side': '', 'parent': ''}
                tubes.append(
                    Tube(
                        kind='M1',
                        tissue='artery',
                        points=trunk,
                        radii=np.full(len(trunk), 1.3),
                        facts=facts,
                    )
                )
                low, high = sorted((6 * side, 36 * side))
                image, _, affine = drawn(tubes, (low, -3, -20), (high, 10, 11), (edge,) * 3, seed)
                found = find_arteries(image, affine, np.ones(image.shape, bool))
                own = perforators(found, [p.points for p in found.pieces], side)
                differences.append((own.stems if own else 0) - count)
            exact = sum(d == 0 for d in differences)
            print(f'{edge} | {width} | 6 | {exact} | {np.mean(differences):+.2f}')


def nothing() -> None:
    """Print what is found where there is no artery."""
    print('image | noise | pieces | length mm')
    for noise in (0.04, 0.08, 0.15):
        for seed in range(3):
            rng = np.random.default_rng(seed)
            rough = ndi.gaussian_filter(rng.standard_normal((160, 160, 80)), 5)
            image = 1 + 0.12 * rough / rough.std() + noise * rng.standard_normal(rough.shape)
            found = find_arteries(image, np.diag([0.5, 0.5, 0.5, 1]), np.ones(image.shape, bool))
            print(
                f'tissue {seed} | {noise} | {len(found.pieces)} | '
                f'{sum(p.length_mm for p in found.pieces):.0f}'
            )


def compare_filter() -> None:
    """Print time and separation of the filter and of those of scikit-image."""
    edge = 0.5
    tubes = [
        helix(60, 3, r, centre=(x, 0, 0), width_mm=w)
        for x, w, r in ((-16, 0.6, 2.0), (0, 1.2, 2.0), (16, 2.4, 2.0))
    ]
    image, share, _ = drawn(tubes, (-26, -10, -34), (26, 10, 34), (edge,) * 3)
    inside = np.ones(image.shape, bool)
    truth, none = share > 0.5, share == 0
    sigmas = [s / edge for s in SCALES_MM if s / edge >= 0.6]
    for name, work in (
        (
            'csvdprep',
            lambda: (
                find_tubes(image, (edge,) * 3, inside, image < 1.4, least=LEAST_BRIGHT).surprise
            ),
        ),
        ('scikit-image sato', lambda: sato(image, sigmas=sigmas, black_ridges=False)),
        ('scikit-image frangi', lambda: frangi(image, sigmas=sigmas, black_ridges=False)),
    ):
        start = time.process_time()
        response = work()
        took = time.process_time() - start
        cut = np.quantile(response[none], 0.999)
        print(
            f'{name}: {took:.1f} s of CPU for {image.size / 1e6:.1f} million voxels; '
            f'{100 * (response[truth] > cut).mean():.1f} % of the lumen above the 99.9th '
            'percentile of what is none'
        )
    bar = np.zeros((6, 6, 60), bool)
    bar[2:4, 2:4, 5:55] = True
    print(
        f'thinning of a bar of 2 x 2 x 50 voxels: {len(middle_lines(bar))} voxels, '
        f'scikit-image {int(skeletonize(bar).sum())}'
    )


if __name__ == '__main__':
    {
        'helices': helices,
        'perforators': count_perforators,
        'nothing': nothing,
        'filter': compare_filter,
    }[sys.argv[1]]()
