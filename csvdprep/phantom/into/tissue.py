"""What a scan shows of each tissue where it is normal, and its noise and sharpness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from csvdprep.phantom.geometry.fields import resize

#: Share of a tissue from which on a voxel tells of it.
PURE = 0.9
#: Standard deviation of the neighbourhood whose tissue a voxel is compared with, mm.
NEAR_MM = 8.0
#: The field is computed on steps of about so many mm.
STEP_MM = 2.0
#: Texture coarser than this is no noise, mm.
COARSE_MM = 2.5
#: Blur of the in-plane resolution that is believed, in voxels.
MOST_BLUR = 1.2


@dataclass(frozen=True, eq=False)
class Tissue:
    """Normal tissue of a scan.

    Attributes
    ----------
    levels : dict of str to ndarray of float32
        Signal of pure ``gm``, ``wm``, ``csf`` around each voxel, bias of the coil included.
    shares : dict of str to ndarray of float32
        How much of each voxel is that tissue.
    brain : ndarray of bool
        Voxels at least half of which lie within the brain's mask.
    expected : ndarray of float32
        Signal that the tissues would give without noise.
    noise : float
        Standard deviation of the fine residual in white matter, relative to its signal.
    blur_mm : float
        Standard deviation of the in-plane blur that the correlation of the residual tells.
    """

    levels: dict[str, np.ndarray]
    shares: dict[str, np.ndarray]
    brain: np.ndarray
    expected: np.ndarray
    noise: float
    blur_mm: float

    @property
    def white(self) -> np.ndarray:
        """Signal of white matter around each voxel."""
        return self.levels['wm']


def learn(image: np.ndarray, shares: dict[str, np.ndarray], unusual, voxel_mm) -> Tissue:
    """Learn the levels of normal tissue from a scan.

    Parameters
    ----------
    image : ndarray, shape (I, J, K)
        The scan, as stored.
    shares : dict of str to ndarray
        How much of each voxel is ``gm``, ``wm``, ``csf``.
    unusual : ndarray of bool
        Voxels that tell nothing of normal tissue: lesions.
    voxel_mm : sequence of float, shape (3,)
        Voxel size.

    Returns
    -------
    Tissue

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> white = np.zeros((30, 30, 8)); white[:15] = 1
    >>> parts = {'wm': white, 'gm': 1 - white, 'csf': np.zeros(white.shape)}
    >>> scan = 100 * white + 120 * (1 - white) + rng.normal(0, 2, white.shape)
    >>> found = learn(scan, parts, white < 0, (1, 1, 3))
    >>> round(float(np.median(found.levels['wm']))), bool(0.015 < found.noise < 0.025)
    (100, True)
    """
    image = np.asarray(image, np.float32)
    voxel_mm = np.asarray(voxel_mm, float)
    brain = sum(shares.values()) > 0.5
    levels = {}
    for name, share in shares.items():
        pure = (share > PURE) & ~unusual
        if pure.sum() < 50:
            pure = (share > 0.6) & ~unusual
        values = image[pure]
        if values.size < 20:
            continue
        centre = float(np.median(values))
        spread = 1.4826 * float(np.median(np.abs(values - centre)))
        pure &= np.abs(image - centre) < 3 * spread + 0.05 * centre
        levels[name] = _around(image, pure, centre, voxel_mm)
    # A scan without a tissue (a slab, say) gets the nearest guess: it is drawn nowhere.
    rest = next(iter(levels.values())) if levels else np.zeros_like(image)
    levels = {name: levels.get(name, rest) for name in shares}
    weight = np.maximum(sum(shares.values()), 1e-6)
    expected = sum(shares[name] * levels[name] for name in shares) / weight
    noise, blur = _noise(image, (shares['wm'] > PURE) & ~unusual, levels['wm'], voxel_mm)
    return Tissue(levels, shares, brain, expected.astype(np.float32), noise, blur)


def _around(image, where, centre: float, voxel_mm) -> np.ndarray:
    """Average over the neighbourhood, drawn towards the overall level where little is near."""
    step = np.maximum(1, np.round(STEP_MM / voxel_mm)).astype(int)
    some = tuple(slice(None, None, int(s)) for s in step)
    sigma = NEAR_MM / (voxel_mm * step)
    weight = ndi.gaussian_filter(where[some].astype(np.float32), sigma, truncate=3)
    value = ndi.gaussian_filter(
        np.where(where[some], image[some] - centre, 0).astype(np.float32), sigma, truncate=3
    )
    coarse = centre + value / (weight + 0.01)
    # The last samples of a strided axis lie before its end: let them meet.
    grown = [(n - 1) * s + 1 for n, s in zip(coarse.shape, step, strict=True)]
    fine = resize(coarse, grown)
    pad = [(0, full - n) for full, n in zip(image.shape, grown, strict=True)]
    return np.pad(fine, pad, mode='edge').astype(np.float32)


def _noise(image, where, white, voxel_mm) -> tuple[float, float]:
    """Return the standard deviation of the fine residual and the blur that it tells of."""
    if where.sum() < 100:
        return 0.0, 0.0
    axis = int(np.argmax(np.round(voxel_mm, 3)))
    sigma = COARSE_MM / np.asarray(voxel_mm, float)
    sigma[axis] = 0
    weight = ndi.gaussian_filter(where.astype(np.float32), sigma) + 1e-3
    fine = np.where(where, image / np.maximum(white, 1e-6), 0).astype(np.float32)
    fine = np.where(where, fine - ndi.gaussian_filter(fine, sigma) / weight, 0)
    sd = float(fine[where].std())
    if sd == 0:
        return 0.0, 0.0
    found = []
    for along in (a for a in range(3) if a != axis):
        both = where & np.roll(where, 1, along)
        pair = fine[both] * np.roll(fine, 1, along)[both]
        rho = float(np.clip(pair.mean() / fine[both].var(), 0, 0.95))
        # Noise that was blurred by a Gaussian has exp(-d² / 4 s²) for its correlation.
        blur = voxel_mm[along] / (2 * np.sqrt(-np.log(rho))) if rho > 0.01 else 0.0
        found.append(min(blur, MOST_BLUR * voxel_mm[along]))
    return sd, float(np.mean(found))
