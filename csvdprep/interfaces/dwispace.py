"""What diffusion rooms share: structures of the anatomy and lesions as the series sees them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi

from csvdprep.interfaces.images import load
from csvdprep.interfaces.transforms import read_linear
from csvdprep.interfaces.values import Value

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
    def read(
        cls, image: str, dwi_to_anat: str | None = None, flair_to_anat: str | None = None
    ) -> DwiSpace:
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
            total += ndi.affine_transform(
                data, matrix[:3, :3], at, output_shape=total.shape, order=1, output=np.float32
            )
        return total / np.prod(counts)

    def distance(self, mask: np.ndarray) -> np.ndarray:
        """Return the distance (mm) from what is in a mask on the grid of the series."""
        if not np.any(mask):
            return np.full(mask.shape, np.inf)
        return ndi.distance_transform_edt(
            ~np.asarray(mask, bool), sampling=nib.affines.voxel_sizes(self.image.affine)
        )


@dataclass(frozen=True, eq=False)
class Cerebrum:
    """What the voxels of the series hold, by the anatomy.

    Parameters
    ----------
    space : DwiSpace
        Grid of the series.
    brain : ndarray of bool
        Brain in the series.
    white, fluid, others : ndarray of float32
        Share of each voxel that is white matter, CSF, and deep grey matter, brainstem or
        cerebellum.
    """

    space: DwiSpace
    brain: np.ndarray
    white: np.ndarray
    fluid: np.ndarray
    others: np.ndarray

    @classmethod
    def read(
        cls,
        space: DwiSpace,
        *,
        wm_probseg: str,
        csf_probseg: str,
        structures_dseg: str,
        dwi_mask: str,
    ) -> Cerebrum:
        """Read from files: probabilities and structures on the reference, brain of the series."""
        structures = np.asanyarray(load(structures_dseg).dataobj)
        labels = np.unique(structures[structures > 0])
        return cls(
            space,
            np.asanyarray(load(dwi_mask).dataobj) > 0,
            space.share(wm_probseg),
            space.share(csf_probseg),
            space.share(structures_dseg, labels=labels),
        )

    @property
    def tissue(self) -> np.ndarray:
        """Voxels of the cerebrum with next to no fluid and no other structure."""
        return self.brain & (self.fluid <= FLUID) & (self.others <= FLUID)

    @property
    def white_matter(self) -> np.ndarray:
        """Pure white matter of the cerebrum, hyperintense or not."""
        return self.tissue & (self.white >= PURE)


#: What the values of free water of one shell are.
ONE_SHELL = (
    'one shell does not determine free water: the mean diffusivity of tissue is assumed, '
    'so that this is a contrast and no measured fraction'
)


def as_free_water(value: Value, how: str) -> Value:
    """Say of a value of free water how it was had.

    Parameters
    ----------
    value : Value
        Mean, slope, ...
    how : str
        ``fw_method`` of the visit.

    Returns
    -------
    Value
        With it as its method and, where it rests on an assumption, a remark that says so.

    Examples
    --------
    >>> as_free_water(Value(0.2), 'two-compartment').method
    'two-compartment'
    >>> as_free_water(Value(0.2), 'single-shell-assumed-md').reason[:39]
    'one shell does not determine free water'
    """
    if value.value is None:
        return value
    said = [value.reason, ONE_SHELL if how.startswith('single-shell') else '']
    return replace(value, method=how, reason='; '.join(part for part in said if part))
