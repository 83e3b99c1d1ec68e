"""What a sidecar says of a bolus-tracking series (DSC-MRI): echo time, times, slices.

BIDS has no rules for DSC-MRI yet. A value that can be read without doubt is used, and what was odd
about it is told; what nothing can be computed without is refused, by name. All measures are
relative or times, so that a missing echo time changes only the scale of maps of R2*.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from csvdprep.bids.contrast import Reading
from csvdprep.bids.metadata import Facts, plain_number
from csvdprep.core.grids import array_axis, axes_of

#: Fewest volumes of a series.
LEAST_FRAMES = 20
#: Time from volume to volume that is plausible, s, and units that others write it in.
STEP_S, UNITS = (0.2, 20.0), (('ms', 1e-3), ('us', 1e-6))
WORDS = {factor: unit for unit, factor in UNITS}
#: Echo time that is taken where none is given, s.
USUAL_TE_S = 0.03
#: Two times that differ by less than this, relative, are the same.
SAME = 0.05
#: Words for sequences that refocus, so that only small vessels are seen.
SPIN_ECHO = re.compile(r'spin[ -]?echo|(?<![a-z])se[ -]?epi|epi[ -]?se(?![a-z])')


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What is known of a series.

    Attributes
    ----------
    step_s : float
        Time from volume to volume, s.
    te_s : float
        Echo time, s.
    te_given : bool
        Whether the sidecar gives it.
    frames : int
        Number of volumes.
    slice_axis : int
        Canonical axis across the slices.
    slice_s : tuple of float
        When each slice is read after the first, s, along that axis; empty where all are read at
        once, or it is not known.
    slices_known : bool
        False for a 2D series without times of its slices.
    tesla : float or None
        Field strength, T.
    """

    step_s: float
    te_s: float
    te_given: bool = True
    frames: int = 0
    slice_axis: int = 2
    slice_s: tuple[float, ...] = ()
    slices_known: bool = True
    tesla: float | None = None

    def plain(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**self.__dict__, 'slice_s': list(self.slice_s)}


def read_bolus_protocol(
    metadata: Mapping[str, Any],
    shape: Sequence[int],
    affine,
    zooms: Sequence[float],
    *,
    header_s: float = 0.0,
    shown: str = 'the sidecar',
) -> tuple[Protocol, list[str]]:
    """Read what a bolus-tracking series needs from its sidecar.

    Parameters
    ----------
    metadata : mapping
        JSON sidecar, inheritance resolved.
    shape : sequence of int, length 4
        Of the image as stored.
    affine : ndarray, shape (4, 4)
        As stored.
    zooms : sequence of float, length 3
        Size of a voxel, mm.
    header_s : float
        Time from volume to volume by the header of the image, s; 0 if there is none.
    shown : str
        Name of the image, for messages.

    Returns
    -------
    protocol : Protocol
    notes : list of str
        What was odd, and what is assumed.

    Raises
    ------
    InputError
        If there are too few volumes, or their times are not known. Names the field.

    Examples
    --------
    >>> import numpy as np
    >>> protocol, notes = read_bolus_protocol(
    ...     {'RepetitionTime': 1500, 'EchoTime': 30, 'MRAcquisitionType': '3D'},
    ...     (64, 64, 20, 50), np.eye(4), (3, 3, 5))
    >>> protocol.step_s, round(protocol.te_s, 3)
    (1.5, 0.03)
    >>> for note in notes:
    ...     print(note)
    the sidecar: RepetitionTime is 1500, which is in ms; it is read as 1.5 s.
    the sidecar: EchoTime is 30, which is in ms; it is read as 0.03 s.
    """
    read = Reading(metadata, shown)
    frames = int(shape[3]) if len(shape) > 3 else 1
    if frames < LEAST_FRAMES:
        raise read.refuse(
            f'The series has {frames} volumes; a bolus-tracking series needs at least '
            f'{LEAST_FRAMES}.',
            'dim[4]',
            'Put all volumes of the series into one file, in the order of their acquisition.',
        )
    step = _step(read, frames, header_s)
    te = _echo_time(read)
    axis, times, known = _slices(read, shape, affine, zooms, step)
    words = ' '.join(
        str(metadata.get(name, '')) for name in ('PulseSequenceType', 'SequenceName')
    ).lower()
    if SPIN_ECHO.search(words):
        read.note(
            'The sequence seems to be a spin echo: it sees small vessels, and hardly the large '
            'arteries that the input function is taken from.'
        )
    return (
        Protocol(
            step_s=step,
            te_s=USUAL_TE_S if te is None else te,
            te_given=te is not None,
            frames=frames,
            slice_axis=axis,
            slice_s=times,
            slices_known=known,
            tesla=read.number(
                ('MagneticFieldStrength',), 0.1, 12.0, 'T', (('mT', 1e-3), ('G', 1e-4))
            ),
        ),
        read.notes,
    )


