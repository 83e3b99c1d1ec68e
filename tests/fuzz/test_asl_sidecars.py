"""Wrong, missing, contradictory sidecars of ASL: each is mended and told, or refused by name."""

import numpy as np
import pytest

from csvdprep.bids.labelling import M0, read_protocol
from csvdprep.core.errors import InputError

NOTHING = object()
PCASL = {
    'ArterialSpinLabelingType': 'PCASL',
    'PostLabelingDelay': 1.8,
    'LabelingDuration': 1.8,
    'BackgroundSuppression': False,
    'M0Type': 'Separate',
    'MRAcquisitionType': '3D',
    'RepetitionTimePreparation': 4.5,
    'MagneticFieldStrength': 3,
    'VascularCrushing': False,
}
PASL = {
    **{key: value for key, value in PCASL.items() if key != 'LabelingDuration'},
    'ArterialSpinLabelingType': 'PASL',
    'BolusCutOffFlag': True,
    'BolusCutOffTechnique': 'QUIPSSII',
    'BolusCutOffDelayTime': 0.7,
}
SLICES = [round(0.04 * k, 3) for k in range(10)]
FLAT = {**PCASL, 'MRAcquisitionType': '2D', 'SliceTiming': SLICES}
INSIDE = {**PCASL, 'M0Type': 'Included'}
CONTEXT = ['control', 'label'] * 3
M0_FIRST = ['m0scan', *CONTEXT]
SCAN = {'RepetitionTimePreparation': 10.0}


def read(fields, context=CONTEXT, m0=SCAN, volumes=None):
    return read_protocol(
        {key: value for key, value in fields.items() if value is not NOTHING},
        context,
        file='sub-01_asl.nii.gz',
        volumes=len(context) if volumes is None else volumes,
        shape=(32, 32, 10),
        affine=np.diag([4.0, 4, 6, 1]),
        zooms=(4.0, 4.0, 6.0),
        m0=None if m0 is None else M0(file='sub-01_m0scan.nii.gz', metadata=m0),
    )


