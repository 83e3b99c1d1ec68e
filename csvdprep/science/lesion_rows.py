"""What a list says of lesions of any kind: how large each is, and where."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy import ndimage as ndi

from csvdprep.science.shapes import axial_diameter, voxel_volume

__all__ = ['lesion_rows', 'mean_within', 'most_within']

_SIDES = {1: 'left', 2: 'right'}
Row = dict[str, float | int | str | None]


def lesion_rows(
    labels: np.ndarray,
    affine: np.ndarray,
    *,
    to_mni: Callable[[np.ndarray], np.ndarray] | None = None,
    side: np.ndarray | None = None,
    lobes: tuple[np.ndarray, Mapping[int, str]] | None = None,
    territories: tuple[np.ndarray, Mapping[int, str]] | None = None,
    probability: np.ndarray | None = None,
) -> list[Row]:
    """Describe numbered lesions.

    Parameters
    ----------
    labels : ndarray of int, shape (nx, ny, nz)
        Lesions 1 to n, as `csvdprep.science.shapes.label_lesions` numbers them.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm (RAS+).
    to_mni : callable, optional
        Takes positions in mm, shape (n, 3), and returns them in template space.
    side : ndarray, optional
        1 left, 2 right of the midline.
    lobes, territories : tuple of ndarray and mapping, optional
        Labels on the grid of ``labels`` and the name of each.
    probability : ndarray, optional
        Map of which the mean over the lesion is wanted.

    Returns
    -------
    list of dict
        For each lesion ``index``, ``volume_mm3``, centroid ``x``, ``y``, ``z`` (mm), ``x_mni``,
        ``y_mni``, ``z_mni`` (mm), ``side``, ``lobe``, ``territory`` (most of it; None if in no
        region), ``max_axial_diameter_mm``, ``mean_probability``. None stands for what was not
        given.

    Examples
    --------
    >>> labels = np.zeros((20, 20, 8), np.int32)
    >>> labels[3:7, 4, 2] = 1
    >>> row, = lesion_rows(labels, np.diag([1.0, 1.0, 3.0, 1.0]))
    >>> row['volume_mm3'], row['x'], row['z'], row['max_axial_diameter_mm'], row['side']
    (12.0, 4.5, 6.0, 4.0, None)
    """
    voxel_mm3 = voxel_volume(affine)
    rows: list[Row] = []
    centres = []
    for index, box in enumerate(ndi.find_objects(labels), start=1):
        lesion = labels[box] == index
        voxels = np.argwhere(lesion) + [edge.start for edge in box]
        centres.append(affine[:3, :3] @ voxels.mean(axis=0) + affine[:3, 3])
        rows.append(
            {
                'index': index,
                'volume_mm3': float(len(voxels) * voxel_mm3),
                **dict.fromkeys(('x', 'y', 'z', 'x_mni', 'y_mni', 'z_mni')),
                'side': most_within(side, _SIDES, box, lesion),
                'lobe': most_within(*(lobes or (None, {})), box, lesion),
                'territory': most_within(*(territories or (None, {})), box, lesion),
                'max_axial_diameter_mm': axial_diameter(lesion, affine),
                'mean_probability': mean_within(probability, box, lesion),
            }
        )
    if rows:
        places = {('x', 'y', 'z'): np.array(centres)}
        if to_mni is not None:
            places['x_mni', 'y_mni', 'z_mni'] = np.asarray(to_mni(np.array(centres)))
        for names, points in places.items():
            for row, point in zip(rows, points, strict=True):
                row |= dict(zip(names, map(float, point), strict=True))
    return rows


def most_within(
    regions: np.ndarray | None,
    names: Mapping[int, str],
    box: tuple[slice, ...],
    lesion: np.ndarray,
) -> str | None:
    """Name the region in which most of a lesion lies; None if it is in none of them."""
    if regions is None:
        return None
    found, counts = np.unique(np.asarray(regions)[box][lesion].astype(int), return_counts=True)
    known = [(count, -label) for label, count in zip(found, counts, strict=True) if label in names]
    return names[-max(known)[1]] if known else None


def mean_within(
    image: np.ndarray | None, box: tuple[slice, ...], lesion: np.ndarray
) -> float | None:
    """Return the mean of an image over a lesion; None without an image."""
    return None if image is None else float(np.asarray(image)[box][lesion].mean(dtype=float))
