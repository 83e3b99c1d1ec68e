"""DSC-MRI: what a bolus makes of the signal of each voxel, and the truth of it.

Blood flow, blood volume, delay and relaxation are averaged in each voxel before the signal is
computed, so that the maps of the truth are exactly those that the signal follows. Blood volume
over blood flow is the mean transit time. Arteries and veins add R2* in proportion to the share of
a voxel that they fill. Distortion of echo-planar images is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from csvdprep.phantom.bolus.passage import Passage, Protocol
from csvdprep.phantom.geometry.fields import smooth_noise
from csvdprep.phantom.head.tissues import TISSUES, Tissue
from csvdprep.phantom.perfusion.blood_flow import flow
from csvdprep.phantom.scanner import motion, rois
from csvdprep.phantom.scanner.recorder import Recorder
from csvdprep.phantom.scanner.scan import Scan, coil, rician
from csvdprep.phantom.scanner.scene import Scene
from csvdprep.phantom.scanner.voxels import brain_part, cover, large, mixture, per_matter
from csvdprep.phantom.structural.images import common_fields

#: Value that white matter has in the stored images before contrast agent.
WHITE = 1000
#: Mean transit time of tissues, s.
TRANSIT_S = {'gm': 4.2, 'wm': 5.4, 'wmh': 7.0, 'gliosis': 8.0, 'infarct': 9.0}
#: Arrival of labelled blood (ASL) at which a bolus would be in the large arteries, s.
LARGE_ARTERIES_S = 0.8
#: Share of the fat's signal that fat suppression leaves.
FAT_LEFT = 0.1
#: Field of view that leaves out the neck, mm.
_SLAB = {'low': (-92, -122, -76), 'high': (92, 108, 90)}
PRESETS = {
    'tiny': Protocol(scan=Scan(voxel=(3.5, 3.5, 5), noise=0.01, **_SLAB), slice_s=0.04),
    'demo': Protocol(
        scan=Scan(voxel=(2.5, 2.5, 5), noise=0.015, **_SLAB), slice_s=0.04, motion=0.3
    ),
    'full': Protocol(
        scan=Scan(voxel=(2, 2, 4), noise=0.02, **_SLAB), frames=60, slice_s=0.035, motion=0.3
    ),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Maps:
    """What the voxels of a scan hold; arrays of its shape.

    Attributes
    ----------
    m0 : ndarray of float32
        Signal of fully relaxed protons at the echo before contrast agent.
    r1 : ndarray of float32
        Rate of longitudinal relaxation, 1/s.
    cbf, cbv : ndarray of float32
        Blood flow, mL/100 mL/min, and blood volume, mL/100 mL, of tissue.
    delay : ndarray of float32
        Arrival after that in the large arteries, s.
    ps : ndarray of float32
        Permeability surface area product, 1/min.
    artery, vein : ndarray of float32
        Share of each voxel.
    free : ndarray of float32
        Share that lacunes, infarcts and large vessels leave.
    """

    m0: np.ndarray
    r1: np.ndarray
    cbf: np.ndarray
    cbv: np.ndarray
    delay: np.ndarray
    ps: np.ndarray
    artery: np.ndarray
    vein: np.ndarray
    free: np.ndarray

    @property
    def transit(self) -> np.ndarray:
        """Mean transit time, s; 0 where nothing flows."""
        return 60 * np.divide(self.cbv, self.cbf, out=np.zeros_like(self.cbv), where=self.cbf > 1)


def maps(scene: Scene, protocol: Protocol) -> Maps:
    """Average what each voxel of a scan holds.

    Parameters
    ----------
    scene : Scene
        The head; its factor ``transit`` lengthens all transit times.
    protocol : Protocol
        The scan; its ``scan`` has the pose.

    Returns
    -------
    Maps
    """
    scan = protocol.scan
    box, affine = brain_part(scene)
    person = np.random.default_rng([scene.seed, 43])
    spacing = scene.affine[0, 0]

    def size(tissue: Tissue) -> float:
        decay = np.exp(-protocol.te / tissue.relaxation(scene.tesla)[2])
        return tissue.pd * decay * (1 - tissue.fat * (1 - FAT_LEFT))

    def rate(tissue: Tissue) -> float:
        return 1000 / tissue.relaxation(scene.tesla)[0]

    normal = per_matter(scene, scan)
    texture = smooth_noise(scene.wmh.shape, 4.0 / spacing, person)
    m0 = scan.sample(mixture(scene, size, texture), scene.affine)
    r1 = scan.sample(mixture(scene, rate), scene.affine) * normal
    ps = scan.sample(scene.property_map('ps'), scene.affine) * normal
    head, product = flow(scene)
    transit = _transit(scene, box) * np.float32(scene.factors.get('transit', 1.0))
    cbf, late, cbv = (
        scan.sample(volume, affine) for volume in (head, product, head * transit / 60)
    )
    there = cbf > 1
    delay = np.divide(late, cbf, out=np.zeros_like(cbf), where=there)
    delay = np.where(there, np.maximum(delay - np.float32(LARGE_ARTERIES_S), 0), 0)
    shares = large(scene, scan)
    blood = {
        kind: sum((share for name, share in shares if name == kind), np.zeros_like(cbf))
        for kind in ('artery', 'vein')
    }
    own = {name: TISSUES[name] for name, _ in shares}
    free = cover(
        (m0, r1, cbf, cbv, ps),
        (
            lambda name: size(own[name]),
            lambda name: rate(own[name]),
            lambda name: scene.value(name, 'cbf'),
            lambda name: scene.value(name, 'cbf') * TRANSIT_S.get(name, 0.0) / 60,
            lambda name: 0 if name in blood else scene.value(name, 'ps'),
        ),
        shares,
    )
    artery, vein = (np.clip(blood[kind], 0, 1) for kind in ('artery', 'vein'))
    return Maps(
        m0=m0, r1=r1, cbf=cbf, cbv=cbv, delay=delay, ps=ps, artery=artery, vein=vein, free=free
    )


def _transit(scene: Scene, box) -> np.ndarray:
    """Return the mean transit time of each voxel of the brain, weighted by flow, s."""
    product, total = np.float32(0), np.float32(1e-6)
    for tissue, share in scene.shares():
        flows = share[box] * np.float32(TISSUES[tissue].cbf)
        product = product + flows * np.float32(TRANSIT_S.get(tissue, 0.0))
        total = total + flows
    return product / total


def clean_volume(here: Maps, protocol: Protocol, number: int) -> np.ndarray:
    """Give a volume of the series, without noise or coil.

    The spoiled steady state with the R1 of what has leaked, times the decay of the added R2*.
    """
    passage = protocol.passage
    along = [-1 if axis == protocol.scan.array_axis else 1 for axis in range(3)]
    at = number * protocol.tr + protocol.slice_times().reshape(along) - protocol.arrival_s
    at = np.broadcast_to(at, here.m0.shape)
    transit = here.transit
    held = here.cbf / 6000 * passage.tissue(transit, at - here.delay)
    held *= (at > here.delay) & (transit > 0)
    leaked = (
        here.ps * protocol.leak / 60 * np.interp(at - here.delay, passage.times, passage.integral)
    )
    added = protocol.tissue_r2s * held
    added = added + here.artery * protocol.blood_r2s * _blood(passage, at, passage.blood)
    drained = passage.washed(protocol.drain_s) / protocol.drain_s
    added = added + here.vein * protocol.blood_r2s * _blood(
        passage, at - protocol.drain_delay_s, drained
    )
    left = np.exp(-protocol.tr * (here.r1 + protocol.relaxivity * leaked))
    angle = np.deg2rad(protocol.flip)
    steady = np.sin(angle) * (1 - left) / (1 - left * np.cos(angle))
    return (here.m0 * steady * np.exp(-protocol.te / 1000 * added)).astype(np.float32)


def _blood(passage: Passage, at: np.ndarray, curve: np.ndarray) -> np.ndarray:
    return np.interp(at, passage.times, curve, left=0.0)


def record(scene: Scene, protocol: Protocol, recorder: Recorder, noise_seed: int) -> str:
    """Take the series, and write it and its truth.

    Parameters
    ----------
    scene : Scene
        The head.
    protocol : Protocol
        The scan; its pose is that of the scene and a little of its own.
    recorder : Recorder
        Where it goes.
    noise_seed : int
        Decides pose, motion, coil and noise.

    Returns
    -------
    str
        BIDS URI of the series.
    """
    rng = np.random.default_rng([noise_seed, 41])
    protocol = replace(protocol, scan=scene.place(protocol.scan, rng))
    scan, affine = protocol.scan, protocol.scan.grid()[1]
    here = maps(scene, protocol)
    t1, _, t2s = TISSUES['wm'].relaxation(scene.tesla)
    left, angle = np.exp(-1000 * protocol.tr / t1), np.deg2rad(protocol.flip)
    unit = TISSUES['wm'].pd * np.exp(-protocol.te / t2s) * np.sin(angle)
    unit *= (1 - left) / (1 - left * np.cos(angle))
    scale = coil(here.m0.shape, scan.bias, rng) / np.float32(unit)
    path = motion.walk(protocol.frames, protocol.motion, 0, rng)
    seen_in = motion.reach(here.m0)
    series = np.empty((*here.m0.shape, protocol.frames), np.int16, order='F')
    for number in range(protocol.frames):
        clean = clean_volume(here, protocol, number)
        seen = motion.moved(clean, affine, path[number], seen_in) * scale
        noisy = np.round(WHITE * rician(seen, scan.noise, rng))
        series[..., number] = noisy.clip(0, 32000).astype(np.int16)
    uri = recorder.raw(
        series,
        affine,
        'perf',
        'dsc',
        sidecar(protocol, scene),
        entities={**protocol.entities, 'ce': 'gadolinium'},
        step_s=protocol.tr,
    )
    _truth(here, protocol, recorder, uri, path)
    _measures(scene, here, protocol, recorder)
    return uri


def sidecar(protocol: Protocol, scene: Scene) -> dict[str, Any]:
    """Return the fields of the series' sidecar (times in s)."""
    fields = common_fields(protocol.scan, scene.tesla) | {
        'MRAcquisitionType': '2D' if protocol.slice_s else '3D',
        'PulseSequenceType': 'Gradient echo EPI',
        'RepetitionTime': protocol.tr,
        'EchoTime': protocol.te / 1000,
        'FlipAngle': protocol.flip,
        'ContrastBolusIngredient': 'GADOLINIUM',
        'ContrastBolusDose': 0.1,
        'ContrastBolusDoseUnits': 'mmol/kg',
    }
    if protocol.slice_s:
        fields['SliceTiming'] = [round(float(time), 6) for time in protocol.slice_times()]
        fields['SliceEncodingDirection'] = 'ijk'[protocol.scan.array_axis]
    return fields | dict(protocol.fields)


