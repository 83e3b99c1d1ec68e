"""Lacunes and perivascular spaces, told apart together."""

from dataclasses import dataclass

from csvdprep.core.declared import External
from csvdprep.core.lesionlist import IDENTITY, REGION
from csvdprep.core.options import option
from csvdprep.core.room import Column, Derivative, Figure, Limits, Measure, Room


@dataclass(frozen=True)
class Options:
    """Which candidates count."""

    definite: float = option(
        0.7, 'Probability from which a candidate is a lacune.', least=0.01, most=0.99
    )
    possible: float = option(
        0.3,
        'Probability from which a candidate is listed as a possible lacune, for review.',
        least=0.001,
        most=0.99,
    )
    pvs_definite: float = option(
        0.5, 'Probability from which a candidate is a perivascular space.', least=0.01, most=0.99
    )
    pvs_possible: float = option(
        0.3,
        'Probability from which a candidate is listed as a possible perivascular space.',
        least=0.001,
        most=0.99,
    )

    def __post_init__(self):
        if self.possible > self.definite or self.pvs_possible > self.pvs_definite:
            raise ValueError('what is possible must not be more probable than what is definite')


KINDS = {
    'lacune': 'lacune of presumed vascular origin',
    'pvs': 'perivascular space',
    'sulcal': 'fluid of a sulcus',
    'ventricular': 'fluid of a ventricle',
    'cavitation': 'dark on the T1w but bright on the FLAIR: a hyperintensity, or one that begins '
    'to cavitate',
    'infarct': 'larger than a lacune: old infarct',
    'other': 'none of these',
}
SHORT = {name: name for name in KINDS} | {'pvs': 'PVS', 'infarct': 'old infarct'}
STATUS = {
    'definite': 'counts',
    'possible': 'for review; does not count',
    'external': 'from a mask that was given; counts',
}
PLACES = {
    'basal ganglia': 'caudate nucleus, putamen or pallidum',
    'thalamus': 'thalamus',
    'capsules': 'between the deep nuclei',
    'brainstem': 'brainstem',
    'cerebellum': 'cerebellum',
    'lobar': 'white matter of a lobe',
}
REGIONS = {
    'BG': 'basal ganglia',
    'CSO': 'centrum semiovale',
    'hippocampus': 'hippocampus',
    'midbrain': 'midbrain',
    'other': 'elsewhere',
}


def _n(name, what, **more):
    return Measure(
        name=name, units='1', method='joint-logistic', description=f'Number of {what}.', **more
    )


def _grade(region, name, where):
    return Measure(
        name=f'pvs_{region}_grade',
        units='1',
        method='joint-logistic',
        description=f'Grade of perivascular spaces of the {name}: most in one hemisphere in an '
        f'axial slice {where}; 0 none, 1 up to 10, 2 up to 20, 3 up to 40, 4 more.',
        reference='potter2015',
        levels={'0': 'none', '1': '1 to 10', '2': '11 to 20', '3': '21 to 40', '4': 'over 40'},
        title=f'Perivascular spaces, {name}, grade',
        primary=True,
    )


def _volume(region, name):
    return (
        Measure(
            name=f'pvs_{region}_ml',
            units='mL',
            method='partial-volume',
            description=f'Volume of fluid in perivascular spaces of the {name}; voxels at their '
            'border count by their share.',
            table=False,
        ),
        Measure(
            name=f'pvs_{region}_pct',
            units='%',
            method='partial-volume',
            description=f'The same in percent of the {name}.',
            table=False,
        ),
    )


