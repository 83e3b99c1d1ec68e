"""T1 before the contrast agent, on the grid of the series, from whatever it was mapped with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import nibabel as nib
import numpy as np

from csvdprep.core.errors import MeasureError
from csvdprep.imaging.ants import realign
from csvdprep.imaging.images import like, load, resample
from csvdprep.imaging.inspect import load_series
from csvdprep.preprocessing.dce.science import believable_t1, smooth_b1, t1_in_seconds
from csvdprep.science.phase import phase_unit
from csvdprep.science.prepared_gradient import (
    Prepared,
    Readout,
    Steady,
    fit_prepared,
    fit_recovery,
    mp2rage_t1,
    uniform_image,
)
from csvdprep.science.spoiled_gradient import fit_t1

#: Ends of the uniform image of MP2RAGE as scanners store it, and how far values may exceed them.
UNIFORM = ((-0.5, 0.5), (0.0, 1.0), (0.0, 4095.0), (-2048.0, 2047.0))
EXCESS = 0.02
#: T1 from the images without background is registered where T1 is within these, s.
SHOWN_S = (0.3, 4.5)


@dataclass
class Mapped:
    """What was mapped.

    Attributes
    ----------
    t1 : ndarray of float32
        s; 0 where it is not known.
    b1 : ndarray of float32 or None
        True over nominal flip angle, where the mapping told it.
    source : str
        As ``dce_t1_source`` has it.
    notes : list of str
    """

    t1: np.ndarray
    b1: np.ndarray | None
    source: str
    notes: list[str] = field(default_factory=list)


def map_t1(
    dce: Mapping[str, Any], mean, where: np.ndarray, mask: np.ndarray, b1, method: str
) -> Mapped:
    """Map T1.

    Parameters
    ----------
    dce : mapping
        Content of the input, see :class:`csvdprep.bids.relaxometry.Sources`.
    mean : nibabel image
        Series before the contrast agent.
    where, mask : ndarray of bool
        Where T1 is wanted; brain.
    b1 : ndarray or None
        True over nominal flip angle, if it was measured.
    method : str
        Of the fit to flip angles.

    Returns
    -------
    Mapped

    Notes
    -----
    MP2RAGE whose values cannot be read is told, and replaced by flip angles or by a T1 map.
    """
    source = dce['t1']
    if source in ('vfa', 'hifi', 'trains', 'recovery'):
        return _from_images(dce, source, mean, where, mask, b1, method)
    if source == 'mp2rage':
        found = _from_mp2rage(dce['mp2rage'], mean, where, mask, b1)
        other = next((name for name in ('vfa', 't1map') if dce.get(name)), None)
        if found.source != 'none' or other is None:
            return found
        instead = map_t1({**dce, 't1': other}, mean, where, mask, b1, method)
        return replace(instead, notes=[*found.notes, *instead.notes])
    if source == 't1map':
        given = load(dce['t1map'])
        data, shown = believable_t1(np.asanyarray(given.dataobj, np.float32))
        return _given(data, like(shown, given), mean, where, mask, 'T1 map')
    return Mapped(np.zeros(mean.shape, np.float32), None, 'none', ['T1 is not known'])


def _aligned(items, mean) -> list[np.ndarray]:
    """Bring images of one scale onto the series."""
    images, level = [], None
    for item in items:
        image = load_series(item['path'], level=level)
        level = image.extra['level']
        first = like(np.asanyarray(image.dataobj, np.float32)[..., 0], image)
        images.append(resample(first, mean, matrix=realign(mean, first, np.eye(4))))
    return images


def _from_images(dce, source, mean, where, mask, b1, method) -> Mapped:
    items = [*dce.get('trains', ()), *dce.get('recovery', ()), *dce['vfa']]
    images = _aligned(items, mean)
    signals = np.stack([image[where] for image in images], axis=-1)
    out = np.zeros(mean.shape, np.float32)
    flips = b1[where] if b1 is not None else 1.0
    found_b1 = None
    if source == 'vfa':
        t1, _ = fit_t1(
            signals,
            [item['flip_deg'] for item in items],
            [item['tr_s'] for item in items],
            b1=flips,
            method=method,
        )
    elif source == 'recovery':
        t1, _ = fit_recovery(signals, [item['inversion_s'] for item in items])
    else:
        acquired = [_acquired(item) for item in items]
        if source == 'hifi' and b1 is None:
            # Flip angles vary slowly: found in each voxel, smoothed, and then held.
            first, _, share = fit_prepared(signals, acquired)
            voxel_mm = nib.affines.voxel_sizes(mean.affine)
            found_b1 = smooth_b1(_filled(share, where), _filled(first, where), mask, voxel_mm)
            flips = found_b1[where]
        t1, *_ = fit_prepared(signals, acquired, b1=flips)
    out[where] = np.nan_to_num(t1)
    names = {
        'vfa': 'flip angles',
        'hifi': 'flip angles and inversions',
        'trains': 'inversions',
        'recovery': 'inversions',
    }
    return Mapped(out, found_b1, names[source])


def _filled(values, where) -> np.ndarray:
    out = np.zeros(where.shape)
    out[where] = np.nan_to_num(values)
    return out


def _acquired(item: Mapping[str, Any]):
    if 'train' in item:
        return Prepared(Readout(**item['train']), item['cycle_s'])
    return Steady(item['flip_deg'], item['tr_s'])


def _from_mp2rage(two, mean, where, mask, b1) -> Mapped:
    """Look T1 up on the own grid of MP2RAGE, and bring it onto the series."""
    nothing = np.zeros(mean.shape, np.float32)
    try:
        image, uniform = _uniform(two)
    except MeasureError as error:
        return Mapped(nothing, None, 'none', [f'MP2RAGE is not used: {error.message}'])
    share = 1.0
    if b1 is not None:
        share = resample(like(b1, mean), image)
        share = np.where(share > 0, share, 1.0)
    reads = [Readout(**train) for train in two['trains']]
    try:
        t1 = np.nan_to_num(mp2rage_t1(uniform, reads, two['cycle_s'], b1=share))
    except ValueError as error:
        return Mapped(nothing, None, 'none', [f'MP2RAGE is not used: {error}'])
    t1 = t1.astype(np.float32)
    if two['magnitudes']:
        # The second inversion has no noise for background.
        shown = load(two['magnitudes'][-1])
    else:
        shown = like(np.where((t1 > SHOWN_S[0]) & (t1 < SHOWN_S[1]), t1, 0), image)
    return _given(t1, shown, mean, where, mask, 'MP2RAGE', image)


def _uniform(two):
    """Return the uniform image, -0.5 to 0.5, and its grid."""
    if two['uniform']:
        image = load(two['uniform'])
        data = np.asanyarray(image.dataobj, np.float64)
        data = np.nan_to_num(data[..., 0] if data.ndim > 3 else data)
        low, high = float(data.min()), float(data.max())
        for first, last in UNIFORM:
            extent = last - first
            near = low >= first - EXCESS * extent and high <= last + EXCESS * extent
            if near and (high - low) > 0.5 * extent:
                return image, (data - first) / extent - 0.5
        raise MeasureError(
            f'values of the uniform image go from {low:.4g} to {high:.4g}, which is none of the '
            'ranges in use (0 to 4095, -0.5 to 0.5)',
            remedy='Export UNIT1 again, or give magnitude and phase of both inversions.',
        )
    image = load(two['magnitudes'][0])
    both = []
    for magnitude, phase in zip(two['magnitudes'], two['phases'], strict=True):
        angle = np.asanyarray(load(phase).dataobj, np.float64)
        unit = phase_unit(angle)
        size = np.asanyarray(load(magnitude).dataobj, np.float64)
        both.append(size * np.exp(1j * (angle - unit.middle) * unit.factor))
    if both[0].shape != both[1].shape:
        raise MeasureError(
            'the two inversions are not on one grid', remedy='Export both inversions again.'
        )
    return image, uniform_image(*both)


def _given(t1, shown, mean, where, mask, source, image=None) -> Mapped:
    """Bring a map of T1 onto the series, and tell its unit."""
    out = np.zeros(mean.shape, np.float32)
    way = realign(mean, shown, np.eye(4))
    found = resample(like(t1, image or shown), mean, matrix=way)
    there = mask & (found > 0)
    factor = t1_in_seconds(float(np.median(found[there]))) if there.any() else None
    if factor is None:
        why = f'{source} is not used: its values are neither s nor ms'
        return Mapped(out, None, 'none', [why.replace('T1 map', 'the T1 map')])
    out[where] = (found * factor)[where]
    return Mapped(out, None, source)
