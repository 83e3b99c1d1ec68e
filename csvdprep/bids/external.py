"""Masks that other tools (or people) made of a visit: find them, check their grid, or say why not.

BIDS derivatives are recognised by entities. The names that SHiVAi, LST-AI, MARS-WMH, segcsvd and
others give to files are looked for as words, in any folder that names the visit.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csvdprep.bids.files import file_digest
from csvdprep.bids.metadata import plain_number
from csvdprep.bids.names import Name, parse
from csvdprep.bids.tsv import read_tsv
from csvdprep.core.declared import Declared, External
from csvdprep.core.errors import InputError, UsageError
from csvdprep.core.grids import same_grid
from csvdprep.core.plan import Scan, Visit

#: How the names of images end.
ENDINGS = ('.nii', '.nii.gz')
#: Labels of hyperintensities: no mask of another lesion has them.
ANY_LESION = ('wmh', 'wml')
#: Suffixes of images that are no masks, whatever else their name says.
_NO_MASKS = ('T1w', 'FLAIR', 'T2w', 'dwi', 'trace', 'ADC', 'probseg', 'xfm')
_SOFT = re.compile(r'prob|change|uncertain|(^|[_-])(map|pred|logit)s?([_.-]|$)')


@dataclass(frozen=True)
class Found:
    """External masks of a visit, and what there is to say about them."""

    scans: Mapping[str, Scan]
    notes: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]


def check_derivatives(derivatives: Mapping[str, Path]) -> None:
    """Refuse names and folders that cannot be used.

    Raises
    ------
    UsageError
        If a folder does not exist, or a name cannot be part of a BIDS URI.
    """
    for name, folder in derivatives.items():
        if not re.fullmatch(r'[A-Za-z0-9.+-]+', name):
            raise UsageError(
                f'"{name}" cannot name a dataset.',
                field='--derivatives',
                remedy='Use letters and digits, as in lst=/data/lst.',
            )
        if not Path(folder).is_dir():
            raise UsageError(
                'The folder of derivatives does not exist.',
                file=folder,
                field='--derivatives',
                remedy='Check the path.',
            )


def find_external(
    visit: Visit,
    derivatives: Mapping[str, Path],
    images: Mapping[str, tuple[str, Any]],
    inspect: Callable[..., Any],
    declared: Declared,
    asked: Callable[[str, Name | None, str], bool] = lambda query, name, datatype: True,
) -> Found:
    """Look for the masks of a visit that rooms declare.

    Of several, that one is taken whose folder is named first, then whose name says most clearly
    what it is, then the first by name; the others are named.

    Parameters
    ----------
    visit : Visit
        Participant and session.
    derivatives : mapping of str to Path
        Folders by name; an earlier one is preferred.
    images : mapping
        Path and facts of the visit's images by the names of inputs (those that exist); facts as
        ``inspect`` gives them.
    inspect : callable
        ``inspect(path, mask=True)`` returns facts with ``shape`` and ``affine``.
    declared : Declared
        What may be given, and inputs.
    asked : callable, optional
        ``asked(kind, name, datatype)`` tells whether a filter admits a file; ``name`` is None
        where it is no BIDS name.

    Returns
    -------
    Found
        Scans by name. ``content`` of each gives ``mask``, the ``image`` on whose grid it lies,
        which that is (``on``: the name of an input; ``title``: what users call it), and, for
        segmentations, ``labels``: the values that are meant; without, all that is not zero.
        ``metadata`` gives ``grid`` (a frame) and ``origin`` (name of the derivative).
    """
    scans: dict[str, Scan] = {}
    notes: list[str] = []
    refused: list[tuple[str, str]] = []
    for origin, folder in derivatives.items():
        root = Path(os.path.abspath(folder))
        files, loose = _files_of(visit, root)
        of_use = 0
        for external in declared.externals:
            kind, words = external.name, external.title
            faults, fitting = [], []
            for _, shown, file in _ranked(files, root, external, declared):
                if not asked(kind, _name(file), file.parent.name):
                    notes.append(
                        f'{words}: {origin}:{shown} is left out, as --bids-filter-file asks.'
                    )
                    continue
                try:
                    if not file.name.endswith(ENDINGS):
                        raise InputError(
                            'Images are read by the name .nii or .nii.gz.',
                            file=file,
                            remedy='Rename it in small letters.',
                        )
                    fitting.append(
                        _admit(file, external, origin, root, images, inspect, notes, declared)
                    )
                except InputError as error:
                    faults.append((f'{origin}:{shown}', str(error)))
            of_use += len(fitting)
            if not fitting:
                # Where one fits, the same mask in other spaces is no news.
                refused += [] if kind in scans else faults
                continue
            why = 'its name is clearer, or comes first'
            if kind in scans:
                why = f'{scans[kind].metadata["origin"]} is named first in --derivatives'
            else:
                scans[kind] = fitting.pop(0)
                grid = scans[kind].content['title']
                notes.append(
                    f'{words}: {_shown(scans[kind])} is used (on the grid of the {grid}).'
                )
            if fitting:
                rest = ', '.join(map(_shown, fitting))
                notes.append(
                    f'{words}: {_shown(scans[kind])} is taken before {rest}: {why}. Ask '
                    f'for another by --bids-filter-file ("{kind}").'
                )
        if not of_use:
            notes.append(f'{origin} has no mask that can be used for {visit.label}.')
            if loose and any(_ranked(loose, root, item, declared) for item in declared.externals):
                notes.append(
                    f'{origin} has masks of sub-{visit.subject} that do not name their '
                    'session; they are left out.'
                )
    return Found(scans, tuple(notes), tuple(refused))


def _files_of(visit: Visit, root: Path) -> tuple[list[Path], list[Path]]:
    """List the images whose path names the visit and no other, and those without a session."""
    subject = re.compile(rf'(^|[/_-])sub-{re.escape(visit.subject)}(?![A-Za-z0-9+])')
    session = re.compile(r'(?:^|[/_-])ses-([A-Za-z0-9+]+)')
    files: list[Path] = []
    loose: list[Path] = []
    for top in sorted(root.iterdir()):
        # Other participants' folders are never entered: there may be thousands.
        if top.name.startswith('sub-') and not subject.search(top.name):
            continue
        below = (
            sorted(path for path in top.rglob('*') if path.name.lower().endswith(ENDINGS))
            if top.is_dir()
            else [top]
        )
        for file in below:
            shown = file.relative_to(root).as_posix()
            if not subject.search(shown) or not file.name.lower().endswith(ENDINGS):
                continue
            named = set(session.findall(shown))
            if named == ({visit.session} if visit.session else set()):
                files.append(file)
            elif not named:
                loose.append(file)
    return files, loose


def _ranked(
    files: list[Path], root: Path, external: External, declared: Declared
) -> list[tuple[int, str, Path]]:
    others = [
        re.compile(item.words) for item in declared.externals if item.lesion and not item.otherwise
    ]
    ranks = ((_rank(file, root, external, others), file) for file in files)
    return sorted((r, f.relative_to(root).as_posix(), f) for r, f in ranks if r is not None)


def _rank(file: Path, root: Path, external: External, others: list[re.Pattern]) -> int | None:
    """Say how clearly a file is of a kind (0 is clearest), None if it is not."""
    words, name, told = file.name.lower(), _name(file), re.compile(external.words)
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
    for table in _tables(file, root):
        found = read_tsv(table)
        numbers = found.named('index', 'label', 'value', 'id')
        texts = found.named('name', 'structure', 'region', 'label_name')
        if not numbers or not texts:
            continue
        values = [
            plain_number(row.get(numbers[0]))
            for row in found.rows
            if re.search(external.rows, row.get(texts[0], ''), re.IGNORECASE)
        ]
        if values := [int(value) for value in values if value is not None]:
            return sorted(values)
    return []


def _tables(file: Path, root: Path) -> Iterator[Path]:
    """Yield the look-up tables that apply to a segmentation, the nearest first."""
    stem = file.name.removesuffix('.gz').removesuffix('.nii')
    own = file.with_name(f'{stem}.tsv')
    if os.path.lexists(own):
        yield own
    name = _name(file)
    if name is None:
        return
    folders = [file.parent, *file.parent.parents]
    for folder in folders[: folders.index(root) + 1] if root in folders else []:
        fitting = []
        for table in folder.glob(f'*{name.suffix}.tsv'):
            above = _name(table)
            entities = above.entities if above else {}
            whole = above or table.stem == name.suffix
            if table != own and whole and entities.items() <= name.entities.items():
                fitting.append((-len(entities), table))
        yield from (table for _, table in sorted(fitting))


def _name(file: Path) -> Name | None:
    """Take a name apart; None if it is no BIDS name."""
    try:
        return parse(file)
    except InputError:
        return None


def _admit(
    file: Path,
    external: External,
    origin: str,
    root: Path,
    images: Mapping[str, tuple[str, Any]],
    inspect: Callable[..., Any],
    notes: list[str],
    declared: Declared,
) -> Scan:
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
            f'The mask ({size} voxels) lies on no grid of the visit ({own or "no image"}).',
            file=file,
            field='affine',
            remedy=f'Give the mask in the space of the raw {titles} (resample it with nearest '
            'neighbour).',
        )
    labels = []
    if external.lesion and 'dseg' in file.name:
        labels = _label_values(file, root, external)
    _check_values(file, external, facts, labels, f'{origin}:{shown}', notes)
    image = images[grid][0]
    behind = [grid, file_digest(file), file_digest(image)]
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
        },
        digest=hashlib.sha256(' '.join([*behind, *map(str, labels)]).encode()).hexdigest(),
    )


def _check_values(
    file: Path, external: External, facts: Any, labels: list[int], shown: str, notes: list[str]
) -> None:
    """Refuse a mask that means nothing, and tell of one that is empty."""
    high = float(facts.high)
    if 0 < high <= 0.5:
        raise InputError(
            f'No voxel of the mask is above 0.5 (the greatest value is {high:g}).',
            file=file,
            field='voxel data',
            remedy='Give a mask of 0 and 1: cut the probability at a threshold.',
        )
    if not high > 0:
        if not external.lesion:
            raise InputError(
                f'The {external.title} is empty.',
                file=file,
                field='voxel data',
                remedy='Give another, or none: the brain is then found here.',
            )
        notes.append(f'{external.title}: {shown} is empty: no lesion.')
    if external.lesion and 'dseg' in file.name and not labels and facts.levels > 2:
        raise InputError(
            'The segmentation has several values, and no table tells which of them '
            f'are meant ({external.title}).',
            file=file,
            field='voxel data',
            remedy='Put a table of the same name beside it (.tsv with index and '
            'name), or give a mask of 0 and 1.',
        )


def _grid(image: str, declared: Declared) -> str:
    """Name the grid of an input."""
    return {item.name: item.frame for item in declared.inputs}[image]


def _title(image: str, declared: Declared) -> str:
    return {item.name: item.title for item in declared.inputs}[image]


def _shown(scan: Scan) -> str:
    return scan.uri.removeprefix('bids:')