def times_to_peak(here: Maps, protocol: Protocol) -> np.ndarray:
    """Return the time to the peak of each voxel's tissue after that of the large arteries, s."""
    passage = protocol.passage
    peak = here.delay + passage.peak_s(here.transit) - passage.artery_peak_s
    return np.where(here.transit > 0, peak, 0).astype(np.float32)


def _truth(here: Maps, protocol: Protocol, recorder: Recorder, uri: str, path) -> None:
    affine = protocol.scan.grid()[1]
    for suffix, image, units, text in (
        ('cbv', here.cbv, 'mL/100 mL', 'Blood volume of tissue'),
        ('cbf', here.cbf, 'mL/100 mL/min', 'Blood flow of tissue'),
        ('mtt', here.transit, 's', 'Mean transit time'),
        ('tmax', here.delay, 's', 'Arrival after that in the large arteries'),
        ('ttp', times_to_peak(here, protocol), 's', 'Time to peak after that of the arteries'),
        ('artery', here.artery, '1', 'Share that is large artery'),
        ('vein', here.vein, '1', 'Share that is vein'),
    ):
        recorder.truth(
            image,
            affine,
            'perf',
            f'{suffix}map' if suffix != 'cbf' else suffix,
            uri,
            {'Units': units, 'Description': text},
            space='dsc',
            **protocol.entities,
        )
    named = {**protocol.entities, 'ce': 'gadolinium'}
    recorder.table(
        motion.rows(path), motion.COLUMNS, 'perf', 'timeseries', desc='dscmotion', **named
    )
    times = np.arange(protocol.frames) * protocol.tr
    rows = [
        {'time_s': float(at), 'cb_mmol': float(value)}
        for at, value in zip(
            times,
            _blood(protocol.passage, times - protocol.arrival_s, protocol.passage.blood),
            strict=True,
        )
    ]
    columns = {
        'time_s': 'Time since the start of the series, s',
        'cb_mmol': 'Concentration in the blood of the large arteries at that time, mmol/L',
    }
    recorder.table(rows, columns, 'perf', 'timeseries', desc='aif', **named)


