"""Lesions of constructed grades get these grades, on any grid."""

from __future__ import annotations

import numpy as np
import pytest

from csvdprep.markers.fazekas.science import grade, volume_grade
from csvdprep.phantom.geometry.spheres import ball, fazekas_lesions, make_grid, positions
from csvdprep.science.distances import distance_map

GRIDS = {
    '1 mm': {'zooms': (1, 1, 1)},
    'thick': {'zooms': (0.9, 0.9, 5)},
    'oblique thick': {'zooms': (0.9, 0.9, 5), 'tilt_deg': (10, -7, 15), 'centre': (0.3, 0.2, 1.1)},
    'thick, stored sagittally': {'zooms': (0.9, 0.9, 5), 'axes': (2, 0, 1)},
    'fine': {'zooms': (0.7, 0.7, 3), 'tilt_deg': (-5, 0, 0)},
}


def graded(pv, deep, grid, **kwargs):
    shape, affine = make_grid(**GRIDS[grid], extent_mm=124)
    _, lesion = fazekas_lesions(pv, deep, positions(shape, affine))
    anat_shape, anat_affine = make_grid((1, 1, 1), 30)
    ventricle, _ = fazekas_lesions(0, 0, positions(anat_shape, anat_affine))
    d_v = distance_map(ventricle, anat_affine, shape, affine, where=lesion)
    return grade(lesion, d_v, affine, **kwargs)


@pytest.mark.parametrize('grid', GRIDS)
@pytest.mark.parametrize('pv', range(4))
@pytest.mark.parametrize('deep', range(4))
def test_all_pairs_of_grades(pv, deep, grid):
    result = graded(pv, deep, grid)
    assert (result.pv, result.deep, result.total) == (pv, deep, pv + deep), result


def test_a_lesion_of_22_mm_is_large_by_one_rule_only():
    shape, affine = make_grid((1, 1, 1), 60)
    lesion = ball(positions(shape, affine), (0, 0, 0), 11)
    d_v = np.full(shape, 20.0)
    result = grade(lesion, d_v, affine)
    assert (result.deep, result.deep_ladis, result.deep_credos) == (3, 3, 2)
    assert result.deep_diameter_mm == pytest.approx(22, abs=1)
    assert grade(lesion, d_v, affine, rule='credos').total == 2
    assert result.as_dict()['fazekas_total'] == 3


@pytest.mark.parametrize(('gap', 'expected'), [(2, 2), (5, 1)])
def test_bridges_join_neighbours(gap, expected):
    shape, affine = make_grid((0.5, 0.5, 0.5), 40)
    points = positions(shape, affine)
    lesion = ball(points, (-3 - gap / 2, 0, 0), 3) | ball(points, (3 + gap / 2, 0, 0), 3)
    assert grade(lesion, np.full(shape, 20.0), affine).deep == expected


def test_a_confluent_lesion_is_3_by_its_tail():
    shape, affine = make_grid((1, 1, 1), 124)
    points = positions(shape, affine)
    ventricle, lesion = fazekas_lesions(1, 0, points)
    tail = ball(points, (30, 0, 0), (19, 9, 9)) & ~ventricle
    lesion |= tail
    d_v = distance_map(ventricle, affine, shape, affine, where=lesion)
    result = grade(lesion, d_v, affine)
    assert result.pv == 3
    assert result.deep >= 2
    assert 0.1 < result.irregular < 0.5


def test_a_lesion_next_to_but_off_the_wall_is_neither():
    shape, affine = make_grid((1, 1, 1), 40)
    lesion = ball(positions(shape, affine), (0, 0, 0), 5)
    result = grade(lesion, np.where(lesion, 2.5, np.nan), affine)
    assert (result.pv, result.deep) == (0, 0)


def test_no_lesion():
    nothing = np.zeros((5, 5, 5))
    result = grade(nothing > 0, nothing, np.eye(4))
    assert (result.total, result.volcheck, result.deep_diameter_mm) == (0, 'ok', 0)


def test_volume_check_warns():
    # 30 mL of thin lining would be grade 1 by shape and 3 by volume.
    lesion = np.ones((40, 30, 25), bool)
    result = grade(lesion, np.full(lesion.shape, 1.0), np.eye(4))
    assert (result.pv, result.by_volume, result.volcheck) == (1, 3, 'warn')


def test_volume_cut_points():
    assert [volume_grade(v) for v in (0, 0.49, 0.5, 6.99, 7, 15.9, 16)] == [0, 0, 1, 1, 2, 2, 3]


def test_bad_arguments():
    lesion = np.ones((2, 2, 2), bool)
    with pytest.raises(ValueError, match='Unknown rule'):
        grade(lesion, np.ones((2, 2, 2)), np.eye(4), rule='mine')
    with pytest.raises(ValueError, match='not known'):
        grade(lesion, np.full((2, 2, 2), np.inf), np.eye(4))
