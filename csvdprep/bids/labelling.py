"""What the sidecars of an ASL series say, read with distrust: times, efficiency, M0, slices.

A time in milliseconds is read as such where its range tells. A field that BIDS requires and that
cannot be replaced is asked for by name. Fields that contradict one another are refused where the
result would be wrong, and else told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from csvdprep.bids.metadata import Facts, plain_number
from csvdprep.core.errors import InputError
from csvdprep.core.grids import array_axis, axes_of

#: Kinds of volumes of aslcontext.tsv that can be measured, and those that are left out.
KINDS = ('control', 'label', 'm0scan', 'deltam', 'cbf')
LEFT_OUT = ('norf', 'n/a', '')
#: Efficiency of labelling where the sidecar gives none, and what each pulse of background
#: suppression leaves of it (Garcia 2005, doi:10.1002/mrm.20556).
EFFICIENCY = {'PCASL': 0.85, 'CASL': 0.68, 'PASL': 0.98}
PULSE_LEAVES = 0.95
#: Pulses that are assumed where suppression is on and nobody says how many.
ASSUMED_PULSES = 2
#: Plausible range of each time, s.
TIMES = {
    'PostLabelingDelay': (0.01, 8.0),
    'LabelingDuration': (0.1, 6.0),
    'BolusCutOffDelayTime': (0.1, 4.0),
    'RepetitionTimePreparation': (0.5, 30.0),
    'RepetitionTime': (0.5, 30.0),
}
#: Names that converters give to fields of BIDS.
_PULSED = {
    'PostLabelingDelay': ('PostLabelDelay', 'InitialPostLabelDelay', 'InversionTime'),
    'BolusCutOffDelayTime': ('BolusDuration', 'BolusCutOffTime'),
    'BolusCutOffTechnique': ('BolusCutOffType',),
}
_LONG = {
    'PostLabelingDelay': ('PostLabelDelay', 'InitialPostLabelDelay'),
    'LabelingDuration': ('LabelDuration', 'TagDuration'),
}
OTHER_NAMES = {'PASL': _PULSED, 'PCASL': _LONG, 'CASL': _LONG}
#: MHz/T.
MHZ_PER_T = 42.577
#: Times that may differ by so much are one, s.
SAME_S = 0.05


@dataclass
class Said:
    """Sentences that come up while a protocol is read.

    Attributes
    ----------
    file : str
        Image whose sidecar is read.
    notes : list of str
        What was odd, and what was made of it.
    doubts : list of str
        What makes the values of blood flow uncertain, in words that follow a value.
    """

    file: str
    notes: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    def refuse(self, field_name: str, message: str, remedy: str) -> InputError:
        """Make the error of a field."""
        return InputError(message, file=self.file, field=field_name, remedy=remedy)


@dataclass(frozen=True, kw_only=True)
class M0:
    """An M0 image that stands beside a series.

    Parameters
    ----------
    file : str
        Its name.
    metadata : mapping
        Its sidecar.
    """

    file: str
    metadata: Mapping[str, Any]


def read_protocol(
    metadata: Mapping[str, Any],
    context: Sequence[str] | None,
    *,
    file: str,
    volumes: int,
    shape: Sequence[int],
    affine: Any,
    zooms: Sequence[float],
    m0: M0 | None = None,
) -> tuple[dict[str, Any], Said]:
    """Read what is needed to compute blood flow, or say which field is wrong.

    Parameters
    ----------
    metadata : mapping
        Sidecar of the series, inheritance resolved.
    context : sequence of str or None
        ``volume_type`` of each volume; None if there is no such table.
    file : str
        Name of the image, for messages.
    volumes : int
        Number of volumes of the image.
    shape, affine, zooms
        Voxels along the stored axes, voxel to world (RAS+, mm), voxel size (mm).
    m0 : M0, optional
        M0 image that belongs to it.

    Returns
    -------
    protocol : dict
        Plain data: ``labelling``, ``kinds`` (of each volume), ``delays`` and ``durations`` (s, of
        each volume; PLD and labelling duration, or TI and TI1), ``slice_times`` (s, along the
        canonical axis ``slice_axis``; empty for 3D), ``efficiency``, ``efficiency_from``,
        ``suppressed`` (None: nobody says), ``crushed``, ``tesla``, ``m0`` (``type``: 'separate',
        'included', 'control', 'estimate' or 'none'; ``repetition`` in s or None; ``value``),
        ``control_repetition``, ``doubts``.
    said : Said
        Notes.

    Raises
    ------
    InputError
        With file, field and remedy.

    Examples
    --------
    >>> import numpy as np
    >>> sidecar = {'ArterialSpinLabelingType': 'PCASL', 'PostLabelingDelay': 1800,
    ...            'LabelingDuration': 1.8, 'BackgroundSuppression': False, 'M0Type': 'Absent',
    ...            'MRAcquisitionType': '3D', 'RepetitionTimePreparation': 4.5,
    ...            'MagneticFieldStrength': 3, 'VascularCrushing': False}
    >>> found, said = read_protocol(sidecar, ['label', 'control'], file='sub-01_asl.nii.gz',
    ...                             volumes=2, shape=(64, 64, 30), affine=np.eye(4),
    ...                             zooms=(3, 3, 4))
    >>> found['delays'], found['efficiency'], found['m0']['type']
    ([1.8, 1.8], 0.85, 'control')
    >>> said.notes[0]
    'PostLabelingDelay is 1800, which is not a time in s; it is read as ms.'
    """
    said = Said(file)
    kinds = _kinds(context, volumes, said)
    labelling = _labelling(metadata, said)
    metadata = _as_bids(metadata, labelling, said)
    tesla = _tesla(metadata, said)
    labelled = [kind in ('control', 'label', 'deltam') for kind in kinds]
    delays = _times('PostLabelingDelay', metadata, labelled, said)
    if metadata.get('LookLocker') is True:
        raise said.refuse(
            'LookLocker',
            'The series was read out again and again after one labelling (Look-Locker), which is '
            'not modelled.',
            'Leave the series out by --ignore asl.',
        )
    if labelling == 'PASL':
        durations = _cut_off(metadata, labelled, delays, said)
    else:
        durations = _durations(metadata, labelled, labelling, said)
    slice_axis, stored = _slice_axis(metadata, shape, affine, zooms)
    # Flow that the scanner has computed asks for nothing more.
    slice_times = (
        _slice_times(metadata, stored, shape[stored], affine, said) if any(labelled) else []
    )
    suppressed = any(labelled) and _flag(metadata, 'BackgroundSuppression', said)
    efficiency, origin = _efficiency(metadata, labelling, suppressed, said)
    repetition = _repetition(metadata, kinds, said)
    found = _m0(metadata, kinds, suppressed, repetition, m0, said)
    _check_repetition(labelling, labelled, delays, durations, slice_times, repetition, said)
    crushed = metadata.get('VascularCrushing')
    if not isinstance(crushed, bool):
        said.notes.append(
            f'VascularCrushing is {_shown(crushed)}; it is taken as false. Remedy: true or false.'
        )
        crushed = False
    return {
        'labelling': labelling,
        'kinds': kinds,
        'delays': delays,
        'durations': durations,
        'slice_axis': slice_axis,
        'slice_times': slice_times,
        'efficiency': efficiency,
        'efficiency_from': origin,
        'suppressed': suppressed,
        'crushed': crushed,
        'tesla': tesla,
        'm0': found,
        'control_repetition': _of_kind(repetition, kinds, 'control'),
        'doubts': list(dict.fromkeys(said.doubts)),
    }, said


def _kinds(context: Sequence[str] | None, volumes: int, said: Said) -> list[str]:
    remedy = 'Write *_aslcontext.tsv with a column volume_type and a row for each volume.'
    if context is None:
        raise said.refuse(
            'aslcontext.tsv',
            'There is no aslcontext.tsv that says which volumes are control and label.',
            remedy,
        )
    kinds = [str(kind).strip().lower() for kind in context]
    if len(kinds) != volumes:
        raise said.refuse(
            'aslcontext.tsv',
            f'aslcontext.tsv has {len(kinds)} rows, but the image has {volumes} volumes.',
            remedy,
        )
    for row, kind in enumerate(kinds, 1):
        if kind not in (*KINDS, *LEFT_OUT):
            raise said.refuse(
                'volume_type',
                f'Row {row} of aslcontext.tsv is "{kind[:30]}", which is none of '
                f'{", ".join(KINDS)}, noRF, n/a.',
                remedy,
            )
    left = sum(kind in LEFT_OUT for kind in kinds)
    if left:
        said.notes.append(f'{left} of {volumes} volumes are noRF or n/a, and are left out.')
    controls, labels = kinds.count('control'), kinds.count('label')
    if not controls and not labels and not {'deltam', 'cbf'} & {*kinds}:
        raise said.refuse(
            'volume_type', 'aslcontext.tsv names no control, label, deltam or cbf.', remedy
        )
    if bool(controls) != bool(labels):
        kind = 'control' if controls else 'label'
        if 'deltam' not in kinds and 'cbf' not in kinds:
            raise said.refuse(
                'volume_type',
                f'aslcontext.tsv names {kind} volumes only: there is nothing to subtract.',
                remedy,
            )
    elif controls != labels:
        said.notes.append(
            f'aslcontext.tsv has {controls} control and {labels} label volumes; those without a '
            'partner are left out.'
        )
    return kinds


def _labelling(metadata: Mapping[str, Any], said: Said) -> str:
    name = 'ArterialSpinLabelingType'
    value = metadata.get(name)
    text = ''.join(c for c in value if c.isalpha()).upper() if isinstance(value, str) else ''
    known = {
        'PSEUDOCONTINUOUS': 'PCASL',
        'PULSED': 'PASL',
        'CONTINUOUS': 'CASL',
        **{kind: kind for kind in EFFICIENCY},
    }
    if text not in known:
        raise said.refuse(
            name,
            f'{name} is {_shown(value)}: it is not known how blood was labelled.',
            'Write PCASL, CASL or PASL.',
        )
    found = known[text]
    if found != value:
        said.notes.append(f'{name} is {_shown(value)}; it is read as {found}.')
    against = 'PASLType' if found != 'PASL' else 'PCASLType'
    if metadata.get(against) not in (None, '', 'n/a'):
        said.doubts.append(f'the sidecar says {found}, but also gives {against}')
    return found


def _as_bids(metadata: Mapping[str, Any], labelling: str, said: Said) -> Mapping[str, Any]:
    """Take times under the names that converters give them, where those of BIDS are missing."""
    made = dict(metadata)
    for name, others in OTHER_NAMES[labelling].items():
        if made.get(name) not in (None, '', 'n/a', []):
            continue
        for other in others:
            if made.get(other) not in (None, '', 'n/a', [], 0):
                made[name] = made[other]
                said.notes.append(f'{name} is missing; {other} ({_shown(made[other])}) is taken.')
                break
    return made


def _tesla(metadata: Mapping[str, Any], said: Said) -> float:
    facts = Facts(metadata)
    found = facts.number('MagneticFieldStrength')
    frequency = facts.number('ImagingFrequency')
    said.notes += facts.notes
    by_frequency = frequency / MHZ_PER_T if frequency and 15 < frequency < 500 else None
    if found is None:
        if by_frequency is None:
            raise said.refuse(
                'MagneticFieldStrength',
                f'MagneticFieldStrength is {_shown(metadata.get("MagneticFieldStrength"))}: T1 of '
                'blood is not known.',
                'Write the field strength in tesla.',
            )
        said.notes.append(
            f'MagneticFieldStrength is missing; it is taken as {by_frequency:.2f} T from '
            'ImagingFrequency.'
        )
        return round(by_frequency, 2)
    if by_frequency and abs(by_frequency - found) > 0.2 * found:
        said.doubts.append(
            f'MagneticFieldStrength is {found:g} T, but ImagingFrequency is that of '
            f'{by_frequency:.1f} T'
        )
    if not 0.9 <= found <= 9.5:
        raise said.refuse(
            'MagneticFieldStrength',
            f'MagneticFieldStrength is {found:g} T, for which T1 of blood is not known.',
            'Write the field strength in tesla.',
        )
    return found


def _times(
    name: str, metadata: Mapping[str, Any], needed: Sequence[bool], said: Said
) -> list[float]:
    """Read a time of each volume, s; 0 where none is needed."""
    value = metadata.get(name)
    remedy = f'Write {name} in seconds, one number or one for each of {len(needed)} volumes.'
    if not any(needed):
        return [0.0] * len(needed)
    if value in (None, '', 'n/a', []):
        raise said.refuse(name, f'{name} is missing.', remedy)
    items = value if isinstance(value, list) else [value]
    numbers = [plain_number(item) for item in items]
    if None in numbers:
        raise said.refuse(name, f'{name} is {_shown(value)}, which is no number.', remedy)
    if len(numbers) == 1:
        numbers *= len(needed)
    if len(numbers) != len(needed):
        raise said.refuse(
            name,
            f'{name} has {len(numbers)} entries, but the series has {len(needed)} volumes.',
            remedy,
        )
    numbers = [float(n) if wanted else 0.0 for n, wanted in zip(numbers, needed, strict=True)]
    return _in_seconds(name, numbers, needed, value, remedy, said)


def _in_seconds(name, numbers, needed, value, remedy, said: Said) -> list[float]:
    low, high = TIMES[name]
    used = [number for number, wanted in zip(numbers, needed, strict=True) if wanted]
    if min(used) < 0:
        raise said.refuse(name, f'{name} is {_shown(value)}, which is negative.', remedy)
    if name == 'PostLabelingDelay':
        # Some of several delays may be 0.
        used = [number for number in used if number]
        if not used:
            raise said.refuse(
                name, f'{name} is 0 for every volume: label is still in arteries then.', remedy
            )
    for factor in (1.0, 1e-3):
        if all(low <= number * factor <= high for number in used):
            if factor != 1.0:
                said.notes.append(
                    f'{name} is {_shown(value)}, which is not a time in s; it is read as ms.'
                )
            return [round(number * factor, 9) for number in numbers]
    raise said.refuse(
        name, f'{name} is {_shown(value)}, which is not within {low:g} to {high:g} s.', remedy
    )


def _durations(metadata, labelled, labelling, said: Said) -> list[float]:
    if metadata.get('BolusCutOffFlag') is True:
        said.notes.append(f'BolusCutOffFlag is true, which {labelling} does not have; not used.')
    return _times('LabelingDuration', metadata, labelled, said)


def _cut_off(metadata, labelled, delays, said: Said) -> list[float]:
    """Read when the bolus of pulsed labelling is cut off (TI1), s."""
    if not any(labelled):
        return [0.0] * len(labelled)
    flag, name = metadata.get('BolusCutOffFlag'), 'BolusCutOffDelayTime'
    given = metadata.get(name)
    if metadata.get('LabelingDuration') not in (None, '', 'n/a', 0):
        said.notes.append('LabelingDuration is given, which PASL does not have; it is not used.')
    if not isinstance(flag, bool):
        if given is None:
            raise said.refuse(
                'BolusCutOffFlag',
                f'BolusCutOffFlag is {_shown(flag)}: without a cut-off the length of the bolus of '
                'PASL is not known.',
                'Write true and BolusCutOffDelayTime in seconds.',
            )
        said.notes.append(
            f'BolusCutOffFlag is {_shown(flag)}; it is taken as true, as {name} is given.'
        )
    elif not flag:
        raise said.refuse(
            'BolusCutOffFlag',
            'The bolus of PASL was not cut off: how long it is, and with it blood flow, is not '
            'known.',
            'If QUIPSS II or Q2TIPS was on, write true and BolusCutOffDelayTime in seconds; else '
            'leave the series out by --ignore asl.',
        )
    technique = metadata.get('BolusCutOffTechnique')
    kind = ''.join(c for c in str(technique) if c.isalnum()).upper()
    if kind not in ('QUIPSSII', 'Q2TIPS', 'QUIPSS2'):
        if kind == 'QUIPSS':
            raise said.refuse(
                'BolusCutOffTechnique',
                'QUIPSS saturates after the inversion time, and does not cut the bolus off.',
                'If it was QUIPSS II or Q2TIPS, write so.',
            )
        said.doubts.append(
            f'BolusCutOffTechnique is {_shown(technique)}, which is neither QUIPSSII nor Q2TIPS'
        )
    remedy = f'Write {name} in seconds; of several pulses (Q2TIPS), first and last.'
    items = given if isinstance(given, list) else [given]
    numbers = [plain_number(item) for item in items]
    if not numbers or None in numbers:
        raise said.refuse(name, f'{name} is {_shown(given)}, which is no number.', remedy)
    needed = [True] * len(numbers)
    first = min(_in_seconds(name, numbers, needed, given, remedy, said))
    short = min(d for d, wanted in zip(delays, labelled, strict=True) if wanted)
    if len({*delays}) <= 2 and first >= short:
        raise said.refuse(
            name,
            f'{name} ({first:g} s) is not before PostLabelingDelay, the inversion time '
            f'({short:g} s).',
            'Write both in seconds from the labelling pulse.',
        )
    return [first if wanted else 0.0 for wanted in labelled]


def _slice_axis(metadata, shape, affine, zooms) -> tuple[int, int]:
    """Return the canonical axis across the slices, and the stored one."""
    axis = 'ijk'.index(Facts(metadata).slices(affine, shape, zooms))
    axes = axes_of(affine)
    return axis, next(k for k in range(3) if int(axes[k][0]) == axis)


def _slice_times(metadata, stored: int, slices: int, affine, said: Said) -> list[float]:
    """Read when each slice is acquired, s after the first, along the canonical axis."""
    name = 'SliceTiming'
    value = metadata.get(name)
    kind = str(metadata.get('MRAcquisitionType', '')).strip().upper()
    given = isinstance(value, list) and len({*map(str, value)}) > 1
    if kind not in ('2D', '3D'):
        told = str(metadata.get('PulseSequenceType', '')).upper()
        if given:
            kind = '2D'
        elif any(word in told for word in ('3D', 'GRASE', 'SPIRAL')):
            kind = '3D'
        else:
            raise said.refuse(
                'MRAcquisitionType',
                f'MRAcquisitionType is {_shown(metadata.get("MRAcquisitionType"))}: it is not '
                'known whether slices are read out one after the other.',
                'Write 2D (with SliceTiming) or 3D.',
            )
        said.notes.append(f'MRAcquisitionType is missing; it is taken as {kind}.')
    if kind == '3D':
        if given:
            said.notes.append('SliceTiming is given for a 3D read-out; it is not used.')
        return []
    remedy = f'Write the time of each of {slices} slices in seconds.'
    if value in (None, '', 'n/a', []):
        raise said.refuse(
            name, 'SliceTiming is missing: slices of a 2D read-out have different delays.', remedy
        )
    numbers = [plain_number(item) for item in value] if isinstance(value, list) else [None]
    if None in numbers or min(numbers) < 0:
        raise said.refuse(
            name, f'SliceTiming is {_shown(value)}, which is no list of times.', remedy
        )
    if len(numbers) != slices:
        raise said.refuse(
            name,
            f'SliceTiming has {len(numbers)} entries, but the series has {slices} slices.',
            remedy,
        )
    longest = max(numbers)
    if longest > 20:
        if longest > 20_000:
            raise said.refuse(name, f'SliceTiming goes up to {longest:g} s.', remedy)
        said.notes.append(
            f'SliceTiming goes up to {longest:g}, which is not a time in s; it is read as ms.'
        )
        numbers = [number / 1000 for number in numbers]
    if max(numbers) - min(numbers) > 4:
        raise said.refuse(
            name,
            f'SliceTiming spans {max(numbers) - min(numbers):g} s: no label would be left.',
            remedy,
        )
    if max(numbers) == min(numbers):
        said.doubts.append('SliceTiming is the same for all slices of a 2D read-out')
    direction = metadata.get('SliceEncodingDirection')
    backward = isinstance(direction, str) and direction.strip().endswith('-')
    turned = array_axis('ijk'[stored] + ('-' if backward else ''), axes_of(affine))
    if turned.endswith('-'):
        numbers = numbers[::-1]
    first = min(numbers)
    return [round(float(number - first), 9) for number in numbers]


def _flag(metadata, name: str, said: Said) -> bool | None:
    """Read whether background suppression was on; None where nobody says and nobody asks."""
    value = metadata.get(name)
    if isinstance(value, bool):
        return value
    words = {'true': True, 'yes': True, '1': True, 'false': False, 'no': False, '0': False}
    found = words.get(str(value).strip().lower())
    if found is not None:
        said.notes.append(f'{name} is {_shown(value)}; it is read as {str(found).lower()}.')
        return found
    pulses = plain_number(metadata.get('BackgroundSuppressionNumberPulses'))
    if pulses:
        said.notes.append(f'{name} is missing; it is taken as true, as its pulses are counted.')
        return True
    if metadata.get('LabelingEfficiency') is not None:
        said.notes.append(
            f'{name} is missing; LabelingEfficiency is given, so that M0 alone asks.'
        )
        return None
    raise said.refuse(
        name,
        f'{name} is {_shown(value)}: each of its pulses takes 5 % of the label.',
        'Write true (with BackgroundSuppressionNumberPulses) or false.',
    )


def _efficiency(metadata, labelling, suppressed, said: Said) -> tuple[float, str]:
    name = 'LabelingEfficiency'
    value = metadata.get(name)
    if value not in (None, '', 'n/a'):
        found = plain_number(value)
        if found is not None and 30 <= found <= 100:
            said.notes.append(f'{name} is {_shown(value)}; it is read as percent.')
            found /= 100
        if found is not None and 0.3 <= found <= 1:
            return float(found), 'sidecar'
        raise said.refuse(
            name,
            f'{name} is {_shown(value)}, which is not within 0.3 to 1.',
            'Write the efficiency as a fraction, or leave it out: then it is estimated.',
        )
    pulses: float = 0
    origin = f'{labelling} without background suppression'
    if suppressed:
        counted = metadata.get('BackgroundSuppressionNumberPulses')
        timing = metadata.get('BackgroundSuppressionPulseTime')
        found = plain_number(counted)
        if found is None and isinstance(timing, list) and timing:
            found = len(timing)
        if found is None:
            pulses = ASSUMED_PULSES
            said.doubts.append(
                f'the number of background suppression pulses is not given: {ASSUMED_PULSES} are '
                'assumed, and each more raises blood flow by 5 %'
            )
        elif not 0 <= found <= 10 or found != int(found):
            raise said.refuse(
                'BackgroundSuppressionNumberPulses',
                f'BackgroundSuppressionNumberPulses is {_shown(counted)}.',
                'Write a whole number from 1 to 10.',
            )
        else:
            pulses = int(found)
            if not pulses:
                said.doubts.append('BackgroundSuppression is true, but no pulse is counted')
        origin = f'{labelling} and {pulses:g} pulses of background suppression'
    elif suppressed is False and plain_number(metadata.get('BackgroundSuppressionNumberPulses')):
        said.doubts.append('BackgroundSuppression is false, but its pulses are counted')
    return EFFICIENCY[labelling] * PULSE_LEAVES**pulses, origin


def _repetition(metadata, kinds, said: Said) -> list[float | None]:
    """Read the repetition time of each volume, s; None where it cannot be believed."""
    for name in ('RepetitionTimePreparation', 'RepetitionTime'):
        value = metadata.get(name)
        items = value if isinstance(value, list) else [value]
        numbers = [plain_number(item) for item in items]
        if value in (None, '', 'n/a', []) or None in numbers:
            continue
        if len(numbers) == 1:
            numbers *= len(kinds)
        if len(numbers) != len(kinds):
            raise said.refuse(
                name,
                f'{name} has {len(numbers)} entries, but the series has {len(kinds)} volumes.',
                f'Write {name} in seconds, one number or one for each volume.',
            )
        found = [_one_time(name, number) for number in numbers]
        if None in found and any(number for number in numbers):
            said.notes.append(
                f'{name} is {_shown(value)}, which is not within 0.5 to 30 s; not used.'
            )
        if any(item is not None for item in found):
            if any(n and n > TIMES[name][1] for n in numbers):
                said.notes.append(f'{name} is {_shown(value)}; it is read as ms.')
            if name == 'RepetitionTime':
                said.notes.append('RepetitionTimePreparation is missing; RepetitionTime is used.')
            return found
    said.notes.append(
        'RepetitionTimePreparation is missing or 0. Remedy: the repetition time in seconds.'
    )
    return [None] * len(kinds)


def _one_time(name: str, number: float) -> float | None:
    low, high = TIMES[name]
    return next((number * f for f in (1.0, 1e-3) if low <= number * f <= high), None)


def _m0(metadata, kinds, suppressed, repetition, m0: M0 | None, said: Said) -> dict[str, Any]:
    """Decide where M0 comes from."""
    if not {'control', 'deltam', 'label'} & {*kinds}:
        return {'type': 'none', 'repetition': None}
    value = metadata.get('M0Type')
    kind = str(value).strip().lower()
    inside = 'm0scan' in kinds
    plain = suppressed is False and 'control' in kinds
    if kind not in ('separate', 'included', 'estimate', 'absent'):
        if m0 is None and not inside:
            raise said.refuse(
                'M0Type',
                f'M0Type is {_shown(value)}, and there is no M0 image: blood flow has no scale.',
                'Write Separate, Included, Estimate or Absent, and give the M0 that it names.',
            )
        kind = 'separate' if m0 is not None else 'included'
        said.notes.append(f'M0Type is {_shown(value)}; it is taken as {kind.capitalize()}.')
    if kind == 'estimate':
        number = plain_number(metadata.get('M0Estimate'))
        if number is None or not number > 0:
            raise said.refuse(
                'M0Estimate',
                f'M0Type is Estimate, but M0Estimate is {_shown(metadata.get("M0Estimate"))}.',
                'Write M0 of blood in the units of the image.',
            )
        return {'type': 'estimate', 'value': float(number), 'repetition': None}
    there = {'separate': m0 is not None, 'included': inside}
    if kind in there and not there[kind]:
        other = 'included' if kind == 'separate' else 'separate'
        if there[other]:
            said.notes.append(
                f'M0Type is {value}, but M0 is {other}: that is used. Remedy: correct M0Type.'
            )
            kind = other
        elif plain:
            said.doubts.append(
                f'M0Type is {value}, but there is none: the mean of the control volumes stands '
                'for M0'
            )
            kind = 'absent'
        else:
            raise said.refuse(
                'M0Type',
                f'M0Type is {value}, but there is no such M0: blood flow has no scale.',
                'Add *_m0scan.nii.gz whose IntendedFor names the series.'
                if kind == 'separate'
                else 'Name the M0 volumes m0scan in aslcontext.tsv.',
            )
    if kind == 'absent' and (m0 is not None or inside):
        kind = 'separate' if m0 is not None else 'included'
        said.notes.append(
            f'M0Type is Absent, but M0 is {kind}: it is used. Remedy: correct M0Type.'
        )
    if kind == 'absent':
        if not plain:
            raise said.refuse(
                'M0Type',
                'There is no M0, and control volumes with background suppression, or none, do not '
                'stand for it: blood flow has no scale.',
                'Add an M0 scan (*_m0scan.nii.gz) or M0Estimate.',
            )
        found = _of_kind(repetition, kinds, 'control')
        if found is None:
            said.doubts.append(_UNKNOWN)
        return {'type': 'control', 'repetition': found}
    if kind == 'included':
        found = _of_kind(repetition, kinds, 'm0scan')
        if found is None:
            said.doubts.append(_UNKNOWN)
        return {'type': 'included', 'repetition': found}
    return {'type': 'separate', 'repetition': _m0_repetition(m0, said)}


_UNKNOWN = (
    'the repetition time of M0 is not known: it is taken as fully relaxed, and blood flow is too '
    'high where it is not'
)


def _of_kind(repetition, kinds, kind: str) -> float | None:
    found = [t for t, k in zip(repetition, kinds, strict=True) if k == kind and t is not None]
    return min(found) if found else None


def _m0_repetition(m0: M0, said: Said) -> float | None:
    """Read the repetition time of a separate M0; None where nobody says it rightly."""
    told = Said(m0.file)
    facts = dict(m0.metadata)
    for name in ('RepetitionTimePreparation', 'RepetitionTime'):
        if isinstance(facts.get(name), list):
            numbers = [plain_number(item) for item in facts[name]]
            facts[name] = min((n for n in numbers if n), default=None)
    found = _repetition(facts, ['m0scan'], told)[0]
    said.notes += [f'{m0.file}: {note}' for note in told.notes]
    if found is None:
        said.doubts.append(_UNKNOWN)
        return None
    times = [plain_number(t) for t in facts.get('SliceTiming') or () if plain_number(t)]
    if times:
        last = max(times) / (1000 if max(times) > 20 else 1)
        if last > found * 1.02:
            said.doubts.append(
                f'slices of M0 are said to be acquired up to {last:.1f} s after the first, but '
                f'the repetition time to be {found:g} s: how far M0 is relaxed is not known'
            )
    return found


def _check_repetition(labelling, labelled, delays, durations, slice_times, repetition, said):
    """Tell of a repetition time that labelling and delay do not fit into."""
    for wanted, delay, duration, time in zip(labelled, delays, durations, repetition, strict=True):
        least = delay + (duration if labelling != 'PASL' else 0) + max(slice_times, default=0)
        if wanted and time is not None and time < least - SAME_S:
            said.doubts.append(
                f'the repetition time ({time:g} s) is shorter than labelling, delay and read-out '
                f'together ({least:.3g} s)'
            )
            return


def _shown(value: Any) -> str:
    if value is None:
        return 'missing'
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f'"{text}"' if isinstance(value, str) else text[:40] + '...' * (len(text) > 40)
