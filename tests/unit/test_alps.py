"""DTI-ALPS finds its ratio whatever the pose, storage and warp, and says why where it cannot."""

from __future__ import annotations

from dataclasses import replace

import nibabel as nb
import numpy as np
import pytest
from scipy import linalg
from scipy.spatial.transform import Rotation

from csvdprep.core.errors import MeasureError
from csvdprep.markers.alps import science as alps
from csvdprep.markers.alps.figures import alps_figure, draw_alps
from csvdprep.markers.alps.science import regions as regions
from csvdprep.markers.alps.science import rotation as rotation
from csvdprep.markers.alps.science import voxels as voxels
from csvdprep.phantom.diffusion import tensors
from csvdprep.phantom.diffusion.alps import ALPS_CENTRES, alps_region
from csvdprep.phantom.diffusion.fibres import PARTS, turns
from csvdprep.phantom.geometry.fields import diffeomorphism
from csvdprep.phantom.head.anatomy import Anatomy
from csvdprep.phantom.scanner.scan import Scan, turn
from csvdprep.phantom.scanner.scene import Scene

TRUTH = 1.4186
MIDDLE = np.array([0, -16, 27.0])
SCALE = np.array([0.95, 0.9, 0.93])
SMALL = Scan(voxel=(2, 2, 2), low=(-52, -20, -20), high=(52, 20, 20))
#: The border between two layers of voxels is not in the middle of the regions.
RAISED = replace(SMALL, shift=(0, 0, -0.6))
SIDES = ('left', 'right')


def six(matrix):
    return np.stack([matrix[..., i, j] for i, j in rotation.COMPONENTS], axis=-1)


def pair(template, left=1.0):
    """Give case P7: projection fibres between association fibres; x of the left side factored."""
    proj, assoc = (np.diag(d) for d in tensors.ALPS_PAIR)
    inner = np.abs(template[..., 0]) < 32
    out = np.where(inner[..., None, None], proj, assoc)
    out[..., 0, 0] *= np.where(template[..., 0] < 0, left, 1)
    return out


def bend(template):
    """Give a smooth warp of the template about MIDDLE, and its derivative."""
    k, size = np.array([0.05, 0.06, 0.07]), 3.0
    out = template + size * np.sin((template * k)[..., [1, 2, 0]])
    slope = np.eye(3) + np.zeros((*template.shape, 3))
    for row, column in enumerate((1, 2, 0)):
        slope[..., row, column] += size * k[column] * np.cos(template[..., column] * k[column])
    return out, slope


def head(scan=SMALL, *, field=pair, warped=False):
    """Scan a head whose template position is known everywhere.

    The head's own frame is the template's, scaled (and bent); the scan has the pose.
    """
    shape, affine = scan.grid()
    world = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    pose = scan.pose
    own = (world - pose[:3, 3]) @ pose[:3, :3] / SCALE
    positions, slope = bend(own) if warped else (own, np.eye(3) + np.zeros((*own.shape, 3)))
    positions = positions + MIDDLE
    jacobian = slope @ np.diag(1 / SCALE) @ pose[:3, :3].T
    # The polar factor by an independent routine: J = P R.
    turned = np.swapaxes(_polar(jacobian), -1, -2)
    tensor = six(turned @ field(positions) @ np.swapaxes(turned, -1, -2))
    return tensor, affine, positions


def _polar(jacobian):
    """Give (J Jᵀ)^(-1/2) J by eigenvectors, as the formula reads."""
    values, vectors = np.linalg.eigh(jacobian @ np.swapaxes(jacobian, -1, -2))
    root = vectors @ (vectors / np.sqrt(values)[..., None, :]).swapaxes(-1, -2)
    return root @ jacobian


def value(found, name):
    return found.values[name].value


POSES = []
for number in range(8):
    rng = np.random.default_rng([7, number])
    axis = rng.normal(size=3)
    angles = Rotation.from_rotvec(np.radians(rng.uniform(5, 30)) * axis / np.linalg.norm(axis))
    POSES.append(
        replace(
            SMALL,
            rotation=tuple(angles.as_euler('xyz', degrees=True)),
            shift=tuple(rng.uniform(-1, 1, 3)),
            stored=('RAS', 'LPS', 'PIR', 'ASL')[number % 4],
            tilt=tuple(rng.uniform(-15, 15, 3)) if number % 2 else (0, 0, 0),
            voxel=((2, 2, 2), (2.5, 2.5, 2.5), (1.7, 1.7, 1.7), (2, 2, 3))[number % 4],
            low=(-58, -36, -36),
            high=(58, 36, 36),
        )
    )


