"""White matter around hyperintensities: measures in rings of equal distance from them.

What looks normal on FLAIR is not normal next to a lesion. A profile is the median of a map in
rings of 1 mm (Maillard 2011, doi:10.1161/STROKEAHA.110.609768); see
`csvdprep.markers.penumbra.science.summary` for what it comes to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from csvdprep.science.distances import distance_map

__all__ = [
    'Profile',
    'broad_rings',
    'lesion_distances',
    'ring_profile',
    'split_lesions',
    'surroundings',
]

#: Number of rings; each is 1 mm wide.
RINGS = 20
#: Fewest voxels of a ring.
RING_VOXELS = 50
#: Broad rings, mm, as reported for the CARDIA cohort (Nasrallah 2019, AJNR).
BROAD_MM = ((0.0, 2.0), (2.0, 4.0), (4.0, float('inf')))


@dataclass(frozen=True, eq=False)
class Profile:
    """A map in rings around lesions; one entry per ring, None where a ring has too few voxels.

    Attributes
    ----------
    voxels : tuple of int
        Number of voxels.
    distance_mm : tuple of (float or None)
        Their mean distance from the lesions.
    median, mean, se : tuple of (float or None)
        In the unit of the map; ``se`` is the standard error of the mean of the voxels.
    """

    voxels: tuple[int, ...]
    distance_mm: tuple[float | None, ...]
    median: tuple[float | None, ...]
    mean: tuple[float | None, ...]
    se: tuple[float | None, ...]


def split_lesions(
    wmh: np.ndarray, d_v: np.ndarray, limit_mm: float = 10.0
) -> dict[str, np.ndarray]:
    """Split hyperintensities by the distance of their voxels from the ventricles.

    Parameters
    ----------
    wmh : ndarray of bool, shape (nx, ny, nz)
        Hyperintensities.
    d_v : ndarray, shape (nx, ny, nz)
        Distance from the lateral ventricles, mm.
    limit_mm : float
        Up to here they are periventricular.

    Returns
    -------
    dict of str to ndarray of bool
        ``'pv'`` and ``'deep'``; together they are ``wmh``.

    Examples
    --------
    >>> parts = split_lesions(np.ones(3, bool), np.array([2.0, 10.0, 10.1]))
    >>> parts['pv'].tolist(), parts['deep'].tolist()
    ([True, True, False], [False, False, True])
    """
    wmh = np.asarray(wmh) > 0
    near = np.asarray(d_v) <= limit_mm
    return {'pv': wmh & near, 'deep': wmh & ~near}


def surroundings(
    brain: np.ndarray,
    gm: np.ndarray,
    csf: np.ndarray,
    lesions: Sequence[np.ndarray],
    *,
    gm_limit: float = 0.2,
    csf_limit: float = 0.05,
) -> np.ndarray:
    """Find the white matter in which rings are measured: without lesions, CSF and grey matter.

    Parameters
    ----------
    brain : ndarray of bool, shape (nx, ny, nz)
        Brain.
    gm, csf : ndarray, shape (nx, ny, nz)
        Probabilities.
    lesions : sequence of ndarray of bool
        Hyperintensities, lacunes, infarcts, ...
    gm_limit, csf_limit : float
        More of it than this excludes a voxel.

    Returns
    -------
    ndarray of bool, shape (nx, ny, nz)

    Examples
    --------
    >>> surroundings(np.ones(3, bool), np.array([0, 0.3, 0]), np.zeros(3),
    ...              [np.array([0, 0, 1])]).tolist()
    [True, False, False]
    """
    found = (np.asarray(brain) > 0) & (np.asarray(gm) <= gm_limit) & (np.asarray(csf) <= csf_limit)
    for lesion in lesions:
        found &= ~(np.asarray(lesion) > 0)
    return found


def lesion_distances(
    lesions: Mapping[str, np.ndarray],
    affine: np.ndarray,
    where: np.ndarray,
    target_affine: np.ndarray,
    *,
    spacing: float = 1.0,
) -> dict[str, np.ndarray]:
    """Compute the distance from the nearest lesion, for each kind of lesion that is nearest.

    Distances are straight and made on an isotropic grid (see `csvdprep.science.distances`). Each
    voxel belongs to the kind of its nearest lesion, so that no profile holds another's edge.

    Parameters
    ----------
    lesions : mapping of str to ndarray of bool, shape (nx, ny, nz)
        Kinds of lesions on their own grid.
    affine : ndarray, shape (4, 4)
        That grid, from voxel indices to mm.
    where : ndarray of bool, shape (mx, my, mz)
        White matter around them (`surroundings`) on the grid of the map.
    target_affine : ndarray, shape (4, 4)
        That grid.
    spacing : float
        Largest edge of the isotropic grid's voxels, mm.

    Returns
    -------
    dict of str to ndarray of float32, shape (mx, my, mz)
        Distance in mm, NaN outside of ``where`` and where another kind is nearer.

    Examples
    --------
    >>> line = np.zeros((12, 1, 1), bool)
    >>> kinds = {'pv': line.copy(), 'deep': line.copy()}
    >>> kinds['pv'][0] = kinds['deep'][11] = True
    >>> away = lesion_distances(kinds, np.eye(4), ~line, np.eye(4))
    >>> away['pv'].ravel()[:7].tolist()
    [0.0, 0.75, 1.75, 2.75, 3.75, 4.75, nan]
    """
    each = {
        kind: distance_map(mask, affine, where.shape, target_affine, where=where, spacing=spacing)
        for kind, mask in lesions.items()
    }
    stack = np.where(where, np.stack(list(each.values())), np.inf)
    nearest = stack.argmin(axis=0)
    return {
        kind: np.where(where & (nearest == number) & np.isfinite(stack[number]), away, np.nan)
        for number, (kind, away) in enumerate(each.items())
    }


def ring_profile(values: np.ndarray, distance: np.ndarray) -> Profile:
    """Summarise a map in rings of 1 mm: from 0-1 to 19-20 mm.

    Parameters
    ----------
    values : ndarray, any shape
        The map. Voxels without a number do not count.
    distance : ndarray, same shape
        Distance from the lesions, mm, of one kind of `lesion_distances`.

    Returns
    -------
    Profile

    Examples
    --------
    >>> profile = ring_profile(np.arange(200.0), np.repeat([0.5, 1.5], 100))
    >>> profile.voxels[:3], profile.median[:3]
    ((100, 100, 0), (49.5, 149.5, None))
    """
    values, distance = np.ravel(values), np.ravel(distance)
    use = np.isfinite(values) & np.isfinite(distance)
    values, distance = values[use].astype(float), distance[use].astype(float)
    rows = []
    for ring in range(RINGS):
        here = (distance >= ring) & (distance < ring + 1)
        count = int(here.sum())
        if count < RING_VOXELS:
            rows.append((count, None, None, None, None))
            continue
        some = values[here]
        rows.append(
            (
                count,
                float(distance[here].mean()),
                float(np.median(some)),
                float(some.mean()),
                float(some.std(ddof=1) / count**0.5),
            )
        )
    return Profile(*zip(*rows, strict=True))


def broad_rings(values: np.ndarray, distance: np.ndarray) -> dict[str, float | None]:
    """Compute the median of a map within 2 mm, from 2 to 4 mm, and farther from lesions.

    Parameters
    ----------
    values, distance : ndarray
        As in `ring_profile`.

    Returns
    -------
    dict of str to (float or None)
        ``'0-2'``, ``'2-4'``, ``'4-'``; None with fewer than 50 voxels.

    Examples
    --------
    >>> broad_rings(np.arange(100.0), np.repeat([1.0, 3.0], 50))
    {'0-2': 24.5, '2-4': 74.5, '4-': None}
    """
    found: dict[str, float | None] = {}
    for inner, outer in BROAD_MM:
        some = values[(distance >= inner) & (distance < outer) & np.isfinite(values)]
        name = f'{inner:g}-' + (f'{outer:g}' if np.isfinite(outer) else '')
        found[name] = float(np.median(some)) if len(some) >= RING_VOXELS else None
    return found
