"""Spoiled gradient echoes with and without contrast agent: the signal of what voxels hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from csvdprep.phantom.permeability.bolus import frame_means, venous
from csvdprep.phantom.scanner.scan import Scan

#: Delays between which concentrations are interpolated, s.
DELAY_STEP_S = 0.25


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """T1 mapping and the dynamic series that follows it, all on one grid.

    Attributes
    ----------
    scan : Scan
        Grid, coil, and noise relative to white matter before contrast agent.
    flips : tuple of float
        Flip angles of the T1 mapping, degrees.
    flip : float
        Flip angle of the dynamic series, degrees.
    tr, te : float
        Repetition and echo time, ms.
    frame_s : float
        Duration of a frame, s; they follow each other without gaps.
    frames : int
        Number of frames.
    baseline : int
        Number of frames before the injection.
    arrival_s : float
        Time from the injection to the arrival in the head, s.
    dose : float
        mmol/kg.
    curve : callable
        Concentration in plasma (mmol/L) from time since arrival (s) and dose.
    relaxivity : float
        L/mmol/s.
    haematocrit : float
        Volume fraction of cells in large vessels.
    b1_spread : float
        Standard deviation of the true flip angles over the head, relative; with 0 they are
        nominal and no map of them is taken.
    drift : float
        Linear change of the signal from the start of the series to its end, %.
    motion : float
        How far the head moves during the scans: :func:`csvdprep.phantom.scanner.motion.walk`.
    entities : mapping
        ``acq`` and the like.
    fields : mapping
        Fields of the sidecars besides those that follow from the rest.
    mapping : {'vfa', 'hifi', 'mp2rage', 'mp2rage-complex', 'none'}
        How T1 is mapped: by flip angles, with two images after an inversion beside them, by
        MP2RAGE (with the uniform image or with the phases) instead, or not at all.
    b1_map : bool
        Whether flip angles are measured where they are not nominal.
    delays : bool
        Whether the bolus reaches each tissue at its own time, and veins last; else all at once.
    drain_s : float
        How much later than the arteries it is in the veins, s.
    """

    scan: Scan
    flips: tuple[float, ...] = (2, 5, 12)
    flip: float = 12.0
    tr: float = 5.4
    te: float = 2.0
    frame_s: float = 40.0
    frames: int = 32
    baseline: int = 3
    arrival_s: float = 12.0
    dose: float = 0.1
    curve: Callable[[np.ndarray, float], np.ndarray] = venous
    relaxivity: float = 4.5
    haematocrit: float = 0.42
    b1_spread: float = 0.0
    drift: float = 0.0
    motion: float = 0.0
    entities: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    mapping: str = 'vfa'
    b1_map: bool = True
    delays: bool = False
    drain_s: float = 4.5

    @property
    def injection_s(self) -> float:
        """Start of the injection since that of the series, s."""
        return self.baseline * self.frame_s

    def plasma(self, time_s: np.ndarray) -> np.ndarray:
        """Return the concentration in plasma (mmol/L) at times since the start, s."""
        return self.curve(time_s - self.injection_s - self.arrival_s, self.dose)

    @property
    def middles(self) -> np.ndarray:
        """Times of the middle of each frame, s."""
        return (np.arange(self.frames) + 0.5) * self.frame_s


@dataclass(frozen=True, kw_only=True, eq=False)
class Maps:
    """What the voxels of a scan hold; arrays of its shape.

    Attributes
    ----------
    m0 : ndarray of float32
        Signal of fully relaxed protons at the echo, arbitrary units.
    r1 : ndarray of float32
        Rate of longitudinal relaxation before contrast agent, 1/s; 0 in air.
    ps : ndarray of float32
        Permeability surface area product, 1/min.
    vp : ndarray of float32
        Volume fraction of plasma.
    b1 : ndarray of float32
        True flip angle relative to the nominal one.
    free : ndarray of float32
        Share that lacunes, infarcts and large vessels leave.
    delay : ndarray of float32 or None
        Arrival of the bolus after that in the arteries, s; None: at once.
    """

    m0: np.ndarray
    r1: np.ndarray
    ps: np.ndarray
    vp: np.ndarray
    b1: np.ndarray
    free: np.ndarray
    delay: np.ndarray | None = None


def spgr(m0, r1, tr: float, flip) -> np.ndarray:
    """Signal of a spoiled gradient echo in its steady state.

    ``M0 sin(flip) (1 - E1) / (1 - E1 cos(flip))`` with ``E1 = exp(-TR R1)``, written with
    ``1 - E1`` and ``1 - cos`` so that single precision loses nothing.

    Parameters
    ----------
    m0 : float or ndarray
        Signal of fully relaxed protons at the echo.
    r1 : float or ndarray
        Rate of longitudinal relaxation, 1/s.
    tr : float
        Repetition time, ms.
    flip : float or ndarray
        Flip angle, degrees.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> [round(float(spgr(1e4, 1 / 1.084, 5.4, flip)), 2) for flip in (2, 5, 12)]
    [311.05, 494.65, 386.76]
    """
    angle = np.deg2rad(flip)
    recovered = -np.expm1(r1 * (-tr / 1000))
    lost = 2 * np.sin(angle / 2) ** 2
    return m0 * np.sin(angle) * recovered / (recovered + (1 - recovered) * lost + 1e-12)


def leak(maps: Maps, cp, integral) -> np.ndarray:
    """Concentration of contrast agent per volume of tissue: Patlak's two compartments.

    ``v_p C_p + PS ∫C_p`` [1]_, which neglects what returns into the blood.

    Parameters
    ----------
    maps : Maps
        Of the scan.
    cp : float or ndarray
        Concentration in plasma, mmol/L.
    integral : float or ndarray
        Its integral, mmol/L min.

    Returns
    -------
    ndarray of float32
        mmol/L.

    References
    ----------
    .. [1] Patlak C.S., Blasberg R.G., Fenstermacher J.D. (1983) Graphical evaluation of
       blood-to-brain transfer constants from multiple-time uptake data.
       doi:10.1038/jcbfm.1983.1
    """
    return np.float32(cp) * maps.vp + np.float32(integral) * maps.ps


def flip_images(here: Maps, protocol: Protocol) -> Iterator[np.ndarray]:
    """Give the image of each flip angle of the T1 mapping, without noise or coil."""
    for flip in protocol.flips:
        yield spgr(here.m0, here.r1, protocol.tr, flip * here.b1)


def frame_images(here: Maps, protocol: Protocol) -> Iterator[np.ndarray]:
    """Give the image of each frame of the dynamic series, without noise, coil or drift.

    The concentration is that of :func:`csvdprep.phantom.permeability.bolus.frame_means`, so that
    a fit of frame means by trapezoids finds the truth.
    """
    for cp, integral in _seen(here, protocol):
        rate = here.r1 + np.float32(protocol.relaxivity) * leak(here, cp, integral)
        yield spgr(here.m0, rate, protocol.tr, protocol.flip * here.b1)


def _seen(here: Maps, protocol: Protocol) -> Iterator[tuple]:
    """Give the concentration in plasma of each frame, and its integral: of all, or by voxel."""
    count, step = protocol.frames, protocol.frame_s
    if here.delay is None:
        yield from zip(*frame_means(protocol.plasma, count, step), strict=True)
        return
    late = np.arange(0, float(here.delay.max()) + 2 * DELAY_STEP_S, DELAY_STEP_S)
    found = [
        frame_means(lambda time, by=by: protocol.plasma(time - by), count, step) for by in late
    ]
    for frame in range(count):
        yield tuple(
            np.interp(here.delay, late, [pair[kind][frame] for pair in found]).astype(np.float32)
            for kind in (0, 1)
        )


def drift_factors(protocol: Protocol) -> np.ndarray:
    """Return the factor by which drift changes each frame: that in its middle."""
    return 1 + protocol.drift / 100 * protocol.middles / (protocol.frames * protocol.frame_s)
