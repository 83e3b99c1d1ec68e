"""Where fibres run in the template and how anisotropic they make it; carried into a head.

The dyadics (t tᵀ) of all fibres through a place add up, with a background of fibres between
cortex and ventricles and a share without direction. The mean over fibres of one fibre's tensor
is linear in that sum, so anisotropy follows from how much fibres agree: high in the callosum and
the peduncles, lower in fans and crossings. Everything is given as the shape ``N`` of a tensor
``D = MD (I + N)``: symmetric, without trace, without units.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import ndimage as ndi
from scipy.spatial.transform import Rotation

from csvdprep.phantom.diffusion.tracts import TRACTS, Tract
from csvdprep.phantom.geometry.fields import pull, resize
from csvdprep.phantom.head.anatomy import Anatomy, _template_brain

#: Spacing of the field, mm.
FIELD_MM = 2.0
#: Fibres that stand for a tract, in each hemisphere.
FIBRES = 700
#: Width over which a fibre is spread, mm (standard deviation).
FIBRE_MM = 1.6
#: Weight of the background of radial fibres and of water without direction, where a tract's
#: core has 1.
RADIAL, NONE = 0.26, 0.34
#: More without direction beside the bodies of the ventricles, where many tracts cross.
CROSSING = 0.35
#: Quantile of the density of a tract that counts as its core, and the power with which its
#: weight falls with density outside.
CORE, FALL = 0.9, 0.6
#: Shape of a single fibre's tensor: 1 would be a stick, FA 1.
STICK = 0.74
#: Difference of the two radial diffusivities where medullary veins run, relative to MD.
VEINS = 0.25
#: Where they run side by side along x, at the bodies of the ventricles: centre, extent (mm).
VEIN_ZONE = ((-16.0, 34.0), (27.0, 13.0))
#: Order of the components of a symmetric tensor here.
PARTS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


@cache
def template_shape() -> tuple[np.ndarray, np.ndarray]:
    """Compute the shape N of the tensors in the template.

    Returns
    -------
    shape : ndarray of float32, shape (6, nx, ny, nz)
        xx, yy, zz, xy, xz, yz: without the share that comes from medullary veins.
    affine : ndarray, shape (4, 4)
        From indices to mm of the template.

    Examples
    --------
    >>> field, affine = template_shape()
    >>> at = tuple(np.rint(np.linalg.solve(affine, [0, -8, 25.5, 1])[:3]).astype(int))
    >>> int(field[(slice(3), *at)].argmax()), round(float(field[(slice(3), *at)].sum()), 5)
    (0, 0.0)
    """
    dyadic, affine = _dyadics()
    none = np.float32(NONE) + np.float32(CROSSING) * _vein_zone(dyadic.shape[1:], affine)
    total = dyadic[0] + dyadic[1] + dyadic[2] + none
    dyadic[:3] += none / 3
    dyadic *= np.float32(3 * STICK) / total
    dyadic[:3] -= np.float32(STICK)
    return dyadic, affine


@cache
def vein_shape() -> tuple[np.ndarray, np.ndarray]:
    """Compute what medullary veins and the spaces around them add to the shape N.

    They run along x at the bodies of the lateral ventricles: water moves more easily along them
    than across, which adds to the diffusivity along x and takes the same from the direction that
    is perpendicular to fibres and veins. This is what the ALPS index measures.

    Returns
    -------
    shape, affine
        As :func:`template_shape`.
    """
    field, affine = template_shape()
    weight = _vein_zone(field.shape[1:], affine)
    where = np.nonzero(weight > 0.02)
    _, vectors = np.linalg.eigh(matrices(field[(slice(None), *where)]))
    fibre = vectors[:, :, 2]
    vein = np.array([1.0, 0, 0]) - fibre[:, :1] * fibre
    size = np.linalg.norm(vein, axis=1, keepdims=True)
    vein /= size + 1e-6
    third = np.cross(fibre, vein)
    strength = VEINS / 2 * weight[where] * size[:, 0] ** 2
    out = np.zeros_like(field)
    for number, (i, j) in enumerate(PARTS):
        out[(number, *where)] = strength * (vein[:, i] * vein[:, j] - third[:, i] * third[:, j])
    return out, affine


def head_shape(anatomy: Anatomy, alps: float = 1.0) -> np.ndarray:
    """Carry the shapes N of the template into a head.

    Directions turn with the anatomy: by the rotation part of the local map from head to template
    (finite strain, Alexander 2001, doi:10.1109/42.963816).

    Parameters
    ----------
    anatomy : Anatomy
        The head.
    alps : float
        Factor on what medullary veins add.

    Returns
    -------
    ndarray of float32, shape (6, mx, my, mz)
        On a grid with the corners of the head's and steps near 2 mm, or its own if larger; axes
        of the head. 0 away from the brain.
    """
    field, field_affine = template_shape()
    field = field + np.float32(alps) * vein_shape()[0]
    size = np.array(anatomy.fractions['gm'].shape)
    steps = np.diag(anatomy.affine)[:3]
    small = np.ceil(size * steps / np.maximum(steps, FIELD_MM)).astype(int)
    brain = resize(anatomy.fractions['gm'] + anatomy.fractions['wm'], small)
    where = ndi.binary_dilation(brain > 0.05)
    there = np.stack([resize(part, small)[where] for part in anatomy.flow])
    values = np.stack([pull(part, field_affine, there) for part in field])
    out = np.zeros((6, *small), np.float32)
    turn = Rotation.from_rotvec(_turning(anatomy, small)[:, where].T).as_matrix()
    out[:, where] = rotated(values, turn.transpose(0, 2, 1).astype(np.float32))
    return out


def _turning(anatomy: Anatomy, shape) -> np.ndarray:
    """Return the rotation vectors (3, ...) of :func:`turns` in the brain, on another grid."""
    count = anatomy.flow.shape[1:]
    brain = ndi.binary_dilation(resize(anatomy.intracranial, count) > 0.05, iterations=2)
    at = np.argwhere(brain) @ anatomy.flow_affine[:3, :3].T + anatomy.flow_affine[:3, 3]
    vectors = np.zeros((3, *count), np.float32)
    vectors[:, brain] = Rotation.from_matrix(turns(anatomy, at)).as_rotvec().T
    return np.stack([resize(part, shape) for part in vectors])


def turns(anatomy: Anatomy, points: np.ndarray) -> np.ndarray:
    """Return the rotation part of the map from head to template at points of the head.

    Parameters
    ----------
    anatomy : Anatomy
        The head.
    points : ndarray, shape (n, 3)
        mm of the head.

    Returns
    -------
    ndarray, shape (n, 3, 3)
        ``(J Jᵀ)^(-1/2) J`` with J the Jacobian; it takes directions of the head to the template.

    Examples
    --------
    >>> from csvdprep.phantom.head.anatomy import make_anatomy
    >>> plain = make_anatomy(1, spacing=6, deformation_mm=0.01)
    >>> bool(np.allclose(turns(plain, np.zeros((1, 3)))[0], np.eye(3), atol=0.01))
    True
    """
    left, _, right = np.linalg.svd(jacobians(anatomy, points))
    return left @ right


def jacobians(anatomy: Anatomy, points: np.ndarray) -> np.ndarray:
    """Return the derivative of the map from head to template, by differences over its grid.

    Parameters
    ----------
    anatomy, points
        As in :func:`turns`.

    Returns
    -------
    ndarray, shape (n, 3, 3)
        Change of each template coordinate (rows) with each of the head's.
    """
    steps = np.diag(np.diag(anatomy.flow_affine)[:3])
    slopes = [
        (anatomy.to_template(points + step) - anatomy.to_template(points - step))
        / (2 * step.sum())
        for step in steps
    ]
    return np.stack(slopes, axis=2)


def matrices(parts: np.ndarray) -> np.ndarray:
    """Turn components (6, n) into symmetric matrices (n, 3, 3)."""
    out = np.empty((parts.shape[1], 3, 3), parts.dtype)
    for part, (i, j) in zip(parts, PARTS, strict=True):
        out[:, i, j] = out[:, j, i] = part
    return out


def rotated(parts: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Rotate tensors.

    Parameters
    ----------
    parts : ndarray, shape (6, n)
        Components in the order of :data:`PARTS`.
    rotation : ndarray, shape (n, 3, 3) or (3, 3)
        ``R`` of ``R D Rᵀ``.

    Returns
    -------
    ndarray, shape (6, n)

    Examples
    --------
    >>> quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    >>> rotated(np.array([[3.0, 2, 1, 0, 0, 0]]).T, quarter)[:3, 0].tolist()
    [2.0, 3.0, 1.0]
    """
    turned = rotation @ matrices(parts) @ np.swapaxes(rotation, -1, -2)
    return np.stack([turned[:, i, j] for i, j in PARTS])


