"""Align the volumes of an ASL series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage as ndi
from scipy.spatial.transform import Rotation

from csvdprep.preprocessing.asl.science import without_zigzag
from csvdprep.science.volume_alignment import Target

#: Times the series is aligned with its mean.
ROUNDS = 2


def align(
    data: np.ndarray,
    affine: np.ndarray,
    brain: np.ndarray,
    kinds: Sequence[str],
    centre: np.ndarray,
) -> np.ndarray:
    """Find how the head moved.

    Parameters
    ----------
    data : ndarray of float32, shape (nx, ny, nz, n)
        Series.
    affine : ndarray, shape (4, 4)
        Voxel to world, mm.
    brain : ndarray of bool, shape (nx, ny, nz)
        Where volumes are compared.
    kinds : sequence of str
        'control' or 'label', of volumes to align; others stay where they are.
    centre : ndarray, shape (3,)
        Middle of the brain, mm.

    Returns
    -------
    ndarray, shape (n, 4, 4)
        Take world points of the mean to each volume; what follows the order of control and label
        is taken out.
    """
    moving = [n for n, kind in enumerate(kinds) if kind in ('control', 'label')]
    motions = np.stack([np.eye(4)] * data.shape[3])
    first = [n for n in moving if kinds[n] == 'control'] or moving
    mean = data[..., first].mean(axis=3)
    for _ in range(ROUNDS):
        target = Target(np.maximum(mean, 0).astype(np.float32), brain, affine)
        found = np.stack([target.find(data[..., n], motions[n]) for n in moving])
        parameters = np.stack([_as_numbers(matrix, centre) for matrix in found])
        parameters = without_zigzag(parameters, [kinds[n] for n in moving])
        # The middle of all poses is where the mean lies.
        parameters -= np.median(parameters, axis=0)
        for n, numbers in zip(moving, parameters, strict=True):
            motions[n] = _as_matrix(numbers, centre)
        mean = np.mean([moved(data[..., n], affine, motions[n]) for n in first], axis=0)
    return motions


def moved(volume: np.ndarray, affine: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Resample a volume to where the head was at rest (cubic splines).

    Parameters
    ----------
    volume : ndarray, shape (nx, ny, nz)
        Volume.
    affine : ndarray, shape (4, 4)
        Voxel to world, mm.
    motion : ndarray, shape (4, 4)
        Takes world points at rest to the volume.

    Returns
    -------
    ndarray of float32, shape (nx, ny, nz)

    Examples
    --------
    >>> volume = np.zeros((6, 6, 6)); volume[3, 3, 3] = 1
    >>> shift = np.eye(4); shift[0, 3] = 1
    >>> round(float(moved(volume, np.eye(4), shift)[2, 3, 3]), 3)
    1.0
    """
    if np.allclose(motion, np.eye(4), atol=1e-9):
        return volume.astype(np.float32, copy=False)
    index = np.linalg.inv(affine) @ motion @ affine
    return ndi.affine_transform(
        volume, index[:3, :3], index[:3, 3], order=3, mode='nearest', output=np.float32
    )


def _as_numbers(matrix: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Write a rigid transform as shift of the centre (mm) and rotation vector."""
    shift = matrix[:3, :3] @ centre + matrix[:3, 3] - centre
    return np.concatenate([shift, Rotation.from_matrix(matrix[:3, :3]).as_rotvec()])


def _as_matrix(numbers: np.ndarray, centre: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(numbers[3:]).as_matrix()
    matrix[:3, 3] = centre + numbers[:3] - matrix[:3, :3] @ centre
    return matrix
