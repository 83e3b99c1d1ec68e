"""What a sidecar says of a dynamic series with contrast agent: sequence, times, bolus, blood.

BIDS has no rules for DCE-MRI yet, so that fields have several names, and units are often those of
DICOM. A value that can be read without doubt is used, and what was odd about it is told. What
nothing can be computed without is refused, by name; what is missing otherwise has a default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from csvdprep.bids.metadata import plain_number
from csvdprep.core.errors import InputError

#: r1 at 3 T and 37 degrees in plasma, L/mmol/s, by words in the name of the agent (Rohrer 2005,
#: doi:10.1097/01.rli.0000184756.66360.d3).
RELAXIVITIES = {
    'gadobutrol': 5.0,
    'gadovist': 5.0,
    'gadavist': 5.0,
    'gadoterate': 3.5,
    'gadoteric': 3.5,
    'dotarem': 3.5,
    'clariscan': 3.5,
    'gadopentetate': 3.7,
    'magnevist': 3.7,
    'gd-dtpa': 3.7,
    'gadoteridol': 3.7,
    'prohance': 3.7,
    'gadobenate': 5.5,
    'multihance': 5.5,
}
#: Words for sequences whose signal is not that of a spoiled gradient echo, and for those it is.
OTHER_SEQUENCES = re.compile(
    r'(?<![a-z])(?:[23]d)?(?:epi|b?ssfp|(?:true|ps)?-?fisp|fiesta|spin echo|tse|(?:fr)?fse|'
    r'rare)(?![a-z])'
)
SPOILED = re.compile(
    r'spoil|spgr|flash|vibe|lava|thrive|(?<![a-z])t?ffe(?![a-z])|(?<![a-z])twist|tricks'
)
#: Words for a preparation that changes T1 weighting, and the shortest inversion time of one, s:
#: those that suppress fat are shorter.
PREPARED = re.compile(
    r'(?<![a-z])(?:mp-?rage|mp2rage|tfl|inversion[ -]recovery|'
    r'saturation[ -]recovery)(?![a-z])'
)
INVERSION_S = 0.05
#: Fewest volumes of a dynamic series.
LEAST_FRAMES = 8
#: Durations of a frame that are plausible, s.
STEP_S = (0.3, 240.0)
#: Durations of a series that are plausible, s.
WHOLE_S = (45.0, 7200.0)
#: A duration from here on is that of a series rather than of a volume, s; one up to there is that
#: of a volume; between them only other fields can tell.
LONG_S, SLOW_S = 300.0, 120.0


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What is known of a dynamic series.

    Attributes
    ----------
    tr_s : float
        Time between excitations, s.
    flip_deg : float
        Nominal flip angle, degrees.
    te_s : float or None
        Echo time, s.
    times_s : tuple of float
        Middle of each volume since the start of the series, s.
    injection_s : float or None
        Start of the injection since the start of the series, s.
    dose : float or None
        mmol/kg.
    relaxivity : float or None
        r1, L/mmol/s.
    haematocrit : float or None
        Fraction.
    agent : str
        Name of the contrast agent, as given.
    tesla : float or None
        Field strength, T.
    """

    tr_s: float
    flip_deg: float
    te_s: float | None = None
    times_s: tuple[float, ...] = ()
    injection_s: float | None = None
    dose: float | None = None
    relaxivity: float | None = None
    haematocrit: float | None = None
    agent: str = ''
    tesla: float | None = None

    def plain(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**self.__dict__, 'times_s': list(self.times_s)}


