"""Blood flow of grey and of white matter, taken apart by what voxels hold."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

#: Voxels of the kernel along each axis within a slice.
KERNEL = 5
#: Share of a tissue in a voxel from which its flow is given.
LEAST_SHARE = 0.1


def tissue_flows(
    cbf: np.ndarray, grey: np.ndarray, white: np.ndarray, where: np.ndarray, slice_axis: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Separate the flow of grey and white matter by linear regression.

    In a kernel of 5 x 5 voxels of a slice both flows are taken as constant: least squares of
    ``cbf = grey * cbf_grey + white * cbf_white``; fluid has none.

    Parameters
    ----------
    cbf : ndarray, shape (nx, ny, nz)
        mL/100 g/min.
    grey, white : ndarray, shape (nx, ny, nz)
        Shares of each voxel.
    where : ndarray of bool, shape (nx, ny, nz)
        Voxels that take part.
    slice_axis : int
        Axis across which the kernel has one voxel.

    Returns
    -------
    grey, white : ndarray of float32, shape (nx, ny, nz)
        Flows of pure tissue; NaN where a voxel holds less than a tenth of the tissue, or its
        kernel does not tell the two apart.

    References
    ----------
    .. [1] Asllani I. et al. (2008) Regression algorithm correcting for partial volume effects in
       arterial spin labeling MRI. doi:10.1002/mrm.21670

    Examples
    --------
    >>> grey = np.tile(np.linspace(0, 1, 9), (9, 1))[..., None]; white = 1 - grey
    >>> g, w = tissue_flows(60 * grey + 20 * white, grey, white, grey >= 0)
    >>> round(float(g[4, 4, 0]), 3), round(float(w[4, 4, 0]), 3), bool(np.isnan(g[4, 0, 0]))
    (60.0, 20.0, True)
    """
    size = [KERNEL] * 3
    size[slice_axis] = 1
    inside = np.asarray(where, float)
    first, second = (np.asarray(share, float) * inside for share in (grey, white))
    flow = np.asarray(cbf, float) * inside

    def total(values: np.ndarray) -> np.ndarray:
        return ndi.uniform_filter(values, size, mode='constant')

    gg, ww, gw = total(first * first), total(second * second), total(first * second)
    gc, wc = total(first * flow), total(second * flow)
    whole = gg * ww - gw * gw
    apart = whole > 1e-3 * np.maximum(gg * ww, 1e-12)
    safe = np.where(apart, whole, 1)
    found = []
    for share, other, own, cross, alone in ((first, ww, gc, wc, gg), (second, gg, wc, gc, ww)):
        both = (other * own - gw * cross) / safe
        # Where the kernel holds one tissue only, there is nothing to take apart.
        single = np.divide(own, alone, out=np.full(own.shape, np.nan), where=alone > 1e-6)
        value = np.where(apart, both, np.where(gw <= 1e-3 * alone, single, np.nan))
        found.append(np.where((share >= LEAST_SHARE) & where, value, np.nan).astype(np.float32))
    return found[0], found[1]
