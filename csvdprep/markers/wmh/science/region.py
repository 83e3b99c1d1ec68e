"""Where white matter hyperintensities may be, and where look-alikes live."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from csvdprep.science.axes import axes_of
from csvdprep.science.morphology import close_mm, dilate, open_mm
from csvdprep.science.normalise import smooth

#: Least share of white matter in the blurred atlas: cortex of the same patient lies beyond.
LEAST_WHITE = 0.3
#: Blur of the atlas for the region, mm.
REGION_BLUR_MM = 1.5
#: Without a T1w the atlas lies less exactly, and bright cortex may lie on its white matter:
#: least share of white matter in its tissue within some distance (SD of a Gaussian, mm).
UNSURE_WHITE, UNSURE_MM = 0.65, 3.0
#: Width of the gap between the lateral ventricles that is septum, mm.
SEPTUM_MM = 6.0
#: Above the last slice with so much brain, as a share of the largest, there is cortex only.
APEX_SHARE = 0.15


def white_region(
    wm: np.ndarray, white: np.ndarray, mask: np.ndarray, voxel_mm, atlas: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Find where there is white matter, lesions included.

    Parameters
    ----------
    wm : ndarray of float, shape (I, J, K)
        Probability of white matter as classified.
    white : ndarray of float32
        The same after doubting labels that a lesion may have caused.
    mask : ndarray of bool
        Brain.
    voxel_mm : sequence of 3 float
        Voxel size, mm.
    atlas : ndarray of float, shape (3, I, J, K), optional
        CSF, GM and WM of the warped template; without it the classified map is closed by 3 mm.

    Returns
    -------
    region : ndarray of bool
        Where a lesion may be.
    depth : ndarray of float32
        0 at the edge of the region to 1 in its depth.

    """
    if atlas is None:
        closed = close_mm((np.asarray(wm) > 0.5) & mask, voxel_mm, 3.0)
        hull = smooth(closed | (white > 0.5), voxel_mm, REGION_BLUR_MM)
    else:
        hull = smooth(atlas[2], voxel_mm, REGION_BLUR_MM)
    region = (hull > LEAST_WHITE) & mask
    depth = np.clip((hull - LEAST_WHITE) / (2 * LEAST_WHITE), 0, 1).astype(np.float32)
    return region, depth


