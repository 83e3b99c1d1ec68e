"""Truth of the angiogram: where arteries are, their lengths and tortuosity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from csvdprep.phantom.geometry.features import Tube
from csvdprep.phantom.head.vessels import along, artery_tubes
from csvdprep.phantom.scanner.recorder import Recorder
from csvdprep.phantom.scanner.scan import Scan
from csvdprep.phantom.scanner.scene import Scene

COLUMNS = {
    'index': 'Number of the vessel; value in desc-LSA_dseg of lenticulostriate arteries',
    'name': 'Name',
    'segment': 'Class',
    'side': 'left, right or midline',
    'parent': 'Vessel that it leaves',
    'length_mm': 'Length along the middle line, mm',
    'radius_mm': 'Mean radius, mm',
    'distance_factor': 'Tortuosity: length over the distance of the ends',
    'inside': 'Share of its length within the volume of the image',
}


def record(
    scene: Scene, scan: Scan, share: np.ndarray, owner: np.ndarray, recorder: Recorder, source: str
) -> None:
    """Write the truth of an angiogram.

    Parameters
    ----------
    scene : Scene
        The head.
    scan : Scan
        Grid and pose.
    share, owner : ndarray
        As :func:`csvdprep.phantom.angiography.tof.acquire` gives them.
    recorder : Recorder
        Takes it.
    source : str
        BIDS URI of the angiogram.
    """
    affine = scan.grid()[1]
    tubes = artery_tubes(scene)
    lines = [middle_voxels(tube, scan) for tube in tubes]
    mask = (share >= 0.5).astype(np.uint8)
    labels = np.zeros(mask.shape, np.uint8)
    for number, (tube, line) in enumerate(zip(tubes, lines, strict=True), start=1):
        mask[line] = 1
        if tube.kind == 'LSA':
            labels[(owner == number) & (share >= 0.5)] = number
    for number, (tube, line) in enumerate(zip(tubes, lines, strict=True), start=1):
        if tube.kind == 'LSA':
            labels[line] = number
    what = 'at least half of which they fill, and those that their middle line runs through'
    recorder.truth(
        mask,
        affine,
        'anat',
        'mask',
        source,
        {'Type': 'ROI', 'Description': f'Arteries: voxels {what}'},
        space='angio',
        label='artery',
    )
    fields = {'Description': f'Lenticulostriate arteries by number: voxels {what}'}
    recorder.truth(labels, affine, 'anat', 'dseg', source, fields, space='angio', desc='LSA')
    # Image and table share a sidecar.
    fields |= {'Sources': [source], 'SpatialReference': source}
    names = [
        {
            'index': number,
            'name': tube.facts['name'].replace('LSA', 'lenticulostriate'),
            'abbreviation': tube.facts['name'],
        }
        for number, tube in enumerate(tubes, start=1)
        if tube.kind == 'LSA'
    ]
    recorder.table(
        names,
        {'index': 'Label', 'name': 'Artery', 'abbreviation': 'Short name'},
        'anat',
        'dseg',
        fields,
        space='angio',
        desc='LSA',
    )
    recorder.table(
        rows(tubes, scan),
        COLUMNS,
        'anat',
        'vessels',
        {'Sources': [source]},
        space='angio',
        label='artery',
    )
    _measures(tubes, recorder)


def middle_voxels(tube: Tube, scan: Scan) -> tuple[np.ndarray, ...]:
    """Return the voxels that the middle line of a tube runs through."""
    shape, affine = scan.grid()
    line = tube.moved(scan.pose).points
    step = 0.2 * float(scan.edges().min())
    way = along(line)
    at = np.linspace(0, way[-1], int(np.ceil(way[-1] / step)) + 1)
    line = np.stack([np.interp(at, way, line[:, i]) for i in range(3)], axis=1)
    inverse = np.linalg.inv(affine)
    index = np.rint(line @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
    index = index[((index >= 0) & (index < shape)).all(axis=1)]
    return tuple(np.unique(index, axis=0).T)


def rows(tubes: Sequence[Tube], scan: Scan) -> list[dict]:
    """List arteries: a row of :data:`COLUMNS` each."""
    shape, affine = scan.grid()
    inverse = np.linalg.inv(affine)
    out = []
    for number, tube in enumerate(tubes, start=1):
        index = tube.moved(scan.pose).points @ inverse[:3, :3].T + inverse[:3, 3]
        within = ((index > -0.5) & (index < np.array(shape) - 0.5)).all(axis=1)
        out.append(
            {
                'index': number,
                'name': tube.facts.get('name'),
                'segment': tube.kind,
                'side': tube.facts.get('side'),
                'parent': tube.facts.get('parent') or None,
                'length_mm': tube.length_mm,
                'radius_mm': float(tube.radii.mean()),
                'distance_factor': tube.distance_factor,
                'inside': float(within.mean()),
            }
        )
    return out


def _measures(tubes: Sequence[Tube], recorder: Recorder) -> None:
    """Note the measures of the lenticulostriate arteries: both sides, left, right."""
    perforators = [tube for tube in tubes if tube.kind == 'LSA']
    for suffix, side in (('', None), ('_left', 'left'), ('_right', 'right')):
        own = [t for t in perforators if side in (None, t.facts['side'])]
        stems = [t for t in own if t.facts['parent'].endswith('M1')]
        paths = paths_of(own)
        where = f' ({side} side)' if side else ' (both sides)'
        lengths = [length for length, _ in paths]
        for name, value, units, text in (
            ('n_stems', len(stems), '', 'Lenticulostriate arteries that leave an M1'),
            (
                'n_branches',
                len(paths),
                '',
                'Ends of lenticulostriate arteries: each stem and each branch has one',
            ),
            (
                'len_mean',
                _mean([t.length_mm for t in stems]),
                'mm',
                'Mean length of the stems from M1 to their own end',
            ),
            (
                'len_max',
                max(lengths, default=None),
                'mm',
                'Length of the longest way from M1 to an end',
            ),
            (
                'tortuosity',
                _mean([t.distance_factor for t in stems]),
                '',
                'Mean distance factor of the stems: length over the distance of the ends',
            ),
        ):
            unit = f'_{units}' if units else ''
            recorder.measure(f'lsa_{name}{suffix}{unit}', value, units, text + where)


def paths_of(tubes: Sequence[Tube]) -> list[tuple[float, str]]:
    """Return the ways from M1 to each end: length, mm, and the name of the last vessel."""
    named = {tube.facts['name']: tube for tube in tubes}
    out = []
    for tube in tubes:
        length = tube.length_mm
        if (parent := named.get(tube.facts['parent'])) is not None:
            fork = np.argmin(np.linalg.norm(parent.points - tube.points[0], axis=1))
            length += float(along(parent.points)[fork])
        out.append((length, tube.facts['name']))
    return out


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None
