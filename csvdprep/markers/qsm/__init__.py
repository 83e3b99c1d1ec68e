"""Quantitative susceptibility mapping, and iron of deep grey matter."""

from dataclasses import dataclass

from csvdprep.core.declared import External
from csvdprep.core.options import option
from csvdprep.core.room import Derivative, Figure, Limits, Measure, Room


@dataclass(frozen=True)
class Options:
    """How the field is inverted."""

    method: str = option(
        'tv',
        'Inversion: total variation (ADMM), or division by the thresholded kernel (TKD), which is '
        'faster, and too low by more.',
        choices=('tv', 'tkd'),
    )
    strength: float = option(
        0.12,
        'Weight of the total variation, in units of the noise of the field (ppm).',
        least=0.001,
        most=10,
    )
    rounds: int = option(40, 'Iterations of the inversion by total variation.', least=5, most=500)


NUCLEI = {
    'caudate': ('caudate nucleus', (5, 6)),
    'putamen': ('putamen', (7, 8)),
    'pallidum': ('pallidum', (9, 10)),
    'thalamus': ('thalamus', (3, 4)),
}
#: Nuclei that no atlas at hand has: they are measured where a segmentation is given. What they are
#: called, and how look-up tables call them.
GIVEN = {
    'nigra': ('substantia nigra', r'nigra|(?<![a-z])sn[cr]?(?![a-z])'),
    'ruber': ('red nucleus', r'red[ _-]?nucleus|ruber|(?<![a-z])rn(?![a-z])'),
    'dentate': ('dentate nucleus', r'dentate(?![ _-]?gyrus)|(?<![a-z])dn(?![a-z])'),
}
#: How look-up tables call the sides.
_SIDES = {'left': r'left|(^|[ _.-])(l|lh)([ _.-]|$)', 'right': r'right|(^|[ _.-])(r|rh)([ _.-]|$)'}


def _external(name: str) -> External:
    words, called = GIVEN[name]
    return External(
        name=f'{name}_external',
        title=f'segmentation of the {words}',
        description=f'Segmentation (dseg) whose table names the {words}, left and right.',
        grids=('gre', 't1w', 'flair'),
        words='$^',
        lesion=False,
        classes={side: f'^(?=.*({called}))(?=.*({told}))' for side, told in _SIDES.items()},
    )


def _given_measures():
    for name, (words, _) in GIVEN.items():
        for side in ('left', 'right'):
            yield Measure(
                name=f'qsm_{name}_{side}_ppm',
                units='ppm',
                method='median',
                description=f'Susceptibility of the {side} {words}, median, relative to the mean '
                'of the brain; only where a segmentation of it is given (--derivatives).',
                limits=Limits(ok=(-0.06, 0.4)),
                table=False,
            )
            yield Measure(
                name=f'r2star_{name}_{side}_per_s',
                units='1/s',
                method='median',
                description=f'R2* of the {side} {words}, median; only where a segmentation of it '
                'is given.',
                table=False,
            )


def _measures():
    for name, (words, _) in NUCLEI.items():
        for side in ('left', 'right'):
            yield Measure(
                name=f'qsm_{name}_{side}_ppm',
                units='ppm',
                method='median',
                description=f'Susceptibility of the {side} {words}, median, relative to the mean '
                'of the brain. The place is that of the template, warped.',
                limits=Limits(ok=(-0.06, 0.3)),
                primary=name == 'putamen',
                reference='langkammer2012' if name != 'thalamus' else '',
            )
            yield Measure(
                name=f'r2star_{name}_{side}_per_s',
                units='1/s',
                method='median',
                description=f'R2* of the {side} {words}, median.',
                table=False,
            )


ROOM = Room(
    name='qsm',
    title='Susceptibility',
    marker=True,
    needs=(
        'gre_local',
        'gre_local_sd',
        'gre_mag',
        'gre_mask',
        'gre_to_anat',
        'gre_r2star',
        'structures_dseg',
        'wm_probseg',
        'ventricles',
        'gre_field_values',
    ),
    reads=(
        'gre_field.gre_phase_unit',
        'gre_field.gre_phase_sign',
        'gre_field.qc_phase_misfit_rad',
    ),
    wants=('wmh_mask', 'flair_to_anat', *(f'{name}_external' for name in GIVEN)),
    externals=tuple(map(_external, GIVEN)),
    makes={
        'gre_chi': Derivative(
            suffix='Chimap',
            frame='gre',
            units='ppm',
            metadata={'SkullStripped': True},
            description='Susceptibility relative to the mean of the brain in which the local '
            'field is known; 0 outside.',
            resampled='linear',
        )
    },
    figures=(
        Figure(
            desc='qsm',
            suffix='T2starw',
            title='Susceptibility',
            caption='Susceptibility, -0.15 to 0.2 ppm: pallidum and veins have to be bright, '
            'white matter dark. Under the pointer: the magnitude.',
            build='csvdprep.markers.qsm.figures:draw_susceptibility',
            takes=('gre_chi', 'gre_mag', 'gre_mask'),
        ),
    ),
    measures=(
        *_measures(),
        *_given_measures(),
        Measure(
            name='qsm_white_ppm',
            units='ppm',
            method='median',
            description='Susceptibility of white matter without hyperintensities, median.',
            table=False,
        ),
        Measure(
            name='qsm_ventricles_ppm',
            units='ppm',
            method='median',
            description='Susceptibility of the fluid of the lateral ventricles, median; take it '
            'off to have values relative to fluid.',
            table=False,
        ),
        Measure(
            name='qc_qsm_white_sd_ppm',
            units='ppm',
            method='mad',
            description='Spread (1.48 times the median absolute deviation) of susceptibility in '
            'white matter: noise, streaks and shades.',
            limits=Limits(ok=(None, 0.03), warn=(None, 0.05)),
        ),
    ),
    options=Options,
    build='csvdprep.markers.qsm.workflow:init_qsm_wf',
    methods='Susceptibility was computed from the local field by {o.method} [@bilgic2014; '
    '@shmueli2009]; the weight of the total variation follows the noise of the field. Values '
    'are relative to the mean of the brain.',
    references=('bilgic2014', 'shmueli2009', 'langkammer2012'),
    pooled_t=(1.5, 7),
    version=3,
)
