"""Microbleeds from gradient echoes."""

from dataclasses import dataclass

from csvdprep.core.declared import External
from csvdprep.core.lesionlist import IDENTITY, REGION
from csvdprep.core.options import option
from csvdprep.core.room import Column, Derivative, Figure, Limits, Measure, Room


@dataclass(frozen=True)
class Options:
    """Which candidates count, and what is deep."""

    definite: float = option(
        0.7, 'Probability from which a candidate is a microbleed.', least=0.01, most=0.999
    )
    definite_swi: float = option(
        0.9,
        'The same where there is only the SWI of the scanner: veins are as dark there.',
        least=0.01,
        most=0.999,
    )
    possible: float = option(
        0.2,
        'Probability from which a candidate is listed as possible, for review.',
        least=0.001,
        most=0.99,
    )
    largest_mm: float = option(
        10.0,
        'Diameter up to which a signal void can be a microbleed.',
        unit='mm',
        least=5,
        most=20,
    )
    deep_mm: float = option(
        10.0,
        'Distance from the lateral ventricles up to which white matter is deep.',
        unit='mm',
        least=0,
        most=30,
    )

    def __post_init__(self):
        if self.possible > min(self.definite, self.definite_swi):
            raise ValueError('microbleeds.possible must not be above microbleeds.definite')


KINDS = {
    'lobar': 'lobes and insula, cortex and white matter below it',
    'deep': 'basal ganglia, thalamus, capsules, deep and periventricular white matter',
    'infratentorial': 'brainstem and cerebellum',
}
SIZES = {
    'under 5 mm': 'signal void under 5 mm wide',
    '5 to 10 mm': 'signal void of 5 to 10 mm',
    'over 10 mm': 'wider than a microbleed can be',
}
STATUS = {
    'definite': 'counts',
    'possible': 'for review; does not count',
    'calcification': 'diamagnetic, as calcium is; does not count',
    'external': 'from a mask that was given; counts',
}
SIGNS = {
    'paramagnetic': 'as blood products, and veins',
    'diamagnetic': 'as calcium',
    'not known': 'there is no map of susceptibility, or it does not tell',
}
PATTERNS = {
    'none': 'no definite microbleed',
    'strictly lobar': 'in lobes alone',
    'strictly deep': 'in deep regions, brainstem or cerebellum alone',
    'mixed': 'in lobes and elsewhere',
}
SEQUENCES = {
    '3D SWI': 'susceptibility-weighted, slices up to 2.2 mm',
    '3D T2*': 'magnitude of gradient echoes, slices up to 2.2 mm',
    '2D SWI': 'susceptibility-weighted, thicker slices',
    '2D T2*': 'magnitude of gradient echoes, thicker slices',
}


def _n(name, what, **more):
    return Measure(
        name=name,
        units='1',
        method='radial-symmetry-trees',
        description=f'Number of {what}.',
        **more,
    )


