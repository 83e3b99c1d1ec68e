"""Free water: the share of a voxel's signal that diffuses as freely as water in a glass.

``S = S0 ((1 - f) exp(-b g' D g) + f exp(-b d))`` with d = 3e-3 mm²/s. Two shells determine f and
the tensor D of the tissue; with one shell many pairs fit equally well, and a rule has to choose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from csvdprep.core.errors import MeasureError
from csvdprep.science.free_water_solver import FREE, mean_diffusivity, refine, start
from csvdprep.science.tensor_equations import MIN_SIGNAL, design_matrix, in_chunks, weighted_fit

__all__ = ['FREE', 'FreeWater', 'fit_free_water', 'free_water_single_shell']

#: Volumes below this b-value (s/mm²) have no diffusion weighting.
B0_LIMIT = 50.0
#: Tissue is not sought where the mean diffusivity of the plain tensor is above this, mm²/s.
ALL_FREE = 2.7e-3
#: With more free water than this the tensor of the rest is noise.
MOST_FREE = 0.95

# Rules of the single shell: mean diffusivity of tissue, and of tissue where it is lower, mm²/s;
# largest gain in anisotropy; width of the smoothing kernel in voxels; largest f; how often the
# interval of f is halved: to a thousandth.
_TISSUE_MD, _LOW_MD, _FA_GAIN, _FWHM, _LARGEST, _HALVINGS = 0.6e-3, 0.42e-3, 3.0, 1.25, 0.98, 10
# Signal of tissue that is left at least, as a share of that at b = 0.
_LEFT = 1e-3
# Two b-values closer than this belong to one shell.
_SHELL_WIDTH = 200.0


@dataclass(frozen=True, eq=False)
class FreeWater:
    """Free water of a volume.

    Attributes
    ----------
    f : ndarray, shape (...)
        Share of free water in the signal at b = 0, 0 to 1; 0 outside of the mask.
    tensor : ndarray, shape (..., 6)
        Tensors of the tissue: xx, xy, xz, yy, yz, zz, mm²/s; see
        `csvdprep.science.tensors.measures`.
    s0 : ndarray, shape (...)
        Signal at b = 0.
    tissue : ndarray of bool, shape (...)
        Voxels with enough tissue to have a tensor: f at most 0.95, and its mean diffusivity less
        than that of free water. In the others it is 0.
    """

    f: np.ndarray
    tensor: np.ndarray
    s0: np.ndarray
    tissue: np.ndarray


def fit_free_water(
    signal: np.ndarray,
    bvals: np.ndarray,
    directions: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    threads: int = 1,
) -> FreeWater:
    """Fit free water and tissue to two or more shells.

    DIPY's ``FreeWaterTensorModel(gtab, fit_method='NLS')`` [1]_, for many voxels at once: a grid
    of f, for each of which the tissue's tensor follows by weighted linear least squares, then
    Levenberg-Marquardt from the best.

    Parameters
    ----------
    signal : ndarray, shape (..., n)
        Signals of n volumes.
    bvals, directions : ndarray, shapes (n,) and (n, 3)
        s/mm², and unit vectors in the frame in which tensors are wanted.
    mask : ndarray of bool, shape (...), optional
        Where to fit; everywhere by default.
    threads : int
        Chunks fitted at a time. The result does not depend on it.

    Returns
    -------
    FreeWater

    Raises
    ------
    MeasureError
        If there are fewer than two shells or no volume at b = 0, or the table or the signal
        cannot be used.

    References
    ----------
    .. [1] Neto Henriques R. et al. (2017) [Re] Optimization of a free water elimination
       two-compartment model for diffusion tensor imaging. doi:10.5281/zenodo.495237

    Examples
    --------
    >>> from csvdprep.science.tensors import predict
    >>> axes = np.array([[1, 1, 0], [1, -1, 0], [1, 0, 1], [1, 0, -1], [0, 1, 1], [0, 1, -1]])
    >>> axes = np.vstack([[[0, 0, 0]], axes, axes]) / 2**0.5
    >>> bvals = np.array([0] + [500] * 6 + [1500] * 6)
    >>> tissue = predict(np.array([1.2e-3, 0, 0, 3e-4, 0, 3e-4]), 70.0, bvals, axes)
    >>> found = fit_free_water(tissue + 30 * np.exp(-3e-3 * bvals), bvals, axes)
    >>> round(float(found.f), 4), (found.tensor[[0, 3]] * 1e3).round(3).tolist()
    (0.3, [1.2, 0.3])
    """
    design = design_matrix(bvals, directions)
    bvals = np.asarray(bvals, dtype=float)
    _need_b0(bvals)
    if len(_shells(bvals)) < 2:
        raise MeasureError(
            'Free water and tissue cannot be told apart by one shell alone.',
            remedy='Use free_water_single_shell, whose result rests on an assumption.',
        )

    def work(some: np.ndarray) -> np.ndarray:
        s0 = some[:, bvals < B0_LIMIT].mean(axis=1)
        some = np.maximum(some, MIN_SIGNAL)
        found, md = start(some, s0, design)
        plain = (md < ALL_FREE * 1e3) & (s0 > MIN_SIGNAL)
        moving = plain & (found[:, 7] < 0.99)
        found[moving] = refine(some[moving], found[moving], design)
        found[~plain, 7] = md[~plain] >= ALL_FREE * 1e3
        return found

    return _fit(signal, mask, len(bvals), work, threads)


def free_water_single_shell(
    signal: np.ndarray,
    bvals: np.ndarray,
    directions: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    smooth: bool = True,
    threads: int = 1,
) -> FreeWater:
    """Estimate free water from b = 0 and the shell nearest to b = 1000.

    The rule of the MarkVCID kit [1]_: that f up to 0.98 is taken whose tissue has the mean
    diffusivity 0.6e-3 mm²/s, but at most three times the anisotropy of the plain tensor. Where
    already the plain tensor has less than 0.6e-3, the tissue has 0.7 of what it has. The kit tries
    21 values and then 21 around the best; as with f the mean diffusivity falls and the anisotropy
    grows, halving an interval ten times finds it with fewer fits.

    Parameters
    ----------
    signal : ndarray, shape (nx, ny, nz, n)
        Signals of n volumes.
    bvals, directions, mask, threads
        As in `fit_free_water`.
    smooth : bool
        Blur the volumes by 1.25 voxels (full width at half maximum) first.

    Returns
    -------
    FreeWater

    Raises
    ------
    MeasureError
        If there is no volume at b = 0, or the table or the signal cannot be used.

    Notes
    -----
    One shell does not determine f: the problem is ill-posed, and whatever solves it assumes
    something, here the mean diffusivity of tissue (others that f is smooth [2]_). The result is a
    contrast that follows free water as long as the mean diffusivity of tissue stays the same, in
    effect another scale of mean diffusivity; it is not a measurement of both. The rule has a
    step: tissue without free water and a mean diffusivity just below 0.6e-3 mm²/s gets f of about
    0.18, just above it 0.

    References
    ----------
    .. [1] Maillard P. et al. (2022) Instrumental validation of free water, peak-width of
       skeletonized mean diffusivity, and white matter hyperintensities: MarkVCID neuroimaging
       kits. doi:10.1002/dad2.12261
    .. [2] Pasternak O. et al. (2009) Free water elimination and mapping from diffusion MRI.
       doi:10.1002/mrm.22055

    Examples
    --------
    >>> from csvdprep.science.tensors import predict
    >>> axes = np.array([[0, 0, 0], [1, 1, 0], [1, -1, 0], [1, 0, 1], [1, 0, -1], [0, 1, 1],
    ...                  [0, 1, -1]]) / 2**0.5
    >>> bvals = np.array([0] + [1000] * 6)
    >>> tissue = predict(np.array([1.11e-3, 0, 0, 4e-4, 0, 3e-4]), 70.0, bvals, axes)
    >>> signal = np.tile(tissue + 30 * np.exp(-3e-3 * bvals), (3, 3, 3, 1))
    >>> round(float(free_water_single_shell(signal, bvals, axes).f[1, 1, 1]), 2)
    0.3
    """
    bvals = np.asarray(bvals, dtype=float)
    _need_b0(bvals)
    found = _shells(bvals)
    if not found:
        raise MeasureError('The series has no diffusion weighting.')
    shell = min(found, key=lambda b: abs(b - 1000))
    use = (bvals < B0_LIMIT) | (np.abs(bvals - shell) < _SHELL_WIDTH)
    bvals, directions = bvals[use], np.asarray(directions)[use]
    design = design_matrix(bvals, directions)
    signal = _series(signal, len(use))[..., use]
    if smooth:
        sigma = _FWHM / np.sqrt(8 * np.log(2))
        signal = ndi.gaussian_filter(np.asarray(signal, np.float32), (sigma,) * 3 + (0,))
    free = np.exp(-bvals * FREE)

    def tissue(some: np.ndarray, s0: np.ndarray, f: np.ndarray) -> np.ndarray:
        # Too large f leave no signal, but have to leave a logarithm. The factor 1 / (1 - f) would
        # change no more than S0.
        left = np.maximum(some - (f * s0)[:, None] * free, (_LEFT * s0)[:, None])
        return weighted_fit(np.maximum(left, MIN_SIGNAL), design)

    def work(some: np.ndarray) -> np.ndarray:
        some = np.maximum(some, MIN_SIGNAL)
        s0 = some[:, bvals < B0_LIMIT].mean(axis=1)
        best = tissue(some, s0, np.zeros(len(some)))
        md, limit = mean_diffusivity(best) * 1e-3, _FA_GAIN * _fa(best)
        goal = 1e3 * np.where(md > _TISSUE_MD, _TISSUE_MD, _LOW_MD * md / _TISSUE_MD)
        f, above = np.zeros(len(some)), np.full(len(some), _LARGEST)
        for _ in range(_HALVINGS):
            trial = (f + above) / 2
            found = tissue(some, s0, trial)
            below = (mean_diffusivity(found) >= goal) & (_fa(found) <= limit)
            f, above = np.where(below, trial, f), np.where(below, above, trial)
            best[below] = found[below]
        best[:, 6] = np.log(s0)
        return np.column_stack([best, f])

    return _fit(signal, mask, len(bvals), work, threads)


def _shells(bvals: np.ndarray) -> list[float]:
    """Mean b-value of each shell above b = 50: values less than 200 apart belong together."""
    weighted = np.sort(np.asarray(bvals, dtype=float))
    weighted = weighted[weighted >= B0_LIMIT]
    parts = np.split(weighted, np.flatnonzero(np.diff(weighted) >= _SHELL_WIDTH) + 1)
    return [float(part.mean()) for part in parts if len(part)]


def _need_b0(bvals: np.ndarray) -> None:
    if not (bvals < B0_LIMIT).any():
        raise MeasureError(
            'The series has no volume without diffusion weighting.',
            remedy='Give the scan a volume at b = 0; free water cannot be had without.',
        )


def _series(signal: np.ndarray, volumes: int) -> np.ndarray:
    signal = np.asarray(signal)
    if signal.shape[-1] != volumes:
        raise MeasureError(
            f'The series has {signal.shape[-1]} volumes, its gradient table {volumes}.',
            remedy='Convert the scan again, so that .bval, .bvec and image belong together.',
        )
    return signal


def _fit(signal, mask, volumes: int, work, threads: int) -> FreeWater:
    """Call ``work`` for chunks of voxels, (n, volumes) to (n, 8): tensor, ln S0, f."""
    signal = _series(signal, volumes)
    grid = signal.shape[:-1]
    where = np.nonzero(np.atleast_1d(np.ones(grid, bool) if mask is None else mask))
    signal = np.atleast_2d(signal)
    f, s0 = np.zeros(signal.shape[:-1]), np.zeros(signal.shape[:-1])
    tensor = np.zeros((*f.shape, 6))

    def part(voxels: slice) -> None:
        chosen = tuple(axis[voxels] for axis in where)
        some = signal[chosen].astype(np.float64)
        if not np.isfinite(some).all():
            raise MeasureError(
                'The diffusion series holds values that are not numbers within the brain.',
                remedy='Convert the scan again, or leave the damaged volumes out.',
            )
        found = work(some)
        real = (found[:, 7] <= MOST_FREE) & (mean_diffusivity(found) < FREE * 1e3)
        tensor[chosen] = np.where(real[:, None], found[:, :6] * 1e-3, 0)
        s0[chosen], f[chosen] = np.exp(found[:, 6]), found[:, 7]

    in_chunks(part, len(where[0]), threads)
    tissue = tensor.any(axis=-1)
    return FreeWater(
        f.reshape(grid), tensor.reshape(*grid, 6), s0.reshape(grid), tissue.reshape(grid)
    )


def _fa(found: np.ndarray) -> np.ndarray:
    """Anisotropy from the parts, without eigenvalues: sqrt(3/2) |D - MD| / |D|."""
    twice = np.array([1, 2, 2, 1, 2, 1.0])
    size = (found[:, :6] ** 2 * twice).sum(axis=1)
    apart = size - 3 * mean_diffusivity(found) ** 2
    return np.sqrt(1.5 * np.maximum(apart, 0) / np.maximum(size, 1e-30))
