"""Whether axial planes can be cut through a volume, and which of its axes is which."""

from __future__ import annotations

import numpy as np

#: Slices whose normal is farther than this from the long axis of the head are not axial, degrees.
AXIAL_WITHIN = 45.0
#: Slices are thick if they are so many times as far apart as voxels within them.
THICK = 1.5


def has_planes(affine: np.ndarray) -> bool:
    """Tell whether slices are axial, or so thin that axial planes can be cut.

    Examples
    --------
    >>> has_planes(np.diag([0.5, 0.5, 8, 1])), has_planes(np.diag([5.0, 1, 1, 1]))
    (True, False)
    """
    size, towards, axes = axes_of(affine)
    thick = int(np.argmax(size))
    leaning = np.degrees(np.arccos(min(1.0, abs(towards[2, axes[2]]))))
    thin = size[thick] <= THICK * size.min()
    return bool(leaning <= AXIAL_WITHIN and (thin or thick == axes[2]))


def axes_of(affine: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Return voxel sizes, their unit vectors, and the voxel axis of each world axis."""
    columns = np.asarray(affine, float)[:3, :3]
    size = np.linalg.norm(columns, axis=0)
    return size, columns / size, _matching(np.abs(columns / size))


def _matching(closeness: np.ndarray) -> tuple[int, ...]:
    """Assign a voxel axis to each world axis, the closest pair first."""
    left, out = closeness.copy(), [0, 0, 0]
    for _ in range(3):
        world, axis = np.unravel_index(np.argmax(left), (3, 3))
        out[world] = int(axis)
        left[world], left[:, axis] = -1, -1
    return tuple(out)