#: What is changed, which field the refusal has to name, and words of it.
REFUSED = [
    (PCASL, {'ArterialSpinLabelingType': NOTHING}, 'ArterialSpinLabelingType', 'missing'),
    (PCASL, {'ArterialSpinLabelingType': 'VSASL'}, 'ArterialSpinLabelingType', 'VSASL'),
    (PCASL, {'ArterialSpinLabelingType': 3}, 'ArterialSpinLabelingType', '3'),
    (PCASL, {'ArterialSpinLabelingType': ['PCASL']}, 'ArterialSpinLabelingType', 'PCASL'),
    (PCASL, {'PostLabelingDelay': NOTHING}, 'PostLabelingDelay', 'missing'),
    (PCASL, {'PostLabelingDelay': None}, 'PostLabelingDelay', 'missing'),
    (PCASL, {'PostLabelingDelay': 'n/a'}, 'PostLabelingDelay', 'missing'),
    (PCASL, {'PostLabelingDelay': []}, 'PostLabelingDelay', 'missing'),
    (PCASL, {'PostLabelingDelay': 0}, 'PostLabelingDelay', '0 for every'),
    (PCASL, {'PostLabelingDelay': -1.8}, 'PostLabelingDelay', 'negative'),
    (PCASL, {'PostLabelingDelay': 9.5}, 'PostLabelingDelay', 'not within'),
    (PCASL, {'PostLabelingDelay': 1e9}, 'PostLabelingDelay', 'not within'),
    (PCASL, {'PostLabelingDelay': 'soon'}, 'PostLabelingDelay', 'no number'),
    (PCASL, {'PostLabelingDelay': [1.8, 'x', 1, 1, 1, 1]}, 'PostLabelingDelay', 'no number'),
    (PCASL, {'PostLabelingDelay': [0.5, 1.0, 1.5]}, 'PostLabelingDelay', '3 entries'),
    (PCASL, {'PostLabelingDelay': [1.8] * 7}, 'PostLabelingDelay', '7 entries'),
    (PCASL, {'PostLabelingDelay': [1.8] * 5 + [1800]}, 'PostLabelingDelay', 'not within'),
    (PCASL, {'LabelingDuration': NOTHING}, 'LabelingDuration', 'missing'),
    (PCASL, {'LabelingDuration': 0}, 'LabelingDuration', 'not within'),
    (PCASL, {'LabelingDuration': 18}, 'LabelingDuration', 'not within'),
    (PCASL, {'LabelingDuration': True}, 'LabelingDuration', 'no number'),
    (PCASL, {'LabelingDuration': {'s': 1.8}}, 'LabelingDuration', 'no number'),
    (PCASL, {'BackgroundSuppression': NOTHING}, 'BackgroundSuppression', 'missing'),
    (PCASL, {'BackgroundSuppression': 'maybe'}, 'BackgroundSuppression', 'maybe'),
    (PCASL, {'LabelingEfficiency': 0}, 'LabelingEfficiency', 'not within'),
    (PCASL, {'LabelingEfficiency': 1.7}, 'LabelingEfficiency', 'not within'),
    (PCASL, {'LabelingEfficiency': 'high'}, 'LabelingEfficiency', 'not within'),
    (PCASL, {'MagneticFieldStrength': NOTHING}, 'MagneticFieldStrength', 'missing'),
    (PCASL, {'MagneticFieldStrength': 0.3}, 'MagneticFieldStrength', 'not known'),
    (PCASL, {'MRAcquisitionType': NOTHING}, 'MRAcquisitionType', 'missing'),
    (PCASL, {'MRAcquisitionType': '4D'}, 'MRAcquisitionType', '4D'),
    (PCASL, {'LookLocker': True}, 'LookLocker', 'not modelled'),
    (FLAT, {'SliceTiming': NOTHING}, 'SliceTiming', 'missing'),
    (FLAT, {'SliceTiming': SLICES[:-1]}, 'SliceTiming', '9 entries'),
    (FLAT, {'SliceTiming': [-0.1, *SLICES[1:]]}, 'SliceTiming', 'no list'),
    (FLAT, {'SliceTiming': ['a'] * 10}, 'SliceTiming', 'no list'),
    (FLAT, {'SliceTiming': 0.04}, 'SliceTiming', 'no list'),
    (FLAT, {'SliceTiming': [k * 1.0 for k in range(10)]}, 'SliceTiming', 'spans'),
    (FLAT, {'SliceTiming': [k * 1e5 for k in range(10)]}, 'SliceTiming', 'goes up'),
    (PASL, {'BolusCutOffFlag': NOTHING, 'BolusCutOffDelayTime': NOTHING}, 'BolusCutOffFlag',
     'missing'),
    (PASL, {'BolusCutOffFlag': False}, 'BolusCutOffFlag', 'not cut off'),
    (PASL, {'BolusCutOffDelayTime': NOTHING}, 'BolusCutOffDelayTime', 'no number'),
    (PASL, {'BolusCutOffDelayTime': []}, 'BolusCutOffDelayTime', 'no number'),
    (PASL, {'BolusCutOffDelayTime': 12}, 'BolusCutOffDelayTime', 'not within'),
    (PASL, {'BolusCutOffDelayTime': 1.9}, 'BolusCutOffDelayTime', 'not before'),
    (PASL, {'BolusCutOffTechnique': 'QUIPSS'}, 'BolusCutOffTechnique', 'does not cut'),
    (PCASL, {'M0Type': 'Estimate'}, 'M0Estimate', 'missing'),
    (PCASL, {'M0Type': 'Estimate', 'M0Estimate': -5}, 'M0Estimate', '-5'),
    (PCASL, {'M0Type': 'Estimate', 'M0Estimate': 'x'}, 'M0Estimate', 'x'),
    (PCASL, {'RepetitionTimePreparation': [4.5, 4.5]}, 'RepetitionTimePreparation', '2 entries'),
    (PCASL, {'BackgroundSuppression': True, 'BackgroundSuppressionNumberPulses': 2.5},
     'BackgroundSuppressionNumberPulses', '2.5'),
]  # fmt: skip


@pytest.mark.parametrize(('base', 'changed', 'field', 'words'), REFUSED)
def test_what_cannot_be_mended_is_refused_by_name(base, changed, field, words):
    with pytest.raises(InputError) as caught:
        read({**base, **changed})
    assert caught.value.field == field
    assert caught.value.file == 'sub-01_asl.nii.gz'
    assert caught.value.remedy.endswith('.')
    assert words in caught.value.message


