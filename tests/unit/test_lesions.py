"""The table of lesions, and diameters on axial slices."""

from __future__ import annotations

import numpy as np
import pytest

from csvdprep.markers.zones.science_lesions import lesion_table
from csvdprep.phantom.geometry.spheres import ball, make_grid, positions
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
        z_score=np.full(shape, 3.0),
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
    assert (first['mean_z'], first['min_d_v_mm']) == (3, 7)


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
