"""Blood flow by the distance from hyperintensities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Fewest rings of a slope.
LEAST_RINGS = 3


def ring_slope(points: Sequence[tuple[float, float, int]]) -> float | None:
    """Fit a line to rings, each with the weight of its voxels.

    Parameters
    ----------
    points : sequence of (float, float, int)
        Mean distance (mm), mean value, number of voxels.

    Returns
    -------
    float or None
        Value per mm; None with fewer than three rings.

    Examples
    --------
    >>> ring_slope([(1.5, 20.0, 50), (4.5, 23.0, 90), (7.5, 26.0, 20)])
    1.0
    """
    if len(points) < LEAST_RINGS:
        return None
    x, y, weight = np.array(points, float).T
    x = x - np.average(x, weights=weight)
    return round(float((weight * x * y).sum() / (weight * x * x).sum()), 12)
