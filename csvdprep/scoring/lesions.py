"""Which candidate of the application lies on which true lesion of a visit.

Two ways, as the files allow: a predicted component overlaps a component of the truth's mask, or
a listed position lies within max(diameter / 2, 2 mm) of a true centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage as ndi
from scipy.spatial import cKDTree

from csvdprep.core.errors import InputError
from csvdprep.science.overlap import binarise
from csvdprep.scoring import tables
from csvdprep.scoring.find import File, Visit, choose, pixels, same_grid
from csvdprep.scoring.masks import lesion_masks, segmentations

__all__ = ['Candidate', 'Lesion', 'Scan', 'lesion_labels', 'match']

#: Columns that may hold the confidence of a listed lesion, the first that is there counts.
CONFIDENCE = ('confidence', 'probability', 'mean_probability', 'p')
#: Status of listed lesions that the application counts.
DEFINITE = 'definite'
NEAREST_MM = 2.0
#: What was found belongs to the nearest true lesion, so far beyond its border, mm.
BEYOND_MM = 3.0
#: Labels whose lesions flow together, so that a centre says little: masks come before lists.
_CONFLUENT = ('wmh',)
_FULL = np.ones((3, 3, 3), dtype=bool)


@dataclass(frozen=True)
class Candidate:
    """A lesion that the application reports.

    Attributes
    ----------
    confidence : float
        The larger, the surer; minus infinity where a list has none for it.
    lesions : tuple of int
        True lesions on which it lies, the best first.
    cost : float
        Distance in mm, or minus the shared voxels, of the first; orders equal confidences.
    on_distractor : bool
        Whether it lies on something that only looks like such a lesion.
    counted : bool
        Whether the application counts it: what is definite, where its list has ``status``.
    """

    confidence: float
    lesions: tuple[int, ...] = ()
    cost: float = 0.0
    on_distractor: bool = False
    counted: bool = True


@dataclass(frozen=True)
class Lesion:
    """A true lesion, and what became of it.

    Attributes
    ----------
    diameter_mm : float
        Its diameter.
    found : bool
        Whether any candidate lies on it.
    region : str or None
        Where it lies, as the truth says.
    contrast : float or None
        Signal over that of white matter, minus 1.
    true_mm3, found_mm3 : float or None
        Its volume, and that of what was found nearest to it; None without masks on one grid.
    """

    diameter_mm: float
    found: bool
    region: str | None = None
    contrast: float | None = None
    true_mm3: float | None = None
    found_mm3: float | None = None


@dataclass(frozen=True)
class Scan:
    """Truth and candidates of a visit, for one label.

    Attributes
    ----------
    visit : str
        Its label.
    sizes : tuple of float
        Diameter in mm of each true lesion.
    candidates : tuple of Candidate
        What was found.
    n_distractors : int or None
        None where the truth has no list in this frame.
    matched_by : {'overlap', 'distance'}
        Way of comparison.
    lesions : tuple of Lesion
        True lesions, in the order of ``sizes``.
    """

    visit: str
    sizes: tuple[float, ...]
    candidates: tuple[Candidate, ...]
    n_distractors: int | None
    matched_by: str
    lesions: tuple[Lesion, ...] = ()


@dataclass(frozen=True)
class _Points:
    """Positions in mm, shape (n, 3), with a diameter or a confidence, and perhaps a row, each."""

    xyz: np.ndarray
    values: np.ndarray
    rows: tuple[dict, ...] = ()


def lesion_labels(files: Sequence[File]) -> list[str]:
    """Name the kinds of lesions of which the truth has a mask or a list."""
    labels = [file.entities['label'] for file in (*lesion_masks(files), *_lists(files))]
    return sorted(set(labels))


def match(visit: Visit, label: str, truth: Sequence[File], app: Sequence[File]) -> Scan | str:
    """Compare the lesions of one label in a visit.

    Lists are compared by distance where both sides have one in the same frame (a list of the
    application without ``space`` is taken to be in that of the truth), masks on one grid by
    overlap, a list with a mask by distance. White matter hyperintensities, which flow together,
    are compared by overlap wherever there are masks. Two masks on different grids are not
    compared at all.

    Parameters
    ----------
    visit : Visit
        The visit.
    label : str
        Kind of lesion.
    truth, app : sequence of File
        Files of the visit on both sides.

    Returns
    -------
    Scan or str
        The reason where nothing can be compared.
    """
    lists = [file for file in _lists(truth) if file.is_label(label)]
    masks = lesion_masks(truth, label)
    app_lists = [
        file
        for file in _lists(app)
        if file.is_label(label) and {'x', 'y', 'z'} <= set(tables.read(file.path)[0])
    ]
    app_masks = segmentations(app, label)
    listed = [(true, found) for true in lists for found in app_lists if _one_frame(true, found)]
    mixed = [
        *((true, found) for true in masks for found in app_lists if _one_frame(true, found)),
        *(
            (true, found)
            for true in lists
            for found in app_masks
            if _one_frame(true, found, truth)
        ),
    ]
    ways = [
        lambda: _by_overlap(visit, label, masks, lists, app_masks),
        lambda: _by_distance(visit, label, listed or mixed, lists, app_masks),
    ]
    if label.casefold() not in _CONFLUENT:
        ways.insert(0, lambda: _by_distance(visit, label, listed, lists, app_masks))
    for way in ways:
        if scan := way():
            return scan
    spaces = ', '.join(sorted({file.space or 'the scan' for file in (*lists, *masks)}))
    return f'no list in the frame and no mask on the grid of {spaces}'


def _lists(files: Sequence[File]) -> list[File]:
    return [
        file
        for file in files
        if file.suffix == 'lesions' and file.extension == '.tsv' and 'label' in file.entities
    ]


def _by_overlap(visit, label, masks, lists, app_masks) -> Scan | None:
    for mask in masks:
        if found := choose(mask, app_masks):
            listed = _beside(mask, lists)
            return _overlap_scan(visit, label, mask, found, app_masks, listed)
    return None


def _overlap_scan(visit, label, mask, found, app_masks, listed) -> Scan:
    distractors = _distractors(listed, label)
    reference, affine, _ = pixels(mask)
    true, seen = binarise(reference, pixels(found)[0])
    true, n_true = ndi.label(true, _FULL)
    parts, n_parts = ndi.label(seen, _FULL)
    confidences = _mean_probability(found, app_masks, parts, n_parts)
    candidates = [
        _overlapping(_voxels(parts, index, box), true, affine, distractors, confidence)
        for index, (box, confidence) in enumerate(
            zip(ndi.find_objects(parts), confidences, strict=True), start=1
        )
    ]
    counts = np.bincount(true.ravel(), minlength=n_true + 1)[1:]
    sizes = _diameters(counts, affine)
    known = _rows_at(_centres(true, n_true, affine), sizes, listed, label)
    voxel = abs(np.linalg.det(affine[:3, :3]))
    nearest = _nearest_volumes(true, n_true, seen, affine)
    lesions = _lesions(
        sizes,
        candidates,
        known,
        [(voxel * a, voxel * b) for a, b in zip(counts, nearest, strict=True)],
    )
    return Scan(
        visit.label, tuple(sizes), tuple(candidates), _count(distractors), 'overlap', lesions
    )


def _rows_at(centres: np.ndarray, sizes, listed: File | None, label: str) -> list[dict]:
    """Find the row of the truth's list for each part of its mask; {} where there is none."""
    points = None if listed is None else _listed(listed, label, distractors=False)
    if points is None or not len(points.xyz) or not len(centres):
        return [{} for _ in centres]
    distance, index = cKDTree(points.xyz).query(centres)
    reach = np.maximum(np.asarray(sizes) / 2, NEAREST_MM)
    return [
        points.rows[at] if away <= most else {}
        for away, at, most in zip(distance, index, reach, strict=True)
    ]


