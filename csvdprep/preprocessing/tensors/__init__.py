"""Diffusion tensor and free water of the corrected series."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.room import Derivative, Figure, Limits, Measure, Room


@dataclass(frozen=True)
class Options:
    """How the tensor is fitted, and on which shells."""

    fit: str = option(
        'wls',
        'Tensor fit: weighted least squares (wls), or robust, which excludes outlying '
        'measurements if the residuals are large.',
        choices=('wls', 'robust'),
    )
    shells: str = option(
        'nearest',
        'Shells for the tensor: the one nearest b_wanted, or all up to b_max.',
        choices=('nearest', 'all'),
    )
    b_wanted: float = option(
        1000.0, 'Preferred b-value, for shells = nearest.', unit='s/mm2', least=500, most=10000
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
            f'the one shell nearest {self.b_wanted:g} s/mm² (among shells from 650 to 1500 '
            's/mm², if there is one)'
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
    'undecided': 'too few fibres to decide',
}

WATER = {
    'two-compartment': 'a compartment of tissue and one of water were fitted to two or more '
    'shells',
    'single-shell-assumed-md': 'one shell does not determine the fraction: tissue is assumed to '
    'have a fixed mean diffusivity, so the value is little more than a rescaled mean diffusivity',
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
        'dwi_fa': _map('fa', 'Fractional anisotropy.', resampled='linear'),
        'dwi_md': _map('md', 'Mean diffusivity.', 'mm2/s', resampled='linear'),
        'dwi_ad': _map('ad', 'Axial diffusivity.', 'mm2/s'),
        'dwi_rd': _map('rd', 'Radial diffusivity.', 'mm2/s'),
        'dwi_mode': _map('mode', 'Mode of the tensor: -1 planar, 1 linear.'),
        'dwi_direction': _map('direction', 'Main direction of diffusion, world axes (RAS).'),
        'dwi_fw': _map(
            'fw',
            'Free water. With two or more shells: signal fraction of a second, fitted '
            'compartment. With one shell: a contrast that assumes the mean diffusivity of '
            'tissue, not a measured fraction. The measure fw_method states which. NaN if '
            'neither can be computed.',
            model='fwdti',
            resampled='linear',
        ),
    },
    figures=(
        Figure(
            desc='fa',
            suffix='dwi',
            title='Fibre directions',
            caption='Red: left-right, green: front-back, blue: up-down; brightness is FA. The '
            'corpus callosum must be red and the pyramidal tract blue.',
            build='csvdprep.preprocessing.tensors.figures:draw_directions',
            takes=('dwi_fa', 'dwi_direction', 'dwi_mask'),
        ),
        Figure(
            desc='md',
            suffix='dwi',
            title='Mean diffusivity and free water',
            caption='Mean diffusivity (0 to 2e-3 mm²/s) and, under the mouse pointer, free '
            'water (0 to 1).',
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
            description='b-value of the shell that the tensor was fitted to; the highest if '
            'there are several. Do not pool tensor values from different b-values.',
            limits=Limits(ok=(650, 1500), warn=(400, 3100)),
        ),
        Measure(
            name='dwi_tensor_shells',
            units='',
            method='shell-choice',
            table=False,
            description='b-values of all shells that the tensor was fitted to, s/mm²; the '
            'reason lists shells that were not used.',
        ),
        Measure(
            name='fw_method',
            units='',
            method='shell-choice',
            table=False,
            levels=WATER,
            reference='pasternak2009',
            description='How free water was computed. Do not pool values of different kinds '
            'within a study.',
        ),
        Measure(
            name='qc_dwi_table',
            units='',
            method='fibre-coherence',
            levels=TABLE,
            reference='schilling2019',
            description='Whether the gradient table fits the data: fibres must be more '
            'continuous than with reversed or swapped axes.',
        ),
        Measure(
            name='qc_dwi_residual_pct',
            units='%',
            method='wls',
            table=False,
            description='Residual of the tensor fit: median over the brain of the root mean '
            'square difference, divided by the signal at b = 0.',
            limits=Limits(ok=(None, 8)),
        ),
    ),
    version=2,
    build='csvdprep.preprocessing.tensors.workflow:init_tensors_wf',
    options=Options,
    resolve='csvdprep.preprocessing.tensors.resolve:resolve',
    methods=(
        'Tensors [@basser1994] were fitted to the b = 0 volumes and {o.which} by weighted '
        'least squares [@chung2006] (setting: {o.fit}); dwi_tensor_shells lists the '
        'shells of each visit. With two or more shells, free water was fitted as a second '
        'compartment to all shells up to 3000 s/mm² [@hoy2014]. With one shell the '
        'problem is ill-posed [@pasternak2009]; it was solved by assuming a mean '
        'diffusivity of tissue of 0.6e-3 mm²/s, as in the MarkVCID kit [@maillard2022], '
        'which gives a contrast, not a measured fraction (fw_method states which).'
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
