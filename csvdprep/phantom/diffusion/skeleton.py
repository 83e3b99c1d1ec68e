"""The skeleton of the white matter: middle sheets of tracts, by anisotropy in the template."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
from scipy import ndimage as ndi

from csvdprep.phantom.diffusion.fibres import FIELD_MM, anisotropy, template_shape
from csvdprep.phantom.head.anatomy import _template_brain, structure_names

#: One of each pair of opposite neighbours of a voxel.
NEIGHBOURS = [step for step in product((-1, 0, 1), repeat=3) if step > (0, 0, 0)]
#: FA above which ridges are sought, and above which they are kept.
SEEK, KEEP = 0.2, 0.3
#: Least volume of a piece, mm³; least distance from fluid, mm; lowest slice, mm.
PIECE_MM3, FROM_FLUID_MM, LOWEST_Z = 100.0, 3.0, -35.0


@cache
def skeleton() -> np.ndarray:
    """Find the skeleton of the template's white matter.

    Voxels whose anisotropy exceeds that of both neighbours across their tract, as in tract-based
    spatial statistics (Smith 2006, doi:10.1016/j.neuroimage.2006.02.024), away from fluid,
    cerebellum, brainstem and fornix as for peak width of skeletonised mean diffusivity
    (Baykara 2016, doi:10.1002/ana.24758).

    Returns
    -------
    ndarray of float, shape (n, 3)
        Positions in the template, mm, on a grid of 2 mm.

    Examples
    --------
    >>> points = skeleton()
    >>> 4000 < len(points) < 20000
    True
    """
    brain = _template_brain()
    step = int(FIELD_MM / brain['affine'][0, 0])
    some = (slice(None, None, step),) * 3
    field, affine = template_shape()
    white = ndi.gaussian_filter(brain['wm'], step / 2.5)[some]
    fa = anisotropy(field) * white
    ridge = np.zeros(fa.shape, bool)
    part = ndi.find_objects((fa > SEEK).astype(np.uint8))[0]
    ridge[part] = (fa[part] > SEEK) & _largest_across(fa[part])
    structures = brain['structures'][some]
    fluid = (brain['inside'] - brain['gm'] - brain['wm'])[some] > 0.5
    fluid |= np.isin(structures, _labels('ventricle'))
    ridge &= ndi.distance_transform_edt(~fluid, sampling=FIELD_MM) >= FROM_FLUID_MM
    ridge &= (fa > KEEP) & ~np.isin(structures, _labels('cerebellum', 'brainstem', 'fornix'))
    z = affine[2, 3] + affine[2, 2] * np.arange(fa.shape[2])
    ridge &= z >= LOWEST_Z
    pieces, count = ndi.label(ridge, np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel(), minlength=count + 1) * FIELD_MM**3
    sizes[0] = 0
    index = np.argwhere(sizes[pieces] >= PIECE_MM3)
    return index @ affine[:3, :3].T + affine[:3, 3]


def _largest_across(fa: np.ndarray) -> np.ndarray:
    """Tell where FA is no less than that of both neighbours across the sheet."""
    across = _across(fa)
    out = np.zeros(fa.shape, bool)
    for number, step in enumerate(NEIGHBOURS):
        before, after = _shifted(fa, step)
        out |= (across == number) & (fa >= before) & (fa >= after)
    return out


def _across(fa: np.ndarray) -> np.ndarray:
    """Return the number of the direction that runs across the sheet in each voxel.

    Where the centre of gravity of the neighbourhood lies aside, the direction to it, else that of
    the steepest fall to both sides; then the most frequent one of the neighbourhood.
    """
    kernel = np.array([-1.0, 0.0, 1.0])
    total = ndi.uniform_filter(fa, 3) * 27 + 1e-9
    aside = []
    for axis in range(3):
        part = ndi.correlate1d(fa, kernel, axis=axis)
        for other in range(3):
            if other != axis:
                part = ndi.uniform_filter1d(part, 3, axis=other) * 3
        aside.append(part / total)
    units = np.array(NEIGHBOURS, float)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    towards = np.argmax(
        np.stack([np.abs(sum(u * a for u, a in zip(unit, aside, strict=True))) for unit in units]),
        axis=0,
    )
    falls = np.stack(
        [(2 * fa - sum(_shifted(fa, step))) / sum(s * s for s in step) for step in NEIGHBOURS]
    )
    far = np.sqrt(sum(a**2 for a in aside)) > 0.1
    first = np.where(far, towards, falls.argmax(axis=0))
    counts = [
        ndi.uniform_filter((first == k).astype(np.float32), 3) for k in range(len(NEIGHBOURS))
    ]
    return np.argmax(counts, axis=0)


def _shifted(volume: np.ndarray, step) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of both neighbours along a step; the borders are empty anyway."""
    back = tuple(-s for s in step)
    return np.roll(volume, step, (0, 1, 2)), np.roll(volume, back, (0, 1, 2))


def _labels(*endings: str) -> list[int]:
    return [label for label, name in structure_names().items() if name.endswith(endings)]
