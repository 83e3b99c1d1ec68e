"""How much a lesion, or its place at another visit, differs from what surrounds it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

#: Surroundings: brain this far (mm) from the lesion.
RING_MM = (2.0, 8.0)
#: Fewer voxels of brain around a lesion tell nothing of its contrast.
LEAST_RING = 20
#: Share of a lesion that has to lie within the brain of a scan to be seen by it.
LEAST_COVERED = 0.9


@dataclass(frozen=True, eq=False)
class Scan:
    """The image of a visit in which lesions of a kind are sought.

    Attributes
    ----------
    image : ndarray, shape (I, J, K)
        Intensities.
    affine : ndarray, shape (4, 4)
        Voxel to world of the image, mm.
    brain : ndarray of bool
        Its brain.
    labels : ndarray of int
        Numbers of all candidates; they are no surroundings.
    way : ndarray, shape (4, 4)
        World that the visits share to world of the image; rigid.
    """

    image: np.ndarray
    affine: np.ndarray
    brain: np.ndarray
    labels: np.ndarray
    way: np.ndarray

    @property
    def voxel_mm(self) -> np.ndarray:
        """Voxel size, mm."""
        return np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))


@dataclass(frozen=True)
class Look:
    """What a scan shows at a place.

    Attributes
    ----------
    covered : float
        Share of the place that lies within the brain of the scan.
    filled : float
        By how much voxels that are filled in part dilute a lesion's contrast; 1 not at all.
    contrast : float or None
        Mean intensity over that of the surroundings, minus 1; None if there are none.
    level, noise : float or None
        Median intensity of the surroundings, and its robust SD.
    """

    covered: float
    filled: float
    contrast: float | None = None
    level: float | None = None
    noise: float | None = None

    def cnr(self, contrast: float | None) -> float | None:
        """Return the ratio of a contrast to the noise of these surroundings."""
        if contrast is None or self.level is None:
            return None
        return contrast * self.level / self.noise


def points_of(labels: np.ndarray, number: int, box, affine: np.ndarray, finest_mm: float = 1.0):
    """Return the points of a lesion, as fine as other scans may need them.

    Parameters
    ----------
    labels : ndarray of int
        Numbers of the lesions.
    number : int
        Which.
    box : tuple of slice
        Where it lies.
    affine : ndarray, shape (4, 4)
        Voxel to world.
    finest_mm : float, optional
        Voxels are divided until they are no larger.

    Returns
    -------
    points : ndarray, shape (n, 3)
        World, mm.
    mm3 : float
        Volume that each stands for.

    Examples
    --------
    >>> labels = np.zeros((3, 3, 3), int); labels[1, 1, 1] = 1
    >>> points, mm3 = points_of(labels, 1, ndi.find_objects(labels)[0], np.diag([1., 1, 2, 1]))
    >>> points[:, 2].tolist(), mm3
    ([1.5, 2.5], 1.0)
    """
    voxels = np.argwhere(labels[box] == number) + [edge.start for edge in box]
    size = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    parts = np.maximum(np.ceil(size / finest_mm - 0.01), 1).astype(int)
    steps = [(np.arange(n) + 0.5) / n - 0.5 for n in parts]
    inner = np.stack(np.meshgrid(*steps, indexing='ij'), axis=-1).reshape(-1, 3)
    index = (voxels[:, None] + inner[None]).reshape(-1, 3)
    return index @ affine[:3, :3].T + affine[:3, 3], float(size.prod() / parts.prod())


def look(scan: Scan, points: np.ndarray, mm3: float) -> Look:
    """Look at the place of a lesion in a scan.

    Parameters
    ----------
    scan : Scan
        Of either visit.
    points : ndarray, shape (n, 3)
        Of the lesion, in the world that the visits share.
    mm3 : float
        Volume that each stands for.

    Returns
    -------
    Look
        Voxels count by the share of them that the lesion fills, so that a lesion that is smaller
        than the voxels of a scan has less contrast there.

    Examples
    --------
    >>> image = np.full((20, 20, 20), 100.0) + np.random.default_rng(0).normal(0, 2, (20,) * 3)
    >>> image[9:12, 9:12, 9:12] -= 40
    >>> scan = Scan(image, np.eye(4), image > 0, np.zeros((20,) * 3, int), np.eye(4))
    >>> place = np.argwhere(image < 80).astype(float)
    >>> seen = look(scan, place, 1.0)
    >>> round(seen.contrast, 1), seen.covered, 15 < -seen.cnr(seen.contrast) < 25
    (-0.4, 1.0, True)
    """
    voxels, share = _shares(scan, points, mm3)
    filled = float((share**2).sum() / share.sum()) if len(share) else 0.0
    shape = np.array(scan.image.shape)
    inside = ((voxels >= 0) & (voxels < shape)).all(axis=1)
    voxels, share, total = voxels[inside], share[inside], float(share.sum())
    within = scan.brain[tuple(voxels.T)] if len(voxels) else np.zeros(0, bool)
    covered = float(share[within].sum() / total) if total else 0.0
    if covered < LEAST_COVERED:
        return Look(covered, filled)
    pad = np.ceil(RING_MM[1] / scan.voxel_mm).astype(int) + 1
    low, high = np.maximum(voxels.min(axis=0) - pad, 0), voxels.max(axis=0) + pad + 1
    box = tuple(slice(a, b) for a, b in zip(low, np.minimum(high, shape), strict=True))
    lesion = np.zeros([edge.stop - edge.start for edge in box], bool)
    lesion[tuple((voxels - low).T)] = True
    away = ndi.distance_transform_edt(~lesion, sampling=scan.voxel_mm)
    ring = scan.brain[box] & (scan.labels[box] == 0)
    values = scan.image[box][ring & (away > RING_MM[0]) & (away <= RING_MM[1])]
    if len(values) < LEAST_RING:
        return Look(covered, filled)
    level = float(np.median(values))
    noise = 1.4826 * float(np.median(np.abs(values - level)))
    if not (0 < level < np.inf and 0 < noise < np.inf):
        return Look(covered, filled)
    mean = float((scan.image[tuple(voxels.T)] * share).sum(dtype=float) / share.sum())
    if not np.isfinite(mean):
        return Look(covered, filled)
    return Look(covered, filled, mean / level - 1, level, noise)


def _shares(scan: Scan, points, mm3) -> tuple[np.ndarray, np.ndarray]:
    """Return the voxels of a scan that a lesion fills, and by how much."""
    matrix = np.linalg.inv(scan.affine) @ scan.way
    index = np.rint(points @ matrix[:3, :3].T + matrix[:3, 3]).astype(int)
    voxels, count = np.unique(index, axis=0, return_counts=True)
    return voxels, np.minimum(count * mm3 / float(scan.voxel_mm.prod()), 1.0)
