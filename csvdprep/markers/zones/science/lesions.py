"""A row for each lesion: how large, where, of which kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy import ndimage as ndi

from csvdprep.science.lesion_rows import lesion_rows
from csvdprep.science.shapes import label_lesions, voxel_volume

__all__ = ['CLASSES', 'lesion_table', 'size_classes']

_ZONES = {1: 'jv', 2: 'pv', 3: 'dw', 4: 'jc', 5: 'deep_grey', 6: 'infratentorial', 7: 'cf'}

#: Classes of lesions by volume, mm3: spheres of the diameters (10 and 20 mm) by which LADIS
#: tells punctate lesions, beginning confluence and large ones.
CLASSES = {'punctate': 500 / 3 * np.pi, 'intermediate': 4000 / 3 * np.pi, 'large': np.inf}


def size_classes(
    mask: np.ndarray, affine: np.ndarray, minimum_mm3: float = 5.0
) -> dict[str, tuple[int, float]]:
    """Count and measure lesions by their volume.

    Parameters
    ----------
    mask : ndarray of bool, shape (nx, ny, nz)
        Lesions.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm.
    minimum_mm3 : float
        Smaller lesions are not counted; their volume belongs to the smallest class.

    Returns
    -------
    dict of str to tuple of int and float
        Number, and volume in mL, of 26-connected lesions smaller than a sphere of 10 mm
        (524 mm3), of 20 mm (4189 mm3), and of the others. Volumes add up to that of the mask.

    References
    ----------
    Diameters of LADIS: van der Flier et al. 2005, doi:10.1161/01.STR.0000179092.59909.42

    Examples
    --------
    >>> mask = np.zeros((40, 40, 40), bool)
    >>> mask[:5, :5, :5] = mask[10:20, 10:20, 10:20] = mask[30, 30, 30] = True
    >>> size_classes(mask, np.eye(4))
    {'punctate': (1, 0.126), 'intermediate': (1, 1.0), 'large': (0, 0.0)}
    """
    labels, n = label_lesions(np.asarray(mask, dtype=bool), affine)
    sizes = np.bincount(labels.ravel(), minlength=n + 1)[1:] * voxel_volume(affine)
    kind = np.searchsorted(list(CLASSES.values()), sizes, side='right')
    return {
        name: (
            int((sizes[kind == k] >= minimum_mm3 - 1e-6).sum()),
            float(sizes[kind == k].sum() / 1000),
        )
        for k, name in enumerate(CLASSES)
    }


def lesion_table(
    zones: np.ndarray,
    affine: np.ndarray,
    *,
    d_v: np.ndarray | None = None,
    to_mni: Callable[[np.ndarray], np.ndarray] | None = None,
    side: np.ndarray | None = None,
    lobes: tuple[np.ndarray, Mapping[int, str]] | None = None,
    territories: tuple[np.ndarray, Mapping[int, str]] | None = None,
    probability: np.ndarray | None = None,
    minimum_mm3: float = 5.0,
) -> tuple[list[dict[str, float | int | str | None]], np.ndarray]:
    """Describe each 26-connected lesion.

    Parameters
    ----------
    zones : ndarray, shape (nx, ny, nz)
        Zone of each voxel of the lesions, 0 elsewhere (`label_zones`).
    affine : ndarray, shape (4, 4)
        From voxel indices to mm (RAS+).
    d_v : ndarray, optional
        Distance from the lateral ventricles, mm.
    to_mni : callable, optional
        Takes positions in mm, shape (n, 3), and returns them in template space.
    side : ndarray, optional
        1 left, 2 right of the midline.
    lobes, territories : tuple of ndarray and mapping, optional
        Labels on the grid of ``zones`` and the name of each.
    probability : ndarray, optional
        Map of which the mean over the lesion is wanted.
    minimum_mm3 : float
        Smaller lesions have no row.

    Returns
    -------
    rows : list of dict
        The largest lesion first: ``index``, ``volume_mm3``, centroid ``x``, ``y``, ``z`` (mm),
        ``x_mni``, ``y_mni``, ``z_mni`` (mm), ``zone`` (where most of it lies) and the share of
        each zone (0 to 1), ``side``, ``lobe``, ``territory`` (most of it; None if in no
        region), ``max_axial_diameter_mm``, ``min_d_v_mm``, ``mean_probability``.
        None stands for what was not given.
    labels : ndarray of int32, shape (nx, ny, nz)
        The ``index`` of each lesion's voxels.

    Examples
    --------
    >>> import numpy as np
    >>> zones = np.zeros((20, 20, 8), np.uint8)
    >>> zones[3:7, 4, 2] = 2
    >>> rows, labels = lesion_table(zones, np.diag([1.0, 1.0, 3.0, 1.0]))
    >>> len(rows), rows[0]['volume_mm3'], rows[0]['zone'], rows[0]['max_axial_diameter_mm']
    (1, 12.0, 'pv', 4.0)
    >>> rows[0]['x'], rows[0]['y'], rows[0]['z']
    (4.5, 4.0, 6.0)
    """
    zones = np.asarray(zones)
    labels, _ = label_lesions(zones > 0, affine, minimum_mm3)
    rows = lesion_rows(
        labels,
        affine,
        to_mni=to_mni,
        side=side,
        lobes=lobes,
        territories=territories,
        probability=probability,
    )
    for row, box in zip(rows, ndi.find_objects(labels), strict=True):
        lesion = labels[box] == row['index']
        kinds = np.bincount(zones[box][lesion], minlength=8)
        row['zone'] = _ZONES[int(kinds.argmax())]
        row |= {f'share_{name}': float(kinds[k] / lesion.sum()) for k, name in _ZONES.items()}
        row['min_d_v_mm'] = None if d_v is None else float(d_v[box][lesion].min())
    return rows, labels