def _nearest_volumes(true: np.ndarray, n_true: int, seen: np.ndarray, affine) -> np.ndarray:
    """Count the voxels found nearest to each true lesion, not far beyond its border."""
    box = ndi.find_objects((true > 0).astype(np.uint8))
    if not box:
        return np.zeros(n_true)
    size = np.linalg.norm(affine[:3, :3], axis=0)
    reach = np.ceil(BEYOND_MM / size).astype(int)
    wide = tuple(
        slice(max(0, edge.start - more), edge.stop + more)
        for edge, more in zip(box[0], reach, strict=True)
    )
    away, at = ndi.distance_transform_edt(true[wide] == 0, sampling=size, return_indices=True)
    owner = np.where(seen[wide] & (away <= BEYOND_MM), true[wide][tuple(at)], 0)
    return np.bincount(owner.ravel(), minlength=n_true + 1)[1:]


def _lesions(sizes, candidates, rows, volumes=None) -> tuple[Lesion, ...]:
    """Say of each true lesion what the truth tells of it and whether it was found."""
    found = {lesion for candidate in candidates for lesion in candidate.lesions}
    return tuple(
        Lesion(
            diameter_mm=float(size),
            found=number in found,
            region=row.get('region') if row.get('region') not in (None, '', 'n/a') else None,
            contrast=tables.number(row.get('contrast')),
            true_mm3=None if volumes is None else float(volumes[number][0]),
            found_mm3=None if volumes is None else float(volumes[number][1]),
        )
        for number, (size, row) in enumerate(zip(sizes, rows, strict=True))
    )


