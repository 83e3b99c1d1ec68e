"""Motion and eddy currents: taken off a diffusion series, with the distortion, at once."""

from csvdprep.core.room import Derivative, Room

ROOM = Room(
    name='dwi_motion',
    title='Motion and eddy currents of the diffusion series',
    needs=('dwi_denoised', 'dwi_volumes', 'dwi_mask_raw', 'dwi_shift'),
    makes={
        'dwi_realigned': Derivative(
            suffix='dwi',
            frame='dwi',
            extension='.nii',
            saved=False,
            kept=False,
            description='Diffusion series without motion, eddy currents and distortion: all '
            'volumes show the head as it lay in the first without gradient.',
        ),
        'dwi_motions': Derivative(
            suffix='motions',
            frame='dwi',
            extension='.json',
            saved=False,
            description='For each volume: transform (4 x 4, mm, RAS+) of points of the head at '
            'rest to where they were, eddy currents included; gradient in the head at rest; '
            'slices that lost signal, in RAS+ order.',
        ),
        'dwi_coverage': Derivative(
            suffix='mask',
            frame='dwi',
            saved=False,
            description='Voxels of the head at rest that lie in all volumes.',
        ),
        'dwi_bval': Derivative(
            suffix='dwi',
            desc='preproc',
            frame='dwi',
            extension='.bval',
            description='b-values, s/mm²; those that count as 0 are written as 0.',
        ),
        'dwi_bvec': Derivative(
            suffix='dwi',
            desc='preproc',
            frame='dwi',
            extension='.bvec',
            description='Gradients, turned with the head.',
        ),
    },
    build='csvdprep.preprocessing.dwi_motion.workflow:init_dwi_motion_wf',
    resolve='csvdprep.preprocessing.dwi_motion.resolve:resolve',
    methods='Motion and eddy currents of the diffusion series were found by aligning each volume '
    'with its prediction from the others [@andersson2016]; they and the distortion were taken off '
    'in one interpolation, and gradients turned with the head [@leemans2009].',
    references=('andersson2016', 'leemans2009'),
)
