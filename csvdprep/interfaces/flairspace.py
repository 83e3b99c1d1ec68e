"""What WMH rooms share: structures of the anatomical reference as the FLAIR sees them."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np

from csvdprep.core.errors import MeasureError
from csvdprep.interfaces.images import load, resample
from csvdprep.interfaces.transforms import read_linear
from csvdprep.science.distances import distance_map


@dataclass(frozen=True)
class FlairSpace:
    """A FLAIR and the way to the anatomical reference.

    Parameters
    ----------
    image : nibabel image
        The FLAIR; only its grid is used.
    to_anat : ndarray, shape (4, 4)
        World of the FLAIR to world of the reference, RAS+ mm.
    """

    image: nib.spatialimages.SpatialImage
    to_anat: np.ndarray

    @classmethod
    def read(cls, flair: str, flair_to_anat: str) -> FlairSpace:
        """Read from files; the transform resamples the FLAIR onto the reference."""
        return cls(load(flair), np.linalg.inv(read_linear(flair_to_anat)))

    @property
    def voxel_mm(self) -> np.ndarray:
        """Voxel size, mm."""
        return nib.affines.voxel_sizes(self.image.affine)

    def within_slices(self, finest_mm: float) -> list[nib.Nifti1Image]:
        """Return grids that together cover the thickness of the slices.

        Parameters
        ----------
        finest_mm : float
            Voxel size of what will be sampled, mm; there are up to five grids, two such voxels
            apart.

        Returns
        -------
        list of nibabel image
            Of the FLAIR's shape, shifted across the slices; empty.
        """
        thick = int(np.argmax(self.voxel_mm))
        count = max(1, min(5, round(self.voxel_mm[thick] / (2 * finest_mm))))
        grids = []
        for part in (np.arange(count) + 0.5) / count - 0.5:
            shift = np.eye(4)
            shift[thick, 3] = part
            grids.append(
                nib.Nifti1Image(
                    np.empty(self.image.shape[:3], np.uint8), self.image.affine @ shift
                )
            )
        return grids

    def sample(self, path: str) -> np.ndarray:
        """Sample an image of the reference on the FLAIR grid, averaged over thick slices."""
        image = load(path)
        image = nib.Nifti1Image(np.asanyarray(image.dataobj, dtype=np.float32), image.affine)
        grids = self.within_slices(float(nib.affines.voxel_sizes(image.affine).min()))
        total = np.zeros(self.image.shape[:3], np.float32)
        for like in grids:
            total += resample(image, like, matrix=self.to_anat)
        return total / len(grids)

    def distance(self, mask: np.ndarray, affine: np.ndarray, where: np.ndarray, what: str):
        """Compute the distance (mm) of FLAIR voxels from a structure of the reference.

        Parameters
        ----------
        mask : ndarray
            The structure, on the grid of the reference.
        affine : ndarray, shape (4, 4)
            Of that grid.
        where : ndarray of bool
            FLAIR voxels of which it is wanted.
        what : str
            Name of the structure, for the message.

        Returns
        -------
        ndarray of float32
            mm, NaN elsewhere.

        Raises
        ------
        MeasureError
            If the structure is empty.

        """
        if not np.any(mask):
            raise MeasureError(f'There is no distance from {what}: nothing was found of them.')
        in_flair_world = np.linalg.inv(self.to_anat) @ affine
        return distance_map(
            mask, in_flair_world, self.image.shape[:3], self.image.affine, where=where
        )
