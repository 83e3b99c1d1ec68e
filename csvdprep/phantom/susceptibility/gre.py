"""Gradient echoes for SWI and susceptibility mapping: magnitude and phase of several echoes.

Convention (right-handed): the phase grows with time by 2π γ B0 δ, δ in ppm the relative change
of the field. Blood in veins along the main field, and the poles of a microbleed, have positive
phase; veins at right angles to the field are negative inside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from csvdprep.phantom.geometry.fields import resize
from csvdprep.phantom.head.tissues import TISSUES, Tissue
from csvdprep.phantom.scanner.magnet import GAMMA
from csvdprep.phantom.scanner.recorder import Recorder
from csvdprep.phantom.scanner.scan import Scan, coil
from csvdprep.phantom.scanner.scene import PAINT, Scene
from csvdprep.phantom.scanner.spoiled import FAT_PPM, fat_map, nuclei, steady_state, water_map
from csvdprep.phantom.structural.images import common_fields
from csvdprep.phantom.susceptibility import truth as gre_truth
from csvdprep.phantom.susceptibility.field import Magnetism, magnetism
from csvdprep.phantom.susceptibility.intravoxel import HOLDS, slopes

#: Value that white matter has right after the pulse in the stored magnitude.
WHITE = 600
#: Stored phase goes from -4096 to 4094 in steps of 2 where its units are arbitrary.
HALF_TURN = 4096
#: How much less than flowing-in blood is arterial blood saturated, 0 to 1.
INFLOW = 0.4


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A gradient-echo scan.

    Attributes
    ----------
    scan : Scan
        Grid, noise (relative to white matter right after the pulse), coil, pose.
    te : tuple of float
        Echo times, ms. One alone makes a T2starw, several a MEGRE.
    tr, flip : float
        Repetition time, ms, and flip angle, degrees.
    phase : {'arbitrary', 'rad'}
        Units of the stored phase: integers from -4096 to 4094, or radians.
    receive_rad : float
        Spread of the phase that does not depend on the echo: that of the receiver.
    chi_texture : float
        Standard deviation of the susceptibility within grey and white matter, ppm.
    entities, fields : mapping
        ``acq`` and the like; more fields of the sidecar.
    """

    scan: Scan
    te: tuple[float, ...] = (5.0, 11.0, 17.0, 23.0, 29.0)
    tr: float = 36.0
    flip: float = 15.0
    phase: str = 'arbitrary'
    receive_rad: float = 0.8
    chi_texture: float = 0.008
    entities: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)

    #: The field is that of the head as the visit found it: it has not moved since.
    still: ClassVar[bool] = True

    def __post_init__(self):
        if self.phase not in ('arbitrary', 'rad'):
            raise ValueError(f'Units of phase are arbitrary or rad, not {self.phase}.')

    @property
    def suffix(self) -> str:
        """Suffix of the images in BIDS."""
        return 'MEGRE' if len(self.te) > 1 else 'T2starw'


TINY = Protocol(
    scan=Scan(voxel=(2, 2, 2), low=(-74, -104, -64), high=(74, 80, 82), noise=0.012),
    te=(6.0, 14.0, 22.0),
    tr=30.0,
)
DEMO = Protocol(
    scan=Scan(voxel=(1, 1, 2), low=(-82, -108, -62), high=(82, 88, 84), noise=0.02, tilt=(8, 0, 0))
)
FULL = Protocol(
    scan=Scan(voxel=(0.8, 0.8, 1.5), low=(-84, -110, -64), high=(84, 90, 86), noise=0.022)
)
#: For a scene of 7 T.
SEVEN = Protocol(
    scan=Scan(voxel=(0.7, 0.7, 1.2), low=(-80, -108, -40), high=(80, 88, 74), noise=0.02),
    te=(4.0, 9.0, 14.0, 19.0),
    tr=28.0,
    flip=12.0,
)
#: A clinical single echo whose phase is kept in radians.
SINGLE = Protocol(
    scan=Scan(voxel=(0.9, 0.9, 2), low=(-82, -108, -62), high=(82, 88, 84), noise=0.02),
    te=(22.0,),
    tr=30.0,
    phase='rad',
)


