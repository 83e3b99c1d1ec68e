"""How noise widens the distribution of mean diffusivity, and so PSMD."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from csvdprep.core.errors import MeasureError
from csvdprep.markers.psmd.science import peak_width, plausible

__all__ = ['fit_md', 'noise_inflation', 'simulate_md']

#: Voxels that noise is simulated in: quantiles of all.
SIMULATED = 10_000


def simulate_md(
    md: np.ndarray,
    snr: float,
    bvals: np.ndarray,
    bvecs: np.ndarray,
    *,
    fa: float = 0.5,
    weights: str = 'predicted',
    seed: int = 0,
) -> np.ndarray:
    """Simulate the mean diffusivities that a tensor fit gives from noisy signals.

    Each voxel has one fibre of random direction, a tensor with two equal eigenvalues, a signal of
    1 without weighting, and Rician noise. The tensor is fitted to the logarithm, by ordinary and
    then weighted least squares.

    Parameters
    ----------
    md : ndarray, shape (n,)
        True mean diffusivities, mm2/s.
    snr : float
        Signal without weighting over the standard deviation of the noise.
    bvals, bvecs : ndarray, shapes (v,) and (v, 3)
        Weighting of the volumes that the tensor is fitted to: s/mm2, unit vectors.
    fa : float
        Fractional anisotropy, 0 to 1.
    weights : {'predicted', 'measured'}
        Squares of the signals that the first fit predicts (as in DIPY and here), or of the noisy
        signals themselves, which biases MD downward the more, the lower the signal.
    seed : int
        Of noise and directions.

    Returns
    -------
    ndarray, shape (n,)
        mm2/s.

    References
    ----------
    Salvador et al. 2005, doi:10.1002/hbm.20076; Veraart et al. 2013,
    doi:10.1016/j.neuroimage.2013.05.028 (choice of weights)

    Examples
    --------
    >>> from csvdprep.phantom.diffusion.gradients import spread
    >>> scheme = np.append(0, np.full(30, 1000)), np.vstack([np.zeros((1, 3)), spread(30)])
    >>> bool(np.allclose(simulate_md(np.array([7e-4, 9e-4]), 1e6, *scheme), [7e-4, 9e-4]))
    True
    """
    md, b, g = (np.asarray(given, float) for given in (md, bvals, bvecs))
    random = np.random.default_rng(seed)
    fibre = random.standard_normal((md.size, 3))
    fibre /= np.linalg.norm(fibre, axis=1, keepdims=True)
    # Eigenvalues MD (1 + 2 k) along and MD (1 - k) across the fibre give this FA.
    k = fa / np.sqrt(3 - 2 * fa**2)
    signal = np.exp(-b * md[:, None] * (1 - k + 3 * k * (fibre @ g.T) ** 2))
    real, imaginary = random.standard_normal((2, *signal.shape)) / snr
    signal = np.hypot(signal + real, imaginary)

    return fit_md(signal, b, g, weights)


def fit_md(
    signal: np.ndarray, bvals: np.ndarray, bvecs: np.ndarray, weights: str = 'predicted'
) -> np.ndarray:
    """Fit tensors to signals, shape (n, v), by least squares as in `simulate_md`; return MD.

    Raises
    ------
    ValueError
        If the volumes do not determine a tensor.

    Examples
    --------
    >>> from csvdprep.phantom.diffusion.gradients import spread
    >>> b, g = np.append(0, np.full(6, 1000)), np.vstack([np.zeros((1, 3)), spread(6)])
    >>> round(float(fit_md(np.exp(-b[None] * 7e-4), b, g)[0]), 9)
    0.0007
    """
    b, g = np.asarray(bvals, float), np.asarray(bvecs, float)
    # Off-diagonal elements come out doubled, which MD does not see.
    pairs = [g[:, i] * g[:, j] for i in range(3) for j in range(i, 3)]
    design = np.column_stack([-1e-3 * b * pair for pair in pairs] + [np.ones(b.size)])
    if np.linalg.matrix_rank(design) < 7:
        raise ValueError('These volumes are not sufficient to fit a tensor.')
    log = np.log(np.maximum(signal, 1e-6))
    first = log @ np.linalg.pinv(design).T
    weight = np.exp(2 * first @ design.T) if weights == 'predicted' else signal**2
    squares = weight @ (design[:, :, None] * design[:, None]).reshape(-1, 49)
    sides = (weight * log) @ design
    tensor = np.linalg.solve(squares.reshape(-1, 7, 7), sides[..., None])[..., 0]
    return tensor[:, [0, 3, 5]].mean(axis=1) * 1e-3


def noise_inflation(
    md: np.ndarray,
    snr: float,
    bvals: np.ndarray,
    bvecs: np.ndarray,
    *,
    measured: bool = True,
    **simulation,
) -> float:
    """Estimate by how much noise widens PSMD.

    Parameters
    ----------
    md : ndarray, shape (n,)
        Mean diffusivities on the skeleton, mm2/s.
    snr, bvals, bvecs
        As in `simulate_md`. Interpolation and denoising raise the SNR; pass what they leave.
    measured : bool
        Whether ``md`` was measured and has noise in it: then the true width is sought that noise
        widens to the one given. Otherwise ``md`` is the truth.
    **simulation
        ``fa``, ``weights`` and ``seed`` of `simulate_md`.

    Returns
    -------
    float
        PSMD with noise over PSMD without, minus 1.

    Raises
    ------
    MeasureError
        If the SNR is not positive, or noise alone would give a width as large as the measured one.

    Notes
    -----
    The estimate is for MD that follows the quantiles of ``md``, shrunk towards the median.

    Examples
    --------
    >>> from csvdprep.phantom.diffusion.gradients import spread
    >>> from csvdprep.phantom.diffusion.tensors import skeleton_case
    >>> scheme = np.repeat([0, 1000], [3, 30]), np.vstack([np.zeros((3, 3)), spread(30)])
    >>> bool(0.05 < noise_inflation(skeleton_case(2.2e-4), 30, *scheme, measured=False) < 0.1)
    True
    """
    if not snr > 0:
        raise MeasureError('The influence of noise on PSMD is unknown: the SNR is not positive.')
    md = np.asarray(md, float)
    md = np.quantile(md[plausible(md)], (np.arange(SIMULATED) + 0.5) / SIMULATED)
    given, middle = peak_width(md), float(np.median(md))

    def widened(factor: float) -> float:
        true = np.maximum(middle + factor * (md - middle), 1e-6)
        return peak_width(simulate_md(true, snr, bvals, bvecs, **simulation))

    if not measured:
        return widened(1.0) / given - 1
    if widened(0.05) >= given:
        raise MeasureError(
            f'At an SNR of {snr:.3g} noise alone explains the width of mean diffusivity.',
            remedy='Do not use PSMD of this scan.',
        )
    high = 1.0 if widened(1.0) >= given else 2.0
    return 1 / brentq(lambda factor: widened(factor) - given, 0.05, high, xtol=1e-3) - 1
