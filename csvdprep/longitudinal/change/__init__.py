"""Differences of each measure between the visits of a participant."""

from csvdprep.core.declared import Frame
from csvdprep.core.room import Column, Derivative, Measure, Room

_APART = (
    'of two visits that were measured each by itself; noise of both is in it, and other scanners '
    'or protocols look like change'
)


def _difference(name, units, what):
    return Measure(
        name=name,
        units=units,
        method='difference',
        description=f'{what}: last less first visit, over the years between. A difference '
        f'{_APART}.',
    )


ROOM = Room(
    name='change',
    title='Differences between visits',
    level='participant',
    needs=('measures',),
    frames=(
        Frame(
            name='participant',
            description='No grid: all visits of a participant.',
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
            description=f'Differences of measures between visits: consecutive ones, and the last '
            f'and the first where there are more than two. A difference {_APART}.',
            columns=(
                Column(name='from_session', description='Earlier visit.'),
                Column(name='to_session', description='Later visit.'),
                Column(
                    name='years',
                    units='year',
                    description='Time between the two; n/a where no table tells it.',
                ),
                Column(name='measure', description='Name of the measure.'),
                Column(name='units', description='Unit of the values.'),
                Column(name='from_value', description='Value of the earlier visit.'),
                Column(name='to_value', description='Value of the later visit.'),
                Column(name='difference', description='Later less earlier value.'),
                Column(
                    name='low',
                    description='Lower bound of the difference, from the 95 % intervals of the '
                    'two values; n/a where a measure has none.',
                ),
                Column(name='high', description='Upper bound of the difference.'),
                Column(name='per_year', description='Difference over years.'),
                Column(
                    name='qc',
                    description='Worst flag of the two values; warn where their methods differ, '
                    'or where no change is possible by the bounds.',
                    levels={
                        'ok': 'within the plausible range',
                        'warn': 'look before use',
                        'fail': 'do not use without correction',
                        'na': 'not available; the reason is given',
                    },
                ),
                Column(name='reason', description='Why there is no difference, or what to mind.'),
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
        _difference('wmh_change_ml_per_year', 'mL/year', 'White matter hyperintensities'),
        _difference('lv_change_ml_per_year', 'mL/year', 'Lateral ventricles'),
        _difference('bpf_change_per_year', '1/year', 'Brain parenchymal fraction'),
        _difference('psmd_change_1e4_per_year', '1e-4 mm2/s/year', 'PSMD'),
    ),
    build='csvdprep.longitudinal.change.workflow:init_change_wf',
    methods='Measures of the visits of a participant were subtracted from each other, and divided '
    'by the years between, as the tables of the dataset tell them.',
)
