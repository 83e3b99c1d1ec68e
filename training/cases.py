"""Training cases: lesions inserted into real scans that csvdprep has processed, and phantoms.

Each case is a stack of planes with what the network takes and what is true::

    python -m training.cases OUT_DIR --derivatives DER [DER ...] [--leave-out sub-01 ...]
        [--each 14] [--phantoms 160] [--seed 1] [--jobs 2]

Real scans come from the derivatives of ``csvdprep BIDS DER participant --markers wmh``.
"""

from __future__ import annotations

import os

os.environ.setdefault('OMP_NUM_THREADS', '1')

import argparse
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path
from zlib import crc32

import numpy as np
from scipy import ndimage as ndi

from csvdprep.imaging.atlas import DEEP_GREY, INFRATENTORIAL, labels_of
from csvdprep.markers.wmh.inputs import read_derivatives, read_t1w, visits_of
from csvdprep.markers.wmh.science import WmhOptions, segment_wmh
from csvdprep.markers.wmh.science.planes import even_white, relative_t1w
from csvdprep.phantom.head.anatomy import make_anatomy
from csvdprep.phantom.patients import lesions as disease
from csvdprep.phantom.patients.atlas import warped
from csvdprep.phantom.patients.heads import brain_only
from csvdprep.phantom.patients.look import Look, flair
from csvdprep.phantom.patients.scanner import Slices, brain_mask, record
from csvdprep.science.normalise import brain_mode
from csvdprep.science.planes import PlaneGrid
from training.lesions import UNKNOWN, Place, draw_lesions, draw_lining, field, look_alikes

#: Pixels of a plane in training: 160 x 200 mm.
EDGES = (128, 160)
#: Phantoms are drawn on such a grid, mm, so many in turn with the cortex of one person.
STEP, TURN = 2.0, 12
#: Seeds of phantoms start here, so that no benchmark uses the same heads.
FIRST_SEED = 50_000
#: Steps of a byte in which the T1w is kept, to the brightness of white matter.
T1W_STEPS = 120


def save(
    path: Path, flair_planes, brain, maps, share, lining, *, thickness, has_t1w, t1w=None
) -> None:
    """Write a case: brightness relative to the brain's main peak, maps and truth as bytes.

    The T1w, if it is not drawn from the maps later, is relative to its white matter.
    """
    level = brain_mode(flair_planes[brain])
    relative = np.clip(flair_planes / level, 0, 4) * brain
    keep = brain.sum((1, 2)) > 200
    np.savez(
        path,
        flair=relative[keep].astype(np.float16),
        brain=brain[keep],
        maps=np.rint(np.clip(maps[:, keep], 0, 1) * 255).astype(np.uint8),
        share=share[keep],
        lining=np.rint(lining[keep] * 250).astype(np.uint8),
        thickness=thickness,
        has_t1w=has_t1w,
        **({} if t1w is None else {'t1w': np.rint(t1w[keep] * T1W_STEPS).astype(np.uint8)}),
    )


def drawing(stem: str, seed: int, kind: int) -> np.random.Generator:
    """Return what draws a case: the same for a visit and a seed, another for each visit.

    Parameters
    ----------
    stem : str
        Path of a visit's files, up to ``sub-01_ses-1``; folders do not count.
    seed, kind : int
        Of the case, and of how it is made.

    Examples
    --------
    >>> one, same, other = (drawing(s, 1, 7).random() for s in ('a/sub-1', 'b/sub-1', 'a/sub-2'))
    >>> one == same, one == other
    (True, False)
    """
    return np.random.default_rng([seed, kind, crc32(Path(stem).name.encode())])


@lru_cache(maxsize=1)
def scan(stem: str) -> dict:
    """Read a processed visit as planes, and tell which of it is certain."""
    with tempfile.TemporaryDirectory() as folder:
        space, takes, _ = read_derivatives(stem, Path(folder))
        t1w = read_t1w(stem, space)
    found = segment_wmh(**takes, options=WmhOptions(runs=10))
    grid = PlaneGrid.of(takes['mask'], space.image.affine, EDGES)
    flair_planes = even_white(
        grid.take(takes['flair']), grid.take(takes['atlas'][2]), grid.take(takes['healthy'])
    )
    brain = grid.take(takes['mask']) > 0.5
    white, grey, fluid = (grid.take(takes[name]) for name in ('wm', 'gm', 'csf'))
    atlas = np.stack([grid.take(part) for part in takes['atlas']])
    other = grid.take(takes['deep_grey'] | takes['infratentorial'])
    step = np.array([grid.thickness_mm, 1.25, 1.25])
    z = grid.take(found.z)
    old = grid.take(found.mask)
    bright = brain & (old + (z > 4) > 0.2) & ((atlas[2] > 0.3) | (other > 0.5))
    own = brain & (grid.take((found.probability > 0.95).astype(np.uint8)) > 0.9) & (z > 6)
    place = Place(
        brain=brain,
        ventricle=grid.take(takes['ventricles'] > 0) > 0.5,
        grey=grey,
        fluid=fluid,
        white=brain & (atlas[2] > 0.35) & (white + old > 0.5) & (other < 0.3),
        step_mm=step,
    )
    return {
        'flair': flair_planes,
        'place': place,
        'maps': np.stack([atlas[2], atlas[1], other, grey, fluid]),
        'unknown': ndi.binary_dilation(bright, np.ones((1, 3, 3)), iterations=2),
        'own': own,
        'has_t1w': takes['has_t1w'],
        't1w': None if t1w is None else relative_t1w(grid.take(t1w), white, brain),
        'white': white,
        'level': brain_mode(flair_planes[brain]),
        'old': ndi.binary_dilation(brain & (old > 0.1), np.ones((1, 3, 3)), iterations=2),
    }


