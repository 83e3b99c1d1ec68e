"""The lateral ventricles: the base from which hyperintensities are measured.

Fluid is divided between the lateral ventricles and the other fluid spaces by the easiest way on
which it can be reached from what the warped template has of each. A way is easy where it is wide,
so that a ventricle is taken whole however far it reaches beyond that of the template, and the
borders lie in the narrow passages: the interventricular foramina, the choroidal fissure, gaps
between voxels.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

#: How far the ventricles of a patient may reach beyond those of the warped template (mm).
REACH_MM = 35.0
#: Fluid at least this far from tissue (mm) is the core of a fluid space.
CORE_MM = 3.0
#: Share of the voxels of a core that the lesser of two fluid spaces must have in the template
#: for the core to be divided between them; below it the template is out of place.
CONTESTED = 0.5
#: Distance between the ventricles of the template and other fluid from which to start (mm).
APART_MM = 2.0
#: Cost of the longest way from the template's ventricles (mm at a width of 1 mm).
FARTHEST = 12.0
#: Choroid plexus and partial volume up to this width (mm) belong to the ventricle around them.
CLOSE_MM = 2.0
CLOSE_PAD = 8
#: Label of the other fluid spaces among those of the sides.
OTHER = 3


def lateral_ventricles(
    csf: np.ndarray, template: np.ndarray, others: np.ndarray, voxel_mm
) -> np.ndarray:
    """Find the lateral ventricles.

    Parameters
    ----------
    csf : ndarray, shape (nx, ny, nz)
        Share of each voxel that is CSF.
    template : ndarray of int
        Lateral ventricles of the warped template: 1 left, 2 right.
    others : ndarray of bool
        Other fluid spaces of the warped template: third and fourth ventricle, cisterns,
        sulci, and what lies outside the brain.
    voxel_mm : sequence of 3 float
        Voxel size, mm.

    Returns
    -------
    ndarray of uint8
        1 left, 2 right, 0 elsewhere. Empty if there is no such fluid.

    Examples
    --------
    >>> template = np.zeros((40, 40, 40), int)
    >>> template[10:18, 15:25, 15:25], template[22:30, 15:25, 15:25] = 1, 2
    >>> csf = np.zeros(template.shape)
    >>> csf[6:18, 5:35, 8:32] = csf[22:32, 13:27, 14:26] = 1
    >>> found = lateral_ventricles(csf, template, np.zeros(template.shape, bool), (1, 1, 1))
    >>> bool(((found > 0) == (csf > 0)).all()), int(found.max())
    (True, 2)

    """
    template = np.asarray(template)
    result = np.zeros(template.shape, np.uint8)
    if not np.any(template):
        return result
    voxel_mm = np.asarray(voxel_mm, float)
    box = _box(template > 0, np.ceil((REACH_MM + 2) / voxel_mm).astype(int))
    sides, elsewhere = template[box], np.asarray(others[box], bool)
    fluid = np.asarray(csf[box]) > 0.5
    distance = ndi.distance_transform_edt(sides == 0, voxel_mm)
    depth = ndi.distance_transform_edt(np.pad(fluid, 1), voxel_mm)[1:-1, 1:-1, 1:-1]
    start = _starts(fluid, depth, sides, elsewhere & (distance > APART_MM))
    claimed = _divide(fluid, depth, start, voxel_mm)
    claimed[(claimed < OTHER) & (distance > REACH_MM)] = 0
    for side in (1, 2):
        own = claimed == side
        if own.any():
            own |= _closed(own, voxel_mm) & (claimed == 0)
            result[box][own & (result[box] == 0)] = side
    return result


def _starts(fluid, depth, sides, elsewhere):
    """Return the fluid that the template is right about: 1 left, 2 right, 3 other, 0 unknown."""
    start = np.where(fluid, sides, 0)
    start[fluid & elsewhere & (sides == 0)] = OTHER
    cores, count = ndi.label(fluid & (depth >= CORE_MM))
    if not count:
        return start
    # A template out of place has cisterns in the ventricles: the majority of a core decides.
    votes = np.stack([np.bincount(cores[start == k], minlength=count + 1) for k in range(4)])
    inner = votes[1] + votes[2]
    less = np.minimum(inner, votes[OTHER]) < CONTESTED * np.maximum(inner, votes[OTHER])
    wrong = np.where(less & (inner > votes[OTHER]), OTHER, 0)
    start[(start == OTHER) & (wrong[cores] == OTHER) & (cores > 0)] = 0
    stray = (less & (votes[OTHER] > inner))[cores] & (cores > 0)
    start[stray & (start > 0) & (start < OTHER)] = 0
    return start


def _divide(fluid, depth, start, voxel_mm):
    """Give each voxel of fluid to the start from which it is reached most easily."""
    out = np.zeros(fluid.shape, np.uint8)
    if not ((start == 1) | (start == 2)).any():
        return out
    number = np.cumsum(fluid.ravel()).reshape(fluid.shape) - 1
    rows, columns, costs = [], [], []
    for axis in range(3):
        ahead = [slice(None)] * 3
        behind = [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        a, b = tuple(behind), tuple(ahead)
        both = fluid[a] & fluid[b]
        width = np.minimum(depth[a], depth[b])[both]
        rows.append(number[a][both])
        columns.append(number[b][both])
        costs.append(voxel_mm[axis] / width**2)
    size = int(fluid.sum())
    graph = coo_array(
        (np.concatenate(costs), (np.concatenate(rows), np.concatenate(columns))),
        shape=(size, size),
    ).tocsr()
    label = start[fluid]
    cost, _, source = dijkstra(
        graph,
        directed=False,
        indices=np.flatnonzero(label),
        return_predecessors=True,
        min_only=True,
    )
    reached = np.isfinite(cost)
    label[reached] = label[source[reached]]
    label[~reached | ((cost > FARTHEST) & (label < OTHER))] = 0
    out[fluid] = label
    return out


def _closed(found, voxel_mm):
    """Close gaps within slices, where the resolution allows to see them."""
    through = int(np.argmax(voxel_mm))
    radius = np.floor(CLOSE_MM / voxel_mm).astype(int)
    radius[through] = 0
    grids = np.ogrid[tuple(slice(-r, r + 1) for r in radius)]
    near = sum((g * v) ** 2 for g, v in zip(grids, voxel_mm, strict=True)) <= CLOSE_MM**2
    closed = ndi.binary_closing(np.pad(found, CLOSE_PAD), near)
    crop = tuple(slice(CLOSE_PAD, -CLOSE_PAD) for _ in range(3))
    slices = np.moveaxis(closed[crop], through, 0)
    return np.moveaxis(np.stack([ndi.binary_fill_holes(plane) for plane in slices]), 0, through)


def _box(mask, margin):
    slices = ndi.find_objects(mask.astype(np.uint8))[0]
    return tuple(
        slice(max(0, s.start - m), min(n, s.stop + m))
        for s, m, n in zip(slices, margin, mask.shape, strict=True)
    )
