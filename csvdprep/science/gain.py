"""Receiver gain: whether two images of one head differ by a factor, and by which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

#: Relative difference of two gains that is not worth a word.
SAME_GAIN = 0.03
#: Median difference (%) that a factor may leave between two images. Opposite polarities of three
#: volunteers left 4 to 8 %; a brightness that fades to half across the head leaves 20 %.
MOST_MISFIT = 18.0
#: Detail that is not compared: heads move and are distorted, mm (standard deviation).
BLUR_MM = 5.0


@dataclass(frozen=True)
class Gain:
    """How an image compares with another.

    Parameters
    ----------
    ratio : float
        Its brightness over that of the other: median of the brain.
    misfit_pct : float
        Median difference that is left when it is scaled, %.
    """

    ratio: float
    misfit_pct: float

    @property
    def explained(self) -> bool:
        """Whether a factor makes the two alike."""
        return self.ratio > 0 and self.misfit_pct <= MOST_MISFIT


def compare_gain(first: np.ndarray, other: np.ndarray, brain: np.ndarray, size) -> Gain:
    """Compare the brightness of two images without gradient.

    Parameters
    ----------
    first, other : ndarray, shape (nx, ny, nz)
        Images on one grid.
    brain : ndarray of bool, shape (nx, ny, nz)
        Brain, roughly.
    size : sequence of float
        Edges of a voxel, mm.

    Returns
    -------
    Gain
        ``ratio`` is 0 if one of them is dark.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> head = ndi.gaussian_filter(rng.uniform(0, 900, (20, 20, 20)), 2)
    >>> inside = np.ones(head.shape, bool)
    >>> found = compare_gain(head, 2 * head, inside, (2, 2, 2))
    >>> round(found.ratio, 6), found.explained
    (2.0, True)
    >>> fade = np.linspace(0.1, 3, 20)[:, None, None]
    >>> compare_gain(head, fade * head, inside, (2, 2, 2)).explained
    False
    """
    inside = np.asarray(brain) > 0
    sigma = BLUR_MM / np.asarray(size, float)
    smooth = [
        ndi.gaussian_filter(np.asarray(image, np.float32), sigma) for image in (first, other)
    ]
    levels = [float(np.median(image[inside])) for image in (first, other)]
    if not min(levels) > 0:
        return Gain(0.0, 100.0)
    ratio = levels[1] / levels[0]
    one, two = (image[inside].astype(float) for image in smooth)
    left = np.abs(two / ratio - one) / np.maximum(0.5 * (two / ratio + one), 1e-9)
    return Gain(ratio, 100 * float(np.median(left)))
