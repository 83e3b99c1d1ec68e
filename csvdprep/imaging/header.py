"""Read a NIfTI header with distrust: which voxels lie where, and how sure that is."""

from __future__ import annotations

import gzip
import math
import os
import stat
import zlib
from dataclasses import dataclass
from typing import NoReturn

import nibabel as nib
import numpy as np

from csvdprep.bids.files import FETCH, content_missing
from csvdprep.core.errors import InputError

#: Plausible voxel edges, mm.
ZOOMS = (0.1, 12.0)
#: Greatest cosine between two voxel axes of an affine that counts as free of shear.
MAX_SHEAR = 2e-3
#: Greatest relative difference between the voxel size of an affine and of ``pixdim``.
MAX_STRETCH = 0.02
#: Displacement (mm) at the corners from which sform and qform are said to differ.
FORMS_DIFFER = 0.5
#: Farthest that the middle of an image may lie from the origin of its world, mm.
MAX_OFFSET = 2000.0
#: Last byte of a file at which its voxels may begin.
MAX_START = 2**31
_AGAIN = 'Convert the image from DICOM again, e.g. with dcm2niix.'


@dataclass(frozen=True)
class Grid:
    """Where the voxels of a file are, in the file and in the world.

    Parameters
    ----------
    shape, zooms : tuple
        Voxels, and voxel size (mm), along three axes.
    affine : ndarray, shape (4, 4)
        Voxel to world (RAS+, mm), free of shear.
    source : {'sform', 'qform'}
        Header form that it comes from.
    dtype : numpy.dtype
        Type of the stored values, byte order included.
    offset : int
        First byte of the voxels in the uncompressed stream.
    slope, inter : float
        What turns stored into real values.
    warnings : tuple of str
        What is odd.
    volumes : int
        Number of volumes.
    step_s : float
        Time from volume to volume that the header gives, s; 0 if it gives none.
    """

    shape: tuple[int, int, int]
    zooms: tuple[float, float, float]
    affine: np.ndarray
    source: str
    dtype: np.dtype
    offset: int
    slope: float
    inter: float
    warnings: tuple[str, ...]
    volumes: int = 1
    step_s: float = 0.0


def refuse(path: str | os.PathLike, message: str, field: str | None, remedy: str) -> NoReturn:
    """Raise the one error that this module knows."""
    raise InputError(message, file=path, field=field, remedy=remedy)


def read_header(path: str | os.PathLike, *, series: bool = False) -> Grid:
    """Read and check the header of a NIfTI image.

    Parameters
    ----------
    path : path-like
        File ending in ``.nii`` or ``.nii.gz``.
    series : bool, optional
        Whether it may have several volumes.

    Returns
    -------
    Grid
        Where its voxels are.

    Raises
    ------
    InputError
        If the header does not say it, or not without contradiction.

    Examples
    --------
    >>> import tempfile
    >>> file = os.path.join(tempfile.mkdtemp(), 'a.nii')
    >>> nib.save(nib.Nifti1Image(np.ones((4, 5, 6), dtype='i2'), np.diag([1, 1, 3, 1])), file)
    >>> grid = read_header(file)
    >>> grid.shape, grid.zooms, grid.source
    ((4, 5, 6), (1.0, 1.0, 3.0), 'sform')

    """
    header = _parse(path, _first_bytes(path))
    warnings: list[str] = []
    shape, volumes = _shape(path, header, warnings, series)
    dtype = _dtype(path, header)
    slope, inter = _scaling(path, header, warnings)
    zooms = _zooms(path, header)
    affine, source = _affine(path, header, shape, zooms, warnings)
    return Grid(
        shape=shape,
        zooms=tuple(map(float, nib.affines.voxel_sizes(affine).round(6))),
        affine=affine,
        source=source,
        dtype=dtype,
        offset=_offset(path, header),
        slope=slope,
        inter=inter,
        warnings=tuple(warnings),
        volumes=volumes,
        step_s=_step(header),
    )


def _step(header) -> float:
    """Read the time from volume to volume, s; a unit that is not given is that of NIfTI."""
    value = float(header['pixdim'][4])
    unit = {16: 1e-3, 24: 1e-6}.get(int(header['xyzt_units']) & 0x38, 1.0)
    return value * unit if np.isfinite(value) and value > 0 else 0.0


