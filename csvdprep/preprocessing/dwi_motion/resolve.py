"""What of a series' motion is looked for, as far as files tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from csvdprep.core.room import Decision


def resolve(scans: Mapping[str, Any], options: Any) -> tuple[Any, tuple[Decision, ...]]:
    """Decide whether motion and eddy currents are looked for.

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
        Motion and eddy currents.

    Examples
    --------
    >>> from csvdprep.core.plan import Scan
    >>> def told(**content):
    ...     scan = Scan(name='dwi', path='', uri='', content=content)
    ...     return [str(item) for item in resolve({'dwi': scan}, None)[1]]
    >>> told(corrected=True)
    ['motion and eddy currents: left as given (it comes from --derivatives)']
    >>> told(runs=[{'axis': None}])
    ['motion: taken off (the axis of phase encoding, along which eddy currents shift, is unknown)']
    """
    content = scans['dwi'].content or {}
    if content.get('corrected'):
        given = 'it comes from --derivatives'
        return options, (Decision('motion and eddy currents', 'left as given', given),)
    axis = next((run.get('axis') for run in content.get('runs', [])[:1]), None)
    if axis is None:
        why = 'the axis of phase encoding, along which eddy currents shift, is unknown'
        return options, (Decision('motion', 'taken off', why),)
    why = f'phase is encoded along the axis {axis}'
    return options, (Decision('motion and eddy currents', 'taken off', why),)
