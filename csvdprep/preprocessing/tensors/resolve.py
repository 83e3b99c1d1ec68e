"""On which shells the tensor stands, and how free water is had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from csvdprep.bids.gradients import shells
from csvdprep.core.errors import MeasureError
from csvdprep.core.room import Decision
from csvdprep.science.shell_choice import choose_shells

#: Highest b-value (s/mm2) that takes part in the fit of free water.
WATER_B_MAX = 3000.0


def resolve(scans: Mapping[str, Any], options: Any) -> tuple[Any, tuple[Decision, ...]]:
    """Decide about shells and free water from the gradients as acquired.

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
        Shells, free water; a run that cannot be used later may change both, and results tell.
    """
    runs = (scans['dwi'].content or {}).get('runs', []) if 'dwi' in scans else []
    if not runs:
        return options, ()
    bvals = np.concatenate([np.asarray(run['bvals'], float) for run in runs])
    vectors = np.concatenate([np.asarray(run['bvecs'], float) for run in runs])
    levels = shells(bvals.tolist())
    try:
        choice = choose_shells(
            bvals,
            vectors,
            levels,
            wanted=options.b_wanted,
            every_up_to=options.b_max if options.shells == 'all' else None,
        )
    except MeasureError as error:
        return options, (Decision('shells', 'none', error.message),)
    left = f'not used: {_listed(choice.left)}' if choice.left else 'there is no other shell'
    usable = [b for b in levels if b <= 1.03 * WATER_B_MAX]
    water = (
        Decision('free water', 'a second compartment', f'{len(usable)} shells')
        if len(usable) > 1
        else Decision(
            'free water', 'a contrast that assumes the diffusivity of tissue', 'one shell'
        )
    )
    return options, (
        Decision('shells of the tensor', f'{_listed(choice.used)} s/mm²', left),
        water,
    )


def _listed(levels) -> str:
    return ' '.join(f'{b:.0f}' for b in levels)
