"""The raw dataset as folders and text files: what is there, and whether it can be trusted."""

from __future__ import annotations

import difflib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from csvdprep.bids.files import FETCH, read_text, unreadable
from csvdprep.bids.names import is_label, parse
from csvdprep.bids.tsv import MISSING, read_tsv
from csvdprep.core.errors import InputError, PreflightError, UsageError, plain

#: Labels named in a message before the rest is counted.
NAMED = 10


def check_dataset(root: Path, *, strict: bool, warn: Callable[[str], None]) -> list[str]:
    """Make sure that a folder is a BIDS dataset, and list its participants.

    Parameters
    ----------
    root : Path
        Folder that should be one.
    strict : bool
        Refuse it without a readable ``dataset_description.json``; else only warn.
    warn : callable
        Takes sentences about what is odd.

    Returns
    -------
    list of str
        Labels, without ``sub-``, sorted.

    Raises
    ------
    PreflightError
        If the folder does not exist, is empty, or is no BIDS dataset.
    """
    if not root.is_dir():
        kind = 'is not a folder' if root.exists() else 'does not exist'
        raise PreflightError(
            f'The dataset {kind}.', file=root, field='bids_dir', remedy='Check the path.'
        )
    try:
        folders = sorted(p for p in root.iterdir() if p.name.startswith('sub-') and p.is_dir())
        empty = not folders and not any(root.iterdir())
        gone = _gone(root)
    except OSError as error:
        raise PreflightError(
            f'The dataset cannot be read ({error.strerror}).',
            file=root,
            field='bids_dir',
            remedy='Ask for read permission.',
        ) from error
    if gone:
        said = f'These folders are links to missing targets: {_listed(gone)}.'
        if not folders:
            raise PreflightError(said, file=root, field='bids_dir', remedy=FETCH)
        warn(f'{said} They are skipped; fetch their content if you need them.')
    if not folders:
        what = 'is empty' if empty else 'has no participant folder (sub-*)'
        raise PreflightError(
            f'The dataset {what}.',
            file=root,
            field='bids_dir',
            remedy='Give the folder that holds dataset_description.json and the sub-* folders; '
            'convert DICOM images to BIDS first, e.g. with HeuDiConv, dcm2bids or BIDScoin.',
        )
    _check_description(root / 'dataset_description.json', strict=strict, warn=warn)
    labels = [folder.name.removeprefix('sub-') for folder in folders]
    for label in labels:
        if not is_label(label):
            warn(
                f'The folder sub-{label} is skipped, because BIDS labels may contain only '
                'letters and digits.'
            )
    labels = [label for label in labels if is_label(label)]
    _check_participants(root / 'participants.tsv', set(labels), warn)
    return labels


def choose_labels(
    asked: Iterable[str], available: Iterable[str], prefix: str, field: str = ''
) -> list[str]:
    """Match the labels that were asked for with those that exist.

    Parameters
    ----------
    asked : iterable of str
        Labels, with or without prefix, maybe twice; none means all.
    available : iterable of str
        Labels that exist.
    prefix : {'sub', 'ses'}
        Entity.
    field : str, optional
        Option that asks, if it is not the usual one.

    Returns
    -------
    list of str
        Sorted labels, each once.

    Raises
    ------
    UsageError
        If one does not exist; names it and those that do.

    Examples
    --------
    >>> choose_labels(['sub-02', '02', '01'], ['01', '02', '03'], 'sub')
    ['01', '02']

    """
    known = sorted(set(available))
    wanted = {label.strip().removeprefix(f'{prefix}-') for label in asked} or set(known)
    if missing := sorted(wanted - set(known)):
        kind, option = {
            'sub': ('participant', '--participant-label'),
            'ses': ('session', '--session-label'),
        }[prefix]
        near = difflib.get_close_matches(missing[0], known, n=3, cutoff=0.5)
        hint = f'Did you mean {_listed(near)}? ' if near else ''
        raise UsageError(
            f'The dataset has no {kind} {_listed(missing)}.',
            field=field or option,
            remedy=f'{hint}Available: {_listed(known) if known else "none"}.',
        )
    return sorted(wanted)


