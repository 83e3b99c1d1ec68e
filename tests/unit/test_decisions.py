"""What rooms decide from the scans before anything runs, and that it is told."""

from dataclasses import replace

import pytest

from csvdprep.core.plan import Scan, Visit, VisitInput, make_plan
from csvdprep.graph.decide import describe
from csvdprep.graph.discover import discover
from csvdprep.graph.visit import _sidecar
from csvdprep.report.boilerplate import methods_text

ROOMS = discover()
AXIAL = ((0.5, 0, 0, 0), (0, 0.5, 0, 0), (0, 0, 5, 0), (0, 0, 0, 1))
SAGITTAL = ((5, 0, 0, 0), (0, 0.5, 0, 0), (0, 0, 0.5, 0), (0, 0, 0, 1))


def run_of(volumes=40, b=(1000,), **more):
    bvals = [0, 0, *(b[k % len(b)] for k in range(volumes - 2))]
    turns = [[0, 0, 0]] * 2 + [
        [
            (1, 0, 0),
            (0, 1, 0),
            (0, 0, 1),
            (0.7, 0.7, 0),
            (0.7, 0, 0.7),
            (0, 0.7, 0.7),
            (0.7, -0.7, 0),
        ][k // len(b) % 7]
        for k in range(volumes - 2)
    ]
    return {'path': '/raw/sub-01_dwi.nii.gz', 'bvals': bvals, 'bvecs': turns, 'axis': 'j', **more}


def plan(*, dwi=None, field=None, options=None, flair=AXIAL, t1w=True, **content):
    scans = {'flair': Scan(name='flair', path='/f', uri='f', affine=flair)}
    if t1w:
        scans['t1w'] = Scan(name='t1w', path='/t', uri='t')
    if dwi:
        content = {'runs': dwi, 'field': field or {'kind': 'none'}, **content}
        scans['dwi'] = Scan(name='dwi', path='/d', uri='d', content=content)
    return make_plan(VisitInput(visit=Visit('01'), scans=scans), ROOMS, options=options)


def told(made, room):
    step = next(step for step in made.steps if step.room.name == room)
    return {item.name: (item.value, item.reason) for item in step.decisions}


@pytest.mark.parametrize(
    ('runs', 'options', 'expected'),
    [
        ([run_of(64)], None, ('reduced by MP-PCA', '64 volumes')),
        ([run_of(20)], None, ('left as it is', '20 volumes: MP-PCA needs 30')),
        (
            [run_of(64), run_of(20)],
            None,
            ('reduced by MP-PCA in runs of 30 volumes or more', '64 and 20 volumes'),
        ),
        (
            [run_of(64)],
            {'dwi_denoise': {'method': 'none'}},
            ('left as it is', 'asked for by dwi_denoise.method = none'),
        ),
    ],
)
def test_noise(runs, options, expected):
    assert told(plan(dwi=runs, options=options), 'dwi_denoise')['noise'] == expected


@pytest.mark.parametrize(
    ('part', 'expected'),
    [
        (None, 'removed by sub-voxel shifts'),
        (1.0, 'removed by sub-voxel shifts'),
        (0.75, 'left as it is'),
    ],
)
def test_ringing(part, expected):
    found = told(plan(dwi=[run_of(partial_fourier=part)]), 'dwi_denoise')
    assert found['ringing'][0] == expected


@pytest.mark.parametrize(
    ('field', 'more', 'expected'),
    [
        (
            {'kind': 'pepolar', 'partners': [{'path': '/raw/sub-01_dir-AP_epi.nii.gz'}]},
            {},
            ('from images of opposite polarity', 'sub-01_dir-AP_epi.nii.gz'),
        ),
        ({'kind': 'phasediff'}, {}, ('from a field map (phasediff)', 'the dataset has one')),
        (
            None,
            {},
            (
                'by registration to the anatomical reference',
                'there is no field map, and no image of opposite polarity',
            ),
        ),
        (
            None,
            {'options': {'dwi_distortion': {'fieldmapless': False}}},
            ('not corrected', 'dwi_distortion.fieldmapless = false'),
        ),
    ],
)
def test_distortion(field, more, expected):
    assert (
        told(plan(dwi=[run_of()], field=field, **more), 'dwi_distortion')['distortion'] == expected
    )


@pytest.mark.parametrize(
    ('run', 'expected'),
    [
        (
            run_of(axis='i'),
            {'motion and eddy currents': ('taken off', 'phase is encoded along the axis i')},
        ),
        (
            run_of(axis=None),
            {
                'motion': (
                    'taken off',
                    'the axis of phase encoding, along which eddy currents shift, is unknown',
                )
            },
        ),
    ],
)
def test_motion(run, expected):
    assert told(plan(dwi=[run]), 'dwi_motion') == expected


def test_brain_of_the_series():
    found = told(plan(dwi=[run_of(extent_mm=[224, 224, 48])]), 'dwi_mask')
    assert found == {'brain': ('a threshold', 'a slab, 224 x 224 x 48 mm')}
    found = told(plan(dwi=[run_of(extent_mm=[224, 224, 130])]), 'dwi_mask')
    assert found['brain'][0] == 'the networks of deepbet'


def test_what_was_corrected_is_left_alone():
    made = plan(dwi=[run_of()], corrected=True)
    steps = {
        'dwi_denoise': 'noise and ringing',
        'dwi_distortion': 'distortion',
        'dwi_motion': 'motion and eddy currents',
    }
    for step, name in steps.items():
        assert told(made, step) == {name: ('left as given', 'it comes from --derivatives')}


def test_a_sidecar_tells_the_options_of_steps_whose_results_only_it_shows():
    made = plan(dwi=[run_of(64)], options={'dwi_denoise': {'method': 'none'}})
    steps = {step.room.name: step for step in made.steps}

    def parameters(room, name):
        step = steps[room]
        facts = _sidecar(name, step.room.makes[name], plan=made, step=step)
        return facts.get('Parameters', {})

    assert parameters('dwi_mask', 'dwi_preproc') == {
        'dwi_denoise.method': 'none',
        'dwi_denoise.unring': 'auto',
        'dwi_distortion.fieldmapless': True,
    }
    assert 'dwi_denoise.method' not in parameters('tensors', 'dwi_fa')


def test_shells_and_free_water():
    found = told(plan(dwi=[run_of(60, b=(1000, 2500))]), 'tensors')
    assert found['shells of the tensor'] == ('1000 s/mm²', 'not used: 2500')
    assert found['free water'] == ('a second compartment', '2 shells')
    assert told(plan(dwi=[run_of()]), 'tensors')['free water'][1] == 'one shell'


def test_engine_of_hyperintensities():
    made = plan()
    step = next(step for step in made.steps if step.room.name == 'wmh')
    assert (step.asked.engine, step.options.engine) == ('auto', 'both')
    assert told(plan(flair=SAGITTAL), 'wmh')['engine'][0] == 'the classical engine'
    asked = plan(options={'wmh': {'engine': 'classical'}})
    assert told(asked, 'wmh')['engine'][1] == 'set by wmh.engine = classical'


def test_decisions_are_in_the_key_the_dry_run_and_the_methods():
    one, other = plan(dwi=[run_of(64)]), plan(dwi=[run_of(20)])
    keys = [{step.room.name: step.key for step in made.steps} for made in (one, other)]
    assert keys[0]['dwi_denoise'] != keys[1]['dwi_denoise']
    assert keys[0]['brain'] == keys[1]['brain']
    assert 'decides       noise: reduced by MP-PCA (64 volumes)' in describe(one)
    text = methods_text(one)[0]
    assert 'Settings chosen from the scans: noise: reduced by MP-PCA (64 volumes)' in text
    assert 'auto' not in text.replace('automat', '')


def test_a_mask_that_was_given_is_named():
    made = plan()
    scans = dict(made.scans)
    scans.pop('anat')
    mask = Scan(name='wmh_external', path='/m', uri='bids:tool:m', content={'mask': '/m'})
    given = VisitInput(visit=Visit('01'), scans=scans | {'wmh_external': mask})
    found = told(replace(make_plan(given, ROOMS)), 'wmh')
    assert found == {'mask': ('given by --derivatives', 'bids:tool:m')}