@pytest.mark.parametrize(('scan', 'warped'), [(scan, k % 3 == 0) for k, scan in enumerate(POSES)])
def test_no_rotation_changes_the_ratio(scan, warped):
    found = alps.measure_alps(*head(scan, warped=warped))
    for name in ('alps_reo_r2p5', 'alps_reo_r5', 'alps_pas_r2p5'):
        # A warp turns the two bundles against each other, which the frame of fibres shows.
        rel = 5e-3 if warped else 1e-4
        if name == 'alps_pas_r2p5' and warped:
            rel = 0.03
        for end in ('', '_left', '_right'):
            assert value(found, name + end) == pytest.approx(TRUTH, rel=rel), name + end
    assert value(found, 'alps_dxx_proj') == pytest.approx(0.60, rel=5e-3)
    assert value(found, 'alps_dyy_assoc_left') == pytest.approx(1.10, rel=5e-3)
    assert value(found, 'alps_md_assoc') == pytest.approx(0.72, rel=5e-3)
    assert value(found, 'alps_fa_proj_right') == pytest.approx(
        float(tensors.scalars(np.array([[0.6, 0.42, 1.1, 0, 0, 0]]).T)['fa'][0]), rel=1e-3
    )
    if not warped:
        said = [value(found, f'alps_{name}_deg') for name in ('pitch', 'roll', 'yaw')]
        # The scale differs between axes, so that the best rotation is not quite the pose.
        assert said == pytest.approx(scan.rotation, abs=1.5)


def test_ppd_agrees_without_shear():
    args = head(POSES[1])
    found = alps.measure_alps(*args, reorientation='ppd')
    assert value(found, 'alps_reo_r2p5') == pytest.approx(TRUTH, rel=5e-3)
    with pytest.raises(ValueError, match='Unknown reorientation'):
        alps.measure_alps(*args, reorientation='fs')


def test_pitch_biases_what_is_not_reoriented():
    found = alps.measure_alps(
        *head(replace(SMALL, rotation=(15, 0, 0), high=(52, 28, 28), low=(-52, -28, -28)))
    )
    assert found.unreoriented['both'] / TRUTH - 1 == pytest.approx(-0.095, abs=0.002)
    lab = found.values['alps_lab_r2p5']
    assert lab.value is None
    assert 'pitch 15' in lab.reason
    straight = alps.measure_alps(*head(replace(SMALL, rotation=(3, 0, 0))))
    assert 0 < 1 - value(straight, 'alps_lab_r2p5') / TRUTH < 0.01
    for turned, word in (((0, 12, 0), 'roll'), ((0, 0, -12), 'yaw')):
        tilted = alps.measure_alps(*head(replace(POSES[0], rotation=turned, voxel=(3, 3, 3))))
        assert word in tilted.values['alps_lab_r2p5_left'].reason


@pytest.mark.parametrize('stored', ['RAS', 'PIR'])
def test_axes_of_the_voxels_are_those_of_other_programs(stored):
    # Slices tilted with the head: along the voxels' axes nothing is turned.
    scan = replace(POSES[0], rotation=(15, 0, 0), tilt=(15, 0, 0), stored=stored)
    found = alps.measure_alps(*head(scan))
    assert found.unreoriented['grid'] == pytest.approx(TRUTH, rel=1e-4)
    assert found.unreoriented['both'] < 0.92 * TRUTH


@pytest.mark.parametrize('stored', ['RAS', 'LPS', 'SAR'])
def test_left_is_left(stored):
    scan = replace(SMALL, stored=stored)
    found = alps.measure_alps(*head(scan, field=lambda p: pair(p, left=1.2)))
    assert value(found, 'alps_reo_r2p5_left') == pytest.approx(1.2 * TRUTH, rel=1e-3)
    assert value(found, 'alps_reo_r2p5_right') == pytest.approx(TRUTH, rel=1e-3)
    assert value(found, 'alps_reo_r2p5') == pytest.approx(1.1 * TRUTH, rel=1e-3)
    at = np.argwhere(found.spheres[..., 0] > 0)
    affine = scan.grid()[1]
    assert ((at @ affine[:3, :3].T + affine[:3, 3])[:, 0] < 0).all()


