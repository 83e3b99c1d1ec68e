"""Positions through transforms."""

from __future__ import annotations

import numpy as np


def map_points(points: np.ndarray, transform: str) -> np.ndarray:
    """Take positions through an ITK transform.

    Parameters
    ----------
    points : ndarray, shape (n, 3)
        RAS+ mm, in the space of the image that the transform resamples onto.
    transform : str
        ITK file.

    Returns
    -------
    ndarray, shape (n, 3)
        RAS+ mm, in the space of the image that the transform resamples.

    """
    import ants
    import pandas as pd

    if not len(points):
        return np.zeros((0, 3))
    flip = np.array([-1.0, -1.0, 1.0])
    table = pd.DataFrame(np.asarray(points, float) * flip, columns=['x', 'y', 'z'])
    moved = ants.apply_transforms_to_points(3, table, [transform])
    return moved[['x', 'y', 'z']].to_numpy() * flip
