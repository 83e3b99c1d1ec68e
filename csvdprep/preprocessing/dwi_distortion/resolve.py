"""What tells how the field distorts a series, as far as files tell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from csvdprep.core.room import Decision

_FIELD = {
    'pepolar': 'from images of opposite polarity',
    'none': 'not corrected',
    'syn': 'by registration to the anatomical reference',
}


def resolve(scans: Mapping[str, Any], options: Any) -> tuple[Any, tuple[Decision, ...]]:
    """Decide from what the distortion of a diffusion series is found.

    Parameters
    ----------
    scans : mapping of str to Scan
        Scans of the visit.
    options : Options
        Of the room.

    Returns
    -------
    options : Options
        As they were.
    decisions : tuple of Decision
        The source. What the images contradict is told in the results.
    """
    content = scans['dwi'].content or {}
    if content.get('corrected'):
        given = 'it comes from --derivatives'
        return options, (Decision('distortion', 'left as given', given),)
    return options, (_distortion(content, scans, options.fieldmapless),)


def _distortion(content, scans, by_anatomy: bool) -> Decision:
    kind = content.get('field', {}).get('kind', 'none')
    if not any(run.get('axis') for run in content.get('runs', [])[:1]):
        return Decision('distortion', _FIELD['none'], 'the axis of phase encoding is not known')
    if kind == 'pepolar':
        partners = [Path(item['path']).name for item in content['field'].get('partners', ())]
        return Decision('distortion', _FIELD[kind], ', '.join(partners) or 'runs of the series')
    if kind != 'none':
        return Decision('distortion', f'from a field map ({kind})', 'the dataset has one')
    if by_anatomy and 'anat' in scans:
        return Decision(
            'distortion', _FIELD['syn'], 'there is no field map, and no image of opposite polarity'
        )
    why = (
        'dwi_distortion.fieldmapless = false' if not by_anatomy else 'there is nothing to tell it'
    )
    return Decision('distortion', _FIELD['none'], why)
