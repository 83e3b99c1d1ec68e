"""Confounds: how the head moved in a diffusion series, and which slices lost signal."""

from csvdprep.core.motion import POSE
from csvdprep.core.room import Column, Derivative, Limits, Measure, Room

ROOM = Room(
    name='dwi_confounds',
    title='Motion in the diffusion series',
    needs=('dwi_volumes', 'dwi_motions', 'dwi_mask'),
    makes={
        'dwi_confounds': Derivative(
            suffix='timeseries',
            desc='confounds',
            frame='dwi',
            extension='.tsv',
            description='For each volume: b-value, gradient, motion (mm, degrees), framewise '
            'displacement (mm), slices that lost signal.',
            columns=(
                Column(name='volume', description='Volume of the series, the first is 0.'),
                Column(name='b_value', description='Diffusion weighting.', units='s/mm2'),
                *(
                    Column(
                        name=f'gradient_{axis}',
                        description=f'Direction of the gradient, {axis} in scanner coordinates '
                        '(RAS+), turned with the head; 0 without diffusion weighting.',
                    )
                    for axis in 'xyz'
                ),
                *POSE,
                Column(
                    name='framewise_displacement',
                    units='mm',
                    description='Displacement of the head from the volume before; n/a of the '
                    'first.',
                ),
                Column(
                    name='lost_slices',
                    description='Slices of the brain that lost over a fifth of their signal, by '
                    'index, separated by commas; n/a if none.',
                ),
            ),
        )
    },
    measures=(
        Measure(
            name='qc_dwi_fd_mm',
            units='mm',
            method='loo-prediction',
            qc_id='Q5',
            reference='power2012',
            description='Mean framewise displacement of the head.',
            limits=Limits(ok=(None, 0.5), warn=(None, 1.5)),
        ),
        Measure(
            name='qc_dwi_motion_max_mm',
            units='mm',
            method='loo-prediction',
            description='Largest displacement of the head from its first place, at the '
            'middle of the brain.',
            limits=Limits(ok=(None, 3), warn=(None, 10)),
        ),
        Measure(
            name='qc_dwi_lost_slices_pct',
            units='%',
            method='loo-prediction',
            description='Slices of the brain that lost over a fifth of the signal that the '
            'other volumes predict.',
            limits=Limits(ok=(None, 5), warn=(None, 15)),
        ),
    ),
    build='csvdprep.preprocessing.dwi_confounds.workflow:init_dwi_confounds_wf',
    methods='Framewise displacement [@power2012] in the diffusion series is that of the middle of '
    'the brain.',
    references=('power2012',),
)