ROOM = Room(
    name='cavities',
    title='Lacunes and perivascular spaces',
    marker=True,
    order=22,
    needs=(
        't1w',
        'anat_preproc',
        'brain_mask',
        'csf_probseg',
        'gm_probseg',
        'wm_probseg',
        'ventricles',
        'structures_dseg',
        'lobes_dseg',
        'territories_dseg',
        'mni_to_anat',
    ),
    wants=(
        'flair_preproc',
        'flair_to_anat',
        'wmh_mask',
        't2w_preproc',
        't2w_to_anat',
        'lacune_external',
        'pvs_external',
    ),
    externals=(
        External(
            name='lacune_external',
            title='lacune mask',
            description='Mask of lacunes made by another tool or by hand.',
            grids=('flair', 't1w'),
            words=r'lacun',
            rows=r'lacun',
        ),
        External(
            name='pvs_external',
            title='PVS mask',
            description='Mask of perivascular spaces made by another tool or by hand.',
            grids=('t2w', 't1w', 'flair'),
            words=r'(^|[_-])e?pvs|perivascular|virchow',
            rows=r'(^|\b)e?pvs|perivascular|virchow',
        ),
    ),
    makes={
        'lacune_mask': Derivative(
            suffix='mask', label='lacune', description='Lacunes that count.', resampled='nearest'
        ),
        'pvs_mask': Derivative(
            suffix='mask',
            label='PVS',
            description='Perivascular spaces that count.',
            resampled='nearest',
        ),
        'cavity_candidates': Derivative(
            suffix='dseg', desc='cavities', description='Number of each lesion of the two lists.'
        ),
        'lacune_lesions': Derivative(
            suffix='lesions',
            label='lacune',
            extension='.tsv',
            description='Lacunes and places that may be some (26-connected), the most probable '
            'first.',
            lists='Lacunes and candidates',
            columns=(
                Column(
                    name='index',
                    description='Number of the lesion, 1 the most probable lacune; its value in '
                    'the image of candidates.',
                ),
                *IDENTITY[1:],
                Column(name='kind', description='What it most likely is.', levels=KINDS),
                Column(name='status', description='Whether it counts.', levels=STATUS),
                Column(
                    name='probability',
                    units='1',
                    description='Probability that it is a lacune, by a multinomial logistic model '
                    'fitted on lacunes and perivascular spaces drawn into scans.',
                ),
                Column(
                    name='pvs_probability',
                    units='1',
                    description='Probability, by the same model, that it is a perivascular space.',
                ),
                Column(name='region', description='Where it lies.', levels=PLACES),
                Column(name='reasons', description='What speaks for and against it.'),
                *REGION,
            ),
        ),
        'pvs_lesions': Derivative(
            suffix='lesions',
            label='PVS',
            extension='.tsv',
            description='Perivascular spaces and places that may be some (26-connected), the most '
            'probable first.',
            columns=(
                Column(
                    name='index',
                    description='Number of the lesion; its value in the image of candidates.',
                ),
                *IDENTITY[1:],
                Column(name='status', description='Whether it counts.', levels=STATUS),
                Column(
                    name='probability',
                    units='1',
                    description='Probability that it is a perivascular space.',
                ),
                Column(
                    name='lacune_probability',
                    units='1',
                    description='Probability that it is a lacune.',
                ),
                Column(
                    name='region', description='In which region most of it lies.', levels=REGIONS
                ),
                Column(
                    name='length_mm',
                    units='mm',
                    description='Length, from the spread of its fluid along its main axis.',
                ),
                Column(
                    name='width_mm',
                    units='mm',
                    description='Width of a tube of this length and this volume of fluid.',
                ),
                Column(
                    name='fluid_mm3',
                    units='mm3',
                    description='Volume of fluid: voxels count by their share.',
                ),
                *REGION,
            ),
        ),
    },
    figures=(
        Figure(
            desc='lacunes',
            suffix='{hub}',
            title='Lacunes',
            caption='Every lacune of the list on the T1w, the most probable first; those that do '
            'not count say so. Fluid of sulci and perivascular spaces must not count.',
            build='csvdprep.markers.cavities.figures:draw_lacunes',
            takes=('anat_preproc', 'cavity_candidates', 'lacune_lesions'),
            disease=True,
        ),
        Figure(
            desc='pvs',
            suffix='{hub}',
            title='Perivascular spaces',
            caption='Slices of the T1w that have any, with the outlines of what counts.',
            build='csvdprep.markers.cavities.figures:draw_spaces',
            takes=('anat_preproc', 'brain_mask', 'pvs_mask', 'lacune_mask'),
        ),
    ),
    measures=(
        _n(
            'lacune_n',
            'lacunes: cavities of 3 to 15 mm filled with fluid, in deep grey matter, white '
            'matter, brainstem or cerebellum, without contact with fluid of sulci or ventricles',
            reference='duering2023',
            limits=Limits(ok=(0, 5), warn=(0, 20)),
            title='Lacunes',
            primary=True,
        ),
        _n('lacune_possible_n', 'candidates that may be lacunes, for review'),
        _n('lacune_deep_n', 'lacunes of deep grey matter and the capsules between', table=False),
        _n('lacune_lobar_n', 'lacunes of the white matter of lobes', table=False),
        _n('lacune_infratentorial_n', 'lacunes of brainstem and cerebellum', table=False),
        Measure(
            name='lacune_volume_ml',
            units='mL',
            method='joint-logistic',
            description='Volume of lacunes.',
            table=False,
        ),
        _grade('bg', 'basal ganglia', 'between z -8 and 4 mm of the template'),
        _grade('cso', 'centrum semiovale', '5 to 15 mm above the lateral ventricles'),
        Measure(
            name='pvs_midbrain',
            units='1',
            method='joint-logistic',
            description='Whether there is a perivascular space in the midbrain.',
            levels={'0': 'none', '1': 'one or more'},
            reference='potter2015',
            table=False,
        ),
        _n(
            'pvs_bg_worst_n',
            'perivascular spaces of the basal ganglia in the slice and hemisphere with most',
            table=False,
        ),
        _n(
            'pvs_cso_worst_n',
            'perivascular spaces of the centrum semiovale in the slice and hemisphere with most',
            table=False,
        ),
        Measure(
            name='pvs_cso_severe',
            units='',
            method='joint-logistic',
            description='Whether there are more than 20 perivascular spaces in the centrum '
            'semiovale of one hemisphere: a white matter feature of the Boston criteria 2.0.',
            levels={'yes': 'more than 20', 'no': 'up to 20'},
            table=False,
        ),
        _n('pvs_bg_n', 'perivascular spaces of the basal ganglia, both sides', table=False),
        _n('pvs_cso_n', 'perivascular spaces of the centrum semiovale, both sides', table=False),
        _n('pvs_hippocampus_n', 'perivascular spaces of the hippocampi', table=False),
        _n('pvs_midbrain_n', 'perivascular spaces of the midbrain', table=False),
        *_volume('bg', 'basal ganglia'),
        *_volume('cso', 'centrum semiovale'),
        _n('pvs_possible_n', 'candidates that may be perivascular spaces', table=False),
        Measure(
            name='cavity_images',
            units='',
            method='plan',
            description='Images in which was looked.',
            levels={
                't1w': 'T1w',
                't1w+flair': 'T1w and FLAIR',
                't1w+t2w': 'T1w and T2w',
                't1w+flair+t2w': 'T1w, FLAIR and T2w',
            },
            table=False,
        ),
        *(
            Measure(
                name=f'{kind}_origin',
                units='',
                method='plan',
                table=False,
                description=f'What found the {what}.',
                levels={
                    'csvdprep': 'this application',
                    'external': 'a mask given by --derivatives',
                },
            )
            for kind, what in (('lacune', 'lacunes'), ('pvs', 'perivascular spaces'))
        ),
        Measure(
            name='qc_cavity_noise',
            units='1',
            method='neighbours',
            description='Noise of the T1w from voxel to voxel in white matter, as a share of the '
            'contrast of tissue and fluid.',
            limits=Limits(ok=(0, 0.1), warn=(0, 0.2)),
        ),
        Measure(
            name='qc_pvs_total_n',
            units='1',
            method='joint-logistic',
            description='Number of perivascular spaces of all regions: very many are motion, or '
            'noise.',
            limits=Limits(ok=(0, 600), warn=(0, 1500)),
        ),
    ),
    resources=('template_csf', 'template_gm', 'template_pvsregions', 'models/cavities/model.json'),
    build='csvdprep.markers.cavities.workflow:init_cavities_wf',
    version=5,
    options=Options,
    methods=(
        'Lacunes and perivascular spaces [@duering2023] were sought together. The T1w, and FLAIR '
        'and T2w where there are, were expressed as parts of the way from the tissue around each '
        'voxel to fluid. Fluid that is connected with ventricles or with the surface of the brain '
        'was left out; what is left of fluid, and bright tubes by the second curvature at three '
        'widths (after [@frangi1998]), are candidates. A multinomial logistic model of '
        'brightness, form, surroundings and place, fitted on lacunes and perivascular spaces '
        'drawn into scans of people and phantoms, gave each the probability of either kind and '
        'of neither; from {o.definite:g} it counts as lacune, from {o.pvs_definite:g} as '
        'perivascular space. Grades follow [@potter2015].'
    ),
    references=('duering2023', 'frangi1998', 'potter2015'),
)
