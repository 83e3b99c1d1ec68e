"""Which visits are registered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from csvdprep.core.room import Decision, NoPlace


def resolve_flair(scans: Mapping[str, Any], options: Any) -> tuple[Any, tuple[Decision, ...]]:
    """Take the visits with FLAIR.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> def scan(**content): return SimpleNamespace(content=content)
    >>> scans = {'measures': scan(visits=[{'session': f'ses-{k}'} for k in (1, 2, 3)]),
    ...          'each_flair_preproc': scan(visits={'ses-1': 'a_FLAIR', 'ses-3': 'b_FLAIR'})}
    >>> print(resolve_flair(scans, None)[1][0])
    visits: ses-1, ses-3 (ses-2 has no FLAIR)
    """
    return options, (_chosen(scans, 'each_flair_preproc', 'FLAIR'),)


def resolve_t1w(scans: Mapping[str, Any], options: Any) -> tuple[Any, tuple[Decision, ...]]:
    """Take the visits whose anatomical reference is a T1w."""
    return options, (_chosen(scans, 'each_anat_preproc', 'T1w'),)


def usable(files: Mapping[str, str], contrast: str) -> dict[str, str]:
    """Return the images of one contrast, by session."""
    return {name: path for name, path in files.items() if contrast in path.rsplit('/', 1)[-1]}


def _chosen(scans, name: str, contrast: str) -> Decision:
    files = usable(scans[name].content['visits'], contrast) if name in scans else {}
    sessions = [visit['session'] for visit in scans['measures'].content['visits']]
    have = [session for session in sessions if session in files]
    lacking = [session for session in sessions if session not in files]
    if len(have) < 2:
        raise NoPlace(
            f'needs two visits with {contrast}; '
            + (f'only {have[0]} has one' if have else 'no visit has one')
        )
    none = f'{", ".join(lacking)} {"has" if len(lacking) == 1 else "have"} no {contrast}'
    return Decision('visits', ', '.join(have), none if lacking else f'all have {contrast}')
