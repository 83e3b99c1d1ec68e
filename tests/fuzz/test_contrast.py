"""Sidecars of dynamic series: wrong, missing and contradictory fields, one table of cases.

Each case says what changes in a good sidecar, and what has to come of it: a value, a sentence that
names the field, or a refusal that names field and remedy. Nothing may end in a traceback.
"""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from csvdprep.bids.contrast import Protocol, read_flip_image, read_protocol
from csvdprep.core.errors import InputError

FRAMES, STEP = 24, 40.0
GOOD = {
    'PulseSequenceType': 'Spoiled gradient echo',
    'SpoilingState': True,
    'MRAcquisitionType': '3D',
    'MagneticFieldStrength': 3,
    'RepetitionTimeExcitation': 0.0054,
    'EchoTime': 0.002,
    'FlipAngle': 12,
    'VolumeTiming': [n * STEP for n in range(FRAMES)],
    'AcquisitionDuration': STEP,
    'ContrastBolusIngredient': 'GADOLINIUM',
    'ContrastBolusDose': 0.1,
    'ContrastBolusDoseUnits': 'mmol/kg',
    'InjectionStart': 120.0,
    'Relaxivity': 4.5,
    'Hematocrit': 0.42,
}
RIGHT = Protocol(
    tr_s=0.0054,
    flip_deg=12.0,
    te_s=0.002,
    times_s=tuple((n + 0.5) * STEP for n in range(FRAMES)),
    injection_s=120.0,
    dose=0.1,
    relaxivity=4.5,
    haematocrit=0.42,
    agent='GADOLINIUM',
    tesla=3.0,
)
GONE = object()
TIMES = GOOD['VolumeTiming']

