"""Sidecars and headers of angiograms that are wrong, missing or contradict each other.

Whatever a case holds, the visit is read without an exception; an angiogram that cannot be used is
refused by a sentence with a remedy, and what was odd about one that can is told.
"""

from __future__ import annotations

import json
import re

import nibabel as nib
import numpy as np
import pytest
from builders import write_dataset

from csvdprep.bids.query import collect_visits
from csvdprep.core.settings import Settings
from csvdprep.graph.discover import declared
from csvdprep.imaging.inspect import inspect_image

ANAT = 'sub-01/anat/sub-01'
GOOD = {
    'MagneticFieldStrength': 3,
    'EchoTime': 0.0036,
    'RepetitionTime': 0.022,
    'FlipAngle': 18,
    'MRAcquisitionType': '3D',
    'PulseSequenceType': 'Time of flight',
}
USED, REFUSED = 'used', 'refused'
#: What is changed in the sidecar, whether the angiogram is used, and what has to be said.
FIELDS = {
    'as it should be': ({}, USED, None),
    'no field strength': ({'MagneticFieldStrength': None}, USED, 'MagneticFieldStrength is missi'),
    'field in mT': ({'MagneticFieldStrength': 3000}, USED, 'MagneticFieldStrength'),
    'field in gauss': ({'MagneticFieldStrength': 30000}, USED, 'MagneticFieldStrength'),
    'field as text': ({'MagneticFieldStrength': '3'}, USED, 'text'),
    'field with a unit': ({'MagneticFieldStrength': '3 T'}, USED, 'MagneticFieldStrength'),
    'field of 0': ({'MagneticFieldStrength': 0}, USED, 'MagneticFieldStrength'),
    'a negative field': ({'MagneticFieldStrength': -3}, USED, 'MagneticFieldStrength'),
    'a field that is true': ({'MagneticFieldStrength': True}, USED, 'MagneticFieldStrength'),
    'a field that is a list': ({'MagneticFieldStrength': [3]}, USED, 'MagneticFieldStrength'),
    'a field of two values': ({'MagneticFieldStrength': [3, 7]}, USED, 'MagneticFieldStrength'),
    'a field that is a mapping': ({'MagneticFieldStrength': {'T': 3}}, USED, 'MagneticField'),
    'a field beyond all magnets': ({'MagneticFieldStrength': 1e9}, USED, 'MagneticFieldStrength'),
    'a field of n/a': ({'MagneticFieldStrength': 'n/a'}, USED, 'MagneticFieldStrength is missi'),
    'frequency alone': (
        {'MagneticFieldStrength': None, 'ImagingFrequency': 123.2},
        USED,
        'follow from the ImagingFrequency',
    ),
    'frequency in Hz': (
        {'MagneticFieldStrength': None, 'ImagingFrequency': 297.2e6},
        USED,
        'follow from the ImagingFrequency',
    ),
    'frequency of another field': ({'ImagingFrequency': 297.2}, USED, 'contradict'),
    'frequency of the same field': ({'ImagingFrequency': 123.2}, USED, None),
    'a frequency that is no number': ({'ImagingFrequency': 'high'}, USED, 'ImagingFrequency'),
    'echo time in ms': ({'EchoTime': 3.6}, USED, 'EchoTime'),
    'echo time as text': ({'EchoTime': '0.0036'}, USED, 'EchoTime'),
    'a long echo time': ({'EchoTime': 0.03}, USED, 'long for an angiogram'),
    'an echo time of 0': ({'EchoTime': 0}, USED, 'EchoTime'),
    'a negative echo time': ({'EchoTime': -0.0036}, USED, 'EchoTime'),
    'several echo times': ({'EchoTime': [0.003, 0.006]}, USED, 'EchoTime'),
    'no echo time': ({'EchoTime': None}, USED, None),
    'repetition in ms': ({'RepetitionTime': 2200}, USED, 'RepetitionTime'),
    'a repetition of NaN': ({'RepetitionTime': 'NaN'}, USED, 'RepetitionTime'),
    'a flip angle in radians': ({'FlipAngle': 0.31}, USED, None),
    'a flip angle that is a list': ({'FlipAngle': [18, 20]}, USED, None),
    'two-dimensional': ({'MRAcquisitionType': '2D'}, USED, 'two-dimensional'),
    'small letters': ({'MRAcquisitionType': '2d'}, USED, 'two-dimensional'),
    'an acquisition type that is a number': ({'MRAcquisitionType': 3}, USED, None),
    'an acquisition type of null': ({'MRAcquisitionType': None}, USED, None),
    'contrast agent': ({'ContrastBolusAgent': 'gadobutrol'}, USED, 'contrast agent'),
    'an ingredient': ({'ContrastBolusIngredient': 'GADOLINIUM'}, USED, 'contrast agent'),
    'an agent of none': ({'ContrastBolusAgent': 'NONE'}, USED, None),
    'an agent of n/a': ({'ContrastBolusAgent': 'n/a'}, USED, None),
    'interpolated': ({'AcquisitionMatrixPE': 256, 'ReconMatrixPE': 512}, USED, 'interpolated'),
    'an impossible matrix': ({'AcquisitionMatrixPE': 0, 'ReconMatrixPE': 512}, USED, None),
    'a matrix as text': ({'AcquisitionMatrixPE': 'n/a', 'ReconMatrixPE': '512'}, USED, None),
    'a matrix of another image': ({'AcquisitionMatrixPE': 32, 'ReconMatrixPE': 2048}, USED, None),
    'a matrix that is smaller': ({'AcquisitionMatrixPE': 512, 'ReconMatrixPE': 256}, USED, None),
    'phase contrast': ({'PulseSequenceType': 'Phase contrast'}, REFUSED, 'phase-contrast'),
    'phase contrast by its series': (
        {'SeriesDescription': 'AX 3D PC MRA VENC 60'},
        REFUSED,
        'phase-contrast',
    ),
    'phase contrast by its sequence': ({'SequenceName': '*fl3d1_pc_v60'}, REFUSED, 'phase-contr'),
    'phase contrast by its protocol': ({'ProtocolName': 'pc3d_60'}, REFUSED, 'phase-contrast'),
    'velocity by its type': (
        {'ImageType': ['ORIGINAL', 'PRIMARY', 'VELOCITY', 'MAP']},
        REFUSED,
        'phase-contrast',
    ),
    'a projection by its type': (
        {'ImageType': ['DERIVED', 'SECONDARY', 'PROJECTION IMAGE']},
        REFUSED,
        'projection',
    ),
    'a projection by MIP': ({'ImageType': ['DERIVED', 'MIP']}, REFUSED, 'projection'),
    'a projection by its series': ({'SeriesDescription': 'TOF_3D_MIP_TRA'}, REFUSED, 'projection'),
    'a projection by its protocol': ({'ProtocolName': 'COLLAPSED'}, REFUSED, 'projection'),
    'phase contrast by an item of its type': (
        {'ImageType': ['ORIGINAL', 'PRIMARY', 'M_PCA', 'M', 'PCA']},
        REFUSED,
        'phase-contrast',
    ),
    'phase contrast where nothing says time of flight': (
        {'PulseSequenceType': None, 'SeriesDescription': 'PCA head'},
        REFUSED,
        'phase-contrast',
    ),
    'a plane': ({'SeriesDescription': 'TOF_AC-PC'}, USED, None),
    'a plane, and nothing else': (
        {'PulseSequenceType': None, 'SeriesDescription': 'MRA 3D, AC-PC'},
        USED,
        None,
    ),
    'rotated to a plane': ({'SeriesDescription': 'TOF rotated to AC-PC'}, USED, None),
    'territories': ({'ProtocolName': '3D TOF ACA-MCA-PCA'}, USED, None),
    'one territory': ({'SeriesDescription': 'TOF PCA'}, USED, None),
    'compensated velocity': (
        {'PulseSequenceDetails': '3D TOF with TONE, first-order velocity compensation'},
        USED,
        None,
    ),
    'no projection': ({'PulseSequenceDetails': 'flow compensated; no MIP'}, USED, None),
    'a rotating projection': ({'SeriesDescription': 'TOF rotating'}, REFUSED, 'projection'),
    'a venogram': ({'SeriesDescription': 'TOF 2D MRV'}, REFUSED, 'veins'),
    'a type that is a text': ({'ImageType': 'ORIGINAL'}, USED, None),
    'a type that is a number': ({'ImageType': 7}, USED, None),
    'a type of numbers': ({'ImageType': [1, None, {}]}, USED, None),
    'a long description': ({'SeriesDescription': 'tof ' * 20000}, USED, None),
    'a description in other letters': ({'SeriesDescription': 'ангио 動脈 TOF'}, USED, None),
    'a description with commands': ({'SeriesDescription': '\x1b[2J MIP'}, REFUSED, 'projection'),
    'everything at once': (
        {
            'MagneticFieldStrength': 'n/a',
            'EchoTime': 'short',
            'RepetitionTime': -1,
            'MRAcquisitionType': [],
            'ImageType': None,
        },
        USED,
        'EchoTime',
    ),
}
#: What the whole sidecar is: its text, whether the angiogram is used, and what has to be said.
SIDECARS = {
    'no sidecar': (None, USED, 'MagneticFieldStrength is missing'),
    'an empty sidecar': ('', USED, 'MagneticFieldStrength is missing'),
    'no JSON': ('{"EchoTime": 0.0036', USED, 'MagneticFieldStrength is missing'),
    'a list': ('[1, 2]', USED, 'MagneticFieldStrength is missing'),
    'a number': ('3', USED, 'MagneticFieldStrength is missing'),
    'null': ('null', USED, 'MagneticFieldStrength is missing'),
    'no numbers': ('{"MagneticFieldStrength": NaN}', USED, 'MagneticFieldStrength'),
}


