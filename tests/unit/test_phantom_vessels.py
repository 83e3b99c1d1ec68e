"""Arteries and veins of the phantom, and the drawing of tubes."""

import numpy as np
import pytest

from csvdprep.phantom.geometry.features import THIN, Tube, draw
from csvdprep.phantom.head.anatomy import make_anatomy
from csvdprep.phantom.head.arteries import arteries
from csvdprep.phantom.head.veins import veins
from csvdprep.phantom.head.vessels import along, helices, helix
from csvdprep.phantom.scanner.scan import turn
from csvdprep.phantom.susceptibility.field import deposit


@pytest.fixture(scope='module')
def head():
    return make_anatomy(3, spacing=4)


@pytest.fixture(scope='module')
def tree(head):
    return arteries(head, 1, lsa=(3, 5), tortuosity=1.3)


@pytest.fixture(scope='module')
def drain(head):
    return veins(head, 1)


def of(tubes, kind):
    return [tube for tube in tubes if tube.kind == kind]


def test_each_artery_leaves_its_parent(tree):
    known = {tube.facts['name']: tube for tube in tree}
    seen = set()
    for tube in tree:
        parent = tube.facts['parent']
        if parent and tube.kind != 'ACom':
            assert parent in seen, f'{tube.facts["name"]} comes before {parent}'
            away = np.linalg.norm(known[parent].points - tube.points[0], axis=1).min()
            assert away < 1.5, (tube.facts['name'], away)
        seen.add(tube.facts['name'])
    assert {
        'ICA',
        'basilar',
        'VA',
        'M1',
        'M2',
        'M3',
        'A1',
        'A2',
        'A3',
        'ACom',
        'PCom',
        'P1',
        'P2',
        'P3',
        'LSA',
    } <= {tube.kind for tube in tree}


def test_lenticulostriate_arteries_rise_through_the_basal_ganglia(head, tree):
    stems = [t for t in of(tree, 'LSA') if t.facts['parent'].endswith('M1')]
    assert [sum(t.facts['side'] == side for t in stems) for side in ('left', 'right')] == [3, 5]
    for tube in stems:
        start, end = head.to_template(tube.points[[0, -1]])
        assert 12 <= abs(start[0]) <= 27
        assert -4 <= start[1] <= 8
        assert -17 <= start[2] <= -11
        assert 8 <= end[2] <= 24
        assert np.sign(start[0]) == (-1 if tube.facts['side'] == 'left' else 1)
    radii = np.concatenate([t.radii for t in of(tree, 'LSA')])
    assert radii.min() > 0.14
    assert radii.max() < 0.42
    assert np.mean([t.distance_factor for t in stems]) == pytest.approx(1.3, abs=0.06)


def test_tortuosity_is_a_parameter(head):
    straight, winding = (
        np.mean([t.distance_factor for t in of(arteries(head, 1, tortuosity=factor), 'LSA')])
        for factor in (1.12, 1.5)
    )
    assert winding - straight > 0.15


def test_points_are_no_further_apart_than_a_radius(tree, drain):
    for tube in (*tree, *drain):
        assert np.linalg.norm(np.diff(tube.points, axis=0), axis=1).max() <= tube.radii.min()


def test_sagittal_sinus_lies_on_the_midline_below_the_skull(head, drain):
    (sinus,) = of(drain, 'SSS')
    there = head.to_template(sinus.points)
    assert np.abs(there[:, 0]).max() < 0.5
    assert there[:, 1].max() > 55
    assert there[:, 1].min() < -95
    assert 3.3 < sinus.radii.mean() < 4.2
    index = np.rint((sinus.points - head.affine[:3, 3]) / 4).astype(int)
    within = head.intracranial[tuple(index.T)]
    assert (within > 0.2).mean() > 0.7


