"""What diffusion rooms share: structures of the anatomy and lesions as the series sees them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi

from csvdprep.interfaces.images import load
from csvdprep.interfaces.transforms import read_linear

#: Share of tissue from which a voxel counts as pure.
PURE = 0.9
#: Share of fluid above which a voxel does not count as tissue.
FLUID = 0.05


@dataclass(frozen=True)
class DwiSpace:
    """The grid of a diffusion series and the way to the anatomical reference.

    Parameters
    ----------
    image : nibabel image, 3D
        On the grid of the series.
    to_anat : ndarray, shape (4, 4), or None
        World of the series to world of the reference, RAS+ mm.
    to_flair : ndarray, shape (4, 4), or None
        World of the series to world of the FLAIR.
    """

    image: Any
    to_anat: np.ndarray | None = None
    to_flair: np.ndarray | None = None

    @classmethod
    def read(cls, image: str, dwi_to_anat: str | None = None, flair_to_anat: str | None = None
             ) -> DwiSpace:  # fmt: skip
        """Read from files; transforms resample series and FLAIR onto the reference."""
        to_anat = np.linalg.inv(read_linear(dwi_to_anat)) if dwi_to_anat else None
        to_flair = None
        if to_anat is not None and flair_to_anat:
            to_flair = read_linear(flair_to_anat) @ to_anat
        return cls(load(image), to_anat, to_flair)

    def share(self, path: str, *, flair: bool = False, labels=None) -> np.ndarray:
        """Average a map or a mask over the voxels of the series.

        Parameters
        ----------
        path : str
            Probability, mask or label image on the reference, or on the FLAIR.
        flair : bool
            Which of the two.
        labels : sequence of int, optional
            Labels whose share is wanted; what is not 0 without.

        Returns
        -------
        ndarray of float32
            0 to 1 for masks and probabilities; 0 outside.
        """
        source = load(path)
        data = np.asanyarray(source.dataobj)
        if labels is not None:
            data = np.isin(data, labels)
        world = self.to_flair if flair else self.to_anat
        matrix = np.linalg.inv(source.affine) @ world @ self.image.affine
        size = nib.affines.voxel_sizes(self.image.affine)
        finest = nib.affines.voxel_sizes(source.affine)
        counts = [int(np.clip(np.ceil(s / finest.min()), 1, 4)) for s in size]
        total = np.zeros(self.image.shape[:3], np.float32)
        data = data.astype(np.float32)
        offsets = [(np.arange(n) + 0.5) / n - 0.5 for n in counts]
        for shift in product(*offsets):
            at = matrix[:3, 3] + matrix[:3, :3] @ np.array(shift)
            total += ndi.affine_transform(data, matrix[:3, :3], at, output_shape=total.shape,
                                          order=1, output=np.float32)  # fmt: skip
        return total / np.prod(counts)

    def distance(self, mask: np.ndarray) -> np.ndarray:
        """Return the distance (mm) from what is in a mask on the grid of the series."""
        if not np.any(mask):
            return np.full(mask.shape, np.inf)
        return ndi.distance_transform_edt(
            ~np.asarray(mask, bool), sampling=nib.affines.voxel_sizes(self.image.affine)
        )


def cerebral_white_matter(
    space: DwiSpace, *, wm_probseg: str, csf_probseg: str, structures_dseg: str, dwi_mask: str,
) -> np.ndarray:  # fmt: skip
    """Find pure white matter of the cerebrum, hyperintense or not.

    Parameters
    ----------
    space : DwiSpace
        Grid of the series.
    wm_probseg, csf_probseg, structures_dseg : str
        Probabilities and structures on the anatomical reference.
    dwi_mask : str
        Brain in the series.

    Returns
    -------
    ndarray of bool
    """
    brain = np.asanyarray(load(dwi_mask).dataobj) > 0
    white, fluid = space.share(wm_probseg), space.share(csf_probseg)
    structures = np.asanyarray(load(structures_dseg).dataobj)
    others = space.share(structures_dseg, labels=np.unique(structures[structures > 0]))
    return brain & (white >= PURE) & (fluid <= FLUID) & (others <= FLUID)
