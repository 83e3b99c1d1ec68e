"""Flags by what caused them: what several measures suffer from is said once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ['Flagged', 'by_cause']

#: How a measure says that another one is behind its flag.
_RESTS = re.compile(r'^rests on (\w+), which ')


@dataclass(frozen=True)
class Flagged:
    """A measure that asks for a look.

    Attributes
    ----------
    name : str
        Of the measure.
    said : str
        It and its value, in words.
    reason : str
        Causes, joined by semicolons.
    """

    name: str
    said: str
    reason: str


def by_cause(flagged: Sequence[Flagged], told: str = '') -> list[tuple[str, list[str]]]:
    """Put measures under the causes of their flags.

    Parameters
    ----------
    flagged : sequence of Flagged
        In the order of the report.
    told : str, optional
        What is said elsewhere: causes that it holds are not said again.

    Returns
    -------
    list of (str, list of str)
        Each cause that several measures have, with all of them; what one alone has, with it. A
        measure that rests on another one stands where that stands.

    Examples
    --------
    >>> found = [Flagged('cmb_n', 'Microbleeds 3', 'thick slices; 2 more are possible'),
    ...          Flagged('cmb_deep_n', 'Deep microbleeds 1', 'thick slices'),
    ...          Flagged('svd_staals', 'Score 2', 'rests on cmb_n, which asks for a look')]
    >>> by_cause(found)
    [('thick slices', ['Microbleeds 3 (2 more are possible)', 'Deep microbleeds 1', 'Score 2'])]
    """
    told = told.lower()
    names = {item.name for item in flagged}
    parts, behind = {}, {}
    for item in flagged:
        rests = [found[1] for p in _split(item.reason) if (found := _RESTS.match(p))]
        behind[item.name] = [name for name in rests if name in names and name != item.name]
        parts[item.name] = [
            part
            for part in _split(item.reason)
            if part.rstrip('.').lower() not in told
            and not ((found := _RESTS.match(part)) and found[1] in behind[item.name])
        ] or ([] if item.reason else ['flagged'])
    often = Counter(part for own in parts.values() for part in dict.fromkeys(own))
    table: dict[str, dict[str, str]] = {}
    for item in flagged:
        own = list(dict.fromkeys(parts[item.name]))
        shared = [part for part in own if often[part] > 1]
        rest = '; '.join(part for part in own if often[part] == 1)
        said = f'{item.said} ({rest})' if shared and rest else item.said
        for cause in shared or ([rest] if rest else []):
            table.setdefault(cause, {})[item.name] = said
            said = item.said
    for item in flagged:
        for name in _roots(item.name, behind):
            for under in [held for held in table.values() if name in held]:
                under.setdefault(item.name, item.said)
    return [(cause, list(under.values())) for cause, under in table.items()]


def _split(reason: str) -> list[str]:
    return [part.strip() for part in reason.split(';') if part.strip()]


def _roots(name: str, behind: dict[str, list[str]]) -> list[str]:
    """Return all measures that one rests on, near and far."""
    found: list[str] = []
    left = list(behind[name])
    while left:
        other = left.pop(0)
        if other not in found and other != name:
            found.append(other)
            left += behind[other]
    return found
