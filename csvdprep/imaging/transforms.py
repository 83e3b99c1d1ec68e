"""Spatial transforms as ITK files that ANTs, nitransforms and 3D Slicer read.

A transform takes a point of the image that is resampled onto (fixed) to a point of the image that
is resampled (moving). In memory matrices are RAS+ mm, in files LPS mm, as ITK has it.
"""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
from scipy.io import loadmat

from csvdprep.core.errors import InputError

#: RAS to LPS and back.
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: Displacements are kept to this fraction of a mm, which halves the file.
STEPS_PER_MM = 1024


def write_linear(matrix: np.ndarray, path: str | os.PathLike) -> Path:
    """Write a matrix as an ITK affine transform in text form.

    Parameters
    ----------
    matrix : ndarray, shape (4, 4)
        Takes fixed to moving points, RAS+ mm.
    path : path-like
        File to write, ``.txt``.

    Returns
    -------
    Path
        The file written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     shifted = np.eye(4); shifted[0, 3] = 5
    ...     read_linear(write_linear(shifted, folder + '/xfm.txt'))[0].tolist()
    [1.0, 0.0, 0.0, 5.0]

    """
    values = LPS @ np.asarray(matrix, float) @ LPS
    numbers = [*values[:3, :3].ravel(), *values[:3, 3]]
    path = Path(path)
    path.write_text(
        '#Insight Transform File V1.0\n#Transform 0\n'
        'Transform: AffineTransform_double_3_3\n'
        f'Parameters: {" ".join(repr(float(number) + 0.0) for number in numbers)}\n'
        'FixedParameters: 0 0 0\n',
        encoding='utf-8',
    )
    return path


def read_linear(path: str | os.PathLike) -> np.ndarray:
    """Read an ITK affine or rigid transform, in text or in ANTs' binary form.

    Parameters
    ----------
    path : path-like
        ``.txt``, ``.tfm`` or ``.mat``.

    Returns
    -------
    ndarray, shape (4, 4)
        Takes fixed to moving points, RAS+ mm.

    Raises
    ------
    csvdprep.core.errors.InputError
        If the file is no single matrix.

    """
    path = Path(path)
    if path.suffix == '.mat':
        content = loadmat(path)
        centre = np.ravel(content.pop('fixed'))
        parameters = next(
            (np.ravel(value) for key, value in content.items() if not key.startswith('__')), []
        )
    else:
        text = path.read_text(encoding='utf-8')
        lines = dict(line.split(':', 1) for line in text.splitlines() if ':' in line)
        parameters = np.array(lines.get('Parameters', '').split(), float)
        centre = np.array(lines.get('FixedParameters', '0 0 0').split(), float)
    if len(parameters) != 12 or len(centre) < 3:
        raise InputError('The transform is not a single matrix of 12 parameters.', file=path)
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(parameters[:9], (3, 3))
    centre = centre[:3]
    matrix[:3, 3] = np.asarray(parameters[9:], float) + centre - matrix[:3, :3] @ centre
    return LPS @ matrix @ LPS


def write_composite(steps: list, path: str | os.PathLike) -> Path:
    """Write a chain of matrices and displacement fields as one ITK composite transform.

    The file is the same, byte for byte, for the same steps (ITK's own writer stamps the
    operating system into it).

    Parameters
    ----------
    steps : list of ndarray (4, 4) or nibabel image (I, J, K, 3) or (I, J, K, 1, 3)
        In the order in which a fixed point goes through them. Matrices are RAS+ mm; a field
        holds displacements in LPS mm, as ANTs writes them.
    path : path-like
        File to write, ``.h5``.

    Returns
    -------
    Path
        The file written.

    """
    path = Path(path)
    with h5py.File(path, 'w', libver='earliest', track_order=False) as file:
        for key, value in (
            ('HDFVersion', '1.12'),
            ('ITKVersion', '5.4'),
            ('OSName', 'any'),
            ('OSVersion', 'any'),
        ):
            _text(file, key, value)
        group = file.create_group('TransformGroup')
        _text(group.create_group('0'), 'TransformType', 'CompositeTransform_float_3_3')
        # ITK sends a point through the last transform of the file first.
        for number, step in enumerate(reversed(steps), start=1):
            kind, fixed, parameters = _parts(step)
            entry = group.create_group(str(number))
            _text(entry, 'TransformType', kind)
            entry.create_dataset('TransformFixedParameters', data=fixed, track_times=False)
            packed = {'compression': 'gzip', 'compression_opts': 4, 'shuffle': True}
            entry.create_dataset(
                'TransformParameters',
                data=parameters,
                track_times=False,
                **(packed if parameters.size > 100 else {}),
            )
    return path


def _text(group, name: str, value: str) -> None:
    data = np.array([value.encode()], dtype=h5py.string_dtype('ascii'))
    group.create_dataset(name, data=data, track_times=False)


def _parts(step) -> tuple[str, np.ndarray, np.ndarray]:
    """Return the ITK name, fixed parameters and parameters of one step."""
    if isinstance(step, np.ndarray):
        values = LPS @ step @ LPS
        numbers = np.concatenate([values[:3, :3].ravel(), values[:3, 3]])
        return 'AffineTransform_float_3_3', np.zeros(3), numbers.astype(np.float32)
    shape = step.shape[:3]
    affine = LPS @ step.affine
    spacing = nib.affines.voxel_sizes(step.affine)
    fixed = np.concatenate(
        [shape, affine[:3, 3], spacing, (affine[:3, :3] / spacing).ravel()]
    ).astype(float)
    field = np.asanyarray(step.dataobj, dtype=np.float32).reshape(*shape, 3)
    field = np.round(field * STEPS_PER_MM) / np.float32(STEPS_PER_MM)
    # Component fastest, then x, y, z; adding zero turns -0 into 0.
    parameters = np.ascontiguousarray(field.transpose(2, 1, 0, 3)).ravel() + np.float32(0)
    return 'DisplacementFieldTransform_float_3_3', fixed, parameters
