"""Phantoms of the magnetic field: P6 (microbleeds and their mimics) and P11 (susceptibilities)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from csvdprep.phantom.geometry.features import Ellipsoid, Feature, Tube
from csvdprep.phantom.head.anatomy import Anatomy
from csvdprep.phantom.scanner.magnet import dipole_field, tube_field
from csvdprep.phantom.scanner.scene import Scene
from csvdprep.phantom.susceptibility.intravoxel import Sphere

#: Radii of the microbleeds of P6, mm.
RADII = (0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0)
#: Susceptibilities of P11, ppm (Marques 2021, doi:10.1002/mrm.28716).
SUSCEPTIBILITIES = {
    'caudate': 0.044,
    'putamen': 0.038,
    'pallidum': 0.1305,
    'thalamus': 0.020,
    'red nucleus': 0.100,
    'substantia nigra': 0.111,
    'dentate': 0.152,
    'white matter': -0.030,
    'cortex': 0.020,
    'fluid': 0.019,
    'venous blood': 0.190,
    'calcium': -3.3,
}


def microbleed_scene(seed: int = 0, spacing: float = 2.0, tesla: float = 3.0) -> Scene:
    """Build P6: a ball of white matter with microbleeds, calcifications and veins.

    Microbleeds (1 ppm) and calcifications (-2 ppm) of each radius lie on a lattice, moved at
    random by up to half a voxel; veins of 0.3 to 1 mm radius run between them along, across and
    oblique to the main field.

    Parameters
    ----------
    seed : int
        Decides how the things are moved, and the texture.
    spacing : float
        Of the head's grid, mm.
    tesla : float
        Field strength.

    Returns
    -------
    Scene
        To be scanned with :func:`csvdprep.phantom.susceptibility.gre.acquire`. Microbleeds and
        calcifications are its features of these kinds.

    Examples
    --------
    >>> scene = microbleed_scene(spacing=4)
    >>> sum(feature.kind == 'CMB' for feature in scene.features)
    14
    """
    rng = np.random.default_rng([seed, 66])
    axis = np.arange(-48, 48 + spacing / 2, spacing)
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    white = np.clip((46 - radius) / spacing + 0.5, 0, 1).astype(np.float32)
    affine = np.diag([spacing] * 3 + [1.0])
    affine[:3, 3] = -48
    nothing = np.zeros_like(white)
    anatomy = Anatomy(
        fractions={'wm': white, 'gm': nothing, 'csf': nothing},
        affine=affine,
        structures=np.zeros(white.shape, np.uint8),
    )
    return Scene(anatomy=anatomy, wmh=nothing, features=_things(rng), seed=seed, tesla=tesla)


def _things(rng: np.random.Generator) -> list[Feature]:
    places = [np.array(place, float) for place in np.ndindex(3, 3, 3)]
    places = [18 * (place - 1) for place in places if not (place == 1).all()]
    kinds = [('CMB', 'haemosiderin', 1.0)] * 2 + [('calcification', 'calcium', -2.0)]
    out: list[Feature] = []
    wanted = [(radius, *kind) for kind in kinds for radius in RADII]
    for place, (radius, kind, tissue, chi) in zip(places, wanted, strict=False):
        centre = place + rng.uniform(-0.5, 0.5, 3)
        region = {0: 'infratentorial', 1: 'deep'}.get(len(out) % 3, 'lobar')
        out.append(
            Ellipsoid(
                kind=kind,
                tissue=tissue,
                centre=centre,
                radii=np.full(3, radius),
                facts={'chi': chi, 'region': region},
            )
        )
    for radius, start, end in (
        (0.3, (9, 9, -30), (9, 9, 30)),
        (0.6, (-9, 9, -30), (-9, 9, 30)),
        (0.3, (9, -30, 9), (9, 30, 9)),
        (0.6, (-30, -9, -9), (30, -9, -9)),
        (1.0, (-9, -30, -20), (-9, 30, 20)),
        (0.4, (-30, 27, -9), (20, 27, 25)),
    ):
        line = np.linspace(start, end, 241)
        out.append(
            Tube(
                kind='cortical vein',
                tissue='vein',
                points=line,
                radii=np.full(241, radius),
                facts={'name': 'vein', 'side': 'midline'},
            )
        )
    return out


@dataclass(frozen=True, kw_only=True, eq=False)
class SusceptibilityCase:
    """P11.

    Attributes
    ----------
    chi, field : ndarray of float32, shape (n, n, n)
        Susceptibility as share of voxels, and the field by the formulas, ppm. In voxels that
        a surface cuts the field is the mean of 27 points.
    mask : ndarray of bool
        A ball inside of the grid.
    labels : ndarray of uint8
        Voxels wholly within a thing: number of its row in ``values``, from 1.
    values : tuple of (str, float)
        Name and susceptibility of each thing.
    spacing : float
        mm.
    direction : ndarray, shape (3,)
        Direction of the main field along the axes of the array.
    """

    chi: np.ndarray
    field: np.ndarray
    mask: np.ndarray
    labels: np.ndarray
    values: tuple[tuple[str, float], ...]
    spacing: float
    direction: np.ndarray


def susceptibility_case(
    size: int = 80,
    spacing: float = 1.0,
    direction=(0.0, 0.0, 1.0),
    texture_ppm: float = 0.0,
    seed: int = 0,
) -> SusceptibilityCase:
    """Build P11: spheres with the susceptibilities of a brain, cylinders of blood, in water.

    Parameters
    ----------
    size : int
        Voxels along each edge.
    spacing : float
        mm.
    direction : sequence of float
        Direction of the main field.
    texture_ppm : float
        Standard deviation of a smooth variation within the spheres; its field is computed in
        k-space and added.
    seed : int
        Of that.

    Returns
    -------
    SusceptibilityCase

    Examples
    --------
    >>> case = susceptibility_case(40, 2.0)
    >>> [name for name, _ in case.values][-2:]
    ['venous blood', 'venous blood']
    >>> bool(abs(case.chi[case.labels == 3].mean() - 0.1305) < 1e-6)
    True
    """
    half = (size - 1) / 2 * spacing
    axis = np.arange(size) * spacing - half
    points = np.stack(np.meshgrid(axis, axis, axis, indexing='ij'), axis=-1)
    up = np.asarray(direction, float) / np.linalg.norm(direction)
    things = _p11_things(half)
    chi = np.zeros((size,) * 3)
    field = np.zeros((size,) * 3)
    labels = np.zeros((size,) * 3, np.uint8)
    shifts = (np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), axis=-1).reshape(-1, 3)) * spacing / 3
    for number, (_, value, thing) in enumerate(things, start=1):
        outside, part = _thing_field(points, thing, value, up)
        whole = (outside < 0).astype(float)
        cut = np.abs(outside) < spacing
        several = [_thing_field(points[cut] + shift, thing, value, up) for shift in shifts]
        whole[cut] = np.mean([out < 0 for out, _ in several], axis=0)
        part[cut] = np.mean([own for _, own in several], axis=0)
        chi += value * whole
        field += part
        labels[whole > 1 - 1e-9] = number
    if texture_ppm:
        grain = _grain(labels, texture_ppm, spacing, seed)
        chi += grain
        field += dipole_field(grain, spacing, up, pad=2)
    return SusceptibilityCase(
        chi=chi.astype(np.float32),
        field=field.astype(np.float32),
        mask=np.linalg.norm(points, axis=-1) < half,
        labels=labels,
        values=tuple((name, value) for name, value, _ in things),
        spacing=spacing,
        direction=up,
    )


def _p11_things(half: float) -> list[tuple[str, float, tuple]]:
    """List name, susceptibility, and (centre, radius) or (point, direction, radius)."""
    out = []
    names = [name for name in SUSCEPTIBILITIES if name != 'venous blood']
    for number, name in enumerate(names):
        turn = 2 * np.pi * number / len(names)
        height = 0.35 * (number % 3 - 1)
        centre = half * np.array([0.58 * np.cos(turn), 0.58 * np.sin(turn), height])
        radius = half * (0.06 if name == 'calcium' else 0.12)
        out.append((name, SUSCEPTIBILITIES[name], (centre, radius)))
    for line in ((0.0, 0.0, 1.0), (0.6, 0.0, 0.8)):
        start = np.array([0.0, 0.1 * half * (1 if line[0] else -1), 0.0])
        out.append(('venous blood', 0.190, (start, np.array(line), 0.05 * half)))
    return out


def _thing_field(points: np.ndarray, thing: tuple, value: float, up: np.ndarray):
    """Give the distance of points from a sphere or cylinder, negative inside, and its field."""
    away = points - thing[0]
    if len(thing) == 2:
        # The formula of a sphere has the main field along z: turn everything so.
        along = away @ up
        square = (away**2).sum(axis=-1)
        flat = np.sqrt(np.maximum(square - along**2, 0))
        turned = np.stack([flat, np.zeros_like(flat), along], axis=-1)
        ball = Sphere(centre=thing[0], radius=thing[1], chi=value, tissue='')
        return np.sqrt(square) - thing[1], ball.field(turned)
    _, line, radius = thing
    beside = away - (away @ line)[..., None] * line
    square = np.maximum((beside**2).sum(axis=-1), 1e-9)
    field = tube_field(square, beside @ up, line @ up, radius, value)
    return np.sqrt(square) - radius, field


def _grain(labels: np.ndarray, texture_ppm: float, spacing: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng([seed, 67]).standard_normal(labels.shape)
    noise = ndi.gaussian_filter(noise, 2 / spacing)
    return texture_ppm * noise / noise.std() * (labels > 0)
