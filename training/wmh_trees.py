"""Candidates for hyperintensities at a low contrast, and what boosted trees are told of each.

The classical engine proposes: what is a little brighter than its tissue (:data:`SEED`,
:data:`BORDER`), cut at half of its own height. Each component is described by invariants
(:data:`FEATURES`), so that trees can tell lesions from cortex, lining, flow and noise::

    python -m training.wmh_trees HEADS --derivatives DER [DER ...] --only sub-03 ... \\
        [--each 3] [--phantoms 48] [--empty 0] [--seed 33]

draws heads as ``benchmarks/wmh_network.py`` does (lesions inserted into real visits, phantoms)
and writes one file for each: truth, the maps of both engines, and candidates with their features.
``training.wmh_trees_fit`` fits and judges. What is done is kept.
"""

from __future__ import annotations

import os

os.environ.setdefault('OMP_NUM_THREADS', '1')

import argparse
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi

from csvdprep.markers.wmh.science.classical import classical_cut
from csvdprep.markers.wmh.science.cut import Head, WmhOptions
from csvdprep.markers.wmh.science.model import excess_over_normal
from csvdprep.markers.wmh.science.network import VOTE
from csvdprep.markers.wmh.science.planes import relative_t1w
from csvdprep.markers.wmh.science.region import septum, white_region
from csvdprep.markers.wmh.science.threshold import grow_from_seeds, lesion_height
from csvdprep.science.morphology import bounding_box

#: Contrast that one voxel of a candidate has, and that of its faintest; the engine has 0.20, 0.12.
SEED, BORDER = 0.12, 0.08
#: The surroundings of a component lie within this of it, mm, within slices.
RING_MM = 3.0
#: Level from which on the vote of the app calls a voxel lesion.
LEVEL = WmhOptions().both_cut
#: What trees are told of a component.
FEATURES = (
    'contrast_mean',  # over the level of white matter
    'contrast_top',
    'contrast_low',
    'over_fluid',  # over the range from white matter to fluid
    'over_grey',  # over grey matter
    'step',  # inside less surroundings
    'gradient',  # of its border, per mm
    'noise',  # of contrast in normal white matter
    'volume',  # logarithm, mm³
    'thickness',  # twice the greatest depth within slices, mm
    'length',  # greatest extent, mm
    'slices',  # how many it has
    't1w',  # over that of its surroundings
    'wm',
    'gm',
    'csf',  # shares as classified
    'atlas_wm',
    'atlas_gm',
    'atlas_csf',  # shares of the warped template
    'ventricle_mm',  # least distance
    'edge_mm',  # least distance from the edge of the brain
    'cortex_mm',  # mean distance from the template's grey matter
    'mirror',  # contrast on the other side
    'from_end',  # slices from the first or last of the brain
    'plane_mm',
    'slice_mm',  # size of a voxel
    'has_t1w',
)


def prepared(takes: dict, t1w: np.ndarray | None) -> tuple[Head, object, dict]:
    """Cut a head to its brain and compare its FLAIR with normal tissue, as `segment_wmh` does.

    Parameters
    ----------
    takes : dict
        Arguments of `segment_wmh`.
    t1w : ndarray, shape (I, J, K), or None
        The T1w where the FLAIR's voxels are.

    Returns
    -------
    head : Head
    excess : Excess
    more : dict
        ``box``, ``gm``, ``csf``, ``side`` and ``t1w``, relative to white matter.
    """
    brain = np.asarray(takes['mask']) > 0
    box = bounding_box(brain, 2)

    def crop(name, kind=np.float32):
        return np.asarray(takes[name], kind)[..., *box]

    head = Head(
        brain=brain[box],
        wm=crop('wm'),
        atlas=crop('atlas'),
        ventricles=crop('ventricles', np.uint8),
        deep=crop('deep_grey', bool),
        low=crop('infratentorial', bool),
        apex=crop('apex', bool) if 'apex' in takes else None,
        voxel_mm=np.asarray(takes['voxel_mm'], float),
        has_t1w=bool(takes['has_t1w']),
    )
    more = {'box': box, 'gm': crop('gm'), 'csf': crop('csf'), 'side': crop('side'), 't1w': None}
    if head.has_t1w and t1w is not None:
        more['t1w'] = relative_t1w(np.asarray(t1w, np.float32)[box], head.wm, head.brain)
    excess = excess_over_normal(
        crop('flair'),
        head.brain,
        more['csf'],
        more['gm'],
        head.wm,
        head.voxel_mm,
        atlas=head.atlas,
        healthy=crop('healthy'),
    )
    return head, excess, more


