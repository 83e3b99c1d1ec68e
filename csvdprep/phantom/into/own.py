"""Put normal tissue in the place of own microbleeds in gradient echoes and own infarcts in
diffusion scans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi

from csvdprep.bids.names import parse
from csvdprep.phantom.into.bleeds import UPRIGHT, channel_noise
from csvdprep.phantom.into.fill import fetch_from, fill
from csvdprep.phantom.into.grid import RealScan
from csvdprep.phantom.into.tissue import Tissue
from csvdprep.phantom.scanner.magnet import sphere_field

#: Labels of masks that are filled in gradient echoes, and in diffusion scans: what is drawn there.
BLEEDS, INFARCTS = ('CMB',), ('infarct', 'RSSI', 'lesion')
#: A mask of a bleed takes in the dark around it within this, mm: it blooms with the echo time.
BLOOM_MM = 3.0
#: What is darker than expected by this share, or so many standard deviations, is dark.
DARK, DARK_SD = 0.15, 4.0
#: Normal tissue around a lesion lies within about this, mm, and no nearer than that.
AROUND_MM, CLEAR_MM = 3.0, 1.5
#: Scales, mm, over which a level is continued into an infarct, and the share of known tissue that
#: the finer ones need.
SCALES_MM, LEAST_KNOWN = (3.0, 6.0, 12.0, 24.0), 0.15
#: The field of a bleed is fitted and taken away within so many radii of its mask, and below this
#: phase, rad, it is left.
FIELD_RADII, LEAST_TURN = 5.0, 0.02


def own_share(
    lesions: Iterable[tuple[str, Path]],
    frames: Mapping[str, RealScan],
    scan: RealScan,
    labels: Sequence[str],
) -> np.ndarray:
    """Gather masks of some kinds of lesions on the grid of a scan.

    Parameters
    ----------
    lesions : iterable of (str, Path)
        Masks, and the names of the frames in which they lie.
    frames : mapping of str to RealScan
        Scans of the visit by frame.
    scan : RealScan
        The scan.
    labels : sequence of str
        BIDS ``label`` of the masks that are wanted.

    Returns
    -------
    ndarray of float32, shape of the scan
        Share of each voxel.
    """
    out = np.zeros(scan.shape, np.float32)
    for frame, path in lesions:
        if parse(path).entities.get('label') not in labels or frame not in frames:
            continue
        image = nib.load(path)
        mask = np.asanyarray(image.dataobj) > 0
        if mask.any():
            place = np.linalg.inv(frames[frame].pose) @ image.affine
            plain = replace(scan, blur_mm=0.0)
            out = np.maximum(out, plain.sample(mask.astype(np.float32), place))
    return np.clip(out, 0, 1)


def fill_echo(
    magnitude: np.ndarray,
    phase: np.ndarray | None,
    tissue: Tissue,
    own: np.ndarray,
    scan: RealScan,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Replace bleeds in an echo: signal as around, and the phase without their field.

    Parameters
    ----------
    magnitude : ndarray, shape (I, J, K)
        Magnitude of an echo.
    phase : ndarray or None
        Its phase, rad.
    tissue : Tissue
        Normal tissue of the magnitude.
    own : ndarray of float32
        Share of each voxel that is bleed.
    scan : RealScan
        Grid.
    rng : numpy.random.Generator
        Decides noise that cannot be fetched near by.

    Returns
    -------
    magnitude, phase : ndarray of float32
        Unchanged away from bleeds.
    """
    magnitude = np.asarray(magnitude, np.float32)
    if not (own > 0.05).any():
        return magnitude, phase
    voxel_mm = scan.voxel_mm
    whole = _bloomed(magnitude, tissue, own, voxel_mm)
    level = replace(tissue, expected=_levelled(magnitude, tissue, whole > 0.05, voxel_mm))
    filled = np.maximum(fill(magnitude, level, whole, voxel_mm, rng), 0)
    if phase is None:
        return filled, None
    return filled, _without_field(magnitude, phase, filled, whole > 0.05, tissue, scan, rng)


def _bloomed(magnitude, tissue: Tissue, own, voxel_mm) -> np.ndarray:
    """Add the dark around bleeds that is part of them."""
    core = own > 0.05
    near = ndi.distance_transform_edt(~core, sampling=voxel_mm) <= BLOOM_MM
    most = max(DARK, DARK_SD * tissue.noise)
    dark = near & tissue.brain & (magnitude < (1 - most) * tissue.expected)
    grown = ndi.binary_propagation(core, mask=core | dark)
    return np.maximum(own, grown.astype(np.float32))


def _levelled(image, tissue: Tissue, core, voxel_mm) -> np.ndarray:
    """Correct what the tissues would give by what lies around lesions."""
    clear = ndi.distance_transform_edt(~core, sampling=voxel_mm) > CLEAR_MM
    known = (clear & tissue.brain).astype(np.float32)
    sigma = AROUND_MM / np.asarray(voxel_mm, float)
    weight = ndi.gaussian_filter(known, sigma, truncate=3)
    rest = ndi.gaussian_filter((image - tissue.expected) * known, sigma, truncate=3)
    return (tissue.expected + rest / np.maximum(weight, 0.02)).astype(np.float32)


