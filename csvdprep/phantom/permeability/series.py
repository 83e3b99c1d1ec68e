"""T1 mapping by variable flip angles, and DCE-MRI: how contrast agent leaks into each tissue.

Both are spoiled gradient echoes of one steady state. What a voxel holds is averaged before the
signal is computed: rate of relaxation, plasma volume and permeability, so that the maps of the
truth are exactly those that the signal follows. T2* is the same with contrast agent, blood flows
in fully relaxed to its steady state, and all vessels carry the input function at the same time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from csvdprep.phantom.geometry.fields import resize, smooth_noise
from csvdprep.phantom.head.tissues import TISSUES, Tissue
from csvdprep.phantom.perfusion.blood_flow import flow
from csvdprep.phantom.permeability.bolus import frame_means
from csvdprep.phantom.permeability.contrast import (
    Maps,
    Protocol,
    drift_factors,
    flip_images,
    frame_images,
    spgr,
)
from csvdprep.phantom.permeability.inversions import (
    IR_SPGR,
    MP2RAGE,
    prepared_fields,
    prepared_images,
    uniform,
)
from csvdprep.phantom.scanner import motion, rois
from csvdprep.phantom.scanner.recorder import Recorder
from csvdprep.phantom.scanner.scan import Scan, coil, rician
from csvdprep.phantom.scanner.scene import Scene
from csvdprep.phantom.scanner.voxels import brain_part, cover, large, mixture, per_matter
from csvdprep.phantom.structural.images import common_fields

#: Value that white matter has in the stored images before contrast agent.
WHITE = 500
#: Relative standard deviation of v_p and PS within a tissue, and its scale in mm.
VARIATION, VARIATION_MM = 0.12, 8.0
#: Arrival of labelled blood in the large arteries, s: what arrival times of ASL begin from.
LARGE_ARTERIES_S = 0.8
#: Noise of the B1+ map, percent.
B1_NOISE = 0.5

#: Field of view that leaves out the neck, mm.
_SLAB = {'low': (-92, -122, -76), 'high': (92, 108, 90)}
PRESETS = {
    'tiny': Protocol(scan=Scan(voxel=(4, 4, 4), noise=0.01, **_SLAB), frames=20, frame_s=57.0),
    'demo': Protocol(
        scan=Scan(voxel=(2.5, 2.5, 4), noise=0.02, **_SLAB), frames=28, b1_spread=0.06, motion=0.3
    ),
    'fast': Protocol(
        scan=Scan(voxel=(3.5, 3.5, 4), noise=0.02, **_SLAB),
        frame_s=2.0,
        frames=400,
        baseline=20,
        b1_spread=0.06,
        delays=True,
    ),
    # At 7 T flip angles vary by more.
    'seven': Protocol(
        scan=Scan(voxel=(2, 2, 2.5), noise=0.015, **_SLAB), b1_spread=0.15, motion=0.3
    ),
    'full': Protocol(
        scan=Scan(voxel=(2, 2, 2.5), noise=0.02, **_SLAB), b1_spread=0.06, motion=0.3
    ),
}


def maps(scene: Scene, protocol: Protocol, rng: np.random.Generator) -> Maps:
    """Average what each voxel of a scan holds.

    Rates, permeability and plasma volume are means over what is not air. Large vessels are
    filled with blood whose plasma has the concentration of the input function.

    Parameters
    ----------
    scene : Scene
        The head.
    protocol : Protocol
        The scans; its ``scan`` has the pose.
    rng : numpy.random.Generator
        Decides the form of B1+.

    Returns
    -------
    Maps
    """
    scan = protocol.scan
    person = np.random.default_rng([scene.seed, 31])
    spacing = scene.affine[0, 0]

    def texture(millimetres: float) -> np.ndarray:
        return smooth_noise(scene.wmh.shape, millimetres / spacing, person)

    def size(tissue: Tissue) -> float:
        return tissue.pd * np.exp(-protocol.te / tissue.relaxation(scene.tesla)[2])

    def rate(tissue: Tissue) -> float:
        return 1000 / tissue.relaxation(scene.tesla)[0]

    def seen(volume: np.ndarray) -> np.ndarray:
        return scan.sample(volume, scene.affine)

    normal = per_matter(scene, scan)
    m0 = seen(mixture(scene, size, texture(4.0)))
    r1 = seen(mixture(scene, rate)) * normal
    varied = np.maximum(1 + np.float32(VARIATION) * texture(VARIATION_MM), np.float32(0.3))
    ps = seen(scene.property_map('ps') * varied) * normal
    vp = seen(scene.property_map('vp') * varied) * normal
    blood = {'vein', 'artery'}
    delay = _arrival(scene, scan)
    free = cover(
        (m0, r1, ps, vp, delay),
        (
            lambda name: size(TISSUES[name]),
            lambda name: rate(TISSUES[name]),
            lambda name: 0 if name in blood else scene.value(name, 'ps'),
            lambda name: 1 - protocol.haematocrit if name in blood else scene.value(name, 'vp'),
            lambda name: protocol.drain_s if name == 'vein' else 0.0,
        ),
        large(scene, scan),
    )
    b1 = transmit(m0.shape, protocol.b1_spread, rng)
    late = delay if protocol.delays else None
    return Maps(m0=m0, r1=r1, ps=ps, vp=vp, b1=b1, free=free, delay=late)


def _arrival(scene: Scene, scan: Scan) -> np.ndarray:
    """Average when blood arrives after it is in the large arteries, s, weighted by its flow."""
    _, affine = brain_part(scene)
    cbf, late = (scan.sample(volume, affine) for volume in flow(scene))
    there = cbf > 1
    delay = np.divide(late, cbf, out=np.zeros_like(cbf), where=there)
    return np.where(there, np.maximum(delay - np.float32(LARGE_ARTERIES_S), 0), 0)


def transmit(shape, spread: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the true flip angle relative to the nominal: high in the middle of the head, as at 3 T.

    Parameters
    ----------
    shape : tuple of int
        Grid of the image.
    spread : float
        Standard deviation.
    rng : numpy.random.Generator
        Source of its form.

    Returns
    -------
    ndarray of float32, shape ``shape``
    """
    small = (7, 7, 7)
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in small], indexing='ij')
    form = np.exp(-1.5 * sum(axis**2 for axis in axes)) + 0.15 * smooth_noise(small, 1.5, rng)
    form = (form - form.mean()) / form.std()
    return (1 + spread * resize(form, shape)).astype(np.float32)


