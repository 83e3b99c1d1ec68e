"""What a sidecar says, read with distrust: numbers as text, milliseconds for seconds, odd axes.

A value that can be read without doubt is used, and what was odd about it is told; any other is not
used, and is named with the field that it stands in.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from csvdprep.core.grids import array_axis, axes_of

#: Plausible range of each number, in the unit of BIDS, and factors by which others write it.
SECONDS = (('s', 1.0), ('ms', 1e-3))
RANGES: dict[str, tuple[tuple[float, float], tuple[tuple[str, float], ...]]] = {
    'EchoTime': ((5e-4, 0.4), SECONDS),
    'EchoTime1': ((5e-4, 0.4), SECONDS),
    'EchoTime2': ((5e-4, 0.4), SECONDS),
    'TotalReadoutTime': ((1e-3, 0.4), SECONDS),
    'EstimatedTotalReadoutTime': ((1e-3, 0.4), SECONDS),
    'EffectiveEchoSpacing': ((1e-5, 5e-3), (*SECONDS, ('us', 1e-6))),
    'EstimatedEffectiveEchoSpacing': ((1e-5, 5e-3), (*SECONDS, ('us', 1e-6))),
    'RepetitionTime': ((1e-3, 60.0), SECONDS),
    'InversionTime': ((1e-3, 10.0), SECONDS),
    'PartialFourier': ((0.5, 1.0), (('', 1.0), ('%', 1e-2))),
    'WaterFatShift': ((0.1, 200.0), (('px', 1.0),)),
    'EchoTrainLength': ((2.0, 1000.0), (('', 1.0),)),
    'ReconMatrixPE': ((8.0, 2048.0), (('', 1.0),)),
    'ImagingFrequency': ((5.0, 600.0), (('MHz', 1.0), ('Hz', 1e-6))),
    'MagneticFieldStrength': ((0.1, 12.0), (('T', 1.0), ('mT', 1e-3), ('G', 1e-4))),
    'BandwidthPerPixelPhaseEncode': ((1.0, 2000.0), (('Hz', 1.0),)),
}
#: Units of a field map as BIDS writes them, by what else they are called.
FIELD_UNITS = {
    'hz': 'Hz',
    'hertz': 'Hz',
    'rad/s': 'rad/s',
    'rads/s': 'rad/s',
    'rad/sec': 'rad/s',
    't': 'T',
    'tesla': 'T',
}
#: Chemical shift between water and fat, ppm, as converters take it.
WATER_FAT_PPM = 3.4
#: Gyromagnetic ratio of protons, MHz/T.
MHZ_PER_T = 42.577
#: Letters of directions in the patient: world axis, and whether it is the far end of it.
ENDS = {
    'R': (0, 1),
    'L': (0, -1),
    'A': (1, 1),
    'P': (1, -1),
    'S': (2, 1),
    'I': (2, -1),
    'H': (2, 1),
    'F': (2, -1),
}


@dataclass(frozen=True)
class Encoding:
    """Direction in which phase is encoded.

    Parameters
    ----------
    axis : str
        'i', 'j' or 'k': axis of the image in canonical (RAS+) order.
    sign : int or None
        1 towards the end of that axis, -1 away from it; None if the polarity is not known.
    origin : str
        Field that tells the polarity; empty if the sidecar gives it as BIDS asks. What comes from
        another has to be checked against the images.
    """

    axis: str
    sign: int | None = None
    origin: str = ''

    @property
    def direction(self) -> str | None:
        """As BIDS writes it, e.g. 'j-', for canonical order; None without polarity."""
        return None if self.sign is None else self.axis + ('-' if self.sign < 0 else '')


class Facts:
    """Metadata of one image; what is odd about them is collected in ``notes``.

    Parameters
    ----------
    metadata : mapping
        JSON sidecar, inheritance resolved.

    Examples
    --------
    >>> facts = Facts({'TotalReadoutTime': '0.05', 'EchoTime': 80, 'PartialFourier': 'some'})
    >>> facts.number('TotalReadoutTime'), facts.number('EchoTime'), facts.number('PartialFourier')
    (0.05, 0.08, None)
    >>> for note in facts.notes:
    ...     print(note)
    TotalReadoutTime is "0.05", which is text; it is read as 0.05 s.
    EchoTime is 80, which is not a time in s; it is read as ms.
    PartialFourier is "some", which is not a number from 0.5 to 1; it is not used.
    """

    def __init__(self, metadata: Mapping[str, Any]):
        self._given = metadata
        self._said: dict[str, str] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """What was odd, a sentence a field."""
        return tuple(self._said.values())

    def number(self, field: str) -> float | None:
        """Return a number in the unit of BIDS; None if there is none that can be used."""
        value = self._given.get(field)
        if _missing(value):
            return None
        (low, high), units = RANGES[field]
        found = _number(value)
        if found is None or not found > 0:
            self._refuse(field, value, f'which is not a number from {low:g} to {high:g}')
            return None
        told = f'{field} is {_shown(value)}'
        for name, factor in units:
            if not low <= found * factor <= high:
                continue
            found *= factor
            unit = units[0][0]
            shown = f'{found:.4g} {unit}'.strip()
            if factor != 1.0:
                right = 'time in s' if unit == 's' else f'number in {unit or "a fraction of 1"}'
                self._said[field] = f'{told}, which is not a {right}; it is read as {name}.'
            elif isinstance(value, str):
                self._said[field] = f'{told}, which is text; it is read as {shown}.'
            elif isinstance(value, list):
                self._said[field] = f'{told}, which is a list; it is read as {shown}.'
            return found
        unit = f' {units[0][0]}'.rstrip()
        self._refuse(field, value, f'which is not within {low:g} to {high:g}{unit}')
        return None

    def texts(self, field: str) -> list[str]:
        """Return what may be a text, a number, or a list of them; anything else is not used."""
        value = self._given.get(field)
        items = value if isinstance(value, list) else [value]
        words = [
            str(item).strip()
            for item in items
            if isinstance(item, str | int) and not isinstance(item, bool)
        ]
        if not words and not _missing(value):
            self._refuse(field, value, 'which is not text')
        return [word for word in words if word]

    def field_units(self) -> str | None:
        """Return the unit of a field map: 'Hz', 'rad/s' or 'T'."""
        value = self._given.get('Units')
        found = FIELD_UNITS.get(value.strip().lower()) if isinstance(value, str) else None
        if found is None and not _missing(value):
            self._refuse('Units', value, 'which is not Hz, rad/s or T')
        return found

    def slices(self, affine: Any, shape: Sequence[int], zooms: Sequence[float]) -> str:
        """Find the axis across the slices, in canonical (RAS+) order.

        Parameters
        ----------
        affine : sequence of sequence of float
            Stored voxel to world, 4 x 4.
        shape, zooms : sequence
            Voxels, and their size (mm), along the stored axes.

        Returns
        -------
        str
            'i', 'j' or 'k': from ``SliceEncodingDirection``; else the axis along which voxels are
            longest; else that of as many voxels as ``SliceTiming`` has entries, or across the
            plane that the converter noted; else 'k'.
        """
        axes = axes_of(affine)
        if found := self._direction('SliceEncodingDirection'):
            return array_axis(found, axes)[0]
        sizes = [round(float(zoom), 2) for zoom in zooms[:3]]
        times = self._given.get('SliceTiming')
        many = [k for k in range(3) if isinstance(times, list) and shape[k] == len(times)]
        for fitting in ([k for k in range(3) if sizes[k] == max(sizes)], many):
            if len(fitting) == 1:
                return 'ijk'[axes[fitting[0]][0]]
        plane = self._given.get('ImageOrientationPatientDICOM')
        if isinstance(plane, list) and len(plane) == 6:
            numbers = [_number(item) for item in plane]
            if None not in numbers:
                (a, b, c), (d, e, f) = numbers[:3], numbers[3:]
                across = [abs(b * f - c * e), abs(c * d - a * f), abs(a * e - b * d)]
                return 'ijk'[across.index(max(across))]
        return 'k'

    def encoding(self, affine: Any, label: str = '') -> Encoding | None:
        """Find the direction of phase encoding.

        Parameters
        ----------
        affine : sequence of sequence of float
            Stored voxel to world, 4 x 4: fields name axes of the stored array.
        label : str, optional
            Value of the entity ``dir``.

        Returns
        -------
        Encoding or None
            None if not even the axis is known. The polarity comes from ``PhaseEncodingDirection``
            or, for want of it, from the label, what GE calls flipped, the name that the series
            had at the scanner, or the direction that was displayed there (which may be that of
            both polarities).
        """
        axes = axes_of(affine)
        if found := self._direction('PhaseEncodingDirection'):
            turned = array_axis(found, axes)
            return Encoding(turned[0], -1 if turned.endswith('-') else 1)
        named = self._direction('PhaseEncodingAxis')
        axis = array_axis(named[0], axes)[0] if named else None
        told = {
            f'the label dir-{label}': _patient_direction(label),
            'PhaseEncodingPolarityGE': self._flipped(named, axes),
            **{field: self._described(field) for field in ('SeriesDescription', 'ProtocolName')},
            'PhaseEncodingDirectionDisplayed': self._displayed(),
        }
        told = {origin: found for origin, found in told.items() if found}
        if axis is None and 'PhaseEncodingDirectionDisplayed' not in told:
            # A label alone may be anybody's; it only completes what the scanner says.
            return None
        for origin, (along, sign) in told.items():
            if axis is None or 'ijk'[along] == axis:
                self._compare(origin, (along, sign), told)
                return Encoding('ijk'[along], sign, origin)
            self._said[origin] = (
                f'{origin} gives a different axis from PhaseEncodingAxis ({named}); it is '
                'not used.'
            )
        return Encoding(axis) if axis else None

    def readout(self, lines: int) -> float | None:
        """Find the total readout time.

        Parameters
        ----------
        lines : int
            Voxels along the axis of phase encoding.

        Returns
        -------
        float or None
            s: as given, or from the echo spacing, a converter's estimate, the water-fat shift, or
            the bandwidth of a voxel along the axis.

        Notes
        -----
        ``WFS / (f 3.4 ppm (ETL + 1))`` is the echo spacing of the echo train as dcm2niix takes it
        for Philips; the train, which is shorter by the factor of parallel imaging, lasts ETL of
        it.
        """

        def estimate() -> float | None:
            shift, train = self.number('WaterFatShift'), self.number('EchoTrainLength')
            frequency = self.number('ImagingFrequency')
            if frequency is None and (field := self.number('MagneticFieldStrength')):
                frequency = MHZ_PER_T * field
            if None in (shift, train, frequency):
                return None
            return shift / (frequency * WATER_FAT_PPM * (train + 1)) * train

        def spaced(field: str) -> float | None:
            spacing = self.number(field)
            return None if spacing is None else spacing * (lines - 1)

        def bandwidth() -> float | None:
            width = self.number('BandwidthPerPixelPhaseEncode')
            return None if width is None else (lines - 1) / (width * lines)

        for origin, found in (
            ('TotalReadoutTime', lambda: self.number('TotalReadoutTime')),
            ('EffectiveEchoSpacing', lambda: spaced('EffectiveEchoSpacing')),
            ('EstimatedTotalReadoutTime', lambda: self.number('EstimatedTotalReadoutTime')),
            ('EstimatedEffectiveEchoSpacing', lambda: spaced('EstimatedEffectiveEchoSpacing')),
            ('BandwidthPerPixelPhaseEncode', bandwidth),
            ('WaterFatShift', estimate),
        ):
            if (value := found()) is not None and 0 < value < 1:
                if origin not in ('TotalReadoutTime', 'EffectiveEchoSpacing'):
                    self._said['readout'] = (
                        f'The total readout time, {value:.3g} s, is estimated from {origin}.'
                    )
                return value
        return None

    def _direction(self, field: str) -> str | None:
        """Read an axis of the array with its sign, e.g. 'j-'."""
        value = self._given.get(field)
        if _missing(value):
            return None
        text = value[0] if isinstance(value, list) and len(value) == 1 else value
        text = re.sub(r'\s', '', text).lower() if isinstance(text, str) else ''
        match = re.fullmatch(r'([+-]?)([ijkxyz])([+-]?)', text)
        if not match or (match[1] and match[3]):
            self._refuse(field, value, 'which is not i, i-, j, j-, k or k-')
            return None
        found = 'ijk'['ijkxyz'.index(match[2]) % 3] + ('-' if '-' in match[1] + match[3] else '')
        if found != value:
            self._said[field] = f'{field} is {_shown(value)}; it is read as {found}.'
        return found

    def _flipped(self, named: str | None, axes) -> tuple[int, int] | None:
        """Read what GE says of the polarity: not flipped is from the front to the back."""
        value = self._given.get('PhaseEncodingPolarityGE')
        if _missing(value) or named is None:
            return None
        signs = {'unflipped': -1, 'flipped': 1}
        sign = signs.get(value.strip().lower()) if isinstance(value, str) else None
        if sign is None:
            self._refuse(
                'PhaseEncodingPolarityGE', value, 'which is neither Unflipped nor Flipped'
            )
            return None
        return 'ijk'.index(array_axis(named[0], axes)[0]), sign

    def _described(self, field: str) -> tuple[int, int] | None:
        """Read a direction that is a word of its own in a text, e.g. dti_dir16_AP_b1000."""
        value = self._given.get(field)
        words = re.split(r'[^A-Za-z0-9]+', value) if isinstance(value, str) else []
        found = [_patient_direction(word) for word in words if re.fullmatch('[A-Z]{2}', word)]
        found = [direction for direction in found if direction]
        return found[0] if len(found) == 1 else None

    def _displayed(self) -> tuple[int, int] | None:
        value = self._given.get('PhaseEncodingDirectionDisplayed')
        return _patient_direction(value) if isinstance(value, str) else None

    def _compare(self, origin: str, taken: tuple[int, int], told) -> None:
        for other, said in told.items():
            if said[0] == taken[0] and said[1] != taken[1]:
                self._said['polarity'] = (
                    f'{origin} and {other} give opposite polarities; {origin} is used.'
                )

    def _refuse(self, field: str, value: Any, why: str) -> None:
        self._said[field] = f'{field} is {_shown(value)}, {why}; it is not used.'


def plain_number(value: Any) -> float | None:
    """Return a finite number, be it written as a text or as a list of one; else None.

    Examples
    --------
    >>> plain_number('3'), plain_number([1.5]), plain_number('6/8'), plain_number(True)
    (3.0, 1.5, 0.75, None)
    """
    return _number(value)


def _number(value: Any) -> float | None:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        text = value.strip().replace(',', '.')
        if part := re.fullmatch(r'(\d+)\s*/\s*(\d+)', text):
            return int(part[1]) / int(part[2]) if int(part[2]) else None
        # What is written behind a number is no part of it: a unit has to be known.
        value = text if re.fullmatch(r'[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?', text, re.I) else None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):  # a whole number in JSON may have thousands of digits
        return None
    return number if math.isfinite(number) else None


def _missing(value: Any) -> bool:
    return value is None or value == '' or value == 'n/a'


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = str(value)
    return text if len(text) <= 40 else text[:37] + '...'


def _patient_direction(text: str) -> tuple[int, int] | None:
    """Read a direction in the patient: AP, A>>P, A->P, HF.

    Returns
    -------
    (int, int) or None
        World axis, and 1 if it runs towards its positive end (R, A, S).
    """
    letters = re.sub(r'(?i)to|2|[^A-Za-z]', '', text).upper()
    if len(letters) != 2 or not set(letters) <= ENDS.keys():
        return None
    (axis, start), (other, end) = (ENDS[letter] for letter in letters)
    return (axis, end) if axis == other and start != end else None
