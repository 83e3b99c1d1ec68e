"""Susceptibility of a local field, smooth but for edges."""

from __future__ import annotations

import numpy as np

from csvdprep.science.dipole import Space


def total_variation(
    field: np.ndarray,
    weight: np.ndarray,
    space: Space,
    *,
    strength: float,
    rounds: int = 50,
    ratio: float = 100.0,
) -> np.ndarray:
    """Find the susceptibility whose field fits, and whose total variation is least.

    Minimises half the weighted square of what the field is off plus ``strength`` times the sum
    over voxels of the sizes of the three differences, by alternating directions of multipliers.

    Parameters
    ----------
    field : ndarray
        Local field, ppm.
    weight : ndarray
        Of the field, 0 where it is not known; squared it should average 1 over the mask.
    space : Space
        Grid.
    strength : float
        Weight of the total variation, ppm.
    rounds : int
        Iterations.
    ratio : float
        Penalty of the splitting of the gradient over ``strength``.

    Returns
    -------
    ndarray of float32
        ppm.

    References
    ----------
    Bilgic et al. 2014, doi:10.1002/mrm.25029; Milovic et al. 2018, doi:10.1002/mrm.27073.
    """
    kernel = space.dipole()
    edge, data = np.float32(ratio * strength), np.float32(1.0)
    curve = space.laplacian()
    below = edge * curve + data * kernel**2
    below.reshape(-1)[0] = 1
    square = np.square(weight, dtype=np.float32)
    shape, voxel = space.padded, space.voxel_mm
    inside = tuple(slice(n) for n in field.shape)
    w2 = np.zeros(shape, np.float32)
    w2[inside] = square
    known = np.zeros(shape, np.float32)
    known[inside] = square * field
    fit = known / (w2 + data)
    fit_off = np.zeros(shape, np.float32)
    edges = [np.zeros(shape, np.float32) for _ in range(3)]
    edges_off = [np.zeros(shape, np.float32) for _ in range(3)]
    from scipy import fft as _fft

    chi = np.zeros(shape, np.float32)
    limit = np.float32(1 / ratio)
    for _ in range(rounds):
        down = np.zeros(shape, np.float32)
        for axis in range(3):
            part = edges[axis] - edges_off[axis]
            down += (np.roll(part, 1, axis) - part) / np.float32(voxel[axis])
        top = edge * _fft.rfftn(down, shape, overwrite_x=True)
        top += data * kernel * _fft.rfftn(fit - fit_off, shape, overwrite_x=True)
        spectrum = top / below
        made = _fft.irfftn(spectrum * kernel, shape, overwrite_x=True)
        chi = _fft.irfftn(spectrum, shape, overwrite_x=True)
        for axis in range(3):
            slope = (np.roll(chi, -1, axis) - chi) / np.float32(voxel[axis])
            moved = slope + edges_off[axis]
            edges[axis] = np.sign(moved) * np.maximum(np.abs(moved) - limit, 0)
            edges_off[axis] = moved - edges[axis]
        fit = (known + data * (made + fit_off)) / (w2 + data)
        fit_off += made - fit
    return chi[inside]
