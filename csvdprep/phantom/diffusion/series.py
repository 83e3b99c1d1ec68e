"""Diffusion MRI: what is played, the series of images, and all that spoils it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from csvdprep.phantom.diffusion.protocols import DEMO, FULL, TINY, VENDORS, Protocol
from csvdprep.phantom.diffusion.together import read_together
from csvdprep.phantom.diffusion.truth import Seen, record_truth
from csvdprep.phantom.diffusion.water import Water, from_lesion, make_water, seen_part, signal
from csvdprep.phantom.scanner import epi, motion
from csvdprep.phantom.scanner.magnet import field_map
from csvdprep.phantom.scanner.recorder import Recorder
from csvdprep.phantom.scanner.scan import Scan, coil, rician
from csvdprep.phantom.scanner.scene import Scene

__all__ = ['DEMO', 'FULL', 'TINY', 'VENDORS', 'Protocol', 'eddy_field', 'record', 'series_of']

#: Value that white matter has at b = 0 in the stored images.
WHITE = 1000
#: Names of the ways in which the field can be estimated, as ``B0FieldIdentifier``.
PEPOLAR, GRE = 'pepolar_dwi', 'gre_phasediff'
#: The other direction of phase encoding.
REVERSED = {'AP': 'PA', 'PA': 'AP', 'LR': 'RL', 'RL': 'LR'}


def record(
    scene: Scene,
    protocol: Protocol,
    recorder: Recorder,
    noise_seed: int,
    *,
    field_ppm: np.ndarray | None = None,
) -> str:
    """Scan the head and write the series, its partners for the field, and the truth.

    Parameters
    ----------
    scene : Scene
        What lies in the scanner.
    protocol : Protocol
        How it is scanned.
    recorder : Recorder
        Where it goes.
    noise_seed : int
        Decides movement, coil and noise.
    field_ppm : ndarray, shape of the head's grid, optional
        As :func:`csvdprep.phantom.scanner.magnet.field_map` gives it, if it is at hand.

    Returns
    -------
    str
        BIDS URI of the series.
    """
    rng = np.random.default_rng([noise_seed, 23])
    scan = scene.place(protocol.scan, rng)
    if field_ppm is None and (protocol.distortion or protocol.gre):
        field_ppm = field_map(scene)
    head, distance = Head.of(scene, protocol, scan, field_ppm)
    path = motion.walk(len(protocol.table.bvals), protocol.motion, 0, rng)
    lost = _outliers(protocol, scan, rng)
    gain = coil(scan.grid()[0], scan.bias, rng)
    gain /= np.float32(signal('wm', scene.tesla, protocol.te, protocol.tr))
    seen = head.seen(scan, distance)
    series = _stored(series_of(head, seen, protocol, scan, path), protocol, gain, lost, rng)
    reverse = None
    if protocol.distortion and protocol.reverse:
        back = scene.place(protocol.scan, rng, degrees=0.3, millimetres=0.3)
        reverse = _reverse(head, protocol, back, gain, rng)
    del head, gain
    affine = scan.grid()[1]
    entities = {'dir': protocol.direction, **protocol.entities}
    uri = recorder.raw(
        series,
        affine,
        'dwi',
        'dwi',
        sidecar(protocol, scan, scene.tesla, protocol.direction),
        entities=entities,
        texts=protocol.table.files(affine),
        step_s=protocol.tr / 1000,
    )
    del series
    if reverse is not None:
        direction = REVERSED[protocol.direction]
        fields = sidecar(protocol, back, scene.tesla, direction)
        del fields['B0FieldSource']
        recorder.raw(
            reverse,
            back.grid()[1],
            'fmap',
            'epi',
            fields | {'IntendedFor': _plain(uri)},
            entities={**protocol.entities, 'dir': direction},
        )
    if protocol.gre:
        links = {'IntendedFor': _plain(uri), 'B0FieldIdentifier': GRE}
        epi.record_field_map(scene, protocol.gre, recorder, noise_seed, field_ppm, links)
    if protocol.motion or lost:
        _record_motion(recorder, path, lost, entities)
    record_truth(scene, replace(protocol, scan=scan), seen, recorder, uri)
    return uri


@dataclass(frozen=True, eq=False)
class Head:
    """What a scan needs of a head, ready to be seen in any pose.

    Attributes
    ----------
    water : Water
        Averaged over voxels in their plane.
    frequency : ndarray or None
        Field, Hz.
    """

    water: Water
    frequency: np.ndarray | None

    @classmethod
    def of(cls, scene: Scene, protocol, scan: Scan, field_ppm) -> tuple[Head, np.ndarray]:
        """Prepare a scene; return the distance from hyperintensities as the scan sees it, too."""
        box, affine = seen_part(scene, scan)
        distance = from_lesion(scene, box)
        water = make_water(
            scene,
            box,
            affine,
            te=protocol.te,
            tr=protocol.tr,
            free_water=protocol.free_water,
            distance=distance,
        )
        distance = scan.sample(distance, affine)
        water.blur(scan)
        frequency = None
        if field_ppm is not None:
            frequency = scan.blur(epi.hertz(field_ppm[box], scene.tesla), affine)
        return cls(water, frequency), distance

    def seen(self, scan: Scan, distance: np.ndarray) -> Seen:
        """See everything in a scan."""
        more = [] if self.frequency is None else [self.frequency]
        water, *rest = self.water.read(scan, *more)
        return Seen(water, distance, rest[0] if rest else None)


def series_of(
    head: Head, seen: Seen, protocol: Protocol, scan: Scan, path: np.ndarray
) -> Iterator[np.ndarray]:
    """Give the signal of one volume after the other, without noise.

    Parameters
    ----------
    head : Head
        What is scanned.
    seen : Seen
        How it looks at the start.
    protocol : Protocol
        How.
    scan : Scan
        With the pose at the start.
    path : ndarray, shape (volumes, 6)
        How the head moves from there, as :func:`csvdprep.phantom.scanner.motion.walk` gives it.

    Yields
    ------
    ndarray of float32, shape of the scan's grid
        In the units of :func:`csvdprep.phantom.diffusion.water.signal`.
    """
    shape, affine = scan.grid()
    along = epi.encoding(affine, protocol.direction)
    field_hz = seen.field_hz if protocol.distortion else None
    table = protocol.table
    played = table.bvals * protocol.b_scale
    for bval, gradient, pose in zip(played, table.directions, path, strict=True):
        here = scan.after(pose[3:], pose[:3])
        direction = here.pose[:3, :3].T @ gradient
        if pose.any():
            more = [head.frequency] if protocol.distortion else []
            water, *rest = head.water.along(direction).read(here, *more)
            volume, field_hz = water.signal(bval), rest[0] if rest else None
        else:
            volume = seen.water.along(direction).signal(bval)
        moved = 0 if field_hz is None else field_hz
        if protocol.eddy_hz and bval:
            moved = moved + eddy_field(shape, affine, gradient, bval, protocol.eddy_hz)
        if isinstance(moved, np.ndarray):
            volume = epi.distort(volume, along.shift(moved, protocol.readout_s), along.axis)
        yield volume


def eddy_field(shape, affine: np.ndarray, gradient, bval: float, hertz: float) -> np.ndarray:
    """Return the field of eddy currents: linear along the gradient.

    Parameters
    ----------
    shape, affine
        Grid of the image.
    gradient : ndarray, shape (3,)
        Unit vector.
    bval : float
        s/mm².
    hertz : float
        At b = 1000, 100 mm from the middle of the image along the gradient, Hz.

    Returns
    -------
    ndarray of float32, shape ``shape``
        Hz.

    Examples
    --------
    >>> field = eddy_field((3, 1, 1), np.diag([100, 1, 1, 1]), np.array([1, 0, 0]), 1000, 5)
    >>> field[:, 0, 0].tolist()
    [-5.0, 0.0, 5.0]
    """
    slopes = affine[:3, :3].T @ gradient * (hertz * np.sqrt(bval / 1000) / 100)
    parts = [slope * (np.arange(n) - (n - 1) / 2) for slope, n in zip(slopes, shape, strict=True)]
    total = parts[0][:, None, None] + parts[1][:, None] + parts[2]
    return total.astype(np.float32)


def sidecar(protocol: Protocol, scan: Scan, tesla: float, direction: str) -> dict[str, Any]:
    """Return the fields of the JSON sidecar of an echo planar image (BIDS; times in s)."""
    shape, affine = scan.grid()
    along = epi.encoding(affine, direction)
    out = epi.sidecar(scan, along, protocol.readout_s, tesla) | {
        'EchoTime': protocol.te / 1000,
        'RepetitionTime': protocol.tr / 1000,
        'FlipAngle': 90,
        'MultibandAccelerationFactor': protocol.multiband,
        'SliceTiming': epi.slice_timing(
            shape[scan.array_axis], protocol.tr / 1000, protocol.multiband
        ),
    }
    sources = [PEPOLAR] * (protocol.distortion and protocol.reverse) + [GRE] * bool(protocol.gre)
    if sources:
        out['B0FieldSource'] = sources
    if PEPOLAR in sources:
        out['B0FieldIdentifier'] = PEPOLAR
    return {**out, **protocol.fields}


def _stored(volumes, protocol: Protocol, gain: np.ndarray, lost, rng) -> np.ndarray:
    """Add outliers, coil and noise, and round to what is stored."""
    out = np.empty((*gain.shape, len(protocol.table.bvals)), np.int16)
    axis = protocol.scan.array_axis
    for number, volume in enumerate(volumes):
        volume = volume * gain
        for where, left in lost.get(number, []):
            volume[(slice(None),) * axis + (where,)] *= np.float32(left)
        out[..., number] = _noisy(volume, protocol, rng)
    return out


def _outliers(protocol: Protocol, scan: Scan, rng) -> dict[int, list[tuple[int, float]]]:
    """Choose slices that lose signal: by volume, which slice and what share is left."""
    weighted = np.flatnonzero(~protocol.table.b0)
    slices = scan.grid()[0][scan.array_axis]
    out: dict[int, list[tuple[int, float]]] = {}
    for _ in range(protocol.outliers):
        volume = int(rng.choice(weighted))
        where = int(rng.integers(slices // 4, 3 * slices // 4))
        out.setdefault(volume, []).append((where, round(float(rng.uniform(0.3, 0.7)), 3)))
    return out


def _reverse(head: Head, protocol: Protocol, scan: Scan, gain, rng) -> np.ndarray:
    """Take an image at b = 0 with the opposite phase encoding."""
    along = epi.encoding(scan.grid()[1], REVERSED[protocol.direction])
    water = head.water
    signal_, frequency = read_together(
        [water.tissue + water.free, head.frequency], scan, water.affine
    )
    shift = along.shift(frequency, protocol.readout_s)
    return _noisy(epi.distort(signal_, shift, along.axis) * gain, protocol, rng)


def _noisy(volume: np.ndarray, protocol: Protocol, rng) -> np.ndarray:
    """Add noise to signals relative to white matter and round to what is stored."""
    if np.isfinite(protocol.snr):
        volume = rician(volume, 1 / protocol.snr, rng)
    return np.round(WHITE * volume).clip(0, 32000).astype(np.int16)


def _record_motion(recorder: Recorder, path, lost, entities) -> None:
    """Write how the head moved and which slices lost signal."""
    rows = motion.rows(path)
    for number, row in enumerate(rows):
        parts = lost.get(number, [])
        row['outlier_slices'] = ','.join(str(where) for where, _ in parts) or None
        row['outlier_signal'] = ','.join(f'{left:g}' for _, left in parts) or None
    columns = motion.COLUMNS | {
        'outlier_slices': 'Slices that lost signal, from 0, along the axis of the slices',
        'outlier_signal': 'Share of the signal left in each of them',
    }
    recorder.table(rows, columns, 'dwi', 'timeseries', desc='motion', **entities)


def _plain(uri: str) -> str:
    """Return a BIDS URI as files of the same dataset give it."""
    return uri.replace('bids:raw:', 'bids::')
