"""Growth and shrinkage of hyperintensities, judged from the images of both visits together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

#: Share of a tissue from which a voxel counts as that tissue.
PURE = 0.9
#: Share of fluid beyond which a voxel is no tissue.
FLUID = 0.5
#: Slow differences of intensity between visits are taken away below this scale (SD), mm.
DRIFT_MM = 20.0
#: Window (SD, mm) in which intensities of lesions and of tissue around them are averaged, and how
#: far from lesions that tissue lies, mm.
BORDER_MM, RING_MM = 8.0, 8.0
#: Probability from which tissue is looked at as lesion, if the images agree.
FAINT = 0.25
#: How far beyond the masks of all visits change is looked for, mm.
REACH_MM = 2.0
#: Smoothing (SD) of the difference of two visits, in voxels.
SMOOTH = 0.6
#: Tissue whose state differs between visits with too little evidence: share of it, over the square
#: of the thickness of slices (1/mm2), that 95 % of scans without change show as change at most.
SAMPLING = 0.014
#: Kinds of voxels in the map of change.
STABLE, GROWN, SHRUNK, NEW, VANISHED = 1, 2, 3, 4, 5
_CORNERS = np.ones((3, 3, 3), bool)


@dataclass(frozen=True)
class ChangeOptions:
    """Thresholds.

    Attributes
    ----------
    least_z : float
        Least difference of a changed voxel, in SD of the difference of unchanged tissue with
        edges as strong.
    least_mean_z : float
        Least mean of it over a region of change.
    least_mm3, least_voxels : float, int
        Smallest region of change.
    """

    least_z: float = 1.5
    least_mean_z: float = 2.5
    least_mm3: float = 10.0
    least_voxels: int = 3


@dataclass(frozen=True, eq=False)
class Tissue:
    """What the voxels of the half-way space hold, mean of the visits.

    Attributes
    ----------
    brain : ndarray of bool
        Brain of all visits.
    white, grey, fluid : ndarray of float32
        Shares.
    voxel_mm : ndarray, shape (3,)
        Voxel size.
    """

    brain: np.ndarray
    white: np.ndarray
    grey: np.ndarray
    fluid: np.ndarray
    voxel_mm: np.ndarray


def equalise(
    images: Sequence[np.ndarray], lesions: np.ndarray, tissue: Tissue
) -> tuple[list[np.ndarray], list[float]]:
    """Bring FLAIR images of several visits to one scale.

    Parameters
    ----------
    images : sequence of ndarray, shape (I, J, K)
        On one grid.
    lesions : ndarray of bool
        Hyperintensities of any visit: they take no part.
    tissue : Tissue
        Tissues.

    Returns
    -------
    images : list of ndarray of float32
        Normal-appearing white matter is 1, grey matter as bright as in the mean of the visits.
    drift : list of float
        How much each visit differed slowly from the mean of all, SD of the logarithm.

    Notes
    -----
    Levels are medians of tissue that is normal at all visits; what is left of the receiver field
    is the smooth part of the ratio to the mean, from normal tissue alone.

    Examples
    --------
    >>> white = np.zeros((24, 24, 24), np.float32); white[:, :12] = 1
    >>> tissue = Tissue(white >= 0, white, 1 - white, 0 * white, np.ones(3))
    >>> first = 100 * white + 120 * (1 - white)
    >>> same, _ = equalise([first, 3 * first], white < 0, tissue)
    >>> [round(float(one[3, 3, 3]), 4) for one in same], bool(np.allclose(*same))
    ([1.0, 1.0], True)
    """
    near = _away(lesions, tissue) <= REACH_MM
    usable = tissue.brain & ~near & np.logical_and.reduce([image > 0 for image in images])
    white = usable & (tissue.white >= PURE)
    grey = usable & (tissue.grey >= PURE)
    normal = usable & (tissue.fluid < 0.05)
    levels = [
        (float(np.median(image[white])), float(np.median(image[grey])) if grey.any() else np.nan)
        for image in images
    ]
    contrast = [g / w - 1 for w, g in levels]
    wanted = float(np.mean(contrast))
    out = []
    for image, (level, _), own in zip(images, levels, contrast, strict=True):
        scaled = np.asarray(image, np.float32) / np.float32(level)
        # Without a clear contrast of grey to white matter there is one level only.
        if np.isfinite(wanted) and min(map(abs, contrast)) > 0.05 and own * wanted > 0:
            scaled = 1 + (scaled - 1) * np.float32(wanted / own)
        out.append(scaled)
    mean = sum(np.log(np.maximum(one, 0.05)) for one in out) / len(out)
    weight = normal.astype(np.float32)
    scale = DRIFT_MM / tissue.voxel_mm
    support = np.maximum(ndi.gaussian_filter(weight, scale), 1e-3)
    drift = []
    for number, one in enumerate(out):
        ratio = np.clip(np.log(np.maximum(one, 0.05)) - mean, -0.2, 0.2)
        slow = ndi.gaussian_filter(ratio * weight, scale) / support
        drift.append(round(float(slow[normal].std()), 6))
        out[number] = (one / np.exp(slow)).astype(np.float32)
    return out, drift


@dataclass(frozen=True, eq=False)
class Pair:
    """What is known of the difference between two visits.

    Attributes
    ----------
    noise : float
        SD of the difference in even tissue, as a share of the level of white matter.
    blur_mm : float
        By how much edges differ: SD of the difference over the slope of the image there.
    z : ndarray of float32
        Difference, later minus earlier, in SD of what unchanged tissue with such edges shows.
    border : ndarray of float32
        Intensity at which lesions end, from both visits.
    labels : ndarray of uint8
        `STABLE`, `GROWN`, `SHRUNK`, `NEW`, `VANISHED`; 0 elsewhere.
    uncertain : ndarray of bool
        Lesion at one visit, but with too little evidence in the images for a change.
    """

    noise: float
    blur_mm: float
    z: np.ndarray
    border: np.ndarray
    labels: np.ndarray
    uncertain: np.ndarray


def judge(
    images: Sequence[np.ndarray],
    lesions: Sequence[np.ndarray],
    tissue: Tissue,
    options: ChangeOptions | None = None,
) -> Pair:
    """Judge from both images where hyperintensities grew or shrank.

    Parameters
    ----------
    images : two ndarray of float32, shape (I, J, K)
        Equalised FLAIR, the earlier first.
    lesions : two ndarray of float32
        Probability of hyperintensity, scaled so that masks have 0.5 or more.
    tissue : Tissue
        Tissues.
    options : ChangeOptions, optional
        Thresholds.

    Returns
    -------
    Pair
        With the visits in reverse order, growth and shrinkage change places, voxel by voxel.

    Notes
    -----
    The masks of two visits differ along all borders even if nothing changed. So masks only tell
    where to look, and how bright lesions are there, pooled over both visits. A lesion ends
    half-way between that and normal white matter. With this one threshold a voxel is lesion or
    not at each visit; it changed if it is lesion at one visit only *and* the images differ by
    more than they do in unchanged tissue with edges as strong. Where they do not, the mean of
    both images decides for both visits, so that the net change is growth minus shrinkage, and
    nothing else.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> grid = np.indices((40, 40, 40)) - 20
    >>> away = np.sqrt((grid ** 2).sum(axis=0))
    >>> tissue = Tissue(away < 19, np.float32(away < 19), 0 * away, 0 * away, np.ones(3))
    >>> lesions = [np.float32(away < r) for r in (5, 7)]
    >>> images = [ndi.gaussian_filter(1 + 0.5 * m, 0.6) + 0.03 * rng.normal(size=m.shape)
    ...           for m in lesions]
    >>> found = judge(images, lesions, tissue).labels
    >>> volume = (away < 7).sum() - (away < 5).sum()
    >>> bool(abs((found == GROWN).sum() / volume - 1) < 0.1), int((found == SHRUNK).sum())
    (True, 0)
    """
    options = options or ChangeOptions()
    first, last = (np.asarray(image, np.float32) for image in images)
    masks = [lesion >= 0.5 for lesion in lesions]
    either = masks[0] | masks[1]
    away = _away(either, tissue)
    faint = np.maximum(*lesions) >= FAINT
    solid = tissue.brain & (tissue.fluid < FLUID)
    look = solid & ((away <= REACH_MM) | faint)
    look &= (tissue.grey < FLUID) | either
    middle = (first + last) / 2
    difference = ndi.gaussian_filter(last - first, SMOOTH)
    slope = _slope(ndi.gaussian_filter(middle, SMOOTH), tissue.voxel_mm)
    still = solid & (away > 2 * REACH_MM) & ~faint & (first > 0) & (last > 0)
    noise, blur = _spread(difference[still], slope[still])
    z = difference / np.sqrt(noise**2 + (blur * slope) ** 2)
    border = _border(middle, (first, last), masks, tissue, away)
    # Each visit is smoothed alike, so that noise makes no holes and no islands.
    states = [ndi.gaussian_filter(image, SMOOTH) > border for image in (first, last)]
    before, after = (state & look for state in states)
    both = ndi.gaussian_filter(middle, SMOOTH) > border
    grown = after & ~before & _evident(look, z, tissue, options)
    shrunk = before & ~after & _evident(look, -z, tissue, options)
    moot = (before ^ after) & ~grown & ~shrunk
    stable = _large((before & after) | (moot & both), tissue, options, grown | shrunk)
    labels = np.zeros(first.shape, np.uint8)
    labels[stable] = STABLE
    for where, other, kind, fresh in (
        (grown, shrunk, GROWN, NEW),
        (shrunk, grown, SHRUNK, VANISHED),
    ):
        apart = _apart(where, stable | other)
        labels[where & ~apart] = kind
        labels[_large(apart, tissue, options)] = fresh
    return Pair(noise, blur, z.astype(np.float32), border, labels, moot)


def _away(lesions: np.ndarray, tissue: Tissue) -> np.ndarray:
    """Return the distance (mm) from lesions; infinite without."""
    if not lesions.any():
        return np.full(lesions.shape, np.inf, np.float32)
    return ndi.distance_transform_edt(~lesions, sampling=tissue.voxel_mm)


def _slope(image, voxel_mm):
    return np.sqrt(sum(part**2 for part in np.gradient(image, *voxel_mm))).astype(np.float32)


def _spread(difference: np.ndarray, slope: np.ndarray) -> tuple[float, float]:
    """Fit the variance of a difference as that of even tissue plus that of edges."""
    cuts = np.quantile(slope, np.linspace(0, 1, 21))
    group = np.clip(np.searchsorted(cuts, slope, side='right') - 1, 0, 19)
    squares, spreads = [], []
    for number in range(20):
        chosen = group == number
        if chosen.sum() > 20:
            squares.append(float(np.median(slope[chosen]) ** 2))
            spreads.append(float((1.4826 * np.median(np.abs(difference[chosen]))) ** 2))
    even = float(np.median(spreads[:5])) if spreads else 1e-4
    x, y = np.array(squares), np.array(spreads) - even
    gain = max(float((x * y).sum() / max((x * x).sum(), 1e-12)), 0.0) if len(x) else 0.0
    return round(float(np.sqrt(max(even, 1e-8))), 6), round(float(np.sqrt(gain)), 6)


def _border(middle, images, masks, tissue, away) -> np.ndarray:
    """Return half-way between normal white matter and lesions nearby, of both visits."""
    lesion = sum(np.where(m, i, 0) for i, m in zip(images, masks, strict=True))
    share = masks[0].astype(np.float32) + masks[1].astype(np.float32)
    ring = tissue.brain & (tissue.white >= PURE) & (away > REACH_MM) & (away <= RING_MM)
    if not share.any() or not ring.any():
        return np.full(middle.shape, np.inf, np.float32)
    high = _nearby(lesion.astype(np.float32), share, tissue.voxel_mm)
    low = _nearby(np.where(ring, middle, 0), ring.astype(np.float32), tissue.voxel_mm)
    return (low + high) / 2


def _nearby(values, weight, voxel_mm) -> np.ndarray:
    """Average values in a window; where hardly any are near, all count."""
    scale = BORDER_MM / np.asarray(voxel_mm)
    support = ndi.gaussian_filter(weight, scale)
    local = ndi.gaussian_filter(values, scale) / np.maximum(support, 1e-7)
    trust = support / (support + np.float32(1e-3))
    whole = np.float32(values.sum(dtype=float) / weight.sum(dtype=float))
    return trust * local + (1 - trust) * whole


def _evident(look, z, tissue, options) -> np.ndarray:
    """Find the regions that became brighter, large enough and surely enough.

    A border that moves by less than a voxel makes few voxels lesion that were none, here and
    there, but all along it the image becomes brighter.
    """
    labels, count = ndi.label(look & (z >= options.least_z), _CORNERS)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    means = np.bincount(labels.ravel(), weights=z.ravel(), minlength=count + 1) / np.maximum(
        sizes, 1
    )
    least = max(options.least_voxels, options.least_mm3 / float(np.prod(tissue.voxel_mm)))
    keep = (sizes >= least) & (means >= options.least_mean_z)
    keep[0] = False
    return keep[labels]


def _large(where, tissue, options, beside=None) -> np.ndarray:
    """Drop what is smaller than the smallest lesion, together with what lies beside."""
    labels, count = ndi.label(where if beside is None else where | beside, _CORNERS)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    keep = sizes >= max(options.least_voxels, options.least_mm3 / float(np.prod(tissue.voxel_mm)))
    keep[0] = False
    return keep[labels] & where


def _apart(where, rest) -> np.ndarray:
    """Return the regions that touch nothing of the rest."""
    labels, count = ndi.label(where, _CORNERS)
    touched = np.unique(labels[ndi.binary_dilation(rest, _CORNERS) & where])
    keep = np.ones(count + 1, bool)
    keep[touched] = keep[0] = False
    return keep[labels]


@dataclass(frozen=True)
class Limits95:
    """What repeated scans without any change may show.

    Attributes
    ----------
    growth_ml, shrink_ml, net_ml : float
        Minimal detectable change: 95 % of pairs of scans without change stay below (net: in
        either direction).
    pairs : int
        Simulated pairs behind it.
    """

    growth_ml: float
    shrink_ml: float
    net_ml: float
    pairs: int


def volumes(labels: np.ndarray, voxel_ml: float, where: np.ndarray | None = None) -> dict:
    """Add up a map of change.

    Parameters
    ----------
    labels : ndarray of uint8
        Of `Pair`.
    voxel_ml : float
        Volume of a voxel, mL.
    where : ndarray of bool, optional
        Part of it.

    Returns
    -------
    dict of str to float
        ``stable``, ``growth`` and ``shrink`` (with new and vanished lesions), ``new``,
        ``vanished``, ``net``; mL.

    Examples
    --------
    >>> volumes(np.array([1, 1, 2, 4, 3], np.uint8), 1.0)['net']
    1.0
    """
    count = np.bincount(labels[where] if where is not None else labels.ravel(), minlength=6)
    ml = count * float(voxel_ml)
    growth, shrink = float(ml[GROWN] + ml[NEW]), float(ml[SHRUNK] + ml[VANISHED])
    return {
        'stable': float(ml[STABLE]),
        'growth': growth,
        'shrink': shrink,
        'new': float(ml[NEW]),
        'vanished': float(ml[VANISHED]),
        'net': growth - shrink,
    }


def rescanned(
    image: np.ndarray, lesion: np.ndarray, pair: Pair, drift: float, tissue: Tissue, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate another scan of the same state, as noisy and as well aligned as these scans are.

    Parameters
    ----------
    image, lesion : ndarray of float32
        Equalised FLAIR of a visit, and its probability.
    pair : Pair
        What the difference of two visits tells of noise and alignment.
    drift : float
        SD of the slow difference between visits (logarithm).
    tissue : Tissue
        Tissues.
    seed : int
        Of the random numbers.

    Returns
    -------
    image, lesion : ndarray of float32
        Interpolated as from voxels and slices that lie elsewhere, shifted by a smooth field of
        displacements as large as edges differ, brighter and darker by a slow field, and with as
        much noise as makes the difference to the original as noisy as that of two scans.
    """
    rng = np.random.default_rng(seed)
    shape, voxel_mm = image.shape, tissue.voxel_mm
    index = np.indices(shape, dtype=np.float32)
    for axis in range(3):
        shift = _field(rng, shape, 15.0 / voxel_mm) * pair.blur_mm
        index[axis] += shift / np.float32(voxel_mm[axis])
    # Voxels and slices of another scan lie elsewhere, and are interpolated onto this grid, too.
    offset = rng.uniform(-0.5, 0.5, 3)
    again = ndi.shift(
        ndi.shift(image, offset, order=1, mode='nearest'), -offset, order=1, mode='nearest'
    )
    moved = ndi.map_coordinates(again, index, order=1, mode='nearest')
    probability = ndi.map_coordinates(lesion, index, order=1, mode='nearest')
    # Interpolation smooths the noise that the image has, which must not count as a gain.
    grain = _field(rng, shape, np.full(3, 0.5))
    spread = float(ndi.gaussian_filter(grain, SMOOTH)[tissue.brain].std())
    gain = 1 + drift * _field(rng, shape, DRIFT_MM * 1.5 / voxel_mm)
    noisy = moved * gain + grain * np.float32(pair.noise / max(spread, 1e-6))
    return noisy.astype(np.float32), probability


