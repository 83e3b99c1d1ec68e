"""Atrophy by a known warp: the lateral ventricles grow by a wanted share into the brain."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage as ndi

from csvdprep.phantom.geometry.features import Ellipsoid, Feature
from csvdprep.phantom.head.anatomy import Anatomy
from csvdprep.phantom.into.grid import RealScan
from csvdprep.phantom.into.head import SPACING_MM, Head
from csvdprep.phantom.into.lesions import Drawn
from csvdprep.phantom.into.tissue import Tissue

#: How far the push of the walls reaches into the brain, mm, and from where on it dies away below
#: the surface of the brain.
REACH_MM, SURFACE_MM = 15.0, 8.0
#: The field is kept on a grid of this step, mm.
STEP_MM = 3.0
#: Rounds in which the growth is met, how closely, and the largest push of the walls, mm.
ROUNDS, CLOSE, MOST_MM = 8, 0.002, 15.0
#: Squarings of the velocity field.
SQUARINGS = 5
#: Shifts below are none, mm.
NONE_MM = 0.02


@dataclass(frozen=True, eq=False)
class Warp:
    """A deformation of a head.

    Attributes
    ----------
    back, forth : ndarray of float32, shape (3, nx, ny, nz)
        Displacement, mm, from each position of the new head to where its tissue came from, and
        from each of the old head to where its tissue goes, on the grid of the head.
    affine : ndarray, shape (4, 4)
        Of that grid.
    before_ml, after_ml : float
        Volume of the lateral ventricles.
    """

    back: np.ndarray
    forth: np.ndarray
    affine: np.ndarray
    before_ml: float
    after_ml: float

    def came_from(self, points: np.ndarray) -> np.ndarray:
        """Say where the tissue at positions (n, 3) of the new head came from, mm."""
        return points + self._read(self.back, points)

    def goes_to(self, points: np.ndarray) -> np.ndarray:
        """Say where the tissue at positions (n, 3) of the old head goes, mm."""
        return points + self._read(self.forth, points)

    def _read(self, field: np.ndarray, points: np.ndarray) -> np.ndarray:
        at = ((points - self.affine[:3, 3]) / np.diag(self.affine)[:3]).T
        return np.stack(
            [ndi.map_coordinates(part, at, order=1, mode='nearest') for part in field], axis=1
        )


def enlarge(head: Head, percent: float) -> Warp:
    """Find the warp with which the lateral ventricles grow by a share.

    Parameters
    ----------
    head : Head
        The head before.
    percent : float
        Growth of their volume.

    Returns
    -------
    Warp

    Raises
    ------
    ValueError
        If they cannot grow so far.
    """
    anatomy = head.anatomy
    velocity, some = _velocity(anatomy)
    ventricles = anatomy.regions['ventricles']
    before = float(ventricles.sum(dtype=float)) * anatomy.voxel_ml
    wanted = 1 + percent / 100
    # Volume rises nearly in proportion to the push: follow the line through two points.
    last, amount = (0.0, 1.0), 0.5
    for _ in range(ROUNDS):
        back = _exp(-amount * velocity)
        now = float(_pulled_some(ventricles, back, some).sum(dtype=float)) * anatomy.voxel_ml
        now /= before
        if abs(now - wanted) < CLOSE:
            break
        slope = (now - last[1]) / (amount - last[0])
        if slope <= 0 or amount > MOST_MM:
            raise ValueError(f'The ventricles cannot grow by {percent:g} %.')
        last, amount = (amount, now), max(0.0, amount + (wanted - now) / slope)
    back, forth = (
        _fine(_exp(sign * amount * velocity), some, ventricles.shape) for sign in (-1, 1)
    )
    after = float(_pulled(ventricles, back).sum(dtype=float)) * anatomy.voxel_ml
    return Warp(back, forth, anatomy.affine, before, after)


def warped_head(head: Head, warp: Warp) -> Head:
    """Return the head after the warp."""
    old = head.anatomy
    index = np.stack(
        np.meshgrid(*[np.linspace(0, n - 1, m) for n, m in _pairs(old)], indexing='ij'), axis=-1
    ).reshape(-1, 3)
    points = index @ old.affine[:3, :3].T + old.affine[:3, 3]
    flow = old.to_template(warp.came_from(points)).T.reshape(old.flow.shape).astype(np.float32)
    anatomy = replace(
        old,
        fractions={name: _pulled(part, warp.back) for name, part in old.fractions.items()},
        regions={name: _pulled(part, warp.back) for name, part in old.regions.items()},
        structures=_pulled(old.structures, warp.back, nearest=True),
        flow=flow,
    )
    return Head(anatomy, _pulled(head.own, warp.back))


def warped_lesions(drawn: Drawn, warp: Warp) -> Drawn:
    """Return lesions where the warp takes them; shapes move and keep their size."""
    return replace(
        drawn,
        height=_pulled(drawn.height, warp.back),
        strength=_pulled(drawn.strength, warp.back),
        cavity=_pulled(drawn.cavity, warp.back),
        features=tuple(_moved(feature, warp) for feature in drawn.features),
        spots=tuple(_moved(spot, warp) for spot in drawn.spots),
    )


def warped_scan(
    scan: RealScan, image: np.ndarray, tissue: Tissue, warp: Warp, rng: np.random.Generator
) -> np.ndarray:
    """Return a scan of the head after the warp; noise that interpolation takes is put back.

    Parameters
    ----------
    scan : RealScan
        Its grid.
    image : ndarray
        The scan before.
    tissue : Tissue
        Its noise.
    warp : Warp
        The deformation.
    rng : numpy.random.Generator
        Source of the noise.

    Returns
    -------
    ndarray of float32
        Unchanged where nothing moved.
    """
    head_points = _points_of(scan)
    shift = warp.came_from(head_points) - head_points
    moving = np.linalg.norm(shift, axis=1) > NONE_MM
    there = head_points[moving] + shift[moving]
    matrix = np.linalg.inv(scan.affine) @ scan.pose
    at = matrix[:3, :3] @ there.T + matrix[:3, 3:]
    out = np.asarray(image, np.float32).ravel().copy()
    out[moving] = ndi.map_coordinates(image, at, order=3, mode='nearest')
    drawn = rng.standard_normal((2, *scan.shape), dtype=np.float32)
    drawn = np.stack([scan.soften(part) for part in drawn])
    drawn /= drawn.std()
    mixed = np.zeros(scan.shape, np.float32).ravel()
    mixed[moving] = ndi.map_coordinates(drawn[0], at, order=3, mode='nearest')
    kept = ndi.uniform_filter(mixed.reshape(scan.shape) ** 2, 7)
    weight = ndi.uniform_filter(moving.reshape(scan.shape).astype(np.float32), 7)
    lost = np.sqrt(np.clip(1 - kept / np.maximum(weight, 1e-3), 0, 1))
    noise = lost * tissue.noise * tissue.white * drawn[1] * tissue.brain
    out[moving] += noise.ravel()[moving]
    return np.maximum(out, 0).reshape(scan.shape)


def _velocity(anatomy: Anatomy) -> tuple[np.ndarray, tuple[slice, ...]]:
    """Return a velocity of 1 mm at the walls, outwards, on every second voxel."""
    ventricle = anatomy.regions['ventricles'] > 0.5
    away = ndi.distance_transform_edt(~ventricle, sampling=SPACING_MM)
    depth = ndi.distance_transform_edt(ventricle, sampling=SPACING_MM)
    signed = ndi.gaussian_filter((away - depth).astype(np.float32), 1.5)
    below = ndi.distance_transform_edt(anatomy.intracranial > 0.5, sampling=SPACING_MM)
    strength = np.exp(-((np.maximum(signed, 0) / REACH_MM) ** 2))
    strength *= np.clip(below / SURFACE_MM, 0, 1)
    step = round(STEP_MM / SPACING_MM)
    some = (slice(None, None, step),) * 3
    # Where two walls push against each other, as in the septum, the slope of the distance is 0.
    field = np.stack([np.gradient(signed, SPACING_MM, axis=a)[some] for a in range(3)])
    field *= strength[some]
    return np.stack([ndi.gaussian_filter(part, 1.0) for part in field]), some


def _exp(velocity: np.ndarray) -> np.ndarray:
    """Return the displacement of the flow along a velocity, by scaling and squaring, mm."""
    field = velocity / 2**SQUARINGS
    grid = np.indices(field.shape[1:], dtype=np.float32)
    for _ in range(SQUARINGS):
        at = grid + field / STEP_MM
        field = field + np.stack(
            [ndi.map_coordinates(part, at, order=1, mode='nearest') for part in field]
        )
    return field


def _pulled_some(volume: np.ndarray, back: np.ndarray, some) -> np.ndarray:
    """Pull the part of a volume that holds it, and what the warp may add around."""
    found = ndi.find_objects((volume > 0).astype(np.uint8))[0]
    step = some[0].step
    box = tuple(
        slice(max(0, e.start - 16) // step * step, min(n, e.stop + 16))
        for e, n in zip(found, volume.shape, strict=True)
    )
    grid = np.stack(
        np.meshgrid(*[np.arange(e.start, e.stop, dtype=np.float32) for e in box], indexing='ij')
    )
    shift = np.stack([ndi.map_coordinates(p, grid / step, order=1, mode='nearest') for p in back])
    return ndi.map_coordinates(volume, grid + shift / SPACING_MM, order=1, mode='nearest')


def _fine(field: np.ndarray, some, shape) -> np.ndarray:
    step = some[0].step
    at = np.indices(shape, dtype=np.float32) / step
    return np.stack([ndi.map_coordinates(part, at, order=1, mode='nearest') for part in field])


def _pulled(volume: np.ndarray, back: np.ndarray, *, nearest: bool = False) -> np.ndarray:
    at = np.indices(volume.shape, dtype=np.float32) + back / SPACING_MM
    kind = volume.dtype if nearest else np.float32
    return ndi.map_coordinates(volume, at, order=0 if nearest else 1, mode='nearest', output=kind)


def _moved(feature: Feature, warp: Warp) -> Feature:
    if isinstance(feature, Ellipsoid):
        return replace(feature, centre=warp.goes_to(feature.centre[None])[0])
    return replace(feature, points=warp.goes_to(feature.points))


def _pairs(anatomy: Anatomy):
    return zip(anatomy.fractions['gm'].shape, anatomy.flow.shape[1:], strict=True)


def _points_of(scan: RealScan) -> np.ndarray:
    """Return where the voxels of a scan lie in the head, mm, shape (n, 3)."""
    matrix = np.linalg.inv(scan.pose) @ scan.affine
    index = np.indices(scan.shape).reshape(3, -1)
    return (matrix[:3, :3] @ index + matrix[:3, 3:]).T
