"""Veins: dural sinuses, deep veins, medullary veins at the ventricles, veins of the cortex.

Courses are in mm of the template. Sinuses and veins of the surface keep a depth below the inner
skull, medullary veins leave the walls of the lateral ventricles at right angles.
"""

from __future__ import annotations

import numpy as np

from csvdprep.phantom.geometry.features import Tube
from csvdprep.phantom.geometry.fields import pull
from csvdprep.phantom.head.anatomy import Anatomy, _template_brain
from csvdprep.phantom.head.vessels import Course, course, smooth, tubes

#: Point from which the surface of the brain is seen, mm of the template.
MIDDLE = np.array([0.0, -18.0, 12.0])
#: Depth of the middle of a sinus below the inner skull, mm.
SINUS_DEPTH = 3.2
#: Sagittal sinus: angle in the midline plane, from the front (0°) over the vertex (90°).
SAGITTAL = np.arange(12.0, 203.0, 10.0)
TORCULA = (0.0, -91.0, -17.0)
#: Deep veins of the midline and of the right: name, segment, parent, points, radii.
DEEP = (
    (
        'vein of Galen',
        'vein of Galen',
        'straight sinus',
        ((0, -48, 10), (0, -43, 6), (0, -38, 7)),
        (2.0, 1.6),
    ),
    (
        'straight sinus',
        'straight sinus',
        'superior sagittal sinus',
        (TORCULA, (0, -76, -8), (0, -62, 2), (0, -48, 10)),
        (2.6, 2.0),
    ),
)
PAIRED = (
    (
        'internal cerebral vein',
        'ICV',
        'vein of Galen',
        ((0, -38, 7), (2, -32, 10), (2.3, -22, 14), (2, -10, 13), (2.3, -1, 9)),
        (1.2, 0.8),
    ),
    (
        'septal vein',
        'septal vein',
        'internal cerebral vein',
        ((2.3, -1, 9), (2.5, 6, 9), (2.8, 15, 8), (7, 24, 6), (13, 30, 8)),
        (0.6, 0.35),
    ),
    (
        'thalamostriate vein',
        'thalamostriate vein',
        'internal cerebral vein',
        ((2.3, -1, 9), (6, 1, 11), (13, -4, 17), (17, -12, 20), (20, -22, 21), (24, -30, 22)),
        (0.9, 0.45),
    ),
    (
        'basal vein',
        'basal vein',
        'vein of Galen',
        ((0, -38, 7), (10, -34, 0), (16, -24, -6), (16, -10, -12), (15, 2, -14)),
        (1.1, 0.6),
    ),
)
#: Transverse and sigmoid sinus of the right: points that are put to the inner skull.
TRANSVERSE = (
    (14, -92, -18),
    (30, -87, -20),
    (45, -77, -21),
    (56, -64, -24),
    (58, -52, -30),
    (52, -44, -40),
    (44, -42, -52),
)


def veins(anatomy: Anatomy, seed: int, *, cortical: int = 24, medullary: int = 16) -> list[Tube]:
    """Make the veins of a head.

    Parameters
    ----------
    anatomy : Anatomy
        The head.
    seed : int
        Decides how they differ from the common course.
    cortical, medullary : int
        Number of veins of the surface that drain into the superior sagittal sinus, and of those
        of the white matter around the lateral ventricles; both sides together.

    Returns
    -------
    list of Tube
        Tissue 'vein'. Facts as in :func:`csvdprep.phantom.head.vessels.tubes`; the parent is the
        vein into which one drains.

    Examples
    --------
    >>> from csvdprep.phantom.head.anatomy import make_anatomy
    >>> found = veins(make_anatomy(1, spacing=4), 1)
    >>> [sum(tube.kind == kind for tube in found) for kind in ('SSS', 'cortical vein')]
    [1, 24]
    """
    rng = np.random.default_rng([seed, 62])
    sagittal = _sagittal_sinus()
    out = [
        sagittal,
        *[
            course(name, segment, 'midline', parent, points, radii)
            for name, segment, parent, points, radii in DEEP
        ],
    ]
    for side, sign in (('left', -1), ('right', 1)):
        mirror = np.array([sign, 1, 1])
        for name, segment, parent, points, radii in PAIRED:
            free = (np.abs([p[0] for p in points]) > 2.5)[:, None]
            moved = np.array(points) + 0.6 * free * rng.standard_normal((len(points), 3))
            above = parent if parent == 'vein of Galen' else f'{side} {parent}'
            out.append(course(f'{side} {name}', segment, side, above, moved * mirror, radii))
        wide = 3.2 if side == 'right' else 2.6
        line = np.concatenate([[TORCULA], _to_skull(np.array(TRANSVERSE) * mirror, SINUS_DEPTH)])
        out.append(
            course(
                f'{side} transverse sinus',
                'transverse sinus',
                side,
                'superior sagittal sinus',
                line,
                (wide, wide + 0.4),
            )
        )
    out += [_cortical(sagittal, i, cortical, rng) for i in range(cortical)]
    out += [_medullary(i, medullary, rng) for i in range(medullary)]
    return tubes(anatomy, out, 'vein')


