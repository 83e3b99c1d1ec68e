"""The table of lesions, and diameters on axial slices."""

from __future__ import annotations

import numpy as np
import pytest

from csvdprep.markers.zones.science.arwmc import basal_ganglia_grade, white_matter_grade
from csvdprep.markers.zones.science.lesions import lesion_table, size_classes
from csvdprep.phantom.geometry.spheres import ball, make_grid, positions
from csvdprep.science.confluence import confluent_diameter
from csvdprep.science.shapes import axial_axis, axial_diameter, label_lesions, voxel_volume

OBLIQUE = {'zooms': (0.9, 0.9, 4), 'tilt_deg': (10, -6, 25), 'centre': (3, -20, 14)}


@pytest.mark.parametrize('grid', [{'zooms': (1, 1, 1)}, OBLIQUE, {**OBLIQUE, 'axes': (2, 0, 1)}])
def test_two_balls(grid):
    shape, affine = make_grid(**grid, extent_mm=80)
    points = positions(shape, affine)
    centre = np.array(grid.get('centre', (0, 0, 0)))
    large, small = centre + np.array([[-15, 0, 0], [15, 10, 4]])
    zones = np.zeros(shape, np.uint8)
    zones[ball(points, large, 9)] = 2
    zones[ball(points, large, 9) & (points[..., 0] > large[0])] = 3
    zones[ball(points, small, 5)] = 4
    x = points[..., 0] - centre[0]
    rows, labels = lesion_table(
        zones,
        affine,
        d_v=np.full(shape, 7.0),
        to_mni=lambda p: p * 2 + 1,
        side=np.where(x < 0, 1, 2),
        lobes=(np.where(x < 0, 10, 20), {10: 'frontal'}),
        territories=(np.where(x < -15, 1, 2), {1: 'ACA', 2: 'MCA'}),
        probability=np.where(zones == 4, 0.5, 0.9),
    )
    assert [row['index'] for row in rows] == [1, 2]
    first, second = rows
    assert first['volume_mm3'] == pytest.approx(4 / 3 * np.pi * 9**3, rel=0.06)
    assert first['volume_mm3'] == pytest.approx((labels == 1).sum() * voxel_volume(affine))
    for row, true in ((first, large), (second, small)):
        assert np.allclose([row['x'], row['y'], row['z']], true, atol=0.4)
        mni = [row['x_mni'], row['y_mni'], row['z_mni']]
        assert np.allclose(mni, 2 * np.array([row['x'], row['y'], row['z']]) + 1)
    assert first['max_axial_diameter_mm'] == pytest.approx(18, abs=1.2)
    assert second['max_axial_diameter_mm'] == pytest.approx(10, abs=1.2)
    assert first['share_pv'] + first['share_dw'] == pytest.approx(1)
    assert first['share_pv'] == pytest.approx(0.5, abs=0.07)
    assert (second['zone'], second['share_jc']) == ('jc', 1)
    assert [row['side'] for row in rows] == ['left', 'right']
    assert [row['lobe'] for row in rows] == ['frontal', None]
    assert second['territory'] == 'MCA'
    assert [row['mean_probability'] for row in rows] == pytest.approx([0.9, 0.5])
    assert first['min_d_v_mm'] == 7


def test_small_lesions_have_no_row_and_ties_keep_their_order():
    zones = np.zeros((9, 9, 9), np.uint8)
    zones[0, 0, 0] = 1
    zones[4, 4, 3:5] = zones[8, 8, 3:5] = 3
    rows, labels = lesion_table(zones, np.diag([1.5, 1.5, 1.5, 1]))
    assert len(rows) == 2
    assert (labels[0, 0, 0], labels[4, 4, 3], labels[8, 8, 3]) == (0, 1, 2)
    assert rows[0]['x_mni'] is None
    assert rows[0]['side'] is None


def test_no_lesion_has_no_rows():
    rows, labels = lesion_table(np.zeros((4, 4, 4), np.uint8), np.eye(4), to_mni=lambda p: p)
    assert rows == []
    assert not labels.any()