#: What changes; what is read of it; words that notes have to say.
READ = {
    'nothing': ({}, {}, None),
    # ---- repetition time
    'TR in ms': ({'RepetitionTimeExcitation': 5.4}, {}, 'RepetitionTimeExcitation is 5.4.*ms'),
    'TR as text': ({'RepetitionTimeExcitation': '0.0054'}, {}, None),
    'TR as text with a comma': ({'RepetitionTimeExcitation': '0,0054'}, {}, None),
    'TR as a list of one': ({'RepetitionTimeExcitation': [0.0054]}, {}, None),
    'TR in microseconds': ({'RepetitionTimeExcitation': 5400}, {}, 'us'),
    'RepetitionTime alone': (
        {'RepetitionTimeExcitation': GONE, 'RepetitionTime': 0.0054},
        {},
        None,
    ),
    'RepetitionTime alone, ms': (
        {'RepetitionTimeExcitation': GONE, 'RepetitionTime': 5.4},
        {},
        'RepetitionTime is 5.4.*ms',
    ),
    'RepetitionTime of the volumes': ({'RepetitionTime': 40.0}, {}, None),
    'both, different': ({'RepetitionTime': 0.0034}, {}, 'differ; the first is used'),
    'TR nonsense, RepetitionTime good': (
        {'RepetitionTimeExcitation': 'fast', 'RepetitionTime': 0.0054},
        {},
        'RepetitionTimeExcitation is .fast.',
    ),
    # ---- flip angle
    'flip angle in radians': ({'FlipAngle': 0.20943951}, {}, 'radians'),
    'flip angle as text': ({'FlipAngle': '12'}, {}, None),
    'flip angle as a list of one': ({'FlipAngle': [12]}, {}, None),
    # ---- echo time
    'echo time in ms': ({'EchoTime': 2.0}, {}, 'EchoTime is 2.*ms'),
    'no echo time': ({'EchoTime': GONE}, {'te_s': None}, None),
    'echo time of a spin echo': ({'EchoTime': 0.1}, {'te_s': None}, 'EchoTime is 0.1'),
    # ---- times
    'times in ms': ({'VolumeTiming': [1000 * t for t in TIMES]}, {}, 'VolumeTiming.*ms'),
    'times in minutes': ({'VolumeTiming': [t / 60 for t in TIMES]}, {}, 'VolumeTiming.*min'),
    'times in ms, nothing else': (
        {'VolumeTiming': [1000 * t for t in TIMES], 'AcquisitionDuration': GONE},
        {},
        'VolumeTiming.*ms',
    ),
    'times as texts': ({'VolumeTiming': [str(t) for t in TIMES]}, {}, None),
    'times that begin late': ({'VolumeTiming': [t + 7 for t in TIMES]}, {}, None),
    'times of another number of volumes': (
        {'VolumeTiming': TIMES[:-1]},
        {},
        'VolumeTiming has 23 times',
    ),
    'times that are a number': ({'VolumeTiming': 40}, {}, 'VolumeTiming is 40'),
    'times with a hole': (
        {'VolumeTiming': [t + (600 if t > 400 else 0) for t in TIMES]},
        {'times_s': tuple(t + 20 + (600 if t > 400 else 0) for t in TIMES)},
        'gap of 640',
    ),
    'times as null': ({'VolumeTiming': None}, {}, None),
    'times with null': ({'VolumeTiming': [None, *TIMES[1:]]}, {}, 'not a list of numbers'),
    'no times, a duration': ({'VolumeTiming': GONE}, {}, None),
    'no times, a duration in ms': (
        {'VolumeTiming': GONE, 'AcquisitionDuration': 40000},
        {},
        'AcquisitionDuration is 40000',
    ),
    'no times, the duration of the whole': (
        {'VolumeTiming': GONE, 'AcquisitionDuration': STEP * FRAMES},
        {},
        'whole series',
    ),
    'no times, durations': (
        {'VolumeTiming': GONE, 'AcquisitionDuration': GONE, 'FrameDuration': [STEP] * FRAMES},
        {},
        None,
    ),
    'no times, the step of the header': (
        {'VolumeTiming': GONE, 'AcquisitionDuration': GONE},
        {},
        'header',
    ),
    'no times, RepetitionTime of the volumes': (
        {'VolumeTiming': GONE, 'AcquisitionDuration': GONE, 'RepetitionTime': 40},
        {},
        None,
    ),
    'FrameTimesStart, as PET has it': (
        {'VolumeTiming': GONE, 'FrameTimesStart': TIMES, 'AcquisitionDuration': GONE},
        {},
        None,
    ),
    'times and duration contradict': (
        {'AcquisitionDuration': 55.0},
        {'times_s': tuple(t + 20 for t in TIMES)},
        '40 s apart.*55 s; VolumeTiming is used',
    ),
    'duration shorter than the step': (
        {'AcquisitionDuration': 30.0},
        {'times_s': tuple(t + 15 for t in TIMES)},
        '40 s apart.*30 s',
    ),
    # ---- injection
    'injection in ms': ({'InjectionStart': 120000}, {}, 'InjectionStart is 120000.*ms'),
    'no injection': ({'InjectionStart': GONE}, {'injection_s': None}, 'InjectionStart is missing'),
    'injection before the series': ({'InjectionStart': -5}, {'injection_s': None}, 'before the'),
    'injection after the series': ({'InjectionStart': 1500}, {'injection_s': None}, 'series ends'),
    'injection as a time of day': (
        {'InjectionStart': '10:32:05'},
        {'injection_s': None},
        'InjectionStart is .10:32:05.',
    ),
    'injection under another name': ({'InjectionStart': GONE, 'BolusStart': 120}, {}, None),
    # ---- dose
    'no dose': ({'ContrastBolusDose': GONE}, {'dose': None}, 'ContrastBolusDose is missing'),
    'dose in mmol, with weight': (
        {'ContrastBolusDose': 7.5, 'ContrastBolusDoseUnits': 'mmol', 'PatientWeight': 75},
        {},
        'whole dose in mmol',
    ),
    'dose in mmol, without weight': (
        {'ContrastBolusDose': 7.5, 'ContrastBolusDoseUnits': 'mmol'},
        {'dose': None},
        'ContrastBolusDose is 7.5',
    ),
    'dose in umol/kg': ({'ContrastBolusDose': 100, 'ContrastBolusDoseUnits': 'umol/kg'}, {}, None),
    'dose in mL, with concentration and weight': (
        {
            'ContrastBolusDose': 15,
            'ContrastBolusDoseUnits': 'mL',
            'ContrastBolusConcentration': 0.5,
            'PatientWeight': 75,
        },
        {},
        '15 mL',
    ),
    'dose far too high': ({'ContrastBolusDose': 50}, {'dose': None}, 'no plausible dose'),
    'dose in words': ({'ContrastBolusDose': 'single'}, {'dose': None}, 'not a number'),
    # ---- relaxivity
    'no relaxivity': ({'Relaxivity': GONE}, {'relaxivity': None}, 'Relaxivity is missing'),
    'relaxivity from the agent': (
        {'Relaxivity': GONE, 'ContrastBolusAgent': 'Gadovist 1.0'},
        {'relaxivity': 5.0, 'agent': 'Gadovist 1.0'},
        'that of gadovist',
    ),
    'relaxivity per mol': ({'Relaxivity': 4500}, {}, 'Relaxivity is 4500'),
    'relaxivity of nothing': (
        {'Relaxivity': 0},
        {'relaxivity': None},
        'Relaxivity is 0.*not within',
    ),
    # ---- haematocrit
    'haematocrit in percent': ({'Hematocrit': 42}, {}, 'Hematocrit is 42.*percent'),
    'haematocrit in British': ({'Hematocrit': GONE, 'Haematocrit': 0.42}, {}, None),
    'no haematocrit': ({'Hematocrit': GONE}, {'haematocrit': None}, 'Hematocrit is missing'),
    'haematocrit of a stone': (
        {'Hematocrit': 0.95},
        {'haematocrit': None},
        'Hematocrit is 0.95.*not within',
    ),
    'haematocrit negative': ({'Hematocrit': -0.4}, {'haematocrit': None}, 'Hematocrit is -0.4'),
    # ---- the rest
    '2D': ({'MRAcquisitionType': '2D'}, {}, 'MRAcquisitionType is 2D'),
    'field strength in mT': ({'MagneticFieldStrength': 3000}, {}, 'mT'),
    'agent is a number': ({'ContrastBolusIngredient': 7}, {'agent': ''}, None),
    'a FLASH that is called turbo FLASH': ({'PulseSequenceType': 'TurboFLASH'}, {}, None),
    'a slab with an offset': (
        {'PulseSequenceType': '3D gradient echo', 'PulseSequenceDetails': 'slab offset 10 mm'},
        {},
        None,
    ),
    'fat suppressed by a short inversion': ({'InversionTime': 0.014}, {}, None),
    'fields without end': ({'Comment': 'x' * 100_000}, {}, None),
}

