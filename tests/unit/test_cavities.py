"""Lacunes and perivascular spaces: fluid, tubes, candidates, kinds, counts, files."""

from dataclasses import asdict, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage as ndi

from csvdprep.core.errors import MeasureError
from csvdprep.core.plan import Scan, Visit, VisitInput, make_plan
from csvdprep.graph.discover import discover
from csvdprep.imaging.atlas import labels_of
from csvdprep.imaging.transforms import write_linear
from csvdprep.interfaces.values import read_values
from csvdprep.markers.cavities import KINDS, Options, interfaces
from csvdprep.markers.cavities.inputs import Place
from csvdprep.markers.cavities.interfaces import Cavities
from csvdprep.markers.cavities.learned import load_model
from csvdprep.markers.cavities.science import Limits, _described, find_cavities, rest_of
from csvdprep.markers.cavities.science.candidates import Head, _roof, candidates, features_of
from csvdprep.markers.cavities.science.counts import graded_slices, region_of, worst_slice
from csvdprep.markers.cavities.science.fluid import fluid_share, outside_fluid
from csvdprep.markers.cavities.science.probability import read_model
from csvdprep.markers.cavities.science.vesselness import tubeness
from csvdprep.phantom.geometry.features import Ellipsoid, Tube
from csvdprep.phantom.patients.cavities import Cavities as Shapes
from csvdprep.phantom.patients.cavities import paint_cavities, true_labels
from csvdprep.science.logistic import softmax

SHAPE = (70, 84, 64)
AFFINE = np.diag([1.0, 1.0, 1.0, 1.0])
MIDDLE = np.array(SHAPE) / 2
SETS = ('t1w', 't1w+flair', 't1w+t2w', 't1w+flair+t2w')
#: Brightness of white matter, grey matter, fluid.
LEVELS = {'t1w': (100.0, 75.0, 20.0), 'flair': (100.0, 120.0, 15.0), 't2w': (100.0, 130.0, 400.0)}


def ball(at, mm, kind='lacune'):
    return Ellipsoid(kind=kind, tissue='csf', centre=np.array(at, float), radii=np.full(3, mm / 2))


def tube(start, end, mm):
    points = np.linspace(start, end, 60)
    return Tube(kind='PVS', tissue='csf', points=points, radii=np.full(60, mm / 2))


LACUNES = (ball((22, 30, 36), 7), ball((48, 55, 40), 5))
SPACES = (
    tube((46, 20, 40), (50, 34, 46), 1.8),
    tube((20, 50, 30), (26, 62, 34), 2.0),
    tube((47, 42, 24), (48, 50, 36), 2.0),
)


def make_anatomy():
    """A round head: white matter, cortex, a sulcus that dips in, one ventricle."""
    at = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing='ij'), axis=-1) - MIDDLE
    radius = np.sqrt(((at / (MIDDLE - 4)) ** 2).sum(axis=-1))
    brain = radius < 1
    fluid = radius > 0.93
    fluid |= (np.abs(at[..., 0]) < 1.5) & (at[..., 2] > 10)
    ventricle = (np.abs(at[..., 0]) < 6) & (np.abs(at[..., 1]) < 12) & (np.abs(at[..., 2]) < 4)
    cortex = (ndi.distance_transform_edt(~fluid) <= 3) & brain & ~fluid
    return brain, brain & (fluid | ventricle), ventricle, cortex


BRAIN, FLUID, VENTRICLE, CORTEX = make_anatomy()
WHITE = BRAIN & ~FLUID & ~CORTEX