@dataclass
class Reading:
    """A sidecar, and what is said of it."""

    given: Mapping[str, Any]
    shown: str
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(f'{self.shown}: {text}')

    def refuse(self, message: str, name: str, remedy: str) -> InputError:
        return InputError(message, file=self.shown, field=name, remedy=remedy)

    def first(self, names: Sequence[str]) -> tuple[str, Any]:
        """Return the first field that is there."""
        for name in names:
            value = self.given.get(name)
            if value is not None and value not in ('', 'n/a', []):
                return name, value
        return '', None

    def number(
        self, names: Sequence[str], low: float, high: float, unit: str, others=()
    ) -> float | None:
        """Read the first field that is a number in a range, be it in another unit."""
        for name in names:
            value = self.given.get(name)
            if value is None or value in ('', 'n/a'):
                continue
            found = plain_number(value)
            if found is None:
                self.note(f'{name} is {_shown(value)}, which is not a number; it is not used.')
                continue
            if low <= found <= high:
                return found
            for called, factor in others:
                if low <= found * factor <= high:
                    self.note(
                        f'{name} is {found:g}, which is in {called}; it is read as '
                        f'{found * factor:.4g} {unit}.'.replace(' .', '.')
                    )
                    return found * factor
            self.note(
                f'{name} is {found:g}, which is not within {low:g} to {high:g} {unit}'.rstrip()
                + '; it is not used.'
            )
        return None


def read_protocol(
    metadata: Mapping[str, Any], frames: int, *, header_s: float = 0.0, shown: str = 'the sidecar'
) -> tuple[Protocol, list[str]]:
    """Read what a dynamic series needs from its sidecar.

    Parameters
    ----------
    metadata : mapping
        JSON sidecar, inheritance resolved.
    frames : int
        Number of volumes.
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
        If the sequence is none that can be converted, or TR, flip angle or times are missing or
        contradict each other. Names the field.

    Examples
    --------
    >>> protocol, notes = read_protocol(
    ...     {'RepetitionTime': 5.4, 'FlipAngle': 0.2094, 'AcquisitionDuration': 40}, 10
    ... )
    >>> protocol.tr_s, round(protocol.flip_deg, 2), protocol.times_s[:2]
    (0.0054, 12.0, (20.0, 60.0))
    >>> for note in notes[:2]:
    ...     print(note)
    the sidecar: RepetitionTime is 5.4, which is in ms; it is read as 0.0054 s.
    the sidecar: FlipAngle is 0.2094, which is in radians; it is read as 12 degrees.
    """
    read = Reading(metadata, shown)
    if frames < LEAST_FRAMES:
        raise read.refuse(
            f'The series has {frames} volumes; a dynamic series needs at least {LEAST_FRAMES}.',
            'dim[4]',
            'Put all volumes of the series into one file, in the order of their acquisition.',
        )
    _check_sequence(read)
    times = _times(read, frames, header_s)
    tr = read_tr(read, times[1] - times[0])
    flip = read_flip(read, least=3.0)
    te = read.number(('EchoTime',), 2e-4, 0.03, 's', (('ms', 1e-3),))
    protocol = Protocol(
        tr_s=tr,
        flip_deg=flip,
        te_s=te,
        times_s=times,
        injection_s=_injection(read, times),
        dose=_dose(read),
        relaxivity=_relaxivity(read),
        haematocrit=_haematocrit(read),
        agent=_agent(read),
        tesla=read.number(('MagneticFieldStrength',), 0.1, 12.0, 'T', (('mT', 1e-3), ('G', 1e-4))),
    )
    return protocol, read.notes


def read_flip_image(
    metadata: Mapping[str, Any], shown: str
) -> tuple[tuple[float, float] | None, list[str]]:
    """Read TR (s) and flip angle (degrees) of an image for T1 mapping; None, and why, without.

    Examples
    --------
    >>> read_flip_image({'RepetitionTimeExcitation': 0.0054, 'FlipAngle': 2}, 'a')
    ((0.0054, 2.0), [])
    """
    read = Reading(metadata, shown)
    try:
        return (read_tr(read), read_flip(read, least=1.0)), read.notes
    except InputError as error:
        return None, [*read.notes, str(error)]


