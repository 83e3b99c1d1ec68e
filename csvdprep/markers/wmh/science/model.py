"""What a FLAIR without lesions would look like, and how far each voxel is above that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from csvdprep.core.errors import MeasureError
from csvdprep.markers.wmh.science.denoise import total_variation
from csvdprep.markers.wmh.science.level import LEAST_VOXELS, NormalTissue, find_normal
from csvdprep.science.normalise import MAD_TO_SD, PURE, brain_mode, smooth, smooth_within

#: Uncertainty of place of the warped atlas, mm: the SD by which its maps are blurred.
ATLAS_BLUR_MM = 2.0
#: Share of grey matter in the tissue of the atlas within reach from which a grey voxel is believed
#: as it is; below, the deeper in white matter, the likelier a lesion that is dark on T1w.
BELIEVED_GREY = 0.5
#: Strength of the denoising: the noise of the excess is about 1 by construction, and total
#: variation of 0.7 SD removes white noise of that size without touching larger steps.
DENOISE = 0.7
#: Excess is taken as no lower and no higher than this before denoising, SD.
RANGE = (-6.0, 40.0)
#: Over how far CSF is bridged before denoising, mm, so that it does not pull at its neighbours.
BRIDGE_MM = 1.5
#: Smoothing of the effect of uncertain grey matter, mm.
DOUBT_MM = 0.7


@dataclass(frozen=True)
class Excess:
    """Brightness above normal, on the grid of the FLAIR.

    Parameters
    ----------
    contrast : ndarray of float32
        Denoised excess as a share of the level of normal white matter; 0 in CSF and outside.
    grey : ndarray of float32
        Probability of grey matter after doubting it where none belongs.
    white : ndarray of float32
        Probability of white matter, lesions included.
    tissue : ndarray of bool
        Brain that is not as dark as CSF.
    shift : ndarray of float32
        How ``contrast`` changes if the share of grey matter is taken as less certain: for the
        range of the volume.
    noise : float
        SD of ``contrast`` in normal white matter.
    normal : NormalTissue
        Levels and field.

    """

    contrast: np.ndarray
    grey: np.ndarray
    white: np.ndarray
    tissue: np.ndarray
    shift: np.ndarray
    noise: float
    normal: NormalTissue

    @property
    def z(self) -> np.ndarray:
        """Excess in SD of normal white matter."""
        return self.contrast * np.float32(self.normal.white / self.normal.spread)


def lesion_proof_tissue(
    csf: np.ndarray,
    gm: np.ndarray,
    dark: np.ndarray,
    mask: np.ndarray,
    voxel_mm,
    atlas: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Doubt tissue labels that a lesion may have caused.

    A lesion is dark on T1w, so that a classification takes it for grey matter or CSF. Grey
    matter is believed only as far as the atlas has it within reach; CSF only where the
    FLAIR is dark.

    Parameters
    ----------
    csf, gm : ndarray of float, shape (I, J, K)
        Tissue probabilities.
    dark : ndarray of bool
        FLAIR nearer to CSF than to white matter.
    mask : ndarray of bool
        Brain.
    voxel_mm : sequence of 3 float
        Voxel size, mm.
    atlas : ndarray of float, shape (3, I, J, K), optional
        CSF, GM and WM of the warped atlas. Without it grey matter is believed as it is.

    Returns
    -------
    grey, white : ndarray of float32, shape (I, J, K)
        Probabilities; what is neither is CSF.

    Examples
    --------
    >>> grey = np.zeros((9, 9, 9)); grey[3:6, 3:6, 3:6] = 1
    >>> no = np.zeros((9, 9, 9), bool)
    >>> atlas = np.stack([no * 0.0, no * 0.0, no + 1.0])
    >>> g, w = lesion_proof_tissue(no * 0.0, grey, no, ~no, (1, 1, 1), atlas=atlas)
    >>> float(g.max()), float(w.min())
    (0.0, 1.0)

    """
    grey = np.asarray(gm, dtype=np.float32) * mask
    if atlas is not None:
        near_grey, near_white = (smooth(atlas[k], voxel_mm, ATLAS_BLUR_MM) for k in (1, 2))
        share = near_grey / np.maximum(near_grey + near_white, 1e-3)
        grey = grey * np.clip(share / BELIEVED_GREY, 0, 1)
    fluid = np.asarray(csf, dtype=np.float32) * dark
    white = np.clip(1 - grey - fluid, 0, 1) * mask
    return grey, white.astype(np.float32)


