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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import BinaryIO

import nibabel as nib
import numpy as np

from csvdprep.imaging.header import Grid, read_header, refuse
from csvdprep.imaging.images import canonical

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
#: Intensity to which the bright end of every image is brought, and slices done at a time.
LEVEL, SLICES = 1000.0, 8
#: Voxels that are looked at at once for a step of the intensities, and most levels of one.
MOST_SEEN, MOST_LEVELS = 500_000, 65_536
#: Distance from a whole number of steps that is rounding.
NEAR_WHOLE = 0.03
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
    levels : int
        Number of different values, as far as they were counted: 3 stands for three or more.
    step_s : float
        Time from volume to volume of a series by its header, s; 0 if it gives none.
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
    levels: int = 3
    step_s: float = 0.0
    warnings: tuple[str, ...] = ()


def inspect_image(
    path: str | os.PathLike, *, mask: bool = False, series: bool = False
) -> ImageFacts:
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
        refuse(
            path,
            f'{nonfinite:.1%} of the voxels are NaN or infinite.',
            'voxel data',
            'If they are the background, replace them by zero; else convert the image again.',
        )
    if counts.nonfinite:
        warnings.append(f'{counts.nonfinite} voxels are NaN or infinite; taken for background.')
    if not mask:
        _check_content(path, grid, counts)
        if negative > MAX_NEGATIVE:
            warnings.append(
                'The image has many negative values, as if it had been normalised; '
                f'all values are raised by {-counts.low:g}.'
            )
    return ImageFacts(
        shape=grid.shape,
        zooms=grid.zooms,
        affine=tuple(map(tuple, grid.affine.tolist())),
        affine_source=grid.source,
        voxel_volume=float(np.prod(grid.zooms)),
        low=counts.low,
        high=counts.high,
        nonfinite=nonfinite,
        negative=negative,
        levels=min(len(counts.levels), 3),
        warnings=tuple(warnings),
    )


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
            refuse(
                path,
                f'The series is too thin: {size} along axis {axis}, at least '
                f'{SLAB_SLICES} voxels and {SLAB_MM:g} mm are needed.',
                f'dim[{axis}]',
                'Use a scan that covers the brain.',
            )
        if number * zoom < BRAIN_MM:
            warnings.append(
                f'The series is a slab: {size} along axis {axis}. What lies beyond '
                'it cannot be measured.'
            )
    counts = _count(path, grid)
    total = math.prod(grid.shape) * grid.volumes
    if counts.nonfinite > MAX_NONFINITE * total:
        refuse(
            path,
            f'{counts.nonfinite / total:.1%} of the voxels are NaN or infinite.',
            'voxel data',
            'If they are the background, replace them by zero; else convert the series again.',
        )
    if not counts.low < counts.high:
        refuse(path, 'All voxels are the same.', 'voxel data', 'Convert or copy it again.')
    return ImageFacts(
        shape=(*grid.shape, grid.volumes),
        zooms=grid.zooms,
        affine=tuple(map(tuple, grid.affine.tolist())),
        affine_source=grid.source,
        voxel_volume=float(np.prod(grid.zooms)),
        low=counts.low,
        high=counts.high,
        nonfinite=counts.nonfinite / total,
        step_s=grid.step_s,
        warnings=tuple(warnings),
    )