def make_images(shapes, *, noise=0.02, wmh=None, seed=0, names=('t1w', 'flair', 't2w')):
    rng = np.random.default_rng(seed)
    out = {}
    for name in names:
        white, grey, fluid = LEVELS[name]
        data = np.full(SHAPE, white, np.float32)
        data[CORTEX] = grey
        if wmh is not None:
            data += wmh * {'t1w': -25, 'flair': 60, 't2w': 60}[name]
        data[FLUID] = fluid
        data = ndi.gaussian_filter(data, 0.5)
        levels = {'fluid': fluid, 'hole': {'t1w': 45, 'flair': 150, 't2w': 190}[name]}
        data = paint_cavities(
            shapes, data, AFFINE, np.eye(4), levels, np.random.default_rng(1), blur=0.3
        )
        data += noise * white * rng.standard_normal(SHAPE).astype(np.float32)
        out[name] = np.where(BRAIN, data, 0).astype(np.float32)
    return out


def make_head(images, *, wmh=None):
    wmh = np.zeros(SHAPE, np.float32) if wmh is None else wmh.astype(np.float32)
    near = ndi.binary_dilation(wmh > 0.1)
    tissue = BRAIN & ~FLUID & ~near
    white = ndi.binary_erosion(WHITE & ~near)
    pure = ndi.binary_erosion(VENTRICLE)
    shares = {
        name: fluid_share(data, tissue, pure, white, np.ones(3)) for name, data in images.items()
    }
    nothing = np.zeros(SHAPE, bool)
    return Head(
        **shares,
        brain=BRAIN,
        ventricles=VENTRICLE,
        white=white,
        grey=CORTEX.astype(np.float32),
        cortex=CORTEX.astype(np.float32),
        wmh=wmh,
        template_fluid=ndi.gaussian_filter(FLUID.astype(np.float32), 2),
        template_grey=CORTEX.astype(np.float32),
        regions={
            'deep_grey': nothing,
            'low': nothing,
            'centrum': WHITE,
            'basal': nothing,
            'hippocampus': nothing,
        },
        affine=AFFINE,
        use_t2w='t2w' in images,
    )


@pytest.fixture(scope='module')
def images():
    return make_images(Shapes(LACUNES, SPACES))


def owners(found, shapes):
    """Say what was found at each shape."""
    true, _ = true_labels(shapes, nib.Nifti1Image(np.zeros(SHAPE), AFFINE))
    out = []
    for number in range(1, len(shapes) + 1):
        seen = found.labels[true == number]
        seen = seen[seen > 0]
        out.append(found.cavities[int(np.bincount(seen).argmax()) - 1] if len(seen) else None)
    return out


@pytest.mark.parametrize('names', SETS)
def test_lacunes_and_spaces_are_told_apart(images, names):
    head = make_head({name: images[name] for name in names.split('+')})
    assert head.images == names
    found = find_cavities(head, load_model(names, thick=False))
    lacunes, spaces = owners(found, LACUNES), owners(found, SPACES)
    assert [item.lacune_status for item in lacunes] == ['definite'] * 2
    assert [item.kind for item in spaces] == ['pvs'] * 3
    assert all(item.pvs_status == 'definite' for item in spaces)
    # Nothing else counts as a lacune, and no candidate counts twice.
    assert sum(c.lacune_status == 'definite' for c in found.cavities) == 2
    assert not any(
        c.lacune_status == 'definite' and c.pvs_status == 'definite' for c in found.cavities
    )
    assert all(c.lacune + c.pvs <= 1 + 1e-6 for c in found.cavities)
    assert {c.kind for c in found.cavities} <= {*KINDS}
    assert [c.number for c in found.cavities] == [*range(1, len(found.cavities) + 1)]


def test_nothing_counts_in_a_head_without_anything():
    head = make_head(make_images(Shapes(()), names=('t1w', 'flair')))
    found = find_cavities(head, load_model('t1w+flair', thick=False))
    assert not [c for c in found.cavities if c.lacune_status == 'definite']
    assert sum(c.pvs_status == 'definite' for c in found.cavities) <= 2


def test_what_is_bright_on_the_flair_is_no_lacune():
    hole = ball((22, 30, 36), 8, 'hole')
    head = make_head(make_images(Shapes((), holes=(hole,)), names=('t1w', 'flair')))
    found = find_cavities(head, load_model('t1w+flair', thick=False), Limits(possible=0.001))
    (item,) = owners(found, (hole,))
    assert item is None or item.lacune_status != 'definite'