@pytest.mark.parametrize(
    ('context', 'fields', 'm0', 'field', 'words'),
    [
        (None, PCASL, SCAN, 'aslcontext.tsv', 'no aslcontext.tsv'),
        (CONTEXT[:-1], PCASL, SCAN, 'aslcontext.tsv', '5 rows'),
        ([], PCASL, SCAN, 'aslcontext.tsv', '0 rows'),
        (['control'] * 6, PCASL, SCAN, 'volume_type', 'nothing to subtract'),
        (['label'] * 6, PCASL, SCAN, 'volume_type', 'nothing to subtract'),
        (['m0scan'] * 6, PCASL, SCAN, 'volume_type', 'no control'),
        (['tag', 'control'] * 3, PCASL, SCAN, 'volume_type', '"tag"'),
        (CONTEXT, PCASL | {'BackgroundSuppression': True}, None, 'M0Type', 'no scale'),
        (CONTEXT, PCASL | {'M0Type': 'Absent', 'BackgroundSuppression': True}, None, 'M0Type',
         'no scale'),
        (['deltam'] * 6, PCASL | {'M0Type': 'Absent'}, None, 'M0Type', 'no scale'),
        (CONTEXT, PCASL | {'M0Type': NOTHING}, None, 'M0Type', 'no M0 image'),
    ],
)  # fmt: skip
def test_a_context_or_an_m0_that_cannot_be_used(context, fields, m0, field, words):
    with pytest.raises(InputError) as caught:
        read(fields, context, m0, volumes=6)
    assert caught.value.field == field
    assert words in caught.value.message


