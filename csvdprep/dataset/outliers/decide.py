"""What values are compared with."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from csvdprep.core.plan import Scan
from csvdprep.core.room import Decision


def resolve(scans: Mapping[str, Scan], options: Any) -> tuple[Any, tuple[Decision, ...]]:
    """Choose groups by what is known of the visits.

    Parameters
    ----------
    scans : mapping of str to Scan
        Tables of the group.
    options : Options
        As asked.

    Returns
    -------
    options : Options
        With ``by`` settled.
    decisions : tuple of Decision
    """
    if options.by != 'auto':
        return options, ()
    rows = scans['group_covariates'].content['rows']
    for by in ('site', 'scanner'):
        if any(row[by] != 'n/a' for row in rows):
            reason = 'no visit has a site' if by == 'scanner' else 'sites are known'
            break
    else:
        by, reason = 'all', 'neither site nor scanner of any visit is known'
    return replace(options, by=by), (Decision('compared by', by, reason),)
