"""Words about files without the folders of this machine, which name users and projects."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from csvdprep.bids.files import atomic_write, read_text
from csvdprep.core.failure import Failure
from csvdprep.core.plan import Plan
from csvdprep.core.settings import Settings

__all__ = ['relative', 'relative_failures', 'relative_file', 'relative_plan']

Words = TypeVar('Words')


def relative(words: Words, settings: Settings) -> Words:
    """Name files below the folders of a run relative to them.

    Parameters
    ----------
    words : str, or tuple or mapping of them
        What is told of a visit; everything else is left as it is.
    settings : Settings
        What was asked: its folders.

    Returns
    -------
    str, tuple or dict
        The same, with paths below dataset and output relative to their roots; those below
        further datasets begin with their name, those below the working directory with ``work``.

    Examples
    --------
    >>> asked = Settings(bids_dir=Path('/data/raw'), output_dir=Path('/data/raw/derivatives/c'))
    >>> relative('Empty. [file: /data/raw/sub-01/anat/sub-01_FLAIR.nii.gz]', asked)
    'Empty. [file: sub-01/anat/sub-01_FLAIR.nii.gz]'
    >>> relative(('/data/raw/derivatives/c/sub-01/log/crash.txt', '/data/rawer/x'), asked)
    ('sub-01/log/crash.txt', '/data/rawer/x')
    """
    if isinstance(words, str):
        for root, name in _roots(settings):
            words = words.replace(f'{root}{os.sep}', name)
        return words
    if isinstance(words, Mapping):
        return {key: relative(item, settings) for key, item in words.items()}
    if isinstance(words, tuple | list):
        return type(words)(relative(item, settings) for item in words)
    return words


def relative_failures(found: Iterable[Failure], settings: Settings) -> list[Failure]:
    """Tell failures without the folders of this machine."""
    return [
        replace(
            failure,
            message=relative(failure.message, settings),
            file=relative(failure.file, settings),
            remedy=relative(failure.remedy, settings),
        )
        for failure in found
    ]


def relative_plan(plan: Plan, settings: Settings) -> Plan:
    """Tell what a plan says in words without the folders of this machine."""
    return replace(
        plan,
        notes=relative(plan.notes, settings),
        refused=relative(plan.refused, settings),
        unused=relative(plan.unused, settings),
        skipped=relative(plan.skipped, settings),
    )


def relative_file(file: str, settings: Settings) -> None:
    """Take the folders of this machine out of the text of a crash file, if it can be rewritten."""
    path = Path(file)
    with suppress(OSError):
        if file and path.is_file():
            atomic_write(path, relative(read_text(path, errors='replace'), settings))


def _roots(settings: Settings) -> list[tuple[str, str]]:
    """Return folders and what stands for them, those within others first."""
    named = [(settings.output_dir, ''), (settings.bids_dir, ''), (settings.work_dir, 'work/')]
    named += [(path, f'{name}/') for name, path in settings.derivatives.items()]
    if settings.manual_ratings:
        named.append((Path(settings.manual_ratings).parent, ''))
    found: dict[str, str] = {}
    for path, name in named:
        for root in (os.path.abspath(path), os.path.realpath(path)):
            if root != os.sep:
                found.setdefault(root, name)
    return sorted(found.items(), key=lambda item: -len(item[0]))
