"""Signal from within a voxel: vessels, microbleeds and steep fields, point by point.

Around small things the field changes within a voxel. There each voxel is divided into small
cubes, each with the field and the tissue at its centre; their complex signals are averaged.
That gives blooming, and the loss and phase of signal of vessels thinner than a voxel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from csvdprep.phantom.geometry.features import Ellipsoid, Tube
from csvdprep.phantom.scanner.magnet import tube_field
from csvdprep.phantom.scanner.scan import Scan

#: Cubes along each edge of a voxel: at least, and at most.
CUBES = (5, 12)
#: What the cubes may hold besides the tissue around, in the order of the phasors.
HOLDS = ('vein', 'haemosiderin', 'calcium')
#: Half the edge of the box around a sphere in which voxels are divided, mm, at least.
BOX_MM = 4.5
#: Field of a sphere below which it is left out, ppm.
NEGLIGIBLE = 2e-4
#: Cubes that are worked on at a time.
_AT_ONCE = 400_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Sphere:
    """A microbleed or calcification in the scanner: position and radius in mm, χ in ppm."""

    centre: np.ndarray
    radius: float
    chi: float
    tissue: str

    def field(self, away: np.ndarray) -> np.ndarray:
        """Compute its field at points (..., 3) relative to its centre; B0 is along z. ppm."""
        square = (away**2).sum(axis=-1)
        safe = np.maximum(square, self.radius**2)
        outside = self.chi / 3 * self.radius**3 / safe**1.5 * (3 * away[..., 2] ** 2 / safe - 1)
        return np.where(square > self.radius**2, outside, 0)


def sphere_of(bleed: Ellipsoid, chi: float, pose: np.ndarray) -> Sphere:
    """Take an ellipsoid of the head for the sphere of the same volume in the scanner."""
    return Sphere(
        centre=bleed.moved(pose).centre,
        radius=float(np.prod(bleed.radii) ** (1 / 3)),
        chi=float(bleed.facts.get('chi', chi)),
        tissue=bleed.tissue,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Veins:
    """The middle lines of all veins in the scanner as one cloud of points.

    Attributes
    ----------
    tubes : sequence of Tube
        In mm of the scanner.
    chi : float
        Susceptibility relative to water, ppm.
    blur : float
        By how much the square of a radius grows on the grid that the field was computed on, mm².
    """

    tubes: Sequence[Tube]
    chi: float
    blur: float

    def voxels(self, scan: Scan) -> np.ndarray:
        """Return the voxels (n, 3) that a vein may touch, in the order of the grid."""
        shape, affine = scan.grid()
        reach = 0.5 * float(np.linalg.norm(scan.edges())) + 0.25 * np.sqrt(self.blur)
        inverse = np.linalg.inv(affine)
        found = [np.empty(0, int)]
        for tube in self.tubes:
            at = tube.candidates(shape, inverse, reach)
            at = at[tube.depth(at @ affine[:3, :3].T + affine[:3, 3], reach) > -reach]
            found.append(np.ravel_multi_index(tuple(at.T), shape))
        return np.unique(np.concatenate(found))

    def nearest(self, points: np.ndarray):
        """Return middle line, direction and radius of the nearest vein, and how far it goes on.

        Returns
        -------
        base, axis : ndarray, shape (n, 3)
        radius, back, ahead : ndarray, shape (n,)
            The vein goes on from ``base`` by ``ahead`` along and ``back`` against ``axis``, mm;
            infinite where its ends are far.
        """
        lines, axes, radii, back, ahead = [], [], [], [], []
        for tube in self.tubes:
            step = max(1, int(0.4 / np.linalg.norm(tube.points[1] - tube.points[0])))
            tangent = np.gradient(tube.points, axis=0)
            line = tube.points[::step]
            lines.append(line)
            axes.append((tangent / np.linalg.norm(tangent, axis=1, keepdims=True))[::step])
            radii.append(tube.radii[::step])
            far = np.full((2, len(line)), np.inf)
            far[0, :8] = np.linalg.norm(line[:8] - tube.points[0], axis=1)
            far[1, -8:] = np.linalg.norm(line[-8:] - tube.points[-1], axis=1)
            back.append(far[0])
            ahead.append(far[1])
        _, index = cKDTree(np.concatenate(lines)).query(points)
        return tuple(
            np.concatenate(part)[index].astype(np.float32)
            for part in (lines, axes, radii, back, ahead)
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Inside:
    """What divided voxels hold and how it dephases.

    Attributes
    ----------
    voxels : ndarray of int, shape (n,)
        Flat indices into the scan's grid.
    phasors : ndarray of complex64, shape (echoes, 4, n)
        Sum of ``exp(i phase)`` over the cubes of the tissue around and of :data:`HOLDS`, over
        the number of cubes.
    shares : ndarray of float32, shape (3, n)
        Share of the voxel that each of :data:`HOLDS` fills.
    field : ndarray of float32, shape (n,)
        Mean of the field over the voxel relative to that at its centre without veins, ppm.
    """

    voxels: np.ndarray
    phasors: np.ndarray
    shares: np.ndarray
    field: np.ndarray


def divide(
    scan: Scan, field: np.ndarray, veins: Veins, spheres: Sequence[Sphere], cycles: Sequence[float]
) -> Inside:
    """Divide the voxels at veins and around spheres.

    Parameters
    ----------
    scan : Scan
        With pose; the main field is along z.
    field : ndarray, shape of the scan's grid
        Field at the voxels' centres, without spheres, veins blurred, ppm.
    veins : Veins
        Veins.
    spheres : sequence of Sphere
        Microbleeds and calcifications.
    cycles : sequence of float
        Turns of the phase per ppm at each echo.

    Returns
    -------
    Inside
    """
    shape, affine = scan.grid()
    near = [_box(sphere, shape, affine) for sphere in spheres]
    vein_voxels = veins.voxels(scan)
    voxels = np.unique(np.concatenate([vein_voxels, *near, np.empty(0, int)]))
    parts = np.zeros((len(cycles), 4, len(voxels)), np.complex64)
    shares = np.zeros((3, len(voxels)), np.float32)
    mean = np.zeros(len(voxels), np.float32)
    place = _centres(voxels, shape, affine)
    slope = slopes(field, voxels)
    has_vein = np.isin(voxels, vein_voxels, assume_unique=True)
    fine = np.full((len(voxels), 3), CUBES[0])
    for sphere, at in zip(spheres, near, strict=True):
        own = np.searchsorted(voxels, at)
        close = np.linalg.norm(place[own] - sphere.centre, axis=1)
        own = own[close < 2.5 * sphere.radius + 0.5 * np.linalg.norm(scan.edges())]
        wanted = np.clip(np.ceil(scan.edges() / (0.25 * sphere.radius)), *CUBES).astype(int)
        fine[own] = np.maximum(fine[own], wanted)
    for counts in np.unique(fine, axis=0):
        chosen = np.flatnonzero((fine == counts).all(axis=1))
        offsets = _offsets(counts, scan, affine)
        for some in np.array_split(chosen, max(1, len(chosen) * len(offsets) // _AT_ONCE)):
            shift, holds = _look(place[some], offsets, has_vein[some], veins, spheres)
            mean[some] = shift.mean(axis=1)
            shift += slope[some] @ _steps(counts, scan, affine).T
            for number in range(3):
                shares[number, some] = (holds == number + 1).mean(axis=1)
            for echo, turns in enumerate(cycles):
                parts[echo][:, some] = _sums(shift, holds, turns)
    return Inside(voxels=voxels, phasors=parts, shares=shares, field=mean)


def _look(place, offsets, has_vein, veins: Veins, spheres: Sequence[Sphere]):
    """Give the cubes of voxels (n, m) their field relative to the centre's, and what they hold."""
    shift = np.zeros((len(place), len(offsets)), np.float32)
    holds = np.zeros(shift.shape, np.uint8)
    at = np.flatnonzero(has_vein)
    if len(at):
        shift[at], inside = _vein_part(place[at], offsets, veins)
        holds[at] = inside
    for sphere in spheres:
        within = max(BOX_MM, 3 * sphere.radius) + np.linalg.norm(offsets, axis=1).max()
        away = place - sphere.centre
        own = np.flatnonzero((np.abs(away) < within).all(axis=1))
        if not len(own):
            continue
        points = away[own, None] + offsets
        shift[own] += sphere.field(points) - sphere.field(away[own])[:, None]
        inside = (points**2).sum(axis=-1) < sphere.radius**2
        holds[own] = np.where(inside, 1 + HOLDS.index(sphere.tissue), holds[own])
    return shift, holds


