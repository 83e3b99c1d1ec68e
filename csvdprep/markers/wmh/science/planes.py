"""Slices as the network sees them: RAS+, 1.25 mm in plane, neighbours about 3 mm away."""

from __future__ import annotations

import numpy as np

from csvdprep.science.planes import neighbours

#: What each channel is.
CHANNELS = (
    'below',
    'flair',
    'above',
    'atlas_white',
    'atlas_grey',
    'other_region',
    'grey',
    'fluid',
    'has_t1w',
    'thickness',
    't1w',
)
#: The T1w is shown relative to its own white matter, up to this.
T1W_MOST = 2.0


def even_white(flair: np.ndarray, white: np.ndarray, healthy: np.ndarray) -> np.ndarray:
    """Take off how much brighter healthy white matter is in some places.

    Parameters
    ----------
    flair : ndarray
        FLAIR.
    white, healthy : ndarray of the same shape
        White matter of the warped template, and how much brighter it is there, as shares.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> even_white(np.array([110.0, 110.0]), np.array([1.0, 0.0]), np.array([0.1, 0.1])).round()
    array([100., 110.])
    """
    return flair / (1 + white * healthy)


def relative_t1w(t1w: np.ndarray, white: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return a T1w relative to its white matter, 0 outside the brain.

    Parameters
    ----------
    t1w : ndarray
        T1w where the FLAIR's voxels are.
    white : ndarray of the same shape
        White matter of the T1w, as a share.
    inside : ndarray of bool, of the same shape
        Brain.

    Returns
    -------
    ndarray of float32
        0 to `T1W_MOST`; 0 everywhere if there is no white matter or it is dark.

    Examples
    --------
    >>> relative_t1w(np.array([80.0, 40.0, 9.0]), np.array([1.0, 0, 0]), np.array([1, 1, 0]) > 0)
    array([1. , 0.5, 0. ], dtype=float32)
    """
    inside = np.asarray(inside, bool)
    pure = inside & (white > 0.9)
    level = float(np.median(t1w[pure])) if pure.any() else 0.0
    if level <= 0:
        return np.zeros(inside.shape, np.float32)
    return np.where(inside, np.clip(t1w / level, 0, T1W_MOST), 0).astype(np.float32)


def stack_channels(
    flair: np.ndarray,
    maps: np.ndarray,
    has_t1w: bool,
    thickness_mm: float,
    t1w: np.ndarray | None = None,
):
    """Return what the network takes of each plane.

    Parameters
    ----------
    flair : ndarray, shape (planes, right, anterior)
        Relative to normal white matter; 0 outside the brain.
    maps : ndarray, shape (5, planes, right, anterior)
        White and grey matter of the warped template, deep and infratentorial structures, grey
        matter and fluid of the T1w (0 without one).
    has_t1w : bool
        Whether there is a T1w.
    thickness_mm : float
        Distance of slices.
    t1w : ndarray, shape (planes, right, anterior), optional
        The T1w itself, of `relative_t1w`; 0 if not given.

    Returns
    -------
    ndarray of float32, shape (planes, 11, right, anterior)
    """
    below, above = neighbours(len(flair), thickness_mm)
    seen = np.clip(flair, 0, 3) - np.float32(1)
    out = np.empty((len(flair), len(CHANNELS), *flair.shape[1:]), np.float32)
    out[:, 0], out[:, 1], out[:, 2] = seen[below], seen, seen[above]
    out[:, 3:8] = np.moveaxis(maps, 0, 1)
    out[:, 8], out[:, 9] = float(has_t1w), min(thickness_mm, 10.0) / 10
    out[:, 10] = 0 if t1w is None else t1w
    return out
