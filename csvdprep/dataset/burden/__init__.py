"""CSVD-Q: burden of small vessel disease with brain volume, as a sum that can be seen through."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.room import Column, Derivative, Figure, Measure, Room


@dataclass(frozen=True)
class Options:
    """Knobs of the burden."""

    controls: str = option(
        'control,controls,hc,healthy,healthy control,cn,normal',
        'What the column group (or diagnosis, dx) of participants.tsv says of controls, separated '
        'by commas.',
    )
    least_n: int = option(40, 'Fewest controls with a value of a term.', least=20)
    weights: str = option(
        'wmh=1,lacunes=1,microbleeds=1,spaces=1,volume=1,psmd=0',
        'Weight of each term; 0 leaves it out.',
    )
    least_terms: int = option(
        3, 'Fewest terms of a visit; with fewer, no index is given.', least=2
    )
    harmonised: bool = option(True, 'Take harmonised measures where there are.')


_WHO = (
    Column(name='participant_id', description='Label of the participant.'),
    Column(name='session_id', description='Label of the session, n/a where there is none.'),
)

ROOM = Room(
    name='burden',
    title='Burden of small vessel disease (CSVD-Q)',
    level='dataset',
    needs=('group_measures', 'group_qc', 'group_covariates', 'group_intervals'),
    wants=('harmonised_table',),
    options=Options,
    resolve='csvdprep.dataset.burden.decide:resolve',
    makes={
        'burden_list': Derivative(
            suffix='burden',
            extension='.tsv',
            lists='Index of each visit',
            rows='visits',
            description='CSVD-Q: the weighted sum of what each term of a visit deviates from the '
            'controls of the dataset at the same age and sex, in standard deviations of that sum '
            'in the controls. The z_ columns are the terms; the part_ columns, which add up to '
            'the index, are what each contributes; the shared_ columns, with the same sum, are '
            'what each contributes if what others tell of it is counted with them. For research; '
            'no diagnosis.',
            columns=(
                *_WHO,
                Column(name='csvdq', description='Index.'),
                Column(name='csvdq_low', description='Lower bound: see csvdq_high.'),
                Column(
                    name='csvdq_high',
                    description='Upper bound of the 95 % interval that is due to the intervals of '
                    'the measures; n/a where none has one.',
                ),
                Column(name='terms', description='Number of terms.'),
                *(
                    Column(name=f'{kind}_{term}', description=f'{what} of {term}.', aside=aside)
                    for kind, what, aside in (
                        ('z', 'Deviate', True),
                        ('part', 'Contribution', False),
                        ('shared', 'Contribution with correlations', True),
                    )
                    for term in ('wmh', 'lacunes', 'microbleeds', 'spaces', 'volume', 'psmd')
                ),
                Column(name='reason', description='Why there is no index, or what to mind.'),
            ),
        ),
        'burden_model': Derivative(
            suffix='model',
            desc='burden',
            extension='.json',
            description='Model card of the index: terms, weights, controls, what is usual.',
        ),
        'burden_unseen': Derivative(
            suffix='unseen',
            desc='burden',
            extension='.tsv',
            lists='Calibration at sites that the index had not',
            rows='rows',
            description='The index of each site by the controls of all other sites. In controls '
            'it is standard normal where it carries over to other sites. Harmonised terms are '
            'from a harmonisation that had all sites.',
            columns=(
                Column(name='values', description='Terms as measured, or harmonised.'),
                Column(
                    name='site',
                    description='The site that is left out; all sites: each by the controls of '
                    'the others.',
                ),
                Column(name='controls', description='Controls of the site with an index.'),
                Column(name='mean', description='Mean of their index; 0 if it carries over.'),
                Column(name='mean_low', description='Lower bound of its 95 % interval.'),
                Column(name='mean_high', description='Upper bound of its 95 % interval.'),
                Column(name='sd', description='Standard deviation; 1 if the index carries over.'),
                Column(
                    name='within_90_pct',
                    description='Percent of controls with an index between -1.64 and 1.64; 90 if '
                    'it carries over.',
                ),
                Column(name='within_90_low', description='Lower bound of its 95 % interval.'),
                Column(name='within_90_high', description='Upper bound of its 95 % interval.'),
                Column(
                    name='visits',
                    description='Visits of the site with an index, of controls and others; n/a '
                    'where that tells of fewer than ten.',
                ),
                Column(
                    name='moved',
                    description='Mean distance of their index from that by the controls of all '
                    'sites.',
                ),
                Column(name='terms', description='Terms that the other sites have.'),
                Column(name='reason', description='Why the site could not be tested.'),
            ),
        ),
    },
    figures=(
        Figure(
            desc='burden',
            suffix='terms',
            title='What the index is made of',
            caption='Contributions of the terms in the visits with the highest index, each a '
            'part of a bar: to the right, more than in controls of the same age and sex.',
            build='csvdprep.dataset.burden.figures:draw_terms',
            takes=('burden_list',),
        ),
    ),
    measures=(
        Measure(
            name='csvdq_n', units='1', method='z-sum', description='Visits with an index (CSVD-Q).'
        ),
        Measure(
            name='csvdq_abstained_n',
            units='1',
            method='z-sum',
            description='Visits without an index, as too few terms, a failed quality check or an '
            'unusual combination of terms forbid it.',
        ),
        Measure(
            name='csvdq_controls_n', units='1', method='z-sum', description='Number of controls.'
        ),
        Measure(
            name='csvdq_unseen_within_90_pct',
            units='%',
            method='z-sum',
            description='Controls with an index between -1.64 and 1.64, each by the controls of '
            'the other sites; 90 if the index carries over.',
        ),
    ),
    version=3,
    build='csvdprep.dataset.burden.workflow:init_burden_wf',
    methods='The burden of small vessel disease (CSVD-Q) is the sum of deviates of its terms from '
    'controls of the same age and sex ({o.weights}), over the standard deviation of that sum in '
    'the controls; intervals are those of the measures, propagated by simulation; contributions '
    'are exact [@strumbelj2014].',
    references=('strumbelj2014',),
)
