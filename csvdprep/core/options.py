"""Options of rooms: declared with type, default, unit and meaning, and checked once, at start."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import field, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from csvdprep.core.errors import UsageError
from csvdprep.core.words import choices

if TYPE_CHECKING:
    from csvdprep.core.room import Room

_TYPES = {'str': 'text', 'float': 'number', 'int': 'whole number', 'bool': 'true or false'}


def option(
    default: Any,
    meaning: str,
    *,
    unit: str = '',
    choices: tuple[str, ...] = (),
    least: float | None = None,
    most: float | None = None,
) -> Any:
    """Declare one option of a room, as a field of its dataclass.

    Parameters
    ----------
    default : str, float, int or bool
        Value without being asked.
    meaning : str
        What it does, in a line.
    unit : str, optional
        Unit, if it has one.
    choices : tuple of str, optional
        Values that it may have.
    least, most : float, optional
        Bounds of a number, inclusive.

    Returns
    -------
    dataclasses.Field
    """
    return field(
        default=default,
        metadata={
            'meaning': meaning,
            'unit': unit,
            'choices': choices,
            'least': least,
            'most': most,
        },
    )


def read_options(room: Room, table: Mapping[str, Any]) -> Any:
    """Make the options of a room from what was asked.

    Parameters
    ----------
    room : Room
        Its declaration.
    table : mapping
        Values by name; others have their defaults.

    Returns
    -------
    object
        Instance of ``room.options``.

    Raises
    ------
    ValueError
        If an option does not exist, or its value is of the wrong type or out of bounds; says
        which one, and what it has to be.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from csvdprep.core.room import Room
    >>> @dataclass(frozen=True)
    ... class Options:
    ...     runs: int = option(20, 'Jittered runs.', least=1)
    >>> room = Room(name='wmh', title='', needs=(), makes={}, build='', options=Options)
    >>> read_options(room, {'runs': 3})
    Options(runs=3)
    >>> read_options(room, {'runs': 0})
    Traceback (most recent call last):
    ...
    ValueError: wmh.runs must be at least 1
    >>> read_options(room, {'rums': 0})
    Traceback (most recent call last):
    ...
    ValueError: wmh has no option "rums"; did you mean runs?
    """
    known = {item.name: item for item in fields(room.options)}
    if strange := sorted(set(table) - set(known)):
        there = choices(strange[0], known, 'its options are') if known else 'it has no options'
        there = there[0].lower() + there[1:].removesuffix('.')
        raise ValueError(f'{room.name} has no option "{strange[0]}"; {there}')
    try:
        made = msgspec.convert(dict(table), room.options)
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(' - at `$.')
        if not place:  # a condition of the room's own
            raise ValueError(said) from error
        name = place.rstrip('`')
        kind = _kind(known[name].type)
        raise ValueError(f'{room.name}.{name} must be a {kind}: {said}') from error
    for name, item in known.items():
        _check(f'{room.name}.{name}', getattr(made, name), item.metadata)
    return made


def _kind(kind: type | str) -> str:
    name = kind if isinstance(kind, str) else kind.__name__
    return _TYPES.get(name, name)


def _check(name: str, value: Any, declared: Mapping[str, Any]) -> None:
    choices = declared.get('choices')
    if choices and value not in choices:
        raise ValueError(f'{name} must be one of {", ".join(choices)}')
    least, most = declared.get('least'), declared.get('most')
    if (least is not None and value < least) or (most is not None and value > most):
        if most is None:
            raise ValueError(f'{name} must be at least {least:g}')
        if least is None:
            raise ValueError(f'{name} must be at most {most:g}')
        raise ValueError(f'{name} must lie between {least:g} and {most:g}')


def with_options(rooms: Iterable[Room]) -> list[str]:
    """Return the names of rooms that have options, sorted."""
    return sorted(room.name for room in rooms if fields(room.options))


def read_assignment(text: str) -> tuple[str, str, Any]:
    """Take ``wmh.runs=40`` apart.

    Returns
    -------
    room, name : str
        Which option.
    value : str, float, int or bool
        As TOML writes it; what TOML does not know is a text.

    Raises
    ------
    UsageError
        If it is no such thing.

    Examples
    --------
    >>> read_assignment('wmh.runs=40'), read_assignment('dwi_denoise.method=none')
    (('wmh', 'runs', 40), ('dwi_denoise', 'method', 'none'))
    """
    place, equals, value = text.partition('=')
    room, dot, name = place.strip().partition('.')
    if not (equals and dot and room and name and value.strip()):
        raise UsageError(
            f'"{text}" does not set an option.',
            field='--set',
            remedy='Write STEP.OPTION=VALUE, as in wmh.runs=40; csvdprep options lists them.',
        )
    try:
        read = tomllib.loads(f'value = {value.strip()}')['value']
    except tomllib.TOMLDecodeError:
        read = value.strip()
    return room, name, read


class Row(NamedTuple):
    """One option, as texts for a table."""

    option: str
    kind: str
    default: str
    unit: str
    meaning: str


def options_table(rooms: Iterable[Room]) -> list[Row]:
    """List the options of rooms.

    Parameters
    ----------
    rooms : iterable of Room
        In the order of the table.

    Returns
    -------
    list of Row
        ``option`` is ``step.name``; ``kind`` names the type, the choices or the bounds.
    """
    rows = []
    for room in rooms:
        for item in fields(room.options):
            told = item.metadata
            kind = _kind(item.type)
            if told.get('choices'):
                kind = ', '.join(told['choices'])
            least, most = told.get('least'), told.get('most')
            if least is not None and most is not None:
                kind += f', {least:g} to {most:g}'
            elif least is not None:
                kind += f', at least {least:g}'
            default = item.default
            shown = str(default).lower() if isinstance(default, bool) else str(default)
            shown = shown or '""'
            rows.append(
                Row(
                    f'{room.name}.{item.name}',
                    kind,
                    shown,
                    told.get('unit', ''),
                    told.get('meaning', ''),
                )
            )
    return rows
