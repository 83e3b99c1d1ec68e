"""From arteries to measures: which can be given out, and why others cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from csvdprep.interfaces.values import Value
from csvdprep.markers.arteries import COMMUNICATING, SIDES, TERRITORIES, WILLIS
from csvdprep.markers.arteries.science import Arteries, Limits, find_arteries
from csvdprep.markers.arteries.science.regions import (
    LSA_CORE,
    SEGMENTS,
    Perforators,
    Seen,
    covered,
    in_sinuses,
    perforators,
    willis,
)

#: Share of the bounds of a segment that has to be covered, for 'not seen' to mean anything.
COVERED = 0.6
#: Share of the room of perforators that has to be covered.
LSA_COVERED = 0.7
#: Branches from this length on have a tortuosity, mm.
TORTUOUS_MM = 10.0
#: Why there are no lengths: dark blood, the wrong image or a slab beside the brain look the same.
NO_ARTERY = 'no artery was found'
NO_BRAIN = 'the angiogram does not show the brain'
#: Radius from which arteries tell the contrast of the angiogram, mm.
CONTRAST_MM = 1.0
#: Field strength from which perforators are seen at all, T; from which coarser voxels do.
LEAST_T = 2.5
#: Voxel edge beyond which no perforator is seen at any field, mm; and across slices.
LSA_NEVER_MM, LSA_SLICE_MM = 0.6, 0.8


@dataclass(frozen=True, kw_only=True, eq=False)
class Anatomy:
    """Where arteries are sought, and how to tell where they are.

    Attributes
    ----------
    where : ndarray of bool
        Voxels in which arteries are sought.
    size : ndarray, shape (3,)
        Edges of a voxel, mm.
    reason : str
        Why places cannot be told; empty if they can.
    brain_ml : float or None
        Volume of the brain that is covered.
    grid : ndarray, shape (n, 3), or None
        Points of the image in the template, mm, each standing for ``weight`` cubes.
    weight : float
    to_template : callable, optional
        Takes points (n, 3) of the angiogram to the template.
    region : callable, optional
        Names the territory of points (n, 3) of the angiogram.
    room : ndarray of bool, optional
        Voxels around the M1s and their perforators.
    """

    where: np.ndarray
    size: np.ndarray
    reason: str = ''
    brain_ml: float | None = None
    grid: np.ndarray | None = None
    weight: float = 1.0
    to_template: Callable[[np.ndarray], np.ndarray] | None = None
    region: Callable[[np.ndarray], np.ndarray] | None = None
    room: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """Arteries with their places and measures.

    Attributes
    ----------
    arteries : Arteries
        Veins left out, the longest piece first.
    template : list of ndarray
        Points of each piece in the template; empty without one.
    segments, regions : list of str
        Of each piece; '' where it cannot be told.
    values : dict
        By the names of the declared measures.
    """

    arteries: Arteries
    template: list[np.ndarray]
    segments: list[str]
    regions: list[str]
    values: dict[str, Any]


def made_coarser(found: Arteries, coarsest_mm: float) -> bool:
    """Tell whether arteries were sought on a grid too coarse for perforators, to save memory."""
    stored = float(np.cbrt(np.prod(np.linalg.norm(found.affine[:3, :3], axis=0))))
    return found.edge_mm > max(coarsest_mm, 1.02 * stored)


def look_closer(
    found: Arteries,
    image: np.ndarray,
    anatomy: Anatomy,
    limits: Limits,
    scan: Mapping[str, Any],
    lsa_coarsest_mm: float,
) -> Arteries | None:
    """Find arteries around the M1s once more, at the resolution of the image.

    Parameters
    ----------
    found : Arteries
        What was found in the whole image, perhaps on a coarser grid.
    image : ndarray, shape (nx, ny, nz)
        Angiogram without bias.
    anatomy : Anatomy
        Where it lies.
    limits : Limits
        What counts as an artery.
    scan : mapping
        See :func:`measure`.
    lsa_coarsest_mm : float
        Voxel edge up to which perforators are counted.

    Returns
    -------
    Arteries or None
        None where the first grid is fine enough, or perforators are not given out anyhow.
    """
    if anatomy.room is None or not made_coarser(found, lsa_coarsest_mm):
        return None
    where = anatomy.where & anatomy.room
    if hidden_perforators(scan, anatomy.size, lsa_coarsest_mm) or not where.any():
        return None
    return find_arteries(image, found.affine, where, limits)


def measure(
    found: Arteries,
    anatomy: Anatomy,
    scan: Mapping[str, Any],
    lsa_coarsest_mm: float,
    closer: Arteries | None = None,
) -> Result:
    """Measure arteries, and tell where they are.

    Parameters
    ----------
    found : Arteries
        What was found.
    anatomy : Anatomy
        Where places lie.
    scan : mapping
        What the sidecar tells: ``tesla``, ``finest_mm``, ``doubts``.
    lsa_coarsest_mm : float
        Voxel edge up to which perforators are counted.
    closer : Arteries, optional
        What :func:`look_closer` found: perforators are counted there.

    Returns
    -------
    Result
    """
    order = sorted(range(len(found.pieces)), key=lambda i: -found.pieces[i].length_mm)
    found = replace(found, pieces=[found.pieces[i] for i in order])
    placed = anatomy.to_template is not None
    template = [anatomy.to_template(p.points) for p in found.pieces] if placed else []
    veins = Value(None, reason=anatomy.reason)
    if placed:
        found, template, veins = _without_veins(found, template)
    regions = [''] * len(found.pieces)
    if anatomy.region is not None:
        regions = [_most(anatomy.region(piece.points)) for piece in found.pieces]
    segments = [''] * len(found.pieces)
    seen: dict[str, Seen] = {}
    sides: dict[str, Perforators | None] = dict.fromkeys(SIDES)
    if not found.pieces:
        anatomy = _without_places(anatomy)
    if placed:
        seen, names = willis(found, template)
        segments = [_most(own) for own in names]
        for side, sign in zip(SIDES, (-1, 1), strict=True):
            sides[side] = perforators(found, template, sign)
            for index in sides[side].pieces if sides[side] else ():
                segments[index] = 'LSA'
        if closer is not None:
            near = [anatomy.to_template(piece.points) for piece in closer.pieces]
            for side, sign in zip(SIDES, (-1, 1), strict=True):
                sides[side] = perforators(closer, near, sign)
    coarse = ''
    if made_coarser(seen_on := closer or found, lsa_coarsest_mm):
        coarse = (
            f'the angiogram is so large that arteries were sought on voxels of '
            f'{seen_on.edge_mm:.2f} mm, which do not show all lenticulostriate arteries'
        )
    values = _totals(found, anatomy, scan) | _regional(found, regions, anatomy)
    why = hidden_perforators(scan, anatomy.size, lsa_coarsest_mm) or anatomy.reason or coarse
    values |= _willis_values(seen, anatomy) | _lsa_values(sides, anatomy, scan, why)
    values['qc_artery_veins_pct'] = veins
    return Result(
        arteries=found, template=template, segments=segments, regions=regions, values=values
    )


def _without_places(anatomy: Anatomy) -> Anatomy:
    """Say that there is no artery whose place could be told: this is not 0 mm of artery."""
    missing = NO_ARTERY if anatomy.where.any() else NO_BRAIN
    reason = '; '.join(filter(None, (missing, anatomy.reason)))
    return replace(anatomy, reason=reason, region=None)


def _without_veins(found: Arteries, template: list[np.ndarray]):
    """Leave out pieces that run where the venous sinuses do."""
    vein = [in_sinuses(points).mean() > 0.5 for points in template]
    total = sum(p.length_mm for p in found.pieces)
    gone = sum(p.length_mm for p, v in zip(found.pieces, vein, strict=True) if v)
    share = Value(None, reason=NO_ARTERY)
    if total:
        share = Value(100 * gone / total, n=len(found.pieces))
    if any(vein):
        kept = [not v for v in vein]
        pieces = [p for p, k in zip(found.pieces, kept, strict=True) if k]
        found = replace(found, pieces=pieces, mask=_of_pieces(found, kept))
        template = [t for t, k in zip(template, kept, strict=True) if k]
    return found, template, share


def _of_pieces(found: Arteries, kept: list[bool]) -> np.ndarray:
    """Leave out of the lumen what is nearest to a piece that is left out."""
    points = np.concatenate([p.points for p in found.pieces])
    which = np.repeat(kept, [len(p.points) for p in found.pieces])
    at = np.argwhere(found.mask)
    world = at @ found.affine[:3, :3].T + found.affine[:3, 3]
    mask = np.zeros_like(found.mask)
    mask[tuple(at[which[cKDTree(points).query(world)[1]]].T)] = True
    return mask


def _most(names: np.ndarray) -> str:
    """Return the name that more than half of the points have, '' counting as one."""
    if not len(names):
        return ''
    values, counts = np.unique(names, return_counts=True)
    best = int(np.argmax(counts))
    return str(values[best]) if 2 * counts[best] >= len(names) else ''


def _totals(found: Arteries, anatomy: Anatomy, scan: Mapping[str, Any]) -> dict[str, Value]:
    pieces = found.pieces
    doubts = '; '.join(scan.get('doubts') or ())
    qc = 'warn' if doubts else ''
    none = anatomy.reason or NO_ARTERY

    def told(value, n=None) -> Value:
        if not pieces:
            return Value(None, reason=none)
        return Value(value, n=n, reason=doubts, qc=qc)

    length = float(sum(p.length_mm for p in pieces))
    count = len(pieces)
    wide = [p for p in pieces if p.radius_mm is not None]
    long = [p for p in pieces if p.length_mm >= TORTUOUS_MM and p.distance_factor is not None]
    bright = [p.contrast[np.nan_to_num(p.radius) >= CONTRAST_MM] for p in pieces]
    bright = np.concatenate(bright) if bright else np.zeros(0)
    density = Value(None, reason=anatomy.reason)
    if anatomy.brain_ml and pieces:
        density = told(length / anatomy.brain_ml)
    elif not anatomy.reason:
        density = Value(None, reason='no brain is covered')
    radius = tortuosity = Value(None, reason=none)
    if wide:
        radius = told(_weighted(wide, [p.radius_mm for p in wide]), len(wide))
    elif pieces:
        radius = Value(None, reason='no artery is two voxels wide')
    if long:
        tortuosity = told(_weighted(long, [p.distance_factor for p in long]), len(long))
    elif pieces:
        tortuosity = Value(None, reason=f'no branch is {TORTUOUS_MM:g} mm long')
    contrast = Value(None, reason=f'no artery of {CONTRAST_MM:g} mm radius was found')
    if len(bright) >= 10:
        contrast = Value(float(np.median(bright)), n=len(bright))
    ends = int((found.degrees() == 1).sum())
    return {
        'artery_length_mm': told(length, count),
        'artery_density_m_per_l': density,
        'artery_branches_n': told(count),
        'artery_ends_n': told(ends),
        'artery_volume_ml': told(
            float(found.mask.sum() * np.prod(anatomy.size) / 1000), int(found.mask.sum())
        ),
        'artery_radius_mm': radius,
        'artery_tortuosity': tortuosity,
        'qc_artery_contrast': contrast,
    }


def _weighted(pieces, values) -> float:
    return float(np.average(values, weights=[p.length_mm for p in pieces]))


def _regional(found: Arteries, regions: list[str], anatomy: Anatomy) -> dict[str, Value]:
    values, totals = {}, {}
    for name in TERRITORIES:
        for side in SIDES:
            own = [
                p
                for p, region in zip(found.pieces, regions, strict=True)
                if region == f'{side} {name.upper()}'
            ]
            length = float(sum(p.length_mm for p in own))
            totals[side] = totals.get(side, 0.0) + length
            count, long = Value(len(own)), Value(length, n=len(own))
            if anatomy.region is None:
                count = long = Value(None, reason=anatomy.reason)
            values[f'artery_{name}_{side}_branches_n'] = count
            values[f'artery_{name}_{side}_length_mm'] = long
    ratio = Value(None, reason=anatomy.reason or NO_ARTERY)
    if anatomy.region is not None and max(totals.values()) > 0:
        ratio = Value(min(totals.values()) / max(totals.values()))
    return values | {'qc_artery_side_ratio': ratio}


def _willis_values(seen: Mapping[str, Seen], anatomy: Anatomy) -> dict[str, Value | str]:
    values: dict[str, Value | str] = {}
    paired = {
        f'{name}_{side}': (name, sign)
        for name in (*WILLIS, 'pcom')
        for side, sign in zip(SIDES, (-1, 1), strict=True)
    }
    for key, (name, sign) in {**paired, 'basilar': ('basilar', 1), 'acom': ('acom', 1)}.items():
        reason = anatomy.reason
        if not reason and anatomy.grid is not None:
            share = anatomy.weight * covered(SEGMENTS[name], sign, anatomy.grid)
            if share < COVERED:
                reason = 'the angiogram does not cover it'
        if key in COMMUNICATING:
            values[f'cow_{key}'] = (
                Value(None, reason=reason)
                if reason and key not in seen
                else 'seen'
                if key in seen
                else 'not seen'
            )
            continue
        item = seen.get(key)
        if item is None:
            value = Value(None, reason=reason or 'it is not seen')
        elif item.radius_mm is None:
            value = Value(None, reason='it is narrower than two voxels')
        else:
            value = Value(item.radius_mm)
        values[f'cow_{key}_radius_mm'] = value
    return values


def hidden_perforators(scan: Mapping[str, Any], size: np.ndarray, coarsest_mm: float) -> str:
    """Say why lenticulostriate arteries are not given out; '' if they are.

    Parameters
    ----------
    scan : mapping
        ``tesla`` and ``finest_mm``.
    size : ndarray, shape (3,)
        Edges of a voxel, mm.
    coarsest_mm : float
        Voxel edge within slices up to which they are counted.

    Examples
    --------
    >>> hidden_perforators({'tesla': 7, 'finest_mm': [0.3, 0.3, 0.4]}, np.ones(3), 0.35)
    ''
    >>> hidden_perforators({'tesla': 1.5, 'finest_mm': [0.3, 0.3, 0.4]}, np.ones(3), 0.35)
    'lenticulostriate arteries are not seen at 1.5 T'
    """
    edges = scan.get('finest_mm') or list(size)
    tesla = scan.get('tesla')
    if tesla is not None and tesla < LEAST_T:
        return f'lenticulostriate arteries are not seen at {tesla:g} T'
    # Two edges are within the slices, whatever the order of axes.
    inplane, across = sorted(edges)[1], max(edges)
    if inplane > LSA_NEVER_MM:
        return f'voxels of {inplane:.2f} mm do not show lenticulostriate arteries'
    if inplane > coarsest_mm or across > LSA_SLICE_MM:
        where = f' at {tesla:g} T' if tesla else ''
        return (
            f'voxels of {inplane:.2f} x {across:.2f} mm{where} show the beginning of some '
            'lenticulostriate arteries at best: they are not counted (option lsa_coarsest_mm)'
        )
    return ''


def _lsa_values(
    sides: Mapping[str, Perforators | None], anatomy: Anatomy, scan: Mapping[str, Any], reason: str
) -> dict[str, Value]:
    doubt = '' if scan.get('tesla') else 'the field strength is not known'
    why = dict.fromkeys(SIDES, reason)
    for side, sign in zip(SIDES, (-1, 1), strict=True):
        if why[side]:
            continue
        if anatomy.weight * covered(LSA_CORE, sign, anatomy.grid) < LSA_COVERED:
            why[side] = f'the angiogram does not cover the region of the {side} side'
        elif sides[side] is None:
            why[side] = f'the {side} M1 is not seen'
    values = {}
    for suffix, own in (('', SIDES), *((f'_{side}', (side,)) for side in SIDES)):
        missing = '; '.join(dict.fromkeys(why[side] for side in own if why[side]))
        if missing:
            for name in ('n_stems', 'n_branches', 'len_mean', 'len_max', 'tortuosity'):
                unit = '_mm' if name.startswith('len') else ''
                values[f'lsa_{name}{suffix}{unit}'] = Value(None, reason=missing)
            continue
        found = [sides[side] for side in own]
        lengths = [length for item in found for length in item.lengths_mm]
        factors = [factor for item in found for factor in item.factors]
        qc = 'warn' if doubt else ''
        values[f'lsa_n_stems{suffix}'] = Value(
            sum(item.stems for item in found), reason=doubt, qc=qc
        )
        values[f'lsa_n_branches{suffix}'] = Value(
            sum(item.branches for item in found), reason=doubt, qc=qc
        )
        for name, numbers, fold in (
            ('len_mean', lengths, np.mean),
            ('len_max', lengths, np.max),
            ('tortuosity', factors, np.mean),
        ):
            unit = '_mm' if name.startswith('len') else ''
            value = Value(None, reason='no lenticulostriate artery is seen')
            if numbers:
                value = Value(float(fold(numbers)), n=len(numbers), reason=doubt, qc=qc)
            values[f'lsa_{name}{suffix}{unit}'] = value
    return values


def rows_of(result: Result) -> tuple[list[dict], list[dict]]:
    """Return the rows of the lists of pieces and of points."""
    trees = result.arteries.trees()
    pieces, points = [], []
    for index, piece in enumerate(result.arteries.pieces):
        middle = piece.points[len(piece.points) // 2]
        place = result.template[index][len(piece.points) // 2] if result.template else [None] * 3
        pieces.append(
            {
                'index': index + 1,
                'segment': result.segments[index] or None,
                'region': result.regions[index] or None,
                'length_mm': piece.length_mm,
                'radius_mm': piece.radius_mm,
                'distance_factor': piece.distance_factor,
                'contrast': float(np.median(piece.contrast)),
                'tree': int(trees[index]) + 1,
                'start': piece.start + 1,
                'end': piece.end + 1,
                **dict(zip('xyz', map(float, middle), strict=True)),
                **{
                    f'{axis}_mni': None if value is None else float(value)
                    for axis, value in zip('xyz', place, strict=True)
                },
            }
        )
        for point, radius, contrast in zip(
            piece.points, piece.radius, piece.contrast, strict=True
        ):
            points.append(
                {
                    'index': index + 1,
                    **dict(zip('xyz', map(float, point), strict=True)),
                    'radius_mm': float(radius) if np.isfinite(radius) else None,
                    'contrast': float(contrast),
                }
            )
    return pieces, points
