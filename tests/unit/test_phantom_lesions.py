"""Lesions of the phantom: exact shapes, known volumes and grades, the same ones at every visit."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from csvdprep.phantom.disease import small
from csvdprep.phantom.disease.grading import graded, true_grades
from csvdprep.phantom.disease.hyperintensities import lesion_growth
from csvdprep.phantom.disease.person import Disease, small_lesions
from csvdprep.phantom.geometry.features import Ellipsoid, Tube, draw
from csvdprep.phantom.head.anatomy import make_anatomy
from csvdprep.phantom.scanner.scan import Scan

GRIDS = ((1, 1, 1), (0.7, 0.7, 0.7), (2, 2, 2), (0.9, 0.9, 4))


@pytest.fixture(scope='module')
def person():
    return make_anatomy(3, spacing=3.0, ventricles_mm=2.0)


def _arc(radius=15.0, width=0.6):
    angle = np.linspace(0, np.pi / 2, 200)
    points = np.column_stack([radius * np.cos(angle), radius * np.sin(angle), 0.2 * angle]) + 4
    return Tube(kind='PVS', tissue='csf', points=points, radii=np.full(200, width))


def _egg(hollow=0.0):
    axes = Rotation.from_euler('xyz', (20, 30, 40), degrees=True).as_matrix()
    return Ellipsoid(
        kind='lacune',
        tissue='csf',
        centre=np.array([11.3, 12.1, 10.7]),
        radii=np.array([2.0, 3.0, 4.5]),
        axes=axes,
        hollow=hollow,
    )


@pytest.mark.parametrize('voxel', GRIDS)
@pytest.mark.parametrize('shape', [_arc(), _arc(width=0.3), _egg(), _egg(0.6)])
def test_shapes_fill_their_volume_on_any_grid(shape, voxel):
    affine = np.diag([*voxel, 1.0])
    affine[:3, :3] = Rotation.from_euler('z', 17, degrees=True).as_matrix() @ affine[:3, :3]
    affine[:3, 3] = (8, -6, -2)
    grid = tuple(int(40 / v) for v in voxel)
    share, owner = draw([shape], grid, affine)
    assert share.sum(dtype=float) * np.prod(voxel) == pytest.approx(shape.volume_mm3, rel=0.03)
    assert ((owner == 1) == (share > 0)).all()
    index = np.argwhere(share > 0)
    weights = share[share > 0]
    middle = affine[:3, :3] @ (index.T @ weights / weights.sum()) + affine[:3, 3]
    expected = shape.centre if isinstance(shape, Ellipsoid) else shape.points.mean(axis=0)
    assert np.abs(middle - expected).max() < max(0.25, max(voxel) / 2)


def test_gaps_between_slices_hide_their_part():
    tube = Tube(
        kind='PVS',
        tissue='csf',
        points=np.column_stack([np.full(100, 10.2)] * 2 + [np.linspace(5, 35, 100)]),
        radii=np.full(100, 0.8),
    )
    affine = np.diag([1.0, 1.0, 5.0, 1.0])
    share, _ = draw([tube], (20, 20, 8), affine, thickness=(1, 1, 4))
    assert share.sum() * 4 == pytest.approx(tube.volume_mm3 * 4 / 5, rel=0.03)


def test_overlap_counts_once():
    share, owner = draw([_egg(), _egg()], (24, 24, 24), np.eye(4))
    alone, _ = draw([_egg()], (24, 24, 24), np.eye(4))
    assert share.max() <= 1
    assert set(np.unique(owner)) == {0, 1}
    assert (share >= alone).all()


def test_length_and_tortuosity_of_an_arc():
    arc = _arc()
    assert arc.length_mm == pytest.approx(np.pi / 2 * 15, rel=1e-3)
    assert arc.distance_factor == pytest.approx(np.pi / 2 / np.sqrt(2), rel=1e-3)


def test_a_pose_moves_shapes_as_it_moves_images(person):
    features = small.lacunes(person, 2, 1)[-1:]
    straight = Scan(voxel=(1.5, 1.5, 1.5))
    turned = straight.after((10, -20, 30), (4, -3, 2))
    middles = []
    for scan in (straight, turned):
        share, _ = scan.draw(features)
        _, affine = scan.grid()
        index = np.argwhere(share > 0)
        weights = share[share > 0]
        middles.append(affine[:3, :3] @ (index.T @ weights / weights.sum()) + affine[:3, 3])
    rotation, shift = turned.pose[:3, :3], turned.pose[:3, 3]
    assert np.abs(rotation @ middles[0] + shift - middles[1]).max() < 0.1


def test_a_visit_with_more_lesions_has_those_of_the_visit_before(person):
    before = small_lesions(person, 5, Disease(lacunes=2, microbleeds=(2, 1, 1), pvs=(4, 6)))
    after = small_lesions(person, 5, Disease(lacunes=3, microbleeds=(3, 1, 1), pvs=(4, 6)))
    for kind, count in (('lacune', 2), ('CMB', 2)):
        old, new = ([f.centre for f in some if f.kind == kind] for some in (before, after))
        assert np.allclose(old[:count], new[:count])
        assert len(new) == len(old) + 1


def test_new_lesions_leave_the_others_where_they_are(person):
    base = Disease(lacunes=2, microbleeds=(2, 1, 1), pvs=(4, 6), recent_infarcts=1)
    before = small_lesions(person, 5, base)
    more = replace(base, new_lacunes=2, new_microbleeds=(2, 1, 0), new_infarcts=1)
    after = small_lesions(person, 5, more)
    assert [f.centre.tolist() for f in after[: len(before)]] == [f.centre.tolist() for f in before]
    new = after[len(before) :]
    kinds = [f.kind for f in new if f.kind != 'rim']
    assert kinds == ['lacune'] * 2 + ['RSSI'] + ['CMB'] * 3
    assert {f.facts['new'] for f in new} == {1}
    assert not any(f.facts.get('new') for f in before)
    for one, two in itertools.product(
        [f for f in new if f.kind != 'rim'], [f for f in before if f.kind in ('CMB', 'lacune')]
    ):
        assert np.linalg.norm(one.centre - two.centre) > one.radii.max() + two.radii.max()
    # At the next visit those of this one are there, and its infarct has faded.
    later = replace(more, new_lacunes=4, past_infarcts=1)
    third = small_lesions(person, 5, later)
    places = [f.centre.tolist() for f in third if f.kind == 'lacune']
    assert [f.centre.tolist() for f in new if f.kind == 'lacune'] == places[2:4]
    faded = next(f for f in new if f.kind == 'RSSI')
    fresh = [f for f in third if f.kind == 'RSSI' and f.facts.get('new')]
    assert len(fresh) == 1
    assert np.linalg.norm(fresh[0].centre - faded.centre) > 3


def test_small_lesions_keep_apart_and_to_their_size(person):
    found = small_lesions(
        person,
        9,
        Disease(
            lacunes=5, microbleeds=(6, 4, 3), pvs=(8, 10), recent_infarcts=1, calcifications=2
        ),
    )
    solid = [f for f in found if f.kind in ('lacune', 'CMB', 'RSSI', 'calcification')]
    for one, two in itertools.combinations(solid, 2):
        assert np.linalg.norm(one.centre - two.centre) > one.radii.max() + two.radii.max()
    limits = {'lacune': (3, 15), 'CMB': (1, 6), 'PVS': (0.5, 3), 'RSSI': (4, 20)}
    for feature in found:
        if feature.kind in limits:
            low, high = limits[feature.kind]
            assert low <= feature.diameter_mm <= high
    regions = [f.facts['region'] for f in found if f.kind == 'CMB']
    assert [regions.count(r) for r in ('lobar', 'deep', 'infratentorial')] == [6, 4, 3]


def test_no_room_is_told(person):
    with pytest.raises(ValueError, match='no room'):
        small.calcifications(person, 1, 60)


def test_spaces_have_the_length_of_their_course(person):
    for space in small.perivascular_spaces(person, 3, 5, 5):
        steps = np.linalg.norm(np.diff(space.points, axis=0), axis=1)
        assert steps.max() <= space.radii[0] + 1e-9
        assert 2 < space.length_mm < 33


@pytest.mark.parametrize(('growth_ml', 'shrink_ml'), [(2, 1), (5, 0), (0, 1.5)])
def test_lesions_grow_here_and_shrink_there(person, growth_ml, shrink_ml):
    growth = lesion_growth(person, 3)
    before, after = growth.fraction(15), growth.changed(15, growth_ml, shrink_ml)
    change = (after - before).astype(float) * growth.voxel_ml
    assert change[change > 0].sum() == pytest.approx(growth_ml, abs=0.01)
    assert -change[change < 0].sum() == pytest.approx(shrink_ml, abs=0.01)


def test_more_regression_than_there_is_lesion_is_refused(person):
    with pytest.raises(ValueError, match='can shrink'):
        lesion_growth(person, 3).changed(5, 1, 5)


def test_foci_stay_in_place_when_the_brain_shrinks():
    masks = []
    for atrophy in (0.6, 0.7):
        anatomy = make_anatomy(3, spacing=3.0, ventricles_mm=2 + atrophy, atrophy=atrophy)
        masks.append(lesion_growth(anatomy, 3).fraction(12) >= 0.5)
    overlap = 2 * (masks[0] & masks[1]).sum() / (masks[0].sum() + masks[1].sum())
    assert overlap > 0.7


@pytest.mark.parametrize(('pv', 'deep'), [(0, 0), (0, 3), (1, 2), (2, 1), (3, 0), (3, 3)])
def test_heads_show_the_grades_asked_for(pv, deep):
    anatomy = make_anatomy(3, spacing=2.5, ventricles_mm=2.5, atrophy=0.7)
    found = true_grades(anatomy, graded(anatomy, 3, pv, deep))
    assert (found.pv, found.deep) == (pv, deep)
