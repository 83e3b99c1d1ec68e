"""Find the rooms: every subpackage that declares one."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from csvdprep.core.lexicon import term
from csvdprep.core.room import Room

WINGS = ('csvdprep.preprocessing', 'csvdprep.markers')


@cache
def discover(
    output_spaces: tuple[str, ...] = (), wings: tuple[str, ...] = WINGS
) -> tuple[Room, ...]:
    """Return the room of every subpackage of ``wings``.

    Parameters
    ----------
    output_spaces : tuple of str
        Spaces asked for; subpackages with ``rooms_for`` declare rooms for them.
    wings : tuple of str
        Packages to look in.

    Raises
    ------
    ValueError
        If two rooms make one name, or two measures share a column.
    KeyError
        If a room uses a name that the lexicon does not have.

    Examples
    --------
    >>> [room.name for room in discover() if room.marker]
    ['alps', 'atrophy', 'fazekas', 'nawm', 'penumbra', 'psmd', 'wmh', 'zones']

    """
    rooms: list[Room] = []
    makers: dict[str, str] = {}
    for wing in wings:
        for found in iter_modules(import_module(wing).__path__, prefix=f'{wing}.'):
            module = import_module(found.name)
            found_rooms = (
                module.rooms_for(output_spaces) if hasattr(module, 'rooms_for') else (module.ROOM,)
            )
            rooms += found_rooms
    for room in rooms:
        for name in (*room.needs, *room.wants, *room.outputs()):
            term(name)
        for name in (*room.outputs(), *(m.name for m in room.measures)):
            if (other := makers.setdefault(name, room.name)) != room.name:
                raise ValueError(f'Both {other} and {room.name} make {name}.')
    return tuple(rooms)