def anisotropy(parts: np.ndarray) -> np.ndarray:
    """Return the FA of ``I + N`` for shapes N of components (6, ...).

    Examples
    --------
    >>> stick = np.array([2.0, -1, -1, 0, 0, 0])
    >>> float(anisotropy(stick[:, None])[0])
    1.0
    """
    square = (parts[:3] ** 2).sum(axis=0) + 2 * (parts[3:] ** 2).sum(axis=0)
    return np.sqrt(1.5 * square / (3 + square))


def _dyadics() -> tuple[np.ndarray, np.ndarray]:
    """Add up the dyadics of all fibres on the field's grid; a tract's core weighs its share."""
    brain = _template_brain()
    step = int(FIELD_MM / brain['affine'][0, 0])
    affine = brain['affine'] @ np.diag([step, step, step, 1])
    total = np.zeros((6, *brain['wm'][::step, ::step, ::step].shape), np.float32)
    for tract in TRACTS:
        _lay(tract, total, affine)
    # What one hemisphere has, the other has mirrored: the grid is symmetric about x = 0.
    mirror = np.array([1, 1, 1, -1, -1, 1], np.float32).reshape(6, 1, 1, 1)
    total += mirror * total[:, ::-1]
    total += np.float32(RADIAL) * _radial(brain, step, affine)
    return total, affine


