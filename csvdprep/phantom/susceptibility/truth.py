"""Truth of the gradient echoes: susceptibility, field, R2*, veins and microbleeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from csvdprep.phantom.geometry.features import Feature, Tube
from csvdprep.phantom.head.anatomy import structure_names
from csvdprep.phantom.head.tissues import TISSUES
from csvdprep.phantom.scanner.recorder import Recorder
from csvdprep.phantom.scanner.scene import Scene
from csvdprep.phantom.scanner.spoiled import decay_map
from csvdprep.phantom.susceptibility.field import SPHERES, Magnetism
from csvdprep.phantom.susceptibility.intravoxel import HOLDS

#: Nuclei by the name that columns have.
NUCLEI = {
    'caudate': 'caudate nucleus',
    'putamen': 'putamen',
    'gp': 'pallidum',
    'thalamus': 'thalamus',
    'sn': 'substantia nigra',
    'rn': 'red nucleus',
}
COLUMNS = {
    'index': 'Number of the lesion; for microbleeds the same in each visit as in the scene',
    'x': 'Position of its centre in the scanner (frame of the image), mm, towards the right',
    'y': 'As x, towards the front',
    'z': 'As x, towards the head',
    'diameter_mm': 'Physical diameter, without blooming, mm',
    'volume_mm3': 'Physical volume, mm³',
    'chi_ppm': 'Susceptibility relative to water, ppm',
    'region': 'MARS category of microbleeds (lobar, deep, infratentorial), or place',
    'kind': 'CMB, calcification (mimic of opposite sign), or vein-mimic (middle of a thin vein)',
    'new': '1 of a lesion that was not there at the first visit, else 0',
}
#: Vessels that look like microbleeds where they cross a slice.
MIMICS = ('cortical vein', 'medullary vein')
SIGN = (
    'Right-handed: the phase of the images grows with time by 2 pi times this field, so that '
    'paramagnetic veins along B0 have positive phase.'
)


def record(scene: Scene, magnet: Magnetism, recorder: Recorder, space: str, source: str) -> None:
    """Write the truth of a scan.

    Parameters
    ----------
    scene : Scene
        The head.
    magnet : Magnetism
        Its field in the scan.
    recorder : Recorder
        Takes it.
    space : str
        Suffix of the images: 'MEGRE' or 'T2starw'.
    source : str
        BIDS URI of the image on whose grid the truth is.
    """
    affine = magnet.scan.grid()[1]
    within = magnet.scan.sample(scene.anatomy.intracranial, scene.affine)
    rate = _rate_map(scene, magnet)
    rate[within < 0.5] = 0
    chi = magnet.chi
    _maps(scene, magnet, recorder, space, source, rate, within)
    rows = lesions(scene, magnet)
    recorder.table(
        rows, COLUMNS, 'anat', 'lesions', {'Sources': [source]}, space=space, label='CMB'
    )
    mask = bleed_mask(scene, magnet)
    recorder.truth(
        mask,
        affine,
        'anat',
        'mask',
        source,
        {
            'Type': 'Lesion',
            'Description': 'Microbleeds in their physical size: voxels at least '
            'half of which they fill, and the voxel that holds the centre of smaller ones',
        },
        space=space,
        label='CMB',
    )
    _regional(scene, magnet, recorder, chi, rate)
    _counts(recorder, [row for row in rows if row['kind'] == 'CMB'])


def _maps(scene, magnet, recorder, space, source, rate, within) -> None:
    affine = magnet.scan.grid()[1]
    recorder.truth(
        _steps(magnet.chi, 2**13),
        affine,
        'anat',
        'Chimap',
        source,
        {
            'Units': 'ppm',
            'SkullStripped': True,
            'Description': 'Susceptibility relative to water of brain, fluid, blood and lesions, '
            'mean over the voxel; 0 beyond the skull',
        },
        space=space,
    )
    recorder.truth(
        _steps(rate, 2**3),
        affine,
        'anat',
        'R2starmap',
        source,
        {
            'Units': '1/s',
            'SkullStripped': True,
            'Description': 'R2*, mean over what the voxel holds; 0 outside of the skull. '
            'Dephasing by the field within the voxel is not part of it',
        },
        space=space,
    )
    mean = {
        'local': ('brain, fluid, blood and lesions alone', magnet.local),
        'total': ('the whole head after the shim', magnet.total),
    }
    for name, (what, data) in mean.items():
        hertz = magnet.mean_field(data)
        hertz[within < 0.05] = 0
        recorder.truth(
            _steps(hertz, 2**4),
            affine,
            'fmap',
            'fieldmap',
            source,
            {
                'Units': 'Hz',
                'Description': f'Field of {what}, mean over the voxel; 0 outside of '
                f'the skull. {SIGN}',
            },
            space=space,
            desc=name,
        )
    vein = np.zeros(magnet.chi.shape, np.uint8)
    share = magnet.inside.shares[HOLDS.index('vein')]
    vein.reshape(-1)[magnet.inside.voxels] = share >= 0.5
    recorder.truth(
        vein,
        affine,
        'anat',
        'mask',
        source,
        {'Type': 'ROI', 'Description': 'Voxels at least half of which are venous blood'},
        space=space,
        label='vein',
    )


def _steps(data: np.ndarray, per_unit: int) -> np.ndarray:
    """Round to a power of two, which compresses well."""
    return np.round(data * per_unit).astype(np.float32) / np.float32(per_unit)


def _rate_map(scene: Scene, magnet: Magnetism) -> np.ndarray:
    """Return R2* on the scan's grid, small things included, 1/s."""
    rate = magnet.scan.sample(decay_map(scene), scene.affine)
    flat = rate.reshape(-1)
    for tissue, (at, share) in magnet.small.items():
        own = np.float32(1000 / TISSUES[tissue].relaxation(scene.tesla)[2])
        flat[at] += share * (own - flat[at])
    for tissue, share in zip(HOLDS, magnet.inside.shares, strict=True):
        own = np.float32(1000 / TISSUES[tissue].relaxation(scene.tesla)[2])
        flat[magnet.inside.voxels] += share * (own - flat[magnet.inside.voxels])
    return rate


