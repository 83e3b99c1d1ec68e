"""The truth of a diffusion scan: maps on its undistorted grid, and the measures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from csvdprep.phantom.diffusion import tensors
from csvdprep.phantom.diffusion.alps import note_alps
from csvdprep.phantom.diffusion.gradients import GradientTable
from csvdprep.phantom.diffusion.protocols import Protocol
from csvdprep.phantom.diffusion.skeleton import skeleton
from csvdprep.phantom.diffusion.water import FREE_MD, Water, signal
from csvdprep.phantom.head.tissues import TISSUES
from csvdprep.phantom.scanner import rois
from csvdprep.phantom.scanner.lists import record_shapes
from csvdprep.phantom.scanner.recorder import Recorder
from csvdprep.phantom.scanner.scan import Scan
from csvdprep.phantom.scanner.scene import Scene
from csvdprep.phantom.scanner.voxels import large

#: b-value of the shell of a tensor fit, s/mm²; the nearest stands for it.
TENSOR_B = 1000.0
#: Range of the mean diffusivity on the skeleton, mm²/s.
SKELETON_MD = (0.0, 3.0e-3)
#: Distance from hyperintensities beyond which white matter counts as normal-appearing, mm.
NORMAL_MM = 2.0
#: Share of fluid, cavities and vessels up to which a voxel counts as hyperintense tissue.
FLUID = 0.05
#: Least number of voxels of a ring around hyperintensities, and of rings of a slope.
RING_VOXELS, RINGS = 50, 4
#: What the maps are.
APPARENT = 'of the tensor that a weighted least-squares fit of this scan without noise gives'
MAPS = {
    'fa': f'Fractional anisotropy {APPARENT}',
    'md': f'Mean diffusivity {APPARENT}',
    'ad': f'Largest eigenvalue {APPARENT}',
    'rd': f'Mean of the two smaller eigenvalues {APPARENT}',
    'tissuefa': 'Fractional anisotropy of the water in tissue, weighted by signal',
    'tissuemd': 'Mean diffusivity of the water in tissue, weighted by signal',
    'fw': 'Share of free water in the signal at b = 0',
}


@dataclass(frozen=True, eq=False)
class Seen:
    """What lies in the voxels of a scan.

    Attributes
    ----------
    water : Water
        Its water.
    distance : ndarray
        From hyperintensities, mm.
    field_hz : ndarray or None
        Field, Hz.
    """

    water: Water
    distance: np.ndarray
    field_hz: np.ndarray | None


def record_truth(
    scene: Scene, protocol: Protocol, seen: Seen, recorder: Recorder, uri: str
) -> None:
    """Write the maps and note the measures.

    Parameters
    ----------
    scene : Scene
        The head.
    protocol : Protocol
        The scan, with the pose at the first volume.
    seen : Seen
        What it shows.
    recorder : Recorder
        Where it goes.
    uri : str
        BIDS URI of the series.
    """
    scan, table = protocol.scan, protocol.table
    affine = scan.grid()[1]
    inside = scan.sample(scene.anatomy.intracranial, scene.affine) >= 0.5
    inside &= seen.water.tissue + seen.water.free > 1e-3
    recorder.truth(
        inside.astype(np.uint8),
        affine,
        'dwi',
        'mask',
        uri,
        {'Type': 'Brain'},
        space='dwi',
        desc='brain',
    )
    parts = apparent(seen.water, inside, table, scan)
    maps = _maps(seen.water, inside, parts)
    for name, volume in maps.items():
        units = {'Units': 'mm^2/s'} if name in ('md', 'ad', 'rd', 'tissuemd') else {}
        recorder.truth(
            volume,
            affine,
            'dwi',
            'dwimap',
            uri,
            {'Description': MAPS[name], **units},
            space='dwi',
            model='tensor',
            param=name,
        )
    if seen.field_hz is not None:
        # An eighth of a hertz is far below what any scanner shows, and compresses.
        hertz = np.round(seen.field_hz * 8).astype(np.float32) / 8
        recorder.truth(
            hertz,
            affine,
            'fmap',
            'fieldmap',
            uri,
            {'Units': 'Hz', 'Description': 'Field off resonance at the first volume'},
            space='dwi',
            desc='truth',
        )
    free = np.float32(1)
    for _, share in large(scene, scan):
        free = free * (1 - share)
    regions = rois.regions(scene, scan, free)
    fluid = scan.sample(scene.anatomy.fractions['csf'], scene.affine) * free + (1 - free)
    _note_means(maps, regions, seen.distance, fluid <= FLUID, recorder)
    _note_skeleton(scene, scan, maps['md'], inside, recorder)
    wmh = scan.sample(scene.wmh, scene.affine)[inside]
    note_alps(scene, scan, parts, inside, wmh, recorder)
    _note_penumbra(maps['md'], seen.distance, regions['nawm'], scene.wmh.any(), recorder)
    _note_infarcts(scene, protocol, uri, recorder)


def apparent(water: Water, where: np.ndarray, table: GradientTable, scan: Scan) -> np.ndarray:
    """Fit one tensor to the signals without noise.

    Parameters
    ----------
    water : Water
        What lies in the voxels of the scan.
    where : ndarray of bool
        Voxels with n of them chosen.
    table : GradientTable
        Weighting; of it, the shell nearest 1000 s/mm².
    scan : Scan
        With the pose.

    Returns
    -------
    ndarray, shape (6, n)
        Tensors in the axes of the head, mm²/s.
    """
    chosen = water.at(where)
    turn = scan.pose[:3, :3].T

    def volume(number: int) -> np.ndarray:
        return chosen.along(turn @ table.directions[number]).signal(table.bvals[number])

    return tensors.fit(volume, table, table.nearest(TENSOR_B), turn)


def _maps(water: Water, inside: np.ndarray, parts: np.ndarray) -> dict[str, np.ndarray]:
    """Return the maps of :data:`MAPS`."""
    values = tensors.scalars(parts)
    own = tensors.scalars(water.tensors(inside))
    amount = water.tissue[inside] + water.free[inside]
    share = water.free[inside] / amount
    fluid = share > 0.999
    values |= {
        'tissuefa': np.where(fluid, 0, own['fa']),
        'tissuemd': np.where(fluid, 0, own['md']),
        'fw': share,
    }
    out = {}
    for name in MAPS:
        out[name] = np.zeros(inside.shape, np.float32)
        out[name][inside] = values[name]
    return out


def _note_means(maps, regions, distance, dry, recorder: Recorder) -> None:
    """Note the means over white matter."""
    away = {'nawm': distance > NORMAL_MM, 'wmh': dry}
    also = {
        'nawm': f', more than {NORMAL_MM:g} mm from hyperintensities',
        'wmh': f', and at most {100 * FLUID:g} % fluid, cavities and vessels',
    }
    for name, key, factor, units in (('fa', 'fa', 1, ''), ('md', 'md', 1e3, '10^-3 mm^2/s')):
        for region in ('nawm', 'wmh'):
            value = rois.mean(maps[key] * np.float32(factor), regions[region] & away[region])
            recorder.measure(
                f'{name}_{region}',
                value,
                units,
                f'Mean over {rois.MEANING[region]}{also[region]}: {MAPS[key]}',
            )
    recorder.measure(
        'fw_wm',
        rois.mean(maps['fw'], regions['wm']),
        '',
        f'Mean over {rois.MEANING["wm"]}: {MAPS["fw"]}',
    )


def _note_skeleton(scene: Scene, scan: Scan, md, inside, recorder: Recorder) -> None:
    """Note the width of the distribution of MD on the skeleton, and its mean."""
    head = scene.anatomy.to_head(skeleton())
    index = np.rint(_apply(np.linalg.inv(scan.grid()[1]) @ scan.pose, head)).astype(int)
    held = ((index >= 0) & (index < md.shape)).all(axis=1)
    index = tuple(index[held].T)
    values = md[index][inside[index]]
    values = values[(values > SKELETON_MD[0]) & (values < SKELETON_MD[1])]
    where = (
        'on the skeleton of the phantom: ridges of FA in the template (non-maximum '
        'suppression at 2 mm, FA above 0.3, 3 mm from fluid, no cerebellum, brainstem, '
        'fornix), each point carried to the nearest voxel of the scan'
    )
    low, high = np.percentile(values, [5, 95])
    recorder.measure(
        'psmd_1e4',
        float(high - low) * 1e4,
        '10^-4 mm^2/s',
        f'95th minus 5th percentile of the apparent mean diffusivity {where}',
    )
    recorder.measure(
        'msmd_1e3',
        float(values.mean()) * 1e3,
        '10^-3 mm^2/s',
        f'Mean of the apparent mean diffusivity {where}',
    )


def _note_penumbra(md, distance, where, any_wmh: bool, recorder: Recorder) -> None:
    """Note how MD falls with the distance from hyperintensities."""
    slope, delta = penumbra(md[where], distance[where]) if any_wmh else (None, None)
    about = (
        'medians of the apparent mean diffusivity in rings of 1 mm around true '
        f'hyperintensities, within {rois.MEANING["nawm"]}; at least {RING_VOXELS} voxels '
        'a ring'
    )
    recorder.measure(
        'pen_slope_md', slope, '10^-3 mm^2/s per mm', f'Slope from 1 to 8 mm of {about}'
    )
    recorder.measure(
        'pen_delta_md',
        delta,
        '10^-3 mm^2/s',
        f'Ring of 1 to 2 mm minus what lies 15 to 20 mm away, {about}',
    )


def penumbra(md: np.ndarray, distance: np.ndarray) -> tuple[float | None, float | None]:
    """Compute slope and height of the profile of MD around hyperintensities.

    Parameters
    ----------
    md : ndarray, shape (n,)
        mm²/s.
    distance : ndarray, shape (n,)
        mm.

    Returns
    -------
    slope : float or None
        10^-3 mm²/s per mm, over rings of 1 mm from 1 to 8 mm.
    delta : float or None
        10^-3 mm²/s, ring of 1 to 2 mm minus median of 15 to 20 mm.

    Examples
    --------
    >>> away = np.linspace(0, 20, 20001)
    >>> slope, delta = penumbra(tensors.penumbra_case(away), away)
    >>> round(slope, 4), round(delta, 3)
    (-0.0262, 0.202)
    """
    rings = {}
    for ring in range(1, 8):
        chosen = md[(distance >= ring) & (distance < ring + 1)]
        if len(chosen) >= RING_VOXELS:
            rings[ring] = float(np.median(chosen)) * 1e3
    far = md[(distance >= 15) & (distance < 20)]
    slope = None
    if len(rings) >= RINGS:
        slope = float(np.polyfit(np.array(list(rings)) + 0.5, list(rings.values()), 1)[0])
    if 1 not in rings or len(far) < RING_VOXELS:
        return slope, None
    return slope, rings[1] - float(np.median(far)) * 1e3


def _note_infarcts(scene: Scene, protocol: Protocol, uri: str, recorder: Recorder) -> None:
    """Note recent small subcortical infarcts and write where they are."""
    found = [f for f in scene.features if f.kind == 'RSSI']
    recorder.measure('rssi_n', len(found), '', 'Number of recent small subcortical infarcts')
    recorder.measure(
        'rssi_volume_ml',
        sum(f.volume_mm3 for f in found) / 1000,
        'mL',
        'Volume of recent small subcortical infarcts',
    )
    recorder.measure(
        'rssi_max_diam_mm',
        max((f.diameter_mm for f in found), default=0),
        'mm',
        'Longest diameter of the largest of them; 0 for none',
    )
    bright = _weighted('infarct', protocol, scene) / _weighted('wm', protocol, scene) - 1
    record_shapes(scene, protocol.scan, 'dwi', uri, recorder, 'RSSI', 'dwi', {'infarct': bright})


def _weighted(name: str, protocol: Protocol, scene: Scene) -> float:
    """Return the signal of a tissue at the largest b-value, along no direction in particular."""
    tissue, bval = TISSUES[name], float(protocol.table.bvals.max())
    free = tissue.free_water
    decay = (1 - free) * np.exp(-bval * tissue.md) + free * np.exp(-bval * FREE_MD)
    return signal(name, scene.tesla, protocol.te, protocol.tr) * float(decay)


def _apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]
