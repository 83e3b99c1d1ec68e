"""Which visits are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from csvdprep.core.room import Decision, NoPlace


def resolve(scans: Mapping[str, Any], options: Any) -> tuple[Any, tuple[Decision, ...]]:
    """Take the visits with hyperintensities that were segmented.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> def scan(**content): return SimpleNamespace(content=content)
    >>> scans = {'measures': scan(visits=[{'session': f'ses-{k}'} for k in (1, 2, 3)]),
    ...          'each_wmh_mask': scan(visits={'ses-1': 'a', 'ses-3': 'b'})}
    >>> print(resolve(scans, None)[1][0])
    visits: ses-1, ses-3 (ses-2 has no mask of hyperintensities)
    """
    files = scans['each_wmh_mask'].content['visits'] if 'each_wmh_mask' in scans else {}
    sessions = [visit['session'] for visit in scans['measures'].content['visits']]
    have = [session for session in sessions if session in files]
    lacking = [session for session in sessions if session not in files]
    if len(have) < 2:
        raise NoPlace(
            'needs two visits with hyperintensities segmented on a FLAIR; '
            + (f'only {have[0]} has them' if have else 'no visit has them')
        )
    none = f'{", ".join(lacking)} {"has" if len(lacking) == 1 else "have"} no mask of '
    none += 'hyperintensities'
    return options, (Decision('visits', ', '.join(have), none if lacking else 'all have masks'),)
