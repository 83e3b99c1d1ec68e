"""The head moves while a series is taken: a slow random walk, and each volume as it is seen."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from csvdprep.phantom.scanner.scan import turn

#: Columns of a table of motion and what they mean.
COLUMNS = {
    'volume': 'Number of the volume, from 0',
    **{
        f'trans_{axis}_mm': f'Movement of the head along {axis} of the scanner, mm'
        for axis in 'xyz'
    },
    **{
        f'rot_{axis}_deg': f'Rotation of the head about {axis} of the scanner, degrees; about x, '
        'then y, then z, through the origin, before the movement'
        for axis in 'xyz'
    },
}


def walk(volumes: int, size: float, reference: int, rng: np.random.Generator) -> np.ndarray:
    """Draw how a head moves during a series.

    Parameters
    ----------
    volumes : int
        Number of volumes.
    size : float
        Standard deviation of what has come together after all of them, in mm along each axis and
        in degrees about it.
    reference : int
        Volume in which the head has not moved.
    rng : numpy.random.Generator
        Source of the walk.

    Returns
    -------
    ndarray, shape (volumes, 6)
        Movements along x, y, z in mm and rotations about them in degrees.

    Examples
    --------
    >>> path = walk(20, 0.5, 3, np.random.default_rng(0))
    >>> path.shape, bool((path[3] == 0).all())
    ((20, 6), True)
    """
    path = np.cumsum(rng.normal(0, size / np.sqrt(volumes), (volumes, 6)), axis=0)
    return path - path[reference]


def rows(path: np.ndarray) -> list[dict[str, float]]:
    """Return a walk as rows of a table with the columns :data:`COLUMNS`."""
    return [
        dict(zip(COLUMNS, [number, *map(float, pose)], strict=True))
        for number, pose in enumerate(path)
    ]


def reach(image: np.ndarray) -> np.ndarray:
    """Return the voxels in which a head may be seen that moves by a voxel or two."""
    return ndi.binary_dilation(image > 0, iterations=2)


def moved(
    image: np.ndarray, affine: np.ndarray, pose: np.ndarray, where: np.ndarray
) -> np.ndarray:
    """See a head after it has moved, by quadratic spline interpolation.

    Parameters
    ----------
    image : ndarray, shape (nx, ny, nz)
        How it looks at the reference.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm of the scanner.
    pose : ndarray, shape (6,)
        As :func:`walk` gives it.
    where : ndarray of bool, shape (nx, ny, nz)
        Voxels to compute, as :func:`reach` finds them; all others are 0.

    Returns
    -------
    ndarray of float32, shape (nx, ny, nz)
        Not negative, where the spline overshoots.

    Examples
    --------
    >>> ball = np.zeros((9, 9, 9), np.float32); ball[4, 4, 4] = 1
    >>> pose = np.array([2.0, 0, 0, 0, 0, 0])
    >>> there = moved(ball, np.diag([2.0, 2, 2, 1]), pose, reach(ball))
    >>> tuple(map(int, np.unravel_index(there.argmax(), there.shape)))
    (5, 4, 4)
    """
    if not np.any(pose):
        return image.astype(np.float32)
    transform = np.eye(4)
    transform[:3, :3], transform[:3, 3] = turn(pose[3:]), pose[:3]
    back = np.linalg.inv(transform @ affine) @ affine
    at = back[:3, :3] @ np.array(np.nonzero(where)) + back[:3, 3:]
    out = np.zeros(image.shape, np.float32)
    # What comes in from beyond the field of view looks as its border does.
    seen = ndi.map_coordinates(image, at, order=2, output=np.float32, mode='nearest')
    out[where] = np.maximum(seen, 0)
    return out