def test_the_load_of_hyperintensities_changes_nothing_elsewhere(images):
    wmh = np.zeros(SHAPE, np.float32)
    wmh[24:46, 20:60, 34:46] = 1
    wmh *= WHITE
    shapes = (*SPACES, *LACUNES)
    results = []
    for load in (None, wmh):
        changed = make_images(Shapes(LACUNES, SPACES), wmh=load)
        head = make_head(changed, wmh=load)
        found = find_cavities(head, load_model('t1w+flair+t2w', thick=False))
        results.append(owners(found, shapes))
    for before, after in zip(*results, strict=True):
        assert before.kind == after.kind
        assert after.fluid_mm3 == pytest.approx(before.fluid_mm3, rel=0.25)


def test_share_of_fluid_has_no_unit_and_does_not_follow_hyperintensities():
    image = make_images(Shapes(LACUNES))['t1w']
    tissue, pure = BRAIN & ~FLUID, ndi.binary_erosion(VENTRICLE)
    one = fluid_share(image, tissue, pure, WHITE, np.ones(3))
    two = fluid_share(7 * image, tissue, pure, WHITE, np.ones(3))
    np.testing.assert_allclose(one.share, two.share, atol=1e-3)
    assert float(one.share[22, 30, 36]) == pytest.approx(0.95, abs=0.1)
    assert 0.015 < one.noise < 0.035
    # A third of the white matter becomes brighter: normal tissue stays normal.
    wmh = np.zeros(SHAPE, np.float32)
    wmh[:, 44:, :] = WHITE[:, 44:, :]
    three = fluid_share(
        image - 25 * wmh, tissue & (wmh == 0), pure, WHITE & (wmh == 0), np.ones(3)
    )
    assert float(three.share[22, 30, 36]) == pytest.approx(float(one.share[22, 30, 36]), abs=0.03)


def test_an_image_without_contrast_to_fluid_is_refused():
    flat = np.full(SHAPE, 100.0)
    pure = ndi.binary_erosion(VENTRICLE)
    with pytest.raises(MeasureError, match='as bright as tissue'):
        fluid_share(flat, BRAIN, pure, WHITE, np.ones(3))
    with pytest.raises(MeasureError, match='too little fluid'):
        fluid_share(flat, BRAIN, pure & False, WHITE, np.ones(3))


def test_sulci_are_taken_out_by_their_connection(images):
    head = make_head({'t1w': images['t1w']})
    outside = outside_fluid(head.t1w.share, BRAIN, VENTRICLE, np.ones(3))
    assert outside[35, 42, 48]  # the depth of the sulcus
    assert outside[~BRAIN].all()
    true, _ = true_labels((*LACUNES, *SPACES), nib.Nifti1Image(np.zeros(SHAPE), AFFINE), 0.5)
    assert not outside[true > 0].any()


def test_the_response_of_a_tube_does_not_depend_on_what_else_is_there():
    image = np.zeros((40, 40, 40), np.float32)
    image[12, 12, 6:30] = 1
    noise = 0.01 * np.random.default_rng(0).standard_normal(image.shape).astype(np.float32)
    quiet = np.ones(image.shape, bool)
    alone, ratio = tubeness(image + noise, quiet, np.ones(3), quiet)
    image[28:36, 28:36, 28:36] = 20
    beside, ratio_beside = tubeness(image + noise, quiet, np.ones(3), quiet)
    assert beside[12, 12, 15] == pytest.approx(float(alone[12, 12, 15]), rel=1e-3)
    assert ratio_beside[12, 12, 15] == pytest.approx(float(ratio[12, 12, 15]), rel=0.15)


def test_sheets_are_no_tubes():
    image = np.zeros((24, 24, 24), np.float32)
    image[6] = 1
    image[15, 12, :] = 1
    everywhere = np.ones(image.shape, bool)
    response, _ = tubeness(image, everywhere, np.ones(3), everywhere)
    assert response[6, 12, 12] < 0.1 * response[15, 12, 12]


