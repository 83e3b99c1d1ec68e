"""Hyperintensities drawn to the words of Fazekas, around lateral ventricles made of horns.

Nothing here measures: thickness, place and size are given, and the grade is what the words say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from csvdprep.phantom.geometry.spheres import ball

__all__ = [
    'DEEP',
    'PERIVENTRICULAR',
    'Surroundings',
    'deep_lesions',
    'periventricular_lesions',
    'ventricle_pair',
]

#: Axis of the right lateral ventricle: positions (mm, RAS) and radius there.
_TIP, _FORAMEN, _BODY, _ATRIUM, _OCCIPITAL, _TEMPORAL = (
    ((10, 34, 2), 4.5),
    ((9, 12, 10), 6.0),
    ((14, -22, 16), 6.5),
    ((24, -42, 8), 6.5),
    ((20, -62, 2), 3.5),
    ((34, -10, -16), 2.5),
)
_PARTS = (
    ('frontal', _TIP, _FORAMEN),
    ('body', _FORAMEN, _BODY),
    ('body', _BODY, _ATRIUM),
    ('occipital', _ATRIUM, _OCCIPITAL),
    ('temporal', _ATRIUM, _TEMPORAL),
)

#: What each periventricular case shows, and its grade.
PERIVENTRICULAR = {
    'nothing': 0,
    'a speck at the wall': 0,
    'caps of 4 mm': 1,
    'caps of 6.5 mm': 1,
    'lining of 2.5 mm': 1,
    'lining and caps of 6.5 mm': 1,
    'lining, caps, a tongue of 25 mm': 1,
    'caps of 9 mm': 1,
    'lining, and 7 mm over 6 mm of one side': 1,
    'halo of 7 mm over 30 mm of the body': 2,
    'halo of 7 mm': 2,
    'halo of 7 mm off the wall by 2 mm': 2,
    'halo of 7 mm with stray threads': 2,
    'halo of 14 mm in places': 3,
    'lining, and 15 mm over 25 mm of the body': 3,
    'irregular, 16 mm': 3,
}
#: What each deep case shows, and its grade.
DEEP = {
    'nothing': 0,
    'a speck': 0,
    'three points of 5 mm': 1,
    'a ribbon of 22 x 2 x 3 mm': 1,
    'a ribbon of 40 x 2 x 3 mm': 1,
    'eight separate points of 6 mm': 1,
    'a focus of 14 mm': 2,
    'three foci of 9 mm that nearly touch': 2,
    'a patch of 34 x 16 mm': 3,
    'merged foci of 14 mm': 3,
}


@dataclass(frozen=True)
class Surroundings:
    """Where points lie with respect to the lateral ventricles.

    Attributes
    ----------
    distance : ndarray
        From the wall, mm; negative inside.
    tip : ndarray
        From the nearer end of a frontal or occipital horn, mm along the axes.
    white : ndarray of bool
        Outside of the ventricles, on the side of the hemispheric white matter: not towards the
        midline, the thalamus, or the temporal horn.
    side : ndarray
        -1 left, 1 right.
    """

    distance: np.ndarray
    tip: np.ndarray
    white: np.ndarray
    side: np.ndarray


def ventricle_pair(points: np.ndarray, *, temporal_mm: float = 0.0) -> Surroundings:
    """Place lateral ventricles with frontal, occipital and temporal horns at points.

    Parameters
    ----------
    points : ndarray, shape (..., 3)
        Positions, mm (RAS; the foramina of Monro are near y = 12).
    temporal_mm : float
        By how much the temporal horns are wider, mm in radius.

    Returns
    -------
    Surroundings
        Arrays of the shape of ``points`` without its last axis.

    Examples
    --------
    >>> found = ventricle_pair(np.array([[9.0, 12, 10], [9, 12, 26], [-9, 12, 26]]))
    >>> np.round(found.distance).tolist(), found.white.tolist(), found.side.tolist()
    ([-6.0, 10.0, 10.0], [False, True, True], [1.0, 1.0, -1.0])
    """
    side = np.where(points[..., 0] < 0, -1.0, 1.0)
    points = points * np.stack([side, np.ones_like(side), np.ones_like(side)], axis=-1)
    distance = np.full(side.shape, np.inf)
    tip, white = np.full(side.shape, np.inf), np.zeros(side.shape, bool)
    for name, (start, wide), (end, narrow) in _PARTS:
        start, along = np.asarray(start, float), np.subtract(end, start)
        share = np.clip((points - start) @ along / (along @ along), 0, 1)
        away = points - start - share[..., None] * along
        length = np.linalg.norm(away, axis=-1)
        more = temporal_mm * share if name == 'temporal' else 0.0
        here = length - (wide + share * (narrow - wide)) - more
        nearer = here < distance
        distance = np.where(nearer, here, distance)
        span = float(np.linalg.norm(along))
        towards = {'frontal': share * span, 'occipital': (1 - share) * span}.get(name, np.inf)
        tip = np.where(nearer, towards, tip)
        out = away / np.maximum(length, 1e-9)[..., None]
        lateral = (out[..., 0] > -0.1) | (out[..., 2] > 0.8)
        open_side = lateral & ((out[..., 2] > -0.3) | (name != 'body')) & (name != 'temporal')
        white = np.where(nearer, open_side, white)
    return Surroundings(distance, tip, white & (distance > 0) & (points[..., 0] > 2), side)


def periventricular_lesions(case: str, points: np.ndarray, near: Surroundings) -> np.ndarray:
    """Draw a case of `PERIVENTRICULAR`.

    Parameters
    ----------
    case : str
        One of its names.
    points : ndarray, shape (..., 3)
        Positions, mm.
    near : Surroundings
        Of these points.

    Returns
    -------
    ndarray of bool, shape (...)

    Examples
    --------
    >>> points = np.array([[9.0, 12, 20], [9, 12, 26]])
    >>> periventricular_lesions('halo of 7 mm', points, ventricle_pair(points)).tolist()
    [True, False]
    """
    d = near.distance

    def layer(thick, start=0.0):
        return near.white & (d <= thick) & (d > start)

    def caps(thick):
        return layer(thick * np.clip(1.4 - near.tip / 10, 0, 1))

    def thread(side, y, length):
        across = np.hypot(points[..., 1] - y, points[..., 2] - 15)
        return layer(length) & (across <= 1.3) & (near.side == side)

    def over(length):
        return np.abs(points[..., 1] + 10) <= length / 2

    def waves():
        return 0.5 + 0.5 * np.sin(points[..., 1] / 5) * np.cos(points[..., 2] / 6)

    drawn = {
        'nothing': lambda: np.zeros(d.shape, bool),
        'a speck at the wall': lambda: ball(points, (22, -12, 14), 2.5) & near.white,
        'caps of 4 mm': lambda: caps(4),
        'caps of 6.5 mm': lambda: caps(6.5),
        'caps of 9 mm': lambda: caps(9),
        'lining of 2.5 mm': lambda: layer(2.5),
        'lining and caps of 6.5 mm': lambda: layer(2.5) | caps(6.5),
        'lining, caps, a tongue of 25 mm': lambda: layer(2.5) | caps(6.5) | thread(1, -5, 25),
        'lining, and 7 mm over 6 mm of one side': lambda: (
            layer(2.5) | layer(7) & over(6) & (near.side > 0)
        ),
        'halo of 7 mm over 30 mm of the body': lambda: layer(7) & over(30),
        'halo of 7 mm': lambda: layer(7),
        'halo of 7 mm off the wall by 2 mm': lambda: layer(7, 2),
        'halo of 7 mm with stray threads': lambda: (
            layer(7) | thread(1, -5, 25) | thread(-1, 2, 30) | thread(1, -24, 20)
        ),
        'halo of 14 mm in places': lambda: layer(6 + 8 * (waves() > 0.5)),
        'lining, and 15 mm over 25 mm of the body': lambda: layer(2.5) | layer(15) & over(25),
        'irregular, 16 mm': lambda: layer(8 + 8 * waves()),
    }
    return drawn[case]()


def deep_lesions(
    case: str, points: np.ndarray, centre: Sequence[float] = (44, -15, 30)
) -> np.ndarray:
    """Draw a case of `DEEP`, at least 14 mm from the ventricles.

    Parameters
    ----------
    case : str
        One of its names.
    points : ndarray, shape (..., 3)
        Positions, mm.
    centre : sequence of float
        Where its middle lies, mm.

    Returns
    -------
    ndarray of bool, shape (...)

    Examples
    --------
    >>> points = np.array([[44.0, -15, 30], [44, -23, 30]])
    >>> deep_lesions('a focus of 14 mm', points).tolist()
    [True, False]
    """
    middle = np.asarray(centre, dtype=float)

    if case.startswith('a ribbon'):
        away = np.abs(points - middle)
        return (away <= np.array([2, 40 if '40' in case else 22, 3]) / 2).all(axis=-1)
    row = [middle + np.array([0.0, k, 0]) for k in (-20, -10.5, -8, 0, 8, 10.5)]
    grid = [middle + np.array([0.0, y, z]) for y in (-12, -1, 10, 21) for z in (-6, 8)]
    shapes = {
        'a speck': [(middle, 1.1)],
        'three points of 5 mm': [(row[0], 2.5), (row[3], 2.5), (row[5], 2.5)],
        'eight separate points of 6 mm': [(place, 3) for place in grid],
        'a focus of 14 mm': [(middle, 7)],
        'three foci of 9 mm that nearly touch': [(row[k], (4.5, 4.5, 9)) for k in (1, 3, 5)],
        'a patch of 34 x 16 mm': [(middle, (8, 17, 8))],
        'merged foci of 14 mm': [(row[k], 7) for k in (2, 3, 4)],
    }
    drawn = np.zeros(points.shape[:-1], bool)
    for place, radii in shapes.get(case, []):
        drawn |= ball(points, place, radii)
    return drawn
