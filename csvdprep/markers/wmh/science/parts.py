"""Parts of lesions: lining of the ventricles, half filled voxels, what is left out as faint."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from csvdprep.science.morphology import dilate

#: What is thinner than this within slices, mm, and lies at the wall, is lining.
LINING_MM = 3.0
#: Distance from the ventricles within which the lining lies, mm.
AT_WALL_MM = 3.0
#: Shares of a voxel below this are noise.
LEAST_SHARE = 0.15
#: Contrast of faint parts, their least volume, mL, and distance from lesions, mm: nearer is halo.
FAINT, FAINT_ML, HALO_MM = 0.10, 0.1, 4.0


def thin_lining(lesion: np.ndarray, ventricles: np.ndarray, voxel_mm) -> np.ndarray:
    """Find the pencil-thin bright lining of the lateral ventricles among hyperintensities.

    What an opening by a disc of half of `LINING_MM` within the slices takes away, as far as it
    lies within `AT_WALL_MM` of the ventricles.

    Parameters
    ----------
    lesion : ndarray of bool, shape (I, J, K)
        Hyperintensities.
    ventricles : ndarray, shape (I, J, K)
        Lateral ventricles.
    voxel_mm : sequence of 3 float
        Voxel size, mm; the largest is that across slices.

    Returns
    -------
    ndarray of bool, shape (I, J, K)

    Examples
    --------
    >>> lesion = np.zeros((30, 30, 3), bool); lesion[10:12, 5:25] = lesion[18:24, 10:20] = True
    >>> ventricle = np.zeros(lesion.shape); ventricle[12:18, 5:25] = 1
    >>> found = thin_lining(lesion, ventricle, (1, 1, 5))
    >>> bool(found[10:12, 6:24].all()), bool(found[18:24].any())
    (True, False)
    """
    lesion, wall = np.asarray(lesion, bool), np.asarray(ventricles) > 0
    if not (lesion.any() and wall.any()):
        return np.zeros(lesion.shape, bool)
    voxel_mm = np.asarray(voxel_mm, float)
    through = int(np.argmax(voxel_mm))
    # Beside the ventricle a lesion is as thick as it is: the ventricle does not count as lesion.
    depth = np.stack(
        [
            ndi.distance_transform_edt(np.pad(plane, 1), np.delete(voxel_mm, through))[1:-1, 1:-1]
            for plane in np.moveaxis(lesion, through, 0)
        ]
    )
    edge = float(np.delete(voxel_mm, through).mean())
    core = np.moveaxis(depth, 0, through) > (LINING_MM + edge) / 2
    in_plane = voxel_mm.copy()
    in_plane[through] = 1e3
    thick = dilate(core, in_plane, LINING_MM + edge)
    away = ndi.distance_transform_edt(~wall, voxel_mm)
    return lesion & ~thick & (away <= max(AT_WALL_MM, 1.01 * edge))


def filled_share(
    contrast: np.ndarray, height: np.ndarray, lesion: np.ndarray, allowed: np.ndarray
) -> np.ndarray:
    """Estimate what share of each voxel in and next to lesions is lesion.

    Parameters
    ----------
    contrast : ndarray, shape (I, J, K)
        Excess over normal tissue.
    height : ndarray
        Contrast of the lesion nearby where it fills voxels; 0 where there is none.
    lesion : ndarray of bool
        Voxels taken for lesion.
    allowed : ndarray of bool
        Where lesion may be.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        0 to 1; 0 farther than a voxel from lesions.

    Examples
    --------
    >>> contrast = np.zeros((9, 9, 9)); contrast[3:6, 3:6, 3:6] = 0.5; contrast[6, 3:6, 3:6] = 0.2
    >>> lesion = contrast > 0.3
    >>> share = filled_share(contrast, np.full(contrast.shape, 0.5), lesion, contrast >= 0)
    >>> float(share[4, 4, 4]), round(float(share[6, 4, 4]), 2), float(share.max())
    (1.0, 0.4, 1.0)
    """
    near = ndi.binary_dilation(lesion) & allowed & (height > 0)
    # Within lesions contrast varies for other reasons than partial volume.
    inside = ndi.binary_erosion(lesion)
    share = np.zeros(contrast.shape, np.float32)
    share[near] = np.clip(contrast[near] / height[near], 0, 1)
    share[share < LEAST_SHARE] = 0
    share[inside] = 1
    return share


def faint_parts(
    contrast: np.ndarray, lesion: np.ndarray, deep: np.ndarray, voxel_mm
) -> np.ndarray:
    """Find what is brighter than normal in the depth of white matter but has no bright part.

    Parameters
    ----------
    contrast : ndarray, shape (I, J, K)
        Excess over normal tissue.
    lesion : ndarray of bool
        Voxels taken for lesion.
    deep : ndarray of bool
        Depth of white matter.
    voxel_mm : sequence of 3 float
        Voxel size, mm.

    Returns
    -------
    ndarray of bool, shape (I, J, K)

    Examples
    --------
    >>> contrast = np.zeros((20, 20, 20)); contrast[2:8, 2:8, 2:8] = 0.15; contrast[12:, 12:] = 0.4
    >>> found = faint_parts(contrast, contrast > 0.3, contrast >= 0, (1, 1, 1))
    >>> int(found.sum()), bool(found[12:, 12:].any())
    (216, False)
    """
    bright = deep & (contrast >= FAINT) & ~lesion
    if lesion.any():
        bright &= ~dilate(lesion, voxel_mm, HALO_MM)
    labels, _ = ndi.label(bright)
    keep = np.bincount(labels.ravel()) * np.prod(voxel_mm) / 1000 >= FAINT_ML
    keep[0] = False
    return keep[labels]