def lesions(scene: Scene, magnet: Magnetism) -> list[dict]:
    """List microbleeds, calcifications and thin veins: a row of :data:`COLUMNS` each."""
    kinds = {'haemosiderin': 'CMB', 'calcium': 'calcification'}
    rows = []
    for tissue in SPHERES:
        for feature in _of(scene, tissue):
            chi = feature.facts.get('chi', TISSUES[tissue].chi)
            rows.append(_row(len(rows) + 1, feature, chi, kinds[tissue], magnet))
    for feature in _of(scene, 'vein'):
        if isinstance(feature, Tube) and feature.kind in MIMICS:
            rows.append(_row(len(rows) + 1, feature, TISSUES['vein'].chi, 'vein-mimic', magnet))
    return rows


def _row(index: int, feature: Feature, chi: float, kind: str, magnet: Magnetism) -> dict:
    x, y, z = feature.moved(magnet.scan.pose).centre
    return {
        'index': index,
        'x': float(x),
        'y': float(y),
        'z': float(z),
        'diameter_mm': feature.diameter_mm,
        'volume_mm3': feature.volume_mm3,
        'chi_ppm': float(chi),
        'region': feature.facts.get('region', feature.facts.get('side')),
        'kind': kind,
        'new': feature.facts.get('new', 0),
    }


def _of(scene: Scene, tissue: str) -> list[Feature]:
    return [f for f in scene.features if f.tissue == tissue]


def bleed_mask(scene: Scene, magnet: Magnetism) -> np.ndarray:
    """Mark the voxels that microbleeds fill by half, or their centres."""
    scan = magnet.scan
    shape, affine = scan.grid()
    mask = np.zeros(shape, np.uint8)
    for bleed in _of(scene, 'haemosiderin'):
        share, _ = scan.draw([bleed])
        if (share >= 0.5).any():
            mask[share >= 0.5] = 1
            continue
        centre = np.linalg.inv(affine) @ np.append(bleed.moved(scan.pose).centre, 1)
        voxel = np.rint(centre[:3]).astype(int)
        if ((voxel >= 0) & (voxel < shape)).all():
            mask[tuple(voxel)] = 1
    return mask


def _regional(scene, magnet: Magnetism, recorder: Recorder, chi, rate) -> None:
    """Note medians of susceptibility and R2* in nuclei and white matter."""
    scan = magnet.scan
    labels = scan.labels(scene.anatomy.structures, scene.affine)
    names = _nucleus_labels()
    fractions = scene.anatomy.fractions
    white = scan.sample(fractions['wm'] - scene.wmh, scene.affine)
    solid = white + scan.sample(fractions['gm'] + scene.wmh, scene.affine)
    clear = np.ones(chi.shape, bool)
    touched = magnet.inside.shares.sum(axis=0) > 0.01
    clear.reshape(-1)[magnet.inside.voxels[touched]] = False
    regions = {
        name: np.isin(labels, names[text]) & (solid >= 0.9) & clear
        for name, text in NUCLEI.items()
    }
    in_nuclei = np.isin(labels, [label for own in names.values() for label in own])
    regions['wm'] = (white >= 0.9) & clear & ~in_nuclei
    for name, region in regions.items():
        text = (
            'white matter (normal-appearing, at least 0.9 of the voxel, outside of nuclei)'
            if name == 'wm'
            else f'{NUCLEI[name]} (both sides, at least 0.9 of the voxel tissue)'
        )
        some = bool(region.any())
        recorder.measure(
            f'qsm_{name}_ppm',
            float(np.median(chi[region])) if some else None,
            'ppm',
            f'Median susceptibility relative to water, {text}',
        )
        recorder.measure(
            f'r2s_{name}',
            float(np.median(rate[region])) if some else None,
            '1/s',
            f'Median R2*, {text}',
        )
    brain = (solid >= 0.5) & (chi != 0)
    recorder.measure(
        'qsm_brain_ppm',
        float(chi[brain].mean()) if brain.any() else None,
        'ppm',
        'Mean susceptibility of brain tissue relative to water: what a map that '
        'is referenced to the brain has as its zero',
    )


def _nucleus_labels() -> dict[str, list[int]]:
    out: dict[str, list[int]] = {}
    for label, text in structure_names().items():
        name = text.removeprefix('left ').removeprefix('right ')
        if name in NUCLEI.values():
            out.setdefault(name, []).append(label)
    return out


def _counts(recorder: Recorder, bleeds: Sequence[dict]) -> None:
    """Note how many microbleeds there are."""
    recorder.measure('cmb_n_definite', len(bleeds), '', 'All microbleeds of the head')
    for region in ('lobar', 'deep', 'infratentorial'):
        recorder.measure(
            f'cmb_n_{region}',
            sum(row['region'] == region for row in bleeds),
            '',
            f'Microbleeds of the category {region} (MARS)',
        )
    sizes = [row['diameter_mm'] for row in bleeds]
    recorder.measure(
        'cmb_n_lt5mm',
        sum(size < 5 for size in sizes),
        '',
        'Microbleeds of a physical diameter below 5 mm',
    )
    recorder.measure(
        'cmb_n_5to10mm',
        sum(5 <= size <= 10 for size in sizes),
        '',
        'Microbleeds of a physical diameter of 5 to 10 mm',
    )
