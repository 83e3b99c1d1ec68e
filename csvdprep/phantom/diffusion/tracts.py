"""Courses of the larger fibre tracts of the brain in template space, as tables of points.

They were set by hand on the template's white matter after the anatomy that every atlas shows; they
are for a phantom, not for naming tracts in people. MNI152NLin2009aSym, mm, RAS+.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicHermiteSpline

#: Distance between the points of a fibre, mm.
STEP_MM = 1.0


@dataclass(frozen=True, kw_only=True)
class Tract:
    """A bundle of fibres that spread and draw together along their way.

    Attributes
    ----------
    name : str
        What it is called.
    stations : tuple of ((x, y, z), (wx, wy, wz))
        Points on its middle line in the right hemisphere and its half widths there, mm. If the
        first point lies at x = 0, it goes on into the other hemisphere.
    shares : tuple of float
        How much of the tissue its fibres make up relative to other tracts: at each station, or
        one number for all.
    """

    name: str
    stations: tuple
    shares: tuple[float, ...] = (1.0,)

    def fibres(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Lay fibres through the right half of the bundle.

        Parameters
        ----------
        count : int
            Number of fibres.

        Returns
        -------
        points, directions : ndarray, shape (count, steps, 3)
            Positions, mm, and unit vectors along the fibre.
        shares : ndarray, shape (steps,)
            Its share at each step.

        Examples
        --------
        >>> points, directions, _ = TRACTS[0].fibres(5)
        >>> points.shape == directions.shape, bool((abs(points[:, 0, 0]) < 1e-9).all())
        (True, True)
        """
        middle = np.array([centre for centre, _ in self.stations], float)
        width = np.array([half for _, half in self.stations], float)
        at = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(middle, axis=0), axis=1))])
        # Every fibre keeps its place within the cross section: a ball scaled by widths, its
        # border blurred.
        rng = np.random.default_rng(7)
        place = rng.uniform(-1, 1, (8 * count, 3))
        place = 0.85 * place[(place**2).sum(axis=1) < 1][:count] + rng.normal(0, 0.2, (count, 3))
        knots = middle[None] + place[:, None] * width[None]
        slope = np.gradient(knots, at, axis=1)
        if self.commissural:
            slope[:, 0, 1:] = 0
        curve = CubicHermiteSpline(at, knots, slope, axis=1)
        along = np.linspace(0, at[-1], int(at[-1] / STEP_MM) + 2)
        direction = curve(along, 1)
        direction /= np.linalg.norm(direction, axis=2, keepdims=True)
        shares = np.broadcast_to(self.shares, len(at))
        return curve(along), direction, np.interp(along, at, shares)

    @property
    def commissural(self) -> bool:
        """Whether it crosses the midline."""
        return self.stations[0][0][0] == 0


