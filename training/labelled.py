"""Training cases from tissue maps of real heads: a FLAIR of random contrast that nobody took.

The maps come from the T1w of the derivatives of ``csvdprep BIDS DER participant --markers wmh`` or
of any other marker that segments tissue; no FLAIR is needed::

    python -m training.labelled OUT_DIR --derivatives DER [DER ...] [--leave-out sub-01 ...]
        [--each 8] [--seed 1] [--jobs 2]

Slices are laid through the head at random, 1 to 8 mm thick and tilted; what is drawn is as bright
as chance has it (Billot et al. 2023, doi:10.1016/j.media.2023.102789), the T1w is the real one.
"""

from __future__ import annotations

import os

os.environ.setdefault('OMP_NUM_THREADS', '1')

import argparse
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.spatial.transform import Rotation

from csvdprep.imaging.frame import ImageFrame
from csvdprep.markers.wmh.inputs import read_t1w, segmentation_inputs, visits_of
from csvdprep.markers.wmh.science.planes import even_white, relative_t1w
from csvdprep.science.planes import PIXEL_MM, PlaneGrid
from training.cases import EDGES, darkened, drawing, mixed, save
from training.lesions import Place, draw_lesions, draw_lining, field, look_alikes

#: Thickness of slices, mm, and how far they are tilted, degrees.
THICKNESS_MM, TILT = (1.0, 8.0), 12.0


def slices_through(mask: nib.Nifti1Image, rng: np.random.Generator) -> ImageFrame:
    """Lay axial slices of random thickness and tilt through a head.

    Parameters
    ----------
    mask : nibabel image
        Brain.
    rng : numpy.random.Generator
        Of thickness and tilt.

    Returns
    -------
    ImageFrame
        Its grid, and the way to the frame of the mask as ``'anat'``.
    """
    thick = float(np.exp(rng.uniform(*np.log(THICKNESS_MM))))
    turn = Rotation.from_euler('xyz', rng.uniform(-TILT, TILT, 3), degrees=True).as_matrix()
    inside = nib.affines.apply_affine(mask.affine, np.argwhere(np.asarray(mask.dataobj) > 0))
    along = inside @ turn
    low, high = along.min(0) - 2, along.max(0) + 2
    low[2] += rng.uniform(0, thick)
    step = np.array([PIXEL_MM, PIXEL_MM, thick])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * step, turn @ low
    shape = np.maximum(2, np.ceil((high - low) / step)).astype(int)
    image = nib.Nifti1Image(np.zeros(shape, np.uint8), affine)
    return ImageFrame(image, {'anat': np.eye(4)})


def drawn_flair(grey, fluid, more, brain, step_mm, rng: np.random.Generator) -> np.ndarray:
    """Draw a FLAIR of random contrast: white matter is about 1.

    Parameters
    ----------
    grey, fluid, more : ndarray, shape (planes, right, anterior)
        Shares of grey matter and fluid, brightness of what is added.
    brain : ndarray of bool, of the same shape
        Brain.
    step_mm : ndarray, shape (3,)
        Distance of planes and of pixels.
    rng : numpy.random.Generator
        Of brightness and texture.

    Returns
    -------
    ndarray of float32
    """
    mottle = [1 + rng.uniform(0, 0.05) * field(grey.shape, 6, step_mm, rng) for _ in range(2)]
    image = (1 - grey - fluid).clip(0) * mottle[0] + grey * rng.uniform(0.95, 1.45) * mottle[1]
    image = image + fluid * rng.uniform(0.05, 0.7) + more
    return (image.clip(0) * brain).astype(np.float32)


