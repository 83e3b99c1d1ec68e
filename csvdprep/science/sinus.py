"""Where the superior sagittal sinus may lie in the template."""

from __future__ import annotations

import numpy as np

#: Where the sinus may lie in the template, mm (x to either side, y, z); the wider box is taken if
#: the first has too few voxels.
BOXES = (((8.0, (-100.0, -40.0), (5.0, 70.0))), ((14.0, (-112.0, 10.0), (-5.0, 90.0))))


def in_sinus(points: np.ndarray, box: int = 0) -> np.ndarray:
    """Tell which positions of the template may lie in the superior sagittal sinus.

    Parameters
    ----------
    points : ndarray, shape (m, 3)
        RAS+ mm, MNI.
    box : {0, 1}
        Which of :data:`BOXES`.

    Returns
    -------
    ndarray of bool, shape (m,)

    Examples
    --------
    >>> in_sinus(np.array([[0.0, -80, 40], [30, -80, 40]])).tolist()
    [True, False]
    """
    side, (back, front), (low, high) = BOXES[box]
    x, y, z = np.asarray(points, float).T
    return (np.abs(x) <= side) & (y >= back) & (y <= front) & (z >= low) & (z <= high)
