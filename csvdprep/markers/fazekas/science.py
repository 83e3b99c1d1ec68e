"""Fazekas grades from the geometry of segmented lesions.

The grades of Fazekas et al. 1987 (doi:10.2214/ajr.149.2.351) describe shape and size, so they
are derived from shape and size; the volume only checks the result, because the volumes of
neighbouring grades overlap widely.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from csvdprep.science.distances import voxel_sizes
from csvdprep.science.shapes import axial_diameter, label_lesions, lesion_range, voxel_volume

__all__ = ['RULES', 'Fazekas', 'grade', 'volume_grade']

#: Diameters, mm, from which deep lesions have grade 2 and 3.
RULES = {'ladis': (10.0, 20.0), 'credos': (10.0, 25.0)}

_PV_ML, _DEEP_ML = 0.2, 0.05  # below these volumes, mL, the grade is 0
_TOUCH_MM, _NEAR_MM, _FAR_MM = 1.5, 3.0, 13.0
_HALO_MM, _THICK_MM, _IRREGULAR = 5.0, 10.0, 0.10
_BRIDGE_MM = 1.5
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
        Volumes, mL, of lesions touching the ventricles (their part within 13 mm) and of deep
        ones.
    thickness_mm : float
        95th percentile of the distance from the ventricles over the lesions touching them.
    irregular : float
        Part of these lesions' volume that is farther than 13 mm from the ventricles.
    deep_diameter_mm : float
        Largest axial diameter of a deep lesion or of lesions joined by bridges.
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
    thickness_mm: float
    irregular: float
    deep_diameter_mm: float

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
    lesion: np.ndarray, d_v: np.ndarray, affine: np.ndarray, *, rule: str = 'ladis'
) -> Fazekas:
    """Grade white matter hyperintensities after Fazekas.

    Periventricular, over the 26-connected lesions P that come within 1.5 mm of the lateral
    ventricles, with t95 the 95th percentile of their distance from the ventricles:
    0 if P has less than 0.2 mL within 13 mm; 1 if t95 <= 5 mm; 2 if t95 <= 10 mm and less than
    10 % of P is farther than 13 mm; else 3.

    Deep, over the voxels D farther than 13 mm from the ventricles and all of the lesions that
    stay beyond 3 mm (or the distance of the slices, if that is more), with the largest axial
    diameter of D where what is within 3 mm of each other in a slice counts as one: 0 if D has
    less than 0.05 mL; 1 if the diameter is under 10 mm; 2 if it is under 20 mm (``'credos'``:
    25 mm); else 3.

    Parameters
    ----------
    lesion : ndarray of bool, shape (nx, ny, nz)
        White matter hyperintensities, without those of deep grey matter and brainstem.
    d_v : ndarray, shape (nx, ny, nz)
        Distance, mm, from the lateral ventricles; used within the lesions only.
    affine : ndarray, shape (4, 4)
        From voxel indices to mm (RAS+).
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
    Fazekas et al. 1987, doi:10.2214/ajr.149.2.351; agreement of the same construction with
    three radiologists: doi:10.31083/j.jin2203057

    Examples
    --------
    >>> import numpy as np
    >>> d_v = np.broadcast_to(np.arange(40.0)[:, None, None], (40, 20, 20))
    >>> lesion = np.zeros(d_v.shape, bool)
    >>> lesion[:5] = True  # a halo of 4 mm
    >>> lesion[25:30, 5:10, 5:10] = True  # and a deep lesion of 5 mm
    >>> result = grade(lesion, d_v, np.eye(4))
    >>> result.pv, result.deep, result.total
    (1, 1, 2)
    """
    if rule not in RULES:
        raise ValueError(f'Unknown rule {rule!r}; there are {", ".join(RULES)}.')
    lesion = np.asarray(lesion, dtype=bool)
    d_v = np.asarray(d_v)
    if not np.isfinite(d_v[lesion]).all():
        raise ValueError('The distance from the ventricles is not known everywhere.')
    voxel_ml = voxel_volume(affine) / 1000

    labels, n_lesions = label_lesions(lesion, affine)
    nearest = lesion_range(d_v, labels, n_lesions)[0]
    # One entry for the background, which is neither.
    touching = np.concatenate([[False], nearest <= _TOUCH_MM])[labels]
    # Slices cannot tell that a lesion is detached by less than their distance.
    gap = max(_NEAR_MM, float(voxel_sizes(affine).max()))
    apart = np.concatenate([[False], nearest > gap])[labels]
    deep = (lesion & (d_v > _FAR_MM)) | apart

    thick = d_v[touching]
    pv_ml = float((thick <= _FAR_MM).sum() * voxel_ml)
    t95 = float(np.percentile(thick, 95)) if len(thick) else 0.0
    irregular = float((thick > _FAR_MM).mean()) if len(thick) else 0.0
    deep_ml = float(deep.sum() * voxel_ml)
    diameter = axial_diameter(deep, affine, _BRIDGE_MM)

    pv = _grade_pv(pv_ml, t95, irregular)
    by_rule = {name: _grade_deep(deep_ml, diameter, cuts) for name, cuts in RULES.items()}
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
        thickness_mm=t95,
        irregular=irregular,
        deep_diameter_mm=diameter,
    )


def _grade_pv(volume_ml: float, t95: float, irregular: float) -> int:
    if volume_ml < _PV_ML:
        return 0
    if t95 <= _HALO_MM:
        return 1
    return 2 if t95 <= _THICK_MM and irregular < _IRREGULAR else 3


def _grade_deep(volume_ml: float, diameter: float, cuts: tuple[float, float]) -> int:
    if volume_ml < _DEEP_ML:
        return 0
    return 1 + int(np.searchsorted(cuts, diameter, side='right'))
