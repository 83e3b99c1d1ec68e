"""Lesions of another kind, given from outside, that are no hyperintensities: infarcts, lacunes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from csvdprep.interfaces.flairspace import FlairSpace
from csvdprep.interfaces.images import load_mask_on
from csvdprep.interfaces.values import Value

#: What is said where there is none.
NONE = 'no mask of infarcts or lacunes was given'


def load_excluded(space: FlairSpace, *given: Mapping[str, Any] | None) -> np.ndarray | None:
    """Bring the masks of other lesions to the grid of the FLAIR.

    Parameters
    ----------
    space : FlairSpace
        The FLAIR and the way to the reference.
    *given : mapping or None
        ``mask`` (path), ``on`` ('flair' or 't1w': on whose grid it lies) and, of a segmentation,
        ``labels``: the values that count.

    Returns
    -------
    ndarray of bool or None
        What lies in any of them; None if there is none.
    """
    found = None
    for item in given:
        if not item:
            continue
        matrix = None if item['on'] == 'flair' else space.to_anat
        mask = load_mask_on(item['mask'], space.image, matrix=matrix, labels=item.get('labels'))
        found = mask > 0 if found is None else found | (mask > 0)
    return found


def excluded_volume(excluded: np.ndarray | None, voxel_mm: np.ndarray) -> Value:
    """Measure what is left out.

    Parameters
    ----------
    excluded : ndarray of bool or None
        From `load_excluded`.
    voxel_mm : ndarray, shape (3,)
        Size of a voxel, mm.

    Returns
    -------
    Value
        mL; none without a mask.

    Examples
    --------
    >>> excluded_volume(np.ones((10, 10, 10), bool), np.ones(3)).value
    1.0
    >>> excluded_volume(None, np.ones(3)).reason
    'no mask of infarcts or lacunes was given'
    """
    if excluded is None:
        return Value(None, reason=NONE)
    count = int(excluded.sum())
    return Value(count * float(np.prod(voxel_mm)) / 1000, n=count)
