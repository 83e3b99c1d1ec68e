"""DSC-MRI: the series at rest, its first pass, and its place on the anatomy."""

from dataclasses import dataclass

from csvdprep.core.declared import Frame, Input
from csvdprep.core.motion import MOTION
from csvdprep.core.options import option
from csvdprep.core.room import Column, Derivative, Figure, Limits, Measure, Room
from csvdprep.resources import BRAIN


@dataclass(frozen=True)
class Options:
    """Motion."""

    motion: bool = option(True, 'Whether motion is corrected.')
    echoes: str = option(
        'combined',
        'Of several echoes of one series: put them together, so that T1 has no part in the change '
        'of R2*, or take the one nearest to 30 ms.',
        choices=('combined', 'nearest'),
    )


ROOM = Room(
    name='dsc',
    title='DSC-MRI',
    needs=('dsc', 'anat_preproc', 'brain_mask'),
    inputs=(
        Input(
            name='dsc',
            title='DSC-MRI',
            datatype='perf',
            suffixes=('dsc',),
            frame='dsc',
            description='Bolus-tracking series weighted by T2* (gradient-echo EPI), with volumes '
            'before the contrast agent.',
            reader='csvdprep.bids.bolus_series:read_dsc',
        ),
    ),
    frames=(
        Frame(
            name='dsc',
            description='Grid of the bolus-tracking series, in the place of the volumes before '
            'the contrast agent.',
            space='dsc',
            datatype='perf',
            source='dsc',
            image='dsc_baseline',
            to_anat='dsc_to_anat',
        ),
    ),
    makes={
        'dsc_preproc': Derivative(
            suffix='dsc',
            desc='preproc',
            frame='dsc',
            space='',
            description='Bolus-tracking series without motion, arbitrary units.',
        ),
        'dsc_baseline': Derivative(
            suffix='dsc',
            desc='baseline',
            frame='dsc',
            space='',
            metadata={'SkullStripped': False},
            description='Mean of the volumes before the contrast agent, without the field of the '
            'coil (N4).',
        ),
        'dsc_mask': Derivative(
            suffix='mask',
            desc='brain',
            frame='dsc',
            description='Brain of the anatomical reference on the grid of the bolus-tracking '
            'series, as far as that covers it.',
        ),
        'dsc_to_anat': Derivative(
            suffix='xfm',
            xfm=('dsc', '{hub}'),
            extension='.txt',
            frame='dsc',
            description='Resamples the bolus-tracking series onto the {hub} (ITK, rigid, LPS mm).',
        ),
        'dsc_motion': Derivative(
            suffix='timeseries',
            desc='firstpass',
            frame='dsc',
            space='',
            extension='.tsv',
            description='Motion of the head during the bolus-tracking series, relative to the '
            'volumes before the contrast agent, and the mean signal of the brain.',
            columns=(
                Column(name='time_s', description='Start of the volume', units='s'),
                Column(
                    name='phase',
                    description='What the volume holds',
                    levels={
                        'unsteady': 'signal that is not in the steady state',
                        'baseline': 'no contrast agent yet',
                        'bolus': 'contrast agent',
                    },
                ),
                Column(
                    name='signal_pct',
                    description='Mean signal of the brain relative to the volumes before the '
                    'contrast agent',
                    units='%',
                ),
                *MOTION,
            ),
        ),
        'dsc_protocol': Derivative(
            suffix='protocol',
            frame='dsc',
            extension='.json',
            saved=False,
            description='Times, echo time, first pass and noise, with what was assumed.',
        ),
    },
    figures=(
        Figure(
            desc='dsc',
            suffix='dsc',
            title='DSC-MRI',
            caption='Mean before the contrast agent, with the brain of the anatomical reference '
            'brought onto it: the outline has to lie on the edge of the brain. Echo-planar images '
            'are distorted near the nasal sinuses and the ears.',
            build='csvdprep.preprocessing.dsc.figures:draw_baseline',
            takes=('dsc_baseline', 'dsc_mask'),
        ),
        Figure(
            desc='firstpass',
            suffix='dsc',
            title='First pass and motion',
            caption='Mean signal of the brain (grey: before the contrast agent), and shift '
            'and rotation of each volume. The signal has to fall once and to come back.',
            build='csvdprep.preprocessing.dsc.figures:draw_first_pass',
            takes=('dsc_motion',),
        ),
    ),
    measures=(
        Measure(
            name='dsc_frames_n',
            units='1',
            method='input',
            table=False,
            description='Number of volumes of the bolus-tracking series.',
        ),
        Measure(
            name='dsc_step_s',
            units='s',
            method='input',
            table=False,
            description='Time from volume to volume of the bolus-tracking series. An artery is '
            'seen for 6 s: with more than 2.5 s neither its curve nor times to peak are known.',
            limits=Limits(ok=(None, 2.0), warn=(None, 2.5)),
        ),
        Measure(
            name='dsc_baseline_n',
            units='1',
            method='bolus',
            table=False,
            description='Number of volumes before the bolus that are averaged.',
            limits=Limits(ok=(8, None), warn=(5, None)),
        ),
        Measure(
            name='dsc_tail_s',
            units='s',
            method='bolus',
            table=False,
            description='Time from the lowest mean signal to the end of the series. Blood volume '
            'is cut off where it is short.',
            limits=Limits(ok=(30, None), warn=(15, None)),
        ),
        Measure(
            name='qc_dsc_fall_pct',
            units='%',
            method='bolus',
            description='Largest fall of the mean signal of the brain during the bolus.',
            limits=Limits(ok=(8, 60), warn=(4, 80)),
        ),
        Measure(
            name='qc_dsc_motion_max_mm',
            units='mm',
            method='least-squares',
            description='Largest displacement of a point of the brain during the bolus-tracking '
            'series, relative to the volumes before the contrast agent.',
            limits=Limits(ok=(None, 1.5), warn=(None, 4)),
        ),
        Measure(
            name='qc_dsc_noise_pct',
            units='%',
            method='difference',
            description='Noise of a volume as percent of the signal, median of the brain; from '
            'differences of the volumes before the bolus.',
            limits=Limits(ok=(None, 3), warn=(None, 6)),
        ),
        Measure(
            name='qc_dsc_coverage_pct',
            units='%',
            method='overlap',
            description='Share of the brain of the anatomical reference that the bolus-tracking '
            'series covers.',
            limits=Limits(ok=(90, None), warn=(50, None)),
        ),
        Measure(
            name='qc_dsc_anat_dice',
            units='1',
            method='dice',
            description='Agreement (Dice) of the brain found in the bolus-tracking series with '
            'that of the anatomical reference, within what the series covers.',
            limits=Limits(ok=(0.85, None), warn=(0.7, None)),
        ),
    ),
    options=Options,
    resources=BRAIN,
    build='csvdprep.preprocessing.dsc.workflow:init_dsc_wf',
    methods='The first pass was found in the mean signal of the brain. Volumes of the '
    'bolus-tracking series were aligned (rigid) with the mean of those before the contrast agent: '
    'by robust least squares, and by mutual information where the bolus changes their contrast. '
    'Of several echoes: {o.echoes}.',
    version=3,
)
