"""A space half-way between all visits, found in a way in which no visit is the first."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import ndimage as ndi
from scipy.spatial.transform import Rotation

from csvdprep.science.alignment import best_start, block_mean

#: Levels of the search: spacing of the points, smoothing (FWHM) of the images, both mm, steps.
LEVELS = ((6.0, 8.0, 25), (3.0, 4.0, 20), (2.0, 2.0, 12))
#: The search at a level ends when no pose changes by more (mm at 80 mm from the middle).
STILL_MM = 0.003
#: Residuals beyond so many robust SD count nothing: lesions that changed, vessels, artefacts.
TUKEY = 4.685
#: Slow differences of intensity are taken away below this scale (SD of a Gaussian), mm.
DRIFT_MM = 22.0
#: Margin around the brain that takes part, mm.
MARGIN_MM = 4.0
#: Window (SD) in which the error is looked for, and what displacements are expected there, mm.
WINDOW_MM, EXPECTED_MM = 8.0, 0.5
#: Distance at which angles are compared with shifts, mm.
ARM_MM = 80.0
#: Digits of poses and of the grid.
DIGITS = 7
#: Finest voxels of the half-way grid, mm.
FINEST_MM = 1.0


@dataclass(frozen=True, eq=False)
class Halfway:
    """The space between visits.

    Attributes
    ----------
    poses : list of ndarray, shape (4, 4)
        For each visit, half-way world to world of the visit, RAS+ mm. Rigid; the mean of their
        logarithms is zero.
    shape : tuple of int
        Shape of the grid.
    affine : ndarray, shape (4, 4)
        Of the grid: voxel to half-way world.
    """

    poses: list[np.ndarray]
    shape: tuple[int, int, int]
    affine: np.ndarray

    def resample(self, number: int, data: np.ndarray, affine: np.ndarray, order: int = 3):
        """Resample an image of a visit onto the grid, once.

        Parameters
        ----------
        number : int
            Which visit.
        data : ndarray, shape (I, J, K)
            Image on the grid of that visit.
        affine : ndarray, shape (4, 4)
            Voxel to world of the visit.
        order : {0, 1, 3}
            Order of the spline.

        Returns
        -------
        ndarray of float32
            Zero outside of the image.
        """
        return sampled(data, affine, self.poses[number], self.affine, self.shape, order)


def sampled(data, affine, pose, grid, shape, order=1) -> np.ndarray:
    """Sample an image, given where a grid lies in its world; see `Halfway.resample`."""
    matrix = np.linalg.inv(affine) @ pose @ grid
    return ndi.affine_transform(
        np.asarray(data, np.float32),
        matrix[:3, :3],
        matrix[:3, 3],
        output_shape=tuple(shape),
        order=order,
        mode='grid-constant',
        output=np.float32,
    )


def centred(poses: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Move the common frame of poses to the middle between them.

    Parameters
    ----------
    poses : sequence of ndarray, shape (4, 4)
        Common world to the world of each visit; rigid.

    Returns
    -------
    list of ndarray
        The same relations of the visits to one another, and logarithms that sum to zero.

    Notes
    -----
    Of two visits it is the square root of the transform between them ([1]_).

    References
    ----------
    .. [1] Reuter M. et al. (2012) Within-subject template estimation for unbiased longitudinal
       image analysis. doi:10.1016/j.neuroimage.2012.02.084

    Examples
    --------
    >>> moved = np.eye(4); moved[0, 3] = 8
    >>> [float(pose[0, 3].round(6)) for pose in centred([np.eye(4), moved])]
    [-4.0, 4.0]
    """
    poses = [np.array(pose, float) for pose in poses]
    for _ in range(30):
        mean = sum(_log(pose) for pose in poses) / len(poses)
        if np.abs(mean).max() < 1e-10:
            break
        back = _exp(-mean)
        poses = [_rigid(pose @ back) for pose in poses]
    return poses


def find_halfway(
    images: Sequence[np.ndarray], affines: Sequence[np.ndarray], brains: Sequence[np.ndarray]
) -> Halfway:
    """Find the space half-way between the images of one contrast of several visits.

    Parameters
    ----------
    images : sequence of ndarray, shape (I, J, K)
        Of one contrast, corrected for non-uniformity; grids may differ.
    affines : sequence of ndarray, shape (4, 4)
        Voxel to world of each, RAS+ mm.
    brains : sequence of ndarray of bool
        Brain of each.

    Returns
    -------
    Halfway
        The same, but for the order of its poses, in whatever order the visits come.

    Notes
    -----
    All visits move at once: each by Gauss-Newton steps towards the mean of the others, with
    Tukey's weights, after slow differences of intensity are taken away; then all are moved so
    that the mean of their poses stays zero. The order in which sums are formed is that of the
    content of the images, so that results are the same to the last bit.
    """
    order = canonical_order(images)
    heads = [_Head(images[k], affines[k], brains[k]) for k in order]
    poses = [np.eye(4)]
    fixed = heads[0]
    for head in heads[1:]:
        poses.append(best_start(fixed.bare, affines[order[0]], head.bare, head.affine))
    poses = centred(poses)
    for spacing, fwhm, steps in LEVELS:
        poses = _level(heads, poses, spacing, fwhm, steps)
    # Sums of products depend, in their last digits, on where in memory numbers lie.
    poses = [pose.round(DIGITS) + 0.0 for pose in poses]
    shape, affine = _grid(heads, poses)
    back = np.argsort(order)
    return Halfway([poses[k] for k in back], shape, affine)