def echoes(
    scene: Scene, protocol: Protocol, magnet: Magnetism, noise_seed: int
) -> Iterator[np.ndarray]:
    """Take one echo after the other.

    Parameters
    ----------
    scene : Scene
        What lies in the scanner.
    protocol : Protocol
        How it is scanned.
    magnet : Magnetism
        The field, on the scan's grid with its pose.
    noise_seed : int
        Decides coil, receiver and noise.

    Yields
    ------
    ndarray of complex64, shape of the scan's grid
        Relative to white matter right after the pulse.
    """
    rng = np.random.default_rng([noise_seed, 41])
    scan = magnet.scan

    def amplitude(tissue: Tissue) -> float:
        return steady_state(tissue, scene.tesla, protocol.tr, protocol.flip)

    unit = amplitude(TISSUES['wm'])
    shape = scan.grid()[0]
    receive = coil(shape, scan.bias, rng) * np.exp(1j * _receiver(shape, protocol, rng))
    receive = (receive / np.float32(unit)).astype(np.complex64)
    grain = scene.texture()
    fat = scan.sample(fat_map(scene, amplitude), scene.affine)
    grey = nuclei(scene)
    flat = magnet.total.reshape(-1)
    inside = magnet.inside
    for number, te in enumerate(protocol.te):
        turns = GAMMA * scene.tesla * te / 1000
        image = scan.sample(water_map(scene, te, amplitude, grain, grey), scene.affine)
        sizes = _sizes(scene, te, amplitude, protocol.flip)
        for tissue, (at, share) in magnet.small.items():
            flat_image = image.reshape(-1)
            flat_image[at] += share * (np.float32(sizes[tissue]) - flat_image[at])
        still = image.reshape(-1).astype(np.complex64)
        decay = np.exp(-te / TISSUES['fat'].relaxation(scene.tesla)[2])
        still += fat.reshape(-1) * np.complex64(decay * np.exp(2j * np.pi * turns * FAT_PPM))
        del image
        own = inside.phasors[number][0] * still[inside.voxels]
        for part, tissue in zip(inside.phasors[number][1:], HOLDS, strict=True):
            own += part * np.float32(sizes[tissue])
        _dephase(still, magnet.total, turns)
        turned = own * np.exp(2j * np.pi * turns * flat[inside.voxels])
        still[inside.voxels] = turned
        still *= receive.reshape(-1)
        still = still.reshape(shape)
        for plane in still if scan.noise else ():
            noise = rng.standard_normal((2, *plane.shape), np.float32) * np.float32(scan.noise)
            plane += noise[0] + 1j * noise[1]
        yield still


