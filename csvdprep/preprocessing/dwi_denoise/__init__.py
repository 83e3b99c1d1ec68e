"""Noise and ringing: the runs of a diffusion series are joined without them."""

from dataclasses import dataclass

from csvdprep.core.declared import Frame, Input
from csvdprep.core.options import option
from csvdprep.core.room import Derivative, Limits, Measure, Room
from csvdprep.resources import BRAIN


@dataclass(frozen=True)
class Options:
    """How a series is cleaned; the same has to be done to all participants of a study."""

    method: str = option(
        'auto',
        'MP-PCA: auto takes it for series of 30 volumes or more.',
        choices=('auto', 'mppca', 'none'),
    )
    unring: str = option(
        'auto',
        'Unringing by sub-voxel shifts: auto where k-space was covered.',
        choices=('auto', 'none'),
    )


CLEANED = {
    'mppca': 'noise was reduced by MP-PCA, and the floor that it leaves taken off',
    'unringing': 'ringing was removed by sub-voxel shifts',
    'mppca unringing': 'both',
    'none': 'neither: few volumes, and part of k-space was not measured, or by choice',
    'given': 'corrected before',
}

ROOM = Room(
    name='dwi_denoise',
    title='Noise and ringing of the diffusion series',
    needs=('dwi',),
    inputs=(
        Input(
            name='dwi',
            title='DWI',
            datatype='dwi',
            suffixes=('dwi',),
            frame='dwi',
            description='Runs of the diffusion series as acquired, and what maps the field.',
            reader='csvdprep.bids.series:read_series',
        ),
    ),
    frames=(
        Frame(
            name='dwi',
            description='Grid of the corrected diffusion series.',
            datatype='dwi',
            source='dwi',
            image='dwi_b0',
            to_anat='dwi_to_anat',
        ),
    ),
    makes={
        'dwi_denoised': Derivative(
            suffix='dwi',
            frame='dwi',
            extension='.nii',
            saved=False,
            kept=False,
            description='Runs of the diffusion series, joined and brought to one receiver gain, '
            'without noise and ringing as far as these could be taken off.',
        ),
        'dwi_volumes': Derivative(
            suffix='volumes',
            frame='dwi',
            extension='.json',
            saved=False,
            description='For each volume as acquired: b-value (s/mm²), gradient in the world, '
            'shell, run, and distortion over that of the first; axes (of the array in RAS+ order) '
            'of phase encoding and across slices; whether another tool has corrected the series.',
        ),
        'dwi_mask_raw': Derivative(
            suffix='mask',
            frame='dwi',
            saved=False,
            description='Brain in the first run, before correction.',
        ),
        'dwi_b0_raw': Derivative(
            suffix='dwiref',
            frame='dwi',
            saved=False,
            description='First volume without gradient, before correction.',
        ),
    },
    measures=(
        Measure(
            name='dwi_n_directions',
            units='1',
            method='gradient-table',
            table=False,
            description='Number of different gradient directions.',
        ),
        Measure(
            name='dwi_shells',
            units='',
            method='gradient-table',
            table=False,
            description='b-values of the shells, s/mm².',
        ),
        Measure(
            name='dwi_cleaned',
            units='',
            method='see-value',
            levels=CLEANED,
            table=False,
            description='What was done about noise and ringing. Do not mix kinds within a study.',
        ),
        Measure(
            name='dwi_gain_ratio',
            units='1',
            method='median-b0',
            table=False,
            description='Brightness of the brain without gradient in a later run over that in '
            'the first, of the run in which it differs most. Runs are scaled to '
            'the first; one that no factor makes alike is left out.',
        ),
        Measure(
            name='dwi_interpolation',
            units='1',
            method='sidecar',
            table=False,
            description='Lines of a slice that the scanner stored for each that it measured '
            '(ReconMatrixPE over AcquisitionMatrixPE); 1 is no interpolation.',
        ),
        Measure(
            name='qc_dwi_snr_b0',
            units='1',
            method='difference',
            qc_id='Q6',
            description='Signal over noise without gradient, median of the brain, as '
            'acquired: from differences of volumes without gradient.',
            limits=Limits(ok=(20, None), warn=(15, None)),
        ),
    ),
    resources=BRAIN,
    build='csvdprep.preprocessing.dwi_denoise.workflow:init_dwi_denoise_wf',
    options=Options,
    resolve='csvdprep.preprocessing.dwi_denoise.resolve:resolve',
    methods='Noise of a diffusion series of 30 volumes or more is reduced by MP-PCA '
    '[@veraart2016] and the floor that it leaves taken off [@gudbjartsson1995], ringing by '
    'sub-voxel shifts [@kellner2016] where k-space was covered, unless options say otherwise.',
    references=('veraart2016', 'gudbjartsson1995', 'kellner2016'),
)