def canonical_order(images: Sequence[np.ndarray]) -> list[int]:
    """Order images by what they hold, whatever the order in which they come.

    Examples
    --------
    >>> a, b = np.zeros((2, 2, 2)), np.ones((2, 2, 2))
    >>> canonical_order([a, b]) == canonical_order([b, a])[::-1]
    True
    """

    def digest(number):
        return hashlib.sha256(np.ascontiguousarray(images[number]).tobytes()).digest()

    return sorted(range(len(images)), key=digest)


class _Head:
    """An image without drift, and where it counts."""

    def __init__(self, image, affine, brain):
        self.affine = np.asarray(affine, float)
        self.voxel_mm = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        self.brain = np.asarray(brain) > 0
        image = np.nan_to_num(np.asarray(image, np.float32))
        away = ndi.distance_transform_edt(~self.brain, sampling=self.voxel_mm)
        self.where = (away <= MARGIN_MM) & (image > 0)
        self.bare = np.where(self.brain, image, 0)
        inside = self.where.astype(np.float32)
        scale = DRIFT_MM / self.voxel_mm
        slow = ndi.gaussian_filter(image * inside, scale) / np.maximum(
            ndi.gaussian_filter(inside, scale), 1e-3
        )
        even = np.where(self.where, image / np.maximum(slow, 1e-6 * slow.max() + 1e-12), 0)
        # The margin holds fat and vessels that are far brighter than the brain.
        self.even = np.minimum(even, np.quantile(even[self.brain], 0.999)).astype(np.float32)
        self.inside = inside

    def smooth(self, fwhm: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the image and where it counts, smoothed to at least a width, mm."""
        # What slices average already needs no more smoothing.
        own = 0.6 * self.voxel_mm
        sd = np.sqrt(np.maximum(fwhm**2 - own**2, 0)) / 2.355 / self.voxel_mm
        weight = ndi.gaussian_filter(self.inside, sd)
        return ndi.gaussian_filter(self.even, sd) / np.maximum(weight, 0.05), weight


def _corners(head: _Head) -> np.ndarray:
    """Return the corners of the box around the brain, world of the visit."""
    box = ndi.find_objects(head.brain.astype(np.uint8))[0]
    ends = [(side.start - 0.5, side.stop - 0.5) for side in box]
    corners = np.array(list(product(*ends)))
    return corners @ head.affine[:3, :3].T + head.affine[:3, 3]


def _extent(heads, poses, axes: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of a box along some axes of the half-way world that holds all brains."""
    points = []
    for head, pose in zip(heads, poses, strict=True):
        back = np.linalg.inv(pose)
        points.append((_corners(head) @ back[:3, :3].T + back[:3, 3]) @ axes)
    points = np.concatenate(points)
    return points.min(axis=0) - margin, points.max(axis=0) + margin


def _level(heads, poses, spacing, fwhm, steps):
    low, high = _extent(heads, poses, np.eye(3), 10.0)
    shape = tuple(np.ceil((high - low) / spacing).astype(int) + 1)
    grid = np.diag([spacing] * 3 + [1.0])
    grid[:3, 3] = low
    places = np.stack(
        np.meshgrid(*[low[a] + spacing * np.arange(shape[a]) for a in range(3)], indexing='ij')
    ).astype(np.float32)
    smooth = [head.smooth(fwhm) for head in heads]
    share = (len(heads) - 1) / len(heads)
    for _ in range(steps):
        seen, there = _seen(heads, smooth, poses, grid, shape)
        moved = 0.0
        new = []
        for number, pose in enumerate(poses):
            step = -share * _step(seen, there, number, spacing, places)
            moved = max(moved, np.abs(step[:3]).max(), ARM_MM * np.abs(step[3:]).max())
            new.append(_rigid(pose @ _exp(step)))
        poses = centred(new)
        if moved < STILL_MM:
            break
    return poses


def _seen(heads, smooth, poses, grid, shape):
    """Sample all visits on one grid, each on the scale of their mean."""
    seen, there = [], []
    for head, pose, (image, weight) in zip(heads, poses, smooth, strict=True):
        seen.append(sampled(image, head.affine, pose, grid, shape))
        there.append(sampled(weight, head.affine, pose, grid, shape) > 0.5)
    common = np.logical_and.reduce(there)
    level = [np.median(image[common]) for image in seen]
    middle = float(np.mean(level))
    seen = [image * np.float32(middle / one) for image, one in zip(seen, level, strict=True)]
    return seen, there


def _against(seen, there, number):
    """Return an image, the mean of the others, and where both are known."""
    others = [k for k in range(len(seen)) if k != number]
    count = sum(there[k].astype(np.float32) for k in others)
    mean = sum(np.where(there[k], seen[k], 0) for k in others) / np.maximum(count, 1)
    return seen[number], mean.astype(np.float32), there[number] & (count > 0)


def _step(seen, there, number, spacing, places) -> np.ndarray:
    """Return shift (mm) and turn (rad) that take a visit's image from the mean of the others."""
    image, mean, use = _against(seen, there, number)
    slopes = np.gradient((image + mean) / 2, spacing)
    use = ndi.binary_erosion(use)
    rest = (image - mean)[use].astype(float)
    gx, gy, gz = (slope[use].astype(float) for slope in slopes)
    x, y, z = (place[use].astype(float) for place in places)
    design = np.stack([gx, gy, gz, gz * y - gy * z, gx * z - gz * x, gy * x - gx * y], axis=1)
    spread = 1.4826 * np.median(np.abs(rest - np.median(rest))) + 1e-9
    weight = np.clip(1 - (rest / (TUKEY * spread)) ** 2, 0, None) ** 2
    normal = design.T @ (design * weight[:, None])
    normal += 1e-9 * np.trace(normal) * np.eye(6) / 6
    return np.linalg.solve(normal, design.T @ (weight * rest))


def _log(pose: np.ndarray) -> np.ndarray:
    """Return shift (mm) and turn (rad) whose exponential is a rigid matrix."""
    turn = Rotation.from_matrix(pose[:3, :3]).as_rotvec()
    angle, cross = float(np.linalg.norm(turn)), _cross(turn)
    share = 1 / 12
    if angle > 1e-4:
        share = (1 - angle * np.sin(angle) / (2 * (1 - np.cos(angle)))) / angle**2
    inverse = np.eye(3) - cross / 2 + share * cross @ cross
    return np.concatenate([inverse @ pose[:3, 3], turn])


def _exp(step: np.ndarray) -> np.ndarray:
    """Return the rigid matrix of a shift (mm) and a turn (rad), taken together."""
    turn = step[3:]
    angle, cross = float(np.linalg.norm(turn)), _cross(turn)
    one, two = 1 / 2, 1 / 6
    if angle > 1e-4:
        one = (1 - np.cos(angle)) / angle**2
        two = (angle - np.sin(angle)) / angle**3
    out = np.eye(4)
    out[:3, :3] = Rotation.from_rotvec(turn).as_matrix()
    out[:3, 3] = (np.eye(3) + one * cross + two * cross @ cross) @ step[:3]
    return out


def _cross(turn: np.ndarray) -> np.ndarray:
    x, y, z = turn
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])