TRACTS = (
    Tract(
        name='genu and forceps minor',
        shares=(4, 3.5, 1.2, 0.6, 0.4),
        stations=(
            ((0, 29, 6), (0, 4, 8)),
            ((9, 32, 8), (1, 3, 8)),
            ((18, 41, 9), (5, 5, 9)),
            ((23, 54, 9), (9, 8, 13)),
            ((25, 66, 9), (14, 6, 17)),
        ),
    ),
    Tract(
        name='rostral body',
        shares=(4, 3.2, 0.5, 0.3, 0.25),
        stations=(
            ((0, 14, 22), (0, 11, 2.5)),
            ((12, 17, 25), (1, 11, 2.5)),
            ((22, 20, 33), (3, 12, 4)),
            ((30, 23, 44), (9, 14, 9)),
            ((36, 25, 54), (16, 16, 12)),
        ),
    ),
    Tract(
        name='body',
        shares=(4, 3.2, 0.5, 0.3, 0.25),
        stations=(
            ((0, -8, 25.5), (0, 13, 2.5)),
            ((11, -8, 27), (1, 13, 2.5)),
            ((21, -9, 35), (3, 14, 4)),
            ((34, -10, 44), (9, 18, 9)),
            ((48, -11, 54), (18, 24, 16)),
        ),
    ),
    Tract(
        name='isthmus',
        shares=(4, 3.2, 0.5, 0.3, 0.25),
        stations=(
            ((0, -27, 21), (0, 8, 3.5)),
            ((12, -30, 24), (1, 8, 3)),
            ((21, -34, 33), (3, 9, 4)),
            ((29, -40, 46), (9, 12, 8)),
            ((36, -46, 54), (16, 16, 12)),
        ),
    ),
    Tract(
        name='splenium and forceps major',
        shares=(4, 3.5, 1.6, 0.8, 0.5, 0.4),
        stations=(
            ((0, -38, 12), (0, 4.5, 6.5)),
            ((10, -41, 13), (1, 3.5, 6)),
            ((19, -52, 14), (3, 4, 7)),
            ((23, -66, 14), (4, 6, 9)),
            ((20, -84, 12), (9, 8, 14)),
            ((16, -98, 10), (12, 6, 16)),
        ),
    ),
    Tract(
        name='tapetum',
        shares=(1, 1, 0.6, 0.4, 0.3),
        stations=(
            ((0, -36, 17), (0, 4, 4)),
            ((14, -38, 20), (1, 4, 3)),
            ((27, -40, 15), (2, 5, 4)),
            ((33, -42, 0), (2, 8, 5)),
            ((36, -40, -14), (6, 12, 5)),
        ),
    ),
    Tract(
        name='anterior commissure',
        shares=(0.5,),
        stations=(
            ((0, 3, -5), (0, 1.5, 1.5)),
            ((14, 5, -7), (1, 1.5, 1.5)),
            ((28, -1, -11), (2, 3, 2)),
            ((38, -10, -20), (4, 6, 5)),
        ),
    ),
    Tract(
        name='corticospinal tract',
        shares=(1.5, 1.5, 1.2, 2.5, 2, 0.6, 0.25, 0.3, 0.35, 0.3),
        stations=(
            ((3, -40, -64), (2.5, 3, 3)),
            ((4, -30, -48), (3, 3, 3)),
            ((6, -23, -32), (4, 4, 3)),
            ((14, -18, -13), (4, 5, 3)),
            ((22, -17, 4), (3, 6, 3)),
            ((25.5, -17, 18), (3, 7, 2)),
            ((26, -17, 27), (3, 8, 2)),
            ((26.5, -18, 37), (5, 10, 3)),
            ((28, -20, 52), (12, 13, 6)),
            ((32, -22, 68), (22, 16, 8)),
        ),
    ),
    Tract(
        name='corona radiata',
        shares=(0.8, 1.2, 0.5, 0.28, 0.3, 0.4, 0.3),
        stations=(
            ((18, -12, -2), (4, 8, 3)),
            ((23, -14, 8), (3, 12, 3)),
            ((25.5, -16, 18), (3.5, 18, 2)),
            ((26, -16, 27), (4, 23, 2)),
            ((26.5, -16, 37), (6, 27, 3)),
            ((28, -16, 52), (17, 31, 6)),
            ((32, -16, 68), (30, 38, 8)),
        ),
    ),
    Tract(
        name='anterior corona radiata',
        shares=(0.8, 0.7, 0.5, 0.4, 0.35),
        stations=(
            ((16, -2, 2), (3, 5, 6)),
            ((21, 10, 8), (3, 4, 7)),
            ((24, 22, 17), (4, 5, 9)),
            ((28, 34, 28), (9, 9, 14)),
            ((32, 46, 38), (16, 12, 18)),
        ),
    ),
    Tract(
        name='anterior limb',
        shares=(0.8, 1.5, 1.5, 0.8, 0.4, 0.3),
        stations=(
            ((9, -12, 6), (4, 4, 4)),
            ((15, -2, 5), (3, 3, 5)),
            ((19, 12, 6), (2.5, 4, 7)),
            ((22, 28, 8), (4, 5, 9)),
            ((24, 46, 10), (9, 8, 14)),
            ((26, 62, 10), (14, 6, 18)),
        ),
    ),
    Tract(
        name='superior thalamic radiation',
        shares=(0.5, 0.4, 0.3, 0.3, 0.2),
        stations=(
            ((12, -18, 6), (4, 6, 3)),
            ((20, -20, 14), (3, 8, 2)),
            ((25, -22, 24), (3, 11, 2)),
            ((27, -24, 36), (6, 16, 3)),
            ((32, -26, 58), (22, 24, 6)),
        ),
    ),
    Tract(
        name='posterior thalamic radiation',
        shares=(0.8, 1.2, 1.1, 0.7, 0.4),
        stations=(
            ((16, -28, 6), (4, 4, 4)),
            ((27, -36, 10), (3, 3, 6)),
            ((31, -50, 12), (3, 4, 9)),
            ((29, -66, 14), (5, 5, 12)),
            ((24, -84, 14), (10, 8, 16)),
        ),
    ),
    Tract(
        name='optic radiation',
        shares=(0.8,),
        stations=(
            ((22, -25, -4), (2, 2, 2)),
            ((33, -27, -4), (3, 4, 4)),
            ((37, -40, 0), (2.5, 4, 6)),
            ((33, -58, 4), (3, 5, 7)),
            ((24, -76, 6), (5, 5, 8)),
            ((12, -92, 4), (6, 5, 9)),
        ),
    ),
    Tract(
        name='superior longitudinal fascicle',
        shares=(0.3, 0.5, 0.6, 0.55, 0.6, 0.6, 0.35),
        stations=(
            ((34, 42, 24), (9, 8, 10)),
            ((36, 22, 27), (5, 6, 7)),
            ((38, 2, 27), (4, 4, 6)),
            ((38, -16, 27), (3.5, 4, 6)),
            ((38, -34, 27), (4, 4, 6)),
            ((39, -50, 27), (6, 6, 9)),
            ((40, -66, 26), (11, 8, 14)),
        ),
    ),
    Tract(
        name='superior longitudinal fascicle, upper part',
        shares=(0.55,),
        stations=(
            ((30, 34, 34), (9, 8, 9)),
            ((31, 14, 38), (6, 6, 6)),
            ((31, -8, 40), (5, 5, 5)),
            ((31, -30, 40), (5, 5, 5)),
            ((32, -48, 40), (7, 6, 7)),
            ((34, -64, 38), (11, 8, 10)),
        ),
    ),
    Tract(
        name='arcuate fascicle',
        shares=(0.3,),
        stations=(
            ((40, 0, 25), (4, 4, 4)),
            ((40, -16, 27), (3, 4, 4)),
            ((40, -32, 26), (3, 4, 5)),
            ((44, -44, 18), (4, 4, 6)),
            ((49, -44, 4), (5, 6, 5)),
            ((52, -30, -8), (6, 8, 6)),
            ((52, -12, -18), (7, 8, 7)),
        ),
    ),
    Tract(
        name='cingulum',
        shares=(1.3,),
        stations=(
            ((6, 30, -8), (3, 3, 3)),
            ((8, 39, 4), (3, 3, 3)),
            ((8, 32, 22), (3, 3, 3)),
            ((8, 16, 31), (2.5, 3, 3)),
            ((8, -8, 36), (2.5, 3, 3)),
            ((8, -32, 34), (2.5, 3, 3)),
            ((9, -47, 22), (3, 3, 3)),
            ((15, -46, 6), (3, 3, 3)),
            ((22, -36, -8), (3, 3, 2)),
            ((24, -20, -22), (3, 3, 3)),
        ),
    ),
    Tract(
        name='inferior longitudinal fascicle',
        shares=(0.9,),
        stations=(
            ((24, -94, 0), (8, 6, 10)),
            ((34, -74, -2), (6, 6, 8)),
            ((41, -52, -8), (5, 5, 6)),
            ((43, -30, -16), (5, 5, 6)),
            ((41, -10, -26), (6, 6, 7)),
            ((38, 8, -34), (8, 6, 8)),
        ),
    ),
    Tract(
        name='inferior fronto-occipital fascicle',
        shares=(0.9,),
        stations=(
            ((22, -90, 6), (8, 6, 9)),
            ((34, -66, 2), (4, 5, 7)),
            ((39, -42, -2), (2.5, 4, 6)),
            ((37, -20, -8), (2.5, 4, 4)),
            ((33, -2, -9), (2.5, 4, 3)),
            ((29, 16, -7), (3, 4, 4)),
            ((28, 36, -2), (6, 6, 7)),
            ((27, 56, 0), (11, 8, 13)),
        ),
    ),
    Tract(
        name='uncinate fascicle',
        shares=(0.8,),
        stations=(
            ((40, 6, -34), (7, 6, 6)),
            ((36, 2, -22), (3, 3, 3)),
            ((33, 6, -13), (2.5, 3, 3)),
            ((27, 18, -11), (3, 4, 3)),
            ((22, 34, -13), (6, 6, 4)),
            ((20, 48, -14), (9, 6, 5)),
        ),
    ),
    Tract(
        name='external capsule',
        shares=(0.7,),
        stations=(
            ((29, 16, -8), (1.5, 4, 2)),
            ((31, 8, 2), (1.5, 8, 3)),
            ((31, 2, 12), (1.5, 13, 3)),
            ((29, -2, 22), (2, 18, 3)),
        ),
    ),
    Tract(
        name='fornix',
        shares=(0.9,),
        stations=(
            ((28, -24, -12), (2, 3, 2)),
            ((26, -34, -4), (2, 2, 2)),
            ((18, -38, 8), (2, 2, 2)),
            ((6, -30, 17), (2, 2, 1.5)),
            ((2, -14, 16), (1.5, 3, 1.5)),
            ((2, 0, 10), (1.5, 2, 1.5)),
            ((3, 1, 0), (1.5, 1.5, 2)),
            ((3, -4, -10), (1.5, 2, 2)),
        ),
    ),
    Tract(
        name='medial lemniscus',
        shares=(0.7,),
        stations=(
            ((3, -40, -50), (2, 2, 2)),
            ((5, -34, -32), (2.5, 2, 2)),
            ((9, -26, -12), (3, 2, 2)),
            ((14, -20, 2), (4, 4, 3)),
        ),
    ),
    Tract(
        name='pontine fibres and middle cerebellar peduncle',
        shares=(1.2,),
        stations=(
            ((0, -24, -31), (0, 6, 9)),
            ((10, -27, -32), (1, 5, 8)),
            ((20, -38, -34), (4, 4, 5)),
            ((26, -52, -37), (5, 6, 5)),
            ((28, -66, -38), (10, 8, 10)),
        ),
    ),
    Tract(
        name='superior cerebellar peduncle',
        shares=(0.9,),
        stations=(
            ((14, -58, -34), (4, 5, 4)),
            ((8, -47, -27), (2, 2.5, 2.5)),
            ((5, -37, -18), (2, 2, 2)),
            ((4, -24, -9), (2.5, 2, 2)),
            ((10, -18, 2), (4, 4, 3)),
        ),
    ),
    Tract(
        name='inferior cerebellar peduncle',
        shares=(0.7,),
        stations=(
            ((6, -44, -58), (2, 2, 3)),
            ((10, -46, -46), (2, 2, 2)),
            ((13, -52, -36), (3, 3, 3)),
            ((14, -64, -32), (6, 6, 6)),
        ),
    ),
)