def volume(shape=(40, 44, 24)):
    rng = np.random.default_rng(0)
    data = rng.integers(60, 140, shape).astype('i2')
    data[shape[0] // 2, :, shape[2] // 2] = 500
    return data


#: Images: name, data, edges, whether it is used, and what has to be said.
IMAGES = {
    'a small crop': (f'{ANAT}_angio', volume((30, 30, 12)), (0.5, 0.5, 0.5), USED, None),
    'another suffix': (f'{ANAT}_TOF', volume(), (0.5, 0.5, 0.7), USED, None),
    'small letters': (f'{ANAT}_tof', volume(), (0.5, 0.5, 0.7), USED, None),
    'a folder of its own': ('sub-01/angio/sub-01_angio', volume(), (0.5,) * 3, USED, None),
    'sagittal': (f'{ANAT}_angio', volume((24, 44, 40)), (0.7, 0.5, 0.5), USED, None),
    'a projection by its name': (f'{ANAT}_acq-tofMIP_angio', volume(), (0.5,) * 3, REFUSED, 'MIP'),
    'phase contrast by its name': (f'{ANAT}_acq-pc_angio', volume(), (0.5,) * 3, REFUSED, 'phase'),
    'few slices': (f'{ANAT}_angio', volume((64, 64, 3)), (0.5, 0.5, 0.5), REFUSED, 'too small'),
    'one slice': (f'{ANAT}_angio', volume((64, 64, 1)), (0.5, 0.5, 0.5), REFUSED, ''),
    'a hair': (f'{ANAT}_angio', volume((64, 8, 12)), (0.5, 0.5, 0.5), REFUSED, 'too small'),
    'thick slices': (f'{ANAT}_angio', volume(), (0.5, 0.5, 5.0), REFUSED, 'too thick'),
    'a mask': (f'{ANAT}_angio', (volume() > 300).astype('i2'), (0.5,) * 3, REFUSED, 'mask'),
    'all zero': (f'{ANAT}_angio', np.zeros((40, 44, 24), 'i2'), (0.5,) * 3, REFUSED, ''),
    'two volumes': (f'{ANAT}_angio', volume((40, 44, 24, 2)), (0.5,) * 3, REFUSED, ''),
    'NaN': (f'{ANAT}_angio', np.full((40, 44, 24), np.nan, 'f4'), (0.5,) * 3, REFUSED, 'NaN'),
    'phase': (f'{ANAT}_part-phase_angio', volume(), (0.5,) * 3, 'left out', 'magnitude'),
}


def read(root):
    settings = Settings(bids_dir=root, output_dir=root / 'out')
    (visit,) = collect_visits(settings, declared(), inspect=inspect_image, warn=lambda _: None)
    return visit


def write(root, name, data, edges, text):
    path = root / f'{name}.nii.gz'
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, np.diag([*edges, 1])), path)
    if text is not None:
        (root / f'{name}.json').write_text(text, encoding='utf-8')