def test_across_thick_slices_a_tube_is_a_dot():
    image = np.zeros((24, 24, 5), np.float32)
    image[12, 12, 2] = 1
    everywhere = np.ones(image.shape, bool)
    voxel_mm = np.array([1.0, 1, 5])
    flat, _ = tubeness(image, everywhere, voxel_mm, everywhere, flat=2)
    assert flat[12, 12, 2] > 0.15
    assert flat[12, 12, 1] == 0


def test_features_have_names_and_are_finite(images):
    head = make_head(images)
    seen = candidates(head)
    assert seen.features.shape == (seen.labels.max(), len(features_of(head.images)))
    assert np.isfinite(seen.features).all()


def test_probabilities_sum_to_one_and_models_know_their_features():
    p = softmax(np.random.default_rng(0).normal(0, 30, (50, 2)))
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert load_model('t1w', thick=True).probability(np.zeros((0, 27))).shape == (0, 3)
    with pytest.raises(ValueError, match='other features'):
        read_model({'features': ['a']}, ('b',))


@pytest.mark.parametrize(
    ('facts', 'kind'),
    [
        ({'contact': 0.5, 'from_ventricles': 0.02, 'ring_cortex': 0}, 'ventricular'),
        ({'contact': 0.5, 'from_ventricles': 0.9, 'ring_cortex': 0}, 'sulcal'),
        (
            {'contact': 0, 'from_ventricles': 0.9, 'ring_cortex': 0, 'flair_core': -0.4},
            'cavitation',
        ),
        ({'contact': 0, 'from_ventricles': 0.9, 'ring_cortex': 0.1, 'flair_core': 0.5}, 'other'),
    ],
)
def test_what_is_neither_has_a_name(facts, kind):
    assert rest_of(facts) == kind


@pytest.mark.parametrize(
    ('left', 'right', 'grade'),
    [
        (0, 0, 0),
        (1, 0, 1),
        (10, 3, 1),
        (4, 11, 2),
        (20, 20, 2),
        (21, 2, 3),
        (40, 0, 3),
        (41, 0, 4),
    ],
)
def test_grades_count_the_fuller_hemisphere(left, right, grade):
    labels = np.zeros((200, 3, 3), int)
    numbers = iter(range(1, 200))
    for start, count in ((0, left), (100, right)):
        for k in range(count):
            labels[start + 2 * k, 1, :] = next(numbers)
    half = np.zeros(labels.shape, bool)
    half[:100] = True
    sides = {'left': half, 'right': ~half}
    for flat in (False, True):
        found = worst_slice(labels, sides, np.array([False, True, False]), 2, flat=flat)
        assert (found.left, found.right, found.grade) == (left, right, grade)


def test_a_space_that_runs_in_a_slice_counts_once_even_if_it_breaks():
    labels = np.zeros((9, 9, 3), int)
    labels[1, [1, 4], 1] = 7
    everywhere = {'left': np.ones(labels.shape, bool), 'right': np.zeros(labels.shape, bool)}
    slices = np.ones(3, bool)
    assert worst_slice(labels, everywhere, slices, 2, flat=False).count == 1
    assert worst_slice(labels, everywhere, slices, 2, flat=True).count == 2


def test_the_nearest_slice_is_graded_where_none_lies_between():
    assert graded_slices(np.arange(4) * 20.0, 22, 32).tolist() == [False, True, False, False]
    assert region_of(np.zeros(4, int), 0, {'a': np.ones(4, bool)}) == []


def test_no_slice_is_graded_where_the_image_ends_before():
    assert not graded_slices(np.arange(9) * 3.0, 40, 50).any()
    assert not graded_slices(np.full(9, np.nan), 0, 50).any()


