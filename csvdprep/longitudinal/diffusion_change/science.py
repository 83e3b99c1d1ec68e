"""Classes of white matter by what became of it, and means of maps in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

#: Kinds of voxels in the map of change of hyperintensities.
KEPT, GROWN, SHRUNK, NEW, VANISHED = 1, 2, 3, 4, 5
#: Where the penumbra begins: nearer voxels hold lesion in part, mm.
EDGE_MM = 1.0
#: Share from which a voxel is white matter, and up to which it may hold what is none.
PURE, OTHER = 0.9, 0.05


def tissue_classes(
    change: np.ndarray,
    white: np.ndarray,
    other: np.ndarray,
    voxel_mm: np.ndarray,
    penumbra_mm: float,
) -> np.ndarray:
    """Class white matter by what it was at two visits.

    Parameters
    ----------
    change : ndarray of uint8, shape (I, J, K)
        Map of change: 1 stable, 2 growth, 3 shrinkage, 4 new, 5 vanished, 0 elsewhere.
    white, other : ndarray of float32
        Share of white matter; of fluid and other structures at either visit.
    voxel_mm : ndarray, shape (3,)
        Voxel size.
    penumbra_mm : float
        Largest distance of the penumbra from lesions of the first visit.

    Returns
    -------
    ndarray of uint8
        1 stable, 2 and 3 growth (in the penumbra and elsewhere), 4 and 5 new lesions likewise, 6
        regressed, 7 penumbra that stayed normal-appearing, 8 white matter beyond.

    Notes
    -----
    What is nearer than 1 mm to lesions of the first visit is no penumbra, whether it became lesion
    or not: voxels there hold lesion in part.

    Examples
    --------
    >>> change = np.zeros((30, 5, 5), np.uint8)
    >>> change[:3], change[3:5] = 1, 2
    >>> found = tissue_classes(change, 0 * change + 1.0, 0.0 * change, np.ones(3), 6.0)
    >>> found[:, 2, 2].tolist()[:10], int(found[-1, 2, 2])
    ([1, 1, 1, 3, 2, 0, 7, 7, 7, 0], 8)
    """
    change = np.asarray(change)
    first = np.isin(change, (KEPT, SHRUNK, VANISHED))
    last = np.isin(change, (KEPT, GROWN, NEW))
    pure = (np.asarray(white) >= PURE) & (np.asarray(other) <= OTHER) & ~first & ~last
    before, ever = _away(first, voxel_mm), _away(first | last, voxel_mm)
    out = np.zeros(change.shape, np.uint8)
    out[pure & (ever > penumbra_mm)] = 8
    out[pure & (before <= penumbra_mm) & (ever > EDGE_MM)] = 7
    for kind, near in ((GROWN, 2), (NEW, 4)):
        band = (before > EDGE_MM) & (before <= penumbra_mm)
        out[change == kind] = np.where(band, near, near + 1)[change == kind]
    out[change == KEPT] = 1
    out[np.isin(change, (SHRUNK, VANISHED))] = 6
    return out


def _away(lesions: np.ndarray, voxel_mm) -> np.ndarray:
    if not lesions.any():
        return np.full(lesions.shape, np.inf)
    return ndi.distance_transform_edt(~lesions, sampling=voxel_mm)


@dataclass(frozen=True)
class Mean:
    """Mean of a map over a class.

    Attributes
    ----------
    mean, sd : float or None
        None with too few voxels.
    count : int
        Voxels.
    """

    mean: float | None
    sd: float | None
    count: int


def class_mean(values: np.ndarray, where: np.ndarray, least: int) -> Mean:
    """Average a map over a class.

    Parameters
    ----------
    values : ndarray
        Map; voxels without a number do not count.
    where : ndarray of bool
        Voxels of the class.
    least : int
        Fewest voxels.

    Examples
    --------
    >>> class_mean(np.array([1.0, 3.0, np.nan]), np.ones(3, bool), 2)
    Mean(mean=2.0, sd=1.0, count=2)
    >>> class_mean(np.array([1.0, 3.0]), np.zeros(2, bool), 2)
    Mean(mean=None, sd=None, count=0)
    """
    some = np.asarray(values)[where]
    some = some[np.isfinite(some)].astype(float)
    if len(some) < max(least, 1):
        return Mean(None, None, len(some))
    return Mean(float(some.mean()), float(some.std()), len(some))
