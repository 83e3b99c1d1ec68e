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
        0.7, 'Least probability of a candidate that counts as an infarct.', least=0.01, most=0.99
    )
    possible: float = option(
        0.2,
        'Least probability of a candidate that is listed as possible, for review.',
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
    'cortical': 'in the cortex, or reaching it',
    'large': 'subcortical, but larger than a small infarct',
    'cerebellar': 'cerebellum',
}
STATUS = {
    'definite': 'counts',
    'possible': 'for review; not counted',
    'external': 'from a mask given by the user; counted',
}


def _n(name, what, **more):
    return Measure(
        name=name, units='1', method='dwi-adc-mirror', description=f'Number of {what}.', **more
    )


ROOM = Room(
    name='infarcts',
    title='Recent infarcts',
    marker=True,
    order=20,
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
            description='Recent infarcts of any kind that count.',
            resampled='nearest',
        ),
        'rssi_mask': Derivative(
            suffix='mask',
            label='RSSI',
            frame='trace',
            description='Recent small subcortical infarcts that count.',
            resampled='nearest',
        ),
        'infarct_candidates': Derivative(
            suffix='dseg',
            desc='infarcts',
            frame='trace',
            description='Label image: number of each lesion in the list.',
        ),
        'infarct_lesions': Derivative(
            suffix='lesions',
            label='infarct',
            extension='.tsv',
            frame='trace',
            description='Recent infarcts and possible infarcts (26-connected), the most '
            'probable first.',
            lists='Recent infarcts and candidates',
            columns=(
                Column(
                    name='index',
                    description='Number of the lesion, 1 for the most probable; also its '
                    'label in the image of candidates.',
                ),
                *IDENTITY[1:],
                Column(name='kind', description='Kind of the lesion.', levels=KINDS),
                Column(name='status', description='Whether the lesion is counted.', levels=STATUS),
                Column(
                    name='probability',
                    units='1',
                    description='Probability that the lesion is an infarct, from a logistic '
                    'model fitted to infarcts drawn into scans of people without '
                    'infarcts.',
                ),
                Column(
                    name='adc_1e3',
                    units='1e-3 mm2/s',
                    description='Mean ADC, weighted towards voxels that are bright in the '
                    'trace image.',
                ),
                Column(
                    name='adc_ratio',
                    units='1',
                    description='ADC divided by that of the surroundings and of the mirrored '
                    'position.',
                ),
                Column(
                    name='trace_ratio',
                    units='1',
                    description='Intensity of the trace image divided by that of the '
                    'surroundings and of the mirrored position.',
                ),
                Column(name='reasons', description='Findings for and against an infarct.'),
                *REGION,
            ),
        ),
    },
    figures=(
        Figure(
            desc='infarcts',
            suffix='trace',
            title='Recent infarcts',
            caption='Every lesion of the list on the trace image, the most probable first. '
            'Lesions that are not counted are marked.',
            build='csvdprep.markers.infarcts.figures:draw_infarcts',
            takes=('trace_preproc', 'infarct_candidates', 'infarct_lesions'),
            disease=True,
        ),
    ),
    measures=(
        _n(
            'rssi_n',
            'recent small subcortical infarcts: bright in the trace image and low in ADC, up to '
            '20 mm in an axial slice, in deep grey matter, white matter or brainstem',
            reference='duering2023',
            limits=Limits(ok=(0, 2)),
            title='Recent small subcortical infarcts',
            primary=True,
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
            description='ADC of recent small subcortical infarcts divided by that of their '
            'surroundings and mirrored positions, weighted by volume. A value '
            'above 0.9 suggests T2 shine-through of old lesions.',
            limits=Limits(ok=(None, 0.9)),
            table=False,
        ),
        _n(
            'rssi_possible_n',
            'possible recent small subcortical infarcts, for review',
            table=False,
        ),
        _n(
            'recent_infarct_n',
            'recent infarcts of any kind and location; embolic and cortical infarcts are '
            'not a sign of small vessel disease',
        ),
        Measure(
            name='recent_infarct_ml',
            units='mL',
            method='dwi-adc-mirror',
            description='Volume of recent infarcts of any kind and location.',
        ),
        _n('recent_infarct_cortical_n', 'recent infarcts that reach the cortex', table=False),
        _n(
            'recent_infarct_possible_n',
            'possible recent infarcts of any kind, for review',
            table=False,
        ),
        Measure(
            name='infarct_origin',
            units='',
            method='plan',
            table=False,
            description='Origin of the infarct mask.',
            levels={'csvdprep': 'this application', 'external': 'a mask given by --derivatives'},
        ),
    ),
    resources=('models/infarcts/model.json',),
    build='csvdprep.markers.infarcts.workflow:init_infarcts_wf',
    options=Options,
    methods=(
        'Candidates for recent infarcts [@duering2023] were regions where the trace image '
        'is brighter and the apparent diffusion coefficient lower than in the '
        'surroundings and at the mirrored position. A logistic model of brightness, '
        'diffusion, size, shape and location, fitted to infarcts drawn into scans without '
        'infarcts, gave each candidate a probability. Candidates with a probability of at '
        'least {o.definite:g} are counted. Those up to {o.rssi_mm:g} mm in an axial '
        'slice, outside the cortex and cerebellum, are recent small subcortical infarcts.'
    ),
    references=('duering2023',),
)