def _first_bytes(path: str | os.PathLike) -> bytes:
    """Return the bytes that hold the header, or say what the file is instead."""
    path = os.fspath(path)
    if said := content_missing(path):
        refuse(path, said, None, FETCH)
    if not os.path.exists(path):
        refuse(path, 'The file does not exist.', None, 'Check the path.')
    try:
        if os.path.isdir(path):
            refuse(path, 'This is a folder, not an image.', None, _AGAIN)
        if not stat.S_ISREG(os.stat(path).st_mode):
            # Opening a pipe waits for somebody who writes to it; a device may have no end.
            refuse(
                path,
                'This is no ordinary file (but a pipe, a socket or a device).',
                None,
                'Replace it by the image.',
            )
        with open(path, 'rb') as stream:
            first = stream.read(600)
        if not first:
            refuse(path, 'The file is empty (0 bytes).', None, 'Copy or convert it again.')
        if path.endswith('.gz'):
            if first[:2] != b'\x1f\x8b':
                refuse(
                    path,
                    'The name ends in .gz, but the file is not compressed.',
                    None,
                    'Rename it to .nii, or compress it with gzip.',
                )
            with gzip.open(path, 'rb') as stream:
                first = stream.read(600)
    except PermissionError:
        refuse(path, 'The file may not be read.', None, 'Ask for read permission (chmod a+r).')
    except EOFError:
        refuse(
            path,
            'The file is truncated: it ends within its header.',
            None,
            'Copy or convert it again.',
        )
    except (OSError, zlib.error) as error:
        refuse(path, f'The file cannot be read ({error}).', None, 'Copy or convert it again.')
    return first


def _parse(path: str | os.PathLike, first: bytes) -> nib.Nifti1Header:
    for kind, size, at, magic in (
        (nib.Nifti1Header, 348, 344, b'n+1'),
        (nib.Nifti2Header, 540, 4, b'n+2'),
    ):
        if len(first) >= size and first[at : at + 3] == magic:
            header = kind(first[:size], check=False)
            if int(header['sizeof_hdr']) != size:
                refuse(path, 'The header contradicts itself.', 'sizeof_hdr', _AGAIN)
            return header
    if len(first) >= 348 and first[344:347] == b'ni1':
        refuse(
            path,
            'Header and voxels are in two files (.hdr and .img).',
            'magic',
            'Convert the pair to one .nii.gz file.',
        )
    if len(first) >= 348 and 348 in (int.from_bytes(first[:4], o) for o in ('little', 'big')):
        refuse(
            path, 'This is an ANALYZE image, which does not tell left from right.', 'magic', _AGAIN
        )
    refuse(path, 'This is no NIfTI image.', 'magic', _AGAIN)


def _shape(
    path: str | os.PathLike, header: nib.Nifti1Header, warnings: list[str], series: bool
) -> tuple[tuple[int, int, int], int]:
    number = int(header['dim'][0])
    if not 1 <= number <= 7:
        refuse(path, f'The header gives {number} dimensions.', 'dim[0]', _AGAIN)
    shape = tuple(int(n) for n in header['dim'][1 : number + 1])
    if min(shape) < 1:
        refuse(path, f'The image cannot have {_times(shape)} voxels.', 'dim', _AGAIN)
    volumes = math.prod(shape[3:])
    if series and number > 4 and max(shape[4:]) > 1:
        refuse(
            path, f'The series has more than four dimensions ({_times(shape)}).', 'dim[0]', _AGAIN
        )
    if volumes > 1 and not series:
        refuse(
            path,
            f'The image has {volumes} volumes ({_times(shape)}); a structural image has one.',
            'dim[4]',
            'Keep one volume (or the mean of aligned ones), or leave the '
            'file out with --bids-filter-file or .bidsignore.',
        )
    if number > 3 and not series:
        warnings.append(f'The image has {number} dimensions with one volume; the rest is dropped.')
    return (*shape, 1, 1)[:3], volumes


def _offset(path, header) -> int:
    offset = float(header['vox_offset'])
    if not header.sizeof_hdr <= offset <= MAX_START:
        refuse(path, f'The voxels cannot begin at byte {offset:g}.', 'vox_offset', _AGAIN)
    return int(offset)


def _dtype(path, header) -> np.dtype:
    try:
        dtype = header.get_data_dtype()
    except (nib.spatialimages.HeaderDataError, KeyError):
        refuse(path, f'The data type {int(header["datatype"])} is unknown.', 'datatype', _AGAIN)
    if dtype.fields:
        refuse(
            path,
            'The image has colours (RGB), no intensities.',
            'datatype',
            'Convert the original image, not a screen capture or an overlay.',
        )
    if dtype.kind == 'c':
        refuse(path, 'The image is complex.', 'datatype', 'Give its magnitude.')
    if dtype.kind not in 'iuf':
        refuse(path, f'Values of type {dtype} cannot be measured.', 'datatype', _AGAIN)
    return dtype


def _scaling(path, header, warnings: list[str]) -> tuple[float, float]:
    slope, inter = float(header['scl_slope']), float(header['scl_inter'])
    if slope == 0 or np.isnan(slope):
        # The standard says so for 0; nibabel writes NaN for the same.
        return 1.0, 0.0
    if np.isinf(slope):
        refuse(path, 'The scale factor is infinite.', 'scl_slope', _AGAIN)
    if not np.isfinite(inter):
        refuse(path, 'The offset of the scale is not a number.', 'scl_inter', _AGAIN)
    if slope < 0:
        warnings.append(f'The scale factor is negative ({slope:g}): check that bright is bright.')
    return slope, inter


