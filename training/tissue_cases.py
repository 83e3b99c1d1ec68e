"""Training cases of tissue on a FLAIR alone: real scans, drawn ones, and phantoms.

Each case is a stack of planes of 1.5 mm: the FLAIR, the warped template, and the share of fluid,
grey matter and lateral ventricles of each pixel::

    python -m training.tissue_cases OUT_DIR --derivatives DER [DER ...] [--leave-out sub-01 ...]
        [--real 10] [--labelled 6] [--phantoms 56] [--seed 1] [--jobs 2]

Truth of real scans is the tissue of the T1w of the same visit, with hyperintensities as white
matter; into them, too, lesions are inserted, which stay white matter. In a half, the ventricles
are widened by a known warp. Derivatives are those of ``csvdprep BIDS DER participant
--markers wmh`` (FLAIR drawn from the maps: of any marker that segments tissue).
"""

from __future__ import annotations

import os

os.environ.setdefault('OMP_NUM_THREADS', '1')

import argparse
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi

from csvdprep.markers.wmh.inputs import read_derivatives
from csvdprep.phantom.head.anatomy import make_anatomy
from csvdprep.phantom.patients import lesions as disease
from csvdprep.phantom.patients.atlas import warped
from csvdprep.phantom.patients.heads import brain_only
from csvdprep.phantom.patients.look import Look, flair
from csvdprep.phantom.patients.scanner import Slices, brain_mask, record
from csvdprep.science.normalise import brain_mode
from csvdprep.science.planes import PlaneGrid
from training.cases import drawing, filled
from training.labelled import cut_through, drawn_flair
from training.lesions import Place, draw_lesions, draw_lining, field, look_alikes

#: Pixels of a plane in training, and their edge, mm: 168 x 216 mm.
EDGES, PIXEL_MM = (112, 144), 1.5
#: Seeds of phantoms start here, so that no benchmark uses the same heads.
FIRST_SEED = 150_000
#: Phantoms are drawn on such a grid, mm; so many in turn with the cortex of one person.
STEP, TURN = 2.0, 8
#: How far ventricles are widened, mm, and in which share of heads.
WIDER_MM, WIDENED = (1.0, 9.0), 0.5


def save(path, image, place: Place, atlas, height) -> None:
    """Write a case: FLAIR relative to the brain's main peak, maps and truth as bytes."""
    brain = place.brain
    keep = brain.sum((1, 2)) > 200
    level = brain_mode(image[brain])
    shares = np.stack([place.fluid, place.grey, place.ventricle, height, *atlas])
    np.savez(
        path,
        flair=(np.clip(image / level, 0, 4) * brain)[keep].astype(np.float16),
        brain=brain[keep],
        maps=np.rint(np.clip(shares[:, keep], 0, 1) * 255).astype(np.uint8),
        thickness=place.step_mm[0],
    )


def place_of(takes: dict, grid: PlaneGrid, lesion: np.ndarray) -> Place:
    """Return tissue as planes: lesions are white matter, choroid plexus is the ventricle's."""
    brain = grid.take(takes['mask']) > 0.5
    grey, fluid = (grid.take(takes[name]) for name in ('gm', 'csf'))
    grey = grey * (1 - lesion)
    inner = grid.take(takes['ventricles'] > 0)
    near = ndi.binary_dilation(inner > 0.5, np.ones((1, 3, 3)))
    ventricle = np.maximum(inner, fluid * near)
    fluid = np.maximum(fluid, ventricle)
    grey = np.minimum(grey, 1 - fluid)
    other = grid.take(takes['deep_grey'] | takes['infratentorial'])
    return Place(
        brain=brain,
        ventricle=ventricle,
        grey=grey,
        fluid=fluid,
        white=brain & (1 - grey - fluid > 0.6) & (other < 0.3),
        step_mm=np.array([grid.thickness_mm, PIXEL_MM, PIXEL_MM]),
    )


