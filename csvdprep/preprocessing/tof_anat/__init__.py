"""The angiogram on the anatomical reference."""

from csvdprep.core.room import Derivative, Figure, Limits, Measure, Room

ROOM = Room(
    name='tof_anat',
    title='Angiogram to the reference',
    needs=('tof_preproc', 'tof_mask', 'anat_preproc', 'brain_mask'),
    makes={
        'tof_to_anat': Derivative(
            suffix='xfm',
            xfm=('angio', '{hub}'),
            extension='.txt',
            frame='tof',
            description='Rigid transform that resamples the angiogram onto the {hub} (ITK, LPS '
            'mm).',
        )
    },
    figures=(
        Figure(
            desc='coregtof',
            suffix='angio',
            title='Angiogram on the reference',
            caption='The two images change places under the pointer: ventricles, sulci and the '
            'edge of the brain should not move.',
            build='csvdprep.preprocessing.tof_anat.figures:draw_coregistration',
            takes=('anat_preproc', 'tof_preproc', 'tof_mask', 'tof_to_anat', 'brain_mask'),
        ),
    ),
    measures=(
        Measure(
            name='qc_tof_anat_edges',
            units='1',
            method='edge-overlap',
            description='Share of the strong edges of the angiogram that lie on edges of the '
            'anatomical reference after registration.',
            limits=Limits(ok=(0.35, None), warn=(0.25, None)),
        ),
        Measure(
            name='qc_tof_coverage_pct',
            units='%',
            method='overlap',
            description='Share of the brain of the anatomical reference that the angiogram '
            'covers. Totals are of what it covers.',
            limits=Limits(ok=(20, None)),
        ),
    ),
    build='csvdprep.preprocessing.tof_anat.workflow:init_tof_anat_wf',
    methods='The angiogram was registered to the anatomical reference (rigid, mutual information, '
    'arteries dimmed) with ANTs [@avants2011ants].',
    references=('avants2011ants',),
    version=2,
)