def judge(visit, verdict, said):
    texts = [*visit.notes, *(why for _, why in visit.refused)]
    assert all(text == text.strip() and text.endswith('.') for text in texts), texts
    assert ('tof' in visit.scans) == (verdict == USED), texts
    if verdict == REFUSED:
        (why,) = (why for shown, why in visit.refused if 'T1w' not in shown)
        assert 'Remedy: ' in why
    if said is not None:
        assert any(said.lower() in text.lower() for text in texts), texts
    # Other scans of the visit go on.
    assert 't1w' in visit.scans


@pytest.fixture(scope='module')
def raw(tmp_path_factory):
    root = write_dataset(tmp_path_factory.mktemp('tof') / 'raw', [f'{ANAT}_T1w'])
    write(root, f'{ANAT}_angio', volume(), (0.5, 0.5, 0.7), '{}')
    return root


@pytest.mark.parametrize('case', FIELDS)
def test_fields(raw, case):
    changes, verdict, said = FIELDS[case]
    fields = {key: value for key, value in (GOOD | changes).items() if value is not None}
    (raw / f'{ANAT}_angio.json').write_text(json.dumps(fields), encoding='utf-8')
    visit = read(raw)
    judge(visit, verdict, said)
    if case == 'as it should be':
        assert not [note for note in visit.notes if 'angio' in note]
    if verdict == USED:
        content = visit.scans['tof'].content
        assert content['slices'] in ('2D', '3D')
        assert content['tesla'] is None or 0 < content['tesla'] < 12
        assert all(edge > 0 for edge in content['finest_mm'])
        assert json.dumps(content['doubts'])