def record(scene: Scene, protocol: Protocol, recorder: Recorder, noise_seed: int) -> str:
    """Take the T1 mapping and the dynamic series, and write them and their truth.

    Parameters
    ----------
    scene : Scene
        The head.
    protocol : Protocol
        The scans; their pose is that of the scene and a little of its own.
    recorder : Recorder
        Where they go.
    noise_seed : int
        Decides pose, motion, B1+, coil and noise.

    Returns
    -------
    str
        BIDS URI of the dynamic series.
    """
    rng = np.random.default_rng([noise_seed, 23])
    protocol = replace(protocol, scan=scene.place(protocol.scan, rng))
    scan, affine = protocol.scan, protocol.scan.grid()[1]
    here = maps(scene, protocol, rng)
    flips = len(protocol.flips)
    path = motion.walk(flips + protocol.frames, protocol.motion, flips, rng)
    scale = coil(here.m0.shape, scan.bias, rng) / np.float32(white_signal(scene, protocol))
    seen_in = motion.reach(here.m0)

    def take(clean: np.ndarray, pose: np.ndarray, factor: float = 1.0) -> np.ndarray:
        seen = motion.moved(clean, affine, pose, seen_in) * (scale * np.float32(factor))
        return np.round(WHITE * rician(seen, scan.noise, rng)).clip(0, 32000).astype(np.int16)

    targets = []
    flip_angles = flip_images(here, protocol) if protocol.mapping in ('vfa', 'hifi') else ()
    for number, clean in enumerate(flip_angles):
        targets.append(
            recorder.raw(
                take(clean, path[number]),
                affine,
                'anat',
                'VFA',
                _common(protocol, scene) | {'FlipAngle': protocol.flips[number]},
                entities={**protocol.entities, 'flip': str(number + 1)},
            )
        )
    targets += _inversions(scene, here, protocol, recorder, scale, rng)
    series = np.empty((*here.m0.shape, protocol.frames), np.int16, order='F')
    frames = zip(frame_images(here, protocol), path[flips:], drift_factors(protocol), strict=True)
    for number, (clean, pose, factor) in enumerate(frames):
        series[..., number] = take(clean, pose, factor)
    named = {**protocol.entities, 'ce': 'gadolinium'}
    uri = recorder.raw(
        series,
        affine,
        'perf',
        'dce',
        sidecar(protocol, scene),
        entities=named,
        step_s=protocol.frame_s,
    )
    if protocol.b1_spread and protocol.b1_map:
        measured = 100 * here.b1 + np.float32(B1_NOISE) * rng.standard_normal(
            here.b1.shape, dtype=np.float32
        )
        intended = [target.replace('bids:raw:', 'bids::') for target in (*targets, uri)]
        fields = common_fields(scan, scene.tesla) | {
            'Units': 'arbitrary',
            'IntendedFor': intended,
            'Description': 'True flip angle as percent of the nominal one',
        }
        recorder.raw(measured, affine, 'fmap', 'TB1map', fields, entities=protocol.entities)
    _truth_images(here, protocol, recorder, uri)
    _truth_tables(path, protocol, recorder)
    _measures(scene, here, protocol, recorder)
    return uri


