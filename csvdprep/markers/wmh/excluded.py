"""Lesions of another kind that are no hyperintensities: infarcts and lacunes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from csvdprep.imaging.frame import ImageFrame
from csvdprep.imaging.images import load_mask_on
from csvdprep.imaging.transforms import read_linear
from csvdprep.interfaces.values import Value
from csvdprep.science.morphology import dilate

#: What is said where there is none.
NONE = 'no recent infarct was found, and no mask of infarcts or lacunes was given'
NOT_LOOKED = (
    'recent infarcts were not searched for (there is no diffusion image, or its '
    'processing failed), and no mask of infarcts or lacunes was given'
)
#: How far around a recent infarct of the trace image the FLAIR may show it, mm: echo-planar
#: images are distorted, and its slices lie elsewhere.
AROUND_MM = 2.0


def load_excluded(
    space: ImageFrame, *given: Mapping[str, Any] | None, recent: tuple[str, str] | None = None
) -> np.ndarray | None:
    """Bring the masks of other lesions to the grid of the FLAIR.

    Parameters
    ----------
    space : ImageFrame
        The FLAIR and the way to the reference.
    *given : mapping or None
        ``mask`` (path), ``on`` ('flair' or 't1w': on whose grid it lies) and, of a segmentation,
        ``labels``: the values that count.
    recent : tuple of str, optional
        Recent infarcts that were found, on the trace image, and the transform that resamples
        this onto the reference.

    Returns
    -------
    ndarray of bool or None
        What lies in any of them; None if there is none.
    """
    found = None
    for item in given:
        # What lies on the trace image comes with the recent infarcts.
        if not item or item['on'] not in ('flair', 't1w'):
            continue
        matrix = None if item['on'] == 'flair' else space.to_anat
        mask = load_mask_on(item['mask'], space.image, matrix=matrix, labels=item.get('labels'))
        found = mask > 0 if found is None else found | (mask > 0)
    if recent is not None and (near := _near(space, *recent)).any():
        found = near if found is None else found | near
    return found


def _near(space: ImageFrame, mask: str, trace_to_anat: str) -> np.ndarray:
    """Return what of the FLAIR lies in recent infarcts, or close to them."""
    from_flair = read_linear(trace_to_anat) @ space.to_anat
    inside = load_mask_on(mask, space.image, matrix=from_flair) > 0
    return dilate(inside, space.voxel_mm, AROUND_MM) if inside.any() else inside


def excluded_volume(
    excluded: np.ndarray | None, voxel_mm: np.ndarray, *, looked: bool = True
) -> Value:
    """Measure what is left out.

    Parameters
    ----------
    excluded : ndarray of bool or None
        From `load_excluded`.
    voxel_mm : ndarray, shape (3,)
        Size of a voxel, mm.
    looked : bool
        Whether recent infarcts were looked for.

    Returns
    -------
    Value
        mL; none without a mask.

    Examples
    --------
    >>> excluded_volume(np.ones((10, 10, 10), bool), np.ones(3)).value
    1.0
    >>> excluded_volume(None, np.ones(3)).reason
    'no recent infarct was found, and no mask of infarcts or lacunes was given'
    """
    if excluded is None:
        return Value(None, reason=NONE if looked else NOT_LOOKED)
    count = int(excluded.sum())
    return Value(count * float(np.prod(voxel_mm)) / 1000, n=count)