def excess_over_normal(
    flair: np.ndarray,
    mask: np.ndarray,
    csf: np.ndarray,
    gm: np.ndarray,
    wm: np.ndarray,
    voxel_mm,
    *,
    atlas: np.ndarray | None = None,
    healthy: np.ndarray | None = None,
) -> Excess:
    r"""Compare a FLAIR with what the tissue of each voxel would show without a lesion.

    .. math:: c = T_\lambda \frac{F / (b (1 + p_W h)) - p_W \mu_W - p_G \mu_G - p_C \mu_C}{\mu_W}

    with :math:`b` the slow variation of normal-appearing white matter, :math:`h` the brightness
    that healthy white matter has in this place, and :math:`T` denoising by total
    variation. Where grey and white matter meet, the expectation is a mixture of both: partial
    volume of cortex is expected, not a finding.

    Parameters
    ----------
    flair : ndarray, shape (I, J, K)
        Bias-corrected FLAIR.
    mask : ndarray, shape (I, J, K)
        Brain.
    csf, gm, wm : ndarray of float, shape (I, J, K)
        Tissue probabilities on the grid of the FLAIR.
    voxel_mm : sequence of 3 float
        Voxel size, mm.
    atlas : ndarray of float, shape (3, I, J, K), optional
        CSF, GM and WM of the template, warped.
    healthy : ndarray of float, shape (I, J, K), optional
        How much brighter than its level white matter is in healthy people, as a share.

    Returns
    -------
    Excess
        See there.

    Raises
    ------
    csvdprep.core.errors.MeasureError
        If the mask is empty or the FLAIR has no contrast in it.

    Notes
    -----
    The idea of outliers of tissue classes follows [1]_.

    References
    ----------
    .. [1] Schmidt P. et al. (2012) An automated tool for detection of FLAIR-hyperintense
       white-matter lesions in Multiple Sclerosis. doi:10.1016/j.neuroimage.2011.11.032

    """
    image = np.asarray(flair, dtype=np.float32)
    brain = np.asarray(mask) > 0
    dark = image < dark_below(image, brain, csf)
    grey, white = lesion_proof_tissue(csf, gm, dark, brain, voxel_mm, atlas)
    fluid = np.clip(1 - grey - white, 0, 1) * brain
    if healthy is not None:
        image = image / (1 + white * healthy)
    normal = find_normal(image, brain, grey, white, fluid, voxel_mm)
    expected = white * normal.white + grey * normal.grey + fluid * normal.fluid
    tissue = brain & (normal.image >= (normal.white + normal.fluid) / 2)
    excess = np.clip((normal.image - expected) / normal.spread, *RANGE).astype(np.float32)
    bridged = np.where(tissue, excess, smooth_within(excess, tissue, voxel_mm, BRIDGE_MM))
    scale = np.float32(normal.spread / normal.white)
    contrast = total_variation(bridged, voxel_mm, DENOISE) * tissue * scale
    doubt = grey * (1 - grey) * (normal.grey / normal.white - 1)
    shift = smooth_within(doubt, tissue, voxel_mm, DOUBT_MM) * tissue
    calm = brain & (white > PURE) & (np.asarray(wm) > PURE) & ~normal.candidates
    below = contrast[calm & (contrast < 0)]
    noise = MAD_TO_SD * float(np.median(-below)) if below.size else float(scale)
    return Excess(
        contrast=contrast,
        grey=grey,
        white=white,
        tissue=tissue,
        shift=shift,
        noise=noise,
        normal=normal,
    )


def dark_below(image: np.ndarray, brain: np.ndarray, csf: np.ndarray) -> float:
    """Return the intensity half way from fluid to the brain's main peak.

    Raises
    ------
    csvdprep.core.errors.MeasureError
        If the mask is empty or the FLAIR has no contrast in it.
    """
    if not brain.any():
        raise MeasureError('The brain mask of the FLAIR is empty.')
    mode = brain_mode(image[brain])
    pure = brain & (np.asarray(csf) > PURE) & (image < 0.7 * mode)
    low = np.median(image[pure]) if pure.sum() > LEAST_VOXELS else np.percentile(image[brain], 1)
    return float((mode + low) / 2)
