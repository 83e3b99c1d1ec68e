"""What is done about noise and ringing, as far as sidecars and gradients tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from csvdprep.core.room import Decision

#: Volumes from which on MP-PCA tells noise from signal.
MPPCA_VOLUMES = 30
#: Part of k-space that has to be measured for unringing by sub-voxel shifts.
WHOLE_KSPACE = 7 / 8


def resolve(scans: Mapping[str, Any], options: Any) -> tuple[Any, tuple[Decision, ...]]:
    """Decide about noise and ringing of a diffusion series.

    Parameters
    ----------
    scans : mapping of str to Scan
        Scans of the visit.
    options : Options
        Of the room.

    Returns
    -------
    options : Options
        As they were: each run is judged for itself.
    decisions : tuple of Decision
        Noise and ringing.
    """
    content = scans['dwi'].content or {}
    if content.get('corrected'):
        given = 'it comes from --derivatives'
        return options, (Decision('noise and ringing', 'left as given', given),)
    runs = content.get('runs', [])
    return options, (_noise(runs, options.method), _ringing(runs, options.unring))


def long_enough(volumes: int) -> bool:
    """Tell whether MP-PCA can work on a run."""
    return volumes >= MPPCA_VOLUMES


def covered(part: float | None) -> bool:
    """Tell whether enough of k-space was measured for unringing; not known counts as enough."""
    return part is None or part >= WHOLE_KSPACE


def _noise(runs, asked: str) -> Decision:
    counts = [len(run['bvals']) for run in runs]
    told = ' and '.join(map(str, counts)) + ' volumes'
    if asked != 'auto':
        value = 'reduced by MP-PCA' if asked == 'mppca' else 'left as it is'
        return Decision('noise', value, f'asked for by dwi_denoise.method = {asked}')
    if all(map(long_enough, counts)):
        return Decision('noise', 'reduced by MP-PCA', told)
    if any(map(long_enough, counts)):
        return Decision(
            'noise', f'reduced by MP-PCA in runs of {MPPCA_VOLUMES} volumes or more', told
        )
    return Decision('noise', 'left as it is', f'{told}: MP-PCA needs {MPPCA_VOLUMES}')


def _ringing(runs, asked: str) -> Decision:
    if asked == 'none':
        return Decision('ringing', 'left as it is', 'asked for by dwi_denoise.unring = none')
    parts = [run.get('partial_fourier') for run in runs]
    if all(map(covered, parts)):
        known = [part for part in parts if part is not None]
        why = (
            f'{min(known):.3g} of k-space was measured'
            if known
            else ('the sidecar tells of no partial Fourier')
        )
        return Decision('ringing', 'removed by sub-voxel shifts', why)
    least = min(part for part in parts if part is not None)
    value = 'left as it is' if not any(map(covered, parts)) else 'removed from some runs'
    return Decision('ringing', value, f'{least:.3g} of k-space was measured')
