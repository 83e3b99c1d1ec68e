"""ASL: blood flow and arrival times of a head, and the series that shows them.

Flow, flow-weighted arrival time, M0 and relaxation are averaged in each voxel before the signal
is computed, so that the maps of the truth are exactly those that the signal follows. Label that
is still in large arteries and the distortion of echo-planar images are left out. For comparison,
asldro's ground truth at 3 T has 60 and 20 mL/100 g/min, 0.8 and 1.2 s in grey and white matter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from csvdprep.bids.names import compose
from csvdprep.phantom.geometry.fields import smooth_noise
from csvdprep.phantom.head.tissues import TISSUES, Tissue
from csvdprep.phantom.perfusion.blood_flow import flow, territories
from csvdprep.phantom.perfusion.labelling import Protocol, difference, static
from csvdprep.phantom.scanner import motion, rois
from csvdprep.phantom.scanner.recorder import Recorder, write_table
from csvdprep.phantom.scanner.scan import Scan, coil, rician
from csvdprep.phantom.scanner.scene import Scene
from csvdprep.phantom.scanner.voxels import brain_part, cover, large, mixture, per_matter
from csvdprep.phantom.structural.images import common_fields

#: Value that fully relaxed white matter has in the stored images.
WHITE = 1000
#: Share of the fat's signal that fat suppression leaves.
FAT_LEFT = 0.1
#: Field of view that leaves out the neck, mm.
_SLAB = {'low': (-92, -122, -76), 'high': (92, 108, 90)}
_SUPPRESSED = {'suppression': 0.12, 'pulses': 2}
PRESETS = {
    'tiny': Protocol(scan=Scan(voxel=(4, 4, 5), noise=0.003, **_SLAB), pairs=8, slice_s=0.03),
    'demo': Protocol(
        scan=Scan(voxel=(3.5, 3.5, 4), noise=0.004, **_SLAB),
        pairs=16,
        fluctuation=0.004,
        motion=0.3,
        **_SUPPRESSED,
    ),
    'full': Protocol(
        scan=Scan(voxel=(3, 3, 5), noise=0.005, **_SLAB),
        fluctuation=0.0015,
        motion=0.3,
        slice_s=0.03,
    ),
    'pasl': Protocol(
        scan=Scan(voxel=(3.5, 3.5, 5), noise=0.004, **_SLAB),
        labelling='PASL',
        delays=(1.8,),
        duration=0.8,
        tr=3.0,
        slice_s=0.03,
        label_first=True,
        fluctuation=0.0015,
        motion=0.3,
    ),
    'multidelay': Protocol(
        scan=Scan(voxel=(3.5, 3.5, 4), noise=0.004, **_SLAB),
        pairs=5,
        delays=(0.5, 1.0, 1.5, 2.0, 2.5, 3.0),
        fluctuation=0.004,
        m0='Included',
        motion=0.3,
        **_SUPPRESSED,
    ),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Maps:
    """What the voxels of a scan hold; arrays of its shape.

    Attributes
    ----------
    cbf : ndarray of float32
        mL/100 g/min.
    att : ndarray of float32
        Arrival time weighted by flow, s; 0 where nothing flows.
    m0 : ndarray of float32
        Signal of fully relaxed protons at the echo, relative to water without decay.
    r1 : ndarray of float32
        Rate of longitudinal relaxation, 1/s.
    free : ndarray of float32
        Share that lacunes, infarcts and large vessels leave.
    """

    cbf: np.ndarray
    att: np.ndarray
    m0: np.ndarray
    r1: np.ndarray
    free: np.ndarray


def maps(scene: Scene, protocol: Protocol) -> Maps:
    """Average what each voxel of a scan holds.

    Parameters
    ----------
    scene : Scene
        The head.
    protocol : Protocol
        The scan; it has the pose.

    Returns
    -------
    Maps
    """
    scan = protocol.scan

    def size(tissue: Tissue) -> float:
        decay = np.exp(-protocol.te / tissue.relaxation(scene.tesla)[2])
        return tissue.pd * decay * (1 - tissue.fat * (1 - FAT_LEFT))

    def rate(tissue: Tissue) -> float:
        return 1000 / tissue.relaxation(scene.tesla)[0]

    r1 = scan.sample(mixture(scene, rate), scene.affine) * per_matter(scene, scan)
    person = np.random.default_rng([scene.seed, 31])
    texture = smooth_noise(scene.wmh.shape, 4.0 / scene.affine[0, 0], person)
    signal = mixture(scene, size, texture)
    grey = TISSUES['gm']
    shorter = grey.relaxation(scene.tesla)[2] / grey.t2s
    for where, nucleus in scene.nuclei((slice(None),) * 3):
        extra = 1 / (nucleus.t2s * shorter) - 1 / (grey.t2s * shorter)
        signal[where] *= np.float32(np.exp(-protocol.te * extra))
    m0 = scan.sample(signal, scene.affine)
    del signal, texture
    affine = brain_part(scene)[1]
    cbf, product = (scan.sample(volume, affine) for volume in flow(scene))
    free = cover(
        (cbf, product, m0, r1),
        (
            lambda name: scene.value(name, 'cbf'),
            lambda name: scene.value(name, 'cbf') * scene.value(name, 'att'),
            lambda name: size(TISSUES[name]),
            lambda name: rate(TISSUES[name]),
        ),
        large(scene, scan),
    )
    att = np.divide(product, cbf, out=np.zeros_like(cbf), where=cbf > 1e-3)
    return Maps(cbf=cbf, att=att, m0=m0, r1=r1, free=free)


def clean_volume(here: Maps, protocol: Protocol, kind: str, delay: float, tesla: float):
    """Compute a volume without noise, coil, fluctuation or motion.

    Parameters
    ----------
    here : Maps
        Of the scan.
    protocol : Protocol
        The scan.
    kind : {'control', 'label', 'm0scan'}
        What it is.
    delay : float
        PLD or TI of the first slice, s.
    tesla : float
        Field strength.

    Returns
    -------
    ndarray, shape of the scan's grid
    """
    if kind == 'm0scan':
        return here.m0 * -np.expm1(-protocol.m0_tr * here.r1)
    since = _along_slices(protocol)
    signal = static(here.m0, here.r1, since, protocol)
    if kind == 'label':
        signal = signal - difference(here.cbf, here.att, here.m0, delay + since, protocol, tesla)
    return signal


def _along_slices(protocol: Protocol) -> np.ndarray:
    """Return the times of slices in the form in which they combine with images."""
    along = [-1 if axis == protocol.scan.array_axis else 1 for axis in range(3)]
    return protocol.slice_times().astype(np.float32).reshape(along)


def record(
    scene: Scene, protocol: Protocol, recorder: Recorder, noise_seed: int, *, measures: bool = True
) -> str:
    """Take the series and its M0, and write them and their truth.

    Parameters
    ----------
    scene : Scene
        The head.
    protocol : Protocol
        The scan; its pose is that of the scene and a little of its own.
    recorder : Recorder
        Where it goes.
    noise_seed : int
        Decides pose, motion, coil, fluctuation and noise.
    measures : bool
        Whether the visit's measures are those of this scan.

    Returns
    -------
    str
        BIDS URI of the series.
    """
    rng = np.random.default_rng([noise_seed, 29])
    protocol = replace(protocol, scan=scene.place(protocol.scan, rng))
    scan, affine = protocol.scan, protocol.scan.grid()[1]
    here = maps(scene, protocol)
    tissue = TISSUES['wm']
    unit = tissue.pd * np.exp(-protocol.te / tissue.relaxation(scene.tesla)[2])
    scale = coil(here.m0.shape, scan.bias, rng) / np.float32(unit)
    volumes = protocol.volumes
    path = motion.walk(len(volumes), protocol.motion, 0, rng)
    seen_in = motion.reach(here.m0)
    pattern = smooth_noise(here.m0.shape, 25 / max(scan.voxel), rng)

    def take(kind: str, delay: float, pose: np.ndarray) -> np.ndarray:
        clean = clean_volume(here, protocol, kind, delay, scene.tesla)
        if protocol.fluctuation:
            whole, local = protocol.fluctuation / np.sqrt(2) * rng.standard_normal(2)
            clean = clean * (1 + np.float32(whole) + np.float32(local) * pattern)
        seen = motion.moved(np.maximum(clean, 0), affine, pose, seen_in) * scale
        return np.round(WHITE * rician(seen, scan.noise, rng)).clip(0, 32000).astype(np.int16)

    series = np.empty((*here.m0.shape, len(volumes)), np.int16, order='F')
    for number, (kind, delay) in enumerate(volumes):
        series[..., number] = take(kind, delay, path[number])
    uri = recorder.raw(
        series,
        affine,
        'perf',
        'asl',
        sidecar(protocol, scene.tesla),
        entities=protocol.entities,
        step_s=protocol.tr,
    )
    named = compose({**recorder.entities, **protocol.entities}, 'aslcontext', '.tsv')
    write_table(
        recorder.out_dir / recorder.folder / 'perf' / named,
        [[kind] for kind, _ in volumes],
        ['volume_type'],
    )
    if protocol.m0 == 'Separate':
        fields = _m0_sidecar(protocol, scene.tesla, uri)
        recorder.raw(
            take('m0scan', 0.0, path[0]),
            affine,
            'perf',
            'm0scan',
            fields,
            entities=protocol.entities,
        )
    _truth(here, protocol, recorder, uri, path)
    if measures:
        _measures(scene, here, protocol, recorder)
    return uri


def sidecar(protocol: Protocol, tesla: float) -> dict[str, Any]:
    """Return the fields of the series' sidecar (BIDS; times in s)."""
    volumes = protocol.volumes
    delays, repetition = [delay for _, delay in volumes], [protocol.tr] * len(volumes)
    if protocol.m0 == 'Included':
        repetition[0] = protocol.m0_tr
    fields = _common(protocol, tesla) | {
        'ArterialSpinLabelingType': protocol.labelling,
        'PostLabelingDelay': _one_or_all(delays),
        'RepetitionTimePreparation': _one_or_all(repetition),
        'M0Type': protocol.m0,
        'TotalAcquiredPairs': protocol.pairs * len(protocol.delays),
        'BackgroundSuppression': protocol.suppression is not None,
        'VascularCrushing': False,
    }
    if protocol.labelling == 'PCASL':
        fields |= {'LabelingDuration': protocol.duration, 'PCASLType': 'balanced'}
        if protocol.m0 == 'Included':
            fields['LabelingDuration'] = [0.0, *[protocol.duration] * (len(volumes) - 1)]
    else:
        fields |= {
            'PASLType': 'FAIR',
            'BolusCutOffFlag': True,
            'BolusCutOffTechnique': 'QUIPSSII',
            'BolusCutOffDelayTime': protocol.duration,
        }
    if protocol.suppression is not None:
        fields['BackgroundSuppressionNumberPulses'] = protocol.pulses
    if protocol.efficiency is not None:
        fields['LabelingEfficiency'] = protocol.efficiency
    return fields | dict(protocol.fields)


