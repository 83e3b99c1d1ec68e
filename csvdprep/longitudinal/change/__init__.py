"""Differences of each measure between the visits of a participant."""

from csvdprep.core.declared import Frame
from csvdprep.core.room import Column, Derivative, Limits, Measure, Room

_APART = (
    'between two visits that were measured independently includes the noise of both, and '
    'a change of scanner or protocol looks like a change of the measure'
)


def _difference(name, units, what, ok, warn):
    return Measure(
        name=name,
        units=units,
        method='difference',
        description=f'{what}: last minus first visit, divided by the years between. A '
        f'difference {_APART}.',
        limits=Limits(ok=ok, warn=warn),
    )


ROOM = Room(
    name='change',
    title='Differences between visits',
    level='participant',
    needs=('measures',),
    frames=(
        Frame(
            name='participant',
            description='All visits of a participant; there is no grid.',
            datatype='',
            source='',
        ),
    ),
    makes={
        'change_list': Derivative(
            suffix='measures',
            desc='change',
            extension='.tsv',
            frame='participant',
            lists='Differences of measures between visits',
            description='Differences of measures between consecutive visits, and between the '
            'first and the last visit if there are more than two. A difference '
            f'{_APART}.',
            columns=(
                Column(name='from_session', description='Earlier visit.'),
                Column(name='to_session', description='Later visit.'),
                Column(
                    name='years',
                    units='year',
                    description='Time between the two visits; n/a if no table gives it.',
                ),
                Column(name='measure', description='Name of the measure.'),
                Column(name='units', description='Unit of the values.'),
                Column(name='from_value', description='Value of the earlier visit.'),
                Column(name='to_value', description='Value of the later visit.'),
                Column(name='difference', description='Later minus earlier value.'),
                Column(
                    name='low',
                    description='Lower bound of the difference, from the 95 % intervals of '
                    'the two values; n/a if the measure has no interval.',
                ),
                Column(name='high', description='Upper bound of the difference.'),
                Column(
                    name='per_year',
                    description='Difference divided by the years between the visits.',
                ),
                Column(
                    name='qc',
                    description='Worst flag of the two values; also warn if their methods '
                    'differ or if the bounds include no change.',
                    levels={
                        'ok': 'within the plausible range',
                        'warn': 'check before use',
                        'fail': 'do not use without correction',
                        'na': 'not available; the column reason says why',
                    },
                ),
                Column(
                    name='reason',
                    description='Why there is no difference, or what to consider when using it.',
                ),
            ),
        )
    },
    measures=(
        Measure(
            name='visits_n',
            units='1',
            method='count',
            description='Number of visits that were compared.',
        ),
        Measure(
            name='follow_up_years',
            units='year',
            method='tables',
            description='Time from the first to the last visit.',
        ),
        _difference(
            'wmh_change_ml_per_year',
            'mL/year',
            'White matter hyperintensities',
            (-5, 15),
            (-15, 40),
        ),
        _difference('lv_change_ml_per_year', 'mL/year', 'Lateral ventricles', (-2, 10), (-6, 20)),
        _difference(
            'bpf_change_per_year',
            '1/year',
            'Brain parenchymal fraction',
            (-0.02, 0.01),
            (-0.04, 0.02),
        ),
        _difference('psmd_change_1e4_per_year', '1e-4 mm2/s/year', 'PSMD', (-0.5, 1), (-1.5, 3)),
        Measure(
            name='qc_icv_change_pct',
            units='%',
            method='difference',
            description='Last minus first intracranial volume, % of the mean of both. In adults '
            'it does not change: this is an error of the masks, of the coverage or of the '
            'scale of the scanner.',
            limits=Limits(ok=(-2, 2), warn=(-5, 5)),
        ),
    ),
    build='csvdprep.longitudinal.change.workflow:init_change_wf',
    methods='Differences of measures between the visits of a participant were computed, and '
    'divided by the years between the visits according to the tables of the dataset.',
    version=2,
)
