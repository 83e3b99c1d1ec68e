"""Where the tissues are from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from csvdprep.core.room import Decision
from csvdprep.science.axes import has_planes

_NAMES = {'network': 'the network', 'template': 'the warped template'}


def resolve(scans: Mapping[str, Any], options: Any) -> tuple[Any, tuple[Decision, ...]]:
    """Take a segmentation that was given on the grid of the anatomical reference, or segment.

    Parameters
    ----------
    scans : mapping of str to Scan
        Scans of the visit.
    options : Options
        Of the room.

    Returns
    -------
    options : Options
        ``flair_engine`` is 'network' or 'template'.
    decisions : tuple of Decision
        Where tissues are from; without a T1w, what divides grey and white matter.

    Examples
    --------
    >>> from csvdprep.preprocessing.tissues import Options
    >>> resolve({'t1w': None}, Options())[1][0].value
    'segmented here'
    >>> [str(decision) for decision in resolve({}, Options())[1]][1]
    'grey and white matter: the network (there is no T1w)'
    """
    why = 'no segmentation was given'
    if 'tissue_external' in scans:
        given = scans['tissue_external']
        shown = given.uri or given.path
        if given.content['on'] == ('t1w' if 't1w' in scans else 'flair'):
            return (
                replace(options, flair_engine='template'),
                (Decision('tissues', 'given by --derivatives', shown),),
            )
        why = (
            f'{shown} is on the grid of the {given.content["title"]}, not on that of the reference'
        )
    here = Decision('tissues', 'segmented here', why)
    if 't1w' in scans:
        return replace(options, flair_engine='template'), (here,)
    engine, why = _divides(scans, options.flair_engine)
    told = Decision('grey and white matter', _NAMES[engine], why)
    return replace(options, flair_engine=engine), (here, told)


def _divides(scans, asked: str) -> tuple[str, str]:
    """Return what divides grey and white matter on a FLAIR alone, and why."""
    if asked != 'auto':
        return asked, f'set by tissues.flair_engine = {asked}'
    affine = scans['flair'].affine if 'flair' in scans else ()
    if not affine or has_planes(np.asarray(affine, float)):
        return 'network', 'there is no T1w'
    return (
        'template',
        'slices are thick and not axial; the network was not trained on such images',
    )