#: What changes; field that the refusal names.
REFUSED = {
    'no TR': ({'RepetitionTimeExcitation': GONE}, 'RepetitionTimeExcitation'),
    'TR of nothing': ({'RepetitionTimeExcitation': 0}, 'RepetitionTimeExcitation'),
    'TR negative': ({'RepetitionTimeExcitation': -0.005}, 'RepetitionTimeExcitation'),
    'TR that is not finite': ({'RepetitionTimeExcitation': 'NaN'}, 'RepetitionTimeExcitation'),
    'TR of the volumes alone': (
        {'RepetitionTimeExcitation': GONE, 'RepetitionTime': 400.0},
        'RepetitionTimeExcitation',
    ),
    'no flip angle': ({'FlipAngle': GONE}, 'FlipAngle'),
    'flip angle of 180': ({'FlipAngle': 180}, 'FlipAngle'),
    'flip angle of nothing': ({'FlipAngle': 0}, 'FlipAngle'),
    'flip angle negative': ({'FlipAngle': -12}, 'FlipAngle'),
    'flip angle in words': ({'FlipAngle': 'small'}, 'FlipAngle'),
    'flip angles of a train': ({'FlipAngle': [12, 12, 12]}, 'FlipAngle'),
    'times that fall': ({'VolumeTiming': TIMES[::-1]}, 'VolumeTiming'),
    'times that stand': ({'VolumeTiming': [0.0] * FRAMES}, 'VolumeTiming'),
    'one time twice': ({'VolumeTiming': [0.0, *TIMES[:-1]]}, 'VolumeTiming'),
    'times in hours': (
        {'VolumeTiming': [t / 3600 for t in TIMES], 'AcquisitionDuration': GONE},
        'VolumeTiming',
    ),
    'prepared by inversion': ({'InversionTime': 0.9}, 'InversionTime'),
    'prepared by inversion, in ms': ({'InversionTime': 900}, 'InversionTime'),
    'scanned by inversion recovery': ({'ScanningSequence': 'GR IR'}, 'ScanningSequence'),
    'scanned by inversion recovery, list': (
        {'ScanningSequence': ['GR', 'IR']},
        'ScanningSequence',
    ),
    'turbo FLASH with preparation': ({'SequenceName': '*tfl3d1'}, 'PulseSequenceType'),
    'turbo spin echo': ({'PulseSequenceType': '3D TSE'}, 'PulseSequenceType'),
    'a sequence that differs': (
        {'PulseSequenceType': 'FSE', 'PulseSequenceDetails': 'different from before'},
        'PulseSequenceType',
    ),
    'bSSFP': ({'PulseSequenceType': 'bSSFP'}, 'PulseSequenceType'),
    'EPI': ({'PulseSequenceType': 'Gradient Echo EPI'}, 'PulseSequenceType'),
    'not spoiled': ({'SpoilingState': False}, 'SpoilingState'),
    'not spoiled, as text': ({'SpoilingState': 'false'}, 'SpoilingState'),
}


def changed(changes):
    made = {**GOOD, **changes}
    return {name: value for name, value in made.items() if value is not GONE}


