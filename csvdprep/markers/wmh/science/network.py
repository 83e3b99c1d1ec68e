"""From the network's probabilities to lesions."""

from __future__ import annotations

import numpy as np

from csvdprep.markers.wmh.science.cut import Cut, Head, WmhOptions
from csvdprep.markers.wmh.science.model import Excess
from csvdprep.markers.wmh.science.region import white_region
from csvdprep.markers.wmh.science.threshold import grow_from_seeds

#: Share of the network in the vote.
VOTE = 0.7
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
    _, depth = white_region(head.wm, excess.white, head.brain, head.voxel_mm, head.atlas)
    return _cut(
        head,
        lesion,
        options.network_cut,
        options.runs,
        deep=(depth >= 1) & allowed,
        share=np.clip((lesion - 0.1) / 0.8, 0, 1),
    )


def combined_cut(head: Head, network: Cut, classical: Cut, options: WmhOptions) -> Cut:
    """Let both engines vote: the weighted mean of their maps is cut.

    Parameters
    ----------
    head : Head
        The head.
    network, classical : Cut
        What each found.
    options : WmhOptions
        ``both_cut``.

    Returns
    -------
    Cut
    """
    vote = np.float32(VOTE)
    mean, share = (
        vote * one + (1 - vote) * other
        for one, other in (
            (network.probability, classical.probability),
            (network.share, classical.share),
        )
    )
    return _cut(
        head, mean, options.both_cut, options.runs, deep=classical.deep & head.counted, share=share
    )


def _cut(head: Head, probability, least: float, runs: int, *, deep, share) -> Cut:
    """Cut a map where it reaches a level, and at levels around it."""

    def cut(level):
        return grow_from_seeds(
            probability, head.counted, level, level, head.voxel_mm, least_mm3=head.least_mm3
        )

    levels = np.log(least / (1 - least)) + JITTER * np.linspace(-1, 1, runs)
    return Cut(
        mask=cut(least),
        probability=probability,
        deep=deep,
        share=share,
        runs=tuple(np.flatnonzero(cut(1 / (1 + np.exp(-level)))) for level in levels),
    )
