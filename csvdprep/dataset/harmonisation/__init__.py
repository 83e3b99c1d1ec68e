"""Measures of several sites on one scale: ComBat."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.room import Column, Derivative, Figure, Measure, Room


@dataclass(frozen=True)
class Options:
    """Knobs of harmonisation."""

    method: str = option(
        'auto',
        'ComBat, ComBat of components too (CovBat), or none; auto is ComBat.',
        choices=('auto', 'combat', 'covbat', 'none'),
    )
    by: str = option(
        'auto',
        'What is brought together; auto takes sites, and scanners where there are no two sites.',
        choices=('auto', 'site', 'scanner'),
    )
    reference: str = option(
        '', 'Site (or scanner) that stays as it is; without, all move to their common mean.'
    )
    covariates: str = option(
        'age,sex',
        'What is kept, separated by commas: age, sex, or a measure such as icv_ml; or none.',
    )
    age_curve: bool = option(
        False, 'Keep the effect of age as a curve (restricted cubic spline), not as a line.'
    )
    longitudinal: str = option(
        'auto',
        'Random intercept of participants; auto where five or more have several visits.',
        choices=('auto', 'yes', 'no'),
    )
    eb: bool = option(True, 'Empirical Bayes: learn from all measures what a site does to each.')
    parametric: bool = option(
        True,
        'Empirical Bayes with normal and inverse gamma priors; without, the effects on the other '
        'measures themselves are the prior.',
    )
    tolerance: float = option(
        1e-4,
        'Relative change at which empirical Bayes ends: 1e-4 in the reference programs in R and '
        'Python, 1e-3 in that in MATLAB.',
        least=1e-12,
        most=0.1,
    )
    mean_only: bool = option(False, 'Bring means together, and leave variances.')
    counts: bool = option(
        True, 'Estimate what sites do to counts and grades, in models of their kind.'
    )
    log: bool = option(True, 'Take skewed measures without negative values by their logarithm.')
    least_n: int = option(
        20, 'Fewest participants of a site; smaller sites are not harmonised.', least=3
    )
    overlap: float = option(
        0.5,
        'Least overlap of the ages at a site with those of the others, where age is kept; 0 takes '
        'in all sites.',
        least=0,
        most=1,
    )
    covbat_variance: float = option(
        0.95, 'Share of the variance in components that CovBat harmonises.', least=0.1, most=1
    )


ROOM = Room(
    name='harmonisation',
    title='Harmonisation of sites',
    level='dataset',
    needs=('group_measures', 'group_covariates', 'group_dictionary'),
    options=Options,
    resolve='csvdprep.dataset.harmonisation.decide:resolve',
    makes={
        'harmonised_table': Derivative(
            suffix='harmonised',
            extension='.tsv',
            description='Measures after effects of sites were taken away; the visits of '
            'group_measures.tsv, and those of its measures that could be harmonised (the other '
            'columns: see group_dictionary.json). n/a where a visit has no value, or could not be '
            'harmonised. group_harmonisation.tsv says what was done to each, and what was not '
            'harmonised and why.',
            columns=(
                Column(name='participant_id', description='Label of the participant.'),
                Column(
                    name='session_id', description='Label of the session, n/a where there is none.'
                ),
                Column(name='site', description='Site or scanner whose effect was taken away.'),
            ),
        ),
        'harmonisation_list': Derivative(
            suffix='harmonisation',
            extension='.tsv',
            lists='Effects of sites',
            description='For each measure and site, what was taken away, and how far the site is '
            'from the others before and after, at the same covariates. Measures that were not '
            'harmonised have one row, with the reason.',
            columns=(
                Column(name='measure', description='Name of the measure.'),
                Column(name='site', description='Site or scanner; n/a of all.'),
                Column(name='n', description='Visits with a value that the fit had.'),
                Column(
                    name='transform',
                    description='Scale on which the fit was made: as measured, or the logarithm '
                    'of the value and what is added to it.',
                ),
                Column(
                    name='location',
                    description='What was subtracted, in standard deviations that remain when '
                    'covariates are taken away.',
                ),
                Column(
                    name='scale',
                    description='Factor by which the spread was divided (square root of delta).',
                ),
                Column(
                    name='d_before',
                    description='Difference of means, site less others, in pooled standard '
                    'deviations (Cohen).',
                ),
                Column(name='d_after', description='The same after harmonisation.'),
                Column(
                    name='variance_ratio_before', description='Variance of the site over others.'
                ),
                Column(name='variance_ratio_after', description='The same afterwards.'),
                Column(
                    name='ks_before',
                    description='Largest distance of the cumulative distributions '
                    '(Kolmogorov-Smirnov).',
                ),
                Column(name='ks_after', description='The same afterwards.'),
                Column(name='reason', description='Why it was not harmonised.'),
            ),
        ),
        'site_counts': Derivative(
            suffix='counts',
            extension='.tsv',
            lists='Counts and grades: effects of sites',
            description='Counts (negative-binomial) and grades (proportional odds) of '
            'participants, first visit each, with sites as random intercepts. They are not '
            'changed: take the site into the model where they are compared.',
            columns=(
                Column(name='measure', description='Name of the measure.'),
                Column(name='model', description='Negative binomial, or ordinal.'),
                Column(name='term', description='A site, or a covariate.'),
                Column(name='n', description='Participants.'),
                Column(
                    name='ratio',
                    description='Rate ratio of a count, odds ratio of a higher grade: of the '
                    'site against the mean of sites; of a covariate by unit (age: 10 years).',
                ),
                Column(name='ratio_low', description='Lower bound of its 95 % interval.'),
                Column(name='ratio_high', description='Upper bound of its 95 % interval.'),
                Column(
                    name='sites_sd',
                    description='Standard deviation between sites, of the logarithm of the ratio.',
                ),
                Column(
                    name='p_sites',
                    description='Probability of as much between sites if sites had no effect.',
                ),
                Column(name='reason', description='Why there is no estimate.'),
            ),
        ),
        'harmonisation_model': Derivative(
            desc='harmonisation',
            suffix='model',
            extension='.json',
            description='The fitted model, to be applied to other visits of these sites.',
        ),
    },
    figures=(
        Figure(
            desc='harmonisation',
            suffix='sites',
            title='Before and after',
            caption='Main measures by site, as measured (grey) and harmonised (blue). Sites '
            'should come together; where their participants differ (age, disease), they need '
            'not become the same.',
            build='csvdprep.dataset.harmonisation.figures:draw_sites',
            takes=('group_measures', 'harmonised_table', 'group_dictionary'),
        ),
        Figure(
            desc='harmonisedeffects',
            suffix='sites',
            title='How far sites are apart',
            caption='Each circle is a site against the others, at the same covariates: difference '
            'of means, ratio of variances, distance of the distributions, as measured (grey) and '
            'harmonised (blue).',
            build='csvdprep.dataset.harmonisation.figures:draw_effects',
            takes=('harmonisation_list',),
        ),
        Figure(
            desc='harmonisedcomponents',
            suffix='sites',
            title='Principal components by site',
            caption='Visits (dots) and means of sites (circles) in the first two principal '
            'components of the ranks of the measures. Sites that lie apart before, and not after, '
            'differed as scanners do; differences in age and disease remain.',
            build='csvdprep.dataset.harmonisation.figures:draw_components',
            takes=('group_measures', 'harmonised_table'),
        ),
        Figure(
            desc='harmonisedages',
            suffix='sites',
            title='Curves over age by site',
            caption='Main measures over age (parabola of each site, between the quantiles 10 and '
            '90 % of its ages). Curves should come together, and keep their slope.',
            build='csvdprep.dataset.harmonisation.figures:draw_ages',
            takes=('group_measures', 'harmonised_table', 'group_covariates', 'group_dictionary'),
        ),
    ),
    measures=(
        Measure(
            name='harmonised_n',
            units='1',
            method='combat',
            description='Number of measures that were harmonised.',
        ),
        Measure(
            name='harmonised_sites_n',
            units='1',
            method='combat',
            description='Number of sites (or scanners) that were brought together.',
        ),
        Measure(
            name='harmonised_visits_n',
            units='1',
            method='combat',
            description='Number of visits that were harmonised.',
        ),
        Measure(
            name='harmonised_d_before',
            units='1',
            method='cohen-d',
            description='Largest difference (Cohen d) of a site from the others, median of the '
            'harmonised measures, before.',
        ),
        Measure(
            name='harmonised_d_after',
            units='1',
            method='cohen-d',
            description='Largest difference (Cohen d) of a site from the others, median of the '
            'harmonised measures, afterwards.',
        ),
    ),
    build='csvdprep.dataset.harmonisation.workflow:init_harmonisation_wf',
    version=2,
    methods='Measures were harmonised by ComBat [@johnson2007; @fortin2018] ({o.method}) across '
    '{o.by}s, keeping {o.covariates}; random intercepts of participants [@beer2020]: '
    '{o.longitudinal}; age as a curve [@pomponio2020]: {o.age_curve}; components [@chen2022]: '
    'where the method is covbat. Counts and grades were not harmonised; what sites do to them was '
    'estimated by negative-binomial and proportional odds models with random intercepts of sites '
    '[@breslow1993].',
    references=(
        'beer2020',
        'breslow1993',
        'chen2022',
        'fortin2018',
        'johnson2007',
        'pomponio2020',
    ),
)
