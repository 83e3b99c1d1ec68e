"""T1w, FLAIR and T2w: the signal of a sequence in each tissue, and the image of a head.

Signals are those of the Bloch equations for the sequence named, magnetisation in steady state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from csvdprep.phantom.head.tissues import TISSUES, Tissue
from csvdprep.phantom.head.white import healthy_brightness
from csvdprep.phantom.scanner.recorder import Recorder
from csvdprep.phantom.scanner.scan import Scan, coil, ghosts, rician
from csvdprep.phantom.scanner.scene import Scene

#: Value that white matter has in the stored images.
WHITE = 250


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """What the scanner plays. Times in ms.

    Attributes
    ----------
    kind : {'mprage', 'flair', 'tse'}
        Inversion recovery read by small flip angles, or by a spin echo train, or a spin echo
        train alone.
    tr, ti, te, flip : float
        Repetition time, time from the inversion to the middle of k-space, echo time, flip angle
        in degrees.
    pulses, spacing : int, float
        Small pulses after each inversion, half of them before the middle of k-space, and the
        time between them.
    effective_te : float, optional
        Echo time that a plain spin echo of the same contrast would have.
    fat_left : float
        Share of the fat signal that survives its suppression.
    """

    kind: str
    tr: float
    te: float
    ti: float = 0.0
    flip: float = 90.0
    pulses: int = 0
    spacing: float = 0.0
    effective_te: float | None = None
    fat_left: float = 1.0

    def signal(self, tissue: Tissue, tesla: float = 3.0) -> float:
        """Return the magnitude of a tissue's signal, relative to fully relaxed protons.

        ``PD |1 - 2 exp(-TI/T1) + exp(-(TR-TE)/T1)| exp(-TE/T2)`` for FLAIR,
        ``PD (1 - exp(-TR/T1)) exp(-TE/T2)`` for T2w, and ``PD sin(flip) |Mz| exp(-TE/T2*)`` for
        MPRAGE, with ``Mz`` of :func:`before_middle_pulse`.

        Examples
        --------
        >>> flair = Sequence(kind='flair', tr=9000, ti=2500, te=90)
        >>> signals = [flair.signal(TISSUES[name]) for name in ('csf', 'wm', 'gm', 'wmh')]
        >>> signals == sorted(signals)
        True

        """
        t1, t2, t2s = tissue.relaxation(tesla)
        te = self.effective_te or self.te
        if self.kind == 'flair':
            recovered = abs(1 - 2 * np.exp(-self.ti / t1) + np.exp(-(self.tr - te) / t1))
            size = tissue.pd * recovered * np.exp(-te / t2)
        elif self.kind == 'tse':
            size = tissue.pd * (1 - np.exp(-self.tr / t1)) * np.exp(-te / t2)
        elif self.kind == 'mprage':
            turned = np.sin(np.deg2rad(self.flip)) * abs(before_middle_pulse(self, t1))
            size = tissue.pd * turned * np.exp(-self.te / t2s)
        else:
            raise ValueError(f'No such sequence: {self.kind}.')
        return float(size * (1 - tissue.fat * (1 - self.fat_left)))


def before_middle_pulse(sequence: Sequence, t1: float) -> float:
    """Return the magnetisation that the middle pulse of an MPRAGE finds, in steady state.

    The pulses draw it to a steady state of their own, the way from inversion to inversion is
    linear in what it begins with, and repeats itself (Deichmann 2000,
    doi:10.1006/nimg.2000.0601).

    Parameters
    ----------
    sequence : Sequence
        An MPRAGE; perfect inversion, no transverse magnetisation left at a pulse.
    t1 : float
        ms.

    Returns
    -------
    float
        Relative to equilibrium; negative before the zero crossing.

    Raises
    ------
    ValueError
        If the pulses do not fit between two inversions.

    Examples
    --------
    >>> mprage = Sequence(kind='mprage', tr=2000, ti=1100, te=3, flip=15, pulses=192, spacing=8)
    >>> round(before_middle_pulse(mprage, 870), 3), round(before_middle_pulse(mprage, 1330), 3)
    (0.212, 0.148)
    """
    half = sequence.pulses / 2 * sequence.spacing
    waits = np.array([sequence.ti - half, sequence.tr - sequence.ti - half])
    if (waits < 0).any():
        raise ValueError(f'{sequence.pulses} pulses do not fit between inversions: {sequence}.')
    before, after = np.exp(-waits / t1)
    relaxed = np.exp(-sequence.spacing / t1)
    kept = np.cos(np.deg2rad(sequence.flip)) * relaxed
    steady = (1 - relaxed) / (1 - kept)
    train = kept**sequence.pulses
    # What is there before an inversion is there again before the next.
    start = 1 - after + after * (steady * (1 - train) + train * (1 - before))
    start /= 1 + after * train * before
    first = 1 - (1 + start) * before
    return float(steady + (first - steady) * kept ** (sequence.pulses // 2))


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A structural scan.

    Attributes
    ----------
    suffix : {'T1w', 'FLAIR', 'T2w'}
        What it is called in BIDS.
    sequence : Sequence
        Contrast.
    scan : Scan
        Grid, noise (relative to white matter), coil.
    ghost_mm : float
        Amplitude of the motion that makes ghosts, mm.
    entities : mapping
        ``acq`` and the like.
    fields : mapping
        Fields of the sidecar besides those that follow from the rest.
    """

    suffix: str
    sequence: Sequence
    scan: Scan
    ghost_mm: float = 0.0
    entities: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)


