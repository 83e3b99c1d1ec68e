"""Seeing several volumes of a head in one pose at once: positions are computed only once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from csvdprep.phantom.scanner.scan import Scan

#: Planes of the image that are read at a time, to stay within the processor's cache.
SLAB = 4


def read_together(
    volumes: Sequence[np.ndarray], scan: Scan, affine: np.ndarray
) -> list[np.ndarray]:
    """See volumes in a scan, as :meth:`csvdprep.phantom.scanner.scan.Scan.read` does one by one.

    Parameters
    ----------
    volumes : sequence of ndarray of float32, shape (nx, ny, nz)
        Values in the head's own frame, prepared by
        :meth:`csvdprep.phantom.scanner.scan.Scan.blur`.
    scan : Scan
        Grid and pose.
    affine : ndarray, shape (4, 4)
        From indices of the volumes to mm of the head's frame.

    Returns
    -------
    list of ndarray of float32, shape of the scan's grid

    Examples
    --------
    >>> ball = np.zeros((9, 9, 9), np.float32); ball[3:6, 3:6, 3:6] = 1
    >>> scan = Scan(voxel=(2, 2, 2), low=(-9, -9, -9), high=(9, 9, 9), rotation=(5, 0, 9))
    >>> affine = np.diag([2.0, 2, 2, 1]); affine[:3, 3] = -8
    >>> bool(np.allclose(read_together([ball], scan, affine)[0], scan.read(ball, affine),
    ...                  atol=1e-5))
    True
    """
    if scan.voxel[scan.slices] > min(scan.voxel):
        return [scan.read(volume, affine) for volume in volumes]
    shape, stored = scan.grid()
    matrix = (np.linalg.inv(scan.pose @ affine) @ stored).astype(np.float32)
    flat = [volume.reshape(-1) for volume in volumes]
    out = [np.zeros(shape, np.float32) for _ in volumes]
    for start in range(0, shape[0], SLAB):
        seen, low, part = _positions(matrix, shape, start, volumes[0].shape)
        values = _linear(flat, volumes[0].shape, low, part)
        for image, own in zip(out, values, strict=True):
            image[start : start + SLAB].reshape(-1)[seen] = own
    return out


def _positions(matrix, shape, start: int, size) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which voxels of a slab see the volumes, the voxel before each, the way to the next.

    Lower corners (3, n) are integers, ways (3, n) run from 0 to 1.
    """
    i, j, k = (np.arange(n, dtype=np.float32) for n in shape)
    i = i[start : start + SLAB]
    held, low, part = True, [], []
    for row, count in zip(matrix, size, strict=False):
        at = (row[0] * i)[:, None, None] + (row[1] * j)[:, None] + (row[2] * k + row[3])
        below = np.floor(at)
        held = held & (below >= 0) & (below < count - 1)
        low.append(below.ravel())
        part.append((at - below).ravel())
    seen = np.flatnonzero(held)
    corner = np.stack([axis[seen] for axis in low]).astype(np.intp)
    return seen, corner, np.stack([axis[seen] for axis in part])


def _linear(flat, size, low: np.ndarray, part: np.ndarray) -> list[np.ndarray]:
    """Interpolate flattened volumes of one size linearly."""
    steps = (size[1] * size[2], size[2], 1)
    first = sum(at * step for at, step in zip(low, steps, strict=True))
    out = [np.zeros(len(first), np.float32) for _ in flat]
    for corner in np.ndindex(2, 2, 2):
        weight = np.float32(1)
        for far, way in zip(corner, part, strict=True):
            weight = weight * (way if far else 1 - way)
        at = first + sum(far * step for far, step in zip(corner, steps, strict=True))
        for values, volume in zip(out, flat, strict=True):
            values += weight * volume.take(at)
    return out
