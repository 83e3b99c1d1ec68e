"""The voxels in and around the regions of DTI-ALPS, and their shares in spheres."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from csvdprep.core.errors import MeasureError
from csvdprep.markers.alps.science.rotation import (
    finite_strain,
    jacobians,
    matrices,
    preserved_direction,
    reorient,
)

__all__ = ['Nearby', 'gather', 'inner_points', 'scalars', 'sphere_share']

#: Points along each edge of a voxel by which its share in a sphere is found.
SAMPLES = 8


@dataclass(frozen=True)
class Nearby:
    """The voxels in and around the regions.

    Attributes
    ----------
    index : ndarray of int, shape (n, 3)
        Voxel indices.
    position : ndarray, shape (n, 3)
        In the template, mm.
    edges : ndarray, shape (n, 3, 3)
        Edges of the voxel in the template, mm: one column for each axis of the array.
    rotation : ndarray, shape (n, 3, 3)
        From native to template directions; NaN where the map is not known.
    tensor : ndarray, shape (n, 6)
        Native, mm²/s.
    covered : ndarray of bool, shape (n,)
        Within the mask.
    lesion : ndarray, shape (n,)
        Share of the voxel that is lesion.
    """

    index: np.ndarray
    position: np.ndarray
    edges: np.ndarray
    rotation: np.ndarray
    tensor: np.ndarray
    covered: np.ndarray
    lesion: np.ndarray

    @cached_property
    def volume(self) -> np.ndarray:
        """Volume of each voxel in the template, mm³."""
        return np.abs(np.linalg.det(self.edges))

    @cached_property
    def turned(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """FA, MD (mm²/s) and largest axis in the template of each voxel; FA 0 if not finite."""
        return scalars(reorient(self.tensor, self.rotation))


def gather(
    tensor: np.ndarray,
    affine: np.ndarray,
    positions: np.ndarray,
    centres: np.ndarray,
    reach_mm: float,
    *,
    mask: np.ndarray | None = None,
    lesion: np.ndarray | None = None,
    reorientation: str = 'finite strain',
) -> Nearby:
    """Take out of the images what lies in reach of the regions.

    Parameters
    ----------
    tensor : ndarray, shape (nx, ny, nz, 6)
        mm²/s, axes of the world. Voxels that are not finite are not used.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm of the world.
    positions : ndarray, shape (nx, ny, nz, 3)
        Where in the template the centre of each voxel lies, mm; NaN where not known.
    centres : ndarray, shape (m, 3)
        Of the regions, mm in the template.
    reach_mm : float
        How far from them voxels are wanted, mm in the template.
    mask : ndarray of bool, shape (nx, ny, nz), optional
        Brain that the images cover.
    lesion : ndarray, shape (nx, ny, nz), optional
        Share of each voxel that is white matter hyperintensity, 0 to 1.
    reorientation : {'finite strain', 'ppd'}
        How rotations follow from the map.

    Returns
    -------
    Nearby

    Raises
    ------
    ValueError
        If the reorientation is unknown.
    MeasureError
        If no voxel is in reach.
    """
    tensor, positions = np.asarray(tensor, float), np.asarray(positions, float)
    grid = positions.shape[:3]
    if reorientation not in ('finite strain', 'ppd'):
        raise ValueError(f'Unknown reorientation {reorientation!r}: finite strain or ppd.')
    reach = reach_mm + 1.5 * np.linalg.norm(affine[:3, :3], axis=0).max()
    near = np.zeros(grid, bool)
    for centre in centres:
        near |= ((positions - centre) ** 2).sum(axis=-1) < reach**2
    index = np.argwhere(near)
    if not len(index):
        raise MeasureError(
            'The regions of DTI-ALPS are outside the diffusion images.',
            remedy='Check the field of view and the registration.',
        )
    low, high = np.maximum(index.min(axis=0) - 1, 0), index.max(axis=0) + 2
    box, at = tuple(map(slice, low, high)), tuple((index - low).T)
    jacobian = jacobians(positions[box], affine)[at]
    known = np.isfinite(jacobian).all(axis=(1, 2))
    index, jacobian = index[known], jacobian[known]
    at = tuple(index.T)
    turn = (
        finite_strain(jacobian)
        if reorientation == 'finite strain'
        else preserved_direction(jacobian, tensor[at])
    )
    return Nearby(
        index=index,
        position=positions[at],
        edges=jacobian @ affine[:3, :3],
        rotation=turn,
        tensor=tensor[at],
        covered=np.ones(len(index), bool) if mask is None else np.asarray(mask, bool)[at],
        lesion=np.zeros(len(index))
        if lesion is None
        else np.nan_to_num(np.asarray(lesion, float)[at]),
    )


def sphere_share(
    position: np.ndarray, edges: np.ndarray, centre, radius: float, samples: int = SAMPLES
) -> np.ndarray:
    """Compute which share of each voxel lies within a sphere of the template.

    Parameters
    ----------
    position : ndarray, shape (n, 3)
        Centres of voxels in the template, mm.
    edges : ndarray, shape (n, 3, 3)
        Edges of the voxels in the template, mm, in columns.
    centre : sequence of float
        Of the sphere, mm.
    radius : float
        mm.
    samples : int
        Points along each edge; with 1, a voxel is in the sphere or not as its centre is.

    Returns
    -------
    ndarray, shape (n,)
        0 to 1.

    Examples
    --------
    >>> grid = np.moveaxis(np.indices((7, 7, 7)), 0, -1).reshape(-1, 3) - 3.0
    >>> share = sphere_share(grid, np.broadcast_to(np.eye(3), (343, 3, 3)), (0.3, 0, 0.1), 2)
    >>> round(float(share.sum() / (4 / 3 * np.pi * 2**3)), 2)
    1.0
    """
    away = position - np.asarray(centre, float)
    half = np.linalg.norm(edges, axis=1).sum(axis=1) / 2
    out = np.zeros(len(position))
    some = np.flatnonzero((away**2).sum(axis=1) < (radius + half) ** 2)
    points = away[some, None] + inner_points(edges[some], samples)
    out[some] = ((points**2).sum(axis=2) <= radius**2).mean(axis=1)
    return out


def inner_points(edges: np.ndarray, samples: int) -> np.ndarray:
    """Return points spread evenly over voxels (n, samples³, 3), mm from their centres."""
    steps = (np.arange(samples) + 0.5) / samples - 0.5
    offsets = np.stack(np.meshgrid(steps, steps, steps, indexing='ij'), axis=-1).reshape(-1, 3)
    return offsets @ np.swapaxes(edges, 1, 2)


def scalars(tensor: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute FA, MD and the largest axis of tensors.

    Parameters
    ----------
    tensor : ndarray, shape (n, 6)
        mm²/s; no direction is to be trusted where it is not finite.

    Returns
    -------
    fa, md : ndarray, shape (n,)
        MD in mm²/s; both 0 where the tensor is not finite.
    axis : ndarray, shape (n, 3)
        Unit vectors.

    Examples
    --------
    >>> fa, md, axis = scalars(np.array([[3e-4, 0, 0, 15e-4, 0, 3e-4]]))
    >>> round(float(fa[0]), 3), round(float(md[0]), 6), np.abs(axis[0]).tolist()
    (0.77, 0.0007, [0.0, 1.0, 0.0])
    """
    good = np.isfinite(tensor).all(axis=1)
    values, vectors = np.linalg.eigh(matrices(np.where(good[:, None], tensor, 0)))
    md = values.mean(axis=1)
    size = np.linalg.norm(values, axis=1)
    apart = np.linalg.norm(values - md[:, None], axis=1)
    return np.sqrt(1.5) * apart / np.where(size > 0, size, 1), md, vectors[:, :, 2]
