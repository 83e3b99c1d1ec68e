"""Diffusion in tissue that became hyperintense, before and after."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.room import Column, Derivative, Figure, Measure, Room


@dataclass(frozen=True)
class Options:
    """Where the penumbra is."""

    penumbra_mm: float = option(
        5.0,
        'White matter up to this distance from the hyperintensities of the first visit, and from '
        '1 mm on, is their penumbra; beyond it is normal-appearing.',
        unit='mm',
        least=2,
        most=20,
    )
    least_voxels: int = option(
        20, 'Fewest voxels of a diffusion series from which a mean is given.', least=3
    )


MAPS = {
    'fa': ('fractional anisotropy', '1', 1.0),
    'md': ('mean diffusivity', '1e-3 mm2/s', 1e3),
    'fw': ('free water', '1', 1.0),
}
#: Labels of the map of classes.
STABLE, GROWN_NEAR, GROWN_FAR, NEW_NEAR, NEW_FAR, REGRESSED, PENUMBRA, NORMAL = range(1, 9)
#: Classes: what they are, and their labels.
CLASSES = {
    'stable_wmh': ('hyperintense at the first and at the last visit', (STABLE,)),
    'growing_wmh': (
        'growth: normal-appearing at the first visit, beside a lesion, hyperintense at the last',
        (GROWN_NEAR, GROWN_FAR),
    ),
    'new_wmh': (
        'new: normal-appearing at the first visit, apart from lesions, hyperintense at the last',
        (NEW_NEAR, NEW_FAR),
    ),
    'future_wmh': (
        'all that is normal-appearing at the first visit and hyperintense at the last',
        (GROWN_NEAR, GROWN_FAR, NEW_NEAR, NEW_FAR),
    ),
    'future_penumbra': (
        'the part of the penumbra of the first visit that is hyperintense at the last',
        (GROWN_NEAR, NEW_NEAR),
    ),
    'stable_penumbra': (
        'the part of the penumbra of the first visit that is normal-appearing at the last',
        (PENUMBRA,),
    ),
    'regressed_wmh': (
        'hyperintense at the first visit and normal-appearing at the last',
        (REGRESSED,),
    ),
    'nawm': ('white matter beyond the penumbra at both visits', (NORMAL,)),
}
WATER = (
    ' With two or more shells, free water is a fitted fraction; with one shell it is a '
    'contrast that assumes the mean diffusivity of tissue (fw_method).'
)
_COLOURS = (
    ('stable', 'ST', '#56b4e9'),
    ('growth in the penumbra', 'GP', '#e69f00'),
    ('growth elsewhere', 'GE', '#f0c060'),
    ('new lesion in the penumbra', 'NP', '#d55e00'),
    ('new lesion elsewhere', 'NE', '#ff9060'),
    ('regressed', 'RE', '#009e73'),
    ('penumbra that stayed normal-appearing', 'PE', '#cc79a7'),
    ('normal-appearing white matter', 'NA', '#999999'),
)


def _measures():
    for name, (what, units, _) in MAPS.items():
        more = WATER if name == 'fw' else ''
        for kind, (where, _) in CLASSES.items():
            yield Measure(
                name=f'{name}_change_{kind}',
                units=units,
                method='class-means',
                table=name == 'md' and kind in ('future_wmh', 'nawm'),
                description=f'{what.capitalize()} of the last minus that of the first visit with '
                f'FLAIR, mean of tissue: {where}.{more}',
            )
        yield Measure(
            name=f'{name}_before_future_wmh',
            units=units,
            method='class-means',
            table=name != 'fw',
            description=f'{what.capitalize()} of the first visit in tissue that is '
            f'normal-appearing then and hyperintense at the last visit.{more}',
        )
        yield Measure(
            name=f'{name}_excess_future_penumbra',
            units=units,
            method='class-means',
            table=name == 'md',
            description=f'{what.capitalize()} of the first visit in the part of the penumbra that '
            f'is hyperintense at the last visit, minus that of the part that is not.{more}',
        )


ROOM = Room(
    name='diffusion_change',
    title='Diffusion before and after hyperintensity',
    level='participant',
    needs=('measures', 'protocols', 'halfway_flair_poses', 'wmh_change_dseg'),
    wants=(
        'each_wmh_mask',
        'each_flair_to_anat',
        'each_wm_probseg',
        'each_csf_probseg',
        'each_structures_dseg',
        'each_dwi_fa',
        'each_dwi_md',
        'each_dwi_fw',
        'each_dwi_mask',
        'each_dwi_to_anat',
    ),
    makes={
        'diffusion_change_dseg': Derivative(
            suffix='dseg',
            desc='diffusionchange',
            frame='halfway_flair',
            space='halfwayFLAIR',
            description='Classes of white matter by what it was at the first and at the last '
            'visit with FLAIR, in which diffusion is compared.',
            table=tuple(
                {'index': number, 'name': name, 'abbreviation': short, 'color': colour}
                for number, (name, short, colour) in enumerate(_COLOURS, 1)
            ),
        ),
        'diffusion_change_list': Derivative(
            suffix='diffusion',
            desc='change',
            extension='.tsv',
            frame='participant',
            datatype='dwi',
            lists='Diffusion by what became of the tissue',
            rows='means',
            description='Diffusion of all visits, in classes of tissue by what it was at the '
            'first and at the last visit with FLAIR.',
            columns=(
                Column(name='session', description='Visit.'),
                Column(
                    name='years',
                    units='year',
                    description='Time since the first visit with FLAIR.',
                ),
                Column(
                    name='tissue',
                    description='Class of tissue.',
                    levels={name: what for name, (what, _) in CLASSES.items()},
                ),
                Column(
                    name='map',
                    description='What was measured.',
                    levels={name: what for name, (what, _, _) in MAPS.items()},
                ),
                Column(name='units', description='Unit of the values.'),
                Column(name='n_voxels', description='Number of voxels of the series.'),
                Column(name='mean', description='Mean; n/a of too few voxels.'),
                Column(name='sd', description='Standard deviation over the voxels.'),
                Column(
                    name='difference',
                    description='Mean minus that of the first visit with FLAIR, if it has '
                    'diffusion.',
                ),
                Column(
                    name='per_year',
                    description='Difference divided by the years since that visit.',
                ),
            ),
        ),
    },
    figures=(
        Figure(
            desc='diffusionchange',
            suffix='dwi',
            title='Diffusion by what became of the tissue',
            caption='Means of the visits in tissue that was or became hyperintense, in the '
            'penumbra of the first visit that did not, and in normal-appearing white matter.',
            build='csvdprep.longitudinal.diffusion_change.figures:draw_course',
            takes=('diffusion_change_list',),
        ),
    ),
    measures=tuple(_measures()),
    options=Options,
    resolve='csvdprep.longitudinal.diffusion_change.decide:resolve',
    build='csvdprep.longitudinal.diffusion_change.workflow:init_diffusion_change_wf',
    methods='Diffusion of the visits was averaged in tissue that is hyperintense at the first and '
    'at the last visit, that became hyperintense, that ceased to be, in white matter 1 to '
    '{o.penumbra_mm:g} mm from the hyperintensities of the first visit that stayed '
    'normal-appearing, and in white matter beyond, on the grid of each diffusion series (voxels '
    'of which half or more belong to the class, with at most 5 % fluid or deep grey matter at '
    'either end).',
)