def _without_field(magnitude, phase, filled, core, tissue: Tissue, scan: RealScan, rng):
    """Take the field of each bleed out of the phase, and continue the phase into its core."""
    out = np.asarray(phase, np.float32).copy()
    noise = channel_noise(magnitude, tissue.brain & ~core)
    solid = tissue.brain & (magnitude > 0.3 * tissue.expected)
    labels, _ = ndi.label(core)
    rotation, shift = scan.affine[:3, :3], scan.affine[:3, 3]
    for number, found in enumerate(ndi.find_objects(labels), start=1):
        piece = labels[found] == number
        radius = (3 * piece.sum() * scan.voxel_ml * 1000 / (4 * np.pi)) ** (1 / 3)
        reach = np.ceil(FIELD_RADII * radius / scan.voxel_mm).astype(int) + 2
        box = tuple(
            slice(max(0, edge.start - n), min(full, edge.stop + n))
            for edge, n, full in zip(found, reach, core.shape, strict=True)
        )
        middle = [c + e.start for c, e in zip(ndi.center_of_mass(piece), found, strict=True)]
        lines = [np.arange(edge.start, edge.stop) for edge in box]
        index = np.stack(np.meshgrid(*lines, indexing='ij'), axis=-1).reshape(-1, 3)
        points, centre = index @ rotation.T + shift, rotation @ middle + shift
        away = np.linalg.norm(points - centre, axis=1).reshape(core[box].shape)
        # Far out the field fades to nothing, so that no step is left where it ends.
        fade = np.clip(FIELD_RADII - away / radius, 0, 1)
        field = sphere_field(points, centre, radius, 3.0, UPRIGHT).reshape(away.shape) * fade
        own = filled[box] != magnitude[box]  # a little beyond its border, too
        signal = magnitude[box] * np.exp(1j * out[box])
        turn = _fitted(signal, field, solid[box] & ~own & (away > radius), scan.voxel_mm) * field
        clean = signal * np.exp(-1j * turn)
        smooth = _smooth(clean * (solid[box] & ~own), scan.voxel_mm)
        spread = noise / np.maximum(filled[box], 3 * noise + 1e-6)
        inside = np.angle(smooth) + spread * rng.standard_normal(own.shape)
        new = np.where(own, inside, np.angle(clean))
        changed = own | (np.abs(turn) > LEAST_TURN)
        out[box] = np.where(changed, np.angle(np.exp(1j * new)), out[box])
    return out


def _fitted(signal, field, known, voxel_mm) -> float:
    """Fit how strong a field is that varies faster than what surrounds it."""
    if known.sum() < 20:
        return 0.0
    slow = _smooth(signal * known, voxel_mm)
    weight = np.maximum(_smooth(known.astype(np.float32), voxel_mm), 1e-3)
    local = np.angle(signal * np.conj(slow))
    fine = field - _smooth(field * known, voxel_mm) / weight
    use = known & (np.abs(local) < 2.5)
    power = float((fine[use] ** 2).sum())
    return float((fine[use] * local[use]).sum() / power) if power > 0 else 0.0


def _smooth(values, voxel_mm):
    """Blur over the neighbourhood; complex values, too."""
    sigma = AROUND_MM / np.asarray(voxel_mm, float)
    return ndi.gaussian_filter(values, sigma, truncate=3)


def fill_volumes(
    volumes: np.ndarray, solid: np.ndarray, own: np.ndarray, scan: RealScan
) -> np.ndarray:
    """Replace infarcts in diffusion volumes by the level of normal tissue around.

    Parameters
    ----------
    volumes : ndarray, shape (I, J, K, N)
        Volumes of a series; or a trace image and its ADC map.
    solid : ndarray, shape (I, J, K)
        Share of each voxel that is grey or white matter, were there no lesion.
    own : ndarray of float32
        Share of each voxel that is lesion.
    scan : RealScan
        Grid.

    Returns
    -------
    ndarray of float32
        Unchanged away from lesions. What varies around the level is fetched near by, for all
        volumes from the same place, as volumes go together.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> series = 100 + rng.normal(0, 4, (30, 30, 8, 2)); own = np.zeros(series.shape[:3])
    >>> own[12:17, 12:17, 3:5] = 1; series[own > 0] += 60
    >>> scan = RealScan(own.shape, np.diag([2.0, 2, 3, 1]), np.eye(4))
    >>> part = fill_volumes(series, np.ones(own.shape), own, scan)[own > 0]
    >>> bool(abs(part.mean() - 100) < 2), bool(3 < part.std() < 5)
    (True, True)
    """
    out = np.asarray(volumes, np.float32).copy()
    core = own > 0.05
    if not core.any():
        return out
    voxel_mm, axis = scan.voxel_mm, scan.array_axis
    box = tuple(
        slice(max(0, e.start - 30), e.stop + 30)
        for e in ndi.find_objects(core.astype(np.uint8))[0]
    )
    away = ndi.distance_transform_edt(~core[box], sampling=voxel_mm)
    beyond = max(CLEAR_MM, float(np.delete(voxel_mm, axis).min()))
    weight = np.clip((1.5 * beyond - away) / beyond, 0, 1)
    clean = (away >= 1.5 * beyond) & (solid[box] > 0.8)
    if not clean.any():
        return out
    level = _Level(clean, voxel_mm)
    pairs = list(fetch_from(weight > 0, clean, axis))
    for number in range(out.shape[3]):
        part = out[(*box, number)]
        smooth = level.of(part)
        rest = np.zeros_like(part)
        for at, source in pairs:
            rest[at] = (part - smooth)[source]
        out[(*box, number)] = part + weight * (smooth + rest - part)
    return out


