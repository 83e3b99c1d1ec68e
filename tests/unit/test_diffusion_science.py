"""Motion, eddy currents, distortion and prediction, against what is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi
from scipy.spatial.transform import Rotation

from csvdprep.imaging.dwi_series import Volumes, relative_factor
from csvdprep.phantom.diffusion.gradients import spread
from csvdprep.phantom.scanner.epi import distort
from csvdprep.preprocessing.dwi_distortion.science.field import (
    _rough,
    _slope,
    _slope_back,
    shift_between,
)
from csvdprep.preprocessing.dwi_motion.realignment import Series, find_motion
from csvdprep.preprocessing.dwi_motion.science.prediction import left_out_weights, lost_slices
from csvdprep.science.echo_planar import Geometry
from csvdprep.science.head_motion import (
    displacement,
    head_motions,
    motion_of,
    physical,
    rotate_gradients,
    rotation_of,
)
from csvdprep.science.volume_alignment import Target

AFFINE = np.array([[-2.5, 0, 0, 40], [0, 2.5, 0, -45], [0, 0, 2.5, -35], [0, 0, 0, 1]])
SHAPE = (36, 40, 30)
ALONG = np.array([0, 1.0, 0])


def rigid(degrees, move):
    out = np.eye(4)
    out[:3, :3] = Rotation.from_euler('xyz', degrees, degrees=True).as_matrix()
    out[:3, 3] = move
    return out


def volumes_of(bvals, directions, axis=None):
    """Describe volumes of one run and, at most, one shell."""
    return Volumes(
        bvals=bvals,
        directions=directions,
        shell_of=(bvals > 0).astype(int),
        factors=np.ones(len(bvals)),
        axis=axis,
        slice_axis=2,
        run_of=np.zeros(len(bvals), int),
    )


@pytest.fixture(scope='module')
def head():
    """A smooth random brain, with and without detail, and its mask."""
    rng = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing='ij'))
    brain = (grid**2).sum(axis=0) < 0.6
    detail = ndi.gaussian_filter(rng.normal(size=SHAPE), 1.5) * 8
    return (brain * (1 + 0.4 * detail)).astype(np.float32) * 100, brain


def moved(image, motion):
    """Return how a head is seen after a motion."""
    return Geometry(AFFINE).pull(image, np.linalg.inv(motion), order=3)


def test_pulling_takes_motion_and_distortion_off(head):
    image, brain = head
    motion = rigid((2, -3, 4), (1.5, -2, 1))
    seen = moved(image, motion)
    inner = ndi.binary_erosion(brain, iterations=4)
    back = Geometry(AFFINE).pull(seen, motion)
    assert np.abs(back - image)[inner].mean() < 0.03 * image[inner].mean()
    bump = 2.5 * np.exp(-(((np.indices(SHAPE) - 18) / 8.0) ** 2).sum(axis=0))
    for factor in (1.0, -0.7):
        warped = distort(image, factor * bump, 1)
        straight = Geometry(AFFINE, 1, bump.astype(np.float32)).pull(warped, np.eye(4), factor)
        before = np.abs(warped - image)[inner].mean()
        assert np.abs(straight - image)[inner].mean() < 0.15 * before


def test_a_volume_is_aligned_to_a_fraction_of_a_voxel(head):
    image, brain = head
    motion = rigid((3, -2, 2), (2, 1.5, -2.5))
    found = Target(image, brain, AFFINE).find(1.3 * moved(image, motion), np.eye(4))
    points = (np.argwhere(brain)[::50] @ AFFINE[:3, :3].T) + AFFINE[:3, 3]
    apart = points @ (found - motion)[:3, :3].T + (found - motion)[:3, 3]
    assert np.linalg.norm(apart, axis=1).max() < 0.25


def test_eddy_currents_are_told_from_motion(head):
    image, brain = head
    eddy = np.eye(4)
    eddy[1, :3] += (0.03, 0.02, -0.02)
    motion = rigid((1, 2, -1), (0.5, 1, -0.5))
    both = eddy @ motion
    found = Target(image, brain, AFFINE, ALONG).find(moved(image, both), np.eye(4))
    points = (np.argwhere(brain)[::50] @ AFFINE[:3, :3].T) + AFFINE[:3, 3]
    apart = points @ (found - both)[:3, :3].T + (found - both)[:3, 3]
    assert np.linalg.norm(apart, axis=1).mean() < 0.35
    head_only = motion_of(both, ALONG, points.mean(axis=0))
    assert np.abs(head_only[:3, :3] - motion[:3, :3]).max() < 1e-9
    assert np.allclose(head_only[:3, :3] @ head_only[:3, :3].T, np.eye(3))


def test_physical_transforms_have_no_shear_across_the_axis_of_encoding():
    rng = np.random.default_rng(0)
    matrix = rigid((3, 2, 1), (1, 2, 3))
    matrix[:3, :3] += rng.normal(0, 0.01, (3, 3))
    points = rng.normal(0, 40, (300, 3))
    found = physical(matrix, points, ALONG)
    rows = found[[0, 2], :3]
    assert np.allclose(rows @ rows.T, np.eye(2), atol=1e-6)
    assert np.allclose(found[1], matrix[1], atol=1e-9)
    still = physical(matrix, points, None)
    assert np.allclose(still[:3, :3] @ still[:3, :3].T, np.eye(3))


def test_shifts_that_follow_the_gradient_are_no_motion():
    gradients = np.vstack([np.zeros((1, 3)), spread(20)])
    matrices = np.tile(np.eye(4), (21, 1, 1))
    matrices[1:, 1, 3] = 3 * gradients[1:, 0] - 2 * gradients[1:, 2]
    groups = np.r_[0, np.ones(20, int)]
    found = head_motions(matrices, ALONG, np.zeros(3), gradients, groups)
    assert np.abs(found[:, :3, 3]).max() < 1e-9
    jolt = matrices.copy()
    jolt[10, 1, 3] += 4
    found = head_motions(jolt, ALONG, np.zeros(3), gradients, groups)
    assert found[10, 1, 3] > 3


def test_gradients_turn_with_the_head_but_not_with_shear():
    motion = rigid((0, 0, 30), (5, 5, 5))
    sheared = motion.copy()
    sheared[:3, :3] = sheared[:3, :3] @ np.diag([1.0, 1.05, 1.0])
    seen = motion[:3, :3] @ np.array([1.0, 0, 0])
    turned = rotate_gradients(np.stack([seen, seen]), np.stack([motion, sheared]))
    assert np.allclose(turned[0], [1, 0, 0])
    assert np.allclose(rotation_of(motion), motion[:3, :3])
    assert abs(turned[1] @ [1, 0, 0]) > 0.999
    assert np.linalg.norm(turned[1]) == pytest.approx(1)


def test_displacement_counts_ways_on_a_sphere():
    path = np.stack([np.eye(4), rigid((0, 0, 1), (1, 0, 0)), rigid((0, 0, 1), (1, 2, 0))])
    assert displacement(path) == pytest.approx([1 + 50 * np.pi / 180, 2], rel=1e-3)


def test_a_volume_is_predicted_by_the_others_alone():
    directions = np.vstack([np.zeros((2, 3)), spread(30)])
    bvals = np.r_[0, 0, np.full(30, 1000)]
    shell = np.r_[0, 0, np.ones(30, int)]
    weights = left_out_weights(bvals, directions, shell)
    assert np.abs(np.diag(weights)).max() == 0
    tensor = np.diag([1.5e-3, 0.4e-3, 0.3e-3])
    signal = np.exp(-bvals * np.einsum('ni,ij,nj->n', directions, tensor, directions))
    assert np.abs(weights @ signal - signal)[2:].mean() < 0.2 * signal[2:].std()
    assert np.allclose((weights @ signal)[:2], 1)
    # Volumes of a shell that stands alone have nothing else to be predicted from.
    alone = left_out_weights(np.r_[0, 0, 1000], directions[[0, 1, 2]], np.r_[0, 0, 1])
    assert alone[2, 2] == 1


def test_lost_slices_are_found_whatever_the_scale():
    rng = np.random.default_rng(0)
    expected = rng.uniform(50, 100, (20, 20, 12))
    brain = np.zeros(expected.shape, bool)
    brain[3:17, 3:17, 1:11] = True
    seen = 0.7 * expected
    seen[..., [4, 7]] *= (0.5, 0.78)
    assert np.flatnonzero(lost_slices(seen, expected, brain, 2)).tolist() == [4, 7]
    assert not lost_slices(expected, expected, np.zeros_like(brain), 2).any()


def test_the_slope_has_its_transpose_and_roughness_is_positive():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 4, 5, 9)).astype(np.float32)
    assert (_slope(a) * b).sum() == pytest.approx((a * _slope_back(b)).sum(), rel=1e-4)
    assert (a * _rough(a)).sum() > 0
    assert np.abs(_rough(np.ones_like(a))).max() == 0


def test_distortion_is_found_from_two_polarities(head):
    image, brain = head
    bump = 3 * np.exp(-(((np.indices(SHAPE) - [[[[18]]], [[[24]]], [[[15]]]]) / 7.0) ** 2).sum(0))
    factor = -0.6
    pair = distort(image, bump, 1), distort(image, factor * bump, 1)
    found = shift_between(*pair, axis=1, factors=(1.0, factor))
    inner = ndi.binary_erosion(brain, iterations=2)
    assert np.abs(found - bump)[inner].mean() < 0.25 * np.abs(bump)[inner].mean()
    turned = [np.swapaxes(image, 0, 1) for image in pair]
    again = shift_between(*turned, axis=0, factors=(1.0, factor))
    assert np.allclose(np.swapaxes(again, 0, 1), found, atol=1e-4)


def test_factors_of_runs():
    first = {'encoding': 'j', 'readout': 0.05}
    assert relative_factor({'encoding': 'j', 'readout': 0.05}, first) == 1
    assert relative_factor({'encoding': 'j-', 'readout': 0.025}, first) == -0.5


def test_motion_of_a_series_is_found(head):
    image, brain = head
    directions = np.vstack([np.zeros((1, 3)), spread(8), np.zeros((1, 3)), spread(8)])
    shell = (np.linalg.norm(directions, axis=1) > 0.5).astype(int)
    rng = np.random.default_rng(5)
    path = np.cumsum(rng.normal(0, 0.25, (18, 6)), axis=0)
    path -= path[0]
    motions = np.stack([rigid(row[:3], row[3:]) for row in path])
    weight = ndi.gaussian_filter(rng.normal(size=(3, *SHAPE)), (0, 3, 3, 3)) * 20
    volumes = []
    for g, motion in zip(directions, motions, strict=True):
        decay = 0.5 + 0.1 * np.tensordot(g**2, weight, 1) if g.any() else 1.0
        volumes.append(moved((image * decay).astype(np.float32), motion))
    data = np.stack(volumes, axis=3) + rng.normal(0, 1, (*SHAPE, 18)).astype(np.float32)
    series = Series(
        data.astype(np.float32),
        Geometry(AFFINE, 1),
        volumes_of(1000.0 * shell, directions, axis=1),
    )
    found, expected = find_motion(series, brain)
    heads = series.motions_of_head(found, brain)
    centre = np.argwhere(brain).mean(axis=0) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    error = (heads - motions) @ np.append(centre, 1)
    way = np.linalg.norm((motions - np.eye(4)) @ np.append(centre, 1), axis=1).mean()
    assert way > 0.6
    assert np.linalg.norm(error[:, :3], axis=1).mean() < 0.4 * way
    assert expected.shape == data.shape


def test_outermost_slices_are_kept_by_small_movements_and_told_where_large_ones_lose_them():
    shape = (12, 12, 8)
    data = np.full((*shape, 3), 50.0, np.float32)
    series = Series(
        data=data,
        geometry=Geometry(AFFINE),
        volumes=volumes_of(np.array([0.0, 1e3, 1e3]), np.eye(3)),
    )
    motions = np.stack([np.eye(4), rigid((0, 0, 0), (0, 0, 1)), rigid((0, 0, 0), (0, 0, 6))])
    covered = series.covered(motions)
    # 1 mm is less than a voxel of 2.5 mm; 6 mm is more than two.
    assert covered[:, :, :6].all()
    assert not covered[:, :, 7].any()
    pulled = series.pulled(motions, order=3)
    assert np.allclose(pulled[..., 1], 50, atol=0.1)
    assert np.allclose(pulled[covered], 50, atol=0.1)
    assert (pulled[~covered] == 0).any()