def _sagittal_sinus() -> Course:
    angle = np.deg2rad(SAGITTAL)
    rays = np.stack([np.zeros(len(angle)), np.cos(angle), np.sin(angle)], axis=1)
    line = _to_skull(MIDDLE + 100 * rays, SINUS_DEPTH)
    line = np.concatenate([line[line[:, 2] > TORCULA[2] + 8], [TORCULA]])
    return course('superior sagittal sinus', 'SSS', 'midline', '', line[::-1], (4.3, 4.1, 3.8))


def _to_skull(points: np.ndarray, depth: float | np.ndarray) -> np.ndarray:
    """Move points along rays from the middle to a depth below the inner skull, mm."""
    brain = _template_brain()
    away = points - MIDDLE
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    reach = np.arange(30.0, 125.0, 0.5)
    at = MIDDLE[:, None, None] + away.T[:, :, None] * reach
    distance = pull(brain['from_skull'], brain['distance_affine'], at)
    outside = distance > -np.broadcast_to(depth, len(points))[:, None]
    first = reach[np.argmax(outside, axis=1)]
    return MIDDLE + away * first[:, None]


def _cortical(sinus: Course, number: int, count: int, rng: np.random.Generator) -> Course:
    """Draw a vein over the convexity, into the sagittal sinus against its flow."""
    side, sign = ('left', -1) if number % 2 else ('right', 1)
    # Places along the sinus, evenly but not regularly; its first point is the torcula.
    share = 0.16 + 0.74 * (number // 2 + rng.uniform(0.1, 0.9)) / np.ceil(count / 2)
    mouth = sinus.line[int(share * (len(sinus.line) - 1))]
    entry = (mouth - MIDDLE) / np.linalg.norm(mouth - MIDDLE)
    reach = np.deg2rad(rng.uniform(28, 75))
    back = rng.uniform(-0.05, 0.45)
    aside = np.array([sign, 0, 0]) - back * np.cross(entry, (1, 0, 0))
    aside -= (aside @ entry) * entry
    aside /= np.linalg.norm(aside)
    angle = np.linspace(0, reach, int(np.ceil(np.degrees(reach) / 6)) + 1)[1:, None]
    rays = np.cos(angle) * entry + np.sin(angle) * aside
    # It follows sulci and crosses gyri: sideways by some mm, and up and down.
    rays = rays + np.cumsum(rng.normal(0, 0.035, rays.shape), axis=0)
    depth = 1.2 + np.abs(rng.normal(0, 0.7, len(rays)))
    line = np.concatenate([[mouth], _to_skull(MIDDLE + 100 * rays, depth)])
    wide = rng.uniform(0.8, 1.05)
    return course(
        f'{side} cortical vein {number // 2 + 1}',
        'cortical vein',
        side,
        'superior sagittal sinus',
        line,
        (wide, 0.55),
    )


def _medullary(number: int, count: int, rng: np.random.Generator) -> Course:
    """Draw a vein of the deep white matter, at right angles to the ventricle's wall."""
    side, sign = ('left', -1) if number % 2 else ('right', 1)
    share = (number // 2 + rng.uniform(0.2, 0.8)) / np.ceil(count / 2)
    brain = _template_brain()
    ventricle = brain['structures'] == (1 if sign < 0 else 2)
    slab = int(np.rint(28 - 62 * share - brain['affine'][1, 3]))
    x, z = np.nonzero(ventricle[:, slab])
    x, z = x + brain['affine'][0, 3], z + brain['affine'][2, 3]
    # The upper outer corner of the body of the ventricle.
    corner = np.argmax(sign * x + 0.8 * z)
    at = np.array([x[corner], 28 - 62 * share, z[corner]])
    way = np.array([sign * rng.uniform(0.5, 0.9), rng.uniform(-0.3, 0.3), rng.uniform(0.4, 0.9)])
    points = [at]
    for _ in range(int(rng.integers(8, 13))):
        out = np.array(
            [pull(part, brain['push_affine'], at[:, None])[0] for part in brain['push']]
        )
        step = way + 1.5 * out + rng.normal(0, 0.08, 3)
        at = at + 2.0 * step / np.linalg.norm(step)
        points.append(at)
    return course(
        f'{side} medullary vein {number // 2 + 1}',
        'medullary vein',
        side,
        f'{side} thalamostriate vein',
        smooth(np.array(points)),
        (rng.uniform(0.29, 0.37), 0.22),
    )
