"""What the map of an engine means as a probability: how often such a voxel is lesion."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def calibrated(
    map_: np.ndarray, engine: str, has_t1w: bool, curves: Mapping[str, Mapping[str, list]]
) -> np.ndarray:
    """Turn the map of an engine into the share of such voxels that are lesion.

    The curve is monotone, fitted by isotonic regression [1]_ on lesions of known place, so the
    order of voxels stays, and with it every mask that is cut.

    Parameters
    ----------
    map_ : ndarray
        0 to 1.
    engine : {'classical', 'network', 'both'}
        What made the map.
    has_t1w : bool
        Whether tissue is known from a T1w.
    curves : mapping
        By engine, and by ``'t1w'`` or ``'flair'`` (alone): values of the map, and their meaning.

    Returns
    -------
    ndarray of float32
        0 to 1; the map as it is if there is no curve for the engine.

    References
    ----------
    .. [1] Zadrozny B, Elkan C. (2002) Transforming classifier scores into accurate multiclass
       probability estimates. doi:10.1145/775047.775151

    Examples
    --------
    >>> curves = {'both': {'t1w': [[0, 0.5, 1], [0, 0.8, 1]]}}
    >>> calibrated(np.array([0.25, 0.5]), 'both', True, curves).round(2).tolist()
    [0.4000000059604645, 0.800000011920929]
    >>> calibrated(np.array([0.25]), 'both', False, curves).tolist()
    [0.25]
    """
    curve = curves.get(engine, {}).get('t1w' if has_t1w else 'flair')
    map_ = np.asarray(map_, np.float32)
    if curve is None:
        return map_
    return np.interp(map_, *curve).astype(np.float32)
