"""Columns that lists of lesions share, whatever the lesion."""

from csvdprep.core.room import Column

_SIDES = {'left': 'left hemisphere', 'right': 'right hemisphere'}

#: Which lesion, how large, and where.
IDENTITY = (
    Column(
        name='index',
        description='Number of the lesion, 1 for the largest; also its label in the image of '
        'single lesions.',
    ),
    Column(name='volume_mm3', description='Volume.', units='mm3'),
    *(
        Column(
            name=axis,
            units='mm',
            description=f'Centroid, {axis} in scanner coordinates (RAS+) of the image in which '
            'the lesions were found.',
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
    Column(name='side', description='Hemisphere that contains most of the lesion.', levels=_SIDES),
    Column(name='lobe', description='Lobe of the template that contains most of the lesion.'),
    Column(
        name='territory',
        description='Vascular territory of the template that contains most of the lesion.',
    ),
    Column(
        name='max_axial_diameter_mm',
        description='Largest diameter of the lesion in an axial slice.',
        units='mm',
    ),
)
#: How sure it is.
PROBABILITY = Column(
    name='mean_probability',
    units='1',
    description='Mean of the probability or membership map over the voxels of the lesion.',
)
