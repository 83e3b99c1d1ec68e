"""Susceptibility and the field that it makes: convolution with dipoles, and with spheres.

All fields are relative (ppm of the main field), all kernels periodic on a padded grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import fft

#: Sizes of transforms are rounded up to what is fast; this much (mm) is left around the mask.
MARGIN_MM = 14.0


class Space:
    """A padded grid on which fields are transformed.

    Parameters
    ----------
    shape : tuple of int
        Of the images.
    voxel_mm : sequence of float
        Voxel size, mm.
    b0 : sequence of float
        Direction of the main field in voxel axes, unit length.
    margin_mm : float
        Empty border between the images' periodic copies.

    Examples
    --------
    >>> space = Space((10, 10, 10), (1, 1, 1), (0, 0, 1), margin_mm=2)
    >>> data = np.random.default_rng(0).normal(size=(10, 10, 10)).astype('f4')
    >>> np.allclose(space.back(space.forth(data)), data, atol=1e-5)
    True
    """

    def __init__(
        self,
        shape: Sequence[int],
        voxel_mm: Sequence[float],
        b0: Sequence[float],
        margin_mm: float = MARGIN_MM,
    ):
        self.shape = tuple(shape)
        self.voxel_mm = np.asarray(voxel_mm, float)
        self.b0 = np.asarray(b0, float) / np.linalg.norm(b0)
        sizes = [
            n + int(np.ceil(margin_mm / v)) for n, v in zip(shape, self.voxel_mm, strict=True)
        ]
        self.padded = tuple(fft.next_fast_len(n, real=True) for n in sizes)

    def forth(self, data: np.ndarray) -> np.ndarray:
        """Transform an image of the original shape; complex64."""
        return fft.rfftn(np.asarray(data, np.float32), self.padded, overwrite_x=False)

    def back(self, spectrum: np.ndarray) -> np.ndarray:
        """Transform back, and cut to the original shape; float32."""
        whole = fft.irfftn(spectrum, self.padded, overwrite_x=True)
        return whole[tuple(slice(n) for n in self.shape)]

    def frequencies(self) -> list[np.ndarray]:
        """Return the frequencies along the three axes, 1/mm, ready to be broadcast."""
        last = len(self.padded) - 1
        out = []
        for axis, (n, v) in enumerate(zip(self.padded, self.voxel_mm, strict=True)):
            k = fft.rfftfreq(n, v) if axis == last else fft.fftfreq(n, v)
            shape = [1] * len(self.padded)
            shape[axis] = len(k)
            out.append(k.reshape(shape).astype(np.float32))
        return out

    def dipole(self) -> np.ndarray:
        """Return the kernel from susceptibility to field: 1/3 - (k.B0)²/k², 0 at the origin."""
        kx, ky, kz = self.frequencies()
        square = kx**2 + ky**2 + kz**2
        along = self.b0[0] * kx + self.b0[1] * ky + self.b0[2] * kz
        square.reshape(-1)[0] = 1
        kernel = (1 / 3 - along**2 / square).astype(np.float32)
        kernel.reshape(-1)[0] = 0
        return kernel

    def laplacian(self) -> np.ndarray:
        """Return the kernel of minus the sum of second differences, per axis over its voxel²."""
        total = np.zeros(1, np.float32)
        for k, v in zip(self.frequencies(), self.voxel_mm, strict=True):
            total = total + ((2 - 2 * np.cos(2 * np.pi * k * v)) / v**2).astype(np.float32)
        return total

    def sphere(self, radius_mm: float) -> np.ndarray:
        """Return the kernel of the mean over a sphere (its transform is known in closed form)."""
        kx, ky, kz = self.frequencies()
        q = (2 * np.pi * radius_mm) * np.sqrt(kx**2 + ky**2 + kz**2)
        q = np.maximum(q, 1e-3)
        return (3 * (np.sin(q) - q * np.cos(q)) / q**3).astype(np.float32)


def main_field_axes(affine: np.ndarray) -> np.ndarray:
    """Return the direction of the main field (scanner's z) in the axes of voxels, unit length.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        Voxel to world, RAS+ mm; may be oblique.

    Examples
    --------
    >>> main_field_axes(np.diag([1.0, 1, -2, 1])).tolist()
    [0.0, 0.0, -1.0]
    """
    linear = np.asarray(affine)[:3, :3]
    axes = linear / np.linalg.norm(linear, axis=0)
    along = axes.T @ np.array([0.0, 0, 1])
    return along / np.linalg.norm(along) + 0.0


def forward(chi: np.ndarray, space: Space) -> np.ndarray:
    """Compute the field of a susceptibility distribution.

    Parameters
    ----------
    chi : ndarray
        ppm.
    space : Space
        Its grid.

    Returns
    -------
    ndarray of float32
        Relative change of the field, ppm.

    References
    ----------
    Marques and Bowtell 2005, doi:10.1002/cmr.b.20034.
    """
    return space.back(space.forth(chi) * space.dipole())


def threshold_division(
    field: np.ndarray, mask: np.ndarray, space: Space, threshold: float = 0.19
) -> np.ndarray:
    """Invert a field by division, the kernel held off zero (TKD).

    Parameters
    ----------
    field : ndarray
        Local field, ppm.
    mask : ndarray of bool
        Where it is known.
    space : Space
        Its grid.
    threshold : float
        Least size of the kernel.

    Returns
    -------
    ndarray of float32
        ppm, corrected for what the threshold takes from a point.

    References
    ----------
    Shmueli et al. 2009, doi:10.1002/mrm.22135; Schweser et al. 2013, doi:10.1002/mrm.24405.
    """
    kernel = space.dipole()
    inverse = np.where(
        np.abs(kernel) > threshold,
        1 / np.where(kernel == 0, 1, kernel),
        np.sign(kernel) / threshold,
    ).astype(np.float32)
    loss = float((inverse * kernel).mean())
    return space.back(space.forth(field * mask) * inverse) * mask / np.float32(loss)