def bare_label(text: str, prefix: str) -> str:
    """Return the label that a cell of a table gives, with or without prefix.

    Examples
    --------
    >>> bare_label(' Sub-01', 'sub'), bare_label('01', 'sub'), bare_label('n/a', 'ses')
    ('01', '01', '')

    """
    text = text.strip()
    label = text[len(prefix) + 1 :] if text.lower().startswith(f'{prefix}-') else text
    return '' if label == MISSING else label


def sessions_of(root: Path, subject: str) -> list[str | None]:
    """List the sessions of a participant; None stands for images outside of any session.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> (root / 'sub-01' / 'ses-2').mkdir(parents=True)
    >>> sessions_of(root, '01')
    ['2']

    """
    names = [p.name for p in (root / f'sub-{subject}').iterdir() if p.is_dir()]
    labels = [name.removeprefix('ses-') for name in names if name.startswith('ses-')]
    loose = any(not name.startswith(('ses-', '.')) for name in names)
    found = sorted(label for label in labels if is_label(label))
    return [None, *found] if loose or not found else [*found]


class Ignored:
    """Rules of a ``.bidsignore``, which has the grammar of gitignore.

    Examples
    --------
    >>> ignored = Ignored(['*_T1w.nii.gz', '!sub-02*', '/sub-03/'])
    >>> [ignored(f'sub-{n}/anat/sub-{n}_T1w.nii.gz') for n in ('01', '02', '03')]
    [True, False, True]

    """

    def __init__(self, lines: Iterable[str]):
        rules = [line.strip() for line in lines]
        self._rules = [
            (_segments(rule.lstrip('!')), not rule.startswith('!'))
            for rule in rules
            if rule and not rule.startswith('#')
        ]

    @classmethod
    def of(cls, root: Path) -> Ignored:
        """Read the rules of a dataset; none if it has no such file.

        Raises
        ------
        InputError
            If it cannot be read: images that should be left out would be used.
        """
        path = root / '.bidsignore'
        try:
            text = read_text(path, errors='replace')
        except FileNotFoundError:
            text = ''
        except OSError as error:
            raise unreadable(path, error) from error
        return cls(text.splitlines())

    def __call__(self, path: str) -> bool:
        """Tell whether a path, relative to the root, is to be left out."""
        verdict = False
        parts = path.split('/')
        for rule, ignore in self._rules:
            if ignore != verdict and _matches(rule, parts, '**', _like):
                verdict = ignore
        return verdict


def metadata_of(root: Path, image: Path) -> tuple[dict[str, Any], list[InputError]]:
    """Read the JSON sidecars of an image, the nearest last, as BIDS' inheritance asks.

    Parameters
    ----------
    root : Path
        Root of the dataset.
    image : Path
        Image below it.

    Returns
    -------
    facts : dict
        Metadata; those of files nearer to the image prevail.
    faults : list of InputError
        One for each sidecar that applies, but cannot be read; the others count.
    """
    facts: dict[str, Any] = {}
    faults = []
    for file in sidecars_of(root, image):
        try:
            facts |= read_json(file)
        except InputError as error:
            faults.append(error)
    return facts, faults


