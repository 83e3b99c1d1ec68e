"""Connected lesions, and their diameters on axial slices."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from csvdprep.science.distances import voxel_sizes

__all__ = [
    'axial_axis',
    'axial_diameter',
    'feret',
    'grouped',
    'label_lesions',
    'lesion_range',
    'voxel_volume',
]

_FULL = np.ones((3, 3, 3), dtype=bool)


def voxel_volume(affine: np.ndarray) -> float:
    """Give the volume of a voxel.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        From voxel indices to mm.

    Returns
    -------
    float
        Volume in mm3.

    Examples
    --------
    >>> import numpy as np
    >>> voxel_volume(np.diag([-2.0, 1.0, 3.0, 1.0]))
    6.0
    """
    x, y, z = np.asarray(affine, dtype=float)[:3, :3].T
    return float(abs(x @ np.cross(y, z)))


def axial_axis(affine: np.ndarray) -> int:
    """Find the array axis that runs closest to the body's long axis (world z).

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        From voxel indices to mm (RAS+).

    Returns
    -------
    int
        0, 1 or 2.

    Examples
    --------
    >>> import numpy as np
    >>> axial_axis(np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, -5, 0, 0], [0, 0, 0, 1]]))
    1
    """
    affine = np.asarray(affine, dtype=float)
    return int(np.argmax(np.abs(affine[2, :3]) / voxel_sizes(affine)))


def label_lesions(
    mask: np.ndarray, affine: np.ndarray, minimum_mm3: float = 0.0
) -> tuple[np.ndarray, int]:
    """Number the 26-connected lesions of a mask.

    Parameters
    ----------
    mask : ndarray of bool, shape (nx, ny, nz)
        The lesions.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm.
    minimum_mm3 : float
        Smaller lesions are left out.

    Returns
    -------
    labels : ndarray of int32, shape (nx, ny, nz)
        0 background, 1 the largest lesion, 2 the next, ... Of two equally large ones, that
        which comes first in the array has the smaller number.
    n_lesions : int

    Examples
    --------
    >>> import numpy as np
    >>> mask = np.zeros((6, 3, 3), bool)
    >>> mask[0, 0, 0] = mask[3:5, 1, 1] = True
    >>> labels, n = label_lesions(mask, np.diag([2.0, 2.0, 2.0, 1.0]))
    >>> n, labels[:, 0, 0].tolist(), labels[:, 1, 1].tolist()
    (2, [2, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 0])
    """
    labels = np.zeros(mask.shape, dtype=np.int32)
    found = ndi.find_objects(np.asarray(mask, dtype=bool).view(np.uint8))
    if not found:
        return labels, 0
    part, n_all = ndi.label(mask[found[0]], _FULL)
    sizes = np.bincount(part.ravel(), minlength=n_all + 1)[1:]
    order = np.argsort(-sizes, kind='stable')
    order = order[sizes[order] * voxel_volume(affine) >= minimum_mm3 - 1e-6]
    number = np.zeros(n_all + 1, dtype=np.int32)
    number[order + 1] = np.arange(1, len(order) + 1)
    labels[found[0]] = number[part]
    return labels, len(order)


def lesion_range(image: np.ndarray, labels: np.ndarray, n_lesions: int) -> np.ndarray:
    """Find the least and the greatest value of an image within each lesion.

    Parameters
    ----------
    image : ndarray, shape (nx, ny, nz)
        For example distances.
    labels, n_lesions : ndarray of int, int
        From `label_lesions`.

    Returns
    -------
    ndarray, shape (2, n_lesions)
        Least and greatest value.

    Examples
    --------
    >>> import numpy as np
    >>> image, labels = np.array([3.0, 1.0, 5.0, 9.0]), np.array([1, 1, 2, 0])
    >>> lesion_range(image, labels, 2).tolist()
    [[1.0, 5.0], [3.0, 5.0]]
    """
    if not n_lesions:
        return np.empty((2, 0))
    inside = labels > 0
    values, owner = np.asarray(image)[inside], labels[inside]
    number = np.arange(1, n_lesions + 1)
    extremes = [find(values, owner, number) for find in (ndi.minimum, ndi.maximum)]
    return np.asarray(extremes, dtype=float)


def axial_diameter(mask: np.ndarray, affine: np.ndarray, bridge_mm: float = 0.0) -> float:
    """Measure the largest diameter of a lesion on any axial slice.

    The greatest Feret diameter, in mm between outer voxel edges, of the 8-connected regions of
    each slice across `axial_axis`. Regions nearer than twice ``bridge_mm`` count as one.

    Parameters
    ----------
    mask : ndarray of bool, shape (nx, ny, nz)
        One or several lesions.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm; voxels may be of any shape and the slices oblique.
    bridge_mm : float
        Dilation, mm, that decides which regions of a slice belong together. The diameter is
        that of the undilated voxels.

    Returns
    -------
    float
        Diameter in mm; 0 if the mask is empty.

    Examples
    --------
    >>> import numpy as np
    >>> mask = np.zeros((20, 5, 2), bool)
    >>> mask[2:6, 2, 1] = mask[8:12, 2, 1] = True
    >>> affine = np.diag([1.0, 1.0, 5.0, 1.0])
    >>> axial_diameter(mask, affine), axial_diameter(mask, affine, bridge_mm=1.5)
    (4.0, 10.0)
    """
    mask = np.asarray(mask, dtype=bool)
    found = ndi.find_objects(mask.view(np.uint8))
    if not found:
        return 0.0
    axis = axial_axis(affine)
    slices = np.moveaxis(mask[found[0]], axis, 0)
    # Columns of the affine along the two axes of the slice: in-plane positions in mm.
    plane = np.delete(np.asarray(affine, dtype=float)[:3, :3], axis, axis=1)
    steps = np.linalg.norm(plane, axis=0)
    largest = 0.0
    for region in slices:
        if not region.any():
            continue
        labels, _ = ndi.label(grouped(region, steps, bridge_mm), np.ones((3, 3), dtype=bool))
        labels[~region] = 0
        for number, box in enumerate(ndi.find_objects(labels), start=1):
            if box is None:
                continue
            # No diameter is longer than the two sides of the region's box together.
            sides = sum((e.stop - e.start) * s for e, s in zip(box, steps, strict=True))
            if sides > largest:
                largest = max(largest, feret(labels[box] == number, plane))
    return float(largest)


def grouped(region: np.ndarray, steps: np.ndarray, bridge_mm: float) -> np.ndarray:
    """Widen a region of a slice, so that what is near becomes connected.

    Parameters
    ----------
    region : ndarray of bool, shape (nx, ny)
        A slice of a mask.
    steps : ndarray, shape (2,)
        Pixel size, mm.
    bridge_mm : float
        How far it is widened, mm.

    Returns
    -------
    ndarray of bool, shape (nx, ny)

    Examples
    --------
    >>> import numpy as np
    >>> region = np.zeros((7, 1), bool)
    >>> region[[1, 4]] = True
    >>> grouped(region, np.ones(2), 1.0).ravel().astype(int).tolist()
    [1, 1, 1, 1, 1, 1, 0]
    """
    if bridge_mm <= 0:
        return region
    margin = np.ceil(bridge_mm / steps).astype(int)
    padded = np.pad(region, [(m, m) for m in margin])
    near = ndi.distance_transform_edt(~padded, steps) <= bridge_mm + 1e-6
    return near[tuple(slice(m, m + n) for m, n in zip(margin, region.shape, strict=True))]


def feret(region: np.ndarray, plane: np.ndarray) -> float:
    """Measure the largest diameter of a region of a slice.

    Parameters
    ----------
    region : ndarray of bool, shape (nx, ny)
        At least one pixel must be in it.
    plane : ndarray, shape (3, 2)
        The two axes of the slice: from pixel indices to mm.

    Returns
    -------
    float
        Distance, mm, between the middles of its two farthest pixel edges.

    Examples
    --------
    >>> import numpy as np
    >>> feret(np.ones((4, 1), bool), np.eye(3)[:, :2])
    4.0
    """
    index = np.argwhere(region).astype(float)
    edges = np.array([[0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5]])
    points = (index[:, None] + edges).reshape(-1, 2)
    points = points[ConvexHull(points).vertices]
    return float(pdist(points @ plane.T).max())
