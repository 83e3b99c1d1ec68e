"""Places that may be recent infarcts, and what tells them from what is taken for one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from csvdprep.markers.infarcts.science.evidence import Evidence
from csvdprep.science.shapes import label_lesions, voxel_volume

#: A seed is brighter than its place and lower in ADC by at least so much (ln of ratios) ...
SEED_BRIGHT, SEED_LOW = 0.18, 0.08
#: ... and by so many SD of noise.
SEED_BRIGHT_SD, SEED_LOW_SD = 1.8, 0.5
#: What belongs to it: the same, lower, and a share of the brightness of the seed.
GROW_BRIGHT, GROW_SD, GROW_SHARE = 0.12, 1.2, 0.45
#: Least number of voxels, and distance over which the brightest voxel of the place counts, mm.
LEAST_VOXELS, PEAK_MM = 2, 12.0

#: Width of the ring around a candidate, mm.
RING_MM = 5.0

#: Features by which candidates are judged.
FEATURES = (
    'bright_peak',
    'bright_mean',
    'low_mean',
    'low_peak',
    'bright_sd',
    'low_sd',
    'ln_volume',
    'fullness',
    'symmetric',
    'fluid',
    'edge',
    'air',
    'adc',
    'ring_bright',
    'ring_low',
    'down',
)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Candidates of a scan.

    Attributes
    ----------
    labels : ndarray of int32, shape (I, J, K)
        1 the largest, 2 the next, ...; 0 elsewhere.
    features : ndarray, shape (n, len(FEATURES))
        A row each.
    """

    labels: np.ndarray
    features: np.ndarray


def candidates(
    found: Evidence,
    adc: np.ndarray,
    brain: np.ndarray,
    affine: np.ndarray,
    *,
    fluid: np.ndarray,
    air: np.ndarray,
) -> Candidates:
    """Gather what is bright and low in diffusion.

    Parameters
    ----------
    found : Evidence
        Of every voxel.
    adc : ndarray, shape (I, J, K)
        ADC, mm²/s.
    brain : ndarray of bool
        The brain.
    affine : ndarray, shape (4, 4)
        Voxel to world, mm.
    fluid : ndarray of float32
        Share of each voxel that the anatomy says is fluid.
    air : ndarray of float32
        Nearness to air-filled bone, 0 to 1.

    Returns
    -------
    Candidates
    """
    voxel_mm = np.sqrt((np.asarray(affine, float)[:3, :3] ** 2).sum(axis=0))
    sd_bright, sd_low = found.noise
    seeds = (
        brain
        & (found.bright > max(SEED_BRIGHT, SEED_BRIGHT_SD * sd_bright))
        & (found.low > max(SEED_LOW, SEED_LOW_SD * sd_low))
    )
    size = tuple(np.maximum(1, 2 * np.round(PEAK_MM / 2 / voxel_mm).astype(int) + 1))
    peak = ndi.maximum_filter(np.where(seeds, found.bright, 0), size=size)
    region = brain & (found.bright > np.maximum(GROW_BRIGHT, GROW_SD * sd_bright))
    region &= (found.bright > GROW_SHARE * peak) & (found.low > 0)
    region |= seeds & (found.bright > GROW_SHARE * peak)
    parts, _ = ndi.label(region, np.ones((3, 3, 3)))
    kept = np.unique(parts[seeds & region])
    labels, count = label_lesions(
        np.isin(parts, kept[kept > 0]), affine, LEAST_VOXELS * voxel_volume(affine)
    )
    edge = ndi.distance_transform_edt(np.pad(brain, 1), sampling=voxel_mm)[1:-1, 1:-1, 1:-1]
    depth = ndi.distance_transform_edt(np.pad(labels > 0, 1), sampling=voxel_mm)[1:-1, 1:-1, 1:-1]
    rows = [
        _row(found, adc, labels, box, number, voxel_mm, fluid, air, edge, depth)
        + _ring(found, brain, labels, box, number, voxel_mm)
        for number, box in enumerate(ndi.find_objects(labels), start=1)
    ]
    return Candidates(labels, np.array(rows, float).reshape(count, len(FEATURES)))


def _row(found, adc, labels, box, number, voxel_mm, fluid, air, edge, depth) -> list[float]:
    """Describe a candidate, in the order of FEATURES."""
    inside = labels[box] == number
    bright, low = found.bright[box][inside], found.low[box][inside]
    top = np.argsort(-bright, kind='stable')[: max(2, len(bright) // 5)]
    weight = np.maximum(bright, 1e-3)
    low_mean = float(np.average(low, weights=weight))
    volume = len(bright) * float(np.prod(voxel_mm))
    radius = (3 * volume / (4 * np.pi)) ** (1 / 3)
    return [
        float(bright[top].mean()),
        float(bright.mean()),
        low_mean,
        float(low[top].mean()),
        float(np.log(bright[top].mean() / found.noise[0])),
        float(np.clip(low_mean / found.noise[1], -1, 8)) * 0.25,
        float(np.log(volume)),
        float(depth[box][inside].max() / radius),
        float(found.symmetric[box][inside].mean()),
        float(fluid[box][inside].mean()),
        float(np.minimum(edge[box][inside].mean(), 12.0)) / 12,
        float(air[box][inside].mean()),
        float(np.clip(np.average(adc[box][inside], weights=weight) * 1e3, 0, 1.5)),
    ]


def _ring(found, brain, labels, box, number, voxel_mm) -> list[float]:
    """Describe what surrounds a candidate, and how steep its border is."""
    reach = np.ceil(RING_MM / voxel_mm).astype(int)
    wide = tuple(
        slice(max(part.start - r, 0), part.stop + r) for part, r in zip(box, reach, strict=True)
    )
    inside = labels[wide] == number
    away = ndi.distance_transform_edt(~inside, sampling=voxel_mm)
    ring = (away > 0.75 * voxel_mm.min()) & (away <= RING_MM) & brain[wide] & (labels[wide] == 0)
    if not ring.any():
        return [0.0, 0.0, 0.0]
    around = float(found.bright[wide][ring].mean())
    return [
        around,
        float(found.low[wide][ring].mean()),
        float(found.bright[wide][inside].mean()) - around,
    ]
