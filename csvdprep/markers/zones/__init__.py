"""Where white matter hyperintensities lie: zones, lobes, vascular territories, single lesions."""

from dataclasses import dataclass

from csvdprep.core.lesionlist import IDENTITY, PROBABILITY, REGION
from csvdprep.core.options import option
from csvdprep.core.room import Column, Derivative, Figure, Limits, Measure, Room

SCHEMES = ('kim', 'cortex_first', 'pv10', 'shiva-like', 'bilateral', 'component3-10')


@dataclass(frozen=True)
class Options:
    """Rule of the zones, and the smallest lesion."""

    scheme: str = option('kim', 'Rule that divides hyperintensities into zones.', choices=SCHEMES)
    minimum_mm3: float = option(
        5.0, 'Lesions smaller than this are not listed.', unit='mm3', least=0
    )


ZONES = (
    ('jv', 'juxtaventricular', 'up to 3 mm from the lateral ventricles'),
    ('pv', 'periventricular', 'more than 3 and up to 13 mm from the lateral ventricles'),
    (
        'dw',
        'deep',
        'more than 13 mm from the lateral ventricles and more than 4 mm from the cortex',
    ),
    (
        'jc',
        'juxtacortical',
        'more than 13 mm from the lateral ventricles and up to 4 mm from the cortex',
    ),
)
#: Zones of the list of lesions, by the abbreviation that stands in it.
ZONE_NAMES = {
    **{key: name for key, name, _ in ZONES},
    'deep_grey': 'deep grey matter',
    'infratentorial': 'infratentorial',
    'cf': 'confluent',
}
LOBES = ('frontal', 'parietal', 'temporal', 'occipital', 'insula', 'deep')
TERRITORIES = ('aca', 'mca', 'pca')
ARTERIES = dict(zip(TERRITORIES, ('anterior', 'middle', 'posterior'), strict=True))


def _ml(name, description, **more):
    return Measure(
        name=f'wmh_{name}_ml', units='mL', method='distance-kim', description=description, **more
    )


_PLACES = {'deep': 'deep grey matter and capsules', 'insula': 'insula'}
_SIDED = [
    *(
        _ml(
            f'{lobe}_{side}',
            f'Volume of WMH in the {side} {_PLACES.get(lobe, f"{lobe} lobe")}.',
            table=False,
        )
        for lobe in LOBES
        for side in ('left', 'right')
    ),
    *(
        _ml(
            f'{name}_{side}',
            f'Volume of WMH in the territory of the {side} {artery} cerebral artery.',
            table=False,
        )
        for name, artery in ARTERIES.items()
        for side in ('left', 'right')
    ),
]

_SIZES = (
    ('punctate', 'smaller than a sphere of 10 mm (524 mm3)'),
    ('intermediate', 'from a sphere of 10 mm to one of 20 mm (524 to 4189 mm3)'),
    ('large', 'at least as large as a sphere of 20 mm (4189 mm3)'),
)
_CLASSES = [
    *(
        Measure(
            name=f'wmh_n_{name}',
            units='1',
            method='26-connected',
            table=False,
            reference='vanderflier2005',
            description=f'Number of WMH lesions {text}; lesions under 5 mm3 are not counted.',
        )
        for name, text in _SIZES
    ),
    *(
        Measure(
            name=f'wmh_{name}_ml',
            units='mL',
            method='26-connected',
            table=False,
            reference='vanderflier2005',
            description=f'Volume of WMH lesions {text}.',
        )
        for name, text in _SIZES
    ),
]
ARWMC = ('frontal', 'parieto_occipital', 'temporal', 'infratentorial', 'basal_ganglia')
_WHITE_LEVELS = {
    '0': 'no focus of at least 5 mm; caps and bands (up to 5 mm from the ventricles) do not count',
    '1': 'focal',
    '2': 'beginning confluence: a focus of at least 10 mm, or a group of at least 20 mm',
    '3': 'diffuse: a focus of at least 20 mm, and a tenth of the white matter of the region',
}
_GREY_LEVELS = {
    '0': 'no focus of at least 5 mm',
    '1': 'one',
    '2': 'more than one focus',
    '3': 'confluent: 10 mm or more',
}
_BY_RULE = 'from size rules applied to the mask, not a visual rating'
_ARWMC = [
    *(
        Measure(
            name=f'arwmc_{region}_{side}',
            units='1',
            method='geometry',
            table=False,
            reference='wahlund2001',
            levels=_GREY_LEVELS if region == 'basal_ganglia' else _WHITE_LEVELS,
            description=f'ARWMC grade, {region.replace("_", "-" if "occ" in region else " ")}, '
            f'{side}: {_BY_RULE}.',
        )
        for region in ARWMC
        for side in ('left', 'right')
    ),
    Measure(
        name='arwmc_total',
        units='1',
        method='geometry',
        table=False,
        reference='wahlund2001',
        description=f'Sum of the ten ARWMC grades, 0 to 30: {_BY_RULE}.',
    ),
]