def _overlapping(voxels, true, affine, distractors, confidence) -> Candidate:
    touched, shared = np.unique(true[tuple(voxels.T)], return_counts=True)
    shared, touched = shared[touched > 0], touched[touched > 0]
    if len(touched):
        order = np.argsort(-shared, kind='stable')
        lesions = tuple(int(index) - 1 for index in touched[order])
        return Candidate(float(confidence), lesions, -float(shared.max()))
    xyz = voxels @ affine[:3, :3].T + affine[:3, 3]
    return Candidate(float(confidence), on_distractor=bool(len(_near(xyz, distractors))))


def _one_frame(true: File, found: File, images: Sequence[File] = ()) -> bool:
    """Tell whether positions in two files can be compared.

    A file without space is taken to be in the frame of the other, unless the truth has images in
    that frame and this one, an image itself, has the grid of none.
    """
    if found.space is not None:
        return found.space == true.space
    same = [file for file in images if file.space == true.space and file.extension != '.tsv']
    return not same or any(same_grid(file, found) for file in same)


def _by_distance(visit, label, pairs, lists, app_masks) -> Scan | None:
    if not pairs:
        return None
    # A file without space is about the scan itself, most often the T1w.
    true, found = min(
        pairs,
        key=lambda pair: (
            pair[0].suffix != 'lesions',
            pair[1].suffix != 'lesions',
            pair[1].suffix != 'mask',
            pair[1].space is None,
            pair[0].space != 'T1w',
            pair[1].path.name,
        ),
    )
    lesions = _true_points(true, label)
    distractors = _distractors(_beside(true, lists), label)
    points = _app_points(found, app_masks)
    listed = points.rows or [{} for _ in points.xyz]
    candidates = [
        replace(
            _close(xyz, float(confidence), lesions, distractors),
            counted=(row.get('status') or DEFINITE).casefold() == DEFINITE,
        )
        for xyz, confidence, row in zip(points.xyz, points.values, listed, strict=True)
    ]
    sizes = tuple(map(float, lesions.values))
    rows = lesions.rows or [{} for _ in sizes]
    known = _lesions(sizes, candidates, rows)
    return Scan(visit.label, sizes, tuple(candidates), _count(distractors), 'distance', known)


def _close(xyz, confidence, lesions, distractors) -> Candidate:
    near = _near(xyz[None], lesions)
    if len(near):
        cost = float(np.linalg.norm(lesions.xyz[near[0]] - xyz))
        return Candidate(confidence, tuple(map(int, near)), cost)
    return Candidate(confidence, on_distractor=bool(len(_near(xyz[None], distractors))))


def _near(xyz: np.ndarray, targets: _Points | None) -> np.ndarray:
    """Give the targets within reach of any of the positions, the nearest first."""
    if targets is None or not len(targets.xyz) or not np.isfinite(xyz).all():
        return np.empty(0, int)
    distance = cKDTree(xyz).query(targets.xyz)[0]
    order = np.argsort(distance, kind='stable')
    return order[distance[order] <= np.maximum(targets.values[order] / 2, NEAREST_MM)]


