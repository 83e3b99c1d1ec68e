"""Magnitude and phase of gradient echoes, as arrays in canonical order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi

from csvdprep.core.errors import MeasureError
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
    data = [
        np.maximum(np.nan_to_num(np.asanyarray(image.dataobj), posinf=0, neginf=0), 0)
        for image in images
    ]
    return images[0], np.stack(data, axis=-1).astype(np.float32)


def load_phases(echoes: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, PhaseUnit, np.ndarray]:
    """Load the phases of all echoes in radians.

    Parameters
    ----------
    echoes : sequence of mapping
        ``phase`` (path) and ``units``, or ``real`` and ``imag``.

    Returns
    -------
    phase : ndarray of float32, shape (nx, ny, nz, n)
        rad; 0 where it is not known.
    unit : PhaseUnit
        How the values were read.
    known : ndarray of bool, shape (nx, ny, nz)
        Voxels at which all phases are finite, and which were not blanked: where areas are 0, or
        the lowest value, in all echoes, the phase was masked.

    Raises
    ------
    MeasureError
        If they are stored in a way that cannot be read.
    """
    stored = [np.asanyarray(_values(e['phase']).dataobj) for e in echoes if 'phase' in e]
    said = {echo.get('units', '') for echo in echoes if 'phase' in echo}
    unit = PhaseUnit(1.0, 0.0, 'real and imaginary images')
    if stored:
        _check_each(stored, [echo['phase'] for echo in echoes if 'phase' in echo])
        # Early echoes may not fill the range; one unit holds for all.
        sample = np.concatenate([data[(slice(None, None, EVERY),) * 3].ravel() for data in stored])
        unit = phase_unit(sample, said.pop() if len(said) == 1 else '')
    left = iter(stored)
    phases = [
        ((next(left) - unit.middle) * unit.factor).astype(np.float32)
        if 'phase' in echo
        else _complex(echo)[1]
        for echo in echoes
    ]
    phase = np.stack(phases, axis=-1)
    known = np.isfinite(phase).all(axis=-1)
    if len(stored) == len(echoes):
        known &= ~_blanked(stored)
    return np.where(known[..., None], phase, 0).astype(np.float32), unit, known


def _check_each(stored: Sequence[np.ndarray], paths: Sequence[str]) -> None:
    """Refuse an echo without phase: the others would make a field of it."""
    for data, path in zip(stored, paths, strict=True):
        finite = data[np.isfinite(data)]
        if not finite.size or finite.min() == finite.max():
            raise MeasureError(
                f'{Path(path).name} has one value only: it holds no phase.',
                remedy='Export the phase again, or leave out all files of this echo.',
            )


def _blanked(stored: Sequence[np.ndarray]) -> np.ndarray:
    """Find areas that a mask has set to 0, before or after the scaling of the header."""
    blank = np.ones(stored[0].shape, bool)
    for data in stored:
        lowest = data[np.isfinite(data)].min(initial=0)
        blank &= (data == 0) | (data == lowest)
    # Single voxels, and lines, have such values by chance.
    return ndi.binary_propagation(ndi.binary_opening(blank), mask=blank)


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
