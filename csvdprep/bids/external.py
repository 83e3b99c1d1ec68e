"""Masks that other tools (or people) made of a visit: find them, check their grid, or say why not.

BIDS derivatives are recognised by entities. The names that SHiVAi, LST-AI, MARS-WMH, segcsvd and
others give to files are looked for as words, in any folder that names the visit.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csvdprep.bids.files import file_digest
from csvdprep.bids.names import parse
from csvdprep.bids.tsv import read_tsv
from csvdprep.core.errors import InputError, UsageError
from csvdprep.core.plan import Scan, Visit

#: Names of the lexicon, with what users call them.
KINDS = {'wmh_external': 'WMH mask', 'brain_mask_external': 'brain mask'}
#: Grids on which each kind is looked for, the first before the second.
GRIDS = {'wmh_external': ('flair', 'anat'), 'brain_mask_external': ('anat', 'flair')}
#: Largest distance (mm) between the same corner of two grids that count as one.
SAME_GRID = 0.1

_LESION = re.compile(r'wmh|wml|wmsa|lesion|leuko|hyperintens|(^|[_-])lst')
_BRAIN = re.compile(r'brain[_-]?mask|desc-brain[^_]*_mask|label-brain_mask')
_SOFT = re.compile(r'prob|change|uncertain|(^|[_-])(map|pred|logit)s?([_.-]|$)')
_ROW = re.compile(r'wmh|white matter hyperintens|wm.?hypo|wm.?hyper|lesion', re.IGNORECASE)


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
            raise UsageError(f'"{name}" cannot name a dataset.', field='--derivatives',
                             remedy='Use letters and digits, as in lst=/data/lst.')  # fmt: skip
        if not Path(folder).is_dir():
            raise UsageError('The folder of derivatives does not exist.', file=folder,
                             field='--derivatives', remedy='Check the path.')  # fmt: skip


def find_external(visit: Visit, derivatives: Mapping[str, Path], grids: Mapping[str, Any],
                  inspect: Callable[..., Any]) -> Found:  # fmt: skip
    """Look for a WMH mask and a brain mask of a visit.

    Parameters
    ----------
    visit : Visit
        Participant and session.
    derivatives : mapping of str to Path
        Folders by name; an earlier one is preferred.
    grids : mapping
        Facts of the visit's ``flair`` and ``anat`` images (those that exist), as ``inspect``
        gives them.
    inspect : callable
        ``inspect(path, mask=True)`` returns facts with ``shape`` and ``affine``.

    Returns
    -------
    Found
        Scans by name of the lexicon. ``metadata`` of each gives ``grid`` ('flair' or 'anat'),
        ``origin`` (name of the derivative) and, for segmentations, ``labels``: the values that
        are meant; without, all that is not zero.
    """
    scans: dict[str, Scan] = {}
    notes: list[str] = []
    refused: list[tuple[str, str]] = []
    for origin, folder in derivatives.items():
        root = Path(os.path.abspath(folder))
        files, loose = _files_of(visit, root)
        used = 0
        for kind, words in KINDS.items():
            if kind in scans:
                continue
            faults = []
            for _, shown, file in _ranked(files, root, kind):
                try:
                    scan = _admit(file, kind, origin, shown, grids, inspect)
                except InputError as error:
                    faults.append((f'{origin}:{shown}', str(error)))
                    continue
                scans[kind], used = scan, used + 1
                notes.append(f'{words}: {origin}:{shown} is used (on the grid of the '
                             f'{_image_of(scan.metadata["grid"], grids)}).')  # fmt: skip
                break
            else:
                # Where one fits, the same mask in other spaces is no news.
                refused += faults
        if not used:
            notes.append(f'{origin} has no mask that can be used for {visit.label}.')
            if loose and any(_ranked(loose, root, kind) for kind in KINDS):
                notes.append(f'{origin} has masks of sub-{visit.subject} that do not name their '
                             'session; they are left out.')  # fmt: skip
    return Found(scans, tuple(notes), tuple(refused))


def same_grid(one: Any, other: Any) -> bool:
    """Tell whether two images have the same voxels in the world, however they are stored.

    Parameters
    ----------
    one, other : object
        Each with ``shape`` and ``affine`` (voxel to world, 4 x 4).

    Returns
    -------
    bool
        True if all corners coincide and the voxels are as many along each world direction;
        axes may be swapped or flipped.
    """
    if sorted(one.shape) != sorted(other.shape):
        return False
    corners, others = _corners(one), _corners(other)
    matched = [min(range(8), key=lambda j, c=c: _distance(c, others[j])) for c in corners]
    if len(set(matched)) < 8:
        return False
    if any(_distance(c, others[j]) > SAME_GRID for c, j in zip(corners, matched, strict=True)):
        return False
    # Equal corners leave one trap: the same box cut into other numbers of voxels.
    for axis in range(3):
        moved = [(matched[0] ^ matched[1 << axis]) == 1 << k for k in range(3)]
        if not any(moved) or one.shape[axis] != other.shape[moved.index(True)]:
            return False
    return True


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
        for file in sorted(top.rglob('*.nii*')) if top.is_dir() else [top]:
            shown = file.relative_to(root).as_posix()
            if not file.name.endswith(('.nii', '.nii.gz')) or not subject.search(shown):
                continue
            named = set(session.findall(shown))
            if named == ({visit.session} if visit.session else set()):
                files.append(file)
            elif not named:
                loose.append(file)
    return files, loose


def _ranked(files: list[Path], root: Path, kind: str) -> list[tuple[int, str, Path]]:
    ranks = ((_rank(file, kind), file) for file in files)
    return sorted((r, f.relative_to(root).as_posix(), f) for r, f in ranks if r is not None)


def _rank(file: Path, kind: str) -> int | None:
    """Say how clearly a file is of a kind (0 is clearest), None if it is not."""
    words = file.name.lower()
    try:
        name = parse(file)
    except InputError:
        name = None
    label = name.entities.get('label', '').lower() if name else ''
    desc = name.entities.get('desc', '').lower() if name else ''
    if kind == 'brain_mask_external':
        if name and name.suffix == 'mask' and (desc == 'brain' or label == 'brain'):
            return 0
        return 1 if _BRAIN.search(words) else None
    if _SOFT.search(words):
        return None
    if name and name.suffix == 'mask':
        if label in ('wmh', 'lesion', 'wml'):
            return 0
        return 1 if _LESION.search(f'{label} {desc}') else None
    if name and name.suffix == 'dseg':
        return 2 if _LESION.search(f'{label} {desc}') or _has_label_values(file) else None
    if name and name.suffix in ('T1w', 'FLAIR', 'T2w', 'probseg', 'xfm'):
        return None
    return 3 if _LESION.search(words) else None


def _has_label_values(file: Path) -> bool:
    """Tell whether a table says which values are meant; one that cannot be read is told later."""
    try:
        return bool(_label_values(file))
    except InputError:
        return True


def _label_values(file: Path) -> list[int]:
    """Read from the table beside a segmentation which of its values are hyperintensities.

    Raises
    ------
    InputError
        If it has a table of its own, and this cannot be read.
    """
    stem = file.name.removesuffix('.gz').removesuffix('.nii')
    own = file.with_name(f'{stem}.tsv')
    for table in (own, *sorted(file.parent.glob('*dseg.tsv'))):
        try:
            values = [int(row['index']) for row in read_tsv(table).rows
                      if _ROW.search(row.get('name', ''))]  # fmt: skip
        except InputError:
            if table == own:
                raise
            continue
        except (OSError, ValueError, KeyError):
            continue
        if values:
            return sorted(values)
    return []


def _admit(file: Path, kind: str, origin: str, shown: str, grids: Mapping[str, Any],
           inspect: Callable[..., Any]) -> Scan:  # fmt: skip
    facts = inspect(file, mask=True)
    grid = next((g for g in GRIDS[kind] if g in grids and same_grid(facts, grids[g])), None)
    if grid is None:
        size = ' x '.join(map(str, facts.shape))
        own = ', '.join(f'{name} {" x ".join(map(str, f.shape))}' for name, f in grids.items())
        raise InputError(
            f'The mask ({size} voxels) lies on no grid of the visit ({own or "no image"}).',
            file=file, field='affine',
            remedy='Give the mask in the space of the raw FLAIR or T1w (resample it with nearest '
            'neighbour).',
        )  # fmt: skip
    metadata: dict[str, Any] = {'grid': grid, 'origin': origin}
    if kind == 'wmh_external' and 'dseg' in file.name and (labels := _label_values(file)):
        metadata['labels'] = labels
    return Scan(name=kind, path=str(file), uri=f'bids:{origin}:{shown}',
                digest=file_digest(file), metadata=metadata)  # fmt: skip


def _image_of(grid: str, grids: Mapping[str, Any]) -> str:
    return 'FLAIR' if grids[grid] is grids.get('flair') else 'T1w'


def _corners(facts: Any) -> list[tuple[float, ...]]:
    """Return the centres of the eight corner voxels; bit k of the index is the end of axis k."""
    corners = []
    for code in range(8):
        index = [(n - 1) * (code >> k & 1) for k, n in enumerate(facts.shape)]
        corners.append(tuple(
            float(row[3]) + sum(float(row[k]) * index[k] for k in range(3))
            for row in facts.affine[:3]
        ))  # fmt: skip
    return corners


def _distance(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5
