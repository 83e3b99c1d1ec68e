"""Arteries of an angiogram: length, radius, tortuosity, circle of Willis, perforators."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.room import Column, Derivative, Figure, Limits, Measure, Room


@dataclass(frozen=True)
class Options:
    """What counts as an artery, and where perforators are given out."""

    strength: float = option(
        0.12,
        'Response of the filter for tubes, in units of still tissue, from which an artery begins; '
        'twice as much where it is wide.',
        least=0.02,
        most=2,
    )
    surprise: float = option(
        6.0,
        'The same in standard deviations of what noise and tissue give at its scale.',
        least=3,
        most=30,
    )
    least_mm: float = option(
        10.0,
        'Length of all branches that hang together from which they are arteries.',
        unit='mm',
        least=3,
        most=100,
    )
    spur_mm: float = option(
        2.0,
        'Branches up to this length beyond the wall of the artery that they leave are left out.',
        unit='mm',
        least=0.5,
        most=10,
    )
    lsa_coarsest_mm: float = option(
        0.35,
        'Voxel edge within slices up to which lenticulostriate arteries are counted.',
        unit='mm',
        least=0.1,
        most=1,
    )


SIDES = ('left', 'right')
TERRITORIES = {
    'aca': 'anterior cerebral artery',
    'mca': 'middle cerebral artery',
    'pca': 'posterior cerebral artery',
}
#: Regions by the label of the territories of the template.
REGIONS = {
    **{
        f'{side} {name.upper()}': f'territory of the {side} {words}'
        for name, words in TERRITORIES.items()
        for side in SIDES
    },
    'infratentorial': 'brainstem and cerebellum',
}
WILLIS = {
    'ica': 'internal carotid artery (cavernous part and above)',
    'm1': 'middle cerebral artery, first segment',
    'a1': 'anterior cerebral artery, first segment',
    'p1': 'posterior cerebral artery, first segment',
}
COMMUNICATING = {
    'pcom_left': 'left posterior communicating artery',
    'pcom_right': 'right posterior communicating artery',
    'acom': 'anterior communicating artery',
}
SEEN = {
    'seen': 'a vessel of at least the length that counts runs within its bounds',
    'not seen': 'the angiogram covers the bounds, and no vessel of that length runs there: it may '
    'be missing, or too thin or too slow to be seen',
}
_THIN = 'n/a where it is narrower than two voxels.'


def _measures():
    yield Measure(
        name='artery_length_mm',
        units='mm',
        method='multiscale-tubes',
        description='Length of the middle lines of all arteries that the angiogram shows within '
        'the brain and at the base of the skull. It depends on field strength, voxels and the '
        'extent of the slab: compare within one protocol.',
        limits=Limits(ok=(50, 50_000)),
    )
    yield Measure(
        name='artery_density_m_per_l',
        units='m/L',
        method='multiscale-tubes',
        description='Length of the arteries over the volume of the brain that the angiogram '
        'covers.',
        limits=Limits(ok=(0.5, 40)),
    )
    yield Measure(
        name='artery_branches_n',
        units='1',
        method='multiscale-tubes',
        description='Number of branches: pieces of artery between forks and ends.',
    )
    yield Measure(
        name='artery_ends_n',
        units='1',
        method='multiscale-tubes',
        description='Number of ends, those at the border of the image included.',
        table=False,
    )
    yield Measure(
        name='artery_volume_ml',
        units='mL',
        method='multiscale-tubes',
        description='Volume of the lumen of all arteries.',
        table=False,
    )
    yield Measure(
        name='artery_radius_mm',
        units='mm',
        method='half-maximum',
        description='Mean radius of the arteries that are at least two voxels wide, weighted by '
        'length.',
        limits=Limits(ok=(0.3, 2.0)),
    )
    yield Measure(
        name='artery_tortuosity',
        units='1',
        method='distance-factor',
        description='Mean distance factor (length over distance of the ends) of branches of 10 mm '
        'and more, weighted by length.',
        reference='bullitt2003',
        limits=Limits(ok=(1.0, 1.8)),
    )
    for name, words in TERRITORIES.items():
        for side in SIDES:
            for what, unit, text in (
                ('branches_n', '1', 'Number of branches'),
                ('length_mm', 'mm', 'Length of the arteries'),
            ):
                yield Measure(
                    name=f'artery_{name}_{side}_{what}',
                    units=unit,
                    method='multiscale-tubes',
                    description=f'{text} in the territory of the {side} {words}, the circle of '
                    'Willis included where it lies there, as far as the angiogram covers it.',
                    table=False,
                )
    for name, words in WILLIS.items():
        for side in SIDES:
            yield Measure(
                name=f'cow_{name}_{side}_radius_mm',
                units='mm',
                method='half-maximum',
                description=f'Radius of the {side} {words}, median; n/a where it is not seen, or '
                'narrower than two voxels.',
                table=False,
            )
    yield Measure(
        name='cow_basilar_radius_mm',
        units='mm',
        method='half-maximum',
        description='Radius of the basilar artery, median; n/a where it is not seen, or narrower '
        'than two voxels.',
        table=False,
    )
    for name, words in COMMUNICATING.items():
        yield Measure(
            name=f'cow_{name}',
            units='',
            method='bounds-of-template',
            description=f'Whether the {words} is seen.',
            levels=SEEN,
            table=False,
        )
    for suffix, where in (('', 'both sides'), *((f'_{s}', f'{s} side') for s in SIDES)):
        table = not suffix
        for name, unit, words in (
            ('n_stems', '1', 'Number of lenticulostriate arteries that leave an M1'),
            ('n_branches', '1', 'Number of ends of lenticulostriate arteries'),
            (
                'len_mean',
                'mm',
                (
                    'Mean length of the stems of lenticulostriate arteries, from the middle of M1 '
                    'to their farthest end'
                ),
            ),
            (
                'len_max',
                'mm',
                (
                    'Length of the longest way from the middle of M1 to an end of a '
                    'lenticulostriate artery'
                ),
            ),
            (
                'tortuosity',
                '1',
                (
                    'Mean distance factor of the stems of lenticulostriate arteries: length over '
                    'distance of the ends'
                ),
            ),
        ):
            end = '_mm' if unit == 'mm' else ''
            yield Measure(
                name=f'lsa_{name}{suffix}{end}',
                units=unit,
                method='multiscale-tubes',
                description=f'{words} ({where}).',
                reference='wei2022',
                limits=Limits(ok=(1, 12)) if name == 'n_stems' and suffix else None,
                table=table,
            )
    yield Measure(
        name='qc_artery_contrast',
        units='1',
        method='half-maximum',
        description='Intensity in the middle of arteries of 1 mm radius and more, in units of '
        'still tissue, median.',
        limits=Limits(ok=(1.8, None), warn=(1.4, None)),
    )
    yield Measure(
        name='qc_artery_veins_pct',
        units='%',
        method='bounds-of-template',
        description='Share of the length of what was found that lies where the venous sinuses '
        'run (superior sagittal, straight and transverse sinus): it is left out, and tells how '
        'well veins were saturated.',
        limits=Limits(ok=(None, 5), warn=(None, 20)),
    )
    yield Measure(
        name='qc_artery_side_ratio',
        units='1',
        method='multiscale-tubes',
        description='Length of the arteries of the side that has less over that of the other, '
        'within the supratentorial territories.',
        limits=Limits(ok=(0.6, None), warn=(0.3, None)),
    )


ROOM = Room(
    name='arteries',
    title='Arteries',
    marker=True,
    needs=('tof', 'tof_preproc', 'tof_mask'),
    wants=('tof_to_anat', 'mni_to_anat', 'brain_mask', 'territories_dseg'),
    makes={
        'artery_mask': Derivative(
            suffix='mask',
            label='artery',
            frame='tof',
            metadata={'Type': 'ROI'},
            description='Lumen of the arteries.',
            resampled='nearest',
        ),
        'artery_list': Derivative(
            suffix='vessels',
            label='artery',
            extension='.tsv',
            frame='tof',
            description='Arteries: pieces between forks and ends, the longest first.',
            lists='Arteries',
            rows='pieces of artery',
            columns=(
                Column(name='index', description='Number of the piece, 1 for the longest.'),
                Column(
                    name='segment',
                    description='Segment of the circle of Willis that most of it belongs to, LSA '
                    'for lenticulostriate arteries; n/a for others, or without a reference.',
                ),
                Column(name='region', description='Where most of it lies.', levels=REGIONS),
                Column(name='length_mm', units='mm', description='Length of its middle line.'),
                Column(name='radius_mm', units='mm', description=f'Median radius; {_THIN}'),
                Column(
                    name='distance_factor',
                    units='1',
                    description='Tortuosity: length over the distance of the ends; n/a for rings.',
                ),
                Column(
                    name='contrast',
                    units='1',
                    description='Median intensity in its middle, in units of still tissue.',
                ),
                Column(name='tree', description='Number of the connected tree it belongs to.'),
                Column(name='start', description='Node that it begins at.', aside=True),
                Column(name='end', description='Node that it ends at.', aside=True),
                *(
                    Column(
                        name=axis,
                        units='mm',
                        aside=True,
                        description=f'Middle of the piece, {axis} in scanner coordinates (RAS+).',
                    )
                    for axis in 'xyz'
                ),
                *(
                    Column(
                        name=f'{axis}_mni',
                        units='mm',
                        aside=True,
                        description=f'Middle of the piece, {axis} in the template '
                        '(MNI152NLin2009aSym, RAS+); n/a without a reference.',
                    )
                    for axis in 'xyz'
                ),
            ),
        ),
        'artery_lines': Derivative(
            suffix='vessels',
            label='artery',
            desc='centreline',
            extension='.tsv',
            frame='tof',
            description='Middle lines of the arteries, point by point, about half a voxel apart.',
            columns=(
                Column(name='index', description='Piece that the point belongs to.'),
                *(
                    Column(
                        name=axis, units='mm', description=f'{axis} in scanner coordinates (RAS+).'
                    )
                    for axis in 'xyz'
                ),
                Column(
                    name='radius_mm',
                    units='mm',
                    description='Radius, also where it is under a voxel and uncertain; n/a where '
                    'no wall was found.',
                ),
                Column(
                    name='contrast', units='1', description='Intensity, in units of still tissue.'
                ),
            ),
        ),
    },
    figures=(
        Figure(
            desc='arteries',
            suffix='angio',
            title='Arteries',
            caption='Projections (MIP) of the angiogram from three sides; under the pointer, the '
            'arteries that were found: circle of Willis orange, lenticulostriate arteries pink, '
            'others blue. What is bright in the projection and not coloured is skull, fat, a vein '
            'or an artery that was missed.',
            build='csvdprep.markers.arteries.figures:draw_arteries',
            takes=('tof_preproc', 'tof_mask', 'artery_mask', 'artery_list', 'artery_lines'),
        ),
    ),
    measures=tuple(_measures()),
    options=Options,
    build='csvdprep.markers.arteries.workflow:init_arteries_wf',
    methods='Arteries were sought in the angiogram as bright tubes at six widths, by the '
    'eigenvalues of the Hessian [@sato1998; @frangi1998], from {o.strength:g} times the intensity '
    'of still tissue and {o.surprise:g} standard deviations of noise (half of both where they go '
    'on). The lumen ends half way between the intensity in the middle and around; it was thinned '
    'to middle lines [@lee1994], which were drawn to the middle of their cross-sections. '
    'Tortuosity is the distance factor [@bullitt2003]. Trees under {o.least_mm:g} mm are left '
    'out. Segments of the circle of Willis and lenticulostriate arteries [@wei2022] were told by '
    'their place in the template, direction and origin.',
    references=('sato1998', 'frangi1998', 'lee1994', 'bullitt2003', 'wei2022'),
    version=4,
)
