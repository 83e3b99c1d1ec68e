"""How large lesions are on axial slices, when a thread of lesion does not make a large one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage as ndi

from csvdprep.science.shapes import axial_axis, feret, grouped

__all__ = ['confluent_diameter', 'group_diameter']

#: A lesion counts with its length as long as it is at least this share of it wide.
LEAST_WIDTH = 1 / 3
#: Sizes, mm, at which width and length are compared; in between, the smaller one counts.
SIZES = (2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 25.0)
#: Pixels are divided until they are no larger than this (mm), so that widths can be told.
FINE_MM = 0.6
_AROUND = np.ones((3, 3), dtype=bool)


def confluent_diameter(
    mask: np.ndarray,
    affine: np.ndarray,
    *,
    where: np.ndarray | None = None,
    sizes: Sequence[float] = SIZES,
) -> float:
    """Measure the largest axial diameter of a lesion, as far as the lesion has the width for it.

    A lesion has the size ``s`` if on one axial slice a connected part of it that is everywhere at
    least ``s / 3`` wide (an opening by a disc of that diameter) is ``s`` long. Ribbons, tails and
    thin bridges therefore add nothing, and a lesion that grows never loses a size it had.

    Parameters
    ----------
    mask : ndarray of bool, shape (nx, ny, nz)
        Lesions.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm; voxels may be of any shape.
    where : ndarray of bool, optional
        Part in which lengths are measured. Widths are those of the whole lesion.
    sizes : sequence of float
        Sizes, mm, in rising order, at which width and length are compared.

    Returns
    -------
    float
        Diameter in mm; 0 if the mask is empty. A lesion too narrow for its length has the
        largest of ``sizes`` for which it is wide enough.

    Examples
    --------
    >>> import numpy as np
    >>> ribbon, patch = np.zeros((2, 40, 40, 3), bool)
    >>> ribbon[5:27, 5:7, 1] = True  # 22 x 2 mm
    >>> patch[5:27, 5:17, 1] = True  # 22 x 12 mm
    >>> confluent_diameter(ribbon, np.eye(4))
    5.0
    >>> round(confluent_diameter(patch, np.eye(4)))
    23
    """
    largest = 0.0
    for region, counted, plane in _slices(mask, affine, where):
        labels, _ = ndi.label(region, _AROUND)
        for number, box in enumerate(ndi.find_objects(labels), start=1):
            piece = labels[box] == number
            kept = piece & counted[box]
            if kept.any() and _diagonal(kept, plane) > largest:
                largest = max(largest, _size(piece, kept, plane, sizes))
    return largest


def group_diameter(
    mask: np.ndarray,
    affine: np.ndarray,
    *,
    where: np.ndarray | None = None,
    bridge_mm: float = 1.5,
    width_mm: float = 10 / 3,
    least_mm2: float = 25 * np.pi,
) -> float:
    """Measure the largest group of neighbouring foci on any axial slice.

    Parameters
    ----------
    mask : ndarray of bool, shape (nx, ny, nz)
        Lesions.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm.
    where : ndarray of bool, optional
        Part in which groups are looked for.
    bridge_mm : float
        Foci that touch, or come nearer than twice this, are a group.
    width_mm : float
        Only foci at least this wide count; thinner ones connect.
    least_mm2 : float
        Area of foci (mm2) that a group must have; by default that of a disc of 10 mm.

    Returns
    -------
    float
        Diameter in mm from the outer end of one focus to that of another; 0 without a group.

    Examples
    --------
    >>> import numpy as np
    >>> mask = np.zeros((40, 12, 1), bool)
    >>> mask[3:9, 3:9] = mask[11:17, 3:9] = mask[19:25, 3:9] = True
    >>> round(group_diameter(mask, np.eye(4)))
    22
    >>> group_diameter(mask[:, :5], np.eye(4))
    0.0
    """
    largest = 0.0
    for region, counted, plane in _slices(mask, affine, where):
        steps = np.linalg.norm(plane, axis=0)
        labels, _ = ndi.label(grouped(counted, steps, bridge_mm), _AROUND)
        for number, box in enumerate(ndi.find_objects(labels), start=1):
            group = counted[box] & (labels[box] == number)
            if group.sum() * _pixel_mm2(plane) < least_mm2 or _diagonal(group, plane) <= largest:
                continue
            largest = max(largest, _group(region, group, box, plane, width_mm, least_mm2))
    return largest


def _group(region, group, box, plane, width_mm: float, least_mm2: float) -> float:
    """Diameter of the foci of a group; 0 if there is too little of them."""
    margin = np.ceil(2 * width_mm / np.linalg.norm(plane, axis=0)).astype(int)
    wide = tuple(
        slice(max(0, edge.start - m), edge.stop + m) for edge, m in zip(box, margin, strict=True)
    )
    counted = np.zeros(region[wide].shape, bool)
    counted[
        tuple(slice(b.start - w.start, b.stop - w.start) for b, w in zip(box, wide, strict=True))
    ] = group
    fine, times = _fine(region[wide], plane)
    solid = _opened(_depth(fine, plane / times), plane / times, width_mm) & _repeat(counted, times)
    if solid.sum() * _pixel_mm2(plane / times) < least_mm2:
        return 0.0
    return feret(solid, plane / times)


def _slices(
    mask: np.ndarray, affine: np.ndarray, where: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Give the axial slices with lesion: lesion, what of it counts, axes of the slice in mm."""
    mask = np.asarray(mask, dtype=bool)
    counted = mask if where is None else mask & np.asarray(where, dtype=bool)
    box = ndi.find_objects(mask.view(np.uint8))
    if not box or not counted.any():
        return
    axis = axial_axis(affine)
    plane = np.delete(np.asarray(affine, dtype=float)[:3, :3], axis, axis=1)
    stacks = (np.moveaxis(np.ascontiguousarray(a[box[0]]), axis, 0) for a in (mask, counted))
    for region, part in zip(*stacks, strict=True):
        if part.any():
            yield region, part, plane


