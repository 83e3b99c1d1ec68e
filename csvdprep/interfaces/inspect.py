"""Look at an input image before anything is computed, and refuse what cannot be measured.

The voxels are read once, in pieces, so that looking costs a few megabytes whatever the image.
Each refusal is an :class:`~csvdprep.core.errors.InputError` with the file, the header field at
fault and what can be done about it.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import nibabel as nib
import numpy as np

from csvdprep.interfaces.header import Grid, read_header, refuse

#: Share of voxels that may be NaN or infinite.
MAX_NONFINITE = 0.01
#: Share of the summed magnitude up to which negative values are ringing, and set to zero.
MAX_NEGATIVE = 0.05
#: Fewest slices, least extent of an image, least extent that holds an adult brain (mm).
LEAST_SLICES, LEAST_MM, BRAIN_MM = 10, 60.0, 80.0
#: Fewest slices and least extent (mm) of a series whose measures need a part of the brain only.
SLAB_SLICES, SLAB_MM = 8, 24.0
#: Least volume of voxels that are not background (mL): a quarter of a small brain.
LEAST_ML = 250.0
#: Bytes read at a time.
PIECE = 8 << 20
#: Pieces that may follow the last voxel; a few bytes of zeros are common, more are a trap.
REST = 8


@dataclass(frozen=True)
class ImageFacts:
    """What can be said of an image that was accepted.

    Parameters
    ----------
    shape : tuple of int
        Voxels along each of three axes; then, of a series, volumes.
    zooms : tuple of float
        Voxel size along each axis, mm.
    affine : tuple of tuple of float
        Voxel to world (RAS+, mm), 4 x 4.
    affine_source : {'sform', 'qform'}
        Header form that ``affine`` comes from.
    voxel_volume : float
        mm3.
    low, high : float
        Least and greatest finite value, scaling applied.
    nonfinite : float
        Share of voxels that are NaN or infinite.
    negative : float
        Share of negative values in the sum of all magnitudes.
    warnings : tuple of str
        What is odd, in sentences, and what is done about it.
    """

    shape: tuple[int, ...]
    zooms: tuple[float, float, float]
    affine: tuple[tuple[float, ...], ...]
    affine_source: str
    voxel_volume: float
    low: float
    high: float
    nonfinite: float = 0.0
    negative: float = 0.0
    warnings: tuple[str, ...] = ()


def inspect_image(path: str | os.PathLike, *, mask: bool = False, series: bool = False
                  ) -> ImageFacts:  # fmt: skip
    """Check that a file is a three-dimensional image of a head that can be measured.

    Parameters
    ----------
    path : path-like
        NIfTI-1 or NIfTI-2 file, compressed or not.
    mask : bool, optional
        The file is a mask or a label image: it may be empty, have two values, and be thin.
    series : bool, optional
        The file may have several volumes, see :func:`inspect_series`.

    Returns
    -------
    ImageFacts
        What it is.

    Raises
    ------
    InputError
        If it cannot be used; says which file, which field and what can be done.

    Examples
    --------
    >>> import tempfile
    >>> file = os.path.join(tempfile.mkdtemp(), 'sub-01_T1w.nii')
    >>> data = np.zeros((40, 40, 40), dtype='f4')
    >>> data[8:32, 8:32, 8:32] = np.arange(24)
    >>> nib.save(nib.Nifti1Image(data, np.diag([4, 4, 4, 1])), file)
    >>> inspect_image(file).voxel_volume
    64.0

    """
    if series:
        return inspect_series(path)
    grid = read_header(path)
    if not mask:
        _check_extent(path, grid)
    counts = _count(path, grid)
    warnings = list(grid.warnings)

    total = math.prod(grid.shape) * grid.volumes
    nonfinite = counts.nonfinite / total
    negative = counts.negative / counts.magnitude if counts.magnitude else 0.0
    if nonfinite > MAX_NONFINITE:
        refuse(path, f'{nonfinite:.1%} of the voxels are NaN or infinite.', 'voxel data',
               'If they are the background, replace them by zero; else convert the image again.')
    if counts.nonfinite:
        warnings.append(f'{counts.nonfinite} voxels are NaN or infinite; taken for background.')
    if not mask:
        _check_content(path, grid, counts)
        if negative > MAX_NEGATIVE:
            warnings.append('The image has many negative values, as if it had been normalised; '
                            f'all values are raised by {-counts.low:g}.')  # fmt: skip
    return ImageFacts(
        shape=grid.shape, zooms=grid.zooms, affine=tuple(map(tuple, grid.affine.tolist())),
        affine_source=grid.source, voxel_volume=float(np.prod(grid.zooms)), low=counts.low,
        high=counts.high, nonfinite=nonfinite, negative=negative, warnings=tuple(warnings),
    )  # fmt: skip


def inspect_series(path: str | os.PathLike) -> ImageFacts:
    """Check that a file is a series of volumes of a head, or of a slab of it.

    Parameters
    ----------
    path : path-like
        NIfTI-1 or NIfTI-2 file, compressed or not; one volume or many.

    Returns
    -------
    ImageFacts
        What it is; ``shape`` has four numbers.

    Raises
    ------
    InputError
        If it cannot be used; says which file, which field and what can be done.

    Examples
    --------
    >>> import tempfile
    >>> file = os.path.join(tempfile.mkdtemp(), 'sub-01_dwi.nii')
    >>> data = np.random.default_rng(0).uniform(1, 9, (40, 40, 20, 3)).astype('f4')
    >>> nib.save(nib.Nifti1Image(data, np.diag([4, 4, 4, 1])), file)
    >>> inspect_series(file).shape
    (40, 40, 20, 3)

    """
    grid = read_header(path, series=True)
    warnings = list(grid.warnings)
    for axis, (number, zoom) in enumerate(zip(grid.shape, grid.zooms, strict=True), start=1):
        size = f'{number} voxels of {zoom:g} mm ({number * zoom:g} mm)'
        if number < SLAB_SLICES or number * zoom < SLAB_MM:
            refuse(path, f'The series is too thin: {size} along axis {axis}, at least '
                   f'{SLAB_SLICES} voxels and {SLAB_MM:g} mm are needed.', f'dim[{axis}]',
                   'Use a scan that covers the brain.')  # fmt: skip
        if number * zoom < BRAIN_MM:
            warnings.append(f'The series is a slab: {size} along axis {axis}. What lies beyond '
                            'it cannot be measured.')  # fmt: skip
    counts = _count(path, grid)
    total = math.prod(grid.shape) * grid.volumes
    if counts.nonfinite > MAX_NONFINITE * total:
        refuse(path, f'{counts.nonfinite / total:.1%} of the voxels are NaN or infinite.',
               'voxel data', 'If they are the background, replace them by zero; else convert '
               'the series again.')  # fmt: skip
    if not counts.low < counts.high:
        refuse(path, 'All voxels are the same.', 'voxel data', 'Convert or copy it again.')
    return ImageFacts(
        shape=(*grid.shape, grid.volumes), zooms=grid.zooms,
        affine=tuple(map(tuple, grid.affine.tolist())), affine_source=grid.source,
        voxel_volume=float(np.prod(grid.zooms)), low=counts.low, high=counts.high,
        nonfinite=counts.nonfinite / total, warnings=tuple(warnings),
    )  # fmt: skip


def load_series(path: str | os.PathLike) -> nib.Nifti1Image:
    """Load a series as the graph wants it: four axes, float32, finite, not negative.

    Parameters
    ----------
    path : path-like
        Series that :func:`inspect_series` accepts.

    Returns
    -------
    nibabel.Nifti1Image
        In memory, in its storage order; NaN, infinite and negative values are 0.

    Raises
    ------
    InputError
        If the header or the voxels cannot be read.
    """
    grid = read_header(path, series=True)
    data = np.empty(math.prod(grid.shape) * grid.volumes, dtype=np.float32)
    start = 0
    for values in _values(path, grid):
        data[start : start + values.size] = values
        start += values.size
    np.nan_to_num(data, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    np.maximum(data, 0, out=data)
    clean = nib.Nifti1Image(data.reshape((*grid.shape, grid.volumes), order='F'), grid.affine)
    clean.set_sform(grid.affine, code=1)
    clean.set_qform(grid.affine, code=1)
    clean.header.set_xyzt_units('mm', 'sec')
    return clean


def load_clean(path: str | os.PathLike) -> nib.Nifti1Image:
    """Load an image as the graph wants it: three axes, float32, finite, not negative.

    Voxels that are NaN or infinite become background (zero). Magnitude images have no negative
    values; where these make up no more than 5 % of the summed magnitude, they are ringing of
    an interpolation and become zero. With more, the image was normalised by somebody (z-scores),
    and all finite values are raised by the least of them, which keeps their order. Scaling
    (``scl_slope``) is applied; sform and qform are both set to the affine that
    :func:`inspect_image` chose, so that all libraries read the same.

    Parameters
    ----------
    path : path-like
        Image that :func:`inspect_image` accepts.

    Returns
    -------
    nibabel.Nifti1Image
        Image in memory, in its storage order.

    Raises
    ------
    InputError
        If the header or the voxels cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> file = os.path.join(tempfile.mkdtemp(), 'sub-01_T1w.nii')
    >>> data = np.array([[[np.nan, -1, 5]]], dtype='f4')
    >>> nib.save(nib.Nifti1Image(np.tile(data, (20, 20, 1)), np.eye(4)), file)
    >>> load_clean(file).get_fdata()[0, 0].tolist()
    [0.0, 0.0, 6.0]

    """
    grid = read_header(path)
    data = np.empty(math.prod(grid.shape), dtype=np.float32)
    start = 0
    for values in _values(path, grid):
        data[start : start + values.size] = values
        start += values.size
    bad = ~np.isfinite(data)
    low = float(np.min(data, where=~bad, initial=0.0))
    if low < 0:
        below = -float(np.sum(data, where=~bad & (data < 0), dtype=np.float64))
        above = float(np.sum(data, where=~bad & (data > 0), dtype=np.float64))
        if below > MAX_NEGATIVE * (below + above):
            data -= np.float32(low)
    data[bad | (data < 0)] = 0
    clean = nib.Nifti1Image(data.reshape(grid.shape, order='F'), grid.affine)
    clean.set_sform(grid.affine, code=1)
    clean.set_qform(grid.affine, code=1)
    clean.header.set_xyzt_units('mm')
    return clean


@dataclass
class _Counts:
    """Running account of the voxels seen so far."""

    low: float = np.inf
    high: float = -np.inf
    nonfinite: int = 0
    negative: float = 0.0
    magnitude: float = 0.0
    background: int = 0
    levels: frozenset[float] = frozenset()


def _count(path: str | os.PathLike, grid: Grid) -> _Counts:
    """Read the whole file once; that also proves that it is whole."""
    seen = _Counts()
    corner: float | None = None
    for values in _values(path, grid):
        good = values[np.isfinite(values)]
        seen.nonfinite += values.size - good.size
        if not good.size:
            continue
        # Images without air have it all the same in the first voxels: padding, or zero.
        corner = float(good[0]) if corner is None else corner
        seen.low, seen.high = min(seen.low, float(good.min())), max(seen.high, float(good.max()))
        above = float(np.sum(good, where=good > 0, dtype=np.float64))
        below = -float(np.sum(good, where=good < 0, dtype=np.float64)) if seen.low < 0 else 0.0
        seen.negative, seen.magnitude = seen.negative + below, seen.magnitude + below + above
        seen.background += int(np.count_nonzero((good == 0) | (good == corner)))
        if len(seen.levels) <= 2:
            # Three levels prove that this is no mask; a head has them within a few slices.
            seen.levels |= set(np.unique(good)[:3].tolist())
    return seen


def _check_extent(path: str | os.PathLike, grid: Grid) -> None:
    for axis, (number, zoom) in enumerate(zip(grid.shape, grid.zooms, strict=True), start=1):
        size = f'{number} voxels of {zoom:g} mm ({number * zoom:g} mm)'
        if number < LEAST_SLICES or number * zoom < LEAST_MM:
            refuse(path, f'The image is a slab: {size} along axis {axis}, at least {LEAST_SLICES} '
                   f'voxels and {LEAST_MM:g} mm are needed.', f'dim[{axis}]',
                   'Use a scan that covers the whole head.')  # fmt: skip
        if number * zoom < BRAIN_MM:
            refuse(path, f'The image cannot hold a brain: {size} along axis {axis}, at least '
                   f'{BRAIN_MM:g} mm are needed.', f'dim[{axis}]',
                   'Use a scan that covers the whole head, and check its voxel size.')  # fmt: skip


def _check_content(path: str | os.PathLike, grid: Grid, seen: _Counts) -> None:
    if not seen.low < seen.high:
        what = 'The image is filled with zeros' if seen.high == 0 else 'All voxels are the same'
        refuse(path, f'{what}.', 'voxel data', 'Convert or copy the image again.')
    if len(seen.levels) <= 2:
        refuse(path, 'The image has two values only: it is a mask.', 'voxel data',
               'Give a mask with --derivatives, or rename it.')  # fmt: skip
    total = math.prod(grid.shape)
    content = (total - seen.background - seen.nonfinite) * float(np.prod(grid.zooms)) / 1000
    if content < LEAST_ML:
        refuse(path, f'No brain is plausible: only {content:.0f} mL of the image are not '
               f'background, at least {LEAST_ML:g} mL are needed.', 'voxel data',
               'Check the voxel size, and convert the image again.')  # fmt: skip


def _values(path: str | os.PathLike, grid: Grid) -> Iterator[np.ndarray]:
    """Yield the scaled voxels in pieces of one axis, to the last one, or refuse the file."""
    left = math.prod(grid.shape) * grid.volumes
    item = grid.dtype.itemsize
    scaled = (grid.slope, grid.inter) != (1.0, 0.0)
    with _reading(path) as stream:
        stream.seek(grid.offset)
        while left:
            wanted = min(left, PIECE // item)
            raw = stream.read(wanted * item)
            if len(raw) < wanted * item:
                raise EOFError
            values = np.frombuffer(raw, dtype=grid.dtype)
            left -= wanted
            yield values * grid.slope + grid.inter if scaled else values
        # A compressed stream keeps its check sum behind the last byte.
        for _ in range(REST):
            if not stream.read(PIECE):
                return
        refuse(path, f'The file goes on for more than {REST * PIECE >> 20} MiB after its last '
               'voxel.', 'dim', 'Copy or convert it again.')  # fmt: skip


@contextmanager
def _reading(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a file, compressed or not, and say plainly why it cannot be read to its end."""
    again = 'Copy or convert it again.'
    packed = os.fspath(path).endswith('.gz')
    try:
        with gzip.open(path, 'rb') if packed else open(path, 'rb') as stream:
            yield stream
    except EOFError:
        refuse(path, 'The file is truncated: it ends before its last voxel.', 'voxel data', again)
    except (gzip.BadGzipFile, zlib.error) as error:
        refuse(path, f'The compressed data are damaged ({error}).', 'voxel data', again)
    except OSError as error:
        refuse(path, f'The file cannot be read ({error.strerror or error}).', None, again)