def _rigid(matrix: np.ndarray) -> np.ndarray:
    """Return the nearest rigid transform."""
    left, _, right = np.linalg.svd(matrix[:3, :3])
    out = np.array(matrix, float)
    out[:3, :3] = left @ np.diag([1, 1, np.sign(np.linalg.det(left @ right))]) @ right
    out[3] = [0, 0, 0, 1]
    return out


def _grid(heads, poses) -> tuple[tuple[int, int, int], np.ndarray]:
    """Lay a grid half-way between those of the visits: mean axes, finest voxels, mean phase."""
    axes = sum(
        np.linalg.inv(pose)[:3, :3] @ (head.affine[:3, :3] / head.voxel_mm)
        for head, pose in zip(heads, poses, strict=True)
    )
    left, _, right = np.linalg.svd(axes)
    axes = left @ right
    size = np.maximum(np.min([head.voxel_mm for head in heads], axis=0), FINEST_MM)
    low, high = (end.round(3) for end in _extent(heads, poses, axes, 5.0))
    # Slices of the visits lie at other heights of the head: in the middle between them, all are
    # interpolated alike.
    turns = []
    for head, pose in zip(heads, poses, strict=True):
        origin = (np.linalg.inv(pose) @ head.affine)[:3, 3] @ axes
        turns.append(np.exp(2j * np.pi * origin / size))
    phase = np.angle(np.mean(turns, axis=0) + 1e-9) / (2 * np.pi) * size
    start = phase + size * np.floor((low - phase) / size)
    shape = tuple(int(n) for n in np.ceil((high - start) / size) + 1)
    affine = np.eye(4)
    affine[:3, :3] = axes * size
    affine[:3, 3] = axes @ start
    return shape, affine.round(DIGITS) + 0.0


