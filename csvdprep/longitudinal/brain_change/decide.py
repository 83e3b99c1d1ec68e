"""Which visits are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from csvdprep.core.room import Decision, NoPlace

#: What a visit must have beside its T1w.
PRODUCTS = ('brain_mask', 'wm_probseg', 'gm_probseg', 'csf_probseg')


def resolve(scans: Mapping[str, Any], options: Any) -> tuple[Any, tuple[Decision, ...]]:
    """Take the visits with a T1w whose tissues were told apart.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> def scan(**content): return SimpleNamespace(content=content)
    >>> scans = {'measures': scan(visits=[{'session': f'ses-{k}'} for k in (1, 2, 3)])}
    >>> for name in PRODUCTS:
    ...     scans[f'each_{name}'] = scan(visits={'ses-1': 'a', 'ses-3': 'b'})
    >>> print(resolve(scans, None)[1][0])
    visits: ses-1, ses-3 (ses-2 has no map of tissues)
    """
    sessions = [visit['session'] for visit in scans['measures'].content['visits']]
    files = [
        scans[f'each_{name}'].content['visits'] if f'each_{name}' in scans else {}
        for name in PRODUCTS
    ]
    have = [name for name in sessions if all(name in part for part in files)]
    lacking = [name for name in sessions if name not in have]
    if len(have) < 2:
        raise NoPlace(
            'needs two visits with T1w and maps of tissues; '
            + (f'only {have[0]} has them' if have else 'no visit has them')
        )
    none = f'{", ".join(lacking)} {"has" if len(lacking) == 1 else "have"} no map of tissues'
    return options, (
        Decision('visits', ', '.join(have), none if lacking else 'all have maps of tissues'),
    )
