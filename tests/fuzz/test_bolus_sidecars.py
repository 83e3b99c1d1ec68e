"""Sidecars of bolus-tracking series: wrong, missing and contradictory fields."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from csvdprep.bids.bolus import Protocol, read_bolus_protocol
from csvdprep.core.errors import InputError

FRAMES, STEP, SLICES = 50, 1.5, 20
SHAPE = (64, 64, SLICES, FRAMES)
AFFINE, ZOOMS = np.diag([3.0, 3, 5, 1]), (3.0, 3.0, 5.0)
TIMES = [round(0.07 * n, 3) for n in range(SLICES)]
STARTS = [n * STEP for n in range(FRAMES)]
GOOD = {
    'PulseSequenceType': 'Gradient echo EPI',
    'MRAcquisitionType': '2D',
    'MagneticFieldStrength': 3,
    'RepetitionTime': STEP,
    'EchoTime': 0.03,
    'SliceTiming': TIMES,
    'SliceEncodingDirection': 'k',
}
RIGHT = Protocol(
    step_s=STEP, te_s=0.03, frames=FRAMES, slice_axis=2, slice_s=tuple(TIMES), tesla=3.0
)
GONE = object()
NO_SLICES = {'slice_s': (), 'slices_known': False}

#: What changes; what is read of it; words that notes have to say.
READ = {
    'nothing': ({}, {}, None),
    # ---- echo time
    'TE in ms': ({'EchoTime': 30}, {}, 'EchoTime is 30.*ms'),
    'TE in microseconds': ({'EchoTime': 30000}, {}, 'EchoTime is 30000.*us'),
    'TE as text': ({'EchoTime': '0.03'}, {}, None),
    'TE as text with a comma': ({'EchoTime': '0,03'}, {}, None),
    'TE as a list of one': ({'EchoTime': [0.03]}, {}, None),
    'TE of several echoes': ({'EchoTime': [0.03, 0.06]}, {}, 'EchoTime has 2 values'),
    'no TE': ({'EchoTime': GONE}, {'te_given': False}, 'EchoTime is missing; 0.03 s'),
    'TE null': ({'EchoTime': None}, {'te_given': False}, 'EchoTime is missing'),
    'TE in words': ({'EchoTime': 'short'}, {'te_given': False}, 'EchoTime is .short.'),
    'TE of nothing': ({'EchoTime': 0}, {'te_given': False}, 'EchoTime is 0.*not within'),
    'TE negative': ({'EchoTime': -0.03}, {'te_given': False}, 'EchoTime is -0.03'),
    # ---- time from volume to volume
    'TR in ms': ({'RepetitionTime': 1500}, {}, 'RepetitionTime is 1500.*ms'),
    'TR as text': ({'RepetitionTime': '1.5'}, {}, None),
    'TR as a list of one': ({'RepetitionTime': [1.5]}, {}, None),
    'no TR, starts of volumes': ({'RepetitionTime': GONE, 'VolumeTiming': STARTS}, {}, None),
    'no TR, starts in ms': (
        {'RepetitionTime': GONE, 'VolumeTiming': [1000 * t for t in STARTS]},
        {},
        'in ms',
    ),
    'no TR, starts of another number': (
        {'VolumeTiming': STARTS[:-1]},
        {},
        'VolumeTiming is no list of 50',
    ),
    'no TR, the step of the header': ({'RepetitionTime': GONE}, {}, 'header of the image'),
    'TR nonsense, the step of the header': (
        {'RepetitionTime': 'fast'},
        {},
        "RepetitionTime is 'fast'",
    ),
    'TR and header contradict': (
        {'RepetitionTime': 2.0},
        {'step_s': 2.0},
        'says 2 s.*header of the image 1.5 s; RepetitionTime is used',
    ),
    'no TR, duration of the whole': (
        {'RepetitionTime': GONE, 'AcquisitionDuration': 75},
        {},
        'header of the image',
    ),
    'TR as text with a comma': ({'RepetitionTime': '1,5'}, {}, None),
    'TR null': ({'RepetitionTime': None}, {}, 'header of the image'),
    'TR in ms, header contradicts': (
        {'RepetitionTime': 3600},
        {'step_s': 3.6},
        r'(?s)3600.*in ms.*says 3.6 s.*header of the image 1.5 s',
    ),
    'TR that is not finite': ({'RepetitionTime': 'inf'}, {}, "RepetitionTime is 'inf'"),
    'TR that is a list of two': ({'RepetitionTime': [1.5, 2.0]}, {}, 'RepetitionTime is'),
    'TR within 2 % of the header': ({'RepetitionTime': 1.503}, {'step_s': 1.503}, None),
    'starts and TR contradict': (
        {'VolumeTiming': [2.0 * n for n in range(FRAMES)]},
        {'step_s': 2.0},
        'VolumeTiming has volumes 2 s apart, RepetitionTime is 1.5; VolumeTiming is used',
    ),
    'starts as texts': (
        {'RepetitionTime': GONE, 'VolumeTiming': [str(t) for t in STARTS]},
        {},
        None,
    ),
    'starts that begin late': (
        {'RepetitionTime': GONE, 'VolumeTiming': [t + 4 for t in STARTS]},
        {},
        None,
    ),
    'starts with null': (
        {'VolumeTiming': [None, *STARTS[1:]]},
        {},
        'VolumeTiming is no list of 50',
    ),
    'starts are a number': ({'VolumeTiming': 1.5}, {}, 'VolumeTiming is no list of 50'),
    # ---- slices
    'slices of another direction': (
        {'SliceEncodingDirection': 'i'},
        NO_SLICES | {'slice_axis': 0},
        'no list of 64 times',
    ),
    'slices of no direction': ({'SliceEncodingDirection': 'up'}, {}, None),
    'slices with null': ({'SliceTiming': [None, *TIMES[1:]]}, NO_SLICES, 'no list of 20'),
    'slices that are not finite': (
        {'SliceTiming': ['nan', *TIMES[1:]]},
        NO_SLICES,
        'no list of 20',
    ),
    'slices in microseconds': (
        {'SliceTiming': [1e6 * t for t in TIMES]},
        {},
        'SliceTiming goes up to',
    ),
    'all slices at once': ({'SliceTiming': [0.0] * SLICES}, {'slice_s': (0.0,) * SLICES}, None),
    '2D as text in small letters': ({'MRAcquisitionType': '2d'}, {}, None),
    '3D with slice times': (
        {'MRAcquisitionType': '3D'},
        {'slice_s': ()},
        'SliceTiming is given.*3D',
    ),
    'slices in ms': ({'SliceTiming': [1000 * t for t in TIMES]}, {}, 'SliceTiming goes up to'),
    'slices backwards': ({'SliceEncodingDirection': 'k-'}, {'slice_s': tuple(TIMES[::-1])}, None),
    'slices as texts': ({'SliceTiming': [str(t) for t in TIMES]}, {}, None),
    'no slices': ({'SliceTiming': GONE}, NO_SLICES, 'SliceTiming is missing.*up to 1.5 s'),
    'too few slices': ({'SliceTiming': TIMES[:-1]}, NO_SLICES, 'no list of 20 times'),
    'slices are a number': ({'SliceTiming': 0.07}, NO_SLICES, 'no list of 20 times'),
    'slices negative': ({'SliceTiming': [-t for t in TIMES]}, NO_SLICES, 'no list of 20'),
    'slices beyond the volume': ({'SliceTiming': [7 * t for t in TIMES]}, {'slice_s': ()}, None),
    '3D': (
        {'MRAcquisitionType': '3D', 'SliceTiming': GONE},
        {'slice_s': (), 'slices_known': True},
        None,
    ),
    # ---- the rest
    'spin echo': ({'PulseSequenceType': 'Spin echo EPI'}, {}, 'spin echo'),
    'field strength in mT': ({'MagneticFieldStrength': 3000}, {}, 'mT'),
    'fields without end': ({'Comment': 'x' * 100_000}, {}, None),
}
#: What changes, volumes, step of the header; field that the refusal names.
REFUSED = {
    'few volumes': ({}, 12, STEP, 'dim[4]'),
    'one volume': ({}, 1, STEP, 'dim[4]'),
    'no TR, no header': ({'RepetitionTime': GONE}, FRAMES, 0.0, 'RepetitionTime'),
    'TR negative, no header': ({'RepetitionTime': -1.5}, FRAMES, 0.0, 'RepetitionTime'),
    'TR in words, header of hours': ({'RepetitionTime': 'x'}, FRAMES, 1e6, 'RepetitionTime'),
    'starts that fall': ({'VolumeTiming': STARTS[::-1]}, FRAMES, STEP, 'VolumeTiming'),
    'starts with a hole': (
        {'VolumeTiming': [t + (30 if t > 30 else 0) for t in STARTS]},
        FRAMES,
        STEP,
        'VolumeTiming',
    ),
}


def changed(changes):
    made = {**GOOD, **changes}
    return {name: value for name, value in made.items() if value is not GONE}


def read(metadata, *, frames=FRAMES, header=STEP):
    return read_bolus_protocol(
        metadata, (*SHAPE[:3], frames), AFFINE, ZOOMS, header_s=header, shown='sub-01_dsc'
    )


@pytest.mark.parametrize('case', READ)
def test_what_can_be_read_is_read_and_told(case):
    changes, wanted, words = READ[case]
    if case == 'slices beyond the volume':
        found, notes = read(changed(changes))
        assert found.slice_s == () or max(found.slice_s) <= STEP
        assert any('SliceTiming' in note for note in notes)
        return
    found, notes = read(changed(changes))
    for name, value in {**RIGHT.__dict__, **wanted}.items():
        got = getattr(found, name)
        if isinstance(value, float | tuple) and value != ():
            assert np.allclose(got, value, rtol=1e-6), name
        else:
            assert got == value, name
    said = '\n'.join(notes)
    assert all(note.startswith('sub-01_dsc: ') for note in notes)
    if words is None:
        assert said == ''
    else:
        assert re.search(words, said), said
    json.dumps(found.plain())


@pytest.mark.parametrize('case', REFUSED)
def test_what_nothing_can_be_made_of_is_refused_by_name(case):
    changes, frames, header, field = REFUSED[case]
    with pytest.raises(InputError) as caught:
        read(changed(changes), frames=frames, header=header)
    assert caught.value.field == field
    assert caught.value.remedy
    assert caught.value.file == 'sub-01_dsc'


def test_values_of_any_kind_end_in_a_value_or_a_refusal():
    rng = np.random.default_rng(5)
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
        fields = rng.choice([*GOOD, 'VolumeTiming'], 3, replace=False)
        changes = {name: strange[rng.integers(len(strange))] for name in fields}
        refused = None
        try:
            found, _ = read({**GOOD, **changes}, header=float(rng.choice([0.0, STEP])))
        except InputError as error:
            refused = error
        if refused is not None:
            assert refused.field
            assert refused.remedy
            continue
        assert np.isfinite([found.step_s, found.te_s, *found.slice_s]).all()
        assert found.step_s > 0
        assert found.te_s > 0
