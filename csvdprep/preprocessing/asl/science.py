"""Pairs of control and label, motion that labelling pretends, and which of the two is which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi
from scipy import stats

from csvdprep.science.morphology import dilate, open_mm

#: A difference that is this many standard errors from zero has a sign.
SURE = 5.0
#: Share of the brightness of the brain beside it from which a voxel is brain, how far around that
#: is averaged, how far from a mask it may be, and width of bridges that lead to no brain, mm.
BRIGHT, BESIDE_MM, REACH_MM, NARROW_MM = 0.6, 6.0, 12.0, 4.0
#: Pairs beyond one of each delay from which their scatter is judged.
LEAST_FREE = 2


@dataclass(frozen=True)
class Pair:
    """Control and label that are subtracted.

    Attributes
    ----------
    control, label : int
        Volumes; equal where the series holds differences already.
    delay, duration : float
        PLD and labelling duration, or TI and TI1, s.
    """

    control: int
    label: int
    delay: float
    duration: float


def pair_up(
    kinds: Sequence[str], delays: Sequence[float], durations: Sequence[float]
) -> list[Pair]:
    """Put control and label volumes together: neighbours of one delay.

    Where more volumes would find a partner if they were counted off (all control volumes are
    stored before the label volumes, or in blocks), the first control is paired with the first
    label of that delay, the second with the second, and so on.

    Parameters
    ----------
    kinds : sequence of str
        'control', 'label', 'deltam' or what is left out, of each volume.
    delays, durations : sequence of float
        Of each volume, s.

    Returns
    -------
    list of Pair
        In the order of acquisition. Where there are differences (deltam), these alone.

    Examples
    --------
    >>> pairs = pair_up(['m0scan', 'label', 'control', 'label', 'control'], [0, 1, 1, 2, 2],
    ...                 [0, 1.8, 1.8, 1.8, 1.8])
    >>> [(pair.control, pair.label, pair.delay) for pair in pairs]
    [(2, 1, 1), (4, 3, 2)]
    """
    made = [
        Pair(n, n, delays[n], durations[n]) for n, kind in enumerate(kinds) if kind == 'deltam'
    ]
    if made:
        return made
    pairs = []
    for setting in dict.fromkeys(zip(delays, durations, strict=True)):
        own = [
            n
            for n, kind in enumerate(kinds)
            if kind in ('control', 'label') and (delays[n], durations[n]) == setting
        ]
        pairs += [Pair(control, label, *setting) for control, label in _partners(own, kinds)]
    return sorted(pairs, key=lambda pair: min(pair.control, pair.label))


def _partners(own: list[int], kinds: Sequence[str]) -> list[tuple[int, int]]:
    """Return control and label of each pair of one delay."""
    found = []
    waiting: int | None = None
    for n in own:
        if waiting is None or kinds[waiting] == kinds[n]:
            # Of two of one kind in a row the later is nearer to what follows.
            waiting = n
            continue
        found.append((n, waiting) if kinds[n] == 'control' else (waiting, n))
        waiting = None
    controls, labels = ([n for n in own if kinds[n] == kind] for kind in ('control', 'label'))
    if len(found) == min(len(controls), len(labels)):
        return found
    return list(zip(controls, labels, strict=False))


def without_zigzag(parameters: np.ndarray, kinds: Sequence[str]) -> np.ndarray:
    """Take out of motion what follows the order of control and label.

    Labelling darkens the brain, which an alignment mistakes for motion; subtraction would turn
    that into perfusion (Wang 2012, doi:10.1016/j.mri.2012.05.004).

    Parameters
    ----------
    parameters : ndarray, shape (n, p)
        Shifts and rotations of each volume.
    kinds : sequence of str
        'control', 'label' or others, of each volume.

    Returns
    -------
    ndarray, shape (n, p)

    Examples
    --------
    >>> drift, zigzag = np.arange(4.0), np.array([0.1, -0.1, 0.1, -0.1])
    >>> kinds = ['control', 'label'] * 2
    >>> without_zigzag((drift + zigzag)[:, None], kinds).ravel().round(3)[1:].tolist()
    [1.0, 2.0, 3.0]
    """
    signs = np.array([{'control': 1.0, 'label': -1.0}.get(kind, 0.0) for kind in kinds])
    parameters = np.array(parameters, float)
    use = signs != 0
    if np.unique(signs[use]).size < 2 or use.sum() < 4:
        return parameters
    place = np.linspace(-1, 1, len(signs))
    # A drift must not pass for the difference of the two kinds.
    design = np.stack([signs, np.ones_like(place), place, place**2], axis=1)
    columns = 3 if use.sum() < 8 else 4
    fitted = np.linalg.lstsq(design[use, :columns], parameters[use], rcond=None)[0]
    return parameters - np.outer(signs, fitted[0])


def difference_sign(
    differences: np.ndarray, settings: Sequence[object] | None = None
) -> tuple[float, float | None]:
    """Tell which way control and label differ.

    Parameters
    ----------
    differences : ndarray, shape (n,)
        Mean of the brain of control minus label, of each pair.
    settings : sequence, optional
        Delay (and duration) of each pair: the difference is not the same for all of them, so
        that only those of one delay tell the scatter. None: one delay.

    Returns
    -------
    mean : float
        Mean over the delays, of each the median.
    t : float or None
        That over its standard error; the median of absolute deviations stands for the scatter,
        so that a moved pair does not hide the rest. Infinite where nothing scatters; None where
        repeats are too few to tell (fewer than two more pairs than delays).

    Examples
    --------
    >>> mean, t = difference_sign(np.array([8.0, 9, 10, 8, 9, 100]))
    >>> float(mean), bool(t > SURE)
    (9.0, True)
    >>> difference_sign(np.array([3.0, 9.0, 5.0]), settings=[1.0, 1.8, 2.6])[1] is None
    True
    """
    values = np.asarray(differences, float)
    names = [0] * len(values) if settings is None else list(settings)
    groups = [
        values[[name == one for name in names]]
        for one in dict.fromkeys(names)  # in the order in which they come
    ]
    middle = float(np.mean([np.median(own) for own in groups]))
    free = len(values) - len(groups)
    if free < LEAST_FREE:
        return middle, None
    apart = np.concatenate([np.abs(own - np.median(own)) for own in groups if len(own) > 1])
    if len(groups) > 1:
        # The median of an odd number is one of them, and no scatter.
        apart = apart[apart > 0] if apart.any() else apart
    spread = 1.4826 * float(np.median(apart))
    # Each further delay has a median of its own, which is nearer to its pairs than the true one.
    spread *= np.sqrt((sum(len(own) for own in groups if len(own) > 1) - 1) / free)
    spread *= np.sqrt(sum(1 / len(own) for own in groups)) / len(groups)
    # A few pairs scatter less than they should by chance.
    spread *= float(stats.t.ppf(0.975, free)) / 1.96
    if spread == 0:
        return middle, float(np.sign(middle) * np.inf) if middle else 0.0
    return middle, middle / spread


def whole_vertex(image: np.ndarray, mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Add to a brain mask what it lacks at the vertex, where slices are thick.

    Above the middle of the brain there are neither eyes nor muscles: what is nearly as bright as
    the brain beside it, and connected with it, is brain. The skull is dark.

    Parameters
    ----------
    image : ndarray, shape (nx, ny, nz)
        M0 or control, not negative.
    mask : ndarray of bool, shape (nx, ny, nz)
        Brain, as it was found.
    affine : ndarray, shape (4, 4)
        Voxel to world (RAS+), mm.

    Returns
    -------
    ndarray of bool, shape (nx, ny, nz)

    Examples
    --------
    >>> image = np.zeros((20, 20, 20)); image[4:16, 4:16, 2:16] = 100
    >>> mask = image > 0; mask[4:7, :, 14:] = False
    >>> found = whole_vertex(image, mask, np.diag([3.0, 3, 5, 1]))
    >>> bool(found[4:7, 6:14, 14:16].all()), bool(found[image == 0].any())
    (True, False)
    """
    mask = np.asarray(mask) > 0
    size = np.linalg.norm(affine[:3, :3], axis=0)
    height = np.einsum('i,i...->...', affine[2, :3], np.indices(mask.shape)) + affine[2, 3]
    upper = height >= height[mask].mean() if mask.any() else mask
    inside = mask.astype(np.float32)
    level = ndi.gaussian_filter(image * inside, BESIDE_MM / size)
    weight = ndi.gaussian_filter(inside, BESIDE_MM / size)
    bright = image * weight > BRIGHT * level
    near = dilate(mask, size, REACH_MM) & (weight > 1e-3) & upper & bright
    near = open_mm(near | mask, size, NARROW_MM) | mask
    return ndi.binary_propagation(mask, mask=near)


def relaxed(m0: np.ndarray, repetition: float | None, t1: float) -> np.ndarray:
    """Correct M0 for what has not relaxed within its repetition time.

    Parameters
    ----------
    m0 : ndarray
        Signal.
    repetition : float or None
        s; None: taken as fully relaxed.
    t1 : float
        Of tissue, s.

    Returns
    -------
    ndarray
        ``M0 / (1 - exp(-TR/T1))`` (Alsop 2015, doi:10.1002/mrm.25197).

    Examples
    --------
    >>> round(float(relaxed(np.array(1.0), 2.0, 1.607)), 3)
    1.405
    """
    return m0 if repetition is None else m0 / -np.expm1(-repetition / t1)