def _beside(file: File, lists: Sequence[File]) -> File | None:
    """Find the truth's list in the frame of a file of the truth, which may be that list."""
    return next((listed for listed in lists if listed.space == file.space), None)


def _count(distractors: _Points | None) -> int | None:
    return None if distractors is None else len(distractors.xyz)


def _true_points(file: File, label: str) -> _Points:
    if file.suffix == 'lesions':
        return _listed(file, label, distractors=False)
    data, affine, _ = pixels(file)
    parts, n_parts = ndi.label(binarise(data, data)[0], _FULL)
    sizes = _diameters(np.bincount(parts.ravel(), minlength=n_parts + 1)[1:], affine)
    return _Points(_centres(parts, n_parts, affine), np.array(sizes))


def _app_points(file: File, files: Sequence[File]) -> _Points:
    if file.suffix == 'lesions':
        columns, rows = tables.read(file.path)
        column = next((name for name in CONFIDENCE if name in columns), None)
        values = [1.0 if column is None else tables.number(row.get(column)) for row in rows]
        xyz = [[tables.number(row.get(axis)) for axis in 'xyz'] for row in rows]
        return _Points(
            np.array(xyz, dtype=float).reshape(-1, 3),
            np.array([-np.inf if value is None else value for value in values]),
            tuple(rows),
        )
    data, affine, _ = pixels(file)
    parts, n_parts = ndi.label(binarise(np.zeros_like(data), data)[1], _FULL)
    return _Points(
        _centres(parts, n_parts, affine), _mean_probability(file, files, parts, n_parts)
    )


def _distractors(file: File | None, label: str) -> _Points | None:
    return None if file is None else _listed(file, label, distractors=True)


def _listed(file: File, label: str, *, distractors: bool) -> _Points:
    """Read lesions of the truth's list, or what it holds beside them."""
    columns, rows = tables.read(file.path)
    kinds = [row.get('kind', label).casefold() == label.casefold() for row in rows]
    rows = [row for row, same in zip(rows, kinds, strict=True) if same != distractors]
    xyz = [[_required(file.path, row, axis) for axis in 'xyz'] for row in rows]
    sizes = [_diameter(file.path, row, columns) for row in rows]
    points = np.array(xyz, dtype=float).reshape(-1, 3)
    return _Points(points, np.array(sizes, dtype=float), tuple(rows))


def _diameter(path: Path, row: dict, columns: list[str]) -> float:
    if 'diameter_mm' in columns:
        return _required(path, row, 'diameter_mm')
    return float(_sphere(_required(path, row, 'volume_mm3')))


def _required(path: Path, row: dict, column: str) -> float:
    value = tables.number(row.get(column))
    if value is None:
        raise InputError(
            f'A lesion of the truth has no number for {column}.',
            file=path,
            field=column,
            remedy='The truth needs x, y, z and diameter_mm (or volume_mm3) of each lesion.',
        )
    return value


def _mean_probability(found: File, files, parts: np.ndarray, n_parts: int) -> np.ndarray:
    """Give the mean probability of each part; 1 where there is no map of probabilities."""
    for file in files:
        if file.suffix == 'probseg' and file.space == found.space and same_grid(file, found):
            return np.atleast_1d(ndi.mean(pixels(file)[0], parts, np.arange(1, n_parts + 1)))
    return np.ones(n_parts)


def _voxels(parts: np.ndarray, index: int, box: tuple[slice, ...]) -> np.ndarray:
    return np.argwhere(parts[box] == index) + [edge.start for edge in box]


def _centres(parts: np.ndarray, n_parts: int, affine: np.ndarray) -> np.ndarray:
    index = ndi.center_of_mass(parts > 0, parts, np.arange(1, n_parts + 1))
    return np.reshape(index, (-1, 3)) @ affine[:3, :3].T + affine[:3, 3]


def _diameters(n_voxels: np.ndarray, affine: np.ndarray) -> list[float]:
    """Give the diameter of the sphere that has as much volume."""
    return list(map(float, _sphere(n_voxels * abs(np.linalg.det(affine[:3, :3])))))


def _sphere(volume: np.ndarray | float) -> np.ndarray | float:
    return np.cbrt(6 * volume / np.pi)
