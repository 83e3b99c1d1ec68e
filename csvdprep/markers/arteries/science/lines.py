"""Middle lines finer than voxels, and the radius along them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

#: Step along a line, in edges of a voxel.
STEP = 0.5
#: Directions in a cross-section.
DIRECTIONS = 16
#: Step from the middle outwards, in edges of a voxel, and how far at most (mm).
OUTWARDS, FAR_MM = 0.25, 4.5
#: Smoothing of a line, in steps: in each pass, and at the end.
SMOOTH, LAST_SMOOTH = 0.8, 1.2
#: Passes in which a line is drawn to the middle of its cross-sections.
PASSES = 3


@dataclass
class Line:
    """A middle line.

    Attributes
    ----------
    points : ndarray, shape (n, 3)
        Voxel coordinates.
    radius_mm : ndarray, shape (n,)
        Radius; NaN where it cannot be told.
    contrast : ndarray, shape (n,)
        Intensity in the middle, in units of tissue.
    """

    points: np.ndarray
    radius_mm: np.ndarray
    contrast: np.ndarray


def refine(
    image: np.ndarray,
    voxels: np.ndarray,
    edge_mm: float,
    wide_mm: float,
    *,
    free: Sequence[int] = (),
) -> Line:
    """Draw a line of voxels to the middle of the artery and measure the radius along it.

    Parameters
    ----------
    image : ndarray of float32, shape (nx, ny, nz)
        In units of tissue, on a grid of about cubic voxels.
    voxels : ndarray, shape (n, 3)
        Voxel coordinates, in order.
    edge_mm : float
        Edge of a voxel, mm.
    wide_mm : float
        Rough radius, mm, by which the reach of the search is set.
    free : sequence of {0, -1}
        Ends at no fork: thinning takes about a radius off them, which is put back as far as the
        artery goes on.

    Returns
    -------
    Line

    Notes
    -----
    In each cross-section the line moves to the centre of what is brighter than half way between
    middle and surroundings. The radius is where the mean profile over all directions falls to
    half way.
    """
    line = resampled(_smoothed(resampled(voxels, STEP), 2 * SMOOTH), STEP)
    reach = min(wide_mm + 2 * edge_mm, FAR_MM) / edge_mm
    # Thinning may end in a corner of a blunt end: the last radius is drawn anew.
    blunt = min(int(wide_mm / edge_mm / STEP), len(line) // 4)
    line = line[blunt if 0 in free else 0 : len(line) - (blunt if -1 in free else 0)]
    for _ in range(PASSES):
        if len(line) < 5:
            break
        line = _centred(image, line, reach)
        line = resampled(_smoothed(line, SMOOTH), STEP)
    line = _smoothed(line, LAST_SMOOTH)
    for end in free:
        line = _extended(image, line, end, 2 * reach)
    line = resampled(line, STEP)
    far = min(2 * wide_mm + 3 * edge_mm, FAR_MM) / edge_mm
    radius, contrast = _radius(image, line, far)
    return Line(line, radius * edge_mm, contrast)


def resampled(points: np.ndarray, step: float) -> np.ndarray:
    """Return points at even distances along a line; both ends stay.

    Examples
    --------
    >>> resampled(np.array([[0.0, 0, 0], [1, 0, 0], [4, 0, 0]]), 1.0)[:, 0].tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    way = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    if not way[-1] > 0:
        return points[:1].astype(float)
    at = np.linspace(0, way[-1], max(round(way[-1] / step), 1) + 1)
    return np.stack([np.interp(at, way, points[:, axis]) for axis in range(3)], axis=1)