def _inversions(scene, here: Maps, protocol: Protocol, recorder, scale, rng) -> list[str]:
    """Take what the mapping of T1 has after an inversion, of a head at rest."""
    if protocol.mapping in ('vfa', 'none'):
        return []
    affine, uris = protocol.scan.grid()[1], []
    common = _common(protocol, scene)

    def noisy(clean):
        noise = rng.standard_normal((2, *clean.shape), dtype=np.float32)
        return clean * scale + np.float32(protocol.scan.noise) * (noise[0] + 1j * noise[1])

    def stored(image):
        return np.round(WHITE * np.abs(image)).clip(0, 32000).astype(np.int16)

    def write(data, suffix, fields, **entities):
        own = {**protocol.entities, **entities}
        uris.append(recorder.raw(data, affine, 'anat', suffix, common | fields, entities=own))

    if protocol.mapping == 'hifi':
        for number, cycle in enumerate(IR_SPGR, start=1):
            (clean,) = prepared_images(here, cycle)
            fields = prepared_fields(cycle, 0)
            write(stored(noisy(clean)), 'IRT1', fields, inv=str(number))
        return uris
    images = [noisy(clean) for clean in prepared_images(here, MP2RAGE)]
    for number, image in enumerate(images):
        fields, named = prepared_fields(MP2RAGE, number), {'inv': str(number + 1)}
        write(stored(image), 'MP2RAGE', fields, **named, part='mag')
        if protocol.mapping == 'mp2rage-complex':
            phase = np.round(np.angle(image) / np.pi * 4095).astype(np.int16)
            write(phase, 'MP2RAGE', fields, **named, part='phase')
    if protocol.mapping == 'mp2rage':
        write(uniform(images), 'UNIT1', {})
    return uris


def white_signal(scene: Scene, protocol: Protocol) -> float:
    """Return the signal of white matter in the dynamic series before contrast agent."""
    t1, _, t2s = TISSUES['wm'].relaxation(scene.tesla)
    m0 = TISSUES['wm'].pd * np.exp(-protocol.te / t2s)
    return float(spgr(m0, 1000 / t1, protocol.tr, protocol.flip))


def sidecar(protocol: Protocol, scene: Scene) -> dict[str, Any]:
    """Return the fields of the dynamic series' sidecar (times in s)."""
    return _common(protocol, scene) | {
        'FlipAngle': protocol.flip,
        'VolumeTiming': [round(n * protocol.frame_s, 6) for n in range(protocol.frames)],
        'AcquisitionDuration': protocol.frame_s,
        'ContrastBolusIngredient': 'GADOLINIUM',
        'ContrastBolusDose': protocol.dose,
        'ContrastBolusDoseUnits': 'mmol/kg',
        'InjectionStart': protocol.injection_s,
        'Relaxivity': protocol.relaxivity,
        'RelaxivityUnits': 'L/mmol/s',
        'Hematocrit': protocol.haematocrit,
    }


def _common(protocol: Protocol, scene: Scene) -> dict[str, Any]:
    return common_fields(protocol.scan, scene.tesla) | {
        'PulseSequenceType': 'Spoiled gradient echo',
        'SpoilingState': True,
        'RepetitionTimeExcitation': protocol.tr / 1000,
        'EchoTime': protocol.te / 1000,
        **protocol.fields,
    }


def _truth_images(here: Maps, protocol: Protocol, recorder: Recorder, uri: str) -> None:
    affine = protocol.scan.grid()[1]
    t1 = np.divide(1, here.r1, out=np.zeros_like(here.r1), where=here.r1 > 0)
    entities = {**protocol.entities, 'space': 'dce'}
    for suffix, image, units, text, more in (
        ('T1map', t1, 's', 'T1 before contrast agent, 0 in air', {}),
        ('PSmap', here.ps, '1/min', 'Permeability surface area product', {'desc': 'patlak'}),
        ('vpmap', here.vp, '1', 'Volume fraction of plasma', {'desc': 'patlak'}),
        ('TB1map', here.b1, 'arbitrary', 'True flip angle relative to the nominal one', {}),
    ):
        fields = {'Units': units, 'Description': text}
        recorder.truth(image, affine, 'perf', suffix, uri, fields, **entities, **more)


