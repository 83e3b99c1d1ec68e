"""Diffusion tensors of whole volumes: weighted and robust fits, measures, predicted signals.

Tensors are arrays (..., 6) of xx, xy, xz, yy, yz, zz in mm²/s, in the frame of the directions that
they were fitted with: here the world's (RAS+ mm). The weighted fit is that of DIPY's
``TensorModel(gtab, fit_method='WLS')``, in a fraction of its time: its pseudo-inverse per voxel
becomes a product of matrices over many voxels and the solution of seven equations (see
`csvdprep.science.tensor_equations`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from csvdprep.core.errors import MeasureError
from csvdprep.science.tensor_equations import (
    MIN_SIGNAL,
    PARTS,
    can_be_solved,
    design_matrix,
    in_chunks,
    tensor_rows,
    weighted_fit,
)

__all__ = [
    'FLOOR',
    'Fit',
    'Measures',
    'fit_tensor',
    'matrices',
    'measures',
    'predict',
    'residuals',
]

#: Smallest eigenvalue that counts, mm²/s: noise makes negative ones, water has none.
FLOOR = 1e-6
#: Fewest volumes among which an outlier can be told.
ROBUST_NEEDS = 10
# DIPY's order of a tensor's parts: xx, xy, yy, xz, yz, zz.
_DIPY = [0, 1, 3, 2, 4, 5]


@dataclass(frozen=True, eq=False)
class Fit:
    """Tensors of a volume.

    Attributes
    ----------
    tensor : ndarray, shape (..., 6)
        xx, xy, xz, yy, yz, zz, mm²/s; 0 outside of the mask.
    s0 : ndarray, shape (...)
        Signal at b = 0 of the fit.
    refitted : ndarray of bool, shape (...)
        Voxels whose outliers the robust fit has left out.
    """

    tensor: np.ndarray
    s0: np.ndarray
    refitted: np.ndarray


@dataclass(frozen=True, eq=False)
class Measures:
    """Measures of tensors, each of shape (...), `v1` (..., 3).

    Attributes
    ----------
    fa : ndarray
        Fractional anisotropy, 0 to 1.
    md, ad, rd : ndarray
        Mean, axial and radial diffusivity, mm²/s.
    mode : ndarray
        Mode of anisotropy, -1 (planar) to 1 (linear), 0 for isotropic tensors.
    v1 : ndarray
        Direction of the largest diffusivity; its sign means nothing.
    """

    fa: np.ndarray
    md: np.ndarray
    ad: np.ndarray
    rd: np.ndarray
    mode: np.ndarray
    v1: np.ndarray


def fit_tensor(
    signal: np.ndarray,
    bvals: np.ndarray,
    directions: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    method: str = 'wls',
    reweightings: int = 1,
    threads: int = 1,
) -> Fit:
    """Fit one diffusion tensor per voxel.

    ``ln S = ln S0 - b g' D g`` by least squares, first unweighted, then ``reweightings`` times
    with the squares of the signals that the fit before predicts [1]_. One such time is DIPY's
    'WLS'. The method 'robust' then looks for voxels with a residual beyond three standard
    deviations (from the voxel's median absolute deviation) and gives these to DIPY's 'RWLS',
    which finds outliers with Geman-McClure weights and leaves them out [2]_, as long as the rest
    determines a tensor and there are at least ten volumes.

    Parameters
    ----------
    signal : ndarray, shape (..., n)
        Signals of n volumes.
    bvals : ndarray, shape (n,)
        s/mm².
    directions : ndarray, shape (n, 3)
        Unit vectors in the frame in which tensors are wanted. Those of b = 0 are not used.
    mask : ndarray of bool, shape (...), optional
        Where to fit; everywhere by default.
    method : {'wls', 'robust'}
        See above.
    reweightings : int
        Number of weighted fits.
    threads : int
        Chunks fitted at a time. The result does not depend on it.

    Returns
    -------
    Fit

    Raises
    ------
    MeasureError
        If table and signal do not fit together, the table cannot determine a tensor, or a signal
        is not a number.

    References
    ----------
    .. [1] Chung S. et al. (2006) Comparison of bootstrap approaches for estimation of
       uncertainties of DTI parameters. doi:10.1016/j.neuroimage.2006.07.001
    .. [2] Collier Q. et al. (2015) Iterative reweighted linear least squares for accurate, fast,
       and robust estimation of diffusion magnetic resonance parameters. doi:10.1002/mrm.25351

    Examples
    --------
    >>> bvals = np.array([0] + [1000] * 6)
    >>> axes = np.array([[0, 0, 0], [1, 1, 0], [1, -1, 0], [1, 0, 1], [1, 0, -1], [0, 1, 1],
    ...                  [0, 1, -1]]) / 2**0.5
    >>> truth = np.array([1.5e-3, 1e-4, 0, 4e-4, 0, 3e-4])
    >>> found = fit_tensor(predict(truth, 100.0, bvals, axes), bvals, axes)
    >>> bool(np.allclose(found.tensor, truth, atol=1e-12)), round(float(found.s0), 6)
    (True, 100.0)
    """
    if method not in ('wls', 'robust'):
        raise ValueError(f"There is no method {method!r}, only 'wls' and 'robust'.")
    signal = np.asarray(signal)
    design = design_matrix(bvals, directions)
    if signal.shape[-1] != len(design):
        raise MeasureError(
            f'The series has {signal.shape[-1]} volumes, its gradient table {len(design)}.',
            remedy='Convert the scan again, so that .bval, .bvec and image belong together.',
        )
    grid = signal.shape[:-1]
    mask = np.ones(grid, bool) if mask is None else np.asarray(mask) > 0
    signal, mask = np.atleast_2d(signal), np.atleast_1d(mask)
    where = np.nonzero(mask)
    found = np.zeros((len(where[0]), 7))
    refitted = np.zeros(len(found), bool)

    def work(part: slice) -> None:
        some = signal[tuple(axis[part] for axis in where)].astype(np.float64)
        if not np.isfinite(some).all():
            raise MeasureError(
                'The diffusion series holds values that are not numbers within the brain.',
                remedy='Convert the scan again, or leave the damaged volumes out.',
            )
        np.maximum(some, MIN_SIGNAL, out=some)
        found[part] = weighted_fit(some, design, reweightings)
        if method == 'robust' and len(design) >= ROBUST_NEEDS:
            bad = np.flatnonzero(_with_outliers(some, found[part], design)) + part.start
            better, determined = _robust(some[bad - part.start], design)
            found[bad[determined]] = better[determined]
            refitted[bad[determined]] = True

    in_chunks(work, len(found), threads)
    tensor, s0, again = np.zeros((*mask.shape, 6)), np.zeros(mask.shape), np.zeros_like(mask)
    tensor[where], s0[where], again[where] = found[:, :6] * 1e-3, np.exp(found[:, 6]), refitted
    return Fit(tensor.reshape(*grid, 6), s0.reshape(grid), again.reshape(grid))


def measures(tensor: np.ndarray, floor: float = FLOOR) -> Measures:
    """Compute the measures of tensors.

    ``FA = sqrt(3/2) |λ - MD| / |λ|``, ``MD = (λ1 + λ2 + λ3) / 3``, ``AD = λ1``,
    ``RD = (λ2 + λ3) / 2``, ``mode = 3 sqrt(6) det(A / |A|)`` with the anisotropic part A [1]_.

    Parameters
    ----------
    tensor : ndarray, shape (..., 6)
        mm²/s.
    floor : float
        Eigenvalues below it are taken for it, mm²/s. DIPY's is about 1e-6 divided by the largest
        b-value (by the largest entry of its design matrix).

    Returns
    -------
    Measures

    References
    ----------
    .. [1] Ennis D.B., Kindlmann G. (2006) Orthogonal tensor invariants and the analysis of
       diffusion tensor magnetic resonance images. doi:10.1002/mrm.20741

    Examples
    --------
    >>> found = measures(np.array([1.5e-3, 0, 0, 3e-4, 0, 3e-4]))
    >>> [round(float(x), 6) for x in (found.fa, found.md, found.ad, found.rd, found.mode)]
    [0.7698, 0.0007, 0.0015, 0.0003, 1.0]
    >>> np.abs(found.v1).round(6).tolist()
    [1.0, 0.0, 0.0]
    """
    values, vectors = np.linalg.eigh(matrices(tensor))
    values = np.maximum(values, floor)
    md = values.mean(axis=-1)
    apart = values - md[..., None]
    size = np.linalg.norm(apart, axis=-1)
    fa = np.sqrt(1.5) * size / np.maximum(np.linalg.norm(values, axis=-1), 1e-30)
    shape = apart / np.where(size > 1e-9 * md, size, np.inf)[..., None]
    mode = np.clip(3 * np.sqrt(6) * shape.prod(axis=-1), -1, 1)
    return Measures(fa, md, values[..., 2], values[..., :2].mean(axis=-1), mode, vectors[..., 2])


def matrices(tensor: np.ndarray) -> np.ndarray:
    """Write tensors as symmetric matrices.

    Parameters
    ----------
    tensor : ndarray, shape (..., 6)

    Returns
    -------
    ndarray, shape (..., 3, 3)

    Examples
    --------
    >>> matrices(np.arange(6)).tolist()
    [[0, 1, 2], [1, 3, 4], [2, 4, 5]]
    """
    tensor = np.asarray(tensor)
    return tensor[..., [0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(*tensor.shape[:-1], 3, 3)


def predict(
    tensor: np.ndarray, s0: np.ndarray | float, bvals: np.ndarray, directions: np.ndarray
) -> np.ndarray:
    """Predict the signal of tensors: ``S0 exp(-b g' D g)``.

    Parameters
    ----------
    tensor : ndarray, shape (..., 6)
        mm²/s.
    s0 : ndarray, shape (...)
        Signal at b = 0.
    bvals, directions : ndarray, shapes (n,) and (n, 3)
        s/mm² and unit vectors, in the frame of the tensors.

    Returns
    -------
    ndarray, shape (..., n)

    Examples
    --------
    >>> isotropic = np.array([1, 0, 0, 1, 0, 1]) * 1e-3
    >>> predict(isotropic, 100.0, [0, 1000], [[0, 0, 0], [0, 0, 1]]).round(3).tolist()
    [100.0, 36.788]
    """
    exponent = np.asarray(tensor) @ (1e3 * tensor_rows(bvals, directions)[:, :6].T)
    return np.asarray(s0)[..., None] * np.exp(exponent)


def residuals(
    signal: np.ndarray, fit: Fit, bvals: np.ndarray, directions: np.ndarray
) -> np.ndarray:
    """Subtract what a fit predicts from the signal.

    Parameters
    ----------
    signal : ndarray, shape (..., n)
        Signals.
    fit : Fit
        From `fit_tensor` on them.
    bvals, directions : ndarray, shapes (n,) and (n, 3)
        s/mm² and unit vectors.

    Returns
    -------
    ndarray, shape (..., n)
        In the unit of the signal.

    Examples
    --------
    >>> still = Fit(np.array([1, 0, 0, 1, 0, 1]) * 1e-3, np.array(100.0), np.array(False))
    >>> residuals([101.0, 36.788], still, [0, 1000], [[0, 0, 0], [0, 0, 1]]).round(2).tolist()
    [1.0, 0.0]
    """
    return np.asarray(signal, dtype=float) - predict(fit.tensor, fit.s0, bvals, directions)


def _with_outliers(signal: np.ndarray, found: np.ndarray, design: np.ndarray) -> np.ndarray:
    """Find voxels with a residual of the weighted logarithm beyond three deviations."""
    count, unknowns = design.shape
    log = found @ design.T
    off = np.exp(log) * (np.log(signal) - log)
    middle = np.median(off, axis=1, keepdims=True)
    spread = np.median(np.abs(off - middle), axis=1) * 1.4826 * (count / (count - unknowns)) ** 0.5
    return (np.abs(off).max(axis=1) > 3 * spread) & (spread > 0)


def _robust(signal: np.ndarray, design: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit a chunk as `weighted_fit` does, without its outliers; and say where enough is left."""
    if not len(signal):
        return np.zeros((0, 7)), np.zeros(0, bool)
    from dipy.reconst.dti import robust_fit_tensor_wls

    # DIPY's model has its own order of the parts and -ln S0.
    theirs = design[:, [*_DIPY, 6]] * [1, 1, 1, 1, 1, 1, -1]
    with np.errstate(all='ignore'):
        (found, s0), more = robust_fit_tensor_wls(theirs, signal, return_S0_hat=True)
    values, vectors = found[:, :3], found[:, 3:].reshape(-1, 3, 3)
    whole = np.einsum('nij,nj,nkj->nik', vectors, values, vectors)
    parts = [whole[:, i, j] for i, j in PARTS]
    # With too few directions left a voxel has no tensor, and DIPY's answer means nothing.
    determined = can_be_solved(design * (more['robust'] > 0)[..., None])
    found = np.column_stack([*parts, np.log(np.maximum(s0.ravel(), MIN_SIGNAL))])
    return found, determined & np.isfinite(found).all(axis=1)