class _Level:
    """Continues the level of known voxels over all others, at the finest scale that can."""

    def __init__(self, known: np.ndarray, voxel_mm):
        self.known, self.parts = known.astype(np.float32), []
        left = np.ones(known.shape, bool)
        for scale in SCALES_MM:
            sigma = scale / np.asarray(voxel_mm, float)
            weight = ndi.gaussian_filter(self.known, sigma, truncate=3)
            last = scale == SCALES_MM[-1]
            here = left & (weight > (1e-6 if last else LEAST_KNOWN))
            left &= ~here
            self.parts.append((sigma, weight, here))

    def of(self, image: np.ndarray) -> np.ndarray:
        """Return the level of an image."""
        middle = float(np.median(image[self.known > 0]))
        out = np.full(image.shape, middle, np.float32)
        for sigma, weight, here in self.parts:
            if here.any():
                rest = ndi.gaussian_filter((image - middle) * self.known, sigma, truncate=3)
                out[here] = middle + rest[here] / weight[here]
        return out


def without_own(
    loaded: Sequence[Any],
    pairs: Iterable[tuple[Any, Any]],
    lesions: Sequence[tuple[str, Path]],
    frames: Mapping[str, RealScan],
    solid_of,
    seed: Sequence[int],
) -> list[Any]:
    """Fill own bleeds in echoes and own infarcts in diffusion scans.

    Parameters
    ----------
    loaded : sequence of Loaded
        Scans of a visit.
    pairs : iterable of (Loaded, Loaded or None, (float, float) or None)
        Magnitude and phase of echoes, and what makes radians of the phase.
    lesions, frames
        As in :func:`own_share`.
    solid_of : callable
        From a scan's grid to the share of grey and white matter of its voxels.
    seed : sequence of int
        Of the visit.

    Returns
    -------
    list of Loaded
        ``image`` is set where something was filled, and ``facts`` say how much.
    """
    new = {id(scan): scan for scan in loaded}
    for magnitude, phase, scale in pairs:
        own = own_share(lesions, frames, magnitude.scan, BLEEDS)
        rng = np.random.default_rng([*seed, *magnitude.source.path.name.encode()])
        turned = None if phase is None else phase.stored.volume * scale[0] + scale[1]
        image, after = fill_echo(
            magnitude.stored.volume, turned, magnitude.tissue, own, magnitude.scan, rng
        )
        new[id(magnitude)] = replace(magnitude, image=image, facts=_facts(magnitude, own))
        if after is not None and (own > 0.05).any():
            back = np.where(after == turned, phase.stored.volume, (after - scale[1]) / scale[0])
            new[id(phase)] = replace(phase, image=back.astype(np.float32))
    for scan, others in _together(loaded):
        own = own_share(lesions, frames, scan.scan, INFARCTS)
        facts = _facts(scan, own)
        if (own > 0.05).any():
            volumes = [_four(one.stored.volume) for one in (scan, *others)]
            solid = solid_of(scan.scan)
            filled = fill_volumes(np.concatenate(volumes, axis=-1), solid, own, scan.scan)
            start = 0
            for one, values in zip((scan, *others), volumes, strict=True):
                part = filled[..., start : start + values.shape[-1]]
                start += values.shape[-1]
                new[id(one)] = replace(one, image=part.reshape(one.stored.volume.shape))
        new[id(scan)] = replace(new[id(scan)], facts=facts)
    return [new[id(scan)] for scan in loaded]


def _together(loaded):
    """Return series alone, and trace images with the ADC maps on their grids."""
    maps = [scan for scan in loaded if scan.source.suffix in ('trace', 'ADC')]
    for scan in loaded:
        if scan.source.suffix == 'dwi':
            yield scan, ()
        elif scan.source.suffix == 'trace':
            shape = scan.stored.volume.shape
            yield (
                scan,
                tuple(
                    one
                    for one in maps
                    if one.source.suffix == 'ADC' and one.stored.volume.shape == shape
                ),
            )


def _four(volume: np.ndarray) -> np.ndarray:
    return volume if volume.ndim == 4 else volume[..., None]


def _facts(scan, own: np.ndarray) -> dict[str, float]:
    facts = {'filled_ml': float((own > 0.5).sum()) * scan.scan.voxel_ml}
    if scan.tissue is not None:
        facts |= {'noise': scan.tissue.noise, 'blur_mm': scan.tissue.blur_mm}
    return facts
