"""Which visits are registered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from csvdprep.core.room import Decision, NoPlace


@dataclass(frozen=True)
class Chosen:
    """What is decided before the registration.

    Attributes
    ----------
    visits : int
        Number of visits that are registered; memory goes with it.
    """

    visits: int


def resolve_flair(scans: Mapping[str, Any], options: Any) -> tuple[Any, tuple[Decision, ...]]:
    """Take the visits with FLAIR.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> def scan(**content): return SimpleNamespace(content=content)
    >>> scans = {'measures': scan(visits=[{'session': f'ses-{k}'} for k in (1, 2, 3)]),
    ...          'each_flair_preproc': scan(visits={'ses-1': 'a_FLAIR', 'ses-3': 'b_FLAIR'})}
    >>> chosen, (decision,) = resolve_flair(scans, None)
    >>> print(decision, chosen.visits)
    visits: ses-1, ses-3 (ses-2 has no FLAIR) 2
    """
    return _chosen(scans, 'each_flair_preproc', 'FLAIR')


def resolve_t1w(scans: Mapping[str, Any], options: Any) -> tuple[Any, tuple[Decision, ...]]:
    """Take the visits whose anatomical reference is a T1w."""
    return _chosen(scans, 'each_anat_preproc', 'T1w')


def usable(files: Mapping[str, str], contrast: str) -> dict[str, str]:
    """Return the images of one contrast, by session."""
    return {name: path for name, path in files.items() if contrast in path.rsplit('/', 1)[-1]}


def _chosen(scans, name: str, contrast: str) -> tuple[Chosen, tuple[Decision, ...]]:
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
    told = Decision('visits', ', '.join(have), none if lacking else f'all have {contrast}')
    return Chosen(len(have)), (told,)
