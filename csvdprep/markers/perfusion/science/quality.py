"""Numbers that judge a map of blood flow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from csvdprep.science.smoothing import smoothed

#: Probability from which a voxel counts as a tissue, and smoothing (FWHM, mm), for the QEI.
QEI_TISSUE, QEI_FWHM_MM = 0.7, 5.0
#: Constants of the QEI (Dolui 2024, doi:10.1002/jmri.29308).
_SIMILAR, _UNEQUAL, _NEGATIVE = (-3.0126, 2.4419), (0.054, 0.9272), (2.8478, 0.5196)


def evaluation_index(similarity: float, inequality: float, negative: float) -> float:
    """Compute the quality evaluation index (QEI) of a map of blood flow from its three parts.

    Parameters
    ----------
    similarity : float
        Correlation of the map with what grey and white matter would have.
    inequality : float
        Index of dispersion: variance within tissues over mean flow of grey matter.
    negative : float
        Share of grey matter with negative flow.

    Returns
    -------
    float
        0 to 1; below 0.4 the map is not to be used.

    References
    ----------
    .. [1] Dolui S. et al. (2024) Automated quality evaluation index for arterial spin
       labeling-derived cerebral blood flow maps. doi:10.1002/jmri.29308

    Examples
    --------
    >>> round(evaluation_index(0.8, 10, 0.01), 3), round(evaluation_index(0.4, 60, 0.1), 3)
    (0.739, 0.219)
    """
    similar = -np.expm1(_SIMILAR[0] * max(similarity, 0.0) ** _SIMILAR[1])
    penalty = _UNEQUAL[0] * inequality ** _UNEQUAL[1] + _NEGATIVE[0] * negative ** _NEGATIVE[1]
    return float((similar * np.exp(-penalty)) ** (1 / 3))


@dataclass(frozen=True)
class Quality:
    """Quality of a map.

    Attributes
    ----------
    index : float or None
        QEI; None where a tissue is hardly there.
    similarity, inequality, negative : float
        Its parts.
    """

    index: float | None
    similarity: float = float('nan')
    inequality: float = float('nan')
    negative: float = float('nan')


def judge_map(
    cbf: np.ndarray,
    grey: np.ndarray,
    white: np.ndarray,
    fluid: np.ndarray,
    where: np.ndarray,
    voxel_mm,
) -> Quality:
    """Judge a map of blood flow by what the tissues say it should look like.

    Parameters
    ----------
    cbf : ndarray, shape (nx, ny, nz)
        mL/100 g/min.
    grey, white, fluid : ndarray, shape (nx, ny, nz)
        Shares of each voxel.
    where : ndarray of bool
        Brain.
    voxel_mm : sequence of 3 float
        Voxel size, mm.

    Returns
    -------
    Quality

    Examples
    --------
    >>> grey = np.zeros((12, 12, 12)); grey[:4] = 1; white = np.zeros_like(grey); white[4:8] = 1
    >>> cbf = 60 * grey + 24 * white
    >>> found = judge_map(cbf, grey, white, 1 - grey - white, np.ones(cbf.shape, bool), (3, 3, 3))
    >>> found.index > 0.7, found.negative
    (True, 0.0)
    """
    smooth = smoothed(cbf, where, QEI_FWHM_MM, voxel_mm)
    masks = [where & (share > QEI_TISSUE) for share in (grey, white, fluid)]
    if masks[0].sum() < 20 or masks[1].sum() < 20:
        return Quality(None)
    expected = 2.5 * np.asarray(grey) + np.asarray(white)
    if smooth[where].std() > 0 and expected[where].std() > 0:
        similarity = max(0.0, float(np.corrcoef(smooth[where], expected[where])[0, 1]))
    else:
        similarity = 0.0
    total = sum((m.sum() - 1) * float(smooth[m].var(ddof=1)) for m in masks if m.sum() > 1)
    count = sum(int(m.sum()) - 1 for m in masks if m.sum() > 1)
    level = abs(float(smooth[masks[0]].mean()))
    if level == 0:
        return Quality(0.0, similarity, float('inf'), 0.0)
    inequality = total / count / level
    negative = float((smooth[masks[0]] < 0).mean())
    return Quality(
        evaluation_index(similarity, inequality, negative), similarity, inequality, negative
    )


def spatial_cov(values: np.ndarray) -> float | None:
    """Return the spatial coefficient of variation, SD over mean; None if the mean is not positive.

    Late arrival leaves label in arteries and gaps beside them (Mutsaerts 2017,
    doi:10.1177/0271678X16683690).

    Examples
    --------
    >>> round(spatial_cov(np.array([50.0, 60.0, 70.0])), 3)
    0.167
    """
    values = np.asarray(values, float)
    if values.size < 2 or not values.mean() > 0:
        return None
    return float(values.std(ddof=1) / values.mean())
