"""Columns that lists of lesions share, whatever the lesion."""

from csvdprep.core.room import Column

_SIDES = {'left': 'left hemisphere', 'right': 'right hemisphere'}

#: Which lesion, how large, and where.
IDENTITY = (
    Column(
        name='index',
        description='Number of the lesion, 1 the largest; its value in images of single lesions.',
    ),
    Column(name='volume_mm3', description='Volume.', units='mm3'),
    *(
        Column(
            name=axis,
            units='mm',
            description=f'Centroid, {axis} of the scanner (RAS+) on the image of the list.',
        )
        for axis in 'xyz'
    ),
    *(
        Column(
            name=f'{axis}_mni',
            units='mm',
            aside=True,
            description=f'Centroid, {axis} in the template (MNI152NLin2009aSym, RAS+).',
        )
        for axis in 'xyz'
    ),
)
#: In which part of the brain most of it lies.
REGION = (
    Column(name='side', description='Hemisphere in which most of it lies.', levels=_SIDES),
    Column(name='lobe', description='Lobe of the template in which most of it lies.'),
    Column(
        name='territory',
        description='Vascular territory of the template in which most of it lies.',
    ),
    Column(
        name='max_axial_diameter_mm', description='Largest diameter in an axial slice.', units='mm'
    ),
)
#: How sure it is.
PROBABILITY = Column(
    name='mean_probability',
    units='1',
    description='Mean over its voxels of the map of probability or membership.',
)
