"""Arteries: carotids, circle of Willis, cerebral arteries and the lenticulostriate perforators.

Courses are given for the right side in mm of the template, after atlases of anatomy, and vary
from person to person; those of the left are their mirror with a variation of their own.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from csvdprep.phantom.geometry.features import Tube
from csvdprep.phantom.head.anatomy import Anatomy
from csvdprep.phantom.head.vessels import Course, along, course, smooth, tubes

#: Standard deviation of the variation of a course's points, mm.
VARIATION = 0.7
#: Arteries on the midline: segment, parent, points, radii.
MIDLINE = (
    (
        'basilar',
        '',
        (
            (0, -31, -54),
            (0.5, -20, -47),
            (-0.5, -12, -38),
            (0, -11, -28),
            (0, -13, -20),
            (0, -14, -14),
        ),
        (1.6, 1.4),
    ),
    ('ACom', 'right A1', ((2, 8, -13), (0, 8.6, -13), (-2, 8, -13)), (0.7, 0.7)),
)
#: Arteries of the right: name, segment, parent, points, radii. Parents come first.
PAIRED = (
    ('VA', 'VA', '', ((16, -52, -84), (15, -48, -72), (8, -40, -62), (0, -31, -54)), (1.5, 1.4)),
    (
        'ICA',
        'ICA',
        '',
        (
            (24, -20, -84),
            (22, -20, -62),
            (21, -20, -50),
            (20, -16, -41),
            (14, -9, -37),
            (11, -6, -32),
            (11, 0, -27),
            (10.5, 8, -24),
            (11.5, 10, -19.5),
            (12, 6, -16),
            (13, 3, -14),
        ),
        (2.4, 1.9),
    ),
    (
        'M1',
        'M1',
        'ICA',
        ((13, 3, -14), (19, 3.5, -14.5), (26, 2, -14), (33, 2, -13.5)),
        (1.4, 1.2),
    ),
    (
        'M2 superior',
        'M2',
        'M1',
        ((33, 2, -13.5), (38, 7, -8), (40, 9, 0), (39, 4, 8), (38, -6, 12)),
        (1.0, 0.8),
    ),
    (
        'M2 inferior',
        'M2',
        'M1',
        ((33, 2, -13.5), (39, -2, -9), (41, -12, -3), (40, -22, 4), (40, -32, 10)),
        (1.0, 0.8),
    ),
    (
        'orbitofrontal',
        'M3',
        'M2 superior',
        ((40, 9, 0), (44, 16, 6), (50, 20, 8), (53, 18, 16)),
        (0.7, 0.5),
    ),
    (
        'precentral',
        'M3',
        'M2 superior',
        ((39, 4, 8), (45, 6, 9), (53, 4, 6), (58, 2, 12), (60, -2, 22)),
        (0.7, 0.5),
    ),
    (
        'central',
        'M3',
        'M2 superior',
        ((38, -6, 12), (45, -10, 14), (54, -12, 11), (61, -14, 18), (60, -18, 30)),
        (0.7, 0.5),
    ),
    (
        'temporal',
        'M3',
        'M2 inferior',
        ((41, -12, -3), (47, -10, -4), (55, -6, -3), (62, -8, -10), (65, -14, -18)),
        (0.7, 0.5),
    ),
    (
        'temporo-occipital',
        'M3',
        'M2 inferior',
        ((40, -22, 4), (48, -26, 8), (58, -28, 8), (65, -30, 2), (66, -36, -6)),
        (0.7, 0.5),
    ),
    (
        'angular',
        'M3',
        'M2 inferior',
        ((40, -32, 10), (46, -38, 15), (55, -42, 20), (60, -46, 28)),
        (0.7, 0.5),
    ),
    ('A1', 'A1', 'ICA', ((13, 3, -14), (8, 5.5, -15), (2, 8, -13)), (1.1, 1.0)),
    ('A2', 'A2', 'A1', ((2, 8, -13), (2, 16, -13), (2, 27, -8), (2, 36, 2)), (1.0, 0.9)),
    (
        'pericallosal',
        'A3',
        'A2',
        (
            (2, 36, 2),
            (2, 36, 12),
            (2, 29, 23),
            (2, 16, 29),
            (2, 0, 31),
            (2, -18, 30),
            (2, -34, 24),
        ),
        (0.8, 0.5),
    ),
    (
        'callosomarginal',
        'A3',
        'A2',
        ((2, 36, 2), (3, 44, 14), (4, 40, 30), (4, 22, 42), (4, 2, 48)),
        (0.7, 0.4),
    ),
    (
        'PCom',
        'PCom',
        'ICA',
        ((12, 6, -16), (12, -2, -16), (11, -10, -14), (9, -18, -12)),
        (0.6, 0.6),
    ),
    (
        'AChA',
        'AChA',
        'ICA',
        ((12, 6, -16), (14, -4, -14), (17, -15, -11), (20, -24, -8)),
        (0.5, 0.3),
    ),
    ('P1', 'P1', 'basilar', ((0, -14, -14), (5, -14, -13), (9, -18, -12)), (1.1, 1.1)),
    (
        'P2',
        'P2',
        'P1',
        ((9, -18, -12), (14, -24, -11), (17, -31, -8), (15, -39, -4), (13, -46, -1)),
        (1.0, 0.8),
    ),
    ('calcarine', 'P3', 'P2', ((13, -46, -1), (12, -56, 3), (9, -68, 6), (9, -80, 5)), (0.8, 0.5)),
    (
        'posterior temporal',
        'P3',
        'P2',
        ((17, -31, -8), (26, -40, -12), (34, -52, -14)),
        (0.6, 0.4),
    ),
    (
        'SCA',
        'SCA',
        'basilar',
        ((0, -13, -20), (8, -16, -19), (15, -26, -18), (20, -38, -16), (16, -50, -14)),
        (0.6, 0.4),
    ),
)


def arteries(
    anatomy: Anatomy,
    seed: int,
    *,
    lsa: tuple[int, int] | None = None,
    tortuosity: float = 1.25,
    top_mm: float = 15.0,
) -> list[Tube]:
    """Make the arteries of a head.

    Parameters
    ----------
    anatomy : Anatomy
        The head.
    seed : int
        Decides how they differ from the common course.
    lsa : tuple of int, optional
        Number of lenticulostriate arteries that leave the M1 of the left and right; 3 to 6
        each by default.
    tortuosity : float
        Mean distance factor of the lenticulostriate arteries, 1.08 to 1.6.
    top_mm : float
        Mean height in the template at which they end, mm.

    Returns
    -------
    list of Tube
        Tissue 'artery'. Parents come before their branches. Facts as in
        :func:`csvdprep.phantom.head.vessels.tubes`; 'LSA' that leave an M1 are stems, others leave
        a stem.

    Examples
    --------
    >>> from csvdprep.phantom.head.anatomy import make_anatomy
    >>> found = arteries(make_anatomy(1, spacing=4), 1, lsa=(3, 4))
    >>> sum(tube.kind == 'LSA' and 'M1' in tube.facts['parent'] for tube in found)
    7
    """
    rng = np.random.default_rng([seed, 61])
    out = [
        course(name, name, 'midline', parent, points, radii)
        for name, parent, points, radii in MIDLINE
    ]
    counts = lsa if lsa is not None else rng.integers(3, 7, 2)
    for side, sign, count in (('left', -1, counts[0]), ('right', 1, counts[1])):
        moved = _variation(rng)
        for name, segment, parent, points, radii in PAIRED:
            placed = np.array([moved(point) for point in points]) * (sign, 1, 1)
            above = parent if parent in ('', 'basilar') else f'{side} {parent}'
            out.append(course(f'{side} {name}', segment, side, above, placed, radii))
        m1 = next(part for part in out if part.name == f'{side} M1')
        for number in range(int(count)):
            share = (number + rng.uniform(0.2, 0.8)) / count
            out += _perforator(m1, side, sign, number + 1, share, tortuosity, top_mm, rng)
    return tubes(anatomy, out, 'artery')


def _variation(rng: np.random.Generator):
    """Move points at random, those that vessels share always the same way; the midline stays."""
    known: dict[tuple, np.ndarray] = {}

    def moved(point: tuple) -> np.ndarray:
        if point not in known:
            free = abs(point[0]) > 2.5
            known[point] = np.array(point, float) + free * VARIATION * rng.standard_normal(3)
        return known[point]

    return moved


def _perforator(m1: Course, side, sign, number, share, tortuosity, top, rng) -> list[Course]:
    """Draw a lenticulostriate artery with up to two branches."""
    # From the part of M1 between 1 and 12 mm from its beginning.
    origin = int(np.searchsorted(along(m1.line), 1 + 11 * share))
    start = m1.line[origin]
    lateral = abs(start[0])
    end = np.array(
        [
            sign * np.clip(lateral + 2 + 2 * rng.standard_normal(), 13, 28),
            start[1] + 3 * rng.standard_normal() - 2,
            top + 2.5 * rng.standard_normal(),
        ]
    )
    # It turns back towards the midline before it enters the brain.
    entry = start + np.array([-sign * rng.uniform(0.5, 2), rng.uniform(-1, 1), 4.0])
    middle = (entry + end) / 2 + (sign * rng.uniform(0.5, 2.0), rng.uniform(-1.5, 1.5), 0)
    base = smooth(np.array([start, entry, middle, end]), 0.4)
    thick, thin = rng.uniform(0.30, 0.42), rng.uniform(0.17, 0.21)
    wanted = tortuosity * np.exp(0.03 * rng.standard_normal())
    name = f'{side} LSA {number}'
    stem = _winding(base, wanted, rng)
    out = [course(name, 'LSA', side, f'{side} M1', stem, (thick, thin))]
    for letter in 'ab'[: int(rng.choice(3, p=(0.3, 0.45, 0.25)))]:
        fork = int(len(stem) * rng.uniform(0.35, 0.6))
        tip = end + rng.normal(0, (2.0, 4.0, 1.5))
        tip[0] = sign * max(abs(tip[0]), 12)
        halfway = (stem[fork] + tip) / 2 + rng.normal(0, 0.6, 3)
        way = smooth(np.array([stem[fork], halfway, tip]), 0.4)
        width = thick + (thin - thick) * fork / len(stem)
        out.append(
            course(
                f'{name}{letter}',
                'LSA',
                side,
                name,
                _winding(way, min(wanted, 1.3), rng),
                (0.9 * width, 0.17),
            )
        )
    return out


def _winding(line: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    """Let a line wind about itself until length over distance of the ends is as wanted."""
    share = along(line) / along(line)[-1]
    chord = np.linalg.norm(line[-1] - line[0])
    forward = (line[-1] - line[0]) / chord
    across = np.cross(forward, (0.3, 1, 0.1))
    across /= np.linalg.norm(across)
    cycles = chord / rng.uniform(9, 13)
    turn = 2 * np.pi * (cycles * share[:, None] + rng.random(2))
    waves = np.sin(turn[:, :1]) * across
    waves = waves + 0.6 * np.sin(0.7 * turn[:, 1:]) * np.cross(forward, across)
    # Both ends stay where they are.
    waves *= np.minimum(1, 6 * share * (1 - share))[:, None]

    def excess(size: float) -> float:
        return along(line + size * waves)[-1] / chord - factor

    if excess(0) >= 0:
        return line
    return line + brentq(excess, 0, 8, xtol=1e-3) * waves
