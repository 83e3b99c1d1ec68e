"""The magnetic field in and around a head: susceptibility, its dipole field, the shim."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy import fft

from csvdprep.phantom.scanner.scan import turn
from csvdprep.phantom.scanner.scene import Scene

#: Gyromagnetic ratio of protons, MHz/T.
GAMMA = 42.577
#: Susceptibility of tissue's water relative to air, ppm.
WATER_PPM = -9.4


def susceptibility(scene: Scene, *, air: bool = True) -> np.ndarray:
    """Give every voxel of a head its susceptibility, without features.

    Parameters
    ----------
    scene : Scene
        The head.
    air : bool
        Count from air, so that the head's border makes a field too; else from water, with air
        at 0 as well: tissue alone.

    Returns
    -------
    ndarray of float32, shape of the head's grid
        ppm.
    """
    chi = scene.property_map('chi')
    if air:
        chi += np.float32(WATER_PPM) * sum(scene.anatomy.fractions.values())
    return chi


def dipole_field(chi: np.ndarray, spacing, direction, *, pad: float = 1.5) -> np.ndarray:
    """Compute the relative change of the field that a susceptibility makes.

    In k-space it is the product with ``1/3 - (k·B0)²/|k|²`` (Lorentz-corrected) [1]_, here of
    voxels that are homogeneous cubes, and averaged over voxels: what the sampling folds into
    the transform is summed with its weight, without which fields oblique to the grid ring.
    What is padded keeps copies of the head, which the discrete transform implies, at a distance.

    Parameters
    ----------
    chi : ndarray, shape (nx, ny, nz)
        Susceptibility, ppm; 0 beyond the grid.
    spacing : float or sequence of float
        Size of a voxel, mm.
    direction : sequence of float
        Direction of the main field along the array's axes.
    pad : float
        Factor by which the grid is enlarged.

    Returns
    -------
    ndarray of float32, shape of ``chi``
        ppm of the main field.

    References
    ----------
    .. [1] Marques J.P., Bowtell R. (2005) Application of a Fourier-based method for rapid
       calculation of field inhomogeneity. doi:10.1002/cmr.b.20034

    Examples
    --------
    >>> points = np.stack(np.meshgrid(*[np.arange(-20.0, 21)] * 3, indexing='ij'))
    >>> ball = (np.linalg.norm(points, axis=0) < 5).astype(float)
    >>> field = dipole_field(ball, 1.0, (0, 0, 1))
    >>> bool(field[20, 20, 30] > 0), bool(abs(field[20, 20, 20]) < 0.01)
    (True, True)
    """
    spacing = np.broadcast_to(np.asarray(spacing, float), 3)
    direction = np.asarray(direction, float) / np.linalg.norm(direction)
    nx, ny, nz = chi.shape
    px, py, pz = (fft.next_fast_len(int(np.ceil(n * pad)), real=True) for n in chi.shape)
    # Along z first; then one plane of k_z after the other, so that the padded and transformed
    # grid as a whole never exists.
    spectrum = fft.rfft(np.asarray(chi, np.float32), pz, axis=2)
    frequencies = [
        _folded(part, size)
        for part, size in zip(
            (fft.fftfreq(px), fft.fftfreq(py), fft.rfftfreq(pz)), spacing, strict=True
        )
    ]
    for plane in range(spectrum.shape[2]):
        kernel = _kernel(
            *frequencies[:2],
            [(k[plane], w[plane]) for k, w in frequencies[2]],
            direction.astype(np.float32),
        )
        part = fft.fft2(spectrum[:, :, plane], (px, py), overwrite_x=True)
        spectrum[:, :, plane] = fft.ifft2(part * kernel, overwrite_x=True)[:nx, :ny]
    # In parts, because the last transform works with a copy.
    out = np.empty(chi.shape, np.float32)
    for x in range(nx):
        out[x] = fft.irfft(spectrum[x], pz, axis=1)[:, :nz]
    return out


def _folded(k: np.ndarray, size: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Give frequencies (per voxel) and what folds onto them: in 1/mm, with their weights."""
    folded = [k, k - np.where(k < 0, -1, 1)]
    return [
        ((part / size).astype(np.float32), (np.sinc(part) ** 2).astype(np.float32))
        for part in folded
    ]


def _kernel(x, y, z, direction: np.ndarray) -> np.ndarray:
    """Sum the dipole's transform over the frequencies that fold onto those of a plane."""
    out = np.zeros((len(x[0][0]), len(y[0][0])), np.float32)
    for (kx, wx), (ky, wy), (kz, wz) in product(x, y, z):
        square = (kx**2 + kz**2)[:, None] + ky**2
        along = (direction[0] * kx + direction[2] * kz)[:, None] + direction[1] * ky
        if square[0, 0] == 0:
            square[0, 0] = 1
            along[0, 0] = np.sqrt(1 / 3)
        along *= along
        along /= square
        np.subtract(np.float32(1 / 3), along, out=along)
        along *= (wz * wx)[:, None]
        along *= wy
        out += along
    return out


