"""Change of brain volume between visits."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.room import Column, Derivative, Figure, Limits, Measure, Room


@dataclass(frozen=True)
class Options:
    """Window, and repeatability."""

    low: float = option(
        0.25,
        'Intensity from which a voxel is partly brain, as share of the way from fluid to grey '
        'matter.',
        least=0,
        most=0.45,
    )
    high: float = option(
        0.75, 'Intensity from which a voxel is wholly brain, likewise.', least=0.55, most=1
    )
    retest_sd_pct: float = option(
        0.0,
        'SD of the change between repeated scans of one person without atrophy, if it was '
        'measured with your protocol; it counts whatever the voxels. 0: that of SIENA on '
        'short-term repeated scans (0.28 %) for voxels up to 1.6 mm, and unknown for others.',
        unit='%',
        least=0,
    )


_LEVELS = {
    'none': 'the change is within what scans without change may show',
    'loss': 'the loss is beyond it',
    'gain': 'the gain is beyond it',
}


def _measure(name, units, what, method='boundary-shift', **more):
    return Measure(
        name=name,
        units=units,
        method=method,
        description=f'{what}: first to last visit with T1w.',
        **more,
    )


ROOM = Room(
    name='brain_change',
    title='Change of brain volume',
    level='participant',
    needs=('measures', 'halfway_t1w', 'halfway_t1w_poses', 'halfway_t1w_error'),
    wants=(
        'each_brain_mask',
        'each_wm_probseg',
        'each_gm_probseg',
        'each_csf_probseg',
        'each_ventricles',
    ),
    makes={
        'brain_change_shift': Derivative(
            suffix='shiftmap',
            desc='brainchange',
            frame='halfway_t1w',
            space='halfwayT1w',
            units='1',
            description='Share of the voxel that became brain (above 0) or fluid (below 0) from '
            'the first to the last visit with T1w, along the borders between both: boundary '
            'shift. Its sum times the volume of a voxel is brain_change_ml.',
        ),
        'brain_change_jacobian': Derivative(
            suffix='jacobianmap',
            desc='brainchange',
            frame='halfway_t1w',
            space='halfwayT1w',
            units='1',
            description='Natural logarithm of the ratio of volumes, last over first visit with '
            'T1w, from the deformation between them; seen from half-way.',
        ),
        'brain_change_list': Derivative(
            suffix='changes',
            label='brain',
            extension='.tsv',
            frame='participant',
            datatype='anat',
            lists='Change of brain volume',
            description='Change of the volumes of the brain and the lateral ventricles between '
            'consecutive visits, and between the first and the last.',
            columns=(
                Column(name='from_session', description='Earlier visit.'),
                Column(name='to_session', description='Later visit.'),
                Column(name='years', units='year', description='Time between the visits.'),
                Column(
                    name='brain_pct',
                    units='%',
                    description='Change of the brain, % of its mean volume at both visits.',
                ),
                Column(name='brain_low_pct', units='%', description='Lower 95 % bound.'),
                Column(name='brain_high_pct', units='%', description='Upper 95 % bound.'),
                Column(
                    name='brain_pct_per_year', units='%/year', description='Change over the years.'
                ),
                Column(name='brain_ml', units='mL', description='Change of the brain.'),
                Column(name='mdc_pct', units='%', description='Minimal detectable change (95 %).'),
                Column(
                    name='jacobian_pct',
                    units='%',
                    description='Change of the brain by the deformation, as a check.',
                ),
                Column(
                    name='ventricles_ml',
                    units='mL',
                    description='Change of the lateral ventricles.',
                ),
                Column(
                    name='ventricles_pct',
                    units='%',
                    description='The same, % of their mean volume at both visits.',
                ),
                Column(
                    name='ventricles_ml_per_year',
                    units='mL/year',
                    description='Change of the lateral ventricles over the years.',
                ),
                Column(
                    name='ventricles_jacobian_ml',
                    units='mL',
                    description='Change of the lateral ventricles by the deformation.',
                ),
                Column(
                    name='scale_pct',
                    units='%',
                    description='By how much the skull is longer at the later visit.',
                ),
            ),
        ),
    },
    figures=(
        Figure(
            desc='brainchange',
            suffix='T1w',
            title='Change of brain volume',
            caption='Where the border between brain and fluid moved from the first to the last '
            'visit. The mouse pointer switches to the first visit without marks. Loss belongs '
            'along sulci and ventricles; marks along the skull or in stripes are errors.',
            build='csvdprep.longitudinal.brain_change.figures:draw_brain_change',
            takes=('halfway_t1w', 'brain_change_shift'),
        ),
    ),
    measures=(
        _measure(
            'brain_change_pct',
            '%',
            'Change of brain volume by the shift of its borders, % of the mean of both visits',
            primary=True,
            interval=True,
            limits=Limits(ok=(-10, 1), warn=(-25, 2)),
        ),
        _measure(
            'brain_change_pct_per_year',
            '%/year',
            'Change of brain volume per year, by the shift of its borders',
            interval=True,
            limits=Limits(ok=(-4, 1), warn=(-8, 2.5)),
        ),
        _measure('brain_change_ml', 'mL', 'Change of brain volume', table=False),
        _measure(
            'brain_change_se_pct',
            '%',
            'Standard error of the change, from levels and noise of these scans',
            table=False,
        ),
        _measure(
            'brain_change_mdc_pct',
            '%',
            'Minimal detectable change of brain volume (95 %), from these scans or from '
            'repeated scans, whichever is larger',
        ),
        _measure(
            'brain_change_beyond_mdc',
            '',
            'Whether the change of brain volume is beyond the minimal detectable change',
            levels=_LEVELS,
        ),
        _measure(
            'brain_change_jacobian_pct',
            '%',
            'Change of brain volume by the deformation between the visits, as a check',
            method='log-demons',
            table=False,
        ),
        _measure(
            'ventricle_change_ml',
            'mL',
            'Change of the lateral ventricles by the shift of their walls',
            primary=True,
        ),
        _measure(
            'ventricle_change_pct',
            '%',
            'Change of the lateral ventricles, % of the mean of both visits',
        ),
        _measure(
            'ventricle_change_ml_per_year',
            'mL/year',
            'Change of the lateral ventricles divided by the years',
            limits=Limits(ok=(-2, 10), warn=(-6, 20)),
        ),
        _measure(
            'ventricle_change_jacobian_ml',
            'mL',
            'Change of the lateral ventricles by the deformation, as a check',
            method='log-demons',
            table=False,
        ),
        _measure(
            'qc_brain_change_gap_pct',
            '%',
            'Difference of the two changes of brain volume, by the borders minus by the '
            'deformation',
            limits=Limits(ok=(-0.5, 0.5), warn=(-1.5, 1.5)),
        ),
        _measure(
            'qc_brain_change_scale_pct',
            '%',
            'By how much the skull is longer at the last visit. It does not grow: the scanner '
            'changed, and volumes are off by three times this',
            method='skull-scale',
            limits=Limits(ok=(-0.3, 0.3), warn=(-1, 1)),
        ),
        _measure(
            'qc_brain_change_coverage_pct',
            '%',
            'Share of the brain that the images of both visits show, off their edges; changes are '
            'of this part',
            method='coverage',
            limits=Limits(ok=(97, 100), warn=(85, 100)),
        ),
        _measure(
            'qc_brain_change_contrast',
            '1',
            'Contrast of white to grey matter, last over first visit',
            method='levels',
            limits=Limits(ok=(0.95, 1.05), warn=(0.8, 1.25)),
            table=False,
        ),
    ),
    options=Options,
    version=4,
    resolve='csvdprep.longitudinal.brain_change.decide:resolve',
    build='csvdprep.longitudinal.brain_change.workflow:init_brain_change_wf',
    methods='Change of brain volume was measured in the space half-way between the visits by '
    'the boundary shift integral [@freeborough1997] with levels and a window that follow the '
    'tissues [@leung2010] ({o.low:g} to {o.high:g} of the way from fluid to grey matter), after '
    'the smooth ratio of the images was divided between both [@lewis2004]. Clipping was made '
    'equal for unequal noise. As a check, the visits were deformed onto each other (symmetric '
    'log-domain demons [@vercauteren2008]) and the Jacobian was summed over brain and '
    'ventricles. All steps treat the visits alike, so that reversing time reverses each sign. '
    'The minimal detectable change is 1.96 times the standard error of these scans, or of '
    'repeated scans (measured: {o.retest_sd_pct:g} %; where that is 0, the 0.28 % of SIENA '
    '[@opfer2018] for voxels up to 1.6 mm, and no limit for others), whichever is larger. The '
    'scale of the scanner was checked on the skull, not '
    'corrected.',
    references=('freeborough1997', 'leung2010', 'lewis2004', 'vercauteren2008', 'opfer2018'),
)
