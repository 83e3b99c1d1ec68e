"""Healthy white matter that is brighter than elsewhere on FLAIR, in everybody."""

from __future__ import annotations

import nibabel as nib
import numpy as np

from csvdprep.phantom.geometry.fields import pull, resize
from csvdprep.phantom.head.anatomy import Anatomy
from csvdprep.resources import resource


def healthy_brightness(anatomy: Anatomy) -> np.ndarray:
    """Return how much brighter on FLAIR than its level healthy white matter is.

    Around the posterior horns and in the pyramidal tract myelin is looser and T2 longer.

    Parameters
    ----------
    anatomy : Anatomy
        The head.

    Returns
    -------
    ndarray of float32, shape (nx, ny, nz)
        As a share of the level of white matter.

    Examples
    --------
    >>> from csvdprep.phantom.head.anatomy import make_anatomy
    >>> bright = healthy_brightness(make_anatomy(1, spacing=4))
    >>> bool(0.05 < bright.max() < 0.3)
    True
    """
    image = nib.load(resource('template_flair'))
    values = pull(image.get_fdata(dtype=np.float32), image.affine, anatomy.flow)
    return resize(values, anatomy.fractions['wm'].shape)
