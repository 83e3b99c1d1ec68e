"""Sidecars say what the file is, of what it was made, and where it lies."""

from __future__ import annotations

import json

import pytest

from csvdprep.bids.sidecar import sidecar
from csvdprep.core.plan import Scan, Visit, VisitInput, make_plan
from csvdprep.core.room import Derivative, Room
from csvdprep.graph.discover import declared

URI = 'bids:raw:sub-01/anat/sub-01_{}.nii.gz'
BRAIN = Derivative(suffix='mask', desc='brain', description='Brain of the {hub}')
FLAIR = Derivative(suffix='FLAIR', desc='preproc', description='N4', frame='flair')
WMH = Derivative(
    suffix='mask',
    label='WMH',
    description='',
    frame='flair',
    metadata={'Threshold': 0.5, 'Of': ['{hub}', {'a': '{hub}'}]},
)
PROB = Derivative(suffix='probseg', label='WMH', description='', units='1', frame='flair')
ROOMS = [
    Room(
        name='anatomy',
        title='',
        needs=('anat',),
        makes={'brain_mask': BRAIN},
        build='',
        inputs=declared().inputs,
        frames=declared().frames,
    ),
    Room(name='flair', title='', needs=('flair',), makes={'flair_preproc': FLAIR}, build=''),
    Room(
        name='wmh',
        title='',
        needs=('flair_preproc', 'brain_mask'),
        build='',
        makes={'wmh_mask': WMH, 'wmh_probseg': PROB},
    ),
]


def plan_of(*suffixes):
    scans = {s.lower(): Scan(name=s.lower(), path='', uri=URI.format(s)) for s in suffixes}
    return make_plan(VisitInput(visit=Visit('01'), scans=scans), ROOMS)


def test_sources_are_the_scans_behind():
    plan = plan_of('T1w', 'FLAIR')
    both = [URI.format('FLAIR'), URI.format('T1w')]
    assert sidecar('brain_mask', BRAIN, plan)['Sources'] == [URI.format('T1w')]
    assert sidecar('flair_preproc', FLAIR, plan)['Sources'] == [URI.format('FLAIR')]
    assert sidecar('wmh_mask', WMH, plan)['Sources'] == both


@pytest.mark.parametrize('suffixes', [('T1w', 'FLAIR'), ('FLAIR',)])
def test_space_has_its_reference(suffixes):
    plan = plan_of(*suffixes)
    assert sidecar('wmh_mask', WMH, plan)['SpatialReference'] == URI.format('FLAIR')
    brain = sidecar('brain_mask', BRAIN, plan)
    expected = None if 'T1w' in suffixes else URI.format('FLAIR')
    assert brain.get('SpatialReference') == expected
    assert 'SpatialReference' not in sidecar('flair_preproc', FLAIR, plan)


def test_what_the_validator_asks():
    plan = plan_of('T1w', 'FLAIR')
    assert sidecar('brain_mask', BRAIN, plan)['Type'] == 'Brain'
    assert sidecar('wmh_mask', WMH, plan)['Type'] == 'Lesion'
    assert sidecar('flair_preproc', FLAIR, plan)['SkullStripped'] is False
    assert sidecar('wmh_probseg', PROB, plan)['Units'] == '1'
    assert 'Units' not in sidecar('wmh_mask', WMH, plan)


def test_hub_is_filled_and_declaration_prevails():
    facts = sidecar('wmh_mask', WMH, plan_of('FLAIR'))
    assert facts['Of'] == ['FLAIR', {'a': 'FLAIR'}]
    assert facts['Threshold'] == 0.5
    assert sidecar('brain_mask', BRAIN, plan_of('T1w'))['Description'] == 'Brain of the T1w'
    stripped = Derivative(
        suffix='T1w', desc='brain', description='', metadata={'SkullStripped': True}
    )
    assert sidecar('anat_preproc', stripped, plan_of('T1w'))['SkullStripped'] is True
    assert json.loads(json.dumps(facts)) == facts
