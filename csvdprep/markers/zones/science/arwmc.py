"""Grades of age-related white matter changes by region, from geometry."""

from __future__ import annotations

import numpy as np

from csvdprep.science.confluence import confluent_diameter, group_diameter
from csvdprep.science.shapes import axial_diameter, label_lesions

__all__ = ['basal_ganglia_grade', 'white_matter_grade']

#: Least diameter of a focus, and of lesions that become and are confluent (mm).
FOCUS_MM, BEGINNING_MM, CONFLUENT_MM = 5.0, 10.0, 20.0
#: Percent of the white matter of a region from which confluent lesions are diffuse.
DIFFUSE_PCT = 10.0


def white_matter_grade(
    lesion: np.ndarray, region: np.ndarray, white: np.ndarray, affine: np.ndarray
) -> int:
    """Grade the lesions of a lobe, or below the tentorium, as ARWMC words it.

    Parameters
    ----------
    lesion : ndarray of bool, shape (nx, ny, nz)
        Lesions, without caps and bands along the ventricles, which the scale does not count.
    region : ndarray of bool, shape (nx, ny, nz)
        The region, one side.
    white : ndarray of bool, shape (nx, ny, nz)
        White matter, lesions included.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm.

    Returns
    -------
    int
        0 no focus of 5 mm; 1 focal; 2 beginning confluence: 10 mm (as far as a third as wide),
        or a group of foci of 20 mm; 3 diffuse: 20 mm, and a tenth of the region's white matter.

    References
    ----------
    Wahlund et al. 2001, doi:10.1161/01.STR.32.6.1318. The words are the scale's; 10 and 20 mm
    are those of the Fazekas grades here, and the tenth is this application's.

    Examples
    --------
    >>> region = np.ones((60, 60, 3), bool)
    >>> lesion = np.zeros(region.shape, bool)
    >>> lesion[5:12, 5:12] = True
    >>> white_matter_grade(lesion, region, region, np.eye(4))
    1
    >>> lesion[20:50, 20:50] = True
    >>> white_matter_grade(lesion, region, region, np.eye(4))
    3
    """
    region = np.asarray(region, dtype=bool)
    inside = np.asarray(lesion, dtype=bool) & region
    if axial_diameter(inside, affine) < FOCUS_MM:
        return 0
    diameter = confluent_diameter(lesion, affine, where=inside)
    share = 100 * inside.sum() / max(1, (region & (np.asarray(white, dtype=bool) | inside)).sum())
    if diameter >= CONFLUENT_MM and share >= DIFFUSE_PCT:
        return 3
    grouped = group_diameter(lesion, affine, where=inside) >= CONFLUENT_MM
    return 2 if diameter >= BEGINNING_MM or grouped else 1


def basal_ganglia_grade(lesion: np.ndarray, region: np.ndarray, affine: np.ndarray) -> int:
    """Grade the lesions of the basal ganglia, capsules and insula as ARWMC words it.

    Parameters
    ----------
    lesion, region : ndarray of bool, shape (nx, ny, nz)
        As in `white_matter_grade`.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm.

    Returns
    -------
    int
        0 no focus of 5 mm; 1 one; 2 more than one; 3 confluent: one of 10 mm or more, as far as
        it is a third as wide.

    References
    ----------
    Wahlund et al. 2001, doi:10.1161/01.STR.32.6.1318

    Examples
    --------
    >>> lesion = np.zeros((40, 40, 3), bool)
    >>> lesion[3:9, 3:9] = lesion[20:26, 3:9] = True
    >>> basal_ganglia_grade(lesion, lesion, np.eye(4))
    2
    """
    inside = np.asarray(lesion, dtype=bool) & np.asarray(region, dtype=bool)
    if confluent_diameter(lesion, affine, where=inside) >= BEGINNING_MM:
        return 3
    labels, n = label_lesions(inside, affine)
    foci = sum(axial_diameter(labels == k, affine) >= FOCUS_MM for k in range(1, n + 1))
    return min(foci, 2)
