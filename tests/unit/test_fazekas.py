"""Lesions drawn to the words of Fazekas get these grades, on any grid and in any pose."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from csvdprep.core.errors import MeasureError
from csvdprep.markers.fazekas.science import grade, volume_grade
from csvdprep.phantom.geometry.grades import (
    DEEP,
    PERIVENTRICULAR,
    deep_lesions,
    periventricular_lesions,
    ventricle_pair,
)
from csvdprep.phantom.geometry.spheres import ball, positions
from csvdprep.science.distances import distance_map
from csvdprep.science.walls import check_ventricles, find_wall, thickness_on

# The right half: what holds for one ventricle holds for two.
SIZE, CENTRE = np.array([62, 136, 66]), np.array([34, -14, 14])
GRIDS = {
    '1 mm': ((1, 1, 1), (0, 0, 0)),
    '1 x 1 x 5 mm': ((1, 1, 5), (0, 0, 0)),
    '0.9 x 0.9 x 5 mm, tilted': ((0.9, 0.9, 5), (12, -6, 9)),
    '0.7 x 0.7 x 8 mm, tilted': ((0.7, 0.7, 8), (-10, 4, 0)),
}


def box(zooms, tilt):
    shape = np.ceil(SIZE / zooms).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler('xyz', tilt, degrees=True).as_matrix() * zooms
    affine[:3, 3] = CENTRE - affine[:3, :3] @ ((shape - 1) / 2)
    return tuple(shape), affine


@cache
def ventricles():
    shape, affine = box((1, 1, 1), (0, 0, 0))
    near = ventricle_pair(positions(shape, affine))
    return (near.distance <= 0) & (near.side > 0), affine


@cache
def wall():
    return find_wall(*ventricles())


class Place:
    """A grid, and where its voxels lie; thick slices are sampled at three heights."""

    def __init__(self, name):
        zooms, tilt = GRIDS[name]
        self.shape, self.affine = box(zooms, tilt)
        self.layers = []
        for part in (-1 / 3, 0, 1 / 3) if zooms[2] > 1 else (0,):
            moved = self.affine.copy()
            moved[:3, 3] += part * moved[:3, 2]
            points = positions(self.shape, moved)
            self.layers.append((points, ventricle_pair(points)))
        self.d_v = distance_map(*ventricles(), self.shape, self.affine)
        # A deep lesion of 3 mm is seen if a slice meets it.
        points = self.layers[len(self.layers) // 2][0].reshape(-1, 3)
        self.middle = points[np.linalg.norm(points - (44, -15, 30), axis=1).argmin()]

    def lesion(self, near, deep):
        parts = [
            periventricular_lesions(near, points, around) & (around.side > 0)
            for points, around in self.layers
        ]
        points, around = self.layers[len(self.layers) // 2]
        far = deep_lesions(deep, points, self.middle) & (around.side > 0)
        return (2 * np.sum(parts, axis=0) >= len(parts)) & (np.sum(parts, axis=0) > 0) | far

    def grade(self, near, deep='nothing', **kwargs):
        return grade(self.lesion(near, deep), self.d_v, self.affine, wall(), **kwargs)


place = cache(Place)


@pytest.mark.parametrize('near', PERIVENTRICULAR)
@pytest.mark.parametrize('grid', GRIDS)
def test_periventricular_grades(near, grid):
    found = place(grid).grade(near)
    assert found.pv == PERIVENTRICULAR[near], found


@pytest.mark.parametrize('deep', DEEP)
@pytest.mark.parametrize('grid', GRIDS)
def test_deep_grades(deep, grid):
    found = place(grid).grade('nothing', deep)
    assert (found.pv, found.deep) == (0, DEEP[deep]), found


@pytest.mark.parametrize(
    'near', ['nothing', 'lining and caps of 6.5 mm', 'halo of 7 mm', 'halo of 14 mm in places']
)
@pytest.mark.parametrize(
    'deep', ['nothing', 'three points of 5 mm', 'a focus of 14 mm', 'a patch of 34 x 16 mm']
)
def test_the_two_grades_do_not_disturb_each_other(near, deep):
    found = place('1 x 1 x 5 mm').grade(near, deep)
    assert found.pv == PERIVENTRICULAR[near]
    # What of the thick halo is beyond 13 mm is deep itself.
    least = 2 if near == 'halo of 14 mm in places' else 0
    assert max(DEEP[deep], least) <= found.deep <= max(DEEP[deep], 3 if least else 0)
    assert found.total == found.pv + found.deep


def test_large_by_one_rule_only():
    shape, affine = box((1, 1, 1), (0, 0, 0))
    lesion = ball(positions(shape, affine), (44, -15, 30), 11)
    lesion &= ventricle_pair(positions(shape, affine)).distance > 13
    found = grade(lesion, np.full(shape, 20.0), affine, wall())
    assert (found.deep_ladis, found.deep_credos) == (3, 2)
    assert found.deep_diameter_mm == pytest.approx(22, abs=1)
    assert grade(lesion, np.full(shape, 20.0), affine, wall(), rule='credos').total == 2
    assert found.as_dict()['fazekas_total'] == 3


@pytest.mark.parametrize('gap', [1, 2.5, 3.5, 8])
def test_no_lesion_is_neither_periventricular_nor_deep(gap):
    there = place('1 mm')
    lesion = (there.d_v > gap) & (there.d_v <= gap + 6) & there.layers[0][1].white
    found = grade(lesion, there.d_v, there.affine, wall())
    assert found.pv_ml + found.deep_ml == pytest.approx(lesion.sum() / 1000, rel=1e-6)
    assert (found.pv > 0) != (found.deep > 0)


def test_slices_cannot_tell_a_gap_that_is_smaller_than_they_are():
    shape = (20, 20, 6)
    lesion = np.zeros(shape, bool)
    lesion[5:15, 5:15, 3] = True
    d_v = np.where(lesion, 4.0, 99.0)
    thin, thick = np.diag([1.0, 1, 1, 1]), np.diag([1.0, 1, 5, 1])
    assert grade(lesion, d_v, thin, wall()).pv_ml == 0
    assert grade(lesion, d_v, thick, wall()).deep_ml == 0


def test_more_lesion_never_lowers_a_grade():
    there = place('1 x 1 x 5 mm')
    lesion = np.zeros(there.shape, bool)
    before = (0, 0)
    for near, deep in (
        ('caps of 4 mm', 'three points of 5 mm'),
        ('halo of 7 mm', 'nothing'),
        ('nothing', 'a focus of 14 mm'),
        ('nothing', 'a ribbon of 40 x 2 x 3 mm'),
        ('irregular, 16 mm', 'a patch of 34 x 16 mm'),
    ):
        lesion |= there.lesion(near, deep)
        found = grade(lesion, there.d_v, there.affine, wall())
        assert (found.pv >= before[0], found.deep >= before[1]) == (True, True)
        before = found.pv, found.deep
    assert before == (3, 3)


def test_no_lesion():
    nothing = np.zeros((5, 5, 5))
    found = grade(nothing > 0, nothing, np.eye(4), wall())
    assert (found.total, found.volcheck, found.deep_diameter_mm) == (0, 'ok', 0)
    assert (found.wall_pct, found.thickness_mm) == (0, 0)


def test_volume_check_warns():
    # 30 mL within 1 mm of the wall, none of it where the wall can see it.
    lesion = np.ones((40, 30, 25), bool)
    affine = np.eye(4)
    affine[:3, 3] = 500
    found = grade(lesion, np.full(lesion.shape, 1.0), affine, wall())
    assert (found.pv, found.by_volume, found.volcheck) == (1, 3, 'warn')


def test_volume_cut_points():
    assert [volume_grade(v) for v in (0, 0.49, 0.5, 6.99, 7, 15.9, 16)] == [0, 0, 1, 1, 2, 2, 3]


def test_thickness_is_measured_from_the_wall_and_gaps_end_it():
    there = place('1 mm')
    d, white = there.d_v, there.layers[0][1].white
    seen = thickness_on(wall(), white & (d <= 9), there.affine) > 0

    def median(lesion):
        return np.median(thickness_on(wall(), lesion & white, there.affine)[seen])

    assert median((d > 2) & (d <= 9)) == pytest.approx(9, abs=0.6)
    assert median((d <= 3) | (d > 5) & (d <= 9)) == pytest.approx(9, abs=0.6)
    assert median((d <= 3) | (d > 8) & (d <= 14)) == pytest.approx(3, abs=0.6)
    assert median(d > 5) == 0


def test_ventricles_too_small_for_a_patient_are_refused():
    with pytest.raises(MeasureError, match=r'Only 1\.0 mL'):
        check_ventricles(np.ones((10, 10, 10), bool), np.eye(4))
    with pytest.raises(MeasureError, match='empty'):
        find_wall(np.zeros((4, 4, 4), bool), np.eye(4))


def test_bad_arguments():
    lesion = np.ones((2, 2, 2), bool)
    with pytest.raises(ValueError, match='Unknown rule'):
        grade(lesion, np.ones((2, 2, 2)), np.eye(4), wall(), rule='mine')
    with pytest.raises(ValueError, match='not known'):
        grade(lesion, np.full((2, 2, 2), np.inf), np.eye(4), wall())