def propose(head: Head, excess) -> np.ndarray:
    """Return candidates at a low contrast, cut at half of their height.

    Returns
    -------
    ndarray of bool, shape of the head
    """
    region, _ = white_region(head.wm, excess.white, head.brain, head.voxel_mm, head.atlas)
    region &= excess.tissue & head.counted & ~septum(head.ventricles, head.voxel_mm)
    height = lesion_height(excess.contrast, region, SEED, BORDER, head.voxel_mm)
    return grow_from_seeds(
        excess.contrast,
        region,
        SEED,
        BORDER,
        head.voxel_mm,
        least_mm3=head.least_mm3,
        height=height,
    )


def features(head: Head, excess, more: dict, labels: np.ndarray) -> np.ndarray:
    """Describe each component.

    Parameters
    ----------
    head, excess, more
        From `prepared`.
    labels : ndarray of int, shape of the head
        Components, from 1.

    Returns
    -------
    ndarray of float32, shape (components, len(FEATURES))
        NaN where something is not known, as the T1w of a FLAIR alone.
    """
    count, voxel_mm = int(labels.max()), head.voxel_mm
    at = np.nonzero(labels)
    number = labels[at] - 1
    size = np.bincount(number, minlength=count)
    through = int(np.argmax(np.round(voxel_mm, 3)))

    def mean(volume, where=at, which=number, total=size):
        return np.bincount(which, volume[where], count) / np.maximum(total, 1)

    contrast = excess.contrast
    order = np.lexsort((contrast[at], number))
    values, first = contrast[at][order], np.cumsum(size) - size
    ring, ring_number, ring_size = _ring(labels, head.brain & excess.tissue, voxel_mm, through)
    outside = mean(contrast, ring, ring_number, ring_size)
    normal = excess.normal
    inside = mean(contrast)
    depth, extent, planes = _shape(labels, at, number, count, voxel_mm, through)
    away = [
        _away(mask, voxel_mm)[at]
        for mask in (head.ventricles > 0, ~head.brain, head.atlas[1] > 0.5)
    ]
    least = [np.full(count, np.inf) for _ in range(2)]
    for out, values_mm in zip(least, away, strict=False):
        np.minimum.at(out, number, values_mm)
    t1w = np.full(count, np.nan)
    if more['t1w'] is not None:
        t1w = mean(more['t1w']) / np.maximum(mean(more['t1w'], ring, ring_number, ring_size), 0.05)
    filled = np.flatnonzero(head.brain.any(tuple(a for a in range(3) if a != through)))
    place = np.bincount(number, at[through], count) / size
    columns = {
        'contrast_mean': inside,
        'contrast_top': values[first + (0.9 * (size - 1)).astype(int)],
        'contrast_low': values[first + (0.1 * (size - 1)).astype(int)],
        'over_fluid': inside / max(1 - normal.fluid / normal.white, 0.05),
        'over_grey': inside - (normal.grey / normal.white - 1),
        'step': inside - outside,
        'gradient': mean(_gradient(contrast, labels, voxel_mm, through)),
        'noise': np.full(count, excess.noise),
        'volume': np.log(size * np.prod(voxel_mm)),
        'thickness': depth,
        'length': extent,
        'slices': planes,
        't1w': t1w,
        'wm': mean(head.wm),
        'gm': mean(more['gm']),
        'csf': mean(more['csf']),
        'atlas_wm': mean(head.atlas[2]),
        'atlas_gm': mean(head.atlas[1]),
        'atlas_csf': mean(head.atlas[0]),
        'ventricle_mm': least[0],
        'edge_mm': least[1],
        'cortex_mm': np.bincount(number, away[2], count) / size,
        'mirror': np.bincount(number, _mirrored(contrast, more['side'], at), count) / size,
        'from_end': np.minimum(place - filled[0], filled[-1] - place),
        'plane_mm': np.full(count, np.delete(voxel_mm, through).mean()),
        'slice_mm': np.full(count, voxel_mm[through]),
        'has_t1w': np.full(count, float(head.has_t1w)),
    }
    return np.stack([columns[name] for name in FEATURES], axis=1).astype(np.float32)


def _ring(labels, allowed, voxel_mm, through):
    """Return places around components within slices, to which each belongs, and how many."""
    size = [2 * max(1, int(RING_MM / edge + 0.5)) + 1 for edge in voxel_mm]
    size[through] = 1
    grown = ndi.maximum_filter(labels, size)
    at = np.nonzero((grown > 0) & (labels == 0) & allowed)
    number = grown[at] - 1
    return at, number, np.bincount(number, minlength=int(labels.max()))


