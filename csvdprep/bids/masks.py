"""Masks and segmentations of other tools: what a file is, on which grid, with what values."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from csvdprep.bids.files import file_digest
from csvdprep.bids.metadata import plain_number
from csvdprep.bids.names import Name, parse
from csvdprep.bids.tsv import read_tsv
from csvdprep.core.declared import Declared, External
from csvdprep.core.errors import InputError
from csvdprep.core.grids import same_grid
from csvdprep.core.plan import Scan

#: Labels of hyperintensities: no mask of another lesion has them.
ANY_LESION = ('wmh', 'wml')
#: Suffixes of images that are no masks, whatever else their name says.
_NO_MASKS = ('T1w', 'FLAIR', 'T2w', 'dwi', 'trace', 'ADC', 'probseg', 'xfm')
_SOFT = re.compile(r'prob|change|uncertain|(^|[_-])(map|pred|logit)s?([_.-]|$)')


def rank_mask(file: Path, root: Path, external: External, others: list[re.Pattern]) -> int | None:
    """Say how clearly a file is a mask of a kind (0 is clearest), None if it is not."""
    name = name_of(file)
    if external.classes:
        return _rank_classes(file, name, root, external)
    words, told = file.name.lower(), re.compile(external.words)
    label = name.entities.get('label', '').lower() if name else ''
    desc = name.entities.get('desc', '').lower() if name else ''
    is_mask = name is not None and name.suffix == 'mask'
    if not external.lesion:
        if is_mask and {desc, label} & {*external.labels}:
            return 0
        return 1 if told.search(words) else None
    if _SOFT.search(words):
        return None
    said = _without_visit(words)
    own = set(external.labels) - {'lesion'}
    if external.otherwise and label not in own and any(word.search(said) for word in others):
        # "stroke_lesion" and "label-lesion_desc-infarct" are no hyperintensities.
        return None
    if is_mask:
        if label in external.labels or (not external.otherwise and told.search(label)):
            return 0
        if external.otherwise:
            return 1 if told.search(f'{label} {desc}') else None
        return 1 if told.search(desc) and label in ('', 'lesion') else None
    if name and name.suffix == 'dseg':
        known = told.search(f'{label} {desc}') or _has_label_values(file, root, external)
        return 2 if known else None
    if name and (name.suffix in _NO_MASKS or (not external.otherwise and label in ANY_LESION)):
        return None
    return 3 if told.search(words if external.otherwise else said) else None


def _rank_classes(file: Path, name: Name | None, root: Path, external: External) -> int | None:
    """Say how clearly a file is a segmentation of all classes; one of an atlas is none."""
    if name is None or name.suffix != 'dseg' or {'atlas', 'seg'} & name.entities.keys():
        return None
    try:
        found = _class_values(file, root, external)
    except InputError:
        return None
    if not found:
        return None
    # What has a name of its own (desc-aseg) is finer than what has none.
    return 1 if name.entities.get('desc') else 0


def _class_values(file: Path, root: Path, external: External) -> dict[str, list[int]]:
    """Read which values of a segmentation are of which class, none if one is not there."""
    for rows in _readings(file, root):
        found: dict[str, set[int]] = {name: set() for name in external.classes}
        for value, words in rows:
            kinds = (k for k, told in external.classes.items() if re.search(told, words.lower()))
            if (kind := next(kinds, None)) is not None:
                found[kind].add(value)
        if all(found.values()):
            return {kind: sorted(values) for kind, values in found.items()}
    return {}


def _without_visit(words: str) -> str:
    """Take the labels of the visit out of a name: a participant may be called stroke01."""
    return re.sub(r'(^|(?<=[_-]))(sub|ses)-[a-z0-9+]+', '', words)


def _has_label_values(file: Path, root: Path, external: External) -> bool:
    """Tell whether a table says which values are meant; one that cannot be read is told once."""
    try:
        return bool(_label_values(file, root, external))
    except InputError:
        return external.otherwise


def _label_values(file: Path, root: Path, external: External) -> list[int]:
    """Read which values of a segmentation are lesions of a kind.

    From the table beside it, or the nearest that BIDS lets it inherit; never from that of another
    segmentation.

    Raises
    ------
    InputError
        If its table cannot be read.
    """
    for rows in _readings(file, root):
        if values := {v for v, words in rows if re.search(external.rows, words, re.IGNORECASE)}:
            return sorted(values)
    return []


def _readings(file: Path, root: Path) -> Iterator[list[tuple[int, str]]]:
    """Yield values and names of each look-up table that has both, the nearest first."""
    for table in _tables(file, root):
        found = read_tsv(table)
        numbers = found.named('index', 'label', 'value', 'id')
        texts = found.named('name', 'structure', 'region', 'label_name')
        if numbers and texts:
            values = [(plain_number(row.get(numbers[0])), row) for row in found.rows]
            yield [(int(v), row.get(texts[0], '')) for v, row in values if v is not None]


def _tables(file: Path, root: Path) -> Iterator[Path]:
    """Yield the look-up tables that apply to a segmentation, the nearest first."""
    stem = file.name.removesuffix('.gz').removesuffix('.nii')
    own = file.with_name(f'{stem}.tsv')
    if os.path.lexists(own):
        yield own
    name = name_of(file)
    if name is None:
        return
    folders = [file.parent, *file.parent.parents]
    for folder in folders[: folders.index(root) + 1] if root in folders else []:
        fitting = []
        for table in folder.glob(f'*{name.suffix}.tsv'):
            above = name_of(table)
            entities = above.entities if above else {}
            whole = above or table.stem == name.suffix
            if table != own and whole and entities.items() <= name.entities.items():
                fitting.append((-len(entities), table))
        yield from (table for _, table in sorted(fitting))


def name_of(file: Path) -> Name | None:
    """Take a name apart; None if it is no BIDS name."""
    try:
        return parse(file)
    except InputError:
        return None


def admit_mask(
    file: Path,
    external: External,
    origin: str,
    root: Path,
    images: Mapping[str, tuple[str, Any]],
    inspect: Callable[..., Any],
    notes: list[str],
    declared: Declared,
) -> Scan:
    """Take a mask or segmentation in, if it lies on a grid of the visit and means something.

    Raises
    ------
    InputError
        If it does not.
    """
    facts = inspect(file, mask=True)
    shown = file.relative_to(root).as_posix()
    grid = next(
        (g for g in external.grids if g in images and same_grid(facts, images[g][1])), None
    )
    if grid is None:
        size = ' x '.join(map(str, facts.shape))
        own = ', '.join(
            f'{_grid(name, declared)} {" x ".join(map(str, known.shape))}'
            for name, (_, known) in images.items()
        )
        titles = ' or '.join(_title(name, declared) for name in sorted(external.grids))
        raise InputError(
            f'The mask ({size} voxels) does not match the grid of any image of the visit '
            f'({own or "no image"}).',
            file=file,
            field='affine',
            remedy=f'Resample the mask to the space of the raw {titles} with nearest neighbour.',
        )
    labels, classes = [], {}
    if external.classes:
        classes = _class_values(file, root, external)
    elif external.lesion and 'dseg' in file.name:
        labels = _label_values(file, root, external)
    _check_values(file, external, facts, labels, f'{origin}:{shown}', notes)
    image = images[grid][0]
    behind = [grid, file_digest(file), file_digest(image)]
    told = labels or sorted(classes.items())
    return Scan(
        name=external.name,
        path=str(file),
        uri=f'bids:{origin}:{shown}',
        metadata={'grid': _grid(grid, declared), 'origin': origin},
        content={
            'mask': str(file),
            'image': image,
            'on': grid,
            'title': _title(grid, declared),
            **({'labels': labels} if labels else {}),
            **({'classes': classes} if classes else {}),
        },
        digest=hashlib.sha256(' '.join([*behind, *map(str, told)]).encode()).hexdigest(),
    )


def rank_map(file: Path, external: External) -> int | None:
    """Say how clearly a file is a map of a kind (0 is clearest), None if it is not.

    Examples
    --------
    >>> flow = External(name='cbf', title='', description='', grids=(), words='', suffix='cbf')
    >>> [rank_map(Path(f'sub-01_{rest}cbf.nii.gz'), flow) for rest in (
    ...     '', 'desc-basil_', 'space-T1w_', 'desc-pvGM_', 'desc-timeseries_', 'mean_')]
    [0, 1, 10, None, None, None]
    """
    name = name_of(file)
    if name is None or name.suffix != external.suffix or not file.name.endswith(('.nii', '.gz')):
        return None
    desc = name.entities.get('desc', '').lower()
    # Of one tissue, of each volume, or of another statistic: no map of the whole brain.
    if {'label', 'atlas', 'seg', 'stat'} & name.entities.keys() or re.search(
        'pv|gm|wm|timeseries', desc
    ):
        return None
    place = name.entities.get('space', '').lower()
    spaces = {'': 0, 'asl': 0, 'aslref': 0, 't1w': 10}
    return None if place not in spaces else spaces[place] + bool(desc)


def admit_map(
    file: Path,
    external: External,
    origin: str,
    root: Path,
    images: Mapping[str, tuple[str, Any]],
    inspect: Callable[..., Any],
    declared: Declared,
) -> Scan:
    """Take a map of values in, if it is known where it lies and holds anything.

    Raises
    ------
    InputError
        If it does not.
    """
    facts = inspect(file, mask=True)
    shown = file.relative_to(root).as_posix()
    name = name_of(file)
    space = (name.entities.get('space', '') if name else '').lower()
    grid = next(
        (g for g in external.grids if g in images and same_grid(facts, images[g][1])), None
    ) or next((g for g in external.grids if g in images and g == space), None)
    if grid is None:
        titles = ' or '.join(_title(one, declared) for one in sorted(external.grids))
        raise InputError(
            f'The {external.title} ({" x ".join(map(str, facts.shape))} voxels) does not match '
            'the grid of any image of the visit.',
            file=file,
            field='affine',
            remedy=f'Give it on the grid of the raw {titles}, or name its space (space-T1w).',
        )
    if not facts.low < facts.high:
        raise InputError(
            f'The {external.title} holds one value only.',
            file=file,
            field='voxel data',
            remedy='Give another, or none.',
        )
    image = images[grid][0]
    behind = [grid, file_digest(file), file_digest(image)]
    return Scan(
        name=external.name,
        path=str(file),
        uri=f'bids:{origin}:{shown}',
        metadata={'grid': _grid(grid, declared), 'origin': origin},
        content={'mask': str(file), 'image': image, 'on': grid, 'title': _title(grid, declared)},
        digest=hashlib.sha256(' '.join(behind).encode()).hexdigest(),
    )


def _check_values(
    file: Path, external: External, facts: Any, labels: list[int], shown: str, notes: list[str]
) -> None:
    """Refuse a mask that means nothing, and tell of one that is empty."""
    high = float(facts.high)
    if 0 < high <= 0.5:
        raise InputError(
            f'No voxel of the mask is above 0.5 (the highest value is {high:g}).',
            file=file,
            field='voxel data',
            remedy='Give a mask of 0 and 1: apply a threshold to the probability map.',
        )
    if not high > 0:
        if not external.lesion:
            raise InputError(
                f'The {external.title} is empty.',
                file=file,
                field='voxel data',
                remedy='Give another mask, or none; csvdprep then extracts the brain itself.',
            )
        notes.append(f'{external.title}: {shown} is empty, so there is no lesion.')
    if external.lesion and 'dseg' in file.name and not labels and facts.levels > 2:
        raise InputError(
            'The segmentation has several labels, and no table defines which of them are '
            f'meant ({external.title}).',
            file=file,
            field='voxel data',
            remedy='Add a table with the same name (.tsv with columns index and name), or '
            'give a mask of 0 and 1.',
        )


def _grid(image: str, declared: Declared) -> str:
    """Name the grid of an input."""
    return {item.name: item.frame for item in declared.inputs}[image]


def _title(image: str, declared: Declared) -> str:
    return {item.name: item.title for item in declared.inputs}[image]
