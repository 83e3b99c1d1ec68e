"""Recent small subcortical infarcts, and other recent infarcts, from diffusion."""

from dataclasses import dataclass

from csvdprep.core.declared import External
from csvdprep.core.lesionlist import IDENTITY, REGION
from csvdprep.core.options import option
from csvdprep.core.room import Column, Derivative, Figure, Limits, Measure, Room


@dataclass(frozen=True)
class Options:
    """Which candidates count."""

    definite: float = option(
        0.7, 'Probability from which a candidate is an infarct.', least=0.01, most=0.99
    )
    possible: float = option(
        0.2,
        'Probability from which a candidate is listed as possible, for review.',
        least=0.001,
        most=0.99,
    )
    rssi_mm: float = option(
        20.0, 'Largest axial diameter of a recent small subcortical infarct.', unit='mm', least=5
    )

    def __post_init__(self):
        if self.possible > self.definite:
            raise ValueError('infarcts.possible must not be above infarcts.definite')


KINDS = {
    'rssi': 'recent small subcortical infarct: deep grey matter, white matter or brainstem, up to '
    '20 mm',
    'cortical': 'reaches the cortex, or lies in it',
    'large': 'subcortical, larger than a small infarct',
    'cerebellar': 'cerebellum',
}
STATUS = {
    'definite': 'counts',
    'possible': 'for review; does not count',
    'external': 'from a mask that was given; counts',
}


def _n(name, what, **more):
    return Measure(
        name=name, units='1', method='dwi-adc-mirror', description=f'Number of {what}.', **more
    )


ROOM = Room(
    name='infarcts',
    title='Recent infarcts',
    marker=True,
    needs=(
        'trace_preproc',
        'adc_preproc',
        'trace_mask',
        'trace_to_anat',
        'gm_probseg',
        'csf_probseg',
        'structures_dseg',
        'lobes_dseg',
        'territories_dseg',
        'mni_to_anat',
        'anat_to_mni',
    ),
    wants=('infarct_external', 'flair_to_anat'),
    externals=(
        External(
            name='infarct_external',
            title='infarct mask',
            description='Mask of infarcts made by another tool or by hand.',
            grids=('trace', 'flair', 't1w'),
            words=r'infarct|stroke|(^|[_-])rssi',
            rows=r'infarct|stroke|rssi',
        ),
    ),
    makes={
        'infarct_mask': Derivative(
            suffix='mask',
            label='infarct',
            frame='trace',
            metadata={'Type': 'Lesion'},
            description='Recent infarcts of any kind that count, on the grid of the trace image.',
        ),
        'rssi_mask': Derivative(
            suffix='mask',
            label='RSSI',
            frame='trace',
            description='Recent small subcortical infarcts that count.',
        ),
        'infarct_candidates': Derivative(
            suffix='dseg',
            desc='infarcts',
            frame='trace',
            description='Number of each lesion of the list.',
        ),
        'infarct_lesions': Derivative(
            suffix='lesions',
            label='infarct',
            extension='.tsv',
            frame='trace',
            description='Recent infarcts and places that may be some (26-connected), the most '
            'probable first.',
            lists='Recent infarcts and candidates',
            columns=(
                Column(
                    name='index',
                    description='Number of the lesion, 1 the most probable; its value in the '
                    'image of candidates.',
                ),
                *IDENTITY[1:],
                Column(name='kind', description='Of which kind it is.', levels=KINDS),
                Column(name='status', description='Whether it counts.', levels=STATUS),
                Column(
                    name='probability',
                    units='1',
                    description='Probability that it is an infarct, by a logistic model fitted '
                    'on infarcts drawn into scans of people without any.',
                ),
                Column(
                    name='adc_1e3',
                    units='1e-3 mm2/s',
                    description='Mean ADC, its bright voxels counting more.',
                ),
                Column(
                    name='adc_ratio',
                    units='1',
                    description='ADC over that of its surroundings and of its mirror image.',
                ),
                Column(
                    name='trace_ratio',
                    units='1',
                    description='Trace image over its surroundings and its mirror image.',
                ),
                Column(name='reasons', description='What speaks for and against it.'),
                *REGION,
            ),
        ),
    },
    figures=(
        Figure(
            desc='infarcts',
            suffix='trace',
            title='Recent infarcts',
            caption='Every lesion of the list on the trace image, the most probable first; those '
            'that do not count say so.',
            build='csvdprep.markers.infarcts.figures:draw_infarcts',
            takes=('trace_preproc', 'infarct_candidates', 'infarct_lesions'),
        ),
    ),
    measures=(
        _n(
            'rssi_n',
            'recent small subcortical infarcts: bright in the trace image and low in ADC, up to '
            '20 mm in an axial slice, in deep grey matter, white matter or brainstem',
            reference='duering2023',
            limits=Limits(ok=(0, 2)),
        ),
        Measure(
            name='rssi_volume_ml',
            units='mL',
            method='dwi-adc-mirror',
            description='Volume of recent small subcortical infarcts.',
            table=False,
        ),
        Measure(
            name='rssi_max_diam_mm',
            units='mm',
            method='dwi-adc-mirror',
            description='Largest axial diameter of a recent small subcortical infarct.',
            table=False,
        ),
        Measure(
            name='rssi_adc_ratio',
            units='1',
            method='dwi-adc-mirror',
            description='ADC of recent small subcortical infarcts over that of their surroundings '
            'and mirror images, weighted by volume. Above 0.9 old lesions shine through.',
            limits=Limits(ok=(None, 0.9)),
            table=False,
        ),
        _n('rssi_possible_n', 'candidates that may be such, for review', table=False),
        _n(
            'recent_infarct_n',
            'recent infarcts of any kind and place; embolic and cortical ones are no sign of '
            'small vessel disease',
        ),
        Measure(
            name='recent_infarct_ml',
            units='mL',
            method='dwi-adc-mirror',
            description='Volume of recent infarcts of any kind and place.',
        ),
        _n('recent_infarct_cortical_n', 'recent infarcts that reach the cortex', table=False),
        _n('recent_infarct_possible_n', 'candidates of any kind, for review', table=False),
        Measure(
            name='infarct_origin',
            units='',
            method='plan',
            table=False,
            description='What found the infarcts.',
            levels={'csvdprep': 'this application', 'external': 'a mask given by --derivatives'},
        ),
    ),
    build='csvdprep.markers.infarcts.workflow:init_infarcts_wf',
    options=Options,
    methods=(
        'Recent infarcts [@duering2023] were sought where the trace image is brighter, and the '
        'apparent diffusion coefficient lower, than in the surroundings and in the mirror image '
        'of the place. A logistic model of brightness, diffusion, size, shape and place, fitted '
        'on infarcts drawn into scans without any, gave each candidate a probability; from '
        '{o.definite:g} it counts. Those up to {o.rssi_mm:g} mm in an axial slice outside of '
        'cortex and cerebellum are recent small subcortical infarcts.'
    ),
    references=('duering2023',),
)
