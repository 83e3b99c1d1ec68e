"""Blood vessels as tubes: from courses in the template to a person's head.

A course is a smooth curve in coordinates of the template with the radius along it. The arteries
are in :mod:`csvdprep.phantom.head.arteries`, the veins in :mod:`csvdprep.phantom.head.veins`.
Helices, of which length and tortuosity follow from a formula, test what measures vessels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from csvdprep.phantom.geometry.features import Tube
from csvdprep.phantom.head.anatomy import Anatomy
from csvdprep.phantom.scanner.scene import Scene

#: Spacing of the points of a course, mm.
STEP = 0.8


@dataclass(frozen=True, kw_only=True, eq=False)
class Course:
    """A vessel in the template.

    Attributes
    ----------
    name : str
        Unique: 'right M1'.
    segment : str
        Class: 'M1', 'LSA', 'cortical vein'.
    side : {'left', 'right', 'midline'}
        Where it lies.
    parent : str
        Name of the vessel that blood comes from (arteries) or goes to (veins); '' for none.
    line : ndarray, shape (n, 3)
        Middle line in the direction away from the parent, mm of the template.
    radii : ndarray, shape (n,)
        Radius along it, mm.
    """

    name: str
    segment: str
    side: str
    parent: str
    line: np.ndarray
    radii: np.ndarray


def course(
    name: str, segment: str, side: str, parent: str, points, radii: Sequence[float]
) -> Course:
    """Draw a smooth curve through points; the radius changes evenly along it.

    Examples
    --------
    >>> bow = course('x', 'M1', 'left', '', [(0, 0, 0), (5, 2, 0), (10, 0, 0)], (2, 1))
    >>> [round(float(x)) for x in bow.line[-1]], bow.radii[[0, -1]].tolist()
    ([10, 0, 0], [2.0, 1.0])
    """
    line = smooth(np.asarray(points, float))
    way = along(line)
    radius = np.interp(way / way[-1], np.linspace(0, 1, len(radii)), radii)
    return Course(name=name, segment=segment, side=side, parent=parent, line=line, radii=radius)


def smooth(points: np.ndarray, step: float = STEP) -> np.ndarray:
    """Return a cubic spline through points, in steps of about ``step`` mm."""
    spline = CubicSpline(along(points), points)
    count = max(int(np.ceil(along(points)[-1] / step)), 3)
    return spline(np.linspace(0, spline.x[-1], count + 1))


def along(line: np.ndarray) -> np.ndarray:
    """Return the length of a line up to each of its points, mm."""
    return np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])


def tubes(anatomy: Anatomy, courses: Sequence[Course], tissue: str) -> list[Tube]:
    """Carry courses to a head.

    Parameters
    ----------
    anatomy : Anatomy
        The head.
    courses : sequence of Course
        Vessels in the template.
    tissue : {'artery', 'vein'}
        What fills them.

    Returns
    -------
    list of Tube
        ``kind`` is the segment; facts: ``name``, ``side``, ``parent``, ``radius`` (mean, mm)
        and ``mni`` (its middle in the template, shape (1, 3)). Radii change as lengths do.
    """
    carried = anatomy.to_head(np.concatenate([part.line for part in courses]))
    lines = np.split(carried, np.cumsum([len(part.line) for part in courses])[:-1])
    out = []
    for part, line in zip(courses, lines, strict=True):
        way = along(line)
        radii = part.radii * way[-1] / along(part.line)[-1]
        count = int(np.ceil(way[-1] / np.clip(0.5 * radii.min(), 0.1, 1.0))) + 1
        at = np.linspace(0, way[-1], count)
        facts = {
            'name': part.name,
            'side': part.side,
            'parent': part.parent,
            'radius': float(radii.mean()),
            'mni': part.line[len(part.line) // 2][None],
        }
        out.append(
            Tube(
                kind=part.segment,
                tissue=tissue,
                points=CubicSpline(way, line)(at),
                radii=np.interp(at, way, radii),
                facts=facts,
            )
        )
    return out


def artery_tubes(scene: Scene) -> list[Tube]:
    """Return the arteries among the features of a scene."""
    return [f for f in scene.features if f.tissue == 'artery' and isinstance(f, Tube)]


def helix(
    length_mm: float,
    turns: float,
    radius_mm: float,
    *,
    centre=(0, 0, 0),
    axis: int = 2,
    width_mm: float = 1.0,
) -> Tube:
    """Make the phantom P13: a tube of known length and tortuosity.

    With ``a`` the radius of the helix the length is ``sqrt((2 π a turns)² + h²)`` and, after
    whole turns, the distance factor ``length / h``.

    Parameters
    ----------
    length_mm : float
        Length along its middle line, mm.
    turns : float
        Number of turns.
    radius_mm : float
        Distance of the middle line from the axis of the helix, mm; 0 for a straight tube.
    centre : sequence of float
        Middle of its axis, mm.
    axis : int
        Axis along which it runs.
    width_mm : float
        Diameter of the tube, mm.

    Returns
    -------
    Tube
        Its facts hold ``length_mm`` and ``distance_factor`` as they follow from the formulas.

    Raises
    ------
    ValueError
        If the turns alone are longer than the length.

    Examples
    --------
    >>> tube = helix(30, 3, 1.0)
    >>> round(tube.length_mm, 2), bool(abs(tube.distance_factor - tube.facts['distance_factor'])
    ...                                < 1e-3)
    (30.0, True)
    """
    round_mm = 2 * np.pi * radius_mm * turns
    if round_mm >= length_mm:
        raise ValueError(f'{turns} turns of radius {radius_mm} mm are longer than {length_mm} mm.')
    height = float(np.sqrt(length_mm**2 - round_mm**2))
    angle = np.linspace(0, 2 * np.pi * turns, int(np.ceil(length_mm / (0.1 * width_mm))) + 200)
    rise = np.linspace(-height / 2, height / 2, len(angle))
    points = np.stack([radius_mm * np.cos(angle), radius_mm * np.sin(angle), rise], axis=1)
    points = np.roll(points, axis - 2, axis=1) + np.asarray(centre, float)
    chord = float(np.hypot(height, 2 * radius_mm * abs(np.sin(np.pi * turns))))
    return Tube(
        kind='helix',
        tissue='artery',
        points=points,
        radii=np.full(len(angle), width_mm / 2),
        facts={
            'name': 'helix',
            'side': 'midline',
            'parent': '',
            'length_mm': length_mm,
            'radius': width_mm / 2,
            'distance_factor': length_mm / chord,
        },
    )


def helices() -> list[Tube]:
    """Return the set of P13: diameters 0.3 to 1 mm, distance factors 1 to 1.6, 35 mm long.

    Examples
    --------
    >>> sorted({round(tube.facts['distance_factor'], 1) for tube in helices()})
    [1.0, 1.2, 1.6]
    """
    out = []
    for row, width in enumerate((0.3, 0.5, 0.7, 1.0)):
        for column, factor in enumerate((1.0, 1.2, 1.6)):
            height = 35.0 / factor
            radius = float(np.sqrt(35.0**2 - height**2)) / (2 * np.pi * 3)
            place = (12.0 * (column - 1), 12.0 * (row - 1.5), 0.0)
            out.append(helix(35.0, 3, radius, centre=place, width_mm=width))
    return out
