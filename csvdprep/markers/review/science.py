"""Masks of lesions after their review."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from csvdprep.science.lesion_review import Candidate

__all__ = ['reviewed_mask']


def reviewed_mask(
    labels: np.ndarray, affine: np.ndarray, candidates: Iterable[Candidate], *, added_mm: float
) -> np.ndarray:
    """Draw the candidates that count.

    Parameters
    ----------
    labels : ndarray of int, shape (i, j, k)
        Number of the candidate of each voxel, 0 elsewhere.
    affine : ndarray, shape (4, 4)
        Voxel to world, mm.
    candidates : iterable of Candidate
        After their review.
    added_mm : float
        Diameter (mm) of the ball that stands for a lesion that was added; it has one voxel at
        least. One outside of the image is not drawn.

    Returns
    -------
    ndarray of bool, shape (i, j, k)

    Examples
    --------
    >>> labels = np.zeros((5, 5, 5), int)
    >>> labels[1, 1, 1], labels[3, 3, 3] = 1, 2
    >>> kept = [Candidate(1, 1.0, True), Candidate(2, 0.0, False)]
    >>> added = Candidate(3, 1.0, True, position=(0.0, 0.0, 4.0), added=True)
    >>> mask = reviewed_mask(labels, np.eye(4), [*kept, added], added_mm=1)
    >>> [tuple(map(int, voxel)) for voxel in np.argwhere(mask)]
    [(0, 0, 4), (1, 1, 1)]
    """
    rows = [item for item in candidates if item.counts]
    mask = np.isin(labels, [item.index for item in rows if not item.added])
    inverse = np.linalg.inv(affine)
    reach = np.abs(inverse[:3, :3]).sum(axis=1) * added_mm / 2
    for item in rows:
        if not item.added or len(item.position) != 3:
            continue
        centre = inverse[:3, :3] @ item.position + inverse[:3, 3]
        low = np.maximum(np.floor(centre - reach), 0).astype(int)
        high = np.minimum(np.ceil(centre + reach) + 1, labels.shape).astype(int)
        if (low >= high).any():
            continue
        grid = np.stack(
            np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing='ij')
        )
        away = np.tensordot(affine[:3, :3], grid - centre[:, None, None, None], 1)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        mask[box] |= (away**2).sum(axis=0) <= (added_mm / 2) ** 2
        nearest = np.rint(centre).astype(int)
        if (nearest >= 0).all() and (nearest < labels.shape).all():
            mask[tuple(nearest)] = True
    return mask
