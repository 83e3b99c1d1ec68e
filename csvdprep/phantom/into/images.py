"""Read and write real images: what is not changed keeps its stored values and its header."""

from __future__ import annotations

import gzip
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from csvdprep.core.errors import InputError
from csvdprep.imaging.ants import apply_transform, rigid
from csvdprep.imaging.transforms import read_linear
from csvdprep.phantom.into.grid import RealScan
from csvdprep.science.quality import edge_overlap

#: Bytes of the NIfTI-1 header that hold slope and intercept.
SLOPE_AT = 112
#: Least overlap of edges with which a scan that was registered here is taken.
LEAST_OVERLAP = 0.5


@dataclass(frozen=True, eq=False)
class Stored:
    """An image as it is stored.

    Attributes
    ----------
    raw : ndarray
        Numbers of the file, in the type of the file.
    slope, inter : float
        From these to the signal.
    header : nibabel header
        Of the file.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm of the scanner.
    """

    raw: np.ndarray
    slope: float
    inter: float
    header: nib.Nifti1Header
    affine: np.ndarray

    @property
    def values(self) -> np.ndarray:
        """The signal, float32."""
        return self.raw.astype(np.float32) * np.float32(self.slope) + np.float32(self.inter)

    @property
    def volume(self) -> np.ndarray:
        """The signal without empty dimensions at the end, float32."""
        return self.values.reshape(_shape(self.raw.shape))


def read(path: Path) -> Stored:
    """Read an image as it is stored.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        image = nib.load(path)
        raw = np.asanyarray(image.dataobj.get_unscaled())
    except Exception as error:  # readers raise anything on a damaged file
        raise InputError(
            f'This cannot be read as an image ({" ".join(str(error).split())}).', file=path
        ) from error
    slope, inter = image.dataobj.slope, image.dataobj.inter
    return Stored(raw, float(slope), float(inter), image.header, image.affine)


def write(stored: Stored, changed: np.ndarray, path: Path) -> None:
    """Write an image that differs from a stored one in some voxels.

    Parameters
    ----------
    stored : Stored
        The image before.
    changed : ndarray, as ``stored.volume``
        The signal after.
    path : Path
        ``.nii.gz``; its bytes depend on nothing but the image.
    """
    after = np.asarray(changed, np.float32).reshape(stored.raw.shape)
    numbers = (after - np.float32(stored.inter)) / np.float32(stored.slope)
    kind = stored.raw.dtype
    if kind.kind in 'iu':
        info = np.iinfo(kind)
        numbers = np.clip(np.rint(numbers), info.min, info.max)
    new = np.where(after == stored.values, stored.raw, numbers.astype(kind))
    header = stored.header.copy()
    # Extensions and hints for display belong to the image before.
    header.extensions.clear()
    header['cal_min'] = header['cal_max'] = 0
    image = nib.Nifti1Image(new, None, header)
    image.set_data_dtype(kind)
    content = bytearray(image.to_bytes())
    order = '<' if image.header.endianness == '<' else '>'
    struct.pack_into(f'{order}2f', content, SLOPE_AT, stored.slope, stored.inter)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(bytes(content), 1, mtime=0))


def scan_of(stored: Stored, pose: np.ndarray, thickness_mm: float | None) -> RealScan:
    """Describe the grid of an image."""
    return RealScan(_shape(stored.raw.shape)[:3], stored.affine, pose, thickness_mm)


def register(
    reference: Stored, brain: np.ndarray, moving: Stored, volume: int | None = None
) -> tuple[np.ndarray, float]:
    """Register a scan to the reference by rotation and translation.

    Parameters
    ----------
    reference : Stored
        The anatomical reference.
    brain : ndarray
        Mask of the brain on its grid.
    moving : Stored
        The scan.
    volume : int, optional
        Which of several volumes.

    Returns
    -------
    pose : ndarray, shape (4, 4)
        From mm of the reference to mm of the scan.
    overlap : float
        Of the edges of both, 0 to 1.
    """
    fixed = nib.Nifti1Image(reference.volume, reference.affine)
    data = moving.volume if volume is None else moving.volume[..., volume]
    other = nib.Nifti1Image(np.ascontiguousarray(data), moving.affine)
    with tempfile.TemporaryDirectory() as folder:
        path = rigid(fixed, other, Path(folder) / 'rigid.txt', fixed_mask=brain)
        pose = read_linear(path)
        there = np.asanyarray(apply_transform(other, fixed, path).dataobj)
    size = nib.affines.voxel_sizes(reference.affine)
    return pose, edge_overlap(fixed.get_fdata(dtype=np.float32), there, brain, size)


def _shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    shape = tuple(shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return shape
