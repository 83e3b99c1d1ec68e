"""Images of a visit that nothing takes, and why."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from csvdprep.bids.filters import fits
from csvdprep.bids.listing import IMAGES
from csvdprep.bids.names import parse
from csvdprep.bids.offer import Dataset
from csvdprep.core.declared import Declared, Input
from csvdprep.core.errors import CsvdprepError
from csvdprep.core.plan import Scan, Visit

_RAW = 'bids:raw:'


def unused_images(
    dataset: Dataset,
    visit: Visit,
    declared: Declared,
    scans: Mapping[str, Scan],
    refused: Collection[tuple[str, str]],
    notes: Iterable[str] = (),
) -> list[tuple[str, str]]:
    """Return the images of a visit that no step takes.

    Parameters
    ----------
    dataset : Dataset
        Where from.
    visit : Visit
        Participant and session.
    declared : Declared
        What is taken.
    scans : mapping of str to Scan
        What was chosen.
    refused : collection of (str, str)
        Files that cannot be used, which are told elsewhere.
    notes : iterable of str, optional
        Choices; a field map that they name is told there.

    Returns
    -------
    list of (str, str)
        File, relative to the dataset, and the reason.
    """
    folder = dataset.root / visit.folder
    used = {item for scan in scans.values() for item in _files(scan)}
    used |= {file for file, _ in refused}
    told, found = ' '.join(notes), []
    for path in sorted(dataset.files[visit.subject]):
        if not path.name.endswith(IMAGES) or not path.is_relative_to(folder):
            continue
        if not visit.session and path.relative_to(folder).parts[0].startswith('ses-'):
            continue
        shown = path.relative_to(dataset.root).as_posix()
        if {shown, str(path), _RAW + shown} & used or dataset.ignored(shown):
            continue
        if path.parent.name == 'fmap' and path.name in told:
            continue
        found.append((shown, _why(path, dataset, declared.inputs, scans)))
    return found


def _why(path: Path, dataset: Dataset, inputs: Iterable[Input], scans: Mapping[str, Scan]) -> str:
    """Say why an image is not used."""
    for item in inputs:
        if path.parent.name != item.datatype or not path.name.endswith(
            tuple(f'_{suffix}{ending}' for suffix in item.suffixes for ending in IMAGES)
        ):
            continue
        wanted = dataset.filters.get(item.name)
        try:
            if wanted and not fits(parse(path), item.datatype, wanted):
                return f'the filter of the query {item.name} leaves it out'
        except CsvdprepError:
            pass
        if any(name in scans for name in (item.name, *item.also)):
            return f'another {item.title} image was chosen'
        return f'it cannot be used as {item.title}; the notes say why'
    return 'no step takes images of this kind'


def _files(scan: Scan) -> Iterator[str]:
    yield from (scan.path, scan.uri, *scan.others)
    yield from _texts(scan.content)


def _texts(content: Any) -> Iterator[str]:
    """Yield all texts of plain data."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        for item in content.values():
            yield from _texts(item)
    elif isinstance(content, (list, tuple)):
        for item in content:
            yield from _texts(item)