def test_a_mirrored_head_is_refused():
    tensor, affine, positions = head()
    with pytest.raises(MeasureError, match='left and right are swapped'):
        alps.measure_alps(tensor, affine, positions * [-1, 1, 1])
    jacobian = rotation.jacobians(positions * [-1, 1, 1], affine)
    assert np.isnan(rotation.finite_strain(jacobian)).all()


@pytest.mark.parametrize('voxel', [(2, 2, 2), (2, 2, 5), (3, 3, 3)])
def test_a_region_is_worth_its_volume_in_voxels(voxel):
    scan = replace(SMALL, voxel=voxel, low=(-60, -36, -36), high=(60, 36, 36))
    found = alps.measure_alps(*head(scan))
    for radius, short in ((2.5, 'r2p5'), (5.0, 'r5')):
        # The head is smaller than the template; every voxel of this field counts.
        worth = 4 / 3 * np.pi * radius**3 * SCALE.prod() / np.prod(voxel)
        for side in SIDES:
            assert value(found, f'alps_voxels_{short}_{side}') == pytest.approx(worth, rel=0.03)


def test_regions_outside_have_a_reason():
    tensor, affine, positions = head()
    mask = positions[..., 0] > -36.5
    found = alps.measure_alps(tensor, affine, positions, mask=mask)
    left = found.values['alps_reo_r2p5_left']
    assert left.value is None
    assert 'left association' in left.reason
    assert 'within the image and the brain mask' in left.reason
    assert found.values['alps_reo_r2p5'].value is None
    assert found.values['alps_reo_r2p5'].reason == left.reason
    assert value(found, 'alps_reo_r2p5_right') == pytest.approx(TRUTH, rel=1e-3)
    assert value(found, 'alps_dxx_proj_left') == pytest.approx(0.60, rel=1e-3)
    assert value(found, 'alps_covered_pct') < 40
    assert all(np.isfinite(v.value) for v in found.values.values() if v.value is not None)
    assert all(v.reason for v in found.values.values() if v.value is None)
    # Half of a region is not enough, wherever one could move it.
    half = alps.measure_alps(tensor, affine, positions, mask=positions[..., 0] > -38.5)
    assert 40 < value(half, 'alps_covered_pct') < 85
    assert half.values['alps_reo_r2p5_left'].value is None
    assert 'within the image and the brain mask' in half.values['alps_reo_r2p5_left'].reason
    # The same if there is no voxel at all, and if no region is.
    slab = slice(int(np.argmax(mask.any(axis=(1, 2)))), None)
    there = np.where(mask[..., None], positions, np.nan)[slab]
    shorter = affine.copy()
    shorter[:3, 3] += affine[:3, 0] * slab.start
    again = alps.measure_alps(tensor[slab], shorter, there)
    assert again.values['alps_reo_r2p5_left'].reason == left.reason
    with pytest.raises(MeasureError, match='outside the diffusion images'):
        alps.measure_alps(tensor, affine, positions + 300)
    with pytest.raises(MeasureError, match='known for hardly any voxel'):
        alps.measure_alps(tensor, affine, np.full_like(positions, np.nan))


def test_voxels_without_tensor_do_not_count():
    tensor, affine, positions = head()
    bad = np.linalg.norm(positions - [26, -15, 27], axis=-1) < 1.5
    tensor[bad] = np.nan
    tensor[np.linalg.norm(positions - [-38, -16, 29], axis=-1) < 1.5, 3] = np.inf
    found = alps.measure_alps(tensor, affine, positions)
    assert value(found, 'alps_reo_r2p5') == pytest.approx(TRUTH, rel=1e-3)
    assert 55 < value(found, 'alps_aligned_pct') < 95
    assert not (found.kept[..., 2][bad] > 0).any()
    tensor[positions[..., 0] > 0] = np.nan
    right = alps.measure_alps(tensor, affine, positions).values['alps_pas_r2p5_right']
    assert right.value is None
    assert 'no tensor 100 %' in right.reason


