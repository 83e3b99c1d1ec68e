"""Smooth random fields, and the deformations made of them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

#: Spacing of the grid on which a deformation is computed, mm; it is far smoother than that.
COARSE_MM = 4.0
#: Correlation length of the random velocity, mm.
VELOCITY_MM = 22.0


def smooth_noise(shape, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Draw Gaussian noise of unit variance, correlated over ``sigma`` voxels.

    Parameters
    ----------
    shape : sequence of int
        Shape of the field.
    sigma : float
        Standard deviation of the smoothing, voxels.
    rng : numpy.random.Generator
        Source of the noise.

    Returns
    -------
    ndarray of float32

    Examples
    --------
    >>> field = smooth_noise((40, 40, 40), 2.5, np.random.default_rng(0))
    >>> bool(abs(field.std() - 1) < 1e-3), field.dtype
    (True, dtype('float32'))

    """
    shape = np.asarray(shape, int)
    # A field smooth over many voxels is drawn coarsely and interpolated: the same, but faster.
    step = max(1.0, sigma / 1.5)
    small = np.maximum(np.ceil(shape / step).astype(int) + 2, 4)
    field = rng.standard_normal(small, dtype=np.float32)
    field = ndi.gaussian_filter(field, sigma / step, mode='wrap')
    field = resize(field, shape) if step > 1 else field[tuple(slice(n) for n in shape)]
    field -= field.mean()
    return (field / field.std()).astype(np.float32)


def resize(field: np.ndarray, shape, part=None) -> np.ndarray:
    """Interpolate a field linearly onto another number of samples between its corners.

    Of the result only a part (slices) is made if one is given.

    Examples
    --------
    >>> resize(np.array([0.0, 2.0]), [3]).tolist()
    [0.0, 1.0, 2.0]

    """
    for axis, size in enumerate(shape):
        at = np.linspace(0, field.shape[axis] - 1, size)
        at = at if part is None else at[part[axis]]
        low = np.minimum(at.astype(int), max(field.shape[axis] - 2, 0))
        along = [-1 if other == axis else 1 for other in range(field.ndim)]
        share = (at - low).astype(field.dtype).reshape(along)
        high = np.minimum(low + 1, field.shape[axis] - 1)
        field = field.take(low, axis) * (1 - share) + field.take(high, axis) * share
    return field


def pull(volume: np.ndarray, affine: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Interpolate a volume linearly at positions in mm.

    Parameters
    ----------
    volume : ndarray, shape (nx, ny, nz)
        What to read; beyond it its border is repeated.
    affine : ndarray, shape (4, 4)
        From voxel indices of ``volume`` to mm; diagonal.
    position : ndarray, shape (3, ...)
        Where to read, mm.

    Returns
    -------
    ndarray of float32, shape of ``position[0]``

    Examples
    --------
    >>> ramp = np.arange(8.0).reshape(2, 2, 2)
    >>> pull(ramp, np.eye(4), np.array([[0.5], [0.5], [0.5]])).tolist()
    [3.5]

    """
    points = position.reshape(3, -1)
    out = np.empty(points.shape[1], np.float32)
    scale, offset = np.diag(affine)[:3], affine[:3, 3]
    volume = np.asarray(volume, np.float32)
    # In parts, because the interpolation works with a copy of the positions.
    for start in range(0, out.size, 2**19):
        part = slice(start, start + 2**19)
        index = [(points[i, part] - offset[i]) / scale[i] for i in range(3)]
        ndi.map_coordinates(volume, index, out[part], order=1, mode='nearest')
    return out.reshape(position.shape[1:])


def diffeomorphism(
    shape,
    affine,
    size,
    rng: np.random.Generator,
    *,
    rms: float,
    push: np.ndarray,
    push_affine: np.ndarray,
    push_mm: float,
) -> np.ndarray:
    """Say where in the template each voxel of a person's head comes from.

    The map is exp(-v) after a scaling, with v a stationary velocity field: random, plus
    ``push_mm`` times a given field. Scaling and squaring keeps it invertible [1]_.

    Parameters
    ----------
    shape, affine
        Grid of the head.
    size : ndarray, shape (3,)
        Scale of the template along x, y and z.
    rng : numpy.random.Generator
        Source of the random velocity.
    rms : float
        Root mean square of the random displacement, mm.
    push : ndarray, shape (3, mx, my, mz)
        Direction of an additional displacement in template space.
    push_affine : ndarray, shape (4, 4)
        Grid of ``push``; diagonal.
    push_mm : float
        Length of the additional displacement, mm.

    Returns
    -------
    ndarray of float32, shape (3, mx, my, mz)
        Positions in the template, mm, on about 4 mm; :func:`resize` brings them to ``shape``.

    References
    ----------
    .. [1] Arsigny V. et al. (2006) A log-Euclidean framework for statistics on diffeomorphisms.
       doi:10.1007/11866565_113

    """
    extent = np.asarray(shape) * np.diag(affine)[:3]
    small = np.ceil(extent / COARSE_MM).astype(int)
    last = (np.asarray(shape) - 1) * np.diag(affine)[:3]
    lines = [affine[i, 3] + np.linspace(0, last[i], small[i]) for i in range(3)]
    start = np.stack(
        np.meshgrid(*[line / s for line, s in zip(lines, size, strict=True)], indexing='ij')
    )
    coarse = np.eye(4)
    steps = last / (small - 1) / size
    coarse[:3, :3] = np.diag(steps)
    coarse[:3, 3] = [line[0] / s for line, s in zip(lines, size, strict=True)]
    velocity = np.stack(
        [rms / np.sqrt(3) * smooth_noise(small, VELOCITY_MM / COARSE_MM, rng) for _ in range(3)]
    )
    if push_mm:
        velocity += push_mm * np.stack([pull(part, push_affine, start) for part in push])
    flow = -velocity / 2**6
    for _ in range(6):
        flow = flow + np.stack([pull(part, coarse, start + flow) for part in flow])
    return (start + flow).astype(np.float32)
