"""Several echoes of a bolus-tracking series: what T1 does to the signal is the same in all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: A signal below so many SD of the noise is noise: the change of R2* is that of the first echo.
LEAST_SD = 3.0


def combine_echoes(
    series: Sequence[np.ndarray], times_s: Sequence[float], baseline: slice, te_s: float
) -> np.ndarray:
    """Make the series of one echo time that no change of T1 has a part in.

    Leaking contrast agent shortens T1, which raises all echoes by one factor: the ratio of echoes
    holds the change of R2* alone [1]_. Of more than two echoes, the logarithm is fitted by a line
    over the echo time.

    Parameters
    ----------
    series : sequence of ndarray, shape (..., n)
        Signal over time of each echo.
    times_s : sequence of float
        Echo times, s, rising.
    baseline : slice
        Volumes before the bolus.
    te_s : float
        Echo time of what is returned, s.

    Returns
    -------
    ndarray of float32, shape (..., n)
        Signal as that of the last echo before the bolus.

    References
    ----------
    .. [1] Vonken E.P.A. et al. (1999) Measurement of cerebral perfusion with dual-echo
       multi-slice quantitative dynamic susceptibility contrast MRI.
       doi:10.1002/(SICI)1522-2586(199910)10:4<476::AID-JMRI2>3.0.CO;2-O

    Examples
    --------
    >>> rate, t1 = np.array([0, 0, 10.0, 4]), np.array([1, 1, 1.2, 1.1])
    >>> echoes = [100 * t1 * np.exp(-te * rate) for te in (0.01, 0.03)]
    >>> made = combine_echoes(echoes, (0.01, 0.03), slice(0, 2), 0.03)
    >>> np.allclose(np.log(made[0] / made) / 0.03, rate)
    True
    """
    times = np.asarray(times_s, float)
    weights = (times - times.mean()) / ((times - times.mean()) ** 2).sum()
    rate, first = 0.0, None
    lost = np.zeros(series[0].shape, bool)
    for number, (echo, weight) in enumerate(zip(series, weights, strict=True)):
        before = echo[..., baseline].mean(axis=-1, keepdims=True)
        noise = echo[..., baseline].std(axis=-1, keepdims=True)
        with np.errstate(all='ignore'):
            share = np.log(np.maximum(echo, 1e-6 * before) / before)
        rate = rate - weight * np.nan_to_num(share)
        if number == 0:
            first = -np.nan_to_num(share) / times[0]
        else:
            lost |= echo < LEAST_SD * noise
    rate = np.where(lost, first, rate)
    level = series[-1][..., baseline].mean(axis=-1, keepdims=True)
    return (level * np.exp(-te_s * rate)).astype(np.float32)
