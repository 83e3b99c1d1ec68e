"""Distances are right in mm whatever the grids."""

from __future__ import annotations

import numpy as np
import pytest

from csvdprep.phantom.geometry.spheres import ball, make_grid, positions
from csvdprep.science.distances import distance_at, distance_map, isotropic_grid, voxel_sizes


def sphere(zooms, radius=12.0, **grid):
    shape, affine = make_grid(zooms, 2 * radius + 8, **grid)
    return ball(positions(shape, affine), (0, 0, 0), radius), affine


DIRECTIONS = np.random.default_rng(1).normal(size=(4000, 3))
DIRECTIONS /= np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ('grid', 'bias', 'spread'),
    [
        ({'zooms': (1, 1, 1)}, 0.15, 0.15),
        ({'zooms': (1, 1, 1), 'tilt_deg': (20, 10, -30), 'centre': (0.2, 0.3, 0.4)}, 0.15, 0.15),
        ({'zooms': (0.8, 0.8, 0.8)}, 0.15, 0.15),
        ({'zooms': (0.5, 0.5, 0.5)}, 0.15, 0.15),
        ({'zooms': (0.94, 0.94, 3), 'tilt_deg': (8, 0, 5)}, 0.3, 0.3),
        ({'zooms': (0.7, 0.7, 4), 'axes': (1, 2, 0)}, 0.3, 0.3),
    ],
)
def test_distance_from_a_sphere(grid, bias, spread):
    mask, affine = sphere(**grid)
    for distance in (1.5, 3, 8, 13, 25):
        error = distance_at(mask, affine, DIRECTIONS * (12 + distance)) - distance
        assert abs(error.mean()) < bias, distance
        assert error.std() < spread, distance


def test_thick_slices_do_not_inflate_as_the_plain_rule_does():
    # The surface between slices is interpolated: no steps of half a slice.
    mask, affine = sphere((0.9, 0.9, 5))
    above = distance_at(mask, affine, np.array([[0.0, 0, 17], [0, 0, 22], [0, 0, -17]]))
    assert np.abs(above - [5, 10, 5]).max() < 2.5


def test_a_thin_sheet_between_the_points_of_the_grid_is_not_lost():
    mask = np.zeros((41, 41, 41), np.uint8)
    mask[21] = 1
    affine = np.diag([0.3, 0.3, 0.3, 1])
    found = distance_at(mask, affine, np.array([[6.3 - 4, 6, 6], [6.3 + 4, 6, 6]]))
    assert np.abs(found - 4).max() <= 0.75


def test_inside_is_zero_and_empty_is_infinite():
    mask, affine = sphere((1, 1, 1))
    assert distance_at(mask, affine, DIRECTIONS * 10).max() == 0
    assert np.isinf(distance_at(0 * mask, affine, DIRECTIONS)).all()
    assert distance_at(mask, affine, np.empty((0, 3))).shape == (0,)


def test_labels_and_probabilities_are_masks():
    mask, affine = sphere((1, 1, 1))
    points = DIRECTIONS * 20
    expected = distance_at(mask, affine, points)
    labels = mask * (1 + (np.indices(mask.shape)[0] > 10)).astype(np.uint8)
    assert np.array_equal(distance_at(labels, affine, points), expected)
    assert np.array_equal(distance_at(mask * 0.7 + 0.2, affine, points), expected)


def test_storage_does_not_matter():
    mask, affine = sphere((1, 1, 1), centre=(0.3, 0, 0))
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = mask.shape[0] - 1
    points = DIRECTIONS * 18
    expected = distance_at(mask, affine, points)
    assert np.allclose(distance_at(mask[::-1], affine @ flip, points), expected, atol=1e-3)
    swapped = distance_at(mask.transpose(2, 0, 1), affine[:, [2, 0, 1, 3]], points)
    assert np.allclose(swapped, expected, atol=1e-3)


def test_map_onto_an_oblique_grid():
    mask, affine = sphere((1, 1, 1))
    shape, target = make_grid((0.9, 0.9, 5), 60, tilt_deg=(10, 5, 20), axes=(2, 1, 0))
    found = distance_map(mask, affine, shape, target)
    truth = np.maximum(np.linalg.norm(positions(shape, target), axis=-1) - 12, 0)
    assert found.dtype == np.float32
    assert np.abs(found - truth).max() < 0.8
    where = truth > 20
    part = distance_map(mask, affine, shape, target, where=where)
    assert np.isnan(part[~where]).all()
    assert np.allclose(part[where], found[where], atol=1e-3)
    with pytest.raises(ValueError, match='where'):
        distance_map(mask, affine, shape, target, where=where[1:])


def test_grid_choice():
    own = np.diag([-0.9, 0.9, 0.9, 1.0])
    assert isotropic_grid(own) is own or np.array_equal(isotropic_grid(own), own)
    for zooms in ((0.5, 0.5, 0.5), (2, 2, 2), (0.47, 0.47, 8)):
        _, affine = make_grid(zooms, 30, tilt_deg=(5, 10, 15))
        grid = isotropic_grid(affine)
        assert np.allclose(voxel_sizes(grid), 1)
        assert np.allclose(grid[:3, :3].T @ grid[:3, :3], np.eye(3))


def test_sheared_grids_are_measured_in_mm():
    affine = np.diag([1.0, 1, 1, 1])
    affine[0, 2] = 0.2
    shape = (60, 40, 40)
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) / 2)
    mask = ball(positions(shape, affine), (0, 0, 0), 10)
    error = distance_at(mask, affine, DIRECTIONS * 15) - 5
    assert abs(error.mean()) < 0.12
    assert np.abs(error).max() < 1


def test_a_flat_array_is_refused():
    with pytest.raises(ValueError, match='three dimensions'):
        distance_at(np.ones((3, 3)), np.eye(4), np.zeros((1, 3)))
