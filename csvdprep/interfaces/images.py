"""Read and write images: grids are compared and kept by their affines."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage


def same_grid(first, second, tolerance: float = 1e-2) -> bool:
    """Tell whether two images share shape and voxel-to-world matrix (to ``tolerance`` mm).

    Examples
    --------
    >>> a = nib.Nifti1Image(np.zeros((2, 2, 2)), np.eye(4))
    >>> same_grid(a, a), same_grid(a, nib.Nifti1Image(np.zeros((2, 2, 2)), 2 * np.eye(4)))
    (True, False)

    """
    return first.shape[:3] == second.shape[:3] and np.allclose(
        first.affine, second.affine, atol=tolerance
    )


def save(data: np.ndarray, like, path: Path) -> str:
    """Save an array with the geometry of an image.

    Parameters
    ----------
    data : ndarray
        Voxels; bool becomes uint8, floats become float32.
    like : nibabel image or str
        Image, or its file, whose geometry is taken.
    path : Path
        File to write.

    Returns
    -------
    str
        The path.

    """
    like = nib.load(like) if isinstance(like, (str, Path)) else like
    data = np.asanyarray(data)
    if data.dtype == bool:
        data = data.astype(np.uint8)
    elif data.dtype.kind == 'f':
        data = data.astype(np.float32)
    image = nib.Nifti1Image(data, like.affine)
    image.set_qform(like.affine, 1)
    image.set_sform(like.affine, 1)
    image.header.set_xyzt_units('mm')
    image.to_filename(path)
    return str(path)


def resample(moving, like, *, matrix: np.ndarray | None = None, order: int = 1) -> np.ndarray:
    """Sample an image on the grid of another.

    Parameters
    ----------
    moving, like : nibabel image, 3D
        What is sampled, and on whose voxels.
    matrix : ndarray, shape (4, 4), optional
        World of ``like`` to world of ``moving``, RAS+ mm; identity if omitted.
    order : {0, 1}
        Nearest neighbour for labels, linear for the rest.

    Returns
    -------
    ndarray
        float32 for order 1, else of the type of ``moving``; 0 outside.

    Examples
    --------
    >>> small = nib.Nifti1Image(np.ones((2, 2, 2), np.float32), np.eye(4))
    >>> float(resample(small, small).sum())
    8.0

    """
    world = np.eye(4) if matrix is None else matrix
    to_moving = np.linalg.inv(moving.affine) @ world @ like.affine
    data = np.asanyarray(moving.dataobj)
    return ndimage.affine_transform(
        data.astype(np.float32) if order else data, to_moving[:3, :3], to_moving[:3, 3],
        output_shape=like.shape[:3], order=order, mode='grid-constant',
    )  # fmt: skip


def load_mask_on(
    path: str, like, *, matrix: np.ndarray | None = None, labels: list[int] | None = None
) -> np.ndarray:
    """Load a mask onto the grid of an image: as it is if it lies there, else resampled.

    Parameters
    ----------
    path : str
        Mask or probability; above 0.5 counts.
    like : nibabel image
        Whose grid is wanted.
    matrix : ndarray, shape (4, 4), optional
        World of ``like`` to world of the mask.
    labels : list of int, optional
        Labels that count, if the file is a label image.

    Returns
    -------
    ndarray of uint8
        The mask.

    """
    mask = nib.squeeze_image(nib.load(path))
    data = np.nan_to_num(mask.get_fdata(dtype=np.float32))
    inside = np.isin(data, labels) if labels else data > 0.5
    binary = nib.Nifti1Image(inside.astype(np.float32), mask.affine)
    if matrix is None and same_grid(binary, like):
        return np.asanyarray(binary.dataobj).astype(np.uint8)
    return (resample(binary, like, matrix=matrix) >= 0.5).astype(np.uint8)