#: What is changed, what is then read, and words of the note or doubt.
MENDED = [
    (PCASL, {'PostLabelingDelay': 1800}, {'delays': [1.8] * 6}, 'read as ms'),
    (PCASL, {'PostLabelingDelay': '1.8'}, {'delays': [1.8] * 6}, ''),
    (PCASL, {'PostLabelingDelay': [0, 0, 1, 1, 2, 2]}, {'delays': [0, 0, 1, 1, 2, 2]}, ''),
    (PCASL, {'PostLabelingDelay': [0, 0, 900, 900, 2e3, 2e3]}, {'delays': [0, 0, 0.9, 0.9, 2, 2]},
     'read as ms'),
    (PCASL, {'PostLabelingDelay': [1.8] * 6}, {'delays': [1.8] * 6}, ''),
    (PCASL, {'PostLabelingDelay': 200}, {'delays': [0.2] * 6}, 'read as ms'),
    (PCASL, {'LabelingDuration': 1800}, {'durations': [1.8] * 6}, 'read as ms'),
    (PCASL, {'ArterialSpinLabelingType': 'pCASL'}, {'labelling': 'PCASL'}, 'is read as PCASL'),
    (PCASL, {'ArterialSpinLabelingType': 'Pseudo-continuous'}, {'labelling': 'PCASL'}, 'PCASL'),
    (PCASL, {'PASLType': 'FAIR'}, {'labelling': 'PCASL'}, 'also gives PASLType'),
    (PCASL, {'BolusCutOffFlag': True}, {'labelling': 'PCASL'}, 'does not have'),
    (PCASL, {'LabelingEfficiency': 85}, {'efficiency': 0.85}, 'percent'),
    (PCASL, {'BackgroundSuppression': 'yes'}, {'suppressed': True}, 'read as true'),
    (PCASL, {'BackgroundSuppression': True}, {'suppressed': True}, 'pulses is not given'),
    (PCASL, {'BackgroundSuppression': NOTHING, 'LabelingEfficiency': 0.7}, {'efficiency': 0.7},
     'BackgroundSuppression is missing'),
    (PCASL, {'BackgroundSuppressionNumberPulses': 4}, {'suppressed': False}, 'pulses are counted'),
    (PCASL, {'MagneticFieldStrength': NOTHING, 'ImagingFrequency': 123.2}, {'tesla': 2.89},
     'ImagingFrequency'),
    (PCASL, {'MagneticFieldStrength': 1.5, 'ImagingFrequency': 123.2}, {'tesla': 1.5},
     'that of 2.9 T'),
    (PCASL, {'MagneticFieldStrength': 3000}, {'tesla': 3.0}, 'mT'),
    (PCASL, {'VascularCrushing': NOTHING}, {'crushed': False}, 'taken as false'),
    (PCASL, {'MRAcquisitionType': NOTHING, 'PulseSequenceType': '3D GRASE'}, {'slice_times': []},
     'taken as 3D'),
    (PCASL, {'SliceTiming': SLICES}, {'slice_times': []}, 'not used'),
    (FLAT, {'SliceTiming': [1000 * t for t in SLICES]}, {'slice_times': SLICES}, 'read as ms'),
    (FLAT, {'SliceTiming': [t + 1 for t in SLICES]}, {'slice_times': SLICES}, ''),
    (FLAT, {'SliceEncodingDirection': 'k-'}, {'slice_times': SLICES[::-1]}, ''),
    (FLAT, {'SliceTiming': [0] * 10}, {'slice_times': [0] * 10}, 'the same for all'),
    (FLAT, {'MRAcquisitionType': NOTHING}, {'slice_times': SLICES}, 'taken as 2D'),
    (PCASL, {'RepetitionTimePreparation': 2.0}, {'labelling': 'PCASL'}, 'shorter than labelling'),
    (PCASL, {'RepetitionTimePreparation': 0}, {'control_repetition': None}, 'missing or 0'),
    (PCASL, {'RepetitionTimePreparation': 4500}, {'control_repetition': 4.5}, 'read as ms'),
    (PCASL, {'RepetitionTimePreparation': NOTHING, 'RepetitionTime': 4.5},
     {'control_repetition': 4.5}, 'RepetitionTime is used'),
    (PASL, {'BolusCutOffDelayTime': 700}, {'durations': [0.7] * 6}, 'read as ms'),
    (PASL, {'BolusCutOffTechnique': 'Q2TIPS', 'BolusCutOffDelayTime': [0.7, 1.6]},
     {'durations': [0.7] * 6}, ''),
    (PASL, {'BolusCutOffFlag': NOTHING}, {'durations': [0.7] * 6}, 'taken as true'),
    (PASL, {'BolusCutOffTechnique': NOTHING}, {'durations': [0.7] * 6}, 'neither QUIPSSII'),
    (PASL, {'LabelingDuration': 1.8}, {'durations': [0.7] * 6}, 'not used'),
    (PCASL, {'M0Type': NOTHING}, {'labelling': 'PCASL'}, 'taken as Separate'),
    (PCASL, {'M0Type': 'Absent'}, {'labelling': 'PCASL'}, 'it is used'),
    (PCASL, {'M0Type': 'Included'}, {'labelling': 'PCASL'}, 'M0 is separate'),
]  # fmt: skip


@pytest.mark.parametrize(('base', 'changed', 'wanted', 'words'), MENDED)
def test_what_can_be_mended_is_told(base, changed, wanted, words):
    found, said = read({**base, **changed})
    for key, value in wanted.items():
        assert found[key] == (pytest.approx(value) if value is not None else None), key
    assert words in ' '.join([*said.notes, *found['doubts']])
    if not words:
        assert not said.notes
        assert not found['doubts']


@pytest.mark.parametrize(
    ('context', 'fields', 'm0', 'kind', 'repetition'),
    [
        (CONTEXT, PCASL, SCAN, 'separate', 10.0),
        (CONTEXT, PCASL, {'RepetitionTime': 6.0}, 'separate', 6.0),
        (CONTEXT, PCASL, {}, 'separate', None),
        (CONTEXT, PCASL, {'RepetitionTimePreparation': 2.0, 'SliceTiming': [0, 8.8]}, 'separate',
         2.0),
        (M0_FIRST, INSIDE | {'RepetitionTimePreparation': [10.0, *[4.5] * 6]}, None, 'included',
         10.0),
        (M0_FIRST, INSIDE, None, 'included', 4.5),
        (M0_FIRST, PCASL, None, 'included', 4.5),
        (CONTEXT, PCASL, None, 'control', 4.5),
        (CONTEXT, PCASL | {'M0Type': 'Absent'}, None, 'control', 4.5),
        (CONTEXT, PCASL | {'M0Type': 'Estimate', 'M0Estimate': 900}, None, 'estimate', None),
        (['cbf'], PCASL | {'M0Type': NOTHING}, None, 'none', None),
        (['deltam', 'm0scan'], INSIDE, None, 'included', 4.5),
    ],
)  # fmt: skip
def test_where_m0_comes_from(context, fields, m0, kind, repetition):
    found, _ = read(fields, context, m0)
    assert (found['m0']['type'], found['m0']['repetition']) == (kind, repetition)


