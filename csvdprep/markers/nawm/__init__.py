"""Diffusion in white matter: normal-appearing, hyperintense, by zone."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.room import Limits, Measure, Room


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


MAPS = {
    'fa': ('fractional anisotropy', '1', 1.0),
    'md': ('mean diffusivity', '1e-3 mm2/s', 1e3),
    'ad': ('axial diffusivity', '1e-3 mm2/s', 1e3),
    'rd': ('radial diffusivity', '1e-3 mm2/s', 1e3),
    'fw': ('free water', '1', 1.0),
}
REGIONS = {
    'wm': 'pure cerebral white matter, including hyperintensities',
    'nawm': 'pure cerebral white matter more than 2 mm from hyperintensities',
    'wmh': 'hyperintensities (voxels at least half hyperintense), without fluid',
    'wmh_jv': 'juxtaventricular hyperintensities, without fluid',
    'wmh_pv': 'periventricular hyperintensities, without fluid',
    'wmh_dw': 'deep hyperintensities, without fluid',
    'wmh_jc': 'juxtacortical hyperintensities, without fluid',
}
TITLES = {
    'wm': 'white matter',
    'nawm': 'normal-appearing white matter',
    'wmh': 'WMH',
    'wmh_jv': 'juxtaventricular WMH',
    'wmh_pv': 'periventricular WMH',
    'wmh_dw': 'deep WMH',
    'wmh_jc': 'juxtacortical WMH',
}
WATER = (
    ' With two or more shells it is a fitted fraction; with one shell it is a contrast '
    'that assumes the mean diffusivity of tissue (fw_method).'
)
#: Zones in the label image of the room of zones.
ZONES = {'wmh_jv': 1, 'wmh_pv': 2, 'wmh_dw': 3, 'wmh_jc': 4}
LIMITS = {
    'fa_nawm': Limits(ok=(0.28, 0.55), warn=(0.2, 0.65)),
    'md_nawm': Limits(ok=(0.6, 0.95), warn=(0.5, 1.2)),
    'fw_wm': Limits(ok=(0.02, 0.4), warn=(0.0, 0.6)),
}


def _measures():
    for region, where in REGIONS.items():
        for name, (what, units, _) in MAPS.items():
            column = f'{name}_{region}'
            first = (region in ('nawm', 'wmh') and name in ('fa', 'md')) or column == 'fw_wm'
            method, more = ('see-fw_method', WATER) if name == 'fw' else ('mean', '')
            yield Measure(
                name=column,
                units=units,
                method=method,
                table=first,
                description=f'{what.capitalize()}: mean in {where}.{more}',
                title=f'{what.capitalize()}, {TITLES[region]}',
                primary=column in ('fa_nawm', 'md_nawm', 'fw_wm'),
                limits=LIMITS.get(column),
            )
    yield Measure(
        name='wmh_fluid_pct',
        units='%',
        method='anatomy',
        table=False,
        description='Share of the hyperintense voxels of the diffusion series that are '
        'excluded from the means, because they contain more than 5 % fluid '
        '(ventricles, sulci, cavities) or deep grey matter.',
    )
    yield Measure(
        name='md_nawm_peak',
        units='1e-3 mm2/s',
        method='histogram',
        table=False,
        description='Mean diffusivity at the peak of its histogram in normal-appearing '
        'white matter.',
    )
    yield Measure(
        name='md_nawm_peak_height',
        units='1',
        method='histogram',
        table=False,
        description='Share of normal-appearing white matter in the bin (1e-5 mm²/s) at '
        'the peak of the histogram of mean diffusivity.',
    )


ROOM = Room(
    name='nawm',
    title='Diffusion in white matter',
    marker=True,
    order=40,
    pooled_t=(1.5, 3.0),
    needs=(
        'dwi_fa',
        'dwi_md',
        'dwi_ad',
        'dwi_rd',
        'dwi_fw',
        'dwi_mask',
        'dwi_to_anat',
        'wm_probseg',
        'csf_probseg',
        'structures_dseg',
        'tensors_values',
    ),
    wants=('wmh_mask', 'zones_dseg', 'flair_to_anat'),
    reads=('tensors.fw_method',),
    makes={},
    measures=tuple(_measures()),
    version=2,
    build='csvdprep.markers.nawm.workflow:init_nawm_wf',
    options=Options,
    methods=(
        'Tensor measures were averaged in cerebral white matter (voxels with at least 90 '
        '% white matter and at most 5 % fluid), in normal-appearing white matter (the '
        'same, more than {o.margin_mm:g} mm from hyperintensities) and in '
        'hyperintensities (voxels at least half hyperintense, with at most 5 % fluid and '
        '5 % deep grey matter). Voxels at the edge of lesions are affected by partial '
        'volume, and small lesions may be smaller than a voxel.'
    ),
)
