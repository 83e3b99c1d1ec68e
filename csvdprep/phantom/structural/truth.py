"""The truth of the structural markers: volumes, zones, grades, counts, masks, lists."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from scipy import ndimage as ndi

from csvdprep.phantom.disease.grading import true_grades
from csvdprep.phantom.geometry.features import Feature, Tube
from csvdprep.phantom.head.anatomy import Anatomy, structure_names
from csvdprep.phantom.scanner.lists import COLUMNS, named, record_shapes
from csvdprep.phantom.scanner.recorder import Recorder
from csvdprep.phantom.scanner.scan import Scan
from csvdprep.phantom.scanner.scene import Scene
from csvdprep.phantom.structural.images import Protocol, contrasts
from csvdprep.phantom.structural.zones import ZONES, true_zones
from csvdprep.science.shapes import label_lesions

TISSUE_LABELS = (
    (1, 'cerebrospinal fluid', 'CSF'),
    (2, 'grey matter', 'GM'),
    (3, 'white matter', 'WM'),
)
#: The brainstem ends here, mm in the template: below the pons.
BELOW_PONS_Z = -45.0
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
        recorder.measure(
            f'fazekas_{name}', getattr(grades, name), '', f'Fazekas grade, {name}, {by_rule}'
        )
    record_counts(scene.features, recorder)
    return {'zones': zones}


def _record_volumes(anatomy: Anatomy, recorder: Recorder) -> None:
    """Note the volumes of tissues, the brain parenchymal fraction, ventricles."""
    gliosis = anatomy.volume_ml('gliosis') if 'gliosis' in anatomy.fractions else 0.0
    volumes = {name: anatomy.volume_ml(name) for name in ('gm', 'wm', 'csf')}
    volumes['wm'] += gliosis
    for name, text in (
        ('gm', 'grey matter, brainstem and cerebellum included'),
        ('wm', 'white matter, hyperintensities included'),
        ('csf', 'fluid inside the skull, old infarcts included'),
    ):
        recorder.measure(
            f'{name}_ml',
            volumes[name],
            'mL',
            f'Volume of {text}; lacunes and '
            'perivascular spaces count as the tissue in which they lie',
        )
    icv = sum(volumes.values())
    recorder.measure('icv_ml', icv, 'mL', 'Intracranial volume: sum of the tissues')
    stem = _neck_ml(anatomy)
    recorder.measure(
        'bpf',
        (volumes['gm'] + volumes['wm'] - stem) / (icv - stem),
        '',
        'Brain parenchymal fraction, without the brainstem below the pons',
    )
    points, share = _ventricles(anatomy)
    recorder.measure('lv_ml', float(share.sum()), 'mL', 'Lateral ventricles')
    template = anatomy.to_template(points)
    for side, chosen in (('left', template[:, 0] < 0), ('right', template[:, 0] >= 0)):
        recorder.measure(
            f'lv_{side}_ml', float(share[chosen].sum()), 'mL', f'Lateral ventricle, {side}'
        )
    recorder.measure(
        'evans',
        _evans(anatomy),
        '',
        'Evans index: frontal horns, that is, in front '
        'of the foramina of Monro, over the inner width of the skull',
    )


def _evans(anatomy: Anatomy) -> float:
    """Measure the width of the frontal horns over that of the skull in the head's axial slices.

    What is frontal horn is decided by the structure's place in the template, so that temporal
    horns, however wide, are not.
    """
    where = np.argwhere(anatomy.regions['ventricles'] > 0.5)
    template = anatomy.to_template(_apply(anatomy.affine, where))
    horns = where[(template[:, 1] > 0) & (np.abs(template[:, 0]) < 24) & (template[:, 2] > -9)]
    inside = anatomy.intracranial > 0.5
    best = (0, 0.0)
    for k in np.unique(horns[:, 2]):
        x = np.sort(horns[horns[:, 2] == k, 0])
        skull = np.flatnonzero(inside[:, :, k].any(axis=1))
        # One voxel on either side may be stray.
        width = int(x[-2] - x[1]) if len(x) > 9 else 0
        best = max(best, (width, width / float(skull[-1] - skull[0])))
    return best[1]


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
    total = float(share.sum(dtype=float)) * anatomy.voxel_ml
    recorder.measure(
        'wmh_total_ml',
        total,
        'mL',
        'White matter hyperintensities in the head itself: sum of their shares',
    )
    zones = true_zones(anatomy, share)
    for label in range(1, 5):
        name, short = ZONES[label]
        part = float(share[zones == label].sum(dtype=float)) * anatomy.voxel_ml
        recorder.measure(
            f'wmh_{short.lower()}_ml',
            part,
            'mL',
            f'Hyperintensities, {name}, by the distance from true ventricles and cortex',
        )
    icv = recorder.measures['icv_ml'][0]
    recorder.measure(
        'wmh_total_pct_icv',
        100 * total / icv,
        '%',
        'Hyperintensities in percent of the intracranial volume',
    )
    return zones


def record_counts(
    features: Sequence[Feature], recorder: Recorder, kinds: Collection[str] = ('lacune', 'PVS')
) -> None:
    """Note numbers and grades of lacunes and perivascular spaces.

    Parameters
    ----------
    features : sequence of Feature
        What lies in the head.
    recorder : Recorder
        Where to note them.
    kinds : collection of str
        Kinds of which the number is known.
    """
    if 'lacune' in kinds:
        _count_lacunes(features, recorder)
    if 'PVS' in kinds:
        _count_spaces(features, recorder)


def _count_lacunes(features: Sequence[Feature], recorder: Recorder) -> None:
    lacunes = [f for f in features if f.kind == 'lacune']
    recorder.measure('lacune_n', len(lacunes), '', 'Number of lacunes')
    recorder.measure(
        'lacune_volume_ml', sum(f.volume_mm3 for f in lacunes) / 1000, 'mL', 'Volume of lacunes'
    )


def _count_spaces(features: Sequence[Feature], recorder: Recorder) -> None:
    for region in ('BG', 'CSO'):
        spaces = [f for f in features if f.kind == 'PVS' and f.facts['region'] == region]
        count = _most_in_a_slice(spaces, PVS_PLANES[region])
        key = f'pvs_{region.lower()}'
        recorder.measure(f'{key}_n', len(spaces), '', f'Perivascular spaces, {region}')
        recorder.measure(
            f'{key}_worst_n',
            count,
            '',
            f'Perivascular spaces, {region}, in the slice and hemisphere with most',
        )
        recorder.measure(
            f'{key}_grade',
            int(np.searchsorted([1, 11, 21, 41], count, 'right')),
            '',
            f'Grade of perivascular spaces, {region} (Potter 2015)',
        )
        recorder.measure(
            f'{key}_ml',
            sum(f.volume_mm3 for f in spaces) / 1000,
            'mL',
            f'Volume of perivascular spaces, {region}',
        )


def _most_in_a_slice(spaces: list[Tube], planes) -> int:
    """Count the tubes that cross an axial plane of the template, in the fuller hemisphere."""
    most = 0
    for side in ('left', 'right'):
        reach = [
            (f.facts['mni'][:, 2].min(), f.facts['mni'][:, 2].max())
            for f in spaces
            if f.facts['side'] == side
        ]
        most = max([most, *(sum(low <= z <= high for low, high in reach) for z in planes)])
    return most


def record_masks(
    scene: Scene,
    protocol: Protocol,
    source: str,
    recorder: Recorder,
    zones: np.ndarray,
    labels: tuple[str, ...],
) -> None:
    """Write what is in the voxels of a structural scan.

    Parameters
    ----------
    scene : Scene
        The head.
    protocol : Protocol
        The scan, with its pose; its suffix is the name of the space.
    source : str
        BIDS URI of the image.
    recorder : Recorder
        Where to write.
    zones : ndarray
        From :func:`record_anatomy`.
    labels : tuple of str
        Lesions to write: 'WMH', 'lacune', 'PVS'.
    """
    anatomy, scan, suffix = scene.anatomy, protocol.scan, protocol.suffix
    affine = scan.grid()[1]
    inside = scan.sample(anatomy.intracranial, anatomy.affine) >= 0.5
    recorder.truth(
        inside.astype(np.uint8),
        affine,
        'anat',
        'mask',
        source,
        {'Type': 'Brain'},
        space=suffix,
        desc='brain',
    )
    if suffix == 'T1w':
        tissue = scan.labels(anatomy.tissue_labels(), anatomy.affine)
        recorder.truth(tissue, affine, 'anat', 'dseg', source, space=suffix)
        rows = [
            dict(zip(('index', 'name', 'abbreviation'), row, strict=True)) for row in TISSUE_LABELS
        ]
        columns = {'index': 'Label', 'name': 'Tissue', 'abbreviation': 'Short name'}
        recorder.table(rows, columns, 'anat', 'dseg', space=suffix)
    for label in labels:
        if label == 'WMH':
            contrast = contrasts(protocol.sequence, scene.tesla)
            rows, _ = record_hyperintensities(scene, scan, suffix, source, recorder, zones)
            rows += _infarct(scene, scan, suffix, source, recorder, len(rows))
            for found in rows:
                found['contrast'] = contrast['wmh' if found['kind'] == 'WMH' else 'gliosis']
            list_hyperintensities(rows, suffix, recorder)
        else:
            record_shapes(
                scene,
                scan,
                suffix,
                source,
                recorder,
                label,
                'anat',
                contrast=contrasts(protocol.sequence, scene.tesla),
            )


def record_hyperintensities(
    scene: Scene,
    scan: Scan,
    suffix: str,
    source: str,
    recorder: Recorder,
    zones: np.ndarray,
    small: Sequence[Feature] = (),
) -> tuple[list[dict], np.ndarray]:
    """Write mask and zones of the hyperintensities, and what volume the voxels hold.

    Parameters
    ----------
    scene : Scene
        The head.
    scan : Scan
        Grid and pose of the image.
    suffix : str
        Its suffix, which is the name of the space.
    source : str
        Its BIDS URI.
    recorder : Recorder
        Where to write.
    zones : ndarray
        Zone of each voxel of the head's grid that holds lesion.
    small : sequence of Feature, optional
        Lesions of which the mask is to hold a voxel at least: that with the largest share.

    Returns
    -------
    rows : list of dict
        A row of the list for each lesion, without its contrast.
    labels : ndarray of int32, shape of the scan
        Number of each lesion, as in the list.
    """
    affine = scan.grid()[1]
    share = scan.sample(scene.wmh, scene.affine)
    mask = (share >= 0.5).astype(np.uint8)
    said = 'At least half of the voxel is lesion'
    if small:
        said += ', or it holds the largest part of a small one'
        part, owner = scan.draw(small)
        for number in range(1, len(small) + 1):
            own = (owner == number) & (share > 0)
            if own.any() and not mask[own].any():
                mask[np.unravel_index(np.argmax(np.where(own, part, 0)), mask.shape)] = 1
    recorder.truth(
        mask,
        affine,
        'anat',
        'mask',
        source,
        {'Type': 'Lesion', 'Description': said},
        space=suffix,
        label='WMH',
    )
    voxel_ml = abs(np.linalg.det(affine[:3, :3])) / 1000
    recorder.measure(
        'wmh_voxels_ml',
        float(share.sum(dtype=float)) * voxel_ml,
        'mL',
        f'Sum of the shares of the voxels of {suffix}, gaps included',
    )
    recorder.measure(
        'wmh_mask_ml',
        int(mask.sum()) * voxel_ml,
        'mL',
        f'Volume of the mask on the grid of {suffix}',
    )
    grown = ndi.maximum_filter(zones, 3)
    seen = scan.labels(np.where(zones > 0, zones, grown), scene.affine) * mask
    recorder.truth(seen, affine, 'anat', 'dseg', source, space=suffix, desc='wmhzone')
    rows = [{'index': k, 'name': ZONES[k][0], 'abbreviation': ZONES[k][1]} for k in range(1, 5)]
    recorder.table(
        rows,
        {'index': 'Label', 'name': 'Zone', 'abbreviation': 'Short name'},
        'anat',
        'dseg',
        space=suffix,
        desc='wmhzone',
    )
    labels, count = label_lesions(mask > 0, affine)
    recorder.measure(
        'wmh_n_lesions', int(count), '', f'Lesions of the mask on {suffix}, 26-connected'
    )
    return _wmh_rows(labels, count, seen, scan, scene), labels


def list_hyperintensities(rows: Sequence[dict], suffix: str, recorder: Recorder) -> None:
    """Write the list of hyperintensities and of what may be taken for them.

    Parameters
    ----------
    rows : sequence of dict
        Values by column.
    suffix : str
        Suffix of the image, which is the name of the space.
    recorder : Recorder
        Where to write.
    """
    recorder.table(
        rows,
        COLUMNS
        | {
            'diameter_mm': 'Diameter of a sphere of the same volume',
            'volume_mm3': 'Volume on the grid of the image',
            'region': 'Zone that holds most of it',
        },
        'anat',
        'lesions',
        space=suffix,
        label='WMH',
    )


def _wmh_rows(labels, count, zones, scan, scene) -> list[dict]:
    """List the pieces of the mask of hyperintensities."""
    numbers = np.arange(1, count + 1)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    centres = np.array(ndi.center_of_mass(labels > 0, labels, numbers)).reshape(-1, 3)
    per_zone = [
        np.bincount(labels[zones == k].ravel(), minlength=count + 1)[1:] for k in range(1, 5)
    ]
    main = np.argmax(per_zone, axis=0) + 1
    return [
        _piece(n, 'WMH', centres[n - 1], sizes[n - 1], ZONES[main[n - 1]][0], scan, scene)
        for n in numbers
    ]


def _infarct(scene, scan, suffix, source, recorder, before: int) -> list[dict]:
    """Write the mask of an old infarct, cavity and gliosis, and its row."""
    if 'infarct' not in scene.anatomy.regions:
        return []
    mask = scan.sample(scene.anatomy.regions['infarct'], scene.affine) >= 0.5
    recorder.truth(
        mask.astype(np.uint8),
        scan.grid()[1],
        'anat',
        'mask',
        source,
        {'Type': 'Lesion', 'Description': 'Old cortical infarct with its gliosis'},
        space=suffix,
        label='infarct',
    )
    if not mask.any():
        return []
    centre = np.argwhere(mask).mean(axis=0)
    return [_piece(before + 1, 'infarct', centre, mask.sum(), 'cortex', scan, scene)]


def _piece(number, kind, centre, voxels, region, scan, scene) -> dict:
    """Return the row of a piece of a mask."""
    affine = scan.grid()[1]
    world = _apply(affine, centre[None])
    template = scene.anatomy.to_template(_apply(np.linalg.inv(scan.pose), world))[0]
    volume = float(voxels * abs(np.linalg.det(affine[:3, :3])))
    return {
        'index': number,
        'kind': kind,
        **named('', world[0]),
        **named('_mni', template),
        'volume_mm3': volume,
        'diameter_mm': 2 * (volume * 3 / (4 * np.pi)) ** (1 / 3),
        'side': 'left' if template[0] < 0 else 'right',
        'region': region,
    }


def _points(anatomy: Anatomy, where: np.ndarray) -> np.ndarray:
    return _apply(anatomy.affine, np.argwhere(where))


def _apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]
