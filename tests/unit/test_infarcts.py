"""Recent infarcts: maps of the scanner or of the series, evidence, candidates, kinds."""

import json

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage as ndi

from csvdprep.bids.query import collect_visits
from csvdprep.core.errors import MeasureError
from csvdprep.core.plan import Scan, Visit, VisitInput, make_plan
from csvdprep.core.room import Derivative, Room
from csvdprep.core.settings import Settings
from csvdprep.graph.discover import declared
from csvdprep.imaging.inspect import inspect_image
from csvdprep.markers.infarcts.learned import load_model
from csvdprep.markers.infarcts.science import classify, find_infarcts
from csvdprep.phantom.patients.infarcts import add_noise, draw_infarcts
from csvdprep.preprocessing.trace_adc.interfaces import _b_value
from csvdprep.preprocessing.trace_adc.science import adc_unit, check_adc, isotropic

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
SHAPE = (60, 70, 40)


@pytest.fixture
def head():
    """A symmetric head: white matter, a rim of cortex, ventricles."""
    rng = np.random.default_rng(3)
    at = [(np.arange(n) - (n - 1) / 2) * 2 for n in SHAPE]
    x, y, z = np.meshgrid(*at, indexing='ij')
    radius = np.sqrt((x / 56) ** 2 + (y / 66) ** 2 + (z / 38) ** 2)
    brain = radius < 1
    cortex = (brain & (radius > 0.88)).astype(np.float32)
    fluid = ((np.abs(np.abs(x) - 10) < 6) & (np.abs(y) < 24) & (np.abs(z) < 8)).astype(np.float32)
    trace = np.where(fluid > 0, 25.0, 100 + 10 * cortex) * brain
    adc = np.where(fluid > 0, 2.9e-3, 0.78e-3) * brain
    trace, adc = add_noise(
        np.maximum(trace, 1e-3), np.maximum(adc, 1e-5), 1000.0, brain, 0.03, rng
    )
    mirror = np.array(np.nonzero(brain), float)
    mirror[0] = SHAPE[0] - 1 - mirror[0]
    none = np.zeros(SHAPE, np.float32)
    return {
        'trace': trace,
        'adc': adc,
        'brain': brain,
        'mirror': mirror,
        'fluid': fluid,
        'cortex': cortex,
        'air': none,
        'cerebellum': none,
    }


def find(head, trace, adc, **more):
    given = {**head, 'trace': trace, 'adc': adc, **more}
    return find_infarcts(affine=AFFINE, model=load_model(), **given)


def sure(found):
    return [item for item in found.infarcts if item.probability >= 0.7]


def test_nothing_is_found_where_nothing_is(head):
    assert not sure(find(head, head['trace'], head['adc']))


@pytest.mark.parametrize('diameter', [8.0, 12.0, 18.0])
def test_an_infarct_is_found_where_it_was_drawn(head, diameter):
    where = np.zeros(SHAPE, bool)
    where[46, 40, 26] = True
    made = draw_infarcts(
        head['trace'],
        head['adc'],
        1000.0,
        where,
        AFFINE,
        np.random.default_rng(5),
        (diameter,),
        factor=(0.6, 0.6),
        rise=(0.3, 0.3),
    )
    found = find(head, made.trace, made.adc)
    (only,) = sure(found)
    inside, truth = found.labels == only.number, made.labels == 1
    assert 2 * (inside & truth).sum() / (inside.sum() + truth.sum()) > 0.7
    assert only.kind == 'rssi'
    assert only.adc_ratio == pytest.approx(0.65, abs=0.1)


def test_what_only_shines_through_does_not_count(head):
    made = draw_infarcts(
        head['trace'],
        head['adc'],
        1000.0,
        head['brain'] & (head['fluid'] == 0) & (head['cortex'] == 0),
        AFFINE,
        np.random.default_rng(1),
        (12.0, 10.0, 8.0),
        factor=(1.05, 1.1),
        rise=(0.5, 0.5),
    )
    assert made.diameters
    assert not sure(find(head, made.trace, made.adc))


