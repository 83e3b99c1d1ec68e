"""The grid of an image and the ways from it: masks and maps of one frame as another sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi

from csvdprep.core.errors import MeasureError
from csvdprep.imaging.images import load, resample
from csvdprep.imaging.points import map_points
from csvdprep.imaging.transforms import read_linear
from csvdprep.science.distances import distance_map


@dataclass(frozen=True, eq=False)
class ImageFrame:
    """The grid of an image, and the ways to other frames of the visit.

    Attributes
    ----------
    image : nibabel image
        Only its grid is used.
    ways : mapping of str to ndarray, shape (4, 4)
        World of this frame to world of another, RAS+ mm, by the name of the other: 'anat' for
        the anatomical reference, 'flair', ...

    Examples
    --------
    >>> frame = ImageFrame(nib.Nifti1Image(np.zeros((4, 4, 2)), np.diag([1.0, 1, 5, 1])))
    >>> frame.voxel_mm.tolist(), len(frame.within_slices(1.0))
    ([1.0, 1.0, 5.0], 2)
    """

    image: Any
    ways: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def read(
        cls, image: str, to_anat: str | None = None, others: Mapping[str, str | None] | None = None
    ) -> ImageFrame:
        """Read from files.

        Parameters
        ----------
        image : path-like
            Image on the grid.
        to_anat : path-like, optional
            Linear transform (ITK) that resamples this image onto the anatomical reference.
        others : mapping of str to path-like, optional
            The same of other frames of the visit; ways to these lead over the reference.

        Returns
        -------
        ImageFrame
        """
        ways = {}
        if to_anat:
            ways['anat'] = np.linalg.inv(read_linear(to_anat))
            for name, path in (others or {}).items():
                if path:
                    ways[name] = read_linear(path) @ ways['anat']
        return cls(load(image), ways)

    @property
    def to_anat(self) -> np.ndarray:
        """World of this frame to world of the anatomical reference, RAS+ mm."""
        return self.ways['anat']

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
            Of the image's shape, shifted across the slices; empty.
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

    def sample(self, path: str, frame: str = 'anat') -> np.ndarray:
        """Sample an image of another frame here, averaged over the thickness of slices.

        Parameters
        ----------
        path : str
            Image.
        frame : str
            Frame that it lies in.

        Returns
        -------
        ndarray of float32
        """
        image = load(path)
        image = nib.Nifti1Image(np.asanyarray(image.dataobj, dtype=np.float32), image.affine)
        grids = self.within_slices(float(nib.affines.voxel_sizes(image.affine).min()))
        total = np.zeros(self.image.shape[:3], np.float32)
        for like in grids:
            total += resample(image, like, matrix=self.ways[frame])
        return total / len(grids)

    def share(
        self, path: str, frame: str = 'anat', *, labels: Sequence[int] | None = None
    ) -> np.ndarray:
        """Average a map or a mask of another frame over the voxels of this one.

        Parameters
        ----------
        path : str
            Probability, mask or label image.
        frame : str
            Frame that it lies in.
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
        matrix = np.linalg.inv(source.affine) @ self.ways[frame] @ self.image.affine
        finest = nib.affines.voxel_sizes(source.affine)
        counts = [int(np.clip(np.ceil(s / finest.min()), 1, 4)) for s in self.voxel_mm]
        total = np.zeros(self.image.shape[:3], np.float32)
        data = data.astype(np.float32)
        offsets = [(np.arange(n) + 0.5) / n - 0.5 for n in counts]
        for shift in product(*offsets):
            at = matrix[:3, 3] + matrix[:3, :3] @ np.array(shift)
            total += ndi.affine_transform(
                data, matrix[:3, :3], at, output_shape=total.shape, order=1, output=np.float32
            )
        return total / np.prod(counts)

    def distance_from(
        self, mask: np.ndarray, affine: np.ndarray, where: np.ndarray, what: str
    ) -> np.ndarray:
        """Compute the distance of voxels from a structure of the anatomical reference.

        Parameters
        ----------
        mask : ndarray
            The structure, on the grid of the reference.
        affine : ndarray, shape (4, 4)
            Of that grid.
        where : ndarray of bool
            Voxels of this frame of which it is wanted.
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
        here = np.linalg.inv(self.to_anat) @ affine
        return distance_map(mask, here, self.image.shape[:3], self.image.affine, where=where)

    def distance(self, mask: np.ndarray) -> np.ndarray:
        """Return the distance (mm) from what a mask on this grid holds; infinite if empty."""
        if not np.any(mask):
            return np.full(mask.shape, np.inf)
        return ndi.distance_transform_edt(~np.asarray(mask, bool), sampling=self.voxel_mm)

    def in_template(self, points: np.ndarray, mni_to_anat: str) -> np.ndarray:
        """Take positions of this frame to the template.

        Parameters
        ----------
        points : ndarray, shape (n, 3)
            World of this frame, RAS+ mm.
        mni_to_anat : str
            Transform (ITK) that resamples the template onto the reference.

        Returns
        -------
        ndarray, shape (n, 3)
            RAS+ mm.
        """
        return map_points(nib.affines.apply_affine(self.to_anat, points), mni_to_anat)

    def mirrored(
        self, where: np.ndarray, mni_to_anat: str, anat_to_mni: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find where voxels lie in the template, and where their mirror images lie here.

        Parameters
        ----------
        where : ndarray of bool
            Voxels.
        mni_to_anat, anat_to_mni : str
            Transforms (ITK) between template and reference, which resample the first onto the
            second; the template is symmetric.

        Returns
        -------
        template : ndarray, shape (n, 3)
            Positions in the template, RAS+ mm, in the order of ``np.nonzero(where)``.
        mirror : ndarray, shape (3, n)
            Voxel coordinates of the mirror images.
        """
        there = self.to_anat @ self.image.affine
        points = nib.affines.apply_affine(there, np.argwhere(where))
        template = map_points(points, mni_to_anat)
        back = map_points(template * [-1, 1, 1], anat_to_mni)
        return template, nib.affines.apply_affine(np.linalg.inv(there), back).T
