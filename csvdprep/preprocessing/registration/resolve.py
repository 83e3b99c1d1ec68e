"""Where the way to the template is from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from csvdprep.core.room import Decision

GIVEN = ('anat_to_mni_external', 'mni_to_anat_external')


def resolve(scans: Mapping[str, Any], options: Any) -> tuple[Any, tuple[Decision, ...]]:
    """Take the transforms that were given, if both were, or register.

    Examples
    --------
    >>> resolve({}, None)[1][0].value
    'registered here'
    """
    given = [scans[name].uri or scans[name].path for name in GIVEN if name in scans]
    if len(given) == len(GIVEN):
        return options, (Decision('registration', 'given by --derivatives', ', '.join(given)),)
    why = (
        f'only one of the two directions was given: {given[0]}'
        if given
        else 'no transforms were given'
    )
    return options, (Decision('registration', 'registered here', why),)
