"""White matter hyperintensities with soft borders, of known height and extent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from csvdprep.phantom.disease.hyperintensities import lesion_growth
from csvdprep.phantom.geometry.fields import smooth_noise
from csvdprep.phantom.head.anatomy import Anatomy


@dataclass(frozen=True, kw_only=True)
class Lesions:
    """Hyperintensities of a head.

    Attributes
    ----------
    height : ndarray of float32, shape (nx, ny, nz)
        Share of a lesion's full contrast that a voxel shows, 0 to 1.
    lining : ndarray of float32
        The same of the thin bright lining of the ventricles, which is no lesion.
    """

    height: np.ndarray
    lining: np.ndarray


def no_lesions(anatomy: Anatomy) -> Lesions:
    """Return a head without lesions."""
    nothing = np.zeros(anatomy.fractions['wm'].shape, np.float32)
    return Lesions(height=nothing, lining=nothing)


def grown(
    anatomy: Anatomy,
    seed: int,
    volume_ml: float,
    *,
    softness_mm: float = 0.0,
    lining_mm: float = 0.0,
    mottle: float = 0.15,
) -> Lesions:
    """Let lesions grow around the ventricles and in the deep white matter.

    Parameters
    ----------
    anatomy : Anatomy
        The head.
    seed : int
        Decides where.
    volume_ml : float
        Volume above half of the full contrast, about, mL.
    softness_mm : float
        SD of the border's slope, mm; 0 for a sharp border.
    lining_mm : float
        Thickness of the lining of the ventricles, mm.
    mottle : float
        SD of the contrast within lesions, relative.

    Returns
    -------
    Lesions

    Examples
    --------
    >>> from csvdprep.phantom.head.anatomy import make_anatomy
    >>> head = make_anatomy(1, spacing=4)
    >>> found = grown(head, 1, 20, softness_mm=2, mottle=0)
    >>> bool(12 < (found.height > 0.5).sum() * head.voxel_ml < 24)
    True
    """
    rng = np.random.default_rng([seed, 191])
    step = anatomy.affine[0, 0]
    share = lesion_growth(anatomy, seed).fraction(volume_ml)
    height = soften(share, anatomy, softness_mm)
    if mottle:
        height = height * (1 + mottle * smooth_noise(share.shape, 3 / step, rng))
    return Lesions(height=np.clip(height, 0, 1.5), lining=lining(anatomy, lining_mm, rng))


def hills(
    anatomy: Anatomy, sigma_mm: tuple[float, ...], places=((26, -12, 30), (-28, -34, 26))
) -> Lesions:
    """Put Gaussian hills of brightness into the white matter: lesions without a border.

    Parameters
    ----------
    anatomy : Anatomy
        The head.
    sigma_mm : tuple of float
        SD of each, mm.
    places : sequence
        Their centres in the template, mm.

    Returns
    -------
    Lesions
        Truth is where the height is above half.

    Examples
    --------
    >>> from csvdprep.phantom.head.anatomy import make_anatomy
    >>> float(hills(make_anatomy(1, spacing=4), (12.0, 16.0)).height.max()) > 0.8
    True
    """
    white = anatomy.fractions['wm']
    grid = np.meshgrid(
        *[
            np.arange(n) * anatomy.affine[i, i] + anatomy.affine[i, 3]
            for i, n in enumerate(white.shape)
        ],
        indexing='ij',
        sparse=True,
    )
    height = np.zeros(white.shape, np.float32)
    for sigma, centre in zip(sigma_mm, anatomy.to_head(np.asarray(places, float)), strict=False):
        away = sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True))
        height = np.maximum(height, np.exp(-away / (2 * sigma**2)))
    height = (height * white).astype(np.float32)
    return Lesions(height=height, lining=np.zeros_like(height))


def band(anatomy: Anatomy, low_mm: float, high_mm: float) -> Lesions:
    """Fill white matter between two distances from the ventricles.

    Examples
    --------
    >>> from csvdprep.phantom.head.anatomy import make_anatomy
    >>> head = make_anatomy(1, spacing=4)
    >>> bool(10 < (band(head, 2, 10).height > 0.5).sum() * head.voxel_ml < 150)
    True
    """
    steps = np.diag(anatomy.affine)[:3]
    away = ndi.distance_transform_edt(anatomy.regions['ventricles'] < 0.5, sampling=steps)
    inside = (away >= low_mm) & (away <= high_mm)
    height = (anatomy.regions['lesion_site'] * inside).astype(np.float32)
    return Lesions(height=height, lining=np.zeros_like(height))


def soften(share: np.ndarray, anatomy: Anatomy, width_mm: float) -> np.ndarray:
    """Give lesions a slope instead of a border: half of their height is where the border was.

    Parameters
    ----------
    share : ndarray, shape (nx, ny, nz)
        Share of each voxel that is lesion.
    anatomy : Anatomy
        The head; lesions stay in its white matter.
    width_mm : float
        SD of the slope, mm; no more than half the depth of the lesion there.

    Returns
    -------
    ndarray of float32, shape (nx, ny, nz)
    """
    inside = share > 0.5
    if width_mm <= 0 or not inside.any():
        return share
    steps = np.diag(anatomy.affine)[:3]
    depth = ndi.distance_transform_edt(inside, sampling=steps)
    away, nearest = ndi.distance_transform_edt(~inside, sampling=steps, return_indices=True)
    reach = 2 * int(np.ceil(width_mm / steps[0])) + 1
    local = ndi.maximum_filter(depth, size=reach)[tuple(nearest)]
    width = np.minimum(width_mm, local / 2) / 1.7
    signed = np.where(inside, depth, -away) - np.where(inside, 1, -1) * steps[0] / 2
    height = ndi.gaussian_filter(1 / (1 + np.exp(-signed / np.maximum(width, 0.3))), 0.4)
    return (anatomy.fractions['wm'] * height * (height > 0.02)).astype(np.float32)


def lining(anatomy: Anatomy, thickness_mm: float, rng) -> np.ndarray:
    """Return the thin bright lining of the ventricles, thicker in places, as shares."""
    white = anatomy.fractions['wm']
    if thickness_mm <= 0:
        return np.zeros_like(white)
    steps = np.diag(anatomy.affine)[:3]
    away = ndi.distance_transform_edt(anatomy.regions['ventricles'] < 0.5, sampling=steps)
    uneven = thickness_mm * (1 + 0.4 * smooth_noise(white.shape, 8 / steps[0], rng))
    return (white * np.clip(uneven - away + steps[0] / 2, 0, 1)).astype(np.float32)
