"""Numbers, volumes and grades of perivascular spaces, by region."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

#: Least number of spaces of each grade from 1 on (Potter 2015).
GRADES = (1, 11, 21, 41)
#: From so many in one hemisphere the centrum semiovale counts for the Boston criteria 2.0.
BOSTON = 21
#: Slices in which basal ganglia are graded, template z, mm.
BASAL_Z = (-8.0, 4.0)
#: Slices in which the centrum semiovale is graded: above the roof of the lateral ventricles, mm.
CENTRUM_ABOVE = (5.0, 15.0)


@dataclass(frozen=True)
class Worst:
    """The slice and hemisphere with most perivascular spaces.

    Attributes
    ----------
    count : int
        How many there.
    left, right : int
        Most in a slice of either hemisphere.
    """

    count: int
    left: int
    right: int

    @property
    def grade(self) -> int:
        """Grade of Potter 2015: 0 none, 1 to 10, 11 to 20, 21 to 40, more."""
        return int(np.searchsorted(GRADES, self.count, 'right'))


def worst_slice(
    labels: np.ndarray,
    regions: Mapping[str, np.ndarray],
    slices: np.ndarray,
    axis: int,
    *,
    flat: bool,
) -> Worst:
    """Count perivascular spaces slice by slice.

    Parameters
    ----------
    labels : ndarray of int, shape (I, J, K)
        Perivascular spaces, each with its number.
    regions : mapping of str to ndarray of bool
        ``left`` and ``right`` half of the region.
    slices : ndarray of bool, shape (n,)
        Slices that are graded.
    axis : int
        Axis across axial slices.
    flat : bool
        Whether slices are thick: then what is connected within a slice is one; else each space
        counts in every slice from its lowest to its highest voxel, whether or not it is broken.

    Returns
    -------
    Worst

    References
    ----------
    .. [1] Potter G.M. et al. (2015) Cerebral perivascular spaces visible on MRI.
       doi:10.1159/000375153

    Examples
    --------
    >>> labels = np.zeros((9, 9, 3), int)
    >>> labels[1, 1, :] = 1; labels[1, 5, 1] = 2; labels[7, 5, 1] = 3
    >>> left = np.zeros(labels.shape, bool); left[:4] = True
    >>> sides = {'left': left, 'right': ~left}
    >>> found = worst_slice(labels, sides, np.ones(3, bool), 2, flat=False)
    >>> found.count, found.grade
    (2, 1)
    """
    most = {}
    for side in ('left', 'right'):
        inside = np.where(regions[side], labels, 0)
        if flat:
            images = (np.take(inside, part, axis=axis) for part in np.flatnonzero(slices))
            counts = [int(ndi.label(image > 0, np.ones((3, 3)))[1]) for image in images]
        else:
            boxes = [box[axis] for box in ndi.find_objects(inside) if box is not None]
            counts = [
                sum(box.start <= part < box.stop for box in boxes)
                for part in np.flatnonzero(slices)
            ]
        most[side] = max([0, *counts])
    return Worst(int(max(most.values())), int(most['left']), int(most['right']))


def graded_slices(heights: np.ndarray, low: float, high: float) -> np.ndarray:
    """Choose the slices whose middle lies between two heights.

    Parameters
    ----------
    heights : ndarray, shape (n,)
        Height of each slice, mm, in even steps; NaN of slices that do not count.
    low, high : float
        Heights between which spaces are graded, mm.

    Returns
    -------
    ndarray of bool, shape (n,)
        If slices are so far apart that none lies between, the one that holds the middle; none if
        the image ends before.

    Examples
    --------
    >>> graded_slices(np.arange(4) * 5.0, 4, 11).tolist()
    [False, True, True, False]
    >>> graded_slices(np.arange(4) * 5.0, 19, 29).any()
    np.False_
    """
    heights = np.asarray(heights, float)
    heights = np.round(heights, 4)
    chosen = (heights >= low) & (heights <= high)
    if not chosen.any() and np.isfinite(heights).sum() > 1:
        away = np.abs(heights - (low + high) / 2)
        nearest = int(np.nanargmin(away))
        chosen[nearest] = away[nearest] <= 0.51 * np.nanmin(np.abs(np.diff(heights)))
    return chosen


def template_heights(slices: np.ndarray, z: np.ndarray, count: int) -> np.ndarray:
    """Give the height in the template of each slice, from places of a structure in it.

    A slice may be tilted against the template, and then has no single height: the mean of its
    part of the structure is meant.

    Parameters
    ----------
    slices : ndarray of int, shape (m,)
        Slice that each place lies in.
    z : ndarray, shape (m,)
        Height of each place in the template, mm.
    count : int
        Number of slices.

    Returns
    -------
    ndarray, shape (count,)
        On a line through the means; NaN where the structure is not.

    Examples
    --------
    >>> template_heights(np.array([1, 1, 2]), np.array([1.0, 3.0, 5.0]), 4).round(6).tolist()
    [nan, 2.0, 5.0, nan]
    """
    out = np.full(count, np.nan)
    numbers = np.bincount(slices, minlength=count)
    held = np.flatnonzero(numbers)
    means = np.bincount(slices, z, minlength=count)[held] / numbers[held]
    if len(held) > 1:
        # The first and the last slices have the structure only at one end.
        line = np.polyfit(held, means, 1, w=np.sqrt(numbers[held]))
        held = np.arange(held[0], held[-1] + 1)
        means = np.polyval(line, held)
    out[held] = means
    return out


def region_of(labels: np.ndarray, count: int, regions: Mapping[str, np.ndarray]) -> list[str]:
    """Name the region in which most of each space lies; '' if in none.

    Examples
    --------
    >>> labels = np.array([1, 1, 0, 2])
    >>> region_of(labels, 2, {'basal': np.array([True, True, False, False])})
    ['basal', '']
    """
    flat = labels.ravel()
    sizes = {
        name: np.bincount(flat[mask.ravel()], minlength=count + 1)[1 : count + 1]
        for name, mask in regions.items()
    }
    names = list(sizes)
    table = np.array([sizes[name] for name in names]).reshape(len(names), count)
    best = table.argmax(axis=0) if count else []
    return [names[b] if table[b, i] else '' for i, b in enumerate(best)]
