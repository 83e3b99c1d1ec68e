"""Brain and bias field: what is brain in a diffusion series, and the drift of the coil off it."""

from csvdprep.core.room import Derivative, Figure, Room
from csvdprep.resources import BRAIN

ROOM = Room(
    name='dwi_mask',
    title='Brain and bias field of the diffusion series',
    needs=('dwi_realigned', 'dwi_volumes', 'dwi_coverage'),
    makes={
        'dwi_preproc': Derivative(
            suffix='dwi',
            desc='preproc',
            frame='dwi',
            description='Diffusion series without noise, ringing, motion, eddy currents, '
            'distortion and bias, as far as these could be corrected.',
        ),
        'dwi_b0': Derivative(
            suffix='dwiref',
            desc='b0',
            frame='dwi',
            description='Mean of the volumes without gradient.',
        ),
        'dwi_mask': Derivative(
            suffix='mask',
            desc='brain',
            space='dwi',
            frame='dwi',
            description='Brain mask of the diffusion series.',
        ),
    },
    figures=(
        Figure(
            desc='dwi',
            suffix='dwi',
            title='Diffusion series',
            caption='Volumes without gradient before correction and, under the pointer, '
            'after it. Frontal and temporal lobes lie within the edge of the brain '
            'mask when distortion was corrected.',
            build='csvdprep.preprocessing.dwi_mask.figures:draw_series',
            takes=('dwi_b0_raw', 'dwi_b0', 'dwi_mask'),
        ),
    ),
    resources=BRAIN,
    build='csvdprep.preprocessing.dwi_mask.workflow:init_dwi_mask_wf',
    resolve='csvdprep.preprocessing.dwi_mask.resolve:resolve',
    methods='The brain of the diffusion series was found on the geometric mean of volumes without '
    'and with gradient, with the networks of deepbet [@fisch2024] or, in a slab, by a threshold; '
    'the bias field that N4 [@tustison2010] found inside it without gradient was taken off all '
    'volumes alike.',
    references=('fisch2024', 'tustison2010'),
)
