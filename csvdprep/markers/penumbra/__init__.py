"""The penumbra of hyperintensities: diffusion by the distance from them."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.room import Column, Derivative, Figure, Measure, Room


@dataclass(frozen=True)
class Options:
    """Which hyperintensities are periventricular."""

    periventricular_mm: float = option(
        10.0,
        'Hyperintensities farther than this from the lateral ventricles are deep.',
        unit='mm',
        least=1,
        most=30,
    )


MAPS = {
    'md': ('mean diffusivity', '1e-3 mm2/s', 1e3),
    'fa': ('fractional anisotropy', '1', 1.0),
    'fw': ('free water', '1', 1.0),
}
WATER = (
    ' With two or more shells, free water is a fitted fraction; with one shell it is a '
    'contrast that assumes the mean diffusivity of tissue (fw_method).'
)
KINDS = {
    '': 'all hyperintensities',
    '_pv': 'periventricular hyperintensities',
    '_deep': 'deep hyperintensities',
}

SCALARS = {
    'slope': 'slope over the medians of 1 mm rings, from 1 to 8 mm',
    'adj_slope': 'slope from 1 to 8 mm, adjusted for the distance from the ventricles and the '
    'FA of the template',
    'delta': 'median of the ring from 1 to 2 mm minus the median from 15 to 20 mm',
    'width': 'distance of the first ring within one standard error of the mean from 15 to 20 '
    'mm; it increases with the number of voxels',
    'decay': 'length over which the difference falls to 1/e; it does not depend on the number '
    'of voxels',
}


def _measures():
    for name, (what, units, _) in MAPS.items():
        per_mm = '1/mm' if units == '1' else f'{units} per mm'
        for kind, around in KINDS.items():
            first = name == 'md' and not kind
            for stem, text in SCALARS.items():
                unit = {'slope': per_mm, 'adj_slope': per_mm, 'delta': units}.get(stem, 'mm')
                column = f'pen_{stem}_{name}{kind}' + ('_mm' if unit == 'mm' else '')
                method, more = ('see-fw_method', WATER) if name == 'fw' else ('rings', '')
                yield Measure(
                    name=column,
                    units=unit,
                    method=method,
                    reference='maillard2011',
                    table=first and stem in ('slope', 'delta'),
                    description=f'{what.capitalize()} around {around}: {text}.{more}',
                    title=f'{what.capitalize()} around {around}, {stem.replace("_", " ")}',
                    primary=column == 'pen_delta_md',
                )


ROOM = Room(
    name='penumbra',
    title='Penumbra of hyperintensities',
    marker=True,
    pooled_t=(1.5, 3.0),
    needs=(
        'dwi_fa',
        'dwi_md',
        'dwi_fw',
        'dwi_mask',
        'dwi_to_anat',
        'gm_probseg',
        'csf_probseg',
        'ventricles',
        'wmh_mask',
        'flair_preproc',
        'flair_to_anat',
        'structures_dseg',
        'tensors_values',
    ),
    wants=('fa_to_dwi',),
    reads=('tensors.fw_method',),
    makes={
        'penumbra_profile': Derivative(
            suffix='profile',
            label='WMH',
            desc='penumbra',
            extension='.tsv',
            frame='dwi',
            description='Mean and free diffusion, anisotropy and FLAIR intensity in rings of 1 mm '
            'around hyperintensities: number of voxels, mean distance, median, mean '
            'and its standard error.',
            columns=(
                Column(
                    name='kind',
                    description='Hyperintensities around which the rings lie.',
                    levels={
                        'all': KINDS[''],
                        'periventricular': KINDS['_pv'],
                        'deep': KINDS['_deep'],
                    },
                ),
                Column(
                    name='map',
                    description='What was measured.',
                    levels={name: what for name, (what, _, _) in MAPS.items()}
                    | {'flair': 'FLAIR intensity over that of white matter far from lesions'},
                ),
                Column(name='units', description='Unit of median, mean and se.'),
                Column(
                    name='ring',
                    description='Least and largest distance from the hyperintensities, in mm: '
                    '0-1 is the first ring.',
                ),
                Column(name='n_voxels', description='Number of voxels of the ring.'),
                Column(
                    name='distance_mm',
                    description='Mean distance of these voxels from the hyperintensities.',
                    units='mm',
                ),
                Column(name='median', description='Median over the voxels of the ring.'),
                Column(name='mean', description='Mean over the voxels of the ring.'),
                Column(name='se', description='Standard error of the mean.'),
            ),
        )
    },
    figures=(
        Figure(
            desc='penumbra',
            suffix='dwi',
            title='Penumbra of the hyperintensities',
            caption='Medians in rings of 1 mm around periventricular and deep '
            'hyperintensities; bars are standard errors. The first ring is affected '
            'by partial volume with the lesion and is excluded from the measures.',
            build='csvdprep.markers.penumbra.figures:draw_profile',
            takes=('penumbra_profile',),
        ),
    ),
    measures=tuple(_measures()),
    version=3,
    resources=('fa_template',),
    build='csvdprep.markers.penumbra.workflow:init_penumbra_wf',
    options=Options,
    methods=(
        'Diffusion was measured in rings of 1 mm around hyperintensities, periventricular '
        'up to {o.periventricular_mm:g} mm from the ventricles, within white matter, '
        'after [@maillard2011].'
    ),
    references=('maillard2011',),
)
