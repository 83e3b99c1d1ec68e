"""Hyperintensities made to a pair of Fazekas grades, and the grades of any in a head.

The grades follow the definitions that the application uses, but none of its code: the share of
the wall is counted in shells around the true ventricles, and foci are measured on the head's own
grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from csvdprep.phantom.disease.hyperintensities import LesionGrowth, lesion_growth
from csvdprep.phantom.head.anatomy import Anatomy

#: Share of the wall (percent) with lesion 5 mm out, or 10 mm for the third grade; length of the
#: largest focus, and the width that it must have there, mm; each by grade.
COVER_PCT = (0.0, 1.0, 6.0, 4.0)
FOCUS_MM, WIDTH_MM = (0.0, 7.0, 14.0, 26.0), (0.0, 2.0, 10 / 3, 20 / 3)
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
        Percent of the wall with lesion 5 and 10 mm out, the ends of the horns left out.
    """

    pv: int
    deep: int
    cover_pct: float
    cover10_pct: float

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
        self.horn = _horns(inside, self.step).ravel()

    def cover_pct(self, lesion: np.ndarray, depth_mm: float) -> float:
        """Percent of the wall that has lesion so far out; ``lesion`` is on the head's grid.

        The ends of the horns have none by definition.
        """
        half = max(self.step, 1.0) / 2
        shell = (self.depth >= depth_mm - half) & (self.depth < depth_mm + half)
        place = self.place[shell]
        size = np.bincount(place)
        held = np.bincount(place, lesion[self.box][shell] & ~self.horn[place])
        return 100 * float((held[size > 0] / size[size > 0]).mean())


def _horns(inside: np.ndarray, step: float) -> np.ndarray:
    """Mark the first and last 12 mm of the ventricle of either side."""
    ends = np.zeros(inside.shape, bool)
    across = np.flatnonzero(inside.any((1, 2)))
    middle = (across[0] + across[-1] + 1) // 2
    for half in (slice(0, middle), slice(middle, None)):
        along = np.flatnonzero(inside[half].any((0, 2)))
        if len(along):
            ends[half, : along[0] + int(12 / step)] = True
            ends[half, along[-1] + 1 - int(12 / step) :] = True
    return ends


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
        growth = lesion_growth(
            anatomy,
            seed + 1000 * attempt,
            foci=FOCI[deep],
            apart_mm=FOCI_BEGIN_MM + 4,
            irregularity=IRREGULARITY[pv],
        )
        d_v = _depths(growth, shells)
        halo = _to_cover(growth, d_v, shells, pv)
        foci = _to_length(growth, d_v, deep, anatomy)
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
        Periventricular lesions come within 3 mm of the ventricles: 0 under 0.2 mL, 3 if on 1.5 %
        of the wall they are 10 mm thick, 2 if on 3 % they are 5 mm thick, else 1; the first and
        last 12 mm of the ventricles, where caps are, do not count. Deep lesions
        are the others and what is beyond 13 mm: 0 under 0.05 mL, 3 from 20 mm of length where
        they are a third as wide, 2 from 10 mm or as a group from 20 mm, else 1.
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
        pv = 3 if covers[1] >= 1.5 else 2 if covers[0] >= 3 else 1
    far = lesion & (~near | (depth > 13))
    return Grades(pv, _deep_grade(far, shells.step, anatomy.voxel_ml), *covers)


def _deep_grade(far: np.ndarray, step: float, voxel_ml: float) -> int:
    if far.sum() * voxel_ml < 0.05:
        return 0
    if _length_mm(far, step, width_mm=WIDTH_MM[3]) >= 20:
        return 3
    begins = _length_mm(far, step, width_mm=WIDTH_MM[2]) >= 10
    begins = begins or _length_mm(far, step, width_mm=WIDTH_MM[2], joined_mm=1.5) >= 20
    return 2 if begins else 1


def _length_mm(mask: np.ndarray, step: float, *, width_mm: float, joined_mm: float = 0) -> float:
    """Length of the longest lesion on an axial slice of a head, where it is so wide.

    With ``joined_mm``, of a group of lesions no farther than twice this from each other.
    """
    longest = 0.0
    for plane in np.moveaxis(mask, 2, 0):
        if not plane.any():
            continue
        near = ndi.distance_transform_edt(~plane) * step <= joined_mm
        labels, _ = ndi.label(near, _AROUND)
        for number, box in enumerate(ndi.find_objects(labels), start=1):
            piece = plane[box] & (labels[box] == number)
            if step * sum(piece.shape) > longest and step * min(piece.shape) >= width_mm - step:
                longest = max(longest, _broad_length(piece, step, width_mm, whole=joined_mm > 0))
    return longest


def _broad_length(piece: np.ndarray, step: float, width_mm: float, whole: bool) -> float:
    """Length of what is so wide of a piece of a slice, or of its longest part."""
    times = int(np.ceil(step))
    fine = step / times
    piece = np.pad(piece, 1).repeat(times, 0).repeat(times, 1)
    core = ndi.distance_transform_edt(piece) * fine >= (width_mm + fine) / 2
    if not core.any():
        return 0.0
    broad = piece & (ndi.distance_transform_edt(~core) * fine <= width_mm / 2)
    labels, count = (broad.astype(int), 1) if whole else ndi.label(broad, _AROUND)
    angles = np.radians(range(0, 180, 10))
    return max(
        fine + float(np.ptp(np.argwhere(labels == number) * fine @ [np.cos(a), np.sin(a)]))
        for number in range(1, count + 1)
        for a in angles
    )


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


def _to_length(growth: LesionGrowth, d_v: np.ndarray, deep: int, anatomy: Anatomy) -> np.ndarray:
    """Let the foci grow to a length."""
    if not deep:
        return np.zeros_like(growth.site)
    step = float(anatomy.affine[0, 0])

    def foci(stage):
        return np.where(d_v >= FOCI_BEGIN_MM, growth.share(0, stage), 0)

    low, high = 0.0, 40.0
    for _ in range(12):
        middle = (low + high) / 2
        mask = growth.scatter(foci(middle)) >= 0.5
        short = _length_mm(mask, step, width_mm=1.15 * WIDTH_MM[deep]) < FOCUS_MM[deep]
        low, high = (middle, high) if short else (low, middle)
    return foci(high)