def _size(piece, kept, plane, sizes: Sequence[float]) -> float:
    """Size of one connected region of a slice."""
    fine, times = _fine(piece, plane)
    counted, fine_plane = _repeat(kept, times), plane / times
    depth = _depth(fine, fine_plane)
    for size, larger in zip(sizes[::-1], [np.inf, *sizes[:0:-1]], strict=True):
        labels, _ = ndi.label(_opened(depth, fine_plane, size * LEAST_WIDTH) & counted, _AROUND)
        lengths = [
            feret(labels[box] == number, fine_plane)
            for number, box in enumerate(ndi.find_objects(labels), start=1)
        ]
        length = max(lengths, default=0.0)
        if length >= size:
            return length if length < larger else size
    return min(feret(counted, fine_plane), sizes[0])


def _fine(region: np.ndarray, plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divide the pixels, with a border of background all round."""
    steps = np.linalg.norm(plane, axis=0)
    times = np.maximum(1, np.ceil(steps / FINE_MM)).astype(int)
    return _repeat(region, times), times


def _repeat(region: np.ndarray, times: np.ndarray) -> np.ndarray:
    return region.repeat(times[0], axis=0).repeat(times[1], axis=1)


def _depth(region: np.ndarray, plane: np.ndarray) -> np.ndarray:
    """Measure how deep within a region of a slice each pixel lies, mm; 0 outside."""
    steps = np.linalg.norm(plane, axis=0)
    return ndi.distance_transform_edt(np.pad(region, 1), steps)[1:-1, 1:-1]


def _opened(depth: np.ndarray, plane: np.ndarray, width_mm: float) -> np.ndarray:
    """Keep what is at least so wide: an opening by a disc."""
    steps = np.linalg.norm(plane, axis=0)
    core = depth >= width_mm / 2 + steps.max() / 4
    if not core.any():
        return core
    near = ndi.distance_transform_edt(~core, steps) <= width_mm / 2
    return near & (depth > 0)


def _pixel_mm2(plane: np.ndarray) -> float:
    return float(np.linalg.norm(np.cross(plane[:, 0], plane[:, 1])))


def _diagonal(region: np.ndarray, plane: np.ndarray) -> float:
    """No diameter of a region is longer than the two sides of its box together."""
    box = ndi.find_objects(region.view(np.uint8))[0]
    steps = np.linalg.norm(plane, axis=0)
    return sum((edge.stop - edge.start) * step for edge, step in zip(box, steps, strict=True))
