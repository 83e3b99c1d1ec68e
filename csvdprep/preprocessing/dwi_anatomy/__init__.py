"""The way from the diffusion series to the anatomical reference."""

from csvdprep.core.room import Derivative, Figure, Limits, Measure, Room

ROOM = Room(
    name='dwi_anatomy',
    title='Diffusion series and anatomy',
    needs=('dwi_b0', 'dwi_mask', 'anat_preproc', 'brain_mask'),
    makes={
        'dwi_to_anat': Derivative(
            suffix='xfm',
            xfm=('dwi', '{hub}'),
            extension='.txt',
            frame='dwi',
            description='Resamples the diffusion series onto the {hub} (ITK, rigid, LPS mm).',
        )
    },
    figures=(
        Figure(
            desc='dwianat',
            suffix='dwi',
            title='Diffusion series on the anatomy',
            caption='The b = 0 image and, under the mouse pointer, the anatomical reference. '
            'The ventricles and the edge of the brain should not move.',
            build='csvdprep.preprocessing.dwi_anatomy.figures:draw_alignment',
            takes=('dwi_b0', 'dwi_mask', 'anat_preproc', 'brain_mask', 'dwi_to_anat'),
        ),
    ),
    measures=(
        Measure(
            name='qc_dwi_anat_dice',
            units='1',
            method='dice',
            description='Agreement (Dice) of the brain mask of the diffusion series with that '
            'of the anatomical reference, within the part covered by the series.',
            limits=Limits(ok=(0.85, None), warn=(0.7, None)),
        ),
    ),
    build='csvdprep.preprocessing.dwi_anatomy.workflow:init_dwi_anatomy_wf',
    methods='The b = 0 volumes were registered to the anatomical reference (rigid, mutual '
    'information).',
)
