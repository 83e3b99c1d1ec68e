"""Zones of true hyperintensities, by code of its own: truth must not share the errors of a marker.

Zones are those of Kim et al. 2008, doi:10.1016/j.biopsych.2008.03.024: to 3 mm from the lateral
ventricles juxtaventricular, to 13 mm periventricular; of the rest to 4 mm from the cortex
juxtacortical, else deep.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from csvdprep.phantom.head.anatomy import Anatomy

#: Names and abbreviations by label.
ZONES = {
    1: ('juxtaventricular', 'JV'),
    2: ('periventricular', 'PV'),
    3: ('deep', 'DW'),
    4: ('juxtacortical', 'JC'),
}
#: Deeper than this below the surface of the brain, mm, grey matter is no cortex.
CORTEX_MM = 6.0


def true_zones(anatomy: Anatomy, share: np.ndarray) -> np.ndarray:
    """Tell the zone of each voxel that holds hyperintensity.

    Parameters
    ----------
    anatomy : Anatomy
        The head.
    share : ndarray, shape (nx, ny, nz)
        How much of each voxel is hyperintense.

    Returns
    -------
    ndarray of uint8, shape (nx, ny, nz)
        Label of `ZONES`; 0 where there is none.

    Examples
    --------
    >>> from csvdprep.phantom.head.anatomy import make_anatomy
    >>> head = make_anatomy(1, spacing=4)
    >>> everywhere = true_zones(head, head.fractions['wm'])
    >>> sorted(np.unique(everywhere).tolist())
    [0, 1, 2, 3, 4]
    """
    lesion = share > 0
    zones = np.zeros(share.shape, np.uint8)
    if not lesion.any():
        return zones
    from_ventricles = _away(anatomy, anatomy.regions['ventricles'] > 0.5)[lesion]
    from_cortex = _away(anatomy, _cortex(anatomy, share))[lesion]
    zones[lesion] = np.select(
        [from_ventricles <= 3, from_ventricles <= 13, from_cortex <= 4], [1, 2, 4], 3
    )
    return zones


def _away(anatomy: Anatomy, part) -> np.ndarray:
    """Return the distance of voxel centres from the surface of a part, mm."""
    step = np.abs(np.diag(anatomy.affine)[:3])
    return np.maximum(0, ndi.distance_transform_edt(~part, step) - step.mean() / 2)


def _cortex(anatomy: Anatomy, share) -> np.ndarray:
    """Return grey matter that is near what is fluid on the outside, and in no deep structure."""
    solid = anatomy.fractions['gm'] + anatomy.fractions['wm'] > 0.5
    solid |= anatomy.structures > 0  # ventricles and deep structures are no outside
    depth = ndi.distance_transform_edt(solid, np.abs(np.diag(anatomy.affine)[:3]))
    grey = (anatomy.fractions['gm'] > 0.5) & (share <= 0.5) & (anatomy.structures == 0)
    return grey & (depth <= CORTEX_MM)
