"""Level and slow variation of normal tissue, found together with what is no normal tissue.

Median and spread of white matter say nothing when lesions fill half of it, and a field that
follows the brightness of the neighbourhood swallows large lesions. So the level is the mode of
white matter next to that of the whole brain, the spread is that of the side on which no lesion
lies, and the field stands on white and grey matter outside of lesion candidates; all three are
found in turns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from csvdprep.core.errors import MeasureError
from csvdprep.science.morphology import dilate
from csvdprep.science.normalise import (
    MAD_TO_SD,
    PURE,
    brain_mode,
    histogram_mode,
    reference_field,
    smooth_within,
)

#: White matter lies within this range of the brain's mode.
WHITE_RANGE = (0.70, 1.0)
#: Grey matter lies within this range of the level of white matter.
GREY_RANGE = (0.90, 1.45)
#: Bins of the histograms, relative to the mode.
BIN = 0.01
#: Contrast from which white matter is a sure candidate for a lesion, which keeps its margin out of
#: the field too, and in SD; and from which a voxel itself takes no part.
SURE, SURE_SD, CANDIDATE = 0.25, 1.0, 0.12
#: Least contrast of voxels that take part, and in SD.
DARKEST, DARKEST_SD = 0.15, 2.5
#: Smoothing before the comparison, and margin around sure candidates, mm.
CALM_MM, MARGIN_MM = 1.5, 4.0
#: Range of the Gaussian over which the field is averaged, mm, and weight of grey matter in it.
#: 10 mm follow lesions without a border (of a hill of 12 mm half is lost).
FIELD_MM, GREY_WEIGHT = 20.0, 1.0
#: Grey matter takes part that is this near its level, relative: lesions do not brighten it, so
#: that where it is brighter the coil or the sequence is the reason.
GREY_REACH = 0.3
#: Most that the field may take away, relative: N4 leaves less, so that more is lesion.
BOUND = 0.08
ROUNDS = 4
#: Share of white matter with the field at that bound from which the level is not believed.
LOST = 0.5
#: Slices thicker than this, mm, have a gain of their own.
THICK_MM = 2.5
#: Fewest voxels from which a level is taken.
LEAST_VOXELS = 200
#: White matter is described by the purest voxels that are this share of the brain.
SHARE_OF_BRAIN = 0.18
#: Grey matter is described by voxels with this share of it, where too few are purer; and how many
#: are enough, relative to those that are half grey.
MIXED, ENOUGH = 0.7, 0.25


@dataclass(frozen=True)
class NormalTissue:
    """What is normal in a FLAIR.

    Attributes
    ----------
    image : ndarray of float32, shape (I, J, K)
        FLAIR divided by its field.
    field : ndarray of float32
        Slow variation, 1 on average.
    candidates : ndarray of bool
        White matter that is too bright to take part.
    white, grey, fluid : float
        Levels, in the unit of the FLAIR.
    spread : float
        SD of normal white matter.
    bounded : float
        Share of white matter where the field would have been larger than it may be.
    """

    image: np.ndarray
    field: np.ndarray
    candidates: np.ndarray
    white: float
    grey: float
    fluid: float
    spread: float
    bounded: float


def find_normal(
    image: np.ndarray,
    brain: np.ndarray,
    grey: np.ndarray,
    white: np.ndarray,
    fluid: np.ndarray,
    voxel_mm,
    *,
    field_mm: float = FIELD_MM,
) -> NormalTissue:
    """Find level, spread and field of normal tissue.

    Parameters
    ----------
    image : ndarray, shape (I, J, K)
        FLAIR.
    brain : ndarray of bool
        Brain.
    grey, white, fluid : ndarray of float
        Share of each tissue; lesions count as white.
    voxel_mm : sequence of 3 float
        Voxel size, mm.
    field_mm : float
        SD of the Gaussian over which the field is averaged, mm.

    Returns
    -------
    NormalTissue

    Raises
    ------
    csvdprep.core.errors.MeasureError
        If there is no white matter, no contrast, or no level that fits the image.

    Examples
    --------
    Lesions fill 45 % of white matter; the level is still that of the rest.

    >>> rng = np.random.default_rng(0)
    >>> white = np.zeros((40, 40, 40)); white[5:35, 5:35, 5:35] = 1
    >>> image = 100 * white + rng.normal(0, 4, white.shape); image[5:18, 5:35, 5:35] += 40
    >>> found = find_normal(image, white > 0, 0 * white, white, 0 * white, (1, 1, 1))
    >>> bool(abs(found.white - 100) < 3), bool(abs(found.spread - 4) < 1)
    (True, True)
    """
    sure = brain & (white > PURE)
    if np.count_nonzero(sure) < LEAST_VOXELS:
        sure = brain & (white > 0.5)
    if np.count_nonzero(sure) < 10:
        raise MeasureError('No white matter was found in the FLAIR.')
    # Where lesions fill what is surely white, its mode is theirs.
    level_of = brain & (
        white
        > next(
            (
                least
                for least in (PURE, MIXED)
                if np.count_nonzero(brain & (white > least))
                >= SHARE_OF_BRAIN * np.count_nonzero(brain)
            ),
            0.5,
        )
    )
    pure_grey = brain & (grey > _purest(grey[brain]))
    anchor = brain_mode(image[brain])
    dark = _fluid_level(image, brain, fluid, anchor)
    field, flat = np.ones(image.shape, np.float32), image
    at_bound, mu = 0.0, anchor
    for turn in range(ROUNDS):
        mu, sd = _level(flat[level_of], anchor)
        grey_level = _grey_level(flat[pure_grey], mu)
        candidates = _candidates(flat, sure, brain, white, mu, sd, voxel_mm)
        weight, also = _weight(flat, sure, pure_grey, candidates, (mu, sd, grey_level), voxel_mm)
        if turn == ROUNDS - 1 or not weight.any():
            break
        # Each tissue over its own middle: what is darkened by fluid must not lower the field.
        middle = float(np.median(flat[also])) if also.any() else grey_level
        relative = np.where(also, image / middle, image / mu)
        field = reference_field(relative, weight, voxel_mm, field_mm)
        field = field * _slice_gain(relative / field, weight, voxel_mm)
        field /= float(np.median(field[sure]))
        at_bound = float((np.abs(field[sure] - 1) > BOUND).mean())
        field = np.clip(field, 1 - BOUND, 1 + BOUND)
        flat = image / field
    if at_bound > LOST:
        raise MeasureError(
            'The level of normal white matter on the FLAIR was not found: the image is '
            'too non-uniform, or hyperintense nearly everywhere.'
        )
    return NormalTissue(
        image=flat,
        field=field,
        candidates=candidates,
        white=mu,
        grey=grey_level,
        fluid=dark,
        spread=sd,
        bounded=at_bound,
    )


def _purest(share) -> float:
    """Return the share above which there is enough of a tissue to tell its level.

    Without a T1w, and in thick slices, no voxel is surely grey matter.
    """
    half = np.count_nonzero(share > 0.5)
    return next(
        (least for least in (PURE, MIXED) if np.count_nonzero(share > least) >= ENOUGH * half), 0.5
    )


def _weight(flat, sure, pure_grey, candidates, levels, voxel_mm):
    """Return what takes part in the field, and where that is grey matter."""
    mu, sd, grey_level = levels
    near = dilate(candidates, voxel_mm, MARGIN_MM)
    height = flat / mu - 1
    normal = sure & ~near & (height < CANDIDATE)
    normal &= height > -max(DARKEST_SD * sd / mu, DARKEST)
    also = pure_grey & (np.abs(flat / grey_level - 1) < GREY_REACH)
    weight = normal.astype(np.float32)
    weight[also] = GREY_WEIGHT
    return weight, also


def _level(values, anchor) -> tuple[float, float]:
    """Return the mode of white matter, and the SD of its dark side."""
    step = BIN * anchor
    mu = histogram_mode(values, WHITE_RANGE[0] * anchor, WHITE_RANGE[1] * anchor, step, 3.0)
    below = values[(values < mu) & (values > 0.6 * mu)]
    sd = MAD_TO_SD * float(np.median(mu - below)) if below.size else 0.0
    return mu, max(sd, 1e-3 * abs(mu))


def _grey_level(values, mu) -> float:
    """Return the mode of grey matter; it is never taken as darker than white matter."""
    if values.size < LEAST_VOXELS:
        return mu
    return max(mu, histogram_mode(values, GREY_RANGE[0] * mu, GREY_RANGE[1] * mu, BIN * mu, 3.0))


def _fluid_level(image, brain, fluid, anchor) -> float:
    pure = brain & (fluid > PURE) & (image < 0.7 * anchor)
    if np.count_nonzero(pure) >= LEAST_VOXELS:
        return float(np.median(image[pure]))
    return float(np.percentile(image[brain], 1))


def _candidates(flat, sure, brain, white, mu, sd, voxel_mm):
    """Return white matter that is brighter than normal, noise averaged away."""
    calm = smooth_within(flat, (white > 0.5) & brain, voxel_mm, CALM_MM)
    return sure & (calm > mu + max(SURE * mu, SURE_SD * sd))


def _slice_gain(relative, weight, voxel_mm):
    """Return the gain of each thick slice beside what the field has; 1 in thin slices."""
    axis = int(np.argmax(voxel_mm))
    if voxel_mm[axis] < THICK_MM:
        return np.float32(1)
    gain = []
    for plane, share in zip(
        np.moveaxis(relative, axis, 0), np.moveaxis(weight, axis, 0), strict=True
    ):
        chosen = share == 1
        gain.append(np.median(plane[chosen]) if chosen.sum() > LEAST_VOXELS else 1.0)
    shape = [1, 1, 1]
    shape[axis] = -1
    return np.clip(gain, 0.9, 1.1).astype(np.float32).reshape(shape)
