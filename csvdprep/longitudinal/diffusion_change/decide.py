"""Which visits have diffusion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from csvdprep.core.room import Decision, NoPlace


def resolve(scans: Mapping[str, Any], options: Any) -> tuple[Any, tuple[Decision, ...]]:
    """Take the visits with diffusion.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> def scan(**content): return SimpleNamespace(content=content)
    >>> scans = {'measures': scan(visits=[{'session': f'ses-{k}'} for k in (1, 2)]),
    ...          'each_dwi_fa': scan(visits={'ses-1': 'a'})}
    >>> print(resolve(scans, None)[1][0])
    diffusion: ses-1 (ses-2 has none)
    """
    files = scans['each_dwi_fa'].content['visits'] if 'each_dwi_fa' in scans else {}
    sessions = [visit['session'] for visit in scans['measures'].content['visits']]
    have = [session for session in sessions if session in files]
    if not have:
        raise NoPlace('no visit has maps of diffusion')
    lacking = [session for session in sessions if session not in files]
    none = f'{", ".join(lacking)} {"has" if len(lacking) == 1 else "have"} none'
    return options, (Decision('diffusion', ', '.join(have), none if lacking else 'all have it'),)
