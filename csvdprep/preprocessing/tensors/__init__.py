"""Diffusion tensor and free water of the corrected series."""

from dataclasses import dataclass

from csvdprep.core.room import Derivative, Figure, Limits, Measure, Room


@dataclass(frozen=True)
class Options:
    """How the tensor is fitted, and the highest b-value (s/mm²) that takes part.

    ``robust`` leaves out measurements that the others contradict, where residuals demand it.
    """

    fit: str = 'wls'
    b_max: float = 1500.0

    def __post_init__(self):
        if self.fit not in ('wls', 'robust'):
            raise ValueError('tensors.fit must be one of wls, robust')
        if not 500 <= self.b_max <= 10_000:
            raise ValueError('tensors.b_max must lie between 500 and 10000')


def _map(param, description, units='1', model='tensor', **more):
    return Derivative(suffix='dwimap', model=model, param=param, datatype='dwi', source='dwi',
                      description=description, units=units, **more)  # fmt: skip


TABLE = {'ok': 'fits the data', 'flipped': 'an axis is reversed', 'permuted': 'axes are swapped',
         'undecided': 'too few fibres to tell'}  # fmt: skip

ROOM = Room(
    name='tensors',
    title='Diffusion tensor',
    needs=('dwi_preproc', 'dwi_bval', 'dwi_bvec', 'dwi_mask'),
    makes={
        'dwi_tensor': _map('diffusivity', 'Diffusion tensor in world axes (RAS): xx, xy, xz, yy, '
                           'yz, zz.', 'mm2/s'),
        'dwi_fa': _map('fa', 'Fractional anisotropy.'),
        'dwi_md': _map('md', 'Mean diffusivity.', 'mm2/s'),
        'dwi_ad': _map('ad', 'Axial diffusivity.', 'mm2/s'),
        'dwi_rd': _map('rd', 'Radial diffusivity.', 'mm2/s'),
        'dwi_mode': _map('mode', 'Mode of the tensor: -1 planar, 1 linear.'),
        'dwi_direction': _map('direction', 'Main direction of diffusion, world axes (RAS).'),
        'dwi_fw': _map('fw', 'Volume fraction of free water: two compartments from two shells or '
                       'more, else regularised from one; no number where neither can be '
                       'had.', model='fwdti'),
    },
    figures=(
        Figure(desc='fa', suffix='dwi', title='Fibre directions',
               caption='Red runs left to right, green front to back, blue up and down; '
                       'brightness is FA. The corpus callosum has to be red and the pyramidal '
                       'tract blue.',
               build='csvdprep.preprocessing.tensors.figures:draw_directions',
               takes=('dwi_fa', 'dwi_direction', 'dwi_mask')),
        Figure(desc='md', suffix='dwi', title='Mean diffusivity and free water',
               caption='Mean diffusivity (0 to 2e-3 mm²/s) and, under the pointer, the fraction '
                       'of free water (0 to 1).',
               build='csvdprep.preprocessing.tensors.figures:draw_diffusivity',
               takes=('dwi_md', 'dwi_fw', 'dwi_mask')),
    ),
    measures=(
        Measure(name='dwi_tensor_b', units='s/mm2', method='shell-choice', table=False,
                description='Highest b-value that the tensor was fitted on.',
                limits=Limits(ok=(600, 1600), warn=(400, 3100))),
        Measure(name='fw_method', units='', method='shell-choice', table=False,
                levels={'multi-shell': 'two compartments, two shells or more',
                        'single-shell': 'regularised, one shell', 'none': 'not fitted'},
                description='How free water was fitted. Do not mix kinds within a study.'),
        Measure(name='qc_dwi_table', units='', method='fibre-coherence', levels=TABLE,
                reference='schilling2019',
                description='Whether the gradient table fits the data: with axes reversed or '
                            'swapped fibres would not run into each other as well.'),
        Measure(name='qc_dwi_residual_pct', units='%', method='wls', table=False,
                description='Residual of the tensor fit: median over the brain of the root mean '
                            'square difference, over the signal without gradient.',
                limits=Limits(ok=(None, 8))),
    ),
    build='csvdprep.preprocessing.tensors.workflow:init_tensors_wf',
    options=Options,
    methods=(
        'Tensors [@basser1994] were fitted to shells of up to {o.b_max:g} s/mm² by weighted least '
        'squares [@chung2006] (setting: {o.fit}); free water by two compartments [@hoy2014] '
        'where there were two shells, else with the regularisation of the MarkVCID kit '
        '[@maillard2022].'
    ),
    references=('basser1994', 'chung2006', 'hoy2014', 'maillard2022', 'schilling2019'),
)  # fmt: skip
