"""Growth and shrinkage of white matter hyperintensities."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.room import Column, Derivative, Figure, Measure, Room


@dataclass(frozen=True)
class Options:
    """Thresholds of change."""

    least_z: float = option(
        1.5,
        'Least difference of a changed voxel, in SD of the difference of unchanged tissue with '
        'edges as strong.',
        least=0,
    )
    least_mean_z: float = option(
        2.5, 'Least mean of that difference over a region of change.', least=0
    )
    least_mm3: float = option(
        10.0, 'Regions of change smaller than this do not count.', unit='mm3', least=0
    )
    rescans: int = option(
        3, 'Simulated rescans of each visit, for the minimal detectable change.', least=1, most=100
    )
    retest_sd_ml: float = option(
        0.0,
        'SD of the change between repeated scans of this protocol, if it was measured: the '
        'minimal detectable change is at least 1.96 times that.',
        unit='mL',
        least=0,
    )


#: Parts of the brain of the table: name, and label of the zones (0: lobes by name).
WHOLE = 'whole'
ZONES = {1: 'juxtaventricular', 2: 'periventricular', 3: 'deep', 4: 'juxtacortical'}
_AMOUNTS = (
    ('growth_ml', 'Volume that became lesion, with new lesions.'),
    ('shrink_ml', 'Volume that ceased to be lesion, with vanished lesions.'),
    ('new_ml', 'Volume of new lesions: growth that touches no earlier lesion.'),
    ('vanished_ml', 'Volume of vanished lesions.'),
    ('stable_ml', 'Volume of lesion at both visits.'),
    ('net_ml', 'Growth minus shrinkage.'),
)
_LEVELS = {
    'none': 'neither growth nor shrinkage is beyond what scans without change may show',
    'growth': 'growth is',
    'shrinkage': 'shrinkage is',
    'both': 'both are',
}


def _measure(name, units, what, **more):
    return Measure(
        name=f'wmh_{name}',
        units=units,
        method='joint-border',
        description=f'{what}: first to last visit with FLAIR.',
        **more,
    )


ROOM = Room(
    name='wmh_change',
    title='Change of white matter hyperintensities',
    level='participant',
    needs=('measures', 'halfway_flair', 'halfway_flair_poses', 'halfway_flair_error'),
    wants=(
        'each_wmh_mask',
        'each_wmh_probseg',
        'each_flair_mask',
        'each_flair_to_anat',
        'each_wm_probseg',
        'each_gm_probseg',
        'each_csf_probseg',
        'each_zones_dseg',
        'each_lobes_dseg',
    ),
    makes={
        'wmh_change_dseg': Derivative(
            suffix='dseg',
            desc='wmhchange',
            frame='halfway_flair',
            space='halfwayFLAIR',
            description='Change of white matter hyperintensities from the first to the last '
            'visit with FLAIR, judged from the images of both visits together.',
            table=(
                {'index': 1, 'name': 'stable', 'abbreviation': 'ST', 'color': '#56b4e9'},
                {'index': 2, 'name': 'growth', 'abbreviation': 'GR', 'color': '#e69f00'},
                {'index': 3, 'name': 'shrinkage', 'abbreviation': 'SH', 'color': '#009e73'},
                {'index': 4, 'name': 'new lesion', 'abbreviation': 'NE', 'color': '#d55e00'},
                {'index': 5, 'name': 'vanished lesion', 'abbreviation': 'VA', 'color': '#0072b2'},
            ),
        ),
        'wmh_change_z': Derivative(
            suffix='statmap',
            desc='wmhchange',
            frame='halfway_flair',
            space='halfwayFLAIR',
            units='1',
            description='Difference of the FLAIR, last minus first visit, in SD of what '
            'unchanged tissue with edges as strong shows.',
        ),
        'wmh_change_list': Derivative(
            suffix='changes',
            label='WMH',
            extension='.tsv',
            frame='participant',
            datatype='anat',
            lists='Change of white matter hyperintensities',
            description='Growth and shrinkage of white matter hyperintensities between '
            'consecutive visits, and between the first and the last, in all and by zone and '
            'lobe.',
            columns=(
                Column(name='from_session', description='Earlier visit.'),
                Column(name='to_session', description='Later visit.'),
                Column(name='years', units='year', description='Time between the visits.'),
                Column(name='region', description='Zone or lobe, or whole.'),
                *(Column(name=n, units='mL', description=d) for n, d in _AMOUNTS),
                Column(
                    name='growth_per_year', units='mL/year', description='Growth over the years.'
                ),
                Column(
                    name='shrink_per_year',
                    units='mL/year',
                    description='Shrinkage over the years.',
                ),
                Column(name='net_per_year', units='mL/year', description='Net change a year.'),
                Column(
                    name='mdc_ml',
                    units='mL',
                    description='Minimal detectable growth or shrinkage of these scans; for the '
                    'whole only.',
                ),
                Column(
                    name='net_mdc_ml',
                    units='mL',
                    description='Minimal detectable net change; for the whole only.',
                ),
            ),
        ),
    },
    figures=(
        Figure(
            desc='wmhchange',
            suffix='FLAIR',
            title='Change of white matter hyperintensities',
            caption='The mouse pointer switches between the first and the last visit. Where a '
            'region is marked as growth or shrinkage, the images must differ.',
            build='csvdprep.longitudinal.wmh_change.figures:draw_change',
            takes=('halfway_flair', 'wmh_change_dseg'),
        ),
    ),
    measures=(
        _measure('growth_ml', 'mL', 'Volume that became hyperintense, with new lesions'),
        _measure('shrink_ml', 'mL', 'Volume that ceased to be hyperintense'),
        _measure('net_ml', 'mL', 'Growth minus shrinkage'),
        _measure('stable_ml', 'mL', 'Volume that is hyperintense at both visits', table=False),
        _measure('new_ml', 'mL', 'Volume of new lesions, part of the growth', table=False),
        _measure('new_n', '1', 'Number of new lesions', table=False),
        _measure('vanished_ml', 'mL', 'Volume of vanished lesions', table=False),
        _measure('vanished_n', '1', 'Number of vanished lesions', table=False),
        _measure('growth_ml_per_year', 'mL/year', 'Growth divided by the years'),
        _measure('shrink_ml_per_year', 'mL/year', 'Shrinkage divided by the years'),
        _measure('net_ml_per_year', 'mL/year', 'Net change divided by the years', table=False),
        _measure(
            'change_mdc_ml',
            'mL',
            'Minimal detectable growth or shrinkage, from simulated rescans of these scans and '
            'the thickness of their slices (95 %)',
        ),
        _measure('net_mdc_ml', 'mL', 'Minimal detectable net change, found likewise', table=False),
        _measure(
            'change_beyond_mdc',
            '',
            'Whether growth or shrinkage is beyond the minimal detectable change',
            levels=_LEVELS,
        ),
        _measure(
            'change_noise',
            '1',
            'SD of the difference of the images in even tissue, as a share of the level of white '
            'matter',
            table=False,
        ),
        _measure(
            'change_blur_mm',
            'mm',
            'By how much edges of unchanged tissue differ between the visits',
            table=False,
        ),
        _measure(
            'subtraction_growth_ml',
            'mL',
            'For comparison only: volume of the last mask outside of the first. It includes the '
            'errors of both masks along all borders',
            table=False,
        ),
        _measure(
            'subtraction_shrink_ml',
            'mL',
            'For comparison only: volume of the first mask outside of the last',
            table=False,
        ),
    ),
    options=Options,
    version=3,
    resolve='csvdprep.longitudinal.wmh_change.decide:resolve',
    build='csvdprep.longitudinal.wmh_change.workflow:init_wmh_change_wf',
    methods='The FLAIR of all visits were brought to one scale by the levels of white and grey '
    'matter that is normal at all visits. Lesions of two visits end where the intensity is '
    'half-way between normal white matter and lesions nearby, the same at both visits. A voxel '
    'that is lesion at one visit only counts as growth or shrinkage if the images differ by more '
    'than {o.least_z:g} SD of the difference of unchanged tissue with edges as strong, in regions '
    'of at least {o.least_mm3:g} mm3 and {o.least_mean_z:g} SD on average. Growth and regression '
    'are reported apart, as both are real [@wardlaw2017]. The minimal detectable change is '
    '1.96 times the root mean square of the false change between each visit and {o.rescans} '
    'simulated rescans of it, with noise, alignment and drift as found between the visits, and '
    'what other positions of the slices may feign, by the square of their thickness.',
    references=('wardlaw2017',),
)