def read_tr(read: Reading, step_s: float = 0.0) -> float:
    """Read the time between excitations, s; ``step_s`` is that between volumes, if there are."""
    names = ('RepetitionTimeExcitation', 'RepetitionTime')
    given = dict(read.given)
    volumes = plain_number(given.get('RepetitionTime'))
    if volumes is not None and step_s and abs(volumes / step_s - 1) < 0.05:
        # Of a series, RepetitionTime may be that of the volumes.
        del given['RepetitionTime']
    several = Reading(given, read.shown)
    found = {}
    for name in names:
        tr = several.number((name,), 1e-3, 0.1, 's', (('ms', 1e-3), ('us', 1e-6)))
        if tr is not None:
            found[name] = tr
    read.notes += [note for note in several.notes if not (found and 'not within' in note)]
    if not found:
        name, value = read.first(names)
        said = f'{name} is {_shown(value)}' if name else 'RepetitionTimeExcitation is missing'
        raise read.refuse(
            f'The time between excitations is not known: {said}.',
            names[0],
            'Write it in seconds (typically 0.003 to 0.01).',
        )
    if len(found) == 2 and abs(found[names[0]] / found[names[1]] - 1) > 0.02:
        read.note(
            f'RepetitionTimeExcitation ({found[names[0]]:.4g} s) and RepetitionTime '
            f'({found[names[1]]:.4g} s) differ; the first is used.'
        )
    return next(iter(found.values()))


def read_flip(read: Reading, least: float) -> float:
    """Read the flip angle, degrees."""
    name, value = read.first(('FlipAngle',))
    found = plain_number(value) if name else None
    remedy = 'Write it in degrees.'
    if not name:
        raise read.refuse('The flip angle is missing.', 'FlipAngle', remedy)
    if found is None:
        raise read.refuse(
            f'The flip angle is {_shown(value)}, which is not a number.', 'FlipAngle', remedy
        )
    if least <= found <= 90:
        return found
    turned = found * 57.29577951308232
    # No series of a few excitations a second has a flip angle below that; as radians it is plain.
    if 0 < found < least and least <= turned <= 90:
        read.note(
            f'FlipAngle is {found:g}, which is in radians; it is read as {turned:.4g} degrees.'
        )
        return turned
    raise read.refuse(
        f'The flip angle is {found:g}, which is not within {least:g} to 90 degrees.',
        'FlipAngle',
        remedy,
    )


def _check_sequence(read: Reading) -> None:
    """Refuse what is no spoiled gradient echo."""
    words = ' '.join(
        str(read.given.get(name, ''))
        for name in (
            'PulseSequenceType',
            'PulseSequenceDetails',
            'SequenceName',
            'ScanningSequence',
        )
    ).lower()
    other = OTHER_SEQUENCES.search(words)
    if other and not SPOILED.search(words):
        raise read.refuse(
            f'The sequence seems to be no spoiled gradient echo ("{other[0]}"): its signal '
            'cannot be converted to concentration.',
            'PulseSequenceType',
            'If it is one, correct the field; series weighted by T2* are named dsc.',
        )
    _check_preparation(read, words)
    state = read.given.get('SpoilingState')
    if state is False or str(state).lower() in ('false', '0'):
        raise read.refuse(
            'SpoilingState says that the gradient echo is not spoiled: its signal cannot be '
            'converted to concentration.',
            'SpoilingState',
            'Correct the field if the sequence is spoiled.',
        )
    if str(read.given.get('MRAcquisitionType', '')).upper() == '2D':
        read.note(
            'MRAcquisitionType is 2D: blood that flows in has another signal; the input function '
            'may be wrong.'
        )