def cut_through(stem: str, rng: np.random.Generator):
    """Cut the tissue maps of a head into slices as `slices_through` lays them.

    Parameters
    ----------
    stem : str
        Path of a visit's files in ``anat``, up to ``sub-01_ses-1``.
    rng : numpy.random.Generator
        Of thickness and tilt.

    Returns
    -------
    space : ImageFrame
        The slices.
    inside : ndarray of bool, shape (I, J, K)
        Brain.
    takes : dict
        As of `segmentation_inputs`; there is no FLAIR in it.
    """
    name, folder = Path(stem).name, Path(stem).parent
    mask = nib.load(f'{stem}_desc-brain_mask.nii.gz')
    space = slices_through(mask, rng)
    inside = space.share(f'{stem}_desc-brain_mask.nii.gz') >= 0.5
    files = {f'{t}_probseg': f'{stem}_label-{t.upper()}_probseg.nii.gz' for t in _TISSUES}
    files |= {
        f'{part}_dseg': f'{stem}_atlas-csvdprep_desc-{part}_dseg.nii.gz'
        for part in ('structures', 'lobes')
    }
    files['ventricles'] = f'{stem}_desc-ventricles_dseg.nii.gz'
    files['mni_to_anat'] = next(str(p) for p in folder.glob(f'{name}_from-MNI*_to-T1w_*.h5'))
    with tempfile.TemporaryDirectory() as place:
        files['flair_mask'] = f'{place}/mask.nii.gz'
        nib.save(nib.Nifti1Image(inside.astype(np.uint8), space.image.affine), files['flair_mask'])
        takes = segmentation_inputs(space, files, Path(place))
    return space, inside, takes


def labelled(job: tuple[str, int, str]) -> str:
    """Draw a FLAIR into a head and save the case."""
    stem, seed, path = job
    rng = drawing(stem, seed, 13)
    space, inside, takes = cut_through(stem, rng)
    grid = PlaneGrid.of(inside, space.image.affine, EDGES)
    brain = grid.take(inside) > 0.5
    white, grey, fluid = (grid.take(takes[part]) for part in ('wm', 'gm', 'csf'))
    atlas = np.stack([grid.take(part) for part in takes['atlas']])
    other = grid.take(takes['deep_grey'] | takes['infratentorial'])
    step = np.array([grid.thickness_mm, PIXEL_MM, PIXEL_MM])
    where = Place(
        brain=brain,
        ventricle=grid.take(takes['ventricles'] > 0) > 0.5,
        grey=grey,
        fluid=fluid,
        white=brain & (atlas[2] > 0.35) & (white > 0.5) & (other < 0.3),
        step_mm=step,
    )
    height, lining = draw_lesions(where, rng), draw_lining(where, rng)
    contrast = float(np.exp(rng.uniform(np.log(0.2), np.log(0.95))))
    uneven = 1 + 0.15 * field(height.shape, 4, step, rng)
    more = np.maximum(height * contrast * uneven.clip(0.4, 2), lining * rng.uniform(0.1, 0.5))
    more += look_alikes(where, rng)
    image = drawn_flair(grey, fluid, more, brain, step, rng)
    image = even_white(image, atlas[2], rng.normal(0, 0.5) * grid.take(takes['healthy']))
    darker = float(rng.uniform(0, 0.4))
    t1w = relative_t1w(grid.take(read_t1w(stem, space)), white, brain)
    maps = np.stack([atlas[2], atlas[1], other, grey, fluid])
    save(
        path,
        image,
        brain,
        mixed(maps, height, rng, step, darker),
        np.rint(height * 250).astype(np.uint8) * brain,
        lining * (height < 0.5),
        thickness=step[0],
        has_t1w=True,
        t1w=darkened(t1w, height, darker, rng, step),
    )
    return path


_TISSUES = ('csf', 'gm', 'wm')


def main() -> None:
    """Make all cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=Path)
    parser.add_argument('--derivatives', type=Path, nargs='+', required=True)
    parser.add_argument('--leave-out', nargs='*', default=[], help='participants')
    parser.add_argument('--each', type=int, default=8, help='images of each visit')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--jobs', type=int, default=2)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    jobs = []
    for root in given.derivatives:
        for stem in visits_of(root, 'T1w'):
            if Path(stem).name.split('_')[0] in given.leave_out:
                continue
            name = f'{root.name}_{Path(stem).name}_{given.seed}'
            jobs += [
                (stem, 1000 * given.seed + k, str(given.out / f'labelled_{name}_{k:02d}.npz'))
                for k in range(given.each)
            ]
    with ProcessPoolExecutor(given.jobs) as pool:
        for n, _ in enumerate(pool.map(labelled, jobs)):
            if n % 20 == 19:
                print(n + 1, 'heads', flush=True)


if __name__ == '__main__':
    main()