@pytest.mark.parametrize('degrees', [-20, 0, 20])
@pytest.mark.parametrize('flipped', [False, True])
@pytest.mark.parametrize('across', [1.0, 3.0])
def test_the_same_slices_are_graded_however_the_scan_is_tilted(
    monkeypatch, degrees, flipped, across
):
    """Heights are those of the slices, not of a corner of them, which lies far off."""
    # Slices across z of the template; the head lies tilted in the scanner.
    size = (1.0, 1.0, across)
    count = (60, 80, int(90 / across))
    template = np.diag([*size, 1.0])
    template[:3, 3] = -30, -40, -20
    if flipped:
        template[:3, 2] *= -1
        template[2, 3] = -20 + 90 - across
    angle = np.deg2rad(degrees)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turn[:3, 3] = 5, 20, -35
    z = (template[2, 2] * np.arange(count[2]) + template[2, 3])[None, None]
    regions = np.zeros(count, np.uint8)
    basal, centrum = (labels_of('pvsregions', word)[0] for word in ('basal', 'centrum'))
    regions[10:50, 20:60] = np.where((z > -12) & (z < 18), basal, 0)
    regions[5:55, 10:70] = np.where((z > 20) & (z < 60), centrum, regions[5:55, 10:70])
    ventricles = np.zeros(count, bool)
    ventricles[25:35, 10:70] = (z > 0) & (z < 24)
    image = nib.Nifti1Image(np.zeros(count, np.uint8), turn @ template)
    none = np.zeros(count, bool)
    place = Place(
        image=image,
        box=tuple(slice(0, n) for n in count),
        brain=none,
        fluid=none,
        ventricles=ventricles,
        tissue=none,
        white=none,
        regions=regions,
    )
    back = np.linalg.inv(turn)
    monkeypatch.setattr(interfaces, 'map_points', lambda p, _: nib.affines.apply_affine(back, p))
    monkeypatch.setattr(interfaces, 'load_part', lambda *_: ventricles)
    files = {'mni_to_anat': '', 'ventricles': ''}
    z = z[0, 0]
    found = z[interfaces._graded('bg', place, files)]
    assert set(found) == set(z[(z >= -8) & (z <= 4)])
    roof = float(np.percentile(z[(z > 0) & (z < 24)].repeat(10), 99))
    found = z[interfaces._graded('cso', place, files)]
    assert set(found) == set(z[(z >= roof + 5) & (z <= roof + 15)])
    # Cut below the centrum semiovale: nothing is graded there, rather than what is nearest.
    regions[..., z > roof + 2] = 0
    assert not interfaces._graded('cso', place, files).any()


def plan_of(*names, **more):
    scans = {name: Scan(name=name, path=name, uri='') for name in names}
    return make_plan(VisitInput(visit=Visit('01'), scans=scans), discover(), **more)


def test_it_needs_a_t1w_and_wants_the_rest():
    takes = {s.room.name: s.takes for s in plan_of('t1w', markers=['cavities']).steps}
    assert 'wmh_mask' not in takes['cavities']
    full = plan_of('t1w', 'flair', 't2w', markers=['cavities'])
    takes = {s.room.name: s.takes for s in full.steps}
    assert {'wmh_mask', 'flair_to_anat', 't2w_to_anat'} <= set(takes['cavities'])
    assert 'cavities' in plan_of('flair', markers=['cavities']).skipped
    assert 't1w' in plan_of('flair').skipped['cavities']


def test_options_are_checked():
    with pytest.raises(ValueError, match='definite'):
        Options(definite=0.2, possible=0.5)


