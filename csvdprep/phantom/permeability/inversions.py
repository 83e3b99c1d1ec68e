"""Images after an inversion for T1 mapping: IR-SPGR and MP2RAGE, pulse by pulse.

Magnetisation is followed through each excitation until it repeats itself: no closed form is used
that a fit could share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from csvdprep.phantom.permeability.contrast import Maps

#: Magnetisation repeats itself after so long, s, and so many cycles.
STEADY_S, CYCLES = 16.0, 4


@dataclass(frozen=True, kw_only=True)
class Train:
    """Excitations after an inversion.

    Attributes
    ----------
    inversion_s : float
        From the inversion to the excitation in the middle of k-space, s.
    flip : float
        degrees.
    shots : int
        Number of excitations; the middle of k-space is in their middle.
    tr : float
        Between them, ms.
    """

    inversion_s: float
    flip: float
    shots: int
    tr: float


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A cycle of inversion and trains.

    Attributes
    ----------
    trains : tuple of Train
        In the order of time.
    cycle_s : float
        From inversion to inversion, s.
    efficiency : float
        Share of the magnetisation that is inverted.
    """

    trains: tuple[Train, ...]
    cycle_s: float
    efficiency: float = 1.0


#: As HIFI takes them, 5 degrees after 600 and 1500 ms.
IR_SPGR = tuple(
    Prepared(trains=(Train(inversion_s=time, flip=5, shots=120, tr=5.4),), cycle_s=time + 0.34)
    for time in (0.6, 1.5)
)
#: As at 3 T.
MP2RAGE = Prepared(
    trains=(
        Train(inversion_s=0.7, flip=4, shots=160, tr=6.9),
        Train(inversion_s=2.5, flip=5, shots=160, tr=6.9),
    ),
    cycle_s=5.0,
    efficiency=0.96,
)


def prepared_images(here: Maps, cycle: Prepared) -> list[np.ndarray]:
    """Return the image of each train, with its sign, without noise or coil.

    Parameters
    ----------
    here : Maps
        What voxels hold.
    cycle : Prepared
        Sequence.

    Returns
    -------
    list of ndarray of float32
    """
    seen = here.m0 > 0
    r1, b1 = here.r1[seen].astype(np.float64), here.b1[seen].astype(np.float64)
    z = np.ones(r1.shape)
    images = [np.zeros(r1.shape)] * len(cycle.trains)
    for _ in range(max(CYCLES, int(np.ceil(STEADY_S / cycle.cycle_s)))):
        z, now = -cycle.efficiency * z, 0.0
        for number, train in enumerate(cycle.trains):
            tr = train.tr / 1000
            start = train.inversion_s - train.shots / 2 * tr
            z = _recover(z, r1, start - now)
            sin, cos = (f(np.deg2rad(train.flip) * b1) for f in (np.sin, np.cos))
            kept = np.exp(-tr * r1)
            for shot in range(train.shots):
                if shot == train.shots // 2:
                    images[number] = z * sin
                z = 1 - (1 - z * cos) * kept
            now = start + train.shots * tr
        z = _recover(z, r1, cycle.cycle_s - now)
    out = []
    for image in images:
        full = np.zeros(here.m0.shape, np.float32)
        full[seen] = image * here.m0[seen]
        out.append(full)
    return out


def _recover(z, r1, seconds: float):
    if seconds < -1e-9:
        raise ValueError('Trains overlap.')
    return 1 - (1 - z) * np.exp(-r1 * seconds)


def prepared_fields(cycle: Prepared, number: int) -> dict[str, object]:
    """Return what the sidecar of a train says."""
    train = cycle.trains[number]
    return {
        'InversionTime': train.inversion_s,
        'FlipAngle': train.flip,
        'NumberShots': train.shots,
        'RepetitionTimeExcitation': train.tr / 1000,
        'RepetitionTimePreparation': cycle.cycle_s,
    }


def uniform(images: Sequence[np.ndarray]) -> np.ndarray:
    """Return the uniform image of two complex ones as scanners store it: 0 to 4095."""
    first, second = images
    power = first.real**2 + first.imag**2 + second.real**2 + second.imag**2
    product = first.real * second.real + first.imag * second.imag
    share = np.divide(product, power, out=np.zeros(power.shape, np.float32), where=power > 0)
    return np.round((share + 0.5) * 4095).astype(np.int16)
