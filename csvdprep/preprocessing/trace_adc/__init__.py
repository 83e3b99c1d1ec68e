"""Isotropic diffusion: trace image and ADC of the scanner, or computed from the series."""

from csvdprep.core.declared import Frame, Input
from csvdprep.core.room import Derivative, Figure, Limits, Measure, Room
from csvdprep.resources import BRAIN

SOURCES = {
    'scanner': 'trace image and ADC map of the scanner',
    'series': 'computed from the corrected diffusion series',
    'short': 'computed from a series of three to five directions, after alignment of its volumes',
}

ROOM = Room(
    name='trace_adc',
    title='Trace image and ADC',
    needs=('anat_preproc', 'brain_mask'),
    either=(('trace',), ('dwi_preproc', 'dwi_bval', 'dwi_mask', 'dwi_to_anat')),
    inputs=(
        Input(
            name='trace',
            title='trace with ADC',
            datatype='dwi',
            suffixes=('trace', 'TRACEW', 'ADC'),
            frame='trace',
            description='Trace-weighted image and map of the apparent diffusion coefficient, '
            'both as computed by the scanner; or a diffusion series of three to '
            'five directions.',
            reader='csvdprep.bids.maps:read_maps',
        ),
    ),
    frames=(
        Frame(
            name='trace',
            description='Grid of the trace image, or of the series that it was computed from.',
            space='trace',
            datatype='dwi',
            source=('trace', 'dwi'),
            image='trace_preproc',
            to_anat='trace_to_anat',
        ),
    ),
    makes={
        'trace_preproc': Derivative(
            suffix='trace',
            desc='preproc',
            frame='trace',
            description='Trace-weighted image: geometric mean over the directions of a shell, or '
            'as the scanner made it.',
        ),
        'adc_preproc': Derivative(
            suffix='ADC',
            desc='preproc',
            frame='trace',
            units='mm2/s',
            description='Apparent diffusion coefficient.',
        ),
        'trace_mask': Derivative(
            suffix='mask', desc='brain', frame='trace', description='Brain in the trace image.'
        ),
        'trace_to_anat': Derivative(
            suffix='xfm',
            xfm=('trace', '{hub}'),
            extension='.txt',
            frame='trace',
            description='Resamples the trace image onto the {hub} (ITK, rigid, LPS mm).',
        ),
    },
    figures=(
        Figure(
            desc='trace',
            suffix='trace',
            title='Trace image and ADC',
            caption='Trace image and, under the mouse pointer, ADC (0 to 2e-3 mm²/s). The '
            'outline of the brain of the anatomical reference must match the brain in '
            'the trace image.',
            build='csvdprep.preprocessing.trace_adc.figures:draw_maps',
            takes=('trace_preproc', 'adc_preproc', 'trace_mask', 'trace_to_anat', 'brain_mask'),
        ),
    ),
    measures=(
        Measure(
            name='trace_source',
            units='',
            method='plan',
            table=False,
            levels=SOURCES,
            description='Origin of the trace image and the ADC map.',
        ),
        Measure(
            name='trace_b',
            units='s/mm2',
            method='sidecar',
            table=False,
            description='b-value of the trace image; 1000 is assumed if it is not given.',
            limits=Limits(ok=(800, 1600), warn=(500, 3100)),
        ),
        Measure(
            name='adc_median_1e3',
            units='1e-3 mm2/s',
            method='median',
            table=False,
            description='Median ADC of brain tissue, without fluid.',
            limits=Limits(ok=(0.6, 1.05), warn=(0.35, 1.3)),
        ),
        Measure(
            name='qc_trace_coverage_pct',
            units='%',
            method='overlap',
            description='Share of the brain of the anatomical reference that the trace image '
            'covers. The rest was not searched for infarcts.',
            limits=Limits(ok=(95, None)),
        ),
        Measure(
            name='qc_trace_anat_dice',
            units='1',
            method='dice',
            description='Agreement (Dice) of the brain in the trace image with that of the '
            'anatomical reference, within the part covered by the trace image.',
            limits=Limits(ok=(0.85, None), warn=(0.7, None)),
        ),
    ),
    version=2,
    resources=BRAIN,
    build='csvdprep.preprocessing.trace_adc.workflow:init_trace_adc_wf',
    methods='The trace image and the map of the apparent diffusion coefficient came from the '
    'scanner and were registered to the anatomical reference (rigid, mutual '
    'information), or they were computed from the shell of the series nearest to b = '
    '1000 s/mm² (trace_source states which).',
)