def test_what_is_bright_on_both_sides_does_not_count(head):
    # As the pyramidal tracts are: long, with soft borders.
    tracts = np.zeros(SHAPE)
    for x in (slice(14, 19), slice(SHAPE[0] - 19, SHAPE[0] - 14)):
        tracts[x, 30:40, 12:32] = 1
    tracts = ndi.gaussian_filter(tracts, 1.2)
    trace, adc = head['trace'] * (1 + 0.25 * tracts), head['adc'] * (1 - 0.15 * tracts)
    assert not sure(find(head, trace, adc))
    # On one side alone it is another matter.
    tracts[SHAPE[0] // 2 :] = 0
    trace, adc = head['trace'] * (1 + 0.6 * tracts), head['adc'] * (1 - 0.35 * tracts)
    assert sure(find(head, trace, adc))


def test_kinds():
    none = np.zeros(SHAPE, np.float32)
    lesion = np.zeros(SHAPE, bool)
    lesion[20:24, 20:24, 20:23] = True
    assert classify(lesion, AFFINE, none, none) == 'rssi'
    assert classify(lesion, AFFINE, none, none + 1) == 'cerebellar'
    beside = none.copy()
    beside[24:, :] = beside[:, 24:] = 1  # it touches cortex on two sides, and holds none
    assert classify(lesion, AFFINE, beside, none) == 'cortical'
    lesion[20:36, 20:24, 20:23] = True
    assert classify(lesion, AFFINE, none, none) == 'large'
    assert classify(lesion, AFFINE, none, none, rssi_mm=40) == 'rssi'


def test_a_series_needs_three_directions():
    data = np.full((4, 4, 4, 4), 50.0)
    data[..., 0] = 100
    with pytest.raises(MeasureError, match='three directions'):
        isotropic(data, [0, 200, 300, 400])
    with pytest.raises(MeasureError, match='no b-value has three'):
        isotropic(data, [0, 500, 1000, 2000])
    with pytest.raises(MeasureError, match='b = 0'):
        isotropic(data, [1000] * 4)


def test_of_several_shells_the_one_near_1000_is_taken():
    data = np.ones((2, 2, 2, 7)) * [100, 40, 40, 40, 10, 10, 10]
    trace, adc, b = isotropic(data, [5, 995, 1000, 1005, 3000, 3000, 3000])
    assert b == 1000
    assert trace[0, 0, 0] == pytest.approx(40, rel=1e-5)
    assert adc[0, 0, 0] == pytest.approx(np.log(2.5) / 1000, rel=1e-5)


def test_the_unit_of_adc_is_found_and_other_maps_are_refused():
    for factor in (1.0, 1e3, 1e6, 1e9):
        assert adc_unit(np.array([0.4, 0.7, 0.8, 0.9, 3.0]) * 1e-3 * factor) == pytest.approx(
            1 / factor
        )
    with pytest.raises(MeasureError, match='empty'):
        adc_unit(np.zeros(5))
    weighted = np.r_[np.full(100, 0.45), np.full(100, 0.06)]  # an exponential ADC map
    fluid = np.arange(200) >= 100
    with pytest.raises(MeasureError, match='exponential'):
        check_adc(weighted, fluid, ~fluid)


def test_the_b_value_is_read_or_said_to_be_assumed():
    assert _b_value({'DiffusionBValue': 800}) == (800, '')
    assert _b_value({'DiffusionBValue': [0, '1000']}) == (1000, '')
    b, said = _b_value({'DiffusionBValue': 'n/a'})
    assert b == 1000
    assert 'assumed' in said


def write_maps(tmp_path, *names):
    root = tmp_path / 'raw'
    root.mkdir()
    (root / 'dataset_description.json').write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    rng = np.random.default_rng(0)
    for name in names:
        path = root / 'sub-01' / 'dwi' / f'sub-01_{name}.nii.gz'
        path.parent.mkdir(parents=True, exist_ok=True)
        data = np.zeros((40, 40, 40), np.float32)
        data[8:32, 8:32, 8:32] = 100 + 30 * rng.random((24, 24, 24))
        nib.save(nib.Nifti1Image(data, np.diag([4.0, 4, 4, 1])), path)
        path.with_name(f'sub-01_{name}.json').write_text(json.dumps({'DiffusionBValue': 900}))
    settings = Settings(bids_dir=root, output_dir=tmp_path / 'out', work_dir=tmp_path / 'work')
    (found,) = collect_visits(settings, declared(), inspect=inspect_image)
    return found


def test_trace_and_adc_of_one_scan_go_together(tmp_path):
    found = write_maps(
        tmp_path, 'acq-b_trace', 'acq-b_ADC', 'acq-a_trace', 'acq-c_ADC', 'run-2_TRACEW'
    )
    trace = found.scans['trace']
    assert trace.entities == {'acq': 'b'}
    assert trace.content['adc'].endswith('sub-01_acq-b_ADC.nii.gz')
    assert trace.content['b_fields'] == {'DiffusionBValue': 900}
    assert any('acq-b_trace.nii.gz is used' in note for note in found.notes)


@pytest.mark.parametrize(('name', 'lacks'), [('trace', 'ADC map'), ('ADC', 'trace image')])
def test_one_of_the_two_alone_is_told(tmp_path, name, lacks):
    found = write_maps(tmp_path, name)
    assert 'trace' not in found.scans
    assert any(f'it has no matching {lacks}' in note for note in found.notes)


@pytest.mark.parametrize(('directions', 'taken'), [(2, False), (3, True), (5, True), (6, False)])
def test_a_series_that_is_too_short_for_a_tensor_gives_a_trace_image(tmp_path, directions, taken):
    write_maps(tmp_path, 'dwi')
    path = tmp_path / 'raw' / 'sub-01' / 'dwi' / 'sub-01_dwi.nii.gz'
    image = nib.load(path)
    data = np.repeat(image.get_fdata()[..., None], directions + 1, axis=3)
    nib.save(nib.Nifti1Image(data.astype(np.float32), image.affine), path)
    b = ['0'] + ['1000'] * directions
    angles = np.arange(directions + 1)
    axes = np.stack([np.cos(angles), np.sin(angles), 0 * angles]) * (angles > 0)
    path.with_name('sub-01_dwi.bval').write_text(' '.join(b))
    np.savetxt(path.with_name('sub-01_dwi.bvec'), axes)
    settings = Settings(
        bids_dir=tmp_path / 'raw', output_dir=tmp_path / 'out', work_dir=tmp_path / 'work'
    )
    (found,) = collect_visits(settings, declared(), inspect=inspect_image)
    assert ('trace' in found.scans) == taken
    if taken:
        assert found.scans['trace'].content['bvals'] == [0.0] + [1000.0] * directions
        assert 'dwi' not in found.scans


def _room(name, makes=(), **more):
    made = {product: Derivative(suffix='mask', description='') for product in makes}
    return Room(name=name, title=name, makes=made, build='', **{'needs': (), **more})


def test_of_alternatives_the_first_that_is_there_is_taken():
    rooms = [
        _room('series', ['dwi_preproc'], needs=('dwi',)),
        _room('maps', ['trace_preproc'], either=(('trace',), ('dwi_preproc',))),
        _room('infarcts', [], needs=('trace_preproc',)),
    ]

    def plan(*names, **more):
        scans = {n: Scan(name=n, path=n, uri='') for n in names}
        return make_plan(VisitInput(visit=Visit('01'), scans=scans), rooms, **more)

    assert plan('trace').steps[0].takes == ('trace',)
    assert {s.room.name: s.takes for s in plan('dwi').steps}['maps'] == ('dwi_preproc',)
    both = plan('trace', 'dwi', markers=['infarcts'])
    assert [step.room.name for step in both.steps] == ['maps', 'infarcts']
    only = plan('dwi', markers=['infarcts'])
    assert [step.room.name for step in only.steps] == ['series', 'maps', 'infarcts']
    assert plan().skipped['infarcts'] == 'needs dwi, which this visit does not have'


def test_a_zero_of_a_scan_that_covers_part_of_the_brain_is_flagged():
    from csvdprep.graph.discover import discover
    from csvdprep.graph.judging import judge_together
    from csvdprep.graph.tables import judge
    from csvdprep.interfaces.values import Value

    rooms = [room for room in discover() if room.name in ('trace_adc', 'infarcts')]

    def flags(coverage):
        given = {'qc_trace_coverage_pct': coverage, 'rssi_n': 0, 'recent_infarct_n': 0}
        rows = [
            judge(measure, Value(given[measure.name]))
            for room in rooms
            for measure in room.measures
            if measure.name in given
        ]
        return {row['name']: row['qc'] for row in judge_together(rows, rooms).rows}

    assert flags(99.0)['rssi_n'] == 'ok'
    assert flags(67.0)['rssi_n'] == flags(67.0)['recent_infarct_n'] == 'warn'