def _lay(tract: Tract, total: np.ndarray, affine: np.ndarray) -> None:
    """Add a tract's dyadics to a grid; their trace is its share in the core."""
    points, directions, shares = tract.fibres(FIBRES)
    at = np.rint((points.reshape(-1, 3) - affine[:3, 3]) / np.diag(affine)[:3]).astype(int)
    low = np.maximum(at.min(axis=0) - 4, 0)
    high = np.minimum(at.max(axis=0) + 5, total.shape[1:])
    shape = tuple(high - low)
    flat = np.ravel_multi_index(tuple((at - low).T), shape, mode='clip')

    def drawn(weight: np.ndarray) -> np.ndarray:
        sums = np.bincount(flat, weight, minlength=int(np.prod(shape))).reshape(shape)
        return ndi.gaussian_filter(sums.astype(np.float32), FIBRE_MM / FIELD_MM)

    density = drawn(np.ones(len(flat)))
    core = np.quantile(density[density > 0.02 * density.max()], CORE)
    # Where fibres fan out they grow fewer, but tissue has no gaps: density falls more slowly.
    relative = np.maximum(density / core, 0.02)
    factor = np.minimum(relative, 1) ** (FALL - 1) / np.maximum(relative, 1) / core
    t, share = directions.reshape(-1, 3), np.tile(shares, len(points))
    here = total[(slice(None), *map(slice, low, high))]
    for part, (i, j) in zip(here, PARTS, strict=True):
        part += factor * drawn(share * t[:, i] * t[:, j])


def _radial(brain, step: int, affine: np.ndarray) -> np.ndarray:
    """Return the dyadics of directions from the cortex inwards, of trace 1."""
    some = (slice(None, None, step),) * 3
    solid = brain['wm'][some] + 2 * (brain['structures'][some] > 0)
    slope = np.stack(np.gradient(ndi.gaussian_filter(solid, 5 / FIELD_MM)))
    # Beside the bodies of the ventricles inwards is sideways, and long tracts fill the space.
    deep = _vein_zone(solid.shape, affine)
    slope[1:] *= 1 - deep
    slope *= (1 - 0.7 * deep) / (np.linalg.norm(slope, axis=0) + 1e-4)
    return np.stack([slope[i] * slope[j] for i, j in PARTS]).astype(np.float32)


def _vein_zone(shape, affine: np.ndarray) -> np.ndarray:
    """Return how much medullary veins run side by side along x, 0 to 1."""
    x, y, z = (
        affine[i, 3] + affine[i, i] * np.arange(n, dtype=np.float32) for i, n in enumerate(shape)
    )
    side = np.clip((np.abs(x) - 17) / 5, 0, 1) * np.clip((52 - np.abs(x)) / 6, 0, 1)
    along, height = (
        np.exp(-(((at - centre) / extent) ** 2) / 2)
        for at, (centre, extent) in zip((y, z), VEIN_ZONE, strict=True)
    )
    return side[:, None, None] * along[:, None] * height
