"""How far the change of volume may be off, judged from tissue that did not change."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from csvdprep.longitudinal.brain_change.science.boundary import PURE, WINDOW, Scaled, Shares

#: Levels are compared in cubes of this edge, mm, that hold at least so many voxels of a tissue.
CUBE_MM, LEAST_VOXELS = 30.0, 50
#: Neighbouring voxels share noise: as many as these are one.
ALIKE = 4.0


def standard_error(
    scaled: Scaled,
    shares: Sequence[Shares],
    where: np.ndarray,
    voxel_mm: np.ndarray,
    window: tuple[float, float] = WINDOW,
) -> float:
    """Estimate the standard error of the boundary shift integral of two visits.

    Parameters
    ----------
    scaled : Scaled
        Images of both.
    shares : two Shares
        Tissues of both.
    where : ndarray of bool
        Border.
    voxel_mm : ndarray, shape (3,)
        Voxel size.
    window : (float, float)
        Of the integral.

    Returns
    -------
    float
        mL; the same for the visits in reverse order.

    Notes
    -----
    Where the levels of grey matter or fluid differ between the visits, so does the integral: by
    the difference times the partly filled voxels nearby. Levels are compared cube by cube (in
    tissue that is pure at both visits). What all cubes have in common was taken away, up to the
    error of a mean; what is left counts as independent from cube to cube. Noise adds to it. Not
    in it: errors of the scale of the scanner, distortion, and what changes of water in the brain
    do to its volume from day to day.
    """
    one, two = scaled.images
    difference, middle = two - one, (one + two) / 2
    low, high = window
    moved = where & (middle > low) & (middle < high)
    edge = np.maximum(1, np.round(CUBE_MM / voxel_mm)).astype(int)
    index = np.indices(one.shape, dtype=np.int32)
    shape = [-(-n // int(e)) for n, e in zip(one.shape, edge, strict=True)]
    cube = np.ravel_multi_index(tuple(index[a] // edge[a] for a in range(3)), shape)
    count = int(np.prod(shape))
    voxel_ml = float(np.prod(voxel_mm)) / 1000
    total = 0.0
    for name, gain in (('grey', middle), ('fluid', 1 - middle)):
        pure = np.logical_and.reduce([getattr(part, name) >= PURE for part in shares]) & ~moved
        at, values = cube[pure], difference[pure]
        have = np.bincount(at, minlength=count)
        sums = np.bincount(at, weights=np.clip(values, -0.5, 0.5), minlength=count)
        enough = have >= LEAST_VOXELS
        if not enough.any():
            continue
        means = np.where(enough, sums / np.maximum(have, 1), 0)
        weight = np.bincount(
            cube[moved], weights=gain[moved].astype(float) / (high - low), minlength=count
        )
        means[enough] -= np.average(means[enough], weights=have[enough])
        spread = float(np.sqrt(np.average(means[enough] ** 2, weights=have[enough])))
        own = np.where(enough, np.abs(means), spread)
        common = spread / np.sqrt(max(int(enough.sum()), 1))
        total += float((weight**2 * own**2).sum()) + float(weight.sum() * common) ** 2
    noise = scaled.spread / (high - low) * np.sqrt(ALIKE * moved.sum())
    return voxel_ml * float(np.sqrt(total + noise**2))
