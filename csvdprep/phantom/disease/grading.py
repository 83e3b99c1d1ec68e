"""Hyperintensities made to a pair of Fazekas grades, and the grades of any in a head.

The grades follow the definitions that the application uses, but none of its code: the share of
the wall is counted in shells around the true ventricles, and the width of a deep lesion follows
from its area.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from csvdprep.phantom.disease.hyperintensities import LesionGrowth, lesion_growth
from csvdprep.phantom.head.anatomy import Anatomy

#: Share of the wall (percent) with lesion 5 mm out, or 10 mm for the third grade; diameter of
#: the largest focus, mm; each by grade.
COVER_PCT = (0.0, 4.0, 16.0, 9.0)
FOCUS_MM = (0.0, 7.0, 14.0, 26.0)
#: The halo ends here by grade, and foci begin there, mm from the ventricles: they stay apart.
HALO_END_MM, FOCI_BEGIN_MM = (0.0, 6.5, 9.0, 11.5), 16.5
#: Number of foci, by grade.
FOCI = (0, 7, 16, 40)
#: Unevenness of the halo, by grade: a third-degree halo is thick in places, not all round.
IRREGULARITY = (0.45, 0.45, 0.45, 0.9)
ATTEMPTS = 8
_AROUND = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Grades:
    """Fazekas grades of a head, and what they rest on.

    Attributes
    ----------
    pv, deep : int
        0 to 3.
    cover_pct, cover10_pct : float
        Percent of the wall with lesion 5 and 10 mm out.
    focus_mm : float
        Size of the largest deep lesion on an axial slice.
    """

    pv: int
    deep: int
    cover_pct: float
    cover10_pct: float
    focus_mm: float

    @property
    def total(self) -> int:
        """Sum of the two."""
        return self.pv + self.deep


class Shells:
    """The surroundings of a head's ventricles, by depth and by place of the wall.

    Parameters
    ----------
    anatomy : Anatomy
        The head.
    """

    def __init__(self, anatomy: Anatomy):
        self.step = float(anatomy.affine[0, 0])
        inside = anatomy.regions['ventricles'] > 0.5
        margin = int(np.ceil(18 / self.step))
        found = ndi.find_objects(inside.view(np.uint8))[0]
        self.box = tuple(slice(max(0, e.start - margin), e.stop + margin) for e in found)
        inside = inside[self.box]
        depth, place = ndi.distance_transform_edt(~inside, return_indices=True)
        # Half a voxel of the ventricle lies before its border.
        self.depth = np.where(inside, 0, depth * self.step - self.step / 2).astype(np.float32)
        self.place = np.ravel_multi_index(tuple(place), inside.shape)

    def cover_pct(self, lesion: np.ndarray, depth_mm: float) -> float:
        """Percent of the wall that has lesion so far out; ``lesion`` is on the head's grid."""
        half = max(self.step, 1.0) / 2
        shell = (self.depth >= depth_mm - half) & (self.depth < depth_mm + half)
        place = self.place[shell]
        size = np.bincount(place)
        held = np.bincount(place, lesion[self.box][shell])
        return 100 * float((held[size > 0] / size[size > 0]).mean())


def graded(anatomy: Anatomy, seed: int, pv: int, deep: int) -> np.ndarray:
    """Make hyperintensities of wanted Fazekas grades in a head.

    Parameters
    ----------
    anatomy : Anatomy
        The head.
    seed : int
        Decides the pattern.
    pv, deep : int
        Periventricular and deep grade, 0 to 3.

    Returns
    -------
    ndarray of float32, shape of the head's grid
        Share of each voxel that is lesion.

    Raises
    ------
    ValueError
        If this head cannot show the grades: it lacks white matter far from the ventricles.

    References
    ----------
    .. [1] Fazekas F. et al. (1987) MR signal abnormalities at 1.5 T in Alzheimer's dementia and
       normal aging. doi:10.2214/ajr.149.2.351

    Examples
    --------
    >>> from csvdprep.phantom.head.anatomy import make_anatomy
    >>> person = make_anatomy(2, spacing=2, ventricles_mm=2)
    >>> found = true_grades(person, graded(person, 4, 2, 1))
    >>> found.pv, found.deep
    (2, 1)
    """
    shells = Shells(anatomy)
    for attempt in range(ATTEMPTS):
        # Foci that flow together may skip a size: then others are drawn.
        growth = lesion_growth(anatomy, seed + 1000 * attempt, foci=FOCI[deep],
                               apart_mm=FOCI_BEGIN_MM + 4,
                               irregularity=IRREGULARITY[pv])  # fmt: skip
        d_v = _depths(growth, shells)
        halo = _to_cover(growth, d_v, shells, pv)
        foci = _to_diameter(growth, d_v, FOCUS_MM[deep], anatomy)
        share = growth.scatter(np.maximum(halo, foci))
        found = true_grades(anatomy, share, shells)
        if (found.pv, found.deep) == (pv, deep):
            return share
    raise ValueError(f'This head does not show Fazekas {pv}/{deep}.')


