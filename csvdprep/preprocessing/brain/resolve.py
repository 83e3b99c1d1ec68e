"""What finds the brain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from csvdprep.core.room import Decision


def resolve(scans: Mapping[str, Any], options: Any) -> tuple[Any, tuple[Decision, ...]]:
    """Take a mask that was given, or the networks of deepbet.

    Examples
    --------
    >>> resolve({}, None)[1][0].value
    'the networks of deepbet'
    """
    if 'brain_mask_external' in scans:
        mask = scans['brain_mask_external']
        return options, (Decision('brain', 'given by --derivatives', mask.uri or mask.path),)
    return options, (Decision('brain', 'the networks of deepbet', 'no mask was given'),)