def test_veins_are_as_many_and_as_wide_as_wanted(head, drain):
    assert len(of(drain, 'cortical vein')) == 24
    assert len(of(drain, 'medullary vein')) == 16
    for kind, low, high in (('cortical vein', 0.45, 1.05), ('medullary vein', 0.18, 0.38)):
        radii = np.concatenate([t.radii for t in of(drain, kind)])
        assert low < radii.min()
        assert radii.max() < high
    sinus = of(drain, 'SSS')[0].points
    for vein in of(drain, 'cortical vein'):
        assert np.linalg.norm(sinus - vein.points[0], axis=1).min() < 1.0
    assert len(veins(head, 1, cortical=4, medullary=2)) == len(drain) - 20 - 14


def test_medullary_veins_begin_at_the_ventricles_and_leave_them(head, drain):
    wall = head.regions['ventricles']
    for vein in of(drain, 'medullary vein'):
        index = np.rint((vein.points - head.affine[:3, 3]) / 4).astype(int)
        around = tuple(slice(i - 1, i + 2) for i in index[0])
        assert wall[around].max() > 0.2
        assert wall[tuple(index[-1])] == 0


def test_the_same_seed_gives_the_same_vessels(head, drain):
    again = veins(head, 1)
    assert all((a.points == b.points).all() for a, b in zip(drain, again, strict=True))
    assert not np.allclose(veins(head, 2)[-1].points[0], drain[-1].points[0])


def test_helices_have_the_length_and_tortuosity_of_the_formula():
    for tube in helices():
        assert tube.length_mm == pytest.approx(35, rel=1e-4)
        assert tube.distance_factor == pytest.approx(tube.facts['distance_factor'], rel=1e-4)
    with pytest.raises(ValueError, match='longer than'):
        helix(10, 3, 2.0)


@pytest.mark.parametrize('width', [0.3, 1.0, 2.4])
def test_a_tube_fills_its_volume_in_any_grid(width):
    tube = helix(35, 3, 1.5, centre=(20.3, 19.9, 20.1), width_mm=width)
    affine = np.eye(4)
    affine[:3, :3] = turn((9, -4, 6)) * (0.9, 0.9, 1.6)
    affine[:3, 3] = (-2, -2, -2)
    share, owner = draw([tube], (50, 50, 32), affine)
    assert share.sum() * 0.9 * 0.9 * 1.6 == pytest.approx(tube.volume_mm3, rel=0.015)
    assert (owner[share > 0] == 1).all()


def test_thin_tubes_are_drawn_as_if_their_voxels_were_divided(monkeypatch):
    tube = helix(30, 2, 2.0, centre=(10.2, 10.4, 9.7), width_mm=0.8)
    quick, _ = draw([tube], (20, 20, 20), np.eye(4))
    assert tube.radii.max() < THIN
    monkeypatch.setattr('csvdprep.phantom.geometry.features.THIN', 0.0)
    slow, _ = draw([tube], (20, 20, 20), np.eye(4))
    assert np.abs(quick - slow).max() < 0.03
    assert np.sqrt(((quick - slow)[slow > 0] ** 2).mean()) < 0.006


def test_looking_along_a_tube_finds_what_looking_in_its_box_finds(monkeypatch):
    tube = helix(60, 2, 4.0, centre=(14, 14, 18), width_mm=3.0)
    along_line, _ = draw([tube], (28, 28, 36), np.eye(4))
    monkeypatch.setattr('csvdprep.phantom.geometry.features._MANY', 10**9)
    in_box, _ = draw([tube], (28, 28, 36), np.eye(4))
    assert (along_line == in_box).all()


def test_a_deposit_keeps_volume_and_place():
    line = np.linspace((4.0, 5.0, 6.0), (15.0, 14.0, 9.0), 200)
    tube = Tube(kind='x', tissue='vein', points=line, radii=np.full(200, 1.3))
    share = deposit([tube], (20, 20, 16), np.eye(4))
    assert share.sum() == pytest.approx(tube.volume_mm3, rel=1e-5)
    centre = [
        (share * np.arange(n).reshape([-1 if i == a else 1 for i in range(3)])).sum() / share.sum()
        for a, n in enumerate(share.shape)
    ]
    assert np.allclose(centre, line.mean(axis=0), atol=0.02)
    assert along(line)[-1] == pytest.approx(tube.length_mm)