def signal_map(scene: Scene, sequence: Sequence) -> np.ndarray:
    """Give every voxel of the head its signal, small features left out.

    Parameters
    ----------
    scene : Scene
        The head. Its texture is its own: the same in every sequence.
    sequence : Sequence
        Contrast.

    Returns
    -------
    ndarray of float32
        Signal relative to fully relaxed protons.
    """
    texture = scene.texture()
    out = np.zeros(scene.wmh.shape, np.float32)
    for name, share in scene.shares():
        tissue = TISSUES[name]
        value = np.float32(sequence.signal(tissue, scene.tesla))
        weighted = tissue.myelin_texture if sequence.kind == 'mprage' else 0.0
        spread = np.float32(np.hypot(tissue.texture, weighted))
        if sequence.kind == 'flair' and name == 'wm':
            share = share * (1 + healthy_brightness(scene.anatomy))
        out += share * (value * (1 + spread * texture))
    te = sequence.te if sequence.kind == 'mprage' else sequence.effective_te or sequence.te
    t2 = TISSUES['gm'].relaxation(scene.tesla)[2 if sequence.kind == 'mprage' else 1]
    for where, nucleus in scene.nuclei((slice(None),) * 3):
        # Iron shortens T2: the same extra rate for whatever the template has there.
        out[where] *= np.float32(np.exp(-te / t2 * (1 / nucleus.darker - 1)))
    return np.maximum(out, 0)


def acquire(scene: Scene, protocol: Protocol, noise_seed: int) -> tuple[np.ndarray, Scan]:
    """Scan the head.

    Parameters
    ----------
    scene : Scene
        What lies in the scanner.
    protocol : Protocol
        How it is scanned; its scan has the pose.
    noise_seed : int
        Decides coil, ghosts and noise.

    Returns
    -------
    data : ndarray of int16
        White matter near 250.
    scan : Scan
        Its grid and pose.
    """
    rng = np.random.default_rng([noise_seed, 9])
    scan, sequence = protocol.scan, protocol.sequence
    clean = scan.sample(signal_map(scene, sequence), scene.affine)
    clean = scene.paint(clean, scan, values(sequence, scene.tesla))
    unit = sequence.signal(TISSUES['wm'], scene.tesla)
    clean *= coil(clean.shape, scan.bias, rng) / np.float32(unit)
    if protocol.ghost_mm:
        axis = next(a for a in range(3) if a != scan.array_axis)
        clean = ghosts(clean, axis, protocol.ghost_mm, scan.edges()[axis], rng)
    magnitude = rician(clean, scan.noise, rng)
    return np.round(WHITE * magnitude).clip(0, 32000).astype(np.int16), scan


def values(sequence: Sequence, tesla: float) -> dict[str, float]:
    """Return the signal of each tissue that features are made of.

    Blood in larger vessels has left its slice before a spin echo is read: it is dark.
    """
    out = {
        name: sequence.signal(TISSUES[name], tesla)
        for name in ('csf', 'gliosis', 'vein', 'artery', 'infarct')
    }
    if sequence.kind != 'mprage':
        out |= {'vein': 0.25 * out['vein'], 'artery': 0.1 * out['artery']}
    return out


def contrasts(sequence: Sequence, tesla: float) -> dict[str, float]:
    """Return the signal of each tissue that lesions are made of, over white matter's, minus 1.

    Examples
    --------
    >>> flair = Sequence(kind='flair', tr=9000, ti=2500, te=90)
    >>> contrasts(flair, 3.0)['wmh'] > 0.2 > contrasts(flair, 3.0)['csf']
    True
    """
    white = sequence.signal(TISSUES['wm'], tesla)
    lesions = ('wmh', 'gliosis', 'infarct', 'csf')
    return {name: sequence.signal(TISSUES[name], tesla) / white - 1 for name in lesions}


def sidecar(protocol: Protocol, tesla: float) -> dict[str, Any]:
    """Return the fields of the JSON sidecar (BIDS; times in s)."""
    sequence, scan = protocol.sequence, protocol.scan
    fields = common_fields(scan, tesla) | {
        'EchoTime': sequence.te / 1000,
        'RepetitionTime': sequence.tr / 1000,
        'FlipAngle': sequence.flip,
    }
    if sequence.ti:
        fields['InversionTime'] = sequence.ti / 1000
    if sequence.spacing:
        fields['RepetitionTimeExcitation'] = sequence.spacing / 1000
        fields['RepetitionTimePreparation'] = sequence.tr / 1000
    return {**fields, **protocol.fields}


def common_fields(scan: Scan, tesla: float) -> dict[str, Any]:
    """Return what the sidecar of any image says of scanner and slices."""
    thickness = scan.voxel[scan.slices]
    return {
        'Manufacturer': 'csvdprep',
        'ManufacturersModelName': 'phantom',
        'MagneticFieldStrength': tesla,
        'MRAcquisitionType': scan.acquisition,
        'SliceThickness': thickness,
        'SpacingBetweenSlices': thickness + scan.gap,
    }


def record(
    scene: Scene, protocol: Protocol, recorder: Recorder, noise_seed: int
) -> tuple[str, Protocol]:
    """Scan the head and write the image; return its BIDS URI, and the scan with its pose."""
    protocol = scene.lay(protocol, np.random.default_rng([noise_seed, 3]))
    data, scan = acquire(scene, protocol, noise_seed)
    uri = recorder.raw(
        data,
        scan.grid()[1],
        'anat',
        protocol.suffix,
        sidecar(protocol, scene.tesla),
        entities=protocol.entities,
    )
    return uri, protocol