@pytest.fixture(scope='module')
def visit(tmp_path_factory, images):
    """Files of a visit in the place of the template: the head is small, its labels are not."""
    folder = tmp_path_factory.mktemp('visit')
    affine = AFFINE.copy()
    affine[:3, 3] = np.array([2.0, -20, 5]) - MIDDLE

    def write(name, data):
        path = folder / f'{name}.nii.gz'
        nib.save(nib.Nifti1Image(np.asarray(data, np.float32), affine), path)
        return str(path)

    halves = np.where(np.arange(SHAPE[0]) < MIDDLE[0], 1, 2)[:, None, None] * BRAIN
    identity = str(write_linear(np.eye(4), folder / 'identity.txt'))
    return {
        'anat_preproc': write('t1w', images['t1w']),
        'brain_mask': write('brain', BRAIN),
        'csf_probseg': write('csf', FLUID),
        'gm_probseg': write('gm', CORTEX),
        'wm_probseg': write('wm', WHITE),
        'ventricles': write('ventricles', VENTRICLE),
        'structures_dseg': write('structures', 0 * BRAIN),
        'lobes_dseg': write('lobes', halves),
        'territories_dseg': write('territories', 0 * BRAIN),
        'mni_to_anat': identity,
        'flair_preproc': write('flair', images['flair']),
        'flair_to_anat': identity,
        'wmh_mask': write('wmh', 0 * BRAIN),
        'folder': folder,
        'write': write,
    }


def run(visit, tmp_path, monkeypatch, **more):
    monkeypatch.chdir(tmp_path)
    files = {k: v for k, v in visit.items() if isinstance(v, str)}
    done = Cavities(**files, options=asdict(Options()), **more).run()
    out = done.outputs
    return out, read_values(out.cavities_values)


def test_files_go_in_and_come_out(visit, tmp_path, monkeypatch):
    out, values = run(visit, tmp_path, monkeypatch)
    assert values['lacune_n'].value == 2
    assert values['cavity_images'].value == 't1w+flair'
    assert values['pvs_bg_grade'].qc == 'warn'  # there is no T2w
    assert np.asarray(nib.load(out.lacune_mask).dataobj).sum() > 100
    lines = Path(out.lacune_lesions).read_text().splitlines()
    assert lines[0].split('\t')[:2] == ['index', 'volume_mm3']
    assert [line.split('\t')[0] for line in lines[1:3]] == ['1', '2']
    mask = np.asarray(nib.load(out.pvs_mask).dataobj)
    assert not (mask & np.asarray(nib.load(out.lacune_mask).dataobj)).any()


def test_masks_that_are_given_take_the_place_of_ours(visit, tmp_path, monkeypatch):
    given = np.zeros(SHAPE)
    given[40:44, 60:64, 30:33] = 1
    item = {'mask': visit['write']('given', given), 'on': 't1w'}
    out, values = run(visit, tmp_path, monkeypatch, lacune_external=item)
    assert values['lacune_n'].value == 1
    assert values['lacune_origin'].value == 'external'
    assert values['lacune_n'].qc == ''
    assert values['lacune_volume_ml'].value == pytest.approx(0.048)
    assert np.array_equal(np.asarray(nib.load(out.lacune_mask).dataobj), given)
    lines = Path(out.lacune_lesions).read_text().splitlines()
    assert 'external' in lines[1]