def _check_preparation(read: Reading, words: str) -> None:
    """Refuse what is prepared by inversion or saturation: its signal has another equation."""
    remedy = 'Correct the field if the sequence has no preparation pulse.'
    inversion = plain_number(read.given.get('InversionTime'))
    if inversion is not None and inversion > 10:
        inversion /= 1000
    if inversion is not None and inversion >= INVERSION_S:
        raise read.refuse(
            f'InversionTime is {_shown(read.given["InversionTime"])}: the signal of a sequence '
            'prepared by inversion or saturation cannot be converted to concentration.',
            'InversionTime',
            remedy,
        )
    scanning = re.split(r'[^a-z]+', str(read.given.get('ScanningSequence', '')).lower())
    found = PREPARED.search(words)
    if 'ir' in scanning or found:
        name = 'ScanningSequence' if 'ir' in scanning else 'PulseSequenceType'
        shown = 'IR' if 'ir' in scanning else found[0]
        raise read.refuse(
            f'The sequence seems to be prepared by inversion or saturation ("{shown}"): its '
            'signal cannot be converted to concentration.',
            name,
            remedy,
        )


def _numbers(value: Any) -> list[float] | None:
    """Return a list of finite numbers; None if it is no such list."""
    if not isinstance(value, list) or not value:
        return None
    found = [plain_number(item) for item in value]
    return None if any(item is None for item in found) else [float(item) for item in found]  # type: ignore[arg-type]


