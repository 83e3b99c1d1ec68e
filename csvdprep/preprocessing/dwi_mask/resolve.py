"""How the brain of a series is found, as far as headers tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from csvdprep.core.room import Decision
from csvdprep.science.slab_brain import is_slab


def resolve(scans: Mapping[str, Any], options: Any) -> tuple[Any, tuple[Decision, ...]]:
    """Decide how the brain of a diffusion series is found.

    Parameters
    ----------
    scans : mapping of str to Scan
        Scans of the visit.
    options : NoOptions
        Of the room.

    Returns
    -------
    options : NoOptions
        As they were.
    decisions : tuple of Decision
        The way; none where the extent of the series is not known.

    Examples
    --------
    >>> from csvdprep.core.plan import Scan
    >>> def told(*extent):
    ...     content = {'runs': [{'extent_mm': extent}]}
    ...     scan = Scan(name='dwi', path='', uri='', content=content)
    ...     return [str(item) for item in resolve({'dwi': scan}, None)[1]]
    >>> told(224, 224, 130)
    ['brain: the networks of deepbet (the series covers 224 x 224 x 130 mm)']
    >>> told(224, 224, 48)
    ['brain: a threshold (a slab, 224 x 224 x 48 mm)']
    """
    runs = (scans['dwi'].content or {}).get('runs', [])
    extent = next((run.get('extent_mm') for run in runs[:1]), None)
    if extent is None:
        return options, ()
    told = ' x '.join(f'{length:.0f}' for length in extent) + ' mm'
    if is_slab(extent):
        return options, (Decision('brain', 'a threshold', f'a slab, {told}'),)
    return options, (Decision('brain', 'the networks of deepbet', f'the series covers {told}'),)