@lru_cache(maxsize=1)
def scan(stem: str) -> dict:
    """Read a processed visit with FLAIR and T1w as planes."""
    with tempfile.TemporaryDirectory() as folder:
        space, takes, _ = read_derivatives(stem, Path(folder))
    grid = PlaneGrid.of(takes['mask'], space.image.affine, EDGES, pixel_mm=PIXEL_MM)
    own = nib.load(f'{stem}_space-FLAIR_label-WMH_mask.nii.gz')
    old = grid.take(np.asanyarray(own.dataobj) > 0)
    image, place = grid.take(takes['flair']), place_of(takes, grid, old)
    return {
        'flair': image,
        'place': place,
        'atlas': np.stack([grid.take(part) for part in takes['atlas']]),
        'white': np.clip(1 - place.grey - place.fluid, 0, 1),
        'old': ndi.binary_dilation(place.brain & (old > 0.1), np.ones((1, 3, 3)), iterations=2),
        'own': old,
        'unknown': np.zeros(place.brain.shape, bool),
        'level': brain_mode(image[place.brain]),
    }


def moved(layers: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Pull planes from elsewhere in the plane.

    Parameters
    ----------
    layers : ndarray, shape (n, planes, right, anterior)
        What is moved.
    offset : ndarray, shape (2, planes, right, anterior)
        Where each pixel is taken from, relative to itself, pixels.
    """
    at = np.indices(layers.shape[1:]).astype(np.float32)
    at[1:] += offset
    return np.stack([ndi.map_coordinates(one, at, order=1, mode='nearest') for one in layers])


def widened(place: Place, layers: np.ndarray, atlas: np.ndarray, fluid_level, rng):
    """Widen the lateral ventricles by a known warp, that of the template by less.

    Parameters
    ----------
    place : Place
        Tissue.
    layers : ndarray, shape (n, planes, right, anterior)
        What moves with it: the first is the FLAIR.
    atlas : ndarray, shape (3, planes, right, anterior)
        Warped template.
    fluid_level : float
        Brightness of what the ventricles are filled with.
    rng : numpy.random.Generator
        Of how far.

    Returns
    -------
    place, layers, atlas
        The same, with wider ventricles: tissue is pressed together within some cm.
    """
    inner = place.ventricle > 0.5
    if rng.random() > WIDENED or not inner.any():
        return place, layers, atlas
    step = place.step_mm
    away = ndi.distance_transform_edt(~inner, step) - ndi.distance_transform_edt(inner, step)
    away = ndi.gaussian_filter(away.astype(np.float32), 2.5 / step)
    slope = np.stack(np.gradient(away, *step)[1:])
    slope /= np.maximum(np.sqrt((slope**2).sum(0)), 0.2)
    wider = np.exp(rng.uniform(*np.log(WIDER_MM)))
    uneven = wider * np.clip(1 + 0.3 * field(away.shape, 15, step, rng), 0.3, 2)

    def offset(far):
        reach = 3 * far + 12
        new = np.where(away < reach, reach * (away - far) / (reach - far), away)
        return (np.maximum(new, 0.0) - np.maximum(away, 0.0)) * slope / PIXEL_MM

    way = offset(uneven)
    share = np.stack([place.fluid, place.grey, place.ventricle, place.white.astype(np.float32)])
    fluid, grey, ventricle, white = moved(share, way)
    layers = moved(layers, way)
    inside = np.clip((uneven - away) / PIXEL_MM + 0.5, 0, 1) * place.brain
    inside *= ndi.binary_erosion(place.brain, np.ones((1, 3, 3)), iterations=2)
    fluid, ventricle = (part * (1 - inside) + inside for part in (fluid, ventricle))
    grey = grey * (1 - inside)
    texture = 1 + 0.05 * rng.standard_normal(away.shape)
    layers[0] = layers[0] * (1 - inside) + inside * fluid_level * texture
    layers[1:] *= 1 - inside
    wide = replace(
        place,
        fluid=fluid,
        grey=grey,
        ventricle=np.minimum(ventricle, fluid),
        white=place.brain & (white > 0.5) & (inside < 0.1),
    )
    return wide, layers, moved(atlas, offset(uneven * rng.uniform(0.2, 0.95)))


def astray(atlas: np.ndarray, place: Place, rng) -> np.ndarray:
    """Move the template against the scan as registration errs."""
    error = rng.uniform(0, 2.5) / PIXEL_MM
    lost = [error * field(place.brain.shape, 12, place.step_mm, rng) for _ in range(2)]
    return moved(atlas, np.stack(lost)) * place.brain


def fluid_level(image: np.ndarray, place: Place) -> float:
    """Return how bright the fluid of the ventricles is."""
    pure = place.brain & (place.ventricle > 0.95)
    if pure.sum() < 20:
        pure = place.brain & (place.fluid > 0.9)
    return float(np.median(image[pure])) if pure.any() else 0.2 * float(np.median(image))


def drawn(image: np.ndarray, level: float, place: Place, rng):
    """Draw lesions and what is bright but none; return the FLAIR and the height of lesions."""
    inner = replace(place, ventricle=place.ventricle > 0.5)
    height, lining = draw_lesions(inner, rng), draw_lining(inner, rng)
    contrast = np.exp(rng.uniform(np.log(0.15), np.log(0.95)))
    uneven = 1 + 0.15 * field(height.shape, 2.5, place.step_mm, rng)
    more = np.maximum(height * contrast * np.clip(uneven, 0.4, 2), lining * rng.uniform(0.1, 0.5))
    if rng.random() < 0.4:
        halo = ndi.gaussian_filter(height, 4 / place.step_mm) * place.white
        more = np.maximum(more, halo * contrast * rng.uniform(0.05, 0.35))
    return image + level * (more + look_alikes(inner, rng)).astype(np.float32), height


def real(job: tuple[str, int, str]) -> str:
    """Change a real scan and save the case."""
    stem, seed, path = job
    case, rng = scan(stem), drawing(stem, seed, 17)
    place, keep_own = case['place'], rng.random() < 0.4
    image = case['flair'].copy() if keep_own else filled(case, rng)
    layers = np.stack([image, case['own'] * keep_own])
    level = fluid_level(image, place)
    place, (image, own), atlas = widened(place, layers, case['atlas'], level, rng)
    image, height = drawn(image, case['level'], place, rng)
    save(path, image, place, astray(atlas, place, rng), np.maximum(height, own))
    return path


@lru_cache(maxsize=1)
def cut(stem: str, seed: int) -> tuple[Place, np.ndarray]:
    """Cut a head into slices and return its tissue and the template as planes."""
    space, inside, takes = cut_through(stem, drawing(stem, seed, 19))
    grid = PlaneGrid.of(inside, space.image.affine, EDGES, pixel_mm=PIXEL_MM)
    return place_of(takes, grid, 0), np.stack([grid.take(part) for part in takes['atlas']])


def labelled(job: tuple[str, int, str]) -> str:
    """Draw a FLAIR into the tissue maps of a real head and save the case."""
    stem, seed, path = job
    rng = drawing(stem, seed, 19)
    place, atlas = cut(stem, seed // TURN)
    place, _, atlas = widened(place, np.zeros((1, *place.brain.shape)), atlas, 0.0, rng)
    nothing = np.zeros(place.brain.shape, np.float32)
    image = drawn_flair(place.grey, place.fluid, nothing, place.brain, place.step_mm, rng)
    image, height = drawn(image, 1.0, place, rng)
    save(path, image, place, astray(atlas, place, rng), height)
    return path


def patient(seed: int, rng):
    """Draw a head, its hyperintensities, and the template on it, which follows it by a part."""
    common = {
        'spacing': STEP,
        'reach_mm': rng.uniform(8, 12),
        'sharpness': rng.uniform(3, 8),
        'sulci': rng.uniform(0, 5),
        'gyri': seed // TURN % 7,
    }
    walls = float(rng.choice([-3.6, -2, 0, 3, 6, 12, 20, 30, 45]))
    if rng.random() < 0.2:
        walls = (walls, float(np.clip(walls * rng.uniform(0.3, 1), -3.6, 50)))
    sick = brain_only(make_anatomy(seed, ventricles_mm=walls, atrophy=rng.uniform(0, 3), **common))
    wmh = disease.no_lesions(sick)
    if rng.random() > 0.2:
        wmh = disease.grown(
            sick,
            seed,
            float(np.exp(rng.uniform(np.log(0.3), np.log(140)))),
            softness_mm=float(rng.choice([0, 1, 2, 4, 8, 12])),
            lining_mm=float(rng.choice([0, rng.uniform(0.8, 2)])),
        )
    plain = brain_only(make_anatomy(seed, **common)) if rng.random() < 0.5 else None
    if plain is not None and plain.flow.shape != sick.flow.shape:
        plain = None
    lag = rng.uniform(0, 0.6)
    return sick, wmh, warped(sick, rng, error_mm=rng.uniform(0.5, 3.5), plain=plain, lag=lag)


def phantom(job: tuple[int, str]) -> str:
    """Draw the head of a patient, scan it, and save the case."""
    seed, path = job
    rng = np.random.default_rng([seed, 23])
    sick, wmh, atlas = patient(seed, rng)
    look = Look.draw(rng)
    slices = Slices(thick=int(rng.choice([1, 1, 2, 2, 3, 4])), gap=int(rng.random() < 0.2))
    inside = brain_mask(sick.intracranial, STEP, rng, rough_mm=0.7)
    image = record(
        flair(sick, wmh, look, rng),
        slices,
        STEP,
        rng,
        noise=rng.uniform(0.005, 0.03),
        bias=rng.uniform(0, 0.05),
        slice_gain=0.005,
    )
    small = slices.see(inside.astype(np.float32)) >= 0.5
    grid = PlaneGrid.of(small, slices.affine(sick.affine), EDGES, pixel_mm=PIXEL_MM)

    def seen(volume):
        return grid.take(slices.see(np.asarray(volume, np.float32)))

    total = np.maximum(seen(sick.intracranial), 0.05)
    brain = (grid.take(small) > 0.5) & (total > 0.3)
    place = Place(
        brain=brain,
        ventricle=seen(sick.regions['ventricles']) / total,
        grey=seen(sick.fractions['gm']) / total,
        fluid=seen(sick.fractions['csf']) / total,
        white=brain & (seen(sick.fractions['wm']) > 0.6),
        step_mm=np.array([grid.thickness_mm, PIXEL_MM, PIXEL_MM]),
    )
    image = grid.take(image)
    inner = replace(place, ventricle=place.ventricle > 0.5)
    image = image + 300 * look_alikes(inner, rng)
    tissue = np.stack([seen(part) for part in atlas.tissue]) * brain
    save(path, image, place, tissue, seen(np.clip(wmh.height, 0, 1)))
    return path


def _stems(roots, suffix: str, leave_out) -> list[tuple[str, str]]:
    out = []
    for root in roots:
        for path in sorted(root.rglob(f'sub-*_desc-preproc_{suffix}.nii.gz')):
            stem = str(path).removesuffix(f'_desc-preproc_{suffix}.nii.gz')
            if '_space-' in path.name or path.name.split('_')[0] in leave_out:
                continue
            out.append((stem, f'{root.name}_{Path(stem).name}'))
    return out


def jobs_of(given) -> list[tuple]:
    """Return what is to be made: function, and its argument."""
    both = [
        pair
        for pair in _stems(given.derivatives, 'FLAIR', given.leave_out)
        if Path(f'{pair[0]}_desc-preproc_T1w.nii.gz').exists()
    ]
    heads = _stems(given.derivatives, 'T1w', given.leave_out)
    jobs = []
    for make, stems, count, kind in (
        (real, both, given.real, 'real'),
        (labelled, heads, given.labelled, 'labelled'),
    ):
        for who, (stem, name) in enumerate(stems):
            first = TURN * 1000 * (given.seed + who)
            out = [
                str(given.out / f'{kind}_{name}_{given.seed}_{k:02d}.npz') for k in range(count)
            ]
            jobs.append((make, [(stem, first + k, path) for k, path in enumerate(out)]))
    seeds = FIRST_SEED + 10_000 * given.seed + np.arange(given.phantoms)
    drawn_heads = [(int(k), str(given.out / f'phantom_{k}.npz')) for k in seeds]
    parts = [drawn_heads[k : k + TURN] for k in range(0, len(drawn_heads), TURN)]
    return jobs + [(phantom, part) for part in parts]


def run(job) -> int:
    """Make some cases of one head, unless they are there."""
    make, arguments = job
    for argument in arguments:
        if not Path(argument[-1]).exists():
            make(argument)
    return len(arguments)


def main() -> None:
    """Make all cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=Path)
    parser.add_argument('--derivatives', type=Path, nargs='*', default=[])
    parser.add_argument('--leave-out', nargs='*', default=[], help='participants')
    parser.add_argument('--real', type=int, default=10, help='of each visit with FLAIR and T1w')
    parser.add_argument('--labelled', type=int, default=6, help='drawn from each T1w')
    parser.add_argument('--phantoms', type=int, default=56)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--jobs', type=int, default=2)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    made = 0
    with ProcessPoolExecutor(given.jobs) as pool:
        for count in pool.map(run, jobs_of(given)):
            made += count
            print(made, 'cases', flush=True)


if __name__ == '__main__':
    main()