def test_thick_slices_give_counts_within_slices_only(visit, images, tmp_path, monkeypatch):
    affine = nib.load(visit['brain_mask']).affine.copy()
    affine[2, 2] = 4.0

    def thin_out(path):
        data = np.asarray(nib.load(path).dataobj)
        data = data[..., : 4 * (data.shape[2] // 4)].reshape(*data.shape[:2], -1, 4)
        data = data.mean(axis=3) if path == visit['anat_preproc'] else data[..., 1]
        file = tmp_path / path.split('/')[-1]
        nib.save(nib.Nifti1Image(data.astype(np.float32), affine), file)
        return str(file)

    thick = {
        k: thin_out(v) if isinstance(v, str) and v.endswith('.nii.gz') else v
        for k, v in visit.items()
        if k not in ('flair_preproc', 'flair_to_anat', 'wmh_mask')
    }
    _, values = run(thick, tmp_path, monkeypatch)
    assert values['pvs_bg_n'].value is None
    assert 'slices of 4.0 mm' in values['pvs_bg_n'].reason
    assert values['pvs_cso_ml'].value is None
    assert values['pvs_bg_grade'].value is not None
    assert values['pvs_bg_grade'].qc == 'warn'
    # In this small head no centrum semiovale lies above the ventricles: no grade, rather than 0.
    assert values['pvs_cso_grade'].value is None
    assert 'not in the image' in values['pvs_cso_grade'].reason
    assert values['lacune_n'].qc == 'warn'
    assert 'without a FLAIR' in values['lacune_n'].reason
    assert 'slices of 4.0 mm: half of the lacunes are missed' in values['lacune_n'].reason


@pytest.mark.parametrize('axis', [0, 2])
def test_what_lies_right_above_or_below_a_ventricle(axis):
    """On thick slices its roof and floor look like perivascular spaces."""
    ventricles = np.zeros((20, 20, 20), bool)
    size = np.ones(3)
    size[axis] = 4.0
    ventricles[(slice(8, 12),) * 3] = True
    found = np.moveaxis(_roof(ventricles, size), axis, -1)
    assert found[10, 10, 7]
    assert found[10, 10, 12]
    assert not found[10, 10, 5]
    assert not found[10, 10, 14]
    assert found[7, 10, 7]
    assert not found[5, 10, 7]


@pytest.mark.parametrize(('roof', 'status'), [(0.0, 'definite'), (0.6, 'possible')])
def test_the_roof_of_a_ventricle_does_not_count(images, roof, status):
    head = replace(make_head(images), affine=np.diag([1.0, 1.0, 3.0, 1.0]))
    names = features_of(head.images)
    facts = dict(zip(names, map(float, candidates(make_head(images)).features[0]), strict=True))
    form = {'length_mm': 8.0, 'width_mm': 1.0, 'fluid_mm3': 6.0, 'roof': roof}
    found = _described(
        1, facts | {'tube': 0.2}, form, np.array([0.02, 0.03, 0.95]), 2.0, head, Limits(), False
    )
    assert found.pvs_status == status
    assert ('right above or below a ventricle' in found.reasons) == (status == 'possible')


@pytest.mark.parametrize(
    ('slices', 'tube', 'status'),
    [(3.0, 0.08, 'possible'), (3.0, 0.15, 'definite'), (1.0, 0.08, 'definite')],
)
def test_faint_spaces_do_not_count_on_thick_slices(images, slices, tube, status):
    """Averaging takes the noise away, and borders of grey matter emerge."""
    head = make_head(images)
    head = replace(head, affine=np.diag([1.0, 1.0, slices, 1.0]))
    names = features_of(head.images)
    facts = dict(zip(names, map(float, candidates(make_head(images)).features[0]), strict=True))
    form = {'length_mm': 8.0, 'width_mm': 1.0, 'fluid_mm3': 6.0}
    found = _described(
        1, facts | {'tube': tube}, form, np.array([0.02, 0.03, 0.95]), 2.0, head, Limits(), False
    )
    assert (found.kind, found.pvs_status) == ('pvs', status)


def test_limits_of_size():
    assert Limits().largest_mm == 15
    assert replace(Limits(), definite=0.9).definite == 0.9


def test_pieces_of_one_space_count_once_and_neighbours_apart():
    broken = (tube((20, 46, 30), (20, 53, 30), 2.0), tube((20, 56, 30), (20, 64, 30), 2.0))
    beside = (tube((27, 46, 30), (27, 64, 30), 2.0),)
    head = make_head(make_images(Shapes((), broken + beside), names=('t1w', 'flair')))
    found = find_cavities(head, load_model('t1w+flair', thick=False))
    first, second, third = owners(found, broken + beside)
    assert first.number == second.number != third.number
    assert first.length_mm > 10


def test_a_small_cavity_above_the_perforated_substance_does_not_count(images):
    head = make_head({name: images[name] for name in ('t1w', 'flair')})
    at = np.array(LACUNES[1].centre)
    found = find_cavities(
        head,
        load_model('t1w+flair', thick=False),
        to_template=lambda points: points - at + [18.0, 4, -8],
    )
    first, second = owners(found, LACUNES)
    assert first.lacune_status == 'definite'
    assert second.lacune_status == 'possible'
    assert 'perforated' in second.reasons
