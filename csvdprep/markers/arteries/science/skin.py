"""Where arteries of the brain are sought if no brain is known."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

#: How far below the skin arteries are sought, mm.
SKIN_MM = 12.0
#: Share of the image that is head, from which on it is a crop within it.
CROP = 0.97


def below_skin(head: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Leave out scalp and skull where the angiogram shows air beside the head.

    Parameters
    ----------
    head : ndarray of bool
        What is not air.
    size : ndarray, shape (3,)
        Edges of a voxel, mm.

    Returns
    -------
    ndarray of bool
        The head, less what lies within 12 mm of the air; all of a crop within the head.
    """
    if head.mean() > CROP:
        return head
    factors = np.maximum(1, np.round(2.0 / size)).astype(int)
    small = head[tuple(slice(None, None, f) for f in factors)]
    # Beyond the border of the image the head goes on.
    depth = ndi.distance_transform_edt(np.pad(small, 1, mode='edge'), sampling=size * factors)
    deep = depth[1:-1, 1:-1, 1:-1] > SKIN_MM
    index = [
        np.minimum(np.arange(n) // f, m - 1)
        for n, f, m in zip(head.shape, factors, deep.shape, strict=True)
    ]
    return deep[np.ix_(*index)] & head
