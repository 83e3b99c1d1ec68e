"""Volumes and widths that tell how much brain was lost."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

#: The frontal horns lie in front of the foramina of Monro and above the tips of the temporal
#: horns: coronal and axial plane of the template (mm).
FRONTAL_Y, FRONTAL_Z = 0.0, -9.0
#: They come this near to the midline (mm); temporal horns do not.
MEDIAL_MM = 15.0
#: Thickness of the axial slices in which widths are compared (mm).
SLICE_MM = 3.0
#: The brainstem below this axial plane of the template (mm) belongs to the neck.
BELOW_PONS_Z = -45.0
#: Fewest voxels of a slice for a width.
LEAST_VOXELS = 10


def volumes(probability: np.ndarray, lesion: np.ndarray, voxel_mm3: float) -> dict[str, float]:
    """Sum up the tissues, lesions counted as white matter.

    Parameters
    ----------
    probability : ndarray, shape (3, nx, ny, nz)
        CSF, GM, WM.
    lesion : ndarray, shape (nx, ny, nz)
        Share of each voxel that is white matter lesion, 0 to 1.
    voxel_mm3 : float
        Volume of a voxel, mm3.

    Returns
    -------
    dict
        ``csf_ml``, ``gm_ml``, ``wm_ml``.

    Examples
    --------
    >>> p = np.zeros((3, 10, 10, 10)); p[1] = 1
    >>> lesion = np.zeros(p[0].shape); lesion[:5] = 1
    >>> volumes(p, lesion, 1.0)
    {'csf_ml': 0.0, 'gm_ml': 0.5, 'wm_ml': 0.5}

    """
    brain = probability.sum(0) > 0
    share = np.where(brain, np.clip(lesion, 0, 1), 0)
    csf, gm, wm = (float((p * (1 - share)).sum(dtype=float)) for p in probability)
    wm += float(share.sum(dtype=float))
    scale = voxel_mm3 / 1000
    return {'csf_ml': csf * scale, 'gm_ml': gm * scale, 'wm_ml': wm * scale}


def grey_within(grey: np.ndarray, region: np.ndarray, voxel_mm3: float) -> float:
    """Sum up grey matter within a structure of the warped template: a proxy of its volume.

    Parameters
    ----------
    grey : ndarray, shape (nx, ny, nz)
        Share of grey matter in each voxel, 0 to 1.
    region : ndarray of bool, shape (nx, ny, nz)
        The structure.
    voxel_mm3 : float
        Volume of a voxel, mm3.

    Returns
    -------
    float
        mL. What the registration does not shrink, but CSF fills, does not count.

    Examples
    --------
    >>> grey = np.full((10, 10, 10), 0.5)
    >>> grey_within(grey, grey > 0, 1.0)
    0.5

    """
    return float(grey[region].sum(dtype=float)) * voxel_mm3 / 1000


def evans_index(ventricles: np.ndarray, brain: np.ndarray) -> float | None:
    """Compute the Evans index in axial slices of the template.

    In each slice the frontal horns are the pieces of the ventricles in front of the foramina of
    Monro and above the temporal horns that come near the midline, one on either side.

    Parameters
    ----------
    ventricles, brain : ndarray, shape (n, 3)
        Positions (mm) of the voxels of the lateral ventricles and of the brain mask, in the
        axes of the template (affine, so that the ratio of widths is that of the patient).

    Returns
    -------
    float or None
        Largest width of the frontal horns over the largest width of the brain in that slice;
        None if no slice has frontal horns on both sides.

    References
    ----------
    Evans 1942, doi:10.1001/archneurpsyc.1942.02290060069004

    Examples
    --------
    >>> x, y, z = (a.ravel() for a in np.mgrid[-60:61, -80:81, 0:3])
    >>> brain = np.column_stack([x, y, z])
    >>> horns = brain[(abs(x) >= 3) & (abs(x) <= 18) & (y > 10) & (y < 30)]
    >>> temporal = brain[(abs(x) >= 30) & (abs(x) <= 36) & (y < 5) & (y > -10)]
    >>> round(evans_index(np.vstack([horns, temporal]), brain), 3)
    0.3

    """
    frontal = ventricles[(ventricles[:, 1] > FRONTAL_Y) & (ventricles[:, 2] > FRONTAL_Z)]
    level = np.floor(frontal[:, 2] / SLICE_MM).astype(int)
    widths = {}
    for k in np.unique(level):
        horns = _medial(frontal[level == k, :2])
        sides = [(horns[:, 0] < 0).sum(), (horns[:, 0] > 0).sum()]
        if min(sides) >= LEAST_VOXELS / 2:
            widths[k] = _width(horns[:, 0])
    if not widths:
        return None
    widest = max(widths, key=lambda k: widths[k])
    skull = brain[np.floor(brain[:, 2] / SLICE_MM).astype(int) == widest, 0]
    return float(widths[widest] / _width(skull)) if len(skull) else None


def _medial(points: np.ndarray) -> np.ndarray:
    """Keep the connected pieces of a slice that come near the midline."""
    cell = np.floor(points / SLICE_MM).astype(int)
    cell -= cell.min(axis=0)
    plane = np.zeros(cell.max(axis=0) + 1, bool)
    plane[tuple(cell.T)] = True
    labels, count = ndi.label(plane, np.ones((3, 3)))
    piece = labels[tuple(cell.T)]
    nearest = ndi.minimum(np.abs(points[:, 0]), piece, np.arange(count + 1))
    return points[nearest[piece] <= MEDIAL_MM]


def _width(x: np.ndarray) -> float:
    """Return the extent from the third voxel on either side: one or two may be stray.

    A percentile would not do: it cuts more off a round outline than off a narrow one.
    """
    ordered = np.sort(x)
    inset = min(2, (len(x) - 1) // 2)
    return float(ordered[-1 - inset] - ordered[inset])