def bundle(offset, radius):
    """Give projection fibres on the left only within a radius of a point, across elsewhere."""

    def field(template):
        out = pair(template)
        near = np.linalg.norm(template - regions.CENTRES['left', 'proj'] - offset, axis=-1)
        across = np.diag([1.1, 0.42, 0.6]) * 1e-3
        other = (near > radius) & (template[..., 0] < 0) & (template[..., 0] > -32)
        return np.where(other[..., None, None], across, out)

    return field


@pytest.mark.parametrize('offset', [(3, 0, 0), (0, -4, 1), (2, 2, -3)])
def test_a_region_moves_to_its_bundle(offset):
    fine = replace(SMALL, voxel=(1.25, 1.25, 1.25), low=(-42, -12, -12), high=(8, 12, 12))
    args = head(fine, field=bundle(offset, 3.2))
    centres = np.array(list(regions.CENTRES.values()))
    near = voxels.gather(args[0], args[1], args[2], centres, regions.REACH)
    region = regions.choose_region(near, ('left', 'proj'), 2.5)
    moved = np.array(region.centre) - regions.CENTRES['left', 'proj']
    assert np.abs(moved - offset).max() <= 1
    assert region.shift_mm == pytest.approx(np.linalg.norm(moved))
    assert region.aligned > 0.9
    found = alps.measure_alps(*args)
    assert found.regions['left', 'proj', 2.5].centre == region.centre
    assert value(found, 'alps_reo_r2p5_left') == pytest.approx(TRUTH, rel=1e-3)
    # Where all is well, nothing moves.
    region = regions.choose_region(near, ('left', 'assoc'), 2.5)
    assert region.shift_mm == 0


@pytest.mark.parametrize(('radius', 'qc'), [(1.85, 'warn'), (1.1, None)])
def test_too_few_voxels_are_a_warning_and_far_too_few_no_value(radius, qc):
    fine = replace(SMALL, voxel=(1.2, 1.2, 1.2), low=(-42, -10, -10), high=(42, 10, 10))
    found = alps.measure_alps(*head(fine, field=bundle((0, 0, 0), radius)))
    left, both = (found.values[f'alps_reo_r2p5{end}'] for end in ('_left', ''))
    assert 'left projection: only' in left.reason
    assert 'fibres in other directions' in left.reason
    if qc:
        assert 25 <= value(found, 'alps_aligned_pct') < 50
        assert (left.qc, both.qc, left.value) == ('warn', 'warn', pytest.approx(TRUTH, rel=1e-3))
        assert found.values['alps_dxx_proj_left'].qc == 'warn'
        assert found.values['alps_dxx_assoc_left'].qc == ''
    else:
        assert value(found, 'alps_aligned_pct') < 25
        assert left.value is None
        assert both.value is None
    right = found.values['alps_reo_r2p5_right']
    assert (right.qc, right.reason) == ('', '')


def test_lesions_are_left_out():
    def field(template):
        return (
            pair(template) * np.where(template[..., 2] > 27.5, 1.3, 1)[..., None, None]
            + np.diag([1, 0, 0]) * 2e-4 * (template[..., 2] > 27.5)[..., None, None]
        )

    tensor, affine, positions = head(RAISED, field=field)
    lesion = np.where(positions[..., 2] > 27.5, 0.02, 0)
    found = alps.measure_alps(tensor, affine, positions, lesion=lesion)
    assert value(found, 'alps_reo_r2p5') == pytest.approx(TRUTH, rel=1e-3)
    assert value(found, 'alps_reo_r2p5_withwmh') > 1.02 * TRUTH
    assert 0.3 < value(found, 'alps_wmh_pct') < 1.5
    without = alps.measure_alps(tensor, affine, positions)
    assert value(without, 'alps_reo_r2p5') == value(found, 'alps_reo_r2p5_withwmh')
    assert without.values['alps_wmh_pct'].reason
    # A region flees from a lesion; what is told of it is where the region was meant to be.
    lesion = (np.linalg.norm(positions - [-26, -14, 27], axis=-1) < 4).astype(float)
    found = alps.measure_alps(tensor, affine, positions, lesion=lesion)
    assert value(found, 'alps_shift_mm') > 1
    assert 20 < value(found, 'alps_wmh_pct') < 26
    assert not (lesion * found.kept[..., 0]).any()