def sphere_field(points: np.ndarray, centre, radius: float, chi: float, direction) -> np.ndarray:
    """Compute the exact field of a sphere.

    ``chi/3 (a/r)³ (3 cos²θ - 1)`` outside, 0 inside.

    Parameters
    ----------
    points : ndarray, shape (n, 3)
        Positions, mm.
    centre, radius
        Of the sphere, mm.
    chi : float
        Susceptibility relative to its surroundings, ppm.
    direction : sequence of float
        Direction of the main field.

    Returns
    -------
    ndarray, shape (n,)
        ppm of the main field.

    Examples
    --------
    >>> sphere_field(np.array([[0, 0, 2.0], [2.0, 0, 0]]), (0, 0, 0), 1.0, 3.0, (0, 0, 1)).tolist()
    [0.25, -0.125]
    """
    away = points - np.asarray(centre, float)
    distance = np.maximum(np.linalg.norm(away, axis=1), 1e-6)
    cosine = away @ (np.asarray(direction, float) / np.linalg.norm(direction)) / distance
    outside = chi / 3 * (radius / distance) ** 3 * (3 * cosine**2 - 1)
    return np.where(distance > radius, outside, 0.0)


def tube_field(square, across, cosine, radius, chi: float, blurred=None) -> np.ndarray:
    """Compute the field of a long straight tube.

    ``chi/2 sin²θ cos 2φ (a/r)²`` outside, ``chi/6 (3 cos²θ - 1)`` inside, with θ the angle
    between tube and main field and φ that around the tube.

    Parameters
    ----------
    square : ndarray
        Squared distance from the tube's middle line, mm².
    across : ndarray
        Part of that distance (as a vector) along the main field, mm.
    cosine : ndarray
        Cosine of θ.
    radius : float or ndarray
        mm.
    chi : float
        Susceptibility relative to its surroundings, ppm.
    blurred : float or ndarray, optional
        Take away the field of a tube of this larger radius that has the same magnetic moment:
        what a coarse grid has in its place. Outside of that, nothing is left.

    Returns
    -------
    ndarray
        ppm of the main field.

    Examples
    --------
    >>> tube_field(np.array([4.0, 0.25]), np.array([2.0, 0.0]), 0.0, 1.0, 0.4).round(4).tolist()
    [0.05, -0.0667]
    >>> tube_field(np.array([4.0]), np.array([2.0]), 0.0, 1.0, 0.4, blurred=1.5).tolist()
    [0.0]
    """
    inside = chi / 6 * (3 * cosine**2 - 1)
    outside = chi / 2 * radius**2 / square * (2 * across**2 / square - (1 - cosine**2))
    field = np.where(square < radius**2, inside, outside)
    if blurred is None:
        return field
    return np.where(square < blurred**2, field - inside * (radius / blurred) ** 2, 0)


def shim(field: np.ndarray, weight: np.ndarray, order: int = 2) -> np.ndarray:
    """Take away what a scanner's shim coils can: polynomials up to an order.

    Parameters
    ----------
    field : ndarray, shape (nx, ny, nz)
        To be shimmed.
    weight : ndarray, shape (nx, ny, nz)
        Where it is to become even: share of brain.
    order : int
        1 for linear shims, 2 for second order.

    Returns
    -------
    ndarray of float32
        The field left.
    """
    axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in field.shape]
    powers = [p for p in np.ndindex(order + 1, order + 1, order + 1) if sum(p) <= order]
    some = tuple(slice(None, None, max(1, n // 48)) for n in field.shape)
    mesh = np.meshgrid(*[a[s] for a, s in zip(axes, some, strict=True)], indexing='ij')
    design = np.stack([mesh[0] ** a * mesh[1] ** b * mesh[2] ** c for a, b, c in powers], axis=-1)
    where = weight[some] > 0.5
    fitted, *_ = np.linalg.lstsq(design[where].astype(float), field[some][where], rcond=None)
    left = field.copy()
    for (a, b, c), factor in zip(powers, fitted, strict=True):
        left -= np.float32(factor) * (
            (axes[0] ** a)[:, None, None] * (axes[1] ** b)[:, None] * (axes[2] ** c)
        )
    return left


def field_map(scene: Scene) -> np.ndarray:
    """Compute the field in the head as it lies at this visit, after shimming.

    Parameters
    ----------
    scene : Scene
        The head; the main field is along z of the scanner.

    Returns
    -------
    ndarray of float32, shape of the head's grid
        Deviation from the main field, ppm.
    """
    direction = turn(scene.rotation).T @ [0, 0, 1]
    spacing = np.diag(scene.affine)[:3]
    field = dipole_field(susceptibility(scene), spacing, direction)
    return shim(field, scene.anatomy.intracranial)