def _vein_part(place, offsets, veins: Veins):
    """Give the cubes of voxels at a vein its field and whether they lie in it."""
    base, axis, radius, back, ahead = veins.nearest(place)
    away = place - base
    forward = (away * axis).sum(axis=1)[:, None] + axis @ offsets.T
    square = (away**2).sum(axis=1)[:, None] + 2 * away @ offsets.T + (offsets**2).sum(axis=1)
    square = np.maximum(square - forward**2, 1e-4)
    across = away[:, 2:] + offsets[:, 2] - forward * axis[:, 2:]
    radius = radius[:, None]
    blurred = np.sqrt(radius**2 + np.float32(veins.blur))
    shift = tube_field(square, across, axis[:, 2:], radius, np.float32(veins.chi), blurred)
    inside = (square < radius**2) & (forward <= ahead[:, None]) & (-forward <= back[:, None])
    return shift.astype(np.float32), inside.astype(np.uint8)


def _sums(shift: np.ndarray, holds: np.ndarray, turns: float) -> np.ndarray:
    """Average the phasors of the cubes of voxels (n, m), by what they hold: (4, n)."""
    angle = np.float32(2 * np.pi * turns) * shift
    parts = np.cos(angle), np.sin(angle)
    out = np.zeros((4, len(shift)), np.complex64)
    out[0] = parts[0].mean(axis=1) + 1j * parts[1].mean(axis=1)
    for number in range(1, 4):
        own = holds == number
        at = np.flatnonzero(own.any(axis=1))
        if len(at):
            real, imaginary = ((part[at] * own[at]).mean(axis=1) for part in parts)
            out[number, at] = real + 1j * imaginary
            out[0, at] -= out[number, at]
    return out


