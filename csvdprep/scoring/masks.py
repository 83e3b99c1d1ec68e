"""Overlap of the application's masks and tissues with the truth, per visit and over visits."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from csvdprep.science.overlap import evaluate
from csvdprep.scoring import tables
from csvdprep.scoring.find import File, Visit, choose, pixels

__all__ = ['compare_masks', 'lesion_masks', 'segmentations', 'summarise']

TISSUES = {'CSF': {1}, 'GM': {2}, 'WM': {3}}
#: Measures that are summed up over visits.
_SUMMARISED = ('dice', 'hd95', 'avd', 'recall', 'f1')
_SUMMARISED_OF = {'brain': ('dice', 'hd95', 'avd'), **dict.fromkeys(TISSUES, ('dice', 'avd'))}
_NAMES = {
    'reference_ml': 'truth_ml',
    'prediction_ml': 'found_ml',
    'n_reference': 'n_truth',
    'n_prediction': 'n_found',
}
_OF_LESIONS = ('recall', 'f1', 'precision', 'n_truth', 'n_found', 'n_detected', 'n_hits')
_OF_ALL = ('dice', 'hd95', 'avd', 'truth_ml', 'found_ml')
_EMPTY = dict.fromkeys((*_OF_ALL, *_OF_LESIONS, 'file', 'reason'))
_STATISTICS = {'mean': np.mean, 'median': np.median, 'low': np.min, 'high': np.max}


def lesion_masks(files: Iterable[File], label: str | None = None) -> list[File]:
    """Pick the truth's lesion masks, of one label or of all."""
    return [
        file
        for file in files
        if file.suffix == 'mask'
        and 'label' in file.entities
        and not _is_brain(file)
        and (label is None or file.is_label(label))
    ]


def segmentations(files: Iterable[File], label: str) -> list[File]:
    """Pick the application's masks, segmentations and probabilities of a label."""
    return [
        file
        for file in files
        if file.suffix in ('mask', 'dseg', 'probseg')
        and file.extension.startswith('.nii')
        and file.is_label(label)
    ]


def compare_masks(visit: Visit, truth: tuple[File, ...], app: tuple[File, ...]) -> list[dict]:
    """Compare all masks and tissues of a visit.

    Where the truth has a mask in the grids of several images, each of them is compared of which
    the application has a mask; if there is none, one row says so.

    Parameters
    ----------
    visit : Visit
        The visit.
    truth, app : tuple of File
        Its files on both sides.

    Returns
    -------
    list of dict
        Rows of ``masks.tsv``.
    """
    rows = []
    labels = dict.fromkeys(file.entities['label'] for file in lesion_masks(truth))
    for label in labels:
        found = segmentations(app, label)
        rows += _rows(visit, label, lesion_masks(truth, label), found, _lesions, 'mask')
    brains = [file for file in app if _is_brain(file)]
    rows += _rows(visit, 'brain', [f for f in truth if _is_brain(f)], brains, _brain, 'mask')
    tissues = [file for file in app if _is_segmentation(file) and _indices(file)]
    rows += _rows(
        visit,
        'tissues',
        [f for f in truth if _is_true_tissue(f)],
        tissues,
        _tissues,
        '_dseg with CSF, GM and WM in its table',
    )
    return rows


def summarise(rows: Iterable[dict]) -> list[dict]:
    """Give mean, median and range over visits of each measure, per label and image.

    Parameters
    ----------
    rows : iterable of dict
        Of `compare_masks`.

    Returns
    -------
    list of dict
        ``label, space, measure, n, mean, median, low, high, reason``. The measure
        ``volume_slope`` is that of found on true volumes, least squares through the origin.
    """
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        if row['file']:
            groups.setdefault((row['label'], row['space']), []).append(row)
    return [line for key, group in groups.items() for line in _summary(*key, group)]


def _summary(label: str, space: str | None, rows: list[dict]) -> list[dict]:
    lines = []
    for name in _SUMMARISED_OF.get(label, _SUMMARISED):
        values = [row[name] for row in rows if row[name] is not None]
        line = {'label': label, 'space': space, 'measure': name, 'n': len(values)}
        for key, statistic in _STATISTICS.items():
            line[key] = float(statistic(values)) if values else None
        lines.append(line | {'reason': None if values else 'not defined in any visit'})
    truth, found = (np.array([row[name] for row in rows]) for name in ('truth_ml', 'found_ml'))
    slope = float(truth @ found / (truth @ truth)) if truth.any() else None
    lines.append(
        {
            'label': label,
            'space': space,
            'measure': 'volume_slope',
            'n': len(rows),
            'mean': slope,
            'median': None,
            'low': None,
            'high': None,
            'reason': None if truth.any() else 'all masks of the truth are empty',
        }
    )
    return lines


