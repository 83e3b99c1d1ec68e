"""Slices, noise, coil and brain mask of a patient's image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from csvdprep.phantom.geometry.fields import smooth_noise
from csvdprep.phantom.scanner.scan import rician


@dataclass(frozen=True, kw_only=True)
class Slices:
    """How a volume is cut: voxels of the head's grid that make a slice, and that make a gap."""

    thick: int = 1
    gap: int = 0

    def see(self, volume: np.ndarray) -> np.ndarray:
        """Average a volume over each slice; the last axis is the slices'.

        Examples
        --------
        >>> Slices(thick=2, gap=1).see(np.arange(7.0).reshape(1, 1, 7))[0, 0].tolist()
        [0.5, 3.5]
        """
        if self.thick == 1 and not self.gap:
            return volume
        period = self.thick + self.gap
        count = (volume.shape[-1] + self.gap) // period
        starts = np.arange(count) * period
        return np.mean([volume[..., starts + k] for k in range(self.thick)], axis=0)

    def voxel_mm(self, step: float) -> tuple[float, float, float]:
        """Return the distance of voxels, mm."""
        return (step, step, step * (self.thick + self.gap))

    def affine(self, affine: np.ndarray) -> np.ndarray:
        """Return the grid of the slices, from that of the head."""
        out = affine.copy()
        out[:3, 3] = affine[:3, :3] @ [0, 0, (self.thick - 1) / 2] + affine[:3, 3]
        out[:3, 2] *= self.thick + self.gap
        return out


def record(
    volume: np.ndarray,
    slices: Slices,
    step: float,
    rng,
    *,
    noise: float,
    bias: float = 0.0,
    slice_gain: float = 0.0,
) -> np.ndarray:
    """Scan a volume.

    Parameters
    ----------
    volume : ndarray, shape (nx, ny, nz)
        Signal; white matter is 1.
    slices : Slices
        How it is cut.
    step : float
        Voxel size of ``volume``, mm.
    rng : numpy.random.Generator
        Of all that is random.
    noise : float
        SD of the noise, relative to white matter.
    bias : float
        SD of a slow variation (45 mm) left by the correction of the coil.
    slice_gain : float
        SD of the slices' own gain.

    Returns
    -------
    ndarray of float32
        White matter is about 300.
    """
    seen = slices.see(volume)
    gain = np.ones(seen.shape, np.float32)
    if bias:
        gain += (
            bias * smooth_noise(seen.shape, 1.0, rng)
            if min(seen.shape) < 4
            else (bias * slices.see(smooth_noise(volume.shape, 45 / 2.355 / step, rng)))
        )
    if slice_gain:
        gain *= 1 + slice_gain * rng.standard_normal(seen.shape[2], dtype=np.float32)
    return 300 * rician((seen * gain).astype(np.float32), noise, rng)


def brain_mask(inside: np.ndarray, step: float, rng, *, rough_mm: float = 1.0) -> np.ndarray:
    """Return a brain mask as tools give it: smooth, its border some mm off here and there.

    Parameters
    ----------
    inside : ndarray, shape (nx, ny, nz)
        Share of each voxel inside the skull.
    step : float
        Voxel size, mm.
    rng : numpy.random.Generator
        Of the border.
    rough_mm : float
        SD of the border's place, mm.

    Returns
    -------
    ndarray of bool
    """
    brain = inside > 0.5
    depth = ndi.distance_transform_edt(brain) - ndi.distance_transform_edt(~brain)
    return depth * step + rough_mm * smooth_noise(brain.shape, 10 / step, rng) > 0.5
