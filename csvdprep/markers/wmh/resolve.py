"""What makes the mask of hyperintensities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from csvdprep.core.room import Decision
from csvdprep.science.axes import has_planes


def resolve(scans: Mapping[str, Any], options: Any) -> tuple[Any, tuple[Decision, ...]]:
    """Choose the engine from the slices of the FLAIR.

    Parameters
    ----------
    scans : mapping of str to Scan
        Scans of the visit.
    options : Options
        Of the room.

    Returns
    -------
    options : Options
        ``engine`` is no longer 'auto'.
    decisions : tuple of Decision
        The engine, or the mask that was given.
    """
    if 'wmh_external' in scans:
        mask = scans['wmh_external']
        return options, (Decision('mask', 'given by --derivatives', mask.uri or mask.path),)
    if options.engine != 'auto':
        why = f'set by wmh.engine = {options.engine}'
        return options, (Decision('engine', _NAMES[options.engine], why),)
    affine = scans['flair'].affine if 'flair' in scans else ()
    usable = not affine or has_planes(np.asarray(affine, float))
    engine = 'both' if usable else 'classical'
    why = (
        'slices are thin or axial'
        if usable
        else 'slices are thick and not axial; the network was not trained on such images'
    )
    return replace(options, engine=engine), (Decision('engine', _NAMES[engine], why),)


_NAMES = {
    'both': 'the network and the classical engine',
    'network': 'the network',
    'classical': 'the classical engine',
}
