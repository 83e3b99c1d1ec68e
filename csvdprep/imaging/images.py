"""Read and write images: computed on in one order of axes, kept in the order that came.

The same voxels can be stored in 48 orders. What is computed must not depend on it: `load` brings
every image into canonical order (axes that run to the right, to the front and up, RAS+) without
resampling, and `save` writes a result in the order, and with the affine, of the image that it
belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel import orientations
from scipy import ndimage

from csvdprep.core.grids import axes_of, same_grid
from csvdprep.imaging.header import read_header

#: Digits of a canonical affine: of its axes, and of its origin (mm). Headers keep seven, and with
#: the order of the axes the last of them changes.
DIGITS = (6, 3)
_KEY = 'storage'


@dataclass(frozen=True, eq=False)
class Storage:
    """How an image is stored.

    Parameters
    ----------
    axes : ndarray, shape (3, 2)
        For each axis of the stored array its place in canonical order, and 1 or -1.
    affine : ndarray, shape (4, 4)
        Stored voxel to world (RAS+), mm.
    """

    axes: np.ndarray
    affine: np.ndarray

    @property
    def back(self) -> np.ndarray:
        """Orientation transform from canonical to stored order."""
        return orientations.ornt_transform(orientations.axcodes2ornt('RAS'), self.axes)


def load(path: str | Path):
    """Load an image in canonical order of its axes.

    Parameters
    ----------
    path : path-like
        Image of any order.

    Returns
    -------
    nibabel.Nifti1Image
        See :func:`canonical`.

    Examples
    --------
    >>> import tempfile
    >>> file = f'{tempfile.mkdtemp()}/lps.nii'
    >>> nib.save(nib.Nifti1Image(np.arange(8.0).reshape(2, 2, 2), np.diag([-1, -1, 1, 1])), file)
    >>> image = load(file)
    >>> nib.aff2axcodes(image.affine), float(np.asanyarray(image.dataobj)[0, 0, 0])
    (('R', 'A', 'S'), 6.0)
    >>> np.array_equal(nib.load(save(image.dataobj, image, file)).affine, storage_of(image).affine)
    True
    """
    image = nib.load(path)
    if image.header.get_slope_inter() not in ((None, None), (1.0, 0.0)):
        # One type, whether or not the voxels have to be moved.
        data = image.get_fdata(dtype=np.float32)
        image = nib.Nifti1Image(data, image.affine)
    return canonical(image)


def canonical(image):
    """Bring an image into canonical order: axes that run to R, A and S, nothing resampled.

    Parameters
    ----------
    image : nibabel image
        Any order; axes after the third stay.

    Returns
    -------
    nibabel.Nifti1Image
        It knows how the image was stored (see :func:`storage_of`), and so does :func:`save`.
    """
    axes = np.array(axes_of(image.affine), float)
    shape = image.shape[:3]
    affine = image.affine @ orientations.inv_ornt_aff(axes, shape)
    affine[:3, :3] = affine[:3, :3].round(DIGITS[0]) + 0.0
    affine[:3, 3] = affine[:3, 3].round(DIGITS[1]) + 0.0
    data = np.asanyarray(image.dataobj)
    data = data.astype(data.dtype.newbyteorder('='), copy=False)
    if not np.array_equal(axes, [[0, 1], [1, 1], [2, 1]]):
        # Sums depend on the order in which numbers lie in memory, too.
        data = np.asfortranarray(orientations.apply_orientation(data, axes))
    return nib.Nifti1Image(
        data, affine, dtype=data.dtype, extra={_KEY: Storage(axes, np.array(image.affine))}
    )


def storage_of(image) -> Storage:
    """Return how an image is stored: as it came, if it was loaded by this module, else as it is.

    Examples
    --------
    >>> storage_of(nib.Nifti1Image(np.zeros((2, 2, 2)), np.eye(4))).axes[:, 1].tolist()
    [1.0, 1.0, 1.0]
    """
    found = getattr(image, 'extra', {}).get(_KEY)
    return found or Storage(np.array(axes_of(image.affine), float), np.array(image.affine))


def like(data: np.ndarray, image):
    """Make an image of these voxels on the grid of another, to be stored as that one.

    Parameters
    ----------
    data : ndarray
        Voxels in canonical order.
    image : nibabel image
        From :func:`load`.

    Returns
    -------
    nibabel.Nifti1Image
    """
    return nib.Nifti1Image(data, image.affine, extra={_KEY: storage_of(image)})


def canonical_vectors(bvecs: np.ndarray, image) -> np.ndarray:
    """Give b-vectors of a file along the axes of its canonical array.

    Parameters
    ----------
    bvecs : ndarray, shape (n, 3)
        FSL's format, for the image as it is stored.
    image : nibabel image
        From :func:`load`.

    Returns
    -------
    ndarray, shape (n, 3)
        FSL's format, for the image in canonical order; exact, but for the sign of zeros.
    """
    storage = storage_of(image)
    along = _along(np.asarray(bvecs, float), storage.affine)
    turned = np.empty_like(along)
    for axis, (place, sign) in enumerate(storage.axes):
        turned[:, int(place)] = sign * along[:, axis]
    return _along(turned, image.affine) + 0.0


def stored_vectors(bvecs: np.ndarray, image) -> np.ndarray:
    """Give b-vectors of a canonical array along the axes of its file; see canonical_vectors.

    Examples
    --------
    >>> psr = nib.Nifti1Image(np.zeros((2, 2, 2)), [[0, 0, 1, 0], [-1, 0, 0, 0], [0, 1, 0, 0],
    ...                                             [0, 0, 0, 1]])
    >>> image, vectors = canonical(psr), np.array([[0.6, 0.0, 0.8]])
    >>> np.array_equal(stored_vectors(canonical_vectors(vectors, image), image), vectors)
    True
    """
    storage = storage_of(image)
    along = _along(np.asarray(bvecs, float), image.affine)
    turned = np.stack([sign * along[:, int(place)] for place, sign in storage.axes], axis=1)
    return _along(turned, storage.affine) + 0.0


def _along(bvecs: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Turn vectors of FSL's format into those along the array's axes, or back."""
    flip = -1.0 if np.linalg.det(affine[:3, :3]) > 0 else 1.0
    return bvecs * np.array([flip, 1.0, 1.0])