def test_flow_of_the_scanner_asks_for_no_times():
    asked = ('PostLabelingDelay', 'LabelingDuration', 'MRAcquisitionType', 'M0Type')
    found, said = read(PCASL | dict.fromkeys(asked, NOTHING), ['cbf'], None)
    assert (found['slice_axis'], found['slice_times']) == (2, [])
    assert not [note for note in said.notes if 'MRAcquisitionType' in note]
    with pytest.raises(InputError, match='MRAcquisitionType'):
        read(PCASL | {'MRAcquisitionType': NOTHING})


def test_an_m0_whose_times_contradict_each_other_is_doubted():
    found, _ = read(PCASL, m0={'RepetitionTimePreparation': 2.0, 'SliceTiming': [0, 8.83]})
    assert any('how far M0 is relaxed is not known' in doubt for doubt in found['doubts'])


def test_a_correct_sidecar_says_nothing():
    for fields in (PCASL, PASL, FLAT):
        found, said = read(fields)
        assert not said.notes
        assert not found['doubts']


ODD = (None, '', [], {}, 'x', -1, 1e30, True, [None], [[1]], 'ü', '1e999')
MORE = ('LabelingEfficiency', 'SliceEncodingDirection', 'RepetitionTime', 'ImagingFrequency',
        'BackgroundSuppressionNumberPulses', 'M0Estimate')  # fmt: skip


@pytest.mark.parametrize('value', ODD)
@pytest.mark.parametrize('fields', [FLAT, PASL])
def test_no_value_of_any_field_breaks_the_reading(fields, value):
    unnamed = []
    for name in (*fields, *MORE):
        try:
            found, _ = read({**fields, name: value})
        except InputError as error:
            unnamed += [] if error.field else [name]
        else:
            assert 0 < found['efficiency'] <= 1
            assert all(0 <= delay <= 8 for delay in found['delays'])
    assert not unnamed


#: Sidecars as converters write them: what changes, what is read (delay, duration), word of a note.
CONVERTED = [
    (
        PASL,
        {'PostLabelingDelay': NOTHING, 'InversionTime': 1.8},
        (1.8, 0.7),
        'PostLabelingDelay is missing; InversionTime',
    ),
    (
        PASL,
        {
            'PostLabelingDelay': NOTHING,
            'BolusCutOffDelayTime': NOTHING,
            'BolusCutOffFlag': NOTHING,
            'InversionTime': 1800,
            'BolusDuration': 700,
        },
        (1.8, 0.7),
        'BolusCutOffDelayTime is missing; BolusDuration',
    ),
    (
        PCASL,
        {'PostLabelingDelay': NOTHING, 'InitialPostLabelDelay': 1.8},
        (1.8, 1.8),
        'InitialPostLabelDelay',
    ),
    (
        PCASL,
        {'LabelingDuration': NOTHING, 'TagDuration': 1.5},
        (1.8, 1.5),
        'LabelingDuration is missing; TagDuration',
    ),
    (PCASL, {'InitialPostLabelDelay': 1.0}, (1.8, 1.8), ''),
]


@pytest.mark.parametrize(('good', 'changes', 'wanted', 'word'), CONVERTED)
def test_names_of_converters_are_read_where_those_of_bids_are_missing(good, changes, wanted, word):
    found, said = read({**good, **changes})
    assert (found['delays'][0], found['durations'][0]) == pytest.approx(wanted)
    assert word in ' '.join(said.notes)
    if not word:
        assert said.notes == []


def test_an_inversion_for_suppression_is_no_delay_of_pcasl():
    with pytest.raises(InputError, match='PostLabelingDelay is missing'):
        read({**PCASL, 'PostLabelingDelay': NOTHING, 'InversionTime': 1.9})