def load_series(
    path: str | os.PathLike, *, volumes: Sequence[int] | None = None, level: float | None = None
) -> nib.Nifti1Image:
    """Load a series as the graph wants it: four axes, float32, finite, not negative.

    Parameters
    ----------
    path : path-like
        Series that :func:`inspect_series` accepts.
    volumes : sequence of int, optional
        Volumes that are wanted; all if omitted.
    level : float, optional
        Stored value that becomes `LEVEL`; that of the first wanted volume if omitted, see
        :func:`level_of`. Runs that are put together need one.

    Returns
    -------
    nibabel.Nifti1Image
        In memory, in canonical order (see :mod:`csvdprep.imaging.images`); NaN, infinite and
        negative values are 0. ``extra['level']`` is the level that was taken.

    Raises
    ------
    InputError
        If the header or the voxels cannot be read.
    """
    grid = read_header(path, series=True)
    data, unit = _read(path, grid)
    data = data.reshape((*grid.shape, grid.volumes), order='F')
    if volumes is not None:
        data = np.asfortranarray(data[..., list(volumes)])
    np.nan_to_num(data, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    np.maximum(data, 0, out=data)
    level = level / unit if level else level_of(data[..., 0]) or level_of(data)
    found = canonical(nib.Nifti1Image(_on_level(data, level), grid.affine))
    found.extra['level'] = level * unit
    return found


def load_clean(path: str | os.PathLike) -> nib.Nifti1Image:
    """Load an image as the graph wants it: three axes, float32, finite, not negative.

    Voxels that are NaN or infinite become background (zero). Magnitude images have no negative
    values; where these make up no more than 5 % of the summed magnitude, they are ringing of
    an interpolation and become zero. With more, the image was normalised by somebody (z-scores),
    and all finite values are raised by the least of them, which keeps their order. Scaling
    (``scl_slope``) is applied, and the bright end of the image brought to one level (`LEVEL`),
    so that nothing depends on the unit in which a scanner or a converter stores intensities.

    Parameters
    ----------
    path : path-like
        Image that :func:`inspect_image` accepts.

    Returns
    -------
    nibabel.Nifti1Image
        Image in memory, in canonical order (see :mod:`csvdprep.imaging.images`), with the
        affine that :func:`inspect_image` chose, so that all libraries read the same.

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
    [0.0, 0.0, 1000.0]

    """
    grid = read_header(path)
    data, _ = _read(path, grid)
    bad = ~np.isfinite(data)
    low = float(np.min(data, where=~bad, initial=0.0))
    if low < 0:
        below = -float(np.sum(data, where=~bad & (data < 0), dtype=np.float64))
        above = float(np.sum(data, where=~bad & (data > 0), dtype=np.float64))
        if below > MAX_NEGATIVE * (below + above):
            data -= np.float32(low)
    data[bad | (data < 0)] = 0
    data = _on_level(data.reshape(grid.shape, order='F'), level_of(data))
    return canonical(nib.Nifti1Image(data, grid.affine))


def level_of(data: np.ndarray) -> float:
    """Return the bright end of an image: a value that it holds, whatever its order or unit.

    Parameters
    ----------
    data : ndarray
        Voxels, finite and not negative.

    Returns
    -------
    float
        The value that 2 % of the voxels above zero exceed; 0 if there are none.

    Examples
    --------
    >>> level_of(np.arange(101.0)), level_of(np.zeros(3))
    (98.0, 0.0)
    """
    found = data[data > 0]
    if not found.size:
        return 0.0
    rank = int(0.98 * (found.size - 1))
    return float(np.partition(found, rank)[rank])


def _on_level(data: np.ndarray, level: float) -> np.ndarray:
    """Bring a level to `LEVEL`; one rounding, so that an exact change of unit leaves no trace."""
    if not level > 0:
        return data
    for start in range(0, data.shape[-1], SLICES):
        part = data[..., start : start + SLICES]
        part[...] = part.astype(np.float64) * LEVEL / level
    return data


def _read(path: str | os.PathLike, grid: Grid) -> tuple[np.ndarray, float]:
    """Read all voxels in one axis of float32, and the unit that they are given in.

    Whole numbers with a scale stay what they are: their unit is the scale.
    """
    unit = grid.slope if grid.slope > 0 else 1.0
    grid = replace(grid, slope=grid.slope / unit, inter=grid.inter / unit)
    data = np.empty(math.prod(grid.shape) * grid.volumes, dtype=np.float32)
    start = 0
    with np.errstate(over='ignore'):  # what is too large for float32 is infinite
        for values in _values(path, grid):
            data[start : start + values.size] = values
            start += values.size
    first = data[: math.prod(grid.shape)]
    if grid.dtype.kind == 'f' and (step := step_of(data, first)):
        for start in range(0, data.size, PIECE):
            part = data[start : start + PIECE]
            np.rint(part / np.float64(step), out=part, casting='unsafe')
        unit *= step
    return data, unit


def step_of(data: np.ndarray, first: np.ndarray | None = None) -> float | None:
    """Find the step of which all values are multiples, as scanners digitise.

    An image that somebody stored in another unit has the same whole numbers of steps, less what
    the rounding of its values took away.

    Parameters
    ----------
    data : ndarray of float32, shape (n,)
        Voxels.
    first : ndarray of float32, optional
        Those of the first volume, whose values tell the step; all if omitted.

    Returns
    -------
    float or None
        None if there is none: the image was resampled, filtered or normalised.

    Examples
    --------
    >>> counts = np.random.default_rng(0).integers(0, 4000, 20000)
    >>> round(step_of((counts * 1e-5).astype(np.float32)) * 1e5, 6)
    1.0
    >>> step_of(np.random.default_rng(0).normal(size=20000).astype(np.float32)) is None
    True
    """
    # All values are looked at: which come first depends on the order of storage.
    first = data if first is None else first
    levels = np.empty(0, np.float32)
    for start in range(0, first.size, MOST_SEEN):
        some = first[start : start + MOST_SEEN]
        some = np.abs(some[np.isfinite(some) & (some != 0)])
        levels = np.union1d(levels, some)
        if levels.size > MOST_LEVELS:
            return None
    if levels.size < 2:
        return None
    levels = levels.astype(np.float64)
    step = float(np.diff(levels, prepend=0.0).min())
    # From the small values to the large ones, each of which tells the step more exactly.
    count = 8
    while True:
        few = levels[:count]
        whole = np.rint(few / step)
        if not whole.all() or np.abs(few / step - whole).max() > NEAR_WHOLE:
            return None
        step = float((few * whole).sum() / (whole * whole).sum())
        if count >= levels.size:
            break
        count *= 2
    for start in range(0, data.size, PIECE):
        part = data[start : start + PIECE]
        part = part[np.isfinite(part)] / np.float64(step)
        if part.size and np.abs(part - np.rint(part)).max() > NEAR_WHOLE:
            return None
    return step


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
    least = np.inf
    at_least = at_zero = 0
    for values in _values(path, grid):
        good = values[np.isfinite(values)]
        seen.nonfinite += values.size - good.size
        if not good.size:
            continue
        seen.low, seen.high = min(seen.low, float(good.min())), max(seen.high, float(good.max()))
        above = float(np.sum(good, where=good > 0, dtype=np.float64))
        below = -float(np.sum(good, where=good < 0, dtype=np.float64)) if seen.low < 0 else 0.0
        seen.negative, seen.magnitude = seen.negative + below, seen.magnitude + below + above
        # What images without air are filled up with is zero, or their least value.
        if seen.low < least:
            least, at_least = seen.low, 0
        at_least += int(np.count_nonzero(good == least))
        at_zero += int(np.count_nonzero(good == 0))
        if len(seen.levels) <= 2:
            # Three levels prove that this is no mask; a head has them within a few slices.
            seen.levels |= set(np.unique(good)[:3].tolist())
    seen.background = at_zero + (at_least if least != 0 else 0)
    return seen


def _check_extent(path: str | os.PathLike, grid: Grid) -> None:
    for axis, (number, zoom) in enumerate(zip(grid.shape, grid.zooms, strict=True), start=1):
        size = f'{number} voxels of {zoom:g} mm ({number * zoom:g} mm)'
        if number < LEAST_SLICES or number * zoom < LEAST_MM:
            refuse(
                path,
                f'The image is a slab: {size} along axis {axis}, at least {LEAST_SLICES} '
                f'voxels and {LEAST_MM:g} mm are needed.',
                f'dim[{axis}]',
                'Use a scan that covers the whole head.',
            )
        if number * zoom < BRAIN_MM:
            refuse(
                path,
                f'The image cannot hold a brain: {size} along axis {axis}, at least '
                f'{BRAIN_MM:g} mm are needed.',
                f'dim[{axis}]',
                'Use a scan that covers the whole head, and check its voxel size.',
            )


def _check_content(path: str | os.PathLike, grid: Grid, seen: _Counts) -> None:
    if not seen.low < seen.high:
        what = 'The image is filled with zeros' if seen.high == 0 else 'All voxels are the same'
        refuse(path, f'{what}.', 'voxel data', 'Convert or copy the image again.')
    if len(seen.levels) <= 2:
        refuse(
            path,
            'The image has two values only: it is a mask.',
            'voxel data',
            'Give a mask with --derivatives, or rename it.',
        )
    total = math.prod(grid.shape)
    content = (total - seen.background - seen.nonfinite) * float(np.prod(grid.zooms)) / 1000
    if content < LEAST_ML:
        refuse(
            path,
            f'No brain is plausible: only {content:.0f} mL of the image are not '
            f'background, at least {LEAST_ML:g} mL are needed.',
            'voxel data',
            'Check the voxel size, and convert the image again.',
        )


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
        refuse(
            path,
            f'The file goes on for more than {REST * PIECE >> 20} MiB after its last voxel.',
            'dim',
            'Copy or convert it again.',
        )


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