@pytest.mark.parametrize('case', READ)
def test_what_can_be_read_is_read_and_told(case):
    changes, wanted, words = READ[case]
    found, notes = read_protocol(changed(changes), FRAMES, header_s=STEP, shown='sub-01_dce')
    for name, value in {**RIGHT.__dict__, **wanted}.items():
        got = getattr(found, name)
        if value is None or isinstance(value, str):
            assert got == value, name
        else:
            assert np.allclose(got, value, rtol=1e-6), name
    said = '\n'.join(notes)
    assert all(note.startswith('sub-01_dce: ') for note in notes)
    if words is None:
        assert said == ''
    else:
        assert re.search(words, said), said
    json.dumps(found.plain())


@pytest.mark.parametrize('case', REFUSED)
def test_what_nothing_can_be_made_of_is_refused_by_name(case):
    changes, field = REFUSED[case]
    with pytest.raises(InputError) as caught:
        read_protocol(changed(changes), FRAMES, header_s=STEP, shown='sub-01_dce')
    assert caught.value.field == field
    assert caught.value.remedy
    assert caught.value.file == 'sub-01_dce'


def test_times_that_nothing_tells_are_refused():
    without = changed({'VolumeTiming': GONE, 'AcquisitionDuration': GONE})
    for header in (0.0, 1e-3, 1e6):
        with pytest.raises(InputError) as caught:
            read_protocol(without, FRAMES, header_s=header)
        assert caught.value.field == 'VolumeTiming'


def test_few_volumes_are_no_dynamic_series():
    with pytest.raises(InputError, match='3 volumes'):
        read_protocol(changed({'VolumeTiming': TIMES[:3]}), 3)


@pytest.mark.parametrize(
    ('metadata', 'wanted'),
    [
        ({'RepetitionTimeExcitation': 0.0054, 'FlipAngle': 2}, (0.0054, 2.0)),
        ({'RepetitionTimeExcitation': 5.4, 'FlipAngle': 0.034906585}, (0.0054, 2.0)),
        ({'RepetitionTime': '0.0054', 'FlipAngle': '5'}, (0.0054, 5.0)),
        ({'FlipAngle': 5}, None),
        ({'RepetitionTime': 0.0054}, None),
        ({'RepetitionTime': 0.0054, 'FlipAngle': 120}, None),
    ],
)
def test_images_for_t1(metadata, wanted):
    found, notes = read_flip_image(metadata, 'sub-01_flip-1_VFA')
    if wanted is None:
        assert found is None
        assert 'sub-01_flip-1_VFA' in notes[-1]
    else:
        assert found == pytest.approx(wanted, rel=1e-6)


def test_values_of_any_kind_end_in_a_value_or_a_refusal():
    rng = np.random.default_rng(3)
    strange = [
        None,
        '',
        'n/a',
        [],
        {},
        True,
        1e308,
        -1,
        'x' * 50,
        [[]],
        [1, 'a'],
        10**400,
        '1e999',
    ]
    for _ in range(400):
        fields = rng.choice(list(GOOD), 3, replace=False)
        changes = {name: strange[rng.integers(len(strange))] for name in fields}
        refused = None
        try:
            found, _ = read_protocol({**GOOD, **changes}, FRAMES, header_s=STEP)
        except InputError as error:
            refused = error
        if refused is not None:
            assert refused.field
            assert refused.remedy
            continue
        numbers = [found.tr_s, found.flip_deg, *found.times_s]
        assert np.isfinite(numbers).all()
        assert (np.diff(found.times_s) > 0).all()


@pytest.mark.parametrize(
    ('duration', 'frames', 'step'),
    [(1200, 600, 2.0), (1800, 400, 4.5), (1200, 60, 20.0), (60, 20, 60.0), (110, 30, 110.0)],
)
def test_a_duration_that_nothing_else_decides(duration, frames, step):
    without = changed({'VolumeTiming': GONE, 'AcquisitionDuration': duration})
    found, notes = read_protocol(without, frames)
    assert found.times_s[1] - found.times_s[0] == pytest.approx(step)
    assert any('whole series' in note for note in notes) == (step != duration)


def test_a_duration_that_may_be_of_a_volume_or_of_the_series_is_asked_for():
    without = changed({'VolumeTiming': GONE, 'AcquisitionDuration': 230})
    with pytest.raises(InputError, match=r'of a volume .* or of the whole series') as caught:
        read_protocol(without, 30)
    assert caught.value.field == 'VolumeTiming'
    found, _ = read_protocol(without, 30, header_s=230 / 30)
    assert found.times_s[0] == pytest.approx(230 / 60)


@pytest.mark.parametrize('duration', [1200, 230, 20000, 1.5])
def test_a_duration_does_not_move_times_that_are_given(duration):
    given = changed({'VolumeTiming': [20.0 * n for n in range(60)]})
    found, _ = read_protocol(given | {'AcquisitionDuration': duration}, 60)
    assert found.times_s[:2] == (10.0, 30.0)