def _echo_time(read: Reading) -> float | None:
    name, value = read.first(('EchoTime',))
    if isinstance(value, list) and len(value) > 1:
        read.note(
            f'EchoTime has {len(value)} values: series of several echoes in one file are not '
            'taken apart. The first is used.'
        )
        read = Reading({**read.given, 'EchoTime': value[0]}, read.shown, read.notes)
    found = read.number(('EchoTime',), 0.005, 0.15, 's', (('ms', 1e-3), ('us', 1e-6)))
    if found is None:
        what = 'EchoTime is missing' if not name else 'EchoTime cannot be used'
        read.note(
            f'{what}; {USUAL_TE_S:g} s is taken. It scales maps of R2*; no measure depends on it.'
        )
    return found


def _step(read: Reading, frames: int, header_s: float) -> float:
    """Read the time from volume to volume, s."""
    name, value = read.first(('VolumeTiming', 'FrameTimesStart'))
    if name:
        numbers = [plain_number(item) for item in value] if isinstance(value, list) else [None]
        if None in numbers or len(numbers) != frames:
            read.note(f'{name} is no list of {frames} times; it is not used.')
        else:
            step = _even(read, name, numbers)
            _against(read, name, step)
            return step
    for name in ('RepetitionTime', 'TemporalResolution', 'FrameDuration', 'AcquisitionDuration'):
        found = plain_number(read.given.get(name))
        if found is None or (name == 'AcquisitionDuration' and found > STEP_S[1]):
            if read.given.get(name) not in (None, '', 'n/a') and found is None:
                read.note(f'{name} is {read.given[name]!r:.40}, which is not a number of seconds.')
            continue
        near = _near_header(found, header_s)
        if near is not None and near != 1.0:
            read.note(
                f'{name} is {found:g}, which is in {WORDS[near]}; it is '
                f'read as {found * near:.4g} s.'
            )
            return found * near
        step = read.number((name,), *STEP_S, 's', UNITS)
        if step is None:
            continue
        known = STEP_S[0] <= header_s <= STEP_S[1]
        if known and abs(step / header_s - 1) > SAME:
            read.note(
                f'{name} says {step:.4g} s from volume to volume, the header of the image '
                f'{header_s:.4g} s; {name} is used.'
            )
        return step
    if STEP_S[0] <= header_s <= STEP_S[1]:
        read.note(
            f'No field gives the time from volume to volume; that of the header of the image, '
            f'{header_s:.4g} s, is used.'
        )
        return header_s
    raise read.refuse(
        'The time from volume to volume is not known.',
        'RepetitionTime',
        'Write it in seconds (typically 1 to 2.5).',
    )


def _against(read: Reading, name: str, step: float) -> None:
    """Tell if RepetitionTime, in whatever unit, is not the step that times have."""
    said = plain_number(read.given.get('RepetitionTime'))
    if said is None or said <= 0 or _near_header(said, step) is not None:
        return
    read.note(
        f'{name} has volumes {step:.4g} s apart, RepetitionTime is {said:g}; {name} is used.'
    )


