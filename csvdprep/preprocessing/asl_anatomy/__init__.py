"""The way from the ASL series to the anatomical reference."""

from csvdprep.core.room import Derivative, Figure, Limits, Measure, Room

ROOM = Room(
    name='asl_anatomy',
    title='ASL series and anatomy',
    needs=('asl_ref', 'asl_m0', 'asl_mask', 'anat_preproc', 'brain_mask'),
    makes={
        'asl_to_anat': Derivative(
            suffix='xfm',
            xfm=('asl', '{hub}'),
            extension='.txt',
            frame='asl',
            description='Resamples the ASL series onto the {hub} (ITK, rigid, LPS mm).',
        )
    },
    figures=(
        Figure(
            desc='aslanat',
            suffix='asl',
            title='ASL series on the anatomy',
            caption='M0 (or the mean control) and, under the mouse pointer, the anatomical '
            'reference. The ventricles and the edge of the brain should not move.',
            build='csvdprep.preprocessing.asl_anatomy.figures:draw_alignment',
            takes=('asl_ref', 'asl_m0', 'asl_mask', 'anat_preproc', 'brain_mask', 'asl_to_anat'),
        ),
    ),
    measures=(
        Measure(
            name='qc_asl_anat_dice',
            units='1',
            method='dice',
            description='Agreement (Dice) of the brain found in the ASL series with that of the '
            'anatomical reference, within what the series covers.',
            limits=Limits(ok=(0.85, None), warn=(0.7, None)),
        ),
        Measure(
            name='qc_asl_anat_edges',
            units='1',
            method='edges',
            description='Share of the edges of M0 that the anatomical reference has, too, on the '
            'grid of the series, corrected for chance.',
            limits=Limits(ok=(0.25, None), warn=(0.1, None)),
        ),
        Measure(
            name='qc_asl_coverage_pct',
            units='%',
            method='overlap',
            description='Share of the brain of the anatomical reference that the ASL series '
            'covers. What it does not cover has no flow.',
            limits=Limits(ok=(90, None), warn=(50, None)),
        ),
    ),
    build='csvdprep.preprocessing.asl_anatomy.workflow:init_asl_anatomy_wf',
    methods='M0 (or the mean of the control volumes) was intensity-corrected (N4) and registered '
    'to the anatomical reference (rigid, mutual information).',
)
