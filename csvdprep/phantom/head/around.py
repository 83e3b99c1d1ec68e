"""What surrounds the brain: meninges, skull, scalp, eyes, airways, neck."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

#: Spacing on which distances are computed, mm.
COARSE_MM = 2.0
#: Distance from the brain beyond which it does not matter, mm.
_AROUND_MM = 18.0
#: Ellipsoids in template space: centre and radii, mm.
FACE = ((0, 42, -58), (64, 52, 72))
NECK = ((0, -28, -110), (56, 58, 80))
NOSE = ((0, 88, -54), (14, 14, 19))
EYES = ((-32, 64, -40), (32, 64, -40))
AIRWAYS = (
    ((0, 60, -58), (13, 26, 20)),
    ((-27, 58, -66), (12, 15, 15)),
    ((27, 58, -66), (12, 15, 15)),
    ((0, 18, -44), (12, 11, 9)),
    ((0, 4, -95), (10, 9, 35)),
    ((0, 84, -18), (14, 4, 9)),
)
MASTOIDS = (((-56, -34, -50), (11, 14, 14)), ((56, -34, -50), (11, 14, 14)))


def distances(inside: np.ndarray, affine: np.ndarray, low: np.ndarray, high: np.ndarray):
    """Measure how far from the intracranial space and from the head's surface one is.

    Parameters
    ----------
    inside : ndarray of bool
        Intracranial space of the template.
    affine : ndarray, shape (4, 4)
        Its grid; diagonal.
    low, high : ndarray, shape (3,)
        Corners of the box in which the head lies, mm.

    Returns
    -------
    from_skull : ndarray of float32
        Distance from the smooth envelope of the intracranial space, mm; negative inside.
    depth : ndarray of float32
        Depth below the skin, mm; negative in the air.
    affine : ndarray, shape (4, 4)
        Grid of both.
    """
    shape = np.ceil((high - low) / COARSE_MM).astype(int)
    coarse = np.diag([COARSE_MM] * 3 + [1.0])
    coarse[:3, 3] = low
    mm = np.stack(
        np.meshgrid(*[low[i] + COARSE_MM * np.arange(shape[i]) for i in range(3)], indexing='ij')
    )
    index = (mm - affine[:3, 3].reshape(3, 1, 1, 1)) / np.diag(affine)[:3].reshape(3, 1, 1, 1)
    brain = ndi.map_coordinates(inside.astype(np.float32), index, order=1) > 0.5
    # Skull does not follow gyri: close what a ball of 8 mm does not enter. Nothing of the head
    # depends on where outside of a box around the brain one is.
    box = tuple(
        slice(
            max(int(edge.start - _AROUND_MM / COARSE_MM), 0),
            int(edge.stop + _AROUND_MM / COARSE_MM),
        )
        for edge in ndi.find_objects(brain.astype(np.uint8))[0]
    )
    within = brain[box]
    grown = ndi.distance_transform_edt(~within) * COARSE_MM < 8
    envelope = ndi.distance_transform_edt(grown) * COARSE_MM > 8
    from_skull = np.full(brain.shape, _AROUND_MM)
    from_skull[box] = np.minimum(_signed(envelope | within), _AROUND_MM)
    vault = from_skull < 13.5 + np.sin(mm[0] / 37 + 1) * np.cos(mm[1] / 41)
    solid = vault | _in(mm, FACE) | _in(mm, NECK) | _in(mm, NOSE)
    solid = ndi.gaussian_filter(solid.astype(np.float32), 2.5) > 0.5
    depth = -_signed(solid)
    return from_skull.astype(np.float32), depth.astype(np.float32), coarse


def layers(position, from_skull, depth, intracranial, noise) -> dict[str, np.ndarray]:
    """Fill the head around the intracranial space.

    Parameters
    ----------
    position : ndarray, shape (3, ...)
        Template coordinates of each point, mm.
    from_skull, depth : ndarray, shape (...)
        As :func:`distances` gives them, at ``position``.
    intracranial : ndarray, shape (...)
        Share of each voxel that is taken by brain and CSF.
    noise : ndarray, shape (...)
        Smooth field of unit variance that varies thicknesses and mixes fat and muscle.

    Returns
    -------
    dict of str to ndarray
        Share of each voxel: dura, cord, csf_spinal, bone, marrow, fat, muscle, skin, vitreous.
    """
    x, y, z = position
    left = 1 - intracranial
    left = left * _ramp(depth)
    out: dict[str, np.ndarray] = {}

    def take(name: str, share: np.ndarray) -> None:
        nonlocal left
        share = left * np.clip(share, 0, 1)
        out[name] = out[name] + share if name in out else share
        left = left - share

    base = np.clip((-z - 25 - 0.35 * y) / 20, 0, 1)
    thick = 1 + 0.18 * noise
    take('dura', _ramp(1.0 - from_skull))
    cord_y = -47 + 0.18 * (z + 72)
    ring = np.hypot(x, y - cord_y)
    below = _ramp(-70 - z)
    take('cord', _ramp(6 - ring) * below)
    take('csf_spinal', _ramp(10 - ring) * below)
    take('bone', _ramp(15 - ring) * below * 0.6)
    inner, outer = 2.6 * thick, 6.0 * thick
    take('bone', _ramp(inner - from_skull))
    take('marrow', _ramp(outer - from_skull) * (1 - base))
    take('bone', _ramp(outer + 1.6 - from_skull) * (1 - 0.5 * base))
    take('skin', _ramp(1.6 - depth))
    for centre in EYES:
        globe = _radius(position, (centre, (12, 12, 12)))
        take('vitreous', _ramp(12 * (1 - globe)))
        orbit = _radius(position, ((centre[0] * 0.85, 48, -38), (15, 26, 14)))
        nerve = np.hypot(x - centre[0] * (0.35 + 0.65 * (y - 20) / 44), z + 39)
        take('muscle', _ramp(2.2 - nerve) * _ramp(15 * (1 - orbit)))
        take('fat', _ramp(15 * (1 - orbit)))
    air = np.zeros_like(left)
    for part in AIRWAYS:
        air = np.maximum(air, _ramp(min(part[1]) * (1 - _radius(position, part))))
    for part in MASTOIDS:
        air = np.maximum(air, 0.7 * _ramp(min(part[1]) * (1 - _radius(position, part))))
    # Turbinates and septa: strands of mucosa in the nasal cavity.
    strands = 0.6 * (np.sin(x / 1.7) > 0.5) * (np.abs(x) < 13) * (z < -50) * (y > 35)
    left = left * (1 - air * (1 - strands))
    scalp = _ramp(5.5 * thick - depth)
    take('fat', scalp * (0.85 + 0.1 * noise))
    take('fat', np.clip(0.35 + 0.5 * noise, 0.05, 1) * base)
    take('muscle', np.ones_like(left))
    return {name: part.astype(np.float32) for name, part in out.items() if part.any()}


def _ramp(distance: np.ndarray) -> np.ndarray:
    """Share of a voxel behind a border at signed ``distance`` (mm), about 1 mm wide."""
    return np.clip(distance + 0.5, 0, 1)


def _radius(position, ellipsoid) -> np.ndarray:
    """Distance from the centre of an ellipsoid in units of its radii."""
    centre, radii = ellipsoid
    total = sum(((position[i] - centre[i]) / radii[i]) ** 2 for i in range(3))
    return np.sqrt(total)


def _in(position, ellipsoid) -> np.ndarray:
    return _radius(position, ellipsoid) < 1


def _signed(mask: np.ndarray) -> np.ndarray:
    """Return the distance from the surface voxels of a mask; negative in them and inside."""
    surface = mask & ~ndi.binary_erosion(mask, border_value=1)
    distance = ndi.distance_transform_edt(~surface)
    return np.where(mask, -1 - distance, distance) * COARSE_MM