@pytest.mark.parametrize(('factor', 'isotropic'), [(1.7, 0), (0.15, 6e-4), (1, -9e-4)])
def test_fluid_and_grey_matter_do_not_count(factor, isotropic):
    def field(template):
        out = pair(template)
        changed = factor * out + isotropic * np.eye(3)
        return np.where((template[..., 2] > 27.5)[..., None, None], changed, out)

    found = alps.measure_alps(*head(RAISED, field=field))
    assert 50 < value(found, 'alps_aligned_pct') < 75
    assert value(found, 'alps_shift_mm') == 0
    assert value(found, 'alps_reo_r2p5') == pytest.approx(TRUTH, rel=1e-3)


@pytest.mark.parametrize(
    'change',
    [{'tensor': (3, 3, 3, 6)}, {'mask': (3, 3, 3)}, {'lesion': (40, 3, 3)}, {'tensor': (3, 3)}],
)
def test_shapes_must_fit(change):
    tensor, affine, positions = head(replace(SMALL, voxel=(4, 4, 4)))
    given = {'tensor': tensor, 'mask': None, 'lesion': None}
    name, shape = next(iter(change.items()))
    given[name] = np.ones(shape)
    with pytest.raises(ValueError, match=f'shape of {name}'):
        alps.measure_alps(given.pop('tensor'), affine, positions, **given)


def test_jacobians_and_rotations_are_those_of_the_formula():
    rng = np.random.default_rng(5)
    affine = np.eye(4)
    affine[:3, :3] = turn((10, -20, 30)) * [2, 2, 3]
    matrix = np.eye(3) + 0.2 * rng.normal(size=(3, 3))
    native = np.moveaxis(np.indices((5, 6, 7)), 0, -1) @ affine[:3, :3].T
    positions = native @ matrix.T
    positions[2, 2, 2] = positions[0, :2, 0] = np.nan
    jacobian = rotation.jacobians(positions, affine)
    known = np.isfinite(positions).all(axis=-1)
    assert np.allclose(jacobian[known], matrix)
    assert np.isnan(jacobian[~known]).all()
    found = rotation.finite_strain(jacobian)[known]
    assert np.allclose(found, linalg.polar(matrix, side='left')[0])
    assert np.allclose(np.linalg.det(found), 1)
    flat = rotation.jacobians(positions[:, :, :1], affine)
    assert np.isnan(flat).all()


def test_preserved_direction_turns_axes_as_the_map_does():
    rng = np.random.default_rng(6)
    jacobian = np.eye(3) + 0.2 * rng.normal(size=(20, 3, 3))
    frames = Rotation.random(20, random_state=1).as_matrix()
    tensor = six(frames @ np.diag([17e-4, 6e-4, 3e-4]) @ frames.swapaxes(1, 2))
    found = rotation.preserved_direction(jacobian, tensor)
    assert np.allclose(found @ found.swapaxes(1, 2), np.eye(3))
    assert np.allclose(np.linalg.det(found), 1)
    first, second = (found @ frames[..., [k]] for k in (0, 1))
    mapped = [jacobian @ frames[..., [k]] for k in (0, 1)]
    assert np.allclose(np.cross(first[..., 0], mapped[0][..., 0]), 0, atol=1e-9)
    normal = np.cross(mapped[0][..., 0], mapped[1][..., 0])
    assert np.allclose((normal * second[..., 0]).sum(axis=1), 0, atol=1e-9)


@pytest.mark.parametrize(
    ('angles', 'direction', 'grows'), [((10, 0, 0), 1, 2), ((0, 10, 0), 2, 0), ((0, 0, 10), 1, 0)]
)
def test_signs_of_the_head_angles(angles, direction, grows):
    # Chin raised: the face looks up; right shoulder: the vertex goes right; left: face to -x.
    pose = turn(angles)
    moved = (pose @ np.eye(3)[direction])[grows]
    assert moved > 0 if grows != 0 or direction == 2 else moved < 0
    assert rotation.head_angles(np.diag(1 / SCALE) @ pose.T) == pytest.approx(angles, abs=1)


