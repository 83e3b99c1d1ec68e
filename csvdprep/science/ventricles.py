"""The lateral ventricles: the base from which hyperintensities are measured."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

#: How far the ventricles of a patient may reach beyond those of the warped template (mm).
REACH_MM = 10.0
#: Share of a piece of CSF that must lie in the warped ventricles for it to count.
OVERLAP = 0.2
#: Choroid plexus and partial volume up to this width (mm) belong to the ventricle around them.
CLOSE_MM = 2.0


def lateral_ventricles(
    csf: np.ndarray,
    template: np.ndarray,
    others: np.ndarray,
    voxel_mm,
) -> np.ndarray:
    """Find the lateral ventricles.

    Voxels of CSF that are nearer to the lateral ventricles of the warped template than to
    any other of its fluid spaces, in pieces that the template's ventricles reach into.

    Parameters
    ----------
    csf : ndarray, shape (nx, ny, nz)
        Probability of CSF.
    template : ndarray of int
        Lateral ventricles of the warped template: 1 left, 2 right.
    others : ndarray of bool
        Other fluid spaces of the warped template: third and fourth ventricle, cisterns,
        sulci.
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
    >>> csf[8:18, 13:27, 14:26] = csf[22:32, 13:27, 14:26] = 1
    >>> found = lateral_ventricles(csf, template, np.zeros(template.shape, bool), (1, 1, 1))
    >>> bool(((found > 0) == (csf > 0)).all()), int(found.max())
    (True, 2)

    """
    template = np.asarray(template)
    result = np.zeros(template.shape, np.uint8)
    if not np.any(template):
        return result
    box = _box(template > 0, np.ceil((REACH_MM + 4) / np.asarray(voxel_mm, float)).astype(int))
    inside, fluid = template[box] > 0, np.asarray(csf[box]) > 0.5
    distance, nearest = ndi.distance_transform_edt(~inside, voxel_mm, return_indices=True)
    elsewhere = np.asarray(others[box], bool) & ~inside
    rival = (
        ndi.distance_transform_edt(~elsewhere, voxel_mm) if elsewhere.any()
        else np.full(inside.shape, np.inf)
    )  # fmt: skip
    found = fluid & (distance <= REACH_MM) & (inside | (distance < rival))
    found = _reached(found, inside)
    if not found.any():
        return result
    found |= _closed(found, voxel_mm) & (distance <= CLOSE_MM) & (distance < rival)
    side = template[box][tuple(nearest)]
    result[box] = np.where(found, side, 0)
    return result


def _reached(found, inside):
    """Keep the pieces that the template's ventricles reach into."""
    labels, count = ndi.label(found)
    if not count:
        return found
    size = np.bincount(labels.ravel(), minlength=count + 1)
    overlap = np.bincount(labels[inside], minlength=count + 1)
    keep = overlap >= OVERLAP * size
    keep[0] = False
    return keep[labels]


def _closed(found, voxel_mm):
    """Close gaps within slices, where the resolution allows to see them."""
    voxel_mm = np.asarray(voxel_mm, float)
    through = int(np.argmax(voxel_mm))
    radius = np.floor(CLOSE_MM / voxel_mm).astype(int)
    radius[through] = 0
    grids = np.ogrid[tuple(slice(-r, r + 1) for r in radius)]
    near = sum((g * v) ** 2 for g, v in zip(grids, voxel_mm, strict=True)) <= CLOSE_MM**2
    closed = ndi.binary_closing(np.pad(found, CLOSE_PAD), near)
    crop = tuple(slice(CLOSE_PAD, -CLOSE_PAD) for _ in range(3))
    closed = closed[crop]
    slices = np.moveaxis(closed, through, 0)
    return np.moveaxis(
        np.stack([ndi.binary_fill_holes(plane) for plane in slices]), 0, through
    )


CLOSE_PAD = 8


def _box(mask, margin):
    slices = ndi.find_objects(mask.astype(np.uint8))[0]
    return tuple(
        slice(max(0, s.start - m), min(n, s.stop + m))
        for s, m, n in zip(slices, margin, mask.shape, strict=True)
    )