ROOM = Room(
    name='zones',
    title='WMH by zone and region',
    marker=True,
    order=11,
    needs=(
        'wmh_mask',
        'flair_preproc',
        'flair_to_anat',
        'brain_mask',
        'ventricles',
        'csf_probseg',
        'gm_probseg',
        'structures_dseg',
        'lobes_dseg',
        'territories_dseg',
        'mni_to_anat',
        'wmh_subcortical',
    ),
    wants=('wmh_probseg',),
    makes={
        'zones_dseg': Derivative(
            suffix='dseg',
            desc='wmhzone',
            frame='flair',
            description='WMH by zone.',
            resampled='nearest',
            table=(
                {'index': 1, 'name': 'juxtaventricular', 'abbreviation': 'JV', 'color': '#d55e00'},
                {'index': 2, 'name': 'periventricular', 'abbreviation': 'PV', 'color': '#e69f00'},
                {'index': 3, 'name': 'deep', 'abbreviation': 'DW', 'color': '#56b4e9'},
                {'index': 4, 'name': 'juxtacortical', 'abbreviation': 'JC', 'color': '#009e73'},
                {'index': 5, 'name': 'deep grey matter', 'abbreviation': 'DG', 'color': '#cc79a7'},
                {'index': 6, 'name': 'infratentorial', 'abbreviation': 'IT', 'color': '#f0e442'},
                {'index': 7, 'name': 'confluent', 'abbreviation': 'CF', 'color': '#999999'},
            ),
        ),
        'wmh_numbers': Derivative(
            suffix='dseg',
            desc='wmhlesions',
            frame='flair',
            description='Single WMH lesions on the FLAIR grid: the value is the index of the '
            'lesion in the list of lesions, 0 elsewhere and in lesions too small for the list.',
        ),
        'wmh_lesions': Derivative(
            suffix='lesions',
            label='WMH',
            extension='.tsv',
            frame='flair',
            description='WMH lesions (26-connected), the largest first: volume, centroid in '
            'the FLAIR and in the template, zone, side, lobe, territory, largest '
            'axial diameter and shortest distance from the lateral ventricles.',
            lists='White matter hyperintensities',
            columns=(
                *IDENTITY,
                Column(
                    name='zone',
                    description='Zone that contains most of the lesion.',
                    levels=ZONE_NAMES,
                ),
                *(
                    Column(
                        name=f'share_{key}',
                        units='1',
                        aside=True,
                        description=f'Share of the lesion that is {name}.',
                    )
                    for key, name in ZONE_NAMES.items()
                ),
                *REGION,
                Column(
                    name='min_d_v_mm',
                    units='mm',
                    description='Shortest distance from the lateral ventricles.',
                ),
                PROBABILITY,
            ),
        ),
        'wmh_bullseye': Derivative(
            suffix='bullseye',
            label='WMH',
            extension='.tsv',
            frame='flair',
            description='Volume of the WMH by side, lobe and depth between the lateral '
            'ventricles and the cortex (bullseye of Sudre et al. 2018, '
            'doi:10.1016/j.neurad.2017.10.001).',
            columns=(
                Column(
                    name='side',
                    description='Hemisphere',
                    levels={'left': 'Left', 'right': 'Right'},
                ),
                Column(
                    name='lobe',
                    description='Lobe of the template; deep: deep grey matter and capsules',
                    levels={name: name.capitalize() for name in LOBES},
                ),
                Column(
                    name='shell',
                    description='Quarter of the way from ventricle to cortex: 1 next to the '
                    'ventricle, 4 next to the cortex',
                ),
                Column(name='volume_ml', description='Volume of WMH', units='mL'),
            ),
        ),
    },
    figures=(
        Figure(
            desc='zones',
            suffix='FLAIR',
            title='Zones of the hyperintensities',
            caption='Colours change at 3 and 13 mm from the lateral ventricles and at 4 mm '
            'from the cortex. Zones describe locations, not causes; their volumes are '
            'closely correlated.',
            build='csvdprep.markers.zones.figures:draw_zones',
            takes=('flair_preproc', 'zones_dseg'),
            wants=('flair_mask',),
        ),
        Figure(
            desc='lesions',
            suffix='FLAIR',
            title='Largest lesions',
            caption='Each lesion in its own slice. Check for cortex, vessels and pulsation '
            'artefacts that were mistaken for lesions.',
            build='csvdprep.markers.zones.figures:draw_lesions',
            takes=('flair_preproc', 'wmh_mask', 'wmh_lesions'),
        ),
    ),
    measures=(
        *(
            _ml(key, f'Volume of {name} WMH: {rule}.', reference='kim2008')
            for key, name, rule in ZONES
        ),
        *(
            Measure(
                name=f'wmh_{key}_pct_icv',
                units='%',
                method='distance-kim',
                table=False,
                description=f'Volume of {name} WMH in percent of the intracranial volume.',
            )
            for key, name, _ in ZONES
        ),
        Measure(
            name='wmh_n_lesions',
            units='1',
            method='26-connected',
            table=True,
            description='Number of WMH lesions of at least 5 mm3.',
        ),
        _ml('largest', 'Volume of the largest WMH lesion.'),
        Measure(
            name='wmh_mean_d_v_mm',
            units='mm',
            method='distance-kim',
            table=False,
            description='Mean distance of the WMH from the lateral ventricles.',
        ),
        _ml('pv10', 'Volume of WMH up to 10 mm from the lateral ventricles.', table=False),
        _ml(
            'confluent',
            'Volume of WMH lesions that extend from within 3 mm to beyond 13 mm from the '
            'lateral ventricles.',
            table=False,
        ),
        _ml(
            'zone_ambiguous',
            'Volume of WMH that are 3 to 13 mm from the lateral ventricles and also '
            'within 4 mm of the cortex: their zone depends on the order of the rules.',
            table=False,
        ),
        _ml('left', 'Volume of WMH in the left hemisphere.'),
        _ml('right', 'Volume of WMH in the right hemisphere.'),
        Measure(
            name='qc_wmh_side_ratio',
            units='1',
            method='volume',
            description='Ratio of the WMH volumes of the two hemispheres, the larger divided '
            'by the smaller; a large ratio suggests an infarct.',
            limits=Limits(ok=(None, 5)),
        ),
        Measure(
            name='qc_wmh_cortex_pct',
            units='%',
            method='distance',
            qc_id='Q13',
            description='Share of the WMH within 2 mm of the cortex.',
            limits=Limits(ok=(None, 35), warn=(None, 60)),
        ),
        *_SIDED,
        *_CLASSES,
        *_ARWMC,
    ),
    version=3,
    build='csvdprep.markers.zones.workflow:init_zones_wf',
    options=Options,
    methods=(
        'Hyperintensities were divided by their Euclidean distance from the lateral '
        'ventricles and from the cortex, computed on a 1 mm isotropic grid (rule: '
        '{o.scheme}) [@kim2008], and by the lobes and vascular territories of the '
        'template. Regional grades apply size rules to the definitions of ARWMC '
        '[@wahlund2001]; size classes of lesions are those of LADIS [@vanderflier2005].'
    ),
    references=('kim2008', 'vanderflier2005', 'wahlund2001'),
)
