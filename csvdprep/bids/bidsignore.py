"""Rules of ``.bidsignore`` for names that BIDS has not settled, so that validators pass them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from csvdprep.bids.files import atomic_write
from csvdprep.bids.raw import Ignored
from csvdprep.core.errors import PreflightError

#: Suffixes and folders that this application reads, and that BIDS does not have.
SUFFIXES = ('dce', 'DCE', 'dcemri', 'DCEMRI', 'dsc', 'DSC', 'dscmri', 'DSCMRI', 'swi', 'SWI')
FOLDERS = ('dce', 'dsc', 'swi')


def missing_rules(root: Path) -> dict[str, int]:
    """Find what a dataset has of names that BIDS has not settled, and no rule leaves out.

    Parameters
    ----------
    root : Path
        Dataset.

    Returns
    -------
    dict of str to int
        Rules that are missing, with the number of files that each is for.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> (root / 'sub-01' / 'perf').mkdir(parents=True)
    >>> _ = (root / 'sub-01' / 'perf' / 'sub-01_dce.nii.gz').write_text('')
    >>> missing_rules(root)
    {'*_dce.*': 1}
    """
    ignored = Ignored.of(root)
    found: dict[str, int] = {}
    for path in _files(root):
        parts = path.split('/')
        if ignored(path):
            continue
        stem = parts[-1].partition('.')[0]
        suffix = stem.rpartition('_')[2]
        folder = next((part for part in parts[1:-1] if part in FOLDERS), '')
        rule = folder or (f'*_{suffix}.*' if suffix in SUFFIXES else '')
        if rule:
            found[rule] = found.get(rule, 0) + 1
    return dict(sorted(found.items()))


def write_rules(root: Path) -> dict[str, int]:
    """Add the rules that a dataset lacks to its ``.bidsignore``; what it has stays.

    Parameters
    ----------
    root : Path
        Dataset.

    Returns
    -------
    dict of str to int
        Rules that were added, with the number of files that each is for.

    Raises
    ------
    PreflightError
        If it is no BIDS dataset, or cannot be written to.
    """
    root = Path(root)
    if not (root / 'dataset_description.json').is_file():
        raise PreflightError(
            'The folder is no BIDS dataset: it has no dataset_description.json.',
            file=root,
            remedy='Give the root of the dataset.',
        )
    rules = missing_rules(root)
    if rules:
        path = root / '.bidsignore'
        try:
            before = path.read_bytes() if path.exists() else b''
            end = b'' if not before or before.endswith(b'\n') else b'\n'
            atomic_write(path, before + end + ''.join(f'{r}\n' for r in rules).encode())
        except OSError as error:
            raise PreflightError(
                f'.bidsignore cannot be written ({error.strerror or error}).',
                file=path,
                remedy='Ask for write permission, or add these lines yourself: '
                + ', '.join(rules),
            ) from error
    return rules


def _files(root: Path) -> Iterator[str]:
    """Give the files of all participants, relative to the root."""
    for folder in sorted(root.glob('sub-*')):
        for place, _, names in os.walk(folder):
            where = Path(place).relative_to(root).as_posix()
            yield from (f'{where}/{name}' for name in sorted(names))