def _dephase(still: np.ndarray, field_: np.ndarray, turns: float) -> None:
    """Turn a signal with the field, and lose what the field's slope scatters; in place."""
    seen = np.flatnonzero(np.abs(still) > 1e-6)
    for some in np.array_split(seen, max(1, len(seen) // 2**19)):
        # A linear field over the edge of a voxel leaves the sinc of the turns between its ends.
        lost = np.sinc(np.float32(turns) * slopes(field_, some)).prod(axis=1)
        angle = np.float32(2 * np.pi * turns) * field_.reshape(-1)[some]
        still[some] *= lost * (np.cos(angle) + 1j * np.sin(angle)).astype(np.complex64)


def _sizes(scene: Scene, te: float, amplitude, flip: float) -> dict[str, float]:
    """Return the signal at an echo of each tissue that small things are made of."""
    out = {}
    for name in PAINT:
        tissue = TISSUES[name]
        size = amplitude(tissue)
        if name == 'artery':
            size += INFLOW * (tissue.pd * np.sin(np.deg2rad(flip)) - size)
        out[name] = size * np.exp(-te / tissue.relaxation(scene.tesla)[2])
    return out


def _receiver(shape, protocol: Protocol, rng: np.random.Generator) -> np.ndarray:
    """Draw the receiver's phase: a polynomial of second order, rad."""
    axes = np.meshgrid(*[np.linspace(-1, 1, 9)] * 3, indexing='ij')
    terms = [np.ones((9, 9, 9)), *axes, *[a * b for i, a in enumerate(axes) for b in axes[i:]]]
    size = protocol.receive_rad * rng.standard_normal(len(terms)) / np.sqrt(3)
    size[0] += rng.uniform(-np.pi, np.pi) * bool(protocol.receive_rad)
    return resize(
        sum(s * term for s, term in zip(size, terms, strict=True)).astype(np.float32), shape
    )


def stored_phase(signal: np.ndarray, units: str) -> np.ndarray:
    """Return the phase of a signal as it is stored.

    Parameters
    ----------
    signal : ndarray of complex
        Signal.
    units : {'arbitrary', 'rad'}
        As in :class:`Protocol`.

    Returns
    -------
    ndarray of int16 or float32
        4096 levels in both cases.

    Examples
    --------
    >>> stored_phase(np.array([1, 1j, -1 - 1e-9j]), 'arbitrary').tolist()
    [0, 2048, -4096]
    """
    level = np.round(np.angle(signal) * (HALF_TURN / 2 / np.pi)).astype(np.int16)
    level[level >= HALF_TURN // 2] -= HALF_TURN
    if units == 'rad':
        return level * np.float32(2 * np.pi / HALF_TURN)
    return 2 * level


def acquire(scene: Scene, protocol: Protocol, noise_seed: int) -> tuple[np.ndarray, Magnetism]:
    """Scan the head and keep all echoes.

    Parameters
    ----------
    scene, protocol, noise_seed
        As in :func:`echoes`; the scan has the pose of the visit.

    Returns
    -------
    signal : ndarray of complex64, shape (nx, ny, nz, echoes)
        Relative to white matter right after the pulse.
    magnet : Magnetism
        The field behind it.
    """
    magnet = field_of(scene, protocol)
    return np.stack(list(echoes(scene, protocol, magnet, noise_seed)), axis=-1), magnet


def field_of(scene: Scene, protocol: Protocol) -> Magnetism:
    """Compute the field of the head as it lies in the scanner."""
    return magnetism(scene, protocol.scan, protocol.te, protocol.chi_texture)


def record(scene: Scene, protocol: Protocol, recorder: Recorder, noise_seed: int) -> str:
    """Scan the head; write magnitude and phase of each echo, and the truth.

    Parameters
    ----------
    scene, protocol, noise_seed
        As in :func:`echoes`.
    recorder : Recorder
        Takes the images, maps, tables and measures.

    Returns
    -------
    str
        BIDS URI of the magnitude of the first echo.
    """
    protocol = scene.lay(protocol, np.random.default_rng(noise_seed))
    magnet = field_of(scene, protocol)
    affine = magnet.scan.grid()[1]
    uris = []
    for number, signal in enumerate(echoes(scene, protocol, magnet, noise_seed)):
        magnitude = np.round(WHITE * np.abs(signal)).clip(0, 32000).astype(np.int16)
        for part, data in (('mag', magnitude), ('phase', stored_phase(signal, protocol.phase))):
            named = {**protocol.entities, 'part': part}
            if len(protocol.te) > 1:
                named['echo'] = str(number + 1)
            uris.append(
                recorder.raw(
                    data,
                    affine,
                    'anat',
                    protocol.suffix,
                    sidecar(protocol, scene.tesla, number, part),
                    entities=named,
                )
            )
    gre_truth.record(scene, magnet, recorder, protocol.suffix, uris[0])
    return uris[0]


def sidecar(protocol: Protocol, tesla: float, number: int, part: str) -> dict[str, Any]:
    """Return the fields of the JSON sidecar of an echo (BIDS; times in s)."""
    fields = common_fields(protocol.scan, tesla) | {
        'EchoTime': protocol.te[number] / 1000,
        'RepetitionTime': protocol.tr / 1000,
        'RepetitionTimeExcitation': protocol.tr / 1000,
        'FlipAngle': protocol.flip,
        'PulseSequenceType': 'Spoiled gradient echo',
    }
    if len(protocol.te) > 1:
        fields['EchoNumber'] = number + 1
    if part == 'phase':
        fields['Units'] = protocol.phase
    return {**fields, **protocol.fields}
