"""Arterial spin labelling: how much labelled blood a voxel holds when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from csvdprep.phantom.head.tissues import BLOOD_T1
from csvdprep.phantom.scanner.scan import Scan

#: Partition coefficient of water between brain and blood, mL/g.
PARTITION = 0.9
#: Efficiency of labelling, and the share of it that a background suppression pulse leaves.
EFFICIENCY = {'PCASL': 0.85, 'PASL': 0.98}
PULSE_LEAVES = 0.95


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """An ASL scan with its M0.

    Attributes
    ----------
    scan : Scan
        Grid, coil, and noise of each volume relative to fully relaxed white matter.
    labelling : {'PCASL', 'PASL'}
        PASL is QUIPSS II.
    delays : tuple of float
        Post-labelling delays (PCASL) or inversion times (PASL), s.
    duration : float
        Labelling duration (PCASL) or time at which the bolus is cut off, TI1 (PASL), s.
    pairs : int
        Pairs of control and label for each delay.
    label_first : bool
        Whether label comes before control.
    slice_s : float
        Time from one slice to the next of a 2D read-out, s; 0 for 3D.
    suppression : float, optional
        Share of the static magnetisation that background suppression leaves when the first slice
        is read; None for no suppression.
    pulses : int
        Number of background suppression pulses.
    efficiency : float, optional
        Efficiency of labelling in all, as the sidecar then says; by default that of the
        labelling and of the pulses, unsaid.
    label_scale : float
        True efficiency over that, which nobody knows.
    tr, te : float
        Repetition time in s, echo time in ms.
    m0 : {'Separate', 'Included'}
        Where M0 is.
    m0_tr : float
        Repetition time of M0, s.
    fluctuation : float
        Standard deviation of the static signal over time, relative.
    motion : float
        How far the head moves: :func:`csvdprep.phantom.scanner.motion.walk`.
    entities : mapping
        ``acq`` and the like.
    fields : mapping
        Fields of the sidecars besides those that follow from the rest.
    """

    scan: Scan
    labelling: str = 'PCASL'
    delays: tuple[float, ...] = (2.0,)
    duration: float = 1.8
    pairs: int = 30
    label_first: bool = False
    slice_s: float = 0.0
    suppression: float | None = None
    pulses: int = 0
    efficiency: float | None = None
    label_scale: float = 1.0
    tr: float = 4.8
    te: float = 13.0
    m0: str = 'Separate'
    m0_tr: float = 10.0
    fluctuation: float = 0.0
    motion: float = 0.0
    entities: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def alpha(self) -> float:
        """Efficiency of labelling in all.

        Examples
        --------
        >>> round(Protocol(scan=Scan(voxel=(3, 3, 4)), pulses=2).alpha, 4)
        0.7671
        """
        if self.efficiency is not None:
            return self.efficiency
        return EFFICIENCY[self.labelling] * PULSE_LEAVES**self.pulses

    @property
    def volumes(self) -> list[tuple[str, float]]:
        """Type (as in aslcontext.tsv) and delay in s of each volume; 0 for M0."""
        pair = ('label', 'control') if self.label_first else ('control', 'label')
        first = [('m0scan', 0.0)] if self.m0 == 'Included' else []
        return first + [
            (kind, delay) for _ in range(self.pairs) for delay in self.delays for kind in pair
        ]

    def slice_times(self) -> np.ndarray:
        """Return the time of each slice after the first, s, along the array's axis."""
        return self.slice_s * np.arange(self.scan.grid()[0][self.scan.array_axis])


def difference(cbf, att, m0, delay, protocol: Protocol, tesla: float = 3.0) -> np.ndarray:
    """Difference of control and label: one compartment that the label reaches at a time.

    The label decays with T1 of blood and does not leave. What has arrived of it when a slice is
    read, PLD (PCASL) or TI (PASL) after the labelling, is, for PCASL,

    ``2 α M0 CBF/(6000 λ) T1b exp(-(τ+PLD)/T1b) (exp(s/T1b) - 1)``, ``s = τ + PLD - ATT`` within
    0 and τ, and for PASL ``2 α M0 CBF/(6000 λ) exp(-TI/T1b) s``, ``s = TI - ATT`` within 0 and
    TI1. Where all has arrived these are the formulas of the consensus [1]_.

    Parameters
    ----------
    cbf : float or ndarray
        mL/100 g/min.
    att : float or ndarray
        Arrival time, s.
    m0 : float or ndarray
        Signal of fully relaxed tissue.
    delay : float or ndarray
        PLD or TI with the time of the slice, s.
    protocol : Protocol
        The scan.
    tesla : float
        Field strength.

    Returns
    -------
    ndarray

    References
    ----------
    .. [1] Alsop D.C. et al. (2015) Recommended implementation of arterial spin-labeled perfusion
       MRI for clinical applications. doi:10.1002/mrm.25197

    Examples
    --------
    >>> pcasl = Protocol(scan=Scan(voxel=(3, 3, 4)), duration=1.8)
    >>> pasl = Protocol(scan=Scan(voxel=(3, 3, 4)), labelling='PASL', duration=0.8)
    >>> [round(float(difference(cbf, 0.9, 1, delay, scan)), 5)
    ...  for cbf, delay, scan in ((86.30, 1.8, pcasl), (116.85, 2.3, pcasl), (102.52, 1.8, pasl))]
    [0.01, 0.01, 0.01]
    """
    t1 = BLOOD_T1[tesla]
    inflow = 2 * protocol.alpha * protocol.label_scale * m0 * (cbf / (6000 * PARTITION))
    if protocol.labelling == 'PASL':
        arrived = np.clip(delay - att, 0, protocol.duration)
        return inflow * np.exp(-delay / t1) * arrived
    since = protocol.duration + delay
    arrived = np.clip(since - att, 0, protocol.duration)
    return inflow * t1 * np.exp(-since / t1) * np.expm1(arrived / t1)


def arrived(att, delay, protocol: Protocol) -> np.ndarray:
    """Return where all of the label has arrived, so that the closed formula holds."""
    last = protocol.duration if protocol.labelling == 'PASL' else 0.0
    return att + last <= delay


def static(m0, r1, since, protocol: Protocol) -> np.ndarray:
    """Signal of what is not labelled.

    Parameters
    ----------
    m0 : ndarray
        Signal of fully relaxed tissue.
    r1 : ndarray
        Rate of longitudinal relaxation, 1/s.
    since : float or ndarray
        Time since the first slice, s.
    protocol : Protocol
        The scan.

    Returns
    -------
    ndarray
        With suppression its rest and what recovers until the slice is read; else what recovers
        in a repetition time.
    """
    if protocol.suppression is None:
        return m0 * -np.expm1(-protocol.tr * r1)
    return m0 * (1 - (1 - protocol.suppression) * np.exp(-since * r1))
