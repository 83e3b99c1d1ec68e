"""Time-of-flight angiogram: bright fresh blood in arteries before saturated tissue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from csvdprep.phantom.angiography import truth as tof_truth
from csvdprep.phantom.geometry.features import Tube
from csvdprep.phantom.head.tissues import BLOOD_T1, TISSUES, Tissue
from csvdprep.phantom.head.vessels import artery_tubes
from csvdprep.phantom.scanner.recorder import Recorder
from csvdprep.phantom.scanner.scan import Scan, coil, rician, turn
from csvdprep.phantom.scanner.scene import Scene
from csvdprep.phantom.scanner.spoiled import fat_map, nuclei, steady_state, water_map
from csvdprep.phantom.structural.images import common_fields

#: Value that white matter has in the stored images.
WHITE = 120
#: Mean velocity of blood in an artery of 1 mm radius, mm/s; in others it goes with the radius.
VELOCITY = 220.0
#: Slowest and fastest, mm/s.
VELOCITIES = (60.0, 450.0)


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A TOF angiogram.

    Attributes
    ----------
    scan : Scan
        Grid, noise (relative to white matter), coil.
    tr, te, flip : float
        Times in ms, flip angle in degrees.
    slabs : int
        Number of overlapping slabs that the volume is put together from; blood is fresh again
        when it enters one.
    ramp : float
        Relative change of the flip angle from the bottom of a slab to its top: it keeps distal
        blood bright.
    blind : float
        Relative loss of signal at the border of slabs (venetian blind), 0 for none.
    fat_left : float
        Share of the fat's signal that is seen: at a suitable echo time it is out of phase.
    entities, fields : mapping
        Entities besides ``acq-tof``; more fields of the sidecar.
    """

    scan: Scan
    tr: float = 22.0
    te: float = 3.6
    flip: float = 18.0
    slabs: int = 1
    ramp: float = 0.3
    blind: float = 0.0
    fat_left: float = 0.55
    entities: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)


TINY = Protocol(
    scan=Scan(voxel=(1.5, 1.5, 1.5), low=(-66, -80, -26), high=(66, 64, 40), noise=0.06)
)
DEMO = Protocol(
    scan=Scan(voxel=(0.7, 0.7, 1.0), low=(-76, -96, -27), high=(76, 80, 45), noise=0.07)
)
FULL = Protocol(
    scan=Scan(voxel=(0.5, 0.5, 0.7), low=(-80, -100, -27), high=(80, 84, 45), noise=0.08),
    slabs=3,
    blind=0.12,
)
#: For a scene of 7 T: one slab around the basal ganglia.
SEVEN = Protocol(
    scan=Scan(voxel=(0.3, 0.3, 0.4), low=(-50, -40, -22), high=(50, 40, 22), noise=0.08),
    tr=16.0,
    flip=20.0,
)


def blood(pulses, protocol: Protocol, tesla: float) -> np.ndarray:
    """Compute the signal of arterial blood after a number of pulses.

    The magnetisation falls from its equilibrium to the steady state of the spoiled gradient
    echo, ``M(n) = Mss + (1 - Mss)(E1 cos α)^n``.

    Parameters
    ----------
    pulses : array of float
        How many pulses blood has seen.
    protocol : Protocol
        Scan.
    tesla : float
        Field strength.

    Returns
    -------
    ndarray
        Relative to free water's equilibrium magnetisation.

    Examples
    --------
    >>> fresh, old = blood(np.array([0, 1000]), TINY, 3)
    >>> bool(fresh > 3 * old), round(float(fresh), 3)
    (True, 0.244)
    """
    artery = TISSUES['artery']
    e1 = np.exp(-protocol.tr / (1000 * BLOOD_T1[tesla]))
    angle = np.deg2rad(protocol.flip)
    steady = (1 - e1) / (1 - e1 * np.cos(angle))
    left = steady + (1 - steady) * (e1 * np.cos(angle)) ** np.asarray(pulses, float)
    decay = np.exp(-protocol.te / artery.relaxation(tesla)[2])
    return artery.pd * np.sin(angle) * decay * left


def transit(tubes: Sequence[Tube], protocol: Protocol, pose: np.ndarray) -> list[np.ndarray]:
    """Say for how long the blood at each point of arteries has been in its slab.

    Parameters
    ----------
    tubes : sequence of Tube
        Arteries, parents first; named in ``facts``.
    protocol : Protocol
        Where its slabs are.
    pose : ndarray, shape (4, 4)
        From the head's frame to the scanner's.

    Returns
    -------
    list of ndarray
        Seconds, for each point of each tube; 0 outside of the slabs.
    """
    borders = _borders(protocol)
    done: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    out = []
    for tube in tubes:
        points = tube.moved(pose).points
        slab = np.searchsorted(borders, _height(points, protocol.scan))
        slab[slab == len(borders)] = 0
        steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
        speed = np.clip(VELOCITY * tube.radii, *VELOCITIES)
        start = 0.0
        if (parent := done.get(tube.facts.get('parent', ''))) is not None:
            nearest = int(np.argmin(((parent[0] - points[0]) ** 2).sum(axis=1)))
            start = parent[1][nearest] if parent[2][nearest] == slab[0] else 0.0
        clock = start + np.concatenate([[0], np.cumsum(steps / speed[1:])])
        # The clock starts anew where blood enters a slab.
        enters = np.flatnonzero(np.diff(slab)) + 1
        since = np.zeros(len(points))
        for place in enters:
            since[place:] = clock[place]
        clock = np.where(slab > 0, clock - since, 0)
        done[tube.facts.get('name', '')] = (points, clock, slab)
        out.append(clock)
    return out


