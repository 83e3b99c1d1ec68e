"""From the network's probabilities to lesions."""

from __future__ import annotations

import numpy as np

from csvdprep.markers.wmh.science_cut import Cut, Head, WmhOptions
from csvdprep.markers.wmh.science_model import Excess
from csvdprep.markers.wmh.science_region import white_region
from csvdprep.markers.wmh.science_threshold import grow_from_seeds

#: Log odds by which the probability is varied for the range of the volume.
JITTER = 1.0


def network_cut(head: Head, excess: Excess, learned, options: WmhOptions) -> Cut:
    """Cut lesions by the network's probability.

    Parameters
    ----------
    head : Head
        The head.
    excess : Excess
        Its FLAIR, above normal.
    learned : (ndarray, ndarray) of float32, shape (I, J, K)
        Probability of lesion and of lining.
    options : WmhOptions
        ``network_cut``.

    Returns
    -------
    Cut
    """
    allowed = head.counted
    lesion = np.where(allowed, learned[0], 0).astype(np.float32)

    def cut(least):
        return grow_from_seeds(lesion, allowed, least, least, head.voxel_mm,
                               least_mm3=head.least_mm3)  # fmt: skip

    found = cut(options.network_cut)
    middle = np.log(options.network_cut / (1 - options.network_cut))
    levels = middle + JITTER * np.linspace(-1, 1, options.runs)
    runs = tuple(np.flatnonzero(cut(1 / (1 + np.exp(-level)))) for level in levels)
    _, depth = white_region(head.wm, excess.white, head.brain, head.voxel_mm, head.atlas)
    return Cut(
        mask=found, probability=lesion, deep=(depth >= 1) & allowed,
        share=np.clip((lesion - 0.1) / 0.8, 0, 1),
        runs=runs,
    )  # fmt: skip
