"""Masks and maps in the spaces that the user asks for: grids of the visit's scans, templates.

What is resampled, and how, is declared by who makes it (``Derivative.resampled``), and the way
from its grid by that grid (``Frame.to_anat``); no room is named here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from csvdprep.core.declared import Frame, Input
from csvdprep.core.room import Derivative, Room
from csvdprep.imaging.spaces import SPACE, parse_space, reference_uri, scan_space, spell_space

#: Grid of the anatomical reference, and that of templates.
ANAT, TEMPLATE = 'anat', 'mni'
#: Shipped files by space and resolution.
SHIPPED = {(SPACE, 1): ('template',), (SPACE, 2): ('template_2mm',)}


@dataclass(frozen=True, kw_only=True)
class RegisterRoom(Room):
    """A room that registers the anatomical reference to a template, known as `find_space` does."""

    spec: str


@dataclass(frozen=True, kw_only=True)
class SpaceRoom(Room):
    """A room that resamples products of another room into one space."""

    spec: str
    """Template, as `find_space` takes it; empty if the space is the grid of a scan."""
    target: str
    """Product whose grid it is, if it is no template."""
    images: tuple[tuple[str, str, str], ...]
    """Product, its name in the space, interpolation."""
    ways: tuple[tuple[str, bool], ...]
    """Transforms, the first to be used last on a point of the space; True: its inverse."""


@dataclass(frozen=True, kw_only=True)
class _Space:
    """A space: what it is called, and the way there from the anatomical reference."""

    spec: str
    tag: str
    entity: str
    frame: str
    res: str | None = None
    target: str = ''
    ways: tuple[tuple[str, bool], ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    resources: tuple[str, ...] = ()


def rooms_for(specs: tuple[str, ...], rooms: tuple[Room, ...]) -> tuple[Room, ...]:
    """Declare the rooms of some output spaces.

    Parameters
    ----------
    specs : tuple of str
        ``SPACE[:res-N][:cohort-N]``, or the grid of a scan, as `read_spaces` returns them.
    rooms : tuple of Room
        What makes the images, and declares grids and inputs.

    Returns
    -------
    tuple of Room
        For each space one for each room that makes something to be resampled, and one that
        registers the anatomical reference to a template that is not the shipped one.

    Examples
    --------
    >>> from csvdprep.core.room import Derivative
    >>> grid = Frame(name='anat', description='', space='{hub}', image='t1w')
    >>> mask = Derivative(suffix='mask', description='A mask.', resampled='nearest')
    >>> room = Room(name='a', title='A', needs=(), makes={'m': mask}, build='', frames=(grid,))
    >>> made = rooms_for(('MNI152NLin2009aSym:res-2', 'T1w'), (room,))
    >>> [(item.name, *item.makes) for item in made]  # on the T1w it lies already
    [('space_MNI152NLin2009aSymres2_a', 'm_in_MNI152NLin2009aSymres2')]

    """
    frames = {frame.name: frame for room in rooms for frame in room.frames}
    ranked = (item for room in rooms for item in room.inputs if item.reference)
    references = sorted(ranked, key=lambda item: item.reference)
    made: list[Room] = []
    for spec in dict.fromkeys(specs):
        space = _space(spec, frames)
        if space is None:
            continue
        if space.frame == TEMPLATE and space.ways != (('anat_to_mni', False),):
            made.append(_registration(space))
        there = {
            _identity(item)
            for room in rooms
            for item in room.makes.values()
            if item.frame == space.frame
        }
        for room in rooms:
            made += _carriers(room, space, frames, references, there)
    return tuple(made)


def _identity(item: Derivative) -> tuple[str | None, ...]:
    """Return what tells a product from others on its grid."""
    return (item.suffix, item.desc, item.label, item.atlas, item.model, item.param)


def _space(spec: str, frames: dict[str, Frame]) -> _Space | None:
    """Say what a space is; None for the grid of a scan that no room declares."""
    if word := scan_space(spec):
        name = ANAT if word == 'T1w' else word
        frame = next((f for f in frames.values() if name in (f.name, f.word) and f.image), None)
        if frame is None:
            return None
        ways = () if frame.name == ANAT else ((frame.to_anat, True),)
        return _Space(
            spec='', tag=word, entity=word, frame=frame.name, target=frame.image, ways=ways
        )
    name, resolution, cohort = parse_space(spec)
    space = name + (str(cohort) if cohort is not None else '')
    tag = space + (f'res{resolution}' if resolution is not None else '')
    res = None if resolution is None else f'{resolution:02d}'
    told = {'SpatialReference': reference_uri(spec)}
    if res is not None:
        told['Resolution'] = f'Grid res-{res} of the template {name}.'
    way = 'anat_to_mni' if name == SPACE else f'anat_to_{tag}'
    return _Space(
        spec=spell_space(name, resolution, cohort),
        tag=tag,
        entity=space,
        frame=TEMPLATE,
        res=res,
        ways=((way, False),),
        metadata=tuple(told.items()),
        resources=SHIPPED.get((name, resolution or 1), ()) if cohort is None else (),
    )


def _registration(space: _Space) -> Room:
    way = space.ways[0][0]
    return RegisterRoom(
        spec=space.spec,
        name=f'space_{space.tag}',
        title=f'{space.entity}: registration',
        needs=('anat_preproc', 'anat_filled', 'brain_mask', 'anat_to_mni'),
        wants=('lesion_guess',),
        makes={
            way: Derivative(
                suffix='xfm',
                xfm=('{hub}', space.tag),
                extension='.h5',
                description=f'Resamples the {{hub}} into {space.entity} (ITK composite, LPS mm).',
            )
        },
        context=('hub',),
        build='csvdprep.preprocessing.spaces.workflow:init_registration_wf',
        methods=f'The anatomical reference was registered to {space.entity} (SyN).',
    )


def _carriers(
    room: Room,
    space: _Space,
    frames: dict[str, Frame],
    references: list[Input],
    known: set[tuple[str | None, ...]],
) -> Iterable[Room]:
    """Declare what brings products of a room into a space, one room for each grid of theirs.

    What the space has one of its own of (``known``) is not brought there.
    """
    grids: dict[str, dict[str, Derivative]] = {}
    for name, item in room.makes.items():
        frame = frames.get(item.frame)
        there = frame and frame.name != space.frame and (frame.to_anat or frame.name == ANAT)
        if item.resampled and there and _identity(item) not in known:
            grids.setdefault(frame.name, {})[name] = item
    for number, (grid, made) in enumerate(grids.items()):
        frame = frames[grid]
        ways = (*(((frame.to_anat, False),) if frame.to_anat else ()), *space.ways)
        yield SpaceRoom(
            spec=space.spec,
            target=space.target,
            follows=room.name,
            name=f'space_{space.tag}_{room.name}' + (f'_{grid}' if number else ''),
            title=f'{room.title}, in {space.entity}',
            needs=(
                *made,
                *(name for name, _ in ways),
                *((space.target,) if space.target else ()),
                *_first_of(references, grid, space),
            ),
            makes={
                f'{name}_in_{space.tag}': _elsewhere(item, frame, space)
                for name, item in made.items()
            },
            images=tuple(
                (name, f'{name}_in_{space.tag}', item.resampled) for name, item in made.items()
            ),
            ways=ways,
            resources=space.resources,
            build='csvdprep.preprocessing.spaces.workflow:init_space_wf',
            methods=f'Results of the step "{room.title}" were resampled into {space.entity}.',
        )


def _first_of(references: list[Input], grid: str, space: _Space) -> tuple[str, ...]:
    """Name the scan that has to be the reference, so that the two grids are not one."""
    others = {item.frame for item in references[1:]}
    if references and (space.frame == ANAT or (grid == ANAT and space.frame in others)):
        return (references[0].name,)
    return ()


def _elsewhere(item: Derivative, frame: Frame, space: _Space) -> Derivative:
    """Declare a product in another space."""
    how = {'linear': 'linear interpolation', 'nearest': 'nearest voxel'}[item.resampled]
    return replace(
        item,
        frame=space.frame,
        space=space.entity,
        res=space.res,
        datatype=item.datatype or frame.datatype,
        source=item.source or frame.source,
        description=f'{item.description} Resampled into {space.entity} ({how}); measures come '
        'from the original, not from this image.',
        metadata={**item.metadata, **dict(space.metadata)},
        resampled='',
    )