@pytest.mark.parametrize('case', SIDECARS)
def test_whole_sidecars(raw, case):
    text, verdict, said = SIDECARS[case]
    path = raw / f'{ANAT}_angio.json'
    path.unlink(missing_ok=True)
    if text is not None:
        path.write_text(text, encoding='utf-8')
    judge(read(raw), verdict, said)


@pytest.mark.parametrize('case', IMAGES)
def test_images(tmp_path, case):
    name, data, edges, verdict, said = IMAGES[case]
    root = write_dataset(tmp_path / 'raw', [f'{ANAT}_T1w'])
    write(root, name, data, edges, json.dumps(GOOD))
    judge(read(root), verdict, said)


def test_the_finest_of_several_is_used(raw, tmp_path):
    root = write_dataset(tmp_path / 'raw', [f'{ANAT}_T1w'])
    write(root, f'{ANAT}_run-1_angio', volume(), (0.6, 0.6, 0.8), json.dumps(GOOD))
    write(root, f'{ANAT}_run-2_angio', volume(), (0.4, 0.4, 0.5), json.dumps(GOOD))
    write(root, f'{ANAT}_ce-gd_angio', volume(), (0.3, 0.3, 0.3), json.dumps(GOOD))
    visit = read(root)
    assert 'run-2' in visit.scans['tof'].path
    assert any(re.search(r'run-2.*is used, not .*run-1', note) for note in visit.notes)


def test_another_sidecar_is_another_input(raw):
    digests = set()
    for tesla in (3, 7):
        (raw / f'{ANAT}_angio.json').write_text(
            json.dumps(GOOD | {'MagneticFieldStrength': tesla})
        )
        digests.add(read(raw).scans['tof'].digest)
    assert len(digests) == 2