def acquire(
    scene: Scene, protocol: Protocol, noise_seed: int
) -> tuple[np.ndarray, Scan, np.ndarray, np.ndarray]:
    """Scan the head.

    Parameters
    ----------
    scene : Scene
        What lies in the scanner; features of the tissue 'artery' are seen.
    protocol : Protocol
        How it is scanned.
    noise_seed : int
        Decides movement, coil and noise.

    Returns
    -------
    data : ndarray of int16
        White matter near 120.
    scan : Scan
        Grid and pose.
    share : ndarray of float32
        Share of each voxel that arteries fill.
    owner : ndarray of int32
        1 + index, among the arteries, of the one with the largest share; 0 for none.
    """
    rng = np.random.default_rng([noise_seed, 43])
    scan = scene.place(protocol.scan, rng)

    def amplitude(tissue: Tissue) -> float:
        return steady_state(tissue, scene.tesla, protocol.tr, protocol.flip)

    still = water_map(scene, protocol.te, amplitude, scene.texture(), nuclei(scene))
    still += np.float32(protocol.fat_left) * fat_map(scene, amplitude)
    image = scan.sample(still, scene.affine)
    del still
    sizes = {
        name: amplitude(TISSUES[name])
        * np.exp(-protocol.te / TISSUES[name].relaxation(scene.tesla)[2])
        for name in ('gliosis', 'infarct', 'csf', 'calcium', 'haemosiderin')
    }
    image = scene.paint(image, scan, sizes)
    tubes = artery_tubes(scene)
    share, owner = scan.draw(tubes)
    if tubes:
        _flow(image, share, tubes, protocol, scan, scene.tesla)
    image *= _profile(protocol, scan)
    unit = amplitude(TISSUES['wm']) * np.exp(-protocol.te / TISSUES['wm'].t2s)
    image *= coil(image.shape, scan.bias, rng)
    image /= np.float32(unit)
    data = np.empty(image.shape, np.int16)
    # Plane by plane, because noise takes several copies.
    for plane, clean in zip(data, image, strict=True):
        plane[:] = np.round(WHITE * rician(clean, scan.noise, rng)).clip(0, 32000)
    return data, scan, share, owner


def _borders(protocol: Protocol) -> np.ndarray:
    """Return the borders of the slabs as heights, mm."""
    scan = protocol.scan
    half = (scan.high[scan.slices] - scan.low[scan.slices]) / 2
    return np.linspace(-half, half, protocol.slabs + 1)


def _height(points: np.ndarray, scan: Scan) -> np.ndarray:
    """Return how far points (n, 3) of the scanner lie above the volume's middle, mm."""
    middle = (np.array(scan.low) + np.array(scan.high)) / 2
    return (points - middle) @ turn(scan.tilt)[:, scan.slices]


def _flow(image, share, tubes, protocol: Protocol, scan: Scan, tesla: float) -> None:
    """Put blood into an image, as saturated as the nearest piece of artery says; in place."""
    clocks = transit(tubes, protocol, scan.pose)
    tree = cKDTree(np.concatenate([tube.moved(scan.pose).points for tube in tubes]))
    affine = scan.grid()[1]
    at = np.nonzero(share)
    where = np.stack(at, axis=1) @ affine[:3, :3].T + affine[:3, 3]
    seconds = np.concatenate(clocks)[tree.query(where)[1]]
    bright = blood(1000 * seconds / protocol.tr, protocol, tesla).astype(np.float32)
    image[at] += share[at] * (bright - image[at])


def _profile(protocol: Protocol, scan: Scan) -> np.ndarray:
    """Return the gain along the slabs: ramp of the pulse and loss at their borders."""
    shape, affine = scan.grid()
    along = scan.array_axis
    steps = np.arange(shape[along])[:, None] * affine[:3, along]
    height = _height(steps + affine[:3, 3], scan)
    borders = _borders(protocol)
    inside = (height - borders[0]) / (borders[1] - borders[0])
    inside = np.clip(inside, 0, protocol.slabs - 1e-6) % 1
    gain = 1 + protocol.ramp * (inside - 0.5) / 2
    gain *= 1 - protocol.blind * np.abs(2 * inside - 1) ** 4
    return gain.astype(np.float32).reshape([-1 if i == along else 1 for i in range(3)])


def record(scene: Scene, protocol: Protocol, recorder: Recorder, noise_seed: int) -> str:
    """Scan the head; write the angiogram and its truth; return the BIDS URI of the image."""
    data, scan, share, owner = acquire(scene, protocol, noise_seed)
    entities = {'acq': 'tof', **protocol.entities}
    uri = recorder.raw(
        data, scan.grid()[1], 'anat', 'angio', sidecar(protocol, scene.tesla), entities=entities
    )
    del data
    tof_truth.record(scene, scan, share, owner, recorder, uri)
    return uri


def sidecar(protocol: Protocol, tesla: float) -> dict[str, Any]:
    """Return the fields of the JSON sidecar (BIDS; times in s)."""
    return common_fields(protocol.scan, tesla) | {
        'EchoTime': protocol.te / 1000,
        'RepetitionTime': protocol.tr / 1000,
        'FlipAngle': protocol.flip,
        'PulseSequenceType': 'Time of flight',
        **protocol.fields,
    }
