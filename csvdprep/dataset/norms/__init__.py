"""Curves of controls over age, and where visits lie between them."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.room import Column, Derivative, Figure, Measure, Room


@dataclass(frozen=True)
class Options:
    """Knobs of norms."""

    controls: str = option(
        'control,controls,hc,healthy,healthy control,cn,normal',
        'What the column group (or diagnosis, dx) of participants.tsv says of controls, separated '
        'by commas.',
    )
    least_n: int = option(40, 'Fewest controls with a value of a measure.', least=20)
    harmonised: bool = option(
        True, 'Take harmonised measures where there are; else all as measured.'
    )


ROOM = Room(
    name='norms',
    title='Norms of the controls',
    level='dataset',
    needs=('group_measures', 'group_covariates', 'group_dictionary'),
    wants=('harmonised_table',),
    options=Options,
    resolve='csvdprep.dataset.norms.decide:resolve',
    makes={
        'norm_curves': Derivative(
            suffix='norms',
            extension='.tsv',
            lists='Curves of the controls',
            rows='curves',
            description='Percentiles of the controls of this dataset by age and sex.',
            columns=(
                Column(name='measure', description='Name of the measure.'),
                Column(name='units', description='Unit of the percentiles.'),
                Column(name='sex', description='F or M.'),
                Column(name='age', description='Age, years.'),
                Column(name='p5', description='Value below which 5 % lie.'),
                Column(name='p25', description='25 %.'),
                Column(name='p50', description='50 %.'),
                Column(name='p75', description='75 %.'),
                Column(name='p95', description='95 %.'),
                Column(name='n', description='Controls.'),
                Column(name='power', description='Power of the measure that is normal; 0: log.'),
                Column(name='zeros_pct', description='Percent of controls with 0.'),
                Column(
                    name='within_90_pct',
                    description='Percent of the controls between p5 and p95: 90, if the form '
                    'of the curves is right.',
                ),
            ),
        ),
        'norm_model': Derivative(
            suffix='model',
            desc='norms',
            extension='.json',
            description='The norms, with provenance, to be applied to other visits: '
            'csvdprep norms.',
        ),
        'percentiles': Derivative(
            suffix='percentiles',
            extension='.tsv',
            percentiles=True,
            description='Percent of controls of the same age and sex with lower values: the '
            'visits of group_measures.tsv, a column a measure. n/a where there is no value, where '
            'age or sex is not known, or the age is beyond that of the controls.',
            columns=(
                Column(name='participant_id', description='Label of the participant.'),
                Column(
                    name='session_id', description='Label of the session, n/a where there is none.'
                ),
            ),
        ),
        'norm_scores': Derivative(
            suffix='zscores',
            extension='.tsv',
            description='Normal deviates from the controls of the same age and sex; as '
            'group_percentiles.tsv.',
            columns=(
                Column(name='participant_id', description='Label of the participant.'),
                Column(
                    name='session_id', description='Label of the session, n/a where there is none.'
                ),
            ),
        ),
        'norm_unseen': Derivative(
            suffix='unseen',
            desc='norms',
            extension='.tsv',
            lists='Calibration at sites that the norms had not',
            rows='rows',
            description='Deviates of the controls of each site from norms of the controls of all '
            'other sites, of the primary measures: standard normal where norms carry over to '
            'other sites. Harmonised values are from a harmonisation that had all sites.',
            columns=(
                Column(name='measure', description='Name of the measure.'),
                Column(name='values', description='As measured, or harmonised.'),
                Column(
                    name='site',
                    description='The site that is left out; all sites: each by the norms of the '
                    'others.',
                ),
                Column(name='controls', description='Controls of the site with a deviate.'),
                Column(name='mean', description='Mean of their deviates; 0 if norms carry over.'),
                Column(name='mean_low', description='Lower bound of its 95 % interval.'),
                Column(name='mean_high', description='Upper bound of its 95 % interval.'),
                Column(name='sd', description='Standard deviation; 1 if norms carry over.'),
                Column(
                    name='within_90_pct',
                    description='Percent between the curves of 5 and 95 %; 90 if norms carry '
                    'over.',
                ),
                Column(name='within_90_low', description='Lower bound of its 95 % interval.'),
                Column(name='within_90_high', description='Upper bound of its 95 % interval.'),
                Column(name='reason', description='Why the site could not be tested.'),
            ),
        ),
    },
    figures=(
        Figure(
            desc='norms',
            suffix='curves',
            title='Curves of the controls',
            caption='Percentiles 5, 25, 50, 75 and 95 of the controls over age, of women (solid) '
            'and men (dashed).',
            build='csvdprep.dataset.norms.figures:draw_curves',
            takes=('norm_curves',),
        ),
    ),
    measures=(
        Measure(
            name='norms_controls_n', units='1', method='lms', description='Number of controls.'
        ),
        Measure(
            name='norms_n', units='1', method='lms', description='Number of measures with norms.'
        ),
        Measure(
            name='norms_within_90_pct',
            units='%',
            method='lms',
            description='Share of the controls between the curves of 5 and 95 %, median of the '
            'measures.',
        ),
        Measure(
            name='norms_unseen_within_90_pct',
            units='%',
            method='lms',
            description='The same at sites that the norms had not: each site read by the norms of '
            'all others, median of the primary measures.',
        ),
    ),
    version=3,
    build='csvdprep.dataset.norms.workflow:init_norms_wf',
    methods='Percentiles are those of the controls of the dataset ({o.controls}): location and '
    'scale over age and sex, on the power of the measure that is normal [@cole1992; '
    '@rigby2005].',
    references=('cole1992', 'rigby2005'),
)