ROOM = Room(
    name='microbleeds',
    title='Microbleeds',
    marker=True,
    order=24,
    needs=(
        'gre',
        'gre_mag',
        'gre_mask',
        'gre_to_anat',
        'gm_probseg',
        'csf_probseg',
        'structures_dseg',
        'lobes_dseg',
        'territories_dseg',
        'mni_to_anat',
    ),
    wants=('gre_chi', 'cmb_external', 'flair_to_anat'),
    externals=(
        External(
            name='cmb_external',
            title='microbleed mask',
            description='Mask of microbleeds made by another tool or by hand.',
            grids=('gre', 't1w', 'flair'),
            words=r'micro_?bleed|micro_?h(a)?emorrhage|(^|[_-])cmb',
            labels=('CMB',),
            rows=r'micro.?bleed|microh|cmb',
        ),
    ),
    makes={
        'cmb_mask': Derivative(
            suffix='mask',
            label='CMB',
            frame='gre',
            metadata={'Type': 'Lesion'},
            description='Microbleeds that count: the signal void down to half of its depth.',
            resampled='nearest',
        ),
        'cmb_candidates': Derivative(
            suffix='dseg',
            desc='microbleeds',
            frame='gre',
            description='Number of each candidate of the list.',
        ),
        'cmb_lesions': Derivative(
            suffix='lesions',
            label='CMB',
            extension='.tsv',
            frame='gre',
            description='Microbleeds and places that may be some, the most probable first, '
            'calcifications last.',
            lists='Microbleeds and candidates',
            columns=(
                Column(
                    name='index',
                    description='Number of the candidate, from the most probable on; its value in '
                    'the image of candidates.',
                ),
                *IDENTITY[1:],
                Column(
                    name='kind',
                    description='Category of the Microbleed Anatomical Rating Scale.',
                    levels=KINDS,
                ),
                Column(
                    name='region', description='Region of the Microbleed Anatomical Rating Scale.'
                ),
                Column(
                    name='ventricle_mm',
                    units='mm',
                    description='Distance from the lateral ventricles: white matter close to '
                    'them is deep.',
                ),
                Column(name='status', description='Whether it counts.', levels=STATUS),
                Column(
                    name='probability',
                    units='1',
                    description='Probability that it is a microbleed, by boosted trees fitted on '
                    'microbleeds and mimics drawn into simulated scans; of calcifications, by '
                    'their form. Not calibrated on patients.',
                ),
                Column(
                    name='size',
                    description='Class of size of the Brain Observer MicroBleed Scale.',
                    levels=SIZES,
                ),
                Column(
                    name='diameter_mm',
                    units='mm',
                    description='Width of the signal void at half of its depth, with blooming.',
                ),
                Column(
                    name='contrast_pct',
                    units='%',
                    description='Share of the signal of the surroundings that is lost.',
                ),
                Column(name='sign', description='Sign of its susceptibility.', levels=SIGNS),
                Column(
                    name='chi_ppm',
                    units='ppm',
                    description='Extreme susceptibility in it, on the grid of the scan: less '
                    'than the true one of small lesions.',
                ),
                Column(name='reasons', description='What speaks for and against it.'),
                *REGION,
            ),
        ),
    },
    figures=(
        Figure(
            desc='microbleeds',
            suffix='T2starw',
            title='Microbleeds',
            caption='Candidates of the list on the gradient echo, the most probable first; those '
            'that do not count say so. A microbleed is round and ends: follow each through the '
            'neighbouring slices before you believe it.',
            build='csvdprep.markers.microbleeds.figures:draw_microbleeds',
            takes=('gre_mag', 'cmb_candidates', 'cmb_lesions'),
            disease=True,
        ),
    ),
    measures=(
        _n(
            'cmb_n',
            'definite microbleeds: round signal voids of 2 to 10 mm on gradient echoes that are '
            'no vein, calcification or mineral',
            reference='duering2023',
            limits=Limits(ok=(0, 50)),
            title='Microbleeds',
            primary=True,
        ),
        _n('cmb_possible_n', 'candidates that may be microbleeds, for review'),
        _n('cmb_lobar_n', 'definite microbleeds of lobes and insula', reference='gregoire2009'),
        _n(
            'cmb_deep_n',
            'definite microbleeds of basal ganglia, thalamus, capsules, deep and periventricular '
            'white matter',
            reference='gregoire2009',
        ),
        _n(
            'cmb_infratentorial_n',
            'definite microbleeds of brainstem and cerebellum',
            reference='gregoire2009',
        ),
        _n(
            'cmb_lt5mm_n',
            'definite microbleeds whose signal void is under 5 mm',
            reference='cordonnier2009',
            table=False,
        ),
        _n(
            'cmb_5to10mm_n',
            'definite microbleeds whose signal void is 5 to 10 mm',
            reference='cordonnier2009',
            table=False,
        ),
        _n(
            'cmb_calcification_n',
            'places that look like microbleeds and are diamagnetic',
            table=False,
        ),
        Measure(
            name='cmb_pattern',
            units='',
            method='radial-symmetry-trees',
            description='Where the definite microbleeds are. Brainstem and cerebellum count with '
            'the deep regions.',
            levels=PATTERNS,
            reference='gregoire2009',
        ),
        Measure(
            name='cmb_sequence',
            units='',
            method='header',
            table=False,
            description='What they were sought on. Numbers on different sequences are not '
            'comparable: SWI and thin slices show more.',
            levels=SEQUENCES,
        ),
        Measure(
            name='cmb_origin',
            units='',
            method='plan',
            table=False,
            description='What found the microbleeds.',
            levels={'csvdprep': 'this application', 'external': 'a mask given by --derivatives'},
        ),
    ),
    options=Options,
    resources=('models/microbleeds/model.json',),
    build='csvdprep.markers.microbleeds.workflow:init_microbleeds_wf',
    pooled_t=(1.5, 3),
    version=3,
    methods=(
        'Microbleeds [@duering2023] were sought on the gradient echo (of several echoes, on those '
        'whose echo time times field is at least 30 ms T) as round dark spots, by the radial '
        'symmetry of its slopes [@loy2003; @kuijf2012]. Boosted trees that were fitted on '
        'microbleeds and mimics simulated by their dipole fields gave each a probability from '
        'depth, size, shape, connection to veins, place and, where phase was measured, the sign '
        'of susceptibility; from {o.definite:g} it counts. Regions are those of the Microbleed '
        'Anatomical Rating Scale [@gregoire2009], white matter up to {o.deep_mm:g} mm from the '
        'lateral ventricles being deep; sizes those of BOMBS [@cordonnier2009].'
    ),
    references=('duering2023', 'gregoire2009', 'cordonnier2009', 'loy2003', 'kuijf2012'),
)