def _one_or_all(values: list[float]) -> float | list[float]:
    """Return a list, or its only value."""
    return values[0] if len(set(values)) == 1 else values


def _common(protocol: Protocol, tesla: float) -> dict[str, Any]:
    scan = protocol.scan
    fields = common_fields(scan, tesla) | {
        'MRAcquisitionType': '2D' if protocol.slice_s else '3D',
        'PulseSequenceType': '2D EPI' if protocol.slice_s else '3D GRASE',
        'EchoTime': protocol.te / 1000,
        'FlipAngle': 90.0,
        'AcquisitionVoxelSize': list(scan.voxel),
    }
    if protocol.slice_s:
        fields['SliceTiming'] = [round(float(time), 6) for time in protocol.slice_times()]
        fields['SliceEncodingDirection'] = 'ijk'[scan.array_axis]
    return fields


def _m0_sidecar(protocol: Protocol, tesla: float, uri: str) -> dict[str, Any]:
    return _common(protocol, tesla) | {
        'RepetitionTimePreparation': protocol.m0_tr,
        'IntendedFor': [uri.replace('bids:raw:', 'bids::')],
        **protocol.fields,
    }


def _truth(here: Maps, protocol: Protocol, recorder: Recorder, uri: str, path) -> None:
    """Write maps and motion."""
    for suffix, image, units, text in (
        ('cbf', here.cbf, 'mL/100 g/min', 'Blood flow, mean over the voxel'),
        ('att', here.att, 's', 'Arrival time of blood, mean over the voxel weighted by flow'),
        ('M0map', here.m0, 'arbitrary', 'Signal of fully relaxed protons at the echo; 1: water'),
    ):
        fields = {'Units': units, 'Description': text}
        recorder.truth(
            image,
            protocol.scan.grid()[1],
            'perf',
            suffix,
            uri,
            fields,
            space='asl',
            **protocol.entities,
        )
    recorder.table(
        motion.rows(path), motion.COLUMNS, 'perf', 'timeseries', desc='motion', **protocol.entities
    )


def _measures(scene: Scene, here: Maps, protocol: Protocol, recorder: Recorder) -> None:
    where = rois.regions(scene, protocol.scan, here.free)
    on = 'on the grid of the ASL series'
    for name in ('gm', 'wm', 'nawm', 'wmh'):
        recorder.measure(
            f'cbf_{name}',
            rois.mean(here.cbf, where[name]),
            'mL/100 g/min',
            f'Mean blood flow over {rois.MEANING[name]}, {on}',
        )
    recorder.measure(
        'att_gm',
        rois.mean(here.att, where['gm']),
        's',
        f'Mean arrival time of blood over {rois.MEANING["gm"]}, {on}',
    )
    cortex = np.argwhere(where['gm'])
    to_head = np.linalg.inv(protocol.scan.pose) @ protocol.scan.grid()[1]
    supplied = territories(scene, cortex @ to_head[:3, :3].T + to_head[:3, 3])
    for artery in ('ACA', 'MCA', 'PCA'):
        value = rois.mean(here.cbf[where['gm']], supplied == artery)
        recorder.measure(
            f'cbf_{artery.lower()}',
            value,
            'mL/100 g/min',
            f'Mean blood flow over {rois.MEANING["gm"]}, in the territory of both {artery}, {on}',
        )
