"""Every file behind a scan: images that belong to it, gradient tables, sidecars."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from csvdprep.bids.gradients import find_table
from csvdprep.bids.listing import IMAGES
from csvdprep.bids.raw import sidecars_of
from csvdprep.core.errors import InputError
from csvdprep.core.plan import Scan

#: Parts of ``content`` that only tell the grid.
ASIDE = frozenset({'image'})


def with_files(scan: Scan, roots: Mapping[str, Path]) -> Scan:
    """Name all files behind a scan in ``others``.

    Parameters
    ----------
    scan : Scan
        As its reader made it: what its ``content`` names belongs to it.
    roots : mapping of str to Path
        Datasets by their names in BIDS URIs: 'raw', and those of ``--derivatives``.

    Returns
    -------
    Scan
        ``others`` are sorted, and without the scan itself.
    """
    found = set(scan.others)
    for file in dict.fromkeys([scan.path, *_named(scan.content)]):
        origin = next((name for name, root in roots.items() if _below(file, root)), None)
        if origin is None:
            continue
        root, path = Path(os.path.abspath(roots[origin])), Path(file)
        for item in (path, *_beside(path, root)):
            found.add(f'bids:{origin}:{item.relative_to(root).as_posix()}')
    return replace(scan, others=tuple(sorted(found - {scan.uri})))


def _named(content: Any, key: str = '') -> Iterator[str]:
    """Yield the paths in a content."""
    if isinstance(content, Mapping):
        for name, item in content.items():
            yield from _named(item, str(name))
    elif isinstance(content, list | tuple):
        for item in content:
            yield from _named(item, key)
    elif isinstance(content, str) and os.path.isabs(content) and key not in ASIDE:
        yield content


def _below(file: str, root: Path) -> bool:
    return bool(file) and Path(file).is_relative_to(os.path.abspath(root))


def _beside(image: Path, root: Path) -> list[Path]:
    """List sidecars and gradient tables of an image."""
    if not image.name.endswith(IMAGES):
        return []
    try:
        found = sidecars_of(root, image)
        tables = [find_table(root, image, end) for end in ('.bval', '.bvec')]
    except InputError:  # the name of a loose file tells no entities
        return []
    return [*found, *(table for table in tables if table)]