def _zooms(path, header) -> np.ndarray:
    unit = int(header['xyzt_units']) & 7
    if unit in (1, 3):
        name = {1: 'metre', 3: 'micrometre'}[unit]
        refuse(
            path,
            f'Voxel sizes are in {name}s, which programs read differently.',
            'xyzt_units',
            'Save the image in millimetres.',
        )
    zooms = np.asarray(header['pixdim'][1:4], dtype=float)
    bad = ~np.isfinite(zooms) | (zooms < ZOOMS[0]) | (zooms > ZOOMS[1])
    if bad.any():
        axis = int(np.argmax(bad)) + 1
        refuse(
            path,
            f'Voxels of {_times(zooms)} mm are implausible; each edge has to be within '
            f'{ZOOMS[0]:g} to {ZOOMS[1]:g} mm.',
            f'pixdim[{axis}]',
            _AGAIN,
        )
    return zooms


def _affine(path, header, shape, zooms, warnings: list[str]) -> tuple[np.ndarray, str]:
    """Choose the form that says where the voxels are: the sform, unless it is unusable."""
    forms: dict[str, np.ndarray] = {}
    faults: dict[str, str] = {}
    for name in ('sform', 'qform'):
        if int(header[f'{name}_code']) > 0:
            try:
                matrix = np.array(getattr(header, f'get_{name}')(), dtype=float)
            except (nib.spatialimages.HeaderDataError, ValueError):
                faults[name] = 'its quaternion is impossible'
                continue
            if fault := _fault(matrix, zooms, shape):
                faults[name] = fault
            else:
                forms[name] = matrix
    if not forms and not faults:
        refuse(
            path,
            'The orientation is missing (sform_code and qform_code are 0), so that left '
            'and right cannot be told.',
            'sform_code',
            f'{_AGAIN} If you know the orientation for certain, write it into the header.',
        )
    if not forms:
        said = '; '.join(f'{name}: {fault}' for name, fault in faults.items())
        refuse(path, f'The orientation is unusable ({said}).', next(iter(faults)), _AGAIN)
    source = next(iter(forms))
    for name, fault in faults.items():
        warnings.append(f'The {name} is unusable ({fault}); the {source} is used.')
    if len(forms) == 2:
        _compare(path, forms, shape, warnings)
    affine = forms[source]
    # The rest of a shear that counts as none is taken away: ITK accepts orthogonal axes only.
    left, _, right = np.linalg.svd(affine[:3, :3] / nib.affines.voxel_sizes(affine))
    clean = affine.copy()
    clean[:3, :3] = (left @ right) * nib.affines.voxel_sizes(affine)
    return (affine if np.allclose(clean, affine, atol=1e-5) else clean), source


def _fault(affine: np.ndarray, zooms: np.ndarray, shape: tuple[int, ...]) -> str:
    """Say what is wrong with an affine; nothing if it can be used."""
    if not np.isfinite(affine).all():
        return 'it is not finite'
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    if edges.min() < 1e-3 or abs(np.linalg.det(affine[:3, :3] / edges)) < 1e-3:
        return 'it is singular'
    if np.abs(edges / zooms - 1).max() > MAX_STRETCH:
        return f'its voxels of {_times(edges)} mm are not the {_times(zooms)} mm of pixdim'
    axes = affine[:3, :3] / edges
    if np.abs(axes.T @ axes - np.eye(3)).max() > MAX_SHEAR:
        return 'its axes are not at right angles'
    middle = affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3]
    if np.abs(middle).max() > MAX_OFFSET:
        return f'it puts the image {np.abs(middle).max() / 1000:.3g} m away from the origin'
    return ''


def _compare(path, forms: dict[str, np.ndarray], shape, warnings: list[str]) -> None:
    sform, qform = forms['sform'], forms['qform']
    if np.linalg.det(sform[:3, :3]) * np.linalg.det(qform[:3, :3]) < 0:
        refuse(
            path,
            'The sform and the qform are mirror images of each other: one of them has '
            'left and right exchanged.',
            'sform',
            _AGAIN,
        )
    ends = np.array(np.meshgrid(*[(0, n - 1) for n in shape], indexing='ij')).reshape(3, -1)
    apart = np.linalg.norm((sform - qform)[:3, :3] @ ends + (sform - qform)[:3, 3:], axis=0).max()
    if apart > FORMS_DIFFER:
        warnings.append(
            f'The sform and the qform differ by up to {apart:.3g} mm; the sform is used.'
        )


def _times(values) -> str:
    return ' x '.join(f'{value:.4g}' for value in values)
