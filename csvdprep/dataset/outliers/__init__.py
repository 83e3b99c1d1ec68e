"""Values of the group tables that lie far from the others."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.room import Column, Derivative, Measure, Room


@dataclass(frozen=True)
class Options:
    """Knobs of outliers."""

    by: str = option(
        'auto',
        'With what a value is compared: visits of the same site or scanner, or all; auto takes '
        'the site where one is known, else the scanner, else all.',
        choices=('auto', 'site', 'scanner', 'all'),
    )
    far: float = option(
        4.0, 'Robust z beyond which a value is listed.', unit='robust SD', least=2, most=20
    )
    fewest: int = option(
        10, 'Fewest values that tell what is usual; a smaller group is compared with all.', least=5
    )


ROOM = Room(
    name='outliers',
    title='Values far from the others',
    level='dataset',
    needs=('group_measures', 'group_covariates', 'group_dictionary'),
    options=Options,
    resolve='csvdprep.dataset.outliers.decide:resolve',
    makes={
        'outliers_list': Derivative(
            suffix='outliers',
            extension='.tsv',
            lists='Values far from the others',
            description='Results of visits that lie far from those of the others, the farthest '
            'first, in robust standard deviations (from median and MAD) of the visits of the '
            'same group, or of all where these are few. Skewed measures are judged by their '
            'logarithm. Look at the report before you decide: an outlier may be a patient.',
            columns=(
                Column(name='participant_id', description='Label of the participant.'),
                Column(
                    name='session_id', description='Label of the session, n/a where there is none.'
                ),
                Column(name='measure', description='Name of the measure.'),
                Column(name='value', description='Its value.'),
                Column(name='units', description='Unit of the value.'),
                Column(name='robust_z', description='0.6745 (x - median) / MAD.'),
                Column(name='group', description='Site or scanner of the visit.'),
            ),
        )
    },
    measures=(
        Measure(
            name='outliers_n',
            units='1',
            method='robust-z',
            description='Number of values that lie far from the others.',
            reference='leys2013',
        ),
    ),
    build='csvdprep.dataset.outliers.workflow:init_outliers_wf',
    methods='Values of more than {o.far:g} robust standard deviations (from median and MAD) '
    '[@leys2013] were listed.',
    references=('leys2013',),
)
