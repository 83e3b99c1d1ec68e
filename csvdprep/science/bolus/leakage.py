"""Contrast agent that leaks: what it adds to, or takes from, the change of R2*."""

from __future__ import annotations

import numpy as np

#: A voxel does not leak where its curve ends within so many SD of 0 or of the others' (see
#: :func:`reference_curve`).
CALM = 2.0


def reference_curve(curves: np.ndarray, baseline: slice) -> np.ndarray:
    """Average the curves of voxels that do not seem to leak.

    Those whose last fifth lies within two robust SD of the median of all, and whose first pass is
    seen.

    Parameters
    ----------
    curves : ndarray, shape (m, n)
        Change of R2* in the voxels of the brain, 1/s.
    baseline : slice
        Volumes before the bolus.

    Returns
    -------
    ndarray, shape (n,)
        1/s.

    Examples
    --------
    >>> time = np.arange(40.0)
    >>> curves = np.tile(np.exp(-0.5 * ((time - 15) / 3) ** 2), (50, 1))
    >>> curves[:5, 15:] -= 0.02 * (time[15:] - 15)
    >>> bool(abs(reference_curve(curves, slice(0, 5))[-1]) < 1e-6)
    True
    """
    late = curves[:, -max(3, curves.shape[1] // 5) :].mean(axis=1)
    middle = float(np.median(late))
    spread = 1.4826 * float(np.median(np.abs(late - middle)))
    noise = curves[:, baseline].std(axis=1)
    seen = curves.max(axis=1) > 3 * noise
    calm = np.abs(late - middle) <= CALM * spread + 1e-9
    chosen = seen & calm if (seen & calm).any() else calm
    return curves[chosen].mean(axis=0)


def correct_leakage(
    curves: np.ndarray, reference: np.ndarray, step_s: float
) -> tuple[np.ndarray, np.ndarray]:
    """Correct for leakage after Boxerman, Schmainda and Weisskoff [1]_.

    Each curve is fitted by ``K1 ref(t) - K2 ∫ref``; what leaks (``K2``) is put back. K2 is
    positive where leaked agent raises the signal (T1), negative where it lowers it (T2*). First
    and second derivative of the reference are fitted beside: without them, a transit that is
    longer than that of the reference is taken for leakage. They have no area.

    Parameters
    ----------
    curves : ndarray, shape (m, n)
        Change of R2*, 1/s.
    reference : ndarray, shape (n,)
        Curve without leakage, 1/s.
    step_s : float
        Time from volume to volume, s.

    Returns
    -------
    corrected : ndarray, shape (m, n)
        1/s.
    k2 : ndarray, shape (m,)
        1/s.

    References
    ----------
    .. [1] Boxerman J.L., Schmainda K.M., Weisskoff R.M. (2006) Relative cerebral blood volume maps
       corrected for contrast agent extravasation significantly correlate with glioma tumor grade,
       whereas uncorrected maps do not. PMID:16611779

    Examples
    --------
    >>> time = np.arange(60.0)
    >>> ref = np.exp(-0.5 * ((time - 20) / 3) ** 2)
    >>> leaking = 2 * ref - 0.01 * np.cumsum(ref)
    >>> corrected, k2 = correct_leakage(leaking[None], ref, 1.0)
    >>> bool(abs(corrected.sum() / (2 * ref).sum() - 1) < 0.01), round(float(k2[0]), 3)
    (True, 0.01)
    """
    between = (reference[1:] + reference[:-1]) / 2 * step_s
    whole = np.concatenate([[0], np.cumsum(between)])
    slope = np.gradient(reference, step_s)
    design = np.stack([reference, -whole, slope, np.gradient(slope, step_s)], axis=1)
    fitted, *_ = np.linalg.lstsq(design, np.asarray(curves, float).T, rcond=None)
    k2 = fitted[1]
    return curves + k2[:, None] * whole, k2