def sidecars_of(root: Path, image: Path) -> list[Path]:
    """List the JSON sidecars of an image, the nearest last.

    Parameters
    ----------
    root : Path
        Root of the dataset.
    image : Path
        Image below it.
    """
    own = parse(image)
    folders = [image.parent, *image.parent.parents]
    folders = folders[: folders.index(root) + 1]
    found = []
    for folder in reversed(folders):
        fitting = []
        for file in folder.glob(f'*{own.suffix}.json'):
            try:
                name = parse(file) if '_' in file.name else None
            except InputError:
                continue
            entities = (name.entities if name else {}).items()
            suffix = name.suffix if name else file.stem
            if suffix == own.suffix and entities <= own.entities.items():
                fitting.append((len(entities), file.name, file))
        found += [file for _, _, file in sorted(fitting)]
    return found


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object, or raise InputError that says what is wrong with it."""
    try:
        content = json.loads(read_text(path))
        # What cannot be written again (half a letter, say) would fail much later.
        json.dumps(content, ensure_ascii=False).encode()
    except FileNotFoundError as error:
        raise InputError(
            'The JSON file does not exist.', file=path, remedy='Check the path.'
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    except (ValueError, RecursionError) as error:
        raise InputError(
            f'The file is not valid JSON: {error}.', file=path, remedy='Correct it.'
        ) from error
    if not isinstance(content, dict):
        raise InputError(
            'The file does not contain a JSON object.', file=path, remedy='Correct it.'
        )
    return content


def _gone(root: Path) -> list[str]:
    """List folders of participants that are links without a target."""
    with os.scandir(root) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.name.startswith('sub-')
            and entry.is_symlink()
            and not os.path.exists(entry.path)
        )


def _check_description(path: Path, *, strict: bool, warn: Callable[[str], None]) -> None:
    try:
        if not os.path.lexists(path):
            raise InputError(
                'The dataset has no dataset_description.json.',
                file=path,
                remedy='Write one ({"Name": "...", "BIDSVersion": "1.10.0"})',
            )
        content = read_json(path)
        if lacking := [key for key in ('Name', 'BIDSVersion') if key not in content]:
            warn(f'dataset_description.json does not give {" or ".join(lacking)}.')
        if content.get('DatasetType', 'raw') == 'derivative':
            warn(
                'The dataset is declared as a derivative; its images are used as if they were raw.'
            )
    except InputError as error:
        if strict:
            raise PreflightError(
                error.message,
                file=path,
                remedy=f'{error.remedy.rstrip(".")}, or skip this check with '
                '--skip-bids-validation.',
            ) from error
        warn(f'{error.message} Continuing because of --skip-bids-validation.')


def _check_participants(path: Path, labels: set[str], warn: Callable[[str], None]) -> None:
    try:
        table = read_tsv(path)
    except FileNotFoundError:
        return
    except InputError as error:
        warn(f'participants.tsv cannot be used: {error}')
        return
    for note in table.notes:
        warn(note)
    column = next(iter(table.named('participant_id')), '')
    rows = [label for row in table.rows if (label := bare_label(row.get(column, ''), 'sub'))]
    if table.rows and not rows:
        warn('participants.tsv has no column participant_id.')
    if twice := sorted(label for label, number in Counter(rows).items() if number > 1):
        warn(
            f'participants.tsv lists participants more than once: {_listed(twice)}. Images '
            'are not affected; correct the table before you join it with the measures.'
        )
    absent = sorted(set(rows) - labels)
    if absent and labels.isdisjoint(rows):
        warn(
            'participants.tsv lists no participant of the dataset: it has '
            f'{_listed(absent)}; the folders are {_listed(sorted(labels))}. Correct the '
            'column participant_id.'
        )
    elif absent:
        warn(f'participants.tsv lists participants without a folder: {_listed(absent)}.')


def _segments(rule: str) -> list[str]:
    """Take a rule of gitignore apart, so that it has to match all of a path."""
    body = rule.rstrip('/')
    parts = body.lstrip('/').split('/')
    if '/' not in body:
        parts.insert(0, '**')
    # What ends in /** matches what is inside; whatever else matches does so with all below it.
    return [*parts, *(['*'] if parts[-1] == '**' else []), '**']


def _matches(
    rule: Sequence[str], found: Sequence[str], star: str, same: Callable[..., bool]
) -> bool:
    """Match item by item; ``star`` stands for any number of them.

    Only the last star is tried again. No other could help, and trying all of them, as regular
    expressions do, takes years with rules like ``*a*a*a*a*a*a``.
    """
    at = place = 0
    last: tuple[int, int] | None = None
    while place < len(found):
        if at < len(rule) and rule[at] == star:
            at += 1
            last = at, place
        elif at < len(rule) and same(rule[at], found[place]):
            at, place = at + 1, place + 1
        elif last:
            at, place = last[0], last[1] + 1
            last = at, place
        else:
            return False
    return all(item == star for item in rule[at:])


def _like(rule: str, name: str) -> bool:
    return _matches(rule, name, '*', lambda wanted, letter: wanted in ('?', letter))


def _listed(labels: Iterable[str]) -> str:
    labels = [plain(label)[:40] for label in labels]
    rest = f' and {len(labels) - NAMED} more' if len(labels) > NAMED else ''
    return ', '.join(labels[:NAMED]) + rest
