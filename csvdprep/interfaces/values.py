"""Measures on their way from a room to the visit's table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from csvdprep.core.room import Room


@dataclass(frozen=True)
class Value:
    """One measured value.

    Parameters
    ----------
    value : float, int, str or None
        The value; None where it could not be had.
    low, high : float, optional
        Bounds of its calibrated 95 % interval.
    n : int, optional
        Number of voxels or lesions behind it.
    reason : str
        Why there is no value, or what to mind about it.
    qc : {'', 'warn', 'fail'}
        A judgement that the declared limits cannot make.
    method : str
        Identifier of the algorithm, where it is not the declared one for every visit.
    of : tuple of str
        Measures that it was computed from in this visit: it is worth no more than the worst of
        them, and is not given out where one of them is not.
    """

    value: float | int | str | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    reason: str = ''
    qc: str = ''
    method: str = ''
    of: tuple[str, ...] = ()


def write_values(
    path: Path, values: Mapping[str, Value | float | int | str | None], room: Room
) -> str:
    """Write the measures of a room.

    Parameters
    ----------
    path : Path
        JSON file to write.
    values : mapping of str to Value
        By column; a bare number stands for a Value without interval.
    room : Room
        The room; its declared measures, no more and no less, are written.

    Returns
    -------
    str
        The path.

    Raises
    ------
    ValueError
        If a measure is not declared, or a declared one is not given, or one is missing without a
        reason.

    Examples
    --------
    >>> import tempfile
    >>> from csvdprep.core.room import Measure
    >>> path = Path(tempfile.mkdtemp()) / 'values.json'
    >>> bpf = Measure(name='bpf', units='1', description='', method='')
    >>> room = Room(name='atrophy', title='', needs=(), makes={}, build='', measures=(bpf,))
    >>> _ = write_values(path, {'bpf': Value(None, reason='no T1w')}, room)
    >>> read_values(path)['bpf'].reason
    'no T1w'
    >>> write_values(path, {'evans': 0.3}, room)
    Traceback (most recent call last):
    ...
    ValueError: atrophy: evans is not declared; bpf is declared and has no value.

    """
    declared = {measure.name for measure in room.measures}
    faults = [f'{name} is not declared' for name in sorted(values.keys() - declared)]
    faults += [f'{name} is declared and has no value' for name in sorted(declared - values.keys())]
    if faults:
        raise ValueError(f'{room.name}: {"; ".join(faults)}.')
    return store_values(path, values)


def store_values(path: Path, values: Mapping[str, Value | float | int | str | None]) -> str:
    """Write values by column, whatever they are; see :func:`write_values`."""
    table = {}
    for name, item in values.items():
        value = item if isinstance(item, Value) else Value(item)
        value = _finite(value)
        if value.value is None and not value.reason:
            raise ValueError(f'{name} has neither a value nor a reason.')
        table[name] = asdict(value)
    Path(path).write_text(json.dumps(table, indent=1, allow_nan=False) + '\n', encoding='utf-8')
    return str(path)


def read_values(path: Path) -> dict[str, Value]:
    """Read what :func:`write_values` wrote."""
    table = json.loads(Path(path).read_text(encoding='utf-8'))
    return {
        name: Value(**{**item, 'of': tuple(item.get('of', ()))}) for name, item in table.items()
    }


def read_measure(path: Path, name: str, room: Room) -> Value:
    """Read a measure of another room, which has to be declared.

    Parameters
    ----------
    path : Path
        Values of the other room.
    name : str
        ``room.measure``, one of ``room.reads``.
    room : Room
        The room that reads.

    Returns
    -------
    Value

    Raises
    ------
    ValueError
        If the declaration does not say that the room reads it.
    """
    if name not in room.reads:
        raise ValueError(f'{room.name} does not declare that it reads {name}.')
    return read_values(path)[name.partition('.')[2]]


def _finite(value: Value) -> Value:
    """Turn numpy scalars into Python's, and what is not finite into a missing value."""

    def plain(number):
        if number is None or isinstance(number, str):
            return number
        number = number.item() if hasattr(number, 'item') else number
        if isinstance(number, float) and not math.isfinite(number):
            return None
        return number

    number = plain(value.value)
    reason = value.reason
    if number is None and value.value is not None and not reason:
        reason = 'the result is not finite'
    return replace(
        value,
        value=number,
        low=plain(value.low),
        high=plain(value.high),
        n=plain(value.n),
        reason=reason,
    )