def _truth_tables(path: np.ndarray, protocol: Protocol, recorder: Recorder) -> None:
    scans = [f'flip-{n + 1}_VFA' for n in range(len(protocol.flips))]
    scans += ['dce'] * protocol.frames
    numbers = [0] * len(protocol.flips) + list(range(protocol.frames))
    rows = [
        {**row, 'scan': scan, 'volume': number}
        for row, scan, number in zip(motion.rows(path), scans, numbers, strict=True)
    ]
    columns = {'scan': 'Image of which it is a volume', **motion.COLUMNS}
    named = {**protocol.entities, 'ce': 'gadolinium'}
    recorder.table(rows, columns, 'perf', 'timeseries', desc='motion', **named)
    means = zip(
        protocol.middles,
        drift_factors(protocol),
        *frame_means(protocol.plasma, protocol.frames, protocol.frame_s),
        strict=True,
    )
    rows = [
        {
            'time_s': float(at),
            'cp_mmol': float(cp),
            'cb_mmol': float(cp) * (1 - protocol.haematocrit),
            'integral_mmol_min': float(integral),
            'drift': float(factor),
        }
        for at, factor, cp, integral in means
    ]
    recorder.table(
        rows,
        {
            'time_s': 'Middle of the frame since the start of the series, s',
            'cp_mmol': 'Mean concentration in plasma during the frame, mmol/L',
            'cb_mmol': 'Mean concentration in whole blood during the frame, mmol/L',
            'integral_mmol_min': 'Mean over the frame of the integral of the concentration in '
            'plasma since the start, mmol/L min',
            'drift': 'Factor on the signal of the frame',
        },
        'perf',
        'timeseries',
        desc='vif',
        **named,
    )
    times = np.arange(0, protocol.frames * protocol.frame_s, 1.0)
    rows = [
        {'time_s': float(at), 'cp_mmol': float(cp)}
        for at, cp in zip(times, protocol.plasma(times), strict=True)
    ]
    recorder.table(
        rows,
        {
            'time_s': 'Time since the start of the series, s',
            'cp_mmol': 'Concentration in plasma at that time, mmol/L',
        },
        'perf',
        'timeseries',
        desc='bolus',
        **named,
    )


def _measures(scene: Scene, here: Maps, protocol: Protocol, recorder: Recorder) -> None:
    where = rois.regions(scene, protocol.scan, here.free)
    for name in ('nawm', 'wmh', 'dgm', 'cgm'):
        text = f'over {rois.MEANING[name]}, on the grid of the dynamic series'
        ps, vp = rois.mean(here.ps, where[name]), rois.mean(here.vp, where[name])
        recorder.measure(
            f'ps_{name}_1e4_permin',
            None if ps is None else ps * 1e4,
            '1e-4/min',
            f'Mean permeability surface area product {text}',
        )
        recorder.measure(
            f'vp_{name}_ml100ml',
            None if vp is None else vp * 100,
            'mL/100 mL',
            f'Mean volume of plasma {text}',
        )
    if here.delay is not None:
        _times(here, where, protocol, recorder)
    r1 = rois.mean(here.r1, where['nawm'])
    recorder.measure(
        't1_nawm_s',
        None if r1 is None else 1 / r1,
        's',
        f'T1 of the mean rate of relaxation over {rois.MEANING["nawm"]}, on the '
        'grid of the dynamic series',
    )
    recorder.measure(
        'ps_drift',
        protocol.drift,
        '%',
        'Linear change of the signal that was put '
        'in, from the start of the dynamic series to its end',
    )


def _times(here: Maps, where, protocol: Protocol, recorder: Recorder) -> None:
    """Tell the distribution of times to peak: curves are those of the arteries, only later."""
    for name in ('nawm', 'wmh'):
        values = here.delay[where[name]]
        text = f'over {rois.MEANING[name]}, on the grid of the dynamic series'
        width, skew = rois.spread(values)
        middle = float(np.median(values)) if len(values) else None
        recorder.measure(
            f'dce_tdc_{name}_median_s', middle, 's', f'Median time to peak after arteries {text}'
        )
        recorder.measure(
            f'dce_tdc_{name}_width_s', width, 's', f'Times to peak, 10th to 90th percentile {text}'
        )
        recorder.measure(f'dce_tdc_{name}_skew', skew, '1', f'Skew of times to peak {text}')
    recorder.measure(
        'dce_tdc_avtt_s', protocol.drain_s, 's', 'Time from the peak of arteries to that of veins'
    )