def filled(case: dict, rng) -> np.ndarray:
    """Put normal white matter in place of a scan's own lesions."""
    place, image = case['place'], case['flair']
    known = (case['white'] > 0.7) & place.brain & ~case['old'] & ~case['unknown']
    blur = 5 / place.step_mm
    weight = ndi.gaussian_filter(known.astype(np.float32), blur) + 1e-4
    level = np.median(image[known])
    normal = (ndi.gaussian_filter(np.where(known, image, 0), blur) + 1e-4 * level) / weight
    rest = np.where(known, image - normal, 0)
    rest = np.roll(rest, rng.integers(5, 20), axis=2)
    return np.where(case['old'], normal + rest, image)


def darkened(t1w: np.ndarray, height: np.ndarray, darker: float, rng, step_mm) -> np.ndarray:
    """Make lesions darker on the T1w, unevenly."""
    uneven = 1 + 0.25 * np.clip(field(height.shape, 5, step_mm, rng), -2, 2)
    return np.clip(t1w * (1 - darker * uneven * np.clip(height, 0, 1)), 0, 2)


def mixed(maps: np.ndarray, height: np.ndarray, rng, step_mm, darker=None) -> np.ndarray:
    """Label a share of each lesion as grey matter, as a T1w on which it is dark does."""
    out = maps.copy()
    most = rng.uniform(0, 1)
    if darker is not None:  # as dark as grey matter: most of it is called so
        most = np.clip(darker / 0.3 + rng.uniform(-0.3, 0.3), 0, 1)
    share = most * (0.5 + 0.5 * np.clip(field(height.shape, 6, step_mm, rng), -1, 1))
    moved = np.clip(height, 0, 1) * share
    out[3] = np.maximum(out[3], moved * (1 - out[4]))
    return out


def insert(job: tuple[str, int, str]) -> str:
    """Insert lesions into a scan and save the case."""
    stem, seed, path = job
    case = scan(stem)
    place, rng = case['place'], drawing(stem, seed, 7)
    keep_own = rng.random() < 0.4
    image = case['flair'].copy() if keep_own else filled(case, rng)
    height, lining = draw_lesions(place, rng), draw_lining(place, rng)
    contrast = np.exp(rng.uniform(np.log(0.15), np.log(0.95)))
    uneven = 1 + 0.15 * field(height.shape, 2.5, place.step_mm, rng)
    uneven *= 1 + 0.15 * field(height.shape, 15, place.step_mm, rng)
    more = np.maximum(height * contrast * np.clip(uneven, 0.4, 2), lining * rng.uniform(0.1, 0.5))
    if rng.random() < 0.4:  # dirty white matter around, which is no lesion
        halo = ndi.gaussian_filter(height, 4 / place.step_mm) * place.white
        more = np.maximum(more, halo * contrast * rng.uniform(0.05, 0.35))
    image += case['level'] * (more + look_alikes(place, rng)).astype(np.float32)
    share = np.rint(height * 250).astype(np.uint8)
    unknown = case['unknown'] & (height < 0.5)
    share[unknown] = UNKNOWN
    if keep_own:
        share[case['own']] = 250
    share[~place.brain] = 0
    darker, t1w = float(rng.choice([rng.uniform(0, 0.15), rng.uniform(0, 0.5)])), case['t1w']
    save(
        path,
        image,
        place.brain,
        mixed(case['maps'], height, rng, place.step_mm, darker),
        share,
        lining * (height < 0.5),
        thickness=place.step_mm[0],
        has_t1w=case['has_t1w'],
        t1w=None if t1w is None else darkened(t1w, height, darker, rng, place.step_mm),
    )
    return path


