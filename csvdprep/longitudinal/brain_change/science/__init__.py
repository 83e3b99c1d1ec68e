"""Change of brain volume between two visits, on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from csvdprep.longitudinal.brain_change.science.boundary import (
    WINDOW,
    Scaled,
    Shares,
    border,
    one_scale,
    shift,
)
from csvdprep.longitudinal.brain_change.science.deformation import half_velocity, log_jacobian
from csvdprep.longitudinal.brain_change.science.error import standard_error
from csvdprep.longitudinal.brain_change.science.size import head_scale

__all__ = ['Compared', 'Shares', 'compare']

#: The border of the lateral ventricles reaches so far beyond their masks, mm.
WALL_MM = 3.0
#: Intensities that the deformation sees: fluid is 0, grey matter 1.
SEEN = (-0.3, 1.8)


@dataclass(frozen=True, eq=False)
class Compared:
    """What two visits tell of the change of volume.

    Attributes
    ----------
    brain_ml, ventricles_ml : float
        Mean volume of brain (grey and white matter) and of the lateral ventricles; percent are
        of these.
    change_ml, error_ml : float
        Change by the shift of the border between brain and fluid, and its standard error.
    change_pct, error_pct : float
        The same, % of the brain.
    jacobian_pct : float
        Change by the deformation between the visits.
    ventricles_change_ml, ventricles_jacobian_ml : float
        Change of the lateral ventricles, by both ways; NaN without masks.
    scale_pct : float or None
        By how much the head is longer at the later visit; None without skull.
    covered_pct : float
        Share of the brain of both visits that both images show, %.
    scaled : Scaled
        Images on one scale.
    shift, jacobian : ndarray of float32, shape (I, J, K)
        Maps: share of the voxel that became brain; logarithm of the ratio of volumes.
    """

    brain_ml: float
    ventricles_ml: float
    change_ml: float
    error_ml: float
    change_pct: float
    error_pct: float
    jacobian_pct: float
    ventricles_change_ml: float
    ventricles_jacobian_ml: float
    scale_pct: float | None
    covered_pct: float
    scaled: Scaled
    shift: np.ndarray
    jacobian: np.ndarray


def compare(
    images: Sequence[np.ndarray],
    shares: Sequence[Shares],
    ventricles: Sequence[np.ndarray] | None,
    voxel_mm: Sequence[float],
    window: tuple[float, float] = WINDOW,
    covered: np.ndarray | None = None,
) -> Compared:
    """Measure how the volume of the brain changed between two visits.

    Parameters
    ----------
    images : two ndarray, shape (I, J, K)
        T1w of the earlier and the later visit in the space half-way between them.
    shares : two Shares
        Tissues of each there.
    ventricles : two ndarray, optional
        Share of the lateral ventricles of each.
    voxel_mm : sequence of 3 float
        Voxel size.
    window : (float, float)
        Of the integral, as shares of the way from fluid to grey matter.
    covered : ndarray of bool, optional
        What both images show, off their edges; all, if not given. Volumes and changes are of this.

    Returns
    -------
    Compared
        With the visits in reverse order, each change is exactly the opposite.

    Raises
    ------
    ValueError
        If the images cannot be brought to one scale.

    Notes
    -----
    The tissues of both visits only say where borders are and which voxels are pure. The change is
    the difference of the images along borders, in a window of intensities between fluid and grey
    matter: the boundary shift integral, with a window and levels that follow the tissues
    (KN-BSI [1]_).

    References
    ----------
    .. [1] Leung K.K. et al. (2010) Robust atrophy rate measurement in Alzheimer's disease using
       multi-site serial MRI. doi:10.1016/j.neuroimage.2009.12.059

    Examples
    --------
    >>> at = np.indices((48, 48, 48)) - 23.5
    >>> away = np.sqrt((at ** 2).sum(axis=0))
    >>> def ball(radius): return np.clip(radius - away + 0.5, 0, 1).astype(np.float32)
    >>> head = ball(22)
    >>> def seen(radius):
    ...     inner, whole = ball(radius - 4), ball(radius)
    ...     image = 0.3 * head + 0.5 * whole + 0.2 * inner
    ...     return image, Shares(inner, whole - inner, head - whole, head)
    >>> (one, first), (two, last) = seen(18.1), seen(18.0)
    >>> found = compare([one, two], [first, last], None, (1, 1, 1))
    >>> truth = 300 * np.log(18.0 / 18.1)
    >>> bool(abs(found.change_pct - truth) < 0.05)
    True
    """
    voxel_mm = np.asarray(voxel_mm, float)
    voxel_ml = float(np.prod(voxel_mm)) / 1000
    scaled = one_scale(images, shares, voxel_mm)
    most = np.maximum(shares[0].brain, shares[1].brain)
    covered = np.ones(most.shape, bool) if covered is None else covered
    shown = float(most[covered].sum(dtype=float)) / float(most.sum(dtype=float))
    if not shown:
        raise ValueError('the images have no brain in common')
    where = border(shares, voxel_mm) & covered
    moved = shift(scaled, where, window)
    error = standard_error(scaled, shares, where, voxel_mm, window)
    brain = (shares[0].brain + shares[1].brain) / 2 * covered
    head = (np.minimum(shares[0].head, shares[1].head) >= 0.5) & covered
    velocity, blocks = half_velocity(
        [np.clip(image, *SEEN) for image in scaled.images], head, voxel_mm
    )
    ratio = log_jacobian(velocity, blocks, brain.shape)
    ratio[~head] = 0
    growth = 2 * np.sinh(ratio / 2)
    brain_ml = float(brain.sum(dtype=float)) * voxel_ml
    change = float(moved.sum(dtype=float)) * voxel_ml
    wide = wider = deformed = float('nan')
    if ventricles is not None:
        middle = (ventricles[0] + ventricles[1]) / 2 * covered
        wide = float(middle.sum(dtype=float)) * voxel_ml
        near = ndi.distance_transform_edt(middle < 0.5, sampling=voxel_mm) <= WALL_MM
        wider = -float(moved[near].sum(dtype=float)) * voxel_ml
        deformed = float((middle * growth).sum(dtype=float)) * voxel_ml
    return Compared(
        brain_ml=brain_ml,
        ventricles_ml=wide,
        change_ml=change,
        error_ml=error,
        change_pct=100 * change / brain_ml,
        error_pct=100 * error / brain_ml,
        jacobian_pct=100 * float((brain * growth).sum(dtype=float)) * voxel_ml / brain_ml,
        ventricles_change_ml=wider,
        ventricles_jacobian_ml=deformed,
        scale_pct=head_scale(images, [one.head for one in shares], voxel_mm),
        covered_pct=100 * shown,
        scaled=scaled,
        shift=moved,
        jacobian=ratio,
    )
