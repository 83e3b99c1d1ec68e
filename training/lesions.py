"""Hyperintensities, linings and look-alikes of known place, drawn into planes of a FLAIR."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

#: Loads, mL, are drawn evenly in logarithms; some heads have none.
LOADS_ML, NONE = (0.1, 150.0), 0.2
#: Label of what is not known.
UNKNOWN = 255


@dataclass(frozen=True)
class Place:
    """Where lesions may be, as planes: all arrays are (planes, right, anterior).

    Parameters
    ----------
    brain, white, ventricle : ndarray of bool
        Brain, white matter in which lesions are drawn, lateral ventricles.
    grey, fluid : ndarray of float32
        Shares of a voxel.
    step_mm : ndarray, shape (3,)
        Distance of planes and of pixels.
    """

    brain: np.ndarray
    white: np.ndarray
    ventricle: np.ndarray
    grey: np.ndarray
    fluid: np.ndarray
    step_mm: np.ndarray

    @property
    def voxel_ml(self) -> float:
        """Volume of a pixel of a plane, mL."""
        return float(np.prod(self.step_mm)) / 1000


def field(shape, sigma_mm: float, step_mm, rng) -> np.ndarray:
    """Return a smooth random field of SD 1."""
    noise = rng.standard_normal(shape).astype(np.float32)
    out = ndi.gaussian_filter(noise, sigma_mm / np.asarray(step_mm), mode='wrap', truncate=3)
    return out / max(float(out.std()), 1e-6)


def draw_lesions(place: Place, rng: np.random.Generator) -> np.ndarray:
    """Draw lesions: caps and bands at the ventricles, confluent ones, foci.

    Returns
    -------
    ndarray of float32
        Share of full height, 0 to 1.
    """
    height = np.zeros(place.brain.shape, np.float32)
    if rng.random() < NONE:
        return height
    load = np.exp(rng.uniform(*np.log(LOADS_ML)))
    foci = rng.uniform(0, 1) ** 2 if load > 2 else rng.uniform(0, 1)
    chosen, scale = _grown(place, load * (1 - foci), rng)
    height = _softened(chosen, scale, place, rng)
    return np.maximum(height, _foci(place, load * foci, rng)) * place.brain


def _grown(place: Place, load_ml: float, rng):
    """Cut a random field, higher at the ventricles, where the load is reached."""
    scale = rng.uniform(1.5, 7)
    count = int(min(load_ml / place.voxel_ml, 0.65 * place.white.sum()))
    chosen = np.zeros(place.brain.shape, bool)
    if count < 3:
        return chosen, scale
    away = ndi.distance_transform_edt(~place.ventricle, place.step_mm).astype(np.float32)
    score = rng.uniform(0.15, 1.2) * field(chosen.shape, scale, place.step_mm, rng)
    score += rng.uniform(0, 4) * np.exp(-away / rng.uniform(2, 16))
    if rng.random() < 0.5:  # some parts of the brain have more than others
        score += rng.uniform(0, 1) * field(chosen.shape, 25, place.step_mm, rng)
    inside = score[place.white]
    chosen = place.white & (score >= np.partition(inside, -count)[-count])
    return chosen, scale


def _softened(chosen: np.ndarray, scale_mm: float, place: Place, rng) -> np.ndarray:
    """Give a border a slope; half of the height is where the border was."""
    if not chosen.any():
        return chosen.astype(np.float32)
    if rng.random() < 0.25:  # a slope as wide as the lesion is deep
        depth = ndi.distance_transform_edt(chosen, place.step_mm)
        away = ndi.distance_transform_edt(~chosen, place.step_mm)
        width = rng.uniform(1, 5) / 1.7
        signed = np.where(chosen, depth, -away) - np.where(chosen, 0.6, -0.6)
        out = 1 / (1 + np.exp(-np.clip(signed / width, -20, 20)))
        out = np.where(chosen, out, out * (out > 0.02))
    else:
        soft = np.minimum(scale_mm * rng.uniform(0.1, 0.35), 2.5) / place.step_mm
        soft[0] = min(soft[0], 0.5)
        out = ndi.gaussian_filter(chosen.astype(np.float32), soft)
        out = np.clip(out / max(float(np.percentile(out[chosen], 90)), 1e-3), 0, 1)
    return out.astype(np.float32)


def _foci(place: Place, load_ml: float, rng) -> np.ndarray:
    """Draw ellipsoids of 1 to 8 mm until the load is reached."""
    height = np.zeros(place.brain.shape, np.float32)
    sites = np.argwhere(place.white)
    if not len(sites) or load_ml <= 0:
        return height
    near = ndi.binary_dilation(place.white, np.ones((1, 3, 3)))
    left, largest = load_ml, rng.uniform(1.5, 8)
    for _ in range(120):
        radius = np.exp(rng.uniform(np.log(0.9), np.log(largest)))
        axes = radius * np.exp(rng.uniform(-0.35, 0.35, 3))
        reach = np.ceil((axes + 2) / place.step_mm).astype(int)
        centre = sites[rng.integers(len(sites))] + rng.uniform(-0.5, 0.5, 3)
        low = np.maximum(np.floor(centre).astype(int) - reach, 0)
        high = np.minimum(np.floor(centre).astype(int) + reach + 1, height.shape)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        grid = np.meshgrid(
            *[np.arange(a, b) for a, b in zip(low, high, strict=True)], indexing='ij', sparse=True
        )
        far = sum(
            ((g - c) * mm / a) ** 2
            for g, c, mm, a in zip(grid, centre, place.step_mm, axes, strict=True)
        )
        edge = np.maximum(0.35, place.step_mm[1] / 2) * rng.uniform(0.6, 1.5)
        # How much of the thickness of a slice the lesion fills is seen in its brightness.
        share = 1 / (1 + np.exp(np.clip((np.sqrt(far) - 1) * radius / edge * 2, -20, 20)))
        thin = min(1.0, 2 * axes[0] / place.step_mm[0])
        share = share * thin * near[box]
        height[box] = np.maximum(height[box], share)
        left -= 4.19 * float(np.prod(axes)) / 1000
        if left <= 0:
            break
    return height


def draw_lining(place: Place, rng: np.random.Generator) -> np.ndarray:
    """Draw the thin bright lining of the ventricles, 0 to 1; in half of the heads."""
    if rng.random() < 0.5:
        return np.zeros(place.brain.shape, np.float32)
    in_plane = np.array([1e3, *place.step_mm[1:]])
    away = ndi.distance_transform_edt(~place.ventricle, in_plane).astype(np.float32)
    thick = rng.uniform(0.8, 2.6) * (1 + 0.4 * field(away.shape, 8, place.step_mm, rng))
    band = np.clip((thick - away) / place.step_mm[1] + 0.5, 0, 1)
    return (band * (away > 0) * place.brain * (place.fluid < 0.5)).astype(np.float32)


def look_alikes(place: Place, rng: np.random.Generator) -> np.ndarray:
    """Return brightness, relative to white matter, of what is bright and no lesion."""
    extra = np.zeros(place.brain.shape, np.float32)
    if rng.random() < 0.6:  # cortex
        where = np.clip(field(extra.shape, rng.uniform(6, 20), place.step_mm, rng), 0, 1.5)
        extra += rng.uniform(0.03, 0.2) * where * place.grey
    if rng.random() < 0.5:  # fluid that moves or is not nulled
        where = np.clip(field(extra.shape, rng.uniform(3, 12), place.step_mm, rng) - 0.6, 0, 1)
        extra += rng.uniform(0.2, 1.3) * where * place.fluid
    if rng.random() < 0.4:  # edge of the brain mask
        rim = place.brain & ~ndi.binary_erosion(place.brain, np.ones((1, 3, 3)), iterations=2)
        where = field(extra.shape, 8, place.step_mm, rng) > rng.uniform(0, 1.5)
        extra += rng.uniform(0.1, 0.8) * (rim & where)
    return extra