def _rows(visit, label, truths, candidates, compare, what) -> list[dict]:
    """Compare on each grid that both sides have, or tell that there is none."""
    rows = []
    for truth in truths:
        found = choose(truth, candidates)
        if found:
            rows += [
                visit.columns
                | {'label': part, 'space': truth.space}
                | _EMPTY
                | values
                | {'file': found.path.name}
                for part, values in compare(label, truth, found)
            ]
    if truths and not rows:
        spaces = ', '.join(dict.fromkeys(file.space or file.path.name for file in truths))
        rows.append(
            visit.columns
            | {'label': label, 'space': spaces}
            | _EMPTY
            | {'reason': f'no {what} on the grid of {spaces}'}
        )
    return rows


def _lesions(label: str, truth: File, found: File) -> list[tuple[str, dict]]:
    return [(label, _overlap(pixels(truth), pixels(found)[0]))]


def _brain(label: str, truth: File, found: File) -> list[tuple[str, dict]]:
    values = _overlap(pixels(truth), pixels(found)[0])
    return [(label, {name: values[name] for name in (*_OF_ALL, 'reason')})]


def _tissues(_: str, truth: File, found: File) -> list[tuple[str, dict]]:
    true, affine, _ = pixels(truth)
    seen = pixels(found)[0]
    voxel_ml = abs(np.linalg.det(affine[:3, :3])) / 1000
    rows = []
    for name, numbers in (_indices(truth) or TISSUES).items():
        a, b = np.isin(true, list(numbers)), np.isin(seen, list(_indices(found)[name]))
        n_a, n_b = int(a.sum()), int(b.sum())
        values = {
            'dice': 2 * int((a & b).sum()) / (n_a + n_b) if n_a + n_b else None,
            'avd': 100 * abs(n_a - n_b) / n_a if n_a else None,
            'truth_ml': n_a * voxel_ml,
            'found_ml': n_b * voxel_ml,
        }
        rows.append((name, values | {'reason': _reason(values)}))
    return rows


def _overlap(truth: tuple, found: np.ndarray) -> dict:
    data, affine, across = truth
    values = evaluate(data, found, affine, slice_axis=across).as_dict()
    values = {_NAMES.get(name, name): value for name, value in values.items()}
    values = {name: values[name] for name in (*_OF_ALL, *_OF_LESIONS)}
    return values | {'reason': _reason(values)}


def _reason(values: dict) -> str | None:
    """Say why something is missing."""
    missing = ', '.join(name for name, value in values.items() if value is None)
    if not missing:
        return None
    masks = {'truth_ml': "the truth's mask is empty", 'found_ml': "the app's mask is empty"}
    empty = [said for name, said in masks.items() if not values[name]]
    return f'{missing}: {" and ".join(empty) or "a mask has no border within the image"}'


def _is_brain(file: File) -> bool:
    named = file.entities.get('desc'), file.entities.get('label')
    return file.suffix == 'mask' and named in (('brain', None), (None, 'brain'))


def _is_true_tissue(file: File) -> bool:
    """Tell tissues from what else the truth segments, with or without a table beside it."""
    if not _is_segmentation(file):
        return False
    return bool(_indices(file)) or ('desc' not in file.entities and _table(file.path) is None)


def _is_segmentation(file: File) -> bool:
    return (
        file.suffix == 'dseg'
        and file.extension.startswith('.nii')
        and not {'label', 'atlas', 'seg'} & set(file.entities)
    )


def _indices(file: File) -> dict[str, set[int]] | None:
    """Read which numbers are which tissue, from the table beside the image."""
    table = _table(file.path)
    if table is None:
        return None
    found: dict[str, set[int]] = {name: set() for name in TISSUES}
    for row in tables.read(table)[1]:
        index, name = tables.number(row.get('index')), row.get('abbreviation', '').upper()
        if name in found and index is not None:
            found[name].add(int(index))
    return found if all(found.values()) else None


def _table(image: Path) -> Path | None:
    stem = image.name.removesuffix('.gz').removesuffix('.nii')
    path = image.with_name(f'{stem}.tsv')
    return path if path.is_file() else None