def registration_error(
    images: Sequence[np.ndarray],
    brain: np.ndarray,
    voxel_mm: np.ndarray,
    exclude: np.ndarray | None = None,
) -> np.ndarray:
    """Measure by how much images still lie beside one another, place by place.

    Parameters
    ----------
    images : sequence of ndarray, shape (I, J, K)
        Of one contrast, on one grid.
    brain : ndarray of bool
        Where all are known.
    voxel_mm : ndarray, shape (3,)
        Voxel size.
    exclude : ndarray of bool, optional
        What has changed, and is no error.

    Returns
    -------
    ndarray of float32
        Length (mm) of the shift that would bring an image of a visit onto the mean of the
        others, in a window of some 20 mm around each voxel (root mean square over the visits);
        0 outside of the brain. Atrophy is in it, as is distortion.

    Notes
    -----
    Shifts are solutions of the optical flow equation in Gaussian windows [1]_, drawn to zero as
    noise and lack of edges demand.

    References
    ----------
    .. [1] Lucas B.D., Kanade T. (1981) An iterative image registration technique with an
       application to stereo vision. Proc. IJCAI, 674-679.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> still = ndi.gaussian_filter(rng.normal(size=(40, 40, 40)), 2) * 10 + 3
    >>> moved = ndi.shift(still, (0.6, 0, 0), mode='nearest')
    >>> brain = np.zeros((40, 40, 40), bool); brain[6:-6, 6:-6, 6:-6] = True
    >>> error = registration_error([still, moved], brain, np.ones(3))
    >>> round(float(np.median(error[brain])), 1)  # of 0.6: what is drawn to zero is too short
    0.4
    """
    brain = np.asarray(brain, bool)
    voxel_mm = np.asarray(voxel_mm, float)
    step = np.maximum(1, np.round(2.0 / voxel_mm)).astype(int)
    use = ndi.binary_erosion(brain)
    if exclude is not None:
        use &= ~np.asarray(exclude, bool)
    even = []
    for image in images:
        scale = DRIFT_MM / voxel_mm
        inside = brain.astype(np.float32)
        slow = ndi.gaussian_filter(np.where(brain, image, 0).astype(np.float32), scale)
        slow /= np.maximum(ndi.gaussian_filter(inside, scale), 1e-3)
        flat = np.where(brain, image / np.maximum(slow, 1e-6), 0).astype(np.float32)
        even.append(ndi.gaussian_filter(flat, 0.8 / voxel_mm))
    window = WINDOW_MM / (voxel_mm * step)
    some = tuple(slice(None, None, int(s)) for s in step)
    total = np.zeros(brain[some].shape, np.float32)
    for number in range(len(even)):
        others = [image for k, image in enumerate(even) if k != number]
        mean = sum(others) / len(others)
        rest = even[number] - mean
        slopes = np.gradient((even[number] + mean) / 2, *voxel_mm)
        spread = 1.4826 * np.median(np.abs(rest[use])) + 1e-9
        weight = np.clip(1 - (rest / (TUKEY * spread)) ** 2, 0, None) ** 2 * use
        share = ndi.gaussian_filter(block_mean(weight, step), window)
        square = np.empty((*total.shape, 3, 3))
        right = np.empty((*total.shape, 3))
        for a in range(3):
            right[..., a] = ndi.gaussian_filter(
                block_mean(weight * slopes[a] * rest, step), window
            )
            for b in range(a, 3):
                item = ndi.gaussian_filter(
                    block_mean(weight * slopes[a] * slopes[b], step), window
                )
                square[..., a, b] = square[..., b, a] = item
        # The noise of one block, against what shifts are expected.
        count = np.prod(window) * (4 * np.pi) ** 1.5 * np.prod(step)
        ridge = spread**2 / EXPECTED_MM**2 / count
        square += (ridge * np.maximum(share, 1e-3))[..., None, None] * np.eye(3)
        shift = np.linalg.solve(square, right[..., None])[..., 0]
        total += (shift**2).sum(axis=-1).astype(np.float32)
    error = np.sqrt(total / len(even))
    index = np.indices(brain.shape, np.float32)
    at = np.stack([(index[a] - (step[a] - 1) / 2) / step[a] for a in range(3)])
    fine = ndi.map_coordinates(error, at, order=1, mode='nearest').astype(np.float32)
    return np.where(brain, fine, 0).astype(np.float32)
