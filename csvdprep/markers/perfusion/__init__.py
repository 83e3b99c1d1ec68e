"""Blood flow by tissue, artery, and distance from hyperintensities."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.room import Column, Derivative, Figure, Limits, Measure, Room


@dataclass(frozen=True)
class Options:
    """Margin around hyperintensities."""

    margin_mm: float = option(
        2.0,
        'White matter is normal-appearing if it is farther than this from hyperintensities.',
        unit='mm',
        least=0,
        most=20,
    )


FLOW = 'mL/100 g/min'
TITLES = {
    'gm': 'cortical grey matter',
    'dgm': 'deep grey matter',
    'wm': 'white matter',
    'nawm': 'normal-appearing white matter',
    'wmh': 'WMH',
    'wmh_jv': 'juxtaventricular WMH',
    'wmh_pv': 'periventricular WMH',
    'wmh_dw': 'deep WMH',
    'wmh_jc': 'juxtacortical WMH',
}
REGIONS = {
    'gm': 'voxels with at least 70 % grey matter of the cerebral cortex',
    'dgm': 'voxels with at least 70 % caudate, putamen, pallidum or thalamus',
    'wm': 'voxels with at least 90 % cerebral white matter, hyperintense or not',
    'nawm': 'voxels with at least 90 % cerebral white matter and less than 1 % hyperintensity, '
    'more than 2 mm from hyperintensities',
    'wmh': 'voxels of which at least half is hyperintensity',
    'wmh_jv': 'juxtaventricular hyperintensities',
    'wmh_pv': 'periventricular hyperintensities',
    'wmh_dw': 'deep hyperintensities',
    'wmh_jc': 'juxtacortical hyperintensities',
}
#: Zones in the label image of the room of zones.
ZONES = {'wmh_jv': 1, 'wmh_pv': 2, 'wmh_dw': 3, 'wmh_jc': 4}
LIMITS = {
    'gm': Limits(ok=(20, 90), warn=(10, 120)),
    'dgm': Limits(ok=(15, 90), warn=(8, 120)),
    'wm': Limits(ok=(8, 40), warn=(3, 60)),
    'nawm': Limits(ok=(8, 40), warn=(3, 60)),
    'wmh': Limits(ok=(3, 40), warn=(0, 60)),
}
#: Territories, and the labels of left and right in the atlas.
ARTERIES = {'aca': ('anterior', (1, 2)), 'mca': ('middle', (3, 4)), 'pca': ('posterior', (5, 6))}
#: Rings around hyperintensities, mm.
RINGS = ((0, 3), (3, 6), (6, 9), (9, 12), (12, 15))
SNR_REGIONS = ('gm', 'wm', 'nawm', 'wmh')


def _measures():
    for name, where in REGIONS.items():
        yield Measure(
            name=f'cbf_{name}',
            units=FLOW,
            method='mean',
            table=name in ('gm', 'nawm', 'wmh'),
            description=f'Blood flow: mean over {where}.',
            title=f'Blood flow, {TITLES[name]}',
            primary=name in ('gm', 'nawm'),
            limits=LIMITS.get(name),
            reference='alsop2015' if name == 'gm' else None,
        )
    for name, what in (('gm', 'grey'), ('wm', 'white')):
        yield Measure(
            name=f'cbf_{name}_pvc',
            units=FLOW,
            method='linear-regression',
            table=False,
            reference='asllani2008',
            description=f'Blood flow of {what} matter corrected for partial volume, mean over '
            f'voxels with at least half of it.',
            limits=Limits(ok=(20, 110), warn=(10, 150)) if name == 'gm' else LIMITS['wm'],
        )
    yield Measure(
        name='cbf_gm_wm_ratio',
        units='1',
        method='mean',
        table=False,
        description='Blood flow of grey over that of white matter (cbf_gm over cbf_wm).',
        limits=Limits(ok=(1.5, 4), warn=(1.1, 7)),
    )
    for name, (artery, _) in ARTERIES.items():
        for side in ('left', 'right'):
            yield Measure(
                name=f'cbf_{name}_{side}',
                units=FLOW,
                method='mean',
                table=False,
                description=f'Blood flow of cortical grey matter in the territory of the {side} '
                f'{artery} cerebral artery.',
            )
    yield Measure(
        name='cbf_gm_asymmetry_pct',
        units='%',
        method='mean',
        table=False,
        description='Blood flow of cortical grey matter, left minus right over their mean. Large '
        'values come from a narrow carotid artery, or from labelling that failed on one side.',
        limits=Limits(ok=(-15, 15), warn=(-40, 40)),
    )
    yield Measure(
        name='cbf_gm_cov',
        units='1',
        method='spatial-cov',
        reference='mutsaerts2017',
        description='Spatial coefficient of variation of blood flow in cortical grey matter: late '
        'arrival raises it, and so does noise.',
        limits=Limits(ok=(None, 0.6), warn=(None, 1.2)),
    )
    yield Measure(
        name='cbf_arterial_pct',
        units='%',
        method='threshold',
        table=False,
        description='Share of cortical grey matter with more than 2.5 times its median flow: '
        'label that is still in arteries.',
        limits=Limits(ok=(None, 3), warn=(None, 10)),
    )
    for low, high in RINGS:
        yield Measure(
            name=f'cbf_ring_{low}_{high}',
            units=FLOW,
            method='rings',
            table=False,
            description='Blood flow of white matter without hyperintensity, more than '
            f'{low} and up to {high} mm from hyperintensities.',
        )
    yield Measure(
        name='cbf_ring_slope',
        units=f'{FLOW} per mm',
        method='rings',
        table=False,
        reference='nasrallah2019',
        description='Slope of blood flow over the distance from hyperintensities, weighted by '
        'the number of voxels of the rings from 0 to 15 mm.',
    )
    for name, where in (('gm', 'cortical grey matter'), ('wm', 'white matter')):
        yield Measure(
            name=f'att_{name}_s',
            units='s',
            method='least-squares',
            table=name == 'gm',
            reference='buxton1998',
            description=f'Arrival time of blood, median over {where} (regions of cbf_{name}).',
            limits=Limits(ok=(0.5, 2.2), warn=(0.2, 3.2)),
        )
    for name, (artery, _) in ARTERIES.items():
        for side in ('left', 'right'):
            yield Measure(
                name=f'att_{name}_{side}_s',
                units='s',
                method='least-squares',
                table=False,
                description=f'Arrival time of blood, median over cortical grey matter in the '
                f'territory of the {side} {artery} cerebral artery.',
            )
    for name in SNR_REGIONS:
        yield Measure(
            name=f'cbf_snr_{name}',
            units='1',
            method='pairs',
            table=False,
            description=f'Signal over noise of cbf_{name}: mean difference of control and label '
            'over its standard error, over the pairs.',
            limits=Limits(ok=(3, None), warn=(1.5, None)),
        )
    yield Measure(
        name='qc_cbf_qei',
        units='1',
        method='qei',
        qc_id='Q11',
        reference='dolui2024',
        description='Quality evaluation index of the map: likeness to grey and white matter, '
        'variance within tissues, negative grey matter.',
        limits=Limits(ok=(0.6, None), warn=(0.4, None)),
    )


ROOM = Room(
    name='perfusion',
    title='Blood flow by region',
    marker=True,
    needs=(
        'cbf',
        'att',
        'flow_kept',
        'blood_flow_values',
        'asl_preproc',
        'asl_plan',
        'asl_mask',
        'asl_to_anat',
        'gm_probseg',
        'wm_probseg',
        'csf_probseg',
        'structures_dseg',
        'territories_dseg',
    ),
    wants=('wmh_mask', 'flair_to_anat', 'zones_dseg'),
    reads=('blood_flow.cbf_brain',),
    makes={
        'cbf_grey': Derivative(
            suffix='cbf',
            desc='pvcGM',
            frame='asl',
            units=FLOW,
            metadata={'SkullStripped': True},
            description='Blood flow of grey matter, corrected for partial volume by linear '
            'regression; 0 where it is not known.',
        ),
        'cbf_white': Derivative(
            suffix='cbf',
            desc='pvcWM',
            frame='asl',
            units=FLOW,
            metadata={'SkullStripped': True},
            description='Blood flow of white matter, corrected for partial volume by linear '
            'regression; 0 where it is not known.',
        ),
        'cbf_regions': Derivative(
            suffix='dseg',
            desc='perfusion',
            frame='asl',
            description='Regions of the measures of blood flow, on the grid of the series.',
            table=(
                {
                    'index': 1,
                    'name': 'cortical grey matter',
                    'abbreviation': 'GM',
                    'color': '#56b4e9',
                },
                {
                    'index': 2,
                    'name': 'deep grey matter',
                    'abbreviation': 'DGM',
                    'color': '#cc79a7',
                },
                {
                    'index': 3,
                    'name': 'white matter near hyperintensities',
                    'abbreviation': 'WM',
                    'color': '#e69f00',
                },
                {
                    'index': 4,
                    'name': 'normal-appearing white matter',
                    'abbreviation': 'NAWM',
                    'color': '#009e73',
                },
                {
                    'index': 5,
                    'name': 'white matter hyperintensity',
                    'abbreviation': 'WMH',
                    'color': '#d55e00',
                },
            ),
        ),
        'perfusion_profile': Derivative(
            suffix='profile',
            label='WMH',
            desc='perfusion',
            extension='.tsv',
            frame='asl',
            description='Blood flow in rings around hyperintensities.',
            columns=(
                Column(name='ring', description='Distance from hyperintensities', units='mm'),
                Column(name='n_voxels', description='Number of voxels'),
                Column(name='distance_mm', description='Mean distance', units='mm'),
                Column(name='mean', description='Mean blood flow', units=FLOW),
                Column(name='se', description='Standard error over voxels', units=FLOW),
            ),
        ),
    },
    figures=(
        Figure(
            desc='cbfregions',
            suffix='asl',
            title='Regions of blood flow',
            caption='Regions over which blood flow is averaged, on the map of blood flow: they '
            'have to follow cortex, white matter and hyperintensities.',
            build='csvdprep.markers.perfusion.figures:draw_regions',
            takes=('cbf', 'cbf_regions', 'asl_mask'),
        ),
        Figure(
            desc='cbfprofile',
            suffix='asl',
            title='Blood flow around hyperintensities',
            caption='Mean blood flow of white matter by the distance from hyperintensities; bars '
            'are standard errors. Rings are 3 mm wide, as voxels are.',
            build='csvdprep.markers.perfusion.figures:draw_profile',
            takes=('perfusion_profile',),
        ),
    ),
    measures=tuple(_measures()),
    options=Options,
    version=3,
    build='csvdprep.markers.perfusion.workflow:init_perfusion_wf',
    methods='Blood flow was averaged over tissues of the anatomical reference, hyperintensities '
    'and vascular territories of the template, on the grid of the ASL series. Partial volume was '
    'corrected by linear regression [@asllani2008]. The map was judged by the quality evaluation '
    'index [@dolui2024] and the spatial coefficient of variation [@mutsaerts2017].',
    references=(
        'alsop2015',
        'asllani2008',
        'buxton1998',
        'dolui2024',
        'mutsaerts2017',
        'nasrallah2019',
    ),
)
