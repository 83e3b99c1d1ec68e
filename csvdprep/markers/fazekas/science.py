"""Fazekas grades from the geometry of segmented lesions.

The grades of Fazekas et al. 1987 (doi:10.2214/ajr.149.2.351) describe shape and size, so they
are derived from shape and size; the volume only checks the result, because the volumes of
neighbouring grades overlap widely.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from csvdprep.science.confluence import confluent_diameter, group_diameter
from csvdprep.science.distances import voxel_sizes
from csvdprep.science.shapes import label_lesions, lesion_range, voxel_volume
from csvdprep.science.walls import Wall, horn_ends, thickness_on

__all__ = ['RULES', 'Fazekas', 'grade', 'volume_grade']

#: Diameters, mm, from which deep lesions have grade 2 and 3.
RULES = {'ladis': (10.0, 20.0), 'credos': (10.0, 25.0)}

_PV_ML, _DEEP_ML = 0.2, 0.05  # below these volumes, mL, the grade is 0
_NEAR_MM, _FAR_MM = 3.0, 13.0
#: Thicker than a lining, and reaching into the deep white matter (mm).
_HALO_MM, _IRREGULAR_MM = 5.0, 10.0
#: Percent of the wall that must carry it, the ends of the horns (mm), which have caps, left out.
_HALO_PCT, _IRREGULAR_PCT = 3.0, 1.5
_HORN_MM = 12.0
_VOLUME_ML = (0.5, 7.0, 16.0)


@dataclass(frozen=True, slots=True)
class Fazekas:
    """Grades, and the quantities from which they follow.

    Attributes
    ----------
    pv, deep : int
        Periventricular and deep grade, 0 to 3.
    total : int
        Their sum, 0 to 6.
    deep_ladis, deep_credos : int
        Deep grade by either rule for the size of lesions.
    by_volume : int
        Grade that the volume alone suggests.
    volcheck : str
        ``'warn'`` if ``by_volume`` and the higher of the two grades differ by 2 or more, else
        ``'ok'``.
    pv_ml, deep_ml : float
        Volumes, mL, of periventricular lesions (their part within 13 mm) and of deep ones.
    wall_pct : float
        Percent of the wall of the lateral ventricles that carries periventricular lesion.
    wall5_pct, wall10_pct : float
        Percent of the wall that carries at least 5 and 10 mm of it, without the horns' ends.
    thickness_mm : float
        Thickness that the lesion reaches on 3 % of the wall, without the horns' ends.
    deep_diameter_mm : float
        Largest axial diameter of a deep lesion, as far as it is a third as wide.
    deep_group_mm : float
        Largest axial diameter of a group of neighbouring deep foci; 0 without a group.
    """

    pv: int
    deep: int
    total: int
    deep_ladis: int
    deep_credos: int
    by_volume: int
    volcheck: str
    pv_ml: float
    deep_ml: float
    wall_pct: float
    wall5_pct: float
    wall10_pct: float
    thickness_mm: float
    deep_diameter_mm: float
    deep_group_mm: float

    def as_dict(self) -> dict[str, float | int | str]:
        """Give the values under the names of the measures table."""
        return {f'fazekas_{name}': value for name, value in asdict(self).items()}


def volume_grade(volume_ml: float) -> int:
    """Suggest a grade from the volume of all white matter hyperintensities.

    Cut points of 0.5, 7 and 16 mL lie between the mean volumes of 3.7, 10.8 and 35.2 mL found
    in 198 patients of grade 1, 2 and 3 (Stroke 2020;51 suppl 1, TP208).

    Parameters
    ----------
    volume_ml : float
        Volume in mL.

    Returns
    -------
    int
        0 to 3.

    Examples
    --------
    >>> [volume_grade(v) for v in (0.1, 3.7, 10.8, 35.2)]
    [0, 1, 2, 3]
    """
    return int(np.searchsorted(_VOLUME_ML, volume_ml, side='right'))


def grade(
    lesion: np.ndarray, d_v: np.ndarray, affine: np.ndarray, wall: Wall, *, rule: str = 'ladis'
) -> Fazekas:
    """Grade white matter hyperintensities after Fazekas.

    A 26-connected lesion is periventricular if it comes within 3 mm of the lateral ventricles,
    or within the distance of the slices if that is more, as slices cannot tell a smaller gap.
    All others are deep, and so is the part of any lesion farther than 13 mm from the ventricles.

    Periventricular, by the thickness of these lesions straight out from each place of the wall
    (to their outer border, so that a band from 2 to 10 mm is 10 mm thick): 0 if there are less
    than 0.2 mL of them within 13 mm; 3 (irregular, into the deep white matter) if they are at
    least 10 mm thick on 1.5 % of the wall; 2 (halo) if they are at least 5 mm thick on 3 % of it;
    else 1. The first and last 12 mm of each ventricle, where the caps are, do not count, and
    tongues and stray voxels take up less of the wall. 3 % of it are some 2.5 cm2, such as 5 mm of
    halo over 14 x 9 mm on either side.

    Deep, by the axial diameter of a lesion as far as it is a third as wide: 0 if there are less
    than 0.05 mL; 1 (punctate) under 10 mm; 2 (beginning confluence) under 20 mm (``'credos'``:
    25 mm); else 3 (large confluent). A group of foci that touch or nearly do, each at least
    3.3 mm wide, has grade 2 if it is as large as grade 3 asks of one lesion.

    Parameters
    ----------
    lesion : ndarray of bool, shape (nx, ny, nz)
        White matter hyperintensities, without those of deep grey matter and brainstem.
    d_v : ndarray, shape (nx, ny, nz)
        Distance, mm, from the lateral ventricles; used within the lesions only.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm (RAS+).
    wall : Wall
        Of the lateral ventricles, in the same mm (`csvdprep.science.walls.find_wall`).
    rule : {'ladis', 'credos'}
        Which of the two deep grades enters ``deep`` and ``total``.

    Returns
    -------
    Fazekas

    Raises
    ------
    ValueError
        If the rule is unknown or a distance within the lesions is not finite.

    References
    ----------
    Fazekas et al. 1987, doi:10.2214/ajr.149.2.351; 5 and 10 mm of caps and bands after Scheltens
    et al. 1993, doi:10.1016/0022-510X(93)90041-V; sizes, groups and bridges of deep lesions after
    LADIS, doi:10.1161/01.STR.0000179092.59909.42; agreement of a grading by size with three
    radiologists: doi:10.31083/j.jin2203057. The shares of the wall are this application's.

    Examples
    --------
    >>> from csvdprep.science.walls import find_wall
    >>> radius = np.linalg.norm(np.indices((90, 60, 60)) - 30, axis=0)
    >>> lesion = (radius > 12) & (radius <= 15)  # a lining of 3 mm
    >>> lesion[70:76, 27:33, 27:33] = True  # and a deep lesion of 6 mm
    >>> result = grade(lesion, radius - 12, np.eye(4), find_wall(radius <= 12, np.eye(4)))
    >>> result.pv, result.deep, result.total
    (1, 1, 2)
    """
    if rule not in RULES:
        raise ValueError(f'Unknown rule {rule!r}; there are {", ".join(RULES)}.')
    lesion = np.asarray(lesion, dtype=bool)
    d_v = np.asarray(d_v)
    if not np.isfinite(d_v[lesion]).all():
        raise ValueError('The distance from the ventricles is not known for all lesions.')
    voxel_ml = voxel_volume(affine) / 1000

    near = _periventricular(lesion, d_v, affine)
    far = lesion & (d_v > _FAR_MM)
    pv_ml = float((near & ~far).sum() * voxel_ml)
    thickness = thickness_on(wall, near, affine, gap_mm=_NEAR_MM)
    layer = np.where(horn_ends(wall, _HORN_MM), 0, thickness)
    shares = [100 * float((layer >= least).mean()) for least in (_HALO_MM, _IRREGULAR_MM)]
    deep = far | (lesion & ~near)
    deep_ml = float(deep.sum() * voxel_ml)
    diameter = confluent_diameter(lesion, affine, where=deep)
    group = group_diameter(lesion, affine, where=deep)

    pv = _grade_pv(pv_ml, *shares)
    by_rule = {name: _grade_deep(deep_ml, diameter, group, cuts) for name, cuts in RULES.items()}
    by_volume = volume_grade(float(lesion.sum() * voxel_ml))
    return Fazekas(
        pv=pv,
        deep=by_rule[rule],
        total=pv + by_rule[rule],
        deep_ladis=by_rule['ladis'],
        deep_credos=by_rule['credos'],
        by_volume=by_volume,
        volcheck='warn' if abs(by_volume - max(pv, by_rule[rule])) >= 2 else 'ok',
        pv_ml=pv_ml,
        deep_ml=deep_ml,
        wall_pct=100 * float((thickness > 0).mean()),
        wall5_pct=shares[0],
        wall10_pct=shares[1],
        thickness_mm=float(np.percentile(layer, 100 - _HALO_PCT)),
        deep_diameter_mm=diameter,
        deep_group_mm=group,
    )


def _periventricular(lesion: np.ndarray, d_v: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Find the lesions that cannot be told to be detached from the ventricles."""
    labels, n_lesions = label_lesions(lesion, affine)
    nearest = lesion_range(d_v, labels, n_lesions)[0]
    gap = max(_NEAR_MM, float(voxel_sizes(affine).max()))
    return np.concatenate([[False], nearest <= gap])[labels]


def _grade_pv(volume_ml: float, halo_pct: float, irregular_pct: float) -> int:
    if volume_ml < _PV_ML:
        return 0
    if irregular_pct >= _IRREGULAR_PCT:
        return 3
    return 2 if halo_pct >= _HALO_PCT else 1


def _grade_deep(volume_ml: float, diameter: float, group: float, cuts: tuple[float, float]) -> int:
    if volume_ml < _DEEP_ML:
        return 0
    found = 1 + int(np.searchsorted(cuts, diameter, side='right'))
    return max(found, 2) if group >= cuts[1] else found
