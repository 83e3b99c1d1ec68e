"""Magnitude and phase of gradient echoes, as arrays in canonical order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import nibabel as nib
import numpy as np

from csvdprep.imaging.header import read_header
from csvdprep.imaging.images import canonical, like
from csvdprep.science.phase import PhaseUnit, phase_unit

#: Every so many voxels along each axis tell the unit of a phase.
EVERY = 2


def load_magnitudes(echoes: Sequence[Mapping[str, Any]]):
    """Load the magnitudes of all echoes.

    Parameters
    ----------
    echoes : sequence of mapping
        ``mag`` (path), or ``real`` and ``imag``.

    Returns
    -------
    image : nibabel image
        Of the first echo, in canonical order.
    magnitude : ndarray of float32, shape (nx, ny, nz, n)
        Not negative; what is not finite is 0.
    """
    images = [_complex(e)[0] if 'mag' not in e else _values(e['mag']) for e in echoes]
    data = [np.maximum(np.nan_to_num(np.asanyarray(image.dataobj)), 0) for image in images]
    return images[0], np.stack(data, axis=-1).astype(np.float32)


def load_phases(
    echoes: Sequence[Mapping[str, Any]],
) -> tuple[np.ndarray, list[PhaseUnit], np.ndarray]:
    """Load the phases of all echoes in radians.

    Parameters
    ----------
    echoes : sequence of mapping
        ``phase`` (path) and ``units``, or ``real`` and ``imag``.

    Returns
    -------
    phase : ndarray of float32, shape (nx, ny, nz, n)
        rad; 0 where it is not known.
    units : list of PhaseUnit
        How the values of each were read.
    known : ndarray of bool, shape (nx, ny, nz)
        Voxels at which all phases are finite.

    Raises
    ------
    MeasureError
        If a phase is stored in a way that cannot be read.
    """
    phases, units = [], []
    for echo in echoes:
        if 'phase' in echo:
            data = np.asanyarray(_values(echo['phase']).dataobj)
            unit = phase_unit(data[(slice(None, None, EVERY),) * 3], echo.get('units', ''))
            phases.append(((data - unit.middle) * unit.factor).astype(np.float32))
        else:
            phases.append(_complex(echo)[1])
            unit = PhaseUnit(1.0, 0.0, 'real and imaginary images')
        units.append(unit)
    phase = np.stack(phases, axis=-1)
    known = np.isfinite(phase).all(axis=-1)
    return np.nan_to_num(phase).astype(np.float32), units, known


def _values(path: str):
    """Load an image with the scaling of its header, in canonical order; NaN stays."""
    grid = read_header(path)
    data = nib.load(path).get_fdata(dtype=np.float32).reshape(grid.shape)
    return canonical(nib.Nifti1Image(data, grid.affine))


def _complex(echo: Mapping[str, Any]):
    """Return magnitude (as image) and phase (rad) of real and imaginary part."""
    real, imaginary = _values(echo['real']), _values(echo['imag'])
    parts = np.asanyarray(real.dataobj) + 1j * np.asanyarray(imaginary.dataobj)
    return like(np.abs(parts).astype(np.float32), real), np.angle(parts).astype(np.float32)
