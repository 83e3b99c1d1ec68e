"""Resolutions and protocols that phantoms are made with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from csvdprep.phantom.angiography import tof
from csvdprep.phantom.bolus import series as bolus
from csvdprep.phantom.diffusion import series as diffusion
from csvdprep.phantom.perfusion import series as perfusion
from csvdprep.phantom.permeability import series as permeability
from csvdprep.phantom.scanner.scan import Scan
from csvdprep.phantom.structural.images import Protocol, Sequence
from csvdprep.phantom.susceptibility import gre

MPRAGE = Sequence(kind='mprage', tr=2000, ti=1150, te=3.0, flip=15, pulses=192, spacing=8.0)
FLAIR_2D = Sequence(kind='flair', tr=9000, ti=2650, te=100, flip=150, fat_left=0.15)
FLAIR_3D = Sequence(
    kind='flair', tr=5000, ti=1872, te=380, effective_te=118, flip=120, fat_left=0.1
)
T2_2D = Sequence(kind='tse', tr=5500, te=95, flip=150)
T2_3D = Sequence(kind='tse', tr=3200, te=400, effective_te=105, flip=120)
#: At 7 T, T1 is longer: the inversion of the FLAIR has to follow.
MPRAGE_7T = Sequence(kind='mprage', tr=2500, ti=1100, te=2.5, flip=7, pulses=240, spacing=6.8)
FLAIR_7T = Sequence(
    kind='flair', tr=8000, ti=2300, te=300, effective_te=100, flip=110, fat_left=0.1
)

T1W_3D = Scan(
    voxel=(1, 1, 1),
    slices=0,
    stored='PSR',
    noise=0.017,
    bias=0.25,
    low=(-92, -124, -104),
    high=(92, 112, 104),
)
THICK = Scan(
    voxel=(0.9, 0.9, 5),
    gap=0.5,
    stored='LPS',
    tilt=(9, 2, -1),
    low=(-104, -112, -74),
    high=(104, 112, 92),
    noise=0.042,
)
THIN = Scan(
    voxel=(1, 1, 1),
    slices=0,
    stored='PSR',
    noise=0.04,
    bias=0.3,
    low=(-86, -108, -96),
    high=(86, 110, 98),
)
T2_THIN = replace(THIN, voxel=(0.9, 0.9, 0.9), noise=0.035, stored='RAS')


@dataclass(frozen=True, kw_only=True)
class Preset:
    """How phantoms are made.

    Attributes
    ----------
    name : str
        Of size and protocol.
    spacing : float
        Spacing of the head's grid, mm.
    tesla : float
        Field strength.
    protocols : mapping of str to protocol
        Scans by modality, in the order in which they are made.
    """

    name: str
    spacing: float
    tesla: float
    protocols: Mapping[str, Any]


def _research() -> dict[str, Any]:
    """3D acquisitions at 3 T."""
    return {
        'T1w': Protocol(suffix='T1w', sequence=MPRAGE, scan=T1W_3D),
        'FLAIR': Protocol(suffix='FLAIR', sequence=FLAIR_3D, scan=THIN),
        'T2w': Protocol(suffix='T2w', sequence=T2_3D, scan=T2_THIN),
        'MEGRE': gre.FULL,
        'dwi': diffusion.FULL,
        'dce': permeability.PRESETS['full'],
        'asl': perfusion.PRESETS['full'],
        'angio': tof.FULL,
        'dsc': bolus.PRESETS['full'],
    }


def _clinical() -> dict[str, Any]:
    """Thick, tilted slices at 3 T, some motion."""
    return {
        'T1w': Protocol(suffix='T1w', sequence=MPRAGE, scan=T1W_3D),
        'FLAIR': Protocol(suffix='FLAIR', sequence=FLAIR_2D, scan=THICK, ghost_mm=0.3),
        'T2w': Protocol(
            suffix='T2w', sequence=T2_2D, scan=replace(THICK, voxel=(0.6, 0.6, 5)), ghost_mm=0.3
        ),
        'MEGRE': gre.SINGLE,
        'dwi': diffusion.VENDORS['philips'],
        'dce': permeability.PRESETS['demo'],
        'asl': perfusion.PRESETS['pasl'],
        'angio': tof.DEMO,
        'dsc': bolus.PRESETS['demo'],
    }


def _seven_tesla() -> dict[str, Any]:
    """3D acquisitions at 7 T: finer, and with a stronger bias."""
    return {
        'T1w': Protocol(
            suffix='T1w', sequence=MPRAGE_7T, scan=replace(T1W_3D, voxel=(0.8, 0.8, 0.8), bias=0.7)
        ),
        'FLAIR': Protocol(
            suffix='FLAIR', sequence=FLAIR_7T, scan=replace(THIN, voxel=(0.8, 0.8, 0.8), bias=0.7)
        ),
        'T2w': Protocol(
            suffix='T2w',
            sequence=replace(T2_3D, effective_te=85),
            scan=replace(T2_THIN, voxel=(0.7, 0.7, 0.7), bias=0.7),
        ),
        'MEGRE': gre.SEVEN,
        'dwi': diffusion.FULL,
        'dce': permeability.PRESETS['seven'],
        'asl': perfusion.PRESETS['full'],
        'angio': tof.SEVEN,
    }


def _tiny() -> dict[str, Any]:
    """Coarse voxels and few of them, for tests."""
    return {
        'T1w': Protocol(
            suffix='T1w', sequence=MPRAGE, scan=replace(T1W_3D, voxel=(2.2, 2.2, 2.2))
        ),
        'FLAIR': Protocol(
            suffix='FLAIR', sequence=FLAIR_2D, scan=replace(THICK, voxel=(2, 2, 4), gap=0)
        ),
        'T2w': Protocol(
            suffix='T2w', sequence=T2_2D, scan=replace(THICK, voxel=(1.7, 1.7, 4), gap=0)
        ),
        'MEGRE': gre.TINY,
        'dwi': diffusion.TINY,
        'dce': permeability.PRESETS['tiny'],
        'asl': perfusion.PRESETS['tiny'],
        'angio': tof.TINY,
        'dsc': bolus.PRESETS['tiny'],
    }


#: Shorter scans in place of the longest ones.
_SHORT = {
    'MEGRE': gre.DEMO,
    'dwi': diffusion.DEMO,
    'dce': permeability.PRESETS['demo'],
    'asl': perfusion.PRESETS['demo'],
    'angio': tof.DEMO,
    'dsc': bolus.PRESETS['demo'],
}
PROTOCOLS = {'research': _research, 'clinical': _clinical, '7t': _seven_tesla}
SIZES = {'tiny': 2.0, 'demo': 1.0, 'full': 1.0}


def get_preset(size: str = 'full', protocol: str = 'research') -> Preset:
    """Return a preset.

    Parameters
    ----------
    size : {'tiny', 'demo', 'full'}
        ``tiny`` has a protocol of its own.
    protocol : {'research', 'clinical', '7t'}
        3D scans at 3 T; thick slices at 3 T; 3D scans at 7 T.

    Returns
    -------
    Preset

    Raises
    ------
    ValueError
        If there is no such preset.

    Examples
    --------
    >>> get_preset('tiny').spacing, get_preset('full', '7t').tesla
    (2.0, 7.0)
    """
    if size not in SIZES or protocol not in PROTOCOLS:
        raise ValueError(f'No preset {size}, {protocol}.')
    protocols = _tiny() if size == 'tiny' else PROTOCOLS[protocol]()
    if size == 'demo' and protocol == 'research':
        protocols |= _SHORT
    tesla = 7.0 if protocol == '7t' and size != 'tiny' else 3.0
    name = size if size == 'tiny' else f'{size}, {protocol}'
    return Preset(name=name, spacing=SIZES[size], tesla=tesla, protocols=protocols)
