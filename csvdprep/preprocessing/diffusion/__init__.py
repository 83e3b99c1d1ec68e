"""Diffusion: noise, ringing, motion, eddy currents, distortion and bias taken off a series."""

from dataclasses import dataclass

from csvdprep.core.declared import Frame, Input
from csvdprep.core.options import option
from csvdprep.core.room import Derivative, Figure, Limits, Measure, Room


@dataclass(frozen=True)
class Options:
    """How a series is cleaned; the same has to be done to all participants of a study."""

    denoise: str = option(
        'auto',
        'MP-PCA: auto takes it for series of 30 volumes or more.',
        choices=('auto', 'mppca', 'none'),
    )
    degibbs: str = option(
        'auto',
        'Unringing by sub-voxel shifts: auto where k-space was covered.',
        choices=('auto', 'none'),
    )
    fieldmapless: bool = option(
        True,
        'Without images of opposite polarity and field map, correct '
        'distortion by registration to the anatomy.',
    )


SDC = {
    'pepolar': 'from images of opposite polarity',
    'fieldmap': 'from a field map',
    'syn': 'from registration to the anatomical reference, which is less exact',
    'none': 'not corrected',
    'given': 'corrected before',
}

CLEANED = {
    'mppca': 'noise was reduced by MP-PCA, and the floor that it leaves taken off',
    'unringing': 'ringing was removed by sub-voxel shifts',
    'mppca unringing': 'both',
    'none': 'neither: few volumes, and part of k-space was not measured, or by choice',
    'given': 'corrected before',
}

ROOM = Room(
    name='diffusion',
    title='Diffusion series',
    needs=('dwi',),
    wants=('anat_preproc', 'brain_mask'),
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
        ),
    ),
    makes={
        'dwi_preproc': Derivative(
            suffix='dwi',
            desc='preproc',
            frame='dwi',
            description='Diffusion series without noise, ringing, motion, eddy currents, '
            'distortion and bias, as far as these could be corrected.',
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
        'dwi_b0': Derivative(
            suffix='dwiref',
            desc='b0',
            frame='dwi',
            description='Mean of the volumes without gradient.',
        ),
        'dwi_b0_raw': Derivative(
            suffix='dwiref',
            frame='dwi',
            saved=False,
            description='First volume without gradient, before correction.',
        ),
        'dwi_mask': Derivative(
            suffix='mask',
            desc='brain',
            space='dwi',
            frame='dwi',
            description='Brain mask of the diffusion series.',
        ),
        'dwi_confounds': Derivative(
            suffix='timeseries',
            desc='confounds',
            frame='dwi',
            extension='.tsv',
            description='For each volume: b-value, gradient, motion (mm, degrees), framewise '
            'displacement (mm), slices that lost signal.',
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
            build='csvdprep.preprocessing.diffusion.figures:draw_series',
            takes=('dwi_b0_raw', 'dwi_b0', 'dwi_mask'),
        ),
    ),
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
            name='dwi_sdc',
            units='',
            method='see-value',
            levels=SDC,
            description='How distortion by the field was corrected. Do not mix kinds within '
            'a study.',
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
    version=4,
    build='csvdprep.preprocessing.diffusion.workflow:init_diffusion_wf',
    options=Options,
    resolve='csvdprep.preprocessing.diffusion.resolve:resolve',
    methods=(
        'Noise of a diffusion series of 30 volumes or more is reduced by MP-PCA [@veraart2016] '
        'and the floor that it leaves taken off [@gudbjartsson1995], ringing by sub-voxel shifts '
        '[@kellner2016] where k-space was covered, unless options say otherwise. '
        'Motion and eddy currents were found by aligning each volume with its prediction from '
        'the others [@andersson2016], distortion by the field from images of opposite polarity '
        '[as in @ruthotto2012], a field map, or registration; all were taken off in one '
        'interpolation, and gradients turned with the head [@leemans2009].'
    ),
    references=(
        'veraart2016',
        'gudbjartsson1995',
        'kellner2016',
        'andersson2016',
        'ruthotto2012',
        'leemans2009',
        'power2012',
    ),
)
