"""DCE-MRI: the series at rest, its place on the anatomy, and T1 before the contrast agent."""

from dataclasses import dataclass

from csvdprep.core.declared import Frame, Input
from csvdprep.core.motion import MOTION
from csvdprep.core.options import option
from csvdprep.core.room import Column, Derivative, Figure, Limits, Measure, Room
from csvdprep.resources import BRAIN


@dataclass(frozen=True)
class Options:
    """T1 mapping, motion, and what stands for missing fields."""

    t1_fit: str = option(
        'nonlinear',
        'Fit of T1 to images of several flip angles; the nonlinear one starts from the linear.',
        choices=('nonlinear', 'linear'),
    )
    motion: bool = option(True, 'Whether motion is corrected.')
    relaxivity: float = option(
        4.5,
        'r1 of the contrast agent, if neither sidecar nor name of the agent tells it.',
        unit='L/mmol/s',
        least=1,
        most=15,
    )
    haematocrit: float = option(
        0.45, 'Haematocrit, if the sidecar does not give it.', unit='1', least=0.1, most=0.7
    )


SOURCES = {
    'flip angles': 'images of several flip angles (VFA)',
    'flip angles and inversions': 'images of several flip angles and after inversions (HIFI)',
    'MP2RAGE': 'MP2RAGE',
    'inversions': 'images after several inversions',
    'T1 map': 'a T1 map that was given',
    'none': 'T1 is not known',
}