def test_lesions_are_connected_over_corners():
    mask = np.zeros((4, 4, 4), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[3, 3, 3] = True
    labels, n = label_lesions(mask, np.eye(4))
    assert n == 2
    assert labels[0, 0, 0] == labels[1, 1, 1] == 1


def test_a_lesion_of_just_the_least_volume_counts():
    mask = np.zeros((4, 4, 4), bool)
    mask[0, 0, 0] = True
    affine = np.diag([0.1, 0.1, 0.1, 1]) * 5
    assert label_lesions(mask, affine, voxel_volume(affine))[1] == 1
    assert label_lesions(mask, affine, voxel_volume(affine) * 1.01)[1] == 0


@pytest.mark.parametrize('axes', [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_slices_are_the_axial_ones(axes):
    shape, affine = make_grid((1, 1, 5), 60, tilt_deg=(12, 8, 20), axes=axes)
    assert axial_axis(affine) == axes.index(2)
    # Long in world z, short in the slice.
    column = ball(positions(shape, affine), (0, 0, 0), (4, 4, 25))
    assert axial_diameter(column, affine) < 11


def test_diameter_of_a_tilted_line_is_measured_along_it():
    mask = np.zeros((20, 20, 1), bool)
    mask[np.arange(10), np.arange(10), 0] = True
    affine = np.diag([0.5, 2.0, 5, 1])
    assert axial_diameter(mask, affine) == pytest.approx(9.5 * np.hypot(0.5, 2), abs=1)


def test_regions_of_a_slice_are_apart_unless_bridged():
    mask = np.zeros((30, 5, 3), bool)
    mask[2:6, 2, 1] = mask[10:14, 2, 1] = mask[20:25, 2, 0] = True
    affine = np.diag([1.0, 1, 3, 1])
    assert axial_diameter(mask, affine) == 5
    assert axial_diameter(mask, affine, bridge_mm=1.5) == 5
    assert axial_diameter(mask, affine, bridge_mm=2) == 12
    assert axial_diameter(0 * mask, affine) == 0


def test_classes_of_size_add_up():
    shape, affine = make_grid((1, 1, 1), 80)
    points = positions(shape, affine)
    mask = ball(points, (-20, 0, 0), 11) | ball(points, (10, 0, 0), 7)
    mask |= ball(points, (30, 0, 0), 4)
    mask |= ball(points, (30, 30, 0), 1)
    mask[0, 0, 0] = True  # too small to be counted
    found = size_classes(mask, affine)
    assert [count for count, _ in found.values()] == [2, 1, 1]
    assert sum(ml for _, ml in found.values()) == pytest.approx(mask.sum() / 1000)
    assert list(size_classes(mask & False, affine).values()) == [(0, 0)] * 3


def plate(*parts):
    mask = np.zeros((80, 80, 2), bool)
    for x, y, width, height in parts:
        mask[x : x + width, y : y + height] = True
    return mask


@pytest.mark.parametrize(
    ('parts', 'expected'),
    [
        ([], 0),
        ([(5, 5, 3, 3)], 0),
        ([(5, 5, 6, 6), (30, 5, 6, 6)], 1),
        ([(5, 5, 30, 2)], 1),  # a ribbon
        ([(5, 5, 12, 9)], 2),
        ([(5, 5, 7, 7), (14, 5, 7, 7), (23, 5, 7, 7)], 2),  # a group
        ([(5, 5, 22, 12)], 2),  # large, but little of the region
        ([(5, 5, 40, 30)], 3),
    ],
)
def test_arwmc_of_a_lobe(parts, expected):
    everywhere = plate((0, 0, 80, 80))
    assert white_matter_grade(plate(*parts), everywhere, everywhere, np.eye(4)) == expected


@pytest.mark.parametrize(
    ('parts', 'expected'),
    [
        ([], 0),
        ([(5, 5, 3, 3)] * 2, 0),
        ([(5, 5, 6, 6)], 1),
        ([(5, 5, 6, 6), (20, 5, 6, 6)], 2),
        ([(5, 5, 6, 6), (20, 5, 6, 6), (40, 5, 6, 6)], 2),
        ([(5, 5, 12, 8)], 3),
    ],
)
def test_arwmc_of_the_basal_ganglia(parts, expected):
    assert basal_ganglia_grade(plate(*parts), plate((0, 0, 80, 80)), np.eye(4)) == expected


def test_arwmc_counts_its_region_only():
    lesion, left = plate((30, 5, 40, 30)), plate((0, 0, 33, 80))
    assert white_matter_grade(lesion, left, left, np.eye(4)) == 2  # the part of 3 x 30 mm
    assert white_matter_grade(lesion, plate((0, 0, 20, 80)), left, np.eye(4)) == 0


@pytest.mark.parametrize(('size', 'expected'), [((22, 2), 5), ((22, 12), 23), ((9, 9), 11)])
def test_a_length_counts_as_far_as_there_is_width(size, expected):
    lesion = plate((5, 5, *size))
    assert confluent_diameter(lesion, np.eye(4)) == pytest.approx(expected, abs=1)


def test_a_tail_takes_nothing_from_a_lesion():
    lesion, tail = plate((5, 5, 12, 11)), plate((17, 9, 50, 2))
    alone = confluent_diameter(lesion, np.eye(4))
    assert confluent_diameter(lesion | tail, np.eye(4)) == pytest.approx(alone, abs=1.5)