def true_grades(anatomy: Anatomy, share: np.ndarray, shells: Shells | None = None) -> Grades:
    """Grade the true lesions around the true ventricles.

    Parameters
    ----------
    anatomy : Anatomy
        The head.
    share : ndarray, shape of the head's grid
        Share of each voxel that is lesion; half counts.
    shells : Shells, optional
        Of the head, if they are there already.

    Returns
    -------
    Grades
        Periventricular lesions come within 3 mm of the ventricles: 0 under 0.2 mL, 3 if on 5 %
        of the wall they are 10 mm thick, 2 if on 10 % they are 5 mm thick, else 1. Deep lesions
        are the others and what is beyond 13 mm: 0 under 0.05 mL, 1 under 10 mm, 2 under 20 mm or
        a group of 20 mm, else 3.
    """
    shells = shells or Shells(anatomy)
    lesion = share >= 0.5
    depth = np.full(lesion.shape, np.inf, np.float32)
    depth[shells.box] = shells.depth
    labels, _ = ndi.label(lesion, np.ones((3, 3, 3)))
    touching = np.unique(labels[lesion & (depth <= 3)])
    near = lesion & np.isin(labels, touching[touching > 0])
    covers = [shells.cover_pct(near, mm) for mm in (5.0, 10.0)]
    if (near & (depth <= 13)).sum() * anatomy.voxel_ml < 0.2:
        pv = 0
    else:
        pv = 3 if covers[1] >= 5 else 2 if covers[0] >= 10 else 1
    far = lesion & (~near | (depth > 13))
    single, group = (_focus_mm(far, shells.step, widened) for widened in (0.0, 1.5))
    if far.sum() * anatomy.voxel_ml < 0.05:
        deep = 0
    else:
        deep = 1 + int(np.searchsorted([10, 20], single, side='right'))
        deep = max(deep, 2) if group >= 20 else deep
    return Grades(pv, deep, *covers, single)


def _focus_mm(mask: np.ndarray, step: float, widened_mm: float) -> float:
    """Size of the largest lesion, or group of lesions, on an axial slice of a head.

    Its length, or three times its mean width (of an ellipse of its length and area) if that is
    less.
    """
    largest = 0.0
    for plane in np.moveaxis(mask, 2, 0):
        if not plane.any():
            continue
        wide = ndi.distance_transform_edt(~plane) * step <= widened_mm
        labels, count = ndi.label(wide, _AROUND)
        for number in range(1, count + 1):
            pixels = np.argwhere((labels == number) & plane) * step
            length = step + max(float(np.ptp(pixels @ [np.cos(a), np.sin(a)]))
                                for a in np.radians(range(0, 180, 10)))  # fmt: skip
            width = 4 / np.pi * len(pixels) * step**2 / length
            largest = max(largest, min(length, 3 * width))
    return largest


def _depths(growth: LesionGrowth, shells: Shells) -> np.ndarray:
    """Distance from the ventricles of every voxel that can become lesion, mm."""
    whole = np.full(growth.shape, 99, np.float32)
    whole[shells.box] = shells.depth
    return whole[growth.where]


def _to_cover(growth: LesionGrowth, d_v: np.ndarray, shells: Shells, pv: int) -> np.ndarray:
    """Let the halo grow until it covers its share of the wall."""
    if not pv:
        return np.zeros_like(growth.site)

    def halo(stage):
        return np.where(d_v <= HALO_END_MM[pv], growth.share(stage, 0), 0)

    depth_mm = 10.0 if pv == 3 else 5.0
    low, high = 0.0, 60.0
    for _ in range(18):
        middle = (low + high) / 2
        mask = growth.scatter(halo(middle)) >= 0.5
        short = shells.cover_pct(mask, depth_mm) < COVER_PCT[pv]
        low, high = (middle, high) if short else (low, middle)
    return _attached(growth, halo(high), d_v)


def _attached(growth: LesionGrowth, halo: np.ndarray, d_v: np.ndarray) -> np.ndarray:
    """Leave out islands: pieces of a ragged halo that do not reach the ventricles."""
    labels, _ = ndi.label(growth.scatter(halo) > 0.4, np.ones((3, 3, 3)))
    piece = labels[growth.where]
    touching = np.unique(piece[(d_v <= 1.5) & (piece > 0)])
    return np.where(np.isin(piece, touching), halo, 0)


def _to_diameter(growth, d_v, wanted: float, anatomy: Anatomy) -> np.ndarray:
    """Let the foci grow to a diameter."""
    if not wanted:
        return np.zeros_like(growth.site)

    def foci(stage):
        return np.where(d_v >= FOCI_BEGIN_MM, growth.share(0, stage), 0)

    low, high = 0.0, 40.0
    for _ in range(12):
        middle = (low + high) / 2
        mask = growth.scatter(foci(middle)) >= 0.5
        short = _focus_mm(mask, float(anatomy.affine[0, 0]), 0.0) < wanted
        low, high = (middle, high) if short else (low, middle)
    return foci(high)
