"""Find the rooms: every subpackage that declares one."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from csvdprep.bids.names import dataset_file
from csvdprep.core.declared import Declared
from csvdprep.core.room import Room

WINGS = ('csvdprep.preprocessing', 'csvdprep.markers', 'csvdprep.longitudinal', 'csvdprep.dataset')
#: What each visit leaves besides the products of its rooms: the table of its measures.
LEFT = 'measures'
#: How rooms of the participant name a product of all visits: EACH and its name.
EACH = 'each_'
#: With what protocols the visits were scanned.
PROTOCOLS = 'protocols'
#: What the group level leaves to the rooms of the dataset.
TABLES = (
    'group_measures',
    'group_qc',
    'group_covariates',
    'group_dictionary',
    'group_intervals',
    'group_change',
)
#: Files of the output's root, without extension, that the group level writes itself.
OWN = frozenset({*TABLES, 'group_core', 'group_long', 'group_status', 'group_values'})
#: What persons rated of a visit (``--manual-ratings``).
RATINGS = 'ratings'
#: The anatomical reference of a visit: the input of the first rank that it has.
REFERENCE = 'anat'


@cache
def declared(output_spaces: tuple[str, ...] = ()) -> Declared:
    """Return what all rooms declare of what comes from outside.

    Examples
    --------
    >>> [item.title for item in declared().inputs][:6]
    ['T1w', 'FLAIR', 'T2*w or SWI', 'T2w', 'TOF angiogram', 'DWI']
    """
    return Declared.of(discover(output_spaces))


@cache
def discover(
    output_spaces: tuple[str, ...] = (), wings: tuple[str, ...] = (), level: str = 'visit'
) -> tuple[Room, ...]:
    """Return the room of every subpackage of ``wings``.

    Parameters
    ----------
    output_spaces : tuple of str
        Spaces asked for; subpackages with ``rooms_for`` declare rooms for them, from what all
        others make.
    wings : tuple of str
        Packages to look in; :data:`WINGS` if none is named.
    level : {'visit', 'participant', 'dataset', ''}
        Of which level; of all if empty.

    Raises
    ------
    ValueError
        If two rooms make or declare one name, two measures share a column, a room takes
        what nobody makes, or makes a table that the group level writes itself.

    Examples
    --------
    >>> names = [room.name for room in discover() if room.marker]
    >>> 'wmh' in names, 'brain' in names
    (True, False)

    """
    rooms: list[Room] = []
    makers: dict[str, str] = {}
    later = []
    for wing in wings or WINGS:
        for found in iter_modules(import_module(wing).__path__, prefix=f'{wing}.'):
            module = import_module(found.name)
            if hasattr(module, 'rooms_for'):
                later.append(module.rooms_for)
            else:
                rooms.append(module.ROOM)
    rooms += [room for rooms_for in later for room in rooms_for(output_spaces, tuple(rooms))]
    outside = Declared.of(rooms)
    known = {*outside.names, REFERENCE, LEFT, PROTOCOLS, RATINGS, *TABLES}
    known |= {name for room in rooms for name in room.outputs()}
    known |= {EACH + name for room in rooms if room.level == 'visit' for name in room.outputs()}
    frames = {frame.name for frame in outside.frames}
    for room in rooms:
        if strange := sorted({*room.asks} - known):
            raise ValueError(f'{room.name} takes {", ".join(strange)}, which no room makes.')
        if room.level == 'dataset':
            _check_names(room)
        elif strange := sorted({made.frame for made in room.makes.values()} - frames):
            raise ValueError(
                f'{room.name} makes images on {", ".join(strange)}, a grid that no room declares.'
            )
        for name in (*room.outputs(), *(m.name for m in room.measures)):
            if (other := makers.setdefault(name, room.name)) != room.name:
                raise ValueError(f'Both {other} and {room.name} make {name}.')
    return tuple(room for room in rooms if level in ('', room.level))


def _check_names(room: Room) -> None:
    """Raise ValueError if a room of the dataset makes a file of the group level's own."""
    for name, made in room.makes.items():
        if dataset_file(name, made).partition('.')[0] in OWN:
            raise ValueError(f'{room.name} makes {name}, which the group level writes itself.')
