"""Measures of diffusion before and after hyperintensity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from csvdprep.interfaces.cerebrum import as_free_water
from csvdprep.interfaces.values import Value
from csvdprep.longitudinal.diffusion_change import CLASSES, MAPS


def measures_of(
    means: Mapping[str, Mapping],
    waters: Mapping[str, str],
    ends: tuple[str, str],
    protocols: str,
    least: int,
) -> dict[str, Value]:
    """Compute the measures.

    Parameters
    ----------
    means : mapping of str to mapping
        By session: `Mean` by class and map.
    waters : mapping of str to str
        By session: how free water was had.
    ends : tuple of str
        First and last visit with FLAIR.
    protocols : str
        In what the diffusion scans of both differ; empty if in nothing.
    least : int
        Fewest voxels of a mean.

    Returns
    -------
    dict of str to Value
    """
    values = {}
    for name in MAPS:
        at = [_of_visit(means, waters, session, name, least) for session in ends]
        differ = name == 'fw' and all(waters.get(s, 'none') != 'none' for s in ends)
        differ = differ and waters[ends[0]] != waters[ends[1]]
        for kind in CLASSES:
            if differ:
                reason = f'methods differ: {waters[ends[0]]}, {waters[ends[1]]}'
                values[f'{name}_change_{kind}'] = Value(None, reason=reason)
                continue
            found = _minus(at[1][kind], at[0][kind])
            if found.value is not None and protocols:
                said = f'the protocols of the diffusion series differ: {protocols}'
                found = replace(found, reason=said, qc='warn')
            values[f'{name}_change_{kind}'] = _named(found, name, waters.get(ends[0]))
        first = at[0]
        values[f'{name}_before_future_wmh'] = _named(
            first['future_wmh'], name, waters.get(ends[0])
        )
        excess = _minus(first['future_penumbra'], first['stable_penumbra'])
        values[f'{name}_excess_future_penumbra'] = _named(excess, name, waters.get(ends[0]))
    return values


def _of_visit(means, waters, session, name, least) -> dict[str, Value]:
    """Return the mean of each class at a visit, or why there is none."""
    if session not in means:
        return dict.fromkeys(CLASSES, Value(None, reason=f'{session} has no diffusion'))
    if name == 'fw' and waters[session] == 'none':
        return dict.fromkeys(CLASSES, Value(None, reason=f'{session} has no free water'))
    out = {}
    for kind, (where, _) in CLASSES.items():
        found = means[session][kind, name]
        few = (
            f'fewer than {least} voxels of the series of {session} ({found.count}) are of this '
            f'tissue: {where}'
        )
        reason = few if found.mean is None else ''
        out[kind] = Value(found.mean, n=found.count, reason=reason)
    return out


def _minus(one: Value, other: Value) -> Value:
    """Subtract; what lacks says so."""
    lacking = [value for value in (other, one) if value.value is None]
    if lacking:
        return Value(None, reason=lacking[0].reason)
    return Value(one.value - other.value, n=min(one.n, other.n))


def _named(value: Value, name: str, water: str | None) -> Value:
    return as_free_water(value, water) if name == 'fw' and water else value
