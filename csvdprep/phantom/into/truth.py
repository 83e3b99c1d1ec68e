"""Write what was inserted in the form in which the phantom writes its truth."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from csvdprep.phantom.disease.grading import true_grades
from csvdprep.phantom.geometry.features import Feature
from csvdprep.phantom.into.grid import RealScan
from csvdprep.phantom.into.head import SPACING_MM, Head
from csvdprep.phantom.into.lesions import Drawn
from csvdprep.phantom.scanner.lists import record_shapes, row
from csvdprep.phantom.scanner.recorder import Recorder
from csvdprep.phantom.scanner.scene import Scene
from csvdprep.phantom.structural.truth import (
    list_hyperintensities,
    record_counts,
    record_hyperintensities,
)
from csvdprep.phantom.structural.zones import ZONES, true_zones

#: Scans on whose grid the truth of a kind is written: the first that the visit has.
FRAMES = {
    'WMH': ('FLAIR', 'T1w'),
    'lacune': ('T1w', 'FLAIR', 'T2w'),
    'PVS': ('T2w', 'T1w', 'FLAIR'),
    'CMB': ('T2starw', 'swi', 'GRE', 'MEGRE'),
    'RSSI': ('dwi', 'trace'),
}
#: Label of each kind that can be asked for.
LABELS = {'wmh': 'WMH', 'lacune': 'lacune', 'pvs': 'PVS', 'microbleed': 'CMB', 'infarct': 'RSSI'}
#: Zones are told so far beyond the lesions of the head's grid, mm: slices are thick.
ZONE_REACH_MM = 6.0
BY = 'by ventricles, cortex and template as given with --with'


@dataclass(frozen=True, eq=False)
class Made:
    """A scan with lesions, as far as the truth has to know it.

    Attributes
    ----------
    scan : RealScan
        Its grid.
    datatype : str
        'anat', 'swi' or 'dwi'.
    uri : str
        BIDS URI.
    contrast : mapping of str to float
        Of each tissue, signal over that of white matter minus 1.
    change : ndarray or None
        What was added, in parts of the signal of white matter.
    """

    scan: RealScan
    datatype: str
    uri: str
    contrast: Mapping[str, float]
    change: np.ndarray | None = None


def record_truth(
    head: Head, drawn: Drawn, made: Mapping[str, Made], kinds: Collection[str], recorder: Recorder
) -> dict[str, str]:
    """Write masks, lists and measures of a visit.

    Parameters
    ----------
    head : Head
        The head.
    drawn : Drawn
        Its lesions.
    made : mapping of str to Made
        Scans by suffix.
    kinds : collection of str
        Kinds that were asked for; of others nothing is known.
    recorder : Recorder
        Where to write.

    Returns
    -------
    dict of str to str
        By label, the suffix of the scan on whose grid its truth was written.
    """
    scene = Scene(anatomy=head.anatomy, wmh=drawn.height, features=drawn.features)
    frames = {}
    for kind, label in LABELS.items():
        frame = next((suffix for suffix in FRAMES[label] if suffix in made), None)
        if kind in kinds and frame:
            frames[label] = frame
    if 'WMH' in frames:
        _hyperintensities(scene, drawn, made[frames['WMH']], frames['WMH'], recorder)
    for label in ('lacune', 'PVS', 'CMB', 'RSSI'):
        if label in frames:
            scan = made[frames[label]]
            record_shapes(
                scene,
                scan.scan,
                frames[label],
                scan.uri,
                recorder,
                label,
                scan.datatype,
                scan.contrast,
            )
    _counts(drawn.features, frames, recorder)
    return frames


def _hyperintensities(scene, drawn: Drawn, made: Made, suffix: str, recorder: Recorder) -> None:
    """Write mask, zones, list and volumes of white matter hyperintensities."""
    anatomy, share = scene.anatomy, scene.wmh
    zones = true_zones(anatomy, share)
    recorder.measure(
        'wmh_total_ml',
        float(share.sum(dtype=float)) * anatomy.voxel_ml,
        'mL',
        'White matter hyperintensities that were inserted: sum of their shares',
    )
    for label, (name, short) in ZONES.items():
        part = float(share[zones == label].sum(dtype=float)) * anatomy.voxel_ml
        recorder.measure(f'wmh_{short.lower()}_ml', part, 'mL', f'Hyperintensities, {name}, {BY}')
    grades = true_grades(anatomy, share)
    for name in ('pv', 'deep', 'total'):
        recorder.measure(
            f'fazekas_{name}',
            getattr(grades, name),
            '',
            f'Fazekas grade of what was inserted, {name}, by the rules of the application, {BY}',
        )
    rows, labels = record_hyperintensities(
        scene, made.scan, suffix, made.uri, recorder, _spread(zones), drawn.spots
    )
    if made.change is not None and rows:
        means = ndi.mean(made.change, labels, np.arange(1, len(rows) + 1))
        for found, mean in zip(rows, np.atleast_1d(means), strict=True):
            found['contrast'] = float(mean)
    for kind, name in (('lacune', 'lacune'), ('RSSI', 'infarct')):
        for feature in drawn.features:
            if feature.kind == kind:
                more = row(len(rows) + 1, feature, made.scan) | {'kind': name}
                rows.append(more | {'contrast': made.contrast.get(feature.tissue)})
    list_hyperintensities(rows, suffix, recorder)


def _spread(zones: np.ndarray) -> np.ndarray:
    """Tell zones a little beyond the lesions, too: the nearest counts."""
    if not zones.any():
        return zones
    away, nearest = ndi.distance_transform_edt(
        zones == 0, sampling=SPACING_MM, return_indices=True
    )
    return np.where(away <= ZONE_REACH_MM, zones[tuple(nearest)], 0).astype(zones.dtype)


def _counts(features: Sequence[Feature], frames: Mapping[str, str], recorder: Recorder) -> None:
    """Note the numbers of small lesions."""
    record_counts(features, recorder, frames)
    if 'CMB' in frames:
        bleeds = [feature for feature in features if feature.kind == 'CMB']
        recorder.measure('cmb_n_definite', len(bleeds), '', 'Microbleeds that were inserted')
        for place in ('lobar', 'deep', 'infratentorial'):
            count = sum(bleed.facts['region'] == place for bleed in bleeds)
            recorder.measure(
                f'cmb_n_{place}', count, '', f'Microbleeds of the category {place} (MARS)'
            )
    if 'RSSI' in frames:
        infarcts = [feature for feature in features if feature.kind == 'RSSI']
        recorder.measure(
            'rssi_n', len(infarcts), '', 'Recent small subcortical infarcts that were inserted'
        )
        recorder.measure(
            'rssi_volume_ml',
            sum(infarct.volume_mm3 for infarct in infarcts) / 1000,
            'mL',
            'Volume of the recent small subcortical infarcts',
        )
        recorder.measure(
            'rssi_max_diam_mm',
            max((infarct.diameter_mm for infarct in infarcts), default=0),
            'mm',
            'Longest diameter of the largest of them; 0 for none',
        )