def save(data: np.ndarray, image, path: Path | str) -> str:
    """Save an array on the grid of an image, in the order in which that image is stored.

    Parameters
    ----------
    data : ndarray
        Voxels in the order of ``image``; bool becomes uint8, floats become float32.
    image : nibabel image
        Whose grid it is: from :func:`load` or :func:`like`.
    path : path-like
        File to write.

    Returns
    -------
    str
        The path.
    """
    data = np.asanyarray(data)
    if data.dtype == bool:
        data = data.astype(np.uint8)
    elif data.dtype.kind == 'f':
        data = data.astype(np.float32)
    made = as_stored(data, image)
    made.to_filename(path)
    return str(path)


def as_stored(data: np.ndarray, image):
    """Make the image that :func:`save` writes: voxels of canonical order as the other is stored.

    Parameters
    ----------
    data : ndarray
        Voxels in the order of ``image``.
    image : nibabel image
        From :func:`load` or :func:`like`.

    Returns
    -------
    nibabel.Nifti1Image
        Stored order, with both header forms set.
    """
    storage = storage_of(image)
    if not np.array_equal(
        storage_of(nib.Nifti1Image(np.empty((1, 1, 1)), image.affine)).axes, storage.axes
    ):
        data = orientations.apply_orientation(data, storage.back)
    made = nib.Nifti1Image(data, storage.affine)
    made.set_qform(storage.affine, 1)
    made.set_sform(storage.affine, 1)
    made.header.set_xyzt_units('mm')
    return made


def resample(moving, target, *, matrix: np.ndarray | None = None, order: int = 1) -> np.ndarray:
    """Sample an image on the grid of another.

    Parameters
    ----------
    moving, target : nibabel image, 3D
        What is sampled, and on whose voxels.
    matrix : ndarray, shape (4, 4), optional
        World of ``target`` to world of ``moving``, RAS+ mm; identity if omitted.
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
    to_moving = np.linalg.inv(moving.affine) @ world @ target.affine
    data = np.asanyarray(moving.dataobj)
    return ndimage.affine_transform(
        data.astype(np.float32) if order else data,
        to_moving[:3, :3],
        to_moving[:3, 3],
        output_shape=target.shape[:3],
        order=order,
        mode='grid-constant',
    )


def load_mask_on(
    path: str, target, *, matrix: np.ndarray | None = None, labels: Sequence[int] | None = None
) -> np.ndarray:
    """Load a mask onto the grid of an image: as it is if it lies there, else resampled.

    Parameters
    ----------
    path : str
        Mask or probability; above 0.5 counts.
    target : nibabel image
        Whose grid is wanted, from :func:`load`.
    matrix : ndarray, shape (4, 4), optional
        World of ``target`` to world of the mask; identity if omitted.
    labels : sequence of int, optional
        Labels that count, if the file is a label image.

    Returns
    -------
    ndarray of uint8
        The mask.

    """
    # Where it lies was judged by this reading of its header.
    grid = read_header(path)
    data = np.nan_to_num(nib.load(path).get_fdata(dtype=np.float32)).reshape(grid.shape)
    mask = canonical(nib.Nifti1Image(data, grid.affine))
    data = np.asanyarray(mask.dataobj)
    inside = np.isin(data, labels) if labels else data > 0.5
    if matrix is None and same_grid(mask, target):
        return inside.astype(np.uint8)
    binary = nib.Nifti1Image(inside.astype(np.float32), mask.affine)
    return (resample(binary, target, matrix=matrix) >= 0.5).astype(np.uint8)