ROOM = Room(
    name='dce',
    title='DCE-MRI',
    needs=('dce', 'anat_preproc', 'brain_mask'),
    inputs=(
        Input(
            name='dce',
            title='DCE-MRI',
            datatype='perf',
            suffixes=('dce',),
            frame='dce',
            description='Dynamic contrast-enhanced series (3D spoiled gradient echo), with images '
            'of several flip angles (flip-<n>_VFA), inversion recovery (inv-<n>_IRT1), MP2RAGE '
            '(UNIT1, inv-<n>_MP2RAGE) or a T1map in anat, and a TB1map in fmap if there is one.',
            reader='csvdprep.bids.contrast_series:read_dce',
        ),
    ),
    frames=(
        Frame(
            name='dce',
            description='Grid of the dynamic series, in the place of the volumes before the '
            'contrast agent.',
            space='dce',
            datatype='perf',
            source='dce',
            image='dce_baseline',
            to_anat='dce_to_anat',
        ),
    ),
    makes={
        'dce_preproc': Derivative(
            suffix='dce',
            desc='preproc',
            frame='dce',
            space='',
            description='Dynamic series without motion and without the field of the coil (N4), '
            'arbitrary units.',
        ),
        'dce_baseline': Derivative(
            suffix='dce',
            desc='baseline',
            frame='dce',
            space='',
            metadata={'SkullStripped': False},
            description='Mean of the volumes before the contrast agent.',
        ),
        'dce_mask': Derivative(
            suffix='mask',
            desc='brain',
            frame='dce',
            description='Brain of the anatomical reference on the grid of the dynamic series, as '
            'far as that covers it.',
        ),
        'dce_to_anat': Derivative(
            suffix='xfm',
            xfm=('dce', '{hub}'),
            extension='.txt',
            frame='dce',
            description='Resamples the dynamic series onto the {hub} (ITK, rigid, LPS mm).',
        ),
        'dce_t1': Derivative(
            suffix='T1map',
            frame='dce',
            units='s',
            metadata={'SkullStripped': False},
            description='T1 before the contrast agent; 0 where it is not known.',
        ),
        'dce_b1': Derivative(
            suffix='TB1map',
            frame='dce',
            units='arbitrary',
            description='True flip angle relative to the nominal one; 1 if it was not measured.',
        ),
        'dce_motion': Derivative(
            suffix='timeseries',
            desc='motion',
            frame='dce',
            space='',
            extension='.tsv',
            description='Motion of the head during the dynamic series, relative to the volumes '
            'before the contrast agent.',
            columns=(
                Column(name='time_s', description='Middle of the volume', units='s'),
                *MOTION,
            ),
        ),
        'dce_protocol': Derivative(
            suffix='protocol',
            frame='dce',
            extension='.json',
            saved=False,
            description='Sequence, times, bolus and blood, with what was assumed.',
        ),
    },
    figures=(
        Figure(
            desc='dce',
            suffix='dce',
            title='DCE-MRI',
            caption='Mean before the contrast agent, with the brain of the anatomical reference '
            'brought onto it: the outline has to lie on the edge of the brain.',
            build='csvdprep.preprocessing.dce.figures:draw_baseline',
            takes=('dce_baseline', 'dce_mask'),
        ),
        Figure(
            desc='dcemotion',
            suffix='dce',
            title='Motion during DCE-MRI',
            caption='Shift and rotation of each volume, relative to those before the contrast '
            'agent. A step at the arrival of the bolus would be contrast taken for motion.',
            build='csvdprep.preprocessing.dce.figures:draw_motion',
            takes=('dce_motion',),
        ),
    ),
    measures=(
        Measure(
            name='dce_frames_n',
            units='1',
            method='input',
            table=False,
            description='Number of volumes of the dynamic series.',
        ),
        Measure(
            name='dce_step_s',
            units='s',
            method='input',
            table=False,
            description='Time from volume to volume, median.',
            limits=Limits(ok=(None, 75), warn=(None, 120)),
        ),
        Measure(
            name='dce_duration_min',
            units='min',
            method='input',
            table=False,
            description='Time from the start of the injection to the end of the series.',
            limits=Limits(ok=(15, None), warn=(10, None)),
        ),
        Measure(
            name='dce_baseline_n',
            units='1',
            method='bolus',
            table=False,
            description='Number of volumes before the contrast agent that are averaged.',
            limits=Limits(ok=(3, None), warn=(1, None)),
        ),
        Measure(
            name='dce_t1_source',
            units='',
            method='input',
            table=False,
            levels=SOURCES,
            description='Where T1 before the contrast agent comes from.',
        ),
        Measure(
            name='qc_dce_motion_max_mm',
            units='mm',
            method='least-squares',
            description='Largest displacement of a point of the brain during the dynamic series, '
            'relative to the volumes before the contrast agent.',
            limits=Limits(ok=(None, 1.5), warn=(None, 3)),
        ),
        Measure(
            name='qc_dce_noise_pct',
            units='%',
            method='difference',
            description='Noise of a volume as percent of the signal, median of the brain; from '
            'differences of the last volumes.',
            limits=Limits(ok=(None, 5), warn=(None, 10)),
        ),
        Measure(
            name='qc_dce_coverage_pct',
            units='%',
            method='overlap',
            description='Share of the brain of the anatomical reference that the dynamic series '
            'covers.',
            limits=Limits(ok=(90, None), warn=(50, None)),
        ),
        Measure(
            name='qc_dce_anat_dice',
            units='1',
            method='dice',
            description='Agreement (Dice) of the brain found in the dynamic series with that of '
            'the anatomical reference, within what the series covers.',
            limits=Limits(ok=(0.85, None), warn=(0.7, None)),
        ),
    ),
    options=Options,
    resources=BRAIN,
    build='csvdprep.preprocessing.dce.workflow:init_dce_wf',
    methods='The field of the coil (N4) was taken off the dynamic series: it does not move with '
    'the head. Volumes were aligned (rigid) first with the mean of those before the contrast '
    'agent, then each with the mean of its neighbours, and interpolated once. Images for '
    'T1 were registered to them (mutual information). T1 was fitted to several flip angles '
    '({o.t1_fit}) [@gupta1977; @chang2008], with the flip angles that images after inversions '
    'told where there were such [@deoni2007], or looked up in MP2RAGE [@marques2010].',
    references=('gupta1977', 'chang2008', 'deoni2007', 'marques2010'),
    version=5,
)
