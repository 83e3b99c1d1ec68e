"""Whom the processing fails, by site, scanner, sex and age; persons whom sites share."""

from dataclasses import dataclass

from csvdprep.core.options import option
from csvdprep.core.room import Column, Derivative, Measure, Room


@dataclass(frozen=True)
class Options:
    """Knobs of the audit."""

    least_n: int = option(
        10, 'Fewest participants of a sex or an age band that is told; fewer are joined.', least=5
    )
    apart_years: float = option(
        1.0,
        'Most years between visits at several sites, for a person to count as travelling.',
        unit='years',
        least=0,
    )


ROOM = Room(
    name='site_audit',
    title='Audit by site and group',
    level='dataset',
    needs=('group_measures', 'group_qc', 'group_covariates', 'group_dictionary'),
    wants=('harmonised_table',),
    options=Options,
    makes={
        'audit_list': Derivative(
            suffix='audit',
            extension='.tsv',
            lists='Failures and quality by group',
            rows='groups',
            description='How often results fail, steps fail, results ask for a look, or are '
            'missing: by site, scanner, sex and decade of age.',
            columns=(
                Column(name='by', description='What groups differ in.'),
                Column(name='group', description='The group.'),
                Column(name='visits', description='Visits.'),
                Column(name='failed_pct', description='Visits whose results must not be used, %.'),
                Column(name='failed_low', description='Lower bound of its 95 % interval.'),
                Column(name='failed_high', description='Upper bound of its 95 % interval.'),
                Column(
                    name='steps_pct',
                    description='Visits of which a step failed, or that ended without a message, '
                    '%.',
                ),
                Column(name='steps_low', description='Lower bound of its 95 % interval.'),
                Column(name='steps_high', description='Upper bound of its 95 % interval.'),
                Column(name='check_pct', description='Visits whose results ask for a look, %.'),
                Column(name='check_low', description='Lower bound of its 95 % interval.'),
                Column(name='check_high', description='Upper bound of its 95 % interval.'),
                Column(
                    name='missing_pct',
                    description='Results that are n/a, of those that any visit of the dataset '
                    'has, %: mean of the visits.',
                ),
                Column(
                    name='missing_low',
                    description='Lower bound of its 95 % interval (of the mean of visits); n/a '
                    'of fewer than three.',
                ),
                Column(name='missing_high', description='Upper bound of its 95 % interval.'),
                Column(
                    name='p',
                    description='Probability of such different shares of failed visits if groups '
                    'were alike.',
                ),
            ),
        ),
        'travelling_list': Derivative(
            suffix='travelling',
            extension='.tsv',
            lists='Persons measured at several sites',
            rows='sites',
            description='Agreement of sites on persons whom they share, as measured and '
            'harmonised: a row for each measure and site.',
            columns=(
                Column(name='measure', description='Name of the measure.'),
                Column(name='values', description='As measured, or harmonised.'),
                Column(name='persons', description='Persons measured at two or more sites.'),
                Column(name='icc', description='ICC(2,1), absolute agreement.'),
                Column(name='icc_low', description='Lower bound of its 95 % interval.'),
                Column(name='icc_high', description='Upper bound of its 95 % interval.'),
                Column(name='wscv_pct', description='Coefficient of variation within persons, %.'),
                Column(name='site', description='Site.'),
                Column(name='site_persons', description='Persons of these at the site.'),
                Column(
                    name='effect',
                    description='Effect of the site, from the mean of the sites, in the unit of '
                    'the measure.',
                ),
                Column(name='effect_se', description='Its standard error.'),
                Column(
                    name='effect_low',
                    description='Lower bound of its 95 % interval, which is wider than 1.96 '
                    'standard errors where persons are few.',
                ),
                Column(name='effect_high', description='Upper bound of its 95 % interval.'),
            ),
        ),
    },
    measures=(
        Measure(
            name='audit_worst_failed_pct',
            units='%',
            method='audit',
            description='Failed visits at the site with the largest share of them, among sites of '
            'ten visits or more.',
        ),
        Measure(
            name='travelling_n',
            units='1',
            method='audit',
            description='Persons measured at two or more sites.',
        ),
        Measure(
            name='travelling_icc',
            units='1',
            method='icc-2-1',
            description='Agreement of sites on persons whom they share, as measured: ICC(2,1), '
            'median of the measures.',
            reference='shrout1979',
        ),
    ),
    version=3,
    build='csvdprep.dataset.site_audit.workflow:init_site_audit_wf',
    methods='Failures and quality were compared by site, scanner, sex and decade of age; sites '
    'were compared by persons whom they share, ICC(2,1) [@shrout1979].',
    references=('shrout1979',),
)
