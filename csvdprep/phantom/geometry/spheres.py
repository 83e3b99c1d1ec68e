"""Spheres of which volumes and distances are known, on any grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

__all__ = ['ConcentricPhantom', 'ball', 'make_grid', 'positions']


def make_grid(
    zooms: Sequence[float],
    extent_mm: float,
    *,
    tilt_deg: Sequence[float] = (0, 0, 0),
    centre: Sequence[float] = (0, 0, 0),
    axes: Sequence[int] = (0, 1, 2),
) -> tuple[tuple[int, int, int], np.ndarray]:
    """Make a grid that covers a cube.

    Parameters
    ----------
    zooms : sequence of float
        Voxel size along world x, y and z (before the tilt), mm.
    extent_mm : float
        Edge of the cube, mm.
    tilt_deg : sequence of float
        Rotation about x, y and z, degrees.
    centre : sequence of float
        Centre of the grid, mm.
    axes : sequence of int
        World axis of each array axis: the order of storage.

    Returns
    -------
    shape : tuple of int
    affine : ndarray, shape (4, 4)

    Examples
    --------
    >>> shape, affine = make_grid((1, 1, 5), 20, axes=(2, 0, 1))
    >>> shape, affine[:3, 0].tolist()
    ((6, 22, 22), [0.0, 0.0, 5.0])
    """
    sizes = np.asarray(zooms, dtype=float)
    shape = np.ceil(extent_mm / sizes).astype(int) + 2
    frame = Rotation.from_euler('xyz', tilt_deg, degrees=True).as_matrix() * sizes
    shape, frame = shape[list(axes)], frame[:, list(axes)]
    affine = np.eye(4)
    affine[:3, :3] = frame
    affine[:3, 3] = np.asarray(centre) - frame @ ((shape - 1) / 2)
    return tuple(int(n) for n in shape), affine


def positions(shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """Give the position of every voxel.

    Parameters
    ----------
    shape : tuple of int
        Shape of the grid.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm.

    Returns
    -------
    ndarray, shape (I, J, K, 3)
        Positions, mm.

    Examples
    --------
    >>> import numpy as np
    >>> positions((2, 2, 2), np.diag([1.0, 2.0, 3.0, 1.0]))[1, 1, 1].tolist()
    [1.0, 2.0, 3.0]
    """
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing='ij'), axis=-1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def ball(
    points: np.ndarray, centre: Sequence[float], radii: float | Sequence[float]
) -> np.ndarray:
    """Tell which points are inside of a ball or an ellipsoid along the world axes.

    Parameters
    ----------
    points : ndarray, shape (..., 3)
        Positions, mm.
    centre : sequence of float
        Its centre, mm.
    radii : float or sequence of float
        Radius, or the three half-axes, mm.

    Returns
    -------
    ndarray of bool, shape (...)

    Examples
    --------
    >>> import numpy as np
    >>> ball(np.array([[0.0, 0, 0], [0, 0, 2]]), (0, 0, 0), (3, 3, 1)).tolist()
    [True, False]
    """
    scaled = (points - np.asarray(centre)) / np.asarray(radii, dtype=float)
    return (scaled**2).sum(axis=-1) <= 1


@dataclass(frozen=True, kw_only=True)
class ConcentricPhantom:
    """A round ventricle in a round brain with a cortex of 3 mm around it.

    Parameters
    ----------
    ventricle_mm, cortex_mm : float
        Radius of the ventricle and of the inner surface of the cortex.
    shift : tuple of float
        Centre of the ventricle, mm; the cortex is centred at 0.

    Raises
    ------
    ValueError
        If the ventricle is so large or so far off that the zones' volumes have no simple formula.

    Examples
    --------
    >>> volumes = ConcentricPhantom(ventricle_mm=12, cortex_mm=45).zone_volumes()
    >>> [round(volumes[zone], 2) for zone in (1, 2, 3, 4)]
    [6.9, 51.31, 223.25, 93.01]
    """

    ventricle_mm: float
    cortex_mm: float
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def distances(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give the true distance, mm, from the ventricle and from the cortex."""
        from_ventricle = np.linalg.norm(points - np.asarray(self.shift), axis=-1)
        return from_ventricle - self.ventricle_mm, self.cortex_mm - np.linalg.norm(points, axis=-1)

    def masks(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give ventricle, cortex and the white matter between them."""
        d_v, d_j = self.distances(points)
        return d_v <= 0, (d_j <= 0) & (d_j > -3), (d_v > 0) & (d_j > 0)

    def zone_volumes(self) -> dict[int, float]:
        """Give the true volume, mL, of Kim's four zones."""
        near, far = self.ventricle_mm + 3, self.ventricle_mm + 13
        deepest = self.cortex_mm - 4
        return {
            1: _shell_ml(self.ventricle_mm, near),
            2: _shell_ml(near, far),
            3: _shell_ml(0, deepest) - _shell_ml(0, far),
            4: _shell_ml(deepest, self.cortex_mm),
        }

    def __post_init__(self):
        reach = self.ventricle_mm + 13 + float(np.linalg.norm(self.shift))
        if reach > self.cortex_mm - 4:
            raise ValueError('The periventricular and the juxtacortical zone must not meet.')


def _shell_ml(inner_mm: float, outer_mm: float) -> float:
    return 4 / 3 * np.pi * (outer_mm**3 - inner_mm**3) / 1000
