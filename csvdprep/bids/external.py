"""What other tools (or people) made of a visit: find it, check it, or say why it is not taken.

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
from csvdprep.bids.masks import admit_map, admit_mask, name_of, rank_map, rank_mask
from csvdprep.bids.names import Name, fill
from csvdprep.core.declared import Declared, External
from csvdprep.core.errors import InputError, UsageError
from csvdprep.core.plan import Scan, Visit

#: How the names of images end.
ENDINGS = ('.nii', '.nii.gz')
#: How the names of transforms end.
TRANSFORMS = ('.h5',)
_TAKEN = (*ENDINGS, *TRANSFORMS)


@dataclass(frozen=True)
class Found:
    """External masks of a visit, what there is to say about them, and which datasets had any."""

    scans: Mapping[str, Scan]
    notes: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]
    used: frozenset[str] = frozenset()


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
                f'"{name}" is not a valid name for a dataset.',
                field='--derivatives',
                remedy='Use letters and digits, e.g. lst=/data/lst.',
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
    output: Path | None = None,
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
    output : Path, optional
        Where this application writes: what lies there within a folder of derivatives is its own
        result, and not taken.

    Returns
    -------
    Found
        Scans by name. ``content`` of each, but of transforms, gives ``mask``, the ``image`` on
        whose grid it lies, which that is (``on``: the name of an input; ``title``: what users
        call it), and, for segmentations, ``labels``: the values that are meant (without, all
        that is not zero), or ``classes``: the values of each class.
        ``metadata`` gives ``grid`` (a frame) and ``origin`` (name of the derivative).
    """
    hub = next((item.suffixes[0] for item in declared.references if item.name in images), '')
    scans: dict[str, Scan] = {}
    notes: list[str] = []
    refused: list[tuple[str, str]] = []
    used: set[str] = set()
    for origin, folder in derivatives.items():
        root = Path(os.path.abspath(folder))
        files, loose = _files_of(visit, root, output)
        of_use = 0
        for external in declared.externals:
            kind, words = external.name, external.title
            faults, fitting = [], []
            for _, shown, file in _ranked(files, root, external, declared, hub):
                if not asked(kind, name_of(file), file.parent.name):
                    notes.append(
                        f'{words}: {origin}:{shown} is not used, because of --bids-filter-file.'
                    )
                    continue
                try:
                    if external.transform:
                        fitting.append(_transform(file, external, f'{origin}:{shown}'))
                        continue
                    if not file.name.endswith(ENDINGS):
                        raise InputError(
                            'The file name of an image must end in .nii or .nii.gz.',
                            file=file,
                            remedy='Rename it with a lower-case ending.',
                        )
                    if external.suffix:
                        fitting.append(
                            admit_map(file, external, origin, root, images, inspect, declared)
                        )
                        continue
                    fitting.append(
                        admit_mask(file, external, origin, root, images, inspect, notes, declared)
                    )
                except InputError as error:
                    faults.append((f'{origin}:{shown}', str(error)))
            of_use += len(fitting)
            if not fitting:
                # Where one fits, the same mask in other spaces is no news.
                refused += [] if kind in scans else faults
                continue
            why = 'its name is more specific, or comes first'
            if kind in scans:
                why = f'{scans[kind].metadata["origin"]} comes first in --derivatives'
            else:
                scans[kind] = fitting.pop(0)
                grid = (scans[kind].content or {}).get('title')
                where = f' (on the grid of the {grid})' if grid else ''
                notes.append(f'{words}: {_shown(scans[kind])} is used{where}.')
            if fitting:
                rest = ', '.join(map(_shown, fitting))
                notes.append(
                    f'{words}: {_shown(scans[kind])} is used instead of {rest}: {why}. To '
                    f'choose another, use --bids-filter-file ("{kind}").'
                )
        if of_use:
            used.add(origin)
        else:
            notes.append(f'{origin} has no usable file for {visit.label}.')
            kinds = declared.externals
            if loose and any(_ranked(loose, root, item, declared, hub) for item in kinds):
                notes.append(
                    f'{origin} has masks of sub-{visit.subject} whose names have no '
                    'session; they are not used.'
                )
    return Found(scans, tuple(notes), tuple(refused), frozenset(used))


def _files_of(
    visit: Visit, root: Path, output: Path | None = None
) -> tuple[list[Path], list[Path]]:
    """List the files whose path names the visit and no other, and those without a session."""
    own = Path(os.path.realpath(output)) if output else None
    within = own is not None and own.is_relative_to(os.path.realpath(root))
    subject = re.compile(rf'(^|[/_-])sub-{re.escape(visit.subject)}(?![A-Za-z0-9+])')
    session = re.compile(r'(?:^|[/_-])ses-([A-Za-z0-9+]+)')
    files: list[Path] = []
    loose: list[Path] = []
    for top in sorted(root.iterdir()):
        # Other participants' folders are never entered: there may be thousands.
        if top.name.startswith('sub-') and not subject.search(top.name):
            continue
        below = (
            sorted(path for path in top.rglob('*') if path.name.lower().endswith(_TAKEN))
            if top.is_dir()
            else [top]
        )
        for file in below:
            shown = file.relative_to(root).as_posix()
            if not subject.search(shown) or not file.name.lower().endswith(_TAKEN):
                continue
            if within and Path(os.path.realpath(file.parent)).is_relative_to(own):
                continue
            named = set(session.findall(shown))
            if named == ({visit.session} if visit.session else set()):
                files.append(file)
            elif not named:
                loose.append(file)
    return files, loose


def _ranked(
    files: list[Path], root: Path, external: External, declared: Declared, hub: str = ''
) -> list[tuple[int, str, Path]]:
    if external.transform:
        found = [file for file in files if _is_transform(file, external.transform, hub)]
        return sorted((0, file.relative_to(root).as_posix(), file) for file in found)
    if external.suffix:
        maps = ((rank_map(file, external), file) for file in files)
        return sorted((r, f.relative_to(root).as_posix(), f) for r, f in maps if r is not None)
    others = [
        re.compile(item.words) for item in declared.externals if item.lesion and not item.otherwise
    ]
    images = [file for file in files if file.name.lower().endswith(ENDINGS)]
    ranks = ((rank_mask(file, root, external, others), file) for file in images)
    return sorted((r, f.relative_to(root).as_posix(), f) for r, f in ranks if r is not None)


def _is_transform(file: Path, ends: tuple[str, str], hub: str) -> bool:
    """Tell whether a file resamples images from one space to another."""
    name = name_of(file)
    if name is None or name.suffix != 'xfm' or not file.name.endswith(TRANSFORMS):
        return False
    wanted = [fill(end, hub) for end in ends]
    told = [name.entities.get('from'), name.entities.get('to')]
    return told == wanted and name.entities.get('mode', 'image') == 'image'


def _transform(file: Path, external: External, shown: str) -> Scan:
    """Take a transform in; whether it fits the patient is judged after the registration."""
    if not file.is_file() or not file.stat().st_size:
        raise InputError(
            f'The {external.title} cannot be read.',
            file=file,
            remedy='Give another file, or none.',
        )
    return Scan(
        name=external.name,
        path=str(file),
        uri=f'bids:{shown}',
        metadata={'origin': shown.split(':', 1)[0]},
        digest=file_digest(file),
    )


def _shown(scan: Scan) -> str:
    return scan.uri.removeprefix('bids:')
