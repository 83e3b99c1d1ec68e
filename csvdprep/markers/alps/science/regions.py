"""The regions of DTI-ALPS: where they lie, which of their voxels count, and their means.

A region is a sphere around a point of the template. No image is resampled: each native voxel
weighs as much as the share of it that lies within the sphere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from csvdprep.markers.alps.science.rotation import reorient, steady
from csvdprep.markers.alps.science.voxels import Nearby, inner_points, scalars, sphere_share

__all__ = ['CENTRES', 'REACH', 'Region', 'choose_region']

#: Centres of the regions, mm in MNI space (left is x < 0), in the order of their labels.
CENTRES = {
    ('left', 'proj'): (-26.0, -16.0, 27.0),
    ('left', 'assoc'): (-38.0, -16.0, 27.0),
    ('right', 'proj'): (26.0, -16.0, 27.0),
    ('right', 'assoc'): (38.0, -16.0, 27.0),
}
#: Axis of the template along which the fibres of a region run.
FIBRE_AXIS = {'proj': 2, 'assoc': 1}
#: A voxel counts if its FA is above, its MD (mm²/s) below, and its largest axis along the fibres
#: (cosine above); and if next to nothing of it is lesion.
LEAST_FA, MOST_MD, LEAST_COSINE, MOST_LESION = 0.2, 1.1e-3, 0.8, 0.01
#: Aligned share from which a region stays in place, and below which it has no value.
ENOUGH, LEAST = 0.5, 0.25
#: Largest shift of a region along each axis of the template, and its step, mm.
SHIFT, STEP = 4, 1
#: Share of the sphere that has to lie within image and brain.
COVERED = 0.9
#: Largest distance of the points that stand for voxels in the search of a better place, mm.
COARSE_MM = 0.8
#: How far from a centre a sphere of up to 5 mm can reach, mm.
REACH = 5.0 + np.sqrt(3) * SHIFT


@dataclass(frozen=True)
class Region:
    """A region after screening.

    Attributes
    ----------
    centre : tuple of float
        In the template, mm, after the shift.
    share : ndarray, shape (n,)
        Share of each nearby voxel within the sphere.
    kept : ndarray of bool, shape (n,)
        Which of them count.
    template, native : ndarray, shape (6,), or None
        Mean tensor in the axes of the template and of the world, mm²/s.
    fa, md : float or None
        Means over the voxels that count.
    covered, aligned, lesion, replaced : float
        Share of the sphere within the mask; that counts; that is lesion where the template has
        it, before any shift; share of its voxels whose rotation was noise and was replaced.
    shift_mm : float
        How far it was shifted.
    voxels : float
        How many voxels of the series the part that counts is worth: the sum of the shares that
        lie within the sphere. Voxels whose edge alone is in it add little.
    reason : str
        Why there are no means; else what to mind about them.
    """

    centre: tuple[float, float, float]
    share: np.ndarray
    kept: np.ndarray
    template: np.ndarray | None = None
    native: np.ndarray | None = None
    fa: float | None = None
    md: float | None = None
    covered: float = 0.0
    aligned: float = 0.0
    lesion: float = 0.0
    replaced: float = 0.0
    shift_mm: float = 0.0
    voxels: float = 0.0
    reason: str = ''


def choose_region(
    nearby: Nearby, name: tuple[str, str], radius: float, centres: Mapping = CENTRES
) -> Region:
    """Place a region, screen its voxels, and take its means.

    1. A voxel counts if it is covered, FA > 0.2, 0 < MD < 1.1e-3 mm²/s, at most 1 % of it is
       lesion (at voxels of 2 mm that leaves 1 mm between its centre and a lesion), and the
       cosine between its largest axis and the axis of the fibres, after reorientation, is above
       0.8.
    2. If that is half of the sphere, it stays where the template has it. Else its centre goes
       where, of all steps of 1 mm within 4 mm along each axis of the template, the mean over
       the sphere of cosine times FA is largest (0 in voxels that cannot count whatever their
       direction), the shorter shift if two are equal; unless less of the sphere counts there.
    3. With less than half there is a warning, with less than a quarter no value.

    A sphere of which less than 90 % lies within image and brain is not shifted and has no value.

    Parameters
    ----------
    nearby : Nearby
        From :func:`gather`.
    name : tuple of str
        Key of :data:`CENTRES`.
    radius : float
        Of the sphere, mm in the template.
    centres : mapping
        Where the regions lie in the template of the positions, mm.

    Returns
    -------
    Region
    """
    home = np.array(centres[name])
    axis = FIBRE_AXIS[name[1]]
    region = _screened(nearby, home, home, radius, axis)
    if region.covered < COVERED:
        return region
    if region.aligned < ENOUGH:
        moved = _screened(nearby, _better_centre(nearby, home, radius, axis), home, radius, axis)
        if moved.aligned > region.aligned:
            # How much lesion there is, is asked of the place that was meant.
            return replace(moved, lesion=region.lesion)
    return region


def _screened(nearby: Nearby, centre, home, radius: float, axis: int) -> Region:
    """Screen the voxels of a sphere and take its means, if it has enough of them."""
    share = sphere_share(nearby.position, nearby.edges, centre, radius)
    inside = share > 0
    weight = share * nearby.covered
    found = {
        'centre': tuple(centre.tolist()),
        'share': share,
        'kept': np.zeros_like(inside),
        'shift_mm': float(np.linalg.norm(centre - home)),
        'covered': _covered(nearby, share, radius),
    }
    if weight.any():
        found['lesion'] = float(np.average(nearby.lesion, weights=weight))
    if found['covered'] < COVERED:
        return Region(
            **found,
            reason=f'only {_percent(found["covered"])} of the region is within the image and '
            'the brain mask',
        )
    turn, replaced = steady(nearby.rotation[inside], weight[inside])
    turned = reorient(nearby.tensor[inside], turn)
    fa, md, first = scalars(turned)
    good = (weight[inside] > 0) & _can_count(nearby, inside, fa, md)
    good &= np.abs(first[:, axis]) > LEAST_COSINE
    weight = weight[inside]
    aligned = found['covered'] * float(weight[good].sum() / weight.sum())
    found['kept'][inside] = good
    found |= {'aligned': aligned, 'replaced': replaced, 'voxels': float(weight[good].sum())}
    said = ''
    if aligned < ENOUGH:
        lost = _lost(nearby, inside, share, fa, md, good)
        said = f'only {_percent(aligned)} of the region can be used (excluded: {lost})'
    if aligned < LEAST:
        return Region(**found, reason=said)
    own = weight[good] / weight[good].sum()
    return Region(
        **found,
        template=own @ turned[good],
        native=own @ nearby.tensor[inside][good],
        fa=float(own @ fa[good]),
        md=float(own @ md[good]),
        reason=said,
    )


def _better_centre(nearby: Nearby, home: np.ndarray, radius: float, axis: int) -> np.ndarray:
    """Search the centre with the largest mean of cosine times FA."""
    fa, md, first = nearby.turned
    good = _can_count(nearby, slice(None), fa, md)
    score = np.where(good, np.abs(first[:, axis]) * fa, 0)
    reach = radius + np.sqrt(3) * SHIFT + np.linalg.norm(nearby.edges, axis=1).sum(axis=1) / 2
    some = nearby.covered & (((nearby.position - home) ** 2).sum(axis=1) < reach**2)
    samples = int(np.ceil(np.linalg.norm(nearby.edges, axis=1).mean(axis=0).max() / COARSE_MM))
    points = nearby.position[some, None] - home + inner_points(nearby.edges[some], samples)
    volume = np.repeat(nearby.volume[some] / samples**3, samples**3)
    score = np.repeat(score[some], samples**3) * volume
    points = points.reshape(-1, 3).astype(np.float32)
    steps = np.arange(-SHIFT, SHIFT + STEP, STEP, dtype=np.float32)
    shifts = np.stack(np.meshgrid(steps, steps, steps, indexing='ij'), axis=-1).reshape(-1, 3)
    shifts = shifts[np.argsort((shifts**2).sum(axis=1), kind='stable')]
    weights = np.column_stack([volume, score])
    sums = []
    for some in np.array_split(shifts, 27):
        away = (points**2).sum(axis=1) - 2 * some @ points.T + (some**2).sum(axis=1)[:, None]
        sums.append((away <= radius**2).astype(float) @ weights)
    found = np.concatenate(sums)
    # Of equal scores, which differ by rounding, the first is that of the shortest shift.
    found = np.where(found[:, 0] >= COVERED * _sphere(radius), found[:, 1], 0)
    return home + shifts[np.argmax(found >= found.max() * (1 - 1e-9))]


def _can_count(nearby: Nearby, some, fa: np.ndarray, md: np.ndarray) -> np.ndarray:
    """Return which voxels count if they run along the fibres."""
    return (fa > LEAST_FA) & (md > 0) & (md < MOST_MD) & (nearby.lesion[some] <= MOST_LESION)


def _lost(nearby: Nearby, inside, share, fa, md, good) -> str:
    """Say what the voxels of a region are that do not count: the first reason of each."""
    weight = share[inside] * nearby.covered[inside]
    reasons = {
        'no tensor': ~np.isfinite(nearby.tensor[inside]).all(axis=1),
        'lesion': nearby.lesion[inside] > MOST_LESION,
        'high MD': md >= MOST_MD,
        'low FA': (fa <= LEAST_FA) | (md <= 0),
        'fibres in other directions': np.ones(len(good), bool),
    }
    left, parts = ~good, []
    for name, those in reasons.items():
        part = weight[left & those].sum() / weight.sum()
        parts += [f'{name} {_percent(part)}'] if part >= 0.005 else []
        left = left & ~those
    return ', '.join(parts)


def _sphere(radius: float) -> float:
    return 4 / 3 * np.pi * radius**3


def _covered(nearby: Nearby, share: np.ndarray, radius: float) -> float:
    """Return which share of a sphere lies in covered voxels."""
    volume = float(share @ (nearby.volume * nearby.covered))
    return min(volume / _sphere(radius), 1.0)


def _percent(share: float) -> str:
    return f'{100 * share:.0f} %'
