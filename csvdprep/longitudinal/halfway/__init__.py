"""Spaces half-way between the visits of a participant, one for each contrast."""

from dataclasses import dataclass

from csvdprep.core.declared import Frame
from csvdprep.core.room import Column, Derivative, Figure, Limits, Measure, Room


@dataclass(frozen=True, kw_only=True)
class HalfwayRoom(Room):
    """A room of one contrast."""

    image: str
    """Product of the visits that is registered."""
    brain: str
    """Its brain mask."""
    contrast: str
    """Suffix of the images."""


_POSE = tuple(
    Column(
        name=f'm{row}{column}',
        description=f'Row {row}, column {column} of the rigid matrix that takes points of the '
        'half-way space to points of the visit, RAS+ mm.',
    )
    for row in (1, 2, 3)
    for column in (1, 2, 3, 4)
)


def rooms_for(_spaces: tuple[str, ...] = (), _rooms: tuple[Room, ...] = ()) -> tuple[Room, ...]:
    """Return a room for FLAIR and one for T1w.

    Examples
    --------
    >>> [room.name for room in rooms_for()]
    ['halfway_flair', 'halfway_t1w']
    """
    return (
        _room('FLAIR', 'flair_preproc', 'flair_mask'),
        _room('T1w', 'anat_preproc', 'brain_mask'),
    )


def _room(contrast: str, image: str, brain: str) -> HalfwayRoom:
    kind = contrast.lower()
    frame = f'halfway_{kind}'
    return HalfwayRoom(
        name=frame,
        title=f'Registration of the visits: {contrast}',
        level='participant',
        image=image,
        brain=brain,
        contrast=contrast,
        needs=('measures', 'protocols'),
        wants=(f'each_{image}', f'each_{brain}'),
        frames=(
            Frame(
                name=frame,
                description=f'Grid half-way between the {contrast} images of all visits.',
                space=f'halfway{contrast}',
                datatype='anat',
                source='',
            ),
        ),
        makes={
            frame: Derivative(
                suffix=contrast,
                desc='visits',
                frame=frame,
                space=f'halfway{contrast}',
                description=f'{contrast} of all visits in the space half-way between them, '
                'intensity-corrected and resampled once (cubic spline); visits in the order of '
                'the table of poses, along the fourth axis.',
                metadata={'SkullStripped': False},
            ),
            f'{frame}_poses': Derivative(
                suffix='poses',
                desc=frame.replace('_', ''),
                extension='.tsv',
                frame=frame,
                datatype='anat',
                description='Where the visits lie: rigid transforms from the half-way space to '
                'each visit, whose mean is the identity.',
                columns=(
                    Column(name='session', description='Visit.'),
                    Column(
                        name='shift_mm',
                        units='mm',
                        description='Distance of the middle of the grid from its place at the '
                        'visit.',
                    ),
                    Column(
                        name='turn_deg',
                        units='degree',
                        description='Angle between the half-way space and the visit.',
                    ),
                    *_POSE,
                ),
            ),
            f'{frame}_error': Derivative(
                suffix='errormap',
                desc=frame.replace('_', ''),
                frame=frame,
                units='mm',
                description='Error of the registration of the visits: shift that would bring '
                'an image onto the mean of the others, in windows of some 20 mm (root mean '
                'square over the visits). It includes atrophy and distortion.',
            ),
        },
        figures=(
            Figure(
                desc=frame.replace('_', ''),
                suffix=contrast,
                title=f'First and last visit, {contrast}',
                caption='The mouse pointer switches between the first and the last visit in '
                'the space half-way between all visits. Nothing but disease should move.',
                build='csvdprep.longitudinal.halfway.figures:draw_halfway',
                takes=(frame, f'{frame}_error'),
            ),
        ),
        measures=(
            Measure(
                name=f'{frame}_visits_n',
                units='1',
                method='halfway-rigid',
                description=f'Number of visits with {contrast} that were registered.',
            ),
            Measure(
                name=f'{frame}_error_median_mm',
                units='mm',
                method='optical-flow',
                table=False,
                description='Median of the registration error over the brain.',
            ),
            Measure(
                name=f'qc_{frame}_mm',
                units='mm',
                method='optical-flow',
                description=f'Error of the registration of the {contrast} of the visits: 95th '
                'percentile over the brain. It includes atrophy and distortion.',
                limits=Limits(ok=(0, 1.0), warn=(0, 2.0)),
            ),
            Measure(
                name=f'qc_{frame}_protocol',
                units='',
                method='headers-and-sidecars',
                description=f'Whether the {contrast} of all visits have one protocol: voxel '
                'size, scanner, field strength, and times of the sequence, as far as headers '
                'and sidecars tell.',
                levels={
                    'same': 'no difference is known',
                    'different': 'changes may be due to the scanner',
                },
            ),
        ),
        resolve='csvdprep.longitudinal.halfway.decide:'
        + ('resolve_flair' if contrast == 'FLAIR' else 'resolve_t1w'),
        build='csvdprep.longitudinal.halfway.workflow:init_halfway_wf',
        methods=f'The {contrast} images of all visits were registered to the space half-way '
        'between them (rigid; robust and inverse-consistent, after the idea of [@reuter2012]), '
        'and each was resampled once.',
        references=('reuter2012',),
    )
