"""Diffusion tensor and free water of the corrected series."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.room import Derivative, Figure, Limits, Measure, Room


@dataclass(frozen=True)
class Options:
    """How the tensor is fitted, and on which shells."""

    fit: str = option(
        'wls',
        'Weighted least squares; robust leaves out measurements that the '
        'others contradict, where residuals demand it.',
        choices=('wls', 'robust'),
    )
    shells: str = option(
        'nearest',
        'The one shell nearest b_wanted, or all up to b_max.',
        choices=('nearest', 'all'),
    )
    b_wanted: float = option(
        1000.0, 'b-value wanted, for shells = nearest.', unit='s/mm2', least=500, most=10000
    )
    b_max: float = option(
        1500.0, 'Highest b-value, for shells = all.', unit='s/mm2', least=500, most=10000
    )

    @property
    def which(self) -> str:
        """The shells in words."""
        if self.shells == 'all':
            return f'the shells of up to {self.b_max:g} s/mm²'
        return (
            f'the one shell nearest {self.b_wanted:g} s/mm² (of those from 650 to 1500 s/mm², '
            'where there is one)'
        )


def _map(param, description, units='1', model='tensor', **more):
    return Derivative(
        suffix='dwimap',
        model=model,
        param=param,
        frame='dwi',
        description=description,
        units=units,
        **more,
    )


TABLE = {
    'ok': 'fits the data',
    'flipped': 'an axis is reversed',
    'permuted': 'axes are swapped',
    'undecided': 'too few fibres to tell',
}

WATER = {
    'two-compartment': 'tissue and water fitted to two shells or more',
    'single-shell-assumed-md': 'one shell does not determine it: the water that leaves tissue '
    'with an assumed mean diffusivity, hence little more than another '
    'scale of mean diffusivity',
    'none': 'not fitted',
}

ROOM = Room(
    name='tensors',
    title='Diffusion tensor',
    needs=('dwi_preproc', 'dwi_bval', 'dwi_bvec', 'dwi_mask'),
    makes={
        'dwi_tensor': _map(
            'diffusivity', 'Diffusion tensor in world axes (RAS): xx, xy, xz, yy, yz, zz.', 'mm2/s'
        ),
        'dwi_fa': _map('fa', 'Fractional anisotropy.'),
        'dwi_md': _map('md', 'Mean diffusivity.', 'mm2/s'),
        'dwi_ad': _map('ad', 'Axial diffusivity.', 'mm2/s'),
        'dwi_rd': _map('rd', 'Radial diffusivity.', 'mm2/s'),
        'dwi_mode': _map('mode', 'Mode of the tensor: -1 planar, 1 linear.'),
        'dwi_direction': _map('direction', 'Main direction of diffusion, world axes (RAS).'),
        'dwi_fw': _map(
            'fw',
            'Free water: fraction of signal fitted as a second compartment where '
            'there are two shells or more; of one shell a contrast that assumes the '
            'mean diffusivity of tissue, no measured fraction (fw_method tells); no '
            'number where neither can be had.',
            model='fwdti',
        ),
    },
    figures=(
        Figure(
            desc='fa',
            suffix='dwi',
            title='Fibre directions',
            caption='Red runs left to right, green front to back, blue up and down; '
            'brightness is FA. The corpus callosum has to be red and the pyramidal '
            'tract blue.',
            build='csvdprep.preprocessing.tensors.figures:draw_directions',
            takes=('dwi_fa', 'dwi_direction', 'dwi_mask'),
        ),
        Figure(
            desc='md',
            suffix='dwi',
            title='Mean diffusivity and free water',
            caption='Mean diffusivity (0 to 2e-3 mm²/s) and, under the pointer, the fraction '
            'of free water (0 to 1).',
            build='csvdprep.preprocessing.tensors.figures:draw_diffusivity',
            takes=('dwi_md', 'dwi_fw', 'dwi_mask'),
        ),
    ),
    measures=(
        Measure(
            name='dwi_tensor_b',
            units='s/mm2',
            method='shell-choice',
            table=False,
            description='b-value of the shell that the tensor was fitted on, the highest of '
            'several. Values of tensors from other b-values are not to be mixed.',
            limits=Limits(ok=(650, 1500), warn=(400, 3100)),
        ),
        Measure(
            name='dwi_tensor_shells',
            units='',
            method='shell-choice',
            table=False,
            description='b-values of all shells that the tensor was fitted on, s/mm²; the '
            'remark names those that were left out.',
        ),
        Measure(
            name='fw_method',
            units='',
            method='shell-choice',
            table=False,
            levels=WATER,
            reference='pasternak2009',
            description='How free water was had. Do not mix kinds within a study.',
        ),
        Measure(
            name='qc_dwi_table',
            units='',
            method='fibre-coherence',
            levels=TABLE,
            reference='schilling2019',
            description='Whether the gradient table fits the data: with axes reversed or '
            'swapped fibres would not run into each other as well.',
        ),
        Measure(
            name='qc_dwi_residual_pct',
            units='%',
            method='wls',
            table=False,
            description='Residual of the tensor fit: median over the brain of the root mean '
            'square difference, over the signal without gradient.',
            limits=Limits(ok=(None, 8)),
        ),
    ),
    version=2,
    build='csvdprep.preprocessing.tensors.workflow:init_tensors_wf',
    options=Options,
    resolve='csvdprep.preprocessing.tensors.resolve:resolve',
    methods=(
        'Tensors [@basser1994] were fitted to the volumes without gradient and {o.which} by '
        'weighted least squares [@chung2006] (setting: {o.fit}); dwi_tensor_shells lists the '
        'shells of each visit. Where there were two shells or more, free water was fitted as a '
        'second compartment to all of them up to 3000 s/mm² [@hoy2014]. One shell leaves that '
        'problem ill-posed [@pasternak2009]; there it was solved by the assumption that tissue '
        'has a mean diffusivity of 0.6e-3 mm²/s, as in the MarkVCID kit [@maillard2022], which '
        'gives a contrast and no measured fraction (fw_method tells which).'
    ),
    references=(
        'basser1994',
        'chung2006',
        'hoy2014',
        'pasternak2009',
        'maillard2022',
        'schilling2019',
    ),
)
