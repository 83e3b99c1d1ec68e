"""Grey and white matter divided as another segmentation has them."""

from __future__ import annotations

import numpy as np

from csvdprep.science.tissues import CSF, GM, TINY, WM

#: Below this share of grey and white matter a segmentation does not divide them.
LEAST_SOLID = 0.02


def divided(
    probability: np.ndarray, grey: np.ndarray, white: np.ndarray, lesion: np.ndarray | None = None
) -> np.ndarray:
    """Divide what is no fluid between grey and white matter as another segmentation has them.

    Parameters
    ----------
    probability : ndarray, shape (3, nx, ny, nz)
        Shares of CSF, GM, WM; the first stays.
    grey, white : ndarray, shape (nx, ny, nz)
        Shares of the other segmentation; where it has neither, the first division stays.
    lesion : ndarray, optional
        White matter by definition.

    Returns
    -------
    ndarray of float32, shape (3, nx, ny, nz)

    Examples
    --------
    >>> first = np.array([0.2, 0.1, 0.7])[:, None, None, None]
    >>> out = divided(first, np.full((1, 1, 1), 0.6), np.full((1, 1, 1), 0.2))
    >>> out[:, 0, 0, 0].round(2).tolist()
    [0.20000000298023224, 0.6000000238418579, 0.20000000298023224]
    """
    solid = probability[GM] + probability[WM]
    both = np.asarray(grey) + np.asarray(white)
    own = probability[GM] / np.maximum(solid, TINY)
    share = np.where(both > LEAST_SOLID, grey / np.maximum(both, TINY), own)
    if lesion is not None:
        share = np.where(np.asarray(lesion) > 0, 0, share)
    out = np.stack([probability[CSF], solid * share, solid * (1 - share)])
    return out.astype(np.float32)
