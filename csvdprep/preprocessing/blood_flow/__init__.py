"""Blood flow and arrival times from an ASL series, voxel by voxel."""

from dataclasses import dataclass

from csvdprep.core.declared import External
from csvdprep.core.options import option
from csvdprep.core.room import Derivative, Figure, Limits, Measure, Room


@dataclass(frozen=True)
class Options:
    """Outlying pairs, M0, arrival times."""

    outliers: bool = option(True, 'Leave out pairs of control and label that spoil the mean.')
    m0_smooth_mm: float = option(
        0.0, 'Smoothing of M0 within the brain (FWHM); 0 for none.', unit='mm', least=0, most=20
    )
    att: str = option(
        'least-squares',
        'How several delays give the arrival time: least squares of flow and arrival, or the '
        'delay weighted by the differences.',
        choices=('least-squares', 'weighted-delay'),
    )


SOURCES = {
    'computed': 'computed from control and label',
    'scanner': 'as the scanner computed it',
    'given': 'given with --derivatives',
}

ROOM = Room(
    name='blood_flow',
    title='Map of blood flow',
    needs=('asl_preproc', 'asl_ref', 'asl_m0', 'asl_mask', 'asl_plan'),
    wants=('asl_to_anat', 'gm_probseg', 'wm_probseg', 'csf_probseg', 'cbf_given', 'att_given'),
    externals=(
        External(
            name='cbf_given',
            title='CBF map',
            grids=('asl', 't1w'),
            words=r'cbf',
            suffix='cbf',
            lesion=False,
            description='Map of blood flow in mL/100 g/min, on the grid of the ASL series or in '
            'the space of the T1w, as ASLPrep names it (_cbf).',
        ),
        External(
            name='att_given',
            title='ATT map',
            grids=('asl', 't1w'),
            words=r'att',
            suffix='att',
            lesion=False,
            description='Map of arterial transit times in s, as ASLPrep names it (_att).',
        ),
    ),
    makes={
        'cbf': Derivative(
            suffix='cbf',
            frame='asl',
            units='mL/100 g/min',
            metadata={'SkullStripped': True},
            description='Blood flow; 0 outside the brain, and where M0 is hardly there.',
            resampled='linear',
        ),
        'att': Derivative(
            suffix='att',
            frame='asl',
            units='s',
            metadata={'SkullStripped': True},
            description='Arrival time of labelled blood; 0 where it is not known, and everywhere '
            'if there is one delay only.',
        ),
        'flow_kept': Derivative(
            suffix='pairs',
            extension='.json',
            frame='asl',
            saved=False,
            description='Pairs that were averaged, and voxels in which flow is known.',
        ),
    },
    figures=(
        Figure(
            desc='cbf',
            suffix='asl',
            title='Blood flow',
            caption='Blood flow, 0 to 100 mL/100 g/min, and, under the mouse pointer, the mean of '
            'the control volumes. Grey matter has to be brighter than white matter on both '
            'sides; bright vessels beside dark tissue mean that blood arrived late.',
            build='csvdprep.preprocessing.blood_flow.figures:draw_flow',
            takes=('cbf', 'asl_ref', 'asl_mask'),
            disease=True,
        ),
        Figure(
            desc='att',
            suffix='asl',
            title='Arrival time',
            caption='Arrival time of labelled blood, 0 to 2.5 s, and, under the mouse pointer, '
            'blood flow. Late areas lie between the territories of two arteries, or behind a '
            'narrow one. Empty with a single delay.',
            build='csvdprep.preprocessing.blood_flow.figures:draw_arrival',
            takes=('att', 'cbf', 'asl_mask'),
        ),
    ),
    measures=(
        Measure(
            name='cbf_source',
            units='',
            method='plan',
            levels=SOURCES,
            table=False,
            description='Where the map of blood flow comes from.',
        ),
        Measure(
            name='cbf_brain',
            units='mL/100 g/min',
            method='kinetic-model',
            reference='alsop2015',
            description='Mean blood flow of the brain, fluid included; the only value that '
            'needs no anatomical image.',
            limits=Limits(ok=(20, 75), warn=(10, 110)),
        ),
        Measure(
            name='cbf_pairs_kept_n',
            units='1',
            method='score',
            reference='dolui2017',
            table=False,
            description='Pairs of control and label that were averaged.',
        ),
        Measure(
            name='qc_cbf_snr',
            units='1',
            method='pairs',
            description='Signal over noise of one voxel: mean over standard error of the '
            'differences, median of the brain.',
            limits=Limits(ok=(2, None), warn=(1, None)),
        ),
        Measure(
            name='qc_cbf_negative_pct',
            units='%',
            method='share',
            description='Share of the brain with negative flow.',
            limits=Limits(ok=(None, 15), warn=(None, 35)),
        ),
        Measure(
            name='qc_cbf_high_pct',
            units='%',
            method='share',
            description='Share of the brain with a flow above 150 mL/100 g/min, which no tissue '
            'has: label in arteries, or noise.',
            limits=Limits(ok=(None, 2), warn=(None, 10)),
        ),
    ),
    options=Options,
    version=2,
    build='csvdprep.preprocessing.blood_flow.workflow:init_blood_flow_wf',
    methods='Control and label were subtracted pairwise; pairs far from the others, or that raise '
    'the variance within tissues, were left out [@dolui2017]. Blood flow follows the kinetic '
    'model of the consensus [@alsop2015] with a partition coefficient of 0.9 mL/g and T1 of '
    'blood of 1.65 s at 3 T; delays of 2D read-outs are those of each slice. With several '
    'delays, flow and arrival time are fitted together [@buxton1998] ({o.att}); before the '
    'measurement 1.3 s, with a standard deviation of 0.5 s, are expected of the arrival.',
    references=('alsop2015', 'buxton1998', 'dolui2017'),
)