def _field(rng, shape, scale) -> np.ndarray:
    """Draw a smooth field of SD 1."""
    step = np.maximum(1, np.floor(np.asarray(scale) / 1.5)).astype(int)
    coarse = rng.standard_normal([-(-n // s) + 2 for n, s in zip(shape, step, strict=True)])
    smooth = ndi.gaussian_filter(coarse.astype(np.float32), np.asarray(scale) / step)
    smooth /= max(float(smooth.std()), 1e-9)
    if (step == 1).all():
        return smooth[tuple(slice(0, n) for n in shape)]
    return ndi.affine_transform(
        smooth, np.diag(1 / step), output_shape=shape, order=1, mode='nearest'
    )


def detectable(
    images: Sequence[np.ndarray],
    lesions: Sequence[np.ndarray],
    pair: Pair,
    drift: Sequence[float],
    tissue: Tissue,
    options: ChangeOptions,
    *,
    seeds: Sequence[int],
    repeats: int = 3,
    slice_mm: float | None = None,
) -> Limits95:
    """Find the minimal detectable change of these scans from simulated rescans of each.

    Parameters
    ----------
    images, lesions, pair, drift, tissue, options
        As for `judge` and `rescanned`.
    seeds : sequence of int
        One for each visit, of its content: a visit has the same rescans whichever comes first.
    repeats : int
        Rescans of each visit.
    slice_mm : float, optional
        See :func:`sampling_ml`.

    Returns
    -------
    Limits95
        Root mean square of what the rescans show, times 1.96, and what the sampling of slices
        adds to it (root of the sum of squares).

    Notes
    -----
    Rescans are simulated from images in which slices have already averaged what they hold, so that
    they cannot show what other slices would have averaged: in slices of 3 mm and more hardly any
    of the false change is theirs. It is among the tissue that would be lesion at one visit only,
    but lacks evidence: the share of it that has enough by chance grows with the square of the
    thickness. `SAMPLING` is 1.96 times the root mean square of that over pairs of phantoms without
    change, rounded up.
    """
    voxel_ml = float(np.prod(tissue.voxel_mm)) / 1000
    found = []
    for image, lesion, own, seed in zip(images, lesions, drift, seeds, strict=True):
        for number in range(repeats):
            again, probability = rescanned(image, lesion, pair, own, tissue, seed + number)
            either = (lesion >= 0.5) | (probability >= 0.5)
            same, _ = equalise([image, again], either, tissue)
            found.append(
                volumes(judge(same, [lesion, probability], tissue, options).labels, voxel_ml)
            )
    growth, shrink, net = (
        np.array(sorted(item[name] for item in found)) for name in ('growth', 'shrink', 'net')
    )
    # Which of the two scans comes first is arbitrary, so that growth and shrinkage are one.
    both = 1.96 * float(np.sqrt(np.mean(np.sort(np.concatenate([growth, shrink])) ** 2)))
    single = 1.96 * float(np.sqrt(np.mean(np.sort(net**2))))
    sampled = sampling_ml(pair, tissue, slice_mm)
    both, single = float(np.hypot(both, sampled)), float(np.hypot(single, sampled))
    return Limits95(both, both, single, len(found))


def sampling_ml(pair: Pair, tissue: Tissue, slice_mm: float | None = None) -> float:
    """Return how much change other positions of the slices may feign.

    Parameters
    ----------
    pair : Pair
        Two visits.
    tissue : Tissue
        Tissues, and the voxel size.
    slice_mm : float, optional
        Thickness of the slices as scanned, of the visit with the thicker ones: the grid of the
        tissues has the finest voxels of all visits. The largest side of a voxel if not given.

    Returns
    -------
    float
        mL; 95 % of pairs without change stay below.

    Examples
    --------
    >>> none = np.zeros((10, 10, 10), np.float32)
    >>> pair = Pair(0.02, 0.1, none, none, none, none == 0)
    >>> tissue = Tissue(none == 0, none, none, none, np.array([1.0, 1.0, 4.0]))
    >>> round(sampling_ml(pair, tissue), 3)  # of 4 mL
    0.896
    >>> round(sampling_ml(pair, tissue, 8.0) / sampling_ml(pair, tissue), 3)
    4.0
    """
    voxel_mm = np.asarray(tissue.voxel_mm, float)
    uncertain_ml = float(pair.uncertain.sum()) * float(voxel_mm.prod()) / 1000
    thick = max(float(voxel_mm.max()), slice_mm or 0.0)
    return SAMPLING * uncertain_ml * thick**2