def _measures(scene: Scene, here: Maps, protocol: Protocol, recorder: Recorder) -> None:
    where = rois.regions(scene, protocol.scan, here.free)
    ttp = times_to_peak(here, protocol)
    base = {name: rois.mean(getattr(here, name), where['nawm']) for name in ('cbv', 'cbf')}
    for region in ('nawm', 'wmh', 'dgm', 'cgm'):
        on = f'over {rois.MEANING[region]}, on the grid of the DSC series'
        means = {name: rois.mean(getattr(here, name), where[region]) for name in ('cbv', 'cbf')}
        for name, text in (('cbv', 'blood volume'), ('cbf', 'blood flow')):
            if region == 'nawm':
                continue
            ratio = means[name] / base[name] if means[name] and base[name] else None
            recorder.measure(
                f'dsc_{name}_{region}_to_nawm',
                ratio,
                '1',
                f'Mean {text} {on}, relative to that of normal-appearing white matter',
            )
        transit = 60 * means['cbv'] / means['cbf'] if means['cbf'] else None
        recorder.measure(f'dsc_mtt_{region}_s', transit, 's', f'Blood volume over flow {on}')
        recorder.measure(
            f'dsc_tmax_{region}_s',
            rois.mean(here.delay, where[region]),
            's',
            f'Mean arrival after the large arteries {on}',
        )
    for region in ('wm', 'nawm', 'wmh'):
        values = ttp[where[region]]
        recorder.measure(
            f'tdc_{region}_median_s',
            float(np.median(values)) if len(values) else None,
            's',
            f'Median time to peak after the large arteries over {rois.MEANING[region]}',
        )
        spread = rois.spread(values)
        recorder.measure(
            f'tdc_{region}_width_s',
            spread[0],
            's',
            f'Times to peak over {rois.MEANING[region]}, 10th to 90th percentile',
        )
        recorder.measure(
            f'tdc_{region}_skew',
            spread[1],
            '1',
            f'Skew of times to peak over {rois.MEANING[region]}, by percentiles 10, 50 and 90',
        )
    passage = protocol.passage
    drained = passage.times[np.argmax(passage.washed(protocol.drain_s))] + protocol.drain_delay_s
    recorder.measure(
        'tdc_avtt_s',
        float(drained - passage.artery_peak_s),
        's',
        'Time from the peak in the large arteries to that in the sagittal sinus',
    )