def add_spheres(field: np.ndarray, scan: Scan, spheres: Sequence[Sphere]) -> None:
    """Add the field of spheres at the centres of voxels, as far as it matters; in place."""
    shape, affine = scan.grid()
    for sphere in spheres:
        reach = sphere.radius * (2 / 3 * abs(sphere.chi) / NEGLIGIBLE) ** (1 / 3)
        low, high = _corners(sphere.centre, max(reach, BOX_MM), shape, affine)
        index = np.stack(np.meshgrid(*map(np.arange, low, high), indexing='ij'), axis=-1)
        part = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        away = index @ affine[:3, :3].T + (affine[:3, 3] - sphere.centre)
        field[part] += sphere.field(away.astype(np.float32)).astype(np.float32)


def _corners(centre, reach: float, shape, affine):
    """Return the corners of a box of voxels around a point, inside of the grid."""
    inverse = np.linalg.inv(affine)
    middle = inverse[:3, :3] @ centre + inverse[:3, 3]
    extent = reach * np.abs(inverse[:3, :3]).sum(axis=1)
    low = np.clip(np.floor(middle - extent), 0, shape).astype(int)
    return low, np.clip(np.ceil(middle + extent) + 1, low, shape).astype(int)


def _box(sphere: Sphere, shape, affine) -> np.ndarray:
    """Return the flat indices of the voxels in a box around a sphere."""
    low, high = _corners(sphere.centre, max(BOX_MM, 3 * sphere.radius), shape, affine)
    index = np.meshgrid(*map(np.arange, low, high), indexing='ij')
    flat = np.ravel_multi_index(tuple(part.ravel() for part in index), shape)
    away = np.abs(_centres(flat, shape, affine) - sphere.centre)
    return flat[(away < max(BOX_MM, 3 * sphere.radius)).all(axis=1)]


def _centres(flat: np.ndarray, shape, affine) -> np.ndarray:
    """Return the positions (n, 3) of voxels in the scanner, mm."""
    index = np.stack(np.unravel_index(flat, shape), axis=1)
    return (index @ affine[:3, :3].T + affine[:3, 3]).astype(np.float32)


def _steps(counts, scan: Scan, affine) -> np.ndarray:
    """Return the cubes' centres relative to the voxel's, (m, 3), in voxels."""
    window = scan.edges() / np.linalg.norm(affine[:3, :3], axis=0)
    lines = [((np.arange(n) + 0.5) / n - 0.5) * w for n, w in zip(counts, window, strict=True)]
    return np.stack(np.meshgrid(*lines, indexing='ij'), axis=-1).reshape(-1, 3).astype(np.float32)


def _offsets(counts, scan: Scan, affine) -> np.ndarray:
    """Return the cubes' centres relative to the voxel's, (m, 3), mm of the scanner."""
    return (_steps(counts, scan, affine) @ affine[:3, :3].T).astype(np.float32)


def slopes(field: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    """Return the change of a field per voxel along each axis of the array.

    Parameters
    ----------
    field : ndarray, shape (nx, ny, nz)
        A field.
    voxels : ndarray of int, shape (n,)
        Flat indices of the voxels at which it is wanted.

    Returns
    -------
    ndarray of float32, shape (n, 3)
    """
    index = np.unravel_index(voxels, field.shape)
    out = np.empty((len(voxels), 3), np.float32)
    for axis in range(3):
        before, after = list(index), list(index)
        before[axis] = np.maximum(index[axis] - 1, 0)
        after[axis] = np.minimum(index[axis] + 1, field.shape[axis] - 1)
        steps = np.maximum(after[axis] - before[axis], 1)
        out[:, axis] = (field[tuple(after)] - field[tuple(before)]) / steps
    return out
