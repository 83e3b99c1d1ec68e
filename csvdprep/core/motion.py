"""Columns that tell how the head lay in each volume, for the tables of all series."""

from csvdprep.core.room import Column

#: Three shifts and three rotations.
POSE = (
    *(
        Column(
            name=f'trans_{axis}',
            units='mm',
            description=f'Translation of the head along {axis} (RAS+), at the middle of the '
            'brain.',
        )
        for axis in 'xyz'
    ),
    *(
        Column(
            name=f'rot_{axis}',
            units='degree',
            description=f'Rotation of the head about {axis} (RAS+).',
        )
        for axis in 'xyz'
    ),
)
#: The same, and how far the brain moved.
MOTION = (
    *POSE,
    Column(
        name='displacement_mm',
        units='mm',
        description='Largest displacement of a point of the brain.',
    ),
)
