"""Echo planar images: where a field off resonance moves the signal, and the scans that map it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from csvdprep.phantom.head.tissues import TISSUES
from csvdprep.phantom.scanner.magnet import GAMMA
from csvdprep.phantom.scanner.recorder import Recorder
from csvdprep.phantom.scanner.scan import Scan
from csvdprep.phantom.scanner.scene import Scene
from csvdprep.phantom.structural.images import common_fields

#: Direction of the scanner (RAS+) towards which encoding named by its two ends runs.
TOWARDS = {'AP': (0, -1, 0), 'PA': (0, 1, 0), 'LR': (1, 0, 0), 'RL': (-1, 0, 0)}
#: Least width of a voxel after distortion, in voxels: what is pressed together has to stay finite.
NARROW = 1e-3
#: Phase of half a turn in the stored phase difference.
HALF_TURN = 4096


@dataclass(frozen=True)
class Encoding:
    """How phase encoding runs through a stored array.

    Attributes
    ----------
    axis : int
        Axis of the array.
    sign : int
        1 where it runs to higher indices, else -1.

    Examples
    --------
    >>> encoding(np.diag([-2.0, 2, 2, 1]), 'AP').code
    'j-'
    """

    axis: int
    sign: int

    @property
    def code(self) -> str:
        """``PhaseEncodingDirection`` of BIDS."""
        return 'ijk'[self.axis] + ('' if self.sign > 0 else '-')

    def shift(self, field_hz: np.ndarray, readout_s: float) -> np.ndarray:
        """Return by how many voxels a field moves the signal along the array's axis.

        Parameters
        ----------
        field_hz : ndarray
            Deviation of the resonance frequency, Hz.
        readout_s : float
            ``TotalReadoutTime``, s.
        """
        return np.float32(self.sign * readout_s) * field_hz


def encoding(affine: np.ndarray, direction: str) -> Encoding:
    """Find the axis of an image along which phase is encoded.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        Of the image.
    direction : {'AP', 'PA', 'LR', 'RL'}
        Anatomical ends: 'AP' runs from anterior to posterior.

    Raises
    ------
    ValueError
        For any other direction.
    """
    if direction not in TOWARDS:
        raise ValueError(f'Phase encoding "{direction}" is none of {", ".join(TOWARDS)}.')
    unit = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    along = np.array(TOWARDS[direction]) @ unit
    axis = int(np.argmax(np.abs(along)))
    return Encoding(axis, 1 if along[axis] > 0 else -1)


def distort(image: np.ndarray, shift: np.ndarray, axis: int) -> np.ndarray:
    """Move the signal of every voxel along an axis, losing none of it.

    The borders between voxels move, each with the mean shift of its neighbours, and the signal of
    a voxel is spread evenly between its two: where they draw together it piles up, where they
    part it thins out, where they cross it folds over. What leaves the image is lost.

    Parameters
    ----------
    image : ndarray, shape (nx, ny, nz)
        Signal.
    shift : ndarray, shape (nx, ny, nz)
        Towards higher indices, voxels.
    axis : int
        Axis along which it moves.

    Returns
    -------
    ndarray of float32, shape ``image.shape``

    Examples
    --------
    >>> line = np.zeros((1, 9, 1)); line[0, 3] = 1
    >>> distort(line, np.full(line.shape, 2.25), 1)[0, :, 0].tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.75, 0.25, 0.0, 0.0]
    """
    lines = np.moveaxis(image, axis, -1)
    count = lines.shape[-1]
    full = lines.any(axis=-1)
    signal = lines[full].astype(np.float64)
    move = np.moveaxis(shift, axis, -1)[full].astype(np.float64)
    border = np.concatenate(
        [move[:, :1], (move[:, 1:] + move[:, :-1]) / 2, move[:, -1:]], axis=1
    ) + np.arange(count + 1)
    np.clip(border, -1, count + 1, out=border)
    low = np.minimum(border[:, :-1], border[:, 1:])
    high = np.maximum(np.maximum(border[:, :-1], border[:, 1:]), low + NARROW)
    density = signal / (high - low)
    # A density that starts within a bin: its share there, all of it from the next one on.
    length = count + 5
    start = (np.arange(len(signal)) * length + 1)[:, None]
    change = np.zeros(len(signal) * length)
    for edge, sign in ((low, 1.0), (high, -1.0)):
        bin_ = np.floor(edge).astype(np.intp)
        part = edge - bin_
        at = (bin_ + start).ravel()
        weight = sign * density
        change += np.bincount(at, (weight * (1 - part)).ravel(), minlength=len(change))
        change += np.bincount(at + 1, (weight * part).ravel(), minlength=len(change))
    binned = np.cumsum(change.reshape(len(signal), length), axis=1)[:, 1 : count + 1]
    out = np.zeros(lines.shape, np.float32)
    out[full] = np.maximum(binned, 0)
    return np.moveaxis(out, -1, axis)


def hertz(field_ppm: np.ndarray, tesla: float) -> np.ndarray:
    """Return a field relative to the main one (ppm) as a frequency, Hz."""
    return field_ppm * np.float32(GAMMA * tesla)


def sidecar(scan: Scan, along: Encoding, readout_s: float, tesla: float) -> dict[str, Any]:
    """Return what the sidecar of an echo planar image says of its readout (BIDS)."""
    lines = scan.grid()[0][along.axis]
    return common_fields(scan, tesla) | {
        'MRAcquisitionType': '2D',
        'PulseSequenceType': 'Echo Planar Imaging',
        'PhaseEncodingDirection': along.code,
        'TotalReadoutTime': readout_s,
        'EffectiveEchoSpacing': readout_s / (lines - 1),
        'SliceEncodingDirection': 'ijk'[scan.array_axis],
    }


def slice_timing(slices: int, tr_s: float, multiband: int = 1) -> list[float]:
    """Return when each slice is excited: every second one first, bands at the same time, s.

    Examples
    --------
    >>> slice_timing(4, 2.0)
    [0.0, 1.0, 0.5, 1.5]
    >>> slice_timing(4, 2.0, multiband=2)
    [0.0, 1.0, 0.0, 1.0]
    """
    shots = -(-slices // multiband)
    order = [*range(0, shots, 2), *range(1, shots, 2)]
    start = {shot: number * tr_s / shots for number, shot in enumerate(order)}
    return [round(start[number % shots], 6) for number in range(slices)]


@dataclass(frozen=True, kw_only=True)
class FieldMap:
    """A map of the field from the phase between two gradient echoes.

    Attributes
    ----------
    scan : Scan
        Grid.
    echo_times : (float, float)
        ms.
    tr, flip : float
        Repetition time, ms; flip angle, degrees.
    snr : float
        Of white matter in the first magnitude image.
    entities : mapping
        ``acq`` and the like.
    """

    scan: Scan = field(default_factory=lambda: Scan(voxel=(3, 3, 3)))
    echo_times: tuple[float, float] = (4.92, 7.38)
    tr: float = 600
    flip: float = 60
    snr: float = 60
    entities: Mapping[str, str] = field(default_factory=dict)


def record_field_map(
    scene: Scene,
    protocol: FieldMap,
    recorder: Recorder,
    noise_seed: int,
    field_ppm: np.ndarray,
    links: Mapping[str, Any],
) -> str:
    """Take two gradient echoes and write their magnitudes and the difference of their phases.

    Parameters
    ----------
    scene : Scene
        What lies in the scanner.
    protocol : FieldMap
        How it is scanned.
    recorder : Recorder
        Where it goes.
    noise_seed : int
        Decides movement and noise.
    field_ppm : ndarray, shape of the head's grid
        As :func:`csvdprep.phantom.scanner.magnet.field_map` gives it.
    links : mapping
        ``IntendedFor``, ``B0FieldIdentifier``.

    Returns
    -------
    str
        BIDS URI of the phase difference.
    """
    rng = np.random.default_rng([noise_seed, 29])
    scan = scene.place(protocol.scan, rng, degrees=0.3, millimetres=0.3)
    frequency = scan.sample(hertz(field_ppm, scene.tesla), scene.affine)
    affine = scan.grid()[1]
    echoes = [
        scan.sample(_gradient_echo(scene, protocol, te), scene.affine)
        for te in protocol.echo_times
    ]
    unit = float(np.quantile(echoes[0][echoes[0] > 0.2 * echoes[0].max()], 0.5))
    apart = (protocol.echo_times[1] - protocol.echo_times[0]) / 1000
    echoes[1] = echoes[1] * np.exp(2j * np.pi * apart * frequency).astype(np.complex64)
    noisy = []
    for echo in echoes:
        noise = rng.standard_normal((2, *echo.shape), dtype=np.float32) * (unit / protocol.snr)
        noisy.append(echo + noise[0] + 1j * noise[1])
    fields = common_fields(scan, scene.tesla) | {
        'PulseSequenceType': 'Spoiled Gradient Echo',
        'RepetitionTime': protocol.tr / 1000,
        'FlipAngle': protocol.flip,
    }
    shared = {'B0FieldIdentifier': links['B0FieldIdentifier']}
    for number, (echo, te) in enumerate(zip(noisy, protocol.echo_times, strict=True), start=1):
        whole = np.round(np.abs(echo) * (500 / unit)).clip(0, 32000).astype(np.int16)
        recorder.raw(
            whole,
            affine,
            'fmap',
            f'magnitude{number}',
            fields | shared | {'EchoTime': te / 1000},
            entities=protocol.entities,
        )
    phase = np.angle(noisy[1] * np.conj(noisy[0])) * (HALF_TURN / np.pi)
    times = {f'EchoTime{n}': te / 1000 for n, te in enumerate(protocol.echo_times, start=1)}
    return recorder.raw(
        np.round(phase).clip(-HALF_TURN, HALF_TURN - 1).astype(np.int16),
        affine,
        'fmap',
        'phasediff',
        fields | times | dict(links),
        entities=protocol.entities,
    )


def _gradient_echo(scene: Scene, protocol: FieldMap, te: float) -> np.ndarray:
    """Give every voxel of the head the signal of a spoiled gradient echo."""
    flip = np.deg2rad(protocol.flip)
    out = np.zeros(scene.wmh.shape, np.float32)
    for name, share in scene.shares():
        t1, _, t2s = TISSUES[name].relaxation(scene.tesla)
        left = np.exp(-protocol.tr / t1)
        size = np.sin(flip) * (1 - left) / (1 - np.cos(flip) * left) * np.exp(-te / t2s)
        out += share * np.float32(TISSUES[name].pd * size)
    return out