def _times(read: Reading, frames: int, header_s: float) -> tuple[float, ...]:
    """Find the middle of each volume, s."""
    name, value = read.first(('VolumeTiming', 'FrameTimesStart', 'FrameTimes'))
    starts = _numbers(value) if name else None
    if name and starts is None:
        read.note(f'{name} is {_shown(value)}, which is not a list of numbers; it is not used.')
    if starts is not None and len(starts) != frames:
        read.note(f'{name} has {len(starts)} times, the series {frames} volumes; it is not used.')
        starts = None
    hints = [header_s]
    if starts is not None:
        middle = sorted(b - a for a, b in pairwise(starts))[(len(starts) - 1) // 2]
        hints += [middle * factor for factor in (1.0, 1e-3, 60.0)]
    step = _step(read, frames, hints, told=starts is not None)
    if starts is not None:
        gaps = [b - a for a, b in pairwise(starts)]
        if min(gaps) <= 0:
            raise read.refuse(
                f'{name} does not rise from volume to volume.',
                name,
                'Write the start of each volume, in seconds since the first, in the order of '
                'the volumes.',
            )
        middle = sorted(gaps)[len(gaps) // 2]
        factor = _scale_of(read, name, middle, frames, header_s or step or 0.0)
        starts = [time * factor for time in starts]
        gap = middle * factor
        known = step or header_s
        if known and STEP_S[0] <= known <= STEP_S[1] and abs(gap / known - 1) > 0.05:
            where = 'the sidecar' if step else 'the header of the image'
            read.note(
                f'{name} has volumes {gap:.4g} s apart, {where} {known:.4g} s; {name} is used.'
            )
        if max(gaps) > 2.5 * middle:
            read.note(
                f'{name} has a gap of {max(gaps) * factor:.4g} s between volumes that are '
                f'{gap:.4g} s apart.'
            )
        long = step if step and gap * 0.5 <= step <= gap * 1.05 else min(gap, min(gaps) * factor)
        first = starts[0]
        return tuple(round(time - first + long / 2, 6) for time in starts)
    if step is None and STEP_S[0] <= header_s <= STEP_S[1]:
        step = header_s
        read.note(
            f'No field gives the times of the volumes; the header of the image has {step:.4g} s '
            'from volume to volume, which is used.'
        )
    if step is None:
        raise read.refuse(
            'The times of the volumes are not known.',
            'VolumeTiming',
            'Write the start of each volume in seconds (a list), or AcquisitionDuration.',
        )
    return tuple(round((number + 0.5) * step, 6) for number in range(frames))


def _scale_of(read, name: str, step: float, frames: int, known: float) -> float:
    """Tell in which unit times are given, and return the factor to seconds."""
    units = (('s', 1.0), ('ms', 1e-3), ('min', 60.0))
    fitting = [
        (unit, factor)
        for unit, factor in units
        if STEP_S[0] <= step * factor <= STEP_S[1]
        and WHOLE_S[0] <= step * factor * frames <= WHOLE_S[1]
    ]
    if known:
        near = [u for u in units if abs(step * u[1] / known - 1) < 0.05]
        fitting = near or fitting
    if not fitting:
        raise read.refuse(
            f'{name} has volumes {step:g} apart, which is no plausible time in seconds.',
            name,
            'Write the start of each volume in seconds.',
        )
    unit, factor = fitting[0]
    if factor != 1.0:
        read.note(
            f'{name} has volumes {step:g} apart, which is in {unit}; it is read as '
            f'{step * factor:.4g} s.'
        )
    return factor


def _step(
    read: Reading, frames: int, hints: Sequence[float] = (), *, told: bool = False
) -> float | None:
    """Read the duration of a volume, s; None without.

    ``hints`` are times from volume to volume that something else gives, most trusted first;
    ``told`` says that the times of the volumes are known without it.
    """
    for name in ('AcquisitionDuration', 'FrameDuration', 'TemporalResolution'):
        value = read.given.get(name)
        if value is None or value in ('', 'n/a', []):
            continue
        items = _numbers(value) or [plain_number(value)]
        found = items[0]
        if found is None or not found > 0 or max(items) - min(items) > 0.05 * max(items):
            read.note(f'{name} is {_shown(value)}, which is not one duration; it is not used.')
            continue
        # Of a volume or of the whole series, in s or in ms.
        fitting = [
            (words, found * factor)
            for words, factor in (
                ('', 1.0),
                ('in ms', 1e-3),
                ('that of the whole series', 1 / frames),
                ('that of the whole series in ms', 1e-3 / frames),
            )
            if STEP_S[0] <= found * factor <= STEP_S[1]
            and WHOLE_S[0] <= found * factor * frames <= WHOLE_S[1]
        ]
        near = [w for h in hints if h for w in fitting if abs(w[1] / h - 1) < 0.05]
        if told and not near:
            # Shorter than the time between volumes it may be; more than that is guessing.
            fitting = [w for w in fitting if not w[0]]
        if not fitting:
            read.note(
                f'{name} is {found:g}, which is no plausible duration of a volume in s; it is '
                'not used.'
            )
            continue
        words, step = near[0] if near else _likely(read, name, found, fitting, frames)
        if words:
            read.note(f'{name} is {found:g}, which is {words}; a volume takes {step:.4g} s.')
        return step
    # BIDS' RepetitionTime of a series is that of its volumes.
    time = plain_number(read.given.get('RepetitionTime'))
    if time is not None and 1.0 <= time <= STEP_S[1] and 'RepetitionTimeExcitation' in read.given:
        return time
    return None


def _likely(read, name: str, found: float, fitting, frames: int) -> tuple[str, float]:
    """Choose between readings of a duration that nothing else decides."""
    volume = [w for w in fitting if 'whole' not in w[0]]
    whole = [w for w in fitting if 'whole' in w[0]]
    if name != 'AcquisitionDuration' or not (volume and whole):
        return (volume or whole)[0]
    if whole[0][1] * frames >= LONG_S:
        return whole[0]
    if volume[0][1] <= SLOW_S:
        return volume[0]
    raise read.refuse(
        f'{name} is {found:g}, which may be that of a volume ({volume[0][1]:.4g} s) or of the '
        f'whole series ({whole[0][1]:.4g} s for each of {frames} volumes).',
        'VolumeTiming',
        'Write the start of each volume in seconds (a list).',
    )


def _injection(read: Reading, times: Sequence[float]) -> float | None:
    """Read when the injection began, s."""
    name, value = read.first(
        ('InjectionStart', 'InjectionTime', 'BolusStart', 'ContrastBolusStart')
    )
    if not name:
        read.note('InjectionStart is missing; the arrival of the bolus is found from the images.')
        return None
    end = times[-1]
    found = plain_number(value)
    if found is None:
        read.note(f'{name} is {_shown(value)}, which is not a number of seconds; it is not used.')
    elif 0 < found < end * 0.9:
        return found
    elif end <= found and times[0] <= found / 1000 < end * 0.9:
        read.note(f'{name} is {found:g}, which is in ms; it is read as {found / 1000:g} s.')
        return found / 1000
    elif found <= 0:
        read.note(
            f'{name} is {found:g}: before the first volume. Without volumes before the contrast '
            'agent nothing can be converted; the arrival is looked for in the images.'
        )
    else:
        read.note(f'{name} is {found:g} s, but the series ends at {end:g} s; it is not used.')
    return None


def _agent(read: Reading) -> str:
    name, value = read.first(
        (
            'ContrastBolusAgent',
            'ContrastBolusAgentName',
            'ContrastAgent',
            'ContrastBolusIngredient',
        )
    )
    return ' '.join(str(value).split())[:80] if name and isinstance(value, str) else ''


def _relaxivity(read: Reading) -> float | None:
    given = read.number(
        ('Relaxivity', 'ContrastAgentRelaxivity', 'R1Relaxivity'),
        1.5,
        12.0,
        'L/mmol/s',
        (('L/mol/s', 1e-3),),
    )
    if given is not None:
        return given
    agent = _agent(read).lower()
    for word, known in RELAXIVITIES.items():
        if word in agent:
            read.note(f'Relaxivity is missing; {known:g} L/mmol/s is that of {word} at 3 T.')
            return known
    read.note(
        'Relaxivity is missing; the default is used. PS and v_p do not depend on it, the '
        'concentrations do.'
    )
    return None


def _dose(read: Reading) -> float | None:
    """Read the dose, mmol/kg."""
    units = str(read.given.get('ContrastBolusDoseUnits', '')).lower().replace(' ', '')
    name, value = read.first(('ContrastBolusDose', 'ContrastDose', 'Dose'))
    found = plain_number(value) if name else None
    weight = plain_number(read.given.get('PatientWeight'))
    if name and found is None:
        read.note(f'{name} is {_shown(value)}, which is not a number; it is not used.')
    if found is not None and 0.01 <= found <= 0.35 and units in ('', 'mmol/kg'):
        return found
    if found is not None and 10 <= found <= 350 and units in ('umol/kg', 'µmol/kg'):
        return found / 1000
    if found is not None and weight and 25 <= weight <= 250:
        if units in ('', 'mmol') and 0.01 <= found / weight <= 0.35:
            read.note(
                f'{name} is {found:g}, which is the whole dose in mmol; with PatientWeight '
                f'{weight:g} kg it is {found / weight:.3g} mmol/kg.'
            )
            return found / weight
        strength = plain_number(read.given.get('ContrastBolusConcentration'))
        if units == 'ml' and strength and 0.01 <= found * strength / weight <= 0.35:
            read.note(
                f'{name} is {found:g} mL of {strength:g} mmol/mL; with PatientWeight '
                f'{weight:g} kg it is {found * strength / weight:.3g} mmol/kg.'
            )
            return found * strength / weight
    if found is not None:
        read.note(
            f'{name} is {found:g} {units}, which is no plausible dose in mmol/kg; it is not used.'
        )
    elif not name:
        read.note(
            'ContrastBolusDose is missing; PS and v_p do not depend on it, but the input function '
            'cannot be compared with the dose.'
        )
    return None


def _haematocrit(read: Reading) -> float | None:
    names = ('Hematocrit', 'Haematocrit', 'HCT', 'Hct')
    found = read.number(names, 0.15, 0.7, '', (('percent', 1e-2),))
    if found is None and not read.first(names)[0]:
        read.note(
            'Hematocrit is missing; the default is used. PS and v_p are proportional to '
            '1 - haematocrit.'
        )
    return found


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + '...'
