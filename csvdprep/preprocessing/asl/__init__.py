"""Arterial spin labelling: motion, which volume is which, M0, the brain."""

from dataclasses import dataclass

from csvdprep.core.declared import Frame, Input
from csvdprep.core.motion import POSE
from csvdprep.core.options import option
from csvdprep.core.room import Column, Derivative, Figure, Limits, Measure, Room
from csvdprep.resources import BRAIN


@dataclass(frozen=True)
class Options:
    """Motion of the head."""

    motion: bool = option(True, 'Align the volumes with one another.')


LABELLINGS = {'PCASL': 'pseudo-continuous', 'CASL': 'continuous', 'PASL': 'pulsed, bolus cut off'}
M0_SOURCES = {
    'separate': 'an image of its own',
    'included': 'volumes of the series',
    'control': 'mean of the control volumes, corrected for their repetition time',
    'estimate': 'a number in the sidecar',
    'none': 'none: the series holds blood flow that the scanner has computed',
}

ROOM = Room(
    name='asl',
    title='Arterial spin labelling',
    needs=('asl',),
    inputs=(
        Input(
            name='asl',
            title='ASL',
            datatype='perf',
            suffixes=('asl', 'm0scan'),
            frame='asl',
            description='Arterial spin labelling with aslcontext.tsv and, as M0Type says, an M0 '
            'scan (m0scan): PCASL, CASL or PASL with QUIPSS II or Q2TIPS, one delay or several, '
            '2D or 3D.',
            reader='csvdprep.bids.asl:read_asl',
        ),
    ),
    frames=(
        Frame(
            name='asl',
            description='Grid of the ASL series.',
            datatype='perf',
            source='asl',
            image='asl_ref',
            to_anat='asl_to_anat',
        ),
    ),
    makes={
        'asl_preproc': Derivative(
            suffix='asl',
            desc='preproc',
            frame='asl',
            metadata={'SkullStripped': False},
            description='Volumes of the ASL series, aligned with one another.',
        ),
        'asl_ref': Derivative(
            suffix='aslref',
            frame='asl',
            metadata={'SkullStripped': False},
            description='Mean of the aligned control volumes (of all volumes where there are '
            'none).',
        ),
        'asl_m0': Derivative(
            suffix='m0scan',
            desc='preproc',
            frame='asl',
            metadata={'SkullStripped': False},
            description='M0 on the grid of the series, as acquired: not corrected for its '
            'repetition time, not smoothed; 0 where there is none.',
        ),
        'asl_mask': Derivative(
            suffix='mask', desc='brain', frame='asl', description='Brain in the ASL series.'
        ),
        'asl_confounds': Derivative(
            suffix='timeseries',
            desc='confounds',
            frame='asl',
            extension='.tsv',
            description='For each volume: what it is, delay (s), motion (mm, degrees) without '
            'what follows the order of control and label, framewise displacement (mm).',
            columns=(
                Column(name='volume', description='Volume of the series, the first is 0.'),
                Column(
                    name='volume_type',
                    description='What it is, as in aslcontext.tsv; n/a if unknown.',
                ),
                Column(name='delay', description='Time from labelling to the image.', units='s'),
                *POSE,
                Column(
                    name='framewise_displacement',
                    units='mm',
                    description='Displacement of the head from the volume before; n/a of the '
                    'first.',
                ),
            ),
        ),
        'asl_plan': Derivative(
            suffix='plan',
            extension='.json',
            frame='asl',
            saved=False,
            description='Pairs of control and label, delays, efficiency, T1 of blood.',
        ),
    },
    figures=(
        Figure(
            desc='asl',
            suffix='asl',
            title='ASL series and M0',
            caption='Mean of the control volumes and, under the mouse pointer, M0, with the brain '
            'that was found: the outline has to lie on the edge of the brain.',
            build='csvdprep.preprocessing.asl.figures:draw_series',
            takes=('asl_ref', 'asl_m0', 'asl_mask'),
        ),
    ),
    measures=(
        Measure(
            name='asl_labelling',
            units='',
            method='sidecar',
            levels=LABELLINGS,
            table=False,
            description='How blood was labelled.',
        ),
        Measure(
            name='asl_delay_s',
            units='s',
            method='sidecar',
            reference='alsop2015',
            description='Delay after the labelling (of PASL: inversion time) when the middle of '
            'the brain is read out; of several delays the longest. The consensus asks for 1.8 s, '
            'above the age of 70 for 2 s: before, label is still in arteries.',
            limits=Limits(ok=(1.5, None), warn=(1.0, None)),
        ),
        Measure(
            name='asl_delays_n',
            units='1',
            method='sidecar',
            table=False,
            description='Number of different delays.',
        ),
        Measure(
            name='asl_pairs_n',
            units='1',
            method='aslcontext',
            table=False,
            description='Number of pairs of control and label; of differences, where the scanner '
            'averaged them, the number of volumes.',
        ),
        Measure(
            name='asl_efficiency',
            units='1',
            method='sidecar',
            table=False,
            reference='garcia2005',
            description='Efficiency of labelling, background suppression included: of the '
            'sidecar, or 0.85 (PCASL), 0.68 (CASL), 0.98 (PASL), times 0.95 for each pulse of '
            'background suppression.',
            limits=Limits(ok=(0.55, 0.98), warn=(0.3, 1)),
        ),
        Measure(
            name='asl_m0',
            units='',
            method='sidecar',
            levels=M0_SOURCES,
            table=False,
            description='Where M0 comes from.',
        ),
        Measure(
            name='qc_asl_fd_mm',
            units='mm',
            method='rigid',
            reference='power2012',
            description='Mean framewise displacement of the head in the ASL series.',
            limits=Limits(ok=(None, 0.5), warn=(None, 1.5)),
        ),
        Measure(
            name='qc_asl_label_t',
            units='1',
            method='pairs',
            description='Mean difference of control and label in the brain over its standard '
            'error, which says whether the series shows blood at all. Where it was negative, '
            'control and label were exchanged.',
            limits=Limits(ok=(5, None), warn=(3, None)),
        ),
        Measure(
            name='qc_asl_control_m0',
            units='1',
            method='ratio',
            description='Median of control over M0 in the brain, with the relaxation that their '
            'repetition times leave. Without background suppression it is about 1; else both '
            'have different scales.',
            limits=Limits(ok=(0, 1.25), warn=(0, 2)),
        ),
    ),
    resources=BRAIN,
    options=Options,
    version=3,
    build='csvdprep.preprocessing.asl.workflow:init_asl_wf',
    methods='Volumes of the ASL series were aligned with the mean of the control volumes (rigid); '
    'what of their motion follows the order of control and label was removed [@wang2012]. M0 was '
    'aligned with them (rigid, mutual information). The brain was found with the networks of '
    'deepbet [@fisch2024] and completed at the vertex.',
    references=('alsop2015', 'wang2012', 'garcia2005', 'power2012', 'fisch2024'),
)
