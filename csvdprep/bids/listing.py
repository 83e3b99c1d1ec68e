"""Files of participants, from folders or a kept index. Only this module imports pybids."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from csvdprep.bids.files import LockError, lock
from csvdprep.bids.raw import read_json

#: How the names of images end.
IMAGES = ('.nii', '.nii.gz')


def list_files(
    root: Path, subjects: list[str], database: Path | None, warn: Callable[[str], None]
) -> dict[str, list[Path]]:
    """List the files of some participants, from their folders or from an index that was kept."""
    if database is None:
        return _in_folders(root, subjects)
    database = Path(os.path.abspath(database))
    stored = database / 'layout_index.sqlite'
    try:
        if stored.exists() and not os.access(database, os.W_OK):
            files = _of_subjects(_index(root, database), root, subjects)
            if not _is_current(files, root):
                raise OSError('it is out of date and read-only')
            return files
        with lock(database / '.csvdprep.lock', timeout=600):
            # Another run may have made it while this one waited.
            if stored.exists():
                files = _of_subjects(_index(root, database), root, subjects)
                if _is_current(files, root):
                    return files
                warn(f'The database in {database} is out of date and is rebuilt.')
            return _of_subjects(_index(root, database, reset=True), root, subjects)
    except LockError:
        raise
    except Exception as error:
        # A damaged database is a convenience lost, not a reason to stop.
        warn(
            f'The database in {database} cannot be used ({error}); the dataset itself is read '
            'instead.'
        )
        return _in_folders(root, subjects)


def _in_folders(root: Path, subjects: list[str]) -> dict[str, list[Path]]:
    """List the files of some participants as deep as BIDS has images, and no deeper.

    So links in a circle do no harm, and no name or ``dataset_description.json`` is too odd.
    """
    files = {}
    for subject in subjects:
        level, found = [root / f'sub-{subject}'], []
        for _ in ('participant', 'session', 'datatype'):
            below = [
                folder / entry.name
                for folder in level
                for entry in os.scandir(folder)
                if not entry.name.startswith('.')
            ]
            level = [path for path in below if os.path.isdir(path)]
            # A folder that has the name of an image is refused where images are looked at.
            found += [path for path in below if path not in level or path.name.endswith(IMAGES)]
        files[subject] = sorted(found)
    return files


def _check_for_circles(root: Path) -> None:
    """Raise OSError if links lead back to where they are; pybids would follow them."""
    for start in root.glob('sub-*'):
        for folder, folders, _ in os.walk(start, followlinks=True):
            real = os.path.realpath(folder)
            for name in folders:
                if f'{real}/'.startswith(os.path.realpath(f'{folder}/{name}') + '/'):
                    raise OSError(f'there is a loop of links at {folder}/{name}')


def _index(root: Path, database: Path, reset: bool = False) -> Any:
    from bids.layout import BIDSLayout, BIDSLayoutIndexer

    # pybids opens it whatever it is, and would wait for ever at a pipe.
    if (description := root / 'dataset_description.json').exists():
        read_json(description)
    if reset or not (database / 'layout_index.sqlite').exists():
        _check_for_circles(root)
    indexer = BIDSLayoutIndexer(
        validate=False,
        index_metadata=False,
        ignore=[re.compile(r'^/(?!sub-)'), re.compile(r'/\.')],
    )
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return BIDSLayout(
            root,
            validate=False,
            derivatives=False,
            indexer=indexer,
            database_path=database,
            reset_database=reset,
        )


def _of_subjects(layout: Any, root: Path, subjects: list[str]) -> dict[str, list[Path]]:
    from bids.layout.models import BIDSFile

    files = {}
    for subject in subjects:
        below = BIDSFile.path.startswith(f'{root}/sub-{subject}/', autoescape=True)
        rows = layout.session.query(BIDSFile.path).filter(below)
        files[subject] = sorted(Path(path) for (path,) in rows)
    return files


def _is_current(files: Mapping[str, list[Path]], root: Path) -> bool:
    """Compare a kept index with what is on disk, for the participants that are asked for."""
    return all(
        {path for path in kept if path.name.endswith(IMAGES)}
        == {
            path
            for path in (root / f'sub-{subject}').rglob('*.nii*')
            if path.name.endswith(IMAGES)
            and not any(part.startswith('.') for part in path.relative_to(root).parts)
        }
        for subject, kept in files.items()
    )