def _shape(labels, at, number, count, voxel_mm, through):
    """Return thickness and length, mm, and the number of slices of each component."""
    depth = np.zeros(labels.shape, np.float32)
    in_plane = np.delete(voxel_mm, through)
    for plane, out in zip(
        np.moveaxis(labels, through, 0), np.moveaxis(depth, through, 0), strict=True
    ):
        if plane.any():
            out[:] = ndi.distance_transform_edt(plane > 0, in_plane)
    thick = np.zeros(count)
    np.maximum.at(thick, number, depth[at])
    low, high = (np.full((count, 3), v) for v in (np.inf, -np.inf))
    places = np.stack(at, axis=1) * voxel_mm
    np.minimum.at(low, number, places)
    np.maximum.at(high, number, places)
    extent = high - low + voxel_mm
    return 2 * thick, extent.max(1), np.rint(extent[:, through] / voxel_mm[through])


def _gradient(contrast, labels, voxel_mm, through):
    """Return the steepness of contrast within slices at borders of components, 0 within them."""
    total = np.zeros(contrast.shape, np.float32)
    for axis in (a for a in range(3) if a != through):
        total += np.gradient(contrast, voxel_mm[axis], axis=axis).astype(np.float32) ** 2
    around = np.ones((3, 3, 3), bool)
    around[tuple([0, 2] if a == through else slice(None) for a in range(3))] = False
    border = (labels > 0) & ~ndi.binary_erosion(labels > 0, around)
    share = np.bincount(labels[border], minlength=int(labels.max()) + 1)
    whole = np.bincount(labels.ravel(), minlength=share.size)
    scale = whole / np.maximum(share, 1)  # so that the mean over all is that of the border
    return np.sqrt(total) * border * scale[labels]


def _away(mask, voxel_mm):
    """Return the distance from a mask, mm, on at most about 1 mm."""
    if not mask.any():
        return np.full(mask.shape, 99.0, np.float32)
    step = [max(1, int(1.01 / edge)) for edge in voxel_mm]
    some = mask[tuple(slice(None, None, n) for n in step)]
    far = ndi.distance_transform_edt(~some, voxel_mm * step)
    for axis, n in enumerate(step):
        far = np.repeat(far, n, axis)
    return far[tuple(slice(0, n) for n in mask.shape)].astype(np.float32)


