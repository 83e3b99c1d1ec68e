"""Hyperintensities made to a pair of Fazekas grades."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from csvdprep.markers.fazekas.science import Fazekas, grade
from csvdprep.phantom.disease.hyperintensities import LesionGrowth, lesion_growth
from csvdprep.phantom.head.anatomy import Anatomy
from csvdprep.science.distances import distance_map
from csvdprep.science.shapes import axial_diameter

#: Thickness of the halo (95th percentile) and diameter of the largest focus, mm, by grade.
HALO_MM = (0.0, 3.7, 7.5, 11.4)
FOCUS_MM = (0.0, 7.0, 14.0, 26.0)
#: The halo ends here and foci begin there, mm from the ventricles, so that they stay apart.
HALO_END_MM, FOCI_BEGIN_MM = 12.5, 16.5
#: Number of foci, by grade.
FOCI = (0, 7, 16, 40)
#: Unevenness of the halo, by grade: a third-degree halo is thick in places, not all round.
IRREGULARITY = (0.45, 0.45, 0.45, 0.9)
ATTEMPTS = 8


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
    for attempt in range(ATTEMPTS):
        # Foci that flow together may skip a size: then others are drawn.
        growth = lesion_growth(anatomy, seed + 1000 * attempt, foci=FOCI[deep],
                               apart_mm=FOCI_BEGIN_MM + 4,
                               irregularity=IRREGULARITY[pv])  # fmt: skip
        d_v = from_ventricles(anatomy, growth)
        halo = _to_thickness(growth, d_v, HALO_MM[pv])
        foci = _to_diameter(growth, d_v, FOCUS_MM[deep], anatomy)
        share = growth.scatter(np.maximum(halo, foci))
        found = true_grades(anatomy, share)
        if (found.pv, found.deep) == (pv, deep):
            return share
    raise ValueError(f'This head does not show Fazekas {pv}/{deep}.')


def true_grades(anatomy: Anatomy, share: np.ndarray) -> Fazekas:
    """Grade lesions by the rule of the application, on the true lesions and ventricles.

    Parameters
    ----------
    anatomy : Anatomy
        The head.
    share : ndarray, shape of the head's grid
        Share of each voxel that is lesion; half counts.

    Returns
    -------
    Fazekas
    """
    lesion = share >= 0.5
    ventricles = anatomy.regions['ventricles']
    d_v = distance_map(ventricles, anatomy.affine, lesion.shape, anatomy.affine, where=lesion)
    return grade(lesion, d_v, anatomy.affine)


def from_ventricles(anatomy: Anatomy, growth: LesionGrowth) -> np.ndarray:
    """Measure from the ventricles to every voxel that can become lesion, mm."""
    where = np.zeros(growth.shape, bool)
    where[growth.where] = True
    ventricles = anatomy.regions['ventricles']
    return distance_map(ventricles, anatomy.affine, growth.shape, anatomy.affine,
                        where=where)[growth.where]  # fmt: skip


def _to_thickness(growth: LesionGrowth, d_v: np.ndarray, wanted: float) -> np.ndarray:
    """Let the halo grow to a thickness."""
    if not wanted:
        return np.zeros_like(growth.site)

    def halo(stage):
        return np.where(d_v <= HALO_END_MM, growth.share(stage, 0), 0)

    low, high = 0.0, 60.0
    for _ in range(25):
        middle = (low + high) / 2
        thick = d_v[halo(middle) >= 0.5]
        short = not len(thick) or np.percentile(thick, 95) < wanted
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
        short = axial_diameter(mask, anatomy.affine, 1.5) < wanted
        low, high = (middle, high) if short else (low, middle)
    return foci(high)
