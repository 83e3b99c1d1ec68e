"""Does the phase grow or fall with the field, and does it belong to its magnitude?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

#: Dark voxels: this share of the brain, the darkest against what surrounds them.
DARKEST = 0.005
#: Contrast of susceptibility (ppm) from which on a witness is believed.
CLEAR_PPM = 0.012
#: A witness that is clearer by this factor is believed against the other.
CLEARER = 3.0
#: Width (mm) of what surrounds a voxel.
AROUND_MM = 4.0


@dataclass(frozen=True)
class Sign:
    """Convention of the phase.

    Attributes
    ----------
    sign : int
        1 if it grows with the field, -1 if it falls; 1 where nothing tells.
    known : bool
        Whether anything tells.
    deep_ppm, dark_ppm : float or None
        Susceptibility of the pallidum, and of dark voxels, over what surrounds them, as the
        phase is stored.
    """

    sign: int
    known: bool
    deep_ppm: float | None
    dark_ppm: float | None


def phase_sign(
    chi: np.ndarray,
    magnitude: np.ndarray,
    mask: np.ndarray,
    pallidum: np.ndarray,
    voxel_mm: np.ndarray,
) -> Sign:
    """Find the convention of the phase from what is surely paramagnetic.

    Iron of the pallidum, and what is dark against its surroundings (veins, iron, bleeds), have
    more susceptibility than the tissue around.

    Parameters
    ----------
    chi : ndarray
        Susceptibility as the stored phase gives it, ppm; rough will do.
    magnitude : ndarray
        Magnitude.
    mask : ndarray of bool
        Where ``chi`` is known.
    pallidum : ndarray of bool
        Pallidum of both sides; may be empty.
    voxel_mm : ndarray, shape (3,)
        Voxel size.

    Returns
    -------
    Sign
        That of the witnesses; if they contradict each other, that of the clearer one, which is
        known only if it is clearer by far.
    """
    sigma = AROUND_MM / np.asarray(voxel_mm)
    share = np.maximum(ndi.gaussian_filter(mask.astype(np.float32), sigma), 1e-3)

    def contrast(data):
        return (
            data - ndi.gaussian_filter(np.where(mask, data, 0).astype(np.float32), sigma) / share
        )

    deep = None
    inside = pallidum & mask
    if inside.sum() >= 20:
        around = ndi.binary_dilation(pallidum, iterations=max(1, round(6 / min(voxel_mm))))
        around &= mask & ~ndi.binary_dilation(pallidum, iterations=2)
        if around.any():
            deep = float(np.median(chi[inside]) - np.median(chi[around]))
    core = ndi.binary_erosion(mask, iterations=max(1, round(3 / min(voxel_mm))))
    dark = None
    if core.sum() > 2000:
        relative = contrast(magnitude / max(float(np.median(magnitude[mask])), 1e-9))
        limit = np.quantile(relative[core], DARKEST)
        dark = float(np.mean(contrast(chi)[core & (relative <= limit)]))
    clear = [value for value in (deep, dark) if value is not None and abs(value) >= CLEAR_PPM]
    if not clear:
        return Sign(1, False, deep, dark)
    strongest = max(clear, key=abs)
    agree = all(v * strongest > 0 or CLEARER * abs(v) < abs(strongest) for v in clear)
    return Sign(1 if strongest > 0 else -1, agree, deep, dark)


def slice_offset(
    magnitude: np.ndarray,
    phase: np.ndarray,
    axis: int,
    most: int = 3,
    known: np.ndarray | None = None,
) -> int:
    """Find by how many slices a phase is shifted against its magnitude.

    Where there is signal, the phases of neighbours agree; in air they do not.

    Parameters
    ----------
    magnitude, phase : ndarray, shape (nx, ny, nz)
        Of one echo; rad.
    axis : int
        Axis of the slices.
    most : int
        Largest shift that is looked for.
    known : ndarray of bool, optional
        Where the phase is known; what was blanked (air, mostly) does not count as agreement.

    Returns
    -------
    int
        0 where both fit.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> signal = np.zeros((24, 24, 24), bool)
    >>> signal[6:18, 6:18, 4:15] = True
    >>> phase = np.where(signal, 0.3, rng.uniform(-np.pi, np.pi, signal.shape))
    >>> magnitude = signal * 100.0 + rng.uniform(0, 3, signal.shape)
    >>> slice_offset(magnitude, phase, 2), slice_offset(magnitude, np.roll(phase, 2, 2), 2)
    (0, 2)
    """
    turned = np.exp(1j * phase)
    size = [3, 3, 3]
    size[axis] = 1
    same = np.hypot(
        ndi.uniform_filter(turned.real, size), ndi.uniform_filter(turned.imag, size)
    ).astype(np.float32)
    if known is not None:
        same *= known
    strong = np.minimum(magnitude / max(float(np.quantile(magnitude, 0.9)), 1e-9), 0.3)
    same, strong = np.moveaxis(same, axis, 0), np.moveaxis(strong, axis, 0)
    scores = {}
    for shift in range(-most, most + 1):
        moved = same[max(shift, 0) : len(same) + min(shift, 0)]
        still = strong[max(-shift, 0) : len(same) + min(-shift, 0)]
        scores[shift] = float(np.corrcoef(moved[::1].ravel(), still.ravel())[0, 1])
    best = max(scores, key=lambda shift: scores[shift])
    return best if scores[best] > scores[0] + 0.02 else 0