def _near_header(found: float, header_s: float) -> float | None:
    """Return the factor to seconds with which a time is that of the header."""
    if not STEP_S[0] <= header_s <= STEP_S[1]:
        return None
    factors = (1.0, *(factor for _, factor in UNITS))
    return next((f for f in factors if abs(found * f / header_s - 1) < SAME), None)


def _even(read: Reading, name: str, times: list[float]) -> float:
    """Return the step of times that have to be even, s."""
    gaps = [later - earlier for earlier, later in pairwise(times)]
    middle = sorted(gaps)[len(gaps) // 2]
    remedy = 'Write the start of each volume in seconds since the first.'
    if min(gaps) <= 0:
        raise read.refuse(f'{name} does not rise from volume to volume.', name, remedy)
    if max(gaps) > 1.2 * middle or min(gaps) < 0.8 * middle:
        raise read.refuse(
            f'{name} has volumes {min(gaps):g} to {max(gaps):g} apart: a bolus is deconvolved '
            'with even steps only.',
            name,
            'Leave out what is not part of the even series, from image and sidecar.',
        )
    for unit, factor in (('s', 1.0), *UNITS):
        if STEP_S[0] <= middle * factor <= STEP_S[1]:
            if factor != 1.0:
                read.note(f'{name} has volumes {middle:g} apart, which is in {unit}.')
            return middle * factor
    raise read.refuse(f'{name} has volumes {middle:g} s apart.', name, remedy)


def _slices(read: Reading, shape, affine, zooms, step: float):
    """Return the canonical axis across the slices, their times, and whether these are known."""
    axes = axes_of(affine)
    axis = 'ijk'.index(Facts(read.given).slices(affine, shape[:3], zooms))
    stored = next(k for k in range(3) if int(axes[k][0]) == axis)
    value = read.given.get('SliceTiming')
    words = f'{read.given.get("PulseSequenceType", "")}'.upper()
    flat = str(read.given.get('MRAcquisitionType', '')).strip().upper() == '3D' or '3D' in words
    if flat:
        if value not in (None, '', 'n/a', []):
            read.note(
                'SliceTiming is given for a series that is 3D by MRAcquisitionType or '
                'PulseSequenceType; it is not used. Remedy: correct MRAcquisitionType if the '
                'series is 2D.'
            )
        return axis, (), True
    if value in (None, '', 'n/a', []):
        read.note(
            'SliceTiming is missing: slices of a 2D series are read up to a volume apart, and '
            f'times to peak may be off by up to {step:.3g} s between slices.'
        )
        return axis, (), False
    numbers = [plain_number(item) for item in value] if isinstance(value, list) else [None]
    if None in numbers or len(numbers) != shape[stored] or min(numbers) < 0:
        read.note(
            f'SliceTiming is no list of {shape[stored]} times; it is not used, and times to peak '
            f'may be off by up to {step:.3g} s between slices.'
        )
        return axis, (), False
    span = max(numbers) - min(numbers)
    factor = next((f for _, f in (('s', 1.0), *UNITS) if span * f <= 1.05 * step), None)
    if factor is None:
        read.note(f'SliceTiming spans {span:g} s, more than a volume takes; it is not used.')
        return axis, (), False
    if factor != 1.0:
        read.note(
            f'SliceTiming goes up to {max(numbers):g}; it is read as '
            f'{max(numbers) * factor:.4g} s.'
        )
    direction = read.given.get('SliceEncodingDirection')
    backward = isinstance(direction, str) and direction.strip().endswith('-')
    turned = array_axis('ijk'[stored] + ('-' if backward else ''), axes)
    if turned.endswith('-'):
        numbers = numbers[::-1]
    first = min(numbers)
    return axis, tuple(round((number - first) * factor, 6) for number in numbers), True
