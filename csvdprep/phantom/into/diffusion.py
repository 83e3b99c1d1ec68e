"""Recent infarcts in diffusion scans: series, or trace image and ADC map."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from csvdprep.phantom.geometry.features import Feature
from csvdprep.phantom.into.grid import RealScan
from csvdprep.phantom.patients.infarcts import ADC_FACTOR, RISE, TISSUE_ADC, mix

#: b-values below count as none, s/mm²; diffusivity of tissue is at least so high, mm²/s.
B0_BELOW, LEAST_ADC = 60.0, 0.3e-3
#: Signal is multiplied, but its noise is not: that part is told by a blur of so many voxels.
SMOOTH = 1.0
#: b-value of a trace image whose sidecar has none, s/mm².
USUAL_B = 1000.0


def strengthen(features: list[Feature], rng: np.random.Generator) -> None:
    """Draw how far each infarct has come: ADC over that of the tissue, and rise at b = 0."""
    for feature in features:
        feature.facts['adc_factor'] = float(rng.uniform(*ADC_FACTOR))
        feature.facts['rise'] = float(rng.uniform(*RISE))


def into_series(
    scan: RealScan, series: np.ndarray, bvals: np.ndarray, infarcts: list[Feature]
) -> np.ndarray:
    """Put infarcts into a series.

    Parameters
    ----------
    scan : RealScan
        Its grid.
    series : ndarray, shape (I, J, K, N)
        Signal.
    bvals : ndarray, shape (N,)
        s/mm².
    infarcts : list of Feature
        With ``adc_factor`` and ``rise`` among their facts.

    Returns
    -------
    ndarray of float32
    """
    out = np.asarray(series, np.float32).copy()
    plain = out[..., bvals < B0_BELOW]
    high = bvals >= max(B0_BELOW, 0.5 * bvals.max())
    b = float(bvals[high].mean()) if high.any() else 0.0
    if b and plain.shape[-1]:
        mean = np.maximum(plain.mean(axis=-1), 1e-6)
        weighted = np.maximum(out[..., high].mean(axis=-1), 1e-6)
        adc = ndi.gaussian_filter(np.log(np.maximum(mean / weighted, 1e-6)) / b, SMOOTH)
    else:
        adc = np.full(scan.shape, TISSUE_ADC, np.float32)
    adc = np.clip(adc, LEAST_ADC, TISSUE_ADC)
    for infarct in infarcts:
        share = scan.soften(scan.draw([infarct])[0])
        box = _box(share)
        if box is None:
            continue
        part, rise = share[box], infarct.facts['rise']
        for number, value in enumerate(bvals):
            slow = np.exp(value * adc[box] * (1 - infarct.facts['adc_factor']))
            gain = (1 + rise) * (slow if value >= B0_BELOW else 1.0)
            smooth = ndi.gaussian_filter(out[(*box, number)], SMOOTH)
            out[(*box, number)] += part * (gain - 1) * smooth
    return out


def into_trace(
    scan: RealScan, trace: np.ndarray, adc: np.ndarray | None, b: float, infarcts: list[Feature]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Put infarcts into a trace image and the ADC map beside it.

    Parameters
    ----------
    scan : RealScan
        Their grid.
    trace : ndarray, shape (I, J, K)
        Trace image.
    adc : ndarray or None
        mm²/s, on the same grid.
    b : float
        b-value of the trace image, s/mm².
    infarcts : list of Feature
        As in :func:`into_series`.

    Returns
    -------
    trace, adc : ndarray of float32
        ``adc`` is None if it was.
    """
    trace = np.asarray(trace, np.float32).copy()
    adc = None if adc is None else np.asarray(adc, np.float32).copy()
    for infarct in infarcts:
        share = scan.soften(scan.draw([infarct])[0])
        box = _box(share)
        if box is None:
            continue
        smooth = ndi.gaussian_filter(trace[box], SMOOTH).astype(np.float64)
        slow = (
            np.full(smooth.shape, TISSUE_ADC)
            if adc is None
            else np.maximum(ndi.gaussian_filter(adc[box], SMOOTH), LEAST_ADC).astype(np.float64)
        )
        bright, dark = smooth.copy(), slow.copy()
        mix(bright, dark, share[box], b, infarct.facts['rise'], infarct.facts['adc_factor'])
        inside = share[box] > 0
        trace[box] += np.where(inside, bright - smooth, 0)
        if adc is not None:
            adc[box] = np.maximum(adc[box] + np.where(inside, dark - slow, 0), 0)
    return trace, adc


def adc_scale(adc: np.ndarray) -> float:
    """Return the factor from an ADC map's unit to mm²/s, told by its size.

    Examples
    --------
    >>> adc_scale(np.full(9, 800.0)), adc_scale(np.full(9, 0.8)), adc_scale(np.full(9, 8e-4))
    (1e-06, 0.001, 1.0)
    """
    values = adc[adc > 0]
    middle = float(np.median(values)) if values.size else 0.0
    return next((10.0**-e for e in (9, 6, 3) if middle > 10.0 ** (e - 3.9)), 1.0)


def _box(share: np.ndarray) -> tuple[slice, ...] | None:
    found = ndi.find_objects((share > 1e-3).astype(np.uint8))
    if not found:
        return None
    return tuple(
        slice(max(0, e.start - 4), min(n, e.stop + 4))
        for e, n in zip(found[0], share.shape, strict=True)
    )
