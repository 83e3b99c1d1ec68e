"""Which visits have which lesions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from csvdprep.core.room import Decision, NoPlace
from csvdprep.longitudinal.incident import KINDS, Kind


def resolve(scans: Mapping[str, Any], options: Any) -> tuple[Any, tuple[Decision, ...]]:
    """Take the kinds of lesions that two visits were searched for.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> def scan(**content): return SimpleNamespace(content=content)
    >>> scans = {'measures': scan(visits=[{'session': f'ses-{k}'} for k in (1, 2, 3)]),
    ...          'each_cmb_lesions': scan(visits={'ses-1': 'a', 'ses-3': 'b'})}
    >>> for decision in resolve(scans, None)[1]: print(decision)
    lacunes: none (no visit was searched for lacunes)
    microbleeds: ses-1, ses-3 (ses-2 was not searched)
    recent infarcts: none (no visit was searched for recent infarcts)
    """
    sessions = [visit['session'] for visit in scans['measures'].content['visits']]
    decisions, found = [], False
    for kind in KINDS:
        name = f'each_{kind.rows}'
        files = scans[name].content['visits'] if name in scans else {}
        have = [session for session in sessions if session in files]
        if len(have) < 2:
            decisions.append(Decision(kind.words, 'none', too_few(kind, have)))
            continue
        found = True
        lacking = [session for session in sessions if session not in files]
        some = f'{", ".join(lacking)} {"was" if len(lacking) == 1 else "were"} not searched'
        decisions.append(
            Decision(kind.words, ', '.join(have), some if lacking else 'all were searched')
        )
    if not found:
        raise NoPlace(
            'needs two visits with lists of lacunes, of microbleeds or of recent infarcts; '
            + '; '.join(decision.reason for decision in decisions)
        )
    return options, tuple(decisions)


def too_few(kind: Kind, have: list[str]) -> str:
    """Say that fewer than two visits have a list."""
    if have:
        return f'only {have[0]} was searched for {kind.words}'
    return f'no visit was searched for {kind.words}'