def apex(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Find the top of the head, where tips of gyri are all that slices hold of the brain.

    There are no white matter hyperintensities, but such tips are bright where the slice is dim or
    half of it is fluid, and no slice above tells them from lesions. A scan that ends lower has no
    such slices.

    Parameters
    ----------
    mask : ndarray, shape (I, J, K)
        Brain.
    affine : ndarray, shape (4, 4)
        From voxels to mm, RAS+.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        Brain above the last slice that holds `APEX_SHARE` of the largest one.

    Examples
    --------
    >>> mask = np.zeros((20, 20, 6), bool); mask[2:18, 2:18, :4] = mask[9:12, 9:12, 4:] = True
    >>> apex(mask, np.eye(4)).any((0, 1)).tolist()
    [False, False, False, False, True, True]
    >>> turned = np.diag([1.0, 1, -1, 1])
    >>> int(apex(mask, turned).sum()), int(apex(mask[..., :4], np.eye(4)).sum())
    (0, 0)
    """
    brain = np.asarray(mask) > 0
    _, towards, axes = axes_of(affine)
    through = axes[2]
    area = brain.sum(tuple(axis for axis in range(3) if axis != through))
    upwards = 1 if towards[2, through] > 0 else -1
    area = area[::upwards]
    above = np.zeros(area.size, bool)
    if area.any():
        above[np.flatnonzero(area >= APEX_SHARE * area.max())[-1] + 1 :] = True
    shape = [-1 if axis == through else 1 for axis in range(3)]
    return brain & above[::upwards].reshape(shape)


def surely_white(atlas: np.ndarray, voxel_mm) -> np.ndarray:
    """Find white matter that stays white if the atlas lies some mm beside the truth.

    Parameters
    ----------
    atlas : ndarray of float, shape (3, I, J, K)
        CSF, GM and WM of the warped template.
    voxel_mm : sequence of 3 float
        Voxel size, mm.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        Without the edge towards grey matter; that towards the ventricles belongs to it.

    Examples
    --------
    >>> atlas = np.zeros((3, 30, 9, 9)); atlas[0, :10] = atlas[2, 10:20] = atlas[1, 20:] = 1
    >>> np.flatnonzero(surely_white(atlas, (1, 1, 1))[10:20, 4, 4])[[0, -1]].tolist()
    [0, 8]

    """
    near_grey, near_white = (smooth(atlas[k], voxel_mm, UNSURE_MM) for k in (1, 2))
    return near_white > UNSURE_WHITE * (near_grey + near_white)


def septum(ventricles: np.ndarray, voxel_mm) -> np.ndarray:
    """Find the thin sheet between the two lateral ventricles.

    Parameters
    ----------
    ventricles : ndarray of int, shape (I, J, K)
        1 left, 2 right.
    voxel_mm : sequence of 3 float
        Voxel size, mm.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        Voxels on the shortest ways from one side to the other, where these are short.

    Examples
    --------
    >>> v = np.zeros((15, 9, 9), int); v[3:7] = 1; v[9:12] = 2
    >>> np.flatnonzero(septum(v, (1, 1, 1))[:, 4, 4]).tolist()
    [7, 8]

    """
    left, right = (np.asarray(ventricles) == side for side in (1, 2))
    if not (left.any() and right.any()):
        return np.zeros(left.shape, bool)
    near = dilate(left, voxel_mm, SEPTUM_MM)
    near &= dilate(right, voxel_mm, SEPTUM_MM) & ~left & ~right
    if not near.any():
        return near
    ways = []
    for part in (left, right):
        _, nearest = ndi.distance_transform_edt(~part, voxel_mm, return_indices=True)
        here = np.argwhere(near)
        ways.append((nearest[:, near].T - here) * np.asarray(voxel_mm, dtype=float))
    lengths = [np.linalg.norm(way, axis=1) for way in ways]
    # Between the two sides the ways to them point apart; above, in the corpus callosum, both
    # point down; beside one ventricle both point the same way.
    cosine = (ways[0] * ways[1]).sum(1) / (lengths[0] * lengths[1])
    between = np.zeros(left.shape, bool)
    between[near] = (cosine < -0.7) & (sum(lengths) <= SEPTUM_MM + np.min(voxel_mm))
    return between


def stroke_lesions(
    bright: np.ndarray,
    dark: np.ndarray,
    inner: np.ndarray,
    grey: np.ndarray,
    voxel_mm,
    *,
    cavity_mm: float = 15.0,
    rim_share: float = 0.25,
    near_mm: float = 10.0,
) -> np.ndarray:
    """Find the gliosis around old infarcts: hyperintensity at a large cavity that meets cortex.

    Parameters
    ----------
    bright : ndarray of bool, shape (I, J, K)
        Hyperintensities.
    dark : ndarray of bool
        As dark as CSF on FLAIR.
    inner : ndarray of bool
        Where the atlas has tissue, not CSF: a cavity there is none of its sulci or ventricles.
    grey : ndarray of float
        Probability of grey matter.
    voxel_mm : sequence of 3 float
        Voxel size, mm.
    cavity_mm : float
        Least extent of the cavity, mm.
    rim_share : float
        Share of its surface that must be hyperintense: sulci widened by atrophy have none.
    near_mm : float
        Greatest distance of the gliosis from the cavity, mm.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        Part of ``bright`` that belongs to an infarct.

    """
    none = np.zeros(bright.shape, bool)
    if not bright.any():
        return none
    core = open_mm(dark & inner, voxel_mm, 2.0)
    labels, _ = ndi.label(core)
    cavity = none.copy()
    ring_mm = max(2.5, 1.01 * min(voxel_mm))
    for number, box in enumerate(ndi.find_objects(labels), 1):
        extent = np.array([s.stop - s.start for s in box]) * voxel_mm
        if extent.max() < cavity_mm:
            continue
        wide = tuple(slice(max(0, s.start - 5), s.stop + 5) for s in box)
        one = labels[wide] == number
        rim = dilate(one, voxel_mm, ring_mm) & ~one
        if bright[wide][rim].mean() >= rim_share:
            cavity[wide] |= one
    if not cavity.any():
        return none
    close = bright & (ndi.distance_transform_edt(~cavity, voxel_mm) <= near_mm)
    pieces, _ = ndi.label(close)
    cortex = dilate(np.asarray(grey) > 0.5, voxel_mm, 2.0)
    touching = np.unique(pieces[close & cortex])
    return np.isin(pieces, touching[touching > 0])
