"""What earlier runs have finished, found again by content and not by path or time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from csvdprep.bids.files import atomic_write, file_digest, read_text


def json_text(value) -> str:
    """Write JSON as every file of the output has it: indented, strict, ending in a newline."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=str) + '\n'


def write_checkpoint(
    folder: Path, name: str, *, key: str, root: Path, files: Mapping[str, str]
) -> Path:
    """Note what was made under a key.

    Parameters
    ----------
    folder : Path
        Folder of the visit's checkpoints.
    name : str
        Room or figure.
    key : str
        Digest of inputs, options and version.
    root : Path
        Root of the derivatives; file names are kept relative to it, so that it may be moved.
    files : mapping of str to str
        Files by product.

    Returns
    -------
    Path
        The checkpoint.

    """
    made = {
        product: {
            'path': Path(file).relative_to(root).as_posix(),
            'sha256': file_digest(Path(file)),
        }
        for product, file in files.items()
    }
    path = folder / f'{name}.json'
    atomic_write(path, json_text({'key': key, 'files': made}))
    return path


def read_checkpoint(
    folder: Path, name: str, *, root: Path, key: str | None = None
) -> dict[str, str] | None:
    """Find what was made, if it is still there unharmed.

    Parameters
    ----------
    folder, name, root
        As in :func:`write_checkpoint`.
    key : str, optional
        The key that the results must have; any if omitted.

    Returns
    -------
    dict or None
        Absolute path of each product; None if there is nothing that can be used.

    """
    try:
        found = json.loads(read_text(folder / f'{name}.json'))
        if key is not None and found['key'] != key:
            return None
        files = {}
        for product, item in found['files'].items():
            path = root / item['path']
            # Others may write here, too: what lies elsewhere was not made by this application.
            outside = not path.is_relative_to(root) or '..' in path.relative_to(root).parts
            if outside or file_digest(path) != item['sha256']:
                return None
            files[product] = str(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return files