def _smoothed(line: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth a line whose ends stay: by odd reflection about them."""
    if len(line) < 3:
        return line
    pad = min(int(3 * sigma), len(line) - 1)
    before = 2 * line[0] - line[pad:0:-1]
    after = 2 * line[-1] - line[-2 : -pad - 2 : -1]
    longer = np.concatenate([before, line, after])
    return ndi.gaussian_filter1d(longer, sigma, axis=0)[pad : pad + len(line)]


def _extended(image: np.ndarray, line: np.ndarray, end: int, most: float) -> np.ndarray:
    """Go on at an end, straight, to where the intensity falls to half."""
    if len(line) < 8:
        return line
    away = line[0] - line[6] if end == 0 else line[-1] - line[-7]
    away /= max(np.linalg.norm(away), 1e-9)
    reach = np.arange(1, int(most / STEP) + 1) * STEP
    ahead = line[end] + reach[:, None] * away
    inside = ((ahead >= 0) & (ahead <= np.array(image.shape) - 1)).all(axis=1)
    near = line[2:9] if end == 0 else line[-9:-2]
    middle = float(np.median(_values(image, near[:, None, None])))
    around = float(np.quantile(_values(image, _sections(near, np.array([most + 1]))), 0.25))
    bright = inside & (_values(image, ahead[:, None, None])[:, 0, 0] > 0.5 * (middle + around))
    steps = int(np.argmin(bright)) if not bright.all() else len(bright)
    more = ahead[:steps]
    return np.concatenate([more[::-1], line] if end == 0 else [line, more])


def _sections(line: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Return sampling points across a line, (n, directions, distances, 3)."""
    tangent = np.gradient(line, axis=0)
    tangent = ndi.gaussian_filter1d(tangent, 1.0, axis=0, mode='nearest')
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    helper = np.eye(3)[np.argmin(np.abs(tangent), axis=1)]
    one = np.cross(tangent, helper)
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    two = np.cross(tangent, one)
    angle = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    way = np.cos(angle)[None, :, None] * one[:, None] + np.sin(angle)[None, :, None] * two[:, None]
    return line[:, None, None] + way[:, :, None] * distances[None, None, :, None]


def _values(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    flat = places.reshape(-1, 3).T
    return ndi.map_coordinates(image, flat, order=1, mode='nearest').reshape(places.shape[:-1])


def _centred(image: np.ndarray, line: np.ndarray, reach: float) -> np.ndarray:
    """Move each inner point to the centre of what is bright around it, in its cross-section."""
    distances = np.arange(0, reach + OUTWARDS, OUTWARDS)
    places = _sections(line, distances)
    values = _values(image, places)
    low = np.quantile(values, 0.1, axis=(1, 2))
    top = values[:, :, : max(2, int(1 / OUTWARDS))].max(axis=(1, 2))
    weight = np.maximum(values - (0.5 * (low + top))[:, None, None], 0)
    # Only what is bright without a gap from the middle: not the artery beside it.
    weight *= np.cumprod(weight > 0, axis=2)
    weight *= distances[None, None]
    total = weight.sum(axis=(1, 2))
    move = (weight[..., None] * (places - line[:, None, None])).sum(axis=(1, 2))
    move /= np.maximum(total, 1e-9)[:, None]
    length = np.linalg.norm(move, axis=1, keepdims=True)
    move *= np.minimum(1, 1.0 / np.maximum(length, 1e-9))
    move[total <= 0] = 0
    move[[0, -1]] = 0
    return line + move


def _radius(image: np.ndarray, line: np.ndarray, far: float) -> tuple[np.ndarray, np.ndarray]:
    """Return radius (voxels) and intensity in the middle, along a line."""
    distances = np.arange(0, far + OUTWARDS, OUTWARDS)
    if len(line) < 3:
        middle = _values(image, line[:, None, None])[:, 0, 0]
        return np.full(len(line), np.nan), middle
    values = _values(image, _sections(line, distances))
    # Neighbours along the line are averaged, which halves the noise.
    values = ndi.gaussian_filter1d(values, 2.0, axis=0, mode='nearest')
    top = values[:, :, : max(2, int(1 / OUTWARDS))].mean(axis=1).max(axis=1)
    radius = np.full(len(line), np.nan)
    profile = np.median(values, axis=1)
    low = np.minimum.accumulate(profile, axis=1)[:, -1]
    # Beyond the wall there may be another artery: the least value counts as surroundings.
    half = 0.5 * (top + low)
    below = profile < half[:, None]
    first = np.argmax(below, axis=1)
    found = below.any(axis=1) & (first > 0) & (top > low * 1.05)
    at = np.flatnonzero(found)
    after, before = profile[at, first[at]], profile[at, first[at] - 1]
    part = (before - half[at]) / np.maximum(before - after, 1e-9)
    radius[at] = (first[at] - 1 + part) * OUTWARDS
    return radius, top
