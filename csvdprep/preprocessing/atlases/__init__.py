"""Regions of the template on the anatomical reference."""

from csvdprep.core.room import Derivative, Room


def _atlas(desc, name):
    return Derivative(
        suffix='dseg',
        atlas='csvdprep',
        desc=desc,
        table=f'template_{desc}',
        description=f'{name} of the template on the {{hub}}.',
    )


ROOM = Room(
    name='atlases',
    title='Regions of the template',
    needs=('anat_filled', 'mni_to_anat'),
    makes={
        'structures_dseg': _atlas('structures', 'Deep structures, brainstem and cerebellum'),
        'lobes_dseg': _atlas('lobes', 'Lobes'),
        'territories_dseg': _atlas('territories', 'Vascular territories'),
    },
    resources=('template_structures', 'template_lobes', 'template_territories'),
    build='csvdprep.preprocessing.atlases.workflow:init_atlases_wf',
    methods='Structures, lobes and vascular territories of the template were brought to the '
    'anatomical reference.',
)
