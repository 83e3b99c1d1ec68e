"""Diffusion scans: what can be set, the protocols of the presets, scans as on three vendors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from csvdprep.phantom.diffusion.gradients import TABLES, GradientTable
from csvdprep.phantom.scanner.epi import FieldMap
from csvdprep.phantom.scanner.scan import Scan


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A diffusion scan.

    Attributes
    ----------
    gradients : str or GradientTable
        Weighting of each volume: a table, or the name of one, made when it is first asked for.
    scan : Scan
        Grid and coil; ``noise`` is not used.
    te, tr : float
        Echo and repetition time, ms.
    direction : {'AP', 'PA', 'LR', 'RL'}
        Phase encoding: from where to where.
    readout_s : float
        Total readout time, s.
    multiband : int
        Slices excited at once.
    snr : float
        Of white matter at b = 0; infinite for no noise.
    free_water : bool
        Two compartments; without, each voxel has one tensor and refits are exact.
    distortion : bool
        Move signals by the field.
    reverse : bool
        Write an image at b = 0 with the opposite phase encoding, for ``distortion``.
    gre : csvdprep.phantom.scanner.epi.FieldMap, optional
        Write a field map from gradient echoes.
    motion : float
        Standard deviation of what the head has moved by the last volume, mm and degrees. The
        stored gradients are those that were played: they do not turn with the head.
    eddy_hz : float
        Field of eddy currents at b = 1000, 100 mm from the middle along the gradient, Hz; it
        grows with the gradient, the root of b.
    outliers : int
        Number of slices that lose signal, as by a pulse or a jerk.
    b_scale : float
        True over stated b-value: how well the scanner is calibrated.
    entities, fields : mapping
        Of the file name, besides ``dir``; of the sidecar.
    """

    gradients: str | GradientTable
    scan: Scan
    te: float = 80
    tr: float = 8000
    direction: str = 'AP'
    readout_s: float = 0.05
    multiband: int = 1
    snr: float = 25.0
    free_water: bool = True
    distortion: bool = True
    reverse: bool = True
    gre: FieldMap | None = None
    motion: float = 0.0
    eddy_hz: float = 0.0
    outliers: int = 0
    b_scale: float = 1.0
    entities: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def table(self) -> GradientTable:
        """Weighting of each volume."""
        if isinstance(self.gradients, str):
            return TABLES[self.gradients]()
        return self.gradients


#: Field of view of a brain without the face, mm.
_VIEW: dict = {'low': (-96, -120, -72), 'high': (96, 96, 84), 'bias': 0.25}
#: Protocols for the presets of the phantom.
TINY = Protocol(gradients='clinical-b1000', scan=Scan(voxel=(3, 3, 3), **_VIEW), snr=30)
DEMO = Protocol(
    gradients='research-32',
    scan=Scan(voxel=(2, 2, 2), stored='LAS', **_VIEW),
    te=75,
    tr=4200,
    multiband=2,
    motion=0.5,
    eddy_hz=6,
    snr=25,
    gre=FieldMap(scan=Scan(voxel=(3, 3, 3))),
)
FULL = Protocol(
    gradients='research-64-odd',
    scan=Scan(voxel=(2, 2, 2), stored='LAS', **_VIEW),
    te=75,
    tr=4200,
    multiband=2,
    motion=0.8,
    eddy_hz=8,
    outliers=6,
    snr=25,
    gre=FieldMap(scan=Scan(voxel=(3, 3, 3))),
)
#: Scans as on three vendors, with the tables that they wrote.
VENDORS = {
    'siemens': Protocol(
        gradients='siemens-b2500',
        te=68,
        tr=3516,
        direction='PA',
        readout_s=0.0475693,
        multiband=3,
        snr=60,
        scan=Scan(voxel=(3, 3, 3), stored='LAS', **_VIEW | {'bias': 0.45}),
    ),
    'philips': Protocol(
        gradients='philips-b1000',
        te=69.4,
        tr=4176,
        readout_s=0.0316,
        multiband=3,
        snr=30,
        scan=Scan(voxel=(2, 2, 2), stored='LAS', tilt=(-4.5, 0, 3.4), **_VIEW),
    ),
    'canon': Protocol(
        gradients='canon-b1500',
        te=79,
        tr=10000,
        direction='PA',
        readout_s=0.028,
        snr=50,
        scan=Scan(voxel=(3, 3, 3), stored='LAS', tilt=(0, 0, 20), **_VIEW),
    ),
}