def test_noisy_rotations_are_replaced():
    rng = np.random.default_rng(3)
    true = turn((20, 5, -8))
    field = turn(rng.normal(0, 2, (30, 3))) @ true
    field[[3, 17]] = turn((40, 0, 0)) @ true
    field[8] = np.nan
    found, share = rotation.steady(field, np.ones(30))
    assert share == pytest.approx(0.1)
    assert np.degrees(Rotation.from_matrix(found @ true.T).magnitude()).max() < 8
    kept = np.setdiff1d(np.arange(30), [3, 8, 17])
    assert np.array_equal(found[kept], field[kept])
    # A mild field stays as it is, and so does the index.
    tensor, affine, positions = head()
    positions[26:28, 10, 10] += [0, 0, 3]
    assert value(alps.measure_alps(tensor, affine, positions), 'alps_reo_r2p5') == pytest.approx(
        TRUTH, rel=0.01
    )


def test_shares_are_those_of_a_sphere():
    rng = np.random.default_rng(4)
    grid = np.moveaxis(np.indices((9, 9, 9)), 0, -1).reshape(-1, 3) - 4.0
    spread = {}
    for samples in (1, voxels.SAMPLES):
        volumes, middles = [], []
        for k in range(20):
            edges = turn(rng.uniform(-30, 30, 3)) * [2, 2, 2.5] if k else np.diag([2, 2, 2.5])
            centre = rng.uniform(-1, 1, 3)
            position = grid @ edges.T
            share = voxels.sphere_share(
                position, np.broadcast_to(edges, (len(grid), 3, 3)), centre, 2.5, samples
            )
            volumes.append(share.sum() * 10 / (4 / 3 * np.pi * 2.5**3))
            middles.append(np.linalg.norm(share @ position / share.sum() - centre))
        spread[samples] = np.std(volumes), max(middles)
        assert share.max() <= 1
    assert spread[voxels.SAMPLES][0] < 0.01
    assert np.mean(volumes) == pytest.approx(1, abs=0.01)
    assert spread[voxels.SAMPLES][1] < 0.1
    # Why voxels are not taken whole.
    assert spread[1][0] > 0.08
    assert spread[1][1] > 0.3


@pytest.fixture(scope='module')
def anatomy():
    """Give a deformation of the phantom without the tissue."""
    shape, affine = (45, 56, 53), np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = (-88, -120, -110)
    flow = diffeomorphism(
        shape,
        affine,
        SCALE,
        np.random.default_rng(3),
        rms=3.0,
        push=None,
        push_affine=None,
        push_mm=0,
    )
    return Anatomy(
        fractions={'gm': np.zeros(shape), 'wm': np.zeros(shape)}, affine=affine, flow=flow
    )


@pytest.mark.parametrize('angles', [(0, 0, 0), (18, -6, 12)])
def test_a_head_of_the_phantom(anatomy, angles):
    scan = Scan(
        voxel=(2, 2, 2.5),
        low=(-56, -52, -4),
        high=(56, 24, 60),
        rotation=angles,
        tilt=(5, 0, 0),
        stored='LPS',
    )
    shape, affine = scan.grid()
    world = np.moveaxis(np.indices(shape), 0, -1).reshape(-1, 3) @ affine[:3, :3].T
    own = (world + affine[:3, 3] - scan.pose[:3, 3]) @ scan.pose[:3, :3]
    positions = anatomy.to_template(own)
    # Directions turn with the phantom's deformation; the index differs from place to place.
    local = turns(anatomy, own)
    field = pair(positions) * (1 + 0.02 * np.sin(positions / 4)[:, None])
    tensor = np.swapaxes(local, 1, 2) @ field @ local
    parts = np.stack([tensor[:, i, j] for i, j in PARTS])
    turned = scan.pose[:3, :3] @ tensor @ scan.pose[:3, :3].T
    found = alps.measure_alps(six(turned).reshape(*shape, 6), affine, positions.reshape(*shape, 3))
    scene = Scene(anatomy=anatomy, wmh=np.zeros_like(anatomy.fractions['wm']))
    inside, nothing = np.ones(shape, bool), np.zeros(len(own))
    for short, side in zip('LR', SIDES, strict=True):
        truth = tensors.alps(
            *(
                alps_region(scene, scan, parts, inside, nothing, centre, 2.5, along)[0]
                for centre, along in zip(ALPS_CENTRES[short], (2, 1), strict=True)
            )
        )
        assert value(found, f'alps_reo_r2p5_{side}') == pytest.approx(truth, rel=2e-3)