def _mirrored(contrast, side, at):
    """Return the contrast at the places that mirror those of components."""
    known = np.nonzero(side)
    some = slice(None, None, max(1, len(known[0]) // 20_000))
    places = np.stack([k[some] for k in known] + [np.ones(len(known[0][some]))], axis=1)
    if len(places) < 100:
        return np.full(len(at[0]), np.nan)
    plane = np.linalg.lstsq(places, np.sign(side[known][some]), rcond=None)[0]
    here = np.stack(at, axis=1).astype(float)
    # Voxels are about square within slices, and the plane hardly tilts across them.
    normal = plane[:3] / np.linalg.norm(plane[:3])
    far = here @ normal + plane[3] / np.linalg.norm(plane[:3])
    there = np.rint(here - 2 * far[:, None] * normal).astype(int)
    there = np.clip(there, 0, np.array(contrast.shape) - 1)
    return contrast[tuple(there.T)]


def describe(case: dict, truth, judged, network: np.ndarray) -> dict:
    """Return what is kept of a head.

    Parameters
    ----------
    case : dict
        Arguments of `segment_wmh`, with ``affine`` and ``t1w``.
    truth, judged : ndarray of bool
        Lesions; where they are known.
    network : ndarray
        Its map.
    """
    takes = {k: v for k, v in case.items() if k not in ('affine', 't1w')}
    head, excess, more = prepared(takes, case['t1w'])
    box = more['box']
    cut = classical_cut(head, excess, WmhOptions(runs=10, engine='classical'))
    classical, learned = cut.probability * head.counted, network[box] * head.counted
    vote = VOTE * learned + (1 - VOTE) * classical
    options = {'voxel_mm': head.voxel_mm, 'least_mm3': head.least_mm3}
    voted = grow_from_seeds(vote, head.counted, LEVEL, LEVEL, **options)
    out = {
        'truth': truth[box],
        'judged': judged[box],
        'classical': cut.mask,
        'network': grow_from_seeds(learned, head.counted, 0.5, 0.5, **options),
        'vote': vote.astype(np.float16),
        'least': head.least_mm3,
        'voxel_mm': head.voxel_mm,
        'counted': head.counted,
    }
    for name, mask in (('proposed', propose(head, excess)), ('voted', voted)):
        labels, _ = ndi.label(mask)
        out[name] = labels.astype(np.uint16)
        out[f'{name}_features'] = features(head, excess, more, labels)
        both = [
            np.bincount(labels.ravel(), out[part].ravel(), labels.max() + 1)[1:]
            for part in ('truth', 'judged')
        ]
        size = np.bincount(labels.ravel())[1:]
        out[f'{name}_true'], out[f'{name}_judged'] = (b / np.maximum(size, 1) for b in both)
    return out


def _benchmarks():
    """Import the code that draws heads for the network's judgement."""
    sys.path.insert(0, str(Path(__file__).parents[1] / 'benchmarks'))
    import inserted
    import sweep
    import wmh_network

    return inserted, sweep, wmh_network


def _near_own(stem: str, case: dict) -> np.ndarray:
    """Return where a visit may have lesions of its own, as the app said."""
    image = nib.load(f'{stem}_space-FLAIR_label-WMH_mask.nii.gz')
    matrix = np.linalg.inv(image.affine) @ case['affine']
    mask = ndi.affine_transform(
        (np.asanyarray(image.dataobj) > 0).astype(np.uint8),
        matrix[:3, :3],
        matrix[:3, 3],
        output_shape=case['mask'].shape,
        order=0,
    )
    return ndi.binary_dilation(mask > 0, iterations=2)


def insertion(stem: str, load: float, number: int, by: int) -> dict:
    """Insert lesions into a visit and describe it; slices averaged by so many."""
    inserted, _, network = _benchmarks()
    case = inserted.visit(stem)
    changed, height, contrast = inserted.insert(case, load, number)
    near = _near_own(stem, case)
    if by > 1:
        more = {'height': height, 'near': near.astype(np.float32)}
        changed = network.thicker(changed | more, by)
        height, near = changed.pop('height'), changed.pop('near') > 0
    truth = (height >= 0.5) & network._counted(changed)
    judged = (~near | truth) & (changed['mask'] > 0)
    lesion, _ = _learned(changed)
    about = {'kind': 'inserted', 'head': Path(stem).name, 'load': load, 'contrast': contrast}
    return describe(changed, truth, judged, lesion) | about | {'t1w': bool(case['has_t1w'])}


def phantom(number: int, heads: int, seed: int, *, empty: bool) -> dict:
    """Draw the head of a patient and describe it."""
    _, sweep, network = _benchmarks()
    setting = sweep.draw(number, heads, seed) | ({'load': 0} if empty else {})
    head = sweep.made(setting)
    case = head['takes'] | {'affine': head['affine'], 't1w': head['t1w']}
    truth = (head['slices'].see(head['wmh'].height) >= 0.5) & network._counted(case)
    lesion, _ = _learned(case)
    about = {'kind': 'phantom', 'head': str(setting['seed']), 'load': setting['load']}
    about |= {'contrast': head['look'].lesion, 't1w': bool(setting['t1w'])}
    return describe(case, truth, case['mask'] > 0, lesion) | about


def _learned(case: dict):
    from csvdprep.markers.wmh.learned import learned_probability

    takes = {k: v for k, v in case.items() if k not in ('affine', 't1w')}
    return learned_probability(takes, case['affine'], t1w=case['t1w'])


def main() -> None:
    """Draw all heads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=Path)
    parser.add_argument('--derivatives', type=Path, nargs='*', default=[])
    parser.add_argument('--only', nargs='*', default=[], help='participants')
    parser.add_argument('--each', type=int, default=3, help='insertions into each visit')
    parser.add_argument('--phantoms', type=int, default=48)
    parser.add_argument('--empty', type=int, default=0, help='phantoms without lesions')
    parser.add_argument('--seed', type=int, default=33)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    loads = _benchmarks()[2].LOADS
    jobs = []
    for n, empty in [(given.phantoms, False), (given.empty, True)]:
        jobs += [
            (
                f'{"empty" if empty else "phantom"}_{given.seed}_{k:03d}',
                phantom,
                (k, n, given.seed + 1000 * empty),
                {'empty': empty},
            )
            for k in range(n)
        ]
    stems = [
        str(path).removesuffix('_desc-preproc_FLAIR.nii.gz')
        for root in given.derivatives
        for path in sorted(root.rglob('sub-*_desc-preproc_FLAIR.nii.gz'))
        if 'space-' not in path.name and (not given.only or path.name.split('_')[0] in given.only)
    ]
    for n, stem in enumerate(stems):
        if not Path(f'{stem}_space-FLAIR_label-WMH_mask.nii.gz').is_file():
            print(f'{stem} is left out: it has no mask of hyperintensities', flush=True)
            continue
        for k in range(given.each):
            load = loads[(n + k * len(loads) // given.each) % len(loads)]
            number = 700_000 + 1000 * given.seed + 10 * n + k
            jobs.append(
                (
                    f'inserted_{given.seed}_{n:02d}_{Path(stem).name}_{k}',
                    insertion,
                    (stem, load, number, 1 + (n + k) % 2),
                    {},
                )
            )
    for done, (name, make, args, more) in enumerate(jobs, start=1):
        path = given.out / f'{name}.npz'
        if not path.exists():
            new = path.with_suffix('.new')
            with new.open('wb') as file:
                np.savez_compressed(file, **make(*args, **more))
            new.rename(path)
            print(f'{name} ({done} of {len(jobs)})', flush=True)


if __name__ == '__main__':
    main()
