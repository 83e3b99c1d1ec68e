"""Where the tissues are from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from csvdprep.core.room import Decision


def resolve(scans: Mapping[str, Any], options: Any) -> tuple[Any, tuple[Decision, ...]]:
    """Take a segmentation that was given on the grid of the anatomical reference, or segment.

    Examples
    --------
    >>> resolve({}, None)[1][0].value
    'segmented here'
    """
    if 'tissue_external' not in scans:
        return options, (Decision('tissues', 'segmented here', 'no segmentation was given'),)
    given = scans['tissue_external']
    shown = given.uri or given.path
    if given.content['on'] == ('t1w' if 't1w' in scans else 'flair'):
        return options, (Decision('tissues', 'given by --derivatives', shown),)
    why = f'{shown} is on the grid of the {given.content["title"]}, not on that of the reference'
    return options, (Decision('tissues', 'segmented here', why),)