def test_bundles_side_by_side_have_no_frame():
    along = np.array([4, 0, 0, 4, 0, 11]) * 1e-4
    with pytest.raises(MeasureError, match='30 degrees'):
        alps.alps_along_fibres(along, along)
    with pytest.raises(MeasureError, match='not positive'):
        alps.alps_index(along, -along)


def test_figure_is_the_same_for_any_storage(tmp_path):
    scan = replace(SMALL, voxel=(3, 3, 4), rotation=(0, 5, 0))
    tensor, affine, positions = head(scan)
    found = alps.measure_alps(tensor, affine, positions)
    fa, _, axis = voxels.scalars(tensor.reshape(-1, 6))
    grid = tensor.shape[:3]
    arrays = {
        'dwi_fa': fa.reshape(grid),
        'dwi_direction': axis.reshape(*grid, 3),
        'alps_regions': found.spheres,
        'alps_kept': found.kept,
    }
    drawn = []
    for axes in ('RAS', 'LPI'):
        paths = {name: str(tmp_path / f'{axes}_{name}.nii') for name in arrays}
        for name, array in arrays.items():
            image = nb.Nifti1Image(array.astype(np.float32), affine)
            there = nb.orientations.axcodes2ornt(axes)
            image.as_reoriented(there).to_filename(paths[name])
        draw_alps(out_file=str(tmp_path / f'{axes}.svg'), **paths)
        drawn.append((tmp_path / f'{axes}.svg').read_bytes())
    assert drawn[0] == drawn[1]
    draw_alps(out_file=str(tmp_path / 'again.svg'), **paths)
    assert (tmp_path / 'again.svg').read_bytes() == drawn[1]
    # Left regions are on the right of the picture.
    figure = alps_figure(
        arrays['dwi_fa'], arrays['dwi_direction'], found.spheres, found.kept, affine
    )
    titles = [axes.get_title() for axes in figure.axes]
    whole = figure.axes[titles.index(next(t for t in titles if t.startswith('Axial left')))]
    dots = figure.axes[titles.index(whole.get_title()) + 4].collections
    assert dots
    outline = whole.collections[0].get_paths()[0].vertices
    assert outline[:, 0].mean() > np.mean(whole.get_xlim())
    # The vertex is turned to the right: there regions are lower.
    height = {
        title.split()[1]: float(title.split()[-2].replace('\u2212', '-'))
        for title in titles
        if title.startswith('Axial')
    }
    assert height['right'] < height['left']


def test_regions_outside_of_the_images_leave_a_picture():
    nothing = np.zeros((9, 9, 9, 4))
    figure = alps_figure(np.ones((9, 9, 9)), np.ones((9, 9, 9, 3)), nothing, nothing, np.eye(4))
    assert len(figure.axes) == 8


def test_regions_are_carried_from_mni_space_into_the_fa_template():
    from csvdprep.markers.alps.interfaces import template_centres
    from csvdprep.resources import resource

    centres = template_centres()
    assert list(centres) == list(regions.CENTRES)
    image = nb.load(resource('fa_template'))
    fa = image.get_fdata()
    callosum = np.argwhere(fa[round(-image.affine[0, 3] / image.affine[0, 0])] > 0.5)
    # The template is smaller than those of MNI: the top of its callosum lies at 22 mm, not at 28.
    heights = callosum[:, 1] * image.affine[2, 2] + image.affine[2, 3]
    assert 20 < heights.max() < 24
    for name, centre in centres.items():
        moved = np.array(centre) - regions.CENTRES[name]
        assert -6 < moved[2] < -3
        assert np.sign(centre[0]) == np.sign(regions.CENTRES[name][0])
        assert 1 < abs(regions.CENTRES[name][0]) - abs(centre[0]) < 5
        index = np.rint(np.linalg.solve(image.affine, [*centre, 1])[:3]).astype(int)
        assert fa[tuple(index)] > 0.3