def phantom(job: tuple[int, str]) -> str:
    """Draw the head of a patient, scan it, and save the case."""
    seed, path = job
    rng = np.random.default_rng([seed, 11])
    walls = float(rng.choice([-3.6, 0, 3, 6, 12, 20, 30, 45]))
    common = {'spacing': STEP, 'reach_mm': rng.uniform(8, 12), 'sharpness': rng.uniform(3, 8)}
    sick = brain_only(
        make_anatomy(
            seed,
            ventricles_mm=walls,
            atrophy=rng.uniform(0, 2.5),
            sulci=rng.uniform(0, 3),
            gyri=seed // TURN % 7,
            **common,
        )
    )
    look, slices = (
        Look.draw(rng),
        Slices(thick=int(rng.choice([1, 1, 2, 2, 3, 4])), gap=int(rng.random() < 0.2)),
    )
    wmh = disease.no_lesions(sick)
    by_field = rng.random() < 0.5
    if by_field and rng.random() > 0.1:
        load = float(np.exp(rng.uniform(np.log(0.3), np.log(140))))
        wmh = disease.grown(
            sick,
            seed,
            load,
            softness_mm=float(rng.choice([0, 1, 2, 4, 8, 12])),
            lining_mm=float(rng.choice([0, rng.uniform(0.8, 2)])),
        )
    atlas = warped(sick, rng, error_mm=rng.uniform(0.5, 3.5))
    mask = brain_mask(sick.intracranial, STEP, rng, rough_mm=0.7)
    scanned = record(
        flair(sick, wmh, look, rng),
        slices,
        STEP,
        rng,
        noise=rng.uniform(0.005, 0.03),
        bias=rng.uniform(0, 0.05),
        slice_gain=0.005,
    )
    affine = slices.affine(sick.affine)
    small = slices.see(mask.astype(np.float32)) >= 0.5
    grid = PlaneGrid.of(small, affine, EDGES)
    brain = grid.take(small) > 0.5
    seen = {name: grid.take(slices.see(sick.fractions[name])) for name in ('csf', 'gm', 'wm')}
    tissue = [grid.take(part) for part in slices.see(atlas.tissue)]
    structures = atlas.structures
    deep = np.isin(structures, labels_of('structures', *DEEP_GREY))
    low = np.isin(structures, labels_of('structures', *INFRATENTORIAL))
    other = grid.take(slices.see((deep | low).astype(np.float32)))
    step = np.array([grid.thickness_mm, 1.25, 1.25])
    truly = np.isin(sick.structures, labels_of('structures', *DEEP_GREY, *INFRATENTORIAL))
    place = Place(
        brain=brain,
        ventricle=grid.take(slices.see(sick.regions['ventricles'])) > 0.5,
        grey=seen['gm'],
        fluid=seen['csf'],
        step_mm=step,
        white=brain & (seen['wm'] > 0.6) & (grid.take(slices.see(truly.astype(np.float32))) < 0.3),
    )
    image = even_white(grid.take(scanned), tissue[2], grid.take(slices.see(atlas.healthy)))
    height = np.clip(grid.take(slices.see(wmh.height)), 0, 1)
    lining = np.clip(grid.take(slices.see(wmh.lining)), 0, 1)
    if not by_field:
        height, lining = draw_lesions(place, rng), draw_lining(place, rng)
        more = np.maximum(height * look.lesion, lining * look.lining)
        image += 300 * more * (1 + 0.12 * field(height.shape, 3, step, rng))
    image += 300 * look_alikes(place, rng)
    share = np.rint(height * 250).astype(np.uint8)
    maps = np.stack([tissue[2], tissue[1], other, seen['gm'], seen['csf']])
    save(
        path,
        image,
        brain,
        mixed(maps, height, rng, step),
        share,
        lining * (height < 0.5),
        thickness=step[0],
        has_t1w=True,
    )
    return path


def main() -> None:
    """Make all cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=Path)
    parser.add_argument('--derivatives', type=Path, nargs='*', default=[])
    parser.add_argument('--only', nargs='*', default=[], help='participants')
    parser.add_argument('--leave-out', nargs='*', default=[], help='participants')
    parser.add_argument('--each', type=int, default=14, help='insertions into each visit')
    parser.add_argument('--phantoms', type=int, default=160)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--jobs', type=int, default=2)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    jobs = []
    for stem in (stem for root in given.derivatives for stem in visits_of(root)):
        path = Path(stem)
        who = path.name.split('_')[0]
        if who in given.leave_out or (given.only and who not in given.only):
            continue
        name = f'{path.parts[-5] if "ses-" in stem else path.parts[-4]}_{path.name}'
        jobs += [
            (stem, 1000 * given.seed + k, str(given.out / f'real_{name}_{given.seed}_{k:02d}.npz'))
            for k in range(given.each)
        ]
    with ProcessPoolExecutor(given.jobs) as pool:
        for n, _ in enumerate(pool.map(insert, jobs, chunksize=max(1, given.each))):
            if n % 20 == 19:
                print(n + 1, 'insertions', flush=True)
        first = FIRST_SEED + 10_000 * given.seed
        more = [
            (first + k, str(given.out / f'phantom_{first + k}.npz')) for k in range(given.phantoms)
        ]
        for n, _ in enumerate(pool.map(phantom, more, chunksize=TURN)):
            if n % 20 == 19:
                print(n + 1, 'phantoms', flush=True)


if __name__ == '__main__':
    main()
