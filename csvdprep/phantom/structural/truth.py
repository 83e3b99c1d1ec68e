"""The truth of the structural markers: volumes, zones, grades, counts, masks, lists."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from csvdprep.markers.atrophy.science import BELOW_PONS_Z, best_affine, evans_index
from csvdprep.markers.zones.science import LABELS, cortical_ribbon, label_zones
from csvdprep.phantom.disease.grading import true_grades
from csvdprep.phantom.geometry.features import Ellipsoid, Feature, Tube
from csvdprep.phantom.head.anatomy import Anatomy, structure_names
from csvdprep.phantom.scanner.recorder import Recorder
from csvdprep.phantom.scanner.scan import Scan
from csvdprep.phantom.scanner.scene import Scene
from csvdprep.science.distances import distance_map
from csvdprep.science.shapes import label_lesions

TISSUE_LABELS = ((1, 'cerebrospinal fluid', 'CSF'), (2, 'grey matter', 'GM'),
                 (3, 'white matter', 'WM'))  # fmt: skip
#: Columns of the lists of small lesions.
COLUMNS = {
    'index': 'Number of the lesion',
    'kind': 'What it is',
    'x': 'Centre, mm, in the frame of the image named by space',
    'y': 'Centre, mm',
    'z': 'Centre, mm',
    'x_mni': 'Centre in MNI152NLin2009aSym, mm',
    'y_mni': 'Centre in MNI152NLin2009aSym, mm',
    'z_mni': 'Centre in MNI152NLin2009aSym, mm',
    'diameter_mm': 'Longest diameter; of tubes the width',
    'length_mm': 'Length along the middle line of tubes',
    'volume_mm3': 'Volume of the shape itself',
    'side': 'left or right',
    'region': 'Part of the brain',
    'rim_mm': 'Thickness of the gliotic rim; 0 for none',
    'chi_ppm': 'Susceptibility relative to water',
}
#: Axial planes (mm in the template) in which perivascular spaces are counted for the grade.
PVS_PLANES = {'BG': range(-8, 5), 'CSO': range(29, 40)}


def record_anatomy(scene: Scene, recorder: Recorder) -> dict[str, np.ndarray]:
    """Note the volumes, zones and grades of a head, and the counts of small lesions.

    Parameters
    ----------
    scene : Scene
        The head.
    recorder : Recorder
        Where to note them.

    Returns
    -------
    dict of str to ndarray
        ``zones``: zone of each voxel of the head's grid that holds lesion.
    """
    _record_volumes(scene.anatomy, recorder)
    zones = _record_zones(scene, recorder)
    grades = true_grades(scene.anatomy, scene.wmh)
    by_rule = 'by the rules of the application on the true lesions and ventricles'
    for name in ('pv', 'deep', 'total'):
        recorder.measure(f'fazekas_{name}', getattr(grades, name), '',
                         f'Fazekas grade, {name}, {by_rule}')  # fmt: skip
    _record_counts(scene.features, recorder)
    return {'zones': zones}


def _record_volumes(anatomy: Anatomy, recorder: Recorder) -> None:
    """Note the volumes of tissues, the brain parenchymal fraction, ventricles."""
    gliosis = anatomy.volume_ml('gliosis') if 'gliosis' in anatomy.fractions else 0.0
    volumes = {name: anatomy.volume_ml(name) for name in ('gm', 'wm', 'csf')}
    volumes['wm'] += gliosis
    for name, text in (('gm', 'grey matter, brainstem and cerebellum included'),
                       ('wm', 'white matter, hyperintensities included'),
                       ('csf', 'fluid inside the skull, old infarcts included')):  # fmt: skip
        recorder.measure(f'{name}_ml', volumes[name], 'mL', f'Volume of {text}; lacunes and '
                         'perivascular spaces count as the tissue in which they lie')  # fmt: skip
    icv = sum(volumes.values())
    recorder.measure('icv_ml', icv, 'mL', 'Intracranial volume: sum of the tissues')
    stem = _neck_ml(anatomy)
    recorder.measure('bpf', (volumes['gm'] + volumes['wm'] - stem) / (icv - stem), '',
                     'Brain parenchymal fraction, without the brainstem below the pons')
    points, share = _ventricles(anatomy)
    recorder.measure('lv_ml', float(share.sum()), 'mL', 'Lateral ventricles')
    template = anatomy.to_template(points)
    for side, chosen in (('left', template[:, 0] < 0), ('right', template[:, 0] >= 0)):
        recorder.measure(f'lv_{side}_ml', float(share[chosen].sum()), 'mL',
                         f'Lateral ventricle, {side}')  # fmt: skip
    inside = _points(anatomy, anatomy.intracranial > 0.5)
    some = inside[:: max(1, len(inside) // 5000)]
    straight = best_affine(some, anatomy.to_template(some))
    half = points[share > 0.5 * anatomy.voxel_ml]
    recorder.measure('evans', evans_index(_apply(straight, half), _apply(straight, inside)), '',
                     'Evans index')  # fmt: skip


def _neck_ml(anatomy: Anatomy) -> float:
    """Return the volume of the brainstem below the pons, mL."""
    stem = [label for label, name in structure_names().items() if name == 'brainstem']
    where = np.isin(anatomy.structures, stem)
    low = anatomy.to_template(_points(anatomy, where))[:, 2] < BELOW_PONS_Z
    solid = (anatomy.fractions['gm'] + anatomy.fractions['wm'])[where]
    return float(solid[low].sum(dtype=float)) * anatomy.voxel_ml


def _ventricles(anatomy: Anatomy) -> tuple[np.ndarray, np.ndarray]:
    """Return the voxels of the lateral ventricles, mm, and how much of them is there, mL."""
    ventricles = anatomy.regions['ventricles']
    where = ventricles > 0
    return _points(anatomy, where), ventricles[where].astype(float) * anatomy.voxel_ml


def _record_zones(scene: Scene, recorder: Recorder) -> np.ndarray:
    """Note the volumes of the hyperintensities by zone; return the zones."""
    anatomy, share = scene.anatomy, scene.wmh
    lesion = share > 0
    total = float(share.sum(dtype=float)) * anatomy.voxel_ml
    recorder.measure('wmh_total_ml', total, 'mL',
                     'White matter hyperintensities in the head itself: sum of their shares')
    zones = np.zeros(share.shape, np.uint8)
    if lesion.any():
        zones = label_zones(lesion, *_distances(anatomy, share, lesion))
    for label in range(1, 5):
        name, short = LABELS[label]
        part = float(share[zones == label].sum(dtype=float)) * anatomy.voxel_ml
        recorder.measure(f'wmh_{short.lower()}_ml', part, 'mL', f'Hyperintensities, {name}, by '
                         'the distance from true ventricles and cortex')  # fmt: skip
    icv = recorder.measures['icv_ml'][0]
    recorder.measure('wmh_total_pct_icv', 100 * total / icv, '%',
                     'Hyperintensities in percent of the intracranial volume')  # fmt: skip
    return zones


def _distances(anatomy: Anatomy, share, lesion) -> tuple[np.ndarray, np.ndarray]:
    ventricles = anatomy.regions['ventricles'] > 0.5
    fractions = anatomy.fractions
    cortex = cortical_ribbon(
        fractions['gm'], fractions['csf'], anatomy.intracranial > 0.5, anatomy.affine,
        exclude=(anatomy.structures > 0) | (share > 0.5), ventricles=ventricles,
    )  # fmt: skip
    grid = share.shape, anatomy.affine
    return tuple(distance_map(mask, anatomy.affine, *grid, where=lesion)
                 for mask in (ventricles, cortex))  # fmt: skip


def _record_counts(features, recorder: Recorder) -> None:
    """Note numbers and grades of lacunes and perivascular spaces."""
    lacunes = [f for f in features if f.kind == 'lacune']
    recorder.measure('lacune_n_definite', len(lacunes), '', 'Number of lacunes')
    recorder.measure('lacune_volume_ml', sum(f.volume_mm3 for f in lacunes) / 1000, 'mL',
                     'Volume of lacunes')  # fmt: skip
    for region in ('BG', 'CSO'):
        spaces = [f for f in features if f.kind == 'PVS' and f.facts['region'] == region]
        count = _most_in_a_slice(spaces, PVS_PLANES[region])
        key = f'pvs_{region.lower()}'
        recorder.measure(f'{key}_count_3d', len(spaces), '', f'Perivascular spaces, {region}')
        recorder.measure(f'{key}_count_2d', count, '', f'Perivascular spaces, {region}, in the '
                         'slice and hemisphere with most')  # fmt: skip
        recorder.measure(f'{key}_grade', int(np.searchsorted([1, 11, 21, 41], count, 'right')), '',
                         f'Grade of perivascular spaces, {region} (Potter 2015)')  # fmt: skip
        recorder.measure(f'{key}_vol_ml', sum(f.volume_mm3 for f in spaces) / 1000, 'mL',
                         f'Volume of perivascular spaces, {region}')  # fmt: skip


def _most_in_a_slice(spaces: list[Tube], planes) -> int:
    """Count the tubes that cross an axial plane of the template, in the fuller hemisphere."""
    most = 0
    for side in ('left', 'right'):
        reach = [(f.facts['mni'][:, 2].min(), f.facts['mni'][:, 2].max()) for f in spaces
                 if f.facts['side'] == side]  # fmt: skip
        most = max([most, *(sum(low <= z <= high for low, high in reach) for z in planes)])
    return most


def record_masks(
    scene: Scene, scan: Scan, suffix: str, source: str, recorder: Recorder,
    zones: np.ndarray, labels: tuple[str, ...],
) -> None:  # fmt: skip
    """Write what is in the voxels of a structural scan.

    Parameters
    ----------
    scene : Scene
        The head.
    scan : Scan
        Its grid and pose.
    suffix : str
        Suffix of the image: the name of the space.
    source : str
        Its BIDS URI.
    recorder : Recorder
        Where to write.
    zones : ndarray
        From :func:`record_anatomy`.
    labels : tuple of str
        Lesions to write: 'WMH', 'lacune', 'PVS'.
    """
    anatomy, affine = scene.anatomy, scan.grid()[1]
    inside = scan.sample(anatomy.intracranial, anatomy.affine) >= 0.5
    recorder.truth(inside.astype(np.uint8), affine, 'anat', 'mask', source, {'Type': 'Brain'},
                   space=suffix, desc='brain')  # fmt: skip
    if suffix == 'T1w':
        tissue = scan.labels(anatomy.tissue_labels(), anatomy.affine)
        recorder.truth(tissue, affine, 'anat', 'dseg', source, space=suffix)
        rows = [dict(zip(('index', 'name', 'abbreviation'), row, strict=True))
                for row in TISSUE_LABELS]  # fmt: skip
        columns = {'index': 'Label', 'name': 'Tissue', 'abbreviation': 'Short name'}
        recorder.table(rows, columns, 'anat', 'dseg', space=suffix)
    for label in labels:
        if label == 'WMH':
            _record_wmh(scene, scan, suffix, source, recorder, zones)
        else:
            record_shapes(scene, scan, suffix, source, recorder, label, 'anat')


def _record_wmh(scene, scan, suffix, source, recorder, zones) -> None:
    """Write mask, zones and list of the hyperintensities, and what volume the voxels hold."""
    _, affine = scan.grid()
    share = scan.sample(scene.wmh, scene.affine)
    mask = (share >= 0.5).astype(np.uint8)
    recorder.truth(mask, affine, 'anat', 'mask', source,
                   {'Type': 'Lesion', 'Description': 'At least half of the voxel is lesion'},
                   space=suffix, label='WMH')  # fmt: skip
    voxel_ml = abs(np.linalg.det(affine[:3, :3])) / 1000
    recorder.measure('wmh_voxels_ml', float(share.sum(dtype=float)) * voxel_ml, 'mL',
                     f'Sum of the shares of the voxels of {suffix}, gaps included')
    recorder.measure('wmh_mask_ml', int(mask.sum()) * voxel_ml, 'mL',
                     f'Volume of the mask on the grid of {suffix}')  # fmt: skip
    grown = ndi.maximum_filter(zones, 3)
    seen = scan.labels(np.where(zones > 0, zones, grown), scene.affine) * mask
    recorder.truth(seen, affine, 'anat', 'dseg', source, space=suffix, desc='wmhzone')
    rows = [{'index': k, 'name': LABELS[k][0], 'abbreviation': LABELS[k][1]} for k in range(1, 5)]
    recorder.table(rows, {'index': 'Label', 'name': 'Zone', 'abbreviation': 'Short name'},
                   'anat', 'dseg', space=suffix, desc='wmhzone')  # fmt: skip
    labels, count = label_lesions(mask > 0, affine)
    recorder.measure('wmh_n_lesions', int(count), '', f'Lesions of the mask on {suffix}, '
                     '26-connected')  # fmt: skip
    _wmh_table(labels, count, seen, affine, scan, scene, suffix, recorder)


def _wmh_table(labels, count, zones, affine, scan, scene, suffix, recorder) -> None:
    numbers = np.arange(1, count + 1)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    centres = np.array(ndi.center_of_mass(labels > 0, labels, numbers)).reshape(-1, 3)
    world = _apply(affine, centres)
    template = scene.anatomy.to_template(_apply(np.linalg.inv(scan.pose), world))
    per_zone = [np.bincount(labels[zones == k].ravel(), minlength=count + 1)[1:]
                for k in range(1, 5)]  # fmt: skip
    main = np.argmax(per_zone, axis=0) + 1
    voxel = abs(np.linalg.det(affine[:3, :3]))
    rows = [
        {'index': n, 'kind': 'WMH', **_named('', world[n - 1]), **_named('_mni', template[n - 1]),
         'volume_mm3': sizes[n - 1] * voxel,
         'diameter_mm': 2 * (sizes[n - 1] * voxel * 3 / (4 * np.pi)) ** (1 / 3),
         'side': 'left' if template[n - 1][0] < 0 else 'right', 'region': LABELS[main[n - 1]][0]}
        for n in numbers
    ]  # fmt: skip
    columns = {k: v for k, v in COLUMNS.items() if k not in ('length_mm', 'rim_mm', 'chi_ppm')}
    columns['diameter_mm'] = 'Diameter of a sphere of the same volume'
    columns['volume_mm3'] = 'Volume on the grid of the image'
    columns['region'] = 'Zone that holds most of it'
    recorder.table(rows, columns, 'anat', 'lesions', space=suffix, label='WMH')


def record_shapes(
    scene: Scene, scan: Scan, space: str, source: str, recorder: Recorder, label: str,
    datatype: str, others: tuple[str, ...] = (),
) -> None:  # fmt: skip
    """Write mask and list of lesions that are shapes.

    The mask holds the voxels at least half of which are lesion and, of lesions too small for
    that, the voxel with the largest share.

    Parameters
    ----------
    scene, scan, source, recorder
        As in :func:`record_masks`.
    space : str
        Name of the image in whose grid and frame they are given.
    label : str
        Kind of the features, which is the label in the file name too.
    datatype : str
        'anat' or 'dwi'.
    others : tuple of str
        Kinds to be listed besides: what may be taken for these lesions.
    """
    chosen = [f for f in scene.features if f.kind == label]
    share, owner = scan.draw(chosen)
    mask = (share >= 0.5).astype(np.uint8)
    for number in range(1, len(chosen) + 1):
        own = owner == number
        if own.any() and not mask[own].any():
            mask[np.unravel_index(np.argmax(np.where(own, share, 0)), mask.shape)] = 1
    affine = scan.grid()[1]
    said = 'At least half of the voxel is lesion, or it holds the largest part of a small one'
    recorder.truth(mask, affine, datatype, 'mask', source,
                   {'Type': 'Lesion', 'Description': said}, space=space, label=label)  # fmt: skip
    listed = [f for f in scene.features if f.kind == label or f.kind in others]
    rows = [row(number, f, scan) for number, f in enumerate(listed, start=1)]
    recorder.table(rows, COLUMNS, datatype, 'lesions', space=space, label=label)


def row(number: int, feature: Feature, scan: Scan) -> dict:
    """Return the row of a small lesion in a list, as :data:`COLUMNS` says.

    Parameters
    ----------
    number : int
        Its index.
    feature : Feature
        The lesion, in the frame of the head.
    scan : Scan
        In whose frame it is listed.
    """
    world = _apply(scan.pose, feature.centre[None])[0]
    mni = feature.facts['mni']
    return {
        'index': number, 'kind': feature.kind, **_named('', world),
        **_named('_mni', mni[len(mni) // 2]), 'diameter_mm': feature.diameter_mm,
        'length_mm': feature.length_mm if isinstance(feature, Tube) else None,
        'volume_mm3': feature.volume_mm3, 'side': feature.facts['side'],
        'region': feature.facts['region'],
        'rim_mm': feature.facts.get('rim_mm') if isinstance(feature, Ellipsoid) else None,
        'chi_ppm': feature.facts.get('chi'),
    }  # fmt: skip


def _named(ending: str, point: np.ndarray) -> dict[str, float]:
    return {axis + ending: float(value) for axis, value in zip('xyz', point, strict=True)}


def _points(anatomy: Anatomy, where: np.ndarray) -> np.ndarray:
    return _apply(anatomy.affine, np.argwhere(where))


def _apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]
