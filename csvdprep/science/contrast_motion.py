"""Motion of a dynamic series: against the volumes before the bolus, then against neighbours."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from csvdprep.science.volume_alignment import Target

#: Volumes to each side that make up the target of the second round.
REACH = 2


def find_motions(
    series: np.ndarray, brain: np.ndarray, affine: np.ndarray, baseline: slice
) -> np.ndarray:
    """Estimate where the head lay in each volume.

    The bolus changes vessels most; differences are weighted down where they stand out (Huber),
    and a volume has a scale of its own. The second round compares each volume with the mean of
    its neighbours, which have nearly its contrast.

    Parameters
    ----------
    series : ndarray, shape (nx, ny, nz, n)
        Signal.
    brain : ndarray of bool, shape (nx, ny, nz)
        Brain.
    affine : ndarray, shape (4, 4)
        Voxel to world, mm.
    baseline : slice
        Volumes before the contrast agent; the head lies where it did in their mean.

    Returns
    -------
    ndarray, shape (n, 4, 4)
        Takes world points of the head at rest to where they were, RAS+ mm.
    """
    count = series.shape[3]
    chosen = list(range(count))[baseline] or [0]
    motions = np.tile(np.eye(4), (count, 1, 1))
    anchor = chosen[len(chosen) // 2]
    first = Target(series[..., anchor].astype(np.float32), brain, affine)
    for number in chosen:
        if number != anchor:
            motions[number] = first.find(series[..., number], np.eye(4))
    mean = np.mean([_pull(series[..., n], motions[n], affine) for n in chosen], axis=0)
    target = Target(mean.astype(np.float32), brain, affine)
    for number in range(count):
        if number in chosen:
            continue
        motions[number] = target.find(series[..., number], motions[max(number - 1, 0)])
    rest = pulled(series, motions, affine, order=1)
    final = motions.copy()
    for number in range(count):
        near = [
            n
            for n in range(max(0, number - REACH), min(count, number + REACH + 1))
            if n != number and (n in chosen) == (number in chosen)
        ]
        if len(near) < 2:
            continue
        beside = Target(rest[..., near].mean(axis=-1), brain, affine)
        final[number] = beside.find(series[..., number], motions[number])
    return final


def pulled(
    series: np.ndarray, motions: np.ndarray, affine: np.ndarray, *, order: int = 3
) -> np.ndarray:
    """Sample all volumes where the head at rest is, float32, shape of the series.

    Examples
    --------
    >>> series = np.random.default_rng(0).random((5, 5, 5, 2))
    >>> still = np.tile(np.eye(4), (2, 1, 1))
    >>> bool(np.allclose(pulled(series, still, np.eye(4)), series, atol=1e-6))
    True
    """
    out = np.empty(series.shape, np.float32)
    for number, motion in enumerate(motions):
        out[..., number] = _pull(series[..., number], motion, affine, order)
    return np.maximum(out, 0)


def _pull(volume, motion, affine, order: int = 1) -> np.ndarray:
    if np.allclose(motion, np.eye(4), atol=1e-9):
        return volume.astype(np.float32)
    matrix = np.linalg.inv(affine) @ motion @ affine
    return ndi.affine_transform(
        volume.astype(np.float32),
        matrix[:3, :3],
        matrix[:3, 3],
        order=order,
        mode='constant',
        output=np.float32,
    )
